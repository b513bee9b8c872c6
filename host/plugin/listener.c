/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener. Its few lines of HTTP stand here because a server library is
 * more code to link and to trust than one fixed page needs: no bodies, no
 * keep-alive, one request a connection, a bound on everything.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/plugin/listener.h"
#include "host/plugin/metrics.h"

/* ---- address ------------------------------------------------------------ */

static int
listener_port(const char *text, in_port_t *port)
{
  unsigned long value;
  char *end;

  if (*text < '0' || *text > '9')
    return -1;
  value = strtoul(text, &end, 10);
  if (*end != '\0' || value > 65535)
    return -1;
  *port = htons((uint16_t)value);
  return 0;
}

static int
listener_parse(listener *l, const char *text)
{
  struct sockaddr_in *four = (struct sockaddr_in *)&l->address;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&l->address;
  const char *colon = strrchr(text, ':');
  char host[64];
  size_t len = colon == NULL ? 0 : (size_t)(colon - text);

  if (len < 2 || len >= sizeof host)
    return -1;
  memcpy(host, text, len);
  host[len] = '\0';
  if (host[0] == '[' && host[len - 1] == ']') {
    host[len - 1] = '\0';
    six->sin6_family = AF_INET6;
    l->address_len = sizeof *six;
    return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 &&
           IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)
             ? listener_port(colon + 1, &six->sin6_port)
             : -1;
  }
  four->sin_family = AF_INET;
  l->address_len = sizeof *four;
  return inet_pton(AF_INET, host, &four->sin_addr) == 1 &&
         ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
           ? listener_port(colon + 1, &four->sin_port)
           : -1;
}

sb_status
listener_init(listener *l, const sb_host *host, const char *text,
              sb_error *err)
{
  size_t i;

  memset(l, 0, sizeof *l);
  l->host = host;
  l->fd = -1;
  for (i = 0; i < LISTENER_CLIENTS; i++)
    l->clients[i].fd = -1;
  if (listener_parse(l, text) != 0)
    return sb_error_set(err, SB_CONFIG, "metrics can be had on a loopback "
                        "address only, such as 127.0.0.1:9101 or [::1]:9101: "
                        "not on \"%.100s\"", text);
  return SB_OK;
}

sb_status
listener_bind(listener *l, sb_error *err)
{
  int fd = socket(l->address.ss_family,
                  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1, failure;

  if (fd >= 0 &&
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(fd, (struct sockaddr *)&l->address, l->address_len) == 0 &&
      listen(fd, (int)LISTENER_CLIENTS) == 0) {
    l->fd = fd;
    return SB_OK;
  }
  failure = errno;
  if (fd >= 0)
    (void)close(fd);
  return sb_error_set(err, SB_IO, "%s", strerror(failure));
}

void
listener_url(const listener *l, char *text, size_t size)
{
  struct sockaddr_storage at;
  socklen_t len = sizeof at;
  const struct sockaddr_in *four = (const struct sockaddr_in *)&at;
  char host[INET6_ADDRSTRLEN];
  const void *address = &four->sin_addr;

  memset(&at, 0, sizeof at);
  (void)getsockname(l->fd, (struct sockaddr *)&at, &len);
  if (at.ss_family == AF_INET6)
    address = &((const struct sockaddr_in6 *)&at)->sin6_addr;
  if (inet_ntop(at.ss_family, address, host, sizeof host) == NULL)
    host[0] = '\0';
  (void)snprintf(text, size, at.ss_family == AF_INET6
                               ? "http://[%s]:%u/metrics"
                               : "http://%s:%u/metrics",
                 host, (unsigned)ntohs(four->sin_port));
}

/* ---- clients ------------------------------------------------------------ */

static void
listener_drop(listener_client *c)
{
  (void)close(c->fd);
  c->fd = -1;
  buf_dispose(&c->answer);
}

static void
listener_accept(listener *l)
{
  size_t i;

  for (i = 0; i < LISTENER_CLIENTS; i++) {
    listener_client *c = &l->clients[i];

    if (c->fd >= 0)
      continue;
    c->fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0)
      return;
    c->deadline_ns = l->host->monotonic_ns(l->host) +
                     LISTENER_PATIENCE_MS * 1000000ull;
    c->got = c->sent = 0;
    buf_init(&c->answer, l->host, METRICS_TEXT_MAX + 512);
  }
}

static void
listener_answer(listener_client *c, const char *status, const char *type,
                const void *body, size_t len, int with_body)
{
  char head[256];
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                   "Connection: close\r\n\r\n", status, type, len);

  buf_add(&c->answer, head, (size_t)n);
  if (with_body)
    buf_add(&c->answer, body, len);
}

static void
listener_metrics(listener *l, listener_client *c, int with_body)
{
  buf text;

  buf_init(&text, l->host, METRICS_TEXT_MAX);
  if (metrics_text(l->host, &text, NULL) == SB_OK)
    listener_answer(c, "200 OK", "text/plain; version=0.0.4; charset=utf-8",
                    text.data, text.len - 1, with_body);
  else
    listener_answer(c, "503 Service Unavailable", "text/plain",
                    "no memory\n", 10, with_body);
  buf_dispose(&text);
}

/* The whole head has come. */
static void
listener_request(listener *l, listener_client *c)
{
  const char *path = strchr(c->request, ' ');
  size_t len = path == NULL ? 0 : strcspn(path + 1, " ?\r\n");
  int head = strncmp(c->request, "HEAD ", 5) == 0;

  if (!head && strncmp(c->request, "GET ", 4) != 0)
    listener_answer(c, "405 Method Not Allowed", "text/plain",
                    "only GET\n", 9, 1);
  else if (len != 8 || strncmp(path + 1, "/metrics", 8) != 0)
    listener_answer(c, "404 Not Found", "text/plain",
                    "see /metrics\n", 13, !head);
  else
    listener_metrics(l, c, !head);
}

static void
listener_receive(listener *l, listener_client *c)
{
  ssize_t n = recv(c->fd, c->request + c->got, LISTENER_REQUEST_MAX - c->got,
                   0);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    listener_drop(c);
    return;
  }
  c->got += (size_t)n;
  c->request[c->got] = '\0';
  if (strstr(c->request, "\r\n\r\n") != NULL ||
      strstr(c->request, "\n\n") != NULL)
    listener_request(l, c);
  else if (c->got == LISTENER_REQUEST_MAX)
    listener_answer(c, "431 Request Header Fields Too Large", "text/plain",
                    "", 0, 1);
}

static void
listener_send(listener_client *c)
{
  ssize_t n = send(c->fd, c->answer.data + c->sent, c->answer.len - c->sent,
                   MSG_NOSIGNAL);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0)
    c->sent += (size_t)n;
  if (n <= 0 || c->sent == c->answer.len)
    listener_drop(c);
}

static void
listener_client_serve(listener *l, listener_client *c)
{
  if (c->answer.len == 0)
    listener_receive(l, c);
  if (c->fd >= 0 && c->answer.status != SB_OK)
    listener_drop(c);
  else if (c->fd >= 0 && c->answer.len != 0)
    listener_send(c);
}

/* ---- polling ------------------------------------------------------------ */

size_t
listener_polls(const listener *l, struct pollfd *polls, uint64_t *deadline_ns)
{
  size_t i, count = 0;

  *deadline_ns = SB_NO_DEADLINE;
  for (i = 0; i < LISTENER_CLIENTS; i++) {
    const listener_client *c = &l->clients[i];

    if (c->fd < 0)
      continue;
    polls[count].fd = c->fd;
    polls[count++].events = c->answer.len == 0 ? POLLIN : POLLOUT;
    if (c->deadline_ns < *deadline_ns)
      *deadline_ns = c->deadline_ns;
  }
  if (l->fd >= 0 && count < LISTENER_CLIENTS) {
    polls[count].fd = l->fd;
    polls[count++].events = POLLIN;
  }
  return count;
}

void
listener_serve(listener *l, const struct pollfd *polls, size_t count)
{
  uint64_t now = l->host->monotonic_ns(l->host);
  size_t i, k;

  for (k = 0; k < LISTENER_CLIENTS; k++) {
    listener_client *c = &l->clients[k];

    for (i = 0; i < count && c->fd >= 0; i++)
      if (polls[i].fd == c->fd && polls[i].revents != 0) {
        listener_client_serve(l, c);
        break;
      }
    if (c->fd >= 0 && now >= c->deadline_ns)
      listener_drop(c);
  }
  for (i = 0; i < count; i++)
    if (polls[i].fd == l->fd && polls[i].revents != 0)
      listener_accept(l);
}

void
listener_close(listener *l)
{
  size_t i;

  for (i = 0; i < LISTENER_CLIENTS; i++)
    if (l->clients[i].fd >= 0)
      listener_drop(&l->clients[i]);
  if (l->fd >= 0)
    (void)close(l->fd);
  l->fd = -1;
}
