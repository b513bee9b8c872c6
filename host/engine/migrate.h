/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate: values of older schemas made current. A segment's directory says
 * with which version of each state's schema it was written; cells in memory
 * always have the current one.
 */
#ifndef SB_ENGINE_MIGRATE_H
#define SB_ENGINE_MIGRATE_H

#include "host/engine/keyed.h"
#include "host/engine/rules.h"

/* The version with which a segment, whose directory is in memory, has a state;
   the rule's own if the segment does not say. */
uint32_t migrate_version(const segment *s, const rule *r);

/* Makes *value, of a record of the segment, one of the rule's version. The new
   bytes are in `out`. A failure of the callback names the state. */
sb_status migrate_value(keyed *k, const segment *s, const rule *r,
                        sb_slice *value, buf *out, sb_error *err);

/* The same for a state as it is now. */
sb_status migrate_lookup(keyed *k, const segment *s, const state *st,
                         sb_slice *value, buf *out, sb_error *err);

/* The rule of a state as it is now; 0 if there is none or it does not
   migrate. Any thread. */
int migrate_rule(keyed *k, uint32_t state, rule *out);

/* Owner thread: writes all records of older versions anew. */
sb_status migrate_state_now(keyed *k, state *s, sb_error *err);

/* With the lock held: what compaction has left alone may be looked at anew. */
void migrate_forget_stale(keyed *k);

#endif
