/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of records, in order, becomes segments on the store. A segment that
 * reaches the size limit is closed and the next begun. Names are never used
 * twice: each has the generation, a sequence number and random bits.
 */
#include "config.h"

#include "host/engine/keyed.h"
#include "host/engine/times.h"
#include "host/store/store.h"

#define OUTPUT_CANCEL_EVERY 256u /* records between looks at `cancelled` */
#define OUTPUT_RESERVE (256u << 10) /* of the budget, for blocks and filters */
#define OUTPUT_WRITE_MAX ((size_t)1 << 20) /* bytes handed to the store at once */
#define OUTPUT_CACHE_BLOCK 65536u /* larger blocks do not enter the cache */

struct output {
  keyed *keyed;
  output_options options;
  rules own_rules;  /* if the caller gave none */
  times_counter *times;
  segment_schema *schemas;
  uint32_t schema_count;
  segment_writer *writer;
  store_writer *stream;
  buf out;          /* not yet handed to the stream */
  size_t write_size;
  segment *current;
  segment **done;
  size_t done_count, done_cap;
  uint64_t raw_bytes;
  uint32_t since_look;
  int full;         /* close it as soon as the key changes */
  buf full_key;
  record full_record;
};

static void
output_segment_free(keyed *k, segment *s)
{
  if (s == NULL)
    return;
  mem_free(k->host, s->name);
  mem_free(k->host, (void *)(uintptr_t)s->times.data);
  mem_free(k->host, s);
}

/* What the records are judged and labelled by. */
static sb_status
output_rules(output *o)
{
  const rules *all = o->options.rules;
  keyed *k = o->keyed;
  size_t i;

  if (all == NULL) {
    if (rules_take(k, &o->own_rules) != SB_OK)
      return SB_NO_MEMORY;
    all = &o->own_rules;
  }
  o->schemas = mem_alloc(k->host, (all->count + 1) * sizeof *o->schemas);
  if (o->schemas == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < all->count; i++) {
    o->schemas[i].state = all->list[i].state;
    o->schemas[i].version = all->list[i].schema_version;
  }
  o->schema_count = (uint32_t)all->count;
  return times_counter_new(k->host, all, &o->times);
}

/* Not having them only makes compaction know less. */
static void
output_take_times(output *o)
{
  const sb_host *host = o->keyed->host;
  buf bytes;

  buf_init(&bytes, host, 65536);
  times_finish(o->times, &bytes);
  if (bytes.status == SB_OK && bytes.len != 0)
    o->current->times.data = mem_dup(host, bytes.data, bytes.len);
  if (o->current->times.data != NULL)
    o->current->times.len = bytes.len;
  buf_dispose(&bytes);
}

sb_status
output_new(keyed *k, const output_options *options, output **out,
           sb_error *err)
{
  output *o = mem_zalloc(k->host, sizeof *o);

  *out = NULL;
  if (o == NULL)
    goto no_memory;
  o->keyed = k;
  o->options = *options;
  buf_init(&o->full_key, k->host, 2u * 65536u);
  buf_init(&o->out, k->host, OUTPUT_WRITE_MAX);
  o->write_size = k->engine->memory_limit / 64;
  if (o->write_size > OUTPUT_WRITE_MAX)
    o->write_size = OUTPUT_WRITE_MAX;
  engine_charge(k->engine, OUTPUT_RESERVE + o->write_size);
  if (output_rules(o) != SB_OK) {
    output_free(o);
    goto no_memory;
  }
  *out = o;
  return SB_OK;
no_memory:
  return sb_error_set(err, SB_NO_MEMORY,
                      "could not start writing segments: no memory");
}

static sb_status
output_drain(output *o, sb_error *err)
{
  sb_status status = SB_OK;

  if (o->out.len != 0)
    status = store_writer_add(o->stream, o->out.data, o->out.len, err);
  buf_clear(&o->out);
  return status;
}

/* Small pieces are gathered: each write to the store is a change of threads. */
static sb_status
output_emit(void *arg, const void *data, size_t len, sb_error *err)
{
  output *o = arg;
  sb_status status = SB_OK;

  if (o->out.len + len > o->write_size)
    status = output_drain(o, err);
  if (status != SB_OK)
    return status;
  if (len >= o->write_size)
    return store_writer_add(o->stream, data, len, err);
  buf_add(&o->out, data, len);
  if (o->out.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not write segment \"%s\": no "
                        "memory", o->current->name);
  return SB_OK;
}

/* Finished blocks go to the cache while it has room to spare. */
static void
output_block(void *arg, uint64_t offset, uint32_t stored_len, const void *raw,
             uint32_t raw_len)
{
  output *o = arg;
  engine *e = o->keyed->engine;
  void *copy;

  (void)stored_len;
  if (!o->options.fill_cache || raw_len > OUTPUT_CACHE_BLOCK ||
      cache_used(e->cache) >
        atomic_load_explicit(&e->cache_limit, memory_order_relaxed) / 4 * 3)
    return;
  copy = mem_dup(e->host, raw, raw_len);
  if (copy != NULL)
    (void)cache_put(e->cache, o->current->number, offset, copy, raw_len, 0);
}

static segment *
output_segment_new(output *o, sb_error *err)
{
  keyed *k = o->keyed;
  char name[PATH_SIZE];
  segment *s = mem_zalloc(k->host, sizeof *s);

  if (s == NULL)
    goto no_memory;
  s->number = atomic_fetch_add(&k->engine->next_segment, 1);
  s->sequence = atomic_fetch_add(&k->next_sequence, 1);
  s->own = 1;
  s->refs = 1; /* the maker's */
  s->owner = SEGMENT_ENGINE;
  if (paths_segment(&k->engine->paths, k->job, k->segment_operator,
                    k->generation, s->sequence, k->host->random(k->host),
                    name, err) != SB_OK) {
    mem_free(k->host, s);
    return NULL;
  }
  s->name = mem_strdup(k->host, name);
  if (s->name != NULL)
    return s;
  mem_free(k->host, s);
no_memory:
  (void)sb_error_set(err, SB_NO_MEMORY,
                     "could not start a segment: no memory");
  return NULL;
}

static sb_status
output_begin(output *o, sb_error *err)
{
  keyed *k = o->keyed;
  segment_writer_options options;
  uint64_t low = k->host->random(k->host), high = k->host->random(k->host);
  sb_error local = { SB_NO_MEMORY, 0, "" };
  sb_status status;

  o->current = output_segment_new(o, &local);
  if (o->current == NULL)
    return sb_error_set(err, local.status, "%s", local.message);
  memset(&options, 0, sizeof options);
  store_u64(options.id.bytes, low);
  store_u64(options.id.bytes + 8, high);
  options.generation = k->generation;
  options.epoch_min = o->options.epoch_min;
  options.epoch_max = o->options.epoch_max;
  options.key_group_count = k->key_group_count;
  options.compression = k->engine->compression;
  options.block_size = k->engine->block_size;
  options.emit = output_emit;
  options.block = output_block;
  options.arg = o;
  options.schemas = o->schemas;
  options.schema_count = o->schema_count;
  status = segment_writer_new(k->host, &options, &o->writer, err);
  if (status != SB_OK)
    return status;
  return store_writer_open(k->host, k->engine->store, o->current->name, 0,
                           o->options.priority, &o->stream, err);
}

static sb_status
output_keep(output *o)
{
  size_t cap = o->done_cap == 0 ? 4 : o->done_cap * 2;
  segment **done;

  if (o->done_count == o->done_cap) {
    done = mem_realloc(o->keyed->host, o->done, cap * sizeof *done);
    if (done == NULL)
      return SB_NO_MEMORY;
    o->done = done;
    o->done_cap = cap;
  }
  o->done[o->done_count++] = o->current;
  o->current = NULL;
  return SB_OK;
}

/* What was written and is not wanted goes from the store at once; what cannot
   be removed now is reported as dropped by the next manifest. */
static void
output_discard(output *o, segment *s)
{
  keyed *k = o->keyed;
  const char *name = s->name;

  cache_drop(k->engine->cache, s->number);
  if (store_remove(k->host, k->engine->store, &name, 1, NULL, NULL) != SB_OK) {
    keyed_lock(k);
    version_drop_name(k, s->name, 0);
    keyed_unlock(k);
    s->name = NULL;
  }
  output_segment_free(k, s);
}

/* Closes the segment being written and makes it visible. */
static sb_status
output_end(output *o, sb_error *err)
{
  sb_status status;
  store_writer *stream;

  if (o->writer == NULL)
    return SB_OK;
  status = segment_writer_finish(o->writer, &o->current->info, err);
  if (status == SB_OK)
    status = output_drain(o, err);
  if (status != SB_OK)
    return status;
  segment_writer_free(o->writer);
  o->writer = NULL;
  output_take_times(o);
  stream = o->stream;
  o->stream = NULL;
  status = store_writer_commit(stream, NULL, err);
  if (status != SB_OK) {
    output_discard(o, o->current); /* it may have appeared */
    o->current = NULL;
    return status;
  }
  o->raw_bytes += o->current->info.raw_bytes;
  if (output_keep(o) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not keep a finished segment: no memory");
  return SB_OK;
}

/* A segment never ends inside a key: a clear marker and the records it does
   not hide belong together. */
static sb_status
output_mark_full(output *o, const record *r, sb_error *err)
{
  buf_clear(&o->full_key);
  buf_add(&o->full_key, r->key.data, r->key.len);
  buf_add(&o->full_key, r->ns.data, r->ns.len);
  if (o->full_key.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not write a segment: no memory");
  o->full = 1;
  o->full_record = *r;
  o->full_record.key = sb_slice_of(o->full_key.data, r->key.len);
  o->full_record.ns = sb_slice_of(o->full_key.data + r->key.len, r->ns.len);
  return SB_OK;
}

sb_status
output_add(output *o, const record *r, int no_filter, sb_error *err)
{
  sb_status status;

  if (++o->since_look >= OUTPUT_CANCEL_EVERY) {
    o->since_look = 0;
    if (keyed_stopping(o->keyed) ||
        (o->options.cancelled != NULL && atomic_load(o->options.cancelled)))
      return sb_error_set(err, SB_CANCELLED, "writing segments of %s was "
                          "cancelled", o->keyed->operator_id);
  }
  if (o->full && record_compare_key(r, &o->full_record) != 0) {
    status = output_end(o, err);
    if (status != SB_OK)
      return status;
    o->full = 0;
  }
  if (o->writer == NULL) {
    status = output_begin(o, err);
    if (status != SB_OK)
      return status;
  }
  times_count(o->times, r);
  status = segment_writer_add(o->writer, r, no_filter, err);
  if (status == SB_OK && !o->full &&
      segment_writer_size(o->writer) >= o->options.size_max)
    status = output_mark_full(o, r, err);
  return status;
}

sb_status
output_finish(output *o, segment ***out, size_t *count, sb_error *err)
{
  sb_status status = output_end(o, err);

  if (status != SB_OK)
    return status;
  *out = o->done;
  *count = o->done_count;
  o->done = NULL;
  o->done_count = o->done_cap = 0;
  return SB_OK;
}

uint64_t
output_raw_bytes(const output *o)
{
  return o->raw_bytes;
}

void
output_free(output *o)
{
  keyed *k;
  size_t i;

  if (o == NULL)
    return;
  k = o->keyed;
  segment_writer_free(o->writer);
  store_writer_abort(o->stream);
  if (o->current != NULL)
    cache_drop(k->engine->cache, o->current->number);
  output_segment_free(k, o->current);
  for (i = 0; i < o->done_count; i++)
    output_discard(o, o->done[i]);
  mem_free(k->host, o->done);
  mem_free(k->host, o->schemas);
  times_counter_free(o->times);
  rules_dispose(k->host, &o->own_rules);
  buf_dispose(&o->full_key);
  buf_dispose(&o->out);
  engine_release(k->engine, OUTPUT_RESERVE + o->write_size);
  mem_free(k->host, o);
}
