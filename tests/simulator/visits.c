/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Visitors that stay open while the state is written to, by others and by
 * themselves. What nobody touches meanwhile comes exactly once and as it is;
 * what is touched comes at most once, with a value that it has had; a list
 * comes as it is at that moment.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

static int
visit_selects(const subtask *t, const visit *v, size_t index)
{
  const space *sp = &t->job->l->sp;
  uint32_t group = space_group(sp, index);

  return space_place(sp, index).state == v->state && group >= v->first &&
         group <= v->last;
}

static void
visit_open(subtask *t, visit *v)
{
  life *l = t->job->l;
  place at;
  sb_error err;
  sb_status status;

  if (t->context == NULL || !act_place(t, &at) ||
      l->sp.states[at.state].form != FORM_TYPED)
    return;
  memset(v, 0, sizeof *v);
  v->state = at.state;
  v->first = (uint32_t)rng_range(&l->rng, t->group_first, t->group_last);
  v->last = (uint32_t)rng_range(&l->rng, v->first, t->group_last);
  if (rng_chance(&l->rng, 500)) {
    v->first = t->group_first;
    v->last = t->group_last;
  }
  v->from_ms = subtask_from_ms(t, at.state);
  status = sb_visitor_open(t->context, l->sp.states[at.state].name, v->first,
                           v->last, &v->handle, &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "sb_visitor_open"))
    return;
  v->mark = t->job->m.log_count;
  v->seen = sim_memory(NULL, l->sp.cells);
  memset(v->seen, 0, l->sp.cells);
}

static void
visit_close(visit *v)
{
  sb_visitor_close(v->handle);
  v->handle = NULL;
  free(v->seen);
  v->seen = NULL;
}

/* ---- rows --------------------------------------------------------------- */

/* Some value of this place since the visitor was opened. */
static int
visit_had(const subtask *t, const visit *v, size_t index, sb_slice bytes)
{
  const model *m = &t->job->m;
  size_t i;

  if (m->cells[index].value.len != MODEL_ABSENT &&
      value_equal(value_inner(m->cells[index].value), bytes))
    return 1;
  for (i = v->mark; i < m->log_count; i++)
    if (m->log[i].index == index &&
        m->log[i].before.value.len != MODEL_ABSENT &&
        value_equal(value_inner(m->log[i].before.value), bytes))
      return 1;
  return 0;
}

static place
visit_row(subtask *t, visit *v, const sb_row *row)
{
  const space *sp = &t->job->l->sp;
  const cell *c;
  place at;
  size_t index;

  if (space_find(sp, v->state, row->key, row->ns, row->subkey, &at) != 0)
    sim_fail(&t->job->l->s, SIM_WRONG, "a visitor of %s gives a row that "
             "nobody wrote", sp->states[v->state].name);
  index = space_cell(sp, at);
  c = &t->job->m.cells[index];
  if (v->seen[index]++ != 0)
    typed_wrong(t, "visitor's second time", at, SB_OK, row->value);
  if (!visit_selects(t, v, index) ||
      row->key_group != sp->keys[at.key].group)
    typed_wrong(t, "visitor's key group", at, SB_OK, row->value);
  if (sp->states[v->state].kind == SB_STATE_LIST ||
      !model_changed_since(&t->job->m, index, v->mark)) {
    typed_check(t, "visitor", at, SB_OK, row->value, v->from_ms);
    if (sp->states[v->state].kind != SB_STATE_LIST &&
        row->expires_ms != c->expires_ms)
      typed_wrong(t, "visitor's time", at, SB_OK, row->value);
  } else if (!visit_had(t, v, index, row->value)) {
    typed_wrong(t, "visitor's value it never had", at, SB_OK, row->value);
  }
  t->job->l->did.visited++;
  return at;
}

static void
visit_end(subtask *t, const visit *v)
{
  const space *sp = &t->job->l->sp;
  size_t i;

  for (i = 0; i < sp->cells; i++)
    if (visit_selects(t, v, i) && !v->seen[i] &&
        cell_is_absent(&t->job->m.cells[i], subtask_now_ms(t)) == 0 &&
        !model_changed_since(&t->job->m, i, v->mark))
      typed_wrong(t, "visitor", space_place(sp, i), SB_NOT_FOUND,
                  sb_slice_of(NULL, 0));
}

/* ---- changes ------------------------------------------------------------ */

static void
visit_update(subtask *t, visit *v, const sb_row *row, place at)
{
  value_ref value = typed_value(t, v->state);
  sb_error err;
  sb_status status;

  if (t->job->l->sp.states[v->state].kind == SB_STATE_LIST) {
    list_visit(t, at, v->handle, row);
    return;
  }
  status = sb_visitor_update(v->handle, row, typed_bytes(value, t->bytes),
                             &err);
  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (!job_tolerates(t->job, status, &err, "sb_visitor_update"))
    typed_set(t, at, value, row->expires_ms);
}

static void
visit_remove(subtask *t, visit *v, const sb_row *row, place at)
{
  sb_error err;
  sb_status status = sb_visitor_remove(v->handle, row, &err);
  size_t index = space_cell(&t->job->l->sp, at);

  batches_settled(t, index, status);
  if (!job_tolerates(t->job, status, &err, "sb_visitor_remove"))
    act_set(t, index, cell_absent());
}

static void
visit_go(subtask *t, visit *v)
{
  life *l = t->job->l;
  const sb_row *rows;
  size_t count, i, max = 1 + (size_t)rng_skewed(&l->rng, 40);
  sb_error err;
  sb_status status = sb_visitor_next(v->handle, max, &rows, &count, &err);

  batches_sync(t);
  if (status == SB_END) {
    visit_end(t, v);
    visit_close(v);
    return;
  }
  if (job_tolerates(t->job, status, &err, "sb_visitor_next")) {
    if (rng_chance(&l->rng, 500)) /* else it goes on */
      visit_close(v);
    return;
  }
  if (count == 0 || count > max)
    sim_fail(&l->s, SIM_WRONG, "a visitor gives %zu rows of %zu", count, max);
  for (i = 0; i < count; i++) {
    place at = visit_row(t, v, &rows[i]);

    v->places[i] = at;
  }
  for (i = 0; i < count; i++)
    if (rng_chance(&l->rng, 40))
      visit_update(t, v, &rows[i], v->places[i]);
    else if (rng_chance(&l->rng, 40))
      visit_remove(t, v, &rows[i], v->places[i]);
}

/* ---- the choice --------------------------------------------------------- */

void
visits_step(subtask *t)
{
  visit *v = &t->visits[rng_below(&t->job->l->rng, VISITS_MAX)];

  if (v->handle == NULL)
    visit_open(t, v);
  else if (rng_chance(&t->job->l->rng, 30))
    visit_close(v);
  else
    visit_go(t, v);
}

void
visits_close(subtask *t)
{
  size_t i;

  for (i = 0; i < VISITS_MAX; i++)
    if (t->visits[i].handle != NULL)
      visit_close(&t->visits[i]);
}

void
visits_dispose(subtask *t)
{
  size_t i;

  for (i = 0; i < VISITS_MAX; i++)
    free(t->visits[i].seen);
}
