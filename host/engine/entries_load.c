/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fewer requests for comparing checkpoints: small segments are read whole with
 * one GET, and what one checkpoint's handles have read of a segment serves the
 * next one's.
 */
#include "config.h"

#include "host/engine/entries_read.h"

/* ---- whole segments ----------------------------------------------------- */

static int
load_block(reader_ctx *r, segment *s, const segment_block_ref *ref,
           const uint8_t *bytes)
{
  need n = { .segment = s, .kind = NEED_BLOCK, .offset = ref->offset,
             .length = ref->stored_len, .block = *ref };
  cache_entry *pin;

  if (ref->offset + ref->stored_len > s->info.size ||
      reader_install(r->keyed, &n, bytes + ref->offset, &pin, NULL) != SB_OK)
    return 0;
  cache_unpin(r->keyed->engine->cache, pin);
  return 1;
}

static void
load_blocks(reader_ctx *r, segment *s, const uint8_t *bytes)
{
  segment_directory *d = atomic_load(&s->directory);
  segment_partition view;
  segment_block_ref ref;
  cache_entry *pin;
  uint32_t i, j;
  size_t len;
  int good = 1;

  for (i = 0; good && i < segment_directory_count(d); i++) {
    if (reader_partition(r, s, d, i, &pin, NULL) != SB_OK)
      return;
    segment_partition_view(cache_data(pin, &len), len, &view);
    for (j = 0; good && j < segment_partition_count(&view); j++) {
      segment_partition_at(&view, j, &ref);
      good = load_block(r, s, &ref, bytes);
    }
    cache_unpin(r->keyed->engine->cache, pin);
  }
}

void
entries_load(reader_ctx *r, segment *s, uint64_t size_max)
{
  engine *e = r->keyed->engine;
  uint64_t size = s->info.size;
  need n = { .segment = s, .kind = NEED_TAIL, .offset = s->info.tail_offset,
             .length = s->info.tail_len };
  cache_entry *none;
  uint8_t *bytes;

  if (atomic_load(&s->directory) != NULL || s->root != NULL ||
      size > size_max || size > e->memory_limit / 32 ||
      s->info.tail_offset > size || s->info.tail_len > size)
    return;
  bytes = mem_alloc(e->host, (size_t)size);
  if (bytes == NULL)
    return;
  engine_charge(e, (size_t)size);
  if (reader_fetch(r, s, 0, bytes, size, NULL) == SB_OK &&
      reader_install(r->keyed, &n, bytes + s->info.tail_offset, &none,
                     NULL) == SB_OK)
    load_blocks(r, s, bytes);
  engine_release(e, (size_t)size);
  mem_free(e->host, bytes);
}

/* ---- sharing ------------------------------------------------------------ */

static segment *
share_find(keyed *k, const segment *like)
{
  size_t i;

  for (i = 0; i < k->version->count; i++)
    if (strcmp(k->version->views[i].segment->name, like->name) == 0)
      return k->version->views[i].segment;
  return NULL;
}

/* Calls fn for each segment that both have. */
static void
share_each(const entries_base *a, const entries_base *b,
           void (*fn)(keyed *k, segment *of_a, segment *of_b))
{
  size_t i, j;

  for (i = 0; i < a->count; i++) {
    keyed *k = a->operators[i].keyed;
    keyed *other = entries_base_find(b, a->operators[i].operator_id);

    for (j = 0; other != NULL && j < k->version->count; j++) {
      segment *s = k->version->views[j].segment;
      segment *same = share_find(other, s);

      if (same != NULL)
        fn(k, s, same);
    }
  }
}

static void
share_take(keyed *k, segment *mine, segment *theirs)
{
  segment_directory *none = NULL;

  (void)k;
  mine->number = theirs->number;
  (void)atomic_compare_exchange_strong(&mine->directory, &none,
                                       atomic_load(&theirs->directory));
}

static void
share_leave(keyed *k, segment *mine, segment *theirs)
{
  if (mine->number == theirs->number)
    mine->number = atomic_fetch_add(&k->engine->next_segment, 1);
  if (atomic_load(&mine->directory) == atomic_load(&theirs->directory))
    atomic_store(&mine->directory, NULL);
}

void
entries_base_share(entries_base *b, const entries_base *with)
{
  share_each(b, with, share_take);
}

void
entries_base_leave(entries_base *b, const entries_base *with)
{
  share_each(b, with, share_leave);
}
