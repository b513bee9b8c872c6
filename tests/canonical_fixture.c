/* SPDX-License-Identifier: Apache-2.0 */
/* See canonical_fixture.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/canonical_fixture.h"

struct sb_view {
  rows_keyed *owner;
  size_t count; /* rows that it sees */
};

struct sb_view_cursor {
  sb_view *view;
  sb_scan_options options;
  size_t at;
};

/* ---- the handle -------------------------------------------------------- */

static sb_slice
rows_copy(sb_slice s)
{
  void *p = malloc(s.len + 1);

  if (p == NULL)
    abort();
  if (s.len != 0)
    memcpy(p, s.data, s.len);
  return sb_slice_of(p, s.len);
}

static sb_status
rows_call(rows_keyed *k, sb_error *err)
{
  if (++k->calls == k->fail_at)
    return sb_error_set(err, SB_IO, "call %u was made to fail", k->calls);
  return SB_OK;
}

void
rows_put_bytes(rows_keyed *k, uint32_t state, uint32_t key_group, sb_slice key,
               sb_slice ns, sb_slice subkey, sb_slice value,
               uint64_t expires_ms)
{
  rows_row row = { state, key_group, rows_copy(key), rows_copy(ns),
                   rows_copy(subkey), rows_copy(value), expires_ms };

  if (k->count != 0 && k->rows[k->count - 1].key_group > key_group)
    k->unsorted = 1;
  if (k->count == k->cap) {
    k->cap = k->cap * 2 + 16;
    k->rows = realloc(k->rows, k->cap * sizeof *k->rows);
    if (k->rows == NULL)
      abort();
  }
  k->rows[k->count++] = row;
}

static sb_slice
rows_text(const char *s)
{
  return sb_slice_of(s, s == NULL ? 0 : strlen(s));
}

void
rows_put(rows_keyed *k, uint32_t state, uint32_t key_group, const char *key,
         const char *ns, const char *subkey, const char *value)
{
  rows_put_bytes(k, state, key_group, rows_text(key), rows_text(ns),
                 rows_text(subkey), rows_text(value), 0);
}

static sb_status
rows_op_put(sb_keyed *base, const sb_key *key, sb_slice value,
            uint64_t expires_ms, sb_error *err)
{
  rows_keyed *k = (rows_keyed *)base;
  sb_status status = rows_call(k, err);

  if (status == SB_OK)
    rows_put_bytes(k, key->state, key->key_group, key->key, key->ns,
                   key->subkey, value, expires_ms);
  return status;
}

static sb_status
rows_op_find(sb_keyed *base, sb_slice name, sb_state_info *info, sb_error *err)
{
  rows_keyed *k = (rows_keyed *)base;
  uint32_t i;

  for (i = 0; i < k->state_count; i++)
    if (k->states[i].name.len == name.len &&
        memcmp(k->states[i].name.data, name.data, name.len) == 0) {
      *info = k->states[i];
      return SB_OK;
    }
  return sb_error_set(err, SB_NOT_FOUND, "no such state");
}

static sb_status
rows_op_at(sb_keyed *base, uint32_t i, sb_state_info *info, sb_error *err)
{
  rows_keyed *k = (rows_keyed *)base;

  if (i >= k->state_count)
    return SB_END;
  if (k->states[i].kind == 0)
    return sb_error_set(err, SB_NOT_FOUND, "state %u was dropped",
                        (unsigned)i);
  *info = k->states[i];
  return SB_OK;
}

static sb_status
rows_op_register(sb_keyed *base, const sb_state_options *o,
                 sb_state_info *info, sb_error *err)
{
  rows_keyed *k = (rows_keyed *)base;
  sb_state_info *made = &k->states[k->state_count];
  sb_status status = rows_call(k, err);

  if (status != SB_OK)
    return status;
  rows_state(k, "", o->kind, o->time_kind, o->ttl_ms);
  memcpy(k->names[k->state_count - 1], o->name.data, o->name.len);
  made->name = sb_slice_of(k->names[k->state_count - 1], o->name.len);
  made->flags = o->flags;
  made->schema_version = o->schema_version;
  made->time_offset = o->time_offset;
  *info = *made;
  return SB_OK;
}

static sb_status
rows_op_describe(sb_keyed *base, sb_keyed_options *options, sb_error *err)
{
  (void)err;
  *options = ((rows_keyed *)base)->place;
  return SB_OK;
}

static sb_status
rows_op_view_open(sb_keyed *base, sb_view **out, sb_error *err)
{
  rows_keyed *k = (rows_keyed *)base;
  sb_status status = rows_call(k, err);
  sb_view *v = status == SB_OK ? malloc(sizeof *v) : NULL;

  *out = v;
  if (v == NULL)
    return status;
  v->owner = k;
  v->count = k->count;
  k->views++;
  return SB_OK;
}

static void
rows_op_view_close(sb_view *v)
{
  v->owner->views--;
  free(v);
}

/* Where rows of a key group can begin. */
static size_t
rows_begin(const rows_keyed *k, uint32_t key_group)
{
  size_t low = 0, high = k->unsorted ? 0 : k->count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (k->rows[middle].key_group < key_group)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static sb_status
rows_op_scan_open(sb_view *view, const sb_scan_options *options,
                  sb_view_cursor **out, sb_error *err)
{
  sb_status status = rows_call(view->owner, err);
  sb_view_cursor *c = status == SB_OK ? malloc(sizeof *c) : NULL;

  *out = c;
  if (c == NULL)
    return status;
  c->view = view;
  c->options = *options;
  c->at = rows_begin(view->owner, options->key_group_first);
  view->owner->cursors++;
  return SB_OK;
}

static sb_status
rows_op_scan_next(sb_view_cursor *c, sb_row *row, sb_error *err)
{
  rows_keyed *k = c->view->owner;
  sb_status status = rows_call(k, err);

  if (status != SB_OK)
    return status;
  for (; c->at < c->view->count; c->at++) {
    const rows_row *r = &k->rows[c->at];

    if (!k->unsorted && r->key_group > c->options.key_group_last)
      break;
    if (r->state != c->options.state ||
        r->key_group < c->options.key_group_first ||
        r->key_group > c->options.key_group_last)
      continue;
    memset(row, 0, sizeof *row);
    row->key_group = r->key_group;
    row->key = r->key;
    row->ns = r->ns;
    row->subkey = r->subkey;
    row->value = r->value;
    row->expires_ms = r->expires_ms;
    c->at++;
    return SB_OK;
  }
  return SB_END;
}

static void
rows_op_scan_close(sb_view_cursor *c)
{
  c->view->owner->cursors--;
  free(c);
}

static const sb_keyed_ops rows_ops = {
  .struct_size = sizeof rows_ops,
  .abi_version = SB_ABI_VERSION,
  .register_state = rows_op_register,
  .put = rows_op_put,
  .append = rows_op_put,
  .state_find = rows_op_find,
  .state_at = rows_op_at,
  .describe = rows_op_describe,
  .view_open = rows_op_view_open,
  .view_close = rows_op_view_close,
  .view_scan_open = rows_op_scan_open,
  .view_scan_next = rows_op_scan_next,
  .view_scan_close = rows_op_scan_close,
};

void
rows_init(rows_keyed *k, uint32_t key_group_count, uint32_t first,
          uint32_t last)
{
  memset(k, 0, sizeof *k);
  k->keyed.ops = &rows_ops;
  k->place.struct_size = sizeof k->place;
  k->place.job = k->place.operator_id = "";
  k->place.key_group_count = key_group_count;
  k->place.key_group_first = first;
  k->place.key_group_last = last;
}

void
rows_clear(rows_keyed *k)
{
  size_t i;

  for (i = 0; i < k->count; i++) {
    free((void *)(uintptr_t)k->rows[i].key.data);
    free((void *)(uintptr_t)k->rows[i].ns.data);
    free((void *)(uintptr_t)k->rows[i].subkey.data);
    free((void *)(uintptr_t)k->rows[i].value.data);
  }
  k->count = 0;
  k->unsorted = 0;
}

void
rows_dispose(rows_keyed *k)
{
  rows_clear(k);
  free(k->rows);
  memset(k, 0, sizeof *k);
}

uint32_t
rows_state(rows_keyed *k, const char *name, uint32_t kind, uint32_t time_kind,
           uint64_t ttl_ms)
{
  sb_state_info *info = &k->states[k->state_count];

  if (k->state_count == ROWS_STATES_MAX)
    abort();
  info->struct_size = sizeof *info;
  info->kind = kind;
  info->id = 100 + 7 * k->state_count++;
  info->name = rows_text(name);
  info->registered = 1;
  info->time_kind = time_kind;
  info->ttl_ms = ttl_ms;
  return info->id;
}

static const sb_state_info *
rows_info(const rows_keyed *k, uint32_t id)
{
  uint32_t i;

  for (i = 0; i < k->state_count; i++)
    if (k->states[i].id == id)
      return &k->states[i];
  abort();
}

static int
rows_equal(sb_slice a, sb_slice b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int
rows_same(const rows_keyed *a, const rows_keyed *b)
{
  size_t i;

  if (a->count != b->count)
    return 0;
  for (i = 0; i < a->count; i++) {
    const rows_row *x = &a->rows[i], *y = &b->rows[i];

    if (!rows_equal(rows_info(a, x->state)->name, rows_info(b, y->state)->name)
        || x->key_group != y->key_group || !rows_equal(x->key, y->key) ||
        !rows_equal(x->ns, y->ns) || !rows_equal(x->subkey, y->subkey) ||
        !rows_equal(x->value, y->value) || x->expires_ms != y->expires_ms)
      return 0;
  }
  return 1;
}

/* ---- streams ----------------------------------------------------------- */

sb_status
stream_sink(void *arg, const void *data, size_t len, sb_error *err)
{
  stream *s = arg;

  if (s->fail_after != 0 && s->len + len > s->fail_after)
    return sb_error_set(err, SB_NO_SPACE, "the sink is full");
  if (s->len + len > s->cap) {
    s->cap = (s->len + len) * 2;
    s->data = realloc(s->data, s->cap);
    if (s->data == NULL)
      abort();
  }
  memcpy(s->data + s->len, data, len);
  s->len += len;
  return SB_OK;
}

sb_status
stream_source(void *arg, uint64_t offset, void *buffer, size_t len,
              size_t *got, sb_error *err)
{
  const stream *s = arg;

  (void)err;
  *got = offset >= s->len ? 0 : s->len - (size_t)offset;
  if (*got > len)
    *got = len;
  if (s->read_max != 0 && *got > s->read_max)
    *got = s->read_max;
  if (*got != 0)
    memcpy(buffer, s->data + offset, *got);
  return SB_OK;
}

void
stream_dispose(stream *s)
{
  free(s->data);
  memset(s, 0, sizeof *s);
}

sb_status
stream_write(stream *s, rows_keyed *k, const sb_host *host,
             const sb_canonical_options *options, sb_error *err)
{
  sb_canonical *c;
  sb_status status = sb_canonical_open(&k->keyed, host, options, &c, err);

  s->len = 0;
  if (status != SB_OK)
    return status;
  status = sb_canonical_write(c, stream_sink, s, s->offsets, &s->length, err);
  sb_canonical_close(c);
  return status;
}

sb_canonical_read
stream_read(const stream *s, const rows_keyed *k)
{
  sb_canonical_read read;

  memset(&read, 0, sizeof read);
  read.struct_size = sizeof read;
  read.key_group_count = k->place.key_group_count;
  read.key_group_last = k->place.key_group_count - 1;
  read.offsets = s->offsets;
  read.offset_first = k->place.key_group_first;
  read.offset_count = k->place.key_group_last - k->place.key_group_first + 1;
  read.length = s->len;
  return read;
}
