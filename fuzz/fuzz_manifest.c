/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests: whatever is decoded is encoded to the same thing again. The
 * length and the checksum are put right first, or nothing would get past them.
 */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "fuzz/fuzz_seal.h"
#include "host/engine/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const sb_host *host, const manifest *m)
{
  manifest *again;
  buf bytes;

  buf_init(&bytes, host, MANIFEST_SIZE_MAX);
  if (manifest_encode(host, m, &bytes) != SB_OK)
    abort();
  if (manifest_decode(host, bytes.data, bytes.len, &again, NULL) != SB_OK)
    abort();
  if (again->segment_count != m->segment_count ||
      again->state_count != m->state_count)
    abort();
  manifest_free(host, again);
  buf_dispose(&bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_bounded bounded, second;
  uint8_t *sealed = fuzz_seal(data, size);
  manifest *m;

  fuzz_bounded_init(&bounded);
  fuzz_bounded_init(&second);
  if (manifest_decode(&bounded.host, sealed, size, &m, NULL) == SB_OK) {
    check_again(&second.host, m);
    manifest_free(&bounded.host, m);
  }
  fuzz_bounded_check(&bounded, size, 32);
  free(sealed);
  return 0;
}
