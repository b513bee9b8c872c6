/* SPDX-License-Identifier: Apache-2.0 */
/* See entries_fixture.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/entries_fixture.h"

const uint32_t world_kinds[WORLD_STATES] = {
  SB_STATE_VALUE, SB_STATE_LIST, SB_STATE_MAP, SB_STATE_REDUCING,
  SB_STATE_AGGREGATING
};
const char *const world_kind_names[WORLD_STATES] = {
  "value", "list", "map", "reducing", "aggregating"
};

static world *world_old;

void
world_must(sb_status status, const sb_error *err)
{
  if (status == SB_OK)
    return;
  tap_note("%s: %s", sb_status_name(status), err->message);
  CU_ASSERT_EQUAL_FATAL(status, SB_OK);
}

uint64_t
world_random(world *w, uint64_t below)
{
  w->random ^= w->random << 13;
  w->random ^= w->random >> 7;
  w->random ^= w->random << 17;
  return (w->random >> 11) % below;
}

/* ---- names of the model ------------------------------------------------- */

sb_slice
world_state_name(unsigned state)
{
  static char longer[251];

  if (longer[0] == '\0')
    memset(longer, '\xe4', sizeof longer - 1);
  if (state == 3)
    return sb_slice_of("_odd/../%\xc3\xa4 x", 13);
  if (state == 4)
    return sb_slice_of(longer, sizeof longer - 1);
  return sb_slice_of(world_kind_names[state],
                     strlen(world_kind_names[state]));
}

sb_slice
world_key(unsigned key)
{
  static const size_t lengths[] = { 0, 150, 149, 300, 1200, 40000 };
  static char bytes[WORLD_KEYS][40000];
  size_t len, i;

  if (key < 14) {
    len = (size_t)sprintf(bytes[key], "key-%u", key);
  } else {
    len = lengths[key - 14];
    for (i = 0; i < len; i++)
      bytes[key][i] = (char)(i * 7 + key);
  }
  return sb_slice_of(bytes[key], len);
}

sb_slice
world_space(unsigned space)
{
  static char longer[700];

  if (space == 0)
    return sb_slice_of(NULL, 0);
  if (space == 1)
    return sb_slice_of("n1", 2);
  memset(longer, 'n', sizeof longer);
  return sb_slice_of(longer, sizeof longer);
}

/* ---- the store between -------------------------------------------------- */

typedef struct passing {
  sb_store_done *done;
  void *arg;
} passing;

static world *
world_of(sb_store *store)
{
  return (world *)(void *)((char *)store - offsetof(world, wrapper));
}

int
world_is_entry(const char *name)
{
  return strncmp(name, "base/state/", 11) == 0 &&
         strncmp(name + 11, "_/", 2) != 0;
}

static void
passing_done(void *arg, const sb_store_result *result)
{
  passing *p = arg;
  sb_error error = { SB_UNKNOWN, 0, "the answer was lost" };
  sb_store_result lost = { .struct_size = sizeof lost, .status = SB_UNKNOWN,
                           .error = &error };

  (void)result;
  p->done(p->arg, &lost);
  free(p);
}

/* SB_OK: the request goes down, maybe with another `done`. */
static sb_status
world_before(world *w, sb_request *base, sb_error *err)
{
  long n = atomic_fetch_add(&w->requests, 1) + 1;
  long at = atomic_load(&w->fail_at);
  passing *p;

  if (w->hook != NULL && n == w->hook_at) {
    void (*hook)(world *) = w->hook;

    w->hook = NULL;
    hook(w);
  }
  if (at == 0 || n < at || n >= at + atomic_load(&w->fail_count))
    return SB_OK;
  if (w->fail_mode == WORLD_FAILS)
    return sb_error_set(err, SB_IO, "made to fail");
  p = malloc(sizeof *p);
  p->done = base->done;
  p->arg = base->arg;
  base->done = passing_done;
  base->arg = p;
  return SB_OK;
}

static sb_status
wrapper_put(sb_store *store, const sb_put_request *request, uint64_t *op,
            sb_error *err)
{
  world *w = world_of(store);
  sb_put_request copy = *request;
  sb_status status = SB_OK;

  if (world_is_entry(request->name)) {
    atomic_fetch_add(&w->puts, 1);
    status = world_before(w, &copy.base, err);
  }
  return status == SB_OK ? w->store->ops->put(w->store, &copy, op, err)
                         : status;
}

static sb_status
wrapper_head(sb_store *store, const sb_name_request *request, uint64_t *op,
             sb_error *err)
{
  world *w = world_of(store);
  sb_name_request copy = *request;
  sb_status status = SB_OK;

  if (world_is_entry(request->name)) {
    atomic_fetch_add(&w->looks, 1);
    status = world_before(w, &copy.base, err);
  }
  return status == SB_OK ? w->store->ops->head(w->store, &copy, op, err)
                         : status;
}

static sb_status
wrapper_remove(sb_store *store, const sb_remove_request *request,
               uint64_t *op, sb_error *err)
{
  world *w = world_of(store);
  sb_remove_request copy = *request;
  sb_status status = SB_OK;

  if (world_is_entry(request->names[0])) {
    atomic_fetch_add(&w->removes, 1);
    status = world_before(w, &copy.base, err);
  }
  return status == SB_OK ? w->store->ops->remove(w->store, &copy, op, err)
                         : status;
}

static sb_status
wrapper_list(sb_store *store, const sb_list_request *request, uint64_t *op,
             sb_error *err)
{
  world *w = world_of(store);
  sb_list_request copy = *request;
  sb_status status = SB_OK;

  if (strcmp(request->prefix, "base/state/") == 0)
    status = world_before(w, &copy.base, err);
  return status == SB_OK ? w->store->ops->list(w->store, &copy, op, err)
                         : status;
}

static sb_status
wrapper_get(sb_store *store, const sb_get_request *request, uint64_t *op,
            sb_error *err)
{
  world *w = world_of(store);

  return w->store->ops->get(w->store, request, op, err);
}

static sb_status
wrapper_put_open(sb_store *store, const sb_stream_request *request,
                 sb_stream **out, sb_error *err)
{
  world *w = world_of(store);

  return w->store->ops->put_open(w->store, request, out, err);
}

static sb_status
wrapper_put_write(sb_store *store, sb_stream *stream,
                  const sb_write_request *request, sb_error *err)
{
  world *w = world_of(store);

  return w->store->ops->put_write(w->store, stream, request, err);
}

static sb_status
wrapper_put_commit(sb_store *store, sb_stream *stream,
                   const sb_request *request, sb_error *err)
{
  world *w = world_of(store);

  return w->store->ops->put_commit(w->store, stream, request, err);
}

static sb_status
wrapper_put_abort(sb_store *store, sb_stream *stream,
                  const sb_request *request, sb_error *err)
{
  world *w = world_of(store);

  return w->store->ops->put_abort(w->store, stream, request, err);
}

static const sb_store_info *
wrapper_info(sb_store *store)
{
  world *w = world_of(store);

  w->info = *w->store->ops->info(w->store);
  w->info.flags &= ~w->flags_off;
  return &w->info;
}

static void
wrapper_close(sb_store *store)
{
  world *w = world_of(store);

  w->store->ops->close(w->store);
}

static uint64_t
world_clock(const sb_host *host)
{
  world *w = (world *)(uintptr_t)host;

  return atomic_load(&w->now_ms);
}

static void *
world_alloc(const sb_host *host, void *old, size_t size)
{
  world *w = (world *)(uintptr_t)host;

  if (size != 0 && atomic_load(&w->countdown) > 0 &&
      atomic_fetch_sub(&w->countdown, 1) == 1)
    return NULL;
  return sb_host_default()->alloc(sb_host_default(), old, size);
}

static sb_status
world_engine_open(const sb_host *host, sb_store *store,
                  const sb_engine_options *options, const sb_config *config,
                  sb_backend **out, sb_error *err)
{
  world *w = (world *)(uintptr_t)host;

  w->store = store;
  w->ops = (sb_store_ops){
    .struct_size = sizeof(sb_store_ops),
    .abi_version = SB_ABI_VERSION, .info = wrapper_info, .get = wrapper_get,
    .put = wrapper_put, .put_open = wrapper_put_open,
    .put_write = wrapper_put_write, .put_commit = wrapper_put_commit,
    .put_abort = wrapper_put_abort, .head = wrapper_head,
    .list = wrapper_list, .remove = wrapper_remove, .close = wrapper_close
  };
  w->wrapper.ops = &w->ops;
  return sb_host_default()->engine_open(host, &w->wrapper, options, config,
                                        out, err);
}

/* ---- the world ---------------------------------------------------------- */

static void
world_set(world *w, const char *key, const char *value)
{
  sb_error err;

  world_must(sb_config_set(w->config, key, value, NULL, &err), &err);
}

world *
world_new(int compression, const char *runs, uint64_t seed)
{
  world *w = calloc(1, sizeof *w);
  sb_error err;

  w->host = *sb_host_default();
  w->host.alloc = world_alloc;
  w->host.clock_ms = world_clock;
  w->host.engine_open = world_engine_open;
  w->now_ms = 1000000;
  w->next_id = 1;
  w->random = seed * 2654435769u + 88172645463325252u;
  w->compression = compression;
  strcpy(w->directory, "/tmp/sb-entries-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(w->directory) != NULL);
  world_must(sb_config_new(&w->config, &err), &err);
  world_set(w, "state.backend", "local");
  world_set(w, "state.backend.local.dir", w->directory);
  world_set(w, "state.backend.local.sync", "false");
  world_set(w, "state.backend.local.base-path", "base");
  world_set(w, "state.backend.local.layout", "entries");
  world_set(w, "state.backend.local.state-file-compression",
            compression ? "true" : "false");
  world_set(w, "state.backend.memory.size", "16mb");
  world_set(w, "state.backend.compaction.runs", runs);
  world_must(sb_backend_open(w->config, &w->host, &w->backend, &err), &err);
  return w;
}

void
world_free(world *w)
{
  char command[128];

  world_crash(w);
  sb_backend_close(w->backend);
  sb_config_free(w->config);
  snprintf(command, sizeof command, "rm -rf %s", w->directory);
  CU_ASSERT_EQUAL(system(command), 0);
  /* A host outlives what was opened with it: the executor's threads may still
     be at the end of a task. */
  w->next = world_old;
  world_old = w;
}

void
world_takeover(world *w, uint32_t retain)
{
  sb_takeover_options options = { .struct_size = sizeof options, .job = "",
                                  .job_id = "entries", .retain = retain };
  sb_error err;

  world_must(w->backend->ops->takeover(w->backend, &options, &w->job, &err),
             &err);
}

static void
world_register(sb_keyed *k)
{
  unsigned i;

  for (i = 0; i <= WORLD_STATES; i++) {
    sb_state_options o = { .struct_size = sizeof o,
                           .kind = i == WORLD_STATES ? SB_STATE_TIMER
                                                     : world_kinds[i],
                           .name = i == WORLD_STATES
                                     ? sb_slice_of("timers", 6)
                                     : world_state_name(i) };
    sb_state_info info = { .struct_size = sizeof info };
    sb_error err;

    world_must(k->ops->register_state(k, &o, &info, &err), &err);
  }
}

void
world_open(world *w, size_t handles, uint64_t id)
{
  sb_checkpoint *from = NULL;
  sb_error err;
  size_t i;

  if (id != UINT64_MAX)
    world_must(w->backend->ops->checkpoint_open(w->backend, "", id, 0, &from,
                                                &err), &err);
  w->handle_count = handles;
  for (i = 0; i < handles; i++) {
    sb_keyed_options o = {
      .struct_size = sizeof o, .job = "", .operator_id = "",
      .subtask = (uint32_t)i, .key_group_count = WORLD_GROUPS,
      .key_group_first = (uint32_t)((i * WORLD_GROUPS + handles - 1) /
                                    handles),
      .key_group_last = (uint32_t)(((i + 1) * WORLD_GROUPS - 1) / handles),
      .generation = w->backend->ops->job_generation(w->job)
    };

    if (from != NULL) {
      o.parts = from->parts;
      o.part_count = from->info.part_count;
    }
    w->first[i] = o.key_group_first;
    world_must(sb_backend_keyed(w->backend, &o, &w->handles[i], &err), &err);
    world_register(w->handles[i]);
  }
  if (from != NULL)
    w->backend->ops->checkpoint_close(w->backend, from);
}

void
world_close_handles(world *w)
{
  size_t i;

  for (i = 0; i < w->handle_count; i++)
    w->handles[i]->ops->close(w->handles[i]);
  w->handle_count = 0;
}

void
world_crash(world *w)
{
  world_close_handles(w);
  if (w->job != NULL)
    w->backend->ops->job_close(w->job);
  w->job = NULL;
}

/* ---- changes ------------------------------------------------------------ */

static sb_keyed *
world_handle(world *w, uint32_t key_group)
{
  size_t i = w->handle_count - 1;

  while (w->first[i] > key_group)
    i--;
  return w->handles[i];
}

sb_key
world_place(unsigned state, unsigned key, unsigned space)
{
  sb_key k = { .state = state, .key = world_key(key),
               .ns = world_space(space) };

  k.key_group = sb_key_group(sb_hash_bytes(k.key), WORLD_GROUPS);
  return k;
}

/* Lists append; maps take the first character as their subkey. */
sb_status
world_put(world *w, unsigned state, unsigned key, unsigned space,
          const char *text, uint64_t expires_ms)
{
  sb_key k = world_place(state, key, space);
  sb_keyed *h = world_handle(w, k.key_group);
  model_part *parts = w->model.parts[state][key][space];
  sb_slice value = sb_slice_of(text, strlen(text));
  unsigned at = 0;
  sb_error err;
  sb_status status;

  if (world_kinds[state] == SB_STATE_LIST) {
    while (at < WORLD_PARTS && parts[at].present)
      at++;
    if (at == WORLD_PARTS)
      return world_remove(w, state, key, space);
    status = h->ops->append(h, &k, value, expires_ms, &err);
  } else {
    if (world_kinds[state] == SB_STATE_MAP) {
      at = (unsigned)(text[0] - 'a') % 4;
      k.subkey = sb_slice_of(&"abcd"[at], 1);
    }
    status = h->ops->put(h, &k, value, expires_ms, &err);
  }
  world_must(status, &err);
  parts[at].present = 1;
  parts[at].len = (uint32_t)value.len;
  parts[at].expires_ms = expires_ms;
  memcpy(parts[at].data, value.data, value.len);
  return status;
}

sb_status
world_remove(world *w, unsigned state, unsigned key, unsigned space)
{
  sb_key k = world_place(state, key, space);
  sb_keyed *h = world_handle(w, k.key_group);
  sb_error err;
  sb_status status = h->ops->clear(h, &k, &err);

  world_must(status, &err);
  memset(w->model.parts[state][key][space], 0,
         sizeof w->model.parts[state][key][space]);
  return status;
}

/* One namespace of one key group of a state. */
static void
world_remove_range(world *w, unsigned state, unsigned space)
{
  uint32_t group = (uint32_t)world_random(w, WORLD_GROUPS);
  sb_keyed *h = world_handle(w, group);
  sb_scan_options o = { .struct_size = sizeof o, .state = state,
                        .key_group_first = group, .key_group_last = group,
                        .has_ns = 1, .ns = world_space(space) };
  sb_error err;
  unsigned key;

  world_must(h->ops->remove_range(h, &o, &err), &err);
  for (key = 0; key < WORLD_KEYS; key++)
    if (world_place(state, key, space).key_group == group)
      memset(w->model.parts[state][key][space], 0,
             sizeof w->model.parts[state][key][space]);
}

static void
world_change_one(world *w)
{
  unsigned state = (unsigned)world_random(w, WORLD_STATES);
  unsigned key = (unsigned)world_random(w, WORLD_KEYS);
  unsigned space = (unsigned)world_random(w, WORLD_SPACES);
  uint64_t expires = 0;
  char text[40];

  if (world_random(w, 6) == 0)
    expires = w->now_ms + world_random(w, 400) + 1;
  if (world_random(w, 60) == 0) {
    world_remove_range(w, state, space);
  } else if (world_random(w, 3) == 0) {
    world_remove(w, state, key, space);
  } else {
    snprintf(text, sizeof text, "%c%u,%.*s", (int)('a' + world_random(w, 4)),
             (unsigned)world_random(w, 5), (int)world_random(w, 20),
             "xxxxxxxxxxxxxxxxxxxx");
    (void)world_put(w, state, key, space,
                    world_random(w, 9) == 0 && state != 2 ? "" : text,
                    expires);
  }
}

static void
world_timer(world *w)
{
  uint8_t bytes[9] = { 0x80, 1, 2, 3, 4, 5, 6, 7,
                       (uint8_t)world_random(w, 100) };
  sb_key k = { .state = WORLD_STATES, .key = sb_slice_of(bytes, 9) };
  sb_error err;
  sb_keyed *h;

  k.key_group = sb_key_group(sb_hash_bytes(k.key), WORLD_GROUPS);
  h = world_handle(w, k.key_group);
  world_must(h->ops->put(h, &k, sb_slice_of(NULL, 0), 0, &err), &err);
}

void
world_change(world *w, unsigned count)
{
  while (count-- > 0)
    world_change_one(w);
  world_timer(w);
}

sb_status
world_checkpoint(world *w)
{
  sb_part parts[WORLD_HANDLES];
  sb_snapshot *snapshots[WORLD_HANDLES];
  sb_commit_options co = { .struct_size = sizeof co, .id = w->next_id++,
                           .parts = parts, .part_count = w->handle_count };
  sb_snapshot_options so = { .struct_size = sizeof so,
                             .kind = SB_SNAPSHOT_CHECKPOINT,
                             .checkpoint_id = co.id };
  const sb_part *part;
  sb_status status;
  sb_error err;
  size_t i;

  for (i = 0; i < w->handle_count; i++) {
    sb_keyed *h = w->handles[i];

    world_must(h->ops->snapshot_begin(h, &so, &snapshots[i], &err), &err);
    world_must(h->ops->snapshot_run(h, snapshots[i], &part, &err), &err);
    parts[i] = *part;
    parts[i].subtask = (uint32_t)i;
  }
  atomic_store(&w->countdown, w->no_memory_at);
  status = w->backend->ops->commit(w->job, &co, &err);
  w->memory_failed = w->no_memory_at != 0 && atomic_load(&w->countdown) <= 0;
  atomic_store(&w->countdown, 0);
  for (i = 0; i < w->handle_count; i++) {
    sb_keyed *h = w->handles[i];

    h->ops->snapshot_free(h, snapshots[i]);
    if (status == SB_OK)
      world_must(h->ops->notify(h, SB_NOTIFY_COMPLETE, co.id, &err), &err);
  }
  return status;
}

void
world_reset_counts(world *w)
{
  w->puts = w->looks = w->removes = w->requests = 0;
}

void
world_fail(world *w, long at, long count, int mode)
{
  world_reset_counts(w);
  w->fail_count = count;
  w->fail_mode = mode;
  w->fail_at = at;
}
