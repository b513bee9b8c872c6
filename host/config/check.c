/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a configuration: find the plugin and the filters it names, bind
 * each setting to an option of theirs or of the host, and refuse what none of
 * them knows but looks as if it was meant for one.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/settings.h"

#define CHECK_TABLES_MAX (SETTINGS_FILTERS_MAX + 2)

/* Settings are bound table by table: the host's first. */
typedef struct check_table {
  const sb_option *options;
  size_t count;
  const plugin *plugin;         /* NULL: the host */
} check_table;

typedef struct check {
  sb_config *config;
  check_table tables[CHECK_TABLES_MAX];
  size_t table_count;
  sb_error *err;
} check;

/* The setting's place in the file, for the start of a message. */
static sb_status
check_bad_value(const check *c, const setting *s, const sb_option *option,
                const char *why)
{
  int secret = (option->flags & SB_OPTION_SECRET) != 0;

  return sb_error_set(c->err, SB_CONFIG, "%.150s: \"%s\" is \"%.60s\": %s",
                      s->source, s->key, settings_shown(s->value, secret), why);
}

/* ---- unknown keys ------------------------------------------------------- */

typedef struct check_nearest {
  const sb_option *option;
  size_t distance;
} check_nearest;

static void
check_nearest_in(const check_table *table, const char *key,
                 check_nearest *nearest)
{
  size_t i;

  for (i = 0; i < table->count; i++) {
    size_t d = option_distance(table->options[i].key, key, nearest->distance);

    if (d < nearest->distance) {
      nearest->distance = d;
      nearest->option = &table->options[i];
    }
  }
}

/* A misspelt secret is still a secret. */
static int
check_looks_secret(const char *key)
{
  static const char *const words[] = {
    "secret", "password", "passwd", "token", "credential", "accesskey",
    "customer-key", "private",
  };
  size_t i;

  for (i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strcasestr(key, words[i]) != NULL)
      return 1;
  return 0;
}

static sb_status
check_unknown(const check *c, const setting *s, const char *owner,
              const check_nearest *nearest)
{
  const sb_option *option = nearest->option;
  int secret = check_looks_secret(s->key) ||
               (option != NULL && (option->flags & SB_OPTION_SECRET) != 0);
  const char *value = settings_shown(s->value, secret);

  if (option == NULL)
    return sb_error_set(c->err, SB_CONFIG,
                        "%.150s: \"%s\" (\"%.60s\") is not an option of %s",
                        s->source, s->key, value, owner);
  return sb_error_set(c->err, SB_CONFIG,
                      "%.150s: \"%s\" (\"%.60s\") is not an option of %s; "
                      "the nearest is \"%s\"",
                      s->source, s->key, value, owner, option->key);
}

/* The part of a host key up to its last '.', if it is a group of the host's
   own and not the one that all plugins share: "state.backend.memory.". */
static size_t
check_host_group(const char *key)
{
  const char *dot = strrchr(key, '.');
  size_t len = dot == NULL ? 0 : (size_t)(dot - key) + 1;

  return len > strlen(OPTION_BACKEND ".") ? len : 0;
}

static int
check_in_host_group(const check_table *host, const char *key)
{
  size_t i;

  for (i = 0; i < host->count; i++) {
    size_t len = check_host_group(host->options[i].key);

    if (len != 0 && strncmp(host->options[i].key, key, len) == 0)
      return 1;
  }
  return 0;
}

static int
check_in_prefix(const plugin *p, const char *key)
{
  size_t i;

  for (i = 0; i < p->prefix_count; i++)
    if (strncmp(p->table.prefixes[i], key, strlen(p->table.prefixes[i])) == 0)
      return 1;
  return 0;
}

/* SB_OK if the key is nobody's of ours: other programs share the file. */
static sb_status
check_stranger(const check *c, const setting *s)
{
  check_nearest nearest = { NULL, OPTION_KEY_MAX };
  char owner[SB_PLUGIN_NAME_MAX + 16];
  size_t i;

  for (i = 1; i < c->table_count; i++) {
    const plugin *p = c->tables[i].plugin;

    if (!check_in_prefix(p, s->key))
      continue;
    check_nearest_in(&c->tables[i], s->key, &nearest);
    (void)snprintf(owner, sizeof owner, "plugin \"%s\"", p->table.name);
    return check_unknown(c, s, owner, &nearest);
  }
  if (check_in_host_group(&c->tables[0], s->key)) {
    check_nearest_in(&c->tables[0], s->key, &nearest);
    return check_unknown(c, s, "the host", &nearest);
  }
  nearest.distance = 3;
  check_nearest_in(&c->tables[0], s->key, &nearest);
  if (nearest.option == NULL ||
      strncmp(s->key, OPTION_BACKEND, strlen(OPTION_BACKEND)) != 0)
    return SB_OK;
  return check_unknown(c, s, "the host", &nearest);
}

/* ---- binding ------------------------------------------------------------ */

/* "KEY.type" is another spelling of KEY where KEY is a value and a group at
   once, which nested files cannot say otherwise. */
static int
check_same_key(const char *setting_key, const char *option_key)
{
  size_t len = strlen(option_key);

  return strncmp(setting_key, option_key, len) == 0 &&
         (setting_key[len] == '\0' ||
          strcmp(setting_key + len, ".type") == 0);
}

static const sb_option *
check_option_of(const check *c, const char *key)
{
  const sb_option *alias = NULL;
  size_t t, i;

  for (t = 0; t < c->table_count; t++)
    for (i = 0; i < c->tables[t].count; i++) {
      const sb_option *option = &c->tables[t].options[i];

      if (strcmp(option->key, key) == 0)
        return option;
      if (check_same_key(key, option->key))
        alias = option;
    }
  return alias;
}

/* Every setting is looked at, also those that later ones hide. */
static sb_status
check_setting(const check *c, const setting *s)
{
  const sb_option *option = check_option_of(c, s->key);
  option_value value;
  char why[256];
  sb_status status;

  if (option == NULL)
    return check_stranger(c, s);
  status = option_parse(c->config->host, option, s->value, &value, why,
                        sizeof why);
  if (status == SB_CONFIG)
    return check_bad_value(c, s, option, why);
  if (status != SB_OK)
    return sb_error_set(c->err, status, "no memory to check \"%s\"", s->key);
  mem_free(c->config->host, value.text);
  return SB_OK;
}

static const setting *
check_last(const check *c, const sb_option *option)
{
  const sb_config *config = c->config;
  size_t i;

  for (i = config->count; i-- > 0;)
    if (check_same_key(config->settings[i].key, option->key) &&
        check_option_of(c, config->settings[i].key) == option)
      return &config->settings[i];
  return NULL;
}

/* A required key that is set for another plugin is a likely slip. */
static sb_status
check_missing(const check *c, const check_table *table,
              const sb_option *option)
{
  const char *dot = strrchr(option->key, '.');
  const sb_config *config = c->config;
  const char *owner = table->plugin == NULL ? "the host"
                                            : table->plugin->table.name;
  size_t i;

  for (i = 0; i < config->count && dot != NULL; i++) {
    const setting *s = &config->settings[i];
    const char *last = strrchr(s->key, '.');

    if (last != NULL && strcmp(last, dot) == 0 &&
        strncmp(s->key, OPTION_BACKEND ".", strlen(OPTION_BACKEND ".")) == 0)
      return sb_error_set(c->err, SB_CONFIG,
                          "\"%s\" is required by %s and not set (%.150s sets "
                          "\"%s\", which it does not read)", option->key,
                          owner, s->source, s->key);
  }
  return sb_error_set(c->err, SB_CONFIG,
                      "\"%s\" is required by %s and not set: %s", option->key,
                      owner, option->help);
}

static sb_status
check_bind(const check *c, const check_table *table, const sb_option *option,
           effective *out)
{
  const setting *s = check_last(c, option);
  const char *text = s == NULL ? option->default_value : s->value;
  char why[256];
  sb_status status;

  memset(out, 0, sizeof *out);
  out->option = option;
  out->source = s == NULL ? "default" : s->source;
  if (text != NULL) {
    status = option_parse(c->config->host, option, text, &out->value, why,
                          sizeof why);
    if (status != SB_OK)
      return s != NULL && status == SB_CONFIG
               ? check_bad_value(c, s, option, why)
               : sb_error_set(c->err, status, "no memory to check \"%s\"",
                              option->key);
  }
  if ((option->flags & SB_OPTION_REQUIRED) != 0 &&
      (out->value.text == NULL || out->value.text[0] == '\0')) {
    mem_free(c->config->host, out->value.text);
    return check_missing(c, table, option);
  }
  return SB_OK;
}

static int
check_order(const void *a, const void *b)
{
  const effective *x = a, *y = b;

  return strcmp(x->option->key, y->option->key);
}

static sb_status
check_bind_all(const check *c)
{
  sb_config *config = c->config;
  sb_status status = SB_OK;
  size_t total = 0, t, i;

  for (t = 0; t < c->table_count; t++)
    total += c->tables[t].count;
  config->effective = mem_alloc(config->host,
                                total * sizeof *config->effective);
  if (config->effective == NULL)
    return sb_error_set(c->err, SB_NO_MEMORY,
                        "no memory for %zu checked settings", total);
  for (t = 0; t < c->table_count && status == SB_OK; t++)
    for (i = 0; i < c->tables[t].count && status == SB_OK; i++) {
      effective *e = &config->effective[config->effective_count];

      status = check_bind(c, &c->tables[t], &c->tables[t].options[i], e);
      if (status == SB_OK)
        config->effective_count++;
    }
  if (status == SB_OK)
    qsort(config->effective, config->effective_count,
          sizeof *config->effective, check_order);
  return status;
}

/* ---- tables ------------------------------------------------------------- */

static sb_status
check_add_table(check *c, const plugin *p)
{
  size_t t, i;

  for (t = 1; t < c->table_count; t++)
    if (c->tables[t].plugin == p)
      return SB_OK;
  for (i = 0; i < p->table.option_count; i++) {
    const char *key = p->table.options[i].key;

    for (t = 0; t < c->table_count; t++)
      if (option_find(c->tables[t].options, c->tables[t].count, key) != NULL ||
          strcmp(key, OPTION_BACKEND_TYPE) == 0)
        return sb_error_set(c->err, SB_CONFIG,
                            "plugin \"%s\" has the option \"%s\", which "
                            "belongs to %s", p->table.name, key,
                            t == 0 ? "the host"
                                   : c->tables[t].plugin->table.name);
  }
  c->tables[c->table_count].options = p->table.options;
  c->tables[c->table_count].count = (size_t)p->table.option_count;
  c->tables[c->table_count].plugin = p;
  c->table_count++;
  return SB_OK;
}

static sb_status
check_add_filter(void *arg, const char *data, size_t len)
{
  check *c = arg;
  sb_config *config = c->config;
  const plugin *p;
  char name[PLUGIN_PATH_MAX];
  sb_status status;

  if (config->filter_count == SETTINGS_FILTERS_MAX)
    return sb_error_set(c->err, SB_CONFIG, "\"%s\" names more than %u filters",
                        OPTION_FILTERS, SETTINGS_FILTERS_MAX);
  if (len >= sizeof name)
    return sb_error_set(c->err, SB_CONFIG, "\"%s\" has a name that is too "
                        "long", OPTION_FILTERS);
  memcpy(name, data, len);
  name[len] = '\0';
  status = plugin_find(name, sb_config_get(config, OPTION_PLUGIN_PATH), &p,
                       c->err);
  if (status != SB_OK)
    return status;
  if (p->table.kind != SB_KIND_FILTER)
    return sb_error_set(c->err, SB_CONFIG,
                        "\"%s\" names \"%s\", which is a backend and not a "
                        "filter", OPTION_FILTERS, name);
  config->filters[config->filter_count++] = p;
  return check_add_table(c, p);
}

static sb_status
check_add_backend(check *c)
{
  sb_config *config = c->config;
  const char *name = sb_config_get(config, OPTION_BACKEND);
  const plugin *p;
  sb_status status;

  if (name == NULL || name[0] == '\0')
    return sb_error_set(c->err, SB_CONFIG,
                        "\"%s\" is not set: it names the plugin that keeps "
                        "the state", OPTION_BACKEND);
  status = plugin_find(name, sb_config_get(config, OPTION_PLUGIN_PATH), &p,
                       c->err);
  if (status != SB_OK)
    return status;
  if (p->table.kind != SB_KIND_BACKEND)
    return sb_error_set(c->err, SB_CONFIG,
                        "\"%s\" names \"%s\", which is a filter: filters go "
                        "into \"%s\"", OPTION_BACKEND, name, OPTION_FILTERS);
  config->backend = p;
  return check_add_table(c, p);
}

sb_status
sb_config_check(sb_config *config, sb_error *err)
{
  check c = { .config = config, .err = err };
  const char *filters;
  sb_status status;
  size_t i;

  if (config == NULL)
    return sb_error_set(err, SB_INVALID, "no configuration to check");
  settings_unbind(config);
  c.tables[0].options = sb_host_options(&c.tables[0].count);
  c.table_count = 1;
  status = check_add_backend(&c);
  filters = sb_config_get(config, OPTION_FILTERS);
  if (status == SB_OK && filters != NULL)
    status = option_list_each(filters, check_add_filter, &c);
  for (i = 0; i < config->count && status == SB_OK; i++)
    status = check_setting(&c, &config->settings[i]);
  if (status == SB_OK)
    status = check_bind_all(&c);
  if (status != SB_OK)
    settings_unbind(config);
  return status;
}
