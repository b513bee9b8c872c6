/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time to live: the stamp of what is written, whether it is over, and clean-up
 * along with accesses. Records carry the stamp as their expiry, SB_TIME_STAMP;
 * lists have it before each element, as 8 bytes, big-endian.
 */
#ifndef SB_STATE_TTL_H
#define SB_STATE_TTL_H

#include "host/state/context.h"

#define TTL_STAMP_LEN 8u

/* Of what is written now; 0 without time to live. */
uint64_t ttl_stamp(const state_base *base);

/* 1 if something with this stamp has expired. */
int ttl_over(const state_base *base, uint64_t stamp);

/* Reads one record: renews it, or takes what has expired away, as the state's
   time to live says. The value is borrowed from the handle or the context. */
sb_status ttl_get(const state_base *base, const sb_key *place,
                  sb_slice *value, sb_error *err);

/* Looks at some more records of the state and removes those that have expired.
   Slices that were borrowed are gone. Failures are left to later calls. */
void ttl_clean_some(state_base *base);
static inline void
ttl_clean(state_base *base)
{
  if (base->cleanup != 0)
    ttl_clean_some(base);
}

/* Ends the clean-up's scan. */
void ttl_stop(state_base *base);

/* The stamp before an element of a list and what follows it. One that is too
   short to have a stamp never expires. */
uint64_t ttl_split(sb_slice element, sb_slice *rest);
void ttl_put_stamp(uint8_t *to, uint64_t stamp);

#endif
