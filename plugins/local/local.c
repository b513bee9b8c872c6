/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local plugin: objects as files under a directory. This file has the
 * options and opens the directory.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define LOCAL_KEY "state.backend.local."

static const sb_option local_options[] = {
  { LOCAL_KEY "dir", SB_TYPE_STRING, SB_OPTION_REQUIRED, NULL, 0, 0, NULL,
    "Directory that holds all objects; made if it is missing." },
  { LOCAL_KEY "base-path", SB_TYPE_STRING, 0, "", 0, 0, NULL,
    "Path under the directory that goes before all object names." },
  { LOCAL_KEY "state-prefix", SB_TYPE_STRING, 0, "state", 0, 0, NULL,
    "Path part under which state files are." },
  { LOCAL_KEY "checkpoint-prefix", SB_TYPE_STRING, 0, "checkpoints", 0, 0,
    NULL, "Path part under which checkpoints are." },
  { LOCAL_KEY "savepoint-prefix", SB_TYPE_STRING, 0, "savepoints", 0, 0, NULL,
    "Path part under which savepoints are." },
  { LOCAL_KEY "state-file-extension", SB_TYPE_STRING, 0, ".state", 0, 0, NULL,
    "End of the names of state files." },
  { LOCAL_KEY "state-file-compression", SB_TYPE_BOOL, 0, "true", 0, 0, NULL,
    "Compress state files with Snappy." },
  { LOCAL_KEY "state-file-part-size", SB_TYPE_SIZE, 0, "8mb", 1 << 20,
    INT64_C(5) << 30, NULL, "Bytes written at a time to a large state file." },
  { LOCAL_KEY "layout", SB_TYPE_ENUM, 0, "segments", 0, 0,
    "segments|entries",
    "Whether each key is also kept as an object of its own." },
  { LOCAL_KEY "sync", SB_TYPE_BOOL, 0, "true", 0, 0, NULL,
    "Wait until objects are on the disk; without it a power cut can lose "
    "completed checkpoints." },
};

static const char *const local_prefixes[] = { LOCAL_KEY, NULL };

/* ---- opening and closing ------------------------------------------------ */

/* mkdir -p; the directory itself may exist. */
static int
local_make_dirs(const char *dir)
{
  char path[PATH_MAX];
  char *p;

  if (strlen(dir) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(path, dir);
  for (p = path + 1; *p != '\0'; p++) {
    if (*p != '/')
      continue;
    *p = '\0';
    (void)mkdir(path, 0777);
    *p = '/';
  }
  return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

static int
local_open_root(local_store *store, const char *dir)
{
  char real[PATH_MAX];
  size_t len;

  store->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (store->root < 0 && errno == ENOENT && local_make_dirs(dir) == 0)
    store->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (store->root < 0 || realpath(dir, real) == NULL)
    return -1;
  len = strlen(real) + 1;
  store->root_text = local_alloc(store, sizeof "local:" + len);
  if (store->root_text == NULL) {
    errno = ENOMEM;
    return -1;
  }
  memcpy(store->root_text, "local:", 6);
  memcpy(store->root_text + 6, real, len);
  store->dir = store->root_text + 6;
  return 0;
}

/* Finds out what this kernel and file system can do. */
static void
local_detect(local_store *store)
{
  char value[1];
  int fd;

  store->beneath = 1;
  fd = local_open_path(store, ".", O_RDONLY | O_DIRECTORY);
  store->beneath = fd >= 0;
  if (fd >= 0)
    close(fd);
  atomic_store(&store->unnamed, access("/proc/self/fd", X_OK) == 0);
  store->sidecars = fgetxattr(store->root, LOCAL_META_XATTR, value, 0) < 0
                    && errno == EOPNOTSUPP;
}

static sb_status
local_store_open(const sb_host *host, const char *dir, int sync,
                 uint64_t part_size, local_store **out, sb_error *err)
{
  local_store *store = host->alloc(host, NULL, sizeof *store);
  char buf[128];

  if (store == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  memset(store, 0, sizeof *store);
  store->base.ops = &local_store_ops;
  store->host = host;
  store->root = -1;
  store->sync = sync;
  pthread_mutex_init(&store->lock, NULL);
  store->idle = host->event_new(host);
  if (store->idle == NULL || local_open_root(store, dir) != 0) {
    int number = store->idle == NULL ? ENOMEM : errno;
    sb_status status = number == ENOMEM ? SB_NO_MEMORY
                       : number == EACCES || number == EROFS ? SB_DENIED
                       : number == ENOTDIR || number == ELOOP ? SB_INVALID
                       : number == ENOSPC ? SB_NO_SPACE
                       : SB_IO;

    sb_fail(err, status, "could not open directory \"%.300s\": %s", dir,
            strerror_r(number, buf, sizeof buf));
    if (err != NULL)
      err->system = number;
    local_store_free(store);
    return status;
  }
  store->info.struct_size = sizeof store->info;
  store->info.flags = SB_STORE_CREATE | SB_STORE_MATCH | SB_STORE_COPY
                      | SB_STORE_COPY_FOREIGN;
  store->info.root = store->root_text;
  store->info.object_size_max = (uint64_t)INT64_MAX;
  store->info.part_size = part_size;
  local_detect(store);
  local_temp_sweep(store);
  *out = store;
  return SB_OK;
}

static sb_status
local_open(const sb_host *host, const sb_config *config, sb_backend **out,
           sb_error *err)
{
  sb_engine_options options = { .struct_size = sizeof options };
  const char *layout = host->config_string(config, LOCAL_KEY "layout");
  const char *dir = host->config_string(config, LOCAL_KEY "dir");
  local_store *store = NULL;
  sb_status status;

  *out = NULL;
  if (dir == NULL || dir[0] == '\0')
    return sb_fail(err, SB_CONFIG, LOCAL_KEY "dir is not set");
  options.base_path = host->config_string(config, LOCAL_KEY "base-path");
  options.state_prefix = host->config_string(config, LOCAL_KEY "state-prefix");
  options.checkpoint_prefix =
    host->config_string(config, LOCAL_KEY "checkpoint-prefix");
  options.savepoint_prefix =
    host->config_string(config, LOCAL_KEY "savepoint-prefix");
  options.extension =
    host->config_string(config, LOCAL_KEY "state-file-extension");
  options.compression =
    host->config_int(config, LOCAL_KEY "state-file-compression") != 0;
  options.part_size =
    (uint64_t)host->config_int(config, LOCAL_KEY "state-file-part-size");
  options.layout = layout != NULL && strcmp(layout, "entries") == 0;
  status = local_store_open(host, dir,
                            host->config_int(config, LOCAL_KEY "sync") != 0,
                            options.part_size, &store, err);
  if (status != SB_OK)
    return status;
  return host->engine_open(host, &store->base, &options, config, out, err);
}

static const sb_plugin local_plugin = {
  .struct_size = sizeof local_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "local",
  .version = PACKAGE_VERSION,
  .description = "objects as files under a directory",
  .kind = SB_KIND_BACKEND,
  .option_size = sizeof(sb_option),
  .options = local_options,
  .option_count = sizeof local_options / sizeof local_options[0],
  .prefixes = local_prefixes,
  .open = local_open,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &local_plugin;
}
