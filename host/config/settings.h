/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: what sb_config is inside. Texts come in with a source; a check
 * binds them to the options of the host, the plugin and the filters.
 */
#ifndef SB_CONFIG_SETTINGS_H
#define SB_CONFIG_SETTINGS_H

#include "host/config/options.h"
#include "host/plugin/plugin.h"

#define SETTINGS_MAX 10000u     /* settings of one configuration */
#define SETTINGS_FILTERS_MAX 16u

/* As it came in. All three are in one allocation, at `key`. */
typedef struct setting {
  char *key;
  const char *value;
  const char *source;
} setting;

/* An option with its effective value; value.text is NULL if it has none. */
typedef struct effective {
  const sb_option *option;      /* in a table that is never freed */
  const char *source;           /* a setting's, or "default" */
  option_value value;
} effective;

struct sb_config {
  const sb_host *host;
  setting *settings;
  size_t count, capacity;
  /* Of the last check, until the next change. */
  effective *effective;         /* sorted by key */
  size_t effective_count;
  const plugin *backend;
  const plugin *filters[SETTINGS_FILTERS_MAX]; /* outermost first */
  size_t filter_count;
};

/* sb_config_new on a host of the caller's. */
sb_status settings_new(const sb_host *host, sb_config **out, sb_error *err);

/* A copy on another host, unchecked. */
sb_status settings_copy(const sb_config *config, const sb_host *host,
                        sb_config **out, sb_error *err);

/* Appends count settings: all or none. The texts are copied. */
sb_status settings_append(sb_config *config, const setting *list, size_t count,
                          sb_error *err);

/* The last setting of a key, or NULL. The two names of the backend's key are
   one. */
const setting *settings_find(const sb_config *config, const char *key);

/* After a check: an option's effective value, or NULL. */
const effective *settings_effective(const sb_config *config, const char *key);

/* What of a value may be shown: ****** for a secret, and for a URL with a user
   and password in it. */
const char *settings_shown(const char *value, int secret);

/* 1 if two checked configurations have the same effect. */
int settings_equal(const sb_config *a, const sb_config *b);

/* Forgets the last check. */
void settings_unbind(sb_config *config);

/* What sb_host.config_string, _int and _double do. */
const char *settings_string(const sb_config *config, const char *key);
int64_t settings_int(const sb_config *config, const char *key);
double settings_double(const sb_config *config, const char *key);

#endif
