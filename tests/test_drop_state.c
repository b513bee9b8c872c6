/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States that are dropped, and restored states that nobody registers.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ttl_fixture.h"

/* ---- dropped states ------------------------------------------------------ */

static void
test_drop(void)
{
  sb_state_options o = ttl_options("s", SB_STATE_VALUE);
  sb_scan_options so = { .struct_size = sizeof so, .key_group_last = 3 };
  sb_state_info info = { .struct_size = sizeof info };
  uint32_t id, again, other;
  sb_slice value = { NULL, 0 };
  sb_cursor *c;
  sb_key key;
  sb_keyed *k;
  unsigned i;

  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  other = add_state(k, "other", SB_STATE_VALUE);
  for (i = 0; i < KEYS; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, 0);
  for (i = 0; i < 10; i++)
    ttl_put(k, other, i, LEN, UINT64_MAX, 0);
  ttl_commit(k);
  ttl_put(k, id, KEYS, LEN, UINT64_MAX, 0);
  check_ok(k->ops->drop_state(k, id, &err));
  CU_ASSERT_EQUAL(k->ops->drop_state(k, id, &err), SB_INVALID);
  key = make_key(id, 1);
  CU_ASSERT_EQUAL(k->ops->get(k, &key, &value, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->put(k, &key, value, 0, &err), SB_INVALID);
  so.state = id;
  CU_ASSERT_EQUAL(k->ops->scan_open(k, &so, &c, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->state_at(k, id, &info, &err), SB_NOT_FOUND);
  o.kind = SB_STATE_MAP; /* whatever it was before */
  again = ttl_register(k, &o);
  CU_ASSERT(again != id);
  CU_ASSERT(count_rows(k, again, 0, NULL) == 0);
  ttl_put(k, again, 5, LEN, UINT64_MAX, 0);
  CU_ASSERT(ttl_wait_bytes(k, 4000));
  k = ttl_reopen(k, &o);
  again = ttl_register(k, &o);
  other = add_state(k, "other", SB_STATE_VALUE);
  CU_ASSERT(count_rows(k, again, 0, NULL) == 1);
  CU_ASSERT(count_rows(k, other, 0, NULL) == 10);
  check_ok(k->ops->drop_state(k, again, &err)); /* and once more */
  k = ttl_reopen(k, NULL);
  o.kind = SB_STATE_VALUE;
  again = ttl_register(k, &o);
  CU_ASSERT(count_rows(k, again, 0, NULL) == 0);
  k->ops->close(k);
  ttl_close();
}

/* A cut from before the drop has the state, its records and not the one that
   took its name. */
static void
test_drop_after_cut(void)
{
  sb_state_options o = ttl_options("s", SB_STATE_VALUE);
  sb_snapshot *cut;
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("2", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, 0);
  cut = begin_snapshot(k, ttl_checkpoint++);
  check_ok(k->ops->drop_state(k, id, &err));
  o.kind = SB_STATE_MAP;
  id = ttl_register(k, &o);
  ttl_put(k, id, 1, LEN, UINT64_MAX, 0);
  commit_snapshots(&k, &cut, 1, ttl_checkpoint - 1);
  k = reopen(k, 0);
  o.kind = SB_STATE_VALUE;
  id = ttl_register(k, &o);
  CU_ASSERT(count_rows(k, id, 0, NULL) == 100);
  k->ops->close(k);
  ttl_close();
}

/* A view from before the drop goes on. */
static void
test_drop_under_view(void)
{
  sb_state_options o = ttl_options("s", SB_STATE_VALUE);
  sb_scan_options so = { .struct_size = sizeof so, .key_group_last = 3 };
  sb_view_cursor *c = NULL;
  sb_view *view, *later;
  unsigned i, n = 0;
  char value[2 * LEN];
  size_t n_value = 0;
  sb_keyed *k;
  sb_key key;
  sb_row row;

  ttl_open("2", 4);
  k = open_all();
  so.state = ttl_register(k, &o);
  for (i = 0; i < 100; i++)
    ttl_put(k, so.state, i, LEN, UINT64_MAX, 0);
  check_ok(k->ops->view_open(k, &view, &err));
  check_ok(k->ops->drop_state(k, so.state, &err));
  for (i = 0; i < 3; i++)
    ttl_commit(k);
  check_ok(k->ops->view_scan_open(view, &so, &c, &err));
  while (k->ops->view_scan_next(c, &row, &err) == SB_OK)
    n++;
  CU_ASSERT_EQUAL(n, 100);
  k->ops->view_scan_close(c);
  key = make_key(so.state, 1);
  check_ok(k->ops->view_get(view, &key, value, sizeof value, &n_value, &err));
  CU_ASSERT_EQUAL(n_value, LEN);
  k->ops->view_close(view);
  check_ok(k->ops->view_open(k, &later, &err));
  CU_ASSERT_EQUAL(k->ops->view_scan_open(later, &so, &c, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->view_get(later, &key, value, sizeof value, &n_value,
                                   &err), SB_INVALID);
  k->ops->view_close(later);
  k->ops->close(k);
  ttl_close();
}

/* Siblings that agree are united, those that do not are refused. */
static void
drop_apart(int both, int expect_ok)
{
  sb_state_options o = ttl_options("s", SB_STATE_VALUE);
  sb_keyed_options ko = { .struct_size = sizeof ko, .job = "",
                          .operator_id = "", .key_group_count = 4,
                          .key_group_last = 3 };
  sb_checkpoint *from;
  sb_keyed *k[2], *united = NULL;
  sb_status status;
  uint32_t id;

  ttl_open("2", 4);
  k[0] = open_range(0, 1, NULL, 0);
  k[1] = open_range(2, 3, NULL, 0);
  id = ttl_register(k[0], &o);
  CU_ASSERT_EQUAL(ttl_register(k[1], &o), id);
  check_ok(k[0]->ops->drop_state(k[0], id, &err));
  (void)ttl_register(k[0], &o);
  if (both) {
    check_ok(k[1]->ops->drop_state(k[1], id, &err));
    (void)ttl_register(k[1], &o);
  }
  checkpoint(1, k, 2);
  k[0]->ops->close(k[0]);
  k[1]->ops->close(k[1]);
  from = newest();
  ko.generation = backend->ops->job_generation(job);
  ko.parts = from->parts;
  ko.part_count = from->info.part_count;
  status = sb_backend_keyed(backend, &ko, &united, &err);
  CU_ASSERT_EQUAL(status, expect_ok ? SB_OK : SB_MISMATCH);
  backend->ops->checkpoint_close(backend, from);
  if (united != NULL)
    united->ops->close(united);
  ttl_close();
}

static void
test_drop_apart(void)
{
  drop_apart(1, 1);
  drop_apart(0, 0);
}

/* A handle may not write to what it has not registered. */
static void
test_unregistered(void)
{
  sb_state_options o = ttl_options("s", SB_STATE_VALUE);
  uint32_t id;
  sb_key key;
  sb_keyed *k;

  ttl_open("2", 4);
  k = open_all();
  id = ttl_register(k, &o);
  ttl_put(k, id, 1, LEN, UINT64_MAX, 0);
  k = ttl_reopen(k, NULL);
  CU_ASSERT(ttl_has(k, 0, 1));
  key = make_key(0, 1);
  CU_ASSERT_EQUAL(k->ops->put(k, &key, text("x"), 0, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->remove(k, &key, &err), SB_INVALID);
  k = ttl_reopen(k, &o); /* kept, though nobody registered it */
  CU_ASSERT(ttl_has(k, 0, 1));
  k->ops->close(k);
  ttl_close();
}

static const tap_case cases[] = {
  { "dropped states", test_drop },
  { "dropped after a cut", test_drop_after_cut },
  { "dropped under a view", test_drop_under_view },
  { "dropped by one subtask", test_drop_apart },
  { "restored and not registered", test_unregistered },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "drop_state", cases, TAP_COUNT(cases));
}
