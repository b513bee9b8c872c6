/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault filter: makes operations fail, tears writes and corrupts reads.
 * It counts the operations it is told to look at and hits the Nth of them, or
 * a share of them, or both.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugins/filter/filter.h"

#define FAULT_KEY "state.backend.filter.fault."

#define FAULT_FAIL 0
#define FAULT_TORN 1
#define FAULT_CORRUPT 2

typedef struct fault {
  filter f;
  uint32_t mask;
  int action;
  int after;                /* fail after the effect */
  int persistent;           /* all from the Nth on */
  int lies;                 /* spoils the effect and says that all is well */
  sb_status status;         /* SB_OK: by kind of operation */
  uint64_t nth;             /* 0: none */
  double rate;
  char *trigger, *name;     /* NULL: always, all */
  atomic_uint_fast64_t seen;
  pthread_mutex_t lock;     /* guards seed */
  uint64_t seed;
} fault;

static const sb_option fault_options[] = {
  { FAULT_KEY "operations", SB_TYPE_LIST, 0, NULL, 0, 0, NULL,
    "Operations to look at: get, put, open, write, commit, abort, head, list, "
    "remove, copy; all if empty." },
  { FAULT_KEY "name", SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "Look only at operations on objects with this in their name." },
  { FAULT_KEY "nth", SB_TYPE_INT, 0, "0", 0, INT64_MAX, NULL,
    "Hit the Nth operation looked at; 0: none." },
  { FAULT_KEY "persistent", SB_TYPE_BOOL, 0, "false", 0, 0, NULL,
    "Hit all operations from the Nth on, not only that one." },
  { FAULT_KEY "rate", SB_TYPE_DOUBLE, 0, "0", 0, 1, NULL,
    "Share of the operations looked at to hit." },
  { FAULT_KEY "action", SB_TYPE_ENUM, 0, "fail", 0, 0, "fail|torn|corrupt",
    "fail; torn: store a part of a put's body only; corrupt: flip a bit of "
    "what a get read." },
  { FAULT_KEY "when", SB_TYPE_ENUM, 0, "before", 0, 0, "before|after",
    "Fail before the operation had an effect or after it." },
  { FAULT_KEY "status", SB_TYPE_ENUM, 0, "default", 0, 0,
    "default|ok|io|unavailable|timeout|busy|denied|no-space|unknown|"
    "not-found|exists|conflict|cancelled|corrupt",
    "What a hit operation says; default: unknown for a change that has or may "
    "have taken effect, else io." },
  { FAULT_KEY "trigger", SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "File; operations are looked at only while it exists." },
  { FAULT_KEY "seed", SB_TYPE_INT, 0, "0", 0, INT64_MAX, NULL,
    "Seed of what is drawn; 0: from the host." },
};

static const char *const fault_prefixes[] = { FAULT_KEY, NULL };

static sb_status
fault_status_of(const char *name)
{
  static const struct {
    const char *name;
    sb_status status;
  } table[] = {
    { "io", SB_IO },
    { "unavailable", SB_UNAVAILABLE },
    { "timeout", SB_TIMEOUT },
    { "busy", SB_BUSY },
    { "denied", SB_DENIED },
    { "no-space", SB_NO_SPACE },
    { "unknown", SB_UNKNOWN },
    { "not-found", SB_NOT_FOUND },
    { "exists", SB_EXISTS },
    { "conflict", SB_CONFLICT },
    { "cancelled", SB_CANCELLED },
    { "corrupt", SB_CORRUPT },
  };
  size_t i;

  for (i = 0; i < sizeof table / sizeof table[0]; i++)
    if (name != NULL && strcmp(table[i].name, name) == 0)
      return table[i].status;
  return SB_OK;
}

static uint64_t
fault_draw(fault *t)
{
  uint64_t drawn;

  pthread_mutex_lock(&t->lock);
  drawn = filter_random(&t->seed);
  pthread_mutex_unlock(&t->lock);
  return drawn;
}

static int
fault_hits(fault *t, uint32_t kind, const char *name)
{
  uint64_t number;

  if ((t->mask & 1u << kind) == 0)
    return 0;
  if (t->name != NULL && strstr(name, t->name) == NULL)
    return 0;
  if (t->trigger != NULL && access(t->trigger, F_OK) != 0)
    return 0;
  number = atomic_fetch_add(&t->seen, 1) + 1;
  if (t->nth != 0 && (number == t->nth || (t->persistent && number > t->nth)))
    return 1;
  return t->rate > 0
         && (double)(fault_draw(t) >> 11) / 9007199254740992.0 < t->rate;
}

static sb_status
fault_status(const fault *t, uint32_t kind, int has_effect)
{
  if (t->status != SB_OK)
    return t->status;
  return has_effect && (FILTER_CHANGES & 1u << kind) != 0 ? SB_UNKNOWN : SB_IO;
}

static void
fault_message(const filter_call *call, const char *when, char *buf,
              size_t size)
{
  (void)snprintf(buf, size, "could not %s object \"%.300s\": injected fault "
                 "%s its effect", filter_names[call->kind], call->name, when);
}

/* Only the first `left` bytes of the body go down. */
static int
fault_tear(fault *t, filter_call *call, const sb_slice **body, uint64_t *count)
{
  uint64_t left = call->bytes == 0 ? 0 : fault_draw(t) % call->bytes;
  sb_slice *torn = filter_alloc(t->f.host, (size_t)*count * sizeof *torn);
  uint64_t i;

  if (torn == NULL)
    return -1;
  for (i = 0; i < *count && left > 0; i++) {
    torn[i] = (*body)[i];
    if (torn[i].len > left)
      torn[i].len = (size_t)left;
    left -= torn[i].len;
  }
  call->own = torn;
  *body = torn;
  *count = i;
  return 0;
}

static void
fault_refuse(fault *t, filter_call *call)
{
  char message[512];

  fault_message(call, "before", message, sizeof message);
  filter_fail(call, t->lies ? SB_OK : fault_status(t, call->kind, 0), message);
}

/* call->mark: 0 nothing more to do, 1 fail after, 2 corrupt after. */
static void
fault_before(filter_call *call)
{
  fault *t = (fault *)call->f;
  int failed = 0;

  if (!fault_hits(t, call->kind, call->name)) {
    filter_forward(call);
    return;
  }
  if (t->action == FAULT_CORRUPT) {
    call->mark = call->kind == FILTER_GET ? 2 : 0;
  } else if (t->action == FAULT_TORN) {
    if (call->kind == FILTER_PUT)
      failed = fault_tear(t, call, &call->request.put.body,
                          &call->request.put.body_count);
    else if (call->kind == FILTER_WRITE)
      failed = fault_tear(t, call, &call->request.write.body,
                          &call->request.write.body_count);
    call->mark = call->kind == FILTER_PUT || call->kind == FILTER_WRITE;
  } else {
    call->mark = t->after != 0;
    failed = !t->after;
  }
  if (!failed) {
    filter_forward(call);
    return;
  }
  /* A stream ends with its commit or abort even if that fails. */
  if (call->kind == FILTER_COMMIT || call->kind == FILTER_ABORT) {
    call->kind = FILTER_ABORT;
    call->mark = 1;
    filter_forward(call);
    return;
  }
  fault_refuse(t, call);
}

static void
fault_corrupt(fault *t, filter_call *call, const sb_store_result *result)
{
  uint64_t bit;

  if (result->status != SB_OK || result->length == 0)
    return;
  bit = fault_draw(t) % (result->length * 8);
  ((uint8_t *)call->request.get.buffer)[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void
fault_after(filter_call *call, const sb_store_result *result)
{
  fault *t = (fault *)call->f;
  sb_store_result failure;
  char message[512];
  sb_error error;

  if (call->mark == 2)
    fault_corrupt(t, call, result);
  /* What failed by itself says so. */
  if (call->mark != 1 || result->status != SB_OK || t->lies) {
    filter_reply(call, result);
    return;
  }
  memset(&failure, 0, sizeof failure);
  failure.struct_size = sizeof failure;
  failure.status = fault_status(t, call->kind, 1);
  failure.error = &error;
  fault_message(call, call->kind == FILTER_ABORT ? "before" : "after",
                message, sizeof message);
  sb_fail(&error, failure.status, "%s", message);
  filter_reply(call, &failure);
}

static sb_status
fault_open(filter *f, const sb_stream_request *request, sb_error *err)
{
  fault *t = (fault *)f;

  if (t->action != FAULT_FAIL || !fault_hits(t, FILTER_OPEN, request->name))
    return SB_OK;
  return sb_fail(err, fault_status(t, FILTER_OPEN, 0),
                 "could not open object \"%.300s\": injected fault before its "
                 "effect", request->name);
}

static void
fault_close(filter *f)
{
  fault *t = (fault *)f;

  filter_release(f->host, t->trigger);
  filter_release(f->host, t->name);
  pthread_mutex_destroy(&t->lock);
}

static const filter_hooks fault_hooks = {
  .before = fault_before,
  .after = fault_after,
  .open = fault_open,
  .close = fault_close,
};

static sb_status
fault_copy_option(const sb_host *host, const sb_config *config,
                  const char *key, char **out, sb_error *err)
{
  const char *value = host->config_string(config, key);

  if (value == NULL || value[0] == '\0')
    return SB_OK;
  *out = filter_alloc(host, strlen(value) + 1);
  if (*out == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  strcpy(*out, value);
  return SB_OK;
}

static void
fault_configure(fault *t, const sb_host *host, const sb_config *config)
{
  const char *action = host->config_string(config, FAULT_KEY "action");
  const char *when = host->config_string(config, FAULT_KEY "when");
  const char *status = host->config_string(config, FAULT_KEY "status");

  t->action = action != NULL && strcmp(action, "torn") == 0 ? FAULT_TORN
              : action != NULL && strcmp(action, "corrupt") == 0
                  ? FAULT_CORRUPT : FAULT_FAIL;
  t->after = when != NULL && strcmp(when, "after") == 0;
  t->persistent = host->config_int(config, FAULT_KEY "persistent") != 0;
  t->lies = status != NULL && strcmp(status, "ok") == 0;
  t->status = fault_status_of(status);
  t->nth = (uint64_t)host->config_int(config, FAULT_KEY "nth");
  t->rate = host->config_double(config, FAULT_KEY "rate");
  t->seed = (uint64_t)host->config_int(config, FAULT_KEY "seed");
  if (t->seed == 0)
    t->seed = host->random(host);
}

static sb_status
fault_filter(const sb_host *host, const sb_config *config, sb_store *lower,
             sb_store **out, sb_error *err)
{
  uint32_t mask;
  filter *f;
  fault *t;
  sb_status status =
    filter_mask(FAULT_KEY "operations",
                host->config_string(config, FAULT_KEY "operations"), &mask,
                err);

  *out = NULL;
  if (status == SB_OK)
    status = filter_new(host, lower, &fault_hooks, sizeof *t, &f, err);
  if (status != SB_OK)
    return status;
  t = (fault *)f;
  pthread_mutex_init(&t->lock, NULL);
  t->mask = mask;
  fault_configure(t, host, config);
  status = fault_copy_option(host, config, FAULT_KEY "trigger", &t->trigger,
                             err);
  if (status == SB_OK)
    status = fault_copy_option(host, config, FAULT_KEY "name", &t->name, err);
  if (status != SB_OK) {
    filter_free(f);
    return status;
  }
  *out = &f->base;
  return SB_OK;
}

static const sb_plugin fault_plugin = {
  .struct_size = sizeof fault_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "fault",
  .version = PACKAGE_VERSION,
  .description = "filter: makes operations fail",
  .kind = SB_KIND_FILTER,
  .option_size = sizeof(sb_option),
  .options = fault_options,
  .option_count = sizeof fault_options / sizeof fault_options[0],
  .prefixes = fault_prefixes,
  .filter = fault_filter,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &fault_plugin;
}
