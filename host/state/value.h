/* SPDX-License-Identifier: Apache-2.0 */
/* Values as batches see them. */
#ifndef SB_STATE_VALUE_H
#define SB_STATE_VALUE_H

#include "host/state/context.h"

/* 1 if the state has a default, in *value. */
int value_default(const state_base *base, sb_slice *value);

#endif
