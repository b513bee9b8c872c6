/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of configuration files: the file comes into memory, its format's
 * reader makes flat settings of it, and all of them enter the configuration or
 * none.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/config/config_file.h"

sb_status
config_file_fail(const config_file *r, unsigned line, const char *format, ...)
{
  char text[sizeof r->err->message];
  va_list args;

  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return sb_error_set(r->err, SB_CONFIG, "%.200s:%u: %s", r->path, line, text);
}

static sb_status
config_file_no_memory(const config_file *r)
{
  return sb_error_set(r->err, SB_NO_MEMORY,
                      "no memory to read configuration \"%s\"", r->path);
}

sb_status
config_file_join(const config_file *r, const char *prefix, const char *name,
            unsigned line, char *key)
{
  int n = snprintf(key, OPTION_KEY_MAX + 1, "%s%s%s", prefix,
                   prefix[0] == '\0' ? "" : ".", name);

  if (name[0] == '\0')
    return config_file_fail(r, line, "a key is empty");
  if (n < 0 || (size_t)n > OPTION_KEY_MAX)
    return config_file_fail(r, line, "key \"%.40s...\" has more than %u bytes",
                            key, OPTION_KEY_MAX);
  return SB_OK;
}

sb_status
config_file_list_add(const config_file *r, buf *list, const char *key,
                const char *element, unsigned line)
{
  if (strpbrk(element, ",;") != NULL)
    return config_file_fail(r, line, "an element of the list \"%s\" has a "
                            "comma or a semicolon, which separate elements",
                            key);
  if (list->len != 0)
    buf_u8(list, ',');
  buf_add(list, element, strlen(element));
  if (list->status == SB_TOO_LARGE)
    return config_file_fail(r, line,
                            "the value of \"%s\" has more than %u bytes", key,
                            OPTION_VALUE_MAX);
  return list->status == SB_OK ? SB_OK : config_file_no_memory(r);
}

static sb_status
config_file_reserve(config_file *r)
{
  size_t capacity = r->capacity == 0 ? 32 : r->capacity * 2;
  config_file_entry *entries;

  if (r->count < r->capacity)
    return SB_OK;
  entries = mem_realloc(r->host, r->entries, capacity * sizeof *entries);
  if (entries == NULL)
    return config_file_no_memory(r);
  r->entries = entries;
  r->capacity = capacity;
  return SB_OK;
}

sb_status
config_file_add(config_file *r, const char *key, const char *value,
                unsigned line)
{
  size_t key_size = strlen(key) + 1, value_size = strlen(value) + 1;
  sb_status status = config_file_reserve(r);
  config_file_entry *entry;

  if (status != SB_OK)
    return status;
  if (r->count == SETTINGS_MAX)
    return config_file_fail(r, line, "there are more than %u settings",
                       SETTINGS_MAX);
  if (value_size - 1 > OPTION_VALUE_MAX)
    return config_file_fail(r, line,
                            "the value of \"%s\" has more than %u bytes", key,
                            OPTION_VALUE_MAX);
  entry = &r->entries[r->count];
  entry->key = mem_alloc(r->host, key_size + value_size);
  if (entry->key == NULL)
    return config_file_no_memory(r);
  memcpy(entry->key, key, key_size);
  entry->value = memcpy(entry->key + key_size, value, value_size);
  entry->line = line;
  r->count++;
  return SB_OK;
}

/* ---- the file ----------------------------------------------------------- */

static sb_status
config_file_io(const config_file *r, int failure)
{
  sb_status status = failure == ENOENT || failure == ENOTDIR ? SB_NOT_FOUND
                   : failure == EACCES || failure == EPERM ? SB_DENIED
                   : SB_IO;

  (void)sb_error_set(r->err, status, "could not read configuration \"%s\": %s",
                     r->path, strerror(failure));
  if (r->err != NULL)
    r->err->system = failure;
  return status;
}

/* Reads to the end: the file may be a pipe. */
static sb_status
config_file_slurp(config_file *r, int fd)
{
  size_t capacity = 8192;
  ssize_t n;

  r->text = mem_alloc(r->host, capacity);
  if (r->text == NULL)
    return config_file_no_memory(r);
  for (;;) {
    n = read(fd, r->text + r->len, capacity - r->len - 1);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    r->len += (size_t)n;
    if (r->len > CONFIG_FILE_MAX)
      return sb_error_set(r->err, SB_TOO_LARGE,
                          "configuration \"%s\" has more than %u bytes",
                          r->path, CONFIG_FILE_MAX);
    if (r->len == capacity - 1) {
      char *text = mem_realloc(r->host, r->text, capacity * 2);

      if (text == NULL)
        return config_file_no_memory(r);
      r->text = text;
      capacity *= 2;
    }
  }
  r->text[r->len] = '\0';
  return n < 0 ? config_file_io(r, errno) : SB_OK;
}

static sb_status
config_file_open(config_file *r)
{
  int fd = open(r->path, O_RDONLY | O_CLOEXEC);
  sb_status status;

  if (fd < 0)
    return config_file_io(r, errno);
  status = config_file_slurp(r, fd);
  (void)close(fd);
  return status;
}

static int
config_file_is_libconfig(const char *path)
{
  const char *dot = strrchr(path, '.');

  return dot != NULL &&
         (strcmp(dot, ".cfg") == 0 || strcmp(dot, ".conf") == 0);
}

/* ---- what was read ------------------------------------------------------ */

static int
config_file_order(const void *a, const void *b)
{
  const config_file_entry *x = *(const config_file_entry *const *)a;
  const config_file_entry *y = *(const config_file_entry *const *)b;
  int c = strcmp(x->key, y->key);

  return c != 0 ? c : x->line < y->line ? -1 : x->line > y->line;
}

static sb_status
config_file_no_duplicates(const config_file *r)
{
  config_file_entry **sorted;
  sb_status status = SB_OK;
  size_t i;

  if (r->count == 0)
    return SB_OK;
  sorted = mem_alloc(r->host, r->count * sizeof (*sorted));
  if (sorted == NULL)
    return config_file_no_memory(r);
  for (i = 0; i < r->count; i++)
    sorted[i] = &r->entries[i];
  qsort(sorted, r->count, sizeof *sorted, config_file_order);
  for (i = 1; i < r->count && status == SB_OK; i++)
    if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
      status = config_file_fail(r, sorted[i]->line,
                           "\"%s\" was set before, in line %u",
                           sorted[i]->key, sorted[i - 1]->line);
  mem_free(r->host, sorted);
  return status;
}

static const config_file_entry *
config_file_find(const config_file *r, const char *key)
{
  size_t i;

  for (i = 0; i < r->count; i++)
    if (strcmp(r->entries[i].key, key) == 0)
      return &r->entries[i];
  return NULL;
}

/* A file may name the backend under both keys, but only the same one. */
static sb_status
config_file_one_backend(const config_file *r)
{
  const config_file_entry *a = config_file_find(r, OPTION_BACKEND);
  const config_file_entry *b = config_file_find(r, OPTION_BACKEND_TYPE);

  if (a == NULL || b == NULL || strcmp(a->value, b->value) == 0)
    return SB_OK;
  return config_file_fail(r, a->line > b->line ? a->line : b->line,
                     "\"%s\" is \"%.60s\" in line %u, but \"%s\" is \"%.60s\" "
                     "in line %u", a->key, a->value, a->line, b->key, b->value,
                     b->line);
}

static sb_status
config_file_commit(const config_file *r, sb_config *config)
{
  size_t source_size = strlen(r->path) + 16, i;
  setting *list = mem_alloc(r->host, r->count * sizeof *list);
  char *sources = mem_alloc(r->host, r->count * source_size);
  sb_status status = SB_OK;

  if (list == NULL || sources == NULL)
    status = config_file_no_memory(r);
  for (i = 0; i < r->count && status == SB_OK; i++) {
    char *source = sources + i * source_size;

    (void)snprintf(source, source_size, "%s:%u", r->path, r->entries[i].line);
    list[i].key = r->entries[i].key;
    list[i].value = r->entries[i].value;
    list[i].source = source;
  }
  if (status == SB_OK)
    status = settings_append(config, list, r->count, r->err);
  mem_free(r->host, list);
  mem_free(r->host, sources);
  return status;
}

sb_status
sb_config_load(sb_config *config, const char *path, sb_error *err)
{
  config_file r = { .path = path, .err = err };
  sb_status status;
  size_t i;

  if (config == NULL || path == NULL || strlen(path) >= PLUGIN_PATH_MAX)
    return sb_error_set(err, SB_INVALID, "no configuration file to read");
  r.host = config->host;
  status = config_file_open(&r);
  if (status == SB_OK)
    status = config_file_is_libconfig(path) ? config_file_libconfig(&r)
                                       : config_file_yaml(&r);
  if (status == SB_OK)
    status = config_file_no_duplicates(&r);
  if (status == SB_OK)
    status = config_file_one_backend(&r);
  if (status == SB_OK)
    status = config_file_commit(&r, config);
  for (i = 0; i < r.count; i++)
    mem_free(r.host, r.entries[i].key);
  mem_free(r.host, r.entries);
  mem_free(r.host, r.text);
  return status;
}
