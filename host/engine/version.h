/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments in use and versions: immutable lists of segment views, newest
 * first. A version keeps its segments, whoever reads keeps a version.
 *
 * All reference counts are guarded by the handle's lock.
 */
#ifndef SB_ENGINE_VERSION_H
#define SB_ENGINE_VERSION_H

#include <stdatomic.h>
#include "host/engine/segment.h"

#define SEGMENT_ENGINE 0u  /* owner: this job's engine */
#define SEGMENT_FOREIGN 1u /* another job's: never deleted by us */
#define SEGMENT_HOST 2u    /* the host deletes it */

typedef struct segment {
  uint32_t refs;
  uint64_t number;        /* its number in the block cache */
  char *name;
  char *root;             /* NULL: this store */
  uint32_t owner;
  int own;                /* written by this handle */
  int published;          /* named by a manifest that left the handle */
  uint64_t first_named;   /* the lowest checkpoint whose manifest did */
  struct segment *twin;   /* ring of copies of the same bytes, or NULL; they
                             share the number, and directories */
  uint64_t copied_for;    /* the cut that a copy was made for, 0: no copy */
  int adopted;            /* a copy that has been in the live version */
  uint32_t listed;        /* handouts that list it, see hosted.c */
  segment_info info;
  uint64_t sequence;      /* recency among segments of one epoch */
  sb_slice times;         /* own copy, see times.h; empty: not known */
  uint32_t dead_share;    /* compaction: thousandths that are dead, about */
  atomic_int left_alone;  /* compaction could not migrate its records */
  _Atomic(segment_directory *) directory; /* NULL until first use */
} segment;

typedef struct segment_view {
  segment *segment;
  uint32_t key_group_first, key_group_last;
} segment_view;

typedef struct version {
  struct version *next;   /* keyed.versions */
  uint32_t refs;
  size_t count;
  segment_view *views;    /* newest first */
  uint32_t key_group_first;
  uint32_t *run_start;    /* per key group: first index in runs; one more */
  segment **runs;         /* newest first within a key group */
} version;

/* The same bytes, under whatever name? */
static inline int
segment_same(const segment *a, const segment *b)
{
  return a->number == b->number;
}

/* By epoch, then by sequence: negative if a is newer. */
int segment_view_compare(const segment_view *a, const segment_view *b);

/* Segments of one flush or one compaction are one run: they share recency and
   no two have the same key. */
static inline int
segment_same_run(const segment *a, const segment *b)
{
  return a->info.epoch_max == b->info.epoch_max && a->sequence == b->sequence;
}

/* A version of views (copied, sorted), with one reference and one taken on
   each segment. NULL: out of memory. */
version *version_new(const sb_host *host, const segment_view *views,
                     size_t count, uint32_t key_group_first,
                     uint32_t key_group_last);
/* Frees the memory of a version without references; segments are not
   touched. */
void version_free(const sb_host *host, version *v);

static inline segment **
version_runs(const version *v, uint32_t key_group, size_t *count)
{
  uint32_t i = key_group - v->key_group_first;

  *count = v->run_start[i + 1] - v->run_start[i];
  return v->runs + v->run_start[i];
}

/* Runs over a key group; one that fills several segments counts once. */
static inline size_t
version_depth(const version *v, uint32_t key_group)
{
  size_t count, depth = 0, i;
  segment **runs = version_runs(v, key_group, &count);

  for (i = 0; i < count; i++)
    depth += i == 0 || !segment_same_run(runs[i - 1], runs[i]);
  return depth;
}

#endif
