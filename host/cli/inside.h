/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sbctl needs to know beyond the public ABI: what is inside a checkpoint
 * (its manifests), and where the engine keeps a job's objects.
 */
#ifndef SB_CLI_INSIDE_H
#define SB_CLI_INSIDE_H

#include "host/cli/cli.h"
#include "host/engine/job.h"
#include "host/engine/manifest.h"

#define INSIDE_STATE_DROPPED (1u << 31) /* of manifest_state.flags */

typedef struct flink_checkpoint flink_checkpoint;

/* An open checkpoint with the manifest of each part. */
typedef struct inside {
  sb_backend *backend;
  sb_checkpoint *checkpoint;
  manifest **manifests;    /* one a part; NULL for a canonical one */
  uint32_t canonical;      /* parts that are */
  flink_checkpoint *flink; /* whose `checkpoint` is, or NULL: the backend's */
} inside;

/* Reads the manifests of an open checkpoint, which is closed with
   inside_close, or here on failure. `flink` is as in the struct. */
sb_status inside_take(cli *c, sb_checkpoint *checkpoint,
                      flink_checkpoint *flink, inside *in, sb_error *err);

/* Opens checkpoint `id` (0: the newest) with a pin. Exit code; CLI_NOT_FOUND
   comes without a message if it `may_be_gone`, as one that was listed before
   may be by now. */
int inside_open(cli *c, uint64_t id, int may_be_gone, inside *in);
void inside_close(inside *in);

/* The default host, but for engine_open: it also keeps what a plugin told the
   engine about names. Backends are to be opened on it. */
const sb_host *inside_host(void);
/* Frees it; after the backend is closed. */
void inside_forget(void);

/* What the engine's functions for jobs want, or NULL with a message if the
   backend is not one of the host's engine. */
const job_env *inside_env(cli *c);

/* The store, or NULL with a message. */
sb_store *inside_store(cli *c);

/* Retained checkpoints, newest first; free with list_free. Exit code. */
int inside_list(cli *c, sb_checkpoint_info **list, size_t *count);

const char *inside_kind(uint32_t kind);

/* Takes the job over under its own id, with all its checkpoints kept. */
int inside_takeover(cli *c, sb_job **job);

#endif
