/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's methods: they check their arguments, copy what is only lent to
 * them and queue operations.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define LOCAL_REMOVE_MAX 1000u

static const sb_store_info *
local_info(sb_store *base)
{
  return &((local_store *)base)->info;
}

static sb_status
local_no_memory(sb_error *err, const char *name)
{
  return sb_fail(err, SB_NO_MEMORY, "object \"%.300s\": out of memory", name);
}

static size_t
local_size(const char *s)
{
  return s == NULL ? 0 : strlen(s) + 1;
}

static sb_status
local_get(sb_store *base, const sb_get_request *request, uint64_t *id,
          sb_error *err)
{
  local_op *op;
  sb_status status = local_name_check(request->name, err);

  if (status != SB_OK)
    return status;
  op = local_op_new((local_store *)base, &request->base,
                    local_size(request->name) + local_size(request->if_match),
                    local_run_get);
  if (op == NULL)
    return local_no_memory(err, request->name);
  op->name = local_op_text(op, request->name);
  op->if_match = local_op_text(op, request->if_match);
  op->offset = request->offset;
  op->length = request->length;
  op->buffer = request->buffer;
  return local_op_start(op, id, err);
}

static size_t
local_meta_bytes(const sb_meta *meta, uint64_t count)
{
  size_t bytes = 0;
  uint64_t i;

  for (i = 0; i < count; i++)
    bytes += local_size(meta[i].key) + local_size(meta[i].value);
  return bytes;
}

/* An operation that knows where to put an object, on which conditions. */
static sb_status
local_put_new(local_store *store, const sb_request *request, const char *name,
              uint32_t flags, const char *if_match, const sb_meta *meta,
              uint64_t meta_count, local_op **out, sb_error *err)
{
  size_t bytes = local_meta_bytes(meta, meta_count);
  local_op *op;
  uint64_t i;
  sb_status status = local_name_check(name, err);

  if (status != SB_OK)
    return status;
  if ((flags & ~SB_PUT_CREATE) != 0
      || ((flags & SB_PUT_CREATE) != 0 && if_match != NULL))
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": unknown flags 0x%x or "
                   "two conditions at once", name, flags);
  if (bytes - (size_t)meta_count * 2 > SB_META_MAX
      || bytes > LOCAL_META_BYTES_MAX)
    return sb_fail(err, SB_TOO_LARGE,
                   "could not put object \"%.300s\": over %u bytes of "
                   "metadata", name, SB_META_MAX);
  op = local_op_new(store, request,
                    local_size(name) + local_size(if_match) + bytes,
                    local_run_put);
  if (op == NULL)
    return local_no_memory(err, name);
  op->name = local_op_text(op, name);
  op->if_match = local_op_text(op, if_match);
  op->flags = flags;
  op->meta = op->text;
  op->meta_len = bytes;
  for (i = 0; i < meta_count; i++) {
    (void)local_op_text(op, meta[i].key);
    (void)local_op_text(op, meta[i].value);
  }
  *out = op;
  return SB_OK;
}

static sb_status
local_put(sb_store *base, const sb_put_request *request, uint64_t *id,
          sb_error *err)
{
  local_op *op;
  sb_status status =
    local_put_new((local_store *)base, &request->base, request->name,
                  request->flags, request->if_match, request->meta,
                  request->meta_count, &op, err);

  if (status != SB_OK)
    return status;
  op->body = request->body;
  op->body_count = request->body_count;
  return local_op_start(op, id, err);
}

static sb_status
local_head(sb_store *base, const sb_name_request *request, uint64_t *id,
           sb_error *err)
{
  local_op *op;
  sb_status status = local_name_check(request->name, err);

  if (status != SB_OK)
    return status;
  op = local_op_new((local_store *)base, &request->base,
                    local_size(request->name), local_run_head);
  if (op == NULL)
    return local_no_memory(err, request->name);
  op->name = local_op_text(op, request->name);
  op->cleanup = local_end_head;
  return local_op_start(op, id, err);
}

static sb_status
local_list(sb_store *base, const sb_list_request *request, uint64_t *id,
           sb_error *err)
{
  const char *after = request->start_after == NULL ? ""
                                                   : request->start_after;
  local_op *op = local_op_new((local_store *)base, &request->base,
                              local_size(request->prefix) + local_size(after),
                              local_run_list);

  if (op == NULL)
    return local_no_memory(err, request->prefix);
  op->name = local_op_text(op, request->prefix);
  op->source = local_op_text(op, after);
  op->length = request->limit;
  op->cleanup = local_end_list;
  return local_op_start(op, id, err);
}

static sb_status
local_remove(sb_store *base, const sb_remove_request *request, uint64_t *id,
             sb_error *err)
{
  size_t bytes = (size_t)request->name_count * sizeof(char *);
  local_op *op;
  uint64_t i;

  if (request->name_count > LOCAL_REMOVE_MAX)
    return sb_fail(err, SB_TOO_LARGE, "cannot remove over %u objects at once",
                   LOCAL_REMOVE_MAX);
  for (i = 0; i < request->name_count; i++) {
    sb_status status = local_name_check(request->names[i], err);

    if (status != SB_OK)
      return status;
    bytes += local_size(request->names[i]);
  }
  op = local_op_new((local_store *)base, &request->base, bytes,
                    local_run_remove);
  if (op == NULL)
    return local_no_memory(err, "(batch)");
  op->names = (char **)(void *)op->text;
  op->text += (size_t)request->name_count * sizeof(char *);
  op->name_count = request->name_count;
  op->statuses = request->statuses;
  for (i = 0; i < request->name_count; i++)
    op->names[i] = local_op_text(op, request->names[i]);
  op->name = op->name_count == 0 ? op->text : op->names[0];
  return local_op_start(op, id, err);
}

static sb_status
local_copy(sb_store *base, const sb_copy_request *request, uint64_t *id,
           sb_error *err)
{
  local_op *op;
  sb_status status = local_name_check(request->name, err);

  if (status == SB_OK)
    status = local_name_check(request->source, err);
  if (status == SB_OK && (request->flags & ~SB_PUT_CREATE) != 0)
    status = sb_fail(err, SB_INVALID,
                     "could not copy to object \"%.300s\": unknown flags 0x%x",
                     request->name, request->flags);
  if (status != SB_OK)
    return status;
  op = local_op_new((local_store *)base, &request->base,
                    local_size(request->name) + local_size(request->source)
                      + local_size(request->source_root),
                    local_run_copy);
  if (op == NULL)
    return local_no_memory(err, request->name);
  op->name = local_op_text(op, request->name);
  op->source = local_op_text(op, request->source);
  op->source_root = local_op_text(op, request->source_root);
  op->flags = request->flags;
  return local_op_start(op, id, err);
}

static void
local_cancel(sb_store *base, uint64_t id)
{
  local_op_cancel((local_store *)base, id);
}

/* ---- streams ------------------------------------------------------------ */

static void
stream_free(sb_stream *stream)
{
  local_store *store = stream->store;

  local_temp_drop(store, &stream->temp);
  local_op_free(stream->target);
  local_free(store, stream);
}

static sb_status
local_put_open(sb_store *base, const sb_stream_request *request,
               sb_stream **out, sb_error *err)
{
  local_store *store = (local_store *)base;
  sb_stream *stream;
  local_op *target;
  sb_status status =
    local_put_new(store, NULL, request->name, request->flags,
                  request->if_match, request->meta, request->meta_count,
                  &target, err);

  *out = NULL;
  if (status != SB_OK)
    return status;
  stream = local_alloc(store, sizeof *stream);
  if (stream == NULL) {
    local_op_free(target);
    return local_no_memory(err, request->name);
  }
  memset(stream, 0, sizeof *stream);
  stream->store = store;
  stream->target = target;
  /* The file is made by the first write: this call does no I/O. */
  stream->temp.fd = -1;
  *out = stream;
  return SB_OK;
}

static sb_status
stream_file(local_op *op, sb_error *err)
{
  sb_stream *stream = op->stream;

  if (stream->temp.fd >= 0
      || local_temp_open(stream->store, &stream->temp) == 0)
    return SB_OK;
  return local_fail(stream->store, errno, "put", op->name, err);
}

static sb_status
stream_run_write(local_op *op, sb_error *err)
{
  sb_stream *stream = op->stream;
  uint64_t before = stream->temp.size;
  sb_status status = stream_file(op, err);

  if (status != SB_OK)
    return status;
  if (local_temp_write(&stream->temp, op->body, op->body_count) != 0)
    return local_fail(stream->store, errno, "put", op->name, err);
  /* Starts the disk early, so that the commit has less to wait for. */
  if (stream->store->sync)
    (void)sync_file_range(stream->temp.fd, (off64_t)before,
                          (off64_t)(stream->temp.size - before),
                          SYNC_FILE_RANGE_WRITE);
  return SB_OK;
}

static sb_status
stream_run_commit(local_op *op, sb_error *err)
{
  sb_stream *stream = op->stream;
  sb_status status = stream_file(op, err);

  if (status != SB_OK)
    return status;
  status = local_temp_publish(stream->target, &stream->temp, "put", err);
  op->result.size = stream->target->result.size;
  memcpy(op->result.etag, stream->target->result.etag,
         sizeof op->result.etag);
  return status;
}

static sb_status
stream_run_abort(local_op *op, sb_error *err)
{
  (void)err;
  local_temp_drop(op->store, &op->stream->temp);
  return SB_OK;
}

static void
stream_end(local_op *op)
{
  stream_free(op->stream);
}

static sb_status
stream_start(sb_stream *stream, const sb_request *request,
             const sb_write_request *write,
             sb_status (*run)(local_op *op, sb_error *err),
             void (*cleanup)(local_op *op), sb_error *err)
{
  const char *name = stream->target->name;
  local_op *op = local_op_new(stream->store, request, local_size(name), run);

  if (op == NULL)
    return local_no_memory(err, name);
  op->name = local_op_text(op, name);
  op->stream = stream;
  op->cleanup = cleanup;
  if (write != NULL) {
    op->body = write->body;
    op->body_count = write->body_count;
  }
  return local_op_start(op, NULL, err);
}

static sb_status
local_put_write(sb_store *base, sb_stream *stream,
                const sb_write_request *request, sb_error *err)
{
  (void)base;
  return stream_start(stream, &request->base, request, stream_run_write, NULL,
                      err);
}

static sb_status
local_put_commit(sb_store *base, sb_stream *stream, const sb_request *request,
                 sb_error *err)
{
  (void)base;
  return stream_start(stream, request, NULL, stream_run_commit, stream_end,
                      err);
}

static sb_status
local_put_abort(sb_store *base, sb_stream *stream, const sb_request *request,
                sb_error *err)
{
  sb_status status = stream_start(stream, request, NULL, stream_run_abort,
                                  stream_end, err);

  (void)base;
  if (status != SB_OK)
    stream_free(stream);
  return status;
}

/* ---- the table ---------------------------------------------------------- */

void
local_store_free(local_store *store)
{
  const sb_host *host = store->host;

  if (store->root >= 0)
    close(store->root);
  if (store->idle != NULL)
    host->event_free(host, store->idle);
  pthread_mutex_destroy(&store->lock);
  local_free(store, store->root_text);
  local_free(store, store);
}

static void
local_close(sb_store *base)
{
  local_store *store = (local_store *)base;

  local_op_drain(store);
  local_store_free(store);
}

const sb_store_ops local_store_ops = {
  .struct_size = sizeof local_store_ops,
  .abi_version = SB_ABI_VERSION,
  .info = local_info,
  .get = local_get,
  .put = local_put,
  .put_open = local_put_open,
  .put_write = local_put_write,
  .put_commit = local_put_commit,
  .put_abort = local_put_abort,
  .head = local_head,
  .list = local_list,
  .remove = local_remove,
  .copy = local_copy,
  .cancel = local_cancel,
  .close = local_close,
};
