/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said about time when a state is registered, when its records stop
 * being seen, and that what has expired never brings back what is older.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ttl_fixture.h"

/* ---- options ------------------------------------------------------------- */

static void
refuse(sb_keyed *k, const sb_state_options *o, sb_status status)
{
  sb_state_info info;

  memset(&info, 0, sizeof info);
  CU_ASSERT_EQUAL(k->ops->register_state(k, o, &info, &err), status);
}

static void
test_options(void)
{
  sb_state_options o;
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  o = ttl_options("s", SB_STATE_VALUE);
  o.time_kind = 11;
  refuse(k, &o, SB_INVALID);
  o = ttl_options("s", SB_STATE_VALUE);
  o.flags = 16;
  refuse(k, &o, SB_INVALID);
  o.flags = 0x80000000u;
  refuse(k, &o, SB_INVALID);
  o = stamped("s", SB_STATE_VALUE);
  o.ttl_ms = (uint64_t)INT64_MAX + 1;
  refuse(k, &o, SB_INVALID);
  o = stamped("s", SB_STATE_VALUE);
  o.flags = SB_STATE_MIGRATE_NOW;
  refuse(k, &o, SB_INVALID);
  o = stamped("s", SB_STATE_VALUE);
  o.schema_version = 3;
  (void)ttl_register(k, &o);
  (void)ttl_register(k, &o);
  o.schema_version = 4;
  refuse(k, &o, SB_MISMATCH);
  o.schema_version = 3;
  o.kind = SB_STATE_LIST;
  refuse(k, &o, SB_MISMATCH);
  k->ops->close(k);
  ttl_close();
}

/* A caller that was compiled with the shorter structs. */
static void
test_old_caller(void)
{
  struct {
    sb_state_info info;
    uint8_t after[8];
  } mine;
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  size_t i, short_info = offsetof(sb_state_info, restored_version);
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  memset(&mine, 0xa5, sizeof mine);
  o.struct_size = offsetof(sb_state_options, time_kind);
  check_ok(k->ops->register_state(k, &o, &mine.info, &err));
  CU_ASSERT_EQUAL(mine.info.kind, SB_STATE_VALUE);
  for (i = short_info; i < sizeof mine; i++)
    CU_ASSERT_EQUAL(((uint8_t *)&mine)[i], 0xa5);
  memset(&mine, 0xa5, sizeof mine);
  mine.info.struct_size = sizeof mine.info;
  check_ok(k->ops->state_find(k, text("s"), &mine.info, &err));
  CU_ASSERT_EQUAL(mine.info.time_kind, SB_TIME_EXPIRY); /* not read */
  CU_ASSERT_EQUAL(mine.after[0], 0xa5);
  k->ops->close(k);
  ttl_close();
}

static void
test_asking(void)
{
  sb_state_options o = stamped("s", SB_STATE_MAP);
  sb_state_info info;
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  o.schema_version = 2;
  o.blob = text("blob");
  (void)ttl_register(k, &o);
  k = ttl_reopen(k, NULL);
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  check_ok(k->ops->state_find(k, text("s"), &info, &err));
  CU_ASSERT(info.restored == 1 && info.registered == 0);
  CU_ASSERT(info.schema_version == 2 && info.restored_version == 2);
  CU_ASSERT(info.time_kind == SB_TIME_STAMP && info.ttl_ms == TTL);
  CU_ASSERT(same(info.blob, "blob", 4) && info.kind == SB_STATE_MAP);
  CU_ASSERT_EQUAL(k->ops->state_find(k, text("t"), &info, &err),
                  SB_NOT_FOUND);
  check_ok(k->ops->state_at(k, 0, &info, &err));
  CU_ASSERT(same(info.name, "s", 1));
  CU_ASSERT_EQUAL(k->ops->state_at(k, 1, &info, &err), SB_END);
  o.schema_version = 1;
  refuse(k, &o, SB_MISMATCH);
  o.schema_version = 5;
  o.blob = text("newer");
  check_ok(k->ops->register_state(k, &o, &info, &err));
  CU_ASSERT(info.restored_version == 2 && info.schema_version == 5);
  CU_ASSERT(same(info.blob, "blob", 4) && info.registered == 1);
  k->ops->close(k);
  ttl_close();
}

/* ---- what is seen -------------------------------------------------------- */

static void
test_seen(void)
{
  sb_state_options o = stamped("stamped", SB_STATE_VALUE);
  uint32_t ended, by_stamp;
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  by_stamp = ttl_register(k, &o);
  ended = add_state(k, "ended", SB_STATE_VALUE);
  ttl_put(k, by_stamp, 1, LEN, UINT64_MAX, now());
  ttl_put(k, by_stamp, 2, LEN, UINT64_MAX, 0);
  ttl_put(k, ended, 1, LEN, UINT64_MAX, now() + TTL);
  forward(TTL - 1);
  CU_ASSERT(ttl_has(k, by_stamp, 1) && ttl_has(k, ended, 1));
  forward(1);
  CU_ASSERT(count_rows(k, by_stamp, 0, NULL) == 1);
  /* A longer life counts at once, for what has not been reclaimed. */
  o.ttl_ms = TTL * 2;
  (void)ttl_register(k, &o);
  CU_ASSERT(ttl_has(k, by_stamp, 1) && !ttl_has(k, ended, 1));
  o.ttl_ms = 1;
  (void)ttl_register(k, &o);
  CU_ASSERT(count_rows(k, by_stamp, 0, NULL) == 1);
  o.ttl_ms = 0;
  (void)ttl_register(k, &o);
  CU_ASSERT(ttl_has(k, by_stamp, 1) && ttl_has(k, by_stamp, 2));
  /* The same from segments. */
  o.ttl_ms = TTL * 2;
  k = ttl_reopen(k, &o);
  CU_ASSERT(ttl_has(k, by_stamp, 1));
  forward(TTL);
  CU_ASSERT(!ttl_has(k, by_stamp, 1) && ttl_has(k, by_stamp, 2));
  k->ops->close(k);
  ttl_close();
}

static void
test_event_time(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  uint32_t id;
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  o.flags = SB_STATE_EVENT_TIME;
  id = ttl_register(k, &o);
  ttl_put(k, id, 1, LEN, UINT64_MAX, 1000);
  ttl_put(k, id, 2, LEN, UINT64_MAX, 2000);
  forward(TTL * 10);
  CU_ASSERT(ttl_has(k, id, 1));
  check_ok(k->ops->advance_time(k, TTL + 1000, &err));
  check_ok(k->ops->advance_time(k, 5, &err)); /* it only grows */
  CU_ASSERT(!ttl_has(k, id, 1) && ttl_has(k, id, 2));
  /* A new handle knows no time until it is told. */
  k = ttl_reopen(k, &o);
  CU_ASSERT(ttl_has(k, id, 2));
  check_ok(k->ops->advance_time(k, TTL + 2000, &err));
  CU_ASSERT(!ttl_has(k, id, 2));
  k->ops->close(k);
  ttl_close();
}

static void
test_show(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  uint32_t id;
  sb_keyed *k;

  ttl_open("3", 4);
  k = open_all();
  o.flags = SB_STATE_SHOW_EXPIRED;
  id = ttl_register(k, &o);
  ttl_put(k, id, 1, LEN, UINT64_MAX, now());
  forward(TTL);
  CU_ASSERT(ttl_has(k, id, 1) && ttl_has(k, id, 1));
  CU_ASSERT(count_rows(k, id, 0, NULL) == 1);
  k = ttl_reopen(k, &o); /* the snapshot left it out */
  CU_ASSERT(!ttl_has(k, id, 1));
  k->ops->close(k);
  ttl_close();
}

/* A read that finds a record expired reclaims it. */
static void
test_reclaim_on_read(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  sb_key key;
  uint32_t id;
  sb_keyed *k;
  unsigned i, calls = 0;

  ttl_open("3", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < 3; i++)
    ttl_put(k, id, i, 8, UINT64_MAX, now());
  forward(TTL);
  CU_ASSERT(!ttl_has(k, id, 0));
  key = make_key(id, 1);
  check_ok(k->ops->update(k, &key, add_one, &calls, &err));
  o.flags = SB_STATE_SHOW_EXPIRED;
  (void)ttl_register(k, &o);
  CU_ASSERT(!ttl_has(k, id, 0) && ttl_has(k, id, 2));
  key = make_key(id, 1);
  {
    sb_slice got = { NULL, 0 };
    uint64_t one = 1;

    check_ok(k->ops->get(k, &key, &got, &err));
    CU_ASSERT(same(got, &one, sizeof one)); /* begun anew */
  }
  k->ops->close(k);
  ttl_close();
}

/* ---- flush --------------------------------------------------------------- */

static void
test_flush_leaves_out(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("64", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now());
  forward(TTL);
  ttl_commit(k);
  CU_ASSERT_EQUAL(ttl_bytes(k), 0); /* nothing was there to hide */
  k = ttl_reopen(k, &o);
  CU_ASSERT(count_rows(k, id, 0, NULL) == 0);
  k->ops->close(k);
  ttl_close();
}

/* An expired record hides the older one, which has not expired, however it
   goes: by flush, by compaction, by its segment being dropped. */
static void
hide(const char *runs, uint64_t end_in, int read_between)
{
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open(runs, 4);
  k = open_all();
  id = add_state(k, "s", SB_STATE_VALUE);
  for (i = 0; i < 200; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, 0);
  ttl_commit(k);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now() + end_in);
  if (end_in > 1)
    ttl_commit(k);
  forward(end_in);
  for (i = 0; i < 6; i++) {
    if (read_between) {
      CU_ASSERT(count_rows(k, id, 0, NULL) == 100);
    }
    ttl_put(k, id, 1000 + i, LEN, UINT64_MAX, now());
    ttl_commit(k);
    pause_ms(5);
  }
  k = reopen(k, 0);
  id = add_state(k, "s", SB_STATE_VALUE);
  CU_ASSERT(count_rows(k, id, 0, NULL) == 100);
  for (i = 0; i < 200; i++)
    CU_ASSERT(ttl_has(k, id, i) == (i >= 100));
  k->ops->close(k);
  ttl_close();
}

static void
test_hidden(void)
{
  hide("64", 1, 0);
  hide("64", TTL, 0);
  hide("2", 1, 1);
  hide("2", TTL, 0);
  hide("3", TTL, 1);
}

/* A cut under way keeps what it had when it was begun. */
static void
test_cut_keeps(void)
{
  sb_snapshot *first;
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("2", 4);
  k = open_all();
  id = add_state(k, "s", SB_STATE_VALUE);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now() + TTL);
  ttl_commit(k);
  for (i = 0; i < 50; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now() + 1);
  first = begin_snapshot(k, ttl_checkpoint++);
  forward(1);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now() + 5 * TTL);
  commit_snapshots(&k, &first, 1, ttl_checkpoint - 1);
  k = reopen(k, 0);
  id = add_state(k, "s", SB_STATE_VALUE);
  for (i = 0; i < 100; i++)
    CU_ASSERT(ttl_has(k, id, i) == (i >= 50));
  k->ops->close(k);
  ttl_close();
}

static const tap_case cases[] = {
  { "options are checked", test_options },
  { "a caller with shorter structs", test_old_caller },
  { "states can be asked for", test_asking },
  { "what has expired is not seen", test_seen },
  { "event time", test_event_time },
  { "shown until it is reclaimed", test_show },
  { "reclaimed by reads", test_reclaim_on_read },
  { "left out by snapshots", test_flush_leaves_out },
  { "what is older stays hidden", test_hidden },
  { "a cut keeps what it had", test_cut_keeps },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "expiry", cases, TAP_COUNT(cases));
}
