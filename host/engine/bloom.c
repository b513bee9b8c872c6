/* SPDX-License-Identifier: Apache-2.0 */
/* Split-block Bloom filter; see bloom.h. */
#include "config.h"

#include "host/base/buf.h"
#include "host/engine/bloom.h"

#define BLOOM_LANES 8

/* The salts of the Parquet specification. */
static const uint32_t bloom_salts[BLOOM_LANES] = {
  0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
  0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u,
};

size_t
bloom_len(size_t count)
{
  size_t bits = count * BLOOM_BITS_PER_ID;
  size_t blocks = (bits + BLOOM_BLOCK_LEN * 8 - 1) / (BLOOM_BLOCK_LEN * 8);

  return (blocks == 0 ? 1 : blocks) * BLOOM_BLOCK_LEN;
}

static size_t
bloom_block(size_t len, uint64_t id)
{
  uint64_t blocks = len / BLOOM_BLOCK_LEN;

  return (size_t)((id >> 32) * blocks >> 32) * BLOOM_BLOCK_LEN;
}

void
bloom_add(uint8_t *filter, size_t len, uint64_t id)
{
  uint8_t *lane = filter + bloom_block(len, id);
  int i;

  for (i = 0; i < BLOOM_LANES; i++, lane += 4) {
    uint32_t bit = (uint32_t)id * bloom_salts[i] >> 27;
    store_u32(lane, load_u32(lane) | 1u << bit);
  }
}

int
bloom_may_contain(const uint8_t *filter, size_t len, uint64_t id)
{
  const uint8_t *lane = filter + bloom_block(len, id);
  uint32_t all = 1;
  int i;

  for (i = 0; i < BLOOM_LANES; i++, lane += 4)
    all &= load_u32(lane) >> ((uint32_t)id * bloom_salts[i] >> 27);
  return (int)all;
}
