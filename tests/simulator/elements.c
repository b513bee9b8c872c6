/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of queues. Each key of the space has one in each state that is a
 * queue, in its key group; what is stored of it is the record that the queue
 * makes: its bytes, its bytes behind a rank, or a timer's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/model.h"

/* Many elements have the same one. */
sb_status
element_rank(void *arg, sb_slice element, sb_give_fn *give, void *give_arg)
{
  uint8_t rank[ELEMENT_RANK];

  (void)arg;
  rank[0] = (uint8_t)(255 - element.len % 5);
  rank[1] = *(const uint8_t *)element.data;
  return give(give_arg, rank, sizeof rank);
}

static sb_status
element_give(void *arg, const void *data, size_t len)
{
  memcpy(arg, data, len);
  return SB_OK;
}

/* A few times are shared by many, and some are as far off as they can be. */
static int64_t
element_time(rng *r)
{
  uint64_t pick = rng_below(r, 40);

  return pick == 0 ? INT64_MIN : pick == 1 ? INT64_MAX
         : ((int64_t)pick - 8) * 1000;
}

/* Time, length of the key, key, namespace. */
static uint32_t
element_timer(const space *sp, space_element *e, uint8_t *to)
{
  const space_key *key = &sp->keys[e->key], *ns = &sp->namespaces[e->ns];
  uint64_t order = (uint64_t)e->time_ms ^ UINT64_C(1) << 63;
  uint32_t n, len = key->len;

  for (n = 0; n < 8; n++)
    to[n] = (uint8_t)(order >> (56 - 8 * n));
  for (; len >= 128; len >>= 7)
    to[n++] = (uint8_t)(len | 128);
  to[n++] = (uint8_t)len;
  memcpy(to + n, key->data, key->len);
  n += key->len;
  if (ns->len != 0)
    memcpy(to + n, ns->data, ns->len);
  return n + ns->len;
}

static void
element_make(const space *sp, space_state *state, uint32_t i, rng *r)
{
  const space_key *key = &sp->keys[i];
  space_element *e = &state->elements[i];
  uint32_t skip = state->form == FORM_RANKED ? ELEMENT_RANK : 0;

  e->key = i;
  e->ns = (uint32_t)rng_below(r, sp->namespace_count);
  e->time_ms = element_time(r);
  e->record.number = i;
  e->record.group = key->group;
  e->record.data = sim_memory(NULL, key->len + 64);
  if (state->form == FORM_TIMERS) {
    e->record.len = element_timer(sp, e, e->record.data);
    return;
  }
  memcpy(e->record.data + skip, key->data, key->len);
  e->record.len = key->len + skip;
  if (skip != 0)
    (void)element_rank(NULL, sb_slice_of(key->data, key->len), element_give,
                       e->record.data);
}

/* How many bytes of a record order it before its key group does. */
static uint32_t
element_order(const space_state *state, const space_key *record)
{
  return state->form == FORM_RANKED ? ELEMENT_RANK
         : state->form == FORM_TIMERS ? 8 : record->len;
}

static int
element_is_before(const space_state *state, const space_key *a,
                  const space_key *b)
{
  space_key x = *a, y = *b;
  int c;

  x.len = element_order(state, a);
  y.len = element_order(state, b);
  c = space_key_compare(&x, &y);
  if (c != 0)
    return c < 0;
  return a->group != b->group ? a->group < b->group
                              : space_key_compare(a, b) < 0;
}

void
elements_make(space *sp, uint32_t number, uint32_t form, rng *r)
{
  space_state *state = &sp->states[number];
  uint32_t i, k;

  state->form = form;
  state->elements = sim_memory(NULL, sp->key_count * sizeof *state->elements);
  state->sorted = sim_memory(NULL, sp->key_count * sizeof *state->sorted);
  memset(state->elements, 0, sp->key_count * sizeof *state->elements);
  for (i = 0; i < sp->key_count; i++) {
    element_make(sp, state, i, r);
    state->sorted[i] = state->elements[i].record;
  }
  qsort(state->sorted, sp->key_count, sizeof *state->sorted,
        space_key_compare);
  for (i = 0; i < sp->key_count; i++)
    for (k = 0; k < sp->key_count; k++)
      state->elements[i].turn +=
        (uint32_t)element_is_before(state, &state->elements[k].record,
                                    &state->elements[i].record);
}

void
elements_free(const space *sp, space_state *state)
{
  uint32_t i;

  for (i = 0; state->elements != NULL && i < sp->key_count; i++)
    free(state->elements[i].record.data);
  free(state->elements);
  free(state->sorted);
}
