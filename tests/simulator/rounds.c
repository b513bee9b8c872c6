/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of a job: triggered, begun by each subtask's owner between two
 * operations, run in the background or in place, cancelled, repeated,
 * committed or given up; and told to the subtasks late, twice, out of order or
 * never.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

/* ---- owner's part ------------------------------------------------------- */

/* A whole snapshot shares nothing with those before it, but for what a reader
   keeps from a host that deletes. */
static void
snap_check_shared(const snap *sn, const char *name)
{
  const attempt *mine = sn->round->attempt, *a;

  if (sn->subtask->job->l->hosted && ledger_holds_name(mine, name))
    return;
  for (a = sn->subtask->job->l->attempts; a != NULL; a = a->next)
    if (a->id < mine->id && ledger_has_name(a, name))
      sim_fail(&sn->subtask->job->l->s, SIM_WRONG,
               "whole checkpoint %llu shares \"%s\" with %llu",
               (unsigned long long)mine->id, name,
               (unsigned long long)a->id);
}

/* What is not the job's own must not be needed any more, and a savepoint
   names nothing outside. */
static void
snap_check_names(const snap *sn)
{
  const job *j = sn->subtask->job;
  uint32_t i;

  for (i = 0; i < sn->part->object_count; i++) {
    const char *name = sn->part->objects[i].name;

    if (j->no_claim && !sn->round->attempt->savepoint &&
        savepoint_is_object(name))
      sim_fail(&j->l->s, SIM_WRONG,
               "a checkpoint names \"%s\" of an unclaimed savepoint", name);
    if (sn->round->attempt->savepoint && strchr(name, '/') != NULL &&
        !savepoint_has(sn->round->attempt, name))
      sim_fail(&j->l->s, SIM_WRONG, "a savepoint names \"%s\"", name);
    if (sn->is_full)
      snap_check_shared(sn, name);
  }
}

static void
snap_run(void *arg)
{
  snap *sn = arg;
  subtask *t = sn->subtask;
  job *j = t->job;
  sb_error err;

  for (;;) {
    sb_status status = t->keyed->ops->snapshot_run(t->keyed, sn->handle,
                                                   &sn->part, &err);

    if (status == SB_OK)
      break;
    if (status == SB_CANCELLED && sn->cancelled) {
      sn->state = SNAP_FAILED;
      return;
    }
    (void)job_tolerates(j, status, &err, "snapshot_run");
    if (sn->tries_left-- <= 0 || sn->release) {
      sn->state = SNAP_FAILED;
      return;
    }
    sim_sleep(&j->l->s, rng_range(&j->l->rng, 1, 100) * SIM_MS);
  }
  if (sn->part->subtask != t->index ||
      sn->part->key_group_first != t->group_first ||
      sn->part->key_group_last != t->group_last ||
      (sn->part->name == NULL && sn->part->length != sn->part->manifest.len))
    sim_fail(&j->l->s, SIM_WRONG, "snapshot_run gives a strange part");
  if (sn->round->attempt->savepoint)
    ledger_add_saved(sn->round->attempt, sn->part);
  else
    ledger_add_names(sn->round->attempt, sn->part);
  snap_check_names(sn);
  if (j->l->hosted)
    manager_acknowledge(j, sn->round->attempt, t->slot, sn->part);
  sim_say(&j->l->s, "checkpoint %llu, subtask %u: %u objects",
          (unsigned long long)sn->round->attempt->id, t->index,
          sn->part->object_count);
  sn->state = SNAP_OK;
}

static void
snap_copy_model(subtask *t, attempt *a)
{
  const space *sp = &t->job->l->sp;
  uint32_t mine = operator_states(t->job->l, t->operator_number);
  size_t i;

  for (i = 0; i < sp->cells; i++) {
    uint32_t group = space_group(sp, i);

    if ((mine >> space_place(sp, i).state & 1) && group >= t->group_first &&
        group <= t->group_last)
      a->cells[i] = t->job->m.cells[i];
  }
  a->states |= t->states;
}

static void
snap_begin(subtask *t, round *r)
{
  job *j = t->job;
  life *l = j->l;
  snap *sn = &r->snaps[t->slot];
  sb_snapshot_options options;
  char name[64];
  sb_error err;
  sb_status status;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.kind = l->full && !j->quiet && rng_chance(&l->rng, 100)
                 ? SB_SNAPSHOT_FULL : SB_SNAPSHOT_CHECKPOINT;
  options.checkpoint_id = r->attempt->id;
  if (r->attempt->savepoint) {
    options.kind = SB_SNAPSHOT_SAVEPOINT;
    savepoint_name(r->attempt, name, sizeof name);
    options.savepoint = name;
  }
  sn->subtask = t;
  sn->round = r;
  sn->is_full = options.kind == SB_SNAPSHOT_FULL;
  sn->state = SNAP_RUNNING;
  sn->tries_left = (int)rng_below(&l->rng, 4) + (j->quiet ? 100 : 0);
  l->did.full += options.kind == SB_SNAPSHOT_FULL;
  sim_say(&l->s, "snapshot_begin %llu", (unsigned long long)r->attempt->id);
  status = t->keyed->ops->snapshot_begin(t->keyed, &options, &sn->handle,
                                         &err);
  batches_sync(t);
  if (job_tolerates(j, status, &err, "snapshot_begin")) {
    sn->handle = NULL;
    sn->state = SNAP_FAILED;
    return;
  }
  snap_copy_model(t, r->attempt);
  if (rng_chance(&l->rng, 100) && !j->quiet) {
    sn->state = SNAP_FAILED; /* never run */
    return;
  }
  if (rng_chance(&l->rng, 150) ||
      j->process->host.execute(&j->process->host, SB_LANE_CHECKPOINT,
                               snap_run, sn, &err) != SB_OK)
    snap_run(sn);
}

static round *
rounds_next(const subtask *t)
{
  round *first = NULL;
  size_t i;

  for (i = 0; i < LIFE_ROUNDS_MAX; i++) {
    round *r = &t->job->rounds[i];

    if (r->used && !r->decided && r->snaps[t->slot].state == SNAP_NONE &&
        (first == NULL || r->attempt->id < first->attempt->id))
      first = r;
  }
  return first;
}

void
rounds_begin(subtask *t)
{
  round *r = rounds_next(t);

  if (r != NULL)
    snap_begin(t, r);
}

static int
snap_is_free(const snap *sn)
{
  return sn->handle == NULL && sn->state != SNAP_RUNNING;
}

void
rounds_release(subtask *t, int wait)
{
  job *j = t->job;
  size_t i;

  for (i = 0; i < LIFE_ROUNDS_MAX; i++) {
    snap *sn = &j->rounds[i].snaps[t->slot];

    while (wait && j->rounds[i].used && !snap_is_free(sn) &&
           (!sn->release || sn->state == SNAP_RUNNING))
      sim_sleep(&j->l->s, SIM_MS);
    if (sn->handle == NULL || !sn->release || sn->state == SNAP_RUNNING)
      continue;
    t->keyed->ops->snapshot_free(t->keyed, sn->handle);
    sn->handle = NULL;
    sn->part = NULL;
  }
}

static void
notice_add(subtask *t, uint32_t what, uint64_t id)
{
  notice *n;

  if (rng_chance(&t->job->l->rng, 150) || t->notice_count == 16)
    return;
  n = &t->notices[t->notice_count++];
  n->what = what;
  n->id = id;
}

void
rounds_notify(subtask *t)
{
  job *j = t->job;
  rng *r = &j->l->rng;
  sb_error err;
  sb_status status;
  size_t i;

  if (t->notice_count == 0 || !rng_chance(r, 300))
    return;
  i = (size_t)rng_below(r, t->notice_count);
  status = t->keyed->ops->notify(t->keyed, t->notices[i].what,
                                 t->notices[i].id, &err);
  (void)job_tolerates(j, status, &err, "notify");
  if (!rng_chance(r, 200)) /* else it comes again */
    t->notices[i] = t->notices[--t->notice_count];
}

/* ---- coordinator's part ------------------------------------------------- */

static void
round_decide(round *r, uint32_t what)
{
  job *j = r->job;
  uint32_t i;

  r->decided = 1;
  if (j->l->hosted && what != SB_NOTIFY_COMPLETE)
    manager_abort(j->l, r->attempt);
  for (i = 0; i < j->subtask_count; i++) {
    snap *sn = &r->snaps[i];

    if (sn->state == SNAP_RUNNING && sn->handle != NULL) {
      sn->cancelled = 1;
      j->subtasks[i].keyed->ops->snapshot_cancel(j->subtasks[i].keyed,
                                                 sn->handle);
    }
    sn->release = 1;
    if (!r->attempt->savepoint)
      notice_add(&j->subtasks[i], what, r->attempt->id);
  }
}

/* Free again once all owners have let go. */
static void
round_recycle(round *r)
{
  uint32_t i;

  for (i = 0; i < r->job->subtask_count; i++)
    if (!snap_is_free(&r->snaps[i]))
      return;
  memset(r, 0, sizeof *r);
}

static round *
round_trigger(job *j)
{
  life *l = j->l;
  size_t i = 0;
  round *r;

  while (i < l->rounds_max && j->rounds[i].used)
    i++;
  if (i == l->rounds_max)
    return NULL;
  r = &j->rounds[i];
  memset(r, 0, sizeof *r);
  r->used = 1;
  r->job = j;
  if (rng_chance(&l->rng, 100))
    j->next_id += rng_below(&l->rng, 5);
  r->attempt = ledger_new(l, j, j->next_id++);
  r->attempt->savepoint = l->savepoints != 0 && !j->quiet &&
                          rng_chance(&l->rng, l->savepoints);
  sim_say(&l->s, "checkpoint %llu is triggered",
          (unsigned long long)r->attempt->id);
  return r;
}

/* Those before a committed one are overtaken. */
static void
rounds_subsume(job *j, uint64_t id)
{
  size_t i;

  for (i = 0; i < LIFE_ROUNDS_MAX; i++)
    if (j->rounds[i].used && !j->rounds[i].decided &&
        j->rounds[i].attempt->id < id)
      round_decide(&j->rounds[i], SB_NOTIFY_SUBSUMED);
}

static sb_status
commit_once(round *r, uint64_t *newest)
{
  job *j = r->job;
  life *l = j->l;
  sb_commit_options options;
  sb_part parts[LIFE_SUBTASKS_MAX];
  sb_error err;
  sb_status status;
  uint32_t i;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.id = r->attempt->id;
  for (i = 0; i < j->subtask_count; i++)
    parts[i] = *r->snaps[i].part;
  options.parts = parts;
  options.part_count = j->subtask_count;
  options.blob = sb_slice_of(r->attempt->blob, strlen(r->attempt->blob));
  *newest = l->newest_generation;
  ledger_commit_began(r->attempt);
  status = j->backend->ops->commit(j->handle, &options, &err);
  sim_say(&l->s, "commit of %llu: %s", (unsigned long long)options.id,
          status == SB_OK ? "ok" : err.message);
  if (status != SB_OK && status != SB_FENCED)
    (void)job_tolerates(j, status, &err, "commit");
  return status;
}

static void
round_commit_hosted(round *r)
{
  job *j = r->job;

  if (!manager_commit(j, r->attempt)) {
    j->fenced = 1;
    round_decide(r, SB_NOTIFY_ABORTED);
    return;
  }
  j->commits++;
  rounds_subsume(j, r->attempt->id);
  round_decide(r, SB_NOTIFY_COMPLETE);
}

static void
round_commit(round *r)
{
  job *j = r->job;
  life *l = j->l;
  uint64_t newest;
  uint32_t tries = 0;
  sb_status status;

  if (l->hosted) {
    round_commit_hosted(r);
    return;
  }
  for (;;) {
    status = commit_once(r, &newest);
    if (status != SB_UNKNOWN)
      break;
    if (++tries > 30 && !j->quiet)
      job_give_up(j, "a commit of unknown fate");
    sim_sleep(&l->s, rng_range(&l->rng, 1, 100) * SIM_MS);
  }
  if (status == SB_OK) {
    if (newest > j->generation)
      sim_fail(&l->s, SIM_WRONG,
               "generation %llu commits %llu though generation %llu has "
               "taken over", (unsigned long long)j->generation,
               (unsigned long long)r->attempt->id,
               (unsigned long long)newest);
    ledger_committed(j, r->attempt);
    j->commits++;
    rounds_subsume(j, r->attempt->id);
    round_decide(r, SB_NOTIFY_COMPLETE);
  } else if (status == SB_FENCED) {
    if (!job_is_old(j))
      sim_fail(&l->s, SIM_WRONG, "fenced, but nobody has taken over");
    j->fenced = 1;
    round_decide(r, SB_NOTIFY_ABORTED);
  } else {
    if (r->attempt->fate == ATTEMPT_MAYBE)
      r->attempt->fate = ATTEMPT_NEVER;
    round_decide(r, SB_NOTIFY_ABORTED);
  }
}

static void
round_save(round *r)
{
  job *j = r->job;
  sb_part parts[LIFE_SUBTASKS_MAX];
  uint32_t i, tries;
  sb_error err;

  for (i = 0; i < j->subtask_count; i++)
    parts[i] = *r->snaps[i].part;
  for (tries = 0; tries < 5; tries++) {
    if (!job_tolerates(j, savepoint_write_once(j, r->attempt, parts,
                                               j->subtask_count, &err),
                       &err, "savepoint_write"))
      break;
    sim_sleep(&j->l->s, rng_range(&j->l->rng, 1, 100) * SIM_MS);
  }
  round_decide(r, SB_NOTIFY_ABORTED);
}

/* 1 all parts are there, -1 one has failed, 0 not yet */
static int
round_state(const round *r)
{
  uint32_t i;
  int all = 1;

  for (i = 0; i < r->job->subtask_count; i++) {
    if (r->snaps[i].state == SNAP_FAILED)
      return -1;
    all = all && r->snaps[i].state == SNAP_OK;
  }
  return all;
}

static void
round_look(round *r)
{
  life *l = r->job->l;
  int state;

  if (r->decided) {
    round_recycle(r);
    return;
  }
  state = round_state(r);
  if (state < 0 || rng_chance(&l->rng, r->job->quiet ? 0 : 10))
    round_decide(r, SB_NOTIFY_ABORTED);
  else if (state > 0 && r->attempt->savepoint)
    round_save(r);
  else if (state > 0 && !rng_chance(&l->rng, 200) && !r->job->fenced)
    round_commit(r);
}

void
rounds_step(job *j)
{
  life *l = j->l;
  size_t i;

  if (rng_chance(&l->rng, 300))
    (void)round_trigger(j);
  for (i = 0; i < LIFE_ROUNDS_MAX; i++)
    if (j->rounds[i].used)
      round_look(&j->rounds[i]);
}

void
rounds_end(job *j)
{
  size_t i;

  for (i = 0; i < LIFE_ROUNDS_MAX; i++)
    if (j->rounds[i].used && !j->rounds[i].decided)
      round_decide(&j->rounds[i], SB_NOTIFY_ABORTED);
}

/* Nothing changes any more: soon there are no requests. */
static void
rounds_idle(job *j)
{
  life *l = j->l;
  uint64_t before;
  uint32_t tries = 0;

  do {
    if (++tries > 100)
      sim_fail(&l->s, SIM_WRONG, "an idle job goes on making requests");
    before = l->b.op_serial;
    sim_sleep(&l->s, 2000 * SIM_MS);
  } while (l->b.op_serial != before);
}

static uint64_t
rounds_compactions(job *j)
{
  uint64_t sum = 0;
  uint32_t i;

  for (i = 0; i < j->subtask_count; i++) {
    sb_keyed *keyed = j->subtasks[i].keyed;
    sb_keyed_stats stats;

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    (void)keyed->ops->stats(keyed, &stats);
    sum += stats.compactions;
  }
  return sum;
}

static void
round_final(job *j)
{
  round *r = round_trigger(j);

  while (round_state(r) == 0)
    sim_sleep(&j->l->s, SIM_MS);
  if (round_state(r) < 0)
    sim_fail(&j->l->s, SIM_WRONG, "the last checkpoint fails");
  round_commit(r);
  if (r->attempt->fate != ATTEMPT_OK)
    sim_fail(&j->l->s, SIM_WRONG, "the last commit fails");
  while (r->used) {
    round_recycle(r);
    sim_sleep(&j->l->s, SIM_MS);
  }
}

/* The first two leave nothing to be deleted. The third one has nothing to
   write but _metadata and HEAD, the fourth one a segment more. */
void
rounds_final(job *j)
{
  life *l = j->l;
  subtask *t = &j->subtasks[rng_below(&l->rng, j->subtask_count)];
  uint64_t puts, compactions;
  uint32_t n;

  for (n = 0; n < 4; n++) {
    rounds_idle(j);
    t->poked = n == 3;
    while (t->poked)
      sim_sleep(&l->s, SIM_MS);
    puts = l->b.requests[BUCKET_PUT];
    compactions = rounds_compactions(j);
    round_final(j);
    puts = l->b.requests[BUCKET_PUT] - puts;
    rounds_idle(j);
    if (l->engine_options.layout == 0 && n >= 2 && puts > n &&
        compactions == rounds_compactions(j))
      sim_fail(&l->s, SIM_WRONG,
               "a checkpoint of %u changed keys makes %llu objects", n - 2,
               (unsigned long long)puts);
  }
}
