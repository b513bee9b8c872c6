/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host. Goal: events lose no wake-up and time out, lanes run every
 * task and do not hold each other up, timers fire in order or not at all,
 * counters add up, and all of it is free of races (run under check-tsan).
 * Method: many threads on one object, with counts that must come out exact.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "tests/tap.h"

#define MS 1000000ull

static const sb_host *host;

static uint64_t
test_now(void)
{
  return host->monotonic_ns(host);
}

static sb_status
test_wait(sb_event *event, uint64_t ms)
{
  return host->event_wait(host, event, test_now() + ms * MS);
}

/* ---- status ------------------------------------------------------------- */

static void
test_status(void)
{
  sb_error err;

  CU_ASSERT_STRING_EQUAL(sb_status_name(SB_OK), "ok");
  CU_ASSERT_STRING_EQUAL(sb_status_name(SB_FENCED), "fenced");
  CU_ASSERT_STRING_EQUAL(sb_status_name(SB_NO_MEMORY), "no_memory");
  CU_ASSERT_STRING_EQUAL(sb_status_name(-31337), "io");
  CU_ASSERT_EQUAL(sb_status_retryable(SB_BUSY), 1);
  CU_ASSERT_EQUAL(sb_status_retryable(SB_IO), 1);
  CU_ASSERT_EQUAL(sb_status_retryable(SB_FENCED), 0);
  CU_ASSERT_EQUAL(sb_status_retryable(SB_OK), 0);
  CU_ASSERT_EQUAL(sb_error_set(&err, SB_IO, "a \"%s\"\nb", "x"), SB_IO);
  CU_ASSERT_STRING_EQUAL(err.message, "a \"x\" b");
  CU_ASSERT_EQUAL(err.status, SB_IO);
  CU_ASSERT_EQUAL(err.system, 0);
  CU_ASSERT_EQUAL(sb_error_set(NULL, SB_IO, "x"), SB_IO);
  CU_ASSERT_EQUAL(sb_error_set(&err, SB_IO, "%600s", "x"), SB_IO);
  CU_ASSERT_EQUAL(strlen(err.message), sizeof err.message - 1);
  CU_ASSERT_PTR_NOT_NULL(strchr(sb_version(), '.'));
}

/* ---- events ------------------------------------------------------------- */

static void
test_event(void)
{
  sb_event *event = host->event_new(host);
  uint64_t start;

  CU_ASSERT_PTR_NOT_NULL_FATAL(event);
  CU_ASSERT_EQUAL(host->event_wait(host, event, 0), SB_TIMEOUT);
  start = test_now();
  CU_ASSERT_EQUAL(test_wait(event, 20), SB_TIMEOUT);
  CU_ASSERT(test_now() - start >= 20 * MS);
  host->event_set(host, event);
  host->event_set(host, event);
  CU_ASSERT_EQUAL(host->event_wait(host, event, 0), SB_OK);
  CU_ASSERT_EQUAL(host->event_wait(host, event, 0), SB_TIMEOUT);
  host->event_set(host, event);
  CU_ASSERT_EQUAL(host->event_wait(host, event, SB_NO_DEADLINE), SB_OK);
  host->event_free(host, event);
  host->event_free(host, NULL);
}

typedef struct test_pair {
  sb_event *ping, *pong;
  unsigned rounds;
} test_pair;

static void *
test_pong(void *arg)
{
  test_pair *pair = arg;
  unsigned i;

  for (i = 0; i < pair->rounds; i++) {
    if (host->event_wait(host, pair->ping, SB_NO_DEADLINE) != SB_OK)
      return arg;
    host->event_set(host, pair->pong);
  }
  return NULL;
}

/* A lost wake-up would hang one of the two. */
static void
test_ping_pong(void)
{
  test_pair pair = { .rounds = 5000 };
  pthread_t thread;
  void *failed;
  unsigned i;

  pair.ping = host->event_new(host);
  pair.pong = host->event_new(host);
  CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, test_pong, &pair), 0);
  for (i = 0; i < pair.rounds; i++) {
    host->event_set(host, pair.ping);
    CU_ASSERT_EQUAL_FATAL(test_wait(pair.pong, 60000), SB_OK);
  }
  (void)pthread_join(thread, &failed);
  CU_ASSERT_PTR_NULL(failed);
  host->event_free(host, pair.ping);
  host->event_free(host, pair.pong);
}

static void
test_set_event(void *arg)
{
  host->event_set(host, arg);
}

/* The waiter frees the event while the setter may still be inside set. */
static void
test_free_after_wait(void)
{
  unsigned i;

  for (i = 0; i < 2000; i++) {
    sb_event *event = host->event_new(host);

    CU_ASSERT_EQUAL_FATAL(host->execute(host, SB_LANE_IO, test_set_event,
                                        event, NULL), SB_OK);
    CU_ASSERT_EQUAL_FATAL(test_wait(event, 60000), SB_OK);
    host->event_free(host, event);
  }
}

/* ---- lanes -------------------------------------------------------------- */

typedef struct test_crowd {
  sb_event *done;
  _Atomic unsigned left, running, most;
} test_crowd;

static void
test_crowd_task(void *arg)
{
  test_crowd *crowd = arg;
  unsigned running = atomic_fetch_add(&crowd->running, 1) + 1;
  unsigned most = atomic_load(&crowd->most);

  while (running > most &&
         !atomic_compare_exchange_weak(&crowd->most, &most, running))
    continue;
  (void)usleep(1000);
  atomic_fetch_sub(&crowd->running, 1);
  if (atomic_fetch_sub(&crowd->left, 1) == 1)
    host->event_set(host, crowd->done);
}

static void
test_crowd_on(uint32_t lane, unsigned threads)
{
  test_crowd crowd = { .done = host->event_new(host) };
  unsigned i;

  atomic_init(&crowd.left, 200);
  for (i = 0; i < 200; i++)
    CU_ASSERT_EQUAL(host->execute(host, lane, test_crowd_task, &crowd, NULL),
                    SB_OK);
  CU_ASSERT_EQUAL_FATAL(test_wait(crowd.done, 60000), SB_OK);
  CU_ASSERT_EQUAL(atomic_load(&crowd.most), threads);
  host->event_free(host, crowd.done);
}

static void
test_lanes(void)
{
  sb_error err;

  test_crowd_on(SB_LANE_IO, 8);
  test_crowd_on(SB_LANE_CHECKPOINT, 4);
  test_crowd_on(SB_LANE_BACKGROUND, 2);
  CU_ASSERT_EQUAL(host->execute(host, 11, test_set_event, NULL, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(host->execute(host, SB_LANE_IO, NULL, NULL, &err),
                  SB_INVALID);
}

typedef struct test_gate {
  sb_event *open[2], *done[2];
} test_gate;

static void
test_gate_0(void *arg)
{
  test_gate *gate = arg;

  (void)host->event_wait(host, gate->open[0], SB_NO_DEADLINE);
  host->event_set(host, gate->done[0]);
}

static void
test_gate_1(void *arg)
{
  test_gate *gate = arg;

  (void)host->event_wait(host, gate->open[1], SB_NO_DEADLINE);
  host->event_set(host, gate->done[1]);
}

/* With the background lane full, the others go on. */
static void
test_independent(void)
{
  test_gate gate;
  sb_event *event = host->event_new(host);
  int i;

  for (i = 0; i < 2; i++) {
    gate.open[i] = host->event_new(host);
    gate.done[i] = host->event_new(host);
  }
  (void)host->execute(host, SB_LANE_BACKGROUND, test_gate_0, &gate, NULL);
  (void)host->execute(host, SB_LANE_BACKGROUND, test_gate_1, &gate, NULL);
  (void)host->execute(host, SB_LANE_IO, test_set_event, event, NULL);
  CU_ASSERT_EQUAL(test_wait(event, 60000), SB_OK);
  (void)host->execute(host, SB_LANE_CHECKPOINT, test_set_event, event, NULL);
  CU_ASSERT_EQUAL(test_wait(event, 60000), SB_OK);
  (void)host->execute(host, SB_LANE_BACKGROUND, test_set_event, event, NULL);
  CU_ASSERT_EQUAL(test_wait(event, 30), SB_TIMEOUT);
  host->event_set(host, gate.open[1]);
  CU_ASSERT_EQUAL(test_wait(event, 60000), SB_OK);
  host->event_set(host, gate.open[0]);
  for (i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL(test_wait(gate.done[i], 60000), SB_OK);
    host->event_free(host, gate.open[i]);
    host->event_free(host, gate.done[i]);
  }
  host->event_free(host, event);
}

/* ---- timers ------------------------------------------------------------- */

typedef struct test_timers {
  _Atomic unsigned next;
  _Atomic unsigned order[4];
  sb_event *done;
} test_timers;

typedef struct test_timer {
  test_timers *all;
  unsigned number;
  uint64_t due_ns;
} test_timer;

static void
test_timer_task(void *arg)
{
  test_timer *timer = arg;
  unsigned place = atomic_fetch_add(&timer->all->next, 1);

  atomic_store(&timer->all->order[place],
               test_now() >= timer->due_ns ? timer->number : 99);
  if (place == 2)
    host->event_set(host, timer->all->done);
}

static void
test_timers_fire(void)
{
  static const uint64_t delays[] = { 210, 10, 110, 160 };
  test_timers all = { .done = host->event_new(host) };
  test_timer timers[4];
  uint64_t ids[4];
  unsigned i;

  for (i = 0; i < 4; i++) {
    timers[i].all = &all;
    timers[i].number = i;
    timers[i].due_ns = test_now() + delays[i] * MS;
    CU_ASSERT_EQUAL(host->timer_start(host, delays[i], test_timer_task,
                                      &timers[i], &ids[i], NULL), SB_OK);
  }
  CU_ASSERT_EQUAL(host->timer_stop(host, ids[3]), SB_OK);
  CU_ASSERT_EQUAL(host->timer_stop(host, ids[3]), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(test_wait(all.done, 60000), SB_OK);
  CU_ASSERT_EQUAL(atomic_load(&all.order[0]), 1);
  CU_ASSERT_EQUAL(atomic_load(&all.order[1]), 2);
  CU_ASSERT_EQUAL(atomic_load(&all.order[2]), 0);
  CU_ASSERT_EQUAL(host->timer_stop(host, ids[0]), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(host->timer_stop(host, 12345678), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(host->timer_start(host, 1, NULL, NULL, NULL, NULL),
                  SB_INVALID);
  host->event_free(host, all.done);
}

static void
test_count(void *arg)
{
  (void)atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

/* Each timer either fires once or is stopped. */
static void
test_timers_stop(void)
{
  _Atomic unsigned fired = 0;
  unsigned stopped = 0, i, n = 1000;
  uint64_t *ids = calloc(n, sizeof *ids);
  uint64_t id, end;

  for (i = 0; i < n; i++)
    CU_ASSERT_EQUAL(host->timer_start(host, i % 20, test_count, &fired,
                                      &ids[i], NULL), SB_OK);
  for (i = 0; i < n; i += 2)
    stopped += host->timer_stop(host, ids[i]) == SB_OK;
  CU_ASSERT_EQUAL(host->timer_start(host, UINT64_MAX, test_count, &fired, &id,
                                    NULL), SB_OK);
  end = test_now() + 60000 * MS;
  while (atomic_load(&fired) + stopped < n && test_now() < end)
    (void)usleep(1000);
  (void)usleep(5000);
  CU_ASSERT_EQUAL(atomic_load(&fired) + stopped, n);
  CU_ASSERT_EQUAL(host->timer_stop(host, id), SB_OK);
  free(ids);
}

/* ---- the rest ----------------------------------------------------------- */

static void
test_services(void)
{
  uint64_t a = host->random(host), b = host->random(host);
  uint64_t clock = host->clock_ms(host), now = test_now();
  void *p;

  CU_ASSERT_NOT_EQUAL(a, b);
  CU_ASSERT(clock > 1700000000000ull && clock < 4000000000000ull);
  CU_ASSERT(test_now() >= now);
  p = host->alloc(host, NULL, 10);
  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  memset(p, 7, 10);
  p = host->alloc(host, p, 100000);
  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  CU_ASSERT_EQUAL(((char *)p)[9], 7);
  CU_ASSERT_PTR_NULL(host->alloc(host, p, 0));
  CU_ASSERT_PTR_NULL(host->alloc(host, NULL, 0));
  CU_ASSERT_EQUAL(host->struct_size, sizeof *host);
  CU_ASSERT_EQUAL(host->abi_version, SB_ABI_VERSION);
}

static void
test_registry(void)
{
  sb_error err;
  int a, b;

  CU_ASSERT_PTR_NULL(host->lookup(host, "test.object"));
  CU_ASSERT_EQUAL(sb_host_register("test.object", &a, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_host_register("test.other", &b, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(host->lookup(host, "test.object"), &a);
  CU_ASSERT_EQUAL(sb_host_register("test.object", &b, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(host->lookup(host, "test.object"), &b);
  CU_ASSERT_EQUAL(sb_host_register("test.object", NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_host_register("test.object", NULL, &err), SB_OK);
  CU_ASSERT_PTR_NULL(host->lookup(host, "test.object"));
  CU_ASSERT_PTR_EQUAL(host->lookup(host, "test.other"), &b);
  CU_ASSERT_EQUAL(sb_host_register("test.other", NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_host_register("", &a, &err), SB_INVALID);
}

static void *
test_metric_thread(void *arg)
{
  unsigned i;

  (void)arg;
  for (i = 0; i < 20000; i++) {
    host->metric_add(host, "test.a", 1);
    host->metric_add(host, i % 2 == 0 ? "test.b" : "test.c", -2);
  }
  return NULL;
}

static void
test_metric_see(void *arg, const char *name, int64_t value)
{
  int64_t *values = arg;

  if (strncmp(name, "test.", 5) == 0 && name[6] == '\0')
    values[name[5] - 'a'] += value;
}

static void
test_metrics(void)
{
  int64_t values[26] = { 0 };
  pthread_t threads[4];
  unsigned i;

  for (i = 0; i < 4; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL,
                                         test_metric_thread, NULL), 0);
  for (i = 0; i < 4; i++)
    (void)pthread_join(threads[i], NULL);
  sb_host_metrics(test_metric_see, values);
  CU_ASSERT_EQUAL(values[0], 80000);
  CU_ASSERT_EQUAL(values[1], -80000);
  CU_ASSERT_EQUAL(values[2], -80000);
}

/* More names than there is room for are left out, and nothing else happens. */
static void
test_metrics_full(void)
{
  int64_t values[26] = { 0 };
  char name[32];
  unsigned i;

  for (i = 0; i < 3000; i++) {
    (void)snprintf(name, sizeof name, "full.%u", i);
    host->metric_add(host, name, 1);
  }
  host->metric_add(host, "test.a", 1);
  sb_host_metrics(test_metric_see, values);
  CU_ASSERT(values[0] >= 0);
}

static void
test_log_line(void *arg, uint32_t level, const char *component,
              const char *text)
{
  CU_ASSERT_EQUAL(level, SB_LOG_WARN);
  CU_ASSERT_STRING_EQUAL(component, "test");
  CU_ASSERT_STRING_EQUAL(text, "hello");
  ++*(int *)arg;
}

static void
test_log(void)
{
  int lines = 0;

  host->log(host, SB_LOG_WARN, "test", "hello");
  sb_host_set_log(test_log_line, &lines);
  host->log(host, SB_LOG_WARN, "test", "hello");
  sb_host_set_log(NULL, NULL);
  host->log(host, SB_LOG_WARN, "test", "hello");
  CU_ASSERT_EQUAL(lines, 1);
}

int
main(int argc, char **argv)
{
  static const tap_case events[] = {
    { "event", test_event },
    { "ping_pong", test_ping_pong },
    { "free_after_wait", test_free_after_wait },
  };
  static const tap_case executor[] = {
    { "lanes", test_lanes },
    { "independent", test_independent },
    { "timers_fire", test_timers_fire },
    { "timers_stop", test_timers_stop },
  };
  static const tap_case services[] = {
    { "status", test_status },
    { "services", test_services },
    { "registry", test_registry },
    { "metrics", test_metrics },
    { "metrics_full", test_metrics_full },
    { "log", test_log },
  };
  static const tap_suite suites[] = {
    { "events", events, TAP_COUNT(events) },
    { "executor", executor, TAP_COUNT(executor) },
    { "services", services, TAP_COUNT(services) },
  };

  host = sb_host_default();
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
