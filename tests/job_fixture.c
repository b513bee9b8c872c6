/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for tests of jobs; see job_fixture.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <CUnit/CUnit.h>

#include "host/base/crc.h"
#include "host/engine/names.h"
#include "tests/job_fixture.h"

void
fixture_init(fixture *f, uint32_t store_flags, uint64_t seed)
{
  sb_engine_options options = {
    .struct_size = sizeof options, .base_path = "base",
    .state_prefix = "state", .checkpoint_prefix = "checkpoints",
    .savepoint_prefix = "savepoints", .extension = ".state"
  };

  memset(f, 0, sizeof *f);
  f->job = "j";
  f->job_id = "id";
  memhost_init(&f->host, seed);
  f->store = memstore_new(store_flags);
  CU_ASSERT_FATAL(paths_init(&f->paths, &f->host.host, &options, NULL) ==
                  SB_OK);
  f->env = (job_env){ &f->host.host, memstore_store(f->store), &f->paths,
                      store_flags };
}

void
fixture_dispose(fixture *f)
{
  memstore_free(f->store);
  paths_dispose(&f->paths, &f->host.host);
  CU_ASSERT(f->host.live == 0);
}

const char *
fixture_segment(fixture *f, uint64_t generation)
{
  static char ring[64][PATH_SIZE];
  char *name = ring[f->sequence % 64];

  CU_ASSERT_FATAL(paths_segment(&f->paths, f->job, "op", generation,
                                ++f->sequence,
                                f->host.host.random(&f->host.host), name,
                                NULL) == SB_OK);
  memstore_put(f->store, name, "segment", 7);
  return name;
}

void
fixture_add(fixture_part *p, const char *segment)
{
  strcpy(p->segments[p->segment_count++], segment);
}

void
fixture_hold(fixture_part *p, const char *segment)
{
  strcpy(p->held[p->held_count++], segment);
}

void
fixture_drop(fixture_part *p, const char *segment)
{
  strcpy(p->dropped[p->dropped_count++], segment);
}

static void
fixture_encode(fixture *f, const fixture_part *p, uint32_t subtask,
               uint64_t generation, uint64_t id, buf *out)
{
  manifest_segment segments[FIXTURE_NAMES] = { 0 };
  const char *held[FIXTURE_NAMES], *dropped[FIXTURE_NAMES];
  manifest m = {
    .generation = generation, .checkpoint_id = id, .epoch = id,
    .key_group_count = 128, .key_group_last = 127, .subtask = subtask,
    .operator_id = "op", .segments = segments, .held = held,
    .dropped = dropped, .segment_count = p->segment_count,
    .held_count = p->held_count, .dropped_count = p->dropped_count
  };
  size_t i;

  for (i = 0; i < p->segment_count; i++) {
    segments[i].name = p->segments[i];
    segments[i].key_group_last = 127;
    segments[i].info.size = 7;
    segments[i].info.crc32c = crc32c("segment", 7);
    segments[i].info.tail_offset = 7;
    segments[i].info.directory_offset = 7;
    segments[i].info.key_group_count = 128;
  }
  for (i = 0; i < p->held_count; i++)
    held[i] = p->held[i];
  for (i = 0; i < p->dropped_count; i++)
    dropped[i] = p->dropped[i];
  CU_ASSERT_FATAL(manifest_encode(&f->host.host, &m, out) == SB_OK);
}

sb_status
fixture_commit(fixture *f, sb_job *job, uint64_t id,
               const fixture_part *parts, size_t count, sb_error *err)
{
  static char objects[FIXTURE_PARTS][PATH_SIZE];
  sb_part list[FIXTURE_PARTS] = { 0 };
  buf bytes[FIXTURE_PARTS];
  sb_commit_options options = { .struct_size = sizeof options, .id = id,
                                .parts = list, .part_count = count,
                                .blob = { &id, sizeof id } };
  uint64_t fail_at = f->host.fail_at, allocations = f->host.allocations;
  sb_status st;
  size_t i;

  f->host.fail_at = 0; /* what fails is the library's */
  for (i = 0; i < count; i++) {
    buf_init(&bytes[i], &f->host.host, MANIFEST_SIZE_MAX);
    fixture_encode(f, &parts[i], (uint32_t)i, job_generation(job), id,
                   &bytes[i]);
    list[i].struct_size = sizeof list[i];
    list[i].subtask = (uint32_t)i;
    list[i].operator_id = "op";
    list[i].key_group_last = 127;
    list[i].length = bytes[i].len;
    list[i].crc32c = crc32c(bytes[i].data, bytes[i].len);
    list[i].manifest = sb_slice_of(bytes[i].data, bytes[i].len);
    if (!parts[i].named)
      continue;
    (void)paths_manifest(&f->paths, f->job, (uint32_t)i, id, job_generation(job),
                         f->host.host.random(&f->host.host), objects[i],
                         NULL);
    memstore_put(f->store, objects[i], bytes[i].data, bytes[i].len);
    list[i].name = objects[i];
    list[i].manifest = sb_slice_of(NULL, 0);
  }
  f->host.allocations = allocations;
  f->host.fail_at = fail_at;
  st = job_commit(job, &options, err);
  for (i = 0; i < count; i++)
    buf_dispose(&bytes[i]);
  return st;
}

sb_status
fixture_commit_new(fixture *f, sb_job *job, uint64_t id)
{
  static fixture_part part;

  memset(&part, 0, sizeof part);
  fixture_add(&part, fixture_segment(f, job_generation(job)));
  return fixture_commit(f, job, id, &part, 1, NULL);
}

sb_job *
fixture_takeover(fixture *f, uint32_t retain)
{
  sb_takeover_options options = { .struct_size = sizeof options,
                                  .job = f->job, .job_id = f->job_id,
                                  .retain = retain };
  sb_error err;
  sb_job *job;
  sb_status st = job_takeover(&f->env, &options, &job, &err);

  if (st != SB_OK)
    printf("# takeover: %s\n", err.message);
  CU_ASSERT_FATAL(st == SB_OK);
  return job;
}

/* All objects of an opened checkpoint must be there; counts them in `needed`
   unless that is NULL. */
static void
fixture_check_names(fixture *f, const sb_checkpoint *c, names *needed)
{
  uint64_t id = 0;
  size_t i, j;

  CU_ASSERT(c->blob.len == sizeof id);
  if (c->blob.len == sizeof id)
    memcpy(&id, c->blob.data, sizeof id);
  CU_ASSERT(id == c->info.id);
  CU_ASSERT(memstore_has(f->store, c->info.name));
  if (needed != NULL)
    names_add(needed, c->info.name, 0);
  for (i = 0; i < c->info.part_count; i++) {
    manifest *m;
    sb_error err;
    sb_status st = manifest_read(&f->host.host, f->env.store, &c->parts[i],
                                 &m, &err);

    if (st != SB_OK)
      printf("# checkpoint %u: %s\n", (unsigned)id, err.message);
    CU_ASSERT_FATAL(st == SB_OK);
    if (needed != NULL && c->parts[i].name != NULL)
      names_add(needed, c->parts[i].name, 0);
    for (j = 0; j < m->segment_count; j++) {
      CU_ASSERT(memstore_has(f->store, m->segments[j].name));
      if (needed != NULL)
        names_add(needed, m->segments[j].name, 0);
    }
    for (j = 0; j < m->held_count; j++) {
      CU_ASSERT(memstore_has(f->store, m->held[j]));
      if (needed != NULL)
        names_add(needed, m->held[j], 0);
    }
    manifest_free(&f->host.host, m);
  }
}

void
fixture_check(fixture *f, const sb_checkpoint *c)
{
  fixture_check_names(f, c, NULL);
}

void
fixture_restore(fixture *f, const sb_part *part, fixture_part *to)
{
  manifest *m;
  size_t i;

  CU_ASSERT_FATAL(manifest_read(&f->host.host, f->env.store, part, &m,
                                NULL) == SB_OK);
  for (i = 0; i < m->segment_count; i++)
    fixture_add(to, m->segments[i].name);
  manifest_free(&f->host.host, m);
}

static size_t
fixture_walk(fixture *f, uint64_t *ids, size_t max, names *needed)
{
  sb_checkpoint_info *list;
  size_t i, count;
  sb_error err;
  sb_status st = job_list(&f->env, f->job, &list, &count, &err);

  if (st != SB_OK)
    printf("# list: %s\n", err.message);
  CU_ASSERT_FATAL(st == SB_OK);
  for (i = 0; i < count; i++) {
    sb_checkpoint *c;

    if (i < max)
      ids[i] = list[i].id;
    CU_ASSERT_FATAL(job_checkpoint_open(&f->env, f->job, list[i].id, 0, &c,
                                        &err) == SB_OK);
    CU_ASSERT(c->info.id == list[i].id);
    CU_ASSERT(c->info.generation == list[i].generation);
    fixture_check_names(f, c, needed);
    job_checkpoint_close(&f->env, c);
  }
  job_list_free(&f->env, list, count);
  return count;
}

size_t
fixture_list(fixture *f, uint64_t *ids, size_t max)
{
  return fixture_walk(f, ids, max, NULL);
}

int
fixture_no_orphans(fixture *f)
{
  names needed;
  size_t i;
  int clean = 1;

  names_init(&needed, &f->host.host);
  (void)fixture_walk(f, NULL, 0, &needed);
  names_sort(&needed);
  for (i = 0; i < memstore_objects(f->store, ""); i++) {
    const char *name = memstore_name(f->store, "", i);

    if (strstr(name, "/HEAD") == NULL && !names_has(&needed, name)) {
      printf("# orphan: %s\n", name);
      clean = 0;
    }
  }
  names_dispose(&needed);
  return clean;
}
