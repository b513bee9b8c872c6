/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe: what the store knows of itself and its server. What changes while
 * it runs belongs to the network thread, so a snapshot is taken there.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plugins/s3/call.h"

typedef struct describe_snapshot {
  s3_endpoint endpoint;
  int64_t clock_offset_ms;
  uint64_t held_bytes;
  int crc32c, bulk_delete;
  sb_event *taken;
} describe_snapshot;

typedef struct describe_op {
  s3_op op;
  describe_snapshot *snapshot;
} describe_op;

static void
describe_start(s3_op *op)
{
  const s3_store *store = op->store;
  describe_snapshot *snapshot = ((describe_op *)op)->snapshot;

  snapshot->endpoint = store->endpoint;
  snapshot->clock_offset_ms = store->clock_offset_ms;
  snapshot->held_bytes = store->held_bytes;
  snapshot->crc32c = store->crc32c;
  snapshot->bulk_delete = store->bulk_delete;
  s3_op_end(op, SB_OK);
}

static void
describe_done(void *arg, const sb_store_result *result)
{
  const describe_op *describe = arg;

  (void)result;
  describe->op.store->host->event_set(describe->op.store->host,
                                      describe->snapshot->taken);
}

static sb_status
describe_take(s3_store *store, describe_snapshot *snapshot, sb_error *err)
{
  const sb_host *host = store->host;
  describe_op *describe = (describe_op *)
    s3_op_new(store, sizeof *describe, 0, NULL, describe_start);
  sb_status status;

  if (describe == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not describe the store: out of memory");
  describe->snapshot = snapshot;
  describe->op.done = describe_done;
  describe->op.arg = describe;
  status = s3_op_submit(&describe->op, NULL, err);
  if (status == SB_OK)
    (void)host->event_wait(host, snapshot->taken, SB_NO_DEADLINE);
  return status;
}

static const char *
describe_flag(uint32_t flags, uint32_t flag)
{
  return (flags & flag) != 0 ? "yes" : "no";
}

static const char *
describe_sse(s3_sse sse)
{
  switch (sse) {
  case S3_SSE_S3:
    return "sse-s3";
  case S3_SSE_KMS:
    return "sse-kms";
  case S3_SSE_DSSE:
    return "dsse-kms";
  case S3_SSE_CUSTOMER:
    return "sse-c";
  default:
    return "none";
  }
}

static void
describe_number(sb_describe_fn *fn, void *arg, const char *key, int64_t value)
{
  char text[32];

  (void)snprintf(text, sizeof text, "%" PRId64, value);
  fn(arg, key, text);
}

static void
describe_server(const s3_store *store, const describe_snapshot *snapshot,
                sb_describe_fn *fn, void *arg)
{
  const s3_endpoint *endpoint = &snapshot->endpoint;

  fn(arg, "root", store->root_text);
  fn(arg, "bucket", store->settings->bucket);
  fn(arg, "region", endpoint->region);
  fn(arg, "endpoint", endpoint->url);
  fn(arg, "path-style", endpoint->path[0] != '\0' ? "yes" : "no");
  fn(arg, "tls", !endpoint->tls ? "no"
                 : store->settings->tls_verify ? "verified" : "not verified");
  fn(arg, "http-version", store->settings->http2 ? "2" : "1.1");
  describe_number(fn, arg, "clock-offset-ms", snapshot->clock_offset_ms);
  fn(arg, "create-only-puts", describe_flag(store->info.flags,
                                            SB_STORE_CREATE));
  fn(arg, "match-puts", describe_flag(store->info.flags, SB_STORE_MATCH));
  fn(arg, "crc32c", snapshot->crc32c ? "yes" : "no");
  fn(arg, "bulk-delete", snapshot->bulk_delete ? "yes" : "no");
}

sb_status
s3_describe(sb_store *base, sb_describe_fn *fn, void *arg, sb_error *err)
{
  s3_store *store = (s3_store *)base;
  const s3_settings *settings = store->settings;
  describe_snapshot snapshot = { .taken = NULL };
  sb_status status;

  snapshot.taken = store->host->event_new(store->host);
  if (snapshot.taken == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not describe the store: out of memory");
  status = describe_take(store, &snapshot, err);
  store->host->event_free(store->host, snapshot.taken);
  if (status != SB_OK)
    return status;
  describe_server(store, &snapshot, fn, arg);
  fn(arg, "encryption", describe_sse(settings->sse));
  fn(arg, "storage-class", settings->storage_class == NULL
                             ? "default" : settings->storage_class);
  fn(arg, "credentials", s3_provider_name(store->provider));
  describe_number(fn, arg, "max-connections", settings->connections_max);
  describe_number(fn, arg, "part-size", (int64_t)settings->part_size);
  describe_number(fn, arg, "multipart-threshold",
                  (int64_t)settings->multipart_threshold);
  describe_number(fn, arg, "upload-parallelism", settings->upload_parallelism);
  describe_number(fn, arg, "upload-memory", (int64_t)settings->upload_memory);
  describe_number(fn, arg, "upload-memory-used",
                  (int64_t)snapshot.held_bytes);
  return SB_OK;
}
