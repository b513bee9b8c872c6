/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live version of a handle and what hangs off it. A segment that nothing
 * uses any more becomes a dropped name if this handle wrote it; others are
 * just forgotten, their checkpoints name them.
 */
#include "config.h"

#include "host/engine/keyed.h"

static void
live_drop_name(keyed *k, segment *s)
{
  dropped_name *d = mem_zalloc(k->host, sizeof *d);

  if (d == NULL)
    return; /* the next generation finds it as an orphan */
  d->name = s->name;
  d->published = s->published;
  s->name = NULL;
  d->next = k->dropped;
  k->dropped = d;
}

void
version_unref_segment(keyed *k, segment *s)
{
  if (--s->refs != 0)
    return;
  cache_drop(k->engine->cache, s->number);
  if (s->own)
    live_drop_name(k, s);
  if (s->directory != NULL) {
    engine_release(k->engine, segment_directory_memory(s->directory));
    segment_directory_free(k->host, s->directory);
  }
  mem_free(k->host, s->name);
  mem_free(k->host, s->root);
  mem_free(k->host, s);
}

static void
live_unlink(keyed *k, version *v)
{
  version **at = &k->versions;

  while (*at != v)
    at = &(*at)->next;
  *at = v->next;
}

void
version_unref(keyed *k, version *v)
{
  size_t i;

  if (v == NULL || --v->refs != 0)
    return;
  live_unlink(k, v);
  for (i = 0; i < v->count; i++)
    version_unref_segment(k, v->views[i].segment);
  version_free(k->host, v);
}

sb_status
version_set(keyed *k, const segment_view *views, size_t count)
{
  version *v = version_new(k->host, views, count, k->key_group_first,
                           k->key_group_last);

  if (v == NULL)
    return SB_NO_MEMORY;
  v->next = k->versions;
  k->versions = v;
  version_unref(k, k->live);
  k->live = v;
  keyed_changed(k);
  return SB_OK;
}

static segment_view
live_view(const keyed *k, segment *s)
{
  segment_view view = { s, s->info.key_group_first, s->info.key_group_last };

  if (view.key_group_first < k->key_group_first)
    view.key_group_first = k->key_group_first;
  if (view.key_group_last > k->key_group_last)
    view.key_group_last = k->key_group_last;
  return view;
}

sb_status
version_add(keyed *k, segment *const *segments, size_t count)
{
  size_t n = k->live->count, i;
  segment_view *views = mem_alloc(k->host, (n + count) * sizeof *views);
  sb_status status;

  if (views == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < count; i++)
    views[i] = live_view(k, segments[i]);
  memcpy(views + count, k->live->views, n * sizeof *views);
  status = version_set(k, views, n + count);
  mem_free(k->host, views);
  return status;
}

static int
live_is_input(segment *const *inputs, size_t count, const segment *s)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (inputs[i] == s)
      return 1;
  return 0;
}

/* What is left of a view without key groups first..last: up to two views. */
static size_t
live_cut(const segment_view *v, uint32_t first, uint32_t last,
         segment_view *out)
{
  size_t n = 0;

  if (v->key_group_first < first) {
    out[n] = *v;
    if (v->key_group_last >= first)
      out[n].key_group_last = first - 1;
    n++;
  }
  if (v->key_group_last > last) {
    out[n] = *v;
    if (v->key_group_first <= last)
      out[n].key_group_first = last + 1;
    n++;
  }
  return n;
}

sb_status
version_replace(keyed *k, segment *const *inputs, size_t input_count,
                uint32_t first, uint32_t last, segment *const *outputs,
                size_t output_count)
{
  size_t n = 0, i, cap = k->live->count * 2 + output_count;
  segment_view *views = mem_alloc(k->host, cap * sizeof *views);
  sb_status status;

  if (views == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < output_count; i++)
    views[n++] = live_view(k, outputs[i]);
  for (i = 0; i < k->live->count; i++) {
    const segment_view *v = &k->live->views[i];

    if (live_is_input(inputs, input_count, v->segment))
      n += live_cut(v, first, last, views + n);
    else
      views[n++] = *v;
  }
  status = version_set(k, views, n);
  mem_free(k->host, views);
  return status;
}
