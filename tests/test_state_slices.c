/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices with a length whose data is NULL, given to each call of the state
 * layer that takes one: refused by name, with nothing changed. Only data NULL
 * with length 0 is a map's null.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

static const sb_slice bad = { NULL, 5 };

static int
refused(sb_status status, const char *what)
{
  int right = fails(status, SB_INVALID, what) &&
              fails(status, SB_INVALID, "NULL");

  err.message[0] = '\0';
  return right;
}

static int give_nothing;  /* what the functions below do */

static sb_status
fold(void *arg, sb_update *u, sb_slice input, sb_error *error)
{
  (void)arg;
  (void)error;
  u->replacement = give_nothing ? bad : input;
  u->action = SB_UPDATE_PUT;
  return SB_OK;
}

static sb_status
result(void *arg, sb_slice accumulator, sb_give_fn *give, void *give_arg,
       sb_error *error)
{
  (void)arg;
  (void)error;
  /* What it returns is not looked at, as callers may do. */
  (void)give(give_arg, give_nothing ? NULL : accumulator.data,
             accumulator.len);
  return SB_OK;
}

static sb_status
put_nothing(void *arg, sb_update *u)
{
  (void)arg;
  u->replacement = bad;
  u->action = SB_UPDATE_PUT;
  return SB_OK;
}

static void
test_context(void)
{
  sb_row row = { .key = text("k") };
  sb_iterator *it;
  sb_value *value;
  const char *name = "v";

  state_begin("16mb", 1);
  ok(sb_value_open(context, name, &value, &err));
  set_key("key");
  set_ns("ns");
  ok(sb_value_put(value, text("x"), &err));
  refused(sb_context_set_key(context, bad, &err), "the key of 5 bytes");
  refused(sb_context_set_key_hash(context, bad, 7, &err),
          "the key of 5 bytes");
  refused(sb_context_set_namespace(context, bad, &err),
          "the namespace of 5 bytes");
  row.ns = bad;
  refused(sb_context_set_row(context, &row, &err),
          "the namespace of a row of 5 bytes");
  row.key = bad;
  refused(sb_context_set_row(context, &row, &err),
          "the key of a row of 5 bytes");
  CU_ASSERT(is_text(sb_context_key(context), "key"));
  CU_ASSERT(is_text(sb_context_namespace(context), "ns"));
  refused(sb_context_keys(context, &name, 1, bad, &it, &err),
          "the namespace of 5 bytes");
  CU_ASSERT_PTR_NULL(it);
  refused(sb_context_remove_namespace(context, name, bad, &err),
          "the namespace of 5 bytes");
  CU_ASSERT_STRING_EQUAL(value_of(value), "x");
  CU_ASSERT_EQUAL(sb_hash_bytes(bad), sb_hash_bytes(sb_slice_of(NULL, 0)));
  state_end();
}

static void
test_value(void)
{
  sb_state_spec spec = spec_of("default");
  sb_value *value, *other;
  int i;

  for (i = 0; i < 2; i++) {
    state_begin("16mb", 1);
    set_key("key");
    spec = lasting("v", i ? 1000 : 0, SB_TTL_WRITE, SB_TTL_NEVER);
    ok(sb_value_open_spec(context, &spec, &value, &err));
    ok(sb_value_put(value, text("x"), &err));
    refused(sb_value_put(value, bad, &err), "the value of 5 bytes");
    refused(sb_value_update(value, put_nothing, NULL, &err),
            "the value of 5 bytes");
    CU_ASSERT_STRING_EQUAL(value_of(value), "x");
    spec = spec_of("default");
    spec.default_value = bad;
    ok(sb_value_open_spec(context, &spec, &other, &err)); /* it is not used */
    spec.name = "another";
    spec.flags = SB_SPEC_DEFAULT;
    refused(sb_value_open_spec(context, &spec, &other, &err),
            "the default value of 5 bytes");
    state_end();
  }
}

static void
test_list(void)
{
  const sb_slice some[] = { text("b"), sb_slice_of(NULL, 0), bad };
  const sb_row *rows;
  sb_state_spec spec;
  sb_iterator *it;
  sb_visitor *v;
  sb_list *list;
  sb_row row;
  size_t count;
  int i;

  for (i = 0; i < 2; i++) {
    state_begin("16mb", 1);
    spec = lasting("l", i ? 1000 : 0, SB_TTL_WRITE, SB_TTL_NEVER);
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("key");
    ok(sb_list_add(list, text("a"), &err));
    refused(sb_list_add(list, bad, &err), "of 5 bytes");
    refused(sb_list_add_all(list, some, 3, &err),
            "element 2, which has 5 bytes");
    refused(sb_list_add_all(list, &bad, 1, &err), "5 bytes");
    refused(sb_list_update(list, some, 3, &err),
            "element 2, which has 5 bytes");
    refused(sb_list_merge(list, bad, some, 2, &err),
            "the target namespace of 5 bytes");
    refused(sb_list_merge(list, text("n"), some, 3, &err),
            "source namespace 2, which has 5 bytes");
    ok(sb_list_iterate(list, &it, &err));
    ok(sb_iterator_next(it, &row, &err));
    refused(sb_iterator_set(it, bad, &err), "of 5 bytes");
    sb_iterator_close(it);
    ok(sb_visitor_open(context, "l", 0, 0, &v, &err));
    ok(sb_visitor_next(v, 1, &rows, &count, &err));
    refused(sb_visitor_update(v, rows, bad, &err), "the value of 5 bytes");
    sb_visitor_close(v);
    CU_ASSERT_STRING_EQUAL(list_words(list), "a,");
    ok(sb_list_add_all(list, some, 2, &err));
    CU_ASSERT_STRING_EQUAL(list_words(list), "a,b,,");
    state_end();
  }
}

/* Without nulls, then with them. */
static void
test_map(void)
{
  const sb_slice some[] = { text("b"), sb_slice_of(NULL, 0), bad };
  sb_state_spec spec = spec_of("m");
  const sb_row *rows;
  sb_iterator *it;
  sb_visitor *v;
  sb_slice got;
  sb_map *map;
  sb_row row;
  size_t count;
  int i, found;

  for (i = 0; i < 2; i++) {
    state_begin("16mb", 1);
    spec.flags = i ? SB_SPEC_NULLS : 0;
    ok(sb_map_open_spec(context, &spec, &map, &err));
    set_key("key");
    ok(sb_map_put(map, text("a"), text("1"), &err));
    refused(sb_map_get(map, bad, &got, &err), "the subkey of 5 bytes");
    refused(sb_map_contains(map, bad, &found, &err), "the subkey of 5 bytes");
    refused(sb_map_put(map, bad, text("2"), &err), "the subkey of 5 bytes");
    refused(sb_map_put(map, text("a"), bad, &err), "the value of 5 bytes");
    refused(sb_map_remove(map, bad, &err), "the subkey of 5 bytes");
    refused(sb_map_update(map, bad, put_nothing, NULL, &err),
            "the subkey of 5 bytes");
    refused(sb_map_update(map, text("a"), put_nothing, NULL, &err),
            "the value of 5 bytes");
    refused(sb_map_put_all(map, some, some + 1, 2, &err),
            "value 1, which has 5 bytes");
    refused(sb_map_put_all(map, some, some, 3, &err),
            "subkey 2, which has 5 bytes");
    ok(sb_map_iterate(map, &it, &err));
    ok(sb_iterator_next(it, &row, &err));
    refused(sb_iterator_set(it, bad, &err), "the value of 5 bytes");
    sb_iterator_close(it);
    ok(sb_visitor_open(context, "m", 0, 0, &v, &err));
    ok(sb_visitor_next(v, 1, &rows, &count, &err));
    refused(sb_visitor_update(v, rows, bad, &err), "the value of 5 bytes");
    sb_visitor_close(v);
    CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,");
    ok(sb_map_put(map, text("a"), some[1], &err));
    CU_ASSERT(ok(sb_map_get(map, text("a"), &got, &err)) && got.len == 0 &&
              (got.data == NULL || !i));
    state_end();
  }
}

static void
test_folds(void)
{
  const sb_slice some[] = { text("m"), text("n"), bad };
  sb_state_spec spec = spec_of("r");
  sb_aggregating *aggregating;
  sb_reducing *reducing;
  sb_slice got = { NULL, 0 };
  int i;

  state_begin("16mb", 1);
  give_nothing = 0;
  spec.fold = spec.merge = fold;
  ok(sb_reducing_open_spec(context, &spec, &reducing, &err));
  spec.name = "a";
  spec.result = result;
  ok(sb_aggregating_open_spec(context, &spec, &aggregating, &err));
  set_key("key");
  for (i = 0; i < 2; i++) {
    ok(sb_context_set_namespace(context, some[i], &err));
    ok(sb_reducing_add(reducing, text("x"), &err));
    ok(sb_aggregating_add(aggregating, text("x"), &err));
  }
  refused(sb_reducing_add(reducing, bad, &err), "the value of 5 bytes");
  refused(sb_reducing_update_internal(reducing, bad, &err),
          "the value of 5 bytes");
  refused(sb_reducing_merge(reducing, bad, some, 2, &err),
          "the target namespace of 5 bytes");
  refused(sb_reducing_merge(reducing, some[0], some, 3, &err),
          "source namespace 2, which has 5 bytes");
  refused(sb_aggregating_add(aggregating, bad, &err), "the value of 5 bytes");
  refused(sb_aggregating_update_internal(aggregating, bad, &err),
          "the value of 5 bytes");
  refused(sb_aggregating_merge(aggregating, bad, some, 2, &err),
          "the target namespace of 5 bytes");
  refused(sb_aggregating_merge(aggregating, some[0], some, 3, &err),
          "source namespace 2, which has 5 bytes");
  give_nothing = 1;
  refused(sb_reducing_add(reducing, text("y"), &err), "the value of 5 bytes");
  refused(sb_aggregating_add(aggregating, text("y"), &err),
          "the value of 5 bytes");
  refused(sb_reducing_merge(reducing, text("other"), some, 2, &err),
          "the value of 5 bytes");
  fails(sb_aggregating_get(aggregating, &got, &err), SB_INVALID, "\"a\"");
  give_nothing = 0;
  for (i = 0; i < 2; i++) {
    ok(sb_context_set_namespace(context, some[i], &err));
    CU_ASSERT(ok(sb_reducing_get(reducing, &got, &err)) && is_text(got, "x"));
    CU_ASSERT(ok(sb_aggregating_get(aggregating, &got, &err)) &&
              is_text(got, "x"));
  }
  state_end();
}

static void
none(void *arg, sb_status status, sb_slice value, const sb_error *error)
{
  (void)arg;
  (void)status;
  (void)value;
  (void)error;
  CU_FAIL("answered");
}

static void
wrong_places(sb_batch *batch, sb_value *value, sb_map *map)
{
  const sb_place no_key = { .key = bad, .ns = text("n") };
  const sb_place no_ns = { .key = text("k"), .ns = bad };

  refused(sb_batch_value_get(batch, value, &no_key, none, NULL, &err),
          "the key of 5 bytes");
  refused(sb_batch_value_put(batch, value, &no_ns, text("x"), none, NULL,
                             &err), "the namespace of 5 bytes");
  refused(sb_batch_value_clear(batch, value, &no_ns, none, NULL, &err),
          "the namespace of 5 bytes");
  refused(sb_batch_map_clear(batch, map, &no_key, none, NULL, &err),
          "the key of 5 bytes");
}

static void
test_batch(void)
{
  sb_state_spec spec = spec_of("m");
  sb_reducing *reducing;
  sb_value *value;
  sb_list *list;
  sb_batch *batch;
  sb_map *map;

  state_begin("16mb", 4);
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_list_open(context, "l", &list, &err));
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  spec = spec_of("r");
  spec.fold = fold;
  ok(sb_reducing_open_spec(context, &spec, &reducing, &err));
  ok(sb_batch_new(context, &batch, &err));
  set_key("key");
  wrong_places(batch, value, map);
  refused(sb_batch_value_put(batch, value, NULL, bad, none, NULL, &err),
          "the value of 5 bytes");
  refused(sb_batch_list_add(batch, list, NULL, bad, none, NULL, &err),
          "the value of 5 bytes");
  refused(sb_batch_map_get(batch, map, NULL, bad, none, NULL, &err),
          "the subkey of 5 bytes");
  refused(sb_batch_map_put(batch, map, NULL, bad, text("x"), none, NULL,
                           &err), "the subkey of 5 bytes");
  refused(sb_batch_map_put(batch, map, NULL, text("s"), bad, none, NULL,
                           &err), "the value of 5 bytes");
  refused(sb_batch_map_remove(batch, map, NULL, bad, none, NULL, &err),
          "the subkey of 5 bytes");
  refused(sb_batch_reducing_add(batch, reducing, NULL, bad, none, NULL, &err),
          "the value of 5 bytes");
  ok(sb_batch_submit(batch, &err));
  CU_ASSERT_EQUAL(sb_context_pending(context), 0);
  state_end();
}

static sb_status
rank(void *arg, sb_slice element, sb_give_fn *give, void *give_arg)
{
  (void)arg;
  return give(give_arg, give_nothing ? NULL : element.data, 1);
}

static void
test_queue(void)
{
  const sb_queue_element two[] = { { 0, 0, text("b") }, { 0, 0, bad } };
  sb_state_options o = { .struct_size = sizeof o, .kind = SB_STATE_TIMER,
                         .name = text("q") };
  sb_queue_options options = { .struct_size = sizeof options, .state = &o,
                               .rank = rank, .rank_len = 1 };
  const sb_host *host = sb_host_default();
  sb_queue_element got[2];
  sb_queue *queue;
  uint64_t size;
  size_t count;

  state_begin("16mb", 1);
  give_nothing = 0;
  ok(sb_queue_open(keyed, host, &options, NULL, &queue, &err));
  ok(sb_queue_add(queue, 0, text("a"), NULL, &err));
  refused(sb_queue_add(queue, 0, bad, NULL, &err), "the element of 5 bytes");
  refused(sb_queue_remove(queue, 0, bad, NULL, &err),
          "the element of 5 bytes");
  refused(sb_queue_add_all(queue, two, 2, NULL, &err),
          "element 1, which has 5 bytes");
  refused(sb_queue_poll(queue, bad, got, &err), "poll of 5 bytes");
  refused(sb_queue_poll_batch(queue, bad, got, 2, &count, &err),
          "poll of 5 bytes");
  give_nothing = 1;
  fails(sb_queue_add(queue, 0, text("c"), NULL, &err), SB_INVALID, "rank");
  give_nothing = 0;
  CU_ASSERT(ok(sb_queue_size(queue, &size, &err)) && size == 1);
  ok(sb_queue_poll(queue, sb_slice_of(NULL, 0), got, &err));
  CU_ASSERT(is_text(got[0].bytes, "a"));
  sb_queue_close(queue);
  state_end();
}

static const tap_case cases[] = {
  { "context", test_context },
  { "value", test_value },
  { "list", test_list },
  { "map", test_map },
  { "folds", test_folds },
  { "batch", test_batch },
  { "queue", test_queue }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_slices", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
