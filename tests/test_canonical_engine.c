/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical savepoints of real keyed handles: a point in time while the job
 * goes on, rescaled restores, times, and a whole savepoint through the
 * coordinator.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"

#define ROWS 300u

static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_LIST, SB_STATE_MAP,
                                  SB_STATE_REDUCING, SB_STATE_AGGREGATING,
                                  SB_STATE_TIMER };
static const char *const names[] = { "value", "list", "map", "reducing",
                                     "aggregating", "timer" };
#define KINDS (sizeof kinds / sizeof kinds[0])

static uint32_t
add_timed_state(sb_keyed *k, const char *name, uint32_t kind,
                uint32_t time_kind, uint64_t ttl_ms)
{
  sb_state_options o;
  sb_state_info info;

  memset(&o, 0, sizeof o);
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  o.struct_size = sizeof o;
  o.kind = kind;
  o.name = text(name);
  o.time_kind = time_kind;
  o.ttl_ms = ttl_ms;
  check_ok(k->ops->register_state(k, &o, &info, &err));
  return info.id;
}

static void
put(sb_keyed *k, uint32_t state, uint32_t kind, unsigned i, unsigned round)
{
  char value[40], sub[16], ns[16];
  sb_key key = make_key(state, i);

  snprintf(ns, sizeof ns, "ns-%u", i % 7);
  snprintf(sub, sizeof sub, "sub-%u", round);
  snprintf(value, sizeof value, "value-%u-%u", i, round);
  if (i % 7 != 0 && kind != SB_STATE_TIMER)
    key.ns = text(ns);
  if (kind == SB_STATE_MAP)
    key.subkey = text(sub);
  if (kind == SB_STATE_LIST)
    check_ok(k->ops->append(k, &key, text(value), 0, &err));
  else
    check_ok(k->ops->put(k, &key, text(kind == SB_STATE_TIMER ? "" : value), 0,
                         &err));
}

static void
fill(sb_keyed *k, const uint32_t ids[KINDS], unsigned from, unsigned to,
     unsigned round)
{
  unsigned i;
  size_t s;

  for (s = 0; s < KINDS; s++)
    for (i = from; i < to; i++)
      put(k, ids[s], kinds[s], i, round);
}

/* All rows of a handle's states as one number that does not depend on their
   order, save that of a list's elements. */
static uint64_t
digest(sb_keyed *k, const uint32_t *ids, size_t count, unsigned *rows)
{
  uint64_t sum = 0;
  size_t s, i, j;

  *rows = 0;
  for (s = 0; s < count; s++) {
    sb_cursor *c = open_scan(k, ids[s], 0, NULL);
    sb_row row;
    sb_status status;
    uint64_t place = 0, before = 0;

    while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK) {
      const sb_slice fields[4] = { row.key, row.ns, row.subkey, row.value };
      uint64_t h = 14695981039346656037u + s;

      for (i = 0; i < 4; i++) {
        for (j = 0; j < fields[i].len; j++)
          h = (h ^ ((const uint8_t *)fields[i].data)[j]) * 1099511628211u;
        h = (h ^ fields[i].len) * 1099511628211u;
        if (i == 1)
          place = h;
      }
      if (kinds[s % KINDS] == SB_STATE_LIST && place == before)
        h += sum * 31; /* in order */
      before = place;
      sum += h * 2 + row.key_group + row.expires_ms;
      ++*rows;
    }
    CU_ASSERT_EQUAL(status, SB_END);
    k->ops->scan_close(k, c);
  }
  return sum;
}

static void
add_states(sb_keyed *k, uint32_t ids[KINDS])
{
  size_t s;

  for (s = 0; s < KINDS; s++)
    ids[s] = add_state(k, names[s], kinds[s]);
}

static canonical_written *written;
static const sb_part *part;

static void
write_open(sb_canonical *c, const char *where)
{
  check_ok(canonical_write_part(sb_host_default(),
                                backend->ops->store(backend), c, where,
                                &written, &part, &err));
  sb_canonical_close(c);
}

static sb_canonical *
open_canonical(sb_keyed *k, uint32_t flags)
{
  sb_canonical_options options = { .struct_size = sizeof options,
                                   .flags = flags };
  sb_canonical *c = NULL;

  check_ok(sb_canonical_open(k, sb_host_default(), &options, &c, &err));
  return c;
}

static sb_status
restore(sb_keyed *k, const char *where)
{
  sb_part opened = *part;
  sb_status status;
  buf moved;

  buf_init(&moved, sb_host_default(), CANONICAL_DESCRIPTOR_MAX);
  check_ok(canonical_part_move(sb_host_default(), part->manifest, where,
                               &moved, &err));
  opened.manifest = sb_slice_of(moved.data, moved.len);
  opened.length = moved.len;
  opened.crc32c = crc32c(moved.data, moved.len);
  status = sb_canonical_restore_parts(backend, sb_host_default(), k, &opened,
                                      1, NULL, NULL, NULL, &err);
  buf_dispose(&moved);
  return status;
}

/* ---- a point in time --------------------------------------------------- */

static void
test_point_in_time(void)
{
  uint32_t ids[KINDS], again[KINDS];
  unsigned rows, rows_again;
  uint64_t before;
  sb_canonical *c;
  sb_keyed *k, *other;

  open_backend("64mb", 128);
  k = open_all();
  add_states(k, ids);
  fill(k, ids, 0, ROWS, 0);
  checkpoint(1, &k, 1);
  fill(k, ids, ROWS / 2, ROWS + 50, 1);
  before = digest(k, ids, KINDS, &rows);
  CU_ASSERT(rows > 6 * ROWS);
  c = open_canonical(k, SB_CANONICAL_COMPRESS);
  fill(k, ids, 0, ROWS * 2, 2);
  CU_ASSERT_NOT_EQUAL(digest(k, ids, KINDS, &rows_again), before);
  write_open(c, "savepoints/a");
  other = open_all();
  /* states appear as the stream has them, or are there already */
  again[0] = add_state(other, names[0], kinds[0]);
  check_ok(restore(other, "savepoints/a"));
  add_states(other, again);
  CU_ASSERT_EQUAL(digest(other, again, KINDS, &rows_again), before);
  CU_ASSERT_EQUAL(rows, rows_again);
  other->ops->close(other);
  canonical_written_free(written);
  k->ops->close(k);
  close_backend();
}

/* ---- rescaling --------------------------------------------------------- */

static void
test_rescaled(void)
{
  static const uint32_t cuts[] = { 0, 1, 50, 51, 99, 129 };
  uint32_t ids[KINDS], again[KINDS];
  unsigned rows, found, all = 0;
  uint64_t before, sum = 0;
  sb_keyed *k, *other;
  size_t i;

  open_backend("64mb", 129);
  k = open_all();
  add_states(k, ids);
  fill(k, ids, 0, ROWS, 0);
  check_ok(k->ops->drop_state(k, ids[1], &err));
  ids[1] = ids[0];
  before = digest(k, ids, 1, &rows);
  write_open(open_canonical(k, 0), "savepoints/a");
  k->ops->close(k);
  for (i = 0; i + 1 < sizeof cuts / sizeof cuts[0]; i++) {
    other = open_range(cuts[i], cuts[i + 1] - 1, NULL, 0);
    check_ok(restore(other, "savepoints/a"));
    again[0] = add_state(other, names[0], kinds[0]);
    {
      sb_state_info info = { .struct_size = sizeof info };

      CU_ASSERT_EQUAL(other->ops->state_find(other, text("list"), &info, &err),
                      SB_NOT_FOUND);
    }
    groups = cuts[i + 1];
    sum += digest(other, again, 1, &found);
    groups = 129;
    all += found;
    other->ops->close(other);
  }
  CU_ASSERT_EQUAL(all, rows);
  CU_ASSERT_EQUAL(sum, before);
  canonical_written_free(written);
  close_backend();
}

/* ---- times ------------------------------------------------------------- */

static void
test_times(void)
{
  uint64_t now = sb_host_default()->clock_ms(sb_host_default());
  sb_keyed *k, *other;
  uint32_t value, list, again[2];
  unsigned rows, i;
  sb_row row;
  sb_cursor *c;
  sb_key key;

  open_backend("64mb", 4);
  k = open_all();
  value = add_timed_state(k, "value", SB_STATE_VALUE, SB_TIME_STAMP, 3600000);
  list = add_timed_state(k, "list", SB_STATE_LIST, SB_TIME_STAMP, 3600000);
  for (i = 0; i < 20; i++) {
    uint64_t stamp = i % 2 == 0 ? now - i : now - 7200000;

    key = make_key(value, i);
    check_ok(k->ops->put(k, &key, text("v"), stamp, &err));
    key = make_key(list, i / 4);
    check_ok(k->ops->append(k, &key, text("e"), stamp, &err));
  }
  write_open(open_canonical(k, 0), "s");
  other = open_all();
  check_ok(restore(other, "s"));
  again[0] = add_timed_state(other, "value", SB_STATE_VALUE, SB_TIME_STAMP,
                             3600000);
  again[1] = add_timed_state(other, "list", SB_STATE_LIST, SB_TIME_STAMP,
                             3600000);
  rows = count_rows(other, again[0], SB_SCAN_EXPIRED, NULL) +
         count_rows(other, again[1], SB_SCAN_EXPIRED, NULL);
  CU_ASSERT_EQUAL(rows, 20); /* what had expired was left out */
  c = open_scan(other, again[0], 0, NULL);
  while (other->ops->scan_next(other, c, &row, &err) == SB_OK) {
    const char *number = strchr(memcpy(key_text, row.key.data, row.key.len),
                                '-') + 1;

    key_text[row.key.len] = '\0';
    CU_ASSERT_EQUAL(row.expires_ms, now - (uint64_t)atoi(number));
  }
  other->ops->scan_close(other, c);
  other->ops->close(other);
  k->ops->close(k);
  canonical_written_free(written);
  close_backend();
}

/* ---- the coordinator --------------------------------------------------- */

/* The fixture's job makes way for a coordinator's. */
static sb_coordinator *
open_coordinator(uint32_t subtasks)
{
  const sb_takeover_options take = { .struct_size = sizeof take,
                                     .job = "fixture", .job_id = "test",
                                     .retain = 1 };
  sb_coordinator_options o = { .struct_size = sizeof o, .subtasks = subtasks,
                               .job = "", .job_id = "test" };
  const sb_checkpoint *restored;
  sb_coordinator *c = NULL;

  backend->ops->job_close(job);
  check_ok(sb_coordinator_open(backend, sb_host_default(), &o, &c, &restored,
                               &err));
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
  return c;
}

static void
take_savepoint(sb_coordinator *c, sb_keyed **handles, uint32_t count,
               const char *name)
{
  sb_trigger_options request = { .struct_size = sizeof request,
                                 .kind = SB_TRIGGER_CANONICAL,
                                 .savepoint = name, .blob = text("blob") };
  uint64_t id;
  uint32_t i;

  check_ok(sb_coordinator_trigger_as(c, &request, &id, &err));
  for (i = 0; i < count; i++)
    check_ok(sb_coordinator_snapshot(c, id, i, handles[i], &err));
  check_ok(sb_coordinator_wait(c, id, SB_NO_DEADLINE, &err));
  for (i = 0; i < count; i++)
    check_ok(sb_coordinator_notify(c, i, handles[i], &err));
}

static sb_checkpoint *
open_savepoint(const char *name)
{
  const sb_restore_options o = { .struct_size = sizeof o,
                                 .mode = SB_RESTORE_NO_CLAIM, .job = "",
                                 .savepoint = name, .job_id = "another" };
  sb_checkpoint *savepoint = NULL;

  check_ok(backend->ops->restore_open(backend, &o, &savepoint, &err));
  return savepoint;
}

static sb_status
restore_all(sb_keyed *k, const sb_checkpoint *savepoint)
{
  return sb_canonical_restore_parts(backend, sb_host_default(), k,
                                    savepoint->parts,
                                    savepoint->info.part_count, NULL, NULL,
                                    NULL, &err);
}

/* Two subtasks' savepoint into one, and into the first one's range. */
static void
test_coordinator(void)
{
  uint32_t ids[KINDS], again[KINDS];
  sb_checkpoint *savepoint;
  sb_coordinator *c;
  sb_keyed *k[2], *other;
  unsigned rows, found, i;
  uint64_t before;

  open_backend("64mb", 16);
  c = open_coordinator(2);
  k[0] = open_range(0, 8, NULL, 0);
  k[1] = open_range(9, 15, NULL, 0);
  add_states(k[0], ids);
  add_states(k[1], ids);
  for (i = 0; i < ROWS; i++) {
    sb_key key = make_key(ids[0], i);

    put(k[key.key_group > 8], ids[i % KINDS], kinds[i % KINDS], i, 0);
  }
  groups = 9;
  before = digest(k[0], ids, KINDS, &rows);
  groups = 16;
  take_savepoint(c, k, 2, "moved");
  sb_coordinator_close(c);
  k[0]->ops->close(k[0]);
  k[1]->ops->close(k[1]);

  savepoint = open_savepoint("moved");
  CU_ASSERT_EQUAL(savepoint->info.part_count, 2);
  CU_ASSERT(sb_canonical_is_part(&savepoint->parts[0]));
  CU_ASSERT(same(savepoint->blob, "blob", 4));
  other = open_range(0, 8, NULL, 0);
  check_ok(restore_all(other, savepoint));
  add_states(other, again);
  groups = 9;
  CU_ASSERT_EQUAL(digest(other, again, KINDS, &found), before);
  groups = 16;
  CU_ASSERT_EQUAL(rows, found);
  other->ops->close(other);
  other = open_all();
  check_ok(restore_all(other, savepoint));
  add_states(other, again);
  (void)digest(other, again, KINDS, &found);
  CU_ASSERT_EQUAL(found, ROWS);
  other->ops->close(other);
  backend->ops->checkpoint_close(backend, savepoint);
  close_backend();
}

static void
check_large(const char *name, unsigned wanted)
{
  sb_checkpoint *savepoint = open_savepoint(name);
  sb_keyed *k = open_all();
  uint32_t id;

  check_ok(restore_all(k, savepoint));
  id = add_state(k, "v", SB_STATE_VALUE);
  CU_ASSERT_EQUAL(count_rows(k, id, 0, NULL), wanted);
  k->ops->close(k);
  backend->ops->checkpoint_close(backend, savepoint);
}

/* In the store's directory. */
static int
shell(const char *what)
{
  char command[256];

  snprintf(command, sizeof command, "cd %s && %s", directory, what);
  return system(command);
}

/* A descriptor that is an object of its own is copied and removed with the
   rest; what is damaged or missing is an error that names it. */
static void
test_large(void)
{
  enum { N = 30000 };
  sb_savepoint_copy copy = { .struct_size = sizeof copy, .from_job = "",
                             .from_savepoint = "large", .job = "",
                             .name = "copy" };
  sb_checkpoint *savepoint;
  sb_coordinator *c;
  sb_keyed *k;
  uint32_t id;
  unsigned i;

  open_backend("64mb", 12000);
  c = open_coordinator(1);
  k = open_all();
  id = add_state(k, "v", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(id, i);

    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  }
  take_savepoint(c, &k, 1, "large");
  sb_coordinator_close(c);
  k->ops->close(k);
  CU_ASSERT_EQUAL(shell("ls savepoints/large/*.canonical-index >/dev/null"),
                  0);
  check_large("large", N);
  copy.from = backend;
  check_ok(backend->ops->savepoint_copy(backend, &copy, &err));
  check_ok(backend->ops->savepoint_remove(backend, "", "large", &err));
  check_large("copy", N);
  CU_ASSERT_EQUAL(shell("test -z \"$(find . -path '*large*' -type f)\""), 0);

  savepoint = open_savepoint("copy");
  k = open_all();
  CU_ASSERT_EQUAL(shell("f=$(ls savepoints/copy/*.canonical) && printf X |"
                        "dd of=$f bs=1 seek=90000 conv=notrunc 2>/dev/null"),
                  0);
  CU_ASSERT_EQUAL(restore_all(k, savepoint), SB_CORRUPT);
  k->ops->close(k);
  k = open_all();
  CU_ASSERT_EQUAL(shell("rm savepoints/copy/*.canonical"), 0);
  CU_ASSERT_EQUAL(restore_all(k, savepoint), SB_NOT_FOUND);
  CU_ASSERT(strstr(err.message, ".canonical\"") != NULL);
  k->ops->close(k);
  backend->ops->checkpoint_close(backend, savepoint);
  close_backend();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "point_in_time", test_point_in_time },
    { "rescaled", test_rescaled },
    { "times", test_times },
    { "coordinator", test_coordinator },
    { "large", test_large },
  };

  return run_suite(argc, argv, "canonical_engine", cases, TAP_COUNT(cases));
}
