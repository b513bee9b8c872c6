/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins: finding them on the search path, loading them, and the tables that
 * stay for the life of the process.
 */
#ifndef SB_PLUGIN_PLUGIN_H
#define SB_PLUGIN_PLUGIN_H

#include <statebackend/backend.h>
#include <statebackend/plugin.h>

#define PLUGIN_OPTIONS_MAX 1024u
#define PLUGIN_PATH_MAX 4096u

/* A loaded plugin: never freed. */
typedef struct plugin {
  sb_plugin table;              /* our copy; its options are copies too */
  const sb_plugin *origin;      /* the plugin's own table */
  size_t prefix_count;
  char *path;
  struct plugin *next;
} plugin;

/* Finds and loads. `extra` is a list of directories (text of an SB_TYPE_LIST)
   searched after SB_PLUGIN_PATH, or NULL. */
sb_status plugin_find(const char *name, const char *extra, const plugin **out,
                      sb_error *err);

/* Loads the plugin in a file, or gives the one loaded from it before. */
sb_status plugin_load(const char *path, const plugin **out, sb_error *err);

/* Calls fn for each plugin file on the search path, by directory and name. */
typedef int plugin_visit(void *arg, const char *name, const char *path,
                         int shadowed);
int plugin_each(const char *extra, plugin_visit *fn, void *arg);

/* Calls fn with each directory of the search path. */
typedef int plugin_directory_fn(void *arg, const char *directory);
int plugin_directories(const char *extra, plugin_directory_fn *fn, void *arg);

/* NULL, or what keeps a file from being loaded as a shared object here. */
const char *elf_problem(const char *path);

/* Refuses a vtable of another major, that is too small, or that lacks a
   required method. `plugin_name` is for the message. */
sb_status plugin_check_backend(const char *plugin_name,
                               const sb_backend *backend, sb_error *err);
sb_status plugin_check_store(const char *plugin_name, const sb_store *store,
                             sb_error *err);

#endif
