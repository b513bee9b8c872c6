/* SPDX-License-Identifier: Apache-2.0 */
/* A table for people: rows of cells, printed in columns as wide as need be. */
#ifndef SB_CLI_GRID_H
#define SB_CLI_GRID_H

#include <stddef.h>
#include <stdio.h>

#define GRID_COLUMNS 4u

typedef struct grid {
  size_t columns;
  char **cells;       /* row by row */
  size_t count, capacity;
  int failed;         /* out of memory */
} grid;

void grid_begin(grid *g, size_t columns);
/* The next cell; the text is copied. NULL is an empty one. */
void grid_cell(grid *g, const char *text);
/* Prints and frees it; -1 if memory had run out. */
int grid_end(grid *g, FILE *to);

#endif
