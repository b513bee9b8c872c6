/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pin: a small object by which a reader in another process keeps a
 * checkpoint's objects from being deleted. Bytes: docs/FORMAT-manifest.md; rules:
 * docs/PROTOCOL.md 4.2.
 */
#ifndef SB_ENGINE_PIN_H
#define SB_ENGINE_PIN_H

#include "host/engine/job.h"
#include "host/engine/metadata.h"
#include "host/engine/names.h"

#define PIN_SIZE_MAX 2048u

/* What a pin says: which _metadata it keeps. */
typedef struct pin {
  uint64_t length;
  uint32_t crc32c;
  char metadata[PATH_SIZE];
} pin;

void pin_encode(const pin *p, buf *out);
sb_status pin_decode(const void *data, size_t len, pin *out, sb_error *err);

/* Writes a pin; `name` (PATH_SIZE) is its object, "" if it was not written. It
   is known to be there only on SB_OK. */
sb_status pin_put(const job_env *env, const char *job,
                  const metadata_ref *ref, char *name, sb_error *err);
void pin_remove(const job_env *env, const char *name);

/* Adds everything that pinned checkpoints need to `keep`, unsorted. `retained`
   (sorted) names the _metadata objects that need no look, as nothing they need
   is ever a candidate. Pins of checkpoints that are gone are removed. On
   failure nothing may be deleted. */
sb_status pin_collect(const job_env *env, const char *job,
                      const names *retained, names *keep, uint64_t *count,
                      sb_error *err);

/* The names of all pins, unsorted. */
sb_status pin_list(const job_env *env, const char *job, names *pins,
                   sb_error *err);

#endif
