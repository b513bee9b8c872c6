/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of requests on all kinds of state: their order, their answers from
 * memory and from segments, time to live, and what goes wrong.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

/* The last answers, in the order they came. */
typedef struct answer {
  sb_status status;
  char value[64];
  char message[200];
  int count;
} answer;

static void
take(void *arg, sb_status status, sb_slice value, const sb_error *error)
{
  answer *a = arg;

  a->count++;
  a->status = status;
  snprintf(a->value, sizeof a->value, "%.*s", (int)value.len,
           value.data == NULL ? "" : (const char *)value.data);
  snprintf(a->message, sizeof a->message, "%.199s",
           status == SB_OK || status == SB_NOT_FOUND ? "" : error->message);
}

static void
drain(void)
{
  size_t count;

  while (sb_context_pending(context) != 0)
    if (!ok(sb_context_poll(context, SB_NO_DEADLINE, &count, &err)))
      break;
}

static void
submit(sb_batch *batch)
{
  ok(sb_batch_submit(batch, &err));
  drain();
}

static sb_status
join(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  static char joined[64];

  if (*(int *)arg != 0)
    return sb_error_set(error, SB_DENIED, "not this one");
  snprintf(joined, sizeof joined, "%.*s%.*s", (int)state->len,
           state->exists ? (const char *)state->data : "", (int)input.len,
           (const char *)input.data);
  state->replacement = text(joined);
  state->action = SB_UPDATE_PUT;
  return SB_OK;
}

static sb_status
bracket(void *arg, sb_slice accumulator, sb_give_fn *give, void *give_arg,
        sb_error *error)
{
  sb_status status = give(give_arg, "[", 1);

  (void)arg;
  (void)error;
  if (status == SB_OK)
    status = give(give_arg, accumulator.data, accumulator.len);
  return status != SB_OK ? status : give(give_arg, "]", 1);
}

typedef struct world {
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_reducing *reducing;
  sb_aggregating *aggregating;
  sb_batch *batch;
} world;

static int join_fails;

static void
world_open(world *w, uint64_t ttl_ms, uint32_t update, uint32_t visibility)
{
  sb_state_spec spec = spec_of("v");

  spec.ttl_ms = ttl_ms;
  spec.ttl_update = update;
  spec.ttl_visibility = visibility;
  spec.flags = SB_SPEC_DEFAULT;
  spec.default_value = text("default");
  ok(sb_value_open_spec(context, &spec, &w->value, &err));
  spec.flags = 0;
  spec.name = "l";
  ok(sb_list_open_spec(context, &spec, &w->list, &err));
  spec.name = "m";
  spec.flags = SB_SPEC_NULLS;
  ok(sb_map_open_spec(context, &spec, &w->map, &err));
  spec.flags = 0;
  spec.fold = join;
  spec.fold_arg = &join_fails;
  spec.result = bracket;
  spec.name = "r";
  ok(sb_reducing_open_spec(context, &spec, &w->reducing, &err));
  spec.name = "a";
  ok(sb_aggregating_open_spec(context, &spec, &w->aggregating, &err));
  ok(sb_batch_new(context, &w->batch, &err));
  join_fails = 0;
}

/* Everything that can be asked of one key. */
static void
read_all(world *w, const sb_place *at, answer *a)
{
  int i;

  for (i = 0; i < 7; i++)
    memset(&a[i], 0, sizeof a[i]);
  ok(sb_batch_value_get(w->batch, w->value, at, take, &a[0], &err));
  ok(sb_batch_list_get(w->batch, w->list, at, take, &a[1], &err));
  ok(sb_batch_map_get(w->batch, w->map, at, text("x"), take, &a[2], &err));
  ok(sb_batch_map_get(w->batch, w->map, at, text("null"), take, &a[3], &err));
  ok(sb_batch_reducing_get(w->batch, w->reducing, at, take, &a[4], &err));
  ok(sb_batch_aggregating_get(w->batch, w->aggregating, at, take, &a[5],
                              &err));
  submit(w->batch);
  for (i = 0; i < 6; i++)
    CU_ASSERT_EQUAL(a[i].count, 1);
}

static void
check_all(answer *a)
{
  CU_ASSERT(a[0].status == SB_OK && strcmp(a[0].value, "2") == 0);
  CU_ASSERT(a[1].status == SB_OK &&
            memcmp(a[1].value, "\1\0\0\0", 4) == 0);
  CU_ASSERT(a[2].status == SB_OK && strcmp(a[2].value, "1") == 0);
  CU_ASSERT(a[3].status == SB_OK && strcmp(a[3].value, "") == 0);
  CU_ASSERT(a[4].status == SB_OK && strcmp(a[4].value, "ab") == 0);
  CU_ASSERT(a[5].status == SB_OK && strcmp(a[5].value, "[cd]") == 0);
}

static void
write_all(world *w, const sb_place *at)
{
  sb_slice null = { NULL, 0 };

  ok(sb_batch_value_put(w->batch, w->value, at, text("1"), NULL, NULL, &err));
  ok(sb_batch_value_put(w->batch, w->value, at, text("2"), NULL, NULL, &err));
  ok(sb_batch_list_add(w->batch, w->list, at, text("1"), NULL, NULL, &err));
  ok(sb_batch_list_add(w->batch, w->list, at, text("22"), NULL, NULL, &err));
  ok(sb_batch_map_put(w->batch, w->map, at, text("x"), text("1"), NULL, NULL,
                      &err));
  ok(sb_batch_map_put(w->batch, w->map, at, text("null"), null, NULL, NULL,
                      &err));
  ok(sb_batch_map_put(w->batch, w->map, at, text("y"), text("1"), NULL, NULL,
                      &err));
  ok(sb_batch_map_remove(w->batch, w->map, at, text("y"), NULL, NULL, &err));
  ok(sb_batch_reducing_add(w->batch, w->reducing, at, text("a"), NULL, NULL,
                           &err));
  ok(sb_batch_reducing_add(w->batch, w->reducing, at, text("b"), NULL, NULL,
                           &err));
  ok(sb_batch_aggregating_add(w->batch, w->aggregating, at, text("c"), NULL,
                              NULL, &err));
  ok(sb_batch_aggregating_add(w->batch, w->aggregating, at, text("d"), NULL,
                              NULL, &err));
}

static void
clear_all(world *w, const sb_place *at)
{
  ok(sb_batch_value_clear(w->batch, w->value, at, NULL, NULL, &err));
  ok(sb_batch_list_clear(w->batch, w->list, at, NULL, NULL, &err));
  ok(sb_batch_map_clear(w->batch, w->map, at, NULL, NULL, &err));
  ok(sb_batch_reducing_clear(w->batch, w->reducing, at, NULL, NULL, &err));
  ok(sb_batch_aggregating_clear(w->batch, w->aggregating, at, NULL, NULL,
                                &err));
}

static void
all_kinds(uint64_t ttl_ms, uint32_t update, uint32_t visibility)
{
  sb_place at = { .key = text("k"), .ns = text("n") };
  answer a[7];
  int i, cold;
  world w;

  state_begin("16mb", 4);
  world_open(&w, ttl_ms, update, visibility);
  set_key("k");
  set_ns("n");
  write_all(&w, NULL);
  /* Nothing has happened before it is submitted. */
  CU_ASSERT_EQUAL(sb_context_pending(context), 0);
  submit(w.batch);
  for (cold = 0; cold < 2; cold++) {
    read_all(&w, cold ? &at : NULL, a);
    check_all(a);
    read_all(&w, &at, a);
    check_all(a);
    state_restart();
    world_open(&w, ttl_ms, update, visibility);
    if (cold == 0) {
      set_key("k");
      set_ns("n");
    }
  }
  clear_all(&w, &at);
  read_all(&w, &at, a);
  CU_ASSERT(a[0].status == SB_OK && strcmp(a[0].value, "default") == 0);
  for (i = 1; i < 6; i++)
    CU_ASSERT_EQUAL(a[i].status, SB_NOT_FOUND);
  state_end();
}

static void
test_kinds(void)
{
  all_kinds(0, 0, 0);
}

static void
test_kinds_ttl(void)
{
  all_kinds(1000, SB_TTL_WRITE, SB_TTL_NEVER);
  all_kinds(1000, SB_TTL_READ_WRITE, SB_TTL_UNLESS_CLEANED);
}

static void
test_ttl(void)
{
  sb_place at = { .key = text("k") };
  answer a[7];
  int i, round;
  world w;

  state_begin("16mb", 4);
  world_open(&w, 100, SB_TTL_READ_WRITE, SB_TTL_UNLESS_CLEANED);
  write_all(&w, &at);
  submit(w.batch);
  for (round = 0; round < 3; round++) {
    atomic_fetch_add(&clock_ms, 60);
    read_all(&w, &at, a);
    check_all(a);
  }
  atomic_fetch_add(&clock_ms, 100);
  read_all(&w, &at, a);
  check_all(a); /* once more, and then not again */
  read_all(&w, &at, a);
  CU_ASSERT(a[0].status == SB_OK && strcmp(a[0].value, "default") == 0);
  for (i = 1; i < 6; i++)
    CU_ASSERT_EQUAL(a[i].status, SB_NOT_FOUND);
  state_end();
}

/* Many keys, cold, and large values that do not fit a request's buffer. */
static void
test_many(void)
{
  static answer a[2000];
  static char large[4000];
  sb_batch *batch;
  sb_value *value;
  char key[16];
  int i, wrong = 0;

  state_begin("16mb", 16);
  ok(sb_value_open(context, "v", &value, &err));
  memset(large, 'x', sizeof large);
  for (i = 0; i < 2000; i++) {
    snprintf(key, sizeof key, "%d", i);
    set_key(key);
    memcpy(large, key, strlen(key) + 1);
    ok(sb_value_put(value, sb_slice_of(large, i % 3 == 0 ? 4000 : 20), &err));
  }
  state_restart();
  ok(sb_value_open(context, "v", &value, &err));
  ok(sb_batch_new(context, &batch, &err));
  memset(a, 0, sizeof a);
  for (i = 0; i < 2000; i++) {
    sb_place at = { .key = text(key) };

    snprintf(key, sizeof key, "%d", i);
    at.key = text(key);
    ok(sb_batch_value_get(batch, value, &at, take, &a[i], &err));
  }
  submit(batch);
  for (i = 0; i < 2000; i++)
    wrong += a[i].count != 1 || a[i].status != SB_OK || atoi(a[i].value) != i;
  CU_ASSERT_EQUAL(wrong, 0);
  state_end();
}

/* An answer that uses the context: adds what it has read, and more. */
typedef struct chain {
  sb_value *value;
  sb_batch *batch;
  int left;
} chain;

static void
follow(void *arg, sb_status status, sb_slice value, const sb_error *error)
{
  chain *c = arg;
  char key[16], n[16];
  sb_place at;

  (void)error;
  CU_ASSERT_EQUAL(status, SB_OK);
  snprintf(n, sizeof n, "%.*s", (int)value.len, (const char *)value.data);
  CU_ASSERT_EQUAL(atoi(n), c->left);
  if (c->left-- == 0)
    return;
  snprintf(key, sizeof key, "%d", c->left);
  set_key(key);
  snprintf(n, sizeof n, "%d", c->left);
  ok(sb_value_put(c->value, text(n), &err));
  memset(&at, 0, sizeof at);
  at.key = text(key);
  ok(sb_batch_value_get(c->batch, c->value, &at, follow, c, &err));
  ok(sb_batch_submit(c->batch, &err));
}

static void
test_chain(void)
{
  chain c = { .left = 50 };

  state_begin("16mb", 4);
  ok(sb_value_open(context, "v", &c.value, &err));
  ok(sb_batch_new(context, &c.batch, &err));
  set_key("first");
  ok(sb_value_put(c.value, text("50"), &err));
  ok(sb_batch_value_get(c.batch, c.value, NULL, follow, &c, &err));
  submit(c.batch);
  CU_ASSERT_EQUAL(c.left, -1);
  state_end();
}

static void
test_misuse(void)
{
  static char large[SB_KEY_MAX + 1];
  sb_place at = { .key = text("k") };
  size_t count;
  answer a[7];
  world w;

  state_begin("16mb", 4);
  world_open(&w, 0, 0, 0);
  fails(sb_batch_value_get(w.batch, w.value, NULL, take, a, &err), SB_INVALID,
        "no current key");
  fails(sb_batch_value_get(NULL, w.value, &at, take, a, &err), SB_INVALID,
        "batch");
  fails(sb_batch_value_get(w.batch, NULL, &at, take, a, &err), SB_INVALID,
        "value that is NULL");
  fails(sb_batch_value_get(w.batch, w.value, &at, NULL, NULL, &err),
        SB_INVALID, "answer");
  fails(sb_batch_map_get(w.batch, (sb_map *)w.value, &at, text(""), take, a,
                         &err), SB_INVALID, "as a map: it is a value");
  at.key = sb_slice_of(large, sizeof large);
  fails(sb_batch_value_get(w.batch, w.value, &at, take, a, &err),
        SB_TOO_LARGE, "65536");
  at.key = text("k");
  ok(sb_context_poll(context, 0, &count, &err));
  CU_ASSERT_EQUAL(count, 0);
  ok(sb_batch_submit(w.batch, &err)); /* of nothing */
  /* A fold that fails says why, and changes nothing. */
  memset(a, 0, sizeof a);
  ok(sb_batch_reducing_add(w.batch, w.reducing, &at, text("a"), NULL, NULL,
                           &err));
  submit(w.batch);
  join_fails = 1;
  ok(sb_batch_reducing_add(w.batch, w.reducing, &at, text("b"), take, &a[0],
                           &err));
  submit(w.batch);
  CU_ASSERT_EQUAL(a[0].status, SB_DENIED);
  CU_ASSERT_STRING_EQUAL(a[0].message, "not this one");
  join_fails = 0;
  ok(sb_batch_reducing_get(w.batch, w.reducing, &at, take, &a[0], &err));
  submit(w.batch);
  CU_ASSERT_STRING_EQUAL(a[0].value, "a");
  /* What was not submitted is forgotten. */
  ok(sb_batch_value_get(w.batch, w.value, &at, take, &a[1], &err));
  sb_batch_free(w.batch);
  CU_ASSERT_EQUAL(a[1].count, 0);
  state_end();
}

/* Requests that are pending when the context goes. */
static void
test_close(void)
{
  sb_place at = { .key = text("k") };
  answer a[2];
  world w;

  state_begin("16mb", 4);
  world_open(&w, 0, 0, 0);
  write_all(&w, &at);
  submit(w.batch);
  state_restart();
  world_open(&w, 0, 0, 0);
  memset(a, 0, sizeof a);
  ok(sb_batch_value_get(w.batch, w.value, &at, take, &a[0], &err));
  ok(sb_batch_reducing_add(w.batch, w.reducing, &at, text("x"), take, &a[1],
                           &err));
  ok(sb_batch_submit(w.batch, &err));
  CU_ASSERT_EQUAL(sb_context_pending(context), 2);
  fails(sb_context_drop_state(context, "v", &err), SB_BUSY, "2 requests");
  state_end();
  CU_ASSERT(a[0].count == 1 && a[0].status == SB_CANCELLED);
  CU_ASSERT(a[1].count == 1 && a[1].status == SB_CANCELLED);
}

/* Requests that are pending when the handle is interrupted. */
static void
test_interrupted(void)
{
  sb_place at = { .key = text("k") }, other = { .key = text("other") };
  answer a[3];
  size_t count = 0;
  world w;
  int i;

  for (i = 0; i < 2; i++) {
    state_begin("16mb", 4);
    world_open(&w, 0, 0, 0);
    write_all(&w, &at);
    submit(w.batch);
    state_restart();
    world_open(&w, 0, 0, 0);
    memset(a, 0, sizeof a);
    ok(sb_batch_value_get(w.batch, w.value, &at, take, &a[0], &err));
    ok(sb_batch_reducing_add(w.batch, w.reducing, &at, text("x"), take, &a[1],
                             &err));
    ok(sb_batch_value_get(w.batch, w.value, &other, take, &a[2], &err));
    ok(sb_batch_submit(w.batch, &err));
    keyed->ops->interrupt(keyed);
    if (i == 0) {
      ok(sb_context_poll(context, SB_NO_DEADLINE, &count, &err));
      CU_ASSERT_EQUAL(count, 3);
      CU_ASSERT_EQUAL(sb_context_pending(context), 0);
      CU_ASSERT_EQUAL(a[0].count, 1);
      ok(sb_batch_value_get(w.batch, w.value, &at, take, &a[0], &err));
      CU_ASSERT_EQUAL(sb_batch_submit(w.batch, &err), SB_CANCELLED);
    }
    state_end();
    CU_ASSERT(a[0].count == 1 && a[1].count == 1 && a[2].count == 1);
    CU_ASSERT(i == 0 || (a[0].status == SB_CANCELLED &&
                         a[1].status == SB_CANCELLED));
  }
}

static const tap_case cases[] = {
  { "kinds", test_kinds },
  { "kinds_ttl", test_kinds_ttl },
  { "ttl", test_ttl },
  { "many", test_many },
  { "chain", test_chain },
  { "misuse", test_misuse },
  { "close", test_close },
  { "interrupted", test_interrupted }
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_batch", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
