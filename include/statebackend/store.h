/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_store: the object-store ABI. Asynchronous: an operation is submitted with
 * a completion callback.
 *
 * Contract of a store
 * - An object is invisible until its put has completed, then it is visible
 *   whole to every process. Read-after-write, -remove and -list are strong.
 * - Names are '/'-separated printable ASCII of 1 to SB_OBJECT_NAME_MAX bytes,
 *   without empty, "." or ".." parts. They are relative to the store's root.
 *   Of two names of which one lies below the other ("a", "a/b") a store may
 *   refuse the second (SB_INVALID), or leave it out of listings.
 * - Put replaces, unless a condition is set. Remove of a missing name is SB_OK.
 *
 * Submission: a method returns SB_OK and then calls `done` exactly once, maybe
 * before it returns and on any thread; or it returns a failure and never calls
 * `done`. `done` must be short and must not block; it may submit operations.
 * Request structs and the strings they point to are borrowed for the call
 * only. Bodies and receive buffers belong to the store until `done`, also
 * after cancel.
 *
 * A failed write: SB_UNKNOWN if it may have taken effect or may yet; any other
 * status promises that it did not and will not.
 *
 * Threads: all methods but close from any thread, several at a time.
 */
#ifndef STATEBACKEND_STORE_H
#define STATEBACKEND_STORE_H

#include <statebackend/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SB_ETAG_MAX 95u       /* characters of an entity tag */
#define SB_META_MAX 2048u     /* bytes of all metadata of an object */

typedef struct sb_store_entry {
  const char *name;
  uint64_t size;
  const char *etag;           /* NULL where a listing does not tell */
  uint64_t modified_ms;       /* store's clock; 0 unknown */
} sb_store_entry;

typedef struct sb_meta {
  const char *key;            /* [a-z0-9-] */
  const char *value;          /* printable ASCII */
} sb_meta;

/* What `done` gets; borrowed during the callback. */
typedef struct sb_store_result {
  uint32_t struct_size;
  sb_status status;
  const sb_error *error;      /* NULL iff status is SB_OK */
  uint64_t length;            /* get: bytes put into the buffer */
  uint64_t size;              /* get, head, put, copy: size of the object */
  char etag[SB_ETAG_MAX + 1]; /* get, head, put, copy; opaque, "" unknown; may
                                 be the same for the same bytes */
  const sb_meta *meta;        /* head, get: may be NULL */
  uint64_t meta_count;
  const sb_store_entry *entries; /* list: in byte order of names */
  uint64_t entry_count;
  uint32_t truncated;         /* list: 1 if there are more */
  uint32_t reserved;
} sb_store_result;

typedef void sb_store_done(void *arg, const sb_store_result *result);

/* Priorities: who goes first when requests queue. */
#define SB_PRIORITY_COMMIT 10u      /* HEAD, _metadata, manifests */
#define SB_PRIORITY_READ 20u
#define SB_PRIORITY_CHECKPOINT 30u
#define SB_PRIORITY_BACKGROUND 40u

/* First member of every request. */
typedef struct sb_request {
  uint32_t struct_size;       /* of the whole request */
  uint32_t priority;          /* 0: SB_PRIORITY_READ */
  uint64_t deadline_ns;       /* host's monotonic clock; 0: store's default */
  sb_store_done *done;
  void *arg;
} sb_request;

typedef struct sb_get_request {
  sb_request base;
  const char *name;
  uint64_t offset;            /* over the size: SB_INVALID */
  uint64_t length;            /* bytes wanted, room in `buffer`; short only at
                                 the object's end */
  void *buffer;
  const char *if_match;       /* etag or NULL; else SB_CONFLICT */
} sb_get_request;

#define SB_PUT_CREATE 1u      /* only if the name is free, else SB_EXISTS */

typedef struct sb_put_request {
  sb_request base;
  const char *name;
  const sb_slice *body;       /* array and bytes kept until done */
  uint64_t body_count;
  uint32_t flags;
  uint32_t reserved;
  const char *if_match;       /* etag, else SB_CONFLICT; NULL: none */
  const sb_meta *meta;
  uint64_t meta_count;
} sb_put_request;

/* A put in pieces. One write at a time: `done` of a write means that the
   buffer is free and the next write may come. commit makes the object visible;
   commit and abort end the stream and free it, at their `done`. */
typedef struct sb_stream sb_stream;
typedef struct sb_stream_request {
  uint32_t struct_size;
  uint32_t priority;
  const char *name;
  uint32_t flags;             /* SB_PUT_CREATE */
  uint32_t reserved;
  uint64_t size_hint;         /* upper bound of bytes to come, 0 unknown */
  const char *if_match;
  const sb_meta *meta;
  uint64_t meta_count;
} sb_stream_request;

typedef struct sb_write_request {
  sb_request base;
  const sb_slice *body;
  uint64_t body_count;
} sb_write_request;

typedef struct sb_name_request {  /* head */
  sb_request base;
  const char *name;
} sb_name_request;

typedef struct sb_list_request {
  sb_request base;
  const char *prefix;         /* any string, not only whole path parts */
  const char *start_after;    /* NULL: from the start */
  uint64_t limit;             /* entries a call, 0: 1,000; store may give fewer
                                 with `truncated` set */
} sb_list_request;

typedef struct sb_remove_request {
  sb_request base;
  const char *const *names;
  uint64_t name_count;        /* up to 1,000 */
  sb_status *statuses;        /* NULL, or room for one each; kept until done.
                                 result.status is the first failure */
} sb_remove_request;

typedef struct sb_copy_request {
  sb_request base;
  const char *source_root;    /* NULL: this store; else another's info.root */
  const char *source;
  const char *name;
  uint32_t flags;             /* SB_PUT_CREATE */
  uint32_t reserved;
} sb_copy_request;

/* Uploads in pieces that were never ended: `dead` is asked for the name of
   each one under `prefix`, and those it returns 1 for are given up. */
typedef int sb_sweep_fn(void *arg, const char *name);
typedef struct sb_sweep_request {
  sb_request base;            /* result.size: how many were given up */
  const char *prefix;
  sb_sweep_fn *dead;          /* on any thread, until `done`; must be short */
  void *dead_arg;
} sb_sweep_request;

/* A fact about a store: "region", "eu-west-1". No secrets. */
typedef void sb_describe_fn(void *arg, const char *key, const char *value);

#define SB_STORE_CREATE 1u        /* honours SB_PUT_CREATE */
#define SB_STORE_MATCH 2u         /* honours if_match of puts */
#define SB_STORE_COPY 4u          /* copies on its own side */
#define SB_STORE_COPY_FOREIGN 8u  /* also from other roots of its scheme */

typedef struct sb_store_info {
  uint32_t struct_size;
  uint32_t flags;             /* as far as known without a request */
  const char *root;           /* "local:/srv/state", no secrets; for messages
                                 and as source_root */
  uint64_t object_size_max;
  uint64_t part_size;         /* bodies above this go in parts */
} sb_store_info;

typedef struct sb_store_ops {
  uint32_t struct_size;
  uint32_t abi_version;
  const sb_store_info *(*info)(sb_store *store);

  /* `op`, unless NULL, gets a number for cancel; it may be set after `done`
     has run. Required but for copy (else SB_UNSUPPORTED) and cancel. */
  sb_status (*get)(sb_store *store, const sb_get_request *request,
                   uint64_t *op, sb_error *err);
  sb_status (*put)(sb_store *store, const sb_put_request *request,
                   uint64_t *op, sb_error *err);
  sb_status (*put_open)(sb_store *store, const sb_stream_request *request,
                        sb_stream **out, sb_error *err);
  sb_status (*put_write)(sb_store *store, sb_stream *stream,
                         const sb_write_request *request, sb_error *err);
  sb_status (*put_commit)(sb_store *store, sb_stream *stream,
                          const sb_request *request, sb_error *err);
  /* Ends the stream even if it fails. */
  sb_status (*put_abort)(sb_store *store, sb_stream *stream,
                         const sb_request *request, sb_error *err);
  sb_status (*head)(sb_store *store, const sb_name_request *request,
                    uint64_t *op, sb_error *err);
  sb_status (*list)(sb_store *store, const sb_list_request *request,
                    uint64_t *op, sb_error *err);
  sb_status (*remove)(sb_store *store, const sb_remove_request *request,
                      uint64_t *op, sb_error *err);
  sb_status (*copy)(sb_store *store, const sb_copy_request *request,
                    uint64_t *op, sb_error *err);

  /* Asks to end an operation soon; its `done` still comes, with SB_CANCELLED
     or its real outcome. Unknown numbers are ignored. */
  void (*cancel)(sb_store *store, uint64_t op);

  /* Waits for operations still running, then frees the store (a filter: its
     lower store too). Nobody may use it any more. */
  void (*close)(sb_store *store);

  /* Optional, asked for with SB_STORE_HAS. */
  sb_status (*sweep)(sb_store *store, const sb_sweep_request *request,
                     uint64_t *op, sb_error *err);
  /* Calls fn for what the store knows of itself and its server, without a
     request. */
  sb_status (*describe)(sb_store *store, sb_describe_fn *fn, void *arg,
                        sb_error *err);
} sb_store_ops;

/* 1 if a store's table is long enough for `method` and has it. */
#define SB_STORE_HAS(store, method)                                           \
  ((store)->ops->struct_size >= offsetof(sb_store_ops, method)                \
                                  + sizeof (store)->ops->method               \
   && (store)->ops->method != NULL)

/* First member of a store's private struct. */
struct sb_store {
  const sb_store_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
