/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of the S3 client. Goal: every option arrives in its field, names
 * that mean the same become one, what S3 refuses or what contradicts itself is
 * refused in words that name both keys, and no secret stands in them. Method:
 * configurations checked against the plugins' real tables, then read.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "plugins/s3/buf.h"
#include "plugins/s3/settings.h"
#include "tests/faulty_host.h"
#include "tests/tap.h"

#define PREFIX "state.backend.s3."
/* Stands wherever a secret does; no message may have it. */
#define SECRET "hunter2hunter2"
#define KEY_BASE64 "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define KEY_RAW "0123456789abcdef0123456789abcdef"

static char test_dir[] = "/tmp/sb-s3-settings-XXXXXX";

/* ---- configurations ----------------------------------------------------- */

/* Lines of "KEY=VALUE"; keys that do not begin with "aws." or "state." are
   below the plugin's prefix. '@' in a value stands for the test's directory if
   it is followed by '/'. */
static void
test_add(sb_config *config, const char *plugin, const char *line, size_t len)
{
  char key[128], value[512], text[512];
  const char *equals = memchr(line, '=', len), *at;
  size_t key_len = (size_t)(equals - line);
  int whole = strncmp(line, "aws.", 4) == 0 ||
              strncmp(line, "state.backend", 13) == 0;

  (void)snprintf(key, sizeof key, "%s%s%s%.*s",
                 whole ? "" : "state.backend.", whole ? "" : plugin,
                 whole ? "" : ".", (int)key_len, line);
  (void)snprintf(value, sizeof value, "%.*s", (int)(len - key_len - 1),
                 equals + 1);
  at = strstr(value, "@/");
  if (at != NULL)
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - value), value,
                   test_dir, at + 1);
  CU_ASSERT_EQUAL_FATAL(sb_config_set(config, key, at ? text : value, "test",
                                      NULL), SB_OK);
}

static sb_config *
test_config_of(const char *plugin, const char *lines)
{
  sb_config *config = NULL;
  sb_error err = { .message = "" };

  CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(sb_config_set(config, "state.backend", plugin, "test",
                                      NULL), SB_OK);
  if (strncmp(lines, "bucket=", 7) != 0)
    test_add(config, plugin, "bucket=state", strlen("bucket=state"));
  while (*lines != '\0') {
    size_t len = strcspn(lines, "\n");

    test_add(config, plugin, lines, len);
    lines += len + (lines[len] == '\n');
  }
  if (sb_config_check(config, &err) != SB_OK)
    CU_FAIL("the configuration does not pass the table");
  if (err.message[0] != '\0')
    tap_note("%s", err.message);
  return config;
}

static sb_status
test_open(const sb_config *config, const char *plugin, s3_settings **out,
          sb_error *err)
{
  err->message[0] = '\0';
  return s3_settings_open(sb_host_default(), config,
                          strcmp(plugin, "s3") == 0 ? PREFIX
                                                    : "state.backend.minio.",
                          plugin, out, err);
}

/* ---- refusals ----------------------------------------------------------- */

typedef struct test_refusal {
  const char *lines;
  const char *text;    /* in the message, '|' between texts; NULL: is taken */
} test_refusal;

static void
test_texts(const sb_error *err, const char *texts)
{
  char text[128];

  while (*texts != '\0') {
    size_t len = strcspn(texts, "|");

    (void)snprintf(text, sizeof text, "%.*s", (int)len, texts);
    if (strstr(err->message, text) == NULL) {
      CU_FAIL("the message lacks a text");
      tap_note("no \"%s\" in: %s", text, err->message);
    }
    texts += len + (texts[len] == '|');
  }
}

static void
test_refuse_by(const char *plugin, const test_refusal *r)
{
  sb_config *config = test_config_of(plugin, r->lines);
  s3_settings *settings = NULL;
  sb_error err;
  sb_status status = test_open(config, plugin, &settings, &err);

  if ((status == SB_OK) != (r->text == NULL)) {
    CU_FAIL("a configuration is taken or refused wrongly");
    tap_note("%s: %s", r->lines, status == SB_OK ? "taken" : err.message);
  } else if (r->text != NULL) {
    CU_ASSERT_EQUAL(status, SB_CONFIG);
    CU_ASSERT_PTR_NULL(settings);
    CU_ASSERT_PTR_NULL(strstr(err.message, SECRET));
    CU_ASSERT_PTR_NULL(strstr(err.message, KEY_RAW));
    CU_ASSERT_PTR_NULL(strstr(err.message, KEY_BASE64));
    test_texts(&err, r->text);
  }
  s3_settings_close(settings);
  sb_config_free(config);
}

static void
test_refuse(const test_refusal *refusals, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++)
    test_refuse_by("s3", &refusals[i]);
}

#define HTTP "aws.endpoint=http://127.0.0.1:9000\n"
#define HTTPS "aws.endpoint=https://127.0.0.1:9000\n"

static void
test_endpoints(void)
{
  static const test_refusal cases[] = {
    { "aws.endpoint=http://localhost:9000", NULL },
    { "aws.endpoint=HTTPS://Example.ORG/", NULL },
    { "aws.endpoint=http://[::1]:9000", NULL },
    { "aws.endpoint=http://[::1]", NULL },
    { "aws.endpoint=localhost:9000", "http://" },
    { "aws.endpoint=ftp://h", "must begin with http://" },
    { "aws.endpoint=http://", "host name" },
    { "aws.endpoint=http://h:", "port" },
    { "aws.endpoint=http://h:0", "port" },
    { "aws.endpoint=http://h:65536", "port" },
    { "aws.endpoint=http://h:9x", "port" },
    { "aws.endpoint=http://h/path", "without a path" },
    { "aws.endpoint=http://h?q=1", "without a path or query" },
    { "aws.endpoint=http://h#f", "without a path" },
    { "aws.endpoint=http://u:" SECRET "@h", "credentials go into" },
    { "aws.endpoint=http://a b", "host name" },
    { "aws.endpoint=http://a..b", "host name" },
    { "aws.endpoint=http://-a", "host name" },
    { "aws.endpoint=http://[::1", "host name" },
    { "aws.endpoint=http://[::1]x", "host name" },
    { "aws.endpoint=https://state.s3.eu-west-1.amazonaws.com",
      "aws.endpoint|bucket" },
    { "aws.endpoint=https://s3.eu-west-1.amazonaws.com", NULL },
    { HTTP "path-style-access=false", "path-style-access|aws.endpoint" },
    { "aws.endpoint=http://h\npath-style-access=false", NULL },
    { HTTP "transfer-acceleration=true",
      "transfer-acceleration|aws.endpoint|remove" },
    { "transfer-acceleration=true\nfips=true",
      "transfer-acceleration|fips" },
    { "transfer-acceleration=true\npath-style-access=true",
      "transfer-acceleration|path-style-access" },
    { "bucket=a.b.c\ntransfer-acceleration=true",
      "transfer-acceleration|bucket" },
    { "transfer-acceleration=true\ndualstack=true", NULL },
    { "transfer-acceleration=true\naws.region=cn-north-1",
      "transfer-acceleration|cn-north-1" },
    { "fips=true\naws.region=cn-north-1", "fips|cn-north-1" },
    { "fips=true\ndualstack=true\naws.region=us-gov-west-1", NULL },
    { HTTPS "fips=true", "fips|aws.endpoint" },
    { HTTPS "dualstack=true", "dualstack|aws.endpoint" },
    { "aws.region=eu west", "region" },
    { "aws.region=evil.example.org/", "region" },
    { HTTP "aws.region=Default_1", NULL },
    { HTTP "aws.region=a/b", "region" },
  };

  test_refuse(cases, TAP_COUNT(cases));
}

static void
test_buckets(void)
{
  static const test_refusal cases[] = {
    { "bucket=ab", "3 to 63" },
    { "bucket=abcdefghijabcdefghijabcdefghijabcdefghij"
      "abcdefghijabcdefghij1234",
      "3 to 63" },
    { "bucket=s3://state", "name alone" },
    { "bucket=state/path", "name alone|base-path" },
    { "bucket=arn:aws:s3:us-east-1:1:accesspoint:x", "alias" },
    { "bucket=State", "lower-case" },
    { "bucket=a_b", "lower-case" },
    { "bucket=-ab", "begin and end" },
    { "bucket=ab-", "begin and end" },
    { "bucket=a..b", "two '.'|bucket" },
    { "bucket=10.0.0.1", "IP address" },
    { "bucket=xn--abc", "xn--" },
    { "bucket=sthree-abc", "sthree-" },
    { "bucket=abc--usw2-az1--x-s3", "directory buckets" },
    { "bucket=abc--ol-s3", "Object Lambda" },
    { "bucket=abc--table-s3", "table buckets" },
    { "bucket=abc.mrap", "multi-region" },
    { "bucket=abc-s3alias", NULL },
    { "bucket=a.b.c", "bucket|path-style-access" },
    { "bucket=a.b.c\npath-style-access=true", NULL },
    { "bucket=a.b.c\ntls.verify=false", NULL },
    { "bucket=a.b.c\n" HTTPS, NULL },
    { "bucket=a.b.c\naws.endpoint=https://h\npath-style-access=false",
      "bucket|path-style-access" },
    { "bucket=a.b.c\naws.endpoint=http://h\npath-style-access=false", NULL },
    { "bucket=My_Bucket\n" HTTP, NULL },
    { "bucket=a..b\n" HTTP, "beside another" },
    { "bucket=..\n" HTTP, "3 to 63" },
    { "bucket=a%2Fb\n" HTTP, "letters, digits" },
    { "bucket=My_Bucket\naws.endpoint=http://h\npath-style-access=false",
      "path-style-access" },
    { "base-path=/a", "base-path|outer slashes" },
    { "base-path=a/", "base-path" },
    { "base-path=a//b", "base-path" },
    { "base-path=a/../b", "base-path" },
    { "base-path=.", "base-path" },
    { "base-path=a/.b/...", NULL },
    { "state-prefix=/", "state-prefix" },
    { "checkpoint-prefix=a/", "checkpoint-prefix" },
    { "savepoint-prefix=./a", "savepoint-prefix" },
  };

  test_refuse(cases, TAP_COUNT(cases));
}

static void
test_transport(void)
{
  static const test_refusal cases[] = {
    { HTTP "tls.ca-file=@/key", "tls.ca-file|aws.endpoint|https" },
    { HTTP "tls.verify=false", "tls.verify|aws.endpoint" },
    { HTTP "aws.trust.all.certificates=true", NULL },
    { HTTPS "tls.ca-file=@/key", NULL },
    { HTTPS "tls.ca-file=@/none", "tls.ca-file|No such file" },
    { HTTPS "tls.ca-file=@/key\ntls.verify=false", "tls.ca-file|tls.verify" },
    { HTTPS "tls.ca-file=@/key\naws.trust.all.certificates=true",
      "tls.ca-file|aws.trust.all.certificates" },
    { HTTP "aws.http.protocol.version=HTTP2",
      "aws.http.protocol.version|aws.endpoint" },
    { HTTPS "aws.http.protocol.version=HTTP2", NULL },
    { HTTP "payload-signing=unsigned", "payload-signing|aws.endpoint" },
    { HTTPS "payload-signing=unsigned", NULL },
    { HTTP "payload-signing=signed", NULL },
    { "proxy.user=u", "proxy.user|proxy.url" },
    { "proxy.password=" SECRET, "proxy.password|proxy.url" },
    { "proxy.bypass=a,b", "proxy.bypass|proxy.url" },
    { "proxy.url=http://p:3128\nproxy.password=" SECRET,
      "proxy.password|proxy.user" },
    { "proxy.url=http://u:" SECRET "@p:3128", "proxy.url|proxy.user" },
    { "proxy.url=p:3128", "proxy.url|http://HOST:PORT" },
    { "proxy.url=http://", "proxy.url" },
    { "proxy.url=http://a b", "proxy.url" },
    { "proxy.url=http://p:3128\nproxy.user=u\nproxy.password=" SECRET, NULL },
    { "retry.delay-min=30s", "retry.delay-min|retry.delay-max" },
    { "retry.delay-min=30s\naws.retry-strategy.delay.max=25s",
      "retry.delay-min|aws.retry-strategy.delay.max" },
    { "aws.retry-strategy.delay.min=21s", "aws.retry-strategy.delay.min" },
    { "retry.delay-min=1min\nretry.delay-max=1min", NULL },
    { HTTP "open-check=none", "open-check|conditional-writes" },
    { HTTP "open-check=bucket", "open-check|conditional-writes" },
    { HTTP "open-check=none\nconditional-writes=match", NULL },
    { "aws.endpoint=https://h.amazonaws.com.example.org\nopen-check=none",
      "open-check|conditional-writes" },
    { "open-check=none", NULL },
    { "open-check=bucket", NULL },
  };

  test_refuse(cases, TAP_COUNT(cases));
}

#define SSE "state-file-encryption=true\nsse.type="

static void
test_encryption(void)
{
  static const test_refusal cases[] = {
    { "sse.kms-key-id=k", "sse.kms-key-id|state-file-encryption" },
    { "sse.kms-context=a=b", "sse.kms-context|state-file-encryption" },
    { "sse.bucket-key=true", "sse.bucket-key|state-file-encryption" },
    { "sse.customer-key-file=@/key",
      "sse.customer-key-file|state-file-encryption" },
    { "sse.type=sse-kms", "sse.type|state-file-encryption" },
    { "state-file-encryption=true", NULL },
    { SSE "sse-s3\nsse.kms-key-id=k", "sse.kms-key-id|sse.type|sse-kms" },
    { SSE "sse-s3\nsse.kms-context=a=b", "sse.kms-context|sse.type" },
    { SSE "sse-s3\nsse.bucket-key=true", "sse.bucket-key|sse.type" },
    { SSE "dsse-kms\nsse.bucket-key=true", "sse.bucket-key|sse.type" },
    { SSE "sse-kms\nsse.customer-key-file=@/key",
      "sse.customer-key-file|sse.type|sse-c" },
    { SSE "sse-c\nsse.customer-key-file=@/key\nsse.kms-key-id=k",
      "sse.kms-key-id|sse.type" },
    { SSE "sse-c\nsse.customer-key-file=@/key\nsse.bucket-key=true",
      "sse.bucket-key|sse.type" },
    { SSE "sse-kms", NULL },
    { SSE "sse-kms\nsse.kms-key-id=arn:aws:kms:eu-west-1:123:key/1-2", NULL },
    { SSE "sse-kms\nsse.kms-key-id=a b", "sse.kms-key-id" },
    { SSE "dsse-kms\nsse.kms-key-id=k\nsse.kms-context=a=b", NULL },
    { SSE "sse-kms\naws.endpoint=http://s3.eu-west-1.amazonaws.com",
      "sse.type|aws.endpoint" },
    { HTTP SSE "sse-kms", NULL },
    { SSE "sse-kms\nsse.kms-context=a", "NAME=VALUE" },
    { SSE "sse-kms\nsse.kms-context==a", "NAME=VALUE" },
    { SSE "sse-kms\nsse.kms-context=a=b,a=c", "twice" },
    { SSE "sse-kms\nsse.kms-context=a=\xff", "UTF-8" },
    { SSE "sse-c", "sse.customer-key-file|sse.type" },
    { SSE "sse-c\nsse.customer-key-file=@/none", "No such file" },
    { SSE "sse-c\nsse.customer-key-file=@/", "directory" },
    { SSE "sse-c\nsse.customer-key-file=@/short", "31 bytes|32 bytes" },
    { SSE "sse-c\nsse.customer-key-file=@/long", "at least 1024 bytes" },
    { SSE "sse-c\nsse.customer-key-file=@/bad", "base64" },
    { SSE "sse-c\nsse.customer-key-file=@/empty", "0 bytes" },
    { SSE "sse-c\nsse.customer-key-file=@/key", NULL },
    { SSE "sse-c\nsse.customer-key-file=@/base64", NULL },
    { HTTP SSE "sse-c\nsse.customer-key-file=@/key", NULL },
    { SSE "sse-c\nsse.customer-key-file=@/key\n"
      "aws.endpoint=http://s3.localhost:80", NULL },
    { SSE "sse-c\nsse.customer-key-file=@/key\naws.endpoint=http://h",
      "sse.type|aws.endpoint|https" },
    { SSE "sse-c\nsse.customer-key-file=@/key\n"
      "aws.endpoint=http://notlocalhost", "sse.type|aws.endpoint" },
  };

  test_refuse(cases, TAP_COUNT(cases));
}

static void
test_objects(void)
{
  static const test_refusal cases[] = {
    { "storage-class=GLACIER", "cannot be read at once" },
    { "storage-class=DEEP_ARCHIVE", "cannot be read at once" },
    { "storage-class=GLACIER_IR", NULL },
    { "storage-class=EXPRESS_ONEZONE", "general purpose" },
    { "storage-class=a b", "storage class" },
    { HTTP "storage-class=custom-1", NULL },
    { "expected-bucket-owner=12345678901", "12 digits" },
    { "expected-bucket-owner=1234567890123", "12 digits" },
    { "expected-bucket-owner=12345678901a", "12 digits" },
    { "expected-bucket-owner=123456789012", NULL },
    { "acl=public-read\nrequester-pays=true", NULL },
    { "tags=a", "NAME=VALUE" },
    { "tags=a=b,a=c", "twice" },
    { "tags=aws:x=b", "belong to Amazon" },
    { "tags=a=b\"", "letters, digits" },
    { "tags=a=1,b=,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10", NULL },
    { "tags=a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9,j=10,k=11", "at most 10" },
  };
  char line[512];
  test_refusal r = { line, NULL };

  test_refuse(cases, TAP_COUNT(cases));
  (void)snprintf(line, sizeof line, "tags=%0128d=%0256d", 0, 0);
  test_refuse_by("s3", &r);
  r.text = "128";
  (void)snprintf(line, sizeof line, "tags=%0129d=%0256d", 0, 0);
  test_refuse_by("s3", &r);
  r.text = "256";
  (void)snprintf(line, sizeof line, "tags=%0128d=%0257d", 0, 0);
  test_refuse_by("s3", &r);
}

static void
test_minio(void)
{
  static const test_refusal empty = { "aws.endpoint=", "aws.endpoint|s3" };
  static const test_refusal plain = { "base-path=a", NULL };
  sb_config *config = test_config_of("minio", "");
  s3_settings *s = NULL;
  sb_error err;

  CU_ASSERT_EQUAL_FATAL(test_open(config, "minio", &s, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(s->endpoint, "http://127.0.0.1:9000");
  CU_ASSERT_STRING_EQUAL(s->region, "us-east-1");
  CU_ASSERT_STRING_EQUAL(s->bucket, "state");
  CU_ASSERT_EQUAL(s->path_style, 1);
  CU_ASSERT_EQUAL(s->idle_ms, 50000);
  s3_settings_close(s);
  sb_config_free(config);
  test_refuse_by("minio", &empty);
  test_refuse_by("minio", &plain);
}

/* ---- values ------------------------------------------------------------- */

#define FIELD(f) offsetof(s3_settings, f)

typedef enum test_type { TYPE_INT, TYPE_U32, TYPE_U64, TYPE_TEXT } test_type;

typedef struct test_value {
  const char *lines;
  test_type type;
  size_t offset;
  uint64_t number;
  const char *text;
} test_value;

static int
test_is(const s3_settings *s, const test_value *v)
{
  const char *p = (const char *)s + v->offset;
  const char *text;

  switch (v->type) {
  case TYPE_INT:
    return *(const int *)p == (int)v->number;
  case TYPE_U32:
    return *(const uint32_t *)p == v->number;
  case TYPE_U64:
    return *(const uint64_t *)p == v->number;
  default:
    text = *(char *const *)p;
    return v->text == NULL ? text == NULL
                           : text != NULL && strcmp(text, v->text) == 0;
  }
}

static void
test_values_are(const test_value *values, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++) {
    sb_config *config = test_config_of("s3", values[i].lines);
    s3_settings *s = NULL;
    sb_error err;

    if (test_open(config, "s3", &s, &err) != SB_OK) {
      CU_FAIL("refused");
      tap_note("%s: %s", values[i].lines, err.message);
    } else if (!test_is(s, &values[i])) {
      CU_FAIL("a field has another value");
      tap_note("%s", values[i].lines);
    }
    s3_settings_close(s);
    sb_config_free(config);
  }
}

static void
test_numbers(void)
{
  static const test_value values[] = {
    { "", TYPE_U64, FIELD(part_size), 8 << 20, NULL },
    { "state-file-part-size=5mb", TYPE_U64, FIELD(part_size), 5 << 20, NULL },
    { "", TYPE_U64, FIELD(multipart_threshold), 16 << 20, NULL },
    { "multipart-threshold=9mb", TYPE_U64, FIELD(multipart_threshold), 9 << 20,
      NULL },
    { "state-file-part-size=64mb", TYPE_U64, FIELD(multipart_threshold),
      64 << 20, NULL },
    { "", TYPE_U64, FIELD(upload_memory), 24 << 20, NULL },
    { "upload-memory=16mb", TYPE_U64, FIELD(upload_memory), 16 << 20, NULL },
    { "state-file-part-size=64mb", TYPE_U64, FIELD(upload_memory), 64 << 20,
      NULL },
    { "", TYPE_U32, FIELD(upload_parallelism), 5, NULL },
    { "upload-parallelism=7", TYPE_U32, FIELD(upload_parallelism), 7, NULL },
    { "", TYPE_U32, FIELD(connections_max), 64, NULL },
    { "max-connections=3", TYPE_U32, FIELD(connections_max), 3, NULL },
    { "max-connections=3\naws.http-client.max-concurrency=9", TYPE_U32,
      FIELD(connections_max), 9, NULL },
    { "aws.http-client.max-concurrency=10000", TYPE_U32,
      FIELD(connections_max), 1000, NULL },
    { "", TYPE_U64, FIELD(idle_ms), 4000, NULL },
    { HTTP, TYPE_U64, FIELD(idle_ms), 50000, NULL },
    { "aws.endpoint=https://s3.eu-west-1.amazonaws.com", TYPE_U64,
      FIELD(idle_ms), 4000, NULL },
    { "connection-idle-time=7s", TYPE_U64, FIELD(idle_ms), 7000, NULL },
    { "connection-lifetime=9s", TYPE_U64, FIELD(lifetime_ms), 9000, NULL },
    { "connect-timeout=1s", TYPE_U64, FIELD(connect_ms), 1000, NULL },
    { "first-byte-timeout=2s", TYPE_U64, FIELD(first_byte_ms), 2000, NULL },
    { "stall-timeout=4s", TYPE_U64, FIELD(stall_ms), 4000, NULL },
    { "stall-timeout=4s\naws.http-client.read-timeout=5s", TYPE_U64,
      FIELD(stall_ms), 5000, NULL },
    { "request-timeout=6s", TYPE_U64, FIELD(request_ms), 6000, NULL },
    { "", TYPE_U32, FIELD(attempts_max), 10, NULL },
    { "retry.attempts=4", TYPE_U32, FIELD(attempts_max), 4, NULL },
    { "retry.attempts=4\naws.retry-strategy.attempts.max=500", TYPE_U32,
      FIELD(attempts_max), 500, NULL },
    { "retry.delay-min=3ms", TYPE_U64, FIELD(delay_min_ms), 3, NULL },
    { "aws.retry-strategy.delay.min=4ms", TYPE_U64, FIELD(delay_min_ms), 4,
      NULL },
    { "retry.delay-max=3s", TYPE_U64, FIELD(delay_max_ms), 3000, NULL },
    { "retry.delay-max=3s\naws.retry-strategy.delay.max=1h", TYPE_U64,
      FIELD(delay_max_ms), 3600000, NULL },
    { "retry.throttle-delay-min=9ms", TYPE_U64, FIELD(throttle_delay_min_ms),
      9, NULL },
    { "retry.delay-max=100ms", TYPE_U64, FIELD(throttle_delay_min_ms), 100,
      NULL },
    { "", TYPE_U32, FIELD(retry_tokens), 0, NULL },
    { "retry.tokens=500", TYPE_U32, FIELD(retry_tokens), 500, NULL },
    { "limit.requests=70", TYPE_U64, FIELD(requests_per_second), 70, NULL },
    { "limit.upload=1mb", TYPE_U64, FIELD(upload_per_second), 1 << 20, NULL },
    { "limit.download=2mb", TYPE_U64, FIELD(download_per_second), 2 << 20,
      NULL },
    { "", TYPE_U64, FIELD(price_put), 5000, NULL },
    { "", TYPE_U64, FIELD(price_get), 400, NULL },
    { "price.put=0.0054", TYPE_U64, FIELD(price_put), 5400, NULL },
    { "price.get=0", TYPE_U64, FIELD(price_get), 0, NULL },
    { "price.get=0.0000005", TYPE_U64, FIELD(price_get), 1, NULL },
  };

  test_values_are(values, TAP_COUNT(values));
}

static void
test_choices(void)
{
  static const test_value values[] = {
    { "", TYPE_INT, FIELD(path_style), 0, NULL },
    { HTTP, TYPE_INT, FIELD(path_style), 1, NULL },
    { "path-style-access=true", TYPE_INT, FIELD(path_style), 1, NULL },
    { "transfer-acceleration=true", TYPE_INT, FIELD(accelerate), 1, NULL },
    { "dualstack=true", TYPE_INT, FIELD(dualstack), 1, NULL },
    { "fips=true", TYPE_INT, FIELD(fips), 1, NULL },
    { "", TYPE_INT, FIELD(checksum), S3_CHECKSUM_AUTO, NULL },
    { "checksum=crc32c", TYPE_INT, FIELD(checksum), S3_CHECKSUM_CRC32C, NULL },
    { "checksum=md5", TYPE_INT, FIELD(checksum), S3_CHECKSUM_MD5, NULL },
    { "checksum=none", TYPE_INT, FIELD(checksum), S3_CHECKSUM_NONE, NULL },
    { "payload-signing=signed", TYPE_INT, FIELD(signing), S3_SIGNING_SIGNED,
      NULL },
    { "payload-signing=unsigned", TYPE_INT, FIELD(signing),
      S3_SIGNING_UNSIGNED, NULL },
    { "", TYPE_INT, FIELD(sse), S3_SSE_NONE, NULL },
    { "state-file-encryption=true", TYPE_INT, FIELD(sse), S3_SSE_S3, NULL },
    { SSE "sse-kms", TYPE_INT, FIELD(sse), S3_SSE_KMS, NULL },
    { SSE "dsse-kms", TYPE_INT, FIELD(sse), S3_SSE_DSSE, NULL },
    { SSE "sse-c\nsse.customer-key-file=@/key", TYPE_INT, FIELD(sse),
      S3_SSE_CUSTOMER, NULL },
    { SSE "sse-kms\nsse.bucket-key=true", TYPE_INT, FIELD(bucket_key), 1,
      NULL },
    { "requester-pays=true", TYPE_INT, FIELD(requester_pays), 1, NULL },
    { "", TYPE_INT, FIELD(tls_verify), 1, NULL },
    { "tls.verify=false", TYPE_INT, FIELD(tls_verify), 0, NULL },
    { "aws.trust.all.certificates=true", TYPE_INT, FIELD(tls_verify), 0,
      NULL },
    { "", TYPE_INT, FIELD(http2), 0, NULL },
    { "aws.http.protocol.version=HTTP2", TYPE_INT, FIELD(http2), 1, NULL },
    { "", TYPE_INT, FIELD(open_check), S3_OPEN_CHECK_AUTO, NULL },
    { "open-check=full", TYPE_INT, FIELD(open_check), S3_OPEN_CHECK_FULL,
      NULL },
    { "open-check=bucket", TYPE_INT, FIELD(open_check), S3_OPEN_CHECK_BUCKET,
      NULL },
    { "open-check=none", TYPE_INT, FIELD(open_check), S3_OPEN_CHECK_NONE,
      NULL },
    { "", TYPE_INT, FIELD(conditional), S3_CONDITIONAL_AUTO, NULL },
    { "conditional-writes=match", TYPE_INT, FIELD(conditional),
      S3_CONDITIONAL_MATCH, NULL },
    { "conditional-writes=create", TYPE_INT, FIELD(conditional),
      S3_CONDITIONAL_CREATE, NULL },
  };

  test_values_are(values, TAP_COUNT(values));
}

static void
test_strings(void)
{
  static const test_value values[] = {
    { "bucket=my-bucket", TYPE_TEXT, FIELD(bucket), 0, "my-bucket" },
    { "", TYPE_TEXT, FIELD(region), 0, NULL },
    { "aws.region=", TYPE_TEXT, FIELD(region), 0, NULL },
    { "aws.region=eu-west-3", TYPE_TEXT, FIELD(region), 0, "eu-west-3" },
    { "", TYPE_TEXT, FIELD(endpoint), 0, NULL },
    { "aws.endpoint=HTTP://Example.org:80/", TYPE_TEXT, FIELD(endpoint), 0,
      "http://example.org:80" },
    { SSE "sse-kms\nsse.kms-key-id=alias/x", TYPE_TEXT, FIELD(kms_key_id), 0,
      "alias/x" },
    /* {"a":"1","b":"x=y"} */
    { SSE "sse-kms\nsse.kms-context=b=x=y,a=1", TYPE_TEXT, FIELD(kms_context),
      0, "eyJhIjoiMSIsImIiOiJ4PXkifQ==" },
    { SSE "sse-kms", TYPE_TEXT, FIELD(kms_context), 0, NULL },
    { SSE "sse-c\nsse.customer-key-file=@/key", TYPE_TEXT, FIELD(customer_key),
      0, KEY_BASE64 },
    { SSE "sse-c\nsse.customer-key-file=@/base64", TYPE_TEXT,
      FIELD(customer_key), 0, KEY_BASE64 },
    { SSE "sse-c\nsse.customer-key-file=@/key", TYPE_TEXT,
      FIELD(customer_key_md5), 0, "hRasmdxgYDKV3nvbahU1MA==" },
    { "storage-class=STANDARD_IA", TYPE_TEXT, FIELD(storage_class), 0,
      "STANDARD_IA" },
    { "acl=bucket-owner-full-control", TYPE_TEXT, FIELD(acl), 0,
      "bucket-owner-full-control" },
    { "tags=team=a b,cost:x=1+1/2=3", TYPE_TEXT, FIELD(tags), 0,
      "team=a%20b&cost%3Ax=1%2B1%2F2%3D3" },
    { "tags=n\xc3\xa4me=", TYPE_TEXT, FIELD(tags), 0, "n%C3%A4me=" },
    { "", TYPE_TEXT, FIELD(tags), 0, NULL },
    { "expected-bucket-owner=123456789012", TYPE_TEXT, FIELD(bucket_owner), 0,
      "123456789012" },
    { "proxy.url=http://p:1", TYPE_TEXT, FIELD(proxy_url), 0, "http://p:1" },
    { "proxy.url=http://p:1\nproxy.user=u", TYPE_TEXT, FIELD(proxy_user), 0,
      "u" },
    { "proxy.url=http://p:1\nproxy.user=u\nproxy.password=" SECRET, TYPE_TEXT,
      FIELD(proxy_password), 0, SECRET },
    { "proxy.url=http://p:1\nproxy.bypass=a; b", TYPE_TEXT,
      FIELD(proxy_bypass), 0, "a,b" },
  };

  test_values_are(values, TAP_COUNT(values));
}

/* The path has the name of a directory that is made at run time. */
static void
test_ca_file(void)
{
  sb_config *config = test_config_of("s3", HTTPS "tls.ca-file=@/key");
  s3_settings *s = NULL;
  char path[64];
  sb_error err;

  (void)snprintf(path, sizeof path, "%s/key", test_dir);
  CU_ASSERT_EQUAL_FATAL(test_open(config, "s3", &s, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(s->ca_file, path);
  s3_settings_close(s);
  sb_config_free(config);
}

/* ---- memory ------------------------------------------------------------- */

static void
test_memory(void)
{
  sb_config *config = test_config_of(
    "s3", "aws.region=eu-west-1\ntags=a=b,c=d\nproxy.url=http://p:1\n" SSE
    "sse-c\nsse.customer-key-file=@/base64\n" HTTPS);
  s3_settings *s = NULL;
  sb_error err;
  faulty_host faulty;
  sb_status status = SB_NO_MEMORY;
  long at;

  for (at = 1; status == SB_NO_MEMORY && at < 1000; at++) {
    faulty_host_init(&faulty, at);
    status = s3_settings_open(&faulty.host, config, PREFIX, "s3", &s, &err);
    s3_settings_close(s);
    s = NULL;
    CU_ASSERT_EQUAL(faulty.live, 0);
  }
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT(at > 10);
  sb_config_free(config);
}

/* ---- the program -------------------------------------------------------- */

static void
test_file(const char *name, const char *text, size_t len)
{
  char path[96];
  FILE *file;

  (void)snprintf(path, sizeof path, "%s/%s", test_dir, name);
  file = fopen(path, "w");
  if (file == NULL || fwrite(text, 1, len, file) != len || fclose(file) != 0)
    exit(1);
  (void)chmod(path, 0600);
}

static void
test_clean(void)
{
  static const char *const names[] = { "key", "base64", "short", "long",
                                       "bad", "empty" };
  char path[96];
  size_t i;

  for (i = 0; i < TAP_COUNT(names); i++) {
    (void)snprintf(path, sizeof path, "%s/%s", test_dir, names[i]);
    (void)unlink(path);
  }
  (void)rmdir(test_dir);
}

static const tap_case test_refusals[] = {
  { "endpoint", test_endpoints },     { "bucket", test_buckets },
  { "transport", test_transport },    { "encryption", test_encryption },
  { "objects", test_objects },        { "minio", test_minio },
};

static const tap_case test_fields[] = {
  { "numbers", test_numbers }, { "choices", test_choices },
  { "strings", test_strings }, { "ca_file", test_ca_file },
  { "memory", test_memory },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "refusals", test_refusals, TAP_COUNT(test_refusals) },
    { "fields", test_fields, TAP_COUNT(test_fields) },
  };
  char big[2048];
  int status;

  if (mkdtemp(test_dir) == NULL)
    return 1;
  memset(big, 'A', sizeof big);
  test_file("key", KEY_RAW, 32);
  test_file("base64", "\n " KEY_BASE64 "\r\n", strlen(KEY_BASE64) + 4);
  test_file("short", KEY_RAW, 31);
  test_file("long", big, sizeof big);
  test_file("bad", "!!" KEY_BASE64, strlen(KEY_BASE64) + 2);
  test_file("empty", "", 0);
  status = tap_main(argc, argv, suites, TAP_COUNT(suites));
  test_clean();
  return status;
}
