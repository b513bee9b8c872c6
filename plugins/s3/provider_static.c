/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials that are simply there: BASIC and SYS_PROP in the configuration,
 * ENV_VAR in the environment.
 */
#include "config.h"

#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

typedef struct static_source {
  s3_source base;
  const char *access, *secret, *token; /* of the configuration */
} static_source;

static sb_status
static_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
             sb_error *err)
{
  const static_source *s = (const static_source *)source;

  return s3_fetched(fetch->host, source->name, s->access, s->secret, s->token,
                    0, out, err);
}

/* Makes them once, so that bad ones are refused when a backend is opened. */
static sb_status
static_make(const s3_settings *settings, const char *name, const char *access,
            const char *secret, const char *token, s3_source **out,
            sb_error *err)
{
  s3_credentials *probe;
  sb_status status = s3_fetched(settings->host, name, access, secret, token,
                                0, &probe, err);
  static_source *s;

  if (status != SB_OK) {
    if (status == SB_CORRUPT && err != NULL)
      status = err->status = SB_CONFIG;
    return status;
  }
  s3_credentials_unref(probe);
  s = s3_source_new(settings->host, sizeof *s, name, static_fetch);
  if (s == NULL)
    return s3_source_no_memory(err);
  s->base.renewable = 0;
  s->access = access;
  s->secret = secret;
  s->token = token;
  *out = &s->base;
  return SB_OK;
}

sb_status
s3_static_open(const s3_settings *settings, const char *prefix,
               s3_source **out, sb_error *err)
{
  const char *access = s3_source_setting(settings, prefix,
                                         ".basic.accesskeyid");
  const char *secret = s3_source_setting(settings, prefix, ".basic.secretkey");
  const char *token = s3_source_setting(settings, prefix,
                                        ".basic.sessiontoken");

  *out = NULL;
  if (access == NULL || secret == NULL)
    return sb_fail(err, SB_CONFIG, "\"%s\" is BASIC and \"%s.basic.%s\" is "
                   "not set", prefix, prefix,
                   access == NULL ? "accesskeyid" : "secretkey");
  return static_make(settings, "BASIC", access, secret, token, out, err);
}

/* ---- SYS_PROP ----------------------------------------------------------- */

sb_status
s3_properties_open(const s3_settings *settings, s3_source **out, sb_error *err)
{
  const char *access = s3_source_setting(settings, "aws.accessKeyId", "");
  const char *secret = s3_source_setting(settings, "aws.secretAccessKey", "");
  const char *token = s3_source_setting(settings, "aws.sessionToken", "");

  *out = NULL;
  if (secret == NULL)
    secret = s3_source_setting(settings, "aws.secretKey", "");
  if (access == NULL)
    return sb_fail(err, SB_CONFIG, "\"aws.accessKeyId\" is not set");
  if (secret == NULL)
    return sb_fail(err, SB_CONFIG, "\"aws.secretKey\" is not set");
  return static_make(settings, "SYS_PROP", access, secret, token, out, err);
}

/* ---- ENV_VAR ------------------------------------------------------------ */

sb_status
s3_environment_fetch(s3_fetch *fetch, s3_credentials **out, sb_error *err)
{
  const char *access = s3_environment("AWS_ACCESS_KEY_ID");
  const char *secret = s3_environment("AWS_SECRET_ACCESS_KEY");

  *out = NULL;
  if (access == NULL)
    return sb_fail(err, SB_NOT_FOUND, "AWS_ACCESS_KEY_ID is not set");
  if (secret == NULL)
    return sb_fail(err, SB_NOT_FOUND, "AWS_SECRET_ACCESS_KEY is not set");
  return s3_fetched(fetch->host, "the environment", access, secret,
                    s3_environment("AWS_SESSION_TOKEN"), 0, out, err);
}

static sb_status
static_fetch_environment(s3_source *source, s3_fetch *fetch,
                         s3_credentials **out, sb_error *err)
{
  (void)source;
  return s3_environment_fetch(fetch, out, err);
}

sb_status
s3_environment_open(const s3_settings *settings, s3_source **out,
                    sb_error *err)
{
  *out = s3_source_new(settings->host, sizeof **out, "ENV_VAR",
                       static_fetch_environment);
  return *out == NULL ? s3_source_no_memory(err) : SB_OK;
}
