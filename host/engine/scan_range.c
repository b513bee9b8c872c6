/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan selects; see scan_range.h. */
#include "config.h"

#include "host/base/slice.h"
#include "host/engine/scan_range.h"

#define SCAN_FLAGS (SB_SCAN_KEYS | SB_SCAN_EXPIRED)

/* What the scan looks at. */
static sb_status
range_check_bytes(const sb_scan_options *o, sb_error *err)
{
  sb_status status = SB_OK;

  if (o->has_ns)
    status = slice_check(o->ns, "the namespace of a scan", err);
  if (status == SB_OK && o->has_key)
    status = slice_check(o->key, "the key of a scan", err);
  if (status == SB_OK)
    status = slice_check(o->start, "the start of a scan", err);
  return status == SB_OK ? slice_check(o->end, "the end of a scan", err)
                         : status;
}

sb_status
scan_range_check(const keyed *k, const sb_scan_options *o, uint64_t epoch,
                 sb_error *err)
{
  if (!keyed_has_state(k, o->state, epoch))
    return sb_error_set(err, SB_INVALID, "cannot scan: there is no state %u",
                        (unsigned)o->state);
  if (o->has_key && !o->has_ns)
    return sb_error_set(err, SB_INVALID, "cannot scan one key of all "
                        "namespaces: give the namespace too");
  if (o->flags & ~SCAN_FLAGS)
    return sb_error_set(err, SB_INVALID, "cannot scan with flags %#x",
                        (unsigned)o->flags);
  if (o->ns.len > SB_NAMESPACE_MAX || o->key.len > SB_KEY_MAX ||
      o->start.len > SB_SUBKEY_MAX ||
      o->end.len > SB_SUBKEY_MAX + 1) /* right behind any key */
    return sb_error_set(err, SB_TOO_LARGE, "cannot scan: a bound is over %u "
                        "bytes", SB_KEY_MAX);
  return range_check_bytes(o, err);
}

/* As an offset until the buffer has stopped growing. */
static sb_slice
range_keep(scan_range *r, sb_slice s)
{
  size_t at = r->bytes.len;

  buf_add(&r->bytes, s.data, s.len);
  return sb_slice_of((void *)(uintptr_t)at, s.len);
}

static void
range_settle(const scan_range *r, sb_slice *s)
{
  s->data = r->bytes.data + (uintptr_t)s->data;
}

sb_status
scan_range_init(scan_range *r, keyed *k, const sb_scan_options *o,
                sb_error *err)
{
  buf bytes = r->bytes;

  memset(r, 0, sizeof *r);
  r->bytes = bytes;
  if (bytes.host == NULL)
    buf_init(&r->bytes, k->host, SCAN_PLACE_MAX);
  buf_clear(&r->bytes);
  r->state = k->states[o->state];
  r->flags = o->flags;
  r->has_ns = o->has_ns != 0;
  r->has_key = o->has_key != 0;
  r->key_group_first = o->key_group_first < k->key_group_first
                         ? k->key_group_first : o->key_group_first;
  r->key_group_last = o->key_group_last > k->key_group_last
                        ? k->key_group_last : o->key_group_last;
  r->ns = range_keep(r, r->has_ns ? o->ns : sb_slice_of(NULL, 0));
  buf_u8(&r->bytes, 0);
  r->key = range_keep(r, r->has_key ? o->key : sb_slice_of(NULL, 0));
  r->start = range_keep(r, o->start);
  r->end = range_keep(r, o->end);
  buf_u8(&r->bytes, 0);
  if (r->bytes.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not open a cursor: no memory");
  range_settle(r, &r->ns);
  r->behind_ns = sb_slice_of(r->ns.data, r->ns.len + 1);
  range_settle(r, &r->key);
  range_settle(r, &r->start);
  range_settle(r, &r->end);
  return SB_OK;
}

void
scan_range_dispose(scan_range *r)
{
  buf_dispose(&r->bytes);
}

void
scan_range_first(const scan_range *r, uint32_t key_group, record *out)
{
  memset(out, 0, sizeof *out);
  out->state = r->state->id;
  out->key_group = (uint16_t)key_group;
  out->flags = RECORD_CLEAR | (r->state->ordered ? RECORD_ORDERED : 0);
  out->ns = r->ns;
  if (r->has_key) {
    out->key = r->key;
    out->hash = r->state->ordered ? 0 : record_hash(r->key);
  } else if (r->state->ordered) {
    out->key = r->start;
  }
}

int
scan_range_goes_on(const scan_range *r, const record *at)
{
  if (at->state != r->state->id || (r->has_ns && !slice_equal(at->ns, r->ns)) ||
      (r->has_key && !slice_equal(at->key, r->key)))
    return 0;
  return !r->state->ordered || r->end.len == 0 ||
         slice_compare(at->key, r->end) < 0;
}

int
scan_range_has(const scan_range *r, const record *at)
{
  sb_slice by;

  if (r->has_ns && !slice_equal(at->ns, r->ns))
    return 0;
  if (r->has_key && !slice_equal(at->key, r->key))
    return 0;
  by = r->state->ordered ? at->key : at->subkey;
  if (r->start.len != 0 && slice_compare(by, r->start) < 0)
    return 0;
  return r->end.len == 0 || slice_compare(by, r->end) < 0;
}

int
scan_range_may_hold(const scan_range *r, const segment *s, uint32_t key_group)
{
  record from, to;

  scan_range_first(r, key_group, &from);
  if (r->has_key || (r->has_ns && r->ns.len != 0))
    return segment_may_hold(&s->info, &from);
  /* Without a namespace the hash decides: any. With all namespaces: any. */
  to = from;
  to.hash = UINT64_MAX;
  return separator_word(&from) <= s->info.word_last &&
         ((r->has_ns ? separator_word(&to) : separator_word(&to) | 0xffffu) >=
          s->info.word_first);
}

sb_status
scan_keep_place(buf *bytes, const record *r, record *out, sb_error *err)
{
  uint8_t *at;

  buf_clear(bytes);
  at = buf_extend(bytes, r->key.len + r->ns.len + r->subkey.len + 1);
  if (at == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  if (r->key.len != 0)
    memcpy(at, r->key.data, r->key.len);
  if (r->ns.len != 0)
    memcpy(at + r->key.len, r->ns.data, r->ns.len);
  if (r->subkey.len != 0)
    memcpy(at + r->key.len + r->ns.len, r->subkey.data, r->subkey.len);
  record_copy(out, r);
  out->key.data = at;
  out->ns.data = at + r->key.len;
  out->subkey.data = at + r->key.len + r->ns.len;
  out->value = sb_slice_of(NULL, 0);
  out->flags &= RECORD_ORDERED;
  return SB_OK;
}
