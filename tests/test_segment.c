/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments, written and read back: whatever goes in in order comes out again,
 * by lookup and by scan; and what cannot be a segment is refused.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include "host/base/crc.h"
#include "host/engine/segment_format.h"
#include "tests/segment_fixture.h"
#include "tests/tap.h"

/* ---- helpers ------------------------------------------------------------ */

static void
check_scan(const fixture_set *set, const fixture_image *image)
{
  fixture_expect e = { .set = set };
  sb_error err;
  sb_status status = fixture_scan(image, NULL, fixture_expect_next, &e, &err);

  CU_ASSERT_EQUAL_FATAL(status, SB_OK);
  CU_ASSERT_EQUAL(e.next, set->count);
  CU_ASSERT_FALSE(e.wrong);
}

static int
found(const fixture_image *image, const record *key)
{
  record r;
  void *bytes;
  sb_status status = fixture_get(image, key, &r, &bytes, NULL);
  int same = status == SB_OK && fixture_same(key, &r);

  free(bytes);
  return same;
}

static void
check_gets(const fixture_set *set, const fixture_image *image, size_t step)
{
  size_t i, missing = 0;

  for (i = 0; i < set->count; i += step)
    missing += !found(image, &set->records[i]);
  CU_ASSERT_EQUAL(missing, 0);
}

static void
check_info(const fixture_set *set, const fixture_image *image)
{
  segment_info footer;

  CU_ASSERT_EQUAL(image->info.size, image->len);
  CU_ASSERT_EQUAL(image->info.crc32c, crc32c(image->data, image->len));
  CU_ASSERT_EQUAL(image->info.records, set->count);
  CU_ASSERT_EQUAL(image->info.blocks, image->blocks);
  CU_ASSERT_EQUAL(image->info.word_first, separator_word(set->records));
  CU_ASSERT_EQUAL(image->info.word_last,
                  separator_word(&set->records[set->count - 1]));
  CU_ASSERT_EQUAL(segment_footer_read(image->data, image->len, &footer, NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(memcmp(&footer, &image->info, sizeof footer), 0);
}

static void
build(const fixture_set *set, segment_writer_options options,
      fixture_image *image)
{
  sb_error err;
  sb_status status = fixture_build(set, options, image, &err);

  if (status != SB_OK)
    tap_note("%s", err.message);
  CU_ASSERT_EQUAL_FATAL(status, SB_OK);
  check_info(set, image);
}

static void
round_trip(const fixture_set *set, segment_writer_options options)
{
  fixture_image image = { 0 };

  build(set, options, &image);
  check_scan(set, &image);
  check_gets(set, &image, set->count / 500 + 1);
  fixture_image_free(&image);
}

/* ---- round trips -------------------------------------------------------- */

static void
test_round_trip(void)
{
  static const uint32_t sizes[] = { 64, 300, 1024, 4096, 65536, 1 << 20 };
  static const uint32_t blocks[] = { 0, 1, 2, 5 };
  fixture_set set = { 0 };
  size_t i, j;

  fixture_fill(&set, 3000, 1);
  for (i = 0; i < TAP_COUNT(sizes); i++) {
    for (j = 0; j < TAP_COUNT(blocks); j++) {
      segment_writer_options o = fixture_options(i * 10 + j + 1);

      o.block_size = sizes[i];
      o.partition_blocks = blocks[j];
      o.compression = (uint32_t)(i + j) % 2;
      round_trip(&set, o);
    }
  }
  fixture_free(&set);
}

static void
test_one_record(void)
{
  fixture_set set = { 0 };
  record r = fixture_record(0, 0, "", "", "", "");

  fixture_push(&set, &r);
  round_trip(&set, fixture_options(1));
  fixture_free(&set);
}

static void
test_empty_parts(void)
{
  static const char *const text[] = { "", "a" };
  fixture_set set = { 0 };
  unsigned i;

  for (i = 0; i < 64; i++) {
    record r = fixture_record((uint16_t)(i >> 5), i >> 4 & 1,
                              text[i >> 3 & 1], text[i >> 2 & 1],
                              text[i >> 1 & 1], text[i & 1]);
    fixture_push(&set, &r);
    r.value.len = 0;
    r.subkey.len = 0;
    r.flags = RECORD_CLEAR | (i & 1 ? RECORD_TOMBSTONE : 0);
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  round_trip(&set, fixture_options(1));
  fixture_free(&set);
}

static void
test_huge_values(void)
{
  static const uint32_t sizes[] = { 3u << 20, 17u << 20, 65536, 100 };
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  uint8_t *bytes = calloc(1, 20u << 20);
  segment_writer_options o = fixture_options(9);
  char key[16] = "";
  uint32_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
  for (i = 0; i < 40; i++) {
    record r = fixture_record(0, 0, "", key, "", "");

    snprintf(key, sizeof key, "%u", (unsigned)i);
    r.key = sb_slice_of(key, strlen(key));
    r.value = sb_slice_of(bytes, i % 10 < 4 ? sizes[i % 10] : i);
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  build(&set, o, &image);
  check_scan(&set, &image);
  check_gets(&set, &image, 1);
  CU_ASSERT(image.len < 100u << 20);
  fixture_image_free(&image);
  fixture_free(&set);
  free(bytes);
}

static void
test_longest_keys(void)
{
  fixture_set set = { 0 };
  uint8_t *bytes = calloc(1, 65535);
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
  for (i = 0; i < 30; i++) {
    record r = { .state = 1 };

    bytes[65534] = (uint8_t)i;
    r.ns = sb_slice_of(bytes, 65535 - i % 2);
    r.key = sb_slice_of(bytes, 65535 - i % 3);
    r.subkey = sb_slice_of(bytes, 65535);
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  round_trip(&set, fixture_options(1));
  fixture_free(&set);
  free(bytes);
}

static void
test_many_key_groups(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(3);
  segment_directory *d;
  uint32_t i, whole = 0;

  fixture_fill_plain(&set, 40000, 4);
  o.block_size = 512;
  o.partition_blocks = 64;
  build(&set, o, &image);
  check_scan(&set, &image);
  check_gets(&set, &image, 97);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT(segment_directory_count(d) >= 128);
  for (i = 0; i < segment_directory_count(d); i++) {
    const segment_partition_info *p = segment_directory_at(d, i);
    whole += p->key_group_first == p->key_group_last;
    CU_ASSERT(p->blocks <= 64);
  }
  CU_ASSERT_EQUAL(whole, i);
  CU_ASSERT(segment_directory_memory(d) < 200 * i);
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

static void
test_many_states(void)
{
  fixture_set set = { 0 };
  segment_writer_options o = fixture_options(3);
  fixture_random random = { 8 };
  char key[16] = "";
  unsigned i;

  for (i = 0; i < 4000; i++) {
    record r = fixture_record((uint16_t)(i % 5), i % 997 * 100,
                              i % 3 == 0 ? "n" : "", key, "", "value");

    if (i % 11 == 0)
      r.state = UINT32_MAX - i % 100;
    snprintf(key, sizeof key, "%u", (unsigned)fixture_below(&random, 10000));
    r.key = sb_slice_of(key, strlen(key));
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  o.partition_blocks = 4;
  round_trip(&set, o);
  fixture_free(&set);
}

/* Timers: the hash is 0, so only bounds with keys tell blocks apart. */
static void
test_ordered(void)
{
  fixture_set set = { 0 };
  segment_writer_options o = fixture_options(3);
  unsigned i;

  for (i = 0; i < 6000; i++) {
    uint8_t key[20] = { 0 };
    record r = { .state = 3, .flags = RECORD_ORDERED };

    key[6] = (uint8_t)(i >> 9);
    key[7] = (uint8_t)(i >> 1);
    memset(key + 8, i & 1, sizeof key - 8);
    r.key_group = (uint16_t)(i / 3000);
    r.key = sb_slice_of(key, i & 1 ? sizeof key : 8);
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  CU_ASSERT_EQUAL(set.count, 6000);
  round_trip(&set, o);
  o.partition_blocks = 3;
  round_trip(&set, o);
  fixture_free(&set);
}

static void
fill_subkeys(fixture_set *set, unsigned count)
{
  char subkey[16] = "";
  unsigned i;

  for (i = 0; i < count; i++) {
    record r = fixture_record(1, 1, "space", "key", subkey, "v");

    snprintf(subkey, sizeof subkey, "%06u", i);
    r.subkey = sb_slice_of(subkey, strlen(subkey));
    fixture_push(set, &r);
  }
  fixture_sort(set);
}

/* One key over many blocks and partitions: each partition knows the key. */
static void
test_subkeys(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(3);
  segment_directory *d;
  record key = fixture_record(1, 1, "space", "key", "", ""), clear = key;
  record other = fixture_record(1, 1, "space", "yek", "", "");
  uint32_t i;

  clear.flags = RECORD_CLEAR;
  fixture_push(&set, &clear);
  fill_subkeys(&set, 9000);
  o.partition_blocks = 8;
  build(&set, o, &image);
  check_scan(&set, &image);
  check_gets(&set, &image, 11);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT(segment_directory_count(d) > 5);
  for (i = 0; i < segment_directory_count(d); i++) {
    segment_partition p;

    CU_ASSERT_EQUAL_FATAL(fixture_partition(&image, d, i, &p, NULL), SB_OK);
    CU_ASSERT(segment_partition_may_contain(&p, fixture_id(&key)));
    CU_ASSERT_FALSE(segment_partition_may_contain(&p, fixture_id(&other)));
    CU_ASSERT_EQUAL(segment_partition_may_contain(&p, fixture_id(&clear)),
                    i == 0);
  }
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

/* A scan from anywhere begins at the first record that is not before. */
static void
test_seek(void)
{
  fixture_set set = { 0 }, probes = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(3);
  size_t i, wrong = 0;

  fixture_fill(&set, 2000, 5);
  fixture_fill(&probes, 300, 6);
  o.partition_blocks = 3;
  o.block_size = 600;
  build(&set, o, &image);
  for (i = 0; i < probes.count; i++) {
    fixture_expect e = { .set = &set };

    while (e.next < set.count &&
           record_compare(&set.records[e.next], &probes.records[i]) < 0)
      e.next++;
    if (fixture_scan(&image, &probes.records[i], fixture_expect_next, &e,
                     NULL) != SB_OK ||
        e.wrong || e.next != set.count)
      wrong++;
  }
  CU_ASSERT_EQUAL(wrong, 0);
  fixture_image_free(&image);
  fixture_free(&set);
  fixture_free(&probes);
}

/* ---- filters and indexes ------------------------------------------------ */

static void
test_filter_rate(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  fixture_random random = { 77 };
  segment_directory *d;
  uint32_t i, j, wrong = 0, asked = 0;

  fixture_fill_plain(&set, 30000, 2);
  build(&set, fixture_options(1), &image);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  for (i = 0; i < segment_directory_count(d); i++) {
    segment_partition p;

    CU_ASSERT_EQUAL_FATAL(fixture_partition(&image, d, i, &p, NULL), SB_OK);
    /* 12 bits a record, one block of rounding up. */
    CU_ASSERT(p.filter_len <= segment_directory_at(d, i)->records * 3 / 2 +
                                32);
    /* Few neighbours have equal words in so small a key group. */
    CU_ASSERT(p.separators_len <= p.count * 5);
    for (j = 0; j < 20000; j++, asked++)
      wrong += (uint32_t)segment_partition_may_contain(&p,
                                                       fixture_next(&random));
  }
  tap_note("%u of %u ids pass the filter wrongly", wrong, asked);
  CU_ASSERT(wrong * 100ull < asked);
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

/* State 2 needs no filter; it has one only where others are the majority. */
static void
test_no_filter(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(1);
  segment_directory *d;
  segment_partition p;
  char key[16] = "";
  unsigned i;

  for (i = 0; i < 4000; i++) {
    record r = fixture_record(i < 2000, i < 1800 ? 0 : 2, "", key, "", "v");

    snprintf(key, sizeof key, "%u", i);
    r.key = sb_slice_of(key, strlen(key));
    fixture_push(&set, &r);
  }
  fixture_sort(&set);
  o.partition_blocks = 40;
  build(&set, o, &image);
  check_gets(&set, &image, 7);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(segment_directory_count(d), 2);
  CU_ASSERT_EQUAL(fixture_partition(&image, d, 0, &p, NULL), SB_OK);
  CU_ASSERT_EQUAL(p.filter_len, 0);
  CU_ASSERT(segment_partition_may_contain(&p, 12345));
  CU_ASSERT_EQUAL(fixture_partition(&image, d, 1, &p, NULL), SB_OK);
  CU_ASSERT_NOT_EQUAL(p.filter_len, 0);
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

static void
test_info(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_directory *d;
  record r = fixture_record(3, 0, "", "a", "", "v");
  uint32_t version = 0;

  r.expires_ms = 500;
  fixture_push(&set, &r);
  r.key_group = 7;
  r.expires_ms = 400;
  fixture_push(&set, &r);
  build(&set, fixture_options(1), &image);
  CU_ASSERT_EQUAL(image.info.key_group_first, 3);
  CU_ASSERT_EQUAL(image.info.key_group_last, 7);
  CU_ASSERT_EQUAL(image.info.key_group_count, 128);
  CU_ASSERT_EQUAL(image.info.expires_min, 400);
  CU_ASSERT_EQUAL(image.info.expires_max, 500);
  CU_ASSERT_EQUAL(image.info.generation, 5);
  CU_ASSERT_EQUAL(image.info.epoch_min, 10);
  CU_ASSERT_EQUAL(image.info.epoch_max, 12);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT_EQUAL(segment_directory_schema(d, 1, &version), SB_OK);
  CU_ASSERT_EQUAL(version, 7);
  CU_ASSERT_EQUAL(segment_directory_schema(d, 2, &version), SB_NOT_FOUND);
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  r.key_group = 9;
  r.flags = RECORD_TOMBSTONE;
  r.value.len = 0;
  fixture_push(&set, &r);
  build(&set, fixture_options(1), &image);
  CU_ASSERT_EQUAL(image.info.tombstones, 1);
  CU_ASSERT_EQUAL(image.info.expires_max, UINT64_MAX);
  fixture_image_free(&image);
  fixture_free(&set);
}

static size_t
held(const fixture_set *set, const segment_info *info)
{
  size_t i, count = 0;

  for (i = 0; i < set->count; i++)
    count += segment_may_hold(info, &set->records[i]) != 0;
  return count;
}

/* Half of the records go in; what is outside of them is denied unread, but
   nothing that is inside, nor another record of a key that is. */
static void
test_may_hold(void)
{
  fixture_set set = { 0 }, middle = { 0 };
  fixture_image image = { 0 };
  size_t i, wrong = 0;

  fixture_fill(&set, 2000, 7);
  for (i = set.count / 4; i < set.count * 3 / 4; i++)
    fixture_push(&middle, &set.records[i]);
  build(&middle, fixture_options(1), &image);
  CU_ASSERT_EQUAL(held(&middle, &image.info), middle.count);
  CU_ASSERT(held(&set, &image.info) < middle.count * 5 / 4);
  CU_ASSERT_FALSE(segment_may_hold(&image.info, set.records));
  CU_ASSERT_FALSE(segment_may_hold(&image.info,
                                   &set.records[set.count - 1]));
  for (i = 0; i < middle.count; i++) {
    record key = middle.records[i];

    key.subkey = sb_slice_of("other", 5);
    wrong += !segment_may_hold(&image.info, &key);
    key.subkey.len = 0;
    wrong += !segment_may_hold(&image.info, &key);
    key.flags |= RECORD_CLEAR;
    wrong += !segment_may_hold(&image.info, &key);
  }
  CU_ASSERT_EQUAL(wrong, 0);
  fixture_image_free(&image);
  fixture_free(&set);
  fixture_free(&middle);
}

/* A segment of one key denies the others of its key group. */
static void
test_may_hold_one(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  record r = fixture_record(2, 1, "", "key", "subkey", "v"), key = r;
  record space = fixture_record(2, 1, "n", "key", "", "");

  fixture_push(&set, &r);
  build(&set, fixture_options(1), &image);
  CU_ASSERT(segment_may_hold(&image.info, &key));
  key.hash ^= 1ull << 63;
  CU_ASSERT_FALSE(segment_may_hold(&image.info, &key));
  key = r;
  key.state = 0;
  CU_ASSERT_FALSE(segment_may_hold(&image.info, &key));
  key.state = 2;
  CU_ASSERT_FALSE(segment_may_hold(&image.info, &key));
  CU_ASSERT_FALSE(segment_may_hold(&image.info, &space));
  /* All ordered records of a state have one word. */
  fixture_image_free(&image);
  fixture_pop(&set);
  r.flags = RECORD_ORDERED;
  r.subkey.len = 0;
  fixture_push(&set, &r);
  build(&set, fixture_options(1), &image);
  key = r;
  key.hash = 0;
  key.key = sb_slice_of("another", 7);
  CU_ASSERT(segment_may_hold(&image.info, &key));
  fixture_image_free(&image);
  fixture_free(&set);
}

/* ---- refusals and failures ---------------------------------------------- */

static sb_status
add_after(const record *r)
{
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(1);
  record first = fixture_record(5, 1, "", "k", "", "v");
  segment_writer *w;
  segment_info info;
  sb_status status;

  o.emit = fixture_emit;
  o.arg = &image;
  CU_ASSERT_EQUAL_FATAL(segment_writer_new(&fixture_host, &o, &w, NULL),
                        SB_OK);
  CU_ASSERT_EQUAL(segment_writer_add(w, &first, 0, NULL), SB_OK);
  status = segment_writer_add(w, r, 0, NULL);
  if (status != SB_OK) {
    CU_ASSERT_EQUAL(segment_writer_add(w, r, 0, NULL), status);
    CU_ASSERT_EQUAL(segment_writer_finish(w, &info, NULL), status);
  }
  segment_writer_free(w);
  fixture_image_free(&image);
  return status;
}

static void
test_refusals(void)
{
  record r = fixture_record(5, 1, "", "k", "", "v");

  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID); /* twice */
  r.key_group = 4;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.key_group = 6;
  CU_ASSERT_EQUAL(add_after(&r), SB_OK);
  r.key_group = 128;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.key_group = 6;
  r.hash++;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.hash--;
  r.flags = 8;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.flags = RECORD_TOMBSTONE;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.value.len = 0;
  CU_ASSERT_EQUAL(add_after(&r), SB_OK);
  r.flags = RECORD_CLEAR;
  r.subkey = sb_slice_of("x", 1);
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.flags = 0;
  r.value.len = SB_VALUE_MAX + 1u;
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r = fixture_record(6, 1, "", "", "", "v");
  r.flags = RECORD_FRONT;
  r.hash = 0;
  CU_ASSERT_EQUAL(add_after(&r), SB_OK);
  r.key = sb_slice_of("k", 1);
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
  r.key.len = 0;
  r.ns = sb_slice_of("n", 1);
  CU_ASSERT_EQUAL(add_after(&r), SB_INVALID);
}

static void
test_bad_options(void)
{
  segment_writer_options good = fixture_options(1), o;
  segment_schema twice[] = { { 1, 1 }, { 1, 2 } };
  fixture_image image = { 0 };
  segment_writer *w;
  segment_info info;

  good.emit = fixture_emit;
  good.arg = &image;
  o = good;
  o.emit = NULL;
  CU_ASSERT_EQUAL(segment_writer_new(&fixture_host, &o, &w, NULL), SB_INVALID);
  CU_ASSERT_PTR_NULL(w);
  o = good;
  o.block_size = 63;
  CU_ASSERT_EQUAL(segment_writer_new(&fixture_host, &o, &w, NULL), SB_INVALID);
  o = good;
  o.schemas = twice;
  o.schema_count = 2;
  CU_ASSERT_EQUAL(segment_writer_new(&fixture_host, &o, &w, NULL), SB_INVALID);
  o = good;
  o.epoch_min = 13;
  CU_ASSERT_EQUAL(segment_writer_new(&fixture_host, &o, &w, NULL), SB_INVALID);
  CU_ASSERT_EQUAL(segment_writer_new(&fixture_host, &good, &w, NULL), SB_OK);
  CU_ASSERT_EQUAL(segment_writer_finish(w, &info, NULL), SB_INVALID);
  segment_writer_free(w);
}

static void
test_emit_fails(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  size_t i;
  sb_status status = SB_IO;

  fixture_fill(&set, 200, 3);
  for (i = 1; status != SB_OK; i++) {
    image.fail_after = i;
    status = fixture_build(&set, fixture_options(1), &image, NULL);
    CU_ASSERT(status == SB_OK || status == SB_IO);
    fixture_image_free(&image);
  }
  CU_ASSERT(i > 5);
  CU_ASSERT_EQUAL(fixture_alive, 0);
  fixture_free(&set);
}

static void
test_no_memory(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(1);
  size_t i;
  sb_status status = SB_NO_MEMORY;

  o.partition_blocks = 2;
  fixture_fill(&set, 300, 3);
  for (i = 1; status != SB_OK; i++) {
    segment_directory *d = NULL;

    fixture_fail_at = i;
    status = fixture_build(&set, o, &image, NULL);
    if (status == SB_OK)
      status = fixture_directory(&image, &d, NULL);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    segment_directory_free(&fixture_host, d);
    CU_ASSERT_EQUAL(fixture_alive, 0);
    fixture_image_free(&image);
  }
  fixture_fail_at = 0;
  CU_ASSERT(i > 20);
  fixture_free(&set);
}

static const tap_case cases[] = {
  { "round_trip", test_round_trip },
  { "one_record", test_one_record },
  { "empty_parts", test_empty_parts },
  { "huge_values", test_huge_values },
  { "longest_keys", test_longest_keys },
  { "many_key_groups", test_many_key_groups },
  { "many_states", test_many_states },
  { "ordered", test_ordered },
  { "subkeys", test_subkeys },
  { "seek", test_seek },
  { "filter_rate", test_filter_rate },
  { "no_filter", test_no_filter },
  { "info", test_info },
  { "may_hold", test_may_hold },
  { "may_hold_one", test_may_hold_one },
  { "refusals", test_refusals },
  { "bad_options", test_bad_options },
  { "emit_fails", test_emit_fails },
  { "no_memory", test_no_memory },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "segment", cases, TAP_COUNT(cases) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
