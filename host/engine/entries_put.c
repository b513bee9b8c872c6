/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each operation is a small state machine that the pump's thread steps when an
 * answer has come:
 *
 *   fresh:   CREATE -- exists --> LOOK
 *   known:   LOOK --> the same: done; other: REPLACE if it is still that;
 *                     absent: CREATE
 *            REPLACE -- changed meanwhile --> LOOK
 *   removal: LOOK --> absent: done; there: removed with others, in one request
 *
 * An answer that was lost leads to LOOK, which tells whether it happened.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <snappy-c.h>

#include "host/engine/entries_name.h"
#include "host/engine/entries_put.h"
#include "host/engine/job_state.h"
#include "host/store/store.h"

#define PUMP_WINDOW 32u       /* requests under way */
#define PUMP_TRIES 6u         /* looks at one object */
#define PUMP_REMOVALS 500u    /* names removed by one request */
#define PUMP_META_MAX 1600u   /* bytes of values; keys and what the store adds
                                 come on top */
#define PUMP_METAS 14u

#define PUT_CREATE 1
#define PUT_LOOK 2
#define PUT_REPLACE 3

struct entries_put {
  entries_put *next;
  entries_pump *pump;
  char *name;
  int step, removes;
  unsigned tries;
  uint8_t *body;
  sb_slice slice;
  size_t charged;
  char *text;              /* of the metadata */
  sb_meta metas[PUMP_METAS];
  size_t meta_count;
  size_t meta_told;        /* the first of those that tell the contents */
  /* The answer. */
  sb_status status;
  sb_error error;
  char etag[SB_ETAG_MAX + 1];
  int ours, same;
  uint64_t generation;
};

/* ---- metadata ----------------------------------------------------------- */

static const char *
put_kind(uint32_t kind)
{
  switch (kind) {
  case SB_STATE_VALUE:
    return "value";
  case SB_STATE_LIST:
    return "list";
  case SB_STATE_MAP:
    return "map";
  case SB_STATE_REDUCING:
    return "reducing";
  case SB_STATE_AGGREGATING:
    return "aggregating";
  default:
    return "unknown";
  }
}

/* `bytes` as text, if the metadata has room for it. */
static size_t
put_meta_bytes(entries_put *put, const char *key, sb_slice bytes, size_t at)
{
  size_t room = ENTRIES_BASE64_LEN(bytes.len) + 1;

  if (at + room > PUMP_META_MAX)
    return at;
  entries_base64(bytes, put->text + at);
  put->metas[put->meta_count++] = (sb_meta){ key, put->text + at };
  return at + room;
}

static size_t
put_meta_text(entries_put *put, const char *key, const char *value, size_t at)
{
  size_t room = strlen(value) + 1;

  memcpy(put->text + at, value, room);
  put->metas[put->meta_count++] = (sb_meta){ key, put->text + at };
  return at + room;
}

static size_t
put_meta_number(entries_put *put, const char *key, uint64_t value, size_t at)
{
  char digits[24];

  (void)snprintf(digits, sizeof digits, "%" PRIu64, value);
  return put_meta_text(put, key, digits, at);
}

static void
put_metas(entries_put *put, const entries_value *v, const entries_about *about)
{
  entries_pump *p = put->pump;
  size_t at = 0;

  at = put_meta_number(put, "generation", p->generation, at);
  at = put_meta_number(put, "checkpoint", p->checkpoint, at);
  put->meta_told = put->meta_count;
  at = put_meta_number(put, "key-group", about->key_group, at);
  at = put_meta_text(put, "kind", put_kind(v->kind), at);
  at = put_meta_text(put, "compression",
                     v->omitted || p->engine->compression == 0 ? "none"
                                                               : "snappy", at);
  at = put_meta_number(put, "size", v->size, at);
  at = put_meta_text(put, "xxh3-128", v->sum, at);
  if (v->kind == SB_STATE_LIST || v->kind == SB_STATE_MAP)
    at = put_meta_number(put, "elements", v->elements, at);
  if (v->expires_ms != 0)
    at = put_meta_number(put, "expires-ms", v->expires_ms, at);
  if (v->omitted)
    at = put_meta_text(put, "omitted", "too-large", at);
  if (about->state_hashed)
    at = put_meta_bytes(put, "state", about->state, at);
  if (about->hashed) {
    at = put_meta_bytes(put, "namespace", about->ns, at);
    (void)put_meta_bytes(put, "key", about->key, at);
  }
}

/* ---- answers; on any thread --------------------------------------------- */

/* Compares an object's metadata with what would be written. */
static void
put_compare(entries_put *put, const sb_meta *meta, uint64_t count)
{
  size_t found = 0, j;
  int other = 0;
  uint64_t i;

  put->ours = 0;
  put->generation = 0;
  for (i = 0; i < count; i++) {
    if (strcmp(meta[i].key, "generation") == 0) {
      put->generation = strtoull(meta[i].value, NULL, 10);
      put->ours |= 1;
    }
    put->ours |= strcmp(meta[i].key, "xxh3-128") == 0 ? 2 : 0;
    other |= strcmp(meta[i].key, "expires-ms") == 0;
    for (j = put->meta_told; j < put->meta_count; j++)
      if (strcmp(meta[i].key, put->metas[j].key) == 0 &&
          strcmp(meta[i].value, put->metas[j].value) == 0)
        found++;
  }
  for (j = put->meta_told; j < put->meta_count; j++)
    if (strcmp(put->metas[j].key, "expires-ms") == 0)
      other = 0;
  put->ours = put->ours == 3;
  put->same = !other && found == put->meta_count - put->meta_told;
}

static void
put_done(void *arg, const sb_store_result *result)
{
  entries_put *put = arg;
  entries_pump *p = put->pump;

  put->status = result->status;
  if (result->error != NULL)
    put->error = *result->error;
  if (result->status == SB_OK && put->step == PUT_LOOK) {
    memcpy(put->etag, result->etag, sizeof put->etag);
    put_compare(put, result->meta, result->meta == NULL ? 0
                                                        : result->meta_count);
  }
  (void)pthread_mutex_lock(&p->lock);
  put->next = p->finished;
  p->finished = put;
  /* Under the lock: the pump may be gone once it has seen the last one. */
  p->engine->host->event_set(p->engine->host, p->event);
  (void)pthread_mutex_unlock(&p->lock);
}

/* ---- steps -------------------------------------------------------------- */

static void
pump_fail(entries_pump *p, sb_status status, const char *message)
{
  if (p->status != SB_OK)
    return;
  p->status = sb_error_set(&p->error, status, "%s", message);
}

static void
put_free(entries_put *put)
{
  entries_pump *p = put->pump;
  engine *e = p->engine;

  engine_release(e, put->charged);
  p->bytes -= put->charged;
  p->count--;
  mem_free(e->host, put->name);
  mem_free(e->host, put->body);
  mem_free(e->host, put->text);
  mem_free(e->host, put);
}

static void
put_submit(entries_put *put, int step)
{
  entries_pump *p = put->pump;
  engine *e = p->engine;
  sb_request base = { .priority = SB_PRIORITY_BACKGROUND, .done = put_done,
                      .arg = put };
  sb_status status;

  put->step = step;
  memset(&put->error, 0, sizeof put->error);
  if (step == PUT_LOOK) {
    sb_name_request request = { .base = base, .name = put->name };

    request.base.struct_size = sizeof request;
    put->tries++;
    p->heads++;
    status = store_head_async(e->host, e->store, &request, &put->error);
  } else {
    sb_put_request request = { .base = base, .name = put->name,
                               .body = &put->slice, .body_count = 1,
                               .meta = put->metas,
                               .meta_count = put->meta_count };

    request.base.struct_size = sizeof request;
    if (step == PUT_CREATE)
      request.flags = SB_PUT_CREATE;
    else if ((store_info(e->store)->flags & SB_STORE_MATCH) != 0 &&
             put->etag[0] != '\0')
      request.if_match = put->etag;
    p->puts++;
    status = store_put_async(e->host, e->store, &request, &put->error);
  }
  p->running++;
  if (status != SB_OK) {
    sb_store_result result = { .struct_size = sizeof result, .status = status,
                               .error = &put->error };
    sb_error error = put->error;

    result.error = &error;
    put_done(put, &result);
  }
}

/* The object was looked at. 1: there is another step. */
static int
put_looked(entries_put *put)
{
  entries_pump *p = put->pump;

  if (put->status == SB_NOT_FOUND) {
    if (!put->removes)
      put_submit(put, PUT_CREATE);
    return !put->removes;
  }
  if (!put->ours) {
    /* Somebody else's object at our place stays. */
    if (!put->removes)
      pump_fail(p, SB_EXISTS, "an object that is no entry is in the place of "
                "one");
    return 0;
  }
  if (put->generation > p->generation) {
    pump_fail(p, SB_FENCED, "a newer generation has written entries");
    return 0;
  }
  if (put->removes) {
    names_add(&p->removals, put->name, 0);
    return 0;
  }
  if (put->same) {
    p->unchanged++;
    return 0;
  }
  put_submit(put, PUT_REPLACE);
  return 1;
}

/* 1: there is another step. */
static int
put_step(entries_put *put)
{
  entries_pump *p = put->pump;
  sb_status status = put->status;

  if (p->status != SB_OK)
    return 0;
  if (put->step == PUT_LOOK && (status == SB_OK || status == SB_NOT_FOUND))
    return put_looked(put);
  if (put->step != PUT_LOOK && status == SB_OK)
    return 0;
  if (put->tries < PUMP_TRIES &&
      (status == SB_EXISTS || status == SB_CONFLICT || status == SB_UNKNOWN ||
       status == SB_NOT_FOUND || sb_status_retryable(status))) {
    put_submit(put, PUT_LOOK);
    return 1;
  }
  pump_fail(p, status, put->error.message);
  return 0;
}

static entries_put *
pump_take(entries_pump *p)
{
  entries_put *list;

  (void)pthread_mutex_lock(&p->lock);
  list = p->finished;
  p->finished = NULL;
  (void)pthread_mutex_unlock(&p->lock);
  return list;
}

/* Waits until at most `count` operations with `bytes` are left. */
static void
pump_wait(entries_pump *p, size_t count, size_t bytes)
{
  const sb_host *host = p->engine->host;

  while (p->count != 0 && (p->count > count || p->bytes > bytes)) {
    entries_put *put = pump_take(p), *next;

    if (put == NULL)
      (void)host->event_wait(host, p->event, SB_NO_DEADLINE);
    for (; put != NULL; put = next) {
      next = put->next;
      p->running--;
      if (!put_step(put))
        put_free(put);
    }
  }
}

/* Removes what was looked at, after one more look at HEAD: who has been
   overtaken meanwhile must not take away what the successor has written. */
static void
pump_remove_all(entries_pump *p)
{
  const sb_host *host = p->engine->host;
  const char **list = mem_alloc(host, p->removals.count * sizeof *list);
  job_change *landed;
  sb_error err;
  size_t i;
  sb_status st = list == NULL ? SB_NO_MEMORY : p->removals.status;

  if (st != SB_OK)
    pump_fail(p, st, "no memory to remove entries");
  if (st == SB_OK && p->status == SB_OK && p->removals.count != 0) {
    for (i = 0; i < p->removals.count; i++)
      list[i] = names_at(&p->removals, i);
    st = job_look(p->job, &landed, &err);
    if (st == SB_OK)
      st = store_remove(host, p->engine->store, list, p->removals.count, NULL,
                        &err);
    if (st != SB_OK)
      pump_fail(p, st, err.message);
    else
      p->removed += p->removals.count;
  }
  mem_free(host, list);
  names_dispose(&p->removals);
  names_init(&p->removals, host);
}

/* ---- the pump ----------------------------------------------------------- */

sb_status
entries_pump_init(entries_pump *p, engine *e, sb_job *job, uint64_t generation,
                  uint64_t checkpoint, sb_error *err)
{
  memset(p, 0, sizeof *p);
  p->engine = e;
  p->job = job;
  p->generation = generation;
  p->checkpoint = checkpoint;
  p->event = e->host->event_new(e->host);
  if (p->event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not write entries: no "
                        "memory");
  (void)pthread_mutex_init(&p->lock, NULL);
  names_init(&p->removals, e->host);
  return SB_OK;
}

static entries_put *
pump_new(entries_pump *p, const char *name)
{
  engine *e = p->engine;
  entries_put *put;

  pump_wait(p, PUMP_WINDOW - 1, e->memory_limit / 8);
  if (p->removals.count >= PUMP_REMOVALS)
    pump_remove_all(p);
  if (p->status != SB_OK)
    return NULL;
  put = mem_zalloc(e->host, sizeof *put);
  if (put != NULL) {
    put->pump = p;
    p->count++;
    put->name = mem_strdup(e->host, name);
    if (put->name != NULL)
      return put;
    put_free(put);
  }
  pump_fail(p, SB_NO_MEMORY, "could not write an entry: no memory");
  return NULL;
}

static void
put_charge(entries_put *put, size_t bytes)
{
  put->charged += bytes;
  put->pump->bytes += bytes;
  engine_charge(put->pump->engine, bytes);
}

/* The body as it is stored. */
static sb_status
put_fill(entries_put *put, const entries_value *v)
{
  engine *e = put->pump->engine;
  size_t len = v->omitted ? 0 : v->body.len, room;
  int compress = e->compression != 0 && !v->omitted;

  room = compress ? snappy_max_compressed_length(len) : len;
  put_charge(put, room + PUMP_META_MAX + sizeof *put);
  put->text = mem_alloc(e->host, PUMP_META_MAX + 64);
  put->body = mem_alloc(e->host, room);
  if (put->text == NULL || put->body == NULL)
    return SB_NO_MEMORY;
  if (!compress && len != 0)
    memcpy(put->body, v->body.data, len);
  if (compress &&
      snappy_compress(len == 0 ? "" : (const char *)v->body.data, len,
                      (char *)put->body, &room) != SNAPPY_OK)
    return SB_IO;
  put->slice = sb_slice_of(put->body, compress ? room : len);
  return SB_OK;
}

void
entries_pump_put(entries_pump *p, const char *name, const entries_value *value,
                 const entries_about *about, int fresh)
{
  entries_put *put = pump_new(p, name);

  if (put == NULL)
    return;
  if (put_fill(put, value) != SB_OK) {
    put_free(put);
    pump_fail(p, SB_NO_MEMORY, "could not write an entry: no memory");
    return;
  }
  put_metas(put, value, about);
  put_submit(put, fresh ? PUT_CREATE : PUT_LOOK);
}

void
entries_pump_remove(entries_pump *p, const char *name)
{
  entries_put *put = pump_new(p, name);

  if (put == NULL)
    return;
  put->removes = 1;
  put_submit(put, PUT_LOOK);
}

sb_status
entries_pump_finish(entries_pump *p, sb_error *err)
{
  pump_wait(p, 0, SIZE_MAX);
  pump_remove_all(p);
  if (p->status != SB_OK)
    return sb_error_set(err, p->status, "%s", p->error.message);
  return SB_OK;
}

void
entries_pump_dispose(entries_pump *p)
{
  const sb_host *host = p->engine->host;

  if (p->event == NULL)
    return;
  pump_wait(p, 0, SIZE_MAX);
  names_dispose(&p->removals);
  (void)pthread_mutex_destroy(&p->lock);
  host->event_free(host, p->event);
  p->event = NULL;
}
