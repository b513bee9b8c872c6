/* SPDX-License-Identifier: Apache-2.0 */
/* Options: texts become typed values, and tables are checked. */
#ifndef SB_CONFIG_OPTIONS_H
#define SB_CONFIG_OPTIONS_H

#include <statebackend/config.h>
#include <statebackend/host.h>

#define OPTION_KEY_MAX 255u      /* bytes of a key */
#define OPTION_VALUE_MAX 65536u  /* bytes of a value's text */

/* Keys that the factory itself reads. */
#define OPTION_BACKEND "state.backend"
#define OPTION_BACKEND_TYPE "state.backend.type"
#define OPTION_FILTERS "state.backend.filters"
#define OPTION_PLUGIN_PATH "state.backend.plugin.path"
#define OPTION_METRICS_FILE "state.backend.metrics.file"
#define OPTION_METRICS_LISTEN "state.backend.metrics.listen"
#define OPTION_METRICS_INTERVAL "state.backend.metrics.interval"

/* A checked value. `text` is the canonical form: trimmed, enums as their table
   spells them, lists joined by ','. */
typedef struct option_value {
  char *text;       /* allocated */
  int64_t integer;  /* bool, int, size, duration; a double, truncated */
  double real;
} option_value;

/* Turns text into a value. On SB_CONFIG, `why` says what is allowed. */
sb_status option_parse(const sb_host *host, const sb_option *option,
                       const char *text, option_value *value, char *why,
                       size_t why_size);

/* 1 if both have the same meaning for the option. */
int option_equal(const sb_option *option, const option_value *a,
                 const option_value *b);

/* Looks a plugin's (or the host's) table over: keys, types, defaults, no key
   twice. On SB_CONFIG, `why` says what is wrong. */
sb_status option_table_check(const sb_host *host, const sb_option *options,
                             size_t count, char *why, size_t why_size);

const sb_option *option_find(const sb_option *options, size_t count,
                             const char *key);

/* Calls fn with each trimmed, non-empty element of a list's text. Stops at the
   first failure and returns it. */
typedef sb_status option_element_fn(void *arg, const char *data, size_t len);
sb_status option_list_each(const char *text, option_element_fn *fn, void *arg);

/* Steps (insert, delete, replace, swap of neighbours) from a to b, or `limit`
   if that many or more. Letters' case does not count. */
size_t option_distance(const char *a, const char *b, size_t limit);

/* How far a misspelt name may be from the one meant. */
size_t option_distance_limit(const char *name);

#endif
