/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an operation: made and submitted on any thread, started and
 * ended on the network thread. Closing waits until all that were taken are
 * done.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/net.h"

s3_op *
s3_op_new(s3_store *store, size_t size, size_t text_size,
          const sb_request *request, void (*start)(s3_op *op))
{
  s3_op *op = s3_alloc(store->host, size + text_size);

  if (op == NULL)
    return NULL;
  op->store = store;
  op->start = start;
  op->text = (char *)op + size;
  op->result.struct_size = sizeof op->result;
  s3_op_ask(op, request);
  return op;
}

void
s3_op_ask(s3_op *op, const sb_request *request)
{
  const sb_host *host = op->store->host;

  op->priority = SB_PRIORITY_READ;
  op->deadline_ns = host->monotonic_ns(host) +
                    op->store->settings->request_ms * 1000000;
  if (request == NULL)
    return;
  op->done = request->done;
  op->arg = request->arg;
  if (request->priority != 0)
    op->priority = request->priority;
  if (request->deadline_ns != 0)
    op->deadline_ns = request->deadline_ns;
}

void
s3_op_discard(s3_op *op)
{
  if (op != NULL)
    s3_free(op->store->host, op);
}

size_t
s3_text_size(const char *text)
{
  return text == NULL ? 0 : strlen(text) + 1;
}

char *
s3_op_text(s3_op *op, const char *text)
{
  char *copy = op->text;
  size_t size = s3_text_size(text);

  if (text == NULL)
    return NULL;
  memcpy(copy, text, size);
  op->text += size;
  return copy;
}

static void
op_link(s3_op *op)
{
  s3_store *store = op->store;

  pthread_mutex_lock(&store->lock);
  op->id = ++store->last_id;
  op->next = store->ops;
  if (op->next != NULL)
    op->next->previous = op;
  store->ops = op;
  pthread_mutex_unlock(&store->lock);
}

sb_status
s3_op_submit(s3_op *op, uint64_t *id, sb_error *err)
{
  uint64_t own;

  (void)err;
  op_link(op);
  own = op->id;
  s3_net_submit(op->store->net, op);
  if (id != NULL)
    *id = own;
  return SB_OK;
}

/* The closing thread frees the store once it gets the lock after the event. */
static void
op_unlink(s3_op *op)
{
  s3_store *store = op->store;

  pthread_mutex_lock(&store->lock);
  if (op->next != NULL)
    op->next->previous = op->previous;
  if (op->previous != NULL)
    op->previous->next = op->next;
  else
    store->ops = op->next;
  s3_free(store->host, op);
  if (store->ops == NULL && store->closing)
    store->host->event_set(store->host, store->idle);
  pthread_mutex_unlock(&store->lock);
}

void
s3_op_end(s3_op *op, sb_status status)
{
  op->result.status = status;
  op->error.status = status;
  op->result.error = status == SB_OK ? NULL : &op->error;
  if (op->done != NULL)
    op->done(op->arg, &op->result);
  if (op->free != NULL)
    op->free(op);
  op_unlink(op);
}

void
s3_op_end_call(s3_op *op, const s3_call *call)
{
  if (call->status != SB_OK)
    op->error = call->error;
  s3_op_end(op, call->status);
}

void
s3_op_cancel(s3_store *store, uint64_t id)
{
  s3_op *op;
  int found = 0;

  pthread_mutex_lock(&store->lock);
  for (op = store->ops; op != NULL; op = op->next)
    if (op->id == id)
      found = op->cancel_asked = 1;
  pthread_mutex_unlock(&store->lock);
  if (found)
    s3_net_cancel(store->net);
}

static s3_op *
op_to_cancel(s3_store *store)
{
  s3_op *op;

  pthread_mutex_lock(&store->lock);
  for (op = store->ops; op != NULL; op = op->next)
    if (op->cancel_asked && !op->cancelled)
      break;
  pthread_mutex_unlock(&store->lock);
  return op;
}

/* Cancelled calls end later, in their done, so the list is stable here. */
void
s3_ops_cancel(s3_store *store)
{
  s3_op *op;

  while ((op = op_to_cancel(store)) != NULL) {
    s3_call *call;

    op->cancelled = 1;
    for (call = op->calls; call != NULL; call = call->next)
      s3_call_cancel(call);
    if (op->stop != NULL)
      op->stop(op);
  }
}

void
s3_op_drain(s3_store *store)
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
