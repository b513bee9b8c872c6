/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to compact. The usual plan takes the key group with the most runs,
 * widens it to a slice of neighbours of about one segment's size, and takes
 * the newest runs of the slice; older runs join while they are not much larger
 * than what is taken already, so each record is rewritten a few times at most.
 *
 * Where much has expired or was dropped, a plan goes down to the oldest run,
 * so that nothing need be left to hide what is older. How much that is comes
 * from the segments' times: nothing is read to find out.
 */
#include "config.h"

#include "host/engine/compact.h"
#include "host/engine/times.h"

#define PLAN_GROWTH 2u    /* an older run joins up to this times the rest */
#define PLAN_DEAD 150u    /* thousandths of all that may be dead */
#define PLAN_DEAD_LEAST 100u /* of a run or a neighbour, to be taken too */

/* A segment's bytes in one key group, on average. */
static uint64_t
plan_share(const segment *s)
{
  return s->info.size / (s->info.key_group_last - s->info.key_group_first + 1u)
         + 1;
}

static int
plan_newer_or_equal(const segment *a, const segment *b)
{
  if (a->info.epoch_max != b->info.epoch_max)
    return a->info.epoch_max > b->info.epoch_max;
  return a->sequence >= b->sequence;
}

/* The runs of a key group that may be merged: those above the first that
   compaction has to leave alone. */
static segment **
plan_runs(const version *v, uint32_t key_group, size_t *count)
{
  segment **runs = version_runs(v, key_group, count);
  size_t i, n;

  for (i = 0; i < *count && !atomic_load(&runs[i]->left_alone); i++)
    continue;
  if (i == *count)
    return runs;
  for (n = i; n > 0 && segment_same_run(runs[n - 1], runs[i]); n--)
    continue;
  *count = n;
  return runs;
}

static size_t
plan_depth(const version *v, uint32_t key_group)
{
  size_t count, depth = 0, i;
  segment **runs = plan_runs(v, key_group, &count);

  for (i = 0; i < count; i++)
    depth += i == 0 || !segment_same_run(runs[i - 1], runs[i]);
  return depth;
}

size_t
compact_depth(const version *v, uint32_t key_groups)
{
  size_t deepest = 0, depth;
  uint32_t i;

  for (i = 0; i < key_groups; i++) {
    depth = plan_depth(v, v->key_group_first + i);
    if (depth > deepest)
      deepest = depth;
  }
  return deepest;
}

sb_status
plan_begin(keyed *k, plan *p)
{
  memset(p, 0, sizeof *p);
  keyed_lock(k);
  p->version = k->live;
  p->version->refs++;
  keyed_unlock(k);
  return rules_take(k, &p->rules);
}

void
plan_dispose(keyed *k, plan *p)
{
  keyed_lock(k);
  version_unref(k, p->version);
  keyed_unlock(k);
  rules_dispose(k->host, &p->rules);
  mem_free(k->host, p->inputs);
  mem_free(k->host, p->views);
}

/* ---- the slice ----------------------------------------------------------- */

static int
plan_between(const segment *s, const segment *newest, const segment *oldest)
{
  return plan_newer_or_equal(newest, s) && plan_newer_or_equal(s, oldest);
}

/* What merging the runs between two in a key group reads; UINT64_MAX if one of
   them must be left alone. */
static uint64_t
plan_work(const plan *p, uint32_t key_group, const segment *newest,
          const segment *oldest)
{
  uint64_t work = 0;
  size_t count, i;
  segment **runs = version_runs(p->version, key_group, &count);

  for (i = 0; i < count; i++) {
    if (!plan_between(runs[i], newest, oldest))
      continue;
    if (atomic_load(&runs[i]->left_alone))
      return UINT64_MAX;
    work += plan_share(runs[i]);
  }
  return work;
}

/* Thousandths of a key group that are dead, as far as can be merged; *bytes
   of all of it. */
static uint64_t
plan_dead_share(const plan *p, uint32_t key_group, uint64_t *bytes,
                uint64_t *dead)
{
  size_t count, i;
  segment **runs = plan_runs(p->version, key_group, &count);

  *bytes = *dead = 0;
  for (i = 0; i < count; i++) {
    uint64_t share = plan_share(runs[i]);

    *bytes += share;
    *dead += share * runs[i]->dead_share / 1000;
  }
  return *bytes == 0 ? 0 : *dead * 1000 / *bytes;
}

static int
plan_is_like(const plan *p, uint32_t key_group, int dead)
{
  uint64_t all, gone;

  if (dead)
    return plan_dead_share(p, key_group, &all, &gone) >= PLAN_DEAD_LEAST;
  return plan_depth(p->version, key_group) >= 2;
}

/* Neighbours of the seed while they are like it and the work stays about a
   segment's size. */
static void
plan_widen(const keyed *k, plan *p, const segment *newest,
           const segment *oldest, int dead)
{
  uint64_t budget = k->engine->segment_size, work;
  uint32_t g;

  for (g = p->first; g <= k->key_group_last; g++) {
    work = plan_work(p, g, newest, oldest);
    if (g > p->first && (work > budget || !plan_is_like(p, g, dead)))
      break;
    budget -= work < budget ? work : budget;
    p->last = g;
  }
}

/* Views of the slice between the two. */
static sb_status
plan_inputs(keyed *k, plan *p, const segment *newest, const segment *oldest)
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

    if (view.key_group_first > p->last || view.key_group_last < p->first ||
        !plan_newer_or_equal(newest, view.segment))
      continue;
    if (!plan_newer_or_equal(view.segment, oldest)) {
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

/* ---- many runs ----------------------------------------------------------- */

/* How many of a key group's segments to merge: the newest runs, whole. */
static size_t
plan_how_deep(const keyed *k, segment *const *runs, size_t count,
              size_t depth)
{
  size_t least = k->engine->compaction_runs, n = 0, seen = 0, end;
  uint64_t sum = 0, share;

  if (depth > least * (COMPACT_THROTTLE - 1))
    return count;
  while (n < count) {
    for (end = n, share = 0;
         end < count && segment_same_run(runs[n], runs[end]); end++)
      share += plan_share(runs[end]);
    if (seen >= least && share > sum * PLAN_GROWTH)
      break;
    sum += share;
    seen++;
    n = end;
  }
  return n;
}

sb_status
plan_deep(keyed *k, plan *p)
{
  size_t count, deepest = 0, depth;
  uint32_t g, seed = 0;
  segment **runs, *newest;

  for (g = k->key_group_first; g <= k->key_group_last; g++) {
    depth = plan_depth(p->version, g);
    if (depth > deepest) {
      deepest = depth;
      seed = g;
    }
  }
  if (deepest < k->engine->compaction_runs || deepest < 2)
    return SB_END;
  runs = plan_runs(p->version, seed, &count);
  p->first = p->last = seed;
  count = plan_how_deep(k, runs, count, deepest);
  newest = p->version->views[0].segment; /* over whatever neighbour */
  plan_widen(k, p, newest, runs[count - 1], 0);
  return plan_inputs(k, p, newest, runs[count - 1]);
}

/* ---- dead records -------------------------------------------------------- */

static void
plan_note_dead(plan *p)
{
  const version *v = p->version;
  times_sum sum;
  size_t i;

  for (i = 0; i < v->count; i++) {
    segment *s = v->views[i].segment;

    times_add_up(s->times, &p->rules, &sum);
    s->dead_share = sum.bytes == 0 ? 0
                                   : (uint32_t)((double)sum.dead * 1000.0 /
                                                (double)sum.bytes);
  }
}

/* The newest run of those that have to be rewritten. */
static segment *
plan_newest_dead(segment *const *runs, size_t count)
{
  size_t i = 0;

  while (i + 1 < count && runs[i]->dead_share < PLAN_DEAD_LEAST)
    i++;
  return runs[i];
}

sb_status
plan_dead(keyed *k, plan *p)
{
  uint64_t bytes, dead, share, most = 0, all_bytes = 0, all_dead = 0;
  uint32_t g, seed = 0;
  segment **runs, *newest;
  size_t count;

  plan_note_dead(p);
  for (g = k->key_group_first; g <= k->key_group_last; g++) {
    share = plan_dead_share(p, g, &bytes, &dead);
    all_bytes += bytes;
    all_dead += dead;
    if (share > most) {
      most = share;
      seed = g;
    }
  }
  if (all_dead * 1000 <= all_bytes * PLAN_DEAD)
    return SB_END;
  runs = plan_runs(p->version, seed, &count);
  p->first = p->last = seed;
  newest = plan_newest_dead(runs, count);
  plan_widen(k, p, newest, runs[count - 1], 1);
  return plan_inputs(k, p, newest, runs[count - 1]);
}

static int
plan_overlap(const segment_view *a, const segment_view *b)
{
  const segment_info *s = &a->segment->info, *t = &b->segment->info;

  return a->key_group_first <= b->key_group_last &&
         b->key_group_first <= a->key_group_last &&
         s->word_first <= t->word_last && t->word_first <= s->word_last;
}

size_t
plan_whole_dead(plan *p, uint8_t *gone)
{
  const segment_view *views = p->version->views;
  size_t n = p->version->count, i, j, count = 0;
  times_sum sum;

  memset(gone, 0, n);
  for (i = n; i-- > 0;) {
    times_add_up(views[i].segment->times, &p->rules, &sum);
    if (!sum.all_dead)
      continue;
    for (j = i + 1; j < n; j++)
      if (!gone[j] && !segment_same_run(views[i].segment, views[j].segment) &&
          plan_overlap(&views[i], &views[j]))
        break;
    if (j < n)
      continue;
    gone[i] = 1;
    count++;
  }
  return count;
}
