/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of bodies, and base64; see digest.h. */
#include "config.h"

#include <string.h>
#include <isa-l.h>
#include <openssl/evp.h>

#include "plugins/s3/digest.h"

#define DIGEST_STEP ((size_t)1 << 30) /* isa-l's length is an int */
#define DIGEST_PASS (16u << 10)

static const char digest_alphabet[] =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- bodies ------------------------------------------------------------- */

/* A place in a body: the next bytes to read. */
typedef struct digest_cursor {
  const s3_body *body;
  uint64_t slice;
  size_t skip;        /* bytes of that slice that were read */
  uint64_t left;
} digest_cursor;

static void
cursor_start(digest_cursor *cursor, const s3_body *body, uint64_t from)
{
  uint64_t skip = body->offset;

  cursor->body = body;
  cursor->slice = 0;
  cursor->left = from < body->length ? body->length - from : 0;
  skip += from < body->length ? from : body->length;
  while (cursor->slice < body->count &&
         skip >= body->slices[cursor->slice].len)
    skip -= body->slices[cursor->slice++].len;
  cursor->skip = (size_t)skip;
}

/* The next piece of at most `max` bytes; 0 at the end. */
static size_t
cursor_next(digest_cursor *cursor, size_t max, const void **data)
{
  while (cursor->left > 0 && cursor->slice < cursor->body->count) {
    const sb_slice *slice = &cursor->body->slices[cursor->slice];
    size_t len = slice->len - cursor->skip;

    if (len == 0) {
      cursor->slice++;
      cursor->skip = 0;
      continue;
    }
    if (len > cursor->left)
      len = (size_t)cursor->left;
    if (len > max)
      len = max;
    *data = (const char *)slice->data + cursor->skip;
    cursor->skip += len;
    cursor->left -= len;
    return len;
  }
  return 0;
}

size_t
s3_body_read(const s3_body *body, uint64_t from, void *to, size_t size)
{
  digest_cursor cursor;
  const void *data;
  size_t done = 0;
  size_t len;

  cursor_start(&cursor, body, from);
  while (done < size && (len = cursor_next(&cursor, size - done, &data)) > 0) {
    memcpy((char *)to + done, data, len);
    done += len;
  }
  return done;
}

const void *
s3_body_flat(const s3_body *body)
{
  digest_cursor cursor;
  const void *data;

  if (body->length == 0)
    return "";
  cursor_start(&cursor, body, 0);
  if (cursor_next(&cursor, SIZE_MAX, &data) == 0 || cursor.left > 0)
    return NULL;
  return data;
}

void
s3_hex(const void *data, size_t len, char *out)
{
  static const char hex[] = "0123456789abcdef";
  const unsigned char *from = data;

  for (; len > 0; len--, from++) {
    *out++ = hex[*from >> 4];
    *out++ = hex[*from & 15];
  }
  *out = '\0';
}

/* ---- digests ------------------------------------------------------------ */

/* The digest's length, or -1. With `crc` also the CRC-32C, in one pass: small
   pieces are still in the cache when the second one comes to them. */
static int
digest_body(const s3_body *body, const EVP_MD *type,
            unsigned char out[EVP_MAX_MD_SIZE], uint32_t *crc)
{
  size_t step = crc == NULL ? SIZE_MAX : DIGEST_PASS;
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  digest_cursor cursor;
  unsigned int size = 0;
  const void *data;
  size_t len;
  int good;

  good = ctx != NULL && type != NULL && EVP_DigestInit_ex2(ctx, type, NULL);
  cursor_start(&cursor, body, 0);
  while (good && (len = cursor_next(&cursor, step, &data)) > 0) {
    good = EVP_DigestUpdate(ctx, data, len);
    if (crc != NULL)
      *crc = s3_crc32c(*crc, data, len);
  }
  good = good && cursor.left == 0 && EVP_DigestFinal_ex(ctx, out, &size);
  EVP_MD_CTX_free(ctx);
  return good ? (int)size : -1;
}

int
s3_sha256_hex(const s3_body *body, char out[S3_SHA256_HEX])
{
  unsigned char digest[EVP_MAX_MD_SIZE];

  out[0] = '\0';
  if (digest_body(body, EVP_sha256(), digest, NULL) != 32)
    return -1;
  s3_hex(digest, 32, out);
  return 0;
}

int
s3_sha256_crc32c(const s3_body *body, char sha256[S3_SHA256_HEX],
                 char crc32c[S3_CRC32C_BASE64])
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  uint32_t crc = 0;

  sha256[0] = crc32c[0] = '\0';
  if (digest_body(body, EVP_sha256(), digest, &crc) != 32)
    return -1;
  s3_hex(digest, 32, sha256);
  s3_crc32c_text(crc, crc32c);
  return 0;
}

int
s3_md5_base64(const s3_body *body, char out[S3_MD5_BASE64])
{
  unsigned char digest[EVP_MAX_MD_SIZE];

  out[0] = '\0';
  /* A FIPS provider has no MD5. */
  if (digest_body(body, EVP_md5(), digest, NULL) != 16)
    return -1;
  (void)EVP_EncodeBlock((unsigned char *)out, digest, 16);
  return 0;
}

uint32_t
s3_crc32c(uint32_t crc, const void *data, size_t len)
{
  /* isa-l only reads, but does not say const, and leaves both inversions to
     the caller. */
  unsigned char *p = (unsigned char *)(uintptr_t)data;

  crc = ~crc;
  while (len > 0) {
    size_t step = len < DIGEST_STEP ? len : DIGEST_STEP;

    crc = crc32_iscsi(p, (int)step, crc);
    p += step;
    len -= step;
  }
  return ~crc;
}

void
s3_crc32c_text(uint32_t crc, char out[S3_CRC32C_BASE64])
{
  unsigned char bytes[4] = { (unsigned char)(crc >> 24),
                             (unsigned char)(crc >> 16),
                             (unsigned char)(crc >> 8), (unsigned char)crc };

  (void)EVP_EncodeBlock((unsigned char *)out, bytes, 4);
}

void
s3_crc32c_base64(const s3_body *body, char out[S3_CRC32C_BASE64])
{
  digest_cursor cursor;
  uint32_t crc = 0;
  const void *data;
  size_t len;

  cursor_start(&cursor, body, 0);
  while ((len = cursor_next(&cursor, SIZE_MAX, &data)) > 0)
    crc = s3_crc32c(crc, data, len);
  s3_crc32c_text(crc, out);
}

/* ---- base64 ------------------------------------------------------------- */

void
s3_base64(s3_buf *out, const void *data, size_t len)
{
  const unsigned char *from = data;
  unsigned char text[64 * 4 / 3 + 4];

  while (len > 0) {
    size_t step = len < 48 ? len : 48; /* a multiple of 3 */
    int made = EVP_EncodeBlock(text, from, (int)step);

    s3_buf_add(out, text, (size_t)made);
    from += step;
    len -= step;
  }
}

static int
base64_value(char c)
{
  const char *at = c == '\0' ? NULL : strchr(digest_alphabet, c);

  return at == NULL ? -1 : (int)(at - digest_alphabet);
}

long
s3_base64_decode(const char *text, void *out, size_t size)
{
  size_t chars = strlen(text);
  size_t pad = 0;
  size_t count, i;
  unsigned char *to = out;
  uint32_t bits = 0;

  if (chars % 4 != 0)
    return -1;
  while (pad < 2 && pad < chars && text[chars - 1 - pad] == '=')
    pad++;
  count = chars / 4 * 3 - pad;
  if (count > size)
    return -1;
  for (i = 0; i < chars; i++) {
    int value = i < chars - pad ? base64_value(text[i]) : 0;

    if (value < 0)
      return -1;
    bits = bits << 6 | (uint32_t)value;
    if (i % 4 != 3)
      continue;
    *to++ = (unsigned char)(bits >> 16);
    if (i + 1 < chars || pad < 2)
      *to++ = (unsigned char)(bits >> 8);
    if (i + 1 < chars || pad < 1)
      *to++ = (unsigned char)bits;
    /* The bits that padding leaves over are zeros. */
    if (i + 1 == chars && pad > 0 &&
        (bits & (pad == 2 ? 0xffffu : 0xffu)) != 0)
      return -1;
  }
  return (long)count;
}
