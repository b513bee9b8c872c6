/* SPDX-License-Identifier: Apache-2.0 */
/* What compact.c (doing) and compact_plan.c (choosing) share. */
#ifndef SB_ENGINE_COMPACT_H
#define SB_ENGINE_COMPACT_H

#include "host/engine/reader.h"

#define COMPACT_THROTTLE 4u /* times the threshold: the owner waits */

/* One compaction: the slice of key groups first..last of the runs between two
   points in time. */
typedef struct plan {
  version *version;        /* pinned */
  rules rules;             /* no older than the version */
  uint32_t first, last;    /* key groups */
  segment **inputs;        /* newest first */
  segment_view *views;     /* the same, with the part of each in the slice */
  size_t count;
  int bottom;              /* nothing older lies below the slice */
} plan;

/* Pins the live version and notes the states' rules. */
sb_status plan_begin(keyed *k, plan *p);
/* A slice with too many runs; SB_END if there is none. */
sb_status plan_deep(keyed *k, plan *p);
/* A slice of which much is dead; SB_END if little is. */
sb_status plan_dead(keyed *k, plan *p);
void plan_dispose(keyed *k, plan *p);

/* Which views of the pinned version have nothing that counts and hide nothing:
   sets gone[i] to 1; how many. `gone` is as long as version->count. */
size_t plan_whole_dead(plan *p, uint8_t *gone);

#endif
