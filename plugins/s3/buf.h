/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_buf: bytes that grow, always followed by a NUL. A failure sticks: after
 * the first one nothing is added and `failed` is set, so that a caller checks
 * once, at the end.
 */
#ifndef PLUGINS_S3_BUF_H
#define PLUGINS_S3_BUF_H

#include <statebackend/host.h>

typedef struct s3_buf {
  const sb_host *host;
  char *data;       /* NULL while nothing was added */
  size_t len, size;
  size_t max;       /* bytes at most; 0: no limit */
  int failed;       /* out of memory, or over `max` */
} s3_buf;

static inline s3_buf
s3_buf_of(const sb_host *host)
{
  s3_buf buf = { .host = host };

  return buf;
}

void s3_buf_add(s3_buf *buf, const void *data, size_t len);
void s3_buf_text(s3_buf *buf, const char *text);
void s3_buf_printf(s3_buf *buf, const char *format, ...) SB_PRINTF(2, 3);
void s3_buf_clear(s3_buf *buf);   /* keeps the memory */
void s3_buf_free(s3_buf *buf);
/* The text, "" if there is none. */
const char *s3_buf_string(const s3_buf *buf);

/* Memory of the host's, for the whole plugin. NULL on failure. */
void *s3_alloc(const sb_host *host, size_t size);   /* zeroed */
char *s3_strdup(const sb_host *host, const char *text);
void s3_free(const sb_host *host, void *p);         /* NULL: nothing */

/* Frees a text after writing zeros over it. */
void s3_free_secret(const sb_host *host, char *text);

#endif
