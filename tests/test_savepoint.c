/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Savepoints: a directory that needs nothing outside of itself and means the
 * same wherever it is copied; made by copies of the store, or through the
 * client, of a checkpoint or another savepoint, here or in another store;
 * whole or not there at all, whatever goes wrong.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "host/base/crc.h"
#include "host/engine/claim.h"
#include "host/engine/savepoint.h"
#include "tests/job_fixture.h"
#include "tests/tap.h"

#define COPIES (FIXTURE_BOTH | SB_STORE_COPY)

static sb_error err;

/* Job j with one checkpoint: two parts that share a segment, and a manifest of
   its own. */
static sb_job *
make_job(fixture *f)
{
  static fixture_part parts[2];
  sb_job *job = fixture_takeover(f, 2);

  memset(parts, 0, sizeof parts);
  parts[1].named = 1;
  fixture_add(&parts[0], fixture_segment(f, 1));
  fixture_add(&parts[0], fixture_segment(f, 1));
  fixture_add(&parts[1], parts[0].segments[0]);
  fixture_hold(&parts[1], fixture_segment(f, 1));
  CU_ASSERT_FATAL(fixture_commit(f, job, 5, parts, 2, NULL) == SB_OK);
  return job;
}

static sb_status
copy_as(fixture *to, fixture *from, const char *from_savepoint,
        const char *name)
{
  sb_savepoint_copy options = {
    .struct_size = sizeof options, .from_job = from->job,
    .from_savepoint = from_savepoint, .job = to->job, .name = name
  };

  err.message[0] = '\0';
  return savepoint_copy(&to->env, &from->env, &options, &err);
}

/* The savepoint is whole, and says what the checkpoint said. */
static void
check_savepoint(fixture *f, const char *name)
{
  sb_checkpoint *c;
  sb_status st = savepoint_open(&f->env, f->job, name, MANIFEST_OWNER_FOREIGN,
                                &c, &err);
  manifest *m;
  const uint8_t *data;
  size_t len = 0;
  uint32_t i;

  if (st != SB_OK)
    printf("# savepoint %s: %s\n", name, err.message);
  CU_ASSERT_FATAL(st == SB_OK);
  CU_ASSERT(c->info.id == 5);
  CU_ASSERT(c->info.part_count == 2);
  fixture_check(f, c);
  for (i = 0; i < 2; i++) {
    CU_ASSERT(strcmp(c->parts[i].operator_id, "op") == 0);
    CU_ASSERT_FATAL(manifest_read(&f->host.host, f->env.store, &c->parts[i],
                                  &m, &err) == SB_OK);
    CU_ASSERT(m->segment_count == (i == 0 ? 2u : 1u));
    CU_ASSERT(m->segments[0].owner == MANIFEST_OWNER_FOREIGN);
    CU_ASSERT(m->held_count == 0);
    CU_ASSERT(strstr(m->segments[0].name, "/savepoints/") != NULL);
    data = memstore_data(f->store, m->segments[0].name, &len);
    CU_ASSERT(data != NULL && len == 7 && memcmp(data, "segment", 7) == 0);
    manifest_free(&f->host.host, m);
  }
  job_checkpoint_close(&f->env, c);
}

static void
check_life(uint32_t flags)
{
  sb_checkpoint_info *list;
  size_t count;
  sb_job *job;
  fixture f;

  fixture_init(&f, flags, 3);
  job = make_job(&f);
  CU_ASSERT(copy_as(&f, &f, NULL, "first") == SB_OK);
  /* Two segments and _metadata; the copy shared by both parts is one. */
  CU_ASSERT(memstore_objects(f.store, "/savepoints/first/") == 3);
  CU_ASSERT(memstore_objects(f.store, "/pins/") == 0);
  check_savepoint(&f, "first");
  CU_ASSERT(copy_as(&f, &f, NULL, "first") == SB_EXISTS);
  CU_ASSERT(memstore_objects(f.store, "/savepoints/first/") == 3);
  CU_ASSERT(copy_as(&f, &f, "first", "_ %2F/..") == SB_OK);
  check_savepoint(&f, "_ %2F/..");
  CU_ASSERT(savepoint_list(&f.env, "j", &list, &count, &err) == SB_OK);
  CU_ASSERT_FATAL(count == 2);
  CU_ASSERT(strcmp(list[0].name, "_ %2F/..") == 0);
  CU_ASSERT(strcmp(list[1].name, "first") == 0);
  CU_ASSERT(list[1].id == 5 && list[1].part_count == 2);
  job_list_free(&f.env, list, count);
  /* The source may go. */
  CU_ASSERT(fixture_commit_new(&f, job, 6) == SB_OK);
  CU_ASSERT(fixture_commit_new(&f, job, 7) == SB_OK);
  check_savepoint(&f, "first");
  CU_ASSERT(savepoint_remove(&f.env, "j", "first", &err) == SB_OK);
  check_savepoint(&f, "_ %2F/..");
  CU_ASSERT(savepoint_remove(&f.env, "j", "first", &err) == SB_NOT_FOUND);
  CU_ASSERT(savepoint_remove(&f.env, "j", "_ %2F/..", &err) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/savepoints/") == 0);
  CU_ASSERT(copy_as(&f, &f, "first", "again") == SB_NOT_FOUND);
  CU_ASSERT(fixture_no_orphans(&f));
  job_close(job);
  fixture_dispose(&f);
}

static void
test_life(void)
{
  check_life(COPIES);
  check_life(FIXTURE_BOTH);
  check_life(SB_STORE_CREATE);
}

static void
test_bytes_through_client(void)
{
  uint64_t gets;
  sb_job *job;
  fixture f;

  fixture_init(&f, COPIES, 4);
  job = make_job(&f);
  gets = memstore_count(f.store, MEMSTORE_GET);
  CU_ASSERT(copy_as(&f, &f, NULL, "s") == SB_OK);
  CU_ASSERT(memstore_count(f.store, MEMSTORE_COPY) == 2);
  /* HEAD twice, _metadata twice, a manifest, and the claim there is not,
     before and after. */
  CU_ASSERT(memstore_count(f.store, MEMSTORE_GET) - gets == 7);
  job_close(job);
  fixture_dispose(&f);
}

/* The directory is moved by another tool, to another job and base. */
static void
test_moved(void)
{
  static const char from[] = "base/j/savepoints/s/";
  fixture f, g;
  sb_job *job;

  fixture_init(&f, COPIES, 5);
  fixture_init(&g, COPIES, 6);
  g.job = "k";
  job = make_job(&f);
  CU_ASSERT_FATAL(copy_as(&f, &f, NULL, "s") == SB_OK);
  while (memstore_objects(f.store, from) != 0) {
    const char *name = memstore_name(f.store, from, 0);
    char moved[PATH_SIZE];
    size_t len;
    uint8_t *data = memstore_data(f.store, name, &len);

    (void)snprintf(moved, sizeof moved, "base/k/savepoints/moved/%s",
                   name + strlen(from));
    memstore_put(g.store, moved, data, len);
    memstore_remove(f.store, name);
  }
  check_savepoint(&g, "moved");
  /* And back, from one store to the other. */
  CU_ASSERT(copy_as(&f, &g, "moved", "back") == SB_OK);
  check_savepoint(&f, "back");
  job_close(job);
  fixture_dispose(&f);
  fixture_dispose(&g);
}

/* ---- written by subtasks ------------------------------------------------ */

typedef struct own_part {
  sb_part part;
  buf bytes;
} own_part;

static void
own_part_init(fixture *f, own_part *p, const char *segment)
{
  manifest_segment s = { .name = segment, .key_group_last = 127,
                         .info = { .size = 7, .tail_offset = 7,
                                   .directory_offset = 7,
                                   .key_group_count = 128 } };
  manifest m = { .generation = 3, .checkpoint_id = 9, .key_group_count = 128,
                 .key_group_last = 127, .operator_id = "op", .segments = &s,
                 .segment_count = 1 };

  memset(p, 0, sizeof *p);
  buf_init(&p->bytes, &f->host.host, MANIFEST_SIZE_MAX);
  CU_ASSERT(manifest_encode(&f->host.host, &m, &p->bytes) == SB_OK);
  p->part.struct_size = sizeof p->part;
  p->part.operator_id = "op";
  p->part.key_group_last = 127;
  p->part.manifest = sb_slice_of(p->bytes.data, p->bytes.len);
  p->part.length = p->bytes.len;
  p->part.crc32c = crc32c(p->bytes.data, p->bytes.len);
}

static sb_status
write_as(fixture *f, const own_part *p, const char *name, uint64_t id)
{
  sb_savepoint_options options = {
    .struct_size = sizeof options, .job = "j", .name = name, .id = id,
    .parts = &p->part, .part_count = 1, .blob = { "blob", 4 }
  };

  return savepoint_write(&f->env, &options, &err);
}

static void
test_write(void)
{
  sb_checkpoint *c;
  own_part p, other;
  fixture f;

  fixture_init(&f, COPIES, 7);
  own_part_init(&f, &p, "3-1-0123456789abcdef.state");
  CU_ASSERT(write_as(&f, &p, "s", 9) == SB_OK);
  CU_ASSERT(write_as(&f, &p, "s", 9) == SB_OK);
  CU_ASSERT(write_as(&f, &p, "s", 8) == SB_EXISTS);
  CU_ASSERT(write_as(&f, &p, "", 9) == SB_INVALID);
  CU_ASSERT(write_as(&f, &p, "t", 0) == SB_INVALID);
  CU_ASSERT_FATAL(savepoint_open(&f.env, "j", "s", MANIFEST_OWNER_ENGINE, &c,
                                 &err) == SB_OK);
  CU_ASSERT(c->info.generation == 3);
  CU_ASSERT(c->info.size > 7);
  CU_ASSERT(c->blob.len == 4 && memcmp(c->blob.data, "blob", 4) == 0);
  job_checkpoint_close(&f.env, c);
  own_part_init(&f, &other, "base/j/state/_/op/00/3-1-0123456789abcdef.state");
  CU_ASSERT(write_as(&f, &other, "u", 9) == SB_INVALID);
  CU_ASSERT(strstr(err.message, "base/j/state") != NULL);
  CU_ASSERT(memstore_objects(f.store, "/u/") == 0);
  /* An answer that is lost, and one that comes late. */
  memstore_fault(f.store, MEMSTORE_PUT, "_metadata", 1, 1, MEMSTORE_AFTER,
                 SB_UNKNOWN);
  CU_ASSERT(write_as(&f, &p, "v", 9) == SB_OK);
  memstore_fault(f.store, MEMSTORE_PUT, "_metadata", 1, 3, MEMSTORE_DELAYED,
                 SB_UNKNOWN);
  CU_ASSERT(write_as(&f, &p, "w", 9) == SB_UNKNOWN);
  while (memstore_land(f.store) >= 0)
    continue;
  CU_ASSERT(write_as(&f, &p, "w", 9) == SB_OK);
  buf_dispose(&p.bytes);
  buf_dispose(&other.bytes);
  fixture_dispose(&f);
}

/* A removal that was cut short goes on, and its name is not free before. */
static void
test_removal(void)
{
  claim there;
  own_part p;
  sb_job *job;
  fixture f;

  fixture_init(&f, COPIES, 8);
  job = make_job(&f);
  CU_ASSERT(copy_as(&f, &f, NULL, "s") == SB_OK);
  memstore_fault(f.store, MEMSTORE_REMOVE, ".state", 1, 1, MEMSTORE_BEFORE,
                 SB_UNAVAILABLE);
  CU_ASSERT(savepoint_remove(&f.env, "j", "s", &err) == SB_UNAVAILABLE);
  CU_ASSERT(claim_read(&f.env, "j", "s", &there, &err) == SB_OK);
  CU_ASSERT(there.kind == CLAIM_REMOVAL);
  CU_ASSERT(copy_as(&f, &f, NULL, "s") == SB_BUSY);
  own_part_init(&f, &p, "3-1-0123456789abcdef.state");
  CU_ASSERT(write_as(&f, &p, "s", 9) == SB_BUSY);
  CU_ASSERT(savepoint_remove(&f.env, "j", "s", &err) == SB_OK);
  CU_ASSERT(memstore_objects(f.store, "/savepoints/") == 0);
  CU_ASSERT(copy_as(&f, &f, NULL, "s") == SB_OK);
  check_savepoint(&f, "s");
  buf_dispose(&p.bytes);
  job_close(job);
  fixture_dispose(&f);
}

static void
test_damage(void)
{
  sb_checkpoint_info *list;
  sb_checkpoint *c;
  size_t count, len;
  uint8_t *data;
  sb_job *job;
  fixture f;

  fixture_init(&f, COPIES, 9);
  job = make_job(&f);
  CU_ASSERT(copy_as(&f, &f, NULL, "a") == SB_OK);
  CU_ASSERT(copy_as(&f, &f, NULL, "b") == SB_OK);
  data = memstore_data(f.store, "base/j/savepoints/a/_metadata", &len);
  CU_ASSERT_FATAL(data != NULL);
  data[len / 2] ^= 1;
  CU_ASSERT(savepoint_open(&f.env, "j", "a", MANIFEST_OWNER_FOREIGN, &c,
                           &err) == SB_CORRUPT);
  CU_ASSERT(strstr(err.message, "savepoints/a/_metadata") != NULL);
  CU_ASSERT(savepoint_list(&f.env, "j", &list, &count, &err) == SB_OK);
  CU_ASSERT(count == 1 && strcmp(list[0].name, "b") == 0);
  job_list_free(&f.env, list, count);
  /* A segment that is missing is missed when it is copied. */
  memstore_remove(f.store, memstore_name(f.store, "savepoints/b/1-", 0));
  CU_ASSERT(copy_as(&f, &f, "b", "c") == SB_NOT_FOUND);
  CU_ASSERT(strstr(err.message, "savepoints/b/") != NULL);
  CU_ASSERT(memstore_objects(f.store, "savepoints/c/") == 0);
  /* Whose is it, if its CLAIMED cannot be read? */
  memstore_put(f.store, "base/j/savepoints/b/CLAIMED", "x", 1);
  CU_ASSERT(savepoint_remove(&f.env, "j", "b", &err) == SB_CORRUPT);
  CU_ASSERT(strstr(err.message, "savepoints/b/CLAIMED") != NULL);
  job_close(job);
  fixture_dispose(&f);
}

/* ---- when things go wrong ----------------------------------------------- */

static sb_status
faulty_life(fixture *f, fixture *from, int can_remove)
{
  char _metadata[] = "base/j/savepoints/s/_metadata";
  sb_status st = copy_as(f, from, NULL, "s");

  if (st == SB_OK) {
    memstore_clear_faults(f->store);
    memstore_clear_faults(from->store);
    check_savepoint(f, "s");
    return st;
  }
  CU_ASSERT(err.message[0] != '\0');
  CU_ASSERT(st == SB_UNKNOWN || !memstore_has(f->store, _metadata));
  if (can_remove && st != SB_UNKNOWN)
    CU_ASSERT(memstore_objects(f->store, "/savepoints/") == 0);
  return st;
}

/* A savepoint of which it is not known whether it was made is whole if it
   was. */
static void
faulty_end(fixture *f, fixture *from, sb_status told)
{
  sb_status st;

  memstore_clear_faults(f->store);
  memstore_clear_faults(from->store);
  while (memstore_land(f->store) >= 0)
    continue;
  if (told == SB_UNKNOWN &&
      memstore_has(f->store, "base/j/savepoints/s/_metadata"))
    check_savepoint(f, "s");
  st = savepoint_remove(&f->env, "j", "s", &err);
  CU_ASSERT(st == SB_OK || st == SB_NOT_FOUND);
  CU_ASSERT(memstore_objects(f->store, "/savepoints/") == 0);
  CU_ASSERT(copy_as(f, from, NULL, "s") == SB_OK);
  check_savepoint(f, "s");
}

static void
fault_loop(uint32_t flags, int two_stores, uint32_t mode, sb_status status,
           uint64_t times)
{
  uint64_t n, before, operations = 1;

  /* The round of 0 is the one where nothing goes wrong. */
  for (n = 0; n <= operations; n++) {
    unsigned failures = CU_get_number_of_failures();
    fixture f, g, *from;
    sb_status st;
    sb_job *job;

    fixture_init(&f, flags, 10);
    fixture_init(&g, flags, 11);
    from = two_stores ? &g : &f;
    job = make_job(from);
    before = memstore_count(f.store, MEMSTORE_ALL);
    if (n != 0)
      memstore_fault(f.store, MEMSTORE_ALL, "", n, times, mode, status);
    if (n != 0 && two_stores)
      memstore_fault(g.store, MEMSTORE_ALL, "", n, times, mode, status);
    st = faulty_life(&f, from, times == 1 && mode == MEMSTORE_BEFORE &&
                               status != SB_UNKNOWN);
    if (n == 0)
      operations = memstore_count(f.store, MEMSTORE_ALL) - before +
                   (two_stores ? 10 : 0);
    faulty_end(&f, from, st);
    job_close(job);
    fixture_dispose(&f);
    fixture_dispose(&g);
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
  static const uint64_t times[] = { 1, 2, 1000000 };
  size_t i;

  for (i = 0; i < TAP_COUNT(times); i++) {
    fault_loop(COPIES, 0, mode, status, times[i]);
    fault_loop(FIXTURE_BOTH, 0, mode, status, times[i]);
    fault_loop(FIXTURE_BOTH, 1, mode, status, times[i]);
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

  for (n = 0; n <= allocations; n++) {
    unsigned failures = CU_get_number_of_failures();
    sb_job *job;
    fixture f;

    fixture_init(&f, n % 2 ? COPIES : FIXTURE_BOTH, 12);
    job = make_job(&f);
    f.host.allocations = 0;
    f.host.fail_at = n / 2;
    if (copy_as(&f, &f, NULL, "s") == SB_OK)
      (void)savepoint_remove(&f.env, "j", "s", &err);
    else
      CU_ASSERT(!memstore_has(f.store, "base/j/savepoints/s/_metadata"));
    if (n == 0)
      allocations = f.host.allocations * 2;
    f.host.fail_at = 0;
    faulty_end(&f, &f, SB_OK);
    job_close(job);
    fixture_dispose(&f);
    if (CU_get_number_of_failures() != failures) {
      tap_note("allocation %u", (unsigned)n / 2);
      return;
    }
  }
}

/* A savepoint that names what is not in its directory. */
static void
test_outside(void)
{
  sb_checkpoint *c, *opened;
  metadata m = { .id = 5, .generation = 1, .part_count = 1, .job_id = "j" };
  sb_job *job;
  fixture f;
  buf bytes;

  fixture_init(&f, COPIES, 20);
  job = make_job(&f);
  CU_ASSERT_FATAL(job_checkpoint_open(&f.env, "j", 5, 0, &c, &err) == SB_OK);
  m.parts = (sb_part *)(uintptr_t)c->parts;
  buf_init(&bytes, f.env.host, SIZE_MAX);
  CU_ASSERT(metadata_encode(&m, &bytes) == SB_OK);
  memstore_put(f.store, "base/j/savepoints/s/_metadata", bytes.data,
               bytes.len);
  CU_ASSERT(savepoint_open(&f.env, "j", "s", MANIFEST_OWNER_ENGINE, &opened,
                           &err) == SB_CORRUPT);
  CU_ASSERT(strstr(err.message, "which is not in it") != NULL);
  CU_ASSERT(copy_as(&f, &f, "s", "t") == SB_CORRUPT);
  buf_dispose(&bytes);
  job_checkpoint_close(&f.env, c);
  job_close(job);
  fixture_dispose(&f);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "life", test_life },
    { "bytes_through_client", test_bytes_through_client },
    { "moved", test_moved },
    { "write", test_write },
    { "removal", test_removal },
    { "damage", test_damage },
    { "fail_before", test_fail_before },
    { "fail_after", test_fail_after },
    { "delayed", test_delayed },
    { "flipped", test_flipped },
    { "no_memory", test_no_memory },
    { "outside", test_outside },
  };
  static const tap_suite suites[] = { { "savepoints", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
