/* SPDX-License-Identifier: Apache-2.0 */
/* HEADs, pins, claims, and the names of objects, all of which come from the
   store. */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "fuzz/fuzz_seal.h"
#include "host/engine/claim.h"
#include "host/engine/head.h"
#include "host/engine/pin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_head(const sb_host *host, const head *h)
{
  buf bytes;
  head again;

  buf_init(&bytes, host, HEAD_SIZE_MAX);
  head_encode(h, &bytes);
  if (bytes.status != SB_OK ||
      head_decode(bytes.data, bytes.len, &again, NULL) != SB_OK ||
      again.nonce != h->nonce || strcmp(again.metadata, h->metadata) != 0)
    abort();
  buf_dispose(&bytes);
}

static void
check_pin(const sb_host *host, const pin *p)
{
  buf bytes;
  pin again;

  buf_init(&bytes, host, PIN_SIZE_MAX);
  pin_encode(p, &bytes);
  if (bytes.status != SB_OK ||
      pin_decode(bytes.data, bytes.len, &again, NULL) != SB_OK ||
      strcmp(again.metadata, p->metadata) != 0)
    abort();
  buf_dispose(&bytes);
}

static void
check_claim(const sb_host *host, const claim *c)
{
  buf bytes;
  claim again;

  buf_init(&bytes, host, 1024);
  claim_encode(c, &bytes);
  if (bytes.status != SB_OK ||
      claim_decode(bytes.data, bytes.len, &again, NULL) != SB_OK ||
      again.kind != c->kind || strcmp(again.job_id, c->job_id) != 0)
    abort();
  buf_dispose(&bytes);
}

/* What is taken for a savepoint's must be in its directory. */
static void
check_place(const paths *p, const char *name)
{
  char prefix[PATH_SIZE];
  path_place place;

  if (!paths_locate(p, name, &place) || place.savepoint[0] == '\0')
    return;
  if (paths_savepoint_prefix(p, place.job, place.savepoint, prefix, NULL) !=
        SB_OK ||
      strncmp(name, prefix, strlen(prefix)) != 0)
    abort();
}

static void
check_name(const sb_host *host, const uint8_t *data, size_t size)
{
  sb_engine_options options = { .struct_size = sizeof options };
  char *name = malloc(size + 1);
  uint64_t generation;
  paths p;

  if (name == NULL || paths_init(&p, host, &options, NULL) != SB_OK)
    abort();
  if (size != 0)
    memcpy(name, data, size);
  name[size] = '\0';
  (void)paths_parse(&p, "", name);
  (void)paths_segment_generation(name, &generation);
  check_place(&p, name);
  paths_dispose(&p, host);
  free(name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_bounded bounded;
  uint8_t *sealed = fuzz_seal(data, size);
  head h;
  pin p;
  claim c;

  fuzz_bounded_init(&bounded);
  if (head_decode(sealed, size, &h, NULL) == SB_OK)
    check_head(&bounded.host, &h);
  if (pin_decode(sealed, size, &p, NULL) == SB_OK)
    check_pin(&bounded.host, &p);
  if (claim_decode(sealed, size, &c, NULL) == SB_OK)
    check_claim(&bounded.host, &c);
  check_name(&bounded.host, data, size);
  fuzz_bounded_check(&bounded, size, 64);
  free(sealed);
  return 0;
}
