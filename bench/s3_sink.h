/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that costs as little as can be, in a process of its own: it takes
 * any PUT and answers it, and any GET with a fixed body. For measuring what a
 * client costs.
 */
#ifndef SB_BENCH_S3_SINK_H
#define SB_BENCH_S3_SINK_H

#include <sys/types.h>

/* Starts it on a free port of 127.0.0.1; GETs get `body_size` bytes. -1 and
   errno. */
pid_t s3_sink_start(size_t body_size, int *port);
void s3_sink_stop(pid_t pid);

#endif
