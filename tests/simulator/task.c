/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine below a task: a stack with a guard page and a saved context.
 * Stacks are pooled for the life of the program. Sanitizers and valgrind are
 * told about every switch, else they take one for a stack overflow.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "tests/simulator/sim.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

#if defined(__SANITIZE_ADDRESS__)
#define TASK_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TASK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TASK_ASAN 1
#elif __has_feature(thread_sanitizer)
#define TASK_TSAN 1
#endif
#endif
#ifdef TASK_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef TASK_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define TASK_STACK (256u << 10)

typedef struct machine {
  struct machine *next;
  ucontext_t context;
  char *stack;              /* usable part, above the guard page */
  unsigned valgrind;
  void *fake;               /* ASan's */
  void *fiber;              /* TSan's */
} machine;

static machine *task_pool;
static ucontext_t task_scheduler;
#ifdef TASK_ASAN
static void *task_scheduler_fake;
static const void *task_scheduler_stack;
static size_t task_scheduler_size;
#endif
#ifdef TASK_TSAN
static void *task_scheduler_fiber;
#endif

static machine *
machine_new(void)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  machine *m = calloc(1, sizeof *m);
  char *base = mmap(NULL, TASK_STACK + page, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (m == NULL || base == MAP_FAILED || mprotect(base, page, 0) != 0) {
    perror("sim: no memory for a stack");
    exit(2);
  }
  m->stack = base + page;
  m->valgrind = VALGRIND_STACK_REGISTER(m->stack, m->stack + TASK_STACK);
#ifdef TASK_TSAN
  m->fiber = __tsan_create_fiber(0);
#endif
  return m;
}

static void
machine_free(machine *m)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);

  VALGRIND_STACK_DEREGISTER(m->valgrind);
#ifdef TASK_TSAN
  __tsan_destroy_fiber(m->fiber);
#endif
  (void)munmap(m->stack - page, TASK_STACK + page);
  free(m);
}

static void
machine_main(unsigned high, unsigned low)
{
  sim_task *task = (sim_task *)((uintptr_t)high << 32 | (uintptr_t)low);

#ifdef TASK_ASAN
  __sanitizer_finish_switch_fiber(NULL, &task_scheduler_stack,
                                  &task_scheduler_size);
#endif
  sim_task_main(task);
  abort(); /* a task that has ended is never entered again */
}

void
task_start(sim_task *task)
{
  machine *m = task_pool != NULL ? task_pool : machine_new();
  uintptr_t address = (uintptr_t)task;

  if (m == task_pool)
    task_pool = m->next;
  m->fake = NULL;
  (void)getcontext(&m->context);
  m->context.uc_stack.ss_sp = m->stack;
  m->context.uc_stack.ss_size = TASK_STACK;
  m->context.uc_link = NULL;
  makecontext(&m->context, (void (*)(void))machine_main, 2,
              (unsigned)(address >> 32), (unsigned)address);
  task->machine = m;
}

void
task_enter(sim_task *task)
{
  machine *m = task->machine;

#ifdef TASK_TSAN
  if (task_scheduler_fiber == NULL)
    task_scheduler_fiber = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(m->fiber, 0);
#endif
#ifdef TASK_ASAN
  __sanitizer_start_switch_fiber(&task_scheduler_fake, m->stack, TASK_STACK);
#endif
  (void)swapcontext(&task_scheduler, &m->context);
#ifdef TASK_ASAN
  __sanitizer_finish_switch_fiber(task_scheduler_fake, NULL, NULL);
#endif
}

void
task_leave(sim_task *task)
{
  machine *m = task->machine;

#ifdef TASK_TSAN
  __tsan_switch_to_fiber(task_scheduler_fiber, 0);
#endif
#ifdef TASK_ASAN
  __sanitizer_start_switch_fiber(&m->fake, task_scheduler_stack,
                                 task_scheduler_size);
#endif
  (void)swapcontext(&m->context, &task_scheduler);
#ifdef TASK_ASAN
  __sanitizer_finish_switch_fiber(m->fake, &task_scheduler_stack,
                                  &task_scheduler_size);
#endif
}

void
task_release(sim_task *task)
{
  machine *m = task->machine;

  if (m == NULL)
    return;
#ifdef TASK_ASAN
  ASAN_UNPOISON_MEMORY_REGION(m->stack, TASK_STACK);
#endif
  m->next = task_pool;
  task_pool = m;
  task->machine = NULL;
}

void
task_pool_free(void)
{
  while (task_pool != NULL) {
    machine *m = task_pool;

    task_pool = m->next;
    machine_free(m);
  }
}
