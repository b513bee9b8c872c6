/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance: what the parts of the program share. A case is a function; it
 * states what it expects, and one line of TAP tells how it went.
 */
#ifndef TESTS_CONFORMANCE_H
#define TESTS_CONFORMANCE_H

#include <statebackend/statebackend.h>
#include "host/store/store.h"

typedef struct conformance {
  const sb_host *host;
  sb_config *config;
  sb_backend *backend;
  sb_store *store;
  uint32_t flags;           /* of the store's info */
  char prefix[64];          /* all names of this run begin so */
  unsigned processes, rounds;
  int shared;               /* other processes see our objects */
  int lossy;                /* answers may get lost on their way */
  char **argv;              /* to start workers with */
  int argc;
  int failed;               /* of the running case */
  const char *skipped;      /* why, of the running case */
} conformance;

typedef struct conformance_case {
  const char *name;
  void (*run)(conformance *c);
} conformance_case;

/* NULL-terminated. */
extern const conformance_case conformance_objects[];
extern const conformance_case conformance_conditions[];
extern const conformance_case conformance_lists[];
extern const conformance_case conformance_streams[];
extern const conformance_case conformance_changes[];
extern const conformance_case conformance_races[];

/* The run's prefix and `name`; good for the next 15 calls. One thread. */
const char *at(const conformance *c, const char *name);

/* Notes a failure unless `holds`; returns it. */
int expect(conformance *c, int holds, const char *format, ...)
  SB_PRINTF(3, 4);
int expect_status(conformance *c, sb_status got, sb_status want,
                  const sb_error *error, const char *what);

/* Puts text without conditions, which must succeed. */
void must_put(conformance *c, const char *name, const char *text,
              store_meta *meta);
/* The object must be there with just this text. */
void must_have(conformance *c, const char *name, const char *text);
void must_lack(conformance *c, const char *name);
sb_status put_text(conformance *c, const char *name, const char *text,
                   uint32_t flags, const char *etag, store_meta *meta,
                   sb_error *error);
sb_status remove_one(conformance *c, const char *name);

/* Operations straight on the store's methods, waited for. They fill in the
   request's base and check that `done` comes once and its result is sound. */
sb_status raw_put(conformance *c, sb_put_request *request, sb_error *error);
sb_status raw_get(conformance *c, sb_get_request *request, uint64_t *got,
                  sb_error *error);
sb_status raw_write(conformance *c, sb_stream *stream,
                    sb_write_request *request, sb_error *error);
sb_status raw_commit(conformance *c, sb_stream *stream, store_meta *meta,
                     sb_error *error);
sb_status raw_abort(conformance *c, sb_stream *stream);

/* Bytes that depend on seed and place. */
void fill_pattern(uint8_t *data, uint64_t offset, uint64_t len, uint64_t seed);

/* Serves a parent's commands on standard input until it ends. */
int conformance_worker(conformance *c);

#endif
