/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List state: elements appended without reading, read in order. With a time to
 * live each element has its stamp in front.
 */
#include "config.h"

#include "host/state/iterator.h"
#include "host/state/list.h"
#include "host/state/record.h"
#include "host/state/spec.h"
#include "host/state/ttl.h"

#define LIST_KEEP_MAX ((size_t)1 << 20) /* of context.reading */
#define LIST_STAMP_MAX 128u /* elements that get their stamps at once, */
#define LIST_STAMP_BYTES ((size_t)1 << 16) /* and their bytes */

struct sb_list {
  state_base base;
};

sb_status
sb_list_open_spec(sb_context *context, const sb_state_spec *spec,
                  sb_list **out, sb_error *err)
{
  state_base *base;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the state", err);
  *out = NULL;
  status = spec_open(context, spec, SB_STATE_LIST, sizeof (sb_list), &base,
                     err);
  if (status == SB_OK)
    *out = (sb_list *)base;
  return status;
}

sb_status
sb_list_open(sb_context *context, const char *name, sb_list **out,
             sb_error *err)
{
  sb_state_spec spec = { .struct_size = sizeof spec };

  spec.name = name;
  return sb_list_open_spec(context, &spec, out, err);
}

/* ---- writing ------------------------------------------------------------ */

sb_status
list_wrap(const state_base *base, sb_slice element, sb_slice *stored,
          sb_error *err)
{
  buf *b = &base->context->writing;
  uint8_t stamp[TTL_STAMP_LEN];

  *stored = element;
  if (!base->stamped)
    return SB_OK;
  if (slice_bad(element))
    return slice_refuse(element, "the element", err);
  ttl_put_stamp(stamp, ttl_stamp(base));
  buf_clear(b);
  buf_add(b, stamp, sizeof stamp);
  buf_add(b, element.data, element.len);
  if (b->status != SB_OK)
    return sb_fail(err, b->status, "could not add an element of %zu bytes to "
                   "list \"%s\": %s", element.len, base->name,
                   b->status == SB_NO_MEMORY ? "out of memory"
                                             : "it is too large");
  *stored = sb_slice_of(b->data, b->len);
  return SB_OK;
}

sb_status
list_add(state_base *base, const sb_key *place, sb_slice element,
         sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_slice stored;
  sb_status status = list_wrap(base, element, &stored, err);

  return status != SB_OK ? status
                         : keyed->ops->append(keyed, place, stored, 0, err);
}

sb_status
list_replace(state_base *base, const sb_key *place, sb_slice elements,
             sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_status status = keyed->ops->clear(keyed, place, err);
  sb_slice element;

  while (status == SB_OK && sb_list_element(&elements, &element))
    status = list_add(base, place, element, err);
  return status;
}

sb_status
sb_list_add(sb_list *state, sb_slice element, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status != SB_OK)
    return status;
  status = list_add(&state->base, &place, element, err);
  ttl_clean(&state->base);
  return status;
}

/* Copies elements with a stamp each and adds them, as many as are worth it:
   *added. */
static sb_status
list_add_stamped(state_base *base, const sb_key *place,
                 const sb_slice *elements, size_t count, size_t *added,
                 sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  buf *b = &base->context->writing;
  sb_slice stored[LIST_STAMP_MAX];
  uint8_t stamp[TTL_STAMP_LEN];
  size_t n, i, at = 0;

  ttl_put_stamp(stamp, ttl_stamp(base));
  buf_clear(b);
  for (n = 0; n < count && n < LIST_STAMP_MAX && b->len < LIST_STAMP_BYTES &&
              elements[n].len <= LIST_STAMP_BYTES - b->len; n++) {
    buf_add(b, stamp, sizeof stamp);
    buf_add(b, elements[n].data, elements[n].len);
  }
  *added = 1;
  if (n <= 1)
    return list_add(base, place, elements[0], err);
  *added = n;
  if (b->status != SB_OK)
    return sb_fail(err, b->status, "could not add %zu elements to list "
                   "\"%s\": out of memory", n, base->name);
  for (i = 0; i < n; i++) {
    stored[i] = sb_slice_of(b->data + at, sizeof stamp + elements[i].len);
    at += stored[i].len;
  }
  return keyed->ops->append_all(keyed, place, stored, n, 0, err);
}

static sb_status
list_add_each(state_base *base, const sb_key *place, const sb_slice *elements,
              size_t count, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  int all = SB_KEYED_HAS(keyed, append_all);
  sb_status status;
  size_t i, n;

  if (all && !base->stamped && count > 1)
    return keyed->ops->append_all(keyed, place, elements, count, 0, err);
  status = slices_check(elements, count, "element", err);
  for (i = 0; status == SB_OK && i < count; i += n) {
    n = 1;
    status = all && count > 1
               ? list_add_stamped(base, place, elements + i, count - i, &n,
                                  err)
               : list_add(base, place, elements[i], err);
  }
  return status;
}

static sb_status
list_add_all(sb_list *state, const sb_key *place, const sb_slice *elements,
             size_t count, sb_error *err)
{
  sb_status status = list_add_each(&state->base, place, elements, count, err);

  ttl_clean(&state->base);
  return status;
}

sb_status
sb_list_add_all(sb_list *state, const sb_slice *elements, size_t count,
                sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status == SB_OK && count != 0)
    status = state_need(elements, "the elements", err);
  return status != SB_OK ? status
                         : list_add_all(state, &place, elements, count, err);
}

sb_status
sb_list_update(sb_list *state, const sb_slice *elements, size_t count,
               sb_error *err)
{
  sb_keyed *keyed;
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status == SB_OK && count != 0)
    status = state_need(elements, "the elements", err);
  if (status != SB_OK)
    return status;
  keyed = state->base.context->keyed;
  if (!state->base.stamped && SB_KEYED_HAS(keyed, replace_all)) {
    status = keyed->ops->replace_all(keyed, &place, elements, count, 0, err);
    ttl_clean(&state->base);
    return status;
  }
  status = slices_check(elements, count, "element", err);
  if (status == SB_OK)
    status = keyed->ops->clear(keyed, &place, err);
  return status != SB_OK ? status
                         : list_add_all(state, &place, elements, count, err);
}

sb_status
sb_list_clear(sb_list *state, sb_error *err)
{
  sb_keyed *keyed;
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status != SB_OK)
    return status;
  keyed = state->base.context->keyed;
  return keyed->ops->clear(keyed, &place, err);
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
list_cut_off(const state_base *base, size_t len, sb_error *err)
{
  return sb_fail(err, SB_CORRUPT, "could not read list \"%s\" of %zu bytes: "
                 "its last element is cut off", base->name, len);
}

sb_status
list_unpack(const state_base *base, sb_slice stored, int expired_too, buf *out,
            list_count *count, sb_error *err)
{
  sb_slice rest = stored, element, value;
  uint64_t now = ttl_stamp(base);

  memset(count, 0, sizeof *count);
  while (sb_list_element(&rest, &element)) {
    uint64_t stamp = ttl_split(element, &value);
    int over = ttl_over(base, stamp);

    count->live += !over;
    count->older += !over && stamp != now;
    if (over && !expired_too)
      continue;
    buf_u32(out, (uint32_t)value.len);
    buf_add(out, value.data, value.len);
  }
  if (rest.len != 0)
    return list_cut_off(base, stored.len, err);
  if (out->status != SB_OK)
    return sb_fail(err, out->status, "could not read list \"%s\": out of "
                   "memory", base->name);
  return out->len == 0 ? SB_NOT_FOUND : SB_OK;
}

/* Gives what has not expired a new stamp, and forgets the rest. */
static sb_status
list_renew(state_base *base, const sb_key *place, sb_slice stored,
           sb_error *err)
{
  list_count count;
  sb_status status;
  buf live;

  buf_init(&live, base->context->host, (size_t)SB_VALUE_MAX + 64);
  status = list_unpack(base, stored, 0, &live, &count, err);
  if (status == SB_OK)
    status = list_replace(base, place, sb_slice_of(live.data, live.len), err);
  buf_dispose(&live);
  return status;
}

/* Reading a list renews it, or removes it if all of it has expired. */
static sb_status
list_was_read(state_base *base, const sb_key *place, sb_slice stored,
              const list_count *count, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;

  if (base->context->read_only)
    return SB_OK;
  if (count->live == 0)
    return keyed->ops->clear(keyed, place, err);
  if (base->ttl_update == SB_TTL_READ_WRITE && count->older != 0)
    return list_renew(base, place, stored, err);
  return SB_OK;
}

sb_status
list_peek(const state_base *base, const sb_key *place, sb_slice *elements,
          sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  buf *out = &base->context->reading;
  list_count count;
  sb_status status = keyed->ops->get(keyed, place, elements, err);

  if (status != SB_OK || !base->stamped)
    return status;
  buf_trim(out, LIST_KEEP_MAX);
  status = list_unpack(base, *elements,
                       base->ttl_visibility == SB_TTL_UNLESS_CLEANED, out,
                       &count, err);
  *elements = sb_slice_of(out->data, out->len);
  return status;
}

sb_status
list_get(state_base *base, const sb_key *place, sb_slice *elements,
         sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  buf *out = &base->context->reading;
  list_count count;
  sb_status status, read;

  ttl_clean(base);
  status = keyed->ops->get(keyed, place, elements, err);
  if (status != SB_OK || !base->stamped)
    return status;
  buf_trim(out, LIST_KEEP_MAX);
  read = list_unpack(base, *elements,
                     base->ttl_visibility == SB_TTL_UNLESS_CLEANED, out,
                     &count, err);
  if (read == SB_OK || read == SB_NOT_FOUND)
    status = list_was_read(base, place, *elements, &count, err);
  *elements = sb_slice_of(out->data, out->len);
  return status != SB_OK ? status : read;
}

sb_status
sb_list_get(sb_list *state, sb_slice *elements, sb_error *err)
{
  sb_slice found;
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status == SB_OK)
    status = state_need(elements, "where to put the list", err);
  if (status == SB_OK)
    status = list_get(&state->base, &place, &found, err);
  if (status == SB_OK)
    *elements = found;
  return status;
}

/* A list too large for one value, by cursor. */
static sb_status
list_scan(sb_list *state, sb_element_fn *fn, void *arg, sb_error *err)
{
  sb_iterator *iterator;
  sb_row row;
  sb_status status = sb_list_iterate(state, &iterator, err);

  while (status == SB_OK) {
    status = sb_iterator_next(iterator, &row, err);
    if (status == SB_OK && fn(arg, row.value) != 0)
      break;
  }
  sb_iterator_close(iterator);
  return status == SB_END ? SB_OK : status;
}

sb_status
sb_list_each(sb_list *state, sb_element_fn *fn, void *arg, sb_error *err)
{
  sb_slice rest, element, all;
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &place, err);

  if (status == SB_OK && fn == NULL)
    status = state_need(NULL, "the function", err);
  if (status != SB_OK)
    return status;
  status = list_get(&state->base, &place, &all, err);
  if (status == SB_TOO_LARGE)
    return list_scan(state, fn, arg, err);
  if (status != SB_OK)
    return status;
  rest = all;
  while (sb_list_element(&rest, &element))
    if (fn(arg, element) != 0)
      return SB_OK;
  return rest.len == 0 ? SB_OK : list_cut_off(&state->base, all.len, err);
}

sb_status
sb_list_iterate(sb_list *state, sb_iterator **out, sb_error *err)
{
  sb_status status = state_use((const state_base *)state, SB_STATE_LIST, err);

  if (out == NULL)
    return state_need(NULL, "where to put the iterator", err);
  *out = NULL;
  return status != SB_OK ? status : iterator_of(&state->base, out, err);
}

/* ---- merging namespaces ------------------------------------------------- */

/* Appends what one namespace has, stamps and all. */
static sb_status
list_append_all(state_base *base, const sb_key *source, const sb_key *target,
                sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_scan_options options;
  sb_cursor *cursor;
  sb_slice value;
  sb_row row;
  sb_status status = context_scan_options(base, &options, err);

  if (status != SB_OK)
    return status;
  options.ns = source->ns;
  status = keyed->ops->scan_open(keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  while ((status = keyed->ops->scan_next(keyed, cursor, &row, err)) == SB_OK) {
    if (base->stamped && ttl_over(base, ttl_split(row.value, &value)) &&
        base->ttl_visibility == SB_TTL_NEVER)
      continue;
    status = keyed->ops->append(keyed, target, row.value, 0, err);
    if (status != SB_OK)
      break;
  }
  keyed->ops->scan_close(keyed, cursor);
  return status == SB_END ? SB_OK : status;
}

sb_status
sb_list_merge(sb_list *state, sb_slice target, const sb_slice *sources,
              size_t count, sb_error *err)
{
  sb_keyed *keyed;
  sb_key to, from;
  sb_status status = context_use((const state_base *)state, SB_STATE_LIST,
                                 record_alone, &to, err);
  size_t i;

  if (status == SB_OK && count != 0)
    status = state_need(sources, "the namespaces to merge", err);
  if (status == SB_OK)
    status = context_check_merge(target, sources, count, err);
  if (status != SB_OK)
    return status;
  keyed = state->base.context->keyed;
  from = to;
  to.ns = target;
  for (i = 0; status == SB_OK && i < count; i++) {
    from.ns = sources[i];
    if (from.ns.len == target.len &&
        (target.len == 0 ||
         memcmp(from.ns.data, target.data, target.len) == 0))
      continue;
    status = list_append_all(&state->base, &from, &to, err);
    if (status == SB_OK)
      status = keyed->ops->clear(keyed, &from, err);
  }
  return status;
}
