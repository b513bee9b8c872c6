/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator over keyed handles and a backend in memory, on a host with
 * one thread: what is decided, who is told, in which order, and that nobody is
 * told of a commit whose outcome is not known.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <statebackend/checkpoint.h>
#include "tests/fake_host.h"
#include "tests/fake_keyed.h"
#include "tests/tap.h"

#define SUBTASKS 2

static fake_host host;
static fake_backend backend;
static fake_keyed keyed[SUBTASKS];
static sb_coordinator *coordinator;
static sb_coordinator_options options;
static char finished_log[1024];

static void
finished(void *arg, uint64_t id, sb_status status, const sb_error *err)
{
  size_t len = strlen(finished_log);

  (void)arg;
  CU_ASSERT((status == SB_OK) == (err == NULL));
  CU_ASSERT(err == NULL || err->status == status);
  (void)snprintf(finished_log + len, sizeof finished_log - len, "%d:%s ",
                 (int)id, sb_status_name(status));
}

static void
set_up(void)
{
  int i;

  fake_host_init(&host);
  fake_backend_init(&backend);
  for (i = 0; i < SUBTASKS; i++)
    fake_keyed_init(&keyed[i]);
  finished_log[0] = '\0';
  options = (sb_coordinator_options){
    .struct_size = sizeof options, .subtasks = SUBTASKS, .job = "",
    .job_id = "", .retain = 1, .tolerable_failures = 100,
    .timeout_ms = 1000, .finished = finished
  };
}

static const sb_checkpoint *
open_coordinator(void)
{
  const sb_checkpoint *restored = NULL;

  CU_ASSERT_EQUAL_FATAL(sb_coordinator_open(&backend.backend, &host.host,
                                            &options, &coordinator, &restored,
                                            NULL), SB_OK);
  return restored;
}

static void
tear_down(void)
{
  int i;

  sb_coordinator_close(coordinator);
  coordinator = NULL;
  for (i = 0; i < SUBTASKS; i++) {
    CU_ASSERT_EQUAL(keyed[i].snapshots, 0);
    fake_keyed_dispose(&keyed[i]);
  }
  CU_ASSERT_EQUAL(backend.jobs, 0);
  CU_ASSERT_EQUAL(backend.checkpoints, 0);
  CU_ASSERT_EQUAL(host.timer_count, 0);
  CU_ASSERT_EQUAL(host.deadlocks, 0);
  CU_ASSERT_EQUAL(host.live, 0);
}

static uint64_t
trigger(void)
{
  uint64_t id = 0;

  CU_ASSERT_EQUAL(sb_coordinator_trigger(coordinator, sb_slice_of("blob", 4),
                                         &id, NULL), SB_OK);
  return id;
}

static sb_status
snapshot(uint64_t id, uint32_t subtask)
{
  return sb_coordinator_snapshot(coordinator, id, subtask,
                                 &keyed[subtask].keyed, NULL);
}

static void
notify_all(void)
{
  uint32_t i;

  for (i = 0; i < SUBTASKS; i++)
    CU_ASSERT_EQUAL(sb_coordinator_notify(coordinator, i, &keyed[i].keyed,
                                          NULL), SB_OK);
}

/* What happened to a subtask's handle: "C1 F1 " for complete 1, freed 1. */
static const char *
events(uint32_t subtask)
{
  static char text[512];
  size_t i, len = 0;

  text[0] = '\0';
  for (i = 0; i < keyed[subtask].event_count; i++)
    len += (size_t)snprintf(text + len, sizeof text - len, "%c%d ",
                            keyed[subtask].events[i].kind,
                            (int)keyed[subtask].events[i].id);
  return text;
}

/* ---- cases -------------------------------------------------------------- */

static void
test_commit(void)
{
  uint64_t id, other;

  set_up();
  CU_ASSERT_PTR_NULL(open_coordinator());
  CU_ASSERT_EQUAL(sb_coordinator_generation(coordinator), 7);
  CU_ASSERT_EQUAL(sb_coordinator_newest(coordinator), 0);
  id = trigger();
  CU_ASSERT_EQUAL(id, 1);
  CU_ASSERT_EQUAL(sb_coordinator_trigger(coordinator, sb_slice_of("", 0),
                                         &other, NULL), SB_BUSY);
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_INVALID);
  fake_host_run(&host);
  CU_ASSERT_EQUAL(backend.commits, 0);
  CU_ASSERT_EQUAL(sb_coordinator_set_blob(coordinator, id,
                                          sb_slice_of("later", 5), NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(backend.committed_count, 1);
  CU_ASSERT_STRING_EQUAL(backend.blobs[0], "later");
  CU_ASSERT_EQUAL(sb_coordinator_newest(coordinator), 1);
  CU_ASSERT_STRING_EQUAL(events(0), "");
  notify_all();
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "C1 F1 ");
  CU_ASSERT_STRING_EQUAL(events(1), "C1 F1 ");
  CU_ASSERT_STRING_EQUAL(finished_log, "1:ok ");
  CU_ASSERT_EQUAL(trigger(), 2);
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:ok 2:cancelled ");
}

static void
test_restore(void)
{
  const sb_checkpoint *restored;
  sb_coordinator *none;
  sb_error err;

  set_up();
  backend.stored = 12;
  restored = open_coordinator();
  CU_ASSERT_PTR_NOT_NULL_FATAL(restored);
  CU_ASSERT_EQUAL(restored->info.id, 12);
  CU_ASSERT_EQUAL(sb_coordinator_newest(coordinator), 12);
  CU_ASSERT_EQUAL(trigger(), 13);
  tear_down();
  /* An older one: numbers go on after the newest. */
  set_up();
  backend.stored = 12;
  backend.newest = 20;
  options.restore_id = 12;
  CU_ASSERT_PTR_NOT_NULL(open_coordinator());
  CU_ASSERT_EQUAL(trigger(), 21);
  tear_down();
  set_up();
  backend.stored = 12;
  options.restore_id = 11;
  CU_ASSERT_EQUAL(sb_coordinator_open(&backend.backend, &host.host, &options,
                                      &none, &restored, &err), SB_NOT_FOUND);
  CU_ASSERT_PTR_NULL(none);
  CU_ASSERT_EQUAL(host.live, 0);
}

static void
test_abort(void)
{
  uint64_t id;

  set_up();
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  sb_coordinator_abort(coordinator, id);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_CANCELLED);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, 0, NULL),
                  SB_CANCELLED);
  notify_all(); /* the run has not returned: nothing may be freed yet */
  CU_ASSERT_STRING_EQUAL(events(0), "X1 ");
  fake_host_run(&host);
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "X1 A1 F1 ");
  CU_ASSERT_STRING_EQUAL(events(1), "");
  CU_ASSERT_EQUAL(trigger(), 2);
  CU_ASSERT_EQUAL(snapshot(2, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(2, 1), SB_OK);
  fake_host_run(&host);
  CU_ASSERT_EQUAL(backend.committed[0], 2);
  sb_coordinator_abort(coordinator, 2);
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:cancelled 2:ok ");
}

static void
test_timeout(void)
{
  uint64_t id;
  sb_error err;

  set_up();
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  fake_host_advance(&host, 999);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, 0, &err), SB_TIMEOUT);
  CU_ASSERT_STRING_EQUAL(finished_log, "");
  fake_host_advance(&host, 1);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, &err),
                  SB_TIMEOUT);
  CU_ASSERT_STRING_EQUAL(err.message, "checkpoint 1 is not done after 1000 ms:"
                                      " 1 of 2 subtasks have acknowledged");
  CU_ASSERT_STRING_EQUAL(finished_log, "1:timeout ");
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(1), "A1 F1 ");
  tear_down();
}

static void
test_failures(void)
{
  uint64_t id;
  sb_error err;

  set_up();
  options.tolerable_failures = 1;
  (void)open_coordinator();
  keyed[1].run_status = SB_IO;
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  fake_host_run(&host);
  CU_ASSERT_EQUAL(sb_coordinator_status(coordinator, &err), SB_OK);
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "A1 F1 ");
  id = trigger();
  keyed[0].begin_status = SB_NO_MEMORY;
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_NO_MEMORY);
  CU_ASSERT_EQUAL(sb_coordinator_status(coordinator, &err), SB_NO_MEMORY);
  CU_ASSERT_EQUAL(sb_coordinator_trigger(coordinator, sb_slice_of("", 0), &id,
                                         &err), SB_NO_MEMORY);
  CU_ASSERT_STRING_EQUAL(err.message, "begin made to fail");
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:io 2:no_memory ");
}

static void
test_fenced(void)
{
  uint64_t id;
  sb_error err;

  set_up();
  backend.script[0] = SB_FENCED;
  backend.script_len = 1;
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  fake_host_run(&host);
  CU_ASSERT_EQUAL(sb_coordinator_status(coordinator, &err), SB_FENCED);
  CU_ASSERT_EQUAL(sb_coordinator_trigger(coordinator, sb_slice_of("", 0), &id,
                                         &err), SB_FENCED);
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:fenced ");
}

/* A successor's clean-up looks like a failure; the store knows better. */
static void
test_fenced_by_clean_up(void)
{
  uint64_t id;
  sb_error err;

  set_up();
  (void)open_coordinator();
  keyed[0].run_status = SB_NOT_FOUND;
  backend.gc_status = SB_FENCED;
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  fake_host_run(&host);
  CU_ASSERT_EQUAL(sb_coordinator_status(coordinator, &err), SB_FENCED);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, 0, &err), SB_FENCED);
  tear_down();
}

/* An unknown outcome is asked for again until it is known. */
static void
test_unknown(void)
{
  uint64_t id;

  set_up();
  backend.script[0] = SB_UNKNOWN;
  backend.script[1] = SB_UNKNOWN;
  backend.script_len = 2;
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(backend.commits, 3);
  notify_all();
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:ok ");
  /* Unknown, then known not to be. */
  set_up();
  backend.script[0] = SB_UNKNOWN;
  backend.script[1] = SB_IO;
  backend.script_len = 2;
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, NULL),
                  SB_IO);
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "A1 F1 ");
  tear_down();
}

static void
abort_late(void *arg)
{
  (void)arg;
  sb_coordinator_abort(coordinator, 1);
  CU_ASSERT_STRING_EQUAL(finished_log, "");
}

/* Neither abort nor the timeout touches a checkpoint that is committing. */
static void
test_committing(void)
{
  uint64_t id, timer;
  int i;

  set_up();
  for (i = 0; i < 40; i++)
    backend.script[i] = SB_UNKNOWN;
  backend.script[39] = SB_FENCED;
  backend.script_len = 40;
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_OK);
  CU_ASSERT_EQUAL(host.host.timer_start(&host.host, 100, abort_late, NULL,
                                        &timer, NULL), SB_OK);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, NULL),
                  SB_FENCED);
  CU_ASSERT(host.now_ns > UINT64_C(20000000000));
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "F1 ");
  tear_down();
  CU_ASSERT_STRING_EQUAL(finished_log, "1:fenced ");
}

static void
test_execute_fails(void)
{
  uint64_t id;

  set_up();
  (void)open_coordinator();
  id = trigger();
  CU_ASSERT_EQUAL(snapshot(id, 0), SB_OK);
  host.fail_execute = 1;
  CU_ASSERT_EQUAL(snapshot(id, 1), SB_NO_MEMORY);
  fake_host_run(&host);
  notify_all();
  CU_ASSERT_STRING_EQUAL(events(0), "X1 A1 F1 ");
  CU_ASSERT_STRING_EQUAL(events(1), "A1 F1 ");
  tear_down();
}

/* ---- allocation faults -------------------------------------------------- */

static int
life(void)
{
  const sb_checkpoint *restored;
  uint64_t id;
  uint32_t i;
  sb_status status;

  coordinator = NULL;
  if (sb_coordinator_open(&backend.backend, &host.host, &options, &coordinator,
                          &restored, NULL) != SB_OK)
    return 0;
  status = sb_coordinator_trigger(coordinator, sb_slice_of("b", 1), &id,
                                  NULL);
  for (i = 0; i < SUBTASKS && status == SB_OK; i++)
    status = snapshot(id, i);
  fake_host_run(&host);
  if (status == SB_OK)
    status = sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, NULL);
  notify_all();
  return status == SB_OK;
}

static void
test_allocation_faults(void)
{
  long n;
  int clean = 0;

  for (n = 1; !clean && n < 200; n++) {
    set_up();
    host.fail_at = n;
    clean = life();
    CU_ASSERT_EQUAL(clean, host.allocations < n);
    tear_down();
  }
  CU_ASSERT(clean && n > 8);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "commit", test_commit },
    { "restore", test_restore },
    { "abort", test_abort },
    { "timeout", test_timeout },
    { "failures", test_failures },
    { "fenced", test_fenced },
    { "fenced by clean-up", test_fenced_by_clean_up },
    { "unknown", test_unknown },
    { "committing", test_committing },
    { "execute fails", test_execute_fails },
    { "allocation faults", test_allocation_faults }
  };
  static const tap_suite suites[] = {
    { "coordinator", cases, TAP_COUNT(cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
