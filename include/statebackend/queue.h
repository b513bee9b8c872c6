/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Priority queues: durable sets of elements, each in a key group, polled in one
 * order over all key groups of a keyed handle. Only the nearest elements are
 * kept in memory; the rest lies in a state of kind SB_STATE_TIMER, one record
 * an element with an empty value.
 *
 * The order is that of the element's bytes (so begin them with a big-endian
 * time), or of the bytes that a rank function gives. Elements that are equal so
 * far come by key group, then by their bytes.
 *
 * A queue has its handle's owner thread. Slices that it hands out are borrowed
 * until the next call on the queue. Nobody else may write to its state.
 */
#ifndef STATEBACKEND_QUEUE_H
#define STATEBACKEND_QUEUE_H

#include <statebackend/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sb_queue sb_queue;
typedef struct sb_queue_iterator sb_queue_iterator;

typedef struct sb_queue_element {
  uint32_t key_group;
  uint32_t reserved;
  sb_slice bytes;
} sb_queue_element;

/* Gives the bytes by which an element is ordered, in one or more calls of
   `give`. The same element must always get the same ones. */
typedef sb_status sb_rank_fn(void *arg, sb_slice element, sb_give_fn *give,
                             void *give_arg);

#define SB_QUEUE_MEMORY (2u << 20)

typedef struct sb_queue_options {
  uint32_t struct_size;
  uint32_t key_group_first, key_group_last; /* of the handle, inclusive */
  uint32_t rank_len;        /* bytes of a rank, always as many; 0: the
                               elements' own bytes are the order */
  sb_rank_fn *rank;         /* NULL with rank_len 0 */
  void *rank_arg;           /* used until the queue is closed */
  const sb_state_options *state; /* of kind SB_STATE_TIMER */
  uint64_t memory;          /* bytes for near elements, shared by the key
                               groups, each of which may have 16 elements
                               whatever the share; 0: SB_QUEUE_MEMORY */
} sb_queue_options;

/* Registers the state. `keyed` is borrowed and must outlive the queue. *info,
   unless NULL, is filled as by register_state. */
SB_EXPORT sb_status sb_queue_open(sb_keyed *keyed, const sb_host *host,
                                  const sb_queue_options *options,
                                  sb_state_info *info, sb_queue **out,
                                  sb_error *err);
SB_EXPORT void sb_queue_close(sb_queue *queue);

/* *head_changed, unless head_changed is NULL, is 1 if another element is the
   first of all afterwards. Asking may have to read the first ones. Adding what
   is there and removing what is not there is SB_OK. */
SB_EXPORT sb_status sb_queue_add(sb_queue *queue, uint32_t key_group,
                                 sb_slice element, int *head_changed,
                                 sb_error *err);
SB_EXPORT sb_status sb_queue_remove(sb_queue *queue, uint32_t key_group,
                                    sb_slice element, int *head_changed,
                                    sb_error *err);
/* After a failure some may have been added: adding all once more is right. */
SB_EXPORT sb_status sb_queue_add_all(sb_queue *queue,
                                     const sb_queue_element *elements,
                                     size_t count, int *head_changed,
                                     sb_error *err);

/* The first element of all; SB_END if there is none. */
SB_EXPORT sb_status sb_queue_peek(sb_queue *queue, sb_queue_element *element,
                                  sb_error *err);
SB_EXPORT sb_status sb_queue_is_empty(sb_queue *queue, int *empty,
                                      sb_error *err);

/* Takes the first element if it is due: if its order bytes, cut to the length
   of `until`, are not above `until`. So 8 bytes of time take all elements up to
   and at that time, and an empty `until` takes any. SB_END if there is none.
   `until` must not be borrowed from the queue. */
SB_EXPORT sb_status sb_queue_poll(sb_queue *queue, sb_slice until,
                                  sb_queue_element *element, sb_error *err);
/* Takes up to `max` due elements in order; SB_END if there is none. If some can
   be taken and some cannot, the former are handed out with SB_OK; the next call
   finds the latter again. */
SB_EXPORT sb_status sb_queue_poll_batch(sb_queue *queue, sb_slice until,
                                        sb_queue_element *elements, size_t max,
                                        size_t *count, sb_error *err);

/* Counts by reading, unless all elements are in memory. */
SB_EXPORT sb_status sb_queue_size(sb_queue *queue, uint64_t *size,
                                  sb_error *err);

/* All elements of some key groups (inclusive), key group by key group, each in
   order. The queue may be changed meanwhile: what is there throughout is seen
   once. Close it before the queue. SB_END when done. */
SB_EXPORT sb_status sb_queue_iterate(sb_queue *queue, uint32_t key_group_first,
                                     uint32_t key_group_last,
                                     sb_queue_iterator **out, sb_error *err);
SB_EXPORT sb_status sb_queue_next(sb_queue_iterator *iterator,
                                  sb_queue_element *element, sb_error *err);
SB_EXPORT void sb_queue_iterator_close(sb_queue_iterator *iterator);

#ifdef __cplusplus
}
#endif
#endif
