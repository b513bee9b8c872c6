/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From object names to files. Nothing here ever follows a symbolic link or
 * leaves the directory: openat2 does it in one call where the kernel has it,
 * else each part is opened on its own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#include "plugins/local/local.h"

#define PATH_MAKE_TRIES 100

sb_status
local_name_check(const char *name, sb_error *err)
{
  const char *part = name;
  const char *p;

  for (p = name;; p++) {
    size_t len = (size_t)(p - part);

    if ((size_t)(p - name) > SB_OBJECT_NAME_MAX)
      return sb_fail(err, SB_TOO_LARGE,
                     "object name \"%.100s...\" has over %u bytes", name,
                     SB_OBJECT_NAME_MAX);
    if (*p == '/' || *p == '\0') {
      if (len == 0 || (len == 1 && part[0] == '.')
          || (len == 2 && part[0] == '.' && part[1] == '.'))
        return sb_fail(err, SB_INVALID,
                       "object name \"%.400s\" has an empty, \".\" or \"..\" "
                       "part", name);
      if (*p == '\0')
        return SB_OK;
      part = p + 1;
    } else if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
      return sb_fail(err, SB_INVALID,
                     "object name has the byte 0x%02x: only printable ASCII "
                     "is allowed", (unsigned char)*p);
    }
  }
}

static sb_status
path_status(int number)
{
  static const struct {
    int number;
    sb_status status;
  } table[] = {
    { ENOENT, SB_NOT_FOUND },    { EEXIST, SB_EXISTS },
    { ENOSPC, SB_NO_SPACE },     { EDQUOT, SB_NO_SPACE },
    { EACCES, SB_DENIED },       { EPERM, SB_DENIED },
    { EROFS, SB_DENIED },        { ELOOP, SB_DENIED },
    { EXDEV, SB_DENIED },        { EMFILE, SB_BUSY },
    { ENFILE, SB_BUSY },         { EBUSY, SB_BUSY },
    { ENAMETOOLONG, SB_TOO_LARGE }, { EFBIG, SB_TOO_LARGE },
    { ENOTDIR, SB_INVALID },     { EISDIR, SB_INVALID },
    { ENOTEMPTY, SB_INVALID },   { ENOMEM, SB_NO_MEMORY },
    { ECANCELED, SB_CANCELLED },
  };
  size_t i;

  for (i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].number == number)
      return table[i].status;
  return SB_IO;
}

/* What the system's words would not tell, in ours. */
static const char *
path_reason(int number, char *buf, size_t size)
{
  switch (number) {
  case ENOENT:
    return "no such object";
  case ENOTDIR:
    return "a part of its name is itself an object";
  case EISDIR:
  case ENOTEMPTY:
    return "objects have names under it, so it can be none itself";
  case ELOOP:
    return "there is a symbolic link in its path";
  case EBUSY:
    return "another process holds its lock";
  case ENAMETOOLONG:
    return "a part of its name is too long for the file system";
  default:
    return strerror_r(number, buf, size);
  }
}

sb_status
local_fail(const local_store *store, int number, const char *verb,
           const char *name, sb_error *err)
{
  char buf[128];
  struct stat st;
  sb_status status = path_status(number);

  /* O_TMPFILE in a removed directory says EPERM. */
  if ((number == ENOENT || number == EPERM) && fstat(store->root, &st) == 0
      && st.st_nlink == 0) {
    status = sb_fail(err, SB_IO,
                     "could not %s object \"%.200s\": directory \"%.180s\" "
                     "has been removed", verb, name, store->dir);
  } else {
    status = sb_fail(err, status, "could not %s object \"%.200s\" in "
                     "\"%.150s\": %s", verb, name, store->dir,
                     path_reason(number, buf, sizeof buf));
  }
  if (err != NULL)
    err->system = number;
  return status;
}

static int
path_open_beneath(const local_store *store, const char *path, int flags)
{
#ifdef SYS_openat2
  struct open_how how;
  int tries;

  memset(&how, 0, sizeof how);
  how.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  /* EAGAIN: a rename elsewhere in the tree raced with the resolution. */
  for (tries = 0; tries < PATH_MAKE_TRIES; tries++) {
    long fd = syscall(SYS_openat2, store->root, path, &how, sizeof how);

    if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
      return (int)fd;
  }
#else
  (void)store;
  (void)path;
  (void)flags;
  errno = ENOSYS;
#endif
  return -1;
}

/* O_NOFOLLOW says ELOOP for a link at the end, but ENOTDIR with O_DIRECTORY:
   the caller wants to hear of the link. */
static int
path_open_part(int dir, const char *part, int flags)
{
  int fd = openat(dir, part, flags | O_NOFOLLOW | O_CLOEXEC);
  int number = errno;
  struct stat st;

  if (fd >= 0 || number != ENOTDIR)
    return fd;
  if (fstatat(dir, part, &st, AT_SYMLINK_NOFOLLOW) == 0
      && S_ISLNK(st.st_mode))
    number = ELOOP;
  errno = number;
  return -1;
}

static int
path_close_keep(int fd, int result)
{
  int number = errno;

  close(fd);
  errno = number;
  return result;
}

/* Opens the directory of the first `len` bytes of `path`, part by part. */
static int
path_open_dir_parts(const local_store *store, const char *path, size_t len,
                    int make)
{
  char part[SB_OBJECT_NAME_MAX + 1];
  size_t at = 0;
  int dir = fcntl(store->root, F_DUPFD_CLOEXEC, 0);

  while (dir >= 0 && at < len) {
    size_t n = strcspn(path + at, "/");
    int next;

    memcpy(part, path + at, n);
    part[n] = '\0';
    next = path_open_part(dir, part, O_RDONLY | O_DIRECTORY);
    if (next < 0 && errno == ENOENT && make
        && (mkdirat(dir, part, 0777) == 0 || errno == EEXIST))
      next = path_open_part(dir, part, O_RDONLY | O_DIRECTORY);
    dir = path_close_keep(dir, next);
    at += n + 1;
  }
  return dir;
}

int
local_open_path(const local_store *store, const char *path, int flags)
{
  const char *slash = strrchr(path, '/');
  const char *leaf = slash == NULL ? path : slash + 1;
  int dir;

  if (store->beneath)
    return path_open_beneath(store, path, flags);
  dir = path_open_dir_parts(store, path,
                            slash == NULL ? 0 : (size_t)(slash - path), 0);
  if (dir < 0)
    return -1;
  return path_close_keep(dir, path_open_part(dir, leaf, flags));
}

int
local_open_object(const local_store *store, const char *name, struct stat *st)
{
  int fd = local_open_path(store, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);

  if (fd < 0) {
    if (errno == ENOTDIR)
      errno = ENOENT;
    else if (errno == ENXIO)
      errno = EPERM;
    return -1;
  }
  if (fstat(fd, st) != 0)
    return path_close_keep(fd, -1);
  if (S_ISREG(st->st_mode))
    return fd;
  errno = S_ISDIR(st->st_mode) ? ENOENT : EPERM;
  return path_close_keep(fd, -1);
}

int
local_open_parent(const local_store *store, const char *name, int make,
                  const char **leaf)
{
  char path[SB_OBJECT_NAME_MAX + 1];
  const char *slash = strrchr(name, '/');
  size_t len = slash == NULL ? 0 : (size_t)(slash - name);
  int tries;
  int dir = -1;

  *leaf = slash == NULL ? name : slash + 1;
  if (len == 0)
    return fcntl(store->root, F_DUPFD_CLOEXEC, 0);
  memcpy(path, name, len);
  path[len] = '\0';
  if (store->beneath) {
    dir = path_open_beneath(store, path, O_RDONLY | O_DIRECTORY);
    if (dir >= 0 || errno != ENOENT || !make)
      return dir;
  }
  /* Others may remove a directory that is still empty. */
  for (tries = 0; tries < PATH_MAKE_TRIES; tries++) {
    struct stat st;

    dir = path_open_dir_parts(store, path, len, make);
    if (dir >= 0 || errno != ENOENT || !make
        || (fstat(store->root, &st) == 0 && st.st_nlink == 0))
      break;
    errno = ENOENT;
  }
  return dir;
}

int
local_open_hidden(const local_store *store, int make)
{
  int flags = O_RDONLY | O_DIRECTORY;
  int fd = path_open_part(store->root, LOCAL_HIDDEN, flags);

  if (fd < 0 && errno == ENOENT && make
      && (mkdirat(store->root, LOCAL_HIDDEN, 0777) == 0 || errno == EEXIST))
    fd = path_open_part(store->root, LOCAL_HIDDEN, flags);
  return fd;
}

/* ---- durability --------------------------------------------------------- */

static uint64_t
path_hash(const char *path, size_t len)
{
  uint64_t hash = 14695981039346656037u;
  size_t i;

  for (i = 0; i < len; i++)
    hash = (hash ^ (unsigned char)path[i]) * 1099511628211u;
  return hash;
}

/* Which directory this is, for as long as the machine runs: inode and birth.
   0 if the file system does not tell births. */
static int
path_identity(int fd, uint64_t *inode, uint64_t *born_ns)
{
  struct statx st;

  if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0
      || (st.stx_mask & STATX_BTIME) == 0)
    return 0;
  *inode = st.stx_ino;
  *born_ns = (uint64_t)st.stx_btime.tv_sec * 1000000000u
             + st.stx_btime.tv_nsec;
  return 1;
}

static int
path_sync_ancestors(const local_store *store, const char *path, size_t len)
{
  char above[SB_OBJECT_NAME_MAX + 1];

  memcpy(above, path, len);
  while (len > 0) {
    int fd;

    above[len] = '\0';
    while (len > 0 && above[len] != '/')
      len--;
    above[len] = '\0';
    fd = len == 0 ? fcntl(store->root, F_DUPFD_CLOEXEC, 0)
                  : local_open_path(store, above, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
      return -1;
    if (fsync(fd) != 0)
      return path_close_keep(fd, -1);
    close(fd);
  }
  return 0;
}

int
local_sync_parent(local_store *store, const char *name, int fd)
{
  const char *slash = strrchr(name, '/');
  size_t len = slash == NULL ? 0 : (size_t)(slash - name);
  uint64_t hash = path_hash(name, len);
  size_t slot = (size_t)(hash % LOCAL_DURABLE_DIRS);
  uint64_t inode = 0;
  uint64_t born_ns = 0;
  int identified;
  int known;

  if (!store->sync)
    return 0;
  if (fsync(fd) != 0)
    return -1;
  if (len == 0)
    return 0;
  identified = path_identity(fd, &inode, &born_ns);
  pthread_mutex_lock(&store->lock);
  known = identified && store->durable[slot].path_hash == hash
          && store->durable[slot].inode == inode
          && store->durable[slot].born_ns == born_ns;
  pthread_mutex_unlock(&store->lock);
  if (known)
    return 0;
  if (path_sync_ancestors(store, name, len) != 0)
    return -1;
  if (identified) {
    pthread_mutex_lock(&store->lock);
    store->durable[slot].path_hash = hash;
    store->durable[slot].inode = inode;
    store->durable[slot].born_ns = born_ns;
    pthread_mutex_unlock(&store->lock);
  }
  return 0;
}

void
local_prune(const local_store *store, const char *name)
{
  char path[SB_OBJECT_NAME_MAX + 1];
  char *slash;

  strcpy(path, name);
  while ((slash = strrchr(path, '/')) != NULL) {
    const char *leaf;
    int dir;
    int failed;

    *slash = '\0';
    dir = local_open_parent(store, path, 0, &leaf);
    if (dir < 0)
      return;
    failed = unlinkat(dir, leaf, AT_REMOVEDIR);
    close(dir);
    if (failed != 0)
      return;
  }
}

void
local_etag(const struct stat *st, char *etag)
{
  (void)snprintf(etag, SB_ETAG_MAX + 1, "%llx-%llx-%llx.%lx",
                 (unsigned long long)st->st_ino,
                 (unsigned long long)st->st_size,
                 (unsigned long long)st->st_mtim.tv_sec,
                 (unsigned long)st->st_mtim.tv_nsec);
}
