/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the test server: put, get, head, copy, conditions, ranges. */
#include "config.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/s3_server_private.h"

#define CUSTOMER "x-amz-server-side-encryption-customer-"

/* ---- objects ------------------------------------------------------------ */

/* Where the key is, or would be. */
static size_t
server_object_place(const server_bucket *bucket, const char *key)
{
  size_t low = 0, high = bucket->object_count;

  while (low < high) {
    size_t middle = (low + high) / 2;

    if (strcmp(bucket->objects[middle]->key, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

server_object *
server_object_find(server_bucket *bucket, const char *key)
{
  size_t at = server_object_place(bucket, key);

  return at < bucket->object_count &&
         strcmp(bucket->objects[at]->key, key) == 0 ? bucket->objects[at]
                                                    : NULL;
}

server_object *
server_object_new(const char *key, const http_request *request)
{
  server_object *object = http_alloc(sizeof *object);
  size_t i;

  object->key = http_strdup(key);
  if (request == NULL)
    return object;
  object->headers = http_alloc(request->header_count * sizeof (http_field));
  for (i = 0; i < request->header_count; i++) {
    const http_field *field = &request->headers[i];

    if (strncmp(field->name, "x-amz-", 6) != 0 &&
        strcmp(field->name, "content-type") != 0)
      continue;
    object->headers[object->header_count].name = http_strdup(field->name);
    object->headers[object->header_count++].value = http_strdup(field->value);
  }
  return object;
}

void
server_object_free(server_object *object)
{
  size_t i;

  if (object == NULL)
    return;
  for (i = 0; i < object->header_count; i++) {
    free(object->headers[i].name);
    free(object->headers[i].value);
  }
  for (i = 0; i < object->part_count; i++)
    free(object->parts[i].data);
  free(object->parts);
  free(object->headers);
  free(object->key);
  free(object->data);
  free(object);
}

void
server_object_fill(server_object *object, const void *data, size_t len)
{
  unsigned char digest[EVP_MAX_MD_SIZE];

  object->data = http_alloc(len);
  if (len > 0)
    memcpy(object->data, data, len);
  object->len = len;
  if (EVP_Digest(data, len, digest, NULL, EVP_md5(), NULL) != 1)
    abort();
  object->etag[0] = '"';
  server_hex(digest, 16, object->etag + 1);
  object->etag[33] = '"';
}

void
server_object_add(server_bucket *bucket, server_object *object)
{
  size_t at = server_object_place(bucket, object->key);

  if (at < bucket->object_count &&
      strcmp(bucket->objects[at]->key, object->key) == 0) {
    server_object_free(bucket->objects[at]);
    bucket->objects[at] = object;
    return;
  }
  bucket->objects = realloc(bucket->objects, (bucket->object_count + 1)
                                               * sizeof *bucket->objects);
  if (bucket->objects == NULL)
    abort();
  memmove(bucket->objects + at + 1, bucket->objects + at,
          (bucket->object_count++ - at) * sizeof *bucket->objects);
  bucket->objects[at] = object;
}

void
server_object_remove(server_bucket *bucket, const char *key)
{
  size_t at = server_object_place(bucket, key);

  if (at == bucket->object_count ||
      strcmp(bucket->objects[at]->key, key) != 0)
    return;
  server_object_free(bucket->objects[at]);
  memmove(bucket->objects + at, bucket->objects + at + 1,
          (--bucket->object_count - at) * sizeof *bucket->objects);
}

const char *
server_object_header(const server_object *object, const char *name)
{
  size_t i;

  for (i = 0; i < object->header_count; i++) {
    if (strcmp(object->headers[i].name, name) == 0)
      return object->headers[i].value;
  }
  return NULL;
}

/* ---- conditions and keys ------------------------------------------------ */

/* With or without quotes. */
static int
server_same_etag(const char *etag, const char *text)
{
  size_t len = strlen(etag);

  return strcmp(text, "*") == 0 || strcmp(etag, text) == 0 ||
         (strlen(text) == len - 2 && strncmp(etag + 1, text, len - 2) == 0);
}

int
server_conditions(server_work *work, server_bucket *bucket)
{
  const char *match = http_header(work->request, "if-match");
  const char *none = http_header(work->request, "if-none-match");
  const server_object *object = server_object_find(bucket, work->key);

  if (server_rule_has(work->rule, "ignore-conditions"))
    return 0;
  if (match != NULL && object == NULL) {
    server_fail(work, 404, "NoSuchKey", "The specified key does not exist.");
    return -1;
  }
  if ((match == NULL || server_same_etag(object->etag, match)) &&
      (none == NULL || object == NULL))
    return 0;
  server_fail(work, 412, "PreconditionFailed",
              "At least one of the pre-conditions you specified did not hold");
  return -1;
}

/* SSE-C: the key has to be one, and that of the object if there is one. */
int
server_customer_key(server_work *work, const server_object *object,
                    const char *prefix)
{
  const s3_server_options *options = &work->server->options;
  char name[128], text[32];
  const char *key, *md5, *had;
  unsigned char raw[64], digest[EVP_MAX_MD_SIZE];

  (void)snprintf(name, sizeof name, "%scustomer-key", prefix);
  key = http_header(work->request, name);
  (void)snprintf(name, sizeof name, "%scustomer-key-md5", prefix);
  md5 = http_header(work->request, name);
  had = object == NULL ? NULL
                       : server_object_header(object, CUSTOMER "key-md5");
  if (key == NULL && had == NULL)
    return 0;
  if (object != NULL && (had == NULL || key == NULL)) {
    server_fail(work, 400, "InvalidRequest", "The object was %s",
                had == NULL ? "not stored using SSE-C"
                            : "stored using a form of Server Side Encryption");
    return -1;
  }
  if (options->certificate == NULL && !options->insecure_customer_keys) {
    server_fail(work, 400, "InvalidRequest", "Requests specifying Server Side "
                "Encryption with Customer provided keys must be made over a "
                "secure connection.");
    return -1;
  }
  if (strlen(key) != 44 || md5 == NULL ||
      EVP_DecodeBlock(raw, (const unsigned char *)key, 44) != 33 ||
      EVP_Digest(raw, 32, digest, NULL, EVP_md5(), NULL) != 1 ||
      EVP_EncodeBlock((unsigned char *)text, digest, 16) != 24 ||
      strcmp(text, md5) != 0) {
    server_fail(work, 400, "InvalidArgument", "the secret key is no key");
    return -1;
  }
  if (had == NULL || strcmp(had, md5) == 0)
    return 0;
  server_fail(work, 403, "AccessDenied", "the secret key is another one");
  return -1;
}

void
server_reply_encryption(server_work *work, const server_object *object)
{
  static const char *const names[] = {
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    CUSTOMER "algorithm", CUSTOMER "key-md5",
  };
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    const char *value = server_object_header(object, names[i]);

    if (value != NULL)
      server_header(work, names[i], value);
  }
}

/* ---- get ---------------------------------------------------------------- */

/* "bytes=A-B", "bytes=A-", "bytes=-N". 0: no range; 1: one; -1: none of the
   object's bytes. */
static int
server_range(const char *text, size_t size, size_t *from, size_t *len)
{
  unsigned long long first, last;
  char *end;

  *from = 0;
  *len = size;
  if (text == NULL || strncmp(text, "bytes=", 6) != 0)
    return 0;
  text += 6;
  if (*text == '-') {
    last = strtoull(text + 1, NULL, 10);
    *len = last > size ? size : (size_t)last;
    *from = size - *len;
    return *len == 0 ? -1 : 1;
  }
  first = strtoull(text, &end, 10);
  last = end[0] == '-' && end[1] != '\0' ? strtoull(end + 1, NULL, 10)
                                         : size - 1;
  if (first >= size)
    return -1;
  *from = (size_t)first;
  *len = (size_t)((last >= size ? size - 1 : last) - first + 1);
  return 1;
}

/* 0: goes on. */
static int
server_get_conditions(server_work *work, const server_object *object)
{
  const char *match = http_header(work->request, "if-match");
  const char *none = http_header(work->request, "if-none-match");

  if (match != NULL && !server_same_etag(object->etag, match)) {
    server_fail(work, 412, "PreconditionFailed", "the etag is another one");
    return -1;
  }
  if (none == NULL || !server_same_etag(object->etag, none))
    return 0;
  work->reply.status = 304;
  server_header(work, "ETag", object->etag);
  return -1;
}

static void
server_get_headers(server_work *work, const server_object *object, int ranged)
{
  const char *mode = http_header(work->request, "x-amz-checksum-mode");
  const char *class = server_object_header(object, "x-amz-storage-class");
  char date[40];
  size_t i;

  http_date(object->modified_ms, date);
  server_header(work, "Last-Modified", date);
  server_header(work, "ETag", object->etag);
  server_header(work, "Accept-Ranges", "bytes");
  if (server_object_header(object, "content-type") != NULL)
    server_header(work, "Content-Type",
                  server_object_header(object, "content-type"));
  if (class != NULL && strcmp(class, "STANDARD") != 0)
    server_header(work, "x-amz-storage-class", class);
  for (i = 0; i < object->header_count; i++) {
    if (strncmp(object->headers[i].name, "x-amz-meta-", 11) == 0)
      server_header(work, object->headers[i].name, object->headers[i].value);
  }
  server_reply_encryption(work, object);
  if (mode != NULL && !ranged)
    http_text_printf(&work->reply.headers, "%s", object->checksum);
}

void
server_get(server_work *work, server_bucket *bucket)
{
  const server_object *object = server_object_find(bucket, work->key);
  server_reply *reply = &work->reply;
  size_t from, len;
  int ranged;

  if (object == NULL) {
    server_fail(work, 404, "NoSuchKey", "The specified key does not exist.");
    return;
  }
  if (server_get_conditions(work, object) != 0 ||
      server_customer_key(work, object,
                          "x-amz-server-side-encryption-") != 0)
    return;
  ranged = server_range(server_rule_has(work->rule, "ignore-range") ? NULL
                        : http_header(work->request, "range"),
                        object->len, &from, &len);
  if (ranged < 0) {
    char text[64];

    server_fail(work, 416, "InvalidRange", "The requested range is not "
                "satisfiable");
    (void)snprintf(text, sizeof text, "bytes */%zu", object->len);
    server_header(work, "Content-Range", text);
    return;
  }
  reply->status = ranged ? 206 : 200;
  server_get_headers(work, object, ranged && len < object->len);
  if (ranged)
    http_text_printf(&reply->headers, "Content-Range: bytes %zu-%zu/%zu\r\n",
                     from, from + len - 1, object->len);
  if (work->head)
    reply->head_length = len;
  else
    http_text_add(&reply->body, object->data + from, len);
}

/* ---- put and copy ------------------------------------------------------- */

static void
server_put_done(server_work *work, server_bucket *bucket,
                server_object *object)
{
  object->modified_ms = server_now(work->server);
  server_object_add(bucket, object);
  work->reply.status = 200;
  server_reply_encryption(work, object);
}

void
server_put(server_work *work, server_bucket *bucket)
{
  server_object *object;
  char checksum[128];

  if (strlen(work->key) > 1024) {
    server_fail(work, 400, "KeyTooLongError", "Your key is too long");
    return;
  }
  if (server_check_body(work, checksum) != 0 ||
      server_conditions(work, bucket) != 0 ||
      server_customer_key(work, NULL, "x-amz-server-side-encryption-") != 0)
    return;
  object = server_object_new(work->key, work->request);
  server_object_fill(object, work->request->body, work->request->body_len);
  (void)snprintf(object->checksum, sizeof object->checksum, "%s", checksum);
  server_header(work, "ETag", object->etag);
  http_text_printf(&work->reply.headers, "%s", checksum);
  server_put_done(work, bucket, object);
}

const server_object *
server_copy_source(server_work *work, size_t *from, size_t *len)
{
  char *source = http_strdup(http_header(work->request,
                                         "x-amz-copy-source"));
  const char *match = http_header(work->request,
                                  "x-amz-copy-source-if-match");
  const server_object *object = NULL;
  server_bucket *bucket;
  char *name = source, *key;

  (void)server_decode(source, 0);
  name += *name == '/';
  key = strchr(name, '/');
  if (key != NULL) {
    *key++ = '\0';
    bucket = server_bucket_find(work->server, name);
    object = bucket == NULL ? NULL : server_object_find(bucket, key);
  }
  free(source);
  if (object == NULL) {
    server_fail(work, 404, "NoSuchKey", "the source does not exist");
    return NULL;
  }
  if (match != NULL && !server_same_etag(object->etag, match)) {
    server_fail(work, 412, "PreconditionFailed", "the source has changed");
    return NULL;
  }
  if (server_customer_key(work, object, "x-amz-copy-source-"
                                        "server-side-encryption-") != 0)
    return NULL;
  if (server_range(http_header(work->request, "x-amz-copy-source-range"),
                   object->len, from, len) >= 0)
    return object;
  server_fail(work, 416, "InvalidRange", "the range is not in the source");
  return NULL;
}

void
server_copy(server_work *work, server_bucket *bucket)
{
  const char *directive = http_header(work->request,
                                      "x-amz-metadata-directive");
  const server_object *source;
  server_object *object;
  size_t from, len, i;
  char time[32];

  if (server_conditions(work, bucket) != 0 ||
      server_customer_key(work, NULL, "x-amz-server-side-encryption-") != 0)
    return;
  source = server_copy_source(work, &from, &len);
  if (source == NULL)
    return;
  object = server_object_new(work->key, work->request);
  server_object_fill(object, source->data, source->len);
  if (directive == NULL || strcmp(directive, "REPLACE") != 0) {
    object->headers = realloc(object->headers,
                              (object->header_count + source->header_count)
                                * sizeof *object->headers);
    for (i = 0; i < source->header_count; i++) {
      http_field *field = &object->headers[object->header_count];

      if (strncmp(source->headers[i].name, "x-amz-meta-", 11) != 0)
        continue;
      field->name = http_strdup(source->headers[i].name);
      field->value = http_strdup(source->headers[i].value);
      object->header_count++;
    }
  }
  memcpy(object->checksum, source->checksum, sizeof object->checksum);
  server_iso_time(server_now(work->server), time);
  http_text_printf(&work->reply.body, "<?xml version=\"1.0\"?>\n"
                   "<CopyObjectResult><LastModified>%s</LastModified>"
                   "<ETag>&quot;%.32s&quot;</ETag></CopyObjectResult>", time,
                   object->etag + 1);
  server_put_done(work, bucket, object);
}
