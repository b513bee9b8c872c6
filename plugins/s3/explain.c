/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failure means and how it is cured: the opening check's messages. The
 * texts of libcurl, OpenSSL and servers are kept, since they are what people
 * search for; the cure is added behind them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "plugins/s3/check.h"

typedef struct explain_cure {
  const char *text;    /* S3's error code, or a part of libcurl's text */
  const char *cure;
} explain_cure;

#define EXPLAIN_NO_KEY \
  "the server does not know the access key: check where credentials come from"
#define EXPLAIN_EXPIRED \
  "the session token has expired and its source has no newer one"
#define EXPLAIN_CLOCK \
  "this machine's clock is off by more than the server allows: set it"
#define EXPLAIN_REGION "set aws.region to the bucket's region"
#define EXPLAIN_CA \
  "the certificate's issuer is not trusted here: set tls.ca-file to the " \
  "issuer's certificate"
#define EXPLAIN_NAME \
  "the certificate is another host's: use a name in aws.endpoint that the " \
  "certificate has"
#define EXPLAIN_NO_TLS \
  "that port seems not to speak TLS: an http:// URL in aws.endpoint may be " \
  "meant"
#define EXPLAIN_NOBODY \
  "nobody listens there: check aws.endpoint, and that the server runs"
#define EXPLAIN_SILENT \
  "check aws.endpoint, firewalls and whether a proxy is needed"
#define EXPLAIN_NO_S3 \
  "this is no S3 server: check host, port and scheme of aws.endpoint, and " \
  "proxies on the way"

static const explain_cure explain_codes[] = {
  { "NoSuchBucket", "create the bucket, or correct its name or aws.endpoint" },
  { "InvalidBucketName", "correct the bucket's name" },
  { "InvalidAccessKeyId", EXPLAIN_NO_KEY },
  { "XAdminUserNotFound", EXPLAIN_NO_KEY },
  { "SignatureDoesNotMatch",
    "the secret key is not that of the access key, or a proxy changes "
    "requests" },
  { "ExpiredToken", EXPLAIN_EXPIRED },
  { "ExpiredTokenException", EXPLAIN_EXPIRED },
  { "TokenRefreshRequired", EXPLAIN_EXPIRED },
  { "InvalidToken", "the session token is not one of the access key" },
  { "InvalidTokenId", "the session token is not one of the access key" },
  { "RequestTimeTooSkewed", EXPLAIN_CLOCK },
  { "RequestExpired", EXPLAIN_CLOCK },
  { "PermanentRedirect", EXPLAIN_REGION },
  { "TemporaryRedirect", EXPLAIN_REGION },
  { "Redirect", EXPLAIN_REGION },
  { "AuthorizationHeaderMalformed", EXPLAIN_REGION },
  { "IllegalLocationConstraintException", EXPLAIN_REGION },
  { "InvalidStorageClass", "the server has no such class: correct "
                           "storage-class" },
  { "AccessControlListNotSupported",
    "the bucket's access control lists are switched off: remove acl" },
  { "InvalidTag", "correct tags" },
  { "InvalidEncryptionAlgorithmError", "the server does not encrypt in this "
                                       "way: choose another sse.type" },
  { "NotSignedUp", "the account may not use S3" },
  { "AccountProblem", "there is a problem with the account: ask Amazon" },
  { "QuotaExceeded", "make room, or raise the quota" },
  { "XMinioStorageFull", "make room on the server" },
};

static const explain_cure explain_transport[] = {
  { "roxy", "check proxy.url, proxy.user and proxy.password" },
  { "certificate has expired", "the server needs a new certificate; check "
                               "this machine's clock, too" },
  { "not yet valid", "the certificate's time has not come: check the clocks" },
  { "subject name", EXPLAIN_NAME },
  { "target host", EXPLAIN_NAME },
  { "ostname mismatch", EXPLAIN_NAME },
  { "IP address mismatch", EXPLAIN_NAME },
  { "self-signed", EXPLAIN_CA },
  { "self signed", EXPLAIN_CA },
  { "issuer", EXPLAIN_CA },
  { "setting certificate", "tls.ca-file must hold certificates in PEM" },
  { "unknown CA", EXPLAIN_CA },
  { "wrong version number", EXPLAIN_NO_TLS },
  { "packet length too long", EXPLAIN_NO_TLS },
  { "unknown protocol", EXPLAIN_NO_TLS },
  { "SSL_ERROR_SYSCALL", EXPLAIN_NO_TLS },
  { "resolve", "check aws.endpoint and aws.region, and that names can be "
               "resolved here" },
  { "onnection refused", EXPLAIN_NOBODY },
  { "ailed to connect", EXPLAIN_NOBODY },
  { "ouldn't connect", EXPLAIN_NOBODY },
  { "timed out", EXPLAIN_SILENT },
  { "imeout", EXPLAIN_SILENT },
  { "deadline", EXPLAIN_SILENT },
  { "HTTP/0.9", EXPLAIN_NO_S3 },
  { "Unsupported HTTP", EXPLAIN_NO_S3 },
  { "Weird server reply", EXPLAIN_NO_S3 },
  { "Empty reply", EXPLAIN_NO_S3 },
  { "not XML", EXPLAIN_NO_S3 },
};

#define COUNT(array) (sizeof (array) / sizeof (array)[0])

static const char *
explain_code(const char *code)
{
  size_t i;

  for (i = 0; i < COUNT(explain_codes); i++)
    if (strcmp(explain_codes[i].text, code) == 0)
      return explain_codes[i].cure;
  if (strncasecmp(code, "KMS", 3) == 0)
    return "check sse.kms-key-id, and that the key's policy allows its use";
  return NULL;
}

static const char *
explain_text(const char *message)
{
  size_t i;

  for (i = 0; i < COUNT(explain_transport); i++)
    if (strstr(message, explain_transport[i].text) != NULL)
      return explain_transport[i].cure;
  return NULL;
}

/* The words of a token service's connection, say, are not the store's. */
static int
explain_is_credentials(const char *message)
{
  return strstr(message, "no credentials from ") != NULL;
}

/* An error answer without one of S3's codes is somebody else's; only HEAD has
   none. */
static int
explain_is_foreign(const s3_call *call)
{
  return call->answer.http != 0 && call->code[0] == '\0' &&
         strcmp(call->method, "HEAD") != 0;
}

static const char *
explain_foreign(const s3_store *store, const s3_call *call)
{
  int http = call->answer.http;

  if (http >= 500)
    return NULL;
  if (http == 400 && !store->endpoint.tls)
    return "this is no S3 server, or that port wants TLS: check aws.endpoint, "
           "an https:// URL may be meant";
  return EXPLAIN_NO_S3;
}

int
s3_check_denied(const s3_call *call)
{
  static const char *const codes[] = {
    "AccessDenied", "AccessDeniedException", "AllAccessDisabled",
    "UnauthorizedAccess", "Forbidden"
  };
  size_t i;

  if (call->status != SB_DENIED || call->answer.http == 0)
    return 0;
  for (i = 0; i < COUNT(codes); i++)
    if (strcmp(call->code, codes[i]) == 0)
      return 1;
  return 0;
}

/* Nothing was committed yet: what the probe left unknown is no doubt that
   anybody has to settle. What is not there, or is not understood, has to be
   configured otherwise. */
static sb_status
explain_status(const s3_call *call)
{
  if (strcmp(call->code, "XAdminUserNotFound") == 0)
    return SB_DENIED;
  if (call->status == SB_NOT_FOUND || call->status == SB_INVALID ||
      (call->answer.http == 404 && call->code[0] == '\0'))
    return SB_CONFIG;
  return call->status == SB_UNKNOWN ? SB_UNAVAILABLE : call->status;
}

static sb_status
explain_redirect(const s3_store *store, const s3_call *call, sb_error *err)
{
  const char *region = call->answer.region;

  if (region[0] == '\0' || strcmp(region, store->endpoint.region) == 0)
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "%.380s: the bucket is in region \"%.63s\": "
                 "set aws.region to it", call->error.message, region);
}

sb_status
s3_check_explain(const s3_store *store, const s3_call *call, sb_error *err)
{
  const char *message = call->error.message;
  const char *cure = NULL;
  sb_status status = explain_status(call);
  sb_status redirect = explain_redirect(store, call, err);

  if (redirect != SB_OK)
    return redirect;
  if (call->code[0] != '\0')
    cure = explain_code(call->code);
  else if (explain_is_foreign(call))
    cure = explain_foreign(store, call);
  else if (call->answer.http == 0 && !explain_is_credentials(message))
    cure = explain_text(message);
  if (cure == NULL)
    (void)sb_fail(err, status, "%s", message);
  else
    (void)sb_fail(err, status, "%.330s: %.160s", message, cure);
  if (err != NULL)
    err->system = call->error.system;
  return status;
}

/* ---- permissions -------------------------------------------------------- */

typedef struct explain_permission {
  unsigned bit;
  const char *deed, *action;
} explain_permission;

static const explain_permission explain_permissions[] = {
  { S3_CHECK_LIST, "list", "s3:ListBucket" },
  { S3_CHECK_READ, "read", "s3:GetObject" },
  { S3_CHECK_WRITE, "write", "s3:PutObject" },
  { S3_CHECK_DELETE, "delete", "s3:DeleteObject" },
};

static void
explain_join(char *out, size_t size, const char *text)
{
  size_t len = strlen(out);

  (void)snprintf(out + len, size - len, "%s%s", len == 0 ? "" : ", ", text);
}

/* Some servers answer so to wrong keys, too. */
static const char *
explain_denied_else(const s3_store *store, unsigned denied)
{
  const unsigned all = S3_CHECK_LIST | S3_CHECK_WRITE | S3_CHECK_DELETE;

  if (store->settings->bucket_owner != NULL)
    return ", or correct expected-bucket-owner";
  return (denied & all) == all ? ", or correct these: nothing is allowed" : "";
}

sb_status
s3_check_explain_denied(const s3_store *store, unsigned denied,
                        const char *prefix, const char *reason, sb_error *err)
{
  char deeds[64] = "", actions[96] = "";
  size_t i;

  for (i = 0; i < COUNT(explain_permissions); i++)
    if (denied & explain_permissions[i].bit) {
      explain_join(deeds, sizeof deeds, explain_permissions[i].deed);
      explain_join(actions, sizeof actions, explain_permissions[i].action);
    }
  return sb_fail(err, SB_DENIED,
                 "cannot use bucket \"%.63s\"%s%.60s%s: no permission to %s; "
                 "grant %s to the credentials of %.40s%s (%.180s)",
                 store->settings->bucket, prefix[0] == '\0' ? "" : " below \"",
                 prefix, prefix[0] == '\0' ? "" : "\"", deeds, actions,
                 s3_provider_name(store->provider),
                 explain_denied_else(store, denied),
                 reason);
}
