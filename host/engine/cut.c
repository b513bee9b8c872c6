/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a manifest names for the segments of its cut. A checkpoint names them
 * as they are, but for those that are not this job's to keep; a full one
 * shares none with earlier checkpoints; a savepoint shares none at all; and
 * where the host deletes objects, only what it was told of is named. What may
 * not be named is copied.
 */
#include "config.h"

#include <stdlib.h>

#include "host/engine/adopt.h"
#include "host/engine/snapshot.h"

/* ---- which segments ------------------------------------------------------ */

static int
cut_compare(const void *a, const void *b)
{
  const segment *s = *(segment *const *)a, *t = *(segment *const *)b;

  return s->number < t->number ? -1 : s->number > t->number;
}

/* With the lock held: each segment of the cut once, by number. */
static segment **
cut_segments(const keyed *k, const sb_snapshot *s, size_t *count)
{
  size_t all = s->base->count + s->extra_count, n = 0, i;
  segment **list = mem_alloc(k->host, all * sizeof *list);

  if (list == NULL)
    return NULL;
  for (i = 0; i < s->base->count; i++)
    list[n++] = s->base->views[i].segment;
  for (i = 0; i < s->extra_count; i++)
    list[n++] = s->extra[i].segment;
  if (n > 1)
    qsort(list, n, sizeof *list, cut_compare);
  for (i = 0, *count = 0; i < n; i++)
    if (*count == 0 || list[*count - 1] != list[i])
      list[(*count)++] = list[i];
  return list;
}

static int
cut_has(const sb_snapshot *s, const segment *g)
{
  size_t i;

  for (i = 0; i < s->base->count; i++)
    if (s->base->views[i].segment == g)
      return 1;
  for (i = 0; i < s->extra_count; i++)
    if (s->extra[i].segment == g)
      return 1;
  return 0;
}

/* Neither an earlier checkpoint names it nor one that may still be made. */
static int
cut_is_fresh(const keyed *k, const sb_snapshot *s, const segment *g)
{
  const sb_snapshot *o;

  if (!g->own || g->owner != SEGMENT_ENGINE ||
      (g->first_named != 0 && g->first_named < s->checkpoint_id))
    return 0;
  for (o = k->snapshots; o != NULL; o = o->next)
    if (!o->is_view && o->epoch < s->epoch &&
        o->kind != SB_SNAPSHOT_SAVEPOINT && cut_has(o, g))
      return 0;
  return 1;
}

/* The segment itself, or a copy of it, that the manifest may name; NULL if
   there is none. */
static segment *
cut_usable(keyed *k, const sb_snapshot *s, segment *g)
{
  segment *best = NULL, *t;

  if (s->kind == SB_SNAPSHOT_SAVEPOINT)
    return NULL;
  if (keyed_host_owned(k))
    return s->kind == SB_SNAPSHOT_FULL ? NULL : hosted_safe(k, g);
  if (s->kind == SB_SNAPSHOT_FULL)
    return cut_is_fresh(k, s, g) ? g : NULL;
  if (g->owner == SEGMENT_ENGINE)
    return g;
  for (t = g->twin; t != NULL && t != g; t = t->twin)
    if (t->owner == SEGMENT_ENGINE && t->adopted &&
        t->copied_for <= s->epoch &&
        (best == NULL || t->copied_for > best->copied_for))
      best = t;
  return best;
}

/* The substitutes that are known, and room for those to be copied. */
static sb_status
cut_plan(keyed *k, sb_snapshot *s)
{
  size_t count = 0, n = 0, i;
  segment **list = cut_segments(k, s, &count);
  substitute *out = mem_zalloc(k->host, count * sizeof *out);

  if (list == NULL || out == NULL) {
    mem_free(k->host, list);
    mem_free(k->host, out);
    return SB_NO_MEMORY;
  }
  for (i = 0; i < count; i++) {
    segment *to = cut_usable(k, s, list[i]);

    if (to == list[i])
      continue;
    out[n].from = list[i];
    out[n].is_new = to == NULL;
    out[n].to = to;
    if (to != NULL)
      to->refs++;
    n++;
  }
  s->substitutes = out;
  s->substitute_count = n;
  mem_free(k->host, list);
  return SB_OK;
}

/* ---- copies -------------------------------------------------------------- */

static sb_status
cut_name(keyed *k, const sb_snapshot *s, char *name, sb_error *err)
{
  const paths *p = &k->engine->paths;
  uint64_t sequence = atomic_fetch_add(&k->next_sequence, 1);
  uint64_t random = k->host->random(k->host);
  char file[PATH_SIZE];
  sb_status status;

  if (s->kind == SB_SNAPSHOT_SAVEPOINT) {
    status = paths_segment_file(p, k->generation, sequence, random, file, err);
    return status != SB_OK ? status
                           : paths_savepoint_file(p, k->job, s->savepoint,
                                                  file, name, err);
  }
  if (keyed_host_owned(k))
    return paths_shared(p, k->job, k->operator_id, k->generation, sequence,
                        random, name, err);
  return paths_segment(p, k->job, k->segment_operator, k->generation, sequence,
                       random, name, err);
}

/* One that nobody else has. */
static void
cut_free_copy(keyed *k, segment *s)
{
  mem_free(k->host, s->name);
  mem_free(k->host, (void *)(uintptr_t)s->times.data);
  mem_free(k->host, s);
}

/* The same bytes, of the same recency, under another name. */
static segment *
cut_copy_of(keyed *k, const sb_snapshot *s, const segment *from,
            const char *name)
{
  segment *to = mem_zalloc(k->host, sizeof *to);

  if (to == NULL)
    return NULL;
  to->refs = 1;
  to->number = from->number;
  if (s->kind == SB_SNAPSHOT_SAVEPOINT) {
    to->owner = SEGMENT_FOREIGN; /* it is the savepoint's */
  } else {
    to->owner = keyed_host_owned(k) ? SEGMENT_HOST : SEGMENT_ENGINE;
    to->own = 1;
  }
  to->info = from->info;
  to->sequence = from->sequence;
  to->copied_for = s->epoch;
  to->name = mem_strdup(k->host, name);
  to->times.data = mem_dup(k->host, from->times.data, from->times.len);
  if (to->times.data != NULL)
    to->times.len = from->times.len;
  if (to->name != NULL)
    return to;
  cut_free_copy(k, to);
  return NULL;
}

static sb_status
cut_prepare(keyed *k, const sb_snapshot *s, segment **copies, adoption *list,
            sb_error *err)
{
  char name[PATH_SIZE];
  size_t i, n = 0;

  for (i = 0; i < s->substitute_count; i++) {
    const segment *from = s->substitutes[i].from;
    sb_status status;

    if (!s->substitutes[i].is_new)
      continue;
    if (from->root != NULL)
      return sb_error_set(err, SB_UNSUPPORTED, "cannot copy segment \"%s\" of "
                          "another store, \"%s\"", from->name, from->root);
    status = cut_name(k, s, name, err);
    if (status != SB_OK)
      return status;
    copies[n] = cut_copy_of(k, s, from, name);
    if (copies[n] == NULL)
      return sb_error_set(err, SB_NO_MEMORY, "could not copy segment \"%s\": "
                          "no memory", from->name);
    list[n].source = from->name;
    list[n].name = copies[n]->name;
    list[n].size = from->info.size;
    list[n].crc32c = from->info.crc32c;
    n++;
  }
  return SB_OK;
}

static void
cut_take_copies(keyed *k, sb_snapshot *s, segment **copies)
{
  size_t i, n = 0;

  keyed_lock(k);
  for (i = 0; i < s->substitute_count; i++) {
    substitute *u = &s->substitutes[i];

    if (!u->is_new)
      continue;
    u->to = copies[n++];
    if (s->kind != SB_SNAPSHOT_SAVEPOINT)
      segment_join(u->from, u->to);
  }
  keyed_unlock(k);
}

/* Names that could not be removed are tried again later, but those in a
   savepoint's directory, where only the savepoint's owner removes. */
static void
cut_discard(keyed *k, const sb_snapshot *s, segment **copies,
            const adoption *list, size_t count)
{
  size_t i;

  for (i = 0; i < count && copies[i] != NULL; i++) {
    if (list[i].begun && s->kind != SB_SNAPSHOT_SAVEPOINT) {
      keyed_lock(k);
      version_drop_name(k, copies[i]->name, 0);
      keyed_unlock(k);
      copies[i]->name = NULL;
    }
    cut_free_copy(k, copies[i]);
  }
}

static size_t
cut_new_count(const sb_snapshot *s)
{
  size_t n = 0, i;

  for (i = 0; i < s->substitute_count; i++)
    n += s->substitutes[i].is_new != 0;
  return n;
}

static sb_status
cut_copy(keyed *k, sb_snapshot *s, sb_error *err)
{
  size_t count = cut_new_count(s);
  segment **copies = mem_zalloc(k->host, count * sizeof *copies);
  adoption *list = mem_zalloc(k->host, count * sizeof *list);
  sb_status status;

  if (copies == NULL || list == NULL) {
    status = sb_error_set(err, SB_NO_MEMORY,
                          "could not copy %zu segments: no memory", count);
    goto out;
  }
  status = cut_prepare(k, s, copies, list, err);
  if (status == SB_OK)
    status = adopt_objects(k, s->event, &s->cancelled, list, count, err);
  if (status == SB_OK)
    cut_take_copies(k, s, copies);
  else
    cut_discard(k, s, copies, list, count);
out:
  mem_free(k->host, copies);
  mem_free(k->host, list);
  return status;
}

sb_status
cut_adopt(keyed *k, sb_snapshot *s, sb_error *err)
{
  sb_status status;

  /* A repeated run goes on with the copies of the last one, unless somebody
     else may have removed them: hosted_start has forgotten the host's. */
  if (s->kind == SB_SNAPSHOT_SAVEPOINT && s->handed_out) {
    cut_remove(k, s);
    cut_forget(k, s);
  }
  if (s->substitutes != NULL)
    return SB_OK;
  keyed_lock(k);
  status = cut_plan(k, s);
  keyed_unlock(k);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not run snapshot %llu: no memory",
                        (unsigned long long)s->checkpoint_id);
  if (cut_new_count(s) != 0)
    status = cut_copy(k, s, err);
  if (status != SB_OK)
    cut_forget(k, s);
  return status;
}

void
cut_forget(keyed *k, sb_snapshot *s)
{
  size_t i;

  keyed_lock(k);
  for (i = 0; i < s->substitute_count; i++) {
    segment *to = s->substitutes[i].to;

    if (to == NULL)
      continue;
    if (s->kind == SB_SNAPSHOT_SAVEPOINT)
      cut_free_copy(k, to);
    else
      version_unref_segment(k, to);
  }
  mem_free(k->host, s->substitutes);
  s->substitutes = NULL;
  s->substitute_count = 0;
  keyed_unlock(k);
}

void
cut_remove(keyed *k, sb_snapshot *s)
{
  size_t n = 0, i;
  adoption *list = mem_zalloc(k->host, s->substitute_count * sizeof *list);

  if (list == NULL)
    return;
  for (i = 0; i < s->substitute_count; i++)
    if (s->substitutes[i].to != NULL) {
      list[n].name = s->substitutes[i].to->name;
      list[n++].begun = 1;
    }
  if (n != 0)
    adopt_remove(k, list, n);
  mem_free(k->host, list);
}
