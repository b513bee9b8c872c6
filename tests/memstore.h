/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object store in memory for tests, with its own small host. One thread:
 * every operation is done before its call returns. Operations can be made to
 * fail before or after their effect, writes to land later, and a hook runs
 * before each operation, so that a test can let others go first. A stream
 * counts as one put.
 */
#ifndef TESTS_MEMSTORE_H
#define TESTS_MEMSTORE_H

#include <statebackend/store.h>

/* A host whose randomness is a seed's and whose allocations can be made to
   fail. Events must be set before they are waited for. */
typedef struct memhost {
  sb_host host;
  uint64_t seed;
  uint64_t clock_ms;
  size_t live;            /* allocations not freed */
  size_t allocations;     /* all so far */
  size_t fail_at;         /* number of the allocation that fails, 0 none */
  size_t logged;
} memhost;

void memhost_init(memhost *h, uint64_t seed);

#define MEMSTORE_GET 1u
#define MEMSTORE_PUT 2u
#define MEMSTORE_LIST 4u
#define MEMSTORE_REMOVE 8u
#define MEMSTORE_HEAD 16u
#define MEMSTORE_COPY 32u
#define MEMSTORE_ALL 63u

#define MEMSTORE_BEFORE 10u  /* fails and has no effect */
#define MEMSTORE_AFTER 20u   /* fails, but the effect is there */
#define MEMSTORE_DELAYED 30u /* fails; the effect comes with memstore_land */
#define MEMSTORE_FLIP 40u    /* get: one bit of the answer is wrong */

typedef struct memstore memstore;
typedef void memstore_hook(void *arg, uint32_t op, const char *name);

/* `flags`: SB_STORE_..., which it says and honours. Uses malloc. */
memstore *memstore_new(uint32_t flags);
void memstore_free(memstore *m);
sb_store *memstore_store(memstore *m);

/* From now on the `nth` (1: next) operation of a kind in `ops` on a name that
   has `part` in it ("" for all), and `times` - 1 after it, go wrong so. */
void memstore_fault(memstore *m, uint32_t ops, const char *part, uint64_t nth,
                    uint64_t times, uint32_t mode, sb_status status);
void memstore_clear_faults(memstore *m);
/* Lets the oldest delayed write happen, if its condition still holds. Returns
   how many are left, -1 if there was none. */
int memstore_land(memstore *m);
void memstore_set_hook(memstore *m, memstore_hook *hook, void *arg);

uint64_t memstore_count(const memstore *m, uint32_t ops);
/* Objects whose name has `part` in it. */
size_t memstore_objects(const memstore *m, const char *part);
const char *memstore_name(const memstore *m, const char *part, size_t i);
int memstore_has(const memstore *m, const char *name);
void memstore_put(memstore *m, const char *name, const void *data,
                  size_t len);
void memstore_remove(memstore *m, const char *name);
uint8_t *memstore_data(memstore *m, const char *name, size_t *len);

/* An upload that was begun and never ended; how many there are of the names
   with `part` in them. */
void memstore_begin_upload(memstore *m, const char *name);
size_t memstore_uploads(const memstore *m, const char *part);

#endif
