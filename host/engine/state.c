/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a handle, and places: where a caller's key belongs among
 * them. A state's id in segments is the hash of its name, so that the parts
 * of sibling subtasks agree.
 */
#include "config.h"

#include <stddef.h>

#include "host/base/slice.h"
#include "host/engine/space.h"
#include "host/engine/manifest.h"
#include "host/engine/migrate.h"

/* ---- states -------------------------------------------------------------- */

state *
keyed_state_find(keyed *k, sb_slice name)
{
  size_t i;

  for (i = 0; i < k->state_count; i++)
    if (k->states[i]->dropped_epoch == 0 &&
        slice_equal(k->states[i]->name, name))
      return k->states[i];
  return NULL;
}

state *
keyed_state_by_id(keyed *k, uint32_t id)
{
  size_t i;

  for (i = 0; i < k->state_count; i++)
    if (k->states[i]->id == id)
      return k->states[i];
  return NULL;
}

void
keyed_state_free(keyed *k, state *s)
{
  uint32_t i, n = k->key_group_last - k->key_group_first + 1;
  size_t before = k->record_bytes;

  if (s == NULL)
    return;
  if (s->migrate_free != NULL)
    s->migrate_free(s->migrate_arg);
  for (i = 0; s->groups != NULL && i < n; i++) {
    uint32_t j;

    for (j = 0; s->groups[i].slots != NULL && j <= s->groups[i].mask; j++)
      if (s->groups[i].slots[j] > TABLE_GONE &&
          slot_lone(s->groups[i].slots[j]) == NULL)
        group_free(k->host, slot_entry(s->groups[i].slots[j]),
                   &k->record_bytes);
    table_free(k->host, &s->groups[i], &k->record_bytes);
  }
  for (i = 0; s->tables != NULL && i < n; i++)
    table_free(k->host, &s->tables[i], &k->record_bytes);
  engine_release(k->engine, before - k->record_bytes);
  space_free_all(k, s);
  mem_free(k->host, s->groups);
  mem_free(k->host, s->tables);
  mem_free(k->host, (void *)(uintptr_t)s->name.data);
  mem_free(k->host, (void *)(uintptr_t)s->blob.data);
  mem_free(k->host, (void *)(uintptr_t)s->restored_blob.data);
  mem_free(k->host, s);
}

static state *
state_new(keyed *k, sb_slice name, sb_slice blob, uint32_t kind)
{
  uint32_t n = k->key_group_last - k->key_group_first + 1, i;
  state *s = mem_zalloc(k->host, sizeof *s);

  if (s == NULL)
    return NULL;
  s->kind = kind;
  s->ordered = kind == SB_STATE_TIMER;
  s->subkeyed = kind == SB_STATE_LIST || kind == SB_STATE_MAP;
  s->name.data = mem_dup(k->host, name.data, name.len);
  s->name.len = name.len;
  s->blob.data = mem_dup(k->host, blob.data, blob.len);
  s->blob.len = blob.len;
  s->tables = mem_zalloc(k->host, n * sizeof *s->tables);
  for (i = 0; s->tables != NULL && i < n; i++)
    s->tables[i].ordered = s->ordered;
  if (s->subkeyed)
    s->groups = mem_zalloc(k->host, n * sizeof *s->groups);
  for (i = 0; s->groups != NULL && i < n; i++)
    s->groups[i].lists = kind == SB_STATE_LIST;
  if (s->name.data == NULL || s->blob.data == NULL || s->tables == NULL ||
      (s->subkeyed && s->groups == NULL)) {
    keyed_state_free(k, s);
    return NULL;
  }
  return s;
}

/* The id of a new state. A name whose states were dropped gets another each
   time, and the same one in every subtask that does the same. */
static sb_status
state_choose_id(keyed *k, sb_slice name, uint32_t *id, sb_error *err)
{
  uint32_t seed = 0;
  const state *other;

  for (;;) {
    *id = XXH32(name.data, name.len, seed);
    other = keyed_state_by_id(k, *id);
    if (other == NULL)
      return SB_OK;
    if (!slice_equal(other->name, name))
      return sb_error_set(err, SB_EXISTS, "cannot register state \"%.*s\": "
                          "its name hashes like that of \"%.*s\", choose "
                          "another", (int)name.len, (const char *)name.data,
                          (int)other->name.len,
                          (const char *)other->name.data);
    seed++;
  }
}

/* `from` says everything but the id. */
static sb_status
state_add(keyed *k, const manifest_state *from, uint32_t id, state **out,
          sb_error *err)
{
  uint32_t n = k->key_group_last - k->key_group_first + 1, i;
  state *s;

  if (k->state_count == SB_STATES_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "cannot register state \"%.*s\": "
                        "%u states, dropped ones included, are the limit",
                        (int)from->name.len, (const char *)from->name.data,
                        SB_STATES_MAX);
  s = state_new(k, from->name, from->blob, from->kind);
  if (s == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not register state \"%.*s\": no memory",
                        (int)from->name.len, (const char *)from->name.data);
  s->id = id;
  for (i = 0; s->groups != NULL && i < n; i++)
    s->groups[i].list_state = id;
  s->flags = from->flags & ~MANIFEST_STATE_DROPPED;
  s->schema_version = from->schema_version;
  s->time_kind = from->time_kind;
  s->time_offset = from->time_offset;
  s->ttl_ms = from->ttl_ms;
  keyed_lock(k);
  s->index = (uint32_t)k->state_count;
  k->states[k->state_count++] = s;
  keyed_unlock(k);
  *out = s;
  return SB_OK;
}

/* ---- manifests ----------------------------------------------------------- */

static sb_status
state_restore_again(state *s, const manifest_state *ms, sb_error *err)
{
  int dropped = (ms->flags & MANIFEST_STATE_DROPPED) != 0;

  if (!slice_equal(s->name, ms->name))
    return sb_error_set(err, SB_CORRUPT, "cannot restore state \"%.*s\": two "
                        "parts give its number to different names",
                        (int)ms->name.len, (const char *)ms->name.data);
  if (s->kind != ms->kind)
    return sb_error_set(err, SB_MISMATCH, "cannot restore state \"%.*s\": two "
                        "parts have it with kinds %u and %u",
                        (int)ms->name.len, (const char *)ms->name.data,
                        (unsigned)s->kind, (unsigned)ms->kind);
  if ((s->dropped_epoch != 0) != dropped)
    return sb_error_set(err, SB_MISMATCH, "cannot restore state \"%.*s\": one "
                        "part has dropped it and another has not",
                        (int)ms->name.len, (const char *)ms->name.data);
  if (ms->schema_version > s->schema_version)
    s->schema_version = s->restored_version = ms->schema_version;
  return SB_OK;
}

sb_status
keyed_state_restore(keyed *k, const manifest_state *ms, sb_error *err)
{
  state *s = keyed_state_by_id(k, ms->id);
  const state *other;
  sb_status status;

  if (s != NULL)
    return state_restore_again(s, ms, err);
  other = ms->flags & MANIFEST_STATE_DROPPED ? NULL
                                             : keyed_state_find(k, ms->name);
  if (other != NULL)
    return sb_error_set(err, SB_MISMATCH, "cannot restore state \"%.*s\": one "
                        "part has dropped it and begun anew, another has not",
                        (int)ms->name.len, (const char *)ms->name.data);
  status = state_add(k, ms, ms->id, &s, err);
  if (status != SB_OK)
    return status;
  s->restored = 1;
  s->restored_version = s->schema_version;
  if (ms->flags & MANIFEST_STATE_DROPPED)
    s->dropped_epoch = 1;
  return SB_OK;
}

int
keyed_state_in_cut(const state *s, uint64_t epoch, manifest_state *out)
{
  if (s->added_epoch > epoch)
    return 0;
  out->name = s->name;
  out->id = s->id;
  out->kind = s->kind;
  out->flags = s->flags;
  if (s->dropped_epoch != 0 && s->dropped_epoch <= epoch)
    out->flags |= MANIFEST_STATE_DROPPED;
  out->schema_version = s->schema_version;
  out->blob = s->blob;
  out->time_kind = s->time_kind;
  out->time_offset = s->time_offset;
  out->ttl_ms = s->ttl_ms;
  return 1;
}

/* ---- asking -------------------------------------------------------------- */

/* As much as the caller's struct has; `size` 0 stands for all. */
static void
state_fill_info(const state *s, uint32_t size, sb_state_info *info)
{
  sb_state_info all;

  if (size == 0 || size > sizeof all)
    size = sizeof all;
  memset(&all, 0, sizeof all);
  all.struct_size = size;
  all.kind = s->kind;
  all.flags = s->flags;
  all.schema_version = s->schema_version;
  all.id = s->index;
  all.restored = s->restored;
  all.name = s->name;
  all.blob = s->restored_blob.data != NULL ? s->restored_blob : s->blob;
  all.restored_version = s->restored ? s->restored_version
                                     : s->schema_version;
  all.registered = s->registered;
  all.time_kind = s->time_kind;
  all.time_offset = s->time_offset;
  all.ttl_ms = s->ttl_ms;
  memcpy(info, &all, size);
}

sb_status
keyed_find_state(sb_keyed *base, sb_slice name, sb_state_info *info,
                 sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = slice_check(name, "the name of a state", err);
  const state *s;

  if (status != SB_OK)
    return status;
  s = keyed_state_find(k, name);
  if (s == NULL)
    return sb_error_set(err, SB_NOT_FOUND, "there is no state \"%.*s\"",
                        (int)name.len, (const char *)name.data);
  state_fill_info(s, info->struct_size, info);
  return SB_OK;
}

sb_status
keyed_state_at(sb_keyed *base, uint32_t index, sb_state_info *info,
               sb_error *err)
{
  keyed *k = (keyed *)base;

  if (index >= k->state_count)
    return SB_END;
  if (k->states[index]->dropped_epoch != 0)
    return sb_error_set(err, SB_NOT_FOUND, "state %u was dropped",
                        (unsigned)index);
  state_fill_info(k->states[index], info->struct_size, info);
  return SB_OK;
}

/* ---- registering --------------------------------------------------------- */

/* Before time_kind there was an end; info ended before restored_version. */
#define STATE_OPTIONS_FIRST offsetof(sb_state_options, time_kind)
#define STATE_INFO_FIRST offsetof(sb_state_info, restored_version)

static sb_status
state_check_time(const sb_state_options *o, sb_error *err)
{
  if (o->time_kind != SB_TIME_EXPIRY && o->time_kind != SB_TIME_STAMP &&
      o->time_kind != SB_TIME_VALUE)
    return sb_error_set(err, SB_INVALID, "cannot register a state whose times "
                        "are of kind %u", (unsigned)o->time_kind);
  if (o->ttl_ms > INT64_MAX)
    return sb_error_set(err, SB_INVALID, "cannot register a state with a time "
                        "to live of %llu ms: the limit is %llu",
                        (unsigned long long)o->ttl_ms,
                        (unsigned long long)INT64_MAX);
  if (o->time_kind == SB_TIME_VALUE && o->time_offset > SB_VALUE_MAX)
    return sb_error_set(err, SB_INVALID, "cannot register a state whose "
                        "values have a time at %u: values end before",
                        (unsigned)o->time_offset);
  return SB_OK;
}

static sb_status
state_check_bytes(const sb_state_options *o, sb_error *err)
{
  sb_status status = slice_check(o->name, "the name of a state", err);

  return status != SB_OK ? status
                         : slice_check(o->blob, "the blob of a state", err);
}

static sb_status
state_check(const keyed *k, const sb_state_options *o, sb_error *err)
{
  int known = o->kind == SB_STATE_VALUE || o->kind == SB_STATE_LIST ||
              o->kind == SB_STATE_MAP || o->kind == SB_STATE_REDUCING ||
              o->kind == SB_STATE_AGGREGATING || o->kind == SB_STATE_TIMER;

  if (!known)
    return sb_error_set(err, SB_INVALID, "cannot register a state of kind %u",
                        (unsigned)o->kind);
  if (o->flags & ~(SB_STATE_MOSTLY_HIT | SB_STATE_EVENT_TIME |
                   SB_STATE_SHOW_EXPIRED | SB_STATE_MIGRATE_NOW))
    return sb_error_set(err, SB_INVALID,
                        "cannot register a state with flags %#x",
                        (unsigned)o->flags);
  if (o->name.len == 0 || o->name.len > SB_STATE_NAME_MAX)
    return sb_error_set(err, SB_INVALID, "cannot register a state with a name "
                        "of %zu bytes: 1 to %u are allowed", o->name.len,
                        SB_STATE_NAME_MAX);
  if ((o->flags & SB_STATE_MIGRATE_NOW) &&
      (o->migrate == NULL || (k->flags & SB_OPEN_READ_ONLY)))
    return sb_error_set(err, SB_INVALID, "cannot migrate state \"%.*s\" at "
                        "once: %s", (int)o->name.len,
                        (const char *)o->name.data,
                        o->migrate == NULL ? "there is no callback"
                                           : "the handle is read-only");
  return state_check_time(o, err);
}

/* May a known state be registered so? */
static sb_status
state_check_known(const state *s, const sb_state_options *o, sb_error *err)
{
  if (s->kind != o->kind)
    return sb_error_set(err, SB_MISMATCH, "cannot use state \"%.*s\" as kind "
                        "%u: it is of kind %u", (int)o->name.len,
                        (const char *)o->name.data, (unsigned)o->kind,
                        (unsigned)s->kind);
  if (s->registered && s->schema_version != o->schema_version)
    return sb_error_set(err, SB_MISMATCH, "cannot register state \"%.*s\" "
                        "with schema version %u: this handle has it with %u",
                        (int)o->name.len, (const char *)o->name.data,
                        (unsigned)o->schema_version,
                        (unsigned)s->schema_version);
  if (o->schema_version < s->schema_version)
    return sb_error_set(err, SB_MISMATCH, "cannot register state \"%.*s\" "
                        "with schema version %u: its checkpoint has %u, and "
                        "versions only grow", (int)o->name.len,
                        (const char *)o->name.data,
                        (unsigned)o->schema_version,
                        (unsigned)s->schema_version);
  return SB_OK;
}

static sb_status
state_register_new(keyed *k, const sb_state_options *o, state **out,
                   sb_error *err)
{
  manifest_state from = { .name = o->name, .kind = o->kind, .blob = o->blob,
                          .schema_version = o->schema_version };
  uint32_t id;
  sb_status status = state_choose_id(k, o->name, &id, err);

  if (status == SB_OK)
    status = state_add(k, &from, id, out, err);
  if (status == SB_OK)
    (*out)->added_epoch = k->epoch;
  return status;
}

/* From now on what the caller writes is of his schema, and what he says about
   time holds for all records. */
static sb_status
state_apply(keyed *k, state *s, const sb_state_options *o, int *taken,
            sb_error *err)
{
  void *blob = NULL;
  int keep = s->restored && !s->registered;

  if (keep)
    blob = mem_dup(k->host, o->blob.data, o->blob.len);
  if (keep && blob == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not register a state: no memory");
  keyed_lock(k);
  if (keep) {
    s->restored_blob = s->blob;
    s->blob = sb_slice_of(blob, o->blob.len);
  }
  s->flags = o->flags & ~SB_STATE_MIGRATE_NOW;
  s->schema_version = o->schema_version;
  s->time_kind = o->time_kind;
  s->time_offset = o->time_kind == SB_TIME_VALUE ? o->time_offset : 0;
  s->ttl_ms = o->ttl_ms;
  if (s->migrate_free == NULL) {
    if ((s->migrate != NULL) != (o->migrate != NULL))
      atomic_fetch_add(&k->migrating, o->migrate != NULL ? 1u : UINT32_MAX);
    s->migrate = o->migrate;
    s->migrate_arg = o->migrate_arg;
    s->migrate_free = o->migrate_free;
    *taken = 1;
  }
  s->registered = 1;
  migrate_forget_stale(k);
  keyed_unlock(k);
  return SB_OK;
}

sb_status
keyed_register_state(sb_keyed *base, const sb_state_options *options,
                     sb_state_info *info, sb_error *err)
{
  keyed *k = (keyed *)base;
  uint32_t size = options->struct_size;
  sb_status status = keyed_enter(k, err);
  sb_state_options o;
  int taken = 0;
  state *s = NULL;

  memset(&o, 0, sizeof o);
  memcpy(&o, options, size < sizeof o ? size : sizeof o);
  if (status == SB_OK)
    status = state_check_bytes(&o, err);
  if (status == SB_OK)
    status = state_check(k, &o, err);
  if (status == SB_OK) {
    s = keyed_state_find(k, o.name);
    status = s != NULL ? state_check_known(s, &o, err)
                       : state_register_new(k, &o, &s, err);
  }
  if (status == SB_OK)
    status = state_apply(k, s, &o, &taken, err);
  if (!taken && o.migrate_free != NULL)
    o.migrate_free(o.migrate_arg);
  if (status == SB_OK && (o.flags & SB_STATE_MIGRATE_NOW))
    status = migrate_state_now(k, s, err);
  if (status == SB_OK)
    state_fill_info(s, size <= STATE_OPTIONS_FIRST ? STATE_INFO_FIRST : 0,
                    info);
  return status;
}

/* ---- dropping, time ------------------------------------------------------ */

/* Its cells and records stay where they are until flushes and compactions pass
   them by: that is what makes it quick. */
sb_status
keyed_drop_state(sb_keyed *base, uint32_t index, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);

  if (status == SB_OK && k->async != NULL)
    status = async_settle(k, NULL, err);
  if (status != SB_OK)
    return status;
  if (k->flags & SB_OPEN_READ_ONLY)
    return sb_error_set(err, SB_INVALID, "cannot drop a state: the handle was "
                        "opened read-only");
  if (index >= k->state_count || k->states[index]->dropped_epoch != 0)
    return sb_error_set(err, SB_INVALID, "there is no state %u",
                        (unsigned)index);
  keyed_lock(k);
  k->states[index]->dropped_epoch = k->epoch;
  keyed_unlock(k);
  return SB_OK;
}

sb_status
keyed_advance_time(sb_keyed *base, uint64_t time_ms, sb_error *err)
{
  keyed *k = (keyed *)base;

  (void)err;
  if (time_ms > atomic_load_explicit(&k->event_time_ms, memory_order_relaxed))
    atomic_store(&k->event_time_ms, time_ms);
  return SB_OK;
}

/* ---- places -------------------------------------------------------------- */

static inline void
place_ids(place *p)
{
  uint64_t key_hash = record_hash(p->key.key);

  p->key.hash = p->state->ordered ? 0 : key_hash;
  p->group_id = record_group_id(p->state->id, p->key.ns, key_hash);
  p->id = record_id(p->group_id, p->key.subkey);
}

/* Has one of its slices a length and no bytes? */
static inline int
key_is_bad(const sb_key *key)
{
  return slice_bad(key->key) || slice_bad(key->ns) || slice_bad(key->subkey);
}

static sb_status
key_refuse(const sb_key *key, sb_error *err)
{
  if (slice_bad(key->key))
    return slice_refuse(key->key, "the key", err);
  if (slice_bad(key->ns))
    return slice_refuse(key->ns, "the namespace", err);
  return slice_refuse(key->subkey, "the subkey", err);
}

/* Says what is wrong with a key of the state. */
static __attribute__((noinline)) sb_status
place_refuse(const keyed *k, const sb_key *key, const state *s, sb_error *err)
{
  if (key->key_group < k->key_group_first ||
      key->key_group > k->key_group_last)
    return sb_error_set(err, SB_INVALID, "key group %u is not in this "
                        "handle's range %u to %u", (unsigned)key->key_group,
                        (unsigned)k->key_group_first,
                        (unsigned)k->key_group_last);
  if (key_is_bad(key))
    return key_refuse(key, err);
  if (key->key.len > SB_KEY_MAX || key->ns.len > SB_NAMESPACE_MAX ||
      key->subkey.len > SB_SUBKEY_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "a key of %zu, namespace of %zu "
                        "and subkey of %zu bytes: the limit is %u each",
                        key->key.len, key->ns.len, key->subkey.len,
                        SB_KEY_MAX);
  if (key->subkey.len != 0 && s->kind != SB_STATE_MAP)
    return sb_error_set(err, SB_INVALID, "state \"%.*s\" is no map, it has no "
                        "subkeys", (int)s->name.len,
                        (const char *)s->name.data);
  return sb_error_set(err, SB_INVALID, "timer state \"%.*s\" has no "
                      "namespaces", (int)s->name.len,
                      (const char *)s->name.data);
}

static inline sb_status
place_check(const keyed *k, const sb_key *key, uint64_t epoch, sb_error *err)
{
  const state *s;

  if (!keyed_has_state(k, key->state, epoch))
    return sb_error_set(err, SB_INVALID, "there is no state %u",
                        (unsigned)key->state);
  s = k->states[key->state];
  if (key->key_group - k->key_group_first >
        k->key_group_last - k->key_group_first ||
      (key->key.len | key->ns.len | key->subkey.len) > SB_KEY_MAX ||
      slice_bad(key->key) ||
      (key->subkey.len != 0 &&
       (key->subkey.data == NULL || s->kind != SB_STATE_MAP)) ||
      (key->ns.len != 0 && (key->ns.data == NULL || s->ordered)))
    return place_refuse(k, key, s, err);
  return SB_OK;
}

sb_status
keyed_check_key_at(const keyed *k, const sb_key *key, uint64_t epoch,
                   sb_error *err)
{
  return place_check(k, key, epoch, err);
}

sb_status
keyed_check_key(const keyed *k, const sb_key *key, sb_error *err)
{
  return place_check(k, key, UINT64_MAX, err);
}

sb_status
keyed_check_writable(const keyed *k, const state *s, sb_error *err)
{
  if (k->flags & SB_OPEN_READ_ONLY)
    return sb_error_set(err, SB_INVALID, "cannot write: the handle was opened "
                        "read-only");
  if (s->dropped_epoch != 0 || !s->registered)
    return sb_error_set(err, SB_INVALID, "cannot write to state \"%.*s\": it "
                        "%s", (int)s->name.len, (const char *)s->name.data,
                        s->registered ? "was dropped"
                                      : "has not been registered");
  return SB_OK;
}

static inline void
place_key(const keyed *k, const sb_key *key, place *p)
{
  p->state = k->states[key->state];
  p->table = key->key_group - k->key_group_first;
  p->key.state = p->state->id;
  p->key.key_group = (uint16_t)key->key_group;
  p->key.flags = p->state->ordered ? RECORD_ORDERED : 0;
  slice_copy(&p->key.key, &key->key);
  slice_copy(&p->key.ns, &key->ns);
  slice_copy(&p->key.subkey, &key->subkey);
  p->key.value = sb_slice_of(NULL, 0);
  p->key.expires_ms = 0;
  place_ids(p);
}

void
keyed_place_key(keyed *k, const sb_key *key, place *p)
{
  place_key(k, key, p);
}

sb_status
keyed_place(keyed *k, const sb_key *key, place *p, sb_error *err)
{
  sb_status status = place_check(k, key, UINT64_MAX, err);

  if (status == SB_OK)
    place_key(k, key, p);
  return status;
}

#define PREFETCH_MAX 64u /* bytes of a key: to hash more takes longer than the
                            fetch */

void
keyed_prefetch(sb_keyed *base, const sb_key *key)
{
  const keyed *k = (const keyed *)base;
  uint32_t t = key->key_group - k->key_group_first;
  const state *s;
  uint64_t id;

  if (key->state >= k->state_count || key->key.len > PREFETCH_MAX ||
      t > k->key_group_last - k->key_group_first || key_is_bad(key))
    return;
  s = k->states[key->state];
  id = record_group_id(s->id, key->ns, record_hash(key->key));
  if (!s->subkeyed)
    table_prefetch(&s->tables[t], record_id(id, key->subkey));
  else
    table_prefetch(&s->groups[t], id);
}

void
keyed_place_record(keyed *k, state *s, const record *r, place *p)
{
  p->state = s;
  p->table = r->key_group - k->key_group_first;
  record_copy(&p->key, r);
  p->key.flags = s->ordered ? RECORD_ORDERED : 0;
  place_ids(p);
}
