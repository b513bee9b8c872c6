/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a range of an object. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/call.h"

typedef struct get_op {
  s3_op op;
  s3_call call;
  char range[64];
  size_t header_count;  /* without the range */
  int wanted;           /* more than nothing */
  int told;             /* a refused range told the size: */
  uint64_t size;
} get_op;

static void
get_end(get_op *get, sb_status status, uint64_t size)
{
  s3_op *op = &get->op;

  op->result.length = get->call.received;
  op->result.size = size;
  memcpy(op->result.etag, get->call.answer.etag, sizeof op->result.etag);
  s3_op_end(op, status);
}

/* Nothing lies at or behind the end: fine at the very end, else a mistake. */
static void
get_beyond(get_op *get, uint64_t size)
{
  sb_status status = SB_OK;

  get->call.received = 0;
  if (get->wanted && get->call.skip < size)
    status = sb_fail(&get->op.error, SB_IO,
                     "could not get object \"%.300s\": the server refuses a "
                     "range that is in it", get->op.name);
  else if (get->call.skip > size)
    status = sb_fail(&get->op.error, SB_INVALID,
                     "could not get object \"%.300s\": offset %llu is behind "
                     "its end, %llu", get->op.name,
                     (unsigned long long)get->call.skip,
                     (unsigned long long)size);
  get_end(get, status, size);
}

static void
get_looked(s3_call *call)
{
  get_op *get = call->arg;

  /* The tag counts if the object is still the one whose end was met. */
  if (get->told) {
    if (call->status != SB_OK || call->answer.length != get->size)
      call->answer.etag[0] = '\0';
    get_beyond(get, get->size);
  } else if (call->status == SB_OK && call->answer.length != UINT64_MAX)
    get_beyond(get, call->answer.length);
  else
    s3_op_end_call(&get->op, call);
}

/* A range of nothing, or one behind the end of an object whose size the
   answer does not tell. */
static void
get_look(get_op *get)
{
  s3_call *call = &get->call;

  call->method = "HEAD";
  call->kind = S3_KIND_HEAD;
  call->buffer = NULL;
  call->buffer_size = 0;
  call->header_count = get->header_count;
  call->done = get_looked;
  s3_call_start(call);
}

static void
get_done(s3_call *call)
{
  get_op *get = call->arg;
  const s3_answer *answer = &call->answer;
  uint64_t size = answer->http == 206 ? answer->total : answer->length;

  if (answer->http == 416 && answer->total != UINT64_MAX) {
    get->told = 1;
    get->size = answer->total;
    if (answer->etag[0] != '\0' || call->skip > get->size)
      get_beyond(get, get->size);
    else
      get_look(get);
  } else if (answer->http == 416)
    get_look(get);
  else if (call->status != SB_OK)
    s3_op_end_call(&get->op, call);
  else if (answer->http == 200 && size != UINT64_MAX && call->skip >= size)
    get_beyond(get, size);
  else
    get_end(get, SB_OK, size == UINT64_MAX ? call->skip + call->received
                                           : size);
}

static void
get_start(s3_op *op)
{
  get_op *get = (get_op *)op;
  s3_call *call = &get->call;

  get->header_count = call->header_count;
  get->wanted = call->buffer_size > 0;
  if (call->buffer_size == 0) {
    get_look(get);
    return;
  }
  (void)snprintf(get->range, sizeof get->range, "bytes=%llu-%llu",
                 (unsigned long long)call->skip,
                 (unsigned long long)(call->skip + call->buffer_size - 1));
  s3_call_header(call, "range", get->range);
  if (call->skip == 0 && op->store->crc32c)
    s3_call_header(call, "x-amz-checksum-mode", "ENABLED");
  s3_call_start(call);
}

static void
get_free(s3_op *op)
{
  s3_call_dispose(&((get_op *)op)->call);
}

sb_status
s3_get(sb_store *base, const sb_get_request *request, uint64_t *id,
       sb_error *err)
{
  s3_store *store = (s3_store *)base;
  sb_status status = s3_name_check(request->name, err);
  get_op *get;
  s3_call *call;

  if (status != SB_OK)
    return status;
  if (request->offset > INT64_MAX || request->length > INT64_MAX)
    return sb_fail(err, SB_INVALID,
                   "could not get object \"%.300s\": offset or length is out "
                   "of range", request->name);
  get = (get_op *)s3_op_new(store, sizeof *get,
                            s3_text_size(request->name)
                              + s3_text_size(request->if_match),
                            &request->base, get_start);
  if (get == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not get object \"%.300s\": out of memory",
                   request->name);
  get->op.name = s3_op_text(&get->op, request->name);
  get->op.free = get_free;
  call = &get->call;
  call->op = &get->op;
  call->kind = S3_KIND_GET;
  call->flags = S3_CALL_CUSTOMER_KEY;
  call->method = "GET";
  call->key = get->op.name;
  call->buffer = request->buffer;
  call->buffer_size = request->length;
  call->skip = request->offset;
  call->done = get_done;
  call->arg = get;
  if (request->if_match != NULL)
    s3_call_header(call, "if-match", s3_op_text(&get->op, request->if_match));
  return s3_op_submit(&get->op, id, err);
}
