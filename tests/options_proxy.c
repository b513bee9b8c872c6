/* SPDX-License-Identifier: Apache-2.0 */
/* A proxy for tests; see options_proxy.h. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/http_server.h"
#include "tests/options_proxy.h"

#define PROXY_CONNECTIONS 32u
#define PROXY_HEAD_MAX 8192u
#define PROXY_FIRST_MAX 2048u

typedef struct proxy_connection {
  options_proxy *proxy;
  pthread_t thread;
  int client, server;        /* -1: none; change under the proxy's lock */
  char head[PROXY_HEAD_MAX];
  size_t head_len;
  unsigned char first[PROXY_FIRST_MAX];
  size_t first_len;          /* guarded by the lock */
  int asked;                 /* likewise: the head is whole */
} proxy_connection;

struct options_proxy {
  int fd, port;              /* the port that everything leads to */
  char url[64];
  pthread_t thread;
  pthread_mutex_t lock;
  int stopping;
  proxy_connection connections[PROXY_CONNECTIONS];
  unsigned made;
};

static int
proxy_send(int fd, const void *data, size_t len)
{
  const char *bytes = data;

  while (len > 0) {
    ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

    if (sent < 0 && errno == EINTR)
      continue;
    if (sent <= 0)
      return -1;
    bytes += sent;
    len -= (size_t)sent;
  }
  return 0;
}

/* ---- a connection ------------------------------------------------------- */

static int
proxy_read_head(proxy_connection *c)
{
  while (c->head_len < PROXY_HEAD_MAX - 1 &&
         recv(c->client, c->head + c->head_len, 1, 0) == 1) {
    c->head_len++;
    if (c->head_len >= 4 &&
        memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) == 0)
      return 0;
  }
  return -1;
}

/* "GET http://host/path HTTP/1.1" goes on as "GET /path HTTP/1.1". */
static int
proxy_pass_head(const proxy_connection *c)
{
  const char *space = strchr(c->head, ' ');
  const char *path = space == NULL ? NULL : strstr(space, "://");

  path = path == NULL ? NULL : strchr(path + 3, '/');
  if (path == NULL)
    return -1;
  if (proxy_send(c->server, c->head, (size_t)(space - c->head) + 1) != 0)
    return -1;
  return proxy_send(c->server, path,
                    c->head_len - (size_t)(path - c->head));
}

static void
proxy_keep_first(proxy_connection *c, const char *data, size_t len)
{
  size_t room = PROXY_FIRST_MAX - c->first_len;

  pthread_mutex_lock(&c->proxy->lock);
  if (len > room)
    len = room;
  memcpy(c->first + c->first_len, data, len);
  c->first_len += len;
  pthread_mutex_unlock(&c->proxy->lock);
}

/* Until one side ends. */
static void
proxy_relay(proxy_connection *c)
{
  struct pollfd fds[2] = { { .fd = c->client, .events = POLLIN },
                           { .fd = c->server, .events = POLLIN } };
  char some[16384];
  int i;

  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR)
      return;
    for (i = 0; i < 2; i++) {
      ssize_t got;

      if (fds[i].revents == 0)
        continue;
      got = recv(fds[i].fd, some, sizeof some, 0);
      if (got <= 0)
        return;
      if (i == 0)
        proxy_keep_first(c, some, (size_t)got);
      if (proxy_send(fds[1 - i].fd, some, (size_t)got) != 0)
        return;
    }
  }
}

/* -1: nobody listens there. */
static int
proxy_connect(int port)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 ||
      connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  (void)close(fd);
  return -1;
}

/* 0, or -1 if nobody listens there. */
static int
proxy_reach(proxy_connection *c)
{
  options_proxy *proxy = c->proxy;
  int fd = proxy_connect(proxy->port);

  pthread_mutex_lock(&proxy->lock);
  c->asked = 1;
  c->server = fd;
  if (proxy->stopping && fd >= 0)
    (void)shutdown(fd, SHUT_RDWR);
  pthread_mutex_unlock(&proxy->lock);
  return fd < 0 ? -1 : 0;
}

static void
proxy_serve(proxy_connection *c)
{
  static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
  int tunnel;

  if (proxy_read_head(c) != 0 || proxy_reach(c) != 0)
    return;
  tunnel = strncmp(c->head, "CONNECT ", 8) == 0;
  if ((tunnel ? proxy_send(c->client, yes, sizeof yes - 1)
              : proxy_pass_head(c)) == 0)
    proxy_relay(c);
}

static void *
proxy_connection_main(void *arg)
{
  proxy_connection *c = arg;

  proxy_serve(c);
  pthread_mutex_lock(&c->proxy->lock);
  (void)close(c->client);
  if (c->server >= 0)
    (void)close(c->server);
  c->client = c->server = -1;
  pthread_mutex_unlock(&c->proxy->lock);
  return NULL;
}

/* ---- the proxy ---------------------------------------------------------- */

/* -1: it has had as many as it takes, or it stops. */
static int
proxy_add(options_proxy *proxy, int fd)
{
  proxy_connection *c = &proxy->connections[proxy->made];
  int added = -1;

  pthread_mutex_lock(&proxy->lock);
  if (!proxy->stopping && proxy->made < PROXY_CONNECTIONS) {
    c->proxy = proxy;
    c->client = fd;
    c->server = -1;
    added = pthread_create(&c->thread, NULL, proxy_connection_main, c);
    proxy->made += added == 0;
  }
  pthread_mutex_unlock(&proxy->lock);
  return added == 0 ? 0 : -1;
}

static void *
proxy_main(void *arg)
{
  options_proxy *proxy = arg;
  int fd;

  while ((fd = accept4(proxy->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    if (proxy_add(proxy, fd) != 0)
      (void)close(fd);
  return NULL;
}

options_proxy *
options_proxy_start(int port)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  options_proxy *proxy = http_alloc(sizeof *proxy);

  proxy->port = port;
  pthread_mutex_init(&proxy->lock, NULL);
  proxy->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (proxy->fd >= 0 &&
      bind(proxy->fd, (struct sockaddr *)&address, size) == 0 &&
      listen(proxy->fd, 32) == 0 &&
      getsockname(proxy->fd, (struct sockaddr *)&address, &size) == 0 &&
      pthread_create(&proxy->thread, NULL, proxy_main, proxy) == 0) {
    (void)snprintf(proxy->url, sizeof proxy->url, "http://127.0.0.1:%d",
                   ntohs(address.sin_port));
    return proxy;
  }
  if (proxy->fd >= 0)
    (void)close(proxy->fd);
  pthread_mutex_destroy(&proxy->lock);
  free(proxy);
  return NULL;
}

void
options_proxy_stop(options_proxy *proxy)
{
  unsigned i;

  if (proxy == NULL)
    return;
  pthread_mutex_lock(&proxy->lock);
  proxy->stopping = 1;
  for (i = 0; i < proxy->made; i++) {
    const proxy_connection *c = &proxy->connections[i];

    if (c->client >= 0)
      (void)shutdown(c->client, SHUT_RDWR);
    if (c->server >= 0)
      (void)shutdown(c->server, SHUT_RDWR);
  }
  pthread_mutex_unlock(&proxy->lock);
  (void)shutdown(proxy->fd, SHUT_RDWR);
  (void)pthread_join(proxy->thread, NULL);
  (void)close(proxy->fd);
  for (i = 0; i < proxy->made; i++)
    (void)pthread_join(proxy->connections[i].thread, NULL);
  pthread_mutex_destroy(&proxy->lock);
  free(proxy);
}

const char *
options_proxy_url(const options_proxy *proxy)
{
  return proxy->url;
}

/* ---- what it has seen --------------------------------------------------- */

/* With the lock held. NULL: there is none. */
static const proxy_connection *
proxy_nth(const options_proxy *proxy, unsigned n)
{
  unsigned i, asked = 0;

  for (i = 0; i < proxy->made; i++) {
    asked += (unsigned)proxy->connections[i].asked;
    if (proxy->connections[i].asked && asked == n)
      return &proxy->connections[i];
  }
  return NULL;
}

unsigned
options_proxy_count(options_proxy *proxy)
{
  unsigned n = 0;

  pthread_mutex_lock(&proxy->lock);
  while (proxy_nth(proxy, n + 1) != NULL)
    n++;
  pthread_mutex_unlock(&proxy->lock);
  return n;
}

const char *
options_proxy_head(options_proxy *proxy, unsigned n)
{
  const proxy_connection *c;

  pthread_mutex_lock(&proxy->lock);
  c = proxy_nth(proxy, n);
  pthread_mutex_unlock(&proxy->lock);
  return c == NULL ? NULL : c->head;
}

int
options_proxy_sent(options_proxy *proxy, unsigned n, const void *data,
                   size_t len)
{
  const proxy_connection *c;
  int found;

  pthread_mutex_lock(&proxy->lock);
  c = proxy_nth(proxy, n);
  found = c != NULL && memmem(c->first, c->first_len, data, len) != NULL;
  pthread_mutex_unlock(&proxy->lock);
  return found;
}
