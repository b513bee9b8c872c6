/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that states have. Several states are merged: their cursors return keys
 * of one namespace by key group, then by hash, then by key, so that each key
 * comes up in all of them at the same time.
 */
#include "config.h"

#include "host/engine/record.h"
#include "host/state/iterator.h"

/* ---- opening ------------------------------------------------------------ */

static sb_status
keys_open_source(sb_iterator *it, size_t i, uint32_t state, const sb_slice *ns,
                 sb_error *err)
{
  const sb_context *context = it->context;
  sb_scan_options options = { .struct_size = sizeof options };

  options.flags = SB_SCAN_KEYS;
  options.state = state;
  options.key_group_first = context->key_group_first;
  options.key_group_last = context->key_group_last;
  if (ns != NULL) {
    options.has_ns = 1;
    options.ns = *ns;
  }
  it->sources[i].state = state;
  return context->keyed->ops->scan_open(context->keyed, &options,
                                        &it->sources[i].cursor, err);
}

static sb_status
keys_open(sb_context *context, const char *const *states, size_t count,
          const sb_slice *ns, sb_iterator **out, sb_error *err)
{
  sb_iterator *it = iterator_new(context, count);
  sb_status status = SB_OK;
  uint32_t state;
  size_t i;

  if (it == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not iterate over keys: out of memory");
  for (i = 0; status == SB_OK && i < count; i++) {
    status = context_lookup(context, states[i], &state, err);
    if (status == SB_OK)
      status = keys_open_source(it, i, state, ns, err);
  }
  if (status != SB_OK) {
    sb_iterator_close(it);
    return status;
  }
  if (ns != NULL)
    buf_add(&it->bytes, ns->data, ns->len);
  if (it->bytes.status != SB_OK) {
    status = it->bytes.status;
    sb_iterator_close(it);
    return sb_fail(err, status, "could not iterate over keys: a namespace of "
                   "%zu bytes does not fit", ns->len);
  }
  *out = it;
  return SB_OK;
}

sb_status
sb_context_keys(sb_context *context, const char *const *states, size_t count,
                sb_slice ns, sb_iterator **out, sb_error *err)
{
  if (out == NULL)
    return state_need(NULL, "where to put the iterator", err);
  *out = NULL;
  if (context == NULL || states == NULL)
    return state_need(NULL, context == NULL ? "the context" : "the states",
                      err);
  if (count == 0)
    return sb_fail(err, SB_INVALID, "cannot iterate over the keys of no "
                   "state");
  if (slice_bad(ns))
    return slice_refuse(ns, "the namespace", err);
  return keys_open(context, states, count, &ns, out, err);
}

sb_status
sb_context_keys_and_namespaces(sb_context *context, const char *state,
                               sb_iterator **out, sb_error *err)
{
  if (out == NULL)
    return state_need(NULL, "where to put the iterator", err);
  *out = NULL;
  if (context == NULL)
    return state_need(NULL, "the context", err);
  return keys_open(context, &state, 1, NULL, out, err);
}

sb_status
sb_context_remove_namespace(sb_context *context, const char *state,
                            sb_slice ns, sb_error *err)
{
  sb_scan_options range = { .struct_size = sizeof range };
  sb_keyed *keyed;
  sb_status status;

  if (context == NULL)
    return state_need(NULL, "the context", err);
  status = slice_check(ns, "the namespace", err);
  if (status == SB_OK)
    status = context_lookup(context, state, &range.state, err);
  if (status != SB_OK)
    return status;
  keyed = context->keyed;
  range.key_group_first = context->key_group_first;
  range.key_group_last = context->key_group_last;
  range.has_ns = 1;
  range.ns = ns;
  return keyed->ops->remove_range(keyed, &range, err);
}

/* ---- one state ---------------------------------------------------------- */

static sb_status
keys_next_single(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_keyed *keyed = it->context->keyed;
  sb_status status = keyed->ops->scan_next(keyed, it->sources[0].cursor, row,
                                           err);

  if (status != SB_OK)
    return status;
  row->subkey = row->value = sb_slice_of(NULL, 0);
  return SB_OK;
}

/* ---- several states ----------------------------------------------------- */

static int
keys_compare(const iterator_source *a, const iterator_source *b)
{
  if (a->key_group != b->key_group)
    return a->key_group < b->key_group ? -1 : 1;
  if (a->hash != b->hash)
    return a->hash < b->hash ? -1 : 1;
  return slice_compare(sb_slice_of(a->key.data, a->key.len),
                       sb_slice_of(b->key.data, b->key.len));
}

/* The next row of a source, copied. */
static sb_status
keys_advance(sb_iterator *it, iterator_source *source, sb_error *err)
{
  sb_keyed *keyed = it->context->keyed;
  uint32_t group = source->key_group;
  uint64_t hash = source->hash;
  int first = !source->at_row;
  sb_row row;
  sb_status status = keyed->ops->scan_next(keyed, source->cursor, &row, err);

  if (status == SB_END) {
    source->at_end = 1;
    return SB_OK;
  }
  if (status != SB_OK)
    return status;
  buf_clear(&source->key);
  buf_add(&source->key, row.key.data, row.key.len);
  if (source->key.status != SB_OK)
    return sb_fail(err, source->key.status,
                   "could not iterate over keys: out of memory");
  source->key_group = row.key_group;
  source->hash = record_hash(row.key);
  source->at_row = 1;
  if (!first && (source->key_group < group ||
                 (source->key_group == group && source->hash < hash)))
    return sb_fail(err, SB_UNSUPPORTED, "cannot iterate over the keys of "
                   "several states: the backend returns them in another "
                   "order");
  return SB_OK;
}

/* Moves the sources on that are at the row last returned, and those that have
   not begun. */
static sb_status
keys_advance_all(sb_iterator *it, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i;

  for (i = 0; status == SB_OK && i < it->count; i++) {
    iterator_source *source = &it->sources[i];

    if (source->at_end || (source->at_row && !source->at_last))
      continue;
    status = keys_advance(it, source, err);
  }
  return status;
}

static sb_status
keys_next_merged(sb_iterator *it, sb_row *row, sb_error *err)
{
  iterator_source *least = NULL;
  sb_status status = keys_advance_all(it, err);
  size_t i;

  if (status != SB_OK)
    return status;
  for (i = 0; i < it->count; i++)
    if (!it->sources[i].at_end &&
        (least == NULL || keys_compare(&it->sources[i], least) < 0))
      least = &it->sources[i];
  if (least == NULL)
    return SB_END;
  for (i = 0; i < it->count; i++)
    it->sources[i].at_last = !it->sources[i].at_end &&
                             keys_compare(&it->sources[i], least) == 0;
  row->key_group = least->key_group;
  row->key = sb_slice_of(least->key.data, least->key.len);
  row->ns = sb_slice_of(it->bytes.data, it->bytes.len);
  return SB_OK;
}

sb_status
keys_next(sb_iterator *it, sb_row *row, sb_error *err)
{
  sb_status status = it->count == 1 ? keys_next_single(it, row, err)
                                    : keys_next_merged(it, row, err);

  if (status == SB_OK)
    it->row = *row;
  return status;
}

/* A single cursor still knows its row; of several states the iterator does. */
sb_status
keys_remove(sb_iterator *it, sb_error *err)
{
  sb_keyed *keyed = it->context->keyed;
  sb_key place = { .state = 0 };
  sb_status status = SB_OK;
  size_t i;

  if (it->count == 1)
    return keyed->ops->scan_remove(keyed, it->sources[0].cursor, err);
  place.ns = it->row.ns;
  place.key = it->row.key;
  place.key_group = it->row.key_group;
  for (i = 0; status == SB_OK && i < it->count; i++) {
    place.state = it->sources[i].state;
    if (it->sources[i].cursor != NULL) /* the state was not dropped */
      status = keyed->ops->clear(keyed, &place, err);
  }
  return status;
}
