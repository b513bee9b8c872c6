/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The factory. Backends that are open are in one list, compared by plugin,
 * host and checked settings; opening an equal one counts a reference. While
 * one is being opened or closed, those who want it wait.
 */
#include "config.h"

#include <pthread.h>
#include <string.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/settings.h"
#include "host/engine/engine.h"
#include "host/plugin/exporter.h"
#include "host/plugin/factory.h"

typedef struct factory_waiter {
  struct factory_waiter *next;
  sb_event *event;
} factory_waiter;

typedef struct factory_entry {
  struct factory_entry *next;
  const sb_host *host;
  sb_config *config;        /* the backend's own copy, checked */
  sb_backend *backend;      /* NULL while it is being opened */
  exporter *exporter;       /* NULL: its metrics go nowhere */
  size_t references;        /* 0 while it is being opened or closed */
  factory_waiter *waiters;
} factory_entry;

/* Guards the list and the entries in it; never held across a plugin's call or
   a wait. */
static pthread_mutex_t factory_lock = PTHREAD_MUTEX_INITIALIZER;
static factory_entry *factory_entries;

/* ---- filters and the engine --------------------------------------------- */

/* Plugins may fail without saying why, or with a number that is none. */
static sb_status
factory_failed(const plugin *p, sb_status status, const sb_error *own,
               sb_error *err)
{
  if (status > 0)
    return sb_error_set(err, SB_INVALID,
                        "plugin \"%s\" returned the unknown status %d",
                        p->table.name, status);
  if (own->message[0] == '\0')
    return sb_error_set(err, status,
                        "plugin \"%s\" failed without a message",
                        p->table.name);
  if (err != NULL) {
    *err = *own;
    err->status = status;
  }
  return status;
}

static sb_status
factory_stack(const sb_host *host, const sb_config *config, const plugin *p,
              sb_store **store, sb_error *err)
{
  sb_error own = { .message = "" };
  sb_store *upper = NULL;
  sb_status status = p->table.filter(host, config, *store, &upper, &own);

  if (status != SB_OK)
    return factory_failed(p, status, &own, err);
  *store = upper;
  return plugin_check_store(p->table.name, upper, err);
}

/* A store that was refused may be of any shape. */
static void
factory_close_store(sb_store *store)
{
  if (store != NULL && store->ops != NULL &&
      store->ops->abi_version == SB_ABI_VERSION && store->ops->close != NULL)
    store->ops->close(store);
}

sb_status
factory_engine_open(const sb_host *host, sb_store *store,
                    const sb_engine_options *options, const sb_config *config,
                    sb_backend **out, sb_error *err)
{
  const char *name = config->backend == NULL ? "caller's"
                                             : config->backend->table.name;
  sb_status status;
  size_t i;

  *out = NULL;
  if (options == NULL || options->struct_size < sizeof *options)
    status = sb_error_set(err, SB_INVALID,
                          "plugin \"%s\" gave the engine no options", name);
  else
    status = plugin_check_store(name, store, err);
  for (i = config->filter_count; status == SB_OK && i-- > 0;)
    status = factory_stack(host, config, config->filters[i], &store, err);
  if (status != SB_OK) {
    factory_close_store(store);
    return status;
  }
  return engine_open(host, store, options, config, out, err);
}

/* ---- the list ----------------------------------------------------------- */

/* With the lock held. */
static factory_entry *
factory_find(const sb_host *host, const sb_config *config)
{
  factory_entry *e;

  for (e = factory_entries; e != NULL; e = e->next)
    if (e->host == host && settings_equal(e->config, config))
      return e;
  return NULL;
}

static void
factory_unlink(factory_entry *entry)
{
  factory_entry **link = &factory_entries;

  while (*link != entry)
    link = &(*link)->next;
  *link = entry->next;
}

/* With the lock held: those who wait look again. Their nodes are theirs again
   as soon as the lock is free. */
static void
factory_wake(factory_entry *entry)
{
  factory_waiter *w;

  for (w = entry->waiters; w != NULL; w = w->next)
    entry->host->event_set(entry->host, w->event);
  entry->waiters = NULL;
}

static void
factory_entry_free(factory_entry *entry)
{
  sb_config_free(entry->config);
  mem_free(entry->host, entry);
}

/* Takes a reference to an open backend, or puts the new entry into the list
   (*mine is 1), or waits for one that is being opened or closed. */
static void
factory_join(factory_entry *entry, sb_event *event, sb_backend **out,
             int *mine)
{
  const sb_host *host = entry->host;
  factory_waiter waiter = { NULL, event };

  for (;;) {
    factory_entry *other;

    (void)pthread_mutex_lock(&factory_lock);
    other = factory_find(host, entry->config);
    if (other == NULL) {
      entry->next = factory_entries;
      factory_entries = entry;
      *mine = 1;
    } else if (other->references != 0) {
      other->references++;
      *out = other->backend;
    } else {
      waiter.next = other->waiters;
      other->waiters = &waiter;
    }
    (void)pthread_mutex_unlock(&factory_lock);
    if (other == NULL || *out != NULL)
      return;
    (void)host->event_wait(host, event, SB_NO_DEADLINE);
  }
}

static sb_status
factory_entry_new(const sb_host *host, const sb_config *config,
                  factory_entry **out, sb_error *err)
{
  factory_entry *entry = mem_zalloc(host, sizeof *entry);
  sb_status status;

  if (entry == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a backend");
  entry->host = host;
  status = settings_copy(config, host, &entry->config, err);
  if (status == SB_OK)
    status = sb_config_check(entry->config, err);
  if (status != SB_OK) {
    factory_entry_free(entry);
    return status;
  }
  *out = entry;
  return SB_OK;
}

/* The plugin's open, with what it returns looked over. */
static sb_status
factory_open_plugin(factory_entry *entry, sb_backend **out, sb_error *err)
{
  const plugin *p = entry->config->backend;
  sb_error own = { .message = "" };
  sb_status status = p->table.open(entry->host, entry->config, out, &own);

  if (status != SB_OK) {
    *out = NULL;
    return factory_failed(p, status, &own, err);
  }
  status = plugin_check_backend(p->table.name, *out, err);
  if (status != SB_OK) {
    if (*out != NULL && (*out)->ops != NULL &&
        (*out)->ops->abi_version == SB_ABI_VERSION &&
        (*out)->ops->close != NULL)
      (*out)->ops->close(*out);
    *out = NULL;
  }
  return status;
}

static sb_status
factory_open(factory_entry *entry, sb_backend **out, sb_error *err)
{
  sb_status status = exporter_open(entry->config, &entry->exporter, err);

  if (status == SB_OK)
    status = factory_open_plugin(entry, out, err);
  if (status != SB_OK)
    exporter_close(entry->exporter);
  (void)pthread_mutex_lock(&factory_lock);
  if (status == SB_OK) {
    entry->backend = *out;
    entry->references = 1;
  } else {
    factory_unlink(entry);
  }
  factory_wake(entry);
  (void)pthread_mutex_unlock(&factory_lock);
  if (status != SB_OK)
    factory_entry_free(entry);
  return status;
}

sb_status
sb_backend_open(const sb_config *config, const sb_host *host, sb_backend **out,
                sb_error *err)
{
  factory_entry *entry = NULL;
  sb_event *event;
  sb_status status;
  int mine = 0;

  if (config == NULL || out == NULL)
    return sb_error_set(err, SB_INVALID, "a backend needs a configuration");
  *out = NULL;
  if (host == NULL)
    host = sb_host_default();
  event = host->event_new(host);
  if (event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a backend");
  status = factory_entry_new(host, config, &entry, err);
  if (status == SB_OK)
    factory_join(entry, event, out, &mine);
  host->event_free(host, event);
  if (status != SB_OK)
    return status;
  if (mine)
    return factory_open(entry, out, err);
  factory_entry_free(entry);
  return SB_OK;
}

void
sb_backend_close(sb_backend *backend)
{
  factory_entry *entry;
  int last = 0;

  if (backend == NULL)
    return;
  (void)pthread_mutex_lock(&factory_lock);
  for (entry = factory_entries; entry != NULL; entry = entry->next)
    if (entry->backend == backend)
      break;
  if (entry != NULL && --entry->references == 0) {
    last = 1;
    entry->backend = NULL; /* its address may soon be another's */
  }
  (void)pthread_mutex_unlock(&factory_lock);
  if (entry == NULL) { /* opened without the factory */
    backend->ops->close(backend);
    return;
  }
  if (!last)
    return;
  backend->ops->close(backend);
  exporter_close(entry->exporter);
  (void)pthread_mutex_lock(&factory_lock);
  factory_unlink(entry);
  factory_wake(entry);
  (void)pthread_mutex_unlock(&factory_lock);
  factory_entry_free(entry);
}

/* ---- keyed handles ------------------------------------------------------ */

static sb_status
factory_path_part(const char *what, const char *text, sb_error *err)
{
  size_t len = text == NULL ? 0 : strlen(text);
  size_t i;

  if (text == NULL)
    return sb_error_set(err, SB_INVALID, "%s is missing: \"\" is none", what);
  if (len > 255 || strchr(text, '/') != NULL || strcmp(text, ".") == 0 ||
      strcmp(text, "..") == 0)
    return sb_error_set(err, SB_INVALID,
                        "%s \"%.80s\" is not one part of a path", what, text);
  for (i = 0; i < len; i++)
    if (text[i] < 0x21 || text[i] > 0x7e)
      return sb_error_set(err, SB_INVALID,
                          "%s \"%.80s\" is not printable ASCII", what, text);
  return SB_OK;
}

sb_status
sb_backend_keyed(sb_backend *backend, const sb_keyed_options *options,
                 sb_keyed **out, sb_error *err)
{
  const uint32_t flags =
    SB_OPEN_READ_ONLY | SB_OPEN_HOST_OWNED | SB_OPEN_NO_CLAIM;
  sb_status status;

  if (out == NULL)
    return sb_error_set(err, SB_INVALID, "no place for the keyed handle");
  *out = NULL;
  if (backend == NULL || options == NULL ||
      options->struct_size < sizeof *options)
    return sb_error_set(err, SB_INVALID,
                        "a keyed handle needs a backend and options");
  if ((options->flags & ~flags) != 0)
    return sb_error_set(err, SB_INVALID, "unknown flags 0x%x for a keyed "
                        "handle", options->flags & ~flags);
  if (options->key_group_count == 0 ||
      options->key_group_count > SB_KEY_GROUPS_MAX ||
      options->key_group_first > options->key_group_last ||
      options->key_group_last >= options->key_group_count)
    return sb_error_set(err, SB_INVALID,
                        "key groups %u to %u of %u are no range (at most %u)",
                        options->key_group_first, options->key_group_last,
                        options->key_group_count, SB_KEY_GROUPS_MAX);
  if (options->part_count != 0 && options->parts == NULL)
    return sb_error_set(err, SB_INVALID, "parts to restore are missing");
  status = factory_path_part("the job", options->job, err);
  if (status == SB_OK)
    status = factory_path_part("the operator", options->operator_id, err);
  if (status != SB_OK)
    return status;
  return backend->ops->open_keyed(backend, options, out, err);
}
