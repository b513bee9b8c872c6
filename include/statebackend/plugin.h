/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_plugin: what a plugin exports.
 *
 * A plugin is a shared object sb-NAME.so with one exported function,
 *     const sb_plugin *sb_plugin_init(void);
 * that does nothing but return a static const table. The host copies
 * min(struct_size) bytes of it, so older plugins load in newer hosts and newer
 * ones in older hosts. A plugin has no mutable globals: everything hangs off
 * what `open` returns, and one process may open it many times.
 *
 * Plugins are never unloaded.
 */
#ifndef STATEBACKEND_PLUGIN_H
#define STATEBACKEND_PLUGIN_H

#include <stdarg.h>
#include <stdio.h>
#include <statebackend/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SB_KIND_BACKEND 10u /* has `open` */
#define SB_KIND_FILTER 20u  /* has `filter` */

typedef struct sb_plugin {
  uint32_t struct_size;       /* sizeof (sb_plugin) */
  uint32_t abi_version;       /* SB_ABI_VERSION */
  const char *name;           /* NAME of sb-NAME.so */
  const char *version;
  const char *description;    /* one line */
  uint32_t kind;
  uint32_t option_size;       /* sizeof (sb_option) */
  const sb_option *options;   /* may be NULL with option_count 0 */
  uint64_t option_count;
  /* NULL-terminated; keys under one of these ("state.backend.local.") that
     are not in `options` are errors. May be NULL. */
  const char *const *prefixes;

  /* Opens a backend. `config` is checked and outlives the backend. May do no
     I/O beyond what it needs to fail early. Required for SB_KIND_BACKEND. */
  sb_status (*open)(const sb_host *host, const sb_config *config,
                    sb_backend **out, sb_error *err);

  /* Puts a filter over `lower` and owns it from then on; on failure the
     caller keeps `lower`. Required for SB_KIND_FILTER. */
  sb_status (*filter)(const sb_host *host, const sb_config *config,
                      sb_store *lower, sb_store **out, sb_error *err);
} sb_plugin;

/* The entry point's type and name. */
typedef const sb_plugin *sb_plugin_init_fn(void);
#define SB_PLUGIN_INIT "sb_plugin_init"

/* What sb_error_set() does, for plugins, which link to nothing of ours. */
static inline sb_status
sb_fail(sb_error *err, sb_status status, const char *format, ...)
  SB_PRINTF(3, 4);

static inline sb_status
sb_fail(sb_error *err, sb_status status, const char *format, ...)
{
  va_list args;

  if (err == NULL)
    return status;
  err->status = status;
  err->system = 0;
  va_start(args, format);
  (void)vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return status;
}

#ifdef __cplusplus
}
#endif
#endif
