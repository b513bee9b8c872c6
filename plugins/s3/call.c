/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a call: queued, attempted, judged, tried again or ended. What an
 * attempt sends is request.c's; what came of it, judge.c's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/judge.h"
#include "plugins/s3/request.h"

#define CALL_CHECK_ATTEMPTS 3u
#define CALL_ASK_AGAIN_MS 2000
#define CALL_HASH_MIN (128u << 10)
#define CALL_HASHING_CANCELLED 2

const char *const s3_kind_names[S3_KINDS] = {
  "get", "head", "put", "list", "delete", "delete_batch", "copy",
  "upload_create", "upload_part", "upload_part_copy", "upload_complete",
  "upload_abort", "upload_list", "bucket",
};

static const char *const call_deeds[S3_KINDS] = {
  "get", "look at", "put", "list", "remove", "remove", "copy to",
  "begin the upload of", "upload a part of", "copy a part of",
  "complete the upload of", "abort the upload of", "list uploads of",
  "look at",
};

static s3_net *
call_net(const s3_call *call)
{
  return call->op->store->net;
}

/* ---- messages ------------------------------------------------------------- */

/* Fills call->error: what was being done, to what, and why it failed. */
static sb_status
call_fail(s3_call *call, sb_status status, const char *reason)
{
  const s3_settings *settings = call->op->store->settings;
  const char *name = call->key != NULL ? call->key : call->op->name;
  const char *what = "object";
  char more[48] = "";

  if (name == NULL || name[0] == '\0') {
    what = "bucket";
    name = settings->bucket;
  }
  if (call->attempts > 1)
    (void)snprintf(more, sizeof more, " (attempt %u)", call->attempts);
  sb_fail(&call->error, status, "could not %s %s \"%.200s\": %.280s%s",
          call_deeds[call->kind], what, name, reason, more);
  call->error.system = call->answer.http;
  return status;
}

/* ---- starting and ending ---------------------------------------------------- */

void
s3_call_header(s3_call *call, const char *name, const char *value)
{
  if (call->header_count == S3_CALL_HEADERS)
    return;
  call->headers[call->header_count].name = name;
  call->headers[call->header_count++].value = value;
}

/* On a thread of the IO lane. */
static void
call_hash(void *arg)
{
  s3_call *call = arg;
  s3_net *net = call_net(call);

  s3_request_hash(call);
  pthread_mutex_lock(&net->lock);
  call->queue_next = net->hashed_first;
  net->hashed_first = call;
  /* Within the lock: once the call has ended the store may be closed. */
  s3_net_wake(net);
  pthread_mutex_unlock(&net->lock);
}

void
s3_call_hashed(s3_call *call)
{
  int cancelled = call->hashing == CALL_HASHING_CANCELLED;

  call->hashing = 0;
  if (cancelled || call->op->cancelled)
    s3_call_end(call, call_fail(call, SB_CANCELLED, "cancelled"));
  else
    s3_queue_add(call_net(call), call);
}

/* Digests of a large body would hold up the network thread. */
static int
call_hash_elsewhere(s3_call *call)
{
  const sb_host *host = call->op->store->host;

  if (call->hashed || call->body.length < CALL_HASH_MIN)
    return 0;
  s3_request_plan(call);
  if (!call->hash_payload && call->hash_checksum == (int)S3_CHECKSUM_NONE)
    return 0;
  call->hashing = 1;
  if (host->execute(host, SB_LANE_IO, call_hash, call, NULL) != SB_OK)
    call->hashing = 0;
  return call->hashing;
}

void
s3_call_start(s3_call *call)
{
  s3_op *op = call->op;
  s3_net *net = call_net(call);

  call->next = op->calls;
  call->previous = NULL;
  if (op->calls != NULL)
    op->calls->previous = call;
  op->calls = call;
  call->all_previous = NULL;
  call->all_next = net->calls;
  if (net->calls != NULL)
    net->calls->all_previous = call;
  net->calls = call;
  net->call_count++;
  call->started_ns = net->host->monotonic_ns(net->host);
  call->answer.meta.host = call->text.host = net->host;
  call->ended = call->ambiguous = call->fixed = 0;
  call->attempts = 0;
  if (call->deadline_ns == 0)
    call->deadline_ns = op->deadline_ns;
  if (op->cancelled)
    s3_call_end(call, call_fail(call, SB_CANCELLED, "cancelled"));
  else if (!call_hash_elsewhere(call))
    s3_queue_add(net, call);
}

void
s3_call_end(s3_call *call, sb_status status)
{
  s3_net *net = call_net(call);

  if (call->ended)
    return;
  call->ended = 1;
  call->status = status;
  s3_queue_remove(net, call);
  s3_timer_stop(net, call->timer);
  call->timer = NULL;
  call->queue_next = NULL;
  if (net->ended_last != NULL)
    net->ended_last->queue_next = call;
  else
    net->ended_first = call;
  net->ended_last = call;
}

static void
call_unlink(s3_net *net, s3_call *call)
{
  if (call->next != NULL)
    call->next->previous = call->previous;
  if (call->previous != NULL)
    call->previous->next = call->next;
  else
    call->op->calls = call->next;
  if (call->all_next != NULL)
    call->all_next->all_previous = call->all_previous;
  if (call->all_previous != NULL)
    call->all_previous->all_next = call->all_next;
  else
    net->calls = call->all_next;
  net->call_count--;
}

void
s3_calls_ended(s3_net *net)
{
  s3_call *call;

  while ((call = net->ended_first) != NULL) {
    net->ended_first = call->queue_next;
    if (net->ended_first == NULL)
      net->ended_last = NULL;
    call_unlink(net, call);
    s3_metrics_call(net->store->metrics, call->kind, call->status,
                    call->attempts,
                    net->host->monotonic_ns(net->host) - call->started_ns);
    call->done(call);
  }
}

void
s3_call_dispose(s3_call *call)
{
  s3_buf_free(&call->text);
  s3_buf_free(&call->answer.meta);
}

/* Gives up a call that waits. A write that may have taken effect is unknown. */
static void
call_give_up(s3_call *call, sb_status status, const char *reason)
{
  if (call->ambiguous && (call->flags & S3_CALL_WRITE))
    status = SB_UNKNOWN;
  s3_call_end(call, call_fail(call, status, reason));
}

void
s3_call_cancel(s3_call *call)
{
  if (call->hashing)
    call->hashing = CALL_HASHING_CANCELLED;
  if (call->ended || call->hashing)
    return;
  if (call->exchange != NULL)
    s3_exchange_abort(call->exchange, S3_STOP_CANCELLED);
  else
    call_give_up(call, SB_CANCELLED, "cancelled");
}

static const char *
call_late_reason(const s3_net *net, const s3_call *call)
{
  if (call->queued && net->no_credentials.status != SB_OK)
    return net->no_credentials.message;
  return call->attempts == 0 ? "the deadline passed before it was its turn"
                             : "the deadline passed";
}

void
s3_calls_tick(s3_net *net)
{
  uint64_t now = net->host->monotonic_ns(net->host);
  s3_call *call, *next;

  for (call = net->calls; call != NULL; call = next) {
    next = call->all_next;
    if (!call->ended && !call->hashing && call->exchange == NULL
        && now >= call->deadline_ns)
      call_give_up(call, SB_TIMEOUT, call_late_reason(net, call));
  }
}

static void
call_ask_again(void *arg)
{
  s3_net *net = arg;

  net->asking_credentials = 0;
}

/* What may pass is waited for, as long as the calls' deadlines allow. */
void
s3_calls_no_credentials(s3_net *net, const sb_error *error)
{
  int passing = error->status == SB_UNAVAILABLE;
  unsigned queue;

  net->no_credentials = *error;
  for (queue = 0; queue < S3_QUEUES; queue++) {
    s3_call *call, *next;

    for (call = net->queue_first[queue]; call != NULL; call = next) {
      next = call->queue_next;
      if (!passing || (call->flags & S3_CALL_NO_BUCKET_RETRY))
        call_give_up(call, error->status, error->message);
    }
  }
  if (passing
      && s3_timer_start(net, CALL_ASK_AGAIN_MS, call_ask_again, net) != NULL) {
    s3_net_log(net, SB_LOG_WARN, error->message);
    net->asking_credentials = 1;
  }
}

/* ---- an attempt -------------------------------------------------------------- */

/* On the provider's thread. */
static void
call_credentials_came(void *arg, s3_credentials *credentials,
                      const sb_error *error)
{
  s3_net *net = arg;

  pthread_mutex_lock(&net->lock);
  net->credentials_came = 1;
  if (credentials == NULL && error != NULL)
    net->credentials_error = *error;
  else
    net->credentials_error.status = SB_OK;
  pthread_mutex_unlock(&net->lock);
  s3_net_wake(net);
  /* The provider keeps them: calls ask it again. */
  s3_credentials_unref(credentials);
}

static s3_credentials *
call_credentials(s3_net *net)
{
  s3_credentials *credentials = NULL;

  net->asking_credentials = 1;
  s3_provider_get(net->store->provider, call_credentials_came, net,
                  &credentials);
  if (credentials != NULL) {
    net->asking_credentials = 0;
    net->no_credentials.status = SB_OK;
  }
  return credentials;
}

int
s3_call_attempt(s3_call *call)
{
  s3_net *net = call_net(call);
  s3_credentials *credentials = call_credentials(net);
  s3_exchange *x;
  sb_error error;

  if (credentials == NULL)
    return -1;
  s3_queue_remove(net, call);
  x = s3_exchange_take(net);
  if (x == NULL) {
    s3_credentials_unref(credentials);
    call_give_up(call, SB_NO_MEMORY, "out of memory");
    return 0;
  }
  x->call = call;
  x->credentials = credentials;
  call->attempts++;
  if (s3_request_prepare(x, &error) != SB_OK) {
    s3_exchange_give(x);
    call_give_up(call, error.status, error.message);
    return 0;
  }
  if (s3_exchange_start(x) != 0) {
    s3_exchange_give(x);
    call_give_up(call, SB_NO_MEMORY, "out of memory");
    return 0;
  }
  call->exchange = x;
  net->active_in[s3_queue_of(call)]++;
  s3_rate_spend(&net->requests, 1);
  s3_rate_spend(&net->upload, call->body.length);
  return 0;
}

/* ---- deciding -------------------------------------------------------------------- */

static void
call_wait_over(void *arg)
{
  s3_call *call = arg;

  call->timer = NULL;
  s3_queue_add(call_net(call), call);
}

/* 1 if it will be tried again. */
static int
call_retry(s3_call *call, const s3_verdict *verdict)
{
  s3_net *net = call_net(call);
  uint32_t attempts_max = net->settings->attempts_max;
  uint64_t wait;

  /* On opening, what a server says counts soon, and so does that nobody is
     there; but a connection may break as often as at any other time. */
  if ((call->flags & S3_CALL_NO_BUCKET_RETRY)
      && (call->answer.http != 0 || !verdict->applied)
      && attempts_max > CALL_CHECK_ATTEMPTS)
    attempts_max = CALL_CHECK_ATTEMPTS;
  if (call->attempts >= attempts_max || call->op->cancelled
      || !s3_queue_retry(net, verdict->class == S3_CLASS_THROTTLE))
    return 0;
  wait = s3_backoff(net->settings, verdict->class, call->attempts,
                    net->host->random(net->host),
                    call->answer.retry_after_ms);
  if (net->host->monotonic_ns(net->host) + wait * 1000000 >= call->deadline_ns)
    return 0;
  call->timer = s3_timer_start(net, wait, call_wait_over, call);
  if (call->timer == NULL)
    return 0;
  s3_metrics_retried(net->store->metrics, call->kind);
  return 1;
}

/* After a conflict the whole upload has to be made again: its maker does. */
static int
call_is_final_conflict(const s3_call *call, const s3_outcome *outcome)
{
  return call->kind == S3_KIND_UPLOAD_COMPLETE
         && strcmp(outcome->xml.code, "ConditionalRequestConflict") == 0;
}

static void
call_decide(s3_call *call, const s3_exchange *x, s3_outcome *outcome)
{
  s3_net *net = x->net;
  const s3_verdict *verdict = &outcome->verdict;
  sb_status status;

  if (verdict->class == S3_CLASS_OK) {
    s3_queue_succeeded(net);
    s3_call_end(call, SB_OK);
    return;
  }
  (void)snprintf(call->code, sizeof call->code, "%s", outcome->xml.code);
  if (verdict->applied || x->sends > 1)
    call->ambiguous = 1;
  if (verdict->class == S3_CLASS_THROTTLE) {
    s3_metrics_throttled(net->store->metrics, call->kind);
    s3_queue_throttled(net);
  }
  if (s3_cure(call, x, outcome)) {
    s3_queue_add(net, call);
    return;
  }
  if ((verdict->class == S3_CLASS_TRANSIENT
       || verdict->class == S3_CLASS_THROTTLE)
      && !call_is_final_conflict(call, outcome)
      && call_retry(call, verdict))
    return;
  /* A definite refusal of the last attempt says nothing of an earlier one
     whose answer was lost, unless the caller can tell. */
  status = verdict->status;
  if (call->ambiguous && (call->flags & S3_CALL_WRITE)
      && status != SB_CONFLICT && status != SB_NOT_FOUND)
    status = SB_UNKNOWN;
  s3_call_end(call, call_fail(call, status, outcome->reason));
}

static void
call_count(const s3_call *call, const s3_exchange *x)
{
  uint64_t now = x->net->host->monotonic_ns(x->net->host);

  s3_metrics_attempt(x->net->store->metrics, call->kind, call->answer.http,
                     x->first_byte_ns == 0 ? 0
                                           : x->first_byte_ns - x->started_ns,
                     now - x->started_ns,
                     x->streaming ? x->sent : call->body.length, x->received);
}

static void
call_take_off(s3_exchange *x)
{
  s3_net *net = x->net;

  (void)curl_multi_remove_handle(net->multi, x->easy);
  if (x->next != NULL)
    x->next->previous = x->previous;
  if (x->previous != NULL)
    x->previous->next = x->next;
  else
    net->active = x->next;
  net->active_count--;
  net->active_in[s3_queue_of(x->call)]--;
}

void
s3_call_finished(s3_exchange *x)
{
  s3_call *call = x->call;
  s3_outcome outcome;

  call->exchange = NULL;
  call->received = x->received;
  call_take_off(x);
  call_count(call, x);
  s3_rate_spend(&x->net->download, x->received);
  s3_judge(call, x, &outcome);
  call_decide(call, x, &outcome);
  s3_exchange_give(x);
}
