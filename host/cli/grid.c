/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people, see grid.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/grid.h"

void
grid_begin(grid *g, size_t columns)
{
  memset(g, 0, sizeof *g);
  g->columns = columns;
}

void
grid_cell(grid *g, const char *text)
{
  size_t capacity = g->capacity == 0 ? 64 : g->capacity * 2;
  char **cells;

  if (g->count == g->capacity) {
    cells = realloc(g->cells, capacity * sizeof *cells);
    if (cells == NULL) {
      g->failed = 1;
      return;
    }
    g->cells = cells;
    g->capacity = capacity;
  }
  g->cells[g->count] = strdup(text == NULL ? "" : text);
  if (g->cells[g->count] == NULL)
    g->failed = 1;
  else
    g->count++;
}

/* What would move the cursor or the terminal's state becomes a '?'. */
static void
grid_print(FILE *to, const char *text)
{
  for (; *text != '\0'; text++)
    putc((unsigned char)*text < ' ' || *text == 0x7F ? '?' : *text, to);
}

int
grid_end(grid *g, FILE *to)
{
  size_t widths[GRID_COLUMNS] = { 0 }, i, column, len, gap = 0;

  for (i = 0; i < g->count; i++) {
    len = strlen(g->cells[i]);
    if (len > widths[i % g->columns])
      widths[i % g->columns] = len;
  }
  for (i = 0; i < g->count && !g->failed; i++) {
    column = i % g->columns;
    len = strlen(g->cells[i]);
    if (len != 0) { /* nothing trails the last word of a line */
      fprintf(to, "%*s", (int)gap, "");
      grid_print(to, g->cells[i]);
      gap = 0;
    }
    gap += widths[column] - len + 2;
    if (column + 1 == g->columns) {
      putc('\n', to);
      gap = 0;
    }
  }
  for (i = 0; i < g->count; i++)
    free(g->cells[i]);
  free(g->cells);
  return g->failed ? -1 : 0;
}
