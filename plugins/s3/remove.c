/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove: up to 1,000 objects by one DeleteObjects, or one by one where there
 * is one name or the server has no such request. Names that the server could
 * not delete for a passing reason are tried again, after a wait.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/call.h"
#include "plugins/s3/retry.h"

#define REMOVE_MAX 1000u
#define REMOVE_PARALLEL 8u      /* single requests under way */

typedef struct remove_name {
  const char *name;
  sb_status status;
  s3_class class;               /* of a failure */
  char *why;                    /* its message; NULL: none, or no memory */
} remove_name;

typedef struct remove_slot {
  s3_call call;
  uint32_t index;               /* in names */
  int busy;
} remove_slot;

typedef struct remove_op {
  s3_op op;
  remove_name *names;
  uint32_t count;
  sb_status *statuses;          /* the caller's, or NULL */
  uint32_t *left;               /* indices into names, of this round */
  uint32_t left_count, left_next;
  uint32_t round;
  uint32_t busy;
  int stepping;
  int strange;                  /* an error about a name that is not ours */
  s3_call batch;
  s3_buf body;
  sb_slice slice;
  remove_slot slots[REMOVE_PARALLEL];
  s3_timer *timer;
} remove_op;

static void
remove_free(s3_op *op)
{
  remove_op *r = (remove_op *)op;
  const sb_host *host = op->store->host;
  size_t i;

  s3_call_dispose(&r->batch);
  for (i = 0; i < REMOVE_PARALLEL; i++)
    s3_call_dispose(&r->slots[i].call);
  s3_buf_free(&r->body);
  for (i = 0; r->names != NULL && i < r->count; i++)
    s3_free(host, r->names[i].why);
  s3_free(host, r->names);
  s3_free(host, r->left);
}

/* What became of a name, for now. */
static void
remove_note(remove_op *r, uint32_t index, sb_status status, s3_class class,
            const char *message)
{
  const sb_host *host = r->op.store->host;
  remove_name *name = &r->names[index];

  name->status = status;
  name->class = class;
  s3_free(host, name->why);
  name->why = status == SB_OK ? NULL : s3_strdup(host, message);
}

static void
remove_end(remove_op *r)
{
  const remove_name *first = NULL;
  uint32_t i;

  for (i = 0; i < r->count; i++) {
    if (r->statuses != NULL)
      r->statuses[i] = r->names[i].status;
    if (first == NULL && r->names[i].status != SB_OK)
      first = &r->names[i];
  }
  if (first != NULL)
    sb_fail(&r->op.error, first->status,
            "could not remove object \"%.200s\": %.250s", first->name,
            first->why != NULL ? first->why : "cancelled");
  s3_op_end(&r->op, first == NULL ? SB_OK : first->status);
}

/* ---- one by one --------------------------------------------------------- */

static void remove_step(remove_op *r);

static void
remove_single_called(s3_call *call)
{
  remove_op *r = (remove_op *)call->op;
  remove_slot *slot = call->arg;

  slot->busy = 0;
  r->busy--;
  /* The call has made its own retries: what it failed with is final. */
  if (call->status == SB_NOT_FOUND && call->answer.http == 404)
    remove_note(r, slot->index, SB_OK, S3_CLASS_OK, "");
  else
    remove_note(r, slot->index, call->status, S3_CLASS_FINAL,
                call->error.message);
  remove_step(r);
}

static void
remove_single(remove_op *r, remove_slot *slot, uint32_t index)
{
  s3_call *call = &slot->call;

  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  slot->index = index;
  slot->busy = 1;
  r->busy++;
  call->op = &r->op;
  call->kind = S3_KIND_DELETE;
  call->flags = S3_CALL_WRITE;
  call->method = "DELETE";
  call->key = r->names[index].name;
  call->done = remove_single_called;
  call->arg = slot;
  s3_call_start(call);
}

static void
remove_singles(remove_op *r)
{
  size_t i;

  for (i = 0; i < REMOVE_PARALLEL && r->left_next < r->left_count; i++)
    if (!r->slots[i].busy)
      remove_single(r, &r->slots[i], r->left[r->left_next++]);
}

/* ---- all at once -------------------------------------------------------- */

/* The class and status of a name's error in a batch's answer. */
static s3_verdict
remove_judge(const char *code)
{
  s3_verdict verdict = s3_judge_http(400, code);

  if (strcmp(code, "AccessDenied") == 0)
    verdict.status = SB_DENIED;
  else if (verdict.status == SB_INVALID || verdict.status == SB_OK)
    verdict.status = SB_IO;
  if (verdict.applied)
    verdict.status = SB_UNKNOWN;
  return verdict;
}

static void
remove_said(void *arg, const char *key, const char *code, const char *message)
{
  remove_op *r = arg;
  s3_verdict verdict = remove_judge(code);
  char why[256];
  uint32_t i;

  if (strcmp(code, "NoSuchKey") == 0)
    return;
  (void)snprintf(why, sizeof why, "%.60s%s%.180s", code,
                 code[0] != '\0' && message[0] != '\0' ? ": " : "", message);
  for (i = 0; i < r->left_count; i++)
    if (strcmp(r->names[r->left[i]].name, key) == 0) {
      remove_note(r, r->left[i], verdict.status, verdict.class, why);
      return;
    }
  r->strange = 1;
}

static int
remove_is_unsupported(const s3_call *call)
{
  return call->answer.http == 501 || call->answer.http == 405
         || strcmp(call->code, "NotImplemented") == 0
         || strcmp(call->code, "MethodNotAllowed") == 0
         || (call->answer.http == 400
             && strcmp(call->code, "MalformedXML") == 0);
}

static void
remove_batch_failed(remove_op *r, sb_status status, const char *message)
{
  uint32_t i;

  for (i = 0; i < r->left_count; i++)
    remove_note(r, r->left[i], status, S3_CLASS_FINAL, message);
}

static void
remove_batch_called(s3_call *call)
{
  remove_op *r = (remove_op *)call->op;
  s3_store *store = r->op.store;
  sb_error error;
  sb_status status = call->status;
  uint32_t i;

  r->busy--;
  if (status != SB_OK && remove_is_unsupported(call)) {
    store->bulk_delete = 0;
    store->host->log(store->host, SB_LOG_INFO, "s3",
                     "the server has no DeleteObjects: objects are deleted "
                     "one by one");
    r->left_next = 0;
    remove_step(r);
    return;
  }
  if (status != SB_OK) {
    remove_batch_failed(r, status, call->error.message);
  } else {
    for (i = 0; i < r->left_count; i++)
      remove_note(r, r->left[i], SB_OK, S3_CLASS_OK, "");
    status = s3_xml_read_delete(store->host, s3_buf_string(&call->text),
                                call->text.len, remove_said, r, &error);
    if (status != SB_OK)
      remove_batch_failed(r, SB_UNKNOWN, error.message);
    else if (r->strange)
      remove_batch_failed(r, SB_UNKNOWN,
                          "the server could not delete an object that it was "
                          "not asked to");
  }
  remove_step(r);
}

static void
remove_batch(remove_op *r)
{
  s3_call *call = &r->batch;
  s3_buf *body = &r->body;
  uint32_t i;

  s3_buf_clear(body);
  s3_buf_text(body,
              "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
              "<Quiet>true</Quiet>");
  for (i = 0; i < r->left_count; i++) {
    s3_buf_text(body, "<Object><Key>");
    s3_xml_escape(body, r->names[r->left[i]].name);
    s3_buf_text(body, "</Key></Object>");
  }
  s3_buf_text(body, "</Delete>");
  if (body->failed) {
    remove_batch_failed(r, SB_NO_MEMORY, "out of memory");
    return;
  }
  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  r->slice = sb_slice_of(body->data, body->len);
  r->busy++;
  call->op = &r->op;
  call->kind = S3_KIND_DELETE_BATCH;
  call->flags = S3_CALL_WRITE | S3_CALL_TEXT | S3_CALL_OK_ERROR | S3_CALL_MD5;
  call->method = "POST";
  call->query = "delete=";
  call->body = (s3_body){ .slices = &r->slice, .count = 1,
                          .length = body->len };
  call->done = remove_batch_called;
  s3_call_start(call);
}

/* ---- rounds ------------------------------------------------------------- */

static void
remove_again(void *arg)
{
  remove_op *r = arg;

  r->timer = NULL;
  remove_step(r);
}

/* Collects what may still succeed. 1 if another round is to come. */
static int
remove_next_round(remove_op *r)
{
  s3_store *store = r->op.store;
  s3_class class = S3_CLASS_TRANSIENT;
  uint32_t count = 0;
  uint64_t delay_ms, now;
  uint32_t i;

  for (i = 0; i < r->count; i++)
    if (r->names[i].status != SB_OK
        && (r->names[i].class == S3_CLASS_TRANSIENT
            || r->names[i].class == S3_CLASS_THROTTLE)) {
      if (r->names[i].class == S3_CLASS_THROTTLE)
        class = S3_CLASS_THROTTLE;
      r->left[count++] = i;
    }
  if (count == 0 || ++r->round >= store->settings->attempts_max
      || r->op.cancelled)
    return 0;
  delay_ms = s3_backoff(store->settings, class, r->round,
                        store->host->random(store->host), 0);
  now = store->host->monotonic_ns(store->host);
  if (r->op.deadline_ns != SB_NO_DEADLINE
      && now + delay_ms * 1000000u >= r->op.deadline_ns)
    return 0;
  r->left_count = count;
  r->left_next = 0;
  r->timer = s3_timer_start(store->net, delay_ms, remove_again, r);
  return r->timer != NULL;
}

/* Starts what there is to do: every change of state leads here. */
static void
remove_step(remove_op *r)
{
  const s3_store *store = r->op.store;

  if (r->stepping)
    return;
  r->stepping = 1;
  if (r->left_next < r->left_count && !r->op.cancelled) {
    if (store->bulk_delete && r->left_count > 1) {
      r->left_next = r->left_count;
      remove_batch(r);
    } else {
      remove_singles(r);
    }
  }
  r->stepping = 0;
  if (r->busy == 0 && r->timer == NULL
      && (r->left_next >= r->left_count || r->op.cancelled)
      && !remove_next_round(r))
    remove_end(r);
}

static void
remove_start(s3_op *op)
{
  remove_op *r = (remove_op *)op;

  remove_step(r);
}

/* Between two rounds nothing is under way. */
static void
remove_stop(s3_op *op)
{
  remove_op *r = (remove_op *)op;

  if (r->timer == NULL)
    return;
  s3_timer_stop(op->store->net, r->timer);
  r->timer = NULL;
  remove_end(r);
}

/* ---- the method --------------------------------------------------------- */

static sb_status
remove_check(const sb_remove_request *request, sb_error *err)
{
  uint64_t i;

  if (request->name_count > REMOVE_MAX)
    return sb_fail(err, SB_INVALID,
                   "could not remove objects: more than %u names", REMOVE_MAX);
  for (i = 0; i < request->name_count; i++) {
    sb_status status = s3_name_check(request->names[i], err);

    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

static remove_op *
remove_new(s3_store *store, const sb_remove_request *request)
{
  size_t text_size = 0;
  remove_op *r;
  uint64_t i;

  for (i = 0; i < request->name_count; i++)
    text_size += s3_text_size(request->names[i]);
  r = (remove_op *)s3_op_new(store, sizeof *r, text_size, &request->base,
                             remove_start);
  if (r == NULL)
    return NULL;
  r->op.free = remove_free;
  r->op.stop = remove_stop;
  r->body = s3_buf_of(store->host);
  r->names = s3_alloc(store->host,
                      (size_t)request->name_count * sizeof *r->names);
  r->left = s3_alloc(store->host,
                     (size_t)request->name_count * sizeof *r->left);
  if (r->names == NULL || r->left == NULL) {
    remove_free(&r->op);
    s3_op_discard(&r->op);
    return NULL;
  }
  r->count = r->left_count = (uint32_t)request->name_count;
  r->statuses = request->statuses;
  for (i = 0; i < request->name_count; i++) {
    r->names[i].name = s3_op_text(&r->op, request->names[i]);
    r->names[i].status = SB_CANCELLED;
    r->left[i] = (uint32_t)i;
  }
  r->op.name = request->name_count == 0 ? "" : r->names[0].name;
  return r;
}

sb_status
s3_remove(sb_store *base, const sb_remove_request *request, uint64_t *id,
          sb_error *err)
{
  sb_status status = remove_check(request, err);
  remove_op *r;

  if (status != SB_OK)
    return status;
  r = remove_new((s3_store *)base, request);
  if (r == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not remove objects: out of memory");
  return s3_op_submit(&r->op, id, err);
}
