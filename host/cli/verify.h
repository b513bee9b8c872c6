/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a whole segment and checking everything about it. */
#ifndef SB_CLI_VERIFY_H
#define SB_CLI_VERIFY_H

#include "host/cli/progress.h"
#include "host/engine/manifest.h"

/* SB_OK, SB_CORRUPT, SB_NOT_FOUND, or a failure to read; *records counts what
   its blocks hold. Progress counts bytes. */
sb_status verify_segment(sb_store *store, const manifest_segment *segment,
                         progress *bar, uint64_t *records, sb_error *err);

/* Does what a manifest says of the parts of a segment make sense? */
sb_status verify_offsets(const manifest_segment *segment, sb_error *err);

#endif
