/* SPDX-License-Identifier: Apache-2.0 */
/*
 * separator: the lower bounds by which indexes find a block or a partition.
 *
 * Each bound has a word of 64 bits whose order follows the order of records;
 * only where the words of neighbours are equal does a bound need bytes of its
 * own, a record cut as short as it may be.
 */
#ifndef SB_ENGINE_SEPARATOR_H
#define SB_ENGINE_SEPARATOR_H

#include "host/base/buf.h"
#include "host/engine/record.h"

/* Longest encoding: all three slices at their limits. */
#define SEPARATOR_LEN_MAX (3u * 65535u + 40u)

/* Not greater than the word of any later record: key group, state, then the
   start of the namespace if there is one, else of the hash. */
uint64_t separator_word(const record *r);

/* Appends a bound s with previous < s <= first. Appends nothing if the words
   differ, as the word alone then is such a bound. */
void separator_encode(buf *out, const record *previous, const record *first);

/* 0, or -1 if the bytes are no separator. Slices point into them; key group
   and state are the word's. */
int separator_decode(uint64_t word, const void *bytes, size_t len,
                     record *out);

/* Bounds of an index: `words`, count of them; and either separators_len 0 or
   count offsets of four bytes, then the encodings one after the other. */
typedef struct separator_table {
  const uint8_t *words;
  const uint8_t *separators;
  uint32_t count, separators_len;
} separator_table;

/* The last bound that is not after `key`; 0 if there is none. */
uint32_t separator_find(const separator_table *t, const record *key);

/* 0, or -1 if the table does not hold together. */
int separator_check(const separator_table *t);

#endif
