/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt sends; see request.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/request.h"
#include "plugins/s3/uri.h"

#define SSE "x-amz-server-side-encryption"

typedef struct request_headers {
  s3_header items[S3_EXCHANGE_HEADERS];
  size_t count;
} request_headers;

/* NULL: nothing is added. */
static void
request_add(request_headers *headers, const char *name, const char *value)
{
  if (value == NULL || headers->count == S3_EXCHANGE_HEADERS)
    return;
  headers->items[headers->count].name = name;
  headers->items[headers->count++].value = value;
}

static void
request_add_encryption(request_headers *headers, const s3_settings *settings)
{
  static const char *const kinds[] = { NULL, "AES256", "aws:kms",
                                       "aws:kms:dsse", NULL };

  request_add(headers, SSE, kinds[settings->sse]);
  if (settings->sse != S3_SSE_KMS && settings->sse != S3_SSE_DSSE)
    return;
  request_add(headers, SSE "-aws-kms-key-id", settings->kms_key_id);
  request_add(headers, SSE "-context", settings->kms_context);
  if (settings->bucket_key)
    request_add(headers, SSE "-bucket-key-enabled", "true");
}

static void
request_add_customer_key(request_headers *headers, const s3_settings *settings)
{
  if (settings->sse != S3_SSE_CUSTOMER)
    return;
  request_add(headers, SSE "-customer-algorithm", "AES256");
  request_add(headers, SSE "-customer-key", settings->customer_key);
  request_add(headers, SSE "-customer-key-md5", settings->customer_key_md5);
}

static int
request_is_signed(const s3_store *store)
{
  return store->settings->signing == S3_SIGNING_SIGNED
         || (store->settings->signing == S3_SIGNING_AUTO
             && !store->endpoint.tls);
}

static s3_checksum
request_checksum(const s3_store *store, const s3_call *call)
{
  s3_checksum checksum = store->settings->checksum;

  if (call->flags & S3_CALL_MD5)
    return S3_CHECKSUM_MD5;
  if (!(call->flags & S3_CALL_CHECKSUM))
    return S3_CHECKSUM_NONE;
  if (checksum == S3_CHECKSUM_AUTO)
    return store->crc32c ? S3_CHECKSUM_CRC32C : S3_CHECKSUM_MD5;
  return checksum;
}

void
s3_request_plan(s3_call *call)
{
  const s3_store *store = call->op->store;

  call->hash_payload = request_is_signed(store) && call->body.length > 0;
  call->hash_checksum = (int)request_checksum(store, call);
}

/* The digests of a body are the same for each attempt. */
void
s3_request_hash(s3_call *call)
{
  call->payload[0] = call->checksum[0] = '\0';
  call->hash_failed = 0;
  call->hashed = 1;
  if (call->hash_payload && call->hash_checksum == (int)S3_CHECKSUM_CRC32C) {
    call->hash_failed =
      s3_sha256_crc32c(&call->body, call->payload, call->checksum);
    return;
  }
  if (call->hash_payload)
    call->hash_failed |= s3_sha256_hex(&call->body, call->payload);
  if (call->hash_checksum == (int)S3_CHECKSUM_CRC32C)
    s3_crc32c_base64(&call->body, call->checksum);
  else if (call->hash_checksum == (int)S3_CHECKSUM_MD5)
    call->hash_failed |= s3_md5_base64(&call->body, call->checksum);
}

static sb_status
request_hash(s3_call *call, sb_error *err)
{
  if (!call->hashed) {
    s3_request_plan(call);
    s3_request_hash(call);
  }
  if (call->hash_failed)
    return sb_fail(err, SB_UNSUPPORTED,
                   "this OpenSSL has no SHA-256 or MD5 for the body");
  return SB_OK;
}

static const char *
request_payload(const s3_call *call)
{
  if (call->body.length == 0)
    return S3_EMPTY_SHA256;
  return call->hash_payload ? call->payload : S3_UNSIGNED_PAYLOAD;
}

static void
request_collect(const s3_store *store, s3_call *call, request_headers *headers)
{
  const s3_settings *settings = store->settings;
  size_t i;

  request_add(headers, "host", store->endpoint.host);
  for (i = 0; i < call->header_count; i++)
    request_add(headers, call->headers[i].name, call->headers[i].value);
  if (call->checksum[0] != '\0')
    request_add(headers,
                call->hash_checksum == (int)S3_CHECKSUM_CRC32C
                  ? "x-amz-checksum-crc32c"
                  : "content-md5",
                call->checksum);
  if (call->flags & S3_CALL_OBJECT) {
    request_add_encryption(headers, settings);
    request_add(headers, "x-amz-storage-class", settings->storage_class);
    request_add(headers, "x-amz-acl", settings->acl);
    request_add(headers, "x-amz-tagging", settings->tags);
  }
  if (call->flags & S3_CALL_CUSTOMER_KEY)
    request_add_customer_key(headers, settings);
  if (settings->requester_pays)
    request_add(headers, "x-amz-request-payer", "requester");
  request_add(headers, "x-amz-expected-bucket-owner", settings->bucket_owner);
}

static void
request_address(s3_exchange *x, const s3_store *store)
{
  const s3_call *call = x->call;

  s3_buf_text(&x->path, store->endpoint.path);
  if (call->key != NULL || store->endpoint.path[0] == '\0')
    s3_buf_add(&x->path, "/", 1);
  if (call->key != NULL)
    s3_uri_encode(&x->path, call->key, 1);
  s3_buf_text(&x->url, store->endpoint.url);
  s3_buf_add(&x->url, s3_buf_string(&x->path), x->path.len);
  if (call->query != NULL && call->query[0] != '\0') {
    s3_buf_add(&x->url, "?", 1);
    s3_buf_text(&x->url, call->query);
  }
}

/* The signed headers and what libcurl would add of its own and shall not. */
static void
request_lines(s3_exchange *x, const request_headers *headers,
              const s3_signature *signature)
{
  size_t i;

  for (i = 1; i < headers->count; i++) /* the first one is host */
    s3_exchange_line(x, headers->items[i].name, headers->items[i].value);
  s3_exchange_line(x, "x-amz-date", signature->date);
  s3_exchange_line(x, "x-amz-content-sha256", signature->payload);
  if (signature->token != NULL)
    s3_exchange_line(x, "x-amz-security-token", signature->token);
  s3_exchange_line(x, "authorization",
                   s3_buf_string(&signature->authorization));
  s3_exchange_line(x, "accept", NULL);
  if (x->call->method[0] == 'P') {
    s3_exchange_line(x, "content-type", NULL);
    s3_exchange_line(x, "expect", NULL);
  }
}

sb_status
s3_request_prepare(s3_exchange *x, sb_error *err)
{
  s3_net *net = x->net;
  s3_store *store = net->store;
  s3_call *call = x->call;
  request_headers headers = { .count = 0 };
  s3_sign_request sign = { .method = call->method, .service = "s3" };
  sb_status status = request_hash(call, err);

  if (status != SB_OK)
    return status;
  request_address(x, store);
  request_collect(store, call, &headers);
  sign.path = s3_buf_string(&x->path);
  sign.query = call->query == NULL ? "" : call->query;
  sign.headers = headers.items;
  sign.header_count = headers.count;
  sign.payload = request_payload(call);
  sign.region = store->endpoint.region;
  sign.time_ms = (uint64_t)((int64_t)net->host->clock_ms(net->host)
                            + store->clock_offset_ms);
  status = s3_sign(net->signer, &sign, x->credentials, &net->signature, err);
  if (status != SB_OK)
    return status;
  request_lines(x, &headers, &net->signature);
  (void)snprintf(x->region, sizeof x->region, "%s", store->endpoint.region);
  return SB_OK;
}
