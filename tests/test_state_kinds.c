/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of state: each operation of values, lists, maps, reducing and
 * aggregating states, on what is in memory and on what a checkpoint has, and
 * what goes wrong when they are misused.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

/* ---- value --------------------------------------------------------------- */

static void
test_value(void)
{
  sb_state_spec spec = spec_of("v");
  sb_value *value;
  sb_slice got;

  state_begin("16mb", 4);
  spec.flags = SB_SPEC_DEFAULT;
  spec.default_value = text("none");
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("a");
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "none"));
  ok(sb_value_put(value, text("1"), &err));
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "1"));
  ok(sb_value_put(value, sb_slice_of(NULL, 0), &err));
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT_EQUAL(got.len, 0);
  ok(sb_value_clear(value, &err));
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "none"));
  state_restart();
  ok(sb_value_open(context, "v", &value, &err));
  set_key("a");
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_NOT_FOUND);
  state_end();
}

/* ---- list ---------------------------------------------------------------- */

static void
test_list(void)
{
  const sb_slice more[] = { text("2"), text(""), text("33") };
  sb_slice all, element;
  sb_list *list;
  int cold;

  state_begin("16mb", 4);
  ok(sb_list_open(context, "l", &list, &err));
  set_key("a");
  CU_ASSERT_EQUAL(sb_list_get(list, &all, &err), SB_NOT_FOUND);
  ok(sb_list_add(list, text("1"), &err));
  ok(sb_list_add_all(list, more, 3, &err));
  ok(sb_list_add_all(list, NULL, 0, &err));
  for (cold = 0; cold < 2; cold++) {
    CU_ASSERT_STRING_EQUAL(list_words(list), "1,2,,33,");
    ok(sb_list_get(list, &all, &err));
    CU_ASSERT(sb_list_element(&all, &element) && is_text(element, "1"));
    CU_ASSERT(sb_list_element(&all, &element) && is_text(element, "2"));
    CU_ASSERT(sb_list_element(&all, &element) && element.len == 0);
    CU_ASSERT(sb_list_element(&all, &element) && is_text(element, "33"));
    CU_ASSERT(!sb_list_element(&all, &element));
    state_restart();
    ok(sb_list_open(context, "l", &list, &err));
    set_key("a");
  }
  ok(sb_list_update(list, more, 1, &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "2,");
  ok(sb_list_update(list, NULL, 0, &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  state_end();
}

static void
test_list_merge(void)
{
  const sb_slice sources[] = { text("s1"), text("none"), text("t"),
                               text("s2"), text("s1") };
  sb_list *list;

  state_begin("16mb", 4);
  ok(sb_list_open(context, "l", &list, &err));
  set_key("a");
  set_ns("s1");
  ok(sb_list_add(list, text("1"), &err));
  state_restart();
  ok(sb_list_open(context, "l", &list, &err));
  set_key("a");
  set_ns("s1");
  ok(sb_list_add(list, text("2"), &err));
  set_ns("s2");
  ok(sb_list_add(list, text("3"), &err));
  set_ns("t");
  ok(sb_list_add(list, text("0"), &err));
  ok(sb_list_merge(list, text("t"), sources, TAP_COUNT(sources), &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "0,1,2,3,");
  set_ns("s1");
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  set_ns("s2");
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  state_end();
}

/* ---- map ----------------------------------------------------------------- */

static sb_status
put_null(void *arg, sb_update *u)
{
  CU_ASSERT_EQUAL(u->exists, *(unsigned *)arg != 0);
  if (*(unsigned *)arg == 2)
    CU_ASSERT(u->data == NULL && u->len == 0);
  u->action = SB_UPDATE_PUT;
  u->replacement = sb_slice_of(NULL, 0);
  return SB_OK;
}

static sb_status
upper(void *arg, sb_update *u)
{
  char *p = u->data;
  size_t i;

  (void)arg;
  for (i = 0; i < u->len; i++)
    p[i] = (char)(p[i] - 32);
  u->action = SB_UPDATE_IN_PLACE;
  return SB_OK;
}

static void
test_map(void)
{
  const sb_slice keys[] = { text("b"), text("a") };
  const sb_slice values[] = { text("2"), text("1") };
  sb_map *map;
  sb_slice got;
  int yes, cold;

  state_begin("16mb", 4);
  ok(sb_map_open(context, "m", &map, &err));
  set_key("k");
  ok(sb_map_is_empty(map, &yes, &err));
  CU_ASSERT(yes);
  ok(sb_map_put_all(map, keys, values, 2, &err));
  for (cold = 0; cold < 2; cold++) {
    ok(sb_map_is_empty(map, &yes, &err));
    CU_ASSERT(!yes);
    ok(sb_map_contains(map, text("a"), &yes, &err));
    CU_ASSERT(yes);
    ok(sb_map_contains(map, text("c"), &yes, &err));
    CU_ASSERT(!yes);
    CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,b=2,");
    state_restart();
    ok(sb_map_open(context, "m", &map, &err));
    set_key("k");
  }
  ok(sb_map_remove(map, text("a"), &err));
  CU_ASSERT_STRING_EQUAL(map_words(map), "b=2,");
  CU_ASSERT_EQUAL(sb_map_get(map, text("a"), &got, &err), SB_NOT_FOUND);
  ok(sb_map_clear(map, &err));
  ok(sb_map_is_empty(map, &yes, &err));
  CU_ASSERT(yes);
  state_end();
}

static void
test_map_nulls(void)
{
  sb_state_spec spec = spec_of("m");
  unsigned before;
  sb_slice got;
  sb_map *map;
  int yes;

  state_begin("16mb", 4);
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  ok(sb_map_put(map, text("null"), sb_slice_of(NULL, 0), &err));
  ok(sb_map_put(map, text("empty"), sb_slice_of("", 0), &err));
  ok(sb_map_put(map, text("word"), text("word"), &err));
  state_restart();
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  got = text("?");
  ok(sb_map_get(map, text("null"), &got, &err));
  CU_ASSERT(got.data == NULL && got.len == 0);
  ok(sb_map_contains(map, text("null"), &yes, &err));
  CU_ASSERT(yes);
  ok(sb_map_get(map, text("empty"), &got, &err));
  CU_ASSERT(got.data != NULL && got.len == 0);
  ok(sb_map_update(map, text("word"), upper, NULL, &err));
  CU_ASSERT_STRING_EQUAL(map_words(map), "empty=,null=null,word=WORD,");
  before = 0;
  ok(sb_map_update(map, text("new"), put_null, &before, &err));
  before = 2;
  ok(sb_map_update(map, text("new"), put_null, &before, &err));
  before = 1;
  ok(sb_map_update(map, text("word"), put_null, &before, &err));
  CU_ASSERT_STRING_EQUAL(map_words(map), "empty=,new=null,null=null,"
                                         "word=null,");
  /* What is stored so cannot be read as if it were not. */
  state_restart();
  spec.flags = 0;
  fails(sb_map_open_spec(context, &spec, &map, &err), SB_MISMATCH, "null");
  state_end();
}

/* ---- reducing ------------------------------------------------------------ */

typedef struct folding {
  int calls;
  sb_status fail;       /* what the functions return from now on */
  const char *message;
} folding;

/* Numbers of 8 bytes are added; other lengths are put together. */
static sb_status
fold(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  static char joined[256];
  folding *f = arg;
  uint64_t a, b;

  f->calls++;
  if (f->fail != SB_OK)
    return f->message == NULL
             ? f->fail
             : sb_error_set(error, f->fail, "%s", f->message);
  if (state->len == 8 && input.len == 8) {
    memcpy(&a, state->data, 8);
    memcpy(&b, input.data, 8);
    a += b;
    memcpy(state->data, &a, 8);
    state->action = SB_UPDATE_IN_PLACE;
    return SB_OK;
  }
  snprintf(joined, sizeof joined, "%.*s%.*s", (int)state->len,
           state->exists ? (const char *)state->data : "", (int)input.len,
           (const char *)input.data);
  state->replacement = text(joined);
  state->action = SB_UPDATE_PUT;
  return SB_OK;
}

static folding counted;

static sb_reducing *
open_reducing(const char *name)
{
  sb_state_spec spec = spec_of(name);
  sb_reducing *state = NULL;

  memset(&counted, 0, sizeof counted);
  spec.fold = fold;
  spec.fold_arg = &counted;
  ok(sb_reducing_open_spec(context, &spec, &state, &err));
  return state;
}

static void
test_reducing(void)
{
  const uint64_t five = 5;
  sb_reducing *sum;
  sb_slice got;
  uint64_t n;
  int i;

  state_begin("16mb", 4);
  sum = open_reducing("r");
  set_key("k");
  CU_ASSERT_EQUAL(sb_reducing_get(sum, &got, &err), SB_NOT_FOUND);
  for (i = 0; i < 3; i++)
    ok(sb_reducing_add(sum, sb_slice_of(&five, 8), &err));
  CU_ASSERT_EQUAL(counted.calls, 2);
  state_restart();
  sum = open_reducing("r");
  set_key("k");
  ok(sb_reducing_add(sum, sb_slice_of(&five, 8), &err));
  ok(sb_reducing_get(sum, &got, &err));
  memcpy(&n, got.data, 8);
  CU_ASSERT(got.len == 8 && n == 20);
  ok(sb_reducing_update_internal(sum, text("x"), &err));
  CU_ASSERT_EQUAL(counted.calls, 1);
  ok(sb_reducing_add(sum, text("yz"), &err));
  ok(sb_reducing_get(sum, &got, &err));
  CU_ASSERT(is_text(got, "xyz"));
  ok(sb_reducing_clear(sum, &err));
  CU_ASSERT_EQUAL(sb_reducing_get(sum, &got, &err), SB_NOT_FOUND);
  state_end();
}

/* A function that fails changes nothing, and what it said arrives. */
static void
test_fold_fails(void)
{
  const sb_slice sources[] = { text("a"), text("b") };
  sb_reducing *sum;
  sb_slice got;
  sb_status status;

  state_begin("16mb", 4);
  sum = open_reducing("r");
  set_key("k");
  set_ns("a");
  ok(sb_reducing_add(sum, text("1"), &err));
  set_ns("b");
  ok(sb_reducing_add(sum, text("2"), &err));
  counted.fail = SB_DENIED;
  counted.message = "no more of this";
  fails(sb_reducing_add(sum, text("x"), &err), SB_DENIED, "no more of this");
  status = sb_reducing_merge(sum, text("t"), sources, 2, &err);
  fails(status, SB_DENIED, "no more of this");
  counted.message = NULL;
  fails(sb_reducing_add(sum, text("x"), &err), SB_DENIED, "\"r\"");
  CU_ASSERT_EQUAL(sb_reducing_add(sum, text("x"), NULL), SB_DENIED);
  counted.fail = SB_OK;
  ok(sb_reducing_get(sum, &got, &err));
  CU_ASSERT(is_text(got, "2"));
  ok(sb_reducing_merge(sum, text("t"), sources, 2, &err));
  set_ns("t");
  ok(sb_reducing_get(sum, &got, &err));
  CU_ASSERT(is_text(got, "12"));
  state_end();
}

static void
test_reducing_merge(void)
{
  const sb_slice sources[] = { text("a"), text("t"), text("no"), text("b"),
                               text("a") };
  sb_reducing *sum;
  sb_slice got;

  state_begin("16mb", 4);
  sum = open_reducing("r");
  set_key("k");
  set_ns("a");
  ok(sb_reducing_add(sum, text("1"), &err));
  set_ns("t");
  ok(sb_reducing_add(sum, text("0"), &err));
  state_restart();
  sum = open_reducing("r");
  set_key("k");
  set_ns("b");
  ok(sb_reducing_add(sum, text("2"), &err));
  ok(sb_reducing_merge(sum, text("t"), sources, TAP_COUNT(sources), &err));
  CU_ASSERT_EQUAL(sb_reducing_get(sum, &got, &err), SB_NOT_FOUND);
  set_ns("a");
  CU_ASSERT_EQUAL(sb_reducing_get(sum, &got, &err), SB_NOT_FOUND);
  set_ns("t");
  ok(sb_reducing_get(sum, &got, &err));
  CU_ASSERT(is_text(got, "012"));
  ok(sb_reducing_merge(sum, text("u"), sources, 2, &err));
  CU_ASSERT_EQUAL(sb_reducing_get(sum, &got, &err), SB_NOT_FOUND);
  set_ns("u");
  ok(sb_reducing_get(sum, &got, &err));
  CU_ASSERT(is_text(got, "012"));
  ok(sb_reducing_merge(sum, text("u"), NULL, 0, &err));
  state_end();
}

/* ---- aggregating --------------------------------------------------------- */

/* The mean: the accumulator is a count and a sum. */
typedef struct mean {
  uint64_t count, sum;
} mean;

static sb_status
mean_add(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  static mean m;

  (void)arg;
  if (input.len != 1)
    return sb_error_set(error, SB_INVALID, "a digit is wanted");
  memset(&m, 0, sizeof m);
  if (state->exists)
    memcpy(&m, state->data, sizeof m);
  m.count++;
  m.sum += (uint64_t)(*(const char *)input.data - '0');
  state->action = SB_UPDATE_PUT;
  state->replacement = sb_slice_of(&m, sizeof m);
  return SB_OK;
}

static sb_status
mean_merge(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  mean m, other;

  (void)arg;
  (void)error;
  memcpy(&m, state->data, sizeof m);
  memcpy(&other, input.data, sizeof other);
  m.count += other.count;
  m.sum += other.sum;
  memcpy(state->data, &m, sizeof m);
  state->action = SB_UPDATE_IN_PLACE;
  return SB_OK;
}

static sb_status
mean_result(void *arg, sb_slice accumulator, sb_give_fn *give, void *give_arg,
            sb_error *error)
{
  char digits[32];
  mean m;
  int len;

  memcpy(&m, accumulator.data, sizeof m);
  if (*(int *)arg != 0)
    return sb_error_set(error, SB_IO, "no result today");
  len = snprintf(digits, sizeof digits, "%.2f",
                 (double)m.sum / (double)m.count);
  if (give(give_arg, digits, 1) != SB_OK)
    return SB_NO_MEMORY;
  return give(give_arg, digits + 1, (size_t)len - 1);
}

static int result_fails;

static sb_aggregating *
open_mean(void)
{
  sb_state_spec spec = spec_of("mean");
  sb_aggregating *state = NULL;

  spec.fold = mean_add;
  spec.merge = mean_merge;
  spec.result = mean_result;
  spec.fold_arg = &result_fails;
  ok(sb_aggregating_open_spec(context, &spec, &state, &err));
  return state;
}

static void
test_aggregating(void)
{
  const sb_slice sources[] = { text("a"), text("b") };
  sb_aggregating *state;
  sb_slice got;
  mean m;

  state_begin("16mb", 4);
  state = open_mean();
  set_key("k");
  set_ns("a");
  CU_ASSERT_EQUAL(sb_aggregating_get(state, &got, &err), SB_NOT_FOUND);
  ok(sb_aggregating_add(state, text("1"), &err));
  ok(sb_aggregating_add(state, text("2"), &err));
  fails(sb_aggregating_add(state, text("no"), &err), SB_INVALID, "digit");
  state_restart();
  state = open_mean();
  set_key("k");
  set_ns("a");
  ok(sb_aggregating_get(state, &got, &err));
  CU_ASSERT(is_text(got, "1.50"));
  result_fails = 1;
  fails(sb_aggregating_get(state, &got, &err), SB_IO, "no result today");
  result_fails = 0;
  set_ns("b");
  ok(sb_aggregating_add(state, text("9"), &err));
  ok(sb_aggregating_merge(state, text("b"), sources, 2, &err));
  ok(sb_aggregating_get(state, &got, &err));
  CU_ASSERT(is_text(got, "4.00"));
  ok(sb_aggregating_get_internal(state, &got, &err));
  memcpy(&m, got.data, sizeof m);
  CU_ASSERT(got.len == sizeof m && m.count == 3 && m.sum == 12);
  m.sum = 6;
  ok(sb_aggregating_update_internal(state, sb_slice_of(&m, sizeof m), &err));
  ok(sb_aggregating_get(state, &got, &err));
  CU_ASSERT(is_text(got, "2.00"));
  ok(sb_aggregating_clear(state, &err));
  CU_ASSERT_EQUAL(sb_aggregating_get(state, &got, &err), SB_NOT_FOUND);
  state_end();
}

/* ---- misuse -------------------------------------------------------------- */

static void
test_null(void)
{
  sb_state_spec spec = spec_of("r");
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_reducing *reducing;
  sb_iterator *it;
  sb_slice got;

  state_begin("16mb", 4);
  fails(sb_value_get(NULL, &got, &err), SB_INVALID, "value that is NULL");
  fails(sb_list_add(NULL, got, &err), SB_INVALID, "list that is NULL");
  fails(sb_map_iterate(NULL, &it, &err), SB_INVALID, "map that is NULL");
  fails(sb_reducing_add(NULL, got, &err), SB_INVALID, "NULL");
  fails(sb_aggregating_get(NULL, &got, &err), SB_INVALID, "NULL");
  fails(sb_value_open(NULL, "v", &value, &err), SB_INVALID, "context");
  fails(sb_value_open(context, NULL, &value, &err), SB_INVALID, "name");
  fails(sb_value_open(context, "v", NULL, &err), SB_INVALID, "NULL");
  fails(sb_value_open_spec(context, NULL, &value, &err), SB_INVALID, "spec");
  fails(sb_context_set_key(NULL, text(""), &err), SB_INVALID, "context");
  fails(sb_iterator_next(NULL, NULL, &err), SB_INVALID, "iterator");
  fails(sb_visitor_remove(NULL, NULL, &err), SB_INVALID, "visitor");
  fails(sb_batch_submit(NULL, &err), SB_INVALID, "batch");
  fails(sb_context_poll(NULL, 0, NULL, &err), SB_INVALID, "context");
  fails(sb_reducing_open_spec(context, &spec, &reducing, &err), SB_INVALID,
        "fold");
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_list_open(context, "l", &list, &err));
  ok(sb_map_open(context, "m", &map, &err));
  fails(sb_value_get(value, &got, &err), SB_INVALID, "no current key");
  set_key("k");
  fails(sb_value_get(value, NULL, &err), SB_INVALID, "NULL");
  fails(sb_value_update(value, NULL, NULL, &err), SB_INVALID, "function");
  fails(sb_list_add_all(list, NULL, 1, &err), SB_INVALID, "elements");
  fails(sb_list_each(list, NULL, NULL, &err), SB_INVALID, "function");
  fails(sb_list_merge(list, text("t"), NULL, 1, &err), SB_INVALID,
        "namespaces");
  fails(sb_map_put_all(map, &got, NULL, 1, &err), SB_INVALID, "values");
  fails(sb_map_contains(map, got, NULL, &err), SB_INVALID, "NULL");
  fails(sb_value_get((sb_value *)list, &got, &err), SB_INVALID,
        "as a value: it is a list");
  sb_iterator_close(NULL);
  sb_visitor_close(NULL);
  sb_batch_free(NULL);
  sb_context_free(NULL);
  state_end();
}

static const tap_case cases[] = {
  { "value", test_value },
  { "list", test_list },
  { "list_merge", test_list_merge },
  { "map", test_map },
  { "map_nulls", test_map_nulls },
  { "reducing", test_reducing },
  { "fold_fails", test_fold_fails },
  { "reducing_merge", test_reducing_merge },
  { "aggregating", test_aggregating },
  { "null", test_null }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_kinds", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
