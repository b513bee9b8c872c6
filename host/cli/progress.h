/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress bar on stderr, only when that is a terminal. Drawn a few times a
 * second at most, erased at the end.
 */
#ifndef SB_CLI_PROGRESS_H
#define SB_CLI_PROGRESS_H

#include <stdint.h>

typedef struct progress {
  const char *what;   /* "verifying" */
  uint64_t total;     /* 0: unknown */
  uint64_t done;
  uint64_t drawn_ms;
  uint64_t started_ms;
  int on;
} progress;

void progress_begin(progress *p, const char *what, uint64_t total);
void progress_add(progress *p, uint64_t count);
/* Makes room for a message; the bar comes back with progress_add. */
void progress_clear(const progress *p);
void progress_end(progress *p);

#endif
