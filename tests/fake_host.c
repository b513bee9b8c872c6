/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests' host; see fake_host.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/fake_host.h"

struct sb_event {
  int set;
};

static fake_host *
fake_of(const sb_host *host)
{
  return host->ctx;
}

static void
fake_log(const sb_host *host, uint32_t level, const char *component,
         const char *text)
{
  (void)host;
  (void)level;
  (void)component;
  (void)text;
}

static int
fake_refuses(fake_host *fake)
{
  long n = ++fake->allocations;

  return fake->fail_at != 0 &&
         (n == fake->fail_at || (fake->fail_on && n > fake->fail_at));
}

static void *
fake_alloc(const sb_host *host, void *old, size_t size)
{
  fake_host *fake = fake_of(host);
  void *p;

  if (size == 0) {
    fake->live -= old != NULL;
    free(old);
    return NULL;
  }
  if (fake_refuses(fake))
    return NULL;
  p = realloc(old, size);
  fake->live += p != NULL && old == NULL;
  return p;
}

static uint64_t
fake_clock_ms(const sb_host *host)
{
  return UINT64_C(1600000000000) + fake_of(host)->now_ns / 1000000;
}

static uint64_t
fake_monotonic_ns(const sb_host *host)
{
  return fake_of(host)->now_ns;
}

static uint64_t
fake_random(const sb_host *host)
{
  (void)host;
  return 4;
}

static sb_status
fake_execute(const sb_host *host, uint32_t lane, sb_task *task, void *arg,
             sb_error *err)
{
  fake_host *fake = fake_of(host);

  (void)lane;
  if (fake->fail_execute > 0 || fake->task_count == FAKE_TASKS_MAX) {
    fake->fail_execute--;
    return sb_error_set(err, SB_NO_MEMORY, "could not start a task");
  }
  fake->tasks[fake->task_count++] =
    (fake_task){ .task = task, .arg = arg };
  return SB_OK;
}

static sb_status
fake_timer_start(const sb_host *host, uint64_t delay_ms, sb_task *task,
                 void *arg, uint64_t *id, sb_error *err)
{
  fake_host *fake = fake_of(host);

  if (fake_refuses(fake) || fake->timer_count == FAKE_TASKS_MAX)
    return sb_error_set(err, SB_NO_MEMORY, "could not start a timer");
  *id = ++fake->timer_ids;
  fake->timers[fake->timer_count++] = (fake_task){
    .task = task, .arg = arg, .id = *id,
    .due_ns = fake->now_ns + delay_ms * 1000000
  };
  return SB_OK;
}

static void
fake_take(fake_task *array, size_t *count, size_t i)
{
  memmove(array + i, array + i + 1, (--*count - i) * sizeof *array);
}

static sb_status
fake_timer_stop(const sb_host *host, uint64_t id)
{
  fake_host *fake = fake_of(host);
  size_t i;

  for (i = 0; i < fake->timer_count; i++)
    if (fake->timers[i].id == id) {
      fake_take(fake->timers, &fake->timer_count, i);
      return SB_OK;
    }
  return SB_NOT_FOUND;
}

static int
fake_run_task(fake_host *fake)
{
  fake_task task;

  if (fake->task_count == 0)
    return 0;
  task = fake->tasks[0];
  fake_take(fake->tasks, &fake->task_count, 0);
  task.task(task.arg);
  return 1;
}

/* Fires the earliest timer that is due by `until`. */
static int
fake_run_timer(fake_host *fake, uint64_t until)
{
  size_t i, best = 0;
  fake_task task;

  for (i = 1; i < fake->timer_count; i++)
    if (fake->timers[i].due_ns < fake->timers[best].due_ns)
      best = i;
  if (fake->timer_count == 0 || fake->timers[best].due_ns > until)
    return 0;
  task = fake->timers[best];
  fake_take(fake->timers, &fake->timer_count, best);
  if (fake->now_ns < task.due_ns)
    fake->now_ns = task.due_ns;
  task.task(task.arg);
  return 1;
}

static sb_event *
fake_event_new(const sb_host *host)
{
  sb_event *event = fake_alloc(host, NULL, sizeof *event);

  if (event != NULL)
    event->set = 0;
  return event;
}

static void
fake_event_free(const sb_host *host, sb_event *event)
{
  (void)fake_alloc(host, event, 0);
}

static void
fake_event_set(const sb_host *host, sb_event *event)
{
  (void)host;
  event->set = 1;
}

static sb_status
fake_event_wait(const sb_host *host, sb_event *event, uint64_t deadline_ns)
{
  fake_host *fake = fake_of(host);

  for (;;) {
    if (event->set) {
      event->set = 0;
      return SB_OK;
    }
    if (fake_run_task(fake) || fake_run_timer(fake, deadline_ns))
      continue;
    if (deadline_ns == SB_NO_DEADLINE)
      fake->deadlocks++;
    else if (fake->now_ns < deadline_ns)
      fake->now_ns = deadline_ns;
    return SB_TIMEOUT;
  }
}

static void
fake_metric_add(const sb_host *host, const char *name, int64_t delta)
{
  (void)host;
  (void)name;
  (void)delta;
}

static void *
fake_lookup(const sb_host *host, const char *name)
{
  (void)host;
  (void)name;
  return NULL;
}

void
fake_host_init(fake_host *fake)
{
  memset(fake, 0, sizeof *fake);
  fake->host = (sb_host){
    .struct_size = sizeof (sb_host),
    .abi_version = SB_ABI_VERSION,
    .ctx = fake,
    .log = fake_log,
    .alloc = fake_alloc,
    .clock_ms = fake_clock_ms,
    .monotonic_ns = fake_monotonic_ns,
    .random = fake_random,
    .execute = fake_execute,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .event_new = fake_event_new,
    .event_free = fake_event_free,
    .event_set = fake_event_set,
    .event_wait = fake_event_wait,
    .metric_add = fake_metric_add,
    .lookup = fake_lookup
  };
}

void
fake_host_run(fake_host *fake)
{
  while (fake_run_task(fake))
    continue;
}

void
fake_host_advance(fake_host *fake, uint64_t ms)
{
  uint64_t until = fake->now_ns + ms * 1000000;

  for (;;) {
    fake_host_run(fake);
    if (!fake_run_timer(fake, until))
      break;
  }
  fake->now_ns = until;
}
