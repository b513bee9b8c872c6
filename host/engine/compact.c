/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction, in the background lane, one at a time per handle. It takes the
 * key group with the most runs, widens it to a slice of neighbours of about
 * one segment's size, and merges the newest runs of the slice. Older runs join
 * while they are not much larger than what is merged already, so each record
 * is rewritten a few times at most. The next manifest publishes the result.
 */
#include "config.h"

#include "host/engine/reader.h"

#define COMPACT_GROWTH 2u    /* an older run joins up to this times the rest */
#define COMPACT_THROTTLE 4u  /* times the threshold: the owner waits */
#define COMPACT_AHEAD ((size_t)256 << 10)

typedef struct plan {
  version *version;        /* pinned */
  uint32_t first, last;    /* key groups */
  segment **inputs;        /* newest first */
  segment_view *views;     /* the same, with the part of each in the slice */
  size_t count;
  int bottom;              /* nothing older lies below the slice */
} plan;

size_t
compact_depth(const version *v, uint32_t key_groups)
{
  size_t deepest = 0, depth;
  uint32_t i;

  for (i = 0; i < key_groups; i++) {
    depth = version_depth(v, v->key_group_first + i);
    if (depth > deepest)
      deepest = depth;
  }
  return deepest;
}

static uint32_t
compact_key_groups(const keyed *k)
{
  return k->key_group_last - k->key_group_first + 1;
}

/* A segment's bytes in one key group, on average. */
static uint64_t
compact_share(const segment *s)
{
  return s->info.size / (s->info.key_group_last - s->info.key_group_first + 1u)
         + 1;
}

static int
compact_newer_or_equal(const segment *a, const segment *b)
{
  if (a->info.epoch_max != b->info.epoch_max)
    return a->info.epoch_max > b->info.epoch_max;
  return a->sequence >= b->sequence;
}

/* How many of a key group's segments to merge: the newest runs, whole. */
static size_t
plan_depth(const keyed *k, segment *const *runs, size_t count, size_t depth)
{
  size_t least = k->engine->compaction_runs, n = 0, seen = 0, end;
  uint64_t sum = 0, share;

  if (depth > least * (COMPACT_THROTTLE - 1))
    return count;
  while (n < count) {
    for (end = n, share = 0;
         end < count && segment_same_run(runs[n], runs[end]); end++)
      share += compact_share(runs[end]);
    if (seen >= least && share > sum * COMPACT_GROWTH)
      break;
    sum += share;
    seen++;
    n = end;
  }
  return n;
}

/* The slice: neighbours of the seed while they are deep too and the work stays
   about a segment's size. */
static void
plan_widen(const keyed *k, plan *p, const segment *oldest)
{
  uint64_t budget = k->engine->segment_size, work;
  uint32_t g;
  size_t count, i;
  segment **runs;

  for (g = p->first; g <= k->key_group_last; g++) {
    runs = version_runs(p->version, g, &count);
    for (i = 0, work = 0; i < count; i++)
      if (compact_newer_or_equal(runs[i], oldest))
        work += compact_share(runs[i]);
    if (g > p->first && (work > budget || version_depth(p->version, g) < 2))
      break;
    budget -= work < budget ? work : budget;
    p->last = g;
  }
}

/* Views of the slice that are not older than `oldest`. */
static sb_status
plan_inputs(keyed *k, plan *p, const segment *oldest)
{
  const version *v = p->version;
  size_t i;

  p->inputs = mem_alloc(k->host, (v->count + 1) * sizeof *p->inputs);
  p->views = mem_alloc(k->host, (v->count + 1) * sizeof *p->views);
  if (p->inputs == NULL || p->views == NULL)
    return SB_NO_MEMORY;
  p->bottom = 1;
  for (i = 0; i < v->count; i++) {
    segment_view view = v->views[i];

    if (view.key_group_first > p->last || view.key_group_last < p->first)
      continue;
    if (!compact_newer_or_equal(view.segment, oldest)) {
      p->bottom = 0;
      continue;
    }
    if (view.key_group_first < p->first)
      view.key_group_first = p->first;
    if (view.key_group_last > p->last)
      view.key_group_last = p->last;
    p->inputs[p->count] = view.segment;
    p->views[p->count++] = view;
  }
  return SB_OK;
}

static void
plan_dispose(keyed *k, plan *p)
{
  keyed_lock(k);
  version_unref(k, p->version);
  keyed_unlock(k);
  mem_free(k->host, p->inputs);
  mem_free(k->host, p->views);
}

/* SB_END if nothing is deep enough. */
static sb_status
plan_make(keyed *k, plan *p)
{
  size_t count, deepest = 0, depth;
  uint32_t g, seed = 0;
  segment **runs;

  memset(p, 0, sizeof *p);
  keyed_lock(k);
  p->version = k->live;
  p->version->refs++;
  keyed_unlock(k);
  for (g = k->key_group_first; g <= k->key_group_last; g++) {
    depth = version_depth(p->version, g);
    if (depth > deepest) {
      deepest = depth;
      seed = g;
    }
  }
  if (deepest < k->engine->compaction_runs)
    return SB_END;
  runs = version_runs(p->version, seed, &count);
  p->first = p->last = seed;
  count = plan_depth(k, runs, count, deepest);
  plan_widen(k, p, runs[count - 1]);
  return plan_inputs(k, p, runs[count - 1]);
}

/* ---- the merge ----------------------------------------------------------- */

/* What of a merged record goes on: SB_NOT_FOUND if nothing. */
static sb_status
compact_keep(const plan *p, uint64_t now_ms, record *r)
{
  if (r->expires_ms != 0 && r->expires_ms <= now_ms) {
    /* It still hides what is older. */
    r->flags |= RECORD_TOMBSTONE;
    r->expires_ms = 0;
    r->value = sb_slice_of(NULL, 0);
  }
  if (p->bottom && (r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)))
    return SB_NOT_FOUND;
  return SB_OK;
}

static int
compact_no_filter(keyed *k, uint32_t id)
{
  const state *s;
  int no_filter;

  keyed_lock(k);
  s = keyed_state_by_id(k, id);
  no_filter = s != NULL && (s->flags & SB_STATE_MOSTLY_HIT);
  keyed_unlock(k);
  return no_filter;
}

static sb_status
compact_stream(keyed *k, const plan *p, merge *m, output *o, sb_error *err)
{
  uint64_t now_ms = k->host->clock_ms(k->host);
  uint32_t state_id = 0;
  int no_filter = 0, have_state = 0;
  sb_status status = merge_first(m, err);

  while (status == SB_OK) {
    record r = m->record;

    if (!have_state || r.state != state_id) {
      state_id = r.state;
      no_filter = compact_no_filter(k, state_id);
      have_state = 1;
    }
    if (compact_keep(p, now_ms, &r) == SB_OK)
      status = output_add(o, &r, no_filter, err);
    if (status == SB_OK)
      status = merge_next(m, err);
  }
  return status == SB_END ? SB_OK : status;
}

static size_t
compact_ahead(const keyed *k, size_t inputs)
{
  size_t ahead = k->engine->memory_limit / 64 / (inputs + 1);

  return ahead < COMPACT_AHEAD ? ahead : COMPACT_AHEAD;
}

static sb_status
compact_open_runs(keyed *k, const plan *p, reader_ctx *ctx, merge *m,
                  sb_error *err)
{
  size_t ahead = compact_ahead(k, p->count), i;
  sb_status status = SB_OK;
  record from;

  for (i = 0; i < p->count; i++)
    run_init(&m->runs[i], ctx, p->inputs[i], p->views[i].key_group_last,
             ahead);
  for (i = 0; i < p->count && status == SB_OK; i++) {
    memset(&from, 0, sizeof from);
    from.key_group = (uint16_t)p->views[i].key_group_first;
    from.flags = RECORD_CLEAR;
    status = run_seek(&m->runs[i], &from, err);
    if (status == SB_END)
      status = SB_OK;
  }
  return status;
}

static sb_status
compact_merge(keyed *k, const plan *p, sb_event *event, segment ***outputs,
              size_t *count, sb_error *err)
{
  reader_ctx ctx = { k, event, SB_PRIORITY_BACKGROUND, NULL };
  size_t reserve = p->count * (compact_ahead(k, p->count) + 16384);
  output_options options;
  output *o = NULL;
  sb_status status;
  merge m;

  memset(&options, 0, sizeof options);
  options.epoch_max = p->inputs[0]->info.epoch_max;
  options.epoch_min = p->inputs[p->count - 1]->info.epoch_min;
  options.size_max = k->engine->segment_size;
  options.priority = SB_PRIORITY_BACKGROUND;
  if (merge_init(&m, k->host, p->count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not compact: no memory");
  engine_charge(k->engine, reserve);
  status = compact_open_runs(k, p, &ctx, &m, err);
  if (status == SB_OK)
    status = output_new(k, &options, &o, err);
  if (status == SB_OK)
    status = compact_stream(k, p, &m, o, err);
  merge_dispose(&m, k->host);
  if (status == SB_OK)
    status = output_finish(o, outputs, count, err);
  if (status == SB_OK)
    atomic_fetch_add(&k->compacted_raw, output_raw_bytes(o));
  output_free(o);
  engine_release(k->engine, reserve);
  return status;
}

/* The result takes the place of the newest input. */
static sb_status
compact_publish(keyed *k, const plan *p, segment **outputs, size_t count,
                sb_error *err)
{
  sb_status status;
  size_t i;

  keyed_lock(k);
  for (i = 0; i < count; i++)
    outputs[i]->sequence = p->inputs[0]->sequence;
  status = version_replace(k, p->inputs, p->count, p->first, p->last, outputs,
                           count);
  for (i = 0; i < count; i++)
    version_unref_segment(k, outputs[i]);
  keyed_unlock(k);
  mem_free(k->host, outputs);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not publish a compaction: %s",
                        sb_status_name(status));
  atomic_fetch_add(&k->compactions, 1);
  return SB_OK;
}

static sb_status
compact_once(keyed *k, sb_event *event, sb_error *err)
{
  segment **outputs = NULL;
  size_t count = 0;
  plan p;
  sb_status status = plan_make(k, &p);

  if (status == SB_NO_MEMORY)
    (void)sb_error_set(err, status, "could not plan a compaction: no memory");
  if (status == SB_OK)
    status = compact_merge(k, &p, event, &outputs, &count, err);
  if (status == SB_OK)
    status = compact_publish(k, &p, outputs, count, err);
  plan_dispose(k, &p);
  return status;
}

static void
compact_task(void *arg)
{
  keyed *k = arg;
  sb_event *event = k->host->event_new(k->host);
  sb_status status = event == NULL ? SB_NO_MEMORY : SB_OK;
  sb_error error;

  memset(&error, 0, sizeof error);
  while (status == SB_OK && !keyed_stopping(k))
    status = compact_once(k, event, &error);
  if (status != SB_OK && status != SB_END && status != SB_CANCELLED)
    k->host->log(k->host, SB_LOG_WARN, "engine", error.message);
  keyed_lock(k);
  k->compacting = 0;
  keyed_changed(k);
  keyed_unlock(k);
  if (event != NULL)
    k->host->event_free(k->host, event);
  keyed_task_done(k);
}

void
compact_schedule(keyed *k)
{
  int start;

  if (k->engine->compaction_runs == 0 || (k->flags & SB_OPEN_READ_ONLY))
    return;
  keyed_lock(k);
  start = !k->compacting && !keyed_stopping(k) &&
          compact_depth(k->live, compact_key_groups(k)) >=
            k->engine->compaction_runs;
  if (start)
    k->compacting = 1;
  keyed_unlock(k);
  if (!start || keyed_task(k, SB_LANE_BACKGROUND, compact_task, NULL) == SB_OK)
    return;
  keyed_lock(k);
  k->compacting = 0;
  keyed_unlock(k);
}

void
compact_throttle(keyed *k)
{
  uint64_t start = k->host->monotonic_ns(k->host);
  size_t most = (size_t)k->engine->compaction_runs * COMPACT_THROTTLE;
  int waited = 0;

  keyed_lock(k);
  while (k->compacting && !keyed_stopping(k) &&
         compact_depth(k->live, compact_key_groups(k)) > most) {
    waited = 1;
    (void)keyed_wait(k, k->event, SB_NO_DEADLINE);
  }
  keyed_unlock(k);
  if (!waited)
    return;
  keyed_count(&k->counters.stalls, 1);
  keyed_count(&k->counters.stall_ns, k->host->monotonic_ns(k->host) - start);
}
