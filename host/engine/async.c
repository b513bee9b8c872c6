/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches. An operation that memory can answer is done at once. One that needs
 * a piece of a segment waits for the fetch of that piece and is then tried
 * again from the start, which is cheap and needs no saved state.
 */
#include "config.h"

#include "host/base/slice.h"
#include "host/engine/async.h"
#include "host/engine/scan.h"

#define ASYNC_GROUP 32u /* operations whose memory is fetched together */

/* ---- lists --------------------------------------------------------------- */

void
async_push(pending **first, pending **last, pending *p)
{
  p->next = NULL;
  if (*last == NULL)
    *first = p;
  else
    (*last)->next = p;
  *last = p;
}

/* Operations with the same number are on one key. What is wrong with a key is
   found later, so it may be anything. */
static uint64_t
async_key(keyed *k, const sb_key *key)
{
  if (key->state >= k->state_count ||
      slice_bad(key->key) || slice_bad(key->ns))
    return 0;
  return record_group_id(k->states[key->state]->id, key->ns,
                         record_hash(key->key));
}

static pending **
async_bucket(async *a, uint64_t key)
{
  return &a->buckets[key % ASYNC_BUCKETS];
}

static pending *
async_find(async *a, uint64_t key)
{
  pending *p = *async_bucket(a, key);

  while (p != NULL && p->key != key)
    p = p->chain;
  return p;
}

static void
async_done(async *a, sb_op *op, sb_status status)
{
  op->status = status;
  op->internal[2] = NULL;
  if (a->done_last == NULL)
    a->done_first = op;
  else
    a->done_last->internal[2] = op;
  a->done_last = op;
}

void
async_finish(async *a, pending *p, sb_status status)
{
  pending **at = async_bucket(a, p->key);

  while (*at != p)
    at = &(*at)->chain;
  *at = p->chain;
  a->waiting--;
  if (p->behind != NULL) {
    /* The next one on this key takes its place and is tried. */
    p->behind->chain = *async_bucket(a, p->key);
    *async_bucket(a, p->key) = p->behind;
    async_push(&a->ready_first, &a->ready_last, p->behind);
  }
  async_done(a, p->op, status);
  mem_free(a->keyed->host, p);
}

/* ---- trying an operation ------------------------------------------------- */

/* A value that a poll lends. */
typedef struct given {
  struct given *next;
  uint8_t bytes[];
} given;

static sb_status
async_give(keyed *k, sb_op *op, sb_slice value)
{
  given *copy;

  if (op->buffer != NULL && value.len <= op->buffer_size) {
    if (value.len != 0)
      memcpy(op->buffer, value.data, value.len);
    op->result = sb_slice_of(op->buffer, value.len);
    return SB_OK;
  }
  /* Later operations may move what the table lent: keep a copy until the
     caller has seen it. */
  copy = mem_alloc(k->host, sizeof *copy + value.len);
  if (copy == NULL)
    return SB_NO_MEMORY;
  if (value.len != 0)
    memcpy(copy->bytes, value.data, value.len);
  copy->next = NULL;
  op->internal[1] = copy;
  op->result = sb_slice_of(copy->bytes, value.len);
  return SB_OK;
}

/* SB_BUSY: *n says what is missing. */
static sb_status
async_lookup(keyed *k, const place *p, sb_slice *value, uint64_t *expires_ms,
             cell **found, need *n, sb_error *err)
{
  reader_ctx ctx = { k, k->event, SB_PRIORITY_READ, n, NULL };
  cache_entry *pin = NULL;
  segment **runs;
  size_t count;
  record r;
  sb_status status = keyed_peek(k, p, found);

  if (status == SB_OK) {
    keyed_count(&k->counters.record_hits, 1);
    *value = sb_slice_of(cell_value(*found), (*found)->value_len);
    *expires_ms = cell_expires(*found);
  }
  if (status != SB_BUSY)
    return status;
  runs = version_runs(k->version, p->key.key_group, &count);
  status = reader_lookup(&ctx, runs, count, p, &r, &pin, err);
  if (status != SB_OK)
    return status;
  if (keyed_expired(k, p->state, r.expires_ms)) {
    status = SB_NOT_FOUND;
  } else {
    *expires_ms = r.expires_ms;
    status = keyed_keep(k, p, &r, value, found, err);
  }
  cache_unpin(k->engine->cache, pin);
  return status;
}

/* An operation that has asked for more pieces than there are lost some of them
   again, for want of memory: it then waits for each. */
static int
async_must_wait(keyed *k, const pending *p)
{
  size_t runs;

  (void)version_runs(k->version, p->place.key.key_group, &runs);
  return p->tries > 3 * runs + 3;
}

static sb_status
async_try_read(keyed *k, pending *p, need *n, sb_error *err)
{
  sb_op *op = p->op;
  sb_slice value = { NULL, 0 };
  uint64_t expires_ms = 0;
  cell *found = NULL;
  sb_status status;

  if (p->place.state->kind == SB_STATE_LIST) {
    status = scan_list(k, &p->place, &value, err);
  } else {
    status = async_lookup(k, &p->place, &value, &expires_ms, &found,
                          async_must_wait(k, p) ? NULL : n, err);
  }
  if (op->kind == SB_OP_UPDATE && (status == SB_OK || status == SB_NOT_FOUND))
    return keyed_apply(k, &p->place, op->update, op->update_arg, found, value,
                       expires_ms, status == SB_OK, err);
  if (status == SB_OK && op->kind == SB_OP_GET)
    status = async_give(k, op, value);
  return status;
}

static sb_status
async_try(async *a, pending *p, need *n, sb_error *err)
{
  keyed *k = a->keyed;
  sb_op *op = p->op;

  switch (op->kind) {
  case SB_OP_GET:
  case SB_OP_UPDATE:
  case SB_OP_PREFETCH:
    return async_try_read(k, p, n, err);
  case SB_OP_PUT:
    return write_cell(k, &p->place, op->value, 0, op->expires_ms, 0, NULL,
                      err);
  case SB_OP_REMOVE:
    if (p->place.state->kind == SB_STATE_LIST)
      return write_clear(k, &p->place, err);
    return write_remove(k, &p->place, err);
  case SB_OP_APPEND:
    return write_append(k, &p->place, &op->value, 1, op->expires_ms, err);
  case SB_OP_CLEAR:
    return write_clear(k, &p->place, err);
  case SB_OP_SCAN_OPEN:
    return scan_open_cursor(k, op->scan, &op->cursor, err);
  default: /* SB_OP_SCAN_NEXT: the cursor reads ahead by itself */
    return SB_OK;
  }
}

void
async_run_ready(async *a)
{
  while (a->ready_first != NULL) {
    pending *p = a->ready_first;
    sb_error error;
    sb_status status;
    need n;

    a->ready_first = p->next;
    if (a->ready_first == NULL)
      a->ready_last = NULL;
    memset(&n, 0, sizeof n);
    p->tries++;
    status = async_try(a, p, &n, &error);
    if (status == SB_BUSY && n.segment != NULL) {
      status = async_want(a, p, &n);
      if (status == SB_OK)
        continue;
    }
    async_finish(a, p, status);
  }
}

/* Whatever can go on without waiting. */
static void
async_work(async *a)
{
  do {
    async_run_ready(a);
    async_dispatch(a);
  } while (async_land(a) || a->ready_first != NULL);
}

/* ---- submit, poll, settle ------------------------------------------------ */

static sb_status
async_new(keyed *k, sb_error *err)
{
  async *a = mem_zalloc(k->host, sizeof *a);

  if (a == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not take a batch: no memory");
  a->keyed = k;
  pthread_mutex_init(&a->lock, NULL);
  k->async = a;
  return SB_OK;
}

static int
async_writes(uint32_t kind)
{
  return kind == SB_OP_PUT || kind == SB_OP_REMOVE || kind == SB_OP_APPEND ||
         kind == SB_OP_UPDATE || kind == SB_OP_CLEAR;
}

static int
async_is_scan(uint32_t kind)
{
  return kind == SB_OP_SCAN_OPEN || kind == SB_OP_SCAN_NEXT;
}

static sb_status
async_check_kind(const keyed *k, const sb_op *op, const state *s,
                 sb_error *err)
{
  int list = s->kind == SB_STATE_LIST;

  if (async_writes(op->kind)) {
    sb_status status = keyed_check_writable(k, s, err);

    if (status != SB_OK)
      return status;
  }
  if ((list && (op->kind == SB_OP_PUT || op->kind == SB_OP_UPDATE)) ||
      (!list && op->kind == SB_OP_APPEND))
    return sb_error_set(err, SB_INVALID, "an operation of kind %u does not "
                        "fit the kind of its state", (unsigned)op->kind);
  if (op->kind == SB_OP_UPDATE && op->update == NULL)
    return sb_error_set(err, SB_INVALID, "an update without a callback");
  if ((op->kind == SB_OP_PUT || op->kind == SB_OP_APPEND) &&
      slice_bad(op->value))
    return slice_refuse(op->value, "the value", err);
  if (op->value.len > k->engine->memory_limit / 4 ||
      op->value.len > SB_VALUE_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "a value of %zu bytes is over a "
                        "quarter of the memory budget", op->value.len);
  return SB_OK;
}

/* Everything about an operation that can be wrong, before any is taken. */
static sb_status
async_check(keyed *k, sb_op *op, sb_error *err)
{
  sb_status status = SB_OK;

  if (op->kind < SB_OP_GET || op->kind > SB_OP_PREFETCH || op->kind % 10 != 0)
    return sb_error_set(err, SB_INVALID, "there is no operation of kind %u",
                        (unsigned)op->kind);
  if (!async_is_scan(op->kind)) {
    status = keyed_check_key(k, &op->key, err);
    if (status == SB_OK)
      status = async_check_kind(k, op, k->states[op->key.state], err);
  } else if (op->kind == SB_OP_SCAN_OPEN ? op->scan == NULL
                                         : op->cursor == NULL) {
    status = sb_error_set(err, SB_INVALID, "a scan operation without a %s",
                          op->kind == SB_OP_SCAN_OPEN ? "scan" : "cursor");
  }
  memset(op->internal, 0, sizeof op->internal);
  op->result = sb_slice_of(NULL, 0);
  return status;
}

/* Keeps an operation that has to wait, for a piece or for its key. */
static pending *
async_keep(async *a, const pending *p)
{
  pending *kept = mem_dup(a->keyed->host, p, sizeof *p);

  if (kept == NULL)
    async_done(a, p->op, SB_NO_MEMORY);
  else
    a->waiting++;
  return kept;
}

static void
async_start(async *a, pending *p)
{
  pending *before = a->waiting == 0 ? NULL : async_find(a, p->key), *kept;
  sb_error error;
  sb_status status;
  need n;

  a->count++;
  if (before != NULL) {
    while (before->behind != NULL)
      before = before->behind;
    before->behind = async_keep(a, p);
    return;
  }
  n.segment = NULL;
  status = async_try(a, p, &n, &error);
  if (status != SB_BUSY || n.segment == NULL) {
    async_done(a, p->op, status);
    return;
  }
  kept = async_keep(a, p);
  if (kept == NULL)
    return;
  kept->chain = *async_bucket(a, p->key);
  *async_bucket(a, p->key) = kept;
  status = async_want(a, kept, &n);
  if (status != SB_OK)
    async_finish(a, kept, status);
}

/* Starts up to ASYNC_GROUP operations: what they touch first in memory is
   asked for together, so that the cache misses overlap. */
static void
async_start_group(async *a, sb_op *const *ops, size_t count)
{
  keyed *k = a->keyed;
  pending batch[ASYNC_GROUP];
  size_t i;

  memset(batch, 0, count * sizeof *batch);
  for (i = 0; i < count; i++) {
    batch[i].op = ops[i];
    if (async_is_scan(ops[i]->kind)) {
      batch[i].key = k->host->random(k->host);
      continue;
    }
    keyed_place_key(k, &ops[i]->key, &batch[i].place);
    batch[i].key = batch[i].place.group_id;
    table_prefetch(&batch[i].place.state->tables[batch[i].place.table],
                   batch[i].place.id);
  }
  for (i = 0; i < count; i++)
    if (batch[i].place.state != NULL)
      table_prefetch_cell(
        &batch[i].place.state->tables[batch[i].place.table],
        batch[i].place.id);
  for (i = 0; i < count; i++) {
    keyed_count(async_writes(ops[i]->kind) ? &k->counters.writes
                                           : &k->counters.reads, 1);
    async_start(a, &batch[i]);
  }
}

sb_status
async_submit(sb_keyed *base, sb_op *const *ops, size_t count, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  size_t i;

  async_free_given(k);
  if (status == SB_OK && k->async == NULL)
    status = async_new(k, err);
  for (i = 0; i < count && status == SB_OK; i++)
    status = async_check(k, ops[i], err);
  if (status != SB_OK)
    return status;
  for (i = 0; i < count; i += ASYNC_GROUP)
    async_start_group(k->async, ops + i,
                      count - i < ASYNC_GROUP ? count - i : ASYNC_GROUP);
  async_work(k->async);
  return SB_OK;
}

/* Copies given out by the last poll. */
void
async_free_given(keyed *k)
{
  while (k->given != NULL) {
    given *next = k->given->next;

    mem_free(k->host, k->given);
    k->given = next;
  }
}

static size_t
async_deliver(async *a, sb_op **done, size_t max)
{
  size_t n = 0;

  while (n < max && a->done_first != NULL) {
    sb_op *op = a->done_first;
    given *g = op->internal[1];

    a->done_first = op->internal[2];
    if (a->done_first == NULL)
      a->done_last = NULL;
    if (g != NULL) {
      g->next = a->keyed->given;
      a->keyed->given = g;
      op->internal[1] = NULL;
    }
    done[n++] = op;
    a->count--;
  }
  return n;
}

/* Ends what waits, without waiting for the GETs that were to answer it. */
static void
async_cancel(async *a)
{
  pending *p;

  async_cancel_pieces(a);
  while ((p = a->ready_first) != NULL) {
    a->ready_first = p->next;
    if (a->ready_first == NULL)
      a->ready_last = NULL;
    async_finish(a, p, SB_CANCELLED);
  }
}

sb_status
async_poll(sb_keyed *base, sb_op **done, size_t max, size_t *count,
           uint64_t deadline_ns, sb_error *err)
{
  keyed *k = (keyed *)base;
  async *a = k->async;
  sb_status status;

  *count = 0;
  for (;;) {
    status = keyed_enter(k, err);
    if (status == SB_CANCELLED && a != NULL && a->count != 0) {
      async_cancel(a);
      *count = async_deliver(a, done, max);
      return SB_OK;
    }
    if (status != SB_OK || a == NULL)
      return status;
    async_work(a);
    *count = async_deliver(a, done, max);
    if (*count != 0 || a->count == 0 || max == 0)
      return SB_OK;
    if (deadline_ns == 0 || async_wait(a, deadline_ns) == SB_TIMEOUT)
      return SB_OK;
  }
}

sb_status
async_settle(keyed *k, const sb_key *key, sb_error *err)
{
  async *a = k->async;

  async_free_given(k);
  while (a->waiting != 0 &&
         (key == NULL || async_find(a, async_key(k, key)) != NULL)) {
    if (keyed_stopping(k))
      return sb_error_set(err, SB_CANCELLED, "the handle was interrupted");
    async_work(a);
    if (a->waiting == 0 ||
        (key != NULL && async_find(a, async_key(k, key)) == NULL))
      break;
    (void)async_wait(a, SB_NO_DEADLINE);
  }
  return SB_OK;
}

void
async_free(keyed *k)
{
  async *a = k->async;
  sb_op *op;

  async_free_given(k);
  if (a == NULL)
    return;
  async_cancel(a);
  async_end_fetches(a);
  for (op = a->done_first; op != NULL; op = op->internal[2]) {
    mem_free(k->host, op->internal[1]);
    if (op->kind == SB_OP_SCAN_OPEN && op->status == SB_OK)
      scan_close(&k->base, op->cursor); /* nobody got to know it */
  }
  pthread_mutex_destroy(&a->lock);
  mem_free(k->host, a);
  k->async = NULL;
}
