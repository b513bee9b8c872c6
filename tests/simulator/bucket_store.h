/* SPDX-License-Identifier: Apache-2.0 */
/* A process's handle on the bucket: the store vtable's private struct. */
#ifndef SIM_BUCKET_STORE_H
#define SIM_BUCKET_STORE_H

#include "tests/simulator/bucket.h"

typedef struct bucket_store {
  sb_store base;
  struct bucket_store *next; /* of the process */
  bucket *bucket;
  sim_process *process;
  uint64_t in_flight;
  sb_stream *streams;
} bucket_store;

struct sb_stream {
  sb_stream *next, *prev;
  bucket_store *store;
  char *name, *if_match;
  uint32_t flags, priority;
  sb_meta *meta;
  uint64_t meta_count, size_hint;
  uint8_t *bytes;
  uint64_t size, cap;
  int busy, failed, ending;
};

const sb_store_ops *bucket_store_ops(void);
void stream_free(sb_stream *stream);
/* A write has been answered: its bytes count now. */
void stream_wrote(bucket_op *op);

bucket_op *bucket_op_new(bucket_store *store, int kind,
                         const sb_request *base);
sb_status bucket_op_submit(bucket_op *op, uint64_t *number, sb_error *err);
void bucket_cancel(bucket_store *store, uint64_t number);

#endif
