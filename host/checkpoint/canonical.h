/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical savepoints inside the library: what the files canonical*.c share,
 * and what the coordinator and the engine's savepoint calls use of them. The
 * bytes are in docs/FORMAT-canonical.md.
 */
#ifndef SB_CHECKPOINT_CANONICAL_H
#define SB_CHECKPOINT_CANONICAL_H

#include <statebackend/savepoint.h>
#include "host/base/buf.h"

/* ---- parts: for coordinator and savepoints ----------------------------- */

#define CANONICAL_EXTENSION ".canonical"
#define CANONICAL_DESCRIPTOR_MAX (64u << 20)

/* What a canonical part's manifest bytes say: the descriptor of one stream. */
typedef struct canonical_part {
  const char *name;        /* of its object: a plain name in the savepoint's
                              directory, or a path from the store's root */
  uint64_t length;
  uint32_t crc32c;         /* of the whole object */
  uint32_t key_group_count, key_group_first, key_group_last;
  uint64_t header_length;
  uint64_t *offsets;       /* one a key group of the range; 0: empty */
  uint32_t *checksums;     /* CRC-32C of each key group's bytes */
  sb_canonical_options options; /* states with name, kind, lengths, flags */
  sb_canonical_info *infos;     /* of the same states */
  void *memory[6];         /* what the fields above point to */
} canonical_part;

/* A part that was written; its slices and strings live until the free. */
typedef struct canonical_written canonical_written;

/* Writes a stream and, if it is large, its descriptor into `directory` (a path
   from the store's root without outer slashes), under names that nobody else
   has. *part is owned by *out; names in it are relative to the directory. Any
   thread; the store comes from backend->ops->store. A failure leaves nothing
   behind that the store can remove. */
sb_status canonical_write_part(const sb_host *host, sb_store *store,
                               sb_canonical *canonical, const char *directory,
                               canonical_written **out, const sb_part **part,
                               sb_error *err);
void canonical_written_free(canonical_written *written); /* NULL: nothing */

/* 1 if these manifest bytes are a canonical part's. */
int canonical_is_descriptor(sb_slice manifest);

/* One allocation-owned object; SB_CORRUPT, SB_UNSUPPORTED. */
sb_status canonical_part_decode(const sb_host *host, sb_slice manifest,
                                canonical_part **out, sb_error *err);
void canonical_part_free(const sb_host *host, canonical_part *part);

/* The descriptor once more with its object's last path part behind
   `directory` and a slash; "": alone. Appended to `out`. */
sb_status canonical_part_move(const sb_host *host, sb_slice manifest,
                              const char *directory, buf *out, sb_error *err);

/* A part's stream in a store. Used until its reader is closed. */
typedef struct canonical_object {
  const sb_host *host;
  sb_store *store;
  const canonical_part *part; /* with its whole name */
} canonical_object;

/* A reader of key groups first..last; of `given` (may be NULL) only field and
   field_arg are used. */
sb_status canonical_object_open(canonical_object *object, uint32_t first,
                                uint32_t last, const sb_canonical_read *given,
                                sb_canonical_reader **out, sb_error *err);

/* Have all slices that a caller points to their bytes? */
sb_status canonical_check_options(const sb_canonical_options *options,
                                  sb_error *err);

/* ---- states ------------------------------------------------------------ */

/* One state of a stream; `memory` holds what the slices point to. */
typedef struct canonical_state {
  sb_canonical_info info;
  uint32_t number;             /* the engine's, while writing */
  uint32_t namespace_length, element_length;
  uint32_t time_in_value;      /* BYTES, TIMED: the value has it already */
  void *memory;
} canonical_state;

typedef struct canonical_states {
  const sb_host *host;
  canonical_state *list;
  uint32_t count, cap;
} canonical_states;

/* Adds a copy. SB_NO_MEMORY. */
sb_status canonical_states_add(canonical_states *states,
                               const canonical_state *state);
void canonical_states_dispose(canonical_states *states);

/* 1 if a state's entries have the lengths of key and namespace in their keys:
   when neither is fixed. */
static inline int
canonical_ambiguous(const canonical_state *s, uint32_t key_encoding,
                    uint32_t key_length)
{
  int key_varies = key_encoding == SB_CANONICAL_BYTES || key_length == 0;
  int ns_varies = (s->info.flags & SB_CANONICAL_VOID_NAMESPACE) == 0 &&
                  (s->info.encoding == SB_CANONICAL_BYTES ||
                   s->namespace_length == 0);

  return key_varies && ns_varies;
}

static inline size_t
canonical_prefix_length(uint32_t key_group_count)
{
  return key_group_count > 128 ? 2 : 1;
}

#define CANONICAL_GROUP_END 0xFFFFu /* instead of a state's id */
#define CANONICAL_LAST 0x80u /* in a key's first byte: last of a state */
#define CANONICAL_KEY_MAX (3u * 65536u + 64u) /* bytes of an entry's key */
#define CANONICAL_NEVER ((uint64_t)INT64_MAX) /* time of what never expires */

/* ---- Java's DataOutput (canonical_java.c) ------------------------------ */

void java_short(buf *b, uint32_t v);
void java_int(buf *b, uint32_t v);
void java_long(buf *b, uint64_t v);
/* A string as writeUTF has it. SB_INVALID if it is not UTF-8, SB_TOO_LARGE
   over 65535 bytes. */
sb_status java_utf(buf *b, sb_slice utf8);
void java_text(buf *b, const char *text); /* of 7-bit characters */

uint32_t java_read_short(reader *r);
uint32_t java_read_int(reader *r);
uint64_t java_read_long(reader *r);
/* Appends the string as UTF-8 (NULL: skips it). */
void java_read_utf(reader *r, buf *out);

static inline uint32_t
java_load_int(const void *p)
{
  const uint8_t *b = p;

  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
         b[3];
}

/* ---- header (canonical_header.c writes, canonical_parse.c reads) ------- */

/* Appends the whole header. */
sb_status canonical_header_write(const canonical_states *states,
                                 const sb_canonical_options *options,
                                 buf *out, sb_error *err);

typedef struct canonical_header {
  uint32_t compressed;
  uint32_t key_encoding, key_length;
  uint64_t length;
  canonical_states states;
} canonical_header;

/* Reads a header from the first bytes of a stream. SB_END: more bytes are
   needed. Dispose the states in any case. */
sb_status canonical_header_parse(const sb_host *host, sb_slice bytes,
                                 canonical_header *out, sb_error *err);

/* ---- key groups as bytes (canonical_frame.c) --------------------------- */

#define CANONICAL_BLOCK 65536u

/* Output: collects blocks, packs them if `compress`. Failures stick. */
typedef struct canonical_out {
  const sb_host *host;
  sb_canonical_sink *sink;
  void *arg;
  sb_error *err;
  sb_status status;
  int compress;          /* key groups */
  int in_group;
  uint64_t length;       /* given to the sink */
  uint32_t crc;          /* of the key group so far, as given to the sink */
  uint8_t *block, *packed;
  size_t used;
} canonical_out;

sb_status canonical_out_init(canonical_out *o, const sb_host *host,
                             int compress, sb_canonical_sink *sink, void *arg,
                             sb_error *err);
void canonical_out_dispose(canonical_out *o);
void canonical_out_add(canonical_out *o, const void *data, size_t len);
/* The place in the stream where it begins. */
uint64_t canonical_out_begin_group(canonical_out *o);
void canonical_out_end_group(canonical_out *o);
sb_status canonical_out_finish(canonical_out *o);

/* Input of one key group after the other. */
typedef struct canonical_in {
  const sb_host *host;
  sb_canonical_source *source;
  void *arg;
  int compressed;
  uint64_t length;       /* of the stream */
  uint64_t position;     /* of the next byte not yet taken from the window */
  uint32_t crc;          /* of what was taken since the seek */
  uint8_t *window;
  size_t window_at, window_end;
  int identified;        /* this group's stream identifier was seen */
  uint8_t *chunk, *block;
  size_t block_at, block_end;
} canonical_in;

sb_status canonical_in_init(canonical_in *in, const sb_host *host,
                            sb_canonical_source *source, void *arg,
                            uint64_t length, sb_error *err);
void canonical_in_dispose(canonical_in *in);
/* Begins a key group, or anything else, at `offset`. */
void canonical_in_seek(canonical_in *in, uint64_t offset);
/* Exactly `len` bytes; SB_CORRUPT if the stream ends before. */
sb_status canonical_in_read(canonical_in *in, void *to, size_t len,
                            sb_error *err);
/* A key group is over: SB_CORRUPT if a packed block has more. */
sb_status canonical_in_end_group(canonical_in *in, sb_error *err);
/* "canonical savepoint is damaged at byte N: ..." */
sb_status canonical_in_corrupt(const canonical_in *in, sb_error *err,
                               const char *why);

/* ---- for canonical_part.c ---------------------------------------------- */

const canonical_states *canonical_states_of(const sb_canonical *canonical);
const sb_canonical_options *canonical_options_of(const sb_canonical *c);
const sb_keyed_options *canonical_place_of(const sb_canonical *canonical);
/* Where the first key group may begin. */
uint64_t canonical_header_length(const sb_canonical *canonical);
/* sb_canonical_write, which also counts each key group's CRC-32C unless
   `checksums` is NULL. */
sb_status canonical_write_summed(sb_canonical *canonical,
                                 sb_canonical_sink *sink, void *arg,
                                 uint64_t *offsets, uint32_t *checksums,
                                 uint64_t *length, sb_error *err);

/* What reading and restoring share beyond savepoint.h. */
const sb_host *canonical_reader_host(const sb_canonical_reader *reader);
/* CRC-32C that each key group must have, from the first offset's on. Used
   until close. */
void canonical_reader_expect(sb_canonical_reader *reader,
                             const uint32_t *checksums);
/* More about states whose header was given: kinds of time, blobs. Borrowed
   until close. */
void canonical_reader_describe(sb_canonical_reader *reader,
                               const sb_canonical_info *infos);

#endif
