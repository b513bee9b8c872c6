/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints that Flink committed, see flink_checkpoint.h. The stream of an
 * incremental handle's metadata is our manifest; the paths of its shared and
 * private files end in the names that the manifest has for its objects, and
 * say where those are now.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/crc.h"
#include "host/cli/flink_checkpoint.h"
#include "host/cli/flink_metadata.h"
#include "host/engine/paths.h"
#include "host/store/store.h"

#define FLINK_FILE_MAX ((size_t)1 << 30)
#define FLINK_MAGIC_LEN 4u

struct flink_checkpoint {
  sb_checkpoint checkpoint;
  const char *file;
  void *data;            /* of the file */
  flink_metadata *m;
  sb_part *parts;
  void **owned;          /* host memory that parts and manifests point to */
  size_t owned_count, owned_cap;
};

static sb_status
flink_no_memory(sb_error *err)
{
  return sb_error_set(err, SB_NO_MEMORY, "out of memory");
}

static sb_status
flink_file_read(const char *path, size_t max, void **data, size_t *len,
                sb_error *err)
{
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat about;
  ssize_t n = 1;

  *len = 0;
  *data = NULL;
  if (fd < 0 || fstat(fd, &about) != 0)
    goto fail;
  if (!S_ISREG(about.st_mode) || (uint64_t)about.st_size > max) {
    errno = S_ISREG(about.st_mode) ? EFBIG : EINVAL;
    goto fail;
  }
  *data = mem_alloc(inside_host(), (size_t)about.st_size);
  if (*data == NULL) {
    (void)close(fd);
    return flink_no_memory(err);
  }
  while (n > 0 && *len < (size_t)about.st_size) {
    n = read(fd, (char *)*data + *len, (size_t)about.st_size - *len);
    *len += n > 0 ? (size_t)n : 0;
  }
  if (n < 0)
    goto fail;
  (void)close(fd);
  return SB_OK;
fail:
  n = errno;
  if (fd >= 0)
    (void)close(fd);
  mem_free(inside_host(), *data);
  *data = NULL;
  return sb_error_set(err, n == ENOENT ? SB_NOT_FOUND : SB_IO,
                      "could not read file \"%s\": %s", path,
                      strerror((int)n));
}

/* Keeps `p` until the checkpoint is freed; frees it and returns NULL if it
   cannot. */
static void *
flink_own(flink_checkpoint *f, void *p)
{
  size_t cap = f->owned_cap == 0 ? 16 : f->owned_cap * 2;
  void **grown = f->owned;

  if (p != NULL && f->owned_count == f->owned_cap) {
    grown = realloc(f->owned, cap * sizeof *grown);
    if (grown != NULL) {
      f->owned = grown;
      f->owned_cap = cap;
    }
  }
  if (p == NULL || grown == NULL) {
    mem_free(inside_host(), p);
    return NULL;
  }
  f->owned[f->owned_count++] = p;
  return p;
}

/* ---- names -------------------------------------------------------------- */

/* What follows "scheme:" and "//authority" in a path; *scheme_len may be 0. */
static const char *
flink_path_part(const char *path, size_t *scheme_len)
{
  const char *colon = strchr(path, ':'), *slash = strchr(path, '/');

  *scheme_len = 0;
  if (colon != NULL && (slash == NULL || colon < slash)) {
    *scheme_len = (size_t)(colon - path);
    path = colon + 1;
  }
  if (strncmp(path, "//", 2) != 0)
    return path;
  slash = strchr(path + 2, '/');
  return slash == NULL ? path + strlen(path) : slash;
}

/* The name that an object of this path has in the store; NULL if it is a file
   beside the store. */
static const char *
flink_object_name(sb_store *store, const char *path)
{
  const char *root = store_info(store)->root;
  size_t scheme_len, len;
  const char *part = flink_path_part(path, &scheme_len);
  int is_file = part[0] == '/' &&
                (scheme_len == 0 ||
                 (scheme_len == 4 && strncmp(path, "file", 4) == 0));

  if (strncmp(root, "local:", 6) == 0) {
    root += 6;
    len = strlen(root);
    if (strncmp(part, root, len) == 0 && part[len] == '/')
      return part + len + 1;
  }
  return is_file ? NULL : part + strspn(part, "/");
}

static char *
flink_path_copy(flink_checkpoint *f, sb_slice path)
{
  char *text = mem_zalloc(inside_host(), path.len + 1);

  if (text != NULL && path.len != 0)
    memcpy(text, path.data, path.len);
  return flink_own(f, text);
}

/* ---- manifests ---------------------------------------------------------- */

static sb_status
flink_read_beside(const flink_checkpoint *f, const char *path, void **data,
                  size_t *len, sb_error *err)
{
  const char *slash = strrchr(f->file, '/');
  size_t dir = slash == NULL ? 0 : (size_t)(slash - f->file) + 1;
  char *whole = malloc(dir + strlen(path) + 1);
  sb_status status;

  if (whole == NULL)
    return flink_no_memory(err);
  memcpy(whole, f->file, dir);
  memcpy(whole + dir, path, strlen(path) + 1);
  status = flink_file_read(whole, MANIFEST_SIZE_MAX, data, len, err);
  free(whole);
  return status;
}

static sb_status
flink_read_object(sb_store *store, const flink_stream *stream,
                  const char *name, void **data, size_t *len, sb_error *err)
{
  const sb_host *host = inside_host();
  uint64_t got;
  sb_status status;

  if (stream->kind == FLINK_STREAM_SEGMENT) {
    if (stream->size > MANIFEST_SIZE_MAX)
      return sb_error_set(err, SB_TOO_LARGE, "cannot read %" PRIu64 " bytes "
                          "of object \"%s\": no manifest is that large",
                          stream->size, name);
    *data = mem_alloc(host, (size_t)stream->size);
    if (*data == NULL)
      return flink_no_memory(err);
    status = store_get(host, store, name, stream->offset, *data, stream->size,
                       &got, NULL, SB_PRIORITY_READ, err);
  } else {
    status = store_get_all(host, store, name, MANIFEST_SIZE_MAX, data, &got,
                           NULL, SB_PRIORITY_READ, err);
  }
  *len = (size_t)got;
  return status;
}

/* The bytes of a handle's metadata. */
static sb_status
flink_read_meta(flink_checkpoint *f, sb_store *store,
                const flink_stream *stream, sb_slice *bytes, sb_error *err)
{
  void *data = NULL;
  char *path;
  const char *name, *part;
  size_t scheme_len;
  sb_status status;

  *bytes = stream->bytes;
  if (stream->kind == FLINK_STREAM_BYTES ||
      stream->kind == FLINK_STREAM_NONE || stream->kind == FLINK_STREAM_OTHER)
    return SB_OK;
  path = flink_path_copy(f, stream->path);
  if (path == NULL)
    return flink_no_memory(err);
  name = flink_object_name(store, path);
  part = flink_path_part(path, &scheme_len);
  if (stream->kind == FLINK_STREAM_RELATIVE)
    status = flink_read_beside(f, path, &data, &bytes->len, err);
  else if (name == NULL)
    status = flink_file_read(part, MANIFEST_SIZE_MAX, &data, &bytes->len, err);
  else
    status = flink_read_object(store, stream, name, &data, &bytes->len, err);
  bytes->data = data;
  if (data != NULL && flink_own(f, data) == NULL)
    return flink_no_memory(err);
  return status;
}

/* 1 if a path's last parts are `name`. */
static int
flink_path_ends(sb_slice path, const char *name)
{
  size_t len = strlen(name);
  const char *p = path.data;

  return path.len >= len && memcmp(p + path.len - len, name, len) == 0 &&
         (path.len == len || p[path.len - len - 1] == '/');
}

/* Sets a segment's name to where its file is; *moved if that is elsewhere. */
static sb_status
flink_place_segment(flink_checkpoint *f, sb_store *store,
                    const flink_handle *handle, manifest_segment *segment,
                    int *moved, sb_error *err)
{
  const flink_stream *file = NULL;
  const char *name;
  char *path;
  size_t i;

  for (i = 0; i < handle->file_count && file == NULL; i++)
    if (f->m->files[handle->file_first + i].kind == FLINK_STREAM_FILE &&
        flink_path_ends(f->m->files[handle->file_first + i].path,
                        segment->name))
      file = &f->m->files[handle->file_first + i];
  if (file == NULL)
    return SB_OK;
  path = flink_path_copy(f, file->path);
  if (path == NULL)
    return flink_no_memory(err);
  name = flink_object_name(store, path);
  if (name == NULL)
    return sb_error_set(err, SB_MISMATCH, "cannot read \"%s\": it is outside "
                        "of store \"%s\"", path, store_info(store)->root);
  if (strcmp(name, segment->name) == 0)
    return SB_OK;
  segment->name = name;
  segment->owner = MANIFEST_OWNER_FOREIGN;
  *moved = 1;
  return SB_OK;
}

/* The manifest's bytes again, with the names that objects have now. */
static sb_status
flink_place(flink_checkpoint *f, sb_store *store, const flink_handle *handle,
            manifest *m, sb_slice *bytes, sb_error *err)
{
  const sb_host *host = inside_host();
  sb_status status = SB_OK;
  int moved = 0;
  buf out;
  size_t i;

  for (i = 0; status == SB_OK && i < m->segment_count; i++)
    status = flink_place_segment(f, store, handle, &m->segments[i], &moved,
                                 err);
  if (status != SB_OK || !moved)
    return status;
  buf_init(&out, host, MANIFEST_SIZE_MAX);
  status = manifest_encode(host, m, &out);
  if (status != SB_OK) {
    buf_dispose(&out);
    return sb_error_set(err, status, "could not put a manifest together: %s",
                        sb_status_name(status));
  }
  *bytes = sb_slice_of(out.data, out.len);
  return flink_own(f, out.data) == NULL ? flink_no_memory(err) : SB_OK;
}

static sb_status
flink_add_part(flink_checkpoint *f, sb_store *store,
               const flink_handle *handle, sb_slice bytes, sb_error *err)
{
  const sb_host *host = inside_host();
  sb_part *part = &f->parts[f->checkpoint.info.part_count];
  sb_checkpoint_info *info = &f->checkpoint.info;
  manifest *m;
  sb_status status = manifest_decode(host, bytes.data, bytes.len, &m, err);

  if (status != SB_OK)
    return status;
  memset(part, 0, sizeof *part);
  part->struct_size = sizeof *part;
  part->subtask = handle->subtask;
  part->key_group_first = m->key_group_first;
  part->key_group_last = m->key_group_last;
  part->operator_id = flink_own(f, mem_strdup(host, m->operator_id));
  if (part->operator_id == NULL)
    status = flink_no_memory(err);
  if (status == SB_OK && m->key_group_count != handle->max_parallelism)
    status = sb_error_set(err, SB_CORRUPT, "the manifest is of %u key groups, "
                          "the operator has %u",
                          (unsigned)m->key_group_count,
                          (unsigned)handle->max_parallelism);
  if (status == SB_OK)
    status = flink_place(f, store, handle, m, &bytes, err);
  if (status == SB_OK) {
    part->manifest = bytes;
    part->length = bytes.len;
    part->crc32c = crc32c(bytes.data, bytes.len);
    info->part_count++;
    if (m->generation > info->generation)
      info->generation = m->generation;
  }
  manifest_free(host, m);
  return status;
}

static sb_status
flink_add_handle(flink_checkpoint *f, sb_store *store,
                 const flink_handle *handle, size_t *foreign, sb_error *err)
{
  sb_slice bytes;
  sb_error why;
  sb_status status = flink_read_meta(f, store, &handle->meta, &bytes, &why);

  if (status == SB_OK && (bytes.len < FLINK_MAGIC_LEN ||
                          memcmp(bytes.data, "SBmf", FLINK_MAGIC_LEN) != 0)) {
    (*foreign)++;
    return SB_OK;
  }
  if (status == SB_OK)
    status = flink_add_part(f, store, handle, bytes, &why);
  if (status != SB_OK)
    (void)sb_error_set(err, status, "file \"%.120s\", operator %016" PRIx64
                       "%016" PRIx64 ", subtask %u: %.300s", f->file,
                       handle->operator_id[0], handle->operator_id[1],
                       (unsigned)handle->subtask, why.message);
  return status;
}

/* ---- open --------------------------------------------------------------- */

static sb_status
flink_add_handles(flink_checkpoint *f, sb_store *store, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i, foreign = 0;

  f->parts = calloc(f->m->handle_count + 1, sizeof *f->parts);
  if (f->parts == NULL)
    return flink_no_memory(err);
  for (i = 0; status == SB_OK && i < f->m->handle_count; i++)
    status = flink_add_handle(f, store, &f->m->handles[i], &foreign, err);
  if (status != SB_OK)
    return status;
  foreign += (size_t)f->m->others;
  if (f->checkpoint.info.part_count == 0)
    return sb_error_set(err, SB_NOT_FOUND, "file \"%s\" has no keyed state of "
                        "this backend, but %zu handles of others", f->file,
                        foreign);
  if (foreign != 0)
    cli_warn("file \"%s\" also has %zu handles of other backends, which are "
             "not read", f->file, foreign);
  return SB_OK;
}

static sb_status
flink_load(flink_checkpoint *f, sb_store *store, sb_error *err)
{
  size_t len;
  sb_error why;
  sb_status status = flink_file_read(f->file, FLINK_FILE_MAX, &f->data, &len,
                                     err);

  if (status != SB_OK)
    return status;
  status = flink_metadata_decode(inside_host(), f->data, len, &f->m, &why);
  if (status != SB_OK)
    return sb_error_set(err, status, "cannot read file \"%s\": %s", f->file,
                        why.message);
  f->checkpoint.struct_size = sizeof f->checkpoint;
  f->checkpoint.info.struct_size = sizeof f->checkpoint.info;
  f->checkpoint.info.id = f->m->checkpoint_id;
  f->checkpoint.info.name = f->file;
  status = flink_add_handles(f, store, err);
  f->checkpoint.parts = f->parts;
  return status;
}

sb_status
flink_checkpoint_open(cli *c, const char *file, inside *in, sb_error *err)
{
  sb_store *store = c->backend->ops->store(c->backend);
  flink_checkpoint *f;
  sb_status status;

  if (store == NULL)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "this backend has no object store");
  f = calloc(1, sizeof *f);
  if (f == NULL)
    return flink_no_memory(err);
  f->file = file;
  status = flink_load(f, store, err);
  if (status == SB_OK)
    return inside_take(c, &f->checkpoint, f, in, err);
  flink_checkpoint_free(f);
  return status;
}

void
flink_checkpoint_free(flink_checkpoint *f)
{
  size_t i;

  for (i = 0; i < f->owned_count; i++)
    mem_free(inside_host(), f->owned[i]);
  free(f->owned);
  free(f->parts);
  flink_metadata_free(inside_host(), f->m);
  mem_free(inside_host(), f->data);
  free(f);
}
