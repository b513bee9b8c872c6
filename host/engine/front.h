/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fronts: the clear markers of ordered states. Taking the first records of a
 * key group one after the other moves its front on, instead of writing a
 * tombstone for each; readers begin behind the front and never see what is
 * gone. See RECORD_FRONT in record.h.
 */
#ifndef SB_ENGINE_FRONT_H
#define SB_ENGINE_FRONT_H

#include "host/engine/reader.h"

static inline int
record_is_front(const record *r)
{
  return (r->flags & (RECORD_TOMBSTONE | RECORD_FRONT)) == RECORD_FRONT;
}

/* Does a clear marker hide what is older and at the place of `r`? */
static inline int
front_or_key_hides(const record *marker, const record *r)
{
  if (!record_is_front(marker))
    return record_compare_key(r, marker) == 0;
  return marker->state == r->state && marker->key_group == r->key_group &&
         slice_compare(r->key, marker->value) < 0;
}

/* May a segment have fronts of the state? Then readers need it wherever they
   begin. */
static inline int
front_may_hold(const state *s, const segment *seg)
{
  return s->ordered && seg->info.tombstones != 0;
}

/* The place of the front of a state in a key group. */
void front_place(uint32_t state_id, uint32_t key_group, record *out);

/* Is the place gone because of a front in memory from after `epoch`? */
int front_hides_since(const place *p, uint64_t epoch);
int front_hides_key(const order_tree *o, sb_slice key, uint64_t epoch);

/* SB_OK if a run's front hides the place from older runs, else SB_NOT_FOUND,
   or a failure. */
sb_status front_in_run(reader_ctx *r, segment *s, const place *p,
                       sb_error *err);

/* Brings the runs of a merge to their first records at or behind `from` that
   no newer run's front hides. `from` is a place in an ordered state. */
sb_status front_seek(merge *m, const record *from, sb_error *err);

/* The merge's next record is a front: joins those of all runs into one, whose
   value is m->front, and brings the runs behind what is gone. */
sb_status front_join(merge *m, const record *first, sb_error *err);

#endif
