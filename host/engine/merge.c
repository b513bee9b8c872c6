/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors over segments, and several of them merged; see reader.h. */
#include "config.h"

#include "host/engine/migrate.h"
#include "host/engine/front.h"

/* ---- one run ------------------------------------------------------------ */

void
run_init(run *c, reader_ctx *r, segment *s, uint32_t key_group_last,
         size_t ahead_max)
{
  memset(c, 0, sizeof *c);
  c->reader = r;
  c->segment = s;
  c->key_group_last = key_group_last;
  c->ahead_max = ahead_max;
  buf_init(&c->raw, r->keyed->host, SEGMENT_BLOCK_RAW_MAX);
  buf_init(&c->ahead, r->keyed->host, SEGMENT_BLOCK_RAW_MAX);
}

static void
run_unpin(run *c, cache_entry **pin)
{
  if (*pin != NULL)
    cache_unpin(c->reader->keyed->engine->cache, *pin);
  *pin = NULL;
}

void
run_dispose(run *c)
{
  if (c->reader == NULL)
    return;
  run_unpin(c, &c->block_pin);
  run_unpin(c, &c->partition_pin);
  buf_dispose(&c->raw);
  buf_dispose(&c->ahead);
  c->valid = 0;
}

static sb_status
run_open_partition(run *c, uint32_t index, sb_error *err)
{
  const void *bytes;
  size_t len;
  sb_status status;

  if (c->partition_pin != NULL && c->partition == index)
    return SB_OK;
  run_unpin(c, &c->partition_pin);
  status = reader_partition(c->reader, c->segment, c->directory, index,
                            &c->partition_pin, err);
  if (status != SB_OK)
    return status;
  c->partition = index;
  bytes = cache_data(c->partition_pin, &len);
  segment_partition_view(bytes, len, &c->view);
  return SB_OK;
}

/* Stored bytes of the block in c->ahead, reading more ahead the longer the
   run goes on. */
static sb_status
run_read_ahead(run *c, const segment_block_ref *ref, const uint8_t **stored,
               sb_error *err)
{
  uint64_t end = c->ahead_offset + c->ahead.len, window, blocks_end;
  segment_block_ref last;
  sb_status status;
  void *room;

  if (ref->offset >= c->ahead_offset &&
      ref->offset + ref->stored_len <= end) {
    *stored = c->ahead.data + (ref->offset - c->ahead_offset);
    return SB_OK;
  }
  segment_partition_at(&c->view, segment_partition_count(&c->view) - 1, &last);
  blocks_end = last.offset + last.stored_len;
  window = (uint64_t)8192 << (c->sequential < 8 ? c->sequential : 8);
  if (window > c->ahead_max)
    window = c->ahead_max;
  if (window < ref->stored_len)
    window = ref->stored_len;
  if (window > blocks_end - ref->offset)
    window = blocks_end - ref->offset;
  buf_clear(&c->ahead);
  room = buf_extend(&c->ahead, (size_t)window);
  if (room == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read ahead %llu bytes "
                        "of segment \"%s\"", (unsigned long long)window,
                        c->segment->name);
  c->ahead_offset = ref->offset;
  status = reader_fetch(c->reader, c->segment, ref->offset, room, window, err);
  if (status != SB_OK) {
    buf_clear(&c->ahead);
    return status;
  }
  *stored = c->ahead.data;
  return SB_OK;
}

static sb_status
run_unpack(run *c, const segment_block_ref *ref, sb_error *err)
{
  const uint8_t *stored = NULL;
  sb_status status = SB_CORRUPT;
  void *raw;
  int tries;

  buf_clear(&c->raw);
  raw = buf_extend(&c->raw, ref->raw_len);
  if (raw == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not unpack a block of segment \"%s\"",
                        c->segment->name);
  for (tries = 0; tries < 2 && status == SB_CORRUPT; tries++) {
    status = run_read_ahead(c, ref, &stored, err);
    if (status == SB_OK)
      status = segment_block_decode(&c->segment->info, ref, stored, raw, err);
    if (status == SB_OK)
      status = block_check(raw, ref->raw_len, err);
    if (status == SB_CORRUPT)
      buf_clear(&c->ahead); /* read it once more */
  }
  if (status == SB_OK)
    block_view(raw, ref->raw_len, &c->block_view);
  return status;
}

/* Nobody has asked for the block yet, but somebody will: the cache keeps what
   was asked for twice. */
static void
run_ask_again(cache *blocks, const need *n)
{
  cache_entry *e;
  int i;

  for (i = 0; i < 2; i++) {
    e = cache_get(blocks, n->segment->number, n->offset);
    if (e != NULL)
      cache_unpin(blocks, e);
  }
}

/* Reads a block and those behind it with one GET, all into the cache. */
static sb_status
run_read_kept(run *c, uint32_t index, uint64_t end, void *bytes, sb_error *err)
{
  keyed *k = c->reader->keyed;
  need n = { .segment = c->segment, .kind = NEED_BLOCK };
  uint32_t i, last = run_last_kept(k, &c->view, index);
  uint64_t start = 0;
  cache_entry *pin;
  sb_status status = SB_OK;

  for (i = index; i <= last && status == SB_OK; i++) {
    segment_partition_at(&c->view, i, &n.block);
    n.offset = n.block.offset;
    n.length = n.block.stored_len;
    if (i == index) {
      start = n.offset;
      status = reader_fetch(c->reader, c->segment, start, bytes, end - start,
                            err);
    }
    if (status == SB_OK)
      status = reader_install(k, &n, (const uint8_t *)bytes + n.offset - start,
                              &pin, err);
    if (status == SB_OK && i == index) {
      c->block_pin = pin;
    } else if (status == SB_OK) {
      cache_unpin(k->engine->cache, pin);
      run_ask_again(k->engine->cache, &n);
    }
  }
  return status;
}

/* The same, with the memory for it. Whatever goes wrong, reading the block
   alone tells what. */
static void
run_keep_blocks(run *c, uint32_t index, const segment_block_ref *ref)
{
  keyed *k = c->reader->keyed;
  segment_block_ref last;
  size_t len;
  void *bytes;

  segment_partition_at(&c->view, run_last_kept(k, &c->view, index), &last);
  if (c->kept == 0 || last.offset == ref->offset)
    return;
  c->block_pin = cache_get(k->engine->cache, c->segment->number, ref->offset);
  len = (size_t)(last.offset + last.stored_len - ref->offset);
  bytes = c->block_pin != NULL ? NULL : mem_alloc(k->host, len);
  if (bytes == NULL)
    return;
  engine_charge(k->engine, len);
  (void)run_read_kept(c, index, last.offset + last.stored_len, bytes, NULL);
  engine_release(k->engine, len);
  mem_free(k->host, bytes);
}

/* Block `index` of the open partition, through the cache unless the run is
   long. */
static sb_status
run_open_block(run *c, uint32_t index, sb_error *err)
{
  segment_block_ref ref;
  const void *raw;
  size_t len;
  sb_status status;

  run_unpin(c, &c->block_pin);
  segment_partition_at(&c->view, index, &ref);
  c->block = index;
  if (c->ahead_max != 0 && c->sequential > c->kept)
    c->block_pin = cache_get(c->reader->keyed->engine->cache,
                             c->segment->number, ref.offset);
  if (c->ahead_max != 0 && c->sequential > c->kept && c->block_pin == NULL)
    return run_unpack(c, &ref, err);
  if (c->block_pin == NULL)
    run_keep_blocks(c, index, &ref);
  if (c->block_pin == NULL) {
    status = reader_block(c->reader, c->segment, &ref, &c->block_pin, err);
    if (status != SB_OK)
      return status;
  }
  raw = cache_data(c->block_pin, &len);
  block_view(raw, len, &c->block_view);
  return SB_OK;
}

static uint64_t
run_first_bytes(sb_slice bytes)
{
  const uint8_t *p = bytes.data;
  uint64_t v = 0;
  size_t i;

  if (bytes.len >= 8)
    return __builtin_bswap64(load_u64(p));
  for (i = 0; i < bytes.len; i++)
    v |= (uint64_t)p[i] << (56 - 8 * i);
  return v;
}

/* Two numbers that order as the record does, as far as they differ. */
static void
run_note_order(run *c)
{
  const record *r = &c->record;

  c->place = run_place(r->key_group, r->state, r->ns.len != 0);
  if (r->ns.len != 0)
    c->prefix = run_first_bytes(r->ns);
  else
    c->prefix = r->flags & RECORD_ORDERED ? run_first_bytes(r->key) : r->hash;
}

int
run_compare(const run *a, const run *b)
{
  if (a->place != b->place)
    return a->place < b->place ? -1 : 1;
  if (a->prefix != b->prefix)
    return a->prefix < b->prefix ? -1 : 1;
  return record_compare(&a->record, &b->record);
}

/* Makes c->at the current record, moving to the next block or partition when
   it is past the end of this one. */
static sb_status
run_settle(run *c, sb_error *err)
{
  sb_status status;

  c->valid = 0;
  while (c->at >= c->block_view.count) {
    c->at = 0;
    c->sequential++;
    if (c->block + 1 < segment_partition_count(&c->view)) {
      status = run_open_block(c, c->block + 1, err);
    } else if (c->partition + 1 < segment_directory_count(c->directory)) {
      const segment_partition_info *next =
        segment_directory_at(c->directory, c->partition + 1);

      if (next->key_group_first > c->key_group_last)
        return SB_END;
      status = run_open_partition(c, c->partition + 1, err);
      if (status == SB_OK)
        status = run_open_block(c, 0, err);
    } else {
      return SB_END;
    }
    if (status != SB_OK)
      return status;
  }
  block_at(&c->block_view, c->at, &c->record);
  if (c->record.key_group > c->key_group_last)
    return SB_END;
  run_note_order(c);
  c->valid = 1;
  return SB_OK;
}

sb_status
run_seek(run *c, const record *key, sb_error *err)
{
  sb_status status;

  c->valid = 0;
  c->sequential = 0;
  status = reader_directory(c->reader, c->segment, &c->directory, err);
  if (status == SB_OK)
    status = run_open_partition(
      c, segment_directory_find(c->directory, key), err);
  if (status == SB_OK)
    status = run_open_block(c, segment_partition_find(&c->view, key), err);
  if (status != SB_OK)
    return status;
  c->at = block_seek(&c->block_view, key);
  return run_settle(c, err);
}

sb_status
run_next(run *c, sb_error *err)
{
  c->at++;
  return run_settle(c, err);
}

/* ---- several runs ------------------------------------------------------- */

sb_status
merge_init(merge *m, const sb_host *host, size_t count)
{
  memset(m, 0, sizeof *m);
  m->current = SIZE_MAX;
  buf_init(&m->cleared_bytes, host, SB_KEY_MAX + SB_NAMESPACE_MAX);
  buf_init(&m->migrated, host, (size_t)SB_VALUE_MAX + 65536);
  buf_init(&m->front, host, (size_t)SB_KEY_MAX + 1);
  m->runs = mem_zalloc(host, (count + 1) * sizeof *m->runs);
  if (m->runs == NULL)
    return SB_NO_MEMORY;
  m->count = count;
  return SB_OK;
}

void
merge_dispose(merge *m, const sb_host *host)
{
  size_t i;

  for (i = 0; i < m->count; i++)
    run_dispose(&m->runs[i]);
  mem_free(host, m->runs);
  buf_dispose(&m->cleared_bytes);
  buf_dispose(&m->front);
  buf_dispose(&m->migrated);
  memset(m, 0, sizeof *m);
}

/* Steps a run over its current record; its end is no failure. */
static sb_status
merge_step(run *c, sb_error *err)
{
  sb_status status = run_next(c, err);

  return status == SB_END ? SB_OK : status;
}

/* The newest of the runs with the least record; *older is 1 if older ones have
   it too. */
static size_t
merge_least(const merge *m, int *older)
{
  size_t least = SIZE_MAX, i;
  int c;

  *older = 0;
  for (i = 0; i < m->count; i++) {
    if (!m->runs[i].valid)
      continue;
    c = least == SIZE_MAX ? -1 : run_compare(&m->runs[i], &m->runs[least]);
    if (c < 0)
      least = i;
    *older = c == 0 || (c > 0 && *older);
  }
  return least;
}

/* Steps all older runs over records equal to the least one. */
static sb_status
merge_skip_older(merge *m, size_t least, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i;

  for (i = least + 1; i < m->count && status == SB_OK; i++)
    if (m->runs[i].valid && run_compare(&m->runs[i], &m->runs[least]) == 0)
      status = merge_step(&m->runs[i], err);
  return status;
}

static sb_status
merge_note_clear(merge *m, const record *r, size_t rank, sb_error *err)
{
  buf_clear(&m->cleared_bytes);
  buf_add(&m->cleared_bytes, r->key.data, r->key.len);
  buf_add(&m->cleared_bytes, r->ns.data, r->ns.len);
  if (m->cleared_bytes.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not merge: no memory");
  m->cleared = *r;
  m->cleared.key = sb_slice_of(m->cleared_bytes.data, r->key.len);
  m->cleared.ns = sb_slice_of(m->cleared_bytes.data + r->key.len, r->ns.len);
  m->cleared_rank = rank;
  m->has_cleared = 1;
  return SB_OK;
}

/* The record is a front: the least, of all runs together. */
static sb_status
merge_pass_front(merge *m, sb_error *err)
{
  sb_status status;

  m->record = m->runs[m->current].record;
  m->record.key = m->record.ns = sb_slice_of(NULL, 0);
  m->record.subkey = sb_slice_of(NULL, 0);
  status = front_join(m, &m->record, err);
  m->record.value = sb_slice_of(m->front.data, m->front.len);
  m->passed = 1;
  return status;
}

sb_status
merge_first(merge *m, sb_error *err)
{
  sb_status status = SB_OK;
  int older;

  m->passed = 0;
  for (;;) {
    size_t least = merge_least(m, &older);

    m->current = least;
    if (least == SIZE_MAX)
      return SB_END;
    if (record_is_front(&m->runs[least].record))
      return merge_pass_front(m, err);
    if (older)
      status = merge_skip_older(m, least, err);
    if (status != SB_OK)
      return status;
    record_copy(&m->record, &m->runs[least].record);
    if (m->record.flags & RECORD_CLEAR)
      return merge_note_clear(m, &m->record, least, err);
    if (!m->has_cleared || least <= m->cleared_rank ||
        record_compare_key(&m->record, &m->cleared) != 0)
      return SB_OK;
    status = merge_step(&m->runs[least], err);
    if (status != SB_OK)
      return status;
  }
}

sb_status
merge_next(merge *m, sb_error *err)
{
  sb_status status;

  if (m->current == SIZE_MAX)
    return SB_END;
  if (m->passed)
    return merge_first(m, err);
  status = merge_step(&m->runs[m->current], err);
  if (status != SB_OK)
    return status;
  return merge_first(m, err);
}

sb_status
merge_migrate(merge *m, sb_error *err)
{
  const run *c = &m->runs[m->current];
  keyed *k = c->reader->keyed;
  const rule *r;

  if ((m->record.flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) ||
      (m->rules == NULL &&
       atomic_load_explicit(&k->migrating, memory_order_relaxed) == 0))
    return SB_OK;
  if (!m->has_rule || m->rule.state != m->record.state) {
    m->has_rule = 1;
    if (m->rules == NULL) {
      (void)migrate_rule(k, m->record.state, &m->rule);
    } else {
      r = rules_find(m->rules, m->record.state);
      memset(&m->rule, 0, sizeof m->rule);
      m->rule.state = m->record.state;
      if (r != NULL)
        m->rule = *r;
    }
  }
  if (m->rule.migrate == NULL)
    return SB_OK;
  return migrate_value(k, c->segment, &m->rule, &m->record.value,
                       &m->migrated, err);
}
