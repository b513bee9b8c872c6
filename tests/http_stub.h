/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny HTTP server in a thread of the test, on 127.0.0.1 and a port of the
 * kernel's choice. Each request comes to a handler, which writes the answer or
 * the mischief. One request a connection, one connection at a time.
 */
#ifndef TESTS_HTTP_STUB_H
#define TESTS_HTTP_STUB_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_STUB_REQUEST_MAX 65536

typedef struct http_stub_request {
  const char *method;
  const char *path;       /* with the query */
  const char *headers;    /* the lines as they came, each with \r\n */
  const char *body;
  size_t body_len;
} http_stub_request;

typedef struct http_stub_answer {
  int status;             /* 200 unless set */
  const char *headers;    /* more lines, each with \r\n; a literal */
  char body[16384];       /* a text */
  size_t filler;          /* that many bytes of 'x' behind it */
  size_t promise;         /* more bytes in Content-Length than are sent */
  uint32_t delay_ms;      /* before the answer */
  int drop;               /* closes without an answer */
} http_stub_answer;

/* Called on the server's thread. */
typedef void http_stub_fn(void *arg, const http_stub_request *request,
                          http_stub_answer *answer);

typedef struct http_stub http_stub;
http_stub *http_stub_start(http_stub_fn *fn, void *arg); /* NULL: failed */
void http_stub_stop(http_stub *stub);                    /* NULL: nothing */

/* "http://127.0.0.1:PORT" */
const char *http_stub_url(const http_stub *stub);
/* Requests so far. */
unsigned http_stub_count(http_stub *stub);
/* The value of a header into out: 1, or 0 if there is none. */
int http_stub_header(const http_stub_request *request, const char *name,
                     char *out, size_t size);

#endif
