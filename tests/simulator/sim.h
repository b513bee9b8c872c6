/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: a world in one thread, ordered by a seed.
 *
 * Tasks are coroutines that switch only when they wait. A process groups
 * tasks, events, timers and memory behind an sb_host of its own, so that it can
 * be crashed (all of it is dropped) or stalled (none of it runs) at any moment.
 * Time is virtual and advances when nothing can run.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <statebackend/host.h>
#include "tests/simulator/rng.h"

typedef struct sim sim;
typedef struct sim_process sim_process;
typedef struct sim_task sim_task;
typedef struct sim_item sim_item;

#define SIM_MS 1000000ull /* virtual nanoseconds */

enum { SIM_LOST, SIM_WRONG, SIM_LEAKED, SIM_KINDS };

typedef void sim_fn(void *arg);

/* Settings of a process as its host's config_int and config_string tell. */
typedef struct sim_setting {
  const char *key;
  int64_t number;
  const char *text;
} sim_setting;

struct sb_event {
  sim_process *process;
  sb_event *next, *prev;
  sim_task *waiter;
  int set;
};

struct sim_task {
  sim_task *next, *prev;    /* of the process */
  sim_process *process;
  void *machine;            /* stack and registers, see task.c */
  sim_fn *fn;
  void *arg;
  const char *name;
  uint32_t lane;            /* whose slot it holds, 0 none */
  uint32_t locks;           /* mutexes held */
  int ready, timed_out, ended;
  size_t ready_at;          /* place in the list of ready tasks */
  sb_event *event;          /* waited for */
  sim_item *wake;           /* ends its wait or sleep */
};

typedef struct sim_job {    /* submitted to a lane, not started */
  struct sim_job *next;
  sb_task *task;
  void *arg;
} sim_job;

#define SIM_LANES 3
typedef struct sim_lane {
  sim_job *first, **last;
  uint32_t running, width;
} sim_lane;

struct sim_process {
  sim *sim;
  sim_process *next;
  sb_host host;
  char name[32];
  uint64_t number;
  int stalled, doomed, dead;
  uint64_t died_ns;
  sim_task *tasks;
  sb_event *events;
  struct sim_memory *memory;
  size_t memory_bytes, memory_peak, memory_blocks;
  sim_lane lanes[SIM_LANES];
  sim_item *deferred;       /* came due while it was stalled */
  sim_item *timers;         /* started and not yet run */
  uint64_t timer_serial;
  const sim_setting *settings;
  uint64_t clock_skew_ms;
  /* Faults of memory: countdown to the allocation that fails, 0 for none;
     for good or once; and by chance. */
  uint64_t alloc_fail_at;
  int alloc_fail_for_good;
  uint32_t alloc_fail_per_mille;
  uint64_t allocs, alloc_failures;
  /* Crash at a store operation: countdown, 0 for none, and the moment. */
  uint64_t crash_at_request;
  uint32_t crash_moment;    /* BUCKET_CRASH_... */
  uint64_t requests;
  struct bucket_store *stores;
  void (*crashed)(sim_process *process); /* the bucket's hook */
  void *user;               /* the driver's */
  void *disposed;           /* the driver's, freed with the world */
  void (*dispose)(void *disposed);
};

struct sim {
  uint64_t seed;
  rng schedule;             /* who runs next */
  uint64_t now_ns, switches, switch_limit, time_limit_ns;
  sim_process *processes;
  uint64_t process_count;
  sim_task **ready;
  size_t ready_count, ready_cap;
  sim_item **heap;
  size_t heap_count, heap_cap;
  uint64_t item_serial;
  sim_task *current;        /* NULL: the scheduler itself */
  int failed, finished, verbose;
  int kind;                 /* of the failure */
  char failure[1024];
  struct sim_scratch_block *scratch;
  uint64_t trace;           /* hash of all that was decided, for replays */
};

void sim_init(sim *s, uint64_t seed);
void sim_dispose(sim *s);
/* Runs until sim_finish, a failure or a deadlock (a failure too). */
void sim_run(sim *s);
void sim_finish(sim *s);
/* Ends the world. Does not return inside a task; elsewhere it does. */
void sim_fail(sim *s, int kind, const char *format, ...) SB_PRINTF(3, 4);
void sim_say(sim *s, const char *format, ...) SB_PRINTF(2, 3);
void sim_trace(sim *s, uint64_t value);

sim_process *sim_process_new(sim *s, const char *name,
                             const sim_setting *settings);
/* A task of the process; the driver's tasks have lane 0. */
sim_task *sim_spawn(sim_process *process, uint32_t lane, const char *name,
                    sim_fn *fn, void *arg);
/* Takes effect before anything else runs. In a task of the process itself it
   does not return. */
void sim_crash(sim_process *process);
void sim_stall(sim_process *process);
void sim_wake(sim_process *process);
/* What a process that closed everything has left behind: tasks, timers,
   events and memory, in words. 0 if nothing. */
int sim_process_left(const sim_process *process, char *text, size_t size);

/* In tasks only. */
void sim_yield(sim *s);
void sim_sleep(sim *s, uint64_t ns);
/* Lets others run now and then: where a thread could be preempted. */
void sim_preempt(sim *s, uint32_t per_mille);

/* Calls fn(arg) from the scheduler at `delay_ns` from now. With a process it
   is dropped when that crashes and put off while that is stalled. */
sim_item *sim_after(sim *s, sim_process *process, uint64_t delay_ns,
                    sim_fn *fn, void *arg);
void sim_item_drop(sim *s, sim_item *item);

/* Fails if the running task holds a mutex: waits and calls out are then not
   allowed. */
void sim_check_unlocked(sim *s, const char *what);

/* Memory of the driver's own tasks, which may be killed while they hold it:
   freed with the world at the latest. */
void *sim_scratch(sim *s, size_t size);
void sim_scratch_free(sim *s, void *p);

/* host.c */
void sim_host_init(sim_process *process);
void sim_host_dispose(sim_process *process);
void sim_lane_init(sim_process *process);
void sim_lane_ended(sim_process *process, uint32_t lane);

/* task.c: the machine below a task. */
void task_start(sim_task *task);
void task_enter(sim_task *task);
void task_leave(sim_task *task);
void task_release(sim_task *task);
void task_pool_free(void);
/* Runs the task's function; the machine's first call. */
void sim_task_main(sim_task *task);

/* locks.c: mutexes taken by the code under test. */
void locks_bind(sim *s);
void locks_forget(const sim_task *task);

#endif
