/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synchronous calls of a keyed handle on one record. The table answers
 * when it can; else segments do, and what they give is kept as a clean cell.
 */
#include "config.h"

#include "host/base/slice.h"
#include "host/engine/front.h"

#define GET_KEEP_MAX ((size_t)1 << 20) /* of a buffer, between calls */
#define PUT_AHEAD 16u                  /* records looked for at once */

/* Once the marker is in segments they know it themselves. */
int
keyed_cleared_since(const place *p, uint64_t epoch)
{
  record marker = p->key;
  cell *c;

  if (p->state->ordered)
    return front_hides_since(p, epoch);
  if (!p->state->subkeyed)
    return 0;
  marker.subkey = sb_slice_of(NULL, 0);
  marker.flags |= RECORD_CLEAR;
  c = table_find(&p->state->tables[p->table], record_clear_id(p->group_id),
                 &marker);
  return c != NULL && c->epoch > (uint32_t)epoch;
}

int
keyed_is_cleared(keyed *k, const place *p)
{
  return keyed_cleared_since(p, k->clean_epoch);
}

static inline cell *
get_cell(const place *p)
{
  return table_find(&p->state->tables[p->table], p->id, &p->key);
}

/* keyed_peek, once the place's cell has been found. */
static inline sb_status
peek_cell(keyed *k, const place *p, cell *c, cell **found)
{
  size_t runs;

  *found = NULL;
  k->expired = NULL;
  if (c == NULL) {
    (void)version_runs(k->version, p->key.key_group, &runs);
    return runs == 0 || keyed_is_cleared(k, p) ? SB_NOT_FOUND : SB_BUSY;
  }
  c->referenced = 1;
  if (c->flags & CELL_TOMBSTONE)
    return SB_NOT_FOUND;
  if (keyed_expired(k, p->state, cell_expires(c))) {
    k->expired = c;
    return SB_NOT_FOUND;
  }
  *found = c;
  return SB_OK;
}

sb_status
keyed_peek(keyed *k, const place *p, cell **found)
{
  return peek_cell(k, p, get_cell(p), found);
}

/* The value of a record read from a segment: as a clean cell, else copied. */
sb_status
keyed_keep(keyed *k, const place *p, const record *r, sb_slice *value,
           cell **found, sb_error *err)
{
  /* Cells are of the schema that register_state has yet to tell. */
  *found = p->state->registered ? write_promote(k, p, r->value, r->expires_ms)
                                : NULL;
  if (*found != NULL) {
    *value = sb_slice_of(cell_value(*found), (*found)->value_len);
    return SB_OK;
  }
  buf_clear(&k->scratch);
  buf_add(&k->scratch, r->value.data, r->value.len);
  if (k->scratch.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not read a value of %zu bytes: no memory",
                        r->value.len);
  *value = sb_slice_of(k->scratch.data, k->scratch.len);
  return SB_OK;
}

/* keyed_read, of a place that memory does not know. */
static sb_status
read_segments(keyed *k, const place *p, sb_slice *value, uint64_t *expires_ms,
              cell **found, sb_error *err)
{
  reader_ctx ctx = { k, k->event, SB_PRIORITY_READ, NULL, NULL };
  cache_entry *pin;
  segment **runs;
  size_t count;
  sb_status status;
  record r;

  runs = version_runs(k->version, p->key.key_group, &count);
  status = reader_lookup(&ctx, runs, count, p, &r, &pin, err);
  if (status != SB_OK)
    return status;
  if (keyed_expired(k, p->state, r.expires_ms)) {
    status = SB_NOT_FOUND;
  } else {
    *expires_ms = r.expires_ms;
    status = keyed_keep(k, p, &r, value, found, err);
  }
  cache_unpin(k->engine->cache, pin);
  return status;
}

/* keyed_read, once the place's cell `c` has been found. */
static inline sb_status
read_cell(keyed *k, const place *p, cell *c, sb_slice *value,
          uint64_t *expires_ms, cell **found, sb_error *err)
{
  sb_status status = peek_cell(k, p, c, found);

  if (status == SB_BUSY)
    return read_segments(k, p, value, expires_ms, found, err);
  if (status == SB_OK) {
    keyed_count(&k->counters.record_hits, 1);
    *value = sb_slice_of(cell_value(*found), (*found)->value_len);
    *expires_ms = cell_expires(*found);
  }
  return status;
}

sb_status
keyed_read(keyed *k, const place *p, sb_slice *value, uint64_t *expires_ms,
           cell **found, sb_error *err)
{
  return read_cell(k, p, get_cell(p), value, expires_ms, found, err);
}

/* A buffer that one large value has blown up goes back. */
static void
get_trim(buf *b)
{
  size_t max = b->max;
  const sb_host *host = b->host;

  if (b->cap <= GET_KEEP_MAX)
    return;
  buf_dispose(b);
  buf_init(b, host, max);
}

static inline sb_status
get_enter(keyed *k, const sb_key *key, place *p, sb_error *err)
{
  sb_status status = keyed_enter(k, err);

  if ((k->scratch.cap | k->lent.cap | k->list.cap) > GET_KEEP_MAX) {
    get_trim(&k->scratch);
    get_trim(&k->lent);
    get_trim(&k->list);
  }
  if (status == SB_OK && k->async != NULL)
    status = async_settle(k, key, err);
  if (status == SB_OK)
    status = keyed_place(k, key, p, err);
  return status;
}

static inline sb_status
get_enter_write(keyed *k, const sb_key *key, place *p, sb_error *err)
{
  sb_status status = get_enter(k, key, p, err);

  if (status != SB_OK)
    return status;
  keyed_count(&k->counters.writes, 1);
  return keyed_check_writable(k, p->state, err);
}

/* A record that was found expired in memory makes room for the tombstone that
   it needs, if that takes no waiting: else it is left to compaction. */
static void
get_reclaim(keyed *k, const place *p)
{
  if (k->expired != NULL && chunk_has_room(k->dirty, cell_bytes(k->expired)) &&
      keyed_check_writable(k, p->state, NULL) == SB_OK)
    (void)write_remove(k, p, NULL);
  k->expired = NULL;
}

/* Kinds have calls of their own: mixing them would break the record layout. */
static sb_status
get_check_kind(const place *p, int list, sb_error *err)
{
  if ((p->state->kind == SB_STATE_LIST) == list)
    return SB_OK;
  return sb_error_set(err, SB_INVALID, "cannot %s state \"%.*s\": it %s a "
                      "list", list ? "append to" : "put into or update",
                      (int)p->state->name.len,
                      (const char *)p->state->name.data,
                      list ? "is not" : "is");
}

static inline int
get_fits(const keyed *k, size_t len)
{
  return len <= SB_VALUE_MAX && len <= k->engine->memory_limit / 4;
}

static __attribute__((noinline)) sb_status
get_refuse_value(const keyed *k, sb_slice value, sb_error *err)
{
  if (slice_bad(value))
    return slice_refuse(value, "the value", err);
  return sb_error_set(err, SB_TOO_LARGE, "cannot store a value of %zu bytes: "
                      "the limit is %zu, a quarter of the memory budget",
                      value.len, k->engine->memory_limit / 4);
}

static inline sb_status
get_check_value(const keyed *k, sb_slice value, sb_error *err)
{
  return get_fits(k, value.len) && !slice_bad(value)
           ? SB_OK
           : get_refuse_value(k, value, err);
}

sb_status
keyed_check_value(const keyed *k, sb_slice value, sb_error *err)
{
  return get_check_value(k, value, err);
}

sb_status
keyed_get(sb_keyed *base, const sb_key *key, sb_slice *value, sb_error *err)
{
  keyed *k = (keyed *)base;
  uint64_t expires_ms;
  sb_status status;
  cell *found;
  place p;

  keyed_count(&k->counters.reads, 1);
  status = get_enter(k, key, &p, err);
  if (status != SB_OK)
    return status;
  if (p.state->kind == SB_STATE_LIST)
    return scan_list(k, &p, value, err);
  status = read_cell(k, &p, get_cell(&p), value, &expires_ms, &found, err);
  if (status == SB_NOT_FOUND)
    get_reclaim(k, &p);
  return status;
}

sb_status
keyed_put(sb_keyed *base, const sb_key *key, sb_slice value,
          uint64_t expires_ms, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status;
  place p;

  status = get_enter_write(k, key, &p, err);
  if (status == SB_OK)
    status = get_check_kind(&p, 0, err);
  if (status == SB_OK)
    status = get_check_value(k, value, err);
  if (status != SB_OK)
    return status;
  return write_cell(k, &p, value, 0, expires_ms, 0, NULL, err);
}

/* The places of some records of one key: all are looked for at once. */
static void
put_fetch(const place *p, const sb_slice *subkeys, size_t count, uint64_t *ids)
{
  const table *t = &p->state->tables[p->table];
  size_t i;

  for (i = 0; i < count; i++) {
    ids[i] = record_id(p->group_id, subkeys[i]);
    table_prefetch(t, ids[i]);
  }
  for (i = 0; i < count; i++)
    table_prefetch_cell(t, ids[i]);
}

static sb_status
put_check(keyed *k, const sb_key *key, const sb_slice *subkeys,
          const sb_slice *values, size_t count, sb_error *err)
{
  sb_status status = slices_check(subkeys, count, "subkey", err);
  sb_key one = *key;
  size_t i;

  if (status == SB_OK)
    status = slices_check(values, count, "value", err);
  for (i = 0; status == SB_OK && i < count; i++) {
    one.subkey = subkeys[i];
    status = keyed_check_key(k, &one, err);
    if (status == SB_OK)
      status = keyed_check_value(k, values[i], err);
  }
  return status;
}

sb_status
keyed_put_all(sb_keyed *base, const sb_key *key, const sb_slice *subkeys,
              const sb_slice *values, size_t count, uint64_t expires_ms,
              sb_error *err)
{
  keyed *k = (keyed *)base;
  uint64_t ids[PUT_AHEAD];
  sb_status status;
  size_t i;
  place p;

  status = get_enter_write(k, key, &p, err);
  if (status == SB_OK)
    status = get_check_kind(&p, 0, err);
  if (status == SB_OK)
    status = put_check(k, key, subkeys, values, count, err);
  for (i = 0; status == SB_OK && i < count; i++) {
    if (i % PUT_AHEAD == 0)
      put_fetch(&p, subkeys + i,
                count - i < PUT_AHEAD ? count - i : PUT_AHEAD, ids);
    slice_copy(&p.key.subkey, &subkeys[i]);
    p.id = ids[i % PUT_AHEAD];
    status = write_cell(k, &p, values[i], 0, expires_ms, 0, NULL, err);
  }
  return status;
}

sb_status
keyed_remove(sb_keyed *base, const sb_key *key, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status;
  place p;

  status = get_enter_write(k, key, &p, err);
  if (status != SB_OK)
    return status;
  if (p.state->kind == SB_STATE_LIST)
    return write_clear(k, &p, err);
  return write_remove(k, &p, err);
}

static sb_status
get_enter_list(keyed *k, const sb_key *key, const sb_slice *values,
               size_t count, place *p, sb_error *err)
{
  sb_status status = get_enter_write(k, key, p, err);
  size_t i, longest = 0; /* at least, and less than twice that */
  int bad = 0;

  if (status == SB_OK)
    status = get_check_kind(p, 1, err);
  for (i = 0; i < count; i++) {
    longest |= values[i].len;
    bad |= slice_bad(values[i]);
  }
  if (get_fits(k, longest) && !bad)
    return status;
  if (status == SB_OK && count > 1)
    status = slices_check(values, count, "element", err);
  for (i = 0; status == SB_OK && i < count; i++)
    status = keyed_check_value(k, values[i], err);
  return status;
}

sb_status
keyed_append_all(sb_keyed *base, const sb_key *key, const sb_slice *values,
                 size_t count, uint64_t expires_ms, sb_error *err)
{
  keyed *k = (keyed *)base;
  place p;
  sb_status status = get_enter_list(k, key, values, count, &p, err);

  return status != SB_OK
           ? status
           : write_append(k, &p, values, count, expires_ms, err);
}

sb_status
keyed_replace_all(sb_keyed *base, const sb_key *key, const sb_slice *values,
                  size_t count, uint64_t expires_ms, sb_error *err)
{
  keyed *k = (keyed *)base;
  place p;
  sb_status status = get_enter_list(k, key, values, count, &p, err);

  return status != SB_OK
           ? status
           : write_replace(k, &p, values, count, expires_ms, err);
}

sb_status
keyed_append(sb_keyed *base, const sb_key *key, sb_slice value,
             uint64_t expires_ms, sb_error *err)
{
  return keyed_append_all(base, key, &value, 1, expires_ms, err);
}

sb_status
keyed_clear(sb_keyed *base, const sb_key *key, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status;
  place p;

  status = get_enter_write(k, key, &p, err);
  if (status != SB_OK)
    return status;
  return write_clear(k, &p, err);
}

/* A value that fn may change: where it stands when the cell is of the current
   epoch, else a copy. */
static sb_status
apply_writable(keyed *k, cell *found, sb_slice value, sb_update *u,
               sb_error *err)
{
  u->len = value.len;
  if (found != NULL && found->epoch == (uint32_t)k->epoch) {
    u->data = cell_value(found);
    return SB_OK;
  }
  if (value.data != k->scratch.data) {
    buf_clear(&k->scratch);
    buf_add(&k->scratch, value.data, value.len);
  }
  if (k->scratch.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not update a value of %zu bytes: no memory",
                        value.len);
  u->data = k->scratch.data;
  return SB_OK;
}

/* Does what the callback asked for. */
static sb_status
apply_action(keyed *k, const place *p, const sb_update *u, cell *found,
             sb_slice value, uint64_t expires_ms, sb_error *err)
{
  sb_status status;

  switch (u->action) {
  case SB_UPDATE_KEEP:
    return SB_OK;
  case SB_UPDATE_IN_PLACE:
    if (!u->exists)
      break;
    if (found != NULL && u->data == cell_value(found) &&
        u->expires_ms == expires_ms)
      return SB_OK;
    value.data = u->data;
    status = slice_check(value, "the value", err);
    return status != SB_OK ? status
                           : write_cell(k, p, value, 0, u->expires_ms, 0,
                                        NULL, err);
  case SB_UPDATE_PUT:
    status = keyed_check_value(k, u->replacement, err);
    if (status != SB_OK || (found != NULL && write_over(k, found,
                                                        u->replacement,
                                                        u->expires_ms)))
      return status;
    return write_cell(k, p, u->replacement, 0, u->expires_ms, 0, NULL, err);
  case SB_UPDATE_REMOVE:
    return write_remove(k, p, err);
  default:
    break;
  }
  return sb_error_set(err, SB_INVALID, "cannot update: the callback asked for "
                      "action %u", (unsigned)u->action);
}

static sb_status
apply_fail(sb_status status, sb_error *err)
{
  return sb_error_set(err, status, "the update callback failed: %s",
                      sb_status_name(status));
}

sb_status
keyed_apply(keyed *k, const place *p, sb_update_fn *fn, void *arg,
            cell *found, sb_slice value, uint64_t expires_ms, int exists,
            sb_error *err)
{
  sb_update u = { .struct_size = sizeof u, .exists = (uint32_t)exists,
                  .expires_ms = expires_ms };
  sb_status status = SB_OK;

  if (exists)
    status = apply_writable(k, found, value, &u, err);
  if (status != SB_OK)
    return status;
  status = fn(arg, &u);
  if (status != SB_OK)
    return apply_fail(status, err);
  u.exists = (uint32_t)exists;
  return apply_action(k, p, &u, found, value, expires_ms, err);
}

/* A record of the current epoch, the usual case: found once, changed where it
   stands. */
static sb_status
update_current(keyed *k, const place *p, cell *c, sb_update_fn *fn, void *arg,
               sb_error *err)
{
  sb_slice value = sb_slice_of(cell_value(c), c->value_len);
  sb_update u = { .struct_size = sizeof u, .exists = 1,
                  .data = cell_value(c), .len = value.len };
  sb_status status;

  c->referenced = 1;
  keyed_count(&k->counters.record_hits, 1);
  status = fn(arg, &u);
  if (status != SB_OK)
    return apply_fail(status, err);
  if (u.action == SB_UPDATE_IN_PLACE && u.data == value.data &&
      u.expires_ms == 0)
    return SB_OK;
  u.exists = 1;
  return apply_action(k, p, &u, c, value, 0, err);
}

sb_status
keyed_update(sb_keyed *base, const sb_key *key, sb_update_fn *fn, void *arg,
             sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_slice value = { NULL, 0 };
  uint64_t expires_ms = 0;
  cell *found;
  sb_status status;
  place p;

  keyed_count(&k->counters.reads, 1);
  status = get_enter_write(k, key, &p, err);
  if (status == SB_OK)
    status = get_check_kind(&p, 0, err);
  if (status != SB_OK)
    return status;
  found = get_cell(&p);
  if (found != NULL && found->epoch == (uint32_t)k->epoch &&
      (found->flags & (CELL_TOMBSTONE | CELL_EXPIRES)) == 0)
    return update_current(k, &p, found, fn, arg, err);
  status = read_cell(k, &p, found, &value, &expires_ms, &found, err);
  if (status != SB_OK && status != SB_NOT_FOUND)
    return status;
  if (status == SB_NOT_FOUND)
    get_reclaim(k, &p);
  return keyed_apply(k, &p, fn, arg, found, value, expires_ms,
                     status == SB_OK, err);
}
