/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join: two streams, orders and payments, joined by customer where they are
 * at most a minute apart.
 *
 *   orders, payments  map: time and number -> details; each entry lives as
 *                     long as something of the other stream may still match
 *   matches           reducing: how many, and a sum over all pairs
 *
 * Nothing removes old entries: they expire by event time, nobody sees them any
 * more, and their space comes back.
 *
 * The input is made up; every run has the same one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "example.h"

#define EVENTS 20000u
#define CUSTOMERS 300u
#define STEP_MS 250
#define WITHIN_MS 60000
#define BEGIN_MS INT64_C(1600000000000)
#define DETAILS_LEN 96u

typedef struct event {
  uint64_t number;
  uint32_t side;     /* 0: an order, 1: a payment */
  uint32_t customer;
  int64_t time_ms;
} event;

static const char *const side_names[2] = { "orders", "payments" };
static sb_map *sides[EXAMPLE_SUBTASKS][2];
static sb_reducing *matches[EXAMPLE_SUBTASKS];

/* A scrambled number: different ones for different inputs. */
static uint64_t
scramble(uint64_t x)
{
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

/* Out of order by less than the watermark trails. */
static event
event_at(uint64_t number)
{
  uint64_t random = scramble(number + 1);
  event v = { .number = number };

  v.side = (uint32_t)(random & 1);
  v.customer = (uint32_t)(random >> 8) % CUSTOMERS;
  v.time_ms = BEGIN_MS + (int64_t)number * STEP_MS -
              (int64_t)(random >> 40) % (EXAMPLE_LATENESS_MS / 2);
  return v;
}

/* What a pair of an order and a payment adds to the sum. */
static uint64_t
pair_sum(uint64_t order, uint64_t payment)
{
  return scramble(order * EVENTS + payment);
}

/* The watermark was at most the lateness behind when an entry was written, and
   what matches comes before it is a minute past the entry. */
static void
states_open(example *e)
{
  sb_state_spec side = { .struct_size = sizeof side };
  sb_state_spec sum = { .struct_size = sizeof sum };
  sb_error err;
  uint32_t i, s;

  side.ttl_ms = WITHIN_MS + EXAMPLE_LATENESS_MS;
  side.ttl_time = SB_TTL_EVENT;
  side.cleanup_per_access = 4;
  sum.name = "matches";
  sum.fold = example_sum;
  for (i = 0; i < e->subtasks; i++) {
    for (s = 0; s < 2; s++) {
      side.name = side_names[s];
      example_must(sb_map_open_spec(e->contexts[i], &side, &sides[i][s],
                                    &err), &err);
    }
    example_must(sb_reducing_open_spec(e->contexts[i], &sum, &matches[i],
                                       &err), &err);
  }
}

static void
states_time(example *e, int64_t time_ms)
{
  sb_error err;
  uint32_t i;

  for (i = 0; i < e->subtasks; i++)
    example_must(sb_context_set_time(e->contexts[i], time_ms, &err), &err);
}

static sb_slice
customer_key(uint32_t customer, char *text, size_t size)
{
  int len = snprintf(text, size, "customer %u", (unsigned)customer);

  return sb_slice_of(text, (size_t)len);
}

/* ---- joining ------------------------------------------------------------ */

typedef struct probe {
  const event *event;
  uint64_t count, sum;
} probe;

/* In the order of time: nothing behind the first that is too late matches. */
static int
probe_entry(void *arg, sb_slice subkey, sb_slice details)
{
  probe *p = arg;
  int64_t time_ms = (int64_t)example_get(subkey.data);
  uint64_t other = example_get((const uint8_t *)subkey.data + 8);

  (void)details;
  if (time_ms > p->event->time_ms + WITHIN_MS)
    return 1;
  if (time_ms < p->event->time_ms - WITHIN_MS)
    return 0;
  p->count++;
  p->sum += p->event->side == 0 ? pair_sum(p->event->number, other)
                                : pair_sum(other, p->event->number);
  return 0;
}

/* Bytes that no compression makes smaller. */
static void
details_of(const event *v, uint8_t *details)
{
  size_t i;

  for (i = 0; i < DETAILS_LEN; i += 8)
    example_put(details + i, scramble(v->number * DETAILS_LEN + i + 1));
}

static void
states_event(example *e, const event *v)
{
  char name[32];
  uint8_t details[DETAILS_LEN];
  uint32_t subtask = example_key(e, customer_key(v->customer, name,
                                                 sizeof name));
  probe found = { .event = v };
  uint8_t subkey[16], sum[16];
  sb_error err;

  example_must(sb_map_each(sides[subtask][!v->side], probe_entry, &found,
                           &err), &err);
  example_put(subkey, (uint64_t)v->time_ms);
  example_put(subkey + 8, v->number);
  details_of(v, details);
  example_must(sb_map_put(sides[subtask][v->side], sb_slice_of(subkey, 16),
                          sb_slice_of(details, sizeof details), &err), &err);
  if (found.count == 0)
    return;
  example_put(sum, found.count);
  example_put(sum + 8, found.sum);
  example_must(sb_reducing_add(matches[subtask], sb_slice_of(sum, 16), &err),
               &err);
}

/* ---- the same in memory ------------------------------------------------- */

static int
plain_order(const void *a, const void *b)
{
  const event *x = a, *y = b;

  if (x->customer != y->customer)
    return x->customer > y->customer ? 1 : -1;
  return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

/* All pairs of events first to last - 1, one customer's in order of time. */
static void
plain_pairs(const event *events, size_t first, size_t last, uint64_t *count,
            uint64_t *sum)
{
  size_t a, b;

  *count = *sum = 0;
  for (a = first; a < last; a++)
    for (b = a + 1; b < last &&
                    events[b].time_ms <= events[a].time_ms + WITHIN_MS; b++) {
      if (events[a].side == events[b].side)
        continue;
      ++*count;
      *sum += events[a].side == 0
                ? pair_sum(events[a].number, events[b].number)
                : pair_sum(events[b].number, events[a].number);
    }
}

static int
customer_is(example *e, uint32_t customer, uint64_t count, uint64_t sum)
{
  char name[32];
  uint32_t subtask = example_key(e, customer_key(customer, name,
                                                 sizeof name));
  sb_slice value;
  sb_error err;
  sb_status status = sb_reducing_get(matches[subtask], &value, &err);

  if (count == 0)
    return status == SB_NOT_FOUND;
  return status == SB_OK && example_get(value.data) == count &&
         example_get((const uint8_t *)value.data + 8) == sum;
}

static int
matches_verify(example *e)
{
  event *events = example_memory(EVENTS * sizeof *events);
  uint64_t all = 0, wrong = 0, count, sum;
  size_t i, first, last;

  for (i = 0; i < EVENTS; i++)
    events[i] = event_at(i);
  qsort(events, EVENTS, sizeof *events, plain_order);
  for (first = 0; first < EVENTS; first = last) {
    for (last = first + 1;
         last < EVENTS && events[last].customer == events[first].customer;)
      last++;
    plain_pairs(events, first, last, &count, &sum);
    all += count;
    wrong += !customer_is(e, events[first].customer, count, sum);
  }
  free(events);
  (void)printf("matches=%" PRIu64 "\nwrong=%" PRIu64 "\n", all, wrong);
  return all != 0 && wrong == 0;
}

int
main(int argc, char **argv)
{
  uint64_t stored, left;
  example e;
  int exact;

  example_open(&e, "join", argc, argv);
  states_open(&e);
  states_time(&e, e.newest_ms == 0 ? BEGIN_MS - EXAMPLE_LATENESS_MS
                                   : example_watermark(&e));
  while (e.position < EVENTS) {
    event v = event_at(e.position);

    states_event(&e, &v);
    example_step(&e, v.time_ms);
    states_time(&e, example_watermark(&e));
  }
  example_finish(&e);
  exact = matches_verify(&e);
  stored = EVENTS * (uint64_t)(DETAILS_LEN + 16);
  (void)printf("bytes_put=%" PRIu64 "\nbytes_kept=%" PRIu64 "\n", stored,
               example_segment_bytes(&e));
  states_time(&e, e.newest_ms + WITHIN_MS + 2 * EXAMPLE_LATENESS_MS);
  left = example_rows(&e, "orders") + example_rows(&e, "payments");
  (void)printf("entries_left=%" PRIu64 "\n", left);
  return example_close(&e, exact && left == 0);
}
