/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4, in headers and in presigned URLs. Specification:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html and,
 * for what S3 does otherwise (paths are encoded once and never normalised),
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 *
 * A signer keeps the derived key of the last (credentials, day, region,
 * service) and belongs to one thread at a time.
 */
#ifndef PLUGINS_S3_SIGN_H
#define PLUGINS_S3_SIGN_H

#include "plugins/s3/buf.h"
#include "plugins/s3/credentials.h"

#define S3_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
/* SHA-256 of nothing. */
#define S3_EMPTY_SHA256                                                       \
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

typedef struct s3_header {
  const char *name;        /* lower case */
  const char *value;
} s3_header;

#define S3_SIGN_ENCODE_PATH 1u     /* services other than S3: encode again */
#define S3_SIGN_NORMALIZE_PATH 2u  /* and resolve "." and ".." */
#define S3_SIGN_NO_CONTENT_HEADER 4u /* do not sign x-amz-content-sha256 */
#define S3_SIGN_OMIT_TOKEN 8u      /* the session token is added, not signed */

typedef struct s3_sign_request {
  const char *method;
  const char *path;        /* as sent, encoded: "/bucket/a%20b" */
  const char *query;       /* as sent, encoded, without '?'; any order */
  /* All that are to be signed but the four that the signer adds; "host" is
     among them. Any order; the signer folds spaces and joins repeated ones. */
  const s3_header *headers;
  size_t header_count;
  const char *payload;     /* hex SHA-256 or S3_UNSIGNED_PAYLOAD */
  const char *region, *service;
  uint64_t time_ms;        /* wall clock, corrected */
  uint32_t flags;
} s3_sign_request;

/* Headers to send: date and payload always, token if the credentials have
   one, authorization. */
typedef struct s3_signature {
  char date[17];           /* x-amz-date: 20150830T123600Z */
  const char *payload;     /* x-amz-content-sha256 */
  const char *token;       /* x-amz-security-token or NULL */
  s3_buf authorization;    /* reused from call to call; free it in the end */
} s3_signature;

typedef struct s3_signer s3_signer;
s3_signer *s3_signer_new(const sb_host *host); /* NULL: out of memory */
void s3_signer_free(s3_signer *signer);        /* wipes; NULL: nothing */

sb_status s3_sign(s3_signer *signer, const s3_sign_request *request,
                  const s3_credentials *credentials, s3_signature *out,
                  sb_error *err);

/* Adds to `query_out` the whole query of a URL that is good for `expires_s`
   seconds (1 to 604,800). */
sb_status s3_presign(s3_signer *signer, const s3_sign_request *request,
                     const s3_credentials *credentials, uint64_t expires_s,
                     s3_buf *query_out, sb_error *err);

/* For tests: the texts of the last signature. Borrowed until the next. */
const char *s3_signer_canonical(const s3_signer *signer);
const char *s3_signer_string_to_sign(const s3_signer *signer);

#endif
