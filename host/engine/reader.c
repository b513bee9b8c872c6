/* SPDX-License-Identifier: Apache-2.0 */
/* Directories, partitions, blocks and lookups; see reader.h. */
#include "config.h"

#include "host/engine/migrate.h"
#include "host/engine/front.h"
#include "host/store/store.h"

#define TAIL_MAX (4u << 20) /* longer tails are read by parts */

/* ---- waiting for one GET ------------------------------------------------ */

typedef struct fetch {
  keyed *keyed;
  sb_event *event;
  int done; /* guarded by the handle's lock */
  sb_status status;
  uint64_t length;
  sb_error error;
} fetch;

/* Under the lock, so that the waiter cannot be gone before this has ended. */
static void
fetch_done(void *arg, const sb_store_result *result)
{
  fetch *f = arg;
  keyed *k = f->keyed;

  f->status = result->status;
  f->length = result->length;
  if (result->error != NULL)
    f->error = *result->error;
  keyed_lock(k);
  f->done = 1;
  k->host->event_set(k->host, f->event);
  keyed_unlock(k);
}

static void
fetch_wait(fetch *f, uint64_t op)
{
  keyed *k = f->keyed;
  sb_store *store = k->engine->store;
  int asked = 0;

  keyed_lock(k);
  while (!f->done) {
    if (keyed_stopping(k) && !asked && store->ops->cancel != NULL) {
      asked = 1;
      keyed_unlock(k);
      store->ops->cancel(store, op);
      keyed_lock(k);
      continue;
    }
    /* As a waiter, so that an interrupt reaches it on any event. */
    (void)keyed_wait(k, f->event, SB_NO_DEADLINE);
  }
  keyed_unlock(k);
}

/* An object that manifests name and the store has not is a lost object, not a
   record that was not found. */
static sb_status
reader_failure(const segment *s, sb_status status, const char *message,
               sb_error *err)
{
  if (status == SB_NOT_FOUND)
    return sb_error_set(err, SB_CORRUPT, "could not read segment \"%s\": the "
                        "object is missing", s->name);
  return sb_error_set(err, status, "could not read segment \"%s\": %s",
                      s->name, message);
}

static sb_status
reader_get(reader_ctx *r, const segment *s, uint64_t offset, void *buffer,
           uint64_t length, sb_error *err)
{
  keyed *k = r->keyed;
  sb_get_request request;
  sb_error local;
  sb_status status;
  uint64_t op = 0;
  fetch f;

  memset(&f, 0, sizeof f);
  f.keyed = k;
  f.event = r->event;
  memset(&request, 0, sizeof request);
  request.base.struct_size = sizeof request;
  request.base.priority = r->priority;
  request.base.done = fetch_done;
  request.base.arg = &f;
  request.name = s->name;
  request.offset = offset;
  request.length = length;
  request.buffer = buffer;
  status = store_get_async(k->host, k->engine->store, &request, &op, &local);
  if (status != SB_OK)
    return reader_failure(s, status, local.message, err);
  fetch_wait(&f, op);
  if (f.status != SB_OK)
    return reader_failure(s, f.status, f.error.message, err);
  if (f.length != length)
    return sb_error_set(err, SB_CORRUPT, "could not read segment \"%s\": %llu "
                        "of %llu bytes at %llu, the object is cut", s->name,
                        (unsigned long long)f.length,
                        (unsigned long long)length,
                        (unsigned long long)offset);
  return SB_OK;
}

sb_status
reader_fetch(reader_ctx *r, const segment *s, uint64_t offset, void *buffer,
             uint64_t length, sb_error *err)
{
  if (keyed_stopping(r->keyed))
    return sb_error_set(err, SB_CANCELLED, "reading was interrupted");
  if (s->root != NULL)
    return sb_error_set(err, SB_UNSUPPORTED, "cannot read segment \"%s\" of "
                        "another store, \"%s\"", s->name, s->root);
  atomic_fetch_add_explicit(&r->keyed->cold_reads, 1, memory_order_relaxed);
  return reader_get(r, s, offset, buffer, length, err);
}

/* ---- taking bytes in ---------------------------------------------------- */

static sb_status
install_directory(keyed *k, segment *s, const void *bytes, size_t len,
                  sb_error *err)
{
  segment_directory *d = NULL, *expected = NULL;
  sb_status status = segment_directory_open(k->host, &s->info, bytes, len, &d,
                                            err);

  if (status != SB_OK)
    return status;
  if (!atomic_compare_exchange_strong(&s->directory, &expected, d)) {
    segment_directory_free(k->host, d);
    return SB_OK;
  }
  engine_charge(k->engine, segment_directory_memory(d));
  return SB_OK;
}

static sb_status
install_copy(keyed *k, const segment *s, uint64_t offset, const void *bytes,
             size_t len, cache_entry **pin, sb_error *err)
{
  void *copy = mem_dup(k->host, bytes, len);

  if (copy == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not keep %zu bytes of segment \"%s\"", len,
                        s->name);
  if (pin == NULL) {
    (void)cache_put(k->engine->cache, s->number, offset, copy, len, 0);
    return SB_OK;
  }
  *pin = cache_put(k->engine->cache, s->number, offset, copy, len, 1);
  if (*pin == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not keep %zu bytes of segment \"%s\"", len,
                        s->name);
  return SB_OK;
}

static sb_status
install_tail(keyed *k, segment *s, const uint8_t *bytes, sb_error *err)
{
  size_t skip = (size_t)(s->info.directory_offset - s->info.tail_offset);
  segment_directory *d;
  uint32_t i;
  sb_status status = install_directory(k, s, bytes + skip,
                                       s->info.tail_len - skip, err);

  if (status != SB_OK)
    return status;
  d = atomic_load(&s->directory);
  for (i = 0; i < segment_directory_count(d); i++) {
    const segment_partition_info *p = segment_directory_at(d, i);
    const uint8_t *at = bytes + (p->offset - s->info.tail_offset);

    status = segment_partition_check(&s->info, i, at, p->len, err);
    if (status == SB_OK)
      status = install_copy(k, s, p->offset, at, p->len, NULL, err);
    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

static sb_status
install_block(keyed *k, const need *n, const void *bytes, cache_entry **pin,
              sb_error *err)
{
  void *raw = mem_alloc(k->host, n->block.raw_len);
  sb_status status;

  if (raw == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not unpack a block of segment \"%s\"",
                        n->segment->name);
  status = segment_block_decode(&n->segment->info, &n->block, bytes, raw, err);
  if (status == SB_OK)
    status = block_check(raw, n->block.raw_len, err);
  if (status != SB_OK) {
    mem_free(k->host, raw);
    return status;
  }
  *pin = cache_put(k->engine->cache, n->segment->number, n->block.offset, raw,
                   n->block.raw_len, 1);
  if (*pin == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not keep a block of segment \"%s\"",
                        n->segment->name);
  return SB_OK;
}

sb_status
reader_install(keyed *k, const need *n, const void *bytes, cache_entry **pin,
               sb_error *err)
{
  sb_error local;
  sb_status status;

  *pin = NULL;
  switch (n->kind) {
  case NEED_TAIL:
    status = install_tail(k, n->segment, bytes, &local);
    break;
  case NEED_DIRECTORY:
    status = install_directory(k, n->segment, bytes, (size_t)n->length,
                               &local);
    break;
  case NEED_PARTITION:
    status = segment_partition_check(&n->segment->info, n->partition, bytes,
                                     (size_t)n->length, &local);
    if (status == SB_OK)
      status = install_copy(k, n->segment, n->offset, bytes,
                            (size_t)n->length, pin, &local);
    break;
  default:
    status = install_block(k, n, bytes, pin, &local);
    break;
  }
  if (status != SB_OK)
    return reader_failure(n->segment, status, local.message, err);
  return SB_OK;
}

/* Reads what is missing, or says so. Damage is read once more: it may have
   happened on the way. */
static sb_status
reader_obtain(reader_ctx *r, const need *n, cache_entry **pin, sb_error *err)
{
  void *bytes;
  sb_status status = SB_CORRUPT;
  int tries;

  *pin = NULL;
  if (r->need != NULL) {
    *r->need = *n;
    return SB_BUSY;
  }
  bytes = mem_alloc(r->keyed->host, (size_t)n->length);
  if (bytes == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read %llu bytes of "
                        "segment \"%s\"", (unsigned long long)n->length,
                        n->segment->name);
  engine_charge(r->keyed->engine, (size_t)n->length);
  for (tries = 0; tries < 2 && status == SB_CORRUPT; tries++) {
    status = reader_fetch(r, n->segment, n->offset, bytes, n->length, err);
    if (status == SB_OK)
      status = reader_install(r->keyed, n, bytes, pin, err);
  }
  engine_release(r->keyed->engine, (size_t)n->length);
  mem_free(r->keyed->host, bytes);
  return status;
}

/* ---- pieces ------------------------------------------------------------- */

sb_status
reader_directory(reader_ctx *r, segment *s, segment_directory **out,
                 sb_error *err)
{
  cache_entry *none;
  sb_status status;
  need n;

  *out = atomic_load_explicit(&s->directory, memory_order_acquire);
  if (*out != NULL)
    return SB_OK;
  memset(&n, 0, sizeof n);
  n.segment = s;
  n.kind = s->info.tail_len <= TAIL_MAX ? NEED_TAIL : NEED_DIRECTORY;
  n.offset = n.kind == NEED_TAIL ? s->info.tail_offset
                                 : s->info.directory_offset;
  n.length = s->info.size - n.offset;
  status = reader_obtain(r, &n, &none, err);
  if (status != SB_OK)
    return status;
  *out = atomic_load(&s->directory);
  return SB_OK;
}

sb_status
reader_partition(reader_ctx *r, segment *s, const segment_directory *d,
                 uint32_t i, cache_entry **out, sb_error *err)
{
  const segment_partition_info *info = segment_directory_at(d, i);
  need n;

  *out = cache_get(r->keyed->engine->cache, s->number, info->offset);
  if (*out != NULL)
    return SB_OK;
  memset(&n, 0, sizeof n);
  n.segment = s;
  n.kind = NEED_PARTITION;
  n.partition = i;
  n.offset = info->offset;
  n.length = info->len;
  return reader_obtain(r, &n, out, err);
}

sb_status
reader_block(reader_ctx *r, segment *s, const segment_block_ref *ref,
             cache_entry **out, sb_error *err)
{
  need n;

  *out = cache_get(r->keyed->engine->cache, s->number, ref->offset);
  if (*out != NULL)
    return SB_OK;
  memset(&n, 0, sizeof n);
  n.segment = s;
  n.kind = NEED_BLOCK;
  n.offset = ref->offset;
  n.length = ref->stored_len;
  n.block = *ref;
  return reader_obtain(r, &n, out, err);
}

/* ---- lookups ------------------------------------------------------------ */

/* The block of `s` that can hold `key`, pinned; SB_NOT_FOUND if none can:
   the key is not between the segment's first and last, or the filter has none
   of `ids`. */
static sb_status
lookup_block(reader_ctx *r, segment *s, const record *key,
             const uint64_t *ids, size_t id_count, cache_entry **out,
             sb_error *err)
{
  segment_directory *d;
  const segment_partition_info *info;
  segment_partition part;
  segment_block_ref ref;
  cache_entry *pin;
  const void *bytes;
  size_t len, i;
  uint32_t index;
  sb_status status;

  *out = NULL;
  if (!segment_may_hold(&s->info, key))
    return SB_NOT_FOUND;
  status = reader_directory(r, s, &d, err);
  if (status != SB_OK)
    return status;
  index = segment_directory_find(d, key);
  info = segment_directory_at(d, index);
  if (key->key_group < info->key_group_first ||
      key->key_group > info->key_group_last)
    return SB_NOT_FOUND;
  status = reader_partition(r, s, d, index, &pin, err);
  if (status != SB_OK)
    return status;
  bytes = cache_data(pin, &len);
  segment_partition_view(bytes, len, &part);
  status = SB_NOT_FOUND;
  for (i = 0; i < id_count && status == SB_NOT_FOUND; i++)
    if (segment_partition_may_contain(&part, ids[i]))
      status = SB_OK;
  if (status == SB_OK)
    segment_partition_at(&part, segment_partition_find(&part, key), &ref);
  cache_unpin(r->keyed->engine->cache, pin);
  if (status != SB_OK)
    return status;
  return reader_block(r, s, &ref, out, err);
}

/* One record of one run. */
sb_status
reader_record(reader_ctx *r, segment *s, const record *key, uint64_t id,
              record *out, cache_entry **pin, sb_error *err)
{
  struct block b;
  const void *raw;
  size_t len;
  sb_status status = lookup_block(r, s, key, &id, 1, pin, err);

  if (status != SB_OK)
    return status;
  raw = cache_data(*pin, &len);
  block_view(raw, len, &b);
  if (block_get(&b, key, id, out))
    return SB_OK;
  cache_unpin(r->keyed->engine->cache, *pin);
  *pin = NULL;
  return SB_NOT_FOUND;
}

static sb_status
lookup_run(reader_ctx *r, segment *s, const place *p, record *out,
           cache_entry **pin, sb_error *err)
{
  sb_status status = reader_record(r, s, &p->key, p->id, out, pin, err);
  record marker;

  if (status != SB_NOT_FOUND || !p->state->subkeyed)
    return status;
  marker = p->key;
  marker.subkey = sb_slice_of(NULL, 0);
  marker.flags |= RECORD_CLEAR;
  return reader_record(r, s, &marker, record_clear_id(p->group_id), out, pin,
                       err);
}

/* After segment `i` had nothing: may older ones be asked? SB_NOT_FOUND if they
   may, SB_END if a front hides what they have. */
static sb_status
lookup_behind(reader_ctx *r, segment *const *runs, size_t count, size_t i,
              const place *p, int *hidden, sb_error *err)
{
  sb_status status;

  if (!p->state->ordered)
    return SB_NOT_FOUND;
  if (!*hidden) {
    status = front_in_run(r, runs[i], p, err);
    if (status != SB_OK)
      return status;
    *hidden = 1;
  }
  return i + 1 < count && segment_same_run(runs[i], runs[i + 1])
           ? SB_NOT_FOUND : SB_END;
}

sb_status
reader_lookup(reader_ctx *r, segment *const *runs, size_t count,
              const place *p, record *out, cache_entry **pin, sb_error *err)
{
  keyed *k = r->keyed;
  sb_status status = SB_NOT_FOUND;
  int hidden = 0;
  size_t i;

  *pin = NULL;
  for (i = 0; i < count && status == SB_NOT_FOUND; i++) {
    status = lookup_run(r, runs[i], p, out, pin, err);
    if (status == SB_NOT_FOUND)
      status = lookup_behind(r, runs, count, i, p, &hidden, err);
  }
  if (status != SB_OK)
    return status == SB_END ? SB_NOT_FOUND : status;
  if (out->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))
    status = SB_NOT_FOUND;
  else if (atomic_load_explicit(&k->migrating, memory_order_relaxed) != 0)
    status = migrate_lookup(k, runs[i - 1], p->state, &out->value,
                            r->migrated != NULL ? r->migrated : &k->migrated,
                            err);
  if (status == SB_OK)
    return SB_OK;
  cache_unpin(k->engine->cache, *pin);
  *pin = NULL;
  return status;
}

/* Does the filter of one partition rule the key out? A partition that is not in
   memory does not. */
static int
may_have_in(reader_ctx *r, segment *s, const segment_directory *d,
            uint32_t index, const place *p)
{
  segment_partition part;
  cache_entry *pin;
  const void *bytes;
  size_t len;
  int may;

  if (reader_partition(r, s, d, index, &pin, NULL) != SB_OK)
    return 1;
  bytes = cache_data(pin, &len);
  segment_partition_view(bytes, len, &part);
  may = segment_partition_may_contain(&part, p->group_id) ||
        segment_partition_may_contain(&part, record_clear_id(p->group_id));
  cache_unpin(r->keyed->engine->cache, pin);
  return may;
}

int
reader_may_have_key(keyed *k, segment *const *runs, size_t count,
                    const place *p)
{
  need n;
  reader_ctx r = { k, NULL, SB_PRIORITY_READ, &n, NULL };
  record key = p->key;
  segment_directory *d;
  uint32_t index;
  size_t i;

  key.subkey = sb_slice_of(NULL, 0);
  key.flags |= RECORD_CLEAR;
  for (i = 0; i < count; i++) {
    if (!segment_may_hold(&runs[i]->info, &key))
      continue;
    if (reader_directory(&r, runs[i], &d, NULL) != SB_OK)
      return 1;
    index = segment_directory_find(d, &key);
    if (may_have_in(&r, runs[i], d, index, p))
      return 1;
    /* The key's first record may also be the first of the next partition. */
    if (index + 1 < segment_directory_count(d) &&
        may_have_in(&r, runs[i], d, index + 1, p))
      return 1;
  }
  return 0;
}
