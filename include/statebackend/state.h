/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State for people: value, list and map state and timers of one operator
 * subtask, with a current key and namespace, over any keyed handle.
 *
 * An sb_context wraps one sb_keyed and has its owner thread's rules: slices
 * that a call hands out are borrowed until the next call on the same context.
 */
#ifndef STATEBACKEND_STATE_H
#define STATEBACKEND_STATE_H

#include <statebackend/backend.h>
#include <statebackend/keygroup.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sb_context sb_context;
typedef struct sb_value sb_value;
typedef struct sb_list sb_list;
typedef struct sb_map sb_map;
typedef struct sb_timers sb_timers;

/* `keyed` is borrowed and must outlive the context. `key_group_count` as in
   its sb_keyed_options. sb_context_free also frees its states and timers. */
SB_EXPORT sb_status sb_context_new(sb_keyed *keyed, const sb_host *host,
                                   uint32_t key_group_count,
                                   uint32_t key_group_first,
                                   uint32_t key_group_last, sb_context **out,
                                   sb_error *err);
SB_EXPORT void sb_context_free(sb_context *context);

/* The current key (copied), with the default hash or the caller's. SB_INVALID
   if its key group is not in the handle's range. */
SB_EXPORT sb_status sb_context_set_key(sb_context *context, sb_slice key,
                                       sb_error *err);
SB_EXPORT sb_status sb_context_set_key_hash(sb_context *context, sb_slice key,
                                            int32_t hash, sb_error *err);
SB_EXPORT sb_slice sb_context_key(const sb_context *context);

/* The current namespace of all states of the context (copied); void at
   first. */
SB_EXPORT sb_status sb_context_set_namespace(sb_context *context, sb_slice ns,
                                             sb_error *err);

/* ---- value -------------------------------------------------------------- */
SB_EXPORT sb_status sb_value_open(sb_context *context, const char *name,
                                  sb_value **out, sb_error *err);
/* SB_NOT_FOUND if there is none. */
SB_EXPORT sb_status sb_value_get(sb_value *state, sb_slice *value,
                                 sb_error *err);
SB_EXPORT sb_status sb_value_put(sb_value *state, sb_slice value,
                                 sb_error *err);
SB_EXPORT sb_status sb_value_update(sb_value *state, sb_update_fn *fn,
                                    void *arg, sb_error *err);
SB_EXPORT sb_status sb_value_clear(sb_value *state, sb_error *err);

/* ---- list --------------------------------------------------------------- */
SB_EXPORT sb_status sb_list_open(sb_context *context, const char *name,
                                 sb_list **out, sb_error *err);
SB_EXPORT sb_status sb_list_add(sb_list *state, sb_slice element,
                                sb_error *err);
/* Replaces the whole list; after a failure it may hold only some of it. The
   elements must not be borrowed from the context. */
SB_EXPORT sb_status sb_list_update(sb_list *state, const sb_slice *elements,
                                   size_t count, sb_error *err);
/* Calls fn for each element in order until it returns non-zero. SB_NOT_FOUND
   if the list is empty. fn must not call the context. */
typedef int sb_element_fn(void *arg, sb_slice element);
SB_EXPORT sb_status sb_list_each(sb_list *state, sb_element_fn *fn, void *arg,
                                 sb_error *err);
SB_EXPORT sb_status sb_list_clear(sb_list *state, sb_error *err);

/* ---- map ---------------------------------------------------------------- */
SB_EXPORT sb_status sb_map_open(sb_context *context, const char *name,
                                sb_map **out, sb_error *err);
SB_EXPORT sb_status sb_map_get(sb_map *state, sb_slice subkey, sb_slice *value,
                               sb_error *err);
SB_EXPORT sb_status sb_map_put(sb_map *state, sb_slice subkey, sb_slice value,
                               sb_error *err);
SB_EXPORT sb_status sb_map_update(sb_map *state, sb_slice subkey,
                                  sb_update_fn *fn, void *arg, sb_error *err);
SB_EXPORT sb_status sb_map_remove(sb_map *state, sb_slice subkey,
                                  sb_error *err);
/* In subkey order, until fn returns non-zero. fn must not call the context. */
typedef int sb_entry_fn(void *arg, sb_slice subkey, sb_slice value);
SB_EXPORT sb_status sb_map_each(sb_map *state, sb_entry_fn *fn, void *arg,
                                sb_error *err);
SB_EXPORT sb_status sb_map_clear(sb_map *state, sb_error *err);

/* ---- timers -------------------------------------------------------------- */
/* A timer is (time, key, namespace), a set: registering one twice is once.
   Event-time and processing-time timers are two sb_timers with two names. */
typedef struct sb_timer {
  int64_t time_ms;
  sb_slice key;
  sb_slice ns;
} sb_timer;

SB_EXPORT sb_status sb_timers_open(sb_context *context, const char *name,
                                   sb_timers **out, sb_error *err);
/* For the current key and namespace. */
SB_EXPORT sb_status sb_timers_add(sb_timers *timers, int64_t time_ms,
                                  sb_error *err);
SB_EXPORT sb_status sb_timers_remove(sb_timers *timers, int64_t time_ms,
                                     sb_error *err);
/* The earliest timer of the subtask; SB_END if there is none. Ties: by key
   group, then in an order of the keys and namespaces that does not change. */
SB_EXPORT sb_status sb_timers_peek(sb_timers *timers, sb_timer *timer,
                                   sb_error *err);
/* Takes the earliest timer if its time is <= `until_ms`, makes its key and
   namespace current; SB_END if there is none. `timer` is borrowed until the
   next call on these timers. */
SB_EXPORT sb_status sb_timers_poll(sb_timers *timers, int64_t until_ms,
                                   sb_timer *timer, sb_error *err);

#ifdef __cplusplus
}
#endif
#endif
