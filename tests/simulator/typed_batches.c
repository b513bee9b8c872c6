/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches through the typed interface. Each is waited for, and its requests
 * are done to the model in the order in which they were submitted: on one key
 * that is the order they must have.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

static void
request_answer(void *arg, sb_status status, sb_slice value,
               const sb_error *err)
{
  typed_request *r = arg;

  if (r->answers++ != 0)
    sim_fail(&r->t->job->l->s, SIM_WRONG, "a request is answered twice");
  r->status = status;
  r->err = *err;
  free(r->seen);
  r->seen = NULL;
  r->seen_len = value.len;
  if (value.data == NULL)
    return;
  r->seen = sim_memory(NULL, value.len + 1);
  memcpy(r->seen, value.data, value.len);
}

void
typed_batches_dispose(subtask *t)
{
  size_t i;

  for (i = 0; i < TYPED_BATCH; i++) {
    free(t->requests[i].seen);
    t->requests[i].seen = NULL;
  }
}

/* ---- making ------------------------------------------------------------- */

static sb_status
request_get(sb_batch *b, const state_handle *h, const sb_place *p,
            sb_slice subkey, typed_request *r, sb_error *err)
{
  if (h->value != NULL)
    return sb_batch_value_get(b, h->value, p, request_answer, r, err);
  if (h->list != NULL)
    return sb_batch_list_get(b, h->list, p, request_answer, r, err);
  if (h->map != NULL)
    return sb_batch_map_get(b, h->map, p, subkey, request_answer, r, err);
  if (h->reducing != NULL)
    return sb_batch_reducing_get(b, h->reducing, p, request_answer, r, err);
  return sb_batch_aggregating_get(b, h->aggregating, p, request_answer, r,
                                  err);
}

static sb_status
request_write(sb_batch *b, const state_handle *h, const sb_place *p,
              sb_slice subkey, sb_slice value, typed_request *r,
              sb_error *err)
{
  if (h->value != NULL)
    return sb_batch_value_put(b, h->value, p, value, request_answer, r, err);
  if (h->list != NULL)
    return sb_batch_list_add(b, h->list, p, value, request_answer, r, err);
  if (h->map != NULL)
    return sb_batch_map_put(b, h->map, p, subkey, value, request_answer, r,
                            err);
  if (h->reducing != NULL)
    return sb_batch_reducing_add(b, h->reducing, p, value, request_answer, r,
                                 err);
  return sb_batch_aggregating_add(b, h->aggregating, p, value,
                                  request_answer, r, err);
}

static sb_status
request_clear(sb_batch *b, const state_handle *h, const sb_place *p,
              typed_request *r, sb_error *err)
{
  if (h->value != NULL)
    return sb_batch_value_clear(b, h->value, p, request_answer, r, err);
  if (h->list != NULL)
    return sb_batch_list_clear(b, h->list, p, request_answer, r, err);
  if (h->map != NULL)
    return sb_batch_map_clear(b, h->map, p, request_answer, r, err);
  if (h->reducing != NULL)
    return sb_batch_reducing_clear(b, h->reducing, p, request_answer, r, err);
  return sb_batch_aggregating_clear(b, h->aggregating, p, request_answer, r,
                                    err);
}

static sb_status
request_add(subtask *t, sb_batch *b, typed_request *r, sb_error *err)
{
  const space *sp = &t->job->l->sp;
  const state_handle *h = &t->handles[r->at.state];
  uint64_t pick = rng_below(&t->job->l->rng, 100);
  sb_slice subkey = typed_subkey(sp, r->at.subkey);
  sb_place p;

  memset(&p, 0, sizeof p);
  p.key = space_key_bytes(sp, r->at.state, r->at.key);
  p.ns = typed_namespace(sp, r->at.state, r->at.ns);
  p.has_hash = 1;
  p.hash = space_hash(sp, sp->keys[r->at.key].group);
  r->value = typed_value(t, r->at.state);
  r->begin = typed_stamp(t, r->at.state);
  r->what = pick < 40 || sp->states[r->at.state].ttl_ms != 0 ? SB_OP_GET
            : pick < 50 ? SB_OP_CLEAR
            : pick < 60 && h->map != NULL ? SB_OP_REMOVE : SB_OP_PUT;
  if (r->what == SB_OP_GET)
    return request_get(b, h, &p, subkey, r, err);
  if (r->what == SB_OP_CLEAR)
    return request_clear(b, h, &p, r, err);
  if (r->what == SB_OP_REMOVE)
    return sb_batch_map_remove(b, h->map, &p, subkey, request_answer, r, err);
  return request_write(b, h, &p, subkey, typed_bytes(r->value, t->bytes), r,
                       err);
}

/* ---- the model ---------------------------------------------------------- */

static void
request_check(typed_request *r)
{
  subtask *t = r->t;
  sb_slice seen = sb_slice_of(r->seen, r->seen_len);
  uint8_t result[8];

  if (r->status == SB_OK && t->handles[r->at.state].aggregating != NULL) {
    fold_shown(t, r->at, result);
    if (seen.len != sizeof result ||
        memcmp(seen.data, result, sizeof result) != 0)
      typed_wrong(t, "batch get", r->at, r->status, seen);
  } else {
    typed_check(t, "batch get", r->at, r->status, seen, 0);
  }
  typed_settle(t, r->at, r->begin, r->status == SB_OK);
}

static void
request_apply(typed_request *r)
{
  subtask *t = r->t;
  space *sp = &t->job->l->sp;
  const space_state *s = &sp->states[r->at.state];
  cell c = t->job->m.cells[space_cell(sp, r->at)];
  place at = r->at;

  if (r->what == SB_OP_CLEAR) {
    for (at.subkey = 0; at.subkey < s->subkeys; at.subkey++)
      act_set(t, space_cell(sp, at), cell_absent());
  } else if (r->what == SB_OP_REMOVE) {
    act_set(t, space_cell(sp, at), cell_absent());
  } else if (s->kind == SB_STATE_LIST) {
    c.list = list_push(sp, at.state, 0, c.list, r->value, 0);
    act_set(t, space_cell(sp, at), c);
  } else if (s->kind == SB_STATE_REDUCING ||
             s->kind == SB_STATE_AGGREGATING) {
    typed_set(t, at, fold_added(t, at, r->value), 0);
  } else {
    typed_set(t, at, r->value, 0);
  }
}

static void
request_done(typed_request *r)
{
  if (r->answers != 1)
    sim_fail(&r->t->job->l->s, SIM_WRONG, "a request is answered %d times",
             r->answers);
  if (r->what == SB_OP_GET && (r->status == SB_OK ||
                               r->status == SB_NOT_FOUND))
    request_check(r);
  else if (!job_tolerates(r->t->job, r->status, &r->err, "a request"))
    request_apply(r);
}

/* ---- a batch ------------------------------------------------------------ */

/* Where records expire only reads: when a request is done is not known. */
static int
request_place(subtask *t, place *at)
{
  uint32_t tries;

  for (tries = 0; tries < 20; tries++)
    if (act_place(t, at) &&
        t->job->l->sp.states[at->state].form == FORM_TYPED &&
        (at->state % 2 == 0 ||
         t->job->l->sp.states[at->state].kind != SB_STATE_VALUE))
      return 1;
  return 0;
}

static size_t
batch_fill(subtask *t, sb_batch *b)
{
  size_t n = 1 + (size_t)rng_skewed(&t->job->l->rng, TYPED_BATCH - 1), i;
  sb_error err;

  for (i = 0; i < n; i++) {
    typed_request *r = &t->requests[i];

    free(r->seen);
    memset(r, 0, sizeof *r);
    r->t = t;
    if (!request_place(t, &r->at) ||
        job_tolerates(t->job, request_add(t, b, r, &err), &err,
                      "adding a request"))
      break;
  }
  return i;
}

static void
batch_run(subtask *t, size_t n)
{
  life *l = t->job->l;
  sb_error err;
  uint32_t tries = 0;
  size_t i;

  while (sb_context_pending(t->context) != 0) {
    size_t count = 0;
    sb_status status = sb_context_poll(t->context,
                                       l->s.now_ns + 1000 * SIM_MS, &count,
                                       &err);

    if (job_tolerates(t->job, status, &err, "sb_context_poll") &&
        status == SB_CANCELLED)
      job_give_up(t->job, "an interrupted handle keeps its requests");
    if (count == 0 && ++tries > 1000)
      sim_fail(&l->s, SIM_WRONG, "%zu requests are never answered",
               sb_context_pending(t->context));
  }
  for (i = 0; i < n; i++)
    request_done(&t->requests[i]);
}

void
typed_batches_step(subtask *t)
{
  sb_batch *b;
  sb_error err;
  size_t n;

  if (t->context == NULL ||
      job_tolerates(t->job, sb_batch_new(t->context, &b, &err), &err,
                    "sb_batch_new"))
    return;
  n = batch_fill(t, b);
  if (!job_tolerates(t->job, sb_batch_submit(b, &err), &err,
                     "sb_batch_submit"))
    batch_run(t, n);
  sb_batch_free(b);
}
