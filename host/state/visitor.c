/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Visitors. A cursor walks the state; the rows of one call are copied, so that
 * each of them can be changed while others are and while work goes on. Lists
 * are walked by key and read whole.
 */
#include "config.h"

#include "host/state/list.h"
#include "host/state/record.h"
#include "host/state/ttl.h"
#include "host/state/visitor.h"

#define VISITOR_ROWS_MAX 65536u         /* of one call */
#define VISITOR_BYTES ((size_t)16 << 20) /* one call stops after that many */

static sb_status
visitor_open_cursor(sb_visitor *v, uint32_t first, uint32_t last,
                    sb_error *err)
{
  sb_keyed *keyed = v->context->keyed;
  sb_scan_options options = { .struct_size = sizeof options };

  options.state = v->base->id;
  options.key_group_first = first;
  options.key_group_last = last;
  if (v->base->kind == SB_STATE_LIST)
    options.flags = SB_SCAN_KEYS;
  return keyed->ops->scan_open(keyed, &options, &v->cursor, err);
}

static sb_status
visitor_find(sb_context *context, const char *state, uint32_t first,
             uint32_t last, state_base **base, sb_error *err)
{
  if (context == NULL || state == NULL)
    return state_need(NULL, context == NULL ? "the context" : "the name of "
                      "a state", err);
  *base = context_named(context, sb_slice_of(state, strlen(state)));
  if (*base == NULL)
    return sb_fail(err, SB_NOT_FOUND,
                   "cannot visit state \"%s\": it is not open", state);
  if ((*base)->kind == SB_STATE_TIMER)
    return sb_fail(err, SB_INVALID, "cannot visit \"%s\": it is a queue",
                   state);
  if (first > last || first < context->key_group_first ||
      last > context->key_group_last)
    return sb_fail(err, SB_INVALID, "cannot visit key groups %u to %u: this "
                   "subtask has %u to %u", (unsigned)first, (unsigned)last,
                   (unsigned)context->key_group_first,
                   (unsigned)context->key_group_last);
  return SB_OK;
}

sb_status
sb_visitor_open(sb_context *context, const char *state,
                uint32_t key_group_first, uint32_t key_group_last,
                sb_visitor **out, sb_error *err)
{
  state_base *base = NULL;
  sb_visitor *v;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the visitor", err);
  *out = NULL;
  status = visitor_find(context, state, key_group_first, key_group_last,
                        &base, err);
  if (status != SB_OK)
    return status;
  v = mem_zalloc(context->host, sizeof *v);
  if (v == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not visit state \"%s\": out of memory", state);
  v->context = context;
  v->base = base;
  buf_init(&v->bytes, context->host, SIZE_MAX / 2);
  buf_init(&v->place_bytes, context->host, SB_KEY_MAX + SB_NAMESPACE_MAX);
  v->next = context->visitors;
  if (v->next != NULL)
    v->next->previous = v;
  context->visitors = v;
  status = visitor_open_cursor(v, key_group_first, key_group_last, err);
  if (status == SB_OK)
    *out = v;
  else
    sb_visitor_close(v);
  return status;
}

void
sb_visitor_close(sb_visitor *v)
{
  sb_context *context;

  if (v == NULL)
    return;
  context = v->context;
  if (v->previous != NULL)
    v->previous->next = v->next;
  else
    context->visitors = v->next;
  if (v->next != NULL)
    v->next->previous = v->previous;
  if (v->cursor != NULL)
    context->keyed->ops->scan_close(context->keyed, v->cursor);
  buf_dispose(&v->bytes);
  buf_dispose(&v->place_bytes);
  mem_free(context->host, v->rows);
  mem_free(context->host, v);
}

/* ---- rows --------------------------------------------------------------- */

/* Slices hold offsets until all rows are there and the bytes stay. */
static void
visitor_point(sb_visitor *v)
{
  size_t i, j;

  for (i = 0; i < v->count; i++) {
    sb_row *row = &v->rows[i];
    sb_slice *parts[] = { &row->key, &row->ns, &row->subkey, &row->value };

    for (j = 0; j < 4; j++)
      if (parts[j]->data != NULL)
        parts[j]->data = v->bytes.data + ((uintptr_t)parts[j]->data - 1);
  }
}

static void
visitor_keep_slice(sb_visitor *v, sb_slice *slice)
{
  size_t at = v->bytes.len;

  buf_add(&v->bytes, slice->data, slice->len);
  slice->data = (const void *)(uintptr_t)(at + 1);
}

static sb_status
visitor_keep(sb_visitor *v, const sb_row *row, sb_error *err)
{
  sb_row *kept;

  if (v->count == v->cap) {
    size_t cap = v->cap == 0 ? 16 : v->cap * 2;
    sb_row *rows = mem_realloc(v->context->host, v->rows, cap * sizeof *rows);

    if (rows == NULL)
      return sb_fail(err, SB_NO_MEMORY, "could not visit state \"%s\": out of "
                     "memory", v->base->name);
    v->rows = rows;
    v->cap = cap;
  }
  kept = &v->rows[v->count];
  *kept = *row;
  visitor_keep_slice(v, &kept->key);
  visitor_keep_slice(v, &kept->ns);
  visitor_keep_slice(v, &kept->subkey);
  if (kept->value.data != NULL || !v->base->nulls)
    visitor_keep_slice(v, &kept->value);
  if (v->bytes.status != SB_OK)
    return sb_fail(err, v->bytes.status, "could not visit state \"%s\": out "
                   "of memory", v->base->name);
  v->count++;
  return SB_OK;
}

static sb_key
visitor_place(const sb_visitor *v, const sb_row *row)
{
  sb_key place = { .state = v->base->id };

  place.key_group = row->key_group;
  place.key = row->key;
  place.ns = row->ns;
  place.subkey = row->subkey;
  return place;
}

/* The place of a list, so that it can be read again if that fails. */
static sb_status
visitor_set_place(sb_visitor *v, const sb_row *row, sb_error *err)
{
  buf *b = &v->place_bytes;

  buf_clear(b);
  buf_add(b, row->key.data, row->key.len);
  buf_add(b, row->ns.data, row->ns.len);
  if (b->status != SB_OK)
    return sb_fail(err, b->status, "could not visit state \"%s\": out of "
                   "memory", v->base->name);
  memset(&v->place, 0, sizeof v->place);
  v->place.key_group = row->key_group;
  v->place.key = sb_slice_of(b->data, row->key.len);
  v->place.ns = sb_slice_of(b->data + row->key.len, row->ns.len);
  v->pending = 1;
  return SB_OK;
}

/* SB_NOT_FOUND: the list is gone. */
static sb_status
visitor_read_list(sb_visitor *v, sb_error *err)
{
  sb_row row = v->place;
  sb_key place = visitor_place(v, &row);
  sb_status status = list_peek(v->base, &place, &row.value, err);

  if (status == SB_OK)
    status = visitor_keep(v, &row, err);
  if (status == SB_OK || status == SB_NOT_FOUND)
    v->pending = 0;
  return status;
}

/* SB_NOT_FOUND: the row is nothing to show. */
static sb_status
visitor_take(sb_visitor *v, sb_row *row, sb_error *err)
{
  sb_status status;

  if (v->base->kind == SB_STATE_LIST) {
    status = visitor_set_place(v, row, err);
  } else {
    status = record_unwrap(v->base, row->value, &row->value, err);
    if (status == SB_OK)
      status = visitor_keep(v, row, err);
  }
  if (status != SB_OK)
    v->failed = status;
  return status;
}

static sb_status
visitor_fill(sb_visitor *v, size_t max, sb_error *err)
{
  sb_keyed *keyed = v->context->keyed;
  sb_status status = SB_OK;
  sb_row row;

  while (v->count < max && v->bytes.len < VISITOR_BYTES) {
    if (!v->pending) {
      status = keyed->ops->scan_next(keyed, v->cursor, &row, err);
      if (status == SB_OK)
        status = visitor_take(v, &row, err);
    }
    if (v->pending)
      status = visitor_read_list(v, err);
    if (status != SB_OK && status != SB_NOT_FOUND)
      return status;
  }
  return SB_OK;
}

sb_status
sb_visitor_next(sb_visitor *v, size_t max, const sb_row **rows, size_t *count,
                sb_error *err)
{
  sb_status status;

  if (v == NULL || rows == NULL || count == NULL)
    return state_need(NULL, v == NULL ? "the visitor" : "where to put rows",
                      err);
  *rows = NULL;
  *count = 0;
  if (max == 0)
    return sb_fail(err, SB_INVALID, "cannot visit 0 rows of state \"%s\"",
                   v->base->name);
  if (v->cursor == NULL)
    return SB_END; /* the state was dropped */
  if (v->failed != SB_OK)
    return sb_fail(err, v->failed, "cannot go on visiting state \"%s\": a row "
                   "was lost for want of memory", v->base->name);
  buf_trim(&v->bytes, VISITOR_BYTES);
  v->count = 0;
  status = visitor_fill(v, max < VISITOR_ROWS_MAX ? max : VISITOR_ROWS_MAX,
                        err);
  /* Rows that were read before a failure are given: the cursor is behind
     them. The failure, if it lasts, comes with the next call. */
  if (v->count == 0)
    return status;
  visitor_point(v);
  *rows = v->rows;
  *count = v->count;
  return SB_OK;
}

/* ---- changes ------------------------------------------------------------ */

static sb_status
visitor_check(const sb_visitor *v, const sb_row *row, sb_error *err)
{
  if (v == NULL || row == NULL)
    return state_need(NULL, v == NULL ? "the visitor" : "the row", err);
  if (v->base->kind == 0)
    return state_refuse(v->base, SB_STATE_VALUE, err);
  if (v->count == 0 || row < v->rows || row >= v->rows + v->count)
    return sb_fail(err, SB_INVALID, "cannot change a row of state \"%s\" that "
                   "the visitor did not return last", v->base->name);
  return SB_OK;
}

sb_status
sb_visitor_update(sb_visitor *v, const sb_row *row, sb_slice value,
                  sb_error *err)
{
  sb_status status = visitor_check(v, row, err);
  sb_keyed *keyed;
  sb_slice stored;
  sb_key place;

  if (status == SB_OK)
    status = slice_check(value, "the value", err);
  if (status != SB_OK)
    return status;
  keyed = v->context->keyed;
  place = visitor_place(v, row);
  if (v->base->kind == SB_STATE_LIST)
    return list_replace(v->base, &place, value, err);
  status = record_wrap(v->base, value, &stored, err);
  return status != SB_OK ? status
                         : keyed->ops->put(keyed, &place, stored,
                                           row->expires_ms, err);
}

sb_status
sb_visitor_remove(sb_visitor *v, const sb_row *row, sb_error *err)
{
  sb_status status = visitor_check(v, row, err);
  sb_keyed *keyed;
  sb_key place;

  if (status != SB_OK)
    return status;
  keyed = v->context->keyed;
  place = visitor_place(v, row);
  return keyed->ops->remove(keyed, &place, err);
}
