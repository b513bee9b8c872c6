/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_endpoint: where requests for a bucket go, by the settings and a region.
 * Host patterns: Amazon's endpoint rules for S3 (aws-c-s3's rule set).
 */
#ifndef PLUGINS_S3_ENDPOINT_H
#define PLUGINS_S3_ENDPOINT_H

#include "plugins/s3/settings.h"

typedef struct s3_endpoint {
  int tls;
  int amazon;            /* a host of Amazon's */
  char host[320];        /* the Host header: with the port if not the usual */
  char url[336];         /* "https://HOST" */
  char path[80];         /* "/BUCKET" in path style, else "" */
  char region[64];
} s3_endpoint;

/* SB_CONFIG if the parts do not go together or are too long. `region` may be
   NULL or "" where it does not matter for the host; then "us-east-1". */
sb_status s3_endpoint_make(const s3_settings *settings, const char *region,
                           const char *bucket, s3_endpoint *out,
                           sb_error *err);

#endif
