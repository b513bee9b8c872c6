/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles whose checkpoints' objects the host deletes. What such a handle
 * writes is private: nobody else knows of it, so nobody else deletes it. A
 * checkpoint hands out copies, and when the host says that it is complete the
 * handle goes over to them and removes its own.
 *
 * The host deletes a copy when no checkpoint that it keeps lists it. So a copy
 * is safe to rely on while the newest complete handout and all later ones list
 * it: whichever of them the host keeps, it keeps the copy. Handouts list all
 * that the handle relies on, be it in their manifest or not, and the handle
 * comes to rely only on what is safe. Runs end in any order, so a handout also
 * lists what one of a higher id reuses: the host completes them by their ids.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/engine/snapshot.h"
#include "host/store/store.h"

#define HOSTED_REMOVALS 256u /* names found dead and removed at once */

typedef struct handout {
  struct handout *next;
  uint64_t checkpoint_id, number;
  size_t count;
  segment *listed[]; /* one reference each */
} handout;

struct hosted {
  handout *handouts;     /* lock; never empty: at first what was restored */
  uint32_t handout_count;
  uint64_t last_number;
  uint64_t complete;     /* the newest checkpoint known to be */
  int sweeping;          /* lock */
  int sweep_again;       /* lock: news came since it began */
  char **dead;           /* where earlier attempts may have left segments */
  size_t dead_count;     /* lock; both are changed by the sweep alone */
};

/* ---- handouts ------------------------------------------------------------ */

int
hosted_is_safe(const keyed *k, const segment *s)
{
  return s->owner == SEGMENT_HOST && s->listed == k->hosted->handout_count;
}

segment *
hosted_safe(keyed *k, segment *s)
{
  segment *best = hosted_is_safe(k, s) ? s : NULL, *t;

  for (t = s->twin; t != NULL && t != s; t = t->twin)
    if (hosted_is_safe(k, t) &&
        (best == NULL || t->copied_for > best->copied_for))
      best = t;
  return best;
}

/* A segment that goes onto a list, and why. */
typedef struct hosted_entry {
  segment *segment;
  int only_held; /* it is no part of the manifest */
} hosted_entry;

static int
hosted_compare(const void *a, const void *b)
{
  const hosted_entry *s = a, *t = b;
  int order = strcmp(s->segment->name, t->segment->name);

  return order != 0 ? order : s->only_held - t->only_held;
}

/* What newer checkpoints reuse, though nothing may rely on it any more. Only
   what was safe is on more than one list. */
static size_t
hosted_gather_reused(const keyed *k, uint64_t checkpoint_id,
                     hosted_entry *list)
{
  const handout *o;
  size_t n = 0, i;

  for (o = k->hosted->handouts; o != NULL; o = o->next)
    for (i = 0; o->checkpoint_id > checkpoint_id && i < o->count; i++)
      if (o->listed[i]->listed > 1)
        list[n++] = (hosted_entry){ o->listed[i], 1 };
  return n;
}

static size_t
hosted_room(const keyed *k, uint64_t checkpoint_id, const draft *d)
{
  size_t n = d == NULL ? 0 : d->view_count;
  const handout *h;
  const sb_snapshot *o;
  const version *v;

  for (v = k->versions; v != NULL; v = v->next)
    n += v->count;
  for (o = k->snapshots; o != NULL; o = o->next)
    n += o->substitute_count;
  for (h = k->hosted->handouts; h != NULL; h = h->next)
    if (h->checkpoint_id > checkpoint_id)
      n += h->count;
  return n;
}

/* With the lock held: views of the manifest, what is relied on, and what is
   reused. */
static hosted_entry *
hosted_gather(const keyed *k, uint64_t checkpoint_id, const draft *d,
              size_t *count)
{
  size_t n = 0, i;
  const sb_snapshot *o;
  const version *v;
  hosted_entry *list = mem_zalloc(k->host, hosted_room(k, checkpoint_id, d) *
                                             sizeof *list);

  if (list == NULL)
    return NULL;
  for (i = 0; d != NULL && i < d->view_count; i++)
    list[n++].segment = d->views[i].segment;
  for (v = k->versions; v != NULL; v = v->next)
    for (i = 0; i < v->count; i++)
      if (hosted_is_safe(k, v->views[i].segment))
        list[n++] = (hosted_entry){ v->views[i].segment, 1 };
  for (o = k->snapshots; o != NULL; o = o->next)
    for (i = 0; i < o->substitute_count; i++)
      if (o->substitutes[i].to != NULL &&
          hosted_is_safe(k, o->substitutes[i].to))
        list[n++] = (hosted_entry){ o->substitutes[i].to, 1 };
  n += hosted_gather_reused(k, checkpoint_id, list + n);
  if (n > 1)
    qsort(list, n, sizeof *list, hosted_compare);
  for (i = 0, *count = 0; i < n; i++)
    if (*count == 0 || list[*count - 1].segment != list[i].segment)
      list[(*count)++] = list[i];
  return list;
}

static handout *
hosted_add(keyed *k, uint64_t checkpoint_id, const hosted_entry *list,
           size_t count)
{
  struct hosted *h = k->hosted;
  handout *o = mem_zalloc(k->host, sizeof *o + count * sizeof o->listed[0]);
  size_t i;

  if (o == NULL)
    return NULL;
  o->checkpoint_id = checkpoint_id;
  o->number = ++h->last_number;
  o->count = count;
  for (i = 0; i < count; i++) {
    o->listed[i] = list[i].segment;
    list[i].segment->refs++;
    list[i].segment->listed++;
  }
  o->next = h->handouts;
  h->handouts = o;
  h->handout_count++;
  return o;
}

sb_status
hosted_hand_out(keyed *k, sb_snapshot *s, draft *d)
{
  size_t count, i;
  hosted_entry *list = hosted_gather(k, s->checkpoint_id, d, &count);
  handout *o = NULL;

  if (list == NULL)
    return SB_NO_MEMORY;
  d->pins = mem_alloc(k->host, count * sizeof *d->pins);
  if (d->pins != NULL)
    o = hosted_add(k, s->checkpoint_id, list, count);
  if (o != NULL) {
    s->handout = o->number;
    for (i = 0; i < count; i++) {
      if (!list[i].only_held)
        continue;
      list[i].segment->refs++;
      d->pins[d->pin_count++] = list[i].segment;
    }
  }
  mem_free(k->host, list);
  return o == NULL ? SB_NO_MEMORY : SB_OK;
}

/* With the lock held. */
static void
hosted_remove(keyed *k, handout **at)
{
  handout *o = *at;
  size_t i;

  *at = o->next;
  k->hosted->handout_count--;
  for (i = 0; i < o->count; i++) {
    o->listed[i]->listed--;
    version_unref_segment(k, o->listed[i]);
  }
  mem_free(k->host, o);
}

void
hosted_start(keyed *k, sb_snapshot *s)
{
  if (s->kind == SB_SNAPSHOT_SAVEPOINT)
    return;
  s->handout = 0;
  cut_forget(k, s);
}

void
hosted_give_up(keyed *k, sb_snapshot *s)
{
  handout **at;
  size_t i;

  if (s->kind == SB_SNAPSHOT_SAVEPOINT)
    return;
  keyed_lock(k);
  for (at = &k->hosted->handouts; *at != NULL; at = &(*at)->next)
    if ((*at)->number == s->handout) {
      hosted_remove(k, at);
      break;
    }
  s->handout = 0;
  for (i = 0; i < s->substitute_count; i++)
    if (s->substitutes[i].is_new && s->substitutes[i].to != NULL)
      s->substitutes[i].to->published = 0;
  keyed_unlock(k);
  cut_forget(k, s);
}

/* ---- what is nobody's any more ------------------------------------------- */

/* What could not be removed is tried again with the next notification. */
static void
hosted_sweep(keyed *k, dropped_name *list)
{
  size_t count = 0, i;
  const char **names;
  sb_status *statuses;
  dropped_name *d;

  for (d = list; d != NULL; d = d->next)
    count++;
  names = mem_alloc(k->host, count * sizeof *names);
  statuses = mem_alloc(k->host, count * sizeof *statuses);
  if (names != NULL && statuses != NULL) {
    for (d = list, i = 0; d != NULL; d = d->next, i++) {
      names[i] = d->name;
      statuses[i] = SB_UNKNOWN;
    }
    (void)store_remove(k->host, k->engine->store, names, count, statuses,
                       NULL);
  }
  for (i = 0; list != NULL; i++) {
    d = list;
    list = d->next;
    if (names != NULL && statuses != NULL && statuses[i] == SB_OK) {
      mem_free(k->host, d->name);
      mem_free(k->host, d);
      continue;
    }
    keyed_lock(k);
    d->next = k->dropped;
    k->dropped = d;
    keyed_unlock(k);
  }
  mem_free(k->host, (void *)names);
  mem_free(k->host, statuses);
}

/* What earlier attempts have left. */
typedef struct hosted_walk {
  keyed *keyed;
  char *names[HOSTED_REMOVALS];
  size_t count;
  sb_status status; /* of the first removal that failed */
} hosted_walk;

static void
hosted_remove_found(hosted_walk *w)
{
  keyed *k = w->keyed;
  sb_status status = SB_OK;
  size_t i;

  if (w->count != 0)
    status = store_remove(k->host, k->engine->store,
                          (const char *const *)w->names, w->count, NULL, NULL);
  if (w->status == SB_OK)
    w->status = status;
  for (i = 0; i < w->count; i++)
    mem_free(k->host, w->names[i]);
  w->count = 0;
}

static sb_status
hosted_found(void *arg, const sb_store_entry *entry, sb_error *err)
{
  hosted_walk *w = arg;
  keyed *k = w->keyed;
  path_info info = paths_parse(&k->engine->paths, k->job, entry->name);

  if (keyed_stopping(k))
    return sb_error_set(err, SB_CANCELLED, "the handle is closing");
  if (info.kind != PATH_SEGMENT || info.generation >= k->generation)
    return SB_OK;
  w->names[w->count] = mem_strdup(k->host, entry->name);
  if (w->names[w->count] == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not list: no memory");
  if (++w->count == HOSTED_REMOVALS)
    hosted_remove_found(w);
  return SB_OK;
}

/* Where something may be left is looked at again with the next
   notification. */
static void
hosted_bury(keyed *k)
{
  struct hosted *h = k->hosted;
  hosted_walk *w = mem_zalloc(k->host, sizeof *w);
  size_t left = 0, i;
  sb_status status;

  for (i = 0; w != NULL && i < h->dead_count; i++) {
    w->keyed = k;
    w->status = SB_OK;
    status = store_list(k->host, k->engine->store, h->dead[i], NULL,
                        hosted_found, w, NULL);
    hosted_remove_found(w);
    if (status == SB_OK && w->status == SB_OK)
      mem_free(k->host, h->dead[i]);
    else
      h->dead[left++] = h->dead[i];
  }
  if (w == NULL)
    return;
  mem_free(k->host, w);
  keyed_lock(k);
  h->dead_count = left;
  keyed_unlock(k);
}

static void
hosted_sweep_task(void *arg)
{
  keyed *k = arg;
  struct hosted *h = k->hosted;
  dropped_name *list;
  int again;

  do {
    hosted_bury(k);
    keyed_lock(k);
    list = k->dropped;
    k->dropped = NULL;
    keyed_unlock(k);
    if (list != NULL)
      hosted_sweep(k, list);
    keyed_lock(k);
    again = h->sweep_again && !keyed_stopping(k);
    h->sweep_again = 0;
    h->sweeping = again;
    keyed_unlock(k);
  } while (again);
  keyed_task_done(k);
}

static void
hosted_schedule_sweep(keyed *k)
{
  struct hosted *h = k->hosted;
  int start;

  keyed_lock(k);
  h->sweep_again = h->sweeping;
  start = !h->sweeping && !keyed_stopping(k) &&
          (k->dropped != NULL || h->dead_count != 0);
  h->sweeping |= start;
  keyed_unlock(k);
  if (!start ||
      keyed_task(k, SB_LANE_BACKGROUND, hosted_sweep_task, NULL) == SB_OK)
    return;
  keyed_lock(k);
  h->sweeping = 0;
  keyed_unlock(k);
}

/* ---- fate ---------------------------------------------------------------- */

/* With the lock held: the live version goes over to the newest safe copies.
   Without memory it stays as it is until the next time. */
static void
hosted_switch(keyed *k)
{
  size_t n = k->live->count, i;
  segment_view *views = mem_dup(k->host, k->live->views, n * sizeof *views);
  int changed = 0;

  if (views == NULL)
    return;
  for (i = 0; i < n; i++) {
    segment *to = hosted_safe(k, views[i].segment);

    if (to == NULL || to == views[i].segment)
      continue;
    views[i].segment = to;
    changed = 1;
  }
  if (changed)
    (void)version_set(k, views, n);
  mem_free(k->host, views);
}

/* With the lock held. */
static void
hosted_complete(keyed *k, uint64_t id)
{
  struct hosted *h = k->hosted;
  handout **at = &h->handouts;
  const handout *o;

  for (o = h->handouts; o != NULL && o->checkpoint_id != id; o = o->next)
    ;
  if (o == NULL || id <= h->complete)
    return; /* a savepoint, or old news */
  h->complete = id;
  while (*at != NULL)
    if ((*at)->checkpoint_id < id)
      hosted_remove(k, at);
    else
      at = &(*at)->next;
  hosted_switch(k);
}

/* With the lock held. */
static void
hosted_aborted(keyed *k, uint64_t id)
{
  handout **at = &k->hosted->handouts;

  if (id <= k->hosted->complete)
    return;
  while (*at != NULL)
    if ((*at)->checkpoint_id == id)
      hosted_remove(k, at);
    else
      at = &(*at)->next;
}

void
hosted_notify(keyed *k, uint32_t what, uint64_t checkpoint_id)
{
  keyed_lock(k);
  if (what == SB_NOTIFY_COMPLETE)
    hosted_complete(k, checkpoint_id);
  else if (what == SB_NOTIFY_ABORTED)
    hosted_aborted(k, checkpoint_id);
  keyed_unlock(k);
  (void)keyed_enter(k, NULL); /* lets the old version go */
  hosted_schedule_sweep(k);
}

/* ---- open ---------------------------------------------------------------- */

/* The file part of private names: the subtask is part of the operator. */
static sb_status
hosted_operator(const keyed *k, uint32_t subtask, char *out, size_t size,
                sb_error *err)
{
  char part[PATH_PART_MAX + 1];
  int len = snprintf(out, size, "%s.s%u", k->operator_id, (unsigned)subtask);

  if (len < 0 || (size_t)len >= size)
    return sb_error_set(err, SB_TOO_LARGE, "cannot open operator \"%.100s\": "
                        "its name is too long", k->operator_id);
  return paths_encode_part(out, (size_t)len, part, sizeof part, err);
}

/* Where a subtask's private segments are. */
static sb_status
hosted_add_dead(keyed *k, uint32_t subtask, sb_error *err)
{
  struct hosted *h = k->hosted;
  char prefix[PATH_SIZE], name[PATH_PART_MAX + 1], part[PATH_PART_MAX + 1];
  sb_status status = hosted_operator(k, subtask, name, sizeof name, err);
  size_t len, i;

  if (status == SB_OK)
    status = paths_segments_prefix(&k->engine->paths, k->job, prefix, err);
  if (status == SB_OK)
    status = paths_encode_part(name, strlen(name), part, sizeof part, err);
  if (status != SB_OK)
    return status;
  len = strlen(prefix);
  if (len + strlen(part) + 2 > sizeof prefix)
    return sb_error_set(err, SB_TOO_LARGE, "cannot open operator \"%.100s\": "
                        "its segments' names are too long", k->operator_id);
  (void)snprintf(prefix + len, sizeof prefix - len, "%s/", part);
  for (i = 0; i < h->dead_count; i++)
    if (strcmp(h->dead[i], prefix) == 0)
      return SB_OK;
  h->dead[h->dead_count] = mem_strdup(k->host, prefix);
  if (h->dead[h->dead_count] == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open state: no memory");
  h->dead_count++;
  return SB_OK;
}

/* Its own, and those of whose parts are restored. */
static sb_status
hosted_find_dead(keyed *k, const sb_keyed_options *options, sb_error *err)
{
  struct hosted *h = k->hosted;
  sb_status status;
  uint64_t i;

  h->dead = mem_alloc(k->host, ((size_t)options->part_count + 1) *
                                 sizeof *h->dead);
  if (h->dead == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open state: no memory");
  status = hosted_add_dead(k, k->subtask, err);
  for (i = 0; i < options->part_count && status == SB_OK; i++) {
    const sb_part *part = &options->parts[i];
    const char *name = part->operator_id == NULL ? "" : part->operator_id;

    if (strcmp(name, k->operator_id) == 0)
      status = hosted_add_dead(k, part->subtask, err);
  }
  return status;
}

sb_status
hosted_open(keyed *k, const sb_keyed_options *options, sb_error *err)
{
  char name[PATH_PART_MAX + 1];
  hosted_entry *list;
  sb_status status = hosted_operator(k, k->subtask, name, sizeof name, err);
  size_t count;
  handout *o = NULL;

  if (status != SB_OK)
    return status;
  mem_free(k->host, k->segment_operator);
  k->segment_operator = mem_strdup(k->host, name);
  k->hosted = mem_zalloc(k->host, sizeof *k->hosted);
  if (k->segment_operator == NULL || k->hosted == NULL)
    goto no_memory;
  keyed_lock(k);
  list = hosted_gather(k, 0, NULL, &count);
  if (list != NULL)
    o = hosted_add(k, 0, list, count);
  keyed_unlock(k);
  mem_free(k->host, list);
  if (o == NULL)
    goto no_memory;
  if (k->flags & SB_OPEN_READ_ONLY)
    return SB_OK;
  status = hosted_find_dead(k, options, err);
  if (status == SB_OK)
    hosted_schedule_sweep(k);
  return status;
no_memory:
  return sb_error_set(err, SB_NO_MEMORY, "could not open state: no memory");
}

void
hosted_free(keyed *k)
{
  struct hosted *h = k->hosted;
  size_t i;

  if (h == NULL)
    return;
  keyed_lock(k);
  while (h->handouts != NULL)
    hosted_remove(k, &h->handouts);
  keyed_unlock(k);
  for (i = 0; i < h->dead_count; i++)
    mem_free(k->host, h->dead[i]);
  mem_free(k->host, h->dead);
  mem_free(k->host, h);
  k->hosted = NULL;
}
