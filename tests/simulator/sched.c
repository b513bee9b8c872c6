/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: one loop that takes, by the seed, either a task that can run
 * or the next thing that is due. When neither is there the world is stuck, and
 * that is a failure.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"

void *
sim_memory(void *old, size_t size)
{
  void *p = realloc(old, size);

  if (p == NULL) {
    fprintf(stderr, "sim: out of memory\n");
    exit(2);
  }
  return p;
}

typedef struct sim_scratch_block {
  struct sim_scratch_block *next, *prev;
} sim_scratch_block;

void *
sim_scratch(sim *s, size_t size)
{
  sim_scratch_block *block = sim_memory(NULL, sizeof *block + size);

  block->prev = NULL;
  block->next = s->scratch;
  if (block->next != NULL)
    block->next->prev = block;
  s->scratch = block;
  return block + 1;
}

void
sim_scratch_free(sim *s, void *p)
{
  sim_scratch_block *block = (sim_scratch_block *)p - 1;

  if (block->prev != NULL)
    block->prev->next = block->next;
  else
    s->scratch = block->next;
  if (block->next != NULL)
    block->next->prev = block->prev;
  free(block);
}

void
sim_init(sim *s, uint64_t seed)
{
  memset(s, 0, sizeof *s);
  s->seed = seed;
  s->schedule = rng_of(seed, 1);
  s->now_ns = 1000 * SIM_MS;
  s->switch_limit = 20000000;
  s->time_limit_ns = 100ull * 3600 * 1000 * SIM_MS;
  locks_bind(s);
}

void
sim_trace(sim *s, uint64_t value)
{
  s->trace = rng_mix(s->trace ^ value) + 0x9E3779B97F4A7C15ull;
}

void
sim_say(sim *s, const char *format, ...)
{
  va_list args;

  if (!s->verbose)
    return;
  fprintf(stderr, "%6llu.%03llu ",
          (unsigned long long)(s->now_ns / (1000 * SIM_MS)),
          (unsigned long long)(s->now_ns / SIM_MS % 1000));
  if (s->current != NULL)
    fprintf(stderr, "[%s/%s] ", s->current->process->name, s->current->name);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}

void
sim_fail(sim *s, int kind, const char *format, ...)
{
  va_list args;

  if (!s->failed) {
    s->failed = 1;
    s->kind = kind;
    va_start(args, format);
    (void)vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
    sim_say(s, "FAILED: %s", s->failure);
  }
  if (s->current != NULL)
    task_leave(s->current); /* never entered again */
}

void
sim_finish(sim *s)
{
  s->finished = 1;
}

/* ---- the heap of what is due -------------------------------------------- */

static int
item_before(const sim_item *a, const sim_item *b)
{
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
                                : a->serial < b->serial;
}

static void
item_place(sim *s, size_t i, sim_item *item)
{
  s->heap[i] = item;
  item->place = i;
}

static void
item_up(sim *s, size_t i, sim_item *item)
{
  while (i > 0 && item_before(item, s->heap[(i - 1) / 2])) {
    item_place(s, i, s->heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  item_place(s, i, item);
}

static void
item_down(sim *s, size_t i, sim_item *item)
{
  for (;;) {
    size_t child = 2 * i + 1;

    if (child + 1 < s->heap_count &&
        item_before(s->heap[child + 1], s->heap[child]))
      child++;
    if (child >= s->heap_count || !item_before(s->heap[child], item))
      break;
    item_place(s, i, s->heap[child]);
    i = child;
  }
  item_place(s, i, item);
}

static void
item_push(sim *s, sim_item *item)
{
  if (s->heap_count == s->heap_cap) {
    s->heap_cap = s->heap_cap == 0 ? 64 : s->heap_cap * 2;
    s->heap = sim_memory(s->heap, s->heap_cap * sizeof *s->heap);
  }
  item->serial = s->item_serial++;
  item_up(s, s->heap_count++, item);
}

static void
item_remove(sim *s, sim_item *item)
{
  size_t i = item->place;
  sim_item *last = s->heap[--s->heap_count];

  if (last == item)
    return;
  item_down(s, i, last);
  item_up(s, last->place, last);
}

sim_item *
sim_after(sim *s, sim_process *process, uint64_t delay_ns, sim_fn *fn,
          void *arg)
{
  sim_item *item = sim_memory(NULL, sizeof *item);

  memset(item, 0, sizeof *item);
  item->due_ns = s->now_ns + delay_ns;
  item->process = process;
  item->fn = fn;
  item->arg = arg;
  item_push(s, item);
  return item;
}

void
sim_item_drop(sim *s, sim_item *item)
{
  if (item->is_deferred) {
    sim_item **at = &item->process->deferred;

    while (*at != item)
      at = &(*at)->next;
    *at = item->next;
  } else {
    item_remove(s, item);
  }
  free(item);
}

static void
item_run(sim *s)
{
  sim_item *item = s->heap[0];
  sim_process *process = item->process;

  item_remove(s, item);
  if (item->due_ns > s->now_ns)
    s->now_ns = item->due_ns;
  if (process != NULL && process->stalled) {
    item->is_deferred = 1;
    item->next = process->deferred;
    process->deferred = item;
    return;
  }
  sim_trace(s, item->serial);
  item->fn(item->arg);
  free(item);
}

/* ---- tasks -------------------------------------------------------------- */

static void
task_ready(sim_task *task)
{
  sim *s = task->process->sim;

  if (task->ready)
    return;
  if (s->ready_count == s->ready_cap) {
    s->ready_cap = s->ready_cap == 0 ? 64 : s->ready_cap * 2;
    s->ready = sim_memory(s->ready, s->ready_cap * sizeof *s->ready);
  }
  task->ready = 1;
  task->ready_at = s->ready_count;
  s->ready[s->ready_count++] = task;
}

static void
task_unready(sim_task *task)
{
  sim *s = task->process->sim;
  sim_task *last;

  if (!task->ready)
    return;
  last = s->ready[--s->ready_count];
  s->ready[task->ready_at] = last;
  last->ready_at = task->ready_at;
  task->ready = 0;
}

sim_task *
sim_spawn(sim_process *process, uint32_t lane, const char *name, sim_fn *fn,
          void *arg)
{
  sim_task *task = sim_memory(NULL, sizeof *task);

  memset(task, 0, sizeof *task);
  task->process = process;
  task->fn = fn;
  task->arg = arg;
  task->name = name;
  task->lane = lane;
  task->next = process->tasks;
  if (task->next != NULL)
    task->next->prev = task;
  process->tasks = task;
  task_start(task);
  task_ready(task);
  return task;
}

static void
task_end(sim_task *task)
{
  task_unready(task);
  locks_forget(task);
  if (task->event != NULL)
    task->event->waiter = NULL;
  if (task->wake != NULL)
    sim_item_drop(task->process->sim, task->wake);
  if (task->prev != NULL)
    task->prev->next = task->next;
  else
    task->process->tasks = task->next;
  if (task->next != NULL)
    task->next->prev = task->prev;
  task_release(task);
  free(task);
}

void
sim_task_main(sim_task *task)
{
  task->fn(task->arg);
  if (task->locks != 0)
    sim_fail(task->process->sim, SIM_WRONG,
             "task %s ends with a mutex locked", task->name);
  task->ended = 1;
  task_leave(task);
}

static void
task_run(sim *s, sim_task *task)
{
  task_unready(task);
  s->current = task;
  s->switches++;
  task_enter(task);
  s->current = NULL;
  if (task->ended && !s->failed) {
    sim_process *process = task->process;
    uint32_t lane = task->lane;

    task_end(task);
    if (lane != 0)
      sim_lane_ended(process, lane);
  }
}

void
sim_check_unlocked(sim *s, const char *what)
{
  if (s->current != NULL && s->current->locks != 0)
    sim_fail(s, SIM_WRONG, "%s is called with a mutex held", what);
}

void
sim_yield(sim *s)
{
  task_ready(s->current);
  task_leave(s->current);
}

void
sim_preempt(sim *s, uint32_t per_mille)
{
  if (s->current != NULL && s->current->locks == 0 &&
      rng_chance(&s->schedule, per_mille))
    sim_yield(s);
}

static void
task_wake(void *arg)
{
  sim_task *task = arg;

  task->wake = NULL;
  task->timed_out = 1;
  if (task->event != NULL)
    task->event->waiter = NULL;
  task->event = NULL;
  task_ready(task);
}

void
sim_sleep(sim *s, uint64_t ns)
{
  s->current->wake = sim_after(s, s->current->process, ns, task_wake,
                               s->current);
  task_leave(s->current);
}

sb_status
sim_event_wait(sim *s, sb_event *event, uint64_t deadline_ns)
{
  sim_task *task = s->current;

  if (event->set) {
    event->set = 0;
    return SB_OK;
  }
  if (deadline_ns <= s->now_ns)
    return SB_TIMEOUT;
  if (event->waiter != NULL)
    sim_fail(s, SIM_WRONG, "%s and %s wait for one event",
             event->waiter->name, task->name);
  event->waiter = task;
  task->event = event;
  task->timed_out = 0;
  if (deadline_ns != SB_NO_DEADLINE)
    task->wake = sim_after(s, task->process, deadline_ns - s->now_ns,
                           task_wake, task);
  task_leave(task);
  if (task->timed_out)
    return SB_TIMEOUT;
  event->set = 0;
  return SB_OK;
}

void
sim_event_set(sim *s, sb_event *event)
{
  sim_task *task = event->waiter;

  event->set = 1;
  if (task == NULL)
    return;
  event->waiter = NULL;
  task->event = NULL;
  if (task->wake != NULL)
    sim_item_drop(s, task->wake);
  task->wake = NULL;
  task_ready(task);
}

/* ---- processes ---------------------------------------------------------- */

sim_process *
sim_process_new(sim *s, const char *name, const sim_setting *settings)
{
  sim_process *process = sim_memory(NULL, sizeof *process);

  memset(process, 0, sizeof *process);
  process->sim = s;
  process->number = ++s->process_count;
  process->settings = settings;
  (void)snprintf(process->name, sizeof process->name, "%s-%llu", name,
                 (unsigned long long)process->number);
  sim_host_init(process);
  process->next = s->processes;
  s->processes = process;
  return process;
}

void
sim_crash(sim_process *process)
{
  sim *s = process->sim;

  if (process->dead || process->doomed)
    return;
  sim_say(s, "crash of %s", process->name);
  process->doomed = 1;
  if (s->current != NULL && s->current->process == process)
    task_leave(s->current); /* never entered again */
}

void
sim_stall(sim_process *process)
{
  if (!process->stalled)
    sim_say(process->sim, "stall of %s", process->name);
  process->stalled = 1;
}

void
sim_wake(sim_process *process)
{
  sim_item *item = process->deferred;

  if (process->stalled)
    sim_say(process->sim, "wake of %s", process->name);
  process->stalled = 0;
  process->deferred = NULL;
  while (item != NULL) {
    sim_item *next = item->next;

    item->is_deferred = 0;
    item->due_ns = process->sim->now_ns +
                   rng_below(&process->sim->schedule, SIM_MS);
    item_push(process->sim, item);
    item = next;
  }
}

/* Everything a process is, dropped as the system does after SIGKILL. */
static void
process_reap(sim_process *process)
{
  sim *s = process->sim;
  size_t i;

  process->doomed = 0;
  process->dead = 1;
  process->died_ns = s->now_ns;
  if (process->crashed != NULL)
    process->crashed(process);
  while (process->tasks != NULL)
    task_end(process->tasks);
  process->stalled = 0;
  while (process->deferred != NULL)
    sim_item_drop(s, process->deferred);
  for (i = s->heap_count; i > 0; i--)
    if (i <= s->heap_count && s->heap[i - 1]->process == process) {
      sim_item_drop(s, s->heap[i - 1]);
      i = s->heap_count + 1;
    }
  sim_host_dispose(process);
}

static int
sim_reap(sim *s)
{
  sim_process *process;
  int any = 0;

  for (process = s->processes; process != NULL; process = process->next)
    if (process->doomed) {
      process_reap(process);
      any = 1;
    }
  return any;
}

int
sim_process_left(const sim_process *process, char *text, size_t size)
{
  size_t tasks = 0, events = 0, timers = 0, jobs = 0, i;
  const sim_task *task;
  const sb_event *event;
  const sim_item *item;
  const sim_job *job;

  for (task = process->tasks; task != NULL; task = task->next)
    tasks += task != process->sim->current;
  for (event = process->events; event != NULL; event = event->next)
    events++;
  for (item = process->timers; item != NULL; item = item->timer_next)
    timers++;
  for (i = 0; i < SIM_LANES; i++)
    for (job = process->lanes[i].first; job != NULL; job = job->next)
      jobs++;
  (void)snprintf(text, size,
                 "%zu bytes in %zu blocks, %zu tasks, %zu waiting tasks, "
                 "%zu events, %zu timers", process->memory_bytes,
                 process->memory_blocks, tasks, jobs, events, timers);
  return process->memory_blocks + tasks + jobs + events + timers != 0;
}

/* ---- the loop ----------------------------------------------------------- */

static sim_task *
sim_pick(sim *s)
{
  size_t n = s->ready_count, i, start = (size_t)rng_below(&s->schedule, n);

  for (i = 0; i < n; i++) {
    sim_task *task = s->ready[(start + i) % n];

    if (!task->process->stalled)
      return task;
  }
  return NULL;
}

static void
sim_stuck(sim *s, const char *why)
{
  char names[600] = "";
  size_t len = 0;
  const sim_process *process;
  const sim_task *task;

  for (process = s->processes; process != NULL; process = process->next)
    for (task = process->tasks; task != NULL; task = task->next)
      if (len < sizeof names - 1)
        len += (size_t)snprintf(names + len, sizeof names - len, " %s/%s%s",
                                process->name, task->name,
                                process->stalled ? " (stalled)"
                                : task->ready ? " (ready)" : "");
  sim_fail(s, SIM_WRONG, "%s; tasks:%s", why, names);
}

void
sim_run(sim *s)
{
  while (!s->failed && !s->finished) {
    sim_task *task = NULL;
    int due;

    if (sim_reap(s))
      continue;
    due = s->heap_count != 0 && s->heap[0]->due_ns <= s->now_ns;
    if (s->ready_count != 0 && (!due || rng_chance(&s->schedule, 500)))
      task = sim_pick(s);
    if (task != NULL) {
      sim_trace(s, task->process->number);
      task_run(s, task);
    } else if (s->heap_count != 0) {
      item_run(s);
    } else {
      sim_stuck(s, "dead lock");
    }
    if (s->switches > s->switch_limit)
      sim_stuck(s, "too many switches: a busy loop");
    if (s->now_ns > s->time_limit_ns)
      sim_stuck(s, "too much time has passed: no progress");
  }
}

void
sim_dispose(sim *s)
{
  while (s->processes != NULL) {
    sim_process *process = s->processes;

    if (!process->dead)
      process_reap(process);
    s->processes = process->next;
    if (process->dispose != NULL)
      process->dispose(process->disposed);
    free(process);
  }
  while (s->heap_count != 0)
    sim_item_drop(s, s->heap[0]);
  while (s->scratch != NULL)
    sim_scratch_free(s, s->scratch + 1);
  free(s->heap);
  free(s->ready);
  locks_bind(NULL);
}
