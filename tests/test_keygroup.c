/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key groups are those of Flink. The numbers were computed by a Java program
 * with Flink's formulas, java.util.Arrays.hashCode and String.hashCode.
 */
#include "config.h"

#include <statebackend/keygroup.h>
#include "tests/tap.h"

static void
test_murmur(void)
{
  static const struct { int32_t hash, murmur; uint32_t of_128, of_32768; }
  want[] = {
    { 0, 593689054, 94, 31198 }, { 1, 68075478, 86, 16342 },
    { 2, 1085422463, 127, 15231 }, { -1, 1982413648, 80, 15184 },
    { 42, 1134849565, 29, 28189 }, { 127, 1931274395, 27, 26779 },
    { 128, 132521001, 41, 7209 }, { INT32_MAX, 1653689534, 62, 19646 },
    { INT32_MIN, 1718298732, 108, 10348 },
    { 123456789, 1088346449, 81, 22865 },
    { -123456789, 1470798557, 93, 6877 },
    /* the two hashes that come to 0; one of them by way of Java's int that
       has no negative */
    { -2089875627, 0, 0, 0 }, { -1035494534, 0, 0, 0 }
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(want); i++) {
    CU_ASSERT_EQUAL(sb_murmur(want[i].hash), want[i].murmur);
    CU_ASSERT_EQUAL(sb_key_group(want[i].hash, 128), want[i].of_128);
    CU_ASSERT_EQUAL(sb_key_group(want[i].hash, 32768), want[i].of_32768);
    CU_ASSERT_EQUAL(sb_key_group(want[i].hash, 1), 0);
  }
}

static void
test_hash_bytes(void)
{
  static const uint8_t high[] = { 0xff, 0x80, 0x7f, 0x00 };
  static const uint8_t zeros[3];

  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of(NULL, 0)), 1);
  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of("a", 1)), 128);
  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of("83.149.9.216", 12)),
                  -1074625416);
  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of("hello world", 11)), 1923188771);
  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of(high, 4)), 774659);
  CU_ASSERT_EQUAL(sb_hash_bytes(sb_slice_of(zeros, 3)), 29791);
}

static void
test_range(void)
{
  static const struct { uint32_t count, parallelism, subtask, first, last; }
  want[] = {
    { 128, 1, 0, 0, 127 },
    { 128, 3, 0, 0, 42 }, { 128, 3, 1, 43, 85 }, { 128, 3, 2, 86, 127 },
    { 128, 5, 0, 0, 25 }, { 128, 5, 1, 26, 51 }, { 128, 5, 2, 52, 76 },
    { 128, 5, 3, 77, 102 }, { 128, 5, 4, 103, 127 },
    { 10, 4, 0, 0, 2 }, { 10, 4, 1, 3, 4 }, { 10, 4, 2, 5, 7 },
    { 10, 4, 3, 8, 9 },
    { 32768, 7, 0, 0, 4681 }, { 32768, 7, 6, 28087, 32767 }
  };
  uint32_t first, last;
  size_t i;

  for (i = 0; i < TAP_COUNT(want); i++) {
    CU_ASSERT_EQUAL(sb_key_group_range(want[i].count, want[i].parallelism,
                                       want[i].subtask, &first, &last),
                    SB_OK);
    CU_ASSERT_EQUAL(first, want[i].first);
    CU_ASSERT_EQUAL(last, want[i].last);
  }
}

static void
test_range_refused(void)
{
  uint32_t first, last;

  CU_ASSERT_EQUAL(sb_key_group_range(4, 5, 0, &first, &last), SB_INVALID);
  CU_ASSERT_EQUAL(sb_key_group_range(4, 4, 4, &first, &last), SB_INVALID);
  CU_ASSERT_EQUAL(sb_key_group_range(4, 0, 0, &first, &last), SB_INVALID);
  CU_ASSERT_EQUAL(sb_key_group_range(0, 0, 0, &first, &last), SB_INVALID);
  CU_ASSERT_EQUAL(sb_key_group_range(SB_KEY_GROUPS_MAX + 1, 1, 0, &first,
                                     &last), SB_INVALID);
}

/* Every key group has one owner, and that owner's range holds it. */
static void
test_owner(void)
{
  static const uint32_t counts[] = { 1, 2, 7, 128, 1000, 32768 };
  uint32_t parallelism, group, first, last, owner;
  unsigned wrong = 0;
  size_t i;

  for (i = 0; i < TAP_COUNT(counts); i++)
    for (parallelism = 1; parallelism <= counts[i] && parallelism <= 64;
         parallelism += 1 + parallelism / 8)
      for (group = 0; group < counts[i]; group++) {
        owner = sb_key_group_owner(counts[i], parallelism, group);
        wrong += sb_key_group_range(counts[i], parallelism, owner, &first,
                                    &last) != SB_OK ||
                 group < first || group > last;
      }
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_EQUAL(sb_key_group_owner(32768, 32768, 32767), 32767);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "murmur", test_murmur },
    { "hash of bytes", test_hash_bytes },
    { "range", test_range },
    { "range refused", test_range_refused },
    { "owner", test_owner }
  };
  static const tap_suite suites[] = {
    { "keygroup", cases, TAP_COUNT(cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
