/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules: what the states of a handle say about their records, as of one
 * moment, so that a flush or a compaction judges all records alike while the
 * owner registers states.
 */
#ifndef SB_ENGINE_RULES_H
#define SB_ENGINE_RULES_H

#include <statebackend/backend.h>
#include "host/engine/record.h"

typedef struct rule {
  uint32_t state;        /* its id in segments */
  uint32_t kind, flags, schema_version;
  uint32_t time_kind, time_offset;
  uint64_t ttl_ms;
  uint64_t now_ms;       /* the time that counts for the state */
  uint64_t dropped_epoch; /* records of it and of all earlier epochs are dead;
                             0: not dropped */
  sb_migrate_fn *migrate; /* or NULL */
  void *migrate_arg;
} rule;

typedef struct rules {
  rule *list;            /* ascending by state */
  size_t count;
} rules;

struct keyed;

/* Any thread. SB_NO_MEMORY is the only failure. */
sb_status rules_take(struct keyed *k, rules *out);
void rules_dispose(const sb_host *host, rules *all);
/* NULL: there is no such state. */
const rule *rules_find(const rules *all, uint32_t id);

/* Has `time`, taken as the rule says, come? */
int rule_over(const rule *r, uint64_t time);

/* The stamp that a value of an SB_TIME_VALUE state has; 0 if it is too
   short. */
int rule_value_time(const rule *r, sb_slice value, uint64_t *time);

/* Has the whole record expired? Tombstones and markers never do. */
int rule_expired(const rule *r, const record *rec);

/* The next of a list record's elements at *at, which moves on; 0 at the end.
   The element's bytes with its length before them in *whole. */
int rule_next_element(sb_slice list, size_t *at, sb_slice *element,
                      sb_slice *whole);

#endif
