/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the s3 and minio plugins open: the store is opened and checked, then
 * handed to the host's engine with what the configuration says of it.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/s3.h"

typedef struct backend_reader {
  const sb_host *host;
  const sb_config *config;
  const char *prefix;
} backend_reader;

static const char *
backend_string(const backend_reader *reader, const char *name)
{
  char key[128];

  (void)snprintf(key, sizeof key, "%s%s", reader->prefix, name);
  return reader->host->config_string(reader->config, key);
}

static int64_t
backend_int(const backend_reader *reader, const char *name)
{
  char key[128];

  (void)snprintf(key, sizeof key, "%s%s", reader->prefix, name);
  return reader->host->config_int(reader->config, key);
}

sb_status
s3_backend_open(const sb_host *host, const sb_config *config,
                const char *prefix, const char *scheme, sb_backend **out,
                sb_error *err)
{
  backend_reader reader = { host, config, prefix };
  sb_engine_options options = { .struct_size = sizeof options };
  const char *layout = backend_string(&reader, "layout");
  s3_store *store = NULL;
  sb_status status;

  *out = NULL;
  options.base_path = backend_string(&reader, "base-path");
  options.state_prefix = backend_string(&reader, "state-prefix");
  options.checkpoint_prefix = backend_string(&reader, "checkpoint-prefix");
  options.savepoint_prefix = backend_string(&reader, "savepoint-prefix");
  options.extension = backend_string(&reader, "state-file-extension");
  options.compression = backend_int(&reader, "state-file-compression") != 0;
  options.layout = layout != NULL && strcmp(layout, "entries") == 0;
  status = s3_store_open(host, config, prefix, scheme, &store, err);
  if (status != SB_OK)
    return status;
  options.part_size = store->settings->part_size;
  status = s3_check(store, err);
  if (status != SB_OK) {
    s3_store_close(&store->base);
    return status;
  }
  return host->engine_open(host, &store->base, &options, config, out, err);
}
