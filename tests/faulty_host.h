/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host with an allocator that counts what is live and can fail:
 * for loops that fail allocation 1, 2, 3 ... until a run is clean.
 */
#ifndef TESTS_FAULTY_HOST_H
#define TESTS_FAULTY_HOST_H

#include <stdatomic.h>
#include <statebackend/statebackend.h>

typedef struct faulty_host {
  sb_host host;             /* first: the host is the faulty_host */
  const sb_host *real;
  _Atomic long countdown;   /* the allocation that fails; 0: none */
  _Atomic long live;        /* blocks allocated and not freed */
} faulty_host;

static void *
faulty_host_alloc(const sb_host *host, void *old, size_t size)
{
  faulty_host *f = (faulty_host *)(uintptr_t)host;
  void *p;

  if (size == 0) {
    if (old != NULL)
      atomic_fetch_sub(&f->live, 1);
    return f->real->alloc(f->real, old, 0);
  }
  if (atomic_load(&f->countdown) > 0 &&
      atomic_fetch_sub(&f->countdown, 1) == 1)
    return NULL;
  p = f->real->alloc(f->real, old, size);
  if (p != NULL && old == NULL)
    atomic_fetch_add(&f->live, 1);
  return p;
}

/* `fail` is the number of the allocation that fails, 0 for none. */
static inline void
faulty_host_init(faulty_host *f, long fail)
{
  f->real = sb_host_default();
  f->host = *f->real;
  f->host.alloc = faulty_host_alloc;
  atomic_init(&f->countdown, fail);
  atomic_init(&f->live, 0);
}

#endif
