/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint of Flink's own, described by its _metadata file, as one of
 * ours: the manifests of its incremental handles become parts.
 */
#ifndef SB_CLI_FLINK_CHECKPOINT_H
#define SB_CLI_FLINK_CHECKPOINT_H

#include "host/cli/inside.h"

/* Nothing pins such a checkpoint: an object may be gone when it is read. */
sb_status flink_checkpoint_open(cli *c, const char *file, inside *in,
                                sb_error *err);
/* Called by inside_close. */
void flink_checkpoint_free(flink_checkpoint *f);

#endif
