/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network thread: its inbox, its timers and its loop. It sleeps in
 * epoll_wait, without a time limit when nothing is under way, and looks only at
 * the connections on which something happened.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugins/s3/net.h"

#define NET_SLEEP_MS 3600000
#define NET_EVENTS 64

struct s3_timer {
  uint64_t due_ns;
  void (*fn)(void *arg);
  void *arg;
  size_t at;              /* in the heap */
};

void
s3_net_log(s3_net *net, uint32_t level, const char *text)
{
  net->host->log(net->host, level, net->settings->scheme, text);
}

/* ---- timers ----------------------------------------------------------------- */

static void
timer_place(s3_net *net, s3_timer *timer, size_t at)
{
  net->timers[at] = timer;
  timer->at = at;
}

static void
timer_up(s3_net *net, s3_timer *timer, size_t at)
{
  while (at > 0 && net->timers[(at - 1) / 2]->due_ns > timer->due_ns) {
    timer_place(net, net->timers[(at - 1) / 2], at);
    at = (at - 1) / 2;
  }
  timer_place(net, timer, at);
}

static void
timer_down(s3_net *net, s3_timer *timer, size_t at)
{
  for (;;) {
    size_t child = at * 2 + 1;

    if (child + 1 < net->timer_count
        && net->timers[child + 1]->due_ns < net->timers[child]->due_ns)
      child++;
    if (child >= net->timer_count
        || net->timers[child]->due_ns >= timer->due_ns)
      break;
    timer_place(net, net->timers[child], at);
    at = child;
  }
  timer_place(net, timer, at);
}

static int
timer_room(s3_net *net)
{
  size_t size = net->timer_size == 0 ? 64 : net->timer_size * 2;
  s3_timer **timers;

  if (net->timer_count < net->timer_size)
    return 1;
  timers = net->host->alloc(net->host, net->timers, size * sizeof *timers);
  if (timers == NULL)
    return 0;
  net->timers = timers;
  net->timer_size = size;
  return 1;
}

s3_timer *
s3_timer_start(s3_net *net, uint64_t delay_ms, void (*fn)(void *arg),
               void *arg)
{
  s3_timer *timer = s3_alloc(net->host, sizeof *timer);

  if (timer == NULL || !timer_room(net)) {
    s3_free(net->host, timer);
    return NULL;
  }
  timer->due_ns = net->host->monotonic_ns(net->host) + delay_ms * 1000000;
  timer->fn = fn;
  timer->arg = arg;
  timer_up(net, timer, net->timer_count++);
  return timer;
}

void
s3_timer_stop(s3_net *net, s3_timer *timer)
{
  s3_timer *last;
  size_t at;

  if (timer == NULL)
    return;
  at = timer->at;
  last = net->timers[--net->timer_count];
  if (last != timer) {
    timer_down(net, last, at);
    timer_up(net, last, last->at);
  }
  s3_free(net->host, timer);
}

static void
net_timers_run(s3_net *net)
{
  uint64_t now = net->host->monotonic_ns(net->host);

  while (net->timer_count > 0 && net->timers[0]->due_ns <= now) {
    s3_timer *timer = net->timers[0];
    void (*fn)(void *arg) = timer->fn;
    void *arg = timer->arg;

    s3_timer_stop(net, timer);
    fn(arg);
  }
}

static int
net_wait_ms(const s3_net *net)
{
  uint64_t due = net->timer_count == 0 ? UINT64_MAX : net->timers[0]->due_ns;
  uint64_t now, wait;

  if (net->curl_due_ns != 0 && net->curl_due_ns < due)
    due = net->curl_due_ns;
  if (due == UINT64_MAX)
    return NET_SLEEP_MS;
  now = net->host->monotonic_ns(net->host);
  if (due <= now)
    return 0;
  wait = (due - now + 999999) / 1000000;
  return wait > NET_SLEEP_MS ? NET_SLEEP_MS : (int)wait;
}

/* ---- the watch over what is under way ----------------------------------------- */

/* The shortest limit decides how often it is looked at. */
static uint64_t
net_tick_ms(const s3_net *net)
{
  const s3_settings *settings = net->settings;
  uint64_t shortest = settings->first_byte_ms;

  if (settings->stall_ms < shortest)
    shortest = settings->stall_ms;
  if (settings->request_ms < shortest)
    shortest = settings->request_ms;
  shortest /= 4;
  return shortest > S3_TICK_MS ? S3_TICK_MS : shortest < 5 ? 5 : shortest;
}

static void
net_watch_exchanges(s3_net *net)
{
  uint64_t now = net->host->monotonic_ns(net->host);
  s3_exchange *x, *next;

  for (x = net->active; x != NULL; x = next) {
    s3_stop stop = s3_exchange_watch(x, now);

    next = x->next;
    if (stop != S3_STOP_NONE)
      s3_exchange_abort(x, stop);
  }
}

static void net_tick(void *arg);

static void
net_tick_start(s3_net *net)
{
  if (net->tick_timer == NULL && net->call_count > 0)
    net->tick_timer = s3_timer_start(net, net_tick_ms(net), net_tick, net);
}

static void
net_tick(void *arg)
{
  s3_net *net = arg;

  net->tick_timer = NULL;
  net_watch_exchanges(net);
  s3_calls_tick(net);
  s3_metrics_gauges(net->store->metrics, net->exchange_count,
                    net->queued_count, net->active_count,
                    (uint64_t)net->limit);
  net_tick_start(net);
}

/* ---- the inbox ------------------------------------------------------------------ */

void
s3_net_wake(s3_net *net)
{
  const uint64_t one = 1;

  if (atomic_exchange(&net->awake, 1) == 0)
    while (write(net->wake, &one, sizeof one) < 0 && errno == EINTR)
      continue;
}

void
s3_net_submit(s3_net *net, s3_op *op)
{
  op->inbox_next = NULL;
  pthread_mutex_lock(&net->lock);
  if (net->inbox_last != NULL)
    net->inbox_last->inbox_next = op;
  else
    net->inbox_first = op;
  net->inbox_last = op;
  pthread_mutex_unlock(&net->lock);
  s3_net_wake(net);
}

void
s3_net_cancel(s3_net *net)
{
  pthread_mutex_lock(&net->lock);
  net->cancel_asked = 1;
  pthread_mutex_unlock(&net->lock);
  s3_net_wake(net);
}

typedef struct net_mail {
  s3_op *ops;
  s3_call *hashed;
  int stop, cancel, credentials_came;
  sb_error credentials_error;
} net_mail;

static void
net_mail_take(s3_net *net, net_mail *mail)
{
  pthread_mutex_lock(&net->lock);
  mail->ops = net->inbox_first;
  net->inbox_first = net->inbox_last = NULL;
  mail->hashed = net->hashed_first;
  net->hashed_first = NULL;
  mail->stop = net->stop;
  mail->cancel = net->cancel_asked;
  net->cancel_asked = 0;
  mail->credentials_came = net->credentials_came;
  if (mail->credentials_came)
    mail->credentials_error = net->credentials_error;
  net->credentials_came = 0;
  pthread_mutex_unlock(&net->lock);
}

static void
net_credentials_came(s3_net *net, const sb_error *error)
{
  net->asking_credentials = 0;
  if (error->status != SB_OK)
    s3_calls_no_credentials(net, error);
}

static int
net_mail_handle(s3_net *net)
{
  net_mail mail;
  s3_op *op, *next;
  s3_call *call;

  net_mail_take(net, &mail);
  while ((call = mail.hashed) != NULL) {
    mail.hashed = call->queue_next;
    s3_call_hashed(call);
  }
  for (op = mail.ops; op != NULL; op = next) {
    next = op->inbox_next;
    op->start(op);
  }
  if (mail.credentials_came)
    net_credentials_came(net, &mail.credentials_error);
  if (mail.cancel)
    s3_ops_cancel(net->store);
  return mail.stop;
}

/* ---- the loop -------------------------------------------------------------------- */

static void
net_finished(s3_net *net)
{
  CURLMsg *message;
  int left;

  while ((message = curl_multi_info_read(net->multi, &left)) != NULL) {
    s3_exchange *x = NULL;

    if (message->msg != CURLMSG_DONE)
      continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
    x->code = message->data.result;
    s3_call_finished(x);
  }
}

static int
net_inbox_empty(s3_net *net)
{
  int empty;

  pthread_mutex_lock(&net->lock);
  empty = net->inbox_first == NULL && !net->credentials_came
          && !net->cancel_asked && !net->stop && net->hashed_first == NULL;
  pthread_mutex_unlock(&net->lock);
  return empty;
}

/* ---- what epoll watches ----------------------------------------------------- */

#define NET_CONNECTION 0x80u
#define NET_IDLE 0x40u     /* libcurl does not use it now */
#define NET_IN 1u
#define NET_OUT 2u

/* Connections stay watched while they are idle, for a request needs the same
   again. Only those are remembered of which the end is told. */
void
s3_net_socket_opened(s3_net *net, int fd)
{
  size_t size = (size_t)fd < 512 ? 1024 : (size_t)fd * 2;
  uint8_t *watched;

  if ((size_t)fd >= net->watched_size) {
    watched = net->host->alloc(net->host, net->watched, size);
    if (watched == NULL)
      return;
    memset(watched + net->watched_size, 0, size - net->watched_size);
    net->watched = watched;
    net->watched_size = size;
  }
  net->watched[fd] = NET_CONNECTION;
}

void
s3_net_socket_closed(s3_net *net, int fd)
{
  if ((size_t)fd < net->watched_size)
    net->watched[fd] = 0;
}

static int
net_is_connection(const s3_net *net, int fd)
{
  return (size_t)fd < net->watched_size
         && (net->watched[fd] & NET_CONNECTION) != 0;
}

static void
net_unwatch(s3_net *net, int fd)
{
  struct epoll_event event = { .data.fd = fd };

  (void)epoll_ctl(net->epoll, EPOLL_CTL_DEL, fd, &event);
  if (net_is_connection(net, fd))
    net->watched[fd] = NET_CONNECTION;
}

static void
net_watch(s3_net *net, int fd, unsigned wanted)
{
  struct epoll_event event = { .data.fd = fd };

  if (net_is_connection(net, fd)) {
    unsigned before = net->watched[fd] & ~NET_IDLE;

    net->watched[fd] = (uint8_t)(NET_CONNECTION | wanted);
    if (before == net->watched[fd])
      return;
  }
  event.events = (wanted & NET_IN ? EPOLLIN : 0u)
                 | (wanted & NET_OUT ? EPOLLOUT : 0u);
  if (epoll_ctl(net->epoll, EPOLL_CTL_MOD, fd, &event) != 0
      && epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event) != 0
      && net_is_connection(net, fd))
    net->watched[fd] = NET_CONNECTION;
}

/* libcurl's wishes: which sockets to watch, and when to be called again. */
static int
net_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                 void *known)
{
  s3_net *net = arg;

  (void)easy;
  (void)known;
  if (what != CURL_POLL_REMOVE)
    net_watch(net, fd, (what != CURL_POLL_OUT ? NET_IN : 0)
                         | (what != CURL_POLL_IN ? NET_OUT : 0));
  else if (!net_is_connection(net, fd))
    net_unwatch(net, fd);
  if (net_is_connection(net, fd) && what == CURL_POLL_REMOVE)
    net->watched[fd] |= NET_IDLE;
  return 0;
}

static int
net_watch_time(CURLM *multi, long wait_ms, void *arg)
{
  s3_net *net = arg;

  (void)multi;
  net->curl_due_ns = wait_ms < 0
                       ? 0
                       : net->host->monotonic_ns(net->host)
                           + (uint64_t)wait_ms * 1000000;
  return 0;
}

static void
net_curl_timer(s3_net *net)
{
  int running;

  if (net->curl_due_ns == 0
      || net->curl_due_ns > net->host->monotonic_ns(net->host))
    return;
  net->curl_due_ns = 0;
  (void)curl_multi_socket_action(net->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void
net_event(s3_net *net, const struct epoll_event *event)
{
  uint64_t count;
  int running, mask = 0;

  if (event->data.fd == net->wake) {
    (void)!read(net->wake, &count, sizeof count);
    return;
  }
  /* An idle connection was closed by the server, or sends what nobody asked
     for: libcurl finds out when it wants to use it. */
  if (net_is_connection(net, event->data.fd)
      && (net->watched[event->data.fd] & NET_IDLE)) {
    net_unwatch(net, event->data.fd);
    return;
  }
  if (event->events & EPOLLIN)
    mask |= CURL_CSELECT_IN;
  if (event->events & EPOLLOUT)
    mask |= CURL_CSELECT_OUT;
  if (event->events & (EPOLLERR | EPOLLHUP))
    mask |= CURL_CSELECT_ERR;
  (void)curl_multi_socket_action(net->multi, event->data.fd, mask, &running);
}

/* Whoever submits while the thread is awake need not wake it: the inbox is
   looked at once more after the flag is taken down. */
static void
net_sleep(s3_net *net)
{
  struct epoll_event events[NET_EVENTS];
  int wait_ms = net->ended_first != NULL ? 0 : net_wait_ms(net);
  int i, count;

  atomic_store(&net->awake, 0);
  if (!net_inbox_empty(net))
    wait_ms = 0;
  count = epoll_wait(net->epoll, events, NET_EVENTS, wait_ms);
  atomic_store(&net->awake, 1);
  net->now_ns = net->host->monotonic_ns(net->host);
  for (i = 0; i < count; i++)
    net_event(net, &events[i]);
}

static void *
net_run(void *arg)
{
  s3_net *net = arg;

  while (!net_mail_handle(net)) {
    net_timers_run(net);
    s3_calls_ended(net);
    s3_queue_run(net);
    net_tick_start(net);
    net_curl_timer(net);
    net_finished(net);
    s3_calls_ended(net);
    s3_queue_run(net);
    net_sleep(net);
    net_finished(net);
  }
  return NULL;
}

/* ---- opening and closing ------------------------------------------------------------ */

static void
net_rate_init(s3_rate *rate, uint64_t per_second, uint64_t now_ns)
{
  rate->per_second = per_second;
  rate->tokens = (double)per_second;
  rate->at_ns = now_ns;
}

static void
net_free(s3_net *net)
{
  while (net->timer_count > 0)
    s3_timer_stop(net, net->timers[0]);
  s3_exchange_close_idle(net);
  if (net->multi != NULL)
    (void)curl_multi_cleanup(net->multi);
  if (net->epoll >= 0)
    close(net->epoll);
  if (net->wake >= 0)
    close(net->wake);
  s3_signer_free(net->signer);
  s3_buf_free(&net->signature.authorization);
  pthread_mutex_destroy(&net->lock);
  s3_free(net->host, net->timers);
  s3_free(net->host, net->watched);
  s3_free(net->host, net);
}

/* 0, or -1 and errno. */
static int
net_descriptors_open(s3_net *net)
{
  struct epoll_event event = { .events = EPOLLIN };

  net->epoll = epoll_create1(EPOLL_CLOEXEC);
  net->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  event.data.fd = net->wake;
  if (net->epoll < 0 || net->wake < 0)
    return -1;
  return epoll_ctl(net->epoll, EPOLL_CTL_ADD, net->wake, &event);
}

static int
net_multi_open(s3_net *net)
{
  long connections = (long)net->settings->connections_max;

  if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
    net->multi = curl_multi_init();
  return net->multi == NULL
                 || curl_multi_setopt(net->multi, CURLMOPT_MAXCONNECTS,
                                      connections)
                 || curl_multi_setopt(net->multi, CURLMOPT_SOCKETFUNCTION,
                                      net_watch_socket)
                 || curl_multi_setopt(net->multi, CURLMOPT_SOCKETDATA, net)
                 || curl_multi_setopt(net->multi, CURLMOPT_TIMERFUNCTION,
                                      net_watch_time)
                 || curl_multi_setopt(net->multi, CURLMOPT_TIMERDATA, net)
           ? -1
           : 0;
}

/* Signals are for the program's own threads. */
static int
net_thread_start(s3_net *net)
{
  sigset_t all, old;
  int failed;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  failed = pthread_create(&net->thread, NULL, net_run, net);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  net->thread_runs = failed == 0;
  if (net->thread_runs)
    (void)pthread_setname_np(net->thread, "sb-s3");
  return failed;
}

s3_net *
s3_net_open(s3_store *store, sb_error *err)
{
  const sb_host *host = store->host;
  const s3_settings *settings = store->settings;
  uint64_t now = host->monotonic_ns(host);
  s3_net *net = s3_alloc(host, sizeof *net);

  if (net == NULL) {
    sb_fail(err, SB_NO_MEMORY, "out of memory for the network thread");
    return NULL;
  }
  net->store = store;
  net->host = host;
  net->settings = settings;
  net->now_ns = now;
  net->limit = settings->connections_max;
  net->retry_tokens = settings->retry_tokens;
  net_rate_init(&net->requests, settings->requests_per_second, now);
  net_rate_init(&net->upload, settings->upload_per_second, now);
  net_rate_init(&net->download, settings->download_per_second, now);
  atomic_init(&net->awake, 1);
  pthread_mutex_init(&net->lock, NULL);
  net->signature.authorization = s3_buf_of(host);
  net->signer = s3_signer_new(host);
  if (net_descriptors_open(net) != 0 || net->signer == NULL
      || net_multi_open(net) != 0 || net_thread_start(net) != 0) {
    net_free(net);
    sb_fail(err, SB_NO_MEMORY, "could not start the network thread");
    return NULL;
  }
  return net;
}

void
s3_net_close(s3_net *net)
{
  if (net == NULL)
    return;
  pthread_mutex_lock(&net->lock);
  net->stop = 1;
  pthread_mutex_unlock(&net->lock);
  atomic_store(&net->awake, 0);
  s3_net_wake(net);
  if (net->thread_runs)
    (void)pthread_join(net->thread, NULL);
  net_free(net);
}
