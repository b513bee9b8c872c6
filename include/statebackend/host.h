/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_host: the services a plugin, and the engine itself, get from the host.
 *
 * Plugins link to no symbol of this library. All time, randomness, threads and
 * memory come through this table, so that a whole process can be run by a
 * simulator from a seed.
 *
 * Threads: every service may be called from any thread, also from completions.
 * Lifetime: the table outlives every object opened with it.
 */
#ifndef STATEBACKEND_HOST_H
#define STATEBACKEND_HOST_H

#include <statebackend/base.h>
#include <statebackend/config.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sb_host sb_host;
typedef struct sb_event sb_event;
typedef struct sb_store sb_store;
typedef struct sb_backend sb_backend;
typedef struct sb_metric sb_metric;
typedef void sb_task(void *arg);

/* Log levels. Libraries log; they never print. */
#define SB_LOG_DEBUG 10u
#define SB_LOG_INFO 20u
#define SB_LOG_WARN 30u
#define SB_LOG_ERROR 40u

/* Lanes of the executor, each with threads of its own, so that long work in
   one never delays another. */
#define SB_LANE_IO 10u          /* short blocking calls of stores, and digests
                                   that their requests wait for: a task here
                                   must not wait for a request of a store */
#define SB_LANE_CHECKPOINT 20u  /* writing out state for checkpoints */
#define SB_LANE_BACKGROUND 30u  /* compaction, clean-up */

#define SB_NO_DEADLINE UINT64_MAX

/* Kinds of metrics. A histogram is a family of metrics: one for each bucket,
   with the label le (the bucket's upper bound, a whole number in the unit of
   the name, or "+Inf") and the number of values in that bucket alone, and one
   without that label for the sum of all values. */
#define SB_METRIC_COUNTER 10u
#define SB_METRIC_GAUGE 20u
#define SB_METRIC_HISTOGRAM 30u

/* Where the engine keeps its objects and how; filled by a store plugin from
   its own options and handed to engine_open. Strings are copied. */
typedef struct sb_engine_options {
  uint32_t struct_size;
  uint32_t compression;           /* 0 none, 1 Snappy */
  const char *base_path;          /* "" or a path without outer slashes */
  const char *state_prefix;       /* "state" */
  const char *checkpoint_prefix;  /* "checkpoints" */
  const char *savepoint_prefix;   /* "savepoints" */
  const char *extension;          /* ".state" */
  uint64_t part_size;             /* bytes of a part of a large object */
  uint32_t layout;                /* 0 segments, 1 segments and entries */
  uint32_t reserved;
} sb_engine_options;

struct sb_host {
  uint32_t struct_size;
  uint32_t abi_version;
  void *ctx;                      /* the host's own */

  /* Logs one line. `component` is a plugin's or module's name. The text must
     not hold a secret. */
  void (*log)(const sb_host *host, uint32_t level, const char *component,
              const char *text);

  /* Memory as realloc: size 0 frees and returns NULL; NULL on failure, with
     `old` left as it was. Aligned for any type. Whoever allocates frees, with
     the same host. */
  void *(*alloc)(const sb_host *host, void *old, size_t size);

  /* Wall clock, milliseconds since 1970 UTC; monotonic clock, nanoseconds. */
  uint64_t (*clock_ms)(const sb_host *host);
  uint64_t (*monotonic_ns)(const sb_host *host);

  /* 64 random bits, unpredictable in production. */
  uint64_t (*random)(const sb_host *host);

  /* Runs task(arg) once on a thread of the lane, in order of submission per
     lane but several at a time. SB_OK, or the task will not run. */
  sb_status (*execute)(const sb_host *host, uint32_t lane, sb_task *task,
                       void *arg, sb_error *err);

  /* Runs task(arg) once after `delay_ms`, on a thread of SB_LANE_IO.
     timer_stop: SB_OK if it will never run, SB_NOT_FOUND if it has run, runs
     now or is unknown. */
  sb_status (*timer_start)(const sb_host *host, uint64_t delay_ms,
                           sb_task *task, void *arg, uint64_t *id,
                           sb_error *err);
  sb_status (*timer_stop)(const sb_host *host, uint64_t id);

  /* Events: set from any thread, waited for by one thread at a time, reset by
     a wait that saw it. event_wait is the only call in which the library
     blocks; deadline in monotonic_ns, SB_NO_DEADLINE for none. Returns SB_OK
     or SB_TIMEOUT. Never wait with a lock held or on an IO lane thread for
     another IO task. */
  sb_event *(*event_new)(const sb_host *host);
  void (*event_free)(const sb_host *host, sb_event *event);
  void (*event_set)(const sb_host *host, sb_event *event);
  sb_status (*event_wait)(const sb_host *host, sb_event *event,
                          uint64_t deadline_ns);

  /* Adds to a named counter ("local.put.bytes"). Cheap; the name is copied on
     first use. It may end in labels: "s3.requests{op=\"get\",result=\"ok\"}".
     What the name ends in before them is the unit: _ns, _us, _ms, _bytes. */
  void (*metric_add)(const sb_host *host, const char *name, int64_t delta);

  /* An object of the caller's registered under a name, such as a credentials
     provider; NULL if there is none. */
  void *(*lookup)(const sb_host *host, const char *name);

  /* Typed reads of checked settings, by whole key. An option without value and
     default reads as NULL or 0. Borrowed until the configuration is freed. */
  const char *(*config_string)(const sb_config *config, const char *key);
  int64_t (*config_int)(const sb_config *config, const char *key);
  double (*config_double)(const sb_config *config, const char *key);

  /* Makes a state backend of an object store: stacks the configured filters
     over it and puts the host's engine on top. Takes ownership of `store`, on
     failure too. This is how a store plugin implements sb_plugin.open. */
  sb_status (*engine_open)(const sb_host *host, sb_store *store,
                           const sb_engine_options *options,
                           const sb_config *config, sb_backend **out,
                           sb_error *err);

  /* ---- optional, asked for with SB_HOST_HAS ---- */

  /* The metric of a name, made on first use and never freed, for those who
     change it often: one atomic addition each time. `help` is one sentence
     about the name without labels, or NULL; it is copied. NULL if there is no
     room; the two calls below then do nothing. */
  sb_metric *(*metric_slot)(const sb_host *host, const char *name,
                            uint32_t kind, const char *help);
  void (*metric_slot_add)(const sb_host *host, sb_metric *metric,
                          int64_t delta);
  void (*metric_slot_set)(const sb_host *host, sb_metric *metric,
                          int64_t value);
};

/* 1 if a host's table is long enough for `method` and has it. */
#define SB_HOST_HAS(host, method)                                             \
  ((host)->struct_size >= offsetof(sb_host, method) + sizeof (host)->method   \
   && (host)->method != NULL)

#ifdef __cplusplus
}
#endif
#endif
