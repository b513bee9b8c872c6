/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim [--seeds A-B] [--steps N] [--verbose] [--twice] [--until-failure]
 * sim --fault-loop [--brief] | --fault CASE:MODE:NUMBER
 * sim --self-test
 *
 * Runs one life a seed and prints what was lost, wrong or leaked. A failing
 * seed is printed with what differed; the same seed and steps replay it
 * exactly. SB_SEED=N stands for --seeds N-N.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/simulator/life.h"

#define MAIN_SECONDS_MAX 120 /* real time of one seed */

static volatile uint64_t main_seed;

static void
main_write(const char *text)
{
  if (write(2, text, strlen(text)) < 0)
    return;
}

/* Says which seed it was; only calls that are safe in a handler. */
static void
main_signal(int number)
{
  char digits[32];
  size_t i = sizeof digits;
  uint64_t n = main_seed;

  digits[--i] = 0;
  do {
    digits[--i] = (char)('0' + n % 10);
    n /= 10;
  } while (n != 0);
  main_write("\nseed ");
  main_write(digits + i);
  main_write(number == SIGALRM ? ": wrong: too much real time\n"
                               : ": wrong: a fatal signal\n");
  signal(number, SIG_DFL);
  raise(number);
}

static void
main_signals(void)
{
  static char stack[65536];
  static const int numbers[] = { SIGALRM, SIGABRT,
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
                                 SIGSEGV, SIGBUS, SIGILL, SIGFPE
#endif
  };
  struct sigaction action;
  stack_t alternative;
  size_t i;

  memset(&alternative, 0, sizeof alternative);
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  (void)sigaltstack(&alternative, NULL);
  memset(&action, 0, sizeof action);
  action.sa_handler = main_signal;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    (void)sigaction(numbers[i], &action, NULL);
}

typedef struct arguments {
  uint64_t first, last, steps;
  int verbose, twice, until_failure, faults, brief, self;
  const char *only;         /* one run of the fault loops: case:mode:number */
} arguments;

static int
usage(void)
{
  fprintf(stderr, "usage: sim [--seeds A-B] [--steps N] [--verbose] "
          "[--twice] [--until-failure]\n"
          "       sim --fault-loop [--brief] | --fault CASE:MODE:NUMBER\n"
          "       sim --self-test\n");
  return 2;
}

static int
parse_seeds(const char *text, arguments *a)
{
  unsigned long long first, last;

  if (sscanf(text, "%llu-%llu", &first, &last) != 2) {
    if (sscanf(text, "%llu", &first) != 1)
      return -1;
    last = first;
  }
  a->first = first;
  a->last = last;
  return 0;
}

static int
parse(int argc, char **argv, arguments *a)
{
  const char *seed = getenv("SB_SEED");
  int i;

  if (seed != NULL && seed[0] != 0 && parse_seeds(seed, a) != 0)
    return -1;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--verbose") == 0)
      a->verbose++;
    else if (strcmp(argv[i], "--twice") == 0)
      a->twice = 1;
    else if (strcmp(argv[i], "--until-failure") == 0)
      a->until_failure = 1;
    else if (strcmp(argv[i], "--fault-loop") == 0)
      a->faults = 1;
    else if (strcmp(argv[i], "--brief") == 0)
      a->brief = 1;
    else if (strcmp(argv[i], "--fault") == 0 && i + 1 < argc)
      a->only = argv[++i], a->faults = 1;
    else if (strcmp(argv[i], "--self-test") == 0)
      a->self = 1;
    else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc &&
             parse_seeds(argv[i + 1], a) == 0)
      i++;
    else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc)
      a->steps = strtoull(argv[++i], NULL, 10);
    else
      return -1;
  }
  return 0;
}

static int
main_seeds(const arguments *a)
{
  life_result result;
  uint64_t seed, seeds = 0, trace;
  int failed = 0;

  memset(&result, 0, sizeof result);
  for (seed = a->first; seed <= a->last && !(failed && a->until_failure);
       seed++, seeds++) {
    main_seed = seed;
    (void)alarm(MAIN_SECONDS_MAX);
    failed |= life_of_seed(seed, a->steps, a->verbose, NULL, &result);
    trace = result.trace;
    if (a->twice) {
      failed |= life_of_seed(seed, a->steps, a->verbose, NULL, &result);
      if (trace != result.trace) {
        printf("seed %llu: wrong: it does not replay\n",
               (unsigned long long)seed);
        result.counts[SIM_WRONG]++;
        failed = 1;
      }
    }
  }
  (void)alarm(0);
  life_print(&result.did);
  printf("sim seeds=%llu steps=%llu lost=%llu wrong=%llu leaked=%llu\n",
         (unsigned long long)seeds, (unsigned long long)a->steps,
         (unsigned long long)result.counts[SIM_LOST],
         (unsigned long long)result.counts[SIM_WRONG],
         (unsigned long long)result.counts[SIM_LEAKED]);
  return failed;
}

int
main(int argc, char **argv)
{
  arguments a = { 1, 10, 2000, 0, 0, 0, 0, 0, 0, NULL };
  int failed;

  if (parse(argc, argv, &a) != 0)
    return usage();
  main_signals();
  if (a.self)
    failed = self_test();
  else if (a.faults)
    failed = fault_loop(a.verbose, a.brief, a.only);
  else
    failed = main_seeds(&a);
  task_pool_free();
  return failed;
}
