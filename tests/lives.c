/* SPDX-License-Identifier: Apache-2.0 */
/* See lives.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/engine/manifest.h"
#include "host/engine/names.h"
#include "host/store/store.h"
#include "tests/lives.h"
#include "tests/tap.h"

life_key model[LIFE_KEYS];
life_subtask subtasks[LIFE_SUBTASKS];
uint32_t count;
char directory[64];
sb_config *config;
sb_backend *backend;
sb_coordinator *coordinator;
const sb_checkpoint *restored;
sb_error err;
static uint64_t random_state;
uint32_t serial;    /* of values, jobs and savepoints */
char own_path[32], own_id[32];

uint32_t
below(uint32_t n)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 32) % n;
}

int
good(sb_status status)
{
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  CU_ASSERT_FATAL(status == SB_OK);
  return 1;
}

/* ---- keys --------------------------------------------------------------- */

static sb_key
key_of(uint32_t k, char *text)
{
  sb_key key = { 0 };

  key.key = sb_slice_of(text, (size_t)snprintf(text, 16, "key-%u", k));
  key.key_group = sb_key_group(sb_hash_bytes(key.key), LIFE_GROUPS);
  return key;
}

static life_subtask *
owner_of(const sb_key *key)
{
  uint32_t i = 0;

  while (subtasks[i].last < key->key_group)
    i++;
  return &subtasks[i];
}

static sb_slice
number(const uint32_t *v)
{
  return sb_slice_of(v, sizeof *v);
}

/* ---- one change --------------------------------------------------------- */

static void
change_value(life_subtask *s, sb_key *key, life_key *m)
{
  uint32_t v = ++serial;

  key->state = s->value;
  if (below(4) == 0) {
    good(s->keyed->ops->remove(s->keyed, key, &err));
    m->value = 0;
    return;
  }
  good(s->keyed->ops->put(s->keyed, key, number(&v), 0, &err));
  m->value = v;
}

static void
change_list(life_subtask *s, sb_key *key, life_key *m)
{
  uint32_t v = ++serial;

  key->state = s->list;
  if (m->element_count == LIFE_ELEMENTS || below(8) == 0) {
    good(s->keyed->ops->clear(s->keyed, key, &err));
    m->element_count = 0;
    return;
  }
  good(s->keyed->ops->append(s->keyed, key, number(&v), 0, &err));
  m->elements[m->element_count++] = v;
}

static void
change_map(life_subtask *s, sb_key *key, life_key *m)
{
  uint32_t i = below(LIFE_SUBKEYS), v = ++serial;

  key->state = s->map;
  key->subkey = sb_slice_of(&"abcdefgh"[i], 1);
  if (below(12) == 0) {
    good(s->keyed->ops->clear(s->keyed, key, &err));
    memset(m->entries, 0, sizeof m->entries);
  } else if (below(4) == 0) {
    good(s->keyed->ops->remove(s->keyed, key, &err));
    m->entries[i] = 0;
  } else {
    good(s->keyed->ops->put(s->keyed, key, number(&v), 0, &err));
    m->entries[i] = v;
  }
}

void
life_change(uint32_t changes)
{
  char text[16];

  while (changes-- != 0) {
    uint32_t k = below(LIFE_KEYS);
    sb_key key = key_of(k, text);
    life_subtask *s = owner_of(&key);

    switch (below(3)) {
    case 0:
      change_value(s, &key, &model[k]);
      break;
    case 1:
      change_list(s, &key, &model[k]);
      break;
    default:
      change_map(s, &key, &model[k]);
    }
  }
}

/* ---- comparing ---------------------------------------------------------- */

static uint32_t
read_number(life_subtask *s, const sb_key *key)
{
  sb_slice got;
  uint32_t v = 0;
  sb_status status = s->keyed->ops->get(s->keyed, key, &got, &err);

  if (status == SB_NOT_FOUND)
    return 0;
  good(status);
  CU_ASSERT_FATAL(got.len == sizeof v);
  memcpy(&v, got.data, sizeof v);
  return v;
}

static int
same_list(life_subtask *s, const sb_key *key, const life_key *m)
{
  uint32_t i, pair[2];
  sb_slice got;
  sb_status status = s->keyed->ops->get(s->keyed, key, &got, &err);

  if (status == SB_NOT_FOUND)
    return m->element_count == 0;
  good(status);
  if (got.len != m->element_count * sizeof pair)
    return 0;
  for (i = 0; i < m->element_count; i++) {
    memcpy(pair, (const char *)got.data + i * sizeof pair, sizeof pair);
    if (pair[0] != 4 || pair[1] != m->elements[i])
      return 0;
  }
  return 1;
}

void
life_compare(const char *when)
{
  unsigned wrong = 0;
  char text[16];
  uint32_t k, i;

  for (k = 0; k < LIFE_KEYS; k++) {
    sb_key key = key_of(k, text);
    life_subtask *s = owner_of(&key);

    key.state = s->value;
    wrong += read_number(s, &key) != model[k].value;
    key.state = s->list;
    wrong += !same_list(s, &key, &model[k]);
    key.state = s->map;
    for (i = 0; i < LIFE_SUBKEYS; i++) {
      key.subkey = sb_slice_of(&"abcdefgh"[i], 1);
      wrong += read_number(s, &key) != model[k].entries[i];
    }
  }
  CU_ASSERT_EQUAL(wrong, 0);
  if (wrong != 0)
    tap_note("%u differences %s", wrong, when);
}

/* ---- a life ------------------------------------------------------------- */

static uint32_t
add_state(sb_keyed *keyed, const char *name, uint32_t kind)
{
  sb_state_options options = { .struct_size = sizeof options, .kind = kind };
  sb_state_info info = { .struct_size = sizeof info };

  options.name = sb_slice_of(name, strlen(name));
  good(keyed->ops->register_state(keyed, &options, &info, &err));
  return info.id;
}

static void
open_handle(uint32_t i, int canonical)
{
  sb_keyed_options options = { .struct_size = sizeof options,
                               .job = own_path, .operator_id = "op",
                               .key_group_count = LIFE_GROUPS };
  life_subtask *s = &subtasks[i];

  options.subtask = i;
  options.key_group_first = s->first;
  options.key_group_last = s->last;
  options.generation = sb_coordinator_generation(coordinator);
  if (restored != NULL && !canonical) {
    options.parts = restored->parts;
    options.part_count = restored->info.part_count;
  }
  good(backend->ops->open_keyed(backend, &options, &s->keyed, &err));
  s->value = add_state(s->keyed, "value", SB_STATE_VALUE);
  s->list = add_state(s->keyed, "list", SB_STATE_LIST);
  s->map = add_state(s->keyed, "map", SB_STATE_MAP);
  if (canonical)
    good(sb_canonical_restore_parts(backend, sb_host_default(), s->keyed,
                                    restored->parts, restored->info.part_count,
                                    NULL, NULL, NULL, &err));
}

/* Random bounds; each life_subtask has one key group at least. */
static void
cut_ranges(void)
{
  uint32_t i, left = LIFE_GROUPS, first = 0;

  for (i = 0; i < count; i++) {
    uint32_t rest = count - i - 1;
    uint32_t width = rest == 0 ? left : 1 + below(left - rest);

    if (below(2) == 0 && rest != 0)
      width = left / (rest + 1);
    subtasks[i].first = first;
    subtasks[i].last = first + width - 1;
    first += width;
    left -= width;
  }
}

void
life_open(uint32_t parallelism, const sb_coordinator_options *source)
{
  sb_coordinator_options options = { .struct_size = sizeof options };
  uint32_t i;
  int canonical;

  if (source != NULL)
    options = *source;
  options.subtasks = count = parallelism;
  options.job = own_path;
  options.job_id = own_id;
  good(sb_coordinator_open(backend, sb_host_default(), &options, &coordinator,
                           &restored, &err));
  canonical = restored != NULL && restored->info.part_count != 0 &&
              sb_canonical_is_part(&restored->parts[0]);
  cut_ranges();
  for (i = 0; i < count; i++)
    open_handle(i, canonical);
}

void
life_close(void)
{
  uint32_t i;

  sb_coordinator_close(coordinator);
  for (i = 0; i < count; i++)
    subtasks[i].keyed->ops->close(subtasks[i].keyed);
  coordinator = NULL;
}

sb_status
life_snapshot(uint32_t kind, const char *savepoint)
{
  sb_trigger_options options = { .struct_size = sizeof options, .kind = kind,
                                 .savepoint = savepoint,
                                 .blob = { "blob", 4 } };
  sb_status status;
  uint64_t id;
  uint32_t i;

  status = sb_coordinator_trigger_as(coordinator, &options, &id, &err);
  for (i = 0; i < count && status == SB_OK; i++)
    status = sb_coordinator_snapshot(coordinator, id, i, subtasks[i].keyed,
                                     &err);
  if (status == SB_OK)
    status = sb_coordinator_wait(coordinator, id, SB_NO_DEADLINE, &err);
  for (i = 0; i < count; i++)
    good(sb_coordinator_notify(coordinator, i, subtasks[i].keyed, NULL));
  return status;
}

/* ---- what is on the store ----------------------------------------------- */

static void
need_checkpoint(const sb_checkpoint *c, names *needed)
{
  uint32_t i;
  size_t j;

  names_add(needed, c->info.name, 0);
  for (i = 0; i < c->info.part_count; i++) {
    manifest *m;

    good(manifest_read(sb_host_default(), backend->ops->store(backend),
                       &c->parts[i], &m, &err));
    if (c->parts[i].name != NULL)
      names_add(needed, c->parts[i].name, 0);
    for (j = 0; j < m->segment_count; j++)
      names_add(needed, m->segments[j].name, 0);
    for (j = 0; j < m->held_count; j++)
      names_add(needed, m->held[j], 0);
    manifest_free(sb_host_default(), m);
  }
  names_sort(needed);
}

typedef struct census {
  names needed;
  size_t found, extra;
} census;

static sb_status
census_entry(void *arg, const sb_store_entry *entry, sb_error *e)
{
  census *c = arg;

  (void)e;
  if (strstr(entry->name, "/HEAD") != NULL ||
      strstr(entry->name, "/CLAIMED") != NULL)
    return SB_OK;
  if (names_has(&c->needed, entry->name)) {
    c->found++;
    return SB_OK;
  }
  tap_note("nobody needs %s", entry->name);
  c->extra++;
  return SB_OK;
}


void
life_check_objects(void)
{
  sb_takeover_options take = { .struct_size = sizeof take, .job = own_path,
                               .job_id = own_id, .retain = 1 };
  sb_gc_report report = { .struct_size = sizeof report };
  sb_checkpoint *c;
  census all = { .found = 0 };
  sb_job *job;

  good(backend->ops->takeover(backend, &take, &job, &err));
  good(backend->ops->gc(job, 0, &report, &err));
  good(backend->ops->checkpoint_open(backend, own_path, 0, 0, &c, &err));
  names_init(&all.needed, sb_host_default());
  need_checkpoint(c, &all.needed);
  good(store_list(sb_host_default(), backend->ops->store(backend), "", NULL,
                  census_entry, &all, &err));
  CU_ASSERT_EQUAL(all.extra, 0);
  CU_ASSERT_EQUAL(all.found, all.needed.count);
  names_dispose(&all.needed);
  backend->ops->checkpoint_close(backend, c);
  backend->ops->job_close(job);
}

void
life_next_job(void)
{
  serial++;
  (void)snprintf(own_path, sizeof own_path, "job-%u", serial);
  (void)snprintf(own_id, sizeof own_id, "id-%u", serial);
}

void
life_configure(void)
{
  strcpy(directory, "/tmp/sb-life-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(directory) != NULL);
  good(sb_config_new(&config, &err));
  life_set("state.backend", "local");
  life_set("state.backend.local.dir", directory);
  life_set("state.backend.local.sync", "false");
  life_set("state.backend.memory.size", "16mb");
}

void
life_set(const char *key, const char *value)
{
  good(sb_config_set(config, key, value, NULL, &err));
}

void
life_open_backend(void)
{
  good(sb_backend_open(config, NULL, &backend, &err));
}

void
life_begin(uint64_t seed)
{
  random_state = seed * 0x9E3779B97F4A7C15ull + 1;
  memset(model, 0, sizeof model);
  life_configure();
  life_open_backend();
  life_next_job();
  life_open(1, NULL);
}

void
life_finish(void)
{
  char command[80];

  life_close();
  sb_backend_close(backend);
  sb_config_free(config);
  (void)snprintf(command, sizeof command, "rm -rf %s", directory);
  CU_ASSERT_EQUAL(system(command), 0);
}

