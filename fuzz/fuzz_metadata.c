/* SPDX-License-Identifier: Apache-2.0 */
/* _metadata objects: what is decoded is encoded to the same thing again. */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "fuzz/fuzz_seal.h"
#include "host/engine/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const sb_host *host, const metadata *m)
{
  metadata *again;
  buf bytes;

  buf_init(&bytes, host, METADATA_SIZE_MAX);
  if (metadata_encode(m, &bytes) != SB_OK)
    abort();
  if (metadata_decode(host, bytes.data, bytes.len, &again, NULL) != SB_OK)
    abort();
  if (again->part_count != m->part_count || again->blob.len != m->blob.len ||
      again->retained_count != m->retained_count ||
      again->pending_count != m->pending_count)
    abort();
  metadata_free(host, again);
  buf_dispose(&bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_bounded bounded, second;
  uint8_t *sealed = fuzz_seal(data, size);
  metadata *m;

  fuzz_bounded_init(&bounded);
  fuzz_bounded_init(&second);
  if (metadata_decode(&bounded.host, sealed, size, &m, NULL) == SB_OK) {
    check_again(&second.host, m);
    metadata_free(&bounded.host, m);
  }
  fuzz_bounded_check(&bounded, size, 32);
  free(sealed);
  return 0;
}
