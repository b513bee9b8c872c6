/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bucket, its path, and the endpoint: what their texts may be. All of them
 * end up in URLs and headers that are signed, so nothing is guessed and
 * nothing odd goes through.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <statebackend/store.h>

#include "plugins/s3/buf.h"
#include "plugins/s3/settings_parts.h"

#define PLACE_LOWER "abcdefghijklmnopqrstuvwxyz"
#define PLACE_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define PLACE_DIGITS "0123456789"

static sb_status
place_refuse_bucket(const s3_settings *settings, const char *why,
                    sb_error *err)
{
  return sb_fail(err, SB_CONFIG, "%sbucket \"%.100s\": %s", settings->prefix,
                 settings->bucket, why);
}

/* ---- the endpoint ------------------------------------------------------- */

static sb_status
place_refuse_endpoint(const char *text, const char *why, sb_error *err)
{
  /* Before an '@' there may be a password. */
  if (strchr(text, '@') != NULL)
    return sb_fail(err, SB_CONFIG, "aws.endpoint has a user or password in "
                   "it: credentials go into aws.credentials.provider");
  return sb_fail(err, SB_CONFIG, "aws.endpoint \"%.150s\" %s", text, why);
}

static char
place_lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The length of a host's name or address at `p`, 0 if it is none. */
static size_t
place_host_len(const char *p)
{
  size_t len;

  if (p[0] != '[') {
    len = strspn(p, PLACE_LOWER PLACE_DIGITS ".-_");
    return p[0] == '.' || p[0] == '-' || strncmp(p, "..", 2) == 0 ? 0 : len;
  }
  len = 1 + strspn(p + 1, "abcdef" PLACE_DIGITS ":.");
  return len > 2 && p[len] == ']' ? len + 1 : 0;
}

static int
place_port_valid(const char *p)
{
  size_t len = strspn(p, PLACE_DIGITS), i;
  unsigned port = 0;

  if (len == 0 || len > 5 || p[len] != '\0')
    return 0;
  for (i = 0; i < len; i++)
    port = port * 10 + (unsigned)(p[i] - '0');
  return port > 0 && port < 65536;
}

/* The name or address and the port, in lower case. */
static sb_status
place_check_host(const char *text, const char *host, sb_error *err)
{
  size_t len = place_host_len(host);

  if (host[strcspn(host, "/?#@")] != '\0')
    return place_refuse_endpoint(text, "must be http://HOST[:PORT] or "
                                 "https://HOST[:PORT], without a path or "
                                 "query", err);
  if (len == 0 || len > 250 || strstr(host, "..") != NULL)
    return place_refuse_endpoint(text, "has no valid host name", err);
  if (host[len] == '\0')
    return SB_OK;
  if (host[len] != ':')
    return place_refuse_endpoint(text, "has no valid host name", err);
  return place_port_valid(host + len + 1)
           ? SB_OK
           : place_refuse_endpoint(text, "has no valid port: it must be a "
                                   "number from 1 to 65535", err);
}

static sb_status
place_read_endpoint(s3_settings *settings, sb_error *err)
{
  const char *text = s3_settings_text(settings, "aws.endpoint");
  char *own;
  size_t len;

  if (text == NULL)
    return SB_OK;
  own = s3_strdup(settings->host, text);
  if (own == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  settings->endpoint = own;
  for (len = 0; own[len] != '\0'; len++)
    own[len] = place_lower(own[len]);
  if (len > 1 && own[len - 1] == '/' && own[len - 2] != '/')
    own[len - 1] = '\0';
  if (strncmp(own, "http://", 7) == 0)
    return place_check_host(text, own + 7, err);
  if (strncmp(own, "https://", 8) == 0)
    return place_check_host(text, own + 8, err);
  return place_refuse_endpoint(text, "must begin with http:// or https://",
                               err);
}

/* ---- the bucket --------------------------------------------------------- */

static int
place_ends_with(const char *text, const char *end)
{
  size_t len = strlen(text), n = strlen(end);

  return len >= n && strcmp(text + len - n, end) == 0;
}

/* Slips that are worth a word of their own. */
static const char *
place_bucket_slip(const char *bucket)
{
  if (strstr(bucket, "://") != NULL || strchr(bucket, '/') != NULL)
    return "it must be the name alone; paths go into base-path, URLs into "
           "aws.endpoint";
  if (strncmp(bucket, "arn:", 4) == 0)
    return "ARNs are not supported; an access point can be given by its "
           "alias, which ends in -s3alias";
  return NULL;
}

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
   */
static const char *
place_bucket_amazon(const char *bucket)
{
  size_t len = strlen(bucket);

  if (strspn(bucket, PLACE_LOWER PLACE_DIGITS ".-") != len)
    return "Amazon's bucket names have only lower-case letters, digits, '.' "
           "and '-'";
  if (strchr(".-", bucket[0]) != NULL || strchr(".-", bucket[len - 1]) != NULL)
    return "it must begin and end with a letter or digit";
  if (strstr(bucket, "..") != NULL)
    return "it must not have two '.' in a row";
  if (strspn(bucket, PLACE_DIGITS ".") == len && strchr(bucket, '.') != NULL)
    return "it must not look like an IP address";
  if (strncmp(bucket, "xn--", 4) == 0 || strncmp(bucket, "sthree-", 7) == 0)
    return "Amazon keeps names that begin with xn-- and sthree- for itself";
  if (place_ends_with(bucket, "--x-s3"))
    return "directory buckets (S3 Express One Zone) are not supported";
  if (place_ends_with(bucket, "--table-s3") ||
      place_ends_with(bucket, "--ol-s3"))
    return "table buckets and Object Lambda access points cannot hold objects "
           "of other programs";
  if (place_ends_with(bucket, ".mrap"))
    return "multi-region access points are not supported";
  return NULL;
}

/* Servers other than Amazon's may allow more. */
static const char *
place_bucket_other(const s3_settings *settings)
{
  const char *bucket = settings->bucket;
  size_t len = strlen(bucket);

  if (strspn(bucket, PLACE_LOWER PLACE_UPPER PLACE_DIGITS ".-_") != len ||
      bucket[0] == '.' || strstr(bucket, "..") != NULL)
    return "it must have only letters, digits, '.', '-' and '_', and no '.' "
           "at its start or beside another one";
  if (!settings->path_style &&
      strspn(bucket, PLACE_LOWER PLACE_DIGITS ".-") != len)
    return "it cannot be part of a host name: set path-style-access to true";
  return NULL;
}

static sb_status
place_check_bucket(const s3_settings *settings, sb_error *err)
{
  const char *bucket = settings->bucket;
  const char *why;
  size_t len;

  if (bucket == NULL)
    return sb_fail(err, SB_CONFIG, "%sbucket is not set", settings->prefix);
  why = place_bucket_slip(bucket);
  len = strlen(bucket);
  if (why == NULL && (len < 3 || len > 63))
    why = "it must have 3 to 63 characters";
  if (why == NULL)
    why = settings->endpoint == NULL ? place_bucket_amazon(bucket)
                                     : place_bucket_other(settings);
  return why == NULL ? SB_OK : place_refuse_bucket(settings, why, err);
}

/* The bucket's own host in place of Amazon's. */
static sb_status
place_check_repeated(const s3_settings *settings, sb_error *err)
{
  const char *host = settings->endpoint;
  size_t len = strlen(settings->bucket);

  if (host == NULL)
    return SB_OK;
  host = strstr(host, "://") + 3;
  if (strncmp(host, settings->bucket, len) != 0 ||
      strncmp(host + len, ".s3", 3) != 0 ||
      strstr(host, ".amazonaws.com") == NULL)
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "aws.endpoint \"%.100s\" has the name of "
                 "%sbucket in it: it must be the server's, without the "
                 "bucket", settings->endpoint, settings->prefix);
}

/* ---- paths -------------------------------------------------------------- */

/* As names of the store: no empty, "." or ".." parts. */
static int
place_path_valid(const char *path)
{
  size_t i;

  for (i = 0; path[i] != '\0'; i++)
    if (path[i] < ' ' || path[i] > '~')
      return 0;
  for (;;) {
    size_t len = strcspn(path, "/");

    if (len == 0 || (len <= 2 && strncmp(path, "..", len) == 0))
      return 0;
    if (path[len] == '\0')
      return 1;
    path += len + 1;
  }
}

static sb_status
place_check_path(const s3_settings *settings, const char *name, sb_error *err)
{
  const char *path = s3_settings_text(settings, name);

  if (path == NULL || (place_path_valid(path) &&
                       strlen(path) <= SB_OBJECT_NAME_MAX / 2))
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "%s%s \"%.150s\" must be a path of printable "
                 "ASCII and up to %u bytes, without empty, \".\" and \"..\" "
                 "parts and without outer slashes", settings->prefix, name,
                 path, SB_OBJECT_NAME_MAX / 2);
}

sb_status
s3_settings_read_place(s3_settings *settings, sb_error *err)
{
  sb_status status = place_read_endpoint(settings, err);

  if (status != SB_OK)
    return status;
  settings->path_style =
    s3_settings_text(settings, "path-style-access") == NULL
      ? settings->endpoint != NULL
      : s3_settings_int(settings, "path-style-access") != 0;
  status = place_check_bucket(settings, err);
  if (status == SB_OK)
    status = place_check_repeated(settings, err);
  if (status == SB_OK)
    status = place_check_path(settings, "base-path", err);
  if (status == SB_OK)
    status = place_check_path(settings, "state-prefix", err);
  if (status == SB_OK)
    status = place_check_path(settings, "checkpoint-prefix", err);
  if (status == SB_OK)
    status = place_check_path(settings, "savepoint-prefix", err);
  return status;
}
