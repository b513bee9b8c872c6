/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bloom: a split-block Bloom filter over 64-bit ids, as the Parquet format
 * specifies it (github.com/apache/parquet-format, BloomFilter.md): blocks of
 * 256 bits; the id's upper half chooses the block, its lower half one bit in
 * each of the block's eight 32-bit lanes.
 */
#ifndef SB_ENGINE_BLOOM_H
#define SB_ENGINE_BLOOM_H

#include <stddef.h>
#include <stdint.h>

#define BLOOM_BLOCK_LEN 32u
#define BLOOM_BITS_PER_ID 12u /* under 1 % false answers */

/* Bytes for `count` ids: a multiple of BLOOM_BLOCK_LEN, at least one. */
size_t bloom_len(size_t count);

/* `filter` is zeroed before the first id. */
void bloom_add(uint8_t *filter, size_t len, uint64_t id);
int bloom_may_contain(const uint8_t *filter, size_t len, uint64_t id);

#endif
