/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of a canonical savepoint into its pieces: key, namespace, subkey,
 * value or the elements of a list.
 */
#include "config.h"

#include "host/checkpoint/canonical_read.h"

static sb_status
field_refuse(const sb_canonical_reader *r, sb_error *err, const char *why)
{
  const sb_slice name = r->state->info.name;

  return sb_error_set(err, SB_CORRUPT, "canonical savepoint is damaged before "
                      "byte %llu: state \"%.*s\" %s",
                      (unsigned long long)r->in.position, (int)name.len,
                      (const char *)name.data, why);
}

static sb_slice
field_rest(sb_slice bytes, size_t len)
{
  if (len == 0)
    return bytes; /* there may be no bytes at all */
  return sb_slice_of((const uint8_t *)bytes.data + len, bytes.len - len);
}

/* A byte string with its length in front. */
static sb_status
field_string(const sb_canonical_reader *r, sb_slice *bytes, sb_slice *out,
             sb_error *err)
{
  uint32_t len;

  if (bytes->len < 4)
    return field_refuse(r, err, "has an entry that is too short");
  len = java_load_int(bytes->data);
  if (len > bytes->len - 4)
    return field_refuse(r, err, "has an entry that is too short");
  *out = sb_slice_of((const uint8_t *)bytes->data + 4, len);
  *bytes = field_rest(*bytes, 4 + (size_t)len);
  return SB_OK;
}

/* Bytes of a serializer that is not ours: `fixed` long, or all but the
   `behind` last ones (SIZE_MAX: unknown), or as the caller says. */
static sb_status
field_verbatim(const sb_canonical_reader *r, uint32_t field, size_t fixed,
               size_t behind, sb_slice *bytes, sb_slice *out, sb_error *err)
{
  const sb_canonical_read *o = &r->options;
  size_t len = fixed;
  sb_status status;

  if (fixed == 0 && behind != SIZE_MAX) {
    if (behind > bytes->len)
      return field_refuse(r, err, "has an entry that is too short");
    len = bytes->len - behind;
  } else if (fixed == 0) {
    if (o->field == NULL)
      return sb_error_set(err, SB_INVALID, "cannot read state \"%.*s\" of a "
                          "canonical savepoint: nothing tells how long its %s "
                          "are", (int)r->state->info.name.len,
                          (const char *)r->state->info.name.data,
                          field == SB_FIELD_KEY ? "keys" :
                          field == SB_FIELD_NAMESPACE ? "namespaces" :
                                                        "elements");
    status = o->field(o->field_arg, field, r->state->info.name, *bytes, &len,
                      err);
    if (status != SB_OK)
      return status;
  }
  if (len > bytes->len)
    return field_refuse(r, err, "has an entry that is too short");
  *out = sb_slice_of(bytes->data, len);
  *bytes = field_rest(*bytes, len);
  return SB_OK;
}

/* The length behind a field, where neither key nor namespace is fixed. */
static sb_status
field_length(const sb_canonical_reader *r, size_t length, sb_slice *bytes,
             sb_error *err)
{
  const uint8_t *p = bytes->data;
  size_t at = 0;

  do {
    if (at == bytes->len || p[at] != (uint8_t)length)
      return field_refuse(r, err, "has a key with a wrong length");
    at++;
    length >>= 8;
  } while (length != 0);
  *bytes = field_rest(*bytes, at);
  return SB_OK;
}

static size_t
field_length_size(size_t length)
{
  size_t n = 1;

  while ((length >>= 8) != 0)
    n++;
  return n;
}

/* How many bytes follow the key in an entry's key, if that is fixed. */
static size_t
field_behind_key(const canonical_state *s)
{
  if (s->info.kind == SB_STATE_MAP)
    return SIZE_MAX;
  if (s->info.flags & SB_CANONICAL_VOID_NAMESPACE)
    return 1;
  return s->info.encoding == SB_CANONICAL_VERBATIM && s->namespace_length != 0
           ? s->namespace_length : SIZE_MAX;
}

static sb_status
field_key_field(sb_canonical_reader *r, int ambiguous, sb_slice *bytes,
                sb_error *err)
{
  const uint8_t *start = bytes->data;
  sb_status status;

  if (r->key_encoding == SB_CANONICAL_BYTES)
    status = field_string(r, bytes, &r->row.key, err);
  else
    status = field_verbatim(r, SB_FIELD_KEY, r->key_length,
                            field_behind_key(r->state), bytes, &r->row.key,
                            err);
  if (status != SB_OK || !ambiguous)
    return status;
  return field_length(r, (size_t)((const uint8_t *)bytes->data - start), bytes,
                      err);
}

/* The namespace's length stands at the end if no subkey follows: a length that
   fits is the right one in front of nothing else. */
static sb_status
field_last_namespace(sb_canonical_reader *r, sb_slice *bytes, sb_error *err)
{
  size_t size;

  for (size = 1; size <= 4 && size <= bytes->len; size++) {
    size_t len = bytes->len - size;
    sb_slice tail = field_rest(*bytes, len);

    if (field_length_size(len) != size ||
        field_length(r, len, &tail, NULL) != SB_OK)
      continue;
    r->row.ns = sb_slice_of(bytes->data, len);
    *bytes = tail;
    return SB_OK;
  }
  return field_refuse(r, err, "has a namespace with a wrong length");
}

static sb_status
field_namespace_field(sb_canonical_reader *r, int ambiguous, sb_slice *bytes,
                      sb_error *err)
{
  const canonical_state *s = r->state;
  const uint8_t *start = bytes->data;
  sb_status status;

  if (s->info.flags & SB_CANONICAL_VOID_NAMESPACE) {
    if (bytes->len == 0)
      return field_refuse(r, err, "has an entry that is too short");
    *bytes = field_rest(*bytes, 1);
    return SB_OK;
  }
  if (s->info.encoding == SB_CANONICAL_BYTES)
    status = field_string(r, bytes, &r->row.ns, err);
  else if (ambiguous && s->info.kind != SB_STATE_MAP)
    return field_last_namespace(r, bytes, err);
  else
    status = field_verbatim(r, SB_FIELD_NAMESPACE, s->namespace_length,
                            s->info.kind == SB_STATE_MAP ? SIZE_MAX : 0, bytes,
                            &r->row.ns, err);
  if (status != SB_OK || !ambiguous)
    return status;
  return field_length(r, (size_t)((const uint8_t *)bytes->data - start), bytes,
                      err);
}

/* The entry's key into the row. */
sb_status
canonical_read_key(sb_canonical_reader *r, sb_error *err)
{
  const canonical_state *s = r->state;
  int ambiguous = canonical_ambiguous(s, r->key_encoding, r->key_length);
  int bytes = s->info.encoding == SB_CANONICAL_BYTES;
  sb_slice rest = sb_slice_of(r->key.data, r->key.len);
  sb_status status = SB_OK;
  sb_slice *last = s->info.kind == SB_STATE_MAP ? &r->row.subkey :
                   s->info.kind == SB_STATE_TIMER ? &r->row.key : NULL;

  rest = field_rest(rest, canonical_prefix_length(r->options.key_group_count));
  if (s->info.kind != SB_STATE_TIMER)
    status = field_key_field(r, ambiguous, &rest, err);
  if (status == SB_OK && s->info.kind != SB_STATE_TIMER)
    status = field_namespace_field(r, ambiguous, &rest, err);
  if (status == SB_OK && last != NULL && bytes)
    status = field_string(r, &rest, last, err);
  else if (status == SB_OK && last != NULL)
    status = field_verbatim(r, 0, 0, 0, &rest, last, err);
  if (status == SB_OK && rest.len != 0)
    return field_refuse(r, err, "has an entry whose key is too long");
  return status;
}

/* Puts a value together again from the pieces that stand apart: the flag of
   null, the time. */
static void
field_join(sb_canonical_reader *r, int flagged, int is_null, int timed,
           sb_slice value)
{
  const canonical_state *s = r->state;
  int with_time = timed && s->time_in_value;

  r->row.value = value;
  if (!flagged && !with_time)
    return;
  buf_clear(&r->scratch);
  if (flagged)
    buf_u8(&r->scratch, (uint8_t)is_null);
  if (with_time)
    java_long(&r->scratch, r->row.time_ms);
  buf_add(&r->scratch, value.data, value.len);
  r->row.value = sb_slice_of(r->scratch.data, r->scratch.len);
}

/* One value, element or map's value from the front of `bytes`. */
static sb_status
field_bytes_value(sb_canonical_reader *r, sb_slice *bytes, sb_error *err)
{
  const canonical_state *s = r->state;
  int is_map = s->info.kind == SB_STATE_MAP, is_null = 0;
  int timed = (s->info.flags & SB_CANONICAL_TIMED) != 0;
  int nullable = is_map && (s->info.flags & SB_CANONICAL_NULLABLE) != 0;
  sb_slice value = { NULL, 0 };
  sb_status status = SB_OK;
  size_t head = (is_map ? 1u : 0u) + (timed ? 8u : 0u);
  const uint8_t *p = bytes->data;

  if (is_map && bytes->len != 0)
    is_null = p[0] != 0;
  if (is_null && !nullable)
    return sb_error_set(err, SB_UNSUPPORTED, "cannot read state \"%.*s\" of a "
                        "canonical savepoint: a value is null",
                        (int)s->info.name.len,
                        (const char *)s->info.name.data);
  if (bytes->len < head && !(is_null && bytes->len == 1))
    return field_refuse(r, err, "has a value that is too short");
  if (timed && bytes->len >= head)
    r->row.time_ms = (uint64_t)java_load_int(p + is_map) << 32 |
                     java_load_int(p + is_map + 4);
  if (is_null)
    *bytes = sb_slice_of(p + bytes->len, 0);
  else
    *bytes = field_rest(*bytes, head);
  if (!is_null)
    status = field_string(r, bytes, &value, err);
  if (status == SB_OK)
    field_join(r, nullable, is_null, timed, value);
  if (r->row.time_ms == CANONICAL_NEVER)
    r->row.time_ms = 0;
  if (status == SB_OK && r->scratch.status != SB_OK)
    return canonical_read_no_memory(err);
  return status;
}

/* The next element of a list. */
sb_status
canonical_read_element(sb_canonical_reader *r, sb_error *err)
{
  sb_slice *rest = &r->elements;
  sb_status status;

  r->row.value = sb_slice_of(NULL, 0);
  r->row.time_ms = 0;
  if (r->state->info.encoding == SB_CANONICAL_BYTES)
    status = field_bytes_value(r, rest, err);
  else
    status = field_verbatim(r, SB_FIELD_ELEMENT, r->state->element_length,
                            SIZE_MAX, rest, &r->row.value, err);
  if (status != SB_OK || rest->len == 0)
    return status;
  if (*(const uint8_t *)rest->data != ',' || rest->len == 1)
    return field_refuse(r, err, "has a list without a comma in between");
  *rest = field_rest(*rest, 1);
  return SB_OK;
}

sb_status
canonical_read_value(sb_canonical_reader *r, sb_error *err)
{
  const canonical_state *s = r->state;
  sb_slice rest = sb_slice_of(r->value.data, r->value.len);
  sb_status status = SB_OK;

  if (s->info.kind == SB_STATE_LIST) {
    r->elements = rest;
    if (rest.len == 0)
      return field_refuse(r, err, "has an empty list");
    return canonical_read_element(r, err);
  }
  if (s->info.kind == SB_STATE_TIMER) {
    return SB_OK;
  } else if (s->info.encoding == SB_CANONICAL_VERBATIM) {
    r->row.value = rest;
    return SB_OK;
  }
  status = field_bytes_value(r, &rest, err);
  if (status == SB_OK && rest.len != 0)
    return field_refuse(r, err, "has a value that is too long");
  return status;
}
