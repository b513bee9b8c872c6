/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an operation: taken, queued on the IO lane, run, done, freed.
 * Closing waits until all that were taken are done.
 */
#include "config.h"

#include <string.h>

#include "plugins/local/local.h"

local_op *
local_op_new(local_store *store, const sb_request *request, size_t text_size,
             sb_status (*run)(local_op *op, sb_error *err))
{
  local_op *op = local_alloc(store, sizeof *op + text_size);

  if (op == NULL)
    return NULL;
  memset(op, 0, sizeof *op);
  op->store = store;
  op->run = run;
  op->text = (char *)(op + 1);
  op->result.struct_size = sizeof op->result;
  if (request != NULL) {
    op->deadline_ns = request->deadline_ns;
    op->done = request->done;
    op->arg = request->arg;
  }
  return op;
}

void
local_op_free(local_op *op)
{
  if (op != NULL)
    local_free(op->store, op);
}

char *
local_op_text(local_op *op, const char *s)
{
  char *copy = op->text;
  size_t size;

  if (s == NULL)
    return NULL;
  size = strlen(s) + 1;
  memcpy(copy, s, size);
  op->text += size;
  return copy;
}

static void
op_link(local_op *op)
{
  local_store *store = op->store;

  pthread_mutex_lock(&store->lock);
  op->id = ++store->last_id;
  op->next = store->ops;
  if (op->next != NULL)
    op->next->previous = op;
  store->ops = op;
  pthread_mutex_unlock(&store->lock);
}

/* The closing thread frees the store once it gets the lock after the event. */
static void
op_unlink(local_op *op)
{
  local_store *store = op->store;

  pthread_mutex_lock(&store->lock);
  if (op->next != NULL)
    op->next->previous = op->previous;
  if (op->previous != NULL)
    op->previous->next = op->next;
  else
    store->ops = op->next;
  local_op_free(op);
  if (store->ops == NULL && store->closing)
    store->host->event_set(store->host, store->idle);
  pthread_mutex_unlock(&store->lock);
}

static sb_status
op_try(local_op *op)
{
  const sb_host *host = op->store->host;

  if (atomic_load(&op->cancelled))
    return sb_fail(&op->error, SB_CANCELLED,
                   "operation on object \"%.300s\" was cancelled", op->name);
  if (op->deadline_ns != 0 && op->deadline_ns != SB_NO_DEADLINE
      && host->monotonic_ns(host) > op->deadline_ns)
    return sb_fail(&op->error, SB_TIMEOUT,
                   "operation on object \"%.300s\" could not start before its "
                   "deadline", op->name);
  return op->run(op, &op->error);
}

static void
op_task(void *arg)
{
  local_op *op = arg;
  sb_status status = op_try(op);

  op->result.status = status;
  op->result.error = status == SB_OK ? NULL : &op->error;
  op->done(op->arg, &op->result);
  if (op->cleanup != NULL)
    op->cleanup(op);
  op_unlink(op);
}

sb_status
local_op_start(local_op *op, uint64_t *id, sb_error *err)
{
  const sb_host *host = op->store->host;
  uint64_t own;
  sb_status status;

  op_link(op);
  own = op->id;
  status = host->execute(host, SB_LANE_IO, op_task, op, err);
  if (status != SB_OK)
    op_unlink(op);
  else if (id != NULL)
    *id = own;
  return status;
}

void
local_op_cancel(local_store *store, uint64_t id)
{
  local_op *op;

  pthread_mutex_lock(&store->lock);
  for (op = store->ops; op != NULL; op = op->next)
    if (op->id == id)
      atomic_store(&op->cancelled, 1);
  pthread_mutex_unlock(&store->lock);
}

void
local_op_drain(local_store *store)
{
  int busy;

  pthread_mutex_lock(&store->lock);
  store->closing = 1;
  busy = store->ops != NULL;
  pthread_mutex_unlock(&store->lock);
  if (!busy)
    return;
  (void)store->host->event_wait(store->host, store->idle, SB_NO_DEADLINE);
  pthread_mutex_lock(&store->lock);
  pthread_mutex_unlock(&store->lock);
}
