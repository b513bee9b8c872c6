/* SPDX-License-Identifier: Apache-2.0 */
/* Growing buffers and the plugin's memory; see buf.h. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>

#include "plugins/s3/buf.h"

void *
s3_alloc(const sb_host *host, size_t size)
{
  void *p = host->alloc(host, NULL, size == 0 ? 1 : size);

  if (p != NULL)
    memset(p, 0, size);
  return p;
}

char *
s3_strdup(const sb_host *host, const char *text)
{
  size_t size = strlen(text) + 1;
  char *copy = host->alloc(host, NULL, size);

  if (copy != NULL)
    memcpy(copy, text, size);
  return copy;
}

void
s3_free(const sb_host *host, void *p)
{
  if (p != NULL)
    (void)host->alloc(host, p, 0);
}

void
s3_free_secret(const sb_host *host, char *text)
{
  if (text != NULL)
    OPENSSL_cleanse(text, strlen(text));
  s3_free(host, text);
}

static int
buf_reserve(s3_buf *buf, size_t more)
{
  size_t need = buf->len + more + 1;
  size_t size = buf->size == 0 ? 256 : buf->size;
  char *data;

  if (buf->failed || need < more || (buf->max != 0 && need - 1 > buf->max)) {
    buf->failed = 1;
    return 0;
  }
  if (need <= buf->size)
    return 1;
  while (size < need)
    size *= 2;
  data = buf->host->alloc(buf->host, buf->data, size);
  if (data == NULL) {
    buf->failed = 1;
    return 0;
  }
  buf->data = data;
  buf->size = size;
  return 1;
}

void
s3_buf_add(s3_buf *buf, const void *data, size_t len)
{
  if (!buf_reserve(buf, len))
    return;
  if (len != 0)
    memcpy(buf->data + buf->len, data, len);
  buf->len += len;
  buf->data[buf->len] = '\0';
}

void
s3_buf_text(s3_buf *buf, const char *text)
{
  s3_buf_add(buf, text, strlen(text));
}

void
s3_buf_printf(s3_buf *buf, const char *format, ...)
{
  va_list args, again;
  int len;

  va_start(args, format);
  va_copy(again, args);
  len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (len < 0)
    buf->failed = 1;
  else if (buf_reserve(buf, (size_t)len)) {
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
  }
  va_end(again);
}

void
s3_buf_clear(s3_buf *buf)
{
  buf->len = 0;
  buf->failed = 0;
  if (buf->data != NULL)
    buf->data[0] = '\0';
}

void
s3_buf_free(s3_buf *buf)
{
  s3_free(buf->host, buf->data);
  buf->data = NULL;
  buf->len = buf->size = 0;
  buf->failed = 0;
}

const char *
s3_buf_string(const s3_buf *buf)
{
  return buf->data == NULL ? "" : buf->data;
}
