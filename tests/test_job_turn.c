/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on one job take turns, in the order they came, whatever the thread. */
#include "config.h"

#include <pthread.h>
#include <string.h>
#include <statebackend/statebackend.h>

#include "host/engine/job_state.h"
#include "tests/tap.h"

#define TURN_THREADS 6
#define TURN_ROUNDS 2000

static struct sb_job turn_job;
static unsigned turn_inside, turn_total, turn_wrong;

static void *
turn_thread(void *arg)
{
  int i;

  (void)arg;
  for (i = 0; i < TURN_ROUNDS; i++) {
    if (job_enter(&turn_job, NULL) != SB_OK)
      continue;
    turn_wrong += turn_inside++ != 0;
    turn_total++;
    turn_inside--;
    job_leave(&turn_job);
  }
  return NULL;
}

static void
test_turns(void)
{
  pthread_t threads[TURN_THREADS];
  size_t i;

  memset(&turn_job, 0, sizeof turn_job);
  turn_job.env.host = sb_host_default();
  CU_ASSERT_FATAL(pthread_mutex_init(&turn_job.lock, NULL) == 0);
  for (i = 0; i < TURN_THREADS; i++)
    CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, turn_thread, NULL) == 0);
  for (i = 0; i < TURN_THREADS; i++)
    CU_ASSERT(pthread_join(threads[i], NULL) == 0);
  CU_ASSERT(turn_wrong == 0);
  CU_ASSERT(turn_total == TURN_THREADS * TURN_ROUNDS);
  CU_ASSERT(turn_job.busy == 0 && turn_job.waiters == NULL);
  (void)pthread_mutex_destroy(&turn_job.lock);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = { { "turns", test_turns } };
  static const tap_suite suites[] = { { "job_turn", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
