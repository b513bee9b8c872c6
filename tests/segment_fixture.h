/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of segments share: a host that only has memory and can fail
 * it, sets of records, segments as bytes, and a plain reader of them.
 */
#ifndef TESTS_SEGMENT_FIXTURE_H
#define TESTS_SEGMENT_FIXTURE_H

#include "host/engine/segment.h"

/* ---- host --------------------------------------------------------------- */

extern const sb_host fixture_host;

/* Allocations that are alive, and the one that fails: 1 the next, 0 none. */
extern size_t fixture_alive, fixture_fail_at;

/* ---- random numbers, the same everywhere -------------------------------- */

typedef struct fixture_random {
  uint64_t state;
} fixture_random;

uint64_t fixture_next(fixture_random *random);
uint32_t fixture_below(fixture_random *random, uint32_t n);

/* ---- records ------------------------------------------------------------ */

/* Records with bytes of their own. */
typedef struct fixture_set {
  record *records;
  size_t count, cap;
} fixture_set;

/* Copies the slices, sets the hash. */
void fixture_push(fixture_set *set, const record *r);
void fixture_pop(fixture_set *set);
void fixture_sort(fixture_set *set); /* also drops doubles */
void fixture_free(fixture_set *set);
record fixture_record(uint16_t key_group, uint32_t state, const char *ns,
                      const char *key, const char *subkey, const char *value);

/* All kinds of records mixed. */
void fixture_fill(fixture_set *set, size_t count, uint64_t seed);
/* Keys of 16 bytes, values of 100, half of them random, 128 key groups. */
void fixture_fill_plain(fixture_set *set, size_t count, uint64_t seed);
uint64_t fixture_id(const record *r);
int fixture_same(const record *a, const record *b);

/* ---- segments ----------------------------------------------------------- */

typedef struct fixture_image {
  uint8_t *data;
  size_t len, cap;
  size_t fail_after;   /* emits that work; 0: all */
  size_t emits, blocks;
  segment_info info;
} fixture_image;

segment_writer_options fixture_options(uint64_t id);
sb_status fixture_emit(void *arg, const void *data, size_t len,
                       sb_error *err);
/* Writes all of `set`; options->emit and arg are set here. */
sb_status fixture_build(const fixture_set *set, segment_writer_options options,
                        fixture_image *image, sb_error *err);
void fixture_image_free(fixture_image *image);

/* Looks a record up as the engine does. *out's slices are in *block, which the
   caller frees. SB_NOT_FOUND; SB_END if a filter said no. */
sb_status fixture_get(const fixture_image *image, const record *key,
                      record *out, void **block, sb_error *err);

typedef sb_status fixture_scan_fn(void *arg, const record *r, sb_error *err);
/* From the first record not before `from`, or all if NULL. */
sb_status fixture_scan(const fixture_image *image, const record *from,
                       fixture_scan_fn *fn, void *arg, sb_error *err);

/* For scans: counts the records, and whether each is the next of `set`. */
typedef struct fixture_expect {
  const fixture_set *set;
  size_t next;
  int wrong;
} fixture_expect;

sb_status fixture_expect_next(void *arg, const record *r, sb_error *err);

/* A checked block; the caller frees it. */
sb_status fixture_block(const fixture_image *image,
                        const segment_block_ref *ref, void **out,
                        sb_error *err);
sb_status fixture_directory(const fixture_image *image,
                            segment_directory **out, sb_error *err);
/* Partition `i`, checked. */
sb_status fixture_partition(const fixture_image *image,
                            const segment_directory *d, uint32_t i,
                            segment_partition *out, sb_error *err);

#endif
