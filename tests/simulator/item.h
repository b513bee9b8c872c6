/* SPDX-License-Identifier: Apache-2.0 */
/* What the scheduler and the host share: things that come due, and waits. */
#ifndef SIM_ITEM_H
#define SIM_ITEM_H

#include "tests/simulator/sim.h"

struct sim_item {
  uint64_t due_ns, serial;
  size_t place;             /* in the heap */
  int is_deferred;          /* in its process's list instead */
  sim_process *process;
  sim_fn *fn;
  void *arg;
  sim_item *next;           /* deferred ones */
  sim_item *timer_next;     /* the process's timers */
  uint64_t timer_id;
  sb_task *timer_task;
  void *timer_arg;
};

/* realloc that ends the program instead of failing. */
void *sim_memory(void *old, size_t size);

sb_status sim_event_wait(sim *s, sb_event *event, uint64_t deadline_ns);
void sim_event_set(sim *s, sb_event *event);

#endif
