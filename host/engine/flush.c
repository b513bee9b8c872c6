/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frozen epochs become segments. One flush at a time per handle, oldest epochs
 * first, and never across the cut of a snapshot still under way: so the
 * manifest of a snapshot is its base version plus the segments flushed since
 * for epochs up to its own.
 */
#include "config.h"

#include "host/engine/reader.h"
#include "host/engine/front.h"
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

/* What a flush judges records by. What it writes may come to stand over the
   live version and over the cuts under way: their versions, and the segments
   flushed since for them. */
typedef struct flush_state {
  keyed *keyed;
  rules rules;
  version **older;
  size_t older_count;
  segment **extra;
  size_t extra_count;
  const rule *rule;     /* of the state last seen */
  uint32_t last_state;  /* its index */
} flush_state;

static sb_status
flush_state_init(flush_state *f, keyed *k)
{
  const struct sb_snapshot *s;
  size_t room = 1, extra = 0, i;

  memset(f, 0, sizeof *f);
  f->keyed = k;
  f->last_state = UINT32_MAX;
  if (rules_take(k, &f->rules) != SB_OK)
    return SB_NO_MEMORY;
  keyed_lock(k);
  for (s = k->snapshots; s != NULL; s = s->next, room++)
    extra += s->extra_count;
  f->older = mem_alloc(k->host, room * sizeof *f->older);
  f->extra = mem_alloc(k->host, extra * sizeof *f->extra);
  if (f->older != NULL && f->extra != NULL) {
    f->older[f->older_count++] = k->live;
    for (s = k->snapshots; s != NULL; s = s->next) {
      f->older[f->older_count++] = s->base;
      for (i = 0; i < s->extra_count; i++)
        f->extra[f->extra_count++] = s->extra[i].segment;
    }
    for (i = 0; i < f->older_count; i++)
      f->older[i]->refs++;
    for (i = 0; i < f->extra_count; i++)
      f->extra[i]->refs++;
  }
  keyed_unlock(k);
  return f->older_count == 0 ? SB_NO_MEMORY : SB_OK;
}

static void
flush_state_dispose(flush_state *f)
{
  size_t i;

  keyed_lock(f->keyed);
  for (i = 0; i < f->older_count; i++)
    version_unref(f->keyed, f->older[i]);
  for (i = 0; i < f->extra_count; i++)
    version_unref_segment(f->keyed, f->extra[i]);
  keyed_unlock(f->keyed);
  mem_free(f->keyed->host, f->older);
  mem_free(f->keyed->host, f->extra);
  rules_dispose(f->keyed->host, &f->rules);
}

/* May segments have something that the record hides? */
static int
flush_hides(const flush_state *f, const cell *c, const record *r)
{
  keyed *k = f->keyed;
  segment **runs;
  size_t i, count;
  place p;

  keyed_place_record(k, k->states[c->state], r, &p);
  for (i = 0; i < f->older_count; i++) {
    runs = version_runs(f->older[i], r->key_group, &count);
    if (reader_may_have_key(k, runs, count, &p))
      return 1;
  }
  return reader_may_have_key(k, f->extra, f->extra_count, &p);
}

/* What of a cell is written: SB_NOT_FOUND if nothing. A cell that was written
   before its state was dropped belongs to cuts that still have the state. */
static sb_status
flush_keep(flush_state *f, const cell *c, record *r)
{
  const rule *by = f->rule;

  if (c->state != f->last_state) {
    by = f->rule = rules_find(&f->rules, r->state);
    f->last_state = c->state;
  }
  if (by == NULL)
    return SB_OK;
  if (by->dropped_epoch != 0 && c->epoch >= (uint32_t)by->dropped_epoch)
    return SB_NOT_FOUND;
  if (!rule_expired(by, r))
    return SB_OK;
  if (!flush_hides(f, c, r))
    return SB_NOT_FOUND;
  r->flags |= RECORD_TOMBSTONE;
  r->expires_ms = 0;
  r->value = sb_slice_of(NULL, 0);
  return SB_OK;
}

static void
flush_prefetch(const cell *c)
{
  const char *ahead = (const char *)c;

  __builtin_prefetch(ahead);
  __builtin_prefetch(ahead + 64);
  __builtin_prefetch(ahead + 128);
}

/* Writes sorted cells: of several versions the newest, and nothing that a
   clear marker of a later epoch hides. */
static sb_status
flush_write(flush_state *f, const sort_entry *entries, size_t count, output *o,
            sb_error *err)
{
  keyed *k = f->keyed;
  const cell *clear = NULL;
  record r, last, cleared;
  size_t i, have_last = 0;
  sb_status status = SB_OK;

  memset(&last, 0, sizeof last);
  memset(&cleared, 0, sizeof cleared);
  for (i = 0; i < count && status == SB_OK; i++) {
    const cell *c = entries[i].cell;
    const state *s = k->states[c->state];

    if (i + FLUSH_PREFETCH < count)
      flush_prefetch(entries[i + FLUSH_PREFETCH].cell);
    cell_record(c, s->id, s->ordered, &r);
    if (have_last && record_compare(&r, &last) == 0)
      continue;
    record_copy(&last, &r);
    have_last = 1;
    if (r.flags & RECORD_CLEAR) {
      clear = c;
      cleared = r;
    } else if (clear != NULL && c->epoch < clear->epoch &&
               front_or_key_hides(&cleared, &r)) {
      continue;
    }
    if (flush_keep(f, c, &r) == SB_OK)
      status = output_add(o, &r, (s->flags & SB_STATE_MOSTLY_HIT) != 0, err);
  }
  return status;
}

static sb_status
flush_output(keyed *k, const batch *b, const sort_entry *entries, size_t n,
             atomic_int *cancelled, segment ***segments, size_t *count,
             sb_error *err)
{
  output_options options;
  output *o = NULL;
  flush_state f;
  sb_status status = flush_state_init(&f, k);

  if (status != SB_OK)
    (void)sb_error_set(err, status, "could not write out state: no memory");
  memset(&options, 0, sizeof options);
  options.epoch_min = b->epoch_min;
  options.epoch_max = b->epoch_max;
  options.size_max = k->engine->segment_size;
  options.priority = SB_PRIORITY_CHECKPOINT;
  options.fill_cache = 1;
  options.cancelled = cancelled;
  options.rules = &f.rules;
  if (status == SB_OK)
    status = output_new(k, &options, &o, err);
  if (status == SB_OK)
    status = flush_write(&f, entries, n, o, err);
  if (status == SB_OK)
    status = output_finish(o, segments, count, err);
  if (status == SB_OK)
    atomic_fetch_add(&k->flushed_raw, output_raw_bytes(o));
  output_free(o);
  flush_state_dispose(&f);
  return status;
}

static sb_status
flush_segments(keyed *k, const batch *b, atomic_int *cancelled,
               segment ***segments, size_t *count, sb_error *err)
{
  size_t bytes = (size_t)b->cells * sizeof(sort_entry), n;
  sort_entry *entries = mem_alloc(k->host, bytes);
  sb_status status;

  if (entries == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not sort %llu records: no memory",
                        (unsigned long long)b->cells);
  engine_charge(k->engine, bytes);
  n = flush_gather(k, b, entries);
  sort_cells(k, entries, n);
  status = flush_output(k, b, entries, n, cancelled, segments, count, err);
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
