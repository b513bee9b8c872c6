/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation or read 1, 2, 3 ... of the store fails, alone or with all behind
 * it until the call has returned, while elements are polled, added and removed
 * below an old front, where each needs its tombstone; until a run is clean.
 * After a failure an element is in the queue, or has been handed out: in
 * memory, after a checkpoint and a restore without another try, and once.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "host/engine/cache.h"
#include "host/engine/engine.h"

/* So many key groups that blocks are read one by one; the queue has two. */
enum { GROUPS = 128, USED = 2, FEW = 48, BATCH = 10, HIGH = 1000000,
       STEPS = 18 };

#define FAIL_ALLOC 0
#define FAIL_READ 1

#define RESTORED 1 /* right after the failure, without another try */
#define COLD 2     /* the near elements have to be read first */
#define LASTING 4
#define VARIANTS 8

static sb_keyed *keyed;
static sb_queue *queue;
static uint64_t checkpoint_id;
static uint8_t there[FEW]; /* the model: the numbers in the queue */

/* ---- failures ----------------------------------------------------------- */

static sb_host host;
static const sb_store_ops *real_store;
static sb_store_ops store_ops;
static atomic_long countdown[2]; /* 0: nothing fails, below: it has begun */
static atomic_int lasting;

static int
fails_now(int what)
{
  long left = atomic_load(&countdown[what]);

  if (left == 0 || (left < 0 && !atomic_load(&lasting)))
    return 0;
  if (left > 1) {
    atomic_fetch_sub(&countdown[what], 1);
    return 0;
  }
  atomic_store(&countdown[what], -1);
  return 1;
}

static int
has_failed(int what)
{
  return atomic_load(&countdown[what]) < 0;
}

static void *
faulty_alloc(const sb_host *h, void *old, size_t size)
{
  if (size != 0 && fails_now(FAIL_ALLOC))
    return NULL;
  return sb_host_default()->alloc(h, old, size);
}

static sb_status
faulty_get(sb_store *s, const sb_get_request *request, uint64_t *op,
           sb_error *e)
{
  if (fails_now(FAIL_READ))
    return sb_error_set(e, SB_IO, "the test says no");
  return real_store->get(s, request, op, e);
}

/* ---- a life ------------------------------------------------------------- */

static void
open_queue(void)
{
  sb_state_options so = { .struct_size = sizeof so };
  sb_queue_options o = { .struct_size = sizeof o };

  so.kind = SB_STATE_TIMER;
  so.name = text("queue");
  o.state = &so;
  o.key_group_last = USED - 1;
  o.memory = 1 << 20;
  if (!check_ok(sb_queue_open(keyed, &host, &o, NULL, &queue, &err)))
    exit(1);
}

static void
restart(void)
{
  checkpoint(++checkpoint_id, &keyed, 1);
  sb_queue_close(queue);
  keyed = reopen(keyed, 0);
  open_queue();
}

/* The number and bytes that do not compress, so that there are many blocks. */
static sb_slice
numbered(uint32_t n)
{
  static uint8_t bytes[2048];
  size_t i, len = 4 + n * 37 % 11 * 160;
  uint32_t next = n;

  for (i = 0; i < 4; i++)
    bytes[i] = (uint8_t)(n >> (24 - 8 * i));
  for (; i < len; i++) {
    next = next * 1664525 + 1013904223;
    bytes[i] = (uint8_t)(next >> 24);
  }
  return sb_slice_of(bytes, len);
}

static uint32_t
number_of(const sb_queue_element *e)
{
  const uint8_t *p = e->bytes.data;
  uint32_t n = 0;
  sb_slice want;
  size_t i;

  for (i = 0; i < 4; i++)
    n = n << 8 | p[i];
  want = numbered(n);
  CU_ASSERT(same(e->bytes, want.data, want.len));
  CU_ASSERT_EQUAL(e->key_group, n % USED);
  return n;
}

static sb_status
add(uint32_t n)
{
  return sb_queue_add(queue, n % USED, numbered(n), NULL, &err);
}

/* Elements that came below a front after it was there, in segments. */
static void
begin(int cold)
{
  sb_takeover_options take = { .struct_size = sizeof take };
  sb_queue_element got;
  sb_store *store;
  uint32_t i;

  checkpoint_id = 0;
  host = *sb_host_default();
  host.alloc = faulty_alloc;
  begin_backend("4mb", GROUPS);
  check_ok(sb_backend_open(config, &host, &backend, &err));
  store = backend->ops->store(backend);
  real_store = store->ops;
  store_ops = *real_store;
  store_ops.get = faulty_get;
  store->ops = &store_ops;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
  keyed = open_all();
  open_queue();
  for (i = 0; i < 2 * USED; i++)
    check_ok(add(HIGH + i));
  checkpoint(++checkpoint_id, &keyed, 1);
  for (i = 0; i < 2 * USED; i++)
    check_ok(sb_queue_poll(queue, sb_slice_of(NULL, 0), &got, &err));
  checkpoint(++checkpoint_id, &keyed, 1);
  for (i = 0; i < FEW; i++)
    check_ok(add(i));
  memset(there, 1, sizeof there);
  checkpoint(++checkpoint_id, &keyed, 1);
  if (cold) {
    sb_queue_close(queue);
    open_queue();
  }
}

static void
end(void)
{
  sb_queue_close(queue);
  keyed->ops->close(keyed);
  close_backend();
}

/* ---- what may fail ------------------------------------------------------ */

/* Once only, and nothing that had not been there. */
static int
take(const sb_queue_element *got, size_t count)
{
  int wrong = 0;
  size_t i;

  for (i = 0; i < count; i++) {
    uint32_t n = number_of(&got[i]);

    wrong += n >= FEW || !there[n];
    if (n < FEW)
      there[n] = 0;
  }
  return wrong;
}

/* Some of the first are gone: it is before all others. */
static sb_status
step_add(uint32_t i)
{
  sb_status status = add(i);

  there[i] |= status == SB_OK;
  return status;
}

static sb_status
step_remove(uint32_t n)
{
  int changed;
  sb_status status = sb_queue_remove(queue, n % USED, numbered(n), &changed,
                                     &err);

  if (status == SB_OK)
    there[n] = 0;
  return status;
}

static sb_status
step(uint32_t i, int *wrong)
{
  sb_slice any = sb_slice_of(NULL, 0);
  sb_queue_element got[BATCH];
  sb_status status;
  size_t count = 0;

  if (i % 8 == 5)
    return step_add(i / 8);
  if (i % 8 == 6)
    return step_remove(FEW - i);
  if (i % 8 == 3) {
    status = sb_queue_poll_batch(queue, any, got, BATCH, &count, &err);
  } else {
    status = sb_queue_poll(queue, any, got, &err);
    count = status == SB_OK;
  }
  *wrong += take(got, count);
  return status;
}

/* ---- afterwards --------------------------------------------------------- */

static int
compare_all(void)
{
  sb_queue_iterator *iterator;
  sb_queue_element got;
  uint8_t found[FEW];
  sb_status status;

  memset(found, 0, sizeof found);
  check_ok(sb_queue_iterate(queue, 0, USED - 1, &iterator, &err));
  while ((status = sb_queue_next(iterator, &got, &err)) == SB_OK)
    found[number_of(&got) % FEW]++;
  sb_queue_iterator_close(iterator);
  return status != SB_END || memcmp(found, there, sizeof found) != 0;
}

/* All that there is, in order. */
static int
drain(void)
{
  sb_queue_element got;
  sb_status status;
  uint32_t n = 0;

  for (;;) {
    status = sb_queue_poll(queue, sb_slice_of(NULL, 0), &got, &err);
    while (n < FEW && !there[n])
      n++;
    if (status != SB_OK)
      return status != SB_END || n != FEW;
    if (n == FEW || number_of(&got) != n)
      return 1;
    there[n] = 0;
  }
}

/* So that each step reads. */
static void
forget_blocks(void)
{
  (void)cache_shrink(((engine *)backend)->cache, SIZE_MAX);
}

/* 1 if nothing failed. */
static int
run(int what, long fail, int variant, int *wrong)
{
  sb_status status = SB_OK;
  uint32_t i;

  begin(variant & COLD);
  atomic_store(&lasting, variant & LASTING);
  atomic_store(&countdown[what], fail);
  for (i = 0; i < STEPS && !has_failed(what); i++) {
    forget_blocks();
    status = step(i, wrong);
  }
  if (status != SB_OK && *wrong == 0)
    *wrong = !has_failed(what) ||
             status != (what == FAIL_ALLOC ? SB_NO_MEMORY : SB_IO);
  i = has_failed(what) ? i : 0;
  atomic_store(&countdown[what], 0);
  *wrong += compare_all();
  if (variant & RESTORED) {
    restart();
    *wrong += compare_all();
  }
  *wrong += drain();
  if (!(variant & RESTORED)) {
    restart();
    *wrong += compare_all();
  }
  end();
  return i == 0;
}

/* One variant after the other, until all have been clean. */
static void
fault_loop(int what)
{
  long i, fail = 0, step_by = tap_is_slow() ? 3 : 1;
  int wrong = 0, clean = 0;

  for (i = 0; clean < VARIANTS && wrong == 0 && i < 20000; i++) {
    fail = 1 + i * step_by;
    clean = run(what, fail, (int)(i % VARIANTS), &wrong) ? clean + 1 : 0;
  }
  tap_note("%ld failures", fail);
  if (wrong != 0)
    tap_note("variant %ld", (i - 1) % VARIANTS);
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT(fail > 10 && clean == VARIANTS);
}

static void
test_allocations(void)
{
  fault_loop(FAIL_ALLOC);
}

static void
test_reads(void)
{
  fault_loop(FAIL_READ);
}

static const tap_case cases[] = {
  { "allocations", test_allocations },
  { "reads", test_reads },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "queue_faults", cases, TAP_COUNT(cases));
}
