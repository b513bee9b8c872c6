/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of IAM Identity Center: the token that `aws sso login` has left
 * in its cache is handed to the portal. It is never renewed here.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"
#include "plugins/s3/uri.h"
#include "plugins/s3/xml.h"

#define SSO_WHAT "the SSO portal"
#define SSO_LOGIN "log in with \"aws sso login\""
#define SSO_FILE_MAX 65536u
#define SSO_TOKEN_MAX 16384u
#define SSO_ATTEMPTS 3u

static const s3_json_names sso_names = {
  .object = "roleCredentials", .access = "accessKeyId",
  .secret = "secretAccessKey", .token = "sessionToken",
  .expires = "expiration", .numeric = 1
};

/* ~/.aws/sso/cache/<SHA-1 of the session's name or start URL>.json */
static sb_status
sso_path(const s3_sso *sso, s3_buf *out, sb_error *err)
{
  const char *key = sso->session == NULL ? sso->start_url : sso->session;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int len = 0, i;

  if (EVP_Digest(key, strlen(key), digest, &len, EVP_sha1(), NULL) != 1)
    return sb_fail(err, SB_IO,
                   "could not name the cached SSO token: no SHA-1");
  s3_source_path(out, "~/.aws/sso/cache/");
  for (i = 0; i < len; i++)
    s3_buf_printf(out, "%02x", digest[i]);
  s3_buf_text(out, ".json");
  return out->failed ? s3_source_no_memory(err) : SB_OK;
}

/* Old files end times with "UTC" where new ones have "Z". */
static uint64_t
sso_time(char *text)
{
  size_t len = strlen(text);

  if (len > 3 && strcmp(text + len - 3, "UTC") == 0)
    memcpy(text + len - 3, "Z", 2);
  return s3_time_parse(text);
}

static sb_status
sso_read(const sb_host *host, const s3_buf *file, char *token, size_t size,
         sb_error *err)
{
  char expires[64] = "";
  uint64_t expires_ms;

  if (s3_json_member(file->data, file->len, "accessToken", token, size) !=
        SB_OK || token[0] == '\0' || strpbrk(token, "\r\n") != NULL)
    return sb_fail(err, SB_CORRUPT,
                   "the cached SSO token cannot be read; " SSO_LOGIN);
  if (s3_json_member(file->data, file->len, "expiresAt", expires,
                     sizeof expires) != SB_OK)
    expires[0] = '\0';
  expires_ms = sso_time(expires);
  if (expires_ms <= host->clock_ms(host))
    return sb_fail(err, SB_DENIED,
                   "the cached SSO token has expired; " SSO_LOGIN);
  return SB_OK;
}

static sb_status
sso_token(const sb_host *host, const s3_sso *sso, char *token, size_t size,
          sb_error *err)
{
  s3_buf path = s3_buf_of(host), file = s3_buf_of(host);
  sb_status status = sso_path(sso, &path, err);

  if (status == SB_OK)
    status = s3_source_file(host, "cached SSO token", path.data, SSO_FILE_MAX,
                            &file, err);
  if (status == SB_NOT_FOUND)
    status = sb_fail(err, SB_NOT_FOUND, "there is no cached SSO token \"%s\"; "
                     SSO_LOGIN, path.data);
  if (status == SB_OK)
    status = sso_read(host, &file, token, size, err);
  s3_source_wipe(&file);
  s3_buf_free(&path);
  return status;
}

static void
sso_url(const s3_sso *sso, s3_buf *url)
{
  const char *given = sso->endpoint;
  size_t len;

  if (given == NULL)
    given = s3_environment("AWS_ENDPOINT_URL_SSO");
  if (given != NULL) {
    for (len = strlen(given); len > 0 && given[len - 1] == '/';)
      len--;
    s3_buf_add(url, given, len);
  } else {
    s3_buf_printf(url, "https://portal.sso.%s.amazonaws.com%s", sso->region,
                  strncmp(sso->region, "cn-", 3) == 0 ? ".cn" : "");
  }
  s3_buf_text(url, "/federation/credentials?role_name=");
  s3_uri_encode(url, sso->role, 0);
  s3_buf_text(url, "&account_id=");
  s3_uri_encode(url, sso->account, 0);
}

static sb_status
sso_ask(s3_fetch *fetch, const s3_sso *sso, const char *token,
        s3_credentials **out, sb_error *err)
{
  s3_buf url = s3_buf_of(fetch->host), header = s3_buf_of(fetch->host);
  s3_buf body = s3_buf_of(fetch->host);
  s3_http request = {
    .what = SSO_WHAT, .method = "GET", .attempts = SSO_ATTEMPTS,
    .headers = { "Accept: application/json" }
  };
  long code = 0;
  sb_status status;

  sso_url(sso, &url);
  s3_buf_printf(&header, "x-amz-sso_bearer_token: %s", token);
  request.url = url.data;
  request.headers[1] = header.data;
  status = url.failed || header.failed
             ? s3_source_no_memory(err)
             : s3_http_do(fetch, &request, &code, &body, err);
  if (status == SB_OK && code == 401)
    status = sb_fail(err, SB_DENIED,
                     SSO_WHAT " does not take the cached token; " SSO_LOGIN);
  else if (status == SB_OK && code != 200)
    status = s3_http_refused(&request, code, err);
  else if (status == SB_OK)
    status = s3_source_json(fetch->host, SSO_WHAT, body.data, body.len,
                            &sso_names, out, err);
  s3_source_wipe(&body);
  s3_source_wipe(&header);
  s3_buf_free(&url);
  return status;
}

sb_status
s3_sso_fetch(s3_fetch *fetch, const s3_sso *sso, s3_credentials **out,
             sb_error *err)
{
  char *token = s3_alloc(fetch->host, SSO_TOKEN_MAX);
  sb_status status;

  *out = NULL;
  if (token == NULL)
    return s3_source_no_memory(err);
  status = sso_token(fetch->host, sso, token, SSO_TOKEN_MAX, err);
  if (status == SB_OK)
    status = sso_ask(fetch, sso, token, out, err);
  OPENSSL_cleanse(token, SSO_TOKEN_MAX);
  s3_free(fetch->host, token);
  return status;
}
