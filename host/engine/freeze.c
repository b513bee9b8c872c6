/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing an epoch, in constant time: the dirty chunks change lists, the epoch
 * number grows, and the live version is noted. Cells of closed epochs are
 * never changed again.
 */
#include "config.h"

#include "host/engine/keyed.h"

static void
freeze_link(keyed *k, frozen *f)
{
  if (k->frozen_last == NULL)
    k->frozen_first = f;
  else
    k->frozen_last->next = f;
  k->frozen_last = f;
}

sb_status
freeze_epoch(keyed *k, struct sb_snapshot *snapshot, sb_error *err)
{
  frozen *f = NULL;

  if (k->dirty != NULL) {
    f = mem_zalloc(k->host, sizeof *f);
    if (f == NULL)
      return sb_error_set(err, SB_NO_MEMORY,
                          "could not close an epoch: no memory");
    f->epoch = k->epoch;
    f->chunks = k->dirty;
    f->bytes = k->dirty_bytes;
    f->cells = k->dirty_cells;
    k->frozen_count++;
  }
  k->dirty = NULL;
  k->dirty_bytes = 0;
  k->dirty_cells = 0;
  keyed_lock(k);
  if (f != NULL) {
    freeze_link(k, f);
    atomic_fetch_add_explicit(&k->frozen_bytes, f->bytes,
                              memory_order_relaxed);
  }
  if (snapshot != NULL) {
    snapshot->epoch = k->epoch;
    snapshot->list_sequence = k->list_sequence;
    snapshot->base = k->live;
    snapshot->base->refs++;
    snapshot->next = k->snapshots;
    k->snapshots = snapshot;
  }
  keyed_unlock(k);
  k->epoch++;
  return SB_OK;
}
