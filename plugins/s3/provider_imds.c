/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of an EC2 instance, by version 2 of its metadata service. While
 * the service fails, the last credentials are used on, even past their end:
 * that is what Amazon asks of clients, since its servers then take them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"
#include "plugins/s3/uri.h"

#define IMDS_WHAT "the instance's metadata service"
#define IMDS_V4 "http://169.254.169.254"
#define IMDS_V6 "http://[fd00:ec2::254]"
#define IMDS_TTL "x-aws-ec2-metadata-token-ttl-seconds: 21600"
#define IMDS_TOKEN_NS (21595u * UINT64_C(1000000000))
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"
#define IMDS_ATTEMPTS 2u
#define IMDS_LONGER_MS 300000u  /* and up to as much again, by chance */

static const s3_json_names imds_names = {
  .access = "AccessKeyId", .secret = "SecretAccessKey", .token = "Token",
  .expires = "Expiration"
};

static sb_status
imds_url(s3_buf *out, const char *path, const char *name, sb_error *err)
{
  const char *mode = s3_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
  const char *given = s3_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  size_t len;

  if (given == NULL)
    given = mode != NULL && strcasecmp(mode, "IPv6") == 0 ? IMDS_V6 : IMDS_V4;
  len = strlen(given);
  while (len > 0 && given[len - 1] == '/')
    len--;
  s3_buf_add(out, given, len);
  s3_buf_text(out, path);
  s3_uri_encode(out, name, 0);
  return out->failed ? s3_source_no_memory(err) : SB_OK;
}

/* One request; `header` may be NULL. The status of HTTP goes into err->system
   if it is no success. */
static sb_status
imds_ask(const s3_imds *imds, s3_fetch *fetch, const char *method,
         const char *path, const char *name, const char *header, s3_buf *body,
         sb_error *err)
{
  s3_buf url = s3_buf_of(fetch->host);
  s3_http request = {
    .what = IMDS_WHAT, .method = method, .direct = 1, .headers = { header },
    .attempts = IMDS_ATTEMPTS,
    /* This is no instance, unless it was one before. */
    .unreachable = imds->last == NULL ? SB_NOT_FOUND : SB_UNAVAILABLE
  };
  long code = 0;
  sb_status status = imds_url(&url, path, name, err);

  *body = s3_buf_of(fetch->host);
  request.url = url.data;
  if (status == SB_OK)
    status = s3_http_do(fetch, &request, &code, body, err);
  if (status == SB_OK && code != 200) {
    status = s3_http_refused(&request, code, err);
    err->system = (int32_t)code;
    s3_source_wipe(body);
  }
  s3_buf_free(&url);
  return status;
}

/* ---- the token ---------------------------------------------------------- */

static sb_status
imds_token(s3_imds *imds, s3_fetch *fetch, sb_error *err)
{
  const sb_host *host = fetch->host;
  uint64_t now = host->monotonic_ns(host);
  s3_buf body;
  sb_status status;

  if (imds->token.data != NULL && now < imds->token_until_ns)
    return SB_OK;
  s3_source_wipe(&imds->token);
  imds->token.host = host;
  status = imds_ask(imds, fetch, "PUT", "/latest/api/token", "", IMDS_TTL,
                    &body, err);
  if (status != SB_OK)
    return status;
  if (body.len == 0 || strlen(body.data) != body.len || body.len > 4096 ||
      strpbrk(body.data, "\r\n") != NULL) {
    status = sb_fail(err, SB_CORRUPT, IMDS_WHAT " gave no token");
  } else {
    s3_buf_printf(&imds->token, "x-aws-ec2-metadata-token: %s", body.data);
    imds->token_until_ns = now + IMDS_TOKEN_NS;
    status = imds->token.failed ? s3_source_no_memory(err) : SB_OK;
  }
  s3_source_wipe(&body);
  return status;
}

/* A GET with the token; a new token if this one is no longer taken. */
static sb_status
imds_get(s3_imds *imds, s3_fetch *fetch, const char *name, s3_buf *body,
         sb_error *err)
{
  sb_error local;
  sb_status status = SB_OK;
  int i;

  for (i = 0; i < 2; i++) {
    local.system = 0;
    status = imds_token(imds, fetch, &local);
    if (status == SB_OK)
      status = imds_ask(imds, fetch, "GET", IMDS_ROLES, name,
                        imds->token.data, body, &local);
    if (status == SB_OK || local.system != 401)
      break;
    imds->token_until_ns = 0;
  }
  if (status != SB_OK) {
    s3_source_mask(&local, imds->token.data);
    *err = local;
    err->status = status;
  }
  return status;
}

/* ---- the credentials ---------------------------------------------------- */

static sb_status
imds_role(s3_imds *imds, s3_fetch *fetch, char *out, size_t size,
          sb_error *err)
{
  s3_buf body;
  sb_status status = imds_get(imds, fetch, "", &body, err);
  size_t len;

  if (status != SB_OK && err->system == 404)
    return sb_fail(err, SB_NOT_FOUND, "the instance has no role");
  if (status != SB_OK)
    return status;
  len = strcspn(s3_buf_string(&body), "\r\n");
  if (len == 0 || len >= size)
    status = sb_fail(err, SB_CORRUPT, IMDS_WHAT " gave no name of a role");
  else
    (void)snprintf(out, size, "%.*s", (int)len, body.data);
  s3_buf_free(&body);
  return status;
}

static sb_status
imds_credentials(s3_imds *imds, s3_fetch *fetch, s3_credentials **out,
                 sb_error *err)
{
  char role[256], code[64];
  s3_buf body;
  sb_status status = imds_role(imds, fetch, role, sizeof role, err);

  if (status == SB_OK)
    status = imds_get(imds, fetch, role, &body, err);
  if (status != SB_OK)
    return status;
  if (s3_json_member(body.data, body.len, "Code", code, sizeof code) ==
        SB_OK && strcmp(code, "Success") != 0)
    status = sb_fail(err, SB_DENIED,
                     IMDS_WHAT " has no credentials for the instance's role");
  else
    status = s3_source_json(fetch->host, IMDS_WHAT, body.data, body.len,
                            &imds_names, out, err);
  s3_source_wipe(&body);
  return status;
}

/* The last ones again, with an end a little later. */
static s3_credentials *
imds_longer(s3_imds *imds, s3_fetch *fetch, const sb_error *err)
{
  const sb_host *host = fetch->host;
  const s3_credentials *last = imds->last;
  uint64_t until = host->clock_ms(host) + IMDS_LONGER_MS +
                   host->random(host) % IMDS_LONGER_MS;
  char text[700];

  if (last == NULL || fetch->rejected || atomic_load(&fetch->stopping) ||
      last->expires_ms > host->clock_ms(host))
    return NULL;
  (void)snprintf(text, sizeof text,
                 "the instance's credentials have ended and are used on, "
                 "since there are no newer ones: %s", err->message);
  host->log(host, SB_LOG_WARN, "s3", text);
  return s3_credentials_new(host, last->access_key, last->secret_key,
                            last->session_token, until);
}

sb_status
s3_imds_fetch(s3_imds *imds, s3_fetch *fetch, s3_credentials **out,
              sb_error *err)
{
  const char *disabled = s3_environment("AWS_EC2_METADATA_DISABLED");
  sb_error local;
  sb_status status;

  *out = NULL;
  if (disabled != NULL && strcasecmp(disabled, "true") == 0)
    return sb_fail(err, SB_NOT_FOUND,
                   "AWS_EC2_METADATA_DISABLED switches it off");
  status = imds_credentials(imds, fetch, out, &local);
  if (status == SB_OK) {
    s3_credentials_unref(imds->last);
    imds->last = s3_credentials_ref(*out);
    /* A service in trouble may answer with credentials that have ended. */
    if ((*out)->expires_ms == 0 ||
        (*out)->expires_ms > fetch->host->clock_ms(fetch->host))
      return SB_OK;
    (void)sb_fail(&local, SB_UNAVAILABLE,
                  IMDS_WHAT " gave credentials that have ended");
  }
  if (imds->last != NULL) {
    s3_credentials *longer = imds_longer(imds, fetch, &local);

    if (longer != NULL) {
      s3_credentials_unref(*out);
      *out = longer;
      return SB_OK;
    }
  }
  if (*out != NULL)
    return SB_OK;
  return sb_fail(err, status, "%s", local.message);
}

void
s3_imds_clear(s3_imds *imds)
{
  if (imds->host != NULL)
    s3_source_wipe(&imds->token);
  s3_credentials_unref(imds->last);
  imds->last = NULL;
}

/* ---- the source --------------------------------------------------------- */

typedef struct imds_source {
  s3_source base;
  s3_imds imds;
} imds_source;

static sb_status
imds_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
           sb_error *err)
{
  return s3_imds_fetch(&((imds_source *)source)->imds, fetch, out, err);
}

static void
imds_close(s3_source *source)
{
  s3_imds_clear(&((imds_source *)source)->imds);
}

sb_status
s3_imds_open(const s3_settings *settings, s3_source **out, sb_error *err)
{
  imds_source *s = s3_source_new(settings->host, sizeof *s,
                                 "instance metadata", imds_fetch);

  *out = NULL;
  if (s == NULL)
    return s3_source_no_memory(err);
  s->base.close = imds_close;
  s->imds.host = settings->host;
  s->imds.token = s3_buf_of(settings->host);
  *out = &s->base;
  return SB_OK;
}
