/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host's events. All signalling is done under the lock, so that a
 * waiter may free the event as soon as its wait has returned.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "host/base/mem.h"
#include "host/plugin/executor.h"

struct sb_event {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int is_set; /* guarded by lock */
};

sb_event *
event_new(const sb_host *host)
{
  sb_event *event = mem_alloc(host, sizeof *event);
  pthread_condattr_t attributes;

  if (event == NULL)
    return NULL;
  if (pthread_mutex_init(&event->lock, NULL) != 0)
    goto fail;
  if (pthread_condattr_init(&attributes) != 0)
    goto fail_lock;
  (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  if (pthread_cond_init(&event->changed, &attributes) != 0)
    goto fail_attributes;
  (void)pthread_condattr_destroy(&attributes);
  event->is_set = 0;
  return event;
fail_attributes:
  (void)pthread_condattr_destroy(&attributes);
fail_lock:
  (void)pthread_mutex_destroy(&event->lock);
fail:
  mem_free(host, event);
  return NULL;
}

void
event_free(const sb_host *host, sb_event *event)
{
  if (event == NULL)
    return;
  /* The last setter may still be on its way out of the lock. */
  (void)pthread_mutex_lock(&event->lock);
  (void)pthread_mutex_unlock(&event->lock);
  (void)pthread_cond_destroy(&event->changed);
  (void)pthread_mutex_destroy(&event->lock);
  mem_free(host, event);
}

void
event_set(const sb_host *host, sb_event *event)
{
  (void)host;
  (void)pthread_mutex_lock(&event->lock);
  event->is_set = 1;
  (void)pthread_cond_signal(&event->changed);
  (void)pthread_mutex_unlock(&event->lock);
}

sb_status
event_wait(const sb_host *host, sb_event *event, uint64_t deadline_ns)
{
  struct timespec deadline;
  int failure = 0;
  sb_status status;

  (void)host;
  deadline.tv_sec = (time_t)(deadline_ns / 1000000000u);
  deadline.tv_nsec = (long)(deadline_ns % 1000000000u);
  (void)pthread_mutex_lock(&event->lock);
  while (!event->is_set && failure != ETIMEDOUT) {
    if (deadline_ns == SB_NO_DEADLINE)
      (void)pthread_cond_wait(&event->changed, &event->lock);
    else
      failure = pthread_cond_timedwait(&event->changed, &event->lock,
                                       &deadline);
  }
  status = event->is_set ? SB_OK : SB_TIMEOUT;
  event->is_set = 0;
  (void)pthread_mutex_unlock(&event->lock);
  return status;
}
