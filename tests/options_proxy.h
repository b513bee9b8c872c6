/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy for tests that leads everywhere to one port of this machine and
 * keeps what it was asked for: whom a client wants to talk to is seen without
 * a name being looked up. Without TLS only the first request of a connection
 * is led there as it should be.
 */
#ifndef TESTS_OPTIONS_PROXY_H
#define TESTS_OPTIONS_PROXY_H

#include <stddef.h>

typedef struct options_proxy options_proxy;

/* On a port of its own of 127.0.0.1; NULL: could not listen. */
options_proxy *options_proxy_start(int port);
void options_proxy_stop(options_proxy *proxy);   /* NULL: nothing */
const char *options_proxy_url(const options_proxy *proxy);

/* Connections that have asked for something. */
unsigned options_proxy_count(options_proxy *proxy);
/* What the nth (from 1) has asked first: its request line and headers. NULL:
   there is none. Valid until the proxy stops. */
const char *options_proxy_head(options_proxy *proxy, unsigned n);
/* 1 if the first bytes that the nth sent through its tunnel have these. */
int options_proxy_sent(options_proxy *proxy, unsigned n, const void *data,
                       size_t len);

#endif
