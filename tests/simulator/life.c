/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The master of a life: chooses its character from the seed, crashes, stalls,
 * wakes and replaces the jobs, and in the end asks for everything back.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

#define LIFE_PROCESSES_MAX 64
#define LIFE_JOBS_MAX 40 /* then it calms down, so that steps are done */

/* ---- character ---------------------------------------------------------- */

static uint32_t
some(rng *r, uint32_t per_mille, uint32_t max)
{
  return rng_chance(r, per_mille) ? (uint32_t)rng_range(r, 1, max) : 0;
}

static void
life_bucket(life *l)
{
  rng *r = &l->rng;
  bucket *b = &l->b;

  bucket_init(b, &l->s, SB_STORE_CREATE |
              (rng_chance(r, 750) ? SB_STORE_MATCH : 0) |
              (rng_chance(r, 500) ? SB_STORE_COPY : 0));
  b->removing = ledger_removing;
  b->removing_arg = l;
  b->latency_max_ns = rng_range(r, 1, 40) * SIM_MS;
  b->slow = some(r, 500, 30);
  b->at_once = some(r, 300, 300);
  b->yield = some(r, 700, 400);
  l->trouble = rng_chance(r, 650);
  if (!l->trouble)
    return;
  b->fail_before = some(r, 800, 40);
  b->fail_after = some(r, 600, 30);
  b->fail_late = some(r, 600, 30);
  b->fail_never = some(r, 500, 20);
  b->flip = some(r, 200, 20);
  b->late_max_ns = rng_range(r, 10, 20000) * SIM_MS;
  if (rng_chance(r, 250)) {
    /* All but the swaps goes well, and those get lost in many ways. */
    b->fail_before = b->fail_after = b->fail_late = b->fail_never = 0;
    b->fail_head = (uint32_t)rng_range(r, 200, 800);
    b->late_max_ns = rng_range(r, 10, 2000) * SIM_MS;
  }
  l->alloc_trouble = some(r, 250, 3);
}

void
life_setting(life *l, const char *key, int64_t number, const char *text)
{
  sim_setting *setting = l->settings;

  while (setting->key != NULL)
    setting++;
  setting->key = key;
  setting->number = number;
  setting->text = text;
}

static void
life_settings(life *l)
{
  rng *r = &l->rng;

  l->memory_size = rng_range(r, 4, 8) << 20;
  life_setting(l, "state.backend", 0, "sim");
  life_setting(l, "state.backend.memory.size", (int64_t)l->memory_size, NULL);
  life_setting(l, "state.backend.block.size",
               (int64_t)(1024u << rng_below(r, 4)), NULL);
  life_setting(l, "state.backend.segment.size",
               (int64_t)((64u << 10) << rng_below(r, 5)), NULL);
  life_setting(l, "state.backend.compaction.runs",
               (int64_t)rng_range(r, 2, 6), NULL);
  life_setting(l, "state.backend.compaction.enabled",
               rng_chance(r, 900), NULL);
  l->engine_options.struct_size = sizeof l->engine_options;
  l->engine_options.compression = (uint32_t)rng_below(r, 2);
  l->engine_options.base_path = rng_chance(r, 500) ? "" : "a/base";
  l->engine_options.state_prefix = "state";
  l->engine_options.checkpoint_prefix = "checkpoints";
  l->engine_options.savepoint_prefix = "savepoints";
  l->engine_options.extension = ".state";
  l->engine_options.part_size = 8u << 20;
  l->job_name = rng_chance(r, 500) ? "" : "job-1";
}

static void
life_character(life *l)
{
  rng *r = &l->rng;

  space_init(&l->sp, r);
  life_settings(l);
  life_bucket(l);
  l->subtasks_max = (uint32_t)rng_range(r, 1, LIFE_SUBTASKS_MAX);
  l->operators = 1;
  if (l->sp.state_count > 1 && rng_chance(r, 300)) {
    l->operators = 2;
    l->subtasks_max = l->subtasks_max < 2 ? 2 : l->subtasks_max;
  }
  l->retain = (uint32_t)rng_range(r, 1, 4);
  l->retain_floor = l->retain;
  l->rounds_max = (uint32_t)rng_range(r, 1, LIFE_ROUNDS_MAX);
  l->pressure = rng_chance(r, 400);
  l->value_usual = (uint32_t)rng_range(r, 16, 200);
  l->value_max = 4000;
  if (l->pressure) {
    /* A larger record may find the budget taken by sibling handles, which
       nobody can make to give way. */
    l->value_max = (uint32_t)(l->memory_size / rng_range(r, 8, 40) /
                              l->subtasks_max);
    l->value_usual = (uint32_t)rng_range(r, l->value_max / 16,
                                         l->value_max / 2);
  }
  l->expiry = some(r, 300, 300);
  l->batch = some(r, 700, 400);
  if (getenv("SIM_NO_BATCH") != NULL)
    l->batch = 0;
  l->scan = some(r, 700, 200);
  l->idle = (uint32_t)rng_range(r, 50, 700);
  l->unrest = (uint32_t)rng_range(r, 1, 40);
  l->checkpoint_every_ms = (uint32_t)rng_range(r, 4, 400);
}

/* With the typed interface one that comes or goes is not followed. */
uint64_t
life_ttl(const space_state *s, rng *r)
{
  if (s->time_kind == SB_TIME_EXPIRY)
    return 0;
  if (s->form == FORM_RAW && rng_chance(r, 100))
    return 0;
  return rng_range(r, 1, 5000);
}

void
life_typed(space_state *s, rng *r)
{
  s->form = FORM_TYPED;
  s->flags &= SB_STATE_MOSTLY_HIT;
  s->time_kind = SB_TIME_EXPIRY;
  s->time_offset = 0;
  s->ttl_ms = 0;
  if (s->kind == SB_STATE_REDUCING && rng_chance(r, 500))
    s->kind = SB_STATE_AGGREGATING;
  s->nulls = s->kind == SB_STATE_MAP && rng_chance(r, 500);
  if (!rng_chance(r, 400))
    return;
  s->time_kind = s->kind == SB_STATE_LIST ? SB_TIME_VALUE : SB_TIME_STAMP;
  s->ttl_ms = life_ttl(s, r);
  s->renews = s->kind != SB_STATE_LIST && rng_chance(r, 300);
  s->cleanup = some(r, 400, 3);
  s->flags |= (rng_chance(r, 300) ? SB_STATE_EVENT_TIME : 0) |
              (rng_chance(r, 300) ? SB_STATE_SHOW_EXPIRED : 0);
}

/* What came later, from numbers of its own: the rest of a life stays as it
   was. */
static void
life_features(life *l)
{
  rng r = rng_of(l->s.seed, 11);
  uint32_t i;

  l->full = rng_chance(&r, 350);
  l->migrates = some(&r, 350, 600);
  l->drops = some(&r, 200, 150);
  l->namespaces = some(&r, 300, 500);
  l->event = some(&r, 600, 100);
  l->savepoints = some(&r, 350, 300);
  l->ttl_changes = some(&r, 400, 600);
  for (i = 0; i < l->sp.state_count; i++) {
    space_state *s = &l->sp.states[i];

    if (s->kind == SB_STATE_TIMER || !rng_chance(&r, 500))
      continue;
    if (rng_chance(&r, 600)) {
      s->time_kind = rng_chance(&r, 300) ? SB_TIME_VALUE : SB_TIME_STAMP;
      if (s->time_kind == SB_TIME_VALUE && rng_chance(&r, 500))
        s->time_offset = STAMP_OFFSET;
      s->ttl_ms = life_ttl(s, &r);
    }
    s->flags = (rng_chance(&r, 300) ? SB_STATE_EVENT_TIME : 0) |
               (rng_chance(&r, 250) ? SB_STATE_SHOW_EXPIRED : 0) |
               (rng_chance(&r, 200) ? SB_STATE_MOSTLY_HIT : 0);
  }
  for (i = 0; i < l->sp.state_count; i++)
    if (l->sp.states[i].kind != SB_STATE_TIMER && rng_chance(&r, 350))
      life_typed(&l->sp.states[i], &r);
  for (i = 0; i < l->sp.state_count; i++)
    l->typed_batches |= l->sp.states[i].form == FORM_TYPED &&
                        rng_chance(&r, 300);
  for (i = 0; i < l->sp.state_count; i++)
    if (l->sp.states[i].kind == SB_STATE_TIMER && rng_chance(&r, 750))
      elements_make(&l->sp, i, (uint32_t)rng_range(&r, FORM_QUEUE,
                                                   FORM_TIMERS), &r);
  l->hosted = rng_chance(&r, 150);
  if (!l->hosted)
    return;
  l->savepoints = 0;
  l->engine_options.layout = 0;
  l->calm = rng_chance(&r, 400);
  if (l->calm)
    l->trouble = 0;
}

/* ---- the master --------------------------------------------------------- */

static int
job_is_over(const job *j)
{
  return j->process->dead || j->closed;
}

static void
life_phase(life *l)
{
  bucket *b = &l->b;
  sim_process *process;

  if (l->did.jobs > LIFE_JOBS_MAX) {
    l->unrest = 0;
    l->trouble = (uint32_t)b->unkind; /* ends with the next phase */
  }
  if (!l->trouble || !rng_chance(&l->rng, b->fail_head == 0 ? 100
                                          : b->unkind ? 20 : 400))
    return;
  b->unkind = !b->unkind;
  sim_say(&l->s, b->unkind ? "trouble begins" : "trouble ends");
  for (process = l->s.processes; process != NULL; process = process->next)
    process->alloc_fail_per_mille = b->unkind ? l->alloc_trouble : 0;
}

static void
life_crash(life *l, job *j)
{
  sim_process *process = j->process;

  if (job_is_over(j) || process->doomed)
    return;
  l->did.crashes++;
  if (process->stalled || rng_chance(&l->rng, 300)) {
    sim_crash(process);
    return;
  }
  process->crash_at_request = 1 + rng_skewed(&l->rng, 60);
  process->crash_moment = (uint32_t)rng_below(&l->rng, BUCKET_CRASHES);
}

static void
life_old_ones(life *l, job **old, size_t *count)
{
  size_t i = 0;

  while (i < *count) {
    job *j = old[i];

    if (!job_is_over(j)) {
      if (j->process->stalled && rng_chance(&l->rng, 60))
        sim_wake(j->process);
      else if (rng_chance(&l->rng, 10))
        sim_crash(j->process);
      else if (!j->process->stalled && rng_chance(&l->rng, 20))
        j->stop = 1;
      i++;
    } else {
      old[i] = old[--*count];
    }
  }
}

static void
life_outsiders(life *l)
{
  sim_process *process;

  for (process = l->s.processes; process != NULL; process = process->next)
    if (process->dead && process->user != NULL) {
      ((attempt *)process->user)->pins--;
      process->user = NULL;
    }
  if (!l->stopping && !l->hosted && rng_chance(&l->rng, 40) &&
      l->current != NULL &&
      l->current->ready)
    outsider_begin(l);
}

static void
life_replace(life *l, job **old, size_t *count)
{
  job *j = l->current;

  if (j == NULL || job_is_over(j)) {
    l->current = job_begin(l, 0);
    if (l->b.unkind)
      l->current->process->alloc_fail_per_mille = l->alloc_trouble;
    return;
  }
  if (l->calm) {
    j->stop |= rng_chance(&l->rng, l->unrest);
    return;
  }
  if (*count < LIFE_PROCESSES_MAX && rng_chance(&l->rng, l->unrest)) {
    if (rng_chance(&l->rng, 800))
      sim_stall(j->process);
    old[(*count)++] = j;
    l->did.zombies++;
    l->current = NULL;
  } else if (rng_chance(&l->rng, l->unrest)) {
    life_crash(l, j);
  } else if (rng_chance(&l->rng, l->unrest / 2)) {
    j->stop = 1;
  } else if (rng_chance(&l->rng, l->unrest / 2)) {
    sim_stall(j->process);
    sim_sleep(&l->s, rng_skewed(&l->rng, 2000 * SIM_MS));
    sim_wake(j->process);
  }
}

static void
life_settle(life *l)
{
  sim_process *process;
  uint64_t rounds = 0;
  int alive;

  l->stopping = 1;
  l->b.unkind = 0;
  do {
    alive = 0;
    for (process = l->s.processes; process != NULL; process = process->next) {
      process->alloc_fail_per_mille = 0;
      if (process->stalled)
        sim_wake(process);
      alive += process->tasks != NULL && process != l->master;
    }
    life_outsiders(l);
    sim_sleep(&l->s, 100 * SIM_MS);
    if (++rounds > 100000)
      sim_fail(&l->s, SIM_WRONG, "processes do not end: %s",
               l->current == NULL ? "" : l->current->process->name);
  } while (alive || bucket_pending(&l->b) != 0);
}

static void
life_master(void *arg)
{
  life *l = arg;
  job *old[LIFE_PROCESSES_MAX];
  size_t count = 0;
  job *last;

  while (!l->stopping) {
    life_phase(l);
    life_replace(l, old, &count);
    life_old_ones(l, old, &count);
    life_outsiders(l);
    sim_sleep(&l->s, rng_range(&l->rng, 1, 60) * SIM_MS);
  }
  life_settle(l);
  l->retain_floor = 1;
  last = job_begin(l, 1);
  while (!job_is_over(last))
    sim_sleep(&l->s, 10 * SIM_MS);
  final_check(l);
  sim_finish(&l->s);
}

/* ---- a seed ------------------------------------------------------------- */

static void
life_add(life *l, life_counts *sum)
{
  uint64_t *to = (uint64_t *)(void *)sum;
  const uint64_t *from = (const uint64_t *)(const void *)&l->did;
  size_t i;

  l->did.requests = l->b.op_serial;
  l->did.faults = l->b.faults;
  l->did.flips = l->b.flips;
  l->did.switches = l->s.switches;
  l->did.virtual_ms = l->s.now_ns / SIM_MS;
  for (i = 0; i < sizeof *sum / sizeof *to; i++)
    to[i] += from[i];
}

void
life_print(const life_counts *did)
{
  static const char *const names[] = {
    "jobs", "crashes", "old", "fenced", "committed", "restored", "rescales",
    "readers", "gcs", "compared", "tolerated", "early-flushes",
    "compactions", "cold-reads", "interrupts", "view-rows", "migrated",
    "dropped", "full", "savepoints", "no-claims", "claims", "queue-answers",
    "typed", "visited", "hosted",
    "requests", "faults", "flips",
    "switches", "virtual-ms"
  };
  const uint64_t *values = (const uint64_t *)(const void *)did;
  size_t i;

  printf("sim did:");
  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    printf(" %s=%llu", names[i], (unsigned long long)values[i]);
  putchar('\n');
}

int
life_of_seed(uint64_t seed, uint64_t steps, int verbose,
             const life_special *special, life_result *result)
{
  life *l = sim_memory(NULL, sizeof *l);
  uint32_t i, k;
  int failed;

  memset(l, 0, sizeof *l);
  sim_init(&l->s, seed);
  l->s.verbose = verbose > 1;
  l->rng = rng_of(seed, 3);
  l->steps_max = steps;
  life_character(l);
  l->engine_options.layout = seed % 4 == 3;
  for (i = 0; i < MODEL_STATES_MAX; i++)
    for (k = 0; k <= LIFE_VERSIONS_MAX; k++) {
      l->migrators[i][k] = (migrator){ l, i, k, 0 };
      l->typed_migrators[i][k] = (migrator){ l, i, k, 1 };
    }
  if (special == NULL)
    life_features(l);
  if (special != NULL && special->prepare != NULL)
    special->prepare(special->arg, l);
  l->master = sim_process_new(&l->s, "master", NULL);
  (void)sim_spawn(l->master, 0, "master",
                  special != NULL ? special->master : life_master, l);
  sim_run(&l->s);
  failed = l->s.failed;
  result->trace = l->s.trace;
  if (failed) {
    result->counts[l->s.kind]++;
    printf("seed %llu: %s: %s\n", (unsigned long long)seed,
           l->s.kind == SIM_LOST ? "lost"
           : l->s.kind == SIM_LEAKED ? "leaked" : "wrong", l->s.failure);
    fflush(stdout);
  }
  life_add(l, &result->did);
  if (special != NULL && special->finish != NULL)
    special->finish(special->arg, l);
  sim_dispose(&l->s);
  bucket_dispose(&l->b);
  ledger_free(l);
  space_dispose(&l->sp);
  free(l);
  return failed;
}
