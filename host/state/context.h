/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kinds of state share: the context they belong to, their id in the
 * keyed handle and the place of a record for the current key and namespace.
 */
#ifndef SB_STATE_CONTEXT_H
#define SB_STATE_CONTEXT_H

#include <statebackend/plugin.h>
#include <statebackend/state.h>
#include "host/base/buf.h"

/* First member of each kind of state. */
typedef struct state_base {
  sb_context *context;
  struct state_base *next;
  void (*dispose)(struct state_base *base); /* of what it owns, may be NULL */
  uint32_t id;
} state_base;

struct sb_context {
  sb_keyed *keyed;
  const sb_host *host;
  state_base *states;
  buf key, ns;
  uint32_t key_group_count, key_group_first, key_group_last;
  uint32_t key_group;  /* of the current key */
  uint32_t has_key;
};

/* Registers a state and makes its object of `size` zeroed bytes, owned by the
   context. A name that is open already gives the same object. */
sb_status context_open(sb_context *context, const char *name, uint32_t kind,
                       size_t size, state_base **out, sb_error *err);

/* Makes (key group, key, namespace) current, in two steps: reserve may fail
   and changes nothing, move cannot. */
sb_status context_reserve_move(sb_context *context, sb_slice key, sb_slice ns,
                               sb_error *err);
void context_move(sb_context *context, uint32_t key_group, sb_slice key,
                  sb_slice ns);

/* The current place in a state. SB_INVALID before the first key. */
sb_status context_place(const state_base *base, sb_slice subkey, sb_key *place,
                        sb_error *err);

/* A scan of all records of the current key and namespace of a state. */
sb_status context_scan_options(const state_base *base,
                               sb_scan_options *options, sb_error *err);

/* Removes all records of the current key and namespace. */
sb_status context_clear(const state_base *base, sb_error *err);

#endif
