/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the store, and its table of methods. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/net.h"

sb_status
s3_name_check(const char *name, sb_error *err)
{
  size_t len = name == NULL ? 0 : strnlen(name, SB_OBJECT_NAME_MAX + 1);
  const char *part = name;
  size_t i;

  if (len == 0 || len > SB_OBJECT_NAME_MAX)
    return sb_fail(err, SB_INVALID, "object name \"%.100s\" is %s",
                   name == NULL ? "" : name,
                   len == 0 ? "empty" : "longer than 1,024 bytes");
  for (i = 0; i <= len; i++) {
    size_t part_len = (size_t)(name + i - part);

    if (name[i] != '/' && name[i] != '\0') {
      if (name[i] < ' ' || name[i] > '~')
        return sb_fail(err, SB_INVALID,
                       "object name has a character that is no printable "
                       "ASCII, at %zu", i);
      continue;
    }
    if (part_len == 0 || (part_len == 1 && part[0] == '.')
        || (part_len == 2 && part[0] == '.' && part[1] == '.'))
      return sb_fail(err, SB_INVALID,
                     "object name \"%.300s\" has an empty, \".\" or \"..\" "
                     "part", name);
    part = name + i + 1;
  }
  return SB_OK;
}

static const sb_store_info *
store_info(sb_store *base)
{
  return &((s3_store *)base)->info;
}

static void
store_cancel(sb_store *base, uint64_t id)
{
  s3_op_cancel((s3_store *)base, id);
}

static void
store_free(s3_store *store)
{
  const sb_host *host = store->host;

  /* First, so that nobody reports credentials to a thread that is gone. */
  if (store->provider != NULL)
    s3_provider_stop(store->provider);
  s3_net_close(store->net);
  s3_provider_close(store->provider);
  s3_metrics_free(store->metrics);
  s3_settings_close(store->settings);
  if (store->idle != NULL)
    host->event_free(host, store->idle);
  pthread_mutex_destroy(&store->lock);
  s3_free(host, store->root_text);
  s3_free(host, store);
}

void
s3_store_close(sb_store *base)
{
  s3_store *store = (s3_store *)base;

  s3_op_drain(store);
  store_free(store);
}

static const sb_store_ops s3_store_ops = {
  .struct_size = sizeof s3_store_ops,
  .abi_version = SB_ABI_VERSION,
  .info = store_info,
  .get = s3_get,
  .put = s3_put,
  .put_open = s3_stream_open,
  .put_write = s3_stream_write,
  .put_commit = s3_stream_commit,
  .put_abort = s3_stream_abort,
  .head = s3_head,
  .list = s3_list,
  .remove = s3_remove,
  .copy = s3_copy,
  .cancel = store_cancel,
  .close = s3_store_close,
  .sweep = s3_sweep,
  .describe = s3_describe,
};

/* ---- opening ----------------------------------------------------------------- */

static int
store_set_root(s3_store *store)
{
  s3_buf text = s3_buf_of(store->host);

  s3_buf_printf(&text, "%s://", store->settings->scheme);
  if (store->settings->endpoint != NULL)
    s3_buf_printf(&text, "%s/", store->endpoint.host);
  s3_buf_text(&text, store->settings->bucket);
  if (text.failed) {
    s3_buf_free(&text);
    return 0;
  }
  store->root_text = text.data;
  return 1;
}

static void
store_set_info(s3_store *store)
{
  store->info.struct_size = sizeof store->info;
  store->info.flags = SB_STORE_CREATE | SB_STORE_COPY | SB_STORE_COPY_FOREIGN;
  if (store->settings->conditional != S3_CONDITIONAL_CREATE)
    store->info.flags |= SB_STORE_MATCH;
  store->info.root = store->root_text;
  store->info.object_size_max = S3_OBJECT_MAX;
  store->info.part_size = store->settings->part_size;
}

static void
store_credentials_came(void *arg, uint64_t obtained_ms, uint64_t expires_ms,
                       int failed)
{
  s3_metrics_credentials(arg, obtained_ms, expires_ms, failed);
}

static sb_status
store_fill(s3_store *store, const sb_config *config, const char *prefix,
           const char *scheme, sb_error *err)
{
  const sb_host *host = store->host;
  sb_status status = s3_settings_open(host, config, prefix, scheme,
                                      &store->settings, err);

  if (status == SB_OK)
    status = s3_endpoint_make(store->settings, store->settings->region,
                              store->settings->bucket, &store->endpoint, err);
  if (status == SB_OK)
    status = s3_provider_open(store->settings, &store->provider, err);
  if (status != SB_OK)
    return status;
  store->crc32c = 1;
  store->bulk_delete = 1;
  store->metrics = s3_metrics_new(store->settings);
  store->idle = host->event_new(host);
  if (store->metrics == NULL || store->idle == NULL || !store_set_root(store))
    return sb_fail(err, SB_NO_MEMORY,
                   "could not open bucket \"%s\": out of memory",
                   store->settings->bucket);
  store_set_info(store);
  s3_provider_watch(store->provider, store_credentials_came, store->metrics);
  store->net = s3_net_open(store, err);
  return store->net == NULL ? SB_NO_MEMORY : SB_OK;
}

sb_status
s3_store_open(const sb_host *host, const sb_config *config,
              const char *prefix, const char *scheme, s3_store **out,
              sb_error *err)
{
  s3_store *store = s3_alloc(host, sizeof *store);
  sb_status status;

  *out = NULL;
  if (store == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not open a bucket: out of memory");
  store->base.ops = &s3_store_ops;
  store->host = host;
  pthread_mutex_init(&store->lock, NULL);
  status = store_fill(store, config, prefix, scheme, err);
  if (status != SB_OK)
    store_free(store);
  else
    *out = store;
  return status;
}
