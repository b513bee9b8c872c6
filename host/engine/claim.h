/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim: how a job makes another one's checkpoints, or a savepoint, its own.
 * The claim stands on the store before anything is restored: in the source's
 * HEAD, or in an object of the savepoint's directory. Rules: docs/PROTOCOL.md
 * 5; bytes: docs/FORMAT-manifest.md.
 */
#ifndef SB_ENGINE_CLAIM_H
#define SB_ENGINE_CLAIM_H

#include "host/engine/head.h"

#define CLAIM_PREFIX "claimed by " /* of a job id in HEAD */
#define CLAIM_JOB_ID_MAX (HEAD_JOB_ID_MAX - (uint32_t)sizeof CLAIM_PREFIX + 1)
#define CLAIM_FILE "CLAIMED"       /* in a savepoint's directory */

#define CLAIM_BY_JOB 0u
#define CLAIM_REMOVAL 1u           /* the savepoint is being removed */

/* What a savepoint's CLAIMED says. */
typedef struct claim {
  uint32_t kind;
  char job_id[HEAD_JOB_ID_MAX + 1];
} claim;

void claim_encode(const claim *c, buf *out);
sb_status claim_decode(const void *data, size_t len, claim *out,
                       sb_error *err);

/* The claimer's job id out of HEAD's; NULL if it is no claim. */
const char *claim_claimer(const char *job_id);
/* Can this be a claimer's job id? */
sb_status claim_check(const char *job_id, sb_error *err);

/* Puts the claim in place of `from`. SB_OK: it is there. SB_CONFLICT and
   SB_UNKNOWN: read HEAD again, and repeat. */
sb_status claim_swap(const job_env *env, const char *job,
                     const head_version *from, const char *claimer,
                     sb_error *err);
/* The claimed job's HEAD lets go of its checkpoints, so that no reader that
   comes later chooses one. SB_MISMATCH if it is not claimed, SB_NOT_FOUND if
   there is none. */
sb_status claim_retire(const job_env *env, const char *job, sb_error *err);

/* SB_NOT_FOUND if the savepoint is not claimed. */
sb_status claim_read(const job_env *env, const char *job,
                     const char *savepoint, claim *out, sb_error *err);
/* Creates CLAIMED. SB_OK also if it says the same already; SB_BUSY, naming who
   was first, if it says something else. */
sb_status claim_write(const job_env *env, const char *job,
                      const char *savepoint, const claim *c, sb_error *err);
sb_status claim_remove(const job_env *env, const char *job,
                       const char *savepoint);

#endif
