/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of a state, as its caller sees it: with its time to live, and
 * with the byte before the value of a map that may be null.
 */
#ifndef SB_STATE_RECORD_H
#define SB_STATE_RECORD_H

#include "host/state/context.h"

static const sb_slice record_alone = { NULL, 0 }; /* no subkey */

/* SB_NOT_FOUND if there is none. */
sb_status record_get(state_base *base, const sb_key *place, sb_slice *value,
                     sb_error *err);
sb_status record_put(state_base *base, const sb_key *place, sb_slice value,
                     sb_error *err);
sb_status record_update(state_base *base, const sb_key *place,
                        sb_update_fn *fn, void *arg, sb_error *err);
sb_status record_remove(state_base *base, const sb_key *place, sb_error *err);

/* A caller's value as it is stored; borrowed from context.writing if it has to
   be put together. */
sb_status record_wrap(const state_base *base, sb_slice value, sb_slice *stored,
                      sb_error *err);
/* And back; a null has data NULL. SB_CORRUPT if the byte is missing. */
sb_status record_unwrap(const state_base *base, sb_slice stored,
                        sb_slice *value, sb_error *err);

#endif
