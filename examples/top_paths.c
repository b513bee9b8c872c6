/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top_paths: for each status code the paths asked for most often, in windows
 * of three hours that begin every hour.
 *
 *   counts   map, a namespace each window: path -> hits
 *   windows  timers: when the watermark has passed a window, it is evaluated
 *   tops     map: end of the window -> its top paths
 *
 * A hit is in three windows. One that comes after the end of a window is not
 * counted there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "example.h"

#define SLIDE_MS 3600000
#define SIZE_MS (3 * SLIDE_MS)
#define TOP 3u
#define PATH_MAX_LEN 1024u /* longer ones are cut off in the result */

static sb_map *counts[EXAMPLE_SUBTASKS], *tops[EXAMPLE_SUBTASKS];
static sb_timers *windows[EXAMPLE_SUBTASKS];

static void
states_open(example *e)
{
  sb_error err;
  uint32_t i;

  for (i = 0; i < e->subtasks; i++) {
    sb_context *context = e->contexts[i];

    example_must(sb_map_open(context, "counts", &counts[i], &err), &err);
    example_must(sb_map_open(context, "tops", &tops[i], &err), &err);
    example_must(sb_timers_open(context, "windows", &windows[i], &err), &err);
  }
}

/* ---- the best of a window ----------------------------------------------- */

typedef struct top {
  size_t count;
  struct {
    uint64_t hits;
    size_t len;
    char path[PATH_MAX_LEN];
  } best[TOP + 1];
} top;

/* Paths come in their order; of equal ones the first stays ahead. */
static void
top_offer(top *t, sb_slice path, uint64_t hits)
{
  size_t i = t->count;

  while (i > 0 && t->best[i - 1].hits < hits) {
    t->best[i] = t->best[i - 1];
    i--;
  }
  t->best[i].hits = hits;
  t->best[i].len = path.len < PATH_MAX_LEN ? path.len : PATH_MAX_LEN;
  memcpy(t->best[i].path, path.data, t->best[i].len);
  if (t->count < TOP)
    t->count++;
}

static sb_slice
top_text(const top *t, char *text, size_t size)
{
  size_t i, len = 0;

  for (i = 0; i < t->count; i++)
    len += (size_t)snprintf(text + len, size - len, "%" PRIu64 " %.*s\n",
                            t->best[i].hits, (int)t->best[i].len,
                            t->best[i].path);
  return sb_slice_of(text, len);
}

/* ---- hits and windows --------------------------------------------------- */

static int64_t
window_first_end(int64_t time_ms)
{
  return time_ms - time_ms % SLIDE_MS + SLIDE_MS;
}

static void
states_hit(example *e, const example_line *line)
{
  uint32_t subtask = example_key(e, sb_slice_of(line->status, 3));
  int64_t end = window_first_end(line->time_ms);
  int64_t last = end + SIZE_MS - SLIDE_MS;
  uint8_t ns[8], fresh[8];
  sb_error err;

  for (; end <= last; end += SLIDE_MS) {
    if (end - 1 <= example_watermark(e))
      continue;
    example_put(ns, (uint64_t)end);
    example_namespace(e, subtask, sb_slice_of(ns, sizeof ns));
    example_must(sb_map_update(counts[subtask], line->path, example_count,
                               fresh, &err), &err);
    example_must(sb_timers_add(windows[subtask], end - 1, &err), &err);
  }
}

static int
window_entry(void *arg, sb_slice path, sb_slice value)
{
  top_offer(arg, path, example_get(value.data));
  return 0;
}

/* The timer made the window's status and namespace current. */
static void
window_evaluate(example *e, uint32_t subtask, int64_t end)
{
  static char text[TOP * (PATH_MAX_LEN + 32)];
  static top best;
  uint8_t key[8];
  sb_error err;

  best.count = 0;
  example_must(sb_map_each(counts[subtask], window_entry, &best, &err), &err);
  example_must(sb_map_clear(counts[subtask], &err), &err);
  example_put(key, (uint64_t)end);
  example_namespace(e, subtask, sb_slice_of("", 0));
  example_must(sb_map_put(tops[subtask], sb_slice_of(key, sizeof key),
                          top_text(&best, text, sizeof text), &err), &err);
}

static void
states_watermark(example *e, int64_t watermark_ms)
{
  sb_timer timer;
  sb_error err;
  uint32_t i;

  for (i = 0; i < e->subtasks; i++) {
    sb_status status;

    while ((status = sb_timers_poll(windows[i], watermark_ms, &timer,
                                    &err)) == SB_OK)
      window_evaluate(e, i, timer.time_ms + 1);
    if (status != SB_END)
      example_must(status, &err);
  }
}

/* ---- the same in memory ------------------------------------------------- */

typedef struct plain_hit {
  const example_line *line;
  int64_t end;
} plain_hit;

static int
plain_window_order(const plain_hit *a, const plain_hit *b)
{
  int order = strcmp(a->line->status, b->line->status);

  return order != 0 ? order : (a->end > b->end) - (a->end < b->end);
}

static int
plain_order(const void *a, const void *b)
{
  const plain_hit *x = a, *y = b;
  int order = plain_window_order(x, y);

  return order != 0 ? order : example_compare(x->line->path, y->line->path);
}

/* Every hit as often as there are windows that it is in and not late for. */
static plain_hit *
plain_hits(const example *e, size_t *count)
{
  plain_hit *hits = example_memory(e->line_count * (SIZE_MS / SLIDE_MS) *
                                   sizeof *hits);
  int64_t newest = 0, end;
  size_t i, n = 0;
  int w;

  for (i = 0; i < e->line_count; i++) {
    const example_line *line = &e->lines[i];

    if (line->status[0] == '\0')
      continue;
    end = window_first_end(line->time_ms);
    for (w = 0; w < SIZE_MS / SLIDE_MS; w++, end += SLIDE_MS)
      if (end - 1 > newest - EXAMPLE_LATENESS_MS)
        hits[n++] = (plain_hit){ line, end };
    newest = line->time_ms > newest ? line->time_ms : newest;
  }
  qsort(hits, n, sizeof *hits, plain_order);
  *count = n;
  return hits;
}

static int
window_is(example *e, const plain_hit *window, const top *best)
{
  static char text[TOP * (PATH_MAX_LEN + 32)];
  uint32_t subtask = example_key(e, sb_slice_of(window->line->status, 3));
  sb_slice want = top_text(best, text, sizeof text), have;
  uint8_t key[8];
  sb_error err;

  example_put(key, (uint64_t)window->end);
  example_namespace(e, subtask, sb_slice_of("", 0));
  return sb_map_get(tops[subtask], sb_slice_of(key, sizeof key), &have,
                    &err) == SB_OK &&
         example_compare(want, have) == 0;
}

static int
states_verify(example *e)
{
  static top best;
  size_t count, first, at, next;
  uint64_t all = 0, wrong = 0;
  plain_hit *hits = plain_hits(e, &count);

  for (first = 0; first < count; first = at) {
    best.count = 0;
    for (at = first;
         at < count && plain_window_order(&hits[first], &hits[at]) == 0;
         at = next) {
      for (next = at + 1;
           next < count && plain_order(&hits[at], &hits[next]) == 0;)
        next++;
      top_offer(&best, hits[at].line->path, next - at);
    }
    all++;
    wrong += !window_is(e, &hits[first], &best);
  }
  free(hits);
  (void)printf("windows=%" PRIu64 "\nwrong=%" PRIu64 "\n", all, wrong);
  return all != 0 && wrong == 0 && example_rows(e, "tops") == all &&
         example_rows(e, "counts") == 0;
}

int
main(int argc, char **argv)
{
  example e;

  example_open(&e, "top_paths", argc, argv);
  example_input(&e);
  states_open(&e);
  while (e.position < e.line_count) {
    const example_line *line = &e.lines[e.position];

    states_watermark(&e, example_watermark(&e));
    if (line->status[0] != '\0')
      states_hit(&e, line);
    example_step(&e, line->time_ms);
  }
  states_watermark(&e, INT64_MAX);
  example_finish(&e);
  return example_close(&e, states_verify(&e));
}
