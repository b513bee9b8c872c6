/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default host: real clocks, real randomness, the pool, the executor's
 * threads, the metrics; the log's outlet and the objects callers registered.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/settings.h"
#include "host/plugin/executor.h"
#include "host/plugin/factory.h"
#include "host/plugin/metrics.h"
#include "host/plugin/pool.h"

typedef struct host_object {
  struct host_object *next;
  void *object;
  char name[];
} host_object;

static struct host_state {
  pthread_mutex_t lock; /* guards the rest */
  sb_log_fn *log;
  void *log_arg;
  host_object *objects;
} host_state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- log ---------------------------------------------------------------- */

void
sb_host_set_log(sb_log_fn *fn, void *arg)
{
  (void)pthread_mutex_lock(&host_state.lock);
  host_state.log = fn;
  host_state.log_arg = arg;
  (void)pthread_mutex_unlock(&host_state.lock);
}

static void
host_log(const sb_host *host, uint32_t level, const char *component,
         const char *text)
{
  sb_log_fn *fn;
  void *arg;

  (void)host;
  (void)pthread_mutex_lock(&host_state.lock);
  fn = host_state.log;
  arg = host_state.log_arg;
  (void)pthread_mutex_unlock(&host_state.lock);
  if (fn != NULL)
    fn(arg, level, component, text);
}

/* ---- memory, clocks, randomness ----------------------------------------- */

static void *
host_alloc(const sb_host *host, void *old, size_t size)
{
  (void)host;
  return pool_alloc(old, size);
}

static uint64_t
host_clock_ms(const sb_host *host)
{
  struct timespec now;

  (void)host;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* For systems where getrandom fails: worse, but never the same twice. */
static uint64_t
host_random_fallback(void)
{
  static _Atomic uint64_t counter;
  uint64_t v = 0;
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, &v, sizeof v);

  if (fd >= 0)
    (void)close(fd);
  if (n == (ssize_t)sizeof v)
    return v;
  v = executor_now_ns(NULL) ^ host_clock_ms(NULL) << 20 ^
      (uint64_t)getpid() << 44;
  v += atomic_fetch_add(&counter, 1) * 0x9E3779B97F4A7C15ull;
  v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9ull;
  v = (v ^ v >> 27) * 0x94D049BB133111EBull;
  return v ^ v >> 31;
}

/* Straight from the system, so that a forked child repeats nothing. */
static uint64_t
host_random(const sb_host *host)
{
  uint64_t v;
  ssize_t n;

  (void)host;
  do
    n = getrandom(&v, sizeof v, 0);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof v ? v : host_random_fallback();
}

/* ---- registered objects ------------------------------------------------- */

/* With the lock held: the link that points to the name's entry, or the last
   one. */
static host_object **
host_object_link(const char *name)
{
  host_object **link = &host_state.objects;

  while (*link != NULL && strcmp((*link)->name, name) != 0)
    link = &(*link)->next;
  return link;
}

static sb_status
host_object_set(const sb_host *host, const char *name, void *object)
{
  host_object **link = host_object_link(name);
  host_object *entry = *link;
  size_t len = strlen(name) + 1;

  if (object == NULL && entry != NULL) {
    *link = entry->next;
    mem_free(host, entry);
  } else if (entry != NULL) {
    entry->object = object;
  } else if (object != NULL) {
    entry = mem_alloc(host, sizeof *entry + len);
    if (entry == NULL)
      return SB_NO_MEMORY;
    memcpy(entry->name, name, len);
    entry->object = object;
    entry->next = NULL;
    *link = entry;
  }
  return SB_OK;
}

sb_status
sb_host_register(const char *name, void *object, sb_error *err)
{
  sb_status status;

  if (name == NULL || name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "an object is registered by a name");
  (void)pthread_mutex_lock(&host_state.lock);
  status = host_object_set(sb_host_default(), name, object);
  (void)pthread_mutex_unlock(&host_state.lock);
  return status == SB_OK
           ? SB_OK
           : sb_error_set(err, status, "no memory to register \"%s\"", name);
}

static void *
host_lookup(const sb_host *host, const char *name)
{
  host_object *entry;
  void *object;

  (void)host;
  (void)pthread_mutex_lock(&host_state.lock);
  entry = *host_object_link(name);
  object = entry == NULL ? NULL : entry->object;
  (void)pthread_mutex_unlock(&host_state.lock);
  return object;
}

/* ---- the table ---------------------------------------------------------- */

static const sb_host host_default = {
  .struct_size = sizeof (sb_host),
  .abi_version = SB_ABI_VERSION,
  .ctx = NULL,
  .log = host_log,
  .alloc = host_alloc,
  .clock_ms = host_clock_ms,
  .monotonic_ns = executor_now_ns,
  .random = host_random,
  .execute = executor_execute,
  .timer_start = executor_timer_start,
  .timer_stop = executor_timer_stop,
  .event_new = event_new,
  .event_free = event_free,
  .event_set = event_set,
  .event_wait = event_wait,
  .metric_add = metrics_add,
  .lookup = host_lookup,
  .config_string = settings_string,
  .config_int = settings_int,
  .config_double = settings_double,
  .engine_open = factory_engine_open,
  .metric_slot = metrics_slot,
  .metric_slot_add = metrics_slot_add,
  .metric_slot_set = metrics_slot_set,
};

const sb_host *
sb_host_default(void)
{
  return &host_default;
}
