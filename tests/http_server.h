/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on 127.0.0.1 for tests: a thread for each
 * connection, keep-alive, TLS if wanted. Its handler has the connection in
 * hand, so that it can answer as a broken server does: reset or close at any
 * byte, stand still, send a byte now and then.
 */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX (64u << 10)
#define HTTP_BODY_MAX (1ull << 30)

/* Bytes that grow, always followed by a NUL. Running out of memory ends the
   test program. */
typedef struct http_text {
  char *data;
  size_t len, size;
} http_text;

void http_text_add(http_text *text, const void *data, size_t len);
void http_text_printf(http_text *text, const char *format, ...)
  __attribute__((format(printf, 2, 3)));
void http_text_vprintf(http_text *text, const char *format, va_list args)
  __attribute__((format(printf, 2, 0)));
void http_text_free(http_text *text);
const char *http_text_string(const http_text *text);
void *http_alloc(size_t size);            /* zeroed; never NULL */
char *http_strdup(const char *text);

typedef struct http_field {
  char *name;                /* lower case */
  char *value;               /* without white space around it */
} http_field;

typedef struct http_request {
  char *head;                /* as received, up to the empty line */
  size_t head_len;
  char method[16];
  char *path, *query;        /* as sent; query "" if there is none */
  http_field *headers;
  size_t header_count;
  uint64_t length;           /* of the body to come */
  int chunked, expects;      /* "Expect: 100-continue" not yet answered */
  int taken;                 /* the body was read, or some of it */
  char *body;                /* of http_body */
  size_t body_len;
  unsigned number;           /* 1 for the first one of its connection */
} http_request;

typedef struct http_server http_server;
typedef struct http_connection http_connection;

/* Answers one request. 0: the connection may be used again; else it is
   closed. */
typedef int http_handler(void *arg, http_connection *connection,
                         http_request *request);
/* Sees a new connection before a TLS handshake. As above. */
typedef int http_connect_fn(void *arg, http_connection *connection);

typedef struct http_options {
  http_handler *handler;
  http_connect_fn *connect;  /* may be NULL */
  void *arg;
  const char *certificate, *key; /* PEM files: TLS */
  int port;                  /* 0: the kernel chooses */
  unsigned address;          /* listens on 127.0.0.N; 0: 1 */
} http_options;

/* NULL if it cannot listen or read the certificate. */
http_server *http_server_start(const http_options *options);
/* Cuts all connections and waits for their threads. */
void http_server_stop(http_server *server);
int http_server_port(const http_server *server);
unsigned http_server_connections(const http_server *server); /* ever made */
uint64_t http_server_sent(const http_server *server); /* bytes, in all */

const char *http_header(const http_request *request, const char *name);
/* Reads the body, after asking for it where the client expects that. Up to
   `limit` bytes; -1 if the client left or sent too much. */
int http_body(http_connection *connection, http_request *request,
              uint64_t limit);

unsigned http_connection_number(const http_connection *connection);

typedef enum http_end {
  HTTP_CLOSE, HTTP_RESET, HTTP_STALL
} http_end;

/* What follows is sent a byte every `ms`; 0: as fast as it goes. */
void http_drip(http_connection *connection, unsigned ms);
/* After `bytes` more the connection ends like that. */
void http_cut(http_connection *connection, uint64_t bytes, http_end end);
/* 0, or -1 when the connection is gone. */
int http_send(http_connection *connection, const void *data, size_t len);
int http_printf(http_connection *connection, const char *format, ...)
  __attribute__((format(printf, 2, 3)));
void http_end_now(http_connection *connection, http_end end);
/* Waits, less long when the client leaves or the server stops: then -1. */
int http_wait(http_connection *connection, unsigned ms);

const char *http_reason(int status);
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void http_date(uint64_t ms, char out[40]);

/* A connection to 127.0.0.1:port, for a server that is also a client; -1. */
int http_connect(int port);

#endif
