/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding; see uri.h. */
#include "config.h"

#include <string.h>

#include "plugins/s3/uri.h"

static int
uri_is_plain(unsigned char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

static int
uri_hex(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return -1;
}

static void
uri_escape(s3_buf *out, unsigned char c)
{
  static const char hex[] = "0123456789ABCDEF";
  char escape[3];

  escape[0] = '%';
  escape[1] = hex[c >> 4];
  escape[2] = hex[c & 15];
  s3_buf_add(out, escape, sizeof escape);
}

void
s3_uri_encode(s3_buf *out, const char *text, int keep_slashes)
{
  const char *start = text;

  /* Runs that stay as they are go over in one piece. */
  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;

    if (uri_is_plain(c) || (c == '/' && keep_slashes))
      continue;
    s3_buf_add(out, start, (size_t)(text - start));
    uri_escape(out, c);
    start = text + 1;
  }
  s3_buf_add(out, start, (size_t)(text - start));
}

void
s3_uri_encode_again(s3_buf *out, const char *text, size_t len)
{
  size_t start = 0;
  size_t i = 0;

  while (i < len) {
    unsigned char c = (unsigned char)text[i];
    size_t step = 1;

    if (c == '%' && len - i > 2 && uri_hex(text[i + 1]) >= 0 &&
        uri_hex(text[i + 2]) >= 0) {
      c = (unsigned char)(uri_hex(text[i + 1]) << 4 | uri_hex(text[i + 2]));
      step = 3;
    }
    if (step == 1 && uri_is_plain(c)) {
      i++;
      continue;
    }
    s3_buf_add(out, text + start, i - start);
    if (uri_is_plain(c))
      s3_buf_add(out, &c, 1);
    else
      uri_escape(out, c);
    i += step;
    start = i;
  }
  s3_buf_add(out, text + start, len - start);
}

long
s3_uri_decode(char *text, int plus)
{
  const char *from = text;
  char *to = text;

  while (*from != '\0') {
    int high, low;

    if (*from != '%') {
      *to++ = *from == '+' && plus ? ' ' : *from;
      from++;
      continue;
    }
    high = uri_hex(from[1]);
    low = high < 0 ? -1 : uri_hex(from[2]);
    if (low < 0 || high + low == 0)
      return -1;
    *to++ = (char)(high << 4 | low);
    from += 3;
  }
  *to = '\0';
  return to - text;
}

void
s3_uri_normalize(s3_buf *out, const char *path)
{
  while (*path != '\0') {
    size_t len;

    path += *path == '/';
    len = strcspn(path, "/");
    if (len == 2 && memcmp(path, "..", 2) == 0) {
      while (out->len > 0 && out->data[--out->len] != '/')
        continue;
      s3_buf_add(out, "", 0); /* the NUL */
    } else if (len > 0 && !(len == 1 && *path == '.')) {
      s3_buf_add(out, "/", 1);
      s3_buf_add(out, path, len);
    }
    path += len;
    if (path[0] == '/' && path[1] == '\0')
      break;
  }
  /* The slash at the end stays. */
  if (out->len == 0 || *path == '/')
    s3_buf_add(out, "/", 1);
}
