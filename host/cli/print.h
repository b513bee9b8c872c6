/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sbctl prints, in two forms from the same calls: lines of key=value for
 * scripts, or one JSON document. Fields outside a row stand on a line each; a
 * row is one line of fields. Values in rows are quoted when they need it.
 */
#ifndef SB_CLI_PRINT_H
#define SB_CLI_PRINT_H

#include <stdio.h>
#include <statebackend/base.h>

typedef struct printer {
  FILE *to;
  int json;
  int lines;   /* no document: rows alone, a line each in JSON too */
  int depth;   /* 0: nothing open, 1: document, 2: list, 3: row */
  int fields;  /* written at this depth */
  int outer_fields;
  int rows;
  const char *row_name;
} printer;

void print_begin(printer *out, FILE *to, int json);
/* Rows alone, for output of any length: in JSON one object a line. */
void print_begin_lines(printer *out, FILE *to, int json, const char *row);
/* Ends the document and flushes; -1 if anything could not be written. */
int print_end(printer *out);

void print_text(printer *out, const char *key, const char *value);
void print_number(printer *out, const char *key, uint64_t value);
void print_flag(printer *out, const char *key, int value);
void print_double(printer *out, const char *key, double value);
/* Six significant digits. */
void print_precise(printer *out, const char *key, double value);
/* A number as it is written, "0.25". */
void print_exact(printer *out, const char *key, const char *number);
/* Bytes: as text if they are UTF-8, else `key`_hex and hex digits. */
void print_bytes(printer *out, const char *key, sb_slice value);
/* Always `key`_hex. */
void print_digits(printer *out, const char *key, sb_slice value);

/* A list of rows: `name` is its JSON key, `row` its lines' first word. */
void print_list(printer *out, const char *name, const char *row);
void print_row(printer *out);
void print_row_end(printer *out);
void print_list_end(printer *out);

/* Building blocks. */
int print_is_utf8(sb_slice bytes);
void print_json_string(FILE *to, sb_slice bytes);
void print_hex(FILE *to, sb_slice bytes);
/* Quoted only if it holds a space, a quote or what does not print. */
void print_word(FILE *to, sb_slice bytes);

#endif
