/* SPDX-License-Identifier: Apache-2.0 */
/* The store in memory and its host; see memstore.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/memstore.h"

/* ---- host --------------------------------------------------------------- */

static void
memhost_log(const sb_host *host, uint32_t level, const char *component,
            const char *text)
{
  (void)level;
  (void)component;
  (void)text;
  ((memhost *)host->ctx)->logged++;
}

static void *
memhost_alloc(const sb_host *host, void *old, size_t size)
{
  memhost *h = host->ctx;

  if (size == 0) {
    h->live -= old != NULL;
    free(old);
    return NULL;
  }
  if (++h->allocations == h->fail_at)
    return NULL;
  h->live += old == NULL;
  return realloc(old, size);
}

static uint64_t
memhost_clock(const sb_host *host)
{
  return ((memhost *)host->ctx)->clock_ms++;
}

static uint64_t
memhost_random(const sb_host *host)
{
  memhost *h = host->ctx;
  uint64_t z = h->seed += 0x9E3779B97F4A7C15ull;

  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}

static sb_event *
memhost_event_new(const sb_host *host)
{
  return host->alloc(host, NULL, sizeof (int));
}

static void
memhost_event_free(const sb_host *host, sb_event *event)
{
  (void)host->alloc(host, event, 0);
}

static void
memhost_event_set(const sb_host *host, sb_event *event)
{
  (void)host;
  (void)event;
}

static sb_status
memhost_event_wait(const sb_host *host, sb_event *event, uint64_t deadline)
{
  (void)host;
  (void)event;
  (void)deadline;
  return SB_OK;
}

void
memhost_init(memhost *h, uint64_t seed)
{
  memset(h, 0, sizeof *h);
  h->host.struct_size = sizeof h->host;
  h->host.abi_version = SB_ABI_VERSION;
  h->host.ctx = h;
  h->host.log = memhost_log;
  h->host.alloc = memhost_alloc;
  h->host.clock_ms = memhost_clock;
  h->host.monotonic_ns = memhost_clock;
  h->host.random = memhost_random;
  h->host.event_new = memhost_event_new;
  h->host.event_free = memhost_event_free;
  h->host.event_set = memhost_event_set;
  h->host.event_wait = memhost_event_wait;
  h->seed = seed;
  h->clock_ms = 1000;
}

/* ---- objects ------------------------------------------------------------ */

typedef struct memstore_object {
  char *name;
  uint8_t *data;
  size_t len;
  uint64_t version;
} memstore_object;

typedef struct memstore_fault_spec {
  uint32_t ops, mode;
  char part[64];
  uint64_t nth, times;
  sb_status status;
} memstore_fault_spec;

/* A write that the store has not yet done. */
typedef struct memstore_write {
  struct memstore_write *next;
  char *name;
  uint8_t *data;
  size_t len;
  int removes;
  uint32_t flags;
  char if_match[SB_ETAG_MAX + 1];
} memstore_write;

#define MEMSTORE_FAULTS 8

#define MEMSTORE_UPLOADS 16

struct memstore {
  sb_store store;
  sb_store_info info;
  memstore_object *objects;
  size_t count;
  uint64_t versions;
  memstore_fault_spec faults[MEMSTORE_FAULTS];
  memstore_write *delayed;
  memstore_hook *hook;
  void *hook_arg;
  uint64_t counts[6];
  char uploads[MEMSTORE_UPLOADS][256];
  size_t upload_count;
};

/* The index of the first object whose name is not before `name`. */
static size_t
memstore_find(const memstore *m, const char *name)
{
  size_t i = 0;

  while (i < m->count && strcmp(m->objects[i].name, name) < 0)
    i++;
  return i;
}

int
memstore_has(const memstore *m, const char *name)
{
  size_t i = memstore_find(m, name);

  return i < m->count && strcmp(m->objects[i].name, name) == 0;
}

void
memstore_remove(memstore *m, const char *name)
{
  size_t i = memstore_find(m, name);

  if (!memstore_has(m, name))
    return;
  free(m->objects[i].name);
  free(m->objects[i].data);
  m->count--;
  memmove(m->objects + i, m->objects + i + 1,
          (m->count - i) * sizeof *m->objects);
}

void
memstore_put(memstore *m, const char *name, const void *data, size_t len)
{
  memstore_object o = { NULL, NULL, len, ++m->versions };
  size_t i;

  memstore_remove(m, name);
  i = memstore_find(m, name);
  o.name = strdup(name);
  o.data = malloc(len + 1);
  m->objects = realloc(m->objects, (m->count + 1) * sizeof *m->objects);
  if (o.name == NULL || o.data == NULL || m->objects == NULL)
    abort();
  if (len != 0)
    memcpy(o.data, data, len);
  memmove(m->objects + i + 1, m->objects + i,
          (m->count - i) * sizeof *m->objects);
  m->objects[i] = o;
  m->count++;
}

uint8_t *
memstore_data(memstore *m, const char *name, size_t *len)
{
  size_t i = memstore_find(m, name);

  if (!memstore_has(m, name))
    return NULL;
  *len = m->objects[i].len;
  return m->objects[i].data;
}

size_t
memstore_objects(const memstore *m, const char *part)
{
  size_t i, n = 0;

  for (i = 0; i < m->count; i++)
    n += strstr(m->objects[i].name, part) != NULL;
  return n;
}

const char *
memstore_name(const memstore *m, const char *part, size_t at)
{
  size_t i;

  for (i = 0; i < m->count; i++)
    if (strstr(m->objects[i].name, part) != NULL && at-- == 0)
      return m->objects[i].name;
  return NULL;
}

/* ---- faults ------------------------------------------------------------- */

void
memstore_fault(memstore *m, uint32_t ops, const char *part, uint64_t nth,
               uint64_t times, uint32_t mode, sb_status status)
{
  size_t i = 0;

  while (i + 1 < MEMSTORE_FAULTS && m->faults[i].times != 0)
    i++;
  m->faults[i] = (memstore_fault_spec){ .ops = ops, .mode = mode, .nth = nth,
                                        .times = times, .status = status };
  (void)snprintf(m->faults[i].part, sizeof m->faults[i].part, "%s", part);
}

void
memstore_clear_faults(memstore *m)
{
  memset(m->faults, 0, sizeof m->faults);
}

void
memstore_set_hook(memstore *m, memstore_hook *hook, void *arg)
{
  m->hook = hook;
  m->hook_arg = arg;
}

static unsigned
memstore_bit(uint32_t op)
{
  unsigned bit = 0;

  while (op >> bit != 1)
    bit++;
  return bit;
}

/* Counts an operation and says how it goes wrong: 0 if it does not. */
static uint32_t
memstore_enter(memstore *m, uint32_t op, const char *name, sb_status *status)
{
  uint32_t mode = 0;
  size_t i;

  if (m->hook != NULL)
    m->hook(m->hook_arg, op, name);
  m->counts[memstore_bit(op)]++;
  for (i = 0; i < MEMSTORE_FAULTS; i++) {
    memstore_fault_spec *f = &m->faults[i];

    if (f->times == 0 || (f->ops & op) == 0 ||
        strstr(name, f->part) == NULL)
      continue;
    if (f->nth > 1) {
      f->nth--;
      continue;
    }
    f->times--;
    mode = f->mode;
    *status = f->status;
  }
  return mode;
}

uint64_t
memstore_count(const memstore *m, uint32_t ops)
{
  uint64_t n = 0;
  unsigned bit;

  for (bit = 0; bit < 6; bit++)
    n += ops & 1u << bit ? m->counts[bit] : 0;
  return n;
}

/* ---- writes ------------------------------------------------------------- */

static void
memstore_etag(const memstore *m, const char *name, char *etag)
{
  size_t i = memstore_find(m, name);

  etag[0] = '\0';
  if (memstore_has(m, name))
    (void)snprintf(etag, SB_ETAG_MAX, "v%llu",
                   (unsigned long long)m->objects[i].version);
}

static sb_status
memstore_apply(memstore *m, const memstore_write *w)
{
  char etag[SB_ETAG_MAX + 1];

  if (w->removes) {
    memstore_remove(m, w->name);
    return SB_OK;
  }
  if (w->flags & SB_PUT_CREATE && memstore_has(m, w->name))
    return SB_EXISTS;
  memstore_etag(m, w->name, etag);
  if (w->if_match[0] != '\0' && strcmp(w->if_match, etag) != 0)
    return SB_CONFLICT;
  memstore_put(m, w->name, w->data, w->len);
  return SB_OK;
}

static void
memstore_write_free(memstore_write *w)
{
  free(w->name);
  free(w->data);
  free(w);
}

static void
memstore_delay(memstore *m, memstore_write *w)
{
  memstore_write **end = &m->delayed;

  while (*end != NULL)
    end = &(*end)->next;
  *end = w;
}

int
memstore_land(memstore *m)
{
  memstore_write *w = m->delayed;
  int left = 0;

  if (w == NULL)
    return -1;
  m->delayed = w->next;
  (void)memstore_apply(m, w);
  memstore_write_free(w);
  for (w = m->delayed; w != NULL; w = w->next)
    left++;
  return left;
}

/* Does the write, or not, as the fault says. Takes it. */
static sb_status
memstore_do_write(memstore *m, memstore_write *w, uint32_t mode,
                  sb_status status)
{
  sb_status st;

  if (mode == MEMSTORE_DELAYED) {
    memstore_delay(m, w);
    return status;
  }
  st = mode == MEMSTORE_BEFORE ? status : memstore_apply(m, w);
  memstore_write_free(w);
  return mode == MEMSTORE_AFTER ? status : st;
}

/* ---- the table ---------------------------------------------------------- */

static void
memstore_finish(const sb_request *request, sb_store_result *result,
                sb_status status)
{
  sb_error err;

  result->struct_size = sizeof *result;
  result->status = status;
  result->error = status == SB_OK ? NULL : &err;
  if (status != SB_OK)
    (void)sb_error_set(&err, status, "memory store says so");
  request->done(request->arg, result);
}

static const sb_store_info *
memstore_info(sb_store *store)
{
  return &((memstore *)store)->info;
}

static sb_status
memstore_get(sb_store *store, const sb_get_request *request, uint64_t *op,
             sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  sb_status st = SB_OK;
  uint32_t mode = memstore_enter(m, MEMSTORE_GET, request->name, &st);
  size_t i = memstore_find(m, request->name);

  (void)op;
  (void)err;
  if (mode == 0 || mode == MEMSTORE_FLIP) {
    st = memstore_has(m, request->name) ? SB_OK : SB_NOT_FOUND;
    if (st == SB_OK && request->offset > m->objects[i].len)
      st = SB_INVALID;
  }
  if (st == SB_OK) {
    const memstore_object *o = &m->objects[i];
    uint64_t left = o->len - request->offset;

    result.size = o->len;
    result.length = left < request->length ? left : request->length;
    memstore_etag(m, request->name, result.etag);
    if (result.length != 0)
      memcpy(request->buffer, o->data + request->offset, result.length);
    if (mode == MEMSTORE_FLIP && result.length != 0)
      ((uint8_t *)request->buffer)[result.length / 2] ^= 4;
  }
  memstore_finish(&request->base, &result, st);
  return SB_OK;
}

static sb_status
memstore_put_op(sb_store *store, const sb_put_request *request, uint64_t *op,
                sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  memstore_write *w = calloc(1, sizeof *w);
  sb_status st = SB_OK;
  uint32_t mode = memstore_enter(m, MEMSTORE_PUT, request->name, &st);
  uint64_t i;

  (void)op;
  (void)err;
  if (w == NULL)
    abort();
  w->name = strdup(request->name);
  w->flags = m->info.flags & SB_STORE_CREATE ? request->flags : 0;
  if (request->if_match != NULL && m->info.flags & SB_STORE_MATCH)
    (void)snprintf(w->if_match, sizeof w->if_match, "%s", request->if_match);
  for (i = 0; i < request->body_count; i++) {
    w->data = realloc(w->data, w->len + request->body[i].len + 1);
    if (w->data == NULL)
      abort();
    memcpy(w->data + w->len, request->body[i].data, request->body[i].len);
    w->len += request->body[i].len;
  }
  result.size = w->len;
  st = memstore_do_write(m, w, mode, st);
  memstore_etag(m, request->name, result.etag);
  memstore_finish(&request->base, &result, st);
  return SB_OK;
}

static sb_status
memstore_remove_op(sb_store *store, const sb_remove_request *request,
                   uint64_t *op, sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  sb_status first = SB_OK;
  uint64_t i;

  (void)op;
  (void)err;
  for (i = 0; i < request->name_count; i++) {
    memstore_write *w = calloc(1, sizeof *w);
    sb_status st = SB_OK;
    uint32_t mode = memstore_enter(m, MEMSTORE_REMOVE, request->names[i], &st);

    if (w == NULL)
      abort();
    w->name = strdup(request->names[i]);
    w->removes = 1;
    st = memstore_do_write(m, w, mode, st);
    if (request->statuses != NULL)
      request->statuses[i] = st;
    first = first == SB_OK ? st : first;
  }
  memstore_finish(&request->base, &result, first);
  return SB_OK;
}

static sb_status
memstore_list(sb_store *store, const sb_list_request *request, uint64_t *op,
              sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  uint64_t limit = request->limit == 0 ? 1000 : request->limit;
  size_t i, prefix_len = strlen(request->prefix);
  sb_store_entry *list;
  sb_status st = SB_OK;

  (void)op;
  (void)err;
  (void)memstore_enter(m, MEMSTORE_LIST, request->prefix, &st);
  list = calloc(m->count + 1, sizeof *list);
  if (list == NULL)
    abort();
  for (i = 0; i < m->count && st == SB_OK; i++) {
    const memstore_object *o = &m->objects[i];

    if (strncmp(o->name, request->prefix, prefix_len) != 0 ||
        (request->start_after != NULL &&
         strcmp(o->name, request->start_after) <= 0))
      continue;
    if (result.entry_count == limit) {
      result.truncated = 1;
      break;
    }
    list[result.entry_count++] = (sb_store_entry){ o->name, o->len, NULL, 0 };
  }
  result.entries = list;
  memstore_finish(&request->base, &result, st);
  free(list);
  return SB_OK;
}

static sb_status
memstore_head(sb_store *store, const sb_name_request *request, uint64_t *op,
              sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  sb_status st = SB_OK;
  uint32_t mode = memstore_enter(m, MEMSTORE_HEAD, request->name, &st);
  size_t i = memstore_find(m, request->name);

  (void)op;
  (void)err;
  if (mode == 0 || mode == MEMSTORE_FLIP)
    st = memstore_has(m, request->name) ? SB_OK : SB_NOT_FOUND;
  if (st == SB_OK)
    result.size = m->objects[i].len;
  memstore_etag(m, request->name, result.etag);
  memstore_finish(&request->base, &result, st);
  return SB_OK;
}

static sb_status
memstore_copy(sb_store *store, const sb_copy_request *request, uint64_t *op,
              sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { 0 };
  memstore_write *w;
  sb_status st = SB_OK;
  uint32_t mode;
  size_t i;

  (void)op;
  if ((m->info.flags & SB_STORE_COPY) == 0 || request->source_root != NULL)
    return sb_error_set(err, SB_UNSUPPORTED, "memory store cannot copy");
  mode = memstore_enter(m, MEMSTORE_COPY, request->name, &st);
  i = memstore_find(m, request->source);
  if (!memstore_has(m, request->source)) {
    memstore_finish(&request->base, &result, SB_NOT_FOUND);
    return SB_OK;
  }
  w = calloc(1, sizeof *w);
  if (w == NULL)
    abort();
  w->name = strdup(request->name);
  w->flags = request->flags;
  w->len = m->objects[i].len;
  w->data = malloc(w->len + 1);
  if (w->data == NULL)
    abort();
  memcpy(w->data, m->objects[i].data, w->len);
  result.size = w->len;
  st = memstore_do_write(m, w, mode, st);
  memstore_finish(&request->base, &result, st);
  return SB_OK;
}

/* ---- streams ------------------------------------------------------------ */

struct sb_stream {
  memstore_write *write;
};

static sb_status
memstore_put_open(sb_store *store, const sb_stream_request *request,
                  sb_stream **out, sb_error *err)
{
  sb_stream *s = calloc(1, sizeof *s);

  (void)store;
  (void)err;
  if (s == NULL)
    abort();
  s->write = calloc(1, sizeof *s->write);
  if (s->write == NULL)
    abort();
  s->write->name = strdup(request->name);
  s->write->flags = request->flags;
  *out = s;
  return SB_OK;
}

static sb_status
memstore_put_write(sb_store *store, sb_stream *stream,
                   const sb_write_request *request, sb_error *err)
{
  memstore_write *w = stream->write;
  sb_store_result result = { 0 };
  uint64_t i;

  (void)store;
  (void)err;
  for (i = 0; i < request->body_count; i++) {
    w->data = realloc(w->data, w->len + request->body[i].len + 1);
    if (w->data == NULL)
      abort();
    memcpy(w->data + w->len, request->body[i].data, request->body[i].len);
    w->len += request->body[i].len;
  }
  memstore_finish(&request->base, &result, SB_OK);
  return SB_OK;
}

static sb_status
memstore_put_commit(sb_store *store, sb_stream *stream,
                    const sb_request *request, sb_error *err)
{
  memstore *m = (memstore *)store;
  memstore_write *w = stream->write;
  sb_store_result result = { .size = w->len };
  sb_status st = SB_OK;
  uint32_t mode = memstore_enter(m, MEMSTORE_PUT, w->name, &st);

  (void)err;
  free(stream);
  st = memstore_do_write(m, w, mode, st);
  memstore_finish(request, &result, st);
  return SB_OK;
}

static sb_status
memstore_put_abort(sb_store *store, sb_stream *stream,
                   const sb_request *request, sb_error *err)
{
  sb_store_result result = { 0 };

  (void)store;
  (void)err;
  memstore_write_free(stream->write);
  free(stream);
  memstore_finish(request, &result, SB_OK);
  return SB_OK;
}

/* ---- unfinished uploads ------------------------------------------------- */

void
memstore_begin_upload(memstore *m, const char *name)
{
  if (m->upload_count < MEMSTORE_UPLOADS)
    (void)snprintf(m->uploads[m->upload_count++], sizeof m->uploads[0], "%s",
                   name);
}

size_t
memstore_uploads(const memstore *m, const char *part)
{
  size_t i, count = 0;

  for (i = 0; i < m->upload_count; i++)
    count += strstr(m->uploads[i], part) != NULL;
  return count;
}

static sb_status
memstore_sweep(sb_store *store, const sb_sweep_request *request, uint64_t *op,
               sb_error *err)
{
  memstore *m = (memstore *)store;
  sb_store_result result = { .struct_size = sizeof result };
  size_t i = 0;

  (void)op;
  (void)err;
  while (i < m->upload_count) {
    if (strncmp(m->uploads[i], request->prefix, strlen(request->prefix)) == 0
        && request->dead(request->dead_arg, m->uploads[i])) {
      memmove(m->uploads[i], m->uploads[--m->upload_count],
              sizeof m->uploads[i]);
      result.size++;
    } else {
      i++;
    }
  }
  request->base.done(request->base.arg, &result);
  return SB_OK;
}

static void
memstore_close(sb_store *store)
{
  memstore_free((memstore *)store);
}

static const sb_store_ops memstore_ops = {
  .struct_size = sizeof memstore_ops,
  .abi_version = SB_ABI_VERSION,
  .info = memstore_info,
  .get = memstore_get,
  .put = memstore_put_op,
  .put_open = memstore_put_open,
  .put_write = memstore_put_write,
  .put_commit = memstore_put_commit,
  .put_abort = memstore_put_abort,
  .head = memstore_head,
  .list = memstore_list,
  .remove = memstore_remove_op,
  .copy = memstore_copy,
  .close = memstore_close,
  .sweep = memstore_sweep,
};

memstore *
memstore_new(uint32_t flags)
{
  memstore *m = calloc(1, sizeof *m);

  if (m == NULL)
    abort();
  m->store.ops = &memstore_ops;
  m->info.struct_size = sizeof m->info;
  m->info.flags = flags;
  m->info.root = "memory:";
  m->info.object_size_max = UINT64_MAX;
  m->info.part_size = 8u << 20;
  return m;
}

void
memstore_free(memstore *m)
{
  while (m->count != 0)
    memstore_remove(m, m->objects[m->count - 1].name);
  while (memstore_land(m) >= 0)
    memstore_remove(m, m->count != 0 ? m->objects[0].name : "");
  while (m->count != 0)
    memstore_remove(m, m->objects[m->count - 1].name);
  free(m->objects);
  free(m);
}

sb_store *
memstore_store(memstore *m)
{
  return &m->store;
}
