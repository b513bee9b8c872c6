/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads in parts; see multipart.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/multipart.h"
#include "plugins/s3/net.h"
#include "plugins/s3/uri.h"

#define UPLOAD_TRIES 3u         /* of a part whose answer lacks its tag */
#define UPLOAD_ID_MAX 2048u
#define UPLOAD_ABANDON_NS 10000000000ull /* that an abort waits at most */
#define UPLOAD_NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

void
s3_upload_init(s3_upload *u, const s3_upload_events *events)
{
  const sb_host *host = u->op.store->host;

  u->events = events;
  u->query = s3_buf_of(host);
  u->text = s3_buf_of(host);
}

void
s3_upload_dispose(s3_upload *u)
{
  const sb_host *host = u->op.store->host;

  s3_call_dispose(&u->control);
  s3_buf_free(&u->query);
  s3_buf_free(&u->text);
  s3_free(host, u->id);
  s3_free(host, u->marks);
}

void
s3_upload_fail(s3_upload *u, sb_status status, const sb_error *error)
{
  if (u->status != SB_OK)
    return;
  u->status = status;
  if (error != NULL && error != &u->op.error)
    u->op.error = *error;
}

static sb_status
upload_no_memory(s3_upload *u)
{
  return sb_fail(&u->op.error, SB_NO_MEMORY,
                 "could not put object \"%.300s\": out of memory", u->op.name);
}

static void
upload_call(s3_upload *u, s3_call *call, s3_kind kind, const char *method,
            void (*done)(s3_call *call))
{
  const s3_store *store = u->op.store;

  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  call->op = &u->op;
  call->kind = kind;
  call->method = method;
  call->key = u->op.name;
  call->done = done;
  call->arg = u;
  if (u->own_deadline)
    call->deadline_ns = store->host->monotonic_ns(store->host)
                        + store->settings->request_ms * 1000000u;
}

/* ---- create ------------------------------------------------------------- */

static sb_status
upload_read_id(s3_upload *u, const s3_call *call)
{
  const sb_host *host = u->op.store->host;
  char id[UPLOAD_ID_MAX] = "";
  s3_buf encoded = s3_buf_of(host);
  sb_error error;
  sb_status status = s3_xml_read_text(host, s3_buf_string(&call->text),
                                      call->text.len, "UploadId", id,
                                      sizeof id, &error);

  if (status != SB_OK || id[0] == '\0')
    return sb_fail(&u->op.error, SB_IO,
                   "could not put object \"%.300s\": the server gave no "
                   "upload id: %.100s", u->op.name,
                   status == SB_OK ? "it is empty" : error.message);
  s3_uri_encode(&encoded, id, 0);
  if (encoded.failed) {
    s3_buf_free(&encoded);
    return upload_no_memory(u);
  }
  u->id = encoded.data;
  return SB_OK;
}

static void
upload_created(s3_call *call)
{
  s3_upload *u = call->arg;
  sb_status status = call->status;

  if (status == SB_OK)
    status = upload_read_id(u, call);
  else
    u->op.error = call->error;
  s3_upload_fail(u, status, &u->op.error);
  u->events->created(u, status);
}

static int
upload_has_crc32c(const s3_store *store)
{
  return store->settings->checksum == S3_CHECKSUM_CRC32C
         || (store->settings->checksum == S3_CHECKSUM_AUTO && store->crc32c);
}

void
s3_upload_create(s3_upload *u)
{
  s3_call *call = &u->control;

  upload_call(u, call, S3_KIND_UPLOAD_CREATE, "POST", upload_created);
  call->flags = S3_CALL_TEXT | S3_CALL_OK_ERROR | S3_CALL_OBJECT
                | S3_CALL_CUSTOMER_KEY;
  call->query = "uploads=";
  s3_condition_add_meta(&u->condition, call, 1);
  if (!u->copies && upload_has_crc32c(u->op.store))
    s3_call_header(call, "x-amz-checksum-algorithm", "CRC32C");
  u->mark_count = 0;
  u->conflict = 0;
  s3_call_start(call);
}

/* ---- parts -------------------------------------------------------------- */

void
s3_etag_quote(const char *etag, char out[SB_ETAG_MAX + 1])
{
  size_t len = strlen(etag);

  if (len > 0 && etag[0] != '"' && len + 2 <= SB_ETAG_MAX)
    (void)snprintf(out, SB_ETAG_MAX + 1, "\"%s\"", etag);
  else
    (void)snprintf(out, SB_ETAG_MAX + 1, "%s", etag);
}

/* The place of a part's mark; NULL without memory. */
static s3_part_mark *
upload_mark(s3_upload *u, uint32_t number)
{
  const sb_host *host = u->op.store->host;
  uint32_t size = u->mark_size == 0 ? 16 : u->mark_size;
  s3_part_mark *marks;

  while (size < number)
    size *= 2;
  if (size > u->mark_size) {
    marks = host->alloc(host, u->marks, size * sizeof *marks);
    if (marks == NULL)
      return NULL;
    u->marks = marks;
    u->mark_size = size;
  }
  while (u->mark_count < number)
    memset(&u->marks[u->mark_count++], 0, sizeof *u->marks);
  return &u->marks[number - 1];
}

static sb_status
upload_read_mark(s3_upload *u, const s3_call *call, s3_part_mark *mark)
{
  char etag[SB_ETAG_MAX + 1] = "";

  if (!u->copies) {
    memcpy(mark->etag, call->answer.etag, sizeof mark->etag);
    memcpy(mark->crc32c, call->answer.crc32c, sizeof mark->crc32c);
  } else if (s3_xml_read_text(u->op.store->host, s3_buf_string(&call->text),
                              call->text.len, "ETag", etag, sizeof etag, NULL)
             == SB_OK) {
    s3_etag_quote(etag, mark->etag);
  }
  if (mark->etag[0] != '\0')
    return SB_OK;
  return sb_fail(&u->op.error, SB_IO,
                 "could not put object \"%.300s\": the server gave no entity "
                 "tag for a part", u->op.name);
}

/* The upload is not there any more: somebody has given it up. */
static sb_status
upload_gone(s3_upload *u)
{
  return sb_fail(&u->op.error, SB_IO,
                 "could not put object \"%.300s\": its upload was given up by "
                 "somebody else", u->op.name);
}

static void
upload_part_called(s3_call *call)
{
  s3_part *part = call->arg;
  s3_upload *u = part->upload;
  sb_status status = call->status;
  sb_error before = u->op.error;
  s3_part_mark *mark;

  if (status == SB_OK) {
    mark = upload_mark(u, part->number);
    status = mark == NULL ? upload_no_memory(u)
                          : upload_read_mark(u, call, mark);
    if (status == SB_IO && ++part->tries < UPLOAD_TRIES) {
      s3_part_send(part);
      return;
    }
  } else if (strcmp(call->code, "NoSuchUpload") == 0) {
    status = upload_gone(u);
  } else {
    u->op.error = call->error;
  }
  if (u->status != SB_OK)
    u->op.error = before;
  s3_upload_fail(u, status, &u->op.error);
  part->busy = 0;
  u->busy--;
  u->events->sent(u, part, status);
}

void
s3_part_prepare(s3_upload *u, s3_part *part, uint32_t number)
{
  s3_call *call = &part->call;

  if (part->query.host == NULL)
    part->query = s3_buf_of(u->op.store->host);
  part->upload = u;
  part->number = number;
  part->tries = 0;
  part->busy = 1;
  u->busy++;
  s3_buf_clear(&part->query);
  s3_buf_printf(&part->query, "partNumber=%u&uploadId=%s", number, u->id);
  upload_call(u, call, u->copies ? S3_KIND_UPLOAD_PART_COPY
                                 : S3_KIND_UPLOAD_PART,
              "PUT", upload_part_called);
  call->arg = part;
  call->query = s3_buf_string(&part->query);
  call->flags = S3_CALL_CUSTOMER_KEY
                | (u->copies ? S3_CALL_TEXT | S3_CALL_OK_ERROR
                             : S3_CALL_CHECKSUM);
}

/* A call that was made once is made ready again, with what it was given. */
void
s3_part_send(s3_part *part)
{
  s3_call *call = &part->call;

  if (part->tries > 0) {
    s3_call again = { .op = call->op };

    again.kind = call->kind;
    again.flags = call->flags;
    again.method = call->method;
    again.key = call->key;
    again.query = call->query;
    memcpy(again.headers, call->headers, sizeof again.headers);
    again.header_count = call->header_count;
    again.body = call->body;
    again.deadline_ns = call->deadline_ns;
    again.done = call->done;
    again.arg = call->arg;
    s3_call_dispose(call);
    *call = again;
  }
  /* Without its query it would be a put of the whole object. */
  if (part->query.failed)
    call->hashed = 1;
  s3_call_start(call);
  if (part->query.failed)
    s3_call_end(call, sb_fail(&call->error, SB_NO_MEMORY,
                              "could not put object \"%.300s\": out of memory",
                              call->key));
}

void
s3_part_dispose(s3_part *part)
{
  s3_call_dispose(&part->call);
  if (part->query.host != NULL)
    s3_buf_free(&part->query);
}

/* ---- complete ----------------------------------------------------------- */

static void
upload_decided(s3_op *op, sb_status status, const char *etag)
{
  s3_upload *u = (s3_upload *)op;

  s3_upload_fail(u, status, &op->error);
  if (status == SB_OK) {
    s3_free(op->store->host, u->id);
    u->id = NULL;
  }
  u->events->completed(u, status, etag);
}

/* 200: the answer names the object's tag, or HEAD does. */
static void
upload_read_completed(s3_upload *u, const s3_call *call)
{
  char root[64] = "", tag[SB_ETAG_MAX + 1] = "", etag[SB_ETAG_MAX + 1];
  const char *text = s3_buf_string(&call->text);

  s3_xml_root(text, call->text.len, root);
  (void)s3_xml_read_text(u->op.store->host, text, call->text.len, "ETag", tag,
                         sizeof tag, NULL);
  s3_etag_quote(tag, etag);
  if (strcmp(root, "CompleteMultipartUploadResult") != 0) {
    sb_fail(&u->op.error, SB_UNKNOWN,
            "could not find out whether object \"%.300s\" was put: the "
            "server's answer is not whole", u->op.name);
    s3_condition_settle(&u->condition, &u->op, SB_UNKNOWN, upload_decided);
  } else if (etag[0] == '\0') {
    s3_condition_settle(&u->condition, &u->op, SB_OK, upload_decided);
  } else {
    upload_decided(&u->op, SB_OK, etag);
  }
}

static void
upload_completed(s3_call *call)
{
  s3_upload *u = call->arg;
  sb_status status;

  if (call->status == SB_OK) {
    upload_read_completed(u, call);
  } else if (strcmp(call->code, "NoSuchUpload") == 0) {
    status = upload_gone(u);
    if (call->ambiguous || call->attempts > 1)
      status = sb_fail(&u->op.error, SB_UNKNOWN,
                       "could not find out whether object \"%.300s\" was put: "
                       "an answer was lost, and its upload is gone",
                       u->op.name);
    s3_condition_settle(&u->condition, &u->op, status, upload_decided);
  } else {
    u->conflict = strcmp(call->code, "ConditionalRequestConflict") == 0;
    s3_condition_decide(&u->condition, &u->op, call, upload_decided);
  }
}

static void
upload_list_parts(s3_upload *u)
{
  uint32_t i;

  s3_buf_clear(&u->text);
  s3_buf_text(&u->text, "<CompleteMultipartUpload xmlns=\"" UPLOAD_NAMESPACE
                        "\">");
  for (i = 0; i < u->mark_count; i++) {
    const s3_part_mark *mark = &u->marks[i];

    s3_buf_printf(&u->text, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
    s3_xml_escape(&u->text, mark->etag);
    s3_buf_text(&u->text, "</ETag>");
    if (mark->crc32c[0] != '\0') {
      s3_buf_text(&u->text, "<ChecksumCRC32C>");
      s3_xml_escape(&u->text, mark->crc32c);
      s3_buf_text(&u->text, "</ChecksumCRC32C>");
    }
    s3_buf_text(&u->text, "</Part>");
  }
  s3_buf_text(&u->text, "</CompleteMultipartUpload>");
}

static void
upload_complete(s3_upload *u)
{
  s3_call *call = &u->control;

  upload_list_parts(u);
  s3_buf_clear(&u->query);
  s3_buf_printf(&u->query, "uploadId=%s", u->id);
  if (u->text.failed || u->query.failed) {
    upload_decided(&u->op, upload_no_memory(u), "");
    return;
  }
  upload_call(u, call, S3_KIND_UPLOAD_COMPLETE, "POST", upload_completed);
  call->flags = S3_CALL_WRITE | S3_CALL_TEXT | S3_CALL_OK_ERROR
                | S3_CALL_CUSTOMER_KEY;
  call->query = s3_buf_string(&u->query);
  u->slice = sb_slice_of(u->text.data, u->text.len);
  call->body = (s3_body){ .slices = &u->slice, .count = 1,
                          .length = u->text.len };
  s3_condition_add_test(&u->condition, call);
  s3_call_start(call);
}

static void
upload_looked(s3_call *call)
{
  s3_upload *u = call->arg;
  const s3_condition *c = &u->condition;
  int there = call->status == SB_OK;

  if (!there && call->status != SB_NOT_FOUND) {
    u->op.error = call->error;
    upload_decided(&u->op, call->status, "");
  } else if (c->if_match == NULL
               ? there
               : !there || strcmp(call->answer.etag, c->if_match) != 0) {
    s3_condition_settle(&u->condition, &u->op,
                        s3_condition_refuse(c, &u->op), upload_decided);
  } else {
    upload_complete(u);
  }
}

/*
 * Some servers (Ceph RGW 16) ignore conditions of completions. There a look
 * just before leaves a gap of one request; elsewhere it costs one.
 */
void
s3_upload_complete(s3_upload *u)
{
  s3_call *call = &u->control;

  if (!s3_condition_asked(&u->condition)
      || u->op.store->settings->endpoint == NULL) {
    upload_complete(u);
    return;
  }
  upload_call(u, call, S3_KIND_HEAD, "HEAD", upload_looked);
  call->flags = S3_CALL_CUSTOMER_KEY;
  s3_call_start(call);
}

/* ---- abandon ------------------------------------------------------------ */

typedef struct abandon_op {
  s3_op op;
  s3_call call;
  s3_buf query;
  s3_abandoned_fn *fn;
  void *arg;
} abandon_op;

static void
abandon_log(s3_store *store, const char *name, const char *reason)
{
  const sb_host *host = store->host;
  char text[640];

  (void)snprintf(text, sizeof text,
                 "could not give up the upload of object \"%.200s\", which "
                 "stays until it is swept: %.300s", name, reason);
  host->log(host, SB_LOG_WARN, "s3", text);
  host->metric_add(host, "s3.uploads_left", 1);
}

static void
abandon_called(s3_call *call)
{
  abandon_op *abandon = (abandon_op *)call->op;
  s3_abandoned_fn *fn = abandon->fn;
  void *arg = abandon->arg;

  if (call->status != SB_OK && call->answer.http != 404)
    abandon_log(call->op->store, call->op->name, call->error.message);
  s3_op_end(call->op, SB_OK);
  if (fn != NULL)
    fn(arg);
}

static void
abandon_start(s3_op *op)
{
  abandon_op *abandon = (abandon_op *)op;
  s3_call *call = &abandon->call;

  call->op = op;
  call->kind = S3_KIND_UPLOAD_ABORT;
  call->method = "DELETE";
  call->key = op->name;
  call->query = s3_buf_string(&abandon->query);
  call->done = abandon_called;
  s3_call_start(call);
}

static void
abandon_free(s3_op *op)
{
  abandon_op *abandon = (abandon_op *)op;

  s3_call_dispose(&abandon->call);
  s3_buf_free(&abandon->query);
}

static abandon_op *
abandon_new(const s3_upload *u)
{
  s3_store *store = u->op.store;
  abandon_op *abandon =
    (abandon_op *)s3_op_new(store, sizeof *abandon,
                            s3_text_size(u->op.name), NULL, abandon_start);

  if (abandon == NULL)
    return NULL;
  abandon->op.name = s3_op_text(&abandon->op, u->op.name);
  abandon->op.priority = SB_PRIORITY_BACKGROUND;
  abandon->op.free = abandon_free;
  abandon->query = s3_buf_of(store->host);
  s3_buf_printf(&abandon->query, "uploadId=%s", u->id);
  if (!abandon->query.failed)
    return abandon;
  abandon_free(&abandon->op);
  s3_op_discard(&abandon->op);
  return NULL;
}

/* Somebody waits for it. */
static void
abandon_hurry(abandon_op *abandon, uint64_t deadline_ns)
{
  const sb_host *host = abandon->op.store->host;
  uint64_t latest = host->monotonic_ns(host) + UPLOAD_ABANDON_NS;

  abandon->op.deadline_ns = deadline_ns < latest ? deadline_ns : latest;
}

void
s3_upload_abandon(s3_upload *u, s3_abandoned_fn *fn, void *arg)
{
  s3_store *store = u->op.store;
  abandon_op *abandon = u->id == NULL ? NULL : abandon_new(u);
  sb_error error;

  if (u->id != NULL && abandon == NULL)
    abandon_log(store, u->op.name, "out of memory");
  s3_free(store->host, u->id);
  u->id = NULL;
  if (abandon != NULL) {
    abandon->fn = fn;
    abandon->arg = arg;
    if (fn != NULL)
      abandon_hurry(abandon, u->op.deadline_ns);
    if (s3_op_submit(&abandon->op, NULL, &error) == SB_OK)
      return;
    abandon_log(store, u->op.name, error.message);
  }
  if (fn != NULL)
    fn(arg);
}
