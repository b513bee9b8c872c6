/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout `entries`: beside the segments, one object for each key and
 * namespace of each state, for readers that know nothing of segments. The
 * objects follow the last completed checkpoint and are written after HEAD;
 * recovery never looks at them. docs/FORMAT-entries.md describes them.
 */
#ifndef SB_ENGINE_ENTRIES_H
#define SB_ENGINE_ENTRIES_H

#include "host/engine/engine.h"

/* From now on entries follow the commits of this job, until it is closed. */
sb_status entries_follow(engine *e, sb_job *job, sb_error *err);

#endif
