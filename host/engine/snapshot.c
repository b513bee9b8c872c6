/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: begin closes an epoch, run flushes what the cut holds and writes
 * the manifest, notify tells what became of it. The cut is described in
 * docs/PROTOCOL.md.
 */
#include "config.h"

#include <stddef.h>

#include "host/engine/snapshot.h"

/* ---- begin, cancel, free ------------------------------------------------ */

static void
snapshot_release(keyed *k, sb_snapshot *s)
{
  if (s->event != NULL)
    k->host->event_free(k->host, s->event);
  mem_free(k->host, s->extra);
  mem_free(k->host, s->savepoint);
  mem_free(k->host, s);
}

static sb_status
snapshot_check(const keyed *k, const sb_snapshot_options *options,
               sb_error *err)
{
  char directory[PATH_SIZE];
  const char *name = NULL;

  if (k->flags & SB_OPEN_READ_ONLY)
    return sb_error_set(err, SB_INVALID, "cannot begin a snapshot: the handle "
                        "was opened read-only");
  if (options->kind != SB_SNAPSHOT_CHECKPOINT &&
      options->kind != SB_SNAPSHOT_FULL &&
      options->kind != SB_SNAPSHOT_SAVEPOINT)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "cannot begin a snapshot of kind %u",
                        (unsigned)options->kind);
  if (options->kind != SB_SNAPSHOT_SAVEPOINT)
    return SB_OK;
  if (options->struct_size >= offsetof(sb_snapshot_options, savepoint) +
                                sizeof options->savepoint)
    name = options->savepoint;
  return paths_savepoint_prefix(&k->engine->paths, k->job,
                                name == NULL ? "" : name, directory, err);
}

static sb_snapshot *
snapshot_new(keyed *k, const sb_snapshot_options *options)
{
  sb_snapshot *s = mem_zalloc(k->host, sizeof *s);

  if (s == NULL)
    return NULL;
  s->owner = k;
  s->kind = options->kind;
  s->checkpoint_id = options->checkpoint_id;
  buf_init(&s->manifest, k->host, MANIFEST_SIZE_MAX);
  s->event = k->host->event_new(k->host);
  if (s->kind == SB_SNAPSHOT_SAVEPOINT)
    s->savepoint = mem_strdup(k->host, options->savepoint);
  if (s->event != NULL &&
      (s->savepoint != NULL || s->kind != SB_SNAPSHOT_SAVEPOINT))
    return s;
  snapshot_release(k, s);
  return NULL;
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
  status = snapshot_check(k, options, err);
  if (status != SB_OK)
    return status;
  s = snapshot_new(k, options);
  if (s == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not begin snapshot %llu: no "
                        "memory", (unsigned long long)options->checkpoint_id);
  status = freeze_epoch(k, s, err);
  if (status != SB_OK) {
    snapshot_release(k, s);
    return status;
  }
  atomic_fetch_add(&k->snapshot_count, 1);
  *out = s;
  return SB_OK;
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
  if (s->kind == SB_SNAPSHOT_SAVEPOINT &&
      (!s->handed_out || atomic_load(&s->cancelled)))
    cut_remove(k, s);
  cut_forget(k, s);
  part_clear(k, s);
  buf_dispose(&s->manifest);
  snapshot_release(k, s);
}

/* ---- run ---------------------------------------------------------------- */

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
  if (keyed_host_owned(k))
    hosted_start(k, s);
  status = flush_until(k, s->epoch, s->event, &s->cancelled, err);
  if (status == SB_OK)
    status = cut_adopt(k, s, err);
  if (status == SB_OK)
    status = part_make(k, s, err);
  if (status != SB_OK && keyed_host_owned(k))
    hosted_give_up(k, s);
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
static dropped_name *
snapshot_take_listed(keyed *k)
{
  dropped_name **at = &k->dropped, *gone = NULL;

  while (*at != NULL) {
    dropped_name *d = *at;

    if (d->listed_in == 0 || d->listed_in != k->newest_completed) {
      at = &d->next;
      continue;
    }
    *at = d->next;
    d->next = gone;
    gone = d;
  }
  return gone;
}

sb_status
snapshot_notify(sb_keyed *base, uint32_t what, uint64_t id, sb_error *err)
{
  keyed *k = (keyed *)base;
  dropped_name *gone;
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
  gone = snapshot_take_listed(k);
  keyed_unlock(k);
  while (gone != NULL) {
    dropped_name *next = gone->next;

    mem_free(k->host, gone->name);
    mem_free(k->host, gone);
    gone = next;
  }
  if (keyed_host_owned(k))
    hosted_notify(k, what, id);
  return SB_OK;
}
