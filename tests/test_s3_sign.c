/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures. Goal: servers agree with every one of them. Method: Amazon's
 * test suite for Signature Version 4 in both modes, the worked examples of the
 * S3 documentation, and an HMAC made independently where there is no vector.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "plugins/s3/digest.h"
#include "plugins/s3/sign.h"
#include "plugins/s3/xml.h"
#include "tests/fake_host.h"
#include "tests/tap.h"

#define SUITE_HEADERS 16
#define SUITE_CASES 38

#define EXAMPLE_KEY "AKIAIOSFODNN7EXAMPLE"
#define EXAMPLE_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EXAMPLE_MS UINT64_C(1369353600000) /* 2013-05-24 */
#define EXAMPLE_HOST "examplebucket.s3.amazonaws.com"

/* ---- helpers ------------------------------------------------------------ */

static s3_credentials
credentials_of(const char *access, const char *secret, const char *token)
{
  s3_credentials c = { .serial = 1 };

  c.access_key = (char *)(uintptr_t)access;
  c.secret_key = (char *)(uintptr_t)secret;
  c.session_token = (char *)(uintptr_t)token;
  return c;
}

static s3_sign_request
request_of(const char *method, const char *path, const char *query,
           const s3_header *headers, size_t count)
{
  s3_sign_request r = { .method = method, .path = path, .query = query,
                        .headers = headers, .header_count = count,
                        .payload = S3_EMPTY_SHA256, .region = "us-east-1",
                        .service = "s3", .time_ms = EXAMPLE_MS };

  return r;
}

static const char *
signature_in(const char *text)
{
  const char *at = strstr(text, "Signature=");

  return at == NULL ? "" : at + strlen("Signature=");
}

/* The hash that the string to sign ends with. */
static const char *
canonical_hash(const s3_signer *signer)
{
  const char *last = strrchr(s3_signer_string_to_sign(signer), '\n');

  return last == NULL ? "" : last + 1;
}

/* ---- Amazon's suite ----------------------------------------------------- */

typedef struct suite_case {
  fake_host *fake;
  s3_signer *signer;
  char dir[512];
  const char *name;
  char *context_text, *request_text;
  json_t *context;
  s3_sign_request request;
  s3_header headers[SUITE_HEADERS];
  char payload[S3_SHA256_HEX];
  s3_credentials credentials;
} suite_case;

static int
suite_dir(char *dir, size_t size)
{
  const char *data = getenv("SB_SHARED_DATA");
  const char *top = getenv("top_srcdir");
  DIR *opened;

  if (data != NULL)
    (void)snprintf(dir, size, "%s/aws-signing-test-suite/v4", data);
  else
    (void)snprintf(dir, size, "%s/../shared/data/aws-signing-test-suite/v4",
                   top == NULL ? ".." : top);
  opened = opendir(dir);
  if (opened != NULL)
    closedir(opened);
  return opened != NULL;
}

/* The file without line feeds at its end, or NULL. */
static char *
suite_read(const suite_case *c, const char *file)
{
  char path[1024];
  char *text = NULL;
  FILE *stream;

  (void)snprintf(path, sizeof path, "%s/%s/%s", c->dir, c->name, file);
  stream = fopen(path, "rb");
  if (stream == NULL)
    return NULL;
  text = calloc(1, 65536);
  if (text != NULL) {
    size_t len = fread(text, 1, 65535, stream);

    while (len > 0 && text[len - 1] == '\n')
      text[--len] = '\0';
  }
  fclose(stream);
  return text;
}

static const char *
suite_text(const suite_case *c, const char *key)
{
  return json_string_value(json_object_get(c->context, key));
}

/* Cuts "Name:value" lines out of the text; lines that begin with a space go on
   with the value before. Returns the body. */
static char *
suite_headers(suite_case *c, char *at)
{
  while (at != NULL && *at != '\0') {
    char *end = at;
    char *colon = strchr(at, ':');
    char *p;

    if (*at == '\n')
      return at + 1;
    do {
      end = strchr(end + 1, '\n');
    } while (end != NULL && (end[1] == ' ' || end[1] == '\t'));
    CU_ASSERT_FATAL(colon != NULL &&
                    c->request.header_count < SUITE_HEADERS);
    *colon = '\0';
    for (p = at; *p != '\0'; p++)
      *p = (char)tolower((unsigned char)*p);
    c->headers[c->request.header_count].name = at;
    c->headers[c->request.header_count++].value = colon + 1;
    if (end == NULL)
      break;
    *end = '\0';
    at = end + 1;
  }
  return NULL;
}

static void
suite_parse_request(suite_case *c)
{
  char *line = c->request_text;
  char *rest = strchr(line, '\n');
  char *target = strchr(line, ' ');
  char *version, *query, *body;
  sb_slice slice = { "", 0 };
  s3_body all = { &slice, 1, 0, 0 };

  CU_ASSERT_FATAL(rest != NULL && target != NULL);
  *rest++ = '\0';
  *target++ = '\0';
  version = strrchr(target, ' ');
  CU_ASSERT_PTR_NOT_NULL_FATAL(version);
  *version = '\0';
  query = strchr(target, '?');
  if (query != NULL)
    *query++ = '\0';
  c->request.method = line;
  c->request.path = target;
  c->request.query = query;
  c->request.headers = c->headers;
  body = suite_headers(c, rest);
  if (body != NULL)
    slice = (sb_slice){ body, strlen(body) };
  all.length = slice.len;
  CU_ASSERT_EQUAL(s3_sha256_hex(&all, c->payload), 0);
  c->request.payload = c->payload;
}

static int
suite_open(suite_case *c, const char *name)
{
  json_t *credentials;

  c->name = name;
  memset(&c->request, 0, sizeof c->request);
  c->context_text = suite_read(c, "context.json");
  c->request_text = suite_read(c, "request.txt");
  if (c->context_text == NULL || c->request_text == NULL)
    return 0;
  c->context = json_loads(c->context_text, 0, NULL);
  if (c->context == NULL)
    return 0;
  suite_parse_request(c);
  credentials = json_object_get(c->context, "credentials");
  c->credentials = credentials_of(
    json_string_value(json_object_get(credentials, "access_key_id")),
    json_string_value(json_object_get(credentials, "secret_access_key")),
    json_string_value(json_object_get(credentials, "token")));
  c->request.region = suite_text(c, "region");
  c->request.service = suite_text(c, "service");
  c->request.time_ms = s3_time_parse(suite_text(c, "timestamp"));
  c->request.flags = S3_SIGN_ENCODE_PATH;
  if (json_is_true(json_object_get(c->context, "normalize")))
    c->request.flags |= S3_SIGN_NORMALIZE_PATH;
  if (!json_is_true(json_object_get(c->context, "sign_body")))
    c->request.flags |= S3_SIGN_NO_CONTENT_HEADER;
  if (json_is_true(json_object_get(c->context, "omit_session_token")))
    c->request.flags |= S3_SIGN_OMIT_TOKEN;
  return 1;
}

static void
suite_close(suite_case *c)
{
  json_decref(c->context);
  free(c->context_text);
  free(c->request_text);
  c->context = NULL;
  c->context_text = c->request_text = NULL;
}

/* 1 if the file holds `got`. */
static int
suite_same(const suite_case *c, const char *mode, const char *what,
           const char *got)
{
  char file[64];
  char *want;
  int same;

  (void)snprintf(file, sizeof file, "%s-%s.txt", mode, what);
  want = suite_read(c, file);
  same = want != NULL && strcmp(want, got) == 0;
  if (!same)
    tap_note("%s/%s\n%s\nand not\n%s", c->name, file, got,
             want == NULL ? "(missing)" : want);
  free(want);
  return same;
}

static int
suite_compare(const suite_case *c, const char *mode, const char *signature)
{
  return suite_same(c, mode, "canonical-request",
                    s3_signer_canonical(c->signer)) &&
         suite_same(c, mode, "string-to-sign",
                    s3_signer_string_to_sign(c->signer)) &&
         suite_same(c, mode, "signature", signature);
}

/* The header as a whole, as it stands in the signed request. */
static int
suite_authorization(const suite_case *c, const char *authorization)
{
  char *signed_request = suite_read(c, "header-signed-request.txt");
  char *at = signed_request == NULL ? NULL
                                    : strstr(signed_request, "Authorization:");
  size_t len = strlen(authorization);
  int same = at != NULL && strncmp(at + 14, authorization, len) == 0 &&
             (at[14 + len] == '\n' || at[14 + len] == '\0');

  free(signed_request);
  return same;
}

static void
suite_run(suite_case *c, unsigned *good)
{
  s3_signature out = { .authorization = s3_buf_of(&c->fake->host) };
  s3_buf query = s3_buf_of(&c->fake->host);
  uint64_t expires = (uint64_t)json_integer_value(
    json_object_get(c->context, "expiration_in_seconds"));
  sb_error err = { 0 };
  const char *text;

  CU_ASSERT_EQUAL(s3_sign(c->signer, &c->request, &c->credentials, &out,
                          &err), SB_OK);
  text = s3_buf_string(&out.authorization);
  *good += (unsigned)(suite_compare(c, "header", signature_in(text)) &&
                      suite_authorization(c, text));
  CU_ASSERT_STRING_EQUAL(out.date, "20150830T123600Z");
  CU_ASSERT_EQUAL(s3_presign(c->signer, &c->request, &c->credentials, expires,
                             &query, &err), SB_OK);
  text = s3_buf_string(&query);
  *good += (unsigned)suite_compare(c, "query", signature_in(text));
  if (c->credentials.session_token != NULL)
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "X-Amz-Security-Token="));
  s3_buf_free(&out.authorization);
  s3_buf_free(&query);
}

static void
test_suite(void)
{
  fake_host fake;
  suite_case c = { .fake = &fake };
  struct dirent **names = NULL;
  unsigned cases = 0, good = 0;
  int count, i;

  if (!suite_dir(c.dir, sizeof c.dir)) {
    tap_skip("../shared/data/aws-signing-test-suite is not there");
    return;
  }
  fake_host_init(&fake);
  c.signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(c.signer);
  count = scandir(c.dir, &names, NULL, alphasort);
  for (i = 0; i < count; i++) {
    if (names[i]->d_name[0] != '.' && suite_open(&c, names[i]->d_name)) {
      cases++;
      suite_run(&c, &good);
    }
    suite_close(&c);
    free(names[i]);
  }
  free(names);
  s3_signer_free(c.signer);
  CU_ASSERT_EQUAL(cases, SUITE_CASES);
  CU_ASSERT_EQUAL(good, 2 * SUITE_CASES);
  tap_note("%u of %u signatures agree", good, 2 * cases);
  CU_ASSERT_EQUAL(fake.live, 0);
}

/* ---- the examples of the S3 documentation ------------------------------- */

typedef struct example {
  const char *method, *path, *query;
  s3_header headers[3];
  size_t header_count;
  const char *payload, *canonical, *names, *signature;
} example;

static const example examples[] = {
  { "GET", "/test.txt", NULL,
    { { "host", EXAMPLE_HOST }, { "range", "bytes=0-9" } }, 2,
    S3_EMPTY_SHA256,
    "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
  { "PUT", "/test%24file.text", NULL,
    { { "date", "Fri, 24 May 2013 00:00:00 GMT" },
      { "host", EXAMPLE_HOST },
      { "x-amz-storage-class", "REDUCED_REDUNDANCY" } }, 3,
    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
  { "GET", "/", "lifecycle", { { "host", EXAMPLE_HOST } }, 1,
    S3_EMPTY_SHA256,
    "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
    "host;x-amz-content-sha256;x-amz-date",
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
  { "GET", "/", "max-keys=2&prefix=J", { { "host", EXAMPLE_HOST } }, 1,
    S3_EMPTY_SHA256,
    "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
    "host;x-amz-content-sha256;x-amz-date",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void
test_examples(void)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, NULL);
  s3_signature out = { 0 };
  char want[512];
  fake_host fake;
  s3_signer *signer;
  size_t i;

  fake_host_init(&fake);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  for (i = 0; i < TAP_COUNT(examples); i++) {
    const example *e = &examples[i];
    s3_sign_request r = request_of(e->method, e->path, e->query, e->headers,
                                   e->header_count);

    r.payload = e->payload;
    CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, NULL), SB_OK);
    CU_ASSERT_STRING_EQUAL(canonical_hash(signer), e->canonical);
    (void)snprintf(want, sizeof want,
                   "AWS4-HMAC-SHA256 Credential=" EXAMPLE_KEY
                   "/20130524/us-east-1/s3/aws4_request, SignedHeaders=%s, "
                   "Signature=%s", e->names, e->signature);
    CU_ASSERT_STRING_EQUAL(s3_buf_string(&out.authorization), want);
    CU_ASSERT_STRING_EQUAL(out.date, "20130524T000000Z");
    CU_ASSERT_PTR_EQUAL(out.payload, e->payload);
    CU_ASSERT_PTR_NULL(out.token);
  }
  s3_buf_free(&out.authorization);
  s3_signer_free(signer);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
test_presigned_example(void)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, NULL);
  s3_header host = { "host", EXAMPLE_HOST };
  s3_sign_request r = request_of("GET", "/test.txt", NULL, &host, 1);
  fake_host fake;
  s3_signer *signer;
  s3_buf query;

  fake_host_init(&fake);
  query = s3_buf_of(&fake.host);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  r.payload = S3_UNSIGNED_PAYLOAD;
  CU_ASSERT_EQUAL(s3_presign(signer, &r, &c, 86400, &query, NULL), SB_OK);
  CU_ASSERT_STRING_EQUAL(
    canonical_hash(signer),
    "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04");
  CU_ASSERT_STRING_EQUAL(
    s3_buf_string(&query),
    "X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
    "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
    "&X-Amz-SignedHeaders=host&X-Amz-Signature="
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
  s3_buf_free(&query);
  s3_signer_free(signer);
  CU_ASSERT_EQUAL(fake.live, 0);
}

/* ---- the key that is kept ----------------------------------------------- */

/* The HMAC chain, made by OpenSSL's own function. */
static void
reference(const s3_signer *signer, const char *secret, const char *day,
          const char *region, const char *service, char out[65])
{
  const char *steps[4];
  const char *text = s3_signer_string_to_sign(signer);
  unsigned char key[EVP_MAX_MD_SIZE];
  unsigned int len;
  char first[512];
  size_t i;

  steps[0] = day;
  steps[1] = region;
  steps[2] = service;
  steps[3] = "aws4_request";
  (void)snprintf(first, sizeof first, "AWS4%s", secret);
  (void)HMAC(EVP_sha256(), first, (int)strlen(first),
             (const unsigned char *)steps[0], strlen(steps[0]), key, &len);
  for (i = 1; i < 4; i++)
    (void)HMAC(EVP_sha256(), key, 32, (const unsigned char *)steps[i],
               strlen(steps[i]), key, &len);
  (void)HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, strlen(text),
             key, &len);
  s3_hex(key, 32, out);
}

static void
key_check(s3_signer *signer, const s3_sign_request *r,
          const s3_credentials *c, s3_signature *out)
{
  char day[9] = "";
  char want[65];

  CU_ASSERT_EQUAL_FATAL(s3_sign(signer, r, c, out, NULL), SB_OK);
  memcpy(day, out->date, 8);
  reference(signer, c->secret_key, day, r->region, r->service, want);
  CU_ASSERT_STRING_EQUAL(signature_in(s3_buf_string(&out->authorization)),
                         want);
}

static void
test_key_cache(void)
{
  static const char long_secret[] =
    "0123456789012345678901234567890123456789012345678901234567890123456789";
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, NULL);
  s3_header host = { "host", EXAMPLE_HOST };
  s3_sign_request r = request_of("GET", "/a", NULL, &host, 1);
  s3_signature out = { 0 };
  fake_host fake;
  s3_signer *signer;
  long before;

  fake_host_init(&fake);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  key_check(signer, &r, &c, &out);
  before = fake.allocations;
  r.time_ms += 86400000 - 1; /* the last millisecond of the day */
  key_check(signer, &r, &c, &out);
  CU_ASSERT_STRING_EQUAL(out.date, "20130524T235959Z");
  r.time_ms++;
  key_check(signer, &r, &c, &out);
  CU_ASSERT_STRING_EQUAL(out.date, "20130525T000000Z");
  r.region = "eu-central-1";
  key_check(signer, &r, &c, &out);
  r.service = "sts";
  key_check(signer, &r, &c, &out);
  /* A new secret for the same access key shows in the serial only. */
  c.secret_key = (char *)(uintptr_t)long_secret;
  c.serial++;
  key_check(signer, &r, &c, &out);
  /* Another provider's first snapshot has the same serial. */
  c.access_key = (char *)(uintptr_t)"AKIDOTHER0000EXAMPLE";
  c.secret_key = (char *)(uintptr_t)"other";
  key_check(signer, &r, &c, &out);
  /* Clocks that are corrected go back, too. */
  r.time_ms -= 86400000;
  key_check(signer, &r, &c, &out);
  CU_ASSERT_EQUAL(fake.allocations, before);
  s3_buf_free(&out.authorization);
  s3_signer_free(signer);
  CU_ASSERT_EQUAL(fake.live, 0);
}

/* ---- requests as the plugin makes them ---------------------------------- */

/* Compares the canonical request up to the signed headers. */
static void
canonical_check(const s3_sign_request *r, const s3_credentials *c,
                const char *want)
{
  s3_signature out = { 0 };
  fake_host fake;
  s3_signer *signer;

  fake_host_init(&fake);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  CU_ASSERT_EQUAL(s3_sign(signer, r, c, &out, NULL), SB_OK);
  if (strncmp(s3_signer_canonical(signer), want, strlen(want)) != 0) {
    tap_note("%s", s3_signer_canonical(signer));
    CU_FAIL("canonical request");
  }
  CU_ASSERT_PTR_EQUAL(out.token, c->session_token);
  s3_buf_free(&out.authorization);
  s3_signer_free(signer);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
test_canonical(void)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, "to/k+en=");
  s3_header headers[] = { { "x-amz-meta-b", " a \t b " },
                          { "host", "127.0.0.1:9000" },
                          { "x-amz-meta-b", "" },
                          { "x-amz-meta-a", "z" } };
  s3_sign_request r = request_of("PUT", "/b/../a//%20x", NULL, headers, 4);

  /* S3: paths as they are. Queries come out as the server decodes them. */
  r.query = "uploadId=a%2fb&part/=&&partNumber=2&x=%7E+~%zz&partNumber=10";
  r.payload = S3_UNSIGNED_PAYLOAD;
  canonical_check(&r, &c,
                  "PUT\n/b/../a//%20x\n"
                  "part%2F=&partNumber=10&partNumber=2&uploadId=a%2Fb&"
                  "x=~%2B~%25zz\n"
                  "host:127.0.0.1:9000\n"
                  "x-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                  "x-amz-date:20130524T000000Z\n"
                  "x-amz-meta-a:z\n"
                  "x-amz-meta-b:a b,\n"
                  "x-amz-security-token:to/k+en=\n\n"
                  "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;"
                  "x-amz-meta-b;x-amz-security-token\nUNSIGNED-PAYLOAD");
  r.flags = S3_SIGN_OMIT_TOKEN | S3_SIGN_NO_CONTENT_HEADER |
            S3_SIGN_NORMALIZE_PATH;
  r.query = "";
  canonical_check(&r, &c,
                  "PUT\n/a/%20x\n\nhost:127.0.0.1:9000\n"
                  "x-amz-date:20130524T000000Z\n");
  r.flags = S3_SIGN_ENCODE_PATH;
  canonical_check(&r, &c, "PUT\n/b/../a//%2520x\n\n");
}

static void
test_limits(void)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, NULL);
  s3_header headers[70];
  s3_sign_request r = request_of("GET", "/", NULL, headers, 1);
  s3_signature out = { 0 };
  char region[80], query[512];
  sb_error err = { 0 };
  fake_host fake;
  s3_signer *signer;
  s3_buf text;
  size_t i;

  fake_host_init(&fake);
  text = s3_buf_of(&fake.host);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  for (i = 0; i < TAP_COUNT(headers); i++)
    headers[i] = (s3_header){ "host", "h" };
  CU_ASSERT_EQUAL(s3_presign(signer, &r, &c, 0, &text, &err), SB_INVALID);
  CU_ASSERT_EQUAL(s3_presign(signer, &r, &c, 604801, &text, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(s3_presign(signer, &r, &c, 604800, &text, &err), SB_OK);
  r.header_count = TAP_COUNT(headers);
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, &err), SB_INVALID);
  CU_ASSERT_STRING_EQUAL(err.message, "could not sign a GET request: it has "
                                      "too many headers");
  r.header_count = 1;
  memset(region, 'r', sizeof region - 1);
  region[sizeof region - 1] = '\0';
  r.region = region;
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, &err), SB_INVALID);
  r.region = "us-east-1";
  for (i = 0; i < 70; i++)
    memcpy(query + 4 * i, "a=b&", 5);
  r.query = query;
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, &err), SB_INVALID);
  r.query = NULL;
  r.time_ms = UINT64_MAX;
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, &err), SB_INVALID);
  r.time_ms = 0;
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(out.date, "19700101T000000Z");
  s3_buf_free(&out.authorization);
  s3_buf_free(&text);
  s3_signer_free(signer);
  s3_signer_free(NULL);
  CU_ASSERT_EQUAL(fake.live, 0);
}

/* One signature of each kind while allocation number `at` fails. */
static sb_status
memory_run(fake_host *fake, long at)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, "token");
  s3_header host = { "host", EXAMPLE_HOST };
  s3_sign_request r = request_of("GET", "/a/b", "b=%20&a", &host, 1);
  s3_signature out = { 0 };
  sb_status status = SB_NO_MEMORY;
  s3_buf query;
  s3_signer *signer;

  fake_host_init(fake);
  fake->fail_at = at;
  r.flags = S3_SIGN_NORMALIZE_PATH;
  query = s3_buf_of(&fake->host);
  signer = s3_signer_new(&fake->host);
  if (signer != NULL)
    status = s3_presign(signer, &r, &c, 60, &query, NULL);
  if (status == SB_OK)
    status = s3_sign(signer, &r, &c, &out, NULL);
  s3_buf_free(&out.authorization);
  s3_buf_free(&query);
  s3_signer_free(signer);
  return status;
}

static void
test_memory(void)
{
  fake_host fake;
  sb_status status;
  long at = 0;

  do {
    status = memory_run(&fake, ++at);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    CU_ASSERT_EQUAL(fake.live, 0);
  } while (status != SB_OK && at < 1000);
  CU_ASSERT(at > 8 && at < 1000);
}

static void
test_speed(void)
{
  s3_credentials c = credentials_of(EXAMPLE_KEY, EXAMPLE_SECRET, NULL);
  s3_header headers[] = { { "host", "127.0.0.1:9000" },
                          { "range", "bytes=0-4095" },
                          { "x-amz-checksum-mode", "ENABLED" } };
  s3_sign_request r = request_of("GET", "/bucket/job/shared/0123456789abcdef",
                                 NULL, headers, 3);
  int count = tap_is_slow() ? 200 : 20000;
  s3_signature out = { 0 };
  struct timespec start, end;
  fake_host fake;
  s3_signer *signer;
  long before;
  int i;

  fake_host_init(&fake);
  signer = s3_signer_new(&fake.host);
  CU_ASSERT_PTR_NOT_NULL_FATAL(signer);
  CU_ASSERT_EQUAL(s3_sign(signer, &r, &c, &out, NULL), SB_OK);
  before = fake.allocations;
  (void)clock_gettime(CLOCK_MONOTONIC, &start);
  for (i = 0; i < count; i++) {
    r.time_ms += 1000;
    if (s3_sign(signer, &r, &c, &out, NULL) != SB_OK)
      break;
  }
  (void)clock_gettime(CLOCK_MONOTONIC, &end);
  CU_ASSERT_EQUAL(i, count);
  CU_ASSERT_EQUAL(fake.allocations, before);
  tap_note("%.2f us a signature",
           ((double)(end.tv_sec - start.tv_sec) * 1e6 +
            (double)(end.tv_nsec - start.tv_nsec) / 1e3) / count);
  s3_buf_free(&out.authorization);
  s3_signer_free(signer);
}

int
main(int argc, char **argv)
{
  static const tap_case vectors[] = {
    { "suite", test_suite },
    { "examples", test_examples },
    { "presigned", test_presigned_example },
  };
  static const tap_case cases[] = {
    { "key_cache", test_key_cache },
    { "canonical", test_canonical },
    { "limits", test_limits },
    { "memory", test_memory },
    { "speed", test_speed },
  };
  static const tap_suite suites[] = {
    { "vectors", vectors, TAP_COUNT(vectors) },
    { "signer", cases, TAP_COUNT(cases) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
