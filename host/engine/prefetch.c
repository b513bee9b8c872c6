/* SPDX-License-Identifier: Apache-2.0 */
/* Waves of parallel reads ahead of a scan; see prefetch.h. */
#include "config.h"

#include <stdlib.h>

#include "host/engine/prefetch.h"
#include "host/engine/probe.h"
#include "host/store/store.h"

#define PREFETCH_WAVES 4u      /* tries: directories, partitions, blocks */
#define PREFETCH_GETS_MAX 128u /* under way at once */
#define PREFETCH_GAP_MAX 65536u /* read over rather than ask twice */
#define PREFETCH_GET_MAX ((uint64_t)1 << 20)
#define PREFETCH_BLOCKS_MAX 64u /* of a run, in a key group */
#define PREFETCH_SHARE 16u     /* of the memory budget */
#define PREFETCH_MIN ((size_t)256 << 10)

/* One GET for needs first..first + count - 1. */
typedef struct flight {
  struct wave *wave;
  size_t first, count;
  uint64_t offset, length;
  uint8_t *buffer;
  uint64_t op;
  sb_status status;
  int done;              /* guarded by the handle's lock */
} flight;

/* What is missing now. */
typedef struct wave {
  prefetch *owner;
  need *needs;
  size_t count, cap;
  uint64_t bytes;
  flight *flights;
  size_t flight_count;
  size_t under_way;      /* guarded by the handle's lock */
} wave;

void
prefetch_init(prefetch *p, keyed *k, sb_event *event, uint32_t priority)
{
  memset(p, 0, sizeof *p);
  p->keyed = k;
  p->event = event;
  p->priority = priority;
}

void
prefetch_drop(prefetch *p)
{
  size_t i;

  for (i = 0; i < p->pin_count; i++)
    cache_unpin(p->keyed->engine->cache, p->pins[i]);
  p->pin_count = 0;
  p->bytes = 0;
}

void
prefetch_dispose(prefetch *p)
{
  if (p->keyed == NULL)
    return;
  prefetch_drop(p);
  mem_free(p->keyed->host, p->pins);
  p->pins = NULL;
  p->pin_cap = 0;
}

static size_t
prefetch_budget(const prefetch *p)
{
  size_t share = p->keyed->engine->memory_limit / PREFETCH_SHARE;

  return share < PREFETCH_MIN ? PREFETCH_MIN : share;
}

/* Keeps a pin; without memory it goes back to the cache. */
static void
prefetch_keep(prefetch *p, cache_entry *pin)
{
  size_t len;

  if (p->pin_count == p->pin_cap) {
    size_t cap = p->pin_cap == 0 ? 64 : p->pin_cap * 2;
    cache_entry **pins = mem_realloc(p->keyed->host, p->pins,
                                     cap * sizeof *pins);

    if (pins == NULL) {
      cache_unpin(p->keyed->engine->cache, pin);
      return;
    }
    p->pins = pins;
    p->pin_cap = cap;
  }
  (void)cache_data(pin, &len);
  p->bytes += len;
  p->pins[p->pin_count++] = pin;
}

/* ---- what is missing ----------------------------------------------------- */

static void
wave_want(wave *w, const need *n)
{
  if (n->segment == NULL || n->segment->root != NULL)
    return;
  if (w->count == w->cap) {
    size_t cap = w->cap == 0 ? 64 : w->cap * 2;
    need *needs = mem_realloc(w->owner->keyed->host, w->needs,
                              cap * sizeof *needs);

    if (needs == NULL)
      return;
    w->needs = needs;
    w->cap = cap;
  }
  w->needs[w->count++] = *n;
  /* Parts of an index are read once and not held. */
  w->bytes += n->kind == NEED_BLOCK ? n->block.raw_len : n->length / 4;
}

/* The blocks of a run that the range begins with: pinned if the cache has
   them, else wanted. */
static void
wave_want_blocks(wave *w, segment *s, const probe_blocks *at)
{
  need n;
  reader_ctx ctx = { .keyed = w->owner->keyed,
                     .priority = w->owner->priority, .need = &n };
  uint32_t i, last = at->last;

  if (last > at->first + PREFETCH_BLOCKS_MAX - 1)
    last = at->first + PREFETCH_BLOCKS_MAX - 1;
  for (i = at->first; i <= last; i++) {
    segment_block_ref ref;
    cache_entry *pin;
    sb_status status;

    segment_partition_at(&at->view, i, &ref);
    n.segment = NULL;
    status = reader_block(&ctx, s, &ref, &pin, NULL);
    if (status == SB_OK)
      prefetch_keep(w->owner, pin);
    if (status == SB_OK && at->beyond)
      return;
    if (status == SB_BUSY)
      wave_want(w, &n);
  }
}

static void
wave_look(wave *w, const scan_range *range, const version *v,
          const record *from)
{
  size_t count, i;
  segment **runs = version_runs(v, from->key_group, &count);
  probe b;

  probe_init(&b, w->owner->keyed, range, from);
  for (i = 0; i < count; i++) {
    probe_blocks at;
    sb_status status;
    need n;

    n.segment = NULL;
    status = probe_run(&b, runs[i], &at, &n);
    if (status == SB_BUSY)
      wave_want(w, &n);
    if (status != SB_OK)
      continue;
    wave_want_blocks(w, runs[i], &at);
    cache_unpin(w->owner->keyed->engine->cache, at.pin);
  }
}

/* All key groups, as far as memory goes. Returns the last one. */
static uint32_t
wave_look_all(wave *w, const scan_range *range, const version *v,
              const record *from, uint32_t first, uint32_t last)
{
  size_t budget = prefetch_budget(w->owner);
  record at = *from;
  uint32_t g;

  for (g = first; g <= last; g++) {
    if (g > first)
      scan_range_first(range, g, &at);
    wave_look(w, range, v, &at);
    if (w->bytes + w->owner->bytes > budget)
      return g;
  }
  return last;
}

static int
wave_compare(const void *a, const void *b)
{
  const need *x = a, *y = b;

  if (x->segment != y->segment)
    return x->segment->number < y->segment->number ? -1 : 1;
  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  return 0;
}

/* In the order of places, each once. */
static void
wave_sort(wave *w)
{
  size_t i, kept = 0;

  if (w->count == 0)
    return;
  qsort(w->needs, w->count, sizeof *w->needs, wave_compare);
  for (i = 1; i < w->count; i++)
    if (wave_compare(&w->needs[kept], &w->needs[i]) != 0)
      w->needs[++kept] = w->needs[i];
  w->count = kept + 1;
}

/* ---- GETs ---------------------------------------------------------------- */

/* Under the lock, so that the waiter cannot be gone before this has ended. */
static void
flight_done(void *arg, const sb_store_result *result)
{
  flight *f = arg;
  prefetch *p = f->wave->owner;
  keyed *k = p->keyed;
  sb_status status = result->status;

  if (status == SB_OK && result->length != f->length)
    status = SB_CORRUPT;
  keyed_lock(k);
  f->status = status;
  f->done = 1;
  f->wave->under_way--;
  k->host->event_set(k->host, p->event);
  keyed_unlock(k);
}

/* Needs that share a GET, from `first` on. */
static void
flight_fill(const wave *w, size_t first, flight *f)
{
  const need *n = &w->needs[first];
  uint64_t end = n->offset + n->length;
  size_t i;

  memset(f, 0, sizeof *f);
  for (i = first + 1; i < w->count; i++) {
    const need *m = &w->needs[i];
    uint64_t to = m->offset + m->length;

    if (m->segment != n->segment || m->offset > end + PREFETCH_GAP_MAX ||
        to - n->offset > PREFETCH_GET_MAX)
      break;
    if (to > end)
      end = to;
  }
  f->first = first;
  f->count = i - first;
  f->offset = n->offset;
  f->length = end - n->offset;
}

/* A GET that cannot be begun ends at once. */
static void
flight_start(wave *w, flight *f)
{
  prefetch *p = w->owner;
  keyed *k = p->keyed;
  sb_get_request request;

  f->wave = w;
  f->done = 1;
  f->status = SB_NO_MEMORY;
  f->buffer = mem_alloc(k->host, (size_t)f->length);
  if (f->buffer == NULL)
    return;
  engine_charge(k->engine, (size_t)f->length);
  memset(&request, 0, sizeof request);
  request.base.struct_size = sizeof request;
  request.base.priority = p->priority;
  request.base.done = flight_done;
  request.base.arg = f;
  request.name = w->needs[f->first].segment->name;
  request.offset = f->offset;
  request.length = f->length;
  request.buffer = f->buffer;
  keyed_lock(k);
  f->done = 0;
  w->under_way++;
  keyed_unlock(k);
  atomic_fetch_add_explicit(&k->cold_reads, 1, memory_order_relaxed);
  if (store_get_async(k->host, k->engine->store, &request, &f->op, NULL) ==
      SB_OK)
    return;
  keyed_lock(k);
  f->done = 1;
  w->under_way--;
  keyed_unlock(k);
}

/* Asks the store to give up what is under way. */
static void
wave_cancel(wave *w)
{
  sb_store *store = w->owner->keyed->engine->store;
  size_t i;

  if (store->ops->cancel == NULL)
    return;
  for (i = 0; i < w->flight_count; i++) {
    flight *f = &w->flights[i];
    int done;

    keyed_lock(w->owner->keyed);
    done = f->done;
    keyed_unlock(w->owner->keyed);
    if (!done)
      store->ops->cancel(store, f->op);
  }
}

/* Until at most `most` GETs are under way. */
static void
wave_wait(wave *w, size_t most)
{
  keyed *k = w->owner->keyed;
  int asked = 0;

  keyed_lock(k);
  while (w->under_way > most) {
    if (keyed_stopping(k) && !asked) {
      asked = 1;
      keyed_unlock(k);
      wave_cancel(w);
      keyed_lock(k);
      continue;
    }
    (void)keyed_wait(k, w->owner->event, SB_NO_DEADLINE);
  }
  keyed_unlock(k);
}

static void
wave_fetch(wave *w)
{
  keyed *k = w->owner->keyed;
  size_t at = 0;

  w->flights = mem_zalloc(k->host, w->count * sizeof *w->flights);
  if (w->flights == NULL)
    return;
  while (at < w->count && !keyed_stopping(k)) {
    flight *f = &w->flights[w->flight_count++];

    flight_fill(w, at, f);
    flight_start(w, f);
    at += f->count;
    wave_wait(w, PREFETCH_GETS_MAX - 1);
  }
  wave_wait(w, 0);
}

/* Takes in what came and keeps it pinned. */
static void
wave_land(wave *w)
{
  prefetch *p = w->owner;
  size_t i, j;

  for (i = 0; i < w->flight_count; i++) {
    flight *f = &w->flights[i];

    for (j = f->first; f->status == SB_OK && j < f->first + f->count; j++) {
      const need *n = &w->needs[j];
      cache_entry *pin = NULL;

      if (reader_install(p->keyed, n, f->buffer + (n->offset - f->offset),
                         &pin, NULL) == SB_OK && pin != NULL)
        prefetch_keep(p, pin);
    }
    if (f->buffer != NULL)
      engine_release(p->keyed->engine, (size_t)f->length);
    mem_free(p->keyed->host, f->buffer);
  }
}

/* What the last wave brought is held until this one has taken what it needs
   of it. */
static uint32_t
wave_begin(wave *w, const scan_range *range, const version *v,
           const record *from, uint32_t first, uint32_t last)
{
  prefetch *p = w->owner, before = *p;

  p->pins = NULL;
  p->pin_count = p->pin_cap = 0;
  p->bytes = 0;
  last = wave_look_all(w, range, v, from, first, last);
  prefetch_dispose(&before);
  wave_sort(w);
  return last;
}

uint32_t
prefetch_range(prefetch *p, const scan_range *range, const version *v,
               const record *from, uint32_t first, uint32_t last)
{
  const sb_host *host = p->keyed->host;
  uint32_t tries, go_on = 1;

  prefetch_drop(p);
  for (tries = 0; tries < PREFETCH_WAVES && go_on; tries++) {
    wave w;

    memset(&w, 0, sizeof w);
    w.owner = p;
    last = wave_begin(&w, range, v, from, first, last);
    if (w.count != 0) {
      wave_fetch(&w);
      wave_land(&w);
    }
    go_on = w.count != 0 && !keyed_stopping(p->keyed);
    mem_free(host, w.flights);
    mem_free(host, w.needs);
  }
  return last;
}

int
prefetch_may_hold(keyed *k, const scan_range *range, segment *s,
                  const record *from)
{
  segment_block_ref ref;
  cache_entry *first;
  probe_blocks at;
  sb_status status;
  probe b;
  need n;

  n.segment = NULL;
  probe_init(&b, k, range, from);
  status = probe_run(&b, s, &at, &n);
  if (status == SB_NOT_FOUND)
    return 0;
  if (status != SB_OK)
    return PREFETCH_AWAY;
  segment_partition_at(&at.view, at.first, &ref);
  cache_unpin(k->engine->cache, at.pin);
  first = cache_get(k->engine->cache, s->number, ref.offset);
  if (first == NULL)
    return PREFETCH_AWAY;
  cache_unpin(k->engine->cache, first);
  return PREFETCH_HERE;
}
