/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a call: queued, attempted, judged, tried again or ended. What an
 * attempt sends is request.c's; what its outcome means, retry.c's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/net.h"
#include "plugins/s3/request.h"
#include "plugins/s3/retry.h"

#define CALL_FIXED_REGION 1
#define CALL_FIXED_CLOCK 2
#define CALL_FIXED_CREDENTIALS 4
#define CALL_CHECK_ATTEMPTS 3u
#define CALL_ASK_AGAIN_MS 2000
#define CALL_HASH_MIN (128u << 10)
#define CALL_SKEW_MS (4 * 60 * 1000)

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
  sb_fail(&call->error, status, "could not %s %s \"%.200s\": %.220s%s",
          call_deeds[call->kind], what, name, reason, more);
  call->error.system = call->answer.http;
  return status;
}

/* A server may repeat what it was sent: nothing secret comes back out. */
static int
call_is_safe(const char *message, const s3_exchange *x)
{
  const s3_credentials *c = x->credentials;
  char start[17];

  if (c == NULL)
    return 1;
  if (strstr(message, c->access_key) != NULL
      || strstr(message, c->secret_key) != NULL)
    return 0;
  if (c->session_token == NULL)
    return 1;
  (void)snprintf(start, sizeof start, "%s", c->session_token);
  return strstr(message, start) == NULL;
}

/* "Access Denied. (AccessDenied, HTTP 403, request 4442587FB7D0A2F9)" */
static void
call_http_reason(const s3_call *call, const s3_exchange *x,
                 const s3_xml_error *xml, char *out, size_t size)
{
  const char *message = call_is_safe(xml->message, x) ? xml->message : "";
  const char *id = call->answer.request_id;
  int worded = message[0] != '\0';

  (void)snprintf(out, size, "%.100s%s%s%sHTTP %d%s%.60s%s", message,
                 worded ? " (" : "", xml->code,
                 xml->code[0] != '\0' ? ", " : "", call->answer.http,
                 id[0] != '\0' ? ", request " : "", id, worded ? ")" : "");
}

static const char *
call_stop_reason(s3_stop stop)
{
  switch (stop) {
  case S3_STOP_CANCELLED:
    return "cancelled";
  case S3_STOP_DEADLINE:
    return "the deadline passed";
  case S3_STOP_FIRST_BYTE:
    return "no answer in first-byte-timeout";
  case S3_STOP_STALL:
    return "the transfer stood still for stall-timeout";
  case S3_STOP_HEADERS:
    return "the answer's headers have no end";
  case S3_STOP_BODY:
    return "the answer is not what was asked for: too long, or another range";
  case S3_STOP_RANGE:
    return "the server ignores ranges";
  default:
    return "out of memory";
  }
}

static void
call_log(s3_net *net, uint32_t level, const char *text)
{
  net->host->log(net->host, level, net->settings->scheme, text);
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
  pthread_mutex_unlock(&net->lock);
  s3_net_wake(net);
}

void
s3_call_hashed(s3_call *call)
{
  call->hashing = 0;
  if (call->op->cancelled)
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
    call_log(net, SB_LOG_WARN, error->message);
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
  net->credentials_new = credentials;
  if (credentials == NULL && error != NULL)
    net->credentials_error = *error;
  else
    net->credentials_error.status = SB_OK;
  pthread_mutex_unlock(&net->lock);
  s3_net_wake(net);
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

/* ---- judging ------------------------------------------------------------------ */

typedef struct call_outcome {
  s3_verdict verdict;
  s3_xml_error xml;
  char reason[256];
} call_outcome;

static void
call_set(call_outcome *outcome, s3_class class, sb_status status, int applied,
         const char *reason)
{
  outcome->verdict.class = class;
  outcome->verdict.status = status;
  outcome->verdict.applied = applied;
  (void)snprintf(outcome->reason, sizeof outcome->reason, "%s", reason);
}

static void
call_judge_stop(const s3_exchange *x, int sent, call_outcome *outcome)
{
  const char *reason = call_stop_reason(x->stop);

  switch (x->stop) {
  case S3_STOP_CANCELLED:
    call_set(outcome, S3_CLASS_FINAL, SB_CANCELLED, sent, reason);
    break;
  case S3_STOP_DEADLINE:
    call_set(outcome, S3_CLASS_FINAL, SB_TIMEOUT, sent, reason);
    break;
  case S3_STOP_FIRST_BYTE:
  case S3_STOP_STALL:
    call_set(outcome, S3_CLASS_TRANSIENT, SB_UNAVAILABLE, sent, reason);
    break;
  case S3_STOP_MEMORY:
    call_set(outcome, S3_CLASS_FINAL, SB_NO_MEMORY, sent, reason);
    break;
  default:
    call_set(outcome, S3_CLASS_FINAL, SB_IO, sent, reason);
    break;
  }
}

static void
call_judge_curl(const s3_exchange *x, int sent, call_outcome *outcome)
{
  const char *text = x->error[0] != '\0' && call_is_safe(x->error, x)
                       ? x->error
                       : curl_easy_strerror(x->code);

  outcome->verdict = s3_judge_curl((int)x->code, sent);
  (void)snprintf(outcome->reason, sizeof outcome->reason, "%.220s", text);
}

/* A refusal without a body, or one that a wrong clock explains. */
static void
call_judge_hints(const s3_call *call, const s3_exchange *x,
                 call_outcome *outcome)
{
  const s3_answer *answer = &call->answer;
  s3_net *net = call_net(call);
  int64_t now = (int64_t)net->host->clock_ms(net->host)
                + net->store->clock_offset_ms;
  int64_t skew = answer->date_ms == 0 ? 0 : (int64_t)answer->date_ms - now;

  if (answer->http == 400 && answer->region[0] != '\0'
      && strcmp(answer->region, x->region) != 0)
    outcome->verdict.class = S3_CLASS_FIX_REGION;
  if (answer->http == 403 && (skew > CALL_SKEW_MS || skew < -CALL_SKEW_MS)
      && (outcome->xml.code[0] == '\0'
          || strcmp(outcome->xml.code, "SignatureDoesNotMatch") == 0
          || strcmp(outcome->xml.code, "AccessDenied") == 0))
    outcome->verdict.class = S3_CLASS_FIX_CLOCK;
}

static void
call_judge_http(const s3_call *call, const s3_exchange *x, const s3_buf *body,
                call_outcome *outcome)
{
  (void)s3_xml_read_error(x->net->host, s3_buf_string(body), body->len,
                          &outcome->xml);
  outcome->verdict = s3_judge_http(call->answer.http, outcome->xml.code);
  call_http_reason(call, x, &outcome->xml, outcome->reason,
                   sizeof outcome->reason);
  call_judge_hints(call, x, outcome);
}

/* Does a good answer to a GET hold all of what there is, unharmed? */
static void
call_judge_bytes(const s3_call *call, call_outcome *outcome)
{
  const s3_answer *answer = &call->answer;
  uint64_t total = answer->http == 206 ? answer->total : answer->length;
  uint64_t wanted = call->buffer_size;
  char crc[S3_CRC32C_BASE64];

  if (total != UINT64_MAX) {
    uint64_t left = total > call->skip ? total - call->skip : 0;

    if (left < wanted)
      wanted = left;
    if (call->received != wanted) {
      call_set(outcome, S3_CLASS_TRANSIENT, SB_IO, 0,
               "the answer is shorter than it says");
      return;
    }
  }
  if (answer->crc32c[0] == '\0' || strchr(answer->crc32c, '-') != NULL
      || strcmp(answer->checksum_type, "COMPOSITE") == 0
      || total == UINT64_MAX || call->skip != 0 || call->received != total)
    return;
  s3_crc32c_text(s3_crc32c(0, call->buffer, (size_t)call->received), crc);
  if (strcmp(crc, answer->crc32c) != 0)
    call_set(outcome, S3_CLASS_TRANSIENT, SB_CORRUPT, 0,
             "the bytes do not match the object's CRC-32C");
}

/* A 200 that may hold an error, after white space, or be cut off. */
static void
call_judge_text(const s3_call *call, const s3_exchange *x,
                call_outcome *outcome)
{
  char root[64];

  s3_xml_root(s3_buf_string(&call->text), call->text.len, root);
  if (strcmp(root, "Error") == 0) {
    call_judge_http(call, x, &call->text, outcome);
    if (outcome->verdict.class == S3_CLASS_FINAL
        && outcome->verdict.status == SB_INVALID)
      outcome->verdict.status = SB_IO;
    if (outcome->verdict.class == S3_CLASS_OK)
      outcome->verdict = s3_judge_http(500, "");
  } else if (root[0] == '\0') {
    call_set(outcome, S3_CLASS_TRANSIENT, SB_IO, 1,
             "the answer is not XML: is this an S3 server?");
  }
}

static void
call_judge(s3_call *call, const s3_exchange *x, call_outcome *outcome)
{
  int http = call->answer.http;
  long sent = 0;

  memset(outcome, 0, sizeof *outcome);
  (void)curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &sent);
  if (x->stop != S3_STOP_NONE)
    call_judge_stop(x, sent > 0, outcome);
  else if (x->code != CURLE_OK && !x->complete)
    call_judge_curl(x, sent > 0, outcome);
  else if (!x->head_done)
    call_set(outcome, S3_CLASS_TRANSIENT, SB_UNAVAILABLE, 1,
             "the answer's headers were cut off");
  else if (http < 200 || http >= 300)
    call_judge_http(call, x, &x->error_text, outcome);
  else if (call->flags & S3_CALL_OK_ERROR)
    call_judge_text(call, x, outcome);
  else if (call->buffer != NULL)
    call_judge_bytes(call, outcome);
}

/* ---- cures --------------------------------------------------------------------- */

/* "https://bucket.s3.eu-west-1.amazonaws.com/..." to "eu-west-1". */
static int
call_location_region(const char *location, char region[64])
{
  const char *s3 = strstr(location, "s3");
  const char *end;
  size_t len;

  if (s3 == NULL || (s3[2] != '.' && s3[2] != '-'))
    return 0;
  s3 += 3;
  if (strncmp(s3, "dualstack.", 10) == 0)
    s3 += 10;
  end = strstr(s3, ".amazonaws.com");
  if (end == NULL || (len = (size_t)(end - s3)) == 0 || len > 63
      || memchr(s3, '/', len) != NULL)
    return 0;
  memcpy(region, s3, len);
  region[len] = '\0';
  return 1;
}

/* A redirect to where we are already: the same request once more. */
static int
call_is_here(const s3_store *store, const char *location)
{
  size_t len = strlen(store->endpoint.url);

  return location[0] == '/'
         || (strncmp(location, store->endpoint.url, len) == 0
             && (location[len] == '/' || location[len] == '\0'
                 || location[len] == '?'));
}

static int
call_fix_region(s3_call *call, const s3_exchange *x, call_outcome *outcome)
{
  s3_store *store = call->op->store;
  const char *location = call->answer.location;
  char region[64] = "";
  char text[256];
  s3_endpoint endpoint;

  if (strcmp(x->region, store->endpoint.region) != 0)
    return 1; /* another call has found it out meanwhile */
  if (call->fixed & CALL_FIXED_REGION)
    return 0;
  call->fixed |= CALL_FIXED_REGION;
  if (call->answer.region[0] != '\0')
    (void)snprintf(region, sizeof region, "%s", call->answer.region);
  else if (outcome->xml.region[0] != '\0')
    (void)snprintf(region, sizeof region, "%s", outcome->xml.region);
  else if (!store->endpoint.amazon
           || !call_location_region(location, region)) {
    if (location[0] == '\0' || call_is_here(store, location))
      return location[0] != '\0';
    (void)snprintf(outcome->reason, sizeof outcome->reason,
                   "the server redirects to \"%.120s\", which is not "
                   "followed (HTTP %d)", location, call->answer.http);
    return 0;
  }
  if (strcmp(region, store->endpoint.region) == 0
      || s3_endpoint_make(store->settings, region, store->settings->bucket,
                          &endpoint, NULL) != SB_OK)
    return 0;
  (void)snprintf(text, sizeof text,
                 "bucket \"%.63s\" is in region \"%.63s\", not in \"%.63s\"",
                 store->settings->bucket, region, store->endpoint.region);
  call_log(x->net, SB_LOG_INFO, text);
  store->endpoint = endpoint;
  return 1;
}

static int
call_fix_clock(s3_call *call, const s3_exchange *x,
               const call_outcome *outcome)
{
  s3_store *store = call->op->store;
  uint64_t server = outcome->xml.server_time_ms != 0
                      ? outcome->xml.server_time_ms
                      : call->answer.date_ms;
  int64_t offset;
  char text[160];

  if (server == 0 || (call->fixed & CALL_FIXED_CLOCK))
    return 0;
  call->fixed |= CALL_FIXED_CLOCK;
  offset = (int64_t)server - (int64_t)x->net->host->clock_ms(x->net->host);
  if (offset - store->clock_offset_ms < 60000
      && store->clock_offset_ms - offset < 60000)
    return 0;
  (void)snprintf(text, sizeof text,
                 "the clock differs from the server's by %lld s; requests are "
                 "signed with the server's time", (long long)offset / 1000);
  call_log(x->net, SB_LOG_WARN, text);
  store->clock_offset_ms = offset;
  return 1;
}

static int
call_fix(s3_call *call, const s3_exchange *x, call_outcome *outcome)
{
  switch (outcome->verdict.class) {
  case S3_CLASS_FIX_REGION:
    return call_fix_region(call, x, outcome);
  case S3_CLASS_FIX_CLOCK:
    return call_fix_clock(call, x, outcome);
  case S3_CLASS_FIX_CREDENTIALS:
    if (call->fixed & CALL_FIXED_CREDENTIALS)
      return 0;
    call->fixed |= CALL_FIXED_CREDENTIALS;
    return s3_provider_reject(call->op->store->provider, x->credentials);
  default:
    return 0;
  }
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

  if ((call->flags & S3_CALL_NO_BUCKET_RETRY)
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

static void
call_decide(s3_call *call, const s3_exchange *x, call_outcome *outcome)
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
  if (call_fix(call, x, outcome)) {
    s3_queue_add(net, call);
    return;
  }
  if ((verdict->class == S3_CLASS_TRANSIENT
       || verdict->class == S3_CLASS_THROTTLE)
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
  call_outcome outcome;

  call->exchange = NULL;
  call->received = x->received;
  call_take_off(x);
  call_count(call, x);
  s3_rate_spend(&x->net->download, x->received);
  call_judge(call, x, &outcome);
  call_decide(call, x, &outcome);
  s3_exchange_give(x);
}
