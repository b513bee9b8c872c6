/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check on opening. Goal: each trouble is named with its cure, what the
 * server honours is found out and never guessed, and nothing is left behind.
 * Method: the scripted server does wrong in one way at a time; certificates
 * are made on the spot.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "plugins/s3/s3.h"
#include "tests/s3_server.h"
#include "tests/tap.h"

#define PREFIX "state.backend.s3."
#define ROLE "aws.credentials.provider.role."
#define ALL (SB_STORE_CREATE | SB_STORE_MATCH | SB_STORE_COPY |               \
             SB_STORE_COPY_FOREIGN)

static char test_dir[] = "/tmp/sb-s3-check-XXXXXX";

/* ---- a host that keeps what is logged ----------------------------------- */

static struct {
  pthread_mutex_t lock;
  char text[8192];
  sb_host host;
} test_log = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
test_keep_log(const sb_host *host, uint32_t level, const char *component,
              const char *text)
{
  size_t len;

  (void)host;
  pthread_mutex_lock(&test_log.lock);
  len = strlen(test_log.text);
  (void)snprintf(test_log.text + len, sizeof test_log.text - len,
                 "%u %s: %s\n", level, component, text);
  pthread_mutex_unlock(&test_log.lock);
}

static const sb_host *
test_host(void)
{
  test_log.host = *sb_host_default();
  test_log.host.log = test_keep_log;
  return &test_log.host;
}

/* ---- one opening -------------------------------------------------------- */

typedef struct test_try {
  sb_status status;
  uint32_t flags;
  char message[512];
} test_try;

static void
test_set(sb_config *config, const char *key, const char *value)
{
  char whole[128];

  (void)snprintf(whole, sizeof whole, "%s%s",
                 strncmp(key, "aws.", 4) == 0 ||
                     strcmp(key, "state.backend") == 0
                   ? "" : PREFIX, key);
  CU_ASSERT_EQUAL_FATAL(sb_config_set(config, whole, value, "test", NULL),
                        SB_OK);
}

/* "KEY=VALUE" lines over what a test needs as a rule. */
static sb_config *
test_config(const char *url, const char *lines)
{
  sb_config *config = NULL;
  char key[128], value[256];
  sb_error err = { .message = "" };

  CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, NULL), SB_OK);
  test_set(config, "state.backend", "s3");
  test_set(config, "bucket", S3_TEST_BUCKET);
  test_set(config, "base-path", "a b/c");
  test_set(config, "aws.endpoint", url);
  test_set(config, "retry.delay-max", "60ms");
  test_set(config, "first-byte-timeout", "2s");
  test_set(config, "aws.credentials.provider.basic.accesskeyid",
           S3_TEST_ACCESS);
  test_set(config, "aws.credentials.provider.basic.secretkey",
           S3_TEST_SECRET);
  while (*lines != '\0') {
    size_t len = strcspn(lines, "\n");
    const char *equals = strchr(lines, '=');

    (void)snprintf(key, sizeof key, "%.*s", (int)(equals - lines), lines);
    (void)snprintf(value, sizeof value, "%.*s",
                   (int)(lines + len - equals - 1), equals + 1);
    test_set(config, key, value);
    lines += len + (lines[len] == '\n');
  }
  CU_ASSERT_EQUAL_FATAL(sb_config_check(config, &err), SB_OK);
  return config;
}

static void
test_open(const char *url, const char *lines, test_try *t)
{
  sb_config *config = test_config(url, lines);
  s3_store *store = NULL;
  sb_error err = { .message = "" };

  test_log.text[0] = '\0';
  memset(t, 0, sizeof *t);
  t->status = s3_store_open(test_host(), config, PREFIX, "s3", &store, &err);
  if (t->status == SB_OK) {
    t->status = s3_check(store, &err);
    t->flags = store->info.flags;
    s3_store_close(&store->base);
  }
  (void)snprintf(t->message, sizeof t->message, "%s", err.message);
  CU_ASSERT_PTR_NULL(strstr(t->message, "SECRETsecret"));
  CU_ASSERT_PTR_NULL(strstr(test_log.text, "SECRETsecret"));
  CU_ASSERT_PTR_NULL(strstr(t->message, S3_TEST_ACCESS));
  sb_config_free(config);
}

static void
test_texts(const char *where, const char *texts)
{
  char text[128];

  while (*texts != '\0') {
    size_t len = strcspn(texts, "|");

    (void)snprintf(text, sizeof text, "%.*s", (int)len, texts);
    if (strstr(where, text) == NULL) {
      CU_FAIL("a text is missing");
      tap_note("no \"%s\" in: %s", text, where);
    }
    texts += len + (texts[len] == '|');
  }
}

/* Opens and expects a status, and texts in the message. */
static void
test_expect(const char *url, const char *lines, sb_status status,
            const char *texts)
{
  test_try t;

  test_open(url, lines, &t);
  if (t.status != status) {
    CU_FAIL("another status");
    tap_note("%s, not %s: %s", sb_status_name(t.status),
             sb_status_name(status), t.message);
  }
  test_texts(t.message, texts);
}

static s3_server *
test_server(const s3_server_options *options)
{
  s3_server *server = s3_server_start(options);

  CU_ASSERT_PTR_NOT_NULL_FATAL(server);
  return server;
}

static void
test_rule(s3_server *server, const char *rule)
{
  const char *why = NULL;

  if (s3_server_fault(server, rule, &why) != 0) {
    CU_FAIL("the server does not take a rule");
    tap_note("%s: %s", rule, why);
  }
}

/* One way of doing wrong, with a server of its own. */
typedef struct test_wrong {
  const char *rules;         /* lines; NULL: none */
  const char *lines;
  sb_status status;
  const char *texts;
} test_wrong;

static void
test_rules(s3_server *server, const char *rules)
{
  char rule[256];

  while (rules != NULL && *rules != '\0') {
    size_t len = strcspn(rules, "\n");

    (void)snprintf(rule, sizeof rule, "%.*s", (int)len, rules);
    test_rule(server, rule);
    rules += len + (rules[len] == '\n');
  }
}

static void
test_all_wrong(const test_wrong *cases, size_t count)
{
  s3_server *server = test_server(NULL);
  size_t i;

  for (i = 0; i < count; i++) {
    test_rules(server, cases[i].rules);
    test_expect(s3_server_url(server), cases[i].lines, cases[i].status,
                cases[i].texts);
    s3_server_mend(server);
    CU_ASSERT_EQUAL(s3_server_objects(server, S3_TEST_BUCKET), 0);
  }
  s3_server_stop(server);
}

/* ---- what servers honour ------------------------------------------------ */

static void
test_flags(s3_server *server, const char *rules, const char *lines,
           uint32_t flags)
{
  test_try t;

  test_rules(server, rules);
  test_open(s3_server_url(server), lines, &t);
  if (t.status != SB_OK || t.flags != flags) {
    CU_FAIL("other flags");
    tap_note("%s: %s %x: %s", rules == NULL ? lines : rules,
             sb_status_name(t.status), t.flags, t.message);
  }
  s3_server_mend(server);
  CU_ASSERT_EQUAL(s3_server_objects(server, S3_TEST_BUCKET), 0);
}

static void
test_honoured(void)
{
  s3_server *server = test_server(NULL);

  test_flags(server, NULL, "", ALL);
  CU_ASSERT_EQUAL(s3_server_seen(server, "put"), 4);
  CU_ASSERT_EQUAL(s3_server_seen(server, NULL), 8);
  s3_server_forget(server);
  test_flags(server, NULL, "conditional-writes=create",
             ALL & ~SB_STORE_MATCH);
  CU_ASSERT_EQUAL(s3_server_seen(server, "put"), 2);
  test_flags(server, NULL, "base-path=", ALL);
  test_flags(server, NULL, "conditional-writes=match", ALL);
  /* A server that refuses each match. */
  test_flags(server, "put nth=3 count=0 status=412 code=PreconditionFailed",
             "", ALL & ~SB_STORE_MATCH);
  test_texts(test_log.text, "20 s3: |If-Match|numbered");
  test_flags(server, "put nth=3 count=1 status=501 code=NotImplemented", "",
             ALL & ~SB_STORE_MATCH);
  /* Answers that are lost must not look like it. */
  test_flags(server, "put nth=1 apply reset", "", ALL);
  test_flags(server, "put nth=2 apply reset", "", ALL);
  test_flags(server, "put nth=3 apply reset", "", ALL);
  test_flags(server, "put nth=4 apply reset", "", ALL);
  test_flags(server, "put nth=3 apply status=503 code=SlowDown", "", ALL);
  s3_server_stop(server);
}

static void
test_not_honoured(void)
{
  static const test_wrong cases[] = {
    { "any count=0 ignore-conditions", "", SB_UNSUPPORTED,
      "If-None-Match|state|conditional writes" },
    { "put count=1 status=412 code=PreconditionFailed", "", SB_UNSUPPORTED,
      "If-None-Match" },
    { "put count=2 status=501 code=NotImplemented", "", SB_UNSUPPORTED,
      "If-None-Match" },
    { "put nth=3 count=0 status=412 code=PreconditionFailed",
      "conditional-writes=match", SB_UNSUPPORTED,
      "conditional-writes|If-Match" },
    { "put nth=3 count=0 status=503 code=SlowDown", "", SB_BUSY, "SlowDown" },
    { "put nth=2 count=0 status=500 code=InternalError", "", SB_UNAVAILABLE,
      "InternalError" },
    { "put nth=3 count=0 apply reset", "", SB_UNAVAILABLE, "" },
    { "get count=0 status=404 code=NoSuchKey", "", SB_UNSUPPORTED,
      "not there|not consistent" },
    { "list nth=2 count=0 list-key-case", "", SB_UNSUPPORTED,
      "not in its listing" },
  };

  test_all_wrong(cases, TAP_COUNT(cases));
}

static void
test_modes(void)
{
  s3_server *server = test_server(NULL);

  test_flags(server, NULL, "open-check=none\nconditional-writes=match", ALL);
  CU_ASSERT_EQUAL(s3_server_seen(server, NULL), 0);
  test_flags(server, NULL, "open-check=none\nconditional-writes=create",
             ALL & ~SB_STORE_MATCH);
  CU_ASSERT_EQUAL(s3_server_seen(server, NULL), 0);
  test_flags(server, NULL, "open-check=bucket\nconditional-writes=match", ALL);
  CU_ASSERT_EQUAL(s3_server_seen(server, NULL), 1);
  CU_ASSERT_EQUAL(s3_server_seen(server, "bucket"), 1);
  s3_server_forget(server);
  test_expect(s3_server_url(server),
              "open-check=bucket\nconditional-writes=match\nbucket=absent",
              SB_CONFIG, "absent|NoSuchBucket");
  s3_server_stop(server);
}

/* ---- who may not -------------------------------------------------------- */

static void
test_denied(void)
{
#define DENY " count=0 status=403 code=AccessDenied message=Access%20Denied\n"
  static const test_wrong cases[] = {
    { "list" DENY, "", SB_DENIED,
      "state|a b/c/|to list;|s3:ListBucket to|BASIC|AccessDenied" },
    { "get" DENY, "", SB_DENIED, "to read;|s3:GetObject to" },
    { "put" DENY, "", SB_DENIED, "to write;|s3:PutObject to" },
    { "put" DENY "get" DENY, "", SB_DENIED, "to read, write;" },
    { "put" DENY "delete" DENY, "", SB_DENIED, "to write, delete;" },
    { "any" DENY, "", SB_DENIED,
      "to list, write, delete;|or correct these: nothing is allowed" },
    { "any" DENY, "expected-bucket-owner=999988887777", SB_DENIED,
      "expected-bucket-owner" },
    { "any count=0 status=403 code=AllAccessDisabled", "", SB_DENIED,
      "to list, write, delete;|AllAccessDisabled" },
  };
  s3_server *server = test_server(NULL);

  test_all_wrong(cases, TAP_COUNT(cases));
  /* What cannot be removed is named. */
  test_rules(server, "delete" DENY);
  test_expect(s3_server_url(server), "", SB_DENIED,
              "to delete;|s3:DeleteObject to");
  test_texts(test_log.text, "30 s3: |.probe-|could not be removed");
  s3_server_stop(server);
}

static void
test_credentials(void)
{
  s3_server *server = test_server(NULL);
  const char *url = s3_server_url(server);

  test_expect(url, "aws.credentials.provider.basic.secretkey=wrong",
              SB_DENIED, "SignatureDoesNotMatch|secret key");
  test_expect(url, "aws.credentials.provider.basic.accesskeyid=AKIDNOBODY",
              SB_DENIED, "InvalidAccessKeyId|does not know the access key");
  s3_server_credentials(server, "AKIDSESSION", "secret", "token");
  s3_server_revoke(server, "AKIDSESSION", "ExpiredToken");
  test_expect(url,
              "aws.credentials.provider.basic.accesskeyid=AKIDSESSION\n"
              "aws.credentials.provider.basic.secretkey=secret\n"
              "aws.credentials.provider.basic.sessiontoken=token",
              SB_DENIED, "ExpiredToken|has expired");
  s3_server_stop(server);
}

/* ---- where -------------------------------------------------------------- */

static void
test_regions(void)
{
  static const int ways[] = { 400, 301, 307 };
  s3_server_options options = { .region = "eu-west-9" };
  size_t i;

  for (i = 0; i < TAP_COUNT(ways); i++) {
    s3_server *server = test_server(&options);
    test_try t;

    s3_server_wrong_region(server, ways[i]);
    test_open(s3_server_url(server), "", &t);
    CU_ASSERT_EQUAL(t.status, SB_OK);
    if (t.status != SB_OK)
      tap_note("%d: %s", ways[i], t.message);
    test_texts(test_log.text, "eu-west-9");
    test_open(s3_server_url(server),
              "open-check=bucket\nconditional-writes=match", &t);
    CU_ASSERT_EQUAL(t.status, SB_OK);
    s3_server_stop(server);
  }
}

static void
test_clocks(void)
{
  s3_server *server = test_server(NULL);

  s3_server_clock(server, -20 * 60 * 1000);
  test_expect(s3_server_url(server), "", SB_OK, "");
  test_texts(test_log.text, "30 s3: |clock|-1");
  s3_server_clock(server, 3 * 3600 * 1000);
  test_expect(s3_server_url(server), "", SB_OK, "");
  test_texts(test_log.text, "30 s3: |clock|10");
  s3_server_stop(server);
}

static void
test_no_bucket(void)
{
  static const test_wrong cases[] = {
    { NULL, "bucket=absent", SB_CONFIG,
      "absent|NoSuchBucket|create the bucket" },
  };

  test_all_wrong(cases, TAP_COUNT(cases));
}

/* Encryption that is asked for and not confirmed. */
static void
test_not_encrypted(void)
{
  s3_server *server = test_server(NULL);

  test_expect(s3_server_url(server), "state-file-encryption=true", SB_OK, "");
  test_rules(server, "put count=0 no-header=x-amz-server-side-encryption");
  test_expect(s3_server_url(server), "state-file-encryption=true",
              SB_UNSUPPORTED, "does not say that it encrypts");
  s3_server_stop(server);
}

/* Trouble with a token service is not cured at the store's address. */
static void
test_no_credentials(void)
{
  s3_server *server = test_server(NULL);
  test_try t;

  test_open(s3_server_url(server), "aws.credentials.provider=ASSUME_ROLE\n"
            ROLE "arn=arn:aws:iam::123456789012:role/a\n"
            ROLE "stsEndpoint=http://127.0.0.1:1\n"
            ROLE "provider=BASIC\n"
            ROLE "provider.basic.accesskeyid=AKIAELSEWHERE0000001\n"
            ROLE "provider.basic.secretkey=SECRETsecret", &t);
  CU_ASSERT_EQUAL(t.status, SB_UNAVAILABLE);
  test_texts(t.message, "no credentials from ASSUME_ROLE|127.0.0.1:1");
  CU_ASSERT_PTR_NULL(strstr(t.message, "aws.endpoint"));
  s3_server_stop(server);
}

static void
test_no_s3(void)
{
  static const test_wrong cases[] = {
    { "any count=0 status=200 html", "", SB_CONFIG,
      "no listing|no S3 server|aws.endpoint" },
    { "any count=0 status=200 empty", "", SB_CONFIG, "no S3 server" },
    { "any count=0 status=404 html", "", SB_CONFIG, "no S3 server" },
    { "any count=0 status=403 html", "", SB_DENIED, "no S3 server" },
    { "any count=0 status=400 html", "", SB_CONFIG, "https://" },
    { "connect count=0 close", "", SB_UNAVAILABLE, "no S3 server" },
    { "any count=0 bomb", "", SB_CONFIG, "no S3 server" },
    { "any count=0 status=302 header=Location:http://127.0.0.2/", "",
      SB_CONFIG, "redirects|127.0.0.2" },
  };
  s3_server *server;
  char url[64];

  test_all_wrong(cases, TAP_COUNT(cases));
  server = test_server(NULL);
  (void)snprintf(url, sizeof url, "https://127.0.0.1:%d",
                 s3_server_port(server));
  test_expect(url, "", SB_UNAVAILABLE, "TLS|http://");
  (void)snprintf(url, sizeof url, "http://127.0.0.1:%d",
                 s3_server_port(server));
  s3_server_stop(server);
  test_expect(url, "", SB_UNAVAILABLE, "nobody listens|aws.endpoint");
  test_expect("http://sb-test.invalid", "", SB_UNAVAILABLE, "resolve");
}

/* ---- TLS ---------------------------------------------------------------- */

/* A self-signed certificate for `name`, good from and to these seconds from
   now, as DIR/FILE.pem and DIR/FILE.key. */
static void
test_certificate(const char *file, const char *name, long from, long to)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  X509_NAME *subject = X509_get_subject_name(x);
  X509_EXTENSION *e;
  char path[96];
  FILE *out;

  (void)X509_set_version(x, 2);
  (void)ASN1_INTEGER_set(X509_get_serialNumber(x), from + to);
  (void)X509_gmtime_adj(X509_getm_notBefore(x), from);
  (void)X509_gmtime_adj(X509_getm_notAfter(x), to);
  (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                   (const unsigned char *)file, -1, -1, 0);
  (void)X509_set_issuer_name(x, subject);
  e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
  (void)X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  (void)X509_set_pubkey(x, key);
  CU_ASSERT_NOT_EQUAL_FATAL(X509_sign(x, key, EVP_sha256()), 0);
  (void)snprintf(path, sizeof path, "%s/%s.pem", test_dir, file);
  out = fopen(path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(out);
  (void)PEM_write_X509(out, x);
  (void)fclose(out);
  (void)snprintf(path, sizeof path, "%s/%s.key", test_dir, file);
  out = fopen(path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(out);
  (void)PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
  (void)fclose(out);
  X509_free(x);
  EVP_PKEY_free(key);
}

static void
test_tls_of(const char *file, const char *authority, sb_status status,
            const char *texts)
{
  char pem[96], key[96], lines[160] = "";
  s3_server_options options = { .certificate = pem, .key = key };
  s3_server *server;

  (void)snprintf(pem, sizeof pem, "%s/%s.pem", test_dir, file);
  (void)snprintf(key, sizeof key, "%s/%s.key", test_dir, file);
  if (authority != NULL)
    (void)snprintf(lines, sizeof lines, "tls.ca-file=%s/%s.pem", test_dir,
                   authority);
  server = test_server(&options);
  test_expect(s3_server_url(server), lines, status, texts);
  if (status != SB_OK)
    CU_ASSERT_EQUAL(s3_server_seen(server, NULL), 0);
  s3_server_stop(server);
}

static void
test_tls(void)
{
  s3_server_options options = { .certificate = NULL };
  char pem[96], key[96], url[64];
  s3_server *server;

  test_certificate("good", "IP:127.0.0.1", -3600, 3600);
  test_certificate("named", "DNS:other.example.org", -3600, 3600);
  test_certificate("old", "IP:127.0.0.1", -7200, -3600);
  test_tls_of("good", "good", SB_OK, "");
  test_tls_of("good", NULL, SB_DENIED, "self|tls.ca-file");
  test_tls_of("good", "named", SB_DENIED, "tls.ca-file");
  test_tls_of("named", "named", SB_DENIED, "another host's");
  test_tls_of("old", "old", SB_DENIED, "expired|new certificate");
  (void)snprintf(pem, sizeof pem, "%s/good.pem", test_dir);
  (void)snprintf(key, sizeof key, "%s/good.key", test_dir);
  options.certificate = pem;
  options.key = key;
  server = test_server(&options);
  test_expect(s3_server_url(server), "tls.verify=false", SB_OK, "");
  (void)snprintf(url, sizeof url, "http://127.0.0.1:%d",
                 s3_server_port(server));
  test_expect(url, "", SB_UNAVAILABLE, "");
  s3_server_stop(server);
}

/* ---- the program -------------------------------------------------------- */

static const tap_case test_conditions[] = {
  { "honoured", test_honoured },
  { "not_honoured", test_not_honoured },
  { "modes", test_modes },
};

static const tap_case test_troubles[] = {
  { "denied", test_denied },       { "credentials", test_credentials },
  { "regions", test_regions },     { "clocks", test_clocks },
  { "no_bucket", test_no_bucket }, { "no_s3", test_no_s3 },
  { "tls", test_tls },             { "not_encrypted", test_not_encrypted },
  { "no_credentials", test_no_credentials },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "conditions", test_conditions, TAP_COUNT(test_conditions) },
    { "troubles", test_troubles, TAP_COUNT(test_troubles) },
  };
  static const char *const files[] = { "good", "named", "old" };
  char path[96];
  size_t i;
  int status;

  if (mkdtemp(test_dir) == NULL)
    return 1;
  status = tap_main(argc, argv, suites, TAP_COUNT(suites));
  for (i = 0; i < TAP_COUNT(files); i++) {
    (void)snprintf(path, sizeof path, "%s/%s.pem", test_dir, files[i]);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/%s.key", test_dir, files[i]);
    (void)unlink(path);
  }
  (void)rmdir(test_dir);
  return status;
}
