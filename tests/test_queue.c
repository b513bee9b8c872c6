/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues over the engine against a sorted array, with crashes, restores and
 * rescales; what they cost in reads of the store and in memory; bad use; and
 * failing allocations.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "faulty_host.h"

/* ---- the model ---------------------------------------------------------- */

#define ELEMENT_MAX 12
#define MODEL_MAX 6000

typedef struct element {
  uint8_t bytes[ELEMENT_MAX];
  uint32_t len, group;
} element;

typedef struct model {
  element list[MODEL_MAX]; /* in the queue's order */
  size_t count;
} model;

static model now, saved, viewed, seen;
static uint64_t seed;
static int ranked;

static uint32_t
below(uint32_t bound)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % bound;
}

/* Against the bytes' order, so that it cannot pass for it. */
static sb_status
rank(void *arg, sb_slice bytes, sb_give_fn *give, void *give_arg)
{
  const uint8_t *p = bytes.data;
  uint8_t first[2];

  (void)arg;
  first[0] = (uint8_t)(255 - p[1]);
  first[1] = p[0];
  return give(give_arg, first, sizeof first);
}

static sb_status
rank_bytes(void *arg, const void *data, size_t len)
{
  memcpy(arg, data, len);
  return SB_OK;
}

static sb_slice
bytes_of(const element *e)
{
  return sb_slice_of(e->bytes, e->len);
}

static int
slices(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = memcmp(a.data, b.data, n);

  return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int
compare(const element *a, const element *b)
{
  uint8_t x[2], y[2];
  int c = 0;

  if (ranked) {
    rank(NULL, bytes_of(a), rank_bytes, x);
    rank(NULL, bytes_of(b), rank_bytes, y);
    c = memcmp(x, y, 2);
    if (c == 0 && a->group != b->group)
      return a->group < b->group ? -1 : 1;
  }
  if (c == 0)
    c = slices(bytes_of(a), bytes_of(b));
  return c != 0 ? c : (a->group > b->group) - (a->group < b->group);
}

static size_t
model_find(const element *e)
{
  size_t low = 0, high = now.count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (compare(&now.list[middle], e) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
model_has(const element *e)
{
  size_t i = model_find(e);

  return i < now.count && compare(&now.list[i], e) == 0;
}

static void
model_add(const element *e)
{
  size_t i = model_find(e);

  if (model_has(e))
    return;
  memmove(now.list + i + 1, now.list + i, (now.count++ - i) * sizeof *e);
  now.list[i] = *e;
}

static void
model_remove(const element *e)
{
  size_t i = model_find(e);

  if (model_has(e))
    memmove(now.list + i, now.list + i + 1, (--now.count - i) * sizeof *e);
}

/* ---- a life ------------------------------------------------------------- */

static sb_keyed *keyed;
static sb_queue *queue;
static uint32_t state, first_group, last_group;
static uint64_t checkpoint_id;
static int have_saved;
static uint32_t clock_now; /* what has been polled up to, about */

static void
open_queue_on(const sb_host *host, uint32_t first, uint32_t last)
{
  sb_state_options so = { .struct_size = sizeof so };
  sb_queue_options o = { .struct_size = sizeof o };
  sb_state_info info = { .struct_size = sizeof info };

  so.kind = SB_STATE_TIMER;
  so.name = text("queue");
  o.state = &so;
  o.key_group_first = first_group = first;
  o.key_group_last = last_group = last;
  o.memory = 4096;
  if (ranked) {
    o.rank = rank;
    o.rank_len = 2;
  }
  if (!check_ok(sb_queue_open(keyed, host, &o, &info, &queue, &err)))
    exit(1);
  state = info.id;
}

static void
open_queue(uint32_t first, uint32_t last)
{
  open_queue_on(sb_host_default(), first, last);
}

static element
random_element(void)
{
  uint32_t time = clock_now + below(300), i;
  element e;

  if (below(8) == 0)
    time -= below(200); /* late */
  memset(&e, 0, sizeof e);
  e.bytes[0] = (uint8_t)(time >> 16);
  e.bytes[1] = (uint8_t)(time >> 8);
  e.bytes[2] = (uint8_t)time;
  e.len = 3 + below(4);
  for (i = 3; i < e.len; i++)
    e.bytes[i] = (uint8_t)below(2);
  e.group = first_group + below(last_group - first_group + 1);
  return e;
}

static element
some_element(void)
{
  return now.count != 0 && below(2) == 0
           ? now.list[below((uint32_t)now.count)] : random_element();
}

static int
same_element(const sb_queue_element *got, const element *want)
{
  return got->key_group == want->group &&
         slices(got->bytes, bytes_of(want)) == 0;
}

static int
step_add(void)
{
  element e = some_element(), head = now.list[0];
  int had = now.count != 0, changed = 2, ask = (int)below(2);

  if (now.count == MODEL_MAX)
    return 0;
  if (!check_ok(sb_queue_add(queue, e.group, bytes_of(&e),
                             ask ? &changed : NULL, &err)))
    return 1;
  model_add(&e);
  return ask && changed != (!had || compare(&now.list[0], &head) != 0);
}

static int
step_remove(void)
{
  element e = some_element(), head = now.list[0];
  int had = now.count != 0, changed = 2, ask = (int)below(2);

  if (!check_ok(sb_queue_remove(queue, e.group, bytes_of(&e),
                                ask ? &changed : NULL, &err)))
    return 1;
  model_remove(&e);
  return ask && changed != (had && compare(&e, &head) == 0);
}

static int
is_due(const element *e, const uint8_t *until, size_t len)
{
  uint8_t record[ELEMENT_MAX + 2];
  size_t n = 0;

  if (ranked) {
    rank(NULL, bytes_of(e), rank_bytes, record);
    n = 2;
  }
  memcpy(record + n, e->bytes, e->len);
  n += e->len;
  return memcmp(record, until, n < len ? n : len) <= 0;
}

static size_t
random_until(uint8_t until[3])
{
  uint32_t time = clock_now + below(20);

  until[0] = (uint8_t)(ranked ? below(256) : time >> 16);
  until[1] = (uint8_t)(time >> 8);
  until[2] = (uint8_t)time;
  return ranked ? 2 : below(3) == 0 ? 2 : 3;
}

static int
step_poll(void)
{
  sb_queue_element got;
  uint8_t until[3];
  size_t len = random_until(until);
  sb_status status = sb_queue_poll(queue, sb_slice_of(until, len), &got, &err);

  if (now.count == 0 || !is_due(&now.list[0], until, len)) {
    clock_now += below(3);
    return status != SB_END;
  }
  if (!check_ok(status) || !same_element(&got, &now.list[0]))
    return 1;
  model_remove(&now.list[0]);
  return 0;
}

static int
step_poll_batch(void)
{
  sb_queue_element got[64];
  uint8_t until[3];
  size_t len = random_until(until), max = 1 + below(64), count = 0, i;
  sb_status status = sb_queue_poll_batch(queue, sb_slice_of(until, len), got,
                                         max, &count, &err);

  if (now.count == 0 || !is_due(&now.list[0], until, len))
    return status != SB_END;
  if (!check_ok(status))
    return 1;
  for (i = 0; i < count; i++)
    if (!same_element(&got[i], &now.list[i]) ||
        !is_due(&now.list[i], until, len))
      return 1;
  if (count < max && count < now.count &&
      is_due(&now.list[count], until, len))
    return 1;
  for (i = 0; i < count; i++)
    model_remove(&now.list[0]);
  return 0;
}

static int
step_peek(void)
{
  sb_queue_element got;
  sb_status status = sb_queue_peek(queue, &got, &err);
  uint64_t size = 0;
  int empty = 2;

  if (now.count == 0 ? status != SB_END
                     : status != SB_OK || !same_element(&got, &now.list[0]))
    return 1;
  return !check_ok(sb_queue_is_empty(queue, &empty, &err)) ||
         empty != (now.count == 0) ||
         !check_ok(sb_queue_size(queue, &size, &err)) || size != now.count;
}

/* By key group, then in order. */
static int
by_group(const void *a, const void *b)
{
  const element *x = a, *y = b;

  return x->group != y->group ? (x->group > y->group) - (x->group < y->group)
                              : compare(x, y);
}

static int
step_iterate(void)
{
  uint32_t first = first_group + below(last_group - first_group + 1);
  uint32_t last = first + below(last_group - first + 1);
  sb_queue_iterator *iterator;
  sb_queue_element got;
  sb_status status;
  size_t i = 0;
  int wrong = 0;

  seen = now;
  qsort(seen.list, seen.count, sizeof *seen.list, by_group);
  if (!check_ok(sb_queue_iterate(queue, first, last, &iterator, &err)))
    return 1;
  while (i < seen.count && seen.list[i].group < first)
    i++;
  while ((status = sb_queue_next(iterator, &got, &err)) == SB_OK)
    wrong += i >= seen.count || !same_element(&got, &seen.list[i++]);
  sb_queue_iterator_close(iterator);
  return wrong + (status != SB_END) +
         (i < seen.count && seen.list[i].group <= last);
}

/* One by its place in the handle, as queries do. */
static int
step_get(void)
{
  element e = some_element();
  uint8_t record[ELEMENT_MAX + 2];
  sb_key key = { .state = state, .key_group = e.group };
  sb_slice value;
  sb_status status;
  size_t n = 0;

  if (ranked) {
    rank(NULL, bytes_of(&e), rank_bytes, record);
    n = 2;
  }
  memcpy(record + n, e.bytes, e.len);
  key.key = sb_slice_of(record, n + e.len);
  status = keyed->ops->get(keyed, &key, &value, &err);
  return status != (model_has(&e) ? SB_OK : SB_NOT_FOUND);
}

static int
is_row(const sb_row *row, const element *e)
{
  size_t skip = ranked ? 2 : 0;

  return row->key_group == e->group && row->key.len == e->len + skip &&
         memcmp((const char *)row->key.data + skip, e->bytes, e->len) == 0;
}

/* A view keeps what was there when it was opened. */
static int
check_view(sb_view *view)
{
  sb_scan_options o = { .struct_size = sizeof o };
  sb_view_cursor *cursor;
  sb_status status;
  size_t i = 0;
  element from;
  sb_row row;
  int wrong = 0;

  qsort(seen.list, seen.count, sizeof *seen.list, by_group);
  o.state = state;
  o.key_group_first = first_group;
  o.key_group_last = last_group;
  if (below(2) == 0 && !ranked) {
    from = random_element();
    o.key_group_first = o.key_group_last = from.group;
    o.start = bytes_of(&from);
    while (i < seen.count && by_group(&seen.list[i], &from) < 0)
      i++;
  }
  if (!check_ok(keyed->ops->view_scan_open(view, &o, &cursor, &err)))
    return 1;
  while ((status = keyed->ops->view_scan_next(cursor, &row, &err)) == SB_OK)
    wrong += i >= seen.count || !is_row(&row, &seen.list[i++]);
  keyed->ops->view_scan_close(cursor);
  return wrong + (status != SB_END) +
         (i < seen.count && seen.list[i].group <= o.key_group_last);
}

static int
step_random(void)
{
  uint32_t what = below(1000);

  if (what < 500)
    return step_add();
  if (what < 560)
    return step_remove();
  if (what < 840)
    return step_poll();
  if (what < 900)
    return step_poll_batch();
  if (what < 920)
    return step_peek();
  if (what < 930)
    return step_iterate();
  return step_get();
}

static int
step_view(void)
{
  sb_view *view;
  unsigned i, n = below(60);
  int wrong = 0;

  if (!check_ok(keyed->ops->view_open(keyed, &view, &err)))
    return 1;
  viewed = now;
  for (i = 0; i < n && wrong == 0; i++)
    wrong += step_random();
  seen = viewed;
  wrong += check_view(view);
  keyed->ops->view_close(view);
  return wrong;
}

/* A checkpoint that never comes about: what it froze is written out together
   with what comes after. */
static int
step_cancel(void)
{
  sb_snapshot *snapshot = begin_snapshot(keyed, ++checkpoint_id);
  unsigned i, n = below(60);
  int wrong = 0;

  for (i = 0; i < n && wrong == 0; i++)
    wrong += step_random();
  keyed->ops->snapshot_free(keyed, snapshot);
  return wrong;
}

/* Other state takes the memory. */
static int
step_crowd(void)
{
  static uint8_t value[65536];
  uint32_t other = add_state(keyed, "other", SB_STATE_VALUE), i;

  for (i = 0; i < 40; i++) {
    sb_key key = make_key(other, below(100));

    key.key_group = first_group + below(last_group - first_group + 1);
    if (!check_ok(keyed->ops->put(keyed, &key,
                                  sb_slice_of(value, sizeof value), 0, &err)))
      return 1;
  }
  return 0;
}

static void
save(void)
{
  checkpoint(++checkpoint_id, &keyed, 1);
  saved = now;
  have_saved = 1;
}

static void
crash(void)
{
  if (!have_saved)
    return;
  sb_queue_close(queue);
  keyed = reopen(keyed, 0);
  open_queue(0, groups - 1);
  now = saved;
}

static void
run(uint64_t from, uint32_t group_count, const char *memory, int with_rank,
    int steps)
{
  int i, wrong = 0;

  seed = from;
  ranked = with_rank;
  now.count = 0;
  clock_now = 1000;
  checkpoint_id = 0;
  have_saved = 0;
  open_backend(memory, group_count);
  keyed = open_all();
  open_queue(0, group_count - 1);
  for (i = 0; i < steps && wrong == 0; i++) {
    uint32_t what = below(1000);

    if (what < 4)
      save();
    else if (what < 5)
      crash();
    else if (what < 9)
      wrong += step_view();
    else if (what < 11)
      wrong += step_crowd();
    else if (what < 14)
      wrong += step_cancel();
    else
      wrong += step_random();
  }
  if (wrong != 0)
    tap_note("seed %" PRIu64 ", step %d, %zu elements", from, i, now.count);
  CU_ASSERT_EQUAL(wrong, 0);
  sb_queue_close(queue);
  keyed->ops->close(keyed);
  close_backend();
}

static void
test_model(void)
{
  const char *text_seed = getenv("SB_SEED");
  uint64_t from = text_seed == NULL ? 1 : strtoull(text_seed, NULL, 10), i;
  uint64_t lives = text_seed != NULL ? 1 : tap_is_slow() ? 2 : 8;
  int steps = tap_is_slow() ? 1000 : 4000;

  for (i = from; i < from + lives; i++)
    run(i, i % 3 == 0 ? 1 : 13, "4mb", i % 4 == 3, steps);
}

/* ---- fronts ------------------------------------------------------------- */

static element
numbered(uint32_t n, uint32_t group)
{
  element e = { .len = 8, .group = group };

  e.bytes[0] = (uint8_t)(n >> 24);
  e.bytes[1] = (uint8_t)(n >> 16);
  e.bytes[2] = (uint8_t)(n >> 8);
  e.bytes[3] = (uint8_t)n;
  memcpy(e.bytes + 4, &n, 4);
  return e;
}

static void
add_numbers(uint32_t first, uint32_t count, uint32_t group)
{
  uint32_t i;
  int failed = 0;

  for (i = 0; i < count; i++) {
    element e = numbered(first + i, group);

    failed += sb_queue_add(queue, group, bytes_of(&e), NULL, &err) != SB_OK;
  }
  CU_ASSERT_EQUAL(failed, 0);
}

/* Polls `count` numbers from `first` on. */
static void
poll_numbers(uint32_t first, uint32_t count)
{
  sb_queue_element got;
  uint32_t i, wrong = 0;

  for (i = 0; i < count && wrong == 0; i++) {
    element e = numbered(first + i, 0);

    wrong += sb_queue_poll(queue, sb_slice_of(NULL, 0), &got, &err) != SB_OK ||
             slices(got.bytes, bytes_of(&e)) != 0;
  }
  if (wrong != 0)
    tap_note("number %u of %u from %u on", i, count, first);
  CU_ASSERT_EQUAL(wrong, 0);
}

static uint32_t
first_row(uint32_t start, int by_view)
{
  sb_scan_options o = { .struct_size = sizeof o };
  element e = numbered(start, 0);
  uint32_t found = 0;
  sb_view_cursor *view_cursor;
  sb_cursor *cursor;
  sb_view *view;
  sb_row row;

  o.state = state;
  o.start = bytes_of(&e);
  memset(&row, 0, sizeof row);
  if (by_view) {
    check_ok(keyed->ops->view_open(keyed, &view, &err));
    check_ok(keyed->ops->view_scan_open(view, &o, &view_cursor, &err));
    check_ok(keyed->ops->view_scan_next(view_cursor, &row, &err));
  } else {
    check_ok(keyed->ops->scan_open(keyed, &o, &cursor, &err));
    check_ok(keyed->ops->scan_next(keyed, cursor, &row, &err));
  }
  if (row.key.len == 8)
    memcpy(&found, (const char *)row.key.data + 4, 4);
  if (by_view) {
    keyed->ops->view_scan_close(view_cursor);
    keyed->ops->view_close(view);
  } else {
    keyed->ops->scan_close(keyed, cursor);
  }
  return found;
}

static void
begin_plain(const char *memory, uint32_t group_count)
{
  ranked = 0;
  checkpoint_id = 0;
  begin_backend(memory, group_count);
  set("state.backend.segment.size", "1mb");
  finish_backend();
  keyed = open_all();
  open_queue(0, group_count - 1);
}

static void
end_plain(void)
{
  sb_queue_close(queue);
  keyed->ops->close(keyed);
  close_backend();
}

/* A run that has nothing but a front hides older ones from readers that begin
   behind all it has. */
static void
test_front_alone(void)
{
  begin_plain("4mb", 1);
  add_numbers(1, 1000, 0);
  checkpoint(1, &keyed, 1);
  poll_numbers(1, 600);
  CU_ASSERT_EQUAL(first_row(300, 0), 601);
  checkpoint(2, &keyed, 1);
  have_saved = 1;
  crash();
  CU_ASSERT_EQUAL(first_row(300, 0), 601);
  CU_ASSERT_EQUAL(first_row(300, 1), 601);
  CU_ASSERT_EQUAL(first_row(700, 1), 700);
  poll_numbers(601, 400);
  end_plain();
}

/* A front in one segment of a run does not hide what others of the run have. */
static void
test_front_same_run(void)
{
  uint32_t late = tap_is_slow() ? 60000 : 120000;

  begin_plain("32mb", 1);
  add_numbers(1000000, 100, 0);
  checkpoint(1, &keyed, 1);
  poll_numbers(1000000, 50);
  add_numbers(1, late, 0);
  checkpoint(2, &keyed, 1);
  have_saved = 1;
  crash();
  poll_numbers(1, late);
  poll_numbers(1000050, 50);
  end_plain();
}

/* Taking the first ones writes no tombstones, and what is gone is not read. */
static void
test_front_costs(void)
{
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  uint32_t n = tap_is_slow() ? 20000 : 60000;
  uint64_t flushed, reads;

  begin_plain("16mb", 1);
  add_numbers(1, n, 0);
  checkpoint(1, &keyed, 1);
  check_ok(keyed->ops->stats(keyed, &stats));
  flushed = stats.flushed_bytes;
  poll_numbers(1, n - 10);
  checkpoint(2, &keyed, 1);
  check_ok(keyed->ops->stats(keyed, &stats));
  CU_ASSERT(stats.flushed_bytes - flushed < 1000);
  have_saved = 1;
  crash();
  poll_numbers(n - 9, 10);
  check_ok(keyed->ops->stats(keyed, &stats));
  reads = stats.cold_reads;
  tap_note("%" PRIu64 " reads to find the last 10 of %u", reads, n);
  CU_ASSERT(reads < 12);
  end_plain();
}

/* ---- costs -------------------------------------------------------------- */

/* Timers of many key groups in several runs, after a restart: each block is
   read once while they fire, with others of its key group. */
static void
test_reads(void)
{
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  static sb_queue_element got[10000];
  uint32_t n = 40000, i, runs;
  size_t count, fired = 0;
  sb_status status;

  begin_plain("32mb", 16);
  for (runs = 0; runs < 3; runs++) {
    for (i = runs; i < n; i += 3)
      add_numbers(i * 7919 % n, 1, i % 16);
    checkpoint(runs + 1, &keyed, 1);
  }
  have_saved = 1;
  crash();
  while ((status = sb_queue_poll_batch(queue, sb_slice_of(NULL, 0), got,
                                       10000, &count, &err)) == SB_OK) {
    fired += count;
    check_ok(keyed->ops->stats(keyed, &stats));
    tap_note("%zu fired, %" PRIu64 " reads", fired, stats.cold_reads);
  }
  CU_ASSERT_EQUAL(status, SB_END);
  CU_ASSERT_EQUAL(fired, n);
  /* The index of each run, and in each of them what a key group has at once,
     which is less than 16 blocks of 4 KiB. */
  CU_ASSERT(stats.cold_reads <= 3 * (2 + 16));
  end_plain();
}

/* ---- rescale ------------------------------------------------------------ */

/* One handle becomes two and one again; each queue has its key groups only. */
static void
test_rescale(void)
{
  sb_keyed *two[2];
  sb_queue *queues[2];
  sb_queue_element got;
  sb_checkpoint *from;
  uint32_t i, n = 3000, wrong = 0;
  uint64_t size;

  begin_plain("8mb", 8);
  for (i = 0; i < n; i++)
    add_numbers(i, 1, i % 8);
  for (i = 0; i < 800; i++)
    wrong += sb_queue_poll(queue, sb_slice_of(NULL, 0), &got, &err) != SB_OK;
  checkpoint(1, &keyed, 1);
  sb_queue_close(queue);
  keyed->ops->close(keyed);
  from = newest();
  for (i = 0; i < 2; i++) {
    keyed = two[i] = open_range(i * 4, i * 4 + 3, from, 0);
    open_queue(i * 4, i * 4 + 3);
    queues[i] = queue;
    check_ok(sb_queue_size(queue, &size, &err));
    CU_ASSERT_EQUAL(size, (n - 800) / 2);
  }
  backend->ops->checkpoint_close(backend, from);
  CU_ASSERT_EQUAL(sb_queue_add(queues[0], 4, text("x"), NULL, &err),
                  SB_INVALID);
  for (i = 0; i < 400; i++)
    wrong += sb_queue_poll(queues[1], sb_slice_of(NULL, 0), &got, &err) !=
               SB_OK || got.key_group < 4;
  checkpoint(2, two, 2);
  for (i = 0; i < 2; i++) {
    sb_queue_close(queues[i]);
    two[i]->ops->close(two[i]);
  }
  from = newest();
  keyed = open_range(0, 7, from, 0);
  backend->ops->checkpoint_close(backend, from);
  open_queue(0, 7);
  check_ok(sb_queue_size(queue, &size, &err));
  CU_ASSERT_EQUAL(size, n - 1200);
  for (i = 800; i < n; i++) {
    element e = numbered(i, i % 8);

    if (i < 1600 && i % 8 >= 4)
      continue;
    wrong += sb_queue_poll(queue, sb_slice_of(NULL, 0), &got, &err) != SB_OK ||
             !same_element(&got, &e);
  }
  CU_ASSERT_EQUAL(wrong, 0);
  end_plain();
}

/* ---- bad use ------------------------------------------------------------ */

static sb_status
open_with(uint32_t kind, sb_rank_fn *fn, uint32_t rank_len, uint32_t last,
          sb_queue **out)
{
  sb_state_options so = { .struct_size = sizeof so };
  sb_queue_options o = { .struct_size = sizeof o };

  so.kind = kind;
  so.name = text("other");
  o.state = &so;
  o.key_group_last = last;
  o.rank = fn;
  o.rank_len = rank_len;
  return sb_queue_open(keyed, sb_host_default(), &o, NULL, out, &err);
}

static sb_status
rank_short(void *arg, sb_slice bytes, sb_give_fn *give, void *give_arg)
{
  (void)arg;
  return bytes.len > 4 ? SB_IO : give(give_arg, "xyz", bytes.len);
}

static void
test_bad_use(void)
{
  static uint8_t big[SB_KEY_MAX + 1];
  sb_queue_iterator *iterator;
  sb_queue *other = NULL;
  sb_key key = { .key_group = 0 };
  int changed = 7;

  begin_plain("4mb", 2);
  CU_ASSERT_EQUAL(open_with(SB_STATE_VALUE, NULL, 0, 1, &other), SB_INVALID);
  CU_ASSERT_EQUAL(open_with(SB_STATE_TIMER, rank, 0, 1, &other), SB_INVALID);
  CU_ASSERT_EQUAL(open_with(SB_STATE_TIMER, NULL, 2, 1, &other), SB_INVALID);
  CU_ASSERT(other == NULL);
  CU_ASSERT_EQUAL(open_with(SB_STATE_TIMER, rank_short, 2, 1, &other), SB_OK);
  CU_ASSERT_EQUAL(sb_queue_add(other, 0, text("abc"), &changed, &err),
                  SB_INVALID);
  CU_ASSERT(strstr(err.message, "3 bytes") != NULL);
  CU_ASSERT_EQUAL(sb_queue_add(other, 0, text("abcde"), NULL, &err), SB_IO);
  CU_ASSERT_EQUAL(changed, 7);
  CU_ASSERT_EQUAL(sb_queue_add(other, 0, text("ab"), &changed, &err), SB_OK);
  CU_ASSERT_EQUAL(changed, 1);
  sb_queue_close(other);
  sb_queue_close(NULL);
  CU_ASSERT_EQUAL(sb_queue_add(NULL, 0, text("a"), NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_poll(NULL, text("a"), NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_iterate(NULL, 0, 1, &iterator, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_add(queue, 2, text("a"), NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_add(queue, 0, text(""), NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_add(queue, 0, sb_slice_of(big, sizeof big), NULL,
                               &err), SB_TOO_LARGE);
  CU_ASSERT_EQUAL(sb_queue_add(queue, 0, sb_slice_of(big, SB_KEY_MAX), NULL,
                               &err), SB_OK);
  CU_ASSERT_EQUAL(sb_queue_iterate(queue, 1, 0, &iterator, &err), SB_INVALID);
  CU_ASSERT(iterator == NULL);
  CU_ASSERT_EQUAL(sb_queue_iterate(queue, 0, 2, &iterator, &err), SB_INVALID);
  key.state = add_state(keyed, "values", SB_STATE_VALUE);
  key.key = text("k");
  CU_ASSERT_EQUAL(keyed->ops->remove_through(keyed, &key, &err), SB_INVALID);
  CU_ASSERT(strstr(err.message, "\"values\"") != NULL);
  key.state = 99;
  CU_ASSERT_EQUAL(keyed->ops->remove_through(keyed, &key, &err), SB_INVALID);
  key.state = state;
  key.key_group = 2;
  CU_ASSERT_EQUAL(keyed->ops->remove_through(keyed, &key, &err), SB_INVALID);
  end_plain();
}

/* No place for the answer, though there is one. */
static void
test_no_place(void)
{
  sb_queue_element taken;
  sb_slice until = text("z");
  size_t count;

  begin_plain("4mb", 2);
  CU_ASSERT_EQUAL(sb_queue_add(queue, 0, text("a"), NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_queue_peek(queue, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_poll(queue, until, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_poll_batch(queue, until, NULL, 1, &count, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_poll_batch(queue, until, &taken, 1, NULL, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_size(queue, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_is_empty(queue, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_add_all(queue, NULL, 1, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_add_all(queue, NULL, 0, NULL, &err), SB_OK);
  CU_ASSERT_EQUAL(sb_queue_iterate(queue, 0, 1, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_queue_poll_batch(queue, until, &taken, 1, &count, &err),
                  SB_OK);
  CU_ASSERT_EQUAL(count, 1);
  end_plain();
}

/* ---- failing allocations ------------------------------------------------ */

static faulty_host faulty;

static void
take_over(void)
{
  sb_takeover_options take = { .struct_size = sizeof take };

  check_ok(sb_backend_open(config, &faulty.host, &backend, &err));
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
}

/* Makes the n-th allocation of one step fail. Whatever fails has happened or
   has not: the next checks agree with one of the two. */
static int
faulty_step(long n)
{
  sb_queue_element got[40];
  size_t count = 0, i;
  element e = random_element();
  uint32_t what = below(3);
  sb_status status;

  atomic_store(&faulty.countdown, n);
  if (what == 0) {
    status = sb_queue_add(queue, e.group, bytes_of(&e), NULL, &err);
    if (status == SB_OK)
      model_add(&e);
  } else if (what == 1) {
    status = sb_queue_poll(queue, sb_slice_of(NULL, 0), got, &err);
    count = status == SB_OK;
  } else {
    status = sb_queue_poll_batch(queue, sb_slice_of(NULL, 0), got, 40, &count,
                                 &err);
  }
  atomic_store(&faulty.countdown, 0);
  for (i = 0; i < count; i++) {
    memset(&e, 0, sizeof e);
    e.group = got[i].key_group;
    e.len = (uint32_t)got[i].bytes.len;
    memcpy(e.bytes, got[i].bytes.data, e.len);
    if (!model_has(&e))
      return 1;
    model_remove(&e);
  }
  return status != SB_OK && status != SB_END && status != SB_NO_MEMORY;
}

static void
test_faults(void)
{
  uint32_t steps = tap_is_slow() ? 1500 : 6000, i;
  int wrong = 0;

  faulty_host_init(&faulty, 0);
  seed = 77;
  ranked = 0;
  now.count = 0;
  clock_now = 1000;
  begin_backend("4mb", 5);
  take_over();
  keyed = open_all();
  open_queue_on(&faulty.host, 0, 4);
  for (i = 0; i < steps && wrong == 0; i++) {
    wrong += now.count < 100 ? step_add() : faulty_step(1 + i % 23);
    if (i % 400 == 399)
      checkpoint(i, &keyed, 1);
    if (i % 50 == 0)
      wrong += step_iterate() + step_peek();
    clock_now += i % 7 == 0;
  }
  if (wrong != 0)
    tap_note("step %u, %s", i, err.message);
  CU_ASSERT_EQUAL(wrong, 0);
  end_plain();
  CU_ASSERT_EQUAL(atomic_load(&faulty.live), 0);
}

static const sb_keyed_ops *real_ops;
static sb_keyed_ops faulty_ops;
static long fail_at;

/* Fails the allocation fail_at of the first removal. */
static sb_status
faulty_remove_through(sb_keyed *k, const sb_key *key, sb_error *error)
{
  sb_status status;

  atomic_store(&faulty.countdown, fail_at);
  status = real_ops->remove_through(k, key, error);
  atomic_store(&faulty.countdown, 0);
  fail_at = 0;
  return status;
}

#define LATE 3000

/* How many late numbers a batch with failures did not find exactly once. */
static uint32_t
poll_late(void)
{
  static sb_queue_element got[LATE];
  static uint8_t found[LATE + 1];
  uint32_t number, wrong = 0, i, tries;
  sb_status status = SB_OK;
  size_t count;

  memset(found, 0, sizeof found);
  for (tries = 0; status != SB_END && tries < 100; tries++) {
    status = sb_queue_poll_batch(queue, sb_slice_of(NULL, 0), got, LATE,
                                 &count, &err);
    for (i = 0; status == SB_OK && i < count; i++) {
      memcpy(&number, (const char *)got[i].bytes.data + 4, 4);
      found[number]++;
    }
  }
  for (i = 1; i <= LATE; i++)
    wrong += found[i] != 1;
  return wrong;
}

/* What comes below an old front goes one by one: a batch that fails half way
   has taken what is gone. */
static void
test_late_faults(void)
{
  uint32_t wrong = 0;
  uint64_t id = 0;
  long n;

  faulty_host_init(&faulty, 0);
  ranked = 0;
  begin_backend("4mb", 1);
  take_over();
  keyed = open_all();
  open_queue_on(&faulty.host, 0, 0);
  real_ops = keyed->ops;
  faulty_ops = *real_ops;
  faulty_ops.remove_through = faulty_remove_through;
  for (n = 1; n < 12 && wrong == 0; n++) {
    add_numbers(1000000, 20, 0);
    checkpoint(++id, &keyed, 1);
    poll_numbers(1000000, 20);
    checkpoint(++id, &keyed, 1);
    add_numbers(1, LATE, 0);
    checkpoint(++id, &keyed, 1);
    fail_at = n;
    keyed->ops = &faulty_ops;
    wrong = poll_late();
    keyed->ops = real_ops;
  }
  if (wrong != 0)
    tap_note("allocation %ld: %u of %d", n - 1, wrong, LATE);
  CU_ASSERT_EQUAL(wrong, 0);
  end_plain();
}

/* Polled one by one below an old front, with others that come before and
   behind them and some that come again. */
static void
test_late_singles(void)
{
  enum { FEW = 400 };
  uint64_t id = 0;
  uint32_t i, round;

  begin_plain("4mb", 1);
  add_numbers(1000000, 20, 0);
  checkpoint(++id, &keyed, 1);
  poll_numbers(1000000, 20);
  checkpoint(++id, &keyed, 1);
  for (round = 0; round < 3; round++) {
    add_numbers(1000, FEW, 0);
    if (round != 0)
      checkpoint(++id, &keyed, 1);
    for (i = 0; i < FEW; i += 4) {
      poll_numbers(1000 + i, 4);
      add_numbers(1000 + i, 1, 0);        /* again */
      add_numbers(500 + i, 1, 0);         /* before all */
      poll_numbers(500 + i, 1);
      poll_numbers(1000 + i, 1);
      if (round == 2 && i == FEW / 2)
        checkpoint(++id, &keyed, 1);
    }
    CU_ASSERT_EQUAL(count_rows(keyed, state, 0, NULL), 0);
  }
  end_plain();
}

static const tap_case cases[] = {
  { "model", test_model },
  { "front alone", test_front_alone },
  { "front same run", test_front_same_run },
  { "front costs", test_front_costs },
  { "reads", test_reads },
  { "rescale", test_rescale },
  { "bad use", test_bad_use },
  { "no place", test_no_place },
  { "faults", test_faults },
  { "late faults", test_late_faults },
  { "late singles", test_late_singles },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "queue", cases, TAP_COUNT(cases));
}
