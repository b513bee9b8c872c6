/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in which checkpoints may differ; see entries_read.h. */
#include "config.h"

#include "host/engine/entries_read.h"

#define WALK_AHEAD_MAX ((size_t)256 << 10)

static int
walk_has(segment *const *runs, size_t count, const segment *s)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (strcmp(runs[i]->name, s->name) == 0 &&
        (runs[i]->root == NULL) == (s->root == NULL))
      return 1;
  return 0;
}

static int
walk_window(const entries_walk *w, uint64_t first, uint64_t last)
{
  return first != 0 && first <= w->now_ms && last > w->since_ms;
}

/* The same for the least and the greatest time of many records: of whichever
   states, so they may be ends or stamps. */
static int
walk_window_any(const entries_walk *w, const keyed *k, uint64_t first,
                uint64_t last)
{
  int may = walk_window(w, first, last);
  size_t i;

  for (i = 0; i < k->state_count && !may; i++) {
    const state *s = k->states[i];

    if (s->time_kind == SB_TIME_STAMP && s->ttl_ms != 0)
      may = walk_window(w, expiry_end(s, first), expiry_end(s, last));
  }
  return may;
}

/* Some record of the segment in this key group may expire in the window. */
static sb_status
walk_may_expire(entries_walk *w, reader_ctx *ctx, segment *s, int *may,
                sb_error *err)
{
  segment_directory *d;
  sb_status status;
  uint32_t i;

  *may = 0;
  if (!walk_window_any(w, ctx->keyed, s->info.expires_min,
                       s->info.expires_max))
    return SB_OK;
  status = reader_directory(ctx, s, &d, err);
  if (status != SB_OK)
    return status;
  for (i = 0; i < segment_directory_count(d) && !*may; i++) {
    const segment_partition_info *p = segment_directory_at(d, i);

    *may = p->key_group_first <= w->key_group &&
           p->key_group_last >= w->key_group &&
           walk_window_any(w, ctx->keyed, p->expires_min, p->expires_max);
  }
  return SB_OK;
}

static void
walk_add(entries_walk *w, keyed *k, segment *s, int expiring)
{
  entries_source *source = &w->sources[w->count++];

  source->ctx.keyed = k;
  source->ctx.event = k->event;
  source->ctx.priority = SB_PRIORITY_BACKGROUND;
  source->expiring = expiring;
  source->run.segment = s;
}

static int
walk_is_new(const segment *s, keyed *const *older, size_t count,
            uint32_t key_group)
{
  segment **runs;
  size_t i, n;

  for (i = 0; i < count; i++) {
    if (older[i] == NULL)
      return 1;
    runs = version_runs(older[i]->version, key_group, &n);
    if (!walk_has(runs, n, s))
      return 1;
  }
  return count == 0;
}

/* Chooses the segments to read. */
static sb_status
walk_choose(entries_walk *w, keyed *const *older, size_t count, sb_error *err)
{
  segment **runs = NULL, **others;
  size_t n = 0, m, i, j;
  sb_status status = SB_OK;
  int expiring;

  if (w->newer != NULL)
    runs = version_runs(w->newer->version, w->key_group, &n);
  for (i = 0; i < n && status == SB_OK; i++) {
    reader_ctx ctx = { w->newer, w->newer->event, SB_PRIORITY_BACKGROUND,
                       NULL, NULL };

    if (walk_is_new(runs[i], older, count, w->key_group)) {
      walk_add(w, w->newer, runs[i], 0);
      continue;
    }
    status = walk_may_expire(w, &ctx, runs[i], &expiring, err);
    if (status == SB_OK && expiring)
      walk_add(w, w->newer, runs[i], 1);
  }
  for (j = 0; j < count; j++) {
    if (older[j] == NULL)
      continue;
    others = version_runs(older[j]->version, w->key_group, &m);
    for (i = 0; i < m; i++)
      if (!walk_has(runs, n, others[i]))
        walk_add(w, older[j], others[i], 0);
  }
  return status;
}

static size_t
walk_most(const entries_walk *w, keyed *const *older, size_t count)
{
  size_t n = 0, most = 0, j;

  if (w->newer != NULL)
    (void)version_runs(w->newer->version, w->key_group, &most);
  for (j = 0; j < count; j++)
    if (older[j] != NULL) {
      (void)version_runs(older[j]->version, w->key_group, &n);
      most += n;
    }
  return most;
}

/* The state, or NULL if it has no entries. */
static const state *
walk_wanted(const entries_source *source, uint32_t id)
{
  const state *s = keyed_state_by_id(source->run.reader->keyed, id);

  return s == NULL || s->kind == SB_STATE_TIMER || s->dropped_epoch != 0
           ? NULL : s;
}

/* Brings a source on to a record that counts. */
static sb_status
walk_settle(entries_walk *w, entries_source *source, sb_status status,
            sb_error *err)
{
  run *c = &source->run;

  while (status == SB_OK && c->valid) {
    const record *r = &c->record;
    const state *s = walk_wanted(source, r->state);
    uint64_t end = s == NULL ? 0 : expiry_end(s, r->expires_ms);

    if (s == NULL) {
      record next = { .state = r->state + 1, .key_group = r->key_group,
                      .flags = RECORD_CLEAR };

      if (next.state == 0) {
        c->valid = 0;
        return SB_OK;
      }
      status = run_seek(c, &next, err);
    } else if (source->expiring && !walk_window(w, end, end)) {
      status = run_next(c, err);
    } else {
      return SB_OK;
    }
  }
  return status == SB_END ? SB_OK : status;
}

sb_status
entries_walk_open(entries_walk *w, keyed *newer, keyed *const *older,
                  size_t count, uint32_t key_group, uint64_t since_ms,
                  uint64_t now_ms, sb_error *err)
{
  const keyed *any = newer;
  record from = { .key_group = (uint16_t)key_group, .flags = RECORD_CLEAR };
  size_t most, ahead, i;
  sb_status status;

  memset(w, 0, sizeof *w);
  for (i = 0; any == NULL && i < count; i++)
    any = older[i];
  w->newer = newer;
  w->key_group = key_group;
  w->since_ms = since_ms;
  w->now_ms = now_ms;
  most = walk_most(w, older, count);
  if (any == NULL || most == 0)
    return SB_OK;
  w->sources = mem_zalloc(any->host, most * sizeof *w->sources);
  if (w->sources == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not compare checkpoints: no "
                        "memory");
  buf_init(&w->key_bytes, any->host, SB_KEY_MAX + SB_NAMESPACE_MAX);
  status = walk_choose(w, older, count, err);
  ahead = any->engine->memory_limit / 64 / (w->count + 1);
  if (ahead > WALK_AHEAD_MAX)
    ahead = WALK_AHEAD_MAX;
  w->reserve = w->count * (ahead + 16384);
  engine_charge(any->engine, w->reserve);
  for (i = 0; i < w->count; i++) {
    segment *s = w->sources[i].run.segment;

    if (status == SB_OK)
      entries_load(&w->sources[i].ctx, s, ENTRIES_LOAD_WALK);
    run_init(&w->sources[i].run, &w->sources[i].ctx, s, key_group, ahead);
  }
  for (i = 0; i < w->count && status == SB_OK; i++)
    status = walk_settle(w, &w->sources[i],
                         run_seek(&w->sources[i].run, &from, err), err);
  return status;
}

/* Keeps the least key: the runs move on. */
static sb_status
walk_take(entries_walk *w, const record *r, sb_error *err)
{
  buf_clear(&w->key_bytes);
  buf_add(&w->key_bytes, r->key.data, r->key.len);
  buf_add(&w->key_bytes, r->ns.data, r->ns.len);
  if (w->key_bytes.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not compare checkpoints: no "
                        "memory");
  w->key = *r;
  w->key.flags = RECORD_CLEAR;
  w->key.subkey = w->key.value = sb_slice_of(NULL, 0);
  w->key.expires_ms = 0;
  w->key.key = sb_slice_of(w->key_bytes.data, r->key.len);
  w->key.ns = r->ns.len == 0 ? sb_slice_of(NULL, 0)
                             : sb_slice_of(w->key_bytes.data + r->key.len,
                                           r->ns.len);
  return SB_OK;
}

sb_status
entries_walk_next(entries_walk *w, sb_error *err)
{
  const record *least = NULL;
  sb_status status;
  size_t i;

  for (i = 0; i < w->count; i++) {
    const run *c = &w->sources[i].run;

    if (c->valid && (least == NULL || record_compare_key(&c->record,
                                                         least) < 0))
      least = &c->record;
  }
  if (least == NULL)
    return SB_END;
  status = walk_take(w, least, err);
  for (i = 0; i < w->count; i++) {
    entries_source *source = &w->sources[i];

    while (status == SB_OK && source->run.valid &&
           record_compare_key(&source->run.record, &w->key) == 0)
      status = walk_settle(w, source, run_next(&source->run, err), err);
  }
  return status;
}

void
entries_walk_close(entries_walk *w, const sb_host *host)
{
  size_t i;

  for (i = 0; i < w->count; i++)
    run_dispose(&w->sources[i].run);
  if (w->count != 0 && w->sources[0].ctx.keyed != NULL)
    engine_release(w->sources[0].ctx.keyed->engine, w->reserve);
  mem_free(host, w->sources);
  if (w->key_bytes.host != NULL)
    buf_dispose(&w->key_bytes);
  w->sources = NULL;
  w->count = 0;
}
