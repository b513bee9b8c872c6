/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing in byte order of whole names. In that order a directory stands where
 * its name with a '/' would, so each directory's entries are sorted so and
 * walked depth first. Of a large directory only as many of the next entries
 * are held as the page can take; if they do not fill it, it is read again.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define LIST_LIMIT 1000u
#define LIST_RAW 32768u
#define LIST_KEEP_MIN 16u

/* An entry of a directory; directories end in '/'. */
typedef struct list_name {
  char text[256 + 2];
} list_name;

typedef struct list_names {
  list_name *names;
  size_t count, capacity;
  size_t keep;          /* how many of the smallest are wanted */
  int more;             /* there were others after them */
} list_names;

typedef struct list_object {
  sb_store_entry entry; /* entry.name and .etag are set at the end */
  size_t name_at;
  char etag[SB_ETAG_MAX + 1];
} list_object;

typedef struct list_page {
  local_store *store;
  local_op *op;
  const char *prefix, *after;
  size_t limit;
  list_object *objects;
  size_t count, capacity;
  char *text;           /* the names */
  size_t text_len, text_capacity;
  sb_store_entry *entries;
  int truncated;
  char path[SB_OBJECT_NAME_MAX + 512];
  _Alignas(struct dirent64) char raw[LIST_RAW];
} list_page;

static void *
list_grow(const local_store *store, void *old, size_t *capacity, size_t size)
{
  size_t wanted = *capacity == 0 ? 64 : *capacity * 2;
  void *grown = store->host->alloc(store->host, old, wanted * size);

  if (grown != NULL)
    *capacity = wanted;
  else
    errno = ENOMEM;
  return grown;
}

static int
list_compare(const void *left, const void *right)
{
  return strcmp(((const list_name *)left)->text,
                ((const list_name *)right)->text);
}

static void
list_cut(list_names *set)
{
  if (set->count > 1)
    qsort(set->names, set->count, sizeof set->names[0], list_compare);
  if (set->count > set->keep) {
    set->count = set->keep;
    set->more = 1;
  }
}

static int
list_add_name(const local_store *store, list_names *set, const char *name)
{
  if (set->count == set->capacity && set->count >= 2 * set->keep)
    list_cut(set);
  if (set->count == set->capacity) {
    void *grown = list_grow(store, set->names, &set->capacity,
                            sizeof set->names[0]);

    if (grown == NULL)
      return -1;
    set->names = grown;
  }
  strcpy(set->names[set->count++].text, name);
  return 0;
}

/* Can the subtree or object at page->path hold a name of this page? */
static int
list_wanted(const list_page *page, const char *path, int is_dir)
{
  size_t len = strlen(path);
  size_t prefix_len = strlen(page->prefix);

  if (!is_dir)
    return strncmp(path, page->prefix, prefix_len) == 0
           && strcmp(path, page->after) > 0;
  if (strncmp(path, page->prefix, len < prefix_len ? len : prefix_len) != 0)
    return 0;
  return strcmp(path, page->after) > 0
         || strncmp(path, page->after, len) == 0;
}

/* 'f' for a file, 'd' for a directory, '-' for anything else. */
static char
list_type(int dir, const struct dirent64 *entry)
{
  struct stat st;

  if (entry->d_type == DT_REG)
    return 'f';
  if (entry->d_type == DT_DIR)
    return 'd';
  if (entry->d_type != DT_UNKNOWN
      || fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return '-';
  return S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : '-';
}

static int
list_legal(const char *name)
{
  const char *p;

  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return 0;
  for (p = name; *p != '\0'; p++)
    if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
      return 0;
  return 1;
}

static int
list_consider(list_page *page, int dir, size_t path_len,
              const struct dirent64 *entry, const char *last, list_names *set)
{
  char name[256 + 2];
  size_t len = strlen(entry->d_name);
  char type;

  if (len > 255 || !list_legal(entry->d_name)
      || path_len + len > SB_OBJECT_NAME_MAX)
    return 0;
  type = list_type(dir, entry);
  if (type == '-')
    return 0;
  memcpy(name, entry->d_name, len);
  if (type == 'd')
    name[len++] = '/';
  name[len] = '\0';
  if (strcmp(name, last) <= 0)
    return 0;
  memcpy(page->path + path_len, name, len + 1);
  if (!list_wanted(page, page->path, type == 'd'))
    return 0;
  return list_add_name(page->store, set, name);
}

/* The directory's next names after `last`. */
static int
list_scan(list_page *page, int dir, size_t path_len, const char *last,
          list_names *set)
{
  ssize_t n;

  set->count = 0;
  set->more = 0;
  if (lseek(dir, 0, SEEK_SET) < 0)
    return -1;
  while ((n = getdents64(dir, page->raw, sizeof page->raw)) > 0) {
    ssize_t at = 0;

    while (at < n) {
      const struct dirent64 *entry = (const void *)(page->raw + at);

      at += entry->d_reclen;
      if (list_consider(page, dir, path_len, entry, last, set) != 0)
        return -1;
    }
  }
  list_cut(set);
  return n < 0 ? -1 : 0;
}

static int
list_add_object(list_page *page, int dir, const char *leaf)
{
  size_t len = strlen(page->path) + 1;
  list_object *object;
  struct stat st;

  if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? 0 : -1;
  if (page->count == page->limit) {
    page->truncated = 1;
    return 0;
  }
  if (page->count == page->capacity) {
    void *grown = list_grow(page->store, page->objects, &page->capacity,
                            sizeof page->objects[0]);

    if (grown == NULL)
      return -1;
    page->objects = grown;
  }
  while (page->text_len + len > page->text_capacity) {
    void *grown = list_grow(page->store, page->text, &page->text_capacity, 1);

    if (grown == NULL)
      return -1;
    page->text = grown;
  }
  object = &page->objects[page->count++];
  object->name_at = page->text_len;
  memcpy(page->text + page->text_len, page->path, len);
  page->text_len += len;
  object->entry.size = (uint64_t)st.st_size;
  object->entry.modified_ms = (uint64_t)st.st_mtim.tv_sec * 1000
                              + (uint64_t)st.st_mtim.tv_nsec / 1000000;
  local_etag(&st, object->etag);
  return 0;
}

static int list_walk(list_page *page, int dir, size_t path_len);

static int
list_visit(list_page *page, int dir, size_t path_len, const char *name)
{
  size_t len = strlen(name);
  char part[256 + 2];
  int sub;
  int result;

  if (atomic_load(&page->op->cancelled)) {
    errno = ECANCELED;
    return -1;
  }
  memcpy(page->path + path_len, name, len + 1);
  if (name[len - 1] != '/')
    return list_add_object(page, dir, name);
  memcpy(part, name, len);
  part[len - 1] = '\0';
  sub = openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (sub < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  result = list_walk(page, sub, path_len + len);
  close(sub);
  return result;
}

static int
list_walk(list_page *page, int dir, size_t path_len)
{
  list_names set = { .keep = page->limit - page->count + 1 };
  char last[256 + 2] = "";
  int result = 0;
  size_t i;

  if (set.keep < LIST_KEEP_MIN)
    set.keep = LIST_KEEP_MIN;
  do {
    result = list_scan(page, dir, path_len, last, &set);
    for (i = 0; result == 0 && i < set.count && !page->truncated; i++)
      result = list_visit(page, dir, path_len, set.names[i].text);
    if (set.count > 0)
      strcpy(last, set.names[set.count - 1].text);
  } while (result == 0 && set.more && !page->truncated);
  local_free(page->store, set.names);
  return result;
}

/* Opens the deepest directory that the prefix fixes; its length in the prefix
   goes to *len. -1 with ENOENT if there is none. */
static int
list_open_start(const local_store *store, const char *prefix, size_t *len)
{
  char path[SB_OBJECT_NAME_MAX + 1];
  const char *slash = strrchr(prefix, '/');
  struct stat st;
  int fd;

  *len = 0;
  if (slash == NULL) {
    if (fstat(store->root, &st) == 0 && st.st_nlink == 0) {
      errno = ENOENT;
      return -1;
    }
    return openat(store->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  *len = (size_t)(slash - prefix) + 1;
  memcpy(path, prefix, *len - 1);
  path[*len - 1] = '\0';
  fd = local_open_path(store, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0 && errno == ENOTDIR)
    errno = ENOENT;
  return fd;
}

static int
list_finish(list_page *page)
{
  size_t i;

  page->entries = local_alloc(page->store,
                              page->count * sizeof page->entries[0]);
  if (page->entries == NULL) {
    errno = ENOMEM;
    return -1;
  }
  for (i = 0; i < page->count; i++) {
    list_object *object = &page->objects[i];

    object->entry.name = page->text + object->name_at;
    object->entry.etag = object->etag;
    page->entries[i] = object->entry;
  }
  return 0;
}

void
local_end_list(local_op *op)
{
  list_page *page = op->page;

  if (page == NULL)
    return;
  local_free(op->store, page->objects);
  local_free(op->store, page->text);
  local_free(op->store, page->entries);
  local_free(op->store, page);
}

/* A prefix that no name can have lists nothing. */
static int
list_possible(const char *prefix)
{
  const char *part = prefix;
  const char *p;

  if (strlen(prefix) > SB_OBJECT_NAME_MAX)
    return 0;
  for (p = prefix; *p != '\0'; p++) {
    size_t len = (size_t)(p - part);

    if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
      return 0;
    if (*p != '/')
      continue;
    if (len == 0 || (len == 1 && part[0] == '.')
        || (len == 2 && part[0] == '.' && part[1] == '.'))
      return 0;
    part = p + 1;
  }
  return 1;
}

sb_status
local_run_list(local_op *op, sb_error *err)
{
  local_store *store = op->store;
  list_page *page = local_alloc(store, sizeof *page);
  size_t len;
  int result = 0;
  int dir;

  if (page == NULL)
    return local_fail(store, ENOMEM, "list", op->name, err);
  memset(page, 0, offsetof(list_page, raw));
  op->page = page;
  page->store = store;
  page->op = op;
  page->prefix = op->name;
  page->after = op->source;
  page->limit = op->length == 0 || op->length > LIST_LIMIT
                  ? LIST_LIMIT : (size_t)op->length;
  if (!list_possible(op->name))
    return SB_OK;
  dir = list_open_start(store, op->name, &len);
  if (dir >= 0) {
    memcpy(page->path, op->name, len);
    result = list_walk(page, dir, len);
    if (result != 0)
      len = (size_t)errno;
    close(dir);
    errno = (int)len;
  } else {
    struct stat st;

    result = errno == ENOENT && fstat(store->root, &st) == 0
             && st.st_nlink > 0 ? 0 : -1;
  }
  if (result == 0)
    result = list_finish(page);
  if (result != 0)
    return local_fail(store, errno, "list", op->name, err);
  op->result.entries = page->entries;
  op->result.entry_count = page->count;
  op->result.truncated = page->truncated != 0;
  return SB_OK;
}
