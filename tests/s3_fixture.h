/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An s3 store over a server that does wrong, for tests: both in this process,
 * with short timeouts, and what is logged kept. Everything goes through the
 * store ABI. Failures are printed, so that a search for secrets finds them.
 */
#ifndef TESTS_S3_FIXTURE_H
#define TESTS_S3_FIXTURE_H

#include <stdatomic.h>
#include <statebackend/statebackend.h>
#include "host/store/store.h"
#include "plugins/s3/s3.h"
#include "tests/s3_server.h"

#define S3_FIXTURE_NAME "dir/object"
#define S3_FIXTURE_SIZE 10000u   /* of the object that is there */

typedef struct s3_fixture {
  sb_host host;              /* first: the plugin's host */
  s3_server *server;
  sb_config *config;
  s3_store *store;
  sb_error error;            /* of the last failure */
  pthread_mutex_t lock;
  http_text log;             /* guarded by it */
  atomic_long blocks;        /* of the plugin's, not given back */
  _Atomic int64_t clock_ms;  /* added to the wall clock */
  uint64_t started_ns;       /* of the last operation */
  uint64_t took_ms;          /* it */
} s3_fixture;

/* A server with one object, s3_fixture_byte(i) at byte i. */
void s3_fixture_start(s3_fixture *f, const s3_server_options *options);
/* Opens the store. `settings`: lines of "KEY=VALUE" that come after, and so
   replace, those for tests; keys that do not begin with "aws." are the
   plugin's. NULL: none. "KEY" alone takes one away. */
sb_status s3_fixture_open(s3_fixture *f, const char *settings);
void s3_fixture_close(s3_fixture *f);    /* the store */
void s3_fixture_end(s3_fixture *f);      /* both */
/* Both, with CUnit's fatal asserts. `rules`: lines. */
void s3_fixture_begin(s3_fixture *f, const char *rules, const char *settings);
void s3_fixture_rules(s3_fixture *f, const char *rules);

unsigned char s3_fixture_byte(uint64_t at);
/* Reads a range of the object and asserts that what comes is right. */
sb_status s3_fixture_get(s3_fixture *f, uint64_t offset, uint64_t length);
sb_status s3_fixture_put(s3_fixture *f, const char *name, const void *data,
                         size_t len, uint32_t flags, const char *if_match,
                         store_meta *meta);
sb_status s3_fixture_head(s3_fixture *f, const char *name, store_meta *meta);
/* Names under "", counted; `limit` of them at most. */
sb_status s3_fixture_list(s3_fixture *f, size_t limit, size_t *count);
sb_status s3_fixture_remove(s3_fixture *f, const char *const *names,
                            size_t count, sb_status *statuses);
/* 1 if the server has just these bytes. */
int s3_fixture_holds(s3_fixture *f, const char *name, const void *data,
                     size_t len);
int s3_fixture_logged(s3_fixture *f, const char *text);
/* The last operation took at most so long; more on slow machines. */
int s3_fixture_within(const s3_fixture *f, uint64_t ms);
/* Asserts the outcome; `text` stands in the message, NULL: any. */
void s3_fixture_expect(s3_fixture *f, sb_status status, sb_status wanted,
                       const char *text);

/* One operation under rules, with the usual settings: its status, the text in
   its message (NULL: any), the requests of its kind that the server sees (0:
   any number), and that it takes no longer than it may. */
void s3_fixture_try_get(const char *rules, sb_status wanted, size_t requests,
                        const char *text);
/* ... and that the object is there if and only if that is told. */
void s3_fixture_try_put(const char *rules, size_t len, uint32_t flags,
                        sb_status wanted, size_t requests, const char *text);

/* A file of certificates with its keys, in a directory that goes away. */
typedef struct s3_certificates {
  char dir[64];
  char ca[96];               /* the one to trust */
  char good[96], good_key[96];     /* for 127.0.0.1 and localhost */
  char other[96], other_key[96];   /* for elsewhere.test */
  char expired[96], expired_key[96];
  char unknown[96], unknown_key[96]; /* signed by an authority of its own */
} s3_certificates;
int s3_certificates_make(s3_certificates *c);   /* 0, or -1 */
void s3_certificates_remove(s3_certificates *c);

#endif
