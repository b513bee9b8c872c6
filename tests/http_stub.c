/* SPDX-License-Identifier: Apache-2.0 */
/* The tests' HTTP server; see http_stub.h. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/http_stub.h"

#define STUB_SLICE_MS 10

struct http_stub {
  http_stub_fn *fn;
  void *arg;
  int listener;
  pthread_t thread;
  atomic_int stopping;
  atomic_uint count;
  char url[64];
  char input[HTTP_STUB_REQUEST_MAX + 1];
  http_stub_answer answer;
};

/* ---- input -------------------------------------------------------------- */

/* 1 when there is something to read, 0 when it is to stop. */
static int
stub_wait(http_stub *stub, int fd)
{
  struct pollfd poller = { .fd = fd, .events = POLLIN };

  while (!atomic_load(&stub->stopping))
    if (poll(&poller, 1, STUB_SLICE_MS) > 0)
      return 1;
  return 0;
}

static size_t
stub_length(const char *head)
{
  const http_stub_request request = { .headers = head };
  char value[32];

  return http_stub_header(&request, "content-length", value, sizeof value)
           ? (size_t)strtoul(value, NULL, 10)
           : 0;
}

/* Reads a whole request: the length of its head, 0 on any trouble. */
static size_t
stub_read(http_stub *stub, int fd, size_t *total)
{
  size_t len = 0, head = 0;

  while (head == 0 || len < head + stub_length(stub->input)) {
    ssize_t n;
    char *end;

    if (len == HTTP_STUB_REQUEST_MAX || !stub_wait(stub, fd))
      return 0;
    n = recv(fd, stub->input + len, HTTP_STUB_REQUEST_MAX - len, 0);
    if (n <= 0)
      return 0;
    len += (size_t)n;
    stub->input[len] = '\0';
    end = strstr(stub->input, "\r\n\r\n");
    if (end != NULL)
      head = (size_t)(end - stub->input) + 4;
  }
  *total = len;
  return head;
}

int
http_stub_header(const http_stub_request *request, const char *name, char *out,
                 size_t size)
{
  size_t name_len = strlen(name);
  const char *line;

  for (line = request->headers; line != NULL && *line != '\0';) {
    const char *end = strstr(line, "\r\n");

    if (end == line)
      return 0;
    if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
      const char *value = line + name_len + 1;

      value += strspn(value, " ");
      (void)snprintf(out, size, "%.*s",
                     end == NULL ? (int)strlen(value) : (int)(end - value),
                     value);
      return 1;
    }
    line = end == NULL ? NULL : end + 2;
  }
  return 0;
}

/* ---- output ------------------------------------------------------------- */

static int
stub_send(int fd, const char *data, size_t len)
{
  while (len > 0) {
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return -1;
    data += n;
    len -= (size_t)n;
  }
  return 0;
}

static void
stub_answer(int fd, const http_stub_answer *answer)
{
  char filler[4096], head[1024];
  size_t len = strlen(answer->body), left;
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 %d Stub\r\nContent-Length: %zu\r\n"
                   "Connection: close\r\n%s\r\n",
                   answer->status, len + answer->filler + answer->promise,
                   answer->headers == NULL ? "" : answer->headers);

  memset(filler, 'x', sizeof filler);
  if (stub_send(fd, head, (size_t)n) != 0 ||
      stub_send(fd, answer->body, len) != 0)
    return;
  for (left = answer->filler; left > 0;) {
    size_t part = left < sizeof filler ? left : sizeof filler;

    if (stub_send(fd, filler, part) != 0)
      return;
    left -= part;
  }
}

static void
stub_delay(http_stub *stub, uint32_t ms)
{
  for (; ms > 0 && !atomic_load(&stub->stopping);
       ms -= ms < STUB_SLICE_MS ? ms : STUB_SLICE_MS)
    (void)poll(NULL, 0, STUB_SLICE_MS);
}

static void
stub_serve(http_stub *stub, int fd)
{
  http_stub_request request;
  size_t total = 0, head = stub_read(stub, fd, &total);
  char *line, *space;

  if (head == 0)
    return;
  memset(&request, 0, sizeof request);
  request.method = stub->input;
  request.body = stub->input + head;
  request.body_len = total - head;
  line = strstr(stub->input, "\r\n");
  request.headers = line + 2;
  *line = '\0';
  space = strchr(stub->input, ' ');
  if (space == NULL)
    return;
  *space++ = '\0';
  request.path = space;
  space[strcspn(space, " ")] = '\0';
  memset(&stub->answer, 0, sizeof stub->answer);
  stub->answer.status = 200;
  stub->fn(stub->arg, &request, &stub->answer);
  atomic_fetch_add(&stub->count, 1);
  stub_delay(stub, stub->answer.delay_ms);
  if (!stub->answer.drop)
    stub_answer(fd, &stub->answer);
}

static void *
stub_run(void *arg)
{
  http_stub *stub = arg;

  while (stub_wait(stub, stub->listener)) {
    int fd = accept(stub->listener, NULL, NULL);

    if (fd < 0)
      continue;
    stub_serve(stub, fd);
    (void)shutdown(fd, SHUT_RDWR);
    (void)close(fd);
  }
  return NULL;
}

/* ---- the interface ------------------------------------------------------ */

http_stub *
http_stub_start(http_stub_fn *fn, void *arg)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t len = sizeof address;
  http_stub *stub = calloc(1, sizeof *stub);

  if (stub == NULL)
    return NULL;
  stub->fn = fn;
  stub->arg = arg;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (stub->listener >= 0 &&
      bind(stub->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
      listen(stub->listener, 64) == 0 &&
      getsockname(stub->listener, (struct sockaddr *)&address, &len) == 0) {
    (void)snprintf(stub->url, sizeof stub->url, "http://127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    if (pthread_create(&stub->thread, NULL, stub_run, stub) == 0)
      return stub;
  }
  if (stub->listener >= 0)
    (void)close(stub->listener);
  free(stub);
  return NULL;
}

void
http_stub_stop(http_stub *stub)
{
  if (stub == NULL)
    return;
  atomic_store(&stub->stopping, 1);
  (void)pthread_join(stub->thread, NULL);
  (void)close(stub->listener);
  free(stub);
}

const char *
http_stub_url(const http_stub *stub)
{
  return stub->url;
}

unsigned
http_stub_count(http_stub *stub)
{
  return atomic_load(&stub->count);
}
