/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration. Goal: every type takes what it should and refuses the rest in
 * words; files of each form give the same settings; nothing secret is printed;
 * no allocation failure leaks or crashes. Method: files made on the spot,
 * checked against the s3 and minio plugins' real tables.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/settings.h"
#include "tests/faulty_host.h"
#include "tests/tap.h"

#define SEED_DOCUMENT \
  "# In flink-conf.yaml\n" \
  "state.backend: s3\n" \
  "state.backend.s3.bucket: flink-state\n" \
  "state.backend.s3.base-path: my-job/state\n" \
  "state.backend.s3.state-file-compression: true\n" \
  "aws.region: us-west-2\n" \
  "aws.credentials.provider: BASIC\n" \
  "aws.credentials.provider.basic.accesskeyid: your-access-key\n" \
  "aws.credentials.provider.basic.secretkey: your-secret-key\n"

static char test_path[64];

static void
test_write(const char *suffix, const char *text, size_t len)
{
  FILE *file;

  (void)snprintf(test_path, sizeof test_path, "/tmp/sb-config-%d%s",
                 (int)getpid(), suffix);
  file = fopen(test_path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  CU_ASSERT_EQUAL(fwrite(text, 1, len, file), len);
  (void)fclose(file);
}

static sb_status
test_load(sb_config *config, const char *suffix, const char *text,
          sb_error *err)
{
  sb_status status;

  err->message[0] = '\0';
  test_write(suffix, text, strlen(text));
  status = sb_config_load(config, test_path, err);
  (void)unlink(test_path);
  return status;
}

static sb_config *
test_new(void)
{
  sb_config *config;

  CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, NULL), SB_OK);
  return config;
}

/* A configuration that needs no more than the keys given. */
static sb_config *
test_s3(void)
{
  sb_config *config = test_new();

  CU_ASSERT_EQUAL(sb_config_set(config, "state.backend", "s3", NULL, NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(sb_config_set(config, "state.backend.s3.bucket", "b", NULL,
                                NULL), SB_OK);
  return config;
}

static void
test_set(sb_config *config, const char *key, const char *value)
{
  CU_ASSERT_EQUAL(sb_config_set(config, key, value, "--set", NULL), SB_OK);
}

static int
test_has(const sb_error *err, const char *text)
{
  if (strstr(err->message, text) != NULL)
    return 1;
  tap_note("message: %s", err->message);
  return 0;
}

/* ---- types -------------------------------------------------------------- */

static sb_status
test_parse(uint32_t type, int64_t min, int64_t max, const char *text,
           int64_t *integer, char *why, size_t size)
{
  sb_option option = { "k", type, 0, NULL, min, max, "red|green|blue", "h" };
  option_value value = { NULL, 0, 0 };
  sb_status status = option_parse(sb_host_default(), &option, text, &value,
                                  why, size);

  *integer = value.integer;
  free(value.text);
  return status;
}

typedef struct test_number {
  uint32_t type;
  const char *text;
  int64_t value; /* -1: refused */
} test_number;

static void
test_numbers(void)
{
  static const test_number cases[] = {
    { SB_TYPE_SIZE, "8mb", 8 << 20 },
    { SB_TYPE_SIZE, "64 kb", 64 << 10 },
    { SB_TYPE_SIZE, " 1GB ", 1 << 30 },
    { SB_TYPE_SIZE, "1t", (int64_t)1 << 40 },
    { SB_TYPE_SIZE, "17", 17 },
    { SB_TYPE_SIZE, "17b", 17 },
    { SB_TYPE_SIZE, "0", 0 },
    { SB_TYPE_SIZE, "8388607tb", (int64_t)8388607 << 40 },
    { SB_TYPE_SIZE, "8388608tb", -1 },
    { SB_TYPE_SIZE, "9223372036854775807", INT64_MAX },
    { SB_TYPE_SIZE, "9223372036854775808", -1 },
    { SB_TYPE_SIZE, "99999999999999999999999", -1 },
    { SB_TYPE_SIZE, "-1", -1 },
    { SB_TYPE_SIZE, "1.5mb", -1 },
    { SB_TYPE_SIZE, "8 m b", -1 },
    { SB_TYPE_SIZE, "8mib", -1 },
    { SB_TYPE_SIZE, "", -1 },
    { SB_TYPE_SIZE, "mb", -1 },
    { SB_TYPE_DURATION, "10 s", 10000 },
    { SB_TYPE_DURATION, "300ms", 300 },
    { SB_TYPE_DURATION, "300", 300 },
    { SB_TYPE_DURATION, "2 min", 120000 },
    { SB_TYPE_DURATION, "1h", 3600000 },
    { SB_TYPE_DURATION, "1d", 86400000 },
    { SB_TYPE_DURATION, "1ns", 1 },
    { SB_TYPE_DURATION, "1500us", 2 },
    { SB_TYPE_DURATION, "2m", -1 },
    { SB_TYPE_DURATION, "106751991168d", -1 },
    { SB_TYPE_INT, "-0", 0 },
    { SB_TYPE_INT, "+7", 7 },
    { SB_TYPE_INT, "9223372036854775807", INT64_MAX },
    { SB_TYPE_INT, "9223372036854775808", -1 },
    { SB_TYPE_INT, "0x10", -1 },
    { SB_TYPE_INT, "1e3", -1 },
    { SB_TYPE_BOOL, "TRUE", 1 },
    { SB_TYPE_BOOL, "False", 0 },
    { SB_TYPE_BOOL, "yes", -1 },
    { SB_TYPE_BOOL, "", -1 },
  };
  char why[256];
  size_t i;

  for (i = 0; i < TAP_COUNT(cases); i++) {
    int64_t value;
    sb_status status = test_parse(cases[i].type, 0, 0, cases[i].text, &value,
                                  why, sizeof why);
    int good = cases[i].value == -1 ? status == SB_CONFIG
                                    : status == SB_OK &&
                                        value == cases[i].value;

    if (!good)
      tap_note("\"%s\" gives %lld", cases[i].text, (long long)value);
    CU_ASSERT(good);
  }
}

static void
test_ranges(void)
{
  int64_t value;
  char why[256];

  CU_ASSERT_EQUAL(test_parse(SB_TYPE_INT, -5, 5, "-5", &value, why,
                             sizeof why), SB_OK);
  CU_ASSERT_EQUAL(value, -5);
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_INT, -5, 5, "6", &value, why,
                             sizeof why), SB_CONFIG);
  CU_ASSERT_STRING_EQUAL(why, "must be a whole number, from -5 to 5");
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_SIZE, 5 << 20, (int64_t)5 << 30, "4mb",
                             &value, why, sizeof why), SB_CONFIG);
  CU_ASSERT_STRING_EQUAL(why, "must be a size such as 64kb or 8mb, from 5mb "
                         "to 5gb");
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_DURATION, 1000, 90000, "2min", &value,
                             why, sizeof why), SB_CONFIG);
  CU_ASSERT_STRING_EQUAL(why, "must be a duration such as 300ms or 10s, from "
                         "1s to 90s");
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_DOUBLE, 0, 1, "1.5", &value, why,
                             sizeof why), SB_CONFIG);
  CU_ASSERT_STRING_EQUAL(why, "must be a number, from 0 to 1");
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_DOUBLE, 0, 1, "nan", &value, why,
                             sizeof why), SB_CONFIG);
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_DOUBLE, 0, 0, "1e999", &value, why,
                             sizeof why), SB_CONFIG);
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_ENUM, 0, 0, "Green", &value, why,
                             sizeof why), SB_OK);
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_ENUM, 0, 0, "gree", &value, why,
                             sizeof why), SB_CONFIG);
  CU_ASSERT_STRING_EQUAL(why, "must be one of red, green, blue");
  CU_ASSERT_EQUAL(test_parse(SB_TYPE_ENUM, 0, 0, "red|green", &value, why,
                             sizeof why), SB_CONFIG);
}

static void
test_distance(void)
{
  CU_ASSERT_EQUAL(option_distance("size", "size", 9), 0);
  CU_ASSERT_EQUAL(option_distance("size", "SIZE", 9), 0);
  CU_ASSERT_EQUAL(option_distance("sise", "size", 9), 1);
  CU_ASSERT_EQUAL(option_distance("szie", "size", 9), 1);
  CU_ASSERT_EQUAL(option_distance("kitten", "sitting", 9), 3);
  CU_ASSERT_EQUAL(option_distance("", "abc", 9), 3);
  CU_ASSERT_EQUAL(option_distance("abc", "xyz", 2), 2);
}

/* ---- tables ------------------------------------------------------------- */

static void
test_table_problem(const sb_option *options, size_t count, const char *text)
{
  char why[400] = "";

  CU_ASSERT_EQUAL(option_table_check(sb_host_default(), options, count, why,
                                     sizeof why),
                  text == NULL ? SB_OK : SB_CONFIG);
  if (text != NULL && strstr(why, text) == NULL) {
    tap_note("why: %s", why);
    CU_FAIL("the reason is another");
  }
}

static void
test_tables(void)
{
  sb_option t[2] = {
    { "a.b", SB_TYPE_INT, 0, "3", 1, 5, NULL, "h" },
    { "a.c", SB_TYPE_ENUM, 0, "x", 0, 0, "x|y", "h" },
  };
  sb_option broken[2];
  const sb_option *host;
  size_t count;

  test_table_problem(t, 2, NULL);
  host = sb_host_options(&count);
  test_table_problem(host, count, NULL);
  memcpy(broken, t, sizeof t);
  broken[1].key = "a.b";
  test_table_problem(broken, 2, "key \"a.b\" twice");
  memcpy(broken, t, sizeof t);
  broken[0].default_value = "9";
  test_table_problem(broken, 2, "default \"9\", which must be a whole number");
  memcpy(broken, t, sizeof t);
  broken[0].type = 7;
  test_table_problem(broken, 2, "unknown type");
  memcpy(broken, t, sizeof t);
  broken[1].choices = NULL;
  test_table_problem(broken, 2, "without choices");
  memcpy(broken, t, sizeof t);
  broken[1].key = NULL;
  test_table_problem(broken, 2, "no usable key");
  broken[1].key = "a b";
  test_table_problem(broken, 2, "no usable key");
  memcpy(broken, t, sizeof t);
  broken[0].min = 6;
  test_table_problem(broken, 2, "empty range");
}

/* ---- files -------------------------------------------------------------- */

static void
test_seed_document(void)
{
  sb_config *config = test_new();
  const sb_host *host = sb_host_default();
  sb_error err;
  const char *key = "aws.credentials.provider.basic.secretkey";

  CU_ASSERT_EQUAL(test_load(config, ".yaml", SEED_DOCUMENT, &err), SB_OK);
  CU_ASSERT_EQUAL_FATAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_EQUAL(config->count, 8);
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend"), "s3");
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend.type"), "s3");
  CU_ASSERT_STRING_EQUAL(host->config_string(config, key), "your-secret-key");
  CU_ASSERT_EQUAL(host->config_int(config,
                                   "state.backend.s3.state-file-compression"),
                  1);
  CU_ASSERT_EQUAL(host->config_int(config,
                                   "state.backend.s3.state-file-part-size"),
                  8 << 20);
  CU_ASSERT_EQUAL(host->config_int(config, "state.backend.memory.size"),
                  256 << 20);
  CU_ASSERT_STRING_EQUAL(host->config_string(config,
                                             "state.backend.s3.state-prefix"),
                         "state");
  CU_ASSERT_PTR_NULL(host->config_string(config, "aws.endpoint"));
  CU_ASSERT_EQUAL(host->config_int(config, "no.such.key"), 0);
  sb_config_free(config);
}

/* Every key of the seed document is in the table, not merely tolerated. */
static void
test_seed_keys(void)
{
  sb_config *config = test_new();
  sb_error err;
  size_t i;

  CU_ASSERT_EQUAL(test_load(config, ".yaml", SEED_DOCUMENT, &err), SB_OK);
  CU_ASSERT_EQUAL_FATAL(sb_config_check(config, &err), SB_OK);
  for (i = 0; i < config->count; i++)
    CU_ASSERT_PTR_NOT_NULL(settings_effective(config,
                                              config->settings[i].key));
  sb_config_free(config);
}

static void
test_same_settings(const char *suffix, const char *text)
{
  sb_config *config = test_new();
  sb_error err;

  if (test_load(config, suffix, text, &err) != SB_OK ||
      sb_config_check(config, &err) != SB_OK) {
    tap_note("%s", err.message);
    CU_FAIL("a good file was refused");
    sb_config_free(config);
    return;
  }
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend"), "s3");
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend.s3.bucket"),
                         "x y");
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend.s3.tags"),
                         "a=1,b=2");
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "aws.credentials.provider"),
                         "BASIC");
  CU_ASSERT_EQUAL(settings_int(config, "state.backend.s3.max-connections"),
                  7);
  CU_ASSERT_EQUAL(settings_int(config, "state.backend.s3.fips"), 1);
  sb_config_free(config);
}

static void
test_forms(void)
{
  test_same_settings(".yaml",
    "---\n# flat\n\nstate.backend: s3\nstate.backend.s3.bucket: \"x y\"\n"
    "state.backend.s3.tags: a=1; b=2 ;\naws.credentials.provider: basic\n"
    "state.backend.s3.max-connections:   7  # seven\n"
    "state.backend.s3.fips: true\njobmanager.rpc.address: localhost\n"
    "env.java.opts: \"-Dx=y: z\"\nstate.backend.incremental: true\n"
    "state.backend.rocksdb.memory.size: nonsense\n");
  test_same_settings(".yml",
    "state:\n  backend:\n    type: s3\n    s3: {bucket: x y, fips: TRUE}\n"
    "    s3.max-connections: '7'\n    s3.tags: [a=1, b=2]\n"
    "aws:\n  credentials:\n    provider: BASIC\n"
    "    provider.basic.accesskeyid: a\n"
    "jobmanager: {rpc: {address: [1, 2]}, nothing: ~}\n");
  test_same_settings(".cfg",
    "// libconfig\nstate = { backend = { type = \"s3\";\n"
    "  s3 = { bucket = \"x y\"; tags = [\"a=1\", \"b=2\"];\n"
    "         max-connections = 7; fips = true; }; }; };\n"
    "aws = { credentials = { provider = { type = \"BASIC\";\n"
    "  basic = { accesskeyid = \"a\"; }; }; }; };\nother = 1.5;\n");
  test_same_settings("",
    "state.backend.type: s3\nstate.backend: s3\n"
    "state.backend.s3: &x\n  bucket: x y\n  tags: \"a=1,b=2\"\n"
    "  max-connections: 7\n  fips: true\naws.credentials.provider: BASIC\n");
}

typedef struct test_bad_file {
  const char *suffix;
  const char *text;
  const char *message;
} test_bad_file;

static void
test_bad_files(void)
{
  static const test_bad_file cases[] = {
    { ".yaml", "a: 1\nb: 2\na: 3\n", ":3: \"a\" was set before, in line 1" },
    { ".yaml", "a: {b: 1}\na.b: 2\n",
      ":2: \"a.b\" was set before, in line 1" },
    { ".yaml", "a: [b\n", ": this is not YAML: " },
    { ".yaml", "a: b: c\n", ":1: this is not YAML: " },
    { ".yaml", "just text\n", ":1: settings are written" },
    { ".yaml", "- a\n- b\n", ":1: settings are written" },
    { ".yaml", "a: 1\n---\nb: 2\n", ":3: a second document" },
    { ".yaml", "a: [1, [2]]\n", ":1: the list \"a\" may hold" },
    { ".yaml", "a: [\"1,2\"]\n", ":1: an element of the list \"a\"" },
    { ".yaml", "\"\": 1\n", ":1: a key is empty" },
    { ".yaml", "? [a]\n: 1\n", ":1: a key is not a single value" },
    { ".yaml", "a: \"x\\0y\"\n", ":1: a text holds a NUL" },
    { ".yaml", "a: &x {b: *x}\n", "nested more than 32 deep" },
    { ".yaml", "a: *nothing\n", "this is not YAML" },
    { ".yaml", "a: \xff\n", "this is not YAML" },
    { ".yaml", "state.backend: s3\nstate.backend.type: minio\n",
      ":2: \"state.backend\" is \"s3\" in line 1, but" },
    { ".cfg", "a = ;\n", ":1: this is not libconfig: " },
    { ".cfg", "a = 1;\na = 2;\n", ":2: this is not libconfig: " },
    { ".conf", "a = (1, (2));\n", ":1: the list \"a\" may hold" },
  };
  sb_error err;
  size_t i;

  for (i = 0; i < TAP_COUNT(cases); i++) {
    sb_config *config = test_new();

    CU_ASSERT_EQUAL(test_load(config, cases[i].suffix, cases[i].text, &err),
                    SB_CONFIG);
    CU_ASSERT(test_has(&err, cases[i].message));
    CU_ASSERT_EQUAL(config->count, 0);
    sb_config_free(config);
  }
}

static void
test_no_file(void)
{
  sb_config *config = test_new();
  sb_error err;

  CU_ASSERT_EQUAL(sb_config_load(config, "/nowhere/x.yaml", &err),
                  SB_NOT_FOUND);
  CU_ASSERT(test_has(&err, "could not read configuration "
                     "\"/nowhere/x.yaml\""));
  CU_ASSERT_EQUAL(sb_config_load(config, "/tmp", &err), SB_IO);
  CU_ASSERT_EQUAL(sb_config_load(config, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(test_load(config, ".yaml", "", &err), SB_OK);
  CU_ASSERT_EQUAL(test_load(config, ".yaml", "# nothing\n", &err), SB_OK);
  CU_ASSERT_EQUAL(test_load(config, ".cfg", "", &err), SB_OK);
  CU_ASSERT_EQUAL(config->count, 0);
  sb_config_free(config);
}

/* A file that grows as it is read into flat settings. */
static void
test_too_much(void)
{
  const char *const laughs =
    "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b {a: *a,b: *a,c: *a,d: *a,e: *a}\n"
    "c: &c {a: *b,b: *b,c: *b,d: *b,e: *b,f: *b,g: *b,h: *b,i: *b,j: *b}\n"
    "d: &d {a: *c,b: *c,c: *c,d: *c,e: *c,f: *c,g: *c,h: *c,i: *c,j: *c}\n"
    "e: &e {a: *d,b: *d,c: *d,d: *d,e: *d,f: *d,g: *d,h: *d,i: *d,j: *d}\n"
    "f: &f {a: *e,b: *e,c: *e,d: *e,e: *e,f: *e,g: *e,h: *e,i: *e,j: *e}\n";
  sb_config *config = test_new();
  char *big = malloc(5u << 20);
  sb_error err;

  CU_ASSERT_EQUAL(test_load(config, ".yaml", laughs, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "more than 10000 settings"));
  memset(big, ' ', 5u << 20);
  big[(5u << 20) - 1] = '\0';
  CU_ASSERT_EQUAL(test_load(config, ".yaml", big, &err), SB_TOO_LARGE);
  memset(big, 'v', 70000);
  big[0] = 'k';
  big[1] = ':';
  big[2] = ' ';
  big[70000] = '\0';
  CU_ASSERT_EQUAL(test_load(config, ".yaml", big, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "more than 65536 bytes"));
  memset(big, 'k', 300);
  memcpy(big + 300, ": 1\n", 5);
  CU_ASSERT_EQUAL(test_load(config, ".yaml", big, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "more than 255 bytes"));
  free(big);
  sb_config_free(config);
}

/* ---- checks ------------------------------------------------------------- */

typedef struct test_bad_setting {
  const char *key, *value;
  const char *message;
} test_bad_setting;

static void
test_bad_settings(void)
{
  static const test_bad_setting cases[] = {
    { "state.backend.s3.state-file-part-size", "1kb",
      "--set: \"state.backend.s3.state-file-part-size\" is \"1kb\": must be a "
      "size such as 64kb or 8mb, from 5mb to 5gb" },
    { "state.backend.s3.buket", "x",
      "--set: \"state.backend.s3.buket\" (\"x\") is not an option of plugin "
      "\"s3\"; the nearest is \"state.backend.s3.bucket\"" },
    { "aws.regoin", "x", "the nearest is \"aws.region\"" },
    { "aws.credentials.provider", "NONE",
      "must be one of ENV_VAR, SYS_PROP, PROFILE, BASIC, ASSUME_ROLE, "
      "WEB_IDENTITY_TOKEN, CUSTOM, AUTO" },
    { "state.backend.memory.sise", "1gb",
      "is not an option of the host; the nearest is "
      "\"state.backend.memory.size\"" },
    { "state.backend.memroy.size", "1gb", "\"state.backend.memory.size\"" },
    { "state.backend.fliters", "x", "\"state.backend.filters\"" },
    { "state.backend.memory.size", "1mb", "from 4mb to 1024tb" },
    { "state.backend.compaction.runs", "1", "from 2 to 64" },
    { "state.backend.filters", "s3", "is a backend and not a filter" },
    { "state.backend.filters", "no-such", "there is no plugin \"no-such\"" },
    { "state.backend", "s4",
      "there is no plugin \"s4\"; did you mean \"s3\"?" },
  };
  sb_error err;
  size_t i;

  for (i = 0; i < TAP_COUNT(cases); i++) {
    sb_config *config = test_s3();
    sb_status status;

    test_set(config, cases[i].key, cases[i].value);
    status = sb_config_check(config, &err);
    CU_ASSERT(status == SB_CONFIG || status == SB_NOT_FOUND);
    CU_ASSERT(test_has(&err, cases[i].message));
    CU_ASSERT_EQUAL(sb_config_each(config, NULL, NULL), 0);
    sb_config_free(config);
  }
}

/* What other programs keep in the same file is not ours to judge. */
static void
test_strangers(void)
{
  sb_config *config = test_s3();
  sb_error err;

  test_set(config, "jobmanager.rpc.address", "localhost");
  test_set(config, "state.backend.incremental", "true");
  test_set(config, "state.backend.rocksdb.memory.managed", "maybe");
  test_set(config, "state.backend.minio.bucket", "x");
  test_set(config, "state.backend.local.dir", "/x");
  test_set(config, "state.backend.local-recovery", "x");
  test_set(config, "state.checkpoints.dir", "x");
  test_set(config, "s3.access-key", "x");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "jobmanager.rpc.address"),
                         "localhost");
  sb_config_free(config);
}

static void
test_required(void)
{
  sb_config *config = test_new();
  sb_error err;

  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "\"state.backend\" is not set"));
  test_set(config, "state.backend", "s3");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "\"state.backend.s3.bucket\" is required by s3 and "
                     "not set: The bucket"));
  test_set(config, "state.backend.s3.bucket", " ");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  test_set(config, "state.backend.s3.bucket", "b");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  test_set(config, "state.backend.type", "minio");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "sets \"state.backend.s3.bucket\", which it does "
                     "not read"));
  test_set(config, "state.backend.minio.bucket", "b");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(settings_string(config, "aws.endpoint"),
                         "http://127.0.0.1:9000");
  CU_ASSERT_STRING_EQUAL(settings_string(config, "aws.region"), "us-east-1");
  CU_ASSERT_EQUAL(settings_int(config,
                               "state.backend.minio.path-style-access"), 1);
  sb_config_free(config);
}

static void
test_precedence(void)
{
  sb_config *config = test_s3();
  sb_error err;

  CU_ASSERT_EQUAL(test_load(config, ".yaml",
                            "state.backend.s3.base-path: one\n"
                            "state.backend.type: minio\n", &err), SB_OK);
  CU_ASSERT_EQUAL(test_load(config, ".yaml",
                            "state: {backend: {type: s3}}\n"
                            "state.backend.s3.base-path: two\n", &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend"), "s3");
  test_set(config, "state.backend.s3.base-path", "three");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(settings_string(config,
                                         "state.backend.s3.base-path"),
                         "three");
  test_set(config, "state.backend.s3.base-path", "four");
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend.s3.base-path"),
                         "four");
  sb_config_free(config);
}

static void
test_unchecked_reads(void)
{
  sb_config *config = test_new();

  CU_ASSERT_EQUAL(settings_int(config, "state.backend.memory.size"),
                  256 << 20);
  CU_ASSERT_EQUAL(settings_int(config, "state.backend.compaction.enabled"), 1);
  test_set(config, "state.backend.memory.size", "5mb");
  CU_ASSERT_EQUAL(settings_int(config, "state.backend.memory.size"), 5 << 20);
  CU_ASSERT_PTR_NULL(settings_string(config, "state.backend.filters"));
  CU_ASSERT_STRING_EQUAL(sb_config_get(config, "state.backend.memory.size"),
                         "5mb");
  CU_ASSERT_PTR_NULL(sb_config_get(config, "nothing"));
  CU_ASSERT_EQUAL(sb_config_set(config, "", "x", NULL, NULL), SB_INVALID);
  CU_ASSERT_EQUAL(sb_config_set(config, "x", NULL, NULL, NULL), SB_INVALID);
  sb_config_free(config);
}

/* ---- secrets ------------------------------------------------------------ */

typedef struct test_dump {
  char text[16384];
  const char *last;
  int sorted;
} test_dump;

static int
test_dump_add(void *arg, const char *key, const char *value,
              const char *source)
{
  test_dump *dump = arg;
  size_t len = strlen(dump->text);

  if (dump->last != NULL && strcmp(dump->last, key) >= 0)
    dump->sorted = 0;
  dump->last = key;
  (void)snprintf(dump->text + len, sizeof dump->text - len, "%s=%s (%s)\n",
                 key, value, source);
  return 0;
}

static int
test_dump_stop(void *arg, const char *key, const char *value,
               const char *source)
{
  (void)arg;
  (void)key;
  (void)value;
  (void)source;
  return 42;
}

static void
test_secrets(void)
{
  static test_dump dump;
  sb_config *config = test_s3();
  sb_error err;

  memset(&dump, 0, sizeof dump);
  dump.sorted = 1;
  test_set(config, "aws.credentials.provider.basic.secretkey", "hunter2");
  test_set(config, "aws.sessionToken", "hunter2");
  test_set(config, "state.backend.s3.proxy.password", "hunter2");
  test_set(config, "state.backend.s3.proxy.url", "http://me:hunter2@proxy:1");
  test_set(config, "aws.endpoint", "https://server:9000/a:b@c");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_config_each(config, test_dump_add, &dump), 0);
  CU_ASSERT_PTR_NULL(strstr(dump.text, "hunter2"));
  CU_ASSERT_PTR_NOT_NULL(strstr(dump.text, "secretkey=****** (--set)\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(dump.text, "aws.sessionToken=******"));
  CU_ASSERT_PTR_NOT_NULL(strstr(dump.text, "=https://server:9000/a:b@c"));
  CU_ASSERT_PTR_NOT_NULL(strstr(dump.text,
                                "state.backend.memory.size=256mb (default)"));
  CU_ASSERT(dump.sorted);
  CU_ASSERT_EQUAL(sb_config_each(config, test_dump_stop, NULL), 42);
  test_set(config, "aws.credentials.provider.basic.secretkye", "hunter2");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "(\"******\") is not an option"));
  CU_ASSERT_PTR_NULL(strstr(err.message, "hunter2"));
  sb_config_free(config);
  config = test_s3();
  test_set(config, "aws.my.Password.of.mine", "hunter2");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT_PTR_NULL(strstr(err.message, "hunter2"));
  sb_config_free(config);
}

/* ---- failing allocations ------------------------------------------------ */

static sb_status
test_faulty_run(faulty_host *f, const char *suffix, sb_error *err)
{
  sb_config *config = NULL, *copy = NULL;
  sb_status status = settings_new(&f->host, &config, err);

  if (status == SB_OK)
    status = sb_config_load(config, test_path, err);
  if (status == SB_OK)
    status = sb_config_set(config, "state.backend.s3.bucket", "c", NULL, err);
  if (status == SB_OK)
    status = sb_config_check(config, err);
  if (status == SB_OK)
    status = settings_copy(config, &f->host, &copy, err);
  if (status == SB_OK)
    status = sb_config_check(copy, err);
  if (status == SB_OK)
    CU_ASSERT(settings_equal(config, copy));
  sb_config_free(config);
  sb_config_free(copy);
  (void)suffix;
  return status;
}

static void
test_faulty_file(const char *suffix, const char *text)
{
  faulty_host f;
  sb_error err;
  sb_status status = SB_NO_MEMORY;
  long n;

  test_write(suffix, text, strlen(text));
  for (n = 1; status != SB_OK && n < 10000; n++) {
    faulty_host_init(&f, n);
    status = test_faulty_run(&f, suffix, &err);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    if (status != SB_OK && status != SB_NO_MEMORY)
      tap_note("allocation %ld: %s", n, err.message);
    CU_ASSERT_EQUAL(atomic_load(&f.live), 0);
  }
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT(n > 50);
  (void)unlink(test_path);
}

static void
test_faulty(void)
{
  test_faulty_file(".yaml", SEED_DOCUMENT "x: [1, 2, 3]\n");
  test_faulty_file(".cfg", "state = { backend = { type = \"s3\"; s3 = "
                   "{ bucket = \"x\"; tags = [\"a\", \"b\"]; }; }; };\n");
}

int
main(int argc, char **argv)
{
  static const tap_case types[] = {
    { "numbers", test_numbers },
    { "ranges", test_ranges },
    { "distance", test_distance },
    { "tables", test_tables },
  };
  static const tap_case files[] = {
    { "seed_document", test_seed_document },
    { "seed_keys", test_seed_keys },
    { "forms", test_forms },
    { "bad_files", test_bad_files },
    { "no_file", test_no_file },
    { "too_much", test_too_much },
  };
  static const tap_case checks[] = {
    { "bad_settings", test_bad_settings },
    { "strangers", test_strangers },
    { "required", test_required },
    { "precedence", test_precedence },
    { "unchecked_reads", test_unchecked_reads },
    { "secrets", test_secrets },
    { "faulty", test_faulty },
  };
  static const tap_suite suites[] = {
    { "types", types, TAP_COUNT(types) },
    { "files", files, TAP_COUNT(files) },
    { "checks", checks, TAP_COUNT(checks) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
