/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 server in memory for tests, which can do wrong whatever a server can
 * do wrong. It verifies signatures and checksums on its own, keeps a log of
 * what it was asked ("seen on the wire"), and breaks answers by rules.
 *
 * A rule is one line of words, "OPERATIONS [WHEN...] WHAT...":
 *
 *   OPERATIONS  names with commas between, or any:
 *     get head put list delete delete_batch copy upload_create upload_part
 *     upload_part_copy upload_complete upload_abort upload_list bucket
 *     location bucket_create buckets other; write: put, copy,
 *     upload_complete; connect: a new connection, before TLS
 *   WHEN (each request is tried on the rules in order; the first one wins)
 *     nth=N        from the Nth matching request on (1)
 *     count=N      so often (1, with chance for ever; 0: for ever)
 *     chance=P     with this probability, from the server's seed
 *     key=TEXT     TEXT stands in the key; query=TEXT likewise
 *     reused       not the first request of its connection
 *     upload-over=N only if the body has more bytes
 *   WHAT; values are percent-decoded, so that "%20" is a space
 *     status=N code=TEXT message=TEXT   an error answer, in XML
 *     html, empty          that answer's body
 *     header=NAME:VALUE    added to the answer, any number; replaces
 *     no-header=NAME       left out
 *     apply                do what was asked before failing
 *     delay=MS             wait before answering
 *     reset, close, stall  no answer: RST, FIN, nothing
 *     reset-at=N, close-at=N, stall-at=N   after N bytes of the answer
 *     reset-body-at=N, stall-body-at=N     after N bytes of the request body
 *     reset-random         at some byte of request or answer
 *     close-after          answer, then FIN on the kept connection
 *     drip=MS              a byte each MS
 *     longer=N             Content-Length says N more
 *     chunked, endless-chunks   as chunks; without a last one
 *     ok-error=CODE        200 with <Error>; spaces=N: blanks before the XML
 *     ignore-range         200 and everything
 *     flip=N               byte N of the body is another
 *     date=SECONDS         Date is off by that much
 *     no-continue          100-continue never comes; the body is still taken
 *     expect-fail          417
 *     endless-headers, endless-body, bomb (XML entities)
 *     list-token=same|empty|endless   list-key-case
 *     list-plain           encoding-type is not heard
 *     delete-errors=TEXT   keys with TEXT fail with `code` (AccessDenied)
 *     ignore-conditions    If-Match and If-None-Match are not looked at
 */
#ifndef TESTS_S3_SERVER_H
#define TESTS_S3_SERVER_H

#include <stdio.h>

#include "tests/http_server.h"

/* Texts that must not show up anywhere; test-s3-secrets.sh looks for
   "SECRETsecret". */
#define S3_TEST_ACCESS "AKIDTESTEXAMPLE12345"
#define S3_TEST_SECRET "SECRETsecretSECRETsecretSECRETsecretSECR"
#define S3_TEST_TOKEN "SECRETsecretTOKENtokenSECRETsecretTOKEN=="
#define S3_TEST_REGION "us-east-1"
#define S3_TEST_BUCKET "state"
#define S3_TEST_OWNER "111122223333"

typedef struct s3_server s3_server;

typedef struct s3_server_options {
  const char *access_key, *secret_key; /* NULL: the ones above */
  const char *region;            /* of the bucket "state" */
  const char *certificate, *key; /* PEM files: TLS */
  int port;
  unsigned address;              /* 127.0.0.N; 0: 1 */
  uint64_t seed;                 /* of `chance`; 0: 1 */
  uint64_t part_min;             /* bytes of a part; 0: 5 MiB */
  int insecure_customer_keys;    /* SSE-C without TLS */
  FILE *log;                     /* a line for each request; NULL: none */
  int forget;                    /* keep no log in memory */
} s3_server_options;

/* With the bucket "state". `options` may be NULL. NULL: could not listen. */
s3_server *s3_server_start(const s3_server_options *options);
void s3_server_stop(s3_server *server);  /* NULL: nothing */
int s3_server_port(const s3_server *server);
const char *s3_server_url(const s3_server *server); /* "http://127.0.0.1:N" */

void s3_server_bucket(s3_server *server, const char *name, const char *region);
/* Further credentials; `token` may be NULL. Again: others for that key. */
void s3_server_credentials(s3_server *server, const char *access,
                           const char *secret, const char *token);
/* From now on requests with this key get `code` (ExpiredToken); NULL: no
   longer. */
void s3_server_revoke(s3_server *server, const char *access, const char *code);
void s3_server_clock(s3_server *server, int64_t offset_ms);
/* How requests for a bucket of another region are answered: 301, 307, or 400
   (AuthorizationHeaderMalformed), which is the default. */
void s3_server_wrong_region(s3_server *server, int status);

/* -1 if the rule is no rule; `why` then points to the bad word. */
int s3_server_fault(s3_server *server, const char *rule, const char **why);
void s3_server_mend(s3_server *server);  /* no rules any more */
unsigned s3_server_faults_done(s3_server *server);
uint64_t s3_server_requests(s3_server *server); /* also those forgotten */

/* ---- what it holds ---- */
void s3_server_store(s3_server *server, const char *bucket, const char *key,
                     const void *data, size_t len);
/* A copy to be freed, NULL if there is none. */
char *s3_server_load(s3_server *server, const char *bucket, const char *key,
                     size_t *len);
/* A header that the object was made with, lower case; a copy, or NULL. */
char *s3_server_object_header(s3_server *server, const char *bucket,
                              const char *key, const char *name);
size_t s3_server_objects(s3_server *server, const char *bucket);
size_t s3_server_uploads(s3_server *server, const char *bucket);

/* ---- what it has seen ---- */
typedef struct s3_seen {
  const char *kind;          /* as in rules */
  http_request request;      /* the body: up to 64 KiB of it */
  uint64_t body_len;         /* whole */
  int status;                /* answered; 0: not at all */
  int faulty;                /* a rule changed something */
  unsigned connection;
  uint64_t time_ms;
} s3_seen;

/* `kind` NULL: any. */
size_t s3_server_seen(s3_server *server, const char *kind);
/* The nth (from 1) of that kind, valid until forget or stop; NULL: none. */
const s3_seen *s3_server_seen_nth(s3_server *server, const char *kind,
                                  size_t nth);
void s3_server_forget(s3_server *server);
unsigned s3_server_connections(s3_server *server);
uint64_t s3_server_sent(s3_server *server);
/* 1 if all requests of that kind have different values of the header. */
int s3_server_all_differ(s3_server *server, const char *kind,
                         const char *header);

#endif
