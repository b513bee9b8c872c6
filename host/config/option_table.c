/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of whole option tables, which come from plugins and may hold
 * anything, and the distance by which a misspelt key finds the one meant.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include "host/base/mem.h"
#include "host/config/options.h"

static int
option_key_valid(const char *key)
{
  size_t len = strlen(key);
  size_t i;

  if (len == 0 || len > OPTION_KEY_MAX || key[0] == '.' ||
      key[len - 1] == '.' || strstr(key, "..") != NULL)
    return 0;
  for (i = 0; i < len; i++)
    if (key[i] <= ' ' || key[i] > '~' || key[i] == '"' || key[i] == '=')
      return 0;
  return 1;
}

static int
option_type_known(uint32_t type)
{
  switch (type) {
  case SB_TYPE_STRING:
  case SB_TYPE_BOOL:
  case SB_TYPE_INT:
  case SB_TYPE_SIZE:
  case SB_TYPE_DURATION:
  case SB_TYPE_ENUM:
  case SB_TYPE_LIST:
  case SB_TYPE_DOUBLE:
    return 1;
  default:
    return 0;
  }
}

static sb_status
option_check(const sb_host *host, const sb_option *option, char *why,
             size_t why_size)
{
  const uint32_t flags = SB_OPTION_REQUIRED | SB_OPTION_SECRET;
  const char *problem = NULL;
  option_value value;
  char allowed[256];
  sb_status status;

  if (!option_type_known(option->type))
    problem = "has an unknown type";
  else if ((option->flags & ~flags) != 0)
    problem = "has unknown flags";
  else if (option->min > option->max)
    problem = "has an empty range";
  else if (option->type == SB_TYPE_ENUM &&
           (option->choices == NULL || option->choices[0] == '\0'))
    problem = "is an enum without choices";
  else if (option->help == NULL || option->help[0] == '\0')
    problem = "has no help text";
  if (problem != NULL) {
    (void)snprintf(why, why_size, "option \"%s\" %s", option->key, problem);
    return SB_CONFIG;
  }
  if (option->default_value == NULL)
    return SB_OK;
  status = option_parse(host, option, option->default_value, &value, allowed,
                        sizeof allowed);
  if (status == SB_OK)
    mem_free(host, value.text);
  else if (status == SB_CONFIG)
    (void)snprintf(why, why_size, "option \"%s\" has the default \"%s\", "
                   "which %s", option->key, option->default_value, allowed);
  return status;
}

sb_status
option_table_check(const sb_host *host, const sb_option *options, size_t count,
                   char *why, size_t why_size)
{
  sb_status status = SB_OK;
  size_t i;

  for (i = 0; i < count && status == SB_OK; i++) {
    if (options[i].key == NULL || !option_key_valid(options[i].key)) {
      (void)snprintf(why, why_size, "option %zu of its table has no usable "
                     "key", i);
      return SB_CONFIG;
    }
    if (option_find(options, i, options[i].key) != NULL) {
      (void)snprintf(why, why_size, "its option table has the key \"%s\" "
                     "twice", options[i].key);
      return SB_CONFIG;
    }
    status = option_check(host, &options[i], why, why_size);
  }
  return status;
}

static char
option_lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static size_t
option_least(size_t a, size_t b, size_t c)
{
  size_t least = a < b ? a : b;

  return least < c ? least : c;
}

/* Optimal string alignment with three rows; keys are short. */
size_t
option_distance(const char *a, const char *b, size_t limit)
{
  uint16_t rows[3][OPTION_KEY_MAX + 2];
  size_t la = strlen(a), lb = strlen(b), i, j;
  size_t result;

  if (la > OPTION_KEY_MAX || lb > OPTION_KEY_MAX ||
      (la > lb ? la - lb : lb - la) >= limit)
    return limit;
  for (j = 0; j <= lb; j++)
    rows[0][j] = (uint16_t)j;
  for (i = 1; i <= la; i++) {
    uint16_t *now = rows[i % 3];
    const uint16_t *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
    char ca = option_lower(a[i - 1]);

    now[0] = (uint16_t)i;
    for (j = 1; j <= lb; j++) {
      char cb = option_lower(b[j - 1]);
      size_t d = option_least(last[j] + 1u, now[j - 1] + 1u,
                              last[j - 1] + (ca != cb));

      if (i > 1 && j > 1 && ca == option_lower(b[j - 2]) &&
          cb == option_lower(a[i - 2]) && before[j - 2] + 1u < d)
        d = before[j - 2] + 1u;
      now[j] = (uint16_t)d;
    }
  }
  result = rows[la % 3][lb];
  return result < limit ? result : limit;
}

size_t
option_distance_limit(const char *name)
{
  size_t len = strlen(name);

  return len < 6 ? 3 : len < 12 ? 4 : 6;
}
