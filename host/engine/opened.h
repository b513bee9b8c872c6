/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opened: what an sb_checkpoint is inside: a _metadata, the pin that keeps its
 * objects, and manifests that were rewritten for whoever restores it.
 */
#ifndef SB_ENGINE_OPENED_H
#define SB_ENGINE_OPENED_H

#include "host/engine/job.h"
#include "host/engine/manifest.h"
#include "host/engine/metadata.h"

/* What a listing says of a checkpoint. */
void opened_info(const metadata_ref *ref, const char *name,
                 sb_checkpoint_info *info);

/* Takes `m`, on failure too. `pin` may be NULL. Released with
   job_checkpoint_close. */
sb_status opened_new(const job_env *env, metadata *m, const metadata_ref *ref,
                     const char *pin, sb_checkpoint **out, sb_error *err);

/* Rewrites the manifests of all parts: names without a slash get `directory`
   in front (NULL: they stay), what the engine owns gets `owner`, and what they
   held and dropped goes. Other kinds of parts get their names only. */
sb_status opened_rewrite(const job_env *env, sb_checkpoint *checkpoint,
                         const char *directory, uint32_t owner, sb_error *err);

#endif
