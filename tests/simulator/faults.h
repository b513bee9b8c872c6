/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault loops: a short fixed script in which one stretch is run with the nth
 * store operation, or the nth allocation, failing; for n of 1, 2, 3 ... until
 * nothing fails any more.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "tests/simulator/life.h"

#define SCRIPT_SUBTASKS 2u

typedef struct script {
  life *l;
  job *j;
  const struct fault_case *what;
  const struct fault_mode *mode;
  uint64_t at;              /* the n of this run */
  uint64_t hits;            /* faults that were met */
  int crashed;              /* given up: a new process settles it */
  uint64_t last;            /* of the counted things, seen while armed */
  attempt *attempt;         /* of the snapshots that are there */
  sb_snapshot *snapshots[LIFE_SUBTASKS_MAX];
  const sb_part *parts[LIFE_SUBTASKS_MAX];
} script;

typedef struct fault_mode {
  const char *name;
  int is_memory, for_good, fate;
} fault_mode;

typedef struct fault_case {
  const char *name;
  void (*run)(script *s);   /* the stretch, between script_arm and _disarm */
  uint32_t form;            /* of states in key order; typed: of others */
} fault_case;

extern const fault_case fault_cases[];
extern const size_t fault_case_count;

/* Each call does its part once and returns the first failure, after undoing
   what it had begun. */
sb_status script_open(script *s, sb_error *err);
void script_close(script *s);
sb_status script_snapshot(script *s, sb_error *err);
sb_status script_commit(script *s, sb_error *err);
void script_write(script *s, uint32_t steps);

void script_arm(script *s);
void script_disarm(script *s);
/* A failure is fine while armed, or after a hit. */
void script_allow(script *s, sb_status status, const sb_error *err,
                  const char *what);
/* Now it must work. */
void script_must(script *s, sb_status status, const sb_error *err,
                 const char *what);
/* The handles' state against the model; snapshot and commit must work. */
void script_check(script *s);
/* A new process instead of the old one, which has closed. */
void script_renew(script *s);

#endif
