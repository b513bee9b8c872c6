/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of states share: one subtask of a job over the `local` plugin
 * in a directory of its own, with a clock that the test sets and allocations
 * that it can make fail.
 */
#ifndef TESTS_STATE_FIXTURE_H
#define TESTS_STATE_FIXTURE_H

#include <stdatomic.h>
#include <string.h>
#include <statebackend/statebackend.h>

#include "tap.h"

#define CLOCK_START UINT64_C(1700000000000)

extern sb_keyed *keyed;
extern sb_context *context;
extern sb_error err;
extern atomic_uint_fast64_t clock_ms;
extern atomic_long fail_in;    /* the allocation that fails, 0 none */
extern atomic_long live_blocks;

/* A backend, a handle on nothing and its context; `memory` is the budget. */
void state_begin(const char *memory, uint32_t groups);
void state_end(void);

/* A checkpoint of the handle, complete. */
void state_checkpoint(void);
/* Closes context and handle and opens them on the newest checkpoint; flags as
   SB_OPEN_... The checkpoint before that is the caller's. */
void state_reopen(uint32_t flags);
/* checkpoint, then reopen. */
void state_restart(void);
/* 0 and a note if it failed. */
int state_open_handle(const sb_checkpoint *from, uint32_t flags);
void state_close_handle(void);

int ok(sb_status status);
/* The status is expected, and its message has `part` in it. */
int fails(sb_status status, sb_status expected, const char *part);
sb_slice text(const char *s);
int is_text(sb_slice slice, const char *s);
void set_key(const char *key);
void set_ns(const char *ns);
sb_state_spec spec_of(const char *name);

/* What a walk saw, as "a,b,c,". */
typedef struct words {
  char text[2048];
} words;
void words_add(words *w, sb_slice slice);
const char *list_words(sb_list *list);   /* "none" */
const char *map_words(sb_map *map);      /* "a=1,b=null," */
/* Rows of an iterator over keys: "ns/key,"; closes it. Sorted. */
const char *key_words(sb_iterator *it);

void pass(uint64_t ms);                  /* the clock goes on */
sb_state_spec lasting(const char *name, uint64_t ttl_ms, uint32_t update,
                      uint32_t visibility);
const char *value_of(sb_value *value);   /* "none" */
/* Records in the handle, expired ones included. */
unsigned stored(const char *name);

#endif
