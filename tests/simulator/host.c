/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sb_host of a simulated process. All memory is listed, filled with a
 * pattern and counted; lanes have few places, so that a task that waits for
 * another one of its lane is found out.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"

#if defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN 1
#endif
#endif
#ifdef HOST_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define HOST_FILL_MAX (64u << 10)

/* In front of each block; poisoned, so that an underrun is seen too. */
typedef struct sim_memory {
  struct sim_memory *next, *prev;
  size_t size;
  uint64_t number;
} sim_memory_block;

static sim_process *
host_process(const sb_host *host)
{
  return host->ctx;
}

static void
host_log(const sb_host *host, uint32_t level, const char *component,
         const char *text)
{
  sim_process *process = host_process(host);

  sim_say(process->sim, "%s: log %u %s: %s", process->name, level, component,
          text);
}

/* ---- memory ------------------------------------------------------------- */

static int
memory_fails(sim_process *process)
{
  process->allocs++;
  if (process->alloc_fail_at != 0) {
    if (process->alloc_fail_at > 1) {
      process->alloc_fail_at--;
      return 0;
    }
    if (!process->alloc_fail_for_good)
      process->alloc_fail_at = 0;
    process->alloc_failures++;
    return 1;
  }
  if (process->alloc_fail_per_mille != 0 &&
      rng_chance(&process->sim->schedule, process->alloc_fail_per_mille)) {
    process->alloc_failures++;
    return 1;
  }
  return 0;
}

static void
memory_unlink(sim_process *process, sim_memory_block *block)
{
  ASAN_UNPOISON_MEMORY_REGION(block, sizeof *block);
  if (block->next != NULL) {
    ASAN_UNPOISON_MEMORY_REGION(block->next, sizeof *block);
    block->next->prev = block->prev;
    ASAN_POISON_MEMORY_REGION(block->next, sizeof *block);
  }
  if (block->prev != NULL) {
    ASAN_UNPOISON_MEMORY_REGION(block->prev, sizeof *block);
    block->prev->next = block->next;
    ASAN_POISON_MEMORY_REGION(block->prev, sizeof *block);
  } else {
    process->memory = block->next;
  }
  process->memory_bytes -= block->size;
  process->memory_blocks--;
}

static void *
memory_link(sim_process *process, size_t size)
{
  sim_memory_block *block = sim_memory(NULL, sizeof *block + size);

  memset(block + 1, 0xA7, size < HOST_FILL_MAX ? size : HOST_FILL_MAX);
  block->prev = NULL;
  block->next = process->memory;
  block->size = size;
  block->number = process->allocs;
  if (block->next != NULL) {
    ASAN_UNPOISON_MEMORY_REGION(block->next, sizeof *block);
    block->next->prev = block;
    ASAN_POISON_MEMORY_REGION(block->next, sizeof *block);
  }
  process->memory = block;
  process->memory_bytes += size;
  process->memory_blocks++;
  if (process->memory_bytes > process->memory_peak)
    process->memory_peak = process->memory_bytes;
  ASAN_POISON_MEMORY_REGION(block, sizeof *block);
  return block + 1;
}

static void *
host_alloc(const sb_host *host, void *old, size_t size)
{
  sim_process *process = host_process(host);
  sim_memory_block *block = old == NULL ? NULL : (sim_memory_block *)old - 1;
  size_t old_size;
  void *p;

  if (size == 0) {
    if (block != NULL) {
      memory_unlink(process, block);
      memset(old, 0xD3, block->size < 64 ? block->size : 64);
      free(block);
    }
    return NULL;
  }
  if (memory_fails(process))
    return NULL;
  p = memory_link(process, size);
  if (block != NULL) {
    memory_unlink(process, block);
    old_size = block->size;
    memcpy(p, old, old_size < size ? old_size : size);
    free(block);
  }
  return p;
}

static void
memory_dispose(sim_process *process)
{
  while (process->memory != NULL) {
    sim_memory_block *block = process->memory;

    memory_unlink(process, block);
    free(block);
  }
}

/* ---- time and chance ---------------------------------------------------- */

static uint64_t
host_clock_ms(const sb_host *host)
{
  const sim_process *process = host_process(host);

  return 1700000000000ull + process->sim->now_ns / SIM_MS +
         process->clock_skew_ms;
}

static uint64_t
host_monotonic_ns(const sb_host *host)
{
  return host_process(host)->sim->now_ns;
}

static uint64_t
host_random(const sb_host *host)
{
  return rng_next(&host_process(host)->sim->schedule);
}

/* ---- lanes and timers --------------------------------------------------- */

static const char *const lane_names[SIM_LANES] = { "io", "checkpoint",
                                                   "background" };

void
sim_lane_init(sim_process *process)
{
  size_t i;

  for (i = 0; i < SIM_LANES; i++) {
    process->lanes[i].last = &process->lanes[i].first;
    process->lanes[i].width =
      (uint32_t)rng_range(&process->sim->schedule, 1, 3);
  }
}

static void
lane_start(sim_process *process, size_t i)
{
  sim_lane *lane = &process->lanes[i];
  sim_job *job = lane->first;

  if (job == NULL || lane->running == lane->width)
    return;
  lane->first = job->next;
  if (lane->first == NULL)
    lane->last = &lane->first;
  lane->running++;
  sim_spawn(process, (uint32_t)(i + 1) * 10, lane_names[i], job->task,
            job->arg);
  free(job);
}

void
sim_lane_ended(sim_process *process, uint32_t lane)
{
  process->lanes[lane / 10 - 1].running--;
  lane_start(process, lane / 10 - 1);
}

static sb_status
host_execute(const sb_host *host, uint32_t lane, sb_task *task, void *arg,
             sb_error *err)
{
  sim_process *process = host_process(host);
  size_t i = lane / 10 - 1;
  sim_job *job;

  if (lane % 10 != 0 || i >= SIM_LANES) {
    sim_fail(process->sim, SIM_WRONG, "execute: no lane %u", lane);
    return SB_INVALID;
  }
  if (memory_fails(process))
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not start a task: out of memory");
  job = sim_memory(NULL, sizeof *job);
  job->next = NULL;
  job->task = task;
  job->arg = arg;
  *process->lanes[i].last = job;
  process->lanes[i].last = &job->next;
  lane_start(process, i);
  return SB_OK;
}

static void
timer_due(void *arg)
{
  sim_item *item = arg;
  sim_process *process = item->process;
  sim_item **at = &process->timers;

  while (*at != item)
    at = &(*at)->timer_next;
  *at = item->timer_next;
  sim_spawn(process, 0, "timer", item->timer_task, item->timer_arg);
}

static sb_status
host_timer_start(const sb_host *host, uint64_t delay_ms, sb_task *task,
                 void *arg, uint64_t *id, sb_error *err)
{
  sim_process *process = host_process(host);
  sim_item *item;

  if (memory_fails(process))
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not start a timer: out of memory");
  item = sim_after(process->sim, process, delay_ms * SIM_MS, timer_due, NULL);
  item->arg = item;
  item->timer_task = task;
  item->timer_arg = arg;
  item->timer_id = ++process->timer_serial;
  item->timer_next = process->timers;
  process->timers = item;
  if (id != NULL)
    *id = item->timer_id;
  return SB_OK;
}

static sb_status
host_timer_stop(const sb_host *host, uint64_t id)
{
  sim_process *process = host_process(host);
  sim_item **at = &process->timers;
  sim_item *item;

  while (*at != NULL && (*at)->timer_id != id)
    at = &(*at)->timer_next;
  item = *at;
  if (item == NULL)
    return SB_NOT_FOUND;
  *at = item->timer_next;
  sim_item_drop(process->sim, item);
  return SB_OK;
}

/* ---- events ------------------------------------------------------------- */

static sb_event *
host_event_new(const sb_host *host)
{
  sim_process *process = host_process(host);
  sb_event *event;

  if (memory_fails(process))
    return NULL;
  event = sim_memory(NULL, sizeof *event);
  memset(event, 0, sizeof *event);
  event->process = process;
  event->next = process->events;
  if (event->next != NULL)
    event->next->prev = event;
  process->events = event;
  return event;
}

static void
event_drop(sb_event *event)
{
  if (event->prev != NULL)
    event->prev->next = event->next;
  else
    event->process->events = event->next;
  if (event->next != NULL)
    event->next->prev = event->prev;
  free(event);
}

static void
host_event_free(const sb_host *host, sb_event *event)
{
  if (event == NULL)
    return;
  if (event->waiter != NULL)
    sim_fail(host_process(host)->sim, SIM_WRONG,
             "an event that %s waits for is freed", event->waiter->name);
  event_drop(event);
}

static void
host_event_set(const sb_host *host, sb_event *event)
{
  sim_event_set(host_process(host)->sim, event);
}

static sb_status
host_event_wait(const sb_host *host, sb_event *event, uint64_t deadline_ns)
{
  sim *s = host_process(host)->sim;

  if (s->current == NULL) {
    sim_fail(s, SIM_WRONG, "event_wait is called in a completion");
    return SB_TIMEOUT;
  }
  sim_check_unlocked(s, "event_wait");
  sim_preempt(s, 100);
  return sim_event_wait(s, event, deadline_ns);
}

/* ---- the rest ----------------------------------------------------------- */

static void
host_metric_add(const sb_host *host, const char *name, int64_t delta)
{
  (void)host;
  (void)name;
  (void)delta;
}

static void *
host_lookup(const sb_host *host, const char *name)
{
  (void)host;
  (void)name;
  return NULL;
}

static const sim_setting *
host_setting(const sb_config *config, const char *key)
{
  const sim_setting *setting = (const sim_setting *)(const void *)config;

  while (setting != NULL && setting->key != NULL) {
    if (strcmp(setting->key, key) == 0)
      return setting;
    setting++;
  }
  return NULL;
}

static const char *
host_config_string(const sb_config *config, const char *key)
{
  const sim_setting *setting = host_setting(config, key);

  return setting == NULL ? NULL : setting->text;
}

static int64_t
host_config_int(const sb_config *config, const char *key)
{
  const sim_setting *setting = host_setting(config, key);

  return setting == NULL ? 0 : setting->number;
}

static double
host_config_double(const sb_config *config, const char *key)
{
  return (double)host_config_int(config, key);
}

void
sim_host_init(sim_process *process)
{
  static const sb_host table = {
    .struct_size = sizeof (sb_host),
    .abi_version = SB_ABI_VERSION,
    .log = host_log,
    .alloc = host_alloc,
    .clock_ms = host_clock_ms,
    .monotonic_ns = host_monotonic_ns,
    .random = host_random,
    .execute = host_execute,
    .timer_start = host_timer_start,
    .timer_stop = host_timer_stop,
    .event_new = host_event_new,
    .event_free = host_event_free,
    .event_set = host_event_set,
    .event_wait = host_event_wait,
    .metric_add = host_metric_add,
    .lookup = host_lookup,
    .config_string = host_config_string,
    .config_int = host_config_int,
    .config_double = host_config_double,
  };

  process->host = table;
  process->host.ctx = process;
  sim_lane_init(process);
}

void
sim_host_dispose(sim_process *process)
{
  size_t i;

  for (i = 0; i < SIM_LANES; i++)
    while (process->lanes[i].first != NULL) {
      sim_job *job = process->lanes[i].first;

      process->lanes[i].first = job->next;
      free(job);
    }
  process->timers = NULL; /* they went with the heap */
  while (process->events != NULL)
    event_drop(process->events);
  memory_dispose(process);
}
