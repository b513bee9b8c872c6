/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous batches. An operation is done to the model when the engine has
 * done it, which its status tells before it comes out of poll; in the order of
 * submission, as on one key that is the order they must have. So the model is
 * exact at every moment, and synchronous calls, cursors, views and snapshots
 * need not wait for what is pending.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

#define ENTRY_PENDING ((sb_status)9999) /* the engine has not got to it */

static void
entry_keep(entry *e, sb_slice bytes)
{
  free(e->seen);
  e->seen = sim_memory(NULL, bytes.len + 1);
  if (bytes.len != 0)
    memcpy(e->seen, bytes.data, bytes.len);
  e->seen_len = bytes.len;
}

static void
batch_clear(subtask *t)
{
  size_t i;

  for (i = 0; i < t->batch.count; i++) {
    free(t->batch.entries[i].seen);
    free(t->batch.entries[i].buffer);
    free(t->batch.entries[i].sent);
  }
  t->batch.count = t->batch.out = 0;
}

void
batches_dispose(subtask *t)
{
  batch_clear(t);
  free(t->batch.entries);
}

/* ---- the model ---------------------------------------------------------- */

static void
entry_wrong(entry *e, const char *what, sb_status status)
{
  life *l = e->subtask->job->l;
  char want[200], got[100];

  cell_text(&l->sp, e->cell, &e->want, want, sizeof want);
  answer_text(status, sb_slice_of(e->seen, e->seen_len), got, sizeof got);
  sim_fail(&l->s, SIM_WRONG, "batch: %s: %s; the answer is %s", what, want,
           got);
}

static void
entry_check(entry *e, const char *what, sb_status status)
{
  subtask *t = e->subtask;
  const space *sp = &t->job->l->sp;

  t->job->l->did.compared++;
  if (!cell_agrees(sp, space_place(sp, e->cell).state, &e->want, status,
                   sb_slice_of(e->seen, e->seen_len), e->from_ms,
                   subtask_now_ms(t)))
    entry_wrong(e, what, status);
}

static void
entry_write(entry *e)
{
  subtask *t = e->subtask;
  space *sp = &t->job->l->sp;
  place at = space_place(sp, e->cell);
  cell c = { e->value, e->expires_ms, NULL, 0, 0 };

  if (e->op.kind == SB_OP_CLEAR) {
    for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
         at.subkey++)
      act_set(t, space_cell(sp, at), cell_absent());
  } else if (e->op.kind == SB_OP_APPEND) {
    c = t->job->m.cells[e->cell];
    c.list = list_push(sp, at.state, t->job->ttls[at.state], c.list, e->value, e->expires_ms);
    act_set(t, e->cell, c);
  } else if (e->op.kind == SB_OP_REMOVE) {
    act_set(t, e->cell, cell_absent());
  } else {
    act_set(t, e->cell, c);
  }
}

static void
entry_apply(entry *e)
{
  subtask *t = e->subtask;
  sb_status status = e->op.status;
  sb_error err;

  e->is_applied = 1;
  e->want = t->job->m.cells[e->cell];
  if (e->op.kind == SB_OP_PREFETCH ||
      (e->op.kind == SB_OP_GET && status == SB_NOT_FOUND))
    return;
  if (status != SB_OK) {
    (void)sb_error_set(&err, status, "operation %u of a batch", e->op.kind);
    (void)job_tolerates(t->job, status, &err, "batch");
    return;
  }
  if (e->op.kind == SB_OP_GET || e->op.kind == SB_OP_SCAN_OPEN)
    return;
  if (e->op.kind == SB_OP_UPDATE) {
    if (e->saw_exists < 0)
      entry_wrong(e, "update was not called", SB_OK);
    entry_check(e, "update", e->saw_exists ? SB_OK : SB_NOT_FOUND);
    if (e->action == SB_UPDATE_KEEP ||
        (e->action == SB_UPDATE_REMOVE && !e->saw_exists))
      return;
    if (e->action == SB_UPDATE_REMOVE) {
      act_set(t, e->cell, cell_absent());
      return;
    }
  }
  entry_write(e);
}

void
batches_sync(subtask *t)
{
  size_t i;

  for (i = 0; i < t->batch.count; i++) {
    entry *e = &t->batch.entries[i];

    if (!e->is_applied && e->op.status != ENTRY_PENDING)
      entry_apply(e);
  }
}

static int
same_key(const space *sp, size_t a, size_t b)
{
  place x = space_place(sp, a), y = space_place(sp, b);

  return x.state == y.state && x.key == y.key && x.ns == y.ns;
}

void
batches_settled(subtask *t, size_t index, sb_status status)
{
  const space *sp = &t->job->l->sp;
  size_t i;

  batches_sync(t);
  for (i = 0; i < t->batch.count; i++) {
    const entry *e = &t->batch.entries[i];

    if ((status == SB_OK || status == SB_NOT_FOUND) && !e->is_applied &&
        e->op.kind != SB_OP_SCAN_OPEN && same_key(sp, e->cell, index))
      sim_fail(&t->job->l->s, SIM_WRONG,
               "a synchronous call on a key overtakes a batch");
  }
}

/* ---- making ------------------------------------------------------------- */

static sb_status
entry_update(void *arg, sb_update *update)
{
  entry *e = arg;

  if (e->saw_exists >= 0)
    sim_fail(&e->subtask->job->l->s, SIM_WRONG,
             "an update of a batch is called twice");
  e->saw_exists = update->exists != 0;
  entry_keep(e, sb_slice_of(update->data, update->len));
  if (e->action == SB_UPDATE_IN_PLACE && update->len == 0)
    e->action = SB_UPDATE_KEEP;
  update->action = e->action;
  if (e->action == SB_UPDATE_IN_PLACE) {
    value_resize(&e->value, update->len);
    e->expires_ms = update->expires_ms;
    value_fill(e->value, update->data);
  } else if (e->action == SB_UPDATE_PUT) {
    update->replacement = sb_slice_of(e->sent, value_size(e->value));
    update->expires_ms = e->expires_ms;
  }
  return SB_OK;
}

static uint32_t
entry_kind(life *l, uint32_t state)
{
  uint64_t pick = rng_below(&l->rng, 100);

  if (l->sp.states[state].form != FORM_RAW) /* only reads */
    return pick < 70 ? SB_OP_GET : pick < 85 ? SB_OP_PREFETCH
                                             : SB_OP_SCAN_OPEN;

  if (pick < 40)
    return SB_OP_GET;
  if (pick < 50)
    return SB_OP_REMOVE;
  if (pick < 55)
    return SB_OP_CLEAR;
  if (pick < 62)
    return SB_OP_PREFETCH;
  if (pick < 66)
    return SB_OP_SCAN_OPEN;
  if (l->sp.states[state].kind == SB_STATE_LIST)
    return SB_OP_APPEND;
  return pick < 83 ? SB_OP_PUT : SB_OP_UPDATE;
}

static void
entry_fill_value(subtask *t, entry *e)
{
  uint32_t state = space_place(&t->job->l->sp, e->cell).state;

  e->value = act_value(t, state);
  if (e->op.kind == SB_OP_APPEND)
    e->value.len = e->value.len % 600 + 8;
  e->expires_ms = act_expiry(t, state, e->value.len);
  e->sent = sim_memory(NULL, value_size(e->value) + 1);
  value_fill(e->value, e->sent);
  e->op.value = sb_slice_of(e->sent, value_size(e->value));
  e->op.expires_ms = e->expires_ms;
}

static int
entry_make(subtask *t, entry *e)
{
  static const uint32_t actions[] = { SB_UPDATE_KEEP, SB_UPDATE_IN_PLACE,
                                      SB_UPDATE_PUT, SB_UPDATE_REMOVE };
  life *l = t->job->l;
  uint32_t state;
  place at;

  memset(e, 0, sizeof *e);
  if (!act_place(t, &at))
    return 0;
  e->subtask = t;
  e->cell = space_cell(&l->sp, at);
  e->saw_exists = -1;
  e->mark = t->job->m.log_count;
  e->from_ms = subtask_from_ms(t, at.state);
  e->op.struct_size = sizeof e->op;
  e->op.status = ENTRY_PENDING;
  e->op.kind = entry_kind(l, at.state);
  e->op.key = space_sb_key(&l->sp, at, t->ids[at.state]);
  e->op.tag = e;
  e->action = actions[rng_below(&l->rng, 4)];
  if (e->op.kind == SB_OP_PUT || e->op.kind == SB_OP_APPEND ||
      e->op.kind == SB_OP_UPDATE)
    entry_fill_value(t, e);
  if (e->op.kind == SB_OP_UPDATE) {
    e->op.value = sb_slice_of(NULL, 0);
    e->op.expires_ms = 0;
    e->op.update = entry_update;
    e->op.update_arg = e;
  }
  if (e->op.kind == SB_OP_GET && rng_chance(&l->rng, 500)) {
    e->op.buffer_size = (size_t)rng_skewed(&l->rng, l->value_max);
    e->buffer = sim_memory(NULL, e->op.buffer_size + 1);
    e->op.buffer = e->buffer;
  }
  if (e->op.kind == SB_OP_SCAN_OPEN) {
    if (!walk_options(t, &e->scan, &state, 1))
      return 0;
    e->scan_state = state;
    e->op.scan = &e->scan;
  }
  return 1;
}

static void
batch_submit(subtask *t)
{
  life *l = t->job->l;
  batch *b = &t->batch;
  sb_op *ops[LIFE_BATCH_MAX];
  size_t n = (size_t)rng_skewed(&l->rng, LIFE_BATCH_MAX - b->count), i;
  size_t first = b->count;
  sb_error err;
  sb_status status;

  if (b->entries == NULL)
    b->entries = sim_memory(NULL, LIFE_BATCH_MAX * sizeof *b->entries);
  for (i = 0; i < n; i++)
    if (entry_make(t, &b->entries[b->count]))
      b->count++;
  n = b->count - first;
  for (i = 0; i < n; i++)
    ops[i] = &b->entries[first + i].op;
  if (n == 0)
    return;
  status = t->keyed->ops->submit(t->keyed, ops, n, &err);
  batches_sync(t);
  if (!job_tolerates(t->job, status, &err, "submit"))
    return;
  while (b->count > first) {
    b->count--;
    free(b->entries[b->count].sent);
    free(b->entries[b->count].buffer);
    free(b->entries[b->count].seen);
  }
}

/* ---- polling ------------------------------------------------------------ */

static void
entry_out(subtask *t, sb_op *op)
{
  entry *e = op->tag;
  size_t i = (size_t)(e - t->batch.entries);

  if (i >= t->batch.count || op != &e->op || e->out)
    sim_fail(&t->job->l->s, SIM_WRONG,
             "poll gives an operation that is not out there");
  e->out = 1;
  t->batch.out++;
  if (op->kind == SB_OP_SCAN_OPEN && op->status == SB_OK)
    walk_take(t, op->cursor, e->scan_state, &e->scan, e->mark, 0);
  if (op->kind == SB_OP_GET && op->status == SB_NOT_FOUND)
    entry_check(e, "get", SB_NOT_FOUND);
  if (op->kind != SB_OP_GET || op->status != SB_OK)
    return;
  if (e->buffer != NULL && op->result.len <= op->buffer_size &&
      op->result.len != 0 && op->result.data != e->buffer)
    sim_fail(&t->job->l->s, SIM_WRONG,
             "a value that fits is not in the caller's buffer");
  entry_keep(e, op->result);
  entry_check(e, "get", SB_OK);
}

static size_t
batch_poll(subtask *t, uint64_t deadline_ns)
{
  life *l = t->job->l;
  sb_op *done[LIFE_BATCH_MAX];
  size_t count = 0, i, max = (size_t)rng_range(&l->rng, 1, LIFE_BATCH_MAX);
  sb_error err;
  sb_status status;

  status = t->keyed->ops->poll(t->keyed, done, max, &count, deadline_ns,
                               &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "poll"))
    return 0;
  if (count > max)
    sim_fail(&l->s, SIM_WRONG, "poll gives more than it may");
  for (i = 0; i < count; i++)
    entry_out(t, done[i]);
  if (t->batch.out == t->batch.count)
    batch_clear(t);
  return count;
}

void
batches_drain(subtask *t)
{
  life *l = t->job->l;
  uint32_t tries = 0;

  /* An interrupted handle gives all back, too. */
  while (t->batch.out < t->batch.count) {
    if (batch_poll(t, l->s.now_ns + 1000 * SIM_MS) == 0 && ++tries > 1000)
      sim_fail(&l->s, SIM_WRONG, "%zu operations of a batch never come out",
               t->batch.count - t->batch.out);
  }
}

void
batches_step(subtask *t)
{
  life *l = t->job->l;
  batch *b = &t->batch;

  if (b->count == 0 || (b->count < LIFE_BATCH_MAX &&
                        rng_chance(&l->rng, 300))) {
    batch_submit(t);
    return;
  }
  (void)batch_poll(t, rng_chance(&l->rng, 500)
                      ? 0 : l->s.now_ns + rng_skewed(&l->rng, 20 * SIM_MS));
}
