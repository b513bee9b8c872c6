/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of _metadata; see metadata.h. */
#include "config.h"

#include "host/base/crc.h"
#include "host/engine/envelope.h"
#include "host/engine/metadata.h"
#include "host/store/store.h"

#define METADATA_MAGIC "SBck"
#define METADATA_VERSION 1u

#define METADATA_PART_LEAST 11u
#define METADATA_REF_LEAST 12u
#define METADATA_NAME_LEAST 3u

#define METADATA_PART_INLINE 0u
#define METADATA_PART_NAMED 1u

/* ---- encoding ----------------------------------------------------------- */

static void
metadata_add_part(const sb_part *part, buf *out)
{
  buf_varint(out, part->subtask);
  envelope_add_str(out, part->operator_id == NULL ? "" : part->operator_id);
  buf_varint(out, part->key_group_first);
  buf_varint(out, part->key_group_last);
  buf_u32(out, part->crc32c);
  if (part->name != NULL) {
    buf_u8(out, METADATA_PART_NAMED);
    envelope_add_str(out, part->name);
    buf_varint(out, part->length);
  } else {
    buf_u8(out, METADATA_PART_INLINE);
    buf_slice(out, part->manifest);
  }
}

static void
metadata_add_ref(const metadata_ref *ref, buf *out)
{
  envelope_add_str(out, ref->name);
  buf_u32(out, ref->crc32c);
  buf_varint(out, ref->length);
  buf_varint(out, ref->id);
  buf_varint(out, ref->generation);
  buf_varint(out, ref->created_ms);
  buf_varint(out, ref->size);
  buf_varint(out, ref->part_count);
}

sb_status
metadata_encode(const metadata *m, buf *out)
{
  size_t i, start = envelope_begin(out, METADATA_MAGIC, METADATA_VERSION);

  buf_u64(out, m->id);
  buf_u64(out, m->generation);
  buf_u64(out, m->created_ms);
  buf_u64(out, m->size);
  buf_u64(out, m->entries_through);
  envelope_add_str(out, m->job_id);
  buf_varint(out, m->part_count);
  for (i = 0; i < m->part_count; i++)
    metadata_add_part(&m->parts[i], out);
  buf_slice(out, m->blob);
  buf_varint(out, m->retained_count);
  for (i = 0; i < m->retained_count; i++)
    metadata_add_ref(&m->retained[i], out);
  buf_varint(out, m->pending_count);
  for (i = 0; i < m->pending_count; i++)
    envelope_add_str(out, m->pending[i]);
  envelope_end(out, start);
  return out->status;
}

/* ---- decoding ----------------------------------------------------------- */

static void *
metadata_array(const sb_host *host, size_t count, size_t size, sb_status *st)
{
  void *p = *st == SB_OK ? mem_zalloc(host, count * size) : NULL;

  if (p == NULL)
    *st = SB_NO_MEMORY;
  return p;
}

static const char *
metadata_name(reader *r)
{
  const char *name = envelope_str(r, SB_OBJECT_NAME_MAX);

  r->bad |= name[0] == '\0';
  return name;
}

static void
metadata_take_part(reader *r, sb_part *part)
{
  uint8_t kind;

  part->struct_size = sizeof *part;
  part->subtask = envelope_u32(r);
  part->operator_id = envelope_str(r, SB_OBJECT_NAME_MAX);
  part->key_group_first = envelope_u32(r);
  part->key_group_last = envelope_u32(r);
  part->crc32c = reader_u32(r);
  kind = reader_u8(r);
  if (kind == METADATA_PART_NAMED) {
    part->name = metadata_name(r);
    part->length = reader_varint(r);
  } else {
    part->manifest = reader_slice(r);
    part->length = part->manifest.len;
  }
  if (kind > METADATA_PART_NAMED || part->length == 0 ||
      part->key_group_first > part->key_group_last ||
      part->key_group_last >= SB_KEY_GROUPS_MAX)
    r->bad = 1;
}

static void
metadata_take_ref(reader *r, metadata_ref *ref)
{
  ref->name = metadata_name(r);
  ref->crc32c = reader_u32(r);
  ref->length = reader_varint(r);
  ref->id = reader_varint(r);
  ref->generation = reader_varint(r);
  ref->created_ms = reader_varint(r);
  ref->size = reader_varint(r);
  ref->part_count = envelope_u32(r);
  r->bad |= ref->id == 0 || ref->length > METADATA_SIZE_MAX;
}

static void
metadata_take_lists(const sb_host *host, reader *r, metadata *m,
                    sb_status *st)
{
  size_t i, count = envelope_count(r, METADATA_REF_LEAST);

  m->retained = metadata_array(host, count, sizeof *m->retained, st);
  m->retained_count = *st == SB_OK ? count : 0;
  for (i = 0; i < m->retained_count; i++)
    metadata_take_ref(r, &m->retained[i]);
  count = envelope_count(r, METADATA_NAME_LEAST);
  m->pending = metadata_array(host, count, sizeof *m->pending, st);
  m->pending_count = *st == SB_OK ? count : 0;
  for (i = 0; i < m->pending_count; i++)
    m->pending[i] = metadata_name(r);
}

static sb_status
metadata_take(const sb_host *host, reader *r, metadata *m)
{
  sb_status st = SB_OK;
  size_t i, count;

  m->id = reader_u64(r);
  m->generation = reader_u64(r);
  m->created_ms = reader_u64(r);
  m->size = reader_u64(r);
  m->entries_through = reader_u64(r);
  m->job_id = envelope_str(r, SB_OBJECT_NAME_MAX);
  count = envelope_count(r, METADATA_PART_LEAST);
  m->parts = metadata_array(host, count, sizeof *m->parts, &st);
  m->part_count = st == SB_OK ? count : 0;
  for (i = 0; i < m->part_count; i++)
    metadata_take_part(r, &m->parts[i]);
  m->blob = reader_slice(r);
  metadata_take_lists(host, r, m, &st);
  if (st != SB_OK)
    return st;
  return r->bad || reader_left(r) != 0 || m->id == 0 || m->generation == 0
           ? SB_CORRUPT : SB_OK;
}

sb_status
metadata_decode(const sb_host *host, const void *data, size_t len,
                metadata **out, sb_error *err)
{
  metadata *m;
  reader body;
  sb_status st;

  *out = NULL;
  st = envelope_open(data, len, METADATA_MAGIC, METADATA_VERSION, "_metadata",
                     &body, err);
  if (st != SB_OK)
    return st;
  m = mem_zalloc(host, sizeof *m);
  st = m == NULL ? SB_NO_MEMORY : metadata_take(host, &body, m);
  if (st == SB_OK) {
    *out = m;
    return SB_OK;
  }
  metadata_free(host, m);
  if (st == SB_NO_MEMORY)
    return sb_error_set(err, st, "no memory for a _metadata of %zu bytes",
                        len);
  return sb_error_set(err, st, "_metadata has impossible contents");
}

void
metadata_free(const sb_host *host, metadata *m)
{
  if (m == NULL)
    return;
  mem_free(host, m->parts);
  mem_free(host, m->retained);
  mem_free(host, m->pending);
  mem_free(host, m->owned);
  mem_free(host, m);
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
metadata_fetch(const sb_host *host, sb_store *store, const char *name,
               uint64_t length, uint32_t crc, void *bytes, sb_error *err)
{
  uint64_t got = 0;
  sb_status st;

  st = store_get(host, store, name, 0, bytes, length, &got, NULL,
                 SB_PRIORITY_COMMIT, err);
  if (st != SB_OK)
    return st;
  if (got != length || crc32c(bytes, (size_t)length) != crc)
    return sb_error_set(err, SB_CORRUPT, "\"%s\" is not what was written",
                        name);
  return SB_OK;
}

sb_status
metadata_read(const sb_host *host, sb_store *store, const char *name,
              uint64_t length, uint32_t crc, metadata **out, sb_error *err)
{
  void *bytes;
  sb_status st;

  *out = NULL;
  if (length > METADATA_SIZE_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "\"%s\" is over %u bytes", name,
                        METADATA_SIZE_MAX);
  bytes = mem_alloc(host, (size_t)length);
  if (bytes == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to read \"%s\"", name);
  st = metadata_fetch(host, store, name, length, crc, bytes, err);
  /* A damaged answer is asked for again once: the object may be whole. */
  if (st == SB_CORRUPT)
    st = metadata_fetch(host, store, name, length, crc, bytes, err);
  if (st == SB_OK)
    st = metadata_decode(host, bytes, (size_t)length, out, err);
  if (st == SB_OK)
    (*out)->owned = bytes;
  else
    mem_free(host, bytes);
  return st;
}
