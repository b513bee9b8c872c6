/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans of one key of a map against a model, while its entries are written,
 * removed and cleared, flushed and evicted: rows come in order with what the
 * entry is now, and what is there throughout comes once.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

#define KEYS 3u
#define ENTRIES 60u
#define CURSORS 3u

typedef struct entry {
  uint32_t value; /* 0: it is not there */
  uint32_t since; /* the step at which it came */
} entry;

typedef struct walk {
  sb_cursor *cursor;
  unsigned key;
  uint32_t since;
  int last;
  uint8_t seen[ENTRIES];
} walk;

typedef struct world {
  sb_keyed *k;
  uint32_t map, filler;
  uint32_t step;
  uint64_t id;
  sb_slice ns;
  entry entries[KEYS][ENTRIES];
  walk walks[CURSORS];
} world;

static sb_key
place(const world *w, unsigned key)
{
  sb_key at = make_key(w->map, key);

  at.ns = w->ns;
  return at;
}

static uint64_t
below(uint64_t n)
{
  return next_random() % n;
}

/* ---- writes -------------------------------------------------------------- */

static void
note(world *w, unsigned key, unsigned i, uint32_t value)
{
  entry *e = &w->entries[key][i];

  if (value == 0 || e->value == 0)
    e->since = w->step;
  e->value = value;
}

static void
put_some(world *w, unsigned key, size_t count)
{
  uint8_t names[8], expired = below(16) == 0;
  sb_slice subkeys[8], values[8];
  uint32_t numbers[8];
  sb_key at = place(w, key);
  size_t i;

  for (i = 0; i < count; i++) {
    names[i] = (uint8_t)below(ENTRIES);
    numbers[i] = 1 + (uint32_t)below(1000000);
    subkeys[i] = sb_slice_of(&names[i], 1);
    values[i] = sb_slice_of(&numbers[i], 4);
    note(w, key, names[i], expired ? 0 : numbers[i]);
  }
  if (count > 1) {
    check_ok(w->k->ops->put_all(w->k, &at, subkeys, values, count, expired,
                                &err));
    return;
  }
  at.subkey = subkeys[0];
  check_ok(w->k->ops->put(w->k, &at, values[0], expired, &err));
}

static void
remove_one(world *w, unsigned key)
{
  uint8_t name = (uint8_t)below(ENTRIES);
  sb_key at = place(w, key);

  at.subkey = sb_slice_of(&name, 1);
  check_ok(w->k->ops->remove(w->k, &at, &err));
  note(w, key, name, 0);
}

static void
clear(world *w, unsigned key)
{
  sb_key at = place(w, key);
  unsigned i;

  check_ok(w->k->ops->clear(w->k, &at, &err));
  for (i = 0; i < ENTRIES; i++)
    note(w, key, i, 0);
}

/* Pushes what is clean out of memory. */
static void
fill(world *w)
{
  static uint8_t bytes[16384];
  unsigned i;

  for (i = 0; i < 60; i++) {
    sb_key at = make_key(w->filler, (unsigned)below(100000));

    fill_random(bytes, sizeof bytes);
    check_ok(w->k->ops->put(w->k, &at, sb_slice_of(bytes, sizeof bytes), 0,
                            &err));
  }
}

/* ---- scans --------------------------------------------------------------- */

static void
walk_end(world *w, walk *at)
{
  unsigned i, missed = 0;

  for (i = 0; i < ENTRIES; i++) {
    const entry *e = &w->entries[at->key][i];

    missed += e->value != 0 && e->since <= at->since && !at->seen[i];
  }
  CU_ASSERT_EQUAL(missed, 0);
  w->k->ops->scan_close(w->k, at->cursor);
  at->cursor = NULL;
}

static void
walk_begin(world *w, walk *at)
{
  sb_key only;

  memset(at, 0, sizeof *at);
  at->key = (unsigned)below(KEYS);
  at->since = w->step;
  at->last = -1;
  only = place(w, at->key);
  at->cursor = open_scan(w->k, w->map, 0, &only);
}

/* The row's own entry, written or removed through the cursor. */
static void
walk_change(world *w, walk *at, unsigned i)
{
  uint32_t number = 1 + (uint32_t)below(1000000);

  if (below(2) == 0) {
    check_ok(w->k->ops->scan_update(w->k, at->cursor,
                                    sb_slice_of(&number, 4), 0, &err));
    note(w, at->key, i, number);
  } else {
    check_ok(w->k->ops->scan_remove(w->k, at->cursor, &err));
    note(w, at->key, i, 0);
  }
}

static void
walk_next(world *w, walk *at)
{
  sb_row row;
  sb_status status = w->k->ops->scan_next(w->k, at->cursor, &row, &err);
  sb_key only = place(w, at->key);
  const entry *e;
  unsigned i;

  if (status == SB_END) {
    walk_end(w, at);
    return;
  }
  if (!check_ok(status))
    return;
  CU_ASSERT(same(row.key, only.key.data, only.key.len));
  CU_ASSERT(same(row.ns, only.ns.data, only.ns.len));
  CU_ASSERT_EQUAL_FATAL(row.subkey.len, 1);
  i = *(const uint8_t *)row.subkey.data;
  CU_ASSERT_FATAL(i < ENTRIES && (int)i > at->last);
  at->last = (int)i;
  at->seen[i] = 1;
  e = &w->entries[at->key][i];
  CU_ASSERT(e->value != 0 && same(row.value, &e->value, 4));
  if (below(4) == 0)
    walk_change(w, at, i);
}

/* Is a key there, asked for with SB_SCAN_KEYS? */
static void
ask_key(world *w, unsigned key)
{
  sb_key only = place(w, key);
  unsigned i, wanted = 0;

  for (i = 0; i < ENTRIES; i++)
    wanted |= w->entries[key][i].value != 0;
  CU_ASSERT_EQUAL(count_rows(w->k, w->map, SB_SCAN_KEYS, &only), wanted);
}

/* ---- lives --------------------------------------------------------------- */

static void
walks_close(world *w)
{
  unsigned i;

  for (i = 0; i < CURSORS; i++)
    if (w->walks[i].cursor != NULL)
      w->k->ops->scan_close(w->k, w->walks[i].cursor);
  memset(w->walks, 0, sizeof w->walks);
}

static void
live_open(world *w, int again)
{
  if (again) {
    walks_close(w);
    checkpoint(++w->id, &w->k, 1);
    w->k = reopen(w->k, 0);
  }
  w->map = add_state(w->k, "map", SB_STATE_MAP);
  w->filler = add_state(w->k, "filler", SB_STATE_VALUE);
}

static void
live_step(world *w, unsigned rare)
{
  unsigned key = (unsigned)below(KEYS);
  walk *at = &w->walks[below(CURSORS)];

  w->step++;
  switch (below(16)) {
  case 0: case 1: case 2:
    put_some(w, key, 1);
    break;
  case 3:
    put_some(w, key, 1 + below(8));
    break;
  case 4: case 5:
    remove_one(w, key);
    break;
  case 6:
    ask_key(w, key);
    break;
  case 7:
    if (below(6) == 0)
      clear(w, key);
    break;
  case 8:
    if (rare != 0 && below(rare) == 0)
      checkpoint(++w->id, &w->k, 1);
    if (rare != 0 && below(rare) == 0)
      fill(w);
    if (rare != 0 && below(4 * rare) == 0)
      live_open(w, 1);
    break;
  default:
    if (at->cursor == NULL)
      walk_begin(w, at);
    else
      walk_next(w, at);
  }
}

static void
live(const char *ns, unsigned rare, unsigned steps)
{
  world *w = calloc(1, sizeof *w);
  unsigned i;

  CU_ASSERT_FATAL(w != NULL);
  open_backend("4mb", 2);
  w->ns = text(ns);
  w->k = open_all();
  live_open(w, 0);
  for (i = 0; i < steps; i++)
    live_step(w, rare);
  walks_close(w);
  for (i = 0; i < KEYS; i++)
    ask_key(w, i);
  w->k->ops->close(w->k);
  close_backend();
  free(w);
}

static void
test_memory(void)
{
  live("", 0, 60000);
}

static void
test_segments(void)
{
  live("", 12, 12000);
}

static void
test_namespace(void)
{
  live("window", 12, 12000);
}

/* Two key groups hold the same key: asked for in both, it comes twice. */
static void
test_key_groups(void)
{
  sb_scan_options o;
  sb_key key;
  sb_cursor *c;
  sb_keyed *k;
  sb_row row;
  unsigned i;

  open_backend("4mb", 2);
  k = open_all();
  key = key_of(add_state(k, "map", SB_STATE_MAP), "key", 3);
  for (i = 0; i < 4; i++) {
    key.key_group = i % 2;
    key.subkey = text(i < 2 ? "a" : "b");
    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  }
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = key.state;
  o.flags = SB_SCAN_KEYS;
  o.key_group_last = 1;
  o.has_ns = o.has_key = 1;
  o.key = key.key;
  for (i = 0; i < 2; i++) {
    unsigned rows = 0;

    check_ok(k->ops->scan_open(k, &o, &c, &err));
    while (k->ops->scan_next(k, c, &row, &err) == SB_OK && rows < 4) {
      CU_ASSERT_EQUAL(row.key_group, rows);
      rows++;
    }
    CU_ASSERT_EQUAL(rows, 2);
    k->ops->scan_close(k, c);
    /* Now one of them cannot be told by its group. */
    key.key_group = 0;
    key.subkey = text("c");
    check_ok(k->ops->put(k, &key, text("v"), 1, &err));
  }
  k->ops->close(k);
  close_backend();
}

static const tap_case cases[] = {
  { "one key in memory", test_memory },
  { "one key in segments and evicted", test_segments },
  { "one key of a namespace", test_namespace },
  { "one key in several key groups", test_key_groups },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "one key", cases, TAP_COUNT(cases));
}
