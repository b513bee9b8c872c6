/* SPDX-License-Identifier: Apache-2.0 */
/* See host_manager.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "host_manager.h"

/* ---- what must be there -------------------------------------------------- */

unsigned
manager_missing(const manager *m)
{
  unsigned missing = 0;
  uint32_t i, h;

  for (h = 0; h < m->handles; h++)
    missing += segments_missing(m->k[h]);
  for (i = 0; i < m->retained_count; i++)
    for (h = 0; h < m->retained[i]->handles; h++)
      missing += part_missing(m->retained[i]->parts[h]);
  return missing;
}

static int
manager_retains(const manager *m, const char *name)
{
  uint32_t i, h;

  for (i = 0; i < m->retained_count; i++)
    for (h = 0; h < m->retained[i]->handles; h++)
      if (kept_part_names(m->retained[i]->parts[h], name))
        return 1;
  return 0;
}

static void
manager_count_needless(void *arg, const char *name)
{
  static unsigned told;
  unsigned *n = ((void **)arg)[1];

  if (manager_retains(((void **)arg)[0], name))
    return;
  (*n)++;
  if (told++ < 10)
    tap_note("nobody needs \"%s\"", name);
}

/* ---- the host's side ----------------------------------------------------- */

void
manager_discard(const manager *m, const kept_part *p)
{
  uint32_t i;

  for (i = 0; p != NULL && i < p->part.object_count; i++)
    if (!manager_retains(m, p->names[i]))
      object_remove(p->names[i]);
}

static void
manager_tell(manager *m, uint32_t what, uint64_t id)
{
  uint32_t h;

  for (h = 0; h < m->handles; h++) {
    if (m->news_count == MANAGER_NEWS || draw(6) == 0)
      continue; /* it is lost */
    m->news[m->news_count].handle = h;
    m->news[m->news_count].what = what;
    m->news[m->news_count++].id = id;
  }
}

static void
manager_deliver(manager *m)
{
  uint32_t i, h;

  if (m->news_count == 0)
    return;
  i = draw(m->news_count);
  h = m->news[i].handle;
  check_ok(m->k[h]->ops->notify(m->k[h], m->news[i].what, m->news[i].id,
                                &err));
  if (draw(5) != 0)
    m->news[i] = m->news[--m->news_count];
}

void
manager_free_checkpoint(manager *m, manager_checkpoint *c)
{
  uint32_t h;

  for (h = 0; h < c->handles; h++) {
    if (c->snapshots[h] != NULL)
      m->k[h]->ops->snapshot_free(m->k[h], c->snapshots[h]);
    kept_part_free(c->parts[h]);
  }
  free(c);
}

static void
manager_abort(manager *m, manager_checkpoint *c)
{
  uint32_t h;

  if (c->aborted)
    return;
  c->aborted = 1;
  for (h = 0; h < c->handles; h++) {
    manager_discard(m, c->parts[h]);
    kept_part_free(c->parts[h]);
    c->parts[h] = NULL;
  }
  manager_tell(m, SB_NOTIFY_ABORTED, c->id);
}

/* Takes it out of those that are open. */
static void
manager_close_at(manager *m, uint32_t at)
{
  memmove(&m->open[at], &m->open[at + 1],
          (m->open_count - at - 1) * sizeof m->open[0]);
  m->open_count--;
}

manager_checkpoint *
manager_trigger(manager *m, uint32_t kind)
{
  manager_checkpoint *c = calloc(1, sizeof *c);
  char name[24];
  uint32_t h;

  c->id = m->next_id++;
  c->kind = kind;
  c->handles = m->handles;
  c->at = m->c;
  snprintf(name, sizeof name, "s%u", (unsigned)c->id);
  for (h = 0; h < m->handles; h++)
    c->snapshots[h] = begin_kind(m->k[h], c->id, c->kind, name);
  m->open[m->open_count++] = c;
  return c;
}

static void
manager_begin(manager *m)
{
  uint32_t which;

  if (m->open_count == MANAGER_OPEN)
    return;
  which = draw(8);
  (void)manager_trigger(m, which == 0 ? SB_SNAPSHOT_SAVEPOINT
                           : which == 1 ? SB_SNAPSHOT_FULL
                                        : SB_SNAPSHOT_CHECKPOINT);
}

static sb_keyed *
manager_open_handle(manager *m, const manager_checkpoint *from, uint32_t h,
                    uint32_t handles, uint32_t flags, uint64_t generation);

unsigned
manager_wrong(manager *m, const manager_checkpoint *c)
{
  sb_keyed *k = manager_open_handle(m, c, 0, 1, SB_OPEN_READ_ONLY, 1000);
  unsigned wrong = content_wrong(k, &c->at);

  k->ops->close(k);
  return wrong;
}

static int
manager_is_whole(const manager_checkpoint *c)
{
  uint32_t h;

  for (h = 0; h < c->handles; h++)
    if (c->parts[h] == NULL)
      return 0;
  return 1;
}

void
manager_subsume(manager *m)
{
  manager_checkpoint *c;
  uint32_t h;

  while (m->retained_count > m->retain) {
    c = m->retained[--m->retained_count];
    for (h = 0; h < c->handles; h++)
      manager_discard(m, c->parts[h]);
    manager_tell(m, SB_NOTIFY_SUBSUMED, c->id);
    manager_free_checkpoint(m, c);
  }
}

void
manager_complete(manager *m, uint32_t at)
{
  manager_checkpoint *c = m->open[at];
  uint32_t h, i;

  if (c->aborted || !manager_is_whole(c))
    return;
  manager_close_at(m, at);
  for (h = 0; h < c->handles; h++) {
    m->k[h]->ops->snapshot_free(m->k[h], c->snapshots[h]);
    c->snapshots[h] = NULL;
  }
  if (c->kind == SB_SNAPSHOT_SAVEPOINT) {
    manager_tell(m, SB_NOTIFY_COMPLETE, c->id);
    manager_free_checkpoint(m, c);
    return;
  }
  m->completed++;
  memmove(&m->retained[1], &m->retained[0],
          m->retained_count * sizeof m->retained[0]);
  m->retained[0] = c;
  m->retained_count++;
  for (i = 0; i < m->open_count; i++)
    if (m->open[i]->id < c->id && m->open[i]->kind != SB_SNAPSHOT_SAVEPOINT)
      manager_abort(m, m->open[i]);
  manager_tell(m, SB_NOTIFY_COMPLETE, c->id);
  manager_subsume(m);
  CU_ASSERT_EQUAL(manager_missing(m), 0);
  CU_ASSERT_EQUAL(manager_wrong(m, c), 0);
}

/* A handle's run has ended well; the host may have a part of an earlier one,
   and keeps either. */
static void
manager_take(manager *m, manager_checkpoint *c, uint32_t h,
             const sb_part *part)
{
  kept_part *other = kept_part_new(part), *kept = c->parts[h];

  CU_ASSERT_EQUAL(c->aborted ? 0 : part_missing(other), 0);
  if (!c->aborted && (kept == NULL || draw(2))) {
    c->parts[h] = other;
    other = kept;
  }
  manager_discard(m, other);
  kept_part_free(other);
}

/* A handle's run; its part may come when nobody wants it any more. */
static void
manager_run(manager *m, manager_checkpoint *c)
{
  uint32_t h = draw(c->handles);
  const sb_part *part;
  sb_status status;

  if (c->parts[h] != NULL && draw(3) != 0)
    return;
  if (m->failures && draw(3) == 0)
    store_fail(1 + (long)draw(6), 1 + (int)draw(2));
  status = m->k[h]->ops->snapshot_run(m->k[h], c->snapshots[h], &part, &err);
  store_fail(0, 0);
  if (status == SB_OK) {
    manager_take(m, c, h, part);
    return;
  }
  m->failed_runs++;
  CU_ASSERT(m->failures);
  if (draw(2))
    manager_abort(m, c);
}

static void
manager_drop(manager *m, uint32_t at)
{
  manager_checkpoint *c = m->open[at];
  uint32_t h;

  manager_abort(m, c);
  manager_close_at(m, at);
  for (h = 0; h < c->handles; h++)
    if (draw(2))
      m->k[h]->ops->snapshot_cancel(m->k[h], c->snapshots[h]);
  manager_free_checkpoint(m, c);
}

/* ---- lives --------------------------------------------------------------- */

static sb_keyed *
manager_open_handle(manager *m, const manager_checkpoint *from, uint32_t h,
                    uint32_t handles, uint32_t flags, uint64_t generation)
{
  sb_keyed_options o = { .struct_size = sizeof o, .flags = flags,
                         .job = "j", .operator_id = "op", .subtask = h,
                         .key_group_count = groups,
                         .generation = generation };
  sb_part parts[MANAGER_HANDLES];
  sb_keyed *k = NULL;
  uint32_t i;

  (void)m;
  o.key_group_first = h * groups / handles;
  o.key_group_last = (h + 1) * groups / handles - 1;
  for (i = 0; from != NULL && i < from->handles; i++)
    parts[o.part_count++] = from->parts[i]->part;
  o.parts = parts;
  if (!check_ok(sb_backend_keyed(backend, &o, &k, &err)))
    exit(1);
  content_register(k);
  return k;
}

void
manager_open(manager *m, uint32_t handles, uint32_t flags)
{
  const manager_checkpoint *from = m->retained_count == 0 ? NULL
                                                          : m->retained[0];
  uint32_t h;

  m->generation++;
  m->handles = handles;
  memset(&m->c, 0, sizeof m->c);
  if (from != NULL)
    m->c = from->at;
  for (h = 0; h < handles; h++)
    m->k[h] = manager_open_handle(m, from, h, handles,
                                  flags | SB_OPEN_HOST_OWNED, m->generation);
}

static void
manager_close_readers(manager *m)
{
  if (m->cursor != NULL)
    m->k[0]->ops->scan_close(m->k[0], m->cursor);
  m->k[0]->ops->view_close(m->view);
  m->cursor = NULL;
  m->view = NULL;
}

void
manager_shut(manager *m, int crash)
{
  unsigned needless = 0;
  void *arg[2] = { m, &needless };
  uint32_t h;

  m->news_count = 0;
  manager_close_readers(m);
  store_fail_removes(crash);
  while (m->open_count != 0)
    manager_drop(m, m->open_count - 1);
  for (h = 0; h < m->handles; h++)
    m->k[h]->ops->close(m->k[h]);
  store_fail_removes(0);
  m->news_count = 0;
  if (crash)
    return;
  if (!m->leaves)
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
  objects_under("j/checkpoints/", manager_count_needless, arg);
  CU_ASSERT_EQUAL(needless, 0);
}

void
manager_step(manager *m)
{
  switch (draw(12)) {
  case 0:
  case 1:
    manager_begin(m);
    break;
  case 2:
  case 3:
  case 4:
    if (m->open_count != 0)
      manager_run(m, m->open[draw(m->open_count)]);
    break;
  case 5:
  case 6:
    if (m->open_count != 0)
      manager_complete(m, draw(m->open_count));
    break;
  case 7:
    if (m->open_count != 0 && draw(3) == 0)
      manager_drop(m, draw(m->open_count));
    break;
  case 8:
    manager_deliver(m);
    break;
  case 9:
    if (m->cursor != NULL)
      m->k[0]->ops->scan_close(m->k[0], m->cursor);
    m->cursor = m->cursor == NULL ? open_scan(m->k[0], 0, 0, NULL) : NULL;
    break;
  case 10:
    if (m->view != NULL) {
      m->k[0]->ops->view_close(m->view);
      m->view = NULL;
    } else {
      check_ok(m->k[0]->ops->view_open(m->k[0], &m->view, &err));
    }
    break;
  default:
    content_change(m->k[draw(m->handles)], &m->c, 40);
  }
  CU_ASSERT_EQUAL(manager_missing(m), 0);
}

void
manager_restart(manager *m, int crash)
{
  int wait = crash || m->leaves, i;

  manager_shut(m, crash);
  manager_open(m, wait ? m->handles : 1 + draw(2), 0);
  for (i = 0; wait && i < 400 && objects_under("j/state/", NULL, NULL) != 0;
       i++)
    pause_ms(5);
  if (wait)
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
}

/* ---- by hand ------------------------------------------------------------- */

void
manager_first(manager *m)
{
  memset(m, 0, sizeof *m);
  open_backend("16mb", 16);
  store_watch();
  m->retain = 1;
  m->next_id = 1;
  manager_open(m, 1, 0);
}

void
manager_run_first(manager *m, manager_checkpoint *c)
{
  const sb_part *part;

  check_ok(m->k[0]->ops->snapshot_run(m->k[0], c->snapshots[0], &part, &err));
  c->parts[0] = kept_part_new(part);
}

manager_checkpoint *
manager_whole(manager *m, uint32_t kind)
{
  manager_checkpoint *c = manager_trigger(m, kind);

  manager_run_first(m, c);
  return c;
}

void
manager_notify(manager *m, uint32_t what, uint64_t id)
{
  m->news_count = 0;
  check_ok(m->k[0]->ops->notify(m->k[0], what, id, &err));
}

void
manager_end(manager *m)
{
  manager_shut(m, 0);
  while (m->retained_count != 0)
    manager_free_checkpoint(m, m->retained[--m->retained_count]);
  close_backend();
}

