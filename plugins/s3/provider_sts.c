/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token service: AssumeRole, signed with other credentials, and
 * AssumeRoleWithWebIdentity, which a token file proves. The token is read
 * again for each request, since it is replaced from time to time.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/digest.h"
#include "plugins/s3/sign.h"
#include "plugins/s3/source.h"
#include "plugins/s3/uri.h"
#include "plugins/s3/xml.h"

#define STS_WHAT "the token service"
#define STS_ATTEMPTS 3u
#define STS_REGION "us-east-1"
#define STS_FORM "application/x-www-form-urlencoded; charset=utf-8"
#define STS_URL_MAX 512u

/* ---- the request -------------------------------------------------------- */

static const char *
sts_region(const s3_fetch *fetch, const s3_role *role)
{
  if (role->region != NULL)
    return role->region;
  if (fetch->settings->region != NULL && fetch->settings->region[0] != '\0')
    return fetch->settings->region;
  if (s3_environment("AWS_REGION") != NULL)
    return s3_environment("AWS_REGION");
  return s3_environment("AWS_DEFAULT_REGION");
}

/* Configuration first, whatever the role's depth, as in Flink. */
static sb_status
sts_url(const s3_fetch *fetch, const s3_role *role, char *out, size_t size,
        sb_error *err)
{
  const char *region = sts_region(fetch, role);
  const char *given = s3_source_setting(
    fetch->settings, "aws.credentials.provider", ".role.stsEndpoint");
  int len;

  if (given == NULL)
    given = role->endpoint;
  if (given == NULL)
    given = s3_environment("AWS_ENDPOINT_URL_STS");
  if (given != NULL)
    len = snprintf(out, size, "%s%s%s",
                   strstr(given, "://") == NULL ? "https://" : "", given,
                   given[strlen(given) - 1] == '/' ? "" : "/");
  else if (region == NULL)
    len = snprintf(out, size, "https://sts.amazonaws.com/");
  else
    len = snprintf(out, size, "https://sts%s.%s.amazonaws.com%s/",
                   fetch->settings->fips ? "-fips" : "", region,
                   strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
  if (len < 0 || (size_t)len >= size)
    return sb_fail(err, SB_CONFIG, "the URL of the token service is too long");
  return SB_OK;
}

static void
sts_field(s3_buf *form, const char *name, const char *value)
{
  s3_buf_printf(form, "&%s=", name);
  s3_uri_encode(form, value, 0);
}

static void
sts_form(s3_fetch *fetch, const s3_role *role, const char *action,
         s3_buf *form)
{
  const s3_settings *settings = fetch->settings;
  const sb_host *host = fetch->host;
  uint64_t duration_s = role->duration_s;
  char session[64];

  if (duration_s == 0)
    duration_s = (uint64_t)host->config_int(
      settings->config, "aws.credentials.provider.role.duration") / 1000u;
  (void)snprintf(session, sizeof session, "statebackend-%016" PRIx64,
                 host->random(host));
  s3_buf_printf(form, "Action=%s&Version=2011-06-15", action);
  sts_field(form, "RoleArn", role->arn);
  sts_field(form, "RoleSessionName",
            role->session == NULL ? session : role->session);
  if (duration_s != 0)
    s3_buf_printf(form, "&DurationSeconds=%" PRIu64, duration_s);
  if (role->external_id != NULL)
    sts_field(form, "ExternalId", role->external_id);
}

/* ---- the answer --------------------------------------------------------- */

static sb_status
sts_text(const sb_host *host, const s3_buf *body, const char *path, char *out,
         sb_error *err)
{
  sb_status status = s3_xml_read_text(host, body->data, body->len, path, out,
                                      S3_XML_TEXT + 1, NULL);

  if (status == SB_OK || status == SB_NO_MEMORY)
    return status == SB_OK ? SB_OK : s3_source_no_memory(err);
  return sb_fail(err, SB_CORRUPT, STS_WHAT " gave an answer without %s", path);
}

static sb_status
sts_read(const sb_host *host, const s3_buf *body, s3_credentials **out,
         sb_error *err)
{
  static const char *const paths[] = {
    "Credentials/AccessKeyId", "Credentials/SecretAccessKey",
    "Credentials/SessionToken", "Credentials/Expiration"
  };
  size_t size = S3_XML_TEXT + 1;
  char *text = s3_alloc(host, 4 * size);
  sb_status status = SB_OK;
  size_t i;

  if (text == NULL)
    return s3_source_no_memory(err);
  for (i = 0; status == SB_OK && i < 4; i++)
    status = sts_text(host, body, paths[i], text + i * size, err);
  if (status == SB_OK) {
    uint64_t expires_ms = s3_time_parse(text + 3 * size);

    status = expires_ms == 0
               ? sb_fail(err, SB_CORRUPT, STS_WHAT
                         " gave credentials with an end that is no time")
               : s3_fetched(host, STS_WHAT, text, text + size,
                            text + 2 * size, expires_ms, out, err);
  }
  OPENSSL_cleanse(text, 4 * size);
  s3_free(host, text);
  return status;
}

/* The service's own words; a token in them is masked by the caller. */
static sb_status
sts_refused(const sb_host *host, const s3_http *request, long status,
            const s3_buf *body, const s3_role *role, sb_error *err)
{
  s3_xml_error xml;
  sb_status result = s3_http_refused(request, status, err);

  memset(&xml, 0, sizeof xml);
  if (body->data == NULL ||
      !s3_xml_read_error(host, body->data, body->len, &xml) ||
      xml.code[0] == '\0')
    return result;
  if (strcmp(xml.code, "IDPCommunicationError") == 0 ||
      strcmp(xml.code, "Throttling") == 0)
    result = SB_UNAVAILABLE;
  return sb_fail(err, result, "could not assume role \"%s\": %s (%s)",
                 role->arn, xml.message, xml.code);
}

static sb_status
sts_ask(s3_fetch *fetch, const s3_role *role, const s3_http *request,
        s3_credentials **out, sb_error *err)
{
  s3_buf body;
  long code;
  sb_status status = s3_http_do(fetch, request, &code, &body, err);

  if (status != SB_OK)
    return status;
  if (code == 200)
    status = sts_read(fetch->host, &body, out, err);
  else
    status = sts_refused(fetch->host, request, code, &body, role, err);
  s3_source_wipe(&body);
  return status;
}

/* ---- AssumeRole --------------------------------------------------------- */

/* What goes into the Host header: as libcurl sends it. */
static void
sts_host(const char *url, char *host, size_t size, const char **path)
{
  const char *from = strstr(url, "://") + 3;
  size_t len = strcspn(from, "/");
  const char *usual = strncmp(url, "https:", 6) == 0 ? ":443" : ":80";

  *path = from + len;
  if (len > strlen(usual) &&
      strncmp(from + len - strlen(usual), usual, strlen(usual)) == 0)
    len -= strlen(usual);
  (void)snprintf(host, size, "%.*s", (int)len, from);
}

static sb_status
sts_sign(s3_fetch *fetch, s3_signer *signer, const char *url, const char *form,
         const char *region, const s3_credentials *by, s3_signature *signature,
         sb_error *err)
{
  sb_slice slice = sb_slice_of(form, strlen(form));
  s3_body body = { .slices = &slice, .count = 1, .length = slice.len };
  char host[STS_URL_MAX], digest[S3_SHA256_HEX];
  s3_header headers[] = { { "content-type", STS_FORM }, { "host", host } };
  s3_sign_request request = {
    .method = "POST", .query = "", .headers = headers, .header_count = 2,
    .payload = digest, .region = region, .service = "sts",
    .time_ms = fetch->host->clock_ms(fetch->host),
    .flags = S3_SIGN_ENCODE_PATH | S3_SIGN_NO_CONTENT_HEADER
  };

  sts_host(url, host, sizeof host, &request.path);
  if (s3_sha256_hex(&body, digest) != 0)
    return sb_fail(err, SB_IO, "could not sign a request for " STS_WHAT
                   ": no SHA-256");
  return s3_sign(signer, &request, by, signature, err);
}

static sb_status
sts_send_signed(s3_fetch *fetch, const s3_role *role, const char *url,
                const char *form, const s3_signature *signature,
                s3_credentials **out, sb_error *err)
{
  s3_buf date = s3_buf_of(fetch->host), token = s3_buf_of(fetch->host);
  s3_buf authorization = s3_buf_of(fetch->host);
  s3_http request = {
    .what = STS_WHAT, .method = "POST", .url = url, .body = form,
    .attempts = STS_ATTEMPTS
  };
  sb_status status;

  s3_buf_printf(&date, "x-amz-date: %s", signature->date);
  s3_buf_printf(&authorization, "Authorization: %s",
                s3_buf_string(&signature->authorization));
  if (signature->token != NULL)
    s3_buf_printf(&token, "x-amz-security-token: %s", signature->token);
  request.headers[0] = "Content-Type: " STS_FORM;
  request.headers[1] = date.data;
  request.headers[2] = authorization.data;
  request.headers[3] = token.data;
  if (date.failed || authorization.failed || token.failed)
    status = s3_source_no_memory(err);
  else
    status = sts_ask(fetch, role, &request, out, err);
  s3_buf_free(&date);
  s3_source_wipe(&authorization);
  s3_source_wipe(&token);
  return status;
}

sb_status
s3_sts_assume(s3_fetch *fetch, const s3_role *role, const s3_credentials *by,
              s3_credentials **out, sb_error *err)
{
  const char *region = sts_region(fetch, role);
  s3_buf form = s3_buf_of(fetch->host);
  s3_signature signature = { .authorization = s3_buf_of(fetch->host) };
  s3_signer *signer = s3_signer_new(fetch->host);
  char url[STS_URL_MAX];
  sb_status status;

  *out = NULL;
  sts_form(fetch, role, "AssumeRole", &form);
  if (signer == NULL || form.failed)
    status = s3_source_no_memory(err);
  else
    status = sts_url(fetch, role, url, sizeof url, err);
  if (status == SB_OK)
    status = sts_sign(fetch, signer, url, form.data,
                      region == NULL ? STS_REGION : region, by, &signature,
                      err);
  if (status == SB_OK)
    status = sts_send_signed(fetch, role, url, form.data, &signature, out,
                             err);
  if (status != SB_OK) {
    s3_source_mask(err, by->secret_key);
    s3_source_mask(err, by->session_token);
  }
  s3_buf_free(&form);
  s3_source_wipe(&signature.authorization);
  s3_signer_free(signer);
  return status;
}

/* ---- AssumeRoleWithWebIdentity ------------------------------------------ */

static sb_status
sts_send_token(s3_fetch *fetch, const s3_role *role, const char *token,
               s3_credentials **out, sb_error *err)
{
  s3_buf form = s3_buf_of(fetch->host);
  char url[STS_URL_MAX];
  s3_http request = {
    .what = STS_WHAT, .method = "POST", .url = url, .attempts = STS_ATTEMPTS,
    .headers = { "Content-Type: " STS_FORM, "Accept: */*" }
  };
  sb_status status = sts_url(fetch, role, url, sizeof url, err);

  sts_form(fetch, role, "AssumeRoleWithWebIdentity", &form);
  sts_field(&form, "WebIdentityToken", token);
  request.body = form.data;
  if (status == SB_OK && form.failed)
    status = s3_source_no_memory(err);
  if (status == SB_OK)
    status = sts_ask(fetch, role, &request, out, err);
  if (status != SB_OK)
    s3_source_mask(err, token);
  s3_source_wipe(&form);
  return status;
}

sb_status
s3_sts_web_identity(s3_fetch *fetch, const s3_role *role, s3_credentials **out,
                    sb_error *err)
{
  s3_buf path = s3_buf_of(fetch->host);
  s3_buf token;
  sb_status status;

  *out = NULL;
  s3_source_path(&path, role->token_file);
  if (path.failed)
    return s3_source_no_memory(err);
  status = s3_source_token(fetch->host, "web identity token", path.data,
                           &token, err);
  s3_buf_free(&path);
  if (status != SB_OK)
    return status;
  status = sts_send_token(fetch, role, token.data, out, err);
  s3_source_wipe(&token);
  return status;
}
