/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the small examples share: options, the lines of an access log, and a
 * job of a few subtasks that one thread drives, with checkpoints in between.
 *
 *   example_open        takes the job over, restores it
 *   example_input       reads the lines
 *   example_step        an input line is done: from time to time a checkpoint
 *   example_finish      the last checkpoint
 *
 * A failure ends the program: what was committed before is what a restart goes
 * on from.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <statebackend/statebackend.h>

#define EXAMPLE_KEY_GROUPS 128u
#define EXAMPLE_SUBTASKS 8u
#define EXAMPLE_LATENESS_MS 60000 /* how far the watermark trails */

typedef struct example_line {
  sb_slice text;             /* all of it */
  sb_slice address, path;
  char status[4];            /* "200"; "" for a malformed line */
  int64_t time_ms;
  uint64_t bytes;
} example_line;

typedef struct example {
  const char *name;
  example_line *lines;       /* of --input */
  size_t line_count;
  uint32_t subtasks;
  sb_context *contexts[EXAMPLE_SUBTASKS];
  uint64_t position;         /* inputs done; in every checkpoint, as is */
  int64_t newest_ms;         /* the latest time of them */
  uint64_t restored;         /* checkpoint this life began with, 0: none */
  /* The rest is example.c's. */
  sb_config *config;
  sb_backend *backend;
  sb_coordinator *coordinator;
  sb_keyed *keyed[EXAMPLE_SUBTASKS];
  const char *input_path;
  char *input;
  uint64_t every, stop_after, steps, checkpoint;
} example;

/* Reads the options, then opens everything. */
void example_open(example *e, const char *name, int argc, char **argv);
/* Reads the lines of --input. */
void example_input(example *e);
/* One more input is done, with that event time. */
void example_step(example *e, int64_t time_ms);
/* All is done: what was not in a checkpoint is now. */
void example_finish(example *e);
/* Prints the verdict and frees all; the exit code. */
int example_close(example *e, int exact);

/* No input of this time or an earlier one is expected any more. */
int64_t example_watermark(const example *e);
/* The subtask that has the key; its key is now current there. */
uint32_t example_key(example *e, sb_slice key);
void example_namespace(example *e, uint32_t index, sb_slice ns);
/* Rows of a state in all subtasks: keys with namespaces, or entries. */
uint64_t example_rows(example *e, const char *state);
/* Bytes of the segments that the newest state consists of. */
uint64_t example_segment_bytes(example *e);

/* Ends the program unless `status` is SB_OK. */
void example_must(sb_status status, const sb_error *err);
/* malloc that never fails. */
void *example_memory(size_t size);

/* 64-bit numbers, big-endian: bytes in the order of the numbers. */
void example_put(void *data, uint64_t number);
uint64_t example_get(const void *data);
/* An sb_fold_fn: adds such numbers one by one. */
sb_status example_sum(void *arg, sb_update *state, sb_slice input,
                      sb_error *err);
/* An sb_update_fn: counts from 1; `arg` has room for a number. */
sb_status example_count(void *arg, sb_update *update);
int example_compare(sb_slice a, sb_slice b);

#endif
