/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of snapshots share: a handle's contents with a model of them,
   parts that outlive their snapshots, the store's objects as files. Over
   engine_fixture.h. */
#ifndef TESTS_SNAPSHOT_FIXTURE_H
#define TESTS_SNAPSHOT_FIXTURE_H

#include "engine_fixture.h"
#include "watched_store.h"

#define CONTENT_KEYS 200u

/* What a handle should hold: a value and a list a key. */
typedef struct content {
  uint32_t value[CONTENT_KEYS];   /* 0: none */
  uint32_t elements[CONTENT_KEYS]; /* in the list: 1, 2, 3 ... */
} content;

void content_register(sb_keyed *k);
/* `count` random changes. */
void content_change(sb_keyed *k, content *c, unsigned count);
/* How many keys are not as they should be. */
unsigned content_wrong(sb_keyed *k, const content *c);

/* A part with all that hangs off it. */
typedef struct kept_part {
  sb_part part;
  char **names;
  uint8_t *is_new;
  char *operator_id, *manifest_name;
  void *manifest;
} kept_part;

kept_part *kept_part_new(const sb_part *part);
kept_part *kept_part_again(const kept_part *p);
void kept_part_free(kept_part *p);
int kept_part_names(const kept_part *p, const char *name);
/* Makes the manifest's relative names absolute, as restoring a savepoint
   does. */
void kept_part_place(kept_part *p, const char *prefix);

sb_snapshot *begin_kind(sb_keyed *k, uint64_t id, uint32_t kind,
                        const char *savepoint);
/* A handle on parts; NULL with *status if it cannot be opened. */
sb_keyed *open_parts(const char *job_name, const kept_part *const *parts,
                     size_t count, uint64_t generation, uint32_t flags,
                     uint32_t subtask, sb_status *status);

/* The whole key range of operator "op" of job "", its states registered. */
sb_keyed *open_new(void);
kept_part *run_kept(sb_keyed *k, sb_snapshot *s);
void commit_part(const kept_part *p, uint64_t id);
/* Begins, runs, commits, frees and tells. */
kept_part *snapshot_whole(sb_keyed *k, uint64_t id, uint32_t kind);
/* What a handle of its own on the part gets wrong. */
unsigned part_wrong(const kept_part *p, const content *c, uint32_t flags);
/* Names that both list. */
unsigned shared_objects(const kept_part *a, const kept_part *b);
/* Of what a part lists, and of what a handle may read and is not foreign, how
   many objects are not there. */
unsigned part_missing(const kept_part *p);
unsigned segments_missing(sb_keyed *k);
uint32_t draw(uint32_t n);
/* A backend on this host, with store_watch. */
void open_watched(const sb_host *host);

int object_exists(const char *name);
void object_remove(const char *name);
/* Objects whose name begins with `prefix`; `each` may be NULL. */
unsigned objects_under(const char *prefix,
                       void (*each)(void *arg, const char *name), void *arg);

#endif
