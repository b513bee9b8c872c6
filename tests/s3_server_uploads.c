/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads in parts of the test server. */
#include "config.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/s3_server_private.h"

static void
server_upload_drop(server_bucket *bucket, size_t at)
{
  server_object_free(bucket->uploads[at]);
  memmove(bucket->uploads + at, bucket->uploads + at + 1,
          (--bucket->upload_count - at) * sizeof *bucket->uploads);
}

static void
server_upload_create(server_work *work, server_bucket *bucket)
{
  server_object *upload;
  size_t at = 0;

  if (server_customer_key(work, NULL, "x-amz-server-side-encryption-") != 0)
    return;
  upload = server_object_new(work->key, work->request);
  upload->modified_ms = server_now(work->server);
  (void)snprintf(upload->id, sizeof upload->id, "upload+/%08llu",
                 (unsigned long long)++work->server->upload_ids);
  bucket->uploads = realloc(bucket->uploads, (bucket->upload_count + 1)
                                               * sizeof *bucket->uploads);
  if (bucket->uploads == NULL)
    abort();
  while (at < bucket->upload_count &&
         strcmp(bucket->uploads[at]->key, upload->key) <= 0)
    at++;
  memmove(bucket->uploads + at + 1, bucket->uploads + at,
          (bucket->upload_count++ - at) * sizeof *bucket->uploads);
  bucket->uploads[at] = upload;
  work->reply.status = 200;
  http_text_printf(&work->reply.body, "<?xml version=\"1.0\"?>\n"
                   "<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>",
                   work->bucket);
  server_xml(&work->reply.body, work->key);
  http_text_printf(&work->reply.body, "</Key><UploadId>%s</UploadId>"
                   "</InitiateMultipartUploadResult>", upload->id);
  server_reply_encryption(work, upload);
}

/* Takes `data`. */
static void
server_part_put(server_object *upload, unsigned number, char *data, size_t len)
{
  server_object hashed = { 0 };
  size_t at = 0;

  server_object_fill(&hashed, data, len);
  while (at < upload->part_count && upload->parts[at].number < number)
    at++;
  if (at < upload->part_count && upload->parts[at].number == number) {
    free(upload->parts[at].data);
  } else {
    upload->parts = realloc(upload->parts, (upload->part_count + 1)
                                             * sizeof *upload->parts);
    if (upload->parts == NULL)
      abort();
    memmove(upload->parts + at + 1, upload->parts + at,
            (upload->part_count++ - at) * sizeof *upload->parts);
  }
  upload->parts[at].number = number;
  upload->parts[at].data = hashed.data;
  upload->parts[at].len = len;
  memcpy(upload->parts[at].etag, hashed.etag, sizeof hashed.etag);
}

static unsigned
server_part_number(server_work *work)
{
  char *text = server_query(work->request, "partNumber");
  unsigned long number = text == NULL ? 0 : strtoul(text, NULL, 10);

  free(text);
  if (number >= 1 && number <= 10000)
    return (unsigned)number;
  server_fail(work, 400, "InvalidArgument", "parts have numbers of 1 to "
              "10,000");
  return 0;
}

static void
server_part_send(server_work *work, server_object *upload)
{
  const http_request *r = work->request;
  unsigned number = server_part_number(work);
  server_object hashed = { 0 };
  char checksum[128];

  if (number == 0 || server_check_body(work, checksum) != 0 ||
      server_customer_key(work, upload,
                          "x-amz-server-side-encryption-") != 0)
    return;
  server_object_fill(&hashed, r->body, r->body_len);
  server_part_put(upload, number, r->body, r->body_len);
  free(hashed.data);
  work->reply.status = 200;
  server_header(work, "ETag", hashed.etag);
  http_text_printf(&work->reply.headers, "%s", checksum);
}

static void
server_part_copy(server_work *work, server_object *upload)
{
  unsigned number = server_part_number(work);
  const server_object *source;
  size_t from, len, i;

  if (number == 0)
    return;
  source = server_copy_source(work, &from, &len);
  if (source == NULL)
    return;
  server_part_put(upload, number, source->data + from, len);
  work->reply.status = 200;
  for (i = 0; upload->parts[i].number != number; i++)
    continue;
  http_text_printf(&work->reply.body, "<CopyPartResult><ETag>&quot;%.32s&quot;"
                   "</ETag></CopyPartResult>", upload->parts[i].etag + 1);
}

/* The parts that the body names, in order and as they were sent. */
static int
server_upload_check(server_work *work, server_object *upload,
                    size_t *last_part)
{
  const char *at = work->request->body;
  char *part;
  unsigned long previous = 0;
  size_t i, len, count = 0;

  while ((part = server_xml_next(&at, "Part")) != NULL) {
    const char *in_part = part, *in_part_too = part;
    char *number = server_xml_next(&in_part, "PartNumber");
    char *etag = server_xml_next(&in_part_too, "ETag");
    unsigned long n = number == NULL ? 0 : strtoul(number, NULL, 10);

    free(number);
    free(part);
    for (i = 0; i < upload->part_count; i++) {
      if (upload->parts[i].number == n)
        break;
    }
    len = etag == NULL ? 0 : strlen(etag);
    if (n <= previous) {
      server_fail(work, 400, "InvalidPartOrder", "the parts are not in order");
    } else if (i == upload->part_count || len == 0 ||
               (strcmp(etag, upload->parts[i].etag) != 0 &&
                strncmp(etag, upload->parts[i].etag + 1, 32) != 0)) {
      server_fail(work, 400, "InvalidPart", "part %lu is not there", n);
    } else if (count > 0 &&
               upload->parts[*last_part].len < work->server->options.part_min)
      server_fail(work, 400, "EntityTooSmall", "a part is too small");
    free(etag);
    if (work->reply.status != 0)
      return -1;
    previous = n;
    *last_part = i;
    count++;
  }
  if (count == upload->part_count && count > 0)
    return 0;
  server_fail(work, 400, "MalformedXML", "not all parts are named");
  return -1;
}

static void
server_upload_join(server_object *upload, server_object *object)
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  http_text data = { 0 }, digests = { 0 };
  size_t i, bit;

  for (i = 0; i < upload->part_count; i++) {
    const server_part *part = &upload->parts[i];

    http_text_add(&data, part->data, part->len);
    for (bit = 0; bit < 16; bit++) {
      unsigned byte;

      (void)sscanf(part->etag + 1 + 2 * bit, "%2x", &byte);
      digest[0] = (unsigned char)byte;
      http_text_add(&digests, digest, 1);
    }
  }
  server_object_fill(object, data.data, data.len);
  if (EVP_Digest(digests.data, digests.len, digest, NULL, EVP_md5(), NULL)
      != 1)
    abort();
  server_hex(digest, 16, object->etag + 1);
  (void)snprintf(object->etag + 33, sizeof object->etag - 33, "-%zu\"",
                 upload->part_count);
  http_text_free(&data);
  http_text_free(&digests);
}

static void
server_upload_complete(server_work *work, server_bucket *bucket, size_t at)
{
  server_object *upload = bucket->uploads[at], *object;
  size_t last = 0;

  if (server_upload_check(work, upload, &last) != 0 ||
      server_conditions(work, bucket) != 0)
    return;
  object = server_object_new(work->key, NULL);
  object->headers = upload->headers;
  object->header_count = upload->header_count;
  upload->headers = NULL;
  upload->header_count = 0;
  server_upload_join(upload, object);
  object->modified_ms = server_now(work->server);
  server_object_add(bucket, object);
  server_upload_drop(bucket, at);
  work->reply.status = 200;
  http_text_printf(&work->reply.body, "<?xml version=\"1.0\"?>\n"
                   "<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>",
                   work->bucket);
  server_xml(&work->reply.body, work->key);
  http_text_printf(&work->reply.body, "</Key><ETag>");
  server_xml(&work->reply.body, object->etag);
  http_text_printf(&work->reply.body,
                   "</ETag></CompleteMultipartUploadResult>");
  server_reply_encryption(work, object);
}

void
server_upload(server_work *work, server_bucket *bucket)
{
  char *id;
  size_t at;

  if (strcmp(work->kind, "upload_create") == 0) {
    server_upload_create(work, bucket);
    return;
  }
  id = server_query(work->request, "uploadId");
  for (at = 0; at < bucket->upload_count; at++) {
    if (strcmp(bucket->uploads[at]->id, id) == 0 &&
        strcmp(bucket->uploads[at]->key, work->key) == 0)
      break;
  }
  free(id);
  if (at == bucket->upload_count) {
    server_fail(work, 404, "NoSuchUpload", "the upload does not exist");
  } else if (strcmp(work->kind, "upload_part") == 0) {
    server_part_send(work, bucket->uploads[at]);
  } else if (strcmp(work->kind, "upload_part_copy") == 0) {
    server_part_copy(work, bucket->uploads[at]);
  } else if (strcmp(work->kind, "upload_abort") == 0) {
    server_upload_drop(bucket, at);
    work->reply.status = 204;
  } else {
    server_upload_complete(work, bucket, at);
  }
}

void
server_upload_list(server_work *work, server_bucket *bucket)
{
  http_text *body = &work->reply.body;
  char *prefix = server_query(work->request, "prefix");
  char *key = server_query(work->request, "key-marker");
  char *id = server_query(work->request, "upload-id-marker");
  char *encoding = server_query(work->request, "encoding-type");
  char *max = server_query(work->request, "max-uploads");
  size_t limit = max == NULL ? 1000 : strtoul(max, NULL, 10), count = 0, i;
  const server_object *last = NULL;

  http_text_printf(body, "<?xml version=\"1.0\"?>\n"
                   "<ListMultipartUploadsResult><Bucket>%s</Bucket>",
                   work->bucket);
  for (i = 0; i < bucket->upload_count; i++) {
    const server_object *u = bucket->uploads[i];
    int order = key == NULL ? 1 : strcmp(u->key, key);

    if (strncmp(u->key, prefix == NULL ? "" : prefix,
                prefix == NULL ? 0 : strlen(prefix)) != 0 || order < 0 ||
        (order == 0 && (id == NULL || strcmp(u->id, id) <= 0)))
      continue;
    if (count++ == limit)
      break;
    last = u;
    http_text_printf(body, "<Upload><Key>");
    if (encoding != NULL)
      server_encode(body, u->key, 1);
    else
      server_xml(body, u->key);
    http_text_printf(body, "</Key><UploadId>%s</UploadId></Upload>", u->id);
  }
  http_text_printf(body, "<IsTruncated>%s</IsTruncated>",
                   count > limit ? "true" : "false");
  if (count > limit && last != NULL) {
    http_text_printf(body, "<NextKeyMarker>");
    if (encoding != NULL)
      server_encode(body, last->key, 1);
    else
      server_xml(body, last->key);
    http_text_printf(body, "</NextKeyMarker><NextUploadIdMarker>%s"
                     "</NextUploadIdMarker>", last->id);
  }
  http_text_printf(body, "</ListMultipartUploadsResult>");
  work->reply.status = 200;
  free(prefix);
  free(key);
  free(id);
  free(encoding);
  free(max);
}
