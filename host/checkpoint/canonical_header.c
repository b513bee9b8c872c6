/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the header of a canonical savepoint: Flink's KeyedBackend-
 * SerializationProxy, with serializer snapshots made for byte strings where
 * the caller has none of its own.
 */
#include "config.h"

#include <stdio.h>

#include "host/checkpoint/canonical_names.h"

/* A simple serializer, or the head of one that has others inside. */
static void
header_snapshot(buf *b, const char *name)
{
  java_text(b, name);
  java_int(b, SNAPSHOT_VERSION);
}

static void
header_composite(buf *b, const char *name, uint32_t version, uint32_t count)
{
  header_snapshot(b, name);
  java_int(b, SNAPSHOT_OUTER_MAGIC);
  java_int(b, version);
  java_int(b, SNAPSHOT_INNER_MAGIC);
  java_int(b, SNAPSHOT_INNER_VERSION);
  java_int(b, count);
}

/* What one value, element or map value is. */
static void
header_value(buf *b, const canonical_state *s)
{
  if (s->info.flags & SB_CANONICAL_TIMED) {
    header_composite(b, SNAPSHOT_TTL, SNAPSHOT_TTL_VERSION, 2);
    header_snapshot(b, SNAPSHOT_LONG);
  }
  header_snapshot(b, SNAPSHOT_BYTES);
}

static void
header_serializers(buf *b, const canonical_state *s)
{
  int timer = s->info.kind == SB_STATE_TIMER;

  java_int(b, timer ? 1 : 2);
  if (!timer) {
    java_text(b, "NAMESPACE_SERIALIZER");
    java_int(b, SNAPSHOT_PROXY_VERSION);
    header_snapshot(b, s->info.flags & SB_CANONICAL_VOID_NAMESPACE ?
                         SNAPSHOT_VOID : SNAPSHOT_BYTES);
  }
  java_text(b, "VALUE_SERIALIZER");
  java_int(b, SNAPSHOT_PROXY_VERSION);
  if (s->info.kind == SB_STATE_LIST)
    header_composite(b, SNAPSHOT_LIST, SNAPSHOT_LIST_VERSION, 1);
  if (s->info.kind == SB_STATE_MAP) {
    header_composite(b, SNAPSHOT_MAP, SNAPSHOT_MAP_VERSION, 2);
    header_snapshot(b, SNAPSHOT_BYTES);
  }
  header_value(b, s);
}

static const char *
header_kind(uint32_t kind)
{
  switch (kind) {
  case SB_STATE_LIST: return "LIST";
  case SB_STATE_MAP: return "MAP";
  case SB_STATE_REDUCING: return "REDUCING";
  case SB_STATE_AGGREGATING: return "AGGREGATING";
  default: return "VALUE";
  }
}

static uint32_t
header_number(buf *b, const char *name, uint64_t value, uint32_t always)
{
  char text[24];

  if (value == 0 && !always)
    return 0;
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  java_text(b, name);
  java_text(b, text);
  return 1;
}

static uint32_t
header_blob(buf *b, sb_slice blob)
{
  static const char digits[] = "0123456789abcdef";
  const uint8_t *p = blob.data;
  size_t i;

  if (blob.len == 0 || blob.len > OPTION_BLOB_MAX)
    return 0;
  java_text(b, OPTION_BLOB);
  java_short(b, (uint32_t)blob.len * 2);
  for (i = 0; i < blob.len; i++) {
    buf_u8(b, (uint8_t)digits[p[i] >> 4]);
    buf_u8(b, (uint8_t)digits[p[i] & 15]);
  }
  return 1;
}

/* Flink's own option, and ours: Flink passes over those it does not know. */
static void
header_options(buf *b, const canonical_state *s)
{
  size_t start = b->len;
  uint32_t count = 0;

  java_int(b, 0);
  if (s->info.kind != SB_STATE_TIMER) {
    java_text(b, "KEYED_STATE_TYPE");
    java_text(b, header_kind(s->info.kind));
    count++;
  }
  count += header_number(b, OPTION_FLAGS,
                         s->info.flags & SB_CANONICAL_NULLABLE, 0);
  count += header_number(b, OPTION_TIME, s->info.time_kind,
                         s->info.flags & SB_CANONICAL_TIMED);
  count += header_number(b, OPTION_OFFSET, s->info.time_offset, 0);
  count += header_number(b, OPTION_STATE, s->info.state_flags, 0);
  count += header_number(b, OPTION_TTL, s->info.ttl_ms, 0);
  count += header_number(b, OPTION_VERSION, s->info.schema_version, 0);
  count += header_blob(b, s->info.blob);
  if (b->status == SB_OK)
    b->data[start + 3] = (uint8_t)count;
}

static sb_status
header_state(buf *b, const canonical_state *s, sb_error *err)
{
  sb_status status;

  if (s->info.encoding == SB_CANONICAL_VERBATIM) {
    if (s->info.meta.len == 0)
      return sb_error_set(err, SB_INVALID, "cannot write state \"%.*s\" "
                          "verbatim: its serializer snapshots are not given",
                          (int)s->info.name.len,
                          (const char *)s->info.name.data);
    buf_add(b, s->info.meta.data, s->info.meta.len);
    return SB_OK;
  }
  status = java_utf(b, s->info.name);
  if (status == SB_INVALID || status == SB_TOO_LARGE)
    return sb_error_set(err, status, "cannot write state \"%.*s\": its name "
                        "is not UTF-8", (int)s->info.name.len,
                        (const char *)s->info.name.data);
  java_int(b, s->info.kind == SB_STATE_TIMER ? META_QUEUE : META_KEYED);
  header_options(b, s);
  header_serializers(b, s);
  return SB_OK;
}

static sb_status
header_key(buf *b, const sb_canonical_options *options, sb_error *err)
{
  if (options->encoding == SB_CANONICAL_VERBATIM) {
    if (options->key_serializer.len == 0)
      return sb_error_set(err, SB_INVALID, "cannot write keys verbatim: the "
                          "snapshot of their serializer is not given");
    buf_add(b, options->key_serializer.data, options->key_serializer.len);
    return SB_OK;
  }
  java_int(b, SNAPSHOT_PROXY_VERSION);
  header_snapshot(b, SNAPSHOT_BYTES);
  return SB_OK;
}

sb_status
canonical_header_write(const canonical_states *states,
                       const sb_canonical_options *options, buf *out,
                       sb_error *err)
{
  sb_status status;
  uint32_t i;

  if (options->header.len != 0) {
    buf_add(out, options->header.data, options->header.len);
  } else {
    java_int(out, HEADER_VERSION);
    buf_u8(out, (options->flags & SB_CANONICAL_COMPRESS) != 0);
    status = header_key(out, options, err);
    java_short(out, states->count);
    for (i = 0; i < states->count && status == SB_OK; i++)
      status = header_state(out, &states->list[i], err);
    if (status != SB_OK)
      return status;
  }
  if (out->status != SB_OK)
    return sb_error_set(err, out->status, "could not write the header of a "
                        "canonical savepoint: out of memory");
  return SB_OK;
}
