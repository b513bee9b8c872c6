/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statebackend: durable keyed state for stream processors on object storage.
 *
 * This header is all that a processor needs. In short:
 *
 *   sb_config_new, sb_config_load         settings
 *   sb_backend_open                       the plugin that state.backend names
 *   sb_coordinator_open                   take the job over, what to restore
 *   sb_backend_keyed, sb_context_new      the state of one subtask
 *   sb_value_*, sb_list_*, sb_map_*, sb_timers_*
 *   sb_coordinator_trigger, _snapshot     checkpoints
 */
#ifndef STATEBACKEND_STATEBACKEND_H
#define STATEBACKEND_STATEBACKEND_H

#include <statebackend/base.h>
#include <statebackend/config.h>
#include <statebackend/host.h>
#include <statebackend/plugin.h>
#include <statebackend/store.h>
#include <statebackend/backend.h>
#include <statebackend/keygroup.h>
#include <statebackend/state.h>
#include <statebackend/queue.h>
#include <statebackend/checkpoint.h>
#include <statebackend/savepoint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The process's default host: a thread pool, the real clocks, malloc. Threads
   start with first use. Never freed. */
SB_EXPORT const sb_host *sb_host_default(void);

/* Where the default host's log lines go; NULL: nowhere (the default). */
typedef void sb_log_fn(void *arg, uint32_t level, const char *component,
                       const char *text);
SB_EXPORT void sb_host_set_log(sb_log_fn *fn, void *arg);

/* Registers an object that plugins find by sb_host.lookup; NULL removes it. */
SB_EXPORT sb_status sb_host_register(const char *name, void *object,
                                     sb_error *err);

/* Calls fn for each counter of the default host. */
SB_EXPORT void sb_host_metrics(void (*fn)(void *arg, const char *name,
                                          int64_t value), void *arg);

/* Calls fn once with all metrics of the default host as Prometheus text, format
   0.0.4; the text ends in a NUL that `len` does not count. What fn returns is
   returned. docs/METRICS.md has the names. */
typedef sb_status sb_text_fn(void *arg, const char *text, size_t len);
SB_EXPORT sb_status sb_host_metrics_text(sb_text_fn *fn, void *arg,
                                         sb_error *err);

/* Checks the configuration, finds the plugin that `state.backend` names and
   opens it on `host` (NULL: the default host). One backend exists per process
   for each plugin and effective configuration: opening it again counts a
   reference. Release with sb_backend_close. */
SB_EXPORT sb_status sb_backend_open(const sb_config *config,
                                    const sb_host *host, sb_backend **out,
                                    sb_error *err);
SB_EXPORT void sb_backend_close(sb_backend *backend);

/* backend->ops->open_keyed, with the options checked. */
SB_EXPORT sb_status sb_backend_keyed(sb_backend *backend,
                                     const sb_keyed_options *options,
                                     sb_keyed **out, sb_error *err);

/* ---- plugins ------------------------------------------------------------ */

/* Finds and loads a plugin by name or, with a '/', by path. The table lives as
   long as the process. */
SB_EXPORT sb_status sb_plugin_find(const char *name, const sb_plugin **out,
                                   const char **path, sb_error *err);

/* Calls fn for each plugin file found on the search path, in order; `shadowed`
   is 1 for one that an earlier directory hides. */
typedef int sb_plugin_visit(void *arg, const char *name, const char *path,
                            int shadowed);
SB_EXPORT int sb_plugin_each(sb_plugin_visit *fn, void *arg);

/* ---- the API as one table, for programs that only dlopen the library ---- */

#define SB_API_VERSION 1u
typedef struct sb_api_table sb_api_table;

/* Never NULL for version 1. */
SB_EXPORT const sb_api_table *sb_api(uint32_t version);

#ifdef __cplusplus
}
#endif

#include <statebackend/api.h>
#endif
