/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of older schemas: every way to read a record gives it in the current
 * form, compaction makes that last, and what cannot be made current is neither
 * lost nor taken for current.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ttl_fixture.h"

#define COUNT 200u
#define PAYLOAD 60u

/* A value is "v" and its version, then a payload. */
typedef struct upgrade {
  uint32_t to;
  atomic_uint calls, wrong;
  atomic_int fail;      /* status to return, or 0 */
  atomic_uint fail_of;  /* only for this version, 0 all */
} upgrade;

static upgrade up;

static sb_status
upgrade_value(void *arg, uint32_t from, sb_slice value, sb_give_fn *give,
              void *give_arg)
{
  upgrade *u = arg;
  char head[2] = { 'v', (char)('0' + u->to) };
  const char *bytes = value.data;
  sb_status status;

  atomic_fetch_add(&u->calls, 1);
  if (atomic_load(&u->fail) != 0 && (atomic_load(&u->fail_of) == 0 ||
                                     atomic_load(&u->fail_of) == from))
    return atomic_load(&u->fail);
  if (value.len < 2 || bytes[0] != 'v' || bytes[1] != (char)('0' + from))
    atomic_fetch_add(&u->wrong, 1);
  status = give(give_arg, head, 2);
  if (status == SB_OK && value.len > 2)
    status = give(give_arg, bytes + 2, value.len - 2);
  if (status == SB_OK)
    status = give(give_arg, "+", 1); /* it also grows */
  return status;
}

static sb_state_options
versioned(uint32_t kind, uint32_t schema_version, int callback)
{
  sb_state_options o = ttl_options("s", kind);

  o.schema_version = schema_version;
  up.to = schema_version;
  atomic_store(&up.calls, 0);
  atomic_store(&up.wrong, 0);
  atomic_store(&up.fail, 0);
  atomic_store(&up.fail_of, 0);
  if (callback) {
    o.migrate = upgrade_value;
    o.migrate_arg = &up;
  }
  return o;
}

static sb_slice
value_of(unsigned schema_version, unsigned i, unsigned steps)
{
  static char value[128];
  int len = snprintf(value, sizeof value, "v%u payload %u ", schema_version, i);

  for (; (size_t)len < PAYLOAD; len++)
    value[len] = (char)('a' + (i + (unsigned)len) % 26);
  while (steps-- > 0)
    value[len++] = '+';
  return sb_slice_of(value, (size_t)len);
}

static void
write_keys(sb_keyed *k, uint32_t id, unsigned schema_version, unsigned first,
           unsigned last)
{
  unsigned i;

  for (i = first; i < last; i++) {
    sb_key key = make_key(id, i);

    check_ok(k->ops->put(k, &key, value_of(schema_version, i, 0), 0, &err));
  }
}

static int
is_value(sb_slice value, unsigned schema_version, unsigned i, unsigned steps)
{
  sb_slice expected = value_of(schema_version, i, steps);

  return same(value, expected.data, expected.len);
}

static void
expect(sb_keyed *k, uint32_t id, unsigned i, unsigned schema_version,
       unsigned steps)
{
  sb_key key = make_key(id, i);
  sb_slice value;

  if (!check_ok(k->ops->get(k, &key, &value, &err)))
    return;
  CU_ASSERT(is_value(value, schema_version, i, steps));
}

/* A handle on records 0..COUNT of version 1. */
static sb_keyed *
old_records(const char *runs, sb_state_options *o)
{
  sb_state_options old = versioned(o->kind, 1, 0);
  uint32_t id;
  sb_keyed *k;

  ttl_open(runs, 4);
  k = open_all();
  id = ttl_register(k, &old);
  write_keys(k, id, 1, 0, COUNT);
  ttl_commit(k);
  up.to = o->schema_version;
  return reopen(k, 0);
}

/* ---- reading ------------------------------------------------------------- */

static sb_status
see_value(void *arg, sb_update *u)
{
  unsigned *i = arg;

  CU_ASSERT(u->exists && is_value(sb_slice_of(u->data, u->len), 2, *i, 1));
  return SB_OK;
}

static void
test_get(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("8", &o);
  uint32_t id = ttl_register(k, &o);
  unsigned i, calls;
  sb_key key;

  expect(k, id, 1, 2, 1);
  calls = up.calls;
  expect(k, id, 1, 2, 1); /* memory has it now */
  CU_ASSERT(calls == 1 && up.calls == calls);
  i = 2;
  key = make_key(id, i);
  check_ok(k->ops->update(k, &key, see_value, &i, &err));
  write_keys(k, id, 2, 3, 4);
  expect(k, id, 3, 2, 0);
  k = ttl_reopen(k, &o); /* and of both versions at once */
  expect(k, id, 3, 2, 0);
  expect(k, id, 1, 2, 1);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static void
scan_rows(sb_keyed *k, uint32_t id, unsigned schema_version, unsigned steps)
{
  sb_cursor *c = open_scan(k, id, 0, NULL);
  sb_status status;
  unsigned n = 0, i;
  sb_row row;

  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK) {
    char name[32] = "";

    memcpy(name, row.key.data, row.key.len);
    i = (unsigned)strtoul(name + 4, NULL, 10);
    CU_ASSERT(is_value(row.value, schema_version, i, steps));
    n++;
  }
  CU_ASSERT_EQUAL(status, SB_END);
  CU_ASSERT_EQUAL(n, COUNT);
  k->ops->scan_close(k, c);
}

static void
test_scan(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("8", &o);
  uint32_t id = ttl_register(k, &o);
  unsigned calls;

  scan_rows(k, id, 2, 1);
  calls = up.calls;
  CU_ASSERT_EQUAL(calls, COUNT);
  CU_ASSERT_EQUAL(count_rows(k, id, SB_SCAN_KEYS, NULL), COUNT);
  CU_ASSERT_EQUAL(up.calls, calls); /* keys need no values */
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static void
test_batch(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("8", &o);
  uint32_t id = ttl_register(k, &o);
  static char names[COUNT][16];
  static sb_op list[COUNT];
  sb_op *ops[COUNT], *done[COUNT];
  size_t count, seen = 0, i;

  memset(list, 0, sizeof list);
  for (i = 0; i < COUNT; i++) {
    size_t len = (size_t)snprintf(names[i], sizeof names[i], "key-%u",
                                  (unsigned)i);

    list[i].struct_size = sizeof list[i];
    list[i].kind = SB_OP_GET;
    list[i].key = key_of(id, names[i], len);
    list[i].tag = &list[i];
    ops[i] = &list[i];
  }
  check_ok(k->ops->submit(k, ops, COUNT, &err));
  while (seen < COUNT) {
    if (!check_ok(k->ops->poll(k, done, COUNT, &count, SB_NO_DEADLINE, &err)) ||
        count == 0)
      break;
    for (i = 0; i < count; i++) {
      CU_ASSERT_EQUAL(done[i]->status, SB_OK);
      CU_ASSERT(is_value(done[i]->result, 2, (unsigned)(done[i] - list), 1));
    }
    seen += count;
  }
  CU_ASSERT_EQUAL(seen, COUNT);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static void
test_view(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("8", &o);
  uint32_t id = ttl_register(k, &o);
  char buffer[256];
  sb_view *view;
  size_t size;
  sb_key key;

  write_keys(k, id, 2, 5, 6);
  check_ok(k->ops->view_open(k, &view, &err));
  key = make_key(id, 5);
  check_ok(k->ops->view_get(view, &key, buffer, sizeof buffer, &size, &err));
  CU_ASSERT(is_value(sb_slice_of(buffer, size), 2, 5, 0));
  key = make_key(id, 6);
  check_ok(k->ops->view_get(view, &key, buffer, sizeof buffer, &size, &err));
  CU_ASSERT(is_value(sb_slice_of(buffer, size), 2, 6, 1));
  if (SB_KEYED_HAS(k, view_scan_open)) {
    sb_scan_options so = { .struct_size = sizeof so, .state = id,
                           .key_group_last = groups - 1 };
    sb_view_cursor *c = NULL;
    unsigned n = 0;
    sb_row row;

    check_ok(k->ops->view_scan_open(view, &so, &c, &err));
    while (k->ops->view_scan_next(c, &row, &err) == SB_OK) {
      CU_ASSERT(memcmp(row.value.data, "v2", 2) == 0);
      n++;
    }
    CU_ASSERT_EQUAL(n, COUNT);
    k->ops->view_scan_close(c);
  }
  k->ops->view_close(view);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

/* Lists: one call an element. */
static void
test_lists(void)
{
  sb_state_options o = versioned(SB_STATE_LIST, 1, 0);
  sb_slice value;
  sb_key key;
  sb_view *view;
  char buffer[1024];
  size_t size;
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  key = make_key(id, 0);
  for (i = 0; i < 5; i++)
    check_ok(k->ops->append(k, &key, value_of(1, i, 0), 0, &err));
  ttl_commit(k);
  k = reopen(k, 0);
  o = versioned(SB_STATE_LIST, 2, 1);
  (void)ttl_register(k, &o);
  check_ok(k->ops->append(k, &key, value_of(2, 5, 0), 0, &err));
  check_ok(k->ops->get(k, &key, &value, &err));
  CU_ASSERT_EQUAL(value.len, 6 * (PAYLOAD + 4) + 5);
  CU_ASSERT_EQUAL(count_rows(k, id, 0, &key), 6);
  check_ok(k->ops->view_open(k, &view, &err));
  check_ok(k->ops->view_get(view, &key, buffer, sizeof buffer, &size, &err));
  CU_ASSERT_EQUAL(size, 6 * (PAYLOAD + 4) + 5);
  for (i = 0; i < 6; i++) {
    const char *at = buffer + i * (PAYLOAD + 4) + i;

    CU_ASSERT(at[0] == (char)(PAYLOAD + (i < 5)));
    CU_ASSERT(is_value(sb_slice_of(at + 4, PAYLOAD + (i < 5)), 2, i, i < 5));
  }
  k->ops->view_close(view);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static void
test_maps(void)
{
  sb_state_options o = versioned(SB_STATE_MAP, 1, 0);
  sb_slice value;
  uint32_t id;
  sb_keyed *k;
  sb_key key;

  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  key = make_key(id, 0);
  key.subkey = text("a");
  check_ok(k->ops->put(k, &key, value_of(1, 1, 0), 0, &err));
  ttl_commit(k);
  k = reopen(k, 0);
  o = versioned(SB_STATE_MAP, 2, 1);
  (void)ttl_register(k, &o);
  check_ok(k->ops->get(k, &key, &value, &err));
  CU_ASSERT(is_value(value, 2, 1, 1));
  key.subkey = text("b");
  CU_ASSERT_EQUAL(k->ops->get(k, &key, &value, &err), SB_NOT_FOUND);
  k->ops->close(k);
  ttl_close();
}

/* What was read before the state was registered is no obstacle. */
static void
test_read_before(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  uint32_t id;

  expect(k, 0, 1, 1, 0);
  CU_ASSERT_EQUAL(count_rows(k, 0, 0, NULL), COUNT);
  id = ttl_register(k, &o);
  expect(k, id, 1, 2, 1);
  scan_rows(k, id, 2, 1);
  k->ops->close(k);
  ttl_close();
}

/* ---- lasting ------------------------------------------------------------- */

static uint64_t
compacted(sb_keyed *k)
{
  sb_keyed_stats stats = { .struct_size = sizeof stats };

  check_ok(k->ops->stats(k, &stats));
  return stats.compactions;
}

/* Small checkpoints, until something was compacted or it is clear that nothing
   will be. */
static int
provoke(sb_keyed *k, uint32_t id, unsigned schema_version, unsigned rounds)
{
  uint64_t before = compacted(k);
  unsigned i;

  for (i = 0; i < rounds; i++) {
    write_keys(k, id, schema_version, COUNT + i, COUNT + i + 1);
    ttl_commit(k);
    pause_ms(2);
    if (compacted(k) != before)
      break;
  }
  ttl_commit(k); /* publishes it */
  return compacted(k) != before;
}

/* After compaction nothing is migrated any more, and an even newer version
   begins from there. */
static void
test_compaction(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("2", &o);
  uint32_t id = ttl_register(k, &o);
  unsigned i, round;

  for (round = 0; round < 20 && atomic_load(&up.calls) < COUNT; round++) {
    write_keys(k, id, 2, COUNT, 2 * COUNT); /* large enough to join the old */
    (void)provoke(k, id, 2, 3);
  }
  /* The one that called may not be done yet: another one comes after it. */
  CU_ASSERT(provoke(k, id, 2, 200));
  CU_ASSERT_EQUAL(up.calls, COUNT);
  k = ttl_reopen(k, NULL);
  o = versioned(SB_STATE_VALUE, 3, 1);
  (void)ttl_register(k, &o);
  for (i = 0; i < COUNT; i++)
    expect(k, id, i, 3, 2);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

/* Without a callback old values come as they are, through everything, and a
   later handle that has one still knows their version. */
static void
test_no_callback(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 0);
  sb_keyed *k = old_records("2", &o);
  uint32_t id = ttl_register(k, &o);
  unsigned i;

  expect(k, id, 1, 1, 0);
  CU_ASSERT(provoke(k, id, 2, 20)); /* the newer ones among themselves */
  CU_ASSERT_EQUAL(up.calls, 0);
  expect(k, id, 2, 1, 0);
  k = ttl_reopen(k, NULL); /* nobody registers it */
  for (i = 0; i < 4; i++)
    ttl_commit(k);
  k = ttl_reopen(k, NULL);
  o = versioned(SB_STATE_VALUE, 2, 1);
  (void)ttl_register(k, &o);
  for (i = 0; i < COUNT; i++)
    expect(k, id, i, 2, 1);
  expect(k, id, COUNT, 2, 0);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

/* Segments of three versions. */
static void
test_versions(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  uint32_t id = ttl_register(k, &o);

  write_keys(k, id, 2, 0, 10);
  ttl_commit(k);
  k = reopen(k, 0);
  o = versioned(SB_STATE_VALUE, 5, 1);
  (void)ttl_register(k, &o);
  expect(k, id, 1, 5, 1);
  expect(k, id, 50, 5, 1);
  write_keys(k, id, 5, 20, 30);
  k = ttl_reopen(k, &o);
  expect(k, id, 1, 5, 1);
  expect(k, id, 25, 5, 0);
  expect(k, id, 50, 5, 1);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static void
test_at_once(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  uint32_t id;

  o.flags = SB_STATE_MIGRATE_NOW;
  id = ttl_register(k, &o);
  CU_ASSERT_EQUAL(up.calls, COUNT);
  scan_rows(k, id, 2, 1);
  CU_ASSERT_EQUAL(up.calls, COUNT);
  k = ttl_reopen(k, NULL);
  o = versioned(SB_STATE_VALUE, 2, 1);
  (void)ttl_register(k, &o);
  scan_rows(k, id, 2, 1);
  CU_ASSERT_EQUAL(up.calls, 0);
  k->ops->close(k);
  ttl_close();
}

/* It fails half-way, and is done with the next time. */
static void
test_at_once_fails(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_state_info info = { .struct_size = sizeof info };
  sb_keyed *k = old_records("64", &o);
  uint32_t id;

  o.flags = SB_STATE_MIGRATE_NOW;
  atomic_store(&up.fail, SB_IO);
  CU_ASSERT_EQUAL(k->ops->register_state(k, &o, &info, &err), SB_IO);
  CU_ASSERT(strstr(err.message, "\"s\"") != NULL);
  atomic_store(&up.fail, 0);
  id = ttl_register(k, &o);
  scan_rows(k, id, 2, 1);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

/* ---- failures ------------------------------------------------------------ */

static void
fail_reads(sb_keyed *k, uint32_t id, sb_status status, sb_status expected)
{
  sb_key key = make_key(id, 7);
  sb_slice value;
  sb_cursor *c;
  sb_row row;

  atomic_store(&up.fail, status);
  CU_ASSERT_EQUAL(k->ops->get(k, &key, &value, &err), expected);
  CU_ASSERT(strstr(err.message, "state \"s\"") != NULL &&
            strstr(err.message, "version 1") != NULL &&
            strstr(err.message, sb_status_name(status)) != NULL);
  c = open_scan(k, id, 0, NULL);
  CU_ASSERT_EQUAL(k->ops->scan_next(k, c, &row, &err), expected);
  atomic_store(&up.fail, 0);
  check_ok(k->ops->scan_next(k, c, &row, &err)); /* and goes on */
  k->ops->scan_close(k, c);
}

static void
test_failing_reads(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  uint32_t id = ttl_register(k, &o);

  fail_reads(k, id, SB_IO, SB_IO);
  fail_reads(k, id, SB_NOT_FOUND, SB_INVALID); /* it is there */
  fail_reads(k, id, SB_BUSY, SB_INVALID);
  fail_reads(k, id, SB_END, SB_INVALID);
  fail_reads(k, id, SB_CORRUPT, SB_INVALID);
  expect(k, id, 7, 2, 1);
  k->ops->close(k);
  ttl_close();
}

/* Compaction leaves what it cannot migrate alone, says so, does the rest, and
   nothing is lost. */
static void
test_failing_compaction(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("2", &o);
  uint32_t id = ttl_register(k, &o);
  unsigned i;

  atomic_store(&up.fail, SB_IO);
  CU_ASSERT(provoke(k, id, 2, 20));
  CU_ASSERT(atomic_load(&ttl_warnings) != 0);
  k = ttl_reopen(k, &o);
  atomic_store(&up.fail, 0);
  for (i = 0; i < COUNT; i++)
    expect(k, id, i, 2, 1);
  expect(k, id, COUNT, 2, 0);
  CU_ASSERT_EQUAL(up.wrong, 0);
  k->ops->close(k);
  ttl_close();
}

static sb_status
give_too_much(void *arg, uint32_t from, sb_slice value, sb_give_fn *give,
              void *give_arg)
{
  static const char bytes[1u << 20];
  sb_status status = SB_OK;
  unsigned i;

  (void)arg;
  (void)from;
  (void)value;
  for (i = 0; i < 2000 && status == SB_OK; i++)
    status = give(give_arg, bytes, sizeof bytes);
  return status;
}

/* Every allocation of reading a migrated value fails once. */
static void
test_no_memory(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  uint32_t id = ttl_register(k, &o);
  sb_slice value;
  sb_key key;
  long n;

  for (n = 1; n < 200; n++) {
    sb_status status;

    key = make_key(id, (unsigned)n);
    atomic_store(&ttl_countdown, n);
    status = k->ops->get(k, &key, &value, &err);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    if (atomic_exchange(&ttl_countdown, 0) > 0)
      break;
    expect(k, id, (unsigned)n, 2, 1);
  }
  CU_ASSERT(n < 200);
  k->ops->close(k);
  ttl_close();
}

static void
test_too_much(void)
{
  sb_state_options o = versioned(SB_STATE_VALUE, 2, 1);
  sb_keyed *k = old_records("64", &o);
  sb_slice value;
  uint32_t id;
  sb_key key;

  if (getenv("SB_SLOW") == NULL) {
    tap_skip("needs 1 GiB; set SB_SLOW");
  } else {
    o.migrate = give_too_much;
    id = ttl_register(k, &o);
    key = make_key(id, 1);
    CU_ASSERT_EQUAL(k->ops->get(k, &key, &value, &err), SB_TOO_LARGE);
  }
  k->ops->close(k);
  ttl_close();
}

static const tap_case cases[] = {
  { "get and update", test_get },
  { "scans", test_scan },
  { "batches", test_batch },
  { "views", test_view },
  { "lists", test_lists },
  { "maps", test_maps },
  { "read before it is registered", test_read_before },
  { "compaction makes it last", test_compaction },
  { "without a callback", test_no_callback },
  { "several versions", test_versions },
  { "at once", test_at_once },
  { "at once, failing", test_at_once_fails },
  { "failing reads", test_failing_reads },
  { "failing compaction", test_failing_compaction },
  { "no memory", test_no_memory },
  { "a value that grows too much", test_too_much },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "migrate", cases, TAP_COUNT(cases));
}
