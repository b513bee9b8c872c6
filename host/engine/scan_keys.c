/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cursor's memory side: the places of cells in range are collected and
 * sorted, in batches that the memory budget bounds. Values are not kept: a
 * place is looked up again when its turn comes.
 */
#include "config.h"

#include "host/engine/scan.h"
#include "host/engine/space.h"

#define KEYS_BATCH_MIN 16384u   /* collected at once, at least */
#define KEYS_BATCH_SHARE 1024u  /* one for so many bytes of the budget */
#define KEYS_BYTES_SHARE 64u    /* of the budget for their bytes */
#define KEYS_AHEAD 16u          /* cells fetched ahead */
#define KEYS_FEW 32u            /* places collected without memory */
#define KEYS_PROMOTED_MAX 1024u /* records a scan takes into memory */

typedef struct collect {
  sb_cursor *cursor;
  uint32_t group_first, group_last; /* collected: part of them may be */
  sort_entry *entries;   /* `few`, or allocated */
  size_t count, cap, limit;
  uint64_t hash;         /* of the one key */
  size_t bytes;          /* of the keys, or more */
  int one_group;         /* prefixes are hashes: they order the entries, */
  int with_ns;           /* unless there are namespaces */
  record bound;  /* all after it are left for the next batch */
  int has_bound;
  int more;      /* some were left */
  int complete;
  int failed;
  sort_entry few[KEYS_FEW];
} collect;

/* ---- collecting ---------------------------------------------------------- */

static void
collect_fetch(const void *cl)
{
  __builtin_prefetch(cl);
  __builtin_prefetch((const char *)cl + 64);
}

static void
collect_record(const collect *b, const cell *cl, record *r)
{
  cell_record(cl, b->cursor->state->id, b->cursor->state->ordered, r);
}

static int
collect_is_hashed(const collect *b)
{
  return b->one_group && !b->with_ns;
}

static void
collect_sort(collect *b)
{
  keyed *k = b->cursor->keyed;

  if (b->cursor->range.has_key)
    sort_members(k, b->entries, b->count);
  else if (collect_is_hashed(b))
    sort_hashed(k, b->entries, b->count);
  else
    sort_cells(k, b->entries, b->count);
}

/* Keeps the smaller half when there are too many. */
static void
collect_trim(collect *b)
{
  if (b->count < 2 * b->limit)
    return;
  collect_sort(b);
  b->count = b->limit;
  collect_record(b, b->entries[b->count - 1].cell, &b->bound);
  b->has_bound = 1;
  b->more = 1;
}

static int
collect_grow(collect *b)
{
  const sb_host *host = b->cursor->keyed->host;
  int few = b->entries == b->few;
  size_t cap = b->cap * 2, had = few ? 0 : b->cap;
  sort_entry *e = mem_realloc(host, few ? NULL : b->entries, cap * sizeof *e);

  if (e == NULL) {
    b->failed = 1;
    return 0;
  }
  if (few)
    memcpy(e, b->few, sizeof b->few);
  engine_charge(b->cursor->keyed->engine, (cap - had) * sizeof *e);
  b->entries = e;
  b->cap = cap;
  return 1;
}

static void
collect_free(collect *b)
{
  if (b->entries == b->few)
    return;
  mem_free(b->cursor->keyed->host, b->entries);
  engine_release(b->cursor->keyed->engine, b->cap * sizeof *b->entries);
}

static size_t
collect_key_len(const cell *cl)
{
  return (size_t)cl->key_len + cl->ns_len + cl->subkey_len;
}

/* 1 if there is no memory for it. */
static int
collect_add(collect *b, cell *cl, uint64_t hash)
{
  if (b->count == b->cap && !collect_grow(b))
    return 1;
  b->entries[b->count].prefix = hash;
  b->entries[b->count++].cell = cl;
  b->bytes += collect_key_len(cl);
  b->with_ns |= cl->ns_len != 0;
  collect_trim(b);
  return 0;
}

static int
collect_cell(void *arg, cell *cl)
{
  collect *b = arg;
  const sb_cursor *c = b->cursor;
  record r;

  if ((cl->flags & (CELL_TOMBSTONE | CELL_CLEAR)) ||
      cl->key_group < b->group_first || cl->key_group > b->group_last)
    return 0;
  collect_record(b, cl, &r);
  if (!scan_range_has(&c->range, &r) ||
      (c->has_last && record_compare(&r, &c->last) <= 0))
    return 0;
  if (b->has_bound && record_compare(&r, &b->bound) > 0)
    return 0;
  return collect_add(b, cl, r.hash);
}

/* All of a table, or all without a namespace. */
static int
collect_any_cell(collect *b, cell *cl)
{
  if (b->has_bound)
    return collect_cell(b, cl);
  if ((cl->flags & (CELL_TOMBSTONE | CELL_CLEAR)) ||
      (b->cursor->range.has_ns && cl->ns_len != 0))
    return 0;
  return collect_add(b, cl,
                     record_hash(sb_slice_of(cell_key(cl), cl->key_len)));
}

void
scan_key_place(const sb_cursor *c, place *p)
{
  record r;

  memset(&r, 0, sizeof r);
  r.state = c->state->id;
  r.key_group = (uint16_t)c->key_group;
  slice_copy(&r.ns, &c->range.ns);
  slice_copy(&r.key, &c->range.key);
  keyed_place_record(c->keyed, c->state, &r, p);
}

/* Of one key, all of whose cells are in range. */
static int
collect_member(void *arg, cell *cl)
{
  collect *b = arg;

  if (cl->flags & (CELL_TOMBSTONE | CELL_CLEAR))
    return 0;
  return collect_add(b, cl, 0);
}

/* One cell is enough to say that the key is there. */
static int
collect_any_member(void *arg, cell *cl)
{
  collect *b = arg;
  sb_row row = { .expires_ms = cell_expires(cl) };

  if (collect_member(b, cl) != 0)
    return 1;
  if (b->count == 0 || scan_judge(b->cursor, &row) != SB_OK) {
    b->count = 0;
    return 0;
  }
  b->complete = 1;
  return 1;
}

/* What to do with each cell of one key. */
static table_cell_fn *
collect_how(const collect *b, const group *g)
{
  const sb_cursor *c = b->cursor;

  if (c->has_last || c->range.start.len != 0 || c->range.end.len != 0 ||
      g->count >= b->limit)
    return collect_cell;
  return c->flags & SB_SCAN_KEYS ? collect_any_member : collect_member;
}

static void
collect_members(collect *b, const group *g, const record *key)
{
  table_cell_fn *fn = collect_how(b, g);
  uint32_t i;
  int stop = 0;

  for (i = 0; i < g->count && i < KEYS_AHEAD; i++)
    collect_fetch(g->members[i]);
  for (i = 0; i < g->count && !stop; i++) {
    if (i + KEYS_AHEAD < g->count)
      collect_fetch(g->members[i + KEYS_AHEAD]);
    if (cell_same_key(g->members[i], key))
      stop = fn(b, g->members[i]);
  }
}

/* One key. */
static void
collect_key(collect *b)
{
  const sb_cursor *c = b->cursor;
  const uint64_t *slot;
  const group *g;
  cell *lone;
  size_t runs;
  place p;

  scan_key_place(c, &p);
  b->hash = p.key.hash;
  (void)version_runs(c->keyed->version, c->key_group, &runs);
  b->complete = runs == 0 ||
                (c->range.ns.len != 0 &&
                 space_knows_all(c->state,
                                 space_lookup(c->state, c->range.ns)));
  if (!c->state->subkeyed) {
    (void)table_each(&c->state->tables[p.table], p.id, &p.key, collect_cell,
                     b);
    return;
  }
  slot = group_slot(&c->state->groups[p.table], p.group_id, &p.key);
  if (slot == NULL)
    return;
  lone = slot_lone(*slot);
  if (lone != NULL) {
    b->complete |= (lone->flags & CELL_WHOLE) != 0;
    (void)collect_cell(b, lone);
    return;
  }
  g = slot_entry(*slot);
  b->complete |= g->complete;
  collect_members(b, g, &p.key);
}

static void
collect_table(collect *b)
{
  const sb_cursor *c = b->cursor;
  const table *t = &c->state->tables[c->key_group -
                                     c->keyed->key_group_first];
  int any = !c->has_last && c->range.start.len == 0 && c->range.end.len == 0;
  uint32_t i;

  b->one_group = !c->state->ordered;
  for (i = 0; t->slots != NULL && i <= t->mask && !b->failed; i++) {
    uint64_t slot = t->slots[i];

    collect_fetch(slot_entry(t->slots[(i + KEYS_AHEAD) & t->mask]));
    if (slot > TABLE_GONE)
      (void)(any ? collect_any_cell(b, slot_entry(slot))
                 : collect_cell(b, slot_entry(slot)));
  }
}

static void
collect_list(collect *b, const space_list *l)
{
  uint32_t i;

  for (i = 0; i < l->count && i < KEYS_AHEAD; i++)
    collect_fetch(l->cells[i]);
  for (i = 0; i < l->count && !b->failed; i++) {
    if (i + KEYS_AHEAD < l->count)
      collect_fetch(l->cells[i + KEYS_AHEAD]);
    (void)collect_cell(b, l->cells[i]);
  }
}

/* A namespace, list by list: as many key groups as make a batch. */
static void
collect_space(collect *b)
{
  const sb_cursor *c = b->cursor;
  const space *sp = space_lookup(c->state, c->range.ns);
  uint32_t g = c->key_group, last = c->range.key_group_last;

  b->group_last = last;
  b->complete = space_knows_all(c->state, sp);
  while (sp != NULL && g <= last && !b->failed) {
    uint32_t group_last;
    const space_list *l = space_list_of(c->keyed, sp, g, &group_last);

    collect_list(b, l);
    g = group_last + 1;
    if (b->more || (g <= last && b->count >= b->limit)) {
      b->group_last = group_last < last ? group_last : last;
      break;
    }
  }
}

/* ---- copying ------------------------------------------------------------- */

void
scan_keys_drop(sb_cursor *c)
{
  scan_keys *s = &c->keys;

  if (s->keys != c->few)
    mem_free(c->keyed->host, s->keys);
  if (s->charged != 0)
    engine_release(c->keyed->engine, s->charged);
  s->keys = NULL;
  s->charged = 0;
  s->count = s->at = 0;
  s->valid = s->alone = 0;
  buf_clear(&s->bytes);
}

/* Bytes of the keys that will be kept; the others come with the next batch. */
static size_t
collect_bytes(collect *b)
{
  size_t max = b->cursor->keyed->engine->memory_limit / KEYS_BYTES_SHARE;
  size_t bytes = 0, i;

  if (b->bytes <= max)
    return b->bytes;
  for (i = 0; i < b->count; i++) {
    bytes += collect_key_len(b->entries[i].cell);
    if (bytes > max && i > 0 && i + 1 < b->count) {
      b->count = i + 1;
      b->more = 1;
    }
  }
  return bytes;
}

static void
collect_copy_key(const collect *b, const sort_entry *entry, scan_keys *s)
{
  const cell *cl = entry->cell;
  scan_key *m = &s->keys[s->count++];
  uint8_t *at = s->bytes.data + s->bytes.len;
  size_t len = collect_key_len(cl);
  record r;

  if (b->cursor->range.has_key)
    r.hash = b->hash;
  else if (collect_is_hashed(b))
    r.hash = entry->prefix;
  else
    collect_record(b, cl, &r);
  memcpy(at, cell_key(cl), len);
  s->bytes.len += len;
  m->cell = (cell *)(uintptr_t)cl;
  m->hash = r.hash;
  m->at = at;
  m->key_group = cl->key_group;
  m->key_len = cl->key_len;
  m->ns_len = cl->ns_len;
  m->subkey_len = cl->subkey_len;
}

/* Is there nothing else in the key group, and each place a row? */
static int
collect_is_all(const collect *b)
{
  const sb_cursor *c = b->cursor;
  size_t runs;

  if (c->merge_open || ((c->flags & SB_SCAN_KEYS) && c->state->subkeyed))
    return 0;
  if (c->range.has_key)
    return c->keys.complete && (c->flags & SB_SCAN_KEYS) == 0;
  (void)version_runs(c->keyed->version, c->key_group, &runs);
  return b->one_group && runs == 0;
}

/* Copies the sorted keys, so that cells may come and go. */
static sb_status
collect_copy(collect *b)
{
  sb_cursor *c = b->cursor;
  keyed *k = c->keyed;
  scan_keys *s = &c->keys;
  size_t bytes = collect_bytes(b), i;

  s->keys = b->count <= SCAN_KEYS_FEW
              ? c->few : mem_alloc(k->host, b->count * sizeof *s->keys);
  if (s->keys == NULL || buf_extend(&s->bytes, bytes + 1) == NULL)
    return SB_NO_MEMORY;
  s->bytes.len = 0;
  if (s->keys != c->few)
    s->charged = b->count * sizeof *s->keys;
  if (s->bytes.cap > SCAN_KEPT)
    s->charged += s->bytes.cap;
  if (s->charged != 0)
    engine_charge(k->engine, s->charged);
  for (i = 0; i < b->count; i++) {
    if (i + KEYS_AHEAD < b->count)
      collect_fetch(b->entries[i + KEYS_AHEAD].cell);
    collect_copy_key(b, &b->entries[i], s);
  }
  s->more = b->more;
  s->complete = b->complete && !b->more; /* the rest may be evicted */
  s->group_last = b->group_last;
  if (b->more)
    s->group_last = s->keys[s->count - 1].key_group;
  s->alone = collect_is_all(b);
  s->moves = k->moves;
  s->valid = 1;
  return SB_OK;
}

static void
collect_init(collect *b, sb_cursor *c)
{
  memset(b, 0, offsetof(collect, few));
  b->cursor = c;
  b->entries = b->few;
  b->cap = KEYS_FEW;
  b->group_first = b->group_last = c->key_group;
  b->limit = c->keyed->engine->memory_limit / KEYS_BATCH_SHARE;
  if (b->limit < KEYS_BATCH_MIN)
    b->limit = KEYS_BATCH_MIN;
}

sb_status
scan_collect(sb_cursor *c, sb_error *err)
{
  sb_status status;
  collect b;

  status = scan_own_last(c, err);
  if (status != SB_OK)
    return status;
  collect_init(&b, c);
  scan_keys_drop(c);
  if (c->range.has_key)
    collect_key(&b);
  else if (c->range.has_ns && c->range.ns.len != 0)
    collect_space(&b);
  else
    collect_table(&b);
  if (!b.failed) {
    collect_sort(&b);
    /* What was left out comes behind these, but not behind all. */
    if (b.more && b.count > b.limit)
      b.count = b.limit;
  }
  status = b.failed ? SB_NO_MEMORY : collect_copy(&b);
  collect_free(&b);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not scan state \"%.*s\": no "
                        "memory", (int)c->state->name.len,
                        (const char *)c->state->name.data);
  return SB_OK;
}

void
scan_key_record(const sb_cursor *c, const scan_key *key, record *out)
{
  memset(out, 0, sizeof *out);
  out->state = c->state->id;
  out->key_group = key->key_group;
  out->flags = c->state->ordered ? RECORD_ORDERED : 0;
  out->hash = key->hash;
  out->key = sb_slice_of(key->at, key->key_len);
  out->ns = sb_slice_of(key->at + key->key_len, key->ns_len);
  out->subkey = sb_slice_of(key->at + key->key_len + key->ns_len,
                            key->subkey_len);
}

/* ---- learning ------------------------------------------------------------ */

void
scan_learn_begin(sb_cursor *c)
{
  const keyed *k = c->keyed;
  const scan_range *r = &c->range;
  const space *sp;

  if (!r->has_ns || r->ns.len == 0 || r->has_key)
    return;
  c->promotions = KEYS_PROMOTED_MAX;
  if (r->start.len != 0 || r->end.len != 0 ||
      r->key_group_first != k->key_group_first ||
      r->key_group_last != k->key_group_last)
    return;
  sp = space_lookup(c->state, r->ns);
  c->learns = 1;
  c->serial = sp == NULL ? 0 : sp->serial;
  c->serial_floor = k->space_serial;
  c->lost = c->state->spaces_lost;
}

void
scan_learn_end(sb_cursor *c)
{
  space *sp;

  if (!c->learns || c->state->spaces_lost != c->lost)
    return;
  sp = space_lookup(c->state, c->range.ns);
  if (sp == NULL)
    return;
  /* Nothing of it was evicted since: the space is the same, or was born. */
  if (c->serial != 0 ? sp->serial == c->serial
                     : sp->born == sp->serial && sp->born > c->serial_floor)
    sp->complete = 1;
}
