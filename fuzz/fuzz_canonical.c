/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical savepoints: whatever the bytes are, reading ends, with an error or
 * without, and needs memory in proportion to them. The first byte says what
 * the rest is: a whole stream, key groups whose header is given, or a
 * descriptor (whose checksum is put right first).
 */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "fuzz/fuzz_seal.h"
#include "host/checkpoint/canonical.h"

#define FUZZ_BUFFERS (1u << 18) /* that a reader has however small its input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_source {
  const uint8_t *data;
  size_t size;
} fuzz_source;

static sb_status
fuzz_read(void *arg, uint64_t offset, void *buffer, size_t len, size_t *got,
          sb_error *err)
{
  const fuzz_source *s = arg;

  (void)err;
  *got = offset >= s->size ? 0 : s->size - (size_t)offset;
  *got = *got < len ? *got : len;
  if (*got != 0)
    memcpy(buffer, s->data + offset, *got);
  return SB_OK;
}

/* A field's first byte is its length. */
static sb_status
fuzz_field(void *arg, uint32_t field, sb_slice state, sb_slice bytes,
           size_t *len, sb_error *err)
{
  (void)arg;
  (void)field;
  (void)state;
  if (bytes.len == 0)
    return sb_error_set(err, SB_CORRUPT, "no bytes");
  *len = *(const uint8_t *)bytes.data;
  return SB_OK;
}

static volatile uint8_t fuzz_seen;

static void
fuzz_touch(sb_slice s)
{
  size_t i;

  for (i = 0; i < s.len; i++)
    fuzz_seen = (uint8_t)(fuzz_seen + ((const uint8_t *)s.data)[i]);
}

static void
fuzz_rows(const sb_host *host, const sb_canonical_read *read,
          fuzz_source *source)
{
  sb_canonical_reader *r;
  sb_canonical_row row;

  if (sb_canonical_reader_open(host, fuzz_read, source, read, &r, NULL) !=
      SB_OK)
    return;
  while (sb_canonical_reader_next(r, &row, NULL) == SB_OK) {
    fuzz_touch(row.key);
    fuzz_touch(row.ns);
    fuzz_touch(row.subkey);
    fuzz_touch(row.value);
  }
  sb_canonical_reader_close(r);
}

static void
fuzz_stream(const sb_host *host, uint8_t mode, fuzz_source *source)
{
  static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_LIST,
                                    SB_STATE_MAP, SB_STATE_TIMER };
  sb_canonical_state states[8];
  sb_canonical_options options = { .struct_size = sizeof options,
                                   .states = states, .state_count = 8 };
  sb_canonical_read read = { .struct_size = sizeof read,
                             .key_group_count = mode & 16 ? 300 : 100,
                             .key_group_last = 99, .length = source->size,
                             .field = fuzz_field };
  unsigned i;

  memset(states, 0, sizeof states);
  for (i = 0; i < 8; i++) {
    states[i].struct_size = sizeof states[i];
    states[i].kind = kinds[i % 4];
    states[i].name = sb_slice_of("state", 5);
    states[i].encoding = i < 4 ? SB_CANONICAL_BYTES : SB_CANONICAL_VERBATIM;
    states[i].flags = mode >> 5;
  }
  options.encoding = mode & 8 ? SB_CANONICAL_VERBATIM : SB_CANONICAL_BYTES;
  options.flags = mode & 4 ? SB_CANONICAL_COMPRESS : 0;
  options.header = sb_slice_of("", 0);
  if ((mode & 3) == 1) {
    read.options = &options;
    options.header = sb_slice_of(source->data, source->size == 0 ? 0 : 1);
  }
  fuzz_rows(host, &read, source);
}

static void
fuzz_descriptor(const sb_host *host, const uint8_t *data, size_t size)
{
  uint8_t *sealed = fuzz_seal(data, size);
  canonical_part *p;
  buf moved, again;

  if (canonical_part_decode(host, sb_slice_of(sealed, size), &p, NULL) ==
      SB_OK) {
    canonical_part_free(host, p);
    buf_init(&moved, host, CANONICAL_DESCRIPTOR_MAX);
    buf_init(&again, host, CANONICAL_DESCRIPTOR_MAX);
    if (canonical_part_move(host, sb_slice_of(sealed, size), "dir", &moved,
                            NULL) == SB_OK &&
        (canonical_part_move(host, sb_slice_of(moved.data, moved.len), "dir",
                             &again, NULL) != SB_OK ||
         again.len != moved.len ||
         memcmp(again.data, moved.data, moved.len) != 0))
      abort();
    buf_dispose(&moved);
    buf_dispose(&again);
  }
  free(sealed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_bounded bounded;
  fuzz_source source;

  if (size == 0)
    return 0;
  fuzz_bounded_init(&bounded);
  source.data = data + 1;
  source.size = size - 1;
  if ((data[0] & 3) == 2)
    fuzz_descriptor(&bounded.host, data + 1, size - 1);
  else
    fuzz_stream(&bounded.host, data[0], &source);
  /* Snappy packs up to 21 times; a descriptor has room for all key groups. */
  fuzz_bounded_check(&bounded, size + FUZZ_BUFFERS / 16 + 32768, 64);
  return 0;
}
