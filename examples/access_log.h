/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_log: a stream processor over a web server's access log. One source
 * thread reads lines and hands them to subtask threads by the client address's
 * key group; each subtask keeps its addresses' state in the state backend.
 *
 *   source --queue--> subtask 0 --> part files    main: shows progress,
 *          --queue--> subtask 1 --> part files    publishes committed parts
 *
 * Checkpoints are barriers in the queues. What came before a barrier is in the
 * checkpoint, and so is the list of part files that belong to it.
 */
#ifndef ACCESS_LOG_H
#define ACCESS_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <statebackend/statebackend.h>

#define KEY_GROUPS 128u
#define SUBTASKS_MAX 64u
#define SESSION_GAP_MS 1800000 /* this long without a hit ends a session */
#define LATENESS_MS 60000      /* how far the watermark trails */
#define RECENT_PATHS 10u
#define LINE_LEN_MAX 16384u
#define ADDRESS_MAX 255u

/* Exit codes, also in --help. */
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_FENCED 3
#define EXIT_STOPPED 4

/* ---- lines (access_log_line.c) ------------------------------------------ */

typedef struct log_line {
  const char *address, *path;
  size_t address_len, path_len;
  int64_t time_ms;
  uint64_t bytes;
  uint32_t status;
} log_line;

/* 0, or -1 for a line that is not in combined log format. */
int log_line_parse(const char *text, size_t len, log_line *line);

/* ---- queues (access_log_queue.c) ---------------------------------------- */

#define BATCH_SIZE 65536u
#define QUEUE_LENGTH 8u

#define ITEM_HITS 1  /* hits, then a watermark */
#define ITEM_BARRIER 2
#define ITEM_END 3   /* the input is over */
#define ITEM_STOP 4

/* One line for a subtask; its address and path follow. */
typedef struct hit {
  int64_t time_ms;
  int64_t watermark_ms; /* before this line: no session needs what is older */
  uint64_t bytes;
  int32_t hash;
  uint16_t status, address_len, path_len;
  uint16_t reserved;
} hit;

typedef struct batch {
  int kind;
  uint64_t checkpoint;  /* ITEM_BARRIER */
  int64_t watermark_ms; /* ITEM_HITS: nothing at or before it will come */
  size_t len;
  _Alignas(8) uint8_t data[];
} batch;

typedef struct queue {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  batch *items[QUEUE_LENGTH];
  size_t first, count;
  int closed;
} queue;

batch *batch_new(int kind, size_t size);
int queue_init(queue *q);
void queue_dispose(queue *q);
/* Waits for room. -1 if the queue was closed; the item is freed then. */
int queue_push(queue *q, batch *item);
/* Waits for an item; NULL if the queue was closed. */
batch *queue_pop(queue *q);
/* Ends all waiting: the job has failed. */
void queue_close(queue *q);

/* ---- the job (access_log.c, access_log_checkpoint.c) -------------------- */

/* Where the source is; part of every checkpoint. */
typedef struct position {
  uint64_t offset;       /* of the next line in the input */
  uint64_t repeat;       /* times the input was read */
  uint64_t lines, malformed, late;
  int64_t first_ms, last_ms; /* earliest and latest time of the input */
  int64_t newest_ms;     /* latest time handed on, shifted */
  uint64_t end;          /* 1: all is read and all sessions are closed */
} position;

/* What is counted over all lives of the job. */
typedef struct counters {
  uint64_t checkpoints, sessions, keys;
  uint64_t evicted_bytes, early_flushes, compactions, cold_reads;
} counters;

typedef struct settings {
  const char *input, *output, *stats_file;
  uint32_t subtasks;
  uint64_t repeat;
  uint64_t rate;             /* lines a second, 0: no limit */
  uint64_t every_lines, every_ms;
} settings;

/* A file of results. It is `name`.pending until a checkpoint that lists it is
   committed, then `name`. */
typedef struct part {
  uint64_t checkpoint;
  int published;
  char name[96];
} part;

struct subtask;

typedef struct job {
  settings settings;
  const sb_host *host;
  sb_backend *backend;
  sb_coordinator *coordinator;
  const sb_checkpoint *restored;
  uint64_t generation;
  struct subtask *subtasks;
  counters base;             /* as restored */
  _Atomic uint64_t lines;    /* read so far, for progress */
  _Atomic uint64_t committed; /* checkpoints of this life */
  _Atomic int stop;          /* a signal came */
  _Atomic int failed;
  _Atomic int finished;
  const char *state;         /* for the stats file */
  pthread_mutex_t lock;      /* guards everything below */
  position position;         /* as restored, then of the newest barrier */
  uint64_t barrier;          /* the newest checkpoint's id */
  uint32_t arrived;          /* subtasks its barrier has reached */
  uint64_t published;        /* parts up to this checkpoint are */
  part *parts;
  size_t part_count, part_cap;
  sb_status status;
  sb_error error;            /* the first failure */
} job;

/* Remembers the first failure and ends all threads' waiting. */
void job_fail(job *j, sb_status status, const sb_error *err);

/* Writes the stats file. */
void job_write_stats(job *j, const char *state);

/* The blob of a checkpoint: position, counters, parts. */
int job_restore(job *j);
/* The subtask's barrier: its finished part (or NULL) joins the list; the last
   subtask to arrive puts the blob together. */
sb_status job_arrive(job *j, uint64_t checkpoint, const char *name,
                     sb_error *err);

/* Renames the parts of committed checkpoints. -1 with errno on failure. */
int job_publish(job *j);
/* Removes what dead generations left unfinished. */
int job_clean_output(job *j);
/* Lists the parts of the finished job in the file RESULT. */
int job_write_result(job *j);

/* ---- source, subtasks, sinks -------------------------------------------- */

void *source_run(void *arg); /* the job */

/* Results of one subtask between two barriers, in one file. */
typedef struct sink {
  job *job;
  uint32_t index;
  int fd;                    /* -1: nothing written yet */
  size_t len;
  char buffer[65536];
} sink;

void sink_init(sink *s, job *j, uint32_t index);
/* Printf of one line. */
sb_status sink_print(sink *s, sb_error *err, const char *format, ...)
  __attribute__((format(printf, 3, 4)));
sb_status sink_write(sink *s, const void *data, size_t len, sb_error *err);
/* Makes the file durable under the checkpoint's name; *name is "" if nothing
   was written. */
sb_status sink_seal(sink *s, uint64_t checkpoint, char *name, size_t size,
                    sb_error *err);
void sink_dispose(sink *s);

typedef struct subtask {
  job *job;
  uint32_t index;
  pthread_t thread;
  queue queue;
  sink sink;
  sb_keyed *keyed;
  sb_context *context;
  sb_value *totals;
  sb_value *sessions;
  sb_map *statuses;
  sb_list *paths;
  sb_timers *timers;
  int64_t watermark_ms;
  counters counters;         /* of this life; job.lock */
} subtask;

sb_status subtask_open(subtask *s, job *j, uint32_t index, sb_error *err);
void subtask_close(subtask *s);
void *subtask_run(void *arg);

/* What one hit changes, and what is left at the end (access_log_state.c). */
sb_status state_open(subtask *s, sb_error *err);
sb_status state_hit(subtask *s, const hit *h, const char *address,
                    const char *path, sb_error *err);
sb_status state_watermark(subtask *s, int64_t watermark_ms, sb_error *err);
/* One line for each total, status and list of paths (access_log_dump.c). */
sb_status state_dump(subtask *s, sb_error *err);

#define TOTAL_LEN 24u /* hits, bytes, paths kept: little-endian 64-bit */
uint64_t load_number(const void *data);
void store_number(void *data, uint64_t number);

#endif
