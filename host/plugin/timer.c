/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host's timers: one thread that sleeps until the earliest one and
 * hands it to the IO lane. All that firing needs is set aside when a timer
 * starts, so that it cannot fail later.
 */
#include "config.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/plugin/executor.h"

typedef struct timer {
  uint64_t due_ns;
  uint64_t id;
  executor_task *task;
} timer;

/* A binary heap, earliest first. `lock` guards everything. */
static struct timer_queue {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int running;
  uint64_t last_id;
  timer *heap;
  size_t count, capacity;
} timer_queue = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int
timer_before(const timer *a, const timer *b)
{
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->id < b->id;
}

static void
timer_swap(size_t i, size_t j)
{
  timer t = timer_queue.heap[i];

  timer_queue.heap[i] = timer_queue.heap[j];
  timer_queue.heap[j] = t;
}

static void
timer_up(size_t i)
{
  while (i > 0 &&
         timer_before(&timer_queue.heap[i], &timer_queue.heap[(i - 1) / 2])) {
    timer_swap(i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
}

static void
timer_down(size_t i)
{
  for (;;) {
    size_t least = i, child = 2 * i + 1, last = child + 1;

    for (; child < timer_queue.count && child <= last; child++)
      if (timer_before(&timer_queue.heap[child], &timer_queue.heap[least]))
        least = child;
    if (least == i)
      return;
    timer_swap(i, least);
    i = least;
  }
}

static executor_task *
timer_take(size_t i)
{
  executor_task *task = timer_queue.heap[i].task;

  timer_queue.heap[i] = timer_queue.heap[--timer_queue.count];
  if (i < timer_queue.count) {
    timer_up(i);
    timer_down(i);
  }
  return task;
}

static void *
timer_run(void *arg)
{
  (void)pthread_mutex_lock(&timer_queue.lock);
  for (;;) {
    struct timespec due;
    executor_task *task;

    if (timer_queue.count == 0) {
      (void)pthread_cond_wait(&timer_queue.changed, &timer_queue.lock);
      continue;
    }
    due.tv_sec = (time_t)(timer_queue.heap[0].due_ns / 1000000000u);
    due.tv_nsec = (long)(timer_queue.heap[0].due_ns % 1000000000u);
    if (timer_queue.heap[0].due_ns > executor_now_ns(NULL)) {
      (void)pthread_cond_timedwait(&timer_queue.changed, &timer_queue.lock,
                                   &due);
      continue;
    }
    task = timer_take(0);
    (void)pthread_mutex_unlock(&timer_queue.lock);
    executor_push(SB_LANE_IO, task);
    (void)pthread_mutex_lock(&timer_queue.lock);
  }
  return arg;
}

/* With the lock held. */
static sb_status
timer_start_thread(sb_error *err)
{
  pthread_condattr_t attributes;

  if (timer_queue.running)
    return SB_OK;
  if (pthread_condattr_init(&attributes) != 0)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for timers");
  (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  (void)pthread_cond_init(&timer_queue.changed, &attributes);
  (void)pthread_condattr_destroy(&attributes);
  if (executor_thread(timer_run, NULL, "sb-timer") != 0)
    return sb_error_set(err, SB_BUSY, "could not start the timers' thread");
  timer_queue.running = 1;
  return SB_OK;
}

static sb_status
timer_reserve(const sb_host *host, sb_error *err)
{
  size_t capacity = timer_queue.capacity == 0 ? 64 : timer_queue.capacity * 2;
  timer *heap;

  if (timer_queue.count < timer_queue.capacity)
    return SB_OK;
  heap = mem_realloc(host, timer_queue.heap, capacity * sizeof *heap);
  if (heap == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a timer");
  timer_queue.heap = heap;
  timer_queue.capacity = capacity;
  return SB_OK;
}

static uint64_t
timer_due(uint64_t delay_ms)
{
  uint64_t now = executor_now_ns(NULL);

  return delay_ms > (UINT64_MAX / 2 - now) / 1000000u
           ? UINT64_MAX / 2
           : now + delay_ms * 1000000u;
}

sb_status
executor_timer_start(const sb_host *host, uint64_t delay_ms, sb_task *task,
                     void *arg, uint64_t *id, sb_error *err)
{
  executor_task *node;
  timer *t;
  sb_status status;

  if (task == NULL)
    return sb_error_set(err, SB_INVALID, "a timer needs a task");
  status = executor_ready(host, SB_LANE_IO, err);
  if (status != SB_OK)
    return status;
  node = executor_reserve(host, task, arg);
  if (node == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a timer");
  (void)pthread_mutex_lock(&timer_queue.lock);
  status = timer_reserve(host, err);
  if (status == SB_OK)
    status = timer_start_thread(err);
  if (status == SB_OK) {
    t = &timer_queue.heap[timer_queue.count++];
    t->due_ns = timer_due(delay_ms);
    t->id = ++timer_queue.last_id;
    t->task = node;
    if (id != NULL)
      *id = t->id;
    timer_up(timer_queue.count - 1);
    (void)pthread_cond_signal(&timer_queue.changed);
  }
  (void)pthread_mutex_unlock(&timer_queue.lock);
  if (status != SB_OK)
    mem_free(host, node);
  return status;
}

sb_status
executor_timer_stop(const sb_host *host, uint64_t id)
{
  executor_task *task = NULL;
  size_t i;

  (void)pthread_mutex_lock(&timer_queue.lock);
  for (i = 0; i < timer_queue.count && task == NULL; i++)
    if (timer_queue.heap[i].id == id)
      task = timer_take(i);
  (void)pthread_mutex_unlock(&timer_queue.lock);
  if (task == NULL)
    return SB_NOT_FOUND;
  mem_free(host, task);
  return SB_OK;
}
