/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a canonical savepoint row by row. The bytes may be anybody's: every
 * length is checked against what is there, and memory grows only with bytes
 * that have been read.
 */
#include "config.h"

#include "host/checkpoint/canonical_read.h"

#define READ_HEADER_FIRST 65536u
#define READ_HEADER_MAX (64u << 20)
#define READ_STEP 65536u /* a value's memory grows by at most this at once */

static void
read_free(sb_canonical_reader *r)
{
  canonical_states_dispose(&r->states);
  canonical_in_dispose(&r->in);
  buf_dispose(&r->key);
  buf_dispose(&r->value);
  buf_dispose(&r->scratch);
  mem_free(r->host, r->offsets);
  mem_free(r->host, r);
}

void
sb_canonical_reader_close(sb_canonical_reader *r)
{
  if (r != NULL)
    read_free(r);
}

sb_status
canonical_read_no_memory(sb_error *err)
{
  return sb_error_set(err, SB_NO_MEMORY,
                      "could not read a canonical savepoint: out of memory");
}

static sb_status
canonical_read_nothing(sb_error *err)
{
  return sb_error_set(err, SB_INVALID, "cannot read a canonical savepoint: no "
                      "reader, or no place for the result");
}

/* ---- header ------------------------------------------------------------ */

/* More and more of the stream until the header is whole. */
static sb_status
read_header_parse(sb_canonical_reader *r, canonical_header *header,
                  sb_error *err)
{
  uint64_t length = r->options.length;
  size_t want = READ_HEADER_FIRST;
  sb_status status;

  for (;;) {
    size_t len = want < length ? want : (size_t)length;
    uint8_t *to;

    buf_clear(&r->value);
    to = buf_extend(&r->value, len);
    if (to == NULL)
      return canonical_read_no_memory(err);
    canonical_in_seek(&r->in, 0);
    status = canonical_in_read(&r->in, to, len, err);
    if (status == SB_OK)
      status = canonical_header_parse(r->host, sb_slice_of(to, len), header,
                                      err);
    if (status != SB_END)
      return status;
    canonical_states_dispose(&header->states);
    if (len == length || want >= READ_HEADER_MAX)
      return canonical_in_corrupt(&r->in, err, "its header ends too early");
    want *= 4;
  }
}

static const sb_canonical_state *
read_find(const sb_canonical_options *o, sb_slice name)
{
  uint64_t i;

  for (i = 0; i < o->state_count; i++)
    if (o->states[i].name.len == name.len &&
        (name.len == 0 || memcmp(o->states[i].name.data, name.data,
                                 name.len) == 0))
      return &o->states[i];
  return NULL;
}

/* What the caller knows better than the stream. */
static void
read_override(canonical_state *s, const sb_canonical_options *o)
{
  const sb_canonical_state *given = read_find(o, s->info.name);

  if (given == NULL)
    return;
  if (given->encoding == SB_CANONICAL_VERBATIM) {
    s->info.encoding = SB_CANONICAL_VERBATIM;
    s->info.flags &= ~SB_CANONICAL_TIMED;
  }
  s->info.flags |= given->flags & SB_CANONICAL_NULLABLE;
  if (given->namespace_length != 0)
    s->namespace_length = given->namespace_length;
  if (given->element_length != 0)
    s->element_length = given->element_length;
}

static sb_status
read_header(sb_canonical_reader *r, const sb_canonical_options *o,
            sb_error *err)
{
  canonical_header header;
  sb_status status;
  uint32_t i;

  memset(&header, 0, sizeof header);
  status = read_header_parse(r, &header, err);
  r->states = header.states;
  if (status != SB_OK)
    return status;
  r->in.compressed = header.compressed != 0;
  r->key_encoding = header.key_encoding;
  r->key_length = header.key_length;
  r->header_length = header.length;
  for (i = 0; i < r->states.count; i++)
    read_override(&r->states.list[i], o);
  return SB_OK;
}

static sb_status
read_given_state(sb_canonical_reader *r, const sb_canonical_options *o,
                 const sb_canonical_state *given, sb_error *err)
{
  canonical_state s;

  memset(&s, 0, sizeof s);
  s.info.kind = given->kind;
  s.info.id = r->states.count;
  s.info.encoding = given->encoding != 0 ? given->encoding : o->encoding;
  if (s.info.encoding == 0)
    s.info.encoding = SB_CANONICAL_BYTES;
  s.info.flags = given->flags;
  s.info.name = given->name;
  s.namespace_length = given->namespace_length;
  s.element_length = given->element_length;
  if (s.info.kind == 0)
    return sb_error_set(err, SB_INVALID, "cannot read state \"%.*s\" of a "
                        "canonical savepoint: its kind is not given",
                        (int)given->name.len,
                        (const char *)given->name.data);
  if (canonical_states_add(&r->states, &s) != SB_OK)
    return canonical_read_no_memory(err);
  return SB_OK;
}

static sb_status
read_given(sb_canonical_reader *r, const sb_canonical_options *o,
           sb_error *err)
{
  sb_status status = SB_OK;
  uint64_t i;

  r->in.compressed = (o->flags & SB_CANONICAL_COMPRESS) != 0;
  r->key_encoding = o->encoding == 0 ? SB_CANONICAL_BYTES : o->encoding;
  r->key_length = o->key_length;
  r->header_length = o->header.len;
  for (i = 0; i < o->state_count && status == SB_OK; i++)
    status = read_given_state(r, o, &o->states[i], err);
  return status;
}

const sb_host *
canonical_reader_host(const sb_canonical_reader *r)
{
  return r->host;
}

void
canonical_reader_expect(sb_canonical_reader *r, const uint32_t *checksums)
{
  r->checksums = checksums;
}

void
canonical_reader_describe(sb_canonical_reader *r,
                          const sb_canonical_info *infos)
{
  uint32_t i;

  for (i = 0; i < r->states.count; i++) {
    canonical_state *s = &r->states.list[i];

    s->info.time_kind = infos[i].time_kind;
    s->info.time_offset = infos[i].time_offset;
    s->info.state_flags = infos[i].state_flags;
    s->info.schema_version = infos[i].schema_version;
    s->info.ttl_ms = infos[i].ttl_ms;
    s->info.blob = infos[i].blob;
    s->time_in_value = infos[i].time_kind == SB_TIME_VALUE;
  }
}

/* ---- opening ----------------------------------------------------------- */

static sb_status
read_take_options(sb_canonical_reader *r, const sb_canonical_read *given,
                  sb_canonical_options *encoding, sb_error *err)
{
  sb_canonical_read *o = &r->options;
  sb_status status;
  uint32_t i;

  memcpy(o, given, given->struct_size < sizeof *o ? given->struct_size :
                                                    sizeof *o);
  if (o->options != NULL)
    memcpy(encoding, o->options,
           o->options->struct_size < sizeof *encoding ?
             o->options->struct_size : sizeof *encoding);
  o->options = NULL;
  if (o->key_group_count == 0 || o->key_group_count > SB_KEY_GROUPS_MAX ||
      o->key_group_first > o->key_group_last ||
      o->key_group_last >= o->key_group_count)
    return sb_error_set(err, SB_INVALID, "cannot read key groups %u to %u of "
                        "%u of a canonical savepoint",
                        (unsigned)o->key_group_first,
                        (unsigned)o->key_group_last,
                        (unsigned)o->key_group_count);
  status = canonical_check_options(encoding, err);
  r->next_group = o->key_group_first;
  if (status != SB_OK || o->offsets == NULL)
    return status;
  if (o->offset_count > SB_KEY_GROUPS_MAX ||
      o->offset_first > SB_KEY_GROUPS_MAX)
    return sb_error_set(err, SB_INVALID, "cannot read a canonical savepoint "
                        "with %u offsets", (unsigned)o->offset_count);
  r->offsets = mem_dup(r->host, o->offsets,
                       o->offset_count * sizeof *o->offsets);
  o->offsets = r->offsets;
  if (r->offsets == NULL)
    return canonical_read_no_memory(err);
  for (i = 0; i < o->offset_count; i++)
    if (r->offsets[i] > o->length)
      return sb_error_set(err, SB_CORRUPT, "key group %u of a canonical "
                          "savepoint begins behind its end",
                          (unsigned)(o->offset_first + i));
  return SB_OK;
}

sb_status
sb_canonical_reader_open(const sb_host *host, sb_canonical_source *source,
                         void *arg, const sb_canonical_read *read,
                         sb_canonical_reader **out, sb_error *err)
{
  sb_canonical_options encoding = { .struct_size = sizeof encoding };
  sb_canonical_reader *r;
  sb_status status;

  if (out == NULL)
    return sb_error_set(err, SB_INVALID, "cannot read a canonical savepoint: "
                        "no place for the result");
  *out = NULL;
  if (host == NULL || source == NULL || read == NULL)
    return sb_error_set(err, SB_INVALID, "cannot read a canonical savepoint: "
                        "no host, source or options");
  r = mem_zalloc(host, sizeof *r);
  if (r == NULL)
    return canonical_read_no_memory(err);
  r->host = host;
  r->states.host = host;
  buf_init(&r->key, host, CANONICAL_KEY_MAX);
  buf_init(&r->value, host, INT32_MAX);
  buf_init(&r->scratch, host, INT32_MAX);
  status = read_take_options(r, read, &encoding, err);
  if (status == SB_OK)
    status = canonical_in_init(&r->in, host, source, arg, r->options.length,
                               err);
  if (status == SB_OK && encoding.header.len != 0)
    status = read_given(r, &encoding, err);
  else if (status == SB_OK)
    status = read_header(r, &encoding, err);
  if (status != SB_OK) {
    read_free(r);
    return status;
  }
  canonical_in_seek(&r->in, r->header_length);
  *out = r;
  return SB_OK;
}

sb_status
sb_canonical_reader_state(sb_canonical_reader *r, uint32_t id,
                          sb_canonical_info *info, sb_error *err)
{
  const sb_canonical_info *from;
  uint32_t size;

  if (r == NULL || info == NULL)
    return canonical_read_nothing(err);
  size = info->struct_size;
  if (id >= r->states.count)
    return SB_END;
  from = &r->states.list[id].info;
  memcpy(info, from, size < sizeof *from ? size : sizeof *from);
  info->struct_size = size;
  return SB_OK;
}

/* ---- entries ----------------------------------------------------------- */

static sb_status
read_number(sb_canonical_reader *r, uint32_t *number, sb_error *err)
{
  uint8_t bytes[2];
  sb_status status = canonical_in_read(&r->in, bytes, 2, err);

  if (status == SB_OK)
    *number = (uint32_t)bytes[0] << 8 | bytes[1];
  return status;
}

static sb_status
read_bytes(sb_canonical_reader *r, buf *to, sb_error *err)
{
  uint8_t head[4];
  size_t len;
  sb_status status = canonical_in_read(&r->in, head, sizeof head, err);

  if (status != SB_OK)
    return status;
  buf_clear(to);
  len = java_load_int(head);
  if (len > to->max)
    return canonical_in_corrupt(&r->in, err, "a length is too large");
  while (len != 0 && status == SB_OK) {
    size_t part = len < READ_STEP ? len : READ_STEP;
    uint8_t *at = buf_extend(to, part);

    if (at == NULL)
      return canonical_read_no_memory(err);
    status = canonical_in_read(&r->in, at, part, err);
    len -= part;
  }
  return status;
}

/* Goes to the next key group that has something. SB_END. */
static sb_status
read_begin_group(sb_canonical_reader *r, sb_error *err)
{
  const sb_canonical_read *o = &r->options;
  sb_status status;

  r->known_group = o->offsets != NULL;
  if (o->offsets == NULL) {
    if (r->in.position >= o->length)
      return SB_END;
    r->in.crc = 0;
  } else {
    uint64_t offset = 0;

    for (; r->next_group <= o->key_group_last && offset == 0;
         r->next_group++) {
      uint32_t i = r->next_group - o->offset_first;

      if (r->next_group >= o->offset_first && i < o->offset_count)
        offset = o->offsets[i];
    }
    if (offset == 0)
      return SB_END;
    r->key_group = r->next_group - 1;
    canonical_in_seek(&r->in, offset);
  }
  status = read_number(r, &r->next_state, err);
  if (status == SB_OK && r->next_state >= r->states.count)
    return canonical_in_corrupt(&r->in, err, "a key group begins with no "
                                             "state of the header");
  r->in_group = 1;
  return status;
}

static sb_status
read_end_group(sb_canonical_reader *r, sb_error *err)
{
  const sb_canonical_read *o = &r->options;

  r->in_group = 0;
  if (r->checksums != NULL && o->offsets != NULL &&
      r->checksums[r->key_group - o->offset_first] != r->in.crc)
    return sb_error_set(err, SB_CORRUPT, "key group %u of a canonical "
                        "savepoint has a wrong checksum",
                        (unsigned)r->key_group);
  return canonical_in_end_group(&r->in, err);
}

/* The key group is in each key. */
static sb_status
read_check_prefix(sb_canonical_reader *r, sb_error *err)
{
  size_t len = canonical_prefix_length(r->options.key_group_count);
  uint32_t found;

  if (r->key.len < len)
    return canonical_in_corrupt(&r->in, err, "a key has no key group");
  found = r->key.data[0];
  if (len == 2)
    found = found << 8 | r->key.data[1];
  if (!r->known_group) {
    r->key_group = found;
    r->known_group = 1;
  }
  if (found != r->key_group || found >= r->options.key_group_count)
    return canonical_in_corrupt(&r->in, err, "a key is of another key group");
  return SB_OK;
}

static sb_status
read_entry(sb_canonical_reader *r, sb_error *err)
{
  uint32_t next = 0;
  int last;
  sb_status status = read_bytes(r, &r->key, err);

  if (status == SB_OK && r->key.len == 0)
    return canonical_in_corrupt(&r->in, err, "a key is empty");
  if (status == SB_OK)
    status = read_bytes(r, &r->value, err);
  if (status != SB_OK)
    return status;
  r->state = &r->states.list[r->next_state];
  last = (r->key.data[0] & CANONICAL_LAST) != 0;
  r->key.data[0] &= (uint8_t)~CANONICAL_LAST;
  status = read_check_prefix(r, err);
  if (status == SB_OK && last) {
    status = read_number(r, &next, err);
    if (status == SB_OK && next == CANONICAL_GROUP_END)
      return read_end_group(r, err);
    if (status == SB_OK && next >= r->states.count)
      return canonical_in_corrupt(&r->in, err, "a state that the header does "
                                               "not have");
    r->next_state = next;
  }
  return status;
}

/* ---- rows --------------------------------------------------------------- */

static sb_status
read_row(sb_canonical_reader *r, sb_error *err)
{
  sb_status status;

  if (r->elements.len != 0) {
    r->row.first = 0;
    return canonical_read_element(r, err);
  }
  do {
    status = r->in_group ? SB_OK : read_begin_group(r, err);
    if (status == SB_OK)
      status = read_entry(r, err);
    if (status != SB_OK)
      return status;
  } while (r->key_group < r->options.key_group_first ||
           r->key_group > r->options.key_group_last);
  memset(&r->row, 0, sizeof r->row);
  r->row.state = r->state->info.id;
  r->row.key_group = r->key_group;
  r->row.first = 1;
  status = canonical_read_key(r, err);
  return status == SB_OK ? canonical_read_value(r, err) : status;
}

sb_status
sb_canonical_reader_next(sb_canonical_reader *r, sb_canonical_row *row,
                         sb_error *err)
{
  sb_status status;

  if (r == NULL || row == NULL)
    return canonical_read_nothing(err);
  if (r->ended == SB_END)
    return SB_END;
  if (r->ended != SB_OK)
    return sb_error_set(err, r->ended, "cannot read on in a canonical "
                        "savepoint: an earlier row could not be read");
  status = read_row(r, err);
  if (status == SB_OK)
    *row = r->row;
  else
    r->ended = status;
  return status;
}
