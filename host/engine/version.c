/* SPDX-License-Identifier: Apache-2.0 */
/* Immutable lists of segment views; see version.h. */
#include "config.h"

#include <stdlib.h>

#include "host/base/mem.h"
#include "host/engine/version.h"

int
segment_view_compare(const segment_view *a, const segment_view *b)
{
  const segment *s = a->segment, *t = b->segment;

  if (s->info.epoch_max != t->info.epoch_max)
    return s->info.epoch_max > t->info.epoch_max ? -1 : 1;
  if (s->sequence != t->sequence)
    return s->sequence > t->sequence ? -1 : 1;
  if (a->key_group_first != b->key_group_first)
    return a->key_group_first < b->key_group_first ? -1 : 1;
  return 0;
}

static int
version_compare(const void *a, const void *b)
{
  return segment_view_compare(a, b);
}

/* The runs of each key group, flattened, so that a lookup walks only these. */
static sb_status
version_index(const sb_host *host, version *v, uint32_t key_groups)
{
  uint32_t *at;
  size_t i, total = 0;
  uint32_t g;

  for (i = 0; i < v->count; i++)
    total += v->views[i].key_group_last - v->views[i].key_group_first + 1;
  v->run_start = mem_zalloc(host, (key_groups + 1) * sizeof *v->run_start);
  v->runs = mem_alloc(host, total * sizeof *v->runs);
  at = mem_alloc(host, key_groups * sizeof *at);
  if (v->run_start == NULL || v->runs == NULL || at == NULL) {
    mem_free(host, at);
    return SB_NO_MEMORY;
  }
  for (i = 0; i < v->count; i++)
    for (g = v->views[i].key_group_first; g <= v->views[i].key_group_last; g++)
      v->run_start[g - v->key_group_first + 1]++;
  for (g = 0; g < key_groups; g++) {
    v->run_start[g + 1] += v->run_start[g];
    at[g] = v->run_start[g];
  }
  for (i = 0; i < v->count; i++)
    for (g = v->views[i].key_group_first; g <= v->views[i].key_group_last; g++)
      v->runs[at[g - v->key_group_first]++] = v->views[i].segment;
  mem_free(host, at);
  return SB_OK;
}

version *
version_new(const sb_host *host, const segment_view *views, size_t count,
            uint32_t key_group_first, uint32_t key_group_last)
{
  version *v = mem_zalloc(host, sizeof *v);
  size_t i;

  if (v == NULL)
    return NULL;
  v->refs = 1;
  v->key_group_first = key_group_first;
  v->views = mem_dup(host, views, count * sizeof *views);
  if (v->views == NULL)
    goto fail;
  v->count = count;
  if (count > 1)
    qsort(v->views, count, sizeof *v->views, version_compare);
  if (version_index(host, v, key_group_last - key_group_first + 1) != SB_OK)
    goto fail;
  for (i = 0; i < count; i++)
    v->views[i].segment->refs++;
  return v;
fail:
  version_free(host, v);
  return NULL;
}

void
version_free(const sb_host *host, version *v)
{
  mem_free(host, v->run_start);
  mem_free(host, v->runs);
  mem_free(host, v->views);
  mem_free(host, v);
}
