/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims: one job makes another one's checkpoints its own. The old job is
 * fenced, only one can claim, what the new job does not need goes, what it
 * needs stays, and a crash or a lost answer anywhere leaves a state from which
 * the same job can claim again.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "host/engine/claim.h"
#include "host/engine/names.h"
#include "host/engine/savepoint.h"
#include "tests/job_fixture.h"
#include "tests/tap.h"

static sb_error err;

static void
as(fixture *f, const char *job, const char *job_id)
{
  f->job = job;
  f->job_id = job_id;
}

static sb_status
open_source(fixture *f, uint32_t mode, const char *savepoint, uint64_t id,
            names *claimed, sb_checkpoint **out)
{
  sb_restore_options options = {
    .struct_size = sizeof options, .mode = mode, .job = "a",
    .savepoint = savepoint, .id = id, .job_id = f->job_id
  };

  return source_open(&f->env, &options, claimed, out, &err);
}

/* Claims for the job, as the backend does. */
static sb_status
claim_for(fixture *f, sb_job *job, const char *savepoint, uint64_t id,
          sb_checkpoint **out)
{
  names claimed;
  sb_status st;

  names_init(&claimed, &f->host.host);
  st = open_source(f, SB_RESTORE_CLAIM, savepoint, id, &claimed, out);
  if (st == SB_OK && job_claim(job, &claimed, &err) != SB_OK) {
    job_checkpoint_close(&f->env, *out);
    st = SB_NO_MEMORY;
  }
  names_dispose(&claimed);
  return st;
}

static sb_status
try_claim(fixture *f, const char *job_id)
{
  sb_checkpoint *c;
  names claimed;
  sb_status st;

  as(f, "c", job_id);
  names_init(&claimed, &f->host.host);
  st = open_source(f, SB_RESTORE_CLAIM, NULL, 0, &claimed, &c);
  job_checkpoint_close(&f->env, c);
  names_dispose(&claimed);
  return st;
}

/* Job a with `count` checkpoints of two parts, each with one new segment and
   one that all share; and something that no checkpoint names. */
static sb_job *
make_source(fixture *f, unsigned count, uint32_t retain)
{
  fixture_part parts[2];
  char shared[PATH_SIZE];
  sb_job *job;
  unsigned i;

  as(f, "a", "ida");
  job = fixture_takeover(f, retain);
  strcpy(shared, fixture_segment(f, 1));
  for (i = 1; i <= count; i++) {
    memset(parts, 0, sizeof parts);
    parts[1].named = 1;
    fixture_add(&parts[0], fixture_segment(f, 1));
    fixture_add(&parts[0], shared);
    fixture_add(&parts[1], shared);
    CU_ASSERT(fixture_commit(f, job, i, parts, 2, NULL) == SB_OK);
  }
  (void)fixture_segment(f, 1);
  return job;
}

static size_t
objects_of_a(fixture *f)
{
  return memstore_objects(f->store, "base/a/") -
         memstore_objects(f->store, "base/a/checkpoints/HEAD");
}

/* The restored parts, then something new in each. */
static sb_status
commit_restored(fixture *f, sb_job *job, const sb_checkpoint *from,
                uint64_t id)
{
  fixture_part parts[2];
  uint32_t i;

  memset(parts, 0, sizeof parts);
  for (i = 0; i < 2; i++) {
    fixture_restore(f, &from->parts[i], &parts[i]);
    fixture_add(&parts[i], fixture_segment(f, job_generation(job)));
  }
  return fixture_commit(f, job, id, parts, 2, &err);
}

static void
whole_life(uint32_t flags)
{
  uint64_t ids[4];
  sb_checkpoint *c;
  sb_job *a, *b;
  sb_takeover_options again = { .struct_size = sizeof again, .job = "a",
                                .job_id = "ida", .retain = 1 };
  fixture f;

  fixture_init(&f, flags, 7);
  a = make_source(&f, 3, 2);
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  CU_ASSERT_FATAL(claim_for(&f, b, NULL, 0, &c) == SB_OK);
  CU_ASSERT(c->info.id == 3);
  fixture_check(&f, c);
  /* The old job. */
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 4) == SB_FENCED);
  job_close(a);
  CU_ASSERT(job_takeover(&f.env, &again, &a, &err) == SB_MISMATCH);
  CU_ASSERT(strstr(err.message, "claimed by idb") != NULL);
  /* A second claimer, and the same one again. */
  CU_ASSERT(try_claim(&f, "idc") == SB_BUSY);
  CU_ASSERT(strstr(err.message, "\"idb\"") != NULL);
  CU_ASSERT(try_claim(&f, "idb") == SB_OK);
  CU_ASSERT(fixture_list(&f, ids, 4) == 0);
  as(&f, "a", "ida");
  CU_ASSERT(fixture_list(&f, ids, 4) == 2);
  /* The first commit: only what it needs is left of a. */
  as(&f, "b", "idb");
  CU_ASSERT(commit_restored(&f, b, c, 4) == SB_OK);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(fixture_list(&f, ids, 4) == 1);
  CU_ASSERT(objects_of_a(&f) == 2);
  CU_ASSERT(fixture_no_orphans(&f));
  as(&f, "a", "ida");
  CU_ASSERT(fixture_list(&f, ids, 4) == 0);
  CU_ASSERT(job_checkpoint_open(&f.env, "a", 0, 0, &c, &err) ==
            SB_NOT_FOUND);
  CU_ASSERT(strstr(err.message, "claimed by idb") != NULL);
  as(&f, "b", "idb");
  job_close(b);
  b = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_list(&f, ids, 4) == 1);
  CU_ASSERT(fixture_commit_new(&f, b, 5) == SB_OK);
  CU_ASSERT(objects_of_a(&f) == 0);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(b);
  fixture_dispose(&f);
}

static void
test_life(void)
{
  whole_life(FIXTURE_BOTH);
}

static void
test_life_with_rows(void)
{
  whole_life(SB_STORE_CREATE);
}

/* An older checkpoint, and one that is not there: nobody is fenced by it. */
static void
test_which(void)
{
  sb_checkpoint *c;
  sb_job *a, *b;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 8);
  a = make_source(&f, 3, 2);
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  CU_ASSERT(claim_for(&f, b, NULL, 1, &c) == SB_NOT_FOUND);
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 4) == SB_OK);
  as(&f, "b", "idb");
  CU_ASSERT_FATAL(claim_for(&f, b, NULL, 3, &c) == SB_OK);
  CU_ASSERT(c->info.id == 3);
  CU_ASSERT(commit_restored(&f, b, c, 9) == SB_OK);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

static void
test_bad_claimers(void)
{
  char name[300];
  sb_checkpoint *c;
  sb_job *a;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 9);
  a = make_source(&f, 1, 1);
  CU_ASSERT(try_claim(&f, "") == SB_INVALID);
  memset(name, 'x', sizeof name);
  name[CLAIM_JOB_ID_MAX + 1] = '\0';
  CU_ASSERT(try_claim(&f, name) == SB_INVALID);
  CU_ASSERT(try_claim(&f, "claimed by x") == SB_INVALID);
  CU_ASSERT(try_claim(&f, "ida") == SB_INVALID);
  CU_ASSERT(open_source(&f, 5, NULL, 0, NULL, &c) == SB_INVALID);
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 2) == SB_OK);
  name[CLAIM_JOB_ID_MAX] = '\0';
  CU_ASSERT(try_claim(&f, name) == SB_OK);
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 3) == SB_FENCED);
  job_close(a);
  fixture_dispose(&f);
}

/* What a reader has pinned outlives the claimer's commits. */
static void
test_readers(void)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_checkpoint *c, *read;
  sb_job *a, *b;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 10);
  a = make_source(&f, 3, 2);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "a", 2, SB_CHECKPOINT_PIN, &read,
                                      &err) == SB_OK);
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  CU_ASSERT_FATAL(claim_for(&f, b, NULL, 0, &c) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, b, 4) == SB_OK);
  job_checkpoint_close(&f.env, c);
  fixture_check(&f, read);
  job_checkpoint_close(&f.env, read);
  CU_ASSERT(fixture_commit_new(&f, b, 5) == SB_OK);
  CU_ASSERT(job_gc(b, 0, &report, &err) == SB_OK);
  CU_ASSERT(objects_of_a(&f) == 0);
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

/* Without a claim everything stays, and the source can go on. */
static void
test_no_claim(void)
{
  manifest *m;
  sb_checkpoint *c;
  sb_job *a;
  size_t i;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 11);
  a = make_source(&f, 1, 1);
  as(&f, "b", "");
  CU_ASSERT_FATAL(open_source(&f, SB_RESTORE_NO_CLAIM, NULL, 0, NULL, &c) ==
                  SB_OK);
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 2) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, a, 3) == SB_OK);
  fixture_check(&f, c);
  for (i = 0; i < 2; i++) {
    CU_ASSERT_FATAL(manifest_read(&f.host.host, f.env.store, &c->parts[i], &m,
                                  &err) == SB_OK);
    CU_ASSERT(m->segments[0].owner == MANIFEST_OWNER_FOREIGN);
    CU_ASSERT(m->held_count == 0 && m->dropped_count == 0);
    manifest_free(&f.host.host, m);
  }
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 0);
  CU_ASSERT(fixture_commit_new(&f, a, 4) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "base/a/state/") == 2);
  job_close(a);
  fixture_dispose(&f);
}

/* c claims what b had claimed from a: all of it is c's, and so is what b could
   not delete because somebody read it. */
static void
chain(int read)
{
  sb_restore_options options = { .struct_size = sizeof options, .job = "b",
                                 .mode = SB_RESTORE_CLAIM, .job_id = "idc" };
  sb_checkpoint *c, *pinned = NULL;
  sb_job *a, *b, *last;
  names claimed;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 12);
  a = make_source(&f, 2, 2);
  if (read)
    CU_ASSERT(job_checkpoint_open(&f.env, "a", 1, SB_CHECKPOINT_PIN, &pinned,
                                  &err) == SB_OK);
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  CU_ASSERT_FATAL(claim_for(&f, b, NULL, 0, &c) == SB_OK);
  CU_ASSERT(commit_restored(&f, b, c, 3) == SB_OK);
  job_checkpoint_close(&f.env, c);
  job_checkpoint_close(&f.env, pinned);
  as(&f, "c", "idc");
  last = fixture_takeover(&f, 1);
  names_init(&claimed, &f.host.host);
  CU_ASSERT_FATAL(source_open(&f.env, &options, &claimed, &c, &err) == SB_OK);
  CU_ASSERT(job_claim(last, &claimed, &err) == SB_OK);
  names_dispose(&claimed);
  CU_ASSERT(commit_restored(&f, last, c, 4) == SB_OK);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(fixture_no_orphans(&f));
  CU_ASSERT(objects_of_a(&f) == 2);
  CU_ASSERT(fixture_commit_new(&f, last, 5) == SB_OK);
  CU_ASSERT(fixture_no_orphans(&f));
  CU_ASSERT(objects_of_a(&f) == 0);
  job_close(a);
  job_close(b);
  job_close(last);
  fixture_dispose(&f);
}

static void
test_chain(void)
{
  chain(0);
  chain(1);
}

/* A manifest that names what nobody has claimed. */
static void
test_hostile(void)
{
  static const char *const names_of[] = {
    "base/k/state/_/op/00/1-1-0000000000000000.state",
    "base/k/checkpoints/chk-1-1-0000000000000000/_metadata",
    "base/k/savepoints/s/1-1-0000000000000000.state",
    "base/b/savepoints/s/_metadata",
    "base/savepoints/s/_metadata",
    "base/k/checkpoints/HEAD",
    "base/k/savepoints/s/CLAIMED",
    "other/k/savepoints/s/_metadata",
  };
  fixture_part part = { .named = 0 };
  sb_job *b;
  size_t i;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 17);
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  for (i = 0; i < TAP_COUNT(names_of); i++) {
    memstore_put(f.store, names_of[i], "x", 1);
    fixture_drop(&part, names_of[i]);
  }
  CU_ASSERT(fixture_commit(&f, b, 1, &part, 1, NULL) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, b, 2) == SB_OK);
  for (i = 0; i < TAP_COUNT(names_of); i++)
    CU_ASSERT(memstore_has(f.store, names_of[i]));
  job_close(b);
  fixture_dispose(&f);
}

/* The bytes of a claim, and every damage of one byte. */
static void
test_bytes(void)
{
  static const uint8_t golden[] = {
    'S', 'B', 'c', 'm', 1, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0,
    0, 3, 'j', 'o', 'b', 0
  };
  claim c = { .kind = CLAIM_BY_JOB, .job_id = "job" }, out;
  memhost host;
  buf bytes;
  size_t i;

  memhost_init(&host, 1);
  buf_init(&bytes, &host.host, 1000);
  claim_encode(&c, &bytes);
  CU_ASSERT_FATAL(bytes.len == sizeof golden + 4);
  CU_ASSERT(memcmp(bytes.data, golden, sizeof golden) == 0);
  CU_ASSERT(claim_decode(bytes.data, bytes.len, &out, &err) == SB_OK);
  CU_ASSERT(out.kind == CLAIM_BY_JOB && strcmp(out.job_id, "job") == 0);
  for (i = 0; i < bytes.len; i++) {
    bytes.data[i] ^= 4;
    CU_ASSERT(claim_decode(bytes.data, bytes.len, &out, &err) != SB_OK);
    bytes.data[i] ^= 4;
    CU_ASSERT(claim_decode(bytes.data, i, &out, &err) == SB_CORRUPT);
  }
  buf_dispose(&bytes);
}

/* ---- savepoints --------------------------------------------------------- */

static void
make_savepoint(fixture *f, const char *name)
{
  sb_savepoint_copy options = { .struct_size = sizeof options, .from_job = "a",
                                .job = "a", .name = name };
  sb_status st = savepoint_copy(&f->env, &f->env, &options, &err);

  if (st != SB_OK)
    printf("# savepoint: %s\n", err.message);
  CU_ASSERT_FATAL(st == SB_OK);
}

static void
test_savepoint(void)
{
  sb_checkpoint *c, *other;
  sb_job *a, *b;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH | SB_STORE_COPY, 13);
  a = make_source(&f, 2, 1);
  make_savepoint(&f, "s");
  as(&f, "b", "idb");
  b = fixture_takeover(&f, 1);
  CU_ASSERT_FATAL(claim_for(&f, b, "s", 0, &c) == SB_OK);
  fixture_check(&f, c);
  CU_ASSERT(savepoint_remove(&f.env, "a", "s", &err) == SB_BUSY);
  CU_ASSERT(strstr(err.message, "\"idb\"") != NULL);
  CU_ASSERT(open_source(&f, SB_RESTORE_NO_CLAIM, "s", 0, NULL, &other) ==
            SB_BUSY);
  as(&f, "c", "idc");
  CU_ASSERT(open_source(&f, SB_RESTORE_CLAIM, "s", 0, NULL, &other) ==
            SB_BUSY);
  as(&f, "b", "idb");
  CU_ASSERT(commit_restored(&f, b, c, 3) == SB_OK);
  job_checkpoint_close(&f.env, c);
  /* Its two segments and the claim are left. */
  CU_ASSERT(memstore_objects(f.store, "/savepoints/") == 3);
  CU_ASSERT(memstore_has(f.store, "base/a/savepoints/s/CLAIMED"));
  as(&f, "a", "ida");
  CU_ASSERT(fixture_commit_new(&f, a, 3) == SB_OK);
  as(&f, "b", "idb");
  CU_ASSERT(fixture_commit_new(&f, b, 4) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/savepoints/") == 0);
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

/* ---- when things go wrong ----------------------------------------------- */

static void
close_job(sb_job *job)
{
  if (job != NULL)
    job_close(job);
}

/* Claims what is not claimed yet, as a job does that has no checkpoint. */
static void
claimer_life(fixture *f, const char *savepoint, uint64_t id)
{
  sb_takeover_options options = { .struct_size = sizeof options, .job = "b",
                                  .job_id = "idb", .retain = 1 };
  sb_checkpoint *c = NULL;
  sb_job *b = NULL;
  sb_status st = job_takeover(&f->env, &options, &b, &err);

  as(f, "b", "idb");
  if (st == SB_OK)
    st = job_checkpoint_open_own(b, 0, &c, &err);
  if (st == SB_NOT_FOUND)
    st = claim_for(f, b, savepoint, 0, &c);
  if (st == SB_OK) {
    (void)fixture_commit_new(f, b, id);
    (void)fixture_commit_new(f, b, id + 1);
    job_checkpoint_close(&f->env, c);
  }
  close_job(b);
}

static void
claimer_end(fixture *f, const char *savepoint)
{
  uint64_t ids[2];
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *b;

  memstore_clear_faults(f->store);
  while (memstore_land(f->store) >= 0)
    continue;
  claimer_life(f, savepoint, 50);
  claimer_life(f, savepoint, 52);
  as(f, "b", "idb");
  CU_ASSERT(fixture_list(f, ids, 2) == 1 && ids[0] == 53);
  b = fixture_takeover(f, 1);
  CU_ASSERT(fixture_commit_new(f, b, 54) == SB_OK);
  CU_ASSERT(job_gc(b, SB_GC_PINS, &report, &err) == SB_OK);
  job_close(b);
  if (savepoint == NULL)
    CU_ASSERT(fixture_no_orphans(f));
  /* A claim may have been written once more, long after it was needed. */
  if (memstore_has(f->store, "base/a/savepoints/s/CLAIMED"))
    CU_ASSERT(savepoint_remove(&f->env, "a", "s", &err) == SB_OK);
  CU_ASSERT(memstore_objects(f->store, "/savepoints/") == 0);
}

static void
fault_loop(uint32_t flags, uint32_t mode, sb_status status, uint64_t times,
           const char *savepoint)
{
  uint64_t n, before, operations = 1;

  /* The round of 0 is the one where nothing goes wrong. */
  for (n = 0; n <= operations; n++) {
    unsigned failures = CU_get_number_of_failures();
    sb_job *a;
    fixture f;

    fixture_init(&f, flags | SB_STORE_COPY, 14);
    a = make_source(&f, 3, 2);
    if (savepoint != NULL)
      make_savepoint(&f, savepoint);
    job_close(a);
    before = memstore_count(f.store, MEMSTORE_ALL);
    if (n != 0)
      memstore_fault(f.store, MEMSTORE_ALL, "", n, times, mode, status);
    claimer_life(&f, savepoint, 10);
    if (n == 0)
      operations = memstore_count(f.store, MEMSTORE_ALL) - before;
    claimer_end(&f, savepoint);
    fixture_dispose(&f);
    if (CU_get_number_of_failures() != failures) {
      tap_note("operation %u, mode %u, flags %u, times %u", (unsigned)n, mode,
               flags, (unsigned)times);
      return;
    }
  }
}

static void
fault_loops(uint32_t mode, sb_status status)
{
  static const uint64_t times[] = { 1, 3, 1000000 };
  size_t i;

  for (i = 0; i < TAP_COUNT(times); i++) {
    fault_loop(FIXTURE_BOTH, mode, status, times[i], NULL);
    fault_loop(SB_STORE_CREATE, mode, status, times[i], NULL);
    fault_loop(FIXTURE_BOTH, mode, status, times[i], "s");
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
test_no_memory(void)
{
  size_t n, allocations = 1;

  for (n = 0; n <= allocations; n++) {
    unsigned failures = CU_get_number_of_failures();
    const char *savepoint = n % 2 == 0 ? NULL : "s";
    sb_job *a;
    fixture f;

    fixture_init(&f, FIXTURE_BOTH | SB_STORE_COPY, 15);
    a = make_source(&f, 2, 2);
    make_savepoint(&f, "s");
    job_close(a);
    f.host.allocations = 0;
    f.host.fail_at = n / 2;
    claimer_life(&f, savepoint, 10);
    if (n == 0)
      allocations = f.host.allocations * 2 + 40;
    f.host.fail_at = 0;
    if (savepoint == NULL)
      CU_ASSERT(savepoint_remove(&f.env, "a", "s", &err) == SB_OK);
    claimer_end(&f, savepoint);
    fixture_dispose(&f);
    if (CU_get_number_of_failures() != failures) {
      tap_note("allocation %u of %s", (unsigned)n / 2,
               savepoint == NULL ? "a checkpoint's claim" : "a savepoint's");
      return;
    }
  }
}

/* The source's committer goes on while it is being claimed: a commit is in
   what is claimed, or it is refused. */
typedef struct breaker {
  fixture *f;
  sb_job *a;
  uint64_t at, seen;
  int inside;
  sb_status told;
} breaker;

static void
break_in(void *arg, uint32_t op, const char *name)
{
  breaker *b = arg;
  const char *job = b->f->job, *job_id = b->f->job_id;

  (void)op;
  (void)name;
  if (b->inside || ++b->seen != b->at)
    return;
  b->inside = 1;
  as(b->f, "a", "ida");
  b->told = fixture_commit_new(b->f, b->a, 4);
  as(b->f, job, job_id);
  b->inside = 0;
}

static void
test_source_goes_on(void)
{
  uint64_t n;
  int done = 0;

  for (n = 1; !done; n++) {
    sb_checkpoint *c = NULL;
    breaker hook = { .told = 1, .at = n };
    sb_job *b;
    fixture f;

    fixture_init(&f, n % 2 ? FIXTURE_BOTH : SB_STORE_CREATE, 16);
    hook.f = &f;
    hook.a = make_source(&f, 3, 1);
    as(&f, "b", "idb");
    b = fixture_takeover(&f, 1);
    memstore_set_hook(f.store, break_in, &hook);
    CU_ASSERT_FATAL(claim_for(&f, b, NULL, 0, &c) == SB_OK);
    done = hook.told == 1;
    CU_ASSERT(hook.told == SB_FENCED ? c->info.id == 3
                                     : done || c->info.id == 4);
    fixture_check(&f, c);
    memstore_set_hook(f.store, NULL, NULL);
    CU_ASSERT(fixture_commit_new(&f, b, 10) == SB_OK);
    job_checkpoint_close(&f.env, c);
    CU_ASSERT(fixture_no_orphans(&f));
    job_close(hook.a);
    job_close(b);
    fixture_dispose(&f);
  }
  CU_ASSERT(n > 4);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "life", test_life },
    { "life_with_rows", test_life_with_rows },
    { "which", test_which },
    { "bad_claimers", test_bad_claimers },
    { "readers", test_readers },
    { "no_claim", test_no_claim },
    { "chain", test_chain },
    { "hostile", test_hostile },
    { "bytes", test_bytes },
    { "savepoint", test_savepoint },
    { "fail_before", test_fail_before },
    { "fail_after", test_fail_after },
    { "delayed", test_delayed },
    { "no_memory", test_no_memory },
    { "source_goes_on", test_source_goes_on },
  };
  static const tap_suite suites[] = { { "claims", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
