/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host whose allocations are counted, for targets that check that a parser
 * allocates no more than a multiple of what it was given.
 */
#ifndef FUZZ_BOUNDED_H
#define FUZZ_BOUNDED_H

#include <stdlib.h>
#include <string.h>
#include <statebackend/host.h>

typedef struct fuzz_bounded {
  sb_host host;
  size_t live, peak;
} fuzz_bounded;

static void *
fuzz_bounded_alloc(const sb_host *host, void *old, size_t size)
{
  fuzz_bounded *b = host->ctx;
  size_t *block = old == NULL ? NULL : (size_t *)old - 2;
  size_t had = block == NULL ? 0 : block[0];

  if (size == 0) {
    b->live -= had;
    free(block);
    return NULL;
  }
  block = realloc(block, size + 2 * sizeof *block);
  if (block == NULL)
    abort();
  block[0] = size;
  b->live += size - had;
  b->peak = b->live > b->peak ? b->live : b->peak;
  return block + 2;
}

static void
fuzz_bounded_init(fuzz_bounded *b)
{
  memset(b, 0, sizeof *b);
  b->host.struct_size = sizeof b->host;
  b->host.abi_version = SB_ABI_VERSION;
  b->host.ctx = b;
  b->host.alloc = fuzz_bounded_alloc;
}

/* Aborts if `factor` times the input was exceeded, or anything is left. */
static void
fuzz_bounded_check(const fuzz_bounded *b, size_t size, size_t factor)
{
  if (b->live != 0 || b->peak > size * factor + 4096)
    abort();
}

#endif
