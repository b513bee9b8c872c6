/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a job with known state in a directory, for the tests of sbctl:
 *   sbctl_fixture DIR [abandon | wait FILE]
 * Two subtasks of operator "counter", 128 key groups, and each run takes the
 * job over, restores, changes the state and commits two checkpoints, two
 * retained. With "abandon" the last checkpoint is written but not committed,
 * and the process ends as if it had been killed. With "wait" FILE is made
 * before the last commit, which waits until it is gone; the exit code is 9 if
 * that commit was fenced.
 *
 * State "totals" (value): key000 to key999, value "total-NNN-RUN".
 * State "paths" (list): key007 has /a and /b for each run.
 * State "statuses" (map): key007 in namespace "web": 200 and 404.
 * State "timers" (timer): one at time 1000.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/statebackend.h>

#define GROUPS 128u
#define SUBTASKS 2u
#define KEYS 1000

typedef struct fixture {
  sb_config *config;
  sb_backend *backend;
  sb_job *job;
  sb_checkpoint *restored;
  sb_keyed *keyed[SUBTASKS];
  uint32_t totals, paths, statuses, timers;
} fixture;

static void
fixture_check(sb_status status, const sb_error *err, const char *doing)
{
  if (status == SB_OK)
    return;
  fprintf(stderr, "sbctl_fixture: %s: %s\n", doing, err->message);
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
fixture_open_keyed(fixture *f, uint32_t subtask)
{
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = "fixture",
    .operator_id = "counter",
    .subtask = subtask,
    .key_group_count = GROUPS,
    .generation = f->backend->ops->job_generation(f->job),
  };
  sb_error err;

  fixture_check(sb_key_group_range(GROUPS, SUBTASKS, subtask,
                                   &options.key_group_first,
                                   &options.key_group_last), &err, "range");
  if (f->restored != NULL) {
    options.parts = f->restored->parts;
    options.part_count = f->restored->info.part_count;
  }
  fixture_check(sb_backend_keyed(f->backend, &options, &f->keyed[subtask],
                                 &err), &err, "opening a subtask");
  f->totals = fixture_register(f->keyed[subtask], "totals", SB_STATE_VALUE);
  f->paths = fixture_register(f->keyed[subtask], "paths", SB_STATE_LIST);
  f->statuses = fixture_register(f->keyed[subtask], "statuses", SB_STATE_MAP);
  f->timers = fixture_register(f->keyed[subtask], "timers", SB_STATE_TIMER);
}

static void
fixture_open(fixture *f, const char *dir)
{
  sb_takeover_options takeover = { .struct_size = sizeof takeover,
                                   .job = "fixture", .job_id = "fixture job",
                                   .retain = 2 };
  sb_error err;
  sb_status status;
  uint32_t i;

  fixture_check(sb_config_new(&f->config, &err), &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend", "local", NULL, &err),
                &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend.local.dir", dir, NULL,
                              &err), &err, "configuration");
  fixture_check(sb_config_set(f->config, "state.backend.local.sync", "false",
                              NULL, &err), &err, "configuration");
  fixture_check(sb_backend_open(f->config, NULL, &f->backend, &err), &err,
                "opening the backend");
  fixture_check(f->backend->ops->takeover(f->backend, &takeover, &f->job,
                                          &err), &err, "take-over");
  status = f->backend->ops->checkpoint_open(f->backend, "fixture", 0, 0,
                                            &f->restored, &err);
  if (status != SB_NOT_FOUND)
    fixture_check(status, &err, "restoring");
  for (i = 0; i < SUBTASKS; i++)
    fixture_open_keyed(f, i);
}

/* The place of a key, and the subtask that has it. */
static sb_key
fixture_key(uint32_t state, const char *text, uint32_t *subtask)
{
  sb_key key = { .state = state, .key = sb_slice_of(text, strlen(text)) };

  key.key_group = sb_key_group(sb_hash_bytes(key.key), GROUPS);
  *subtask = sb_key_group_owner(GROUPS, SUBTASKS, key.key_group);
  return key;
}

static void
fixture_put(fixture *f, const sb_key *key, uint32_t subtask, const char *value)
{
  sb_error err;

  fixture_check(f->keyed[subtask]->ops->put(
                  f->keyed[subtask], key, sb_slice_of(value, strlen(value)), 0,
                  &err), &err, "putting");
}

static void
fixture_change(fixture *f, unsigned run)
{
  static const char *const elements[] = { "/a", "/b" };
  static const char timer[] = "\x80\0\0\0\0\0\x03\xe8\x06key007";
  char text[32], value[32];
  uint32_t subtask;
  sb_error err;
  sb_key key;
  unsigned i;

  for (i = 0; i < KEYS; i++) {
    (void)snprintf(text, sizeof text, "key%03u", i);
    (void)snprintf(value, sizeof value, "total-%03u-%u", i, run);
    key = fixture_key(f->totals, text, &subtask);
    fixture_put(f, &key, subtask, value);
  }
  key = fixture_key(f->paths, "key007", &subtask);
  for (i = 0; i < 2; i++)
    fixture_check(f->keyed[subtask]->ops->append(
                    f->keyed[subtask], &key, sb_slice_of(elements[i], 2), 0,
                    &err), &err, "appending");
  key = fixture_key(f->statuses, "key007", &subtask);
  key.ns = sb_slice_of("web", 3);
  key.subkey = sb_slice_of("200", 3);
  fixture_put(f, &key, subtask, "12");
  key.subkey = sb_slice_of("404", 3);
  fixture_put(f, &key, subtask, "\xff\x01");
  key = fixture_key(f->timers, "key007", &subtask);
  key.key = sb_slice_of(timer, sizeof timer - 1);
  fixture_put(f, &key, subtask, "");
}

static void
fixture_wait(const char *file)
{
  FILE *made = fopen(file, "w");

  if (made == NULL)
    exit(1);
  fclose(made);
  while (access(file, F_OK) == 0)
    (void)usleep(10000);
}

static void
fixture_commit(fixture *f, const sb_commit_options *decide, const char *file)
{
  sb_status status;
  sb_error err;

  if (file != NULL)
    fixture_wait(file);
  status = f->backend->ops->commit(f->job, decide, &err);
  if (status == SB_FENCED)
    _exit(9); /* nothing is left to say */
  fixture_check(status, &err, "committing");
}

/* `file`: see wait above. */
static void
fixture_checkpoint(fixture *f, uint64_t id, int commit, const char *file)
{
  sb_snapshot_options options = { .struct_size = sizeof options,
                                  .kind = SB_SNAPSHOT_CHECKPOINT,
                                  .checkpoint_id = id };
  sb_commit_options decide = { .struct_size = sizeof decide, .id = id,
                               .part_count = SUBTASKS,
                               .blob = sb_slice_of("position", 8) };
  sb_snapshot *snapshots[SUBTASKS];
  sb_part parts[SUBTASKS];
  const sb_part *part;
  sb_error err;
  uint32_t i;

  for (i = 0; i < SUBTASKS; i++) {
    fixture_check(f->keyed[i]->ops->snapshot_begin(f->keyed[i], &options,
                                                   &snapshots[i], &err),
                  &err, "beginning a snapshot");
    fixture_check(f->keyed[i]->ops->snapshot_run(f->keyed[i], snapshots[i],
                                                 &part, &err),
                  &err, "running a snapshot");
    parts[i] = *part;
  }
  if (!commit)
    _exit(0); /* as if killed */
  decide.parts = parts;
  fixture_commit(f, &decide, file);
  for (i = 0; i < SUBTASKS; i++) {
    fixture_check(f->keyed[i]->ops->notify(f->keyed[i], SB_NOTIFY_COMPLETE, id,
                                           &err), &err, "notifying");
    f->keyed[i]->ops->snapshot_free(f->keyed[i], snapshots[i]);
  }
}

int
main(int argc, char **argv)
{
  fixture f;
  uint64_t id;
  uint32_t i;

  if (argc < 2) {
    fputs("usage: sbctl_fixture DIR [abandon | wait FILE]\n", stderr);
    return 2;
  }
  memset(&f, 0, sizeof f);
  fixture_open(&f, argv[1]);
  id = f.restored == NULL ? 0 : f.restored->info.id;
  fixture_change(&f, (unsigned)id + 1);
  fixture_checkpoint(&f, id + 1, 1, NULL);
  fixture_change(&f, (unsigned)id + 2);
  fixture_checkpoint(&f, id + 2, argc != 3, argc > 3 ? argv[3] : NULL);
  for (i = 0; i < SUBTASKS; i++)
    f.keyed[i]->ops->close(f.keyed[i]);
  if (f.restored != NULL)
    f.backend->ops->checkpoint_close(f.backend, f.restored);
  f.backend->ops->job_close(f.job);
  sb_backend_close(f.backend);
  sb_config_free(f.config);
  return 0;
}
