/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Troubles that the s3 store cures by itself: another region, a clock that is
 * off, credentials that expire. Goal: cured once, in the middle of a run too,
 * without a failure that anybody sees, or refused in words that help. Method:
 * the store ABI against the test server; credentials come from a scripted
 * endpoint.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

#define HOUR_MS 3600000

/* ---- region ------------------------------------------------------------- */

static void
test_region(int how, const char *settings)
{
  s3_server_options options = { .region = "eu-central-1" };
  s3_fixture f;
  size_t seen;

  s3_fixture_start(&f, &options);
  s3_server_wrong_region(f.server, how);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, SB_PUT_CREATE, NULL,
                                       NULL), SB_OK, NULL);
  CU_ASSERT_TRUE(s3_fixture_logged(&f, "eu-central-1"));
  /* From now on it is known. */
  seen = s3_server_seen(f.server, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, NULL), seen + 1);
  s3_fixture_end(&f);
}

static void
test_region_400(void)
{
  test_region(400, NULL);
}

static void
test_region_301(void)
{
  test_region(301, NULL);
}

static void
test_region_307(void)
{
  test_region(307, NULL);
}

static void
test_region_not_set(void)
{
  test_region(400, "aws.region");
}

/* The answer to HEAD has no body: the header has to do. */
static void
test_region_head(void)
{
  s3_server_options options = { .region = "eu-central-1" };
  store_meta meta;
  s3_fixture f;

  s3_fixture_start(&f, &options);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, NULL), SB_OK);
  s3_fixture_expect(&f, s3_fixture_head(&f, S3_FIXTURE_NAME, &meta), SB_OK,
                    NULL);
  CU_ASSERT_EQUAL(meta.size, S3_FIXTURE_SIZE);
  s3_fixture_end(&f);
}

static void
test_301_without_location(void)
{
  s3_fixture_try_get("get count=0 status=301 code=PermanentRedirect",
                     SB_CONFIG, 1, "PermanentRedirect");
  s3_fixture_try_get("get count=0 status=301 empty", SB_CONFIG, 1, "HTTP 301");
}

/* To itself: done once, not for ever. */
static void
test_307_with_location(void)
{
  s3_fixture_try_get("get status=307 header=Location:/state/dir/object", SB_OK,
                     2, NULL);
  s3_fixture_try_get("get count=0 status=307 "
                     "header=Location:/state/dir/object", SB_CONFIG, 2,
                     "HTTP 307");
}

static void
test_malformed(void)
{
  s3_fixture_try_get("get count=0 status=400 code="
                     "AuthorizationHeaderMalformed", SB_CONFIG, 1,
                     "AuthorizationHeaderMalformed");
}

/* It names one region after the other. */
static void
test_regions_without_end(void)
{
  s3_fixture_try_get("get status=400 code=AuthorizationHeaderMalformed "
                     "header=x-amz-bucket-region:eu-west-1\n"
                     "get count=0 status=400 "
                     "code=AuthorizationHeaderMalformed "
                     "header=x-amz-bucket-region:eu-west-2", SB_CONFIG, 2,
                     "Malformed");
}

/* ---- clock -------------------------------------------------------------- */

static void
test_clock_ours(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  atomic_store(&f.clock_ms, 2 * HOUR_MS);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 2);
  CU_ASSERT_TRUE(s3_fixture_logged(&f, "clock differs from the server's by "
                                       "-7"));
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 3);
  s3_fixture_end(&f);
}

static void
test_clock_server_jumps(void)
{
  static const int64_t jumps[] = { 24LL * HOUR_MS, -24LL * HOUR_MS, 0,
                                   16LL * 60000, 365LL * 24 * HOUR_MS };
  s3_fixture f;
  size_t i;

  s3_fixture_begin(&f, NULL, NULL);
  for (i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
    s3_server_clock(f.server, jumps[i]);
    s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL),
                      SB_OK, NULL);
    s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  }
  s3_fixture_end(&f);
}

/* Without a body there is only the Date header. */
static void
test_clock_head(void)
{
  store_meta meta;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  s3_server_clock(f.server, 3 * HOUR_MS);
  s3_fixture_expect(&f, s3_fixture_head(&f, S3_FIXTURE_NAME, &meta), SB_OK,
                    NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "head"), 2);
  s3_fixture_end(&f);
}

/* A server whose mind cannot be met is not asked for ever. */
static void
test_clock_always_wrong(void)
{
  s3_fixture_try_get("get count=0 status=403 code=RequestTimeTooSkewed "
                     "date=86400", SB_DENIED, 2, "RequestTimeTooSkewed");
  s3_fixture_try_get("get count=0 status=403 code=RequestTimeTooSkewed",
                     SB_DENIED, 1, "RequestTimeTooSkewed");
}

/* ---- credentials -------------------------------------------------------- */

static void
test_wrong_secret(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, NULL, "aws.credentials.provider.basic.secretkey="
                             "SECRETsecretWRONG");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_DENIED,
                    "SignatureDoesNotMatch");
  CU_ASSERT_PTR_NULL(strstr(f.error.message, "SECRETsecret"));
  s3_fixture_end(&f);
}

static void
test_expired_for_good(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  s3_server_revoke(f.server, S3_TEST_ACCESS, "ExpiredToken");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_DENIED,
                    "ExpiredToken");
  CU_ASSERT_TRUE(s3_server_seen(f.server, "get") <= 2);
  s3_fixture_end(&f);
}

/* The messages of a server that says too much. */
static void
test_echoed_secrets(void)
{
  static const char *const texts[] = { S3_TEST_SECRET, S3_TEST_ACCESS };
  char rule[256];
  s3_fixture f;
  size_t i;

  for (i = 0; i < 2; i++) {
    (void)snprintf(rule, sizeof rule, "get status=403 code="
                   "SignatureDoesNotMatch message=you%%20sent%%20%s",
                   texts[i]);
    s3_fixture_begin(&f, rule, NULL);
    s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_DENIED,
                      "SignatureDoesNotMatch");
    CU_ASSERT_PTR_NULL(strstr(f.error.message, texts[i]));
    s3_fixture_end(&f);
  }
}

/* ---- an endpoint for credentials ---------------------------------------- */

typedef struct test_endpoint {
  http_server *http;
  _Atomic int asked;
  _Atomic int fails;      /* so many requests fail in the way of `how` */
  const char *how;
  const char *access;     /* of what is given out */
  int expires_s;
} test_endpoint;

static int
test_endpoint_fail(test_endpoint *e, http_connection *c)
{
  if (strcmp(e->how, "500") == 0)
    return http_printf(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  if (strcmp(e->how, "garbage") == 0)
    return http_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
                          "{\"Acc\": [");
  if (strcmp(e->how, "slow") == 0)
    http_end_now(c, HTTP_STALL);
  else if (strcmp(e->how, "huge") == 0) {
    char some[1024];

    memset(some, ' ', sizeof some);
    (void)http_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n"
                         "\r\n{");
    while (http_send(c, some, sizeof some) == 0)
      continue;
  }
  return -1;
}

static int
test_endpoint_answer(void *arg, http_connection *c, http_request *request)
{
  test_endpoint *e = arg;
  char body[512], end[40];
  time_t when = time(NULL) + e->expires_s;
  struct tm tm;

  (void)request;
  atomic_fetch_add(&e->asked, 1);
  if (atomic_load(&e->fails) > 0) {
    atomic_fetch_sub(&e->fails, 1);
    return test_endpoint_fail(e, c);
  }
  gmtime_r(&when, &tm);
  (void)strftime(end, sizeof end, "%Y-%m-%dT%H:%M:%SZ", &tm);
  (void)snprintf(body, sizeof body,
                 "{\"AccessKeyId\": \"%s\", \"SecretAccessKey\": \""
                 S3_TEST_SECRET "\", \"Token\": \"" S3_TEST_TOKEN "\", "
                 "\"Expiration\": \"%s\"}", e->access, end);
  return http_printf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

/* The store takes its credentials from `e`, as a container does. */
static void
test_endpoint_begin(test_endpoint *e, s3_fixture *f, const char *more)
{
  http_options options = { .handler = test_endpoint_answer, .arg = e };
  char text[512];

  e->http = http_server_start(&options);
  CU_ASSERT_PTR_NOT_NULL_FATAL(e->http);
  (void)snprintf(text, sizeof text, "http://127.0.0.1:%d/credentials",
                 http_server_port(e->http));
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", text, 1);
  (void)snprintf(text, sizeof text,
                 "aws.credentials.provider=AUTO\n"
                 "aws.credentials.provider.basic.accesskeyid\n"
                 "aws.credentials.provider.basic.secretkey\n%s", more);
  s3_fixture_start(f, NULL);
  s3_server_credentials(f->server, "AKIDONE", S3_TEST_SECRET, S3_TEST_TOKEN);
  s3_server_credentials(f->server, "AKIDTWO", S3_TEST_SECRET, S3_TEST_TOKEN);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(f, text), SB_OK);
}

static void
test_endpoint_end(test_endpoint *e, s3_fixture *f)
{
  s3_fixture_end(f);
  http_server_stop(e->http);
}

static void
test_expired_then_new(void)
{
  test_endpoint e = { .access = "AKIDONE", .expires_s = 3600 };
  s3_fixture f;

  test_endpoint_begin(&e, &f, "");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(atomic_load(&e.asked), 1);
  e.access = "AKIDTWO";
  s3_server_revoke(f.server, "AKIDONE", "ExpiredToken");
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, SB_PUT_CREATE, NULL,
                                       NULL), SB_OK, NULL);
  CU_ASSERT_EQUAL(atomic_load(&e.asked), 2);
  s3_fixture_end(&f);
  http_server_stop(e.http);
}

/* It fails once: the operation, or the next one, goes through. */
static void
test_endpoint_fails(const char *how)
{
  test_endpoint e = { .access = "AKIDONE", .expires_s = 3600, .how = how };
  sb_status status;
  s3_fixture f;
  int tries = 0;

  atomic_store(&e.fails, 1);
  test_endpoint_begin(&e, &f, "");
  do
    status = s3_fixture_get(&f, 0, 100);
  while (status != SB_OK && ++tries < 3);
  s3_fixture_expect(&f, status, SB_OK, NULL);
  CU_ASSERT_TRUE(atomic_load(&e.asked) > 1);
  test_endpoint_end(&e, &f);
}

/* It fails for ever: told in time, without a request to the store. */
static void
test_endpoint_fails_always(const char *how)
{
  test_endpoint e = { .access = "AKIDONE", .expires_s = 3600, .how = how };
  s3_fixture f;

  atomic_store(&e.fails, 1000);
  test_endpoint_begin(&e, &f, "request-timeout=500ms");
  CU_ASSERT_NOT_EQUAL(s3_fixture_get(&f, 0, 100), SB_OK);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 2000));
  CU_ASSERT_EQUAL(s3_server_seen(f.server, NULL), 0);
  test_endpoint_end(&e, &f);
}

static void
test_endpoint_500(void)
{
  test_endpoint_fails("500");
  test_endpoint_fails_always("500");
}

static void
test_endpoint_garbage(void)
{
  test_endpoint_fails("garbage");
  test_endpoint_fails_always("garbage");
}

static void
test_endpoint_huge(void)
{
  test_endpoint_fails("huge");
  test_endpoint_fails_always("huge");
}

static void
test_endpoint_slow(void)
{
  test_endpoint_fails_always("slow");
}

static const tap_case region_cases[] = {
  { "400 with a region", test_region_400 },
  { "301 with a region", test_region_301 },
  { "307 with a region", test_region_307 },
  { "not set", test_region_not_set },
  { "of a HEAD", test_region_head },
  { "301 without Location", test_301_without_location },
  { "307 with Location", test_307_with_location },
  { "AuthorizationHeaderMalformed", test_malformed },
  { "always another", test_regions_without_end },
};

static const tap_case clock_cases[] = {
  { "ours is off", test_clock_ours },
  { "the server's jumps", test_clock_server_jumps },
  { "of a HEAD", test_clock_head },
  { "always wrong", test_clock_always_wrong },
};

static const tap_case credential_cases[] = {
  { "wrong secret", test_wrong_secret },
  { "expired for good", test_expired_for_good },
  { "echoed secrets", test_echoed_secrets },
  { "expired, then new ones", test_expired_then_new },
  { "endpoint answers 500", test_endpoint_500 },
  { "endpoint answers garbage", test_endpoint_garbage },
  { "endpoint answers too much", test_endpoint_huge },
  { "endpoint is slow", test_endpoint_slow },
};

static const tap_suite suites[] = {
  { "region", region_cases, TAP_COUNT(region_cases) },
  { "clock", clock_cases, TAP_COUNT(clock_cases) },
  { "credentials", credential_cases, TAP_COUNT(credential_cases) },
};

int
main(int argc, char **argv)
{
  static const char *const names[] = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION",
    "AWS_DEFAULT_REGION",
  };
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    unsetenv(names[i]);
  setenv("AWS_CONFIG_FILE", "/dev/null", 1);
  setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
  setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
