/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt: copies of a set of objects under other names, on the store's side
 * where the store can, else through the client. Some are under way at once.
 * All are made or none: after a failure what was made is removed.
 */
#ifndef SB_ENGINE_ADOPT_H
#define SB_ENGINE_ADOPT_H

#include "host/engine/keyed.h"

typedef struct adoption {
  const char *source, *name;
  uint64_t size;     /* of the source, */
  uint32_t crc32c;   /* and of all its bytes */
  int begun;         /* there may be an object of that name */
} adoption;

/* Ends early with SB_CANCELLED when the handle stops or *cancelled says so. On
   failure, `begun` is left at those that could not be removed either. */
sb_status adopt_objects(keyed *k, sb_event *event, const atomic_int *cancelled,
                        adoption *list, size_t count, sb_error *err);

/* Removes those that have begun; `begun` is left at those that stay. */
void adopt_remove(keyed *k, adoption *list, size_t count);

#endif
