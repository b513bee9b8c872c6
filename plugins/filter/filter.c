/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the filter plugins share: taking a request, keeping it, sending it down
 * and its result up; see filter.h.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>

#include "plugins/filter/filter.h"

const char *const filter_names[FILTER_KINDS] = {
  "get", "put", "open", "write", "commit", "abort", "head", "list", "remove",
  "copy",
};

/* ---- calls -------------------------------------------------------------- */

static filter_call *
filter_call_new(filter *f, uint32_t kind, size_t text_size)
{
  filter_call *call = filter_alloc(f->host, sizeof *call + text_size);

  if (call == NULL)
    return NULL;
  call->f = f;
  call->kind = kind;
  call->name = "";
  call->start_ns = f->host->monotonic_ns(f->host);
  atomic_store(&call->references, 2);
  pthread_mutex_lock(&f->lock);
  call->id = ++f->last_id;
  call->next = f->calls;
  if (call->next != NULL)
    call->next->previous = call;
  f->calls = call;
  pthread_mutex_unlock(&f->lock);
  return call;
}

/* The closing thread frees the filter once it gets the lock after the event. */
static void
filter_call_unref(filter_call *call)
{
  filter *f = call->f;

  if (atomic_fetch_sub(&call->references, 1) != 1)
    return;
  pthread_mutex_lock(&f->lock);
  if (call->next != NULL)
    call->next->previous = call->previous;
  if (call->previous != NULL)
    call->previous->next = call->next;
  else
    f->calls = call->next;
  filter_release(f->host, call->own);
  filter_release(f->host, call);
  if (f->calls == NULL && f->closing)
    f->host->event_set(f->host, f->idle);
  pthread_mutex_unlock(&f->lock);
}

void
filter_reply(filter_call *call, const sb_store_result *result)
{
  call->done(call->arg, result);
  filter_call_unref(call);
}

static void
filter_fail_task(void *arg)
{
  filter_call *call = arg;

  filter_reply(call, &call->result);
}

static void
filter_set_failure(filter_call *call, sb_status status, const char *message)
{
  memset(&call->result, 0, sizeof call->result);
  call->result.struct_size = sizeof call->result;
  call->result.status = status;
  if (status == SB_OK)
    return;
  call->result.error = &call->error;
  sb_fail(&call->error, status, "%s", message);
}

void
filter_fail(filter_call *call, sb_status status, const char *message)
{
  const sb_host *host = call->f->host;

  filter_set_failure(call, status, message);
  filter_call_unref(call); /* nothing comes back up */
  if (host->execute(host, SB_LANE_IO, filter_fail_task, call, NULL) != SB_OK)
    filter_fail_task(call);
}

void
filter_later(filter_call *call, uint64_t delay_ms, sb_task *task)
{
  const sb_host *host = call->f->host;
  uint64_t timer;

  if (delay_ms == 0
      || host->timer_start(host, delay_ms, task, call, &timer, NULL) != SB_OK)
    task(call);
}

const sb_store_result *
filter_keep(filter_call *call, const sb_store_result *result)
{
  call->result = *result;
  call->result.meta = NULL;
  call->result.meta_count = 0;
  call->result.entries = NULL;
  call->result.entry_count = 0;
  if (result->error != NULL) {
    call->error = *result->error;
    call->result.error = &call->error;
  }
  return &call->result;
}

static void
filter_done(void *arg, const sb_store_result *result)
{
  filter_call *call = arg;

  if (call->f->hooks->after != NULL)
    call->f->hooks->after(call, result);
  else
    filter_reply(call, result);
}

static sb_status
filter_send(filter_call *call, uint64_t *lower_id, sb_error *err)
{
  sb_store *lower = call->f->lower;

  switch (call->kind) {
  case FILTER_GET:
    return lower->ops->get(lower, &call->request.get, lower_id, err);
  case FILTER_PUT:
    return lower->ops->put(lower, &call->request.put, lower_id, err);
  case FILTER_WRITE:
    return lower->ops->put_write(lower, call->stream, &call->request.write,
                                 err);
  case FILTER_COMMIT:
    return lower->ops->put_commit(lower, call->stream, &call->request.base,
                                  err);
  case FILTER_ABORT:
    return lower->ops->put_abort(lower, call->stream, &call->request.base,
                                 err);
  case FILTER_HEAD:
    return lower->ops->head(lower, &call->request.name, lower_id, err);
  case FILTER_LIST:
    return lower->ops->list(lower, &call->request.list, lower_id, err);
  case FILTER_REMOVE:
    return lower->ops->remove(lower, &call->request.remove, lower_id, err);
  default:
    if (!SB_STORE_HAS(lower, copy))
      return sb_fail(err, SB_UNSUPPORTED, "could not copy to object "
                     "\"%.300s\": the store cannot copy", call->name);
    return lower->ops->copy(lower, &call->request.copy, lower_id, err);
  }
}

static void
filter_ignore(void *arg, const sb_store_result *result)
{
  (void)arg;
  (void)result;
}

/* We have taken the commit and so the stream; the lower store has not. */
static void
filter_drop_stream(filter_call *call)
{
  sb_store *lower = call->f->lower;
  sb_request request = { .struct_size = sizeof request };
  sb_error ignored;

  request.done = filter_ignore;
  (void)lower->ops->put_abort(lower, call->stream, &request, &ignored);
}

void
filter_forward(filter_call *call)
{
  filter *f = call->f;
  uint64_t lower_id = 0;
  sb_error error;
  sb_status status;

  if (atomic_load(&call->cancelled)) {
    filter_fail(call, SB_CANCELLED, "operation was cancelled");
    return;
  }
  error.message[0] = '\0';
  status = filter_send(call, &lower_id, &error);
  if (status != SB_OK) {
    if (call->kind == FILTER_COMMIT)
      filter_drop_stream(call);
    filter_set_failure(call, status, error.message);
    filter_done(call, &call->result);
  } else {
    pthread_mutex_lock(&f->lock);
    call->lower_id = lower_id;
    pthread_mutex_unlock(&f->lock);
  }
  filter_call_unref(call);
}

/* Everything of a call is in place: the hooks take over. */
static sb_status
filter_start(filter_call *call, const sb_request *base, size_t size,
             uint64_t *id)
{
  filter *f = call->f;

  call->done = base->done;
  call->arg = base->arg;
  call->request.base.struct_size = (uint32_t)size;
  call->request.base.priority = base->priority;
  call->request.base.deadline_ns = base->deadline_ns;
  call->request.base.done = filter_done;
  call->request.base.arg = call;
  if (id != NULL)
    *id = call->id;
  if (f->hooks->before != NULL)
    f->hooks->before(call);
  else
    filter_forward(call);
  return SB_OK;
}

/* ---- copies of what is lent --------------------------------------------- */

static size_t
filter_size(const char *s)
{
  return s == NULL ? 0 : strlen(s) + 1;
}

static const char *
filter_copy_text(char **room, const char *s)
{
  char *copy = *room;
  size_t size = filter_size(s);

  if (s == NULL)
    return NULL;
  memcpy(copy, s, size);
  *room += size;
  return copy;
}

static char *
filter_room(filter_call *call)
{
  return (char *)(call + 1);
}

static uint64_t
filter_body_bytes(const sb_slice *body, uint64_t count)
{
  uint64_t bytes = 0;
  uint64_t i;

  for (i = 0; i < count; i++)
    bytes += body[i].len;
  return bytes;
}

static sb_status
filter_no_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "out of memory for an operation");
}

/* ---- the methods -------------------------------------------------------- */

static const sb_store_info *
filter_info(sb_store *base)
{
  filter *f = (filter *)base;

  return f->lower->ops->info(f->lower);
}

static sb_status
filter_get(sb_store *base, const sb_get_request *request, uint64_t *id,
           sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_GET,
                                      filter_size(request->name)
                                        + filter_size(request->if_match));
  char *room;

  if (call == NULL)
    return filter_no_memory(err);
  room = filter_room(call);
  call->request.get = *request;
  call->request.get.name = filter_copy_text(&room, request->name);
  call->request.get.if_match = filter_copy_text(&room, request->if_match);
  call->name = call->request.get.name;
  call->bytes = request->length;
  return filter_start(call, &request->base, sizeof *request, id);
}

static sb_status
filter_put(sb_store *base, const sb_put_request *request, uint64_t *id,
           sb_error *err)
{
  size_t size = filter_size(request->name) + filter_size(request->if_match)
                + (size_t)request->meta_count * sizeof(sb_meta);
  filter_call *call;
  sb_meta *meta;
  char *room;
  uint64_t i;

  for (i = 0; i < request->meta_count; i++)
    size += filter_size(request->meta[i].key)
            + filter_size(request->meta[i].value);
  call = filter_call_new((filter *)base, FILTER_PUT, size);
  if (call == NULL)
    return filter_no_memory(err);
  meta = (sb_meta *)(void *)filter_room(call);
  room = (char *)(meta + request->meta_count);
  call->request.put = *request;
  call->request.put.name = filter_copy_text(&room, request->name);
  call->request.put.if_match = filter_copy_text(&room, request->if_match);
  for (i = 0; i < request->meta_count; i++) {
    meta[i].key = filter_copy_text(&room, request->meta[i].key);
    meta[i].value = filter_copy_text(&room, request->meta[i].value);
  }
  call->request.put.meta = meta;
  call->name = call->request.put.name;
  call->bytes = filter_body_bytes(request->body, request->body_count);
  return filter_start(call, &request->base, sizeof *request, id);
}

static sb_status
filter_put_open(sb_store *base, const sb_stream_request *request,
                sb_stream **out, sb_error *err)
{
  filter *f = (filter *)base;
  sb_status status = SB_OK;

  *out = NULL;
  if (f->hooks->open != NULL)
    status = f->hooks->open(f, request, err);
  if (status == SB_OK)
    status = f->lower->ops->put_open(f->lower, request, out, err);
  if (f->hooks->opened != NULL)
    f->hooks->opened(f, request, *out, status);
  return status;
}

static sb_status
filter_put_write(sb_store *base, sb_stream *stream,
                 const sb_write_request *request, sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_WRITE, 0);

  if (call == NULL)
    return filter_no_memory(err);
  call->request.write = *request;
  call->stream = stream;
  call->bytes = filter_body_bytes(request->body, request->body_count);
  return filter_start(call, &request->base, sizeof *request, NULL);
}

static sb_status
filter_put_commit(sb_store *base, sb_stream *stream, const sb_request *request,
                  sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_COMMIT, 0);

  if (call == NULL)
    return filter_no_memory(err);
  call->stream = stream;
  return filter_start(call, request, sizeof *request, NULL);
}

static sb_status
filter_put_abort(sb_store *base, sb_stream *stream, const sb_request *request,
                 sb_error *err)
{
  sb_store *lower = ((filter *)base)->lower;
  filter_call *call = filter_call_new((filter *)base, FILTER_ABORT, 0);

  if (call == NULL) /* it has to end all the same */
    return lower->ops->put_abort(lower, stream, request, err);
  call->stream = stream;
  return filter_start(call, request, sizeof *request, NULL);
}

static sb_status
filter_head(sb_store *base, const sb_name_request *request, uint64_t *id,
            sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_HEAD,
                                      filter_size(request->name));
  char *room;

  if (call == NULL)
    return filter_no_memory(err);
  room = filter_room(call);
  call->name = filter_copy_text(&room, request->name);
  call->request.name.name = call->name;
  return filter_start(call, &request->base, sizeof *request, id);
}

static sb_status
filter_list(sb_store *base, const sb_list_request *request, uint64_t *id,
            sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_LIST,
                                      filter_size(request->prefix)
                                        + filter_size(request->start_after));
  char *room;

  if (call == NULL)
    return filter_no_memory(err);
  room = filter_room(call);
  call->request.list = *request;
  call->request.list.prefix = filter_copy_text(&room, request->prefix);
  call->request.list.start_after =
    filter_copy_text(&room, request->start_after);
  call->name = call->request.list.prefix;
  return filter_start(call, &request->base, sizeof *request, id);
}

static sb_status
filter_remove(sb_store *base, const sb_remove_request *request, uint64_t *id,
              sb_error *err)
{
  size_t size = (size_t)request->name_count * sizeof(char *);
  filter_call *call;
  const char **names;
  char *room;
  uint64_t i;

  for (i = 0; i < request->name_count; i++)
    size += filter_size(request->names[i]);
  call = filter_call_new((filter *)base, FILTER_REMOVE, size);
  if (call == NULL)
    return filter_no_memory(err);
  names = (const char **)(void *)filter_room(call);
  room = (char *)(names + request->name_count);
  for (i = 0; i < request->name_count; i++)
    names[i] = filter_copy_text(&room, request->names[i]);
  call->request.remove = *request;
  call->request.remove.names = names;
  if (request->name_count > 0)
    call->name = names[0];
  return filter_start(call, &request->base, sizeof *request, id);
}

static sb_status
filter_copy(sb_store *base, const sb_copy_request *request, uint64_t *id,
            sb_error *err)
{
  filter_call *call = filter_call_new((filter *)base, FILTER_COPY,
                                      filter_size(request->name)
                                        + filter_size(request->source)
                                        + filter_size(request->source_root));
  char *room;

  if (call == NULL)
    return filter_no_memory(err);
  room = filter_room(call);
  call->request.copy = *request;
  call->request.copy.name = filter_copy_text(&room, request->name);
  call->request.copy.source = filter_copy_text(&room, request->source);
  call->request.copy.source_root =
    filter_copy_text(&room, request->source_root);
  call->name = call->request.copy.name;
  return filter_start(call, &request->base, sizeof *request, id);
}

static void
filter_cancel(sb_store *base, uint64_t id)
{
  filter *f = (filter *)base;
  uint64_t lower_id = 0;
  filter_call *call;

  pthread_mutex_lock(&f->lock);
  for (call = f->calls; call != NULL; call = call->next)
    if (call->id == id) {
      atomic_store(&call->cancelled, 1);
      lower_id = call->lower_id;
    }
  pthread_mutex_unlock(&f->lock);
  if (lower_id != 0 && SB_STORE_HAS(f->lower, cancel))
    f->lower->ops->cancel(f->lower, lower_id);
}

/* ---- passed down as they are -------------------------------------------- */

/* The number would be the lower store's, so none is given: a sweep cannot be
   cancelled through a filter. */
static sb_status
filter_sweep(sb_store *base, const sb_sweep_request *request, uint64_t *id,
             sb_error *err)
{
  sb_store *lower = ((filter *)base)->lower;

  if (id != NULL)
    *id = 0;
  return lower->ops->sweep(lower, request, NULL, err);
}

static sb_status
filter_describe(sb_store *base, sb_describe_fn *fn, void *arg, sb_error *err)
{
  sb_store *lower = ((filter *)base)->lower;

  return lower->ops->describe(lower, fn, arg, err);
}

/* ---- opening and closing ------------------------------------------------ */

void
filter_free(filter *f)
{
  const sb_host *host = f->host;

  if (f->hooks->close != NULL)
    f->hooks->close(f);
  host->event_free(host, f->idle);
  pthread_mutex_destroy(&f->lock);
  filter_release(host, f);
}

static void
filter_close(sb_store *base)
{
  filter *f = (filter *)base;
  int busy;

  pthread_mutex_lock(&f->lock);
  f->closing = 1;
  busy = f->calls != NULL;
  pthread_mutex_unlock(&f->lock);
  if (busy) {
    (void)f->host->event_wait(f->host, f->idle, SB_NO_DEADLINE);
    pthread_mutex_lock(&f->lock);
    pthread_mutex_unlock(&f->lock);
  }
  f->lower->ops->close(f->lower);
  filter_free(f);
}

static const sb_store_ops filter_ops = {
  .struct_size = sizeof filter_ops,
  .abi_version = SB_ABI_VERSION,
  .info = filter_info,
  .get = filter_get,
  .put = filter_put,
  .put_open = filter_put_open,
  .put_write = filter_put_write,
  .put_commit = filter_put_commit,
  .put_abort = filter_put_abort,
  .head = filter_head,
  .list = filter_list,
  .remove = filter_remove,
  .copy = filter_copy,
  .cancel = filter_cancel,
  .close = filter_close,
  .sweep = filter_sweep,
  .describe = filter_describe,
};

sb_status
filter_new(const sb_host *host, sb_store *lower, const filter_hooks *hooks,
           size_t size, filter **out, sb_error *err)
{
  filter *f = filter_alloc(host, size);

  *out = NULL;
  if (f == NULL)
    return filter_no_memory(err);
  f->ops = filter_ops;
  if (!SB_STORE_HAS(lower, sweep))
    f->ops.sweep = NULL;
  if (!SB_STORE_HAS(lower, describe))
    f->ops.describe = NULL;
  f->base.ops = &f->ops;
  f->host = host;
  f->lower = lower;
  f->hooks = hooks;
  f->idle = host->event_new(host);
  if (f->idle == NULL) {
    filter_release(host, f);
    return filter_no_memory(err);
  }
  pthread_mutex_init(&f->lock, NULL);
  *out = f;
  return SB_OK;
}

/* ---- small helpers ------------------------------------------------------ */

sb_status
filter_mask(const char *key, const char *list, uint32_t *mask, sb_error *err)
{
  const char *p = list;

  *mask = list == NULL || list[0] == '\0' ? FILTER_ALL : 0;
  while (p != NULL && *p != '\0') {
    size_t len;
    uint32_t kind;

    p += strspn(p, ",; ");
    len = strcspn(p, ",; ");
    for (kind = 0; kind < FILTER_KINDS; kind++)
      if (strlen(filter_names[kind]) == len
          && memcmp(filter_names[kind], p, len) == 0)
        break;
    if (len != 0 && kind == FILTER_KINDS)
      return sb_fail(err, SB_CONFIG,
                     "%s: unknown operation \"%.*s\"; there are get, put, "
                     "open, write, commit, abort, head, list, remove, copy",
                     key, (int)len, p);
    if (len != 0)
      *mask |= 1u << kind;
    p += len;
  }
  return SB_OK;
}

uint64_t
filter_random(uint64_t *state)
{
  uint64_t x = (*state += 0x9e3779b97f4a7c15u);

  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}
