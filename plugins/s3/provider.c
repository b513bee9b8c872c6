/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache in front of a source of credentials: see credentials.h.
 *
 * There is at most one refresh, a task on the I/O lane. Callers that have
 * nothing good to go on with queue behind it. Nothing runs while nobody asks:
 * the end of credentials is noticed by s3_provider_get.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define PROVIDER_EARLY_MS 300000u     /* refreshed that long before an end */
/* Credentials that arrive with an end in the past are tried for that long:
   the clock may be wrong, and the server will say. */
#define PROVIDER_GRACE_MS 60000u
#define PROVIDER_SAME_NS 30000000000u /* refused ones came again: no more */
#define PROVIDER_PAUSE_MIN_NS 1000000000u
#define PROVIDER_PAUSE_MAX_NS 60000000000u
#define PROVIDER_TRIES 4              /* of a refresh somebody waits for */
#define PROVIDER_TRY_MS 250u          /* the first pause between them */
#define PROVIDER_TRY_NS 15000000000u  /* no try begins later than that */
#define PROVIDER_EMPTY_MIN_NS 100000000u /* the pauses without good ones */
#define PROVIDER_EMPTY_MAX_NS 2000000000u

typedef struct provider_waiter {
  struct provider_waiter *next;
  s3_provider_done *done;
  void *arg;
} provider_waiter;

struct s3_provider {
  s3_fetch fetch;            /* the refresh's own, but `stopping` */
  const sb_host *host;
  s3_source *source;         /* the refresh's own */
  sb_event *idle;
  s3_provider_watch_fn *watch;
  void *watch_arg;
  pthread_mutex_t lock;      /* guards all below */
  s3_credentials *current;   /* the newest; may have ended */
  int rejected;              /* the server has refused `current` */
  int refreshing;            /* the task runs or is about to */
  int fetching;              /* its result is not known yet */
  uint64_t serial;
  uint32_t failures;         /* since the last success */
  uint64_t again_ns;         /* no refresh before */
  uint64_t same_until_ns;    /* refused ones came again: do not ask again */
  const char *name;
  sb_error error;            /* of the last failure */
  provider_waiter *first, **last;
};

static void
provider_lock(s3_provider *p)
{
  (void)pthread_mutex_lock(&p->lock);
}

static void
provider_unlock(s3_provider *p)
{
  (void)pthread_mutex_unlock(&p->lock);
}

/* ---- what is good ------------------------------------------------------- */

static int
provider_good(const s3_provider *p)
{
  const s3_credentials *c = p->current;
  uint64_t now = p->host->clock_ms(p->host);

  if (c == NULL || p->rejected)
    return 0;
  if (c->expires_ms == 0 || now < c->expires_ms)
    return 1;
  return c->expires_ms <= c->obtained_ms &&
         now - c->obtained_ms < PROVIDER_GRACE_MS;
}

/* 1 if it is time for new ones. */
static int
provider_due(const s3_provider *p)
{
  const s3_credentials *c = p->current;
  uint64_t early = PROVIDER_EARLY_MS;

  if (c->expires_ms == 0)
    return 0;
  if (c->expires_ms <= c->obtained_ms)
    return 1;
  if ((c->expires_ms - c->obtained_ms) / 4 < early)
    early = (c->expires_ms - c->obtained_ms) / 4;
  return p->host->clock_ms(p->host) + early >= c->expires_ms;
}

static uint64_t
provider_left_ns(const s3_provider *p)
{
  uint64_t now = p->host->clock_ms(p->host);

  return p->current == NULL || p->current->expires_ms <= now
           ? 0
           : (p->current->expires_ms - now) * 1000000u;
}

/* Between half of `pause` and all of it. */
static uint64_t
provider_jitter(const s3_provider *p, uint64_t pause)
{
  return pause / 2 + p->host->random(p->host) % (pause / 2 + 1);
}

/* With the lock held, after `failures` failures. */
static uint64_t
provider_pause_ns(const s3_provider *p, int good)
{
  uint64_t pause = good ? PROVIDER_PAUSE_MIN_NS : PROVIDER_EMPTY_MIN_NS;
  uint64_t most = good ? PROVIDER_PAUSE_MAX_NS : PROVIDER_EMPTY_MAX_NS;
  uint32_t i;

  if (good && p->current->expires_ms != 0 && provider_left_ns(p) / 4 < most)
    most = provider_left_ns(p) / 4;
  for (i = 1; i < p->failures && pause < most; i++)
    pause *= 2;
  return provider_jitter(p, pause < most ? pause : most);
}

/* ---- a refresh ---------------------------------------------------------- */

static int
provider_same(const s3_credentials *a, const s3_credentials *b)
{
  const char *x = a->session_token == NULL ? "" : a->session_token;
  const char *y = b->session_token == NULL ? "" : b->session_token;

  return strcmp(a->access_key, b->access_key) == 0 &&
         strcmp(a->secret_key, b->secret_key) == 0 && strcmp(x, y) == 0;
}

/* With the lock held. Takes the reference; the one that it replaces. */
static s3_credentials *
provider_install(s3_provider *p, s3_credentials *got)
{
  s3_credentials *old = p->current;
  uint64_t now = p->host->monotonic_ns(p->host);
  int same = old != NULL && provider_same(old, got);

  got->serial = ++p->serial;
  /* They are as old as when they first came. */
  if (same && got->expires_ms > p->host->clock_ms(p->host))
    got->obtained_ms = old->obtained_ms;
  p->current = got;
  p->same_until_ns = same && p->rejected ? now + PROVIDER_SAME_NS : 0;
  p->rejected = 0;
  p->failures = 0;
  p->again_ns = 0;
  /* A source that has nothing newer yet is asked again in a while. */
  if (provider_due(p)) {
    uint64_t pause = provider_left_ns(p) / 4;

    if (pause < PROVIDER_PAUSE_MIN_NS)
      pause = PROVIDER_PAUSE_MIN_NS;
    if (pause > PROVIDER_PAUSE_MAX_NS)
      pause = PROVIDER_PAUSE_MAX_NS;
    p->again_ns = now + provider_jitter(p, pause);
  }
  return old;
}

/* With the lock held. */
static void
provider_failed(s3_provider *p, const sb_error *err)
{
  p->failures++;
  p->error = *err;
  p->again_ns = p->host->monotonic_ns(p->host) +
                provider_pause_ns(p, provider_good(p));
}

static void
provider_log(s3_provider *p, const char *name, int good, const sb_error *err)
{
  char text[700];

  (void)snprintf(text, sizeof text, "could not refresh credentials (%s)%s: %s",
                 name, good ? ", the old ones are still good" : "",
                 err->message);
  p->host->log(p->host, SB_LOG_WARN, "s3", text);
}

/* Keeps what a fetch has come to and tells those who watch. */
static void
provider_finish(s3_provider *p, s3_credentials *got, const sb_error *err)
{
  s3_credentials *old = NULL;
  uint64_t obtained = 0, expires = 0;
  const char *name = p->source->name;
  int good;

  provider_lock(p);
  p->fetching = 0;
  p->name = name;
  if (got != NULL)
    old = provider_install(p, got);
  else
    provider_failed(p, err);
  good = provider_good(p);
  if (p->current != NULL) {
    obtained = p->current->obtained_ms;
    expires = p->current->expires_ms;
  }
  provider_unlock(p);
  s3_credentials_unref(old);
  if (got == NULL && err->status != SB_CANCELLED)
    provider_log(p, name, good, err);
  if (p->watch != NULL)
    p->watch(p->watch_arg, obtained, expires, got == NULL);
}

/* Gives everybody who waits the result. */
static void
provider_deliver(s3_provider *p, int ok, const sb_error *err)
{
  s3_credentials *give = NULL;
  provider_waiter *waiter, *next;

  provider_lock(p);
  waiter = p->first;
  p->first = NULL;
  p->last = &p->first;
  if (ok && p->current != NULL)
    give = s3_credentials_ref(p->current);
  provider_unlock(p);
  for (; waiter != NULL; waiter = next) {
    next = waiter->next;
    waiter->done(waiter->arg, give == NULL ? NULL : s3_credentials_ref(give),
                 give == NULL ? err : NULL);
    s3_free(p->host, waiter);
  }
  s3_credentials_unref(give);
}

/* Ends the refresh unless somebody waits again: 1 if it has ended, and then
   the provider may be gone. */
static int
provider_rest(s3_provider *p)
{
  int rest;

  provider_lock(p);
  rest = p->first == NULL;
  if (rest) {
    p->refreshing = 0;
    p->host->event_set(p->host, p->idle);
  }
  provider_unlock(p);
  return rest;
}

/* A source's reasons say nothing about an object, so that those of them which
   would be misread as such are told otherwise. */
static sb_status
provider_status(sb_status status)
{
  switch (status) {
  case SB_OK:
  case SB_CANCELLED:
  case SB_NO_MEMORY:
  case SB_CONFIG:
    return status;
  case SB_UNAVAILABLE:
  case SB_TIMEOUT:
  case SB_IO:
  case SB_BUSY:
  case SB_CORRUPT:
    return SB_UNAVAILABLE;
  default:
    return SB_DENIED;
  }
}

static int
provider_stopping(const s3_provider *p)
{
  return atomic_load(&p->fetch.stopping);
}

static sb_status
provider_stopped(sb_error *err)
{
  return sb_fail(err, SB_CANCELLED, "the store is being closed");
}

static sb_status
provider_fetch(s3_provider *p, s3_credentials **out, sb_error *err)
{
  sb_error local;
  sb_status status;

  *out = NULL;
  if (provider_stopping(p))
    return provider_stopped(err);
  provider_lock(p);
  p->fetching = 1;
  p->fetch.rejected = p->rejected;
  provider_unlock(p);
  local.message[0] = '\0';
  status = p->source->fetch(p->source, &p->fetch, out, &local);
  if (status == SB_OK && *out == NULL)
    status = sb_fail(&local, SB_CORRUPT, "it gave none");
  status = provider_status(status);
  if (status != SB_OK)
    (void)sb_fail(err, status, "no credentials from %s: %.460s",
                  p->source->name, local.message);
  return status;
}

static int
provider_waited(s3_provider *p)
{
  int waited;

  provider_lock(p);
  waited = p->first != NULL;
  provider_unlock(p);
  return waited;
}

/* A refresh. Who waits for it would rather wait than fail. */
static void
provider_try(s3_provider *p, s3_credentials **out, sb_error *err)
{
  uint64_t until = p->host->monotonic_ns(p->host) + PROVIDER_TRY_NS;
  uint64_t pause_ms = PROVIDER_TRY_MS;
  int i;

  for (i = 1; provider_fetch(p, out, err) == SB_UNAVAILABLE; i++) {
    if (i == PROVIDER_TRIES || !provider_waited(p) ||
        p->host->monotonic_ns(p->host) >= until)
      return;
    if (s3_fetch_sleep(&p->fetch, provider_jitter(p, pause_ms))) {
      (void)provider_stopped(err);
      return;
    }
    pause_ms *= 2;
  }
}

static void
provider_refresh(void *arg)
{
  s3_provider *p = arg;
  s3_credentials *got;
  sb_error err;

  do {
    memset(&err, 0, sizeof err);
    provider_try(p, &got, &err);
    provider_finish(p, got, &err);
    provider_deliver(p, got != NULL, &err);
  } while (!provider_rest(p));
}

/* `refreshing` is set. */
static void
provider_start(s3_provider *p)
{
  sb_error err;

  memset(&err, 0, sizeof err);
  if (p->host->execute(p->host, SB_LANE_IO, provider_refresh, p, &err) ==
      SB_OK)
    return;
  provider_finish(p, NULL, &err);
  do
    provider_deliver(p, 0, &err);
  while (!provider_rest(p));
}

/* ---- the interface ------------------------------------------------------ */

sb_status
s3_provider_open(const s3_settings *settings, s3_provider **out, sb_error *err)
{
  const sb_host *host = settings->host;
  s3_provider *p = s3_alloc(host, sizeof *p);
  sb_status status;

  *out = NULL;
  if (p == NULL)
    return s3_source_no_memory(err);
  p->host = p->fetch.host = host;
  p->fetch.settings = settings;
  atomic_init(&p->fetch.stopping, 0);
  p->last = &p->first;
  (void)pthread_mutex_init(&p->lock, NULL);
  p->idle = host->event_new(host);
  p->fetch.wake = host->event_new(host);
  if (p->idle == NULL || p->fetch.wake == NULL)
    status = s3_source_no_memory(err);
  else
    status = s3_source_open(settings, "aws.credentials.provider", 0,
                            &p->source, err);
  if (status != SB_OK) {
    s3_provider_close(p);
    return status;
  }
  p->name = p->source->name;
  *out = p;
  return SB_OK;
}

static int
provider_busy(s3_provider *p)
{
  int busy;

  provider_lock(p);
  busy = p->refreshing;
  provider_unlock(p);
  return busy;
}

void
s3_provider_stop(s3_provider *p)
{
  const sb_host *host = p->host;

  atomic_store(&p->fetch.stopping, 1);
  if (p->fetch.wake != NULL)
    host->event_set(host, p->fetch.wake);
  while (provider_busy(p))
    (void)host->event_wait(host, p->idle, SB_NO_DEADLINE);
}

void
s3_provider_close(s3_provider *p)
{
  const sb_host *host;

  if (p == NULL)
    return;
  host = p->host;
  s3_provider_stop(p);
  s3_source_close(p->source);
  s3_credentials_unref(p->current);
  if (p->idle != NULL)
    host->event_free(host, p->idle);
  if (p->fetch.wake != NULL)
    host->event_free(host, p->fetch.wake);
  (void)pthread_mutex_destroy(&p->lock);
  s3_free(host, p);
}

void
s3_provider_watch(s3_provider *provider, s3_provider_watch_fn *fn, void *arg)
{
  provider->watch = fn;
  provider->watch_arg = arg;
}

/* What s3_provider_get decides; with the lock held. 1: a refresh is to be
   started. *error is filled if the caller is to be refused. */
static int
provider_ask(s3_provider *p, provider_waiter *waiter, s3_credentials **out,
             sb_error *err)
{
  uint64_t now = p->host->monotonic_ns(p->host);
  int start = 0;

  err->status = SB_OK;
  if (provider_good(p)) {
    *out = s3_credentials_ref(p->current);
    start = !p->refreshing && provider_due(p) && now >= p->again_ns &&
            !provider_stopping(p);
  } else if (provider_stopping(p)) {
    (void)provider_stopped(err);
  } else if (!p->fetching && p->failures > 0 && now < p->again_ns) {
    *err = p->error;
  } else if (waiter == NULL) {
    (void)s3_source_no_memory(err);
  } else {
    *p->last = waiter;
    p->last = &waiter->next;
    start = !p->refreshing;
  }
  if (start)
    p->refreshing = p->fetching = 1;
  return start;
}

/* Good credentials without a refresh cost one lock and no memory. */
static int
provider_quick(s3_provider *p, s3_credentials **out)
{
  int quick;

  provider_lock(p);
  quick = provider_good(p) && (p->refreshing || !provider_due(p));
  if (quick)
    *out = s3_credentials_ref(p->current);
  provider_unlock(p);
  return quick;
}

void
s3_provider_get(s3_provider *p, s3_provider_done *done, void *arg,
                s3_credentials **out)
{
  provider_waiter *waiter;
  sb_error err;
  int start, queued;

  *out = NULL;
  if (provider_quick(p, out))
    return;
  waiter = s3_alloc(p->host, sizeof *waiter);
  if (waiter != NULL) {
    waiter->done = done;
    waiter->arg = arg;
  }
  provider_lock(p);
  start = provider_ask(p, waiter, out, &err);
  queued = *out == NULL && err.status == SB_OK;
  provider_unlock(p);
  if (!queued)
    s3_free(p->host, waiter);
  if (err.status != SB_OK)
    done(arg, NULL, &err);
  if (start)
    provider_start(p);
}

int
s3_provider_reject(s3_provider *p, const s3_credentials *c)
{
  int hope = p->source->renewable;

  provider_lock(p);
  if (p->current != NULL && p->current->serial == c->serial) {
    if (p->host->monotonic_ns(p->host) < p->same_until_ns)
      hope = 0;
    if (hope && !p->rejected) {
      p->rejected = 1;
      p->again_ns = 0;
      p->failures = 0;
    }
  } else {
    hope = 1;
  }
  provider_unlock(p);
  return hope;
}

const char *
s3_provider_name(s3_provider *p)
{
  const char *name;

  provider_lock(p);
  name = p->name;
  provider_unlock(p);
  return name;
}
