/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation's only source of chance: splitmix64, one stream a component,
   so that a change in one leaves the others' choices as they were. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdint.h>

typedef struct rng {
  uint64_t state;
} rng;

static inline uint64_t
rng_mix(uint64_t x)
{
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

static inline uint64_t
rng_next(rng *r)
{
  return rng_mix(r->state += 0x9E3779B97F4A7C15ull);
}

static inline rng
rng_of(uint64_t seed, uint64_t stream)
{
  rng r = { rng_mix(seed * 0x9E3779B97F4A7C15ull + stream) };

  (void)rng_next(&r);
  return r;
}

/* 0 to n - 1; 0 for n 0 */
static inline uint64_t
rng_below(rng *r, uint64_t n)
{
  return n == 0 ? 0 : (rng_next(r) >> 11) % n;
}

/* low to high, inclusive */
static inline uint64_t
rng_range(rng *r, uint64_t low, uint64_t high)
{
  return low + rng_below(r, high - low + 1);
}

/* 1 in `per_mille` of 1,000 cases */
static inline int
rng_chance(rng *r, uint32_t per_mille)
{
  return rng_below(r, 1000) < per_mille;
}

/* Spread over magnitudes: small numbers are likely, large ones happen. */
static inline uint64_t
rng_skewed(rng *r, uint64_t max)
{
  uint64_t bits = 0;

  while (bits < 63 && max >> bits != 0)
    bits++;
  return rng_below(r, max + 1) >> rng_below(r, bits + 1);
}

#endif
