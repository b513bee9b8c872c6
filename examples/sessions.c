/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions: visits to a web site. A client's hits belong to one session as
 * long as less than half an hour lies between two of them.
 *
 *   totals   reducing, a namespace each session: hits and bytes
 *   open     map: start -> end of the client's sessions that are not over
 *   ends     timers: when the watermark has passed a session, it is closed
 *   closed   list: start, end, hits, bytes of those that are
 *
 * Each hit is a session at first, then all that overlap become one: their
 * namespaces are merged into that of the longer session. Hits behind the
 * watermark are left out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "example.h"

#define GAP_MS 1800000
#define OPEN_MAX 16u   /* sessions of one client that are not over */
#define CLOSED_LEN 32u

typedef struct session {
  int64_t start_ms, end_ms;
} session;

static sb_reducing *totals[EXAMPLE_SUBTASKS];
static sb_map *opened[EXAMPLE_SUBTASKS];
static sb_list *closed[EXAMPLE_SUBTASKS];
static sb_timers *ends[EXAMPLE_SUBTASKS];

static void
states_open(example *e)
{
  sb_state_spec spec = { .struct_size = sizeof spec };
  sb_error err;
  uint32_t i;

  spec.name = "totals";
  spec.fold = example_sum;
  for (i = 0; i < e->subtasks; i++) {
    sb_context *context = e->contexts[i];

    example_must(sb_reducing_open_spec(context, &spec, &totals[i], &err),
                 &err);
    example_must(sb_map_open(context, "open", &opened[i], &err), &err);
    example_must(sb_list_open(context, "closed", &closed[i], &err), &err);
    example_must(sb_timers_open(context, "ends", &ends[i], &err), &err);
  }
}

/* ---- merging ------------------------------------------------------------ */

/* The namespace of a session. */
static sb_slice
session_namespace(const session *s, uint8_t *bytes)
{
  example_put(bytes, (uint64_t)s->start_ms);
  example_put(bytes + 8, (uint64_t)s->end_ms);
  return sb_slice_of(bytes, 16);
}

typedef struct overlap {
  session all;               /* the hit's, then the one that covers all */
  session found[OPEN_MAX];
  size_t count;
} overlap;

static int
overlap_entry(void *arg, sb_slice start, sb_slice end)
{
  overlap *o = arg;
  session s = { (int64_t)example_get(start.data),
                (int64_t)example_get(end.data) };

  if (s.start_ms >= o->all.end_ms || o->all.start_ms >= s.end_ms ||
      o->count == OPEN_MAX)
    return 0;
  o->found[o->count++] = s;
  if (s.start_ms < o->all.start_ms)
    o->all.start_ms = s.start_ms;
  if (s.end_ms > o->all.end_ms)
    o->all.end_ms = s.end_ms;
  return 0;
}

/* Timers are of a namespace, open sessions of none. */
static void
session_forget(example *e, uint32_t subtask, const session *s)
{
  uint8_t bytes[16];
  sb_error err;

  example_namespace(e, subtask, session_namespace(s, bytes));
  example_must(sb_timers_remove(ends[subtask], s->end_ms - 1, &err), &err);
  example_namespace(e, subtask, sb_slice_of("", 0));
  example_must(sb_map_remove(opened[subtask], sb_slice_of(bytes, 8), &err),
               &err);
}

static void
session_keep(example *e, uint32_t subtask, const session *s)
{
  uint8_t bytes[16];
  sb_error err;

  example_namespace(e, subtask, sb_slice_of("", 0));
  (void)session_namespace(s, bytes);
  example_must(sb_map_put(opened[subtask], sb_slice_of(bytes, 8),
                          sb_slice_of(bytes + 8, 8), &err), &err);
  example_namespace(e, subtask, sb_slice_of(bytes, 16));
  example_must(sb_timers_add(ends[subtask], s->end_ms - 1, &err), &err);
}

/* Makes what overlaps one session, whose namespace is then current. */
static void
sessions_merge(example *e, uint32_t subtask, const overlap *o)
{
  uint8_t target[16], bytes[OPEN_MAX][16];
  sb_slice sources[OPEN_MAX];
  size_t i, count = 0;
  sb_error err;

  for (i = 0; i < o->count; i++) {
    if (memcmp(&o->found[i], &o->all, sizeof o->all) == 0)
      continue;
    session_forget(e, subtask, &o->found[i]);
    sources[count] = session_namespace(&o->found[i], bytes[count]);
    count++;
  }
  session_keep(e, subtask, &o->all);
  if (count != 0)
    example_must(sb_reducing_merge(totals[subtask],
                                   session_namespace(&o->all, target),
                                   sources, count, &err), &err);
}

static void
states_hit(example *e, const example_line *line)
{
  uint32_t subtask = example_key(e, line->address);
  overlap o = { .all = { line->time_ms, line->time_ms + GAP_MS } };
  uint8_t value[16];
  sb_error err;

  example_namespace(e, subtask, sb_slice_of("", 0));
  example_must(sb_map_each(opened[subtask], overlap_entry, &o, &err), &err);
  sessions_merge(e, subtask, &o);
  example_put(value, 1);
  example_put(value + 8, line->bytes);
  example_must(sb_reducing_add(totals[subtask], sb_slice_of(value, 16), &err),
               &err);
}

/* ---- the end of a session ----------------------------------------------- */

/* The timer made the client and the session's namespace current. */
static void
session_close(example *e, uint32_t subtask)
{
  uint8_t row[CLOSED_LEN];
  sb_slice ns = sb_context_namespace(e->contexts[subtask]), value;
  sb_error err;

  memcpy(row, ns.data, 16);
  example_must(sb_reducing_get(totals[subtask], &value, &err), &err);
  memcpy(row + 16, value.data, 16);
  example_must(sb_reducing_clear(totals[subtask], &err), &err);
  example_namespace(e, subtask, sb_slice_of("", 0));
  example_must(sb_map_remove(opened[subtask], sb_slice_of(row, 8), &err),
               &err);
  example_must(sb_list_add(closed[subtask], sb_slice_of(row, sizeof row),
                           &err), &err);
}

static void
states_watermark(example *e, int64_t watermark_ms)
{
  sb_timer timer;
  sb_error err;
  uint32_t i;

  for (i = 0; i < e->subtasks; i++) {
    sb_status status;

    while ((status = sb_timers_poll(ends[i], watermark_ms, &timer, &err)) ==
           SB_OK)
      session_close(e, i);
    if (status != SB_END)
      example_must(status, &err);
  }
}

/* ---- the same in memory ------------------------------------------------- */

static int
plain_order(const void *a, const void *b)
{
  const example_line *x = *(const example_line *const *)a;
  const example_line *y = *(const example_line *const *)b;
  int order = example_compare(x->address, y->address);

  return order != 0 ? order
                    : (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static const example_line **
plain_hits(const example *e, size_t *count)
{
  const example_line **hits = example_memory(e->line_count * sizeof *hits);
  int64_t newest = 0;
  size_t i, n = 0;

  for (i = 0; i < e->line_count; i++) {
    const example_line *line = &e->lines[i];

    if (line->status[0] == '\0')
      continue;
    if (line->time_ms > newest - EXAMPLE_LATENESS_MS)
      hits[n++] = line;
    newest = line->time_ms > newest ? line->time_ms : newest;
  }
  qsort(hits, n, sizeof *hits, plain_order);
  *count = n;
  return hits;
}

/* The hits from `first` on that are one session; returns where it ends. */
static size_t
plain_session(const example_line **hits, size_t first, size_t count,
              uint8_t *row)
{
  session s = { hits[first]->time_ms, hits[first]->time_ms + GAP_MS };
  uint64_t bytes = 0;
  size_t at;

  for (at = first;
       at < count && hits[at]->time_ms < s.end_ms &&
       example_compare(hits[at]->address, hits[first]->address) == 0; at++) {
    s.end_ms = hits[at]->time_ms + GAP_MS;
    bytes += hits[at]->bytes;
  }
  (void)session_namespace(&s, row);
  example_put(row + 16, at - first);
  example_put(row + 24, bytes);
  return at;
}

/* What a client's list has behind the sessions that were compared before. */
static int
session_is_next(example *e, sb_slice address, sb_slice *rest, int first,
                sb_slice row)
{
  sb_slice element;
  sb_error err;

  if (first) {
    uint32_t subtask = example_key(e, address);

    example_namespace(e, subtask, sb_slice_of("", 0));
    if (sb_list_get(closed[subtask], rest, &err) != SB_OK)
      *rest = sb_slice_of("", 0);
  }
  return sb_list_element(rest, &element) &&
         example_compare(element, row) == 0;
}

static int
states_verify(example *e)
{
  uint8_t row[CLOSED_LEN];
  sb_slice rest = sb_slice_of("", 0);
  uint64_t all = 0, wrong = 0;
  size_t count, at, next;
  const example_line **hits = plain_hits(e, &count);

  for (at = 0; at < count; at = next) {
    int first = at == 0 || example_compare(hits[at - 1]->address,
                                           hits[at]->address) != 0;

    wrong += first && rest.len != 0;
    next = plain_session(hits, at, count, row);
    all++;
    wrong += !session_is_next(e, hits[at]->address, &rest, first,
                              sb_slice_of(row, sizeof row));
  }
  wrong += rest.len != 0;
  free(hits);
  (void)printf("sessions=%" PRIu64 "\nwrong=%" PRIu64 "\n", all, wrong);
  return all != 0 && wrong == 0 && example_rows(e, "totals") == 0 &&
         example_rows(e, "open") == 0;
}

int
main(int argc, char **argv)
{
  example e;

  example_open(&e, "sessions", argc, argv);
  example_input(&e);
  states_open(&e);
  while (e.position < e.line_count) {
    const example_line *line = &e.lines[e.position];

    states_watermark(&e, example_watermark(&e));
    if (line->status[0] != '\0' && line->time_ms > example_watermark(&e))
      states_hit(&e, line);
    example_step(&e, line->time_ms);
  }
  states_watermark(&e, INT64_MAX);
  example_finish(&e);
  return example_close(&e, states_verify(&e));
}
