/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading of plugins: a shared object is opened, its table copied and looked
 * over, and what is wrong with it said in one line. Loaded plugins stay.
 */
#include "config.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/options.h"
#include "host/plugin/plugin.h"

/* Tables shorter than version 1's cannot be of this major. */
#define PLUGIN_TABLE_MIN sizeof (sb_plugin)
#define PLUGIN_OPTION_MIN sizeof (sb_option)

static pthread_mutex_t plugin_lock = PTHREAD_MUTEX_INITIALIZER;
static plugin *plugin_loaded; /* guarded by plugin_lock; only grows */

/* ---- the table ---------------------------------------------------------- */

/* "/x/sb-NAME.so" to NAME; -1 if the file is not called so. */
static int
plugin_name_of(const char *path, char *name)
{
  const char *base = strrchr(path, '/');
  size_t len;

  base = base == NULL ? path : base + 1;
  len = strlen(base);
  if (len < 7 || strncmp(base, "sb-", 3) != 0 ||
      strcmp(base + len - 3, ".so") != 0 || len - 6 > SB_PLUGIN_NAME_MAX)
    return -1;
  memcpy(name, base + 3, len - 6);
  name[len - 6] = '\0';
  return 0;
}

static int
plugin_name_valid(const char *name)
{
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

  return len != 0 && name[len] == '\0' && len <= SB_PLUGIN_NAME_MAX;
}

static sb_status
plugin_refuse(sb_error *err, const char *path, const char *why)
{
  return sb_error_set(err, SB_MISMATCH, "cannot use plugin \"%s\": %s", path,
                      why);
}

/* NULL, or what is wrong with the fixed part of a table. */
static const char *
plugin_table_problem(const sb_plugin *t)
{
  if (t->name == NULL || !plugin_name_valid(t->name))
    return "its table has no usable name";
  if (t->version == NULL || t->description == NULL)
    return "its table has no version or description";
  if (t->kind == SB_KIND_BACKEND && t->open == NULL)
    return "its table lacks the required method open";
  if (t->kind == SB_KIND_FILTER && t->filter == NULL)
    return "its table lacks the required method filter";
  if (t->kind != SB_KIND_BACKEND && t->kind != SB_KIND_FILTER)
    return "its table is of no known kind";
  if (t->option_count > PLUGIN_OPTIONS_MAX)
    return "its option table is too long";
  if (t->option_count != 0 && t->options == NULL)
    return "its option table is missing";
  if (t->option_count != 0 && (t->option_size < PLUGIN_OPTION_MIN ||
                               t->option_size % sizeof (void *) != 0))
    return "its options are of an unknown size";
  return NULL;
}

/* Copies what both sides know, so that either may be the newer one. */
static sb_status
plugin_copy_table(const sb_plugin *theirs, const char *path, sb_plugin *ours,
                  sb_error *err)
{
  char file_name[SB_PLUGIN_NAME_MAX + 1];
  uint32_t size = theirs->struct_size;
  const char *problem;

  if (theirs->abi_version != SB_ABI_VERSION)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use plugin \"%s\": it has ABI %u, this host "
                        "needs %u", path, theirs->abi_version, SB_ABI_VERSION);
  if (size < PLUGIN_TABLE_MIN)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use plugin \"%s\": its table has %u bytes, "
                        "this host needs %zu", path, size, PLUGIN_TABLE_MIN);
  memset(ours, 0, sizeof *ours);
  memcpy(ours, theirs, size < sizeof *ours ? size : sizeof *ours);
  ours->struct_size = sizeof *ours;
  problem = plugin_table_problem(ours);
  if (problem != NULL)
    return plugin_refuse(err, path, problem);
  if (plugin_name_of(path, file_name) != 0)
    return plugin_refuse(err, path, "its file is not named sb-NAME.so");
  if (strcmp(file_name, ours->name) != 0)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use plugin \"%s\": it calls itself \"%.63s\", "
                        "its file says \"%s\"", path, ours->name, file_name);
  return SB_OK;
}

static sb_status
plugin_copy_options(const sb_host *host, plugin *p, sb_error *err)
{
  size_t count = (size_t)p->table.option_count, i;
  size_t stride = p->table.option_size;
  size_t size = stride < sizeof (sb_option) ? stride : sizeof (sb_option);
  const char *from = (const char *)p->table.options;
  sb_option *options;
  char why[400];
  sb_status status;

  p->table.options = NULL;
  p->table.option_size = sizeof (sb_option);
  if (count == 0)
    return SB_OK;
  options = mem_zalloc(host, count * sizeof *options);
  if (options == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for the options of "
                        "plugin \"%s\"", p->table.name);
  p->table.options = options;
  for (i = 0; i < count; i++)
    memcpy(&options[i], from + i * stride, size);
  status = option_table_check(host, options, count, why, sizeof why);
  if (status == SB_CONFIG)
    return plugin_refuse(err, p->path, why);
  if (status != SB_OK)
    return sb_error_set(err, status, "no memory to check the options of "
                        "plugin \"%s\"", p->table.name);
  return SB_OK;
}

static void
plugin_free(const sb_host *host, plugin *p)
{
  if (p == NULL)
    return;
  mem_free(host, (void *)(uintptr_t)p->table.options);
  mem_free(host, p->path);
  mem_free(host, p);
}

static sb_status
plugin_make(const sb_host *host, const char *path, const sb_plugin *theirs,
            plugin **out, sb_error *err)
{
  plugin *p = mem_zalloc(host, sizeof *p);
  sb_status status;

  if (p == NULL || (p->path = mem_strdup(host, path)) == NULL) {
    mem_free(host, p);
    return sb_error_set(err, SB_NO_MEMORY, "no memory for plugin \"%s\"",
                        path);
  }
  p->origin = theirs;
  status = plugin_copy_table(theirs, path, &p->table, err);
  if (status != SB_OK) {
    p->table.options = NULL;
    goto fail;
  }
  status = plugin_copy_options(host, p, err);
  if (status != SB_OK)
    goto fail;
  while (p->table.prefixes != NULL &&
         p->table.prefixes[p->prefix_count] != NULL)
    p->prefix_count++;
  *out = p;
  return SB_OK;
fail:
  plugin_free(host, p);
  return status;
}

/* ---- loading ------------------------------------------------------------ */

/* The file is not closed again on failure: a library that has once run its
   constructors is safer where it is. */
static sb_status
plugin_entry(const char *path, sb_plugin_init_fn **init, sb_error *err)
{
  const char *problem = elf_problem(path);
  const char *text;
  void *library;
  void *symbol;

  if (problem != NULL)
    return sb_error_set(err, SB_CONFIG, "cannot load plugin \"%s\": %s", path,
                        problem);
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    text = dlerror();
    return sb_error_set(err, SB_CONFIG, "cannot load plugin \"%s\": %s", path,
                        text == NULL ? "unknown reason" : text);
  }
  symbol = dlsym(library, SB_PLUGIN_INIT);
  if (symbol == NULL)
    return plugin_refuse(err, path, "it has no entry point " SB_PLUGIN_INIT);
  memcpy(init, &symbol, sizeof *init);
  return SB_OK;
}

/* By path, or by the table that the file's entry point gave. */
static plugin *
plugin_lookup(const char *path, const sb_plugin *theirs)
{
  plugin *p;

  for (p = plugin_loaded; p != NULL; p = p->next)
    if (strcmp(p->path, path) == 0 || p->origin == theirs)
      return p;
  return NULL;
}

/* Two threads may load one file at once, or one file may be loaded by two
   paths: the first keeps its place. */
static plugin *
plugin_publish(const sb_host *host, plugin *p)
{
  plugin *other;

  (void)pthread_mutex_lock(&plugin_lock);
  other = plugin_lookup(p->path, p->origin);
  if (other == NULL) {
    p->next = plugin_loaded;
    plugin_loaded = p;
  }
  (void)pthread_mutex_unlock(&plugin_lock);
  if (other == NULL)
    return p;
  plugin_free(host, p);
  return other;
}

sb_status
plugin_load(const char *path, const plugin **out, sb_error *err)
{
  const sb_host *host = sb_host_default();
  sb_plugin_init_fn *init = NULL;
  const sb_plugin *theirs;
  plugin *p;
  sb_status status;

  *out = NULL;
  (void)pthread_mutex_lock(&plugin_lock);
  p = plugin_lookup(path, NULL);
  (void)pthread_mutex_unlock(&plugin_lock);
  if (p != NULL) {
    *out = p;
    return SB_OK;
  }
  status = plugin_entry(path, &init, err);
  if (status != SB_OK)
    return status;
  theirs = init();
  if (theirs == NULL)
    return plugin_refuse(err, path, SB_PLUGIN_INIT " returned no table");
  status = plugin_make(host, path, theirs, &p, err);
  if (status == SB_OK)
    *out = plugin_publish(host, p);
  return status;
}
