/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percent-encoding as S3 wants it: all but A-Z a-z 0-9 - . _ ~ is encoded, in
 * upper-case hex.
 */
#ifndef PLUGINS_S3_URI_H
#define PLUGINS_S3_URI_H

#include "plugins/s3/buf.h"

void s3_uri_encode(s3_buf *out, const char *text, int keep_slashes);
/* "%41" to "A", and '+' to a space if `plus`. In place; the new length.
   -1 on a bad escape or an encoded NUL. */
long s3_uri_decode(char *text, int plus);

/* Adds `len` bytes of a query as a server sees them after decoding and
   encoding: what is encoded otherwise, or not at all, comes out as by
   s3_uri_encode; what is right already stays. '+' becomes "%2B". */
void s3_uri_encode_again(s3_buf *out, const char *text, size_t len);

/* Adds `path` without empty parts, "." and what ".." takes back, to an empty
   buffer. */
void s3_uri_normalize(s3_buf *out, const char *path);

#endif
