/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where requests go; see endpoint.h. Regions come from the configuration and
 * also from answers of servers, and become part of a host name: what is not
 * plainly a region is refused.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/endpoint.h"

#define ENDPOINT_REGION "us-east-1"
#define ENDPOINT_GLOBAL "aws-global"

/* Amazon's partitions: regions that begin with `start` are under `suffix`. The
   last one is everybody else's. */
typedef struct endpoint_partition {
  const char *start, *suffix;
  int fips, dualstack, accelerate;
} endpoint_partition;

static const endpoint_partition endpoint_partitions[] = {
  { "cn-", "amazonaws.com.cn", 0, 1, 0 },
  { "us-gov-", "amazonaws.com", 1, 1, 0 },
  { "us-iso-", "c2s.ic.gov", 1, 0, 0 },
  { "us-isob-", "sc2s.sgov.gov", 1, 0, 0 },
  { "us-isof-", "csp.hci.ic.gov", 1, 0, 0 },
  { "eu-isoe-", "cloud.adc-e.uk", 1, 0, 0 },
  { "eusc-", "amazonaws.eu", 1, 1, 0 },
  { "", "amazonaws.com", 1, 1, 1 },
};

#define ENDPOINT_PARTITIONS                                                   \
  (sizeof endpoint_partitions / sizeof endpoint_partitions[0])

static const endpoint_partition *
endpoint_partition_of(const char *region)
{
  const endpoint_partition *p = endpoint_partitions;

  while (strncmp(region, p->start, strlen(p->start)) != 0)
    p++;
  return p;
}

/* A region of Amazon's becomes a label of a host name. */
static int
endpoint_region_valid(const char *region, int amazon)
{
  static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
  size_t len = strlen(region);
  size_t i;

  if (len == 0 || len > 63)
    return 0;
  if (amazon)
    return strspn(region, name) == len;
  for (i = 0; i < len; i++)
    if (region[i] <= ' ' || region[i] > '~' || strchr("/\\\",<>&", region[i]))
      return 0;
  return 1;
}

/* ---- an endpoint of one's own ------------------------------------------- */

/* 1 if `host` is below one of Amazon's domains. */
static int
endpoint_is_amazon(const char *host, size_t len)
{
  size_t i;

  for (i = 0; i < ENDPOINT_PARTITIONS; i++) {
    const char *suffix = endpoint_partitions[i].suffix;
    size_t n = strlen(suffix);

    if (len > n && host[len - n - 1] == '.' &&
        strncmp(host + len - n, suffix, n) == 0)
      return 1;
  }
  return 0;
}

/* The region that a host of Amazon's names: the label after "s3", "s3-fips",
   and "dualstack". "" if there is none. */
static void
endpoint_host_region(const char *host, char *out, size_t size)
{
  const char *p = host;
  int found = 0;

  out[0] = '\0';
  while (*p != '\0') {
    size_t len = strcspn(p, ".:");

    if (found && strncmp(p, "dualstack.", 10) != 0) {
      if (memchr(p, '-', len) != NULL && len < size) {
        memcpy(out, p, len);
        out[len] = '\0';
      }
      return;
    }
    found |= (len == 2 && strncmp(p, "s3", 2) == 0) ||
             (len == 7 && strncmp(p, "s3-fips", 7) == 0);
    p += len;
    if (*p != '.')
      return;
    p++;
  }
}

/* An address in place of a name cannot have a bucket before it. */
static int
endpoint_is_address(const char *host)
{
  return host[0] == '[' || host[strspn(host, "0123456789.")] == '\0' ||
         host[strspn(host, "0123456789.")] == ':';
}

/* The host of the settings' endpoint, without a port that is the usual one. */
static sb_status
endpoint_host(const s3_settings *settings, int tls, char *out, size_t size,
              sb_error *err)
{
  const char *host = settings->endpoint + (tls ? 8 : 7);
  const char *usual = tls ? ":443" : ":80";
  size_t len = strlen(host), n = strlen(usual);

  if (len > n && strcmp(host + len - n, usual) == 0)
    len -= n;
  if (len == 0 || len >= size)
    return sb_fail(err, SB_CONFIG, "cannot use aws.endpoint \"%.100s\": the "
                   "host's name is empty or too long", settings->endpoint);
  memcpy(out, host, len);
  out[len] = '\0';
  return SB_OK;
}

static sb_status
endpoint_make_own(const s3_settings *settings, const char *region,
                  const char *bucket, s3_endpoint *out, sb_error *err)
{
  char host[256], found[64];
  size_t name, room;
  int len;
  sb_status status;

  out->tls = strncmp(settings->endpoint, "https://", 8) == 0;
  status = endpoint_host(settings, out->tls, host, sizeof host, err);
  if (status != SB_OK)
    return status;
  name = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
  out->amazon = endpoint_is_amazon(host, name);
  endpoint_host_region(host, found, sizeof found);
  if (region[0] == '\0' && out->amazon)
    region = found;
  (void)snprintf(out->region, sizeof out->region, "%s",
                 region[0] == '\0' ? ENDPOINT_REGION : region);
  if (!settings->path_style && endpoint_is_address(host))
    return sb_fail(err, SB_CONFIG, "%spath-style-access is false, but the "
                   "bucket cannot go before the address in aws.endpoint "
                   "\"%.100s\": set it to true", settings->prefix,
                   settings->endpoint);
  room = sizeof out->host;
  len = settings->path_style ? snprintf(out->host, room, "%s", host)
                             : snprintf(out->host, room, "%s.%s", bucket,
                                        host);
  return len > 0 && (size_t)len < room
           ? SB_OK
           : sb_fail(err, SB_CONFIG, "the host's name of bucket \"%.100s\" is "
                     "too long", bucket);
}

/* ---- Amazon's ----------------------------------------------------------- */

/* What not every part of Amazon has. */
static sb_status
endpoint_check_partition(const s3_settings *settings, const char *region,
                         const endpoint_partition *partition, sb_error *err)
{
  const char *key = settings->fips && !partition->fips ? "fips"
                    : settings->dualstack && !partition->dualstack
                      ? "dualstack"
                    : settings->accelerate && !partition->accelerate
                      ? "transfer-acceleration"
                      : NULL;

  if (key == NULL)
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "%s%s is true, but region \"%s\" has no such "
                 "endpoint", settings->prefix, key, region);
}

static sb_status
endpoint_make_amazon(const s3_settings *settings, const char *region,
                     const char *bucket, s3_endpoint *out, sb_error *err)
{
  const char *used = region[0] == '\0' || strcmp(region, ENDPOINT_GLOBAL) == 0
                       ? ENDPOINT_REGION : region;
  const endpoint_partition *partition = endpoint_partition_of(used);
  const char *dualstack = settings->dualstack ? ".dualstack" : "";
  sb_status status = endpoint_check_partition(settings, used, partition, err);
  int len;

  if (status != SB_OK)
    return status;
  out->tls = 1;
  out->amazon = 1;
  (void)snprintf(out->region, sizeof out->region, "%s", used);
  if (settings->accelerate)
    len = snprintf(out->host, sizeof out->host, "%s.s3-accelerate%s.%s",
                   bucket, dualstack, partition->suffix);
  else
    len = snprintf(out->host, sizeof out->host, "%s%ss3%s%s.%s.%s",
                   settings->path_style ? "" : bucket,
                   settings->path_style ? "" : ".",
                   settings->fips ? "-fips" : "", dualstack, used,
                   partition->suffix);
  if (len < 0 || (size_t)len >= sizeof out->host)
    return sb_fail(err, SB_CONFIG, "the host's name of bucket \"%.100s\" is "
                   "too long", bucket);
  return SB_OK;
}

sb_status
s3_endpoint_make(const s3_settings *settings, const char *region,
                 const char *bucket, s3_endpoint *out, sb_error *err)
{
  const char *name = region == NULL ? "" : region;
  int own = settings->endpoint != NULL, len;
  sb_status status;

  memset(out, 0, sizeof *out);
  if (name[0] != '\0' && !endpoint_region_valid(name, !own))
    return sb_fail(err, SB_CONFIG, "\"%.80s\" cannot be a region", name);
  status = own ? endpoint_make_own(settings, name, bucket, out, err)
               : endpoint_make_amazon(settings, name, bucket, out, err);
  if (status != SB_OK)
    return status;
  (void)snprintf(out->url, sizeof out->url, "http%s://%s",
                 out->tls ? "s" : "", out->host);
  if (!settings->path_style)
    return SB_OK;
  len = snprintf(out->path, sizeof out->path, "/%s", bucket);
  return len > 0 && (size_t)len < sizeof out->path
           ? SB_OK
           : sb_fail(err, SB_CONFIG, "bucket name \"%.80s...\" is too long",
                     bucket);
}
