/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of credentials that are asked over HTTP, all through the same life:
 * a good answer, a refresh before the end, every fault, many who ask at once.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/source.h"
#include "tests/credentials_service.h"
#include "tests/tap.h"

static void
each(void (*fn)(service *s))
{
  int kind;

  for (kind = 0; kind < SERVICE_KINDS; kind++) {
    unsigned before = CU_get_number_of_failures();
    service s;
    rig r;

    service_start(&s, &r, (service_kind)kind);
    rig_must_open(&r);
    fn(&s);
    service_end(&s);
    if (CU_get_number_of_failures() != before)
      tap_note("in: %s", service_names[kind]);
  }
}

/* ---- good --------------------------------------------------------------- */

static void
good(service *s)
{
  service_is(s, 1);
  service_is(s, 1);
  rig_ahead(s->r, 54 * MINUTE);
  service_is(s, 1);
  CU_ASSERT_EQUAL(rig_refreshes(s->r), 1);
  rig_ahead(s->r, 2 * MINUTE);
  service_is(s, 1);
  CU_ASSERT(rig_wait(s->r, 2));
  service_is(s, 2);
  rig_ahead(s->r, 61 * MINUTE);
  service_is(s, 3);
  CU_ASSERT_EQUAL(rig_reject(s->r), 1);
  service_is(s, 4);
}

static void
test_good(void)
{
  each(good);
}

#define CALLERS 8

static void *
concurrent_run(void *arg)
{
  service_is(arg, 1);
  return NULL;
}

static void
concurrent(service *s)
{
  pthread_t threads[CALLERS];
  int i;

  s->delay_ms = 50;
  for (i = 0; i < CALLERS; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, concurrent_run,
                                         s), 0);
  for (i = 0; i < CALLERS; i++)
    (void)pthread_join(threads[i], NULL);
  CU_ASSERT_EQUAL(http_stub_count(s->stub), s->kind == SERVICE_IMDS ? 3 : 1);
}

static void
test_concurrent(void)
{
  each(concurrent);
}

/* ---- faults ------------------------------------------------------------- */

static void
broken(service *s, service_fault fault, sb_status status, const char *text)
{
  unsigned before = CU_get_number_of_failures();

  service_break(s, fault, -1);
  rig_ahead(s->r, 3000);
  rig_fails(s->r, status, text);
  if (CU_get_number_of_failures() != before)
    tap_note("with fault %d", (int)fault);
}

static void
faults(service *s)
{
  broken(s, FAULT_ERROR, SB_UNAVAILABLE, "HTTP 500");
  broken(s, FAULT_DENIED, SB_DENIED, "");
  broken(s, FAULT_GARBAGE, SB_UNAVAILABLE, "");
  broken(s, FAULT_EMPTY, SB_UNAVAILABLE, "");
  broken(s, FAULT_OVERSIZED, SB_UNAVAILABLE, "more than 65536 bytes");
  broken(s, FAULT_DROP, SB_UNAVAILABLE, "could not ask");
  broken(s, FAULT_REDIRECT, SB_UNAVAILABLE, "HTTP 302");
  broken(s, FAULT_NO_SECRET, SB_UNAVAILABLE, "");
  broken(s, FAULT_BAD_TIME, SB_UNAVAILABLE, "no time");
  broken(s, FAULT_BAD_TOKEN, SB_UNAVAILABLE, "session token");
  service_break(s, FAULT_NONE, 0);
  rig_ahead(s->r, 3000);
  service_is(s, 1);
}

static void
test_faults(void)
{
  each(faults);
}

/* Promised more than came: never taken for the whole. */
static void
truncated(service *s)
{
  broken(s, FAULT_TRUNCATED, SB_UNAVAILABLE, "could not ask");
}

static void
test_truncated(void)
{
  each(truncated);
}

static void
elsewhere_handle(void *arg, const http_stub_request *request,
                 http_stub_answer *answer)
{
  (void)arg;
  (void)request;
  (void)answer;
}

/* A redirect is not followed: the other server hears nothing. */
static void
redirected(service *s)
{
  http_stub *other = http_stub_start(elsewhere_handle, NULL);

  CU_ASSERT_PTR_NOT_NULL_FATAL(other);
  (void)snprintf(s->redirect, sizeof s->redirect, "Location: %s/\r\n",
                 http_stub_url(other));
  broken(s, FAULT_REDIRECT, SB_UNAVAILABLE, "HTTP 302");
  CU_ASSERT_EQUAL(http_stub_count(other), 0);
  http_stub_stop(other);
}

static void
test_redirected(void)
{
  each(redirected);
}

/* One bad answer is asked again within the same refresh. */
static void
passing(service *s)
{
  service_break(s, FAULT_ERROR, 1);
  service_is(s, 1);
  CU_ASSERT_EQUAL(rig_reject(s->r), 1);
  service_break(s, FAULT_DROP, 1);
  service_is(s, 2);
  CU_ASSERT_EQUAL(rig_refreshes(s->r), 2);
}

static void
test_passing(void)
{
  each(passing);
}

/* The old ones last while the service fails, and not beyond their end, but on
   an instance. */
static void
outage(service *s)
{
  service_is(s, 1);
  service_break(s, FAULT_ERROR, -1);
  rig_ahead(s->r, 57 * MINUTE);
  service_is(s, 1);
  CU_ASSERT(rig_wait(s->r, 2));
  service_is(s, 1);
  rig_ahead(s->r, 4 * MINUTE);
  if (s->kind == SERVICE_IMDS) {
    service_is(s, 1);
    CU_ASSERT(rig_heard(s->r, "are used on"));
    rig_ahead(s->r, 20 * MINUTE);
    service_is(s, 1);
    /* But not when the server has refused them. */
    CU_ASSERT_EQUAL(rig_reject(s->r), 1);
    rig_fails(s->r, SB_UNAVAILABLE, "HTTP 500");
  } else {
    rig_fails(s->r, SB_UNAVAILABLE, "HTTP 500");
  }
  service_break(s, FAULT_NONE, 0);
  rig_ahead(s->r, 3000);
  service_is(s, 2);
}

static void
test_outage(void)
{
  each(outage);
}

/* A service that hangs holds nobody who closes the store. */
static void
ignore_done(void *arg, s3_credentials *credentials, const sb_error *error)
{
  *(sb_status *)arg = credentials == NULL ? error->status : SB_OK;
  s3_credentials_unref(credentials);
}

static void
test_close_slow(void)
{
  s3_credentials *got;
  sb_status status = SB_OK;
  uint64_t start;
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  rig_must_open(&r);
  s.delay_ms = 20000;
  start = rig_now(&r);
  s3_provider_get(r.provider, ignore_done, &status, &got);
  s3_provider_close(r.provider);
  r.provider = NULL;
  CU_ASSERT_EQUAL(status, SB_CANCELLED);
  CU_ASSERT(rig_now(&r) - start < 4000);
  service_end(&s);
}

/* Each allocation fails in turn: an error that says so, and no leak. */
static int
no_memory_once(service_kind kind, long n)
{
  s3_credentials *got = NULL;
  sb_error err;
  service s;
  rig r;
  int failed;

  memset(&err, 0, sizeof err);
  service_start(&s, &r, kind);
  atomic_store(&r.faulty.countdown, n);
  if (rig_open(&r, &err) == SB_OK)
    got = rig_get(&r, &err);
  failed = atomic_load(&r.faulty.countdown) <= 0;
  if (got == NULL) {
    CU_ASSERT_EQUAL(err.status, SB_NO_MEMORY);
    if (err.status != SB_NO_MEMORY)
      tap_note("%s, %ld: %s", service_names[kind], n, err.message);
  }
  CU_ASSERT(got != NULL || failed);
  s3_credentials_unref(got);
  service_end(&s);
  return failed;
}

static void
test_no_memory(void)
{
  int kind;

  for (kind = 0; kind < SERVICE_KINDS; kind++) {
    long n = 1;

    while (n < 500 && no_memory_once((service_kind)kind, n))
      n += tap_is_slow() ? 5 : 1;
    CU_ASSERT(n > 5 && n < 500);
  }
}

/* ---- the client alone --------------------------------------------------- */

static sb_status
ask(rig *r, s3_http *request, sb_error *err)
{
  s3_fetch fetch = { .host = &r->faulty.host, .settings = &r->settings };
  s3_buf body;
  long code;
  sb_status status;

  fetch.wake = fetch.host->event_new(fetch.host);
  atomic_init(&fetch.stopping, 0);
  request->what = "the test's server";
  request->method = "GET";
  status = s3_http_do(&fetch, request, &code, &body, err);
  fetch.host->event_free(fetch.host, fetch.wake);
  if (status == SB_OK)
    s3_source_wipe(&body);
  else
    rig_said(r, err->message);
  return status;
}

static void
test_slow(void)
{
  s3_http request = { .attempts = 2, .total_ms = 100 };
  sb_error err;
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  s.delay_ms = 400;
  request.url = http_stub_url(s.stub);
  CU_ASSERT_EQUAL(ask(&r, &request, &err), SB_UNAVAILABLE);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "Timeout was reached"));
  service_end(&s);
}

static void
test_unreachable(void)
{
  s3_http request = { .attempts = 2 };
  char url[64];
  sb_error err;
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  (void)snprintf(url, sizeof url, "%s", http_stub_url(s.stub));
  service_end(&s);
  rig_start(&r);
  request.url = url;
  CU_ASSERT_EQUAL(ask(&r, &request, &err), SB_UNAVAILABLE);
  request.url = "file:///etc/passwd";
  CU_ASSERT_EQUAL(ask(&r, &request, &err), SB_CONFIG);
  CU_ASSERT_PTR_NULL(strstr(err.message, "passwd"));
  rig_end(&r);
}

/* Through a proxy, unless the request says that it is near. */
static void
test_proxy(void)
{
  s3_http request = { .attempts = 1, .url = "http://far.invalid/" };
  char text[512];
  sb_error err;
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  r.settings.proxy_url = (char *)(uintptr_t)http_stub_url(s.stub);
  r.settings.proxy_user = (char *)(uintptr_t)"user";
  r.settings.proxy_password = (char *)(uintptr_t)(SECRET "Proxy");
  CU_ASSERT_EQUAL(ask(&r, &request, &err), SB_OK);
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 1);
  CU_ASSERT_PTR_NOT_NULL(service_header(&s, "proxy-authorization", text));
  request.direct = 1;
  request.url = "http://127.0.0.1:1/";
  CU_ASSERT_EQUAL(ask(&r, &request, &err), SB_UNAVAILABLE);
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 1);
  service_end(&s);
}

static const tap_case life_cases[] = {
  { "good", test_good },
  { "concurrent", test_concurrent },
  { "faults", test_faults },
  { "truncated", test_truncated },
  { "redirected", test_redirected },
  { "passing", test_passing },
  { "outage", test_outage },
  { "close_slow", test_close_slow },
  { "no_memory", test_no_memory }
};

static const tap_case client_cases[] = {
  { "slow", test_slow },
  { "unreachable", test_unreachable },
  { "proxy", test_proxy }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "life", life_cases, TAP_COUNT(life_cases) },
    { "client", client_cases, TAP_COUNT(client_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
