/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fronts of ordered states; see front.h. A front hides what is older than its
 * epoch only: records of the same epoch below it were added after others had
 * been taken, and live. In memory the front only moves on; what is taken below
 * it becomes a tombstone.
 */
#include "config.h"

#include "host/engine/front.h"
#include "host/engine/order.h"

#define FRONT_SLACK 16u /* so that the next ones fit where it stands */

void
front_place(uint32_t state_id, uint32_t key_group, record *out)
{
  memset(out, 0, sizeof *out);
  out->state = state_id;
  out->key_group = (uint16_t)key_group;
  out->flags = RECORD_FRONT;
}

/* ---- in memory ---------------------------------------------------------- */

static cell *
front_of_tree(const order_tree *o)
{
  return o == NULL || o->front == 0 ? NULL : slot_entry(o->front);
}

static cell *
front_cell(const place *p)
{
  return front_of_tree(p->state->tables[p->table].order);
}

static sb_slice
front_value(const cell *c)
{
  return sb_slice_of(cell_value(c), c->value_len);
}

int
front_hides_key(const order_tree *o, sb_slice key, uint64_t epoch)
{
  const cell *c = front_of_tree(o);

  return c != NULL && c->epoch > (uint32_t)epoch &&
         slice_compare(key, front_value(c)) < 0;
}

int
front_hides_since(const place *p, uint64_t epoch)
{
  return front_hides_key(p->state->tables[p->table].order, p->key.key, epoch);
}

/* ---- in segments -------------------------------------------------------- */

/* The runs of a merge are newest first; fronts hide what older runs have, not
   what other segments of their own run have. */
typedef struct hiding {
  buf older;   /* greatest of the runs before */
  buf run;     /* greatest of this run's segments */
} hiding;

static sb_status
front_raise(buf *bound, sb_slice value, sb_error *err)
{
  if (slice_compare(value, sb_slice_of(bound->data, bound->len)) <= 0)
    return SB_OK;
  buf_clear(bound);
  buf_add(bound, value.data, value.len);
  if (bound->status == SB_OK)
    return SB_OK;
  return sb_error_set(err, bound->status,
                      "could not read a front of %zu bytes", value.len);
}

static int
front_same_state(const record *a, const record *b)
{
  return a->state == b->state && a->key_group == b->key_group;
}

/* Brings a run of the state behind what older->data hides. */
static sb_status
front_skip(run *c, const record *first, const buf *older, sb_error *err)
{
  record to = *first;
  sb_status status;

  to.flags = RECORD_ORDERED;
  to.key = sb_slice_of(older->data, older->len);
  if (older->len == 0 || !c->valid || !front_same_state(&c->record, first) ||
      slice_compare(c->record.key, to.key) >= 0)
    return SB_OK;
  status = run_seek(c, &to, err);
  return status == SB_END ? SB_OK : status;
}

/* Takes the front that the run is at, if it is at one. */
static sb_status
front_take(run *c, const record *first, buf *bound, sb_error *err)
{
  sb_status status;

  if (!c->valid || !record_is_front(&c->record) ||
      !front_same_state(&c->record, first))
    return SB_OK;
  status = front_raise(bound, c->record.value, err);
  if (status == SB_OK)
    status = run_next(c, err);
  return status == SB_END ? SB_OK : status;
}

static sb_status
front_join_runs(merge *m, const record *first, hiding *h, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i;

  for (i = 0; i < m->count && status == SB_OK; i++) {
    run *c = &m->runs[i];

    if (i > 0 && !segment_same_run(m->runs[i - 1].segment, c->segment))
      status = front_raise(&h->older, sb_slice_of(h->run.data, h->run.len),
                           err);
    if (status == SB_OK)
      status = front_take(c, first, &h->run, err);
    if (status == SB_OK)
      status = front_skip(c, first, &h->older, err);
  }
  return status;
}

sb_status
front_join(merge *m, const record *first, sb_error *err)
{
  const sb_host *host = m->front.host;
  record at = *first;
  sb_status status;
  hiding h;

  at.key = at.ns = at.subkey = sb_slice_of(NULL, 0);
  buf_init(&h.older, host, m->front.max);
  buf_init(&h.run, host, m->front.max);
  status = front_join_runs(m, &at, &h, err);
  buf_clear(&m->front);
  if (status == SB_OK)
    status = front_raise(&m->front, sb_slice_of(h.older.data, h.older.len),
                         err);
  if (status == SB_OK)
    status = front_raise(&m->front, sb_slice_of(h.run.data, h.run.len), err);
  buf_dispose(&h.older);
  buf_dispose(&h.run);
  return status;
}

static sb_status
front_seek_run(run *c, const record *to, sb_error *err)
{
  sb_status status = run_seek(c, to, err);

  return status == SB_END ? SB_OK : status;
}

sb_status
front_seek(merge *m, const record *from, sb_error *err)
{
  int fronts = 0;
  sb_status status = SB_OK;
  record first;
  size_t i;

  front_place(from->state, from->key_group, &first);
  for (i = 0; i < m->count; i++)
    fronts |= m->runs[i].segment->info.tombstones != 0;
  for (i = 0; i < m->count && status == SB_OK; i++)
    if (fronts && m->runs[i].segment->info.tombstones != 0)
      status = front_seek_run(&m->runs[i], &first, err);
    else
      status = front_seek_run(&m->runs[i], from, err);
  if (status == SB_OK && fronts)
    status = front_join(m, &first, err);
  for (i = 0; i < m->count && status == SB_OK && fronts; i++) {
    run *c = &m->runs[i];

    if (c->valid && record_compare(&c->record, from) < 0)
      status = front_seek_run(c, from, err);
  }
  return status;
}

sb_status
front_in_run(reader_ctx *r, segment *s, const place *p, sb_error *err)
{
  cache_entry *pin;
  record first, found;
  uint64_t id;
  sb_status status;
  int hides;

  if (s->info.tombstones == 0)
    return SB_NOT_FOUND;
  front_place(p->state->id, p->key.key_group, &first);
  id = record_full_id(&first);
  status = reader_record(r, s, &first, id, &found, &pin, err);
  if (status != SB_OK)
    return status;
  hides = slice_compare(p->key.key, found.value) < 0;
  cache_unpin(r->keyed->engine->cache, pin);
  return hides ? SB_OK : SB_NOT_FOUND;
}

/* ---- moving on ---------------------------------------------------------- */

/* The least key whose first 8 bytes are `prefix`. */
static sb_slice
front_least_key(uint64_t prefix, uint8_t bytes[8])
{
  size_t len = 8;

  prefix = __builtin_bswap64(prefix);
  store_u64(bytes, prefix);
  while (len != 0 && bytes[len - 1] == 0)
    len--;
  return sb_slice_of(bytes, len);
}

/* Removes the cursor's rows up to and with the key. Nothing is read behind it:
   once the key's own record is gone, nothing can fail. */
static sb_status
front_remove_rows(keyed *k, sb_cursor *cursor, sb_slice key, sb_error *err)
{
  sb_status status;
  sb_row row;
  int last;

  do {
    status = scan_next(&k->base, cursor, &row, err);
    if (status != SB_OK)
      break;
    last = slice_equal(row.key, key);
    status = scan_remove(&k->base, cursor, err);
  } while (status == SB_OK && !last);
  return status == SB_END ? SB_OK : status;
}

/* Below the front of an earlier epoch there may be records that came after it
   and must stay: so each one that goes gets its tombstone. */
static sb_status
front_remove_each(keyed *k, const place *p, sb_slice bound, sb_error *err)
{
  sb_scan_options range = { .struct_size = sizeof range };
  const table *t = &p->state->tables[p->table];
  uint64_t prefix = order_prefix(p->key.key);
  uint8_t least[8];
  sb_cursor *cursor;
  sb_status status;

  /* The tombstones of those that went before are not passed again. */
  if (t->order != NULL)
    range.start = front_least_key(t->order->alive, least);
  range.state = p->state->index;
  range.key_group_first = range.key_group_last = p->key.key_group;
  range.end = bound;
  status = scan_open(&k->base, &range, &cursor, err);
  if (status != SB_OK)
    return status;
  status = front_remove_rows(k, cursor, p->key.key, err);
  scan_close(&k->base, cursor);
  if (status != SB_OK)
    return status;
  if (t->order != NULL && t->order->alive < prefix)
    t->order->alive = prefix;
  return SB_OK;
}

static sb_status
front_write(keyed *k, const place *p, sb_slice bound, sb_error *err)
{
  place front = *p;

  front_place(p->state->id, p->key.key_group, &front.key);
  front.group_id = record_group_id(p->state->id, front.key.ns,
                                   record_hash(front.key.key));
  front.id = record_clear_id(front.group_id);
  return write_cell(k, &front, bound, CELL_CLEAR, 0, FRONT_SLACK, NULL, err);
}

/* All cells up to and with the key leave memory. */
static void
front_forget(keyed *k, const place *p)
{
  table *t = &p->state->tables[p->table];
  uint64_t prefix = order_prefix(p->key.key);
  order_place at;
  sb_slice key;
  cell *c;

  while (t->order != NULL && t->order->low <= prefix) {
    order_seek(t->order, sb_slice_of(NULL, 0), 0, &at);
    c = order_step(&at);
    if (c == NULL) {
      t->order->low = UINT64_MAX;
      return;
    }
    key = sb_slice_of(cell_key(c), c->key_len);
    if (slice_compare(key, p->key.key) > 0) {
      t->order->low = order_prefix(key);
      return;
    }
    write_forget(k, t, c);
  }
}

/* Moves on a front of this epoch where it stands, if it has room. */
static int
front_move(cell *c, sb_slice key)
{
  uint8_t *value = cell_value(c);

  if (slice_compare(front_value(c), key) > 0)
    return 1;
  if (key.len >= c->value_cap)
    return 0;
  memcpy(value, key.data, key.len);
  value[key.len] = 0;
  c->value_len = (uint32_t)key.len + 1;
  return 1;
}

static sb_status
front_advance(keyed *k, const place *p, sb_error *err)
{
  cell *old = front_cell(p);
  sb_status status = SB_OK;
  int current = old != NULL && old->epoch == (uint32_t)k->epoch;
  sb_slice bound;

  if (!(current && front_move(old, p->key.key)) &&
      write_may_be_older(k, p->key.key_group)) {
    buf_clear(&k->lent);
    buf_add(&k->lent, p->key.key.data, p->key.key.len);
    buf_u8(&k->lent, 0);
    if (k->lent.status != SB_OK)
      return sb_error_set(err, SB_NO_MEMORY, "could not remove records: no "
                          "memory");
    bound = sb_slice_of(k->lent.data, k->lent.len);
    if (old != NULL && slice_compare(front_value(old), p->key.key) > 0)
      return front_remove_each(k, p, bound, err);
    status = front_write(k, p, bound, err);
  }
  if (status == SB_OK)
    front_forget(k, p);
  return status;
}

sb_status
keyed_remove_through(sb_keyed *base, const sb_key *key, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  place p;

  keyed_count(&k->counters.writes, 1);
  if (status == SB_OK && k->async != NULL)
    status = async_settle(k, NULL, err);
  if (status == SB_OK)
    status = keyed_check_key(k, key, err);
  if (status == SB_OK)
    status = keyed_check_writable(k, k->states[key->state], err);
  if (status != SB_OK)
    return status;
  memset(&p, 0, sizeof p);
  p.state = k->states[key->state];
  p.table = key->key_group - k->key_group_first;
  p.key.state = p.state->id;
  p.key.key_group = (uint16_t)key->key_group;
  p.key.flags = RECORD_ORDERED;
  p.key.key = key->key;
  if (!p.state->ordered)
    return sb_error_set(err, SB_INVALID, "cannot remove records up to a key "
                        "of state \"%.*s\": it is not in key order",
                        (int)p.state->name.len,
                        (const char *)p.state->name.data);
  return front_advance(k, &p, err);
}
