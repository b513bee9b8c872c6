/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletion: nothing that is needed goes, everything that is not needed goes in
 * the end. Method: real commits over a store in memory, then a look at which
 * objects are left.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/job_fixture.h"
#include "tests/tap.h"

static void
add_new(fixture *f, sb_job *job, fixture_part *p, char *name)
{
  strcpy(name, fixture_segment(f, job_generation(job)));
  fixture_add(p, name);
}

/* A segment goes when the last checkpoint that names it has gone. */
static void
test_fall_out(void)
{
  fixture_part one = { .named = 1 }, two = { .named = 0 };
  char shared[PATH_SIZE], lone[PATH_SIZE], other[PATH_SIZE];
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 1);
  job = fixture_takeover(&f, 1);
  add_new(&f, job, &one, shared);
  add_new(&f, job, &one, lone);
  CU_ASSERT(fixture_commit(&f, job, 1, &one, 1, NULL) == SB_OK);
  fixture_add(&two, shared);
  add_new(&f, job, &two, other);
  CU_ASSERT(fixture_commit(&f, job, 2, &two, 1, NULL) == SB_OK);
  CU_ASSERT(memstore_has(f.store, shared));
  CU_ASSERT(memstore_has(f.store, other));
  CU_ASSERT(!memstore_has(f.store, lone));
  CU_ASSERT(memstore_objects(f.store, "chk-1-") == 0);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

/* A sibling's segment, one that a cursor reads, and one nobody wants. */
static void
test_held_and_dropped(void)
{
  fixture_part parts[2], next[2];
  char shared[PATH_SIZE], held[PATH_SIZE], made[PATH_SIZE], kept[PATH_SIZE];
  sb_job *job;
  fixture f;

  memset(parts, 0, sizeof parts);
  memset(next, 0, sizeof next);
  fixture_init(&f, FIXTURE_BOTH, 2);
  job = fixture_takeover(&f, 1);
  add_new(&f, job, &parts[0], shared);
  add_new(&f, job, &parts[0], held);
  fixture_add(&parts[1], shared);
  CU_ASSERT(fixture_commit(&f, job, 1, parts, 2, NULL) == SB_OK);
  /* Subtask 0 drops the shared one, and still reads `held`. */
  strcpy(made, fixture_segment(&f, 1));
  add_new(&f, job, &next[0], kept);
  fixture_hold(&next[0], held);
  fixture_drop(&next[0], made);
  fixture_drop(&next[0], shared);
  fixture_drop(&next[0], "base/j/checkpoints/HEAD");
  fixture_drop(&next[0], "base/k/state/_/op/00/1-1-0000000000000000.state");
  memstore_put(f.store, next[0].dropped[3], "x", 1);
  fixture_add(&next[1], shared);
  CU_ASSERT(fixture_commit(&f, job, 2, next, 2, NULL) == SB_OK);
  CU_ASSERT(memstore_has(f.store, shared));
  CU_ASSERT(memstore_has(f.store, held));
  CU_ASSERT(memstore_has(f.store, kept));
  CU_ASSERT(!memstore_has(f.store, made));
  CU_ASSERT(memstore_has(f.store, next[0].dropped[2]));
  CU_ASSERT(memstore_has(f.store, next[0].dropped[3]));
  CU_ASSERT(fixture_commit_new(&f, job, 3) == SB_OK);
  CU_ASSERT(!memstore_has(f.store, shared) && !memstore_has(f.store, held));
  memstore_remove(f.store, next[0].dropped[3]);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

/* Failing deletes do not fail the commit and are done later, by a successor if
   need be. */
static void
test_carried_on(void)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 3);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  memstore_fault(f.store, MEMSTORE_REMOVE, "", 1, 2, MEMSTORE_BEFORE,
                 SB_UNAVAILABLE);
  CU_ASSERT(fixture_commit_new(&f, job, 2) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "chk-1-") == 1);
  CU_ASSERT(fixture_commit_new(&f, job, 3) == SB_OK);
  CU_ASSERT(fixture_no_orphans(&f));
  memstore_fault(f.store, MEMSTORE_LIST, "pins", 1, 1, MEMSTORE_BEFORE,
                 SB_UNAVAILABLE);
  CU_ASSERT(fixture_commit_new(&f, job, 4) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "chk-3-") == 1);
  job_close(job);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(job_gc(job, 0, &report, NULL) == SB_OK);
  CU_ASSERT(report.orphans == 0);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

/* A delete that comes after a successor has gone on hits nothing it needs. */
static void
test_late_delete(void)
{
  uint64_t ids[2];
  sb_job *a, *b;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 4);
  a = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, a, 1) == SB_OK);
  memstore_fault(f.store, MEMSTORE_REMOVE, "", 1, 9, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(fixture_commit_new(&f, a, 2) == SB_OK);
  memstore_clear_faults(f.store);
  b = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, b, 3) == SB_OK);
  while (memstore_land(f.store) >= 0)
    CU_ASSERT(fixture_list(&f, ids, 2) == 1 && ids[0] == 3);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

/* ---- pins --------------------------------------------------------------- */

static void
check_readable(fixture *f, const sb_checkpoint *c)
{
  manifest *m;
  size_t i;

  CU_ASSERT_FATAL(manifest_read(&f->host.host, f->env.store, &c->parts[0], &m,
                                NULL) == SB_OK);
  for (i = 0; i < m->segment_count; i++)
    CU_ASSERT(memstore_has(f->store, m->segments[i].name));
  manifest_free(&f->host.host, m);
}

static void
test_pin(void)
{
  sb_checkpoint *c;
  sb_job *job;
  fixture f;
  uint64_t id;

  fixture_init(&f, FIXTURE_BOTH, 5);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(job_checkpoint_open(&f.env, "j", 0, SB_CHECKPOINT_PIN, &c, NULL)
            == SB_NOT_FOUND);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 0, SB_CHECKPOINT_PIN, &c,
                                      NULL) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 1);
  for (id = 2; id < 5; id++) {
    CU_ASSERT(fixture_commit_new(&f, job, id) == SB_OK);
    check_readable(&f, c);
    CU_ASSERT(memstore_has(f.store, c->info.name));
    CU_ASSERT(memstore_objects(f.store, "_metadata") == 2);
  }
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 0);
  CU_ASSERT(fixture_commit_new(&f, job, id) == SB_OK);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

typedef struct racing {
  fixture *f;
  sb_job *job;
  uint64_t id;
  const char *part;
  uint32_t op;
} racing;

static void
race_commit(void *arg, uint32_t op, const char *name)
{
  racing *r = arg;

  if (op != r->op || strstr(name, r->part) == NULL)
    return;
  memstore_set_hook(r->f->store, NULL, NULL);
  CU_ASSERT(fixture_commit_new(r->f, r->job, r->id++) == SB_OK);
}

/* The checkpoint goes between the reader's look and its pin: it must take the
   next one, or say that there is none. */
static void
test_pin_too_late(void)
{
  fixture f;
  racing r = { &f, NULL, 2, "/pins/", MEMSTORE_PUT };
  sb_checkpoint *c;

  fixture_init(&f, FIXTURE_BOTH, 6);
  r.job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, r.job, 1) == SB_OK);
  memstore_set_hook(f.store, race_commit, &r);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 0, SB_CHECKPOINT_PIN, &c,
                                      NULL) == SB_OK);
  CU_ASSERT(c->info.id == 2);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 1);
  check_readable(&f, c);
  memstore_set_hook(f.store, race_commit, &r);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(job_checkpoint_open(&f.env, "j", 2, SB_CHECKPOINT_PIN, &c, NULL)
            == SB_NOT_FOUND);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 0);
  /* Without a pin, between HEAD and _metadata. */
  r.part = "_metadata";
  r.op = MEMSTORE_GET;
  memstore_set_hook(f.store, race_commit, &r);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 0, 0, &c, NULL) == SB_OK);
  CU_ASSERT(c->info.id == r.id - 1);
  job_checkpoint_close(&f.env, c);
  job_close(r.job);
  fixture_dispose(&f);
}

/* The deleter has listed the pins and stalls before its deletes: the reader's
   pin comes too late, although everything is still there. */
static void
test_pin_after_list(void)
{
  fixture f;
  racing r = { &f, NULL, 2, "/pins/", MEMSTORE_PUT };
  sb_checkpoint *c;

  fixture_init(&f, FIXTURE_BOTH, 12);
  r.job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, r.job, 1) == SB_OK);
  memstore_fault(f.store, MEMSTORE_REMOVE, "/chk-1-", 1, 1, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  memstore_fault(f.store, MEMSTORE_REMOVE, "/state/", 1, 1, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  memstore_set_hook(f.store, race_commit, &r);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 0, SB_CHECKPOINT_PIN, &c,
                                      NULL) == SB_OK);
  CU_ASSERT(c->info.id == 2);
  while (memstore_land(f.store) >= 0)
    continue;
  check_readable(&f, c);
  job_checkpoint_close(&f.env, c);
  job_close(r.job);
  fixture_dispose(&f);
}

/* A dead reader's pin holds until gc is told; one of a checkpoint that is gone
   holds nothing. */
static void
test_dead_pins(void)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_checkpoint *c;
  char name[PATH_SIZE];
  uint8_t *data;
  size_t len = 0;
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 7);
  job = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 1, SB_CHECKPOINT_PIN, &c,
                                      NULL) == SB_OK);
  strcpy(name, memstore_name(f.store, "/pins/", 0));
  data = memstore_data(f.store, name, &len);
  memstore_put(f.store, "base/j/checkpoints/pins/00000000000000aa", data, len);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(fixture_commit_new(&f, job, 2) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "chk-1-") == 1);
  CU_ASSERT(job_gc(job, SB_GC_DRY_RUN | SB_GC_PINS, &report, NULL) == SB_OK);
  CU_ASSERT(report.pins == 1 && report.removed == 0);
  CU_ASSERT(job_gc(job, SB_GC_PINS, &report, NULL) == SB_OK);
  CU_ASSERT(report.pins == 0 && report.removed == 3);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

/* ---- collecting --------------------------------------------------------- */

static void
test_orphans(void)
{
  sb_gc_report report = { .struct_size = sizeof report };
  char old[PATH_SIZE], own[PATH_SIZE], next[PATH_SIZE];
  uint64_t ids[4];
  sb_job *a, *b;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 8);
  a = fixture_takeover(&f, 2);
  CU_ASSERT(fixture_commit_new(&f, a, 1) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, a, 2) == SB_OK);
  strcpy(old, fixture_segment(&f, 1));
  memstore_put(f.store, "base/j/checkpoints/chk-9-1-00000000000000aa/"
               "_metadata", "x", 1);
  memstore_put(f.store, "base/j/checkpoints/chk-9-1-00000000000000aa/"
               "3.manifest", "x", 1);
  memstore_put(f.store, "base/j/checkpoints/chk-9-1-00000000000000aa/other",
               "x", 1);
  b = fixture_takeover(&f, 2);
  strcpy(own, fixture_segment(&f, 2));
  strcpy(next, fixture_segment(&f, 3));
  CU_ASSERT(job_gc(b, SB_GC_DRY_RUN, &report, NULL) == SB_OK);
  CU_ASSERT(report.orphans == 3 && report.removed == 0);
  CU_ASSERT(report.orphan_bytes == 9);
  CU_ASSERT(memstore_has(f.store, old));
  memstore_fault(f.store, MEMSTORE_REMOVE, "3.manifest", 1, 1,
                 MEMSTORE_BEFORE, SB_DENIED);
  CU_ASSERT(job_gc(b, 0, &report, NULL) == SB_OK);
  CU_ASSERT(report.orphans == 3 && report.removed == 2 && report.failed == 1);
  CU_ASSERT(job_gc(b, 0, &report, NULL) == SB_OK);
  CU_ASSERT(report.orphans == 1 && report.removed == 1);
  CU_ASSERT(!memstore_has(f.store, old));
  CU_ASSERT(memstore_has(f.store, own) && memstore_has(f.store, next));
  CU_ASSERT(memstore_objects(f.store, "/other") == 1);
  CU_ASSERT(fixture_list(&f, ids, 4) == 2);
  CU_ASSERT(job_gc(b, 99, &report, NULL) == SB_INVALID);
  job_close(a);
  job_close(b);
  fixture_dispose(&f);
}

/* More orphans than a batch; the fenced collector stops. */
static void
test_many_orphans(void)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *a, *b, *c;
  fixture f;
  int i;

  fixture_init(&f, FIXTURE_BOTH, 9);
  a = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, a, 1) == SB_OK);
  for (i = 0; i < 2500; i++)
    (void)fixture_segment(&f, 1);
  b = fixture_takeover(&f, 1);
  CU_ASSERT(job_gc(b, 0, &report, NULL) == SB_OK);
  CU_ASSERT(report.removed == 2500);
  CU_ASSERT(fixture_no_orphans(&f));
  c = fixture_takeover(&f, 1);
  CU_ASSERT(fixture_commit_new(&f, c, 2) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, b, 2) == SB_FENCED);
  job_close(a);
  job_close(b);
  job_close(c);
  fixture_dispose(&f);
}

/* ---- by hand ------------------------------------------------------------ */

static void
test_remove(void)
{
  sb_checkpoint *c;
  uint64_t ids[4];
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 10);
  job = fixture_takeover(&f, 3);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, job, 2) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, job, 3) == SB_OK);
  CU_ASSERT(job_remove(job, 3, NULL) == SB_INVALID);
  CU_ASSERT(job_remove(job, 7, NULL) == SB_NOT_FOUND);
  CU_ASSERT(job_remove(job, 1, NULL) == SB_OK);
  CU_ASSERT(fixture_list(&f, ids, 4) == 2 && ids[0] == 3 && ids[1] == 2);
  CU_ASSERT(fixture_no_orphans(&f));
  memstore_fault(f.store, MEMSTORE_PUT, "/HEAD", 1, 4, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(job_remove(job, 2, NULL) == SB_UNKNOWN);
  CU_ASSERT(fixture_list(&f, ids, 4) == 2);
  (void)memstore_land(f.store);
  CU_ASSERT(job_remove(job, 2, NULL) == SB_OK);
  CU_ASSERT(fixture_list(&f, ids, 4) == 1 && ids[0] == 3);
  CU_ASSERT(fixture_no_orphans(&f));
  CU_ASSERT(fixture_commit_new(&f, job, 4) == SB_OK);
  job_close(job);
  /* The one that was restored is in use until the next commit. */
  job = fixture_takeover(&f, 3);
  CU_ASSERT(job_checkpoint_open_own(job, 3, &c, NULL) == SB_OK);
  CU_ASSERT(job_remove(job, 3, NULL) == SB_BUSY);
  job_checkpoint_close(&f.env, c);
  CU_ASSERT(fixture_commit_new(&f, job, 5) == SB_OK);
  CU_ASSERT(job_remove(job, 3, NULL) == SB_OK);
  CU_ASSERT(fixture_list(&f, ids, 4) == 2 && ids[1] == 4);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

/* While a retained checkpoint cannot be read nothing is deleted; afterwards
   all that waited goes. */
static void
test_unreadable(void)
{
  char dropped[PATH_SIZE];
  fixture_part part = { .named = 0 };
  sb_job *job;
  fixture f;

  fixture_init(&f, FIXTURE_BOTH, 11);
  job = fixture_takeover(&f, 2);
  CU_ASSERT(fixture_commit_new(&f, job, 1) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, job, 2) == SB_OK);
  job_close(job);
  job = fixture_takeover(&f, 2);
  strcpy(dropped, fixture_segment(&f, 2));
  fixture_drop(&part, dropped);
  memstore_fault(f.store, MEMSTORE_GET, "chk-1-", 1, 9, MEMSTORE_BEFORE,
                 SB_UNAVAILABLE);
  CU_ASSERT(job_retain(job, 3, NULL) == SB_OK);
  CU_ASSERT(fixture_commit(&f, job, 3, &part, 1, NULL) == SB_OK);
  CU_ASSERT(memstore_has(f.store, dropped));
  memstore_clear_faults(f.store);
  CU_ASSERT(fixture_commit_new(&f, job, 4) == SB_OK);
  CU_ASSERT(!memstore_has(f.store, dropped));
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "fall_out", test_fall_out },
    { "held_and_dropped", test_held_and_dropped },
    { "carried_on", test_carried_on },
    { "late_delete", test_late_delete },
    { "pin", test_pin },
    { "pin_too_late", test_pin_too_late },
    { "pin_after_list", test_pin_after_list },
    { "dead_pins", test_dead_pins },
    { "orphans", test_orphans },
    { "many_orphans", test_many_orphans },
    { "remove", test_remove },
    { "unreadable", test_unreadable },
  };
  static const tap_suite suites[] = { { "delete", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
