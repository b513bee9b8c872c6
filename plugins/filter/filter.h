/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: what the filter plugins share. A filter is a store over a lower
 * store. Every operation becomes a filter_call with copies of all that was
 * lent; hooks decide when and whether it goes down, and what its result is on
 * the way up. Compiled into each filter, so that it stays one shared object
 * without dependencies.
 */
#ifndef PLUGINS_FILTER_FILTER_H
#define PLUGINS_FILTER_FILTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <statebackend/backend.h>
#include <statebackend/plugin.h>

#define FILTER_GET 0u
#define FILTER_PUT 1u
#define FILTER_OPEN 2u      /* of a stream; synchronous, has no filter_call */
#define FILTER_WRITE 3u
#define FILTER_COMMIT 4u
#define FILTER_ABORT 5u
#define FILTER_HEAD 6u
#define FILTER_LIST 7u
#define FILTER_REMOVE 8u
#define FILTER_COPY 9u
#define FILTER_KINDS 10u
#define FILTER_ALL ((1u << FILTER_KINDS) - 1)
/* The ones that change what is stored. */
#define FILTER_CHANGES                                                        \
  (1u << FILTER_PUT | 1u << FILTER_COMMIT | 1u << FILTER_REMOVE               \
   | 1u << FILTER_COPY)

extern const char *const filter_names[FILTER_KINDS];

typedef struct filter filter;
typedef struct filter_call filter_call;

typedef struct filter_hooks {
  /* Must end in filter_forward or filter_fail, now or later. NULL: goes down
     at once. */
  void (*before)(filter_call *call);
  /* Must end in filter_reply, now or later; the result is only lent. NULL:
     goes up as it is. */
  void (*after)(filter_call *call, const sb_store_result *result);
  /* Not SB_OK: the stream is not opened. May be NULL. */
  sb_status (*open)(filter *f, const sb_stream_request *request,
                    sb_error *err);
  /* After the stream was opened or not. May be NULL. */
  void (*opened)(filter *f, const sb_stream_request *request,
                 const sb_stream *stream, sb_status status);
  /* Frees what the filter has of its own. May be NULL. */
  void (*close)(filter *f);
} filter_hooks;

/* First member of a filter's own struct. */
struct filter {
  sb_store base;
  sb_store_ops ops;         /* what the lower store lacks is NULL */
  const sb_host *host;
  sb_store *lower;
  const filter_hooks *hooks;
  pthread_mutex_t lock;     /* guards what follows, for a few instructions */
  filter_call *calls;
  uint64_t last_id;
  int closing;
  sb_event *idle;
};

struct filter_call {
  filter *f;
  filter_call *next, *previous;
  atomic_int references;    /* of the way down and of the way up */
  atomic_int cancelled;
  uint64_t id;
  uint64_t lower_id;        /* guarded by f->lock */
  uint32_t kind;
  const char *name;         /* of the (first) object; "" for streams */
  uint64_t bytes;           /* of the body, or wanted */
  uint64_t start_ns;
  sb_store_done *done;      /* the caller's */
  void *arg;
  sb_stream *stream;
  union {
    sb_request base;
    sb_get_request get;
    sb_put_request put;
    sb_write_request write;
    sb_name_request name;
    sb_list_request list;
    sb_remove_request remove;
    sb_copy_request copy;
  } request;
  void *own;                /* a hook's, freed with the call */
  uint64_t mark;            /* a hook's */
  sb_store_result result;   /* room for a kept result */
  sb_error error;
};

/* `size` bytes, the filter first. Does not take `lower` on failure. */
sb_status filter_new(const sb_host *host, sb_store *lower,
                     const filter_hooks *hooks, size_t size, filter **out,
                     sb_error *err);
void filter_free(filter *f); /* for a failed open: leaves `lower` alone */

void filter_forward(filter_call *call);
void filter_reply(filter_call *call, const sb_store_result *result);
/* Replies with a failure (or an empty SB_OK) without going down; on a thread of
   the host's. */
void filter_fail(filter_call *call, sb_status status, const char *message);
/* Runs task(call) after a while; at once if the host has no timer left. */
void filter_later(filter_call *call, uint64_t delay_ms, sb_task *task);
/* Keeps a result past its callback; metadata and listings do not survive. */
const sb_store_result *filter_keep(filter_call *call,
                                   const sb_store_result *result);

/* A list such as "get,put" as a mask; NULL or "": all. */
sb_status filter_mask(const char *key, const char *list, uint32_t *mask,
                      sb_error *err);

/* A stream of random numbers from a seed. */
uint64_t filter_random(uint64_t *state);

static inline void *
filter_alloc(const sb_host *host, size_t size)
{
  void *p = host->alloc(host, NULL, size == 0 ? 1 : size);

  if (p != NULL)
    memset(p, 0, size);
  return p;
}

static inline void
filter_release(const sb_host *host, void *p)
{
  if (p != NULL)
    (void)host->alloc(host, p, 0);
}

#endif
