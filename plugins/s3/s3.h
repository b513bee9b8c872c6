/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_store: the object store that the plugin hands to the host, and how its
 * parts fit.
 *
 *   methods (store.c, any thread)
 *     make an s3_op and put it into the inbox of the
 *   network thread (net.c), which starts it. An operation (get.c, put.c, ...)
 *     is a state machine that makes one or more
 *   calls (call.c): one S3 request each, signed and sent anew until it is
 *     decided, by the classes of retry.c; each attempt is one
 *   exchange (net.c): one HTTP request on a libcurl handle.
 *
 * All of it but the methods runs on the network thread, so operations, calls
 * and exchanges need no locks. `done` callbacks run there too.
 */
#ifndef PLUGINS_S3_S3_H
#define PLUGINS_S3_S3_H

#include <pthread.h>
#include <stdatomic.h>

#include <statebackend/backend.h>
#include "plugins/s3/credentials.h"
#include "plugins/s3/endpoint.h"
#include "plugins/s3/metrics.h"
#include "plugins/s3/settings.h"

/* Metadata that carries the nonce of a conditional write. */
#define S3_META_NONCE "sb-nonce"
#define S3_LIST_MAX 1000u
#define S3_PARTS_MAX 10000u
#define S3_PUT_MAX (5ull << 30)    /* bytes of one PUT */
#define S3_OBJECT_MAX (5ull << 40) /* bytes of an object */

typedef struct s3_net s3_net;
typedef struct s3_op s3_op;
typedef struct s3_call s3_call;

typedef struct s3_store {
  sb_store base;
  const sb_host *host;
  s3_settings *settings;
  s3_provider *provider;
  s3_metrics *metrics;
  s3_net *net;
  sb_store_info info;
  char *root_text;          /* "s3://BUCKET" or "s3://HOST/BUCKET" */

  pthread_mutex_t lock;     /* guards what follows, for a few instructions */
  s3_op *ops;               /* taken and not done */
  uint64_t last_id;
  int closing;
  sb_event *idle;           /* set when the last one ends while closing */

  /* ---- the network thread's ---- */
  s3_endpoint endpoint;     /* changes when the region turns out other */
  int64_t clock_offset_ms;  /* server's clock less ours */
  int crc32c;               /* send and ask for CRC-32C */
  int bulk_delete;          /* 0: the server has no DeleteObjects */
  uint64_t held_bytes;      /* that streams hold back: stream.c */
  void *stream_waiters;     /* stream.c's */
} s3_store;

/* ---- operations: op.c ---------------------------------------------------- */

/* First member of each operation's struct. */
struct s3_op {
  s3_store *store;
  s3_op *next, *previous;     /* in store->ops; guarded by its lock */
  s3_op *inbox_next;
  uint64_t id;
  uint64_t deadline_ns;       /* monotonic; never 0 */
  uint32_t priority;          /* never 0 */
  int cancel_asked;           /* guarded by store->lock */
  int cancelled;              /* network thread: it is being cancelled */
  sb_store_done *done;        /* NULL: an operation of the plugin's own */
  void *arg;
  const char *name;           /* of the object, for messages */
  /* Network thread. start must lead to s3_op_end, now or later. free (may be
     NULL) releases what the operation has, after `done`. stop (may be NULL)
     is told of a cancel after the op's calls were; without calls under way it
     has to end the operation. */
  void (*start)(s3_op *op);
  void (*stop)(s3_op *op);
  void (*free)(s3_op *op);
  s3_call *calls;             /* under way */
  char *text;                 /* free room for copies of strings */
  sb_store_result result;     /* s3_op_end adds status and error */
  sb_error error;
};

/* A zeroed operation of `size` bytes with room for `text_size` bytes of
   strings. `request` may be NULL. NULL: out of memory. */
s3_op *s3_op_new(s3_store *store, size_t size, size_t text_size,
                 const sb_request *request, void (*start)(s3_op *op));
/* What the request says, or what holds without one. */
void s3_op_ask(s3_op *op, const sb_request *request);
void s3_op_discard(s3_op *op);   /* one that was never submitted */
char *s3_op_text(s3_op *op, const char *text); /* copies; NULL stays NULL */
size_t s3_text_size(const char *text);         /* room that takes */

/* Any thread. Hands it to the network thread. */
sb_status s3_op_submit(s3_op *op, uint64_t *id, sb_error *err);
/* Network thread: calls `done` and frees the operation. For a failure
   op->error has been filled, as by sb_fail. */
void s3_op_end(s3_op *op, sb_status status);
/* Ends with a copy of a call's outcome. */
void s3_op_end_call(s3_op *op, const s3_call *call);
void s3_op_cancel(s3_store *store, uint64_t id);
void s3_ops_cancel(s3_store *store); /* network thread: those asked for */
/* Any thread; waits until there is no operation any more. */
void s3_op_drain(s3_store *store);

/* ---- the operations' makers: each file is one noun ----------------------- */

sb_status s3_name_check(const char *name, sb_error *err);

sb_status s3_get(sb_store *base, const sb_get_request *request, uint64_t *id,
                 sb_error *err);                              /* get.c */
sb_status s3_head(sb_store *base, const sb_name_request *request, uint64_t *id,
                  sb_error *err);                             /* head.c */
sb_status s3_put(sb_store *base, const sb_put_request *request, uint64_t *id,
                 sb_error *err);                              /* put.c */
sb_status s3_list(sb_store *base, const sb_list_request *request, uint64_t *id,
                  sb_error *err);                             /* list.c */
sb_status s3_remove(sb_store *base, const sb_remove_request *request,
                    uint64_t *id, sb_error *err);             /* remove.c */
sb_status s3_copy(sb_store *base, const sb_copy_request *request, uint64_t *id,
                  sb_error *err);                             /* copy.c */
sb_status s3_sweep(sb_store *base, const sb_sweep_request *request,
                   uint64_t *id, sb_error *err);              /* sweep.c */
sb_status s3_stream_open(sb_store *base, const sb_stream_request *request,
                         sb_stream **out, sb_error *err);     /* stream.c */
sb_status s3_stream_write(sb_store *base, sb_stream *stream,
                          const sb_write_request *request, sb_error *err);
sb_status s3_stream_commit(sb_store *base, sb_stream *stream,
                           const sb_request *request, sb_error *err);
sb_status s3_stream_abort(sb_store *base, sb_stream *stream,
                          const sb_request *request, sb_error *err);
sb_status s3_describe(sb_store *base, sb_describe_fn *fn, void *arg,
                      sb_error *err);                         /* describe.c */

/* ---- opening ------------------------------------------------------------- */

/* Opens the store: settings, provider, network thread; no requests. */
sb_status s3_store_open(const sb_host *host, const sb_config *config,
                        const char *prefix, const char *scheme,
                        s3_store **out, sb_error *err);
void s3_store_close(sb_store *base);

/* check.c: finds the region, says what is wrong with the location and how to
   cure it, and finds out about conditional writes, as open-check asks for.
   Fills store->info.flags. Blocks. */
sb_status s3_check(s3_store *store, sb_error *err);

/* What sb_plugin.open of both plugins does. */
sb_status s3_backend_open(const sb_host *host, const sb_config *config,
                          const char *prefix, const char *scheme,
                          sb_backend **out, sb_error *err);

#endif
