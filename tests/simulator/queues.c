/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues and timers: states that only a queue writes to. What it says is the
 * first, and what it hands out, must be so in the model; what it has is then
 * compared as any state's records are.
 */
#include "config.h"

#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

#define QUEUE_SOME 12       /* elements of one call */
#define QUEUE_NONE UINT32_MAX

/* ---- life --------------------------------------------------------------- */

static sb_status
queue_open_timers(subtask *t, uint32_t state, sb_state_info *info,
                  sb_error *err)
{
  const char *name = t->job->l->sp.states[state].name;
  sb_status status = subtask_need_context(t, err);

  if (status == SB_OK)
    status = sb_timers_open(t->context, name, &t->handles[state].timers, err);
  if (status != SB_OK)
    return status;
  return t->keyed->ops->state_find(t->keyed,
                                   sb_slice_of(name, strlen(name)), info,
                                   err);
}

sb_status
queues_open(subtask *t, uint32_t state, const sb_state_options *options,
            sb_state_info *info, sb_error *err)
{
  life *l = t->job->l;
  sb_queue_options o = { .struct_size = sizeof o };

  if (l->sp.states[state].form == FORM_TIMERS)
    return queue_open_timers(t, state, info, err);
  o.key_group_first = t->group_first;
  o.key_group_last = t->group_last;
  o.state = options;
  o.memory = 1 + rng_skewed(&l->rng, 1u << 17);
  if (l->sp.states[state].form == FORM_RANKED) {
    o.rank = element_rank;
    o.rank_len = ELEMENT_RANK;
  }
  return sb_queue_open(t->keyed, &t->job->process->host, &o, info,
                       &t->handles[state].queue, err);
}

void
queues_close(subtask *t, uint32_t state)
{
  sb_queue_close(t->handles[state].queue);
  memset(&t->handles[state], 0, sizeof t->handles[state]);
}

/* ---- the model ---------------------------------------------------------- */

static int
queue_has(const subtask *t, uint32_t state, uint32_t key)
{
  place at = { state, key, 0, 0 };

  return t->job->m.cells[space_cell(&t->job->l->sp, at)].value.len !=
         MODEL_ABSENT;
}

static void
queue_set(subtask *t, uint32_t state, uint32_t key, int there)
{
  place at = { state, key, 0, 0 };
  cell c = cell_absent();

  if (there)
    c.value = (value_ref){ 0, 0, 0, 0, 0 };
  act_set(t, space_cell(&t->job->l->sp, at), c);
}

/* The element that is polled after one of this turn; QUEUE_NONE. */
static uint32_t
queue_next(const subtask *t, uint32_t state, uint32_t after)
{
  const space_element *elements = t->job->l->sp.states[state].elements;
  uint32_t i, found = QUEUE_NONE;

  for (i = 0; i < t->key_count; i++) {
    uint32_t key = t->keys[i];

    if ((after == QUEUE_NONE || elements[key].turn > after) &&
        queue_has(t, state, key) &&
        (found == QUEUE_NONE || elements[key].turn < elements[found].turn))
      found = key;
  }
  return found;
}

static uint32_t
queue_first(const subtask *t, uint32_t state)
{
  return queue_next(t, state, QUEUE_NONE);
}

/* What the queue knows an element by. */
static sb_slice
queue_bytes(const subtask *t, uint32_t state, uint32_t key)
{
  const space *sp = &t->job->l->sp;
  sb_slice record = space_key_bytes(sp, state, key);
  size_t skip = sp->states[state].form == FORM_RANKED ? ELEMENT_RANK : 0;

  return sb_slice_of((const uint8_t *)record.data + skip, record.len - skip);
}

static void
queue_wrong(const subtask *t, uint32_t state, const char *what, uint32_t want,
            sb_status status)
{
  const space_element *e =
    &t->job->l->sp.states[state].elements[want == QUEUE_NONE ? 0 : want];

  if (want == QUEUE_NONE)
    sim_fail(&t->job->l->s, SIM_WRONG,
             "%s of queue %u: there is none; the answer is %s", what, state,
             sb_status_name(status));
  sim_fail(&t->job->l->s, SIM_WRONG,
           "%s of queue %u: key %u of group %u, turn %u; the answer is %s",
           what, state, want, e->record.group, e->turn,
           status == SB_OK ? "another" : sb_status_name(status));
}

static void
queue_check(const subtask *t, uint32_t state, const char *what, uint32_t want,
            sb_status status, const sb_queue_element *got)
{
  sb_slice bytes;

  t->job->l->did.queue_answers++;
  if (want == QUEUE_NONE && status == SB_END)
    return;
  if (want == QUEUE_NONE || status != SB_OK)
    queue_wrong(t, state, what, want, status);
  bytes = queue_bytes(t, state, want);
  if (got->key_group != t->job->l->sp.keys[want].group ||
      got->bytes.len != bytes.len ||
      memcmp(got->bytes.data, bytes.data, bytes.len) != 0)
    queue_wrong(t, state, what, want, status);
}

/* ---- changes ------------------------------------------------------------ */

static void
queue_check_head(const subtask *t, uint32_t state, const char *what,
                 uint32_t before, const int *changed)
{
  if (changed != NULL && *changed != (before != queue_first(t, state)))
    sim_fail(&t->job->l->s, SIM_WRONG, "%s of queue %u: another is the first "
             "is said to be %d", what, state, *changed);
}

/* The current key of a timer: any hash of its key group will do. */
static sb_status
queue_set_timer(subtask *t, uint32_t state, uint32_t key, int64_t *time_ms,
                sb_error *err)
{
  const space *sp = &t->job->l->sp;
  const space_element *e = &sp->states[state].elements[key];
  const space_key *ns = &sp->namespaces[e->ns];
  sb_status status =
    sb_context_set_key_hash(t->context, sb_slice_of(sp->keys[e->key].data,
                                                    sp->keys[e->key].len),
                            space_hash(sp, e->record.group), err);

  *time_ms = e->time_ms;
  if (status == SB_OK)
    status = sb_context_set_namespace(t->context,
                                      sb_slice_of(ns->data, ns->len), err);
  return status;
}

static sb_status
queue_change(subtask *t, uint32_t state, uint32_t key, int adds, int *changed,
             sb_error *err)
{
  state_handle *q = &t->handles[state];
  sb_slice bytes = queue_bytes(t, state, key);
  uint32_t group = t->job->l->sp.keys[key].group;
  int64_t time_ms;
  sb_status status;

  if (q->timers == NULL)
    return adds ? sb_queue_add(q->queue, group, bytes, changed, err)
                : sb_queue_remove(q->queue, group, bytes, changed, err);
  status = queue_set_timer(t, state, key, &time_ms, err);
  if (status != SB_OK)
    return status;
  return adds ? sb_timers_add(q->timers, time_ms, err)
              : sb_timers_remove(q->timers, time_ms, err);
}

static void
queue_change_one(subtask *t, uint32_t state, uint32_t key, int adds)
{
  life *l = t->job->l;
  int changed = 2;
  int *ask = l->sp.states[state].form != FORM_TIMERS &&
             rng_chance(&l->rng, 300) ? &changed : NULL;
  uint32_t before = queue_first(t, state);
  sb_error err;
  sb_status status = queue_change(t, state, key, adds, ask, &err);

  batches_sync(t);
  if (job_tolerates(t->job, status, &err, adds ? "a queue's add"
                                               : "a queue's remove"))
    return;
  if (adds || queue_has(t, state, key))
    queue_set(t, state, key, adds);
  queue_check_head(t, state, adds ? "add" : "remove", before, ask);
}

void
queues_add(subtask *t, place at)
{
  queue_change_one(t, at.state, at.key, 1);
}

/* After a failure some may have been added: so it goes on until all are. */
static void
queue_add_all(subtask *t, uint32_t state)
{
  life *l = t->job->l;
  sb_queue_element elements[QUEUE_SOME];
  uint32_t keys[QUEUE_SOME], tries = 0, before = queue_first(t, state);
  size_t count = (size_t)rng_range(&l->rng, 0, QUEUE_SOME), i;
  int changed = 2, *ask = rng_chance(&l->rng, 300) ? &changed : NULL;
  sb_error err;

  for (i = 0; i < count; i++) {
    keys[i] = t->keys[rng_below(&l->rng, t->key_count)];
    elements[i].bytes = queue_bytes(t, state, keys[i]);
    elements[i].key_group = l->sp.keys[keys[i]].group;
    elements[i].reserved = 0;
  }
  while (job_tolerates(t->job, sb_queue_add_all(t->handles[state].queue,
                                                elements, count, ask, &err),
                       &err, "a queue's add_all")) {
    ask = NULL;
    if (err.status == SB_CANCELLED || ++tries > 10)
      job_give_up(t->job, "add_all may have added some");
    sim_sleep(&l->s, rng_range(&l->rng, 1, 100) * SIM_MS);
  }
  batches_sync(t);
  for (i = 0; i < count; i++)
    queue_set(t, state, keys[i], 1);
  queue_check_head(t, state, "add_all", before, ask);
}

/* ---- polling ------------------------------------------------------------ */

static int
queue_is_due(const subtask *t, uint32_t state, uint32_t key, sb_slice until)
{
  sb_slice record = space_key_bytes(&t->job->l->sp, state, key);
  size_t n = record.len < until.len ? record.len : until.len;

  return n == 0 || memcmp(record.data, until.data, n) <= 0;
}

static sb_slice
queue_until(subtask *t, uint32_t state)
{
  life *l = t->job->l;
  uint32_t key = t->keys[rng_below(&l->rng, t->key_count)];
  sb_slice record = space_key_bytes(&l->sp, state, key);

  if (rng_chance(&l->rng, 300))
    record.len = 0;
  else if (rng_chance(&l->rng, 500))
    record.len = 1 + (size_t)rng_below(&l->rng, record.len);
  return record;
}

static void
queue_poll(subtask *t, uint32_t state)
{
  sb_slice until = queue_until(t, state);
  uint32_t first = queue_first(t, state);
  sb_queue_element got;
  sb_error err;
  sb_status status = sb_queue_poll(t->handles[state].queue, until, &got, &err);

  batches_sync(t);
  if (status != SB_END && job_tolerates(t->job, status, &err,
                                        "a queue's poll"))
    return;
  if (first != QUEUE_NONE && !queue_is_due(t, state, first, until))
    first = QUEUE_NONE;
  queue_check(t, state, "poll", first, status, &got);
  if (first != QUEUE_NONE)
    queue_set(t, state, first, 0);
}

/* Fewer than there are may come when some cannot be taken; those that come are
   in order still. */
static void
queue_poll_batch(subtask *t, uint32_t state)
{
  life *l = t->job->l;
  sb_queue_element got[QUEUE_SOME];
  sb_slice until = queue_until(t, state);
  size_t max = 1 + (size_t)rng_below(&l->rng, QUEUE_SOME), count = 0, i = 0;
  uint64_t faults = l->b.faults + t->job->process->alloc_failures;
  uint32_t next = queue_first(t, state);
  int partly;
  sb_error err;
  sb_status status = sb_queue_poll_batch(t->handles[state].queue, until, got,
                                         max, &count, &err);

  batches_sync(t);
  if (status != SB_END && job_tolerates(t->job, status, &err,
                                        "a queue's poll_batch"))
    return;
  partly = faults != l->b.faults + t->job->process->alloc_failures ||
           job_is_old(t->job) || t->job->interrupted;
  while (next != QUEUE_NONE && queue_is_due(t, state, next, until) &&
         i < (partly ? count : max)) {
    uint32_t turn = l->sp.states[state].elements[next].turn;

    if (partly && (got[i].key_group != l->sp.keys[next].group)) {
      next = queue_next(t, state, turn);
      continue;
    }
    queue_check(t, state, "poll_batch", next,
                i < count ? SB_OK : SB_END, &got[i < count ? i : 0]);
    queue_set(t, state, next, 0);
    next = queue_next(t, state, turn);
    i++;
  }
  if (i != count)
    sim_fail(&l->s, SIM_WRONG, "poll_batch of queue %u: %zu elements, not "
             "%zu", state, count, i);
}

static void
queue_peek(subtask *t, uint32_t state)
{
  sb_queue *q = t->handles[state].queue;
  uint32_t first = queue_first(t, state), next;
  sb_queue_element got;
  uint64_t size = 0, count = 0;
  sb_error err;
  sb_status status = sb_queue_peek(q, &got, &err);

  batches_sync(t);
  if (status != SB_END && job_tolerates(t->job, status, &err,
                                        "a queue's peek"))
    return;
  queue_check(t, state, "peek", first, status, &got);
  status = sb_queue_size(q, &size, &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "a queue's size"))
    return;
  for (next = first; next != QUEUE_NONE; count++)
    next = queue_next(t, state,
                      t->job->l->sp.states[state].elements[next].turn);
  if (size != count)
    sim_fail(&t->job->l->s, SIM_WRONG, "queue %u has %llu elements, not %llu",
             state, (unsigned long long)count, (unsigned long long)size);
}

/* ---- iteration ---------------------------------------------------------- */

typedef struct queue_pass {
  subtask *t;
  uint32_t state, first, last, before; /* the element before this one */
  size_t mark;
  uint8_t *seen;            /* by key */
} queue_pass;

static void
queue_pass_row(queue_pass *p, const sb_queue_element *got)
{
  subtask *t = p->t;
  const space *sp = &t->job->l->sp;
  uint32_t i, key = QUEUE_NONE;
  place at = { p->state, 0, 0, 0 };

  for (i = 0; i < t->key_count; i++) {
    sb_slice bytes = queue_bytes(t, p->state, t->keys[i]);

    if (sp->keys[t->keys[i]].group == got->key_group &&
        bytes.len == got->bytes.len &&
        memcmp(bytes.data, got->bytes.data, bytes.len) == 0)
      key = t->keys[i];
  }
  at.key = key;
  if (key == QUEUE_NONE || p->seen[key]++ != 0 || got->key_group < p->first ||
      got->key_group > p->last ||
      (!queue_has(t, p->state, key) &&
       !model_changed_since(&t->job->m, space_cell(sp, at), p->mark)))
    sim_fail(&t->job->l->s, SIM_WRONG, "iterating over queue %u: an element "
             "that is not there, or comes twice", p->state);
  if (p->before != QUEUE_NONE &&
      (sp->keys[p->before].group > sp->keys[key].group ||
       (sp->keys[p->before].group == sp->keys[key].group &&
        sp->states[p->state].elements[p->before].turn >
          sp->states[p->state].elements[key].turn)))
    sim_fail(&t->job->l->s, SIM_WRONG, "iterating over queue %u: key %u "
             "comes after %u", p->state, key, p->before);
  p->before = key;
}

static void
queue_pass_end(queue_pass *p)
{
  subtask *t = p->t;
  const space *sp = &t->job->l->sp;
  uint32_t i;

  for (i = 0; i < t->key_count; i++) {
    place at = { p->state, t->keys[i], 0, 0 };

    if (queue_has(t, p->state, at.key) && !p->seen[at.key] &&
        sp->keys[at.key].group >= p->first &&
        sp->keys[at.key].group <= p->last &&
        !model_changed_since(&t->job->m, space_cell(sp, at), p->mark))
      sim_fail(&t->job->l->s, SIM_WRONG,
               "iterating over queue %u: key %u is missing", p->state,
               at.key);
  }
}

static void
queue_iterate(subtask *t, uint32_t state)
{
  life *l = t->job->l;
  queue_pass p = { t, state, 0, 0, QUEUE_NONE, t->job->m.log_count, NULL };
  sb_queue_iterator *iterator;
  sb_queue_element got;
  sb_error err;
  sb_status status;

  p.first = (uint32_t)rng_range(&l->rng, t->group_first, t->group_last);
  p.last = (uint32_t)rng_range(&l->rng, p.first, t->group_last);
  status = sb_queue_iterate(t->handles[state].queue, p.first, p.last,
                            &iterator, &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "a queue's iterate"))
    return;
  p.mark = t->job->m.log_count;
  p.seen = sim_scratch(&l->s, l->sp.key_count);
  memset(p.seen, 0, l->sp.key_count);
  while ((status = sb_queue_next(iterator, &got, &err)) == SB_OK) {
    batches_sync(t);
    queue_pass_row(&p, &got);
    if (rng_chance(&l->rng, 100))
      queue_change_one(t, state, t->keys[rng_below(&l->rng, t->key_count)],
                       rng_chance(&l->rng, 500));
  }
  batches_sync(t);
  if (status == SB_END)
    queue_pass_end(&p);
  else
    (void)job_tolerates(t->job, status, &err, "a queue's next");
  sb_queue_iterator_close(iterator);
  sim_scratch_free(&l->s, p.seen);
}

/* ---- timers ------------------------------------------------------------- */

static int
timer_is(const subtask *t, uint32_t state, uint32_t key, const sb_timer *got)
{
  const space *sp = &t->job->l->sp;
  const space_element *e = &sp->states[state].elements[key];
  const space_key *k = &sp->keys[e->key], *ns = &sp->namespaces[e->ns];

  return got->time_ms == e->time_ms && got->key.len == k->len &&
         memcmp(got->key.data, k->data, k->len) == 0 &&
         got->ns.len == ns->len &&
         (ns->len == 0 || memcmp(got->ns.data, ns->data, ns->len) == 0);
}

static void
timer_check_current(subtask *t, const sb_timer *got)
{
  sb_slice key = sb_context_key(t->context);
  sb_slice ns = sb_context_namespace(t->context);

  if (key.len != got->key.len || ns.len != got->ns.len ||
      memcmp(key.data, got->key.data, key.len) != 0 ||
      (ns.len != 0 && memcmp(ns.data, got->ns.data, ns.len) != 0))
    sim_fail(&t->job->l->s, SIM_WRONG,
             "a timer is polled, but its key is not the current one");
}

static void
timers_poll(subtask *t, uint32_t state, int takes)
{
  life *l = t->job->l;
  const space_element *elements = l->sp.states[state].elements;
  sb_timers *timers = t->handles[state].timers;
  uint32_t first = queue_first(t, state);
  int64_t until = rng_chance(&l->rng, 300)
                    ? INT64_MAX
                    : elements[rng_below(&l->rng, l->sp.key_count)].time_ms;
  sb_timer got;
  sb_error err;
  sb_status status = takes ? sb_timers_poll(timers, until, &got, &err)
                           : sb_timers_peek(timers, &got, &err);

  batches_sync(t);
  if (status != SB_END && job_tolerates(t->job, status, &err,
                                        takes ? "a timers' poll"
                                              : "a timers' peek"))
    return;
  l->did.queue_answers++;
  if (takes && first != QUEUE_NONE && elements[first].time_ms > until)
    first = QUEUE_NONE;
  if ((status == SB_OK) != (first != QUEUE_NONE) ||
      (first != QUEUE_NONE && !timer_is(t, state, first, &got)))
    queue_wrong(t, state, takes ? "poll" : "peek", first, status);
  if (!takes || first == QUEUE_NONE)
    return;
  timer_check_current(t, &got);
  queue_set(t, state, first, 0);
}

/* ---- the choice --------------------------------------------------------- */

void
queues_step(subtask *t, place at)
{
  uint64_t pick = rng_below(&t->job->l->rng, 1000);
  int timers = t->handles[at.state].timers != NULL;

  if (pick < 400)
    queue_change_one(t, at.state, at.key, 1);
  else if (pick < 550)
    queue_change_one(t, at.state, at.key, 0);
  else if (timers)
    timers_poll(t, at.state, pick < 850);
  else if (pick < 650)
    queue_add_all(t, at.state);
  else if (pick < 800)
    queue_poll(t, at.state);
  else if (pick < 900)
    queue_poll_batch(t, at.state);
  else if (pick < 960)
    queue_peek(t, at.state);
  else
    queue_iterate(t, at.state);
}
