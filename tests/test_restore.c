/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Savepoints and other jobs' checkpoints as the coordinator offers them: what
 * is pinned and for how long, who is fenced, what a failure leaves, and that a
 * savepoint that was moved is still one.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/store/store.h"
#include "tests/lives.h"
#include "tests/tap.h"

/* ---- the store ---------------------------------------------------------- */

typedef struct tally {
  const char *part;
  size_t found;
} tally;

static sb_status
tally_entry(void *arg, const sb_store_entry *entry, sb_error *e)
{
  tally *t = arg;

  (void)e;
  t->found += strstr(entry->name, t->part) != NULL;
  return SB_OK;
}

/* How many objects have `part` in their names. */
static size_t
objects(const char *part)
{
  tally t = { part, 0 };

  good(store_list(sb_host_default(), backend->ops->store(backend), "", NULL,
                  tally_entry, &t, &err));
  return t.found;
}

static void SB_PRINTF(1, 2)
shell(const char *form, ...)
{
  char command[400];
  va_list args;

  va_start(args, form);
  (void)vsnprintf(command, sizeof command, form, args);
  va_end(args);
  CU_ASSERT_EQUAL(system(command), 0);
}

/* A life with something in it, and a checkpoint. */
static void
begin_with_state(uint64_t seed, uint32_t parallelism)
{
  life_begin(seed);
  life_close();
  life_open(parallelism, NULL);
  life_change(300);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
}

static sb_coordinator_options
source_of(const char *path, const char *savepoint, uint32_t mode)
{
  sb_coordinator_options source = { .struct_size = sizeof source,
                                    .restore_mode = mode, .restore_job = path,
                                    .restore_savepoint = savepoint };

  return source;
}

/* ---- cases -------------------------------------------------------------- */

/* A committer of the source, with nothing in its checkpoints. */
static sb_job *
take_source(const char *path, const char *id)
{
  sb_takeover_options take = { .struct_size = sizeof take, .job = path,
                               .job_id = id, .retain = 1 };
  sb_job *job;

  good(backend->ops->takeover(backend, &take, &job, &err));
  return job;
}

static sb_status
commit_nothing(sb_job *job, uint64_t id)
{
  sb_commit_options options = { .struct_size = sizeof options, .id = id };

  return backend->ops->commit(job, &options, &err);
}

/* The source stays readable until the first commit, and not longer. */
static void
test_pinned(void)
{
  char old[sizeof own_path], old_id[sizeof own_id];
  sb_coordinator_options source;
  uint64_t source_id;
  sb_job *a;
  int i;

  begin_with_state(1, 2);
  for (i = 0; i < 4; i++)
    good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  life_close();
  strcpy(old, own_path);
  strcpy(old_id, own_id);
  source = source_of(old, NULL, SB_RESTORE_NO_CLAIM);
  life_next_job();
  life_open(3, &source);
  source_id = restored->info.id;
  a = take_source(old, old_id);
  good(commit_nothing(a, 100));
  good(commit_nothing(a, 101));
  CU_ASSERT(objects("/pins/") == 1);
  life_compare("while the source goes on");
  /* A savepoint is no commit. */
  good(life_snapshot(SB_TRIGGER_SAVEPOINT, "s"));
  CU_ASSERT(objects("/pins/") == 1);
  CU_ASSERT(sb_coordinator_newest(coordinator) == 0);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  CU_ASSERT(sb_coordinator_newest(coordinator) > source_id);
  CU_ASSERT(objects("/pins/") == 0);
  CU_ASSERT(restored->info.part_count == 2 && restored->blob.len == 4);
  good(commit_nothing(a, 102));
  shell("test $(find %s/%s -name '*.state' | wc -l) = 0", directory, old);
  life_compare("without the source");
  backend->ops->job_close(a);
  life_finish();
}

static sb_status
snapshot_of(sb_coordinator *c, sb_keyed *keyed)
{
  sb_status status;
  uint64_t id;

  status = sb_coordinator_trigger(c, sb_slice_of(NULL, 0), &id, &err);
  if (status == SB_OK)
    status = sb_coordinator_snapshot(c, id, 0, keyed, &err);
  return status == SB_OK ? sb_coordinator_wait(c, id, SB_NO_DEADLINE, &err)
                         : status;
}

static void
test_claimed(void)
{
  char old[sizeof own_path];
  sb_coordinator_options source;
  sb_coordinator *first, *other = NULL;
  const sb_checkpoint *none;
  sb_keyed *keyed;

  begin_with_state(2, 1);
  strcpy(old, own_path);
  first = coordinator;
  keyed = subtasks[0].keyed;
  source = source_of(old, NULL, SB_RESTORE_CLAIM);
  life_next_job();
  life_open(2, &source);
  life_compare("after the claim");
  CU_ASSERT_EQUAL(snapshot_of(first, keyed), SB_FENCED);
  CU_ASSERT_EQUAL(sb_coordinator_status(first, &err), SB_FENCED);
  source.subtasks = 1;
  source.job = "other";
  source.job_id = "other";
  CU_ASSERT_EQUAL(sb_coordinator_open(backend, sb_host_default(), &source,
                                      &other, &none, &err), SB_BUSY);
  CU_ASSERT(strstr(err.message, own_id) != NULL);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  CU_ASSERT_EQUAL(sb_coordinator_open(backend, sb_host_default(), &source,
                                      &other, &none, &err), SB_BUSY);
  sb_coordinator_close(first);
  keyed->ops->close(keyed);
  life_compare("with the source gone");
  life_close();
  shell("rm -rf %s/other", directory);
  life_check_objects();
  life_open(1, NULL);
  life_compare("at the end");
  life_finish();
}

/* What a savepoint made that failed goes in a notify soon after. */
static void
notify_until(size_t expected)
{
  unsigned tries;
  uint32_t i;

  for (tries = 0; tries < 400 && objects("/savepoints/") != expected;
       tries++) {
    usleep(5000);
    for (i = 0; i < count; i++)
      good(sb_coordinator_notify(coordinator, i, subtasks[i].keyed, &err));
  }
  CU_ASSERT_EQUAL(objects("/savepoints/"), expected);
}

/* What fails leaves nothing, is not counted, and the job goes on. */
static void
name_taken(uint32_t kind)
{
  size_t before;

  begin_with_state(3, 2);
  good(life_snapshot(kind, "s"));
  before = objects("/savepoints/");
  life_change(50);
  CU_ASSERT_EQUAL(life_snapshot(kind, "s"), SB_EXISTS);
  notify_until(before);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  good(life_snapshot(kind, "t"));
  CU_ASSERT(objects("/savepoints/") > before);
  life_finish();
}

static void
test_name_taken(void)
{
  name_taken(SB_TRIGGER_SAVEPOINT);
  name_taken(SB_TRIGGER_CANONICAL);
}

static void
given_up(uint32_t kind)
{
  sb_trigger_options options = { .struct_size = sizeof options, .kind = kind,
                                 .savepoint = "s" };
  uint64_t id;

  begin_with_state(4, 2);
  good(sb_coordinator_trigger_as(coordinator, &options, &id, &err));
  good(sb_coordinator_snapshot(coordinator, id, 0, subtasks[0].keyed, &err));
  usleep(below(3) * 5000);
  sb_coordinator_abort(coordinator, id);
  CU_ASSERT_EQUAL(sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, &err),
                  SB_CANCELLED);
  life_close();
  CU_ASSERT_EQUAL(objects("/savepoints/"), 0);
  life_open(1, NULL);
  life_compare("after giving up");
  life_finish();
}

static void
test_given_up(void)
{
  given_up(SB_TRIGGER_SAVEPOINT);
  given_up(SB_TRIGGER_CANONICAL);
}

/* ---- elsewhere ---------------------------------------------------------- */

/* The directory is copied by another tool, to another backend, job and
   name. */
static void
moved(uint32_t kind)
{
  char from[160], to[160];
  sb_coordinator_options source = source_of("b", "moved",
                                            SB_RESTORE_NO_CLAIM);
  char old[sizeof directory];

  begin_with_state(5, 3);
  good(life_snapshot(kind, "s"));
  (void)snprintf(from, sizeof from, "%s/%s/savepoints/s", directory, own_path);
  life_close();
  sb_backend_close(backend);
  sb_config_free(config);
  strcpy(old, directory);
  life_configure();
  life_set("state.backend.local.savepoint-prefix", "kept");
  (void)snprintf(to, sizeof to, "%s/b/kept", directory);
  shell("mkdir -p %s", to);
  (void)snprintf(to, sizeof to, "%s/b/kept/moved", directory);
  shell("cp -r %s %s", from, to);
  shell("rm -rf %s", old);
  life_open_backend();
  life_next_job();
  life_open(2, &source);
  life_compare("somewhere else");
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  good(backend->ops->savepoint_remove(backend, "b", "moved", &err));
  life_compare("with the savepoint removed");
  life_close();
  life_check_objects();
  life_open(1, NULL);
  life_compare("at the end");
  life_finish();
}

static void
test_moved(void)
{
  moved(SB_TRIGGER_SAVEPOINT);
  moved(SB_TRIGGER_CANONICAL);
}

/* From one backend to another, by the library. */
static void
copied(uint32_t kind)
{
  sb_savepoint_copy copy = { .struct_size = sizeof copy, .from_job = own_path,
                             .from_savepoint = kind == 0 ? NULL : "s",
                             .job = "b", .name = "copy" };
  sb_coordinator_options source = source_of("b", "copy", SB_RESTORE_CLAIM);
  char old[sizeof directory];
  sb_backend *first;
  sb_config *first_config;

  begin_with_state(6, 3);
  if (kind != 0)
    good(life_snapshot(kind, "s"));
  life_close();
  first = backend;
  first_config = config;
  strcpy(old, directory);
  life_configure();
  life_open_backend();
  copy.from = first;
  good(backend->ops->savepoint_copy(backend, &copy, &err));
  CU_ASSERT_EQUAL(backend->ops->savepoint_copy(backend, &copy, &err),
                  SB_EXISTS);
  CU_ASSERT_EQUAL(objects("/pins/"), 0);
  sb_backend_close(first);
  sb_config_free(first_config);
  shell("rm -rf %s", old);
  life_next_job();
  life_open(2, &source);
  life_compare("in another store");
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  good(life_snapshot(SB_TRIGGER_FULL, NULL));
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  life_close();
  life_check_objects();
  /* What the last handles held goes with their checkpoint. */
  life_open(1, NULL);
  life_compare("at the end");
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  CU_ASSERT_EQUAL(objects("/savepoints/"), 0);
  life_finish();
}

static void
test_copied(void)
{
  copied(0);
  copied(SB_TRIGGER_SAVEPOINT);
  copied(SB_TRIGGER_CANONICAL);
}

/* ---- bad input ---------------------------------------------------------- */

static sb_status
try_source(const char *path, const char *savepoint, uint32_t mode)
{
  sb_coordinator_options source = source_of(path, savepoint, mode);
  sb_coordinator *c = NULL;
  const sb_checkpoint *none;
  sb_status status;

  source.subtasks = 1;
  source.job = "new";
  source.job_id = mode == SB_RESTORE_CLAIM ? "" : "new";
  status = sb_coordinator_open(backend, sb_host_default(), &source, &c, &none,
                               &err);
  CU_ASSERT(c == NULL && none == NULL);
  return status;
}

static void
test_bad_input(void)
{
  sb_trigger_options options = { .struct_size = sizeof options, .kind = 5 };
  uint64_t id;

  begin_with_state(7, 1);
  CU_ASSERT_EQUAL(try_source("nobody", NULL, SB_RESTORE_NO_CLAIM),
                  SB_NOT_FOUND);
  CU_ASSERT(strstr(err.message, "nobody") != NULL);
  CU_ASSERT_EQUAL(try_source(own_path, "nothing", SB_RESTORE_NO_CLAIM),
                  SB_NOT_FOUND);
  CU_ASSERT(strstr(err.message, "nothing") != NULL);
  CU_ASSERT_EQUAL(try_source(own_path, NULL, 7), SB_INVALID);
  CU_ASSERT_EQUAL(sb_coordinator_trigger_as(coordinator, &options, &id, &err),
                  SB_INVALID);
  options.kind = SB_TRIGGER_SAVEPOINT;
  CU_ASSERT_EQUAL(sb_coordinator_trigger_as(coordinator, &options, &id, &err),
                  SB_INVALID);
  options.savepoint = "";
  CU_ASSERT_EQUAL(sb_coordinator_trigger_as(coordinator, &options, &id, &err),
                  SB_INVALID);
  life_finish();
}

/* An object of the savepoint is missing: what needs it says so by name. */
static void
test_missing(void)
{
  char path[160];
  sb_coordinator_options source;
  sb_slice got;
  sb_status status = SB_OK;
  char text[16];
  uint32_t k;

  begin_with_state(8, 1);
  good(life_snapshot(SB_TRIGGER_SAVEPOINT, "s"));
  life_close();
  (void)snprintf(path, sizeof path, "%s/%s/savepoints/s", directory, own_path);
  shell("rm %s/*.state", path);
  strcpy(path, own_path);
  source = source_of(path, "s", SB_RESTORE_NO_CLAIM);
  life_next_job();
  life_open(1, &source);
  for (k = 0; status == SB_OK || (status == SB_NOT_FOUND &&
                                  strstr(err.message, "savepoints/s/") ==
                                    NULL && k < LIFE_KEYS); k++) {
    sb_key key = { .state = subtasks[0].value };

    key.key = sb_slice_of(text, (size_t)snprintf(text, sizeof text, "key-%u",
                                                 k));
    key.key_group = sb_key_group(sb_hash_bytes(key.key), LIFE_GROUPS);
    err.message[0] = '\0';
    status = subtasks[0].keyed->ops->get(subtasks[0].keyed, &key, &got, &err);
  }
  CU_ASSERT(status != SB_OK);
  CU_ASSERT(strstr(err.message, "savepoints/s/") != NULL);
  CU_ASSERT(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL) != SB_OK);
  CU_ASSERT(strstr(err.message, "savepoints/s/") != NULL);
  life_finish();
}

/* ---- each write fails --------------------------------------------------- */

static void
reopen_with_fault(unsigned nth, const char *name)
{
  char number[16];

  life_close();
  sb_backend_close(backend);
  (void)snprintf(number, sizeof number, "%u", nth);
  life_set("state.backend.filters", nth == 0 ? "" : "fault");
  life_set("state.backend.filter.fault.name", name);
  life_set("state.backend.filter.fault.nth", number);
  life_open_backend();
  life_open(2, NULL);
}

/* Returns 1 if the fault was beyond all operations. */
static int
faulty_savepoint(uint32_t kind, unsigned nth)
{
  sb_status status;

  reopen_with_fault(nth, "savepoints/");
  status = life_snapshot(kind, "s");
  reopen_with_fault(0, "savepoints/");
  life_compare("after the fault");
  if (status == SB_OK) {
    sb_checkpoint *c;
    sb_restore_options options = { .struct_size = sizeof options,
                                   .mode = SB_RESTORE_NO_CLAIM,
                                   .job = own_path, .savepoint = "s" };

    good(backend->ops->restore_open(backend, &options, &c, &err));
    backend->ops->checkpoint_close(backend, c);
    good(backend->ops->savepoint_remove(backend, own_path, "s", &err));
    return 1;
  }
  CU_ASSERT(strstr(err.message, "savepoints/") != NULL ||
            status == SB_CANCELLED);
  CU_ASSERT_EQUAL(objects("/savepoints/"), 0);
  if (objects("/savepoints/") != 0)
    tap_note("kind %u, operation %u: %s", kind, nth, err.message);
  return 0;
}

static void
test_faults(void)
{
  static const uint32_t kinds[] = { SB_TRIGGER_SAVEPOINT,
                                    SB_TRIGGER_CANONICAL };
  unsigned nth, clean;
  size_t i;

  for (i = 0; i < TAP_COUNT(kinds); i++) {
    begin_with_state(9, 2);
    for (nth = 1, clean = 0; clean < 3 && nth < 100; nth++)
      clean = faulty_savepoint(kinds[i], nth) ? clean + 1 : 0;
    CU_ASSERT(nth > 5 && clean == 3);
    life_finish();
  }
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "pinned", test_pinned },
    { "claimed", test_claimed },
    { "name_taken", test_name_taken },
    { "given_up", test_given_up },
    { "moved", test_moved },
    { "copied", test_copied },
    { "bad_input", test_bad_input },
    { "missing", test_missing },
    { "faults", test_faults },
  };
  static const tap_suite suites[] = { { "restore", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
