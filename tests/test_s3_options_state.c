/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the S3 plugin about what a job keeps in the bucket. Goal: names
 * and bytes of the objects are as each option says. Method: the plugin, loaded
 * as usual, takes a checkpoint of one value on the test server, whose bucket
 * is then listed; see options_fixture.h.
 */
#include "config.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/options_fixture.h"

#define GROUPS 8u
#define VALUE_SIZE 3000u     /* bytes, all the same */
#define SEGMENT "state/_/[0-9a-f][0-9a-f]/*-*-*.state"
#define METADATA "checkpoints/chk-*/_metadata"

typedef struct state_run {
  s3_fixture f;
  sb_backend *backend;
  sb_error err;
  char *names;               /* of all objects, a line each */
} state_run;

static void
state_must(state_run *run, sb_status status)
{
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), run->err.message);
  CU_ASSERT_EQUAL_FATAL(status, SB_OK);
}

/* ---- a checkpoint ------------------------------------------------------- */

static sb_keyed *
state_keyed(state_run *run, sb_job *job)
{
  sb_keyed_options options = {
    .struct_size = sizeof options, .job = "", .operator_id = "",
    .key_group_count = GROUPS, .key_group_last = GROUPS - 1,
    .generation = run->backend->ops->job_generation(job)
  };
  sb_keyed *keyed = NULL;

  state_must(run, sb_backend_keyed(run->backend, &options, &keyed,
                                   &run->err));
  return keyed;
}

static void
state_put(state_run *run, sb_keyed *keyed)
{
  sb_state_options options = { .struct_size = sizeof options,
                               .kind = SB_STATE_VALUE,
                               .name = sb_slice_of("counts", 6) };
  sb_state_info info = { .struct_size = sizeof info };
  sb_key key = { .key = sb_slice_of("k", 1) };
  char value[VALUE_SIZE];

  memset(value, 'a', sizeof value);
  state_must(run, keyed->ops->register_state(keyed, &options, &info,
                                             &run->err));
  key.state = info.id;
  key.key_group = sb_key_group(sb_hash_bytes(key.key), GROUPS);
  state_must(run, keyed->ops->put(keyed, &key,
                                  sb_slice_of(value, sizeof value), 0,
                                  &run->err));
}

static void
state_commit(state_run *run, sb_job *job, sb_keyed *keyed)
{
  sb_snapshot_options options = { .struct_size = sizeof options,
                                  .kind = SB_SNAPSHOT_CHECKPOINT,
                                  .checkpoint_id = 1 };
  sb_commit_options commit = { .struct_size = sizeof commit, .id = 1,
                               .part_count = 1 };
  const sb_part *part = NULL;
  sb_snapshot *snapshot = NULL;

  state_must(run, keyed->ops->snapshot_begin(keyed, &options, &snapshot,
                                             &run->err));
  state_must(run, keyed->ops->snapshot_run(keyed, snapshot, &part,
                                           &run->err));
  commit.parts = part;
  state_must(run, run->backend->ops->commit(job, &commit, &run->err));
  keyed->ops->snapshot_free(keyed, snapshot);
  state_must(run, keyed->ops->notify(keyed, SB_NOTIFY_COMPLETE, 1,
                                     &run->err));
}

static sb_status
state_name(void *arg, const sb_store_entry *entry, sb_error *err)
{
  http_text *names = arg;

  (void)err;
  http_text_printf(names, "%s\n", entry->name);
  return SB_OK;
}

/* The fixture's own object goes away first. */
static void
state_start(state_run *run, const char *settings)
{
  static const char *const names[] = { S3_FIXTURE_NAME };
  char all[512];

  memset(run, 0, sizeof *run);
  (void)snprintf(all, sizeof all, "first-byte-timeout=5s\n%s", settings);
  s3_fixture_start(&run->f, NULL);
  CU_ASSERT_EQUAL_FATAL(options_open(&run->f, all), SB_OK);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_remove(&run->f, names, 1, NULL), SB_OK);
  s3_server_forget(run->f.server);
}

static void
state_checkpoint(state_run *run, const char *settings)
{
  sb_takeover_options take = { .struct_size = sizeof take, .job = "",
                               .job_id = "test", .retain = 1 };
  http_text names = { 0 };
  sb_keyed *keyed;
  sb_job *job = NULL;

  state_start(run, settings);
  state_must(run, sb_backend_open(run->f.config, NULL, &run->backend,
                                  &run->err));
  state_must(run, run->backend->ops->takeover(run->backend, &take, &job,
                                              &run->err));
  keyed = state_keyed(run, job);
  state_put(run, keyed);
  state_commit(run, job, keyed);
  keyed->ops->close(keyed);
  run->backend->ops->job_close(job);
  sb_backend_close(run->backend);
  state_must(run, store_list(&run->f.host, &run->f.store->base, "", NULL,
                             state_name, &names, &run->err));
  run->names = http_strdup(http_text_string(&names));
  http_text_free(&names);
}

static void
state_end(state_run *run)
{
  free(run->names);
  s3_fixture_end(&run->f);
}

/* ---- what is there ------------------------------------------------------ */

/* The first name that the pattern fits; a copy, NULL if there is none. */
static char *
state_find(const state_run *run, const char *pattern)
{
  char *names = http_strdup(run->names), *name, *at = NULL, *found = NULL;

  for (name = strtok_r(names, "\n", &at); name != NULL && found == NULL;
       name = strtok_r(NULL, "\n", &at))
    if (fnmatch(pattern, name, FNM_PATHNAME) == 0)
      found = http_strdup(name);
  free(names);
  return found;
}

static void
state_has(const state_run *run, const char *pattern, int wanted)
{
  char *name = state_find(run, pattern);

  CU_ASSERT_EQUAL(name != NULL, wanted);
  if ((name != NULL) != wanted)
    tap_note("%s \"%s\" in: %s", wanted ? "no" : "there is", pattern,
             run->names);
  free(name);
}

/* The bytes of the object that the pattern names. */
static char *
state_load(state_run *run, const char *pattern, size_t *len)
{
  char *name = state_find(run, pattern), *data = NULL;

  CU_ASSERT_PTR_NOT_NULL_FATAL(name);
  data = s3_server_load(run->f.server, S3_TEST_BUCKET, name, len);
  CU_ASSERT_PTR_NOT_NULL_FATAL(data);
  free(name);
  return data;
}

/* ---- names -------------------------------------------------------------- */

static void
test_names(void)
{
  static const struct {
    const char *key, *settings;
    const char *has[3], *has_not;
  } rows[] = {
    { NULL, "", { SEGMENT, METADATA, "checkpoints/HEAD" },
      "state/counts/*/*" },
    { "base-path", "base-path=a b/c", { "a b/c/" SEGMENT, "a b/c/" METADATA,
                                        "a b/c/checkpoints/HEAD" },
      "checkpoints/HEAD" },
    { "state-prefix", "state-prefix=x/y",
      { "x/y/_/[0-9a-f][0-9a-f]/*-*-*.state", METADATA, "checkpoints/HEAD" },
      SEGMENT },
    { "checkpoint-prefix", "checkpoint-prefix=done",
      { SEGMENT, "done/chk-*/_metadata", "done/HEAD" }, "checkpoints/HEAD" },
    { "state-file-extension", "state-file-extension=.bin",
      { "state/_/[0-9a-f][0-9a-f]/*-*-*.bin", METADATA, "checkpoints/HEAD" },
      SEGMENT },
    { "layout", "layout=entries", { SEGMENT, METADATA,
                                    "state/counts/[0-7]/aw.*.state" },
      "state/counts/[0-7]/aw.*.bin" },
    { "state-file-extension", "layout=entries\nstate-file-extension=.bin",
      { "state/counts/[0-7]/aw.*.bin", METADATA, "checkpoints/HEAD" },
      SEGMENT },
    { "conditional-writes", "conditional-writes=create",
      { SEGMENT, METADATA, "checkpoints/HEAD-*" }, "checkpoints/HEAD" },
    { "conditional-writes", "conditional-writes=match",
      { SEGMENT, METADATA, "checkpoints/HEAD" }, "checkpoints/HEAD-*" },
  };
  size_t i, j;

  for (i = 0; i < TAP_COUNT(rows); i++) {
    state_run run;

    state_checkpoint(&run, rows[i].settings);
    for (j = 0; j < 3; j++)
      state_has(&run, rows[i].has[j], 1);
    state_has(&run, rows[i].has_not, 0);
    if (rows[i].key != NULL)
      options_seen(rows[i].key);
    state_end(&run);
  }
}

/* The tests that the commit's own object is written with. */
static void
test_conditions(void)
{
  static const char *const settings[] = { "conditional-writes=match",
                                          "conditional-writes=create" };
  size_t i, n;

  for (i = 0; i < 2; i++) {
    size_t matches = 0, creates = 0;
    state_run run;

    state_checkpoint(&run, settings[i]);
    for (n = 1; n <= s3_server_seen(run.f.server, "put"); n++) {
      matches += options_header(&run.f, "put", n, "if-match")[0] != '\0';
      creates += options_header(&run.f, "put", n, "if-none-match")[0] == '*';
    }
    CU_ASSERT(creates > 0);
    CU_ASSERT_EQUAL(matches > 0, i == 0);
    state_end(&run);
  }
}

/* Nothing writes savepoints yet: their path is checked and kept, and disturbs
   nothing. */
static void
test_savepoints(void)
{
  state_run run;
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  s3_fixture_expect(&f, options_open(&f, "savepoint-prefix=a//b"), SB_CONFIG,
                    "savepoint-prefix \"a//b\" must be a path");
  s3_fixture_end(&f);
  state_checkpoint(&run, "savepoint-prefix=kept");
  state_has(&run, SEGMENT, 1);
  state_has(&run, "kept/*", 0);
  options_seen("savepoint-prefix");
  state_end(&run);
}

/* ---- bytes -------------------------------------------------------------- */

static void
test_compression(void)
{
  static const char *const settings[] = {
    "layout=entries\nstate-file-compression=false",
    "layout=entries\nstate-file-compression=true"
  };
  char value[VALUE_SIZE];
  size_t i;

  memset(value, 'a', sizeof value);
  for (i = 0; i < 2; i++) {
    size_t segment_len, entry_len;
    char *segment, *entry;
    state_run run;

    state_checkpoint(&run, settings[i]);
    segment = state_load(&run, SEGMENT, &segment_len);
    entry = state_load(&run, "state/counts/[0-7]/aw.*.state", &entry_len);
    CU_ASSERT_EQUAL(memmem(segment, segment_len, value, VALUE_SIZE) != NULL,
                    i == 0);
    CU_ASSERT_EQUAL(segment_len > VALUE_SIZE, i == 0);
    CU_ASSERT_EQUAL(entry_len == VALUE_SIZE &&
                      memcmp(entry, value, VALUE_SIZE) == 0, i == 0);
    CU_ASSERT_EQUAL(entry_len < VALUE_SIZE, i == 1);
    free(segment);
    free(entry);
    state_end(&run);
  }
  options_seen("state-file-compression");
}

/* The engine's objects are as the options about objects ask for. */
static void
test_headers(void)
{
  state_run run;
  char *name, *value;

  state_checkpoint(&run, "state-file-encryption=true\ntags=job=x\n"
                   "storage-class=STANDARD_IA");
  name = state_find(&run, SEGMENT);
  CU_ASSERT_PTR_NOT_NULL_FATAL(name);
  value = s3_server_object_header(run.f.server, S3_TEST_BUCKET, name,
                                  "x-amz-server-side-encryption");
  CU_ASSERT(value != NULL && strcmp(value, "AES256") == 0);
  free(value);
  value = s3_server_object_header(run.f.server, S3_TEST_BUCKET,
                                  "checkpoints/HEAD", "x-amz-tagging");
  CU_ASSERT(value != NULL && strcmp(value, "job=x") == 0);
  free(value);
  free(name);
  state_end(&run);
}

static void
test_all(void)
{
  options_check("state");
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "names", test_names },
    { "conditions", test_conditions },
    { "savepoints", test_savepoints },
    { "compression", test_compression },
    { "headers", test_headers },
    { "every option is seen", test_all },
  };
  static const tap_suite suites[] = { { "s3_options_state", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
