/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object written in pieces. What is written is copied into chunks that make
 * up parts; a full part is uploaded while writing goes on. A body that stays
 * small is put by one request when it is committed. Memory: hold.h.
 *
 * A stream is made on any thread and then belongs to the network thread. It is
 * an operation that is never submitted: writes, commit and abort are, and lead
 * to stream_step, which does what can be done.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/stream.h"

static void stream_step(sb_stream *s);

/* ---- writes ------------------------------------------------------------- */

/* Ends the write that all was taken of, or that cannot be. */
static void
stream_answer_write(sb_stream *s)
{
  stream_write *w = s->write;

  if (w == NULL
      || (s->upload.status == SB_OK && s3_stream_write_left(w)))
    return;
  s3_timer_stop(w->op.store->net, s->timer);
  s->timer = NULL;
  s->write = NULL;
  w->op.error = s->upload.op.error;
  s3_op_end(&w->op, s->upload.status);
}

static void
stream_write_late(void *arg)
{
  sb_stream *s = arg;

  s->timer = NULL;
  s3_stream_fail(s, sb_fail(&s->upload.op.error, SB_TIMEOUT,
                         "could not put object \"%.300s\": the deadline "
                         "passed while it waited for upload-memory",
                         s->upload.op.name));
  stream_step(s);
}

/* A write that has to wait does so until its deadline. */
static void
stream_watch_write(sb_stream *s)
{
  s3_store *store = s->upload.op.store;
  uint64_t deadline_ns, now;

  if (s->write == NULL || s->timer != NULL)
    return;
  deadline_ns = s->write->op.deadline_ns;
  now = store->host->monotonic_ns(store->host);
  if (deadline_ns != SB_NO_DEADLINE)
    s->timer = s3_timer_start(store->net,
                              deadline_ns <= now
                                ? 0 : (deadline_ns - now) / 1000000u + 1,
                              stream_write_late, s);
}

/* ---- sending ------------------------------------------------------------ */

static int
stream_should_create(const sb_stream *s)
{
  const s3_settings *settings = s->upload.op.store->settings;

  if (s->created || s->creating || s->ready == NULL || s->completing)
    return 0;
  return s->total > settings->multipart_threshold
         || s->size_hint > settings->multipart_threshold
         || s3_hold_is_short(s->upload.op.store);
}

/* Slices made when they are needed; a failure ends the stream. */
static int
stream_send_part(sb_stream *s, stream_part *p)
{
  s3_upload *u = &s->upload;

  p->slices = s3_alloc(s3_stream_host(s),
                       (size_t)p->chunks * sizeof *p->slices);
  if (p->slices == NULL) {
    s3_stream_part_free(s, p);
    s3_stream_fail(s, s3_stream_no_memory(s));
    return -1;
  }
  s3_stream_part_slices(p, p->slices);
  s3_part_prepare(u, &p->part, ++s->next_number);
  p->part.call.body = (s3_body){ .slices = p->slices, .count = p->chunks,
                                 .length = p->length };
  p->next = s->sent;
  s->sent = p;
  s3_hold_sends(&s->hold, 1);
  s3_part_send(&p->part);
  return 0;
}

static void
stream_send(sb_stream *s)
{
  s3_upload *u = &s->upload;
  uint32_t most = u->op.store->settings->upload_parallelism;

  if (u->status != SB_OK)
    return;
  if (stream_should_create(s)) {
    s->creating = 1;
    s3_hold_sends(&s->hold, 1);
    s3_upload_create(u);
  }
  while (s->created && s->ready != NULL && u->busy < most) {
    stream_part *p = s->ready;

    s->ready = p->next;
    s->ready_count--;
    if (stream_send_part(s, p) != 0)
      return;
  }
}

static void
stream_created(s3_upload *u, sb_status status)
{
  sb_stream *s = (sb_stream *)u;

  s->creating = 0;
  s->created = status == SB_OK;
  s->stepping++;
  if (status != SB_OK)
    s3_stream_drop(s);
  stream_send(s); /* before nothing seems to be on its way */
  s3_hold_sends(&s->hold, -1);
  s->stepping--;
  stream_step(s);
}

static void
stream_sent(s3_upload *u, s3_part *part, sb_status status)
{
  sb_stream *s = (sb_stream *)u;
  stream_part **at = &s->sent;
  stream_part *p = (stream_part *)part;

  while (*at != p)
    at = &(*at)->next;
  *at = p->next;
  s->stepping++;
  if (status != SB_OK)
    s3_stream_drop(s);
  stream_send(s);
  s3_stream_part_free(s, p);
  s3_hold_sends(&s->hold, -1);
  s->stepping--;
  stream_step(s);
}

/* ---- ending ------------------------------------------------------------- */

static void
stream_finished(s3_upload *u, sb_status status, const char *etag)
{
  sb_stream *s = (sb_stream *)u;

  s3_upload_fail(u, status, &u->op.error);
  if (status == SB_OK) {
    s->end->op.result.size = s->total;
    (void)strncpy(s->end->op.result.etag, etag, SB_ETAG_MAX);
  }
  s->completing = 0;
  s->ended = 1;
  stream_step(s);
}

static const s3_upload_events stream_events = {
  stream_created, stream_sent, stream_finished,
};

static void
stream_put_decided(s3_op *op, sb_status status, const char *etag)
{
  stream_finished((s3_upload *)op, status, etag);
}

static void
stream_put_called(s3_call *call)
{
  sb_stream *s = call->arg;

  s3_condition_decide(&s->upload.condition, &s->upload.op, call,
                      stream_put_decided);
}

/* The whole body's slices. Parts that are ready come before what is filled. */
static uint64_t
stream_put_body(sb_stream *s)
{
  stream_part *p;
  uint64_t count = 0;

  if (s->filling != NULL)
    s3_stream_seal(s);
  for (p = s->ready; p != NULL; p = p->next)
    count += p->chunks;
  s->put_slices = s3_alloc(s3_stream_host(s),
                           (size_t)count * sizeof *s->put_slices);
  if (s->put_slices == NULL)
    return 0;
  count = 0;
  for (p = s->ready; p != NULL; p = p->next) {
    s3_stream_part_slices(p, s->put_slices + count);
    count += p->chunks;
  }
  return count;
}

static void
stream_put(sb_stream *s)
{
  s3_call *call = &s->put;
  uint64_t count = stream_put_body(s);

  if (s->put_slices == NULL) {
    s3_stream_fail(s, s3_stream_no_memory(s));
    return;
  }
  s->completing = 1;
  s3_hold_sends(&s->hold, 1);
  call->op = &s->upload.op;
  call->kind = S3_KIND_PUT;
  call->flags = S3_CALL_WRITE | S3_CALL_CHECKSUM | S3_CALL_OBJECT
                | S3_CALL_CUSTOMER_KEY;
  call->method = "PUT";
  call->key = s->upload.op.name;
  call->body = (s3_body){ .slices = s->put_slices, .count = count,
                          .length = s->total };
  call->done = stream_put_called;
  call->arg = s;
  s3_condition_add_meta(&s->upload.condition, call, 0);
  s3_condition_add_test(&s->upload.condition, call);
  s3_call_start(call);
}

/* All was written and nothing has failed. */
static void
stream_commit(sb_stream *s)
{
  s3_upload *u = &s->upload;

  if (!s->created && !s->creating) {
    stream_put(s);
    return;
  }
  if (s->filling != NULL)
    s3_stream_seal(s);
  stream_send(s);
  if (s->creating || s->ready != NULL || u->busy > 0 || u->status != SB_OK)
    return;
  s->completing = 1;
  s3_upload_complete(u);
}

static void
stream_free(sb_stream *s)
{
  const sb_host *host = s3_stream_host(s);

  s->stepping = 1;
  s3_stream_parts_free(s, &s->ready);
  s3_stream_parts_free(s, &s->filling);
  s3_hold_leave(&s->hold);
  s3_call_dispose(&s->put);
  s3_free(host, s->put_slices);
  s3_upload_dispose(&s->upload);
  if (s->spare != NULL)
    s3_op_discard(&s->spare->op);
  s3_op_discard(&s->upload.op);
}

static void
stream_abandoned(void *arg)
{
  sb_stream *s = arg;
  s3_op *op = &s->end->op;
  sb_status status = s->end->abort ? SB_OK : s->upload.status;

  op->error = s->upload.op.error;
  stream_free(s);
  s3_op_end(op, status);
}

/* The end of the whole stream. An abort waits until the upload is gone. */
static void
stream_close(sb_stream *s)
{
  s->abandoning = 1;
  if (s->end->abort) {
    s3_upload_abandon(&s->upload, stream_abandoned, s);
  } else {
    s3_upload_abandon(&s->upload, NULL, NULL);
    stream_abandoned(s);
  }
}

/* Does what can be done now. What it starts may lead here again, and may not
   find the stream changed half way. */
static void
stream_step(sb_stream *s)
{
  s->again = 1;
  if (s->stepping)
    return;
  s->stepping = 1;
  while (s->again) {
    s->again = 0;
    s3_stream_fill(s);
    stream_send(s);
    stream_answer_write(s);
    stream_watch_write(s);
    if (s->end != NULL && s->upload.status == SB_OK && !s->end->abort
        && s->write == NULL && !s->completing && !s->ended)
      stream_commit(s);
  }
  s->stepping = 0;
  if (s->upload.busy > 0 || s->creating || s->completing || s->abandoning)
    return;
  if (s->end != NULL && (s->ended || s->end->abort
                         || s->upload.status != SB_OK))
    stream_close(s);
  else if (s->upload.status != SB_OK)
    s3_upload_abandon(&s->upload, NULL, NULL);
}

/* ---- memory ------------------------------------------------------------- */

static void
stream_granted(s3_hold *hold)
{
  sb_stream *s = (sb_stream *)((char *)hold - offsetof(sb_stream, hold));

  s->credit = hold->want;
  stream_step(s);
}

static void
stream_press(s3_hold *hold)
{
  sb_stream *s = (sb_stream *)((char *)hold - offsetof(sb_stream, hold));

  if (!s->stepping)
    stream_send(s);
}

/* ---- the methods -------------------------------------------------------- */

static void
stream_write_start(s3_op *op)
{
  stream_write *w = (stream_write *)op;
  sb_stream *s = w->stream;

  if (s->write != NULL || s->end != NULL) {
    s3_op_end(op, sb_fail(&op->error, SB_INVALID,
                          "could not put object \"%.300s\": a write before "
                          "the end of another one", s->upload.op.name));
    return;
  }
  if (!s->hold.joined && s3_hold_join(&s->hold) != 0)
    s3_stream_fail(s, s3_stream_no_memory(s));
  s->write = w;
  stream_step(s);
}

/* What is still to be done has the time that the end was given. */
static void
stream_end_start(s3_op *op)
{
  stream_end *end = (stream_end *)op;
  sb_stream *s = end->stream;
  stream_part *p;

  if (!s->hold.joined && s3_hold_join(&s->hold) != 0)
    s3_stream_fail(s, s3_stream_no_memory(s));
  s->end = end;
  s->upload.own_deadline = 0;
  s->upload.op.deadline_ns = op->deadline_ns;
  for (p = s->sent; p != NULL; p = p->next)
    if (p->part.call.deadline_ns > op->deadline_ns)
      p->part.call.deadline_ns = op->deadline_ns;
  if (s->creating && s->upload.control.deadline_ns > op->deadline_ns)
    s->upload.control.deadline_ns = op->deadline_ns;
  if (end->abort) {
    s3_upload_fail(&s->upload,
                   sb_fail(&s->upload.op.error, SB_CANCELLED,
                           "putting of object \"%.300s\" was given up",
                           s->upload.op.name), NULL);
    s->stepping++;
    s3_stream_drop(s);
    s->stepping--;
  }
  stream_step(s);
}

static sb_stream *
stream_new(s3_store *store, const sb_stream_request *request)
{
  size_t size = s3_text_size(request->name)
                + s3_condition_size(request->if_match, request->meta,
                                    request->meta_count);
  sb_stream *s = (sb_stream *)s3_op_new(store, sizeof *s, size, NULL, NULL);
  s3_upload *u;

  if (s == NULL)
    return NULL;
  s->spare = (stream_end *)s3_op_new(store, sizeof *s->spare, 0, NULL,
                                     stream_end_start);
  if (s->spare == NULL) {
    s3_op_discard(&s->upload.op);
    return NULL;
  }
  u = &s->upload;
  if (request->priority != 0)
    u->op.priority = request->priority;
  u->op.deadline_ns = SB_NO_DEADLINE;
  u->op.name = s3_op_text(&u->op, request->name);
  u->own_deadline = 1;
  s3_upload_init(u, &stream_events);
  s3_condition_init(&u->condition, &u->op, u->op.name, request->flags,
                    request->if_match, request->meta, request->meta_count);
  s->size_hint = request->size_hint;
  s->hold.store = store;
  s->hold.granted = stream_granted;
  s->hold.press = stream_press;
  return s;
}

sb_status
s3_stream_open(sb_store *base, const sb_stream_request *request,
               sb_stream **out, sb_error *err)
{
  s3_store *store = (s3_store *)base;
  sb_status status = s3_name_check(request->name, err);

  *out = NULL;
  if (status == SB_OK)
    status = s3_condition_check(store, request->name, request->flags,
                                request->if_match, request->meta,
                                request->meta_count, err);
  if (status == SB_OK && request->size_hint > S3_OBJECT_MAX)
    status = sb_fail(err, SB_TOO_LARGE,
                     "could not put object \"%.300s\": it is to have over "
                     "5 TiB", request->name);
  if (status != SB_OK)
    return status;
  *out = stream_new(store, request);
  if (*out == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not put object \"%.300s\": out of memory",
                   request->name);
  return SB_OK;
}

sb_status
s3_stream_write(sb_store *base, sb_stream *s, const sb_write_request *request,
                sb_error *err)
{
  stream_write *w =
    (stream_write *)s3_op_new((s3_store *)base, sizeof *w, 0, &request->base,
                              stream_write_start);

  if (w == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not write to an object: out of memory");
  w->stream = s;
  w->body = request->body;
  w->count = request->body_count;
  return s3_op_submit(&w->op, NULL, err);
}

static sb_status
stream_end_submit(sb_stream *s, const sb_request *request, int stops,
                  sb_error *err)
{
  stream_end *end = s->spare;

  s->spare = NULL;
  s3_op_ask(&end->op, request);
  end->stream = s;
  end->abort = stops;
  return s3_op_submit(&end->op, NULL, err);
}

sb_status
s3_stream_commit(sb_store *base, sb_stream *s, const sb_request *request,
                 sb_error *err)
{
  (void)base;
  return stream_end_submit(s, request, 0, err);
}

sb_status
s3_stream_abort(sb_store *base, sb_stream *s, const sb_request *request,
                sb_error *err)
{
  (void)base;
  return stream_end_submit(s, request, 1, err);
}
