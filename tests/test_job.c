/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit protocol: take-over, commit, fencing, and every answer that can
 * be lost. Each case runs over a store with If-Match and over one without, where
 * HEAD is a numbered row. Method: a store in memory that loses answers, or
 * lets writes land later, on demand.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/job_fixture.h"
#include "tests/tap.h"

static void
both(void (*test)(fixture *f))
{
  static const uint32_t flags[] = { FIXTURE_BOTH, SB_STORE_CREATE };
  size_t i;

  for (i = 0; i < TAP_COUNT(flags); i++) {
    fixture f;

    fixture_init(&f, flags[i], 7 + i);
    test(&f);
    fixture_dispose(&f);
  }
}

/* ---- plain life --------------------------------------------------------- */

static void
plain(fixture *f)
{
  sb_job *job = fixture_takeover(f, 2);
  uint64_t ids[4];

  CU_ASSERT(job_generation(job) == 1);
  CU_ASSERT(fixture_list(f, ids, 4) == 0);
  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 1);
  CU_ASSERT(fixture_commit_new(f, job, 5) == SB_OK);
  CU_ASSERT(fixture_commit_new(f, job, 6) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 2 && ids[0] == 6 && ids[1] == 5);
  CU_ASSERT(fixture_commit_new(f, job, 6) == SB_INVALID);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_INVALID);
  CU_ASSERT(fixture_commit_new(f, job, 0) == SB_INVALID);
  job_close(job);
  job = fixture_takeover(f, 1);
  CU_ASSERT(job_generation(job) == 2);
  CU_ASSERT(fixture_list(f, ids, 4) == 2);
  CU_ASSERT(fixture_commit_new(f, job, 7) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 7);
  CU_ASSERT(job_retain(job, 0, NULL) == SB_INVALID);
  CU_ASSERT(job_retain(job, 3, NULL) == SB_OK);
  CU_ASSERT(fixture_commit_new(f, job, 8) == SB_OK);
  CU_ASSERT(fixture_commit_new(f, job, 9) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 3);
  job_close(job);
}

static void
test_plain(void)
{
  both(plain);
}

/* A restore is ready after two GETs and a swap; a commit is two puts. */
static void
test_requests(void)
{
  static const fixture_part nothing;
  sb_checkpoint *c;
  sb_job *job;
  fixture f;
  uint64_t gets, puts;

  fixture_init(&f, FIXTURE_BOTH, 1);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  job_close(job);
  gets = memstore_count(f.store, MEMSTORE_ALL & ~MEMSTORE_PUT);
  puts = memstore_count(f.store, MEMSTORE_PUT);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(job_checkpoint_open_own(job, 0, &c, NULL) == SB_OK);
  CU_ASSERT(memstore_count(f.store, MEMSTORE_ALL & ~MEMSTORE_PUT) == gets + 2);
  CU_ASSERT(memstore_count(f.store, MEMSTORE_PUT) == puts + 1);
  CU_ASSERT(c->info.id == 1 && c->info.part_count == 1);
  job_checkpoint_close(&f.env, c);
  puts = memstore_count(f.store, MEMSTORE_PUT);
  CU_ASSERT(fixture_commit(&f, job, 2, &nothing, 1, NULL) == SB_OK);
  CU_ASSERT(memstore_count(f.store, MEMSTORE_PUT) == puts + 2);
  gets = memstore_count(f.store, MEMSTORE_GET | MEMSTORE_HEAD);
  CU_ASSERT(fixture_commit(&f, job, 3, &nothing, 1, NULL) == SB_OK);
  CU_ASSERT(memstore_count(f.store, MEMSTORE_GET | MEMSTORE_HEAD) == gets);
  job_close(job);
  fixture_dispose(&f);
}

static void
refusals(fixture *f)
{
  sb_takeover_options options = { .struct_size = sizeof options, .job = "j",
                                  .job_id = "other", .retain = 1 };
  sb_job *job = fixture_takeover(f, 1), *other;
  job_env weak = f->env;
  sb_error err;

  CU_ASSERT(job_takeover(&f->env, &options, &other, &err) == SB_MISMATCH);
  CU_ASSERT(other == NULL);
  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  options.job_id = "id";
  options.retain = 0;
  CU_ASSERT(job_takeover(&f->env, &options, &other, &err) == SB_INVALID);
  options.retain = 1;
  weak.store_flags = 0;
  CU_ASSERT(job_takeover(&weak, &options, &other, &err) == SB_UNSUPPORTED);
  weak.store_flags = f->env.store_flags ^ SB_STORE_MATCH;
  CU_ASSERT(job_takeover(&weak, &options, &other, &err) == SB_MISMATCH);
  job_close(job);
}

static void
test_refusals(void)
{
  both(refusals);
}

static void
head_lost(fixture *f)
{
  sb_takeover_options options = { .struct_size = sizeof options, .job = "j",
                                  .job_id = "id", .retain = 1 };
  sb_job *job = fixture_takeover(f, 1), *other;
  sb_error err;

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  while (memstore_objects(f->store, "/HEAD") != 0)
    memstore_remove(f->store, memstore_name(f->store, "/HEAD", 0));
  CU_ASSERT(job_takeover(&f->env, &options, &other, &err) == SB_CORRUPT);
  job_close(job);
}

static void
test_head_lost(void)
{
  both(head_lost);
}

/* ---- fencing ------------------------------------------------------------ */

static void
fencing(fixture *f)
{
  sb_job *a = fixture_takeover(f, 1), *b;
  sb_gc_report report = { .struct_size = sizeof report };
  sb_checkpoint *c;
  uint64_t ids[4], writes;

  CU_ASSERT(fixture_commit_new(f, a, 1) == SB_OK);
  b = fixture_takeover(f, 1);
  CU_ASSERT(job_generation(b) == 2);
  CU_ASSERT(fixture_commit_new(f, b, 2) == SB_OK);
  CU_ASSERT(fixture_commit_new(f, a, 3) == SB_FENCED);
  writes = memstore_count(f->store, MEMSTORE_PUT | MEMSTORE_REMOVE);
  CU_ASSERT(fixture_commit_new(f, a, 3) == SB_FENCED);
  CU_ASSERT(job_remove(a, 1, NULL) == SB_FENCED);
  CU_ASSERT(job_retain(a, 2, NULL) == SB_FENCED);
  CU_ASSERT(job_gc(a, 0, &report, NULL) == SB_FENCED);
  CU_ASSERT(job_checkpoint_open_own(a, 0, &c, NULL) == SB_FENCED);
  CU_ASSERT(memstore_count(f->store, MEMSTORE_PUT | MEMSTORE_REMOVE) ==
            writes);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  CU_ASSERT(fixture_commit_new(f, b, 3) == SB_OK);
  job_close(a);
  job_close(b);
}

static void
test_fencing(void)
{
  both(fencing);
}

/* In a row, a zombie whose number was used and trimmed creates it again. */
static void
test_row_zombie(void)
{
  sb_job *a, *b;
  uint64_t ids[4], id;
  fixture f;

  fixture_init(&f, SB_STORE_CREATE, 3);
  a = fixture_takeover(&f, 1);
  b = fixture_takeover(&f, 1);
  for (id = 1; id < 6; id++)
    CU_ASSERT(fixture_commit_new(&f, b, id) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/HEAD-") == 1);
  CU_ASSERT(fixture_commit_new(&f, a, 9) == SB_FENCED);
  CU_ASSERT(memstore_objects(f.store, "/HEAD-") == 2);
  CU_ASSERT(fixture_list(&f, ids, 4) == 1 && ids[0] == 5);
  CU_ASSERT(fixture_commit_new(&f, b, 6) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/HEAD-") == 1);
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

/* ---- lost answers ------------------------------------------------------- */

static void
answer_lost(fixture *f)
{
  sb_job *job = fixture_takeover(f, 1);
  uint64_t ids[4];

  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_AFTER,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  /* Lost, and lost again when HEAD is read. */
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_AFTER,
                 SB_UNKNOWN);
  memstore_fault(f->store, MEMSTORE_GET | MEMSTORE_LIST, "/HEAD", 1, 1,
                 MEMSTORE_BEFORE, SB_UNAVAILABLE);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  /* A store that reports its own retry as a conflict. */
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_AFTER,
                 SB_CONFLICT);
  CU_ASSERT(fixture_commit_new(f, job, 3) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "_metadata", 1, 2, MEMSTORE_AFTER,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 4) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 4);
  CU_ASSERT(memstore_objects(f->store, "_metadata") == 1);
  job_close(job);
}

static void
test_answer_lost(void)
{
  both(answer_lost);
}

static void
delayed_then_lands(fixture *f)
{
  sb_job *job = fixture_takeover(f, 1);
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_UNKNOWN);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 1);
  CU_ASSERT(memstore_land(f->store) == 3);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_OK);
  while (memstore_land(f->store) >= 0)
    continue;
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  CU_ASSERT(fixture_commit_new(f, job, 3) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 3);
  job_close(job);
}

static void
test_delayed_then_lands(void)
{
  both(delayed_then_lands);
}

static void
delayed_then_excluded(fixture *f)
{
  sb_job *job = fixture_takeover(f, 3);
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 3) == SB_OK);
  while (memstore_land(f->store) >= 0)
    continue;
  CU_ASSERT(fixture_list(f, ids, 4) == 2 && ids[0] == 3 && ids[1] == 1);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_CONFLICT);
  CU_ASSERT(fixture_commit_new(f, job, 4) == SB_OK);
  /* The excluded _metadata is gone; its segment and that of the second call
     are the handle's to drop, and nobody has. */
  CU_ASSERT(memstore_objects(f->store, "chk-2-") == 0);
  job_close(job);
}

static void
test_delayed_then_excluded(void)
{
  both(delayed_then_excluded);
}

static void
land_before_head(void *arg, uint32_t op, const char *name)
{
  fixture *f = arg;

  if (op == MEMSTORE_PUT && strstr(name, "/HEAD") != NULL) {
    memstore_set_hook(f->store, NULL, NULL);
    (void)memstore_land(f->store);
  }
}

/* 2 lands after HEAD was read for 3, and before 3 is swapped in. */
static void
lands_in_between(fixture *f)
{
  sb_job *job = fixture_takeover(f, 3);
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_UNKNOWN);
  memstore_set_hook(f->store, land_before_head, f);
  CU_ASSERT(fixture_commit_new(f, job, 3) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 3 && ids[0] == 3 && ids[1] == 2);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_OK);
  /* 3 was written twice; the first one is dead and has gone. */
  CU_ASSERT(memstore_objects(f->store, "chk-3-") == 1);
  job_close(job);
}

static void
test_lands_in_between(void)
{
  both(lands_in_between);
}

/* A's write is still on its way when B takes over. */
static void
delayed_over_takeover(fixture *f)
{
  sb_job *a = fixture_takeover(f, 2), *b;
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, a, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, a, 2) == SB_UNKNOWN);
  b = fixture_takeover(f, 2);
  while (memstore_land(f->store) >= 0)
    continue;
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 1);
  CU_ASSERT(fixture_commit_new(f, a, 2) == SB_FENCED);
  CU_ASSERT(fixture_commit_new(f, b, 2) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 2 && ids[0] == 2 && ids[1] == 1);
  job_close(a);
  job_close(b);
}

static void
test_delayed_over_takeover(void)
{
  both(delayed_over_takeover);
}

/* It lands just before B's swap: B must start from it. */
static void
lands_during_takeover(fixture *f)
{
  sb_job *a = fixture_takeover(f, 2), *b;
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, a, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, a, 2) == SB_UNKNOWN);
  memstore_set_hook(f->store, land_before_head, f);
  b = fixture_takeover(f, 2);
  CU_ASSERT(job_generation(b) == 2);
  CU_ASSERT(fixture_list(f, ids, 4) == 2 && ids[0] == 2);
  CU_ASSERT(fixture_commit_new(f, b, 2) == SB_INVALID);
  CU_ASSERT(fixture_commit_new(f, a, 2) == SB_FENCED);
  job_close(a);
  job_close(b);
}

static void
test_lands_during_takeover(void)
{
  both(lands_during_takeover);
}

static void
overtake_before_metadata(void *arg, uint32_t op, const char *name)
{
  fixture *f = arg;
  sb_job *other;

  if (op != MEMSTORE_GET || strstr(name, "/_metadata") == NULL)
    return;
  memstore_set_hook(f->store, NULL, NULL);
  other = fixture_takeover(f, 1);
  CU_ASSERT(fixture_commit_new(f, other, 2) == SB_OK);
  job_close(other);
}

/* A take-over stalls once it has HEAD. When it goes on, a successor has removed
   the checkpoint that was the newest then: that is no damage. */
static void
overtaken_during_takeover(fixture *f)
{
  sb_takeover_options options = { .struct_size = sizeof options,
                                  .job = f->job, .job_id = f->job_id,
                                  .retain = 1 };
  sb_job *job = fixture_takeover(f, 1);
  sb_error err;

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  job_close(job);
  memstore_set_hook(f->store, overtake_before_metadata, f);
  job = NULL;
  CU_ASSERT(job_takeover(&f->env, &options, &job, &err) == SB_FENCED);
  CU_ASSERT(job == NULL);
  job = fixture_takeover(f, 1);
  CU_ASSERT(fixture_commit_new(f, job, 3) == SB_OK);
  memstore_remove(f->store, memstore_name(f->store, "chk-3-", 0));
  job_close(job);
  CU_ASSERT(job_takeover(&f->env, &options, &job, &err) == SB_CORRUPT);
}

static void
test_overtaken_during_takeover(void)
{
  both(overtaken_during_takeover);
}

static void
takeover_unknown(fixture *f)
{
  sb_job *job;
  uint64_t ids[4];

  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_AFTER,
                 SB_UNKNOWN);
  job = fixture_takeover(f, 1);
  CU_ASSERT(job_generation(job) == 1);
  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  job_close(job);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 3, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  job = fixture_takeover(f, 1);
  CU_ASSERT(job_generation(job) == 2);
  while (memstore_land(f->store) >= 0)
    continue;
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  job_close(job);
}

static void
test_takeover_unknown(void)
{
  both(takeover_unknown);
}

static void
definite_failures(fixture *f)
{
  sb_job *job = fixture_takeover(f, 1);
  uint64_t ids[4];

  CU_ASSERT(fixture_commit_new(f, job, 1) == SB_OK);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_BEFORE,
                 SB_DENIED);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_DENIED);
  memstore_fault(f->store, MEMSTORE_PUT, "_metadata", 1, 1, MEMSTORE_BEFORE,
                 SB_NO_SPACE);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_NO_SPACE);
  memstore_fault(f->store, MEMSTORE_PUT, "_metadata", 1, 3, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_IO);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 1);
  /* Unknown first, denied then: still unknown. */
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 1, 1, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  memstore_fault(f->store, MEMSTORE_PUT, "/HEAD", 2, 1, MEMSTORE_BEFORE,
                 SB_DENIED);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(f, job, 2) == SB_OK);
  CU_ASSERT(fixture_list(f, ids, 4) == 1 && ids[0] == 2);
  job_close(job);
}

static void
test_definite_failures(void)
{
  both(definite_failures);
}

/* A damaged answer is asked for again; a damaged object is refused. */
static void
test_damage(void)
{
  sb_checkpoint_info *list;
  size_t count, len = 0;
  uint64_t ids[4];
  uint8_t *data;
  sb_error err;
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 5);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  job_close(job);
  memstore_fault(f.store, MEMSTORE_GET, "/HEAD", 1, 1, MEMSTORE_FLIP, 0);
  memstore_fault(f.store, MEMSTORE_GET, "_metadata", 1, 1, MEMSTORE_FLIP, 0);
  CU_ASSERT(fixture_list(&f, ids, 4) == 1 && ids[0] == 1);
  data = memstore_data(f.store, memstore_name(f.store, "_metadata", 0), &len);
  data[len - 6] ^= 1;
  CU_ASSERT(job_list(&f.env, "j", &list, &count, NULL) == SB_CORRUPT);
  data[len - 6] ^= 1;
  data = memstore_data(f.store, memstore_name(f.store, "/HEAD", 0), &len);
  data[len - 6] ^= 1;
  CU_ASSERT(job_list(&f.env, "j", &list, &count, &err) == SB_CORRUPT);
  CU_ASSERT(strstr(err.message, "\"base/j/checkpoints/HEAD\"") != NULL);
  fixture_dispose(&f);
}

/* ---- uploads ------------------------------------------------------------ */

static void
upload_begin(fixture *f, uint64_t generation)
{
  const char *segment = fixture_segment(f, generation);

  memstore_begin_upload(f->store, segment);
}

/* What a predecessor left half uploaded goes away with the take-over and with
   a collection; one's own, a successor's and what is no name of ours stay. */
static void
uploads(fixture *f)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *first = fixture_takeover(f, 2), *second;

  memstore_begin_upload(f->store, "elsewhere");
  upload_begin(f, 1);
  job_close(first);
  CU_ASSERT(memstore_uploads(f->store, "") == 2);
  second = fixture_takeover(f, 2);
  CU_ASSERT(memstore_uploads(f->store, "") == 1);
  CU_ASSERT(memstore_uploads(f->store, "elsewhere") == 1);
  upload_begin(f, 1);
  upload_begin(f, 2);
  upload_begin(f, 3);
  CU_ASSERT(job_gc(second, SB_GC_DRY_RUN, &report, NULL) == SB_OK);
  CU_ASSERT(memstore_uploads(f->store, "") == 4);
  CU_ASSERT(job_gc(second, 0, &report, NULL) == SB_OK);
  CU_ASSERT(memstore_uploads(f->store, "") == 3);
  job_close(second);
}

static void
test_uploads(void)
{
  both(uploads);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "plain", test_plain },
    { "requests", test_requests },
    { "refusals", test_refusals },
    { "head_lost", test_head_lost },
    { "fencing", test_fencing },
    { "row_zombie", test_row_zombie },
    { "answer_lost", test_answer_lost },
    { "delayed_then_lands", test_delayed_then_lands },
    { "delayed_then_excluded", test_delayed_then_excluded },
    { "lands_in_between", test_lands_in_between },
    { "delayed_over_takeover", test_delayed_over_takeover },
    { "lands_during_takeover", test_lands_during_takeover },
    { "overtaken_during_takeover", test_overtaken_during_takeover },
    { "takeover_unknown", test_takeover_unknown },
    { "definite_failures", test_definite_failures },
    { "damage", test_damage },
    { "uploads", test_uploads },
  };
  static const tap_suite suites[] = { { "job", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
