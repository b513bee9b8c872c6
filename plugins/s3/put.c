/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an object by one PUT; larger ones are multipart.c's. */
#include "config.h"

#include <string.h>

#include "plugins/s3/condition.h"
#include "plugins/s3/multipart.h"

typedef struct put_op {
  s3_op op;
  s3_call call;
  s3_condition condition;
} put_op;

static void
put_decided(s3_op *op, sb_status status, const char *etag)
{
  put_op *put = (put_op *)op;

  op->result.size = put->call.body.length;
  (void)strncpy(op->result.etag, etag, SB_ETAG_MAX);
  s3_op_end(op, status);
}

static void
put_done(s3_call *call)
{
  put_op *put = call->arg;

  s3_condition_decide(&put->condition, &put->op, call, put_decided);
}

static void
put_start(s3_op *op)
{
  put_op *put = (put_op *)op;

  s3_condition_add_meta(&put->condition, &put->call, 0);
  s3_condition_add_test(&put->condition, &put->call);
  s3_call_start(&put->call);
}

static void
put_free(s3_op *op)
{
  s3_call_dispose(&((put_op *)op)->call);
}

static uint64_t
put_length(const sb_put_request *request)
{
  uint64_t length = 0, i;

  for (i = 0; i < request->body_count; i++)
    length += request->body[i].len;
  return length;
}

static sb_status
put_one(s3_store *store, const sb_put_request *request, uint64_t length,
        uint64_t *id, sb_error *err)
{
  put_op *put =
    (put_op *)s3_op_new(store, sizeof *put,
                        s3_text_size(request->name)
                          + s3_condition_size(request->if_match, request->meta,
                                              request->meta_count),
                        &request->base, put_start);
  s3_call *call;

  if (put == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not put object \"%.300s\": out of memory",
                   request->name);
  put->op.name = s3_op_text(&put->op, request->name);
  put->op.free = put_free;
  s3_condition_init(&put->condition, &put->op, put->op.name, request->flags,
                    request->if_match, request->meta, request->meta_count);
  call = &put->call;
  call->op = &put->op;
  call->kind = S3_KIND_PUT;
  call->flags = S3_CALL_WRITE | S3_CALL_CHECKSUM | S3_CALL_OBJECT
                | S3_CALL_CUSTOMER_KEY;
  call->method = "PUT";
  call->key = put->op.name;
  call->body.slices = request->body;
  call->body.count = request->body_count;
  call->body.length = length;
  call->done = put_done;
  call->arg = put;
  return s3_op_submit(&put->op, id, err);
}

sb_status
s3_put(sb_store *base, const sb_put_request *request, uint64_t *id,
       sb_error *err)
{
  s3_store *store = (s3_store *)base;
  uint64_t length = put_length(request);
  sb_status status = s3_name_check(request->name, err);

  if (status == SB_OK)
    status = s3_condition_check(store, request->name, request->flags,
                                request->if_match, request->meta,
                                request->meta_count, err);
  if (status != SB_OK)
    return status;
  if (length > store->settings->multipart_threshold)
    return s3_multipart_put_submit(base, request, id, err);
  return put_one(store, request, length, id, err);
}
