/* SPDX-License-Identifier: Apache-2.0 */
/* The default host's lanes: queues of tasks with threads of their own. */
#include "config.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/plugin/executor.h"

struct executor_task {
  const sb_host *host;
  sb_task *task;
  void *arg;
  executor_task *next;
};

/* `lock` guards all that follows it and is never held while a task runs. */
typedef struct executor_lane {
  uint32_t lane;
  unsigned threads_max;
  const char *name;
  pthread_mutex_t lock;
  pthread_cond_t more;
  executor_task *first, *last;
  size_t queued;
  unsigned threads, idle;
} executor_lane;

static executor_lane executor_lanes[] = {
  { .lane = SB_LANE_IO, .threads_max = 8, .name = "sb-io",
    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER },
  { .lane = SB_LANE_CHECKPOINT, .threads_max = 4, .name = "sb-checkpoint",
    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER },
  { .lane = SB_LANE_BACKGROUND, .threads_max = 2, .name = "sb-background",
    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER },
};

static executor_lane *
executor_lane_of(uint32_t lane)
{
  size_t i;

  for (i = 0; i < sizeof executor_lanes / sizeof executor_lanes[0]; i++)
    if (executor_lanes[i].lane == lane)
      return &executor_lanes[i];
  return NULL;
}

/* Threads that run our code must not lose it to a dlclose. */
static void
executor_pin_library(void)
{
  static atomic_int pinned;
  Dl_info info;

  if (atomic_exchange(&pinned, 1) != 0)
    return;
  if (dladdr(executor_lanes, &info) != 0 && info.dli_fname != NULL)
    (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

int
executor_thread(void *(*run)(void *), void *arg, const char *name)
{
  sigset_t all, old;
  pthread_t thread;
  int failure;

  executor_pin_library();
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &old);
  failure = pthread_create(&thread, NULL, run, arg);
  (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (failure != 0)
    return failure;
  (void)pthread_setname_np(thread, name);
  (void)pthread_detach(thread);
  return 0;
}

static void *
executor_run(void *arg)
{
  executor_lane *lane = arg;

  (void)pthread_mutex_lock(&lane->lock);
  for (;;) {
    executor_task *node = lane->first;
    sb_task *task;
    void *task_arg;

    if (node == NULL) {
      lane->idle++;
      (void)pthread_cond_wait(&lane->more, &lane->lock);
      lane->idle--;
      continue;
    }
    lane->first = node->next;
    if (lane->first == NULL)
      lane->last = NULL;
    lane->queued--;
    (void)pthread_mutex_unlock(&lane->lock);
    /* The host may be gone once the task has told somebody that it is over. */
    task = node->task;
    task_arg = node->arg;
    mem_free(node->host, node);
    task(task_arg);
    (void)pthread_mutex_lock(&lane->lock);
  }
  return NULL;
}

/* One thread more if the idle ones cannot take all that is queued and more may
   run. The new thread blocks on the lock that the caller holds. */
static int
executor_grow(executor_lane *lane, size_t wanted)
{
  int failure = 0;

  if (lane->idle >= wanted || lane->threads == lane->threads_max)
    return 0;
  failure = executor_thread(executor_run, lane, lane->name);
  if (failure == 0)
    lane->threads++;
  return lane->threads == 0 ? failure : 0;
}

executor_task *
executor_reserve(const sb_host *host, sb_task *task, void *arg)
{
  executor_task *node = mem_alloc(host, sizeof *node);

  if (node == NULL)
    return NULL;
  node->host = host;
  node->task = task;
  node->arg = arg;
  node->next = NULL;
  return node;
}

static void
executor_append(executor_lane *lane, executor_task *node)
{
  if (lane->last == NULL)
    lane->first = node;
  else
    lane->last->next = node;
  lane->last = node;
  lane->queued++;
  (void)pthread_cond_signal(&lane->more);
}

void
executor_push(uint32_t number, executor_task *node)
{
  executor_lane *lane = executor_lane_of(number);

  (void)pthread_mutex_lock(&lane->lock);
  (void)executor_grow(lane, lane->queued + 1);
  executor_append(lane, node);
  (void)pthread_mutex_unlock(&lane->lock);
}

sb_status
executor_ready(const sb_host *host, uint32_t number, sb_error *err)
{
  executor_lane *lane = executor_lane_of(number);
  int failure;

  (void)host;
  (void)pthread_mutex_lock(&lane->lock);
  failure = lane->threads == 0 ? executor_grow(lane, 1) : 0;
  (void)pthread_mutex_unlock(&lane->lock);
  if (failure == 0)
    return SB_OK;
  (void)sb_error_set(err, SB_BUSY, "could not start a thread: %s",
                     strerror(failure));
  if (err != NULL)
    err->system = failure;
  return SB_BUSY;
}

sb_status
executor_execute(const sb_host *host, uint32_t number, sb_task *task,
                 void *arg, sb_error *err)
{
  executor_lane *lane = executor_lane_of(number);
  executor_task *node;
  sb_status status;

  if (lane == NULL || task == NULL)
    return sb_error_set(err, SB_INVALID, "there is no executor lane %u",
                        number);
  status = executor_ready(host, number, err);
  if (status != SB_OK)
    return status;
  node = executor_reserve(host, task, arg);
  if (node == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a task");
  executor_push(number, node);
  return SB_OK;
}

uint64_t
executor_now_ns(const sb_host *host)
{
  struct timespec now;

  (void)host;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
