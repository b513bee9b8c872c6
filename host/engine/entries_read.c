/* SPDX-License-Identifier: Apache-2.0 */
/* Open checkpoints and the values of keys in them; see entries_read.h. */
#include "config.h"

#include <stdio.h>

#include "host/engine/entries_read.h"
#include "host/engine/manifest.h"

#define READ_AHEAD_MAX ((size_t)256 << 10)
#define READ_STEPS 64u /* records walked over before a search is cheaper */

/* ---- an open checkpoint ------------------------------------------------- */

keyed *
entries_base_find(const entries_base *b, const char *operator_id)
{
  size_t i;

  for (i = 0; i < b->count; i++)
    if (strcmp(b->operators[i].operator_id, operator_id) == 0)
      return b->operators[i].keyed;
  return NULL;
}

/* Handles over all key groups, not counted among those that share out the
   budget: nothing is kept in their tables. */
static sb_status
base_open_operator(engine *e, const char *job, const char *operator_id,
                   const sb_part *parts, size_t part_count,
                   const sb_part *sample, keyed **out, sb_error *err)
{
  sb_keyed_options options = { .struct_size = sizeof options,
                               .flags = SB_OPEN_READ_ONLY, .job = job,
                               .operator_id = operator_id, .parts = parts,
                               .part_count = part_count };
  manifest *m;
  sb_keyed *k;
  sb_status status = manifest_read(e->host, e->store, sample, &m, err);

  if (status != SB_OK)
    return status;
  options.key_group_count = m->key_group_count;
  options.key_group_last = m->key_group_count - 1;
  options.generation = m->generation;
  manifest_free(e->host, m);
  status = keyed_open(e, &options, &k, err);
  if (status != SB_OK)
    return status;
  atomic_fetch_sub(&e->handle_count, 1);
  *out = (keyed *)k;
  return SB_OK;
}

sb_status
entries_base_open(engine *e, const char *job, uint64_t id, uint64_t now_ms,
                  const sb_part *parts, size_t part_count, entries_base **out,
                  sb_error *err)
{
  entries_base *b = mem_zalloc(e->host, sizeof *b);
  sb_status status = SB_OK;
  size_t i;

  *out = NULL;
  if (b != NULL)
    b->operators = mem_zalloc(e->host, (part_count + 1) *
                                         sizeof *b->operators);
  if (b == NULL || b->operators == NULL)
    status = SB_NO_MEMORY;
  for (i = 0; i < part_count && status == SB_OK; i++) {
    const char *name = parts[i].operator_id == NULL ? ""
                                                    : parts[i].operator_id;
    entries_operator *o = &b->operators[b->count];

    if (entries_base_find(b, name) != NULL)
      continue;
    o->operator_id = mem_strdup(e->host, name);
    b->count++;
    status = o->operator_id == NULL
               ? SB_NO_MEMORY
               : base_open_operator(e, job, name, parts, part_count, &parts[i],
                                    &o->keyed, err);
  }
  if (status == SB_OK) {
    b->id = id;
    b->now_ms = now_ms;
    *out = b;
    return SB_OK;
  }
  entries_base_close(e, b);
  if (status == SB_NO_MEMORY)
    (void)sb_error_set(err, status, "could not open checkpoint %llu: no "
                       "memory", (unsigned long long)id);
  return status;
}

void
entries_base_close(engine *e, entries_base *b)
{
  size_t i;

  if (b == NULL)
    return;
  for (i = 0; i < b->count; i++) {
    keyed *k = b->operators[i].keyed;

    if (k != NULL) {
      atomic_fetch_add(&e->handle_count, 1);
      k->base.ops->close(&k->base);
    }
    mem_free(e->host, b->operators[i].operator_id);
  }
  mem_free(e->host, b->operators);
  mem_free(e->host, b);
}

/* ---- values ------------------------------------------------------------- */

#define RUN_ANYWHERE 0
#define RUN_AT 1  /* run.record is the first that was not yet passed */
#define RUN_END 2

sb_status
entries_reader_open(entries_reader *r, keyed *k, uint32_t key_group,
                    uint64_t now_ms, int ascending, sb_error *err)
{
  segment **runs;
  size_t count, i, ahead;

  memset(r, 0, sizeof *r);
  r->key_group = key_group;
  r->now_ms = now_ms;
  r->ascending = ascending;
  if (k == NULL || key_group >= k->key_group_count)
    return SB_OK;
  runs = version_runs(k->version, key_group, &count);
  r->at = mem_zalloc(k->host, count + 1);
  if (r->at == NULL || merge_init(&r->merge, k->host, count) != SB_OK) {
    mem_free(k->host, r->at);
    return sb_error_set(err, SB_NO_MEMORY, "could not read key group %u: no "
                        "memory", key_group);
  }
  r->keyed = k;
  r->ctx.keyed = k;
  r->ctx.event = k->event;
  r->ctx.priority = SB_PRIORITY_BACKGROUND;
  ahead = k->engine->memory_limit / 64 / (count + 1);
  if (ahead > READ_AHEAD_MAX)
    ahead = READ_AHEAD_MAX;
  for (i = 0; i < count; i++) {
    entries_load(&r->ctx, runs[i], ENTRIES_LOAD_KEYS);
    run_init(&r->merge.runs[i], &r->ctx, runs[i], key_group,
             ascending ? ahead : 0);
  }
  r->reserve = count * (ahead + 16384);
  engine_charge(k->engine, r->reserve);
  return SB_OK;
}

void
entries_reader_close(entries_reader *r)
{
  keyed *k = r->keyed;

  if (k == NULL)
    return;
  merge_dispose(&r->merge, k->host);
  mem_free(k->host, r->at);
  engine_release(k->engine, r->reserve);
  r->keyed = NULL;
}

/* Brings run i to its first record that is not before `from`. */
static sb_status
reader_forward(entries_reader *r, size_t i, const record *from, sb_error *err)
{
  run *c = &r->merge.runs[i];
  sb_status status = SB_OK;
  unsigned steps = 0;

  if (r->ascending && r->at[i] != RUN_ANYWHERE) {
    c->valid = r->at[i] == RUN_AT;
    while (status == SB_OK && c->valid &&
           record_compare(&c->record, from) < 0 && steps++ < READ_STEPS)
      status = run_next(c, err);
    if (status == SB_OK && c->valid && record_compare(&c->record, from) < 0)
      status = run_seek(c, from, err);
  } else {
    status = run_seek(c, from, err);
  }
  return status == SB_END ? SB_OK : status;
}

/* All runs that may hold the key to its place; the others sit out. */
static sb_status
reader_seek(entries_reader *r, const place *p, const record *from,
            sb_error *err)
{
  sb_status status;
  size_t i;

  for (i = 0; i < r->merge.count; i++) {
    run *c = &r->merge.runs[i];

    if (!reader_may_have_key(r->keyed, &c->segment, 1, p)) {
      c->valid = 0;
      continue;
    }
    status = reader_forward(r, i, from, err);
    if (status != SB_OK) {
      r->at[i] = RUN_ANYWHERE;
      return status;
    }
    r->at[i] = c->valid ? RUN_AT : RUN_END;
  }
  r->merge.has_cleared = 0;
  return SB_OK;
}

static void
value_add(entries_value *v, XXH3_state_t *hash, const void *data, size_t len)
{
  if (len == 0)
    return;
  (void)XXH3_128bits_update(hash, data, len);
  v->size += len;
  if (v->body_max == 0 || v->omitted)
    return;
  if (v->size > v->body_max) {
    v->omitted = 1;
    buf_clear(&v->body);
    return;
  }
  buf_add(&v->body, data, len);
}

static void
value_add_length(entries_value *v, XXH3_state_t *hash, size_t len)
{
  uint8_t be[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                    (uint8_t)(len >> 8), (uint8_t)len };

  value_add(v, hash, be, sizeof be);
}

static void
value_add_list(entries_value *v, XXH3_state_t *hash, sb_slice packed)
{
  const uint8_t *p = packed.data;
  size_t left = packed.len;

  while (left >= 4) {
    uint32_t len = load_u32(p);

    if (len > left - 4)
      return;
    if (v->elements++ > 0)
      value_add(v, hash, ",", 1);
    value_add(v, hash, p + 4, len);
    p += 4 + len;
    left -= 4 + (size_t)len;
  }
}

static void
value_add_record(entries_value *v, XXH3_state_t *hash, const record *r,
                 uint64_t end_ms)
{
  uint64_t before = v->elements;

  if (v->kind == SB_STATE_LIST) {
    value_add_list(v, hash, r->value);
    if (v->elements == before)
      return;
  } else if (v->kind == SB_STATE_MAP) {
    value_add_length(v, hash, r->subkey.len);
    value_add(v, hash, r->subkey.data, r->subkey.len);
    value_add_length(v, hash, r->value.len);
    value_add(v, hash, r->value.data, r->value.len);
    v->elements++;
  } else {
    value_add(v, hash, r->value.data, r->value.len);
  }
  v->present = 1;
  if (end_ms != 0 && (v->expires_ms == 0 || end_ms < v->expires_ms))
    v->expires_ms = end_ms;
}

static void
value_reset(entries_value *v, uint32_t kind)
{
  buf_clear(&v->body);
  v->omitted = v->present = 0;
  v->kind = kind;
  v->size = v->elements = v->expires_ms = 0;
  v->sum[0] = '\0';
}

static sb_status
value_merge(entries_reader *r, const state *s, const record *from, int how,
            entries_value *v, sb_error *err)
{
  XXH3_state_t hash;
  XXH128_hash_t sum;
  sb_status status;

  XXH3_INITSTATE(&hash);
  (void)XXH3_128bits_reset(&hash);
  status = merge_first(&r->merge, err);
  while (status == SB_OK) {
    const record *m = &r->merge.record;
    uint64_t end_ms = expiry_end(s, m->expires_ms);

    if (record_compare_key(m, from) != 0)
      break;
    if ((m->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) == 0 &&
        (end_ms == 0 || end_ms > r->now_ms))
      value_add_record(v, &hash, m, end_ms);
    if (v->present && how == ENTRIES_EXISTS)
      break;
    status = merge_next(&r->merge, err);
  }
  sum = XXH3_128bits_digest(&hash);
  (void)snprintf(v->sum, sizeof v->sum, "%016llx%016llx",
                 (unsigned long long)sum.high64,
                 (unsigned long long)sum.low64);
  return status == SB_END ? SB_OK : status;
}

sb_status
entries_read(entries_reader *r, const record *key, int how, entries_value *v,
             sb_error *err)
{
  state *s = r->keyed == NULL ? NULL : keyed_state_by_id(r->keyed,
                                                         key->state);
  size_t keep = v->body_max, i;
  record from = *key;
  sb_status status;
  place p;

  value_reset(v, s == NULL ? 0 : s->kind);
  if (s == NULL || s->kind == SB_STATE_TIMER || s->dropped_epoch != 0)
    return SB_OK;
  from.flags = RECORD_CLEAR;
  from.subkey = from.value = sb_slice_of(NULL, 0);
  keyed_place_record(r->keyed, s, &from, &p);
  status = reader_seek(r, &p, &from, err);
  if (how != ENTRIES_BODY)
    v->body_max = 0;
  if (status == SB_OK) {
    uint8_t *at = r->at;

    /* Those that sit out keep their place. */
    for (i = 0; i < r->merge.count; i++)
      at[i] |= r->merge.runs[i].valid ? 0x80 : 0;
    status = value_merge(r, s, &from, how, v, err);
    for (i = 0; i < r->merge.count; i++)
      if (at[i] & 0x80)
        at[i] = status != SB_OK ? RUN_ANYWHERE
                : r->merge.runs[i].valid ? RUN_AT : RUN_END;
  }
  v->body_max = keep;
  if (status == SB_OK && v->body.status != SB_OK)
    status = sb_error_set(err, SB_NO_MEMORY, "could not read a value of %llu "
                          "bytes: no memory", (unsigned long long)v->size);
  return status;
}
