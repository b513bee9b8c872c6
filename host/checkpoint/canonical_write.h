/* SPDX-License-Identifier: Apache-2.0 */
/* What canonical_open.c and canonical_write.c share. */
#ifndef SB_CHECKPOINT_CANONICAL_WRITE_H
#define SB_CHECKPOINT_CANONICAL_WRITE_H

#include <stdatomic.h>

#include "host/checkpoint/canonical.h"

struct sb_canonical {
  const sb_host *host;
  sb_keyed *keyed;
  sb_view *view;
  sb_keyed_options place;
  sb_canonical_options options;
  canonical_states states;
  buf header;                   /* encoded */
  atomic_int cancelled;
};

#endif
