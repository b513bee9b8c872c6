/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting, submitting and answering requests; see batch.h. */
#include "config.h"

#include "host/state/batch.h"
#include "host/state/list.h"
#include "host/state/ttl.h"

#define BATCH_BUFFER 256u  /* for the value of a get */
#define BATCH_POLL 64u     /* answers taken at once */

sb_status
sb_batch_new(sb_context *context, sb_batch **out, sb_error *err)
{
  sb_batch *batch;

  if (out == NULL)
    return state_need(NULL, "where to put the batch", err);
  *out = NULL;
  if (context == NULL)
    return state_need(NULL, "the context", err);
  batch = mem_zalloc(context->host, sizeof *batch);
  if (batch == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not make a batch: out of memory");
  batch->context = context;
  batch->next = context->batches;
  if (batch->next != NULL)
    batch->next->previous = batch;
  context->batches = batch;
  *out = batch;
  return SB_OK;
}

static void
batch_free_request(sb_context *context, request *r)
{
  buf_dispose(&r->read);
  mem_free(context->host, r);
}

void
sb_batch_free(sb_batch *batch)
{
  sb_context *context;

  if (batch == NULL)
    return;
  context = batch->context;
  if (batch->previous != NULL)
    batch->previous->next = batch->next;
  else
    context->batches = batch->next;
  if (batch->next != NULL)
    batch->next->previous = batch->previous;
  while (batch->first != NULL) {
    request *r = batch->first;

    batch->first = r->next;
    batch_free_request(context, r);
  }
  mem_free(context->host, batch);
}

/* ---- adding ------------------------------------------------------------- */

/* Reading a record of a state with time to live, as an update that renews it
   or takes it away. */
static sb_status
batch_read(void *arg, sb_update *u)
{
  request *r = arg;
  int over = u->exists && ttl_over(r->base, u->expires_ms);
  uint64_t now = ttl_stamp(r->base);

  if (!u->exists)
    return SB_OK;
  r->found = !over || r->base->ttl_visibility == SB_TTL_UNLESS_CLEANED;
  buf_clear(&r->read);
  buf_add(&r->read, u->data, u->len);
  if (r->read.status != SB_OK)
    return r->read.status;
  if (over) {
    u->action = SB_UPDATE_REMOVE;
  } else if (r->base->ttl_update == SB_TTL_READ_WRITE &&
             u->expires_ms != now) {
    u->expires_ms = now;
    u->action = SB_UPDATE_IN_PLACE;
  }
  return SB_OK;
}

/* Where the request goes, checked here: a batch is taken as a whole. */
static sb_status
batch_place(const sb_batch *batch, const request_form *form, sb_key *key,
            sb_error *err)
{
  const sb_context *context = batch->context;
  const sb_place *place = form->place;
  int32_t hash;

  if (place == NULL)
    return context_place(form->base, form->subkey, key, err);
  hash = place->has_hash ? place->hash : sb_hash_bytes(place->key);
  key->state = form->base->id;
  key->key_group = sb_key_group(hash, context->key_group_count);
  key->key = place->key;
  key->ns = place->ns;
  key->subkey = form->subkey;
  if (key->key_group < context->key_group_first ||
      key->key_group > context->key_group_last)
    return sb_fail(err, SB_INVALID, "cannot request a key of key group %u: "
                   "this subtask has %u to %u", (unsigned)key->key_group,
                   (unsigned)context->key_group_first,
                   (unsigned)context->key_group_last);
  return SB_OK;
}

static sb_status
batch_check_bytes(const request_form *form, sb_error *err)
{
  sb_status status = SB_OK;

  if (form->place != NULL)
    status = slice_check(form->place->key, "the key", err);
  if (status == SB_OK && form->place != NULL)
    status = slice_check(form->place->ns, "the namespace", err);
  if (status == SB_OK)
    status = slice_check(form->subkey, "the subkey", err);
  return status == SB_OK ? slice_check(form->value, "the value", err) : status;
}

static sb_status
batch_check(const sb_batch *batch, const request_form *form, sb_key *key,
            sb_error *err)
{
  sb_status status = state_need(batch, "the batch", err);

  if (status == SB_OK)
    status = state_use(form->base, form->state_kind, err);
  if (status == SB_OK && form->base->context != batch->context)
    return sb_fail(err, SB_INVALID, "cannot request state \"%s\": it is of "
                   "another context", form->base->name);
  if (status == SB_OK && form->reads && form->answer == NULL)
    return state_need(NULL, "the answer function", err);
  if (status == SB_OK)
    status = batch_check_bytes(form, err);
  if (status == SB_OK)
    status = batch_place(batch, form, key, err);
  if (status == SB_OK && (key->key.len > SB_KEY_MAX ||
                          key->ns.len > SB_NAMESPACE_MAX ||
                          key->subkey.len > SB_SUBKEY_MAX))
    return sb_fail(err, SB_TOO_LARGE, "cannot request a key of %zu, namespace "
                   "of %zu and subkey of %zu bytes: the limit is %u each",
                   key->key.len, key->ns.len, key->subkey.len, SB_KEY_MAX);
  return status;
}

static sb_slice
batch_copy(uint8_t **at, sb_slice slice)
{
  uint8_t *to = *at;

  if (slice.len != 0)
    memcpy(to, slice.data, slice.len);
  *at += slice.len;
  return sb_slice_of(to, slice.len);
}

/* Fills the request and what stands behind it: the fold, if there is one, the
   buffer of a get, the bytes. */
static void
batch_fill(request *r, const request_form *form, const sb_key *key,
           sb_slice value, int fold)
{
  uint8_t *at = (uint8_t *)(r + 1);

  memset(r, 0, sizeof *r);
  if (fold) {
    r->step = (fold_step *)(void *)at;
    at += sizeof *r->step;
  }
  r->op.struct_size = sizeof r->op;
  r->op.kind = form->kind;
  r->op.key = *key;
  if (form->kind == SB_OP_GET) {
    r->op.buffer = at;
    r->op.buffer_size = BATCH_BUFFER;
    at += BATCH_BUFFER;
  }
  r->op.key.key = batch_copy(&at, key->key);
  r->op.key.ns = batch_copy(&at, key->ns);
  r->op.key.subkey = batch_copy(&at, key->subkey);
  r->op.value = batch_copy(&at, value);
  r->base = form->base;
  r->answer = form->answer;
  r->arg = form->arg;
  r->finish = form->finish;
}

/* What the operation is, by the kind of state and its time to live. */
static void
batch_aim(request *r)
{
  state_base *base = r->base;

  if (r->op.kind == SB_OP_PUT)
    r->op.expires_ms = ttl_stamp(base);
  if (r->op.kind == SB_OP_GET && !base->plain &&
      base->kind != SB_STATE_LIST) {
    r->op.kind = SB_OP_UPDATE;
    r->op.update = batch_read;
    r->op.update_arg = r;
  } else if (r->step != NULL) {
    fold_begin((const fold_state *)base, r->op.value, r->step);
    r->op.update = fold_apply;
    r->op.update_arg = r->step;
  }
}

sb_status
batch_add(sb_batch *batch, const request_form *form, sb_error *err)
{
  int fold = form->kind == SB_OP_UPDATE;
  sb_slice value = form->value;
  request *r;
  size_t size;
  sb_key key;
  sb_status status = batch_check(batch, form, &key, err);

  if (status == SB_OK && form->kind == SB_OP_PUT)
    status = record_wrap(form->base, form->value, &value, err);
  if (status == SB_OK && form->kind == SB_OP_APPEND)
    status = list_wrap(form->base, form->value, &value, err);
  if (status != SB_OK)
    return status;
  if (value.len > SB_VALUE_MAX)
    return sb_fail(err, SB_TOO_LARGE, "cannot request to store %zu bytes in "
                   "state \"%s\": the limit is %u", value.len,
                   form->base->name, SB_VALUE_MAX);
  size = sizeof *r + (fold ? sizeof *r->step : 0) +
         (form->kind == SB_OP_GET ? BATCH_BUFFER : 0) + key.key.len +
         key.ns.len + key.subkey.len + value.len;
  r = mem_alloc(batch->context->host, size);
  if (r == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not add a request for state "
                   "\"%s\": out of memory", form->base->name);
  batch_fill(r, form, &key, value, fold);
  buf_init(&r->read, batch->context->host, (size_t)SB_VALUE_MAX + 64);
  batch_aim(r);
  if (batch->last == NULL)
    batch->first = r;
  else
    batch->last->next = r;
  batch->last = r;
  batch->count++;
  return SB_OK;
}

/* ---- submitting --------------------------------------------------------- */

sb_status
sb_batch_submit(sb_batch *batch, sb_error *err)
{
  sb_context *context;
  sb_keyed *keyed;
  sb_op **ops;
  request *r;
  size_t n = 0;
  sb_status status = state_need(batch, "the batch", err);

  if (status != SB_OK || batch->count == 0)
    return status;
  context = batch->context;
  keyed = context->keyed;
  ops = mem_alloc(context->host, batch->count * sizeof (sb_op *));
  if (ops == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not submit %zu requests: out of "
                   "memory", batch->count);
  for (r = batch->first; r != NULL; r = r->next)
    ops[n++] = &r->op;
  status = keyed->ops->submit(keyed, ops, n, err);
  mem_free(context->host, ops);
  if (status != SB_OK)
    return status;
  context->pending += n;
  batch->first = batch->last = NULL;
  batch->count = 0;
  return SB_OK;
}

/* ---- answering ---------------------------------------------------------- */

/* Values that the poll lends are gone with the next call, which an answer
   function may make. */
static void
batch_own_value(request *r)
{
  sb_slice value = r->op.result;

  if (r->op.kind == SB_OP_UPDATE) {
    if (r->op.status == SB_OK && r->step == NULL && !r->found)
      r->op.status = SB_NOT_FOUND;
    r->op.result = sb_slice_of(r->read.data, r->read.len);
    return;
  }
  if (r->op.status != SB_OK || r->op.kind != SB_OP_GET ||
      value.data == r->op.buffer)
    return;
  buf_add(&r->read, value.data, value.len);
  r->op.result = sb_slice_of(r->read.data, r->read.len);
  if (r->read.status != SB_OK)
    r->op.status = r->read.status;
}

static void
batch_answer(sb_context *context, request *r)
{
  sb_error err = { .message = "" };
  sb_status status = r->op.status;
  sb_slice value = r->op.result;

  if (context->closing)
    status = SB_CANCELLED;
  if ((status == SB_OK || status == SB_NOT_FOUND) && r->finish != NULL) {
    r->op.status = status;
    status = r->finish(r, &value, &err);
  }
  if (status != SB_OK)
    value = sb_slice_of(NULL, 0);
  if (r->step != NULL)
    fold_explain(r->step, status, &err);
  if (status != SB_OK && status != SB_NOT_FOUND && err.message[0] == '\0')
    (void)sb_fail(&err, status, "a request for state \"%s\" failed: %s",
                  r->base->name, sb_status_name(status));
  if (r->answer != NULL)
    r->answer(r->arg, status, value, &err);
  batch_free_request(context, r);
}

sb_status
sb_context_poll(sb_context *context, uint64_t deadline_ns, size_t *count,
                sb_error *err)
{
  sb_op *done[BATCH_POLL];
  size_t i, n, total = 0;
  sb_keyed *keyed;
  sb_status status = state_need(context, "the context", err);

  if (count != NULL)
    *count = 0;
  if (status != SB_OK || context->pending == 0)
    return status;
  keyed = context->keyed;
  do {
    status = keyed->ops->poll(keyed, done, BATCH_POLL, &n,
                              total == 0 ? deadline_ns : 0, err);
    if (status != SB_OK)
      break;
    context->pending -= n;
    total += n;
    for (i = 0; i < n; i++)
      batch_own_value((request *)(void *)done[i]);
    for (i = 0; i < n; i++)
      batch_answer(context, (request *)(void *)done[i]);
  } while (n == BATCH_POLL && context->pending != 0);
  if (count != NULL)
    *count = total;
  return total != 0 ? SB_OK : status;
}

size_t
sb_context_pending(const sb_context *context)
{
  return context == NULL ? 0 : context->pending;
}

void
batch_drain(sb_context *context)
{
  sb_status status = SB_OK;

  context->closing = 1;
  while (context->pending != 0 && status == SB_OK)
    status = sb_context_poll(context, SB_NO_DEADLINE, NULL, NULL);
  while (context->batches != NULL)
    sb_batch_free(context->batches);
}
