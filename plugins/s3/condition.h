/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_condition: what a write of an object asks for besides its bytes: that the
 * name be free, that the object be a certain version, metadata; and the nonce
 * by which a write is recognised as one's own when its answer was lost.
 *
 * Used by put.c, stream.c, multipart.c and copy.c: check in the method, init
 * once the op exists, add_meta and add_test to the call, decide in its done.
 */
#ifndef PLUGINS_S3_CONDITION_H
#define PLUGINS_S3_CONDITION_H

#include "plugins/s3/call.h"

#define S3_META_COUNT_MAX 14u     /* metadata of an object, less the nonce */

typedef struct s3_condition {
  const char *key;                /* the object's name */
  uint32_t flags;                 /* SB_PUT_CREATE or 0 */
  const char *if_match;           /* NULL: none */
  s3_header meta[S3_META_COUNT_MAX];
  size_t meta_count;
  char nonce[33];
  int nonce_sent;
} s3_condition;

/* Any thread. Says why the request cannot be: unknown flags or both
   conditions, a bad tag, bad or too much metadata (SB_INVALID, SB_TOO_LARGE),
   a condition that the server does not honour (SB_UNSUPPORTED). */
sb_status s3_condition_check(const s3_store *store, const char *key,
                             uint32_t flags, const char *if_match,
                             const sb_meta *meta, uint64_t meta_count,
                             sb_error *err);

/* Room for strings that init takes in the op; the key's not counted. */
size_t s3_condition_size(const char *if_match, const sb_meta *meta,
                         uint64_t meta_count);

/* Copies what it is given into the op's room and draws the nonce. `key` is
   kept, not copied. */
void s3_condition_init(s3_condition *c, s3_op *op, const char *key,
                       uint32_t flags, const char *if_match,
                       const sb_meta *meta, uint64_t meta_count);

static inline int
s3_condition_asked(const s3_condition *c)
{
  return c->flags != 0 || c->if_match != NULL;
}

/* The headers of the metadata, and of the nonce if there is a condition or
   `nonce` is set (uploads in parts always have it). */
void s3_condition_add_meta(s3_condition *c, s3_call *call, int nonce);
/* If-None-Match or If-Match, if asked for. */
void s3_condition_add_test(const s3_condition *c, s3_call *call);

/* `etag` is "" for a failure. */
typedef void s3_settle_fn(s3_op *op, sb_status status, const char *etag);

/* In `done` of the call that carried the test: calls fn, now or later, exactly
   once, with what became of the write: SB_OK and the etag; SB_EXISTS or
   SB_CONFLICT if the condition did not hold; SB_UNKNOWN; or the call's own
   failure. For a failure op->error is filled. A refusal or a lost answer is
   settled by looking at the object first. */
void s3_condition_decide(s3_condition *c, s3_op *op, const s3_call *call,
                         s3_settle_fn *fn);

/* Fills op->error with SB_EXISTS or SB_CONFLICT: the condition does not hold. */
sb_status s3_condition_refuse(const s3_condition *c, s3_op *op);

/* Looks whether the object is the one that this write would have made: fn gets
   SB_OK and its etag, or `otherwise`, for which op->error has been filled. */
void s3_condition_settle(s3_condition *c, s3_op *op, sb_status otherwise,
                         s3_settle_fn *fn);

/* What a caller may see of an answer's metadata, all but the nonce, in an
   array from s3_alloc that points into `meta`. NULL with *count 0: none. */
sb_status s3_meta_view(const s3_buf *meta, sb_meta **out, uint64_t *count);

#endif
