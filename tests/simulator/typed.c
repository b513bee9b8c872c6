/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States that the typed interface writes to: values, and what all kinds have
 * in common. What it gives is compared without what it keeps around values;
 * what it keeps is compared as any state's records are.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

static const char typed_default[] = "default";

/* ---- opening ------------------------------------------------------------ */

static void
typed_spec(subtask *t, uint32_t state, char *value_type, sb_state_spec *spec)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[state];
  uint32_t version = t->job->versions[state];

  memset(spec, 0, sizeof *spec);
  spec->struct_size = sizeof *spec;
  spec->name = s->name;
  spec->key_type = "bytes";
  spec->value_type = value_type;
  (void)sprintf(value_type, "v%u", version);
  spec->schema_version = version;
  spec->cleanup_per_access = s->cleanup;
  spec->ttl_ms = t->job->ttls[state];
  spec->ttl_update = s->renews ? SB_TTL_READ_WRITE : SB_TTL_WRITE;
  spec->ttl_visibility = s->flags & SB_STATE_SHOW_EXPIRED
                         ? SB_TTL_UNLESS_CLEANED : SB_TTL_NEVER;
  spec->ttl_time = s->flags & SB_STATE_EVENT_TIME ? SB_TTL_EVENT
                                                  : SB_TTL_PROCESSING;
  spec->migrate = life_migrate;
  spec->migrate_arg = &l->typed_migrators[state][version];
  spec->flags = (s->flags & SB_STATE_MOSTLY_HIT ? SB_SPEC_MOSTLY_HIT : 0) |
                (s->nulls ? SB_SPEC_NULLS : 0);
  if (l->migrates != 0 && rng_chance(&l->rng, 200))
    spec->flags |= SB_SPEC_MIGRATE_NOW;
  if (s->kind == SB_STATE_VALUE && state % 2 != 0) {
    spec->flags |= SB_SPEC_DEFAULT;
    spec->default_value = sb_slice_of(typed_default,
                                      sizeof typed_default - 1);
  }
}

static sb_status
typed_open_kind(subtask *t, uint32_t state, const sb_state_spec *spec,
                sb_error *err)
{
  state_handle *h = &t->handles[state];

  switch (t->job->l->sp.states[state].kind) {
  case SB_STATE_VALUE:
    return sb_value_open_spec(t->context, spec, &h->value, err);
  case SB_STATE_LIST:
    return sb_list_open_spec(t->context, spec, &h->list, err);
  case SB_STATE_MAP:
    return sb_map_open_spec(t->context, spec, &h->map, err);
  case SB_STATE_REDUCING:
    return sb_reducing_open_spec(t->context, spec, &h->reducing, err);
  default:
    return sb_aggregating_open_spec(t->context, spec, &h->aggregating, err);
  }
}

sb_status
typed_open(subtask *t, uint32_t state, sb_state_info *info, sb_error *err)
{
  const char *name = t->job->l->sp.states[state].name;
  char value_type[16];
  sb_state_spec spec;
  sb_status status = subtask_need_context(t, err);

  typed_spec(t, state, value_type, &spec);
  fold_spec(t, state, &spec);
  if (status == SB_OK)
    status = typed_open_kind(t, state, &spec, err);
  if (status == SB_OK) /* again: it is the same one */
    status = typed_open_kind(t, state, &spec, err);
  if (status != SB_OK)
    return status;
  return t->keyed->ops->state_find(t->keyed,
                                   sb_slice_of(name, strlen(name)), info,
                                   err);
}

/* ---- places and values -------------------------------------------------- */

sb_slice
typed_namespace(const space *sp, uint32_t state, uint32_t ns)
{
  if (sp->states[state].namespaces == 1)
    return sb_slice_of(NULL, 0);
  return sb_slice_of(sp->namespaces[ns].data, sp->namespaces[ns].len);
}

sb_slice
typed_subkey(const space *sp, uint32_t subkey)
{
  return sb_slice_of(sp->subkeys[subkey].data, sp->subkeys[subkey].len);
}

int
typed_enter(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  sb_error err;
  sb_status status =
    sb_context_set_key_hash(t->context, space_key_bytes(sp, at.state, at.key),
                            space_hash(sp, sp->keys[at.key].group), &err);

  if (status == SB_OK)
    status = sb_context_set_namespace(t->context,
                                      typed_namespace(sp, at.state, at.ns),
                                      &err);
  return !job_tolerates(t->job, status, &err, "a current key");
}

value_ref
typed_value(subtask *t, uint32_t state)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[state];
  value_ref value = act_value(t, state);

  if (s->kind == SB_STATE_REDUCING || s->kind == SB_STATE_AGGREGATING)
    value.len = 9 + value.len % FOLD_LEN; /* has all its seed */
  if (s->kind == SB_STATE_LIST)
    value.len = value.len % 600 + 8;
  if (s->kind == SB_STATE_LIST && s->ttl_ms != 0) {
    value.wrap = WRAP_STAMP;
    value.stamp = typed_stamp(t, state);
  }
  if (!s->nulls)
    return value;
  value.wrap = WRAP_VALUE;
  if (rng_chance(&l->rng, 150)) {
    value.wrap = WRAP_NULL;
    value.len = 0;
  }
  return value;
}

sb_slice
typed_bytes(value_ref value, void *room)
{
  if (value.wrap == WRAP_NULL)
    return sb_slice_of(NULL, 0);
  value_fill(value_inner(value), room);
  return sb_slice_of(room, value_size(value_inner(value)));
}

uint64_t
typed_stamp(const subtask *t, uint32_t state)
{
  const space_state *s = &t->job->l->sp.states[state];

  if (s->ttl_ms == 0)
    return 0;
  if (s->flags & SB_STATE_EVENT_TIME)
    return t->event_ms == 0 ? 1 : t->event_ms;
  return subtask_now_ms(t);
}

void
typed_set(subtask *t, place at, value_ref value, uint64_t stamp)
{
  cell c = { value, stamp, NULL, 0, 0 };

  act_set(t, space_cell(&t->job->l->sp, at), c);
}

void
typed_wrong(subtask *t, const char *what, place at, sb_status status,
            sb_slice bytes)
{
  const space *sp = &t->job->l->sp;
  size_t index = space_cell(sp, at);
  char want[200], got[100];

  cell_text(sp, index, &t->job->m.cells[index], want, sizeof want);
  answer_text(status, bytes, got, sizeof got);
  sim_fail(&t->job->l->s, SIM_WRONG, "typed %s: %s; the answer is %s", what,
           want, got);
}

void
typed_check(subtask *t, const char *what, place at, sb_status status,
            sb_slice bytes, uint64_t from_ms)
{
  const space *sp = &t->job->l->sp;

  t->job->l->did.typed++;
  if (!cell_shows(sp, at.state, &t->job->m.cells[space_cell(sp, at)], status,
                  bytes, from_ms, subtask_now_ms(t)))
    typed_wrong(t, what, at, status, bytes);
}

/* ---- stamps ------------------------------------------------------------- */

typedef struct stamp_seen {
  value_ref value;
  int exists, equal;
  uint64_t stamp;
} stamp_seen;

static sb_status
stamp_see(void *arg, sb_update *u)
{
  stamp_seen *seen = arg;

  seen->exists = u->exists != 0;
  seen->stamp = u->expires_ms;
  seen->equal = u->exists &&
                value_equal(seen->value, sb_slice_of(u->data, u->len));
  return SB_OK;
}

/* `renewed`: by a read, unless it had expired. */
static void
stamp_take(subtask *t, place at, uint64_t begin, int renewed)
{
  const space *sp = &t->job->l->sp;
  sb_key key = space_sb_key(sp, at, t->ids[at.state]);
  cell c = t->job->m.cells[space_cell(sp, at)];
  stamp_seen seen = { c.value, 0, 0, 0 };
  uint32_t tries = 0;
  sb_error err;

  if (c.value.len == MODEL_ABSENT)
    return;
  while (job_tolerates(t->job, t->keyed->ops->update(t->keyed, &key,
                                                     stamp_see, &seen, &err),
                       &err, "a look at a stamp")) {
    if (err.status == SB_CANCELLED)
      return;
    if (++tries > 10)
      job_give_up(t->job, "a stamp is not known");
    sim_sleep(&t->job->l->s, 10 * SIM_MS);
  }
  batches_sync(t);
  if (!seen.exists && cell_is_absent(&c, subtask_now_ms(t)) < 0)
    return;
  if (renewed && cell_is_absent(&c, subtask_now_ms(t)) == 0)
    c.expires_ms = begin;
  if (!seen.exists || !seen.equal ||
      (seen.stamp != c.expires_ms &&
       (seen.stamp < begin || seen.stamp > typed_stamp(t, at.state))))
    typed_wrong(t, "stamp", at, seen.exists ? SB_OK : SB_NOT_FOUND,
                sb_slice_of(NULL, 0));
  typed_set(t, at, c.value, seen.stamp);
}

/* A call that waits takes its stamp when it goes on, and reading may renew. */
void
typed_settle(subtask *t, place at, uint64_t begin, int read)
{
  uint32_t subkey = at.subkey;
  const space_state *s = &t->job->l->sp.states[at.state];

  if (s->ttl_ms == 0 || s->kind == SB_STATE_LIST ||
      (!s->renews && typed_stamp(t, at.state) == begin))
    return;
  for (at.subkey = 0; at.subkey < s->subkeys; at.subkey++)
    stamp_take(t, at, begin, read && s->renews && at.subkey == subkey);
}

/* ---- values ------------------------------------------------------------- */

static void
value_get(subtask *t, place at)
{
  uint64_t from = subtask_from_ms(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_slice value = { NULL, 0 };
  sb_error err;
  sb_status status = sb_value_get(t->handles[at.state].value, &value, &err);

  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (status != SB_NOT_FOUND &&
      job_tolerates(t->job, status, &err, "sb_value_get"))
    return;
  if (at.state % 2 != 0 && status == SB_NOT_FOUND)
    sim_fail(&t->job->l->s, SIM_WRONG, "a default is not given");
  if (at.state % 2 != 0 && value.len == sizeof typed_default - 1 &&
      memcmp(value.data, typed_default, value.len) == 0)
    status = SB_NOT_FOUND;
  typed_check(t, "value get", at, status, value, from);
  typed_settle(t, at, begin, status == SB_OK);
}

typedef struct typed_change {
  subtask *t;
  place at;
  value_ref value;
  uint32_t action;
  int calls, fails;
  uint64_t from_ms;
} typed_change;

static sb_status
typed_changed(void *arg, sb_update *u)
{
  typed_change *c = arg;
  sb_slice bytes = sb_slice_of(u->data, u->len);

  c->calls++;
  batches_sync(c->t);
  typed_check(c->t, "update", c->at, u->exists ? SB_OK : SB_NOT_FOUND, bytes,
              c->from_ms);
  if (c->fails)
    return SB_CANCELLED;
  if (c->action == SB_UPDATE_IN_PLACE && (!u->exists || u->len < 3))
    c->action = SB_UPDATE_KEEP;
  u->action = c->action;
  if (c->action == SB_UPDATE_IN_PLACE) {
    if (c->value.wrap == WRAP_NULL)
      c->value.wrap = WRAP_VALUE;
    value_resize(&c->value, u->len + (c->value.wrap == WRAP_VALUE));
    (void)typed_bytes(c->value, u->data);
  } else if (c->action == SB_UPDATE_PUT) {
    u->replacement = typed_bytes(c->value, c->t->bytes);
  }
  return SB_OK;
}

void
typed_update(subtask *t, place at)
{
  static const uint32_t actions[] = { SB_UPDATE_KEEP, SB_UPDATE_IN_PLACE,
                                      SB_UPDATE_PUT, SB_UPDATE_PUT,
                                      SB_UPDATE_REMOVE };
  life *l = t->job->l;
  state_handle *h = &t->handles[at.state];
  typed_change c = { t, at, typed_value(t, at.state), 0, 0, 0,
                     subtask_from_ms(t, at.state) };
  uint64_t begin = typed_stamp(t, at.state);
  sb_error err;
  sb_status status;

  c.action = actions[rng_below(&l->rng, 5)];
  c.fails = rng_chance(&l->rng, 30);
  status = h->map != NULL
           ? sb_map_update(h->map, typed_subkey(&l->sp, at.subkey),
                           typed_changed, &c, &err)
           : sb_value_update(h->value, typed_changed, &c, &err);
  batches_settled(t, space_cell(&l->sp, at), status);
  if ((c.calls == 1 && c.fails && status == SB_CANCELLED) ||
      job_tolerates(t->job, status, &err, "a typed update"))
    return;
  if (c.calls != 1 || c.fails)
    sim_fail(&l->s, SIM_WRONG, "a typed update calls its function %d times",
             c.calls);
  if (c.action == SB_UPDATE_REMOVE)
    act_set(t, space_cell(&l->sp, at), cell_absent());
  else if (c.action != SB_UPDATE_KEEP)
    typed_set(t, at, c.value, begin);
  typed_settle(t, at, begin, 0);
}

static void
value_put(subtask *t, place at)
{
  value_ref value = typed_value(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_error err;
  sb_status status = sb_value_put(t->handles[at.state].value,
                                  typed_bytes(value, t->bytes), &err);

  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (job_tolerates(t->job, status, &err, "sb_value_put"))
    return;
  typed_set(t, at, value, begin);
  typed_settle(t, at, begin, 0);
}

/* Of the current key and namespace, whatever the kind. */
static void
typed_clear(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  const state_handle *h = &t->handles[at.state];
  sb_error err;
  sb_status status =
    h->value != NULL ? sb_value_clear(h->value, &err)
    : h->list != NULL ? sb_list_clear(h->list, &err)
    : h->map != NULL ? sb_map_clear(h->map, &err)
    : h->reducing != NULL ? sb_reducing_clear(h->reducing, &err)
                          : sb_aggregating_clear(h->aggregating, &err);

  batches_settled(t, space_cell(sp, at), status);
  if (job_tolerates(t->job, status, &err, "a typed clear"))
    return;
  for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys; at.subkey++)
    act_set(t, space_cell(sp, at), cell_absent());
}

/* ---- keys and namespaces ------------------------------------------------ */

/* Which keys an iteration gave; of one namespace, or all. */
typedef struct keys_pass {
  subtask *t;
  uint32_t state, ns;
  int all;
  uint8_t *seen;            /* by key and namespace */
} keys_pass;

/* 1 gone, 0 there, -1 perhaps */
static int
keys_absent(const keys_pass *p, place at)
{
  const space *sp = &p->t->job->l->sp;
  int absent = 1;

  for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
       at.subkey++) {
    int one = cell_is_absent(&p->t->job->m.cells[space_cell(sp, at)],
                             subtask_now_ms(p->t));

    if (one == 0)
      return 0;
    absent = one < 0 ? -1 : absent;
  }
  return absent;
}

static void
keys_row(keys_pass *p, const sb_row *row)
{
  const space *sp = &p->t->job->l->sp;
  uint32_t namespaces = sp->states[p->state].namespaces;
  sb_slice subkey = typed_subkey(sp, 0);
  place at;

  if (space_find(sp, p->state, row->key, row->ns, subkey, &at) != 0 ||
      (!p->all && at.ns != p->ns) ||
      row->key_group != sp->keys[at.key].group)
    sim_fail(&p->t->job->l->s, SIM_WRONG,
             "keys of %s: a key that nobody wrote",
             sp->states[p->state].name);
  if (p->seen[at.key * namespaces + at.ns]++ != 0 || keys_absent(p, at) == 1)
    typed_wrong(p->t, "keys", at, SB_OK, row->key);
}

static void
keys_end(keys_pass *p)
{
  const space *sp = &p->t->job->l->sp;
  uint32_t namespaces = sp->states[p->state].namespaces, i, ns;

  for (i = 0; i < p->t->key_count; i++)
    for (ns = 0; ns < namespaces; ns++) {
      place at = { p->state, p->t->keys[i], ns, 0 };

      if ((p->all || ns == p->ns) && !p->seen[at.key * namespaces + ns] &&
          keys_absent(p, at) == 0)
        typed_wrong(p->t, "keys", at, SB_NOT_FOUND, sb_slice_of(NULL, 0));
    }
}

static void
typed_keys(subtask *t, place at)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[at.state];
  const char *name = s->name;
  keys_pass p = { t, at.state, at.ns, rng_chance(&l->rng, 500), NULL };
  sb_iterator *iterator;
  sb_row row;
  sb_error err;
  sb_status status =
    p.all ? sb_context_keys_and_namespaces(t->context, name, &iterator, &err)
          : sb_context_keys(t->context, &name, 1,
                            typed_namespace(&l->sp, at.state, at.ns),
                            &iterator, &err);

  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "sb_context_keys"))
    return;
  batches_drain(t); /* what is pending would come and go meanwhile */
  p.seen = sim_scratch(&l->s, l->sp.key_count * s->namespaces);
  memset(p.seen, 0, l->sp.key_count * s->namespaces);
  while ((status = sb_iterator_next(iterator, &row, &err)) == SB_OK)
    keys_row(&p, &row);
  if (status == SB_END)
    keys_end(&p);
  else
    (void)job_tolerates(t->job, status, &err, "sb_iterator_next of keys");
  sb_iterator_close(iterator);
  sim_scratch_free(&l->s, p.seen);
}

static void
typed_remove_namespace(subtask *t, place at)
{
  const space *sp = &t->job->l->sp;
  sb_error err;
  sb_status status =
    sb_context_remove_namespace(t->context, sp->states[at.state].name,
                                typed_namespace(sp, at.state, at.ns), &err);
  uint32_t i;

  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "sb_context_remove_namespace"))
    job_give_up(t->job, "some of a namespace may have been removed");
  for (i = 0; i < t->key_count; i++)
    for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
         at.subkey++) {
      at.key = t->keys[i];
      act_set(t, space_cell(sp, at), cell_absent());
    }
}

/* ---- the choice --------------------------------------------------------- */

static void
value_step(subtask *t, place at, uint64_t pick)
{
  if (pick < 400)
    value_get(t, at);
  else if (pick < 700)
    value_put(t, at);
  else
    typed_update(t, at);
}

void
typed_write(subtask *t, place at)
{
  const state_handle *h = &t->handles[at.state];

  if (!typed_enter(t, at))
    return;
  if (h->value != NULL)
    value_put(t, at);
  else if (h->list != NULL)
    list_write(t, at);
  else if (h->map != NULL)
    map_write(t, at);
  else
    fold_write(t, at);
}

void
typed_step(subtask *t, place at)
{
  const state_handle *h = &t->handles[at.state];
  uint64_t pick = rng_below(&t->job->l->rng, 1000);

  if (!typed_enter(t, at))
    return;
  if (pick < 90)
    typed_clear(t, at);
  else if (pick < 110)
    typed_keys(t, at);
  else if (pick < 115)
    typed_remove_namespace(t, at);
  else if (h->value != NULL)
    value_step(t, at, pick);
  else if (h->list != NULL)
    lists_step(t, at, pick);
  else if (h->map != NULL)
    maps_step(t, at, pick);
  else
    folds_step(t, at, pick);
}
