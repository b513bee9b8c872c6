/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors that stay open while the handle is written to. A record that is not
 * touched meanwhile must come exactly once and as it is; one that is touched
 * may come, and then with a value that it had since the cursor was opened.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

static sb_slice
walk_bound(life *l, uint32_t state)
{
  const space *sp = &l->sp;
  const space_key *subkey;

  if (sp->states[state].kind == SB_STATE_TIMER)
    return space_key_bytes(sp, state, (uint32_t)rng_below(&l->rng,
                                                          sp->key_count));
  subkey = &sp->subkeys[rng_below(&l->rng, sp->subkey_count)];
  return sb_slice_of(subkey->data, subkey->len);
}

static void
walk_bounds(subtask *t, sb_scan_options *options, uint32_t state)
{
  life *l = t->job->l;
  uint32_t kind = l->sp.states[state].kind;

  if (kind != SB_STATE_TIMER && (kind != SB_STATE_MAP || !options->has_key))
    return;
  if (rng_chance(&l->rng, 600))
    options->start = walk_bound(l, state);
  if (rng_chance(&l->rng, 600))
    options->end = walk_bound(l, state);
}

int
walk_options(subtask *t, sb_scan_options *options, uint32_t *state,
             int bounds)
{
  life *l = t->job->l;
  place at;
  sb_key key;

  if (!act_place(t, &at))
    return 0;
  *state = at.state;
  key = space_sb_key(&l->sp, at, t->ids[at.state]);
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->state = t->ids[at.state];
  options->key_group_first = t->group_first;
  options->key_group_last = t->group_last;
  if (rng_chance(&l->rng, 300)) {
    options->key_group_first = (uint32_t)rng_range(&l->rng, t->group_first,
                                                   t->group_last);
    options->key_group_last =
      (uint32_t)rng_range(&l->rng, options->key_group_first, t->group_last);
  }
  if (rng_chance(&l->rng, 400)) {
    options->has_ns = 1;
    options->ns = key.ns;
    if (rng_chance(&l->rng, 500) &&
        l->sp.states[at.state].kind != SB_STATE_TIMER) {
      options->has_key = 1;
      options->key = key.key;
      options->key_group_first = options->key_group_last = key.key_group;
    }
  }
  if (bounds)
    walk_bounds(t, options, *state);
  return 1;
}

static int
slice_compare_bytes(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n == 0 ? 0 : memcmp(a.data, b.data, n);

  if (c != 0)
    return c;
  return a.len < b.len ? -1 : a.len > b.len;
}

int
walk_selects(const subtask *t, const sb_scan_options *options,
             uint32_t state, size_t index)
{
  const space *sp = &t->job->l->sp;
  place at = space_place(sp, index);
  sb_key key;
  sb_slice bounded;

  if (at.state != state)
    return 0;
  key = space_sb_key(sp, at, 0);
  bounded = sp->states[state].kind == SB_STATE_TIMER ? key.key : key.subkey;
  return key.key_group >= options->key_group_first &&
         key.key_group <= options->key_group_last &&
         (!options->has_ns || slice_compare_bytes(options->ns, key.ns) == 0) &&
         (!options->has_key ||
          slice_compare_bytes(options->key, key.key) == 0) &&
         (options->start.len == 0 ||
          slice_compare_bytes(bounded, options->start) >= 0) &&
         (options->end.len == 0 ||
          slice_compare_bytes(bounded, options->end) < 0);
}

void
walk_take(subtask *t, sb_cursor *handle, uint32_t state,
          const sb_scan_options *options, size_t mark, uint64_t from_ms)
{
  const space *sp = &t->job->l->sp;
  size_t i = 0;
  walk *w;

  while (i < LIFE_WALKS_MAX && t->walks[i] != NULL)
    i++;
  if (i == LIFE_WALKS_MAX) {
    t->keyed->ops->scan_close(t->keyed, handle);
    return;
  }
  w = sim_memory(NULL, sizeof *w);
  memset(w, 0, sizeof *w);
  w->handle = handle;
  w->options = *options;
  w->state = state;
  w->mark = mark;
  w->from_ms = from_ms;
  w->seen = sim_memory(NULL, sp->cells * sizeof *w->seen);
  memset(w->seen, 0, sp->cells * sizeof *w->seen);
  t->walks[i] = w;
}

static void
walk_open(subtask *t)
{
  life *l = t->job->l;
  sb_scan_options options;
  sb_cursor *handle;
  uint32_t state;
  uint64_t from;
  sb_error err;
  sb_status status;

  if (!walk_options(t, &options, &state, 1))
    return;
  if (rng_chance(&l->rng, 150 + l->namespaces / 2))
    options.flags = SB_SCAN_KEYS;
  if (rng_chance(&l->rng, 100))
    options.flags |= SB_SCAN_EXPIRED;
  from = subtask_from_ms(t, state);
  status = t->keyed->ops->scan_open(t->keyed, &options, &handle, &err);
  batches_sync(t);
  if (!job_tolerates(t->job, status, &err, "scan_open"))
    walk_take(t, handle, state, &options, t->job->m.log_count, from);
}

static void
walk_close(subtask *t, size_t i)
{
  t->keyed->ops->scan_close(t->keyed, t->walks[i]->handle);
  free(t->walks[i]->seen);
  free(t->walks[i]);
  t->walks[i] = NULL;
}

void
walks_close(subtask *t)
{
  size_t i;

  for (i = 0; i < LIFE_WALKS_MAX; i++)
    if (t->walks[i] != NULL)
      walk_close(t, i);
}

/* ---- rows --------------------------------------------------------------- */

static void
walk_fail(subtask *t, const walk *w, size_t index, const char *why,
          sb_slice bytes)
{
  char want[200], got[100];

  cell_text(&t->job->l->sp, index, &t->job->m.cells[index], want,
            sizeof want);
  answer_text(SB_OK, bytes, got, sizeof got);
  sim_fail(&t->job->l->s, SIM_WRONG,
           "cursor after %llu rows: %s: %s; the row has %s",
           (unsigned long long)w->rows, why, want, got);
}

/* Some cell value of this place since the cursor was opened. */
static int
walk_had(const subtask *t, const walk *w, size_t index, sb_slice bytes)
{
  const model *m = &t->job->m;
  size_t i;

  if (m->cells[index].value.len != MODEL_ABSENT &&
      value_equal(m->cells[index].value, bytes))
    return 1;
  for (i = w->mark; i < m->log_count; i++)
    if (m->log[i].index == index &&
        m->log[i].before.value.len != MODEL_ABSENT &&
        value_equal(m->log[i].before.value, bytes))
      return 1;
  return 0;
}

/* Must it be gone: had it expired when the cursor was opened? */
static int
walk_is_over(const subtask *t, const walk *w, uint64_t end_ms)
{
  return (w->options.flags & SB_SCAN_EXPIRED) == 0 &&
         end_is_over(&t->job->l->sp, w->state, end_ms, w->from_ms);
}

static void
walk_element(subtask *t, walk *w, size_t index, sb_slice bytes)
{
  const cell *c = &t->job->m.cells[index];
  uint64_t now = subtask_now_ms(t);

  if (w->row_was_changed) {
    w->seen[index]++;
    return;
  }
  for (;;) {
    const list_node *node = list_at(c->list, w->seen[index]);

    if (node == NULL)
      walk_fail(t, w, index, "one element too many", bytes);
    w->row_element = w->seen[index]++;
    if (node != NULL && value_equal(node->value, bytes) &&
        walk_is_over(t, w, node->end_ms))
      walk_fail(t, w, index, "an element that has expired", bytes);
    if (node == NULL || value_equal(node->value, bytes))
      return;
    if (node->gone_ms == 0 || node->gone_ms > now)
      walk_fail(t, w, index, "another element", bytes);
  }
}

static void
walk_value(subtask *t, walk *w, size_t index, const sb_row *row)
{
  const cell *c = &t->job->m.cells[index];

  if (w->seen[index]++ != 0)
    walk_fail(t, w, index, "a row comes twice", row->value);
  if (w->row_was_changed) {
    if (!walk_had(t, w, index, row->value))
      walk_fail(t, w, index, "a value it never had", row->value);
  } else if (cell_is_absent(c, subtask_now_ms(t)) == 1 ||
             !value_equal(c->value, row->value) ||
             c->expires_ms != row->expires_ms) {
    walk_fail(t, w, index, "another value", row->value);
  } else if (walk_is_over(t, w, c->end_ms)) {
    walk_fail(t, w, index, "a value that has expired", row->value);
  }
}

/* Rows of keys alone: one of (namespace, key), counted at its first cell. */
static void
walk_key(subtask *t, walk *w, size_t index, sb_slice bytes)
{
  const space *sp = &t->job->l->sp;
  place at = space_place(sp, index);
  int may_be = 0;

  if (w->seen[index]++ != 0)
    walk_fail(t, w, index, "a key comes twice", bytes);
  for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
       at.subkey++) {
    size_t i = space_cell(sp, at);

    may_be = may_be ||
             (walk_selects(t, &w->options, w->state, i) &&
              (cell_is_absent(&t->job->m.cells[i], subtask_now_ms(t)) != 1 ||
               model_changed_since(&t->job->m, i, w->mark)));
  }
  if (!may_be)
    walk_fail(t, w, index, "a key that is gone or was not selected", bytes);
}

static void
walk_row(subtask *t, walk *w, const sb_row *row)
{
  const space *sp = &t->job->l->sp;
  int keys_only = (w->options.flags & SB_SCAN_KEYS) != 0;
  sb_slice subkey = row->subkey;
  place at;
  size_t index;

  if (keys_only && sp->states[w->state].kind == SB_STATE_MAP)
    subkey = sb_slice_of(sp->subkeys[0].data, sp->subkeys[0].len);
  if (space_find(sp, w->state, row->key, row->ns, subkey, &at) != 0)
    sim_fail(&t->job->l->s, SIM_WRONG, "a cursor gives a row of %s that "
             "nobody wrote", sp->states[w->state].name);
  index = space_cell(sp, at);
  if (row->key_group != sp->keys[at.key].group)
    walk_fail(t, w, index, "another key group", row->value);
  if (!keys_only && !walk_selects(t, &w->options, w->state, index))
    walk_fail(t, w, index, "it was not selected", row->value);
  w->rows++;
  w->row_cell = index;
  w->has_row = !keys_only;
  w->row_was_changed = model_changed_since(&t->job->m, index, w->mark);
  if (keys_only)
    walk_key(t, w, index, row->value);
  else if (sp->states[w->state].kind == SB_STATE_LIST)
    walk_element(t, w, index, row->value);
  else
    walk_value(t, w, index, row);
}

/* For keys alone: does any cell of this key stand, untouched? */
static int
walk_key_stands(subtask *t, const walk *w, size_t index)
{
  const space *sp = &t->job->l->sp;
  place at = space_place(sp, index);
  int stands = 0;

  for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
       at.subkey++) {
    size_t i = space_cell(sp, at);

    if (cell_is_absent(&t->job->m.cells[i], subtask_now_ms(t)) == 0 &&
        walk_selects(t, &w->options, w->state, i) &&
        !model_changed_since(&t->job->m, i, w->mark))
      stands = 1;
  }
  return stands;
}

static void
walk_end(subtask *t, walk *w)
{
  const space *sp = &t->job->l->sp;
  const sb_slice none = { NULL, 0 };
  uint64_t now = subtask_now_ms(t);
  size_t i;

  for (i = 0; i < sp->cells; i++) {
    const cell *c = &t->job->m.cells[i];
    const list_node *node;

    if ((w->options.flags & SB_SCAN_KEYS) != 0) {
      if (space_place(sp, i).state == w->state &&
          space_place(sp, i).subkey == 0 && w->seen[i] == 0 &&
          walk_key_stands(t, w, i))
        walk_fail(t, w, i, "a key is missing", none);
      continue;
    }
    if (!walk_selects(t, &w->options, w->state, i) ||
        model_changed_since(&t->job->m, i, w->mark))
      continue;
    if (c->list == NULL && cell_is_absent(c, now) == 0 && w->seen[i] == 0)
      walk_fail(t, w, i, "a row is missing", none);
    for (node = c->list; node != NULL && node->count > w->seen[i];
         node = node->before)
      if (node->gone_ms == 0 || node->gone_ms > now)
        walk_fail(t, w, i, "an element is missing", none);
  }
}

/* ---- writes through the cursor ------------------------------------------ */

static int
is_over_by(const list_node *node, uint64_t now_ms)
{
  return node != NULL && node->gone_ms != 0 && node->gone_ms <= now_ms;
}

static void
walk_write(subtask *t, walk *w)
{
  life *l = t->job->l;
  cell c;
  int is_list = l->sp.states[w->state].kind == SB_STATE_LIST;
  int removes = rng_chance(&l->rng, 500);
  value_ref value = act_value(t, w->state);
  uint64_t expires = 0;
  sb_error err;
  sb_status status;

  if (l->sp.states[w->state].form != FORM_RAW)
    return; /* a queue's own */
  if (is_list)
    batches_drain(t); /* what is pending could change the element's place */
  if (!w->has_row || w->row_was_changed ||
      (is_list && model_changed_since(&t->job->m, w->row_cell, w->mark)))
    return;
  c = t->job->m.cells[w->row_cell];
  if (removes) {
    value.len = MODEL_ABSENT;
    status = t->keyed->ops->scan_remove(t->keyed, w->handle, &err);
  } else {
    value.len = is_list ? value.len % 600 + 8 : value.len;
    expires = act_expiry(t, w->state, value.len);
    if (is_list) /* elements share their record's */
      expires = list_at(c.list, w->row_element)->expires_ms;
    value_fill(value, t->bytes);
    status = t->keyed->ops->scan_update(t->keyed, w->handle,
                                        sb_slice_of(t->bytes,
                                                    value_size(value)),
                                        expires, &err);
  }
  w->has_row = 0;
  batches_sync(t);
  if (status == SB_NOT_FOUND && err.status == status && is_list &&
      is_over_by(list_at(c.list, w->row_element), subtask_now_ms(t)))
    return;
  if (job_tolerates(t->job, status, &err, "a cursor's write"))
    return;
  if (!is_list)
    c = t->job->m.cells[w->row_cell];
  if (is_list)
    c.list = list_with(&l->sp, w->state, t->job->ttls[w->state], c.list, w->row_element, value,
                       expires);
  else
    c.value = value, c.expires_ms = removes ? 0 : expires;
  act_set(t, w->row_cell, c);
}

static void
walk_go(subtask *t, size_t i)
{
  life *l = t->job->l;
  walk *w = t->walks[i];
  uint64_t n = rng_skewed(&l->rng, 60) + 1;
  sb_row row;
  sb_error err;
  sb_status status;

  while (n-- != 0) {
    memset(&row, 0, sizeof row);
    status = t->keyed->ops->scan_next(t->keyed, w->handle, &row, &err);
    batches_sync(t);
    if (status == SB_END) {
      walk_end(t, w);
      walk_close(t, i);
      return;
    }
    if (job_tolerates(t->job, status, &err, "scan_next")) {
      walk_close(t, i);
      return;
    }
    l->did.compared++;
    walk_row(t, w, &row);
    if (rng_chance(&l->rng, 60))
      walk_write(t, w);
  }
}

void
walks_step(subtask *t)
{
  life *l = t->job->l;
  size_t i = (size_t)rng_below(&l->rng, LIFE_WALKS_MAX);

  if (t->walks[i] == NULL) {
    walk_open(t);
  } else if (rng_chance(&l->rng, 50)) {
    walk_close(t, i);
  } else {
    walk_go(t, i);
  }
}
