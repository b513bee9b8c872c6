/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing keyed handles, states, waiting, statistics; see
   keyed.h. */
#include "config.h"

#include "host/engine/snapshot.h"
#include "host/store/store.h"

#define CHUNK_MIN ((size_t)4 << 10)
#define CHUNK_MAX ((size_t)256 << 10)

/* ---- lock, waiting, tasks ----------------------------------------------- */

void
keyed_lock(keyed *k)
{
  pthread_mutex_lock(&k->lock);
}

void
keyed_unlock(keyed *k)
{
  pthread_mutex_unlock(&k->lock);
}

int
keyed_stopping(const keyed *k)
{
  return atomic_load_explicit(&k->interrupted, memory_order_relaxed) ||
         atomic_load_explicit(&k->closing, memory_order_relaxed);
}

void
keyed_changed(keyed *k)
{
  waiter *w;

  atomic_fetch_add_explicit(&k->changes, 1, memory_order_release);
  for (w = k->waiters; w != NULL; w = w->next)
    k->host->event_set(k->host, w->event);
}

sb_status
keyed_wait(keyed *k, sb_event *event, uint64_t deadline_ns)
{
  waiter me = { k->waiters, event }, **at = &k->waiters;
  sb_status status;

  k->waiters = &me;
  keyed_unlock(k);
  status = k->host->event_wait(k->host, event, deadline_ns);
  keyed_lock(k);
  while (*at != &me)
    at = &(*at)->next;
  *at = me.next;
  return status;
}

sb_status
keyed_task(keyed *k, uint32_t lane, sb_task *task, sb_error *err)
{
  sb_status status;

  keyed_lock(k);
  k->tasks++;
  keyed_unlock(k);
  status = k->host->execute(k->host, lane, task, k, err);
  if (status != SB_OK)
    keyed_task_done(k);
  return status;
}

void
keyed_task_done(keyed *k)
{
  keyed_lock(k);
  k->tasks--;
  keyed_changed(k);
  keyed_unlock(k);
}

/* ---- start of owner calls ----------------------------------------------- */

/* Flushed epochs: their chunks become evictable. */
static frozen *
keyed_take_flushed(keyed *k)
{
  frozen *taken = NULL, *f;

  while (k->frozen_first != NULL && k->frozen_first->flushed) {
    f = k->frozen_first;
    k->frozen_first = f->next;
    if (k->frozen_first == NULL)
      k->frozen_last = NULL;
    f->next = taken;
    taken = f;
    k->frozen_count--;
    k->clean_epoch = f->epoch;
  }
  return taken;
}

static void
keyed_clean_chunks(keyed *k, frozen *f)
{
  while (f != NULL) {
    frozen *next = f->next;

    while (f->chunks != NULL) {
      chunk *c = f->chunks;

      f->chunks = c->next;
      chunk_list_push(&k->clean, c);
    }
    mem_free(k->host, f);
    f = next;
  }
}

sb_status
keyed_enter_slow(keyed *k, sb_error *err)
{
  frozen *flushed;

  if (keyed_stopping(k))
    return sb_error_set(err, SB_CANCELLED, "the handle of \"%s\" was "
                        "interrupted", k->operator_id);
  keyed_lock(k);
  k->changes_seen = atomic_load_explicit(&k->changes, memory_order_acquire);
  if (k->version != k->live) {
    version_unref(k, k->version);
    k->version = k->live;
    k->version->refs++;
  }
  flushed = keyed_take_flushed(k);
  keyed_unlock(k);
  keyed_clean_chunks(k, flushed);
  return SB_OK;
}

static void
keyed_interrupt(sb_keyed *base)
{
  keyed *k = (keyed *)base;

  atomic_store(&k->interrupted, 1);
  keyed_lock(k);
  keyed_changed(k);
  keyed_unlock(k);
  k->host->event_set(k->host, k->event);
}

/* ---- statistics ---------------------------------------------------------- */

static void
stats_segments(keyed *k, sb_keyed_stats *stats)
{
  const segment *last = NULL;
  size_t i;

  keyed_lock(k);
  for (i = 0; i < k->live->count; i++) {
    const segment *s = k->live->views[i].segment;

    if (s == last)
      continue;
    last = s;
    stats->segments++;
    stats->segment_bytes += s->info.size;
  }
  keyed_unlock(k);
}

static sb_status
keyed_get_stats(sb_keyed *base, sb_keyed_stats *stats)
{
  keyed *k = (keyed *)base;

  memset(stats, 0, sizeof *stats);
  stats->struct_size = sizeof *stats;
  stats->reads = atomic_load(&k->counters.reads);
  stats->writes = atomic_load(&k->counters.writes);
  stats->record_hits = atomic_load(&k->counters.record_hits);
  stats->record_bytes = atomic_load(&k->counters.record_bytes);
  stats->dirty_bytes = atomic_load(&k->counters.dirty_bytes) +
                       atomic_load(&k->frozen_bytes);
  stats->evicted_bytes = atomic_load(&k->counters.evicted_bytes);
  stats->stalls = atomic_load(&k->counters.stalls);
  stats->stall_ns = atomic_load(&k->counters.stall_ns);
  stats->cold_reads = atomic_load(&k->cold_reads);
  stats->snapshots = atomic_load(&k->snapshot_count);
  stats->early_flushes = atomic_load(&k->early_flushes);
  stats->compactions = atomic_load(&k->compactions);
  stats->flushed_bytes = atomic_load(&k->flushed_raw);
  stats->compacted_bytes = atomic_load(&k->compacted_raw);
  stats->memory_used = atomic_load(&k->engine->memory_used) +
                       cache_used(k->engine->cache);
  stats->memory_limit = k->engine->memory_limit;
  cache_stats(k->engine->cache, &stats->block_hits, &stats->block_misses);
  stats_segments(k, stats);
  return SB_OK;
}

/* ---- open and close ------------------------------------------------------ */

static void
keyed_free_chunks(keyed *k, chunk *c)
{
  while (c != NULL) {
    chunk *next = c->next;

    engine_release(k->engine, c->size);
    k->record_bytes -= c->size;
    chunk_free(k->host, c);
    c = next;
  }
}

static void
keyed_free_records(keyed *k)
{
  keyed_free_chunks(k, k->dirty);
  keyed_free_chunks(k, k->clean_open);
  keyed_free_chunks(k, k->clean.first);
  while (k->frozen_first != NULL) {
    frozen *f = k->frozen_first;

    k->frozen_first = f->next;
    keyed_free_chunks(k, f->chunks);
    mem_free(k->host, f);
  }
}

static void
keyed_free_dropped(keyed *k)
{
  while (k->dropped != NULL) {
    dropped_name *d = k->dropped;

    k->dropped = d->next;
    mem_free(k->host, d->name);
    mem_free(k->host, d);
  }
}

/* Is a name that was dropped the handle's to remove? */
static int
keyed_removes(const keyed *k, const dropped_name *d)
{
  return !d->published || keyed_host_owned(k);
}

/* Objects that no manifest ever named go from the store with the handle:
   nobody else knows them. What cannot be removed now is an orphan for the next
   generation's clean-up. */
static void
keyed_remove_unpublished(keyed *k)
{
  size_t count = 0, i, live = k->live == NULL ? 0 : k->live->count;
  const dropped_name *d;
  const char **names;

  for (d = k->dropped; d != NULL; d = d->next)
    count += (size_t)keyed_removes(k, d);
  names = mem_alloc(k->host, (count + live + 1) * sizeof *names);
  if (names == NULL)
    return;
  count = 0;
  for (d = k->dropped; d != NULL; d = d->next)
    if (keyed_removes(k, d))
      names[count++] = d->name;
  for (i = 0; i < live; i++) {
    const segment *s = k->live->views[i].segment;

    if (s->own && !s->published &&
        (i == 0 || s != k->live->views[i - 1].segment))
      names[count++] = s->name;
  }
  if (count != 0)
    (void)store_remove(k->host, k->engine->store, names, count, NULL, NULL);
  mem_free(k->host, (void *)names);
}

static void
keyed_free(keyed *k)
{
  size_t i;

  if (k == NULL)
    return;
  async_free(k);
  scan_free_spare(k);
  keyed_free_records(k);
  for (i = 0; i < k->state_count; i++)
    keyed_state_free(k, k->states[i]);
  mem_free(k->host, k->states);
  hosted_free(k);
  keyed_lock(k);
  draft_forget_held(k);
  version_unref(k, k->version);
  version_unref(k, k->live);
  keyed_unlock(k);
  keyed_free_dropped(k);
  buf_dispose(&k->scratch);
  buf_dispose(&k->list);
  buf_dispose(&k->lent);
  buf_dispose(&k->migrated);
  if (k->event != NULL)
    k->host->event_free(k->host, k->event);
  mem_free(k->host, k->job);
  mem_free(k->host, k->operator_id);
  mem_free(k->host, k->segment_operator);
  pthread_mutex_destroy(&k->lock);
  atomic_fetch_sub(&k->engine->handle_count, 1);
  mem_free(k->host, k);
}

static void
keyed_close(sb_keyed *base)
{
  keyed *k = (keyed *)base;

  atomic_store(&k->closing, 1);
  keyed_lock(k);
  keyed_changed(k);
  while (k->tasks != 0)
    (void)keyed_wait(k, k->event, SB_NO_DEADLINE);
  /* What only the owner's version has is dropped now. */
  version_unref(k, k->version);
  k->version = k->live;
  k->version->refs++;
  keyed_unlock(k);
  if (!(k->flags & SB_OPEN_READ_ONLY))
    keyed_remove_unpublished(k);
  keyed_free(k);
}

static sb_status
keyed_describe(sb_keyed *base, sb_keyed_options *options, sb_error *err)
{
  const keyed *k = (const keyed *)base;
  uint32_t size = options->struct_size;
  const sb_keyed_options all = {
    .struct_size = size,
    .flags = k->flags,
    .job = k->job,
    .operator_id = k->operator_id,
    .subtask = k->subtask,
    .key_group_count = k->key_group_count,
    .key_group_first = k->key_group_first,
    .key_group_last = k->key_group_last,
    .generation = k->generation,
  };

  (void)err;
  memcpy(options, &all, size < sizeof all ? size : sizeof all);
  return SB_OK;
}

static const sb_keyed_ops keyed_ops = {
  .struct_size = sizeof(sb_keyed_ops),
  .abi_version = SB_ABI_VERSION,
  .register_state = keyed_register_state,
  .get = keyed_get,
  .put = keyed_put,
  .remove = keyed_remove,
  .append = keyed_append,
  .update = keyed_update,
  .clear = keyed_clear,
  .remove_range = scan_remove_range,
  .scan_open = scan_open,
  .scan_next = scan_next,
  .scan_update = scan_update,
  .scan_remove = scan_remove,
  .scan_close = scan_close,
  .submit = async_submit,
  .poll = async_poll,
  .view_open = view_open,
  .view_get = view_get,
  .view_close = view_close,
  .view_scan_open = view_scan_open,
  .view_scan_next = view_scan_next,
  .view_scan_close = view_scan_close,
  .remove_through = keyed_remove_through,
  .snapshot_begin = snapshot_begin,
  .snapshot_run = snapshot_run,
  .snapshot_cancel = snapshot_cancel,
  .snapshot_free = snapshot_free,
  .notify = snapshot_notify,
  .interrupt = keyed_interrupt,
  .stats = keyed_get_stats,
  .close = keyed_close,
  .state_find = keyed_find_state,
  .state_at = keyed_state_at,
  .drop_state = keyed_drop_state,
  .advance_time = keyed_advance_time,
  .describe = keyed_describe,
  .append_all = keyed_append_all,
  .prefetch = keyed_prefetch,
  .put_all = keyed_put_all,
  .replace_all = keyed_replace_all,
};

static size_t
keyed_chunk_size(const engine *e)
{
  size_t size = CHUNK_MIN;

  while (size < CHUNK_MAX && size * 512 <= e->memory_limit)
    size *= 2;
  return size;
}

static keyed *
keyed_new(engine *e, const sb_keyed_options *o)
{
  keyed *k = mem_zalloc(e->host, sizeof *k);

  if (k == NULL)
    return NULL;
  k->base.ops = &keyed_ops;
  k->engine = e;
  k->host = e->host;
  k->flags = o->flags;
  k->subtask = o->subtask;
  k->key_group_count = o->key_group_count;
  k->key_group_first = o->key_group_first;
  k->key_group_last = o->key_group_last;
  k->generation = o->generation;
  k->wake = o->wake;
  k->wake_arg = o->wake_arg;
  k->epoch = 1;
  k->list_sequence = 1;
  k->next_sequence = 1;
  k->chunk_size = keyed_chunk_size(e);
  buf_init(&k->scratch, e->host, (size_t)SB_VALUE_MAX + 65536);
  buf_init(&k->list, e->host, (size_t)SB_VALUE_MAX + 65536);
  buf_init(&k->lent, e->host, (size_t)SB_VALUE_MAX + 65536);
  buf_init(&k->migrated, e->host, (size_t)SB_VALUE_MAX + 65536);
  pthread_mutex_init(&k->lock, NULL);
  atomic_fetch_add(&e->handle_count, 1);
  k->job = mem_strdup(e->host, o->job == NULL ? "" : o->job);
  k->operator_id = mem_strdup(e->host,
                              o->operator_id == NULL ? "" : o->operator_id);
  k->states = mem_alloc(e->host, SB_STATES_MAX * sizeof *k->states);
  k->segment_operator = mem_strdup(e->host, k->operator_id == NULL
                                              ? "" : k->operator_id);
  k->event = e->host->event_new(e->host);
  if (k->job == NULL || k->operator_id == NULL || k->states == NULL ||
      k->event == NULL || k->segment_operator == NULL ||
      version_set(k, NULL, 0) != SB_OK) {
    keyed_free(k);
    return NULL;
  }
  k->version = k->live;
  k->version->refs++;
  return k;
}

static sb_status
keyed_check(const sb_keyed_options *o, sb_error *err)
{
  if (o->key_group_count == 0 || o->key_group_count > SB_KEY_GROUPS_MAX ||
      o->key_group_first > o->key_group_last ||
      o->key_group_last >= o->key_group_count)
    return sb_error_set(err, SB_INVALID, "cannot open key groups %u to %u of "
                        "%u: the count is 1 to %u and the range inside it",
                        (unsigned)o->key_group_first,
                        (unsigned)o->key_group_last,
                        (unsigned)o->key_group_count, SB_KEY_GROUPS_MAX);
  if (o->flags &
      ~(SB_OPEN_READ_ONLY | SB_OPEN_HOST_OWNED | SB_OPEN_NO_CLAIM))
    return sb_error_set(err, SB_INVALID, "cannot open with flags %#x",
                        (unsigned)o->flags);
  return SB_OK;
}

sb_status
keyed_open(engine *e, const sb_keyed_options *options, sb_keyed **out,
           sb_error *err)
{
  sb_status status = keyed_check(options, err);
  keyed *k;

  *out = NULL;
  if (status != SB_OK)
    return status;
  k = keyed_new(e, options);
  if (k == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not open state: no memory");
  status = restore_parts(k, options, err);
  if (status == SB_OK)
    status = keyed_enter_slow(k, err);
  if (status == SB_OK && (k->flags & SB_OPEN_HOST_OWNED))
    status = hosted_open(k, options, err);
  if (status != SB_OK) {
    keyed_free(k);
    return status;
  }
  *out = &k->base;
  return SB_OK;
}
