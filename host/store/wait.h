/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_wait: a completion that a thread can wait for. It may serve several
 * operations, one after the other.
 */
#ifndef SB_STORE_WAIT_H
#define SB_STORE_WAIT_H

#include "host/store/store.h"

typedef struct store_wait {
  const sb_host *host;
  sb_event *event;
  /* Called inside `done`, to keep what the result only lends; may be NULL. */
  sb_status (*keep)(void *arg, const sb_store_result *result);
  void *keep_arg;
  /* What the last operation came to. */
  sb_status status;
  uint64_t length;
  store_meta meta;
  sb_error error;
} store_wait;

sb_status store_wait_init(store_wait *wait, const sb_host *host,
                          sb_error *err);
void store_wait_dispose(store_wait *wait);

/* Makes `request` complete into `wait`. */
void store_wait_prepare(store_wait *wait, sb_request *request, uint32_t size,
                        uint32_t priority);

/* Given what the submission returned, blocks until the operation is done.
   `submitted` must have been called with &wait->error. On failure fills *err
   with a message that tells the operation and the object. */
sb_status store_wait_end(store_wait *wait, sb_status submitted,
                         const char *operation, const char *name,
                         sb_error *err);

#endif
