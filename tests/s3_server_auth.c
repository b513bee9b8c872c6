/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may: Signature Version 4 verified straight from its specification, and
 * the digests that come with a body. Shares nothing with the signer it tests.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tests/s3_server_private.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SKEW_MAX_MS 900000

/* What a request says about its signature. */
typedef struct server_claim {
  char access[128], date[16], region[64], service[16];
  char signed_headers[2048], signature[80];
  char time[32];             /* x-amz-date */
  const char *payload;
  char *token;
  int presigned;
  uint64_t expires_s;
} server_claim;

/* ---- digests ------------------------------------------------------------ */

void
server_sha256_hex(const void *data, size_t len, char out[65])
{
  unsigned char digest[EVP_MAX_MD_SIZE];

  if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
    abort();
  server_hex(digest, 32, out);
}

uint32_t
server_crc(uint32_t polynomial, const void *data, size_t len)
{
  const unsigned char *bytes = data;
  uint32_t table[256], crc = ~0u;
  unsigned i, bit;

  for (i = 0; i < 256; i++) {
    uint32_t value = i;

    for (bit = 0; bit < 8; bit++)
      value = (value >> 1) ^ (value & 1 ? polynomial : 0);
    table[i] = value;
  }
  while (len-- > 0)
    crc = (crc >> 8) ^ table[(crc ^ *bytes++) & 255];
  return ~crc;
}

static void
server_base64(const void *data, size_t len, char *out)
{
  (void)EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

/* 0 if the header is not there or right. */
static int
server_check_digest(server_work *work, const char *header, const EVP_MD *md)
{
  const char *value = http_header(work->request, header);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  char text[128];

  if (value == NULL)
    return 0;
  if (EVP_Digest(work->request->body, work->request->body_len, digest, &len,
                 md, NULL) != 1)
    abort();
  server_base64(digest, len, text);
  if (strcmp(text, value) == 0)
    return 0;
  server_fail(work, 400, "BadDigest", "%s is \"%s\" but the body has \"%s\"",
              header, value, text);
  return -1;
}

static int
server_check_crc(server_work *work, const char *header, uint32_t polynomial)
{
  const char *value = http_header(work->request, header);
  unsigned char bytes[4];
  char text[16];
  uint32_t crc;

  if (value == NULL)
    return 0;
  crc = server_crc(polynomial, work->request->body, work->request->body_len);
  bytes[0] = (unsigned char)(crc >> 24);
  bytes[1] = (unsigned char)(crc >> 16);
  bytes[2] = (unsigned char)(crc >> 8);
  bytes[3] = (unsigned char)crc;
  server_base64(bytes, 4, text);
  if (strcmp(text, value) == 0)
    return 0;
  server_fail(work, 400, "BadDigest", "%s is \"%s\" but the body has \"%s\"",
              header, value, text);
  return -1;
}

int
server_check_body(server_work *work, char checksum[128])
{
  static const char *const names[] = { "x-amz-checksum-crc32c",
                                       "x-amz-checksum-crc32",
                                       "x-amz-checksum-sha256" };
  size_t i;

  checksum[0] = '\0';
  if (server_check_digest(work, "content-md5", EVP_md5()) != 0 ||
      server_check_digest(work, names[2], EVP_sha256()) != 0 ||
      server_check_crc(work, names[0], SERVER_CRC32C) != 0 ||
      server_check_crc(work, names[1], SERVER_CRC32) != 0)
    return -1;
  for (i = 0; i < 3; i++) {
    const char *value = http_header(work->request, names[i]);

    if (value != NULL)
      (void)snprintf(checksum, 128, "%s: %s\r\n", names[i], value);
  }
  return 0;
}

/* ---- the claim ---------------------------------------------------------- */

/* "AKID/20130524/us-east-1/s3/aws4_request" */
static int
server_claim_scope(server_claim *claim, const char *credential)
{
  char end[16];

  return sscanf(credential, "%127[^/]/%15[^/]/%63[^/]/%15[^/]/%15s",
                claim->access, claim->date, claim->region, claim->service,
                end) == 5 && strcmp(end, "aws4_request") == 0 ? 0 : -1;
}

static int
server_claim_field(const char *text, const char *name, char *out, size_t size)
{
  const char *at = strstr(text, name);
  size_t len;

  if (at == NULL)
    return -1;
  at += strlen(name);
  len = strcspn(at, ", ");
  if (len >= size)
    return -1;
  memcpy(out, at, len);
  out[len] = '\0';
  return 0;
}

static int
server_claim_of_header(server_claim *claim, const http_request *request)
{
  const char *value = http_header(request, "authorization");
  const char *date = http_header(request, "x-amz-date");
  const char *token = http_header(request, "x-amz-security-token");
  char credential[320];

  claim->payload = http_header(request, "x-amz-content-sha256");
  if (date == NULL || claim->payload == NULL ||
      strncmp(value, ALGORITHM " ", sizeof ALGORITHM) != 0)
    return -1;
  claim->token = token == NULL ? NULL : http_strdup(token);
  (void)snprintf(claim->time, sizeof claim->time, "%s", date);
  return server_claim_field(value, "Credential=", credential,
                            sizeof credential) == 0 &&
         server_claim_field(value, "SignedHeaders=", claim->signed_headers,
                            sizeof claim->signed_headers) == 0 &&
         server_claim_field(value, "Signature=", claim->signature,
                            sizeof claim->signature) == 0
           ? server_claim_scope(claim, credential) : -1;
}

static void
server_claim_query(const http_request *request, const char *name, char *out,
                   size_t size)
{
  char *value = server_query(request, name);

  (void)snprintf(out, size, "%s", value == NULL ? "" : value);
  free(value);
}

static int
server_claim_of_query(server_claim *claim, const http_request *request)
{
  char credential[320], expires[16];

  claim->presigned = 1;
  claim->payload = "UNSIGNED-PAYLOAD";
  claim->token = server_query(request, "X-Amz-Security-Token");
  server_claim_query(request, "X-Amz-Credential", credential,
                     sizeof credential);
  server_claim_query(request, "X-Amz-SignedHeaders", claim->signed_headers,
                     sizeof claim->signed_headers);
  server_claim_query(request, "X-Amz-Signature", claim->signature,
                     sizeof claim->signature);
  server_claim_query(request, "X-Amz-Date", claim->time, sizeof claim->time);
  server_claim_query(request, "X-Amz-Expires", expires, sizeof expires);
  claim->expires_s = strtoull(expires, NULL, 10);
  return server_claim_scope(claim, credential);
}

/* ---- the canonical request ---------------------------------------------- */

static int
server_compare(const void *a, const void *b)
{
  const http_field *one = a, *other = b;
  int order = strcmp(one->name, other->name);

  return order != 0 ? order : strcmp(one->value, other->value);
}

static char *
server_recode(const char *text, size_t len)
{
  char *plain = http_alloc(len + 1);
  http_text out = { 0 };

  memcpy(plain, text, len);
  (void)server_decode(plain, 0);
  server_encode(&out, plain, 0);
  http_text_add(&out, "", 0);
  free(plain);
  return out.data;
}

/* Names and values decoded, encoded as the rules want them, then sorted. */
static void
server_canonical_query(http_text *out, const char *query)
{
  http_field fields[256];
  size_t count = 0, i;

  while (*query != '\0' && count < 256) {
    size_t pair = strcspn(query, "&"), name = strcspn(query, "=&");
    size_t value = name < pair ? name + 1 : pair;

    fields[count].name = server_recode(query, name);
    fields[count].value = server_recode(query + value, pair - value);
    if (strcmp(fields[count].name, "X-Amz-Signature") != 0)
      count++;
    else {
      free(fields[count].name);
      free(fields[count].value);
    }
    query += pair;
    query += *query == '&';
  }
  qsort(fields, count, sizeof fields[0], server_compare);
  for (i = 0; i < count; i++) {
    http_text_printf(out, "%s%s=%s", i > 0 ? "&" : "", fields[i].name,
                     fields[i].value);
    free(fields[i].name);
    free(fields[i].value);
  }
}

static void
server_canonical_value(http_text *out, const char *value)
{
  for (; *value != '\0'; value++) {
    if (*value != ' ' || value[1] != ' ')
      http_text_add(out, value, 1);
  }
}

/* Each signed header with all its values, in the order of the list. */
static int
server_canonical_headers(http_text *out, const http_request *request,
                         const char *list)
{
  char name[256], last[256] = "";
  size_t i;

  while (*list != '\0') {
    size_t len = strcspn(list, ";");
    unsigned values = 0;

    if (len >= sizeof name)
      return -1;
    memcpy(name, list, len);
    name[len] = '\0';
    http_text_printf(out, "%s:", name);
    for (i = 0; i < request->header_count; i++) {
      if (strcmp(request->headers[i].name, name) != 0)
        continue;
      if (values++ > 0)
        http_text_add(out, ",", 1);
      server_canonical_value(out, request->headers[i].value);
    }
    http_text_add(out, "\n", 1);
    if (values == 0 || strcmp(last, name) >= 0)
      return -1;
    (void)strcpy(last, name);
    list += len;
    list += *list == ';';
  }
  return 0;
}

/* All that could change what is done has to be signed. */
static const char *
server_unsigned_header(const http_request *request, const char *list)
{
  size_t i;

  for (i = 0; i < request->header_count; i++) {
    const char *name = request->headers[i].name, *at = list;
    size_t len = strlen(name);

    if (strncmp(name, "x-amz-", 6) != 0 && strcmp(name, "host") != 0)
      continue;
    while (at != NULL && (strncmp(at, name, len) != 0 ||
                          (at[len] != ';' && at[len] != '\0'))) {
      at = strchr(at, ';');
      at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL)
      return name;
  }
  return NULL;
}

static void
server_hmac(const void *key, size_t key_len, const char *text,
            unsigned char out[32])
{
  if (HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text,
           strlen(text), out, NULL) == NULL)
    abort();
}

static int
server_signature(const server_claim *claim, const http_request *request,
                 const char *secret, char out[65])
{
  http_text text = { 0 };
  unsigned char key[32];
  char *path = http_strdup(request->path), hash[65], first[256];
  int result;

  http_text_printf(&text, "%s\n", request->method);
  (void)server_decode(path, 0);
  server_encode(&text, path, 1);
  http_text_printf(&text, "\n");
  server_canonical_query(&text, request->query);
  http_text_printf(&text, "\n");
  result = server_canonical_headers(&text, request, claim->signed_headers);
  http_text_printf(&text, "\n%s\n%s", claim->signed_headers, claim->payload);
  server_sha256_hex(text.data, text.len, hash);
  http_text_free(&text);
  http_text_printf(&text, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s",
                   claim->time, claim->date, claim->region, claim->service,
                   hash);
  (void)snprintf(first, sizeof first, "AWS4%s", secret);
  server_hmac(first, strlen(first), claim->date, key);
  server_hmac(key, 32, claim->region, key);
  server_hmac(key, 32, claim->service, key);
  server_hmac(key, 32, "aws4_request", key);
  server_hmac(key, 32, text.data, key);
  server_hex(key, 32, out);
  http_text_free(&text);
  free(path);
  return result;
}

/* ---- the verdict -------------------------------------------------------- */

static int64_t
server_claim_ms(const server_claim *claim)
{
  struct tm tm;

  memset(&tm, 0, sizeof tm);
  if (strptime(claim->time, "%Y%m%dT%H%M%SZ", &tm) == NULL)
    return 0;
  return (int64_t)timegm(&tm) * 1000;
}

static int
server_check_time(server_work *work, const server_claim *claim)
{
  int64_t now = (int64_t)server_now(work->server);
  int64_t skew = server_claim_ms(claim) - now;
  char text[32];

  if (strncmp(claim->time, claim->date, strlen(claim->date)) != 0) {
    server_fail(work, 403, "SignatureDoesNotMatch",
                "the dates of request and scope differ");
    return -1;
  }
  if (claim->presigned) {
    if (skew < SKEW_MAX_MS && -skew <= (int64_t)claim->expires_s * 1000)
      return 0;
    server_fail(work, 403, "AccessDenied", "Request has expired");
    return -1;
  }
  if (skew <= SKEW_MAX_MS && skew >= -SKEW_MAX_MS)
    return 0;
  server_fail(work, 403, "RequestTimeTooSkewed", "The difference between the "
              "request time and the current time is too large.");
  server_iso_time((uint64_t)now, text);
  work->reply.body.len -= sizeof "</Error>" - 1;
  http_text_printf(&work->reply.body, "<RequestTime>%s</RequestTime>"
                   "<ServerTime>%s</ServerTime><MaxAllowedSkewMilliseconds>"
                   "900000</MaxAllowedSkewMilliseconds></Error>", claim->time,
                   text);
  return -1;
}

/* One port is all regions: the right one is in the answer. */
static int
server_check_region(server_work *work, const server_claim *claim,
                    const server_bucket *bucket)
{
  const char *region = bucket == NULL ? claim->region : bucket->region;
  int status = work->server->wrong_region;

  if (strcmp(claim->service, "s3") != 0) {
    server_fail(work, 403, "SignatureDoesNotMatch", "the service is s3");
    return -1;
  }
  if (strcmp(claim->region, region) == 0 ||
      strcmp(work->kind, "location") == 0)
    return 0;
  server_fail(work, status, status == 301 ? "PermanentRedirect"
              : status == 307 ? "TemporaryRedirect"
                              : "AuthorizationHeaderMalformed",
              "the region '%s' is wrong; expecting '%s'", claim->region,
              region);
  work->reply.body.len -= sizeof "</Error>" - 1;
  http_text_printf(&work->reply.body, "<Region>%s</Region></Error>", region);
  if (status == 307)
    server_header(work, "Location", work->server->url);
  server_header(work, "x-amz-bucket-region", region);
  return -1;
}

static const server_key *
server_check_key(server_work *work, const server_claim *claim)
{
  const server_key *key = work->server->keys;

  while (key != NULL && strcmp(key->access, claim->access) != 0)
    key = key->next;
  if (key == NULL)
    server_fail(work, 403, "InvalidAccessKeyId", "no such access key");
  else if (key->code != NULL) {
    server_fail(work, strcmp(key->code, "ExpiredToken") == 0 ? 400 : 403,
                key->code, "The provided token has expired.");
    key = NULL;
  } else if ((key->token == NULL) != (claim->token == NULL) ||
             (key->token != NULL && strcmp(key->token, claim->token) != 0)) {
    server_fail(work, 400, "InvalidToken", "the token is another one");
    key = NULL;
  }
  return key;
}

static int
server_check_payload(server_work *work, const server_claim *claim)
{
  char hash[65];

  if (strcmp(claim->payload, "UNSIGNED-PAYLOAD") == 0)
    return 0;
  if (strncmp(claim->payload, "STREAMING-", 10) == 0) {
    server_fail(work, 501, "NotImplemented", "no %s here", claim->payload);
    return -1;
  }
  server_sha256_hex(work->request->body, work->request->body_len, hash);
  if (strcmp(hash, claim->payload) == 0)
    return 0;
  server_fail(work, 400, "XAmzContentSHA256Mismatch",
              "the body is not the one that was signed");
  return -1;
}

static int
server_check_claim(server_work *work, const server_claim *claim,
                   const server_bucket *bucket)
{
  const http_request *request = work->request;
  const char *name = server_unsigned_header(request, claim->signed_headers);
  const server_key *key;
  char signature[65];

  if (name != NULL) {
    server_fail(work, 403, "AccessDenied", "header \"%s\" is not signed",
                name);
    return -1;
  }
  key = server_check_key(work, claim);
  if (key == NULL || server_check_time(work, claim) != 0 ||
      server_check_region(work, claim, bucket) != 0)
    return -1;
  if (server_signature(claim, request, key->secret, signature) != 0 ||
      strcmp(signature, claim->signature) != 0) {
    server_fail(work, 403, "SignatureDoesNotMatch", "The request signature "
                "we calculated does not match the signature you provided.");
    return -1;
  }
  return server_check_payload(work, claim);
}

int
server_authorize(server_work *work, const server_bucket *bucket)
{
  const http_request *request = work->request;
  server_claim claim = { .presigned = 0 };
  int bad, result = -1;

  if (http_header(request, "authorization") != NULL)
    bad = server_claim_of_header(&claim, request);
  else if (strstr(request->query, "X-Amz-Signature=") != NULL)
    bad = server_claim_of_query(&claim, request);
  else {
    server_fail(work, 403, "AccessDenied", "the request is not signed");
    return -1;
  }
  if (bad != 0)
    server_fail(work, 400, "AuthorizationHeaderMalformed",
                "the signature cannot be read");
  else
    result = server_check_claim(work, &claim, bucket);
  free(claim.token);
  return result;
}
