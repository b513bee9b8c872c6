/* SPDX-License-Identifier: Apache-2.0 */
/* See namespace_fixture.h. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "namespace_fixture.h"

/* ---- a small world and its model ----------------------------------------- */

static char key_bytes[32], space_bytes[32], sub_bytes[32];

sb_slice
space_slice(unsigned space)
{
  if (space == 0)
    return text("");
  snprintf(space_bytes, sizeof space_bytes, "window-%u", space);
  return text(space_bytes);
}

sb_key
world_key(uint32_t state, unsigned key, unsigned space, unsigned sub)
{
  int len = snprintf(key_bytes, sizeof key_bytes, "k%u", key);
  sb_key at = key_of(state, key_bytes, (size_t)len);

  at.ns = space_slice(space);
  if (sub < SUBS) {
    len = snprintf(sub_bytes, sizeof sub_bytes, "s%u", sub);
    at.subkey = sb_slice_of(sub_bytes, (size_t)len);
  }
  return at;
}

sb_slice
world_bytes(unsigned number)
{
  static char bytes[400];

  memset(bytes, 'x', sizeof bytes);
  memcpy(bytes, &number, sizeof number);
  return sb_slice_of(bytes, 30 + number % 300);
}

void
world_open(world *w)
{
  w->values = add_state(w->k, "values", SB_STATE_VALUE);
  w->maps = add_state(w->k, "maps", SB_STATE_MAP);
  w->lists = add_state(w->k, "lists", SB_STATE_LIST);
}

static sb_status
world_put(world *w, const sb_key *at, unsigned *cell)
{
  sb_status status;

  if (next_random() % 4 == 0) {
    status = w->k->ops->remove(w->k, at, &err);
    *cell = status == SB_OK ? 0 : *cell;
    return status;
  }
  status = w->k->ops->put(w->k, at, world_bytes(w->next + 1), 0, &err);
  if (status == SB_OK)
    *cell = ++w->next;
  return status;
}

sb_status
world_clear_space(world *w, unsigned space)
{
  sb_scan_options o;
  sb_status status;
  unsigned i;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = w->maps;
  o.key_group_last = groups - 1;
  o.has_ns = 1;
  o.ns = space_slice(space);
  status = w->k->ops->remove_range(w->k, &o, &err);
  for (i = 0; i < KEYS && status == SB_OK; i++)
    memset(w->map[i][space], 0, sizeof w->map[i][space]);
  return status;
}

sb_status
world_change(world *w)
{
  unsigned key = next_random() % KEYS, space = next_random() % SPACES;
  unsigned sub = next_random() % SUBS;
  sb_status status;
  sb_key at;

  switch (next_random() % 10) {
  case 0:
  case 1:
  case 2:
    at = world_key(w->values, key, space, SUBS);
    return world_put(w, &at, &w->value[key][space]);
  case 3:
    at = world_key(w->maps, key, space, SUBS);
    status = w->k->ops->clear(w->k, &at, &err);
    if (status == SB_OK)
      memset(w->map[key][space], 0, sizeof w->map[key][space]);
    return status;
  case 4:
    at = world_key(w->lists, key, space, SUBS);
    if (w->list_len[key][space] == 6) {
      status = w->k->ops->clear(w->k, &at, &err);
      w->list_len[key][space] = status == SB_OK ? 0 : 6;
      return status;
    }
    status = w->k->ops->append(w->k, &at, world_bytes(++w->next), 0, &err);
    w->list_len[key][space] += status == SB_OK;
    return status;
  default:
    at = world_key(w->maps, key, space, sub);
    return world_put(w, &at, &w->map[key][space][sub]);
  }
}

/* ---- comparing ----------------------------------------------------------- */

sb_cursor *
open_space(const world *w, uint32_t state, unsigned space, uint32_t flags,
           uint32_t first, uint32_t last)
{
  sb_scan_options o;
  sb_cursor *c = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = state;
  o.flags = flags;
  o.key_group_first = first;
  o.key_group_last = last;
  o.has_ns = 1;
  o.ns = space_slice(space);
  check_ok(w->k->ops->scan_open(w->k, &o, &c, &err));
  return c;
}

unsigned
row_key(const sb_row *row)
{
  char copy[16];

  if (row->key.len < 2 || row->key.len >= sizeof copy)
    return UINT_MAX;
  memcpy(copy, row->key.data, row->key.len);
  copy[row->key.len] = '\0';
  return (unsigned)atoi(copy + 1);
}

unsigned
row_number(const sb_row *row)
{
  unsigned number = 0;

  if (row->value.len >= sizeof number)
    memcpy(&number, row->value.data, sizeof number);
  return number;
}

/* What is wrong with a scan of one namespace. */
static unsigned
compare_values(const world *w, unsigned space, uint32_t first, uint32_t last)
{
  sb_cursor *c = open_space(w, w->values, space, 0, first, last);
  unsigned seen[KEYS] = { 0 }, wrong = 0, i;
  uint32_t before = first;
  sb_status status;
  sb_row row;

  while ((status = w->k->ops->scan_next(w->k, c, &row, &err)) == SB_OK) {
    i = row_key(&row);
    wrong += row.key_group < before || row.key_group > last;
    before = row.key_group;
    if (i >= KEYS || seen[i] != 0)
      wrong++;
    else
      seen[i] = row_number(&row);
  }
  w->k->ops->scan_close(w->k, c);
  wrong += status != SB_END;
  for (i = 0; i < KEYS; i++) {
    sb_key at = world_key(w->values, i, space, SUBS);

    if (at.key_group >= first && at.key_group <= last)
      wrong += seen[i] != w->value[i][space];
    else
      wrong += seen[i] != 0;
  }
  return wrong;
}

static unsigned
compare_keys(const world *w, uint32_t state, unsigned space)
{
  sb_cursor *c = open_space(w, state, space, SB_SCAN_KEYS, 0, groups - 1);
  unsigned seen[KEYS] = { 0 }, wrong = 0, i, j;
  sb_status status;
  sb_row row;

  while ((status = w->k->ops->scan_next(w->k, c, &row, &err)) == SB_OK) {
    i = row_key(&row);
    if (i >= KEYS || seen[i]++ != 0)
      wrong++;
  }
  w->k->ops->scan_close(w->k, c);
  wrong += status != SB_END;
  for (i = 0; i < KEYS; i++) {
    unsigned there = w->list_len[i][space] != 0;

    if (state == w->maps)
      for (j = 0, there = 0; j < SUBS; j++)
        there |= w->map[i][space][j] != 0;
    wrong += seen[i] != there;
  }
  return wrong;
}

static unsigned
compare_maps(const world *w, unsigned space)
{
  sb_cursor *c = open_space(w, w->maps, space, 0, 0, groups - 1);
  unsigned seen[KEYS][SUBS] = { { 0 } }, wrong = 0, i, sub;
  sb_status status;
  sb_row row;

  while ((status = w->k->ops->scan_next(w->k, c, &row, &err)) == SB_OK) {
    i = row_key(&row);
    sub = row.subkey.len == 2 ? ((const char *)row.subkey.data)[1] - '0' : 99;
    if (i >= KEYS || sub >= SUBS || seen[i][sub] != 0)
      wrong++;
    else
      seen[i][sub] = row_number(&row);
  }
  w->k->ops->scan_close(w->k, c);
  wrong += status != SB_END;
  for (i = 0; i < KEYS; i++)
    for (sub = 0; sub < SUBS; sub++)
      wrong += seen[i][sub] != w->map[i][space][sub];
  return wrong;
}

unsigned
compare_all(const world *w)
{
  unsigned space, wrong = 0;

  for (space = 0; space < SPACES; space++) {
    wrong += compare_values(w, space, 0, groups - 1);
    wrong += compare_values(w, space, 2, 4);
    wrong += compare_maps(w, space);
    wrong += compare_keys(w, w->maps, space);
    wrong += compare_keys(w, w->lists, space);
  }
  return wrong;
}

uint64_t
memory_used(sb_keyed *k)
{
  sb_keyed_stats stats;

  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  check_ok(k->ops->stats(k, &stats));
  return stats.memory_used;
}

uint64_t
cold_reads(sb_keyed *k)
{
  sb_keyed_stats stats;

  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  check_ok(k->ops->stats(k, &stats));
  return stats.cold_reads;
}

void
push_out(world *w, uint32_t other, unsigned *filler, unsigned count)
{
  char bytes[1000];
  unsigned i;

  memset(bytes, 'f', sizeof bytes);
  for (i = 0; i < count; i++) {
    sb_key at = make_key(other, *filler % 3000);

    at.ns = *filler % 2 ? text("") : text("filler");
    fill_random(bytes, 600);
    ++*filler;
    (void)w->k->ops->put(w->k, &at, sb_slice_of(bytes, sizeof bytes), 0,
                         &err);
  }
}

void
settle(const world *w)
{
  sb_key at = world_key(w->values, 0, 0, SUBS);
  sb_view *view;
  size_t size;

  check_ok(w->k->ops->view_open(w->k, &view, &err));
  (void)w->k->ops->view_get(view, &at, NULL, 0, &size, &err);
  w->k->ops->view_close(view);
}
