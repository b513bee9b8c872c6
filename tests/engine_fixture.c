/* SPDX-License-Identifier: Apache-2.0 */
/* See engine_fixture.h. */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine_fixture.h"

char directory[64], trigger[80];
sb_config *config;
sb_backend *backend;
sb_job *job;
sb_error err;
uint32_t groups = 16;
static uint64_t random_state = 88172645463325252ull;

int
check_ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

uint64_t
next_random(void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

void
fill_random(void *to, size_t len)
{
  uint8_t *p = to;
  size_t i;

  for (i = 0; i < len; i++)
    p[i] = (uint8_t)(next_random() >> 24);
}

double
seconds(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void
pause_ms(long ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep(&t, NULL);
}

/* ---- a backend, handles, keys -------------------------------------------- */

void
set(const char *key, const char *value)
{
  check_ok(sb_config_set(config, key, value, NULL, &err));
}

void
begin_backend(const char *memory, uint32_t group_count)
{
  groups = group_count;
  strcpy(directory, "/tmp/sb-edge-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(directory) != NULL);
  snprintf(trigger, sizeof trigger, "%s.trigger", directory);
  check_ok(sb_config_new(&config, &err));
  set("state.backend", "local");
  set("state.backend.local.dir", directory);
  set("state.backend.local.sync", "false");
  set("state.backend.memory.size", memory);
}

void
finish_backend(void)
{
  sb_takeover_options take;

  if (!check_ok(sb_backend_open(config, NULL, &backend, &err)))
    exit(1);
  memset(&take, 0, sizeof take);
  take.struct_size = sizeof take;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
}

void
open_backend(const char *memory, uint32_t group_count)
{
  begin_backend(memory, group_count);
  finish_backend();
}

void
close_backend(void)
{
  char command[192];

  backend->ops->job_close(job);
  sb_backend_close(backend);
  sb_config_free(config);
  snprintf(command, sizeof command, "rm -rf %s %s", directory, trigger);
  CU_ASSERT_EQUAL(system(command), 0);
}

sb_keyed *
open_range(uint32_t first, uint32_t last, const sb_checkpoint *from,
           uint32_t flags)
{
  sb_keyed_options o;
  sb_keyed *k = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.flags = flags;
  o.job = "";
  o.operator_id = "";
  o.key_group_count = groups;
  o.key_group_first = first;
  o.key_group_last = last;
  o.generation = backend->ops->job_generation(job);
  if (from != NULL) {
    o.parts = from->parts;
    o.part_count = from->info.part_count;
  }
  if (!check_ok(sb_backend_keyed(backend, &o, &k, &err)))
    exit(1);
  return k;
}

sb_keyed *
open_all(void)
{
  return open_range(0, groups - 1, NULL, 0);
}

uint32_t
add_state_with(sb_keyed *k, const char *name, uint32_t kind, const char *blob,
               sb_state_info *info)
{
  sb_state_options o;

  memset(&o, 0, sizeof o);
  memset(info, 0, sizeof *info);
  o.struct_size = sizeof o;
  o.kind = kind;
  o.name = sb_slice_of(name, strlen(name));
  o.blob = sb_slice_of(blob, strlen(blob));
  check_ok(k->ops->register_state(k, &o, info, &err));
  return info->id;
}

uint32_t
add_state(sb_keyed *k, const char *name, uint32_t kind)
{
  sb_state_info info;

  return add_state_with(k, name, kind, "", &info);
}

sb_key
key_of(uint32_t state, const void *data, size_t len)
{
  sb_key key;

  memset(&key, 0, sizeof key);
  key.state = state;
  key.key = sb_slice_of(data, len);
  key.key_group = sb_key_group(sb_hash_bytes(key.key), groups);
  return key;
}

char key_text[32];

sb_key
make_key(uint32_t state, unsigned i)
{
  int len = snprintf(key_text, sizeof key_text, "key-%u", i);

  return key_of(state, key_text, (size_t)len);
}

sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

int
same(sb_slice a, const void *data, size_t len)
{
  return a.len == len && (len == 0 || memcmp(a.data, data, len) == 0);
}

sb_snapshot *
begin_snapshot(sb_keyed *k, uint64_t id)
{
  sb_snapshot_options so;
  sb_snapshot *s = NULL;

  memset(&so, 0, sizeof so);
  so.struct_size = sizeof so;
  so.kind = SB_SNAPSHOT_CHECKPOINT;
  so.checkpoint_id = id;
  check_ok(k->ops->snapshot_begin(k, &so, &s, &err));
  return s;
}

void
commit_snapshots(sb_keyed **handles, sb_snapshot **snapshots, size_t count,
                 uint64_t id)
{
  sb_commit_options co;
  sb_part parts[4];
  size_t i;

  for (i = 0; i < count; i++) {
    const sb_part *part;

    if (!check_ok(handles[i]->ops->snapshot_run(handles[i], snapshots[i],
                                                &part, &err)))
      return;
    parts[i] = *part;
    parts[i].subtask = (uint32_t)i;
  }
  memset(&co, 0, sizeof co);
  co.struct_size = sizeof co;
  co.id = id;
  co.parts = parts;
  co.part_count = count;
  check_ok(backend->ops->commit(job, &co, &err));
  for (i = 0; i < count; i++) {
    handles[i]->ops->snapshot_free(handles[i], snapshots[i]);
    check_ok(handles[i]->ops->notify(handles[i], SB_NOTIFY_COMPLETE, id,
                                     &err));
  }
}

void
checkpoint(uint64_t id, sb_keyed **handles, size_t count)
{
  sb_snapshot *snapshots[4];
  size_t i;

  for (i = 0; i < count; i++)
    snapshots[i] = begin_snapshot(handles[i], id);
  commit_snapshots(handles, snapshots, count, id);
}

sb_checkpoint *
newest(void)
{
  sb_checkpoint *c = NULL;

  if (!check_ok(backend->ops->checkpoint_open(backend, "", 0, 0, &c, &err)))
    exit(1);
  return c;
}

/* Closes the handle and opens one on the newest checkpoint. */
sb_keyed *
reopen(sb_keyed *k, uint32_t flags)
{
  sb_checkpoint *from;

  k->ops->close(k);
  from = newest();
  k = open_range(0, groups - 1, from, flags);
  backend->ops->checkpoint_close(backend, from);
  return k;
}

sb_cursor *
open_scan(sb_keyed *k, uint32_t state, uint32_t flags, const sb_key *only)
{
  sb_scan_options o;
  sb_cursor *c = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = state;
  o.flags = flags;
  o.key_group_last = groups - 1;
  if (only != NULL) {
    o.has_ns = o.has_key = 1;
    o.ns = only->ns;
    o.key = only->key;
    o.key_group_first = o.key_group_last = only->key_group;
  }
  check_ok(k->ops->scan_open(k, &o, &c, &err));
  return c;
}

unsigned
count_rows(sb_keyed *k, uint32_t state, uint32_t flags, const sb_key *only)
{
  sb_cursor *c = open_scan(k, state, flags, only);
  sb_status status;
  unsigned n = 0;
  sb_row row;

  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK)
    n++;
  CU_ASSERT_EQUAL(status, SB_END);
  if (status != SB_END)
    tap_note("%s", err.message);
  k->ops->scan_close(k, c);
  return n;
}

/* Interrupts the handle when a case hangs. */
static sb_keyed *watched;
static double watch_until;
static pthread_t watcher;
static atomic_int watch_over;
atomic_int watch_fired;

static void *
watch_main(void *arg)
{
  (void)arg;
  while (!watch_over && seconds() < watch_until)
    pause_ms(20);
  if (!watch_over) {
    watch_fired = 1;
    watched->ops->interrupt(watched);
  }
  return NULL;
}

void
watch(sb_keyed *k, double limit)
{
  watched = k;
  watch_until = seconds() + limit;
  watch_over = watch_fired = 0;
  CU_ASSERT_EQUAL(pthread_create(&watcher, NULL, watch_main, NULL), 0);
}

void
unwatch(void)
{
  watch_over = 1;
  pthread_join(watcher, NULL);
}

void
set_trigger(int on)
{
  if (on) {
    FILE *f = fopen(trigger, "w");

    CU_ASSERT_FATAL(f != NULL);
    fclose(f);
  } else {
    CU_ASSERT_EQUAL(unlink(trigger), 0);
  }
}

sb_status
add_one(void *arg, sb_update *u)
{
  static uint64_t n;

  n = 0;
  if (u->exists)
    memcpy(&n, u->data, sizeof n);
  n++;
  u->action = SB_UPDATE_PUT;
  u->replacement = sb_slice_of(&n, sizeof n);
  (*(unsigned *)arg)++;
  return SB_OK;
}

static void
log_line(void *arg, uint32_t level, const char *component, const char *line)
{
  (void)arg;
  (void)level;
  tap_note("%s: %s", component, line);
}

/* tap_main with the library's log among its notes. */
int
run_suite(int argc, char **argv, const char *name, const tap_case *list,
          size_t count)
{
  const tap_suite suites[] = { { name, list, count } };

  sb_host_set_log(log_line, NULL);
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
