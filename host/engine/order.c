/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A B+ tree of cells; see order.h. Nodes hold the first 8 bytes of keys, so
 * that most comparisons touch no cell. An inner node's prefix is a lower bound
 * of the child's keys; when it decides nothing, the child's first cell does.
 * So separators need no keys of their own and cells may come and go.
 */
#include "config.h"

#include "host/base/buf.h"
#include "host/engine/order.h"

#define ORDER_FAN 62u      /* a node is 1 KiB */
#define ORDER_SMALL 4u     /* the first size of a root that is a leaf */
#define ORDER_SPARSE 16u   /* fewer entries: try to join a neighbour */
#define ORDER_JOINED 48u
#define ORDER_AHEAD 8u     /* cells fetched before their turn */
#define ORDER_SPARE_KEEP 4u /* beyond what the next insert may need */

/* A leaf has slots, an inner node children. */
struct order_node {
  order_node *next, *previous; /* leaves, in order; spare nodes */
  uint16_t first, count, cap;  /* what it has begins at `first` */
  uint16_t level;              /* 0: leaf */
  uint64_t data[];             /* cap prefixes, then cap entries */
};

static uint64_t *
order_prefixes(const order_node *n)
{
  return (uint64_t *)(uintptr_t)(n->data + n->first);
}

static uint64_t *
order_entries(const order_node *n)
{
  return (uint64_t *)(uintptr_t)(n->data + n->cap + n->first);
}

static order_node *
order_child(const order_node *n, uint32_t i)
{
  return (order_node *)(uintptr_t)order_entries(n)[i];
}

uint64_t
order_prefix(sb_slice key)
{
  const uint8_t *bytes = key.data;
  uint64_t prefix = 0;
  size_t i, n = key.len;

  if (n >= 8)
    return __builtin_bswap64(load_u64(bytes));
  for (i = 0; i < n; i++)
    prefix |= (uint64_t)bytes[i] << (56 - 8 * i);
  return prefix;
}

static sb_slice
order_key(const cell *c)
{
  return sb_slice_of(cell_key(c), c->key_len);
}

/* ---- nodes -------------------------------------------------------------- */

static size_t
order_node_bytes(uint32_t cap)
{
  return sizeof(order_node) + (size_t)cap * 2 * sizeof(uint64_t);
}

static order_node *
order_node_new(const sb_host *host, uint32_t cap, size_t *charged)
{
  order_node *n = mem_alloc(host, order_node_bytes(cap));

  if (n == NULL)
    return NULL;
  memset(n, 0, sizeof *n);
  n->cap = (uint16_t)cap;
  *charged += order_node_bytes(cap);
  return n;
}

static void
order_node_free(const sb_host *host, order_node *n, size_t *charged)
{
  *charged -= order_node_bytes(n->cap);
  mem_free(host, n);
}

static void
order_put_spare(order_tree *o, order_node *n)
{
  n->next = o->spare;
  o->spare = n;
  o->spare_count++;
}

static order_node *
order_take_spare(order_tree *o, uint32_t level)
{
  order_node *n = o->spare;

  o->spare = n->next;
  o->spare_count--;
  n->next = n->previous = NULL;
  n->first = n->count = 0;
  n->level = (uint16_t)level;
  return n;
}

/* Moves entries [from, from + count) of the node by one place. */
static void
order_shift(order_node *n, uint32_t from, uint32_t count, int by)
{
  uint64_t *prefixes = order_prefixes(n) + from;
  uint64_t *entries = order_entries(n) + from;

  memmove(prefixes + by, prefixes, count * sizeof *prefixes);
  memmove(entries + by, entries, count * sizeof *entries);
}

static void
order_open_gap(order_node *n, uint32_t at, uint64_t prefix, uint64_t entry)
{
  int left = n->first != 0 &&
             (at < n->count / 2u || n->first + n->count == n->cap);

  if (left) {
    order_shift(n, 0, at, -1);
    n->first--;
  } else {
    order_shift(n, at, n->count - at, 1);
  }
  order_prefixes(n)[at] = prefix;
  order_entries(n)[at] = entry;
  n->count++;
}

static void
order_close_gap(order_node *n, uint32_t at)
{
  if (at < n->count / 2u) {
    order_shift(n, 0, at, 1);
    n->first++;
  } else {
    order_shift(n, at + 1, n->count - at - 1, -1);
  }
  n->count--;
}

/* Appends entries [from, from + count) of another node. */
static void
order_append(order_node *to, const order_node *n, uint32_t from,
             uint32_t count)
{
  if ((uint32_t)to->first + to->count + count > to->cap) {
    uint32_t by = to->first;

    memmove(to->data, to->data + by, to->count * sizeof *to->data);
    memmove(to->data + to->cap, to->data + to->cap + by,
            to->count * sizeof *to->data);
    to->first = 0;
  }
  memcpy(order_prefixes(to) + to->count, order_prefixes(n) + from,
         count * sizeof *n->data);
  memcpy(order_entries(to) + to->count, order_entries(n) + from,
         count * sizeof *n->data);
  to->count = (uint16_t)(to->count + count);
}

/* ---- life --------------------------------------------------------------- */

order_tree *
order_new(const sb_host *host, size_t *charged)
{
  order_tree *o = mem_zalloc(host, sizeof *o);

  if (o == NULL)
    return NULL;
  *charged += sizeof *o;
  o->low = UINT64_MAX;
  return o;
}

static void
order_free_tree(const sb_host *host, order_node *n, size_t *charged)
{
  uint32_t i;

  if (n == NULL)
    return;
  for (i = 0; n->level != 0 && i < n->count; i++)
    order_free_tree(host, order_child(n, i), charged);
  order_node_free(host, n, charged);
}

static void
order_free_spare(const sb_host *host, order_tree *o, uint32_t keep,
                 size_t *charged)
{
  while (o->spare_count > keep) {
    order_node *n = o->spare;

    o->spare = n->next;
    o->spare_count--;
    order_node_free(host, n, charged);
  }
}

void
order_free(const sb_host *host, order_tree *o, size_t *charged)
{
  if (o == NULL)
    return;
  order_free_tree(host, o->root, charged);
  order_free_spare(host, o, 0, charged);
  *charged -= sizeof *o;
  mem_free(host, o);
}

/* ---- searching ---------------------------------------------------------- */

static const cell *
order_first_cell(const order_node *n)
{
  while (n->level != 0)
    n = order_child(n, 0);
  return slot_entry(order_entries(n)[0]);
}

static int
order_compare(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n == 0 ? 0 : memcmp(a.data, b.data, n);

  if (c != 0)
    return c;
  return a.len < b.len ? -1 : a.len > b.len;
}

/* Is entry i of a node, with the key's prefix, below `key`, or, with `after`,
   not above it? */
static int
order_is_before(const order_node *n, uint32_t i, sb_slice key, int after)
{
  const cell *c = n->level == 0 ? slot_entry(order_entries(n)[i])
                                : order_first_cell(order_child(n, i));
  int d = order_compare(order_key(c), key);

  return d < 0 || (after && d == 0);
}

/* How many of `count` ascending numbers are below `limit`; no branches that
   depend on them, as nobody could predict those. */
static uint32_t
order_below(const uint64_t *numbers, uint32_t count, uint64_t limit)
{
  const uint64_t *from = numbers;

  while (count > 1) {
    uint32_t half = count / 2;

    from += from[half - 1] < limit ? half : 0;
    count -= half;
  }
  return (uint32_t)(from - numbers) + (count == 1 && *from < limit);
}

/* How many entries of a node, from `from` on, are before the key; plus from. */
static uint32_t
order_rank(const order_node *n, uint32_t from, uint64_t prefix, sb_slice key,
           int after)
{
  const uint64_t *prefixes = order_prefixes(n);
  uint32_t low = from + order_below(prefixes + from, n->count - from, prefix);
  uint32_t high = n->count;

  if (low == high || prefixes[low] != prefix)
    return low;
  if (prefix != UINT64_MAX)
    high = low + order_below(prefixes + low, high - low, prefix + 1);
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;

    if (order_is_before(n, middle, key, after))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The way to the leaf where the key is or would be, and its place there. What
   is before the second entry of an inner node belongs to its first child, so
   the first prefix is never looked at and need not be a lower bound. */
static void
order_descend(const order_tree *o, sb_slice key, int after, order_path *path)
{
  uint64_t prefix = order_prefix(key);
  order_node *n = o->root;
  uint32_t i;

  while (n->level != 0) {
    i = order_rank(n, 1, prefix, key, 1) - 1;
    path->node[n->level] = n;
    path->at[n->level] = i;
    n = order_child(n, i);
  }
  path->node[0] = n;
  path->at[0] = order_rank(n, 0, prefix, key, after);
}

/* Is the place that the hint says strictly between its neighbours in the leaf?
   Then a search for the key would end there too. */
static int
order_hint_fits(const order_tree *o, uint64_t prefix)
{
  const order_node *n = o->hint.node[0];
  uint32_t at = o->hint.at[0];

  return o->hinted && at != 0 && at < n->count &&
         order_prefixes(n)[at - 1] < prefix && prefix < order_prefixes(n)[at];
}

static uint64_t *
order_find_slot(order_tree *o, sb_slice key)
{
  uint64_t prefix = order_prefix(key);
  order_node *n;
  const cell *c;
  uint32_t at;

  if (o->root == NULL || prefix < o->low || order_hint_fits(o, prefix))
    return NULL;
  order_descend(o, key, 0, &o->hint);
  o->hinted = 1;
  n = o->hint.node[0];
  at = o->hint.at[0];
  if (at == n->count || order_prefixes(n)[at] != prefix)
    return NULL;
  c = slot_entry(order_entries(n)[at]);
  return order_compare(order_key(c), key) == 0 ? &order_entries(n)[at] : NULL;
}

cell *
order_find(order_tree *o, const record *r)
{
  uint64_t *slot;

  if (r->flags & RECORD_CLEAR)
    return o->front == 0 ? NULL : slot_entry(o->front);
  slot = order_find_slot(o, r->key);
  return slot == NULL ? NULL : slot_entry(*slot);
}

uint64_t *
order_slot(order_tree *o, const cell *c)
{
  uint64_t *slot = c->flags & CELL_CLEAR ? &o->front
                                         : order_find_slot(o, order_key(c));

  return slot != NULL && slot_entry(*slot) == c ? slot : NULL;
}

void
order_seek(const order_tree *o, sb_slice key, int after,
           order_place *place)
{
  order_path path;

  memset(place, 0, sizeof *place);
  if (o->root == NULL)
    return;
  order_descend(o, key, after, &path);
  place->node = path.node[0];
  place->at = path.at[0];
}

cell *
order_step(order_place *place)
{
  const uint64_t *entries;

  if (place->node != NULL && place->at == place->node->count) {
    place->node = place->node->next;
    place->at = 0;
  }
  if (place->node == NULL)
    return NULL;
  entries = order_entries(place->node);
  if (place->at + ORDER_AHEAD < place->node->count)
    __builtin_prefetch(slot_entry(entries[place->at + ORDER_AHEAD]));
  return slot_entry(entries[place->at++]);
}

/* ---- inserting ---------------------------------------------------------- */

/* A leaf that is the root grows where it stands. */
static sb_status
order_grow_root(const sb_host *host, order_tree *o, size_t *charged)
{
  order_node *old = o->root, *n;
  uint32_t cap = old == NULL ? ORDER_SMALL : old->cap * 2u;

  if (old != NULL && (old->cap == ORDER_FAN || old->count < old->cap))
    return SB_OK;
  n = order_node_new(host, cap > ORDER_FAN ? ORDER_FAN : cap, charged);
  if (n == NULL)
    return SB_NO_MEMORY;
  if (old != NULL) {
    order_append(n, old, 0, old->count);
    order_node_free(host, old, charged);
  }
  o->root = n;
  o->hinted = 0;
  o->changes++;
  return SB_OK;
}

sb_status
order_reserve(const sb_host *host, order_tree *o, size_t *charged)
{
  uint32_t need = o->depth + 2;
  order_node *n;

  if (o->depth == 0 && order_grow_root(host, o, charged) != SB_OK)
    return SB_NO_MEMORY;
  if (o->root->cap < ORDER_FAN)
    return SB_OK;
  while (o->spare_count < need) {
    n = order_node_new(host, ORDER_FAN, charged);
    if (n == NULL)
      return SB_NO_MEMORY;
    order_put_spare(o, n);
  }
  order_free_spare(host, o, need + ORDER_SPARE_KEEP, charged);
  return SB_OK;
}

/* Splits a full node; its upper part goes to a new one. An insert at the very
   end leaves the node full: keys often come in order. */
static order_node *
order_split(order_tree *o, order_node *n, uint32_t at)
{
  uint32_t keep = at == n->count && n->next == NULL ? n->count - 1u
                                                    : n->count / 2u;
  order_node *upper = order_take_spare(o, n->level);

  order_append(upper, n, keep, n->count - keep);
  n->count = (uint16_t)keep;
  if (n->level == 0) {
    upper->next = n->next;
    upper->previous = n;
    if (upper->next != NULL)
      upper->next->previous = upper;
    n->next = upper;
  }
  return upper;
}

static void
order_new_root(order_tree *o, order_node *upper)
{
  order_node *root = order_take_spare(o, o->depth + 1);

  order_open_gap(root, 0, order_prefixes(o->root)[0],
                 (uint64_t)(uintptr_t)o->root);
  order_open_gap(root, 1, order_prefixes(upper)[0],
                 (uint64_t)(uintptr_t)upper);
  o->root = root;
  o->depth++;
}

void
order_insert(order_tree *o, uint64_t id, cell *c)
{
  uint64_t entry = (id & 0xFFFF000000000000ull) | (uint64_t)(uintptr_t)c;
  uint64_t prefix = order_prefix(order_key(c));
  order_path *path = &o->hint;
  order_node *n, *upper;
  uint32_t level;

  if (c->flags & CELL_CLEAR) {
    o->front = entry;
    return;
  }
  o->live++;
  o->changes++;
  if (prefix < o->low)
    o->low = prefix;
  if (!order_hint_fits(o, prefix))
    order_descend(o, order_key(c), 0, path);
  o->hinted = 0;
  for (level = 0;; level++) {
    n = path->node[level];
    if (n->count < n->cap) {
      order_open_gap(n, path->at[level], prefix, entry);
      return;
    }
    upper = order_split(o, n, path->at[level]);
    if (path->at[level] > n->count)
      order_open_gap(upper, path->at[level] - n->count, prefix, entry);
    else
      order_open_gap(n, path->at[level], prefix, entry);
    if (level == o->depth)
      break;
    prefix = order_prefixes(upper)[0];
    entry = (uint64_t)(uintptr_t)upper;
    path->at[level + 1]++;
  }
  order_new_root(o, upper);
}

/* ---- removing ----------------------------------------------------------- */

static void
order_unlink(order_node *n)
{
  if (n->previous != NULL)
    n->previous->next = n->next;
  if (n->next != NULL)
    n->next->previous = n->previous;
}

/* Joins the node that `path` goes through with a neighbour below the same
   parent if both are small; *at is the entry of the parent that goes. */
static int
order_join(order_tree *o, order_path *path, uint32_t level, uint32_t *at)
{
  order_node *parent = path->node[level + 1], *left, *right;
  uint32_t i = path->at[level + 1];

  if (i + 1u < parent->count &&
      order_child(parent, i)->count + order_child(parent, i + 1)->count <=
        ORDER_JOINED)
    i++;
  else if (i == 0 || order_child(parent, i - 1)->count +
                         order_child(parent, i)->count > ORDER_JOINED)
    return 0;
  left = order_child(parent, i - 1);
  right = order_child(parent, i);
  if (level != 0)
    order_prefixes(right)[0] = order_prefixes(parent)[i]; /* a bound */
  order_append(left, right, 0, right->count);
  if (level == 0)
    order_unlink(right);
  order_put_spare(o, right);
  *at = i;
  return 1;
}

static void
order_shrink_root(order_tree *o)
{
  order_node *n = o->root;

  while (n->level != 0 && n->count == 1) {
    o->root = order_child(n, 0);
    o->depth--;
    order_put_spare(o, n);
    n = o->root;
  }
}

static void
order_remove_at(order_tree *o, order_path *path)
{
  uint32_t level, at = path->at[0];
  order_node *n;

  for (level = 0;; level++) {
    n = path->node[level];
    order_close_gap(n, at);
    if (level == o->depth || n->count >= ORDER_SPARSE)
      break;
    if (n->count == 0) {
      if (level == 0)
        order_unlink(n);
      order_put_spare(o, n);
      at = path->at[level + 1];
    } else if (!order_join(o, path, level, &at)) {
      break;
    }
  }
  order_shrink_root(o);
}

void
order_remove(order_tree *o, uint64_t *slot)
{
  order_path *path = &o->hint;

  if (slot == &o->front) {
    o->front = 0;
    return;
  }
  o->live--;
  o->changes++;
  if (!o->hinted || path->at[0] >= path->node[0]->count ||
      &order_entries(path->node[0])[path->at[0]] != slot)
    order_descend(o, order_key(slot_entry(*slot)), 0, path);
  o->hinted = 0;
  order_remove_at(o, path);
}

/* ---- sweeping ----------------------------------------------------------- */

/* Leaves out the swept cells of a leaf. */
static void
order_sweep_leaf(order_tree *o, order_node *n, uint32_t epoch)
{
  uint64_t *prefixes = order_prefixes(n), *entries = order_entries(n);
  uint32_t i, kept = 0;

  for (i = 0; i < n->count; i++) {
    cell *c = slot_entry(entries[i]);

    if (i + ORDER_AHEAD < n->count)
      __builtin_prefetch(slot_entry(entries[i + ORDER_AHEAD]));
    if (c->epoch <= epoch) {
      c->flags |= CELL_DEAD;
      continue;
    }
    prefixes[kept] = prefixes[i];
    entries[kept++] = entries[i];
  }
  o->live -= n->count - kept;
  n->count = (uint16_t)kept;
}

/* Packs what is left of a node's children into as few as hold it. */
static void
order_sweep_node(order_tree *o, order_node *n, uint32_t epoch)
{
  uint64_t *prefixes = order_prefixes(n), *entries = order_entries(n);
  order_node *child, *last = NULL;
  uint32_t i, kept = 0;

  if (n->level == 0) {
    order_sweep_leaf(o, n, epoch);
    return;
  }
  for (i = 0; i < n->count; i++) {
    child = order_child(n, i);
    order_sweep_node(o, child, epoch);
    if (child->count != 0 &&
        (last == NULL || last->count + child->count > ORDER_JOINED)) {
      last = child;
      prefixes[kept] = prefixes[i];
      entries[kept++] = entries[i];
      continue;
    }
    if (child->count != 0) {
      order_prefixes(child)[0] = child->level == 0 ? order_prefixes(child)[0]
                                                   : prefixes[i];
      order_append(last, child, 0, child->count);
    }
    if (child->level == 0)
      order_unlink(child);
    order_put_spare(o, child);
  }
  n->count = (uint16_t)kept;
}

void
order_sweep(order_tree *o, uint64_t epoch)
{
  order_node *n = o->root;

  o->hinted = 0;
  o->changes++;
  o->swept = epoch;
  if (n == NULL)
    return;
  order_sweep_node(o, n, (uint32_t)epoch);
  if (n->level != 0 && n->count == 0) {
    n->level = 0;
    n->first = 0;
    n->next = n->previous = NULL;
    o->depth = 0;
  }
  order_shrink_root(o);
}
