/* SPDX-License-Identifier: Apache-2.0 */
/* gc: the deleter. Rules and their reasons: docs/PROTOCOL.md 4. */
#ifndef SB_ENGINE_GC_H
#define SB_ENGINE_GC_H

#include "host/engine/job.h"

/* Objects removed in one turn of the job: commits get theirs between. */
#define GC_BATCH 1000u

#endif
