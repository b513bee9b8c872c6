/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the test server share. */
#ifndef TESTS_S3_SERVER_PRIVATE_H
#define TESTS_S3_SERVER_PRIVATE_H

#include <pthread.h>

#include "tests/s3_server.h"

typedef struct s3_rule s3_rule;

typedef struct server_part {
  unsigned number;
  char *data;
  size_t len;
  char etag[64];
} server_part;

typedef struct server_object {
  char *key;
  char *data;
  size_t len;
  char etag[64];
  char checksum[128];        /* "x-amz-checksum-crc32c: AAAA=\r\n..." or "" */
  http_field *headers;       /* kept from the request that made it */
  size_t header_count;
  uint64_t modified_ms;
  /* an upload: */
  char id[40];
  server_part *parts;        /* by number */
  size_t part_count;
} server_object;

typedef struct server_bucket {
  char *name, *region;
  server_object **objects;   /* by key */
  size_t object_count;
  server_object **uploads;   /* by (key, id) */
  size_t upload_count;
  struct server_bucket *next;
} server_bucket;

typedef struct server_key {
  char *access, *secret, *token, *code;
  struct server_key *next;
} server_key;

struct s3_server {
  s3_server_options options;
  http_server *http;
  char url[64];
  pthread_mutex_t lock;      /* recursive; guards all below */
  server_bucket *buckets;
  server_key *keys;
  int64_t clock_ms;
  int wrong_region;
  s3_rule *rules;
  unsigned faults_done;
  uint64_t requests;
  uint64_t random;
  uint64_t upload_ids;
  s3_seen **seen;
  size_t seen_count;
};

/* What is answered. */
typedef struct server_reply {
  int status;
  http_text headers;         /* "Name: value\r\n"... */
  http_text body;
  uint64_t head_length;      /* of a HEAD: what its GET would have */
  int handled;               /* there is none, the connection ends */
} server_reply;

/* One request under way. */
typedef struct server_work {
  s3_server *server;
  http_connection *connection;
  http_request *request;
  const char *kind;
  int head;                  /* a HEAD request */
  char *bucket, *key;        /* decoded; key NULL: none */
  server_reply reply;
  s3_rule *rule;             /* what goes wrong, or NULL; own copy */
  http_end end;              /* if the reply is handled: how it ends */
} server_work;

/* s3_server.c */
uint64_t server_now(const s3_server *server);
server_bucket *server_bucket_find(const s3_server *server, const char *name);
double server_random(s3_server *server);  /* 0 <= x < 1 */
/* The decoded value of a query parameter to be freed, NULL if not there. */
char *server_query(const http_request *request, const char *name);
long server_decode(char *text, int plus);
void server_encode(http_text *out, const char *text, int slashes);
void server_hex(const unsigned char *data, size_t len, char *out);
void server_iso_time(uint64_t ms, char out[32]);
/* Makes the reply an error. */
void server_fail(server_work *work, int status, const char *code,
                 const char *format, ...)
  __attribute__((format(printf, 4, 5)));
void server_header(server_work *work, const char *name, const char *value);
void server_header_drop(server_work *work, const char *name);

/* s3_server_auth.c: 0, or -1 with the reply made. */
int server_authorize(server_work *work, const server_bucket *bucket);
int server_check_body(server_work *work, char checksum[128]);
void server_sha256_hex(const void *data, size_t len, char out[65]);
uint32_t server_crc(uint32_t polynomial, const void *data, size_t len);
#define SERVER_CRC32 0xedb88320u
#define SERVER_CRC32C 0x82f63b78u

/* s3_server_objects.c */
server_object *server_object_find(server_bucket *bucket, const char *key);
server_object *server_object_new(const char *key, const http_request *request);
void server_object_fill(server_object *object, const void *data, size_t len);
/* Takes it; what was there goes. */
void server_object_add(server_bucket *bucket, server_object *object);
void server_object_free(server_object *object);
void server_object_remove(server_bucket *bucket, const char *key);
const char *server_object_header(const server_object *object,
                                 const char *name);
/* If-Match and If-None-Match of a write; -1 with the reply made. */
int server_conditions(server_work *work, server_bucket *bucket);
/* Encryption headers of a made object go into the reply. */
void server_reply_encryption(server_work *work, const server_object *object);
int server_customer_key(server_work *work, const server_object *object,
                        const char *prefix);
/* The source of a copy and its range; NULL with the reply made. */
const server_object *server_copy_source(server_work *work, size_t *from,
                                        size_t *len);
void server_get(server_work *work, server_bucket *bucket);
void server_put(server_work *work, server_bucket *bucket);
void server_copy(server_work *work, server_bucket *bucket);

/* s3_server_uploads.c */
void server_upload(server_work *work, server_bucket *bucket);
void server_upload_list(server_work *work, server_bucket *bucket);

/* s3_server_lists.c */
void server_list(server_work *work, server_bucket *bucket);
void server_delete_batch(server_work *work, server_bucket *bucket);
void server_buckets(server_work *work);
void server_xml(http_text *out, const char *text);
/* The text of the next <name> from *at on, unescaped, to be freed; *at goes
   behind it. NULL: no more. */
char *server_xml_next(const char **at, const char *name);

/* s3_server_faults.c */
s3_rule *server_rule_parse(const char *text, const char **why);
void server_rule_free(s3_rule *rule);
void server_rules_free(s3_rule *rules);
/* What applies to this request, a copy, or NULL. Locks the server. */
s3_rule *server_rule_match(s3_server *server, const char *kind,
                           const char *key, const http_request *request);
int server_rule_has(const s3_rule *rule, const char *word);
const char *server_rule_value(const s3_rule *rule, const char *word);
/* Before the body is read. 1: the request is finished with. */
int server_fault_before(server_work *work);
/* 1: do not do what was asked for. */
int server_fault_replaces(server_work *work);
void server_fault_change(server_work *work); /* the reply */
/* What has no end, if the rule says so, until the client leaves. */
void server_fault_hostile(server_work *work);
/* Sends the reply; -1 if the connection cannot be used again. */
int server_send(server_work *work);
int server_fault_connect(s3_server *server, http_connection *connection);


#endif
