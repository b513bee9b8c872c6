/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random lives of a handle that mix the kinds of snapshots: several are open
 * at once, run in any order and more than once, are given up, and are committed
 * while cursors and views read. Then two runs at once in threads.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot_fixture.h"

/* ---- random lives -------------------------------------------------------- */

#define LIFE_OPEN 3u

typedef struct attempt {
  sb_snapshot *snapshot;
  kept_part *part;
  uint64_t id;
  uint32_t kind;
  content at;
  char name[16];
} attempt;

typedef struct life {
  sb_keyed *k;
  content c;
  attempt open[LIFE_OPEN]; /* oldest first */
  uint32_t count;
  uint64_t next_id;
  kept_part *committed;    /* the newest */
  content committed_at;
  sb_cursor *cursor;
  sb_view *view;
  char job[16];
  kept_part *source;       /* of another job, which this one was begun from */
} life;

static void
life_begin(life *l)
{
  static const uint32_t kinds[] = {
    SB_SNAPSHOT_CHECKPOINT, SB_SNAPSHOT_CHECKPOINT, SB_SNAPSHOT_FULL,
    SB_SNAPSHOT_SAVEPOINT,
  };
  attempt *a = &l->open[l->count];

  if (l->count == LIFE_OPEN)
    return;
  memset(a, 0, sizeof *a);
  l->count++;
  a->id = l->next_id++;
  a->kind = kinds[draw(4)];
  snprintf(a->name, sizeof a->name, "s%u", (unsigned)a->id);
  a->at = l->c;
  a->snapshot = begin_kind(l->k, a->id, a->kind, a->name);
}

/* A full one shares nothing with the others but those after it. */
static void
life_check_shared(const life *l, const attempt *a)
{
  uint32_t i;

  if (a->kind == SB_SNAPSHOT_CHECKPOINT)
    return;
  if (l->committed != NULL)
    CU_ASSERT_EQUAL(shared_objects(a->part, l->committed), 0);
  for (i = 0; i < l->count; i++)
    if (l->open[i].id < a->id && l->open[i].part != NULL)
      CU_ASSERT_EQUAL(shared_objects(a->part, l->open[i].part), 0);
}

static void
life_run(life *l, attempt *a)
{
  kept_part_free(a->part);
  a->part = run_kept(l->k, a->snapshot);
  life_check_shared(l, a);
}

static void
life_forget(life *l, uint32_t at)
{
  l->k->ops->snapshot_free(l->k, l->open[at].snapshot);
  kept_part_free(l->open[at].part);
  memmove(&l->open[at], &l->open[at + 1],
          (l->count - at - 1) * sizeof l->open[0]);
  l->count--;
}

/* The oldest one, if it has run; sometimes it is given up. */
static void
life_end_oldest(life *l)
{
  attempt *a = &l->open[0];

  if (l->count == 0)
    return;
  if (a->part == NULL || draw(5) == 0) {
    if (draw(2))
      l->k->ops->snapshot_cancel(l->k, a->snapshot);
    if (draw(2))
      check_ok(l->k->ops->notify(l->k, SB_NOTIFY_ABORTED, a->id, &err));
    life_forget(l, 0);
    return;
  }
  if (a->kind == SB_SNAPSHOT_SAVEPOINT) {
    char prefix[64];

    snprintf(prefix, sizeof prefix, "%s%ssavepoints/%s/", l->job,
             l->job[0] == '\0' ? "" : "/", a->name);
    kept_part_place(a->part, prefix);
    CU_ASSERT_EQUAL(part_wrong(a->part, &a->at, 0), 0);
    life_forget(l, 0);
    return;
  }
  commit_part(a->part, a->id);
  if (draw(4) != 0)
    check_ok(l->k->ops->notify(l->k, SB_NOTIFY_COMPLETE, a->id, &err));
  kept_part_free(l->committed);
  l->committed = a->part;
  l->committed_at = a->at;
  a->part = NULL;
  life_forget(l, 0);
  CU_ASSERT_EQUAL(part_wrong(l->committed, &l->committed_at, 0), 0);
}

static void
life_step(life *l)
{
  switch (draw(10)) {
  case 0:
  case 1:
    life_begin(l);
    break;
  case 2:
  case 3:
  case 4:
    if (l->count != 0)
      life_run(l, &l->open[draw(l->count)]);
    break;
  case 5:
    life_end_oldest(l);
    break;
  case 6:
    if (l->cursor != NULL)
      l->k->ops->scan_close(l->k, l->cursor);
    l->cursor = l->cursor == NULL ? open_scan(l->k, 0, 0, NULL) : NULL;
    break;
  case 7:
    if (l->view != NULL)
      l->k->ops->view_close(l->view);
    if (l->view != NULL)
      l->view = NULL;
    else
      check_ok(l->k->ops->view_open(l->k, &l->view, &err));
    break;
  default:
    content_change(l->k, &l->c, 40);
  }
  CU_ASSERT_EQUAL(segments_missing(l->k), 0);
}

static void
life_close(life *l)
{
  if (l->cursor != NULL)
    l->k->ops->scan_close(l->k, l->cursor);
  l->k->ops->view_close(l->view);
  while (l->count != 0)
    life_forget(l, l->count - 1);
  l->k->ops->close(l->k);
  l->cursor = NULL;
  l->view = NULL;
}

/* Opens on what was committed, as the same job or as another one, which leaves
   everything of its predecessor where it is. */
static void
life_restart(life *l)
{

  sb_takeover_options take = { .struct_size = sizeof take, .job = l->job,
                               .job_id = "test", .retain = 1 };
  int other = l->committed != NULL && draw(2);
  sb_status status;

  life_close(l);
  backend->ops->job_close(job);
  CU_ASSERT_EQUAL(part_missing(l->source), 0);
  if (other) {
    kept_part_free(l->source);
    l->source = l->committed == NULL ? NULL
                                     : kept_part_again(l->committed);
    snprintf(l->job, sizeof l->job, "j%u", (unsigned)l->next_id);
  }
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
  if (l->committed == NULL) {
    memset(&l->c, 0, sizeof l->c);
    l->k = open_new();
    return;
  }
  l->k = open_parts(l->job, (const kept_part *const *)&l->committed, 1,
                    backend->ops->job_generation(job),
                    other ? SB_OPEN_NO_CLAIM : 0, 0, &status);
  check_ok(status);
  content_register(l->k);
  l->c = l->committed_at;
  CU_ASSERT_EQUAL(content_wrong(l->k, &l->c), 0);
}

static void
test_lives(void)
{
  const char *rounds = getenv("SB_ROUNDS");
  unsigned seed, steps, seeds = tap_is_slow() ? 4 : 24;

  if (rounds != NULL)
    seeds = (unsigned)atoi(rounds);
  for (seed = 0; seed < seeds; seed++) {
    life *l = calloc(1, sizeof *l);

    begin_backend("16mb", 16);
    set("state.backend.compaction.runs", seed % 2 ? "3" : "8");
    finish_backend();
    l->next_id = 1;
    l->k = open_new();
    for (steps = 0; steps < 120; steps++) {
      life_step(l);
      if (draw(60) == 0)
        life_restart(l);
    }
    CU_ASSERT_EQUAL(content_wrong(l->k, &l->c), 0);
    life_close(l);
    CU_ASSERT_EQUAL(part_missing(l->source), 0);
    kept_part_free(l->committed);
    kept_part_free(l->source);
    free(l);
    close_backend();
  }
}

/* ---- threads ------------------------------------------------------------- */

typedef struct runner {
  pthread_t thread;
  sb_keyed *k;
  sb_snapshot *snapshot;
  uint64_t id;
  content at;
  sb_status status;
  const sb_part *part;
  sb_error error;
} runner;

static void *
runner_main(void *arg)
{
  runner *r = arg;

  r->status = r->k->ops->snapshot_run(r->k, r->snapshot, &r->part, &r->error);
  return NULL;
}

static void
runner_begin(runner *r, sb_keyed *k, const content *c, uint64_t id)
{
  static const uint32_t kinds[] = {
    SB_SNAPSHOT_CHECKPOINT, SB_SNAPSHOT_FULL, SB_SNAPSHOT_SAVEPOINT,
  };
  char name[24];

  snprintf(name, sizeof name, "s%u", (unsigned)id);
  r->k = k;
  r->id = id;
  r->at = *c;
  r->snapshot = begin_kind(k, id, kinds[draw(3)], name);
  CU_ASSERT_EQUAL(pthread_create(&r->thread, NULL, runner_main, r), 0);
}

static void
runner_end(runner *r)
{
  kept_part *p;

  pthread_join(r->thread, NULL);
  CU_ASSERT(r->status == SB_OK || r->status == SB_CANCELLED);
  if (r->status == SB_OK &&
      strncmp(r->part->objects[0].name, "savepoints/", 11) != 0) {
    p = kept_part_new(r->part);
    commit_part(p, r->id);
    CU_ASSERT_EQUAL(part_wrong(p, &r->at, 0), 0);
    check_ok(r->k->ops->notify(r->k, SB_NOTIFY_COMPLETE, r->id, &err));
    kept_part_free(p);
  }
  r->k->ops->snapshot_free(r->k, r->snapshot);
}

/* Two runs at once, while the owner writes and sometimes gives one up. */
static void
test_threads(void)
{
  unsigned round, rounds = tap_is_slow() ? 15 : 60;
  content c = { 0 };
  uint64_t id = 1;
  runner r[2];
  sb_keyed *k;

  begin_backend("16mb", 16);
  set("state.backend.compaction.runs", "3");
  finish_backend();
  k = open_new();
  for (round = 0; round < rounds; round++) {
    content_change(k, &c, 60);
    runner_begin(&r[0], k, &c, id++);
    content_change(k, &c, 20);
    runner_begin(&r[1], k, &c, id++);
    content_change(k, &c, 20);
    if (draw(3) == 0)
      k->ops->snapshot_cancel(k, r[draw(2)].snapshot);
    CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
    runner_end(&r[0]);
    runner_end(&r[1]);
  }
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  k->ops->close(k);
  close_backend();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "lives", test_lives },
    { "threads", test_threads },
  };

  return run_suite(argc, argv, "snapshot lives", cases, TAP_COUNT(cases));
}
