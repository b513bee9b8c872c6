/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frozen epochs become segments. One flush at a time per handle, oldest epochs
 * first, and never across the cut of a snapshot still under way: so the
 * manifest of a snapshot is its base version plus the segments flushed since
 * for epochs up to its own.
 */
#include "config.h"

#include "host/engine/keyed.h"
#include "host/engine/sort.h"

#define FLUSH_PREFETCH 12u /* cells fetched ahead of their turn */

/* What one flush takes: frozen epochs `first` up to and with `last`. */
typedef struct batch {
  frozen *first, *last;
  uint64_t epoch_min, epoch_max;
  uint64_t cells;
} batch;

/* With the lock held: the oldest epochs not in segments, up to `epoch` and up
   to the next snapshot's cut. */
static int
flush_pick(keyed *k, uint64_t epoch, batch *b)
{
  struct sb_snapshot *s;
  uint64_t cut = epoch;
  frozen *f = k->frozen_first;

  while (f != NULL && f->flushed)
    f = f->next;
  if (f == NULL || f->epoch > epoch)
    return 0;
  for (s = k->snapshots; s != NULL; s = s->next)
    if (s->epoch >= f->epoch && s->epoch < cut)
      cut = s->epoch;
  memset(b, 0, sizeof *b);
  b->first = f;
  b->epoch_min = f->epoch;
  for (; f != NULL && f->epoch <= cut; f = f->next) {
    b->last = f;
    b->epoch_max = f->epoch;
    b->cells += f->cells;
  }
  return 1;
}

/* Cells of the batch that are not dead, with a sort prefix each. */
static size_t
flush_gather(keyed *k, const batch *b, sort_entry *entries)
{
  frozen *f = b->first;
  size_t n = 0, at;
  chunk *c;

  for (;;) {
    for (c = f->chunks; c != NULL; c = c->next)
      for (at = 0; at < c->used;) {
        cell *cl = (cell *)(void *)(c->data + at);

        at += cell_bytes(cl);
        if (cl->flags & CELL_DEAD)
          continue;
        entries[n].cell = cl;
        entries[n++].prefix = 0;
      }
    if (f == b->last)
      break;
    f = f->next;
  }
  (void)k;
  return n;
}

/* Writes sorted cells: of several versions the newest, and nothing that a
   clear marker of a later epoch hides. */
static sb_status
flush_write(keyed *k, const sort_entry *entries, size_t count, output *o,
            sb_error *err)
{
  const cell *clear = NULL;
  record r, last, cleared;
  size_t i, have_last = 0;
  sb_status status = SB_OK;

  memset(&last, 0, sizeof last);
  memset(&cleared, 0, sizeof cleared);
  for (i = 0; i < count && status == SB_OK; i++) {
    const cell *c = entries[i].cell;
    const state *s = k->states[c->state];

    if (i + FLUSH_PREFETCH < count) {
      const char *ahead = (const char *)entries[i + FLUSH_PREFETCH].cell;

      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + 64);
      __builtin_prefetch(ahead + 128);
    }
    cell_record(c, s->id, s->ordered, &r);
    if (have_last && record_compare(&r, &last) == 0)
      continue;
    last = r;
    have_last = 1;
    if (r.flags & RECORD_CLEAR) {
      clear = c;
      cleared = r;
    } else if (clear != NULL && c->epoch < clear->epoch &&
               record_compare_key(&r, &cleared) == 0) {
      continue;
    }
    status = output_add(o, &r, (s->flags & SB_STATE_MOSTLY_HIT) != 0, err);
  }
  return status;
}

static sb_status
flush_segments(keyed *k, const batch *b, atomic_int *cancelled,
               segment ***segments, size_t *count, sb_error *err)
{
  size_t bytes = (size_t)b->cells * sizeof(sort_entry), n;
  sort_entry *entries = mem_alloc(k->host, bytes);
  output_options options;
  output *o = NULL;
  sb_status status;

  if (entries == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not sort %llu records: no memory",
                        (unsigned long long)b->cells);
  engine_charge(k->engine, bytes);
  memset(&options, 0, sizeof options);
  options.epoch_min = b->epoch_min;
  options.epoch_max = b->epoch_max;
  options.size_max = k->engine->segment_size;
  options.priority = SB_PRIORITY_CHECKPOINT;
  options.fill_cache = 1;
  options.cancelled = cancelled;
  n = flush_gather(k, b, entries);
  sort_cells(k, entries, n);
  status = output_new(k, &options, &o, err);
  if (status == SB_OK)
    status = flush_write(k, entries, n, o, err);
  if (status == SB_OK)
    status = output_finish(o, segments, count, err);
  if (status == SB_OK)
    atomic_fetch_add(&k->flushed_raw, output_raw_bytes(o));
  output_free(o);
  mem_free(k->host, entries);
  engine_release(k->engine, bytes);
  return status;
}

/* With the lock held: the batch is in segments. */
static sb_status
flush_publish(keyed *k, const batch *b, segment **segments, size_t count)
{
  sb_status status = version_add(k, segments, count);
  frozen *f;

  if (status != SB_OK)
    return status;
  status = snapshot_take_segments(k, segments, count, b->epoch_max);
  if (status != SB_OK)
    return status;
  for (f = b->first;; f = f->next) {
    f->flushed = 1;
    atomic_fetch_sub_explicit(&k->frozen_bytes, f->bytes,
                              memory_order_relaxed);
    if (f == b->last)
      break;
  }
  k->flushed_epoch = b->epoch_max;
  return SB_OK;
}

/* One batch; the caller has set k->flushing. */
static sb_status
flush_batch(keyed *k, const batch *b, atomic_int *cancelled, sb_error *err)
{
  segment **segments = NULL;
  size_t count = 0, i;
  sb_status status;

  status = flush_segments(k, b, cancelled, &segments, &count, err);
  if (status != SB_OK)
    return status;
  keyed_lock(k);
  for (i = 1; i < count; i++)
    segments[i]->sequence = segments[0]->sequence; /* one run */
  status = flush_publish(k, b, segments, count);
  for (i = 0; i < count; i++)
    version_unref_segment(k, segments[i]); /* the version has its own */
  keyed_unlock(k);
  mem_free(k->host, segments);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not publish %zu segments: %s",
                        count, sb_status_name(status));
  return SB_OK;
}

sb_status
flush_until(keyed *k, uint64_t epoch, sb_event *event, atomic_int *cancelled,
            sb_error *err)
{
  sb_status status = SB_OK;
  batch b;

  keyed_lock(k);
  for (;;) {
    if (keyed_stopping(k) || (cancelled != NULL && atomic_load(cancelled))) {
      status = sb_error_set(err, SB_CANCELLED, "writing out state of \"%s\" "
                            "was cancelled", k->operator_id);
      break;
    }
    if (k->flushing) {
      (void)keyed_wait(k, event, SB_NO_DEADLINE);
      continue;
    }
    if (!flush_pick(k, epoch, &b))
      break;
    k->flushing = 1;
    keyed_unlock(k);
    status = flush_batch(k, &b, cancelled, err);
    keyed_lock(k);
    k->flushing = 0;
    keyed_changed(k);
    if (status != SB_OK)
      break;
  }
  keyed_unlock(k);
  if (status == SB_OK)
    compact_schedule(k);
  return status;
}

static void
flush_task(void *arg)
{
  keyed *k = arg;
  sb_event *event = k->host->event_new(k->host);
  sb_error error;
  sb_status status;
  uint64_t epoch = 0;

  keyed_lock(k);
  if (k->frozen_last != NULL)
    epoch = k->frozen_last->epoch;
  keyed_unlock(k);
  if (event == NULL)
    status = sb_error_set(&error, SB_NO_MEMORY,
                          "could not write out state: no memory");
  else
    status = flush_until(k, epoch, event, NULL, &error);
  keyed_lock(k);
  k->flush_scheduled = 0;
  k->flush_status = status;
  if (status != SB_OK)
    k->flush_error = error;
  keyed_changed(k);
  keyed_unlock(k);
  if (event != NULL)
    k->host->event_free(k->host, event);
  keyed_task_done(k);
}

sb_status
flush_schedule(keyed *k, sb_error *err)
{
  sb_status status;

  keyed_lock(k);
  if (k->flush_scheduled || k->frozen_first == NULL) {
    keyed_unlock(k);
    return SB_OK;
  }
  k->flush_scheduled = 1;
  k->flush_status = SB_OK;
  keyed_unlock(k);
  status = keyed_task(k, SB_LANE_CHECKPOINT, flush_task, err);
  if (status == SB_OK)
    return SB_OK;
  keyed_lock(k);
  k->flush_scheduled = 0;
  keyed_unlock(k);
  return status;
}
