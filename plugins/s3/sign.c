/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4; see sign.h. A signature is one hash of the canonical
 * request and one HMAC. What depends on the credentials, the day, the region
 * and the service only is kept: the two hash states that follow from the key,
 * and the texts of the scope. All texts are built in buffers that stay, so
 * that a signature allocates nothing once they have grown.
 */
#include "config.h"

#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <statebackend/plugin.h>
#include "plugins/s3/digest.h"
#include "plugins/s3/sign.h"
#include "plugins/s3/uri.h"
#include "plugins/s3/xml.h"

#define SIGN_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGN_HASH 32u
#define SIGN_BLOCK 64u
#define SIGN_PAIRS 64u
#define SIGN_EXPIRES_MAX 604800u

/* A parameter of the query, by its place in signer->query. */
typedef struct sign_pair {
  size_t name, name_len;
  size_t value, value_len;
} sign_pair;

struct s3_signer {
  const sb_host *host;
  EVP_MD *sha256;
  EVP_MD_CTX *work;
  EVP_MD_CTX *inner, *outer; /* after the two pads of the signing key */

  /* What the key was made for. */
  int keyed;
  uint64_t serial;
  char key_day[9];
  char region[64], service[32];
  s3_buf scope;              /* 20150830/us-east-1/s3/aws4_request */
  s3_buf credential;         /* AKID/SCOPE */

  char date[17];             /* 20150830T123600Z */
  s3_header headers[SIGN_PAIRS];
  size_t header_count;
  sign_pair pairs[SIGN_PAIRS];
  size_t pair_count;
  s3_buf names;              /* host;x-amz-date */
  s3_buf path, query;        /* pieces of the canonical request */
  s3_buf canonical, to_sign;
  char signature[2 * SIGN_HASH + 1];
};

/* ---- small things ------------------------------------------------------- */

/* s3_buf_add, but inlined where there is room. */
static inline void
sign_add(s3_buf *buf, const char *data, size_t len)
{
  if (buf->failed || len >= buf->size - buf->len) {
    s3_buf_add(buf, data, len);
    return;
  }
  memcpy(buf->data + buf->len, data, len);
  buf->len += len;
  buf->data[buf->len] = '\0';
}

static inline void
sign_text(s3_buf *buf, const char *text)
{
  sign_add(buf, text, strlen(text));
}

static sb_status
sign_fail(const s3_sign_request *request, sb_status status, const char *why,
          sb_error *err)
{
  return sb_fail(err, status, "could not sign a %s request: %s",
                 request->method, why);
}

/* ---- the signing key ---------------------------------------------------- */

/* Readies `inner` and `outer` for the key `first` + `second`. */
static int
hmac_key(s3_signer *signer, const void *first, size_t first_len,
         const void *second, size_t second_len)
{
  unsigned char block[SIGN_BLOCK] = { 0 };
  int good = 1;
  size_t i;

  if (first_len + second_len > SIGN_BLOCK) {
    good = EVP_DigestInit_ex2(signer->work, signer->sha256, NULL) &&
           EVP_DigestUpdate(signer->work, first, first_len) &&
           EVP_DigestUpdate(signer->work, second, second_len) &&
           EVP_DigestFinal_ex(signer->work, block, NULL);
  } else {
    memcpy(block, first, first_len);
    memcpy(block + first_len, second, second_len);
  }
  for (i = 0; i < SIGN_BLOCK; i++)
    block[i] ^= 0x36;
  good = good && EVP_DigestInit_ex2(signer->inner, signer->sha256, NULL) &&
         EVP_DigestUpdate(signer->inner, block, sizeof block);
  for (i = 0; i < SIGN_BLOCK; i++)
    block[i] ^= 0x36 ^ 0x5c;
  good = good && EVP_DigestInit_ex2(signer->outer, signer->sha256, NULL) &&
         EVP_DigestUpdate(signer->outer, block, sizeof block);
  OPENSSL_cleanse(block, sizeof block);
  return good;
}

static int
hmac_run(s3_signer *signer, const void *data, size_t len,
         unsigned char out[SIGN_HASH])
{
  EVP_MD_CTX *work = signer->work;

  return EVP_MD_CTX_copy_ex(work, signer->inner) &&
         EVP_DigestUpdate(work, data, len) &&
         EVP_DigestFinal_ex(work, out, NULL) &&
         EVP_MD_CTX_copy_ex(work, signer->outer) &&
         EVP_DigestUpdate(work, out, SIGN_HASH) &&
         EVP_DigestFinal_ex(work, out, NULL);
}

static int
signer_derive(s3_signer *signer, const char *secret)
{
  const char *steps[4];
  unsigned char key[SIGN_HASH];
  int good;
  int i;

  steps[0] = signer->key_day;
  steps[1] = signer->region;
  steps[2] = signer->service;
  steps[3] = "aws4_request";
  good = hmac_key(signer, "AWS4", 4, secret, strlen(secret));
  for (i = 0; i < 4 && good; i++)
    good = hmac_run(signer, steps[i], strlen(steps[i]), key) &&
           hmac_key(signer, key, sizeof key, "", 0);
  OPENSSL_cleanse(key, sizeof key);
  return good;
}

/* Serials are a provider's own, hence the look at the access key too. */
static int
signer_has_key(const s3_signer *signer, const s3_sign_request *request,
               const s3_credentials *credentials)
{
  size_t len;

  if (!signer->keyed || signer->serial != credentials->serial ||
      memcmp(signer->key_day, signer->date, 8) != 0 ||
      strcmp(signer->region, request->region) != 0 ||
      strcmp(signer->service, request->service) != 0)
    return 0;
  len = strlen(credentials->access_key);
  return signer->credential.len == len + 1 + signer->scope.len &&
         memcmp(signer->credential.data, credentials->access_key, len) == 0;
}

static sb_status
signer_key(s3_signer *signer, const s3_sign_request *request,
           const s3_credentials *credentials, sb_error *err)
{
  if (signer_has_key(signer, request, credentials))
    return SB_OK;
  signer->keyed = 0;
  if (strlen(request->region) >= sizeof signer->region ||
      strlen(request->service) >= sizeof signer->service)
    return sign_fail(request, SB_INVALID, "the region's name is too long",
                     err);
  memcpy(signer->key_day, signer->date, 8);
  strcpy(signer->region, request->region);
  strcpy(signer->service, request->service);
  if (!signer_derive(signer, credentials->secret_key))
    return sign_fail(request, SB_IO, "OpenSSL has no working SHA-256", err);
  s3_buf_clear(&signer->scope);
  s3_buf_printf(&signer->scope, "%s/%s/%s/aws4_request", signer->key_day,
                signer->region, signer->service);
  s3_buf_clear(&signer->credential);
  s3_buf_printf(&signer->credential, "%s/%s", credentials->access_key,
                s3_buf_string(&signer->scope));
  if (signer->scope.failed || signer->credential.failed)
    return sign_fail(request, SB_NO_MEMORY, "out of memory", err);
  signer->serial = credentials->serial;
  signer->keyed = 1;
  return SB_OK;
}

/* ---- the canonical request ---------------------------------------------- */

/* Keeps the headers in order; those of one name as they came. */
static int
signer_header(s3_signer *signer, const char *name, const char *value)
{
  size_t i = signer->header_count;

  if (i == SIGN_PAIRS)
    return 0;
  for (; i > 0 && strcmp(signer->headers[i - 1].name, name) > 0; i--)
    signer->headers[i] = signer->headers[i - 1];
  signer->headers[i].name = name;
  signer->headers[i].value = value;
  signer->header_count++;
  return 1;
}

static int
signer_headers(s3_signer *signer, const s3_sign_request *request,
               const char *token, int presign)
{
  int good = 1;
  size_t i;

  signer->header_count = 0;
  for (i = 0; i < request->header_count && good; i++)
    good = signer_header(signer, request->headers[i].name,
                         request->headers[i].value);
  if (!presign) {
    good = good && signer_header(signer, "x-amz-date", signer->date);
    if (!(request->flags & S3_SIGN_NO_CONTENT_HEADER))
      good = good && signer_header(signer, "x-amz-content-sha256",
                                   request->payload);
    if (token != NULL && !(request->flags & S3_SIGN_OMIT_TOKEN))
      good = good && signer_header(signer, "x-amz-security-token", token);
  }
  s3_buf_clear(&signer->names);
  for (i = 0; i < signer->header_count && good; i++) {
    const char *name = signer->headers[i].name;

    if (i > 0 && strcmp(signer->headers[i - 1].name, name) == 0)
      continue;
    if (i > 0)
      sign_add(&signer->names, ";", 1);
    sign_text(&signer->names, name);
  }
  return good;
}

static int
sign_is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without spaces around it, with one for each run of them inside. */
static void
sign_value(s3_buf *out, const char *value)
{
  const char *end;

  while (sign_is_space(*value))
    value++;
  while (*value != '\0') {
    for (end = value; *end != '\0' && !sign_is_space(*end); end++)
      continue;
    sign_add(out, value, (size_t)(end - value));
    for (value = end; sign_is_space(*value); value++)
      continue;
    if (*value != '\0')
      sign_add(out, " ", 1);
  }
}

static int
sign_pair_before(const s3_signer *signer, const sign_pair *a,
                 const sign_pair *b)
{
  const char *text = signer->query.data;
  size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
  int order = memcmp(text + a->name, text + b->name, len);

  if (order != 0 || a->name_len != b->name_len)
    return order != 0 ? order < 0 : a->name_len < b->name_len;
  len = a->value_len < b->value_len ? a->value_len : b->value_len;
  order = memcmp(text + a->value, text + b->value, len);
  return order != 0 ? order < 0 : a->value_len < b->value_len;
}

static int
signer_pair(s3_signer *signer, const char *name, size_t name_len,
            const char *value, size_t value_len)
{
  s3_buf *query = &signer->query;
  size_t i = signer->pair_count;
  sign_pair pair;

  if (i == SIGN_PAIRS)
    return 0;
  pair.name = query->len;
  s3_uri_encode_again(query, name, name_len);
  pair.value = query->len;
  s3_uri_encode_again(query, value, value_len);
  pair.name_len = pair.value - pair.name;
  pair.value_len = query->len - pair.value;
  if (query->failed)
    return 1;
  for (; i > 0 && sign_pair_before(signer, &pair, &signer->pairs[i - 1]); i--)
    signer->pairs[i] = signer->pairs[i - 1];
  signer->pairs[i] = pair;
  signer->pair_count++;
  return 1;
}

/* What the request's own query holds. */
static int
signer_query(s3_signer *signer, const char *query)
{
  int good = 1;

  signer->pair_count = 0;
  s3_buf_clear(&signer->query);
  while (query != NULL && *query != '\0' && good) {
    size_t len = strcspn(query, "&");
    const char *equals = memchr(query, '=', len);
    size_t name = equals == NULL ? len : (size_t)(equals - query);

    if (len > 0)
      good = signer_pair(signer, query, name, query + name + (name < len),
                         len - name - (name < len));
    query += len + (query[len] == '&');
  }
  return good;
}

/* A parameter whose value is not encoded yet, '%' and '+' included. */
static int
signer_parameter(s3_signer *signer, const char *name, const char *value)
{
  s3_buf_clear(&signer->path);
  s3_uri_encode(&signer->path, value, 0);
  if (signer->path.failed) {
    signer->query.failed = 1;
    return 1;
  }
  return signer_pair(signer, name, strlen(name), s3_buf_string(&signer->path),
                     signer->path.len);
}

static int
signer_presign_query(s3_signer *signer, const char *token, uint64_t expires_s)
{
  char expires[24];

  (void)snprintf(expires, sizeof expires, "%llu",
                 (unsigned long long)expires_s);
  return signer_parameter(signer, "X-Amz-Algorithm", SIGN_ALGORITHM) &&
         signer_parameter(signer, "X-Amz-Credential",
                          s3_buf_string(&signer->credential)) &&
         signer_parameter(signer, "X-Amz-Date", signer->date) &&
         signer_parameter(signer, "X-Amz-Expires", expires) &&
         signer_parameter(signer, "X-Amz-SignedHeaders",
                          s3_buf_string(&signer->names)) &&
         (token == NULL ||
          signer_parameter(signer, "X-Amz-Security-Token", token));
}

static void
signer_add_query(const s3_signer *signer, s3_buf *out)
{
  const char *text = signer->query.data;
  size_t i;

  if (signer->query.failed)
    return;
  for (i = 0; i < signer->pair_count; i++) {
    const sign_pair *pair = &signer->pairs[i];

    if (i > 0)
      sign_add(out, "&", 1);
    sign_add(out, text + pair->name, pair->name_len);
    sign_add(out, "=", 1);
    sign_add(out, text + pair->value, pair->value_len);
  }
}

static void
signer_add_path(s3_signer *signer, const s3_sign_request *request)
{
  const char *path = request->path[0] == '\0' ? "/" : request->path;

  if (request->flags & S3_SIGN_NORMALIZE_PATH) {
    s3_buf_clear(&signer->path);
    s3_uri_normalize(&signer->path, path);
    signer->canonical.failed |= signer->path.failed;
    path = s3_buf_string(&signer->path);
  }
  if (request->flags & S3_SIGN_ENCODE_PATH)
    s3_uri_encode(&signer->canonical, path, 1);
  else
    sign_text(&signer->canonical, path);
}

static void
signer_canonical(s3_signer *signer, const s3_sign_request *request)
{
  s3_buf *out = &signer->canonical;
  size_t i;

  s3_buf_clear(out);
  sign_text(out, request->method);
  sign_add(out, "\n", 1);
  signer_add_path(signer, request);
  sign_add(out, "\n", 1);
  signer_add_query(signer, out);
  for (i = 0; i < signer->header_count; i++) {
    const s3_header *header = &signer->headers[i];

    if (i > 0 && strcmp(header->name, signer->headers[i - 1].name) == 0) {
      sign_add(out, ",", 1);
    } else {
      sign_add(out, "\n", 1);
      sign_text(out, header->name);
      sign_add(out, ":", 1);
    }
    sign_value(out, header->value);
  }
  sign_add(out, "\n\n", 2);
  sign_add(out, s3_buf_string(&signer->names), signer->names.len);
  sign_add(out, "\n", 1);
  sign_text(out, request->payload);
}

/* Fills signer->signature. */
static sb_status
signer_finish(s3_signer *signer, const s3_sign_request *request, sb_error *err)
{
  s3_buf *canonical = &signer->canonical;
  s3_buf *out = &signer->to_sign;
  unsigned char hash[SIGN_HASH];
  char hex[2 * SIGN_HASH + 1];

  signer_canonical(signer, request);
  if (canonical->failed || signer->names.failed || signer->query.failed)
    return sign_fail(request, SB_NO_MEMORY, "out of memory", err);
  if (!EVP_DigestInit_ex2(signer->work, signer->sha256, NULL) ||
      !EVP_DigestUpdate(signer->work, canonical->data, canonical->len) ||
      !EVP_DigestFinal_ex(signer->work, hash, NULL))
    return sign_fail(request, SB_IO, "OpenSSL has no working SHA-256", err);
  s3_hex(hash, sizeof hash, hex);
  s3_buf_clear(out);
  sign_text(out, SIGN_ALGORITHM "\n");
  sign_text(out, signer->date);
  sign_add(out, "\n", 1);
  sign_add(out, signer->scope.data, signer->scope.len);
  sign_add(out, "\n", 1);
  sign_add(out, hex, 2 * SIGN_HASH);
  if (out->failed)
    return sign_fail(request, SB_NO_MEMORY, "out of memory", err);
  if (!hmac_run(signer, out->data, out->len, hash))
    return sign_fail(request, SB_IO, "OpenSSL has no working SHA-256", err);
  s3_hex(hash, sizeof hash, signer->signature);
  return SB_OK;
}

/* ---- signatures --------------------------------------------------------- */

static sb_status
signer_start(s3_signer *signer, const s3_sign_request *request,
             const s3_credentials *credentials, int presign, sb_error *err)
{
  sb_status status;

  if (!s3_time_stamp(request->time_ms, signer->date))
    return sign_fail(request, SB_INVALID, "the clock is past the year 9999",
                     err);
  status = signer_key(signer, request, credentials, err);
  if (status != SB_OK)
    return status;
  if (!signer_headers(signer, request, credentials->session_token, presign))
    return sign_fail(request, SB_INVALID, "it has too many headers", err);
  if (!signer_query(signer, request->query))
    return sign_fail(request, SB_INVALID, "its query has too many parameters",
                     err);
  return SB_OK;
}

sb_status
s3_sign(s3_signer *signer, const s3_sign_request *request,
        const s3_credentials *credentials, s3_signature *out, sb_error *err)
{
  s3_buf *text = &out->authorization;
  sb_status status = signer_start(signer, request, credentials, 0, err);

  if (status == SB_OK)
    status = signer_finish(signer, request, err);
  if (status != SB_OK)
    return status;
  memcpy(out->date, signer->date, sizeof out->date);
  out->payload = request->payload;
  out->token = credentials->session_token;
  if (text->host == NULL)
    text->host = signer->host;
  s3_buf_clear(text);
  sign_text(text, SIGN_ALGORITHM " Credential=");
  sign_add(text, signer->credential.data, signer->credential.len);
  sign_text(text, ", SignedHeaders=");
  sign_add(text, s3_buf_string(&signer->names), signer->names.len);
  sign_text(text, ", Signature=");
  sign_add(text, signer->signature, 2 * SIGN_HASH);
  if (text->failed)
    return sign_fail(request, SB_NO_MEMORY, "out of memory", err);
  return SB_OK;
}

sb_status
s3_presign(s3_signer *signer, const s3_sign_request *request,
           const s3_credentials *credentials, uint64_t expires_s,
           s3_buf *query_out, sb_error *err)
{
  const char *token = credentials->session_token;
  int omit = (request->flags & S3_SIGN_OMIT_TOKEN) != 0;
  sb_status status;

  if (expires_s < 1 || expires_s > SIGN_EXPIRES_MAX)
    return sign_fail(request, SB_INVALID,
                     "it has to expire within 1 and 604800 seconds", err);
  status = signer_start(signer, request, credentials, 1, err);
  if (status != SB_OK)
    return status;
  if (!signer_presign_query(signer, omit ? NULL : token, expires_s))
    return sign_fail(request, SB_INVALID, "its query has too many parameters",
                     err);
  status = signer_finish(signer, request, err);
  if (status != SB_OK)
    return status;
  signer_add_query(signer, query_out);
  if (omit && token != NULL) {
    s3_buf_text(query_out, "&X-Amz-Security-Token=");
    s3_uri_encode(query_out, token, 0);
  }
  s3_buf_text(query_out, "&X-Amz-Signature=");
  s3_buf_text(query_out, signer->signature);
  if (query_out->failed)
    return sign_fail(request, SB_NO_MEMORY, "out of memory", err);
  return SB_OK;
}

/* ---- a signer's life ---------------------------------------------------- */

s3_signer *
s3_signer_new(const sb_host *host)
{
  s3_signer *signer = s3_alloc(host, sizeof *signer);
  s3_buf empty = s3_buf_of(host);

  if (signer == NULL)
    return NULL;
  signer->host = host;
  signer->scope = signer->credential = signer->names = empty;
  signer->path = signer->query = signer->canonical = signer->to_sign = empty;
  /* Fetched once: OpenSSL's implicit look-up costs as much as the hash. */
  signer->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
  signer->work = EVP_MD_CTX_new();
  signer->inner = EVP_MD_CTX_new();
  signer->outer = EVP_MD_CTX_new();
  if (signer->sha256 == NULL || signer->work == NULL ||
      signer->inner == NULL || signer->outer == NULL) {
    s3_signer_free(signer);
    return NULL;
  }
  return signer;
}

/* Canonical requests hold session tokens and customer keys. */
static void
signer_wipe(s3_buf *buf)
{
  if (buf->data != NULL)
    OPENSSL_cleanse(buf->data, buf->size);
  s3_buf_free(buf);
}

void
s3_signer_free(s3_signer *signer)
{
  const sb_host *host;

  if (signer == NULL)
    return;
  host = signer->host;
  EVP_MD_CTX_free(signer->work);
  EVP_MD_CTX_free(signer->inner);
  EVP_MD_CTX_free(signer->outer);
  EVP_MD_free(signer->sha256);
  signer_wipe(&signer->scope);
  signer_wipe(&signer->credential);
  signer_wipe(&signer->names);
  signer_wipe(&signer->path);
  signer_wipe(&signer->query);
  signer_wipe(&signer->canonical);
  signer_wipe(&signer->to_sign);
  OPENSSL_cleanse(signer, sizeof *signer);
  s3_free(host, signer);
}

const char *
s3_signer_canonical(const s3_signer *signer)
{
  return s3_buf_string(&signer->canonical);
}

const char *
s3_signer_string_to_sign(const s3_signer *signer)
{
  return s3_buf_string(&signer->to_sign);
}
