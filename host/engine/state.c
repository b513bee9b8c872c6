/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a handle, and places: where a caller's key belongs among
 * them. A state's id in segments is the hash of its name, so that the parts
 * of sibling subtasks agree.
 */
#include "config.h"

#include "host/engine/keyed.h"

/* ---- states -------------------------------------------------------------- */

state *
keyed_state_find(keyed *k, sb_slice name)
{
  size_t i;

  for (i = 0; i < k->state_count; i++)
    if (slice_equal(k->states[i]->name, name))
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
  for (i = 0; s->groups != NULL && i < n; i++) {
    uint32_t j;

    for (j = 0; s->groups[i].slots != NULL && j <= s->groups[i].mask; j++)
      if (s->groups[i].slots[j] > TABLE_GONE)
        group_free(k->host, slot_entry(s->groups[i].slots[j]),
                   &k->record_bytes);
    table_free(k->host, &s->groups[i], &k->record_bytes);
  }
  for (i = 0; s->tables != NULL && i < n; i++)
    table_free(k->host, &s->tables[i], &k->record_bytes);
  engine_release(k->engine, before - k->record_bytes);
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
  uint32_t n = k->key_group_last - k->key_group_first + 1;
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
  if (s->subkeyed)
    s->groups = mem_zalloc(k->host, n * sizeof *s->groups);
  if (s->name.data == NULL || s->blob.data == NULL || s->tables == NULL ||
      (s->subkeyed && s->groups == NULL)) {
    keyed_state_free(k, s);
    return NULL;
  }
  return s;
}

sb_status
keyed_state_add(keyed *k, sb_slice name, sb_slice blob, uint32_t kind,
                uint32_t flags, uint32_t schema_version, state **out,
                sb_error *err)
{
  uint32_t id = XXH32(name.data, name.len, 0);
  const state *other = keyed_state_by_id(k, id);
  state *s;

  if (k->state_count == SB_STATES_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "cannot register state \"%.*s\": "
                        "%u states are the limit", (int)name.len,
                        (const char *)name.data, SB_STATES_MAX);
  if (other != NULL)
    return sb_error_set(err, SB_EXISTS, "cannot register state \"%.*s\": its "
                        "name hashes like that of \"%.*s\", choose another",
                        (int)name.len, (const char *)name.data,
                        (int)other->name.len, (const char *)other->name.data);
  s = state_new(k, name, blob, kind);
  if (s == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not register state \"%.*s\": no memory",
                        (int)name.len, (const char *)name.data);
  s->id = id;
  s->flags = flags;
  s->schema_version = schema_version;
  keyed_lock(k);
  s->index = (uint32_t)k->state_count;
  k->states[k->state_count++] = s;
  keyed_unlock(k);
  *out = s;
  return SB_OK;
}

static void
state_fill_info(const state *s, sb_state_info *info)
{
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  info->kind = s->kind;
  info->flags = s->flags;
  info->schema_version = s->schema_version;
  info->id = s->index;
  info->restored = s->restored;
  info->name = s->name;
  info->blob = s->restored_blob.data != NULL ? s->restored_blob : s->blob;
}

static sb_status
state_check(const sb_state_options *o, sb_error *err)
{
  int known = o->kind == SB_STATE_VALUE || o->kind == SB_STATE_LIST ||
              o->kind == SB_STATE_MAP || o->kind == SB_STATE_REDUCING ||
              o->kind == SB_STATE_AGGREGATING || o->kind == SB_STATE_TIMER;

  if (!known)
    return sb_error_set(err, SB_INVALID, "cannot register a state of kind %u",
                        (unsigned)o->kind);
  if (o->flags & ~SB_STATE_MOSTLY_HIT)
    return sb_error_set(err, SB_INVALID,
                        "cannot register a state with flags %#x",
                        (unsigned)o->flags);
  if (o->name.len == 0 || o->name.len > SB_STATE_NAME_MAX)
    return sb_error_set(err, SB_INVALID, "cannot register a state with a name "
                        "of %zu bytes: 1 to %u are allowed", o->name.len,
                        SB_STATE_NAME_MAX);
  return SB_OK;
}

sb_status
keyed_register_state(sb_keyed *base, const sb_state_options *options,
                     sb_state_info *info, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  state *s;

  if (status == SB_OK)
    status = state_check(options, err);
  if (status != SB_OK)
    return status;
  s = keyed_state_find(k, options->name);
  if (s != NULL && s->kind != options->kind)
    return sb_error_set(err, SB_MISMATCH, "cannot use state \"%.*s\" as kind "
                        "%u: it is of kind %u", (int)options->name.len,
                        (const char *)options->name.data,
                        (unsigned)options->kind, (unsigned)s->kind);
  if (s == NULL)
    status = keyed_state_add(k, options->name, options->blob, options->kind,
                             options->flags, options->schema_version, &s, err);
  if (status != SB_OK)
    return status;
  state_fill_info(s, info);
  if (!s->registered && s->restored) {
    void *blob = mem_dup(k->host, options->blob.data, options->blob.len);

    if (blob == NULL)
      return sb_error_set(err, SB_NO_MEMORY,
                          "could not register a state: no memory");
    /* From now on what the caller writes is of his schema. */
    keyed_lock(k);
    s->restored_blob = s->blob;
    s->blob = sb_slice_of(blob, options->blob.len);
    s->flags = options->flags;
    s->schema_version = options->schema_version;
    keyed_unlock(k);
  }
  s->registered = 1;
  return SB_OK;
}

/* ---- places -------------------------------------------------------------- */

static void
place_ids(place *p)
{
  uint64_t key_hash = record_hash(p->key.key);

  p->key.hash = p->state->ordered ? 0 : key_hash;
  p->group_id = record_group_id(p->state->id, p->key.ns, key_hash);
  p->id = record_id(p->group_id, p->key.subkey);
}

static sb_status
place_check(const keyed *k, const sb_key *key, const state *s, sb_error *err)
{
  if (key->key_group < k->key_group_first ||
      key->key_group > k->key_group_last)
    return sb_error_set(err, SB_INVALID, "key group %u is not in this "
                        "handle's range %u to %u", (unsigned)key->key_group,
                        (unsigned)k->key_group_first,
                        (unsigned)k->key_group_last);
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
  if (s->ordered && key->ns.len != 0)
    return sb_error_set(err, SB_INVALID, "timer state \"%.*s\" has no "
                        "namespaces", (int)s->name.len,
                        (const char *)s->name.data);
  return SB_OK;
}

sb_status
keyed_check_key(const keyed *k, const sb_key *key, sb_error *err)
{
  if (key->state >= k->state_count)
    return sb_error_set(err, SB_INVALID, "there is no state %u",
                        (unsigned)key->state);
  return place_check(k, key, k->states[key->state], err);
}

void
keyed_place_key(keyed *k, const sb_key *key, place *p)
{
  p->state = k->states[key->state];
  p->table = key->key_group - k->key_group_first;
  p->key.state = p->state->id;
  p->key.key_group = (uint16_t)key->key_group;
  p->key.flags = p->state->ordered ? RECORD_ORDERED : 0;
  p->key.key = key->key;
  p->key.ns = key->ns;
  p->key.subkey = key->subkey;
  p->key.value = sb_slice_of(NULL, 0);
  p->key.expires_ms = 0;
  place_ids(p);
}

sb_status
keyed_place(keyed *k, const sb_key *key, place *p, sb_error *err)
{
  sb_status status = keyed_check_key(k, key, err);

  if (status == SB_OK)
    keyed_place_key(k, key, p);
  return status;
}

void
keyed_place_record(keyed *k, state *s, const record *r, place *p)
{
  p->state = s;
  p->table = r->key_group - k->key_group_first;
  p->key = *r;
  p->key.flags = s->ordered ? RECORD_ORDERED : 0;
  place_ids(p);
}
