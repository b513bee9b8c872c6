/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's counters. Names are built once, when a kind of request is first
 * met; from then on an attempt costs a few atomic additions through handles
 * of the host's. An older host without handles is given the names each time.
 */
#include "config.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "plugins/s3/buf.h"
#include "plugins/s3/call.h"
#include "plugins/s3/metrics.h"

#define METRICS_NAME 192u

/* A metric of the host's. Both NULL: no room, or not asked for yet. */
typedef struct metrics_slot {
  sb_metric *metric;
  const char *name;         /* for hosts without handles */
  int opened;
} metrics_slot;

/* Upper bounds of the histograms' buckets; one more bucket has no bound. */
static const uint64_t metrics_bounds[] = {
  1000000u, 2500000u, 5000000u, 10000000u, 25000000u, 50000000u, 100000000u,
  250000000u, 500000000u, 1000000000u, 2500000000u, 5000000000u, 10000000000u,
  30000000000u, 60000000000u
};
#define METRICS_BOUNDS (sizeof metrics_bounds / sizeof metrics_bounds[0])

typedef struct metrics_histogram {
  metrics_slot buckets[METRICS_BOUNDS + 1], sum;
} metrics_histogram;

/* What an attempt came to. */
typedef enum metrics_result {
  METRICS_OK, METRICS_REDIRECTED, METRICS_DENIED, METRICS_NOT_FOUND,
  METRICS_CONFLICT, METRICS_REFUSED, METRICS_THROTTLED, METRICS_SERVER_ERROR,
  METRICS_NO_ANSWER, METRICS_RESULTS
} metrics_result;
static const char *const metrics_results[METRICS_RESULTS] = {
  "ok", "redirected", "denied", "not_found", "conflict", "refused",
  "throttled", "server_error", "no_answer"
};

/* How a call ended. */
typedef enum metrics_end {
  METRICS_CALL_OK, METRICS_CALL_NOT_FOUND, METRICS_CALL_CONFLICT,
  METRICS_CALL_DENIED, METRICS_CALL_UNKNOWN, METRICS_CALL_TIMEOUT,
  METRICS_CALL_CANCELLED, METRICS_CALL_FAILED, METRICS_ENDS
} metrics_end;
static const char *const metrics_ends[METRICS_ENDS] = {
  "ok", "not_found", "conflict", "denied", "unknown", "timeout", "cancelled",
  "failed"
};

/* The metrics of one kind of request. */
typedef struct metrics_kind {
  int ready;
  metrics_slot requests[METRICS_RESULTS], calls[METRICS_ENDS];
  metrics_slot call_time, sent, received, retries, throttles;
  metrics_histogram first_byte, total;
} metrics_kind;

typedef struct metrics_gauge {
  metrics_slot slot;
  _Atomic int64_t last;     /* what we have added to it */
} metrics_gauge;

typedef enum metrics_class {
  METRICS_CLASS_PUT, METRICS_CLASS_GET, METRICS_CLASS_FREE, METRICS_CLASSES
} metrics_class;

typedef struct metrics_name {
  struct metrics_name *next;
  char text[];
} metrics_name;

struct s3_metrics {
  const sb_host *host;
  int handles;              /* the host has them */
  uint64_t prices[METRICS_CLASSES]; /* nanodollars a request */
  metrics_name *names;      /* of slots without a handle */
  metrics_kind kinds[S3_KINDS];
  metrics_slot cost[METRICS_CLASSES];
  metrics_gauge connections, queued, active, limit;
  metrics_gauge obtained, expiry; /* set, not added to, with handles */
  metrics_slot refreshed, failed;
};

/* ---- slots -------------------------------------------------------------- */

static const char *
metrics_keep(s3_metrics *m, const char *text)
{
  size_t len = strlen(text) + 1;
  metrics_name *name = s3_alloc(m->host, sizeof *name + len);

  if (name == NULL)
    return NULL;
  memcpy(name->text, text, len);
  name->next = m->names;
  m->names = name;
  return name->text;
}

/* `labels` is the inside of the braces, "" for none. */
static void
metrics_open(s3_metrics *m, metrics_slot *slot, uint32_t kind,
             const char *name, const char *labels, const char *help)
{
  char text[METRICS_NAME];
  int len = snprintf(text, sizeof text, labels[0] == '\0' ? "%s%s" : "%s{%s}",
                     name, labels);

  slot->opened = 1;
  if (len < 0 || (size_t)len >= sizeof text)
    return;
  if (m->handles)
    slot->metric = m->host->metric_slot(m->host, text, kind, help);
  else
    slot->name = metrics_keep(m, text);
}

static inline void
metrics_add(s3_metrics *m, const metrics_slot *slot, uint64_t delta)
{
  if (slot->metric != NULL)
    m->host->metric_slot_add(m->host, slot->metric, (int64_t)delta);
  else if (slot->name != NULL)
    m->host->metric_add(m->host, slot->name, (int64_t)delta);
}

static void
metrics_gauge_set(s3_metrics *m, metrics_gauge *gauge, uint64_t value)
{
  int64_t last = atomic_exchange_explicit(&gauge->last, (int64_t)value,
                                          memory_order_relaxed);

  if (last != (int64_t)value)
    metrics_add(m, &gauge->slot, value - (uint64_t)last);
}

/* A point in time: the stores of a process do not add up. */
static void
metrics_gauge_time(s3_metrics *m, metrics_gauge *gauge, uint64_t value)
{
  if (gauge->slot.metric != NULL)
    m->host->metric_slot_set(m->host, gauge->slot.metric, (int64_t)value);
  else
    metrics_gauge_set(m, gauge, value);
}

/* ---- a kind's metrics --------------------------------------------------- */

static void
metrics_open_histogram(s3_metrics *m, metrics_histogram *h, const char *name,
                       const char *op, const char *help)
{
  char labels[96];
  size_t i;

  for (i = 0; i < METRICS_BOUNDS; i++) {
    (void)snprintf(labels, sizeof labels, "op=\"%s\",le=\"%llu\"", op,
                   (unsigned long long)metrics_bounds[i]);
    metrics_open(m, &h->buckets[i], SB_METRIC_HISTOGRAM, name, labels, NULL);
  }
  (void)snprintf(labels, sizeof labels, "op=\"%s\",le=\"+Inf\"", op);
  metrics_open(m, &h->buckets[i], SB_METRIC_HISTOGRAM, name, labels, NULL);
  (void)snprintf(labels, sizeof labels, "op=\"%s\"", op);
  metrics_open(m, &h->sum, SB_METRIC_HISTOGRAM, name, labels, help);
}

/* NULL for a kind that is none. */
static metrics_kind *
metrics_kind_of(s3_metrics *m, int kind)
{
  metrics_kind *k = kind < 0 || kind >= S3_KINDS ? NULL : &m->kinds[kind];
  const char *op;
  char labels[96];

  if (k == NULL || k->ready)
    return k;
  k->ready = 1;
  op = s3_kind_names[kind];
  (void)snprintf(labels, sizeof labels, "op=\"%s\"", op);
  metrics_open(m, &k->call_time, SB_METRIC_COUNTER, "s3.call_ns", labels,
               "Time that calls took in all, with queueing, attempts and "
               "waits between them.");
  metrics_open(m, &k->sent, SB_METRIC_COUNTER, "s3.sent_bytes", labels,
               "Bytes of request bodies that were sent.");
  metrics_open(m, &k->received, SB_METRIC_COUNTER, "s3.received_bytes", labels,
               "Bytes of answers' bodies that were received.");
  metrics_open(m, &k->retries, SB_METRIC_COUNTER, "s3.retries", labels,
               "Attempts that followed a failed one of the same call.");
  metrics_open(m, &k->throttles, SB_METRIC_COUNTER, "s3.throttles", labels,
               "Answers by which the server asked for fewer requests.");
  metrics_open_histogram(m, &k->first_byte, "s3.request_first_byte_ns", op,
                         "Time from the start of an attempt to the first "
                         "byte of its answer.");
  metrics_open_histogram(m, &k->total, "s3.request_ns", op,
                         "Time from the start of an attempt to its end.");
  return k;
}

/* A slot for an outcome, made when it is first met. */
static metrics_slot *
metrics_outcome(s3_metrics *m, metrics_slot *slot, const char *name, int kind,
                const char *outcome, const char *help)
{
  char labels[96];

  if (!slot->opened) {
    (void)snprintf(labels, sizeof labels, "op=\"%s\",result=\"%s\"",
                   s3_kind_names[kind], outcome);
    metrics_open(m, slot, SB_METRIC_COUNTER, name, labels, help);
  }
  return slot;
}

static void
metrics_observe(s3_metrics *m, const metrics_histogram *h, uint64_t ns)
{
  size_t i;

  for (i = 0; i < METRICS_BOUNDS; i++)
    if (ns <= metrics_bounds[i])
      break;
  metrics_add(m, &h->buckets[i], 1);
  metrics_add(m, &h->sum, ns);
}

/* ---- classes ------------------------------------------------------------ */

static metrics_result
metrics_result_of(int http)
{
  if (http < 100)
    return METRICS_NO_ANSWER;
  if (http < 300)
    return METRICS_OK;
  switch (http) {
  case 304:
  case 409:
  case 412:
    return METRICS_CONFLICT;
  case 401:
  case 403:
    return METRICS_DENIED;
  case 404:
    return METRICS_NOT_FOUND;
  case 429:
  case 503:
    return METRICS_THROTTLED;
  default:
    return http < 400 ? METRICS_REDIRECTED
                      : http < 500 ? METRICS_REFUSED : METRICS_SERVER_ERROR;
  }
}

static metrics_end
metrics_end_of(sb_status status)
{
  switch (status) {
  case SB_OK:
    return METRICS_CALL_OK;
  case SB_NOT_FOUND:
    return METRICS_CALL_NOT_FOUND;
  case SB_CONFLICT:
  case SB_EXISTS:
    return METRICS_CALL_CONFLICT;
  case SB_DENIED:
    return METRICS_CALL_DENIED;
  case SB_UNKNOWN:
    return METRICS_CALL_UNKNOWN;
  case SB_TIMEOUT:
    return METRICS_CALL_TIMEOUT;
  case SB_CANCELLED:
    return METRICS_CALL_CANCELLED;
  default:
    return METRICS_CALL_FAILED;
  }
}

/* As Amazon's price list groups requests. */
static metrics_class
metrics_class_of(int kind)
{
  switch (kind) {
  case S3_KIND_GET:
  case S3_KIND_HEAD:
  case S3_KIND_BUCKET:
    return METRICS_CLASS_GET;
  case S3_KIND_DELETE:
  case S3_KIND_DELETE_BATCH:
  case S3_KIND_UPLOAD_ABORT:
    return METRICS_CLASS_FREE;
  default:
    return METRICS_CLASS_PUT;
  }
}

/* ---- the calls ---------------------------------------------------------- */

static void
metrics_open_gauge(s3_metrics *m, metrics_gauge *gauge, const char *name,
                   const char *labels, const char *help)
{
  metrics_open(m, &gauge->slot, SB_METRIC_GAUGE, name, labels, help);
}

/* The label of a bucket, of what cannot end the label. */
static void
metrics_bucket(const s3_settings *settings, char *labels, size_t size)
{
  const char *bucket = settings->bucket == NULL ? "" : settings->bucket;
  size_t len = (size_t)snprintf(labels, size, "bucket=\"");

  for (; *bucket != '\0' && len + 2 < size; bucket++)
    labels[len++] = *bucket <= ' ' || *bucket > '~' || *bucket == '"' ||
                    *bucket == '\\' ? '_' : *bucket;
  labels[len++] = '"';
  labels[len] = '\0';
}

static void
metrics_open_credentials(s3_metrics *m, const s3_settings *settings)
{
  char labels[96];

  metrics_bucket(settings, labels, sizeof labels);
  metrics_open_gauge(m, &m->obtained, "s3.credentials_obtained_ms", labels,
                     "When the credentials in use were obtained, in Unix "
                     "time.");
  metrics_open_gauge(m, &m->expiry, "s3.credentials_expiry_ms", labels,
                     "When the credentials in use expire, in Unix time; 0 if "
                     "they do not.");
  metrics_open(m, &m->refreshed, SB_METRIC_COUNTER, "s3.credentials_refreshes",
               "result=\"ok\"", "Times that credentials were asked for.");
  metrics_open(m, &m->failed, SB_METRIC_COUNTER, "s3.credentials_refreshes",
               "result=\"failed\"", NULL);
}

s3_metrics *
s3_metrics_new(const s3_settings *settings)
{
  const sb_host *host = settings->host;
  s3_metrics *m = s3_alloc(host, sizeof *m);

  if (m == NULL)
    return NULL;
  m->host = host;
  m->handles = SB_HOST_HAS(host, metric_slot) &&
               SB_HOST_HAS(host, metric_slot_add) &&
               SB_HOST_HAS(host, metric_slot_set);
  /* So many millionths for 1,000 are so many billionths for one. */
  m->prices[METRICS_CLASS_PUT] = settings->price_put;
  m->prices[METRICS_CLASS_GET] = settings->price_get;
  metrics_open(m, &m->cost[METRICS_CLASS_PUT], SB_METRIC_COUNTER,
               "s3.cost_nanodollars", "class=\"put\"",
               "What the requests cost at the list prices of the settings.");
  metrics_open(m, &m->cost[METRICS_CLASS_GET], SB_METRIC_COUNTER,
               "s3.cost_nanodollars", "class=\"get\"", NULL);
  metrics_open_gauge(m, &m->connections, "s3.connections", "",
                     "Connections that are open.");
  metrics_open_gauge(m, &m->queued, "s3.queued", "",
                     "Requests that wait for their turn.");
  metrics_open_gauge(m, &m->active, "s3.active", "",
                     "Requests in flight.");
  metrics_open_gauge(m, &m->limit, "s3.active_limit", "",
                     "Requests that may be in flight; less than configured "
                     "while the server throttles.");
  metrics_open_credentials(m, settings);
  return m;
}

void
s3_metrics_free(s3_metrics *m)
{
  metrics_name *name;
  const sb_host *host;

  if (m == NULL)
    return;
  host = m->host;
  s3_metrics_gauges(m, 0, 0, 0, 0);
  while ((name = m->names) != NULL) {
    m->names = name->next;
    s3_free(host, name);
  }
  s3_free(host, m);
}

void
s3_metrics_attempt(s3_metrics *m, int kind, int http, uint64_t first_byte_ns,
                   uint64_t total_ns, uint64_t bytes_sent,
                   uint64_t bytes_received)
{
  metrics_kind *k = metrics_kind_of(m, kind);
  metrics_result result = metrics_result_of(http);
  metrics_class class = metrics_class_of(kind);

  if (k == NULL)
    return;
  metrics_add(m, metrics_outcome(m, &k->requests[result], "s3.requests", kind,
                                 metrics_results[result],
                                 "Attempts at requests, by what came of "
                                 "them."), 1);
  if (first_byte_ns != 0)
    metrics_observe(m, &k->first_byte, first_byte_ns);
  metrics_observe(m, &k->total, total_ns);
  if (bytes_sent != 0)
    metrics_add(m, &k->sent, bytes_sent);
  if (bytes_received != 0)
    metrics_add(m, &k->received, bytes_received);
  /* Amazon charges for what it answered but its own failures. */
  if (http >= 100 && http < 500 && m->prices[class] != 0)
    metrics_add(m, &m->cost[class], m->prices[class]);
}

void
s3_metrics_call(s3_metrics *m, int kind, sb_status status, uint32_t attempts,
                uint64_t total_ns)
{
  metrics_kind *k = metrics_kind_of(m, kind);
  metrics_end end = metrics_end_of(status);

  (void)attempts; /* the requests and the retries say it */
  if (k == NULL)
    return;
  metrics_add(m, metrics_outcome(m, &k->calls[end], "s3.calls", kind,
                                 metrics_ends[end],
                                 "Calls of the client, each one request with "
                                 "its retries, by how they ended."), 1);
  metrics_add(m, &k->call_time, total_ns);
}

void
s3_metrics_throttled(s3_metrics *m, int kind)
{
  metrics_kind *k = metrics_kind_of(m, kind);

  if (k != NULL)
    metrics_add(m, &k->throttles, 1);
}

void
s3_metrics_retried(s3_metrics *m, int kind)
{
  metrics_kind *k = metrics_kind_of(m, kind);

  if (k != NULL)
    metrics_add(m, &k->retries, 1);
}

void
s3_metrics_gauges(s3_metrics *m, uint64_t connections, uint64_t queued,
                  uint64_t active, uint64_t limit)
{
  metrics_gauge_set(m, &m->connections, connections);
  metrics_gauge_set(m, &m->queued, queued);
  metrics_gauge_set(m, &m->active, active);
  metrics_gauge_set(m, &m->limit, limit);
}

void
s3_metrics_credentials(s3_metrics *m, uint64_t obtained_ms,
                       uint64_t expires_ms, int failed)
{
  metrics_add(m, failed ? &m->failed : &m->refreshed, 1);
  if (failed)
    return;
  metrics_gauge_time(m, &m->obtained, obtained_ms);
  metrics_gauge_time(m, &m->expiry, expires_ms);
}
