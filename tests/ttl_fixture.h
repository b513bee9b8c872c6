/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of expiry and migration share, over engine_fixture: a host
   whose clock stands still until it is moved and whose allocations can fail,
   states with options, values by number. */
#ifndef TESTS_TTL_FIXTURE_H
#define TESTS_TTL_FIXTURE_H

#include "engine_fixture.h"

#define KEYS 4000u
#define LEN 100u    /* of values */
#define TTL 60000u  /* ms */

extern _Atomic uint64_t ttl_now;     /* ms */
extern _Atomic long ttl_countdown;   /* the allocation that fails, 0 none */
extern _Atomic long ttl_live;        /* allocations not freed */
extern _Atomic unsigned ttl_warnings; /* lines logged as warnings */
extern uint64_t ttl_checkpoint;      /* id of the next */

/* A backend on a host of its own; compaction at `runs` runs, 2 to 64. */
void ttl_open(const char *runs, uint32_t group_count);
void ttl_close(void);

sb_state_options ttl_options(const char *name, uint32_t kind);
uint32_t ttl_register(sb_keyed *k, const sb_state_options *o);
/* A checkpoint of one handle. */
void ttl_commit(sb_keyed *k);
/* The same handle's state after a checkpoint, read back by a new one. */
sb_keyed *ttl_reopen(sb_keyed *k, const sb_state_options *o);

/* Commits until the live segments have at most `bytes`, or 5 s are over. */
int ttl_wait_bytes(sb_keyed *k, uint64_t bytes);
uint64_t ttl_bytes(sb_keyed *k);

/* "value-i" and padding to `len` bytes, preceded by `stamp` as eight bytes,
   big-endian, if that is not UINT64_MAX. Good until the next call. */
sb_slice ttl_value(unsigned i, size_t len, uint64_t stamp);
void ttl_put(sb_keyed *k, uint32_t state, unsigned i, size_t len,
             uint64_t stamp, uint64_t expires_ms);
int ttl_has(sb_keyed *k, uint32_t state, unsigned i);

uint64_t now(void);
void forward(uint64_t ms);
/* Of kind SB_TIME_STAMP, living for TTL. */
sb_state_options stamped(const char *name, uint32_t kind);

#endif
