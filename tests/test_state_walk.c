/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking states: iterators over lists, maps and keys, namespaces, and
 * visitors, with changes meanwhile, on what is in memory and in segments.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

static char number_text[16];

static sb_slice
number(unsigned i)
{
  snprintf(number_text, sizeof number_text, "%03u", i);
  return text(number_text);
}

static unsigned
number_of(sb_slice slice)
{
  char digits[8];

  snprintf(digits, sizeof digits, "%.*s", (int)slice.len,
           (const char *)slice.data);
  return (unsigned)atoi(digits) % 1000;
}

/* ---- elements and entries ------------------------------------------------ */

static void
test_list(void)
{
  sb_iterator *it;
  sb_list *list;
  sb_row row;
  int cold, i;

  state_begin("16mb", 4);
  for (cold = 0; cold < 2; cold++) {
    ok(sb_list_open(context, "l", &list, &err));
    set_key(cold ? "cold" : "hot");
    for (i = 0; i < 6; i++)
      ok(sb_list_add(list, number((unsigned)i), &err));
    if (cold) {
      state_restart();
      ok(sb_list_open(context, "l", &list, &err));
      set_key("cold");
    }
    ok(sb_list_iterate(list, &it, &err));
    fails(sb_iterator_remove(it, &err), SB_INVALID, "on none");
    for (i = 0; sb_iterator_next(it, &row, &err) == SB_OK; i++) {
      CU_ASSERT(is_text(row.value, number((unsigned)i).data));
      if (i % 3 == 0) {
        ok(sb_iterator_remove(it, &err));
        fails(sb_iterator_remove(it, &err), SB_INVALID, "on none");
      } else if (i % 3 == 1) {
        ok(sb_iterator_set(it, text("long enough to move"), &err));
      } else {
        ok(sb_iterator_set(it, text(""), &err));
        ok(sb_iterator_set(it, text("2"), &err));
      }
    }
    CU_ASSERT_EQUAL(i, 6);
    sb_iterator_close(it);
    CU_ASSERT_STRING_EQUAL(list_words(list), "long enough to move,2,"
                                             "long enough to move,2,");
  }
  state_end();
}

static void
test_map(void)
{
  sb_iterator *it;
  sb_slice got;
  sb_map *map;
  sb_row row;
  int cold, i;

  state_begin("16mb", 4);
  for (cold = 0; cold < 2; cold++) {
    ok(sb_map_open(context, "m", &map, &err));
    set_key(cold ? "cold" : "hot");
    for (i = 0; i < 9; i++)
      ok(sb_map_put(map, number((unsigned)i), text("old"), &err));
    if (cold) {
      state_restart();
      ok(sb_map_open(context, "m", &map, &err));
      set_key("cold");
    }
    ok(sb_map_iterate(map, &it, &err));
    for (i = 0; sb_iterator_next(it, &row, &err) == SB_OK; i++) {
      CU_ASSERT(is_text(row.subkey, number((unsigned)i).data));
      CU_ASSERT(is_text(row.value, "old"));
      if (i % 3 == 0)
        ok(sb_iterator_remove(it, &err));
      else if (i % 3 == 1)
        ok(sb_iterator_set(it, text("new"), &err));
      /* Work goes on meanwhile. */
      ok(sb_map_get(map, number((unsigned)i), &got, &err) == SB_NOT_FOUND
           ? SB_OK
           : SB_OK);
    }
    CU_ASSERT_EQUAL(i, 9);
    sb_iterator_close(it);
    CU_ASSERT_STRING_EQUAL(map_words(map), "001=new,002=old,004=new,005=old,"
                                           "007=new,008=old,");
  }
  state_end();
}

/* ---- keys ---------------------------------------------------------------- */

typedef struct world {
  sb_value *value;
  sb_list *list;
  sb_map *map;
} world;

static void
world_open(world *w)
{
  ok(sb_value_open(context, "v", &w->value, &err));
  ok(sb_list_open(context, "l", &w->list, &err));
  ok(sb_map_open(context, "m", &w->map, &err));
}

/* Key i in namespace a or b, in one of the states or in several. */
static void
world_fill(world *w, unsigned count)
{
  unsigned i;

  world_open(w);
  for (i = 0; i < count; i++) {
    ok(sb_context_set_key(context, number(i), &err));
    set_ns(i % 2 ? "a" : "");
    if (i % 4 < 2)
      ok(sb_value_put(w->value, text("1"), &err));
    if (i % 3 == 0)
      ok(sb_list_add(w->list, text("1"), &err));
    if (i % 5 == 0)
      ok(sb_map_put(w->map, text("x"), text("1"), &err));
  }
}

static unsigned
world_expected(unsigned i)
{
  return i % 4 < 2 || i % 3 == 0 || i % 5 == 0;
}

static void
test_keys(void)
{
  const char *const names[] = { "v", "l", "m", "v" };
  unsigned seen[1000], count, i;
  sb_iterator *it;
  int cold;
  sb_row row;
  world w;

  state_begin("16mb", 8);
  world_fill(&w, 200);
  for (cold = 0; cold < 2; cold++) {
    memset(seen, 0, sizeof seen);
    ok(sb_context_keys(context, names, 4, text("a"), &it, &err));
    for (count = 0; sb_iterator_next(it, &row, &err) == SB_OK; count++) {
      unsigned n = number_of(row.key);

      CU_ASSERT(is_text(row.ns, "a") && n < 200 && n % 2 == 1);
      seen[n]++;
    }
    sb_iterator_close(it);
    for (i = 0; i < 200; i++)
      CU_ASSERT_EQUAL(seen[i], i % 2 && world_expected(i));
    state_restart();
    world_open(&w);
  }
  ok(sb_context_keys(context, names, 1, text("nothing"), &it, &err));
  CU_ASSERT_EQUAL(sb_iterator_next(it, &row, &err), SB_END);
  CU_ASSERT_EQUAL(sb_iterator_next(it, &row, &err), SB_END);
  fails(sb_iterator_set(it, text(""), &err), SB_INVALID, "on none");
  sb_iterator_close(it);
  fails(sb_context_keys(context, names, 0, text(""), &it, &err), SB_INVALID,
        "no state");
  state_end();
}

static void
test_keys_unopened(void)
{
  const char *const names[] = { "v", "no" };
  sb_iterator *it;
  world w;

  state_begin("16mb", 4);
  world_fill(&w, 6);
  state_restart();
  ok(sb_context_keys(context, names, 1, text(""), &it, &err));
  CU_ASSERT_STRING_EQUAL(key_words(it), "/000,/004,");
  fails(sb_context_keys(context, names, 2, text(""), &it, &err), SB_NOT_FOUND,
        "\"no\"");
  CU_ASSERT_PTR_NULL(it);
  ok(sb_context_keys_and_namespaces(context, "v", &it, &err));
  CU_ASSERT_STRING_EQUAL(key_words(it), "/000,/004,a/001,a/005,");
  ok(sb_context_keys_and_namespaces(context, "l", &it, &err));
  CU_ASSERT_STRING_EQUAL(key_words(it), "/000,a/003,");
  state_end();
}

static void
test_keys_remove(void)
{
  const char *const names[] = { "v", "l", "m" };
  sb_iterator *it;
  int cold, n;
  sb_row row;
  world w;

  state_begin("16mb", 4);
  for (cold = 0; cold < 2; cold++) {
    world_fill(&w, 60);
    if (cold) {
      state_restart();
      world_open(&w);
    }
    ok(sb_context_keys(context, names, 3, text("a"), &it, &err));
    for (n = 0; sb_iterator_next(it, &row, &err) == SB_OK; n++)
      ok(sb_iterator_remove(it, &err));
    CU_ASSERT(n >= 15 && n < 30);
    sb_iterator_close(it);
    ok(sb_context_keys(context, names, 3, text("a"), &it, &err));
    CU_ASSERT_STRING_EQUAL(key_words(it), "");
    /* One state alone, the empty namespace. */
    ok(sb_context_keys_and_namespaces(context, "m", &it, &err));
    CU_ASSERT_STRING_EQUAL(key_words(it), "/000,/010,/020,/030,/040,/050,");
    ok(sb_context_keys_and_namespaces(context, "m", &it, &err));
    while (sb_iterator_next(it, &row, &err) == SB_OK)
      ok(sb_iterator_remove(it, &err));
    sb_iterator_close(it);
    ok(sb_context_keys_and_namespaces(context, "m", &it, &err));
    CU_ASSERT_STRING_EQUAL(key_words(it), "");
    ok(sb_context_keys_and_namespaces(context, "l", &it, &err));
    CU_ASSERT_STRING_NOT_EQUAL(key_words(it), "");
  }
  state_end();
}

static void
test_remove_namespace(void)
{
  sb_iterator *it;
  int cold;
  world w;

  state_begin("16mb", 4);
  for (cold = 0; cold < 2; cold++) {
    world_fill(&w, 12);
    if (cold) {
      state_restart();
      world_open(&w);
    }
    ok(sb_context_remove_namespace(context, "l", text("a"), &err));
    ok(sb_context_keys_and_namespaces(context, "l", &it, &err));
    CU_ASSERT_STRING_EQUAL(key_words(it), "/000,/006,");
    ok(sb_context_keys_and_namespaces(context, "v", &it, &err));
    CU_ASSERT_STRING_EQUAL(key_words(it), "/000,/004,/008,a/001,a/005,"
                                          "a/009,");
  }
  fails(sb_context_remove_namespace(context, "no", text(""), &err),
        SB_NOT_FOUND, "\"no\"");
  state_end();
}

/* Keys with a hash of their own: rows make them current again. */
static void
test_set_row(void)
{
  const char *const names[] = { "v" };
  sb_value *value;
  sb_iterator *it;
  sb_slice got;
  sb_row row;
  int i, n = 0;

  state_begin("16mb", 128);
  ok(sb_value_open(context, "v", &value, &err));
  for (i = 0; i < 20; i++) {
    ok(sb_context_set_key_hash(context, number((unsigned)i), i * 7919, &err));
    set_ns("w");
    ok(sb_value_put(value, number((unsigned)i), &err));
  }
  set_ns("");
  ok(sb_context_keys(context, names, 1, text("w"), &it, &err));
  while (sb_iterator_next(it, &row, &err) == SB_OK) {
    char key[16];

    snprintf(key, sizeof key, "%.*s", (int)row.key.len,
             (const char *)row.key.data);
    ok(sb_context_set_row(context, &row, &err));
    CU_ASSERT(is_text(sb_context_namespace(context), "w"));
    ok(sb_value_get(value, &got, &err));
    CU_ASSERT(is_text(got, key));
    n++;
  }
  CU_ASSERT_EQUAL(n, 20);
  state_end(); /* the iterator is closed by the context */
}

/* ---- visitors ------------------------------------------------------------ */

#define VISITED 500u

static void
test_visitor(void)
{
  unsigned seen[1000], i, calls, step;
  const sb_row *rows;
  sb_visitor *v;
  sb_value *value;
  size_t count;
  sb_slice got;
  int cold;

  state_begin("16mb", 4);
  for (cold = 0; cold < 2; cold++) {
    ok(sb_value_open(context, "v", &value, &err));
    for (i = 0; i < VISITED; i++) {
      ok(sb_context_set_key(context, number(i), &err));
      ok(sb_value_put(value, text("0"), &err));
    }
    if (cold) {
      state_restart();
      ok(sb_value_open(context, "v", &value, &err));
    }
    memset(seen, 0, sizeof seen);
    ok(sb_visitor_open(context, "v", 0, 3, &v, &err));
    for (calls = 0, step = 1;
         sb_visitor_next(v, 7, &rows, &count, &err) == SB_OK; calls++) {
      CU_ASSERT(count >= 1 && count <= 7);
      for (i = 0; i < count; i++) {
        unsigned n = number_of(rows[i].key);

        seen[n]++;
        if (n % 3 == 0)
          ok(sb_visitor_remove(v, &rows[i], &err));
        else if (n % 3 == 1)
          ok(sb_visitor_update(v, &rows[i], text("visited"), &err));
        /* Elsewhere work goes on. */
        step = step * 31 % 997;
        ok(sb_context_set_key(context, number(step % VISITED / 3 * 3 + 2),
                              &err));
        ok(sb_value_put(value, text("busy"), &err));
        CU_ASSERT_EQUAL(n, number_of(rows[i].key));
      }
      if (calls == 20)
        state_checkpoint();
    }
    sb_visitor_close(v);
    for (i = 0; i < VISITED; i++) {
      CU_ASSERT_EQUAL(seen[i], 1);
      ok(sb_context_set_key(context, number(i), &err));
      if (i % 3 == 0)
        CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_NOT_FOUND);
      if (i % 3 == 1) {
        ok(sb_value_get(value, &got, &err));
        CU_ASSERT(is_text(got, "visited"));
      }
    }
  }
  state_end();
}

static void
test_visitor_lists(void)
{
  sb_state_spec spec = spec_of("l");
  sb_slice all, element = text("");
  const sb_row *rows;
  sb_visitor *v;
  sb_list *list;
  size_t count;
  unsigned i, n = 0;

  state_begin("16mb", 4);
  spec.ttl_ms = 100;
  ok(sb_list_open_spec(context, &spec, &list, &err));
  for (i = 0; i < 40; i++) {
    ok(sb_context_set_key(context, number(i), &err));
    ok(sb_list_add(list, text("early"), &err));
  }
  atomic_fetch_add(&clock_ms, 100);
  for (i = 0; i < 40; i += 2) {
    ok(sb_context_set_key(context, number(i), &err));
    ok(sb_list_add(list, number(i), &err));
    ok(sb_list_add(list, text("late"), &err));
  }
  ok(sb_visitor_open(context, "l", 0, 3, &v, &err));
  while (sb_visitor_next(v, 6, &rows, &count, &err) == SB_OK) {
    for (i = 0; i < count; i++, n++) {
      all = rows[i].value;
      CU_ASSERT(sb_list_element(&all, &element));
      CU_ASSERT(element.len == rows[i].key.len &&
                memcmp(element.data, rows[i].key.data, element.len) == 0);
      if (n % 2 == 0)
        ok(sb_visitor_update(v, &rows[i], all, &err)); /* without the first */
      else
        ok(sb_visitor_remove(v, &rows[i], &err));
    }
  }
  CU_ASSERT_EQUAL(n, 20);
  sb_visitor_close(v);
  for (i = 0, n = 0; i < 40; i++) {
    const char *left;

    ok(sb_context_set_key(context, number(i), &err));
    left = list_words(list);
    n += strcmp(left, "late,") == 0;
    CU_ASSERT(strcmp(left, "late,") == 0 || strcmp(left, "none") == 0);
  }
  CU_ASSERT_EQUAL(n, 10);
  state_end();
}

static void
test_visitor_misuse(void)
{
  const sb_row *rows;
  sb_timers *timers;
  sb_visitor *v;
  sb_map *map;
  size_t count;
  sb_row other = { .flags = 0 };

  state_begin("16mb", 4);
  ok(sb_map_open(context, "m", &map, &err));
  ok(sb_timers_open(context, "t", &timers, &err));
  fails(sb_visitor_open(context, "no", 0, 3, &v, &err), SB_NOT_FOUND,
        "not open");
  fails(sb_visitor_open(context, "t", 0, 3, &v, &err), SB_INVALID, "queue");
  fails(sb_visitor_open(context, "m", 0, 4, &v, &err), SB_INVALID, "0 to 4");
  fails(sb_visitor_open(context, "m", 2, 1, &v, &err), SB_INVALID, "2 to 1");
  set_key("k");
  ok(sb_map_put(map, text("a"), text("1"), &err));
  ok(sb_map_put(map, text("b"), text("2"), &err));
  ok(sb_visitor_open(context, "m", 0, 3, &v, &err));
  fails(sb_visitor_next(v, 0, &rows, &count, &err), SB_INVALID, "0 rows");
  fails(sb_visitor_remove(v, &other, &err), SB_INVALID, "return last");
  ok(sb_visitor_next(v, SIZE_MAX, &rows, &count, &err));
  CU_ASSERT_EQUAL(count, 2);
  CU_ASSERT(is_text(rows[0].subkey, "a") && is_text(rows[1].subkey, "b"));
  CU_ASSERT(is_text(rows[0].value, "1") && is_text(rows[1].value, "2"));
  ok(sb_visitor_update(v, &rows[1], text("two"), &err));
  ok(sb_visitor_remove(v, &rows[0], &err));
  CU_ASSERT_STRING_EQUAL(map_words(map), "b=two,");
  CU_ASSERT_EQUAL(sb_visitor_next(v, 1, &rows, &count, &err), SB_END);
  state_end();
}

static const tap_case cases[] = {
  { "list", test_list },
  { "map", test_map },
  { "keys", test_keys },
  { "keys_unopened", test_keys_unopened },
  { "keys_remove", test_keys_remove },
  { "remove_namespace", test_remove_namespace },
  { "set_row", test_set_row },
  { "visitor", test_visitor },
  { "visitor_lists", test_visitor_lists },
  { "visitor_misuse", test_visitor_misuse }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_walk", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
