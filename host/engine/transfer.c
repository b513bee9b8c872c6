/* SPDX-License-Identifier: Apache-2.0 */
/* Copying sets of objects; see transfer.h. */
#include "config.h"

#include <string.h>

#include "host/base/crc.h"
#include "host/base/mem.h"
#include "host/engine/transfer.h"
#include "host/store/wait.h"

#define TRANSFER_PIECE ((size_t)1 << 20) /* read at once by the client */

/* The copies under way: object i stands in place i modulo TRANSFER_WIDTH. */
typedef struct transfer_window {
  const transfer *t;
  const transfer_object *objects;
  const char *root;        /* for the store's copy; NULL: the same store */
  int by_store;
  store_wait waits[TRANSFER_WIDTH];
  sb_status submitted[TRANSFER_WIDTH];
  size_t started, ended;
} transfer_window;

/* The part of a root that says which plugin can read it. */
static size_t
transfer_scheme(const char *root)
{
  const char *colon = root == NULL ? NULL : strchr(root, ':');

  return colon == NULL ? 0 : (size_t)(colon - root) + 1;
}

/* Can the target's store copy these itself? */
static void
transfer_plan(transfer_window *w)
{
  const sb_store_info *to = store_info(w->t->to), *from;
  size_t len;

  w->by_store = (to->flags & SB_STORE_COPY) != 0 &&
                SB_STORE_HAS(w->t->to, copy);
  if (w->t->from == w->t->to)
    return;
  from = store_info(w->t->from);
  len = transfer_scheme(from->root);
  w->root = from->root;
  w->by_store = (to->flags & SB_STORE_COPY_FOREIGN) != 0 &&
                SB_STORE_HAS(w->t->to, copy) && len != 0 &&
                transfer_scheme(to->root) == len &&
                strncmp(from->root, to->root, len) == 0;
}

static sb_status
transfer_wrong_size(const transfer_object *o, uint64_t size, sb_error *err)
{
  return sb_error_set(err, SB_CORRUPT, "could not copy \"%s\": it has %llu "
                      "bytes, not %llu", o->source, (unsigned long long)size,
                      (unsigned long long)o->size);
}

/* ---- through the client ------------------------------------------------- */

/* One attempt. */
typedef struct transfer_pass {
  const transfer *t;
  const transfer_object *o;
  uint8_t *piece;
  size_t size;
  transfer_stops *stops;
  const void *arg;
  store_writer *writer;
} transfer_pass;

static sb_status
transfer_pieces(const transfer_pass *p, sb_error *err)
{
  const transfer *t = p->t;
  const transfer_object *o = p->o;
  uint64_t at = 0, got = p->size;
  store_meta meta = { .size = UINT64_MAX };
  char etag[SB_ETAG_MAX + 1] = "";
  uint32_t crc = 0;
  sb_status st = SB_OK;

  while (st == SB_OK && at < meta.size && got == p->size) {
    if (p->stops != NULL && p->stops(p->arg))
      return sb_error_set(err, SB_CANCELLED, "copying was cancelled");
    st = store_get(t->host, t->from, o->source, at, p->piece, p->size, &got,
                   &meta, SB_PRIORITY_CHECKPOINT, err);
    if (st == SB_OK && at != 0 && strcmp(etag, meta.etag) != 0)
      st = sb_error_set(err, SB_CORRUPT, "could not copy \"%s\": it changed "
                        "meanwhile", o->source);
    memcpy(etag, meta.etag, sizeof etag);
    if (st == SB_OK)
      st = store_writer_add(p->writer, p->piece, got, err);
    if (st == SB_OK)
      crc = crc32c_extend(crc, p->piece, (size_t)got);
    at += got;
  }
  if (st == SB_OK && o->size != 0 && at != o->size)
    st = transfer_wrong_size(o, at, err);
  if (st == SB_OK && o->has_crc32c && crc != o->crc32c)
    st = sb_error_set(err, SB_CORRUPT, "could not copy \"%s\": it is not what "
                      "was written", o->source);
  return st;
}

static sb_status
transfer_once(transfer_pass *p, sb_error *err)
{
  sb_status st = store_writer_open(p->t->host, p->t->to, p->o->name,
                                   p->o->size, SB_PRIORITY_CHECKPOINT,
                                   &p->writer, err);

  if (st != SB_OK)
    return st;
  st = transfer_pieces(p, err);
  if (st == SB_OK)
    return store_writer_commit(p->writer, NULL, err);
  store_writer_abort(p->writer);
  return st;
}

/* A damaged answer is asked for again once: the object may be whole. */
sb_status
transfer_by_client(const transfer *t, const transfer_object *o, void *piece,
                   size_t size, transfer_stops *stops, const void *arg,
                   sb_error *err)
{
  transfer_pass p = { t, o, piece, size, stops, arg, NULL };
  sb_status st = transfer_once(&p, err);

  return st == SB_CORRUPT ? transfer_once(&p, err) : st;
}

static sb_status
transfer_one(const transfer *t, const transfer_object *o, sb_error *err)
{
  void *piece = mem_alloc(t->host, TRANSFER_PIECE);
  sb_status st;

  if (piece == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not copy \"%s\": no memory",
                        o->source);
  st = transfer_by_client(t, o, piece, TRANSFER_PIECE, NULL, NULL, err);
  mem_free(t->host, piece);
  return st;
}

/* ---- by the store ------------------------------------------------------- */

static void
transfer_start(transfer_window *w)
{
  size_t i = w->started++ % TRANSFER_WIDTH;
  const transfer_object *o = &w->objects[w->started - 1];
  sb_copy_request request = { .source_root = w->root, .source = o->source,
                              .name = o->name };
  sb_store *to = w->t->to;

  store_wait_prepare(&w->waits[i], &request.base, sizeof request,
                     SB_PRIORITY_CHECKPOINT);
  w->submitted[i] = to->ops->copy(to, &request, NULL, &w->waits[i].error);
}

/* Another store's objects may be out of reach for this one, though not for the
   client that opened it. */
static int
transfer_try_client(const transfer_window *w, sb_status st)
{
  return st == SB_UNSUPPORTED ||
         (w->root != NULL && (st == SB_DENIED || st == SB_NOT_FOUND));
}

static sb_status
transfer_end(transfer_window *w, sb_error *err)
{
  size_t i = w->ended % TRANSFER_WIDTH;
  const transfer_object *o = &w->objects[w->ended++];
  uint64_t size;
  sb_status st;

  st = store_wait_end(&w->waits[i], w->submitted[i], "copy", o->source, err);
  if (transfer_try_client(w, st))
    return transfer_one(w->t, o, err);
  size = w->waits[i].meta.size;
  if (st == SB_OK && o->size != 0 && size != 0 && size != o->size)
    st = transfer_wrong_size(o, size, err);
  return st;
}

static sb_status
transfer_by_store(transfer_window *w, size_t count, sb_error *err)
{
  sb_status st = SB_OK, ended;

  while (w->ended < count && (st == SB_OK || w->ended < w->started)) {
    while (st == SB_OK && w->started < count &&
           w->started - w->ended < TRANSFER_WIDTH)
      transfer_start(w);
    if (w->ended == w->started)
      break;
    ended = transfer_end(w, st == SB_OK ? err : NULL);
    st = st == SB_OK ? ended : st;
  }
  return st;
}

/* ---- all of it ---------------------------------------------------------- */

static void
transfer_undo(const transfer *t, const transfer_object *objects, size_t count)
{
  const char *list[TRANSFER_WIDTH];
  size_t i, n = 0;

  for (i = 0; i < count; i++) {
    list[n++] = objects[i].name;
    if (n < TRANSFER_WIDTH && i + 1 < count)
      continue;
    (void)store_remove(t->host, t->to, list, n, NULL, NULL);
    n = 0;
  }
}

static sb_status
transfer_window_init(transfer_window *w, size_t count, sb_error *err)
{
  size_t i;
  sb_status st = SB_OK;

  for (i = 0; st == SB_OK && i < TRANSFER_WIDTH && i < count; i++)
    st = store_wait_init(&w->waits[i], w->t->host, err);
  return st;
}

sb_status
transfer_copy(const transfer *t, const transfer_object *objects, size_t count,
              sb_error *err)
{
  transfer_window *w = mem_zalloc(t->host, sizeof *w);
  size_t i;
  sb_status st = SB_OK;

  if (w == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for copying objects");
  w->t = t;
  w->objects = objects;
  transfer_plan(w);
  for (i = 0; st == SB_OK && i < count; i++) {
    st = store_name_check(objects[i].source, err);
    if (st == SB_OK)
      st = store_name_check(objects[i].name, err);
  }
  if (st == SB_OK)
    st = transfer_window_init(w, count, err);
  if (st == SB_OK && w->by_store)
    st = transfer_by_store(w, count, err);
  while (st == SB_OK && w->ended < count) {
    w->started = ++w->ended;
    st = transfer_one(t, &objects[w->ended - 1], err);
  }
  if (st != SB_OK)
    transfer_undo(t, objects, w->started);
  for (i = 0; i < TRANSFER_WIDTH; i++)
    store_wait_dispose(&w->waits[i]);
  mem_free(t->host, w);
  return st;
}
