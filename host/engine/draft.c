/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest in the making: the segments of the cut or what stands in for
 * them, what else the handle still reads, the states, and the names that
 * nobody needs any more. The rules are in docs/PROTOCOL.md.
 */
#include "config.h"

#include <stdlib.h>

#include "host/engine/snapshot.h"

/* ---- the segments -------------------------------------------------------- */

static int
draft_view_compare(const void *a, const void *b)
{
  return segment_view_compare(a, b);
}

/* What stands in for a segment: its substitute, or a copy that the live
   version was given after the cut, for an earlier one. */
static segment *
draft_stand_in(const keyed *k, const sb_snapshot *s, segment *g)
{
  const substitute *u = substitute_find(s->substitutes, s->substitute_count,
                                        g);
  segment *best = g, *t;

  if (u != NULL)
    return u->to;
  if (s->kind != SB_SNAPSHOT_CHECKPOINT || keyed_host_owned(k))
    return g;
  for (t = g->twin; t != NULL && t != g; t = t->twin)
    if (t->adopted && t->copied_for <= s->epoch &&
        t->copied_for > best->copied_for)
      best = t;
  return best;
}

/* With the lock held: base and extra, newest first. Each view keeps its
   segment. */
static sb_status
draft_views(keyed *k, const sb_snapshot *s, draft *d)
{
  size_t n = s->base->count, i;

  d->views = mem_alloc(k->host, (n + s->extra_count) * sizeof *d->views);
  if (d->views == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < s->extra_count; i++)
    d->views[i] = s->extra[i];
  memcpy(d->views + s->extra_count, s->base->views, n * sizeof *d->views);
  d->view_count = n + s->extra_count;
  for (i = 0; i < d->view_count; i++) {
    d->views[i].segment = draft_stand_in(k, s, d->views[i].segment);
    d->views[i].segment->refs++;
  }
  if (d->view_count > 1)
    qsort(d->views, d->view_count, sizeof *d->views, draft_view_compare);
  return SB_OK;
}

static const char *
draft_name(const sb_snapshot *s, const segment *g)
{
  const char *slash = strrchr(g->name, '/');

  return s->kind == SB_SNAPSHOT_SAVEPOINT && slash != NULL ? slash + 1
                                                           : g->name;
}

static void
draft_mark_named(const sb_snapshot *s, segment *g)
{
  if (s->kind == SB_SNAPSHOT_SAVEPOINT)
    return;
  g->published = 1;
  if (g->first_named == 0 || s->checkpoint_id < g->first_named)
    g->first_named = s->checkpoint_id;
}

static sb_status
draft_segments(keyed *k, const sb_snapshot *s, draft *d)
{
  size_t i;

  d->m.segments = mem_zalloc(k->host,
                             (d->view_count + 1) * sizeof *d->m.segments);
  d->m.held = mem_alloc(k->host, (d->pin_count + 1) * sizeof *d->m.held);
  if (d->m.segments == NULL || d->m.held == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < d->view_count; i++) {
    const segment_view *v = &d->views[i];
    manifest_segment *ms = &d->m.segments[i];

    ms->name = draft_name(s, v->segment);
    ms->root = v->segment->root;
    ms->owner = v->segment->owner;
    ms->info = v->segment->info;
    ms->times = v->segment->times;
    ms->key_group_first = (uint16_t)v->key_group_first;
    ms->key_group_last = (uint16_t)v->key_group_last;
    ms->sequence = v->segment->sequence;
    if (s->kind == SB_SNAPSHOT_SAVEPOINT)
      ms->owner = MANIFEST_OWNER_ENGINE;
    draft_mark_named(s, v->segment);
  }
  d->m.segment_count = d->view_count;
  for (i = 0; i < d->pin_count; i++)
    d->m.held[i] = d->pins[i]->name;
  d->m.held_count = d->pin_count;
  return SB_OK;
}

/* ---- what is held -------------------------------------------------------- */

static int
draft_has(const draft *d, const segment *s)
{
  size_t i;

  for (i = 0; i < d->view_count; i++)
    if (d->views[i].segment == s)
      return 1;
  for (i = 0; i < d->pin_count; i++)
    if (d->pins[i] == s)
      return 1;
  return 0;
}

static int
draft_is_live(const keyed *k, const segment *s)
{
  size_t i;

  for (i = 0; i < k->live->count; i++)
    if (k->live->views[i].segment == s)
      return 1;
  return 0;
}

/* What is not this job's is in no danger from its committer. */
static void
draft_hold(const keyed *k, draft *d, segment *s)
{
  if (s->owner != SEGMENT_ENGINE || draft_has(d, s) || draft_is_live(k, s))
    return;
  s->refs++;
  d->pins[d->pin_count++] = s;
}

/* What versions in use, snapshots and views read though neither the cut nor
   the live version has it. */
static sb_status
draft_held_now(keyed *k, draft *d)
{
  const sb_snapshot *o;
  const version *v;
  size_t cap = 0, i;

  for (v = k->versions; v != NULL; v = v->next)
    cap += v == k->live ? 0 : v->count;
  for (o = k->snapshots; o != NULL; o = o->next)
    cap += o->extra_count;
  d->pins = mem_alloc(k->host, (cap + 1) * sizeof *d->pins);
  if (d->pins == NULL)
    return SB_NO_MEMORY;
  for (v = k->versions; v != NULL; v = v->next)
    for (i = 0; v != k->live && i < v->count; i++)
      draft_hold(k, d, v->views[i].segment);
  for (o = k->snapshots; o != NULL; o = o->next)
    for (i = 0; i < o->extra_count; i++)
      draft_hold(k, d, o->extra[i].segment);
  return SB_OK;
}

void
draft_forget_held(keyed *k)
{
  size_t i;

  for (i = 0; i < k->held_count; i++)
    version_unref_segment(k, k->held[i]);
  mem_free(k->host, k->held);
  k->held = NULL;
  k->held_count = 0;
}

/* Remembers what the newest cut holds. */
static sb_status
draft_keep_held(keyed *k, uint64_t epoch, const draft *d)
{
  segment **held = mem_dup(k->host, d->pins, d->pin_count * sizeof *held);
  size_t i;

  if (held == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < d->pin_count; i++)
    held[i]->refs++;
  draft_forget_held(k);
  k->held = held;
  k->held_count = d->pin_count;
  k->held_epoch = epoch;
  return SB_OK;
}

static void
draft_pin(draft *d, segment *s)
{
  if (draft_has(d, s))
    return;
  s->refs++;
  d->pins[d->pin_count++] = s;
}

/* An original, and copies of it that the live version was given for earlier
   cuts: manifests of later cuts name or hold those that are still read. */
static void
draft_pin_originals(const sb_snapshot *s, draft *d, segment *original)
{
  segment *t = original;

  do {
    if (t->owner == SEGMENT_ENGINE &&
        (t->copied_for == 0 || (t->adopted && t->copied_for < s->epoch)))
      draft_pin(d, t);
    t = t->twin;
  } while (t != NULL && t != original);
}

static size_t
draft_count_twins(const sb_snapshot *s)
{
  size_t count = 0, i;

  for (i = 0; i < s->substitute_count; i++) {
    const segment *from = s->substitutes[i].from, *t = from;

    do {
      count++;
      t = t->twin;
    } while (t != NULL && t != from);
  }
  return count;
}

/* What the manifest of the newest cut holds, and the originals of copies,
   which it names or holds. */
static sb_status
draft_held_then(keyed *k, const sb_snapshot *s, draft *d)
{
  size_t cap = k->held_count + draft_count_twins(s) + 1, i;

  d->pins = mem_alloc(k->host, cap * sizeof *d->pins);
  if (d->pins == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < k->held_count; i++)
    draft_pin(d, k->held[i]);
  for (i = 0; i < s->substitute_count; i++)
    draft_pin_originals(s, d, s->substitutes[i].from);
  return SB_OK;
}

/* With the lock held. A name in `held` may be deleted when the checkpoint
   falls out of retention and the next one does not name it: so live segments
   are never in it, and a manifest made after that of a later cut holds only
   what the later one holds or names. */
static sb_status
draft_held(keyed *k, const sb_snapshot *s, draft *d)
{
  sb_status status;

  if (s->epoch < k->held_epoch)
    return draft_held_then(k, s, d);
  status = draft_held_now(k, d);
  return status == SB_OK ? draft_keep_held(k, s->epoch, d) : status;
}

/* ---- the rest ------------------------------------------------------------ */

/* With the lock held. */
static sb_status
draft_dropped(keyed *k, uint64_t checkpoint_id, draft *d)
{
  dropped_name *n;
  size_t count = 0;

  for (n = k->dropped; n != NULL; n = n->next)
    count++;
  d->dropped = mem_zalloc(k->host, (count + 1) * sizeof *d->dropped);
  if (d->dropped == NULL)
    return SB_NO_MEMORY;
  for (n = k->dropped; n != NULL; n = n->next) {
    d->dropped[d->m.dropped_count] = mem_strdup(k->host, n->name);
    if (d->dropped[d->m.dropped_count] == NULL)
      return SB_NO_MEMORY;
    d->m.dropped_count++;
    n->listed_in = checkpoint_id;
  }
  return SB_OK;
}

static sb_status
draft_states(keyed *k, uint64_t epoch, draft *d)
{
  size_t i;

  d->m.states = mem_zalloc(k->host,
                           (k->state_count + 1) * sizeof *d->m.states);
  if (d->m.states == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < k->state_count; i++)
    if (keyed_state_in_cut(k->states[i], epoch,
                           &d->m.states[d->m.state_count]))
      d->m.state_count++;
  return SB_OK;
}

/* The copies take their originals' places unless the manifest of a later cut
   has been made: it may not name them, and they go when it is committed. */
static sb_status
draft_adopt(keyed *k, const sb_snapshot *s)
{
  if (s->substitute_count == 0 || s->epoch < k->held_epoch)
    return SB_OK;
  return version_adopt(k, s->substitutes, s->substitute_count);
}

/* With the lock held. */
static sb_status
draft_fill(keyed *k, sb_snapshot *s, draft *d)
{
  int shared = s->kind != SB_SNAPSHOT_SAVEPOINT;
  int engine_owned = shared && !keyed_host_owned(k);
  sb_status status = SB_OK;

  if (engine_owned)
    status = draft_adopt(k, s);
  if (status == SB_OK)
    status = draft_views(k, s, d);
  if (status == SB_OK && engine_owned)
    status = draft_held(k, s, d);
  if (status == SB_OK)
    status = draft_states(k, s->epoch, d);
  if (status == SB_OK && engine_owned)
    status = draft_dropped(k, s->checkpoint_id, d);
  if (status == SB_OK && shared && !engine_owned)
    status = hosted_hand_out(k, s, d);
  return status == SB_OK ? draft_segments(k, s, d) : status;
}

sb_status
draft_make(keyed *k, sb_snapshot *s, draft *d)
{
  sb_status status;

  memset(d, 0, sizeof *d);
  d->m.generation = k->generation;
  d->m.checkpoint_id = s->checkpoint_id;
  d->m.epoch = s->epoch;
  d->m.list_sequence = s->list_sequence;
  d->m.key_group_count = k->key_group_count;
  d->m.key_group_first = k->key_group_first;
  d->m.key_group_last = k->key_group_last;
  d->m.subtask = k->subtask;
  d->m.operator_id = k->operator_id;
  d->m.next_sequence = atomic_load(&k->next_sequence);
  keyed_lock(k);
  status = draft_fill(k, s, d);
  keyed_unlock(k);
  d->m.dropped = (const char **)d->dropped;
  return status;
}

void
draft_dispose(keyed *k, const sb_snapshot *s, draft *d)
{
  int counted = s->kind != SB_SNAPSHOT_SAVEPOINT;
  size_t i;

  keyed_lock(k);
  for (i = 0; i < d->pin_count; i++)
    version_unref_segment(k, d->pins[i]);
  for (i = 0; i < d->view_count; i++)
    if (counted)
      version_unref_segment(k, d->views[i].segment);
    else
      d->views[i].segment->refs--;
  keyed_unlock(k);
  for (i = 0; i < d->m.dropped_count; i++)
    mem_free(k->host, d->dropped[i]);
  mem_free(k->host, d->dropped);
  mem_free(k->host, d->pins);
  mem_free(k->host, d->m.states);
  mem_free(k->host, d->m.segments);
  mem_free(k->host, (void *)d->m.held);
  mem_free(k->host, d->views);
}
