/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy: by the server, from this bucket or another one at the same endpoint.
 *
 * The source is looked at first, as the answer to a copy does not tell the
 * size. What is large is copied in parts. Create-only copies are too, whatever
 * their size: most servers do not heed If-None-Match of CopyObject, but heed it
 * when an upload is completed. Gaps, in which two such copies at once may both
 * succeed: servers that heed neither (Ceph RGW 16); and sources in another
 * bucket, which cannot be looked at from here, so that a create-only copy is
 * one CopyObject with If-None-Match. In both the target is looked at just
 * before.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/multipart.h"
#include "plugins/s3/uri.h"

#define COPY_TRIES 3u
/* In parts from so many times multipart-threshold on, and parts of so many
   times state-file-part-size: nothing has to be sent. */
#define COPY_LARGE 16u
#define COPY_PARTS 8u
#define COPY_META_ROOM 4096u
#define COPY_CUSTOMER "x-amz-copy-source-server-side-encryption-customer-"

typedef struct copy_op {
  s3_transfer transfer;     /* first; its operation is this one */
  s3_call look;             /* at the source or the target */
  s3_call call;
  s3_buf header;            /* x-amz-copy-source */
  const char *source;       /* NULL: in another bucket */
  uint32_t flags, tries;
} copy_op;

static s3_op *
copy_op_of(copy_op *copy)
{
  return &copy->transfer.upload.op;
}

static void
copy_free(s3_op *op)
{
  copy_op *copy = (copy_op *)op;

  s3_call_dispose(&copy->look);
  s3_call_dispose(&copy->call);
  s3_buf_free(&copy->header);
  s3_transfer_dispose(&copy->transfer);
}

static void
copy_add_source(const copy_op *copy, s3_call *call)
{
  const s3_settings *settings = call->op->store->settings;

  s3_call_header(call, "x-amz-copy-source", s3_buf_string(&copy->header));
  if (copy->source != NULL && copy->look.answer.etag[0] != '\0')
    s3_call_header(call, "x-amz-copy-source-if-match",
                   copy->look.answer.etag);
  if (settings->sse != S3_SSE_CUSTOMER)
    return;
  s3_call_header(call, COPY_CUSTOMER "algorithm", "AES256");
  s3_call_header(call, COPY_CUSTOMER "key", settings->customer_key);
  s3_call_header(call, COPY_CUSTOMER "key-md5", settings->customer_key_md5);
}

static void
copy_call(copy_op *copy, s3_call *call, s3_kind kind, const char *method,
          const char *key, void (*done)(s3_call *call))
{
  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  call->op = copy_op_of(copy);
  call->kind = kind;
  call->method = method;
  call->key = key;
  call->done = done;
  call->arg = copy;
}

static void
copy_look(copy_op *copy, const char *key, void (*done)(s3_call *call))
{
  copy_call(copy, &copy->look, S3_KIND_HEAD, "HEAD", key, done);
  copy->look.flags = S3_CALL_CUSTOMER_KEY;
  s3_call_start(&copy->look);
}

/* ---- one request -------------------------------------------------------- */

static void copy_begin(copy_op *copy);

/* The size of a copy from another bucket is only known now. */
static void
copy_looked_after(s3_call *call)
{
  s3_op *op = call->op;

  if (call->status == SB_OK) {
    op->result.size = call->answer.length;
    memcpy(op->result.etag, call->answer.etag, sizeof op->result.etag);
  } else {
    sb_fail(&op->error, SB_UNKNOWN,
            "object \"%.200s\" was copied, but could not be looked at: "
            "%.200s", op->name, call->error.message);
  }
  s3_op_end(op, call->status == SB_OK ? SB_OK : SB_UNKNOWN);
}

static void
copy_called(s3_call *call)
{
  copy_op *copy = call->arg;
  s3_op *op = call->op;
  char root[64] = "", etag[SB_ETAG_MAX + 1] = "";
  const char *text = s3_buf_string(&call->text);

  if (call->ambiguous && call->answer.http != 0
      && (call->status == SB_CONFLICT || call->status == SB_NOT_FOUND)) {
    s3_op_end(op, sb_fail(&op->error, SB_UNKNOWN,
                          "could not find out whether object \"%.200s\" was "
                          "made: an answer was lost, and then: %.200s",
                          op->name, call->error.message));
    return;
  }
  if (call->answer.http == 412 && (copy->flags & SB_PUT_CREATE) != 0) {
    s3_op_end(op, sb_fail(&op->error, SB_EXISTS,
                          "could not copy to object \"%.300s\": it exists",
                          op->name));
    return;
  }
  if (call->answer.http == 412 && !call->ambiguous
      && ++copy->tries < COPY_TRIES) {
    copy_begin(copy);
    return;
  }
  if (call->status != SB_OK) {
    s3_op_end_call(op, call);
    return;
  }
  s3_xml_root(text, call->text.len, root);
  if (strcmp(root, "CopyObjectResult") != 0) {
    s3_op_end(op, sb_fail(&op->error, SB_UNKNOWN,
                          "could not find out whether object \"%.300s\" was "
                          "made: the server's answer is not whole",
                          op->name));
    return;
  }
  if (copy->source == NULL) {
    copy_look(copy, op->name, copy_looked_after);
    return;
  }
  (void)s3_xml_read_text(op->store->host, text, call->text.len, "ETag", etag,
                         sizeof etag, NULL);
  s3_etag_quote(etag, op->result.etag);
  op->result.size = copy->look.answer.length;
  s3_op_end(op, SB_OK);
}

static void
copy_one(copy_op *copy)
{
  s3_call *call = &copy->call;

  copy_call(copy, call, S3_KIND_COPY, "PUT", copy_op_of(copy)->name,
            copy_called);
  call->flags = S3_CALL_WRITE | S3_CALL_TEXT | S3_CALL_OK_ERROR
                | S3_CALL_OBJECT | S3_CALL_CUSTOMER_KEY;
  copy_add_source(copy, call);
  s3_call_header(call, "x-amz-metadata-directive", "COPY");
  if (call->op->store->settings->tags != NULL)
    s3_call_header(call, "x-amz-tagging-directive", "REPLACE");
  if ((copy->flags & SB_PUT_CREATE) != 0)
    s3_call_header(call, "if-none-match", "*");
  s3_call_start(call);
}

/* ---- in parts ----------------------------------------------------------- */

static void
copy_fill(s3_transfer *t, s3_part *part, uint64_t offset, uint64_t length)
{
  const copy_op *copy = (const copy_op *)t;

  copy_add_source(copy, &part->call);
  (void)snprintf(part->range, sizeof part->range, "bytes=%llu-%llu",
                 (unsigned long long)offset,
                 (unsigned long long)(offset + length - 1));
  s3_call_header(&part->call, "x-amz-copy-source-range", part->range);
}

/* The target gets the source's metadata, and a nonce. */
static sb_status
copy_take_meta(copy_op *copy)
{
  s3_op *op = copy_op_of(copy);
  s3_condition *condition = &copy->transfer.upload.condition;
  sb_meta *meta;
  uint64_t count;
  sb_status status = s3_meta_view(&copy->look.answer.meta, &meta, &count);

  if (status != SB_OK)
    return sb_fail(&op->error, status,
                   "could not copy to object \"%.300s\": out of memory",
                   op->name);
  status = s3_condition_check(op->store, op->name, copy->flags, NULL, meta,
                              count, &op->error);
  if (status == SB_OK && s3_condition_size(NULL, meta, count) > COPY_META_ROOM)
    status = sb_fail(&op->error, SB_TOO_LARGE,
                     "could not copy to object \"%.300s\": the source has too "
                     "much metadata", op->name);
  if (status == SB_OK)
    s3_condition_init(condition, op, op->name, copy->flags, NULL, meta, count);
  s3_free(op->store->host, meta);
  return status;
}

static void
copy_put_decided(s3_op *op, sb_status status, const char *etag)
{
  (void)strncpy(op->result.etag, etag, SB_ETAG_MAX);
  s3_op_end(op, status);
}

static void
copy_put_called(s3_call *call)
{
  copy_op *copy = call->arg;

  s3_condition_decide(&copy->transfer.upload.condition, call->op, call,
                      copy_put_decided);
}

/* Nothing can be copied in parts: there are none of no bytes. */
static void
copy_nothing(copy_op *copy)
{
  s3_condition *condition = &copy->transfer.upload.condition;
  s3_call *call = &copy->call;

  copy_call(copy, call, S3_KIND_PUT, "PUT", copy_op_of(copy)->name,
            copy_put_called);
  call->flags = S3_CALL_WRITE | S3_CALL_OBJECT | S3_CALL_CUSTOMER_KEY;
  s3_condition_add_meta(condition, call, 1);
  s3_condition_add_test(condition, call);
  s3_call_start(call);
}

static void
copy_parts(copy_op *copy, uint64_t size)
{
  s3_transfer *t = &copy->transfer;
  const s3_settings *settings = t->upload.op.store->settings;
  uint64_t wish = settings->part_size * COPY_PARTS;
  sb_status status = copy_take_meta(copy);

  if (status != SB_OK) {
    s3_op_end(&t->upload.op, status);
    return;
  }
  if (size == 0) {
    copy_nothing(copy);
    return;
  }
  t->total = size;
  t->part_size = s3_part_size(settings, size);
  if (t->part_size < wish)
    t->part_size = wish < S3_PART_MAX ? wish : S3_PART_MAX;
  t->fill = copy_fill;
  t->upload.copies = 1;
  s3_transfer_start(t);
}

/* ---- looking first ------------------------------------------------------ */

static void
copy_looked(s3_call *call)
{
  copy_op *copy = call->arg;
  s3_op *op = call->op;
  const s3_settings *settings = op->store->settings;
  uint64_t size = call->answer.length;

  if (call->status != SB_OK) {
    s3_op_end_call(op, call);
    return;
  }
  if (size == UINT64_MAX) {
    s3_op_end(op, sb_fail(&op->error, SB_IO,
                          "could not copy object \"%.300s\": the answer lacks "
                          "its length", copy->source));
    return;
  }
  if ((copy->flags & SB_PUT_CREATE) != 0
      || size > settings->multipart_threshold * COPY_LARGE
      || size > S3_PUT_MAX)
    copy_parts(copy, size);
  else
    copy_one(copy);
}

static void
copy_looked_before(s3_call *call)
{
  copy_op *copy = call->arg;
  s3_op *op = call->op;

  if (call->status == SB_OK)
    s3_op_end(op, sb_fail(&op->error, SB_EXISTS,
                          "could not copy to object \"%.300s\": it exists",
                          op->name));
  else if (call->status != SB_NOT_FOUND)
    s3_op_end_call(op, call);
  else if (copy->source == NULL)
    copy_one(copy);
  else
    copy_look(copy, copy->source, copy_looked);
}

static void
copy_begin(copy_op *copy)
{
  s3_op *op = copy_op_of(copy);

  if ((copy->flags & SB_PUT_CREATE) != 0)
    copy_look(copy, op->name, copy_looked_before);
  else if (copy->source == NULL)
    copy_one(copy);
  else
    copy_look(copy, copy->source, copy_looked);
}

static void
copy_start(s3_op *op)
{
  copy_begin((copy_op *)op);
}

/* ---- the method --------------------------------------------------------- */

/* "HOST/BUCKET" or "BUCKET" of "s3://...", or NULL. */
static const char *
copy_root_place(const char *root)
{
  if (strncmp(root, "s3://", 5) == 0)
    return root + 5;
  return strncmp(root, "minio://", 8) == 0 ? root + 8 : NULL;
}

/* The bucket of a root at our endpoint, or NULL. */
static const char *
copy_root_bucket(const s3_store *store, const char *root)
{
  const char *own = copy_root_place(store->root_text);
  const char *place = copy_root_place(root);
  const char *slash = own == NULL ? NULL : strrchr(own, '/');
  size_t len = slash == NULL ? 0 : (size_t)(slash + 1 - own);

  if (own == NULL || place == NULL || strncmp(own, place, len) != 0
      || place[len] == '\0' || strchr(place + len, '/') != NULL)
    return NULL;
  return place + len;
}

static sb_status
copy_check(const s3_store *store, const sb_copy_request *request,
           const char **bucket, sb_error *err)
{
  sb_status status = s3_name_check(request->name, err);

  if (status == SB_OK)
    status = s3_name_check(request->source, err);
  if (status == SB_OK)
    status = s3_condition_check(store, request->name, request->flags, NULL,
                                NULL, 0, err);
  if (status != SB_OK)
    return status;
  *bucket = request->source_root == NULL
              ? store->settings->bucket
              : copy_root_bucket(store, request->source_root);
  if (*bucket == NULL)
    return sb_fail(err, SB_UNSUPPORTED,
                   "could not copy to object \"%.200s\": \"%.100s\" is not at "
                   "the endpoint of \"%.100s\"", request->name,
                   request->source_root, store->root_text);
  return SB_OK;
}

sb_status
s3_copy(sb_store *base, const sb_copy_request *request, uint64_t *id,
        sb_error *err)
{
  s3_store *store = (s3_store *)base;
  const char *bucket;
  sb_status status = copy_check(store, request, &bucket, err);
  copy_op *copy;
  s3_op *op;

  if (status != SB_OK)
    return status;
  op = s3_op_new(store, sizeof *copy,
                 s3_text_size(request->name) + s3_text_size(request->source)
                   + COPY_TRIES * COPY_META_ROOM,
                 &request->base, copy_start);
  copy = (copy_op *)op;
  if (copy == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not copy to object \"%.300s\": out of memory",
                   request->name);
  op->free = copy_free;
  op->name = s3_op_text(op, request->name);
  copy->source = s3_op_text(op, request->source);
  if (strcmp(bucket, store->settings->bucket) != 0)
    copy->source = NULL;
  copy->flags = request->flags;
  copy->header = s3_buf_of(store->host);
  s3_upload_init(&copy->transfer.upload, NULL);
  s3_buf_printf(&copy->header, "/%s/", bucket);
  s3_uri_encode(&copy->header, request->source, 1);
  if (copy->header.failed) {
    copy_free(op);
    s3_op_discard(op);
    return sb_fail(err, SB_NO_MEMORY,
                   "could not copy to object \"%.300s\": out of memory",
                   request->name);
  }
  return s3_op_submit(op, id, err);
}
