/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the layout `entries` share: a backend over `local` whose
 * clock and whose requests for entries the test rules, a model of some states,
 * and the check that the objects on the store are those of the model and no
 * others.
 */
#ifndef TESTS_ENTRIES_FIXTURE_H
#define TESTS_ENTRIES_FIXTURE_H

#include <stdatomic.h>
#include <statebackend/statebackend.h>

#include "tests/tap.h"

#define WORLD_GROUPS 8u
#define WORLD_STATES 5u
#define WORLD_KEYS 20u
#define WORLD_SPACES 3u
#define WORLD_PARTS 8u
#define WORLD_HANDLES 4u

typedef struct model_part {
  int present;
  uint32_t len;
  uint64_t expires_ms;
  uint8_t data[40];
} model_part;

typedef struct model {
  model_part parts[WORLD_STATES][WORLD_KEYS][WORLD_SPACES][WORLD_PARTS];
} model;

/* What goes wrong with requests for entries. */
#define WORLD_FAILS 1   /* has no effect */
#define WORLD_UNKNOWN 2 /* the effect is there, the answer is lost */

typedef struct world world;
struct world {
  sb_host host;          /* first: the host is the world */
  world *next;           /* of those that are over */
  char directory[64];
  sb_config *config;
  sb_backend *backend;
  sb_store wrapper;      /* what the engine sees, */
  sb_store *store;       /* over this */
  sb_store_ops ops;
  sb_store_info info;
  uint32_t flags_off;    /* SB_STORE_... not to be honoured */
  atomic_uint_fast64_t now_ms;
  sb_job *job;
  sb_keyed *handles[WORLD_HANDLES];
  uint32_t first[WORLD_HANDLES];
  size_t handle_count;
  uint64_t next_id;
  uint64_t random;
  model model;
  int compression;
  /* Requests for entries since the last reset, and which of them go wrong. */
  atomic_long puts, looks, removes, requests;
  atomic_long fail_at, fail_count;
  int fail_mode;
  /* The allocation within a commit that fails, 0 none; did it? */
  long no_memory_at;
  int memory_failed;
  atomic_long countdown;
  void (*hook)(world *w); /* called once, before request hook_at */
  long hook_at;
};

/* Opens the backend. `runs`: segments over a key group that start a
   compaction. */
world *world_new(int compression, const char *runs, uint64_t seed);
void world_free(world *w);
uint64_t world_random(world *w, uint64_t below);

void world_takeover(world *w, uint32_t retain);
/* `id` 0: the newest; UINT64_MAX: nothing. */
void world_open(world *w, size_t handles, uint64_t id);
void world_close_handles(world *w);
/* As a process that dies: what is not committed is lost. */
void world_crash(world *w);

/* Changes of state and model. */
void world_change(world *w, unsigned count);
sb_status world_put(world *w, unsigned state, unsigned key, unsigned space,
                    const char *text, uint64_t expires_ms);
sb_status world_remove(world *w, unsigned state, unsigned key,
                       unsigned space);
/* The status of the commit. */
sb_status world_checkpoint(world *w);
void world_reset_counts(world *w);
void world_fail(world *w, long at, long count, int mode);

/* The objects are those of `m` (NULL: the world's) and `foreign` more. */
int world_check(world *w, const model *m, size_t foreign);
/* What the newest _metadata says. */
uint64_t world_through(world *w);

/* For both files of the fixture. */
extern const uint32_t world_kinds[WORLD_STATES];
extern const char *const world_kind_names[WORLD_STATES];
void world_must(sb_status status, const sb_error *err);
int world_is_entry(const char *name);
sb_key world_place(unsigned state, unsigned key, unsigned space);

sb_slice world_state_name(unsigned state);
sb_slice world_key(unsigned key);
sb_slice world_space(unsigned space);

#endif
