/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server for one text, GET /metrics, on a loopback address. It
 * has no thread of its own: whoever owns it polls its descriptors.
 */
#ifndef SB_PLUGIN_LISTENER_H
#define SB_PLUGIN_LISTENER_H

#include <poll.h>
#include <sys/socket.h>
#include "host/base/buf.h"

#define LISTENER_CLIENTS 16u        /* more wait in the kernel */
#define LISTENER_POLLS (1 + LISTENER_CLIENTS)
#define LISTENER_REQUEST_MAX 4096u  /* bytes of a request's head */
#define LISTENER_PATIENCE_MS 2000u  /* for one client, from first to last */

typedef struct listener_client {
  int fd;                  /* -1: free */
  uint64_t deadline_ns;
  size_t got, sent;
  buf answer;              /* empty while the request comes in */
  char request[LISTENER_REQUEST_MAX + 1];
} listener_client;

typedef struct listener {
  const sb_host *host;
  int fd;                  /* -1: not bound */
  struct sockaddr_storage address;
  socklen_t address_len;
  listener_client clients[LISTENER_CLIENTS];
} listener;

/* Reads "127.0.0.1:PORT" or "[::1]:PORT"; SB_CONFIG for anything else. Port 0:
   one that the kernel chooses. */
sb_status listener_init(listener *l, const sb_host *host, const char *text,
                        sb_error *err);
/* Binds and listens; SB_IO if the port is taken. */
sb_status listener_bind(listener *l, sb_error *err);
/* "http://127.0.0.1:9101/metrics", once it is bound. */
void listener_url(const listener *l, char *text, size_t size);
/* Fills in what to wait for; how many, and when the next client's patience
   ends, SB_NO_DEADLINE if there is none. */
size_t listener_polls(const listener *l, struct pollfd *polls,
                      uint64_t *deadline_ns);
/* Does what is to be done after a poll. */
void listener_serve(listener *l, const struct pollfd *polls, size_t count);
void listener_close(listener *l);

#endif
