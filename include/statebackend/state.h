/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State for people: value, list, map, reducing and aggregating state and
 * timers of one operator subtask, with a current key and namespace, over any
 * keyed handle.
 *
 * An sb_context wraps one sb_keyed and has its owner thread's rules: slices
 * that a call hands out are borrowed until the next call on the same context.
 *
 * A NULL state or a state of another kind is SB_INVALID, and so is one that
 * was dropped. So is a slice of NULL with a length. Names are any bytes but
 * NUL, UTF-8 or not: they are compared and stored as they are.
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
typedef struct sb_reducing sb_reducing;
typedef struct sb_aggregating sb_aggregating;
typedef struct sb_timers sb_timers;
typedef struct sb_iterator sb_iterator;
typedef struct sb_visitor sb_visitor;
typedef struct sb_batch sb_batch;

/* `keyed` is borrowed and must outlive the context. `key_group_count` as in
   its sb_keyed_options. sb_context_free also frees its states, timers,
   iterators, visitors and batches; requests still pending are waited for and
   their callbacks get SB_CANCELLED. */
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
SB_EXPORT sb_slice sb_context_namespace(const sb_context *context);

/* Makes the key and the namespace of a row of an iterator or visitor current,
   whatever hash the key was set with. */
SB_EXPORT sb_status sb_context_set_row(sb_context *context, const sb_row *row,
                                       sb_error *err);

/* The time of states that expire by event time: the watermark. It only grows,
   lower times are ignored. */
SB_EXPORT sb_status sb_context_set_time(sb_context *context, int64_t time_ms,
                                        sb_error *err);

/* ---- what a state is ------------------------------------------------------
   The plain open calls are those with a spec that has a name only. What was
   stored with the state is compared with the spec when a state is opened for
   the first time after a restore:

   - the kind and the types of keys, namespaces and subkeys must be the same;
   - another type of values needs a higher schema_version and `migrate`; a
     lower schema_version is refused;
   - time to live may come, go and change: what was stored without is taken as
     written when it came (lists), or when it is next rewritten (others).

   A type that either side does not name is not compared, and kept. Opening a
   state that is open gives the same object; SB_MISMATCH if a spec says
   otherwise than the first one. */

/* Folds `input` into what a key has; state->exists is 0 if it has nothing. The
   bytes are not aligned. Either change state->data where it stands and set
   SB_UPDATE_IN_PLACE, or set SB_UPDATE_PUT and a `replacement` that lives
   until the next call of the function. A failure leaves the state as it was (so
   change nothing in place before it) and its status and, if set, its message
   reach the caller. It must not call the context. */
typedef sb_status sb_fold_fn(void *arg, sb_update *state, sb_slice input,
                             sb_error *err);

/* Turns an accumulator into a result. */
typedef sb_status sb_result_fn(void *arg, sb_slice accumulator,
                               sb_give_fn *give, void *give_arg,
                               sb_error *err);

#define SB_SPEC_MOSTLY_HIT 1u   /* lookups nearly always find */
#define SB_SPEC_MIGRATE_NOW 2u  /* rewrite older values while opening */
#define SB_SPEC_NULLS 4u        /* maps: values may be null, which takes a byte
                                   each: data NULL, len 0 is null, not
                                   empty */
#define SB_SPEC_DEFAULT 8u      /* values: `default_value` if there is none */

#define SB_TTL_WRITE 10u        /* creating and writing renew the time */
#define SB_TTL_READ_WRITE 20u   /* reading too */
#define SB_TTL_NEVER 10u        /* never return what has expired */
#define SB_TTL_UNLESS_CLEANED 20u /* return it until it is cleaned up, which
                                     returning it does */
#define SB_TTL_PROCESSING 10u   /* by the host's clock */
#define SB_TTL_EVENT 20u        /* by sb_context_set_time */

/* Zero what is not said. Strings and bytes are copied. */
typedef struct sb_state_spec {
  uint32_t struct_size;
  uint32_t flags;               /* SB_SPEC_... */
  const char *name;
  const char *key_type;         /* names of the caller's serializers; NULL and
                                   "" say nothing */
  const char *namespace_type;
  const char *subkey_type;      /* maps */
  const char *value_type;       /* of elements, accumulators */
  uint32_t schema_version;      /* of values; at most 2^24 - 1 for lists */
  uint32_t cleanup_per_access;  /* each access also looks at that many records
                                   of the state, removing expired ones */
  uint64_t ttl_ms;              /* of each record, element, entry; 0: no end */
  uint32_t ttl_update;          /* SB_TTL_WRITE if 0 */
  uint32_t ttl_visibility;      /* SB_TTL_NEVER if 0 */
  uint32_t ttl_time;            /* SB_TTL_PROCESSING if 0 */
  uint32_t reserved;
  sb_migrate_fn *migrate;       /* values of older schema versions */
  void *migrate_arg;            /* used until the handle is closed */
  sb_slice default_value;       /* SB_SPEC_DEFAULT */
  sb_fold_fn *fold;             /* reducing: combines two values;
                                   aggregating: adds to an accumulator */
  sb_fold_fn *merge;            /* aggregating: combines two accumulators */
  sb_result_fn *result;         /* aggregating; NULL: the accumulator */
  void *fold_arg;
} sb_state_spec;

/* What is known of a state; slices are borrowed until the next call on the
   context. */
typedef struct sb_state_description {
  uint32_t struct_size;
  uint32_t kind;                /* SB_STATE_... */
  sb_slice name;
  sb_slice key_type, namespace_type, subkey_type, value_type;
  uint32_t schema_version;
  uint32_t restored;            /* known from the restored checkpoint */
  uint32_t open;                /* by this context */
  uint32_t reserved;
  uint64_t ttl_ms;
} sb_state_description;

/* The states of the handle by number, from 0 on; SB_END. */
SB_EXPORT sb_status sb_context_state_at(sb_context *context, uint32_t index,
                                        sb_state_description *state,
                                        sb_error *err);
/* Forgets a state and all that is in it, open or not; SB_NOT_FOUND. The name
   may be opened anew. */
SB_EXPORT sb_status sb_context_drop_state(sb_context *context,
                                          const char *name, sb_error *err);

/* ---- value ------------------------------------------------------------- */
SB_EXPORT sb_status sb_value_open(sb_context *context, const char *name,
                                  sb_value **out, sb_error *err);
SB_EXPORT sb_status sb_value_open_spec(sb_context *context,
                                       const sb_state_spec *spec,
                                       sb_value **out, sb_error *err);
/* SB_NOT_FOUND if there is none and no default. */
SB_EXPORT sb_status sb_value_get(sb_value *state, sb_slice *value,
                                 sb_error *err);
SB_EXPORT sb_status sb_value_put(sb_value *state, sb_slice value,
                                 sb_error *err);
SB_EXPORT sb_status sb_value_update(sb_value *state, sb_update_fn *fn,
                                    void *arg, sb_error *err);
SB_EXPORT sb_status sb_value_clear(sb_value *state, sb_error *err);

/* ---- list -------------------------------------------------------------- */
SB_EXPORT sb_status sb_list_open(sb_context *context, const char *name,
                                 sb_list **out, sb_error *err);
SB_EXPORT sb_status sb_list_open_spec(sb_context *context,
                                      const sb_state_spec *spec,
                                      sb_list **out, sb_error *err);
SB_EXPORT sb_status sb_list_add(sb_list *state, sb_slice element,
                                sb_error *err);
/* After a failure some of them may have been added. */
SB_EXPORT sb_status sb_list_add_all(sb_list *state, const sb_slice *elements,
                                    size_t count, sb_error *err);
/* The whole list, each element preceded by its length as a little-endian
   uint32: see sb_list_element. SB_NOT_FOUND if it is empty; SB_TOO_LARGE over
   SB_VALUE_MAX (then iterate). */
SB_EXPORT sb_status sb_list_get(sb_list *state, sb_slice *elements,
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
/* Rows with the elements as values; remove and set act on the last one. */
SB_EXPORT sb_status sb_list_iterate(sb_list *state, sb_iterator **out,
                                    sb_error *err);
SB_EXPORT sb_status sb_list_clear(sb_list *state, sb_error *err);
/* For the current key: appends the lists of the namespaces `sources` to that
   of `target`; they are empty afterwards. */
SB_EXPORT sb_status sb_list_merge(sb_list *state, sb_slice target,
                                  const sb_slice *sources, size_t count,
                                  sb_error *err);

/* Takes the first element off what sb_list_get gave; 0 at the end. */
static inline int
sb_list_element(sb_slice *elements, sb_slice *element)
{
  const uint8_t *p = (const uint8_t *)elements->data;
  size_t len;

  if (elements->len < 4)
    return 0;
  len = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 |
        (size_t)p[3] << 24;
  if (len > elements->len - 4)
    return 0;
  *element = sb_slice_of(p + 4, len);
  *elements = sb_slice_of(p + 4 + len, elements->len - 4 - len);
  return 1;
}

/* ---- map --------------------------------------------------------------- */
SB_EXPORT sb_status sb_map_open(sb_context *context, const char *name,
                                sb_map **out, sb_error *err);
SB_EXPORT sb_status sb_map_open_spec(sb_context *context,
                                     const sb_state_spec *spec, sb_map **out,
                                     sb_error *err);
/* SB_NOT_FOUND if there is none. With SB_SPEC_NULLS a null value is SB_OK with
   data NULL, an empty one has data. */
SB_EXPORT sb_status sb_map_get(sb_map *state, sb_slice subkey, sb_slice *value,
                               sb_error *err);
SB_EXPORT sb_status sb_map_put(sb_map *state, sb_slice subkey, sb_slice value,
                               sb_error *err);
/* After a failure some of them may have been put. The slices must not be
   borrowed from the context. */
SB_EXPORT sb_status sb_map_put_all(sb_map *state, const sb_slice *subkeys,
                                   const sb_slice *values, size_t count,
                                   sb_error *err);
SB_EXPORT sb_status sb_map_contains(sb_map *state, sb_slice subkey, int *found,
                                    sb_error *err);
SB_EXPORT sb_status sb_map_is_empty(sb_map *state, int *empty, sb_error *err);
/* With SB_SPEC_NULLS an existing null has update->data NULL. */
SB_EXPORT sb_status sb_map_update(sb_map *state, sb_slice subkey,
                                  sb_update_fn *fn, void *arg, sb_error *err);
SB_EXPORT sb_status sb_map_remove(sb_map *state, sb_slice subkey,
                                  sb_error *err);
/* In subkey order, until fn returns non-zero. fn must not call the context. */
typedef int sb_entry_fn(void *arg, sb_slice subkey, sb_slice value);
SB_EXPORT sb_status sb_map_each(sb_map *state, sb_entry_fn *fn, void *arg,
                                sb_error *err);
/* Rows with subkeys and values, in subkey order; remove and set act on the
   last one. */
SB_EXPORT sb_status sb_map_iterate(sb_map *state, sb_iterator **out,
                                   sb_error *err);
SB_EXPORT sb_status sb_map_clear(sb_map *state, sb_error *err);

/* ---- reducing -------------------------------------------------------------
   One value a key and namespace; the first one added is taken as it is, each
   further one is folded in by spec->fold. What is added must not be borrowed
   from the context. */
SB_EXPORT sb_status sb_reducing_open_spec(sb_context *context,
                                          const sb_state_spec *spec,
                                          sb_reducing **out, sb_error *err);
SB_EXPORT sb_status sb_reducing_add(sb_reducing *state, sb_slice value,
                                    sb_error *err);
/* SB_NOT_FOUND if nothing was added. */
SB_EXPORT sb_status sb_reducing_get(sb_reducing *state, sb_slice *value,
                                    sb_error *err);
/* Replaces the value, without folding. */
SB_EXPORT sb_status sb_reducing_update_internal(sb_reducing *state,
                                                sb_slice value, sb_error *err);
SB_EXPORT sb_status sb_reducing_clear(sb_reducing *state, sb_error *err);
/* For the current key: folds what the namespaces `sources` have, in their
   order, into what `target` has; they have nothing afterwards. */
SB_EXPORT sb_status sb_reducing_merge(sb_reducing *state, sb_slice target,
                                      const sb_slice *sources, size_t count,
                                      sb_error *err);

/* ---- aggregating ----------------------------------------------------------
   One accumulator a key and namespace; spec->fold makes it of the first value
   (state->exists is 0) and adds the others. */
SB_EXPORT sb_status sb_aggregating_open_spec(sb_context *context,
                                             const sb_state_spec *spec,
                                             sb_aggregating **out,
                                             sb_error *err);
SB_EXPORT sb_status sb_aggregating_add(sb_aggregating *state, sb_slice value,
                                       sb_error *err);
/* What spec->result makes of the accumulator; SB_NOT_FOUND. */
SB_EXPORT sb_status sb_aggregating_get(sb_aggregating *state, sb_slice *result,
                                       sb_error *err);
/* The accumulator itself. */
SB_EXPORT sb_status sb_aggregating_get_internal(sb_aggregating *state,
                                                sb_slice *accumulator,
                                                sb_error *err);
SB_EXPORT sb_status sb_aggregating_update_internal(sb_aggregating *state,
                                                   sb_slice accumulator,
                                                   sb_error *err);
SB_EXPORT sb_status sb_aggregating_clear(sb_aggregating *state, sb_error *err);
/* As sb_reducing_merge, by spec->merge. */
SB_EXPORT sb_status sb_aggregating_merge(sb_aggregating *state,
                                         sb_slice target,
                                         const sb_slice *sources, size_t count,
                                         sb_error *err);

/* ---- iterators ------------------------------------------------------------
   Any number at once; writes between two calls are allowed. What exists
   throughout is seen exactly once, what comes or goes meanwhile may be seen or
   not. */

/* The keys that have anything in the namespace `ns` in one of the states, each
   once. Rows have key_group, key and ns. remove clears the key and namespace
   in all these states. A list all of whose elements have expired counts until
   it is cleaned up. */
SB_EXPORT sb_status sb_context_keys(sb_context *context,
                                    const char *const *states, size_t count,
                                    sb_slice ns, sb_iterator **out,
                                    sb_error *err);
/* All keys and namespaces of a state, in the same way. */
SB_EXPORT sb_status sb_context_keys_and_namespaces(sb_context *context,
                                                   const char *state,
                                                   sb_iterator **out,
                                                   sb_error *err);
/* Removes what all keys have in one namespace of a state. */
SB_EXPORT sb_status sb_context_remove_namespace(sb_context *context,
                                                const char *state, sb_slice ns,
                                                sb_error *err);

/* SB_END when there are no more rows. */
SB_EXPORT sb_status sb_iterator_next(sb_iterator *iterator, sb_row *row,
                                     sb_error *err);
/* Of the row last returned, once. Removing what is gone is SB_OK. */
SB_EXPORT sb_status sb_iterator_remove(sb_iterator *iterator, sb_error *err);
/* Gives the row last returned another value. SB_NOT_FOUND if a list's element
   is gone. */
SB_EXPORT sb_status sb_iterator_set(sb_iterator *iterator, sb_slice value,
                                    sb_error *err);
SB_EXPORT void sb_iterator_close(sb_iterator *iterator);

/* ---- visitors -------------------------------------------------------------
   Walk a state some rows at a time while work goes on. One row a key and
   namespace, of maps one an entry; a list's value is the whole list as
   sb_list_get gives it. */

/* Of key groups first to last of the context's. */
SB_EXPORT sb_status sb_visitor_open(sb_context *context, const char *state,
                                    uint32_t key_group_first,
                                    uint32_t key_group_last, sb_visitor **out,
                                    sb_error *err);
/* Up to `max` rows, at least one; SB_END. The rows and their bytes are the
   visitor's until its next call of sb_visitor_next or close. */
SB_EXPORT sb_status sb_visitor_next(sb_visitor *visitor, size_t max,
                                    const sb_row **rows, size_t *count,
                                    sb_error *err);
/* Of any row of the last sb_visitor_next. The row's time is kept; for lists
   the value is a whole list. */
SB_EXPORT sb_status sb_visitor_update(sb_visitor *visitor, const sb_row *row,
                                      sb_slice value, sb_error *err);
SB_EXPORT sb_status sb_visitor_remove(sb_visitor *visitor, const sb_row *row,
                                      sb_error *err);
SB_EXPORT void sb_visitor_close(sb_visitor *visitor);

/* ---- batches --------------------------------------------------------------
   Requests on many keys at once, answered when their data is there. Requests
   on one key happen in the order submitted, and a direct call on a key comes
   after those pending on it. */

/* Where a request goes: instead of it, NULL is the current key and namespace.
   With has_hash the key's hash is `hash`. */
typedef struct sb_place {
  sb_slice key;
  sb_slice ns;
  uint32_t has_hash;
  int32_t hash;
} sb_place;

/* The answer, given inside sb_context_poll. `value` is borrowed for the call;
   `err` is filled if status is neither SB_OK nor SB_NOT_FOUND. The function
   may call the context, except poll and free. */
typedef void sb_answer_fn(void *arg, sb_status status, sb_slice value,
                          const sb_error *err);

SB_EXPORT sb_status sb_batch_new(sb_context *context, sb_batch **out,
                                 sb_error *err);
/* What was not submitted is forgotten; what was goes on. */
SB_EXPORT void sb_batch_free(sb_batch *batch);

/* Each adds a request; bytes are copied, `answer` may be NULL for writes. */
SB_EXPORT sb_status sb_batch_value_get(sb_batch *batch, sb_value *state,
                                       const sb_place *place,
                                       sb_answer_fn *answer, void *arg,
                                       sb_error *err);
SB_EXPORT sb_status sb_batch_value_put(sb_batch *batch, sb_value *state,
                                       const sb_place *place, sb_slice value,
                                       sb_answer_fn *answer, void *arg,
                                       sb_error *err);
SB_EXPORT sb_status sb_batch_value_clear(sb_batch *batch, sb_value *state,
                                         const sb_place *place,
                                         sb_answer_fn *answer, void *arg,
                                         sb_error *err);
/* The whole list, as sb_list_get. */
SB_EXPORT sb_status sb_batch_list_get(sb_batch *batch, sb_list *state,
                                      const sb_place *place,
                                      sb_answer_fn *answer, void *arg,
                                      sb_error *err);
SB_EXPORT sb_status sb_batch_list_add(sb_batch *batch, sb_list *state,
                                      const sb_place *place, sb_slice element,
                                      sb_answer_fn *answer, void *arg,
                                      sb_error *err);
SB_EXPORT sb_status sb_batch_list_clear(sb_batch *batch, sb_list *state,
                                        const sb_place *place,
                                        sb_answer_fn *answer, void *arg,
                                        sb_error *err);
SB_EXPORT sb_status sb_batch_map_get(sb_batch *batch, sb_map *state,
                                     const sb_place *place, sb_slice subkey,
                                     sb_answer_fn *answer, void *arg,
                                     sb_error *err);
SB_EXPORT sb_status sb_batch_map_put(sb_batch *batch, sb_map *state,
                                     const sb_place *place, sb_slice subkey,
                                     sb_slice value, sb_answer_fn *answer,
                                     void *arg, sb_error *err);
SB_EXPORT sb_status sb_batch_map_remove(sb_batch *batch, sb_map *state,
                                        const sb_place *place, sb_slice subkey,
                                        sb_answer_fn *answer, void *arg,
                                        sb_error *err);
SB_EXPORT sb_status sb_batch_map_clear(sb_batch *batch, sb_map *state,
                                       const sb_place *place,
                                       sb_answer_fn *answer, void *arg,
                                       sb_error *err);
SB_EXPORT sb_status sb_batch_reducing_get(sb_batch *batch, sb_reducing *state,
                                          const sb_place *place,
                                          sb_answer_fn *answer, void *arg,
                                          sb_error *err);
SB_EXPORT sb_status sb_batch_reducing_add(sb_batch *batch, sb_reducing *state,
                                          const sb_place *place,
                                          sb_slice value, sb_answer_fn *answer,
                                          void *arg, sb_error *err);
SB_EXPORT sb_status sb_batch_reducing_clear(sb_batch *batch,
                                            sb_reducing *state,
                                            const sb_place *place,
                                            sb_answer_fn *answer, void *arg,
                                            sb_error *err);
SB_EXPORT sb_status sb_batch_aggregating_get(sb_batch *batch,
                                             sb_aggregating *state,
                                             const sb_place *place,
                                             sb_answer_fn *answer, void *arg,
                                             sb_error *err);
SB_EXPORT sb_status sb_batch_aggregating_add(sb_batch *batch,
                                             sb_aggregating *state,
                                             const sb_place *place,
                                             sb_slice value,
                                             sb_answer_fn *answer, void *arg,
                                             sb_error *err);
SB_EXPORT sb_status sb_batch_aggregating_clear(sb_batch *batch,
                                               sb_aggregating *state,
                                               const sb_place *place,
                                               sb_answer_fn *answer, void *arg,
                                               sb_error *err);

/* Hands all added requests over at once, or none; the batch is empty again. */
SB_EXPORT sb_status sb_batch_submit(sb_batch *batch, sb_error *err);
/* Waits until `deadline_ns` of the host's monotonic clock (0: not at all) for
   the first answer, then gives all that are there; *count is how many. Nobody
   else may poll the handle. */
SB_EXPORT sb_status sb_context_poll(sb_context *context, uint64_t deadline_ns,
                                    size_t *count, sb_error *err);
/* Requests submitted and not yet answered. */
SB_EXPORT size_t sb_context_pending(const sb_context *context);

/* ---- timers ------------------------------------------------------------- */
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
