/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of sbctl report: how the bytes of a checkpoint's segments are
 * spread over states and key groups. Small checkpoints are read whole; of
 * larger ones only the indexes are, and a block counts for the state that it
 * begins with and for the key groups up to where the next begins.
 */
#ifndef SB_CLI_REPORT_H
#define SB_CLI_REPORT_H

#include "host/cli/progress.h"
#include "host/cli/origin.h"

#define REPORT_EXACT_MAX ((uint64_t)64 << 20) /* bytes read whole */

typedef struct report_state {
  const char *operator_id;
  sb_slice name;
  uint32_t id, kind;
  uint64_t stored;  /* bytes, as in the objects */
  uint64_t raw;     /* before compression */
  uint64_t records; /* with tombstones and superseded ones; only if exact */
} report_state;

/* The key groups of one operator. */
typedef struct report_groups {
  const char *operator_id;
  uint32_t count;
  uint64_t *stored;
} report_groups;

typedef struct report_figures {
  report_state *states;
  size_t state_count;
  report_groups *operators;
  size_t operator_count;
  uint64_t segments;
  int exact;
} report_figures;

/* Exit code; dispose it in any case. */
int report_figures_read(cli *c, const origin *s, report_figures *f);
void report_figures_dispose(report_figures *f);

#endif
