/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUnit cases printed as TAP. A test program lists its suites and calls
 * tap_main; `./test_x CASE` runs the cases of that name, or of a suite of that
 * name, alone.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <CUnit/CUnit.h>
#include <stddef.h>

typedef struct tap_case {
  const char *name;
  void (*fn)(void);
} tap_case;

typedef struct tap_suite {
  const char *name;
  const tap_case *cases;
  size_t count;
} tap_suite;

#define TAP_COUNT(array) (sizeof (array) / sizeof (array)[0])

/* Returns the exit status: 0 when nothing failed. */
int tap_main(int argc, char **argv, const tap_suite *suites, size_t count);

/* Marks the running case as skipped; the case then returns. */
void tap_skip(const char *reason);

/* A comment line under the running case. */
void tap_note(const char *format, ...)
  __attribute__((format(printf, 1, 2)));

/* 1 under a sanitizer or valgrind, for tests that then do less. */
int tap_is_slow(void);

#endif
