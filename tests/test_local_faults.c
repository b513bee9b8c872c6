/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local plugin when the system fails. Goal: whatever fails, a write keeps
 * the promise of its status: done, not done, or unknown and whole either way;
 * and no temporary file stays. Method: system calls that the plugin makes are
 * caught in this program and made to fail, one after the other; then the same
 * with allocations.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/tap.h"

/* ---- system calls that fail --------------------------------------------- */

static atomic_long local_calls;     /* since it was set to 0 */
static atomic_long local_call_fails; /* the Nth fails; 0: none */
static atomic_int local_errno;
static atomic_long local_fsyncs;
static atomic_long local_fsync_fails;

static int
local_call_hit(void)
{
  long number = atomic_fetch_add(&local_calls, 1) + 1;

  if (number != atomic_load(&local_call_fails))
    return 0;
  errno = atomic_load(&local_errno);
  return 1;
}

static int
local_fsync_hit(void)
{
  long number = atomic_fetch_add(&local_fsyncs, 1) + 1;

  if (number != atomic_load(&local_fsync_fails))
    return 0;
  errno = EIO;
  return 1;
}

/* The plugin's calls land here, since this program exports them. */
#define LOCAL_CATCH(type, name, parameters, arguments)                        \
  SB_EXPORT type name parameters;                                             \
  type name parameters                                                        \
  {                                                                           \
    static type (*next) parameters;                                           \
                                                                              \
    if (next == NULL)                                                         \
      *(void **)(void *)&next = dlsym(RTLD_NEXT, #name);                      \
    if (local_call_hit())                                                     \
      return -1;                                                              \
    return next arguments;                                                    \
  }

LOCAL_CATCH(int, linkat,
            (int from, const char *a, int to, const char *b, int flags),
            (from, a, to, b, flags))
LOCAL_CATCH(int, mkdirat, (int dir, const char *name, mode_t mode),
            (dir, name, mode))
LOCAL_CATCH(int, fstatat,
            (int dir, const char *name, struct stat *st, int flags),
            (dir, name, st, flags))
LOCAL_CATCH(int, futimens, (int fd, const struct timespec times[2]),
            (fd, times))
LOCAL_CATCH(int, flock, (int fd, int operation), (fd, operation))
LOCAL_CATCH(ssize_t, writev, (int fd, const struct iovec *parts, int count),
            (fd, parts, count))
LOCAL_CATCH(ssize_t, pread, (int fd, void *buf, size_t len, off_t offset),
            (fd, buf, len, offset))
LOCAL_CATCH(ssize_t, getdents64, (int fd, void *buf, size_t len),
            (fd, buf, len))

/* A put that stalls where it is, as if its process were stopped: 0 never, 1 at
   the next rename, 2 at the next announcement, 3 stalled, 4 go on. */
static atomic_int local_stall;

static void
local_stall_here(int where)
{
  int expected = where;

  if (!atomic_compare_exchange_strong(&local_stall, &expected, 3))
    return;
  while (atomic_load(&local_stall) == 3)
    (void)usleep(1000);
}

SB_EXPORT int renameat(int from, const char *a, int to, const char *b);
int
renameat(int from, const char *a, int to, const char *b)
{
  static int (*next)(int from, const char *a, int to, const char *b);

  if (next == NULL)
    *(void **)(void *)&next = dlsym(RTLD_NEXT, "renameat");
  if (local_call_hit())
    return -1;
  if (strncmp(a, "tmp-", 4) == 0 && strncmp(b, "tmp-", 4) != 0)
    local_stall_here(1);
  return next(from, a, to, b);
}

SB_EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t
pwrite(int fd, const void *buf, size_t len, off_t offset)
{
  static ssize_t (*next)(int fd, const void *buf, size_t len, off_t offset);

  if (next == NULL)
    *(void **)(void *)&next = dlsym(RTLD_NEXT, "pwrite");
  if (local_call_hit())
    return -1;
  local_stall_here(2);
  return next(fd, buf, len, offset);
}

SB_EXPORT int fsync(int fd);
int
fsync(int fd)
{
  static int (*next)(int fd);

  if (next == NULL)
    *(void **)(void *)&next = dlsym(RTLD_NEXT, "fsync");
  if (local_call_hit() || local_fsync_hit())
    return -1;
  return next(fd);
}

SB_EXPORT int openat(int dir, const char *name, int flags, ...);
int
openat(int dir, const char *name, int flags, ...)
{
  static int (*next)(int dir, const char *name, int flags, ...);

  if (next == NULL)
    *(void **)(void *)&next = dlsym(RTLD_NEXT, "openat");
  if (local_call_hit())
    return -1;
  return next(dir, name, flags, 0666);
}

static void
local_faults_off(void)
{
  atomic_store(&local_call_fails, 0);
  atomic_store(&local_fsync_fails, 0);
}

/* ---- fsync --------------------------------------------------------------- */

static const char *const local_no_sync[] = {
  "state.backend.local.sync", "false", NULL,
};

static void
local_setup(fixture *f, const char *const *settings)
{
  sb_error error;

  memset(f, 0, sizeof *f);
  error.message[0] = '\0';
  CU_ASSERT_EQUAL_FATAL(fixture_open_local(f, settings, &error), SB_OK);
}

/* fsync of the file: nothing has happened. fsync of a directory: unknown. */
static void
test_fsync_fails(void)
{
  fixture f;
  sb_error error;
  sb_status status;
  long n;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "d/x", "old", 0, NULL, NULL, &error), SB_OK);
  atomic_store(&local_fsyncs, 0);
  atomic_store(&local_fsync_fails, 1);
  CU_ASSERT_EQUAL(fixture_put(&f, "d/x", "new", 0, NULL, NULL, &error), SB_IO);
  local_faults_off();
  CU_ASSERT_TRUE(fixture_has(&f, "d/x", "old"));
  for (n = 2; n < 10; n++) {
    atomic_store(&local_fsyncs, 0);
    atomic_store(&local_fsync_fails, n);
    status = fixture_put(&f, "e/f/g", "x", 0, NULL, NULL, &error);
    local_faults_off();
    if (status == SB_OK)
      break;
    CU_ASSERT_EQUAL(status, SB_UNKNOWN);
  }
  /* The file, its directory and the two above. */
  CU_ASSERT_EQUAL(n, 5);
  atomic_store(&local_fsyncs, 0);
  atomic_store(&local_fsync_fails, 1);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "d/x", &error), SB_UNKNOWN);
  local_faults_off();
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

/* Directories that are known to be durable are not written again. */
static void
test_fsyncs_counted(void)
{
  fixture f;
  sb_error error;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b/c", "x", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_OK);
  atomic_store(&local_fsyncs, 0);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b/d", "x", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_OK);
  if (atomic_load(&local_fsyncs) != 2)
    tap_note("%ld fsyncs: no birth times here", atomic_load(&local_fsyncs));
  CU_ASSERT_TRUE(atomic_load(&local_fsyncs) <= 4);
  fixture_remove(&f);
}

static void
test_no_sync(void)
{
  fixture f;

  local_setup(&f, local_no_sync);
  atomic_store(&local_fsyncs, 0);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "y", 0, NULL, NULL, NULL), SB_OK);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "x", NULL), SB_OK);
  CU_ASSERT_EQUAL(atomic_load(&local_fsyncs), 0);
  fixture_remove(&f);
}

/* ---- every system call fails once --------------------------------------- */

typedef struct local_write {
  const char *name;
  sb_status (*run)(fixture *f, sb_error *err);
} local_write;

static sb_status
write_replace(fixture *f, sb_error *err)
{
  return fixture_put(f, "d/x", "new", 0, NULL, NULL, err);
}

static sb_status
write_create(fixture *f, sb_error *err)
{
  return fixture_put(f, "fresh/one/x", "new", SB_PUT_CREATE, NULL, NULL, err);
}

static sb_status
write_stream(fixture *f, sb_error *err)
{
  store_writer *w;
  sb_status status = store_writer_open(&f->host, f->store, "d/x", 0, 0, &w,
                                       err);

  if (status != SB_OK)
    return status;
  status = store_writer_add(w, "ne", 2, err);
  if (status == SB_OK)
    status = store_writer_add(w, "w", 1, err);
  if (status == SB_OK)
    return store_writer_commit(w, NULL, err);
  store_writer_abort(w);
  return status;
}

static sb_status
write_copy(fixture *f, sb_error *err)
{
  return store_copy(&f->host, f->store, NULL, "source", "d/x", 0, NULL, err);
}

static sb_status
write_remove(fixture *f, sb_error *err)
{
  return fixture_remove_object(f, "d/x", err);
}

static const local_write local_writes[] = {
  { "replace", write_replace }, { "create", write_create },
  { "stream", write_stream },   { "copy", write_copy },
  { "remove", write_remove },
};

static const char *
write_target(const local_write *write)
{
  return write->run == write_create ? "fresh/one/x" : "d/x";
}

/* What a status promises: the old or the new, whole, or either if unknown. */
static void
write_check(fixture *f, const local_write *write, sb_status status, long n)
{
  const char *target = write_target(write);
  int is_new = fixture_has(f, target, "new");
  int is_old = fixture_has(f, target, "old");
  int is_gone = store_head(&f->host, f->store, target, NULL, NULL)
                == SB_NOT_FOUND;
  int had_old = write->run != write_create;
  int done = write->run == write_remove ? is_gone : is_new;
  int undone = had_old ? is_old : is_gone;

  if (!(is_new || is_old || is_gone) || (status == SB_OK && !done)
      || (status != SB_OK && status != SB_UNKNOWN && !undone)) {
    tap_note("%s, call %ld: %s, new %d old %d gone %d", write->name, n,
             sb_status_name(status), is_new, is_old, is_gone);
    CU_FAIL("a write did not keep its promise");
  }
}

static void
write_reset(fixture *f)
{
  CU_ASSERT_EQUAL(fixture_put(f, "source", "new", 0, NULL, NULL, NULL),
                  SB_OK);
  CU_ASSERT_EQUAL(fixture_put(f, "d/x", "old", 0, NULL, NULL, NULL), SB_OK);
  CU_ASSERT_EQUAL(fixture_remove_object(f, "fresh/one/x", NULL), SB_OK);
}

/* `calm` is the same directory without the cost of syncing. */
static void
write_loop(fixture *f, fixture *calm, const local_write *write, int number)
{
  long n;

  for (n = 1; n < 200; n++) {
    sb_error error;
    sb_status status;

    write_reset(calm);
    atomic_store(&local_errno, number);
    atomic_store(&local_calls, 0);
    atomic_store(&local_call_fails, n);
    status = write->run(f, &error);
    local_faults_off();
    write_check(calm, write, status, n);
    CU_ASSERT_EQUAL(fixture_leftovers(f), 0);
    if (atomic_load(&local_calls) < n)
      break;
  }
  CU_ASSERT_TRUE(n > 4 && n < 200);
}

static void
write_loops(int number, const char *const *settings)
{
  fixture f, calm;
  size_t i;

  local_setup(&f, settings);
  memset(&calm, 0, sizeof calm);
  strcpy(calm.dir, f.dir);
  CU_ASSERT_EQUAL_FATAL(fixture_open_local(&calm, local_no_sync, NULL),
                        SB_OK);
  for (i = 0; i < sizeof local_writes / sizeof local_writes[0]; i++)
    write_loop(&f, &calm, &local_writes[i], number);
  fixture_close(&calm);
  fixture_remove(&f);
}

static void
test_each_call_fails(void)
{
  write_loops(EIO, NULL);
  write_loops(ENOSPC, local_no_sync);
  write_loops(EACCES, local_no_sync);
  write_loops(EMFILE, local_no_sync);
}

static void
test_each_allocation_fails(void)
{
  fixture f;
  size_t j;

  local_setup(&f, local_no_sync);
  for (j = 0; j < sizeof local_writes / sizeof local_writes[0]; j++) {
    long n;

    for (n = 1; n < 100; n++) {
      long blocks;
      sb_error error;
      sb_status status;

      write_reset(&f);
      blocks = atomic_load(&f.blocks);
      atomic_store(&f.allocations, 0);
      atomic_store(&f.allocation_fails, n);
      status = local_writes[j].run(&f, &error);
      atomic_store(&f.allocation_fails, 0);
      CU_ASSERT_EQUAL(status, atomic_load(&f.allocations) >= n ? SB_NO_MEMORY
                                                               : SB_OK);
      write_check(&f, &local_writes[j], status, n);
      if (atomic_load(&f.allocations) < n)
        break;
      fixture_settle(&f, blocks);
    }
  }
  fixture_remove(&f);
}

/* A stream ends when it is given up, whatever there is no memory for. */
static void
test_abort_without_memory(void)
{
  sb_error error;
  fixture f;
  long n, blocks;

  local_setup(&f, local_no_sync);
  for (n = 1; n < 10; n++) {
    store_writer *w;

    blocks = atomic_load(&f.blocks);
    CU_ASSERT_EQUAL(store_writer_open(&f.host, f.store, "d/x", 0, 0, &w,
                                      &error), SB_OK);
    CU_ASSERT_EQUAL(store_writer_add(w, "ne", 2, &error), SB_OK);
    atomic_store(&f.allocations, 0);
    atomic_store(&f.allocation_fails, n);
    store_writer_abort(w);
    atomic_store(&f.allocation_fails, 0);
    fixture_settle(&f, blocks);
    if (atomic_load(&f.allocations) < n)
      break;
  }
  CU_ASSERT(n > 1 && n < 10);
  fixture_remove(&f);
}

/* ---- a writer that is stopped ------------------------------------------- */

typedef struct stopped {
  fixture *f;
  const char *etag;
  sb_status status;
} stopped;

static void *
stopped_put(void *arg)
{
  stopped *s = arg;
  sb_error error;

  s->status = fixture_put(s->f, "x", "late", 0, s->etag, NULL, &error);
  return NULL;
}

/* It holds the lock, so others take that away; when it wakes up, its put must
   not undo theirs. */
static void
stopped_at(int where)
{
  stopped s = { .status = SB_OK };
  store_meta meta;
  pthread_t thread;
  fixture f;
  sb_error error;

  local_setup(&f, local_no_sync);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "old", 0, NULL, &meta, &error), SB_OK);
  s.f = &f;
  s.etag = meta.etag;
  atomic_store(&local_stall, where);
  CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, stopped_put, &s), 0);
  while (atomic_load(&local_stall) != 3)
    (void)usleep(1000);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "new", 0, meta.etag, NULL, &error),
                  SB_OK);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "new"));
  atomic_store(&local_stall, 4);
  CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
  CU_ASSERT_EQUAL(s.status, SB_CONFLICT);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "new"));
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "next", 0, NULL, NULL, &error), SB_OK);
  fixture_remove(&f);
}

static void
test_stopped_before_rename(void)
{
  stopped_at(1);
}

static void
test_stopped_before_announcing(void)
{
  stopped_at(2);
}

/* Without a condition the late put is done after the others. */
static void
test_stopped_replace(void)
{
  stopped s = { .status = SB_IO };
  pthread_t thread;
  fixture f;
  sb_error error;

  local_setup(&f, local_no_sync);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "old", 0, NULL, NULL, &error), SB_OK);
  s.f = &f;
  atomic_store(&local_stall, 1);
  CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, stopped_put, &s), 0);
  while (atomic_load(&local_stall) != 3)
    (void)usleep(1000);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "x", &error), SB_OK);
  CU_ASSERT_FALSE(fixture_has(&f, "x", "old"));
  atomic_store(&local_stall, 4);
  CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
  CU_ASSERT_EQUAL(s.status, SB_OK);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "late"));
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

static const tap_case local_cases[] = {
  { "fsync_fails", test_fsync_fails },
  { "fsyncs_counted", test_fsyncs_counted },
  { "no_sync", test_no_sync },
  { "each_call_fails", test_each_call_fails },
  { "each_allocation_fails", test_each_allocation_fails },
  { "abort_without_memory", test_abort_without_memory },
  { "stopped_before_rename", test_stopped_before_rename },
  { "stopped_before_announcing", test_stopped_before_announcing },
  { "stopped_replace", test_stopped_replace },
};

static const tap_suite local_suites[] = {
  { "local_faults", local_cases, TAP_COUNT(local_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, local_suites, TAP_COUNT(local_suites));
}
