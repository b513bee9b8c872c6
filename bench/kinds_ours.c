/* SPDX-License-Identifier: Apache-2.0 */
/* Our side of the state kinds: the public state API over the local plugin. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/kinds.h"

typedef struct kinds_ours_side {
  kinds_side side;
  sb_config *config;
  sb_backend *backend;
  sb_keyed *keyed;
  sb_context *context;
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_reducing *reducing;
  uint8_t bytes[KINDS_LIST][8];
} kinds_ours_side;

static void
ours_ok(sb_status status, const sb_error *err)
{
  if (status != SB_OK && status != SB_NOT_FOUND)
    bench_die("%s", err->message);
}

static void
ours_set_key(const kinds_ours_side *o, uint64_t key)
{
  uint8_t bytes[8];
  sb_error err;

  kinds_bytes(key, bytes);
  ours_ok(sb_context_set_key_hash(o->context, sb_slice_of(bytes, 8),
                                  (int32_t)(key ^ key >> 32), &err), &err);
}

static sb_slice
ours_number(uint64_t number, uint8_t bytes[8])
{
  kinds_bytes(number, bytes);
  return sb_slice_of(bytes, 8);
}

static void
ours_value_put(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  uint8_t bytes[8];
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_value_put(o->value, ours_number(value, bytes), &err), &err);
}

static uint64_t
ours_value_get(void *arg, uint64_t key)
{
  kinds_ours_side *o = arg;
  sb_slice value;
  sb_status status;
  sb_error err;

  ours_set_key(o, key);
  status = sb_value_get(o->value, &value, &err);
  ours_ok(status, &err);
  return status == SB_OK;
}

static void
ours_list_put(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  uint8_t bytes[8];
  sb_slice element = ours_number(value, bytes);
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_list_update(o->list, &element, 1, &err), &err);
}

static void
ours_list_add(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  uint8_t bytes[8];
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_list_add(o->list, ours_number(value, bytes), &err), &err);
}

static void
ours_list_add_all(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  sb_slice elements[KINDS_LIST];
  sb_error err;
  unsigned i;

  for (i = 0; i < KINDS_LIST; i++)
    elements[i] = ours_number(value + i, o->bytes[i]);
  ours_set_key(o, key);
  ours_ok(sb_list_add_all(o->list, elements, KINDS_LIST, &err), &err);
}

static int
ours_see_element(void *arg, sb_slice element)
{
  uint64_t *seen = arg;
  volatile uint64_t sink;
  uint64_t value;

  memcpy(&value, element.data, 8);
  sink = value;
  (void)sink;
  ++*seen;
  return 0;
}

static uint64_t
ours_list_get(void *arg, uint64_t key)
{
  kinds_ours_side *o = arg;
  sb_slice elements = { NULL, 0 };
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_list_get(o->list, &elements, &err), &err);
  return elements.len / 12;
}

static uint64_t
ours_list_iterate(void *arg, uint64_t key)
{
  kinds_ours_side *o = arg;
  uint64_t seen = 0;
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_list_each(o->list, ours_see_element, &seen, &err), &err);
  return seen;
}

static void
ours_settle(void *arg)
{
  (void)arg;
}

static void
ours_map_put(void *arg, uint64_t key, uint64_t entry, uint64_t value)
{
  kinds_ours_side *o = arg;
  uint8_t name[8], bytes[8];
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_map_put(o->map, ours_number(entry, name),
                     ours_number(value, bytes), &err), &err);
}

static void
ours_map_put_all(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  sb_slice names[KINDS_MAP], values[KINDS_MAP];
  uint8_t numbers[KINDS_MAP][8];
  sb_error err;
  unsigned i;

  for (i = 0; i < KINDS_MAP; i++) {
    names[i] = ours_number(i, numbers[i]);
    values[i] = ours_number(value + i, o->bytes[i]);
  }
  ours_set_key(o, key);
  ours_ok(sb_map_put_all(o->map, names, values, KINDS_MAP, &err), &err);
}

static uint64_t
ours_map_get(void *arg, uint64_t key, uint64_t entry)
{
  kinds_ours_side *o = arg;
  uint8_t name[8];
  sb_slice value;
  sb_status status;
  sb_error err;

  ours_set_key(o, key);
  status = sb_map_get(o->map, ours_number(entry, name), &value, &err);
  ours_ok(status, &err);
  return status == SB_OK;
}

static int
ours_see_entry(void *arg, sb_slice entry, sb_slice value)
{
  ours_see_element(arg, entry);
  return ours_see_element(arg, value);
}

static uint64_t
ours_map_entries(void *arg, uint64_t key)
{
  kinds_ours_side *o = arg;
  uint64_t seen = 0;
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_map_each(o->map, ours_see_entry, &seen, &err), &err);
  return seen / 2;
}

static uint64_t
ours_map_is_empty(void *arg, uint64_t key)
{
  kinds_ours_side *o = arg;
  sb_error err;
  int empty = 0;

  ours_set_key(o, key);
  ours_ok(sb_map_is_empty(o->map, &empty, &err), &err);
  return (uint64_t)empty;
}

static void
ours_map_remove(void *arg, uint64_t key, uint64_t entry)
{
  kinds_ours_side *o = arg;
  uint8_t name[8];
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_map_remove(o->map, ours_number(entry, name), &err), &err);
}

static void
ours_reduce_add(void *arg, uint64_t key, uint64_t value)
{
  kinds_ours_side *o = arg;
  sb_error err;

  ours_set_key(o, key);
  ours_ok(sb_reducing_add(o->reducing, sb_slice_of(&value, 8), &err), &err);
}

static void
ours_side_close(void *arg)
{
  kinds_ours_side *o = arg;

  sb_context_free(o->context);
  o->keyed->ops->close(o->keyed);
  sb_backend_close(o->backend);
  sb_config_free(o->config);
  free(o);
}

/* ---- opening ------------------------------------------------------------ */

static sb_status
ours_fold(void *arg, sb_update *state, sb_slice input, sb_error *err)
{
  uint64_t sum, more;

  (void)arg;
  (void)err;
  memcpy(&sum, state->data, 8);
  memcpy(&more, input.data, 8);
  sum += more;
  memcpy(state->data, &sum, 8);
  state->action = SB_UPDATE_IN_PLACE;
  return SB_OK;
}

static void
ours_open_backend(kinds_ours_side *o, const char *dir)
{
  sb_error err;

  (void)mkdir(dir, 0700);
  ours_ok(sb_config_new(&o->config, &err), &err);
  ours_ok(sb_config_set(o->config, "state.backend", "local", "bench", &err),
          &err);
  ours_ok(sb_config_set(o->config, "state.backend.local.dir", dir, "bench",
                        &err), &err);
  ours_ok(sb_config_set(o->config, "state.backend.memory.size", bench.memory,
                        "bench", &err), &err);
  ours_ok(sb_backend_open(o->config, NULL, &o->backend, &err), &err);
}

static void
ours_open_states(kinds_ours_side *o)
{
  sb_state_spec spec = {
    .struct_size = sizeof spec, .name = "reduce", .fold = ours_fold
  };
  sb_error err;

  ours_ok(sb_context_new(o->keyed, sb_host_default(), KINDS_GROUPS, 0,
                         KINDS_GROUPS - 1, &o->context, &err), &err);
  ours_ok(sb_value_open(o->context, "value", &o->value, &err), &err);
  ours_ok(sb_list_open(o->context, "list", &o->list, &err), &err);
  ours_ok(sb_map_open(o->context, "map", &o->map, &err), &err);
  ours_ok(sb_reducing_open_spec(o->context, &spec, &o->reducing, &err), &err);
}

kinds_side *
kinds_ours(const char *dir)
{
  kinds_ours_side *o = calloc(1, sizeof *o);
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = "",
    .operator_id = "",
    .key_group_count = KINDS_GROUPS,
    .key_group_last = KINDS_GROUPS - 1,
    .generation = 1,
  };
  sb_error err;

  if (o == NULL)
    bench_die("out of memory");
  ours_open_backend(o, bench_path("%s", dir));
  ours_ok(sb_backend_keyed(o->backend, &options, &o->keyed, &err), &err);
  ours_open_states(o);
  o->side = (kinds_side){
    .arg = o,
    .value_put = ours_value_put,
    .value_get = ours_value_get,
    .list_put = ours_list_put,
    .list_add = ours_list_add,
    .list_add_all = ours_list_add_all,
    .list_get = ours_list_get,
    .list_iterate = ours_list_iterate,
    .list_settle = ours_settle,
    .map_put = ours_map_put,
    .map_put_all = ours_map_put_all,
    .map_get = ours_map_get,
    .map_is_empty = ours_map_is_empty,
    .map_entries = ours_map_entries,
    .map_remove = ours_map_remove,
    .reduce_add = ours_reduce_add,
    .close = ours_side_close,
  };
  return &o->side;
}
