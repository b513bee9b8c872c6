/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test server in front of a real one: requests go on as they came, Host
 * header and signature included, and answers come back to be broken.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/s3_server_private.h"

void
server_upstream_leave(void *memory)
{
  server_upstream *upstream = memory;

  if (upstream->fd != 0)
    (void)close(upstream->fd - 1);
  upstream->fd = 0;
}

static int
server_upstream_send(int fd, const char *data, size_t len)
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

static int
server_upstream_receive(int fd, http_text *in)
{
  char some[65536];
  ssize_t got = recv(fd, some, sizeof some, 0);

  if (got > 0)
    http_text_add(in, some, (size_t)got);
  return got > 0 ? 0 : -1;
}

/* The body is sent with its length; "Expect" was answered here. */
static int
server_upstream_ask(server_work *work, int fd)
{
  const http_request *r = work->request;
  const char *line = r->head, *end = r->head + r->head_len;
  http_text out = { 0 };
  int result;

  while (line < end) {
    const char *next = strchr(line, '\n') + 1;

    if (strncasecmp(line, "expect:", 7) != 0 &&
        strncasecmp(line, "transfer-encoding:", 18) != 0)
      http_text_add(&out, line, (size_t)(next - line));
    line = next;
  }
  if (r->chunked)
    http_text_printf(&out, "Content-Length: %zu\r\n", r->body_len);
  http_text_printf(&out, "\r\n");
  result = server_upstream_send(fd, out.data, out.len);
  if (result == 0 && r->body_len > 0)
    result = server_upstream_send(fd, r->body, r->body_len);
  http_text_free(&out);
  return result;
}

static int
server_upstream_chunks(int fd, http_text *in, size_t at, http_text *out)
{
  for (;;) {
    const char *end = at < in->len ? strstr(in->data + at, "\r\n") : NULL;
    size_t len, start;

    if (end == NULL) {
      if (server_upstream_receive(fd, in) != 0)
        return -1;
      continue;
    }
    len = strtoull(in->data + at, NULL, 16);
    start = (size_t)(end - in->data) + 2;
    while (in->len < start + len + 2) {
      if (server_upstream_receive(fd, in) != 0)
        return -1;
    }
    if (len == 0)
      return 0;
    http_text_add(out, in->data + start, len);
    at = start + len + 2;
  }
}

/* The headers but those that the sender makes itself. */
static void
server_upstream_headers(server_work *work, const char *line, const char *end,
                        uint64_t *length, int *chunked, int *closes)
{
  static const char *const own[] = { "content-length:", "transfer-encoding:",
                                     "connection:", "keep-alive:" };
  size_t i;

  *length = UINT64_MAX;
  while (line < end) {
    const char *next = strstr(line, "\r\n") + 2;

    for (i = 0; i < 4 && strncasecmp(line, own[i], strlen(own[i])) != 0; i++)
      continue;
    if (i == 4)
      http_text_add(&work->reply.headers, line, (size_t)(next - line));
    else if (i == 0)
      *length = strtoull(line + 15, NULL, 10);
    else if (i == 1)
      *chunked = 1;
    else
      *closes |= i == 2 && strncasecmp(line + 11, " close", 6) == 0;
    line = next;
  }
}

static int
server_upstream_hear(server_work *work, int fd, int *closes)
{
  server_reply *reply = &work->reply;
  http_text in = { 0 };
  uint64_t length;
  char *end = NULL, *line;
  int chunked = 0, result = -1;
  size_t start;

  while (end == NULL) {
    if (server_upstream_receive(fd, &in) != 0 || in.len > HTTP_HEAD_MAX)
      goto out;
    end = strstr(in.data, "\r\n\r\n");
  }
  start = (size_t)(end - in.data) + 4;
  line = strstr(in.data, "\r\n") + 2;
  if (sscanf(in.data, "HTTP/1.%*d %d", &reply->status) != 1)
    goto out;
  server_upstream_headers(work, line, end + 2, &length, &chunked, closes);
  if (work->head) {
    reply->head_length = length == UINT64_MAX ? 0 : length;
    result = 0;
  } else if (reply->status == 204 || reply->status == 304) {
    result = 0;
  } else if (chunked) {
    result = server_upstream_chunks(fd, &in, start, &reply->body);
  } else {
    *closes |= length == UINT64_MAX;
    while (in.len - start < length && server_upstream_receive(fd, &in) == 0)
      continue;
    http_text_add(&reply->body, in.data + start, in.len - start);
    result = length == UINT64_MAX || reply->body.len == length ? 0 : -1;
  }
out:
  http_text_free(&in);
  return result;
}

void
server_proxy(server_work *work)
{
  server_upstream *upstream = http_private(work->connection);
  int closes = 0, fresh = upstream->fd == 0, ok = 0;

  while (!ok) {
    if (upstream->fd == 0)
      upstream->fd = http_connect(work->server->options.upstream) + 1;
    ok = upstream->fd != 0 &&
         server_upstream_ask(work, upstream->fd - 1) == 0 &&
         server_upstream_hear(work, upstream->fd - 1, &closes) == 0;
    if (!ok || closes)
      server_upstream_leave(upstream);
    /* A kept connection may have been closed meanwhile. */
    if (!ok && (fresh || work->reply.status != 0))
      break;
    fresh = 1;
  }
  if (ok)
    return;
  /* Whatever became of it, the client gets no answer. */
  work->end = HTTP_RESET;
  work->reply.handled = 1;
}
