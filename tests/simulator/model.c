/* SPDX-License-Identifier: Apache-2.0 */
/* The reference state; see model.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/keygroup.h>
#include "tests/simulator/item.h"
#include "tests/simulator/model.h"

#define ARENA_NODES 256

typedef struct arena {
  struct arena *next;
  size_t used;
  list_node nodes[ARENA_NODES];
} arena;

/* ---- the space ---------------------------------------------------------- */

int
space_key_compare(const void *a, const void *b)
{
  const space_key *x = a, *y = b;
  size_t n = x->len < y->len ? x->len : y->len;
  int c = n == 0 ? 0 : memcmp(x->data, y->data, n);

  if (c != 0)
    return c;
  return x->len < y->len ? -1 : x->len > y->len;
}

/* Bytes that a careless comparison gets wrong: zeros, 0xff, shared beginnings,
   keys that begin other keys. */
static void
key_make(space_key *key, rng *r, uint32_t number, uint32_t len_max)
{
  uint32_t len = (uint32_t)rng_range(r, 2, len_max), i;

  key->data = sim_memory(NULL, len_max + 8);
  for (i = 0; i < len; i++) {
    uint64_t pick = rng_below(r, 10);

    key->data[i] = (uint8_t)(pick < 3 ? 0 : pick < 5 ? 0xff
                             : pick < 8 ? 'a' : rng_next(r));
  }
  key->data[rng_below(r, 2)] = (uint8_t)(number >> 8);
  key->len = len;
  key->data[key->len++] = (uint8_t)number;
  key->data[key->len++] = (uint8_t)(number >> 8);
}

static void
keys_make(space *sp, rng *r)
{
  int crowds = rng_chance(r, 200); /* many in a few key groups */
  uint32_t i;

  sp->keys = sim_memory(NULL, sp->key_count * sizeof *sp->keys);
  for (i = 0; i < sp->key_count; i++) {
    key_make(&sp->keys[i], r, i, rng_chance(r, 20) ? 300 : 12);
    sp->keys[i].group = (uint32_t)(crowds ? rng_skewed(r, sp->groups - 1)
                                          : rng_below(r, sp->groups));
  }
  qsort(sp->keys, sp->key_count, sizeof *sp->keys, space_key_compare);
  for (i = 0; i < sp->key_count; i++)
    sp->keys[i].number = i;
  for (i = 0; i < sp->namespace_count; i++) {
    key_make(&sp->namespaces[i], r, i, 8);
    if (i == 0)
      sp->namespaces[i].len = 0;
  }
  for (i = 0; i < sp->subkey_count; i++) {
    key_make(&sp->subkeys[i], r, i, 10);
    if (i == 0 && rng_chance(r, 500))
      sp->subkeys[i].len = 0;
  }
  qsort(sp->subkeys, sp->subkey_count, sizeof *sp->subkeys,
        space_key_compare);
}

static void
states_make(space *sp, rng *r)
{
  static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_MAP,
                                    SB_STATE_LIST, SB_STATE_TIMER,
                                    SB_STATE_VALUE, SB_STATE_REDUCING };
  uint32_t i, shift = (uint32_t)rng_below(r, 4);

  for (i = 0; i < sp->state_count; i++) {
    space_state *state = &sp->states[i];

    state->kind = kinds[(i + shift) % 6];
    state->namespaces = rng_chance(r, 500) && state->kind != SB_STATE_TIMER
                        ? sp->namespace_count : 1;
    state->subkeys = state->kind == SB_STATE_MAP ? sp->subkey_count : 1;
    state->base = sp->cells;
    sp->cells += (size_t)sp->key_count * state->namespaces * state->subkeys;
    (void)snprintf(state->name, sizeof state->name, "state-%u", i);
    (void)snprintf(state->blob, sizeof state->blob, "blob of %u", i);
  }
}

void
space_init(space *sp, rng *r)
{
  memset(sp, 0, sizeof *sp);
  sp->groups = (uint32_t)rng_range(r, 8, 32);
  sp->state_count = (uint32_t)rng_range(r, 1, MODEL_STATES_MAX);
  sp->key_count = (uint32_t)rng_range(r, 4, rng_chance(r, 300) ? 400 : 60);
  sp->namespace_count = (uint32_t)rng_range(r, 1, MODEL_NAMESPACES_MAX);
  sp->subkey_count = (uint32_t)rng_range(r, 1, MODEL_SUBKEYS_MAX);
  keys_make(sp, r);
  states_make(sp, r);
}

void
space_dispose(space *sp)
{
  uint32_t i;

  for (i = 0; i < sp->state_count; i++)
    elements_free(sp, &sp->states[i]);
  for (i = 0; i < sp->key_count; i++)
    free(sp->keys[i].data);
  for (i = 0; i < sp->namespace_count; i++)
    free(sp->namespaces[i].data);
  for (i = 0; i < sp->subkey_count; i++)
    free(sp->subkeys[i].data);
  free(sp->keys);
  while (sp->arena != NULL) {
    arena *a = sp->arena;

    sp->arena = a->next;
    free(a);
  }
}

size_t
space_cell(const space *sp, place at)
{
  const space_state *state = &sp->states[at.state];

  return state->base + ((size_t)at.key * state->namespaces + at.ns) *
         state->subkeys + at.subkey;
}

place
space_place(const space *sp, size_t index)
{
  uint32_t i = sp->state_count - 1;
  const space_state *state;
  place at;

  while (sp->states[i].base > index)
    i--;
  state = &sp->states[i];
  index -= state->base;
  at.state = i;
  at.subkey = (uint32_t)(index % state->subkeys);
  index /= state->subkeys;
  at.ns = (uint32_t)(index % state->namespaces);
  at.key = (uint32_t)(index / state->namespaces);
  return at;
}

static sb_slice
key_slice(const space_key *key)
{
  return sb_slice_of(key->data, key->len);
}

sb_slice
space_key_bytes(const space *sp, uint32_t state, uint32_t key)
{
  const space_element *elements = sp->states[state].elements;

  return key_slice(elements == NULL ? &sp->keys[key] : &elements[key].record);
}

int32_t
space_hash(const space *sp, uint32_t group)
{
  int32_t hash = 0;

  while (sb_key_group(hash, sp->groups) != group)
    hash++;
  return hash;
}

sb_key
space_sb_key(const space *sp, place at, uint32_t id)
{
  sb_key key;

  memset(&key, 0, sizeof key);
  key.state = id;
  key.key_group = sp->keys[at.key].group;
  key.key = space_key_bytes(sp, at.state, at.key);
  if (sp->states[at.state].namespaces > 1)
    key.ns = key_slice(&sp->namespaces[at.ns]);
  if (sp->states[at.state].kind == SB_STATE_MAP)
    key.subkey = key_slice(&sp->subkeys[at.subkey]);
  return key;
}

uint32_t
space_group(const space *sp, size_t index)
{
  return sp->keys[space_place(sp, index).key].group;
}

static int
keys_find(const space_key *keys, uint32_t count, sb_slice bytes)
{
  uint32_t i;

  for (i = 0; i < count; i++)
    if (keys[i].len == bytes.len &&
        (bytes.len == 0 || memcmp(keys[i].data, bytes.data, bytes.len) == 0))
      return (int)i;
  return -1;
}

int
space_find(const space *sp, uint32_t state, sb_slice key, sb_slice ns,
           sb_slice subkey, place *at)
{
  space_key wanted;
  const space_key *found;
  int i = 0;

  wanted.data = (uint8_t *)(uintptr_t)key.data;
  wanted.len = (uint32_t)key.len;
  found = bsearch(&wanted, sp->states[state].elements == NULL
                           ? sp->keys : sp->states[state].sorted,
                  sp->key_count, sizeof wanted, space_key_compare);
  if (found == NULL)
    return -1;
  at->state = state;
  at->key = found->number;
  at->ns = at->subkey = 0;
  if (sp->states[state].namespaces > 1)
    i = keys_find(sp->namespaces, sp->namespace_count, ns);
  else if (ns.len != 0)
    return -1;
  if (i < 0)
    return -1;
  at->ns = (uint32_t)i;
  if (sp->states[state].kind != SB_STATE_MAP)
    return 0;
  i = keys_find(sp->subkeys, sp->subkey_count, subkey);
  at->subkey = (uint32_t)i;
  return i < 0 ? -1 : 0;
}

/* ---- values ------------------------------------------------------------- */

/* Half of the values compress well. The seed comes first, so that any two of 8
   bytes and more differ. */
static uint64_t
value_word(value_ref value, uint64_t i)
{
  if (i == 0)
    return value.seed;
  if (value.seed & 1)
    return 0x6161616161616161ull + (value.seed >> 8 & 3);
  return rng_mix(value.seed + i);
}

static size_t
value_inner_size(value_ref value)
{
  return (size_t)value.len + value.version % 3;
}

size_t
value_size(value_ref value)
{
  if (value.wrap == WRAP_NULL)
    return 1;
  if (value.wrap >= WRAP_STAMP)
    return value_inner_size(value) + STAMP_LEN;
  return value_inner_size(value) + (value.wrap == WRAP_VALUE);
}

void
value_resize(value_ref *value, size_t size)
{
  size_t around = value->version % 3 + (value->wrap == WRAP_VALUE) +
                  (value->wrap >= WRAP_STAMP ? STAMP_LEN : 0);

  value->len = (uint32_t)(size - around);
}

value_ref
value_inner(value_ref value)
{
  if (value.wrap == WRAP_NULL)
    value.len = value.version = 0;
  value.wrap = WRAP_NONE;
  value.stamp = 0;
  return value;
}

/* The place of the stamp. */
static size_t
value_stamp_at(value_ref value)
{
  return value.wrap == WRAP_STAMP ? 0 : STAMP_OFFSET;
}

static void
value_stamp(value_ref value, uint8_t *stamp)
{
  uint32_t i;

  for (i = 0; i < STAMP_LEN; i++)
    stamp[i] = (uint8_t)(value.stamp >> (56 - 8 * i));
}

static void
value_fill_stamped(value_ref value, uint8_t *bytes)
{
  size_t at = value_stamp_at(value);

  value_fill(value_inner(value), bytes + STAMP_LEN);
  memmove(bytes, bytes + STAMP_LEN, at);
  value_stamp(value, bytes + at);
}

static int
value_equal_stamped(value_ref value, const uint8_t *bytes)
{
  size_t size = value_inner_size(value), at = value_stamp_at(value);
  uint8_t stamp[STAMP_LEN], *inner;
  int equal;

  value_stamp(value, stamp);
  if (memcmp(bytes + at, stamp, STAMP_LEN) != 0)
    return 0;
  inner = sim_memory(NULL, size + 1);
  memcpy(inner, bytes, at);
  memcpy(inner + at, bytes + at + STAMP_LEN, size - at);
  equal = value_equal(value_inner(value), sb_slice_of(inner, size));
  free(inner);
  return equal;
}

/* The last byte, and those behind it, are the version's. */
static uint64_t
value_tagged(value_ref value, uint64_t i)
{
  uint64_t word = value_word(value, i), at;

  for (at = i * 8; at < i * 8 + 8; at++)
    if (at + 1 >= value.len) {
      word &= ~(0xffull << (at % 8 * 8));
      word |= (uint64_t)(value.version & 0xff) << (at % 8 * 8);
    }
  return word;
}

void
value_fill(value_ref value, void *bytes)
{
  uint8_t *p = bytes;
  uint64_t i, word;
  size_t size = value_inner_size(value);

  if (value.wrap >= WRAP_STAMP) {
    value_fill_stamped(value, bytes);
    return;
  }
  if (value.wrap != WRAP_NONE)
    *p++ = value.wrap == WRAP_NULL;
  if (value.wrap == WRAP_NULL)
    return;
  for (i = 0; i * 8 < size; i++) {
    size_t n = size - i * 8 < 8 ? (size_t)(size - i * 8) : 8;

    word = i * 8 + 8 < value.len ? value_word(value, i)
                                 : value_tagged(value, i);
    memcpy(p + i * 8, &word, n);
  }
}

int
value_equal(value_ref value, sb_slice bytes)
{
  const uint8_t *p = bytes.data;
  uint64_t i, word;
  size_t size = value_inner_size(value);

  if (value_size(value) != bytes.len)
    return 0;
  if (value.wrap >= WRAP_STAMP)
    return value_equal_stamped(value, bytes.data);
  if (value.wrap != WRAP_NONE && *p++ != (value.wrap == WRAP_NULL))
    return 0;
  if (value.wrap == WRAP_NULL)
    return 1;
  for (i = 0; i * 8 < size; i++) {
    size_t n = size - i * 8 < 8 ? (size_t)(size - i * 8) : 8;

    word = i * 8 + 8 < value.len ? value_word(value, i)
                                 : value_tagged(value, i);
    if (memcmp(p + i * 8, &word, n) != 0)
      return 0;
  }
  return 1;
}

cell
cell_absent(void)
{
  cell c = { { 0, MODEL_ABSENT, 0, 0, 0 }, 0, NULL, 0, 0 };

  return c;
}

uint64_t
space_end(const space *sp, uint32_t state, uint64_t ttl_ms, value_ref value,
          uint64_t expires_ms)
{
  uint32_t kind = sp->states[state].time_kind;

  if (kind == SB_TIME_EXPIRY)
    return expires_ms;
  if (kind == SB_TIME_VALUE)
    expires_ms = value.wrap >= WRAP_STAMP ? value.stamp : 0;
  return ttl_ms == 0 || expires_ms == 0 ? 0 : expires_ms + ttl_ms;
}

static int
is_expired(uint64_t expires_ms, uint64_t now_ms)
{
  return expires_ms != 0 && expires_ms <= now_ms;
}

int
end_is_over(const space *sp, uint32_t state, uint64_t end_ms,
            uint64_t from_ms)
{
  return (sp->states[state].flags & SB_STATE_SHOW_EXPIRED) == 0 &&
         sp->states[state].time_kind != SB_TIME_VALUE &&
         is_expired(end_ms, from_ms);
}

int
cell_is_absent(const cell *c, uint64_t now_ms)
{
  const list_node *node;

  if (c->list != NULL) {
    for (node = c->list; node != NULL; node = node->before)
      if (!is_expired(node->gone_ms, now_ms))
        return 0;
    return -1;
  }
  if (c->value.len == MODEL_ABSENT)
    return 1;
  return is_expired(c->gone_ms, now_ms) ? -1 : 0;
}

static list_node *
list_node_new(space *sp, const list_node *before)
{
  arena *a = sp->arena;
  list_node *node;

  if (a == NULL || a->used == ARENA_NODES) {
    a = sim_memory(NULL, sizeof *a);
    a->used = 0;
    a->next = sp->arena;
    sp->arena = a;
  }
  node = &a->nodes[a->used++];
  node->before = before;
  node->count = before == NULL ? 1 : before->count + 1;
  return node;
}

const list_node *
list_push(space *sp, uint32_t state, uint64_t ttl_ms, const list_node *before,
          value_ref value, uint64_t expires_ms)
{
  list_node *node = list_node_new(sp, before);

  node->value = value;
  node->expires_ms = expires_ms;
  node->end_ms = space_end(sp, state, ttl_ms, value, expires_ms);
  node->gone_ms = node->end_ms;
  return node;
}

list_node *
list_push_same(space *sp, const list_node *before, const list_node *from)
{
  list_node *node = list_node_new(sp, before);

  node->value = from->value;
  node->expires_ms = from->expires_ms;
  node->end_ms = from->end_ms;
  node->gone_ms = from->gone_ms;
  return node;
}

const list_node *
list_at(const list_node *list, uint32_t i)
{
  while (list != NULL && list->count != i + 1)
    list = list->before;
  return list;
}

const list_node *
list_with(space *sp, uint32_t state, uint64_t ttl_ms, const list_node *list,
          uint32_t i, value_ref value, uint64_t expires_ms)
{
  const list_node *before;

  if (list == NULL || list->count < i + 1)
    return list;
  if (list->count == i + 1)
    return value.len == MODEL_ABSENT
           ? list->before
           : list_push(sp, state, ttl_ms, list->before, value, expires_ms);
  before = list_with(sp, state, ttl_ms, list->before, i, value, expires_ms);
  return list_push_same(sp, before, list);
}

cell
cell_migrated(space *sp, cell c, uint32_t version)
{
  const list_node *list = NULL;
  uint32_t i;

  c.value.version = (uint16_t)version;
  for (i = 0; c.list != NULL && i < c.list->count; i++) {
    list_node *node = list_push_same(sp, list, list_at(c.list, i));

    node->value.version = (uint16_t)version;
    list = node;
  }
  c.list = list;
  return c;
}

/* What has expired once is not sure to come back. */
static uint64_t
gone_renewed(uint64_t gone_ms, uint64_t end_ms, uint64_t now_ms)
{
  return is_expired(gone_ms, now_ms) ? gone_ms : end_ms;
}

cell
cell_renewed(space *sp, uint32_t state, uint64_t ttl_ms, cell c,
             uint64_t now_ms)
{
  const list_node *list = NULL;
  uint32_t i;

  c.end_ms = space_end(sp, state, ttl_ms, c.value, c.expires_ms);
  c.gone_ms = gone_renewed(c.gone_ms, c.end_ms, now_ms);
  for (i = 0; c.list != NULL && i < c.list->count; i++) {
    list_node *node = list_push_same(sp, list, list_at(c.list, i));

    node->end_ms = space_end(sp, state, ttl_ms, node->value,
                             node->expires_ms);
    node->gone_ms = gone_renewed(node->gone_ms, node->end_ms, now_ms);
    list = node;
  }
  c.list = list;
  return c;
}

/* Elements from the first on; expired ones may be missing. */
static int
list_matches(const space *sp, uint32_t state, const list_node *list,
             sb_slice bytes, uint64_t from_ms, uint64_t now_ms, int inner)
{
  const uint8_t *p = bytes.data, *end = p + bytes.len;
  uint32_t i, count = list == NULL ? 0 : list->count, len;

  for (i = 0; i < count; i++) {
    const list_node *node = list_at(list, i);

    if (end - p >= 4) {
      memcpy(&len, p, 4);
      if (len <= (size_t)(end - p) - 4 &&
          value_equal(inner ? value_inner(node->value) : node->value,
                      sb_slice_of(p + 4, len))) {
        if (end_is_over(sp, state, node->end_ms, from_ms) ||
            (inner && is_expired(node->end_ms, from_ms) &&
             (sp->states[state].flags & SB_STATE_SHOW_EXPIRED) == 0))
          return 0;
        p += 4 + len;
        continue;
      }
    }
    if (!is_expired(node->gone_ms, now_ms))
      return 0;
  }
  return p == end;
}

static int
cell_matches(const space *sp, uint32_t state, const cell *c,
             sb_status status, sb_slice bytes, uint64_t from_ms,
             uint64_t now_ms, int inner)
{
  int absent = cell_is_absent(c, now_ms);

  if (status == SB_NOT_FOUND)
    return absent != 0;
  if (status != SB_OK || absent == 1)
    return 0;
  if (sp->states[state].kind == SB_STATE_LIST)
    return list_matches(sp, state, c->list, bytes, from_ms, now_ms, inner);
  if (end_is_over(sp, state, c->end_ms, from_ms))
    return 0;
  if (inner && (c->value.wrap == WRAP_NULL) != (bytes.data == NULL) &&
      sp->states[state].nulls)
    return 0;
  return value_equal(inner ? value_inner(c->value) : c->value, bytes);
}

int
cell_agrees(const space *sp, uint32_t state, const cell *c,
            sb_status status, sb_slice bytes, uint64_t from_ms,
            uint64_t now_ms)
{
  return cell_matches(sp, state, c, status, bytes, from_ms, now_ms, 0);
}

int
cell_shows(const space *sp, uint32_t state, const cell *c, sb_status status,
           sb_slice bytes, uint64_t from_ms, uint64_t now_ms)
{
  return cell_matches(sp, state, c, status, bytes, from_ms, now_ms, 1);
}

void
cell_text(const space *sp, size_t index, const cell *c, char *text,
          size_t size)
{
  place at = space_place(sp, index);
  int n = snprintf(text, size, "%s key %u group %u ns %u subkey %u: ",
                   sp->states[at.state].name, at.key, sp->keys[at.key].group,
                   at.ns, at.subkey);

  if (n < 0 || (size_t)n >= size)
    return;
  if (c->list != NULL)
    (void)snprintf(text + n, size - (size_t)n,
                   "a list of %u, the last of %u bytes %016llx",
                   c->list->count, c->list->value.len,
                   (unsigned long long)c->list->value.seed);
  else if (c->value.len == MODEL_ABSENT)
    (void)snprintf(text + n, size - (size_t)n, "nothing");
  else
    (void)snprintf(text + n, size - (size_t)n,
                   "%zu bytes %016llx, expires %llu, ends %llu, version %u",
                   value_size(c->value), (unsigned long long)c->value.seed,
                   (unsigned long long)c->expires_ms,
                   (unsigned long long)c->end_ms, c->value.version);
}

void
answer_text(sb_status status, sb_slice bytes, char *text, size_t size)
{
  uint64_t word = 0;

  if (status != SB_OK) {
    (void)snprintf(text, size, "%s", sb_status_name(status));
    return;
  }
  if (bytes.len != 0)
    memcpy(&word, bytes.data, bytes.len < 8 ? bytes.len : 8);
  (void)snprintf(text, size, "%zu bytes %016llx", bytes.len,
                 (unsigned long long)word);
}

/* ---- current state ------------------------------------------------------ */

void
model_init(model *m, space *sp)
{
  size_t i;

  memset(m, 0, sizeof *m);
  m->sp = sp;
  m->cells = sim_memory(NULL, sp->cells * sizeof *m->cells);
  for (i = 0; i < sp->cells; i++)
    m->cells[i] = cell_absent();
}

void
model_dispose(model *m)
{
  free(m->cells);
  free(m->log);
}

void
model_set(model *m, size_t index, cell c)
{
  if (m->log_count == m->log_cap) {
    m->log_cap = m->log_cap == 0 ? 64 : m->log_cap * 2;
    m->log = sim_memory(m->log, m->log_cap * sizeof *m->log);
  }
  m->log[m->log_count].index = index;
  m->log[m->log_count++].before = m->cells[index];
  m->cells[index] = c;
}

int
model_changed_since(const model *m, size_t index, size_t mark)
{
  size_t i;

  for (i = m->log_count; i > mark; i--)
    if (m->log[i - 1].index == index)
      return 1;
  return 0;
}

cell *
cells_copy(const space *sp, const cell *cells)
{
  cell *copy = sim_memory(NULL, sp->cells * sizeof *copy);

  memcpy(copy, cells, sp->cells * sizeof *copy);
  return copy;
}
