/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the configuration; see settings.h. The host has checked types and
 * ranges; here options become fields, names that mean the same become one, and
 * what is left to be decided is decided.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/buf.h"
#include "plugins/s3/settings_parts.h"

#define SETTINGS_CONNECTIONS_MAX 1000
#define SETTINGS_IDLE_AMAZON_MS 4000
#define SETTINGS_IDLE_MS 50000

/* ---- options by name ---------------------------------------------------- */

const char *
s3_settings_key(const s3_settings *settings, const char *name,
                char out[S3_SETTINGS_KEY_MAX])
{
  (void)snprintf(out, S3_SETTINGS_KEY_MAX, "%s%s",
                 strncmp(name, "aws.", 4) == 0 ? "" : settings->prefix, name);
  return out;
}

const char *
s3_settings_text(const s3_settings *settings, const char *name)
{
  char key[S3_SETTINGS_KEY_MAX];
  const char *text = settings->host->config_string(
    settings->config, s3_settings_key(settings, name, key));

  return text == NULL || text[0] == '\0' ? NULL : text;
}

int64_t
s3_settings_int(const s3_settings *settings, const char *name)
{
  char key[S3_SETTINGS_KEY_MAX];

  return settings->host->config_int(settings->config,
                                    s3_settings_key(settings, name, key));
}

/* ---- plain values ------------------------------------------------------- */

typedef struct settings_number {
  const char *name;
  const char *alias;   /* wins if it is set; NULL: none */
  size_t offset;
} settings_number;

#define FIELD(field) offsetof(s3_settings, field)

static const settings_number settings_wide[] = {
  { "state-file-part-size", NULL, FIELD(part_size) },
  { "multipart-threshold", NULL, FIELD(multipart_threshold) },
  { "upload-memory", NULL, FIELD(upload_memory) },
  { "connection-lifetime", NULL, FIELD(lifetime_ms) },
  { "connect-timeout", NULL, FIELD(connect_ms) },
  { "first-byte-timeout", NULL, FIELD(first_byte_ms) },
  { "stall-timeout", "aws.http-client.read-timeout", FIELD(stall_ms) },
  { "request-timeout", NULL, FIELD(request_ms) },
  { "retry.delay-min", "aws.retry-strategy.delay.min", FIELD(delay_min_ms) },
  { "retry.delay-max", "aws.retry-strategy.delay.max", FIELD(delay_max_ms) },
  { "retry.throttle-delay-min", NULL, FIELD(throttle_delay_min_ms) },
  { "limit.requests", NULL, FIELD(requests_per_second) },
  { "limit.upload", NULL, FIELD(upload_per_second) },
  { "limit.download", NULL, FIELD(download_per_second) },
};

static const settings_number settings_narrow[] = {
  { "upload-parallelism", NULL, FIELD(upload_parallelism) },
  { "max-connections", "aws.http-client.max-concurrency",
    FIELD(connections_max) },
  { "retry.attempts", "aws.retry-strategy.attempts.max",
    FIELD(attempts_max) },
  { "retry.tokens", NULL, FIELD(retry_tokens) },
};

static const settings_number settings_flags[] = {
  { "sse.bucket-key", NULL, FIELD(bucket_key) },
  { "requester-pays", NULL, FIELD(requester_pays) },
  { "transfer-acceleration", NULL, FIELD(accelerate) },
  { "dualstack", NULL, FIELD(dualstack) },
  { "fips", NULL, FIELD(fips) },
  { "tls.verify", NULL, FIELD(tls_verify) },
};

static const settings_number settings_texts[] = {
  { "bucket", NULL, FIELD(bucket) },
  { "aws.region", NULL, FIELD(region) },
  { "sse.kms-key-id", NULL, FIELD(kms_key_id) },
  { "storage-class", NULL, FIELD(storage_class) },
  { "acl", NULL, FIELD(acl) },
  { "expected-bucket-owner", NULL, FIELD(bucket_owner) },
  { "tls.ca-file", NULL, FIELD(ca_file) },
  { "proxy.url", NULL, FIELD(proxy_url) },
  { "proxy.user", NULL, FIELD(proxy_user) },
  { "proxy.password", NULL, FIELD(proxy_password) },
  { "proxy.bypass", NULL, FIELD(proxy_bypass) },
};

#undef FIELD
#define COUNT(array) (sizeof (array) / sizeof (array)[0])

static void *
settings_field(s3_settings *settings, const settings_number *n)
{
  return (char *)settings + n->offset;
}

static int64_t
settings_value(const s3_settings *settings, const settings_number *n)
{
  int other = n->alias != NULL && s3_settings_text(settings, n->alias) != NULL;

  return s3_settings_int(settings, other ? n->alias : n->name);
}

static void
settings_read_numbers(s3_settings *settings)
{
  size_t i;

  for (i = 0; i < COUNT(settings_wide); i++)
    *(uint64_t *)settings_field(settings, &settings_wide[i]) =
      (uint64_t)settings_value(settings, &settings_wide[i]);
  for (i = 0; i < COUNT(settings_narrow); i++)
    *(uint32_t *)settings_field(settings, &settings_narrow[i]) =
      (uint32_t)settings_value(settings, &settings_narrow[i]);
  for (i = 0; i < COUNT(settings_flags); i++)
    *(int *)settings_field(settings, &settings_flags[i]) =
      settings_value(settings, &settings_flags[i]) != 0;
}

static sb_status
settings_read_texts(s3_settings *settings, sb_error *err)
{
  size_t i;

  for (i = 0; i < COUNT(settings_texts); i++) {
    const char *text = s3_settings_text(settings, settings_texts[i].name);
    char **field = settings_field(settings, &settings_texts[i]);

    if (text == NULL)
      continue;
    *field = s3_strdup(settings->host, text);
    if (*field == NULL)
      return sb_fail(err, SB_NO_MEMORY, "out of memory");
  }
  return SB_OK;
}

/* The number of the option's value in `choices`, which ends with NULL. */
static int
settings_choice(const s3_settings *settings, const char *name,
                const char *const *choices)
{
  const char *text = s3_settings_text(settings, name);
  int i;

  for (i = 0; text != NULL && choices[i] != NULL; i++)
    if (strcmp(text, choices[i]) == 0)
      return i;
  return 0;
}

static void
settings_read_choices(s3_settings *settings)
{
  static const char *const checksums[] = { "auto", "crc32c", "md5", "none",
                                           NULL };
  static const char *const signings[] = { "auto", "signed", "unsigned", NULL };
  static const char *const checks[] = { "auto", "full", "bucket", "none",
                                        NULL };
  static const char *const conditions[] = { "auto", "match", "create", NULL };
  static const char *const versions[] = { "HTTP1_1", "HTTP2", NULL };

  settings->checksum = (s3_checksum)settings_choice(settings, "checksum",
                                                    checksums);
  settings->signing = (s3_signing)settings_choice(settings, "payload-signing",
                                                  signings);
  settings->open_check = (s3_open_check)settings_choice(settings, "open-check",
                                                        checks);
  settings->conditional = (s3_conditional)settings_choice(
    settings, "conditional-writes", conditions);
  settings->http2 = settings_choice(settings, "aws.http.protocol.version",
                                    versions);
}

/* Dollars become millionths, so that sums stay exact. */
static uint64_t
settings_price(const s3_settings *settings, const char *name)
{
  char key[S3_SETTINGS_KEY_MAX];
  double price = settings->host->config_double(
    settings->config, s3_settings_key(settings, name, key));

  return price > 0 ? (uint64_t)(price * 1e6 + 0.5) : 0;
}

/* ---- what is to be decided ---------------------------------------------- */

/* Options that were not set must not stand in the way of those that were: a
   larger part alone is a valid wish. */
static void
settings_fit(s3_settings *settings, const s3_endpoint *endpoint)
{
  settings->idle_ms =
    s3_settings_text(settings, "connection-idle-time") != NULL
      ? (uint64_t)s3_settings_int(settings, "connection-idle-time")
      : endpoint->amazon ? SETTINGS_IDLE_AMAZON_MS : SETTINGS_IDLE_MS;
  if (settings->multipart_threshold < settings->part_size)
    settings->multipart_threshold = settings->part_size;
  if (settings->upload_memory < settings->part_size)
    settings->upload_memory = settings->part_size;
  if (settings->connections_max > SETTINGS_CONNECTIONS_MAX)
    settings->connections_max = SETTINGS_CONNECTIONS_MAX;
  if (settings->throttle_delay_min_ms > settings->delay_max_ms)
    settings->throttle_delay_min_ms = settings->delay_max_ms;
}

static sb_status
settings_read(s3_settings *settings, sb_error *err)
{
  s3_endpoint endpoint;
  sb_status status = settings_read_texts(settings, err);

  if (status != SB_OK)
    return status;
  settings_read_numbers(settings);
  settings_read_choices(settings);
  if (s3_settings_int(settings, "aws.trust.all.certificates") != 0)
    settings->tls_verify = 0;
  settings->price_put = settings_price(settings, "price.put");
  settings->price_get = settings_price(settings, "price.get");
  status = s3_settings_read_place(settings, err);
  if (status == SB_OK)
    status = s3_settings_read_objects(settings, err);
  if (status == SB_OK)
    status = s3_endpoint_make(settings, settings->region, settings->bucket,
                              &endpoint, err);
  if (status == SB_OK)
    status = s3_settings_check(settings, &endpoint, err);
  if (status == SB_OK)
    settings_fit(settings, &endpoint);
  return status;
}

sb_status
s3_settings_open(const sb_host *host, const sb_config *config,
                 const char *prefix, const char *scheme, s3_settings **out,
                 sb_error *err)
{
  s3_settings *settings = s3_alloc(host, sizeof *settings);
  sb_status status;

  *out = NULL;
  if (settings == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  settings->host = host;
  settings->config = config;
  settings->prefix = prefix;
  settings->scheme = scheme;
  status = settings_read(settings, err);
  if (status != SB_OK) {
    s3_settings_close(settings);
    return status;
  }
  *out = settings;
  return SB_OK;
}

void
s3_settings_close(s3_settings *settings)
{
  const sb_host *host;
  size_t i;

  if (settings == NULL)
    return;
  host = settings->host;
  for (i = 0; i < COUNT(settings_texts); i++)
    s3_free_secret(host, *(char **)settings_field(settings,
                                                  &settings_texts[i]));
  s3_free(host, settings->endpoint);
  s3_free(host, settings->kms_context);
  s3_free_secret(host, settings->customer_key);
  s3_free_secret(host, settings->customer_key_md5);
  s3_free(host, settings->tags);
  s3_free(host, settings);
}
