/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's process: takes over, restores onto its subtasks, makes checkpoints
 * until it is stopped, closes everything and must leave nothing behind. What
 * fails for good ends in a crash, as with a real processor.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <statebackend/keygroup.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

void
job_give_up(job *j, const char *why)
{
  sim_say(&j->l->s, "gives up: %s", why);
  sim_crash(j->process);
}

/* A take-over that stalled may go on and succeed after a later one, even if
   its process dies before it knows. */
int
job_was_replaced(const life *l, uint64_t takeovers, uint64_t generation,
                 uint64_t since_ns, const job *but)
{
  const job *j;

  if (takeovers != l->takeovers || generation < l->newest_generation)
    return 1;
  for (j = l->all; j != NULL; j = j->next)
    if (j != but && j->taking &&
        (!j->process->dead || j->process->died_ns >= since_ns))
      return 1;
  return 0;
}

int
job_is_old(const job *j)
{
  return job_was_replaced(j->l, j->takeovers, j->generation, j->taking_ns, j);
}

/* Failures that the bucket's or the allocator's trouble explains. A successor
   may remove what an old process still reads. */
static int
job_explains(const job *j, sb_status status)
{
  const life *l = j->l;
  int trouble = l->b.unkind || l->b.faults != j->faults_at_start ||
                l->b.plan_hits != 0;

  switch (status) {
  case SB_IO:
  case SB_UNAVAILABLE:
  case SB_TIMEOUT:
  case SB_UNKNOWN:
  case SB_BUSY:
    return trouble || job_is_old(j);
  case SB_NO_MEMORY:
    return trouble || j->process->alloc_failures != 0 || job_is_old(j);
  case SB_CORRUPT:
    return l->b.flips != 0 || job_is_old(j);
  case SB_CANCELLED:
    return j->interrupted;
  case SB_NOT_FOUND:
  case SB_FENCED:
    return job_is_old(j);
  default:
    return 0;
  }
}

int
job_tolerates(job *j, sb_status status, const sb_error *err,
              const char *what)
{
  life *l = j->l;

  if (status == SB_OK)
    return 0;
  sim_say(&l->s, "%s: %s: %s", what, sb_status_name(status), err->message);
  if (err->status != status)
    sim_fail(&l->s, SIM_WRONG, "%s returns %s, but the error says %s: %s",
             what, sb_status_name(status), sb_status_name(err->status),
             err->message);
  if (!job_explains(j, status))
    sim_fail(&l->s, SIM_WRONG, "%s: %s: %s", what, sb_status_name(status),
             err->message);
  l->did.tolerated++;
  return 1;
}

/* Waits a little after a failure; gives up when it has been too often. */
static void
job_pause(job *j, uint32_t *tries, const char *what)
{
  if (++*tries > 12 && !j->quiet)
    job_give_up(j, what);
  if (*tries > 500)
    sim_fail(&j->l->s, SIM_WRONG, "%s fails again and again", what);
  sim_sleep(&j->l->s, rng_range(&j->l->rng, 1, 200) * SIM_MS);
}

static void
job_open(job *j)
{
  life *l = j->l;
  sb_error err;
  uint32_t tries = 0;

  for (;;) {
    sb_status status =
      engine_open(&j->process->host, bucket_open(&l->b, j->process),
                  &l->engine_options,
                  (const sb_config *)(const void *)l->settings, &j->backend,
                  &err);

    if (!job_tolerates(j, status, &err, "engine_open"))
      return;
    job_pause(j, &tries, "engine_open");
  }
}

static void
job_takeover(job *j)
{
  life *l = j->l;
  sb_takeover_options options;
  sb_error err;
  uint32_t tries = 0;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = l->job_name;
  options.job_id = "a job";
  options.retain = j->retain;
  for (;;) {
    sb_status status;

    j->takeovers = ++l->takeovers;
    j->generation = UINT64_MAX;
    j->taking = 1;
    j->taking_ns = l->s.now_ns;
    status = j->backend->ops->takeover(j->backend, &options, &j->handle,
                                       &err);
    j->taking = 0;
    if (status == SB_OK)
      break;
    if (status == SB_FENCED && job_is_old(j))
      job_give_up(j, "another one has taken over");
    (void)job_tolerates(j, status, &err, "takeover");
    /* One that stalled may have replaced a later one before it failed. */
    if (j->takeovers != l->takeovers)
      j->takeovers = ++l->takeovers;
    job_pause(j, &tries, "takeover");
  }
  j->generation = j->backend->ops->job_generation(j->handle);
  sim_say(&l->s, "generation %llu", (unsigned long long)j->generation);
  if (!job_is_old(j) && j->generation <= l->newest_generation)
    sim_fail(&l->s, SIM_WRONG, "takeover gives generation %llu after %llu",
             (unsigned long long)j->generation,
             (unsigned long long)l->newest_generation);
  if (j->generation > l->newest_generation)
    l->newest_generation = j->generation;
}

static sb_checkpoint_info *
job_list(job *j, size_t *count)
{
  life *l = j->l;
  sb_checkpoint_info *list;
  sb_error err;
  uint32_t tries = 0;

  for (;;) {
    sb_status status = j->backend->ops->list(j->backend, l->job_name, &list,
                                             count, &err);

    if (!job_tolerates(j, status, &err, "list"))
      break;
    job_pause(j, &tries, "list");
  }
  if (!job_is_old(j))
    ledger_settle(j, list, *count);
  return list;
}

/* Its last commit had no clear answer: a list may say either. */
static int
is_undecided(const job *j)
{
  const attempt *a;

  for (a = j->l->attempts; a != NULL; a = a->next)
    if (a->generation == j->generation && a->fate == ATTEMPT_MAYBE)
      return 1;
  return 0;
}

static void
job_check_checkpoint(job *j, const sb_checkpoint *checkpoint,
                     const attempt *a)
{
  if (checkpoint->info.id != a->id ||
      checkpoint->info.generation != a->generation)
    sim_fail(&j->l->s, SIM_WRONG, "checkpoint_open gives another checkpoint");
  if (checkpoint->blob.len != strlen(a->blob) ||
      memcmp(checkpoint->blob.data, a->blob, checkpoint->blob.len) != 0)
    sim_fail(&j->l->s, SIM_WRONG, "checkpoint %llu has another blob",
             (unsigned long long)a->id);
}

static void
job_restored(job *j)
{
  memcpy(j->m.cells, j->from->cells, j->l->sp.cells * sizeof *j->m.cells);
  j->states = j->from->states;
  j->l->did.restored++;
}

/* Begins with a savepoint instead of the newest checkpoint: 1 if it does. */
static int
job_restore_savepoint(job *j)
{
  life *l = j->l;
  int claims = rng_chance(&l->rng, 400);
  attempt *a;
  uint32_t tries = 0;
  sb_error err;

  if (l->savepoints == 0 || j->quiet || job_is_old(j) ||
      !rng_chance(&l->rng, 350))
    return 0;
  a = savepoint_pick(l, &l->rng);
  if (a == NULL)
    return 0;
  a->claimed = claims;
  while (job_tolerates(j, savepoint_open_source(l, j->backend, a, claims
                                                ? SB_RESTORE_CLAIM
                                                : SB_RESTORE_NO_CLAIM,
                                                "a job", &j->restored, &err),
                       &err, "restore_open")) {
    if (job_is_old(j))
      job_give_up(j, "restore_open, being old");
    job_pause(j, &tries, "restore_open");
  }
  if (claims)
    savepoint_check_claimed(j, a);
  l->did.claims += (uint64_t)claims;
  l->did.no_claims += !claims;
  j->no_claim = !claims;
  j->from = a;
  if (a->id >= j->next_id)
    j->next_id = a->id + 1;
  job_restored(j);
  return 1;
}

static void
job_restore(job *j)
{
  life *l = j->l;
  sb_checkpoint_info *list;
  size_t count, pick = 0;
  uint32_t tries = 0;
  sb_error err;

  list = job_list(j, &count);
  if (count != 0) {
    if (!j->quiet && rng_chance(&l->rng, 150))
      pick = (size_t)rng_below(&l->rng, count);
    j->from = ledger_find(l, list[pick].id, list[pick].generation);
    j->next_id = list[0].id + 1;
  }
  j->backend->ops->list_free(j->backend, list, count);
  if (job_restore_savepoint(j) || (j->from == NULL && !job_is_old(j)))
    return;
  if (j->from == NULL)
    job_give_up(j, "an unknown list, being old");
  for (;;) {
    sb_status status =
      j->backend->ops->checkpoint_open(j->backend, l->job_name, j->from->id,
                                       0, &j->restored, &err);

    if (!job_tolerates(j, status, &err, "checkpoint_open"))
      break;
    if (job_is_old(j))
      job_give_up(j, "checkpoint_open, being old");
    job_pause(j, &tries, "checkpoint_open");
  }
  job_check_checkpoint(j, j->restored, j->from);
  job_restored(j);
}

/* Schema versions grow from life to life, of what this one registers. */
static void
job_versions(job *j)
{
  life *l = j->l;
  uint32_t i;
  size_t k;

  for (i = 0; i < l->sp.state_count; i++)
    j->ttls[i] = l->sp.states[i].ttl_ms;
  if (j->from != NULL) {
    memcpy(j->versions, j->from->versions, sizeof j->versions);
    memcpy(j->ttls, j->from->ttls, sizeof j->ttls);
  }
  for (i = 0; i < l->sp.state_count; i++) {
    if ((j->registers >> i & 1) == 0)
      continue;
    if (l->migrates != 0 && rng_chance(&l->rng, l->migrates) &&
        j->versions[i] < LIFE_VERSIONS_MAX &&
        l->sp.states[i].elements == NULL)
      j->versions[i] += (uint32_t)rng_range(&l->rng, 1, 2);
    if (l->drops != 0 && rng_chance(&l->rng, l->drops))
      j->drops |= 1u << i;
    if (l->ttl_changes != 0 && rng_chance(&l->rng, l->ttl_changes))
      j->ttls[i] = life_ttl(&l->sp.states[i], &l->rng);
  }
  for (k = 0; l->migrates != 0 && k < l->sp.cells; k++) {
    i = space_place(&l->sp, k).state;
    j->m.cells[k] = cell_migrated(&l->sp, j->m.cells[k], j->versions[i]);
  }
}

static void
job_start_subtasks(job *j)
{
  life *l = j->l;
  uint32_t most = l->subtasks_max / l->operators, number, i;

  for (number = 0; number < l->operators; number++) {
    uint32_t count = (uint32_t)rng_range(&l->rng, 1, most);

    for (i = 0; i < count; i++) {
      subtask *t = &j->subtasks[j->subtask_count];

      t->job = j;
      t->slot = j->subtask_count++;
      t->operator_number = number;
      t->index = i;
      if (sb_key_group_range(l->sp.groups, count, i, &t->group_first,
                             &t->group_last) != SB_OK)
        sim_fail(&l->s, SIM_WRONG, "sb_key_group_range fails");
    }
  }
  if (j->restored != NULL && j->restored->info.part_count != j->subtask_count)
    l->did.rescales++;
  for (i = 0; i < j->subtask_count; i++)
    (void)sim_spawn(j->process, 0, "subtask", subtask_main, &j->subtasks[i]);
}

static int
subtasks_are(const job *j, int closed)
{
  uint32_t i;

  for (i = 0; i < j->subtask_count; i++)
    if (closed ? !j->subtasks[i].closed : !j->subtasks[i].ready)
      return 0;
  return 1;
}

static void
job_gc(job *j)
{
  sb_gc_report report;
  sb_error err;
  uint32_t flags = rng_chance(&j->l->rng, 200) ? SB_GC_DRY_RUN : 0;
  sb_status status;

  memset(&report, 0, sizeof report);
  report.struct_size = sizeof report;
  status = j->backend->ops->gc(j->handle, flags, &report, &err);
  if (status == SB_FENCED && job_is_old(j))
    j->fenced = 1;
  else
    (void)job_tolerates(j, status, &err, "gc");
  j->l->did.gcs++;
}

static void
job_remove_some(job *j)
{
  life *l = j->l;
  sb_checkpoint_info *list;
  size_t count, pick;
  attempt *a = NULL;
  sb_error err;
  sb_status status;

  if (is_undecided(j))
    return;
  list = job_list(j, &count);
  if (count > 1) {
    pick = 1 + (size_t)rng_below(&l->rng, count - 1);
    a = ledger_find(l, list[pick].id, list[pick].generation);
  }
  j->backend->ops->list_free(j->backend, list, count);
  if (a == NULL || job_is_old(j))
    return;
  a->removing = 1;
  status = j->backend->ops->remove(j->handle, a->id, &err);
  if (status == SB_FENCED && job_is_old(j))
    j->fenced = 1;
  else if (status != SB_BUSY && status != SB_NOT_FOUND)
    (void)job_tolerates(j, status, &err, "remove");
}

static void
job_retain(job *j)
{
  life *l = j->l;
  uint32_t count = (uint32_t)rng_range(&l->rng, 1, 4);
  sb_error err;

  if (count < l->retain_floor)
    l->retain_floor = count;
  (void)job_tolerates(j, j->backend->ops->retain(j->handle, count, &err),
                      &err, "retain");
}

static void
job_list_again(job *j)
{
  sb_checkpoint_info *list;
  size_t count;

  if (is_undecided(j))
    return;
  list = job_list(j, &count);
  j->backend->ops->list_free(j->backend, list, count);
}

/* As a processor does to end a subtask that may be waiting. */
static void
job_interrupt(job *j)
{
  subtask *t = &j->subtasks[rng_below(&j->l->rng, j->subtask_count)];

  sim_say(&j->l->s, "interrupt of subtask %u", t->slot);
  j->l->did.interrupts++;
  j->interrupted = t->interrupted = 1;
  t->keyed->ops->interrupt(t->keyed);
  j->stop = 1;
}

static void
job_keep_house(job *j)
{
  rng *r = &j->l->rng;

  if (rng_chance(r, 10))
    job_gc(j);
  if (rng_chance(r, 5))
    job_remove_some(j);
  if (rng_chance(r, 3))
    job_retain(j);
  if (rng_chance(r, 10))
    job_list_again(j);
}

static void
job_work(job *j)
{
  life *l = j->l;

  while (!j->stop && !j->fenced && !l->stopping) {
    sim_sleep(&l->s, rng_range(&l->rng, 1, 2 + l->checkpoint_every_ms / 4) *
              SIM_MS);
    rounds_step(j);
    if (!l->hosted)
      job_keep_house(j);
    if (rng_chance(&l->rng, 4) && !j->stop && !l->calm)
      job_interrupt(j);
  }
}

static void
job_check_left(job *j)
{
  char text[200];

  if (sim_process_left(j->process, text, sizeof text))
    sim_fail(&j->l->s, SIM_LEAKED, "%s has closed all and leaves %s",
             j->process->name, text);
}

static void
job_close(job *j)
{
  life *l = j->l;

  j->stop = 1;
  rounds_end(j);
  while (!subtasks_are(j, 1))
    sim_sleep(&l->s, SIM_MS);
  if (j->restored != NULL)
    j->backend->ops->checkpoint_close(j->backend, j->restored);
  if (j->handle != NULL)
    j->backend->ops->job_close(j->handle);
  j->backend->ops->close(j->backend);
  sim_say(&l->s, "closed, peak of memory %zu", j->process->memory_peak);
  job_check_left(j);
  j->closed = 1;
}

static void
job_main(void *arg)
{
  job *j = arg;
  life *l = j->l;

  job_open(j);
  if (l->hosted) {
    manager_takeover(j);
    if (j->from != NULL)
      job_restored(j);
  } else {
    job_takeover(j);
    if (rng_chance(&l->rng, 300))
      job_gc(j);
    job_restore(j);
  }
  job_versions(j);
  job_start_subtasks(j);
  while (!subtasks_are(j, 0))
    sim_sleep(&l->s, SIM_MS);
  j->ready = 1;
  if (!j->quiet)
    job_work(j);
  else
    rounds_final(j);
  if (j->fenced)
    l->did.fenced++;
  job_close(j);
}

static void
job_free(void *arg)
{
  job *j = arg;
  uint32_t i;

  for (i = 0; i < LIFE_SUBTASKS_MAX; i++)
    subtask_dispose(&j->subtasks[i]);
  model_dispose(&j->m);
  free(j);
}

job *
job_begin(life *l, int quiet)
{
  job *j = sim_memory(NULL, sizeof *j);
  uint32_t i;

  memset(j, 0, sizeof *j);
  j->l = l;
  j->quiet = quiet;
  j->next_id = 1;
  for (i = 0; i < l->sp.state_count; i++)
    if (quiet || rng_chance(&l->rng, 850))
      j->registers |= 1u << i;
  j->retain = quiet ? 1 : l->retain;
  j->faults_at_start = l->b.faults;
  model_init(&j->m, &l->sp);
  j->process = sim_process_new(&l->s, quiet ? "final" : "job", l->settings);
  j->process->disposed = j;
  j->process->dispose = job_free;
  l->did.jobs++;
  j->next = l->all;
  l->all = j;
  (void)sim_spawn(j->process, 0, "coordinator", job_main, j);
  return j;
}
