/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes of the code under test, through the linker's --wrap. All tasks share
 * one thread, so a mutex that a switched-out task still holds would hang the
 * program; here it is found when the wait begins, and named.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/simulator/sim.h"

#define LOCKS_MAX 64

typedef struct held {
  pthread_mutex_t *mutex;
  sim_task *task;
} held;

static sim *locks_sim;
static held locks_held[LOCKS_MAX];
static size_t locks_count;

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until);

void
locks_bind(sim *s)
{
  locks_sim = s;
  locks_count = 0;
}

static size_t
locks_find(const pthread_mutex_t *mutex)
{
  size_t i = 0;

  while (i < locks_count && locks_held[i].mutex != mutex)
    i++;
  return i;
}

static void
locks_remove(size_t i)
{
  if (locks_held[i].task != NULL)
    locks_held[i].task->locks--;
  locks_held[i] = locks_held[--locks_count];
}

void
locks_forget(const sim_task *task)
{
  size_t i = 0;

  while (i < locks_count) {
    if (locks_held[i].task == task)
      locks_remove(i);
    else
      i++;
  }
}

/* The mutex itself is left alone: there is one thread, and a crash drops the
   memory that it is in. */
int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
  if (locks_sim == NULL)
    return 0;
  if (locks_find(mutex) < locks_count)
    return EBUSY;
  if (locks_count == LOCKS_MAX) {
    sim_fail(locks_sim, SIM_WRONG, "more than %d mutexes are held",
             LOCKS_MAX);
    return EAGAIN;
  }
  locks_held[locks_count].mutex = mutex;
  locks_held[locks_count++].task = locks_sim->current;
  if (locks_sim->current != NULL)
    locks_sim->current->locks++;
  return 0;
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
  int rc = __wrap_pthread_mutex_trylock(mutex);

  if (rc == EBUSY) {
    sim_task *owner = locks_held[locks_find(mutex)].task;

    sim_fail(locks_sim, SIM_WRONG, "a mutex held by %s is locked again by %s",
             owner == NULL ? "a completion" : owner->name,
             locks_sim->current == NULL ? "a completion"
                                        : locks_sim->current->name);
  }
  return rc;
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
  size_t i = locks_find(mutex);

  if (locks_sim == NULL || locks_sim->failed)
    return 0;
  if (i == locks_count) {
    sim_fail(locks_sim, SIM_WRONG, "a mutex that is not held is unlocked");
    return EPERM;
  }
  locks_remove(i);
  return 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
  (void)cond;
  (void)mutex;
  if (locks_sim != NULL)
    sim_fail(locks_sim, SIM_WRONG,
             "waits for a condition variable instead of host->event_wait");
  abort();
}

int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                              const struct timespec *until)
{
  (void)until;
  return __wrap_pthread_cond_wait(cond, mutex);
}
