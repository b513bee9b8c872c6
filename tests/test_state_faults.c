/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation 1, 2, 3 ... fails while states of all kinds are opened, used and
 * walked, until a run is clean. What failed has changed nothing, or can be done
 * again; nothing leaks; afterwards all goes on.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "state_fixture.h"

typedef struct life {
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_reducing *reducing;
  sb_batch *batch;
  unsigned answered;
} life;

/* An armed call may fail for want of memory, with a message. */
static int
went(sb_status status)
{
  if (status == SB_NO_MEMORY) {
    CU_ASSERT(err.message[0] != '\0');
    return 0;
  }
  return ok(status);
}

static sb_status
join(void *arg, sb_update *state, sb_slice input, sb_error *error)
{
  static char joined[4096];

  (void)arg;
  (void)error;
  snprintf(joined, sizeof joined, "%.*s%.*s", (int)state->len,
           (const char *)state->data, (int)input.len,
           (const char *)input.data);
  state->replacement = text(joined);
  state->action = SB_UPDATE_PUT;
  return SB_OK;
}

static int
life_open(life *l)
{
  sb_state_spec spec = spec_of("v");

  memset(l, 0, sizeof *l);
  spec.key_type = "string";
  spec.flags = SB_SPEC_DEFAULT;
  spec.default_value = text("none");
  if (!went(sb_value_open_spec(context, &spec, &l->value, &err)))
    return 0;
  spec.flags = 0;
  spec.name = "l";
  spec.ttl_ms = 1000;
  spec.ttl_update = SB_TTL_READ_WRITE;
  spec.cleanup_per_access = 2;
  if (!went(sb_list_open_spec(context, &spec, &l->list, &err)))
    return 0;
  spec.name = "m";
  spec.flags = SB_SPEC_NULLS;
  if (!went(sb_map_open_spec(context, &spec, &l->map, &err)))
    return 0;
  spec.name = "r";
  spec.flags = 0;
  spec.fold = join;
  return went(sb_reducing_open_spec(context, &spec, &l->reducing, &err)) &&
         went(sb_batch_new(context, &l->batch, &err));
}

/* What each key has, in the checkpoint that every run begins with. */
static void
fill(void)
{
  const sb_slice elements[] = { text("1"), text("2") };
  char key[16];
  life l;
  int i;

  CU_ASSERT_FATAL(life_open(&l));
  set_ns("n");
  for (i = 0; i < 12; i++) {
    snprintf(key, sizeof key, "%d", i);
    set_key(key);
    ok(sb_value_put(l.value, text(key), &err));
    ok(sb_list_add_all(l.list, elements, 2, &err));
    ok(sb_map_put(l.map, text("a"), text("1"), &err));
    ok(sb_map_put(l.map, text("b"), sb_slice_of(NULL, 0), &err));
    ok(sb_reducing_add(l.reducing, text("x"), &err));
  }
  set_key("large");
  for (i = 0; i < 300; i++)
    ok(sb_reducing_add(l.reducing, text("0123456789"), &err));
}

/* ---- what may fail ------------------------------------------------------- */

static void
use_records(life *l, const char *key)
{
  sb_slice got;
  int yes;

  if (!went(sb_context_set_key(context, text(key), &err)) ||
      !went(sb_context_set_namespace(context, text("n"), &err)))
    return;
  if (went(sb_value_get(l->value, &got, &err)))
    CU_ASSERT(is_text(got, key));
  (void)went(sb_value_put(l->value, text(key), &err));
  if (went(sb_map_contains(l->map, text("b"), &yes, &err)))
    CU_ASSERT(yes);
  (void)went(sb_map_put(l->map, text("a"), text("1"), &err));
  if (went(sb_reducing_add(l->reducing, text("y"), &err)))
    while (!went(sb_reducing_update_internal(l->reducing, text("x"), &err)))
      ;
}

static void
use_lists(life *l, const char *key)
{
  const sb_slice again[] = { text("1"), text("2") };
  const sb_slice sources[] = { text("n") };
  sb_slice all;

  if (!went(sb_context_set_key(context, text(key), &err)) ||
      !went(sb_context_set_namespace(context, text("n"), &err)))
    return;
  if (went(sb_list_get(l->list, &all, &err)))
    CU_ASSERT(all.len == 10);
  while (!went(sb_list_update(l->list, again, 2, &err)))
    ;
  (void)went(sb_list_merge(l->list, text("n"), sources, 1, &err));
  /* There and back again, from the start if one half failed. */
  while (!went(sb_list_merge(l->list, text("t"), sources, 1, &err)))
    ;
  while (!went(sb_context_set_namespace(context, text("t"), &err)))
    ;
  while (!went(sb_list_clear(l->list, &err)))
    ;
  while (!went(sb_context_set_namespace(context, text("n"), &err)))
    ;
  while (!went(sb_list_update(l->list, again, 2, &err)))
    ;
}

static void
use_walks(life *l)
{
  const char *const names[] = { "v", "l", "m", "r" };
  sb_iterator *it;
  sb_visitor *v = NULL;
  const sb_row *rows;
  sb_status status;
  size_t count, n = 0;
  sb_row row;

  if (went(sb_context_keys(context, names, 4, text("n"), &it, &err))) {
    do {
      status = sb_iterator_next(it, &row, &err);
      n += status == SB_OK;
    } while (status == SB_OK);
    CU_ASSERT(status == SB_NO_MEMORY || (status == SB_END && n == 13));
    sb_iterator_close(it);
  }
  if (went(sb_map_iterate(l->map, &it, &err))) {
    while ((status = sb_iterator_next(it, &row, &err)) == SB_OK)
      (void)went(sb_iterator_set(it, row.value, &err));
    CU_ASSERT(status == SB_NO_MEMORY || status == SB_END);
    sb_iterator_close(it);
  }
  if (!went(sb_visitor_open(context, "l", 0, 3, &v, &err)))
    return;
  n = 0;
  for (;;) {
    status = sb_visitor_next(v, 5, &rows, &count, &err);
    n += count;
    if (status == SB_END || (status != SB_OK && status != SB_NO_MEMORY))
      break;
    if (status == SB_NO_MEMORY && sb_visitor_next(v, 5, &rows, &count,
                                                  &err) == SB_NO_MEMORY)
      break; /* it lasts */
    n += status == SB_NO_MEMORY ? count : 0;
  }
  CU_ASSERT(status == SB_NO_MEMORY || (status == SB_END && n == 12));
  sb_visitor_close(v);
}

static void
answered(void *arg, sb_status status, sb_slice value, const sb_error *error)
{
  life *l = arg;

  l->answered++;
  CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
  CU_ASSERT(status == SB_OK || error->message[0] != '\0');
  CU_ASSERT(status != SB_OK || value.len != 0);
}

static void
use_batches(life *l)
{
  char key[16];
  unsigned i, added = 0;
  size_t count;

  for (i = 0; i < 12; i++) {
    sb_place at = { .ns = text("n") };

    snprintf(key, sizeof key, "%u", i);
    at.key = text(i == 11 ? "large" : key);
    added += (unsigned)went(sb_batch_reducing_get(l->batch, l->reducing, &at,
                                                  answered, l, &err));
    if (i == 11)
      break;
    added += (unsigned)went(sb_batch_list_get(l->batch, l->list, &at,
                                              answered, l, &err));
    (void)went(sb_batch_value_put(l->batch, l->value, &at, text(key), NULL,
                                  NULL, &err));
  }
  while (!went(sb_batch_submit(l->batch, &err)))
    ;
  while (sb_context_pending(context) != 0)
    (void)went(sb_context_poll(context, SB_NO_DEADLINE, &count, &err));
  CU_ASSERT_EQUAL(l->answered, added);
}

/* ---- afterwards ---------------------------------------------------------- */

static int
nothing(void *arg, sb_slice subkey, sb_slice value)
{
  (void)subkey;
  (void)value;
  ++*(int *)arg;
  return 0;
}

static void
check_all(life *l)
{
  char key[16];
  sb_slice got;
  int i, entries;

  set_ns("n");
  for (i = 0; i < 12; i++) {
    snprintf(key, sizeof key, "%d", i);
    set_key(key);
    ok(sb_value_get(l->value, &got, &err));
    CU_ASSERT(is_text(got, key));
    CU_ASSERT_STRING_EQUAL(list_words(l->list), "1,2,");
    entries = 0;
    ok(sb_map_each(l->map, nothing, &entries, &err));
    CU_ASSERT_EQUAL(entries, 2);
    ok(sb_reducing_get(l->reducing, &got, &err));
    CU_ASSERT(is_text(got, "x"));
  }
}

/* One that the checkpoint does not have: its types must be kept, or it must
   not be there. */
static void
open_new(void)
{
  sb_state_description found = { .struct_size = sizeof found };
  sb_state_spec spec = spec_of("new");
  sb_value *state;
  uint32_t i;

  spec.key_type = "string";
  if (!went(sb_value_open_spec(context, &spec, &state, &err)))
    return;
  for (i = 0; sb_context_state_at(context, i, &found, &err) == SB_OK; i++)
    if (is_text(found.name, "new"))
      CU_ASSERT(is_text(found.key_type, "string"));
}

static int
run(long fail)
{
  int clean;
  life l;

  state_reopen(0);
  atomic_store(&fail_in, fail);
  if (life_open(&l)) {
    open_new();
    use_records(&l, "1");
    use_lists(&l, "2");
    use_walks(&l);
    use_batches(&l);
    use_records(&l, "3");
  }
  clean = atomic_load(&fail_in) > 0;
  atomic_store(&fail_in, 0);
  CU_ASSERT_FATAL(life_open(&l));
  check_all(&l);
  return clean;
}

static void
test_allocations(void)
{
  long fail, step = tap_is_slow() ? 7 : 1;

  state_begin("16mb", 4);
  fill();
  state_checkpoint();
  for (fail = 1; fail < 5000; fail += step)
    if (run(fail))
      break;
  tap_note("%ld allocations", fail);
  CU_ASSERT(fail > 50 && fail < 5000);
  state_end();
}

static const tap_case cases[] = { { "allocations", test_allocations } };

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "state_faults", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
