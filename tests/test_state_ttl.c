/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time to live of each kind of state: what renews it, what is shown and until
 * when, by the clock and by event time.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

/* ---- values -------------------------------------------------------------- */

static void
value_life(sb_state_spec spec, int restarts)
{
  int on_read = spec.ttl_update == SB_TTL_READ_WRITE;
  int shown = spec.ttl_visibility == SB_TTL_UNLESS_CLEANED;
  sb_value *value;

  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("k");
  ok(sb_value_put(value, text("1"), &err));
  pass(60);
  if (restarts) {
    state_restart();
    ok(sb_value_open_spec(context, &spec, &value, &err));
    set_key("k");
  }
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  pass(60);
  if (restarts) {
    state_restart();
    ok(sb_value_open_spec(context, &spec, &value, &err));
    set_key("k");
  }
  CU_ASSERT_STRING_EQUAL(value_of(value), on_read || shown ? "1" : "none");
  if (!on_read) {
    CU_ASSERT_STRING_EQUAL(value_of(value), "none");
    ok(sb_value_put(value, text("2"), &err));
    pass(99);
    CU_ASSERT_STRING_EQUAL(value_of(value), "2");
    ok(sb_value_put(value, text("3"), &err));
    pass(99);
    CU_ASSERT_STRING_EQUAL(value_of(value), "3");
  }
  pass(100);
  if (shown)
    CU_ASSERT_STRING_NOT_EQUAL(value_of(value), "none");
  CU_ASSERT_STRING_EQUAL(value_of(value), "none");
}

static void
test_value(void)
{
  int restarts;

  state_begin("16mb", 4);
  for (restarts = 0; restarts < 2; restarts++) {
    value_life(lasting(restarts ? "v1" : "w1", 100, SB_TTL_WRITE,
                       SB_TTL_NEVER), restarts);
    value_life(lasting(restarts ? "v2" : "w2", 100, SB_TTL_READ_WRITE,
                       SB_TTL_NEVER), restarts);
    value_life(lasting(restarts ? "v3" : "w3", 100, SB_TTL_WRITE,
                       SB_TTL_UNLESS_CLEANED), restarts);
    value_life(lasting(restarts ? "v4" : "w4", 100, SB_TTL_READ_WRITE,
                       SB_TTL_UNLESS_CLEANED), restarts);
  }
  state_end();
}

static sb_status
append_x(void *arg, sb_update *u)
{
  static char longer[32];

  CU_ASSERT_EQUAL(u->exists, *(unsigned *)arg);
  snprintf(longer, sizeof longer, "%.*sx", (int)u->len,
           u->exists ? (const char *)u->data : "");
  u->action = SB_UPDATE_PUT;
  u->replacement = text(longer);
  return SB_OK;
}

static sb_status
keep(void *arg, sb_update *u)
{
  CU_ASSERT_EQUAL(u->exists, *(unsigned *)arg);
  return SB_OK;
}

static void
test_update(void)
{
  sb_state_spec spec = lasting("v", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  sb_value *value;
  unsigned there = 0;

  state_begin("16mb", 4);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("k");
  ok(sb_value_update(value, append_x, &there, &err));
  pass(60);
  there = 1;
  ok(sb_value_update(value, append_x, &there, &err));
  pass(60);
  ok(sb_value_update(value, keep, &there, &err));
  CU_ASSERT_STRING_EQUAL(value_of(value), "xx");
  pass(40);
  there = 0;
  ok(sb_value_update(value, append_x, &there, &err));
  CU_ASSERT_STRING_EQUAL(value_of(value), "x");
  /* keeping is reading */
  spec = lasting("r", 100, SB_TTL_READ_WRITE, SB_TTL_NEVER);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  ok(sb_value_put(value, text("1"), &err));
  there = 1;
  pass(60);
  ok(sb_value_update(value, keep, &there, &err));
  pass(60);
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  state_end();
}

/* ---- lists --------------------------------------------------------------- */

static void
test_list(void)
{
  sb_state_spec spec = lasting("l", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  const sb_slice two[] = { text("3"), text("4") };
  sb_slice all, element;
  sb_iterator *it;
  sb_list *list;
  sb_row row;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_list_add(list, text("1"), &err));
  pass(50);
  ok(sb_list_add(list, text("2"), &err));
  pass(49);
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,2,");
  state_restart();
  pass(1);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "2,");
  ok(sb_list_get(list, &all, &err));
  CU_ASSERT(sb_list_element(&all, &element) && is_text(element, "2"));
  CU_ASSERT(!sb_list_element(&all, &element));
  ok(sb_list_iterate(list, &it, &err));
  ok(sb_iterator_next(it, &row, &err));
  CU_ASSERT(is_text(row.value, "2"));
  ok(sb_iterator_set(it, text("two"), &err));
  CU_ASSERT_EQUAL(sb_iterator_next(it, &row, &err), SB_END);
  sb_iterator_close(it);
  pass(50);
  CU_ASSERT_STRING_EQUAL(list_words(list), "two,");
  pass(50);
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  CU_ASSERT_EQUAL(stored("l"), 0); /* reading has removed it */
  ok(sb_list_update(list, two, 2, &err));
  pass(99);
  CU_ASSERT_STRING_EQUAL(list_words(list), "3,4,");
  state_end();
}

static void
test_list_read(void)
{
  sb_state_spec spec = lasting("l", 100, SB_TTL_READ_WRITE,
                               SB_TTL_UNLESS_CLEANED);
  sb_iterator *it;
  sb_list *list;
  sb_row row;
  int i;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_list_add(list, text("1"), &err));
  pass(60);
  ok(sb_list_add(list, text("2"), &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,2,");
  for (i = 0; i < 2; i++) {
    pass(60);
    CU_ASSERT_STRING_EQUAL(list_words(list), "1,2,");
    pass(60);
    ok(sb_list_iterate(list, &it, &err));
    ok(sb_iterator_next(it, &row, &err));
    CU_ASSERT(is_text(row.value, "1"));
    ok(sb_iterator_next(it, &row, &err));
    CU_ASSERT(is_text(row.value, "2"));
    CU_ASSERT_EQUAL(sb_iterator_next(it, &row, &err), SB_END);
    sb_iterator_close(it);
    state_restart();
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("k");
  }
  pass(50);
  ok(sb_list_add(list, text("3"), &err));
  pass(50); /* 1 and 2 are over, and shown this once */
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,2,3,");
  CU_ASSERT_STRING_EQUAL(list_words(list), "3,");
  pass(100);
  CU_ASSERT_STRING_EQUAL(list_words(list), "3,");
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  /* What is shown once more is gone already. */
  ok(sb_list_add(list, text("4"), &err));
  pass(100);
  ok(sb_list_iterate(list, &it, &err));
  ok(sb_iterator_next(it, &row, &err));
  CU_ASSERT(is_text(row.value, "4"));
  fails(sb_iterator_set(it, text("5"), &err), SB_NOT_FOUND, "expired");
  ok(sb_iterator_remove(it, &err));
  CU_ASSERT_EQUAL(sb_iterator_next(it, &row, &err), SB_END);
  sb_iterator_close(it);
  CU_ASSERT_EQUAL(stored("l"), 0);
  state_end();
}

static void
test_list_merge(void)
{
  sb_state_spec spec = lasting("l", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  const sb_slice sources[] = { text("s") };
  sb_list *list;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  set_ns("s");
  ok(sb_list_add(list, text("1"), &err));
  pass(50);
  ok(sb_list_add(list, text("2"), &err));
  pass(50);
  set_ns("t");
  ok(sb_list_add(list, text("0"), &err));
  ok(sb_list_merge(list, text("t"), sources, 1, &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "0,2,");
  pass(50); /* its stamp came along */
  CU_ASSERT_STRING_EQUAL(list_words(list), "0,");
  state_end();
}

/* ---- maps ---------------------------------------------------------------- */

static void
test_map(void)
{
  sb_state_spec spec = lasting("m", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  sb_map *map;
  sb_slice got;
  int yes;

  state_begin("16mb", 4);
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  ok(sb_map_put(map, text("a"), text("1"), &err));
  pass(50);
  ok(sb_map_put(map, text("b"), sb_slice_of(NULL, 0), &err));
  state_restart();
  pass(50);
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(map_words(map), "b=null,");
  CU_ASSERT_EQUAL(sb_map_get(map, text("a"), &got, &err), SB_NOT_FOUND);
  ok(sb_map_contains(map, text("b"), &yes, &err));
  CU_ASSERT(yes);
  pass(50);
  ok(sb_map_is_empty(map, &yes, &err));
  CU_ASSERT(yes);
  state_end();
}

static void
test_map_read(void)
{
  sb_state_spec spec = lasting("m", 100, SB_TTL_READ_WRITE,
                               SB_TTL_UNLESS_CLEANED);
  sb_map *map;
  int cold;

  state_begin("16mb", 4);
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  ok(sb_map_put(map, text("a"), text("1"), &err));
  ok(sb_map_put(map, text("b"), text("2"), &err));
  for (cold = 0; cold < 2; cold++) {
    pass(60);
    CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,b=2,");
    pass(60);
    CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,b=2,");
    state_restart();
    ok(sb_map_open_spec(context, &spec, &map, &err));
    set_key("k");
  }
  pass(100);
  CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,b=2,");
  CU_ASSERT_STRING_EQUAL(map_words(map), "");
  CU_ASSERT_EQUAL(stored("m"), 0);
  state_end();
}

/* ---- reducing ------------------------------------------------------------ */

static sb_status
join(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  static char joined[64];

  (void)arg;
  (void)error;
  snprintf(joined, sizeof joined, "%.*s%.*s", (int)state->len,
           (const char *)state->data, (int)input.len,
           (const char *)input.data);
  state->replacement = text(joined);
  state->action = SB_UPDATE_PUT;
  return SB_OK;
}

static void
test_reducing(void)
{
  sb_state_spec spec = lasting("r", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  const sb_slice sources[] = { text("s") };
  sb_reducing *state;
  sb_slice got;

  state_begin("16mb", 4);
  spec.fold = join;
  ok(sb_reducing_open_spec(context, &spec, &state, &err));
  set_key("k");
  ok(sb_reducing_add(state, text("1"), &err));
  pass(60);
  ok(sb_reducing_add(state, text("2"), &err));
  pass(60);
  ok(sb_reducing_get(state, &got, &err));
  CU_ASSERT(is_text(got, "12"));
  pass(40); /* what has expired is not folded */
  ok(sb_reducing_add(state, text("3"), &err));
  ok(sb_reducing_get(state, &got, &err));
  CU_ASSERT(is_text(got, "3"));
  /* Moved alone, it keeps its time. */
  set_ns("s");
  ok(sb_reducing_add(state, text("4"), &err));
  pass(60);
  ok(sb_reducing_merge(state, text("t"), sources, 1, &err));
  set_ns("t");
  pass(39);
  ok(sb_reducing_get(state, &got, &err));
  CU_ASSERT(is_text(got, "4"));
  pass(1);
  CU_ASSERT_EQUAL(sb_reducing_get(state, &got, &err), SB_NOT_FOUND);
  /* Folded into another, both are as new. */
  ok(sb_reducing_add(state, text("5"), &err));
  set_ns("s");
  ok(sb_reducing_add(state, text("6"), &err));
  pass(60);
  ok(sb_reducing_merge(state, text("t"), sources, 1, &err));
  pass(60);
  set_ns("t");
  ok(sb_reducing_get(state, &got, &err));
  CU_ASSERT(is_text(got, "56"));
  state_end();
}

/* ---- event time ---------------------------------------------------------- */

static void
test_event_time(void)
{
  sb_state_spec spec = lasting("v", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  sb_value *value;
  sb_list *list;

  state_begin("16mb", 4);
  spec.ttl_time = SB_TTL_EVENT;
  ok(sb_value_open_spec(context, &spec, &value, &err));
  spec.name = "l";
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_value_put(value, text("early"), &err)); /* before any time is known */
  ok(sb_list_add(list, text("early"), &err));
  ok(sb_context_set_time(context, -5, &err));
  pass(1000000);
  CU_ASSERT_STRING_EQUAL(value_of(value), "early");
  ok(sb_context_set_time(context, 1000, &err));
  CU_ASSERT_STRING_EQUAL(value_of(value), "none");
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  ok(sb_value_put(value, text("1"), &err));
  ok(sb_list_add(list, text("1"), &err));
  ok(sb_context_set_time(context, 1099, &err));
  ok(sb_context_set_time(context, 500, &err));
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  ok(sb_context_set_time(context, 1100, &err));
  CU_ASSERT_STRING_EQUAL(value_of(value), "none");
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  state_end();
}

/* The list is `elements`, some times over. */
static void
list_compare(sb_list *list, const sb_slice *elements, size_t count, int times)
{
  size_t i, wrong = 0;
  sb_slice all, element;

  ok(sb_list_get(list, &all, &err));
  for (i = 0; sb_list_element(&all, &element); i++)
    wrong += element.len != elements[i % count].len ||
             (element.len != 0 && memcmp(element.data,
                                         elements[i % count].data,
                                         element.len) != 0);
  CU_ASSERT_EQUAL(all.len, 0);
  CU_ASSERT_EQUAL(i, count * (size_t)times);
  CU_ASSERT_EQUAL(wrong, 0);
}

/* Many elements by one call, in and around the size of a record, onto what
   this or an older epoch has; with stamps and without. */
static void
test_list_add_all(void)
{
  static const size_t lens[] = {
    0,    1,    4091, 0,    4092, 4093, 0, 4087,  0, 0,
    9000, 2044, 2044, 2044, 2045, 1000, 3, 70000, 0
  };
  enum { SIZES = TAP_COUNT(lens), EACH = 8, COUNT = SIZES * EACH + 200 };
  static uint8_t bytes[COUNT + 70000];
  static sb_slice elements[COUNT];
  sb_state_spec spec = spec_of("l");
  sb_list *list;
  int stamped, i;

  for (i = 0; i < (int)sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 7 + i / 251);
  for (i = 0; i < COUNT; i++)
    elements[i] = sb_slice_of(bytes + i, i >= SIZES * EACH ? (size_t)i % 13
                                           : lens[i * 5 % SIZES]);
  for (stamped = 0; stamped < 2; stamped++) {
    state_begin("64mb", 4);
    spec.ttl_ms = stamped ? 1000000 : 0;
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("a");
    ok(sb_list_add_all(list, elements, COUNT, &err));
    list_compare(list, elements, COUNT, 1);
    ok(sb_list_add_all(list, elements, COUNT, &err));
    state_checkpoint();
    ok(sb_list_add_all(list, elements, COUNT, &err));
    list_compare(list, elements, COUNT, 3);
    state_restart();
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("a");
    list_compare(list, elements, COUNT, 3);
    for (i = 0; i < COUNT; i++) /* the same in other steps */
      ok(i == 0 ? sb_list_update(list, elements, 1, &err)
                : sb_list_add(list, elements[i], &err));
    ok(sb_list_add_all(list, elements, 1, &err));
    ok(sb_list_add_all(list, elements + 1, COUNT - 1, &err));
    list_compare(list, elements, COUNT, 2);
    ok(sb_list_update(list, elements, COUNT, &err));
    list_compare(list, elements, COUNT, 1);
    state_end();
  }
}

static const tap_case cases[] = {
  { "list_add_all", test_list_add_all },
  { "value", test_value },
  { "update", test_update },
  { "list", test_list },
  { "list_read", test_list_read },
  { "list_merge", test_list_merge },
  { "map", test_map },
  { "map_read", test_map_read },
  { "reducing", test_reducing },
  { "event_time", test_event_time }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_ttl", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
