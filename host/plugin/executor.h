/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host's threads: three lanes of workers, timers, and events. All
 * of it starts with first use and stays until the process ends.
 */
#ifndef SB_PLUGIN_EXECUTOR_H
#define SB_PLUGIN_EXECUTOR_H

#include <statebackend/host.h>

sb_status executor_execute(const sb_host *host, uint32_t lane, sb_task *task,
                           void *arg, sb_error *err);
sb_status executor_timer_start(const sb_host *host, uint64_t delay_ms,
                               sb_task *task, void *arg, uint64_t *id,
                               sb_error *err);
sb_status executor_timer_stop(const sb_host *host, uint64_t id);

/* Called by timers when their time has come; cannot fail. `node` is from
   executor_reserve. */
typedef struct executor_task executor_task;
executor_task *executor_reserve(const sb_host *host, sb_task *task, void *arg);
sb_status executor_ready(const sb_host *host, uint32_t lane, sb_error *err);
void executor_push(uint32_t lane, executor_task *node);

/* Starts a detached thread that gets no signals. 0 or an errno. */
int executor_thread(void *(*run)(void *), void *arg, const char *name);

uint64_t executor_now_ns(const sb_host *host);

sb_event *event_new(const sb_host *host);
void event_free(const sb_host *host, sb_event *event);
void event_set(const sb_host *host, sb_event *event);
sb_status event_wait(const sb_host *host, sb_event *event,
                     uint64_t deadline_ns);

#endif
