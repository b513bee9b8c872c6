/* SPDX-License-Identifier: Apache-2.0 */
/* How the rows of sbctl dump, get and keys are printed, see rows.h. */
#include "config.h"

#include <inttypes.h>

#include "host/cli/rows.h"

#define ROWS_TIME_LEN 8 /* bytes of a timer's time, before its key */

/* The time is big-endian with the sign bit flipped. */
int
rows_time(sb_slice key, uint64_t *time_ms)
{
  const uint8_t *p = key.data;
  uint64_t bits = 0;
  int i;

  if (key.len < ROWS_TIME_LEN)
    return 0;
  for (i = 0; i < ROWS_TIME_LEN; i++)
    bits = bits << 8 | p[i];
  bits ^= UINT64_C(1) << 63;
  *time_ms = bits;
  return bits <= INT64_MAX;
}

/* ---- CSV ---------------------------------------------------------------- */

/* Text that comes back as it was: UTF-8 without control characters but tab
   and line ends, and not taken for what the hex form begins with. */
static int
rows_csv_is_text(sb_slice bytes)
{
  const unsigned char *p = bytes.data;
  size_t i;

  if (bytes.len >= 4 && memcmp(p, "hex:", 4) == 0)
    return 0;
  for (i = 0; i < bytes.len; i++)
    if ((p[i] < ' ' && p[i] != '\t' && p[i] != '\r' && p[i] != '\n') ||
        p[i] == 0x7F)
      return 0;
  return print_is_utf8(bytes);
}

static void
rows_csv_bytes(FILE *to, sb_slice bytes)
{
  const char *p = bytes.data;
  size_t i;
  int quote = 0;

  if (!rows_csv_is_text(bytes)) {
    fputs("hex:", to);
    print_hex(to, bytes);
    return;
  }
  for (i = 0; i < bytes.len; i++)
    if (p[i] == ',' || p[i] == '"' || p[i] == '\r' || p[i] == '\n')
      quote = 1;
  if (quote)
    putc('"', to);
  for (i = 0; i < bytes.len; i++) {
    if (p[i] == '"')
      putc('"', to);
    putc(p[i], to);
  }
  if (quote)
    putc('"', to);
}

static void
rows_csv(const rows *r, const origin_operator *o, const manifest_state *state,
         const sb_row *row)
{
  uint64_t time_ms;

  rows_csv_bytes(stdout, sb_slice_of(o->id, strlen(o->id)));
  putchar(',');
  rows_csv_bytes(stdout, state->name);
  printf(",%" PRIu32 ",", row->key_group);
  rows_csv_bytes(stdout, row->key);
  putchar(',');
  rows_csv_bytes(stdout, row->ns);
  if (r->select->what == ROWS_KEYS || r->select->what == ROWS_PAIRS) {
    fputs("\r\n", stdout);
    return;
  }
  putchar(',');
  rows_csv_bytes(stdout, row->subkey);
  putchar(',');
  rows_csv_bytes(stdout, row->value);
  putchar(',');
  if (state->kind == SB_STATE_TIMER && rows_time(row->key, &time_ms))
    printf("%" PRIu64, time_ms);
  putchar(',');
  if (row->expires_ms != 0)
    printf("%" PRIu64, row->expires_ms);
  fputs("\r\n", stdout);
}

void
rows_print_header(const rows *r)
{
  int format = r->select->format;

  print_begin_lines(&r->c->out, stdout, format == ROWS_JSON, "row");
  if (format != ROWS_CSV)
    return;
  fputs("operator,state,key_group,key,ns", stdout);
  if (r->select->what != ROWS_KEYS && r->select->what != ROWS_PAIRS)
    fputs(",subkey,value,time_ms,expires_ms", stdout);
  fputs("\r\n", stdout);
}

/* ---- the other forms ---------------------------------------------------- */

static void
rows_field(rows *r, const char *name, sb_slice bytes)
{
  if (r->select->format == ROWS_HEX)
    print_digits(&r->c->out, name, bytes);
  else
    print_bytes(&r->c->out, name, bytes);
}

static void
rows_raw(const rows *r, sb_slice bytes)
{
  if (bytes.len != 0)
    fwrite(bytes.data, 1, bytes.len, stdout);
  if (r->select->what != ROWS_SINGLE)
    putchar('\n');
}

/* What a row has besides its key. */
static void
rows_print_rest(rows *r, const manifest_state *state, const sb_row *row)
{
  if (state->kind == SB_STATE_MAP)
    rows_field(r, "subkey", row->subkey);
  if (state->kind != SB_STATE_TIMER || row->value.len != 0)
    rows_field(r, "value", row->value);
  if (row->expires_ms != 0)
    print_number(&r->c->out, "expires_ms", row->expires_ms);
}

void
rows_print(rows *r, const origin_operator *o, const manifest_state *state,
           const sb_row *row)
{
  printer *out = &r->c->out;
  int keys = r->select->what == ROWS_KEYS || r->select->what == ROWS_PAIRS;
  uint64_t time_ms;

  if (r->select->format == ROWS_CSV) {
    rows_csv(r, o, state, row);
    return;
  }
  if (r->select->format == ROWS_RAW) {
    rows_raw(r, keys ? row->key : row->value);
    return;
  }
  print_row(out);
  print_bytes(out, "state", state->name);
  print_number(out, "key_group", row->key_group);
  if (state->kind == SB_STATE_TIMER && rows_time(row->key, &time_ms))
    print_number(out, "time_ms", time_ms);
  rows_field(r, "key", row->key);
  if (row->ns.len != 0 && r->select->what != ROWS_KEYS)
    rows_field(r, "ns", row->ns);
  if (!keys)
    rows_print_rest(r, state, row);
  print_row_end(out);
}
