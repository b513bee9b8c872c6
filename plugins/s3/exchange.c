/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges: one HTTP request on a libcurl handle. What is the same for all
 * requests is set once on a handle; the handle, its buffers and its connection
 * are used again.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "plugins/s3/net.h"

/* Bodies up to this leave in one piece with the headers. */
#define EXCHANGE_FLAT_MAX (64u << 10)
#define EXCHANGE_LARGE_BUFFER (512L << 10)
#define EXCHANGE_SMALL_BUFFER (16L << 10)
#define EXCHANGE_DNS_SECONDS 60L
#define EXCHANGE_HEADER_BYTES_MAX (64u << 10)
/* A range that the server ignored is skipped up to this far. */
#define EXCHANGE_SKIP_MAX (8u << 20)

static uint64_t
exchange_now(const s3_exchange *x)
{
  return x->net->now_ns;
}

static void
exchange_progress(s3_exchange *x, size_t bytes)
{
  x->progress_ns = exchange_now(x);
  x->window_bytes += bytes;
}

static int
exchange_ok(const s3_exchange *x)
{
  return x->call->answer.http >= 200 && x->call->answer.http < 300;
}

/* ---- libcurl's callbacks -------------------------------------------------- */

static size_t
exchange_header(char *data, size_t size, size_t count, void *arg)
{
  s3_exchange *x = arg;
  size_t len = size * count;

  /* The loop's clock stands still for a whole turn, and a near server answers
     within one. */
  if (x->first_byte_ns == 0)
    x->first_byte_ns = x->net->host->monotonic_ns(x->net->host);
  exchange_progress(x, len);
  x->header_bytes += len;
  if (x->header_bytes > EXCHANGE_HEADER_BYTES_MAX) {
    x->stop = S3_STOP_HEADERS;
    return 0;
  }
  if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
    x->head_done = 0;
  else if (data[0] == '\r' || data[0] == '\n')
    x->head_done = 1;
  s3_answer_line(&x->call->answer, data, len);
  return len;
}

static int
exchange_sends(void *arg, char *to, char *from, int to_port, int from_port)
{
  s3_exchange *x = arg;

  (void)to;
  (void)from;
  (void)to_port;
  (void)from_port;
  x->sends++;
  /* There is a connection: from here on an answer is waited for. */
  x->progress_ns = exchange_now(x);
  return CURL_PREREQFUNC_OK;
}

/* The first bytes of a good answer to a GET: is it the range asked for? */
static int
exchange_first_bytes(s3_exchange *x)
{
  const s3_answer *answer = &x->call->answer;

  x->began = 1;
  if (answer->http == 206) {
    if (answer->range_start != UINT64_MAX
        && answer->range_start != x->call->skip)
      x->stop = S3_STOP_BODY;
  } else {
    x->skip = x->call->skip;
    if (x->skip > EXCHANGE_SKIP_MAX)
      x->stop = S3_STOP_RANGE;
  }
  return x->stop == S3_STOP_NONE;
}

/* Into the caller's buffer. Once all that was wanted is in, the rest of a
   whole object is not waited for; a range that goes on is an error. */
static size_t
exchange_to_buffer(s3_exchange *x, const char *data, size_t len)
{
  s3_call *call = x->call;
  size_t left = len, room;

  if (!x->began && !exchange_first_bytes(x))
    return 0;
  if (x->skip > 0) {
    size_t skipped = x->skip < left ? (size_t)x->skip : left;

    x->skip -= skipped;
    data += skipped;
    left -= skipped;
    if (left == 0)
      return len;
    x->skip = 0;
  }
  room = (size_t)(call->buffer_size - x->received);
  if (left > room && call->answer.http == 206) {
    x->stop = S3_STOP_BODY;
    return 0;
  }
  if (room == 0) {
    x->complete = 1;
    return 0;
  }
  if (left > room)
    left = room;
  memcpy((char *)call->buffer + x->received, data, left);
  x->received += left;
  return len;
}

static size_t
exchange_to_text(s3_exchange *x, s3_buf *text, size_t max, const char *data,
                 size_t len)
{
  if (text->len + len > max) {
    x->stop = S3_STOP_BODY;
    return 0;
  }
  s3_buf_add(text, data, len);
  if (text->failed) {
    x->stop = S3_STOP_MEMORY;
    return 0;
  }
  x->received += len;
  return len;
}

/* Of a long answer that nobody needs the beginning is enough. */
static size_t
exchange_to_error(s3_exchange *x, const char *data, size_t len)
{
  if (x->error_text.len + len > S3_CALL_ERROR_MAX) {
    x->complete = 1;
    return 0;
  }
  return exchange_to_text(x, &x->error_text, S3_CALL_ERROR_MAX, data, len);
}

static size_t
exchange_write(char *data, size_t size, size_t count, void *arg)
{
  s3_exchange *x = arg;
  size_t len = size * count;

  exchange_progress(x, len);
  if (!exchange_ok(x))
    return exchange_to_error(x, data, len);
  if (x->call->buffer != NULL)
    return exchange_to_buffer(x, data, len);
  if (x->call->flags & S3_CALL_TEXT)
    return exchange_to_text(x, &x->call->text, S3_CALL_TEXT_MAX, data, len);
  return exchange_to_error(x, data, len);
}

static size_t
exchange_read(char *data, size_t size, size_t count, void *arg)
{
  s3_exchange *x = arg;
  size_t len = s3_body_read(&x->call->body, x->sent, data, size * count);

  x->sent += len;
  exchange_progress(x, len);
  return len;
}

/* libcurl sends again on another connection if a kept one was dead. */
static int
exchange_seek(void *arg, curl_off_t offset, int origin)
{
  s3_exchange *x = arg;

  if (origin != SEEK_SET || offset < 0)
    return CURL_SEEKFUNC_CANTSEEK;
  x->sent = (uint64_t)offset;
  return CURL_SEEKFUNC_OK;
}

/* A child process of anybody's would keep a connection open, and its
   descriptor watched, after it was closed here. */
static curl_socket_t
exchange_socket_open(void *arg, curlsocktype purpose,
                     struct curl_sockaddr *address)
{
  (void)arg;
  (void)purpose;
  return socket(address->family, address->socktype | SOCK_CLOEXEC,
                address->protocol);
}

/* A peer that vanished is noticed while data waits to be acknowledged. */
static int
exchange_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
  const s3_net *net = arg;
  unsigned int timeout = (unsigned int)net->settings->stall_ms;

  (void)purpose;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                   sizeof timeout);
  s3_net_socket_opened(arg, fd);
  return CURL_SOCKOPT_OK;
}

/* Connections outlive the handle that made them: the argument is the net. */
static int
exchange_socket_close(void *arg, curl_socket_t fd)
{
  s3_net_socket_closed(arg, fd);
  return close(fd);
}

/* ---- the handle ------------------------------------------------------------ */

static void
exchange_set_transport(CURL *easy, const s3_settings *settings)
{
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                   settings->http2 ? CURL_HTTP_VERSION_2TLS
                                   : CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   (long)settings->connect_ms);
  /* libcurl counts whole seconds and keeps a connection until one more. */
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN,
                   settings->idle_ms < 3000
                     ? 1L
                     : (long)(settings->idle_ms / 1000) - 1);
  curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN,
                   (long)((settings->lifetime_ms + 999) / 1000));
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
  curl_easy_setopt(easy, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER,
                   settings->tls_verify ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST,
                   settings->tls_verify ? 2L : 0L);
  if (settings->ca_file != NULL)
    curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
  /* Never the environment's proxy: "" says that there is none. */
  curl_easy_setopt(easy, CURLOPT_PROXY,
                   settings->proxy_url == NULL ? "" : settings->proxy_url);
  if (settings->proxy_user != NULL)
    curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, settings->proxy_user);
  if (settings->proxy_password != NULL)
    curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, settings->proxy_password);
  curl_easy_setopt(easy, CURLOPT_NOPROXY,
                   settings->proxy_bypass == NULL ? ""
                                                  : settings->proxy_bypass);
}

static void
exchange_set_up(s3_exchange *x)
{
  CURL *easy = x->easy;

  curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
  /* A request that is given up does not wait for a name to be resolved: all
     others would wait with it. */
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT,
                   "statebackend/" PACKAGE_VERSION);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, exchange_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, exchange_write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, exchange_read);
  curl_easy_setopt(easy, CURLOPT_READDATA, x);
  curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, exchange_seek);
  curl_easy_setopt(easy, CURLOPT_SEEKDATA, x);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, exchange_socket_open);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, exchange_socket);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, x->net);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, exchange_sends);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, exchange_socket_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, x->net);
  exchange_set_transport(easy, x->net->settings);
}

static void
exchange_free(s3_exchange *x)
{
  if (x->easy != NULL)
    curl_easy_cleanup(x->easy);
  s3_buf_free(&x->url);
  s3_buf_free(&x->path);
  s3_buf_free(&x->lines);
  s3_buf_free(&x->gathered);
  s3_buf_free(&x->error_text);
  s3_free(x->net->host, x);
}

static s3_exchange *
exchange_new(s3_net *net)
{
  s3_exchange *x = s3_alloc(net->host, sizeof *x);

  if (x == NULL)
    return NULL;
  x->net = net;
  x->url = x->path = x->lines = x->gathered = x->error_text =
    s3_buf_of(net->host);
  x->easy = curl_easy_init();
  if (x->easy == NULL) {
    exchange_free(x);
    return NULL;
  }
  exchange_set_up(x);
  net->exchange_count++;
  return x;
}

s3_exchange *
s3_exchange_take(s3_net *net)
{
  s3_exchange *x = net->idle;

  if (x != NULL)
    net->idle = x->next;
  else
    x = exchange_new(net);
  if (x == NULL)
    return NULL;
  s3_buf_clear(&x->url);
  s3_buf_clear(&x->path);
  s3_buf_clear(&x->lines);
  s3_buf_clear(&x->error_text);
  x->line_count = 0;
  x->error[0] = '\0';
  x->code = CURLE_OK;
  x->first_byte_ns = x->window_bytes = 0;
  x->sent = x->received = x->header_bytes = x->skip = 0;
  x->stop = S3_STOP_NONE;
  x->unsent = 0;
  x->streaming = x->began = x->complete = x->head_done = x->sends = 0;
  return x;
}

/* Large scratch memory is not kept. */
static void
exchange_trim(s3_buf *buf)
{
  if (buf->size > EXCHANGE_FLAT_MAX * 2)
    s3_buf_free(buf);
}

void
s3_exchange_give(s3_exchange *x)
{
  s3_credentials_unref(x->credentials);
  x->credentials = NULL;
  x->call = NULL;
  exchange_trim(&x->error_text);
  exchange_trim(&x->gathered);
  x->next = x->net->idle;
  x->previous = NULL;
  x->net->idle = x;
}

void
s3_exchange_close_idle(s3_net *net)
{
  while (net->idle != NULL) {
    s3_exchange *x = net->idle;

    net->idle = x->next;
    exchange_free(x);
  }
}

/* ---- a request -------------------------------------------------------------- */

void
s3_exchange_line(s3_exchange *x, const char *name, const char *value)
{
  if (x->line_count == S3_EXCHANGE_HEADERS) {
    x->lines.failed = 1;
    return;
  }
  x->line_at[x->line_count++] = x->lines.len;
  s3_buf_add(&x->lines, name, strlen(name));
  /* To libcurl "name:" takes a header away, "name;" sends it empty. */
  if (value == NULL)
    s3_buf_add(&x->lines, ":", 2);
  else if (value[0] == '\0')
    s3_buf_add(&x->lines, ";", 2);
  else {
    s3_buf_add(&x->lines, ": ", 2);
    s3_buf_add(&x->lines, value, strlen(value) + 1);
  }
}

static void
exchange_set_lines(s3_exchange *x)
{
  size_t i;

  for (i = 0; i < x->line_count; i++) {
    x->nodes[i].data = x->lines.data + x->line_at[i];
    x->nodes[i].next = i + 1 < x->line_count ? &x->nodes[i + 1] : NULL;
  }
  curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER,
                   x->line_count == 0 ? NULL : &x->nodes[0]);
}

static void
exchange_set_body(s3_exchange *x)
{
  const s3_call *call = x->call;
  const s3_body *body = &call->body;
  const char *flat = "";

  curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
  if (body->length > EXCHANGE_FLAT_MAX) {
    x->streaming = 1;
    flat = NULL;
  } else if (body->length > 0) {
    flat = s3_body_flat(body);
    if (flat == NULL) {
      char *to;

      s3_buf_clear(&x->gathered);
      /* Room first: the bytes are copied in once. */
      while (x->gathered.size <= body->length && !x->gathered.failed)
        s3_buf_add(&x->gathered, "................................", 32);
      to = x->gathered.data;
      if (to == NULL || x->gathered.failed) {
        x->lines.failed = 1;
        return;
      }
      (void)s3_body_read(body, 0, to, (size_t)body->length);
      flat = to;
    }
  }
  curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, flat);
  curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                   (curl_off_t)body->length);
  curl_easy_setopt(x->easy, CURLOPT_UPLOAD_BUFFERSIZE,
                   x->streaming ? EXCHANGE_LARGE_BUFFER
                                : EXCHANGE_SMALL_BUFFER * 4);
}

/* The handle keeps what was set for its last request. */
static void
exchange_set_method(s3_exchange *x)
{
  const char *method = x->call->method;
  int same = x->method != NULL && strcmp(x->method, method) == 0;

  x->method = method;

  if (strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
    exchange_set_body(x);
    if (!same)
      curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
    return;
  }
  if (same)
    return;
  curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L);
  if (strcmp(method, "HEAD") == 0)
    curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST,
                   strcmp(method, "DELETE") == 0 ? "DELETE" : NULL);
}

int
s3_exchange_start(s3_exchange *x)
{
  s3_net *net = x->net;
  long again = x->call->attempts > 1 && x->call->answer.http == 0;

  exchange_set_method(x);
  if (x->lines.failed || x->url.failed || x->path.failed)
    return -1;
  exchange_set_lines(x);
  curl_easy_setopt(x->easy, CURLOPT_URL, x->url.data);
  curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE,
                   x->call->buffer_size > EXCHANGE_FLAT_MAX
                     ? EXCHANGE_LARGE_BUFFER
                     : EXCHANGE_SMALL_BUFFER);
  /* AWS advises a new connection after a failure; and the host may have got
     another address. */
  curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, again);
  curl_easy_setopt(x->easy, CURLOPT_DNS_CACHE_TIMEOUT,
                   again ? 0L : EXCHANGE_DNS_SECONDS);
  s3_answer_reset(&x->call->answer);
  s3_buf_clear(&x->call->text);
  x->started_ns = x->progress_ns = x->window_ns = exchange_now(x);
  if (curl_multi_add_handle(net->multi, x->easy) != CURLM_OK)
    return -1;
  x->previous = NULL;
  x->next = net->active;
  if (net->active != NULL)
    net->active->previous = x;
  net->active = x;
  net->active_count++;
  return 0;
}

void
s3_exchange_abort(s3_exchange *x, s3_stop why)
{
  x->stop = why;
  x->code = CURLE_ABORTED_BY_CALLBACK;
  s3_call_finished(x);
}

/* libcurl has handed over the whole body, but the kernel may still be sending
   it: as long as what waits there shrinks, it goes on. */
static void
exchange_watch_sending(s3_exchange *x, uint64_t now_ns)
{
  curl_socket_t fd = CURL_SOCKET_BAD;
  int unsent = 0;

  if (curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK
      || fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &unsent) != 0)
    return;
  if (unsent < x->unsent)
    x->progress_ns = now_ns;
  x->unsent = unsent;
}

s3_stop
s3_exchange_watch(s3_exchange *x, uint64_t now_ns)
{
  const s3_settings *settings = x->net->settings;
  const s3_op *op = x->call->op;
  uint64_t deadline = x->call->deadline_ns;
  uint64_t first_ms = settings->first_byte_ms
                      + (x->sends == 0 ? settings->connect_ms : 0);

  if (op->cancelled)
    return S3_STOP_CANCELLED;
  if (deadline != 0 && now_ns >= deadline)
    return S3_STOP_DEADLINE;
  if (x->first_byte_ns == 0
      && (!x->streaming || x->sent >= x->call->body.length)) {
    if (x->streaming)
      exchange_watch_sending(x, now_ns);
    return now_ns - x->progress_ns > first_ms * 1000000 ? S3_STOP_FIRST_BYTE
                                                        : S3_STOP_NONE;
  }
  /* Less than a byte a second over the whole window is standing still. */
  if (now_ns - x->window_ns < settings->stall_ms * 1000000)
    return S3_STOP_NONE;
  if (x->window_bytes * 1000 < settings->stall_ms)
    return S3_STOP_STALL;
  x->window_ns = now_ns;
  x->window_bytes = 0;
  return S3_STOP_NONE;
}
