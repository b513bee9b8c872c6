/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass of bringing entries up to a checkpoint. Shared by entries.c, which
 * follows commits, and entries_whole.c, which compares with a listing.
 */
#ifndef SB_ENGINE_ENTRIES_PASS_H
#define SB_ENGINE_ENTRIES_PASS_H

#include "host/engine/entries_put.h"

typedef struct entries_pass {
  engine *engine;
  const char *root;        /* of all names */
  const entries_base *now; /* the checkpoint to follow */
  entries_pump pump;
  entries_value value;     /* of the key at hand, */
  size_t charged;          /* and its memory */
  const char *operator_id; /* of what is being read, */
  uint32_t state;          /* and the state that `dir` is of */
  int has_dir, dir_hashed;
  char dir[PATH_SIZE];
  char name[PATH_SIZE];
  int fresh;               /* there are probably no entries yet */
  names hashed;            /* names with hashes, in a whole pass */
  uint64_t unnamed;        /* keys whose name would be too long */
} entries_pass;

/* Makes p->name of a key; SB_TOO_LARGE if it has none. */
sb_status pass_name(entries_pass *p, keyed *k, const record *key,
                    entries_about *about, sb_error *err);

/* After all that is there was put: removes the entries that the checkpoint
   has no key of. */
sb_status whole_remove(entries_pass *p, sb_error *err);

#endif
