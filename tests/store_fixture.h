/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store to test, without an engine: the plugin and its filters are found,
 * configured and opened as usual, on a copy of the default host whose
 * engine_open keeps the store, and whose memory can be made to run out.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdatomic.h>
#include <statebackend/statebackend.h>
#include "host/store/store.h"

typedef struct fixture {
  sb_host host;             /* first: the plugin's host */
  sb_config *config;
  sb_store *store;          /* with the filters over it */
  sb_engine_options options;
  atomic_long allocations;  /* since it was set to 0 */
  atomic_long allocation_fails; /* the Nth allocation fails; 0: none */
  atomic_long blocks;       /* allocated and not freed */
  char dir[256];            /* made by fixture_open_local */
} fixture;

/* `settings`: key, value, ..., NULL. */
sb_status fixture_open(fixture *f, const char *plugin,
                       const char *const *settings, sb_error *err);

/* The local plugin in a new directory, or again in the one that f->dir
   names. */
sb_status fixture_open_local(fixture *f, const char *const *settings,
                             sb_error *err);
/* Closes; all memory must have been given back. The directory stays. */
void fixture_close(fixture *f);
void fixture_remove(fixture *f);  /* closes and removes the directory */

/* Waits until no more than `blocks` are allocated: threads of the host give
   their memory, and this host, up a moment after the work is done. */
void fixture_settle(fixture *f, long blocks);

sb_status fixture_put(fixture *f, const char *name, const char *text,
                      uint32_t flags, const char *etag, store_meta *meta,
                      sb_error *err);
/* 1 if the object is there with just this text. */
int fixture_has(fixture *f, const char *name, const char *text);
sb_status fixture_remove_object(fixture *f, const char *name, sb_error *err);

/* Files under the directory that are neither objects nor locks. */
unsigned fixture_leftovers(const fixture *f);

#endif
