/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live version of a handle and what hangs off it. A segment that nothing
 * uses any more becomes a dropped name if this handle wrote it; others are
 * just forgotten, their checkpoints name them.
 */
#include "config.h"

#include <stdlib.h>

#include "host/engine/keyed.h"

void
version_drop_name(keyed *k, char *name, int published)
{
  dropped_name *d = mem_zalloc(k->host, sizeof *d);

  if (d == NULL) {
    mem_free(k->host, name); /* the next generation finds it as an orphan */
    return;
  }
  d->name = name;
  d->published = published;
  d->next = k->dropped;
  k->dropped = d;
}

/* ---- copies -------------------------------------------------------------- */

/* An unlinked segment is a ring of its own, with NULL. */
static segment *
segment_next(segment *s)
{
  return s->twin == NULL ? s : s->twin;
}

void
segment_join(segment *s, segment *copy)
{
  copy->twin = segment_next(s);
  s->twin = copy;
  atomic_store(&copy->directory, atomic_load(&s->directory));
  atomic_store(&copy->left_alone, atomic_load(&s->left_alone));
}

/* Leaves the ring. *shared: another one uses the same directory. Returns 1 if
   another one uses the same blocks. */
static int
segment_leave(segment *s, int *shared)
{
  const segment_directory *d = atomic_load(&s->directory);
  segment *last = s, *t;

  *shared = 0;
  for (t = segment_next(s); t != s; t = segment_next(t)) {
    *shared |= d != NULL && atomic_load(&t->directory) == d;
    last = t;
  }
  if (last == s)
    return 0;
  last->twin = s->twin == last ? NULL : s->twin;
  s->twin = NULL;
  return 1;
}

static int
substitute_compare(const void *a, const void *b)
{
  const substitute *s = a, *t = b;

  return s->from->number < t->from->number ? -1
                                           : s->from->number > t->from->number;
}

const substitute *
substitute_find(const substitute *list, size_t count, const segment *s)
{
  substitute key = { (segment *)(uintptr_t)s, NULL, 0 };

  return count == 0 ? NULL
                    : bsearch(&key, list, count, sizeof *list,
                              substitute_compare);
}

/* ---- references ---------------------------------------------------------- */

/* Objects that the host knows of are the host's to delete. */
static int
live_is_ours(const segment *s)
{
  return s->own && !(s->owner == SEGMENT_HOST && s->published);
}

void
version_unref_segment(keyed *k, segment *s)
{
  int shared;

  if (--s->refs != 0)
    return;
  if (!segment_leave(s, &shared))
    cache_drop(k->engine->cache, s->number);
  if (live_is_ours(s)) {
    version_drop_name(k, s->name, s->published);
    s->name = NULL;
  }
  if (s->directory != NULL && !shared) {
    engine_release(k->engine, segment_directory_memory(s->directory));
    segment_directory_free(k->host, s->directory);
  }
  mem_free(k->host, s->name);
  mem_free(k->host, s->root);
  mem_free(k->host, (void *)(uintptr_t)s->times.data);
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
    if (segment_same(inputs[i], s))
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

sb_status
version_adopt(keyed *k, const substitute *list, size_t count)
{
  size_t n = k->live->count, i;
  segment_view *views = mem_dup(k->host, k->live->views, n * sizeof *views);
  const substitute *found;
  sb_status status;
  int changed = 0;

  if (views == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < n; i++) {
    found = substitute_find(list, count, views[i].segment);
    if (found == NULL || found->to->copied_for <= views[i].segment->copied_for)
      continue;
    views[i].segment = found->to;
    changed = 1;
  }
  status = changed ? version_set(k, views, n) : SB_OK;
  mem_free(k->host, views);
  if (status != SB_OK)
    return status;
  for (i = 0; i < count; i++)
    list[i].to->adopted = 1;
  return SB_OK;
}
