/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists against a model, in a budget that holds few of them: appended to one by
 * one and by many, replaced, cleared, read and walked, across checkpoints,
 * evictions and lives of the handle.
 */
#include "config.h"

#include <string.h>

#include "engine_fixture.h"

#define LISTS 3000u
#define ELEMENTS 48u  /* of a list, at most */
#define BATCH 40u

static uint32_t model[LISTS][ELEMENTS], model_count[LISTS];
static uint32_t list_state, value_state, next_element;

/* An element's bytes tell its number; their length follows from it. */
static sb_slice
element(uint32_t number, uint8_t *bytes)
{
  size_t len = number % 7 == 0 ? 300 : 8 + number % 3;

  memset(bytes, (int)(number & 0xff), len);
  memcpy(bytes, &number, sizeof number);
  return sb_slice_of(bytes, len);
}

static void
change(sb_keyed *k, uint32_t i, uint32_t count, int replace)
{
  uint8_t bytes[BATCH][300];
  sb_slice values[BATCH];
  sb_key key = make_key(list_state, i);
  uint32_t n;

  if (replace)
    model_count[i] = 0;
  if (model_count[i] + count > ELEMENTS)
    return;
  for (n = 0; n < count; n++) {
    model[i][model_count[i]++] = next_element;
    values[n] = element(next_element++, bytes[n]);
  }
  if (replace)
    check_ok(k->ops->replace_all(k, &key, values, count, 0, &err));
  else if (count == 1)
    check_ok(k->ops->append(k, &key, values[0], 0, &err));
  else
    check_ok(k->ops->append_all(k, &key, values, count, 0, &err));
}

/* Says so once a list. */
static void
compare(sb_keyed *k, uint32_t i)
{
  sb_key key = make_key(list_state, i);
  uint8_t bytes[300];
  sb_slice list = { NULL, 0 }, got, want;
  sb_status status = k->ops->get(k, &key, &list, &err);
  uint32_t n = 0;

  CU_ASSERT_EQUAL(status, model_count[i] == 0 ? SB_NOT_FOUND : SB_OK);
  for (; status == SB_OK && sb_list_element(&list, &got); n++) {
    if (n == model_count[i])
      break;
    want = element(model[i][n], bytes);
    if (!same(got, want.data, want.len))
      break;
  }
  CU_ASSERT(n == model_count[i] && list.len == 0);
}

/* Values that are read again when they have been evicted: cells of lists are
   spared beside them. */
static void
use_value(sb_keyed *k, uint32_t i)
{
  static const uint8_t zeros[200];
  sb_key key = make_key(value_state, i);
  sb_slice value;
  sb_status status = k->ops->get(k, &key, &value, &err);

  if (status == SB_NOT_FOUND)
    status = k->ops->put(k, &key, sb_slice_of(zeros, sizeof zeros), 0, &err);
  check_ok(status);
}

static void
one_step(sb_keyed *k)
{
  uint32_t i = (uint32_t)(next_random() % LISTS);
  sb_key key;

  use_value(k, (uint32_t)(next_random() % LISTS));
  key = make_key(list_state, i);
  switch (next_random() % 8) {
  case 0:
    change(k, i, (uint32_t)(next_random() % BATCH), 0);
    break;
  case 1:
  case 2:
    change(k, i, (uint32_t)(next_random() % 4), 1);
    break;
  case 3:
    change(k, i, (uint32_t)(next_random() % BATCH), 1);
    break;
  case 4:
    check_ok(k->ops->clear(k, &key, &err));
    model_count[i] = 0;
    break;
  case 5:
    compare(k, i);
    break;
  default:
    change(k, i, 1, 0);
  }
}

/* `memory` holds all lists, or few. */
static void
live(const char *memory)
{
  sb_keyed *k;
  uint32_t i, round, rounds = tap_is_slow() ? 4 : 8;

  open_backend(memory, 4);
  memset(model_count, 0, sizeof model_count);
  k = open_all();
  list_state = add_state(k, "lists", SB_STATE_LIST);
  value_state = add_state(k, "values", SB_STATE_VALUE);
  for (round = 1; round <= rounds; round++) {
    for (i = 0; i < 6000; i++)
      one_step(k);
    checkpoint(2 * round, &k, 1);
    for (i = 0; i < 3000; i++)
      one_step(k);
    if (round % 4 == 0) {
      checkpoint(2 * round + 1, &k, 1);
      k = reopen(k, 0);
      list_state = add_state(k, "lists", SB_STATE_LIST);
      value_state = add_state(k, "values", SB_STATE_VALUE);
    }
    for (i = 0; i < LISTS; i++)
      compare(k, i);
  }
  k->ops->close(k);
  close_backend();
}

static void
test_in_memory(void)
{
  live("64mb");
}

static void
test_evicted(void)
{
  live("4mb");
}

static const tap_case cases[] = {
  { "in memory", test_in_memory },
  { "evicted", test_evicted },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "lists", cases, TAP_COUNT(cases));
}
