/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: a pinned point in time for other threads. Opening one closes the
 * epoch; its first read waits until that epoch is in segments, and then reads
 * only those.
 */
#include "config.h"

#include "host/engine/view.h"

sb_status
view_open(sb_keyed *base, sb_view **out, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  sb_view *v;

  *out = NULL;
  if (status != SB_OK)
    return status;
  v = mem_zalloc(k->host, sizeof *v);
  if (v == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open a view: no memory");
  v->cut.owner = k;
  v->cut.is_view = 1;
  v->cut.event = k->host->event_new(k->host);
  if (v->cut.event == NULL)
    status = sb_error_set(err, SB_NO_MEMORY,
                          "could not open a view: no memory");
  else
    status = freeze_epoch(k, &v->cut, err);
  if (status != SB_OK) {
    if (v->cut.event != NULL)
      k->host->event_free(k->host, v->cut.event);
    mem_free(k->host, v);
    return status;
  }
  *out = v;
  return SB_OK;
}

version *
view_version(keyed *k, sb_view *v)
{
  const struct sb_snapshot *cut = &v->cut;
  size_t count = cut->base->count + cut->extra_count;
  segment_view *views;

  if (v->all != NULL)
    return v->all;
  views = mem_alloc(k->host, count * sizeof *views);
  if (views == NULL)
    return NULL;
  memcpy(views, cut->base->views, cut->base->count * sizeof *views);
  if (cut->extra_count != 0)
    memcpy(views + cut->base->count, cut->extra,
           cut->extra_count * sizeof *views);
  v->all = version_new(k->host, views, count, k->key_group_first,
                       k->key_group_last);
  mem_free(k->host, views);
  return v->all;
}

static void
view_drop_version(keyed *k, sb_view *v)
{
  size_t i;

  if (v->all == NULL)
    return;
  keyed_lock(k);
  for (i = 0; i < v->all->count; i++)
    version_unref_segment(k, v->all->views[i].segment);
  keyed_unlock(k);
  version_free(k->host, v->all);
}

static sb_status
view_copy(keyed *k, const state *s, const record *r, void *buffer,
          size_t buffer_size, size_t *size, sb_error *err)
{
  if (keyed_expired(k, s, r->expires_ms))
    return SB_NOT_FOUND;
  *size = r->value.len;
  if (r->value.len > buffer_size)
    return sb_error_set(err, SB_TOO_LARGE, "a value of %zu bytes does not fit "
                        "%zu", r->value.len, buffer_size);
  if (r->value.len != 0)
    memcpy(buffer, r->value.data, r->value.len);
  return SB_OK;
}

/* Appends all records of a list that the cut has. */
static sb_status
view_list(reader_ctx *ctx, segment **runs, size_t count, const place *p,
          buf *out, sb_error *err)
{
  keyed *k = ctx->keyed;
  record from = p->key;
  sb_status status;
  merge m;
  size_t i;

  from.flags |= RECORD_CLEAR;
  if (merge_init(&m, k->host, count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not read a list: no memory");
  for (i = 0; i < count; i++)
    run_init(&m.runs[i], ctx, runs[i], p->key.key_group, 0);
  status = SB_OK;
  for (i = 0; i < count && status == SB_OK; i++) {
    status = run_seek(&m.runs[i], &from, err);
    if (status == SB_END)
      status = SB_OK;
  }
  if (status == SB_OK)
    status = merge_first(&m, err);
  while (status == SB_OK && record_compare_key(&m.record, &p->key) == 0) {
    if ((m.record.flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) == 0 &&
        !keyed_expired(k, p->state, m.record.expires_ms)) {
      status = merge_migrate(&m, err);
      buf_add(out, m.record.value.data, m.record.value.len);
    }
    if (status == SB_OK)
      status = merge_next(&m, err);
  }
  merge_dispose(&m, k->host);
  if (status != SB_OK && status != SB_END)
    return status;
  if (out->status != SB_OK)
    return sb_error_set(err, out->status, "could not read a list");
  return out->len == 0 ? SB_NOT_FOUND : SB_OK;
}

static sb_status
view_read(sb_view *v, const place *p, void *buffer, size_t buffer_size,
          size_t *size, sb_error *err)
{
  keyed *k = v->cut.owner;
  reader_ctx ctx = { k, v->cut.event, SB_PRIORITY_READ, NULL, NULL };
  cache_entry *pin = NULL;
  const version *all;
  segment **runs;
  size_t count;
  record r;
  buf list;
  sb_status status;

  keyed_lock(k);
  all = view_version(k, v);
  keyed_unlock(k);
  if (all == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read a view: no memory");
  runs = version_runs(all, p->key.key_group, &count);
  memset(&r, 0, sizeof r);
  buf_init(&list, k->host, SB_VALUE_MAX);
  ctx.migrated = &list;
  if (p->state->kind == SB_STATE_LIST) {
    status = view_list(&ctx, runs, count, p, &list, err);
    r.value = sb_slice_of(list.data, list.len);
  } else {
    status = reader_lookup(&ctx, runs, count, p, &r, &pin, err);
  }
  if (status == SB_OK)
    status = view_copy(k, p->state, &r, buffer, buffer_size, size, err);
  if (pin != NULL)
    cache_unpin(k->engine->cache, pin);
  buf_dispose(&list);
  return status;
}

/* The view's event serves one reader at a time: a second one is told to come
   again. */
sb_status
view_get(sb_view *v, const sb_key *key, void *buffer, size_t buffer_size,
         size_t *size, sb_error *err)
{
  keyed *k = v->cut.owner;
  sb_status status;
  place p;

  keyed_lock(k);
  status = keyed_check_key_at(k, key, v->cut.epoch, err);
  if (status == SB_OK)
    keyed_place_key(k, key, &p);
  if (status == SB_OK && v->cut.running)
    status = sb_error_set(err, SB_BUSY, "another thread reads this view");
  if (status == SB_OK)
    v->cut.running = 1;
  keyed_unlock(k);
  if (status != SB_OK)
    return status;
  status = flush_until(k, v->cut.epoch, v->cut.event, NULL, err);
  if (status == SB_OK)
    status = view_read(v, &p, buffer, buffer_size, size, err);
  keyed_lock(k);
  v->cut.running = 0;
  keyed_changed(k);
  keyed_unlock(k);
  return status;
}

void
view_close(sb_view *v)
{
  keyed *k;

  if (v == NULL)
    return;
  k = v->cut.owner;
  snapshot_unpin(k, &v->cut);
  view_drop_version(k, v);
  k->host->event_free(k->host, v->cut.event);
  mem_free(k->host, v->cut.extra);
  mem_free(k->host, v);
}
