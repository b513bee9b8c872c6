/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch: what scans read first, for many key groups and runs at once. The
 * directories that are missing come in one wave of parallel GETs, then the
 * partitions, then the blocks; neighbours share a GET. What came stays pinned
 * until the scan has been there.
 *
 * Nothing here fails: what could not be had is asked for again by who needs
 * it, who then has the error.
 */
#ifndef SB_ENGINE_PREFETCH_H
#define SB_ENGINE_PREFETCH_H

#include "host/engine/reader.h"
#include "host/engine/scan_range.h"

typedef struct prefetch {
  keyed *keyed;
  sb_event *event;
  uint32_t priority;
  cache_entry **pins;
  size_t pin_count, pin_cap;
  size_t bytes;          /* of them */
} prefetch;

void prefetch_init(prefetch *p, keyed *k, sb_event *event, uint32_t priority);
/* Lets go of all that is pinned. */
void prefetch_drop(prefetch *p);
void prefetch_dispose(prefetch *p);

/* For the range in key groups first..last of a version, which the caller keeps.
   `from` is where the scan begins in the first of them. Returns the last key
   group it got to within its share of memory. */
uint32_t prefetch_range(prefetch *p, const scan_range *range,
                        const version *v, const record *from, uint32_t first,
                        uint32_t last);

/* 0: by what is in memory of its index, a run has nothing of the range at or
   after `from`, a place in one key group. PREFETCH_AWAY: it may, but not all
   that tells where it begins is in memory. Never waits. */
#define PREFETCH_HERE 1
#define PREFETCH_AWAY 2
int prefetch_may_hold(keyed *k, const scan_range *range, segment *s,
                      const record *from);

#endif
