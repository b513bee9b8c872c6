/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a container (ECS, EKS): an address in the environment, which
 * may be plain HTTP only where it cannot leave the machine, and a token, read
 * again each time.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <curl/curl.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define CONTAINER_WHAT "the container's credentials service"
#define CONTAINER_HOST "http://169.254.170.2"
#define CONTAINER_ATTEMPTS 3u

static const s3_json_names container_names = {
  .access = "AccessKeyId", .secret = "SecretAccessKey", .token = "Token",
  .expires = "Expiration"
};

/* ---- where -------------------------------------------------------------- */

/* 1 for this machine and the addresses of Amazon's agents on it. */
static int
container_near(const char *host)
{
  static const unsigned char loopback[16] = { [15] = 1 };
  static const unsigned char agent[16] = { 0xfd, 0, 0x0e, 0xc2, [15] = 0x23 };
  unsigned char v4[4], v6[16];
  char bare[64];
  size_t len = strlen(host);

  if (strcmp(host, "localhost") == 0)
    return 1;
  if (inet_pton(AF_INET, host, v4) == 1)
    return v4[0] == 127 || strcmp(host, "169.254.170.2") == 0 ||
           strcmp(host, "169.254.170.23") == 0;
  if (host[0] != '[' || len < 3 || len >= sizeof bare)
    return 0;
  memcpy(bare, host + 1, len - 2);
  bare[len - 2] = '\0';
  return inet_pton(AF_INET6, bare, v6) == 1 &&
         (memcmp(v6, loopback, 16) == 0 || memcmp(v6, agent, 16) == 0);
}

static sb_status
container_check(const char *url, sb_error *err)
{
  CURLU *parts = curl_url();
  char *scheme = NULL, *host = NULL;
  sb_status status = SB_OK;

  if (parts == NULL || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK
      || curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
      curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
    status = sb_fail(err, SB_CONFIG,
                     "AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL");
  else if (strcmp(scheme, "https") != 0 &&
           (strcmp(scheme, "http") != 0 || !container_near(host)))
    status = sb_fail(err, SB_CONFIG,
                     "AWS_CONTAINER_CREDENTIALS_FULL_URI is not https and its "
                     "host \"%s\" is not on this machine", host);
  curl_free(scheme);
  curl_free(host);
  curl_url_cleanup(parts);
  return status;
}

static sb_status
container_url(s3_buf *out, sb_error *err)
{
  const char *relative
    = s3_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const char *full = s3_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");

  if (relative == NULL && full == NULL)
    return sb_fail(err, SB_NOT_FOUND,
                   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set, nor is "
                   "_FULL_URI");
  if (relative != NULL && relative[0] != '/')
    return sb_fail(err, SB_CONFIG,
                   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is no path");
  s3_buf_text(out, relative != NULL ? CONTAINER_HOST : full);
  if (relative != NULL)
    s3_buf_text(out, relative);
  if (out->failed)
    return s3_source_no_memory(err);
  return relative != NULL ? SB_OK : container_check(full, err);
}

/* ---- with what ---------------------------------------------------------- */

static sb_status
container_token(const sb_host *host, s3_buf *out, sb_error *err)
{
  const char *path = s3_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  const char *token = s3_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");

  *out = s3_buf_of(host);
  if (path != NULL)
    return s3_source_token(host, "container authorization token", path, out,
                           err);
  if (token == NULL)
    return SB_OK;
  if (strpbrk(token, "\r\n") != NULL)
    return sb_fail(err, SB_CONFIG,
                   "AWS_CONTAINER_AUTHORIZATION_TOKEN has a line end");
  s3_buf_text(out, token);
  return out->failed ? s3_source_no_memory(err) : SB_OK;
}

static sb_status
container_ask(s3_fetch *fetch, const char *url, const char *header,
              s3_credentials **out, sb_error *err)
{
  s3_http request = {
    .what = CONTAINER_WHAT, .method = "GET", .url = url, .direct = 1,
    .headers = { "Accept: application/json", header },
    .attempts = CONTAINER_ATTEMPTS
  };
  s3_buf body;
  long code;
  sb_status status = s3_http_do(fetch, &request, &code, &body, err);

  if (status != SB_OK)
    return status;
  if (code != 200)
    status = s3_http_refused(&request, code, err);
  else
    status = s3_source_json(fetch->host, CONTAINER_WHAT, body.data, body.len,
                            &container_names, out, err);
  s3_source_wipe(&body);
  return status;
}

sb_status
s3_container_fetch(s3_fetch *fetch, s3_credentials **out, sb_error *err)
{
  s3_buf url = s3_buf_of(fetch->host), header = s3_buf_of(fetch->host);
  s3_buf token = s3_buf_of(fetch->host);
  sb_status status = container_url(&url, err);

  *out = NULL;
  if (status == SB_OK)
    status = container_token(fetch->host, &token, err);
  if (status == SB_OK && token.data != NULL) {
    s3_buf_printf(&header, "Authorization: %s", token.data);
    if (header.failed)
      status = s3_source_no_memory(err);
  }
  if (status == SB_OK)
    status = container_ask(fetch, url.data, header.data, out, err);
  s3_source_wipe(&token);
  s3_source_wipe(&header);
  s3_source_wipe(&url);
  return status;
}

static sb_status
container_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
                sb_error *err)
{
  (void)source;
  return s3_container_fetch(fetch, out, err);
}

sb_status
s3_container_open(const s3_settings *settings, s3_source **out, sb_error *err)
{
  *out = s3_source_new(settings->host, sizeof **out, "container",
                       container_fetch);
  return *out == NULL ? s3_source_no_memory(err) : SB_OK;
}
