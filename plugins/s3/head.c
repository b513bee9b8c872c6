/* SPDX-License-Identifier: Apache-2.0 */
/* head: an object's size, entity tag and metadata. */
#include "config.h"

#include <string.h>

#include "plugins/s3/condition.h"

typedef struct head_op {
  s3_op op;
  s3_call call;
  sb_meta *meta;
  char byte;
} head_op;

static void
head_free(s3_op *op)
{
  head_op *head = (head_op *)op;

  s3_call_dispose(&head->call);
  s3_free(op->store->host, head->meta);
}

/* A HEAD that says 404 has no body to say what is missing: the object, or the
   bucket. A GET of one byte has. */
static void
head_ask_why(head_op *head)
{
  s3_call *call = &head->call;

  call->kind = S3_KIND_GET;
  call->method = "GET";
  call->buffer = &head->byte;
  call->buffer_size = 1;
  s3_call_header(call, "range", "bytes=0-0");
  s3_call_start(call);
}

static void
head_called(s3_call *call)
{
  head_op *head = (head_op *)call->op;
  s3_op *op = &head->op;
  uint64_t size = call->answer.http == 206 ? call->answer.total
                                           : call->answer.length;
  sb_status status;

  if (call->status == SB_NOT_FOUND && call->buffer == NULL) {
    head_ask_why(head);
    return;
  }
  if (call->status != SB_OK) {
    s3_op_end_call(op, call);
    return;
  }
  if (size == UINT64_MAX) {
    s3_op_end(op, sb_fail(&op->error, SB_IO,
                          "could not look at object \"%.300s\": the answer "
                          "lacks its length", op->name));
    return;
  }
  op->result.size = size;
  memcpy(op->result.etag, call->answer.etag, sizeof op->result.etag);
  status = s3_meta_view(&call->answer.meta, &head->meta,
                        &op->result.meta_count);
  op->result.meta = head->meta;
  if (status != SB_OK)
    sb_fail(&op->error, status,
            "could not look at object \"%.300s\": out of memory", op->name);
  s3_op_end(op, status);
}

static void
head_start(s3_op *op)
{
  head_op *head = (head_op *)op;

  head->call.op = op;
  head->call.kind = S3_KIND_HEAD;
  head->call.flags = S3_CALL_CUSTOMER_KEY;
  head->call.method = "HEAD";
  head->call.key = op->name;
  head->call.done = head_called;
  s3_call_start(&head->call);
}

sb_status
s3_head(sb_store *base, const sb_name_request *request, uint64_t *id,
        sb_error *err)
{
  sb_status status = s3_name_check(request->name, err);
  s3_op *op;

  if (status != SB_OK)
    return status;
  op = s3_op_new((s3_store *)base, sizeof(head_op),
                 s3_text_size(request->name), &request->base, head_start);
  if (op == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not look at object \"%.300s\": out of memory",
                   request->name);
  op->name = s3_op_text(op, request->name);
  op->free = head_free;
  return s3_op_submit(op, id, err);
}
