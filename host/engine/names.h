/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: a set of object names, each with a number of the caller's. It is
 * filled, sorted once, and then asked and merged in linear time.
 */
#ifndef SB_ENGINE_NAMES_H
#define SB_ENGINE_NAMES_H

#include "host/base/buf.h"

typedef struct names {
  buf bytes;         /* each: 8 bytes number, the name, NUL */
  size_t *offsets;   /* of the names in `bytes`; sorted by names_sort */
  size_t count, cap;
  sb_status status;  /* the first failure, SB_NO_MEMORY */
} names;

void names_init(names *n, const sb_host *host);
void names_dispose(names *n);
/* Failures stick in n->status. */
void names_add(names *n, const char *name, uint64_t number);
/* Forgets a failure; what was added before it is still there. */
void names_forgive(names *n);
void names_add_all(names *n, const names *others);
/* Sorts and drops repeated names (the greatest number stays). */
void names_sort(names *n);
const char *names_at(const names *n, size_t i);
uint64_t names_number(const names *n, size_t i);
/* In sorted sets: is it there; takes out what `others` has. */
int names_has(const names *n, const char *name);
void names_subtract(names *n, const names *others);
/* Keeps the names for which keep[i] is not 0. */
void names_filter(names *n, const uint8_t *keep);

#endif
