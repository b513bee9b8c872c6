/* SPDX-License-Identifier: Apache-2.0 */
/* What canonical_part.c and canonical_store.c share. */
#ifndef SB_CHECKPOINT_CANONICAL_PART_H
#define SB_CHECKPOINT_CANONICAL_PART_H

#include "host/checkpoint/canonical.h"

/* A descriptor that is too large to travel in its part is an object with this
   extension. */
#define CANONICAL_DESCRIPTOR_EXTENSION ".canonical-index"

/* Appends the descriptor; look at out->status. */
void canonical_part_encode(const canonical_part *p, buf *out);

/* 1 if an object's name is that of a descriptor. */
int canonical_is_name(const char *name);

#endif
