/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of snapshots share. A run flushes the cut (flush.c), copies
 * what its manifest may not share (cut.c), drafts the manifest (draft.c) and
 * makes the part of it (part.c). Where the host deletes the objects, hosted.c
 * keeps the account of what it was told.
 */
#ifndef SB_ENGINE_SNAPSHOT_H
#define SB_ENGINE_SNAPSHOT_H

#include "host/engine/keyed.h"
#include "host/engine/manifest.h"

static inline int
keyed_host_owned(const keyed *k)
{
  return k->hosted != NULL;
}

/* ---- cut.c --------------------------------------------------------------- */

/* Copies, under names of their own, the segments of the cut that its manifest
   may not name as they are. After a failure it is as if nothing had been
   done. */
sb_status cut_adopt(keyed *k, sb_snapshot *s, sb_error *err);
/* Takes the substitutes from the snapshot; what nobody else uses is
   dropped. */
void cut_forget(keyed *k, sb_snapshot *s);
/* Removes the copies in a savepoint that will never be one. */
void cut_remove(keyed *k, sb_snapshot *s);

/* ---- draft.c ------------------------------------------------------------- */

/* What a manifest is made of; names are borrowed from segments that the
   snapshot or `pins` keep. */
typedef struct draft {
  manifest m;
  segment_view *views;   /* the manifest's segments, newest first */
  size_t view_count;
  segment **pins;        /* of `held`, one reference each */
  size_t pin_count;
  char **dropped;        /* copies */
} draft;

sb_status draft_make(keyed *k, sb_snapshot *s, draft *d);
void draft_dispose(keyed *k, const sb_snapshot *s, draft *d);

/* ---- part.c -------------------------------------------------------------- */

/* Drafts the manifest, encodes it, and writes it if it is large. */
sb_status part_make(keyed *k, sb_snapshot *s, sb_error *err);
/* Forgets the last run's part; its manifest object is offered for deletion. */
void part_clear(keyed *k, sb_snapshot *s);

/* ---- hosted.c ------------------------------------------------------------ */

/* For SB_OPEN_HOST_OWNED, after the parts were restored. */
sb_status hosted_open(keyed *k, const sb_keyed_options *options,
                      sb_error *err);
void hosted_free(keyed *k);

/* All with the lock held. May the handle rely on it? Every handout since the
   newest complete one lists it. */
int hosted_is_safe(const keyed *k, const segment *s);
/* The safe one among a segment and its copies, or NULL. */
segment *hosted_safe(keyed *k, segment *s);
/* Records what snapshot `s` hands out: the segments of its manifest and all
   else that the handle relies on, which goes to d->pins. */
sb_status hosted_hand_out(keyed *k, sb_snapshot *s, draft *d);

/* Without the lock: a run begins. What an earlier one of the same snapshot has
   handed out is the host's, whatever becomes of this one. */
void hosted_start(keyed *k, sb_snapshot *s);
/* Without the lock: a run failed; nobody was told of what it made. */
void hosted_give_up(keyed *k, sb_snapshot *s);
/* Owner thread, without the lock. */
void hosted_notify(keyed *k, uint32_t what, uint64_t checkpoint_id);

#endif
