/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Value, list and map state and timers over a keyed handle in memory. Timers
 * are compared with a plain array through random adds, removes and polls, with
 * restarts, in few and in many key groups.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/state.h>
#include "tests/fake_host.h"
#include "tests/fake_keyed.h"
#include "tests/tap.h"

static fake_host host;
static fake_keyed keyed;
static sb_context *context;

static void
set_up(uint32_t groups)
{
  fake_host_init(&host);
  fake_keyed_init(&keyed);
  CU_ASSERT_EQUAL_FATAL(sb_context_new(&keyed.keyed, &host.host, groups, 0,
                                       groups - 1, &context, NULL), SB_OK);
}

static void
tear_down(void)
{
  sb_context_free(context);
  fake_keyed_dispose(&keyed);
  CU_ASSERT_EQUAL(host.live, 0);
}

static sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

static int
is_text(sb_slice slice, const char *s)
{
  return slice.len == strlen(s) && memcmp(slice.data, s, slice.len) == 0;
}

static void
set_key(const char *key)
{
  CU_ASSERT_EQUAL_FATAL(sb_context_set_key(context, text(key), NULL), SB_OK);
}

/* ---- context ------------------------------------------------------------ */

static void
test_context(void)
{
  sb_value *value, *again;
  sb_list *list;
  sb_slice got;
  sb_error err;

  set_up(128);
  CU_ASSERT_EQUAL(sb_value_open(context, "v", &value, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_value_open(context, "v", &again, &err), SB_OK);
  CU_ASSERT_PTR_EQUAL(value, again);
  CU_ASSERT_EQUAL(sb_list_open(context, "v", &list, &err), SB_MISMATCH);
  CU_ASSERT_PTR_NULL(list);
  set_key("k");
  CU_ASSERT(is_text(sb_context_key(context), "k"));
  sb_context_free(context);
  CU_ASSERT_EQUAL(sb_context_new(&keyed.keyed, &host.host, 4, 3, 4, &context,
                                 &err), SB_INVALID);
  /* "a" is in key group 41 of 128, a key with hash 2 in 127 */
  CU_ASSERT_EQUAL(sb_context_new(&keyed.keyed, &host.host, 128, 127, 127,
                                 &context, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_context_set_key(context, text("a"), &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_context_set_key_hash(context, text("a"), 2, &err),
                  SB_OK);
  tear_down();
}

static void
test_limits(void)
{
  static char large[SB_KEY_MAX + 1];
  sb_error err;

  set_up(1);
  CU_ASSERT_EQUAL(sb_context_set_key(context, sb_slice_of(large, SB_KEY_MAX),
                                     &err), SB_OK);
  CU_ASSERT_EQUAL(sb_context_set_key(context,
                                     sb_slice_of(large, SB_KEY_MAX + 1),
                                     &err), SB_TOO_LARGE);
  CU_ASSERT_EQUAL(sb_context_key(context).len, SB_KEY_MAX);
  CU_ASSERT_EQUAL(sb_context_set_namespace(context,
                                           sb_slice_of(large, SB_KEY_MAX + 1),
                                           &err), SB_TOO_LARGE);
  tear_down();
}

/* ---- value, list, map --------------------------------------------------- */

static sb_status
add_one(void *arg, sb_update *update)
{
  static uint8_t one[1] = { 1 };

  (void)arg;
  if (update->exists) {
    ++*(uint8_t *)update->data;
    update->action = SB_UPDATE_IN_PLACE;
  } else {
    update->replacement = sb_slice_of(one, 1);
    update->action = SB_UPDATE_PUT;
  }
  return SB_OK;
}

static void
test_value(void)
{
  sb_value *value;
  sb_slice got;
  sb_error err;

  set_up(128);
  CU_ASSERT_EQUAL(sb_value_open(context, "v", &value, &err), SB_OK);
  set_key("a");
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(sb_value_put(value, text("1"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_context_set_namespace(context, text("n"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(sb_value_update(value, add_one, NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_update(value, add_one, NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_OK);
  CU_ASSERT(got.len == 1 && *(const uint8_t *)got.data == 2);
  CU_ASSERT_EQUAL(sb_context_set_namespace(context, text(""), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_OK);
  CU_ASSERT(is_text(got, "1"));
  CU_ASSERT_EQUAL(sb_value_clear(value, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_clear(value, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_value_get(value, &got, &err), SB_NOT_FOUND);
  tear_down();
}

typedef struct joined {
  char text[256];
  int stop_after;
} joined;

static int
join(void *arg, sb_slice element)
{
  joined *all = arg;
  size_t len = strlen(all->text);

  (void)snprintf(all->text + len, sizeof all->text - len, "%.*s,",
                 (int)element.len, (const char *)element.data);
  return --all->stop_after == 0;
}

static int
join_entry(void *arg, sb_slice subkey, sb_slice value)
{
  return join(arg, subkey) | join(arg, value);
}

static const char *
list_text(sb_list *list, int stop_after)
{
  static joined all;
  sb_error err;

  all.text[0] = '\0';
  all.stop_after = stop_after;
  switch (sb_list_each(list, join, &all, &err)) {
  case SB_OK:
    return all.text;
  case SB_NOT_FOUND:
    return "none";
  default:
    return "failed";
  }
}

static void
test_list(void)
{
  const sb_slice two[] = { text("x"), text("") };
  sb_list *list;
  sb_error err;

  set_up(128);
  CU_ASSERT_EQUAL(sb_list_open(context, "l", &list, &err), SB_OK);
  set_key("a");
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "none");
  CU_ASSERT_EQUAL(sb_list_add(list, text("1"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_list_add(list, text("22"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_list_add(list, text("3"), &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "1,22,3,");
  CU_ASSERT_STRING_EQUAL(list_text(list, 2), "1,22,");
  keyed.list_max = 4;
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "1,22,3,");
  CU_ASSERT_STRING_EQUAL(list_text(list, 1), "1,");
  keyed.list_max = 0;
  CU_ASSERT_EQUAL(sb_list_update(list, two, 2, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "x,,");
  set_key("b");
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "none");
  set_key("a");
  CU_ASSERT_EQUAL(sb_list_clear(list, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(list_text(list, 0), "none");
  tear_down();
}

static void
test_map(void)
{
  joined all = { .stop_after = 0 };
  sb_map *map;
  sb_slice got;
  sb_error err;

  set_up(128);
  CU_ASSERT_EQUAL(sb_map_open(context, "m", &map, &err), SB_OK);
  set_key("a");
  CU_ASSERT_EQUAL(sb_map_put(map, text("y"), text("2"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_map_put(map, text("x"), text("1"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_map_update(map, text("z"), add_one, NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_map_get(map, text("z"), &got, &err), SB_OK);
  CU_ASSERT_EQUAL(*(const uint8_t *)got.data, 1);
  CU_ASSERT_EQUAL(sb_map_remove(map, text("z"), &err), SB_OK);
  CU_ASSERT_EQUAL(sb_map_get(map, text("z"), &got, &err), SB_NOT_FOUND);
  set_key("b");
  CU_ASSERT_EQUAL(sb_map_put(map, text("w"), text("9"), &err), SB_OK);
  set_key("a");
  all.text[0] = '\0';
  CU_ASSERT_EQUAL(sb_map_each(map, join_entry, &all, &err), SB_OK);
  CU_ASSERT_STRING_EQUAL(all.text, "x,1,y,2,");
  CU_ASSERT_EQUAL(sb_map_clear(map, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_map_get(map, text("x"), &got, &err), SB_NOT_FOUND);
  set_key("b");
  CU_ASSERT_EQUAL(sb_map_get(map, text("w"), &got, &err), SB_OK);
  tear_down();
}

/* ---- timers ------------------------------------------------------------- */

static void
test_timer_order(void)
{
  static const int64_t times[] = { 5, -3, INT64_MAX, INT64_MIN, 0, 5 };
  static const int64_t want[] = { INT64_MIN, -3, 0, 5, INT64_MAX };
  sb_timers *timers;
  sb_timer timer;
  sb_error err;
  size_t i;

  set_up(128);
  CU_ASSERT_EQUAL(sb_timers_open(context, "t", &timers, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_timers_peek(timers, &timer, &err), SB_END);
  set_key("a");
  CU_ASSERT_EQUAL(sb_context_set_namespace(context, text("window"), &err),
                  SB_OK);
  for (i = 0; i < TAP_COUNT(times); i++)
    CU_ASSERT_EQUAL(sb_timers_add(timers, times[i], &err), SB_OK);
  set_key("b");
  CU_ASSERT_EQUAL(sb_context_set_namespace(context, text(""), &err), SB_OK);
  for (i = 0; i < TAP_COUNT(want); i++) {
    CU_ASSERT_EQUAL(sb_timers_peek(timers, &timer, &err), SB_OK);
    CU_ASSERT_EQUAL(timer.time_ms, want[i]);
    if (want[i] > INT64_MIN)
      CU_ASSERT_EQUAL(sb_timers_poll(timers, want[i] - 1, &timer, &err),
                      SB_END);
    CU_ASSERT_EQUAL(sb_timers_poll(timers, want[i], &timer, &err), SB_OK);
    CU_ASSERT_EQUAL(timer.time_ms, want[i]);
    CU_ASSERT(is_text(timer.key, "a") && is_text(timer.ns, "window"));
    CU_ASSERT(is_text(sb_context_key(context), "a"));
  }
  CU_ASSERT_EQUAL(sb_timers_poll(timers, INT64_MAX, &timer, &err), SB_END);
  CU_ASSERT_EQUAL(keyed.count, 0);
  tear_down();
}

#define MODEL_MAX 20000

typedef struct model_timer {
  int64_t time;
  uint32_t group;
  int key;
} model_timer;

static model_timer model[MODEL_MAX];
static size_t model_count;
static uint64_t model_seed;

static uint32_t
model_random(uint32_t bound)
{
  model_seed = model_seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(model_seed >> 33) % bound;
}

static int
model_compare(const model_timer *a, const model_timer *b)
{
  if (a->time != b->time)
    return a->time < b->time ? -1 : 1;
  if (a->group != b->group)
    return a->group < b->group ? -1 : 1;
  return a->key - b->key;
}

static size_t
model_find(const model_timer *want)
{
  size_t low = 0, high = model_count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (model_compare(&model[middle], want) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void
model_change(const model_timer *timer, int add)
{
  size_t i = model_find(timer);
  int there = i < model_count && model_compare(&model[i], timer) == 0;

  if (add && !there) {
    memmove(model + i + 1, model + i, (model_count++ - i) * sizeof *model);
    model[i] = *timer;
  } else if (!add && there) {
    memmove(model + i, model + i + 1, (--model_count - i) * sizeof *model);
  }
}

static model_timer
model_key(uint32_t groups, int64_t time)
{
  model_timer timer = { .time = time, .key = (int)model_random(900) + 100 };
  char key[16];
  int len = snprintf(key, sizeof key, "%d", timer.key);

  timer.group = sb_key_group(sb_hash_bytes(sb_slice_of(key, (size_t)len)),
                             groups);
  set_key(key);
  return timer;
}

static int
model_poll(sb_timers *timers, int64_t until)
{
  sb_timer timer;
  sb_status status = sb_timers_poll(timers, until, &timer, NULL);
  char key[16];

  if (model_count == 0 || model[0].time > until)
    return status == SB_END;
  (void)snprintf(key, sizeof key, "%d", model[0].key);
  if (status != SB_OK || timer.time_ms != model[0].time ||
      !is_text(timer.key, key) || !is_text(sb_context_key(context), key))
    return 0;
  model_change(&model[0], 0);
  return 1;
}

static void
run_model(uint32_t groups, int steps, int64_t spread)
{
  sb_timers *timers;
  int64_t now = 0;
  int i, wrong = 0;
  sb_error err;

  set_up(groups);
  model_count = 0;
  model_seed = groups;
  CU_ASSERT_EQUAL(sb_timers_open(context, "t", &timers, &err), SB_OK);
  for (i = 0; i < steps && wrong == 0; i++) {
    uint32_t what = model_random(100);
    model_timer timer = model_key(groups, now + model_random(
                                            (uint32_t)spread));

    if (what < 60 && model_count < MODEL_MAX) {
      wrong += sb_timers_add(timers, timer.time, &err) != SB_OK;
      model_change(&timer, 1);
    } else if (what < 65) {
      wrong += sb_timers_remove(timers, timer.time, &err) != SB_OK;
      model_change(&timer, 0);
    } else if (what < 99) {
      wrong += !model_poll(timers, now);
      now += model_random(3);
    } else {
      sb_context_free(context);
      wrong += sb_context_new(&keyed.keyed, &host.host, groups, 0, groups - 1,
                              &context, &err) != SB_OK ||
               sb_timers_open(context, "t", &timers, &err) != SB_OK;
    }
  }
  while (wrong == 0 && model_count != 0)
    wrong += !model_poll(timers, INT64_MAX);
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_EQUAL(keyed.count, 0);
  tear_down();
}

static void
test_timer_model(void)
{
  int steps = tap_is_slow() ? 600 : 6000;

  run_model(1, steps, 50);
  run_model(7, steps, 2000);
  run_model(4096, steps / 4, 500); /* the smallest caches: 16 a group */
}

/* More timers in one key group than its cache holds: they come in order, and
   reading them takes few scans. */
static void
test_timer_refill(void)
{
  sb_timers *timers;
  sb_timer timer;
  sb_error err;
  int64_t i;

  set_up(4096);
  CU_ASSERT_EQUAL(sb_timers_open(context, "t", &timers, &err), SB_OK);
  set_key("a");
  for (i = 999; i >= 0; i--)
    CU_ASSERT_EQUAL_FATAL(sb_timers_add(timers, i, &err), SB_OK);
  for (i = 0; i < 1000; i++) {
    CU_ASSERT_EQUAL_FATAL(sb_timers_poll(timers, 5000, &timer, &err), SB_OK);
    CU_ASSERT_EQUAL_FATAL(timer.time_ms, i);
  }
  CU_ASSERT(keyed.scans < 4096 + 1000 / 16 + 3);
  tear_down();
}

/* ---- failures ----------------------------------------------------------- */

static int
life(void)
{
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_timers *timers;
  sb_timer timer;
  joined all = { .stop_after = 0 };
  sb_slice got;
  int i;

  if (sb_context_new(&keyed.keyed, &host.host, 2, 0, 1, &context, NULL) !=
      SB_OK)
    return 0;
  if (sb_value_open(context, "v", &value, NULL) != SB_OK ||
      sb_list_open(context, "l", &list, NULL) != SB_OK ||
      sb_map_open(context, "m", &map, NULL) != SB_OK ||
      sb_timers_open(context, "t", &timers, NULL) != SB_OK ||
      sb_context_set_key(context, text("a"), NULL) != SB_OK ||
      sb_context_set_namespace(context, text("n"), NULL) != SB_OK ||
      sb_value_put(value, text("1"), NULL) != SB_OK ||
      sb_value_get(value, &got, NULL) != SB_OK ||
      sb_list_add(list, text("1"), NULL) != SB_OK ||
      sb_list_each(list, join, &all, NULL) != SB_OK ||
      sb_map_put(map, text("1"), text("2"), NULL) != SB_OK ||
      sb_map_each(map, join_entry, &all, NULL) != SB_OK)
    return 0;
  for (i = 0; i < 20; i++)
    if (sb_timers_add(timers, 20 - i, NULL) != SB_OK)
      return 0;
  for (i = 0; i < 20; i++)
    if (sb_timers_poll(timers, 100, &timer, NULL) != SB_OK ||
        timer.time_ms != i + 1)
      return 0;
  return sb_value_clear(value, NULL) == SB_OK &&
         sb_map_clear(map, NULL) == SB_OK;
}

static void
test_allocation_faults(void)
{
  long n;
  int clean = 0;

  for (n = 1; !clean && n < 1000; n++) {
    fake_host_init(&host);
    fake_keyed_init(&keyed);
    host.fail_at = n;
    context = NULL;
    clean = life();
    CU_ASSERT(clean == (host.allocations < n));
    sb_context_free(context);
    fake_keyed_dispose(&keyed);
    CU_ASSERT_EQUAL_FATAL(host.live, 0);
  }
  CU_ASSERT(clean && n > 10);
}

static void
test_call_faults(void)
{
  unsigned n;
  int clean = 0;

  for (n = 1; !clean && n < 1000; n++) {
    fake_host_init(&host);
    fake_keyed_init(&keyed);
    keyed.fail_at = n;
    context = NULL;
    clean = life();
    CU_ASSERT(clean == (keyed.calls < n));
    sb_context_free(context);
    fake_keyed_dispose(&keyed);
    CU_ASSERT_EQUAL_FATAL(host.live, 0);
  }
  CU_ASSERT(clean && n > 60);
}

/* A poll that fails takes nothing: the same timer comes next time. */
static void
test_poll_fails(void)
{
  sb_timers *timers;
  sb_timer timer;
  sb_error err;

  set_up(1);
  CU_ASSERT_EQUAL(sb_timers_open(context, "t", &timers, &err), SB_OK);
  set_key("a");
  CU_ASSERT_EQUAL(sb_timers_add(timers, 1, &err), SB_OK);
  set_key("b");
  CU_ASSERT_EQUAL(sb_timers_peek(timers, &timer, &err), SB_OK);
  keyed.fail_at = keyed.calls + 1;
  CU_ASSERT_EQUAL(sb_timers_poll(timers, 9, &timer, &err), SB_IO);
  CU_ASSERT(is_text(sb_context_key(context), "b"));
  CU_ASSERT_EQUAL(sb_timers_peek(timers, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_timers_poll(timers, 9, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_timers_poll(timers, 9, &timer, &err), SB_OK);
  CU_ASSERT(is_text(timer.key, "a"));
  tear_down();
}

int
main(int argc, char **argv)
{
  static const tap_case states[] = {
    { "context", test_context },
    { "limits", test_limits },
    { "value", test_value },
    { "list", test_list },
    { "map", test_map }
  };
  static const tap_case timers[] = {
    { "timer order", test_timer_order },
    { "timer model", test_timer_model },
    { "timer refill", test_timer_refill },
    { "poll fails", test_poll_fails }
  };
  static const tap_case faults[] = {
    { "allocation faults", test_allocation_faults },
    { "call faults", test_call_faults }
  };
  static const tap_suite suites[] = {
    { "state", states, TAP_COUNT(states) },
    { "timers", timers, TAP_COUNT(timers) },
    { "faults", faults, TAP_COUNT(faults) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
