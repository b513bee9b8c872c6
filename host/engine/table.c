/* SPDX-License-Identifier: Apache-2.0 */
/* Cells, chunks, tables and groups; see table.h. */
#include "config.h"

#include "host/base/buf.h"
#include "host/engine/order.h"

#define TABLE_MIN 8u
#define TABLE_AHEAD 16u /* entries fetched ahead when slots move */
#define GROUP_MIN 2u

uint64_t
cell_expires(const cell *c)
{
  return (c->flags & CELL_EXPIRES) ? load_u64(cell_expiry(c)) : 0;
}

void
cell_record(const cell *c, uint32_t state_id, int ordered, record *out)
{
  const uint8_t *p = cell_key(c);

  out->state = state_id;
  out->key_group = c->key_group;
  out->flags = c->flags & (CELL_TOMBSTONE | CELL_CLEAR);
  if (ordered)
    out->flags |= RECORD_ORDERED;
  out->key = sb_slice_of(p, c->key_len);
  out->ns = sb_slice_of(p + c->key_len, c->ns_len);
  out->subkey = sb_slice_of(p + c->key_len + c->ns_len, c->subkey_len);
  out->value = sb_slice_of(cell_value(c), c->value_len);
  out->hash = ordered ? 0 : record_hash(out->key);
  out->expires_ms = cell_expires(c);
}

/* Is it the same place: namespace, key, subkey and clear flag? */
static inline int
cell_matches(const cell *c, const record *r)
{
  const uint8_t *p = cell_key(c);

  if (c->key_len != r->key.len || c->ns_len != r->ns.len ||
      c->subkey_len != r->subkey.len ||
      (c->flags & CELL_CLEAR) != (r->flags & RECORD_CLEAR) ||
      !bytes_equal(p, r->key.data, r->key.len))
    return 0;
  return (r->ns.len | r->subkey.len) == 0 ||
         (bytes_equal(p + c->key_len, r->ns.data, r->ns.len) &&
          bytes_equal(p + c->key_len + c->ns_len, r->subkey.data,
                      r->subkey.len));
}

static uint64_t
table_pack(uint64_t id, const void *entry)
{
  return (id & 0xFFFF000000000000ull) | (uint64_t)(uintptr_t)entry;
}

static uint64_t
table_slot_id(const table *t, uint64_t slot)
{
  const cell *lone = slot_lone(slot);
  const uint8_t *p;

  if (lone == NULL)
    return *(const uint64_t *)slot_entry(slot);
  p = cell_key(lone);
  return record_group_id(t->list_state,
                         sb_slice_of(p + lone->key_len, lone->ns_len),
                         record_hash(sb_slice_of(p, lone->key_len)));
}

static void
table_put(table *t, uint64_t id, uint64_t slot)
{
  uint32_t i = (uint32_t)id & t->mask;

  while (t->slots[i] > TABLE_GONE)
    i = (i + 1) & t->mask;
  if (t->slots[i] == 0)
    t->used++;
  t->slots[i] = slot;
  t->live++;
}

cell *
table_find(const table *t, uint64_t id, const record *r)
{
  const uint64_t *slots = t->slots;
  uint32_t i, mask = t->mask;

  if (slots == NULL)
    return t->order == NULL ? NULL : order_find(t->order, r);
  for (i = (uint32_t)id & mask;; i = (i + 1) & mask) {
    uint64_t slot = slots[i];
    cell *c;

    if (slot == 0)
      return NULL;
    if ((slot ^ id) >> 48 != 0 || slot == TABLE_GONE)
      continue;
    c = slot_entry(slot);
    /* The value's cache line, if it is another one than the cell's. */
    __builtin_prefetch(c->data + r->key.len);
    if (c->id == id && cell_matches(c, r))
      return c;
  }
}

static int
table_each_ordered(const table *t, const record *r, table_cell_fn *fn,
                   void *arg)
{
  cell *c = t->order == NULL ? NULL : order_find(t->order, r);

  return c == NULL ? 0 : fn(arg, c);
}

int
table_each(const table *t, uint64_t id, const record *r, table_cell_fn *fn,
           void *arg)
{
  uint32_t i;
  int stop;

  if (t->slots == NULL)
    return table_each_ordered(t, r, fn, arg);
  for (i = (uint32_t)id & t->mask; t->slots[i] != 0; i = (i + 1) & t->mask) {
    uint64_t slot = t->slots[i];
    cell *c;

    if ((slot ^ id) >> 48 != 0 || slot == TABLE_GONE)
      continue;
    c = slot_entry(slot);
    if (c->id != id || !cell_same_key(c, r))
      continue;
    stop = fn(arg, c);
    if (stop != 0)
      return stop;
  }
  return 0;
}

uint64_t
group_check(const record *key)
{
  uint64_t h = XXH64(key->key.data, key->key.len, 0x5bd1e995u);

  return key->ns.len == 0 ? h : XXH64(key->ns.data, key->ns.len, h);
}

group *
group_find(const table *t, uint64_t id, uint64_t check)
{
  uint32_t i;

  if (t->slots == NULL)
    return NULL;
  for (i = (uint32_t)id & t->mask;; i = (i + 1) & t->mask) {
    uint64_t slot = t->slots[i];
    group *g;

    if (slot == 0)
      return NULL;
    if ((slot ^ id) >> 48 != 0 || slot == TABLE_GONE || slot & SLOT_LONE)
      continue;
    g = slot_entry(slot);
    if (g->id == id && g->check == check)
      return g;
  }
}

/* Lists share no group: one key's lone cell could not join it. */
static int
group_is_of(const table *t, const group *g, uint64_t id, const record *key)
{
  return g->id == id && (t->lists ? cell_same_key(g->members[0], key)
                                  : g->check == group_check(key));
}

uint64_t *
group_slot(const table *t, uint64_t id, const record *key)
{
  uint32_t i;

  if (t->slots == NULL)
    return NULL;
  for (i = (uint32_t)id & t->mask; t->slots[i] != 0; i = (i + 1) & t->mask) {
    uint64_t slot = t->slots[i];

    if ((slot ^ id) >> 48 != 0 || slot == TABLE_GONE)
      continue;
    if (slot & SLOT_LONE ? cell_same_key(slot_entry(slot), key)
                         : group_is_of(t, slot_entry(slot), id, key))
      return &t->slots[i];
  }
  return NULL;
}

void
group_insert_lone(table *t, uint64_t id, cell *c)
{
  table_put(t, id, table_pack(id, c) | SLOT_LONE);
}

uint64_t *
table_slot(const table *t, uint64_t id, const void *entry)
{
  uint64_t want = table_pack(id, entry);
  uint32_t i;

  if (t->slots == NULL)
    return t->order == NULL ? NULL : order_slot(t->order, entry);
  for (i = (uint32_t)id & t->mask; t->slots[i] != 0; i = (i + 1) & t->mask)
    if (t->slots[i] == want)
      return &t->slots[i];
  return NULL;
}

static sb_status
table_rehash(const sb_host *host, table *t, uint32_t cap, size_t *charged)
{
  uint64_t *old = t->slots, *slots = mem_zalloc(host, cap * sizeof *slots);
  uint32_t i, old_cap = old == NULL ? 0 : t->mask + 1;

  if (slots == NULL)
    return SB_NO_MEMORY;
  *charged += cap * sizeof *slots;
  t->slots = slots;
  t->mask = cap - 1;
  t->used = t->live = 0;
  for (i = 0; i < old_cap; i++) {
    __builtin_prefetch(slot_entry(old[(i + TABLE_AHEAD) & (old_cap - 1)]));
    if (old[i] > TABLE_GONE)
      table_put(t, table_slot_id(t, old[i]), old[i]);
  }
  if (old != NULL)
    *charged -= old_cap * sizeof *old;
  mem_free(host, old);
  return SB_OK;
}

sb_status
table_reserve(const sb_host *host, table *t, size_t *charged)
{
  uint32_t cap = t->slots == NULL ? 0 : t->mask + 1;

  if (t->ordered) {
    if (t->order == NULL)
      t->order = order_new(host, charged);
    return t->order == NULL ? SB_NO_MEMORY
                            : order_reserve(host, t->order, charged);
  }
  if (cap != 0 && (t->used + 1) * 4u <= cap * 3u)
    return SB_OK;
  if (cap == 0)
    cap = TABLE_MIN;
  else if (t->live * 2u >= cap)
    cap *= 2;
  return table_rehash(host, t, cap, charged);
}

void
table_insert(table *t, uint64_t id, void *entry)
{
  if (t->ordered)
    order_insert(t->order, id, entry);
  else
    table_put(t, id, table_pack(id, entry));
}

void
table_remove(table *t, uint64_t *slot)
{
  uint32_t next;

  if (t->ordered) {
    order_remove(t->order, slot);
    return;
  }
  next = ((uint32_t)(slot - t->slots) + 1) & t->mask;
  t->live--;
  if (t->slots[next] == 0) {
    *slot = 0;
    t->used--;
  } else {
    *slot = TABLE_GONE;
  }
}

void
table_free(const sb_host *host, table *t, size_t *charged)
{
  if (t->slots != NULL)
    *charged -= ((size_t)t->mask + 1) * sizeof *t->slots;
  mem_free(host, t->slots);
  order_free(host, t->order, charged);
  memset(t, 0, sizeof *t);
}

static size_t
group_size(uint32_t cap)
{
  return sizeof(group) + cap * sizeof(cell *);
}

group *
group_new(const sb_host *host, uint64_t id, uint64_t check, size_t *charged)
{
  group *g = mem_zalloc(host, group_size(GROUP_MIN));

  if (g == NULL)
    return NULL;
  g->id = id;
  g->check = check;
  g->cap = GROUP_MIN;
  g->plain = 1;
  *charged += group_size(g->cap);
  return g;
}

static sb_status
group_grow(const sb_host *host, table *t, group **g, size_t *charged)
{
  uint64_t *slot = table_slot(t, (*g)->id, *g);
  uint32_t cap = 2 * (*g)->cap + 2;
  group *grown = mem_realloc(host, *g, group_size(cap));

  if (grown == NULL)
    return SB_NO_MEMORY;
  *charged += group_size(cap) - group_size(grown->cap);
  grown->cap = cap;
  *slot = table_pack(grown->id, grown);
  *g = grown;
  return SB_OK;
}

sb_status
group_add(const sb_host *host, table *t, group **g, cell *member,
          size_t *charged)
{
  if ((*g)->count == (*g)->cap && group_grow(host, t, g, charged) != SB_OK)
    return SB_NO_MEMORY;
  *cell_member(member) = (*g)->count;
  (*g)->members[(*g)->count++] = member;
  return SB_OK;
}

void
group_take(group *g, cell *member)
{
  uint32_t at = *cell_member(member);
  cell *last = g->members[--g->count];

  g->members[at] = last;
  *cell_member(last) = at;
}

void
group_free(const sb_host *host, group *g, size_t *charged)
{
  *charged -= group_size(g->cap);
  mem_free(host, g);
}

chunk *
chunk_new(const sb_host *host, size_t size)
{
  chunk *c = mem_alloc(host, sizeof *c);

  if (c == NULL)
    return NULL;
  memset(c, 0, sizeof *c);
  c->data = mem_alloc(host, size);
  if (c->data == NULL) {
    mem_free(host, c);
    return NULL;
  }
  c->size = size;
  return c;
}

void
chunk_free(const sb_host *host, chunk *c)
{
  mem_free(host, c->data);
  mem_free(host, c);
}

void
chunk_list_push(chunk_list *list, chunk *c)
{
  c->next = NULL;
  if (list->last == NULL)
    list->first = c;
  else
    list->last->next = c;
  list->last = c;
  list->bytes += c->size;
}

chunk *
chunk_list_pop(chunk_list *list)
{
  chunk *c = list->first;

  if (c == NULL)
    return NULL;
  list->first = c->next;
  if (list->first == NULL)
    list->last = NULL;
  list->bytes -= c->size;
  c->next = NULL;
  return c;
}
