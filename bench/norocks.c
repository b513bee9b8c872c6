/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in for rocks.c in a build without RocksDB: no peer, so cases
   print our side alone. */
#include "config.h"

#include <stddef.h>

#include "bench/bench.h"

rocks *
rocks_open(const char *dir, uint64_t cache_size)
{
  (void)dir;
  (void)cache_size;
  return NULL;
}

void
rocks_close(rocks *r)
{
  (void)r;
}

void
rocks_keep_still(rocks *r)
{
  (void)r;
}

void
rocks_put(rocks *r, const uint8_t *key, const uint8_t *value, uint32_t size)
{
  (void)r;
  (void)key;
  (void)value;
  (void)size;
}

int
rocks_get(rocks *r, const uint8_t *key, uint8_t *value, uint32_t size)
{
  (void)r;
  (void)key;
  (void)value;
  (void)size;
  return 0;
}

void
rocks_add(rocks *r, const uint8_t *key)
{
  (void)r;
  (void)key;
}

void
rocks_fill(rocks *r, uint64_t count)
{
  (void)r;
  (void)count;
}

void
rocks_flush(rocks *r)
{
  (void)r;
}

void
rocks_compact(rocks *r)
{
  (void)r;
}

uint64_t
rocks_scan(rocks *r)
{
  (void)r;
  return 0;
}

void
rocks_checkpoint(rocks *r, const char *dir)
{
  (void)r;
  (void)dir;
}
