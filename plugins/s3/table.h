/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option table of plugins that speak the S3 protocol. Whoever includes
 * this sets what differs: S3_PREFIX (a text that ends with '.') and the
 * defaults S3_ENDPOINT, S3_REGION and S3_PATH_STYLE (texts, or NULL).
 */
#ifndef S3_TABLE_H
#define S3_TABLE_H

#include <statebackend/plugin.h>

#define S3_CREDENTIALS "aws.credentials.provider"
#define S3_ROLE_PROVIDER S3_CREDENTIALS ".role.provider"
#define S3_PROVIDERS \
  "ENV_VAR|SYS_PROP|PROFILE|BASIC|ASSUME_ROLE|WEB_IDENTITY_TOKEN|CUSTOM|AUTO"

#define S3_TEXT(key, value, text) \
  { key, SB_TYPE_STRING, 0, value, 0, 0, NULL, text }
#define S3_SECRET(key, text) \
  { key, SB_TYPE_STRING, SB_OPTION_SECRET, NULL, 0, 0, NULL, text }
#define S3_BOOL(key, value, text) \
  { key, SB_TYPE_BOOL, 0, value, 0, 0, NULL, text }
#define S3_INT(key, value, min, max, text) \
  { key, SB_TYPE_INT, 0, value, min, max, NULL, text }
#define S3_SIZE(key, value, min, max, text) \
  { key, SB_TYPE_SIZE, 0, value, min, max, NULL, text }
#define S3_TIME(key, value, min_ms, max_ms, text) \
  { key, SB_TYPE_DURATION, 0, value, min_ms, max_ms, NULL, text }
#define S3_ENUM(key, value, choices, text) \
  { key, SB_TYPE_ENUM, 0, value, 0, 0, choices, text }
#define S3_DOUBLE(key, value, min, max, text) \
  { key, SB_TYPE_DOUBLE, 0, value, min, max, NULL, text }
#define S3_LIST(key, text) \
  { key, SB_TYPE_LIST, 0, NULL, 0, 0, NULL, text }

#define S3_MINUTE 60000
#define S3_HOUR 3600000
#define S3_MIB (1ll << 20)
#define S3_GIB (1ll << 30)

static const char *const s3_prefixes[] = { S3_PREFIX, "aws.", NULL };

static const sb_option s3_options[] = {
  /* where */
  { S3_PREFIX "bucket", SB_TYPE_STRING, SB_OPTION_REQUIRED, NULL, 0, 0, NULL,
    "The bucket that holds the state." },
  S3_TEXT(S3_PREFIX "base-path", "",
          "Path in the bucket under which everything is kept."),
  S3_TEXT(S3_PREFIX "state-prefix", "state",
          "Path of the state's objects under the base path."),
  S3_TEXT(S3_PREFIX "checkpoint-prefix", "checkpoints",
          "Path of the checkpoints under the base path."),
  S3_TEXT(S3_PREFIX "savepoint-prefix", "savepoints",
          "Path of the savepoints under the base path."),
  S3_TEXT(S3_PREFIX "state-file-extension", ".state",
          "What the names of the state's objects end with."),
  S3_ENUM(S3_PREFIX "layout", "segments", "segments|entries",
          "Segments alone, or also one object for each key and namespace."),

  /* how objects are written */
  S3_BOOL(S3_PREFIX "state-file-compression", "true",
          "Whether state is compressed (Snappy)."),
  S3_BOOL(S3_PREFIX "state-file-encryption", "false",
          "Whether the server encrypts objects, as sse.type says."),
  S3_ENUM(S3_PREFIX "sse.type", "sse-s3", "sse-s3|sse-kms|dsse-kms|sse-c",
          "The kind of server-side encryption."),
  S3_TEXT(S3_PREFIX "sse.kms-key-id", NULL,
          "Key of sse-kms and dsse-kms; the account's own if it is not set."),
  S3_LIST(S3_PREFIX "sse.kms-context",
          "Encryption context of sse-kms and dsse-kms, as NAME=VALUE."),
  S3_BOOL(S3_PREFIX "sse.bucket-key", "false",
          "Whether sse-kms uses the bucket's key, which saves KMS requests."),
  S3_TEXT(S3_PREFIX "sse.customer-key-file", NULL,
          "File with the 32-byte key of sse-c, raw or in base64."),
  S3_SIZE(S3_PREFIX "state-file-part-size", "8mb", 5 * S3_MIB, 5 * S3_GIB,
          "Bytes of a part of a multipart upload."),
  S3_SIZE(S3_PREFIX "multipart-threshold", "16mb", 5 * S3_MIB, 5 * S3_GIB,
          "Objects larger than this, and than a part, are uploaded in "
          "parts."),
  S3_INT(S3_PREFIX "upload-parallelism", "5", 1, 64,
         "Parts of one object that are uploaded at the same time."),
  S3_SIZE(S3_PREFIX "upload-memory", "24mb", 16 * S3_MIB, 1024 * S3_GIB,
          "Bytes that objects being written piece by piece may hold back, all "
          "together; at least a part."),
  S3_ENUM(S3_PREFIX "checksum", "auto", "auto|crc32c|md5|none",
          "Checksum sent with objects; auto: what the server understands."),
  S3_ENUM(S3_PREFIX "payload-signing", "auto", "auto|signed|unsigned",
          "Whether bodies are signed; auto: only without TLS."),
  S3_TEXT(S3_PREFIX "storage-class", NULL,
          "Storage class of objects, such as STANDARD_IA."),
  S3_ENUM(S3_PREFIX "acl", NULL,
          "private|public-read|public-read-write|authenticated-read|"
          "aws-exec-read|bucket-owner-read|bucket-owner-full-control",
          "Canned access control list of objects."),
  S3_LIST(S3_PREFIX "tags", "Tags of objects, as NAME=VALUE; at most ten."),
  S3_BOOL(S3_PREFIX "requester-pays", "false",
          "Whether the requester pays for requests and transfer."),
  S3_TEXT(S3_PREFIX "expected-bucket-owner", NULL,
          "Account that must own the bucket."),

  /* which endpoint */
  S3_TEXT("aws.region", S3_REGION,
          "Region of the bucket; found from the bucket if it is not set."),
  S3_TEXT("aws.endpoint", S3_ENDPOINT,
          "URL of a server other than Amazon's."),
  S3_BOOL(S3_PREFIX "path-style-access", S3_PATH_STYLE,
          "Whether the bucket goes into the path and not the host name; if "
          "it is not set, only with an endpoint of one's own."),
  S3_BOOL(S3_PREFIX "transfer-acceleration", "false",
          "Whether to use the accelerated endpoint."),
  S3_BOOL(S3_PREFIX "dualstack", "false",
          "Whether to use the endpoint for IPv4 and IPv6."),
  S3_BOOL(S3_PREFIX "fips", "false", "Whether to use the FIPS endpoint."),
  S3_BOOL(S3_PREFIX "tls.verify", "true",
          "Whether the server's certificate is verified."),
  S3_TEXT(S3_PREFIX "tls.ca-file", NULL,
          "File of certificates to trust in place of the system's."),
  S3_BOOL("aws.trust.all.certificates", "false",
          "Whether any certificate is trusted; for tests."),
  S3_ENUM("aws.http.protocol.version", "HTTP1_1", "HTTP1_1|HTTP2",
          "Version of HTTP."),
  S3_TEXT(S3_PREFIX "proxy.url", NULL,
          "Proxy, as http://HOST:PORT, without a user or password."),
  S3_TEXT(S3_PREFIX "proxy.user", NULL, "User name for the proxy."),
  S3_SECRET(S3_PREFIX "proxy.password", "Password for the proxy."),
  S3_LIST(S3_PREFIX "proxy.bypass", "Hosts reached without the proxy."),

  /* connections, timeouts, retries, limits */
  S3_INT(S3_PREFIX "max-connections", "64", 1, 1000,
         "Connections to the server at most."),
  S3_INT("aws.http-client.max-concurrency", NULL, 1, 100000,
         "Another name for max-connections, which wins; larger values count "
         "as 1,000."),
  S3_TIME(S3_PREFIX "connection-idle-time", NULL, 1, S3_HOUR,
          "How long an unused connection is kept; if it is not set, 4s with "
          "Amazon, which closes them early, else 50s."),
  S3_TIME(S3_PREFIX "connection-lifetime", "5min", 1000, 24 * S3_HOUR,
          "How long a connection is used."),
  S3_TIME(S3_PREFIX "connect-timeout", "3s", 1, S3_HOUR,
          "Time to connect."),
  S3_TIME(S3_PREFIX "first-byte-timeout", "10s", 1, S3_HOUR,
          "Time from the end of a request to the first byte of the answer."),
  S3_TIME(S3_PREFIX "stall-timeout", "30s", 1, S3_HOUR,
          "Time a transfer may stand still."),
  S3_TIME(S3_PREFIX "request-timeout", "2min", 1, 24 * S3_HOUR,
          "Time for an operation with all its attempts and queueing."),
  S3_TIME("aws.http-client.read-timeout", NULL, 1, 24 * S3_HOUR,
          "Another name for stall-timeout, which wins."),
  S3_INT(S3_PREFIX "retry.attempts", "10", 1, 100,
         "Attempts of an operation, the first included."),
  S3_TIME(S3_PREFIX "retry.delay-min", "50ms", 1, S3_MINUTE,
          "Wait before the second attempt; doubles with each, with jitter."),
  S3_TIME(S3_PREFIX "retry.delay-max", "20s", 1, S3_HOUR,
          "Longest wait between attempts."),
  S3_TIME(S3_PREFIX "retry.throttle-delay-min", "500ms", 1, S3_MINUTE,
          "Wait before the second attempt when the server asks to slow "
          "down."),
  S3_INT(S3_PREFIX "retry.tokens", "0", 0, 1000000,
         "Tokens that all retries together draw on, and that successes give "
         "back; 0: retries are limited by attempts and time alone."),
  S3_INT("aws.retry-strategy.attempts.max", NULL, 1, 1000,
         "Another name for retry.attempts, which wins."),
  S3_TIME("aws.retry-strategy.delay.min", NULL, 1, S3_HOUR,
          "Another name for retry.delay-min, which wins."),
  S3_TIME("aws.retry-strategy.delay.max", NULL, 1, S3_HOUR,
          "Another name for retry.delay-max, which wins."),
  S3_INT(S3_PREFIX "limit.requests", "0", 0, 1000000,
         "Requests a second at most; 0: no limit."),
  S3_SIZE(S3_PREFIX "limit.upload", "0", 0, 1024 * S3_GIB,
          "Bytes sent a second at most; 0: no limit."),
  S3_SIZE(S3_PREFIX "limit.download", "0", 0, 1024 * S3_GIB,
          "Bytes received a second at most; 0: no limit."),

  /* opening, and what it costs */
  S3_ENUM(S3_PREFIX "open-check", "auto", "auto|full|bucket|none",
          "What is tried when the backend is opened: nothing, the bucket "
          "alone, or also writing, reading, listing and removing an object; "
          "auto: one listing with Amazon, else full."),
  S3_ENUM(S3_PREFIX "conditional-writes", "auto", "auto|match|create",
          "Conditions that the server honours on writes: If-Match and "
          "If-None-Match, or If-None-Match alone; auto: known of Amazon, "
          "else found out by open-check."),
  S3_DOUBLE(S3_PREFIX "price.put", "0.005", 0, 1000,
            "List price of 1,000 writing or listing requests, in US dollars; "
            "for metrics."),
  S3_DOUBLE(S3_PREFIX "price.get", "0.0004", 0, 1000,
            "List price of 1,000 reading requests, in US dollars; for "
            "metrics."),

  /* credentials */
  S3_ENUM(S3_CREDENTIALS, NULL, S3_PROVIDERS,
          "Where credentials come from; if it is not set, BASIC when both of "
          "its keys are set, else AUTO."),
  S3_SECRET(S3_CREDENTIALS ".basic.accesskeyid", "Access key of BASIC."),
  S3_SECRET(S3_CREDENTIALS ".basic.secretkey", "Secret key of BASIC."),
  S3_SECRET(S3_CREDENTIALS ".basic.sessiontoken", "Session token of BASIC."),
  S3_TEXT(S3_CREDENTIALS ".profile.path", NULL,
          "Credentials file of PROFILE."),
  S3_TEXT(S3_CREDENTIALS ".profile.name", NULL, "Profile of PROFILE."),
  S3_TEXT(S3_CREDENTIALS ".role.arn", NULL,
          "Role of ASSUME_ROLE and WEB_IDENTITY_TOKEN."),
  S3_TEXT(S3_CREDENTIALS ".role.sessionName", NULL, "Name of the session."),
  S3_TEXT(S3_CREDENTIALS ".role.externalId", NULL,
          "External id of ASSUME_ROLE."),
  S3_TIME(S3_CREDENTIALS ".role.duration", "1h", 15 * S3_MINUTE, 12 * S3_HOUR,
          "How long a session lasts."),
  S3_TEXT(S3_CREDENTIALS ".role.stsEndpoint", NULL,
          "URL of the token service."),
  S3_TEXT(S3_CREDENTIALS ".webIdentityToken.file", NULL,
          "Token file of WEB_IDENTITY_TOKEN."),
  S3_TEXT(S3_CREDENTIALS ".custom.class", NULL,
          "Provider of CUSTOM: the name of an object registered with the "
          "host, or the path of a shared object."),
  S3_ENUM(S3_ROLE_PROVIDER, NULL, S3_PROVIDERS,
          "Where the credentials that assume the role come from."),
  S3_SECRET(S3_ROLE_PROVIDER ".basic.accesskeyid",
            "Access key that assumes the role."),
  S3_SECRET(S3_ROLE_PROVIDER ".basic.secretkey",
            "Secret key that assumes the role."),
  S3_SECRET(S3_ROLE_PROVIDER ".basic.sessiontoken",
            "Session token that assumes the role."),
  S3_TEXT(S3_ROLE_PROVIDER ".profile.path", NULL,
          "Credentials file of the profile that assumes the role."),
  S3_TEXT(S3_ROLE_PROVIDER ".profile.name", NULL,
          "Profile that assumes the role."),
  S3_TEXT(S3_ROLE_PROVIDER ".role.arn", NULL,
          "Role that assumes the role."),
  S3_TEXT(S3_ROLE_PROVIDER ".role.sessionName", NULL,
          "Name of that role's session."),
  S3_TEXT(S3_ROLE_PROVIDER ".role.externalId", NULL,
          "External id of that role."),
  S3_ENUM(S3_ROLE_PROVIDER ".role.provider", NULL, S3_PROVIDERS,
          "Where the credentials that assume that role come from."),
  S3_TEXT(S3_ROLE_PROVIDER ".webIdentityToken.file", NULL,
          "Token file that assumes the role."),
  S3_TEXT(S3_ROLE_PROVIDER ".custom.class", NULL,
          "Custom provider that assumes the role."),
  S3_SECRET("aws.accessKeyId", "Access key of SYS_PROP."),
  S3_SECRET("aws.secretKey", "Secret key of SYS_PROP."),
  S3_SECRET("aws.secretAccessKey", "Secret key of SYS_PROP, newer name."),
  S3_SECRET("aws.sessionToken", "Session token of SYS_PROP."),
};

#endif
