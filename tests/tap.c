/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUnit cases printed as TAP: CUnit runs them, one handler prints.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"

static unsigned tap_number;
static unsigned tap_failed;
static const char *tap_skip_reason;

void
tap_skip(const char *reason)
{
  tap_skip_reason = reason;
}

void
tap_note(const char *format, ...)
{
  va_list args;

  printf("# ");
  va_start(args, format);
  (void)vprintf(format, args);
  va_end(args);
  printf("\n");
  (void)fflush(stdout);
}

int
tap_is_slow(void)
{
  return getenv("SB_SANITIZER") != NULL;
}

static void
tap_complete(const CU_pTest test, const CU_pSuite suite,
             const CU_pFailureRecord failures)
{
  const CU_FailureRecord *failure;

  tap_number++;
  if (failures != NULL)
    tap_failed++;
  printf("%s %u - %s: %s", failures == NULL ? "ok" : "not ok", tap_number,
         suite->pName, test->pName);
  if (tap_skip_reason != NULL && failures == NULL)
    printf(" # SKIP %s", tap_skip_reason);
  printf("\n");
  tap_skip_reason = NULL;
  for (failure = failures; failure != NULL; failure = failure->pNext)
    printf("#   %s:%u: %s\n", failure->strFileName, failure->uiLineNumber,
           failure->strCondition);
  (void)fflush(stdout);
}

static int
tap_wants(int argc, char **argv, const char *suite, const char *name)
{
  int i;

  if (argc < 2)
    return 1;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], name) == 0 || strcmp(argv[i], suite) == 0)
      return 1;
  }
  return 0;
}

/* Returns how many cases were added, or -1. */
static int
tap_add_suite(int argc, char **argv, const tap_suite *suite)
{
  CU_pSuite added = NULL;
  int count = 0;
  size_t i;

  for (i = 0; i < suite->count; i++) {
    const tap_case *one = &suite->cases[i];

    if (!tap_wants(argc, argv, suite->name, one->name))
      continue;
    if (added == NULL)
      added = CU_add_suite(suite->name, NULL, NULL);
    if (added == NULL || CU_add_test(added, one->name, one->fn) == NULL)
      return -1;
    count++;
  }
  return count;
}

int
tap_main(int argc, char **argv, const tap_suite *suites, size_t count)
{
  int total = 0;
  size_t i;

  if (CU_initialize_registry() != CUE_SUCCESS) {
    printf("Bail out! could not start CUnit\n");
    return 1;
  }
  for (i = 0; i < count; i++) {
    int added = tap_add_suite(argc, argv, &suites[i]);

    if (added < 0) {
      printf("Bail out! could not register suite \"%s\": %s\n", suites[i].name,
             CU_get_error_msg());
      return 1;
    }
    total += added;
  }
  if (total == 0 && argc > 1) {
    printf("Bail out! no case is named \"%s\"\n", argv[1]);
    return 1;
  }
  printf("1..%d\n", total);
  (void)fflush(stdout);
  CU_set_test_complete_handler(tap_complete);
  (void)CU_run_all_tests();
  CU_cleanup_registry();
  return tap_failed == 0 ? 0 : 1;
}
