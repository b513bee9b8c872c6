/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of manifests; see manifest.h and
   docs/FORMAT-manifest.md. */
#include "config.h"

#include "host/base/crc.h"
#include "host/base/slice.h"
#include "host/engine/envelope.h"
#include "host/engine/manifest.h"
#include "host/engine/times.h"
#include "host/store/store.h"

#define MANIFEST_MAGIC "SBmf"
#define MANIFEST_VERSION 2u
#define MANIFEST_VERSION_OLD 1u /* is still read */

/* Fewest bytes of an entry of any version, which bound the counts. */
#define MANIFEST_STATE_LEAST 6u
#define MANIFEST_SEGMENT_LEAST 44u
#define MANIFEST_NAME_LEAST 3u

/* A word's bits below the key group, which stands apart. */
#define MANIFEST_WORD_MAX ((1ull << 48) - 1)

/* What manifest_decode makes: strings and slices point into `data`. */
typedef struct manifest_decoded {
  manifest m; /* first: manifest_free gets a pointer to it */
  uint16_t version;
  const char **roots;
  size_t root_count;
  uint8_t *data;
} manifest_decoded;

static int
manifest_segment_valid(const manifest *m, const manifest_segment *s)
{
  const segment_info *info = &s->info;

  return s->name[0] != '\0' && s->owner <= MANIFEST_OWNER_HOST &&
         s->key_group_first <= s->key_group_last &&
         s->key_group_last < m->key_group_count &&
         info->key_group_first <= info->key_group_last &&
         info->key_group_last < m->key_group_count &&
         info->key_group_count == m->key_group_count &&
         info->word_first <= info->word_last &&
         info->word_first >> 48 == info->key_group_first &&
         info->word_last >> 48 == info->key_group_last &&
         info->epoch_min <= info->epoch_max && info->tail_len <= info->size &&
         info->tail_offset == info->size - info->tail_len &&
         info->directory_offset >= info->tail_offset &&
         info->directory_offset <= info->size &&
         info->directory_len <= info->size - info->directory_offset &&
         times_valid(s->times);
}

static int
manifest_valid(const manifest *m)
{
  size_t i;

  if (m->key_group_count == 0 || m->key_group_count > SB_KEY_GROUPS_MAX ||
      m->key_group_first > m->key_group_last ||
      m->key_group_last >= m->key_group_count ||
      m->state_count > SB_STATES_MAX)
    return 0;
  for (i = 0; i < m->state_count; i++)
    if (m->states[i].name.len == 0 ||
        m->states[i].name.len > SB_STATE_NAME_MAX)
      return 0;
  for (i = 0; i < m->segment_count; i++)
    if (!manifest_segment_valid(m, &m->segments[i]))
      return 0;
  return 1;
}

/* ---- encoding ----------------------------------------------------------- */

static void
manifest_add_states(const manifest *m, buf *out)
{
  size_t i;

  buf_varint(out, m->state_count);
  for (i = 0; i < m->state_count; i++) {
    const manifest_state *s = &m->states[i];

    buf_slice(out, s->name);
    buf_varint(out, s->id);
    buf_varint(out, s->kind);
    buf_varint(out, s->flags);
    buf_varint(out, s->schema_version);
    buf_slice(out, s->blob);
    buf_varint(out, s->time_kind);
    buf_varint(out, s->time_offset);
    buf_varint(out, s->ttl_ms);
  }
}

/* The distinct foreign roots of the segments; 0 is this store, 1 the first. */
typedef struct manifest_roots {
  const char **names;
  size_t count;
} manifest_roots;

static size_t
manifest_root_number(const manifest_roots *roots, const char *root)
{
  size_t i;

  if (root == NULL)
    return 0;
  for (i = 0; i < roots->count; i++)
    if (strcmp(roots->names[i], root) == 0)
      break;
  return i + 1;
}

static sb_status
manifest_roots_collect(const sb_host *host, const manifest *m,
                       manifest_roots *roots)
{
  size_t i;

  roots->count = 0;
  roots->names = mem_alloc(host, m->segment_count * sizeof *roots->names);
  if (roots->names == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < m->segment_count; i++)
    if (manifest_root_number(roots, m->segments[i].root) > roots->count)
      roots->names[roots->count++] = m->segments[i].root;
  return SB_OK;
}

static void
manifest_add_info(const segment_info *info, buf *out)
{
  buf_add(out, info->id.bytes, sizeof info->id.bytes);
  buf_u32(out, info->crc32c);
  buf_varint(out, info->size);
  buf_varint(out, info->tail_len);
  buf_varint(out, info->directory_offset - info->tail_offset);
  buf_varint(out, info->directory_len);
  buf_varint(out, info->key_group_first);
  buf_varint(out, info->key_group_last);
  buf_varint(out, info->word_first & MANIFEST_WORD_MAX);
  buf_varint(out, info->word_last & MANIFEST_WORD_MAX);
  buf_varint(out, info->epoch_min);
  buf_varint(out, info->epoch_max);
  buf_varint(out, info->generation);
  buf_varint(out, info->records);
  buf_varint(out, info->tombstones);
  buf_varint(out, info->raw_bytes);
  buf_varint(out, info->expires_min);
  buf_varint(out, info->expires_max + 1); /* never: 0, one byte */
  buf_varint(out, info->blocks);
  buf_varint(out, info->partitions);
}

static void
manifest_add_segments(const manifest *m, const manifest_roots *roots, buf *out)
{
  size_t i;

  buf_varint(out, m->segment_count);
  for (i = 0; i < m->segment_count; i++) {
    const manifest_segment *s = &m->segments[i];

    envelope_add_str(out, s->name);
    buf_varint(out, manifest_root_number(roots, s->root));
    buf_varint(out, s->owner);
    buf_varint(out, s->key_group_first);
    buf_varint(out, s->key_group_last);
    buf_varint(out, s->sequence);
    manifest_add_info(&s->info, out);
    buf_slice(out, s->times);
  }
}

static void
manifest_add_names(const char *const *names, size_t count, buf *out)
{
  size_t i;

  buf_varint(out, count);
  for (i = 0; i < count; i++)
    envelope_add_str(out, names[i]);
}

sb_status
manifest_encode(const sb_host *host, const manifest *m, buf *out)
{
  manifest_roots roots;
  size_t start;

  if (!manifest_valid(m))
    return SB_INVALID;
  if (manifest_roots_collect(host, m, &roots) != SB_OK)
    return SB_NO_MEMORY;
  start = envelope_begin(out, MANIFEST_MAGIC, MANIFEST_VERSION);
  buf_u64(out, m->generation);
  buf_u64(out, m->checkpoint_id);
  buf_u64(out, m->epoch);
  buf_u64(out, m->next_sequence);
  buf_u64(out, m->list_sequence);
  buf_u32(out, m->key_group_count);
  buf_u32(out, m->key_group_first);
  buf_u32(out, m->key_group_last);
  buf_u32(out, m->subtask);
  envelope_add_str(out, m->operator_id == NULL ? "" : m->operator_id);
  manifest_add_states(m, out);
  manifest_add_names(roots.names, roots.count, out);
  manifest_add_segments(m, &roots, out);
  manifest_add_names(m->held, m->held_count, out);
  manifest_add_names(m->dropped, m->dropped_count, out);
  envelope_end(out, start);
  mem_free(host, roots.names);
  return out->status;
}

/* ---- decoding ----------------------------------------------------------- */

static void *
manifest_array(const sb_host *host, size_t count, size_t size, sb_status *st)
{
  void *p = *st == SB_OK ? mem_zalloc(host, count * size) : NULL;

  if (p == NULL)
    *st = SB_NO_MEMORY;
  return p;
}

static void
manifest_take_states(const sb_host *host, reader *r, manifest_decoded *d,
                     sb_status *st)
{
  size_t i, count = envelope_count(r, MANIFEST_STATE_LEAST);
  manifest *m = &d->m;

  m->states = manifest_array(host, count, sizeof *m->states, st);
  if (*st != SB_OK)
    return;
  m->state_count = count;
  for (i = 0; i < count; i++) {
    manifest_state *s = &m->states[i];

    s->name = reader_slice(r);
    s->id = envelope_u32(r);
    s->kind = envelope_u32(r);
    s->flags = envelope_u32(r);
    s->schema_version = envelope_u32(r);
    s->blob = reader_slice(r);
    if (d->version == MANIFEST_VERSION_OLD)
      continue;
    s->time_kind = envelope_u32(r);
    s->time_offset = envelope_u32(r);
    s->ttl_ms = reader_varint(r);
  }
}

static const char **
manifest_take_names(const sb_host *host, reader *r, size_t *count,
                    sb_status *st)
{
  size_t i, n = envelope_count(r, MANIFEST_NAME_LEAST);
  const char **names = manifest_array(host, n, sizeof *names, st);

  if (names == NULL)
    return NULL;
  for (i = 0; i < n; i++) {
    names[i] = envelope_str(r, SB_OBJECT_NAME_MAX);
    r->bad |= names[i][0] == '\0';
  }
  *count = n;
  return names;
}

static uint16_t
manifest_u16(reader *r)
{
  uint64_t v = reader_varint(r);

  if (v > UINT16_MAX)
    r->bad = 1;
  return r->bad ? 0 : (uint16_t)v;
}

static uint64_t
manifest_word(reader *r, uint16_t key_group)
{
  uint64_t v = reader_varint(r);

  if (v > MANIFEST_WORD_MAX)
    r->bad = 1;
  return r->bad ? 0 : (uint64_t)key_group << 48 | v;
}

static void
manifest_take_info(reader *r, segment_info *info)
{
  sb_slice id = reader_bytes(r, sizeof info->id.bytes);
  uint64_t directory;

  if (!r->bad)
    memcpy(info->id.bytes, id.data, sizeof info->id.bytes);
  info->crc32c = reader_u32(r);
  info->size = reader_varint(r);
  info->tail_len = envelope_u32(r);
  info->tail_offset = info->size - info->tail_len;
  directory = envelope_u32(r);
  info->directory_offset = info->tail_offset + directory;
  info->directory_len = envelope_u32(r);
  info->key_group_first = manifest_u16(r);
  info->key_group_last = manifest_u16(r);
  info->word_first = manifest_word(r, info->key_group_first);
  info->word_last = manifest_word(r, info->key_group_last);
  info->epoch_min = reader_varint(r);
  info->epoch_max = reader_varint(r);
  info->generation = reader_varint(r);
  info->records = reader_varint(r);
  info->tombstones = reader_varint(r);
  info->raw_bytes = reader_varint(r);
  info->expires_min = reader_varint(r);
  info->expires_max = reader_varint(r) - 1;
  info->blocks = envelope_u32(r);
  info->partitions = envelope_u32(r);
}

static void
manifest_take_segments(const sb_host *host, reader *r, manifest_decoded *d,
                       sb_status *st)
{
  size_t i, count = envelope_count(r, MANIFEST_SEGMENT_LEAST);

  d->m.segments = manifest_array(host, count, sizeof *d->m.segments, st);
  if (*st != SB_OK)
    return;
  d->m.segment_count = count;
  for (i = 0; i < count; i++) {
    manifest_segment *s = &d->m.segments[i];
    uint64_t root;

    s->name = envelope_str(r, SB_OBJECT_NAME_MAX);
    root = reader_varint(r);
    r->bad |= root > d->root_count;
    if (!r->bad && root != 0)
      s->root = d->roots[root - 1];
    s->owner = envelope_u32(r);
    s->key_group_first = manifest_u16(r);
    s->key_group_last = manifest_u16(r);
    s->sequence = reader_varint(r);
    manifest_take_info(r, &s->info);
    s->info.key_group_count = d->m.key_group_count;
    if (d->version != MANIFEST_VERSION_OLD)
      s->times = reader_slice(r);
  }
}

static sb_status
manifest_take(const sb_host *host, reader *r, manifest_decoded *d)
{
  manifest *m = &d->m;
  sb_status st = SB_OK;

  m->generation = reader_u64(r);
  m->checkpoint_id = reader_u64(r);
  m->epoch = reader_u64(r);
  m->next_sequence = reader_u64(r);
  m->list_sequence = reader_u64(r);
  m->key_group_count = reader_u32(r);
  m->key_group_first = reader_u32(r);
  m->key_group_last = reader_u32(r);
  m->subtask = reader_u32(r);
  m->operator_id = envelope_str(r, SB_OBJECT_NAME_MAX);
  manifest_take_states(host, r, d, &st);
  d->roots = manifest_take_names(host, r, &d->root_count, &st);
  manifest_take_segments(host, r, d, &st);
  m->held = manifest_take_names(host, r, &m->held_count, &st);
  m->dropped = manifest_take_names(host, r, &m->dropped_count, &st);
  if (st != SB_OK)
    return st;
  return r->bad || reader_left(r) != 0 || !manifest_valid(m) ? SB_CORRUPT
                                                             : SB_OK;
}

sb_status
manifest_decode(const sb_host *host, const void *data, size_t len,
                manifest **out, sb_error *err)
{
  uint16_t version = MANIFEST_VERSION;
  manifest_decoded *d;
  reader body;
  sb_status st;

  *out = NULL;
  if (len > MANIFEST_SIZE_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "manifest has %zu bytes, over %u",
                        len, MANIFEST_SIZE_MAX);
  if (len >= ENVELOPE_LEN &&
      load_u16((const uint8_t *)data + 4) == MANIFEST_VERSION_OLD)
    version = MANIFEST_VERSION_OLD;
  st = envelope_open(data, len, MANIFEST_MAGIC, version, "manifest", &body,
                     err);
  if (st != SB_OK)
    return st;
  d = mem_zalloc(host, sizeof *d);
  if (d != NULL) {
    d->version = version;
    d->data = mem_dup(host, body.p, reader_left(&body));
  }
  if (d == NULL || d->data == NULL) {
    st = SB_NO_MEMORY;
  } else {
    body = reader_of(d->data, reader_left(&body));
    st = manifest_take(host, &body, d);
  }
  if (st == SB_OK) {
    *out = &d->m;
    return SB_OK;
  }
  manifest_free(host, d == NULL ? NULL : &d->m);
  if (st == SB_NO_MEMORY)
    return sb_error_set(err, st, "no memory for a manifest of %zu bytes", len);
  return sb_error_set(err, st, "manifest has impossible contents");
}

void
manifest_free(const sb_host *host, manifest *m)
{
  manifest_decoded *d = (manifest_decoded *)m;

  if (m == NULL)
    return;
  mem_free(host, m->states);
  mem_free(host, m->segments);
  mem_free(host, m->held);
  mem_free(host, m->dropped);
  mem_free(host, d->roots);
  mem_free(host, d->data);
  mem_free(host, d);
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
manifest_fetch(const sb_host *host, sb_store *store, const sb_part *part,
               void **owned, sb_error *err)
{
  uint64_t got = 0;
  sb_status st;

  if (part->length > MANIFEST_SIZE_MAX)
    return sb_error_set(err, SB_TOO_LARGE,
                        "manifest \"%s\" has %llu bytes, over %u", part->name,
                        (unsigned long long)part->length, MANIFEST_SIZE_MAX);
  *owned = mem_alloc(host, (size_t)part->length + 1);
  if (*owned == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to read \"%s\"",
                        part->name);
  /* One byte more is asked for, so that a longer object shows. */
  st = store_get(host, store, part->name, 0, *owned, part->length + 1, &got,
                 NULL, SB_PRIORITY_COMMIT, err);
  if (st == SB_OK && got != part->length)
    st = sb_error_set(err, SB_CORRUPT,
                      "manifest \"%s\" is not of its %llu bytes", part->name,
                      (unsigned long long)part->length);
  if (st == SB_OK)
    return SB_OK;
  mem_free(host, *owned);
  *owned = NULL;
  return st;
}

sb_status
manifest_bytes(const sb_host *host, sb_store *store, const sb_part *part,
               sb_slice *bytes, void **owned, sb_error *err)
{
  int tries;

  *owned = NULL;
  *bytes = part->manifest;
  if (slice_bad(part->manifest))
    return slice_refuse(part->manifest, "the manifest of a part", err);
  if (part->manifest.len == 0 && part->name == NULL)
    return sb_error_set(err, SB_INVALID,
                        "part of subtask %u has no manifest", part->subtask);
  /* A damaged answer is asked for again once: the object may be whole. */
  for (tries = 0; tries < 2; tries++) {
    if (part->manifest.len == 0) {
      sb_status st = manifest_fetch(host, store, part, owned, err);

      if (st != SB_OK)
        return st;
      *bytes = sb_slice_of(*owned, (size_t)part->length);
    }
    if (bytes->len == part->length &&
        crc32c(bytes->data, bytes->len) == part->crc32c)
      return SB_OK;
    mem_free(host, *owned);
    *owned = NULL;
  }
  return sb_error_set(err, SB_CORRUPT,
                      "manifest of subtask %u%s%s is not what was written",
                      part->subtask, part->name == NULL ? "" : ", ",
                      part->name == NULL ? "" : part->name);
}

sb_status
manifest_read(const sb_host *host, sb_store *store, const sb_part *part,
              manifest **out, sb_error *err)
{
  void *owned;
  sb_slice bytes;
  sb_status st;

  *out = NULL;
  st = manifest_bytes(host, store, part, &bytes, &owned, err);
  if (st == SB_OK)
    st = manifest_decode(host, bytes.data, bytes.len, out, err);
  mem_free(host, owned);
  return st;
}
