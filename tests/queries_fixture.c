/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a job for the tests of sbctl's queries:
 *   queries_fixture DIR                 two checkpoints, 1 and 2
 *   queries_fixture DIR more            one more, with the key "late"
 *   queries_fixture DIR timers          two more, with timers
 *   queries_fixture DIR parts OUT ID    the manifests of checkpoint ID, as
 *                                       OUT/OPERATOR.manifest
 *   queries_fixture DIR canonical NAME  a canonical savepoint of that name
 * Job "queries", 16 key groups. Operator "left" has one subtask:
 *   "words" (value): k00 to k99, value "one"; then k00 is "two", k01 is gone
 *       and k100 there; namespaces a, b and c of the key "many"; the keys
 *       {,"\r\n} and {00 ff}, values "odd".
 *   "events" (list): key "list" has 1 2 3, then also 4; "same" 1 in both;
 *       "gone" only in the first.
 *   "sets" (map): key "map" has x=1 y=1, then y=2 z=1.
 *   "<b>&" (value): key "k".
 *   "fires" (timer): in key group 3, t0 to t9; then t0 to t3 have been taken
 *       and t2 was added again. With them comes the key "apart" of "words" in
 *       another key group than its bytes would have.
 * Operator "right": "words" with the key "other", value "one, two".
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/statebackend.h>
#include "host/checkpoint/canonical.h"
#include "host/engine/manifest.h"

#define GROUPS 16u
#define OPERATORS 2u

typedef struct fixture {
  sb_config *config;
  sb_backend *backend;
  sb_job *job;
  sb_keyed *keyed[OPERATORS];
  uint32_t words, events, sets, odd, right;
} fixture;

static const char *const fixture_operators[OPERATORS] = { "left", "right" };

static void
fixture_check(sb_status status, const sb_error *err, const char *doing)
{
  if (status == SB_OK)
    return;
  fprintf(stderr, "queries_fixture: %s: %s\n", doing, err->message);
  exit(1);
}

static uint32_t
fixture_register(sb_keyed *keyed, const char *name, uint32_t kind)
{
  sb_state_options options = {
    .struct_size = sizeof options,
    .kind = kind,
    .name = sb_slice_of(name, strlen(name)),
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_error err;

  fixture_check(keyed->ops->register_state(keyed, &options, &info, &err),
                &err, name);
  return info.id;
}

static void
fixture_open_backend(fixture *f, const char *dir)
{
  sb_error err;

  fixture_check(sb_config_new(&f->config, &err), &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend", "local", NULL, &err),
                &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend.local.dir", dir, NULL,
                              &err), &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend.local.sync", "false",
                              NULL, &err), &err, "configuration");
  fixture_check(sb_backend_open(f->config, NULL, &f->backend, &err), &err,
                "opening the backend");
}

/* The newest checkpoint's id, 0 if there is none. */
static uint64_t
fixture_open(fixture *f)
{
  sb_takeover_options takeover = { .struct_size = sizeof takeover,
                                   .job = "queries", .job_id = "queries job",
                                   .retain = 4 };
  sb_keyed_options options = { .struct_size = sizeof options,
                               .job = "queries", .key_group_count = GROUPS,
                               .key_group_last = GROUPS - 1 };
  sb_checkpoint *restored = NULL;
  uint64_t id = 0;
  sb_error err;
  uint32_t i;

  fixture_check(f->backend->ops->takeover(f->backend, &takeover, &f->job,
                                          &err), &err, "take-over");
  if (f->backend->ops->checkpoint_open(f->backend, "queries", 0, 0, &restored,
                                       &err) == SB_OK) {
    id = restored->info.id;
    options.parts = restored->parts;
    options.part_count = restored->info.part_count;
  }
  options.generation = f->backend->ops->job_generation(f->job);
  for (i = 0; i < OPERATORS; i++) {
    options.operator_id = fixture_operators[i];
    fixture_check(sb_backend_keyed(f->backend, &options, &f->keyed[i], &err),
                  &err, "opening an operator");
  }
  if (restored != NULL)
    f->backend->ops->checkpoint_close(f->backend, restored);
  f->words = fixture_register(f->keyed[0], "words", SB_STATE_VALUE);
  f->events = fixture_register(f->keyed[0], "events", SB_STATE_LIST);
  f->sets = fixture_register(f->keyed[0], "sets", SB_STATE_MAP);
  f->odd = fixture_register(f->keyed[0], "<b>&", SB_STATE_VALUE);
  f->right = fixture_register(f->keyed[1], "words", SB_STATE_VALUE);
  return id;
}

static sb_key
fixture_key(uint32_t state, const char *text, size_t len)
{
  sb_key key = { .state = state, .key = sb_slice_of(text, len) };

  key.key_group = sb_key_group(sb_hash_bytes(key.key), GROUPS);
  return key;
}

static void
fixture_put(fixture *f, sb_key key, const char *value)
{
  sb_keyed *keyed = f->keyed[0];
  sb_error err;

  fixture_check(keyed->ops->put(keyed, &key, sb_slice_of(value, strlen(value)),
                                0, &err), &err, "putting");
}

static void
fixture_word(fixture *f, const char *text, const char *value)
{
  fixture_put(f, fixture_key(f->words, text, strlen(text)), value);
}

static void
fixture_entry(fixture *f, const char *subkey, const char *value)
{
  sb_key key = fixture_key(f->sets, "map", 3);

  key.subkey = sb_slice_of(subkey, 1);
  fixture_put(f, key, value);
}

static void
fixture_append(fixture *f, const char *text, const char *elements)
{
  sb_key key = fixture_key(f->events, text, strlen(text));
  sb_error err;

  for (; *elements != '\0'; elements++)
    fixture_check(f->keyed[0]->ops->append(f->keyed[0], &key,
                                           sb_slice_of(elements, 1), 0, &err),
                  &err, "appending");
}

static void
fixture_first(fixture *f)
{
  static const char *const spaces[] = { "a", "b", "c" };
  sb_key key = fixture_key(f->right, "other", 5);
  char text[16];
  sb_error err;
  unsigned i;

  fixture_check(f->keyed[1]->ops->put(f->keyed[1], &key,
                                      sb_slice_of("one, two", 8), 0, &err),
                &err, "putting");
  for (i = 0; i < 100; i++) {
    (void)snprintf(text, sizeof text, "k%02u", i);
    fixture_word(f, text, "one");
  }
  for (i = 0; i < 3; i++) {
    key = fixture_key(f->words, "many", 4);
    key.ns = sb_slice_of(spaces[i], 1);
    fixture_put(f, key, "one");
  }
  fixture_put(f, fixture_key(f->words, ",\"\r\n", 4), "odd");
  fixture_put(f, fixture_key(f->words, "\0\xff", 2), "odd");
  fixture_put(f, fixture_key(f->odd, "k", 1), "<script>");
  fixture_append(f, "list", "123");
  fixture_append(f, "same", "1");
  fixture_append(f, "gone", "1");
  fixture_entry(f, "x", "1");
  fixture_entry(f, "y", "1");
}

static void
fixture_second(fixture *f)
{
  sb_key gone = fixture_key(f->words, "k01", 3);
  sb_error err;

  fixture_word(f, "k00", "two");
  fixture_word(f, "k100", "one");
  fixture_check(f->keyed[0]->ops->remove(f->keyed[0], &gone, &err), &err,
                "removing");
  gone = fixture_key(f->sets, "map", 3);
  gone.subkey = sb_slice_of("x", 1);
  fixture_check(f->keyed[0]->ops->remove(f->keyed[0], &gone, &err), &err,
                "removing");
  fixture_entry(f, "y", "2");
  fixture_entry(f, "z", "1");
  fixture_append(f, "list", "4");
  gone = fixture_key(f->events, "gone", 4);
  fixture_check(f->keyed[0]->ops->clear(f->keyed[0], &gone, &err), &err,
                "clearing");
}

static void
fixture_checkpoint(fixture *f, uint64_t id)
{
  sb_snapshot_options options = { .struct_size = sizeof options,
                                  .kind = SB_SNAPSHOT_CHECKPOINT,
                                  .checkpoint_id = id };
  sb_commit_options decide = { .struct_size = sizeof decide, .id = id,
                               .part_count = OPERATORS };
  sb_snapshot *snapshots[OPERATORS];
  sb_part parts[OPERATORS];
  const sb_part *part;
  sb_error err;
  uint32_t i;

  for (i = 0; i < OPERATORS; i++) {
    fixture_check(f->keyed[i]->ops->snapshot_begin(f->keyed[i], &options,
                                                   &snapshots[i], &err),
                  &err, "beginning a snapshot");
    fixture_check(f->keyed[i]->ops->snapshot_run(f->keyed[i], snapshots[i],
                                                 &part, &err),
                  &err, "running a snapshot");
    parts[i] = *part;
  }
  decide.parts = parts;
  fixture_check(f->backend->ops->commit(f->job, &decide, &err), &err,
                "committing");
  for (i = 0; i < OPERATORS; i++) {
    fixture_check(f->keyed[i]->ops->notify(f->keyed[i], SB_NOTIFY_COMPLETE, id,
                                           &err), &err, "notifying");
    f->keyed[i]->ops->snapshot_free(f->keyed[i], snapshots[i]);
  }
}

static sb_key
fixture_timer(uint32_t state, const char *text)
{
  return (sb_key){ .state = state, .key_group = 3,
                   .key = sb_slice_of(text, strlen(text)) };
}

static void
fixture_timers(fixture *f, uint64_t id)
{
  sb_key apart = fixture_key(f->words, "apart", 5);
  sb_keyed *keyed = f->keyed[0];
  uint32_t fires = fixture_register(keyed, "fires", SB_STATE_TIMER);
  char text[8];
  sb_key key;
  sb_error err;
  unsigned i;

  for (i = 0; i < 10; i++) {
    (void)snprintf(text, sizeof text, "t%u", i);
    fixture_put(f, fixture_timer(fires, text), "");
  }
  apart.key_group = (apart.key_group + 1) % GROUPS;
  fixture_put(f, apart, "one");
  fixture_checkpoint(f, id);
  key = fixture_timer(fires, "t3");
  fixture_check(keyed->ops->remove_through(keyed, &key, &err), &err,
                "taking timers");
  fixture_put(f, fixture_timer(fires, "t2"), "");
}

static void
fixture_run(fixture *f, const char *more)
{
  uint64_t id = fixture_open(f);
  uint32_t i;

  if (strcmp(more, "timers") == 0) {
    fixture_timers(f, ++id);
  } else if (more[0] != '\0') {
    fixture_word(f, "late", "one");
  } else {
    fixture_first(f);
    fixture_checkpoint(f, ++id);
    fixture_second(f);
  }
  fixture_checkpoint(f, ++id);
  for (i = 0; i < OPERATORS; i++)
    f->keyed[i]->ops->close(f->keyed[i]);
  f->backend->ops->job_close(f->job);
}

static void
fixture_canonical(fixture *f, const char *name)
{
  sb_store *store = f->backend->ops->store(f->backend);
  const sb_host *host = sb_host_default();
  sb_savepoint_options save = { .struct_size = sizeof save, .job = "queries",
                                .name = name, .id = fixture_open(f),
                                .part_count = OPERATORS };
  canonical_written *written[OPERATORS];
  sb_part parts[OPERATORS];
  const sb_part *part;
  sb_canonical *canonical;
  char directory[256];
  sb_error err;
  uint32_t i;

  (void)snprintf(directory, sizeof directory, "queries/savepoints/%s", name);
  for (i = 0; i < OPERATORS; i++) {
    fixture_check(sb_canonical_open(f->keyed[i], host, NULL, &canonical, &err),
                  &err, "opening a canonical savepoint");
    fixture_check(canonical_write_part(host, store, canonical, directory,
                                       &written[i], &part, &err), &err,
                  "writing a canonical savepoint");
    parts[i] = *part;
    sb_canonical_close(canonical);
  }
  save.parts = parts;
  fixture_check(f->backend->ops->savepoint_write(f->backend, &save, &err),
                &err, "writing a savepoint");
  for (i = 0; i < OPERATORS; i++) {
    canonical_written_free(written[i]);
    f->keyed[i]->ops->close(f->keyed[i]);
  }
  f->backend->ops->job_close(f->job);
}

static void
fixture_write_part(fixture *f, const char *dir, const sb_part *part)
{
  sb_store *store = f->backend->ops->store(f->backend);
  const sb_host *host = sb_host_default();
  char path[4096];
  sb_slice bytes;
  void *owned;
  sb_error err;
  FILE *file;

  fixture_check(manifest_bytes(host, store, part, &bytes, &owned, &err), &err,
                "reading a manifest");
  (void)snprintf(path, sizeof path, "%s/%s.manifest", dir, part->operator_id);
  file = fopen(path, "wb");
  if (file == NULL || fwrite(bytes.data, 1, bytes.len, file) != bytes.len ||
      fclose(file) != 0)
    exit(1);
  if (owned != NULL)
    (void)host->alloc(host, owned, 0);
}

static void
fixture_parts(fixture *f, const char *dir, uint64_t id)
{
  sb_checkpoint *checkpoint;
  sb_error err;
  uint32_t i;

  fixture_check(f->backend->ops->checkpoint_open(
                  f->backend, "queries", id, SB_CHECKPOINT_PIN, &checkpoint,
                  &err), &err, "opening a checkpoint");
  for (i = 0; i < checkpoint->info.part_count; i++)
    fixture_write_part(f, dir, &checkpoint->parts[i]);
  f->backend->ops->checkpoint_close(f->backend, checkpoint);
}

int
main(int argc, char **argv)
{
  fixture f;

  if (argc < 2) {
    fputs("usage: queries_fixture DIR [more | timers | parts OUT ID | "
          "canonical NAME]\n", stderr);
    return 2;
  }
  memset(&f, 0, sizeof f);
  fixture_open_backend(&f, argv[1]);
  if (argc == 4)
    fixture_canonical(&f, argv[3]);
  else if (argc == 5)
    fixture_parts(&f, argv[3], strtoull(argv[4], NULL, 10));
  else
    fixture_run(&f, argc == 3 ? argv[2] : "");
  sb_backend_close(f.backend);
  sb_config_free(f.config);
  return 0;
}
