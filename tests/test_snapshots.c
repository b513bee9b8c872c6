/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of snapshots: full ones share nothing with earlier ones, savepoints
 * share nothing at all, and what belongs to others is copied before anything
 * relies on it. Every change of the store and every allocation fails once on
 * the way.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "faulty_host.h"
#include "snapshot_fixture.h"

static unsigned
new_objects(const kept_part *p)
{
  unsigned n = 0;
  uint32_t i;

  for (i = 0; i < p->part.object_count; i++)
    n += p->is_new[i];
  return n;
}

static int
in_directory(const kept_part *p, const char *prefix)
{
  uint32_t i;

  for (i = 0; i < p->part.object_count; i++)
    if (strncmp(p->names[i], prefix, strlen(prefix)) != 0)
      return 0;
  return p->part.object_count != 0;
}

/* ---- full ---------------------------------------------------------------- */

static void
test_full(void)
{
  content c = { 0 }, at[4];
  kept_part *p[4] = { NULL };
  sb_keyed *k;
  unsigned i;

  open_backend("16mb", 16);
  check_ok(backend->ops->retain(job, 4, &err));
  k = open_new();
  for (i = 0; i < 4; i++) {
    content_change(k, &c, 300);
    at[i] = c;
    p[i] = snapshot_whole(k, i + 1, i == 2 ? SB_SNAPSHOT_FULL
                                           : SB_SNAPSHOT_CHECKPOINT);
  }
  CU_ASSERT_EQUAL(shared_objects(p[0], p[1]), 1);
  CU_ASSERT_EQUAL(shared_objects(p[2], p[1]), 0);
  CU_ASSERT_EQUAL(new_objects(p[2]), 3);
  CU_ASSERT_EQUAL(p[2]->part.object_count, 3);
  CU_ASSERT_EQUAL(shared_objects(p[3], p[2]), 3);
  CU_ASSERT_EQUAL(new_objects(p[3]), 1);
  CU_ASSERT_EQUAL(store_copies(), 0);
  for (i = 0; i < 4; i++)
    CU_ASSERT_EQUAL(part_wrong(p[i], &at[i], 0), 0);
  /* Nothing of the first two is needed any more. */
  for (i = 0; i < p[1]->part.object_count; i++)
    object_remove(p[1]->names[i]);
  CU_ASSERT_EQUAL(part_wrong(p[2], &at[2], 0), 0);
  CU_ASSERT_EQUAL(part_wrong(p[3], &at[3], 0), 0);
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  for (i = 0; i < 4; i++)
    kept_part_free(p[i]);
  k->ops->close(k);
  close_backend();
}

/* A full one is begun, then another checkpoint; they run in either order, the
   full one twice. */
static void
full_overlap(int later_first, uint32_t later)
{
  content c = { 0 }, at[3];
  kept_part *first, *full, *next, *last;
  sb_snapshot *s, *t;
  sb_keyed *k;

  open_backend("16mb", 16);
  k = open_new();
  content_change(k, &c, 300);
  first = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  content_change(k, &c, 300);
  at[0] = c;
  s = begin_kind(k, 2, SB_SNAPSHOT_FULL, NULL);
  content_change(k, &c, 300);
  at[1] = c;
  t = begin_kind(k, 3, later, NULL);
  content_change(k, &c, 300);
  if (later_first) {
    next = run_kept(k, t);
    full = run_kept(k, s);
  } else {
    kept_part_free(run_kept(k, s));
    full = run_kept(k, s);
    next = run_kept(k, t);
  }
  CU_ASSERT_EQUAL(shared_objects(full, first), 0);
  if (later == SB_SNAPSHOT_FULL)
    CU_ASSERT_EQUAL(shared_objects(full, next), 0);
  commit_part(full, 2);
  CU_ASSERT_EQUAL(part_wrong(full, &at[0], 0), 0);
  commit_part(next, 3);
  k->ops->snapshot_free(k, s);
  k->ops->snapshot_free(k, t);
  check_ok(k->ops->notify(k, SB_NOTIFY_COMPLETE, 3, &err));
  CU_ASSERT_EQUAL(part_wrong(next, &at[1], 0), 0);
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  last = snapshot_whole(k, 4, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(part_wrong(last, &c, 0), 0);
  CU_ASSERT_EQUAL(objects_under("state/", NULL, NULL),
                  last->part.object_count);
  kept_part_free(first);
  kept_part_free(full);
  kept_part_free(next);
  kept_part_free(last);
  k->ops->close(k);
  close_backend();
}

static void
test_full_overlap(void)
{
  full_overlap(0, SB_SNAPSHOT_CHECKPOINT);
  full_overlap(1, SB_SNAPSHOT_CHECKPOINT);
  full_overlap(0, SB_SNAPSHOT_FULL);
  full_overlap(1, SB_SNAPSHOT_FULL);
}

/* ---- savepoints ---------------------------------------------------------- */

static void
test_savepoint(void)
{
  content c = { 0 }, at;
  kept_part *first, *save, *next;
  sb_snapshot *s;
  sb_keyed *k;

  open_backend("16mb", 16);
  k = open_new();
  content_change(k, &c, 300);
  first = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  content_change(k, &c, 300);
  at = c;
  s = begin_kind(k, 2, SB_SNAPSHOT_SAVEPOINT, "one two");
  content_change(k, &c, 300);
  save = run_kept(k, s);
  CU_ASSERT(in_directory(save, "savepoints/one%20two/"));
  CU_ASSERT_EQUAL(new_objects(save), save->part.object_count);
  CU_ASSERT_EQUAL(objects_under("savepoints/", NULL, NULL),
                  save->part.object_count);
  k->ops->snapshot_free(k, s);
  CU_ASSERT_EQUAL(objects_under("savepoints/", NULL, NULL),
                  save->part.object_count);
  /* Checkpoints go on as if it had not been. */
  next = snapshot_whole(k, 3, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(shared_objects(next, first), 1);
  CU_ASSERT_EQUAL(shared_objects(next, save), 0);
  kept_part_place(save, "savepoints/one%20two/");
  CU_ASSERT_EQUAL(part_wrong(save, &at, 0), 0);
  CU_ASSERT_EQUAL(part_wrong(next, &c, 0), 0);
  kept_part_free(first);
  kept_part_free(save);
  kept_part_free(next);
  k->ops->close(k);
  close_backend();
}

/* One that is given up leaves nothing; a manifest too large for the part lies
   in the directory too. */
static void
test_savepoint_given_up(void)
{
  content c = { 0 };
  kept_part *save;
  sb_state_info info;
  sb_snapshot *s;
  const sb_part *part;
  sb_keyed *k;
  char *blob = calloc(1, 70001);

  open_backend("16mb", 16);
  k = open_new();
  memset(blob, 'x', 70000);
  (void)add_state_with(k, "blob", SB_STATE_VALUE, blob, &info);
  free(blob);
  content_change(k, &c, 300);
  s = begin_kind(k, 1, SB_SNAPSHOT_SAVEPOINT, "s");
  save = run_kept(k, s);
  CU_ASSERT_PTR_NOT_NULL_FATAL(save->part.name);
  CU_ASSERT_PTR_NULL(strchr(save->part.name, '/'));
  CU_ASSERT_EQUAL(objects_under("savepoints/s/", NULL, NULL), 2);
  kept_part_free(save);
  save = run_kept(k, s); /* again: other objects in place of those */
  CU_ASSERT_EQUAL(objects_under("savepoints/s/0-", NULL, NULL), 1);
  CU_ASSERT_EQUAL(objects_under("savepoints/s/", NULL, NULL), 2);
  k->ops->snapshot_cancel(k, s);
  CU_ASSERT_EQUAL(k->ops->snapshot_run(k, s, &part, &err), SB_CANCELLED);
  k->ops->snapshot_free(k, s);
  CU_ASSERT_EQUAL(objects_under("savepoints/", NULL, NULL), 0);
  kept_part_free(save);
  k->ops->close(k);
  close_backend();
}

/* ---- what belongs to others ---------------------------------------------- */

static void
no_claim(int refuse_copies)
{
  content c = { 0 }, at;
  kept_part *source, *first, *second;
  sb_keyed *k;
  sb_status status;
  uint32_t i;

  open_backend("16mb", 16);
  store_watch();
  k = open_new();
  content_change(k, &c, 300);
  kept_part_free(snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT));
  content_change(k, &c, 300);
  source = snapshot_whole(k, 2, SB_SNAPSHOT_CHECKPOINT);
  k->ops->close(k);
  store_cannot_copy(refuse_copies);
  k = open_parts("", (const kept_part *const *)&source, 1,
                 backend->ops->job_generation(job), SB_OPEN_NO_CLAIM, 0,
                 &status);
  content_register(k);
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  content_change(k, &c, 100);
  at = c;
  first = snapshot_whole(k, 3, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(shared_objects(first, source), 0);
  CU_ASSERT_EQUAL(store_copies(), refuse_copies ? 0 : 2);
  content_change(k, &c, 100);
  second = snapshot_whole(k, 4, SB_SNAPSHOT_CHECKPOINT);
  CU_ASSERT_EQUAL(shared_objects(second, first), 3);
  for (i = 0; i < source->part.object_count; i++)
    object_remove(source->names[i]);
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  CU_ASSERT_EQUAL(part_wrong(first, &at, 0), 0);
  CU_ASSERT_EQUAL(part_wrong(second, &c, 0), 0);
  kept_part_free(source);
  kept_part_free(first);
  kept_part_free(second);
  k->ops->close(k);
  close_backend();
}

static void
test_no_claim(void)
{
  no_claim(0);
}

/* A store without copies, and one that finds out when it is asked. */
static void
test_by_client(void)
{
  no_claim(1);
  no_claim(2);
}

/* Nobody deletes what is foreign, whatever is dropped and collected. */
static void
test_foreign_stays(void)
{
  content c = { 0 };
  kept_part *source;
  sb_keyed *k;
  sb_status status;
  uint32_t i;

  open_backend("16mb", 16);
  k = open_new();
  content_change(k, &c, 300);
  source = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  k->ops->close(k);
  k = open_parts("", (const kept_part *const *)&source, 1, 5,
                 SB_OPEN_NO_CLAIM, 0, &status);
  content_register(k);
  for (i = 2; i < 6; i++) {
    sb_snapshot *s = begin_kind(k, i, SB_SNAPSHOT_CHECKPOINT, NULL);
    kept_part *p = run_kept(k, s);

    CU_ASSERT_EQUAL(shared_objects(p, source), 0);
    k->ops->snapshot_free(k, s);
    kept_part_free(p);
    content_change(k, &c, 50);
  }
  CU_ASSERT_EQUAL(part_wrong(source, &c, 0) != 1000, 1);
  kept_part_free(source);
  k->ops->close(k);
  close_backend();
}

/* ---- misuse, damage ------------------------------------------------------ */

static void
test_misuse(void)
{
  sb_snapshot_options o = { .struct_size = sizeof o, .checkpoint_id = 1 };
  content c = { 0 };
  sb_snapshot *s = NULL;
  kept_part *p;
  const sb_part *part;
  sb_keyed *k;
  sb_status status;

  open_backend("16mb", 16);
  k = open_new();
  o.kind = 77;
  CU_ASSERT_EQUAL(k->ops->snapshot_begin(k, &o, &s, &err), SB_UNSUPPORTED);
  o.kind = SB_SNAPSHOT_SAVEPOINT;
  CU_ASSERT_EQUAL(k->ops->snapshot_begin(k, &o, &s, &err), SB_INVALID);
  o.savepoint = "";
  CU_ASSERT_EQUAL(k->ops->snapshot_begin(k, &o, &s, &err), SB_INVALID);
  o.savepoint = "s";
  o.struct_size = (uint32_t)offsetof(sb_snapshot_options, savepoint);
  CU_ASSERT_EQUAL(k->ops->snapshot_begin(k, &o, &s, &err), SB_INVALID);
  CU_ASSERT_PTR_NULL(s);
  content_change(k, &c, 300);
  p = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  /* The object that is to be copied is gone. */
  object_remove(p->names[0]);
  s = begin_kind(k, 2, SB_SNAPSHOT_FULL, NULL);
  status = k->ops->snapshot_run(k, s, &part, &err);
  CU_ASSERT_EQUAL(status, SB_CORRUPT);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, p->names[0]));
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "missing"));
  k->ops->snapshot_free(k, s);
  kept_part_free(p);
  k->ops->close(k);
  close_backend();
}

/* Through the client, bytes are compared with what was written. */
static void
test_damage(void)
{
  content c = { 0 };
  kept_part *p;
  sb_snapshot *s;
  const sb_part *part;
  char path[1200];
  FILE *f;
  sb_keyed *k;
  int byte;

  open_backend("16mb", 16);
  store_watch();
  store_cannot_copy(1);
  k = open_new();
  content_change(k, &c, 300);
  p = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  snprintf(path, sizeof path, "%s/%s", directory, p->names[0]);
  f = fopen(path, "r+");
  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  fseek(f, 500, SEEK_SET);
  byte = fgetc(f);
  fseek(f, 500, SEEK_SET);
  fputc(byte ^ 4, f);
  fclose(f);
  s = begin_kind(k, 2, SB_SNAPSHOT_SAVEPOINT, "s");
  CU_ASSERT_EQUAL(k->ops->snapshot_run(k, s, &part, &err), SB_CORRUPT);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, p->names[0]));
  k->ops->snapshot_free(k, s);
  CU_ASSERT_EQUAL(objects_under("savepoints/", NULL, NULL), 0);
  kept_part_free(p);
  k->ops->close(k);
  close_backend();
}

/* ---- failures ------------------------------------------------------------ */

static const struct {
  uint32_t kind;
  int no_claim;
} fault_cases[] = {
  { SB_SNAPSHOT_FULL, 0 },
  { SB_SNAPSHOT_SAVEPOINT, 0 },
  { SB_SNAPSHOT_CHECKPOINT, 1 },
};

/* One run after a failure of change `nth`, or of allocation `nth`; returns 1
   if the failure was reached. */
static int
fault_once(size_t which, faulty_host *faulty, long nth, int mode)
{
  content c = { 0 };
  kept_part *p, *last;
  sb_snapshot *s;
  const sb_part *part;
  sb_keyed *k = open_new();
  sb_status status, again;
  int reached;

  content_change(k, &c, 150);
  p = snapshot_whole(k, 1, SB_SNAPSHOT_CHECKPOINT);
  if (fault_cases[which].no_claim) {
    k->ops->close(k);
    k = open_parts("", (const kept_part *const *)&p, 1,
                   backend->ops->job_generation(job), SB_OPEN_NO_CLAIM, 0,
                   &status);
    content_register(k);
  }
  content_change(k, &c, 150);
  s = begin_kind(k, 2, fault_cases[which].kind, "s");
  if (mode != 0)
    store_fail(nth, mode);
  else
    atomic_store(&faulty->countdown, nth);
  status = k->ops->snapshot_run(k, s, &part, &err);
  reached = mode != 0 ? store_failed() : atomic_load(&faulty->countdown) == 0;
  store_fail(0, 0);
  atomic_store(&faulty->countdown, 0);
  again = k->ops->snapshot_run(k, s, &part, &err);
  CU_ASSERT_EQUAL(again, SB_OK);
  CU_ASSERT(status == SB_OK || reached);
  last = kept_part_new(part);
  CU_ASSERT_EQUAL(shared_objects(last, p), 0);
  if (fault_cases[which].kind == SB_SNAPSHOT_SAVEPOINT) {
    k->ops->snapshot_cancel(k, s);
    k->ops->snapshot_free(k, s);
    CU_ASSERT_EQUAL(objects_under("savepoints/", NULL, NULL), 0);
  } else {
    commit_part(last, 2);
    k->ops->snapshot_free(k, s);
    CU_ASSERT_EQUAL(part_wrong(last, &c, 0), 0);
  }
  CU_ASSERT_EQUAL(content_wrong(k, &c), 0);
  kept_part_free(last);
  kept_part_free(p);
  k->ops->close(k);
  return reached;
}

static void
test_faults(void)
{
  size_t which;
  int mode, reached;
  long nth;

  for (which = 0; which < TAP_COUNT(fault_cases); which++)
    for (mode = STORE_FAIL_BEFORE; mode <= STORE_FAIL_AFTER; mode++)
      for (nth = 1, reached = 1; reached; nth++) {
        faulty_host faulty;

        faulty_host_init(&faulty, 0);
        open_watched(&faulty.host);
        reached = fault_once(which, &faulty, nth, mode);
        CU_ASSERT(nth > 2 || reached);
        close_backend();
        CU_ASSERT_EQUAL(atomic_load(&faulty.live), 0);
      }
}

static void
test_no_memory(void)
{
  size_t which;
  int reached;
  long nth;

  for (which = 0; which < TAP_COUNT(fault_cases); which++)
    for (nth = 1, reached = 1; reached; nth += tap_is_slow() ? 7 : 1) {
      faulty_host faulty;

      faulty_host_init(&faulty, 0);
      open_watched(&faulty.host);
      reached = fault_once(which, &faulty, nth, 0);
      CU_ASSERT(nth > 20 || reached);
      close_backend();
      CU_ASSERT_EQUAL(atomic_load(&faulty.live), 0);
    }
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "full", test_full },
    { "full, overlapping", test_full_overlap },
    { "savepoint", test_savepoint },
    { "savepoint given up", test_savepoint_given_up },
    { "no claim", test_no_claim },
    { "copies through the client", test_by_client },
    { "foreign objects stay", test_foreign_stays },
    { "misuse", test_misuse },
    { "damage", test_damage },
    { "store failures", test_faults },
    { "no memory", test_no_memory },
  };

  return run_suite(argc, argv, "snapshots", cases, TAP_COUNT(cases));
}
