/* SPDX-License-Identifier: Apache-2.0 */
/* A store to test, without an engine; see store_fixture.h. */
#include "config.h"

#include <CUnit/CUnit.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/store_fixture.h"

#define FIXTURE_HIDDEN ".sb\xc2\xb7"

static void *
fixture_alloc(const sb_host *host, void *old, size_t size)
{
  fixture *f = (fixture *)(uintptr_t)host;
  void *p;

  if (size != 0) {
    long number = atomic_fetch_add(&f->allocations, 1) + 1;

    if (number == atomic_load(&f->allocation_fails))
      return NULL;
  }
  p = sb_host_default()->alloc(sb_host_default(), old, size);
  if (old == NULL && p != NULL)
    atomic_fetch_add(&f->blocks, 1);
  if (old != NULL && size == 0)
    atomic_fetch_sub(&f->blocks, 1);
  return p;
}

/* These keep memory for the whole process: not out of what is counted. */
static void
fixture_metric_add(const sb_host *host, const char *name, int64_t delta)
{
  (void)host;
  sb_host_default()->metric_add(sb_host_default(), name, delta);
}

static sb_status
fixture_timer_start(const sb_host *host, uint64_t delay_ms, sb_task *task,
                    void *arg, uint64_t *id, sb_error *err)
{
  (void)host;
  return sb_host_default()->timer_start(sb_host_default(), delay_ms, task,
                                        arg, id, err);
}

/* What engine_open would do, up to the engine. */
static sb_status
fixture_engine_open(const sb_host *host, sb_store *store,
                    const sb_engine_options *options, const sb_config *config,
                    sb_backend **out, sb_error *err)
{
  fixture *f = (fixture *)(uintptr_t)host;
  const char *list = host->config_string(config, "state.backend.filters");
  char names[256] = "";
  char *comma;

  (void)out;
  f->options = *options;
  f->store = store;
  if (list != NULL)
    (void)snprintf(names, sizeof names, "%s", list);
  while (names[0] != '\0') {
    const sb_plugin *filter;
    sb_store *upper;
    const char *name;
    sb_status status;

    comma = strrchr(names, ',');
    name = comma == NULL ? names : comma + 1;
    status = sb_plugin_find(name, &filter, NULL, err);
    if (status == SB_OK)
      status = filter->filter(host, config, f->store, &upper, err);
    if (status != SB_OK) {
      store_close(f->store);
      f->store = NULL;
      return status;
    }
    f->store = upper;
    names[comma == NULL ? 0 : comma - names] = '\0';
  }
  return store_check(f->store, err);
}

sb_status
fixture_open(fixture *f, const char *plugin, const char *const *settings,
             sb_error *err)
{
  const sb_plugin *table;
  sb_backend *backend;
  sb_status status;

  f->host = *sb_host_default();
  f->host.alloc = fixture_alloc;
  f->host.metric_add = fixture_metric_add;
  f->host.timer_start = fixture_timer_start;
  f->host.engine_open = fixture_engine_open;
  atomic_store(&f->allocation_fails, 0);
  atomic_store(&f->blocks, 0);
  f->store = NULL;
  status = sb_config_new(&f->config, err);
  if (status == SB_OK)
    status = sb_config_set(f->config, "state.backend", plugin, NULL, err);
  for (; status == SB_OK && settings != NULL && settings[0] != NULL;
       settings += 2)
    status = sb_config_set(f->config, settings[0], settings[1], NULL, err);
  if (status == SB_OK)
    status = sb_config_check(f->config, err);
  if (status == SB_OK)
    status = sb_plugin_find(plugin, &table, NULL, err);
  if (status == SB_OK)
    status = table->open(&f->host, f->config, &backend, err);
  return status;
}

sb_status
fixture_open_local(fixture *f, const char *const *settings, sb_error *err)
{
  const char *all[32] = { "state.backend.local.dir", f->dir };
  const char *base = getenv("TMPDIR");
  size_t i;

  if (f->dir[0] == '\0') {
    (void)snprintf(f->dir, sizeof f->dir, "%s/sb-local.XXXXXX",
                   base == NULL ? "/tmp" : base);
    if (mkdtemp(f->dir) == NULL)
      return sb_error_set(err, SB_IO, "no temporary directory");
  }
  for (i = 0; settings != NULL && settings[i] != NULL && i < 28; i++)
    all[i + 2] = settings[i];
  return fixture_open(f, "local", all, err);
}

void
fixture_settle(fixture *f, long blocks)
{
  int tries;

  for (tries = 0; tries < 2000 && atomic_load(&f->blocks) > blocks; tries++)
    (void)usleep(1000);
  CU_ASSERT_TRUE(atomic_load(&f->blocks) <= blocks);
}

void
fixture_close(fixture *f)
{
  store_close(f->store);
  fixture_settle(f, 0);
  sb_config_free(f->config);
  f->store = NULL;
  f->config = NULL;
}

static int
fixture_unlink(const char *path, const struct stat *st, int type,
               struct FTW *ftw)
{
  (void)st;
  (void)type;
  (void)ftw;
  return remove(path);
}

void
fixture_remove(fixture *f)
{
  fixture_close(f);
  if (f->dir[0] != '\0')
    (void)nftw(f->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
  f->dir[0] = '\0';
}

sb_status
fixture_put(fixture *f, const char *name, const char *text, uint32_t flags,
            const char *etag, store_meta *meta, sb_error *err)
{
  return store_put(&f->host, f->store, name, text, strlen(text), flags, etag,
                   NULL, 0, meta, 0, err);
}

int
fixture_has(fixture *f, const char *name, const char *text)
{
  void *data;
  uint64_t len;
  sb_error error;
  int same;

  if (store_get_all(&f->host, f->store, name, 1 << 20, &data, &len, NULL, 0,
                    &error) != SB_OK)
    return 0;
  same = len == strlen(text) && memcmp(data, text, len) == 0;
  (void)f->host.alloc(&f->host, data, 0);
  return same;
}

sb_status
fixture_remove_object(fixture *f, const char *name, sb_error *err)
{
  return store_remove(&f->host, f->store, &name, 1, NULL, err);
}

unsigned
fixture_leftovers(const fixture *f)
{
  char path[512];
  struct dirent *entry;
  unsigned count = 0;
  DIR *dir;

  (void)snprintf(path, sizeof path, "%s/" FIXTURE_HIDDEN, f->dir);
  dir = opendir(path);
  while (dir != NULL && (entry = readdir(dir)) != NULL)
    count += entry->d_name[0] != '.'
             && strncmp(entry->d_name, "lock-", 5) != 0;
  if (dir != NULL)
    closedir(dir);
  return count;
}
