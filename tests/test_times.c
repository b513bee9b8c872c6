/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of a segment's times: how much of it is dead is told well
 * enough for all kinds of times, exactly where that decides, and never too
 * much for what is not known.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "host/engine/times.h"
#include "tests/memstore.h"
#include "tests/tap.h"

#define COUNT 5000u

static memhost host;
static rule list[100];
static rules all = { list, 0 };
static times_counter *counter;
static uint8_t value[64];

static void
begin(size_t states)
{
  size_t i;

  memhost_init(&host, 1);
  memset(list, 0, sizeof list);
  for (i = 0; i < states; i++) {
    list[i].state = (uint32_t)(i * 3 + 1);
    list[i].kind = SB_STATE_VALUE;
  }
  all.count = states;
  CU_ASSERT_FATAL(times_counter_new(&host.host, &all, &counter) == SB_OK);
}

static void
finish(void)
{
  times_counter_free(counter);
  CU_ASSERT(host.live == 0);
}

static void
count(uint32_t state, uint16_t flags, uint64_t expires_ms, size_t len)
{
  record r = { .state = state, .flags = flags, .expires_ms = expires_ms };

  r.key = sb_slice_of("0123456789abcdef", 16);
  r.value = sb_slice_of(value, len);
  times_count(counter, &r);
}

static times_sum
judge(buf *bytes)
{
  times_sum sum;

  CU_ASSERT(times_valid(sb_slice_of(bytes->data, bytes->len)));
  times_add_up(sb_slice_of(bytes->data, bytes->len), &all, &sum);
  return sum;
}

static unsigned
dead_percent(buf *bytes)
{
  times_sum sum = judge(bytes);

  return (unsigned)(sum.dead * 100 / sum.bytes);
}

static void
begin_bytes(buf *bytes)
{
  buf_init(bytes, &host.host, 65536);
  times_finish(counter, bytes);
  CU_ASSERT(bytes->status == SB_OK);
}

static void
test_ends(void)
{
  unsigned i, at, told;
  buf bytes;

  begin(1);
  for (i = 0; i < COUNT; i++) /* in the order of hashes: none */
    count(1, 0, 1000 + i * 2654435761u % 1000, 40);
  begin_bytes(&bytes);
  for (at = 0; at <= 100; at += 10) {
    list[0].now_ms = 1000 + at * 10;
    told = dead_percent(&bytes);
    CU_ASSERT(told + 5 >= at && told <= at + 5);
  }
  list[0].now_ms = 1998;
  CU_ASSERT(judge(&bytes).all_dead == 0);
  list[0].now_ms = 1999;
  CU_ASSERT(judge(&bytes).all_dead == 1);
  list[0].now_ms = 999;
  CU_ASSERT(judge(&bytes).dead == 0);
  buf_dispose(&bytes);
  finish();
}

/* Two waves, far apart: halfway between them half is dead. */
static void
test_waves(void)
{
  unsigned i;
  buf bytes;

  begin(1);
  for (i = 0; i < COUNT; i++)
    count(1, 0, i % 2 == 0 ? 1000 : 1000000000, 40);
  begin_bytes(&bytes);
  list[0].now_ms = 2000;
  CU_ASSERT(dead_percent(&bytes) >= 42 && dead_percent(&bytes) <= 58);
  list[0].now_ms = 900000000;
  CU_ASSERT(dead_percent(&bytes) >= 42 && dead_percent(&bytes) <= 58);
  buf_dispose(&bytes);
  finish();
}

static void
test_stamps(void)
{
  unsigned i;
  buf bytes;

  begin(1);
  list[0].time_kind = SB_TIME_STAMP;
  for (i = 0; i < 100; i++)
    count(1, 0, 5000, 40);
  begin_bytes(&bytes);
  list[0].now_ms = 1000000;
  CU_ASSERT(judge(&bytes).dead == 0 && !judge(&bytes).all_dead);
  list[0].ttl_ms = 995000;
  CU_ASSERT(judge(&bytes).all_dead == 1 && dead_percent(&bytes) == 100);
  list[0].ttl_ms++;
  CU_ASSERT(judge(&bytes).all_dead == 0 && dead_percent(&bytes) == 0);
  list[0].ttl_ms = 2000000; /* more than now */
  CU_ASSERT(judge(&bytes).dead == 0 && !judge(&bytes).all_dead);
  /* Times of another kind say nothing. */
  list[0].ttl_ms = 1;
  list[0].time_kind = SB_TIME_EXPIRY;
  CU_ASSERT(judge(&bytes).dead == 0 && !judge(&bytes).all_dead);
  buf_dispose(&bytes);
  finish();
}

static void
stamp(uint64_t time, size_t at)
{
  unsigned i;

  for (i = 0; i < 8; i++)
    value[at + i] = (uint8_t)(time >> (56 - 8 * i));
}

static void
test_values(void)
{
  buf bytes;

  begin(1);
  list[0].time_kind = SB_TIME_VALUE;
  list[0].time_offset = 2;
  list[0].ttl_ms = 100;
  stamp(5000, 2);
  count(1, 0, 0, 10);
  begin_bytes(&bytes);
  list[0].now_ms = 5100;
  CU_ASSERT(judge(&bytes).all_dead);
  list[0].now_ms = 5099;
  CU_ASSERT(!judge(&bytes).all_dead);
  list[0].now_ms = 5100;
  list[0].time_offset = 3; /* was not counted for this one */
  CU_ASSERT(!judge(&bytes).all_dead && judge(&bytes).dead == 0);
  buf_dispose(&bytes);
  list[0].time_offset = 2;
  count(1, 0, 0, 10);
  count(1, 0, 0, 9); /* too short: never */
  begin_bytes(&bytes);
  CU_ASSERT(!judge(&bytes).all_dead);
  CU_ASSERT(dead_percent(&bytes) > 40 && dead_percent(&bytes) < 60);
  buf_dispose(&bytes);
  stamp(UINT64_MAX, 2); /* -1 */
  count(1, 0, 0, 10);
  begin_bytes(&bytes);
  CU_ASSERT(judge(&bytes).all_dead);
  buf_dispose(&bytes);
  finish();
}

/* Of a list each element has its own. */
static void
test_lists(void)
{
  record r = { .state = 1, .key = { "k", 1 } };
  uint8_t elements[24] = { 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10,
                           8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20 };
  buf bytes;

  begin(1);
  list[0].kind = SB_STATE_LIST;
  list[0].time_kind = SB_TIME_VALUE;
  list[0].ttl_ms = 100;
  r.value = sb_slice_of(elements, sizeof elements);
  times_count(counter, &r);
  begin_bytes(&bytes);
  list[0].now_ms = 119;
  CU_ASSERT(!judge(&bytes).all_dead && judge(&bytes).dead != 0);
  CU_ASSERT(!rule_expired(&list[0], &r));
  list[0].now_ms = 120;
  CU_ASSERT(judge(&bytes).all_dead);
  CU_ASSERT(rule_expired(&list[0], &r));
  CU_ASSERT(judge(&bytes).dead == judge(&bytes).bytes);
  buf_dispose(&bytes);
  finish();
}

/* What never expires, tombstones, dropped states, states nobody knows. */
static void
test_others(void)
{
  buf bytes;

  begin(2);
  count(1, 0, 1000, 40);
  count(1, RECORD_TOMBSTONE, 0, 0);
  begin_bytes(&bytes);
  list[0].now_ms = 1000;
  CU_ASSERT(judge(&bytes).all_dead); /* if it hides nothing */
  CU_ASSERT(judge(&bytes).dead < judge(&bytes).bytes);
  CU_ASSERT(times_may_have(sb_slice_of(bytes.data, bytes.len), 1));
  CU_ASSERT(!times_may_have(sb_slice_of(bytes.data, bytes.len), 4));
  CU_ASSERT(times_may_have(sb_slice_of(NULL, 0), 4));
  buf_dispose(&bytes);
  count(1, 0, 1000, 40);
  count(4, 0, 0, 40);
  begin_bytes(&bytes);
  CU_ASSERT(!judge(&bytes).all_dead);
  CU_ASSERT(dead_percent(&bytes) == 50);
  list[1].dropped_epoch = 7;
  CU_ASSERT(judge(&bytes).all_dead && dead_percent(&bytes) == 100);
  all.count = 1;
  CU_ASSERT(!judge(&bytes).all_dead && dead_percent(&bytes) == 50);
  all.count = 2;
  buf_dispose(&bytes);
  CU_ASSERT(times_valid(sb_slice_of(NULL, 0)));
  finish();
}

/* Of very many states the largest are listed, so nothing is certain. */
static void
test_many(void)
{
  unsigned i, j;
  buf bytes;

  begin(100);
  for (i = 0; i < 100; i++)
    for (j = 0; j <= i / 10; j++)
      count(list[i].state, 0, 1000, 40);
  begin_bytes(&bytes);
  for (i = 0; i < 100; i++)
    list[i].now_ms = 1000;
  CU_ASSERT(!judge(&bytes).all_dead && dead_percent(&bytes) == 100);
  CU_ASSERT(!times_complete(sb_slice_of(bytes.data, bytes.len)));
  CU_ASSERT(times_may_have(sb_slice_of(bytes.data, bytes.len), 1));
  buf_dispose(&bytes);
  for (i = 0; i < 100; i++) /* all alike */
    count(list[i].state, 0, 1000, 40);
  begin_bytes(&bytes);
  CU_ASSERT(bytes.len != 0 && !judge(&bytes).all_dead);
  CU_ASSERT(dead_percent(&bytes) == 100);
  buf_dispose(&bytes);
  for (i = 0; i < 64; i++)
    count(list[i].state, 0, 1000, 40);
  begin_bytes(&bytes);
  CU_ASSERT(judge(&bytes).all_dead);
  buf_dispose(&bytes);
  finish();
}

/* Each allocation fails once: the result is coarser or none, never wrong. */
static void
test_no_memory(void)
{
  times_sum sum;
  unsigned n, i;
  buf bytes;

  for (n = 1;; n++) {
    memhost_init(&host, 1);
    memset(list, 0, sizeof list);
    all.count = 1;
    host.fail_at = n;
    list[0].now_ms = 1500;
    buf_init(&bytes, &host.host, 65536);
    if (times_counter_new(&host.host, &all, &counter) == SB_OK) {
      for (i = 0; i < 100; i++)
        count(0, 0, 1000 + 10 * i, 40);
      times_finish(counter, &bytes);
      if (bytes.status == SB_OK) {
        CU_ASSERT(times_valid(sb_slice_of(bytes.data, bytes.len)));
        times_add_up(sb_slice_of(bytes.data, bytes.len), &all, &sum);
        CU_ASSERT(!sum.all_dead && sum.dead * 100 / sum.bytes > 40 &&
                  sum.dead * 100 / sum.bytes < 60);
      }
      times_counter_free(counter);
    }
    buf_dispose(&bytes);
    CU_ASSERT(host.live == 0);
    if (host.allocations < n)
      break;
  }
  CU_ASSERT(n > 3);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "ends", test_ends },
    { "two waves", test_waves },
    { "stamps", test_stamps },
    { "times in values", test_values },
    { "times in elements", test_lists },
    { "what does not expire", test_others },
    { "many states", test_many },
    { "no memory", test_no_memory },
  };
  static const tap_suite suites[] = { { "times", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
