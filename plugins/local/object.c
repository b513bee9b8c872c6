/* SPDX-License-Identifier: Apache-2.0 */
/* The operations on single objects: get, put, head, remove, copy. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define OBJECT_COPY_BYTES 1048576u
#define OBJECT_READ_BYTES (8u << 20) /* between looks for a cancellation */

static void
object_result(local_op *op, const struct stat *st)
{
  op->result.size = (uint64_t)st->st_size;
  local_etag(st, op->result.etag);
}

static int
object_read(local_op *op, int fd, uint64_t wanted)
{
  while (op->result.length < wanted) {
    uint64_t left = wanted - op->result.length;
    size_t some = left < OBJECT_READ_BYTES ? (size_t)left : OBJECT_READ_BYTES;
    ssize_t n;

    if (atomic_load(&op->cancelled)) {
      errno = ECANCELED;
      return -1;
    }
    n = pread(fd, (char *)op->buffer + op->result.length, some,
              (off_t)(op->offset + op->result.length));
    if (n < 0 && errno == EINTR)
      continue;
    if (n == 0)
      errno = EIO;
    if (n <= 0)
      return -1;
    op->result.length += (uint64_t)n;
  }
  return 0;
}

sb_status
local_run_get(local_op *op, sb_error *err)
{
  struct stat st;
  uint64_t left;
  int number;
  int fd = local_open_object(op->store, op->name, &st);

  if (fd < 0)
    return local_fail(op->store, errno, "get", op->name, err);
  object_result(op, &st);
  if (op->if_match != NULL && strcmp(op->if_match, op->result.etag) != 0) {
    close(fd);
    return sb_fail(err, SB_CONFLICT,
                   "could not get object \"%.400s\": it is not the one "
                   "expected any more", op->name);
  }
  if (op->offset > op->result.size) {
    close(fd);
    return sb_fail(err, SB_INVALID,
                   "could not get object \"%.300s\": offset %llu is over its "
                   "size of %llu", op->name, (unsigned long long)op->offset,
                   (unsigned long long)op->result.size);
  }
  left = op->result.size - op->offset;
  number = object_read(op, fd, op->length < left ? op->length : left) == 0
             ? 0 : errno;
  close(fd);
  return number == 0 ? SB_OK
                     : local_fail(op->store, number, "get", op->name, err);
}

sb_status
local_run_put(local_op *op, sb_error *err)
{
  local_temp temp;

  if (local_temp_open(op->store, &temp) != 0)
    return local_fail(op->store, errno, "put", op->name, err);
  if (local_temp_write(&temp, op->body, op->body_count) != 0) {
    int number = errno;

    local_temp_drop(op->store, &temp);
    return local_fail(op->store, number, "put", op->name, err);
  }
  return local_temp_publish(op, &temp, "put", err);
}

/* ---- head --------------------------------------------------------------- */

/* Takes "key\0value\0..." apart into op->result.meta. */
static sb_status
object_parse_meta(local_op *op, const char *meta, size_t len, sb_error *err)
{
  size_t count = 0;
  size_t i;
  char *text;

  for (i = 0; i < len; i++)
    count += meta[i] == '\0';
  if (len == 0)
    return SB_OK;
  if (count % 2 != 0 || meta[len - 1] != '\0')
    return sb_fail(err, SB_CORRUPT,
                   "could not look at object \"%.300s\": its metadata is "
                   "damaged", op->name);
  op->meta_out = local_alloc(op->store,
                             count / 2 * sizeof op->meta_out[0] + len);
  if (op->meta_out == NULL)
    return local_fail(op->store, ENOMEM, "look at", op->name, err);
  text = memcpy(op->meta_out + count / 2, meta, len);
  for (i = 0; i < count / 2; i++) {
    op->meta_out[i].key = text;
    text += strlen(text) + 1;
    op->meta_out[i].value = text;
    text += strlen(text) + 1;
  }
  op->result.meta = op->meta_out;
  op->result.meta_count = count / 2;
  return SB_OK;
}

sb_status
local_run_head(local_op *op, sb_error *err)
{
  char meta[LOCAL_META_BYTES_MAX];
  struct stat st;
  ssize_t len;
  int number;
  int fd = local_open_object(op->store, op->name, &st);

  if (fd < 0)
    return local_fail(op->store, errno, "look at", op->name, err);
  object_result(op, &st);
  len = local_meta_read(op->store, fd, &st, meta);
  number = errno;
  close(fd);
  if (len < 0)
    return local_fail(op->store, number, "look at", op->name, err);
  return object_parse_meta(op, meta, (size_t)len, err);
}

void
local_end_head(local_op *op)
{
  local_free(op->store, op->meta_out);
}

/* ---- remove ------------------------------------------------------------- */

/* Unlinks under the name's lock, so that no match put can bring the object
   back. 0 also if there is none. */
static int
object_unlink(local_store *store, const char *name, int dir, const char *leaf)
{
  struct stat st;
  int result = -1;
  int number;
  int lock = local_lock_name(store, name);

  if (lock < 0)
    return -1;
  if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    result = errno == ENOENT ? 0 : -1;
  } else if (S_ISREG(st.st_mode)) {
    result = unlinkat(dir, leaf, 0);
    if (result == 0)
      local_meta_forget(store, &st);
    else if (errno == ENOENT)
      result = 0;
  } else if (S_ISDIR(st.st_mode)) {
    result = 0;
  } else {
    errno = S_ISLNK(st.st_mode) ? ELOOP : EPERM;
  }
  number = errno;
  close(lock);
  errno = number;
  return result;
}

static sb_status
object_remove(local_store *store, const char *name, sb_error *err)
{
  const char *leaf;
  struct stat st;
  int number = 0;
  int removed = 0;
  int dir = local_open_parent(store, name, 0, &leaf);

  if (dir < 0) {
    /* Nothing there is what was wanted, unless all is gone. */
    number = errno;
    if ((number == ENOENT || number == ENOTDIR)
        && fstat(store->root, &st) == 0 && st.st_nlink > 0)
      return SB_OK;
    return local_fail(store, number, "remove", name, err);
  }
  if (object_unlink(store, name, dir, leaf) != 0) {
    number = errno;
  } else if (store->sync && fsync(dir) != 0) {
    removed = 1;
    number = errno;
  }
  close(dir);
  if (removed)
    return sb_fail(err, SB_UNKNOWN,
                   "could not remove object \"%.300s\": its directory could "
                   "not be made durable: errno %d", name, number);
  if (number != 0)
    return local_fail(store, number, "remove", name, err);
  local_prune(store, name);
  return SB_OK;
}

sb_status
local_run_remove(local_op *op, sb_error *err)
{
  sb_status first = SB_OK;
  uint64_t i;

  for (i = 0; i < op->name_count; i++) {
    sb_status status;

    if (atomic_load(&op->cancelled))
      status = sb_fail(first == SB_OK ? err : NULL, SB_CANCELLED,
                       "removing object \"%.300s\" was cancelled",
                       op->names[i]);
    else
      status = object_remove(op->store, op->names[i],
                             first == SB_OK ? err : NULL);
    if (op->statuses != NULL)
      op->statuses[i] = status;
    if (first == SB_OK)
      first = status;
  }
  return first;
}

/* ---- copy --------------------------------------------------------------- */

static int
object_copy_bytes(local_op *op, int from, local_temp *to)
{
  void *block = NULL;
  int result = -1;

  for (;;) {
    ssize_t n = -1;

    if (atomic_load(&op->cancelled)) {
      errno = ECANCELED;
      break;
    }
    if (block == NULL) {
      n = copy_file_range(from, NULL, to->fd, NULL, OBJECT_READ_BYTES, 0);
      if (n > 0)
        to->size += (uint64_t)n;
      if (n < 0)
        block = local_alloc(op->store, OBJECT_COPY_BYTES);
      if (n < 0 && block == NULL) {
        errno = ENOMEM;
        break;
      }
    }
    if (block != NULL) {
      sb_slice body;

      n = read(from, block, OBJECT_COPY_BYTES);
      if (n < 0 && errno != EINTR)
        break;
      body.data = block;
      body.len = n < 0 ? 0 : (size_t)n;
      if (local_temp_write(to, &body, 1) != 0)
        break;
    }
    if (n == 0) {
      result = 0;
      break;
    }
  }
  local_free(op->store, block);
  return result;
}

static sb_status
object_copy_data(local_op *op, const local_store *from, int fd,
                 const struct stat *st, sb_error *err)
{
  char meta[LOCAL_META_BYTES_MAX];
  local_temp temp;
  ssize_t len = local_meta_read(from, fd, st, meta);
  int number;

  if (len < 0 || local_temp_open(op->store, &temp) != 0)
    return local_fail(op->store, errno, "copy to", op->name, err);
  op->meta = meta;
  op->meta_len = (size_t)len;
  if (object_copy_bytes(op, fd, &temp) == 0)
    return local_temp_publish(op, &temp, "copy to", err);
  number = errno;
  local_temp_drop(op->store, &temp);
  return local_fail(op->store, number, "copy to", op->name, err);
}

static sb_status
object_copy_from(local_op *op, const local_store *from, sb_error *err)
{
  struct stat st;
  int number = 0;
  int fd = local_open_object(from, op->source, &st);
  sb_status status;

  if (fd < 0)
    return local_fail(from, errno, "copy", op->source, err);
  /* Objects are never changed in place: a second name is a copy. Metadata
     beside the file is found from any root only if there is one. */
  status = local_link_object(op, fd, &number, err);
  if (status != SB_OK && status != SB_UNKNOWN
      && (number == EXDEV || number == EMLINK || number == EPERM
          || number == EACCES || number == EOPNOTSUPP))
    status = object_copy_data(op, from, fd, &st, err);
  close(fd);
  return status;
}

sb_status
local_run_copy(local_op *op, sb_error *err)
{
  local_store from = { .base = { NULL } };
  const char *dir;
  sb_status status;

  if (op->source_root == NULL
      || strcmp(op->source_root, op->store->info.root) == 0)
    return object_copy_from(op, op->store, err);
  if (strncmp(op->source_root, "local:/", 7) != 0)
    return sb_fail(err, SB_UNSUPPORTED,
                   "could not copy to object \"%.200s\": \"%.200s\" is not a "
                   "local root", op->name, op->source_root);
  dir = op->source_root + 6;
  from.host = op->store->host;
  from.dir = dir;
  from.beneath = op->store->beneath;
  from.sidecars = op->store->sidecars;
  from.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (from.root < 0)
    return local_fail(op->store, errno, "copy from", dir, err);
  status = object_copy_from(op, &from, err);
  close(from.root);
  return status;
}
