/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor of a canonical stream, which stands where other parts of a
 * savepoint have their manifest: the object's name, length and checksums,
 * where key groups begin, and how states are encoded.
 */
#include "config.h"

#include "host/checkpoint/canonical.h"
#include "host/checkpoint/canonical_part.h"
#include "host/engine/envelope.h"

#define PART_MAGIC "SBcn"
#define PART_VERSION 1u

/* ---- encoding ---------------------------------------------------------- */

static void
part_add_state(buf *b, const sb_canonical_state *s, const sb_canonical_info *i)
{
  buf_slice(b, s->name);
  buf_varint(b, s->kind);
  buf_varint(b, s->encoding);
  buf_varint(b, s->flags);
  buf_varint(b, s->namespace_length);
  buf_varint(b, s->element_length);
  buf_varint(b, i->time_kind);
  buf_varint(b, i->time_offset);
  buf_varint(b, i->state_flags);
  buf_varint(b, i->schema_version);
  buf_varint(b, i->ttl_ms);
  buf_slice(b, i->blob);
}

/* Key groups with something: how far each is from the one before, its offset
   behind the one before, its checksum. */
static void
part_add_groups(buf *b, const canonical_part *p)
{
  uint32_t count = p->key_group_last - p->key_group_first + 1, i, last = 0;
  uint64_t at = 0;

  for (i = 0; i < count; i++) {
    if (p->offsets[i] == 0)
      continue;
    buf_varint(b, i - last + 1);
    buf_varint(b, p->offsets[i] - at);
    buf_u32(b, p->checksums[i]);
    last = i;
    at = p->offsets[i];
  }
  buf_varint(b, 0);
}

void
canonical_part_encode(const canonical_part *p, buf *out)
{
  size_t start = envelope_begin(out, PART_MAGIC, PART_VERSION);
  uint64_t i;

  envelope_add_str(out, p->name);
  buf_varint(out, p->length);
  buf_u32(out, p->crc32c);
  buf_varint(out, p->key_group_count);
  buf_varint(out, p->key_group_first);
  buf_varint(out, p->key_group_last);
  buf_varint(out, p->header_length);
  buf_varint(out, p->options.flags);
  buf_varint(out, p->options.encoding);
  buf_varint(out, p->options.key_length);
  buf_varint(out, p->options.state_count);
  for (i = 0; i < p->options.state_count; i++)
    part_add_state(out, &p->options.states[i], &p->infos[i]);
  part_add_groups(out, p);
  envelope_end(out, start);
}

/* ---- decoding ---------------------------------------------------------- */

int
canonical_is_descriptor(sb_slice manifest)
{
  return manifest.len >= 4 && manifest.data != NULL &&
         memcmp(manifest.data, PART_MAGIC, 4) == 0;
}

int
sb_canonical_is_part(const sb_part *part)
{
  return part != NULL &&
         (canonical_is_descriptor(part->manifest) ||
          (part->name != NULL && canonical_is_name(part->name)));
}

static void
part_read_state(reader *r, sb_canonical_state *s, sb_canonical_info *i)
{
  s->struct_size = sizeof *s;
  s->name = reader_slice(r);
  s->kind = envelope_u32(r);
  s->encoding = envelope_u32(r);
  s->flags = envelope_u32(r);
  s->namespace_length = envelope_u32(r);
  s->element_length = envelope_u32(r);
  i->struct_size = sizeof *i;
  i->kind = s->kind;
  i->encoding = s->encoding;
  i->flags = s->flags;
  i->name = s->name;
  i->time_kind = envelope_u32(r);
  i->time_offset = envelope_u32(r);
  i->state_flags = envelope_u32(r);
  i->schema_version = envelope_u32(r);
  i->ttl_ms = reader_varint(r);
  i->blob = reader_slice(r);
  if (s->kind == 0 || s->name.len > SB_STATE_NAME_MAX ||
      (s->encoding != SB_CANONICAL_BYTES &&
       s->encoding != SB_CANONICAL_VERBATIM))
    r->bad = 1;
}

static void
part_read_groups(reader *r, canonical_part *p)
{
  uint32_t count = p->key_group_last - p->key_group_first + 1;
  uint64_t at = 0, step;
  uint32_t i = 0;

  while (!r->bad && (step = envelope_u32(r)) != 0) {
    uint64_t next = (uint64_t)i + step - 1;
    uint64_t more = reader_varint(r);

    if (next >= count || more == 0 || more > p->length - at ||
        at + more < p->header_length || p->offsets[next] != 0) {
      r->bad = 1;
      return;
    }
    i = (uint32_t)next;
    at += more;
    p->offsets[i] = at;
    p->checksums[i] = reader_u32(r);
  }
}

static sb_status
part_read_lists(const sb_host *host, reader *r, canonical_part *p)
{
  uint32_t groups = p->key_group_last - p->key_group_first + 1;
  size_t count = envelope_count(r, 12), i;
  sb_canonical_state *states;

  if (r->bad)
    return SB_OK;
  states = p->memory[1] = mem_zalloc(host, count * sizeof *states);
  p->infos = p->memory[2] = mem_zalloc(host, count * sizeof *p->infos);
  p->offsets = p->memory[3] = mem_zalloc(host, groups * sizeof *p->offsets);
  p->checksums = p->memory[4] = mem_zalloc(host,
                                           groups * sizeof *p->checksums);
  if (states == NULL || p->infos == NULL || p->offsets == NULL ||
      p->checksums == NULL)
    return SB_NO_MEMORY;
  p->options.states = states;
  p->options.state_count = count;
  for (i = 0; i < count && !r->bad; i++) {
    part_read_state(r, &states[i], &p->infos[i]);
    p->infos[i].id = (uint32_t)i;
  }
  part_read_groups(r, p);
  return SB_OK;
}

static sb_status
part_read_body(const sb_host *host, reader *r, canonical_part *p)
{
  p->name = envelope_str(r, SB_OBJECT_NAME_MAX);
  p->length = reader_varint(r);
  p->crc32c = reader_u32(r);
  p->key_group_count = envelope_u32(r);
  p->key_group_first = envelope_u32(r);
  p->key_group_last = envelope_u32(r);
  p->header_length = reader_varint(r);
  p->options.struct_size = sizeof p->options;
  p->options.flags = envelope_u32(r);
  p->options.encoding = envelope_u32(r);
  p->options.key_length = envelope_u32(r);
  if (p->key_group_count == 0 || p->key_group_count > SB_KEY_GROUPS_MAX ||
      p->key_group_first > p->key_group_last ||
      p->key_group_last >= p->key_group_count || p->name[0] == '\0' ||
      p->header_length == 0 || p->header_length > p->length ||
      p->length > INT64_MAX)
    r->bad = 1;
  return r->bad ? SB_OK : part_read_lists(host, r, p);
}

sb_status
canonical_part_decode(const sb_host *host, sb_slice manifest,
                      canonical_part **out, sb_error *err)
{
  canonical_part *p;
  sb_status status;
  uint8_t *copy;
  reader r;

  *out = NULL;
  p = mem_zalloc(host, sizeof *p);
  copy = p == NULL ? NULL : mem_dup(host, manifest.data, manifest.len);
  if (copy == NULL) {
    mem_free(host, p);
    return sb_error_set(err, SB_NO_MEMORY, "could not read the descriptor of "
                        "a canonical savepoint: out of memory");
  }
  p->memory[0] = copy;
  status = envelope_open(copy, manifest.len, PART_MAGIC, PART_VERSION,
                         "descriptor of a canonical savepoint", &r, err);
  if (status == SB_OK) {
    status = part_read_body(host, &r, p);
    if (status != SB_OK)
      sb_error_set(err, status, "could not read the descriptor of a canonical "
                   "savepoint: out of memory");
    else if (r.bad || reader_left(&r) != 0)
      status = sb_error_set(err, SB_CORRUPT, "the descriptor of a canonical "
                            "savepoint is damaged");
  }
  if (status != SB_OK) {
    canonical_part_free(host, p);
    return status;
  }
  *out = p;
  return SB_OK;
}

void
canonical_part_free(const sb_host *host, canonical_part *part)
{
  size_t i;

  if (part == NULL)
    return;
  for (i = 0; i < sizeof part->memory / sizeof part->memory[0]; i++)
    mem_free(host, part->memory[i]);
  mem_free(host, part);
}

sb_status
canonical_part_move(const sb_host *host, sb_slice manifest,
                    const char *directory, buf *out, sb_error *err)
{
  canonical_part *p;
  sb_status status = canonical_part_decode(host, manifest, &p, err);
  const char *slash;
  buf name;

  if (status != SB_OK)
    return status;
  buf_init(&name, host, 2 * SB_OBJECT_NAME_MAX);
  slash = strrchr(p->name, '/');
  if (directory[0] != '\0') {
    buf_add(&name, directory, strlen(directory));
    buf_u8(&name, '/');
  }
  buf_add(&name, slash == NULL ? p->name : slash + 1,
          strlen(slash == NULL ? p->name : slash + 1) + 1);
  status = name.status;
  if (status == SB_OK && name.len > SB_OBJECT_NAME_MAX + 1)
    status = SB_TOO_LARGE;
  if (status == SB_OK) {
    p->name = (const char *)name.data;
    canonical_part_encode(p, out);
    status = out->status;
  }
  buf_dispose(&name);
  canonical_part_free(host, p);
  return status == SB_OK ? SB_OK :
         sb_error_set(err, status, "could not name the object of a canonical "
                      "savepoint in \"%s\"", directory);
}
