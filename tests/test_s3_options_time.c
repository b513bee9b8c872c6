/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the S3 plugin about time limits, retries, rates and the ages of
 * connections. Goal: what a read that fails, or a row of requests, takes, and
 * how often the server is asked, is as each option says. Method: the test
 * server stalls or fails; waits take all of their time, not a random part of
 * it; see options_fixture.h.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/options_fixture.h"

/* Full jitter takes all of a wait of 100, 200 or 400 ms with this number. */
#define RANDOM_ALL (101u * 201u * 401u - 1u)

/* ---- connections -------------------------------------------------------- */

/* Of a lifetime libcurl counts whole seconds, and one more. */
static void
test_connection_ages(void)
{
  static const char *const settings[] = {
    "connection-idle-time=2s", "connection-lifetime=1s", NULL
  };
  s3_fixture f[3];
  int i, round;

  for (i = 0; i < 3; i++) {
    s3_fixture_start(&f[i], NULL);
    CU_ASSERT_EQUAL_FATAL(options_open(&f[i], settings[i]), SB_OK);
  }
  for (round = 0; round < 2; round++) {
    if (round > 0)
      (void)usleep(2100000);
    for (i = 0; i < 3; i++)
      s3_fixture_expect(&f[i], s3_fixture_get(&f[i], 0, 100), SB_OK, NULL);
  }
  for (i = 0; i < 3; i++) {
    CU_ASSERT_EQUAL(s3_server_connections(f[i].server), i == 2 ? 1 : 2);
    s3_fixture_end(&f[i]);
  }
  options_seen("connection-idle-time");
  options_seen("connection-lifetime");
}

/* ---- time limits and waits ---------------------------------------------- */

#define FAILS "get count=0 status=500 code=InternalError"
#define THROTTLES "get count=0 status=503 code=SlowDown"
#define STALLS "get count=0 stall"
#define STALLS_LATER "get count=0 stall-at=2000"

/* One read that fails, after so long; up to three times `to_ms` are allowed,
   so that others may work on the machine. */
static const struct time_row {
  const char *key, *rule, *settings;
  unsigned from_ms, to_ms;
} time_rows[] = {
  { "first-byte-timeout", STALLS, "retry.attempts=1\n"
    "first-byte-timeout=100ms\nstall-timeout=10s\nconnect-timeout=8s", 100,
    400 },
  { "first-byte-timeout", STALLS, "retry.attempts=1\n"
    "first-byte-timeout=300ms\nstall-timeout=10s\nconnect-timeout=8s", 300,
    900 },
  { "stall-timeout", STALLS_LATER, "retry.attempts=1\nstall-timeout=100ms\n"
    "first-byte-timeout=10s", 100, 500 },
  { "aws.http-client.read-timeout", STALLS_LATER, "retry.attempts=1\n"
    "stall-timeout=10s\nfirst-byte-timeout=10s\n"
    "aws.http-client.read-timeout=100ms", 100, 500 },
  { "request-timeout", STALLS, "request-timeout=100ms\n"
    "first-byte-timeout=10s\nstall-timeout=10s", 100, 600 },
  { "retry.delay-min", FAILS, "retry.attempts=2\nretry.delay-min=200ms\n"
    "retry.delay-max=400ms", 200, 600 },
  { "retry.delay-min", FAILS, "retry.attempts=2\nretry.delay-min=1ms\n"
    "retry.delay-max=400ms", 0, 130 },
  { "aws.retry-strategy.delay.min", FAILS, "retry.attempts=2\n"
    "retry.delay-min=1ms\nretry.delay-max=400ms\n"
    "aws.retry-strategy.delay.min=200ms", 200, 600 },
  { "retry.delay-max", FAILS, "retry.attempts=4\nretry.delay-min=100ms\n"
    "retry.delay-max=100ms", 300, 230 },
  { "aws.retry-strategy.delay.max", FAILS, "retry.attempts=3\n"
    "retry.delay-min=100ms\nretry.delay-max=100ms\n"
    "aws.retry-strategy.delay.max=200ms", 300, 900 },
  { "retry.throttle-delay-min", THROTTLES, "retry.attempts=2\n"
    "retry.throttle-delay-min=200ms\nretry.delay-max=400ms", 200, 600 },
  { "retry.throttle-delay-min", THROTTLES, "retry.attempts=2\n"
    "retry.throttle-delay-min=1ms\nretry.delay-min=400ms\n"
    "retry.delay-max=400ms", 0, 130 },
};

static uint64_t
times_random(const sb_host *host)
{
  (void)host;
  return RANDOM_ALL;
}

static void
test_times(void)
{
  size_t i;

  for (i = 0; i < TAP_COUNT(time_rows); i++) {
    const struct time_row *row = &time_rows[i];
    s3_fixture f;
    int right;

    s3_fixture_start(&f, NULL);
    f.host.random = times_random;
    s3_fixture_rules(&f, row->rule);
    CU_ASSERT_EQUAL_FATAL(options_open(&f, row->settings), SB_OK);
    CU_ASSERT_NOT_EQUAL(s3_fixture_get(&f, 0, 4096), SB_OK);
    right = f.took_ms >= row->from_ms && s3_fixture_within(&f, row->to_ms);
    CU_ASSERT(right);
    if (!right)
      tap_note("row %zu, %s: %llu ms, not %u to %u", i, row->key,
               (unsigned long long)f.took_ms, row->from_ms, 3 * row->to_ms);
    options_seen(row->key);
    s3_fixture_end(&f);
  }
}

static void
test_attempts(void)
{
  static const struct { const char *key, *settings; size_t requests; }
    rows[] = {
      { "retry.attempts", "retry.attempts=1", 1 },
      { "retry.attempts", "retry.attempts=6", 6 },
      { "aws.retry-strategy.attempts.max", "retry.attempts=6\n"
        "aws.retry-strategy.attempts.max=3", 3 },
      { "retry.tokens", "retry.attempts=6\nretry.tokens=30", 3 },
      { "retry.tokens", "retry.attempts=6\nretry.tokens=0", 6 },
    };
  size_t i;

  for (i = 0; i < TAP_COUNT(rows); i++) {
    s3_fixture f;

    options_begin(&f, FAILS, rows[i].settings);
    CU_ASSERT_NOT_EQUAL(s3_fixture_get(&f, 0, 100), SB_OK);
    CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), rows[i].requests);
    options_seen(rows[i].key);
    s3_fixture_end(&f);
  }
}

/* ---- rates -------------------------------------------------------------- */

/* A second's worth goes at once; a fifth of a second's comes after it. */
static void
test_rates(void)
{
  static const char *const settings[] = {
    "limit.requests=20", "limit.upload=100000b", "limit.download=100000b"
  };
  static const unsigned requests[] = { 25, 4, 13 };
    char *data = http_alloc(40000);
  size_t i, n;

  for (i = 0; i < TAP_COUNT(settings); i++) {
    uint64_t started, took;
    sb_status status = SB_OK;
    s3_fixture f;

    options_begin(&f, NULL, settings[i]);
    started = f.host.monotonic_ns(&f.host);
    for (n = 0; n < requests[i] && status == SB_OK; n++)
      status = i == 1 ? s3_fixture_put(&f, "o", data, 40000, 0, NULL, NULL)
                      : s3_fixture_get(&f, 0, S3_FIXTURE_SIZE);
    s3_fixture_expect(&f, status, SB_OK, NULL);
    took = (f.host.monotonic_ns(&f.host) - started) / 1000000;
    CU_ASSERT(took >= 200);
    tap_note("%s: %llu ms", settings[i], (unsigned long long)took);
    s3_fixture_end(&f);
  }
  options_seen("limit.requests");
  options_seen("limit.upload");
  options_seen("limit.download");
  free(data);
}

static void
test_all(void)
{
  options_check("times");
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "ages of connections", test_connection_ages },
    { "times", test_times },
    { "attempts", test_attempts },
    { "rates", test_rates },
    { "every option is seen", test_all },
  };
  static const tap_suite suites[] = { { "s3_options_time", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
