/* SPDX-License-Identifier: Apache-2.0 */
/* A small world of values, maps and lists in namespaces, and its model; for the
   tests of namespaces and visitors. */
#ifndef TESTS_NAMESPACE_FIXTURE_H
#define TESTS_NAMESPACE_FIXTURE_H

#include "engine_fixture.h"

enum { KEYS = 60, SPACES = 8, SUBS = 4 };

/* Numbers written, 0 for nothing. Namespace 0 is the empty one. */
typedef struct world {
  sb_keyed *k;
  uint32_t values, maps, lists;
  unsigned value[KEYS][SPACES];
  unsigned map[KEYS][SPACES][SUBS];
  unsigned list_len[KEYS][SPACES];
  unsigned next;
} world;

/* Names of things; `sub` SUBS: none. Texts last until the next call. */
sb_slice space_slice(unsigned space);
sb_key world_key(uint32_t state, unsigned key, unsigned space, unsigned sub);
sb_slice world_bytes(unsigned number);

/* Registers the states. */
void world_open(world *w);
/* One change; what was refused has not happened. */
sb_status world_change(world *w);
sb_status world_clear_space(world *w, unsigned space);

/* A scan of one namespace in key groups first..last. */
sb_cursor *open_space(const world *w, uint32_t state, unsigned space,
                      uint32_t flags, uint32_t first, uint32_t last);
/* The numbers that the key and the value of a row are. */
unsigned row_key(const sb_row *row);
unsigned row_number(const sb_row *row);
/* How much differs from the model, over all states and namespaces. */
unsigned compare_all(const world *w);

uint64_t memory_used(sb_keyed *k);
uint64_t cold_reads(sb_keyed *k);
/* Writes of other things, which push the world out of memory. */
void push_out(world *w, uint32_t other, unsigned *filler, unsigned count);
/* Waits until all that is being written out is on the store. */
void settle(const world *w);

#endif
