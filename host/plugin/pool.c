/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool; see pool.h. Small sizes are malloc's. Middle sizes are slots of
 * runs: mappings cut into slots of one size class, with one lock per class.
 * Large sizes are mappings of their own. A table from address to run tells
 * them apart, so that no slot needs a header and a block of 4 KiB takes one
 * page.
 *
 * Why not malloc alone: glibc gives each thread an arena and never returns
 * memory from the middle of one, and it moves ever larger sizes from mappings
 * to arenas. Cache blocks that one thread allocates and another frees then
 * leave holes of half a budget. Options that cure it belong to the whole
 * process, which is not ours.
 *
 * Locks: a class's; never two at once.
 */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "host/plugin/pool.h"

#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POOL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define POOL_SANITIZED 1
#endif
#endif
#ifndef POOL_SANITIZED
#define POOL_SANITIZED 0
#endif

#define POOL_SMALL_BITS 10u
#define POOL_SMALL_MAX ((size_t)1 << POOL_SMALL_BITS)
#define POOL_MIDDLE_MAX ((size_t)256 << 10)
#define POOL_RUN_BITS 20u
#define POOL_RUN ((size_t)1 << POOL_RUN_BITS)
#define POOL_STEP_BITS 4u        /* 16 classes between a power of 2 and the
                                    next: a slot wastes a sixteenth at most */
#define POOL_STEPS (1u << POOL_STEP_BITS)
#define POOL_CLASSES (8u * POOL_STEPS)
#define POOL_SLOTS_MAX (POOL_RUN / POOL_SMALL_MAX)
#define POOL_PAGE_MIN ((size_t)4096)
#define POOL_PAGES_MAX (POOL_RUN / POOL_PAGE_MIN)
#define POOL_HUGE_SLOT ((size_t)64 << 10) /* huge pages may be from here on */

/* Pages without a live slot that a class keeps resident. */
#define POOL_IDLE_BYTES ((size_t)128 << 10)
#define POOL_IDLE_SHARE 32u      /* and one in so many of its live ones */

/* The table: addresses of 48 bits by runs, in two steps. */
#define POOL_ADDRESS_BITS 48u
#define POOL_LEAF_BITS 14u
#define POOL_LEAF ((size_t)1 << POOL_LEAF_BITS)
#define POOL_ROOT \
  ((size_t)1 << (POOL_ADDRESS_BITS - POOL_RUN_BITS - POOL_LEAF_BITS))

typedef struct pool_class pool_class;

/* All but base, size and class is guarded by the class's lock. */
typedef struct pool_run {
  struct pool_run *next, *previous; /* runs of the class with a free slot */
  uint8_t *base;
  size_t size;                      /* of a slot, or of a large mapping */
  pool_class *class;                /* NULL: a large mapping */
  uint32_t slots, free;
  uint64_t free_bits[POOL_SLOTS_MAX / 64];
  uint64_t dirty_bits[POOL_PAGES_MAX / 64]; /* pages that may be resident */
  uint8_t live[POOL_PAGES_MAX];     /* live slots that reach into the page */
} pool_run;

struct pool_class {
  pthread_mutex_t lock;
  pool_run *first, *last;
  size_t idle, used;                /* dirty pages without and with a slot */
};

typedef struct pool_leaf {
  _Atomic(pool_run *) runs[POOL_LEAF];
} pool_leaf;

static struct pool {
  pthread_once_t once;
  int plain;
  size_t page;
  pool_class classes[POOL_CLASSES];
  _Atomic(pool_leaf *) root[POOL_ROOT];
} pool = { .once = PTHREAD_ONCE_INIT };

static void
pool_init(void)
{
  long page = sysconf(_SC_PAGESIZE);
  size_t i;

  pool.plain = POOL_SANITIZED || RUNNING_ON_VALGRIND ||
               getenv("SB_PLAIN_MALLOC") != NULL ||
               page < (long)POOL_PAGE_MIN || page > (long)POOL_HUGE_SLOT;
  pool.page = (size_t)page;
  for (i = 0; i < POOL_CLASSES; i++)
    (void)pthread_mutex_init(&pool.classes[i].lock, NULL);
}

int
pool_is_plain(void)
{
  (void)pthread_once(&pool.once, pool_init);
  return pool.plain;
}

/* ---- the table ---------------------------------------------------------- */

static pool_leaf *
pool_leaf_of(uintptr_t number)
{
  size_t at = number >> POOL_LEAF_BITS;

  if (at >= POOL_ROOT)
    return NULL;
  return atomic_load_explicit(&pool.root[at], memory_order_acquire);
}

/* The run that holds an address; NULL: it is malloc's. */
static pool_run *
pool_find(const void *address)
{
  uintptr_t number = (uintptr_t)address >> POOL_RUN_BITS;
  pool_leaf *leaf = pool_leaf_of(number);

  return leaf == NULL
           ? NULL
           : atomic_load_explicit(&leaf->runs[number & (POOL_LEAF - 1)],
                                  memory_order_acquire);
}

/* Cannot fail once it has succeeded for the same address. */
static int
pool_enter(const void *base, pool_run *run)
{
  uintptr_t number = (uintptr_t)base >> POOL_RUN_BITS;
  size_t at = number >> POOL_LEAF_BITS;
  pool_leaf *leaf = pool_leaf_of(number), *other = NULL;

  if (at >= POOL_ROOT)
    return -1;
  if (leaf == NULL) {
    leaf = mmap(NULL, sizeof *leaf, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (leaf == MAP_FAILED)
      return -1;
    if (!atomic_compare_exchange_strong(&pool.root[at], &other, leaf)) {
      (void)munmap(leaf, sizeof *leaf);
      leaf = other;
    }
  }
  atomic_store_explicit(&leaf->runs[number & (POOL_LEAF - 1)], run,
                        memory_order_release);
  return 0;
}

/* ---- mappings ----------------------------------------------------------- */

/* A mapping that begins at a multiple of POOL_RUN, or NULL. The first try
   often is one, as mappings lie side by side. */
static uint8_t *
pool_map(size_t size)
{
  uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  size_t skip;

  if (at == MAP_FAILED)
    return NULL;
  if (((uintptr_t)at & (POOL_RUN - 1)) == 0)
    return at;
  (void)munmap(at, size);
  at = mmap(NULL, size + POOL_RUN, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    return NULL;
  skip = (POOL_RUN - ((uintptr_t)at & (POOL_RUN - 1))) & (POOL_RUN - 1);
  if (skip != 0)
    (void)munmap(at, skip);
  (void)munmap(at + skip + size, POOL_RUN - skip);
  return at + skip;
}

/* A run in the table, its mapping untouched. */
static pool_run *
pool_run_new(pool_class *class, size_t size, size_t mapped)
{
  pool_run *run = calloc(1, sizeof *run);

  if (run == NULL)
    return NULL;
  run->base = pool_map(mapped);
  run->size = size;
  run->class = class;
  if (run->base != NULL && pool_enter(run->base, run) == 0)
    return run;
  if (run->base != NULL)
    (void)munmap(run->base, mapped);
  free(run);
  return NULL;
}

/* Out of the table before the address can be another's. */
static void
pool_run_free(pool_run *run, size_t mapped)
{
  (void)pool_enter(run->base, NULL);
  (void)munmap(run->base, mapped);
  free(run);
}

/* ---- large sizes -------------------------------------------------------- */

/* Whole units of the table, so that an address near a large mapping never
   finds it. What is not written is not resident. */
static size_t
pool_large_round(size_t size)
{
  return (size + POOL_RUN - 1) & ~(POOL_RUN - 1);
}

static void *
pool_large_new(size_t size)
{
  size_t mapped = pool_large_round(size);
  pool_run *run = pool_run_new(NULL, mapped, mapped);

  return run == NULL ? NULL : run->base;
}

/* Moves the pages, not the bytes. The old address must be out of the table
   before others can map it. If the system refuses, the new address may be
   another's already and is not unmapped. */
static void *
pool_large_move(pool_run *run, size_t mapped)
{
  pool_run *moved = pool_run_new(NULL, mapped, mapped);
  uint8_t *to;

  if (moved == NULL)
    return NULL;
  to = moved->base;
  (void)pool_enter(run->base, NULL);
  if (mremap(run->base, run->size, mapped, MREMAP_MAYMOVE | MREMAP_FIXED,
             to) != MAP_FAILED) {
    free(run);
    return to;
  }
  (void)pool_enter(run->base, run);
  (void)pool_enter(to, NULL);
  free(moved);
  return NULL;
}

static void *
pool_large_resize(pool_run *run, size_t size)
{
  size_t mapped = pool_large_round(size);
  size_t kept = (size + pool.page - 1) & ~(pool.page - 1);

  if (mapped > run->size)
    return pool_large_move(run, mapped);
  if (mapped < run->size)
    (void)munmap(run->base + mapped, run->size - mapped);
  run->size = mapped;
  if (kept < mapped)
    (void)madvise(run->base + kept, mapped - kept, MADV_DONTNEED);
  return run->base;
}

/* ---- classes ------------------------------------------------------------ */

/* Sizes over POOL_SMALL_MAX and up to POOL_MIDDLE_MAX; *slot gets the class's
   size. */
static size_t
pool_class_of(size_t size, size_t *slot)
{
  unsigned bits = 63u - (unsigned)__builtin_clzll((uint64_t)size - 1);
  unsigned shift = bits - POOL_STEP_BITS;
  size_t step = ((size - 1) >> shift) + 1; /* STEPS + 1 to 2 * STEPS */

  *slot = step << shift;
  return (bits - POOL_SMALL_BITS) * POOL_STEPS + step - POOL_STEPS - 1;
}

static void
pool_class_add(pool_class *class, pool_run *run, int first)
{
  run->next = first ? class->first : NULL;
  run->previous = first ? NULL : class->last;
  if (run->next != NULL)
    run->next->previous = run;
  else
    class->last = run;
  if (run->previous != NULL)
    run->previous->next = run;
  else
    class->first = run;
}

static void
pool_class_remove(pool_class *class, pool_run *run)
{
  if (run->next != NULL)
    run->next->previous = run->previous;
  else
    class->last = run->previous;
  if (run->previous != NULL)
    run->previous->next = run->next;
  else
    class->first = run->next;
}

static pool_run *
pool_class_grow(pool_class *class, size_t slot)
{
  pool_run *run = pool_run_new(class, slot, POOL_RUN);
  uint32_t i;

  if (run == NULL)
    return NULL;
  /* One huge page would make resident all that is not in use here. */
  if (slot < POOL_HUGE_SLOT)
    (void)madvise(run->base, POOL_RUN, MADV_NOHUGEPAGE);
  run->slots = run->free = (uint32_t)(POOL_RUN / slot);
  for (i = 0; i < run->slots; i++)
    run->free_bits[i / 64] |= (uint64_t)1 << i % 64;
  pool_class_add(class, run, 1);
  return run;
}

/* ---- slots; the class's lock is held ------------------------------------ */

static uint32_t
pool_slot_take(pool_run *run)
{
  uint32_t word = 0, bit;

  while (run->free_bits[word] == 0)
    word++;
  bit = (uint32_t)__builtin_ctzll(run->free_bits[word]);
  run->free_bits[word] &= run->free_bits[word] - 1;
  return word * 64 + bit;
}

/* A slot is about to be written. */
static void
pool_pages_enter(pool_class *class, pool_run *run, uint32_t slot)
{
  size_t page = slot * run->size / pool.page;
  size_t last = ((slot + 1) * run->size - 1) / pool.page;

  for (; page <= last; page++) {
    uint64_t bit = (uint64_t)1 << page % 64;

    if (run->live[page]++ != 0)
      continue;
    class->used++;
    if (run->dirty_bits[page / 64] & bit)
      class->idle--;
    run->dirty_bits[page / 64] |= bit;
  }
}

static void
pool_pages_leave(pool_class *class, pool_run *run, uint32_t slot)
{
  size_t page = slot * run->size / pool.page;
  size_t last = ((slot + 1) * run->size - 1) / pool.page;

  for (; page <= last; page++) {
    if (--run->live[page] != 0)
      continue;
    class->used--;
    class->idle++;
  }
}

static int
pool_page_idle(const pool_run *run, size_t page)
{
  return run->live[page] == 0 &&
         (run->dirty_bits[page / 64] >> page % 64 & 1) != 0;
}

/* Gives the run's idle pages back to the system. */
static void
pool_purge(pool_class *class, pool_run *run)
{
  size_t pages = POOL_RUN / pool.page, page = 0, first;

  while (page < pages) {
    first = page;
    while (page < pages && pool_page_idle(run, page))
      page++;
    if (page == first) {
      page++;
      continue;
    }
    if (madvise(run->base + first * pool.page, (page - first) * pool.page,
                MADV_DONTNEED) != 0)
      continue; /* locked in memory: stays idle */
    class->idle -= page - first;
    for (; first < page; first++)
      run->dirty_bits[first / 64] &= ~((uint64_t)1 << first % 64);
  }
}

static int
pool_idle_excess(const pool_class *class)
{
  return class->idle > POOL_IDLE_BYTES / pool.page +
                         class->used / POOL_IDLE_SHARE;
}

/* What the class keeps idle is bounded. A run that was purged is used last, as
   its pages cost a fault. */
static void
pool_settle(pool_class *class, pool_run *run)
{
  if (!pool_idle_excess(class))
    return;
  pool_purge(class, run);
  pool_class_remove(class, run);
  pool_class_add(class, run, 0);
}

/* ---- middle sizes ------------------------------------------------------- */

static void *
pool_middle_new(size_t size)
{
  size_t slot_size;
  pool_class *class = &pool.classes[pool_class_of(size, &slot_size)];
  uint8_t *at = NULL;
  pool_run *run;
  uint32_t slot;

  (void)pthread_mutex_lock(&class->lock);
  run = class->first;
  if (run == NULL)
    run = pool_class_grow(class, slot_size);
  if (run != NULL) {
    slot = pool_slot_take(run);
    run->free--;
    if (run->free == 0)
      pool_class_remove(class, run);
    pool_pages_enter(class, run, slot);
    at = run->base + slot * run->size;
  }
  (void)pthread_mutex_unlock(&class->lock);
  return at;
}

/* An empty run goes, unless it is the only one with room: then the class would
   soon map another. */
static void
pool_middle_free(pool_run *run, const uint8_t *at)
{
  pool_class *class = run->class;
  uint32_t slot = (uint32_t)((size_t)(at - run->base) / run->size);
  int gone;

  (void)pthread_mutex_lock(&class->lock);
  pool_pages_leave(class, run, slot);
  run->free_bits[slot / 64] |= (uint64_t)1 << slot % 64;
  if (run->free++ == 0)
    pool_class_add(class, run, 1);
  gone = run->free == run->slots && class->first != class->last;
  if (gone) {
    size_t page;

    pool_class_remove(class, run);
    for (page = 0; page < POOL_RUN / pool.page; page++)
      class->idle -= (size_t)pool_page_idle(run, page);
  } else {
    pool_settle(class, run);
  }
  (void)pthread_mutex_unlock(&class->lock);
  if (gone)
    pool_run_free(run, POOL_RUN);
}

/* ---- any size ----------------------------------------------------------- */

static void *
pool_new(size_t size)
{
  if (size <= POOL_SMALL_MAX)
    return malloc(size);
  return size <= POOL_MIDDLE_MAX ? pool_middle_new(size)
                                 : pool_large_new(size);
}

static void
pool_free(void *old)
{
  pool_run *run = pool_find(old);

  if (run == NULL)
    free(old);
  else if (run->class == NULL)
    pool_run_free(run, run->size);
  else
    pool_middle_free(run, old);
}

/* Another kind or class. Without memory a smaller one stays where it is. */
static void *
pool_move(void *old, size_t old_size, size_t size)
{
  void *to = pool_new(size);

  if (to == NULL)
    return size <= old_size ? old : NULL;
  memcpy(to, old, size < old_size ? size : old_size);
  pool_free(old);
  return to;
}

static void *
pool_resize(void *old, size_t size)
{
  pool_run *run = pool_find(old);

  if (run == NULL)
    return size <= POOL_SMALL_MAX
             ? realloc(old, size)
             : pool_move(old, malloc_usable_size(old), size);
  if (run->class == NULL && size > POOL_MIDDLE_MAX)
    return pool_large_resize(run, size);
  if (run->class != NULL && size <= run->size &&
      size > run->size - run->size / 8)
    return old;
  return pool_move(old, run->size, size);
}

void *
pool_alloc(void *old, size_t size)
{
  int plain = pool_is_plain();

  if (size == 0) {
    if (old != NULL && !plain)
      pool_free(old);
    else
      free(old);
    return NULL;
  }
  if (plain)
    return realloc(old, size);
  if (size > PTRDIFF_MAX - 2 * POOL_RUN) {
    errno = ENOMEM;
    return NULL;
  }
  return old == NULL ? pool_new(size) : pool_resize(old, size);
}
