/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporters. Each place (an outlet) has one thread, which sleeps in poll
 * until it is time to write, somebody connects, or the outlet is closed.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <statebackend/statebackend.h>
#include "host/config/settings.h"
#include "host/plugin/executor.h"
#include "host/plugin/exporter.h"
#include "host/plugin/listener.h"
#include "host/plugin/metrics.h"

typedef struct outlet {
  struct outlet *next;
  size_t references;
  uint64_t interval_ns;
  int wake;             /* an eventfd that ends the thread */
  sb_event *ended;
  int warned;           /* of the trouble that lasts */
  listener *listener;   /* NULL: a file */
  char place[];         /* path or address */
} outlet;

struct exporter {
  outlet *file, *listen;
};

static pthread_mutex_t outlet_lock = PTHREAD_MUTEX_INITIALIZER;
static outlet *outlet_list; /* guarded by it, with the references */

/* ---- what an outlet does ------------------------------------------------ */

static void outlet_log(uint32_t level, const char *format, ...)
  SB_PRINTF(2, 3);

static void
outlet_log(uint32_t level, const char *format, ...)
{
  const sb_host *host = sb_host_default();
  char text[PATH_MAX + 512];
  va_list args;

  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  host->log(host, level, "metrics", text);
}

static int
outlet_write_all(int fd, const uint8_t *data, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, data, len);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    data += n;
    len -= (size_t)n;
  }
  return 0;
}

/* By another name first, so that a reader sees the old text or the new one. */
static int
outlet_replace(const char *path, const buf *text)
{
  char other[PATH_MAX];
  int n = snprintf(other, sizeof other, "%s.%ld.tmp", path, (long)getpid());
  int fd, failure = 0;

  if (n < 0 || (size_t)n >= sizeof other)
    return ENAMETOOLONG;
  (void)unlink(other);
  fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    return errno;
  if (outlet_write_all(fd, text->data, text->len - 1) != 0)
    failure = errno;
  if (close(fd) != 0 && failure == 0)
    failure = errno;
  if (failure == 0 && rename(other, path) != 0)
    failure = errno;
  if (failure != 0)
    (void)unlink(other);
  return failure;
}

static void
outlet_write(outlet *o)
{
  const sb_host *host = sb_host_default();
  int failure = ENOMEM;
  buf text;

  buf_init(&text, host, METRICS_TEXT_MAX);
  if (metrics_text(host, &text, NULL) == SB_OK)
    failure = outlet_replace(o->place, &text);
  buf_dispose(&text);
  /* Trouble is told once, until it has gone well again. */
  if (failure != 0 && !o->warned)
    outlet_log(SB_LOG_WARN, "could not write the metrics' file \"%s\": %s",
               o->place, strerror(failure));
  o->warned = failure != 0;
}

static void
outlet_bind(outlet *o)
{
  char url[128];
  sb_error err;

  if (o->listener->fd >= 0)
    return;
  if (listener_bind(o->listener, &err) != SB_OK) {
    if (!o->warned)
      outlet_log(SB_LOG_WARN, "could not listen on %s for readers of metrics:"
                 " %s", o->place, err.message);
    o->warned = 1;
    return;
  }
  listener_url(o->listener, url, sizeof url);
  outlet_log(SB_LOG_INFO, "metrics can be read at %s", url);
}

/* ---- the thread --------------------------------------------------------- */

static int
outlet_wait_ms(uint64_t now, uint64_t until)
{
  uint64_t ms = until <= now ? 0 : (until - now) / 1000000u + 1;

  return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Waits until there is something to do; 1 if it is to end. */
static int
outlet_wait(outlet *o, uint64_t due_ns)
{
  const sb_host *host = sb_host_default();
  struct pollfd polls[1 + LISTENER_POLLS] = { { .fd = o->wake,
                                                .events = POLLIN } };
  uint64_t deadline = SB_NO_DEADLINE;
  size_t count = 0;

  if (o->listener != NULL)
    count = listener_polls(o->listener, polls + 1, &deadline);
  if (due_ns < deadline)
    deadline = due_ns;
  if (poll(polls, (nfds_t)(1 + count),
           outlet_wait_ms(host->monotonic_ns(host), deadline)) < 0)
    return 0;
  if (o->listener != NULL)
    listener_serve(o->listener, polls + 1, count);
  return polls[0].revents != 0;
}

static void *
outlet_run(void *arg)
{
  const sb_host *host = sb_host_default();
  outlet *o = arg;
  uint64_t due = 0;
  int end = 0;

  while (!end) {
    uint64_t now = host->monotonic_ns(host);

    if (now >= due) {
      if (o->listener != NULL)
        outlet_bind(o);
      else
        outlet_write(o);
      due = now + o->interval_ns;
    }
    end = outlet_wait(o, due);
  }
  if (o->listener != NULL)
    listener_close(o->listener);
  else
    outlet_write(o);
  host->event_set(host, o->ended);
  return NULL;
}

/* ---- life --------------------------------------------------------------- */

static void
outlet_free(outlet *o)
{
  const sb_host *host = sb_host_default();

  if (o->wake >= 0)
    (void)close(o->wake);
  if (o->ended != NULL)
    host->event_free(host, o->ended);
  mem_free(host, o->listener);
  mem_free(host, o);
}

static sb_status
outlet_new(const char *place, int listen, uint64_t interval_ms, outlet **out,
           sb_error *err)
{
  const sb_host *host = sb_host_default();
  outlet *o = mem_zalloc(host, sizeof *o + strlen(place) + 1);
  sb_status status = SB_OK;

  if (o == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to export metrics");
  strcpy(o->place, place);
  o->references = 1;
  o->interval_ns = interval_ms * 1000000u;
  o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  o->ended = host->event_new(host);
  if (listen)
    o->listener = mem_zalloc(host, sizeof *o->listener);
  if (o->ended == NULL || (listen && o->listener == NULL))
    status = sb_error_set(err, SB_NO_MEMORY, "no memory to export metrics");
  else if (listen)
    status = listener_init(o->listener, host, place, err);
  if (status == SB_OK &&
      (o->wake < 0 || executor_thread(outlet_run, o, "sb-metrics") != 0))
    status = sb_error_set(err, SB_IO, "no thread to export metrics");
  if (status != SB_OK)
    outlet_free(o);
  else
    *out = o;
  return status;
}

/* The outlet of a place, one more reference to it; *out stays NULL for no
   place. */
static sb_status
outlet_open(const char *place, int listen, uint64_t interval_ms, outlet **out,
            sb_error *err)
{
  sb_status status = SB_OK;
  outlet *o;

  if (place == NULL || place[0] == '\0')
    return SB_OK;
  (void)pthread_mutex_lock(&outlet_lock);
  for (o = outlet_list; o != NULL; o = o->next)
    if ((o->listener != NULL) == listen && strcmp(o->place, place) == 0)
      break;
  if (o != NULL) {
    o->references++;
  } else {
    status = outlet_new(place, listen, interval_ms, &o, err);
    if (status == SB_OK) {
      o->next = outlet_list;
      outlet_list = o;
    }
  }
  (void)pthread_mutex_unlock(&outlet_lock);
  *out = status == SB_OK ? o : NULL;
  return status;
}

static void
outlet_close(outlet *o)
{
  const sb_host *host = sb_host_default();
  const uint64_t one = 1;
  outlet **link = &outlet_list;
  int last;

  if (o == NULL)
    return;
  (void)pthread_mutex_lock(&outlet_lock);
  last = --o->references == 0;
  while (last && *link != o)
    link = &(*link)->next;
  if (last)
    *link = o->next;
  (void)pthread_mutex_unlock(&outlet_lock);
  if (!last)
    return;
  (void)!write(o->wake, &one, sizeof one);
  (void)host->event_wait(host, o->ended, SB_NO_DEADLINE);
  outlet_free(o);
}

sb_status
exporter_open(const sb_config *config, exporter **out, sb_error *err)
{
  const char *file = settings_string(config, OPTION_METRICS_FILE);
  const char *listen = settings_string(config, OPTION_METRICS_LISTEN);
  uint64_t interval = (uint64_t)settings_int(config, OPTION_METRICS_INTERVAL);
  exporter *e;
  sb_status status;

  *out = NULL;
  if ((file == NULL || file[0] == '\0') &&
      (listen == NULL || listen[0] == '\0'))
    return SB_OK;
  e = mem_zalloc(sb_host_default(), sizeof *e);
  if (e == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to export metrics");
  status = outlet_open(listen, 1, interval, &e->listen, err);
  if (status == SB_OK)
    status = outlet_open(file, 0, interval, &e->file, err);
  if (status == SB_OK)
    *out = e;
  else
    exporter_close(e);
  return status;
}

void
exporter_close(exporter *e)
{
  if (e == NULL)
    return;
  outlet_close(e->listen);
  outlet_close(e->file);
  mem_free(sb_host_default(), e);
}
