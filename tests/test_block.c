/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a segment by themselves: checksums, filters, bounds, and blocks
 * with the edges of their format.
 */
#include "config.h"

#include <stdlib.h>
#include "host/base/crc.h"
#include "host/engine/bloom.h"
#include "host/engine/segment.h"
#include "host/engine/separator.h"
#include "tests/segment_fixture.h"
#include "tests/tap.h"

/* ---- checksums ---------------------------------------------------------- */

static void
test_crc(void)
{
  uint8_t zeros[32] = { 0 }, seeded[16 + 4 + 9] = { 0 };
  uint8_t id[16] = { 1, 2, 3 };

  /* The check value of CRC-32C, and RFC 3720's example. */
  CU_ASSERT_EQUAL(crc32c("123456789", 9), 0xe3069283u);
  CU_ASSERT_EQUAL(crc32c(zeros, 32), 0x8a9136aau);
  CU_ASSERT_EQUAL(crc32c(NULL, 0), 0);
  CU_ASSERT_EQUAL(crc32c_extend(crc32c("1234", 4), "56789", 5), 0xe3069283u);
  memcpy(seeded, id, 16);
  store_u32(seeded + 16, 0x01020304);
  memcpy(seeded + 20, "123456789", 9);
  CU_ASSERT_EQUAL(crc32c_seeded(id, 0x01020304, "123456789", 9),
                  crc32c(seeded, sizeof seeded));
}

/* ---- filters ------------------------------------------------------------ */

static void
test_bloom(void)
{
  fixture_random random = { 1 };
  uint8_t filter[4096 / 2 * 3 + 32] = { 0 };
  size_t len = bloom_len(4096), i, missing = 0, wrong = 0;
  uint64_t ids[4096];

  CU_ASSERT_EQUAL(bloom_len(0), 32);
  CU_ASSERT_EQUAL(bloom_len(21), 32);
  CU_ASSERT_EQUAL(bloom_len(22), 64);
  CU_ASSERT_EQUAL_FATAL(len, 4096 / 2 * 3);
  for (i = 0; i < 4096; i++) {
    ids[i] = fixture_next(&random);
    bloom_add(filter, len, ids[i]);
  }
  for (i = 0; i < 4096; i++)
    missing += !bloom_may_contain(filter, len, ids[i]);
  for (i = 0; i < 100000; i++)
    wrong += (size_t)bloom_may_contain(filter, len, fixture_next(&random));
  CU_ASSERT_EQUAL(missing, 0);
  CU_ASSERT(wrong < 1000);
}

/* One bit a lane, by the salts of Parquet's specification. */
static void
test_bloom_bits(void)
{
  static const uint32_t salts[8] = {
    0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
    0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u,
  };
  uint8_t filter[64] = { 0 };
  uint64_t id = 0x8123456789abcdefull;
  int i;

  bloom_add(filter, 64, id);
  for (i = 0; i < 8; i++) {
    CU_ASSERT_EQUAL(load_u32(filter + 4 * i), 0);
    CU_ASSERT_EQUAL(load_u32(filter + 32 + 4 * i),
                    1u << ((uint32_t)id * salts[i] >> 27));
  }
}

/* ---- bounds ------------------------------------------------------------- */

/* previous < bound <= first, and the words agree. */
static size_t
check_bound(const record *previous, const record *first)
{
  uint64_t word = separator_word(first);
  record bound;
  size_t len;
  buf b;

  buf_init(&b, &fixture_host, SEPARATOR_LEN_MAX);
  separator_encode(&b, previous, first);
  CU_ASSERT_EQUAL(b.status, SB_OK);
  len = b.len;
  CU_ASSERT(separator_word(previous) <= word);
  CU_ASSERT_EQUAL(len == 0, separator_word(previous) < word);
  if (len != 0) {
    CU_ASSERT_EQUAL(separator_decode(word, b.data, b.len, &bound), 0);
    CU_ASSERT(record_compare(previous, &bound) < 0);
    CU_ASSERT(record_compare(&bound, first) <= 0);
    CU_ASSERT_EQUAL(separator_word(&bound), word);
    CU_ASSERT_NOT_EQUAL(separator_decode(word, b.data, b.len - 1, &bound), 0);
  }
  buf_dispose(&b);
  return len;
}

static void
test_bounds_random(void)
{
  fixture_set set = { 0 };
  size_t i;

  fixture_fill(&set, 3000, 9);
  for (i = 1; i < set.count; i++)
    (void)check_bound(&set.records[i - 1], &set.records[i]);
  fixture_free(&set);
}

static void
test_bounds_short(void)
{
  record a = fixture_record(1, 1, "n", "k", "apple", "");
  record b = fixture_record(1, 1, "n", "k", "orange-and-more", "");
  record clear = fixture_record(1, 1, "n", "k", "", "");

  /* Level, hash, namespace; then the key, one byte of the subkey. */
  CU_ASSERT_EQUAL(check_bound(&a, &b), 1 + 8 + 2 + 2 + 2);
  clear.flags = RECORD_CLEAR;
  CU_ASSERT_EQUAL(check_bound(&clear, &a), 1 + 8 + 2 + 2 + 1);
  /* Hashes that differ in the third byte, timers without one. */
  b.hash = a.hash | 0xff00ffffffffffull;
  a.hash = b.hash - 0x10000000000ull;
  CU_ASSERT_EQUAL(check_bound(&a, &b), 1 + 3 + 2);
  a.hash = b.hash = 0;
  b.key = sb_slice_of("z", 1);
  CU_ASSERT_EQUAL(check_bound(&a, &b), 1 + 2 + 2);
  b.ns = sb_slice_of("nnn", 3);
  a.ns = sb_slice_of("nnm", 3);
  CU_ASSERT_EQUAL(check_bound(&a, &b), 1 + 4);
  /* States are always told apart by the word. */
  a.state = UINT32_MAX - 1;
  b.state = UINT32_MAX;
  CU_ASSERT_EQUAL(check_bound(&a, &b), 0);
}

/* ---- blocks ------------------------------------------------------------- */

typedef struct built {
  block_builder builder;
  const uint8_t *bytes;
  size_t len;
  block view;
} built;

static void
build(const fixture_set *set, built *b)
{
  record copy;
  size_t i;

  block_builder_init(&b->builder, &fixture_host);
  for (i = 0; i < set->count; i++) {
    size_t expected = block_builder_size_with(&b->builder, &set->records[i]);

    CU_ASSERT_EQUAL_FATAL(block_builder_add(&b->builder, &set->records[i],
                                            fixture_id(&set->records[i]),
                                            &copy), SB_OK);
    CU_ASSERT_EQUAL(block_builder_size(&b->builder), expected);
    CU_ASSERT(fixture_same(&copy, &set->records[i]));
  }
  i = block_builder_size(&b->builder);
  b->bytes = block_builder_finish(&b->builder, &b->len);
  CU_ASSERT_PTR_NOT_NULL_FATAL(b->bytes);
  CU_ASSERT_EQUAL(b->len, i);
  CU_ASSERT_EQUAL_FATAL(block_check(b->bytes, b->len, NULL), SB_OK);
  block_view(b->bytes, b->len, &b->view);
  CU_ASSERT_EQUAL(b->view.count, set->count);
}

static void
dispose(built *b)
{
  block_builder_dispose(&b->builder);
  CU_ASSERT_EQUAL(fixture_alive, 0);
}

static void
check_block(const fixture_set *set, const built *b)
{
  size_t i, wrong = 0;

  CU_ASSERT_EQUAL(block_verify(&b->view, NULL), SB_OK);
  for (i = 0; i < set->count; i++) {
    const record *r = &set->records[i];
    record out;

    block_at(&b->view, (uint32_t)i, &out);
    wrong += !fixture_same(r, &out);
    wrong += block_seek(&b->view, r) != i;
    wrong += !block_get(&b->view, r, fixture_id(r), &out) ||
             !fixture_same(r, &out);
    wrong += block_get(&b->view, r, ~fixture_id(r), &out) != 0;
  }
  CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_counts(void)
{
  size_t counts[] = { 1, 2, 7, 8, 9, 15, 16, 17, 100, 1500 }, i;

  for (i = 0; i < TAP_COUNT(counts); i++) {
    fixture_set set = { 0 };
    built b;

    fixture_fill(&set, counts[i], i);
    build(&set, &b);
    check_block(&set, &b);
    /* Over 64 KiB of entries the offsets are wide. */
    CU_ASSERT_EQUAL(b.view.wide, b.view.entries_len > 65536);
    CU_ASSERT(counts[i] != 1500 || b.view.wide);
    dispose(&b);
    fixture_free(&set);
  }
}

static void
test_most_records(void)
{
  fixture_set set = { 0 };
  built b;
  record copy;
  uint32_t i;

  for (i = 0; i < BLOCK_RECORDS_MAX; i++) {
    record r = { .key_group = (uint16_t)(i >> 14), .state = i & 0x3fff };

    r.flags = RECORD_TOMBSTONE;
    fixture_push(&set, &r);
  }
  build(&set, &b);
  CU_ASSERT_EQUAL(block_verify(&b.view, NULL), SB_OK);
  CU_ASSERT_EQUAL(block_seek(&b.view, &set.records[40000]), 40000);
  CU_ASSERT_EQUAL(block_builder_add(&b.builder, &set.records[0], 0, &copy),
                  SB_TOO_LARGE);
  dispose(&b);
  fixture_free(&set);
}

/* Records of one tag: the place decides. */
static void
test_equal_tags(void)
{
  fixture_set set = { 0 };
  built b;
  record copy, out;
  size_t i;

  fixture_fill(&set, 60, 3);
  block_builder_init(&b.builder, &fixture_host);
  for (i = 0; i < set.count; i++)
    CU_ASSERT_EQUAL(block_builder_add(&b.builder, &set.records[i], 77, &copy),
                    SB_OK);
  b.bytes = block_builder_finish(&b.builder, &b.len);
  block_view(b.bytes, b.len, &b.view);
  for (i = 0; i < set.count; i++) {
    CU_ASSERT(block_get(&b.view, &set.records[i], 77, &out));
    CU_ASSERT(fixture_same(&set.records[i], &out));
  }
  CU_ASSERT_EQUAL(block_verify(&b.view, NULL), SB_CORRUPT);
  dispose(&b);
  fixture_free(&set);
}

/* A key is found in its own state, namespace, key group and kind only. */
static void
test_neighbours(void)
{
  fixture_set set = { 0 };
  record r = fixture_record(4, 1, "n", "k", "s", "v"), wanted, out;
  built b;

  fixture_push(&set, &r);
  build(&set, &b);
  CU_ASSERT(block_get(&b.view, &r, fixture_id(&r), &out));
  wanted = r;
  wanted.key_group = 5;
  CU_ASSERT_FALSE(block_get(&b.view, &wanted, fixture_id(&r), &out));
  wanted = r;
  wanted.state = 2;
  CU_ASSERT_FALSE(block_get(&b.view, &wanted, fixture_id(&r), &out));
  wanted = r;
  wanted.ns.len = 0;
  CU_ASSERT_FALSE(block_get(&b.view, &wanted, fixture_id(&r), &out));
  wanted = r;
  wanted.subkey.len = 0;
  CU_ASSERT_FALSE(block_get(&b.view, &wanted, fixture_id(&r), &out));
  wanted.flags = RECORD_CLEAR;
  CU_ASSERT_FALSE(block_get(&b.view, &wanted, fixture_id(&r), &out));
  CU_ASSERT_EQUAL(block_seek(&b.view, &wanted), 0);
  wanted.key_group = 9;
  CU_ASSERT_EQUAL(block_seek(&b.view, &wanted), 1);
  dispose(&b);
  fixture_free(&set);
}

/* Without a checksum a block can say anything; it is read safely or not. */
static void
test_flips(void)
{
  fixture_set set = { 0 };
  built b;
  uint8_t *bytes;
  size_t i, bit;

  fixture_fill(&set, 12, 3);
  build(&set, &b);
  bytes = malloc(b.len);
  CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
  for (i = 0; i < b.len * 8; i++) {
    memcpy(bytes, b.bytes, b.len);
    bit = i % 8;
    bytes[i / 8] ^= (uint8_t)(1u << bit);
    if (block_check(bytes, b.len, NULL) == SB_OK) {
      block view;
      record out;

      block_view(bytes, b.len, &view);
      (void)block_seek(&view, &set.records[5]);
      (void)block_get(&view, &set.records[5], fixture_id(&set.records[5]),
                      &out);
      (void)block_verify(&view, NULL);
    }
  }
  for (i = 0; i < b.len; i++)
    CU_ASSERT_NOT_EQUAL(block_check(b.bytes + b.len - i, i, NULL), SB_OK);
  free(bytes);
  dispose(&b);
  fixture_free(&set);
}

/* One record, as in FORMAT-segment 4.2 and 4.3. */
static sb_status
check_entry(const char *entry, size_t len)
{
  static const char trailer[] = "\0\0" "tt" "\1\0\2\0";
  uint8_t bytes[64];

  memcpy(bytes, entry, len);
  memcpy(bytes + len, trailer, 8);
  return block_check(bytes, len + 8, NULL);
}

/* A front has a value, and neither key nor namespace; no other marker has a
   value. */
static void
test_fronts(void)
{
  CU_ASSERT_EQUAL(check_entry("\6\5\3\0\1v", 6), SB_OK);
  CU_ASSERT_EQUAL(check_entry("\6\5\3\0", 4), SB_CORRUPT);
  CU_ASSERT_EQUAL(check_entry("\6\5\3\1\1kv", 7), SB_CORRUPT);
  CU_ASSERT_EQUAL(check_entry("\16\5\3\0\1\1nv", 8), SB_CORRUPT);
  CU_ASSERT_EQUAL(check_entry("\2\5\3\0\1v", 6), SB_CORRUPT);
  CU_ASSERT_EQUAL(check_entry("\7\5\3\0\1v", 6), SB_CORRUPT);
}

static const tap_case cases[] = {
  { "crc", test_crc },
  { "bloom", test_bloom },
  { "bloom_bits", test_bloom_bits },
  { "bounds_random", test_bounds_random },
  { "bounds_short", test_bounds_short },
  { "counts", test_counts },
  { "most_records", test_most_records },
  { "equal_tags", test_equal_tags },
  { "neighbours", test_neighbours },
  { "flips", test_flips },
  { "fronts", test_fronts },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "block", cases, TAP_COUNT(cases) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
