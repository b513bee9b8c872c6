/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where records come from: a finished checkpoint, a savepoint, or what a
 * _metadata file of Flink describes; by operators and their states, each
 * operator read through one handle over all its key groups.
 */
#ifndef SB_CLI_ORIGIN_H
#define SB_CLI_ORIGIN_H

#include "host/cli/inside.h"

#define ORIGIN_CHECKPOINT 0
#define ORIGIN_SAVEPOINT 1
#define ORIGIN_METADATA 2

/* Which one. */
typedef struct origin_name {
  int kind;
  uint64_t id;      /* of the checkpoint, 0: the newest */
  const char *text; /* the savepoint's name, the file's */
} origin_name;

typedef struct origin_state {
  const manifest_state *state; /* as the first part that has it says */
  uint32_t id;                 /* in the operator's handle, once it is open */
} origin_state;

typedef struct origin_operator {
  const char *id;
  uint32_t key_group_count;
  origin_state *states;
  size_t state_count;
  sb_keyed *keyed;             /* NULL until origin_keyed */
} origin_operator;

typedef struct origin {
  inside in;
  const char *job;
  origin_operator *operators;
  size_t operator_count;
} origin;

/* From --checkpoint, --savepoint and --metadata; exit code. */
int origin_options(const cli *c, origin_name *name);
/* From "7", "newest", "savepoint:NAME" or "metadata:FILE"; exit code. */
int origin_parse(const char *text, origin_name *name);

/* Opens it, pinned while it is open. The backend must be. A canonical
   savepoint is SB_UNSUPPORTED: its parts have no manifests. */
sb_status origin_open(cli *c, const origin_name *name, origin *s,
                      sb_error *err);
/* The same, and takes a canonical one, without any operators. */
sb_status origin_open_any(cli *c, const origin_name *name, origin *s,
                          sb_error *err);
void origin_close(origin *s);

/* Opens the handle of an operator, if it is not open. */
sb_status origin_keyed(origin *s, origin_operator *o, sb_error *err);

const origin_operator *origin_find(const origin *s, const char *id);
const origin_state *origin_find_state(const origin_operator *o,
                                      sb_slice name);

/* Records in all segments: an upper bound of those that are there. */
uint64_t origin_records(const origin *s);

/* Says what failed; an object that is gone is damage. Exit code. */
int origin_fail(const sb_error *err);

#endif
