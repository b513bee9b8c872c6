/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon's shared files, ~/.aws/config and ~/.aws/credentials, read together:
 * for each key the credentials file wins, and "[profile default]" over
 * "[default]". The format:
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 */
#ifndef PLUGINS_S3_PROFILE_H
#define PLUGINS_S3_PROFILE_H

#include "plugins/s3/buf.h"

#define S3_PROFILE "profile"
#define S3_SSO_SESSION "sso-session"

typedef struct s3_profiles s3_profiles;

/* `path` is read as a credentials file, alone; NULL: the usual two, of which
   either may be missing. SB_NOT_FOUND if there is no file. */
sb_status s3_profiles_read(const sb_host *host, const char *path,
                           s3_profiles **out, sb_error *err);
void s3_profiles_free(s3_profiles *profiles); /* wipes; NULL: nothing */

/* 1 if there is such a section. */
int s3_profiles_has(const s3_profiles *profiles, const char *kind,
                    const char *name);
/* The value of a key, NULL if there is none or it is empty. */
const char *s3_profiles_get(const s3_profiles *profiles, const char *kind,
                            const char *name, const char *key);

#endif
