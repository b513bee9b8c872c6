/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job that changes its parallelism again and again, over uneven ranges of
 * key groups, and goes on from checkpoints, full checkpoints, savepoints and
 * canonical savepoints, its own or another job's, claimed or not. After each
 * change its state is compared with a model, and what is on the store with
 * what the checkpoint needs. SB_ROUNDS is the number of random rounds.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lives.h"
#include "tests/tap.h"

/* ---- moves -------------------------------------------------------------- */

/* Only the job's own directory stays, and the savepoints of `kept`. */
static void
remove_others(const char *kept)
{
  char command[240];

  (void)snprintf(command, sizeof command,
                 "cd %s && find . -ignore_readdir_race -type f "
                 "! -path './.sb*' ! -path './%s/*' "
                 "! -path './%s/savepoints/*' -delete", directory, own_path,
                 kept);
  CU_ASSERT_EQUAL(system(command), 0);
}

/* Goes on in a new job from what `old` has. What it has not claimed is not
   needed any more after the first checkpoint. */
static void
move_job(uint32_t parallelism, const char *old, const char *savepoint,
         uint32_t mode)
{
  sb_coordinator_options source = { .struct_size = sizeof source,
                                    .restore_mode = mode, .restore_job = old,
                                    .restore_savepoint = savepoint };

  life_next_job();
  life_open(parallelism, &source);
  CU_ASSERT(restored != NULL && restored->blob.len == 4);
  life_compare("after a move");
  life_change(20);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  if (mode == SB_RESTORE_CLAIM && savepoint == NULL) {
    life_compare("after a claim");
    return;
  }
  remove_others(mode == SB_RESTORE_CLAIM ? old : "none");
  life_compare("without the source");
  life_close();
  life_open(1 + below(LIFE_SUBTASKS), &source);
  life_compare("restored without the source");
}

#define MOVE_CHECKPOINT 0u  /* the same job goes on */
#define MOVE_FULL 1u
#define MOVE_CLAIM 2u       /* another job's checkpoint */
#define MOVE_NO_CLAIM 3u
#define MOVE_SAVEPOINT 4u
#define MOVE_CLAIM_SAVEPOINT 5u
#define MOVE_CANONICAL 6u
#define MOVE_COPY 7u        /* a savepoint made of the checkpoint */
#define MOVES 8u

static void
make_source(uint32_t move, const char *name)
{
  sb_savepoint_copy copy = { .struct_size = sizeof copy, .from = backend,
                             .from_job = own_path, .job = own_path,
                             .name = name };

  switch (move) {
  case MOVE_FULL:
    good(life_snapshot(SB_TRIGGER_FULL, NULL));
    break;
  case MOVE_SAVEPOINT:
  case MOVE_CLAIM_SAVEPOINT:
    good(life_snapshot(SB_TRIGGER_SAVEPOINT, name));
    break;
  case MOVE_CANONICAL:
    good(life_snapshot(SB_TRIGGER_CANONICAL, name));
    break;
  default:
    good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  }
  if (move == MOVE_COPY)
    good(backend->ops->savepoint_copy(backend, &copy, &err));
}

static void
change_parallelism(uint32_t move, uint32_t parallelism)
{
  char old[sizeof own_path], name[32];

  (void)snprintf(old, sizeof old, "%s", own_path);
  (void)snprintf(name, sizeof name, "s %u", ++serial);
  make_source(move, name);
  life_compare("with the source made");
  life_close();
  switch (move) {
  case MOVE_CLAIM:
    move_job(parallelism, old, NULL, SB_RESTORE_CLAIM);
    break;
  case MOVE_NO_CLAIM:
    move_job(parallelism, old, NULL, SB_RESTORE_NO_CLAIM);
    break;
  case MOVE_CLAIM_SAVEPOINT:
    move_job(parallelism, old, name, SB_RESTORE_CLAIM);
    break;
  case MOVE_SAVEPOINT:
  case MOVE_CANONICAL:
  case MOVE_COPY:
    move_job(parallelism, old, name, SB_RESTORE_NO_CLAIM);
    break;
  default:
    life_open(parallelism, NULL);
  }
  life_compare("with the new parallelism");
}

static void
round_of(uint32_t move, uint32_t parallelism)
{
  unsigned failures = CU_get_number_of_failures();
  uint32_t before = count;

  life_change(20 + below(150));
  if (below(2) == 0) {
    good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
    life_change(below(100));
  }
  if (below(4) == 0) {
    life_key kept[LIFE_KEYS];

    /* What was not in a checkpoint is lost. */
    good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
    memcpy(kept, model, sizeof kept);
    life_change(50);
    memcpy(model, kept, sizeof kept);
    life_close();
    life_open(before, NULL);
    life_compare("after a crash");
  }
  change_parallelism(move, parallelism);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  life_close();
  life_check_objects();
  life_open(parallelism, NULL);
  life_compare("at the end");
  if (CU_get_number_of_failures() != failures)
    tap_note("from %u to %u, move %u", before, parallelism, move);
}

/* ---- cases -------------------------------------------------------------- */

static void
test_up_and_down(void)
{
  static const uint32_t steps[] = { 1, 2, 3, 5, 4, 1 };
  size_t i;

  life_begin(1);
  for (i = 0; i < TAP_COUNT(steps); i++)
    round_of(MOVE_CHECKPOINT, steps[i]);
  life_finish();
}

static void
each_move(uint32_t move)
{
  life_begin(10 + move);
  round_of(move, 3);
  round_of(move, 2);
  life_finish();
}

static void
test_full(void)
{
  each_move(MOVE_FULL);
}

static void
test_claim(void)
{
  each_move(MOVE_CLAIM);
}

static void
test_no_claim(void)
{
  each_move(MOVE_NO_CLAIM);
}

static void
test_savepoint(void)
{
  each_move(MOVE_SAVEPOINT);
}

static void
test_claim_savepoint(void)
{
  each_move(MOVE_CLAIM_SAVEPOINT);
}

static void
test_canonical(void)
{
  each_move(MOVE_CANONICAL);
}

static void
test_copy(void)
{
  each_move(MOVE_COPY);
}

static void
test_random_rounds(void)
{
  const char *text = getenv("SB_ROUNDS");
  unsigned rounds = text == NULL ? 8 : (unsigned)strtoul(text, NULL, 10), i;

  life_begin(3);
  for (i = 0; i < rounds; i++)
    round_of(below(MOVES), 1 + below(LIFE_SUBTASKS));
  life_finish();
}

/* The number of key groups cannot change, and the message says so. */
static void
test_maximum(void)
{
  sb_keyed_options options = { .struct_size = sizeof options,
                               .operator_id = "op",
                               .key_group_count = 2 * LIFE_GROUPS };
  sb_keyed *keyed = NULL;

  life_begin(4);
  life_change(50);
  good(life_snapshot(SB_TRIGGER_CHECKPOINT, NULL));
  life_close();
  life_open(1, NULL);
  options.job = own_path;
  options.key_group_last = 2 * LIFE_GROUPS - 1;
  options.generation = sb_coordinator_generation(coordinator);
  options.parts = restored->parts;
  options.part_count = restored->info.part_count;
  CU_ASSERT_EQUAL(backend->ops->open_keyed(backend, &options, &keyed, &err),
                  SB_MISMATCH);
  CU_ASSERT(strstr(err.message, "maximum parallelism of 64") != NULL);
  CU_ASSERT(strstr(err.message, "taken with 32") != NULL);
  life_compare("after a refusal");
  life_finish();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "up_and_down", test_up_and_down },
    { "full", test_full },
    { "claim", test_claim },
    { "no_claim", test_no_claim },
    { "savepoint", test_savepoint },
    { "claim_savepoint", test_claim_savepoint },
    { "canonical", test_canonical },
    { "copy", test_copy },
    { "random_rounds", test_random_rounds },
    { "maximum", test_maximum },
  };
  static const tap_suite suites[] = { { "rescale", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
