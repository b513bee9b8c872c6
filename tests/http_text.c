/* SPDX-License-Identifier: Apache-2.0 */
/* Small things of the HTTP server for tests: text, dates, connecting. */
#include "config.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/http_server.h"

void *
http_alloc(size_t size)
{
  void *p = calloc(1, size == 0 ? 1 : size);

  if (p == NULL)
    abort();
  return p;
}

char *
http_strdup(const char *text)
{
  char *copy = http_alloc(strlen(text) + 1);

  return strcpy(copy, text);
}

void
http_text_add(http_text *text, const void *data, size_t len)
{
  if (text->len + len + 1 > text->size) {
    text->size = (text->len + len + 1) * 2;
    text->data = realloc(text->data, text->size);
    if (text->data == NULL)
      abort();
  }
  if (len > 0)
    memcpy(text->data + text->len, data, len);
  text->len += len;
  text->data[text->len] = '\0';
}

void
http_text_vprintf(http_text *text, const char *format, va_list args)
{
  char *line;
  int len = vasprintf(&line, format, args);

  if (len < 0)
    abort();
  http_text_add(text, line, (size_t)len);
  free(line);
}

void
http_text_printf(http_text *text, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  http_text_vprintf(text, format, args);
  va_end(args);
}

void
http_text_free(http_text *text)
{
  free(text->data);
  memset(text, 0, sizeof *text);
}

const char *
http_text_string(const http_text *text)
{
  return text->data == NULL ? "" : text->data;
}

const char *
http_reason(int status)
{
  static const struct { int status; const char *text; } reasons[] = {
    { 100, "Continue" }, { 200, "OK" }, { 204, "No Content" },
    { 206, "Partial Content" }, { 301, "Moved Permanently" },
    { 304, "Not Modified" }, { 307, "Temporary Redirect" },
    { 400, "Bad Request" }, { 403, "Forbidden" }, { 404, "Not Found" },
    { 409, "Conflict" }, { 412, "Precondition Failed" },
    { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
    { 429, "Too Many Requests" }, { 500, "Internal Server Error" },
    { 501, "Not Implemented" }, { 502, "Bad Gateway" },
    { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
  };
  size_t i;

  for (i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
    if (reasons[i].status == status)
      return reasons[i].text;
  }
  return "Unknown";
}

void
http_date(uint64_t ms, char out[40])
{
  static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu",
                                      "Fri", "Sat" };
  static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May",
                                        "Jun", "Jul", "Aug", "Sep", "Oct",
                                        "Nov", "Dec" };
  time_t seconds = (time_t)(ms / 1000);
  struct tm tm;

  gmtime_r(&seconds, &tm);
  (void)snprintf(out, 40, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

int
http_connect(int port)
{
  struct sockaddr_in address = {
    .sin_family = AF_INET,
    .sin_port = htons((uint16_t)port),
    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
  };
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;

  if (fd < 0)
    return -1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  (void)close(fd);
  return -1;
}
