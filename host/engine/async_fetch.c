/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reads of batches. Pieces of segments that operations wait for are sorted
 * by place; neighbours share a GET, identical ones join, and the number and
 * bytes of GETs under way are limited. Only the store's completion runs on
 * another thread.
 */
#include "config.h"

#include "host/engine/async.h"
#include "host/store/store.h"

#define ASYNC_GETS_MAX 128u   /* under way at once */
#define ASYNC_GAP_MAX 65536u  /* read over rather than ask twice */
#define ASYNC_GET_MAX ((uint64_t)1 << 20)

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

sb_status
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
  a->calls++;
  k->host->event_set(k->host, k->event);
  pthread_mutex_unlock(&a->lock);
  if (k->wake != NULL)
    k->wake(k->wake_arg);
  /* The owner may free all this once the last call has counted down. */
  pthread_mutex_lock(&a->lock);
  a->calls--;
  k->host->event_set(k->host, k->event);
  pthread_mutex_unlock(&a->lock);
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
  io->version = f->version;
  keyed_lock(a->keyed);
  io->version->refs++;
  keyed_unlock(a->keyed);
  io->pieces = f;
  a->queued = last->next;
  last->next = NULL;
  return io;
}

static void
async_free_io(async *a, get_io *io)
{
  engine_release(a->keyed->engine, (size_t)io->length);
  keyed_lock(a->keyed);
  version_unref(a->keyed, io->version);
  keyed_unlock(a->keyed);
  mem_free(a->keyed->host, io->buffer);
  mem_free(a->keyed->host, io);
}

static void
async_finish_waiting(async *a, piece *f, sb_status status)
{
  while (f->waiting != NULL) {
    pending *p = f->waiting;

    f->waiting = p->next;
    async_finish(a, p, status);
  }
}

/* Ends everything that waits for a piece that cannot be had. */
static void
async_fail_piece(async *a, piece *f, sb_status status)
{
  async_finish_waiting(a, f, status == SB_NOT_FOUND ? SB_CORRUPT : status);
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

  if (io->segment->root != NULL)
    return sb_error_set(&io->error, SB_UNSUPPORTED, "cannot read segment "
                        "\"%s\" of another store", io->segment->name);
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

void
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
    /* From now on they are found by their segment and range. */
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

int
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

sb_status
async_wait(async *a, uint64_t deadline_ns)
{
  keyed *k = a->keyed;

  return k->host->event_wait(k->host, k->event, deadline_ns);
}

/* Waits until no GET is under way and no completion still runs. */
static void
async_wait_gets(async *a)
{
  get_io *io, *next;
  uint32_t calls;

  for (;;) {
    pthread_mutex_lock(&a->lock);
    io = a->finished;
    a->finished = NULL;
    calls = a->calls;
    pthread_mutex_unlock(&a->lock);
    if (io == NULL && a->gets == 0 && calls == 0)
      return;
    if (io == NULL)
      (void)async_wait(a, SB_NO_DEADLINE);
    for (; io != NULL; io = next) {
      next = io->next;
      a->gets--;
      async_free_io(a, io);
    }
  }
}

void
async_cancel_pieces(async *a)
{
  piece *f;

  for (f = a->queued; f != NULL; f = f->next)
    async_finish_waiting(a, f, SB_CANCELLED);
  for (f = a->flying; f != NULL; f = f->next)
    async_finish_waiting(a, f, SB_CANCELLED);
}

void
async_end_fetches(async *a)
{
  piece *f;

  async_wait_gets(a);
  while ((f = a->queued) != NULL) {
    a->queued = f->next;
    async_free_piece(a, f);
  }
  while ((f = a->flying) != NULL) {
    a->flying = f->next;
    async_free_piece(a, f);
  }
}
