/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two passes of quicksort on 64-bit prefixes: first by (key group, state),
 * then, within each such run, by the key's hash or the first bytes of the
 * namespace or ordered key. Equal prefixes are told apart by the whole record.
 * Runs that split badly fall back to heapsort, so hostile keys cost no more
 * than n log n.
 */
#include "config.h"

#include "host/engine/sort.h"

#define SORT_SMALL 16u

typedef struct sorter {
  keyed *keyed;
  int whole; /* compare whole records when prefixes are equal */
  int members; /* their subkeys alone */
} sorter;

static void
sort_record(const sorter *s, const cell *c, record *out)
{
  const state *st = s->keyed->states[c->state];

  cell_record(c, st->id, st->ordered, out);
}

static sb_slice
sort_subkey(const cell *c)
{
  return sb_slice_of(cell_key(c) + c->key_len + c->ns_len, c->subkey_len);
}

static int
sort_less(const sorter *s, const sort_entry *a, const sort_entry *b)
{
  record ra, rb;
  int c;

  if (a->prefix != b->prefix)
    return a->prefix < b->prefix;
  if (s->members)
    return slice_compare(sort_subkey(a->cell), sort_subkey(b->cell)) < 0;
  if (!s->whole)
    return 0;
  sort_record(s, a->cell, &ra);
  sort_record(s, b->cell, &rb);
  c = record_compare(&ra, &rb);
  if (c != 0)
    return c < 0;
  return a->cell->epoch > b->cell->epoch;
}

static void
sort_swap(sort_entry *a, sort_entry *b)
{
  sort_entry t = *a;

  *a = *b;
  *b = t;
}

static void
sort_insertion(const sorter *s, sort_entry *e, size_t n)
{
  size_t i, j;

  for (i = 1; i < n; i++) {
    sort_entry t = e[i];

    for (j = i; j > 0 && sort_less(s, &t, &e[j - 1]); j--)
      e[j] = e[j - 1];
    e[j] = t;
  }
}

static void
sort_sift(const sorter *s, sort_entry *e, size_t root, size_t n)
{
  size_t child;

  while ((child = 2 * root + 1) < n) {
    if (child + 1 < n && sort_less(s, &e[child], &e[child + 1]))
      child++;
    if (!sort_less(s, &e[root], &e[child]))
      return;
    sort_swap(&e[root], &e[child]);
    root = child;
  }
}

static void
sort_heap(const sorter *s, sort_entry *e, size_t n)
{
  size_t i;

  for (i = n / 2; i > 0; i--)
    sort_sift(s, e, i - 1, n);
  for (i = n; i > 1; i--) {
    sort_swap(&e[0], &e[i - 1]);
    sort_sift(s, e, 0, i - 1);
  }
}

/* Hoare's partition around the median of three. */
static size_t
sort_partition(const sorter *s, sort_entry *e, size_t n)
{
  size_t mid = n / 2, i = 0, j = n - 1;
  sort_entry pivot;

  if (sort_less(s, &e[mid], &e[0]))
    sort_swap(&e[mid], &e[0]);
  if (sort_less(s, &e[n - 1], &e[0]))
    sort_swap(&e[n - 1], &e[0]);
  if (sort_less(s, &e[n - 1], &e[mid]))
    sort_swap(&e[n - 1], &e[mid]);
  pivot = e[mid];
  for (;;) {
    while (sort_less(s, &e[i], &pivot))
      i++;
    while (sort_less(s, &pivot, &e[j]))
      j--;
    if (i >= j)
      return j + 1;
    sort_swap(&e[i++], &e[j--]);
  }
}

static void
sort_run(const sorter *s, sort_entry *e, size_t n, unsigned depth)
{
  while (n > SORT_SMALL) {
    size_t left;

    if (depth-- == 0) {
      sort_heap(s, e, n);
      return;
    }
    left = sort_partition(s, e, n);
    if (left < n - left) {
      sort_run(s, e, left, depth);
      e += left;
      n -= left;
    } else {
      sort_run(s, e + left, n - left, depth);
      n = left;
    }
  }
  sort_insertion(s, e, n);
}

static unsigned
sort_depth(size_t n)
{
  unsigned depth = 4;

  for (; n > 1; n >>= 1)
    depth += 2;
  return depth;
}

static uint64_t
sort_first_bytes(sb_slice bytes)
{
  const uint8_t *p = bytes.data;
  uint64_t v = 0;
  size_t i, n = bytes.len < 8 ? bytes.len : 8;

  for (i = 0; i < n; i++)
    v |= (uint64_t)p[i] << (56 - 8 * i);
  return v;
}

static uint64_t
sort_prefix(const record *r, int with_ns)
{
  if (with_ns)
    return sort_first_bytes(r->ns);
  return r->flags & RECORD_ORDERED ? sort_first_bytes(r->key) : r->hash;
}

/* One (key group, state): any namespace at all decides the prefix. */
static void
sort_bucket(sorter *s, sort_entry *e, size_t n)
{
  int with_ns = 0;
  size_t i;
  record r;

  for (i = 0; i < n && !with_ns; i++)
    with_ns = e[i].cell->ns_len != 0;
  for (i = 0; i < n; i++) {
    if (i + 8 < n)
      __builtin_prefetch(e[i + 8].cell);
    sort_record(s, e[i].cell, &r);
    e[i].prefix = sort_prefix(&r, with_ns);
  }
  s->whole = 1;
  sort_run(s, e, n, sort_depth(n));
}

void
sort_cells(keyed *k, sort_entry *entries, size_t count)
{
  sorter s = { k, 0, 0 };
  size_t i, start = 0;

  for (i = 0; i < count; i++) {
    const cell *c = entries[i].cell;

    entries[i].prefix = (uint64_t)c->key_group << 32 |
                        k->states[c->state]->id;
  }
  sort_run(&s, entries, count, sort_depth(count));
  while (start < count) {
    size_t end = start + 1;
    uint64_t prefix = entries[start].prefix;

    while (end < count && entries[end].prefix == prefix)
      end++;
    s.whole = 0;
    sort_bucket(&s, entries + start, end - start);
    start = end;
  }
}

void
sort_hashed(keyed *k, sort_entry *entries, size_t count)
{
  sorter s = { k, 1, 0 };

  sort_run(&s, entries, count, sort_depth(count));
}

void
sort_members(keyed *k, sort_entry *entries, size_t count)
{
  sorter s = { k, 0, 1 };
  size_t i;

  if (count < 2)
    return;
  for (i = 0; i < count; i++)
    entries[i].prefix = sort_first_bytes(sort_subkey(entries[i].cell));
  sort_run(&s, entries, count, sort_depth(count));
}
