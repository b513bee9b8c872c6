/* SPDX-License-Identifier: Apache-2.0 */
/* Listings and batch deletes of the test server, and the XML they need. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/s3_server_private.h"

void
server_xml(http_text *out, const char *text)
{
  for (; *text != '\0'; text++) {
    if (strchr("&<>\"", *text) != NULL || (unsigned char)*text < 32)
      http_text_printf(out, "&#%u;", (unsigned)(unsigned char)*text);
    else
      http_text_add(out, text, 1);
  }
}

static void
server_xml_unescape(char *text)
{
  static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&quot;",
                                       "&apos;" };
  static const char values[] = "&<>\"'";
  char *out = text;
  size_t i;

  while (*text != '\0') {
    if (text[0] == '&' && text[1] == '#') {
      *out++ = (char)(text[2] == 'x' ? strtoul(text + 3, &text, 16)
                                     : strtoul(text + 2, &text, 10));
      text += *text == ';';
      continue;
    }
    for (i = 0; i < 5 && strncmp(text, names[i], strlen(names[i])) != 0; i++)
      continue;
    *out++ = i < 5 ? values[i] : *text;
    text += i < 5 ? strlen(names[i]) : 1;
  }
  *out = '\0';
}

char *
server_xml_next(const char **at, const char *name)
{
  char open[64], close[64], *text;
  const char *from, *to;

  (void)snprintf(open, sizeof open, "<%s>", name);
  (void)snprintf(close, sizeof close, "</%s>", name);
  from = *at == NULL ? NULL : strstr(*at, open);
  to = from == NULL ? NULL : strstr(from, close);
  if (to == NULL)
    return NULL;
  from += strlen(open);
  text = http_alloc((size_t)(to - from) + 1);
  memcpy(text, from, (size_t)(to - from));
  server_xml_unescape(text);
  *at = to + strlen(close);
  return text;
}

/* ---- lists -------------------------------------------------------------- */

typedef struct server_listing {
  server_work *work;
  char *prefix, *after, *token, *delimiter, *max, *encoding;
  size_t limit, count;
  char *last_group;          /* the common prefix last told */
  char *last;                /* key or group last told */
} server_listing;

static void
server_listing_text(server_listing *l, const char *name, const char *text)
{
  http_text *body = &l->work->reply.body;
  const char *how = server_rule_value(l->work->rule, "list-key-case");

  http_text_printf(body, "<%s>", name);
  if (l->encoding != NULL && how == NULL)
    server_encode(body, text, 1);
  else if (how != NULL) {
    char *changed = http_strdup(text), *p;

    for (p = changed; *p != '\0'; p++)
      *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    server_xml(body, changed);
    free(changed);
  } else
    server_xml(body, text);
  http_text_printf(body, "</%s>", name);
}

static void
server_listing_entry(server_listing *l, const server_object *object)
{
  http_text *body = &l->work->reply.body;
  const char *class = server_object_header(object, "x-amz-storage-class");
  char time[32];

  server_iso_time(object->modified_ms, time);
  http_text_printf(body, "<Contents>");
  server_listing_text(l, "Key", object->key);
  http_text_printf(body, "<LastModified>%s</LastModified><ETag>", time);
  server_xml(body, object->etag);
  http_text_printf(body, "</ETag><Size>%zu</Size><StorageClass>%s"
                   "</StorageClass></Contents>", object->len,
                   class == NULL ? "STANDARD" : class);
}

/* What all keys from here to the next delimiter have in common, or NULL. */
static char *
server_listing_group(const server_listing *l, const char *key)
{
  const char *end;
  char *group;

  if (l->delimiter == NULL || l->delimiter[0] == '\0')
    return NULL;
  end = strstr(key + strlen(l->prefix), l->delimiter);
  if (end == NULL)
    return NULL;
  end += strlen(l->delimiter);
  group = http_alloc((size_t)(end - key) + 1);
  memcpy(group, key, (size_t)(end - key));
  return group;
}

/* 1: there would be one more. */
static int
server_listing_add(server_listing *l, const server_object *object)
{
  char *group = server_listing_group(l, object->key);
  const char *shown = group == NULL ? object->key : group;

  if (group != NULL &&
      ((l->last_group != NULL && strcmp(group, l->last_group) == 0) ||
       strcmp(group, l->after) == 0)) {
    free(group);
    return 0;
  }
  if (l->count == l->limit) {
    free(group);
    return 1;
  }
  l->count++;
  free(l->last);
  l->last = http_strdup(shown);
  if (group == NULL) {
    server_listing_entry(l, object);
    return 0;
  }
  http_text_printf(&l->work->reply.body, "<CommonPrefixes>");
  server_listing_text(l, "Prefix", group);
  http_text_printf(&l->work->reply.body, "</CommonPrefixes>");
  free(l->last_group);
  l->last_group = group;
  return 0;
}

static void
server_listing_end(server_listing *l, int truncated, int v2)
{
  http_text *body = &l->work->reply.body;
  const char *how = server_rule_value(l->work->rule, "list-token");

  http_text_printf(body, "<KeyCount>%zu</KeyCount><IsTruncated>%s"
                   "</IsTruncated>", l->count,
                   truncated || how != NULL ? "true" : "false");
  if (how != NULL && strcmp(how, "same") == 0)
    http_text_printf(body, "<NextContinuationToken>same"
                     "</NextContinuationToken>");
  else if (how != NULL && strcmp(how, "endless") == 0)
    http_text_printf(body, "<NextContinuationToken>endless-%zu"
                     "</NextContinuationToken>", l->work->server->seen_count);
  else if (truncated && how == NULL) {
    http_text_printf(body, v2 ? "<NextContinuationToken>token:"
                              : "<NextMarker>");
    server_encode(body, l->last, 1);
    http_text_printf(body, v2 ? "</NextContinuationToken>" : "</NextMarker>");
  }
  http_text_printf(body, "</ListBucketResult>");
}

/* The token is what was told last, encoded. */
static int
server_listing_start(server_listing *l)
{
  const http_request *r = l->work->request;
  char *type = server_query(r, "list-type");

  l->prefix = server_query(r, "prefix");
  l->token = server_query(r, "continuation-token");
  l->after = server_query(r, type == NULL ? "marker" : "start-after");
  l->delimiter = server_query(r, "delimiter");
  l->max = server_query(r, "max-keys");
  if (!server_rule_has(l->work->rule, "list-plain"))
    l->encoding = server_query(r, "encoding-type");
  if (l->prefix == NULL)
    l->prefix = http_strdup("");
  if (l->after == NULL)
    l->after = http_strdup("");
  if (l->token != NULL && strncmp(l->token, "token:", 6) == 0) {
    free(l->after);
    l->after = http_strdup(l->token + 6);
    (void)server_decode(l->after, 0);
  }
  l->limit = l->max == NULL ? 1000 : strtoul(l->max, NULL, 10);
  if (l->limit > 1000)
    l->limit = 1000;
  free(type);
  return type != NULL;
}

void
server_list(server_work *work, server_bucket *bucket)
{
  server_listing l = { .work = work };
  int v2 = server_listing_start(&l), more = 0;
  size_t i;

  http_text_printf(&work->reply.body, "<?xml version=\"1.0\" encoding="
                   "\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3."
                   "amazonaws.com/doc/2006-03-01/\"><Name>%s</Name>",
                   bucket->name);
  server_listing_text(&l, "Prefix", l.prefix);
  http_text_printf(&work->reply.body, "<MaxKeys>%zu</MaxKeys>", l.limit);
  if (l.encoding != NULL)
    http_text_printf(&work->reply.body, "<EncodingType>url</EncodingType>");
  for (i = 0; i < bucket->object_count && !more; i++) {
    const server_object *object = bucket->objects[i];

    if (strcmp(object->key, l.after) > 0 &&
        strncmp(object->key, l.prefix, strlen(l.prefix)) == 0)
      more = server_listing_add(&l, object);
  }
  server_listing_end(&l, more && l.last != NULL, v2);
  work->reply.status = 200;
  server_header(work, "Content-Type", "application/xml");
  free(l.prefix);
  free(l.after);
  free(l.token);
  free(l.delimiter);
  free(l.max);
  free(l.encoding);
  free(l.last);
  free(l.last_group);
}

void
server_buckets(server_work *work)
{
  const server_bucket *bucket;

  work->reply.status = 200;
  http_text_printf(&work->reply.body, "<?xml version=\"1.0\"?>\n"
                   "<ListAllMyBucketsResult><Buckets>");
  for (bucket = work->server->buckets; bucket != NULL; bucket = bucket->next)
    http_text_printf(&work->reply.body, "<Bucket><Name>%s</Name><CreationDate>"
                     "2026-01-01T00:00:00.000Z</CreationDate></Bucket>",
                     bucket->name);
  http_text_printf(&work->reply.body, "</Buckets></ListAllMyBucketsResult>");
}

/* ---- batch delete ------------------------------------------------------- */

static void
server_delete_one(server_work *work, server_bucket *bucket, const char *key,
                  int quiet)
{
  const char *bad = server_rule_value(work->rule, "delete-errors");
  const char *code = server_rule_value(work->rule, "code");
  http_text *body = &work->reply.body;

  if (bad != NULL && strstr(key, bad) != NULL) {
    http_text_printf(body, "<Error><Key>");
    server_xml(body, key);
    http_text_printf(body, "</Key><Code>%s</Code><Message>not this one"
                     "</Message></Error>",
                     code == NULL ? "AccessDenied" : code);
    return;
  }
  server_object_remove(bucket, key);
  if (quiet)
    return;
  http_text_printf(body, "<Deleted><Key>");
  server_xml(body, key);
  http_text_printf(body, "</Key></Deleted>");
}

void
server_delete_batch(server_work *work, server_bucket *bucket)
{
  const char *at = work->request->body;
  const char *quiet = strstr(at, "<Quiet>true</Quiet>");
  char checksum[128], *key;
  unsigned count = 0;

  if (server_check_body(work, checksum) != 0)
    return;
  if (http_header(work->request, "content-md5") == NULL &&
      checksum[0] == '\0') {
    server_fail(work, 400, "InvalidRequest", "Missing required header for "
                "this request: Content-MD5");
    return;
  }
  while ((key = server_xml_next(&at, "Key")) != NULL) {
    free(key);
    count++;
  }
  if (count == 0 || count > 1000) {
    server_fail(work, 400, "MalformedXML", "1 to 1,000 keys, not %u", count);
    return;
  }
  work->reply.status = 200;
  http_text_printf(&work->reply.body, "<?xml version=\"1.0\"?>\n"
                   "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/"
                   "2006-03-01/\">");
  at = work->request->body;
  while ((key = server_xml_next(&at, "Key")) != NULL) {
    server_delete_one(work, bucket, key, quiet != NULL);
    free(key);
  }
  http_text_printf(&work->reply.body, "</DeleteResult>");
}
