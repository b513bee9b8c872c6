/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters over the local plugin. Goal: each does what its options say, and
 * nothing else. Method: open the stack, run operations, look at the outcome
 * and at what is on the disk.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/tap.h"

#define FAULT "state.backend.filter.fault."
#define LATENCY "state.backend.filter.latency."
#define TRACE "state.backend.filter.trace."
#define STATS "state.backend.filter.stats."

/* Opens local under `filters` with up to six more settings. */
static void
filters_setup(fixture *f, const char *filters, const char *const *settings)
{
  const char *all[20] = { "state.backend.filters", filters,
                          "state.backend.local.sync", "false" };
  sb_error error;
  size_t i;

  memset(f, 0, sizeof *f);
  for (i = 0; settings != NULL && settings[i] != NULL && i < 14; i++)
    all[i + 4] = settings[i];
  error.message[0] = '\0';
  if (fixture_open_local(f, all, &error) != SB_OK) {
    tap_note("%s", error.message);
    CU_FAIL_FATAL("could not open");
  }
}

static sb_status
filters_put(fixture *f, const char *name, const char *text)
{
  sb_error error;

  return fixture_put(f, name, text, 0, NULL, NULL, &error);
}

static void
test_fault_nth(void)
{
  static const char *const settings[] = {
    FAULT "operations", "put", FAULT "nth", "3", NULL,
  };
  fixture f;
  sb_error error;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "1"), SB_OK);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "2"), SB_OK);
  CU_ASSERT_EQUAL(fixture_put(&f, "a", "3", 0, NULL, NULL, &error), SB_IO);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "injected"));
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "\"a\""));
  CU_ASSERT_TRUE(fixture_has(&f, "a", "2"));
  CU_ASSERT_EQUAL(filters_put(&f, "a", "4"), SB_OK);
  CU_ASSERT_TRUE(fixture_has(&f, "a", "4"));
  fixture_remove(&f);
}

static void
test_fault_persistent(void)
{
  static const char *const settings[] = {
    FAULT "operations", "put,head", FAULT "nth", "2",
    FAULT "persistent", "true", FAULT "status", "unavailable", NULL,
  };
  fixture f;
  sb_error error;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "1"), SB_OK);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "2"), SB_UNAVAILABLE);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "a", NULL, &error),
                  SB_UNAVAILABLE);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "3"), SB_UNAVAILABLE);
  CU_ASSERT_TRUE(fixture_has(&f, "a", "1"));
  fixture_remove(&f);
}

static void
test_fault_after(void)
{
  static const char *const settings[] = {
    FAULT "operations", "put,remove", FAULT "nth", "1",
    FAULT "persistent", "true", FAULT "when", "after", NULL,
  };
  fixture f;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "1"), SB_UNKNOWN);
  CU_ASSERT_TRUE(fixture_has(&f, "a", "1"));
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "a", NULL), SB_UNKNOWN);
  CU_ASSERT_FALSE(fixture_has(&f, "a", "1"));
  fixture_remove(&f);
}

static void
test_fault_torn(void)
{
  static const char *const settings[] = {
    FAULT "operations", "put", FAULT "nth", "1", FAULT "action", "torn",
    FAULT "seed", "5", NULL,
  };
  fixture f;
  store_meta meta;
  sb_error error;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "0123456789"), SB_UNKNOWN);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "a", &meta, &error), SB_OK);
  CU_ASSERT_TRUE(meta.size < 10);
  fixture_remove(&f);
}

static void
test_fault_lies(void)
{
  static const char *const settings[] = {
    FAULT "operations", "put", FAULT "nth", "1", FAULT "status", "ok", NULL,
  };
  fixture f;
  sb_error error;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "0123456789"), SB_OK);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "a", NULL, &error),
                  SB_NOT_FOUND);
  fixture_remove(&f);
}

static void
test_fault_corrupt(void)
{
  static const char *const settings[] = {
    FAULT "operations", "get", FAULT "nth", "1", FAULT "action", "corrupt",
    NULL,
  };
  fixture f;
  uint8_t bytes[10];
  uint64_t got;
  unsigned bits = 0;
  sb_error error;
  int i;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "0123456789"), SB_OK);
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "a", 0, bytes, 10, &got, NULL,
                            0, &error), SB_OK);
  for (i = 0; i < 10; i++)
    bits += (unsigned)__builtin_popcount(bytes[i] ^ (unsigned)('0' + i));
  CU_ASSERT_EQUAL(bits, 1);
  CU_ASSERT_TRUE(fixture_has(&f, "a", "0123456789"));
  fixture_remove(&f);
}

static void
test_fault_rate(void)
{
  static const char *const settings[] = {
    FAULT "operations", "head", FAULT "rate", "0.3", FAULT "seed", "17", NULL,
  };
  fixture f;
  unsigned failed = 0;
  sb_error error;
  int i;

  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "a", "x"), SB_OK);
  for (i = 0; i < 500; i++)
    failed += store_head(&f.host, f.store, "a", NULL, &error) != SB_OK;
  CU_ASSERT_TRUE(failed > 100 && failed < 200);
  fixture_remove(&f);
}

static void
test_fault_trigger(void)
{
  char trigger[300];
  const char *settings[] = {
    FAULT "trigger", trigger, FAULT "nth", "1", FAULT "persistent", "true",
    FAULT "name", "bad", NULL,
  };
  fixture f;
  FILE *file;

  (void)snprintf(trigger, sizeof trigger, "%s/sb-trigger.%ld",
                 getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR"),
                 (long)getpid());
  filters_setup(&f, "fault", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "bad", "1"), SB_OK);
  file = fopen(trigger, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  fclose(file);
  CU_ASSERT_EQUAL(filters_put(&f, "bad", "2"), SB_IO);
  CU_ASSERT_EQUAL(filters_put(&f, "good", "2"), SB_OK);
  CU_ASSERT_EQUAL(unlink(trigger), 0);
  CU_ASSERT_EQUAL(filters_put(&f, "bad", "3"), SB_OK);
  fixture_remove(&f);
}

/* A commit that fails before its effect has none, and its stream is gone. */
static void
test_fault_stream(void)
{
  static const char *const before[] = {
    FAULT "operations", "commit", FAULT "nth", "1", NULL,
  };
  static const char *const opening[] = {
    FAULT "operations", "open", FAULT "nth", "1", NULL,
  };
  fixture f;
  store_writer *w;
  sb_error error;

  filters_setup(&f, "fault", before);
  CU_ASSERT_EQUAL_FATAL(store_writer_open(&f.host, f.store, "a", 0, 0, &w,
                                          &error), SB_OK);
  CU_ASSERT_EQUAL(store_writer_add(w, "x", 1, &error), SB_OK);
  CU_ASSERT_EQUAL(store_writer_commit(w, NULL, &error), SB_IO);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "a", NULL, &error),
                  SB_NOT_FOUND);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
  filters_setup(&f, "fault", opening);
  CU_ASSERT_EQUAL(store_writer_open(&f.host, f.store, "a", 0, 0, &w, &error),
                  SB_IO);
  fixture_remove(&f);
}

static void
test_bad_options(void)
{
  static const char *const settings[] = {
    "state.backend.filters", "fault", FAULT "operations", "put,fly", NULL,
  };
  static const char *const twice[] = {
    "state.backend.filters", "latency", LATENCY "p50", "20ms",
    LATENCY "p99", "10ms", NULL,
  };
  fixture f;
  sb_error error;

  memset(&f, 0, sizeof f);
  CU_ASSERT_EQUAL(fixture_open_local(&f, settings, &error), SB_CONFIG);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "fly"));
  fixture_remove(&f);
  CU_ASSERT_EQUAL(fixture_open_local(&f, twice, &error), SB_CONFIG);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "p99"));
  fixture_remove(&f);
}

static uint64_t
filters_elapsed_ms(fixture *f, unsigned count)
{
  uint64_t start_ns = f->host.monotonic_ns(&f->host);
  sb_error error;
  unsigned i;

  for (i = 0; i < count; i++)
    CU_ASSERT_EQUAL(store_head(&f->host, f->store, "a", NULL, &error),
                    SB_NOT_FOUND);
  return (f->host.monotonic_ns(&f->host) - start_ns) / 1000000;
}

static void
test_latency(void)
{
  static const char *const fixed[] = { LATENCY "delay", "20ms", NULL };
  static const char *const drawn[] = {
    LATENCY "p50", "10ms", LATENCY "p99", "30ms", LATENCY "seed", "3", NULL,
  };
  static const char *const puts_only[] = {
    LATENCY "delay", "10 s", LATENCY "operations", "put", NULL,
  };
  fixture f;
  uint64_t ms;

  filters_setup(&f, "latency", fixed);
  CU_ASSERT_TRUE(filters_elapsed_ms(&f, 5) >= 95);
  fixture_remove(&f);
  filters_setup(&f, "latency", drawn);
  ms = filters_elapsed_ms(&f, 30);
  CU_ASSERT_TRUE(ms > 150);
  tap_note("30 drawn delays took %u ms", (unsigned)ms);
  fixture_remove(&f);
  filters_setup(&f, "latency", puts_only);
  CU_ASSERT_TRUE(filters_elapsed_ms(&f, 5) < 5000);
  fixture_remove(&f);
}

static void
test_bandwidth(void)
{
  static const char *const settings[] = { LATENCY "bandwidth", "1mb", NULL };
  static char data[100 << 10];
  fixture f;
  uint64_t start_ns, got;
  sb_error error;

  filters_setup(&f, "latency", settings);
  start_ns = f.host.monotonic_ns(&f.host);
  CU_ASSERT_EQUAL(store_put(&f.host, f.store, "a", data, sizeof data, 0, NULL,
                            NULL, 0, NULL, 0, &error), SB_OK);
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "a", 0, data, sizeof data, &got,
                            NULL, 0, &error), SB_OK);
  CU_ASSERT_EQUAL(got, sizeof data);
  /* 200 KiB at 1 MiB a second. */
  CU_ASSERT_TRUE(f.host.monotonic_ns(&f.host) - start_ns > 180000000);
  fixture_remove(&f);
}

static int
filters_file_has(const char *path, const char *text)
{
  static char all[65536];
  FILE *file = fopen(path, "r");
  size_t n;

  if (file == NULL)
    return 0;
  n = fread(all, 1, sizeof all - 1, file);
  all[n] = '\0';
  fclose(file);
  return strstr(all, text) != NULL;
}

static void
test_stats_and_trace(void)
{
  char stats[300], trace[300];
  const char *settings[] = { STATS "file", stats, TRACE "file", trace,
                             TRACE "log", "false", NULL };
  const char *base = getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR");
  fixture f;
  sb_error error;

  (void)snprintf(stats, sizeof stats, "%s/sb-stats.%ld", base,
                 (long)getpid());
  (void)snprintf(trace, sizeof trace, "%s/sb-trace.%ld", base,
                 (long)getpid());
  filters_setup(&f, "stats,trace", settings);
  CU_ASSERT_EQUAL(filters_put(&f, "some/a", "12345"), SB_OK);
  CU_ASSERT_EQUAL(fixture_put(&f, "some/a", "1", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_EXISTS);
  CU_ASSERT_TRUE(fixture_has(&f, "some/a", "12345"));
  fixture_remove(&f);
  CU_ASSERT_TRUE(filters_file_has(stats, "put.count=2\n"));
  CU_ASSERT_TRUE(filters_file_has(stats, "put.bytes=5\n"));
  CU_ASSERT_TRUE(filters_file_has(stats, "put.errors=0\n"));
  CU_ASSERT_TRUE(filters_file_has(stats, "get.bytes=5\n"));
  CU_ASSERT_TRUE(filters_file_has(trace, "put \"some/a\" status=ok bytes=5"));
  CU_ASSERT_TRUE(filters_file_has(trace, "status=exists"));
  CU_ASSERT_TRUE(filters_file_has(trace, "condition=create"));
  CU_ASSERT_EQUAL(unlink(stats), 0);
  CU_ASSERT_EQUAL(unlink(trace), 0);
}

static void
test_memory(void)
{
  fixture f;
  long n;

  filters_setup(&f, "stats,latency,fault,trace",
                (const char *const[]){ TRACE "log", "false", NULL });
  for (n = 1; n < 100; n++) {
    sb_status status;

    atomic_store(&f.allocations, 0);
    atomic_store(&f.allocation_fails, n);
    status = filters_put(&f, "a", "x");
    atomic_store(&f.allocation_fails, 0);
    if (atomic_load(&f.allocations) < n)
      break;
    CU_ASSERT_EQUAL(status, SB_NO_MEMORY);
  }
  CU_ASSERT_TRUE(n > 4 && n < 100);
  CU_ASSERT_TRUE(fixture_has(&f, "a", "x"));
  fixture_remove(&f);
}

static int
filters_is_dead(void *arg, const char *name)
{
  (void)arg;
  (void)name;
  return 1;
}

/* What the lower store has not, a filter does not claim to have. */
static void
test_optional(void)
{
  fixture f;

  filters_setup(&f, "stats,fault", NULL);
  CU_ASSERT_FALSE(SB_STORE_HAS(f.store, sweep));
  CU_ASSERT_FALSE(SB_STORE_HAS(f.store, describe));
  CU_ASSERT_EQUAL(store_sweep(&f.host, f.store, "", filters_is_dead, NULL,
                              NULL, NULL), SB_UNSUPPORTED);
  fixture_remove(&f);
}

static const tap_case filters_cases[] = {
  { "fault_nth", test_fault_nth },
  { "fault_persistent", test_fault_persistent },
  { "fault_after", test_fault_after },
  { "fault_torn", test_fault_torn },
  { "fault_lies", test_fault_lies },
  { "fault_corrupt", test_fault_corrupt },
  { "fault_rate", test_fault_rate },
  { "fault_trigger", test_fault_trigger },
  { "fault_stream", test_fault_stream },
  { "bad_options", test_bad_options },
  { "latency", test_latency },
  { "bandwidth", test_bandwidth },
  { "stats_and_trace", test_stats_and_trace },
  { "memory", test_memory },
  { "optional", test_optional },
};

static const tap_suite filters_suites[] = {
  { "filters", filters_cases, TAP_COUNT(filters_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, filters_suites, TAP_COUNT(filters_suites));
}
