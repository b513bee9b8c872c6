/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User metadata: an extended attribute of the object's file, or, where there
 * are none, a file beside the locks that is named after the entity tag, which
 * no other version of any object has.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define META_NAME_MAX (sizeof LOCAL_META_PREFIX + SB_ETAG_MAX)

static void
meta_name(const char *etag, char *name)
{
  (void)snprintf(name, META_NAME_MAX, LOCAL_META_PREFIX "%s", etag);
}

static int
meta_write_file(const local_store *store, int fd, const char *meta, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, meta, len);

    if (n < 0 && errno != EINTR)
      return -1;
    if (n > 0) {
      meta += n;
      len -= (size_t)n;
    }
  }
  return store->sync ? fsync(fd) : 0;
}

static int
meta_write_sidecar(const local_store *store, const char *etag,
                   const char *meta, size_t len)
{
  char name[META_NAME_MAX];
  int hidden = local_open_hidden(store, 1);
  int number;
  int result;
  int fd;

  if (hidden < 0)
    return -1;
  meta_name(etag, name);
  fd = openat(hidden, name,
              O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  result = fd < 0 ? -1 : meta_write_file(store, fd, meta, len);
  number = errno;
  if (fd >= 0)
    close(fd);
  if (result != 0)
    (void)unlinkat(hidden, name, 0);
  close(hidden);
  errno = number;
  return result;
}

int
local_meta_write(const local_store *store, int fd, const char *etag,
                 const char *meta, size_t len)
{
  if (len == 0)
    return 0;
  if (store->sidecars)
    return meta_write_sidecar(store, etag, meta, len);
  return fsetxattr(fd, LOCAL_META_XATTR, meta, len, 0);
}

static ssize_t
meta_read_sidecar(const local_store *store, const struct stat *st, char *meta)
{
  char etag[SB_ETAG_MAX + 1];
  char name[META_NAME_MAX];
  int hidden = local_open_hidden(store, 0);
  ssize_t n;
  int fd;

  if (hidden < 0)
    return errno == ENOENT ? 0 : -1;
  local_etag(st, etag);
  meta_name(etag, name);
  fd = openat(hidden, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  close(hidden);
  if (fd < 0)
    return errno == ENOENT ? 0 : -1;
  n = read(fd, meta, LOCAL_META_BYTES_MAX);
  close(fd);
  return n;
}

ssize_t
local_meta_read(const local_store *store, int fd, const struct stat *st,
                char *meta)
{
  ssize_t n;

  if (store->sidecars)
    return meta_read_sidecar(store, st, meta);
  n = fgetxattr(fd, LOCAL_META_XATTR, meta, LOCAL_META_BYTES_MAX);
  if (n < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
    return 0;
  return n;
}

void
local_meta_forget(const local_store *store, const struct stat *st)
{
  char etag[SB_ETAG_MAX + 1];
  char name[META_NAME_MAX];
  int hidden;

  if (!store->sidecars || st->st_nlink > 1 || !S_ISREG(st->st_mode))
    return;
  hidden = local_open_hidden(store, 0);
  if (hidden < 0)
    return;
  local_etag(st, etag);
  meta_name(etag, name);
  (void)unlinkat(hidden, name, 0);
  close(hidden);
}
