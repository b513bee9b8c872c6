/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches. An operation that memory can answer is done at once. One that needs
 * a piece of a segment waits for the fetch of that piece and is then tried
 * again from the start, which is cheap and needs no saved state. Fetches of
 * neighbouring pieces share a GET, identical ones join, and the number and
 * bytes of GETs under way are limited.
 *
 * Everything but the store's completion runs on the owner thread.
 */
#include "config.h"

#include <stdlib.h>

#include "host/engine/scan.h"
#include "host/store/store.h"

#define ASYNC_GETS_MAX 128u             /* under way at once */
#define ASYNC_GAP_MAX 65536u            /* read over rather than ask twice */
#define ASYNC_GET_MAX ((uint64_t)1 << 20)
#define ASYNC_BUCKETS 1024u             /* of keys with pending operations */

/* One operation under way; sb_op.internal[0] points to it. */
typedef struct pending {
  struct pending *next;     /* in its list: fetch, ready or done */
  struct pending *behind;   /* the next one on the same key */
  struct pending *chain;    /* other keys in the bucket */
  uint64_t key;             /* hash of state, namespace and key */
  sb_op *op;
  place place;
} pending;

/* One piece of a segment somebody waits for. */
typedef struct piece {
  struct piece *next;
  need need;
  pending *waiting;
  cache_entry *pin;
  version *version;         /* keeps the segment */
  sb_status status;
  sb_error error;
  int tries;
} piece;

/* One GET for one or more pieces. */
typedef struct get_io {
  struct get_io *next;
  async *owner;
  segment *segment;
  uint64_t offset, length;
  void *buffer;
  piece *pieces;
  sb_status status;
  sb_error error;
} get_io;

struct async {
  keyed *keyed;
  pending *buckets[ASYNC_BUCKETS]; /* first of each key */
  pending *ready_first, *ready_last; /* to be tried */
  pending *done_first, *done_last;
  piece *queued;            /* no GET yet */
  piece *flying;            /* in a GET */
  uint64_t flying_bytes;
  uint32_t gets;
  uint64_t count;           /* operations not yet out of poll */
  pthread_mutex_t lock;     /* guards finished */
  get_io *finished;
};

/* ---- lists --------------------------------------------------------------- */

static void
async_push(pending **first, pending **last, pending *p)
{
  p->next = NULL;
  if (*last == NULL)
    *first = p;
  else
    (*last)->next = p;
  *last = p;
}

static uint64_t
async_key(const sb_key *key)
{
  return record_group_id(key->state, key->ns, record_hash(key->key));
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
async_finish(async *a, pending *p, sb_status status)
{
  pending **at = async_bucket(a, p->key);

  p->op->status = status;
  while (*at != p)
    at = &(*at)->chain;
  *at = p->chain;
  if (p->behind != NULL) {
    /* The next one on this key takes its place and is tried. */
    p->behind->chain = *async_bucket(a, p->key);
    *async_bucket(a, p->key) = p->behind;
    async_push(&a->ready_first, &a->ready_last, p->behind);
  }
  async_push(&a->done_first, &a->done_last, p);
}

/* ---- pieces -------------------------------------------------------------- */

static piece *
async_find_piece(piece *list, const need *n)
{
  while (list != NULL &&
         (list->need.segment != n->segment || list->need.kind != n->kind ||
          list->need.offset != n->offset))
    list = list->next;
  return list;
}

static sb_status
async_want(async *a, pending *p, const need *n)
{
  keyed *k = a->keyed;
  piece *f = async_find_piece(a->queued, n);

  if (f == NULL)
    f = async_find_piece(a->flying, n);
  if (f == NULL) {
    f = mem_zalloc(k->host, sizeof *f);
    if (f == NULL)
      return SB_NO_MEMORY;
    f->need = *n;
    f->version = k->version;
    keyed_lock(k);
    f->version->refs++;
    keyed_unlock(k);
    f->next = a->queued;
    a->queued = f;
  }
  p->next = f->waiting;
  f->waiting = p;
  return SB_OK;
}

static void
async_free_piece(async *a, piece *f)
{
  keyed *k = a->keyed;

  if (f->pin != NULL)
    cache_unpin(k->engine->cache, f->pin);
  keyed_lock(k);
  version_unref(k, f->version);
  keyed_unlock(k);
  mem_free(k->host, f);
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
  reader_ctx ctx = { k, NULL, SB_PRIORITY_READ, n };
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
  if (keyed_expired(k, r.expires_ms)) {
    status = SB_NOT_FOUND;
  } else {
    *expires_ms = r.expires_ms;
    status = keyed_keep(k, p, &r, value, found, err);
  }
  cache_unpin(k->engine->cache, pin);
  return status;
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
    status = async_lookup(k, &p->place, &value, &expires_ms, &found, n, err);
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
    return write_remove(k, &p->place, err);
  case SB_OP_APPEND:
    return write_append(k, &p->place, op->value, op->expires_ms, err);
  case SB_OP_CLEAR:
    return write_clear(k, &p->place, err);
  case SB_OP_SCAN_OPEN:
    return scan_open_cursor(k, op->scan, &op->cursor, err);
  default: /* SB_OP_SCAN_NEXT: the cursor reads ahead by itself */
    return SB_OK;
  }
}

static void
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
    status = async_try(a, p, &n, &error);
    if (status == SB_BUSY && n.segment != NULL) {
      status = async_want(a, p, &n);
      if (status == SB_OK)
        continue;
    }
    async_finish(a, p, status);
  }
}

/* ---- GETs ---------------------------------------------------------------- */

static void
async_got(void *arg, const sb_store_result *result)
{
  get_io *io = arg;
  async *a = io->owner;
  keyed *k = a->keyed;

  io->status = result->status;
  if (result->error != NULL)
    io->error = *result->error;
  if (result->status == SB_OK && result->length != io->length)
    io->status = sb_error_set(&io->error, SB_CORRUPT, "could not read segment "
                              "\"%s\": the object is cut", io->segment->name);
  pthread_mutex_lock(&a->lock);
  io->next = a->finished;
  a->finished = io;
  k->host->event_set(k->host, k->event);
  pthread_mutex_unlock(&a->lock);
  if (k->wake != NULL)
    k->wake(k->wake_arg);
}

static int
async_piece_before(const piece *a, const piece *b)
{
  if (a->need.segment != b->need.segment)
    return a->need.segment->number < b->need.segment->number;
  return a->need.offset < b->need.offset;
}

/* Sorts the queue by place, so that neighbours stand side by side. */
static void
async_sort(async *a)
{
  piece *sorted = NULL, *list = a->queued, *tail = NULL;

  while (list != NULL) {
    piece *f = list, **at = &sorted;

    list = f->next;
    if (tail != NULL && async_piece_before(tail, f)) {
      f->next = NULL;
      tail->next = f;
      tail = f;
      continue;
    }
    while (*at != NULL && async_piece_before(*at, f))
      at = &(*at)->next;
    f->next = *at;
    *at = f;
    if (f->next == NULL)
      tail = f;
  }
  a->queued = sorted;
}

/* Takes the first piece and the neighbours that fit into one GET. */
static get_io *
async_take_io(async *a)
{
  get_io *io = mem_zalloc(a->keyed->host, sizeof *io);
  piece *f = a->queued, *last = f;
  uint64_t end;

  if (io == NULL)
    return NULL;
  end = f->need.offset + f->need.length;
  while (last->next != NULL && last->next->need.segment == f->need.segment &&
         last->next->need.offset <= end + ASYNC_GAP_MAX &&
         last->next->need.offset + last->next->need.length -
             f->need.offset <= ASYNC_GET_MAX) {
    last = last->next;
    if (last->need.offset + last->need.length > end)
      end = last->need.offset + last->need.length;
  }
  io->owner = a;
  io->segment = f->need.segment;
  io->offset = f->need.offset;
  io->length = end - f->need.offset;
  io->buffer = mem_alloc(a->keyed->host, (size_t)io->length);
  if (io->buffer == NULL) {
    mem_free(a->keyed->host, io);
    return NULL;
  }
  io->pieces = f;
  a->queued = last->next;
  last->next = NULL;
  return io;
}

static void
async_free_io(async *a, get_io *io)
{
  engine_release(a->keyed->engine, (size_t)io->length);
  mem_free(a->keyed->host, io->buffer);
  mem_free(a->keyed->host, io);
}

/* Ends everything that waits for a piece that cannot be had. */
static void
async_fail_piece(async *a, piece *f, sb_status status)
{
  while (f->waiting != NULL) {
    pending *p = f->waiting;

    f->waiting = p->next;
    async_finish(a, p, status == SB_NOT_FOUND ? SB_CORRUPT : status);
  }
  async_free_piece(a, f);
}

static void
async_move_to_flying(async *a, piece *list)
{
  while (list != NULL) {
    piece *next = list->next;

    list->next = a->flying;
    a->flying = list;
    list = next;
  }
}

static sb_status
async_send(async *a, get_io *io)
{
  keyed *k = a->keyed;
  sb_get_request request;

  memset(&request, 0, sizeof request);
  request.base.struct_size = sizeof request;
  request.base.priority = SB_PRIORITY_READ;
  request.base.done = async_got;
  request.base.arg = io;
  request.name = io->segment->name;
  request.offset = io->offset;
  request.length = io->length;
  request.buffer = io->buffer;
  atomic_fetch_add_explicit(&k->cold_reads, 1, memory_order_relaxed);
  return store_get_async(k->host, k->engine->store, &request, NULL,
                         &io->error);
}

static uint64_t
async_bytes_max(const async *a)
{
  uint64_t max = a->keyed->engine->memory_limit / 16;

  return max < ASYNC_GET_MAX ? ASYNC_GET_MAX : max;
}

static void
async_dispatch(async *a)
{
  async_sort(a);
  while (a->queued != NULL && a->gets < ASYNC_GETS_MAX &&
         (a->gets == 0 || a->flying_bytes < async_bytes_max(a))) {
    get_io *io = async_take_io(a);
    piece *pieces;
    sb_status status;

    if (io == NULL) {
      piece *f = a->queued;

      a->queued = f->next;
      async_fail_piece(a, f, SB_NO_MEMORY);
      continue;
    }
    pieces = io->pieces;
    engine_charge(a->keyed->engine, (size_t)io->length);
    a->gets++;
    a->flying_bytes += io->length;
    /* The pieces stay on io->pieces as an array of needs would: they are
       found in `flying` by their segment and range. */
    io->pieces = NULL;
    async_move_to_flying(a, pieces);
    status = async_send(a, io);
    if (status == SB_OK)
      continue;
    io->status = status;
    pthread_mutex_lock(&a->lock);
    io->next = a->finished;
    a->finished = io;
    pthread_mutex_unlock(&a->lock);
  }
}

/* Pieces of a GET: unlinked from `flying`. */
static piece *
async_claim(async *a, const get_io *io)
{
  piece **at = &a->flying, *claimed = NULL;

  while (*at != NULL) {
    piece *f = *at;

    if (f->need.segment != io->segment || f->need.offset < io->offset ||
        f->need.offset + f->need.length > io->offset + io->length) {
      at = &f->next;
      continue;
    }
    *at = f->next;
    f->next = claimed;
    claimed = f;
  }
  return claimed;
}

static void
async_land_piece(async *a, piece *f, const get_io *io)
{
  keyed *k = a->keyed;
  const uint8_t *bytes = io->buffer;
  sb_status status = io->status;

  if (status == SB_OK)
    status = reader_install(k, &f->need, bytes + (f->need.offset - io->offset),
                            &f->pin, &f->error);
  if (status == SB_CORRUPT && f->tries++ == 0) {
    f->next = a->queued; /* it may have been damaged on the way */
    a->queued = f;
    return;
  }
  if (status != SB_OK) {
    async_fail_piece(a, f, status);
    return;
  }
  while (f->waiting != NULL) {
    pending *p = f->waiting;

    f->waiting = p->next;
    async_push(&a->ready_first, &a->ready_last, p);
  }
  /* The pin is held until those have been tried. */
  async_run_ready(a);
  async_free_piece(a, f);
}

static int
async_land(async *a)
{
  get_io *io, *next;

  pthread_mutex_lock(&a->lock);
  io = a->finished;
  a->finished = NULL;
  pthread_mutex_unlock(&a->lock);
  if (io == NULL)
    return 0;
  for (; io != NULL; io = next) {
    piece *f = async_claim(a, io), *after;

    next = io->next;
    a->gets--;
    a->flying_bytes -= io->length;
    for (; f != NULL; f = after) {
      after = f->next;
      async_land_piece(a, f, io);
    }
    async_free_io(a, io);
  }
  return 1;
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

static sb_status
async_wait(async *a, uint64_t deadline_ns)
{
  keyed *k = a->keyed;

  return k->host->event_wait(k->host, k->event, deadline_ns);
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

static sb_status
async_check_kind(const keyed *k, const sb_op *op, const pending *p,
                 sb_error *err)
{
  int list = p->place.state != NULL && p->place.state->kind == SB_STATE_LIST;

  if (async_writes(op->kind) && (k->flags & SB_OPEN_READ_ONLY))
    return sb_error_set(err, SB_INVALID, "cannot write: the handle was opened "
                        "read-only");
  if ((list && (op->kind == SB_OP_PUT || op->kind == SB_OP_UPDATE)) ||
      (!list && op->kind == SB_OP_APPEND))
    return sb_error_set(err, SB_INVALID, "an operation of kind %u does not "
                        "fit the kind of its state", (unsigned)op->kind);
  if (op->kind == SB_OP_UPDATE && op->update == NULL)
    return sb_error_set(err, SB_INVALID, "an update without a callback");
  if (op->value.len > k->engine->memory_limit / 4 ||
      op->value.len > SB_VALUE_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "a value of %zu bytes is over a "
                        "quarter of the memory budget", op->value.len);
  return SB_OK;
}

static sb_status
async_prepare(keyed *k, sb_op *op, pending **out, sb_error *err)
{
  pending *p;
  sb_status status;

  if (op->kind < SB_OP_GET || op->kind > SB_OP_PREFETCH || op->kind % 10 != 0)
    return sb_error_set(err, SB_INVALID, "there is no operation of kind %u",
                        (unsigned)op->kind);
  p = mem_zalloc(k->host, sizeof *p);
  if (p == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not take a batch: no memory");
  p->op = op;
  status = SB_OK;
  if (op->kind == SB_OP_SCAN_OPEN || op->kind == SB_OP_SCAN_NEXT) {
    p->key = k->host->random(k->host);
  } else {
    status = keyed_place(k, &op->key, &p->place, err);
    p->key = async_key(&op->key);
  }
  if (status == SB_OK)
    status = async_check_kind(k, op, p, err);
  if (status != SB_OK) {
    mem_free(k->host, p);
    return status;
  }
  op->internal[0] = p;
  op->internal[1] = NULL;
  op->result = sb_slice_of(NULL, 0);
  *out = p;
  return SB_OK;
}

static void
async_start(async *a, pending *p)
{
  pending *before = async_find(a, p->key);

  a->count++;
  if (before != NULL) {
    while (before->behind != NULL)
      before = before->behind;
    before->behind = p;
    return;
  }
  p->chain = *async_bucket(a, p->key);
  *async_bucket(a, p->key) = p;
  async_push(&a->ready_first, &a->ready_last, p);
}

sb_status
async_submit(sb_keyed *base, sb_op *const *ops, size_t count, sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);
  pending *p;
  size_t i;

  async_free_given(k);
  if (status == SB_OK && k->async == NULL)
    status = async_new(k, err);
  if (status != SB_OK)
    return status;
  for (i = 0; i < count; i++) {
    status = async_prepare(k, ops[i], &p, err);
    if (status != SB_OK)
      break;
  }
  if (status != SB_OK) {
    while (i-- > 0)
      mem_free(k->host, ops[i]->internal[0]);
    return status;
  }
  for (i = 0; i < count; i++) {
    keyed_count(async_writes(ops[i]->kind) ? &k->counters.writes
                                           : &k->counters.reads, 1);
    async_start(k->async, ops[i]->internal[0]);
  }
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
    pending *p = a->done_first;

    a->done_first = p->next;
    if (a->done_first == NULL)
      a->done_last = NULL;
    done[n++] = p->op;
    p->op->internal[0] = NULL;
    if (p->op->internal[1] != NULL) {
      given *g = p->op->internal[1];

      g->next = a->keyed->given;
      a->keyed->given = g;
      p->op->internal[1] = NULL;
    }
    mem_free(a->keyed->host, p);
    a->count--;
  }
  return n;
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
  while (a->count != 0) {
    int busy = a->queued != NULL || a->flying != NULL ||
               a->ready_first != NULL;

    if (key != NULL ? async_find(a, async_key(key)) == NULL : !busy)
      break;
    if (keyed_stopping(k))
      return sb_error_set(err, SB_CANCELLED, "the handle was interrupted");
    async_work(a);
    if (key != NULL ? async_find(a, async_key(key)) == NULL
                    : a->queued == NULL && a->flying == NULL)
      break;
    (void)async_wait(a, SB_NO_DEADLINE);
  }
  return SB_OK;
}

/* GETs under way write into our buffers: wait for them. */
void
async_free(keyed *k)
{
  async *a = k->async;
  piece *f;

  async_free_given(k);
  if (a == NULL)
    return;
  while (a->queued != NULL) {
    f = a->queued;
    a->queued = f->next;
    async_fail_piece(a, f, SB_CANCELLED);
  }
  while (a->gets != 0) {
    get_io *io, *next;

    pthread_mutex_lock(&a->lock);
    io = a->finished;
    a->finished = NULL;
    pthread_mutex_unlock(&a->lock);
    if (io == NULL)
      (void)async_wait(a, SB_NO_DEADLINE);
    for (; io != NULL; io = next) {
      next = io->next;
      a->gets--;
      async_free_io(a, io);
    }
  }
  while (a->flying != NULL) {
    f = a->flying;
    a->flying = f->next;
    async_fail_piece(a, f, SB_CANCELLED);
  }
  while (a->ready_first != NULL) {
    pending *p = a->ready_first;

    a->ready_first = p->next;
    if (a->ready_first == NULL)
      a->ready_last = NULL;
    async_finish(a, p, SB_CANCELLED);
  }
  while (a->done_first != NULL) {
    pending *p = a->done_first;

    a->done_first = p->next;
    mem_free(k->host, p->op->internal[1]);
    mem_free(k->host, p);
  }
  pthread_mutex_destroy(&a->lock);
  mem_free(k->host, a);
  k->async = NULL;
}
