/* SPDX-License-Identifier: Apache-2.0 */
/* Memory through the host table: every allocation of the library. */
#ifndef SB_BASE_MEM_H
#define SB_BASE_MEM_H

#include <string.h>
#include <statebackend/host.h>

static inline void *
mem_alloc(const sb_host *host, size_t size)
{
  return host->alloc(host, NULL, size == 0 ? 1 : size);
}

static inline void *
mem_zalloc(const sb_host *host, size_t size)
{
  void *p = mem_alloc(host, size);

  if (p != NULL)
    memset(p, 0, size);
  return p;
}

static inline void *
mem_realloc(const sb_host *host, void *old, size_t size)
{
  return host->alloc(host, old, size == 0 ? 1 : size);
}

static inline void
mem_free(const sb_host *host, void *p)
{
  if (p != NULL)
    (void)host->alloc(host, p, 0);
}

static inline void *
mem_dup(const sb_host *host, const void *data, size_t len)
{
  void *p = mem_alloc(host, len);

  if (p != NULL && len != 0)
    memcpy(p, data, len);
  return p;
}

static inline char *
mem_strdup(const sb_host *host, const char *s)
{
  return mem_dup(host, s, strlen(s) + 1);
}

#endif
