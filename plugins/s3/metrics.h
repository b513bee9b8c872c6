/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client counts, by way of sb_host.metric_add, so that the host can
 * show it (C API, sbctl, Prometheus). Names: docs/METRICS.md.
 */
#ifndef PLUGINS_S3_METRICS_H
#define PLUGINS_S3_METRICS_H

#include "plugins/s3/settings.h"

typedef struct s3_metrics s3_metrics;

s3_metrics *s3_metrics_new(const s3_settings *settings); /* NULL: no memory */
void s3_metrics_free(s3_metrics *metrics);               /* NULL: nothing */

/* One attempt has ended: `kind` is an s3_kind, http 0 if there was no answer.
   Times from the start of the attempt; 0 if not reached. */
void s3_metrics_attempt(s3_metrics *metrics, int kind, int http,
                        uint64_t first_byte_ns, uint64_t total_ns,
                        uint64_t bytes_sent, uint64_t bytes_received);
/* A call has ended with `status` after `attempts`, `total_ns` with queueing
   and waits. */
void s3_metrics_call(s3_metrics *metrics, int kind, sb_status status,
                     uint32_t attempts, uint64_t total_ns);
void s3_metrics_throttled(s3_metrics *metrics, int kind);
void s3_metrics_retried(s3_metrics *metrics, int kind);
/* Gauges: connections open, requests queued, requests in flight, the limit of
   requests in flight. */
void s3_metrics_gauges(s3_metrics *metrics, uint64_t connections,
                       uint64_t queued, uint64_t active, uint64_t limit);
/* New credentials, or a refresh that failed. */
void s3_metrics_credentials(s3_metrics *metrics, uint64_t obtained_ms,
                            uint64_t expires_ms, int failed);

#endif
