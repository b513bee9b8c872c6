/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists through the typed interface. A call that fails may have done some of
 * its work: what the list is then is found out, and must be one of the lists
 * that it went through.
 */
#include "config.h"

#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

#define LIST_ROOM 640u      /* bytes of an element */

static void
list_set(subtask *t, place at, const list_node *list)
{
  cell c = cell_absent();

  c.list = list;
  act_set(t, space_cell(&t->job->l->sp, at), c);
}

static const list_node *
list_of(const subtask *t, place at)
{
  return t->job->m.cells[space_cell(&t->job->l->sp, at)].list;
}

/* Some elements to be added, with the stamp of now. */
typedef struct list_input {
  value_ref values[TYPED_SOME];
  sb_slice slices[TYPED_SOME];
  size_t count;
  uint8_t *room;
} list_input;

static void
list_input_make(subtask *t, place at, size_t count, list_input *in)
{
  size_t i;

  in->count = count;
  in->room = sim_scratch(&t->job->l->s, TYPED_SOME * LIST_ROOM);
  for (i = 0; i < count; i++) {
    in->values[i] = typed_value(t, at.state);
    in->slices[i] = typed_bytes(in->values[i], in->room + i * LIST_ROOM);
  }
}

static const list_node *
list_input_add(subtask *t, place at, const list_input *in, size_t count,
               const list_node *list)
{
  size_t i;

  for (i = 0; i < count; i++)
    list = list_push(&t->job->l->sp, at.state, t->job->ttls[at.state], list,
                     in->values[i], 0);
  return list;
}

static int
list_is(subtask *t, place at, const list_node *list, sb_status status,
        sb_slice bytes)
{
  cell c = cell_absent();

  c.list = list;
  return cell_agrees(&t->job->l->sp, at.state, &c, status, bytes, 0,
                     subtask_now_ms(t));
}

/* After a failure: as it was, or cleared if `clears`, or with some of the new
   elements behind that. */
static void
list_settle(subtask *t, place at, const list_input *in, int clears)
{
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  const list_node *before = list_of(t, at);
  sb_slice bytes = { NULL, 0 };
  uint32_t tries = 0;
  sb_error err;
  sb_status status;
  size_t i;

  for (;;) {
    status = t->keyed->ops->get(t->keyed, &key, &bytes, &err);
    if (status == SB_NOT_FOUND ||
        !job_tolerates(t->job, status, &err, "a look at a list"))
      break;
    if (status == SB_CANCELLED)
      return;
    if (++tries > 10)
      job_give_up(t->job, "a list is not known");
    sim_sleep(&l->s, 10 * SIM_MS);
  }
  if (list_is(t, at, before, status, bytes))
    return;
  before = clears ? NULL : before;
  for (i = 0; i <= in->count; i++) {
    const list_node *list = list_input_add(t, at, in, i, before);

    if (list_is(t, at, list, status, bytes)) {
      list_set(t, at, list);
      return;
    }
  }
  typed_wrong(t, "list after a failure", at, status, bytes);
}

/* A call that waited took its stamps later, and they cannot be told from what
   it stored before: such a list begins anew. */
static int
list_waited(subtask *t, place at, const list_input *in)
{
  sb_key key = space_sb_key(&t->job->l->sp, at, t->ids[at.state]);
  sb_error err;

  if (in->count == 0 || in->values[0].wrap != WRAP_STAMP ||
      in->values[0].stamp == typed_stamp(t, at.state))
    return 0;
  if (job_tolerates(t->job, t->keyed->ops->clear(t->keyed, &key, &err), &err,
                    "clearing a list"))
    job_give_up(t->job, "a list's stamps are not known");
  batches_sync(t);
  list_set(t, at, NULL);
  return 1;
}

static void
list_done(subtask *t, place at, const list_input *in, int clears, int failed)
{
  if (failed)
    list_settle(t, at, in, clears);
  else
    list_set(t, at, list_input_add(t, at, in, in->count,
                                   clears ? NULL : list_of(t, at)));
}

static void
list_change(subtask *t, place at, size_t count, int clears)
{
  sb_list *list = t->handles[at.state].list;
  int failed;
  list_input in;
  sb_error err;
  sb_status status;

  list_input_make(t, at, count, &in);
  if (clears)
    status = sb_list_update(list, in.slices, count, &err);
  else if (count == 1)
    status = sb_list_add(list, in.slices[0], &err);
  else
    status = sb_list_add_all(list, in.slices, count, &err);
  if (count != 0 || clears)
    batches_settled(t, space_cell(&t->job->l->sp, at), status);
  memset(in.room, 0xB5, TYPED_SOME * LIST_ROOM);
  failed = job_tolerates(t->job, status, &err, "a list's change");
  if (!clears || !list_waited(t, at, &in))
    list_done(t, at, &in, clears, failed);
  sim_scratch_free(&t->job->l->s, in.room);
}

void
list_write(subtask *t, place at)
{
  list_change(t, at, 1, 0);
}

static int
list_count(void *arg, sb_slice element)
{
  uint32_t *n = arg;

  (void)element;
  return --*n == 0;
}

static void
list_get(subtask *t, place at)
{
  uint64_t from = subtask_from_ms(t, at.state);
  sb_list *list = t->handles[at.state].list;
  sb_slice elements = { NULL, 0 };
  uint32_t n = 3;
  sb_error err;
  sb_status status = sb_list_get(list, &elements, &err);

  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (status != SB_NOT_FOUND &&
      job_tolerates(t->job, status, &err, "sb_list_get"))
    return;
  typed_check(t, "list get", at, status, elements, from);
  if (!rng_chance(&t->job->l->rng, 100))
    return;
  status = sb_list_each(list, list_count, &n, &err);
  if (status == SB_NOT_FOUND ||
      job_tolerates(t->job, status, &err, "sb_list_each"))
    return;
  if (n != 0 && list_of(t, at)->count >= 3 &&
      t->job->l->sp.states[at.state].ttl_ms == 0)
    typed_wrong(t, "list each", at, status, elements);
}

/* The whole list, as the visitor takes it. */
static sb_slice
list_packed(const list_input *in, uint8_t *room)
{
  size_t i, n = 0;

  for (i = 0; i < in->count; i++) {
    uint32_t len = (uint32_t)in->slices[i].len;

    memcpy(room + n, &len, 4);
    memcpy(room + n + 4, in->slices[i].data, len);
    n += 4 + len;
  }
  return sb_slice_of(room, n);
}

void
list_visit(subtask *t, place at, sb_visitor *visitor, const sb_row *row)
{
  life *l = t->job->l;
  uint8_t *room = sim_scratch(&l->s, TYPED_SOME * LIST_ROOM);
  int failed;
  list_input in;
  sb_error err;
  sb_status status;

  list_input_make(t, at, (size_t)rng_below(&l->rng, TYPED_SOME), &in);
  status = sb_visitor_update(visitor, row, list_packed(&in, room), &err);
  batches_settled(t, space_cell(&l->sp, at), status);
  failed = job_tolerates(t->job, status, &err, "sb_visitor_update");
  if (!list_waited(t, at, &in))
    list_done(t, at, &in, 1, failed);
  sim_scratch_free(&l->s, in.room);
  sim_scratch_free(&l->s, room);
}

/* The number of the row's element, the `i`th or, if those before it may have
   expired, a later one; of no row: none may be missing. */
static uint32_t
list_row(subtask *t, place at, const list_node *list, uint32_t i,
         const sb_row *row, uint64_t from)
{
  uint64_t now = subtask_now_ms(t);

  for (;; i++) {
    const list_node *node = list_at(list, i);

    if (row == NULL && node == NULL)
      return i;
    if (row != NULL && node != NULL &&
        value_equal(value_inner(node->value), row->value)) {
      if ((t->job->l->sp.states[at.state].flags & SB_STATE_SHOW_EXPIRED) ||
          node->end_ms == 0 || node->end_ms > from)
        return i;
      typed_wrong(t, "list iterator: it has expired", at, SB_OK, row->value);
    }
    if (node == NULL || node->gone_ms == 0 || node->gone_ms > now)
      typed_wrong(t, "list iterator", at, row == NULL ? SB_END : SB_OK,
                  row == NULL ? sb_slice_of(NULL, 0) : row->value);
  }
}

static void
list_change_row(subtask *t, place at, sb_iterator *iterator,
                const list_node *node)
{
  life *l = t->job->l;
  const list_node *list = list_of(t, at);
  value_ref value = typed_value(t, at.state);
  uint32_t i = node->count - 1;
  sb_error err;
  sb_status status;

  if (rng_chance(&l->rng, 500)) {
    status = sb_iterator_remove(iterator, &err);
    value.len = MODEL_ABSENT;
  } else {
    status = sb_iterator_set(iterator, typed_bytes(value, t->bytes), &err);
  }
  if (status == SB_NOT_FOUND && err.status == status && node->gone_ms != 0 &&
      node->gone_ms <= subtask_now_ms(t))
    return;
  if (!job_tolerates(t->job, status, &err, "a list iterator's change"))
    list_set(t, at, list_with(&l->sp, at.state, t->job->ttls[at.state], list,
                              i, value, 0));
}

/* From the first element on, up to one that is removed or set. */
static void
list_iterate(subtask *t, place at)
{
  life *l = t->job->l;
  const list_node *list;
  uint32_t i, stop = (uint32_t)rng_below(&l->rng, 12);
  uint64_t from;
  sb_iterator *iterator;
  sb_row row;
  sb_error err;
  sb_status status;

  batches_drain(t);
  list = list_of(t, at);
  from = subtask_from_ms(t, at.state);
  status = sb_list_iterate(t->handles[at.state].list, &iterator, &err);
  if (job_tolerates(t->job, status, &err, "sb_list_iterate"))
    return;
  for (i = 0; (status = sb_iterator_next(iterator, &row, &err)) == SB_OK;
       i++) {
    i = list_row(t, at, list, i, &row, from);
    if (i >= stop)
      break;
  }
  if (status == SB_END)
    (void)list_row(t, at, list, i, NULL, from);
  else if (status != SB_OK)
    (void)job_tolerates(t->job, status, &err, "sb_iterator_next");
  else
    list_change_row(t, at, iterator, list_at(list, i));
  sb_iterator_close(iterator);
}

static void
list_merge(subtask *t, place at)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[at.state];
  sb_slice sources[TYPED_SOME];
  uint32_t numbers[TYPED_SOME];
  size_t count = (size_t)rng_below(&l->rng, s->namespaces + 1), i;
  sb_error err;
  sb_status status;

  for (i = 0; i < count; i++) {
    numbers[i] = (uint32_t)rng_below(&l->rng, s->namespaces);
    sources[i] = typed_namespace(&l->sp, at.state, numbers[i]);
  }
  status = sb_list_merge(t->handles[at.state].list,
                         typed_namespace(&l->sp, at.state, at.ns), sources,
                         count, &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "sb_list_merge"))
    job_give_up(t->job, "lists may have been merged in part");
  for (i = 0; i < count; i++) {
    place from = { at.state, at.key, numbers[i], 0 };
    const list_node *to = list_of(t, at), *added = list_of(t, from);
    uint32_t k;

    if (numbers[i] == at.ns)
      continue;
    for (k = 0; added != NULL && k < added->count; k++)
      to = list_push_same(&l->sp, to, list_at(added, k));
    list_set(t, at, to);
    list_set(t, from, NULL);
  }
}

void
lists_step(subtask *t, place at, uint64_t pick)
{
  life *l = t->job->l;

  if (pick < 350)
    list_get(t, at);
  else if (pick < 450)
    list_iterate(t, at);
  else if (pick < 500)
    list_merge(t, at);
  else if (pick < 570)
    list_change(t, at, (size_t)rng_below(&l->rng, TYPED_SOME), 1);
  else if (pick < 700)
    list_change(t, at, (size_t)rng_below(&l->rng, TYPED_SOME), 0);
  else
    list_change(t, at, 1, 0);
}
