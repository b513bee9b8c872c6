/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROFILE: what a profile of the shared files says, which may be keys, a
 * command, SSO, a token file, or a role that another profile or source
 * assumes. The files are read again for each fetch.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <statebackend/plugin.h>

#include "plugins/s3/profile.h"
#include "plugins/s3/source.h"

#define PROFILE_DEPTH 8

typedef struct profile_source {
  s3_source base;
  const char *path, *name;  /* of the configuration; may be NULL */
  s3_imds imds;
} profile_source;

/* One fetch. */
typedef struct profile_fetching {
  profile_source *source;
  s3_fetch *fetch;
  s3_profiles *profiles;
  const char *names[PROFILE_DEPTH]; /* of the profiles on the way here */
  int depth;
} profile_fetching;

static sb_status profile_resolve(profile_fetching *f, const char *name,
                                 s3_credentials **out, sb_error *err);

static const char *
profile_key(const profile_fetching *f, const char *name, const char *key)
{
  return s3_profiles_get(f->profiles, S3_PROFILE, name, key);
}

/* ---- keys, commands, SSO ------------------------------------------------ */

static sb_status
profile_static(profile_fetching *f, const char *name, s3_credentials **out,
               sb_error *err)
{
  const char *access = profile_key(f, name, "aws_access_key_id");
  const char *secret = profile_key(f, name, "aws_secret_access_key");

  if (access == NULL || secret == NULL)
    return sb_fail(err, SB_CONFIG, "profile \"%s\" has no \"%s\"", name,
                   access == NULL ? "aws_access_key_id"
                                  : "aws_secret_access_key");
  return s3_fetched(f->fetch->host, "the profile", access, secret,
                    profile_key(f, name, "aws_session_token"), 0, out, err);
}

/* sso_start_url and sso_region stand in the session that sso_session names, or
   in the profile itself. */
static sb_status
profile_sso(profile_fetching *f, const char *name, s3_credentials **out,
            sb_error *err)
{
  const char *session = profile_key(f, name, "sso_session");
  s3_sso sso = {
    .session = session,
    .account = profile_key(f, name, "sso_account_id"),
    .role = profile_key(f, name, "sso_role_name"),
    .start_url = profile_key(f, name, "sso_start_url"),
    .region = profile_key(f, name, "sso_region"),
    .endpoint = profile_key(f, name, "endpoint_url")
  };
  const char *missing = NULL;

  if (session != NULL) {
    if (!s3_profiles_has(f->profiles, S3_SSO_SESSION, session))
      return sb_fail(err, SB_CONFIG,
                     "profile \"%s\" names the sso-session \"%s\", which is "
                     "not there", name, session);
    sso.start_url = s3_profiles_get(f->profiles, S3_SSO_SESSION, session,
                                    "sso_start_url");
    sso.region = s3_profiles_get(f->profiles, S3_SSO_SESSION, session,
                                 "sso_region");
  }
  if (sso.start_url == NULL)
    missing = "sso_start_url";
  else if (sso.region == NULL)
    missing = "sso_region";
  else if (sso.account == NULL)
    missing = "sso_account_id";
  else if (sso.role == NULL)
    missing = "sso_role_name";
  if (missing != NULL)
    return sb_fail(err, SB_CONFIG, "profile \"%s\" has no \"%s\" for SSO",
                   name, missing);
  return s3_sso_fetch(f->fetch, &sso, out, err);
}

/* ---- roles -------------------------------------------------------------- */

static sb_status
profile_named_source(profile_fetching *f, const char *name, const char *kind,
                     s3_credentials **out, sb_error *err)
{
  if (strcmp(kind, "Environment") == 0)
    return s3_environment_fetch(f->fetch, out, err);
  if (strcmp(kind, "EcsContainer") == 0)
    return s3_container_fetch(f->fetch, out, err);
  if (strcmp(kind, "Ec2InstanceMetadata") == 0)
    return s3_imds_fetch(&f->source->imds, f->fetch, out, err);
  return sb_fail(err, SB_CONFIG, "profile \"%s\" has the credential_source "
                 "\"%s\", which is none of Environment, EcsContainer, "
                 "Ec2InstanceMetadata", name, kind);
}

/* The credentials that assume the profile's role. A profile may name itself
   for its own keys. */
static sb_status
profile_by(profile_fetching *f, const char *name, s3_credentials **out,
           sb_error *err)
{
  const char *source = profile_key(f, name, "source_profile");
  const char *kind = profile_key(f, name, "credential_source");

  if (source != NULL && kind != NULL)
    return sb_fail(err, SB_CONFIG, "profile \"%s\" has both source_profile "
                   "and credential_source", name);
  if (kind != NULL)
    return profile_named_source(f, name, kind, out, err);
  if (source == NULL)
    return sb_fail(err, SB_CONFIG, "profile \"%s\" has a role_arn and neither "
                   "source_profile nor credential_source", name);
  if (strcmp(source, name) == 0 &&
      profile_key(f, name, "aws_access_key_id") != NULL)
    return profile_static(f, name, out, err);
  return profile_resolve(f, source, out, err);
}

static void
profile_role(const profile_fetching *f, const char *name, s3_role *role)
{
  const char *duration = profile_key(f, name, "duration_seconds");
  long seconds = duration == NULL ? 0 : strtol(duration, NULL, 10);

  memset(role, 0, sizeof *role);
  role->arn = profile_key(f, name, "role_arn");
  role->session = profile_key(f, name, "role_session_name");
  role->external_id = profile_key(f, name, "external_id");
  role->token_file = profile_key(f, name, "web_identity_token_file");
  role->region = profile_key(f, name, "region");
  role->endpoint = profile_key(f, name, "endpoint_url");
  role->duration_s = seconds > 0 ? (uint64_t)seconds : 0;
}

static sb_status
profile_assume(profile_fetching *f, const char *name, s3_credentials **out,
               sb_error *err)
{
  s3_credentials *by = NULL;
  s3_role role;
  sb_status status;

  profile_role(f, name, &role);
  if (role.token_file != NULL)
    return s3_sts_web_identity(f->fetch, &role, out, err);
  status = profile_by(f, name, &by, err);
  if (status != SB_OK)
    return status;
  status = s3_sts_assume(f->fetch, &role, by, out, err);
  s3_credentials_unref(by);
  return status;
}

/* ---- a profile ---------------------------------------------------------- */

static sb_status
profile_enter(profile_fetching *f, const char *name, sb_error *err)
{
  int i;

  if (!s3_profiles_has(f->profiles, S3_PROFILE, name))
    return sb_fail(err, SB_NOT_FOUND, "there is no profile \"%s\"", name);
  for (i = 0; i < f->depth; i++)
    if (strcmp(f->names[i], name) == 0)
      return sb_fail(err, SB_CONFIG,
                     "source_profile leads from profile \"%s\" back to it",
                     name);
  if (f->depth == PROFILE_DEPTH)
    return sb_fail(err, SB_CONFIG,
                   "source_profile leads on over more than %d profiles",
                   PROFILE_DEPTH);
  f->names[f->depth++] = name;
  return SB_OK;
}

/* In the order of Amazon's SDK for Java. */
static sb_status
profile_resolve(profile_fetching *f, const char *name, s3_credentials **out,
                sb_error *err)
{
  static const char *const sso_keys[] = { "sso_session", "sso_start_url",
                                          "sso_account_id", "sso_role_name" };
  sb_status status = profile_enter(f, name, err);
  const char *command;
  size_t i;

  if (status != SB_OK)
    return status;
  if (profile_key(f, name, "role_arn") != NULL)
    return profile_assume(f, name, out, err);
  for (i = 0; i < sizeof sso_keys / sizeof sso_keys[0]; i++)
    if (profile_key(f, name, sso_keys[i]) != NULL)
      return profile_sso(f, name, out, err);
  command = profile_key(f, name, "credential_process");
  if (command != NULL)
    return s3_process_fetch(f->fetch, command, out, err);
  return profile_static(f, name, out, err);
}

/* ---- the source --------------------------------------------------------- */

static sb_status
profile_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
              sb_error *err)
{
  profile_source *s = (profile_source *)source;
  profile_fetching f = { .source = s, .fetch = fetch };
  const char *name = s->name;
  sb_status status;

  *out = NULL;
  if (name == NULL)
    name = s3_environment("AWS_PROFILE");
  if (name == NULL)
    name = "default";
  status = s3_profiles_read(fetch->host, s->path, &f.profiles, err);
  if (status == SB_OK)
    status = profile_resolve(&f, name, out, err);
  s3_profiles_free(f.profiles);
  return status;
}

static void
profile_close(s3_source *source)
{
  s3_imds_clear(&((profile_source *)source)->imds);
}

sb_status
s3_profile_open(const s3_settings *settings, const char *path,
                const char *name, s3_source **out, sb_error *err)
{
  profile_source *s = s3_source_new(settings->host, sizeof *s, "PROFILE",
                                    profile_fetch);

  *out = NULL;
  if (s == NULL)
    return s3_source_no_memory(err);
  s->base.close = profile_close;
  s->path = path;
  s->name = name;
  s->imds.host = settings->host;
  s->imds.token = s3_buf_of(settings->host);
  *out = &s->base;
  return SB_OK;
}
