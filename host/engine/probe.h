/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what the index of a run says about a range in one key group: nothing
 * is there, or in which blocks it begins. Never waits: tells what piece of the
 * index is missing.
 */
#ifndef SB_ENGINE_PROBE_H
#define SB_ENGINE_PROBE_H

#include "host/engine/reader.h"
#include "host/engine/scan_range.h"

typedef struct probe {
  keyed *keyed;
  const scan_range *range;
  record from;           /* where it begins */
  record behind;         /* the first place after it, */
  int to_end;            /* if it is wanted up to there */
  uint64_t ids[2];       /* one of them is in a filter that has the key */
  int by_key, by_space;
} probe;

/* Blocks first..last of the partition may hold some of it. */
typedef struct probe_blocks {
  cache_entry *pin;      /* of the partition */
  segment_partition view;
  uint32_t first, last;
  int beyond;            /* those after the first are wanted if it is missing:
                            a queue comes back for them */
} probe_blocks;

void probe_init(probe *b, keyed *k, const scan_range *range,
                const record *from);

/* SB_NOT_FOUND: nothing is there. SB_BUSY: *n is missing. SB_OK: *out, whose
   pin is the caller's. */
sb_status probe_run(const probe *b, segment *s, probe_blocks *out, need *n);

#endif
