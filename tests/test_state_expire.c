/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time to live that comes, goes and changes with restarts; clean-up along with
 * accesses; readers that may clean up nothing.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

/* ---- coming, going, changing --------------------------------------------- */

static void
test_value_changes(void)
{
  sb_state_spec spec = spec_of("v");
  sb_value *value;

  state_begin("16mb", 4);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("old");
  ok(sb_value_put(value, text("1"), &err));
  state_restart();
  pass(1000);
  spec.ttl_ms = 100; /* comes */
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("new");
  ok(sb_value_put(value, text("2"), &err));
  set_key("old");
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  pass(90);
  state_restart();
  spec.ttl_ms = 200; /* changes */
  ok(sb_value_open_spec(context, &spec, &value, &err));
  pass(100);
  set_key("new");
  CU_ASSERT_STRING_EQUAL(value_of(value), "2");
  pass(10);
  CU_ASSERT_STRING_EQUAL(value_of(value), "none");
  ok(sb_value_put(value, text("3"), &err));
  state_restart();
  pass(1000);
  spec.ttl_ms = 0; /* goes */
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("new");
  CU_ASSERT_STRING_EQUAL(value_of(value), "3");
  state_end();
}

static void
test_list_changes(void)
{
  sb_state_spec spec = spec_of("l");
  sb_list *list;
  int round;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_list_add(list, text("1"), &err));
  for (round = 0; round < 2; round++) {
    state_restart();
    pass(1000);
    spec.ttl_ms = 100; /* comes: as if written now */
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("k");
    pass(50);
    ok(sb_list_add(list, text("2"), &err));
    state_restart();
    pass(49);
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("k");
    CU_ASSERT_STRING_EQUAL(list_words(list), round == 0 ? "1,2,"
                                                        : "2,3,2,");
    pass(1);
    CU_ASSERT_STRING_EQUAL(list_words(list), "2,");
    state_restart();
    spec.ttl_ms = 200; /* changes */
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("k");
    pass(99);
    state_restart();
    pass(1000);
    spec.ttl_ms = 0; /* goes: what is still there stays */
    ok(sb_list_open_spec(context, &spec, &list, &err));
    set_key("k");
    ok(sb_list_clear(list, &err));
    ok(sb_list_add(list, text("2"), &err));
    ok(sb_list_add(list, text("3"), &err));
    CU_ASSERT_STRING_EQUAL(list_words(list), "2,3,");
  }
  state_end();
}

/* Elements without stamp that were read while they had one, and back. */
static void
test_list_back(void)
{
  sb_state_spec spec = lasting("l", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  sb_list *list;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_list_add(list, text("1"), &err));
  state_restart();
  ok(sb_list_open(context, "l", &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  state_restart();
  pass(1000);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  pass(100);
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  state_end();
}

/* It may come and go 255 times, then the schema version has to help. */
static void
test_list_changes_end(void)
{
  sb_state_spec spec = spec_of("l");
  sb_list *list;
  int i;

  state_begin("16mb", 1);
  for (i = 0; i <= 255; i++) {
    spec.ttl_ms = i % 2 == 0 ? 0 : 1000;
    if (!ok(sb_list_open_spec(context, &spec, &list, &err)))
      break;
    set_key("k");
    if (i == 0)
      ok(sb_list_add(list, text("1"), &err));
    state_restart();
  }
  spec.ttl_ms = 0;
  fails(sb_list_open_spec(context, &spec, &list, &err), SB_INVALID,
        "raise its schema version");
  spec.schema_version = 1;
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  state_end();
}

/* ---- clean-up ------------------------------------------------------------ */

static void
test_cleanup(void)
{
  sb_state_spec spec = lasting("v", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  char key[16];
  sb_value *value;
  sb_slice got;
  int i;

  state_begin("16mb", 4);
  spec.cleanup_per_access = 5;
  ok(sb_value_open_spec(context, &spec, &value, &err));
  for (i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    set_key(key);
    ok(sb_value_put(value, text("1"), &err));
  }
  pass(100);
  set_key("alive");
  ok(sb_value_put(value, text("2"), &err));
  for (i = 0; i < 45; i++) {
    ok(sb_value_get(value, &got, &err));
    CU_ASSERT(is_text(got, "2"));
  }
  CU_ASSERT_EQUAL(stored("v"), 1);
  state_end();
}

static void
test_cleanup_lists(void)
{
  sb_state_spec spec = lasting("l", 100, SB_TTL_WRITE, SB_TTL_NEVER);
  char key[16];
  sb_list *list;
  int i;

  state_begin("16mb", 4);
  spec.cleanup_per_access = 5;
  ok(sb_list_open_spec(context, &spec, &list, &err));
  for (i = 0; i < 60; i++) {
    snprintf(key, sizeof key, "key-%d", i % 20);
    set_key(key);
    ok(sb_list_add(list, text("1"), &err));
  }
  state_restart();
  ok(sb_list_open_spec(context, &spec, &list, &err));
  pass(100);
  set_key("key-3");
  ok(sb_list_add(list, text("2"), &err));
  for (i = 0; i < 40; i++)
    CU_ASSERT_STRING_EQUAL(list_words(list), "2,");
  CU_ASSERT_EQUAL(stored("l"), 1);
  state_end();
}

/* A reader's handle renews nothing and removes nothing. */
static void
test_read_only(void)
{
  sb_state_spec spec = lasting("v", 100, SB_TTL_READ_WRITE,
                               SB_TTL_UNLESS_CLEANED);
  sb_value *value;
  sb_list *list;
  sb_map *map;

  state_begin("16mb", 4);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  spec.name = "l";
  ok(sb_list_open_spec(context, &spec, &list, &err));
  spec.name = "m";
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("k");
  ok(sb_value_put(value, text("1"), &err));
  ok(sb_list_add(list, text("1"), &err));
  ok(sb_map_put(map, text("a"), text("1"), &err));
  state_checkpoint();
  state_reopen(SB_OPEN_READ_ONLY);
  ok(sb_map_open_spec(context, &spec, &map, &err));
  spec.name = "l";
  ok(sb_list_open_spec(context, &spec, &list, &err));
  spec.name = "v";
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("k");
  pass(200);
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  CU_ASSERT_STRING_EQUAL(value_of(value), "1");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  CU_ASSERT_STRING_EQUAL(list_words(list), "1,");
  CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,");
  CU_ASSERT_STRING_EQUAL(map_words(map), "a=1,");
  CU_ASSERT_EQUAL(sb_value_put(value, text("2"), &err), SB_INVALID);
  state_end();
}

static const tap_case cases[] = {
  { "value_changes", test_value_changes },
  { "list_changes", test_list_changes },
  { "list_back", test_list_back },
  { "list_changes_end", test_list_changes_end },
  { "cleanup", test_cleanup },
  { "cleanup_lists", test_cleanup_lists },
  { "read_only", test_read_only }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_expire", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
