/* SPDX-License-Identifier: Apache-2.0 */
/* See segment_fixture.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include "tests/segment_fixture.h"

size_t fixture_alive, fixture_fail_at;

static void *
fixture_alloc(const sb_host *host, void *old, size_t size)
{
  void *p;

  (void)host;
  if (size == 0) {
    fixture_alive -= old != NULL;
    free(old);
    return NULL;
  }
  if (fixture_fail_at != 0 && --fixture_fail_at == 0)
    return NULL;
  p = realloc(old, size);
  fixture_alive += p != NULL && old == NULL;
  return p;
}

const sb_host fixture_host = {
  .struct_size = sizeof(sb_host),
  .abi_version = SB_ABI_VERSION,
  .alloc = fixture_alloc,
};

/* ---- random numbers ----------------------------------------------------- */

uint64_t
fixture_next(fixture_random *random)
{
  uint64_t z = random->state += 0x9E3779B97F4A7C15ull;

  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}

uint32_t
fixture_below(fixture_random *random, uint32_t n)
{
  return (uint32_t)(fixture_next(random) >> 32) % n;
}

/* ---- records ------------------------------------------------------------ */

static sb_slice
fixture_copy(sb_slice s)
{
  void *p = malloc(s.len + 1);

  if (p == NULL)
    exit(99);
  if (s.len != 0)
    memcpy(p, s.data, s.len);
  return sb_slice_of(p, s.len);
}

static void
fixture_release(record *r)
{
  free((void *)(uintptr_t)r->ns.data);
  free((void *)(uintptr_t)r->key.data);
  free((void *)(uintptr_t)r->subkey.data);
  free((void *)(uintptr_t)r->value.data);
}

void
fixture_push(fixture_set *set, const record *r)
{
  record *copy;

  if (set->count == set->cap) {
    set->cap = set->cap == 0 ? 64 : set->cap * 2;
    set->records = realloc(set->records, set->cap * sizeof *set->records);
    if (set->records == NULL)
      exit(99);
  }
  copy = &set->records[set->count++];
  *copy = *r;
  copy->hash = r->flags & RECORD_ORDERED ? 0 : record_hash(r->key);
  copy->ns = fixture_copy(r->ns);
  copy->key = fixture_copy(r->key);
  copy->subkey = fixture_copy(r->subkey);
  copy->value = fixture_copy(r->value);
}

void
fixture_pop(fixture_set *set)
{
  fixture_release(&set->records[--set->count]);
}

static int
fixture_order(const void *a, const void *b)
{
  return record_compare(a, b);
}

void
fixture_sort(fixture_set *set)
{
  size_t i, kept = 0;

  qsort(set->records, set->count, sizeof *set->records, fixture_order);
  for (i = 0; i < set->count; i++) {
    if (kept != 0 &&
        record_compare(&set->records[kept - 1], &set->records[i]) == 0)
      fixture_release(&set->records[i]);
    else
      set->records[kept++] = set->records[i];
  }
  set->count = kept;
}

void
fixture_free(fixture_set *set)
{
  while (set->count != 0)
    fixture_pop(set);
  free(set->records);
  memset(set, 0, sizeof *set);
}

record
fixture_record(uint16_t key_group, uint32_t state, const char *ns,
               const char *key, const char *subkey, const char *value)
{
  record r = { .state = state, .key_group = key_group };

  r.ns = sb_slice_of(ns, strlen(ns));
  r.key = sb_slice_of(key, strlen(key));
  r.subkey = sb_slice_of(subkey, strlen(subkey));
  r.value = sb_slice_of(value, strlen(value));
  r.hash = record_hash(r.key);
  return r;
}

void
fixture_fill(fixture_set *set, size_t count, uint64_t seed)
{
  static const char *const spaces[] = { "", "a", "window-1", "window-10" };
  fixture_random random = { seed };
  uint8_t value[400];
  size_t i;

  for (i = 0; i < sizeof value; i++)
    value[i] = (uint8_t)(i % 7 == 0 ? fixture_next(&random) : i);
  for (i = 0; i < count; i++) {
    char key[24], subkey[24];
    record r = { .state = fixture_below(&random, 4) };
    const char *ns = spaces[fixture_below(&random, 4)];

    r.key_group = (uint16_t)fixture_below(&random, 9);
    snprintf(key, sizeof key, "key-%u", (unsigned)fixture_below(&random, 150));
    snprintf(subkey, sizeof subkey, "%u",
             (unsigned)fixture_below(&random, 50));
    r.key = sb_slice_of(key, strlen(key));
    if (r.state == 3)
      r.flags |= RECORD_ORDERED;
    else
      r.ns = sb_slice_of(ns, strlen(ns));
    if (r.state == 1)
      r.subkey = sb_slice_of(subkey, strlen(subkey));
    if (fixture_below(&random, 8) == 0)
      r.flags |= RECORD_TOMBSTONE;
    else if (r.state == 1 && fixture_below(&random, 8) == 0)
      r.flags |= RECORD_CLEAR;
    if (r.flags & RECORD_CLEAR)
      r.subkey.len = 0;
    if ((r.flags & (RECORD_CLEAR | RECORD_TOMBSTONE)) == 0)
      r.value = sb_slice_of(value, fixture_below(&random, sizeof value));
    if (fixture_below(&random, 3) == 0)
      r.expires_ms = 1 + fixture_next(&random) % 1000000;
    fixture_push(set, &r);
  }
  fixture_sort(set);
}

void
fixture_fill_plain(fixture_set *set, size_t count, uint64_t seed)
{
  fixture_random random = { seed };
  uint8_t value[100];
  size_t i, j;

  memset(value, 'x', sizeof value);
  for (i = 0; i < count; i++) {
    uint64_t key[2] = { fixture_next(&random), i };
    record r = { 0 };

    for (j = 0; j < 50; j++)
      value[j] = (uint8_t)fixture_next(&random);
    r.key = sb_slice_of(key, sizeof key);
    r.value = sb_slice_of(value, sizeof value);
    r.key_group = (uint16_t)(record_hash(r.key) % 128);
    fixture_push(set, &r);
  }
  fixture_sort(set);
}

uint64_t
fixture_id(const record *r)
{
  return record_full_id(r);
}

int
fixture_same(const record *a, const record *b)
{
  return record_compare(a, b) == 0 && a->flags == b->flags &&
         a->hash == b->hash && a->expires_ms == b->expires_ms &&
         slice_equal(a->value, b->value);
}

/* ---- writing ------------------------------------------------------------ */

segment_writer_options
fixture_options(uint64_t id)
{
  static const segment_schema schemas[] = { { 0, 1 }, { 1, 7 }, { 3, 2 } };
  segment_writer_options o = {
    .generation = 5, .epoch_min = 10, .epoch_max = 12,
    .key_group_count = 128, .compression = SEGMENT_COMPRESSION_SNAPPY,
    .block_size = 1024, .schemas = schemas, .schema_count = 3,
  };

  store_u64(o.id.bytes, id);
  store_u64(o.id.bytes + 8, id * 0x9E3779B97F4A7C15ull);
  return o;
}

sb_status
fixture_emit(void *arg, const void *data, size_t len, sb_error *err)
{
  fixture_image *image = arg;

  image->emits++;
  if (image->fail_after != 0 && image->emits > image->fail_after)
    return sb_error_set(err, SB_IO, "no more");
  if (len > image->cap - image->len) {
    image->cap = (image->len + len) * 2;
    image->data = realloc(image->data, image->cap);
    if (image->data == NULL)
      exit(99);
  }
  memcpy(image->data + image->len, data, len);
  image->len += len;
  return SB_OK;
}

static void
fixture_count_block(void *arg, uint64_t offset, uint32_t stored_len,
                    const void *raw, uint32_t raw_len)
{
  fixture_image *image = arg;

  image->blocks++;
  if (offset + stored_len != image->len || block_check(raw, raw_len, NULL))
    image->blocks += 1000000;
}

/* States 2 has lookups that always hit. */
sb_status
fixture_build(const fixture_set *set, segment_writer_options options,
              fixture_image *image, sb_error *err)
{
  segment_writer *w;
  sb_status status;
  size_t i;

  options.emit = fixture_emit;
  options.block = fixture_count_block;
  options.arg = image;
  status = segment_writer_new(&fixture_host, &options, &w, err);
  for (i = 0; status == SB_OK && i < set->count; i++)
    status = segment_writer_add(w, &set->records[i],
                                set->records[i].state == 2, err);
  if (status == SB_OK)
    status = segment_writer_finish(w, &image->info, err);
  segment_writer_free(w);
  return status;
}

void
fixture_image_free(fixture_image *image)
{
  free(image->data);
  memset(image, 0, sizeof *image);
}

/* ---- reading ------------------------------------------------------------ */

sb_status
fixture_directory(const fixture_image *image, segment_directory **out,
                  sb_error *err)
{
  uint64_t at = image->info.directory_offset;

  *out = NULL;
  if (at > image->len)
    return sb_error_set(err, SB_CORRUPT, "directory outside");
  return segment_directory_open(&fixture_host, &image->info, image->data + at,
                                image->len - at, out, err);
}

sb_status
fixture_partition(const fixture_image *image, const segment_directory *d,
                  uint32_t i, segment_partition *out, sb_error *err)
{
  const segment_partition_info *p = segment_directory_at(d, i);
  sb_status status;

  if (p->offset > image->len || p->len > image->len - p->offset)
    return sb_error_set(err, SB_CORRUPT, "partition outside");
  status = segment_partition_check(&image->info, i, image->data + p->offset,
                                   p->len, err);
  if (status == SB_OK)
    segment_partition_view(image->data + p->offset, p->len, out);
  return status;
}

sb_status
fixture_block(const fixture_image *image, const segment_block_ref *ref,
              void **out, sb_error *err)
{
  void *raw;
  sb_status status;

  *out = NULL;
  if (ref->offset > image->len || ref->stored_len > image->len - ref->offset)
    return sb_error_set(err, SB_CORRUPT, "block outside");
  raw = malloc(ref->raw_len);
  if (raw == NULL)
    exit(99);
  status = segment_block_decode(&image->info, ref, image->data + ref->offset,
                                raw, err);
  if (status == SB_OK)
    status = block_check(raw, ref->raw_len, err);
  if (status == SB_OK)
    *out = raw;
  else
    free(raw);
  return status;
}

static sb_status
fixture_lookup(const fixture_image *image, const segment_partition *p,
               const record *key, record *out, void **bytes, sb_error *err)
{
  segment_block_ref ref;
  block b;
  sb_status status;

  if (!segment_partition_may_contain(p, fixture_id(key)))
    return SB_END;
  segment_partition_at(p, segment_partition_find(p, key), &ref);
  status = fixture_block(image, &ref, bytes, err);
  if (status != SB_OK)
    return status;
  block_view(*bytes, ref.raw_len, &b);
  return block_get(&b, key, fixture_id(key), out) ? SB_OK : SB_NOT_FOUND;
}

sb_status
fixture_get(const fixture_image *image, const record *key, record *out,
            void **bytes, sb_error *err)
{
  segment_directory *d;
  segment_partition p;
  sb_status status = fixture_directory(image, &d, err);

  *bytes = NULL;
  if (status != SB_OK)
    return status;
  status = fixture_partition(image, d, segment_directory_find(d, key), &p,
                             err);
  if (status == SB_OK)
    status = fixture_lookup(image, &p, key, out, bytes, err);
  segment_directory_free(&fixture_host, d);
  return status;
}

static sb_status
fixture_scan_block(const fixture_image *image, const segment_block_ref *ref,
                   const record *from, fixture_scan_fn *fn, void *arg,
                   sb_error *err)
{
  void *bytes;
  block b;
  uint32_t i;
  sb_status status = fixture_block(image, ref, &bytes, err);

  if (status != SB_OK)
    return status;
  block_view(bytes, ref->raw_len, &b);
  status = block_verify(&b, err);
  for (i = from == NULL ? 0 : block_seek(&b, from);
       status == SB_OK && i < b.count; i++) {
    record r;

    block_at(&b, i, &r);
    status = fn(arg, &r, err);
  }
  free(bytes);
  return status;
}

sb_status
fixture_scan(const fixture_image *image, const record *from,
             fixture_scan_fn *fn, void *arg, sb_error *err)
{
  segment_directory *d;
  sb_status status = fixture_directory(image, &d, err);
  uint32_t i, j;

  if (status != SB_OK)
    return status;
  i = from == NULL ? 0 : segment_directory_find(d, from);
  for (; status == SB_OK && i < segment_directory_count(d); i++) {
    segment_partition p;

    status = fixture_partition(image, d, i, &p, err);
    if (status != SB_OK)
      break;
    j = from == NULL ? 0 : segment_partition_find(&p, from);
    for (; status == SB_OK && j < segment_partition_count(&p); j++) {
      segment_block_ref ref;

      segment_partition_at(&p, j, &ref);
      status = fixture_scan_block(image, &ref, from, fn, arg, err);
      from = NULL;
    }
  }
  segment_directory_free(&fixture_host, d);
  return status;
}

sb_status
fixture_expect_next(void *arg, const record *r, sb_error *err)
{
  fixture_expect *e = arg;

  (void)err;
  if (e->next >= e->set->count ||
      !fixture_same(&e->set->records[e->next], r))
    e->wrong = 1;
  e->next++;
  return SB_OK;
}
