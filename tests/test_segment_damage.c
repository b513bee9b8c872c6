/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that are damaged, moved or made up: an answer is right or an error,
 * and nothing is allocated because bytes say so. And those of earlier
 * releases, which are read for ever: `test_segment_damage --golden DIR` writes
 * the files of this version.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include "host/base/crc.h"
#include "host/engine/segment_format.h"
#include "tests/segment_fixture.h"
#include "tests/tap.h"

static void
build(const fixture_set *set, segment_writer_options options,
      fixture_image *image)
{
  CU_ASSERT_EQUAL_FATAL(fixture_build(set, options, image, NULL), SB_OK);
}

/* Records that a lookup does not find. */
static size_t
missing(const fixture_set *set, const fixture_image *image)
{
  size_t i, count = 0;

  for (i = 0; i < set->count; i++) {
    record r;
    void *bytes;

    if (fixture_get(image, &set->records[i], &r, &bytes, NULL) != SB_OK ||
        !fixture_same(&set->records[i], &r))
      count++;
    free(bytes);
  }
  return count;
}

/* ---- damage ------------------------------------------------------------- */

/* The scan says what it said before, or fails. */
static int
answers(const fixture_set *set, const fixture_image *image, int *corrupt)
{
  fixture_expect e = { .set = set };
  sb_error err;
  sb_status status = fixture_scan(image, NULL, fixture_expect_next, &e, &err);

  if (status == SB_CORRUPT || status == SB_UNSUPPORTED)
    ++*corrupt;
  else if (status != SB_OK)
    return 0;
  return !e.wrong && (status != SB_OK || e.next == set->count);
}

static void
test_flips(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(1);
  segment_info info;
  size_t i, bit, wrong = 0, tried = 0, step = tap_is_slow() ? 3 : 1;
  int corrupt = 0, known = 0;

  o.partition_blocks = 3;
  o.block_size = 400;
  fixture_fill(&set, 60, 3);
  build(&set, o, &image);
  info = image.info;
  for (i = 0; i < image.len; i++) {
    for (bit = i % step; bit < 8; bit += step, tried++) {
      image.data[i] ^= (uint8_t)(1u << bit);
      wrong += !answers(&set, &image, &known);
      /* Once more without a manifest. */
      if (segment_footer_read(image.data, image.len, &image.info, NULL) ==
          SB_OK)
        wrong += !answers(&set, &image, &corrupt);
      else
        corrupt++;
      image.info = info;
      image.data[i] ^= (uint8_t)(1u << bit);
    }
  }
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_EQUAL((size_t)known, tried);
  CU_ASSERT_EQUAL((size_t)corrupt, tried);
  known = 0;
  CU_ASSERT(answers(&set, &image, &known) && known == 0);
  fixture_image_free(&image);
  fixture_free(&set);
}

static void
test_cut_short(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_info info;
  size_t len;

  fixture_fill(&set, 60, 3);
  build(&set, fixture_options(1), &image);
  len = image.len;
  for (image.len = 0; image.len < len; image.len += tap_is_slow() ? 9 : 1) {
    segment_directory *d;

    CU_ASSERT_NOT_EQUAL(segment_footer_read(image.data, image.len, &info,
                                            NULL), SB_OK);
    CU_ASSERT_EQUAL(fixture_directory(&image, &d, NULL), SB_CORRUPT);
  }
  fixture_image_free(&image);
  fixture_free(&set);
}

static sb_status
decode(const fixture_image *image, const segment_block_ref *ref)
{
  void *raw;
  sb_status status = fixture_block(image, ref, &raw, NULL);

  free(raw);
  return status;
}

/* Parts of one segment in the place of another's. */
static void
test_moved(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 }, other = { 0 };
  segment_writer_options o = fixture_options(1);
  segment_directory *d;
  segment_partition p;
  segment_block_ref a, b, moved;

  o.partition_blocks = 4;
  fixture_fill(&set, 400, 3);
  build(&set, o, &image);
  store_u64(o.id.bytes, 2);
  build(&set, o, &other);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(fixture_partition(&image, d, 0, &p, NULL), SB_OK);
  segment_partition_at(&p, 0, &a);
  segment_partition_at(&p, 1, &b);
  CU_ASSERT_EQUAL(decode(&image, &a), SB_OK);
  CU_ASSERT_EQUAL(decode(&image, &b), SB_OK);
  moved = a;
  moved.number = b.number;
  CU_ASSERT_EQUAL(decode(&image, &moved), SB_CORRUPT);
  CU_ASSERT_EQUAL(decode(&other, &a), SB_OK);
  memcpy(other.data + a.offset, image.data + a.offset, a.stored_len);
  CU_ASSERT_EQUAL(decode(&other, &a), SB_CORRUPT);
  CU_ASSERT_EQUAL(segment_partition_check(&image.info, 1, p.bytes, p.len,
                                          NULL), SB_CORRUPT);
  CU_ASSERT_EQUAL(segment_partition_check(&other.info, 0, p.bytes, p.len,
                                          NULL), SB_CORRUPT);
  segment_directory_free(&fixture_host, d);
  other.info = image.info;
  CU_ASSERT_EQUAL(fixture_directory(&other, &d, NULL), SB_CORRUPT);
  fixture_image_free(&image);
  fixture_image_free(&other);
  fixture_free(&set);
}

/* Numbers that would ask for too much, under a right checksum. */
static void
test_hostile(void)
{
  static const struct { size_t at; uint32_t value; } numbers[] = {
    { 8, 1u << 29 }, { 12, 0 }, { 12, 0xffffffffu }, { 16, 0xffffffe0u },
    { 16, 33 }, { 20, 0xffffffffu }, { 24, 1 }, { 28, 0xffffffffu },
    { 28, 0 }, { 0, 0xfffffff0u },
  };
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_directory *d;
  segment_partition p;
  uint8_t *bytes;
  size_t i, len;

  fixture_fill(&set, 60, 3);
  build(&set, fixture_options(1), &image);
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(fixture_partition(&image, d, 0, &p, NULL), SB_OK);
  len = p.len - SEGMENT_CRC_LEN;
  bytes = image.data + segment_directory_at(d, 0)->offset;
  for (i = 0; i <= TAP_COUNT(numbers); i++) {
    /* The last one: the first block's raw length. */
    size_t at = i < TAP_COUNT(numbers) ? numbers[i].at
                                       : (size_t)(p.locators - p.bytes) + 4;
    uint32_t old = load_u32(bytes + at);

    store_u32(bytes + at, i < TAP_COUNT(numbers) ? numbers[i].value
                                                 : SB_VALUE_MAX);
    store_u32(bytes + len, crc32c_seeded(image.info.id.bytes,
                                         SEGMENT_SEED_PARTITION, bytes, len));
    CU_ASSERT_EQUAL(segment_partition_check(&image.info, 0, bytes, p.len,
                                            NULL), SB_CORRUPT);
    store_u32(bytes + at, old);
  }
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

/* The segment with its footer's words replaced, under a right checksum: as a
   reader without a manifest sees it, and one with. */
static void
check_words(fixture_image *image, uint64_t first, uint64_t last)
{
  uint8_t *footer = image->data + image->len - SEGMENT_FOOTER_LEN;
  segment_info info = image->info;
  segment_directory *d = NULL;
  uint8_t old[SEGMENT_FOOTER_LEN];
  sb_status status;

  memcpy(old, footer, sizeof old);
  info.word_first = first;
  info.word_last = last;
  segment_footer_encode(&info, load_u32(footer + SEGMENT_BODY_CRC_AT),
                        footer);
  CU_ASSERT_EQUAL(fixture_directory(image, &d, NULL), SB_CORRUPT);
  info = image->info;
  status = segment_footer_read(image->data, image->len, &image->info, NULL);
  if (status == SB_OK)
    status = fixture_directory(image, &d, NULL);
  CU_ASSERT_EQUAL(status, SB_CORRUPT);
  image->info = info;
  memcpy(footer, old, sizeof old);
}

static void
test_words(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_writer_options o = fixture_options(1);
  segment_info wide;
  segment_directory *d;
  segment_partition p;
  uint64_t first, last;

  o.partition_blocks = 2;
  fixture_fill(&set, 400, 3);
  build(&set, o, &image);
  first = image.info.word_first;
  last = image.info.word_last;
  check_words(&image, last, first);
  check_words(&image, first - 1, last);
  check_words(&image, first + 1, last);
  check_words(&image, first, last - (1ull << 48));
  check_words(&image, first, last + (1ull << 48));
  check_words(&image, first, last & ~((1ull << 48) - 1));
  CU_ASSERT_EQUAL_FATAL(fixture_directory(&image, &d, NULL), SB_OK);
  wide = image.info;
  CU_ASSERT_EQUAL(fixture_partition(&image, d, 0, &p, NULL), SB_OK);
  image.info.word_first++;
  CU_ASSERT_EQUAL(fixture_partition(&image, d, 0, &p, NULL), SB_CORRUPT);
  image.info = wide;
  image.info.word_last = first;
  CU_ASSERT_EQUAL(fixture_partition(&image, d, 0, &p, NULL), SB_CORRUPT);
  segment_directory_free(&fixture_host, d);
  fixture_image_free(&image);
  fixture_free(&set);
}

static void
test_messages(void)
{
  fixture_set set = { 0 };
  fixture_image image = { 0 };
  segment_block_ref ref = { .offset = 4096, .stored_len = 40, .raw_len = 40,
                            .number = 17 };
  uint8_t raw[40];
  sb_error err;

  fixture_fill(&set, 60, 3);
  build(&set, fixture_options(0xabcd), &image);
  CU_ASSERT_EQUAL(segment_block_decode(&image.info, &ref, image.data, raw,
                                       &err), SB_CORRUPT);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "\"cdab"));
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "block 17 at offset 4096"));
  fixture_image_free(&image);
  fixture_free(&set);
}

/* ---- golden files ------------------------------------------------------- */

typedef struct golden {
  const char *name;
  uint32_t compression, block_size, partition_blocks;
  size_t records;
  int fronts;
} golden;

static const golden goldens[] = {
  { "plain", SEGMENT_COMPRESSION_NONE, 4096, 0, 30, 0 },
  { "snappy", SEGMENT_COMPRESSION_SNAPPY, 512, 4, 300, 0 },
  { "front", SEGMENT_COMPRESSION_SNAPPY, 512, 4, 60, 1 },
};

/* A front stands before an empty key, before others and alone. */
static void
golden_fill(const golden *g, fixture_set *set)
{
  record empty = { .state = 3, .key_group = 2, .flags = RECORD_ORDERED };
  uint16_t group;

  fixture_fill(set, g->records, 42);
  if (!g->fronts)
    return;
  empty.value = sb_slice_of("first", 5);
  fixture_push(set, &empty);
  for (group = 2; group < 12; group += 3) {
    record front = { .state = 3, .key_group = group, .flags = RECORD_FRONT };

    front.value = sb_slice_of("key-2\0", group == 2 ? 6 : 5);
    fixture_push(set, &front);
  }
  fixture_sort(set);
}

static void
golden_slice(FILE *file, sb_slice s)
{
  const uint8_t *p = s.data;
  size_t i;

  fputc(' ', file);
  for (i = 0; i < s.len; i++)
    fprintf(file, "%02x", p[i]);
  fputc(';', file);
}

static sb_status
golden_line(void *arg, const record *r, sb_error *err)
{
  FILE *file = arg;

  (void)err;
  fprintf(file, "%u %u %u %llu", r->key_group, (unsigned)r->state, r->flags,
          (unsigned long long)r->expires_ms);
  golden_slice(file, r->ns);
  golden_slice(file, r->key);
  golden_slice(file, r->subkey);
  golden_slice(file, r->value);
  fputc('\n', file);
  return SB_OK;
}

/* What the segment says, in text; the caller frees it. */
static char *
golden_text(const fixture_image *image)
{
  const segment_info *i = &image->info;
  char *text = NULL;
  size_t len;
  FILE *file = open_memstream(&text, &len);

  if (file == NULL)
    return NULL;
  fprintf(file, "size %llu blocks %u partitions %u records %llu "
          "tombstones %llu\nkey groups %u to %u of %u epochs %llu to %llu "
          "generation %llu expires %llu to %llu words %016llx to %016llx "
          "crc %08x\n",
          (unsigned long long)i->size, i->blocks, i->partitions,
          (unsigned long long)i->records, (unsigned long long)i->tombstones,
          i->key_group_first, i->key_group_last, i->key_group_count,
          (unsigned long long)i->epoch_min, (unsigned long long)i->epoch_max,
          (unsigned long long)i->generation,
          (unsigned long long)i->expires_min,
          (unsigned long long)i->expires_max,
          (unsigned long long)i->word_first,
          (unsigned long long)i->word_last, i->crc32c);
  if (fixture_scan(image, NULL, golden_line, file, NULL) != SB_OK)
    fprintf(file, "unreadable\n");
  fclose(file);
  return text;
}

static char *
golden_read(const char *name, const char *suffix, size_t *len)
{
  const char *srcdir = getenv("srcdir");
  char path[1000], *data;
  FILE *file;

  snprintf(path, sizeof path, "%s/golden/segment-v1/%s.%s",
           srcdir != NULL ? srcdir : "tests", name, suffix);
  file = fopen(path, "rb");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  data = malloc(1 << 20);
  CU_ASSERT_PTR_NOT_NULL_FATAL(data);
  *len = fread(data, 1, (1 << 20) - 1, file);
  data[*len] = 0;
  fclose(file);
  return data;
}

/* Files written by the first release are read for ever. */
static void
test_golden(void)
{
  size_t i, text_len;

  for (i = 0; i < TAP_COUNT(goldens); i++) {
    fixture_image image = { 0 };
    fixture_set set = { 0 };
    char *expected, *text;

    image.data = (uint8_t *)golden_read(goldens[i].name, "seg", &image.len);
    expected = golden_read(goldens[i].name, "txt", &text_len);
    CU_ASSERT_EQUAL(segment_footer_read(image.data, image.len, &image.info,
                                        NULL), SB_OK);
    CU_ASSERT_EQUAL(image.info.size, image.len);
    CU_ASSERT_EQUAL(image.info.crc32c, crc32c(image.data, image.len));
    text = golden_text(&image);
    CU_ASSERT_STRING_EQUAL(text, expected);
    golden_fill(&goldens[i], &set);
    CU_ASSERT_EQUAL(missing(&set, &image), 0);
    free(text);
    free(expected);
    fixture_free(&set);
    fixture_image_free(&image);
  }
}

static int
golden_put(const char *dir, const char *name, const char *suffix,
           const void *data, size_t len)
{
  char path[1000];
  FILE *file;
  size_t done;

  snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
  file = fopen(path, "wb");
  if (file == NULL)
    return 1;
  done = fwrite(data, 1, len, file);
  return fclose(file) != 0 || done != len;
}

static int
golden_write(const char *dir)
{
  int failed = 0;
  size_t i;

  for (i = 0; i < TAP_COUNT(goldens); i++) {
    segment_writer_options o = fixture_options(0x676f6c64656e0000u + i);
    fixture_image image = { 0 };
    fixture_set set = { 0 };
    char *text;

    o.compression = goldens[i].compression;
    o.block_size = goldens[i].block_size;
    o.partition_blocks = goldens[i].partition_blocks;
    golden_fill(&goldens[i], &set);
    if (fixture_build(&set, o, &image, NULL) != SB_OK)
      return 1;
    text = golden_text(&image);
    failed |= golden_put(dir, goldens[i].name, "seg", image.data, image.len);
    failed |= golden_put(dir, goldens[i].name, "txt", text, strlen(text));
    free(text);
    fixture_free(&set);
    fixture_image_free(&image);
  }
  return failed;
}

static const tap_case cases[] = {
  { "flips", test_flips },
  { "cut_short", test_cut_short },
  { "moved", test_moved },
  { "hostile", test_hostile },
  { "words", test_words },
  { "messages", test_messages },
  { "golden", test_golden },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "segment_damage", cases, TAP_COUNT(cases) },
  };

  if (argc == 3 && strcmp(argv[1], "--golden") == 0)
    return golden_write(argv[2]);
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
