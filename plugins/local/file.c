/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary files and how they become objects.
 *
 * A create-only put links the finished file to its name, which the kernel
 * refuses if the name is taken. A replacing put gives the file a temporary
 * name and renames it; these, the match puts among them, and removals hold the
 * name's lock while they look and change, so that they are one step between
 * processes.
 *
 * Each version of an object has another modification time: its nanoseconds are
 * random. Inode, size and that time make the entity tag.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define FILE_TRIES 100
#define FILE_SLICES 64u

static int
file_close_keep(int fd, int result)
{
  int number = errno;

  if (fd >= 0)
    close(fd);
  errno = number;
  return result;
}

/* ---- temporary files ---------------------------------------------------- */

static void
temp_make_name(const local_store *store, local_temp *temp)
{
  (void)snprintf(temp->name, sizeof temp->name, LOCAL_TEMP_PREFIX "%016llx",
                 (unsigned long long)store->host->random(store->host));
}

/* Without O_TMPFILE. A sweep may see the file before it is locked: then it is
   unlinked, and another is made. */
static int
temp_open_named(const local_store *store, local_temp *temp)
{
  int tries;

  for (tries = 0; tries < FILE_TRIES; tries++) {
    int hidden = local_open_hidden(store, 1);
    struct stat st;

    if (hidden < 0)
      return -1;
    temp_make_name(store, temp);
    temp->fd = openat(hidden, temp->name,
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0666);
    (void)file_close_keep(hidden, 0);
    if (temp->fd < 0 && errno != EEXIST && errno != ENOENT)
      return -1;
    if (temp->fd < 0)
      continue;
    if (local_flock(temp->fd, LOCK_SH) != 0
        || fstat(temp->fd, &st) != 0)
      return file_close_keep(temp->fd, -1);
    if (st.st_nlink > 0)
      return 0;
    close(temp->fd);
  }
  errno = ENOENT;
  return -1;
}

int
local_temp_open(local_store *store, local_temp *temp)
{
  memset(temp, 0, sizeof *temp);
  temp->fd = -1;
  if (atomic_load(&store->unnamed)) {
    temp->fd = openat(store->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (temp->fd >= 0)
      return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
      return -1;
    atomic_store(&store->unnamed, 0);
  }
  return temp_open_named(store, temp);
}

int
local_temp_write(local_temp *temp, const sb_slice *body, uint64_t body_count)
{
  struct iovec parts[FILE_SLICES];
  uint64_t i = 0;
  size_t done = 0; /* of slice i */

  while (i < body_count) {
    int count = 0;
    uint64_t j;
    ssize_t n;

    for (j = i; j < body_count && count < (int)FILE_SLICES; j++, count++) {
      size_t skip = j == i ? done : 0;

      parts[count].iov_base = (char *)(uintptr_t)body[j].data + skip;
      parts[count].iov_len = body[j].len - skip;
    }
    n = writev(temp->fd, parts, count);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    temp->size += (uint64_t)n;
    done += (size_t)n;
    while (i < body_count && done >= body[i].len) {
      done -= body[i].len;
      i++;
    }
  }
  return 0;
}

static void
temp_unlink(const local_store *store, local_temp *temp)
{
  int hidden;

  if (temp->name[0] == '\0')
    return;
  hidden = local_open_hidden(store, 0);
  if (hidden >= 0) {
    (void)unlinkat(hidden, temp->name, 0);
    close(hidden);
  }
  temp->name[0] = '\0';
}

void
local_temp_drop(local_store *store, local_temp *temp)
{
  temp_unlink(store, temp);
  if (temp->fd >= 0)
    close(temp->fd);
  temp->fd = -1;
}

/* ---- becoming an object ------------------------------------------------- */

static int
file_link_fd(int fd, int dir, const char *leaf)
{
  char path[40];

  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, path, dir, leaf, AT_SYMLINK_FOLLOW);
}

/* Gives an open file a name in LOCAL_HIDDEN. The shared lock, taken first,
   keeps sweeps away. */
static int
temp_name(const local_store *store, local_temp *temp)
{
  int tries;

  if (temp->name[0] != '\0')
    return 0;
  if (local_flock(temp->fd, LOCK_SH) != 0)
    return -1;
  for (tries = 0; tries < FILE_TRIES; tries++) {
    int hidden = local_open_hidden(store, 1);

    if (hidden < 0)
      return -1;
    temp_make_name(store, temp);
    if (file_link_fd(temp->fd, hidden, temp->name) == 0)
      return file_close_keep(hidden, 0);
    (void)file_close_keep(hidden, 0);
    if (errno != EEXIST && errno != ENOENT)
      break;
  }
  temp->name[0] = '\0';
  return -1;
}

/* What stands where an object is to be: 0 for nothing or an object (st_nlink 0
   for nothing), else -1. An empty directory is moved out of the way. */
static int
file_look(int dir, const char *leaf, struct stat *st)
{
  memset(st, 0, sizeof *st);
  if (fstatat(dir, leaf, st, AT_SYMLINK_NOFOLLOW) != 0) {
    memset(st, 0, sizeof *st);
    return errno == ENOENT ? 0 : -1;
  }
  if (S_ISREG(st->st_mode))
    return 0;
  errno = S_ISLNK(st->st_mode) ? ELOOP : EPERM;
  if (!S_ISDIR(st->st_mode))
    return -1;
  memset(st, 0, sizeof *st);
  if (unlinkat(dir, leaf, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno == EEXIST || errno == ENOTEMPTY)
    errno = EISDIR;
  return -1;
}

static int
file_link_new(const local_store *store, const local_temp *temp, int dir,
              const char *leaf)
{
  int hidden;
  int result;

  if (temp->name[0] == '\0')
    return file_link_fd(temp->fd, dir, leaf);
  hidden = local_open_hidden(store, 0);
  if (hidden < 0)
    return -1;
  result = linkat(hidden, temp->name, dir, leaf, 0);
  if (result != 0
      && (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS))
    result = renameat2(hidden, temp->name, dir, leaf, RENAME_NOREPLACE);
  return file_close_keep(hidden, result);
}

/* 0, or -1 with EAGAIN to try again. */
static int
file_create(local_op *op, const local_temp *temp, int dir, const char *leaf)
{
  struct stat st;

  if (file_link_new(op->store, temp, dir, leaf) == 0)
    return 0;
  if (errno == EEXIST) {
    if (file_look(dir, leaf, &st) == 0)
      errno = st.st_nlink > 0 ? EEXIST : EAGAIN;
  } else if (errno == ENOENT) {
    errno = EAGAIN;
  }
  return -1;
}

/* 0, or -1 with EAGAIN to try again or ESTALE if the condition fails. */
static int
file_replace(local_op *op, local_temp *temp, int dir, const char *leaf)
{
  const local_store *store = op->store;
  char etag[SB_ETAG_MAX + 1];
  struct stat st;
  int result = -1;
  int hidden = -1;
  int lock = local_lock_name(store, op->name);

  if (lock < 0)
    return -1;
  if (file_look(dir, leaf, &st) != 0)
    goto out;
  local_etag(&st, etag);
  if (op->if_match != NULL
      && (st.st_nlink == 0 || strcmp(etag, op->if_match) != 0)) {
    errno = ESTALE;
    goto out;
  }
  hidden = local_open_hidden(store, 0);
  if (hidden < 0 || local_lock_announce(lock, temp->name) != 0)
    goto out;
  result = renameat(hidden, temp->name, dir, leaf);
  if (result != 0 && errno == ENOENT) {
    local_lock_fenced(hidden, temp->name, sizeof temp->name);
    errno = EAGAIN;
  }
  /* Two names of one file: the rename did nothing. */
  if (result == 0 && (uint64_t)st.st_nlink > 1)
    (void)unlinkat(hidden, temp->name, 0);
  if (result == 0) {
    local_meta_forget(store, &st);
    temp->name[0] = '\0';
  }
out:
  (void)file_close_keep(hidden, 0);
  return file_close_keep(lock, result);
}

static sb_status
file_place_fail(local_op *op, int number, const char *verb, sb_error *err)
{
  if (number == EEXIST)
    return sb_fail(err, SB_EXISTS,
                   "could not %s object \"%.400s\": it exists", verb,
                   op->name);
  if (number == ESTALE)
    return sb_fail(err, SB_CONFLICT,
                   "could not %s object \"%.400s\": it is not the one "
                   "expected any more", verb, op->name);
  if (number == EAGAIN)
    number = ENOENT;
  return local_fail(op->store, number, verb, op->name, err);
}

/* Links or renames the file to op->name and makes that durable. *number is the
   errno of a failure. */
static sb_status
file_place(local_op *op, local_temp *temp, const char *verb, int *number,
           sb_error *err)
{
  int create = (op->flags & SB_PUT_CREATE) != 0;
  const char *leaf;
  int result = -1;
  int dir = -1;
  int tries;
  sb_status status;

  if (!create && temp_name(op->store, temp) != 0) {
    *number = errno;
    return local_fail(op->store, errno, verb, op->name, err);
  }
  for (tries = 0; tries < FILE_TRIES; tries++) {
    dir = local_open_parent(op->store, op->name, 1, &leaf);
    if (dir < 0)
      break;
    result = create ? file_create(op, temp, dir, leaf)
                    : file_replace(op, temp, dir, leaf);
    if (result == 0 || errno != EAGAIN)
      break;
    dir = file_close_keep(dir, -1);
  }
  *number = errno;
  if (result != 0) {
    (void)file_close_keep(dir, 0);
    return file_place_fail(op, *number, verb, err);
  }
  status = SB_OK;
  if (local_sync_parent(op->store, op->name, dir) != 0) {
    status = sb_fail(err, SB_UNKNOWN,
                     "could not %s object \"%.300s\": its directory could not "
                     "be made durable: errno %d", verb, op->name, errno);
    *number = 0;
  }
  close(dir);
  return status;
}

static int
file_stamp(local_op *op, const local_temp *temp, struct stat *st)
{
  const sb_host *host = op->store->host;
  struct timespec times[2];

  times[0].tv_sec = 0;
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = (time_t)(host->clock_ms(host) / 1000);
  times[1].tv_nsec = (long)(host->random(host) % 1000000000u);
  if (futimens(temp->fd, times) != 0)
    return -1;
  return fstat(temp->fd, st);
}

static void
file_result(local_op *op, const struct stat *st)
{
  op->result.size = (uint64_t)st->st_size;
  local_etag(st, op->result.etag);
}

sb_status
local_temp_publish(local_op *op, local_temp *temp, const char *verb,
                   sb_error *err)
{
  struct stat st;
  int number = 0;
  sb_status status;

  memset(&st, 0, sizeof st);
  if (file_stamp(op, temp, &st) != 0)
    number = errno;
  file_result(op, &st);
  if (number == 0
      && local_meta_write(op->store, temp->fd, op->result.etag, op->meta,
                          op->meta_len) != 0)
    number = errno;
  if (number == 0 && op->store->sync && fsync(temp->fd) != 0)
    number = errno;
  if (number != 0)
    status = local_fail(op->store, number, verb, op->name, err);
  else
    status = file_place(op, temp, verb, &number, err);
  if (status != SB_OK && status != SB_UNKNOWN && op->meta_len != 0) {
    st.st_nlink = 0;
    local_meta_forget(op->store, &st);
  }
  local_temp_drop(op->store, temp);
  return status;
}

sb_status
local_link_object(local_op *op, int fd, int *number, sb_error *err)
{
  local_temp temp = { .fd = fd };
  struct stat st;
  sb_status status;

  if (fstat(fd, &st) != 0) {
    *number = errno;
    return local_fail(op->store, errno, "copy to", op->name, err);
  }
  file_result(op, &st);
  status = file_place(op, &temp, "copy to", number, err);
  temp_unlink(op->store, &temp);
  return status;
}

void
local_temp_sweep(const local_store *store)
{
  _Alignas(struct dirent64) char raw[4096];
  int hidden = local_open_hidden(store, 0);
  ssize_t n;

  while (hidden >= 0 && (n = getdents64(hidden, raw, sizeof raw)) > 0) {
    ssize_t at = 0;

    while (at < n) {
      const struct dirent64 *entry = (const void *)(raw + at);
      size_t len = strlen(LOCAL_TEMP_PREFIX);
      int fd;

      at += entry->d_reclen;
      if (strncmp(entry->d_name, LOCAL_TEMP_PREFIX, len) != 0)
        continue;
      fd = openat(hidden, entry->d_name,
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
      if (fd < 0)
        continue;
      if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(hidden, entry->d_name, 0);
      close(fd);
    }
  }
  (void)file_close_keep(hidden, 0);
}
