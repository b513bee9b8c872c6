/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the S3 plugin about where requests go and how they get there.
 * Goal: the host that is asked for, the path, the region, the proxy, what of
 * TLS is offered and accepted, and what an opening tries, are as each option
 * says. Method: a proxy that leads every host to the test server, so that no
 * name is looked up and nothing leaves the machine; see options_fixture.h.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/s3/check.h"
#include "tests/options_fixture.h"
#include "tests/options_proxy.h"

#define ONCE "retry.attempts=1\nfirst-byte-timeout=8s\nconnect-timeout=8s\n"
#define PROXY_PASSWORD "SECRETsecret:word"

static s3_certificates certificates;

/* A server with or without TLS, and a proxy before it. */
typedef struct place {
  s3_fixture f;
  options_proxy *proxy;
} place;

static void
place_start(place *p, int tls)
{
  s3_server_options options = { .port = 0 };

  if (tls) {
    options.certificate = certificates.good;
    options.key = certificates.good_key;
  }
  s3_fixture_start(&p->f, &options);
  p->proxy = options_proxy_start(s3_server_port(p->f.server));
  CU_ASSERT_PTR_NOT_NULL_FATAL(p->proxy);
}

/* By the proxy; `more` are lines of settings. */
static void
place_open(place *p, const char *more)
{
  char settings[512];

  (void)snprintf(settings, sizeof settings, "proxy.url=%s\n" ONCE "%s",
                 options_proxy_url(p->proxy), more);
  CU_ASSERT_EQUAL_FATAL(options_open(&p->f, settings), SB_OK);
}

static void
place_end(place *p)
{
  s3_fixture_end(&p->f);
  options_proxy_stop(p->proxy);
}

static void
place_get(place *p)
{
  s3_fixture_expect(&p->f, s3_fixture_get(&p->f, 0, 1000), SB_OK, NULL);
}

/* ---- hosts, paths and regions ------------------------------------------- */

/* A port of its own stands in the host. */
typedef struct host_row {
  const char *keys;          /* that are seen here, with blanks; NULL: none */
  const char *settings, *host, *path, *region;
} host_row;

#define AMAZON "aws.endpoint\ntls.verify=false\n"

static const host_row host_rows[] = {
  { NULL, AMAZON, "state.s3.us-east-1.amazonaws.com", "/dir/object",
    "us-east-1" },
  { "bucket", AMAZON "bucket=other.bucket",
    "other.bucket.s3.us-east-1.amazonaws.com", "/dir/object", "us-east-1" },
  { "aws.region", AMAZON "aws.region=eu-west-1",
    "state.s3.eu-west-1.amazonaws.com", "/dir/object", "eu-west-1" },
  { "path-style-access", AMAZON "path-style-access=true",
    "s3.us-east-1.amazonaws.com", "/state/dir/object", "us-east-1" },
  { "transfer-acceleration", AMAZON "transfer-acceleration=true",
    "state.s3-accelerate.amazonaws.com", "/dir/object", "us-east-1" },
  { "dualstack", AMAZON "dualstack=true\naws.region=eu-west-1",
    "state.s3.dualstack.eu-west-1.amazonaws.com", "/dir/object",
    "eu-west-1" },
  { "fips", AMAZON "fips=true", "state.s3-fips.us-east-1.amazonaws.com",
    "/dir/object", "us-east-1" },
  { NULL, AMAZON "fips=true\ndualstack=true\naws.region=us-gov-west-1",
    "state.s3-fips.dualstack.us-gov-west-1.amazonaws.com", "/dir/object",
    "us-gov-west-1" },
  { NULL, AMAZON "transfer-acceleration=true\ndualstack=true",
    "state.s3-accelerate.dualstack.amazonaws.com", "/dir/object",
    "us-east-1" },
  { NULL, AMAZON "aws.region=cn-north-1",
    "state.s3.cn-north-1.amazonaws.com.cn", "/dir/object", "cn-north-1" },
  { NULL, AMAZON "aws.region=cn-northwest-1\ndualstack=true\n"
    "path-style-access=true",
    "s3.dualstack.cn-northwest-1.amazonaws.com.cn", "/state/dir/object",
    "cn-northwest-1" },
  { NULL, AMAZON "aws.region=eusc-de-east-1",
    "state.s3.eusc-de-east-1.amazonaws.eu", "/dir/object",
    "eusc-de-east-1" },
  { "aws.endpoint", "aws.endpoint=https://Objects.example.test:8443/\n"
    "tls.verify=false", "objects.example.test:8443", "/state/dir/object",
    "us-east-1" },
  { "path-style-access", "aws.endpoint=https://objects.example.test\n"
    "tls.verify=false\npath-style-access=false",
    "state.objects.example.test", "/dir/object", "us-east-1" },
};

/* The server takes the first part of each path for a bucket. */
static void
host_buckets(place *p, const char *region)
{
  unsigned char data[S3_FIXTURE_SIZE];
  size_t i;

  for (i = 0; i < sizeof data; i++)
    data[i] = s3_fixture_byte(i);
  s3_server_bucket(p->f.server, "dir", region);
  s3_server_store(p->f.server, "dir", "object", data, sizeof data);
}

static void
host_seen(const char *keys)
{
  char key[64];

  while (keys != NULL && *keys != '\0') {
    size_t len = strcspn(keys, " ");

    (void)snprintf(key, sizeof key, "%.*s", (int)len, keys);
    options_seen(key);
    keys += len + (keys[len] == ' ');
  }
}

/* Whom the nth connection through the proxy asks for. */
static void
host_asked(place *p, unsigned n, const char *host)
{
  char line[256];

  (void)snprintf(line, sizeof line, "CONNECT %s%s HTTP/1.1\r\n", host,
                 strchr(host, ':') == NULL ? ":443" : "");
  options_has(options_proxy_head(p->proxy, n), line);
}

static void
host_try(const host_row *row)
{
  s3_server_options options = { .certificate = certificates.good,
                                .key = certificates.good_key,
                                .region = row->region };
  const s3_seen *seen;
  char scope[96];
  place p;

  s3_fixture_start(&p.f, &options);
  p.proxy = options_proxy_start(s3_server_port(p.f.server));
  CU_ASSERT_PTR_NOT_NULL_FATAL(p.proxy);
  host_buckets(&p, row->region);
  place_open(&p, row->settings);
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 1);
  host_asked(&p, 1, row->host);
  seen = s3_server_seen_nth(p.f.server, "get", 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
  CU_ASSERT_STRING_EQUAL(http_header(&seen->request, "host"), row->host);
  CU_ASSERT_STRING_EQUAL(seen->request.path, row->path);
  (void)snprintf(scope, sizeof scope, "/%s/s3/aws4_request,", row->region);
  CU_ASSERT_PTR_NOT_NULL(strstr(options_header(&p.f, "get", 1,
                                               "authorization"), scope));
  host_seen(row->keys);
  place_end(&p);
}

static void
test_hosts(void)
{
  size_t i;

  for (i = 0; i < TAP_COUNT(host_rows); i++)
    host_try(&host_rows[i]);
}

/* Without a region Amazon's first one is asked, which knows the right one. */
static void
test_region_found(void)
{
  s3_server_options options = { .certificate = certificates.good,
                                .key = certificates.good_key };
  place p;

  s3_fixture_start(&p.f, &options);
  p.proxy = options_proxy_start(s3_server_port(p.f.server));
  CU_ASSERT_PTR_NOT_NULL_FATAL(p.proxy);
  host_buckets(&p, "ap-south-1");
  place_open(&p, AMAZON "aws.region");
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 2);
  host_asked(&p, 1, "state.s3.us-east-1.amazonaws.com");
  host_asked(&p, 2, "state.s3.ap-south-1.amazonaws.com");
  place_end(&p);
}

/* The bucket before the name of the server, without a proxy: names that end in
   "localhost" need no look-up. */
static void
test_virtual_host(void)
{
  char settings[256], host[64];
  const s3_seen *seen;
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  (void)snprintf(settings, sizeof settings, ONCE "path-style-access=false\n"
                 "aws.endpoint=http://localhost:%d",
                 s3_server_port(f.server));
  (void)snprintf(host, sizeof host, S3_TEST_BUCKET ".localhost:%d",
                 s3_server_port(f.server));
  CU_ASSERT_EQUAL_FATAL(options_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  seen = s3_server_seen_nth(f.server, "get", 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
  CU_ASSERT_STRING_EQUAL(http_header(&seen->request, "host"), host);
  CU_ASSERT_STRING_EQUAL(seen->request.path, "/dir/object");
  s3_fixture_end(&f);
}

/* The minio plugin's own defaults, by a proxy that knows no such server. */
static void
test_minio(void)
{
  sb_config *config = NULL;
  s3_store *store = NULL;
  sb_error err = { .message = "" };
  char buf[100];
  uint64_t got;
  size_t i;
  place p;

  place_start(&p, 0);
  {
    const char *const settings[][2] = {
      { "state.backend", "minio" }, { "state.backend.minio.bucket", "state" },
      { "state.backend.minio.proxy.url", options_proxy_url(p.proxy) },
      { "state.backend.minio.open-check", "none" },
      { "state.backend.minio.conditional-writes", "match" },
      { "aws.credentials.provider.basic.accesskeyid", S3_TEST_ACCESS },
      { "aws.credentials.provider.basic.secretkey", S3_TEST_SECRET },
    };

    CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, &err), SB_OK);
    for (i = 0; i < TAP_COUNT(settings); i++)
      CU_ASSERT_EQUAL_FATAL(sb_config_set(config, settings[i][0],
                                          settings[i][1], NULL, &err), SB_OK);
  }
  CU_ASSERT_EQUAL_FATAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_EQUAL_FATAL(s3_store_open(sb_host_default(), config,
                                      "state.backend.minio.", "minio", &store,
                                      &err), SB_OK);
  CU_ASSERT_EQUAL(store_get(sb_host_default(), &store->base, S3_FIXTURE_NAME,
                            0, buf, sizeof buf, &got, NULL, 0, &err), SB_OK);
  options_has(options_proxy_head(p.proxy, 1), "GET http://127.0.0.1:9000/"
              "state/dir/object HTTP/1.1\r\n");
  CU_ASSERT_PTR_NOT_NULL(strstr(options_header(&p.f, "get", 1,
                                               "authorization"),
                                "/us-east-1/s3/"));
  s3_store_close(&store->base);
  sb_config_free(config);
  place_end(&p);
}

/* ---- the proxy ---------------------------------------------------------- */

static void
test_proxy(void)
{
  place p;

  place_start(&p, 0);
  place_open(&p, "aws.endpoint=http://objects.example.test:81\n"
                 "proxy.user=somebody\nproxy.password=" PROXY_PASSWORD);
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 1);
  options_has(options_proxy_head(p.proxy, 1), "GET http://objects.example."
              "test:81/state/dir/object HTTP/1.1\r\n");
  options_has(options_proxy_head(p.proxy, 1),
              "Proxy-Authorization: Basic "
              "c29tZWJvZHk6U0VDUkVUc2VjcmV0OndvcmQ=\r\n");
  options_seen("proxy.url");
  options_seen("proxy.user");
  options_seen("proxy.password");
  CU_ASSERT_STRING_EQUAL(options_header(&p.f, "get", 1, "host"),
                         "objects.example.test:81");
  s3_fixture_close(&p.f);
  place_open(&p, "");
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 2);
  CU_ASSERT_PTR_NULL(strstr(options_proxy_head(p.proxy, 2),
                            "Proxy-Authorization"));
  place_end(&p);
}

/* By TLS the password is for the proxy, and nothing of it goes further. */
static void
test_proxy_tunnel(void)
{
  place p;

  place_start(&p, 1);
  place_open(&p, AMAZON "path-style-access=true\nproxy.user=somebody\n"
                 "proxy.password=" PROXY_PASSWORD);
  place_get(&p);
  options_has(options_proxy_head(p.proxy, 1),
              "Proxy-Authorization: Basic "
              "c29tZWJvZHk6U0VDUkVUc2VjcmV0OndvcmQ=\r\n");
  CU_ASSERT_PTR_NULL(strstr(options_proxy_head(p.proxy, 1), "AWS4-HMAC"));
  CU_ASSERT_STRING_EQUAL(options_header(&p.f, "get", 1,
                                        "proxy-authorization"), "");
  place_end(&p);
}

static void
test_proxy_bypass(void)
{
  place p;

  place_start(&p, 0);
  place_open(&p, "proxy.bypass=example.test,127.0.0.1");
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 0);
  s3_fixture_close(&p.f);
  place_open(&p, "proxy.bypass=example.test");
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 1);
  options_seen("proxy.bypass");
  place_end(&p);
}

/* What others have set for programs of their own does not count. */
static void
test_proxy_environment(void)
{
  place p;

  CU_ASSERT_EQUAL_FATAL(setenv("no_proxy", "*", 1), 0);
  place_start(&p, 0);
  place_open(&p, "");
  place_get(&p);
  CU_ASSERT_EQUAL(options_proxy_count(p.proxy), 1);
  place_end(&p);
  (void)unsetenv("no_proxy");
}

/* ---- TLS ---------------------------------------------------------------- */

/* A read from a server with such a certificate. */
static sb_status
tls_get(const char *certificate, const char *key, const char *settings)
{
  s3_server_options options = { .certificate = certificate, .key = key };
  sb_status status;
  s3_fixture f;

  s3_fixture_start(&f, &options);
  CU_ASSERT_EQUAL_FATAL(options_open(&f, settings), SB_OK);
  status = s3_fixture_get(&f, 0, 100);
  s3_fixture_end(&f);
  return status;
}

static void
test_tls(void)
{
  const s3_certificates *c = &certificates;
  char trust[1024];

  (void)snprintf(trust, sizeof trust, ONCE "tls.ca-file=%s", c->ca);
  CU_ASSERT_EQUAL(tls_get(c->good, c->good_key, trust), SB_OK);
  CU_ASSERT_EQUAL(tls_get(c->good, c->good_key, ONCE), SB_DENIED);
  CU_ASSERT_EQUAL(tls_get(c->unknown, c->unknown_key, trust), SB_DENIED);
  options_seen("tls.ca-file");
  CU_ASSERT_EQUAL(tls_get(c->unknown, c->unknown_key,
                          ONCE "tls.verify=false"), SB_OK);
  CU_ASSERT_EQUAL(tls_get(c->other, c->other_key, ONCE "tls.verify=false"),
                  SB_OK);
  options_seen("tls.verify");
  CU_ASSERT_EQUAL(tls_get(c->unknown, c->unknown_key,
                          ONCE "aws.trust.all.certificates=true"), SB_OK);
  options_seen("aws.trust.all.certificates");
}

/* A handshake that gets no answer. */
static void
test_connect_timeout(void)
{
  static const struct { const char *settings; unsigned from_ms, to_ms; }
    rows[] = { { "connect-timeout=100ms\nfirst-byte-timeout=8s", 100, 500 },
               { "connect-timeout=300ms\nfirst-byte-timeout=1ms", 300,
                 1200 } };
  char settings[256];
  place p;
  size_t i;

  place_start(&p, 1);
  s3_fixture_rules(&p.f, "connect count=0 stall");
  for (i = 0; i < TAP_COUNT(rows); i++) {
    (void)snprintf(settings, sizeof settings, ONCE "tls.verify=false\n%s",
                   rows[i].settings);
    CU_ASSERT_EQUAL_FATAL(options_open(&p.f, settings), SB_OK);
    s3_fixture_expect(&p.f, s3_fixture_get(&p.f, 0, 100), SB_UNAVAILABLE,
                      NULL);
    CU_ASSERT(p.f.took_ms >= rows[i].from_ms);
    CU_ASSERT(s3_fixture_within(&p.f, rows[i].to_ms));
    s3_fixture_close(&p.f);
  }
  options_seen("connect-timeout");
  place_end(&p);
}

/* What is offered for the protocol's version stands in the clear in the first
   message. */
static void
test_http_version(void)
{
  static const char both[] = "\x02h2\x08http/1.1";
  static const char one[] = "\x00\x09\x08http/1.1";
  place p;

  place_start(&p, 1);
  place_open(&p, "tls.verify=false\naws.http.protocol.version=HTTP2");
  place_get(&p);
  CU_ASSERT(options_proxy_sent(p.proxy, 1, both, sizeof both - 1));
  s3_fixture_close(&p.f);
  place_open(&p, "tls.verify=false\naws.http.protocol.version=HTTP1_1");
  place_get(&p);
  CU_ASSERT(options_proxy_sent(p.proxy, 2, one, sizeof one - 1));
  CU_ASSERT(!options_proxy_sent(p.proxy, 2, both, sizeof both - 1));
  options_seen("aws.http.protocol.version");
  place_end(&p);
}

static void
test_payload_signing(void)
{
  static const struct { const char *value; int tls, is_signed; } rows[] = {
    { "auto", 0, 1 }, { "auto", 1, 0 }, { "signed", 0, 1 },
    { "signed", 1, 1 }, { "unsigned", 1, 0 },
  };
  char settings[256];
  place p;
  size_t i;

  for (i = 0; i < TAP_COUNT(rows); i++) {
    const char *hash;

    place_start(&p, rows[i].tls);
    (void)snprintf(settings, sizeof settings, ONCE "payload-signing=%s%s",
                   rows[i].value, rows[i].tls ? "\ntls.verify=false" : "");
    CU_ASSERT_EQUAL_FATAL(options_open(&p.f, settings), SB_OK);
    s3_fixture_expect(&p.f, s3_fixture_put(&p.f, "o", "abc", 3, 0, NULL,
                                           NULL), SB_OK, NULL);
    hash = options_header(&p.f, "put", 1, "x-amz-content-sha256");
    CU_ASSERT_STRING_EQUAL(hash, rows[i].is_signed
                                   ? "ba7816bf8f01cfea414140de5dae2223"
                                     "b00361a396177a9cb410ff61f20015ad"
                                   : "UNSIGNED-PAYLOAD");
    place_end(&p);
  }
  options_seen("payload-signing");
}

/* ---- opening ------------------------------------------------------------ */

/* What the check asks for, and that it asks for no more. */
static void
opening_try(place *p, const char *settings, size_t buckets, size_t lists,
            size_t puts)
{
  CU_ASSERT_EQUAL_FATAL(options_open(&p->f, settings), SB_OK);
  s3_fixture_expect(&p->f, s3_check(p->f.store, &p->f.error), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(p->f.server, "bucket"), buckets);
  CU_ASSERT_EQUAL(s3_server_seen(p->f.server, "list"), lists);
  CU_ASSERT_EQUAL(s3_server_seen(p->f.server, "put") > 0, puts > 0);
  CU_ASSERT_EQUAL(s3_server_seen(p->f.server, "delete"), puts > 0);
  CU_ASSERT_EQUAL(s3_server_seen(p->f.server, NULL) == 0,
                  buckets + lists + puts == 0);
  s3_fixture_close(&p->f);
  s3_server_forget(p->f.server);
}

static void
test_opening(void)
{
  char settings[256];
  place p;

  place_start(&p, 0);
  opening_try(&p, "open-check=none", 0, 0, 0);
  opening_try(&p, "open-check=bucket", 1, 0, 0);
  opening_try(&p, "open-check=full", 0, 2, 1);
  opening_try(&p, "open-check=auto", 0, 2, 1);
  place_end(&p);
  place_start(&p, 1);
  (void)snprintf(settings, sizeof settings, AMAZON "open-check=auto\n"
                 "path-style-access=true\nproxy.url=%s",
                 options_proxy_url(p.proxy));
  opening_try(&p, settings, 0, 1, 0);
  options_seen("open-check");
  place_end(&p);
}

static void
test_all(void)
{
  options_check("place");
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "hosts", test_hosts },
    { "region found", test_region_found },
    { "virtual host", test_virtual_host },
    { "minio", test_minio },
    { "proxy", test_proxy },
    { "proxy and TLS", test_proxy_tunnel },
    { "proxy.bypass", test_proxy_bypass },
    { "proxy and environment", test_proxy_environment },
    { "TLS", test_tls },
    { "connect-timeout", test_connect_timeout },
    { "version of HTTP", test_http_version },
    { "payload-signing", test_payload_signing },
    { "opening", test_opening },
    { "every option is seen", test_all },
  };
  static const tap_suite suites[] = { { "s3_options_place", cases,
                                        TAP_COUNT(cases) } };
  int result;

  if (s3_certificates_make(&certificates) != 0) {
    (void)fprintf(stderr, "could not make certificates\n");
    return 1;
  }
  result = tap_main(argc, argv, suites, TAP_COUNT(suites));
  s3_certificates_remove(&certificates);
  return result;
}
