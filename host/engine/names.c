/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of object names; see names.h. */
#include "config.h"

#include <stdlib.h>
#include "host/engine/names.h"

#define NAMES_BYTES_MAX (1u << 30)

void
names_init(names *n, const sb_host *host)
{
  memset(n, 0, sizeof *n);
  buf_init(&n->bytes, host, NAMES_BYTES_MAX);
}

void
names_dispose(names *n)
{
  if (n->bytes.host != NULL)
    mem_free(n->bytes.host, n->offsets);
  buf_dispose(&n->bytes);
  memset(n, 0, sizeof *n);
}

static int
names_reserve(names *n)
{
  size_t cap = n->cap == 0 ? 16 : n->cap * 2;
  size_t *offsets;

  if (n->count < n->cap)
    return 0;
  offsets = mem_realloc(n->bytes.host, n->offsets, cap * sizeof *offsets);
  if (offsets == NULL)
    return -1;
  n->offsets = offsets;
  n->cap = cap;
  return 0;
}

void
names_add(names *n, const char *name, uint64_t number)
{
  size_t len = strlen(name) + 1;
  uint8_t *p = NULL;

  if (n->status != SB_OK)
    return;
  if (names_reserve(n) == 0)
    p = buf_extend(&n->bytes, len + 8);
  if (p == NULL) {
    n->status = SB_NO_MEMORY;
    return;
  }
  store_u64(p, number);
  memcpy(p + 8, name, len);
  n->offsets[n->count++] = n->bytes.len - len;
}

void
names_forgive(names *n)
{
  n->status = SB_OK;
  n->bytes.status = SB_OK;
}

const char *
names_at(const names *n, size_t i)
{
  return (const char *)n->bytes.data + n->offsets[i];
}

uint64_t
names_number(const names *n, size_t i)
{
  return load_u64(n->bytes.data + n->offsets[i] - 8);
}

void
names_add_all(names *n, const names *others)
{
  size_t i;

  for (i = 0; i < others->count; i++)
    names_add(n, names_at(others, i), names_number(others, i));
  if (n->status == SB_OK)
    n->status = others->status;
}

static int
names_compare(const names *n, size_t a, size_t b)
{
  const char *bytes = (const char *)n->bytes.data;

  return strcmp(bytes + n->offsets[a], bytes + n->offsets[b]);
}

static void
names_sift(names *n, size_t root, size_t count)
{
  for (;;) {
    size_t child = 2 * root + 1, swap;

    if (child >= count)
      return;
    if (child + 1 < count && names_compare(n, child, child + 1) < 0)
      child++;
    if (names_compare(n, root, child) >= 0)
      return;
    swap = n->offsets[root];
    n->offsets[root] = n->offsets[child];
    n->offsets[child] = swap;
    root = child;
  }
}

/* Heapsort: in place, so that sorting never fails. */
static void
names_order(names *n)
{
  size_t i, swap;

  for (i = n->count / 2; i-- > 0;)
    names_sift(n, i, n->count);
  for (i = n->count; i-- > 1;) {
    swap = n->offsets[0];
    n->offsets[0] = n->offsets[i];
    n->offsets[i] = swap;
    names_sift(n, 0, i);
  }
}

void
names_sort(names *n)
{
  size_t i, kept = 0;

  names_order(n);
  for (i = 0; i < n->count; i++) {
    if (kept == 0 || names_compare(n, kept - 1, i) != 0) {
      n->offsets[kept++] = n->offsets[i];
      continue;
    }
    if (names_number(n, i) > names_number(n, kept - 1))
      n->offsets[kept - 1] = n->offsets[i];
  }
  n->count = kept;
}

int
names_has(const names *n, const char *name)
{
  size_t low = 0, high = n->count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int c = strcmp(names_at(n, middle), name);

    if (c == 0)
      return 1;
    if (c < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

void
names_subtract(names *n, const names *others)
{
  size_t i, j = 0, kept = 0;

  for (i = 0; i < n->count; i++) {
    const char *name = names_at(n, i);

    while (j < others->count && strcmp(names_at(others, j), name) < 0)
      j++;
    if (j == others->count || strcmp(names_at(others, j), name) != 0)
      n->offsets[kept++] = n->offsets[i];
  }
  n->count = kept;
}

void
names_filter(names *n, const uint8_t *keep)
{
  size_t i, kept = 0;

  for (i = 0; i < n->count; i++)
    if (keep[i] != 0)
      n->offsets[kept++] = n->offsets[i];
  n->count = kept;
}
