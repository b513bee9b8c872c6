/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The s3 store and servers that mean harm, or are not whom they say they are.
 * Goal: bounded memory and time, a clear error, and never a request of ours at
 * another host. Method: the store ABI against the test server; a second one
 * stands for elsewhere and has to see nothing.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

#define MIB (1024u * 1024u)

/* ---- too much ----------------------------------------------------------- */

/* How much the program's memory grew at most, in KiB. */
static long
test_peak(void)
{
  struct rusage usage;

  (void)getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

static void
test_endless(const char *rule, const char *text)
{
  long before = test_peak();
  s3_fixture f;

  s3_fixture_begin(&f, rule, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 1000, 4096), SB_IO, text);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 2000));
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 1);
  /* What the sockets' buffers held is sent, and no more. */
  CU_ASSERT_TRUE(s3_server_sent(f.server) < 64 * MIB);
  CU_ASSERT_TRUE(tap_is_slow() || test_peak() - before < 32 * 1024);
  s3_fixture_end(&f);
}

static void
test_endless_headers(void)
{
  test_endless("get count=0 endless-headers", "headers have no end");
}

static void
test_endless_body(void)
{
  test_endless("get count=0 endless-body", "range");
}

/* A whole object of 10 GB in answer to a range far behind its start. */
static void
test_endless_object(void)
{
  s3_fixture f;
  char *buf = http_alloc(4096);
  uint64_t got;

  s3_fixture_begin(&f, "get count=0 endless-body", NULL);
  s3_fixture_expect(&f, store_get(&f.host, &f.store->base, S3_FIXTURE_NAME,
                                  5ull << 30, buf, 4096, &got, NULL, 0,
                                  &f.error), SB_IO, NULL);
  CU_ASSERT_TRUE(s3_server_sent(f.server) < 64 * MIB);
  s3_fixture_end(&f);
  free(buf);
}

static void
test_endless_answer_to_put(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "put count=0 endless-body", NULL);
  (void)s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 3000));
  CU_ASSERT_TRUE(s3_server_sent(f.server) < 64 * MIB);
  s3_fixture_end(&f);
}

static void
test_lists(const char *rule, size_t limit, sb_status wanted, const char *text)
{
  s3_fixture f;
  size_t count;

  s3_fixture_begin(&f, rule, NULL);
  s3_fixture_expect(&f, s3_fixture_list(&f, limit, &count), wanted, text);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 4000));
  CU_ASSERT_TRUE(s3_server_sent(f.server) < 64 * MIB);
  s3_fixture_end(&f);
}

static void
test_bomb(void)
{
  test_lists("list count=0 bomb", 10, SB_IO, NULL);
}

static void
test_endless_list_body(void)
{
  test_lists("list count=0 endless-body", 10, SB_IO, NULL);
}

/* Pages that never end but always say so. */
static void
test_endless_list(void)
{
  test_lists("list count=0 list-token=endless", 10, SB_IO, NULL);
}

static void
test_bomb_in_error(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get count=0 status=403 bomb", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_DENIED, "HTTP 403");
  s3_fixture_end(&f);
}

/* ---- elsewhere ---------------------------------------------------------- */

/* `format` has %s for the other server's host and port. */
static void
test_redirected(const char *status, const char *header, const char *text)
{
  char rule[512];
  s3_server *elsewhere = s3_server_start(NULL);
  s3_fixture f;

  CU_ASSERT_PTR_NOT_NULL_FATAL(elsewhere);
  (void)snprintf(rule, sizeof rule,
                 "get,put count=0 status=%s header=%s://127.0.0.1:%d/state",
                 status, header, s3_server_port(elsewhere));
  s3_fixture_begin(&f, rule, NULL);
  CU_ASSERT_NOT_EQUAL(s3_fixture_get(&f, 0, 100), SB_OK);
  if (text != NULL)
    CU_ASSERT_PTR_NOT_NULL(strstr(f.error.message, text));
  CU_ASSERT_NOT_EQUAL(s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL), SB_OK);
  CU_ASSERT_EQUAL(s3_server_connections(elsewhere), 0);
  s3_fixture_end(&f);
  s3_server_stop(elsewhere);
}

static void
test_redirects(void)
{
  test_redirected("301", "Location:http", "not followed");
  test_redirected("302", "Location:http", "not followed");
  test_redirected("307", "Location:http", "not followed");
  test_redirected("308", "Location:http", "not followed");
  test_redirected("307 code=TemporaryRedirect", "Location:https",
                  "not followed");
}

/* Somebody else's proxy, by way of the environment. */
static void
test_proxy_of_environment(void)
{
  static const char *const names[] = { "http_proxy", "https_proxy",
                                       "all_proxy", "HTTPS_PROXY",
                                       "ALL_PROXY" };
  s3_server *elsewhere = s3_server_start(NULL);
  s3_fixture f;
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(elsewhere);
  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    setenv(names[i], s3_server_url(elsewhere), 1);
  unsetenv("no_proxy");
  unsetenv("NO_PROXY");
  s3_fixture_begin(&f, NULL, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_connections(elsewhere), 0);
  s3_fixture_end(&f);
  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    unsetenv(names[i]);
  s3_server_stop(elsewhere);
}

/* A region is no way to smuggle in a host. */
static void
test_regions(void)
{
  static const char *const regions[] = {
    "evil.example%2f", "x@127.0.0.1%3a1", "..", "eu-west-1%0d%0ax:y",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  };
  char rule[256];
  s3_fixture f;
  size_t i;

  for (i = 0; i < sizeof regions / sizeof regions[0]; i++) {
    (void)snprintf(rule, sizeof rule,
                   "get count=0 status=400 code=AuthorizationHeaderMalformed "
                   "header=x-amz-bucket-region:%s", regions[i]);
    s3_fixture_begin(&f, rule, NULL);
    s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_CONFIG, NULL);
    CU_ASSERT_TRUE(s3_server_seen(f.server, "get") <= 2);
    s3_fixture_end(&f);
  }
}

/* Bytes that a terminal or a log would obey do not get into messages. */
static void
test_message_bytes(void)
{
  s3_fixture f;
  const char *p;

  s3_fixture_begin(&f, "get status=403 code=AccessDenied message=a%1b[2J%0d"
                       "%0ab%07", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_DENIED,
                    "AccessDenied");
  for (p = f.error.message; *p != '\0'; p++)
    CU_ASSERT_TRUE(*p >= ' ' && *p <= '~');
  s3_fixture_end(&f);
}

/* ---- TLS ---------------------------------------------------------------- */

static s3_certificates certificates;

static void
test_tls(const char *certificate, const char *key, const char *settings,
         sb_status wanted, const char *text)
{
  s3_server_options options = { .certificate = certificate, .key = key };
  s3_fixture f;

  s3_fixture_start(&f, &options);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), wanted, text);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, NULL), wanted == SB_OK);
  /* Nothing to be gained by asking again. */
  if (wanted != SB_OK)
    CU_ASSERT_EQUAL(s3_server_connections(f.server), 1);
  s3_fixture_end(&f);
}

static const char *
test_trust(void)
{
  static char settings[128];

  (void)snprintf(settings, sizeof settings, "tls.ca-file=%s",
                 certificates.ca);
  return settings;
}

static void
test_tls_good(void)
{
  test_tls(certificates.good, certificates.good_key, test_trust(), SB_OK,
           NULL);
}

static void
test_tls_other_name(void)
{
  test_tls(certificates.other, certificates.other_key, test_trust(),
           SB_DENIED, "name");
}

static void
test_tls_expired(void)
{
  test_tls(certificates.expired, certificates.expired_key, test_trust(),
           SB_DENIED, "expired");
}

static void
test_tls_unknown(void)
{
  test_tls(certificates.unknown, certificates.unknown_key, test_trust(),
           SB_DENIED, "issuer");
}

static void
test_tls_not_trusted(void)
{
  test_tls(certificates.good, certificates.good_key, NULL, SB_DENIED,
           "issuer");
}

static void
test_tls_not_verified(void)
{
  test_tls(certificates.expired, certificates.expired_key, "tls.verify=false",
           SB_OK, NULL);
}

static void
test_tls_is_plain(void)
{
  char settings[256];
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  (void)snprintf(settings, sizeof settings,
                 "aws.endpoint=https://127.0.0.1:%d",
                 s3_server_port(f.server));
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_UNAVAILABLE, "SSL");
  s3_fixture_end(&f);
}

static const tap_case much_cases[] = {
  { "endless headers", test_endless_headers },
  { "10 GB for a range", test_endless_body },
  { "10 GB for a range far in", test_endless_object },
  { "10 GB in answer to a put", test_endless_answer_to_put },
  { "XML bomb", test_bomb },
  { "XML bomb in an error", test_bomb_in_error },
  { "endless page", test_endless_list_body },
  { "endless listing", test_endless_list },
};

static const tap_case elsewhere_cases[] = {
  { "redirects", test_redirects },
  { "proxy of the environment", test_proxy_of_environment },
  { "regions", test_regions },
  { "bytes in messages", test_message_bytes },
};

static const tap_case tls_cases[] = {
  { "good", test_tls_good },
  { "another host name", test_tls_other_name },
  { "expired", test_tls_expired },
  { "unknown authority", test_tls_unknown },
  { "authority not trusted", test_tls_not_trusted },
  { "not verified", test_tls_not_verified },
  { "no TLS there", test_tls_is_plain },
};

static const tap_suite suites[] = {
  { "too much", much_cases, TAP_COUNT(much_cases) },
  { "elsewhere", elsewhere_cases, TAP_COUNT(elsewhere_cases) },
  { "TLS", tls_cases, TAP_COUNT(tls_cases) },
};

int
main(int argc, char **argv)
{
  int status;

  if (s3_certificates_make(&certificates) != 0) {
    printf("Bail out! could not make certificates\n");
    return 1;
  }
  status = tap_main(argc, argv, suites, TAP_COUNT(suites));
  s3_certificates_remove(&certificates);
  return status;
}
