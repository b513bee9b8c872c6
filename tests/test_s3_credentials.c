/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of credentials. Goal: one refresh for all
 * who ask, before the end, and never worse than the old ones while they are
 * good. Method: a provider of the test's own by CUSTOM, and a clock that the
 * cases move.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/credentials.h>

#include "tests/credentials_fixture.h"
#include "tests/tap.h"

#define PROVIDER "aws.credentials.provider"
#define MINUTE 60000

/* ---- a provider of the test's own --------------------------------------- */

typedef struct custom {
  rig *r;
  pthread_mutex_t lock;
  unsigned calls;
  sb_status status;      /* what it fails with; SB_OK: it does not */
  unsigned recovers;     /* but not the call of this number */
  int64_t life_ms;       /* of what it gives; 0: for ever */
  unsigned fixed;        /* gives these; 0: new ones each time */
  int bad;               /* gives a secret key with a line end */
  int silent;            /* says SB_OK and gives nothing */
  int slow_ms;
  sb_credentials_provider table;
} custom;

static sb_status
custom_fail(sb_error *err, sb_status status)
{
  return sb_error_set(err, status, "could not reach the vault");
}

static sb_status
custom_fetch(void *ctx, sb_credentials_reply *reply, sb_error *err)
{
  custom *c = ctx;
  char access[32];
  int64_t life;
  unsigned n;
  int slow;

  (void)pthread_mutex_lock(&c->lock);
  n = ++c->calls;
  slow = c->slow_ms;
  (void)pthread_mutex_unlock(&c->lock);
  if (slow > 0)
    (void)usleep((useconds_t)slow * 1000);
  if (c->status != SB_OK && n != c->recovers)
    return custom_fail(err, c->status);
  if (c->silent)
    return SB_OK;
  (void)snprintf(access, sizeof access, "AKIA%u", c->fixed ? c->fixed : n);
  life = c->life_ms;
  if (reply->set(reply, access, c->bad ? SECRET "\n" : SECRET "Key",
                 SECRET "Token",
                 life == 0 ? 0 : (uint64_t)((int64_t)rig_now(c->r) + life)) !=
      SB_OK)
    return sb_error_set(err, SB_INVALID, "refused");
  return SB_OK;
}

static void
custom_start(custom *c, rig *r)
{
  sb_error err;

  memset(c, 0, sizeof *c);
  rig_start(r);
  c->r = r;
  (void)pthread_mutex_init(&c->lock, NULL);
  c->table = (sb_credentials_provider){
    .struct_size = sizeof c->table, .abi_version = SB_ABI_VERSION,
    .ctx = c, .fetch = custom_fetch
  };
  CU_ASSERT_EQUAL_FATAL(sb_host_register("test-vault", &c->table, &err),
                        SB_OK);
  rig_set(r, PROVIDER, "CUSTOM");
  rig_set(r, PROVIDER ".custom.class", "test-vault");
  rig_must_open(r);
}

static void
custom_end(custom *c)
{
  sb_error err;

  rig_end(c->r);
  CU_ASSERT_EQUAL(sb_host_register("test-vault", NULL, &err), SB_OK);
  (void)pthread_mutex_destroy(&c->lock);
}

static unsigned
custom_calls(custom *c)
{
  unsigned n;

  (void)pthread_mutex_lock(&c->lock);
  n = c->calls;
  (void)pthread_mutex_unlock(&c->lock);
  return n;
}

static void
custom_is(custom *c, const char *access)
{
  rig_is(c->r, access, SECRET "Key", SECRET "Token");
}

/* ---- the cache ---------------------------------------------------------- */

static void
test_forever(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  CU_ASSERT_EQUAL(custom_calls(&c), 0);
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 1000ll * 24 * 60 * MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT_EQUAL(custom_calls(&c), 1);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "CUSTOM");
  custom_end(&c);
}

/* Five minutes before the end the old ones are still given at once, and new
   ones are fetched behind the scene. */
static void
test_early(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = 60 * MINUTE;
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 54 * MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT_EQUAL(custom_calls(&c), 1);
  rig_ahead(&r, 2 * MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 2));
  custom_is(&c, "AKIA2");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  custom_end(&c);
}

/* A short life has an earlier end of its first part: a quarter before. */
static void
test_early_short(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = 8 * MINUTE;
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 5 * MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT_EQUAL(custom_calls(&c), 1);
  rig_ahead(&r, 2 * MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 2));
  custom_is(&c, "AKIA2");
  custom_end(&c);
}

/* After the end nobody gets the old ones, however long nobody asked. */
static void
test_ended(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = 60 * MINUTE;
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 61 * MINUTE);
  custom_is(&c, "AKIA2");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  custom_end(&c);
}

/* The old ones are given while they are good; tries are spaced out. */
static void
test_failing(void)
{
  custom c;
  rig r;
  int i;

  custom_start(&c, &r);
  c.life_ms = 60 * MINUTE;
  custom_is(&c, "AKIA1");
  c.status = SB_UNAVAILABLE;
  rig_ahead(&r, 56 * MINUTE);
  for (i = 0; i < 50; i++)
    custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 2));
  for (i = 0; i < 50; i++)
    custom_is(&c, "AKIA1");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  CU_ASSERT(rig_heard(&r, "the old ones are still good"));
  rig_ahead(&r, MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 3));
  CU_ASSERT_EQUAL(r.failures, 2);
  /* It comes back: the next try has new ones. */
  c.status = SB_OK;
  rig_ahead(&r, MINUTE);
  custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 4));
  custom_is(&c, "AKIA4");
  custom_end(&c);
}

static void
test_failing_ended(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = 60 * MINUTE;
  custom_is(&c, "AKIA1");
  c.status = SB_TIMEOUT;
  rig_ahead(&r, 61 * MINUTE);
  rig_fails(&r, SB_UNAVAILABLE, "could not reach the vault");
  /* An error is given again for a moment, without another try. */
  rig_fails(&r, SB_UNAVAILABLE, "could not reach the vault");
  CU_ASSERT_EQUAL(custom_calls(&c), 5);
  CU_ASSERT_EQUAL(rig_refreshes(&r), 2);
  c.status = SB_OK;
  rig_ahead(&r, 3000);
  custom_is(&c, "AKIA6");
  custom_end(&c);
}

/* Who has to wait anyway waits out a short trouble. */
static void
test_failing_shortly(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.status = SB_IO;
  c.recovers = 3;
  custom_is(&c, "AKIA3");
  CU_ASSERT_EQUAL(rig_refreshes(&r), 1);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  /* What does not pass is told at once. */
  c.status = SB_NOT_FOUND;
  c.recovers = 0;
  rig_fails(&r, SB_DENIED, "could not reach the vault");
  CU_ASSERT_EQUAL(custom_calls(&c), 4);
  custom_end(&c);
}

#define CALLERS 16

static void *
concurrent_run(void *arg)
{
  custom_is(arg, "AKIA1");
  return NULL;
}

static void
test_concurrent(void)
{
  pthread_t threads[CALLERS];
  custom c;
  rig r;
  int i;

  custom_start(&c, &r);
  c.slow_ms = 100;
  for (i = 0; i < CALLERS; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, concurrent_run,
                                         &c), 0);
  for (i = 0; i < CALLERS; i++)
    (void)pthread_join(threads[i], NULL);
  CU_ASSERT_EQUAL(custom_calls(&c), 1);
  custom_end(&c);
}

/* Threads ask while the clock runs through many lives. */
static void *
churn_run(void *arg)
{
  custom *c = arg;
  int i;

  for (i = 0; i < 200; i++) {
    sb_error err;
    s3_credentials *got = rig_get(c->r, &err);

    CU_ASSERT_PTR_NOT_NULL(got);
    if (got == NULL)
      break;
    CU_ASSERT_STRING_EQUAL(got->secret_key, SECRET "Key");
    if (i % 50 == 0)
      (void)s3_provider_reject(c->r->provider, got);
    s3_credentials_unref(got);
    rig_ahead(c->r, 1000);
  }
  return NULL;
}

static void
test_churn(void)
{
  pthread_t threads[4];
  custom c;
  rig r;
  int i;

  custom_start(&c, &r);
  c.life_ms = 20000;
  for (i = 0; i < 4; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, churn_run, &c),
                          0);
  for (i = 0; i < 4; i++)
    (void)pthread_join(threads[i], NULL);
  CU_ASSERT(custom_calls(&c) >= 10);
  custom_end(&c);
}

static void
test_reject(void)
{
  s3_credentials *old;
  sb_error err;
  custom c;
  rig r;

  custom_start(&c, &r);
  old = rig_get(&r, &err);
  CU_ASSERT_PTR_NOT_NULL_FATAL(old);
  CU_ASSERT_EQUAL(s3_provider_reject(r.provider, old), 1);
  custom_is(&c, "AKIA2");
  /* The old ones once more: there are newer ones already. */
  CU_ASSERT_EQUAL(s3_provider_reject(r.provider, old), 1);
  custom_is(&c, "AKIA2");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  s3_credentials_unref(old);
  custom_end(&c);
}

/* A source that gives the refused ones again is not asked over and over. */
static void
test_reject_same(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.fixed = 7;
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  custom_is(&c, "AKIA7");
  CU_ASSERT_EQUAL(rig_reject(&r), 0);
  custom_is(&c, "AKIA7");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  rig_ahead(&r, MINUTE);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  custom_is(&c, "AKIA7");
  CU_ASSERT_EQUAL(custom_calls(&c), 3);
  custom_end(&c);
}

/* Rejected ones are not given, though their end is far. */
static void
test_reject_failing(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  c.status = SB_UNAVAILABLE;
  rig_fails(&r, SB_UNAVAILABLE, "could not reach the vault");
  custom_end(&c);
}

/* By our clock they have ended already; the clock may be wrong. */
static void
test_arrived_ended(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = -MINUTE;
  custom_is(&c, "AKIA1");
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 2 * MINUTE);
  custom_is(&c, "AKIA2");
  custom_end(&c);
}

/* A source that has nothing newer yet is asked now and then only. */
static void
test_nothing_newer(void)
{
  uint64_t end;
  custom c;
  rig r;
  int i;

  custom_start(&c, &r);
  c.fixed = 1;
  c.life_ms = 60 * MINUTE;
  end = rig_now(&r) + 60 * MINUTE;
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 56 * MINUTE);
  c.life_ms = (int64_t)(end - rig_now(&r));
  custom_is(&c, "AKIA1");
  CU_ASSERT(rig_wait(&r, 2));
  for (i = 0; i < 20; i++)
    custom_is(&c, "AKIA1");
  CU_ASSERT_EQUAL(custom_calls(&c), 2);
  custom_end(&c);
}

static void
ignore_done(void *arg, s3_credentials *credentials, const sb_error *error)
{
  (void)error;
  s3_credentials_unref(credentials);
  *(atomic_int *)arg = 1;
}

/* Closing waits for a refresh that runs; whoever waited has been told. */
static void
test_close_running(void)
{
  s3_credentials *got;
  atomic_int told;
  custom c;
  rig r;

  atomic_init(&told, 0);
  custom_start(&c, &r);
  c.slow_ms = 100;
  s3_provider_get(r.provider, ignore_done, &told, &got);
  CU_ASSERT_PTR_NULL(got);
  s3_provider_close(r.provider);
  r.provider = NULL;
  CU_ASSERT_EQUAL(atomic_load(&told), 1);
  custom_end(&c);
}

/* After a stop what is good is given on, and nothing is asked. */
static void
test_stop(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.life_ms = 60 * MINUTE;
  custom_is(&c, "AKIA1");
  s3_provider_stop(r.provider);
  rig_ahead(&r, 58 * MINUTE);
  custom_is(&c, "AKIA1");
  rig_ahead(&r, 3 * MINUTE);
  rig_fails(&r, SB_CANCELLED, "is being closed");
  CU_ASSERT_EQUAL(custom_calls(&c), 1);
  custom_end(&c);
}

static sb_status
no_execute(const sb_host *host, uint32_t lane, sb_task *task, void *arg,
           sb_error *err)
{
  (void)host;
  (void)lane;
  (void)task;
  (void)arg;
  return sb_error_set(err, SB_NO_MEMORY, "could not start a task");
}

static void
test_no_task(void)
{
  sb_status (*execute)(const sb_host *, uint32_t, sb_task *, void *,
                       sb_error *);
  custom c;
  rig r;

  custom_start(&c, &r);
  execute = r.faulty.host.execute;
  r.faulty.host.execute = no_execute;
  rig_fails(&r, SB_NO_MEMORY, "could not start a task");
  r.faulty.host.execute = execute;
  rig_ahead(&r, 3000);
  custom_is(&c, "AKIA1");
  custom_end(&c);
}

/* Each allocation fails in turn: an error, and no leak. */
static void
test_no_memory(void)
{
  long i;

  for (i = 1; i < 40; i++) {
    s3_credentials *got = NULL;
    sb_error err;
    custom c;
    rig r;

    custom_start(&c, &r);
    s3_provider_close(r.provider);
    r.provider = NULL;
    atomic_store(&r.faulty.countdown, i);
    if (rig_open(&r, &err) == SB_OK)
      got = rig_get(&r, &err);
    else
      CU_ASSERT_EQUAL(err.status, SB_NO_MEMORY);
    if (got == NULL)
      CU_ASSERT(atomic_load(&r.faulty.countdown) <= 0);
    s3_credentials_unref(got);
    i = atomic_load(&r.faulty.countdown) > 0 ? 40 : i;
    custom_end(&c);
  }
  CU_ASSERT_EQUAL(i, 41);
}

/* ---- CUSTOM ------------------------------------------------------------- */

static void
test_custom_bad(void)
{
  custom c;
  rig r;

  custom_start(&c, &r);
  c.bad = 1;
  rig_fails(&r, SB_DENIED, "the custom provider failed: refused");
  rig_ahead(&r, 3000);
  c.bad = 0;
  c.silent = 1;
  rig_fails(&r, SB_UNAVAILABLE, "gave no credentials");
  custom_end(&c);
}

static const tap_case cache_cases[] = {
  { "forever", test_forever },
  { "early", test_early },
  { "early_short", test_early_short },
  { "ended", test_ended },
  { "failing", test_failing },
  { "failing_ended", test_failing_ended },
  { "failing_shortly", test_failing_shortly },
  { "concurrent", test_concurrent },
  { "churn", test_churn },
  { "reject", test_reject },
  { "reject_same", test_reject_same },
  { "reject_failing", test_reject_failing },
  { "arrived_ended", test_arrived_ended },
  { "nothing_newer", test_nothing_newer },
  { "close_running", test_close_running },
  { "stop", test_stop },
  { "no_task", test_no_task },
  { "no_memory", test_no_memory },
  { "custom_bad", test_custom_bad }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "cache", cache_cases, TAP_COUNT(cache_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
