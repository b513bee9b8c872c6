/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of an origin: what sbctl dump, get and keys select, and how they are
 * printed. A selection is made from options.
 */
#ifndef SB_CLI_ROWS_H
#define SB_CLI_ROWS_H

#include "host/cli/progress.h"
#include "host/cli/origin.h"

#define ROWS_UTF8 0 /* text where it is text, else hexadecimal */
#define ROWS_HEX 1
#define ROWS_RAW 2  /* values alone */
#define ROWS_JSON 3
#define ROWS_CSV 4

#define ROWS_ALL 0
#define ROWS_SINGLE 1 /* a raw value is printed without a newline */
#define ROWS_KEYS 2   /* keys only, each once */
#define ROWS_PAIRS 3  /* keys only, once for each namespace */

/* Bytes given on the command line; `data` is allocated. */
typedef struct rows_bytes {
  int given;
  uint8_t *data;
  size_t len;
} rows_bytes;

typedef struct rows_select {
  const char *operator_id; /* NULL: all */
  const char *state;       /* NULL: all */
  rows_bytes key, ns, subkey, prefix;
  int has_key_group;
  uint32_t key_group_first, key_group_last;
  uint64_t limit;          /* 0: none */
  int format;
  int what;                /* ROWS_ALL, ... */
} rows_select;

/* Keys seen in one key group, by a hash that does not collide in practice. */
typedef struct rows_seen {
  uint64_t (*slots)[2];    /* {0, 0}: free */
  size_t count, mask;
  uint32_t key_group, state;
} rows_seen;

typedef struct rows {
  cli *c;
  const rows_select *select;
  origin origin;
  progress bar;
  rows_seen seen;
  uint64_t printed;
  uint64_t states;         /* that matched --state */
} rows;

/* From the command's options. Exit code. */
int rows_select_init(const cli *c, rows_select *select);
void rows_select_dispose(rows_select *select);
/* The value of a hexadecimal digit, -1 for anything else. */
int rows_digit(char c);
/* "hex:00ff" or text, from the command line, for `what`. Exit code. */
int rows_bytes_parse(const char *what, const char *text, rows_bytes *out);

/* 1 if --state, if given, names it. */
int rows_wants_state(const rows_select *select, const manifest_state *state);
/* What to scan for a selection; has not first > last. */
void rows_scan_options(const rows_select *select, const origin_operator *o,
                       const origin_state *state, sb_scan_options *options);
/* One key was looked for where its bytes put it, and was not there: 1 if the
   other key groups are worth a look, as the job may hash keys in its own
   way. */
int rows_widen(const rows_select *select, const origin_operator *o,
               sb_scan_options *options);

/* Prints all rows selected. Exit code; c->backend must be open. */
int rows_read(cli *c, const rows_select *select, uint64_t *printed);

/* Prints a row if it is wanted. Exit code. */
int rows_take(rows *r, const origin_operator *o, const manifest_state *state,
              const sb_row *row);
/* 1 when the limit is reached, or nobody listens. */
int rows_is_over(const rows *r);

/* rows_canonical.c; exit code */
int rows_read_canonical(rows *r);

/* rows_print.c */
void rows_print_header(const rows *r);
void rows_print(rows *r, const origin_operator *o, const manifest_state *state,
                const sb_row *row);
/* The time of a timer, whose key begins with it; 0 if it has none to print. */
int rows_time(sb_slice key, uint64_t *time_ms);

#endif
