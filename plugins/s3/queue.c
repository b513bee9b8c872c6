/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes when. Calls wait in one queue a priority. The number under way is
 * limited by the connections and, after the server asked to slow down, by less
 * that grows back; requests and bytes a second are limited by token buckets.
 * Nobody waits for a connection inside libcurl, so its timeouts are an
 * attempt's own.
 */
#include "config.h"

#include "plugins/s3/net.h"

/* After a throttled answer others of the same burst do not count again. */
#define QUEUE_THROTTLE_NS 1000000000ull
#define QUEUE_TURNS 8u
#define QUEUE_RETRY_COST 14
#define QUEUE_RETRY_COST_THROTTLED 5

unsigned
s3_queue_of(const s3_call *call)
{
  uint32_t priority = call->op->priority;

  return priority <= SB_PRIORITY_COMMIT       ? 0
         : priority <= SB_PRIORITY_READ       ? 1
         : priority <= SB_PRIORITY_CHECKPOINT ? 2
                                              : 3;
}

void
s3_queue_add(s3_net *net, s3_call *call)
{
  unsigned queue = s3_queue_of(call);

  call->queued = 1;
  call->queue_next = NULL;
  call->queue_previous = net->queue_last[queue];
  if (net->queue_last[queue] != NULL)
    net->queue_last[queue]->queue_next = call;
  else
    net->queue_first[queue] = call;
  net->queue_last[queue] = call;
  net->queued_count++;
}

void
s3_queue_remove(s3_net *net, s3_call *call)
{
  unsigned queue = s3_queue_of(call);

  if (!call->queued)
    return;
  if (call->queue_next != NULL)
    call->queue_next->queue_previous = call->queue_previous;
  else
    net->queue_last[queue] = call->queue_previous;
  if (call->queue_previous != NULL)
    call->queue_previous->queue_next = call->queue_next;
  else
    net->queue_first[queue] = call->queue_next;
  call->queued = 0;
  net->queued_count--;
}

/* ---- limits ------------------------------------------------------------------ */

/* Milliseconds until something may be spent, 0: now. */
static uint64_t
rate_wait_ms(s3_rate *rate, uint64_t now_ns)
{
  if (rate->per_second == 0)
    return 0;
  rate->tokens += (double)(now_ns - rate->at_ns) * 1e-9
                  * (double)rate->per_second;
  if (rate->tokens > (double)rate->per_second)
    rate->tokens = (double)rate->per_second;
  rate->at_ns = now_ns;
  if (rate->tokens >= 1)
    return 0;
  return (uint64_t)((1 - rate->tokens) * 1000 / (double)rate->per_second) + 1;
}

/* What is spent may become a debt, so that large bodies pass too. */
void
s3_rate_spend(s3_rate *rate, uint64_t amount)
{
  if (rate->per_second != 0)
    rate->tokens -= (double)amount;
}

static void
queue_rate_over(void *arg)
{
  s3_net *net = arg;

  net->rate_timer = NULL;
}

static uint64_t
queue_later(uint64_t wait, uint64_t other)
{
  return other > wait ? other : wait;
}

/* Milliseconds until the rates let this call go, 0: now. A debt of uploads
   holds up nobody who sends nothing. */
static uint64_t
queue_wait_ms(s3_net *net, const s3_call *call, uint64_t now_ns)
{
  uint64_t wait = rate_wait_ms(&net->requests, now_ns);

  if (call->body.length > 0)
    wait = queue_later(wait, rate_wait_ms(&net->upload, now_ns));
  if (call->buffer != NULL)
    wait = queue_later(wait, rate_wait_ms(&net->download, now_ns));
  return wait;
}

void
s3_queue_throttled(s3_net *net)
{
  uint64_t now = net->host->monotonic_ns(net->host);

  if (net->throttled_ns != 0 && now - net->throttled_ns < QUEUE_THROTTLE_NS)
    return;
  net->throttled_ns = now;
  net->limit = (net->active_count < net->limit ? net->active_count + 1
                                               : net->limit) / 2;
  if (net->limit < 1)
    net->limit = 1;
}

void
s3_queue_succeeded(s3_net *net)
{
  if (net->limit < net->settings->connections_max)
    net->limit += 1 / net->limit;
  if (net->retry_tokens < net->settings->retry_tokens)
    net->retry_tokens += 1;
}

int
s3_queue_retry(s3_net *net, int throttled)
{
  int cost = throttled ? QUEUE_RETRY_COST_THROTTLED : QUEUE_RETRY_COST;

  if (net->settings->retry_tokens == 0)
    return 1;
  if (net->retry_tokens < cost)
    return 0;
  net->retry_tokens -= cost;
  return 1;
}

/* ---- admission ----------------------------------------------------------------- */

/* Uploads and background work leave a few places to commits and reads. */
static int
queue_has_place(const s3_net *net, unsigned queue)
{
  uint32_t limit = (uint32_t)net->limit;
  uint32_t low = net->active_in[2] + net->active_in[3];

  if (net->active_count >= limit)
    return 0;
  if (queue < 2 || low == 0)
    return 1;
  if (queue == 3 && net->active_in[3] >= (limit + 1) / 2)
    return 0;
  return low + (limit >= 8 ? limit / 8 : 0) < limit;
}

/* One turn in so many goes the other way round: however much is read, uploads
   go on, and however much is written, removals. NULL: none may go now; in
   *wait_ms, until when, 0 if it is not a matter of rates. */
static s3_call *
queue_next(s3_net *net, uint64_t *wait_ms)
{
  int reverse = net->turns % QUEUE_TURNS == QUEUE_TURNS - 1;
  uint64_t now = net->host->monotonic_ns(net->host);
  unsigned i;

  *wait_ms = 0;
  for (i = 0; i < S3_QUEUES; i++) {
    unsigned queue = reverse ? S3_QUEUES - 1 - i : i;
    s3_call *call = net->queue_first[queue];
    uint64_t wait;

    if (call == NULL || !queue_has_place(net, queue))
      continue;
    wait = queue_wait_ms(net, call, now);
    if (wait == 0)
      return call;
    if (*wait_ms == 0 || wait < *wait_ms)
      *wait_ms = wait;
  }
  return NULL;
}

void
s3_queue_run(s3_net *net)
{
  uint64_t wait = 0;
  s3_call *call;

  while (!net->asking_credentials
         && (call = queue_next(net, &wait)) != NULL) {
    if (s3_call_attempt(call) != 0)
      return;
    net->turns++;
  }
  if (wait != 0 && net->rate_timer == NULL)
    net->rate_timer = s3_timer_start(net, wait, queue_rate_over, net);
}
