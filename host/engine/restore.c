/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a handle on the parts of a checkpoint: any number of them, cut to
 * the handle's key groups. Only manifests are read; data comes on first use.
 */
#include "config.h"

#include "host/engine/keyed.h"
#include "host/engine/manifest.h"

typedef struct restore {
  keyed *keyed;
  segment_view *views;
  size_t count, cap;
} restore;

static sb_status
restore_states(keyed *k, const manifest *m, sb_error *err)
{
  size_t i;

  for (i = 0; i < m->state_count; i++) {
    sb_status status = keyed_state_restore(k, &m->states[i], err);

    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

/* Parts of sibling subtasks may share a segment: one object in memory. */
static segment *
restore_known(const restore *r, const manifest_segment *ms)
{
  size_t i;

  for (i = 0; i < r->count; i++) {
    segment *s = r->views[i].segment;

    if (strcmp(s->name, ms->name) == 0 &&
        (s->root == NULL) == (ms->root == NULL))
      return s;
  }
  return NULL;
}

static segment *
restore_segment(keyed *k, const manifest_segment *ms)
{
  segment *s = mem_zalloc(k->host, sizeof *s);

  if (s == NULL)
    return NULL;
  s->number = atomic_fetch_add(&k->engine->next_segment, 1);
  s->owner = k->flags & SB_OPEN_NO_CLAIM ? SEGMENT_FOREIGN : ms->owner;
  s->info = ms->info;
  s->sequence = ms->sequence;
  s->published = 1;
  s->name = mem_strdup(k->host, ms->name);
  s->root = ms->root == NULL ? NULL : mem_strdup(k->host, ms->root);
  s->times.data = mem_dup(k->host, ms->times.data, ms->times.len);
  if (s->times.data != NULL)
    s->times.len = ms->times.len;
  if (s->name != NULL && (ms->root == NULL || s->root != NULL))
    return s;
  mem_free(k->host, (void *)(uintptr_t)s->times.data);
  mem_free(k->host, s->name);
  mem_free(k->host, s->root);
  mem_free(k->host, s);
  return NULL;
}

static sb_status
restore_view(restore *r, const manifest_segment *ms, uint32_t first,
             uint32_t last)
{
  keyed *k = r->keyed;
  segment *s;

  if (r->count == r->cap) {
    size_t cap = r->cap == 0 ? 16 : r->cap * 2;
    segment_view *views = mem_realloc(k->host, r->views, cap * sizeof *views);

    if (views == NULL)
      return SB_NO_MEMORY;
    r->views = views;
    r->cap = cap;
  }
  s = restore_known(r, ms);
  if (s == NULL)
    s = restore_segment(k, ms);
  if (s == NULL)
    return SB_NO_MEMORY;
  r->views[r->count].segment = s;
  r->views[r->count].key_group_first = first;
  r->views[r->count++].key_group_last = last;
  return SB_OK;
}

static sb_status
restore_views(restore *r, const manifest *m, sb_error *err)
{
  const keyed *k = r->keyed;
  size_t i;

  for (i = 0; i < m->segment_count; i++) {
    const manifest_segment *ms = &m->segments[i];
    uint32_t first = ms->key_group_first, last = ms->key_group_last;

    if (first < k->key_group_first)
      first = k->key_group_first;
    if (last > k->key_group_last)
      last = k->key_group_last;
    if (first > last)
      continue;
    if (ms->root != NULL)
      return sb_error_set(err, SB_UNSUPPORTED, "cannot restore segment "
                          "\"%s\": it is in another store, \"%s\"; copy the "
                          "savepoint into this one first", ms->name, ms->root);
    if (restore_view(r, ms, first, last) != SB_OK)
      return sb_error_set(err, SB_NO_MEMORY,
                          "could not restore segment \"%s\": no memory",
                          ms->name);
  }
  return SB_OK;
}

static sb_status
restore_part(restore *r, const sb_part *part, sb_error *err)
{
  keyed *k = r->keyed;
  manifest *m = NULL;
  sb_status status;

  status = manifest_read(k->host, k->engine->store, part, &m, err);
  if (status != SB_OK)
    return status;
  if (m->key_group_count != k->key_group_count) {
    status = sb_error_set(err, SB_MISMATCH, "cannot restore checkpoint %llu "
                          "with a maximum parallelism of %u: it was taken "
                          "with %u", (unsigned long long)m->checkpoint_id,
                          (unsigned)k->key_group_count,
                          (unsigned)m->key_group_count);
    goto out;
  }
  status = restore_states(k, m, err);
  if (status == SB_OK)
    status = restore_views(r, m, err);
  if (m->epoch >= k->epoch)
    k->epoch = m->epoch + 1;
  if (m->list_sequence > k->list_sequence)
    k->list_sequence = m->list_sequence;
  if (m->next_sequence > atomic_load(&k->next_sequence))
    atomic_store(&k->next_sequence, m->next_sequence);
out:
  manifest_free(k->host, m);
  return status;
}

/* Segments that did not get into a version have no reference. */
static void
restore_discard(restore *r)
{
  size_t i, j;

  for (i = 0; i < r->count; i++) {
    segment *s = r->views[i].segment;

    if (s == NULL || s->refs != 0)
      continue;
    for (j = i + 1; j < r->count; j++)
      if (r->views[j].segment == s)
        r->views[j].segment = NULL;
    mem_free(r->keyed->host, s->name);
    mem_free(r->keyed->host, s->root);
    mem_free(r->keyed->host, (void *)(uintptr_t)s->times.data);
    mem_free(r->keyed->host, s);
  }
}

sb_status
restore_parts(keyed *k, const sb_keyed_options *options, sb_error *err)
{
  restore r = { k, NULL, 0, 0 };
  sb_status status = SB_OK;
  uint64_t i;

  for (i = 0; i < options->part_count && status == SB_OK; i++) {
    const sb_part *part = &options->parts[i];
    const char *operator_id = part->operator_id == NULL ? ""
                                                        : part->operator_id;

    if (strcmp(operator_id, k->operator_id) != 0 ||
        part->key_group_first > k->key_group_last ||
        part->key_group_last < k->key_group_first)
      continue;
    status = restore_part(&r, part, err);
  }
  if (status == SB_OK && r.count != 0) {
    keyed_lock(k);
    status = version_set(k, r.views, r.count);
    keyed_unlock(k);
    if (status != SB_OK)
      (void)sb_error_set(err, status, "could not restore %zu segments: %s",
                         r.count, sb_status_name(status));
  }
  restore_discard(&r);
  mem_free(k->host, r.views);
  return status;
}
