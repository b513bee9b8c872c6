/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl's progress bar, see progress.h. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/cli/progress.h"

#define PROGRESS_WIDTH 32
#define PROGRESS_EVERY_MS 150

static uint64_t
progress_now(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
progress_draw(const progress *p)
{
  char bar[PROGRESS_WIDTH + 1];
  uint64_t done = p->done < p->total ? p->done : p->total;
  size_t full;

  if (p->total == 0) {
    fprintf(stderr, "\r%s %" PRIu64 " ...\033[K", p->what, p->done);
    return;
  }
  full = (size_t)((double)done / (double)p->total * PROGRESS_WIDTH);
  memset(bar, '.', PROGRESS_WIDTH);
  memset(bar, '#', full);
  bar[PROGRESS_WIDTH] = '\0';
  fprintf(stderr, "\r%s [%s] %3d%%\033[K", p->what, bar,
          (int)((double)done / (double)p->total * 100.0));
}

void
progress_begin(progress *p, const char *what, uint64_t total)
{
  memset(p, 0, sizeof *p);
  p->what = what;
  p->total = total;
  p->on = isatty(STDERR_FILENO);
  if (p->on)
    p->drawn_ms = p->started_ms = progress_now();
}

void
progress_add(progress *p, uint64_t count)
{
  uint64_t now;

  p->done += count;
  if (!p->on)
    return;
  now = progress_now();
  if (now - p->drawn_ms < PROGRESS_EVERY_MS)
    return;
  p->drawn_ms = now;
  progress_draw(p);
}

void
progress_clear(const progress *p)
{
  if (p->on && p->drawn_ms != p->started_ms)
    fputs("\r\033[K", stderr);
}

void
progress_end(progress *p)
{
  progress_clear(p);
  p->on = 0;
}
