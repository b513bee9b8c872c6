/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One random operation of a subtask. What succeeds is checked against the
 * model and done to it; what fails must be explained by trouble and must have
 * changed nothing.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

#define ACT_SOME 10         /* elements of one call */

value_ref
act_value(const subtask *t, uint32_t state)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[state];
  value_ref value;
  uint32_t max = rng_chance(&l->rng, 30) ? l->value_max : l->value_usual;

  value.version = (uint16_t)t->job->versions[state];
  value.wrap = WRAP_NONE;
  value.stamp = 0;
  value.seed = rng_mix(++l->value_serial);
  value.len = (uint32_t)rng_skewed(&l->rng, max);
  if (rng_chance(&l->rng, 300))
    value.len = (uint32_t)rng_range(&l->rng, max / 2, max);
  if (s->form == FORM_RAW && s->time_kind == SB_TIME_VALUE) {
    value.wrap = s->time_offset == 0 ? WRAP_STAMP : WRAP_STAMP_IN;
    value.stamp = subtask_now_ms(t);
    value.len += value.len < STAMP_LEN ? STAMP_LEN : 0;
  }
  return value;
}

void
act_set(subtask *t, size_t index, cell c)
{
  life *l = t->job->l;
  uint32_t state = space_place(&l->sp, index).state;

  if (l->s.verbose) {
    char text[200];

    cell_text(&l->sp, index, &c, text, sizeof text);
    sim_say(&l->s, "now %s", text);
  }
  c.end_ms = space_end(&l->sp, state, t->job->ttls[state], c.value,
                       c.expires_ms);
  c.gone_ms = c.end_ms;
  model_set(&t->job->m, index, c);
}

int
act_place(subtask *t, place *at)
{
  life *l = t->job->l;
  uint32_t tries, key;

  if (t->key_count == 0 || t->states == 0)
    return 0;
  for (tries = 0;; tries++) {
    at->state = (uint32_t)rng_below(&l->rng, l->sp.state_count);
    if (t->states >> at->state & 1)
      break;
    if (tries == 50)
      return 0;
  }
  key = (uint32_t)rng_below(&l->rng, t->key_count);
  if (rng_chance(&l->rng, 400))
    key /= 8; /* some are hot */
  at->key = t->keys[key];
  at->ns = (uint32_t)rng_below(&l->rng,
                               l->sp.states[at->state].namespaces);
  at->subkey = (uint32_t)rng_below(&l->rng, l->sp.states[at->state].subkeys);
  return 1;
}

/* Expiry of values that are long enough to be told from any other. */
uint64_t
act_expiry(subtask *t, uint32_t state, uint32_t len)
{
  life *l = t->job->l;

  if (l->sp.states[state].time_kind == SB_TIME_STAMP)
    return subtask_now_ms(t);
  if (l->sp.states[state].time_kind == SB_TIME_VALUE)
    return 0;
  if (len < 8 || !rng_chance(&l->rng, l->expiry))
    return 0;
  return subtask_now_ms(t) + rng_skewed(&l->rng, 3000);
}

static cell
act_cell(value_ref value, uint64_t expires_ms)
{
  cell c = { value, expires_ms, NULL, 0, 0 };

  return c;
}

/* For a close look with --verbose twice. */
static void
act_say_list(subtask *t, const list_node *list, sb_slice bytes)
{
  const uint8_t *p = bytes.data, *end = p + bytes.len;
  uint32_t i, len;

  for (i = 0; list != NULL && i < list->count; i++) {
    const list_node *node = list_at(list, i);

    sim_say(&t->job->l->s, "wanted %u: %u bytes %016llx expires %llu", i,
            node->value.len, (unsigned long long)node->value.seed,
            (unsigned long long)node->expires_ms);
  }
  for (i = 0; end - p >= 4; i++) {
    uint64_t word = 0;

    memcpy(&len, p, 4);
    p += 4;
    if (len > (size_t)(end - p))
      break;
    memcpy(&word, p, len < 8 ? len : 8);
    p += len;
    sim_say(&t->job->l->s, "got %u: %u bytes %016llx", i, len,
            (unsigned long long)word);
  }
}

static void
act_wrong(subtask *t, const char *what, size_t index, sb_status status,
          sb_slice bytes)
{
  char want[200], got[100];

  cell_text(&t->job->l->sp, index, &t->job->m.cells[index], want,
            sizeof want);
  answer_text(status, bytes, got, sizeof got);
  if (t->job->m.cells[index].list != NULL && t->job->l->s.verbose)
    act_say_list(t, t->job->m.cells[index].list, bytes);
  sim_fail(&t->job->l->s, SIM_WRONG, "%s: %s; the answer is %s", what, want,
           got);
}

/* ---- single operations -------------------------------------------------- */

static void
act_get(subtask *t, place at, size_t index)
{
  sb_key key = space_sb_key(&t->job->l->sp, at, t->ids[at.state]);
  sb_slice value = { NULL, 0 };
  uint64_t from = subtask_from_ms(t, at.state);
  sb_error err;
  sb_status status = t->keyed->ops->get(t->keyed, &key, &value, &err);

  batches_settled(t, index, status);
  if (status != SB_NOT_FOUND && job_tolerates(t->job, status, &err, "get"))
    return;
  t->job->l->did.compared++;
  if (!cell_agrees(&t->job->l->sp, at.state, &t->job->m.cells[index], status,
                   value, from, subtask_now_ms(t)))
    act_wrong(t, "get", index, status, value);
}

static void
act_put(subtask *t, place at, size_t index)
{
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  value_ref value = act_value(t, at.state);
  uint64_t expires = act_expiry(t, at.state, value.len);
  sb_error err;
  sb_status status;

  value_fill(value, t->bytes);
  status = t->keyed->ops->put(t->keyed, &key,
                              sb_slice_of(t->bytes, value_size(value)),
                              expires, &err);
  batches_settled(t, index, status);
  memset(t->bytes, 0xB5, value_size(value));
  if (!job_tolerates(t->job, status, &err, "put"))
    act_set(t, index, act_cell(value, expires));
}

static void
act_append(subtask *t, place at, size_t index)
{
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  value_ref value = act_value(t, at.state);
  cell c;
  uint64_t expires;
  sb_error err;
  sb_status status;

  value.len = value.len % 600 + 8;
  expires = act_expiry(t, at.state, value.len);
  value_fill(value, t->bytes);
  status = t->keyed->ops->append(t->keyed, &key,
                                 sb_slice_of(t->bytes, value_size(value)),
                                 expires, &err);
  batches_settled(t, index, status);
  memset(t->bytes, 0xB5, value_size(value));
  if (job_tolerates(t->job, status, &err, "append"))
    return;
  c = t->job->m.cells[index];
  c.list = list_push(&l->sp, at.state, t->job->ttls[at.state], c.list, value, expires);
  act_set(t, index, c);
}

/* Some at once. After a failure, some of them: what the list is then must be
   what it was, with the first of them behind it. */
static void
act_append_settle(subtask *t, size_t index, const value_ref *values,
                  size_t count, uint64_t expires)
{
  life *l = t->job->l;
  place at = space_place(&l->sp, index);
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  sb_slice bytes = { NULL, 0 };
  uint32_t tries = 0;
  size_t i = 0;
  sb_error err;
  sb_status status;
  cell c;

  while ((status = t->keyed->ops->get(t->keyed, &key, &bytes, &err)) !=
           SB_NOT_FOUND &&
         job_tolerates(t->job, status, &err, "a look at a list")) {
    if (status == SB_CANCELLED)
      return;
    if (++tries > 10)
      job_give_up(t->job, "a list is not known");
    sim_sleep(&l->s, 10 * SIM_MS);
  }
  c = t->job->m.cells[index];
  while (!cell_agrees(&l->sp, at.state, &c, status, bytes, 0,
                      subtask_now_ms(t))) {
    if (i == count)
      act_wrong(t, "append_all", index, status, bytes);
    c.list = list_push(&l->sp, at.state, t->job->ttls[at.state], c.list, values[i++], expires);
  }
  if (i != 0)
    act_set(t, index, c);
}

static void
act_append_all(subtask *t, place at, size_t index)
{
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  value_ref values[ACT_SOME];
  sb_slice slices[ACT_SOME];
  size_t count = (size_t)rng_below(&l->rng, ACT_SOME + 1), i;
  uint8_t *room = sim_scratch(&l->s, ACT_SOME * 640);
  uint64_t expires = act_expiry(t, at.state, 8);
  sb_error err;
  sb_status status;
  cell c;

  for (i = 0; i < count; i++) {
    values[i] = act_value(t, at.state);
    values[i].len = values[i].len % 600 + 8;
    value_fill(values[i], room + i * 640);
    slices[i] = sb_slice_of(room + i * 640, value_size(values[i]));
  }
  status = t->keyed->ops->append_all(t->keyed, &key, slices, count, expires,
                                     &err);
  if (count != 0)
    batches_settled(t, index, status);
  sim_scratch_free(&l->s, room);
  if (job_tolerates(t->job, status, &err, "append_all")) {
    act_append_settle(t, index, values, count, expires);
    return;
  }
  c = t->job->m.cells[index];
  for (i = 0; i < count; i++)
    c.list = list_push(&l->sp, at.state, t->job->ttls[at.state], c.list, values[i], expires);
  if (count != 0)
    act_set(t, index, c);
}

static void
act_remove(subtask *t, place at, size_t index)
{
  sb_key key = space_sb_key(&t->job->l->sp, at, t->ids[at.state]);
  sb_error err;
  sb_status status = t->keyed->ops->remove(t->keyed, &key, &err);

  batches_settled(t, index, status);
  if (!job_tolerates(t->job, status, &err, "remove"))
    act_set(t, index, cell_absent());
}

static void
act_clear(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  sb_key key = space_sb_key(sp, at, t->ids[at.state]);
  sb_error err;
  sb_status status;

  status = t->keyed->ops->clear(t->keyed, &key, &err);
  batches_settled(t, space_cell(sp, at), status);
  if (job_tolerates(t->job, status, &err, "clear"))
    return;
  for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys; at.subkey++)
    act_set(t, space_cell(sp, at), cell_absent());
}

/* ---- update ------------------------------------------------------------- */

typedef struct updating {
  subtask *t;
  size_t index;
  value_ref value;
  uint64_t expires_ms, from_ms;
  uint32_t action;
  int calls, fails;
  uint8_t *bytes;
} updating;

static sb_status
act_updated(void *arg, sb_update *update)
{
  updating *u = arg;
  subtask *t = u->t;
  const cell *c = &t->job->m.cells[u->index];
  sb_slice bytes = sb_slice_of(update->data, update->len);
  place at = space_place(&t->job->l->sp, u->index);

  u->calls++;
  batches_sync(t);
  if (!cell_agrees(&t->job->l->sp, at.state, c,
                   update->exists ? SB_OK : SB_NOT_FOUND, bytes, u->from_ms,
                   subtask_now_ms(t)) ||
      (update->exists && update->expires_ms != c->expires_ms))
    act_wrong(t, "update", u->index, update->exists ? SB_OK : SB_NOT_FOUND,
              bytes);
  if (u->fails)
    return SB_CANCELLED;
  update->action = u->action;
  if (u->action == SB_UPDATE_IN_PLACE && (!update->exists || !update->len))
    update->action = u->action = SB_UPDATE_KEEP;
  if (u->action == SB_UPDATE_IN_PLACE) {
    value_resize(&u->value, update->len);
    u->expires_ms = update->expires_ms;
    value_fill(u->value, update->data);
  } else if (u->action == SB_UPDATE_PUT) {
    update->replacement = sb_slice_of(u->bytes, value_size(u->value));
    update->expires_ms = u->expires_ms;
  }
  return SB_OK;
}

static void
act_update(subtask *t, place at, size_t index)
{
  static const uint32_t actions[] = { SB_UPDATE_KEEP, SB_UPDATE_IN_PLACE,
                                      SB_UPDATE_PUT, SB_UPDATE_PUT,
                                      SB_UPDATE_REMOVE };
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  updating u;
  sb_error err;
  sb_status status;

  memset(&u, 0, sizeof u);
  u.t = t;
  u.index = index;
  u.from_ms = subtask_from_ms(t, at.state);
  u.value = act_value(t, at.state);
  u.expires_ms = act_expiry(t, at.state, u.value.len);
  u.action = actions[rng_below(&l->rng, 5)];
  u.fails = rng_chance(&l->rng, 30);
  u.bytes = t->bytes;
  value_fill(u.value, t->bytes);
  status = t->keyed->ops->update(t->keyed, &key, act_updated, &u, &err);
  batches_settled(t, index, status);
  if (u.calls > 1)
    sim_fail(&l->s, SIM_WRONG, "update calls its function %d times",
             u.calls);
  if (u.calls == 1 && u.fails && status == SB_CANCELLED)
    return;
  if (job_tolerates(t->job, status, &err, "update"))
    return;
  if (u.calls == 0 || u.fails)
    sim_fail(&l->s, SIM_WRONG, "update is said to be done, but is not");
  if (u.action == SB_UPDATE_REMOVE)
    act_set(t, index, cell_absent());
  else if (u.action != SB_UPDATE_KEEP)
    act_set(t, index, act_cell(u.value, u.expires_ms));
}

/* ---- ranges ------------------------------------------------------------- */

static void
act_remove_range(subtask *t)
{
  job *j = t->job;
  life *l = j->l;
  sb_scan_options options;
  uint32_t state;
  size_t i;
  sb_error err;
  sb_status status;

  if (!walk_options(t, &options, &state, 0) ||
      l->sp.states[state].form != FORM_RAW)
    return;
  if (rng_chance(&l->rng, l->namespaces)) { /* a whole namespace */
    options.key_group_first = t->group_first;
    options.key_group_last = t->group_last;
    options.has_key = 0;
  }
  status = t->keyed->ops->remove_range(t->keyed, &options, &err);
  batches_sync(t);
  if (job_tolerates(j, status, &err, "remove_range"))
    job_give_up(j, "remove_range may have removed some");
  for (i = 0; i < l->sp.cells; i++)
    if (walk_selects(t, &options, state, i) &&
        cell_is_absent(&j->m.cells[i], 0) != 1)
      act_set(t, i, cell_absent());
}

/* Of a key group, up to and with a place. */
static void
act_remove_through(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  sb_key key = space_sb_key(sp, at, t->ids[at.state]);
  sb_error err;
  sb_status status = t->keyed->ops->remove_through(t->keyed, &key, &err);
  uint32_t i;

  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "remove_through"))
    job_give_up(t->job, "remove_through may have removed some");
  for (i = 0; i < t->key_count && t->keys[i] <= at.key; i++) {
    place gone = { at.state, t->keys[i], 0, 0 };

    if (sp->keys[gone.key].group == key.key_group)
      act_set(t, space_cell(sp, gone), cell_absent());
  }
}

/* ---- limits ------------------------------------------------------------- */

static void
act_bad(subtask *t, place at)
{
  life *l = t->job->l;
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  sb_slice value = { NULL, 0 };
  sb_error err;
  sb_status status;

  if (t->group_first != 0)
    key.key_group = t->group_first - 1;
  else if (t->group_last + 1 < l->sp.groups)
    key.key_group = t->group_last + 1;
  else
    key.state = 99999;
  status = t->keyed->ops->get(t->keyed, &key, &value, &err);
  if (status != SB_INVALID && !job_tolerates(t->job, status, &err, "bad get"))
    sim_fail(&l->s, SIM_WRONG, "a get outside the handle's state is taken");
}

/* ---- the choice --------------------------------------------------------- */

static void
act_single(subtask *t)
{
  life *l = t->job->l;
  uint64_t pick = rng_below(&l->rng, 1000);
  place at;
  size_t index;

  if (!act_place(t, &at))
    return;
  index = space_cell(&l->sp, at);
  if (pick < 300)
    act_get(t, at, index);
  else if (l->sp.states[at.state].form == FORM_TYPED)
    typed_step(t, at);
  else if (l->sp.states[at.state].form != FORM_RAW)
    queues_step(t, at);
  else if (pick < 380)
    act_remove(t, at, index);
  else if (pick < 400)
    act_clear(t, at);
  else if (pick < 403)
    act_bad(t, at);
  else if (l->sp.states[at.state].kind == SB_STATE_LIST && pick < 550)
    act_append_all(t, at, index);
  else if (l->sp.states[at.state].kind == SB_STATE_LIST)
    act_append(t, at, index);
  else if (l->sp.states[at.state].kind == SB_STATE_TIMER && pick < 430)
    act_remove_through(t, at);
  else if (pick < 650)
    act_put(t, at, index);
  else
    act_update(t, at, index);
}

int
act_write_one(subtask *t)
{
  place at;
  size_t index;

  if (!act_place(t, &at))
    return 0;
  index = space_cell(&t->job->l->sp, at);
  if (t->job->l->sp.states[at.state].form == FORM_TYPED)
    typed_write(t, at);
  else if (t->job->l->sp.states[at.state].form != FORM_RAW)
    queues_add(t, at);
  else if (t->job->l->sp.states[at.state].kind == SB_STATE_LIST)
    act_append(t, at, index);
  else
    act_put(t, at, index);
  return 1;
}

void
act_step(subtask *t)
{
  life *l = t->job->l;
  uint64_t pick = rng_below(&l->rng, 1000);

  if (pick < l->batch && l->typed_batches)
    typed_batches_step(t);
  else if (pick < l->batch)
    batches_step(t);
  else if (pick < l->batch + l->scan && t->context != NULL &&
           rng_chance(&l->rng, 500))
    visits_step(t);
  else if (pick < l->batch + l->scan)
    walks_step(t);
  else if (pick < l->batch + l->scan + 5 + l->namespaces / 50)
    act_remove_range(t);
  else if (pick < l->batch + l->scan + 25)
    views_open(t);
  else
    act_single(t);
  views_close(t, 0);
}
