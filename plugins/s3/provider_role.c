/* SPDX-License-Identifier: Apache-2.0 */
/* ASSUME_ROLE and WEB_IDENTITY_TOKEN as the configuration sets them up. */
#include "config.h"

#include <string.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

typedef struct role_source {
  s3_source base;
  s3_role role;      /* texts of the configuration */
  s3_source *by;     /* whose credentials assume it */
} role_source;

/* ---- ASSUME_ROLE -------------------------------------------------------- */

static sb_status
role_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
           sb_error *err)
{
  role_source *s = (role_source *)source;
  s3_credentials *by;
  sb_status status = s->by->fetch(s->by, fetch, &by, err);

  *out = NULL;
  if (status != SB_OK)
    return status;
  status = s3_sts_assume(fetch, &s->role, by, out, err);
  s3_credentials_unref(by);
  return status;
}

static void
role_close(s3_source *source)
{
  role_source *s = (role_source *)source;

  s3_source_close(s->by);
}

/* A role's own role has the key "role.provider" again. */
static sb_status
role_open_by(const s3_settings *settings, const char *prefix, int level,
             s3_source **out, sb_error *err)
{
  s3_buf inner = s3_buf_of(settings->host);
  sb_status status;

  s3_buf_printf(&inner, "%s.role.provider", prefix);
  status = inner.failed ? s3_source_no_memory(err)
                        : s3_source_open(settings, inner.data, level + 1, out,
                                         err);
  s3_buf_free(&inner);
  return status;
}

sb_status
s3_role_open(const s3_settings *settings, const char *prefix, int level,
             s3_source **out, sb_error *err)
{
  s3_role role = {
    .arn = s3_source_setting(settings, prefix, ".role.arn"),
    .session = s3_source_setting(settings, prefix, ".role.sessionName"),
    .external_id = s3_source_setting(settings, prefix, ".role.externalId")
  };
  s3_source *by;
  role_source *s;
  sb_status status;

  *out = NULL;
  if (role.arn == NULL)
    return sb_fail(err, SB_CONFIG, "\"%s\" is ASSUME_ROLE and "
                   "\"%s.role.arn\" is not set", prefix, prefix);
  status = role_open_by(settings, prefix, level, &by, err);
  if (status != SB_OK)
    return status;
  s = s3_source_new(settings->host, sizeof *s, "ASSUME_ROLE", role_fetch);
  if (s == NULL) {
    s3_source_close(by);
    return s3_source_no_memory(err);
  }
  s->base.close = role_close;
  s->role = role;
  s->by = by;
  *out = &s->base;
  return SB_OK;
}

/* ---- WEB_IDENTITY_TOKEN ------------------------------------------------- */

/* What the configuration leaves out is in the environment. */
static sb_status
role_fetch_web_identity(s3_source *source, s3_fetch *fetch,
                        s3_credentials **out, sb_error *err)
{
  s3_role role = ((role_source *)source)->role;

  *out = NULL;
  if (role.token_file == NULL)
    role.token_file = s3_environment("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (role.arn == NULL)
    role.arn = s3_environment("AWS_ROLE_ARN");
  if (role.session == NULL)
    role.session = s3_environment("AWS_ROLE_SESSION_NAME");
  if (role.token_file == NULL)
    return sb_fail(err, SB_NOT_FOUND,
                   "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
  if (role.arn == NULL)
    return sb_fail(err, SB_NOT_FOUND, "AWS_ROLE_ARN is not set");
  return s3_sts_web_identity(fetch, &role, out, err);
}

sb_status
s3_web_identity_open(const s3_settings *settings, const char *prefix,
                     s3_source **out, sb_error *err)
{
  role_source *s = s3_source_new(settings->host, sizeof *s,
                                 "WEB_IDENTITY_TOKEN",
                                 role_fetch_web_identity);

  *out = NULL;
  if (s == NULL)
    return s3_source_no_memory(err);
  if (prefix != NULL) {
    s->role.token_file = s3_source_setting(settings, prefix,
                                           ".webIdentityToken.file");
    s->role.arn = s3_source_setting(settings, prefix, ".role.arn");
    s->role.session = s3_source_setting(settings, prefix, ".role.sessionName");
  }
  *out = &s->base;
  return SB_OK;
}
