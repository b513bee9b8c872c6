/* SPDX-License-Identifier: Apache-2.0 */
/* See state_fixture.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

sb_keyed *keyed;
sb_context *context;
sb_error err;
atomic_uint_fast64_t clock_ms;
atomic_long fail_in, live_blocks;

static sb_host host;
static sb_config *config;
static sb_backend *backend;
static sb_job *job;
static uint32_t groups;
static uint64_t checkpoint_id;
static char directory[64];

/* ---- the host ------------------------------------------------------------ */

static void *
host_alloc(const sb_host *h, void *old, size_t size)
{
  const sb_host *real = sb_host_default();
  void *p;

  (void)h;
  if (size == 0) {
    if (old != NULL)
      atomic_fetch_sub(&live_blocks, 1);
    return real->alloc(real, old, 0);
  }
  if (atomic_load(&fail_in) > 0 && atomic_fetch_sub(&fail_in, 1) == 1)
    return NULL;
  p = real->alloc(real, old, size);
  if (p != NULL && old == NULL)
    atomic_fetch_add(&live_blocks, 1);
  return p;
}

static uint64_t
host_clock(const sb_host *h)
{
  (void)h;
  return atomic_load(&clock_ms);
}

/* ---- life ---------------------------------------------------------------- */

int
ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

static void
set(const char *key, const char *value)
{
  ok(sb_config_set(config, key, value, NULL, &err));
}

void
state_begin(const char *memory, uint32_t group_count)
{
  sb_takeover_options take = { .struct_size = sizeof take };

  groups = group_count;
  checkpoint_id = 0;
  atomic_store(&clock_ms, CLOCK_START);
  host = *sb_host_default();
  host.alloc = host_alloc;
  host.clock_ms = host_clock;
  strcpy(directory, "/tmp/sb-state-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(directory) != NULL);
  ok(sb_config_new(&config, &err));
  set("state.backend", "local");
  set("state.backend.local.dir", directory);
  set("state.backend.local.sync", "false");
  set("state.backend.memory.size", memory);
  if (!ok(sb_backend_open(config, &host, &backend, &err)))
    exit(1);
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  ok(backend->ops->takeover(backend, &take, &job, &err));
  CU_ASSERT_FATAL(state_open_handle(NULL, 0));
}

void
state_end(void)
{
  char command[128];

  if (keyed != NULL)
    state_close_handle();
  backend->ops->job_close(job);
  sb_backend_close(backend);
  sb_config_free(config);
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CU_ASSERT_EQUAL(system(command), 0);
  CU_ASSERT_EQUAL(atomic_load(&live_blocks), 0);
}

int
state_open_handle(const sb_checkpoint *from, uint32_t flags)
{
  sb_keyed_options o = { .struct_size = sizeof o };

  o.flags = flags;
  o.job = o.operator_id = "";
  o.key_group_count = groups;
  o.key_group_last = groups - 1;
  o.generation = backend->ops->job_generation(job);
  if (from != NULL) {
    o.parts = from->parts;
    o.part_count = from->info.part_count;
  }
  keyed = NULL;
  context = NULL;
  return ok(sb_backend_keyed(backend, &o, &keyed, &err)) &&
         ok(sb_context_new(keyed, &host, groups, 0, groups - 1, &context,
                           &err));
}

void
state_close_handle(void)
{
  sb_context_free(context);
  context = NULL;
  if (keyed != NULL)
    keyed->ops->close(keyed);
  keyed = NULL;
}

void
state_checkpoint(void)
{
  sb_snapshot_options options = { .struct_size = sizeof options };
  sb_commit_options commit = { .struct_size = sizeof commit };
  const sb_part *part = NULL;
  sb_snapshot *snapshot;

  options.kind = SB_SNAPSHOT_CHECKPOINT;
  options.checkpoint_id = ++checkpoint_id;
  if (!ok(keyed->ops->snapshot_begin(keyed, &options, &snapshot, &err)))
    return;
  ok(keyed->ops->snapshot_run(keyed, snapshot, &part, &err));
  commit.id = checkpoint_id;
  commit.parts = part;
  commit.part_count = part != NULL;
  ok(backend->ops->commit(job, &commit, &err));
  keyed->ops->snapshot_free(keyed, snapshot);
  ok(keyed->ops->notify(keyed, SB_NOTIFY_COMPLETE, checkpoint_id, &err));
}

void
state_reopen(uint32_t flags)
{
  sb_checkpoint *from = NULL;

  state_close_handle();
  if (!ok(backend->ops->checkpoint_open(backend, "", 0, 0, &from, &err)) ||
      !state_open_handle(from, flags))
    exit(1);
  backend->ops->checkpoint_close(backend, from);
}

void
state_restart(void)
{
  state_checkpoint();
  state_reopen(0);
}

/* ---- small things -------------------------------------------------------- */

int
fails(sb_status status, sb_status expected, const char *part)
{
  CU_ASSERT_EQUAL(status, expected);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, part));
  if (status == expected && strstr(err.message, part) != NULL)
    return 1;
  tap_note("%s: %s", sb_status_name(status), err.message);
  return 0;
}

sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

int
is_text(sb_slice slice, const char *s)
{
  return slice.len == strlen(s) && memcmp(slice.data, s, slice.len) == 0;
}

void
set_key(const char *key)
{
  ok(sb_context_set_key(context, text(key), &err));
}

void
set_ns(const char *ns)
{
  ok(sb_context_set_namespace(context, text(ns), &err));
}

sb_state_spec
spec_of(const char *name)
{
  sb_state_spec spec;

  memset(&spec, 0, sizeof spec);
  spec.struct_size = sizeof spec;
  spec.name = name;
  return spec;
}

/* ---- words --------------------------------------------------------------- */

void
words_add(words *w, sb_slice slice)
{
  size_t len = strlen(w->text);

  snprintf(w->text + len, sizeof w->text - len, "%.*s", (int)slice.len,
           slice.data == NULL ? "" : (const char *)slice.data);
}

static words walked;

static int
add_word(void *arg, sb_slice element)
{
  words_add(arg, element);
  words_add(arg, text(","));
  return 0;
}

static int
add_entry(void *arg, sb_slice subkey, sb_slice value)
{
  words_add(arg, subkey);
  words_add(arg, text("="));
  return add_word(arg, value.data == NULL ? text("null") : value);
}

const char *
list_words(sb_list *list)
{
  sb_status status;

  walked.text[0] = '\0';
  status = sb_list_each(list, add_word, &walked, &err);
  if (status == SB_NOT_FOUND)
    return "none";
  return ok(status) ? walked.text : "failed";
}

const char *
map_words(sb_map *map)
{
  walked.text[0] = '\0';
  return ok(sb_map_each(map, add_entry, &walked, &err)) ? walked.text
                                                        : "failed";
}

static int
compare_words(const void *a, const void *b)
{
  return strcmp(a, b);
}

const char *
key_words(sb_iterator *it)
{
  static char rows[256][24];
  size_t count = 0, i;
  sb_status status;
  sb_row row;

  while ((status = sb_iterator_next(it, &row, &err)) == SB_OK && count < 256)
    snprintf(rows[count++], sizeof rows[0], "%.*s/%.*s,", (int)row.ns.len,
             row.ns.data == NULL ? "" : (const char *)row.ns.data,
             (int)row.key.len, (const char *)row.key.data);
  CU_ASSERT_EQUAL(status, SB_END);
  sb_iterator_close(it);
  qsort(rows, count, sizeof rows[0], compare_words);
  walked.text[0] = '\0';
  for (i = 0; i < count; i++)
    words_add(&walked, text(rows[i]));
  return walked.text;
}

/* ---- time ---------------------------------------------------------------- */

void
pass(uint64_t ms)
{
  atomic_fetch_add(&clock_ms, ms);
}

sb_state_spec
lasting(const char *name, uint64_t ttl_ms, uint32_t update,
        uint32_t visibility)
{
  sb_state_spec spec = spec_of(name);

  spec.ttl_ms = ttl_ms;
  spec.ttl_update = update;
  spec.ttl_visibility = visibility;
  return spec;
}

unsigned
stored(const char *name)
{
  sb_scan_options options = { .struct_size = sizeof options };
  sb_state_info info = { .struct_size = sizeof info };
  sb_cursor *cursor;
  unsigned n = 0;
  sb_row row;

  ok(keyed->ops->state_find(keyed, text(name), &info, &err));
  options.state = info.id;
  options.flags = SB_SCAN_EXPIRED;
  options.key_group_last = groups - 1;
  ok(keyed->ops->scan_open(keyed, &options, &cursor, &err));
  while (keyed->ops->scan_next(keyed, cursor, &row, &err) == SB_OK)
    n++;
  keyed->ops->scan_close(keyed, cursor);
  return n;
}

const char *
value_of(sb_value *value)
{
  static char out[32];
  sb_slice got;
  sb_status status = sb_value_get(value, &got, &err);

  if (status == SB_NOT_FOUND)
    return "none";
  if (!ok(status))
    return "failed";
  snprintf(out, sizeof out, "%.*s", (int)got.len, (const char *)got.data);
  return out;
}
