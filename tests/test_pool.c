/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool behind the default host's memory. Goal: every allocation keeps its
 * bytes through any growing, shrinking and handing from thread to thread,
 * nothing overlaps, and memory that was freed is not resident. Method: random
 * operations whose contents are known, and resident memory read from the
 * system.
 */
#include "config.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/plugin/pool.h"
#include "tests/tap.h"

#define MIB ((size_t)1 << 20)

static uint64_t
test_random(uint64_t *seed)
{
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

/* Bytes of address space and of resident memory. */
static void
test_memory(size_t *all, size_t *resident)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  unsigned long pages[2] = { 0, 0 };
  FILE *f = fopen("/proc/self/statm", "r");

  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  CU_ASSERT_EQUAL(fscanf(f, "%lu %lu", &pages[0], &pages[1]), 2);
  (void)fclose(f);
  *all = pages[0] * page;
  *resident = pages[1] * page;
}

static size_t
test_resident(void)
{
  size_t all, resident;

  test_memory(&all, &resident);
  return resident;
}

/* ---- contents ----------------------------------------------------------- */

/* Each byte follows from the block's tag and its place. */
typedef struct test_block {
  uint8_t *data;
  size_t len;
  uint64_t tag;
} test_block;

static uint8_t
test_byte(uint64_t tag, size_t at)
{
  return (uint8_t)(tag * 31 + at * 7 + (at >> 8) + (at >> 16));
}

static void
test_fill(test_block *b, size_t from)
{
  for (; from < b->len; from++)
    b->data[from] = test_byte(b->tag, from);
}

static int
test_holds(const test_block *b, size_t len)
{
  size_t i;

  for (i = 0; i < len; i++)
    if (b->data[i] != test_byte(b->tag, i))
      return 0;
  return 1;
}

/* Mostly near the sizes at which the kind changes. */
static size_t
test_size(uint64_t *seed)
{
  static const size_t edges[] = { 16,     1024,   2048,      4096,
                                  65536,  262144, 1u << 20,  3u << 19 };
  uint64_t pick = test_random(seed);
  size_t edge = edges[pick % 40 < 32 ? pick % 4 : 4 + pick % 4];

  return pick % 3 == 0 ? 1 + test_random(seed) % edge
                       : edge - 8 + test_random(seed) % 17;
}

/* One random operation; 0 if anything was wrong. */
static int
test_step(test_block *b, uint64_t *seed)
{
  size_t kept, len = test_size(seed);
  uint8_t *data;

  if (b->data != NULL && !test_holds(b, b->len))
    return 0;
  if (b->data != NULL && test_random(seed) % 3 == 0) {
    b->data = pool_alloc(b->data, 0);
    return b->data == NULL;
  }
  data = pool_alloc(b->data, len);
  if (data == NULL || ((uintptr_t)data & 15) != 0)
    return 0;
  kept = b->data == NULL ? 0 : len < b->len ? len : b->len;
  b->data = data;
  b->len = len;
  if (!test_holds(b, kept))
    return 0;
  b->tag = test_random(seed);
  test_fill(b, 0);
  return 1;
}

/* ---- threads ------------------------------------------------------------ */

#define TEST_BLOCKS 256u
#define TEST_THREADS 4u

/* Blocks go from one thread to another through here. */
typedef struct test_shared {
  pthread_mutex_t lock;
  test_block blocks[TEST_BLOCKS];
  int wrong;
} test_shared;

typedef struct test_worker {
  test_shared *shared;
  uint64_t seed;
  unsigned steps;
} test_worker;

static void *
test_work(void *arg)
{
  test_worker *w = arg;
  test_shared *shared = w->shared;
  test_block mine = { .data = NULL }, swap;
  unsigned i;
  int wrong = 0;

  for (i = 0; i < w->steps; i++) {
    test_block *slot = &shared->blocks[test_random(&w->seed) % TEST_BLOCKS];

    (void)pthread_mutex_lock(&shared->lock);
    swap = *slot;
    *slot = mine;
    (void)pthread_mutex_unlock(&shared->lock);
    mine = swap;
    wrong |= !test_step(&mine, &w->seed);
  }
  (void)pool_alloc(mine.data, 0);
  (void)pthread_mutex_lock(&shared->lock);
  shared->wrong |= wrong;
  (void)pthread_mutex_unlock(&shared->lock);
  return NULL;
}

static void
test_threads(void)
{
  static test_shared shared = { .lock = PTHREAD_MUTEX_INITIALIZER };
  test_worker workers[TEST_THREADS];
  pthread_t threads[TEST_THREADS];
  unsigned i;

  for (i = 0; i < TEST_THREADS; i++) {
    workers[i].shared = &shared;
    workers[i].seed = 88172645463325252ull + i;
    workers[i].steps = tap_is_slow() ? 500 : 2000;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, test_work,
                                         &workers[i]), 0);
  }
  for (i = 0; i < TEST_THREADS; i++)
    (void)pthread_join(threads[i], NULL);
  CU_ASSERT_EQUAL(shared.wrong, 0);
  for (i = 0; i < TEST_BLOCKS; i++)
    (void)pool_alloc(shared.blocks[i].data, 0);
}

/* ---- sizes -------------------------------------------------------------- */

/* Every size is writable to its end and keeps what it holds when it grows by
   one byte and shrinks by one. */
static void
test_sizes(void)
{
  size_t step = tap_is_slow() ? 97 : 7, len;
  int wrong = 0;

  for (len = 1; len < 300000; len += 1 + len / 512 + (len > 2100 ? step : 0)) {
    test_block b = { .len = len, .tag = len };

    b.data = pool_alloc(NULL, len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b.data);
    wrong |= ((uintptr_t)b.data & 15) != 0;
    test_fill(&b, 0);
    b.data = pool_alloc(b.data, len + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b.data);
    b.data[len] = 1;
    wrong |= !test_holds(&b, len);
    b.data = pool_alloc(b.data, len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b.data);
    wrong |= !test_holds(&b, len);
    CU_ASSERT_PTR_NULL(pool_alloc(b.data, 0));
  }
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_PTR_NULL(pool_alloc(NULL, 0));
}

/* Through all kinds, up and down, and within large mappings. */
static void
test_resize(void)
{
  static const size_t sizes[] = { 1,       1024,    1025,    4096,   70000,
                                  262144,  262145,  400000,  1u << 20,
                                  5000001, 9000000, 5000000, 300000, 270000,
                                  900000,  200000,  5000,    600,    1u << 20,
                                  8,       3000 };
  test_block b = { .data = NULL, .tag = 9 };
  size_t i;

  for (i = 0; i < TAP_COUNT(sizes); i++) {
    uint8_t *data = pool_alloc(b.data, sizes[i]);
    size_t kept = b.len < sizes[i] ? b.len : sizes[i];

    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    b.data = data;
    b.len = sizes[i];
    CU_ASSERT(test_holds(&b, kept));
    test_fill(&b, kept);
  }
  (void)pool_alloc(b.data, 0);
}

/* ---- resident memory ---------------------------------------------------- */

#define TEST_PIECES 65536u

/* Frees in a scattered order all but one in `keep`. */
static void
test_scatter(uint8_t **pieces, unsigned keep)
{
  unsigned i;

  for (i = 0; i < TEST_PIECES; i++) {
    unsigned at = (unsigned)(i * 40503ull % TEST_PIECES);

    if (at % keep != 0)
      pieces[at] = pool_alloc(pieces[at], 0);
  }
}

static void
test_resident_of(size_t len, unsigned keep, size_t slack)
{
  static uint8_t *pieces[TEST_PIECES];
  size_t before = test_resident(), after, live, at;
  unsigned i;

  for (i = 0; i < TEST_PIECES; i++) {
    pieces[i] = pool_alloc(NULL, len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
    for (at = 0; at < len; at += 1024)
      pieces[i][at] = 1;
  }
  CU_ASSERT(test_resident() <= before + TEST_PIECES * len * 17 / 16 + slack);
  test_scatter(pieces, keep);
  live = TEST_PIECES / keep * len;
  after = test_resident();
  tap_note("%zu bytes: before %zu, %zu live, after %zu", len, before, live,
           after);
  CU_ASSERT(after <= before + live * 17 / 16 + slack);
  for (i = 0; i < TEST_PIECES; i += keep)
    (void)pool_alloc(pieces[i], 0);
  CU_ASSERT(test_resident() <= before + slack);
}

static void
test_returns(void)
{
  if (pool_is_plain() || tap_is_slow()) {
    tap_skip("memory is malloc's");
    return;
  }
  if (sysconf(_SC_PAGESIZE) != 4096) {
    tap_skip("pages hold several pieces");
    return;
  }
  test_resident_of(4096, 4, 2 * MIB);
  test_resident_of(1500, 64, 8 * MIB);
}

static void
test_returns_large(void)
{
  size_t before, i;
  uint8_t *data;

  if (pool_is_plain() || tap_is_slow()) {
    tap_skip("memory is malloc's");
    return;
  }
  before = test_resident();
  for (i = 0; i < 20; i++) {
    data = pool_alloc(NULL, 20 * MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    memset(data, 1, 20 * MIB);
    data = pool_alloc(data, MIB + 5);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT(test_resident() <= before + 3 * MIB);
    data = pool_alloc(data, 20 * MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_EQUAL(data[MIB + 4], 1);
    (void)pool_alloc(data, 0);
  }
  CU_ASSERT(test_resident() <= before + MIB);
}

/* ---- failure ------------------------------------------------------------ */

static void
test_too_much(void)
{
  static const size_t lens[] = { 10, 2000, 300000 };
  volatile size_t most = SIZE_MAX;
  size_t i, less;

  if (tap_is_slow()) {
    tap_skip("tools report what is too much");
    return;
  }
  for (i = 0; i < TAP_COUNT(lens); i++) {
    test_block b = { .len = lens[i], .tag = i };

    b.data = pool_alloc(NULL, lens[i]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b.data);
    test_fill(&b, 0);
    for (less = 0; less < 3; less++) {
      CU_ASSERT_PTR_NULL(pool_alloc(NULL, most - less * (1u << 20)));
      CU_ASSERT_PTR_NULL(pool_alloc(b.data, most - less * (1u << 20)));
      CU_ASSERT_PTR_NULL(pool_alloc(b.data, most / 2 - less));
      CU_ASSERT_PTR_NULL(pool_alloc(b.data, most / 2 - (4u << 20)));
    }
    CU_ASSERT(test_holds(&b, b.len));
    (void)pool_alloc(b.data, 0);
  }
}

/* In a child that gets so much address space more: 0 if all went as it
   should. */
static int
test_limited(rlim_t space)
{
  struct rlimit limit = { space, space };
  static const size_t lens[] = { 2000, 100000, 700000 };
  test_block b = { .tag = 1 };
  size_t i;

  if (setrlimit(RLIMIT_AS, &limit) != 0)
    return 77;
  for (i = 0; i < TAP_COUNT(lens); i++) {
    uint8_t *first = NULL, *next;

    b.len = lens[i];
    b.data = pool_alloc(NULL, b.len);
    if (b.data == NULL)
      return 1;
    test_fill(&b, 0);
    while ((next = pool_alloc(NULL, lens[i])) != NULL) {
      memcpy(next, &first, sizeof first);
      first = next;
    }
    if (first == NULL || pool_alloc(b.data, 200 * MIB) != NULL ||
        !test_holds(&b, b.len))
      return 2;
    for (; first != NULL; first = next) {
      memcpy(&next, first, sizeof next);
      (void)pool_alloc(first, 0);
    }
    b.data = pool_alloc(b.data, 100 * MIB);
    if (b.data == NULL || !test_holds(&b, b.len))
      return 3;
    (void)pool_alloc(b.data, 0);
  }
  return 0;
}

static void
test_exhausted(void)
{
  size_t all, resident;
  int status = 0;
  pid_t child;

  if (pool_is_plain() || tap_is_slow()) {
    tap_skip("memory is malloc's");
    return;
  }
  test_memory(&all, &resident);
  child = fork();
  CU_ASSERT_FATAL(child >= 0);
  if (child == 0)
    _exit(test_limited(all + 256 * MIB));
  CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
  CU_ASSERT(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77)
    tap_skip("no limit can be set");
  else
    CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

static const tap_case pool_cases[] = {
  { "sizes", test_sizes },
  { "resize", test_resize },
  { "threads", test_threads },
  { "returns", test_returns },
  { "returns-large", test_returns_large },
  { "too-much", test_too_much },
  { "exhausted", test_exhausted },
};

static const tap_suite suites[] = {
  { "pool", pool_cases, TAP_COUNT(pool_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
