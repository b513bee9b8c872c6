/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl's writer of key=value lines and JSON, see print.h. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "host/cli/print.h"

/* Length of the UTF-8 sequence at `p`, 0 if it is none. */
static size_t
print_sequence(const unsigned char *p, size_t left)
{
  size_t len, i;
  uint32_t code;

  if (p[0] < 0x80)
    return 1;
  if (p[0] < 0xC2 || p[0] > 0xF4)
    return 0;
  len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
  if (left < len)
    return 0;
  code = p[0] & (0x7Fu >> len);
  for (i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return 0;
    code = code << 6 | (p[i] & 0x3Fu);
  }
  if ((len == 3 && code < 0x800) || (len == 4 && code < 0x10000) ||
      code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
    return 0;
  return len;
}

int
print_is_utf8(sb_slice bytes)
{
  const unsigned char *p = bytes.data;
  size_t i, len;

  for (i = 0; i < bytes.len; i += len) {
    len = print_sequence(p + i, bytes.len - i);
    if (len == 0)
      return 0;
  }
  return 1;
}

void
print_hex(FILE *to, sb_slice bytes)
{
  const unsigned char *p = bytes.data;
  size_t i;

  for (i = 0; i < bytes.len; i++)
    fprintf(to, "%02x", p[i]);
}

static void
print_json_char(FILE *to, unsigned char c)
{
  switch (c) {
  case '"':
  case '\\':
    fprintf(to, "\\%c", c);
    break;
  case '\n':
    fputs("\\n", to);
    break;
  case '\r':
    fputs("\\r", to);
    break;
  case '\t':
    fputs("\\t", to);
    break;
  default:
    if (c < 0x20 || c == 0x7F)
      fprintf(to, "\\u%04x", c);
    else
      putc(c, to);
  }
}

void
print_json_string(FILE *to, sb_slice bytes)
{
  const unsigned char *p = bytes.data;
  size_t i, len;

  putc('"', to);
  for (i = 0; i < bytes.len; i += len) {
    len = print_sequence(p + i, bytes.len - i);
    if (len == 0) {
      fputs("\\ufffd", to);
      len = 1;
    } else if (len == 1) {
      print_json_char(to, p[i]);
    } else {
      fwrite(p + i, 1, len, to);
    }
  }
  putc('"', to);
}

void
print_word(FILE *to, sb_slice bytes)
{
  const unsigned char *p = bytes.data;
  size_t i;

  for (i = 0; i < bytes.len; i++)
    if (p[i] <= ' ' || p[i] >= 0x7F || p[i] == '"' || p[i] == '\\')
      break;
  if (bytes.len != 0 && i == bytes.len)
    fwrite(p, 1, bytes.len, to);
  else
    print_json_string(to, bytes);
}

void
print_begin(printer *out, FILE *to, int json)
{
  memset(out, 0, sizeof *out);
  out->to = to;
  out->json = json;
  out->depth = 1;
  if (json)
    putc('{', to);
}

void
print_begin_lines(printer *out, FILE *to, int json, const char *row)
{
  memset(out, 0, sizeof *out);
  out->to = to;
  out->json = json;
  out->lines = 1;
  out->row_name = row;
  out->depth = 2;
}

int
print_end(printer *out)
{
  if (out->depth >= 1 && out->json && !out->lines)
    fputs("\n}\n", out->to);
  out->depth = 0;
  return fflush(out->to) != 0 || ferror(out->to) ? -1 : 0;
}

/* What stands before the value of a field. */
static void
print_key(printer *out, const char *key)
{
  if (out->json) {
    fputs(out->fields == 0 ? "" : ",", out->to);
    if (out->depth == 1)
      fputs("\n  ", out->to);
    else if (out->fields != 0)
      putc(' ', out->to);
    fprintf(out->to, "\"%s\": ", key);
  } else {
    fprintf(out->to, "%s%s=", out->depth == 1 ? "" : " ", key);
  }
  out->fields++;
}

static void
print_after(printer *out)
{
  if (!out->json && out->depth == 1)
    putc('\n', out->to);
}

void
print_text(printer *out, const char *key, const char *value)
{
  sb_slice bytes = sb_slice_of(value == NULL ? "" : value,
                               value == NULL ? 0 : strlen(value));

  print_key(out, key);
  if (out->json && value == NULL)
    fputs("null", out->to);
  else if (out->json)
    print_json_string(out->to, bytes);
  else if (out->depth == 1)
    fputs(value == NULL ? "" : value, out->to);
  else
    print_word(out->to, bytes);
  print_after(out);
}

void
print_number(printer *out, const char *key, uint64_t value)
{
  print_key(out, key);
  fprintf(out->to, "%" PRIu64, value);
  print_after(out);
}

void
print_flag(printer *out, const char *key, int value)
{
  print_key(out, key);
  if (out->json)
    fputs(value ? "true" : "false", out->to);
  else
    fputs(value ? "1" : "0", out->to);
  print_after(out);
}

void
print_double(printer *out, const char *key, double value)
{
  print_key(out, key);
  fprintf(out->to, "%.3f", value);
  print_after(out);
}

void
print_precise(printer *out, const char *key, double value)
{
  print_key(out, key);
  fprintf(out->to, "%.6g", value);
  print_after(out);
}

void
print_exact(printer *out, const char *key, const char *number)
{
  print_key(out, key);
  if (out->json && strspn(number, "-.0123456789e") != strlen(number))
    print_json_string(out->to, sb_slice_of(number, strlen(number)));
  else
    fputs(number, out->to);
  print_after(out);
}

void
print_digits(printer *out, const char *key, sb_slice value)
{
  char name[64];

  (void)snprintf(name, sizeof name, "%s_hex", key);
  print_key(out, name);
  fputs(out->json ? "\"" : "", out->to);
  print_hex(out->to, value);
  fputs(out->json ? "\"" : "", out->to);
  print_after(out);
}

void
print_bytes(printer *out, const char *key, sb_slice value)
{
  if (!print_is_utf8(value)) {
    print_digits(out, key, value);
    return;
  }
  print_key(out, key);
  if (out->json)
    print_json_string(out->to, value);
  else
    print_word(out->to, value);
  print_after(out);
}

void
print_list(printer *out, const char *name, const char *row)
{
  if (out->json) {
    print_key(out, name);
    putc('[', out->to);
  }
  out->outer_fields = out->fields;
  out->row_name = row;
  out->rows = 0;
  out->depth = 2;
}

void
print_row(printer *out)
{
  if (out->json)
    fputs(out->lines ? "{" : out->rows == 0 ? "\n    {" : ",\n    {",
          out->to);
  else
    fputs(out->row_name, out->to);
  out->rows++;
  out->fields = 0;
  out->depth = 3;
}

void
print_row_end(printer *out)
{
  fputs(!out->json ? "\n" : out->lines ? "}\n" : "}", out->to);
  out->depth = 2;
}

void
print_list_end(printer *out)
{
  if (out->json)
    fputs(out->rows == 0 ? "]" : "\n  ]", out->to);
  out->fields = out->outer_fields;
  out->depth = 1;
}
