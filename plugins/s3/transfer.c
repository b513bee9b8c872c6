/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_transfer: an upload of a body of known size, several parts at a time; and
 * puts that are too large for one request. See multipart.h.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/multipart.h"

#define TRANSFER_RESTARTS 3u    /* uploads done anew after a conflict */

uint64_t
s3_part_size(const s3_settings *settings, uint64_t total)
{
  const uint64_t unit = 1u << 20;
  uint64_t size = settings->part_size;
  uint64_t least = (total + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

  if (least > size)
    size = (least + unit - 1) / unit * unit;
  return size;
}

static void transfer_step(s3_transfer *t);

static void
transfer_begin(s3_transfer *t)
{
  t->next = 0;
  t->next_number = 0;
  t->created = t->completing = 0;
  t->upload.status = SB_OK;
  s3_upload_create(&t->upload);
}

static void
transfer_created(s3_upload *u, sb_status status)
{
  s3_transfer *t = (s3_transfer *)u;

  t->created = status == SB_OK;
  transfer_step(t);
}

static void
transfer_sent(s3_upload *u, s3_part *part, sb_status status)
{
  s3_transfer *t = (s3_transfer *)u;
  uint32_t i;

  (void)part;
  if (status != SB_OK) {
    t->stepping++;
    for (i = 0; i < t->slot_count; i++)
      if (t->slots[i].busy)
        s3_call_cancel(&t->slots[i].call);
    t->stepping--;
  }
  transfer_step(t);
}

static void
transfer_completed(s3_upload *u, sb_status status, const char *etag)
{
  s3_transfer *t = (s3_transfer *)u;

  if (status == SB_OK) {
    u->op.result.size = t->total;
    (void)strcpy(u->op.result.etag, etag);
  }
  transfer_step(t);
}

static const s3_upload_events transfer_events = {
  transfer_created, transfer_sent, transfer_completed,
};

static void
transfer_send(s3_transfer *t, s3_part *part)
{
  uint64_t left = t->total - t->next;
  uint64_t length = left < t->part_size ? left : t->part_size;

  s3_part_prepare(&t->upload, part, ++t->next_number);
  t->fill(t, part, t->next, length);
  t->next += length;
  s3_part_send(part);
}

static void
transfer_end(s3_transfer *t)
{
  s3_upload *u = &t->upload;

  s3_upload_abandon(u, NULL, NULL);
  if (u->status != SB_OK && u->conflict && !u->op.cancelled
      && ++t->restarts < TRANSFER_RESTARTS)
    transfer_begin(t);
  else
    s3_op_end(&u->op, u->status);
}

/* Every change of state leads here; what it starts may lead here again. */
static void
transfer_step(s3_transfer *t)
{
  s3_upload *u = &t->upload;
  uint32_t i;

  if (t->stepping)
    return;
  t->stepping = 1;
  if (t->created && u->status == SB_OK)
    for (i = 0; i < t->slot_count && t->next < t->total; i++)
      if (!t->slots[i].busy)
        transfer_send(t, &t->slots[i]);
  t->stepping = 0;
  if (u->busy > 0)
    return;
  if (u->status == SB_OK && !t->completing) {
    t->completing = 1;
    s3_upload_complete(u);
  } else {
    transfer_end(t);
  }
}

void
s3_transfer_start(s3_transfer *t)
{
  s3_upload *u = &t->upload;
  const s3_settings *settings = u->op.store->settings;
  uint64_t parts;

  u->events = &transfer_events;
  if (t->part_size == 0)
    t->part_size = s3_part_size(settings, t->total);
  parts = (t->total + t->part_size - 1) / t->part_size;
  t->slot_count = parts < settings->upload_parallelism
                    ? (uint32_t)parts : settings->upload_parallelism;
  t->slots = s3_alloc(u->op.store->host, t->slot_count * sizeof *t->slots);
  if (t->slots == NULL)
    s3_op_end(&u->op, sb_fail(&u->op.error, SB_NO_MEMORY,
                              "could not put object \"%.300s\": out of memory",
                              u->op.name));
  else
    transfer_begin(t);
}

void
s3_transfer_dispose(s3_transfer *t)
{
  uint32_t i;

  for (i = 0; t->slots != NULL && i < t->slot_count; i++)
    s3_part_dispose(&t->slots[i]);
  s3_free(t->upload.op.store->host, t->slots);
  s3_upload_dispose(&t->upload);
}

/* ---- puts --------------------------------------------------------------- */

typedef struct transfer_put {
  s3_transfer transfer;
  s3_body body;
  s3_call whole;            /* all in one request */
} transfer_put;

static void
transfer_put_fill(s3_transfer *t, s3_part *part, uint64_t offset,
                  uint64_t length)
{
  const transfer_put *put = (const transfer_put *)t;

  part->call.body = put->body;
  part->call.body.offset = offset;
  part->call.body.length = length;
}

static void
transfer_put_decided(s3_op *op, sb_status status, const char *etag)
{
  op->result.size = ((transfer_put *)op)->body.length;
  (void)strncpy(op->result.etag, etag, SB_ETAG_MAX);
  s3_op_end(op, status);
}

static void
transfer_put_called(s3_call *call)
{
  transfer_put *put = call->arg;

  s3_condition_decide(&put->transfer.upload.condition, call->op, call,
                      transfer_put_decided);
}

static void
transfer_put_whole(transfer_put *put)
{
  s3_condition *condition = &put->transfer.upload.condition;
  s3_call *call = &put->whole;

  call->op = &put->transfer.upload.op;
  call->kind = S3_KIND_PUT;
  call->flags = S3_CALL_WRITE | S3_CALL_CHECKSUM | S3_CALL_OBJECT
                | S3_CALL_CUSTOMER_KEY;
  call->method = "PUT";
  call->key = call->op->name;
  call->body = put->body;
  call->done = transfer_put_called;
  call->arg = put;
  s3_condition_add_meta(condition, call, 0);
  s3_condition_add_test(condition, call);
  s3_call_start(call);
}

/* A server may ignore the condition of an upload's completion; of a PUT it
   heeds it if it has conditional writes at all. */
static void
transfer_put_start(s3_op *op)
{
  transfer_put *put = (transfer_put *)op;

  if (s3_condition_asked(&put->transfer.upload.condition)
      && op->store->settings->endpoint != NULL
      && put->body.length <= S3_PUT_MAX)
    transfer_put_whole(put);
  else
    s3_transfer_start(&put->transfer);
}

static void
transfer_put_free(s3_op *op)
{
  s3_call_dispose(&((transfer_put *)op)->whole);
  s3_transfer_dispose((s3_transfer *)op);
}

static uint64_t
transfer_put_total(const sb_put_request *request)
{
  uint64_t total = 0;
  uint64_t i;

  for (i = 0; i < request->body_count; i++)
    total += request->body[i].len;
  return total;
}

static sb_status
transfer_put_check(const s3_store *store, const sb_put_request *request,
                   uint64_t total, sb_error *err)
{
  sb_status status = s3_name_check(request->name, err);

  if (status == SB_OK)
    status = s3_condition_check(store, request->name, request->flags,
                                request->if_match, request->meta,
                                request->meta_count, err);
  if (status == SB_OK && total > S3_OBJECT_MAX)
    status = sb_fail(err, SB_TOO_LARGE,
                     "could not put object \"%.300s\": it has over 5 TiB",
                     request->name);
  return status;
}

sb_status
s3_multipart_put_submit(sb_store *base, const sb_put_request *request,
                        uint64_t *id, sb_error *err)
{
  s3_store *store = (s3_store *)base;
  uint64_t total = transfer_put_total(request);
  sb_status status = transfer_put_check(store, request, total, err);
  transfer_put *put;
  s3_upload *u;

  if (status != SB_OK)
    return status;
  put = (transfer_put *)
    s3_op_new(store, sizeof *put,
              s3_text_size(request->name)
                + s3_condition_size(request->if_match, request->meta,
                                    request->meta_count),
              &request->base, transfer_put_start);
  if (put == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not put object \"%.300s\": out of memory",
                   request->name);
  u = &put->transfer.upload;
  u->op.free = transfer_put_free;
  u->op.name = s3_op_text(&u->op, request->name);
  s3_upload_init(u, NULL);
  s3_condition_init(&u->condition, &u->op, u->op.name, request->flags,
                    request->if_match, request->meta, request->meta_count);
  if (request->base.deadline_ns == 0) {
    u->op.deadline_ns = SB_NO_DEADLINE;
    u->own_deadline = 1;
  }
  put->transfer.total = total;
  put->transfer.fill = transfer_put_fill;
  put->body = (s3_body){ .slices = request->body, .count = request->body_count,
                         .length = total };
  return s3_op_submit(&u->op, id, err);
}
