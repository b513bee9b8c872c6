/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of lists. They are appended to the list's newest record, its tail,
 * as long as that is small and of the current epoch; else a new record is
 * begun, or the tail is copied while it is very small.
 */
#include "config.h"

#include "host/engine/lone.h"
#include "host/engine/write.h"

#define APPEND_CHUNK_MAX 4096u /* bytes of elements in one record */
#define APPEND_COPY_MAX 1024u  /* copied on write rather than started anew */

static int
append_first(void *arg, cell *c)
{
  cell **found = arg;

  *found = c;
  return 1;
}

/* The newest record of a list's elements, if it can take the first value, of
   many where it stands: they are worth a record of their own. */
static cell *
append_tail(keyed *k, const place *p, const sb_slice *values, size_t count,
            uint64_t expires_ms)
{
  const uint64_t *slot = group_slot(&p->state->groups[p->table],
                                    p->group_id, &p->key);
  cell *c = slot == NULL ? NULL : slot_lone(*slot);
  size_t len = values[0].len + 4, limit = APPEND_COPY_MAX;
  const group *g;

  if (slot == NULL || (c != NULL && !(c->flags & CELL_TAIL)))
    return NULL;
  if (c == NULL) {
    g = slot_entry(*slot);
    if (g->tail == 0 ||
        table_each(write_table(p), g->tail, &p->key, append_first, &c) == 0)
      return NULL;
  }
  if (write_is_current(k, c) &&
      (count == 1 || c->value_len + len <= c->value_cap))
    limit = APPEND_CHUNK_MAX;
  if ((c->flags & (CELL_TOMBSTONE | CELL_CLEAR)) ||
      cell_expires(c) != expires_ms || c->value_len + len > limit)
    return NULL;
  return c;
}

/* ---- elements ------------------------------------------------------------ */

/* Into a cell that has room for them. */
static void
append_elements(cell *c, const sb_slice *values, size_t count)
{
  uint8_t *start = cell_value(c), *at = start + c->value_len;
  size_t i;

  for (i = 0; i < count; i++) {
    size_t len = values[i].len;

    store_u32(at, (uint32_t)len);
    at += 4;
    bytes_copy(at, values[i].data, len);
    at += len;
  }
  c->value_len = (uint32_t)(at - start);
}

/* How many of the values go into `room` bytes, and their bytes. */
static size_t
append_fitting(size_t room, const sb_slice *values, size_t count,
               size_t *bytes)
{
  size_t n, sum = 0;

  for (n = 0; n < count && sum + values[n].len + 4 <= room; n++)
    sum += values[n].len + 4;
  *bytes = sum;
  return n;
}

/* How many of them, one at least, make a record with the `len` bytes that it
   has. */
static size_t
append_record(size_t len, const sb_slice *values, size_t count, size_t *bytes)
{
  size_t n = append_fitting(APPEND_CHUNK_MAX - len, values, count, bytes);

  if (n != 0)
    return n;
  *bytes = values[0].len + 4;
  return 1;
}

/* ---- cells --------------------------------------------------------------- */

typedef struct append_batch {
  const sb_slice *values;
  size_t count, bytes;  /* as elements */
  uint64_t expires_ms;
} append_batch;

/* A new cell of `before` and the batch's elements in place of `old`, as for
   write_new. */
static sb_status
append_new(keyed *k, const place *p, cell *old, sb_slice before,
           const append_batch *b, size_t slack, sb_error *err)
{
  size_t room = b->bytes + slack, i;
  sb_status status;
  cell *c;

  if (chunk_has_room(k->dirty,
                     write_size(p, before.len + room,
                                write_layout(p, 0, b->expires_ms)))) {
    status = write_new(k, p, old, before, CELL_TAIL, b->expires_ms, room, &c,
                       err);
    if (status == SB_OK)
      append_elements(c, b->values, b->count);
    return status;
  }
  /* Making room may take away what they are in. */
  buf_clear(&k->lent);
  buf_add(&k->lent, before.data, before.len);
  for (i = 0; i < b->count; i++) {
    buf_u32(&k->lent, (uint32_t)b->values[i].len);
    buf_add(&k->lent, b->values[i].data, b->values[i].len);
  }
  if (k->lent.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not append: no memory");
  return write_new(k, p, old, sb_slice_of(k->lent.data, k->lent.len),
                   CELL_TAIL, b->expires_ms, slack, NULL, err);
}

/* A new cell for the tail, with room for as much again as far as it can be
   used. */
static sb_status
append_grow(keyed *k, place *p, cell *tail, const append_batch *b,
            sb_error *err)
{
  size_t had = tail->value_len, slack = APPEND_CHUNK_MAX - had - b->bytes;
  uint8_t subkey[8];

  memcpy(subkey, cell_key(tail) + tail->key_len + tail->ns_len, 8);
  p->key.subkey = sb_slice_of(subkey, sizeof subkey);
  p->id = tail->id;
  return append_new(k, p, tail, sb_slice_of(cell_value(tail), had), b,
                    slack < had ? slack : had, err);
}

static sb_status
append_begin(keyed *k, place *p, const append_batch *b, sb_error *err)
{
  uint8_t subkey[8];
  unsigned i;

  for (i = 0; i < 8; i++)
    subkey[i] = (uint8_t)(k->list_sequence >> (56 - 8 * i));
  k->list_sequence++;
  p->key.subkey = sb_slice_of(subkey, sizeof subkey);
  p->id = record_id(p->group_id, p->key.subkey);
  table_prefetch(write_table(p), p->id);
  return append_new(k, p, NULL, sb_slice_of(NULL, 0), b, 0, err);
}

/* Adds what goes into one record, the tail if there is one; *count is how many
   that were. */
static sb_status
append_some(keyed *k, place *p, cell *tail, const sb_slice *values,
            size_t *count, uint64_t expires_ms, sb_error *err)
{
  append_batch b = { .values = values, .expires_ms = expires_ms };
  size_t had = tail == NULL ? 0 : tail->value_len, room;
  sb_status status;

  if (tail != NULL && write_is_current(k, tail)) {
    room = tail->value_cap < APPEND_CHUNK_MAX ? tail->value_cap
                                              : APPEND_CHUNK_MAX;
    b.count = append_fitting(room - had, values, *count, &b.bytes);
    if (b.count != 0) {
      append_elements(tail, values, b.count);
      tail->referenced = 1;
      *count = b.count;
      return SB_OK;
    }
  }
  b.count = append_record(had, values, *count, &b.bytes);
  status = tail == NULL ? append_begin(k, p, &b, err)
                        : append_grow(k, p, tail, &b, err);
  *count = b.count;
  p->key.subkey = sb_slice_of(NULL, 0);
  return status;
}

static sb_status
append_rest(keyed *k, place *p, cell *tail, const sb_slice *values,
            size_t count, uint64_t expires_ms, sb_error *err)
{
  sb_status status;
  size_t n = count;

  for (;;) {
    status = append_some(k, p, tail, values, &n, expires_ms, err);
    if (status != SB_OK || n == count)
      return status;
    values += n;
    n = count -= n;
    tail = append_tail(k, p, values, count, expires_ms);
  }
}

sb_status
write_append(keyed *k, place *p, const sb_slice *values, size_t count,
             uint64_t expires_ms, sb_error *err)
{
  if (count == 0)
    return SB_OK;
  return append_rest(k, p, append_tail(k, p, values, count, expires_ms),
                     values, count, expires_ms, err);
}

/* ---- replacing ----------------------------------------------------------- */

/* New elements for a list that is one cell, in that same record: segments have
   no other that a marker would have to hide. */
static sb_status
replace_lone(keyed *k, place *p, cell *lone, const append_batch *b,
             sb_error *err)
{
  uint8_t subkey[8];
  sb_status status;

  if (write_is_current(k, lone) && lone->value_cap >= b->bytes &&
      cell_expires(lone) == b->expires_ms) {
    lone->flags &= (uint8_t)~CELL_TOMBSTONE;
    lone->referenced = 1;
    lone->value_len = 0;
    append_elements(lone, b->values, b->count);
    return SB_OK;
  }
  memcpy(subkey, cell_key(lone) + lone->key_len + lone->ns_len, 8);
  p->key.subkey = sb_slice_of(subkey, sizeof subkey);
  p->id = lone->id;
  status = append_new(k, p, lone, sb_slice_of(NULL, 0), b, 0, err);
  p->key.subkey = sb_slice_of(NULL, 0);
  return status;
}

sb_status
write_replace(keyed *k, place *p, const sb_slice *values, size_t count,
              uint64_t expires_ms, sb_error *err)
{
  const uint64_t *slot = group_slot(&p->state->groups[p->table],
                                    p->group_id, &p->key);
  cell *lone = slot == NULL ? NULL : slot_lone(*slot);
  append_batch b = { .values = values, .expires_ms = expires_ms };
  sb_status status;

  if (count == 0 || lone == NULL || !(lone->flags & CELL_WHOLE)) {
    status = write_clear_key(k, p, slot != NULL, err);
    if (status != SB_OK || count == 0)
      return status;
    return append_rest(k, p, NULL, values, count, expires_ms, err);
  }
  b.count = append_record(0, values, count, &b.bytes);
  status = replace_lone(k, p, lone, &b, err);
  if (status != SB_OK)
    return status;
  return write_append(k, p, values + b.count, count - b.count, expires_ms,
                      err);
}
