/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that make up s3_settings_open share: reading an option by its
 * name, and the steps after plain values were read.
 */
#ifndef PLUGINS_S3_SETTINGS_PARTS_H
#define PLUGINS_S3_SETTINGS_PARTS_H

#include "plugins/s3/endpoint.h"
#include "plugins/s3/settings.h"

#define S3_SETTINGS_KEY_MAX 128u

/* The whole key of an option: `name` itself if it begins with "aws.", else
   below the plugin's prefix. Returns `out`. */
const char *s3_settings_key(const s3_settings *settings, const char *name,
                            char out[S3_SETTINGS_KEY_MAX]);

/* NULL if it is not set or empty. Borrowed from the configuration. */
const char *s3_settings_text(const s3_settings *settings, const char *name);
int64_t s3_settings_int(const s3_settings *settings, const char *name);

/* settings_objects.c: encryption, tags, storage class. */
sb_status s3_settings_read_objects(s3_settings *settings, sb_error *err);

/* settings_place.c: bucket, endpoint, region, what leads to them. */
sb_status s3_settings_read_place(s3_settings *settings, sb_error *err);

/* settings_check.c: all that has to go together. */
sb_status s3_settings_check(const s3_settings *settings,
                            const s3_endpoint *endpoint, sb_error *err);

#endif
