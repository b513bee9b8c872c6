/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job with a model of what its state must be: up to five subtasks and a
 * coordinator over the `local` plugin in a directory of its own. What goes on
 * in one life is found in the next one, wherever that begins.
 */
#ifndef TESTS_LIVES_H
#define TESTS_LIVES_H

#include <statebackend/statebackend.h>

#define LIFE_GROUPS 32u
#define LIFE_SUBTASKS 5
#define LIFE_KEYS 150u
#define LIFE_ELEMENTS 12u
#define LIFE_SUBKEYS 6u

/* What the state must be. 0: nothing there. */
typedef struct life_key {
  uint32_t value, element_count, elements[LIFE_ELEMENTS],
    entries[LIFE_SUBKEYS];
} life_key;

typedef struct life_subtask {
  sb_keyed *keyed;
  uint32_t first, last;
  uint32_t value, list, map;
} life_subtask;

extern life_key model[LIFE_KEYS];
extern life_subtask subtasks[LIFE_SUBTASKS];
extern uint32_t count;     /* of subtasks */
extern char directory[64];
extern sb_config *config;
extern sb_backend *backend;
extern sb_coordinator *coordinator;
extern const sb_checkpoint *restored;
extern sb_error err;
extern uint32_t serial;    /* of values, jobs and savepoints */
extern char own_path[32], own_id[32];

uint32_t below(uint32_t n);
int good(sb_status status);
/* A backend in an empty directory, and a job's first life. */
void life_begin(uint64_t seed);
/* Parts of that: a configuration with an empty directory, then its backend. */
void life_configure(void);
void life_set(const char *key, const char *value);
void life_open_backend(void);
void life_finish(void);
/* `source`, unless NULL, has what is not the same in all lives. */
void life_open(uint32_t parallelism, const sb_coordinator_options *source);
void life_close(void);
/* The next life is another job's. */
void life_next_job(void);
void life_change(uint32_t changes);
void life_compare(const char *when);
sb_status life_snapshot(uint32_t kind, const char *savepoint);
/* After a collection there is what the newest checkpoint needs, and nothing
   else. With all handles closed. */
void life_check_objects(void);

#endif
