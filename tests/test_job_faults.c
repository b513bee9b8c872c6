/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of a job, repeated with operation 1, 2, 3 ... of the store going
 * wrong in every way, with allocation 1, 2, 3 ... failing, and with a second
 * committer breaking in at every operation. After each: what was reported
 * committed is there, what was reported failed is not, all that is listed can
 * be read, and one collection leaves no orphan.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/job_fixture.h"
#include "tests/tap.h"

#define LIFE_IDS 64

/* What callers were told. */
typedef struct life {
  fixture f;
  sb_status told[LIFE_IDS]; /* by id; 1: nothing yet */
  uint64_t next_id;
} life;

static sb_status
life_takeover(life *l, uint32_t retain, sb_job **job)
{
  sb_takeover_options options = { .struct_size = sizeof options, .job = "j",
                                  .job_id = "id", .retain = retain };
  sb_error err;

  return job_takeover(&l->f.env, &options, job, &err);
}

static sb_status
life_commit(life *l, sb_job *job, uint64_t id)
{
  static fixture_part parts[2];
  sb_error err;
  int tries;

  memset(parts, 0, sizeof parts);
  parts[0].named = id % 2 == 0;
  fixture_add(&parts[0], fixture_segment(&l->f, job_generation(job)));
  fixture_drop(&parts[1], fixture_segment(&l->f, job_generation(job)));
  for (tries = 0; tries < 2; tries++) {
    l->told[id] = fixture_commit(&l->f, job, id, parts, 2, &err);
    if (l->told[id] != SB_UNKNOWN)
      break;
  }
  return l->told[id];
}

static void
life_generation(life *l, uint32_t retain)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_checkpoint_info *list;
  sb_checkpoint *c;
  size_t count;
  sb_job *job;
  int i;

  if (life_takeover(l, retain, &job) != SB_OK)
    return;
  if (job_checkpoint_open_own(job, 0, &c, NULL) == SB_OK)
    job_checkpoint_close(&l->f.env, c);
  for (i = 0; i < 3; i++)
    (void)life_commit(l, job, l->next_id++);
  if (job_list(&l->f.env, "j", &list, &count, NULL) == SB_OK)
    job_list_free(&l->f.env, list, count);
  if (job_checkpoint_open(&l->f.env, "j", 0, SB_CHECKPOINT_PIN, &c, NULL) ==
      SB_OK)
    job_checkpoint_close(&l->f.env, c);
  (void)job_remove(job, l->next_id - 2, NULL);
  (void)job_gc(job, SB_GC_PINS, &report, NULL);
  job_close(job);
}

static void
life_init(life *l, uint32_t flags, uint64_t seed)
{
  size_t i;

  fixture_init(&l->f, flags, seed);
  for (i = 0; i < LIFE_IDS; i++)
    l->told[i] = 1;
  l->next_id = 1;
}

static void
life_check_told(life *l)
{
  uint64_t ids[LIFE_IDS], i, newest = 0;
  size_t count = fixture_list(&l->f, ids, LIFE_IDS), at;

  for (i = 1; i < LIFE_IDS; i++)
    newest = l->told[i] == SB_OK ? i : newest;
  CU_ASSERT(newest == 0 || (count != 0 && ids[0] >= newest));
  for (at = 0; at < count; at++) {
    sb_status told = l->told[ids[at]];

    if (told != SB_OK && told != SB_UNKNOWN && told != SB_FENCED)
      printf("# checkpoint %u was told %d and is there\n", (unsigned)ids[at],
             told);
    CU_ASSERT(told == SB_OK || told == SB_UNKNOWN || told == SB_FENCED);
  }
}

/* Everything works again: a successor goes on and cleans up. */
static void
life_end(life *l)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *job;

  memstore_clear_faults(l->f.store);
  memstore_set_hook(l->f.store, NULL, NULL);
  life_check_told(l);
  while (memstore_land(l->f.store) >= 0)
    continue;
  life_check_told(l);
  CU_ASSERT_FATAL(life_takeover(l, 2, &job) == SB_OK);
  l->next_id = 50; /* above ids that are still unknown */
  CU_ASSERT(life_commit(l, job, l->next_id++) == SB_OK);
  job_close(job);
  CU_ASSERT_FATAL(life_takeover(l, 2, &job) == SB_OK);
  CU_ASSERT(life_commit(l, job, l->next_id++) == SB_OK);
  CU_ASSERT(job_gc(job, SB_GC_PINS, &report, NULL) == SB_OK);
  life_check_told(l);
  CU_ASSERT(fixture_no_orphans(&l->f));
  job_close(job);
  fixture_dispose(&l->f);
}

static uint64_t
life_operations(uint32_t flags)
{
  uint64_t operations;
  life l;

  life_init(&l, flags, 3);
  life_generation(&l, 2);
  life_generation(&l, 1);
  operations = memstore_count(l.f.store, MEMSTORE_ALL);
  life_end(&l);
  return operations;
}

static void
fault_loop(uint32_t flags, uint32_t mode, sb_status status, uint64_t times)
{
  uint64_t n, operations = life_operations(flags);

  for (n = 1; n <= operations; n++) {
    unsigned before = CU_get_number_of_failures();
    life l;

    life_init(&l, flags, 3);
    memstore_fault(l.f.store, MEMSTORE_ALL, "", n, times, mode, status);
    life_generation(&l, 2);
    life_generation(&l, 1);
    life_end(&l);
    if (CU_get_number_of_failures() != before) {
      tap_note("operation %u, mode %u, flags %u", (unsigned)n, mode, flags);
      return;
    }
  }
}

static void
fault_loops(uint32_t mode, sb_status status)
{
  static const uint64_t times[] = { 1, 3, 6, 1000000 };
  size_t i;

  for (i = 0; i < TAP_COUNT(times); i++) {
    fault_loop(FIXTURE_BOTH, mode, status, times[i]);
    fault_loop(SB_STORE_CREATE, mode, status, times[i]);
  }
}

static void
test_fail_before(void)
{
  fault_loops(MEMSTORE_BEFORE, SB_UNAVAILABLE);
}

static void
test_fail_after(void)
{
  fault_loops(MEMSTORE_AFTER, SB_UNKNOWN);
}

static void
test_delayed(void)
{
  fault_loops(MEMSTORE_DELAYED, SB_UNKNOWN);
}

static void
test_flipped(void)
{
  fault_loops(MEMSTORE_FLIP, SB_OK);
}

static void
test_no_memory(void)
{
  size_t n, allocations = 1;

  for (n = 1; n <= allocations; n++) {
    unsigned before = CU_get_number_of_failures();
    life l;

    life_init(&l, FIXTURE_BOTH, 3);
    l.f.host.allocations = 0;
    l.f.host.fail_at = n;
    life_generation(&l, 2);
    life_generation(&l, 1);
    allocations = l.f.host.allocations;
    l.f.host.fail_at = 0;
    life_end(&l);
    if (CU_get_number_of_failures() != before) {
      tap_note("allocation %u", (unsigned)n);
      return;
    }
  }
}

/* ---- a second committer ------------------------------------------------- */

typedef struct breaker {
  life *l;
  uint64_t at;      /* operation at which it breaks in */
  uint64_t seen;
  int inside;
} breaker;

static void
break_in(void *arg, uint32_t op, const char *name)
{
  breaker *b = arg;

  (void)op;
  (void)name;
  if (b->inside || ++b->seen != b->at)
    return;
  b->inside = 1;
  life_generation(b->l, 2);
  b->inside = 0;
}

/* `delay`: HEAD swaps of both go wrong so as to land later, now and then. */
static void
break_loop(uint32_t flags, int delay)
{
  uint64_t n, operations = life_operations(flags);

  for (n = 1; n <= operations; n++) {
    unsigned before = CU_get_number_of_failures();
    breaker b = { NULL, n, 0, 0 };
    life l;

    life_init(&l, flags, 3);
    b.l = &l;
    if (delay)
      memstore_fault(l.f.store, MEMSTORE_PUT, "/HEAD", n % 7 + 1, n % 5,
                     MEMSTORE_DELAYED, SB_UNKNOWN);
    memstore_set_hook(l.f.store, break_in, &b);
    life_generation(&l, 2);
    life_generation(&l, 1);
    life_end(&l);
    if (CU_get_number_of_failures() != before) {
      tap_note("operation %u, flags %u", (unsigned)n, flags);
      return;
    }
  }
}

static void
test_break_in(void)
{
  break_loop(FIXTURE_BOTH, 0);
  break_loop(SB_STORE_CREATE, 0);
}

static void
test_break_in_delayed(void)
{
  break_loop(FIXTURE_BOTH, 1);
  break_loop(SB_STORE_CREATE, 1);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "fail_before", test_fail_before },
    { "fail_after", test_fail_after },
    { "delayed", test_delayed },
    { "flipped", test_flipped },
    { "no_memory", test_no_memory },
    { "break_in", test_break_in },
    { "break_in_delayed", test_break_in_delayed },
  };
  static const tap_suite suites[] = { { "faults", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
