/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the timers case and RocksDB's side of it share: the element, and a
 * RocksDB that keeps timers as Flink's backend does.
 */
#ifndef SB_BENCH_TIMERS_H
#define SB_BENCH_TIMERS_H

#include "bench/bench.h"

/* Time, length of the key, key, void namespace: Flink's timer serializer. */
#define TIMERS_ELEMENT (8 + 1 + BENCH_KEY + 1)

typedef struct timers_rocks timers_rocks;

/* NULL where this build has no RocksDB. Memory is shared out as Flink's
   managed memory is: a third for write buffers, the rest for blocks. */
timers_rocks *timers_rocks_open(const char *dir, uint64_t memory);
void timers_rocks_close(timers_rocks *r);
void timers_rocks_add(timers_rocks *r, uint32_t key_group,
                      const uint8_t element[TIMERS_ELEMENT]);
/* 0 if there is none. */
int timers_rocks_poll(timers_rocks *r, uint8_t element[TIMERS_ELEMENT]);

#endif
