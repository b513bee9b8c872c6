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
#include "host/base/slice.h"

/* First member of each kind of state. */
typedef struct state_base {
  sb_context *context;
  struct state_base *next;
  void (*dispose)(struct state_base *base); /* of what it owns, may be NULL */
  uint32_t id;
  uint32_t kind;            /* 0 once the state was dropped */
  char *name;
  sb_slice blob;            /* as registered, owned; see spec.h */
  uint32_t schema_version;  /* the caller's */
  uint32_t ttl_update, ttl_visibility, ttl_time;
  uint32_t cleanup;         /* records looked at by each access */
  uint8_t stamped;          /* list: a stamp stands before each element */
  uint8_t nulls;            /* map: a byte before each value, 1 for null */
  uint8_t plain;            /* reading neither renews nor cleans up */
  uint64_t ttl_ms;
  sb_cursor *cleaner;       /* of ttl_clean */
} state_base;

struct sb_context {
  sb_keyed *keyed;
  const sb_host *host;
  state_base *states;
  buf key, ns;
  uint32_t key_group_count, key_group_first, key_group_last;
  uint32_t key_group;  /* of the current key */
  uint32_t has_key;
  void (*prefetch)(sb_keyed *keyed, const sb_key *key); /* or NULL */
  uint32_t used;       /* the state that was used last */
  uint64_t time_ms;    /* event time */
  buf reading;         /* a value handed out that the handle does not lend */
  buf writing;         /* a value put together for the handle */
  struct sb_iterator *iterators;
  struct sb_visitor *visitors;
  struct sb_batch *batches;
  struct request *spare;   /* requests.h */
  size_t pending;          /* requests submitted */
  uint8_t closing;
  uint8_t read_only;       /* the handle */
};

/* What a kind is called: "a list". */
const char *state_kind_name(uint32_t kind);

/* Says what is wrong with a state that is not of this kind. */
sb_status state_refuse(const state_base *base, uint32_t kind, sb_error *err);

static inline sb_status
state_use(const state_base *base, uint32_t kind, sb_error *err)
{
  return base != NULL && base->kind == kind ? SB_OK
                                            : state_refuse(base, kind, err);
}

/* Empties a buffer, and gives its memory back if that is over `keep`. */
void buf_trim(buf *b, size_t keep);

/* SB_INVALID for a NULL where there must be something; `what` names it. */
sb_status state_need(const void *pointer, const char *what, sb_error *err);

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

/* Says that there is no current key yet. */
sb_status context_refuse_place(sb_error *err);

/* The current place in a state. SB_INVALID before the first key. */
static inline sb_status
context_place(const state_base *base, sb_slice subkey, sb_key *place,
              sb_error *err)
{
  sb_context *context = base->context;

  if (!context->has_key)
    return context_refuse_place(err);
  context->used = base->id;
  place->state = base->id;
  place->key_group = context->key_group;
  place->key = sb_slice_of(context->key.data, context->key.len);
  place->ns = sb_slice_of(context->ns.data, context->ns.len);
  place->subkey = subkey;
  return SB_OK;
}

/* The two of them: a state of this kind at the current place. */
static inline sb_status
context_use(const state_base *base, uint32_t kind, sb_slice subkey,
            sb_key *place, sb_error *err)
{
  sb_status status = state_use(base, kind, err);

  return status != SB_OK ? status : context_place(base, subkey, place, err);
}

/* The open state of a name, or NULL. */
state_base *context_named(const sb_context *context, sb_slice name);

/* A state for scans by name, open or only restored. */
sb_status context_lookup(sb_context *context, const char *name, uint32_t *id,
                         sb_error *err);

/* Before anything is merged: have all namespaces their bytes? */
sb_status context_check_merge(sb_slice target, const sb_slice *sources,
                              size_t count, sb_error *err);

/* A scan of all records of the current key and namespace of a state. */
sb_status context_scan_options(const state_base *base,
                               sb_scan_options *options, sb_error *err);

/* Removes all records of the current key and namespace. */
sb_status context_clear(const state_base *base, sb_error *err);

#endif
