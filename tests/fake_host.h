/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for unit tests: one thread, a clock that moves only while somebody
 * waits, tasks that run only inside event_wait or fake_host_run, allocations
 * that can be made to fail.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include <statebackend/host.h>

#define FAKE_TASKS_MAX 256

typedef struct fake_task {
  sb_task *task;
  void *arg;
  uint64_t id;     /* timers */
  uint64_t due_ns;
} fake_task;

typedef struct fake_host {
  sb_host host;
  uint64_t now_ns;
  fake_task tasks[FAKE_TASKS_MAX];
  size_t task_count;
  fake_task timers[FAKE_TASKS_MAX];
  size_t timer_count;
  uint64_t timer_ids;
  long live;           /* allocations and events not yet freed */
  long allocations;    /* made so far */
  long fail_at;        /* this one fails, and all after it if `fail_on` */
  int fail_on;
  int fail_execute;    /* execute calls that fail from now on */
  int deadlocks;       /* waits that nothing could end */
} fake_host;

void fake_host_init(fake_host *fake);

/* Runs everything that is waiting to run, without moving the clock. */
void fake_host_run(fake_host *fake);

/* Moves the clock and runs the timers that are due, then all tasks. */
void fake_host_advance(fake_host *fake, uint64_t ms);

#endif
