/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: begin closes an epoch, run flushes what the cut holds and writes
 * the manifest, notify tells what became of it. The cut is described in
 * docs/PROTOCOL.md.
 */
#include "config.h"

#include <stdlib.h>

#include "host/base/crc.h"
#include "host/engine/keyed.h"
#include "host/engine/manifest.h"
#include "host/store/store.h"

/* ---- begin, cancel, free ------------------------------------------------ */

static void
snapshot_release(keyed *k, sb_snapshot *s)
{
  if (s->event != NULL)
    k->host->event_free(k->host, s->event);
  mem_free(k->host, s->extra);
  mem_free(k->host, s);
}

sb_status
snapshot_begin(sb_keyed *base, const sb_snapshot_options *options,
               sb_snapshot **out, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  sb_snapshot *s;

  *out = NULL;
  if (status != SB_OK)
    return status;
  if (k->flags & SB_OPEN_READ_ONLY)
    return sb_error_set(err, SB_INVALID, "cannot begin a snapshot: the handle "
                        "was opened read-only");
  if (options->kind != SB_SNAPSHOT_CHECKPOINT)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "cannot begin a snapshot of kind %u",
                        (unsigned)options->kind);
  s = mem_zalloc(k->host, sizeof *s);
  if (s == NULL)
    goto no_memory;
  s->owner = k;
  s->kind = options->kind;
  s->checkpoint_id = options->checkpoint_id;
  buf_init(&s->manifest, k->host, MANIFEST_SIZE_MAX);
  s->event = k->host->event_new(k->host);
  if (s->event == NULL) {
    mem_free(k->host, s);
    goto no_memory;
  }
  status = freeze_epoch(k, s, err);
  if (status != SB_OK) {
    snapshot_release(k, s);
    return status;
  }
  atomic_fetch_add(&k->snapshot_count, 1);
  *out = s;
  return SB_OK;
no_memory:
  return sb_error_set(err, SB_NO_MEMORY, "could not begin snapshot %llu: no "
                      "memory", (unsigned long long)options->checkpoint_id);
}

void
snapshot_cancel(sb_keyed *base, sb_snapshot *s)
{
  keyed *k = (keyed *)base;

  atomic_store(&s->cancelled, 1);
  keyed_lock(k);
  keyed_changed(k);
  keyed_unlock(k);
}

sb_status
snapshot_take_segments(keyed *k, segment **segments, size_t count,
                       uint64_t epoch_max)
{
  sb_snapshot *s;
  segment_view *extra;
  size_t i;

  /* Room first, so that a failure leaves all snapshots as they were. */
  for (s = k->snapshots; s != NULL; s = s->next) {
    if (epoch_max > s->epoch || s->extra_count + count <= s->extra_cap)
      continue;
    extra = mem_realloc(k->host, s->extra,
                        (s->extra_count + count) * sizeof *extra);
    if (extra == NULL)
      return SB_NO_MEMORY;
    s->extra = extra;
    s->extra_cap = s->extra_count + count;
  }
  for (s = k->snapshots; s != NULL; s = s->next) {
    if (epoch_max > s->epoch)
      continue;
    for (i = 0; i < count; i++) {
      segment_view *v = &s->extra[s->extra_count++];

      v->segment = segments[i];
      v->segment->refs++;
      v->key_group_first = segments[i]->info.key_group_first;
      v->key_group_last = segments[i]->info.key_group_last;
    }
  }
  return SB_OK;
}

/* The manifest object of a run that is over is offered for deletion; the
   committer keeps it while a retained checkpoint names it. */
static void
snapshot_drop_manifest(keyed *k, sb_snapshot *s)
{
  dropped_name *d = s->manifest_name == NULL ? NULL
                                             : mem_zalloc(k->host, sizeof *d);

  if (d == NULL)
    return; /* the next generation finds it as an orphan */
  d->name = s->manifest_name;
  d->published = 1;
  s->manifest_name = NULL;
  keyed_lock(k);
  d->next = k->dropped;
  k->dropped = d;
  keyed_unlock(k);
}

static void
snapshot_clear_result(keyed *k, sb_snapshot *s)
{
  size_t i;

  snapshot_drop_manifest(k, s);
  buf_clear(&s->manifest);
  for (i = 0; i < s->object_count; i++)
    mem_free(k->host, s->object_names[i]);
  mem_free(k->host, s->object_names);
  mem_free(k->host, s->objects);
  mem_free(k->host, s->manifest_name);
  s->object_names = NULL;
  s->objects = NULL;
  s->manifest_name = NULL;
  s->object_count = 0;
}

static void
snapshot_unlink(keyed *k, sb_snapshot *s)
{
  sb_snapshot **at = &k->snapshots;

  while (*at != s)
    at = &(*at)->next;
  *at = s->next;
}

void
snapshot_unpin(keyed *k, sb_snapshot *s)
{
  size_t i;

  keyed_lock(k);
  while (s->running)
    (void)keyed_wait(k, s->event, SB_NO_DEADLINE);
  snapshot_unlink(k, s);
  for (i = 0; i < s->extra_count; i++)
    version_unref_segment(k, s->extra[i].segment);
  version_unref(k, s->base);
  keyed_unlock(k);
}

void
snapshot_free(sb_keyed *base, sb_snapshot *s)
{
  keyed *k = (keyed *)base;

  if (s == NULL)
    return;
  snapshot_unpin(k, s);
  snapshot_clear_result(k, s);
  buf_dispose(&s->manifest);
  snapshot_release(k, s);
}

/* ---- the manifest ------------------------------------------------------- */

/* What a manifest is made of; names are borrowed from segments that the
   snapshot or `pins` keep. */
typedef struct draft {
  manifest m;
  segment_view *views;
  size_t view_count;
  segment **pins;        /* of `held`, one reference each */
  size_t pin_count;
  char **dropped;        /* copies */
} draft;

static int
draft_view_compare(const void *a, const void *b)
{
  return segment_view_compare(a, b);
}

/* With the lock held: base and extra, newest first. */
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
  if (d->view_count > 1)
    qsort(d->views, d->view_count, sizeof *d->views, draft_view_compare);
  return SB_OK;
}

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

static void
draft_hold(const keyed *k, draft *d, segment *s)
{
  if (draft_has(d, s) || draft_is_live(k, s))
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
  snapshot_forget_held(k);
  k->held = held;
  k->held_count = d->pin_count;
  k->held_epoch = epoch;
  return SB_OK;
}

/* With the lock held. A name in `held` may be deleted when the checkpoint falls
   out of retention and the next one does not name it: so live segments are
   never in it, and a manifest made after that of a later cut holds what that
   one holds and nothing else. */
static sb_status
draft_held(keyed *k, const sb_snapshot *s, draft *d)
{
  sb_status status;
  size_t i;

  if (s->epoch >= k->held_epoch) {
    status = draft_held_now(k, d);
    return status == SB_OK ? draft_keep_held(k, s->epoch, d) : status;
  }
  d->pins = mem_alloc(k->host, (k->held_count + 1) * sizeof *d->pins);
  if (d->pins == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < k->held_count; i++) {
    if (draft_has(d, k->held[i]))
      continue;
    k->held[i]->refs++;
    d->pins[d->pin_count++] = k->held[i];
  }
  return SB_OK;
}

void
snapshot_forget_held(keyed *k)
{
  size_t i;

  for (i = 0; i < k->held_count; i++)
    version_unref_segment(k, k->held[i]);
  mem_free(k->host, k->held);
  k->held = NULL;
  k->held_count = 0;
}

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
draft_states(keyed *k, draft *d)
{
  size_t i;

  d->m.states = mem_zalloc(k->host,
                           (k->state_count + 1) * sizeof *d->m.states);
  if (d->m.states == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < k->state_count; i++) {
    const state *s = k->states[i];

    d->m.states[i].name = s->name;
    d->m.states[i].id = s->id;
    d->m.states[i].kind = s->kind;
    d->m.states[i].flags = s->flags;
    d->m.states[i].schema_version = s->schema_version;
    d->m.states[i].blob = s->blob;
  }
  d->m.state_count = k->state_count;
  return SB_OK;
}

static sb_status
draft_segments(keyed *k, draft *d)
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

    ms->name = v->segment->name;
    ms->root = v->segment->root;
    ms->owner = v->segment->owner;
    ms->info = v->segment->info;
    ms->key_group_first = (uint16_t)v->key_group_first;
    ms->key_group_last = (uint16_t)v->key_group_last;
    ms->sequence = v->segment->sequence;
    v->segment->published = 1;
    if (v->segment->first_named == 0)
      v->segment->first_named = d->m.checkpoint_id;
  }
  d->m.segment_count = d->view_count;
  for (i = 0; i < d->pin_count; i++)
    d->m.held[i] = d->pins[i]->name;
  d->m.held_count = d->pin_count;
  return SB_OK;
}

static sb_status
draft_make(keyed *k, const sb_snapshot *s, draft *d)
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
  status = draft_views(k, s, d);
  if (status == SB_OK)
    status = draft_held(k, s, d);
  if (status == SB_OK)
    status = draft_states(k, d);
  if (status == SB_OK)
    status = draft_segments(k, d);
  if (status == SB_OK)
    status = draft_dropped(k, s->checkpoint_id, d);
  keyed_unlock(k);
  d->m.dropped = (const char **)d->dropped;
  return status;
}

static void
draft_dispose(keyed *k, draft *d)
{
  size_t i;

  keyed_lock(k);
  for (i = 0; i < d->pin_count; i++)
    version_unref_segment(k, d->pins[i]);
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

/* ---- the part ------------------------------------------------------------ */

static int
snapshot_has_object(const sb_snapshot *s, const char *name)
{
  size_t i;

  for (i = 0; i < s->object_count; i++)
    if (strcmp(s->object_names[i], name) == 0)
      return 1;
  return 0;
}

/* Which objects the manifest names: each once, however many views. */
static sb_status
snapshot_objects(keyed *k, sb_snapshot *s, const draft *d)
{
  const segment *last = NULL;
  size_t i;

  s->objects = mem_zalloc(k->host, (d->view_count + 1) * sizeof *s->objects);
  s->object_names = mem_zalloc(k->host,
                               (d->view_count + 1) * sizeof *s->object_names);
  if (s->objects == NULL || s->object_names == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < d->view_count; i++) {
    const segment *seg = d->views[i].segment;
    sb_object_use *use = &s->objects[s->object_count];

    if (seg == last)
      continue;
    last = seg;
    if (d->view_count < 256 && snapshot_has_object(s, seg->name))
      continue;
    s->object_names[s->object_count] = mem_strdup(k->host, seg->name);
    if (s->object_names[s->object_count] == NULL)
      return SB_NO_MEMORY;
    use->name = s->object_names[s->object_count++];
    use->size = seg->info.size;
    use->is_new = seg->own && (seg->first_named == 0 ||
                               seg->first_named == s->checkpoint_id);
  }
  return SB_OK;
}

/* A manifest too large to travel in the part becomes an object. */
static sb_status
snapshot_store_manifest(keyed *k, sb_snapshot *s, sb_error *err)
{
  char name[PATH_SIZE];
  sb_status status;

  if (s->manifest.len <= SB_MANIFEST_INLINE_MAX)
    return SB_OK;
  status = paths_manifest(&k->engine->paths, k->job, k->subtask,
                          s->checkpoint_id, k->generation,
                          k->host->random(k->host), name, err);
  if (status != SB_OK)
    return status;
  s->manifest_name = mem_strdup(k->host, name);
  if (s->manifest_name == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not write manifest \"%s\": no memory", name);
  return store_put(k->host, k->engine->store, name, s->manifest.data,
                   s->manifest.len, SB_PUT_CREATE, NULL, NULL, 0, NULL,
                   SB_PRIORITY_COMMIT, err);
}

static void
snapshot_fill_part(keyed *k, sb_snapshot *s)
{
  sb_part *p = &s->part;

  memset(p, 0, sizeof *p);
  p->struct_size = sizeof *p;
  p->subtask = k->subtask;
  p->operator_id = k->operator_id;
  p->key_group_first = k->key_group_first;
  p->key_group_last = k->key_group_last;
  p->name = s->manifest_name;
  p->manifest = sb_slice_of(s->manifest.data, s->manifest.len);
  p->length = s->manifest.len;
  p->crc32c = crc32c(s->manifest.data, s->manifest.len);
  p->object_count = (uint32_t)s->object_count;
  p->objects = s->objects;
}

static sb_status
snapshot_write_part(keyed *k, sb_snapshot *s, sb_error *err)
{
  draft d;
  sb_status status;

  snapshot_clear_result(k, s);
  status = draft_make(k, s, &d);
  if (status == SB_OK)
    status = manifest_encode(k->host, &d.m, &s->manifest);
  if (status == SB_OK)
    status = snapshot_objects(k, s, &d);
  draft_dispose(k, &d);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not make the manifest of snapshot "
                        "%llu: %s", (unsigned long long)s->checkpoint_id,
                        sb_status_name(status));
  status = snapshot_store_manifest(k, s, err);
  if (status == SB_OK)
    snapshot_fill_part(k, s);
  return status;
}

sb_status
snapshot_run(sb_keyed *base, sb_snapshot *s, const sb_part **part,
             sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status;

  *part = NULL;
  keyed_lock(k);
  if (s->running) {
    keyed_unlock(k);
    return sb_error_set(err, SB_BUSY, "snapshot %llu is being run already",
                        (unsigned long long)s->checkpoint_id);
  }
  s->running = 1;
  keyed_unlock(k);
  status = flush_until(k, s->epoch, s->event, &s->cancelled, err);
  if (status == SB_OK)
    status = snapshot_write_part(k, s, err);
  keyed_lock(k);
  s->running = 0;
  keyed_changed(k);
  keyed_unlock(k);
  if (status == SB_OK)
    *part = &s->part;
  return status;
}

/* ---- fate ---------------------------------------------------------------- */

/* Dropped names that a committed checkpoint has listed are the committer's to
   delete from now on. */
sb_status
snapshot_notify(sb_keyed *base, uint32_t what, uint64_t id, sb_error *err)
{
  keyed *k = (keyed *)base;
  dropped_name **at, *gone = NULL;
  sb_status status = keyed_enter(k, err);

  if (status != SB_OK)
    return status;
  if (what != SB_NOTIFY_COMPLETE && what != SB_NOTIFY_ABORTED &&
      what != SB_NOTIFY_SUBSUMED)
    return sb_error_set(err, SB_INVALID, "cannot notify of %u",
                        (unsigned)what);
  keyed_lock(k);
  if (what == SB_NOTIFY_COMPLETE && id > k->newest_completed)
    k->newest_completed = id;
  for (at = &k->dropped; *at != NULL;) {
    dropped_name *d = *at;

    if (d->listed_in == 0 || d->listed_in != k->newest_completed) {
      at = &d->next;
      continue;
    }
    *at = d->next;
    d->next = gone;
    gone = d;
  }
  keyed_unlock(k);
  while (gone != NULL) {
    dropped_name *next = gone->next;

    mem_free(k->host, gone->name);
    mem_free(k->host, gone);
    gone = next;
  }
  return SB_OK;
}
