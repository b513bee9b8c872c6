/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the S3 plugin about objects, parts, connections and prices. Goal:
 * the value of each changes something that the server sees. Method: the test
 * server's log; see options_fixture.h.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/options_fixture.h"
#include "tests/prometheus.h"

#define MIB (1u << 20)
#define SSE "x-amz-server-side-encryption"
#define ENCRYPT "state-file-encryption=true\n"
#define KMS ENCRYPT "sse.type=sse-kms\n"
#define NO_LIMITS "first-byte-timeout=20s\nstall-timeout=20s\n"

/* ---- headers ------------------------------------------------------------ */

typedef struct header_row {
  const char *key;           /* the option; NULL: more of the one before */
  const char *settings;
  const char *kinds;         /* that have the header, with blanks */
  const char *name, *value;  /* value "*": any; NULL: must not be there */
} header_row;

/* "@" stands for a file with a customer's key. */
static const header_row header_rows[] = {
  { "state-file-encryption", ENCRYPT, "put copy", SSE, "AES256" },
  { "sse.type", KMS, "put copy", SSE, "aws:kms" },
  { NULL, ENCRYPT "sse.type=dsse-kms", "put copy", SSE, "aws:kms:dsse" },
  { "sse.kms-key-id", KMS "sse.kms-key-id=alias/key-1", "put copy",
    SSE "-aws-kms-key-id", "alias/key-1" },
  { "sse.kms-context", KMS "sse.kms-context=a=b", "put copy",
    SSE "-context", "eyJhIjoiYiJ9" },
  { "sse.bucket-key", KMS "sse.bucket-key=true", "put copy",
    SSE "-bucket-key-enabled", "true" },
  { "sse.customer-key-file", ENCRYPT "sse.type=sse-c\n"
    "sse.customer-key-file=@", "put get head copy", SSE "-customer-key",
    "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=" },
  { "checksum", "checksum=crc32c", "put", "x-amz-checksum-crc32c", "*" },
  { NULL, "checksum=crc32c", "put", "content-md5", NULL },
  { NULL, "checksum=md5", "put", "content-md5", "*" },
  { NULL, "checksum=md5", "put", "x-amz-checksum-crc32c", NULL },
  { NULL, "checksum=none", "put", "content-md5", NULL },
  { NULL, "checksum=none", "put", "x-amz-checksum-crc32c", NULL },
  { "storage-class", "storage-class=STANDARD_IA", "put copy",
    "x-amz-storage-class", "STANDARD_IA" },
  { "acl", "acl=bucket-owner-full-control", "put copy", "x-amz-acl",
    "bucket-owner-full-control" },
  { "tags", "tags=a=b,job=x/y z", "put copy", "x-amz-tagging",
    "a=b&job=x%2Fy%20z" },
  { "requester-pays", "requester-pays=true",
    "put get head list copy delete_batch", "x-amz-request-payer",
    "requester" },
  { "expected-bucket-owner", "expected-bucket-owner=" S3_TEST_OWNER,
    "put get head list copy delete_batch", "x-amz-expected-bucket-owner",
    S3_TEST_OWNER },
};

/* One request of each kind, which must all go well. */
static void
header_requests(s3_fixture *f)
{
  static const char *const names[] = { "row", "copied" };
  sb_store *store = &f->store->base;
  store_meta meta;
  uint64_t got;
  size_t count;
  char buf[16];

  s3_fixture_expect(f, s3_fixture_put(f, "row", "body", 4, 0, NULL, NULL),
                    SB_OK, NULL);
  s3_fixture_expect(f, s3_fixture_head(f, "row", &meta), SB_OK, NULL);
  s3_fixture_expect(f, store_get(&f->host, store, "row", 0, buf, 4, &got,
                                 NULL, 0, &f->error), SB_OK, NULL);
  s3_fixture_expect(f, store_copy(&f->host, store, NULL, "row", "copied", 0,
                                  NULL, &f->error), SB_OK, NULL);
  s3_fixture_expect(f, s3_fixture_list(f, 10, &count), SB_OK, NULL);
  s3_fixture_expect(f, s3_fixture_remove(f, names, 2, NULL), SB_OK, NULL);
}

/* The first word of `words` into `word`; the rest. */
static const char *
header_word(const char *words, char word[32])
{
  size_t len = strcspn(words, " ");

  (void)snprintf(word, 32, "%.*s", (int)len, words);
  return words + len + (words[len] == ' ');
}

static int
header_is(const char *value, const char *wanted)
{
  if (wanted == NULL)
    return value[0] == '\0';
  return wanted[0] == '*' ? value[0] != '\0' : strcmp(value, wanted) == 0;
}

/* As the row says, and a client without its settings sends something else. */
static void
header_check(const header_row *row, s3_fixture *f, s3_fixture *plain)
{
  size_t number = (size_t)(row - header_rows);
  const char *kinds = row->kinds;
  char kind[32];

  while (*kinds != '\0') {
    const char *value, *without;
    int right;

    kinds = header_word(kinds, kind);
    CU_ASSERT(s3_server_seen(f->server, kind) > 0);
    value = options_header(f, kind, 1, row->name);
    without = options_header(plain, kind, 1, row->name);
    right = header_is(value, row->value) &&
            (row->value == NULL || row->value[0] == '*' ||
             strcmp(value, without) != 0);
    CU_ASSERT(right);
    if (!right)
      tap_note("row %zu: %s of %s is \"%.60s\", without it \"%.60s\"", number,
               row->name, kind, value, without);
  }
}

static void
header_settings(const header_row *row, const char *key_file, char *out,
                size_t size)
{
  const char *at = strchr(row->settings, '@');

  if (at == NULL)
    (void)snprintf(out, size, "%s", row->settings);
  else
    (void)snprintf(out, size, "%.*s%s", (int)(at - row->settings),
                   row->settings, key_file);
}

static void
test_headers(void)
{
  s3_server_options server = { .insecure_customer_keys = 1 };
  char file[] = "/tmp/sb-s3-options-XXXXXX", settings[256];
  int fd = mkstemp(file);
  s3_fixture plain, f;
  size_t i;

  CU_ASSERT_EQUAL_FATAL(write(fd, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32), 32);
  (void)close(fd);
  s3_fixture_start(&plain, NULL);
  CU_ASSERT_EQUAL_FATAL(options_open(&plain, NULL), SB_OK);
  header_requests(&plain);
  for (i = 0; i < TAP_COUNT(header_rows); i++) {
    const header_row *row = &header_rows[i];

    header_settings(row, file, settings, sizeof settings);
    s3_fixture_start(&f, &server);
    CU_ASSERT_EQUAL_FATAL(options_open(&f, settings), SB_OK);
    header_requests(&f);
    header_check(row, &f, &plain);
    if (row->key != NULL)
      options_seen(row->key);
    s3_fixture_end(&f);
  }
  s3_fixture_end(&plain);
  (void)unlink(file);
}

/* An upload in parts is told of all of it when it begins. */
static void
test_headers_of_uploads(void)
{
  static const char *const headers[][2] = {
    { SSE, "aws:kms" }, { SSE "-aws-kms-key-id", "key-1" },
    { SSE "-context", "eyJhIjoiYiJ9" }, { SSE "-bucket-key-enabled", "true" },
    { "x-amz-storage-class", "STANDARD_IA" }, { "x-amz-acl", "private" },
    { "x-amz-tagging", "a=b" }
  };
  static const char *const kinds[] = { "upload_create", "upload_part",
                                       "upload_complete" };
  char *data = http_alloc(5 * MIB + 1);
  s3_fixture f;
  size_t i;

  options_begin(&f, NULL, KMS "sse.kms-key-id=key-1\nsse.kms-context=a=b\n"
                "sse.bucket-key=true\nstorage-class=STANDARD_IA\nacl=private\n"
                "tags=a=b\nrequester-pays=true\nexpected-bucket-owner="
                S3_TEST_OWNER "\nstate-file-part-size=5mb\n"
                "multipart-threshold=5mb\n" NO_LIMITS);
  s3_fixture_expect(&f, s3_fixture_put(&f, "large", data, 5 * MIB + 1, 0,
                                       NULL, NULL), SB_OK, NULL);
  for (i = 0; i < TAP_COUNT(headers); i++) {
    CU_ASSERT_STRING_EQUAL(options_header(&f, kinds[0], 1, headers[i][0]),
                           headers[i][1]);
    CU_ASSERT_STRING_EQUAL(options_header(&f, kinds[1], 1, headers[i][0]),
                           "");
  }
  for (i = 0; i < TAP_COUNT(kinds); i++) {
    CU_ASSERT_STRING_EQUAL(options_header(&f, kinds[i], 1,
                                          "x-amz-request-payer"),
                           "requester");
    CU_ASSERT_STRING_EQUAL(options_header(&f, kinds[i], 1,
                                          "x-amz-expected-bucket-owner"),
                           S3_TEST_OWNER);
  }
  s3_fixture_end(&f);
  free(data);
}

/* A number that is never passed, and reached where there is time to. */
static int
parts_reach(unsigned number, unsigned most)
{
  if (number != most)
    tap_note("%u connections, not %u", number, most);
  return number == most || (number < most && tap_is_slow());
}

/* ---- parts -------------------------------------------------------------- */

typedef struct parts_row {
  const char *key, *settings;
  size_t size;
  size_t parts;              /* 0: one put */
  uint64_t first;            /* bytes of the first part */
} parts_row;

static const parts_row parts_rows[] = {
  { "state-file-part-size", "state-file-part-size=5mb\n"
    "multipart-threshold=5mb\n", 11 * MIB, 3, 5 * MIB },
  { NULL, "state-file-part-size=6mb\nmultipart-threshold=5mb\n", 11 * MIB, 2,
    6 * MIB },
  { "multipart-threshold", "state-file-part-size=5mb\n"
    "multipart-threshold=6mb\n", 6 * MIB, 0, 0 },
  { NULL, "state-file-part-size=5mb\nmultipart-threshold=5mb\n", 6 * MIB, 2,
    5 * MIB },
};

/* Parts may arrive in any order: the largest one. */
static uint64_t
parts_largest(s3_fixture *f)
{
  uint64_t largest = 0;
  size_t i, count = s3_server_seen(f->server, "upload_part");

  for (i = 1; i <= count; i++) {
    const s3_seen *part = s3_server_seen_nth(f->server, "upload_part", i);

    if (part->body_len > largest)
      largest = part->body_len;
  }
  return largest;
}

static void
test_parts(void)
{
  char *data = http_alloc(11 * MIB);
  char settings[256];
  size_t i;

  for (i = 0; i < TAP_COUNT(parts_rows); i++) {
    const parts_row *row = &parts_rows[i];
    s3_fixture f;

    (void)snprintf(settings, sizeof settings, "%s" NO_LIMITS "checksum=none",
                   row->settings);
    options_begin(&f, NULL, settings);
    s3_fixture_expect(&f, s3_fixture_put(&f, "o", data, row->size, 0, NULL,
                                         NULL), SB_OK, NULL);
    CU_ASSERT_EQUAL(s3_server_seen(f.server, "upload_part"), row->parts);
    CU_ASSERT_EQUAL(s3_server_seen(f.server, "put"), row->parts == 0);
    CU_ASSERT_EQUAL(parts_largest(&f), row->first);
    if (row->key != NULL)
      options_seen(row->key);
    s3_fixture_end(&f);
  }
  free(data);
}

/* The parts of one object, while each takes a while. */
static unsigned
parts_connections(const char *parallelism)
{
  char *data = http_alloc(20 * MIB);
  char settings[256];
  unsigned connections;
  s3_fixture f;

  (void)snprintf(settings, sizeof settings, "upload-parallelism=%s\n"
                 "state-file-part-size=5mb\nmultipart-threshold=5mb\n"
                 "checksum=none\n" NO_LIMITS, parallelism);
  options_begin(&f, "upload_part count=0 delay=60", settings);
  s3_fixture_expect(&f, s3_fixture_put(&f, "o", data, 20 * MIB, 0, NULL,
                                       NULL), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "upload_part"), 4);
  connections = s3_server_connections(f.server);
  s3_fixture_end(&f);
  free(data);
  return connections;
}

static void
test_upload_parallelism(void)
{
  CU_ASSERT(parts_reach(parts_connections("1"), 1));
  CU_ASSERT(parts_reach(parts_connections("3"), 3));
  options_seen("upload-parallelism");
}

/* Streams whose parts do not get through: how many bytes they may hold. */
static sb_status
memory_write(const char *memory)
{
  char *data = http_alloc(15 * MIB);
  store_writer *writers[2] = { NULL, NULL };
  char settings[256];
  sb_status status;
  s3_fixture f;
  int i;

  (void)snprintf(settings, sizeof settings, "upload-memory=%s\n"
                 "state-file-part-size=5mb\nmultipart-threshold=5mb\n"
                 "request-timeout=400ms\nchecksum=none\n" NO_LIMITS, memory);
  options_begin(&f, "upload_part count=0 stall", settings);
  for (i = 0; i < 2; i++)
    CU_ASSERT_EQUAL_FATAL(store_writer_open(&f.host, &f.store->base,
                                            i == 0 ? "first" : "second", 0, 0,
                                            &writers[i], &f.error), SB_OK);
  s3_fixture_expect(&f, store_writer_add(writers[0], data, 15 * MIB,
                                         &f.error), SB_OK, NULL);
  status = store_writer_add(writers[1], data, 4 * MIB, &f.error);
  for (i = 0; i < 2; i++)
    store_writer_abort(writers[i]);
  s3_fixture_end(&f);
  free(data);
  return status;
}

static void
test_upload_memory(void)
{
  CU_ASSERT_EQUAL(memory_write("16mb"), SB_TIMEOUT);
  CU_ASSERT_EQUAL(memory_write("32mb"), SB_OK);
  options_seen("upload-memory");
}

/* ---- connections -------------------------------------------------------- */

static void
test_connections(void)
{
  static const struct { const char *key, *settings; unsigned max; } rows[] = {
    { "max-connections", "max-connections=2", 2 },
    { "max-connections", "max-connections=5", 5 },
    { "aws.http-client.max-concurrency", "max-connections=2\n"
      "aws.http-client.max-concurrency=3", 3 },
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(rows); i++) {
    s3_fixture f;

    options_begin(&f, "get count=0 delay=60", rows[i].settings);
    options_gets(&f, 8);
    CU_ASSERT(parts_reach(s3_server_connections(f.server), rows[i].max));
    options_seen(rows[i].key);
    s3_fixture_end(&f);
  }
}

/* ---- prices ------------------------------------------------------------- */

static sb_status
prices_take(void *arg, const char *text, size_t len)
{
  char *copy = http_alloc(len + 1);

  memcpy(copy, text, len);
  free(*(char **)arg);
  *(char **)arg = copy;
  return SB_OK;
}

static double
prices_cost(const char *class)
{
  char *text = NULL, series[96];
  const char *value;
  double cost;

  (void)snprintf(series, sizeof series,
                 "statebackend_s3_cost_dollars_total{class=\"%s\"}", class);
  CU_ASSERT_EQUAL_FATAL(sb_host_metrics_text(prices_take, &text, NULL),
                        SB_OK);
  value = prometheus_value(text, series);
  cost = value == NULL ? 0 : strtod(value, NULL);
  free(text);
  return cost;
}

static void
test_prices(void)
{
  double put = prices_cost("put"), get = prices_cost("get");
  s3_fixture f;

  options_begin(&f, NULL, "price.put=700\nprice.get=30");
  s3_fixture_expect(&f, s3_fixture_put(&f, "o", "x", 1, 0, NULL, NULL), SB_OK,
                    NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_end(&f);
  CU_ASSERT_DOUBLE_EQUAL(prices_cost("put") - put, 0.7, 1e-6);
  CU_ASSERT_DOUBLE_EQUAL(prices_cost("get") - get, 0.06, 1e-6);
  options_seen("price.put");
  options_seen("price.get");
}

static void
test_all(void)
{
  options_check("objects");
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "headers", test_headers },
    { "headers of uploads", test_headers_of_uploads },
    { "parts", test_parts },
    { "upload-parallelism", test_upload_parallelism },
    { "upload-memory", test_upload_memory },
    { "connections", test_connections },
    { "prices", test_prices },
    { "every option is seen", test_all },
  };
  static const tap_suite suites[] = { { "s3_options", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
