/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place that calls a store's methods. Every call checks names and
 * arguments, blocks in host->event_wait until the operation is done, and
 * gives errors one form: the message names the object and the operation.
 *
 * Nothing here retries. Never call a blocking function on a thread of the IO
 * lane or with a lock held.
 */
#ifndef SB_STORE_STORE_H
#define SB_STORE_STORE_H

#include <statebackend/backend.h>

typedef struct store_meta {
  char etag[SB_ETAG_MAX + 1];
  uint64_t size;
} store_meta;

/* Names in one remove request. */
#define STORE_REMOVE_MAX 1000u

/* SB_INVALID, SB_TOO_LARGE or SB_OK; the rules are store.h's. */
sb_status store_name_check(const char *name, sb_error *err);

/* Is the table complete and of this ABI? For whoever is handed a store. */
sb_status store_check(const sb_store *s, sb_error *err);

const sb_store_info *store_info(sb_store *s);
void store_close(sb_store *s); /* NULL: nothing */

/* Reads up to `len` bytes from `offset`; *got is less only at the object's
   end. `meta` may be NULL. SB_INVALID if offset is over the size. */
sb_status store_get(const sb_host *host, sb_store *s, const char *name,
                    uint64_t offset, void *buf, uint64_t len, uint64_t *got,
                    store_meta *meta, uint32_t priority, sb_error *err);

/* The whole object, in host memory that the caller frees; never NULL on
   success. One GET when it has up to 64 KiB, else one more. SB_TOO_LARGE if it
   has over `size_max` bytes. */
sb_status store_get_all(const sb_host *host, sb_store *s, const char *name,
                        uint64_t size_max, void **data, uint64_t *len,
                        store_meta *meta, uint32_t priority, sb_error *err);

/* `flags` and `if_match` as in sb_put_request. `out` may be NULL. */
sb_status store_put(const sb_host *host, sb_store *s, const char *name,
                    const void *data, uint64_t len, uint32_t flags,
                    const char *if_match, const sb_meta *meta,
                    uint64_t meta_count, store_meta *out, uint32_t priority,
                    sb_error *err);

sb_status store_head(const sb_host *host, sb_store *s, const char *name,
                     store_meta *meta, sb_error *err);

/* The value of one key of an object's metadata in host memory that the caller
   frees, or NULL if the object has no such key. */
sb_status store_head_meta(const sb_host *host, sb_store *s, const char *name,
                          const char *key, store_meta *meta, char **value,
                          sb_error *err);

/* Any number of names, in batches. Goes on after a failure and returns the
   first one. `statuses` may be NULL. */
sb_status store_remove(const sb_host *host, sb_store *s,
                       const char *const *names, uint64_t count,
                       sb_status *statuses, sb_error *err);

/* SB_UNSUPPORTED if the store cannot copy on its own side. */
sb_status store_copy(const sb_host *host, sb_store *s,
                     const char *source_root, const char *source,
                     const char *name, uint32_t flags, store_meta *out,
                     sb_error *err);

/* Gives up the unfinished uploads under `prefix` for whose names `dead` says 1;
   `count` (may be NULL) gets how many. SB_UNSUPPORTED where the store keeps
   none. */
sb_status store_sweep(const sb_host *host, sb_store *s, const char *prefix,
                      sb_sweep_fn *dead, void *arg, uint64_t *count,
                      sb_error *err);

/* Calls fn for each object whose name begins with `prefix` and comes after
   `start_after` (NULL: all), in byte order. A result other than SB_OK stops
   the listing and is returned. fn may call the store; the entry is borrowed
   for the call. */
typedef sb_status store_list_fn(void *arg, const sb_store_entry *entry,
                                sb_error *err);
sb_status store_list(const sb_host *host, sb_store *s, const char *prefix,
                     const char *start_after, store_list_fn *fn, void *arg,
                     sb_error *err);

/* A large object in pieces. After a failure of add the writer can only be
   aborted. commit and abort free it, whatever they return. */
typedef struct store_writer store_writer;
sb_status store_writer_open(const sb_host *host, sb_store *s, const char *name,
                            uint64_t size_hint, uint32_t priority,
                            store_writer **out, sb_error *err);
sb_status store_writer_add(store_writer *w, const void *data, uint64_t len,
                           sb_error *err); /* data reusable on return */
sb_status store_writer_commit(store_writer *w, store_meta *out, sb_error *err);
void store_writer_abort(store_writer *w); /* NULL: nothing */

/* For the engine's reads: checked, then handed on. `done` comes on any thread,
   maybe before the return. */
sb_status store_get_async(const sb_host *host, sb_store *s,
                          const sb_get_request *request, uint64_t *op,
                          sb_error *err);

/* The same for who has many writes and looks under way. */
sb_status store_put_async(const sb_host *host, sb_store *s,
                          const sb_put_request *request, sb_error *err);
sb_status store_head_async(const sb_host *host, sb_store *s,
                           const sb_name_request *request, sb_error *err);
/* SB_UNSUPPORTED, here or as the result, where the store cannot copy. */
sb_status store_copy_async(const sb_host *host, sb_store *s,
                           const sb_copy_request *request, uint64_t *op,
                           sb_error *err);

/* Tries what the store can do with a few small objects under `prefix` ("" or a
   path without outer slashes), and removes them. SB_OK if it could find out,
   whatever the findings. */
sb_status store_probe(const sb_host *host, sb_store *s, const char *prefix,
                      sb_probe *out, sb_error *err);

#endif
