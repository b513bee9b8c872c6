/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store vtable over a bucket. It copies and checks every request: a caller
 * that breaks the contract of store.h fails the run.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/bucket_store.h"
#include "tests/simulator/item.h"

static bucket_store *
store_of(sb_store *store)
{
  return (bucket_store *)(void *)store;
}

static char *
copy_text(const char *text)
{
  return text == NULL ? NULL : strdup(text);
}

/* store.h's rules for names. */
static int
name_is_good(const char *name)
{
  const char *part = name, *p;

  if (name == NULL || name[0] == 0 || strlen(name) > SB_OBJECT_NAME_MAX)
    return 0;
  for (p = name;; p++) {
    if (*p == '/' || *p == 0) {
      size_t len = (size_t)(p - part);

      if (len == 0 || (len == 1 && part[0] == '.') ||
          (len == 2 && part[0] == '.' && part[1] == '.'))
        return 0;
      part = p + 1;
      if (*p == 0)
        return 1;
    } else if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
      return 0;
    }
  }
}

static void
name_check(bucket_store *store, const char *name, const char *what)
{
  if (!name_is_good(name))
    sim_fail(store->bucket->sim, SIM_WRONG, "%s of the bad name \"%s\"", what,
             name == NULL ? "(null)" : name);
}

static void
request_check(bucket_store *store, const sb_request *base, size_t size,
              const char *what)
{
  if (base->struct_size != size || base->done == NULL)
    sim_fail(store->bucket->sim, SIM_WRONG,
             "%s with a struct_size of %u, not %zu, or without done", what,
             base->struct_size, size);
}

static object_data *
body_copy(const sb_slice *body, uint64_t count)
{
  object_data *data;
  uint64_t size = 0, i;

  for (i = 0; i < count; i++)
    size += body[i].len;
  data = objects_data(NULL, size);
  size = 0;
  for (i = 0; i < count; i++) {
    if (body[i].len != 0)
      memcpy(data->bytes + size, body[i].data, body[i].len);
    size += body[i].len;
  }
  return data;
}

static const sb_store_info *
bucket_info(sb_store *store)
{
  return &store_of(store)->bucket->info;
}

static sb_status
bucket_get(sb_store *s, const sb_get_request *request, uint64_t *number,
           sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op = bucket_op_new(store, BUCKET_GET, &request->base);

  request_check(store, &request->base, sizeof *request, "get");
  name_check(store, request->name, "get");
  op->name = copy_text(request->name);
  op->if_match = copy_text(request->if_match);
  op->offset = request->offset;
  op->length = request->length;
  op->buffer = request->buffer;
  if (op->length != 0)
    memset(op->buffer, 0xEE, op->length < 65536 ? (size_t)op->length : 65536);
  return bucket_op_submit(op, number, err);
}

static sb_status
bucket_put(sb_store *s, const sb_put_request *request, uint64_t *number,
           sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op;
  uint32_t has = store->bucket->info.flags;

  if ((request->if_match != NULL && (has & SB_STORE_MATCH) == 0) ||
      ((request->flags & SB_PUT_CREATE) != 0 && (has & SB_STORE_CREATE) == 0))
    return sb_error_set(err, SB_UNSUPPORTED,
                        "simulated: the store has no such condition");
  op = bucket_op_new(store, BUCKET_PUT, &request->base);
  request_check(store, &request->base, sizeof *request, "put");
  name_check(store, request->name, "put");
  op->name = copy_text(request->name);
  op->if_match = copy_text(request->if_match);
  op->flags = request->flags;
  op->body = request->body;
  op->body_count = request->body_count;
  op->data = body_copy(request->body, request->body_count);
  op->meta = objects_meta(request->meta, request->meta_count);
  op->meta_count = request->meta_count;
  return bucket_op_submit(op, number, err);
}

static sb_status
bucket_head(sb_store *s, const sb_name_request *request, uint64_t *number,
            sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op = bucket_op_new(store, BUCKET_HEAD, &request->base);

  request_check(store, &request->base, sizeof *request, "head");
  name_check(store, request->name, "head");
  op->name = copy_text(request->name);
  return bucket_op_submit(op, number, err);
}

static sb_status
bucket_list(sb_store *s, const sb_list_request *request, uint64_t *number,
            sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op = bucket_op_new(store, BUCKET_LIST, &request->base);

  request_check(store, &request->base, sizeof *request, "list");
  op->prefix = copy_text(request->prefix == NULL ? "" : request->prefix);
  op->start_after = copy_text(request->start_after);
  op->limit = request->limit == 0 ? 1000 : request->limit;
  if (rng_chance(&store->bucket->rng, 300))
    op->limit = rng_range(&store->bucket->rng, 1, op->limit);
  return bucket_op_submit(op, number, err);
}

static sb_status
bucket_remove(sb_store *s, const sb_remove_request *request, uint64_t *number,
              sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op = bucket_op_new(store, BUCKET_REMOVE, &request->base);
  uint64_t i;

  request_check(store, &request->base, sizeof *request, "remove");
  if (request->name_count > 1000)
    sim_fail(store->bucket->sim, SIM_WRONG, "remove of over 1,000 names");
  op->names = sim_memory(NULL, ((size_t)request->name_count + 1) *
                         sizeof *op->names);
  op->outcomes = sim_memory(NULL, ((size_t)request->name_count + 1) *
                            sizeof *op->outcomes);
  for (i = 0; i < request->name_count; i++) {
    name_check(store, request->names[i], "remove");
    op->names[i] = copy_text(request->names[i]);
  }
  op->name_count = request->name_count;
  op->statuses = request->statuses;
  return bucket_op_submit(op, number, err);
}

static sb_status
bucket_copy(sb_store *s, const sb_copy_request *request, uint64_t *number,
            sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op;

  if (request->source_root != NULL &&
      strcmp(request->source_root, store->bucket->info.root) != 0)
    return sb_error_set(err, SB_UNSUPPORTED, "simulated: a foreign root");
  op = bucket_op_new(store, BUCKET_COPY, &request->base);
  request_check(store, &request->base, sizeof *request, "copy");
  name_check(store, request->source, "copy");
  name_check(store, request->name, "copy");
  op->name = copy_text(request->name);
  op->source = copy_text(request->source);
  op->flags = request->flags;
  return bucket_op_submit(op, number, err);
}

static void
bucket_cancel_op(sb_store *s, uint64_t number)
{
  bucket_cancel(store_of(s), number);
}

static void
bucket_close(sb_store *s)
{
  bucket_store *store = store_of(s);
  sim_process *process = store->process;
  bucket_store **at = &process->stores;

  sim_check_unlocked(process->sim, "a store's close");
  if (process->sim->current == NULL) {
    sim_fail(process->sim, SIM_WRONG, "a store is closed in a completion");
    return;
  }
  while (store->in_flight != 0)
    sim_sleep(process->sim, SIM_MS / 10);
  if (store->streams != NULL)
    sim_fail(process->sim, SIM_LEAKED,
             "the store is closed with the stream \"%s\" open",
             store->streams->name);
  while (*at != store)
    at = &(*at)->next;
  *at = store->next;
  free(store);
}

/* ---- streams ------------------------------------------------------------ */

void
stream_free(sb_stream *stream)
{
  if (stream->prev != NULL)
    stream->prev->next = stream->next;
  else
    stream->store->streams = stream->next;
  if (stream->next != NULL)
    stream->next->prev = stream->prev;
  objects_meta_free(stream->meta, stream->meta_count);
  free(stream->bytes);
  free(stream->if_match);
  free(stream->name);
  free(stream);
}

static sb_status
bucket_put_open(sb_store *s, const sb_stream_request *request,
                sb_stream **out, sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket *b = store->bucket;
  sb_stream *stream;

  *out = NULL;
  sim_check_unlocked(b->sim, "put_open");
  name_check(store, request->name, "put_open");
  if (request->struct_size != sizeof *request)
    sim_fail(b->sim, SIM_WRONG, "put_open with a wrong struct_size");
  if (b->unkind && rng_chance(&b->rng, b->fail_before) && ++b->faults != 0)
    return sb_error_set(err, SB_UNAVAILABLE,
                        "simulated: put_open \"%s\" is refused",
                        request->name);
  stream = sim_memory(NULL, sizeof *stream);
  memset(stream, 0, sizeof *stream);
  stream->store = store;
  stream->name = copy_text(request->name);
  stream->if_match = copy_text(request->if_match);
  stream->flags = request->flags;
  stream->priority = request->priority;
  stream->size_hint = request->size_hint;
  stream->meta = objects_meta(request->meta, request->meta_count);
  stream->meta_count = request->meta_count;
  stream->next = store->streams;
  if (stream->next != NULL)
    stream->next->prev = stream;
  store->streams = stream;
  *out = stream;
  return SB_OK;
}

static void
stream_begin(sb_stream *stream, const char *what)
{
  if (stream->busy || stream->ending)
    sim_fail(stream->store->bucket->sim, SIM_WRONG,
             "%s on the stream \"%s\" while it is busy or over", what,
             stream->name);
  stream->busy = 1;
}

void
stream_wrote(bucket_op *op)
{
  sb_stream *stream = op->stream;

  stream->busy = 0;
  if (op->status != SB_OK) {
    stream->failed = 1;
    return;
  }
  if (stream->size + op->data->size > stream->cap) {
    stream->cap = (stream->size + op->data->size) * 2;
    stream->bytes = sim_memory(stream->bytes, (size_t)stream->cap);
  }
  if (op->data->size != 0)
    memcpy(stream->bytes + stream->size, op->data->bytes,
           (size_t)op->data->size);
  stream->size += op->data->size;
  if (stream->size_hint != 0 && stream->size > stream->size_hint)
    sim_fail(stream->store->bucket->sim, SIM_WRONG,
             "the stream \"%s\" is longer than its hint", stream->name);
}

static sb_status
bucket_put_write(sb_store *s, sb_stream *stream,
                 const sb_write_request *request, sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op;
  sb_status status;

  request_check(store, &request->base, sizeof *request, "put_write");
  stream_begin(stream, "put_write");
  op = bucket_op_new(store, BUCKET_WRITE, &request->base);
  op->name = copy_text(stream->name);
  op->body = request->body;
  op->body_count = request->body_count;
  op->data = body_copy(request->body, request->body_count);
  op->stream = stream;
  status = bucket_op_submit(op, NULL, err);
  if (status != SB_OK)
    stream->busy = 0, stream->failed = 1;
  return status;
}

static sb_status
bucket_put_commit(sb_store *s, sb_stream *stream, const sb_request *request,
                  sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op;
  sb_status status;

  stream_begin(stream, "put_commit");
  if (stream->failed)
    sim_fail(store->bucket->sim, SIM_WRONG,
             "put_commit of the stream \"%s\" after a failed write",
             stream->name);
  stream->ending = 1;
  op = bucket_op_new(store, BUCKET_PUT, request);
  op->name = copy_text(stream->name);
  op->if_match = copy_text(stream->if_match);
  op->flags = stream->flags;
  op->data = objects_data(stream->bytes, stream->size);
  op->meta = objects_meta(stream->meta, stream->meta_count);
  op->meta_count = stream->meta_count;
  op->stream = stream;
  status = bucket_op_submit(op, NULL, err);
  if (status != SB_OK)
    stream->busy = stream->ending = 0; /* refused: it is still open */
  return status;
}

static sb_status
bucket_put_abort(sb_store *s, sb_stream *stream, const sb_request *request,
                 sb_error *err)
{
  bucket_store *store = store_of(s);
  bucket_op *op;

  stream_begin(stream, "put_abort");
  stream->ending = 1;
  op = bucket_op_new(store, BUCKET_ABORT, request);
  op->name = copy_text(stream->name);
  op->stream = stream;
  return bucket_op_submit(op, NULL, err);
}

const sb_store_ops *
bucket_store_ops(void)
{
  static const sb_store_ops ops = {
    .struct_size = sizeof (sb_store_ops),
    .abi_version = SB_ABI_VERSION,
    .info = bucket_info,
    .get = bucket_get,
    .put = bucket_put,
    .put_open = bucket_put_open,
    .put_write = bucket_put_write,
    .put_commit = bucket_put_commit,
    .put_abort = bucket_put_abort,
    .head = bucket_head,
    .list = bucket_list,
    .remove = bucket_remove,
    .copy = bucket_copy,
    .cancel = bucket_cancel_op,
    .close = bucket_close,
  };

  return &ops;
}
