/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins and the factory. Goal: each broken plugin is refused with one line
 * that says what is wrong; backends are shared exactly by those who ask for
 * the same; filters are stacked in order and closed on every failure. Method:
 * plugins made to be broken, and fakes that count what is asked of them.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/engine/engine.h"
#include "host/plugin/plugin.h"
#include "tests/fake-plugins/fake.h"
#include "tests/faulty_host.h"
#include "tests/tap.h"

static fake_counters counters;
static char work[64];

static int
test_has(const sb_error *err, const char *text)
{
  if (strstr(err->message, text) != NULL)
    return 1;
  tap_note("message: %s", err->message);
  return 0;
}

static void
test_path(char *path, size_t size, const char *directory, const char *name)
{
  (void)snprintf(path, size, "%s/%s", directory, name);
}

static int
test_copy(const char *from, const char *to, size_t len)
{
  static char data[1 << 20];
  FILE *in = fopen(from, "r");
  FILE *out = fopen(to, "w");
  size_t n = 0;

  if (in != NULL)
    n = fread(data, 1, sizeof data, in);
  if (out != NULL && fwrite(data, 1, n < len ? n : len, out) == 0)
    n = 0;
  if (in != NULL)
    (void)fclose(in);
  if (out != NULL)
    (void)fclose(out);
  return n == 0 ? -1 : 0;
}

/* ---- the engine, as far as the factory needs one ------------------------ */

/* The root of the store that the engine got: shows the stack of filters. */
static char test_engine_root[128];

typedef struct test_engine {
  sb_backend base;
  const sb_host *host;
  sb_store *store;
} test_engine;

static void
test_engine_close(sb_backend *backend)
{
  test_engine *opened = (test_engine *)backend;

  opened->store->ops->close(opened->store);
  opened->host->alloc(opened->host, opened, 0);
}

static sb_backend_ops test_engine_ops;

sb_status
engine_open(const sb_host *host, sb_store *store,
            const sb_engine_options *options, const sb_config *config,
            sb_backend **out, sb_error *err)
{
  test_engine *opened = host->alloc(host, NULL, sizeof *opened);

  (void)options;
  (void)config;
  *out = NULL;
  if (opened == NULL) {
    store->ops->close(store);
    return sb_error_set(err, SB_NO_MEMORY, "no memory for an engine");
  }
  (void)snprintf(test_engine_root, sizeof test_engine_root, "%s",
                 store->ops->info(store)->root);
  opened->base.ops = &test_engine_ops;
  opened->host = host;
  opened->store = store;
  *out = &opened->base;
  return SB_OK;
}

/* Every method but close is one that is never called. */
static void
test_engine_init(void)
{
  void (*never)(void) = abort;
  size_t i;

  for (i = 2 * sizeof (uint32_t); i < sizeof test_engine_ops;
       i += sizeof never)
    memcpy((char *)&test_engine_ops + i, &never, sizeof never);
  test_engine_ops.struct_size = sizeof test_engine_ops;
  test_engine_ops.abi_version = SB_ABI_VERSION;
  test_engine_ops.close = test_engine_close;
}

/* ---- broken plugins ----------------------------------------------------- */

typedef struct test_bad {
  const char *name;
  sb_status status;
  const char *message;
} test_bad;

static void
test_bad_plugins(void)
{
  static const test_bad cases[] = {
    { "noentry", SB_MISMATCH, "it has no entry point sb_plugin_init" },
    { "nulltable", SB_MISMATCH, "sb_plugin_init returned no table" },
    { "major", SB_MISMATCH, "it has ABI 2, this host needs 1" },
    { "small", SB_MISMATCH, "its table has 48 bytes, this host needs " },
    { "noopen", SB_MISMATCH, "lacks the required method open" },
    { "nofilter", SB_MISMATCH, "lacks the required method filter" },
    { "namediffers", SB_MISMATCH,
      "it calls itself \"another\", its file says \"namediffers\"" },
    { "duplicate", SB_MISMATCH,
      "its option table has the key \"state.backend.duplicate.one\" twice" },
    { "baddefault", SB_MISMATCH, "has the default \"x\", which must be a" },
    { "undefined", SB_CONFIG, "bad_symbol_of_nobody" },
    { "nokind", SB_MISMATCH, "is of no known kind" },
    { "optionsize", SB_MISMATCH, "its options are of an unknown size" },
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(cases); i++) {
    const sb_plugin *found = &(sb_plugin){ 0 };
    const char *where;
    char path[PLUGIN_PATH_MAX];
    sb_error err;

    CU_ASSERT_EQUAL(sb_plugin_find(cases[i].name, &found, &where, &err),
                    cases[i].status);
    CU_ASSERT(test_has(&err, cases[i].message));
    CU_ASSERT_PTR_NULL(found);
    (void)snprintf(path, sizeof path, "sb-%s.so", cases[i].name);
    CU_ASSERT(test_has(&err, path));
  }
}

static void
test_good_plugins(void)
{
  const sb_plugin *found, *again;
  const char *where, *elsewhere;
  char path[PLUGIN_PATH_MAX];
  sb_error err;

  CU_ASSERT_EQUAL_FATAL(sb_plugin_find("newer", &found, &where, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(found->name, "newer");
  CU_ASSERT_EQUAL(found->struct_size, sizeof *found);
  CU_ASSERT_EQUAL(found->option_size, sizeof (sb_option));
  CU_ASSERT_EQUAL(found->option_count, 2);
  CU_ASSERT_STRING_EQUAL(found->options[1].key, "state.backend.newer.two");
  CU_ASSERT_STRING_EQUAL(found->options[1].help, "Two.");
  CU_ASSERT_EQUAL(sb_plugin_find("newer", &again, NULL, NULL), SB_OK);
  CU_ASSERT_PTR_EQUAL(again, found);
  CU_ASSERT_EQUAL(sb_plugin_find(where, &again, &elsewhere, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(again, found);
  test_path(path, sizeof path, TEST_BAD_PLUGINS, "./sb-newer.so");
  CU_ASSERT_EQUAL(sb_plugin_find(path, &again, &elsewhere, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(again, found);
}

static void
test_bad_file(const char *name, const char *message)
{
  const sb_plugin *found;
  char path[PLUGIN_PATH_MAX];
  sb_error err;

  test_path(path, sizeof path, work, name);
  CU_ASSERT_EQUAL(sb_plugin_find(path, &found, NULL, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, message));
  CU_ASSERT(test_has(&err, path));
}

static void
test_bad_files(void)
{
  const char *const good = TEST_FAKE_PLUGINS "/sb-fake.so";
  char path[PLUGIN_PATH_MAX];
  struct stat st;

  test_path(path, sizeof path, work, "sb-text.so");
  CU_ASSERT_EQUAL(test_copy("/etc/passwd", path, 1000), 0);
  test_bad_file("sb-text.so", "it is not a shared object");
  test_path(path, sizeof path, work, "sb-empty.so");
  (void)fclose(fopen(path, "w"));
  test_bad_file("sb-empty.so", "it is not a shared object");
  test_path(path, sizeof path, work, "sb-directory.so");
  CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
  test_bad_file("sb-directory.so", "it is not a regular file");
  test_path(path, sizeof path, work, "sb-fifo.so");
  CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
  test_bad_file("sb-fifo.so", "it is not a regular file");
  test_bad_file("sb-missing.so", "there is no such file");
  CU_ASSERT_EQUAL(stat(good, &st), 0);
  test_path(path, sizeof path, work, "sb-cut.so");
  CU_ASSERT_EQUAL(test_copy(good, path, 20), 0);
  test_bad_file("sb-cut.so", "it is cut short");
  CU_ASSERT_EQUAL(test_copy(good, path, 100), 0);
  test_bad_file("sb-cut.so", "it is cut short");
  CU_ASSERT_EQUAL(test_copy(good, path, 4096), 0);
  test_bad_file("sb-cut.so", "it is cut short");
}

/* A good plugin under a name that is none of a plugin. */
static void
test_file_names(void)
{
  const char *const good = TEST_FAKE_PLUGINS "/sb-fake.so";
  const sb_plugin *found;
  char path[PLUGIN_PATH_MAX];
  sb_error err;

  test_path(path, sizeof path, work, "plugin.so");
  CU_ASSERT_EQUAL(test_copy(good, path, 1 << 20), 0);
  CU_ASSERT_EQUAL(sb_plugin_find(path, &found, NULL, &err), SB_MISMATCH);
  CU_ASSERT(test_has(&err, "its file is not named sb-NAME.so"));
  CU_ASSERT_EQUAL(sb_plugin_find("", &found, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_plugin_find(NULL, &found, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_plugin_find("UPPER", &found, NULL, &err), SB_NOT_FOUND);
}

static void
test_not_found(void)
{
  const sb_plugin *found;
  sb_error err;

  CU_ASSERT_EQUAL(sb_plugin_find("fakes", &found, NULL, &err), SB_NOT_FOUND);
  CU_ASSERT(test_has(&err, "there is no plugin \"fakes\"; did you mean "
                     "\"fake\"?; found: fake, fakefilter, "));
  CU_ASSERT(test_has(&err, "searched: " ));
  CU_ASSERT_EQUAL(sb_plugin_find("zzzzzzzzzzzz", &found, NULL, &err),
                  SB_NOT_FOUND);
  CU_ASSERT_PTR_NULL(strstr(err.message, "did you mean"));
}

typedef struct test_seen {
  unsigned count, shadowed, fakes;
  char last[64];
} test_seen;

static int
test_each_seen(void *arg, const char *name, const char *path, int shadowed)
{
  test_seen *seen = arg;

  seen->count++;
  seen->shadowed += shadowed != 0;
  if (strcmp(name, "fake") == 0) {
    seen->fakes++;
    CU_ASSERT_EQUAL(shadowed, seen->fakes == 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(path, "/sb-fake.so"));
  }
  return strcmp(name, "noopen") == 0 ? 5 : 0;
}

static void
test_each(void)
{
  test_seen seen = { 0 };
  char path[PLUGIN_PATH_MAX], old[PLUGIN_PATH_MAX];
  const sb_plugin *found;
  const char *where;

  test_path(path, sizeof path, work, "second");
  CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
  test_path(path, sizeof path, work, "second/sb-fake.so");
  CU_ASSERT_EQUAL(test_copy(TEST_FAKE_PLUGINS "/sb-fake.so", path, 1 << 20),
                  0);
  (void)snprintf(old, sizeof old, "%s", getenv("SB_PLUGIN_PATH"));
  (void)snprintf(path, sizeof path, "/nowhere::%s:%s/second",
                 TEST_FAKE_PLUGINS, work);
  (void)setenv("SB_PLUGIN_PATH", path, 1);
  CU_ASSERT_EQUAL(sb_plugin_each(test_each_seen, &seen), 0);
  CU_ASSERT_EQUAL(seen.fakes, 2);
  CU_ASSERT(seen.shadowed >= 1);
  CU_ASSERT_EQUAL(sb_plugin_find("fake", &found, &where, NULL), SB_OK);
  CU_ASSERT_PTR_NOT_NULL(strstr(where, TEST_FAKE_PLUGINS));
  (void)setenv("SB_PLUGIN_PATH", old, 1);
  CU_ASSERT_EQUAL(sb_plugin_each(test_each_seen, &seen), 5);
}

/* ---- the factory -------------------------------------------------------- */

static sb_config *
test_config(const char *key, const char *value)
{
  sb_config *config;

  CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, NULL), SB_OK);
  (void)sb_config_set(config, "state.backend", "fake", NULL, NULL);
  if (key != NULL)
    (void)sb_config_set(config, key, value, "--set", NULL);
  return config;
}

static sb_status
test_open(const sb_host *host, const char *key, const char *value,
          sb_backend **out, sb_error *err)
{
  sb_config *config = test_config(key, value);
  sb_status status = sb_backend_open(config, host, out, err);

  sb_config_free(config);
  return status;
}

static void
test_reset(void)
{
  memset(&counters, 0, sizeof counters);
  test_engine_root[0] = '\0';
}

static void
test_sharing(void)
{
  faulty_host other;
  sb_backend *a, *b, *c, *d, *e;
  sb_error err;

  test_reset();
  faulty_host_init(&other, 0);
  CU_ASSERT_EQUAL(test_open(NULL, NULL, NULL, &a, &err), SB_OK);
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend.fake.size", "1024", &b, &err),
                  SB_OK);
  CU_ASSERT_PTR_EQUAL(a, b);
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend.type",
                            TEST_FAKE_PLUGINS "/sb-fake.so", &b, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(a, b);
  CU_ASSERT_EQUAL(test_open(NULL, "stranger", "x", &b, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(a, b);
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend.fake.size", "1025", &c, &err),
                  SB_OK);
  CU_ASSERT_PTR_NOT_EQUAL(a, c);
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend.memory.size", "5mb", &d,
                            &err), SB_OK);
  CU_ASSERT_PTR_NOT_EQUAL(a, d);
  CU_ASSERT_EQUAL(test_open(&other.host, NULL, NULL, &e, &err), SB_OK);
  CU_ASSERT_PTR_NOT_EQUAL(a, e);
  CU_ASSERT_EQUAL(counters.opens, 4);
  sb_backend_close(a);
  sb_backend_close(a);
  sb_backend_close(a);
  CU_ASSERT_EQUAL(counters.backend_closes, 0);
  sb_backend_close(a);
  CU_ASSERT_EQUAL(counters.backend_closes, 1);
  sb_backend_close(c);
  sb_backend_close(d);
  sb_backend_close(e);
  sb_backend_close(NULL);
  CU_ASSERT_EQUAL(counters.backend_closes, 4);
  CU_ASSERT_EQUAL(atomic_load(&other.live), 0);
}

typedef struct test_failure {
  const char *mode;
  sb_status status;
  const char *message;
} test_failure;

static void
test_failures(void)
{
  static const test_failure cases[] = {
    { "fail", SB_DENIED, "the fake fails as asked" },
    { "silent", SB_DENIED, "plugin \"fake\" failed without a message" },
    { "positive", SB_INVALID, "the unknown status 7" },
    { "null", SB_MISMATCH, "it has no table" },
    { "no-gc", SB_MISMATCH, "lacks the required method gc" },
  };
  sb_backend *backend;
  sb_error err;
  size_t i;

  test_reset();
  for (i = 0; i < TAP_COUNT(cases); i++) {
    backend = (sb_backend *)&err;
    CU_ASSERT_EQUAL(test_open(NULL, "state.backend.fake.mode", cases[i].mode,
                              &backend, &err), cases[i].status);
    CU_ASSERT(test_has(&err, cases[i].message));
    CU_ASSERT_PTR_NULL(backend);
  }
  CU_ASSERT_EQUAL(counters.backend_closes, 1);
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend", "hostkey", &backend, &err),
                  SB_CONFIG);
  CU_ASSERT(test_has(&err, "plugin \"hostkey\" has the option "
                     "\"state.backend.memory.size\", which belongs to the "
                     "host"));
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend", "fakefilter", &backend,
                            &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "which is a filter"));
  CU_ASSERT_EQUAL(test_open(NULL, "state.backend.fakefilter.fail", "1",
                            &backend, &err), SB_OK);
  sb_backend_close(backend);
  CU_ASSERT_EQUAL(sb_backend_open(NULL, NULL, &backend, &err), SB_INVALID);
}

static sb_status
test_open_engine(const sb_host *host, const char *filters, const char *fail,
                 sb_backend **out, sb_error *err)
{
  sb_config *config = test_config("state.backend.fake.mode", "engine");
  sb_status status;

  (void)sb_config_set(config, "state.backend.filters", filters, NULL, NULL);
  if (fail != NULL)
    (void)sb_config_set(config, "state.backend.fakefilter.fail", fail, NULL,
                        NULL);
  status = sb_backend_open(config, host, out, err);
  sb_config_free(config);
  return status;
}

static void
test_filters(void)
{
  sb_backend *backend;
  sb_error err;

  test_reset();
  CU_ASSERT_EQUAL(test_open_engine(NULL, "", NULL, &backend, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(test_engine_root, "fake");
  sb_backend_close(backend);
  CU_ASSERT_EQUAL(counters.store_closes, 1);
  CU_ASSERT_EQUAL(test_open_engine(NULL, "fakefilter; fakefilter", NULL,
                                   &backend, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(test_engine_root, "filter+filter+fake");
  sb_backend_close(backend);
  CU_ASSERT_EQUAL(counters.store_closes, 4);
  test_reset();
  CU_ASSERT_EQUAL(test_open_engine(NULL, "fakefilter,fakefilter,fakefilter",
                                   "3", &backend, &err), SB_IO);
  CU_ASSERT(test_has(&err, "the filter fails as asked"));
  CU_ASSERT_EQUAL(counters.store_closes, 3);
  CU_ASSERT_PTR_NULL(backend);
  CU_ASSERT_EQUAL(test_open_engine(NULL, "fakefilter", "200", &backend, &err),
                  SB_CONFIG);
  CU_ASSERT(test_has(&err, "\"state.backend.fakefilter.fail\" is \"200\""));
}

/* A filter's keys are judged only where the filter is used. */
static void
test_filter_keys(void)
{
  sb_config *config = test_config("state.backend.fakefilter.fale", "1");
  sb_error err;

  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  (void)sb_config_set(config, "state.backend.filters", "fakefilter", NULL,
                      NULL);
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "--set: \"state.backend.fakefilter.fale\" (\"1\") "
                     "is not an option of plugin \"fakefilter\"; the nearest "
                     "is \"state.backend.fakefilter.fail\""));
  (void)sb_config_set(config, "state.backend.filters", "fake", NULL, NULL);
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_CONFIG);
  CU_ASSERT(test_has(&err, "is a backend and not a filter"));
  sb_config_free(config);
}

/* state.backend.plugin.path is searched after SB_PLUGIN_PATH. */
static void
test_plugin_path(void)
{
  sb_config *config = test_config("state.backend.fake.ratio", "0.25");
  char old[PLUGIN_PATH_MAX];
  sb_error err;

  (void)snprintf(old, sizeof old, "%s", getenv("SB_PLUGIN_PATH"));
  (void)setenv("SB_PLUGIN_PATH", "/nowhere", 1);
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_NOT_FOUND);
  CU_ASSERT(test_has(&err, "there is no plugin \"fake\""));
  CU_ASSERT(test_has(&err, "searched: /nowhere, "));
  (void)sb_config_set(config, "state.backend.plugin.path",
                      "/elsewhere ; " TEST_FAKE_PLUGINS, NULL, NULL);
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  CU_ASSERT_DOUBLE_EQUAL(sb_host_default()->config_double(
                           config, "state.backend.fake.ratio"), 0.25, 1e-9);
  (void)unsetenv("SB_PLUGIN_PATH");
  CU_ASSERT_EQUAL(sb_config_check(config, &err), SB_OK);
  (void)setenv("SB_PLUGIN_PATH", old, 1);
  sb_config_free(config);
}

static void
test_keyed_options(void)
{
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = "",
    .operator_id = "",
    .key_group_count = 128,
    .key_group_last = 127,
  };
  sb_backend *backend;
  sb_keyed *keyed;
  sb_error err;

  test_reset();
  CU_ASSERT_EQUAL(test_open(NULL, NULL, NULL, &backend, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_UNSUPPORTED);
  CU_ASSERT_EQUAL(counters.keyed_opens, 1);
  options.key_group_last = 128;
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_INVALID);
  options.key_group_last = 127;
  options.flags = 1u << 31;
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_INVALID);
  options.flags = 0;
  options.job = "a/b";
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_INVALID);
  options.job = "..";
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_INVALID);
  options.job = "";
  options.key_group_count = SB_KEY_GROUPS_MAX + 1;
  CU_ASSERT_EQUAL(sb_backend_keyed(backend, &options, &keyed, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(counters.keyed_opens, 1);
  sb_backend_close(backend);
}

/* ---- many threads ------------------------------------------------------- */

static void *
test_open_close(void *arg)
{
  unsigned i;

  for (i = 0; i < 50; i++) {
    sb_backend *backend;

    if (test_open(NULL, NULL, NULL, &backend, NULL) != SB_OK)
      return arg;
    sb_backend_close(backend);
  }
  return NULL;
}

/* Never two at once, and none left. */
static void
test_threads(void)
{
  pthread_t threads[4];
  void *failed;
  size_t i;

  test_reset();
  counters.slow_ms = 1;
  for (i = 0; i < 4; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, test_open_close,
                                         &counters), 0);
  for (i = 0; i < 4; i++) {
    (void)pthread_join(threads[i], &failed);
    CU_ASSERT_PTR_NULL(failed);
  }
  CU_ASSERT_EQUAL(counters.open_most, 1);
  CU_ASSERT_EQUAL(counters.open_now, 0);
  CU_ASSERT_EQUAL(counters.opens, counters.backend_closes);
}

static void
test_faulty(void)
{
  sb_status status = SB_NO_MEMORY;
  long n;

  test_reset();
  for (n = 1; status != SB_OK && n < 10000; n++) {
    faulty_host f;
    sb_backend *backend;
    sb_error err;

    faulty_host_init(&f, n);
    status = test_open_engine(&f.host, "fakefilter,fakefilter", NULL, &backend,
                              &err);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    sb_backend_close(backend);
    CU_ASSERT_EQUAL(atomic_load(&f.live), 0);
  }
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT(n > 20);
}

static void
test_clean_up(void)
{
  char command[128];

  (void)snprintf(command, sizeof command, "rm -rf '%s'", work);
  if (system(command) != 0)
    tap_note("could not remove %s", work);
}

int
main(int argc, char **argv)
{
  static const tap_case loading[] = {
    { "bad_plugins", test_bad_plugins },
    { "good_plugins", test_good_plugins },
    { "bad_files", test_bad_files },
    { "file_names", test_file_names },
    { "not_found", test_not_found },
    { "each", test_each },
  };
  static const tap_case factory[] = {
    { "sharing", test_sharing },
    { "failures", test_failures },
    { "filters", test_filters },
    { "filter_keys", test_filter_keys },
    { "plugin_path", test_plugin_path },
    { "keyed_options", test_keyed_options },
    { "threads", test_threads },
    { "faulty", test_faulty },
  };
  static const tap_suite suites[] = {
    { "loading", loading, TAP_COUNT(loading) },
    { "factory", factory, TAP_COUNT(factory) },
  };

  (void)snprintf(work, sizeof work, "/tmp/sb-plugin.XXXXXX");
  if (mkdtemp(work) == NULL)
    return 99;
  (void)atexit(test_clean_up);
  (void)setenv("SB_PLUGIN_PATH", TEST_FAKE_PLUGINS ":" TEST_BAD_PLUGINS, 1);
  test_engine_init();
  if (sb_host_register(FAKE_COUNTERS, &counters, NULL) != SB_OK)
    return 99;
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
