/* SPDX-License-Identifier: Apache-2.0 */
/* An S3 server in memory for tests: requests and their log. */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tests/s3_server_private.h"

#define SEEN_BODY_MAX (64u << 10)

/* ---- small things ------------------------------------------------------- */

uint64_t
server_now(const s3_server *server)
{
  struct timespec now;

  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000
                    + server->clock_ms);
}

double
server_random(s3_server *server)
{
  uint64_t x = server->random;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  server->random = x;
  return (double)(x >> 11) / 9007199254740992.0;
}

static int
server_hex_digit(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long
server_decode(char *text, int plus)
{
  char *out = text;
  const char *in;

  for (in = text; *in != '\0'; in++) {
    if (*in == '%' && server_hex_digit(in[1]) >= 0 &&
        server_hex_digit(in[2]) >= 0) {
      *out++ = (char)(server_hex_digit(in[1]) * 16 + server_hex_digit(in[2]));
      in += 2;
    } else {
      *out++ = (char)(plus && *in == '+' ? ' ' : *in);
    }
  }
  *out = '\0';
  return out - text;
}

void
server_encode(http_text *out, const char *text, int slashes)
{
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                              "uvwxyz0123456789-._~";

  for (; *text != '\0'; text++) {
    if (strchr(plain, *text) != NULL || (slashes && *text == '/'))
      http_text_add(out, text, 1);
    else
      http_text_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
  }
}

void
server_hex(const unsigned char *data, size_t len, char *out)
{
  size_t i;

  for (i = 0; i < len; i++)
    (void)snprintf(out + 2 * i, 3, "%02x", data[i]);
}

void
server_iso_time(uint64_t ms, char out[32])
{
  time_t seconds = (time_t)(ms / 1000);
  struct tm tm;

  gmtime_r(&seconds, &tm);
  (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

char *
server_query(const http_request *request, const char *name)
{
  const char *at = request->query;
  size_t len = strlen(name);

  while (*at != '\0') {
    size_t pair = strcspn(at, "&");
    char *value;

    if (strncmp(at, name, len) == 0 &&
        (pair == len || (pair > len && at[len] == '='))) {
      value = http_alloc(pair + 1);
      if (pair > len)
        memcpy(value, at + len + 1, pair - len - 1);
      (void)server_decode(value, 1);
      return value;
    }
    at += pair;
    at += *at == '&';
  }
  return NULL;
}

static int
server_asks(const http_request *request, const char *name)
{
  char *value = server_query(request, name);

  free(value);
  return value != NULL;
}

void
server_header_drop(server_work *work, const char *name)
{
  http_text kept = { 0 };
  const char *at = http_text_string(&work->reply.headers);
  size_t len = strlen(name);

  while (*at != '\0') {
    const char *end = strchr(at, '\n') + 1;

    if (strncasecmp(at, name, len) != 0 || at[len] != ':')
      http_text_add(&kept, at, (size_t)(end - at));
    at = end;
  }
  http_text_free(&work->reply.headers);
  work->reply.headers = kept;
}

void
server_header(server_work *work, const char *name, const char *value)
{
  server_header_drop(work, name);
  http_text_printf(&work->reply.headers, "%s: %s\r\n", name, value);
}

void
server_fail(server_work *work, int status, const char *code,
            const char *format, ...)
{
  http_text *body = &work->reply.body;
  char message[512];
  va_list args;

  va_start(args, format);
  (void)vsnprintf(message, sizeof message, format, args);
  va_end(args);
  work->reply.status = status;
  work->reply.head_length = 0;
  http_text_free(body);
  http_text_printf(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                         "<Error><Code>%s</Code><Message>", code);
  server_xml(body, message);
  http_text_printf(body, "</Message><RequestId>TEST%u</RequestId>"
                         "<HostId>test-host</HostId></Error>",
                   http_connection_number(work->connection));
  server_header(work, "Content-Type", "application/xml");
}

server_bucket *
server_bucket_find(const s3_server *server, const char *name)
{
  server_bucket *bucket = server->buckets;

  while (bucket != NULL && strcmp(bucket->name, name) != 0)
    bucket = bucket->next;
  return bucket;
}

/* ---- what a request is -------------------------------------------------- */

/* Bucket and key from the path, or from "BUCKET.localhost". */
static void
server_work_name(server_work *work)
{
  const char *host = http_header(work->request, "host");
  const char *tail = host == NULL ? NULL : strstr(host, ".localhost");
  const char *path = work->request->path;
  const char *slash;

  path += *path == '/';
  if (tail != NULL) {
    work->bucket = http_alloc((size_t)(tail - host) + 1);
    memcpy(work->bucket, host, (size_t)(tail - host));
    slash = path;
  } else {
    slash = strchr(path, '/');
    work->bucket = http_strdup(path);
    if (slash != NULL)
      work->bucket[slash - path] = '\0';
    slash = slash == NULL ? "" : slash + 1;
  }
  (void)server_decode(work->bucket, 0);
  if (*slash != '\0') {
    work->key = http_strdup(slash);
    (void)server_decode(work->key, 0);
  }
}

static const char *
server_kind_of_object(const http_request *r)
{
  int part = server_asks(r, "uploadId");
  int copy = http_header(r, "x-amz-copy-source") != NULL;

  if (strcmp(r->method, "GET") == 0)
    return part ? "other" : "get";
  if (strcmp(r->method, "HEAD") == 0)
    return "head";
  if (strcmp(r->method, "PUT") == 0 && part)
    return copy ? "upload_part_copy" : "upload_part";
  if (strcmp(r->method, "PUT") == 0)
    return copy ? "copy" : "put";
  if (strcmp(r->method, "DELETE") == 0)
    return part ? "upload_abort" : "delete";
  if (strcmp(r->method, "POST") == 0 && part)
    return "upload_complete";
  return server_asks(r, "uploads") ? "upload_create" : "other";
}

static const char *
server_kind(const server_work *work)
{
  const http_request *r = work->request;

  if (work->key != NULL)
    return server_kind_of_object(r);
  if (work->bucket[0] == '\0')
    return strcmp(r->method, "GET") == 0 ? "buckets" : "other";
  if (strcmp(r->method, "HEAD") == 0)
    return "bucket";
  if (strcmp(r->method, "PUT") == 0)
    return "bucket_create";
  if (strcmp(r->method, "POST") == 0)
    return server_asks(r, "delete") ? "delete_batch" : "other";
  if (strcmp(r->method, "GET") != 0)
    return "other";
  if (server_asks(r, "uploads"))
    return "upload_list";
  return server_asks(r, "location") ? "location" : "list";
}

/* ---- doing it ----------------------------------------------------------- */

static void
server_bucket_create(server_work *work)
{
  if (server_bucket_find(work->server, work->bucket) != NULL) {
    server_fail(work, 409, "BucketAlreadyOwnedByYou", "it is yours already");
    return;
  }
  s3_server_bucket(work->server, work->bucket, S3_TEST_REGION);
  work->reply.status = 200;
}

static void
server_location(server_work *work, const server_bucket *bucket)
{
  work->reply.status = 200;
  http_text_printf(&work->reply.body, "<LocationConstraint xmlns=\"http://s3."
                   "amazonaws.com/doc/2006-03-01/\">%s</LocationConstraint>",
                   strcmp(bucket->region, "us-east-1") == 0 ? ""
                                                            : bucket->region);
}

static void
server_dispatch(server_work *work, server_bucket *bucket)
{
  const char *kind = work->kind;

  if (strcmp(kind, "get") == 0 || strcmp(kind, "head") == 0)
    server_get(work, bucket);
  else if (strcmp(kind, "put") == 0)
    server_put(work, bucket);
  else if (strcmp(kind, "copy") == 0)
    server_copy(work, bucket);
  else if (strcmp(kind, "list") == 0)
    server_list(work, bucket);
  else if (strcmp(kind, "delete_batch") == 0)
    server_delete_batch(work, bucket);
  else if (strcmp(kind, "upload_list") == 0)
    server_upload_list(work, bucket);
  else if (strncmp(kind, "upload_", 7) == 0)
    server_upload(work, bucket);
  else if (strcmp(kind, "location") == 0)
    server_location(work, bucket);
  else if (strcmp(kind, "bucket") == 0)
    work->reply.status = 200;
  else if (strcmp(kind, "delete") == 0) {
    server_object_remove(bucket, work->key);
    work->reply.status = 204;
  } else
    server_fail(work, 501, "NotImplemented", "%s is not implemented", kind);
}

/* Under the lock. */
static void
server_do(server_work *work)
{
  server_bucket *bucket = server_bucket_find(work->server, work->bucket);
  const char *owner = http_header(work->request,
                                  "x-amz-expected-bucket-owner");

  if (server_authorize(work, bucket) != 0)
    return;
  if (strcmp(work->kind, "buckets") == 0)
    server_buckets(work);
  else if (strcmp(work->kind, "bucket_create") == 0)
    server_bucket_create(work);
  else if (bucket == NULL)
    server_fail(work, 404, "NoSuchBucket", "no bucket \"%s\"", work->bucket);
  else if (owner != NULL && strcmp(owner, S3_TEST_OWNER) != 0)
    server_fail(work, 403, "AccessDenied", "another account owns the bucket");
  else
    server_dispatch(work, bucket);
  if (bucket != NULL)
    server_header(work, "x-amz-bucket-region", bucket->region);
}

/* The request goes into the log whole; the work keeps a view of it. */
static void
server_log(server_work *work, int status)
{
  s3_server *server = work->server;
  http_request *r = work->request;
  s3_seen *seen;

  server->requests++;
  if (server->options.log != NULL) {
    fprintf(server->options.log, "%s %s %s%s%s %d%s\n", work->kind, r->method,
            r->path, r->query[0] != '\0' ? "?" : "", r->query, status,
            work->rule != NULL ? " faulty" : "");
    (void)fflush(server->options.log);
  }
  if (server->options.forget)
    return;
  seen = http_alloc(sizeof *seen);
  seen->kind = work->kind;
  seen->request = *r;
  seen->body_len = r->body_len;
  if (r->body_len > SEEN_BODY_MAX) {
    free(r->body);
    seen->request.body = NULL;
    seen->request.body_len = 0;
  }
  seen->status = status;
  seen->faulty = work->rule != NULL;
  seen->connection = http_connection_number(work->connection);
  seen->time_ms = server_now(server);
  /* Whether the body was taken stays with the connection. */
  memset(r, 0, offsetof(http_request, length));
  r->body = NULL;
  r->body_len = 0;
  server->seen = realloc(server->seen, (server->seen_count + 1)
                                         * sizeof *server->seen);
  if (server->seen == NULL)
    abort();
  server->seen[server->seen_count++] = seen;
}

static void
server_answer(server_work *work)
{
  s3_server *server = work->server;

  if (http_body(work->connection, work->request, HTTP_BODY_MAX) != 0) {
    work->end = HTTP_RESET;
    work->reply.handled = 1;
    return;
  }
  if (!server_fault_replaces(work)) {
    pthread_mutex_lock(&server->lock);
    server_do(work);
    pthread_mutex_unlock(&server->lock);
  }
  server_fault_change(work);
}

static int
server_handle(void *arg, http_connection *connection, http_request *request)
{
  server_work work = { .server = arg, .connection = connection,
                       .request = request };
  int result = -1;

  work.head = strcmp(request->method, "HEAD") == 0;
  server_work_name(&work);
  work.kind = server_kind(&work);
  work.rule = server_rule_match(work.server, work.kind, work.key, request);
  work.reply.handled = work.rule != NULL && server_fault_before(&work);
  if (!work.reply.handled)
    server_answer(&work);
  pthread_mutex_lock(&work.server->lock);
  server_log(&work, work.reply.handled ? 0 : work.reply.status);
  pthread_mutex_unlock(&work.server->lock);
  if (!work.reply.handled) {
    result = server_send(&work);
  } else {
    if (work.rule != NULL)
      server_fault_hostile(&work);
    http_end_now(connection, work.end);
  }
  http_text_free(&work.reply.headers);
  http_text_free(&work.reply.body);
  server_rule_free(work.rule);
  free(work.bucket);
  free(work.key);
  return result;
}

static int
server_connect(void *arg, http_connection *connection)
{
  return server_fault_connect(arg, connection);
}

/* ---- the public side ---------------------------------------------------- */

s3_server *
s3_server_start(const s3_server_options *options)
{
  s3_server *server = http_alloc(sizeof *server);
  http_options http = { .handler = server_handle, .connect = server_connect,
                        .arg = server };
  const s3_server_options *o = &server->options;
  pthread_mutexattr_t recursive;

  if (options != NULL)
    server->options = *options;
  server->random = (o->seed + 1) * 0x9e3779b97f4a7c15ull;
  if (o->part_min == 0)
    server->options.part_min = 5u << 20;
  server->wrong_region = 400;
  pthread_mutexattr_init(&recursive);
  (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&server->lock, &recursive);
  pthread_mutexattr_destroy(&recursive);
  s3_server_credentials(server,
                        o->access_key == NULL ? S3_TEST_ACCESS : o->access_key,
                        o->secret_key == NULL ? S3_TEST_SECRET : o->secret_key,
                        NULL);
  s3_server_bucket(server, S3_TEST_BUCKET,
                   o->region == NULL ? S3_TEST_REGION : o->region);
  http.certificate = o->certificate;
  http.key = o->key;
  http.port = o->port;
  http.address = o->address;
  server->http = http_server_start(&http);
  if (server->http == NULL) {
    s3_server_stop(server);
    return NULL;
  }
  (void)snprintf(server->url, sizeof server->url, "%s://127.0.0.1:%d",
                 o->certificate == NULL ? "http" : "https",
                 http_server_port(server->http));
  return server;
}

void
s3_server_forget(s3_server *server)
{
  size_t i, h;

  pthread_mutex_lock(&server->lock);
  for (i = 0; i < server->seen_count; i++) {
    http_request *r = &server->seen[i]->request;

    for (h = 0; h < r->header_count; h++) {
      free(r->headers[h].name);
      free(r->headers[h].value);
    }
    free(r->headers);
    free(r->path);
    free(r->query);
    free(r->head);
    free(r->body);
    free(server->seen[i]);
  }
  free(server->seen);
  server->seen = NULL;
  server->seen_count = 0;
  pthread_mutex_unlock(&server->lock);
}

static void
server_bucket_free(server_bucket *bucket)
{
  size_t i;

  for (i = 0; i < bucket->object_count; i++)
    server_object_free(bucket->objects[i]);
  for (i = 0; i < bucket->upload_count; i++)
    server_object_free(bucket->uploads[i]);
  free(bucket->objects);
  free(bucket->uploads);
  free(bucket->name);
  free(bucket->region);
  free(bucket);
}

void
s3_server_stop(s3_server *server)
{
  if (server == NULL)
    return;
  http_server_stop(server->http);
  s3_server_forget(server);
  s3_server_mend(server);
  while (server->buckets != NULL) {
    server_bucket *next = server->buckets->next;

    server_bucket_free(server->buckets);
    server->buckets = next;
  }
  while (server->keys != NULL) {
    server_key *key = server->keys;

    server->keys = key->next;
    free(key->access);
    free(key->secret);
    free(key->token);
    free(key->code);
    free(key);
  }
  pthread_mutex_destroy(&server->lock);
  free(server);
}

int
s3_server_port(const s3_server *server)
{
  return http_server_port(server->http);
}

const char *
s3_server_url(const s3_server *server)
{
  return server->url;
}

unsigned
s3_server_connections(s3_server *server)
{
  return http_server_connections(server->http);
}

uint64_t
s3_server_sent(s3_server *server)
{
  return http_server_sent(server->http);
}
