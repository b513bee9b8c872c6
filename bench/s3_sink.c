/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, epoll, no parsing beyond what ends a request; see s3_sink.h. */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/s3_sink.h"

#define SINK_BUFFER (64u << 10)

typedef struct sink_connection {
  int fd;
  size_t len;            /* bytes in `data` */
  uint64_t body_left;    /* of the request's body */
  int answering;         /* the request's headers were seen */
  int is_get;
  char data[SINK_BUFFER + 1];
} sink_connection;

static char *sink_get_answer;
static size_t sink_get_len;
static const char sink_put_answer[] =
  "HTTP/1.1 200 OK\r\nETag: \"5eb63bbbe01eeed093cb22bb8f5acdc3\"\r\n"
  "Content-Length: 0\r\n\r\n";

static int
sink_send(int fd, const char *data, size_t len)
{
  while (len > 0) {
    ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

    if (sent <= 0)
      return -1;
    data += sent;
    len -= (size_t)sent;
  }
  return 0;
}

/* The headers are all there: notes what the request is. */
static void
sink_request(sink_connection *c, char *end)
{
  char *length;
  size_t head = (size_t)(end + 4 - c->data);

  *end = '\0';
  length = strcasestr(c->data, "\ncontent-length:");
  c->body_left = length == NULL ? 0 : strtoull(length + 16, NULL, 10);
  c->is_get = c->data[0] == 'G';
  c->answering = 1;
  memmove(c->data, c->data + head, c->len - head);
  c->len -= head;
}

static int
sink_step(sink_connection *c)
{
  for (;;) {
    char *end;

    if (c->answering) {
      size_t taken = c->body_left < c->len ? (size_t)c->body_left : c->len;

      memmove(c->data, c->data + taken, c->len - taken);
      c->len -= taken;
      c->body_left -= taken;
      if (c->body_left > 0)
        return 0;
      c->answering = 0;
      if (c->is_get ? sink_send(c->fd, sink_get_answer, sink_get_len)
                    : sink_send(c->fd, sink_put_answer,
                                sizeof sink_put_answer - 1))
        return -1;
    }
    c->data[c->len] = '\0';
    end = strstr(c->data, "\r\n\r\n");
    if (end == NULL)
      return c->len == SINK_BUFFER ? -1 : 0;
    sink_request(c, end);
  }
}

static void
sink_read(sink_connection *c)
{
  ssize_t got = recv(c->fd, c->data + c->len, SINK_BUFFER - c->len, 0);

  if (got > 0) {
    c->len += (size_t)got;
    if (sink_step(c) == 0)
      return;
  }
  close(c->fd);
  free(c);
}

static void
sink_accept(int epoll, int listener)
{
  int fd = accept(listener, NULL, NULL), on = 1;
  sink_connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

  if (c == NULL)
    return;
  c->fd = fd;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
sink_serve(int listener, size_t body_size)
{
  struct epoll_event event = { .events = EPOLLIN }, events[64];
  int epoll = epoll_create1(0);

  sink_get_answer = malloc(body_size + 256);
  if (sink_get_answer == NULL || epoll < 0)
    _exit(1);
  sink_get_len = (size_t)snprintf(sink_get_answer, 256,
                                  "HTTP/1.1 206 Partial Content\r\n"
                                  "ETag: \"5eb63bbbe01eeed093cb22bb8f5acdc3\""
                                  "\r\nContent-Range: bytes 0-%zu/%zu\r\n"
                                  "Content-Length: %zu\r\n\r\n",
                                  body_size - 1, body_size, body_size);
  memset(sink_get_answer + sink_get_len, 'x', body_size);
  sink_get_len += body_size;
  (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int i, count = epoll_wait(epoll, events, 64, -1);

    for (i = 0; i < count; i++)
      if (events[i].data.ptr == NULL)
        sink_accept(epoll, listener);
      else
        sink_read(events[i].data.ptr);
  }
}

pid_t
s3_sink_start(size_t body_size, int *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t len = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  pid_t pid;

  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0
      || bind(listener, (struct sockaddr *)&address, sizeof address) != 0
      || listen(listener, 1024) != 0
      || getsockname(listener, (struct sockaddr *)&address, &len) != 0)
    return -1;
  *port = ntohs(address.sin_port);
  pid = fork();
  if (pid == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    sink_serve(listener, body_size);
  }
  close(listener);
  return pid;
}

void
s3_sink_stop(pid_t pid)
{
  (void)kill(pid, SIGKILL);
  (void)waitpid(pid, NULL, 0);
}
