/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a canonical savepoint from a view: key group by key group, in it
 * state by state. The last entry of a state is marked in its key, so an entry
 * goes out when the next one has come.
 */
#include "config.h"

#include "host/checkpoint/canonical_write.h"

typedef struct writing {
  sb_canonical *canonical;
  canonical_out out;
  sb_error *err;
  const canonical_state *state;
  uint32_t key_group;
  int ambiguous;
  int pending;          /* an entry waits in `key` and `value` */
  int in_group;
  uint32_t number;      /* the state of the entry that waits */
  buf key, value, next; /* `next`: the key of the row at hand */
} writing;

/* ---- rows -------------------------------------------------------------- */

static sb_status
write_refuse(const writing *w, const char *why)
{
  const sb_slice name = w->state->info.name;

  return sb_error_set(w->err, SB_INVALID, "cannot write state \"%.*s\" to a "
                      "canonical savepoint: %s", (int)name.len,
                      (const char *)name.data, why);
}

/* Little-endian to the base of 256, at least one digit. */
static void
write_length(buf *b, size_t len)
{
  do {
    buf_u8(b, (uint8_t)len);
    len >>= 8;
  } while (len != 0);
}

static void
write_field(buf *b, sb_slice bytes, int raw)
{
  if (!raw)
    java_int(b, (uint32_t)bytes.len);
  buf_add(b, bytes.data, bytes.len);
}

static sb_status
write_namespace(writing *w, sb_slice ns)
{
  const canonical_state *s = w->state;
  buf *b = &w->next;
  size_t start = b->len;

  if (s->info.flags & SB_CANONICAL_VOID_NAMESPACE) {
    if (ns.len != 0)
      return write_refuse(w, "it has a namespace, and is said to have none");
    buf_u8(b, 0);
    return SB_OK;
  }
  if (s->info.encoding == SB_CANONICAL_VERBATIM && s->namespace_length != 0 &&
      ns.len != s->namespace_length)
    return write_refuse(w, "a namespace has not the length given");
  write_field(b, ns, s->info.encoding == SB_CANONICAL_VERBATIM);
  if (w->ambiguous)
    write_length(b, b->len - start);
  return SB_OK;
}

/* The key of the row's entry, into w->next. */
static sb_status
write_key(writing *w, const sb_row *row)
{
  const sb_canonical_options *o = &w->canonical->options;
  const canonical_state *s = w->state;
  int raw = s->info.encoding == SB_CANONICAL_VERBATIM;
  buf *b = &w->next;
  sb_status status = SB_OK;
  size_t start;

  buf_clear(b);
  if (canonical_prefix_length(w->canonical->place.key_group_count) == 2)
    buf_u8(b, (uint8_t)(w->key_group >> 8));
  buf_u8(b, (uint8_t)w->key_group);
  if (s->info.kind == SB_STATE_TIMER) {
    write_field(b, row->key, raw);
    return SB_OK;
  }
  if (o->encoding == SB_CANONICAL_VERBATIM && o->key_length != 0 &&
      row->key.len != o->key_length)
    return write_refuse(w, "a key has not the length given");
  start = b->len;
  write_field(b, row->key, o->encoding == SB_CANONICAL_VERBATIM);
  if (w->ambiguous)
    write_length(b, b->len - start);
  status = write_namespace(w, row->ns);
  if (status == SB_OK && s->info.kind == SB_STATE_MAP)
    write_field(b, row->subkey, raw);
  return status;
}

/* The time in front of a value; takes it out of the value if it is there. */
static sb_status
write_time(writing *w, const sb_row *row, sb_slice *value)
{
  const canonical_state *s = w->state;
  uint64_t time = row->expires_ms == 0 ? CANONICAL_NEVER : row->expires_ms;

  if ((s->info.flags & SB_CANONICAL_TIMED) == 0) {
    if (row->expires_ms != 0 && s->info.time_kind == SB_TIME_EXPIRY)
      return write_refuse(w, "a record expires, and times are not written");
    return SB_OK;
  }
  if (!s->time_in_value) {
    java_long(&w->value, time);
    return SB_OK;
  }
  if (value->len < 8)
    return write_refuse(w, "a value is shorter than its time");
  buf_add(&w->value, value->data, 8);
  *value = sb_slice_of((const uint8_t *)value->data + 8, value->len - 8);
  return SB_OK;
}

/* Appends a value, an element or a map's value to w->value. */
static sb_status
write_value(writing *w, const sb_row *row)
{
  const canonical_state *s = w->state;
  int is_map = s->info.kind == SB_STATE_MAP, is_null = 0;
  sb_slice value = row->value;
  sb_status status;

  if (s->info.kind == SB_STATE_TIMER)
    return value.len == 0 ? SB_OK : write_refuse(w, "a timer has a value");
  if (s->info.encoding == SB_CANONICAL_VERBATIM) {
    if (s->info.kind == SB_STATE_LIST && value.len == 0)
      return write_refuse(w, "an element has no bytes");
    buf_add(&w->value, value.data, value.len);
    return SB_OK;
  }
  if (is_map && (s->info.flags & SB_CANONICAL_NULLABLE)) {
    if (value.len == 0)
      return write_refuse(w, "a value does not say if it is null");
    is_null = *(const uint8_t *)value.data != 0;
    value = sb_slice_of((const uint8_t *)value.data + 1, value.len - 1);
  }
  if (is_map)
    buf_u8(&w->value, (uint8_t)is_null);
  status = write_time(w, row, &value);
  if (status == SB_OK && !is_null)
    write_field(&w->value, value, 0);
  return status;
}

/* ---- entries ----------------------------------------------------------- */

static void
write_number(writing *w, uint32_t number)
{
  const uint8_t bytes[2] = { (uint8_t)(number >> 8), (uint8_t)number };

  canonical_out_add(&w->out, bytes, 2);
}

static void
write_bytes(writing *w, const buf *b)
{
  const uint32_t len = (uint32_t)b->len;
  const uint8_t head[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                            (uint8_t)(len >> 8), (uint8_t)len };

  canonical_out_add(&w->out, head, 4);
  canonical_out_add(&w->out, b->data, b->len);
}

/* The entry that waits goes out; `last` of its state. */
static void
write_pending(writing *w, int last)
{
  if (last)
    w->key.data[0] |= CANONICAL_LAST;
  write_bytes(w, &w->key);
  write_bytes(w, &w->value);
  w->pending = 0;
}

/* Makes way for an entry of the state at hand. */
static void
write_advance(writing *w, uint64_t *offset)
{
  int other = w->pending && w->number != w->state->info.id;

  if (w->pending)
    write_pending(w, other);
  if (!w->in_group) {
    *offset = canonical_out_begin_group(&w->out);
    w->in_group = 1;
    other = 1;
  }
  if (other)
    write_number(w, w->state->info.id);
  w->number = w->state->info.id;
}

static int
write_same_list(const writing *w)
{
  return w->state->info.kind == SB_STATE_LIST && w->pending &&
         w->number == w->state->info.id && w->key.len == w->next.len &&
         memcmp(w->key.data, w->next.data, w->key.len) == 0;
}

static sb_status
write_row(writing *w, const sb_row *row, uint64_t *offset)
{
  sb_status status = write_key(w, row);
  buf key;

  if (status != SB_OK || w->next.status != SB_OK)
    goto out;
  if (write_same_list(w)) {
    buf_u8(&w->value, ',');
  } else {
    write_advance(w, offset);
    key = w->key;
    w->key = w->next;
    w->next = key;
    buf_clear(&w->value);
    w->pending = 1;
  }
  status = write_value(w, row);
out:
  if (status == SB_OK && w->next.status != SB_OK)
    status = w->next.status;
  if (status == SB_OK && w->value.status != SB_OK)
    status = w->value.status;
  if (status == SB_TOO_LARGE || status == SB_NO_MEMORY)
    sb_error_set(w->err, status, "could not write state \"%.*s\" to a "
                 "canonical savepoint: %s", (int)w->state->info.name.len,
                 (const char *)w->state->info.name.data,
                 status == SB_TOO_LARGE ? "an entry is too large" :
                                          "out of memory");
  return status != SB_OK ? status : w->out.status;
}

static sb_status
write_cancelled(const writing *w)
{
  if (!atomic_load_explicit(&w->canonical->cancelled, memory_order_relaxed))
    return SB_OK;
  return sb_error_set(w->err, SB_CANCELLED,
                      "writing a canonical savepoint was cancelled");
}

static sb_status
write_state(writing *w, uint64_t *offset)
{
  const sb_keyed_ops *ops = w->canonical->keyed->ops;
  const sb_scan_options scan = {
    .struct_size = sizeof scan,
    .state = w->state->number,
    .key_group_first = w->key_group,
    .key_group_last = w->key_group,
  };
  sb_view_cursor *cursor;
  sb_row row;
  sb_status status = write_cancelled(w);

  if (status == SB_OK)
    status = ops->view_scan_open(w->canonical->view, &scan, &cursor, w->err);
  if (status != SB_OK)
    return status;
  while ((status = ops->view_scan_next(cursor, &row, w->err)) == SB_OK) {
    status = write_cancelled(w);
    if (status == SB_OK)
      status = write_row(w, &row, offset);
    if (status != SB_OK)
      break;
  }
  ops->view_scan_close(cursor);
  return status == SB_END ? SB_OK : status;
}

static sb_status
write_group(writing *w, uint64_t *offset)
{
  const sb_canonical *c = w->canonical;
  sb_status status = SB_OK;
  uint32_t i;

  *offset = 0;
  w->in_group = 0;
  for (i = 0; i < c->states.count && status == SB_OK; i++) {
    w->state = &c->states.list[i];
    w->ambiguous = canonical_ambiguous(w->state, c->options.encoding,
                                       c->options.key_length);
    status = write_state(w, offset);
  }
  if (status == SB_OK && w->pending)
    write_pending(w, 1);
  if (status == SB_OK && w->in_group) {
    write_number(w, CANONICAL_GROUP_END);
    canonical_out_end_group(&w->out);
  }
  return status == SB_OK ? w->out.status : status;
}

sb_status
canonical_write_summed(sb_canonical *c, sb_canonical_sink *sink, void *arg,
                       uint64_t *offsets, uint32_t *checksums,
                       uint64_t *length, sb_error *err)
{
  const int compress = (c->options.flags & SB_CANONICAL_COMPRESS) != 0;
  writing w = { .canonical = c, .err = err };
  uint32_t g;
  sb_status status;

  buf_init(&w.key, c->host, CANONICAL_KEY_MAX);
  buf_init(&w.next, c->host, CANONICAL_KEY_MAX);
  buf_init(&w.value, c->host, INT32_MAX);
  status = canonical_out_init(&w.out, c->host, compress, sink, arg, err);
  if (status == SB_OK)
    canonical_out_add(&w.out, c->header.data, c->header.len);
  for (g = c->place.key_group_first;
       g <= c->place.key_group_last && status == SB_OK; g++) {
    w.key_group = g;
    status = write_group(&w, &offsets[g - c->place.key_group_first]);
    if (checksums != NULL)
      checksums[g - c->place.key_group_first] = w.out.crc;
  }
  if (status == SB_OK)
    status = canonical_out_finish(&w.out);
  if (status == SB_OK)
    *length = w.out.length;
  canonical_out_dispose(&w.out);
  buf_dispose(&w.key);
  buf_dispose(&w.next);
  buf_dispose(&w.value);
  return status;
}

sb_status
sb_canonical_write(sb_canonical *canonical, sb_canonical_sink *sink, void *arg,
                   uint64_t *offsets, uint64_t *length, sb_error *err)
{
  if (canonical == NULL || sink == NULL || offsets == NULL || length == NULL)
    return sb_error_set(err, SB_INVALID, "cannot write a canonical savepoint: "
                        "an argument is missing");
  return canonical_write_summed(canonical, sink, arg, offsets, NULL, length,
                                err);
}
