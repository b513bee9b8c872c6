/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flink's _metadata files: whatever they say, what is read of them lies inside
 * of them, and reading takes no more memory than a multiple of their length.
 * The reader is a part of sbctl, not of the library, hence the include.
 */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "host/cli/flink_metadata.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_slice(const uint8_t *data, size_t size, sb_slice slice)
{
  const uint8_t *p = slice.data;

  if (slice.len != 0 && (p < data || slice.len > size ||
                         (size_t)(p - data) > size - slice.len))
    abort();
}

static void
check_stream(const uint8_t *data, size_t size, const flink_stream *stream)
{
  check_slice(data, size, stream->path);
  check_slice(data, size, stream->bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_bounded bounded;
  flink_metadata *m;
  sb_error err;
  size_t i;

  fuzz_bounded_init(&bounded);
  if (flink_metadata_decode(&bounded.host, data, size, &m, &err) == SB_OK) {
    for (i = 0; i < m->file_count; i++)
      check_stream(data, size, &m->files[i]);
    for (i = 0; i < m->handle_count; i++) {
      check_stream(data, size, &m->handles[i].meta);
      if (m->handles[i].file_first + m->handles[i].file_count >
            m->file_count ||
          m->handles[i].key_group_first + m->handles[i].key_group_count >
            SB_KEY_GROUPS_MAX)
        abort();
    }
    flink_metadata_free(&bounded.host, m);
  }
  fuzz_bounded_check(&bounded, size, 32);
  return 0;
}
