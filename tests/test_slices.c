/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices with a length whose data is NULL, given to each call of a handle that
 * takes one: refused by name, with nothing changed.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

static const sb_slice bad = { NULL, 5 };

static int
refused(sb_status status, const char *what)
{
  int right = status == SB_INVALID && strstr(err.message, what) != NULL &&
              strstr(err.message, "NULL") != NULL;

  CU_ASSERT(right);
  if (!right)
    tap_note("%s, not \"%s\": %s", sb_status_name(status), what, err.message);
  err.message[0] = '\0';
  return right;
}

/* The map's record ("k", "n", "s") is "v", and there is no other. */
static void
unchanged(sb_keyed *k, uint32_t map, uint32_t list)
{
  sb_key key = key_of(map, "k", 1);
  sb_slice got = { NULL, 0 };

  key.ns = text("n");
  key.subkey = text("s");
  check_ok(k->ops->get(k, &key, &got, &err));
  CU_ASSERT(same(got, "v", 1));
  CU_ASSERT_EQUAL(count_rows(k, map, 0, NULL), 1);
  CU_ASSERT_EQUAL(count_rows(k, list, 0, NULL), 1);
}

static sb_status
put_nothing(void *arg, sb_update *u)
{
  u->replacement = bad;
  u->action = *(uint32_t *)arg;
  if (u->action == SB_UPDATE_IN_PLACE)
    u->data = NULL;
  return SB_OK;
}

static sb_status
never(void *arg, sb_update *u)
{
  (void)arg;
  (void)u;
  CU_FAIL("called");
  return SB_OK;
}

static void
wrong_key(sb_keyed *k, sb_key key, const char *what)
{
  const sb_slice one = text("x");
  uint8_t room[8];
  sb_slice got;
  sb_view *view;
  size_t size;

  k->ops->prefetch(k, &key);
  refused(k->ops->get(k, &key, &got, &err), what);
  refused(k->ops->put(k, &key, one, 0, &err), what);
  refused(k->ops->remove(k, &key, &err), what);
  refused(k->ops->append(k, &key, one, 0, &err), what);
  refused(k->ops->append_all(k, &key, &one, 1, 0, &err), what);
  refused(k->ops->replace_all(k, &key, &one, 1, 0, &err), what);
  refused(k->ops->put_all(k, &key, &one, &one, 1, 0, &err), what);
  refused(k->ops->update(k, &key, never, NULL, &err), what);
  refused(k->ops->clear(k, &key, &err), what);
  refused(k->ops->remove_through(k, &key, &err), what);
  check_ok(k->ops->view_open(k, &view, &err));
  refused(k->ops->view_get(view, &key, room, sizeof room, &size, &err), what);
  k->ops->view_close(view);
}

static void
wrong_op(sb_keyed *k, uint32_t kind, sb_key key, sb_slice value,
         const char *what)
{
  sb_op first, op, *ops[] = { &first, &op }, *done[2];
  size_t count;

  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  op.kind = SB_OP_PUT;
  op.key = key_of(key.state, "other", 5);
  op.value = text("x");
  first = op;
  op.kind = kind;
  op.key = key;
  op.value = value;
  op.update = never;
  /* The first, which is right, is not taken either. */
  refused(k->ops->submit(k, ops, 2, &err), what);
  check_ok(k->ops->poll(k, done, 2, &count, 0, &err));
  CU_ASSERT_EQUAL(count, 0);
}

static void
test_keys(void)
{
  static const uint32_t kinds[] = { SB_OP_GET, SB_OP_PUT, SB_OP_REMOVE,
                                    SB_OP_UPDATE, SB_OP_CLEAR,
                                    SB_OP_PREFETCH };
  static const char *const names[] = { "the key of 5 bytes",
                                       "the namespace of 5 bytes",
                                       "the subkey of 5 bytes" };
  sb_keyed *k;
  sb_key right, wrong[3];
  uint32_t map, list;
  size_t i, j;

  open_backend("16mb", 4);
  k = open_all();
  map = add_state(k, "map", SB_STATE_MAP);
  list = add_state(k, "list", SB_STATE_LIST);
  right = key_of(list, "k", 1);
  check_ok(k->ops->append(k, &right, text("e"), 0, &err));
  right = key_of(map, "k", 1);
  right.ns = text("n");
  right.subkey = text("s");
  check_ok(k->ops->put(k, &right, text("v"), 0, &err));
  wrong[0] = wrong[1] = wrong[2] = right;
  wrong[0].key = wrong[1].ns = wrong[2].subkey = bad;
  for (i = 0; i < 3; i++) {
    wrong_key(k, wrong[i], names[i]);
    for (j = 0; j < sizeof kinds / sizeof *kinds; j++)
      wrong_op(k, kinds[j], wrong[i], text("x"), names[i]);
    wrong[i].state = list;
    if (i < 2)
      wrong_key(k, wrong[i], names[i]);
  }
  unchanged(k, map, list);
  k->ops->close(k);
  close_backend();
}

/* A key is also looked at to find what is pending on it. */
static void
test_pending(void)
{
  sb_op op, *ops = &op, *done;
  sb_keyed *k;
  sb_key key;
  sb_slice got;
  size_t count;
  uint32_t values;

  open_backend("16mb", 4);
  k = open_all();
  values = add_state(k, "values", SB_STATE_VALUE);
  key = make_key(values, 7);
  check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  checkpoint(1, &k, 1);
  k = reopen(k, 0);
  values = add_state(k, "values", SB_STATE_VALUE);
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  op.kind = SB_OP_GET;
  op.key = make_key(values, 7);
  check_ok(k->ops->submit(k, &ops, 1, &err));
  key.key = bad;
  refused(k->ops->get(k, &key, &got, &err), "the key of 5 bytes");
  key = make_key(values, 7);
  key.ns = bad;
  refused(k->ops->put(k, &key, text("x"), 0, &err), "the namespace of 5");
  check_ok(k->ops->poll(k, &done, 1, &count, SB_NO_DEADLINE, &err));
  CU_ASSERT(count == 1 && op.status == SB_OK && same(op.result, "v", 1));
  k->ops->close(k);
  close_backend();
}

static void
test_values(void)
{
  const sb_slice some[] = { text("a"), sb_slice_of(NULL, 0), bad };
  uint32_t map, list, action = SB_UPDATE_PUT;
  sb_slice got = { NULL, 0 };
  sb_keyed *k;
  sb_key key, one;
  sb_cursor *c;
  sb_row row;

  open_backend("16mb", 4);
  k = open_all();
  map = add_state(k, "map", SB_STATE_MAP);
  list = add_state(k, "list", SB_STATE_LIST);
  one = key_of(list, "k", 1);
  check_ok(k->ops->append(k, &one, text("e"), 0, &err));
  key = key_of(map, "k", 1);
  key.ns = text("n");
  key.subkey = text("s");
  check_ok(k->ops->put(k, &key, text("v"), 0, &err));

  refused(k->ops->put(k, &key, bad, 0, &err), "the value of 5 bytes");
  refused(k->ops->put_all(k, &key, some, some + 1, 2, 0, &err),
          "value 1, which has 5 bytes");
  refused(k->ops->put_all(k, &key, some, some, 3, 0, &err),
          "subkey 2, which has 5 bytes");
  refused(k->ops->update(k, &key, put_nothing, &action, &err),
          "the value of 5 bytes");
  wrong_op(k, SB_OP_PUT, key, bad, "the value of 5 bytes");
  refused(k->ops->append(k, &one, bad, 0, &err), "the value of 5 bytes");
  refused(k->ops->append_all(k, &one, some, 3, 0, &err),
          "element 2, which has 5 bytes");
  refused(k->ops->replace_all(k, &one, some, 3, 0, &err),
          "element 2, which has 5 bytes");
  c = open_scan(k, map, 0, NULL);
  check_ok(k->ops->scan_next(k, c, &row, &err));
  refused(k->ops->scan_update(k, c, bad, 0, &err), "the value of 5 bytes");
  k->ops->scan_close(k, c);
  c = open_scan(k, list, 0, NULL);
  check_ok(k->ops->scan_next(k, c, &row, &err));
  refused(k->ops->scan_update(k, c, bad, 0, &err), "the value of 5 bytes");
  k->ops->scan_close(k, c);
  unchanged(k, map, list);

  /* A record of an earlier epoch is changed as a copy, which is put back. */
  checkpoint(1, &k, 1);
  action = SB_UPDATE_IN_PLACE;
  refused(k->ops->update(k, &key, put_nothing, &action, &err),
          "the value of 1 bytes");
  unchanged(k, map, list);

  /* No bytes at NULL are right. */
  check_ok(k->ops->put(k, &key, some[1], 0, &err));
  check_ok(k->ops->get(k, &key, &got, &err));
  CU_ASSERT_EQUAL(got.len, 0);
  check_ok(k->ops->append_all(k, &one, some, 2, 0, &err));
  CU_ASSERT_EQUAL(count_rows(k, list, 0, NULL), 3);
  k->ops->close(k);
  close_backend();
}

static void
wrong_scan(sb_keyed *k, const sb_scan_options *o, const char *what)
{
  sb_op op, *ops = &op, *done;
  sb_view_cursor *vc;
  sb_cursor *c;
  sb_view *view;
  size_t count;

  refused(k->ops->scan_open(k, o, &c, &err), what);
  CU_ASSERT_PTR_NULL(c);
  if (o->start.len == 0 && o->end.len == 0)
    refused(k->ops->remove_range(k, o, &err), what);
  check_ok(k->ops->view_open(k, &view, &err));
  refused(k->ops->view_scan_open(view, o, &vc, &err), what);
  CU_ASSERT_PTR_NULL(vc);
  k->ops->view_close(view);
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  op.kind = SB_OP_SCAN_OPEN;
  op.scan = o;
  check_ok(k->ops->submit(k, &ops, 1, &err));
  check_ok(k->ops->poll(k, &done, 1, &count, SB_NO_DEADLINE, &err));
  CU_ASSERT(count == 1 && op.status == SB_INVALID);
}

static void
test_scans(void)
{
  sb_scan_options all = { .struct_size = sizeof all }, o;
  sb_keyed *k;
  sb_key key;
  uint32_t map;

  open_backend("16mb", 4);
  k = open_all();
  map = add_state(k, "map", SB_STATE_MAP);
  key = key_of(map, "k", 1);
  check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  all.state = map;
  all.key_group_last = groups - 1;
  all.has_ns = all.has_key = 1;
  o = all;
  o.ns = bad;
  wrong_scan(k, &o, "the namespace of a scan of 5 bytes");
  o = all;
  o.key = bad;
  wrong_scan(k, &o, "the key of a scan of 5 bytes");
  o = all;
  o.start = bad;
  wrong_scan(k, &o, "the start of a scan of 5 bytes");
  o = all;
  o.end = bad;
  wrong_scan(k, &o, "the end of a scan of 5 bytes");
  CU_ASSERT_EQUAL(count_rows(k, map, 0, NULL), 1);
  k->ops->close(k);
  close_backend();
}

static void
test_states(void)
{
  sb_state_options o = { .struct_size = sizeof o, .kind = SB_STATE_VALUE };
  sb_state_info info = { .struct_size = sizeof info };
  sb_keyed *k;

  open_backend("16mb", 4);
  k = open_all();
  o.name = bad;
  refused(k->ops->register_state(k, &o, &info, &err),
          "the name of a state of 5 bytes");
  refused(k->ops->state_find(k, bad, &info, &err),
          "the name of a state of 5 bytes");
  o.name = text("state");
  o.blob = bad;
  refused(k->ops->register_state(k, &o, &info, &err),
          "the blob of a state of 5 bytes");
  CU_ASSERT_EQUAL(k->ops->state_at(k, 0, &info, &err), SB_END);
  k->ops->close(k);
  close_backend();
}

static void
test_checkpoints(void)
{
  sb_commit_options co = { .struct_size = sizeof co, .id = 1, .blob = bad };
  sb_savepoint_options so = { .struct_size = sizeof so, .id = 1, .job = "",
                              .name = "s", .blob = bad };
  sb_canonical_options ca = { .struct_size = sizeof ca };
  sb_canonical_state state = { .struct_size = sizeof state, .name = bad };
  sb_part part = { .struct_size = sizeof part, .operator_id = "",
                   .manifest = bad, .length = 5 };
  sb_checkpoint *c;
  sb_canonical *out;
  sb_keyed *k;

  open_backend("16mb", 4);
  refused(backend->ops->commit(job, &co, &err),
          "the blob of a checkpoint of 5 bytes");
  refused(backend->ops->savepoint_write(backend, &so, &err),
          "the blob of a savepoint of 5 bytes");
  co.blob = so.blob = sb_slice_of(NULL, 0);
  co.parts = so.parts = &part;
  co.part_count = so.part_count = 1;
  CU_ASSERT_EQUAL(sb_canonical_is_part(&part), 0);
  refused(backend->ops->commit(job, &co, &err),
          "the manifest of a part of 5 bytes");
  refused(backend->ops->savepoint_write(backend, &so, &err),
          "the manifest of a part of 5 bytes");
  CU_ASSERT_EQUAL(backend->ops->checkpoint_open(backend, "", 0, 0, &c, &err),
                  SB_NOT_FOUND);
  k = open_all();
  ca.header = bad;
  refused(sb_canonical_open(k, sb_host_default(), &ca, &out, &err),
          "the header of a canonical savepoint of 5 bytes");
  ca.header = sb_slice_of(NULL, 0);
  ca.states = &state;
  ca.state_count = 1;
  refused(sb_canonical_open(k, sb_host_default(), &ca, &out, &err),
          "the name of a state of 5 bytes");
  k->ops->close(k);
  close_backend();
}

static const tap_case cases[] = {
  { "keys", test_keys },
  { "keys beside pending ones", test_pending },
  { "values", test_values },
  { "scans", test_scans },
  { "states", test_states },
  { "checkpoints", test_checkpoints },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "slices", cases, TAP_COUNT(cases));
}
