/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a queue, for what is built on queues: a queue over a state that
   has been registered already. */
#ifndef SB_STATE_QUEUE_H
#define SB_STATE_QUEUE_H

#include <statebackend/queue.h>
#include "host/state/queue_cache.h"

struct sb_queue {
  sb_keyed *keyed;
  const sb_host *host;
  uint32_t state;
  uint32_t key_group_first, key_group_last;
  uint32_t rank_len;
  sb_rank_fn *rank;
  void *rank_arg;
  queue_cache cache;
  buf record;   /* the record that is being looked at */
  buf lent;     /* elements handed out that the cache no longer has */
  uint64_t batch; /* number of the last batch */
};

/* `order_len`: bytes of records that are compared between key groups, 0 all.
   Of *options the name and blob of the state are not used. */
sb_status queue_init(sb_queue *queue, sb_keyed *keyed, const sb_host *host,
                     uint32_t state, const sb_queue_options *options,
                     uint32_t order_len, sb_error *err);
void queue_dispose(sb_queue *queue);

/* SB_INVALID for a queue that is NULL. */
sb_status queue_need(const sb_queue *queue, sb_error *err);
/* The queue and where the answer goes. */
sb_status queue_need_room(const sb_queue *queue, const void *room,
                          sb_error *err);

/* SB_CORRUPT for a record that cannot be one of the queue's. */
sb_status queue_check_record(const sb_queue *queue, sb_slice record,
                             sb_error *err);

#endif
