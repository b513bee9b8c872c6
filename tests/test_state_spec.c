/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening states by a spec: what is stored with a state and compared when it is
 * opened again, migration of values, names, many states, dropping them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

/* ---- types --------------------------------------------------------------- */

static sb_state_spec
typed(const char *name)
{
  sb_state_spec spec = spec_of(name);

  spec.key_type = "long";
  spec.namespace_type = "window";
  spec.subkey_type = "string";
  spec.value_type = "row";
  return spec;
}

static void
test_types(void)
{
  sb_state_spec spec = typed("m"), other;
  sb_list *list;
  sb_map *map;
  int round;

  state_begin("16mb", 4);
  ok(sb_map_open_spec(context, &spec, &map, &err));
  for (round = 0; round < 2; round++) {
    fails(sb_list_open(context, "m", &list, &err), SB_MISMATCH,
          "as a list: it is a map");
    CU_ASSERT_PTR_NULL(list);
    other = spec;
    other.key_type = "int";
    fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH,
          "keys of type \"int\": they are of type \"long\"");
    other = spec;
    other.namespace_type = "time";
    fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH,
          "namespaces of type \"time\": they are of type \"window\"");
    other = spec;
    other.subkey_type = "int";
    fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH,
          "subkeys of type \"int\": they are of type \"string\"");
    other = spec;
    other.value_type = "column";
    fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH,
          "values of type \"column\": they are of type \"row\"");
    other.schema_version = 1;
    fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH,
          "migrate function");
    state_restart();
  }
  /* What is not said is not compared, and kept. */
  ok(sb_map_open(context, "m", &map, &err));
  state_restart();
  fails(sb_map_open_spec(context, &other, &map, &err), SB_MISMATCH, "column");
  ok(sb_map_open_spec(context, &spec, &map, &err));
  ok(sb_map_open(context, "m", &map, &err));
  state_end();
}

static void
test_bad_specs(void)
{
  static char long_name[SB_STATE_NAME_MAX + 2];
  sb_state_spec spec = spec_of("s");
  sb_value *value;
  sb_list *list;

  state_begin("16mb", 4);
  spec.struct_size = 4;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "struct_size");
  spec = spec_of("s");
  spec.flags = 4096;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "flags 0x1000");
  spec.flags = SB_SPEC_NULLS;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "not for a value");
  spec = spec_of("s");
  spec.ttl_update = 3;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "update 3");
  spec = spec_of("s");
  spec.schema_version = 1u << 24;
  fails(sb_list_open_spec(context, &spec, &list, &err), SB_INVALID,
        "16777215");
  spec = spec_of("");
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "0 bytes");
  memset(long_name, 'n', SB_STATE_NAME_MAX + 1);
  spec = spec_of(long_name);
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_INVALID,
        "256 bytes");
  long_name[SB_STATE_NAME_MAX] = '\0';
  ok(sb_value_open_spec(context, &spec, &value, &err));
  spec = spec_of("s");
  spec.struct_size = offsetof(sb_state_spec, key_type);
  spec.ttl_ms = 1000; /* beyond what its size covers */
  ok(sb_value_open_spec(context, &spec, &value, &err));
  spec.struct_size = sizeof spec;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_MISMATCH,
        "time to live of 1000 ms: it is open with 0 ms");
  state_end();
}

/* ---- migration ----------------------------------------------------------- */

/* To version n: the value once more for each version between. */
typedef struct repeat {
  uint32_t to;
  atomic_int calls;
  sb_status fail;
} repeat;

static sb_status
repeat_migrate(void *arg, uint32_t from, sb_slice value, sb_give_fn *give,
               void *give_arg)
{
  repeat *r = arg;
  sb_status status = SB_OK;
  uint32_t i;

  atomic_fetch_add(&r->calls, 1);
  if (r->fail != SB_OK)
    return r->fail;
  for (i = from; status == SB_OK && i <= r->to; i++)
    status = give(give_arg, value.data, value.len);
  return status;
}

static repeat twice;

static sb_state_spec
migrating(const char *name, uint32_t version)
{
  sb_state_spec spec = spec_of(name);
  static const char *const types[] = { "zero", "one", "two", "three" };

  twice.to = version;
  twice.fail = SB_OK;
  spec.schema_version = version;
  spec.value_type = types[version];
  spec.migrate = repeat_migrate;
  spec.migrate_arg = &twice;
  return spec;
}

static void
test_migrate_value(void)
{
  sb_state_spec spec = migrating("v", 1);
  sb_value *value;
  sb_slice got;

  state_begin("16mb", 4);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("a");
  ok(sb_value_put(value, text("x"), &err));
  state_restart();
  spec = migrating("v", 2);
  spec.migrate = NULL;
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_MISMATCH,
        "migrate function");
  spec = migrating("v", 2);
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("a");
  twice.fail = SB_DENIED;
  fails(sb_value_get(value, &got, &err), SB_DENIED, "\"v\"");
  twice.fail = SB_OK;
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "xx"));
  set_key("b");
  ok(sb_value_put(value, text("new"), &err));
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "new"));
  state_restart();
  spec = migrating("v", 1);
  fails(sb_value_open_spec(context, &spec, &value, &err), SB_MISMATCH,
        "version 1: it has version 2");
  spec = migrating("v", 3);
  spec.flags = SB_SPEC_MIGRATE_NOW;
  ok(sb_value_open_spec(context, &spec, &value, &err));
  set_key("a");
  ok(sb_value_get(value, &got, &err));
  CU_ASSERT(is_text(got, "xxx") || is_text(got, "xxxx"));
  state_end();
}

/* The byte before a value is none of the callback's business. */
static void
test_migrate_nulls(void)
{
  sb_state_spec spec = migrating("m", 1);
  sb_map *map;

  state_begin("16mb", 4);
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("a");
  ok(sb_map_put(map, text("k"), text("x"), &err));
  ok(sb_map_put(map, text("n"), sb_slice_of(NULL, 0), &err));
  ok(sb_map_put(map, text("e"), text(""), &err));
  state_restart();
  spec = migrating("m", 2);
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  set_key("a");
  CU_ASSERT_STRING_EQUAL(map_words(map), "e=,k=xx,n=null,");
  state_end();
}

static void
test_migrate_list(void)
{
  sb_state_spec spec = migrating("l", 1);
  sb_list *list;
  int calls;

  state_begin("16mb", 4);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("a");
  ok(sb_list_add(list, text("x"), &err));
  ok(sb_list_add(list, text("y"), &err));
  state_restart();
  /* To stamps and to the next version at once. */
  spec = migrating("l", 2);
  spec.ttl_ms = 1000;
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("a");
  ok(sb_list_add(list, text("z"), &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "xx,yy,z,");
  state_restart();
  atomic_fetch_add(&clock_ms, 999);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("a");
  CU_ASSERT_STRING_EQUAL(list_words(list), "xx,yy,z,");
  atomic_fetch_add(&clock_ms, 1);
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  ok(sb_list_add(list, text("w"), &err));
  state_restart();
  calls = atomic_load(&twice.calls);
  spec.ttl_ms = 0; /* the stamps go, the version stays */
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("a");
  CU_ASSERT_STRING_EQUAL(list_words(list), "w,");
  CU_ASSERT_EQUAL(atomic_load(&twice.calls), calls);
  state_end();
}

/* ---- states of a handle -------------------------------------------------- */

static void
test_describe(void)
{
  sb_state_description d = { .struct_size = sizeof d };
  sb_state_spec spec = typed("m");
  sb_value *value;
  sb_map *map;

  state_begin("16mb", 4);
  spec.schema_version = 7;
  spec.ttl_ms = 99;
  ok(sb_map_open_spec(context, &spec, &map, &err));
  ok(sb_value_open(context, "v", &value, &err));
  state_restart();
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_context_state_at(context, 0, &d, &err));
  CU_ASSERT(d.kind == SB_STATE_MAP && is_text(d.name, "m"));
  CU_ASSERT(is_text(d.key_type, "long") && is_text(d.value_type, "row"));
  CU_ASSERT(is_text(d.subkey_type, "string"));
  CU_ASSERT(is_text(d.namespace_type, "window"));
  CU_ASSERT(d.schema_version == 7 && d.ttl_ms == 99);
  CU_ASSERT(d.restored == 1 && d.open == 0);
  ok(sb_context_state_at(context, 1, &d, &err));
  CU_ASSERT(d.kind == SB_STATE_VALUE && is_text(d.name, "v") && d.open);
  CU_ASSERT_EQUAL(sb_context_state_at(context, 2, &d, &err), SB_END);
  state_end();
}

static void
test_drop(void)
{
  sb_state_description d = { .struct_size = sizeof d };
  sb_value *value, *again;
  sb_list *list;
  sb_slice got;

  state_begin("16mb", 4);
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_list_open(context, "l", &list, &err));
  set_key("k");
  ok(sb_value_put(value, text("1"), &err));
  ok(sb_list_add(list, text("1"), &err));
  state_restart();
  ok(sb_value_open(context, "v", &value, &err));
  set_key("k");
  ok(sb_context_drop_state(context, "v", &err));
  ok(sb_context_drop_state(context, "l", &err)); /* not open */
  fails(sb_context_drop_state(context, "v", &err), SB_NOT_FOUND, "\"v\"");
  fails(sb_context_drop_state(context, "no", &err), SB_NOT_FOUND, "\"no\"");
  fails(sb_value_get(value, &got, &err), SB_INVALID, "\"v\": it was dropped");
  fails(sb_value_put(value, text("2"), &err), SB_INVALID, "dropped");
  /* The name, even as another kind. */
  ok(sb_list_open(context, "v", &list, &err));
  CU_ASSERT_STRING_EQUAL(list_words(list), "none");
  ok(sb_list_add(list, text("new"), &err));
  ok(sb_value_open(context, "l", &again, &err));
  CU_ASSERT_EQUAL(sb_value_get(again, &got, &err), SB_NOT_FOUND);
  state_restart();
  ok(sb_list_open(context, "v", &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "new,");
  ok(sb_context_state_at(context, 0, &d, &err));
  CU_ASSERT(is_text(d.name, "v") && d.kind == SB_STATE_LIST);
  ok(sb_context_state_at(context, 1, &d, &err));
  CU_ASSERT_EQUAL(sb_context_state_at(context, 2, &d, &err), SB_END);
  state_end();
}

/* Walks over a state that is dropped end. */
static void
test_drop_while_walking(void)
{
  const char *names[] = { "v", "w" };
  sb_value *value, *other;
  sb_iterator *keys, *both;
  sb_visitor *visitor;
  const sb_row *rows;
  size_t count;
  sb_row row;
  int i;

  state_begin("16mb", 4);
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_value_open(context, "w", &other, &err));
  for (i = 0; i < 10; i++) {
    char key[16];

    snprintf(key, sizeof key, "%d", i);
    set_key(key);
    ok(sb_value_put(value, text("1"), &err));
    ok(sb_value_put(other, text("1"), &err));
  }
  ok(sb_context_keys(context, names, 1, text(""), &keys, &err));
  ok(sb_context_keys(context, names, 2, text(""), &both, &err));
  ok(sb_visitor_open(context, "v", 0, 3, &visitor, &err));
  ok(sb_iterator_next(keys, &row, &err));
  ok(sb_iterator_next(both, &row, &err));
  ok(sb_visitor_next(visitor, 3, &rows, &count, &err));
  ok(sb_context_drop_state(context, "v", &err));
  CU_ASSERT_EQUAL(sb_iterator_next(keys, &row, &err), SB_END);
  fails(sb_iterator_remove(keys, &err), SB_INVALID, "on none");
  CU_ASSERT_EQUAL(sb_visitor_next(visitor, 3, &rows, &count, &err), SB_END);
  for (i = 1; sb_iterator_next(both, &row, &err) == SB_OK; i++)
    ok(sb_iterator_remove(both, &err));
  CU_ASSERT_EQUAL(i, 10);
  /* What is still open goes with the context. */
  state_end();
}

static void
test_many(void)
{
  char name[SB_STATE_NAME_MAX + 1];
  sb_value *value;
  sb_slice got;
  int i, round;

  state_begin("64mb", 4);
  for (round = 0; round < 2; round++) {
    set_key("k");
    for (i = 0; i < 1000; i++) {
      /* Names of all lengths up to the longest, with bytes of all kinds. */
      snprintf(name, sizeof name, "%d-\xc3\xa9\xf0\x9f\x8c\x8d\xff\n%0*d", i,
               i * 240 / 1000 + 1, 0);
      if (i == 999)
        memset(name + strlen(name), 'x', sizeof name - 1 - strlen(name));
      name[SB_STATE_NAME_MAX] = '\0';
      if (!ok(sb_value_open(context, name, &value, &err)))
        break;
      if (round == 0) {
        ok(sb_value_put(value, text(name), &err));
      } else {
        ok(sb_value_get(value, &got, &err));
        CU_ASSERT(is_text(got, name));
      }
    }
    state_restart();
  }
  state_end();
}

/* State that was written by plain calls of the handle. */
static void
test_foreign(void)
{
  sb_state_options options = { .struct_size = sizeof options };
  sb_state_info info = { .struct_size = sizeof info };
  sb_state_spec spec = typed("f");
  sb_list *list;
  sb_key key = { .state = 0 };

  state_begin("16mb", 1);
  options.kind = SB_STATE_LIST;
  options.name = text("f");
  options.blob = text("another program's");
  options.schema_version = 3;
  ok(keyed->ops->register_state(keyed, &options, &info, &err));
  key.state = info.id;
  key.key = text("k");
  ok(keyed->ops->append(keyed, &key, text("x"), 0, &err));
  state_restart();
  fails(sb_list_open_spec(context, &spec, &list, &err), SB_MISMATCH,
        "not written by this interface");
  spec = spec_of("f");
  spec.ttl_ms = 5;
  fails(sb_list_open_spec(context, &spec, &list, &err), SB_MISMATCH,
        "not written by this interface");
  ok(sb_list_open(context, "f", &list, &err));
  set_key("k");
  CU_ASSERT_STRING_EQUAL(list_words(list), "x,");
  state_restart();
  ok(keyed->ops->state_find(keyed, text("f"), &info, &err));
  CU_ASSERT(is_text(info.blob, "another program's"));
  CU_ASSERT_EQUAL(info.schema_version, 3);
  state_end();
}

/* Two contexts, one after the other, on one handle. */
static void
test_second_context(void)
{
  sb_state_spec spec = migrating("l", 1);
  const sb_host *host = sb_host_default();
  sb_context *second;
  sb_list *list;

  state_begin("16mb", 1);
  ok(sb_list_open_spec(context, &spec, &list, &err));
  set_key("k");
  ok(sb_list_add(list, text("x"), &err));
  state_restart();
  spec = migrating("l", 2);
  spec.ttl_ms = 1000;
  ok(sb_list_open_spec(context, &spec, &list, &err));
  ok(sb_context_new(keyed, host, 1, 0, 0, &second, &err));
  ok(sb_list_open_spec(second, &spec, &list, &err));
  ok(sb_context_set_key(second, text("k"), &err));
  sb_context_free(context);
  context = second;
  CU_ASSERT_STRING_EQUAL(list_words(list), "none"); /* by the real clock */
  state_end();
}

static const tap_case cases[] = {
  { "types", test_types },
  { "bad_specs", test_bad_specs },
  { "migrate_value", test_migrate_value },
  { "migrate_nulls", test_migrate_nulls },
  { "migrate_list", test_migrate_list },
  { "describe", test_describe },
  { "drop", test_drop },
  { "drop_while_walking", test_drop_while_walking },
  { "many", test_many },
  { "foreign", test_foreign },
  { "second_context", test_second_context }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_spec", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
