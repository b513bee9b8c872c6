/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the simulation itself with toys, printed as TAP: the scheduler
 * orders, finds dead locks and held mutexes, crashes and stalls; the bucket
 * keeps its conditions; a run repeats exactly.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/base/mem.h"
#include "host/store/store.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

static int self_number, self_failures;

static void
self_is(int good, const char *what)
{
  printf("%sok %d - %s\n", good ? "" : "not ", ++self_number, what);
  self_failures += !good;
}

/* ---- scheduler ---------------------------------------------------------- */

typedef struct toy {
  sim_process *process;
  sb_event *ping, *pong;
  int count, limit;
  uint64_t slept;
} toy;

static void
toy_ping(void *arg)
{
  toy *t = arg;
  const sb_host *host = &t->process->host;

  while (t->count < t->limit) {
    host->event_set(host, t->ping);
    (void)host->event_wait(host, t->pong, SB_NO_DEADLINE);
  }
  sim_finish(t->process->sim);
}

static void
toy_pong(void *arg)
{
  toy *t = arg;
  const sb_host *host = &t->process->host;

  while (t->count < t->limit) {
    (void)host->event_wait(host, t->ping, SB_NO_DEADLINE);
    t->count++;
    host->event_set(host, t->pong);
  }
}

static void
self_ping(void)
{
  sim s;
  toy t = { NULL, NULL, NULL, 0, 1000, 0 };

  sim_init(&s, 1);
  t.process = sim_process_new(&s, "toy", NULL);
  t.ping = t.process->host.event_new(&t.process->host);
  t.pong = t.process->host.event_new(&t.process->host);
  (void)sim_spawn(t.process, 0, "ping", toy_ping, &t);
  (void)sim_spawn(t.process, 0, "pong", toy_pong, &t);
  sim_run(&s);
  self_is(!s.failed && t.count == 1000, "two tasks take turns by events");
  sim_dispose(&s);
}

static void
toy_wait(void *arg)
{
  toy *t = arg;
  const sb_host *host = &t->process->host;
  sb_event *event = host->event_new(host);

  if (host->event_wait(host, event, host->monotonic_ns(host) + SIM_MS) ==
      SB_TIMEOUT)
    t->count++;
  t->slept = host->monotonic_ns(host);
  (void)mem_alloc(host, 100);
  (void)host->event_wait(host, event, SB_NO_DEADLINE);
}

static void
self_dead_lock(void)
{
  sim s;
  toy t = { NULL, NULL, NULL, 0, 0, 0 };
  char text[200];

  sim_init(&s, 2);
  t.process = sim_process_new(&s, "toy", NULL);
  (void)sim_spawn(t.process, 0, "waiter", toy_wait, &t);
  sim_run(&s);
  self_is(t.count == 1 && t.slept == 1001 * SIM_MS, "a deadline passes");
  self_is(s.failed && strstr(s.failure, "dead lock") != NULL,
          "a dead lock is found");
  self_is(sim_process_left(t.process, text, sizeof text),
          "what is left is found");
  sim_dispose(&s);
}

static void
toy_crash(void *arg)
{
  toy *t = arg;

  sim_sleep(t->process->sim, 5 * SIM_MS);
  sim_crash(t->process);
  t->limit = 1; /* never */
}

static void
toy_watch(void *arg)
{
  toy *t = arg;
  sim *s = t->process->sim;

  sim_sleep(s, 10 * SIM_MS);
  sim_finish(s);
}

static void
self_crash(void)
{
  sim s;
  toy t = { NULL, NULL, NULL, 0, 0, 0 }, watch = t;
  char text[200];

  sim_init(&s, 3);
  t.process = sim_process_new(&s, "toy", NULL);
  watch.process = sim_process_new(&s, "watch", NULL);
  (void)sim_spawn(t.process, 0, "waiter", toy_wait, &t);
  (void)sim_spawn(t.process, 0, "crash", toy_crash, &t);
  (void)sim_spawn(watch.process, 0, "watch", toy_watch, &watch);
  sim_run(&s);
  self_is(!s.failed && t.process->dead && t.limit == 0 &&
          !sim_process_left(t.process, text, sizeof text),
          "a crash drops tasks, events and memory");
  sim_dispose(&s);
}

static void
toy_count(void *arg)
{
  toy *t = arg;

  for (;;) {
    sim_sleep(t->process->sim, SIM_MS);
    t->count++;
  }
}

static void
toy_stall(void *arg)
{
  toy *t = arg;
  sim *s = t->process->sim;
  int before;

  sim_sleep(s, 20 * SIM_MS);
  sim_stall(t->process);
  before = t->count;
  t = arg;
  sim_sleep(s, 100 * SIM_MS);
  t->limit = t->count == before;
  sim_wake(t->process);
  sim_sleep(s, 20 * SIM_MS);
  t->limit = t->limit && t->count > before;
  sim_finish(s);
}

static void
self_stall(void)
{
  sim s;
  toy t = { NULL, NULL, NULL, 0, 0, 0 };
  sim_process *master;

  sim_init(&s, 4);
  t.process = sim_process_new(&s, "toy", NULL);
  master = sim_process_new(&s, "master", NULL);
  (void)sim_spawn(t.process, 0, "count", toy_count, &t);
  (void)sim_spawn(master, 0, "stall", toy_stall, &t);
  sim_run(&s);
  self_is(!s.failed && t.limit,
          "a stalled process stands still, then goes on");
  sim_dispose(&s);
}

static void
toy_mutex(void *arg)
{
  toy *t = arg;
  pthread_mutex_t mutex;

  (void)pthread_mutex_init(&mutex, NULL);
  (void)pthread_mutex_lock(&mutex);
  toy_wait(t);
}

static void
self_mutex(void)
{
  sim s;
  toy t = { NULL, NULL, NULL, 0, 0, 0 };

  sim_init(&s, 5);
  t.process = sim_process_new(&s, "toy", NULL);
  (void)sim_spawn(t.process, 0, "mutex", toy_mutex, &t);
  sim_run(&s);
  self_is(s.failed && strstr(s.failure, "mutex") != NULL,
          "a wait with a mutex held is found");
  sim_dispose(&s);
}

/* ---- bucket: a counter by compare-and-swap ------------------------------ */

#define TOY_WRITERS 5

typedef struct writer {
  sim_process *process;
  bucket *b;
  uint64_t good, unknown, number;
  int over;
} writer;

static sb_status
writer_add(writer *w, sb_store *store)
{
  const sb_host *host = &w->process->host;
  store_meta meta;
  void *data = NULL;
  uint64_t len, value = 0;
  sb_error err;
  sb_status status;

  status = store_get_all(host, store, "x/HEAD", 100, &data, &len, &meta,
                         SB_PRIORITY_COMMIT, &err);
  if (status != SB_OK && status != SB_NOT_FOUND)
    return status;
  if (status == SB_OK && len == 8)
    memcpy(&value, data, 8);
  mem_free(host, data);
  value++;
  return store_put(host, store, "x/HEAD", &value, 8,
                   status == SB_OK ? 0 : SB_PUT_CREATE,
                   status == SB_OK ? meta.etag : NULL, NULL, 0, NULL,
                   SB_PRIORITY_COMMIT, &err);
}

static void
writer_main(void *arg)
{
  writer *w = arg;
  sb_store *store = bucket_open(w->b, w->process);
  char text[200];
  int i;

  for (i = 0; i < 50; i++) {
    sb_status status = writer_add(w, store);

    w->good += status == SB_OK;
    w->unknown += status == SB_UNKNOWN;
  }
  store_close(store);
  if (sim_process_left(w->process, text, sizeof text))
    sim_fail(w->process->sim, SIM_LEAKED, "%s", text);
  w->over = 1;
}

static void
writers_watch(void *arg)
{
  writer *w = arg;
  sim *s = w[0].process->sim;
  size_t i, over = 0;

  while (over < TOY_WRITERS || bucket_pending(w[0].b) != 0) {
    sim_sleep(s, SIM_MS);
    for (over = i = 0; i < TOY_WRITERS; i++)
      over += w[i].over != 0 || w[i].process->dead;
  }
  sim_finish(s);
}

static uint64_t
self_writers(uint64_t seed, int unkind)
{
  sim s;
  bucket b;
  writer w[TOY_WRITERS];
  uint64_t good = 0, unknown = 0, value = 0, trace;
  const object *o;
  size_t i;

  memset(w, 0, sizeof w);
  sim_init(&s, seed);
  bucket_init(&b, &s, SB_STORE_CREATE | SB_STORE_MATCH);
  b.unkind = unkind;
  b.fail_before = b.fail_after = b.fail_late = b.fail_never = 50;
  b.yield = 300;
  for (i = 0; i < TOY_WRITERS; i++) {
    w[i].process = sim_process_new(&s, "writer", NULL);
    w[i].b = &b;
    (void)sim_spawn(w[i].process, 0, "writer", writer_main, &w[i]);
  }
  w[0].process->crash_at_request = unkind ? 20 : 0;
  w[0].process->crash_moment = (uint32_t)(seed % BUCKET_CRASHES);
  (void)sim_spawn(sim_process_new(&s, "watch", NULL), 0, "watch",
                  writers_watch, w);
  sim_run(&s);
  for (i = 0; i < TOY_WRITERS; i++)
    good += w[i].good, unknown += w[i].unknown;
  unknown += w[0].process->dead;
  o = bucket_find(&b, "x/HEAD");
  if (o != NULL)
    memcpy(&value, o->data->bytes, 8);
  if (s.failed || value < good || value > good + unknown || good == 0) {
    printf("# seed %llu: %s, value %llu, good %llu, unknown %llu\n",
           (unsigned long long)seed, s.failed ? s.failure : "no failure",
           (unsigned long long)value, (unsigned long long)good,
           (unsigned long long)unknown);
    self_failures++;
  }
  trace = s.trace;
  sim_dispose(&s);
  bucket_dispose(&b);
  return trace;
}

static void
self_bucket(void)
{
  int before = self_failures, same = 1;
  uint64_t seed;

  for (seed = 1; seed <= 20; seed++) {
    uint64_t trace = self_writers(seed, seed % 2 == 0);

    same = same && trace == self_writers(seed, seed % 2 == 0);
  }
  self_is(before == self_failures,
          "increments by compare-and-swap are never lost nor doubled");
  self_is(same, "a seed repeats exactly");
}

int
self_test(void)
{
  self_ping();
  self_dead_lock();
  self_crash();
  self_stall();
  self_mutex();
  self_bucket();
  printf("1..%d\n", self_number);
  return self_failures != 0;
}
