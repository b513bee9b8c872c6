/* SPDX-License-Identifier: Apache-2.0 */
/* Digests over slices of a body, and base64. */
#ifndef PLUGINS_S3_DIGEST_H
#define PLUGINS_S3_DIGEST_H

#include "plugins/s3/buf.h"

#define S3_SHA256_HEX 65      /* with NUL */
#define S3_MD5_BASE64 25
#define S3_CRC32C_BASE64 9

/* A range of a body in slices. */
typedef struct s3_body {
  const sb_slice *slices;
  uint64_t count;
  uint64_t offset, length;
} s3_body;

/* 0, or -1 if OpenSSL cannot. */
int s3_sha256_hex(const s3_body *body, char out[S3_SHA256_HEX]);
int s3_md5_base64(const s3_body *body, char out[S3_MD5_BASE64]);
/* Both at once. */
int s3_sha256_crc32c(const s3_body *body, char sha256[S3_SHA256_HEX],
                     char crc32c[S3_CRC32C_BASE64]);
void s3_crc32c_base64(const s3_body *body, char out[S3_CRC32C_BASE64]);
/* Running CRC-32C; starts with 0. */
uint32_t s3_crc32c(uint32_t crc, const void *data, size_t len);
void s3_crc32c_text(uint32_t crc, char out[S3_CRC32C_BASE64]);

/* Copies up to `size` bytes of the body from `from` on; the count copied. */
size_t s3_body_read(const s3_body *body, uint64_t from, void *to, size_t size);
/* The body if it is one piece, else NULL. */
const void *s3_body_flat(const s3_body *body);

/* Lower-case hex and a NUL: 2 * len + 1 bytes. */
void s3_hex(const void *data, size_t len, char *out);

void s3_base64(s3_buf *out, const void *data, size_t len);
/* Bytes decoded into `out` of `size`, -1 if it is no base64 or too long. */
long s3_base64_decode(const char *text, void *out, size_t size);

#endif
