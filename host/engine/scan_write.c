/* SPDX-License-Identifier: Apache-2.0 */
/* Changes through a cursor, whole lists, and removal of ranges. */
#include "config.h"

#include "host/engine/scan.h"

#define LIST_FAST 64u /* members of a list gathered without a cursor */

/* ---- update and remove --------------------------------------------------- */

static sb_status
cursor_enter(keyed *k, sb_cursor *c, sb_error *err)
{
  sb_status status = keyed_enter(k, err);

  if (status == SB_OK && k->async != NULL)
    status = async_settle(k, NULL, err);
  if (status != SB_OK)
    return status;
  if (!c->has_row)
    return sb_error_set(err, SB_INVALID, "the cursor is on no row");
  return keyed_check_writable(k, c->state, err);
}

/* Where the cursor's element stands in what the record is now. Compaction may
   have taken elements before it out of a list whose elements expire. */
static int
cursor_find_element(const sb_cursor *c, sb_slice now, size_t *at)
{
  sb_slice read = sb_slice_of(c->elements.data, c->elements.len);
  int may_lack = c->state->time_kind == SB_TIME_VALUE;
  sb_slice element, whole;
  size_t next = 0, from = 0;
  int last, there;

  *at = 0;
  do {
    last = next == c->element;
    from = next;
    if (!rule_next_element(read, &next, &element, &whole))
      return 0;
    there = now.len - *at >= whole.len &&
            memcmp((const uint8_t *)now.data + *at, whole.data,
                   whole.len) == 0;
    if (!there && (last || !may_lack))
      return 0;
    if (there && !last)
      *at += whole.len;
  } while (from != c->element);
  return 1;
}

/* Replaces one element of a list record, or takes it out (value NULL). The
   record may have grown at its end since the cursor read it. */
static sb_status
cursor_change_element(keyed *k, sb_cursor *c, const sb_slice *value,
                      sb_error *err)
{
  uint64_t expires_ms;
  uint32_t old_len = load_u32(c->elements.data + c->element);
  sb_slice now;
  sb_status status;
  size_t rest, at;
  cell *found;
  place p;
  buf b;

  keyed_place_record(k, c->state, &c->last, &p);
  if (value == NULL && expiry_over(k, c->state, c->element_expires))
    return write_remove(k, &p, err); /* all of the record's have expired */
  status = keyed_read(k, &p, &now, &expires_ms, &found, err);
  if (status == SB_OK && !cursor_find_element(c, now, &at))
    status = SB_NOT_FOUND;
  if (status == SB_NOT_FOUND)
    return sb_error_set(err, status, "cannot change a list's element: it has "
                        "expired or was removed meanwhile");
  if (status != SB_OK)
    return status;
  rest = at + 4 + old_len;
  buf_init(&b, k->host, (size_t)SB_VALUE_MAX + 65536);
  buf_add(&b, now.data, at);
  if (value != NULL) {
    buf_u32(&b, (uint32_t)value->len);
    buf_add(&b, value->data, value->len);
  }
  buf_add(&b, (const uint8_t *)now.data + rest, now.len - rest);
  if (b.status != SB_OK)
    status = sb_error_set(err, SB_NO_MEMORY, "could not change a list: no "
                          "memory");
  else if (b.len == 0)
    status = write_remove(k, &p, err);
  else
    status = write_cell(k, &p, sb_slice_of(b.data, b.len), 0, expires_ms, 0,
                        NULL, err);
  if (status == SB_OK) {
    /* The cursor goes on behind the element that is now there. */
    buf_clear(&c->elements);
    buf_add(&c->elements, b.data, b.len);
    c->element = at;
    c->element_at = at + (value == NULL ? 0 : 4 + value->len);
    c->has_row = value != NULL;
    status = c->elements.status;
  }
  buf_dispose(&b);
  return status;
}

sb_status
scan_update(sb_keyed *base, sb_cursor *c, sb_slice value, uint64_t expires_ms,
            sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = cursor_enter(k, c, err);
  place p;

  if (status != SB_OK)
    return status;
  if (c->flags & SB_SCAN_KEYS)
    return sb_error_set(err, SB_INVALID,
                        "cannot update: the cursor returns keys only");
  status = keyed_check_value(k, value, err);
  if (status != SB_OK)
    return status;
  if (c->state->kind == SB_STATE_LIST)
    return cursor_change_element(k, c, &value, err);
  keyed_place_record(k, c->state, &c->last, &p);
  return write_cell(k, &p, value, 0, expires_ms, 0, NULL, err);
}

sb_status
scan_remove(sb_keyed *base, sb_cursor *c, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = cursor_enter(k, c, err);
  place p;

  if (status != SB_OK)
    return status;
  keyed_place_record(k, c->state, &c->last, &p);
  if (c->flags & SB_SCAN_KEYS)
    return write_clear(k, &p, err);
  if (c->state->kind == SB_STATE_LIST)
    return cursor_change_element(k, c, NULL, err);
  return write_remove(k, &p, err);
}

sb_status
scan_remove_range(sb_keyed *base, const sb_scan_options *range, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_scan_options options = *range;
  sb_cursor *c;
  sb_status status;
  sb_row row;

  if (range->start.len != 0 || range->end.len != 0)
    return sb_error_set(err, SB_INVALID, "cannot remove a range with a start "
                        "or an end");
  options.flags = SB_SCAN_KEYS | SB_SCAN_EXPIRED;
  status = scan_open(base, &options, &c, err);
  if (status != SB_OK)
    return status;
  do {
    status = scan_next(base, c, &row, err);
    if (status == SB_OK)
      status = scan_remove(base, c, err);
  } while (status == SB_OK);
  scan_close(&k->base, c);
  return status == SB_END ? SB_OK : status;
}

/* ---- whole lists --------------------------------------------------------- */

typedef struct gather {
  keyed *keyed;
  cell *cells[LIST_FAST];
  size_t count;
} gather;

/* Sorted by subkey, each cell once. */
static void
gather_cell(gather *g, cell *c)
{
  size_t at = g->count, off = (size_t)c->key_len + c->ns_len;

  if ((c->flags & (CELL_TOMBSTONE | CELL_CLEAR)) ||
      keyed_expired(g->keyed, g->keyed->states[c->state],
                    cell_expires(c)))
    return;
  while (at > 0) {
    const cell *before = g->cells[at - 1];
    int order = memcmp(cell_key(before) + off, cell_key(c) + off, 8);

    if (order == 0)
      return;
    if (order < 0)
      break;
    at--;
  }
  memmove(&g->cells[at + 1], &g->cells[at],
          (g->count - at) * sizeof *g->cells);
  g->cells[at] = c;
  g->count++;
  c->referenced = 1;
}

/* A list that memory knows whole, in a few cells. */
static int
list_from_memory(keyed *k, const place *p, gather *out)
{
  const uint64_t *slot = group_slot(&p->state->groups[p->table],
                                    p->group_id, &p->key);
  cell *lone = slot == NULL ? NULL : slot_lone(*slot);
  const group *g;
  uint32_t i;

  out->keyed = k;
  out->count = 0;
  if (lone != NULL && (lone->flags & CELL_WHOLE))
    gather_cell(out, lone);
  if (slot == NULL || lone != NULL)
    return lone != NULL && (lone->flags & CELL_WHOLE);
  g = slot_entry(*slot);
  if (!g->complete || g->count >= LIST_FAST)
    return 0;
  for (i = 0; i < g->count; i++)
    if (cell_same_key(g->members[i], &p->key))
      gather_cell(out, g->members[i]);
  return 1;
}

static sb_status
list_too_large(const place *p, sb_error *err)
{
  return sb_error_set(err, SB_TOO_LARGE, "a list of state \"%.*s\" is over %u "
                      "bytes: scan it", (int)p->state->name.len,
                      (const char *)p->state->name.data, SB_VALUE_MAX);
}

static sb_status
list_join(keyed *k, const place *p, const gather *g, sb_slice *value,
          sb_error *err)
{
  size_t i;

  if (g->count == 0)
    return SB_NOT_FOUND;
  keyed_count(&k->counters.record_hits, 1);
  if (g->count == 1) {
    *value = sb_slice_of(cell_value(g->cells[0]), g->cells[0]->value_len);
    return SB_OK;
  }
  buf_clear(&k->scratch);
  for (i = 0; i < g->count; i++)
    buf_add(&k->scratch, cell_value(g->cells[i]), g->cells[i]->value_len);
  if (k->scratch.status == SB_NO_MEMORY)
    return sb_error_set(err, SB_NO_MEMORY, "could not read a list: no "
                        "memory");
  if (k->scratch.status != SB_OK || k->scratch.len > SB_VALUE_MAX)
    return list_too_large(p, err);
  *value = sb_slice_of(k->scratch.data, k->scratch.len);
  return SB_OK;
}

sb_status
scan_list(keyed *k, const place *p, sb_slice *value, sb_error *err)
{
  sb_scan_options o;
  sb_cursor *c;
  sb_status status;
  sb_row row;
  gather g;

  if (list_from_memory(k, p, &g))
    return list_join(k, p, &g, value, err);
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = p->state->index;
  o.key_group_first = o.key_group_last = p->key.key_group;
  o.has_ns = o.has_key = 1;
  o.ns = p->key.ns;
  o.key = p->key.key;
  status = scan_open_cursor(k, &o, &c, err);
  if (status != SB_OK)
    return status;
  buf_clear(&k->list);
  while ((status = scan_next(&k->base, c, &row, err)) == SB_OK) {
    buf_u32(&k->list, (uint32_t)row.value.len);
    buf_add(&k->list, row.value.data, row.value.len);
    if (k->list.status == SB_TOO_LARGE || k->list.len > SB_VALUE_MAX)
      break;
  }
  scan_close(&k->base, c);
  if (status == SB_OK)
    return list_too_large(p, err);
  if (status != SB_END)
    return status;
  if (k->list.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not read a list: no "
                        "memory");
  if (k->list.len == 0)
    return SB_NOT_FOUND;
  *value = sb_slice_of(k->list.data, k->list.len);
  return SB_OK;
}
