/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an operation: submitted, of effect, answered. A process's crash
 * takes the answer away, not the effect.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/bucket_store.h"
#include "tests/simulator/item.h"

static const char *const bucket_kind_names[BUCKET_KINDS] = {
  "get", "put", "write", "head", "list", "remove", "copy", "abort"
};

void
bucket_init(bucket *b, sim *s, uint32_t flags)
{
  memset(b, 0, sizeof *b);
  b->sim = s;
  b->rng = rng_of(s->seed, 2);
  b->info.struct_size = sizeof b->info;
  b->info.flags = flags;
  b->info.root = "sim:bucket";
  b->info.object_size_max = 1ull << 40;
  b->info.part_size = 8u << 20;
  b->latency_min_ns = SIM_MS / 10;
  b->latency_max_ns = 5 * SIM_MS;
  b->late_max_ns = 2000 * SIM_MS;
}

static void
op_free(bucket_op *op)
{
  bucket *b = op->bucket;
  uint64_t i;

  if (op->prev != NULL)
    op->prev->next = op->next;
  else
    b->ops = op->next;
  if (op->next != NULL)
    op->next->prev = op->prev;
  b->ops_count--;
  objects_unref(op->data);
  objects_meta_free(op->meta, op->meta_count);
  for (i = 0; i < op->name_count; i++)
    free(op->names[i]);
  for (i = 0; i < op->entry_count; i++)
    free((void *)(uintptr_t)op->entries[i].name);
  free(op->names);
  free(op->outcomes);
  free(op->entries);
  free(op->name);
  free(op->source);
  free(op->if_match);
  free(op->prefix);
  free(op->start_after);
  free(op);
}

void
bucket_dispose(bucket *b)
{
  while (b->ops != NULL)
    op_free(b->ops);
  objects_dispose(b);
}

size_t
bucket_pending(const bucket *b)
{
  return b->ops_count;
}

static void
op_maybe_free(bucket_op *op)
{
  if (!op->waiting_effect && !op->waiting_answer)
    op_free(op);
}

/* The crash: nobody waits for answers any more. */
static void
bucket_crashed(sim_process *process)
{
  while (process->stores != NULL) {
    bucket_store *store = process->stores;
    bucket_op *op = store->bucket->ops;

    while (op != NULL) {
      bucket_op *next = op->next;

      if (op->store == store) {
        op->store = NULL;
        op->process = NULL;
        op->body = NULL;
        op->waiting_answer = 0;
        op_maybe_free(op);
      }
      op = next;
    }
    process->stores = store->next;
    while (store->streams != NULL)
      stream_free(store->streams);
    free(store);
  }
}

static int
crash_now(bucket_op *op, uint32_t moment)
{
  sim_process *process = op->process;

  if (process == NULL || !op->crashes || process->crash_moment != moment)
    return 0;
  sim_say(op->bucket->sim, "%s: crash at %s of \"%s\", moment %u",
          process->name, bucket_kind_names[op->kind],
          op->name == NULL ? "" : op->name, moment);
  sim_crash(process);
  return 1;
}

/* ---- answers ------------------------------------------------------------ */

static void
op_check_body(const bucket_op *op)
{
  uint64_t i, at = 0;

  if (op->body == NULL || op->data == NULL)
    return;
  for (i = 0; i < op->body_count; i++) {
    if (op->body[i].len != 0 &&
        memcmp(op->body[i].data, op->data->bytes + at, op->body[i].len) != 0)
      sim_fail(op->bucket->sim, SIM_WRONG,
               "the body of \"%s\" has changed before its put was done",
               op->name);
    at += op->body[i].len;
  }
}

static void
op_deliver_bytes(bucket_op *op, sb_store_result *result)
{
  bucket *b = op->bucket;

  if (op->status != SB_OK || op->kind != BUCKET_GET)
    return;
  if (op->length != 0)
    memcpy(op->buffer, op->data->bytes + op->offset, (size_t)op->length);
  result->length = op->length;
  if (op->length != 0 && b->unkind && rng_chance(&b->rng, b->flip)) {
    uint64_t at = rng_below(&b->rng, op->length);

    ((uint8_t *)op->buffer)[at] ^= (uint8_t)(1u << rng_below(&b->rng, 8));
    b->flips++;
    sim_say(b->sim, "flip in \"%s\" at %llu", op->name,
            (unsigned long long)(op->offset + at));
  }
}

static void
op_result(bucket_op *op, sb_store_result *result, sb_error *err)
{
  memset(result, 0, sizeof *result);
  result->struct_size = sizeof *result;
  result->status = op->status;
  if (op->status != SB_OK) {
    result->error = err;
    (void)sb_error_set(err, op->status, "simulated: %s \"%s\": %s",
                       bucket_kind_names[op->kind],
                       op->name == NULL ? "" : op->name,
                       sb_status_name(op->status));
  } else {
    result->size = op->size;
    memcpy(result->etag, op->etag, sizeof op->etag);
    result->meta = op->meta;
    result->meta_count = op->meta_count;
    result->entries = op->entries;
    result->entry_count = op->entry_count;
    result->truncated = op->truncated;
  }
  op_deliver_bytes(op, result);
  if (op->statuses != NULL)
    memcpy(op->statuses, op->outcomes,
           (size_t)op->name_count * sizeof *op->statuses);
}

static void
op_answer(void *arg)
{
  bucket_op *op = arg;
  sb_store_result result;
  sb_error err;
  sb_request base = op->base;

  op->answer = NULL;
  op->waiting_answer = 0;
  if (crash_now(op, BUCKET_CRASH_ANSWERED))
    return; /* the crash frees it */
  op_check_body(op);
  op_result(op, &result, &err);
  sim_trace(op->bucket->sim,
            (uint64_t)(uint32_t)op->status ^ op->number << 32);
  if (op->kind == BUCKET_PUT && op->stream != NULL)
    stream_free(op->stream);
  if (op->kind == BUCKET_ABORT)
    stream_free(op->stream);
  else if (op->kind == BUCKET_WRITE)
    stream_wrote(op);
  op->store->in_flight--;
  if (base.done != NULL)
    base.done(base.arg, &result);
  (void)crash_now(op, BUCKET_CRASH_DONE);
  op->process = NULL;
  op->store = NULL;
  op->body = NULL;
  op_maybe_free(op);
}

static void
op_effect(void *arg)
{
  bucket_op *op = arg;

  op->waiting_effect = 0;
  if (!op->cancelled)
    objects_effect(op);
  if (op->fate == FATE_AFTER || op->fate == FATE_LATE)
    op->status = SB_UNKNOWN;
  if (crash_now(op, BUCKET_CRASH_EFFECT))
    return;
  op_maybe_free(op);
}

/* ---- fates -------------------------------------------------------------- */

static int
op_writes(const bucket_op *op)
{
  return op->kind == BUCKET_PUT || op->kind == BUCKET_REMOVE ||
         op->kind == BUCKET_COPY;
}

static int
fate_by_plan(bucket_op *op)
{
  bucket *b = op->bucket;

  if (b->plan_at == 0 || op->process != b->plan_process)
    return -1;
  if (b->plan_at > 1) {
    b->plan_at--;
    return -1;
  }
  if (!b->plan_for_good)
    b->plan_at = 0;
  b->plan_hits++;
  return b->plan_fate;
}

static int
op_is_head(const bucket_op *op)
{
  const char *slash = strrchr(op->name, '/');

  return strncmp(slash == NULL ? op->name : slash + 1, "HEAD", 4) == 0;
}

static int
fate_by_chance(bucket_op *op)
{
  static const int heads[] = { FATE_BEFORE, FATE_BEFORE, FATE_AFTER,
                               FATE_LATE, FATE_LATE, FATE_NEVER };
  bucket *b = op->bucket;

  if (!b->unkind)
    return FATE_FINE;
  if (op->kind == BUCKET_PUT && b->fail_head != 0 && op_is_head(op) &&
      rng_chance(&b->rng, b->fail_head))
    return heads[rng_below(&b->rng, 6)];
  if (rng_chance(&b->rng, b->fail_before))
    return rng_chance(&b->rng, 100) ? FATE_REFUSED : FATE_BEFORE;
  if (rng_chance(&b->rng, b->fail_after))
    return FATE_AFTER;
  if (rng_chance(&b->rng, b->fail_late))
    return FATE_LATE;
  if (rng_chance(&b->rng, b->fail_never))
    return FATE_NEVER;
  return FATE_FINE;
}

static void
op_choose_fate(bucket_op *op)
{
  static const sb_status failures[] = { SB_IO, SB_UNAVAILABLE, SB_TIMEOUT,
                                        SB_UNAVAILABLE, SB_IO };
  int fate = fate_by_plan(op);

  op->fate = fate >= 0 ? fate : fate_by_chance(op);
  if (!op_writes(op) && op->fate != FATE_FINE && op->fate != FATE_REFUSED)
    op->fate = FATE_BEFORE;
  if (op->kind == BUCKET_ABORT)
    op->fate = FATE_FINE;
  if (op->fate == FATE_BEFORE || op->fate == FATE_REFUSED)
    op->status = failures[rng_below(&op->bucket->rng, 5)];
  else if (op->fate != FATE_FINE)
    op->status = SB_UNKNOWN;
  if (op->fate != FATE_FINE)
    op->bucket->faults++;
}

/* A batch of names may fail in part: those whose outcome is neither SB_OK nor
   SB_UNKNOWN stay. */
static void
op_choose_outcomes(bucket_op *op)
{
  uint64_t i;

  if (op->kind != BUCKET_REMOVE)
    return;
  for (i = 0; i < op->name_count; i++) {
    int part = op->fate == FATE_BEFORE &&
               rng_chance(&op->bucket->rng, 500);

    op->outcomes[i] = part ? SB_OK : op->status;
  }
}

static uint64_t
op_latency(bucket *b)
{
  uint64_t ns = rng_range(&b->rng, b->latency_min_ns, b->latency_max_ns);

  return rng_chance(&b->rng, b->slow) ? ns * 40 : ns;
}

static void
op_schedule(bucket_op *op)
{
  bucket *b = op->bucket;
  uint64_t answer = op_latency(b), effect = rng_below(&b->rng, answer);
  int has_effect = op->fate == FATE_FINE || op->fate == FATE_AFTER ||
                   op->fate == FATE_LATE ||
                   (op->kind == BUCKET_REMOVE && op->fate == FATE_BEFORE);

  if (op->base.deadline_ns != 0 && op->base.deadline_ns != SB_NO_DEADLINE &&
      op->base.deadline_ns < b->sim->now_ns + answer)
    op->fate = FATE_BEFORE, op->status = SB_TIMEOUT, has_effect = 0,
    answer = op->base.deadline_ns > b->sim->now_ns
             ? op->base.deadline_ns - b->sim->now_ns : 0;
  if (op->fate == FATE_LATE)
    effect = answer + rng_skewed(&b->rng, b->late_max_ns);
  op->waiting_effect = has_effect;
  op->waiting_answer = 1;
  if (has_effect)
    (void)sim_after(b->sim, NULL, effect, op_effect, op);
  op->answer = sim_after(b->sim, op->process, answer, op_answer, op);
}

static void
op_say(const bucket_op *op)
{
  sim_say(op->bucket->sim, "%s: %s %s \"%s\"%s fate %d", op->process->name,
          "store", bucket_kind_names[op->kind],
          op->name != NULL ? op->name : op->prefix != NULL ? op->prefix
          : op->name_count != 0 ? op->names[0] : "",
          op->if_match != NULL ? " match" : "", op->fate);
}

bucket_op *
bucket_op_new(bucket_store *store, int kind, const sb_request *base)
{
  bucket *b = store->bucket;
  bucket_op *op = sim_memory(NULL, sizeof *op);

  memset(op, 0, sizeof *op);
  op->bucket = b;
  op->store = store;
  op->process = store->process;
  op->kind = kind;
  op->number = ++b->op_serial;
  if (base != NULL)
    op->base = *base;
  op->next = b->ops;
  if (op->next != NULL)
    op->next->prev = op;
  b->ops = op;
  b->ops_count++;
  return op;
}

/* Takes `op`. Immediate answers come from inside the call. */
sb_status
bucket_op_submit(bucket_op *op, uint64_t *number, sb_error *err)
{
  bucket *b = op->bucket;
  sim_process *process = op->process;
  sb_status status;

  sim_check_unlocked(b->sim, "a store");
  if (process->crash_at_request != 0 && --process->crash_at_request == 0)
    op->crashes = 1;
  process->requests++;
  b->requests[op->kind]++;
  (void)crash_now(op, BUCKET_CRASH_BEFORE);
  op_choose_fate(op);
  op_choose_outcomes(op);
  op_say(op);
  if (op->fate == FATE_REFUSED) {
    status = sb_error_set(err, op->status, "simulated: %s \"%s\" is refused",
                          bucket_kind_names[op->kind],
                          op->name == NULL ? "" : op->name);
    op_free(op);
    return status;
  }
  if (number != NULL)
    *number = op->number;
  op->store->in_flight++;
  if (op->fate == FATE_FINE && rng_chance(&b->rng, b->at_once)) {
    objects_effect(op);
    op->waiting_answer = 1;
    op_answer(op);
    return SB_OK;
  }
  op_schedule(op);
  (void)crash_now(op, BUCKET_CRASH_SUBMITTED);
  sim_preempt(b->sim, b->yield);
  return SB_OK;
}

void
bucket_cancel(bucket_store *store, uint64_t number)
{
  bucket *b = store->bucket;
  bucket_op *op = b->ops;

  while (op != NULL && (op->number != number || op->store != store))
    op = op->next;
  if (op == NULL || !op->waiting_answer || op->answer == NULL ||
      op->took_effect || op->fate == FATE_LATE || op->fate == FATE_AFTER ||
      rng_chance(&b->rng, 300))
    return;
  op->cancelled = 1;
  op->status = SB_CANCELLED;
}

sb_store *
bucket_open(bucket *b, sim_process *process)
{
  bucket_store *store = sim_memory(NULL, sizeof *store);

  memset(store, 0, sizeof *store);
  store->base.ops = bucket_store_ops();
  store->bucket = b;
  store->process = process;
  store->next = process->stores;
  process->stores = store;
  process->crashed = bucket_crashed;
  return &store->base;
}
