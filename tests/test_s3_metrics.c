/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 client's counters. Goal: each event ends in the metric that
 * docs/METRICS.md says, the text that comes of it is right, and counting costs
 * next to nothing. Method: events on a client's counters without a client,
 * then the host's text.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/s3/call.h"
#include "tests/faulty_host.h"
#include "tests/prometheus.h"
#include "tests/tap.h"

#define MS 1000000ull

static char *test_text;

static sb_status
test_take(void *arg, const char *text, size_t len)
{
  (void)arg;
  CU_ASSERT_EQUAL(strlen(text), len);
  free(test_text);
  test_text = strdup(text);
  return SB_OK;
}

/* The number of a series as it is now; 0 if it is not there. */
static double
test_value(const char *series)
{
  const char *value;
  size_t line;

  CU_ASSERT_EQUAL_FATAL(sb_host_metrics_text(test_take, NULL, NULL), SB_OK);
  value = prometheus_check(test_text, &line);
  if (value != NULL)
    tap_note("line %zu: %s", line, value);
  CU_ASSERT_PTR_NULL(value);
  value = prometheus_value(test_text, series);
  return value == NULL ? 0 : strtod(value, NULL);
}

static int
test_near(double a, double b)
{
  double apart = a < b ? b - a : a - b;

  if (apart > 1e-9)
    tap_note("%.12g is not %.12g", a, b);
  return apart <= 1e-9;
}

static s3_settings
test_settings(const sb_host *host)
{
  static char bucket[] = "b\"u\\c\nket";
  s3_settings settings = { .host = host, .bucket = bucket,
                           .price_put = 5000, .price_get = 400 };

  return settings;
}

static void
test_attempts(void)
{
  static const struct { int http; const char *result; } cases[] = {
    { 200, "ok" }, { 206, "ok" }, { 301, "redirected" },
    { 304, "conflict" }, { 400, "refused" }, { 401, "denied" },
    { 403, "denied" }, { 404, "not_found" }, { 409, "conflict" },
    { 412, "conflict" }, { 416, "refused" }, { 429, "throttled" },
    { 500, "server_error" }, { 502, "server_error" }, { 503, "throttled" },
    { 0, "no_answer" }, { 699, "server_error" },
  };
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *m = s3_metrics_new(&settings);
  char series[128];
  double before;
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  for (i = 0; i < TAP_COUNT(cases); i++) {
    (void)snprintf(series, sizeof series, "statebackend_s3_requests_total"
                   "{op=\"head\",result=\"%s\"}", cases[i].result);
    before = test_value(series);
    s3_metrics_attempt(m, S3_KIND_HEAD, cases[i].http, MS, 2 * MS, 0, 0);
    CU_ASSERT(test_near(test_value(series), before + 1));
  }
  s3_metrics_attempt(m, -1, 200, MS, MS, 1, 1);
  s3_metrics_attempt(m, S3_KINDS, 200, MS, MS, 1, 1);
  s3_metrics_call(m, S3_KINDS, SB_OK, 1, MS);
  s3_metrics_retried(m, -1);
  s3_metrics_throttled(m, S3_KINDS);
  s3_metrics_free(m);
}

static void
test_times_and_bytes(void)
{
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *m = s3_metrics_new(&settings);

  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  s3_metrics_attempt(m, S3_KIND_UPLOAD_PART, 200, MS, 100 * MS, 4096, 0);
  s3_metrics_attempt(m, S3_KIND_UPLOAD_PART, 200, 3 * MS, 61000 * MS, 1, 7);
  s3_metrics_attempt(m, S3_KIND_UPLOAD_PART, 0, 0, 5000 * MS, 0, 0);
#define PART "{op=\"upload_part\"}"
#define TIME "statebackend_s3_request_seconds"
#define FIRST "statebackend_s3_request_first_byte_seconds"
  CU_ASSERT(test_near(test_value("statebackend_s3_sent_bytes_total" PART),
                      4097));
  CU_ASSERT(test_near(test_value("statebackend_s3_received_bytes_total" PART),
                      7));
  CU_ASSERT(test_near(test_value(TIME "_bucket{op=\"upload_part\","
                                 "le=\"0.05\"}"), 0));
  CU_ASSERT(test_near(test_value(TIME "_bucket{op=\"upload_part\","
                                 "le=\"0.1\"}"), 1));
  CU_ASSERT(test_near(test_value(TIME "_bucket{op=\"upload_part\","
                                 "le=\"60\"}"), 2));
  CU_ASSERT(test_near(test_value(TIME "_bucket{op=\"upload_part\","
                                 "le=\"+Inf\"}"), 3));
  CU_ASSERT(test_near(test_value(TIME "_count" PART), 3));
  CU_ASSERT(test_near(test_value(TIME "_sum" PART), 66.1));
  CU_ASSERT(test_near(test_value(FIRST "_bucket{op=\"upload_part\","
                                 "le=\"0.001\"}"), 1));
  CU_ASSERT(test_near(test_value(FIRST "_bucket{op=\"upload_part\","
                                 "le=\"0.005\"}"), 2));
  CU_ASSERT(test_near(test_value(FIRST "_count" PART), 2));
  CU_ASSERT(test_near(test_value(FIRST "_sum" PART), 0.004));
  s3_metrics_free(m);
}

static void
test_calls(void)
{
  static const struct { sb_status status; const char *result; } cases[] = {
    { SB_OK, "ok" }, { SB_NOT_FOUND, "not_found" },
    { SB_CONFLICT, "conflict" }, { SB_EXISTS, "conflict" },
    { SB_DENIED, "denied" }, { SB_UNKNOWN, "unknown" },
    { SB_TIMEOUT, "timeout" }, { SB_CANCELLED, "cancelled" },
    { SB_IO, "failed" }, { SB_UNAVAILABLE, "failed" },
  };
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *m = s3_metrics_new(&settings);
  char series[128];
  double before;
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  for (i = 0; i < TAP_COUNT(cases); i++) {
    (void)snprintf(series, sizeof series, "statebackend_s3_calls_total"
                   "{op=\"copy\",result=\"%s\"}", cases[i].result);
    before = test_value(series);
    s3_metrics_call(m, S3_KIND_COPY, cases[i].status, 2, 500 * MS);
    CU_ASSERT(test_near(test_value(series), before + 1));
  }
  CU_ASSERT(test_near(test_value("statebackend_s3_call_seconds_total"
                                 "{op=\"copy\"}"), 5));
  s3_metrics_retried(m, S3_KIND_COPY);
  s3_metrics_retried(m, S3_KIND_COPY);
  s3_metrics_throttled(m, S3_KIND_COPY);
  CU_ASSERT(test_near(test_value("statebackend_s3_retries_total"
                                 "{op=\"copy\"}"), 2));
  CU_ASSERT(test_near(test_value("statebackend_s3_throttles_total"
                                 "{op=\"copy\"}"), 1));
  s3_metrics_free(m);
}

#define COST_PUT "statebackend_s3_cost_dollars_total{class=\"put\"}"
#define COST_GET "statebackend_s3_cost_dollars_total{class=\"get\"}"

static void
test_money(void)
{
  static const int puts[] = {
    S3_KIND_PUT, S3_KIND_LIST, S3_KIND_COPY, S3_KIND_UPLOAD_CREATE,
    S3_KIND_UPLOAD_PART, S3_KIND_UPLOAD_PART_COPY, S3_KIND_UPLOAD_COMPLETE,
    S3_KIND_UPLOAD_LIST
  };
  static const int gets[] = { S3_KIND_GET, S3_KIND_HEAD, S3_KIND_BUCKET };
  static const int frees[] = { S3_KIND_DELETE, S3_KIND_DELETE_BATCH,
                               S3_KIND_UPLOAD_ABORT };
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *m = s3_metrics_new(&settings);
  double put = test_value(COST_PUT), get = test_value(COST_GET);
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  CU_ASSERT_EQUAL(TAP_COUNT(puts) + TAP_COUNT(gets) + TAP_COUNT(frees),
                  S3_KINDS);
  for (i = 0; i < TAP_COUNT(puts); i++)
    s3_metrics_attempt(m, puts[i], 200, MS, MS, 0, 0);
  for (i = 0; i < TAP_COUNT(gets); i++)
    s3_metrics_attempt(m, gets[i], 404, MS, MS, 0, 0);
  for (i = 0; i < TAP_COUNT(frees); i++)
    s3_metrics_attempt(m, frees[i], 204, MS, MS, 0, 0);
  s3_metrics_attempt(m, S3_KIND_PUT, 503, MS, MS, 0, 0);
  s3_metrics_attempt(m, S3_KIND_PUT, 0, 0, MS, 0, 0);
  /* $0.005 and $0.0004 for a thousand */
  CU_ASSERT(test_near(test_value(COST_PUT) - put, 8 * 0.000005));
  CU_ASSERT(test_near(test_value(COST_GET) - get, 3 * 0.0000004));
  s3_metrics_free(m);
}

/* Gauges of two stores add up, and go when their store goes. */
static void
test_gauges(void)
{
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *a = s3_metrics_new(&settings), *b = s3_metrics_new(&settings);

  CU_ASSERT_PTR_NOT_NULL_FATAL(a);
  CU_ASSERT_PTR_NOT_NULL_FATAL(b);
  s3_metrics_gauges(a, 5, 100, 4, 64);
  s3_metrics_gauges(b, 1, 0, 1, 32);
  s3_metrics_gauges(a, 6, 90, 6, 64);
  CU_ASSERT(test_near(test_value("statebackend_s3_connections"), 7));
  CU_ASSERT(test_near(test_value("statebackend_s3_queued"), 90));
  CU_ASSERT(test_near(test_value("statebackend_s3_active"), 7));
  CU_ASSERT(test_near(test_value("statebackend_s3_active_limit"), 96));
  s3_metrics_free(a);
  CU_ASSERT(test_near(test_value("statebackend_s3_connections"), 1));
  CU_ASSERT(test_near(test_value("statebackend_s3_active_limit"), 32));
  s3_metrics_free(b);
  CU_ASSERT(test_near(test_value("statebackend_s3_connections"), 0));
  CU_ASSERT(test_near(test_value("statebackend_s3_queued"), 0));
}

static void
test_credentials(void)
{
  s3_settings settings = test_settings(sb_host_default());
  s3_metrics *a = s3_metrics_new(&settings), *b = s3_metrics_new(&settings);

  CU_ASSERT_PTR_NOT_NULL_FATAL(a);
  CU_ASSERT_PTR_NOT_NULL_FATAL(b);
#define BUCKET "{bucket=\"b_u_c_ket\"}"
  s3_metrics_credentials(a, 1700000000123, 1700003600000, 0);
  s3_metrics_credentials(b, 1700000001000, 1700003601500, 0);
  s3_metrics_credentials(b, 0, 0, 1);
  CU_ASSERT(test_near(test_value("statebackend_s3_credentials_obtained_seconds"
                                 BUCKET), 1700000001));
  CU_ASSERT(test_near(test_value("statebackend_s3_credentials_expiry_seconds"
                                 BUCKET), 1700003601.5));
  CU_ASSERT(test_near(test_value("statebackend_s3_credentials_refreshes_total"
                                 "{result=\"ok\"}"), 2));
  CU_ASSERT(test_near(test_value("statebackend_s3_credentials_refreshes_total"
                                 "{result=\"failed\"}"), 1));
  s3_metrics_free(a);
  s3_metrics_free(b);
}

/* A host from before handles: everything goes by name. */
static unsigned test_old_adds;

static void
test_old_add(const sb_host *host, const char *name, int64_t delta)
{
  (void)host;
  test_old_adds++;
  sb_host_default()->metric_add(sb_host_default(), name, delta);
}

static void
test_old_host(void)
{
  sb_host old = *sb_host_default();
  s3_settings settings = test_settings(&old);
  s3_metrics *m;
  double before = test_value("statebackend_s3_requests_total"
                             "{op=\"list\",result=\"ok\"}");

  old.struct_size = (uint32_t)offsetof(sb_host, metric_slot);
  old.metric_slot = NULL;
  old.metric_slot_add = NULL;
  old.metric_slot_set = NULL;
  old.metric_add = test_old_add;
  m = s3_metrics_new(&settings);
  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  s3_metrics_attempt(m, S3_KIND_LIST, 200, MS, MS, 0, 100);
  s3_metrics_call(m, S3_KIND_LIST, SB_OK, 1, MS);
  s3_metrics_gauges(m, 1, 2, 3, 4);
  s3_metrics_credentials(m, 5, 6, 0);
  s3_metrics_free(m);
  CU_ASSERT(test_old_adds > 10);
  CU_ASSERT(test_near(test_value("statebackend_s3_requests_total"
                                 "{op=\"list\",result=\"ok\"}"), before + 1));
}

static void
test_no_memory(void)
{
  faulty_host faulty;
  s3_settings settings = test_settings(&faulty.host);
  s3_metrics *m;
  long i;

  for (i = 1; i < 60; i++) {
    faulty_host_init(&faulty, i);
    faulty.host.metric_slot = NULL; /* names take memory, handles none */
    m = s3_metrics_new(&settings);
    if (m != NULL) {
      s3_metrics_attempt(m, S3_KIND_GET, 200, MS, MS, 1, 1);
      s3_metrics_free(m);
    }
    CU_ASSERT_EQUAL(atomic_load(&faulty.live), 0);
  }
}

static void
test_cost(void)
{
  const sb_host *host = sb_host_default();
  const unsigned rounds = tap_is_slow() ? 1000 : 200000;
  s3_settings settings = test_settings(host);
  s3_metrics *m = s3_metrics_new(&settings);
  uint64_t start;
  double each;
  unsigned i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(m);
  s3_metrics_attempt(m, S3_KIND_GET, 200, MS, 2 * MS, 0, 4096);
  start = host->monotonic_ns(host);
  for (i = 0; i < rounds; i++)
    s3_metrics_attempt(m, S3_KIND_GET, 200, MS, 2 * MS, 0, 4096);
  each = (double)(host->monotonic_ns(host) - start) / rounds;
  tap_note("%.0f ns an attempt", each);
  CU_ASSERT(tap_is_slow() || each < 3000);
  s3_metrics_free(m);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "attempts", test_attempts },
    { "times_and_bytes", test_times_and_bytes },
    { "calls", test_calls },
    { "money", test_money },
    { "gauges", test_gauges },
    { "credentials", test_credentials },
    { "old_host", test_old_host },
    { "no_memory", test_no_memory },
    { "cost", test_cost },
  };
  static const tap_suite suites[] = {
    { "s3_metrics", cases, TAP_COUNT(cases) },
  };
  int code = tap_main(argc, argv, suites, TAP_COUNT(suites));

  free(test_text);
  return code;
}
