/* SPDX-License-Identifier: Apache-2.0 */
/* Maps through the typed interface: entries one by one, many at once, and
   iterators that change what they are on. */
#include "config.h"

#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

static void
map_get(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  uint64_t from = subtask_from_ms(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_slice value = { NULL, 0 };
  sb_error err;
  sb_status status = sb_map_get(t->handles[at.state].map,
                                typed_subkey(sp, at.subkey), &value, &err);

  batches_settled(t, space_cell(sp, at), status);
  if (status != SB_NOT_FOUND &&
      job_tolerates(t->job, status, &err, "sb_map_get"))
    return;
  typed_check(t, "map get", at, status, value, from);
  typed_settle(t, at, begin, status == SB_OK);
}

static void
map_contains(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  uint64_t begin = typed_stamp(t, at.state);
  const cell *c = &t->job->m.cells[space_cell(sp, at)];
  int found = 2, absent;
  sb_error err;
  sb_status status = sb_map_contains(t->handles[at.state].map,
                                     typed_subkey(sp, at.subkey), &found,
                                     &err);

  batches_settled(t, space_cell(sp, at), status);
  if (job_tolerates(t->job, status, &err, "sb_map_contains"))
    return;
  absent = cell_is_absent(c, subtask_now_ms(t));
  if (found < 0 || found > 1 || absent == found)
    typed_wrong(t, "map contains", at, found ? SB_OK : SB_NOT_FOUND,
                sb_slice_of(NULL, 0));
  typed_settle(t, at, begin, found);
}

void
map_write(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  value_ref value = typed_value(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_error err;
  sb_status status = sb_map_put(t->handles[at.state].map,
                                typed_subkey(sp, at.subkey),
                                typed_bytes(value, t->bytes), &err);

  batches_settled(t, space_cell(sp, at), status);
  if (job_tolerates(t->job, status, &err, "sb_map_put"))
    return;
  typed_set(t, at, value, begin);
  typed_settle(t, at, begin, 0);
}

static void
map_remove(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  sb_error err;
  sb_status status = sb_map_remove(t->handles[at.state].map,
                                   typed_subkey(sp, at.subkey), &err);

  batches_settled(t, space_cell(sp, at), status);
  if (!job_tolerates(t->job, status, &err, "sb_map_remove"))
    act_set(t, space_cell(sp, at), cell_absent());
}

/* After a failure some may have been put: so it goes on until all are. */
static void
map_put_all(subtask *t, place at)
{
  life *l = t->job->l;
  sb_slice subkeys[TYPED_SOME], slices[TYPED_SOME];
  value_ref values[TYPED_SOME];
  uint32_t numbers[TYPED_SOME], tries = 0;
  size_t count = (size_t)rng_below(&l->rng, TYPED_SOME), i, used = 0;
  uint64_t begin = typed_stamp(t, at.state);
  uint8_t *room = sim_scratch(&l->s, TYPED_SOME * 400);
  sb_error err;

  for (i = 0; i < count; i++) {
    numbers[i] = (uint32_t)rng_below(&l->rng, l->sp.subkey_count);
    subkeys[i] = typed_subkey(&l->sp, numbers[i]);
    values[i] = typed_value(t, at.state);
    values[i].len %= 390;
    slices[i] = typed_bytes(values[i], room + used);
    used += slices[i].len;
  }
  while (job_tolerates(t->job, sb_map_put_all(t->handles[at.state].map,
                                              subkeys, slices, count, &err),
                       &err, "sb_map_put_all")) {
    if (err.status == SB_CANCELLED || ++tries > 10)
      job_give_up(t->job, "put_all may have put some");
    sim_sleep(&l->s, rng_range(&l->rng, 1, 100) * SIM_MS);
  }
  batches_sync(t);
  for (i = 0; i < count; i++) {
    at.subkey = numbers[i];
    typed_set(t, at, values[i], begin);
  }
  sim_scratch_free(&l->s, room);
  typed_settle(t, at, begin, 0);
}

static void
map_is_empty(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  uint64_t begin = typed_stamp(t, at.state);
  int empty = 2, there = 0, perhaps = 0;
  sb_error err;
  sb_status status = sb_map_is_empty(t->handles[at.state].map, &empty, &err);

  batches_sync(t);
  for (at.subkey = 0; at.subkey < sp->subkey_count; at.subkey++) {
    int absent = cell_is_absent(&t->job->m.cells[space_cell(sp, at)],
                                subtask_now_ms(t));

    there |= absent == 0;
    perhaps |= absent < 0;
  }
  at.subkey = 0;
  if (!job_tolerates(t->job, status, &err, "sb_map_is_empty") &&
      (empty < 0 || empty > 1 || (there && empty) ||
       (!there && !perhaps && !empty)))
    typed_wrong(t, "map is empty", at, empty ? SB_NOT_FOUND : SB_OK,
                sb_slice_of(NULL, 0));
  typed_settle(t, at, begin, 0);
}

/* ---- iterators ---------------------------------------------------------- */

static void
map_change_row(subtask *t, sb_iterator *iterator, place at)
{
  life *l = t->job->l;
  int removes = rng_chance(&l->rng, 500);
  value_ref value = typed_value(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_error err;
  sb_status status =
    removes ? sb_iterator_remove(iterator, &err)
            : sb_iterator_set(iterator, typed_bytes(value, t->bytes), &err);

  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "an iterator's change"))
    return;
  if (removes)
    act_set(t, space_cell(&l->sp, at), cell_absent());
  else
    typed_set(t, at, value, begin);
}

static uint32_t
map_row(subtask *t, place at, const sb_row *row, uint64_t from)
{
  const space *sp = &t->job->l->sp;
  uint32_t state = at.state, key = at.key, ns = at.ns;

  if (space_find(sp, state, row->key, row->ns, row->subkey, &at) != 0 ||
      at.key != key || at.ns != ns)
    sim_fail(&t->job->l->s, SIM_WRONG, "an iterator over %s gives an entry "
             "of another key", sp->states[state].name);
  typed_check(t, "map iterator", at, SB_OK, row->value, from);
  return at.subkey;
}

static void
map_iterate(subtask *t, place at)
{
  life *l = t->job->l;
  uint64_t from = subtask_from_ms(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  uint32_t next = 0;
  sb_iterator *iterator;
  sb_row row;
  sb_error err;
  sb_status status;

  batches_drain(t); /* what is pending would change the entries meanwhile */
  status = sb_map_iterate(t->handles[at.state].map, &iterator, &err);
  if (job_tolerates(t->job, status, &err, "sb_map_iterate"))
    return;
  do {
    status = sb_iterator_next(iterator, &row, &err);
    at.subkey = status == SB_OK ? map_row(t, at, &row, from)
                                : l->sp.subkey_count;
    for (; status != SB_OK ? status == SB_END && next < l->sp.subkey_count
                           : next < at.subkey; next++) {
      place missing = { at.state, at.key, at.ns, next };

      if (cell_is_absent(&t->job->m.cells[space_cell(&l->sp, missing)],
                         subtask_now_ms(t)) == 0)
        typed_wrong(t, "map iterator", missing, SB_NOT_FOUND,
                    sb_slice_of(NULL, 0));
    }
    if (status == SB_OK && next != at.subkey)
      typed_wrong(t, "map iterator's order", at, SB_OK, row.value);
    next++;
    if (status == SB_OK && rng_chance(&l->rng, 150))
      map_change_row(t, iterator, at);
  } while (status == SB_OK);
  if (status != SB_END)
    (void)job_tolerates(t->job, status, &err, "sb_iterator_next");
  sb_iterator_close(iterator);
  typed_settle(t, at, begin, 0);
}

void
maps_step(subtask *t, place at, uint64_t pick)
{
  if (pick < 350)
    map_get(t, at);
  else if (pick < 420)
    map_contains(t, at);
  else if (pick < 450)
    map_is_empty(t, at);
  else if (pick < 550)
    map_remove(t, at);
  else if (pick < 600)
    map_put_all(t, at);
  else if (pick < 700)
    map_iterate(t, at);
  else if (pick < 850)
    typed_update(t, at);
  else
    map_write(t, at);
}
