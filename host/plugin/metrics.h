/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the process, as the default host counts them: numbers by name,
 * found and changed without a lock, and all of them as Prometheus text.
 */
#ifndef SB_PLUGIN_METRICS_H
#define SB_PLUGIN_METRICS_H

#include "host/base/buf.h"

#define METRICS_MAX 2048u       /* a power of 2; slots of the table */
#define METRICS_TEXT_MAX (4u << 20)

/* What sb_host.metric_add, metric_slot, metric_slot_add and metric_slot_set
   of the default host do. */
void metrics_add(const sb_host *host, const char *name, int64_t delta);
sb_metric *metrics_slot(const sb_host *host, const char *name, uint32_t kind,
                        const char *help);
void metrics_slot_add(const sb_host *host, sb_metric *metric, int64_t delta);
void metrics_slot_set(const sb_host *host, sb_metric *metric, int64_t value);

/* A metric as it is now. The strings live as long as the process. */
typedef struct metrics_view {
  const char *name;
  const char *help;   /* NULL: none */
  uint32_t kind;
  int64_t value;
} metrics_view;

/* Fills up to METRICS_MAX views; how many. */
size_t metrics_collect(metrics_view *views);

/* Appends everything as Prometheus text, format 0.0.4. */
sb_status metrics_text(const sb_host *host, buf *out, sb_error *err);

#endif
