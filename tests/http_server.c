/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server for tests; see http_server.h. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/http_server.h"

struct http_connection {
  http_server *server;
  http_connection *next;
  pthread_t thread;
  atomic_int done;
  int fd;                     /* -1: ended; changes under the server's lock */
  SSL *ssl;
  unsigned number;
  char in[16384];
  size_t in_from, in_to;
  unsigned drip_ms;
  uint64_t cut;               /* bytes until `end`; UINT64_MAX: none */
  http_end end;
};

struct http_server {
  http_options options;
  SSL_CTX *tls;
  int fd, port;
  pthread_t thread;
  pthread_mutex_t lock;       /* list, stopping, each connection's fd */
  http_connection *connections;
  int stopping;
  atomic_uint made;
  _Atomic uint64_t sent;
};

/* ---- a connection's bytes ----------------------------------------------- */

unsigned
http_connection_number(const http_connection *connection)
{
  return connection->number;
}

static void
http_connection_close(http_connection *c, int reset)
{
  struct linger linger = { .l_onoff = 1, .l_linger = 0 };

  pthread_mutex_lock(&c->server->lock);
  if (c->fd >= 0) {
    if (reset)
      (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(c->fd);
    c->fd = -1;
  }
  pthread_mutex_unlock(&c->server->lock);
}

/* 1 if the client left, or the server stops; waits up to `ms`, -1 for ever.
   Bytes of a next request do not count. */
static int
http_connection_left(http_connection *c, int ms)
{
  struct pollfd poll_fd = { .fd = c->fd, .events = POLLRDHUP };

  if (c->fd < 0)
    return 1;
  while (poll(&poll_fd, 1, ms) < 0 && errno == EINTR)
    continue;
  return poll_fd.revents != 0;
}

int
http_wait(http_connection *c, unsigned ms)
{
  return http_connection_left(c, (int)ms) ? -1 : 0;
}

void
http_end_now(http_connection *c, http_end end)
{
  char rest[4096];

  if (end == HTTP_STALL)
    (void)http_connection_left(c, -1);
  else if (end == HTTP_CLOSE && c->fd >= 0) {
    /* What was not read would turn the close into a reset. */
    (void)shutdown(c->fd, SHUT_WR);
    while (recv(c->fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
      continue;
  }
  http_connection_close(c, end == HTTP_RESET);
}

void
http_drip(http_connection *c, unsigned ms)
{
  c->drip_ms = ms;
}

void
http_cut(http_connection *c, uint64_t bytes, http_end end)
{
  c->cut = bytes;
  c->end = end;
}

static ssize_t
http_write(http_connection *c, const void *data, size_t len)
{
  if (c->fd < 0)
    return -1;
  if (c->ssl != NULL)
    return SSL_write(c->ssl, data, (int)len);
  return send(c->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t
http_read(http_connection *c, void *data, size_t len)
{
  if (c->fd < 0)
    return -1;
  if (c->ssl != NULL)
    return SSL_read(c->ssl, data, (int)len);
  return recv(c->fd, data, len, 0);
}

int
http_send(http_connection *c, const void *data, size_t len)
{
  const char *bytes = data;

  while (len > 0) {
    size_t some = len > (1u << 20) ? 1u << 20 : len;
    ssize_t sent;

    if (c->drip_ms > 0) {
      some = 1;
      if (http_wait(c, c->drip_ms) != 0)
        return -1;
    }
    if (some > c->cut)
      some = (size_t)c->cut;
    if (some == 0) {
      http_end_now(c, c->end);
      return -1;
    }
    sent = http_write(c, bytes, some);
    if (sent <= 0)
      return -1;
    if (c->cut != UINT64_MAX)
      c->cut -= (uint64_t)sent;
    atomic_fetch_add(&c->server->sent, (uint64_t)sent);
    bytes += sent;
    len -= (size_t)sent;
  }
  return 0;
}

int
http_printf(http_connection *c, const char *format, ...)
{
  http_text text = { 0 };
  va_list args;
  int result;

  va_start(args, format);
  http_text_vprintf(&text, format, args);
  va_end(args);
  result = http_send(c, text.data, text.len);
  http_text_free(&text);
  return result;
}

/* Some bytes, at least one; 0 at the end. */
static size_t
http_take(http_connection *c, void *out, size_t len)
{
  size_t some;

  if (c->in_from == c->in_to) {
    ssize_t got = http_read(c, c->in, sizeof c->in);

    if (got <= 0)
      return 0;
    c->in_from = 0;
    c->in_to = (size_t)got;
  }
  some = c->in_to - c->in_from;
  if (some > len)
    some = len;
  memcpy(out, c->in + c->in_from, some);
  c->in_from += some;
  return some;
}

static int
http_take_line(http_connection *c, http_text *line, size_t max)
{
  char one;

  line->len = 0;
  while (line->len < max && http_take(c, &one, 1) == 1) {
    if (one == '\n')
      return 0;
    if (one != '\r')
      http_text_add(line, &one, 1);
  }
  return -1;
}

/* ---- requests ----------------------------------------------------------- */

const char *
http_header(const http_request *request, const char *name)
{
  size_t i;

  for (i = 0; i < request->header_count; i++) {
    if (strcmp(request->headers[i].name, name) == 0)
      return request->headers[i].value;
  }
  return NULL;
}

static void
http_request_clear(http_request *request)
{
  size_t i;

  for (i = 0; i < request->header_count; i++) {
    free(request->headers[i].name);
    free(request->headers[i].value);
  }
  free(request->headers);
  free(request->path);
  free(request->query);
  free(request->head);
  free(request->body);
  memset(request, 0, sizeof *request);
}

static int
http_request_header(http_request *request, char *line)
{
  char *colon = strchr(line, ':');
  char *value, *end, *p;
  http_field *field;

  if (colon == NULL || colon == line)
    return -1;
  *colon = '\0';
  for (p = line; *p != '\0'; p++)
    *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
  value = colon + 1 + strspn(colon + 1, " \t");
  end = value + strlen(value);
  while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
    *--end = '\0';
  request->headers = realloc(request->headers, (request->header_count + 1)
                                                 * sizeof *request->headers);
  if (request->headers == NULL)
    abort();
  field = &request->headers[request->header_count++];
  field->name = http_strdup(line);
  field->value = http_strdup(value);
  return 0;
}

static int
http_request_line(http_request *request, char *line)
{
  char *path = strchr(line, ' ');
  char *version = path == NULL ? NULL : strchr(path + 1, ' ');
  char *query;

  if (version == NULL || strcmp(version, " HTTP/1.1") != 0)
    return -1;
  *path++ = '\0';
  *version = '\0';
  query = strchr(path, '?');
  if (query != NULL)
    *query++ = '\0';
  (void)snprintf(request->method, sizeof request->method, "%s", line);
  request->path = http_strdup(path);
  request->query = http_strdup(query == NULL ? "" : query);
  return 0;
}

static int
http_request_read(http_connection *c, http_request *request)
{
  http_text line = { 0 }, head = { 0 };
  const char *value;
  int result = -1;

  if (http_take_line(c, &line, HTTP_HEAD_MAX) != 0 || line.len == 0)
    goto out;
  http_text_printf(&head, "%s\r\n", line.data);
  if (http_request_line(request, line.data) != 0)
    goto out;
  for (;;) {
    if (head.len > HTTP_HEAD_MAX ||
        http_take_line(c, &line, HTTP_HEAD_MAX) != 0)
      goto out;
    if (line.len == 0)
      break;
    http_text_printf(&head, "%s\r\n", line.data);
    if (http_request_header(request, line.data) != 0)
      goto out;
  }
  request->head = head.data;
  request->head_len = head.len;
  head.data = NULL;
  value = http_header(request, "content-length");
  request->length = value == NULL ? 0 : strtoull(value, NULL, 10);
  value = http_header(request, "transfer-encoding");
  request->chunked = value != NULL && strcasecmp(value, "chunked") == 0;
  value = http_header(request, "expect");
  request->expects = value != NULL && strcasecmp(value, "100-continue") == 0;
  result = 0;
out:
  http_text_free(&line);
  http_text_free(&head);
  return result;
}

/* Adds `length` bytes; up to `limit` in all. */
static int
http_body_add(http_connection *c, http_text *body, uint64_t length,
              uint64_t limit)
{
  char some[16384];

  while (length > 0) {
    size_t got = http_take(c, some,
                           length > sizeof some ? sizeof some : length);

    if (got == 0)
      return -1;
    http_text_add(body, some, got);
    length -= got;
    if (body->len >= limit)
      return -1;
  }
  return 0;
}

static int
http_body_chunks(http_connection *c, http_text *body, uint64_t limit)
{
  http_text line = { 0 };
  uint64_t length;
  int result = -1;

  for (;;) {
    if (http_take_line(c, &line, 1024) != 0)
      break;
    length = strtoull(http_text_string(&line), NULL, 16);
    if (http_body_add(c, body, length, limit) != 0 ||
        http_take_line(c, &line, 1024) != 0)
      break;
    if (length == 0) {
      result = 0;
      break;
    }
  }
  http_text_free(&line);
  return result;
}

int
http_body(http_connection *c, http_request *request, uint64_t limit)
{
  http_text body = { 0 };
  int result;

  if (request->taken)
    return request->body == NULL ? -1 : 0;
  request->taken = 1;
  if (request->expects && http_printf(c, "HTTP/1.1 100 Continue\r\n\r\n") != 0)
    return -1;
  request->expects = 0;
  if (request->chunked)
    result = http_body_chunks(c, &body, limit);
  else
    result = http_body_add(c, &body, request->length, limit);
  http_text_add(&body, "", 0);
  request->body = body.data;
  request->body_len = body.len;
  return result;
}

/* ---- the server --------------------------------------------------------- */

static int
http_connection_greet(http_connection *c)
{
  http_server *server = c->server;

  if (server->options.connect != NULL &&
      server->options.connect(server->options.arg, c) != 0)
    return -1;
  if (server->tls == NULL)
    return 0;
  c->ssl = SSL_new(server->tls);
  if (c->ssl == NULL)
    abort();
  return SSL_set_fd(c->ssl, c->fd) == 1 && SSL_accept(c->ssl) == 1 ? 0 : -1;
}

static void
http_connection_serve(http_connection *c)
{
  http_server *server = c->server;
  http_request request = { 0 };
  unsigned number = 0;
  int ended = http_connection_greet(c);

  while (!ended) {
    ended = http_request_read(c, &request) != 0;
    if (!ended) {
      c->cut = UINT64_MAX;
      c->drip_ms = 0;
      request.number = ++number;
      ended = server->options.handler(server->options.arg, c, &request) != 0
              || c->fd < 0;
    }
    /* A body that nobody wanted stands before the next request. */
    if (!ended && !request.taken && (request.length > 0 || request.chunked))
      ended = request.expects || http_body(c, &request, HTTP_BODY_MAX) != 0;
    http_request_clear(&request);
  }
  if (c->ssl != NULL && c->fd >= 0)
    (void)SSL_shutdown(c->ssl);
  http_end_now(c, HTTP_CLOSE);
}

static void *
http_connection_main(void *arg)
{
  http_connection *c = arg;

  http_connection_serve(c);
  if (c->ssl != NULL)
    SSL_free(c->ssl);
  atomic_store(&c->done, 1);
  return NULL;
}

/* Joins the threads that have ended, or all of them. */
static void
http_server_reap(http_server *server, int all)
{
  http_connection **at = &server->connections;

  while (*at != NULL) {
    http_connection *c = *at;

    if (!all && !atomic_load(&c->done)) {
      at = &c->next;
      continue;
    }
    (void)pthread_join(c->thread, NULL);
    pthread_mutex_lock(&server->lock);
    *at = c->next;
    pthread_mutex_unlock(&server->lock);
    free(c);
  }
}

static void
http_server_add(http_server *server, int fd)
{
  http_connection *c = http_alloc(sizeof *c);
  int on = 1;

  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->server = server;
  c->fd = fd;
  c->cut = UINT64_MAX;
  c->number = atomic_fetch_add(&server->made, 1) + 1;
  pthread_mutex_lock(&server->lock);
  if (server->stopping)
    (void)shutdown(fd, SHUT_RDWR);
  c->next = server->connections;
  server->connections = c;
  if (pthread_create(&c->thread, NULL, http_connection_main, c) != 0)
    abort();
  pthread_mutex_unlock(&server->lock);
}

static void *
http_server_main(void *arg)
{
  http_server *server = arg;

  for (;;) {
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
      continue;
    if (fd < 0)
      return NULL;
    http_server_reap(server, 0);
    http_server_add(server, fd);
  }
}

static int
http_server_listen(http_server *server)
{
  struct sockaddr_in address = {
    .sin_family = AF_INET,
    .sin_port = htons((uint16_t)server->options.port),
    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
  };
  unsigned last = server->options.address;
  socklen_t size = sizeof address;
  int on = 1;

  if (last != 0)
    address.sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~255u) | last);
  server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server->fd < 0)
    return -1;
  (void)setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(server->fd, 512) != 0 ||
      getsockname(server->fd, (struct sockaddr *)&address, &size) != 0)
    return -1;
  server->port = ntohs(address.sin_port);
  return 0;
}

static int
http_server_tls(http_server *server)
{
  if (server->options.certificate == NULL)
    return 0;
  server->tls = SSL_CTX_new(TLS_server_method());
  if (server->tls == NULL)
    return -1;
  (void)SSL_CTX_set_options(server->tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
  return SSL_CTX_use_certificate_chain_file(server->tls,
                                            server->options.certificate) == 1
           && SSL_CTX_use_PrivateKey_file(server->tls, server->options.key,
                                          SSL_FILETYPE_PEM) == 1 ? 0 : -1;
}

/* The threads inherit a mask that keeps SIGPIPE away: OpenSSL writes to
   sockets without MSG_NOSIGNAL. The caller's own mask stays as it is. */
static int
http_server_run(http_server *server)
{
  sigset_t all, old;
  int result;

  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, &old);
  result = pthread_create(&server->thread, NULL, http_server_main, server);
  (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
  return result;
}

http_server *
http_server_start(const http_options *options)
{
  http_server *server = http_alloc(sizeof *server);

  server->options = *options;
  server->fd = -1;
  pthread_mutex_init(&server->lock, NULL);
  if (http_server_tls(server) == 0 && http_server_listen(server) == 0 &&
      http_server_run(server) == 0)
    return server;
  if (server->fd >= 0)
    (void)close(server->fd);
  SSL_CTX_free(server->tls);
  pthread_mutex_destroy(&server->lock);
  free(server);
  return NULL;
}

void
http_server_stop(http_server *server)
{
  http_connection *c;

  if (server == NULL)
    return;
  pthread_mutex_lock(&server->lock);
  server->stopping = 1;
  for (c = server->connections; c != NULL; c = c->next) {
    if (c->fd >= 0)
      (void)shutdown(c->fd, SHUT_RDWR);
  }
  pthread_mutex_unlock(&server->lock);
  (void)shutdown(server->fd, SHUT_RDWR);
  (void)pthread_join(server->thread, NULL);
  (void)close(server->fd);
  http_server_reap(server, 1);
  SSL_CTX_free(server->tls);
  pthread_mutex_destroy(&server->lock);
  free(server);
}

int
http_server_port(const http_server *server)
{
  return server->port;
}

unsigned
http_server_connections(const http_server *server)
{
  return atomic_load(&server->made);
}

uint64_t
http_server_sent(const http_server *server)
{
  return atomic_load(&server->sent);
}
