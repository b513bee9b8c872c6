/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: sb_config's texts, and the typed values a check has left. */
#include "config.h"

#include <string.h>
#include <statebackend/statebackend.h>
#include "host/base/mem.h"
#include "host/config/settings.h"

sb_status
settings_new(const sb_host *host, sb_config **out, sb_error *err)
{
  *out = mem_zalloc(host, sizeof **out);
  if (*out == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a configuration");
  (*out)->host = host;
  return SB_OK;
}

sb_status
sb_config_new(sb_config **out, sb_error *err)
{
  if (out == NULL)
    return sb_error_set(err, SB_INVALID, "no place for the configuration");
  return settings_new(sb_host_default(), out, err);
}

void
settings_unbind(sb_config *config)
{
  size_t i;

  for (i = 0; i < config->effective_count; i++)
    mem_free(config->host, config->effective[i].value.text);
  mem_free(config->host, config->effective);
  config->effective = NULL;
  config->effective_count = 0;
  config->backend = NULL;
  config->filter_count = 0;
}

void
sb_config_free(sb_config *config)
{
  size_t i;

  if (config == NULL)
    return;
  settings_unbind(config);
  for (i = 0; i < config->count; i++)
    mem_free(config->host, config->settings[i].key);
  mem_free(config->host, config->settings);
  mem_free(config->host, config);
}

static sb_status
settings_reserve(sb_config *config, size_t more, sb_error *err)
{
  size_t capacity = config->capacity == 0 ? 16 : config->capacity;
  setting *settings;

  if (more > SETTINGS_MAX - config->count)
    return sb_error_set(err, SB_TOO_LARGE,
                        "a configuration has at most %u settings",
                        SETTINGS_MAX);
  if (config->count + more <= config->capacity)
    return SB_OK;
  while (capacity < config->count + more)
    capacity *= 2;
  settings = mem_realloc(config->host, config->settings,
                         capacity * sizeof *settings);
  if (settings == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for %zu settings",
                        config->count + more);
  config->settings = settings;
  config->capacity = capacity;
  return SB_OK;
}

static sb_status
settings_copy_one(const sb_host *host, const setting *from, setting *to,
                  sb_error *err)
{
  size_t key = strlen(from->key) + 1;
  size_t value = strlen(from->value) + 1;
  size_t source = strlen(from->source) + 1;
  char *p = mem_alloc(host, key + value + source);

  if (p == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for setting \"%s\"",
                        from->key);
  to->key = memcpy(p, from->key, key);
  to->value = memcpy(p + key, from->value, value);
  to->source = memcpy(p + key + value, from->source, source);
  return SB_OK;
}

sb_status
settings_append(sb_config *config, const setting *list, size_t count,
                sb_error *err)
{
  sb_status status = settings_reserve(config, count, err);
  size_t i;

  for (i = 0; status == SB_OK && i < count; i++) {
    status = settings_copy_one(config->host, &list[i],
                               &config->settings[config->count + i], err);
    if (status != SB_OK)
      while (i-- > 0)
        mem_free(config->host, config->settings[config->count + i].key);
  }
  if (status != SB_OK)
    return status;
  config->count += count;
  settings_unbind(config);
  return SB_OK;
}

sb_status
settings_copy(const sb_config *config, const sb_host *host, sb_config **out,
              sb_error *err)
{
  sb_status status = settings_new(host, out, err);

  if (status != SB_OK)
    return status;
  status = settings_append(*out, config->settings, config->count, err);
  if (status != SB_OK) {
    sb_config_free(*out);
    *out = NULL;
  }
  return status;
}

sb_status
sb_config_set(sb_config *config, const char *key, const char *value,
              const char *source, sb_error *err)
{
  setting one;
  char name[OPTION_KEY_MAX + 1];
  size_t len;

  if (config == NULL || key == NULL || key[0] == '\0' || value == NULL)
    return sb_error_set(err, SB_INVALID, "a setting needs a key and a value");
  if (source == NULL)
    source = "program";
  len = strlen(key);
  if (len > OPTION_KEY_MAX)
    return sb_error_set(err, SB_CONFIG,
                        "%s: key \"%.40s...\" has more than %u bytes", source,
                        key, OPTION_KEY_MAX);
  if (strlen(value) > OPTION_VALUE_MAX)
    return sb_error_set(err, SB_CONFIG,
                        "%s: the value of \"%s\" has more than %u bytes",
                        source, key, OPTION_VALUE_MAX);
  memcpy(name, key, len + 1);
  one.key = name;
  one.value = value;
  one.source = source;
  return settings_append(config, &one, 1, err);
}

/* The two spellings of one key. */
static const char *
settings_key(const char *key)
{
  return strcmp(key, OPTION_BACKEND_TYPE) == 0 ? OPTION_BACKEND : key;
}

const setting *
settings_find(const sb_config *config, const char *key)
{
  size_t i;

  key = settings_key(key);
  for (i = config->count; i-- > 0;)
    if (strcmp(settings_key(config->settings[i].key), key) == 0)
      return &config->settings[i];
  return NULL;
}

const effective *
settings_effective(const sb_config *config, const char *key)
{
  size_t low = 0, high = config->effective_count;

  key = settings_key(key);
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    int c = strcmp(config->effective[mid].option->key, key);

    if (c == 0)
      return &config->effective[mid];
    if (c < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return NULL;
}

const char *
sb_config_get(const sb_config *config, const char *key)
{
  const effective *e;
  const setting *s;
  const sb_option *option;
  size_t count;

  if (config == NULL || key == NULL)
    return NULL;
  e = settings_effective(config, key);
  if (e != NULL)
    return e->value.text;
  s = settings_find(config, key);
  if (s != NULL)
    return s->value;
  option = sb_host_options(&count);
  option = option_find(option, count, settings_key(key));
  return option == NULL ? NULL : option->default_value;
}

const char *
settings_shown(const char *value, int secret)
{
  const char *start = strstr(value, "://");
  const char *colon, *at;

  start = start == NULL ? value : start + 3;
  at = memchr(start, '@', strcspn(start, "/?#"));
  colon = strchr(start, ':');
  if (at != NULL && colon != NULL && colon < at)
    secret = 1;
  return secret ? "******" : value;
}

int
sb_config_each(const sb_config *config, sb_config_visit *fn, void *arg)
{
  size_t i;

  if (config == NULL || fn == NULL)
    return 0;
  for (i = 0; i < config->effective_count; i++) {
    const effective *e = &config->effective[i];
    int secret = (e->option->flags & SB_OPTION_SECRET) != 0;
    int stop;

    if (e->value.text == NULL)
      continue;
    stop = fn(arg, e->option->key, settings_shown(e->value.text, secret),
              e->source);
    if (stop != 0)
      return stop;
  }
  return 0;
}

int
settings_equal(const sb_config *a, const sb_config *b)
{
  size_t i;

  if (a->backend != b->backend || a->filter_count != b->filter_count ||
      a->effective_count != b->effective_count)
    return 0;
  for (i = 0; i < a->filter_count; i++)
    if (a->filters[i] != b->filters[i])
      return 0;
  for (i = 0; i < a->effective_count; i++) {
    const effective *x = &a->effective[i], *y = &b->effective[i];

    /* The plugin was compared already; its name may be spelt as a path. */
    if (x->option != y->option)
      return 0;
    if (strcmp(x->option->key, OPTION_BACKEND) != 0 &&
        !option_equal(x->option, &x->value, &y->value))
      return 0;
  }
  return 1;
}

/* ---- typed reads -------------------------------------------------------- */

const char *
settings_string(const sb_config *config, const char *key)
{
  return sb_config_get(config, key);
}

/* Before a check the host's own options can be read all the same: tests and
   tools open engines without a plugin. A bad value reads as the default. */
static int
settings_unchecked(const sb_config *config, const char *key,
                   option_value *value)
{
  size_t count;
  const sb_option *options = sb_host_options(&count);
  const sb_option *option = option_find(options, count, settings_key(key));
  const char *text = sb_config_get(config, key);
  const sb_host *host = config->host;
  char why[256];

  if (option == NULL || text == NULL)
    return -1;
  if (option_parse(host, option, text, value, why, sizeof why) != SB_OK &&
      (option->default_value == NULL ||
       option_parse(host, option, option->default_value, value, why,
                    sizeof why) != SB_OK))
    return -1;
  mem_free(host, value->text);
  return 0;
}

static option_value
settings_number(const sb_config *config, const char *key)
{
  option_value value = { NULL, 0, 0 };
  const effective *e;

  if (config == NULL || key == NULL)
    return value;
  e = settings_effective(config, key);
  if (e != NULL)
    return e->value;
  if (config->effective == NULL)
    (void)settings_unchecked(config, key, &value);
  return value;
}

int64_t
settings_int(const sb_config *config, const char *key)
{
  return settings_number(config, key).integer;
}

double
settings_double(const sb_config *config, const char *key)
{
  return settings_number(config, key).real;
}
