/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that do not go together: what S3 would refuse later, in other words
 * or not at all, is refused here, with both keys and the cure. Each rule is a
 * line of a function; the first one broken is told.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "plugins/s3/settings_parts.h"

/* What the rules ask again and again. */
typedef struct check {
  const s3_settings *settings;
  const char *prefix;
  int tls;
  int amazon;          /* a host of Amazon's */
  sb_error *err;
} check;

static int
check_set(const check *c, const char *name)
{
  return s3_settings_text(c->settings, name) != NULL;
}

/* 1 if the text can stand in a header and in a message. */
static int
check_plain(const char *text)
{
  for (; text != NULL && *text != '\0'; text++)
    if (*text <= ' ' || *text > '~')
      return 0;
  return 1;
}

/* ---- the endpoint ------------------------------------------------------- */

static sb_status
check_accelerate(const check *c)
{
  const s3_settings *s = c->settings;

  if (!s->accelerate)
    return SB_OK;
  if (s->endpoint != NULL)
    return sb_fail(c->err, SB_CONFIG, "%stransfer-acceleration is true, but "
                   "aws.endpoint is \"%.100s\": only Amazon's own endpoints "
                   "are accelerated; remove one of the two", c->prefix,
                   s->endpoint);
  if (s->fips)
    return sb_fail(c->err, SB_CONFIG, "%stransfer-acceleration and %sfips are "
                   "both true: there is no accelerated FIPS endpoint; set one "
                   "of the two to false", c->prefix, c->prefix);
  if (s->path_style)
    return sb_fail(c->err, SB_CONFIG, "%stransfer-acceleration and "
                   "%spath-style-access are both true: accelerated endpoints "
                   "have the bucket in the host name; set "
                   "path-style-access to false", c->prefix, c->prefix);
  if (strchr(s->bucket, '.') != NULL)
    return sb_fail(c->err, SB_CONFIG, "%stransfer-acceleration is true, but "
                   "%sbucket \"%s\" has a '.', which accelerated endpoints do "
                   "not take; set transfer-acceleration to false", c->prefix,
                   c->prefix, s->bucket);
  return SB_OK;
}

static sb_status
check_endpoint(const check *c)
{
  const s3_settings *s = c->settings;
  const char *key = s->fips ? "fips" : s->dualstack ? "dualstack" : NULL;

  if (s->endpoint != NULL && key != NULL)
    return sb_fail(c->err, SB_CONFIG, "%s%s is true, but aws.endpoint is "
                   "\"%.100s\": it chooses among Amazon's own endpoints only; "
                   "remove one of the two", c->prefix, key, s->endpoint);
  if (s->endpoint == NULL && strcmp(s->scheme, "s3") != 0)
    return sb_fail(c->err, SB_CONFIG, "aws.endpoint is empty, which means "
                   "Amazon: for that use the plugin \"s3\" in place of "
                   "\"%s\"", s->scheme);
  if (c->tls && s->tls_verify && !s->path_style &&
      strchr(s->bucket, '.') != NULL)
    return sb_fail(c->err, SB_CONFIG, "%sbucket \"%s\" has a '.', so that no "
                   "certificate fits its host name: set %spath-style-access "
                   "to true", c->prefix, s->bucket, c->prefix);
  return SB_OK;
}

/* ---- TLS, HTTP, the proxy ----------------------------------------------- */

static sb_status
check_ca_file(const check *c)
{
  const s3_settings *s = c->settings;
  char reason[64];

  if (s->ca_file == NULL)
    return SB_OK;
  if (!s->tls_verify)
    return sb_fail(c->err, SB_CONFIG, "%stls.ca-file is set, but %s: no "
                   "certificate would be verified; remove one of the two",
                   c->prefix,
                   s3_settings_int(s, "aws.trust.all.certificates") != 0
                     ? "aws.trust.all.certificates is true"
                     : "tls.verify is false");
  if (access(s->ca_file, R_OK) != 0)
    return sb_fail(c->err, SB_CONFIG, "%stls.ca-file \"%.200s\" cannot be "
                   "read: %s", c->prefix, s->ca_file,
                   strerror_r(errno, reason, sizeof reason));
  return SB_OK;
}

/* aws.trust.all.certificates may be there without TLS: it is not this
   plugin's own, and files that have it are shared. */
static sb_status
check_tls(const check *c)
{
  const s3_settings *s = c->settings;
  const char *key = s->ca_file != NULL                       ? "tls.ca-file"
                    : s3_settings_int(s, "tls.verify") == 0 ? "tls.verify"
                                                             : NULL;

  if (c->tls)
    return check_ca_file(c);
  if (key != NULL)
    return sb_fail(c->err, SB_CONFIG, "%s%s is set, but aws.endpoint "
                   "\"%.100s\" has no TLS: make it an https:// URL, or remove "
                   "the key", c->prefix, key, s->endpoint);
  if (s->http2)
    return sb_fail(c->err, SB_CONFIG, "aws.http.protocol.version is HTTP2, "
                   "but aws.endpoint \"%.100s\" has no TLS, which HTTP/2 "
                   "needs here: make it an https:// URL, or use HTTP1_1",
                   s->endpoint);
  if (s->signing == S3_SIGNING_UNSIGNED)
    return sb_fail(c->err, SB_CONFIG, "%spayload-signing is \"unsigned\", but "
                   "aws.endpoint \"%.100s\" has no TLS: nothing would protect "
                   "bodies; make it an https:// URL, or use \"auto\"",
                   c->prefix, s->endpoint);
  return SB_OK;
}

static sb_status
check_proxy(const check *c)
{
  const s3_settings *s = c->settings;
  const char *url = s->proxy_url;
  const char *lost = s->proxy_user != NULL       ? "proxy.user"
                     : s->proxy_password != NULL ? "proxy.password"
                     : s->proxy_bypass != NULL   ? "proxy.bypass"
                                                 : NULL;

  if (url == NULL && lost != NULL)
    return sb_fail(c->err, SB_CONFIG, "%s%s is set, but %sproxy.url is not",
                   c->prefix, lost, c->prefix);
  if (s->proxy_password != NULL && s->proxy_user == NULL)
    return sb_fail(c->err, SB_CONFIG, "%sproxy.password is set, but "
                   "%sproxy.user is not", c->prefix, c->prefix);
  if (url == NULL)
    return SB_OK;
  /* It may be a password: the text is not shown. */
  if (strchr(url, '@') != NULL)
    return sb_fail(c->err, SB_CONFIG, "%sproxy.url has a user or password in "
                   "it: they go into proxy.user and proxy.password",
                   c->prefix);
  if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
      strstr(url, "://")[3] == '\0' || !check_plain(url))
    return sb_fail(c->err, SB_CONFIG, "%sproxy.url \"%.150s\" must be "
                   "http://HOST:PORT or https://HOST:PORT", c->prefix, url);
  return SB_OK;
}

/* ---- encryption --------------------------------------------------------- */

static const char *const check_sse_keys[] = {
  "sse.kms-key-id", "sse.kms-context", "sse.bucket-key",
  "sse.customer-key-file"
};

static int
check_sse_set(const check *c, const char *name)
{
  return strcmp(name, "sse.bucket-key") == 0 ? c->settings->bucket_key
                                             : check_set(c, name);
}

/* Which keys go with which kind: those of KMS, and the customer's. */
static int
check_sse_fits(s3_sse sse, const char *name)
{
  if (strcmp(name, "sse.customer-key-file") == 0)
    return sse == S3_SSE_CUSTOMER;
  if (strcmp(name, "sse.bucket-key") == 0)
    return sse == S3_SSE_KMS;
  return sse == S3_SSE_KMS || sse == S3_SSE_DSSE;
}

static const char *
check_sse_cure(const char *name)
{
  if (strcmp(name, "sse.customer-key-file") == 0)
    return "set sse.type to sse-c";
  if (strcmp(name, "sse.bucket-key") == 0)
    return "bucket keys work with sse-kms alone";
  return "set sse.type to sse-kms or dsse-kms";
}

static sb_status
check_sse_keys_fit(const check *c)
{
  const char *type = s3_settings_text(c->settings, "sse.type");
  size_t i;

  for (i = 0; i < sizeof check_sse_keys / sizeof check_sse_keys[0]; i++) {
    const char *name = check_sse_keys[i];

    if (!check_sse_set(c, name) || check_sse_fits(c->settings->sse, name))
      continue;
    if (c->settings->sse == S3_SSE_NONE)
      return sb_fail(c->err, SB_CONFIG, "%s%s is set, but "
                     "%sstate-file-encryption is false, so that nothing would "
                     "be encrypted with it: set it to true", c->prefix, name,
                     c->prefix);
    return sb_fail(c->err, SB_CONFIG, "%s%s is set, but %ssse.type is \"%s\": "
                   "%s", c->prefix, name, c->prefix, type,
                   check_sse_cure(name));
  }
  if (c->settings->sse == S3_SSE_NONE && type != NULL &&
      strcmp(type, "sse-s3") != 0)
    return sb_fail(c->err, SB_CONFIG, "%ssse.type is \"%s\", but "
                   "%sstate-file-encryption is false: set it to true",
                   c->prefix, type, c->prefix);
  return SB_OK;
}

static int
check_loopback(const char *endpoint)
{
  const char *host = strstr(endpoint, "://") + 3;
  size_t len = strcspn(host, ":");

  return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
         (len >= 9 && strncmp(host + len - 9, "localhost", 9) == 0 &&
          (len == 9 || host[len - 10] == '.'));
}

static sb_status
check_sse(const check *c)
{
  const s3_settings *s = c->settings;
  sb_status status = check_sse_keys_fit(c);

  if (status != SB_OK)
    return status;
  if (s->sse == S3_SSE_CUSTOMER && s->customer_key == NULL)
    return sb_fail(c->err, SB_CONFIG, "%ssse.type is \"sse-c\", but "
                   "%ssse.customer-key-file is not set: it names the file "
                   "with the key", c->prefix, c->prefix);
  /* Some servers take keys over plain HTTP, and on one machine nobody listens;
     anywhere else the key would be given away. */
  if (s->sse == S3_SSE_CUSTOMER && !c->tls && !check_loopback(s->endpoint))
    return sb_fail(c->err, SB_CONFIG, "%ssse.type is \"sse-c\", but "
                   "aws.endpoint \"%.100s\" has no TLS, so that each request "
                   "would show the key: make it an https:// URL", c->prefix,
                   s->endpoint);
  if ((s->sse == S3_SSE_KMS || s->sse == S3_SSE_DSSE) && !c->tls && c->amazon)
    return sb_fail(c->err, SB_CONFIG, "%ssse.type is \"%s\", which Amazon "
                   "refuses without TLS: make aws.endpoint \"%.100s\" an "
                   "https:// URL", c->prefix,
                   s3_settings_text(s, "sse.type"), s->endpoint);
  if (!check_plain(s->kms_key_id) ||
      (s->kms_key_id != NULL && strlen(s->kms_key_id) > 2048))
    return sb_fail(c->err, SB_CONFIG, "%ssse.kms-key-id \"%.100s\" must be a "
                   "key's id, ARN or alias: up to 2,048 characters without "
                   "spaces", c->prefix, s->kms_key_id);
  return SB_OK;
}

/* ---- objects ------------------------------------------------------------ */

static sb_status
check_storage_class(const check *c)
{
  const char *name = c->settings->storage_class;
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789_-.";

  if (name == NULL)
    return SB_OK;
  if (strcmp(name, "GLACIER") == 0 || strcmp(name, "DEEP_ARCHIVE") == 0)
    return sb_fail(c->err, SB_CONFIG, "%sstorage-class \"%s\" cannot be used: "
                   "its objects cannot be read at once, and state must be; "
                   "GLACIER_IR can", c->prefix, name);
  if (c->amazon && (strcmp(name, "EXPRESS_ONEZONE") == 0 ||
                    strcmp(name, "OUTPOSTS") == 0 ||
                    strcmp(name, "SNOW") == 0))
    return sb_fail(c->err, SB_CONFIG, "%sstorage-class \"%s\" cannot be used: "
                   "it is not one of general purpose buckets", c->prefix,
                   name);
  if (strspn(name, plain) != strlen(name) || strlen(name) > 64)
    return sb_fail(c->err, SB_CONFIG, "%sstorage-class \"%.80s\" cannot be a "
                   "storage class: it must be a word such as STANDARD_IA",
                   c->prefix, name);
  return SB_OK;
}

static sb_status
check_owner(const check *c)
{
  const char *owner = c->settings->bucket_owner;

  if (owner == NULL ||
      (strlen(owner) == 12 && strspn(owner, "0123456789") == 12))
    return SB_OK;
  return sb_fail(c->err, SB_CONFIG, "%sexpected-bucket-owner \"%.60s\" must "
                 "be an account's number of 12 digits", c->prefix, owner);
}

/* ---- retries and opening ------------------------------------------------ */

static const char *
check_alias(const check *c, const char *alias, const char *name, char *key)
{
  return s3_settings_key(c->settings, check_set(c, alias) ? alias : name, key);
}

static sb_status
check_delays(const check *c)
{
  char low[S3_SETTINGS_KEY_MAX], high[S3_SETTINGS_KEY_MAX];
  const s3_settings *s = c->settings;

  if (s->delay_min_ms <= s->delay_max_ms)
    return SB_OK;
  return sb_fail(c->err, SB_CONFIG, "%s is %llu ms, more than %s with %llu ms",
                 check_alias(c, "aws.retry-strategy.delay.min",
                             "retry.delay-min", low),
                 (unsigned long long)s->delay_min_ms,
                 check_alias(c, "aws.retry-strategy.delay.max",
                             "retry.delay-max", high),
                 (unsigned long long)s->delay_max_ms);
}

/* Without the full check nobody finds out what another server honours, and to
   guess wrong would lose commits. */
static sb_status
check_opening(const check *c)
{
  const s3_settings *s = c->settings;

  if (c->amazon || s->conditional != S3_CONDITIONAL_AUTO ||
      (s->open_check != S3_OPEN_CHECK_NONE &&
       s->open_check != S3_OPEN_CHECK_BUCKET))
    return SB_OK;
  return sb_fail(c->err, SB_CONFIG, "%sopen-check is \"%s\" and "
                 "%sconditional-writes \"auto\": what the server at "
                 "\"%.100s\" honours would stay unknown; set "
                 "conditional-writes to \"match\" or \"create\", or "
                 "open-check to \"full\"",
                 c->prefix, s3_settings_text(s, "open-check"), c->prefix,
                 s->endpoint);
}

sb_status
s3_settings_check(const s3_settings *settings, const s3_endpoint *endpoint,
                  sb_error *err)
{
  static sb_status (*const rules[])(const check *c) = {
    check_accelerate, check_endpoint, check_tls,     check_proxy,
    check_sse,        check_storage_class, check_owner, check_delays,
    check_opening,
  };
  check c = { settings, settings->prefix, endpoint->tls, endpoint->amazon,
              err };
  sb_status status = SB_OK;
  size_t i;

  for (i = 0; i < sizeof rules / sizeof rules[0] && status == SB_OK; i++)
    status = rules[i](&c);
  return status;
}
