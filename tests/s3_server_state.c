/* SPDX-License-Identifier: Apache-2.0 */
/* The test server as tests see and change it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/s3_server_private.h"

void
s3_server_bucket(s3_server *server, const char *name, const char *region)
{
  server_bucket *bucket = http_alloc(sizeof *bucket);

  bucket->name = http_strdup(name);
  bucket->region = http_strdup(region);
  pthread_mutex_lock(&server->lock);
  bucket->next = server->buckets;
  server->buckets = bucket;
  pthread_mutex_unlock(&server->lock);
}

static server_key *
server_key_of(s3_server *server, const char *access)
{
  server_key *key = server->keys;

  while (key != NULL && strcmp(key->access, access) != 0)
    key = key->next;
  if (key == NULL) {
    key = http_alloc(sizeof *key);
    key->access = http_strdup(access);
    key->secret = http_strdup("");
    key->next = server->keys;
    server->keys = key;
  }
  return key;
}

void
s3_server_credentials(s3_server *server, const char *access,
                      const char *secret, const char *token)
{
  server_key *key;

  pthread_mutex_lock(&server->lock);
  key = server_key_of(server, access);
  free(key->secret);
  free(key->token);
  key->secret = http_strdup(secret);
  key->token = token == NULL ? NULL : http_strdup(token);
  pthread_mutex_unlock(&server->lock);
}

void
s3_server_revoke(s3_server *server, const char *access, const char *code)
{
  server_key *key;

  pthread_mutex_lock(&server->lock);
  key = server_key_of(server, access);
  free(key->code);
  key->code = code == NULL ? NULL : http_strdup(code);
  pthread_mutex_unlock(&server->lock);
}

void
s3_server_clock(s3_server *server, int64_t offset_ms)
{
  pthread_mutex_lock(&server->lock);
  server->clock_ms = offset_ms;
  pthread_mutex_unlock(&server->lock);
}

void
s3_server_wrong_region(s3_server *server, int status)
{
  pthread_mutex_lock(&server->lock);
  server->wrong_region = status;
  pthread_mutex_unlock(&server->lock);
}

/* ---- objects ------------------------------------------------------------ */

void
s3_server_store(s3_server *server, const char *bucket, const char *key,
                const void *data, size_t len)
{
  server_object *object = server_object_new(key, NULL);

  server_object_fill(object, data, len);
  pthread_mutex_lock(&server->lock);
  object->modified_ms = server_now(server);
  server_object_add(server_bucket_find(server, bucket), object);
  pthread_mutex_unlock(&server->lock);
}

char *
s3_server_load(s3_server *server, const char *bucket, const char *key,
               size_t *len)
{
  server_object *object;
  char *copy = NULL;

  pthread_mutex_lock(&server->lock);
  object = server_object_find(server_bucket_find(server, bucket), key);
  if (object != NULL) {
    copy = http_alloc(object->len + 1);
    memcpy(copy, object->data, object->len);
    *len = object->len;
  }
  pthread_mutex_unlock(&server->lock);
  return copy;
}

char *
s3_server_object_header(s3_server *server, const char *bucket,
                        const char *key, const char *name)
{
  server_object *object;
  const char *value = NULL;
  char *copy;

  pthread_mutex_lock(&server->lock);
  object = server_object_find(server_bucket_find(server, bucket), key);
  if (object != NULL)
    value = server_object_header(object, name);
  copy = value == NULL ? NULL : http_strdup(value);
  pthread_mutex_unlock(&server->lock);
  return copy;
}

size_t
s3_server_objects(s3_server *server, const char *bucket)
{
  size_t count;

  pthread_mutex_lock(&server->lock);
  count = server_bucket_find(server, bucket)->object_count;
  pthread_mutex_unlock(&server->lock);
  return count;
}

size_t
s3_server_uploads(s3_server *server, const char *bucket)
{
  size_t count;

  pthread_mutex_lock(&server->lock);
  count = server_bucket_find(server, bucket)->upload_count;
  pthread_mutex_unlock(&server->lock);
  return count;
}

/* ---- what was seen ------------------------------------------------------ */

uint64_t
s3_server_requests(s3_server *server)
{
  uint64_t count;

  pthread_mutex_lock(&server->lock);
  count = server->requests;
  pthread_mutex_unlock(&server->lock);
  return count;
}

size_t
s3_server_seen(s3_server *server, const char *kind)
{
  size_t count = 0, i;

  pthread_mutex_lock(&server->lock);
  for (i = 0; i < server->seen_count; i++)
    count += kind == NULL || strcmp(server->seen[i]->kind, kind) == 0;
  pthread_mutex_unlock(&server->lock);
  return count;
}

const s3_seen *
s3_server_seen_nth(s3_server *server, const char *kind, size_t nth)
{
  const s3_seen *found = NULL;
  size_t i;

  pthread_mutex_lock(&server->lock);
  for (i = 0; i < server->seen_count && found == NULL; i++) {
    if ((kind == NULL || strcmp(server->seen[i]->kind, kind) == 0) &&
        --nth == 0)
      found = server->seen[i];
  }
  pthread_mutex_unlock(&server->lock);
  return found;
}

int
s3_server_all_differ(s3_server *server, const char *kind, const char *header)
{
  size_t count = s3_server_seen(server, kind), i, j;

  for (i = 1; i <= count; i++) {
    const char *one = http_header(
      &s3_server_seen_nth(server, kind, i)->request, header);

    for (j = 1; j < i; j++) {
      const char *other = http_header(
        &s3_server_seen_nth(server, kind, j)->request, header);

      if (one == NULL || other == NULL || strcmp(one, other) == 0)
        return 0;
    }
  }
  return 1;
}
