/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous batches. Answers are kept until all that was submitted is out,
 * then the operations are replayed against the model in the order of their
 * submission: on one key that is the order they must have had.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

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
batch_dispose(subtask *t)
{
  batch_clear(t);
  free(t->batch.entries);
}

static int
same_key(const space *sp, size_t a, size_t b)
{
  place x = space_place(sp, a), y = space_place(sp, b);

  return x.state == y.state && x.key == y.key && x.ns == y.ns;
}

int
batch_touches(const subtask *t, size_t index)
{
  size_t i;

  for (i = 0; i < t->batch.count; i++)
    if (same_key(&t->job->l->sp, t->batch.entries[i].cell, index))
      return 1;
  return 0;
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
    e->value.len = (uint32_t)update->len;
    e->expires_ms = update->expires_ms;
    value_fill(e->value, update->data);
  } else if (e->action == SB_UPDATE_PUT) {
    update->replacement = sb_slice_of(e->sent, e->value.len);
    update->expires_ms = e->expires_ms;
  }
  return SB_OK;
}

static uint32_t
entry_kind(life *l, uint32_t state)
{
  uint64_t pick = rng_below(&l->rng, 100);

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
  life *l = t->job->l;

  e->value = act_value(l);
  if (e->op.kind == SB_OP_APPEND)
    e->value.len = e->value.len % 600 + 8;
  e->expires_ms = act_expiry(t, e->value.len);
  e->sent = sim_memory(NULL, e->value.len + 1);
  value_fill(e->value, e->sent);
  e->op.value = sb_slice_of(e->sent, e->value.len);
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
  e->op.struct_size = sizeof e->op;
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
  if (!job_tolerates(t->job, status, &err, "submit"))
    return;
  while (b->count > first) {
    b->count--;
    free(b->entries[b->count].sent);
    free(b->entries[b->count].buffer);
    free(b->entries[b->count].seen);
  }
}

void
batch_get(subtask *t, size_t index)
{
  life *l = t->job->l;
  batch *b = &t->batch;
  place at = space_place(&l->sp, index);
  sb_slice value = { NULL, 0 };
  entry *e = &b->entries[b->count];
  sb_error err;

  if (b->count == LIFE_BATCH_MAX)
    return;
  memset(e, 0, sizeof *e);
  e->subtask = t;
  e->is_sync = 1;
  e->cell = index;
  e->op.kind = SB_OP_GET;
  e->op.key = space_sb_key(&l->sp, at, t->ids[at.state]);
  e->op.status = t->keyed->ops->get(t->keyed, &e->op.key, &value, &err);
  if (e->op.status != SB_NOT_FOUND &&
      job_tolerates(t->job, e->op.status, &err, "get after a batch"))
    return;
  entry_keep(e, value);
  e->out = 1;
  b->count++;
  b->out++;
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
  if (op->kind != SB_OP_GET || op->status != SB_OK)
    return;
  if (e->buffer != NULL && op->result.len <= op->buffer_size &&
      op->result.len != 0 && op->result.data != e->buffer)
    sim_fail(&t->job->l->s, SIM_WRONG,
             "a value that fits is not in the caller's buffer");
  entry_keep(e, op->result);
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
  if (job_tolerates(t->job, status, &err, "poll"))
    return 0;
  if (count > max)
    sim_fail(&l->s, SIM_WRONG, "poll gives more than it may");
  for (i = 0; i < count; i++)
    entry_out(t, done[i]);
  return count;
}

/* ---- replay ------------------------------------------------------------- */

static void
entry_wrong(entry *e, const char *what, sb_status status)
{
  life *l = e->subtask->job->l;
  char want[200], got[100];

  cell_text(&l->sp, e->cell, &e->subtask->job->m.cells[e->cell], want,
            sizeof want);
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
  if (!cell_agrees(sp, space_place(sp, e->cell).state,
                    &t->job->m.cells[e->cell], status,
                    sb_slice_of(e->seen, e->seen_len), subtask_now_ms(t)))
    entry_wrong(e, what, status);
}

static void
entry_write(entry *e)
{
  subtask *t = e->subtask;
  space *sp = &t->job->l->sp;
  place at = space_place(sp, e->cell);
  cell c = { e->value, e->expires_ms, NULL };

  if (e->op.kind == SB_OP_CLEAR) {
    for (at.subkey = 0; at.subkey < sp->states[at.state].subkeys;
         at.subkey++)
      act_set(t, space_cell(sp, at), cell_absent());
  } else if (e->op.kind == SB_OP_APPEND) {
    c = t->job->m.cells[e->cell];
    c.list = list_push(sp, c.list, e->value, e->expires_ms);
    act_set(t, e->cell, c);
  } else if (e->op.kind == SB_OP_REMOVE) {
    act_set(t, e->cell, cell_absent());
  } else {
    act_set(t, e->cell, c);
  }
}

static void
entry_replay(entry *e)
{
  subtask *t = e->subtask;
  sb_status status = e->op.status;
  sb_error err;

  if (e->op.kind == SB_OP_GET && (status == SB_OK || status == SB_NOT_FOUND)) {
    entry_check(e, e->is_sync ? "get after it" : "get", status);
    return;
  }
  if (e->op.kind == SB_OP_PREFETCH)
    return;
  if (status != SB_OK) {
    (void)sb_error_set(&err, status, "operation %u of a batch", e->op.kind);
    (void)job_tolerates(t->job, status, &err, "batch");
    return;
  }
  if (e->op.kind == SB_OP_SCAN_OPEN) {
    walk_take(t, e->op.cursor, e->scan_state, &e->scan, e->mark);
    return;
  }
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

static void
batch_replay(subtask *t)
{
  size_t i;

  for (i = 0; i < t->batch.count; i++)
    entry_replay(&t->batch.entries[i]);
  batch_clear(t);
}

void
batch_drain(subtask *t)
{
  life *l = t->job->l;
  uint32_t tries = 0;

  while (t->batch.out < t->batch.count) {
    if (batch_poll(t, l->s.now_ns + 1000 * SIM_MS) == 0 && ++tries > 1000)
      sim_fail(&l->s, SIM_WRONG, "%zu operations of a batch never come out",
               t->batch.count - t->batch.out);
  }
  batch_replay(t);
}

void
batch_step(subtask *t)
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
  if (b->out == b->count)
    batch_replay(t);
}
