/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local plugin's own types: a store over one directory, and its
 * operations, each of which runs as one task on the host's IO lane.
 *
 * On disk: object "a/b" is the file a/b under the directory. A put writes a
 * temporary file and then links or renames it to its name, so files are never
 * changed in place. What the plugin needs for itself is in the directory
 * LOCAL_HIDDEN, whose name is not ASCII and so no object's.
 */
#ifndef PLUGINS_LOCAL_LOCAL_H
#define PLUGINS_LOCAL_LOCAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <statebackend/backend.h>
#include <statebackend/plugin.h>

/* ".sb" and a middle dot in UTF-8. In it: lock-XX, tmp-... and, where the file
   system has no extended attributes, meta-ETAG. */
#define LOCAL_HIDDEN ".sb\xc2\xb7"
#define LOCAL_TEMP_PREFIX "tmp-"
#define LOCAL_META_PREFIX "meta-"
#define LOCAL_META_XATTR "user.sb.meta"
/* Metadata as "key\0value\0...", terminators included. */
#define LOCAL_META_BYTES_MAX (SB_META_MAX + 2048u)
/* Directories whose way up to the root is known to be on the disk. */
#define LOCAL_DURABLE_DIRS 256u

typedef struct local_op local_op;

typedef struct local_store {
  sb_store base;
  const sb_host *host;
  sb_store_info info;
  char *root_text;      /* "local:" and the directory */
  const char *dir;      /* the directory: inside root_text */
  int root;             /* descriptor of the directory */
  int beneath;          /* openat2 works here */
  int sidecars;         /* no extended attributes here */
  int sync;             /* make puts durable */
  atomic_int unnamed;   /* O_TMPFILE works here, as far as known */
  /* Guards what follows; held for a few instructions. */
  pthread_mutex_t lock;
  local_op *ops;        /* taken and not done */
  uint64_t last_id;
  int closing;
  sb_event *idle;       /* set when the last one ends while closing */
  struct {
    uint64_t path_hash, inode, born_ns;
  } durable[LOCAL_DURABLE_DIRS];
} local_store;

/* A file on its way to becoming an object. It holds its own flock, which is
   how others see that it is alive. */
typedef struct local_temp {
  int fd;
  uint64_t size;
  char name[64];        /* in LOCAL_HIDDEN; "" if it has no name */
} local_temp;

struct sb_stream {
  local_store *store;
  local_temp temp;
  local_op *target;     /* never run: name, conditions and metadata */
};

/* One operation. What the caller lent for the call only is copied behind it. */
struct local_op {
  local_store *store;
  local_op *next, *previous;
  uint64_t id;
  atomic_int cancelled;
  uint64_t deadline_ns;
  sb_store_done *done;
  void *arg;
  sb_status (*run)(local_op *op, sb_error *err);
  void (*cleanup)(local_op *op);  /* after `done`; may be NULL */
  char *text;           /* free room for copies */

  char *name;
  char *source, *source_root;
  char *if_match;
  uint32_t flags;
  uint64_t offset, length;
  void *buffer;
  const sb_slice *body;
  uint64_t body_count;
  char *meta;           /* LOCAL_META form, meta_len bytes */
  size_t meta_len;
  char **names;
  sb_status *statuses;
  uint64_t name_count;
  sb_stream *stream;
  void *page;           /* list: what cleanup frees */
  sb_meta *meta_out;    /* head: what cleanup frees */

  sb_store_result result;
  sb_error error;
};

/* ---- path.c: names, safe opening, errors ---- */

sb_status local_name_check(const char *name, sb_error *err);

/* Turns errno into a status and a message: `could not VERB object "NAME"`.
   A missing file in a directory that has been removed is SB_IO. */
sb_status local_fail(const local_store *store, int number, const char *verb,
                     const char *name, sb_error *err);

/* Opens a file or directory below the root without following symbolic links.
   -1 and errno. */
int local_open_path(const local_store *store, const char *path, int flags);

/* An object's file and its stat; -1 with ENOENT for directories, EPERM for
   whatever else is no regular file. */
int local_open_object(const local_store *store, const char *name,
                      struct stat *st);

/* The directory an object is in, and its last part in *leaf. With `make`
   missing ones are made. */
int local_open_parent(const local_store *store, const char *name, int make,
                      const char **leaf);

int local_open_hidden(const local_store *store, int make);

/* Makes sure that `name`, just put in directory `fd`, survives a power cut. */
int local_sync_parent(local_store *store, const char *name, int fd);

/* Removes empty directories above a removed object. */
void local_prune(const local_store *store, const char *name);

void local_etag(const struct stat *st, char *etag);

/* ---- lock.c: one change of a name at a time, between processes ---- */

/* flock by polling, for a while; -1 with EBUSY. */
int local_flock(int fd, int operation);

/* The lock that changes of `name` take; close to release. Taken away from a
   holder that sits on it. */
int local_lock_name(const local_store *store, const char *name);

/* Before renaming a temporary file under the lock: says which, so that whoever
   takes the lock away can stop the rename. -1 with EAGAIN if the lock has been
   taken away already. */
int local_lock_announce(int lock, const char *temp_name);

/* After such a rename failed with ENOENT: the file's name now, if the lock was
   taken away. */
void local_lock_fenced(int hidden, char *temp_name, size_t size);

/* ---- file.c: temporary files and how they become objects ---- */

int local_temp_open(local_store *store, local_temp *temp);
int local_temp_write(local_temp *temp, const sb_slice *body,
                     uint64_t body_count);
void local_temp_drop(local_store *store, local_temp *temp);

/* Publishes under op->name with op's conditions and metadata and fills
   op->result. The temporary file is gone afterwards, whatever happened. */
sb_status local_temp_publish(local_op *op, local_temp *temp, const char *verb,
                             sb_error *err);

/* Links an open object to op->name; errno EXDEV, EMLINK, EPERM, EOPNOTSUPP
   mean that it has to be copied. */
sb_status local_link_object(local_op *op, int fd, int *number, sb_error *err);

/* Removes what dead processes left. */
void local_temp_sweep(const local_store *store);

/* ---- meta.c: user metadata ---- */

int local_meta_write(const local_store *store, int fd, const char *etag,
                     const char *meta, size_t len);
/* Into `meta` of LOCAL_META_BYTES_MAX; the length, 0 for none, -1. */
ssize_t local_meta_read(const local_store *store, int fd,
                        const struct stat *st, char *meta);
/* Forgets the metadata of an object removed or replaced; `st` from before. */
void local_meta_forget(const local_store *store, const struct stat *st);

/* ---- the operations ---- */

sb_status local_run_get(local_op *op, sb_error *err);
sb_status local_run_put(local_op *op, sb_error *err);
sb_status local_run_head(local_op *op, sb_error *err);
sb_status local_run_list(local_op *op, sb_error *err);
sb_status local_run_remove(local_op *op, sb_error *err);
sb_status local_run_copy(local_op *op, sb_error *err);
void local_end_head(local_op *op);
void local_end_list(local_op *op);

/* store.c: the methods. */
extern const sb_store_ops local_store_ops;
void local_store_free(local_store *store);

/* op.c: taking and ending operations. */
local_op *local_op_new(local_store *store, const sb_request *request,
                       size_t text_size,
                       sb_status (*run)(local_op *op, sb_error *err));
void local_op_free(local_op *op);
char *local_op_text(local_op *op, const char *s); /* NULL stays NULL */
sb_status local_op_start(local_op *op, uint64_t *id, sb_error *err);
void local_op_cancel(local_store *store, uint64_t id);
void local_op_drain(local_store *store);

static inline void *
local_alloc(const local_store *store, size_t size)
{
  return store->host->alloc(store->host, NULL, size == 0 ? 1 : size);
}

static inline void
local_free(const local_store *store, void *p)
{
  if (p != NULL)
    (void)store->host->alloc(store->host, p, 0);
}

#endif
