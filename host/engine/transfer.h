/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer: copies of a set of objects, several under way at a time; on the
 * store's side where it can, through the client else.
 */
#ifndef SB_ENGINE_TRANSFER_H
#define SB_ENGINE_TRANSFER_H

#include "host/store/store.h"

#define TRANSFER_WIDTH 16u /* copies under way */

typedef struct transfer_object {
  const char *source, *name;
  uint64_t size;           /* what both must have; 0: not known */
  uint32_t crc32c;         /* of all bytes, looked at where they pass; if */
  uint32_t has_crc32c;     /* it is known */
} transfer_object;

typedef struct transfer {
  const sb_host *host;
  sb_store *from, *to;     /* may be the same */
} transfer;

/* All or nothing: after a failure what was made has been removed again, as far
   as the store allows. The names must be free. */
sb_status transfer_copy(const transfer *t, const transfer_object *objects,
                        size_t count, sb_error *err);

/* One object through the client, whose `piece` has `size` bytes; `stops`,
   asked between pieces, may end it with SB_CANCELLED. */
typedef int transfer_stops(const void *arg);
sb_status transfer_by_client(const transfer *t, const transfer_object *o,
                             void *piece, size_t size, transfer_stops *stops,
                             const void *arg, sb_error *err);

#endif
