/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators; see iterator.h. */
#include "config.h"

#include "host/state/iterator.h"
#include "host/state/list.h"
#include "host/state/record.h"
#include "host/state/ttl.h"

sb_iterator *
iterator_new(sb_context *context, size_t count)
{
  const sb_host *host = context->host;
  sb_iterator *it = mem_zalloc(host, sizeof *it + count * sizeof *it->sources);
  size_t i;

  if (it == NULL)
    return NULL;
  it->context = context;
  it->count = count;
  buf_init(&it->bytes, host, (size_t)SB_VALUE_MAX + 4 * (SB_KEY_MAX + 1));
  for (i = 0; i < count; i++)
    buf_init(&it->sources[i].key, host, SB_KEY_MAX);
  it->next = context->iterators;
  if (it->next != NULL)
    it->next->previous = it;
  context->iterators = it;
  return it;
}

void
sb_iterator_close(sb_iterator *it)
{
  sb_context *context;
  size_t i;

  if (it == NULL)
    return;
  context = it->context;
  if (it->previous != NULL)
    it->previous->next = it->next;
  else
    context->iterators = it->next;
  if (it->next != NULL)
    it->next->previous = it->previous;
  for (i = 0; i < it->count; i++) {
    if (it->sources[i].cursor != NULL)
      context->keyed->ops->scan_close(context->keyed, it->sources[i].cursor);
    buf_dispose(&it->sources[i].key);
  }
  buf_dispose(&it->bytes);
  mem_free(context->host, it);
}

sb_status
iterator_of(state_base *base, sb_iterator **out, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_scan_options options;
  sb_iterator *it;
  sb_status status;

  *out = NULL;
  ttl_clean(base);
  status = context_scan_options(base, &options, err);
  if (status != SB_OK)
    return status;
  it = iterator_new(base->context, 1);
  if (it == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not iterate over state \"%s\": "
                   "out of memory", base->name);
  it->base = base;
  it->sources[0].state = base->id;
  status = keyed->ops->scan_open(keyed, &options, &it->sources[0].cursor,
                                 err);
  if (status == SB_OK)
    *out = it;
  else
    sb_iterator_close(it);
  return status;
}

/* ---- elements and entries ----------------------------------------------- */

/* Copies a row that the cursor lent, as another call is about to be made. */
static sb_status
iterator_own(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_slice *parts[] = { &row->key, &row->ns, &row->subkey, &row->value };
  const uint8_t *at;
  size_t i;

  buf_clear(&it->bytes);
  for (i = 0; i < 4; i++)
    buf_add(&it->bytes, parts[i]->data, parts[i]->len);
  if (it->bytes.status != SB_OK)
    return sb_fail(err, it->bytes.status, "could not iterate over state "
                   "\"%s\": out of memory", it->base->name);
  at = it->bytes.data;
  for (i = 0; i < 4; i++) {
    parts[i]->data = at;
    at += parts[i]->len;
  }
  return SB_OK;
}

/* The value as it is stored for the row the cursor is on. */
static sb_status
iterator_store(sb_iterator *it, sb_slice stored, sb_error *err)
{
  sb_keyed *keyed = it->context->keyed;
  uint64_t stamp = it->base->stamped ? 0 : ttl_stamp(it->base);

  return keyed->ops->scan_update(keyed, it->sources[0].cursor, stored, stamp,
                                 err);
}

/* Writes the row back with a new stamp. */
static sb_status
iterator_renew(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_slice value = row->value;
  sb_status status = iterator_own(it, row, err);

  if (status != SB_OK)
    return status;
  value = row->value;
  if (it->base->stamped) {
    (void)ttl_split(row->value, &value);
    status = list_wrap(it->base, value, &value, err);
  }
  return status != SB_OK ? status : iterator_store(it, value, err);
}

/* What reading does to a row of a state with time to live. *skip: it has
   expired and is not shown. */
static sb_status
iterator_live(sb_iterator *it, sb_row *row, int *skip, sb_error *err)
{
  const state_base *base = it->base;
  sb_keyed *keyed = it->context->keyed;
  sb_slice value;
  uint64_t stamp = base->stamped ? ttl_split(row->value, &value)
                                 : row->expires_ms;
  sb_status status = SB_OK;

  *skip = 0;
  if (ttl_over(base, stamp)) {
    *skip = base->ttl_visibility == SB_TTL_NEVER;
    if (base->context->read_only)
      return SB_OK;
    if (!*skip)
      status = iterator_own(it, row, err);
    if (status != SB_OK)
      return status;
    it->removed = 1;
    status = keyed->ops->scan_remove(keyed, it->sources[0].cursor, err);
    return status == SB_NOT_FOUND ? SB_OK : status;
  }
  if (base->ttl_update == SB_TTL_READ_WRITE && !base->context->read_only &&
      stamp != ttl_stamp(base))
    status = iterator_renew(it, row, err);
  /* A list that was replaced meanwhile still shows what the cursor has. */
  return status == SB_NOT_FOUND ? SB_OK : status;
}

static sb_status
iterator_next(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_keyed *keyed = it->context->keyed;
  sb_status status;
  int skip;

  do {
    skip = 0;
    it->removed = 0;
    status = keyed->ops->scan_next(keyed, it->sources[0].cursor, row, err);
    if (status == SB_OK && it->base->ttl_ms != 0)
      status = iterator_live(it, row, &skip, err);
  } while (status == SB_OK && skip);
  if (status != SB_OK)
    return status;
  if (it->base->stamped) {
    row->expires_ms = ttl_split(row->value, &row->value);
    return SB_OK;
  }
  return record_unwrap(it->base, row->value, &row->value, err);
}

sb_status
sb_iterator_next(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_status status;

  if (it == NULL || row == NULL)
    return state_need(NULL, it == NULL ? "the iterator" : "the row", err);
  it->has_row = 0;
  memset(row, 0, sizeof *row);
  if (it->count == 1 && it->sources[0].cursor == NULL)
    return SB_END; /* the state was dropped */
  status = it->base == NULL ? keys_next(it, row, err)
                            : iterator_next(it, row, err);
  it->has_row = status == SB_OK;
  return status;
}

static sb_status
iterator_check(const sb_iterator *it, sb_error *err)
{
  if (it == NULL)
    return state_need(NULL, "the iterator", err);
  if (!it->has_row)
    return sb_fail(err, SB_INVALID, "cannot change a row: the iterator is on "
                   "none");
  return SB_OK;
}

sb_status
sb_iterator_remove(sb_iterator *it, sb_error *err)
{
  sb_keyed *keyed;
  sb_status status = iterator_check(it, err);

  if (status != SB_OK)
    return status;
  it->has_row = 0;
  if (it->base == NULL)
    return keys_remove(it, err);
  if (it->removed)
    return SB_OK;
  keyed = it->context->keyed;
  status = keyed->ops->scan_remove(keyed, it->sources[0].cursor, err);
  return status == SB_NOT_FOUND ? SB_OK : status;
}

sb_status
sb_iterator_set(sb_iterator *it, sb_slice value, sb_error *err)
{
  sb_slice stored;
  sb_status status = iterator_check(it, err);

  if (status != SB_OK)
    return status;
  if (it->base == NULL)
    return sb_fail(err, SB_INVALID, "cannot set a value: the iterator is over "
                   "keys");
  if (it->removed && it->base->stamped)
    return sb_fail(err, SB_NOT_FOUND, "cannot set an element of list \"%s\": "
                   "it has expired", it->base->name);
  if (it->base->kind == SB_STATE_LIST)
    status = list_wrap(it->base, value, &stored, err);
  else
    status = record_wrap(it->base, value, &stored, err);
  return status != SB_OK ? status : iterator_store(it, stored, err);
}
