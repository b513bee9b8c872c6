/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a set of objects; see adopt.h. */
#include "config.h"

#include "host/engine/adopt.h"
#include "host/engine/transfer.h"
#include "host/store/store.h"

#define ADOPT_WINDOW 16u /* copies under way */
#define ADOPT_PIECE ((size_t)1 << 20) /* read at once by the client */

typedef struct adopt adopt;

/* One copy under way. */
typedef struct adopt_slot {
  adopt *of;
  adoption *item;  /* lock; NULL: free */
  uint64_t op;
} adopt_slot;

struct adopt {
  keyed *keyed;
  sb_event *event;
  const atomic_int *cancelled;
  adoption *list;
  size_t count, next;
  adopt_slot slots[ADOPT_WINDOW];
  size_t under_way;   /* lock */
  int cannot;         /* lock: the store cannot copy */
  sb_status status;   /* lock: of the first that failed */
  sb_error error;
  int told;           /* those under way were asked to end */
};

static int
adopt_stopping(const void *arg)
{
  const adopt *a = arg;

  return keyed_stopping(a->keyed) ||
         (a->cancelled != NULL && atomic_load(a->cancelled));
}

/* An object that manifests name and the store has not is lost. */
static sb_status
adopt_failure(const adoption *item, sb_status status, const char *message,
              sb_error *err)
{
  if (status == SB_NOT_FOUND)
    return sb_error_set(err, SB_CORRUPT, "could not copy segment \"%s\": the "
                        "object is missing", item->source);
  return sb_error_set(err, status, "could not copy segment \"%s\": %s",
                      item->source, message);
}

/* With the lock held. */
static void
adopt_failed(adopt *a, const adoption *item, sb_status status,
             const char *message)
{
  if (a->status == SB_OK)
    a->status = adopt_failure(item, status, message, &a->error);
}

/* ---- on the store's side ------------------------------------------------- */

/* Under the lock, so that the waiter cannot be gone before this has ended. */
static void
adopt_done(void *arg, const sb_store_result *result)
{
  adopt_slot *slot = arg;
  adopt *a = slot->of;
  adoption *item;

  keyed_lock(a->keyed);
  item = slot->item;
  slot->item = NULL;
  a->under_way--;
  if (result->status == SB_UNSUPPORTED) {
    a->cannot = 1;
    item->begun = 0;
  } else if (result->status != SB_OK) {
    adopt_failed(a, item, result->status, result->error->message);
  } else if (result->size != 0 && result->size != item->size) {
    adopt_failed(a, item, SB_CORRUPT, "the object has another size");
  }
  a->keyed->host->event_set(a->keyed->host, a->event);
  keyed_unlock(a->keyed);
}

static void
adopt_submit(adopt *a, adopt_slot *slot, adoption *item)
{
  keyed *k = a->keyed;
  sb_copy_request request;
  sb_error local;
  sb_status status;

  memset(&request, 0, sizeof request);
  request.base.struct_size = sizeof request;
  request.base.priority = SB_PRIORITY_CHECKPOINT;
  request.base.done = adopt_done;
  request.base.arg = slot;
  request.source = item->source;
  request.name = item->name;
  keyed_lock(k);
  slot->item = item;
  item->begun = 1;
  a->under_way++;
  keyed_unlock(k);
  status = store_copy_async(k->host, k->engine->store, &request, &slot->op,
                            &local);
  if (status == SB_OK)
    return;
  keyed_lock(k);
  slot->item = NULL;
  item->begun = 0;
  a->under_way--;
  if (status == SB_UNSUPPORTED)
    a->cannot = 1;
  else
    adopt_failed(a, item, status, local.message);
  keyed_unlock(k);
}

static adopt_slot *
adopt_free_slot(adopt *a)
{
  size_t i;

  for (i = 0; i < ADOPT_WINDOW; i++)
    if (a->slots[i].item == NULL)
      return &a->slots[i];
  return NULL;
}

static void
adopt_cancel(adopt *a)
{
  sb_store *store = a->keyed->engine->store;
  uint64_t ops[ADOPT_WINDOW];
  size_t count = 0, i;

  a->told = 1;
  if (store->ops->cancel == NULL)
    return;
  for (i = 0; i < ADOPT_WINDOW; i++)
    if (a->slots[i].item != NULL)
      ops[count++] = a->slots[i].op;
  keyed_unlock(a->keyed);
  for (i = 0; i < count; i++)
    store->ops->cancel(store, ops[i]);
  keyed_lock(a->keyed);
}

/* Keeps the window full; with the lock held, which is released meanwhile. */
static void
adopt_on_store(adopt *a)
{
  adopt_slot *slot;

  for (;;) {
    int over = a->status != SB_OK || a->cannot || adopt_stopping(a) ||
               a->next == a->count;

    slot = over ? NULL : adopt_free_slot(a);
    if (slot != NULL) {
      adoption *item = &a->list[a->next++];

      keyed_unlock(a->keyed);
      adopt_submit(a, slot, item);
      keyed_lock(a->keyed);
      continue;
    }
    if (a->under_way == 0)
      return;
    if (adopt_stopping(a) && !a->told)
      adopt_cancel(a);
    else
      (void)keyed_wait(a->keyed, a->event, SB_NO_DEADLINE);
  }
}

/* ---- through the client -------------------------------------------------- */

static sb_status
adopt_through(adopt *a, adoption *item, void *piece, size_t piece_size)
{
  keyed *k = a->keyed;
  transfer t = { k->host, k->engine->store, k->engine->store };
  transfer_object o = { item->source, item->name, item->size, item->crc32c,
                        1 };
  sb_status status;

  item->begun = 1;
  status = transfer_by_client(&t, &o, piece, piece_size, adopt_stopping, a,
                              &a->error);
  return status == SB_NOT_FOUND ? adopt_failure(item, status, NULL, &a->error)
                                : status;
}

/* Those that the store did not copy. */
static void
adopt_by_client(adopt *a)
{
  keyed *k = a->keyed;
  size_t size = k->engine->memory_limit / 64, i;
  void *piece;

  if (size > ADOPT_PIECE)
    size = ADOPT_PIECE;
  piece = mem_alloc(k->host, size);
  if (piece == NULL) {
    a->status = sb_error_set(&a->error, SB_NO_MEMORY,
                             "could not copy segments: no memory");
    return;
  }
  engine_charge(k->engine, size);
  for (i = 0; i < a->count && a->status == SB_OK; i++)
    if (!a->list[i].begun)
      a->status = adopt_through(a, &a->list[i], piece, size);
  engine_release(k->engine, size);
  mem_free(k->host, piece);
}

/* ---- all or nothing ------------------------------------------------------ */

void
adopt_remove(keyed *k, adoption *list, size_t count)
{
  const char **names = mem_alloc(k->host, count * sizeof *names);
  sb_status *statuses = mem_alloc(k->host, count * sizeof *statuses);
  size_t n = 0, i;

  if (names != NULL && statuses != NULL) {
    for (i = 0; i < count; i++) {
      statuses[i] = SB_UNKNOWN;
      if (list[i].begun)
        names[n++] = list[i].name;
    }
    if (n != 0)
      (void)store_remove(k->host, k->engine->store, names, n, statuses, NULL);
    for (i = 0, n = 0; i < count; i++)
      if (list[i].begun)
        list[i].begun = statuses[n++] != SB_OK;
  }
  mem_free(k->host, (void *)names);
  mem_free(k->host, statuses);
}

sb_status
adopt_objects(keyed *k, sb_event *event, const atomic_int *cancelled,
              adoption *list, size_t count, sb_error *err)
{
  adopt a;
  size_t i;

  memset(&a, 0, sizeof a);
  a.keyed = k;
  a.event = event;
  a.cancelled = cancelled;
  a.list = list;
  a.count = count;
  for (i = 0; i < ADOPT_WINDOW; i++)
    a.slots[i].of = &a;
  keyed_lock(k);
  adopt_on_store(&a);
  keyed_unlock(k);
  if (a.status == SB_OK && a.cannot)
    adopt_by_client(&a);
  if (adopt_stopping(&a))
    a.status = sb_error_set(&a.error, SB_CANCELLED, "copying segments of "
                            "\"%s\" was cancelled", k->operator_id);
  if (a.status == SB_OK)
    return SB_OK;
  adopt_remove(k, list, count);
  return sb_error_set(err, a.status, "%s", a.error.message);
}
