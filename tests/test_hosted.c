/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles whose objects the host deletes: private segments and copies, what a
 * handout lists, what goes when, and random lives under a host that deletes as
 * early as it may.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "faulty_host.h"
#include "host/engine/keyed.h"
#include "host_manager.h"

/* ---- lives --------------------------------------------------------------- */

static unsigned
manager_live(unsigned seed, int failures, int crashes)
{
  manager *m = calloc(1, sizeof *m);
  unsigned steps, completed;
  uint32_t h;

  begin_backend("16mb", 16);
  set("state.backend.compaction.runs", seed % 2 ? "3" : "8");
  finish_backend();
  store_watch();
  m->retain = 1 + seed % 3 % 2;
  m->failures = failures;
  m->next_id = 1;
  manager_open(m, 1 + draw(2), 0);
  for (steps = 0; steps < 200; steps++) {
    manager_step(m);
    if (draw(70) != 0)
      continue;
    manager_restart(m, crashes && draw(2));
    for (h = 0; h < m->handles; h++)
      CU_ASSERT_EQUAL(content_wrong(m->k[h], &m->c), 0);
  }
  for (h = 0; h < m->handles; h++)
    CU_ASSERT_EQUAL(content_wrong(m->k[h], &m->c), 0);
  if (crashes)
    manager_restart(m, 1);
  manager_shut(m, 0);
  completed = m->completed;
  while (m->retained_count != 0)
    manager_free_checkpoint(m, m->retained[--m->retained_count]);
  free(m);
  close_backend();
  return completed;
}

static unsigned
lives_count(unsigned usual)
{
  const char *rounds = getenv("SB_ROUNDS");

  return rounds != NULL ? (unsigned)atoi(rounds)
                        : tap_is_slow() ? 2 + usual / 8 : usual;
}

static void
test_lives(void)
{
  unsigned seed, seeds = lives_count(16), completed = 0;

  for (seed = 0; seed < seeds; seed++)
    completed += manager_live(seed, 0, 0);
  tap_note("%u checkpoints", completed);
  CU_ASSERT(completed > 2 * seeds);
}

static void
test_lives_with_failures(void)
{
  unsigned seed, seeds = lives_count(10);

  for (seed = 0; seed < seeds; seed++)
    (void)manager_live(seed, 1, 0);
}

static void
test_lives_with_crashes(void)
{
  unsigned seed, seeds = lives_count(8);

  for (seed = 0; seed < seeds; seed++)
    (void)manager_live(seed, 0, 1);
}

/* ---- by hand ------------------------------------------------------------- */

/* Private segments go when their copies are confirmed, and copies are reused
   from then on, not before. */
static void
test_switch(void)
{
  manager m;
  manager_checkpoint *c;
  int i;

  manager_first(&m);
  content_change(m.k[0], &m.c, 200);
  c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(c->parts[0]->part.object_count, 1);
  CU_ASSERT_EQUAL(c->parts[0]->is_new[0], 1);
  CU_ASSERT_EQUAL(strncmp(c->parts[0]->names[0],
                          "j/checkpoints/shared/op/", 24), 0);
  CU_ASSERT_EQUAL(objects_under("j/state/_/op.s0/", NULL, NULL), 1);
  manager_complete(&m, 0);
  /* Nobody was told: the next one copies again. */
  c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(store_copies(), 2);
  CU_ASSERT_EQUAL(c->parts[0]->is_new[0], 1);
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, 2);
  CU_ASSERT_EQUAL(manager_missing(&m), 0);
  for (i = 0; i < 200 && objects_under("j/state/", NULL, NULL) != 0; i++)
    pause_ms(5);
  CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
  content_change(m.k[0], &m.c, 50);
  c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(store_copies(), 3);
  CU_ASSERT_EQUAL(c->parts[0]->part.object_count, 2);
  CU_ASSERT_EQUAL(c->parts[0]->is_new[0] + c->parts[0]->is_new[1], 1);
  manager_complete(&m, 0);
  CU_ASSERT_EQUAL(content_wrong(m.k[0], &m.c), 0);
  manager_end(&m);
}

/* A cursor on what compaction has replaced keeps it listed. */
static void
test_reader_keeps(void)
{
  manager m;
  manager_checkpoint *c;
  unsigned i;

  memset(&m, 0, sizeof m);
  begin_backend("16mb", 1);
  set("state.backend.compaction.runs", "2");
  finish_backend();
  store_watch();
  m.retain = 1;
  m.next_id = 1;
  manager_open(&m, 1, 0);
  content_change(m.k[0], &m.c, 200);
  (void)manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, 1);
  m.cursor = open_scan(m.k[0], 0, 0, NULL);
  for (i = 2; i < 8; i++) {
    content_change(m.k[0], &m.c, 100);
    c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
    CU_ASSERT(kept_part_names(c->parts[0], m.retained[0]->parts[0]->names[0])
              || i > 2);
    manager_complete(&m, 0);
    manager_notify(&m, SB_NOTIFY_COMPLETE, i);
    pause_ms(20);
    CU_ASSERT_EQUAL(manager_missing(&m), 0);
  }
  manager_end(&m);
}

/* A checkpoint whose run ends after that of a newer one lists what the newer
   one reuses, though nothing reads it any more: else it would go when the
   older one is complete. */
static void
test_runs_in_any_order(void)
{
  manager m;
  manager_checkpoint *older, *newer;
  char *held;

  manager_first(&m);
  content_change(m.k[0], &m.c, 200);
  (void)manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, 1);
  check_ok(m.k[0]->ops->view_open(m.k[0], &m.view, &err));
  (void)manager_whole(&m, SB_SNAPSHOT_FULL);
  held = strdup(m.retained[0]->parts[0]->names[0]);
  CU_ASSERT_EQUAL(kept_part_names(m.open[0]->parts[0], held), 1);
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, 2);
  older = manager_trigger(&m, SB_SNAPSHOT_CHECKPOINT);
  newer = manager_trigger(&m, SB_SNAPSHOT_CHECKPOINT);
  manager_run_first(&m, newer);
  CU_ASSERT_EQUAL(kept_part_names(newer->parts[0], held), 1);
  m.k[0]->ops->view_close(m.view);
  m.view = NULL;
  CU_ASSERT_EQUAL(content_wrong(m.k[0], &m.c), 0);
  manager_run_first(&m, older);
  manager_complete(&m, 0);
  CU_ASSERT_EQUAL(part_missing(newer->parts[0]), 0);
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, 4);
  newer = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(kept_part_names(newer->parts[0], held), 0);
  free(held);
  manager_end(&m);
}

/* What is restored without a claim is never handed out and never deleted. */
static void
test_no_claim(void)
{
  manager m;
  manager_checkpoint *old, *c;
  uint32_t i;

  manager_first(&m);
  content_change(m.k[0], &m.c, 200);
  (void)manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  manager_complete(&m, 0);
  manager_shut(&m, 0);
  manager_open(&m, 1, SB_OPEN_NO_CLAIM);
  old = m.retained[0];
  m.retained_count = 0; /* another job's */
  content_change(m.k[0], &m.c, 50);
  c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
  for (i = 0; i < c->parts[0]->part.object_count; i++) {
    CU_ASSERT_EQUAL(c->parts[0]->is_new[i], 1);
    CU_ASSERT_EQUAL(kept_part_names(old->parts[0], c->parts[0]->names[i]), 0);
  }
  manager_complete(&m, 0);
  manager_notify(&m, SB_NOTIFY_COMPLETE, c->id);
  CU_ASSERT_EQUAL(part_missing(old->parts[0]), 0);
  manager_discard(&m, old->parts[0]);
  (void)content_wrong(m.k[0], &m.c); /* the owner takes the news in */
  CU_ASSERT_EQUAL(manager_missing(&m), 0);
  CU_ASSERT_EQUAL(content_wrong(m.k[0], &m.c), 0);
  manager_free_checkpoint(&m, old);
  manager_end(&m);
}

/* ---- what nobody needs any more goes ------------------------------------- */

/* Until the handle has nothing to do in the background. */
static void
settle(sb_keyed *base)
{
  keyed *k = (keyed *)base;
  uint32_t tasks = 1;
  int i;

  for (i = 0; i < 2000 && tasks != 0; i++) {
    keyed_lock(k);
    tasks = k->tasks;
    keyed_unlock(k);
    if (tasks != 0)
      pause_ms(5);
  }
  CU_ASSERT_EQUAL(tasks, 0);
}

/* Changes, and a checkpoint of them of which the handle hears. */
static manager_checkpoint *
confirm_one(manager *m)
{
  manager_checkpoint *c;

  content_change(m->k[0], &m->c, 50);
  c = manager_whole(m, SB_SNAPSHOT_CHECKPOINT);
  manager_complete(m, 0);
  manager_notify(m, SB_NOTIFY_COMPLETE, c->id);
  return c;
}

/* A segment may be there though the answer was lost. If it cannot be removed
   at once, that is tried again: with the next news, and at the end. */
static void
test_lost_answer(void)
{
  manager m;
  manager_checkpoint *c;
  const sb_part *part;
  unsigned i;

  manager_first(&m);
  for (i = 0; i < 2; i++) {
    content_change(m.k[0], &m.c, 50);
    c = manager_trigger(&m, SB_SNAPSHOT_CHECKPOINT);
    store_fail(2, STORE_FAIL_AFTER);
    store_fail_removes(1);
    CU_ASSERT_EQUAL(m.k[0]->ops->snapshot_run(m.k[0], c->snapshots[0], &part,
                                              &err), SB_UNKNOWN);
    store_fail_removes(0);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 1);
    if (i != 0)
      break;
    manager_run_first(&m, c);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 2);
    manager_complete(&m, 0);
    manager_notify(&m, SB_NOTIFY_COMPLETE, c->id);
    settle(m.k[0]);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
  }
  manager_end(&m);
}

/* News that come while something is being removed have a removal of their
   own. */
static void
test_news_meanwhile(void)
{
  manager m;
  int i;

  manager_first(&m);
  store_hold_removes(1);
  (void)confirm_one(&m);
  for (i = 0; i < 2000 && store_held_removes() == 0; i++)
    pause_ms(5);
  CU_ASSERT_EQUAL(store_held_removes(), 1);
  (void)confirm_one(&m);
  CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 2);
  store_hold_removes(0);
  settle(m.k[0]);
  CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
  manager_end(&m);
}

/* What an attempt left that ended badly, and what then could not be found, or
   not be removed, goes with the next news. */
static void
test_dead_again(void)
{
  manager m;
  int which;

  for (which = 0; which < 2; which++) {
    manager_first(&m);
    content_change(m.k[0], &m.c, 200);
    (void)manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
    manager_complete(&m, 0);
    manager_shut(&m, 1);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 1);
    store_fail_removes(which == 0);
    store_fail_lists(which == 1);
    manager_open(&m, 1, 0);
    settle(m.k[0]);
    store_fail_removes(0);
    store_fail_lists(0);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 1);
    (void)confirm_one(&m);
    settle(m.k[0]);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
    manager_end(&m);
  }
}

/* ---- what was handed out is the host's ----------------------------------- */

/* A run is repeated and fails. The host has the first part: its objects stay,
   and the handle knows of it when the checkpoint is complete. */
static void
test_failed_repeat(void)
{
  manager m;
  manager_checkpoint *c;
  const sb_part *part;
  sb_status status;
  int mode;

  for (mode = 0; mode <= STORE_FAIL_AFTER; mode++) {
    manager_first(&m);
    content_change(m.k[0], &m.c, 200);
    c = manager_whole(&m, SB_SNAPSHOT_CHECKPOINT);
    if (mode == 0)
      m.k[0]->ops->snapshot_cancel(m.k[0], c->snapshots[0]);
    else
      store_fail(1, mode);
    status = m.k[0]->ops->snapshot_run(m.k[0], c->snapshots[0], &part, &err);
    CU_ASSERT_NOT_EQUAL(status, SB_OK);
    manager_complete(&m, 0);
    manager_notify(&m, SB_NOTIFY_COMPLETE, c->id);
    settle(m.k[0]);
    CU_ASSERT_EQUAL(objects_under("j/state/", NULL, NULL), 0);
    CU_ASSERT_EQUAL(objects_under("j/checkpoints/shared/", NULL, NULL), 1);
    CU_ASSERT_EQUAL(manager_missing(&m), 0);
    c = confirm_one(&m);
    CU_ASSERT_EQUAL(c->parts[0]->part.object_count, 2);
    CU_ASSERT_EQUAL(c->parts[0]->is_new[0] + c->parts[0]->is_new[1], 1);
    manager_restart(&m, 0);
    CU_ASSERT_EQUAL(content_wrong(m.k[0], &m.c), 0);
    manager_end(&m);
  }
}

/* ---- failures, one after the other --------------------------------------- */

/* A run and the news of it, with change `nth` of the store failing, or
   allocation `nth` if `mode` is 0. Returns 1 if the failure was reached. */
static int
fault_once(faulty_host *faulty, uint32_t kind, long nth, int mode)
{
  manager *m = calloc(1, sizeof *m);
  manager_checkpoint *c = calloc(1, sizeof *c);
  const sb_part *part;
  sb_status status;
  int reached;

  m->retain = 1;
  m->next_id = 3;
  manager_open(m, 1, 0);
  content_change(m->k[0], &m->c, 100);
  (void)manager_whole(m, SB_SNAPSHOT_CHECKPOINT);
  manager_complete(m, 0);
  manager_notify(m, SB_NOTIFY_COMPLETE, 3);
  content_change(m->k[0], &m->c, 100);
  c->id = 4;
  c->kind = kind;
  c->handles = 1;
  c->at = m->c;
  c->snapshots[0] = begin_kind(m->k[0], 4, kind, NULL);
  if (mode != 0)
    store_fail(nth, mode);
  else
    atomic_store(&faulty->countdown, nth);
  status = m->k[0]->ops->snapshot_run(m->k[0], c->snapshots[0], &part, &err);
  if (status != SB_OK)
    status = m->k[0]->ops->snapshot_run(m->k[0], c->snapshots[0], &part,
                                        &err);
  c->parts[0] = kept_part_new(part);
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT_EQUAL(part_missing(c->parts[0]), 0);
  m->retained[1] = m->retained[0];
  m->retained[0] = c;
  m->retained_count = 2;
  m->k[0]->ops->snapshot_free(m->k[0], c->snapshots[0]);
  c->snapshots[0] = NULL;
  manager_subsume(m);
  status = m->k[0]->ops->notify(m->k[0], SB_NOTIFY_COMPLETE, 4, &err);
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT_EQUAL(manager_missing(m), 0);
  reached = mode != 0 ? store_failed() : atomic_load(&faulty->countdown) == 0;
  store_fail(0, 0);
  atomic_store(&faulty->countdown, 0);
  CU_ASSERT_EQUAL(manager_wrong(m, c), 0);
  CU_ASSERT_EQUAL(content_wrong(m->k[0], &m->c), 0);
  /* Without memory something may be left for the next attempt to find. */
  m->leaves = mode == 0;
  manager_restart(m, 0);
  m->leaves = 0;
  manager_shut(m, 0);
  manager_free_checkpoint(m, c);
  free(m);
  return reached;
}

static void
test_faults(void)
{
  static const uint32_t kinds[] = { SB_SNAPSHOT_CHECKPOINT,
                                    SB_SNAPSHOT_FULL };
  size_t which;
  int mode, reached;
  long nth;

  for (which = 0; which < TAP_COUNT(kinds); which++)
    for (mode = 0; mode <= STORE_FAIL_AFTER; mode++)
      for (nth = 1, reached = 1; reached;
           nth += mode == 0 && tap_is_slow() ? 7 : 1) {
        faulty_host faulty;

        faulty_host_init(&faulty, 0);
        open_watched(&faulty.host);
        reached = fault_once(&faulty, kinds[which], nth, mode);
        CU_ASSERT(nth > 2 || reached);
        close_backend();
        CU_ASSERT_EQUAL(atomic_load(&faulty.live), 0);
      }
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "switch", test_switch },
    { "readers keep", test_reader_keeps },
    { "runs in any order", test_runs_in_any_order },
    { "no claim", test_no_claim },
    { "lost answer", test_lost_answer },
    { "news meanwhile", test_news_meanwhile },
    { "dead again", test_dead_again },
    { "failed repeat", test_failed_repeat },
    { "failures", test_faults },
    { "lives", test_lives },
    { "lives with failures", test_lives_with_failures },
    { "lives with crashes", test_lives_with_crashes },
  };

  return run_suite(argc, argv, "hosted", cases, TAP_COUNT(cases));
}
