/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search path of plugins: SB_PLUGIN_PATH, then the configured directories,
 * then the one compiled in. The first file of a name wins.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/options.h"
#include "host/plugin/plugin.h"

#ifndef SB_PLUGINDIR
#ifdef PLUGINDIR
#define SB_PLUGINDIR PLUGINDIR
#else
#define SB_PLUGINDIR "/usr/lib/statebackend/1/plugins"
#endif
#endif

/* ---- directories -------------------------------------------------------- */

typedef struct search_directories {
  plugin_directory_fn *fn;
  void *arg;
  int stop;
} search_directories;

static sb_status
search_directory(void *arg, const char *data, size_t len)
{
  search_directories *d = arg;
  char path[PLUGIN_PATH_MAX];

  if (len == 0 || len >= sizeof path)
    return SB_OK;
  memcpy(path, data, len);
  path[len] = '\0';
  d->stop = d->fn(d->arg, path);
  return d->stop == 0 ? SB_OK : SB_END;
}

int
plugin_directories(const char *extra, plugin_directory_fn *fn, void *arg)
{
  search_directories d = { fn, arg, 0 };
  const char *path = secure_getenv("SB_PLUGIN_PATH");

  while (path != NULL && d.stop == 0) {
    size_t n = strcspn(path, ":");

    (void)search_directory(&d, path, n);
    path = path[n] == '\0' ? NULL : path + n + 1;
  }
  if (extra != NULL && d.stop == 0)
    (void)option_list_each(extra, search_directory, &d);
  return d.stop != 0 ? d.stop : fn(arg, SB_PLUGINDIR);
}

/* ---- every plugin file -------------------------------------------------- */

/* Names seen so far, in one growing text: "/local/s3/". */
typedef struct search_each {
  const sb_host *host;
  plugin_visit *fn;
  void *arg;
  char *seen;
  size_t seen_len;
} search_each;

static int
search_is_plugin(const struct dirent *entry)
{
  size_t len = strlen(entry->d_name);

  return len > 6 && len - 6 <= SB_PLUGIN_NAME_MAX &&
         strncmp(entry->d_name, "sb-", 3) == 0 &&
         strcmp(entry->d_name + len - 3, ".so") == 0;
}

static int
search_order(const struct dirent **a, const struct dirent **b)
{
  return strcmp((*a)->d_name, (*b)->d_name);
}

/* 1 if the name was seen before; else it is now. Without memory it counts as
   new, which costs no more than a missing mark. */
static int
search_see(search_each *each, const char *name)
{
  char mark[SB_PLUGIN_NAME_MAX + 3];
  int len = snprintf(mark, sizeof mark, "/%s/", name);
  char *seen;

  if (each->seen != NULL && strstr(each->seen, mark) != NULL)
    return 1;
  seen = mem_realloc(each->host, each->seen,
                     each->seen_len + (size_t)len + 1);
  if (seen == NULL)
    return 0;
  memcpy(seen + each->seen_len, mark, (size_t)len + 1);
  each->seen = seen;
  each->seen_len += (size_t)len;
  return 0;
}

static int
search_each_in(void *arg, const char *directory)
{
  search_each *each = arg;
  struct dirent **entries = NULL;
  int count = scandir(directory, &entries, search_is_plugin, search_order);
  int stop = 0;
  int i;

  for (i = 0; i < count; i++) {
    char path[PLUGIN_PATH_MAX];
    char name[SB_PLUGIN_NAME_MAX + 1];
    size_t len = strlen(entries[i]->d_name) - 6;
    int n = snprintf(path, sizeof path, "%s/%s", directory,
                     entries[i]->d_name);

    memcpy(name, entries[i]->d_name + 3, len);
    name[len] = '\0';
    if (stop == 0 && n > 0 && (size_t)n < sizeof path)
      stop = each->fn(each->arg, name, path, search_see(each, name));
    free(entries[i]);
  }
  free(entries);
  return stop;
}

int
plugin_each(const char *extra, plugin_visit *fn, void *arg)
{
  search_each each = { sb_host_default(), fn, arg, NULL, 0 };
  int stop = plugin_directories(extra, search_each_in, &each);

  mem_free(each.host, each.seen);
  return stop;
}

int
sb_plugin_each(sb_plugin_visit *fn, void *arg)
{
  return fn == NULL ? 0 : plugin_each(NULL, fn, arg);
}

/* ---- one plugin by name ------------------------------------------------- */

typedef struct search_name {
  const char *name;
  char path[PLUGIN_PATH_MAX];
} search_name;

static int
search_find_in(void *arg, const char *directory)
{
  search_name *s = arg;
  struct stat st;
  int n = snprintf(s->path, sizeof s->path, "%s/sb-%s.so", directory, s->name);

  return n > 0 && (size_t)n < sizeof s->path && stat(s->path, &st) == 0;
}

/* What is told when there is none: bounded, so that the names that matter most
   come before the lists. */
typedef struct search_report {
  const char *name;
  char found[160];
  char directories[200];
  char nearest[SB_PLUGIN_NAME_MAX + 1];
  size_t distance;
} search_report;

static void
search_append(char *list, size_t size, const char *text)
{
  size_t len = strlen(list);
  const char *comma = len == 0 ? "" : ", ";

  if (len + strlen(comma) + strlen(text) + sizeof ", ..." <= size)
    (void)snprintf(list + len, size - len, "%s%s", comma, text);
  else if (len != 0 && len + sizeof ", ..." <= size && list[len - 1] != '.')
    (void)snprintf(list + len, size - len, ", ...");
}

static int
search_report_name(void *arg, const char *name, const char *path, int shadowed)
{
  search_report *r = arg;
  size_t distance = option_distance(name, r->name, r->distance);

  (void)path;
  if (shadowed)
    return 0;
  search_append(r->found, sizeof r->found, name);
  if (distance < r->distance) {
    r->distance = distance;
    (void)snprintf(r->nearest, sizeof r->nearest, "%s", name);
  }
  return 0;
}

static int
search_report_directory(void *arg, const char *directory)
{
  search_report *r = arg;

  search_append(r->directories, sizeof r->directories, directory);
  return 0;
}

static sb_status
search_not_found(const char *name, const char *extra, sb_error *err)
{
  search_report r = { .name = name };
  char hint[SB_PLUGIN_NAME_MAX + 32] = "";

  r.distance = option_distance_limit(name);
  (void)plugin_each(extra, search_report_name, &r);
  (void)plugin_directories(extra, search_report_directory, &r);
  if (r.nearest[0] != '\0')
    (void)snprintf(hint, sizeof hint, "; did you mean \"%s\"?", r.nearest);
  return sb_error_set(err, SB_NOT_FOUND,
                      "there is no plugin \"%.63s\"%s; found: %s; searched: "
                      "%s", name, hint, r.found[0] == '\0' ? "none" : r.found,
                      r.directories);
}

static int
search_name_valid(const char *name)
{
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

  return len != 0 && name[len] == '\0' && len <= SB_PLUGIN_NAME_MAX;
}

sb_status
plugin_find(const char *name, const char *extra, const plugin **out,
            sb_error *err)
{
  search_name s = { .name = name };

  *out = NULL;
  if (name == NULL || name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "no plugin is named");
  if (strchr(name, '/') != NULL)
    return plugin_load(name, out, err);
  if (search_name_valid(name) &&
      plugin_directories(extra, search_find_in, &s) != 0)
    return plugin_load(s.path, out, err);
  return search_not_found(name, extra, err);
}

sb_status
sb_plugin_find(const char *name, const sb_plugin **out, const char **path,
               sb_error *err)
{
  const plugin *p;
  sb_status status;

  if (out == NULL)
    return sb_error_set(err, SB_INVALID, "no place for the plugin");
  *out = NULL;
  if (path != NULL)
    *path = NULL;
  status = plugin_find(name, NULL, &p, err);
  if (status != SB_OK)
    return status;
  *out = &p->table;
  if (path != NULL)
    *path = p->path;
  return SB_OK;
}
