/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout `entries`: after each checkpoint the objects are those of a
 * model, through removals, expiry, compaction, rescaling, take-overs,
 * roll-backs, failures of any request, and writers that have been overtaken.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/base/mem.h"
#include "host/engine/entries_name.h"
#include "host/store/store.h"
#include "tests/entries_fixture.h"

static void
store_object(world *w, const char *name)
{
  sb_error err;

  CU_ASSERT_EQUAL(store_put(&w->host, w->store, name, "x", 1, 0, NULL, NULL, 0,
                            NULL, 0, &err), SB_OK);
}

/* ---- names -------------------------------------------------------------- */

static void
names_round_trip(size_t key_len, size_t ns_len, const char *extension)
{
  static uint8_t bytes[65536];
  char name[PATH_SIZE], *part, *rest;
  entries_parsed parsed;
  int hashed;
  size_t i;

  for (i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 31 + key_len + ns_len);
  CU_ASSERT_EQUAL(entries_name("b/state/", "op/%5Fs", 77,
                               sb_slice_of(bytes, key_len),
                               sb_slice_of(bytes + 9, ns_len), extension,
                               name, &hashed, NULL), SB_OK);
  CU_ASSERT_EQUAL(store_name_check(name, NULL), SB_OK);
  CU_ASSERT_FATAL(entries_parse("b/state/", extension, name, &parsed));
  CU_ASSERT_STRING_EQUAL(parsed.dir, "op/%5Fs");
  CU_ASSERT_EQUAL(parsed.key_group, 77);
  CU_ASSERT_EQUAL(parsed.hashed, hashed);
  CU_ASSERT_EQUAL(hashed, key_len + ns_len > 740);
  if (!hashed) {
    CU_ASSERT(parsed.key_len == key_len &&
              memcmp(parsed.key, bytes, key_len) == 0);
    CU_ASSERT(parsed.ns_len == ns_len &&
              memcmp(parsed.ns, bytes + 9, ns_len) == 0);
  }
  for (part = strtok_r(name, "/", &rest); part != NULL;
       part = strtok_r(NULL, "/", &rest))
    CU_ASSERT(strlen(part) <= ENTRIES_PART_MAX + strlen(extension));
}

static void
test_names(void)
{
  entries_parsed parsed;
  char name[PATH_SIZE];
  int hashed;
  size_t n;

  for (n = 0; n < 320; n++) {
    names_round_trip(n, 0, ".state");
    names_round_trip(n, n % 7, "");
    names_round_trip(150, n, ".s");
    names_round_trip(n * 200, 0, ".state");
    names_round_trip(n, n * 200, ".state");
    names_round_trip(n * 90, n * 200, "");
  }
  CU_ASSERT_EQUAL(entries_name("s/", "n", 7, sb_slice_of("ab?>", 4),
                               sb_slice_of("\xff", 1), ".state", name,
                               &hashed, NULL), SB_OK);
  CU_ASSERT_STRING_EQUAL(name, "s/n/7/YWI_Pg._w.state");
  CU_ASSERT_EQUAL(entries_name("s/", "n", 0, sb_slice_of(NULL, 0),
                               sb_slice_of(NULL, 0), ".state", name, &hashed,
                               NULL), SB_OK);
  CU_ASSERT_STRING_EQUAL(name, "s/n/0/!..state");
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/0/..state", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/00/YQ..state", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/0/YQ.state", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/0/YR..state", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/0/Y/Q..state", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/0/YQ..other", &parsed));
  CU_ASSERT(!entries_parse("s/", ".state", "s/_/0/YQ..state", &parsed) ||
            strcmp(parsed.dir, "_") == 0);
  CU_ASSERT(!entries_parse("s/", ".state", "s/n/32768/YQ..state", &parsed));
}

/* ---- the model ---------------------------------------------------------- */

static void
follow(int compression, const char *runs, size_t handles, unsigned rounds,
       uint64_t seed)
{
  world *w = world_new(compression, runs, seed);
  unsigned i;

  world_takeover(w, 1);
  world_open(w, handles, UINT64_MAX);
  for (i = 0; i < rounds; i++) {
    world_change(w, i % 10 == 0 ? 300 : 20);
    w->now_ms += 50;
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
    CU_ASSERT_EQUAL(world_through(w), i == 0 ? 0 : w->next_id - 2);
  }
  world_free(w);
}

static void
test_model(void)
{
  follow(1, "2", 1, tap_is_slow() ? 15 : 40, 1);
}

static void
test_uncompressed(void)
{
  follow(0, "3", 2, tap_is_slow() ? 10 : 20, 2);
}

static void
test_requests(void)
{
  world *w = world_new(1, "64", 3);
  unsigned i;

  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  for (i = 0; i < 10; i++)
    (void)world_put(w, 0, i, 0, "one", 0);
  world_reset_counts(w);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT_EQUAL(w->puts, 10);
  CU_ASSERT_EQUAL(w->looks, 0);
  /* Nothing has changed. */
  world_reset_counts(w);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT_EQUAL(w->requests, 0);
  /* The same once more, and one new, one other and one removed. */
  for (i = 0; i < 5; i++)
    (void)world_put(w, 0, i, 0, "one", 0);
  (void)world_put(w, 0, 5, 0, "two", 0);
  (void)world_put(w, 0, 10, 0, "new", 0);
  (void)world_remove(w, 0, 6, 0);
  (void)world_remove(w, 0, 11, 0);
  world_reset_counts(w);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT_EQUAL(w->puts, 2);
  CU_ASSERT_EQUAL(w->looks, 2);
  CU_ASSERT_EQUAL(w->removes, 1);
  CU_ASSERT(world_check(w, NULL, 0));
  world_free(w);
}

static void
test_expiry(void)
{
  world *w = world_new(1, "64", 4);

  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  (void)world_put(w, 0, 1, 0, "a", w->now_ms + 10);
  (void)world_put(w, 0, 2, 0, "b", w->now_ms + 1000);
  (void)world_put(w, 1, 1, 0, "c", w->now_ms + 10);
  (void)world_put(w, 1, 1, 0, "d", 0);
  (void)world_put(w, 2, 1, 0, "ae", w->now_ms + 10);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(world_check(w, NULL, 0));
  w->now_ms += 20;
  world_reset_counts(w);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(world_check(w, NULL, 0));
  CU_ASSERT_EQUAL(w->puts, 1);
  world_reset_counts(w);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT_EQUAL(w->requests, 0);
  world_free(w);
}

/* What was removed is gone from the segments too, tombstones and all, when the
   checkpoint comes. */
static void
test_forgotten(void)
{
  static char filler[65536];
  world *w = world_new(1, "2", 12);
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  sb_keyed *h;
  sb_error err;
  unsigned i, rounds;

  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  world_change(w, 200);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  for (i = 0; i < WORLD_KEYS; i++)
    (void)world_remove(w, i % WORLD_STATES, i, 0);
  h = w->handles[0];
  for (rounds = 0; rounds < 40 && stats.compactions == 0; rounds++) {
    for (i = 0; i < 64; i++) {
      sb_key k = { .state = 0, .key = sb_slice_of(&i, sizeof i) };

      k.key_group = sb_key_group(sb_hash_bytes(k.key), WORLD_GROUPS);
      CU_ASSERT_EQUAL(h->ops->put(h, &k, sb_slice_of(filler, sizeof filler), 0,
                                  &err), SB_OK);
      CU_ASSERT_EQUAL(h->ops->remove(h, &k, &err), SB_OK);
    }
    CU_ASSERT_EQUAL(h->ops->stats(h, &stats), SB_OK);
  }
  for (i = 0; i < 1000 && stats.compactions == 0; i++) {
    (void)nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    CU_ASSERT_EQUAL(h->ops->stats(h, &stats), SB_OK);
  }
  CU_ASSERT(stats.compactions > 0);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(world_check(w, NULL, 0));
  world_free(w);
}

static void
large_check(world *w, const char *name, const char *size, const char *omitted)
{
  char *got = NULL;
  store_meta meta;
  sb_error err;

  CU_ASSERT_EQUAL(store_head_meta(&w->host, w->store, name, "size", &meta,
                                  &got, &err), SB_OK);
  CU_ASSERT(got != NULL && strcmp(got, size) == 0);
  mem_free(&w->host, got);
  CU_ASSERT_EQUAL(meta.size == 0, omitted != NULL);
  CU_ASSERT_EQUAL(store_head_meta(&w->host, w->store, name, "omitted", NULL,
                                  &got, &err), SB_OK);
  CU_ASSERT(omitted == NULL ? got == NULL
                            : got != NULL && strcmp(got, omitted) == 0);
  mem_free(&w->host, got);
}

/* Bodies up to a quarter of the budget of 16 MiB. */
static void
test_large(void)
{
  static char bytes[3 << 20];
  world *w = world_new(0, "64", 14);
  sb_key k = { .key_group = 3, .key = sb_slice_of("large", 5) };
  sb_error err;
  unsigned i;

  memset(bytes, 'b', sizeof bytes);
  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  CU_ASSERT_EQUAL(w->handles[0]->ops->put(w->handles[0], &k,
                                          sb_slice_of(bytes, sizeof bytes), 0,
                                          &err), SB_OK);
  k.state = 1;
  for (i = 0; i < 3; i++)
    CU_ASSERT_EQUAL(w->handles[0]->ops->append(w->handles[0], &k,
                                               sb_slice_of(bytes, 2 << 20), 0,
                                               &err), SB_OK);
  for (i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    large_check(w, "base/state/value/3/bGFyZ2U..state", "3145728", NULL);
    large_check(w, "base/state/list/3/bGFyZ2U..state", "6291458",
                "too-large");
  }
  world_free(w);
}

/* ---- take-overs --------------------------------------------------------- */

static void
test_takeover(void)
{
  world *w = world_new(1, "2", 5);
  unsigned i;

  for (i = 0; i < 12; i++) {
    model committed;

    world_takeover(w, i % 3 + 1);
    world_open(w, i % 3 + 1, i == 0 ? UINT64_MAX : 0);
    world_change(w, 80);
    w->now_ms += 30;
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
    world_change(w, 20);
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
    committed = w->model;
    world_change(w, 20); /* lost */
    w->model = committed;
    world_crash(w);
  }
  world_free(w);
}

static void
test_roll_back(void)
{
  world *w = world_new(1, "2", 6);
  static model old[3];
  unsigned i, round;

  world_takeover(w, 4);
  world_open(w, 1, UINT64_MAX);
  for (round = 0; round < 5; round++) {
    uint64_t first = w->next_id;

    for (i = 0; i < 3; i++) {
      world_change(w, 60);
      CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
      old[i] = w->model;
    }
    world_crash(w);
    world_takeover(w, 4);
    world_open(w, 2, first + round % 3);
    w->model = old[round % 3];
    if (round % 2 == 0)
      world_change(w, 10);
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
  }
  world_free(w);
}

/* State is thrown away, and so are its entries; other objects stay. */
static void
test_start_over(void)
{
  world *w = world_new(1, "2", 7);

  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  world_change(w, 200);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(world_check(w, NULL, 0));
  store_object(w, "base/state/README");
  store_object(w, "base/state/value/0/YWJj..state");
  store_object(w, "base/state/other/0/YWJj..state");
  world_crash(w);
  world_takeover(w, 1);
  world_open(w, 1, UINT64_MAX);
  memset(&w->model, 0, sizeof w->model);
  (void)world_put(w, 0, 1, 1, "only", 0);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(world_check(w, NULL, 3));
  world_free(w);
}

/* ---- failures ----------------------------------------------------------- */

/* A base, then a checkpoint in which request `at` and `count` - 1 more fail.
   How many requests it made. */
static long
fail_once(world *w, long at, long count, int mode)
{
  long made;

  world_change(w, 25);
  world_fail(w, at, count, mode);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  made = w->requests;
  world_fail(w, 0, 0, 0);
  return made;
}

static void
test_failures(void)
{
  static const long counts[] = { 1, 1000000 };
  world *w = world_new(1, "3", 8);
  int mode, i, worked = 0;
  long at;

  world_takeover(w, 2);
  world_open(w, 2, UINT64_MAX);
  world_change(w, 100);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  for (mode = WORLD_FAILS; mode <= WORLD_UNKNOWN; mode++)
    for (i = 0; i < 2; i++)
      for (at = 1; at < 200; at += tap_is_slow() ? 9 : 4) {
        if (fail_once(w, at, counts[i], mode) < at)
          break;
        /* A single lost request is made good at once. */
        if (i == 0) {
          worked += world_check(w, NULL, 0);
        } else if (mode == WORLD_FAILS) {
          CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
          CU_ASSERT_EQUAL(world_through(w), 0);
        }
        if (at % 3 == 0)
          world_change(w, 10);
        CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
        CU_ASSERT_FATAL(world_check(w, NULL, 0));
      }
  CU_ASSERT(worked > 5);
  world_free(w);
}

/* Allocation 1, 2, 3 ... within a commit fails. */
static void
test_no_memory(void)
{
  world *w = world_new(1, "64", 13);
  long at, step = tap_is_slow() ? 83 : 29;
  int failed = 1;

  world_takeover(w, 2);
  world_open(w, 1, UINT64_MAX);
  for (at = 1; failed && at < 5000; at += at < 30 ? 3 : step) {
    world_change(w, 12);
    w->no_memory_at = at;
    (void)world_checkpoint(w);
    failed = w->memory_failed;
    w->no_memory_at = 0;
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
  }
  tap_note("%ld allocations", at);
  CU_ASSERT(!failed);
  world_free(w);
}

/* The writer dies between its checkpoint and the end of its entries. */
static void
test_died(void)
{
  world *w = world_new(1, "3", 9);
  long at;

  world_takeover(w, 3);
  world_open(w, 1, UINT64_MAX);
  world_change(w, 100);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  for (at = 1; at < 60; at += tap_is_slow() ? 7 : 2) {
    model committed;
    uint32_t retain = (uint32_t)(at / 2 % 3 + 1);

    if (fail_once(w, at, 1000000, WORLD_FAILS) < at)
      break;
    committed = w->model;
    world_change(w, 20);
    w->model = committed;
    world_crash(w);
    world_takeover(w, retain);
    world_open(w, 1 + (size_t)at / 2 % 2, 0);
    if (at % 5 != 0)
      world_change(w, 20);
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_FATAL(world_check(w, NULL, 0));
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT_EQUAL(world_through(w), w->next_id - 2);
  }
  world_free(w);
}

/* ---- two writers -------------------------------------------------------- */

static sb_job *overtaken;
static unsigned overtaken_spares; /* the key that the successor leaves alone */

/* In the middle of somebody's entries a successor takes the job over, changes
   the same keys and commits. */
static void
overtake(world *w)
{
  sb_keyed *handles[WORLD_HANDLES];
  size_t count = w->handle_count;
  unsigned i;

  memcpy(handles, w->handles, sizeof handles);
  overtaken = w->job;
  world_takeover(w, 2);
  world_open(w, 1, 0);
  for (i = 0; i < 14; i++)
    if (i != overtaken_spares)
      (void)world_put(w, 0, i, 0, "second", 0);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  world_close_handles(w);
  memcpy(w->handles, handles, sizeof handles);
  w->handle_count = count;
}

static void
overtaken_at(long at, int removes, unsigned spares)
{
  world *w = world_new(1, "64", 10);
  sb_keyed *handle;
  unsigned i;

  world_takeover(w, 2);
  world_open(w, 1, UINT64_MAX);
  for (i = 0; i < 14; i++)
    (void)world_put(w, 0, i, 0, "begin", 0);
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  for (i = 0; i < 14; i++)
    if (removes)
      (void)world_remove(w, 0, i, 0);
    else
      (void)world_put(w, 0, i, 0, "first", 0);
  world_reset_counts(w);
  overtaken_spares = spares;
  w->hook = overtake;
  w->hook_at = at;
  CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
  CU_ASSERT(w->hook == NULL);
  CU_ASSERT(world_check(w, NULL, 0));
  /* And its next commit is refused without touching anything. */
  handle = w->handles[0];
  if (overtaken != NULL) {
    sb_job *second = w->job;
    model committed = w->model;

    w->job = overtaken;
    overtaken = NULL;
    (void)world_put(w, 0, 3, 0, "zombie", 0);
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_FENCED);
    w->model = committed;
    CU_ASSERT(world_check(w, NULL, 0));
    handle->ops->close(handle);
    w->handle_count = 0;
    w->backend->ops->job_close(w->job);
    w->job = second;
    world_open(w, 1, 0);
    w->next_id++;
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT(world_check(w, NULL, 0));
  }
  world_free(w);
}

static void
test_overtaken(void)
{
  long at;

  for (at = 1; at <= 28; at += tap_is_slow() ? 9 : 3)
    overtaken_at(at, 0, 99);
  /* While the last key is looked at that is to be removed: one of these. */
  for (at = 0; at < 14; at++)
    overtaken_at(14, 1, (unsigned)at);
}

/* Without If-Match entries are written all the same. */
static void
test_no_match(void)
{
  world *w = world_new(1, "2", 11);
  unsigned i;

  w->flags_off = SB_STORE_MATCH;
  world_takeover(w, 2);
  world_open(w, 1, UINT64_MAX);
  for (i = 0; i < 6; i++) {
    world_change(w, 40);
    CU_ASSERT_EQUAL(world_checkpoint(w), SB_OK);
    CU_ASSERT(world_check(w, NULL, 0));
  }
  world_free(w);
}

static const tap_case cases[] = {
  { "names", test_names },
  { "requests", test_requests },
  { "model", test_model },
  { "uncompressed", test_uncompressed },
  { "expiry", test_expiry },
  { "forgotten", test_forgotten },
  { "large", test_large },
  { "take-over", test_takeover },
  { "roll-back", test_roll_back },
  { "start over", test_start_over },
  { "failures", test_failures },
  { "no memory", test_no_memory },
  { "died", test_died },
  { "overtaken", test_overtaken },
  { "no If-Match", test_no_match },
};

static const tap_suite suites[] = { { "entries", cases, TAP_COUNT(cases) } };

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
