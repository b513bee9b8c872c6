/* SPDX-License-Identifier: Apache-2.0 */
/*
 * savepoint: a directory that holds all it needs, by names relative to itself,
 * so that it can be copied and restored anywhere. Its _metadata, which is
 * created once, makes it a savepoint. Bytes: docs/FORMAT-manifest.md; rules:
 * docs/PROTOCOL.md 5.
 *
 * A job's path part may be NULL for "".
 */
#ifndef SB_ENGINE_SAVEPOINT_H
#define SB_ENGINE_SAVEPOINT_H

#include "host/engine/job.h"
#include "host/engine/metadata.h"
#include "host/engine/names.h"

/* SB_OK also if this very savepoint is there already. SB_UNKNOWN: call again
   with the same arguments. */
sb_status savepoint_write(const job_env *env,
                          const sb_savepoint_options *options, sb_error *err);
sb_status savepoint_list(const job_env *env, const char *job,
                         sb_checkpoint_info **out, size_t *count,
                         sb_error *err);
/* Also what is left of one that was never finished. */
sb_status savepoint_remove(const job_env *env, const char *job,
                           const char *name, sb_error *err);
/* `from` is where options->from's objects are. */
sb_status savepoint_copy(const job_env *env, const job_env *from,
                         const sb_savepoint_copy *options, sb_error *err);

/* SB_NOT_FOUND if there is no such savepoint. Names are as written: relative.
   `length` is that of _metadata. */
sb_status savepoint_read(const job_env *env, const char *job,
                         const char *name, metadata **out, uint64_t *length,
                         sb_error *err);
/* Opened with whole names; what it has belongs to `owner`. */
sb_status savepoint_open(const job_env *env, const char *job,
                         const char *name, uint32_t owner,
                         sb_checkpoint **out, sb_error *err);
/* Adds all objects of the directory but the claim, unsorted. */
sb_status savepoint_names(const job_env *env, const char *job,
                          const char *name, names *out, sb_error *err);
/* Removes the objects of that name. */
sb_status savepoint_remove_names(const job_env *env, const names *n,
                                 sb_error *err);
/* Is the name free for a new one? SB_EXISTS, SB_BUSY. */
sb_status savepoint_check_free(const job_env *env, const char *job,
                               const char *name, sb_error *err);

/* source.c: restore_open. What a claim has brought is added to `claimed`,
   unsorted: all the source's objects. */
sb_status source_open(const job_env *env, const sb_restore_options *options,
                      names *claimed, sb_checkpoint **out, sb_error *err);

#endif
