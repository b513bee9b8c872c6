/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_settings: the configuration as the client uses it. Read once when a
 * backend is opened; what Amazon refuses, or what contradicts itself, is
 * refused here with the reason. Immutable afterwards.
 */
#ifndef PLUGINS_S3_SETTINGS_H
#define PLUGINS_S3_SETTINGS_H

#include <statebackend/plugin.h>

typedef enum s3_sse {
  S3_SSE_NONE,
  S3_SSE_S3,        /* AES256 */
  S3_SSE_KMS,       /* aws:kms */
  S3_SSE_DSSE,      /* aws:kms:dsse */
  S3_SSE_CUSTOMER   /* SSE-C */
} s3_sse;

typedef enum s3_checksum {
  S3_CHECKSUM_AUTO, /* CRC-32C header on Amazon and servers that take it */
  S3_CHECKSUM_CRC32C,
  S3_CHECKSUM_MD5,
  S3_CHECKSUM_NONE
} s3_checksum;

typedef enum s3_signing {
  S3_SIGNING_AUTO,  /* signed without TLS, unsigned with it */
  S3_SIGNING_SIGNED,
  S3_SIGNING_UNSIGNED
} s3_signing;

typedef enum s3_open_check {
  S3_OPEN_CHECK_AUTO, /* one list on Amazon, full elsewhere */
  S3_OPEN_CHECK_FULL,
  S3_OPEN_CHECK_BUCKET,
  S3_OPEN_CHECK_NONE
} s3_open_check;

typedef enum s3_conditional {
  S3_CONDITIONAL_AUTO,   /* as known for Amazon, else found out on opening */
  S3_CONDITIONAL_MATCH,  /* both If-None-Match and If-Match are honoured */
  S3_CONDITIONAL_CREATE, /* only If-None-Match: * */
} s3_conditional;

typedef struct s3_settings {
  const sb_host *host;
  const sb_config *config;   /* outlives the backend */
  const char *prefix;        /* "state.backend.s3." */
  const char *scheme;        /* "s3" or "minio": of info.root, for messages */

  /* All texts belong to the settings; NULL if not set. */
  char *bucket;
  char *region;              /* NULL: to be found */
  char *endpoint;            /* "http://HOST[:PORT]", no path; NULL: Amazon */
  int path_style;            /* decided: 0 or 1 */
  int accelerate, dualstack, fips;

  /* bodies and objects */
  uint64_t part_size, multipart_threshold;
  uint32_t upload_parallelism;
  uint64_t upload_memory;    /* bytes that streams may hold back in all */
  s3_checksum checksum;
  s3_signing signing;
  s3_sse sse;
  char *kms_key_id;
  char *kms_context;         /* base64 of the JSON object; NULL none */
  int bucket_key;
  char *customer_key;        /* base64 of the 32 bytes; secret */
  char *customer_key_md5;    /* base64 */
  char *storage_class, *acl;
  char *tags;                /* "k=v&k2=v2", URL-encoded, for x-amz-tagging */
  int requester_pays;
  char *bucket_owner;

  /* transport */
  int tls_verify;
  char *ca_file;
  int http2;
  char *proxy_url, *proxy_user, *proxy_password, *proxy_bypass;
  uint32_t connections_max;
  uint64_t idle_ms, lifetime_ms;
  uint64_t connect_ms, first_byte_ms, stall_ms, request_ms;

  /* retries and limits */
  uint32_t attempts_max;
  uint64_t delay_min_ms, delay_max_ms, throttle_delay_min_ms;
  uint32_t retry_tokens;     /* token bucket of retries; 0: off */
  uint64_t requests_per_second, upload_per_second, download_per_second;

  /* opening */
  s3_open_check open_check;
  s3_conditional conditional;

  /* list prices, in millionths of a US dollar per 1,000 requests */
  uint64_t price_put, price_get;
} s3_settings;

/* Reads and checks. `prefix` ends with '.'. SB_CONFIG with the reason. */
sb_status s3_settings_open(const sb_host *host, const sb_config *config,
                           const char *prefix, const char *scheme,
                           s3_settings **out, sb_error *err);
void s3_settings_close(s3_settings *settings); /* NULL: nothing */

#endif
