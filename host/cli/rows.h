/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a checkpoint: what sbctl dump and get select, and how bytes are
 * printed. A selection is made from options; rows come from handles opened
 * read-only over all parts, one for each operator.
 */
#ifndef SB_CLI_ROWS_H
#define SB_CLI_ROWS_H

#include "host/cli/inside.h"
#include "host/cli/progress.h"

#define ROWS_UTF8 0 /* text where it is text, else hexadecimal */
#define ROWS_HEX 1
#define ROWS_RAW 2  /* values alone */
#define ROWS_JSON 3

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
} rows_select;

typedef struct rows {
  cli *c;
  const rows_select *select;
  inside in;
  progress bar;
  uint64_t printed;
  uint64_t states;         /* that matched --state */
} rows;

/* From the command's options. Exit code. */
int rows_select_init(const cli *c, rows_select *select);
void rows_select_dispose(rows_select *select);

/* Prints all rows selected. `single`: a raw value is printed as it is, without
   a newline. Exit code; c->backend must be open. */
int rows_print(cli *c, const rows_select *select, int single,
               uint64_t *printed);

#endif
