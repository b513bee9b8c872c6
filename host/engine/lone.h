/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lone: the cell of a list that has no other in memory, as most lists have. The
 * table of groups holds it in place of a group, so that reading such a list
 * costs what reading a value costs. A second cell makes a group of it, which
 * stays until the last cell has gone.
 */
#ifndef SB_ENGINE_LONE_H
#define SB_ENGINE_LONE_H

#include "host/engine/keyed.h"

/* `c` is the first cell in memory of a list. `whole`: segments have nothing of
   it. */
sb_status lone_join(keyed *k, const place *p, cell *c, int whole);
/* The group that a lone cell begins, in its slot. NULL: no memory. */
group *lone_to_group(keyed *k, const place *p, uint64_t *slot);

#endif
