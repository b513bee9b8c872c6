/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: typed option tables, files that fill them, and the settings
 * that result.
 *
 * A setting is a (key, text) pair with a source. Text is checked against the
 * option tables when a backend is opened or sb_config_check() is called; from
 * then on typed reads cannot fail. Later settings win over earlier ones.
 *
 * Threads: an sb_config belongs to one thread until it is handed to
 * sb_backend_open(), which copies it; plugins may read their copy from any
 * thread.
 */
#ifndef STATEBACKEND_CONFIG_H
#define STATEBACKEND_CONFIG_H

#include <statebackend/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of options. Memory sizes: an integer and b, kb, mb, gb or tb (or k, m,
   g, t; powers of 1024; a bare number is bytes), spaces allowed between.
   Durations: an integer and ns, us, ms, s, min, h or d (a bare number is
   milliseconds), kept in milliseconds. Lists: comma or semicolon separated. */
#define SB_TYPE_STRING 10u
#define SB_TYPE_BOOL 20u
#define SB_TYPE_INT 30u       /* int64, range [min, max] */
#define SB_TYPE_SIZE 40u      /* bytes, range [min, max] */
#define SB_TYPE_DURATION 50u  /* milliseconds, range [min, max] */
#define SB_TYPE_ENUM 60u      /* one of `choices` */
#define SB_TYPE_LIST 70u      /* of strings */
#define SB_TYPE_DOUBLE 80u    /* range [min, max] as integers */

#define SB_OPTION_REQUIRED 1u
#define SB_OPTION_SECRET 2u   /* printed as ****** everywhere */

/* One option. Tables are static const; `struct_size` of the plugin's table
   tells the host the stride (see sb_plugin.option_size). */
typedef struct sb_option {
  const char *key;            /* whole, such as "state.backend.local.dir" */
  uint32_t type;
  uint32_t flags;
  const char *default_value;  /* as text; NULL: none */
  int64_t min, max;           /* both 0: no range */
  const char *choices;        /* "a|b|c" for SB_TYPE_ENUM, else NULL */
  const char *help;           /* one sentence */
} sb_option;

typedef struct sb_config sb_config;

SB_EXPORT sb_status sb_config_new(sb_config **out, sb_error *err);
SB_EXPORT void sb_config_free(sb_config *config);

/* Reads a file: flat or nested YAML (.yaml, .yml) or libconfig (.cfg, .conf);
   other names are tried as YAML. Errors name file, line, key and value. */
SB_EXPORT sb_status sb_config_load(sb_config *config, const char *path,
                                   sb_error *err);

/* One setting; `source` is shown in errors and dumps ("--set", "program");
   NULL means "program". Strings are copied. */
SB_EXPORT sb_status sb_config_set(sb_config *config, const char *key,
                                  const char *value, const char *source,
                                  sb_error *err);

/* The text of a setting, else of its default, else NULL. Borrowed until the
   configuration is changed or freed. Secrets are returned in clear. */
SB_EXPORT const char *sb_config_get(const sb_config *config, const char *key);

/* Resolves the plugin that `state.backend` names, takes its option table and
   the host's, and checks every setting. */
SB_EXPORT sb_status sb_config_check(sb_config *config, sb_error *err);

/* Calls `fn` for each effective setting after sb_config_check(), in key order:
   value as text (secrets masked) and where it came from ("default",
   "conf.yaml:3", "--set"). Stops at the first non-zero return. */
typedef int sb_config_visit(void *arg, const char *key, const char *value,
                            const char *source);
SB_EXPORT int sb_config_each(const sb_config *config, sb_config_visit *fn,
                             void *arg);

/* The host's own options (memory, cache, filters, search path). */
SB_EXPORT const sb_option *sb_host_options(size_t *count);

#ifdef __cplusplus
}
#endif
#endif
