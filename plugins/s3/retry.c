/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of outcomes and the waits between attempts; see retry.h. */
#include "config.h"

#include <string.h>
#include <curl/curl.h>

#include "plugins/s3/retry.h"

typedef struct retry_code {
  const char *code;
  s3_class class;
  sb_status status;
  int applied;
} retry_code;

/* Codes that say more than their HTTP status. */
static const retry_code retry_codes[] = {
  { "SlowDown", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "SlowDownRead", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "SlowDownWrite", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "ServiceUnavailable", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "Throttling", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "ThrottlingException", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "TooManyRequests", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "RequestLimitExceeded", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "BandwidthLimitExceeded", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "ServerBusy", S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { "XMinioServerNotInitialized", S3_CLASS_THROTTLE, SB_UNAVAILABLE, 0 },
  { "InternalError", S3_CLASS_TRANSIENT, SB_IO, 1 },
  { "InternalErrors", S3_CLASS_TRANSIENT, SB_IO, 1 },
  { "RequestTimeout", S3_CLASS_TRANSIENT, SB_IO, 0 },
  { "OperationAborted", S3_CLASS_TRANSIENT, SB_BUSY, 0 },
  { "ConditionalRequestConflict", S3_CLASS_TRANSIENT, SB_BUSY, 0 },
  { "BadDigest", S3_CLASS_TRANSIENT, SB_CORRUPT, 0 },
  { "XAmzContentChecksumMismatch", S3_CLASS_TRANSIENT, SB_CORRUPT, 0 },
  { "XAmzContentSHA256Mismatch", S3_CLASS_TRANSIENT, SB_CORRUPT, 0 },
  { "IncompleteBody", S3_CLASS_TRANSIENT, SB_IO, 0 },
  { "RequestTimeTooSkewed", S3_CLASS_FIX_CLOCK, SB_DENIED, 0 },
  { "RequestExpired", S3_CLASS_FIX_CLOCK, SB_DENIED, 0 },
  { "ExpiredToken", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "ExpiredTokenException", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "InvalidToken", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "TokenRefreshRequired", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "InvalidAccessKeyId", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "PermanentRedirect", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "TemporaryRedirect", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "Redirect", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "AuthorizationHeaderMalformed", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "AuthorizationQueryParametersError", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "IllegalLocationConstraintException", S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { "XAdminUserNotFound", S3_CLASS_FIX_CREDENTIALS, SB_DENIED, 0 },
  { "NoSuchBucket", S3_CLASS_FINAL, SB_CONFIG, 0 },
  { "NoSuchKey", S3_CLASS_FINAL, SB_NOT_FOUND, 0 },
  { "NoSuchVersion", S3_CLASS_FINAL, SB_NOT_FOUND, 0 },
  { "NoSuchUpload", S3_CLASS_FINAL, SB_NOT_FOUND, 0 },
  { "AccessDenied", S3_CLASS_FINAL, SB_DENIED, 0 },
  { "PreconditionFailed", S3_CLASS_FINAL, SB_CONFLICT, 0 },
  { "KeyTooLongError", S3_CLASS_FINAL, SB_TOO_LARGE, 0 },
  { "KeyTooLong", S3_CLASS_FINAL, SB_TOO_LARGE, 0 },
  { "EntityTooLarge", S3_CLASS_FINAL, SB_TOO_LARGE, 0 },
  /* Servers over a file system. The second is also said for a moment when a
     directory goes away with its last object. */
  { "ObjectParentIsFile", S3_CLASS_FINAL, SB_INVALID, 0 },
  { "ExistingObjectIsDirectory", S3_CLASS_TRANSIENT, SB_INVALID, 0 },
  { "InvalidRange", S3_CLASS_FINAL, SB_INVALID, 0 },
  { "QuotaExceeded", S3_CLASS_FINAL, SB_NO_SPACE, 0 },
  { "XMinioStorageFull", S3_CLASS_FINAL, SB_NO_SPACE, 0 },
  { "XMinioAdminBucketQuotaExceeded", S3_CLASS_FINAL, SB_NO_SPACE, 0 },
  { "NotImplemented", S3_CLASS_FINAL, SB_UNSUPPORTED, 0 },
};

typedef struct retry_http {
  int http;
  s3_class class;
  sb_status status;
  int applied;
} retry_http;

static const retry_http retry_statuses[] = {
  { 301, S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { 302, S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { 307, S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { 308, S3_CLASS_FIX_REGION, SB_CONFIG, 0 },
  { 304, S3_CLASS_FINAL, SB_CONFLICT, 0 },
  { 401, S3_CLASS_FINAL, SB_DENIED, 0 },
  { 403, S3_CLASS_FINAL, SB_DENIED, 0 },
  { 404, S3_CLASS_FINAL, SB_NOT_FOUND, 0 },
  { 405, S3_CLASS_FINAL, SB_UNSUPPORTED, 0 },
  { 408, S3_CLASS_TRANSIENT, SB_IO, 0 },
  { 409, S3_CLASS_FINAL, SB_BUSY, 0 },
  { 412, S3_CLASS_FINAL, SB_CONFLICT, 0 },
  { 413, S3_CLASS_FINAL, SB_TOO_LARGE, 0 },
  { 416, S3_CLASS_FINAL, SB_INVALID, 0 },
  { 417, S3_CLASS_TRANSIENT, SB_IO, 0 },
  { 429, S3_CLASS_THROTTLE, SB_BUSY, 0 },
  { 499, S3_CLASS_TRANSIENT, SB_IO, 1 },
  { 501, S3_CLASS_FINAL, SB_UNSUPPORTED, 0 },
  { 503, S3_CLASS_THROTTLE, SB_BUSY, 1 },
  { 507, S3_CLASS_FINAL, SB_NO_SPACE, 0 },
};

static s3_verdict
retry_verdict(s3_class class, sb_status status, int applied)
{
  s3_verdict verdict = { class, status, applied };

  return verdict;
}

s3_verdict
s3_judge_http(int http, const char *code)
{
  size_t i;

  for (i = 0; i < sizeof retry_codes / sizeof retry_codes[0]; i++)
    if (strcmp(retry_codes[i].code, code) == 0)
      return retry_verdict(retry_codes[i].class, retry_codes[i].status,
                           retry_codes[i].applied);
  /* Something else is not there: a key of the KMS, a configuration. */
  if (http == 404 && code[0] != '\0')
    return retry_verdict(S3_CLASS_FINAL, SB_CONFIG, 0);
  for (i = 0; i < sizeof retry_statuses / sizeof retry_statuses[0]; i++)
    if (retry_statuses[i].http == http)
      return retry_verdict(retry_statuses[i].class, retry_statuses[i].status,
                           retry_statuses[i].applied);
  if (http >= 500)
    return retry_verdict(S3_CLASS_TRANSIENT, SB_IO, 1);
  if (http >= 400)
    return retry_verdict(S3_CLASS_FINAL, SB_INVALID, 0);
  /* A status below 400 that nobody asked for. */
  return retry_verdict(S3_CLASS_TRANSIENT, SB_IO, 1);
}

s3_verdict
s3_judge_curl(int curl_code, int sent)
{
  switch (curl_code) {
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
  case CURLE_SSL_INVALIDCERTSTATUS:
    return retry_verdict(S3_CLASS_FINAL, SB_DENIED, 0);
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_URL_MALFORMAT:
    return retry_verdict(S3_CLASS_FINAL, SB_CONFIG, 0);
  case CURLE_OUT_OF_MEMORY:
    return retry_verdict(S3_CLASS_FINAL, SB_NO_MEMORY, sent);
  default:
    return retry_verdict(S3_CLASS_TRANSIENT, SB_UNAVAILABLE, sent);
  }
}

uint64_t
s3_backoff(const s3_settings *settings, s3_class class, uint32_t attempt,
           uint64_t random, uint64_t wish_ms)
{
  uint64_t ceiling = class == S3_CLASS_THROTTLE
                       ? settings->throttle_delay_min_ms
                       : settings->delay_min_ms;
  uint64_t wait;

  while (--attempt > 0 && ceiling < settings->delay_max_ms)
    ceiling *= 2;
  if (ceiling > settings->delay_max_ms)
    ceiling = settings->delay_max_ms;
  wait = ceiling == 0 ? 0 : random % (ceiling + 1);
  if (wish_ms <= wait)
    return wait;
  return wish_ms < wait + 5000 ? wish_ms : wait + 5000;
}
