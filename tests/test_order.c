/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an ordered state's cells against a sorted array: keys of all
 * lengths, keys that begin alike, and keys taken from the front.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "faulty_host.h"
#include "host/engine/order.h"
#include "tap.h"

#define CELLS_MAX 3000

static faulty_host host;
static size_t charged;
static order_tree *tree;
static cell *sorted[CELLS_MAX];
static size_t count;
static uint64_t seed;

static uint32_t
below(uint32_t bound)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % bound;
}

static sb_slice
key_of(const cell *c)
{
  return sb_slice_of(cell_key(c), c->key_len);
}

static size_t
rank_of(sb_slice key)
{
  size_t low = 0, high = count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (slice_compare(key_of(sorted[middle]), key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static cell *
cell_new(sb_slice key)
{
  cell *c = calloc(1, sizeof *c + key.len);

  c->key_len = (uint16_t)key.len;
  if (key.len != 0)
    memcpy(c->data, key.data, key.len);
  return c;
}

static void
add(sb_slice key)
{
  size_t i = rank_of(key);
  cell *c;

  if (count == CELLS_MAX ||
      (i < count && slice_compare(key_of(sorted[i]), key) == 0))
    return;
  CU_ASSERT_EQUAL_FATAL(order_reserve(&host.host, tree, &charged), SB_OK);
  c = cell_new(key);
  order_insert(tree, 0xABCD000000000000ull, c);
  memmove(sorted + i + 1, sorted + i, (count++ - i) * sizeof *sorted);
  sorted[i] = c;
}

static void
remove_at(size_t i)
{
  uint64_t *slot = order_slot(tree, sorted[i]);

  CU_ASSERT_FATAL(slot != NULL && slot_entry(*slot) == sorted[i]);
  order_remove(tree, slot);
  CU_ASSERT(order_slot(tree, sorted[i]) == NULL);
  free(sorted[i]);
  memmove(sorted + i, sorted + i + 1, (--count - i) * sizeof *sorted);
}

static sb_slice
random_key(uint8_t bytes[24], int alike)
{
  size_t len = alike ? 8 + below(16) : below(12), i;

  for (i = 0; i < len; i++)
    bytes[i] = (uint8_t)(alike && i < 8 ? 7 : below(alike ? 3 : 5));
  return sb_slice_of(bytes, len);
}

/* All of it, and from random places on. */
static int
check(int alike)
{
  uint8_t bytes[24];
  sb_slice key = random_key(bytes, alike);
  record place = { .key = key, .flags = RECORD_ORDERED };
  size_t i = rank_of(key);
  int there = i < count && slice_compare(key_of(sorted[i]), key) == 0;
  int after = (int)below(2), wrong = 0;
  order_place at;
  cell *c;

  wrong += order_find(tree, &place) != (there ? sorted[i] : NULL);
  order_seek(tree, key, after, &at);
  i += (size_t)(after && there);
  while ((c = order_step(&at)) != NULL)
    wrong += i >= count || c != sorted[i++];
  wrong += i != count || tree->live != count;
  return wrong;
}

static void
set_up(uint64_t from)
{
  faulty_host_init(&host, 0);
  charged = 0;
  count = 0;
  seed = from;
  tree = order_new(&host.host, &charged);
  CU_ASSERT_FATAL(tree != NULL);
}

static void
tear_down(void)
{
  while (count != 0)
    free(sorted[--count]);
  order_free(&host.host, tree, &charged);
  CU_ASSERT_EQUAL(charged, 0);
  CU_ASSERT_EQUAL(atomic_load(&host.live), 0);
}

/* Grows, shrinks, is emptied from the front, and again. */
static void
run(uint64_t from, int alike, int steps)
{
  uint8_t bytes[24];
  int i, wrong = 0, way = 0;

  set_up(from);
  for (i = 0; i < steps && wrong == 0; i++) {
    if (i % 2000 == 0)
      way = (int)below(4);
    if (count == 0 || below(10) < (way == 0 ? 8u : 4u))
      add(random_key(bytes, alike));
    else if (way == 3)
      remove_at(0);
    else
      remove_at(below((uint32_t)count));
    if (i % 97 == 0)
      wrong += check(alike);
  }
  if (wrong != 0)
    tap_note("seed %llu, step %d", (unsigned long long)from, i);
  CU_ASSERT_EQUAL(wrong, 0);
  while (count != 0)
    remove_at(below((uint32_t)count));
  CU_ASSERT_EQUAL(check(alike), 0);
  tear_down();
}

static void
test_random(void)
{
  int steps = tap_is_slow() ? 5000 : 40000;

  run(1, 0, steps);
  run(2, 1, steps);
  run(3, 0, steps);
  run(4, 1, steps);
}

static void
test_in_order(void)
{
  uint8_t key[8] = { 0 };
  size_t i;

  set_up(5);
  for (i = 0; i < CELLS_MAX; i++) {
    key[6] = (uint8_t)(i >> 8);
    key[7] = (uint8_t)i;
    add(sb_slice_of(key, sizeof key));
  }
  CU_ASSERT_EQUAL(check(0), 0);
  /* Full nodes: not much more than 16 bytes a cell. */
  CU_ASSERT(charged < CELLS_MAX * 20);
  while (count > 1)
    remove_at(count / 2);
  CU_ASSERT_EQUAL(order_reserve(&host.host, tree, &charged), SB_OK);
  CU_ASSERT(charged < 20000);
  tear_down();
}

/* The clear marker is found beside the tree. */
static void
test_front(void)
{
  record place = { .flags = RECORD_FRONT };
  cell *c;

  set_up(6);
  c = cell_new(sb_slice_of(NULL, 0));
  c->flags = CELL_CLEAR;
  CU_ASSERT_EQUAL_FATAL(order_reserve(&host.host, tree, &charged), SB_OK);
  CU_ASSERT(order_find(tree, &place) == NULL);
  order_insert(tree, 0, c);
  CU_ASSERT(order_find(tree, &place) == c);
  place.flags = RECORD_ORDERED;
  CU_ASSERT(order_find(tree, &place) == NULL);
  CU_ASSERT_EQUAL(tree->live, 0);
  order_remove(tree, order_slot(tree, c));
  place.flags = RECORD_FRONT;
  CU_ASSERT(order_find(tree, &place) == NULL);
  free(c);
  tear_down();
}

static const tap_case cases[] = {
  { "random", test_random },
  { "in order", test_in_order },
  { "front", test_front },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = { { "order", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
