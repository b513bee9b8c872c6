/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints. Goal: every mode has the host, path and region of Amazon's rules,
 * servers of one's own keep theirs, and a region that a server made up never
 * gets into a host name. Method: a table of settings and what they give.
 */
#include "config.h"

#include <string.h>
#include "plugins/s3/endpoint.h"
#include "tests/tap.h"

#define V 1u   /* virtual host; else path style */
#define D 2u
#define F 4u
#define A 8u

typedef struct test_place {
  unsigned flags;
  const char *endpoint, *region, *bucket;
  const char *url;   /* NULL: refused */
  const char *path, *signing;
  int amazon;
} test_place;

static void
test_fill(const test_place *p, s3_settings *s)
{
  memset(s, 0, sizeof *s);
  s->prefix = "state.backend.s3.";
  s->scheme = "s3";
  s->endpoint = (char *)(uintptr_t)p->endpoint;
  s->path_style = (p->flags & V) == 0;
  s->dualstack = (p->flags & D) != 0;
  s->fips = (p->flags & F) != 0;
  s->accelerate = (p->flags & A) != 0;
}

static void
test_place_is(const test_place *p)
{
  s3_settings settings;
  s3_endpoint e;
  sb_error err = { .message = "" };
  sb_status status;

  test_fill(p, &settings);
  status = s3_endpoint_make(&settings, p->region, p->bucket, &e, &err);
  if (p->url == NULL) {
    CU_ASSERT_EQUAL(status, SB_CONFIG);
    CU_ASSERT_NOT_EQUAL(err.message[0], '\0');
    if (status == SB_OK)
      tap_note("%s was made", e.url);
    return;
  }
  CU_ASSERT_EQUAL(status, SB_OK);
  if (strcmp(e.url, p->url) != 0 || strcmp(e.path, p->path) != 0 ||
      strcmp(e.region, p->signing) != 0 || e.amazon != p->amazon) {
    CU_FAIL("another endpoint");
    tap_note("%s%s %s %d, not %s %s", e.url, e.path, e.region, e.amazon,
             p->url, err.message);
  }
  CU_ASSERT_STRING_EQUAL(e.host, strstr(e.url, "://") + 3);
  CU_ASSERT_EQUAL(e.tls, strncmp(e.url, "https:", 6) == 0);
}

static void
test_places(const test_place *places, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++)
    test_place_is(&places[i]);
}

static void
test_amazon(void)
{
  static const test_place places[] = {
    { V, NULL, "eu-west-1", "bkt",
      "https://bkt.s3.eu-west-1.amazonaws.com", "", "eu-west-1", 1 },
    { 0, NULL, "eu-west-1", "bkt",
      "https://s3.eu-west-1.amazonaws.com", "/bkt", "eu-west-1", 1 },
    { V | D, NULL, "eu-west-1", "bkt",
      "https://bkt.s3.dualstack.eu-west-1.amazonaws.com", "", "eu-west-1",
      1 },
    { D, NULL, "eu-west-1", "bkt",
      "https://s3.dualstack.eu-west-1.amazonaws.com", "/bkt", "eu-west-1",
      1 },
    { V | F, NULL, "us-east-2", "bkt",
      "https://bkt.s3-fips.us-east-2.amazonaws.com", "", "us-east-2", 1 },
    { F, NULL, "us-east-2", "bkt",
      "https://s3-fips.us-east-2.amazonaws.com", "/bkt", "us-east-2", 1 },
    { V | F | D, NULL, "us-east-2", "bkt",
      "https://bkt.s3-fips.dualstack.us-east-2.amazonaws.com", "",
      "us-east-2", 1 },
    { F | D, NULL, "us-east-2", "bkt",
      "https://s3-fips.dualstack.us-east-2.amazonaws.com", "/bkt",
      "us-east-2", 1 },
    { V | A, NULL, "us-east-2", "bkt",
      "https://bkt.s3-accelerate.amazonaws.com", "", "us-east-2", 1 },
    { V | A | D, NULL, "us-east-2", "bkt",
      "https://bkt.s3-accelerate.dualstack.amazonaws.com", "", "us-east-2",
      1 },
    { V, NULL, NULL, "bkt",
      "https://bkt.s3.us-east-1.amazonaws.com", "", "us-east-1", 1 },
    { V, NULL, "", "bkt",
      "https://bkt.s3.us-east-1.amazonaws.com", "", "us-east-1", 1 },
    { V, NULL, "aws-global", "bkt",
      "https://bkt.s3.us-east-1.amazonaws.com", "", "us-east-1", 1 },
    { V, NULL, "cn-northwest-1", "bkt",
      "https://bkt.s3.cn-northwest-1.amazonaws.com.cn", "",
      "cn-northwest-1", 1 },
    { V | D, NULL, "cn-north-1", "bkt",
      "https://bkt.s3.dualstack.cn-north-1.amazonaws.com.cn", "",
      "cn-north-1", 1 },
    { V | F, NULL, "us-gov-west-1", "bkt",
      "https://bkt.s3-fips.us-gov-west-1.amazonaws.com", "",
      "us-gov-west-1", 1 },
    { V, NULL, "us-iso-east-1", "bkt",
      "https://bkt.s3.us-iso-east-1.c2s.ic.gov", "", "us-iso-east-1", 1 },
    { V, NULL, "us-isob-east-1", "bkt",
      "https://bkt.s3.us-isob-east-1.sc2s.sgov.gov", "", "us-isob-east-1",
      1 },
    { V, NULL, "eusc-de-east-1", "bkt",
      "https://bkt.s3.eusc-de-east-1.amazonaws.eu", "", "eusc-de-east-1",
      1 },
    { V | F, NULL, "cn-north-1", "bkt", NULL, "", "", 0 },
    { V | A, NULL, "cn-north-1", "bkt", NULL, "", "", 0 },
    { V | D, NULL, "us-iso-east-1", "bkt", NULL, "", "", 0 },
  };

  test_places(places, TAP_COUNT(places));
}

static void
test_own(void)
{
  static const test_place places[] = {
    { 0, "http://127.0.0.1:9000", NULL, "bkt",
      "http://127.0.0.1:9000", "/bkt", "us-east-1", 0 },
    { 0, "http://[::1]:9000", "x", "bkt",
      "http://[::1]:9000", "/bkt", "x", 0 },
    { 0, "http://[::1]", "x", "bkt", "http://[::1]", "/bkt", "x", 0 },
    { 0, "http://[fe80::80]:80", "x", "bkt",
      "http://[fe80::80]", "/bkt", "x", 0 },
    { 0, "http://h:80", "x", "bkt", "http://h", "/bkt", "x", 0 },
    { 0, "https://h:443", "x", "bkt", "https://h", "/bkt", "x", 0 },
    { 0, "https://h:80", "x", "bkt", "https://h:80", "/bkt", "x", 0 },
    { 0, "http://h:443", "x", "bkt", "http://h:443", "/bkt", "x", 0 },
    { V, "http://s3.localhost:18000", "x", "bkt",
      "http://bkt.s3.localhost:18000", "", "x", 0 },
    { V, "https://h", "x", "a.b", "https://a.b.h", "", "x", 0 },
    { V, "http://127.0.0.1:9000", "x", "bkt", NULL, "", "", 0 },
    { V, "http://10.0.0.1", "x", "bkt", NULL, "", "", 0 },
    { V, "http://[::1]:9000", "x", "bkt", NULL, "", "", 0 },
    { 0, "https://s3.eu-west-3.amazonaws.com", NULL, "bkt",
      "https://s3.eu-west-3.amazonaws.com", "/bkt", "eu-west-3", 1 },
    { V, "https://s3.dualstack.eu-west-3.amazonaws.com", NULL, "bkt",
      "https://bkt.s3.dualstack.eu-west-3.amazonaws.com", "", "eu-west-3",
      1 },
    { 0, "https://bucket.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com", NULL,
      "bkt", "https://bucket.vpce-1a2b.s3.us-west-2.vpce.amazonaws.com",
      "/bkt", "us-west-2", 1 },
    { 0, "https://s3.amazonaws.com", NULL, "bkt",
      "https://s3.amazonaws.com", "/bkt", "us-east-1", 1 },
    { 0, "https://s3.eu-west-3.amazonaws.com", "eu-north-1", "bkt",
      "https://s3.eu-west-3.amazonaws.com", "/bkt", "eu-north-1", 1 },
    { 0, "https://s3.cn-north-1.amazonaws.com.cn", NULL, "bkt",
      "https://s3.cn-north-1.amazonaws.com.cn", "/bkt", "cn-north-1", 1 },
    { 0, "https://amazonaws.com.example.org", "x", "bkt",
      "https://amazonaws.com.example.org", "/bkt", "x", 0 },
    { 0, "https://notamazonaws.com", "x", "bkt",
      "https://notamazonaws.com", "/bkt", "x", 0 },
    { 0, "https://s3.amazonaws.com:8443", "x", "bkt",
      "https://s3.amazonaws.com:8443", "/bkt", "x", 1 },
  };

  test_places(places, TAP_COUNT(places));
}

/* Regions that an answer could have. */
static void
test_regions(void)
{
  static const char *const bad[] = {
    "evil.example.org", "x/", "a b", "a\r\nHost: x", "a@b", "a:1", "A",
    "a%2e", "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij1234",
  };
  static const char *const bad_own[] = { "a/b", "a b", "a\nb", "a\"b",
                                         "\xc3\xa4" };
  size_t i;

  for (i = 0; i < TAP_COUNT(bad); i++) {
    test_place p = { V, NULL, bad[i], "bkt", NULL, "", "", 0 };

    test_place_is(&p);
  }
  for (i = 0; i < TAP_COUNT(bad_own); i++) {
    test_place p = { 0, "http://h", bad_own[i], "bkt", NULL, "", "", 0 };

    test_place_is(&p);
  }
}

static void
test_lengths(void)
{
  char host[600], bucket[200];
  test_place p = { 0, host, "x", bucket, NULL, "", "", 0 };

  memset(bucket, 'b', sizeof bucket);
  bucket[63] = '\0';
  strcpy(host, "http://");
  memset(host + 7, 'h', 300);
  host[307] = '\0';
  test_place_is(&p);
  host[7 + 255] = '\0';
  p.url = host;
  p.path = "/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
  p.signing = "x";
  test_place_is(&p);
  p.flags = V;
  bucket[63] = 'b';
  bucket[100] = '\0';
  p.url = NULL;
  test_place_is(&p);
  p.flags = 0;
  test_place_is(&p);
}

static const tap_case test_cases[] = {
  { "amazon", test_amazon },
  { "own", test_own },
  { "regions", test_regions },
  { "lengths", test_lengths },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "endpoint", test_cases, TAP_COUNT(test_cases) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
