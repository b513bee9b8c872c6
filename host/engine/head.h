/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head: the one object per job that says what is committed. It is changed only
 * by compare-and-swap, or, on stores without If-Match, by creating the next
 * object of a numbered row. Bytes: docs/FORMAT-manifest.md; rules:
 * docs/PROTOCOL.md.
 */
#ifndef SB_ENGINE_HEAD_H
#define SB_ENGINE_HEAD_H

#include "host/base/buf.h"
#include "host/engine/job.h"
#include "host/store/store.h"

#define HEAD_JOB_ID_MAX 255u
#define HEAD_SIZE_MAX 2048u

typedef struct head {
  uint64_t generation;
  uint64_t sequence;       /* of swaps, from 1 */
  uint64_t owner;          /* random, the same in all swaps of a generation */
  uint64_t nonce;          /* random, new in each attempt to swap */
  uint64_t checkpoint_id;  /* 0: none committed yet */
  uint64_t metadata_len;
  uint32_t metadata_crc;
  char job_id[HEAD_JOB_ID_MAX + 1];
  char metadata[PATH_SIZE]; /* name of the newest _metadata, "" if none */
} head;

/* A HEAD that was read or written, with what a swap from it needs. */
typedef struct head_version {
  head head;
  char etag[SB_ETAG_MAX + 1];
  uint64_t number;         /* in a numbered row */
} head_version;

void head_encode(const head *h, buf *out);
sb_status head_decode(const void *data, size_t len, head *out, sb_error *err);

/* SB_NOT_FOUND if the job has none. */
sb_status head_read(const job_env *env, const char *job, head_version *out,
                    sb_error *err);

/* Puts `to` in place of `from` (NULL: in place of nothing). SB_OK: done, and
   *out is the new one. SB_CONFLICT: HEAD is not `from` any more, maybe by an
   earlier attempt of the caller's. SB_UNKNOWN: may have happened or may yet.
   Others: has not happened and will not. */
sb_status head_swap(const job_env *env, const char *job,
                    const head_version *from, const head *to,
                    head_version *out, sb_error *err);

/* For a job without HEAD: SB_OK if nothing speaks against a new one;
   SB_MISMATCH if it has one of the other kind (row or single object);
   SB_CORRUPT if there are checkpoints, so that HEAD must have been lost. */
sb_status head_check_fresh(const job_env *env, const char *job, sb_error *err);

/* Removes the objects of a row below `number`; a single HEAD has none. */
void head_trim(const job_env *env, const char *job, uint64_t number);

#endif
