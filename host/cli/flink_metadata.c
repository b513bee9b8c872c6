/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of Flink's _metadata files, see flink_metadata.h. The layout is
 * that of Flink's MetadataV2V3SerializerBase and what extends it: big-endian
 * numbers, strings with a length of 16 bits, and a tag before each handle.
 */
#include "config.h"

#include "host/base/buf.h"
#include "host/cli/flink_metadata.h"

#define FLINK_MAGIC 0x4960672Du
#define FLINK_MASTER_MAGIC 0xC96B1696u
#define FLINK_VERSION_MIN 3u
#define FLINK_VERSION_NAMES 5u    /* operators have names and uids */
#define FLINK_VERSION_CHANNELS 6u /* channel handles have tags */
#define FLINK_VERSION_MAX 6u
#define FLINK_DEPTH_MAX 8

/* Tags of handles. */
#define TAG_NULL 0
#define TAG_BYTES 1
#define TAG_FILE 2
#define TAG_KEY_GROUPS 3
#define TAG_OPERATOR 4
#define TAG_INCREMENTAL 5
#define TAG_RELATIVE 6
#define TAG_SAVEPOINT_KEY_GROUPS 7
#define TAG_CHANGELOG 8
#define TAG_CHANGELOG_BYTES 9
#define TAG_CHANGELOG_FILE 10
#define TAG_INCREMENTAL_V2 11
#define TAG_KEY_GROUPS_V2 12
#define TAG_CHANGELOG_FILE_V2 13
#define TAG_CHANGELOG_V2 14
#define TAG_SEGMENT 15
#define TAG_EMPTY_SEGMENT 16
#define TAG_SEGMENT_OPERATOR 17

typedef struct flink_reader {
  reader in;
  const sb_host *host;
  flink_metadata *m;
  const char *wrong; /* what was wrong first, or NULL: it ended early */
  int no_memory;
  int depth;         /* of handles within handles */
  /* The subtask whose handles are being read. */
  uint64_t operator_id[2];
  uint32_t subtask, max_parallelism;
} flink_reader;

/* ---- numbers ------------------------------------------------------------ */

static void
flink_wrong(flink_reader *r, const char *what)
{
  if (!r->in.bad)
    r->wrong = what;
  r->in.bad = 1;
}

static uint64_t
flink_number(flink_reader *r, size_t len)
{
  sb_slice bytes = reader_bytes(&r->in, len);
  const uint8_t *p = bytes.data;
  uint64_t value = 0;
  size_t i;

  for (i = 0; i < bytes.len && !r->in.bad; i++)
    value = value << 8 | p[i];
  return value;
}

static uint32_t
flink_u32(flink_reader *r)
{
  return (uint32_t)flink_number(r, 4);
}

static uint64_t
flink_u64(flink_reader *r)
{
  return flink_number(r, 8);
}

/* A number of things: not negative. */
static uint32_t
flink_count(flink_reader *r)
{
  uint32_t count = flink_u32(r);

  if (count > INT32_MAX) {
    flink_wrong(r, "a negative count");
    return 0;
  }
  return count;
}

static sb_slice
flink_text(flink_reader *r)
{
  return reader_bytes(&r->in, (size_t)flink_number(r, 2));
}

static void
flink_skip(flink_reader *r, uint64_t len)
{
  if (len > reader_left(&r->in))
    len = SIZE_MAX; /* so that it fails */
  (void)reader_bytes(&r->in, (size_t)len);
}

/* ---- streams ------------------------------------------------------------ */

static void
flink_read_range(flink_reader *r, uint32_t *first, uint32_t *count)
{
  *first = flink_u32(r);
  *count = flink_count(r);
  if (*count > SB_KEY_GROUPS_MAX || *first > SB_KEY_GROUPS_MAX - *count)
    flink_wrong(r, "a range of key groups that cannot be");
}

static void
flink_read_segment(flink_reader *r, flink_stream *out)
{
  out->kind = FLINK_STREAM_SEGMENT;
  out->offset = flink_u64(r);
  out->size = flink_u64(r);
  (void)flink_u32(r); /* its scope */
  out->path = flink_text(r);
  (void)flink_text(r); /* its logical id */
}

static void flink_read_stream(flink_reader *r, flink_stream *out);

/* Offsets of key groups, then the stream they are offsets in. */
static void
flink_read_key_groups(flink_reader *r)
{
  uint32_t first, count;
  flink_stream stream;

  flink_read_range(r, &first, &count);
  flink_skip(r, (uint64_t)count * 8);
  flink_read_stream(r, &stream);
}

static void
flink_read_nested(flink_reader *r, flink_stream *out)
{
  out->kind = FLINK_STREAM_OTHER;
  if (r->depth == FLINK_DEPTH_MAX) {
    flink_wrong(r, "handles nested too deeply");
    return;
  }
  r->depth++;
  flink_read_key_groups(r);
  r->depth--;
}

static void
flink_read_stream(flink_reader *r, flink_stream *out)
{
  memset(out, 0, sizeof *out);
  switch (flink_number(r, 1)) {
  case TAG_NULL:
    break;
  case TAG_BYTES:
    out->kind = FLINK_STREAM_BYTES;
    out->path = flink_text(r);
    out->bytes = reader_bytes(&r->in, flink_count(r));
    out->size = out->bytes.len;
    break;
  case TAG_FILE:
    out->kind = FLINK_STREAM_FILE;
    out->size = flink_u64(r);
    out->path = flink_text(r);
    break;
  case TAG_RELATIVE:
    out->kind = FLINK_STREAM_RELATIVE;
    out->path = flink_text(r);
    out->size = flink_u64(r);
    break;
  case TAG_KEY_GROUPS:
    flink_read_nested(r, out);
    break;
  case TAG_SEGMENT:
    flink_read_segment(r, out);
    break;
  case TAG_EMPTY_SEGMENT:
    out->kind = FLINK_STREAM_OTHER;
    break;
  default:
    flink_wrong(r, "a stream handle of an unknown kind");
  }
}

/* ---- keyed state -------------------------------------------------------- */

/* One more element behind an array of `count`; NULL if there is no memory. */
static void *
flink_grow(flink_reader *r, void **array, size_t *cap, size_t count,
           size_t size)
{
  size_t more = *cap == 0 ? 4 : *cap * 2;
  void *grown;

  if (count < *cap)
    return (char *)*array + count * size;
  grown = mem_realloc(r->host, *array, more * size);
  if (grown == NULL) {
    r->no_memory = 1;
    r->in.bad = 1;
    return NULL;
  }
  *array = grown;
  *cap = more;
  return (char *)grown + count * size;
}

static void
flink_read_files(flink_reader *r, flink_handle *handle)
{
  flink_metadata *m = r->m;
  uint32_t i, count = flink_count(r);
  void *files = m->files;
  flink_stream stream, *slot;

  for (i = 0; i < count && !r->in.bad; i++) {
    (void)flink_text(r); /* its local path */
    flink_read_stream(r, &stream);
    if (r->in.bad || stream.kind == FLINK_STREAM_NONE ||
        stream.kind == FLINK_STREAM_OTHER)
      continue;
    slot = flink_grow(r, &files, &m->file_cap, m->file_count, sizeof *slot);
    if (slot == NULL)
      continue;
    m->files = files;
    *slot = stream;
    m->file_count++;
    handle->file_count++;
  }
}

static void
flink_read_incremental(flink_reader *r, int version)
{
  flink_metadata *m = r->m;
  void *handles = m->handles;
  flink_handle handle, *slot;

  memset(&handle, 0, sizeof handle);
  memcpy(handle.operator_id, r->operator_id, sizeof handle.operator_id);
  handle.subtask = r->subtask;
  handle.max_parallelism = r->max_parallelism;
  handle.checkpoint_id = flink_u64(r);
  (void)flink_text(r); /* the backend's id */
  flink_read_range(r, &handle.key_group_first, &handle.key_group_count);
  if (version == 2)
    (void)flink_u64(r); /* size of what is new */
  flink_read_stream(r, &handle.meta);
  handle.file_first = m->file_count;
  flink_read_files(r, &handle);
  flink_read_files(r, &handle);
  if (version == 2)
    (void)flink_text(r); /* the handle's id */
  if (r->in.bad)
    return;
  slot = flink_grow(r, &handles, &m->handle_cap, m->handle_count,
                    sizeof *slot);
  if (slot == NULL)
    return;
  m->handles = handles;
  *slot = handle;
  m->handle_count++;
}

static void flink_read_keyed(flink_reader *r);

static void
flink_read_keyed_list(flink_reader *r)
{
  uint32_t i, count = flink_count(r);

  for (i = 0; i < count && !r->in.bad; i++)
    flink_read_keyed(r);
}

/* The handle under a changelog is the backend's; the log itself is Flink's. */
static void
flink_read_changelog(flink_reader *r, int version)
{
  uint32_t first, count;

  flink_read_range(r, &first, &count);
  (void)flink_u64(r); /* size of what is new */
  flink_read_keyed_list(r);
  flink_read_keyed_list(r);
  flink_skip(r, version == 2 ? 16 : 8); /* ids */
  (void)flink_text(r);
}

static void
flink_read_changelog_bytes(flink_reader *r)
{
  uint32_t first, range, i, count;

  flink_read_range(r, &first, &range);
  flink_skip(r, 16); /* from, to */
  count = flink_count(r);
  for (i = 0; i < count && !r->in.bad; i++) {
    (void)flink_u32(r); /* key group, or -1 */
    flink_skip(r, flink_count(r));
  }
  (void)flink_text(r);
}

static void
flink_read_changelog_file(flink_reader *r, int version)
{
  uint32_t first, range, i, count;
  flink_stream stream;

  flink_read_range(r, &first, &range);
  count = flink_count(r);
  for (i = 0; i < count && !r->in.bad; i++) {
    (void)flink_u64(r); /* offset */
    flink_read_stream(r, &stream);
  }
  flink_skip(r, 16); /* sizes */
  (void)flink_text(r);
  if (version == 2)
    (void)flink_text(r); /* where the changelog is kept */
}

static void
flink_read_keyed_tag(flink_reader *r, uint64_t tag)
{
  switch (tag) {
  case TAG_KEY_GROUPS:
  case TAG_SAVEPOINT_KEY_GROUPS:
    flink_read_key_groups(r);
    break;
  case TAG_KEY_GROUPS_V2:
    flink_read_key_groups(r);
    (void)flink_text(r); /* the handle's id */
    break;
  case TAG_INCREMENTAL:
  case TAG_INCREMENTAL_V2:
    flink_read_incremental(r, tag == TAG_INCREMENTAL ? 1 : 2);
    break;
  case TAG_CHANGELOG:
  case TAG_CHANGELOG_V2:
    flink_read_changelog(r, tag == TAG_CHANGELOG ? 1 : 2);
    break;
  case TAG_CHANGELOG_BYTES:
    flink_read_changelog_bytes(r);
    break;
  case TAG_CHANGELOG_FILE:
  case TAG_CHANGELOG_FILE_V2:
    flink_read_changelog_file(r, tag == TAG_CHANGELOG_FILE ? 1 : 2);
    break;
  default:
    flink_wrong(r, "a keyed-state handle of an unknown kind");
  }
}

static void
flink_read_keyed(flink_reader *r)
{
  uint64_t tag = flink_number(r, 1);

  if (r->in.bad || tag == TAG_NULL)
    return;
  if (r->depth == FLINK_DEPTH_MAX) {
    flink_wrong(r, "handles nested too deeply");
    return;
  }
  if (tag != TAG_INCREMENTAL && tag != TAG_INCREMENTAL_V2)
    r->m->others++;
  r->depth++;
  flink_read_keyed_tag(r, tag);
  r->depth--;
}

/* ---- operators ---------------------------------------------------------- */

static void
flink_read_operator_state(flink_reader *r)
{
  uint64_t tag;
  uint32_t i, count;
  flink_stream stream;

  if (flink_u32(r) == 0)
    return;
  tag = flink_number(r, 1);
  if (tag == TAG_NULL)
    return;
  if (tag != TAG_OPERATOR && tag != TAG_SEGMENT_OPERATOR) {
    flink_wrong(r, "an operator-state handle of an unknown kind");
    return;
  }
  count = flink_count(r);
  for (i = 0; i < count && !r->in.bad; i++) {
    (void)flink_text(r);       /* the state's name */
    (void)flink_number(r, 1);  /* how it is distributed */
    flink_skip(r, (uint64_t)flink_count(r) * 8);
  }
  if (tag == TAG_SEGMENT_OPERATOR) {
    (void)flink_text(r); /* directories */
    (void)flink_text(r);
    (void)flink_number(r, 1);
  }
  flink_read_stream(r, &stream);
}

/* A handle of what was in flight in one channel, or, merged, in several. */
static void
flink_read_channel(flink_reader *r)
{
  flink_stream stream;
  uint64_t tag = 1;

  if (r->m->version >= FLINK_VERSION_CHANNELS)
    tag = flink_number(r, 1);
  if (tag < 1 || tag > 4) {
    flink_wrong(r, "a channel handle of an unknown kind");
    return;
  }
  (void)flink_u32(r); /* subtask */
  if (tag >= 3) {
    (void)flink_u64(r); /* size */
    flink_read_stream(r, &stream);
    flink_skip(r, flink_count(r));
    return;
  }
  flink_skip(r, 8); /* which channel */
  flink_skip(r, (uint64_t)flink_count(r) * 8);
  (void)flink_u64(r); /* size */
  flink_read_stream(r, &stream);
}

static void
flink_read_channels(flink_reader *r)
{
  uint32_t i, count = flink_count(r);

  for (i = 0; i < count && !r->in.bad; i++)
    flink_read_channel(r);
}

static void
flink_read_subtask(flink_reader *r)
{
  r->subtask = flink_u32(r);
  if (r->subtask > INT32_MAX)
    return; /* it had finished and left nothing */
  flink_read_operator_state(r); /* managed */
  flink_read_operator_state(r); /* raw */
  flink_read_keyed(r);          /* managed */
  flink_read_keyed(r);          /* raw */
  flink_read_channels(r);       /* in */
  flink_read_channels(r);       /* out */
}

static void
flink_read_operator(flink_reader *r)
{
  flink_stream coordinator;
  uint32_t i, count;

  if (r->m->version >= FLINK_VERSION_NAMES) {
    (void)flink_text(r); /* name */
    (void)flink_text(r); /* uid */
  }
  r->operator_id[0] = flink_u64(r);
  r->operator_id[1] = flink_u64(r);
  (void)flink_u32(r); /* parallelism */
  r->max_parallelism = flink_u32(r);
  flink_read_stream(r, &coordinator);
  count = flink_u32(r);
  if (count > INT32_MAX)
    return; /* all had finished */
  for (i = 0; i < count && !r->in.bad; i++)
    flink_read_subtask(r);
}

static void
flink_read_body(flink_reader *r)
{
  uint32_t i, count;

  r->m->checkpoint_id = flink_u64(r);
  if (r->m->checkpoint_id > INT64_MAX)
    flink_wrong(r, "a negative checkpoint id");
  count = flink_count(r);
  for (i = 0; i < count && !r->in.bad; i++) {
    if (flink_u32(r) != FLINK_MASTER_MAGIC)
      flink_wrong(r, "no master state where one should be");
    flink_skip(r, flink_count(r));
  }
  count = flink_count(r);
  for (i = 0; i < count && !r->in.bad; i++)
    flink_read_operator(r);
  /* From version 4 on Java objects follow, of no use here. */
}

/* ---- all of it ---------------------------------------------------------- */

void
flink_metadata_free(const sb_host *host, flink_metadata *m)
{
  if (m == NULL)
    return;
  mem_free(host, m->handles);
  mem_free(host, m->files);
  mem_free(host, m);
}

static sb_status
flink_failure(const flink_reader *r, size_t len, sb_error *err)
{
  size_t at = len - reader_left(&r->in);

  if (r->no_memory)
    return sb_error_set(err, SB_NO_MEMORY, "could not read metadata of Flink: "
                        "no memory");
  if (r->wrong == NULL)
    return sb_error_set(err, SB_CORRUPT, "metadata of Flink ends early, at "
                        "byte %zu of %zu", at, len);
  return sb_error_set(err, SB_CORRUPT, "metadata of Flink is damaged before "
                      "byte %zu of %zu: %s", at, len, r->wrong);
}

sb_status
flink_metadata_decode(const sb_host *host, const void *data, size_t len,
                      flink_metadata **out, sb_error *err)
{
  flink_reader r = { .in = reader_of(data, len), .host = host };
  sb_status status;

  *out = NULL;
  if (flink_u32(&r) != FLINK_MAGIC || r.in.bad)
    return sb_error_set(err, SB_CORRUPT, "this is no metadata of Flink: it "
                        "begins with other bytes");
  r.m = mem_zalloc(host, sizeof *r.m);
  if (r.m == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read metadata of Flink: "
                        "no memory");
  r.m->version = flink_u32(&r);
  if (!r.in.bad && (r.m->version < FLINK_VERSION_MIN ||
                    r.m->version > FLINK_VERSION_MAX))
    status = sb_error_set(err, SB_UNSUPPORTED, "metadata of Flink has version "
                          "%u: %u to %u can be read",
                          (unsigned)r.m->version, FLINK_VERSION_MIN,
                          FLINK_VERSION_MAX);
  else {
    flink_read_body(&r);
    status = r.in.bad ? flink_failure(&r, len, err) : SB_OK;
  }
  if (status == SB_OK)
    *out = r.m;
  else
    flink_metadata_free(host, r.m);
  return status;
}
