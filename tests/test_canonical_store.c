/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical parts in an object store: descriptors, restoring from them by any
 * ranges, large descriptors, damage to each byte, and each operation of the
 * store and each allocation failing once: nothing is left behind.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"
#include "tests/canonical_fixture.h"
#include "tests/memstore.h"
#include "tests/tap.h"

static memhost host;
static memstore *store;
static rows_keyed from, to;
static canonical_written *written;
static const sb_part *part;
static sb_error err;

static sb_store *
backend_store(sb_backend *backend)
{
  (void)backend;
  return memstore_store(store);
}

static const sb_backend_ops backend_ops = {
  .struct_size = sizeof backend_ops,
  .abi_version = SB_ABI_VERSION,
  .store = backend_store,
};
static sb_backend backend = { &backend_ops };

static void
set_up(uint32_t groups, uint32_t first, uint32_t last)
{
  memhost_init(&host, 7);
  store = memstore_new(0);
  rows_init(&from, groups, first, last);
  rows_init(&to, groups, 0, groups - 1);
}

static void
tear_down(void)
{
  canonical_written_free(written);
  written = NULL;
  CU_ASSERT_EQUAL(host.live, 0);
  memstore_free(store);
  rows_dispose(&from);
  rows_dispose(&to);
}

static int
check_ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

static void
fill(uint32_t step)
{
  uint32_t value = rows_state(&from, "value", SB_STATE_VALUE, 0, 0);
  uint32_t list = rows_state(&from, "list", SB_STATE_LIST, SB_TIME_STAMP, 9);
  uint32_t g;

  for (g = from.place.key_group_first; g <= from.place.key_group_last;
       g += step) {
    char key[16];

    snprintf(key, sizeof key, "key-%u", (unsigned)g);
    rows_put(&from, value, g, key, "ns", NULL, "v");
    rows_put_bytes(&from, list, g, sb_slice_of(key, 3), sb_slice_of("", 0),
                   sb_slice_of("", 0), sb_slice_of("abc", 3), 5000 + g);
    rows_put_bytes(&from, list, g, sb_slice_of(key, 3), sb_slice_of("", 0),
                   sb_slice_of("", 0), sb_slice_of("", 0), 5001 + g);
  }
}

static sb_status
write_part(const char *directory, uint32_t flags)
{
  sb_canonical_options options = { .struct_size = sizeof options,
                                   .flags = flags };
  sb_canonical *c;
  sb_status status;

  canonical_written_free(written);
  written = NULL;
  status = sb_canonical_open(&from.keyed, &host.host, &options, &c, &err);
  if (status != SB_OK)
    return status;
  status = canonical_write_part(&host.host, memstore_store(store), c,
                                directory, &written, &part, &err);
  sb_canonical_close(c);
  return status;
}

/* The part as whoever opens the savepoint gets it: with whole names. */
static sb_status
restore(const char *directory)
{
  char name[512];
  sb_part opened = *part;
  sb_status status;
  buf moved;

  buf_init(&moved, &host.host, CANONICAL_DESCRIPTOR_MAX);
  status = canonical_part_move(&host.host, part->manifest, directory, &moved,
                               &err);
  if (status == SB_OK) {
    opened.manifest = sb_slice_of(moved.data, moved.len);
    opened.length = moved.len;
    opened.crc32c = crc32c(moved.data, moved.len);
    snprintf(name, sizeof name, "%s/%s", directory,
             part->name == NULL ? "" : part->name);
    opened.name = part->name == NULL ? NULL : name;
    status = sb_canonical_restore_parts(&backend, &host.host, &to.keyed,
                                        &opened, 1, NULL, NULL, NULL, &err);
  }
  buf_dispose(&moved);
  return status;
}

static void
test_part(void)
{
  canonical_part *p;

  set_up(300, 10, 200);
  from.place.operator_id = to.place.operator_id = "op/\xC3\xA9";
  from.place.subtask = 3;
  fill(7);
  check_ok(write_part("base/savepoints/one", SB_CANONICAL_COMPRESS));
  CU_ASSERT_EQUAL(memstore_objects(store, ""), 1);
  CU_ASSERT(strncmp(memstore_name(store, "", 0),
                    "base/savepoints/one/op%2F%C3%A9-3-", 34) == 0);
  CU_ASSERT(sb_canonical_is_part(part));
  CU_ASSERT_STRING_EQUAL(part->operator_id, "op/\xC3\xA9");
  CU_ASSERT_EQUAL(part->subtask, 3);
  CU_ASSERT_EQUAL(part->key_group_first, 10);
  CU_ASSERT_EQUAL(part->key_group_last, 200);
  CU_ASSERT_EQUAL(part->object_count, 1);
  CU_ASSERT(part->name == NULL);
  check_ok(canonical_part_decode(&host.host, part->manifest, &p, &err));
  CU_ASSERT(strchr(p->name, '/') == NULL);
  CU_ASSERT_STRING_EQUAL(p->name, part->objects[0].name);
  CU_ASSERT_EQUAL(p->length, part->objects[0].size);
  {
    size_t len;
    uint8_t *data = memstore_data(store, memstore_name(store, "", 0), &len);

    CU_ASSERT_EQUAL(len, p->length);
    CU_ASSERT_EQUAL(crc32c(data, len), p->crc32c);
  }
  canonical_part_free(&host.host, p);
  check_ok(restore("base/savepoints/one"));
  CU_ASSERT(rows_same(&from, &to));
  CU_ASSERT_EQUAL(to.states[1].time_kind, SB_TIME_STAMP);
  CU_ASSERT_EQUAL(to.states[1].ttl_ms, 9);
  /* once more with nothing but the last part of the name */
  to.place.operator_id = "another";
  rows_clear(&to);
  check_ok(restore("base/savepoints/one"));
  CU_ASSERT_EQUAL(to.count, 0);
  to.place.operator_id = from.place.operator_id;
  to.place.key_group_count = 301;
  CU_ASSERT_EQUAL(restore("base/savepoints/one"), SB_MISMATCH);
  to.place.key_group_count = 300;
  CU_ASSERT_EQUAL(restore("elsewhere"), SB_NOT_FOUND);
  tear_down();
}

/* Many subtasks read what one wrote, each its own. */
static void
test_ranges(void)
{
  uint32_t first, width, seen = 0;

  set_up(128, 0, 127);
  fill(1);
  check_ok(write_part("d", 0));
  for (first = 0; first < 128; first += width) {
    width = 1 + first % 40;
    if (first + width > 128)
      width = 128 - first;
    to.place.key_group_first = first;
    to.place.key_group_last = first + width - 1;
    rows_clear(&to);
    check_ok(restore("d"));
    CU_ASSERT_EQUAL(to.count, 3 * width);
    CU_ASSERT_EQUAL(to.rows[0].key_group, first);
    CU_ASSERT_EQUAL(to.rows[to.count - 1].key_group, first + width - 1);
    seen += width;
  }
  CU_ASSERT_EQUAL(seen, 128);
  tear_down();
}

/* The descriptor of very many key groups is an object of its own. */
static void
test_large(void)
{
  set_up(32768, 0, 32767);
  fill(3);
  check_ok(write_part("d", 0));
  CU_ASSERT_EQUAL(memstore_objects(store, ""), 2);
  CU_ASSERT_EQUAL(part->object_count, 2);
  CU_ASSERT(part->name != NULL);
  CU_ASSERT_EQUAL(part->objects[1].size, part->length);
  check_ok(restore("d"));
  CU_ASSERT(rows_same(&from, &to));
  tear_down();
}

/* A changed byte of the object is found wherever something is read. */
static void
damage(uint32_t flags)
{
  size_t len, i, missed = 0, header = 0;
  canonical_part *p;
  uint8_t *data;

  set_up(4, 0, 3);
  fill(1);
  check_ok(write_part("d", flags));
  check_ok(canonical_part_decode(&host.host, part->manifest, &p, &err));
  header = (size_t)p->header_length;
  canonical_part_free(&host.host, p);
  data = memstore_data(store, memstore_name(store, "", 0), &len);
  for (i = header; i < len; i += tap_is_slow() ? 19 : 1) {
    data[i] ^= (uint8_t)(1u << i % 8);
    rows_clear(&to);
    missed += restore("d") == SB_OK;
    data[i] ^= (uint8_t)(1u << i % 8);
  }
  CU_ASSERT_EQUAL(missed, 0);
  rows_clear(&to);
  check_ok(restore("d"));
  tear_down();
}

static void
test_damage(void)
{
  damage(0);
  damage(SB_CANONICAL_COMPRESS);
}

/* Descriptors that are not what they were: refused, and with the checksum put
   right, refused or harmless. */
static void
test_descriptors(void)
{
  canonical_part *p;
  sb_slice bytes;
  uint8_t *copy;
  size_t i;

  set_up(9, 2, 7);
  fill(1);
  check_ok(write_part("d", 0));
  bytes = part->manifest;
  copy = malloc(bytes.len);
  CU_ASSERT_FATAL(copy != NULL);
  memcpy(copy, bytes.data, bytes.len);
  for (i = 0; i < bytes.len; i += tap_is_slow() ? 19 : 1) {
    CU_ASSERT_EQUAL(canonical_part_decode(&host.host, sb_slice_of(copy, i), &p,
                                          &err), SB_CORRUPT);
    copy[i] ^= 0x41;
    CU_ASSERT_NOT_EQUAL(canonical_part_decode(&host.host,
                                              sb_slice_of(copy, bytes.len), &p,
                                              &err), SB_OK);
    if (i < bytes.len - 4) {
      store_u32(copy + bytes.len - 4, crc32c(copy, bytes.len - 4));
      if (canonical_part_decode(&host.host, sb_slice_of(copy, bytes.len), &p,
                                &err) == SB_OK)
        canonical_part_free(&host.host, p);
    }
    memcpy(copy, bytes.data, bytes.len);
  }
  free(copy);
  tear_down();
}

static void
test_failures(void)
{
  static const sb_status codes[] = { SB_IO, SB_NO_SPACE };
  sb_status status;
  size_t n, i;

  for (i = 0; i < 2; i++) {
    set_up(i == 0 ? 20 : 12000, 0, i == 0 ? 19 : 11999);
    fill(i == 0 ? 3 : 1);
    for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
      memstore_fault(store, MEMSTORE_ALL, "", n, 1, MEMSTORE_BEFORE, codes[i]);
      status = write_part("d", 0);
      memstore_clear_faults(store);
      CU_ASSERT(status == SB_OK || status == codes[i]);
      if (status != SB_OK) {
        CU_ASSERT_EQUAL(memstore_objects(store, ""), 0);
        CU_ASSERT_EQUAL(memstore_uploads(store, ""), 0);
      }
    }
    CU_ASSERT(n > 2);
    for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
      rows_clear(&to);
      memstore_fault(store, MEMSTORE_ALL, "", n, 1, MEMSTORE_BEFORE, SB_IO);
      status = restore("d");
      memstore_clear_faults(store);
      CU_ASSERT(status == SB_OK || status == SB_IO);
    }
    CU_ASSERT(rows_same(&from, &to));
    tear_down();
  }
}

static void
test_no_memory(void)
{
  sb_status status;
  size_t n;

  set_up(20, 0, 19);
  fill(3);
  for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
    host.fail_at = host.allocations + n;
    status = write_part("d", 0);
    host.fail_at = 0;
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    if (status != SB_OK) {
      CU_ASSERT_EQUAL(memstore_objects(store, ""), 0);
      CU_ASSERT_EQUAL(memstore_uploads(store, ""), 0);
    }
  }
  for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
    rows_clear(&to);
    host.fail_at = host.allocations + n;
    status = restore("d");
    host.fail_at = 0;
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
  }
  CU_ASSERT(rows_same(&from, &to));
  tear_down();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "part", test_part },
    { "ranges", test_ranges },
    { "large", test_large },
    { "damage", test_damage },
    { "descriptors", test_descriptors },
    { "failures", test_failures },
    { "no_memory", test_no_memory },
  };
  const tap_suite suites[] = {
    { "canonical_store", cases, TAP_COUNT(cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
