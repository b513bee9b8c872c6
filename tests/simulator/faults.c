/* SPDX-License-Identifier: Apache-2.0 */
/* The script that fault cases are made of, and the loop over them. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/keygroup.h>
#include "host/engine/engine.h"
#include "tests/simulator/faults.h"
#include "tests/simulator/item.h"

static const fault_mode fault_modes[] = {
  { "store before", 0, 0, FATE_BEFORE },
  { "store before, for good", 0, 1, FATE_BEFORE },
  { "store after", 0, 0, FATE_AFTER },
  { "store after, for good", 0, 1, FATE_AFTER },
  { "store never", 0, 0, FATE_NEVER },
  { "store late", 0, 0, FATE_LATE },
  { "store refused", 0, 0, FATE_REFUSED },
  { "memory", 1, 0, 0 },
  { "memory, for good", 1, 1, 0 },
};

void
script_arm(script *s)
{
  bucket *b = &s->l->b;
  sim_process *process = s->j->process;

  if (s->mode->is_memory) {
    process->alloc_fail_at = s->at;
    process->alloc_fail_for_good = s->mode->for_good;
  } else {
    b->plan_process = process;
    b->plan_at = s->at;
    b->plan_for_good = s->mode->for_good;
    b->plan_fate = s->mode->fate;
  }
}

void
script_disarm(script *s)
{
  s->j->process->alloc_fail_at = 0;
  s->l->b.plan_at = 0;
  s->hits += s->l->b.plan_hits + s->j->process->alloc_failures;
}

void
script_allow(script *s, sb_status status, const sb_error *err,
             const char *what)
{
  if (status != SB_OK && s->l->b.plan_hits == 0 &&
      s->j->process->alloc_failures == 0)
    sim_fail(&s->l->s, SIM_WRONG, "%s fails without a fault: %s: %s", what,
             sb_status_name(status), err->message);
  if (status != SB_OK)
    sim_say(&s->l->s, "%s: %s", what, err->message);
}

void
script_must(script *s, sb_status status, const sb_error *err,
            const char *what)
{
  if (status != SB_OK)
    sim_fail(&s->l->s, SIM_WRONG, "%s fails though all is well again: %s: "
             "%s", what, sb_status_name(status), err->message);
}

/* ---- opening ------------------------------------------------------------ */

static sb_status
script_register(subtask *t, sb_error *err)
{
  life *l = t->job->l;
  uint32_t i;

  for (i = 0; i < l->sp.state_count; i++) {
    const space_state *state = &l->sp.states[i];
    sb_state_options options;
    sb_state_info info;
    sb_status status;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.kind = state->kind;
    options.name = sb_slice_of(state->name, strlen(state->name));
    options.blob = sb_slice_of(state->blob, strlen(state->blob));
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (state->form == FORM_RAW)
      status = t->keyed->ops->register_state(t->keyed, &options, &info, err);
    else if (state->form == FORM_TYPED)
      status = typed_open(t, i, &info, err);
    else
      status = queues_open(t, i, &options, &info, err);
    if (status != SB_OK)
      return status;
    t->ids[i] = info.id;
    t->states |= 1u << i;
  }
  return SB_OK;
}

static sb_status
script_open_keyed(script *s, uint32_t i, sb_error *err)
{
  job *j = s->j;
  subtask *t = &j->subtasks[i];
  sb_keyed_options options;
  sb_status status;
  uint32_t k;

  t->job = j;
  t->index = i;
  (void)sb_key_group_range(s->l->sp.groups, SCRIPT_SUBTASKS, i,
                           &t->group_first, &t->group_last);
  if (t->keys == NULL) {
    t->keys = sim_memory(NULL, s->l->sp.key_count * sizeof *t->keys);
    t->bytes = sim_memory(NULL, s->l->value_max + 32);
    for (k = 0; k < s->l->sp.key_count; k++)
      if (s->l->sp.keys[k].group >= t->group_first &&
          s->l->sp.keys[k].group <= t->group_last)
        t->keys[t->key_count++] = k;
  }
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = s->l->job_name;
  options.operator_id = "op";
  options.subtask = i;
  options.key_group_count = s->l->sp.groups;
  options.key_group_first = t->group_first;
  options.key_group_last = t->group_last;
  options.generation = j->generation;
  if (j->restored != NULL) {
    options.parts = j->restored->parts;
    options.part_count = j->restored->info.part_count;
  }
  status = j->backend->ops->open_keyed(j->backend, &options, &t->keyed, err);
  if (status != SB_OK)
    t->keyed = NULL;
  return status == SB_OK ? script_register(t, err) : status;
}

static sb_status
script_takeover(script *s, sb_error *err)
{
  job *j = s->j;
  life *l = s->l;
  sb_takeover_options options;
  sb_status status;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = l->job_name;
  options.job_id = "a job";
  options.retain = 1;
  j->takeovers = ++l->takeovers;
  status = j->backend->ops->takeover(j->backend, &options, &j->handle, err);
  if (status != SB_OK) {
    j->handle = NULL;
    return status;
  }
  j->generation = j->backend->ops->job_generation(j->handle);
  l->newest_generation = j->generation;
  return SB_OK;
}

static sb_status
script_restore(script *s, sb_error *err)
{
  job *j = s->j;
  life *l = s->l;
  sb_checkpoint_info *list;
  size_t count;
  sb_status status;

  status = j->backend->ops->list(j->backend, l->job_name, &list, &count, err);
  if (status != SB_OK)
    return status;
  ledger_settle(j, list, count);
  if (count != 0) {
    j->from = ledger_find(l, list[0].id, list[0].generation);
    j->next_id = list[0].id + 1;
  }
  j->backend->ops->list_free(j->backend, list, count);
  if (count == 0)
    return SB_OK;
  status = j->backend->ops->checkpoint_open(j->backend, l->job_name, 0, 0,
                                            &j->restored, err);
  if (status != SB_OK) {
    j->restored = NULL;
    return status;
  }
  memcpy(j->m.cells, j->from->cells, l->sp.cells * sizeof *j->m.cells);
  j->states = j->from->states;
  return SB_OK;
}

static void
script_free_snapshots(script *s)
{
  uint32_t i;

  for (i = 0; i < SCRIPT_SUBTASKS; i++) {
    subtask *t = &s->j->subtasks[i];

    if (s->snapshots[i] != NULL)
      t->keyed->ops->snapshot_free(t->keyed, s->snapshots[i]);
    s->snapshots[i] = NULL;
    s->parts[i] = NULL;
  }
}

void
script_write(script *s, uint32_t steps)
{
  uint32_t i;

  while (steps-- != 0)
    act_step(&s->j->subtasks[steps % SCRIPT_SUBTASKS]);
  for (i = 0; i < SCRIPT_SUBTASKS; i++)
    batches_drain(&s->j->subtasks[i]);
}

/* Nothing reads any more. */
static void
script_quiet(script *s)
{
  uint32_t i;

  for (i = 0; i < SCRIPT_SUBTASKS; i++) {
    subtask *t = &s->j->subtasks[i];

    batches_drain(t);
    if (t->keyed != NULL)
      walks_close(t);
    views_close(t, 1);
  }
}

void
script_close(script *s)
{
  job *j = s->j;
  uint32_t i;

  script_quiet(s);
  script_free_snapshots(s);
  for (i = 0; i < SCRIPT_SUBTASKS; i++) {
    subtask *t = &j->subtasks[i];

    subtask_close_states(t);
    if (t->keyed != NULL)
      t->keyed->ops->close(t->keyed);
    t->keyed = NULL;
    t->states = 0;
  }
  if (j->restored != NULL)
    j->backend->ops->checkpoint_close(j->backend, j->restored);
  if (j->handle != NULL)
    j->backend->ops->job_close(j->handle);
  if (j->backend != NULL)
    j->backend->ops->close(j->backend);
  j->restored = NULL;
  j->handle = NULL;
  j->backend = NULL;
}

sb_status
script_open(script *s, sb_error *err)
{
  job *j = s->j;
  life *l = s->l;
  sb_status status;
  uint32_t i;

  status = engine_open(&j->process->host, bucket_open(&l->b, j->process),
                       &l->engine_options,
                       (const sb_config *)(const void *)l->settings,
                       &j->backend, err);
  if (status != SB_OK)
    j->backend = NULL;
  if (status == SB_OK)
    status = script_takeover(s, err);
  if (status == SB_OK)
    status = script_restore(s, err);
  for (i = 0; i < SCRIPT_SUBTASKS && status == SB_OK; i++)
    status = script_open_keyed(s, i, err);
  if (status != SB_OK)
    script_close(s);
  return status;
}

/* ---- checkpoints -------------------------------------------------------- */

sb_status
script_snapshot(script *s, sb_error *err)
{
  job *j = s->j;
  sb_snapshot_options options;
  sb_status status = SB_OK;
  uint32_t i;

  script_free_snapshots(s);
  s->attempt = ledger_new(s->l, j, j->next_id++);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.kind = SB_SNAPSHOT_CHECKPOINT;
  options.checkpoint_id = s->attempt->id;
  for (i = 0; i < SCRIPT_SUBTASKS && status == SB_OK; i++) {
    subtask *t = &j->subtasks[i];

    s->attempt->states |= t->states;
    status = t->keyed->ops->snapshot_begin(t->keyed, &options,
                                           &s->snapshots[i], err);
    if (status != SB_OK)
      s->snapshots[i] = NULL;
  }
  for (i = 0; i < SCRIPT_SUBTASKS && status == SB_OK; i++) {
    subtask *t = &j->subtasks[i];

    status = t->keyed->ops->snapshot_run(t->keyed, s->snapshots[i],
                                         &s->parts[i], err);
    if (status == SB_OK)
      ledger_add_names(s->attempt, s->parts[i]);
  }
  if (status != SB_OK)
    script_free_snapshots(s);
  return status;
}

/* Once; its snapshots are kept while the outcome is unknown. */
sb_status
script_commit(script *s, sb_error *err)
{
  job *j = s->j;
  sb_commit_options options;
  sb_part parts[SCRIPT_SUBTASKS];
  sb_status status;
  sb_error ignored;
  uint32_t i;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.id = s->attempt->id;
  for (i = 0; i < SCRIPT_SUBTASKS; i++)
    parts[i] = *s->parts[i];
  options.parts = parts;
  options.part_count = SCRIPT_SUBTASKS;
  options.blob = sb_slice_of(s->attempt->blob, strlen(s->attempt->blob));
  ledger_commit_began(s->attempt);
  status = j->backend->ops->commit(j->handle, &options, err);
  if (status == SB_UNKNOWN)
    return status;
  if (status == SB_OK)
    ledger_committed(j, s->attempt);
  else
    s->attempt->fate = ATTEMPT_NEVER;
  for (i = 0; i < SCRIPT_SUBTASKS; i++)
    (void)j->subtasks[i].keyed->ops->notify(
      j->subtasks[i].keyed,
      status == SB_OK ? SB_NOTIFY_COMPLETE : SB_NOTIFY_ABORTED, options.id,
      &ignored);
  script_free_snapshots(s);
  return status;
}

static void
script_compare(script *s)
{
  uint32_t i;
  sb_error err;

  for (i = 0; i < SCRIPT_SUBTASKS; i++) {
    subtask *t = &s->j->subtasks[i];
    comparison c = { s->l, s->j->process, t->keyed, t->ids, t->states,
                     t->group_first, t->group_last, s->j->m.cells,
                     "after the fault", NULL, 0, 0 };

    script_must(s, compare_all(&c, &err), &err, "a scan");
    script_must(s, compare_gets(&c, 10, &s->l->rng, &err), &err, "a get");
  }
}

void
script_check(script *s)
{
  sb_error err;
  sb_status status;
  uint32_t tries = 0;

  while (s->attempt != NULL && s->attempt->fate == ATTEMPT_MAYBE) {
    status = script_commit(s, &err);
    if (status == SB_UNKNOWN && ++tries > 100)
      script_must(s, status, &err, "to settle a commit");
    sim_sleep(&s->l->s, 100 * SIM_MS);
  }
  script_free_snapshots(s);
  script_quiet(s);
  script_compare(s);
  /* The second one no longer holds what background work still read. */
  for (tries = 0; tries < 2; tries++) {
    script_must(s, script_snapshot(s, &err), &err, "a snapshot");
    script_must(s, script_commit(s, &err), &err, "a commit");
    sim_sleep(&s->l->s, 1000 * SIM_MS);
  }
}

/* ---- a run -------------------------------------------------------------- */

static void
script_free_job(void *arg)
{
  job *j = arg;
  uint32_t i;

  for (i = 0; i < LIFE_SUBTASKS_MAX; i++)
    subtask_dispose(&j->subtasks[i]);
  model_dispose(&j->m);
  free(j);
}

/* After a crash: from the last checkpoint, without faults. */
static void
script_recover(script *s)
{
  sb_error err;

  script_must(s, script_open(s, &err), &err, "to open after a crash");
  script_check(s);
}

static void
script_task(void *arg)
{
  script *s = arg;
  char text[200];

  if (s->crashed)
    script_recover(s);
  else
    s->what->run(s);
  script_close(s);
  if (sim_process_left(s->j->process, text, sizeof text))
    sim_fail(&s->l->s, SIM_LEAKED, "the process has closed all and leaves %s",
             text);
  s->j->closed = 1;
}

void
script_renew(script *s)
{
  life *l = s->l;
  job *j = sim_memory(NULL, sizeof *j);
  uint32_t i;

  memset(j, 0, sizeof *j);
  j->l = l;
  j->next_id = 1;
  j->subtask_count = SCRIPT_SUBTASKS;
  j->generation = UINT64_MAX;
  for (i = 0; i < l->sp.state_count; i++)
    j->ttls[i] = l->sp.states[i].ttl_ms;
  model_init(&j->m, &l->sp);
  j->process = sim_process_new(&l->s, "script", l->settings);
  j->process->disposed = j;
  j->process->dispose = script_free_job;
  j->next = l->all;
  l->all = j;
  s->j = j;
}

static void
script_start(script *s)
{
  (void)sim_spawn(s->j->process, 0, "script", script_task, s);
  while (!s->j->closed && !s->j->process->dead)
    sim_sleep(&s->l->s, 10 * SIM_MS);
}

static void
script_master(void *arg)
{
  life *l = arg;
  script *s = l->special;
  sim_process *process;

  script_renew(s);
  script_start(s);
  if (s->j->process->dead) {
    script_disarm(s);
    s->crashed = 1;
    s->attempt = NULL;
    memset(s->snapshots, 0, sizeof s->snapshots);
    script_renew(s);
    script_start(s);
  }
  for (process = l->s.processes; process != NULL; process = process->next)
    while (process != l->master && process->tasks != NULL)
      sim_sleep(&l->s, 10 * SIM_MS);
  while (bucket_pending(&l->b) != 0)
    sim_sleep(&l->s, 100 * SIM_MS);
  final_check(l);
  sim_finish(&l->s);
}

static void
script_prepare(void *arg, life *l)
{
  script *s = arg;
  rng r = rng_of(1, 77);
  uint32_t i;

  s->l = l;
  l->special = s;
  do {
    space_dispose(&l->sp);
    space_init(&l->sp, &r);
  } while (l->sp.state_count < 4 || l->sp.key_count > 40);
  for (i = 0; i < l->sp.state_count && s->what->form != FORM_RAW; i++) {
    space_state *state = &l->sp.states[i];

    if (s->what->form == FORM_TYPED && state->kind != SB_STATE_TIMER)
      life_typed(state, &r);
    if (s->what->form != FORM_TYPED && state->kind == SB_STATE_TIMER)
      elements_make(&l->sp, i, s->what->form, &r);
  }
  bucket_dispose(&l->b);
  bucket_init(&l->b, &l->s, SB_STORE_CREATE |
              (l->s.seed % 2 == 0 ? SB_STORE_MATCH : 0));
  l->b.removing = ledger_removing;
  l->b.removing_arg = l;
  l->b.late_max_ns = 500 * SIM_MS;
  l->trouble = 0;
  l->alloc_trouble = 0;
  l->operators = 1;
  l->retain = l->retain_floor = 1;
  l->value_usual = 30000;
  l->value_max = 600000;
  l->batch = 100;
  l->scan = 100;
  l->memory_size = 4u << 20;
  memset(l->settings, 0, sizeof l->settings);
  life_setting(l, "state.backend", 0, "sim");
  life_setting(l, "state.backend.memory.size", 4 << 20, NULL);
  life_setting(l, "state.backend.block.size", 4096, NULL);
  life_setting(l, "state.backend.segment.size", 256 << 10, NULL);
  life_setting(l, "state.backend.compaction.runs", 2, NULL);
  life_setting(l, "state.backend.compaction.enabled", 1, NULL);
}

/* ---- the loop ----------------------------------------------------------- */

/* 1 if something failed; *hit tells whether the fault was met. */
static int
fault_run(const fault_case *what, const fault_mode *mode, uint64_t at,
          int verbose, life_result *result, int *hit)
{
  script s;
  life_special special = { &s, script_prepare, script_master, NULL };
  int failed;

  memset(&s, 0, sizeof s);
  s.what = what;
  s.mode = mode;
  s.at = at;
  failed = life_of_seed(at, 0, verbose, &special, result);
  if (failed)
    printf("  in case %s, mode %s, number %llu\n", what->name, mode->name,
           (unsigned long long)at);
  *hit = s.hits != 0;
  return failed;
}

static uint64_t
fault_loop_one(const fault_case *what, const fault_mode *mode, int brief,
               int verbose, uint64_t *failures, life_result *result)
{
  uint64_t at = 1, runs = 0;
  int hit;

  do {
    int failed = fault_run(what, mode, at, verbose, result, &hit);

    *failures += (uint64_t)failed;
    hit |= failed;
    runs++;
    at += brief && at > 8 ? 1 + at / 8 : 1;
  } while (hit && *failures < 50);
  return runs;
}

int
fault_loop(int verbose, int brief, const char *only)
{
  life_result result;
  uint64_t failures = 0, runs = 0;
  size_t i, m;
  unsigned long long at;

  memset(&result, 0, sizeof result);
  if (only != NULL && sscanf(only, "%zu:%zu:%llu", &i, &m, &at) == 3) {
    int hit;

    return fault_run(&fault_cases[i], &fault_modes[m], at, verbose, &result,
                     &hit);
  }
  for (i = 0; i < fault_case_count; i++)
    for (m = 0; m < sizeof fault_modes / sizeof fault_modes[0]; m++) {
      uint64_t n = fault_loop_one(&fault_cases[i], &fault_modes[m], brief,
                                  verbose, &failures, &result);

      runs += n;
      if (verbose)
        printf("case %zu %s, mode %zu %s: %llu runs\n", i,
               fault_cases[i].name, m, fault_modes[m].name,
               (unsigned long long)n);
    }
  printf("sim faults=%llu failures=%llu\n", (unsigned long long)runs,
         (unsigned long long)failures);
  return failures != 0;
}
