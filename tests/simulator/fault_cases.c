/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write paths, each as a script: writing under memory pressure, taking a
 * checkpoint, committing, compaction, cleaning up, restoring, and reading from
 * outside. After the fault the same process must go on, and in the end the
 * last complete checkpoint must be there, and nothing else.
 */
#include "config.h"

#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/faults.h"
#include "tests/simulator/item.h"

/* A job with a committed checkpoint and some writes since. */
static void
case_begin(script *s, uint32_t checkpoints)
{
  sb_error err;

  script_must(s, script_open(s, &err), &err, "to open");
  for (; checkpoints != 0; checkpoints--) {
    script_write(s, 30);
    script_must(s, script_snapshot(s, &err), &err, "a snapshot");
    script_must(s, script_commit(s, &err), &err, "a commit");
  }
  script_write(s, 30);
}

static void
case_put(script *s)
{
  case_begin(s, 1);
  s->l->value_usual = 150000; /* more than fits: flushes and cold reads */
  script_arm(s);
  script_write(s, 200);
  script_disarm(s);
  script_check(s);
}

static void
case_steps(script *s, uint32_t count)
{
  uint32_t i;

  for (i = 0; i < count; i++) {
    subtask *t = &s->j->subtasks[i % SCRIPT_SUBTASKS];
    place at;
    uint32_t form;

    if (!act_place(t, &at))
      continue;
    form = s->l->sp.states[at.state].form;
    if (form == FORM_TYPED)
      typed_step(t, at);
    else if (form != FORM_RAW)
      queues_step(t, at);
  }
}

/* What is near is in segments at first, and so is what is behind it. */
static void
case_queue(script *s)
{
  case_begin(s, 2);
  script_arm(s);
  case_steps(s, 60);
  script_disarm(s);
  script_check(s);
}

static void
case_typed(script *s)
{
  uint32_t i, k;

  case_begin(s, 2);
  script_arm(s);
  for (i = 0; i < 4; i++) {
    subtask *t = &s->j->subtasks[i % SCRIPT_SUBTASKS];

    case_steps(s, 12);
    typed_batches_step(t);
    for (k = 0; k < 6; k++)
      visits_step(t);
  }
  script_disarm(s);
  script_check(s);
}

static void
case_checkpoint(script *s)
{
  sb_error err;
  sb_status status;

  case_begin(s, 1);
  script_arm(s);
  status = script_snapshot(s, &err);
  script_allow(s, status, &err, "a snapshot");
  if (status == SB_OK)
    script_allow(s, script_commit(s, &err), &err, "a commit");
  script_disarm(s);
  script_check(s);
}

static void
case_commit(script *s)
{
  sb_error err;
  uint32_t tries;

  case_begin(s, 2);
  script_must(s, script_snapshot(s, &err), &err, "a snapshot");
  script_arm(s);
  for (tries = 0; tries < 3; tries++) {
    sb_status status = script_commit(s, &err);

    script_allow(s, status, &err, "a commit");
    if (status != SB_UNKNOWN)
      break;
  }
  script_disarm(s);
  script_check(s);
}

static void
case_compaction(script *s)
{
  sb_error err;
  sb_status status;
  uint32_t i;

  case_begin(s, 2);
  script_arm(s);
  for (i = 0; i < 3; i++) {
    script_write(s, 10);
    status = script_snapshot(s, &err);
    script_allow(s, status, &err, "a snapshot");
    if (status == SB_OK)
      script_allow(s, script_commit(s, &err), &err, "a commit");
    if (s->attempt->fate == ATTEMPT_MAYBE)
      break;
    sim_sleep(&s->l->s, 500 * SIM_MS);
  }
  script_disarm(s);
  script_check(s);
}

static void
case_cleanup(script *s)
{
  job *j = s->j;
  sb_gc_report report;
  sb_error err;

  case_begin(s, 2);
  script_must(s, script_snapshot(s, &err), &err, "a snapshot");
  script_close(s); /* leaves orphans for the next generation */
  script_must(s, script_open(s, &err), &err, "to open again");
  script_arm(s);
  memset(&report, 0, sizeof report);
  report.struct_size = sizeof report;
  script_allow(s, j->backend->ops->gc(j->handle, 0, &report, &err), &err,
               "gc");
  script_allow(s, j->backend->ops->retain(j->handle, 1, &err), &err,
               "retain");
  script_disarm(s);
  script_check(s);
}

static void
case_restore(script *s)
{
  sb_error err;
  sb_status status;

  case_begin(s, 3);
  script_close(s);
  script_arm(s);
  status = script_open(s, &err);
  script_allow(s, status, &err, "to open again");
  if (status == SB_OK)
    script_write(s, 20);
  script_disarm(s);
  if (status != SB_OK)
    script_must(s, script_open(s, &err), &err, "to open at last");
  script_check(s);
}

static void
case_outsider(script *s)
{
  job *j = s->j;
  sb_checkpoint *checkpoint;
  sb_error err;
  sb_status status;

  case_begin(s, 2);
  script_arm(s);
  status = j->backend->ops->checkpoint_open(j->backend, s->l->job_name, 0,
                                            SB_CHECKPOINT_PIN, &checkpoint,
                                            &err);
  script_allow(s, status, &err, "checkpoint_open");
  if (status == SB_OK)
    j->backend->ops->checkpoint_close(j->backend, checkpoint);
  script_disarm(s);
  script_check(s);
}

const fault_case fault_cases[] = {
  { "put", case_put, FORM_RAW },
  { "checkpoint", case_checkpoint, FORM_RAW },
  { "commit", case_commit, FORM_RAW },
  { "compaction", case_compaction, FORM_RAW },
  { "clean-up", case_cleanup, FORM_RAW },
  { "restore", case_restore, FORM_RAW },
  { "outsider", case_outsider, FORM_RAW },
  { "queue", case_queue, FORM_RANKED },
  { "timers", case_queue, FORM_TIMERS },
  { "typed", case_typed, FORM_TYPED },
  { "typed restore", case_restore, FORM_TYPED },
};
const size_t fault_case_count = sizeof fault_cases / sizeof fault_cases[0];
