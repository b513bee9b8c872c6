/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the opening check share. */
#ifndef PLUGINS_S3_CHECK_H
#define PLUGINS_S3_CHECK_H

#include "plugins/s3/call.h"

#define S3_CHECK_LIST 1u     /* permissions; names: explain.c */
#define S3_CHECK_READ 2u
#define S3_CHECK_WRITE 4u
#define S3_CHECK_DELETE 8u

/* 1 if an ended call was refused for want of a permission, and not because of
   credentials that are wrong. */
int s3_check_denied(const s3_call *call);

/* The failure of an ended call with its cure. */
sb_status s3_check_explain(const s3_store *store, const s3_call *call,
                           sb_error *err);

/* Which permissions of S3_CHECK_... are missing below `prefix` ("" or a path
   that ends with '/'); `reason` is what the server said of one. */
sb_status s3_check_explain_denied(const s3_store *store, unsigned denied,
                                  const char *prefix, const char *reason,
                                  sb_error *err);

#endif
