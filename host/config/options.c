/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: the host's own table, and how the text of a setting becomes a typed
 * value of its option.
 */
#include "config.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "host/base/mem.h"
#include "host/config/options.h"

static const sb_option option_host[] = {
  { OPTION_BACKEND, SB_TYPE_STRING, SB_OPTION_REQUIRED, NULL, 0, 0, NULL,
    "The plugin that keeps the state: a name, or a path with a '/'; also "
    "written state.backend.type." },
  { "state.backend.memory.size", SB_TYPE_SIZE, 0, "256mb", 4 << 20,
    (int64_t)1 << 50, NULL,
    "Hard budget for the records, blocks, filters and buffers of one "
    "backend." },
  { "state.backend.cache.dir", SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "Directory of the local disk cache; no disk cache if it is not set." },
  { "state.backend.cache.size", SB_TYPE_SIZE, 0, "10gb", 1 << 20,
    (int64_t)1 << 50, NULL, "Size of the local disk cache." },
  { OPTION_FILTERS, SB_TYPE_LIST, 0, NULL, 0, 0, NULL,
    "Filters stacked over the store, outermost first." },
  { "state.backend.block.size", SB_TYPE_SIZE, 0, "4kb", 1 << 10, 1 << 20,
    NULL, "Bytes of a segment's block before compression." },
  { "state.backend.segment.size", SB_TYPE_SIZE, 0, "64mb", 1 << 20, 1 << 30,
    NULL, "Bytes of the largest segment that is written." },
  { "state.backend.compaction.runs", SB_TYPE_INT, 0, "6", 2, 64, NULL,
    "Sorted runs over a key group that start a compaction of it." },
  { "state.backend.compaction.enabled", SB_TYPE_BOOL, 0, "true", 0, 0, NULL,
    "Whether segments are compacted in the background." },
  { OPTION_METRICS_FILE, SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "File that metrics are written to as Prometheus text, from time to time "
    "and at close." },
  { OPTION_METRICS_LISTEN, SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "Loopback address, such as 127.0.0.1:9101, that serves the same text as "
    "/metrics." },
  { OPTION_METRICS_INTERVAL, SB_TYPE_DURATION, 0, "10s", 100, 86400000, NULL,
    "How often the metrics' file is rewritten." },
  { OPTION_PLUGIN_PATH, SB_TYPE_LIST, 0, NULL, 0, 0, NULL,
    "Directories searched for plugins, after SB_PLUGIN_PATH." },
};

const sb_option *
sb_host_options(size_t *count)
{
  if (count != NULL)
    *count = sizeof option_host / sizeof option_host[0];
  return option_host;
}

/* ---- numbers with units ------------------------------------------------- */

typedef struct option_unit {
  const char *name;
  uint64_t factor;
  uint64_t divisor;
} option_unit;

/* The first unit of each factor is the one printed. */
static const option_unit option_size_units[] = {
  { "tb", (uint64_t)1 << 40, 1 }, { "gb", 1 << 30, 1 }, { "mb", 1 << 20, 1 },
  { "kb", 1 << 10, 1 },           { "b", 1, 1 },        { "k", 1 << 10, 1 },
  { "m", 1 << 20, 1 },            { "g", 1 << 30, 1 },
  { "t", (uint64_t)1 << 40, 1 },  { "", 1, 1 },         { NULL, 0, 0 },
};

static const option_unit option_duration_units[] = {
  { "d", 86400000, 1 }, { "h", 3600000, 1 }, { "min", 60000, 1 },
  { "s", 1000, 1 },     { "ms", 1, 1 },      { "us", 1, 1000 },
  { "ns", 1, 1000000 }, { "", 1, 1 },        { NULL, 0, 0 },
};

static int
option_is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads decimal digits; -1 if there are none or too many. */
static int
option_digits(const char **p, uint64_t *out)
{
  const char *s = *p;
  uint64_t v = 0;

  if (*s < '0' || *s > '9')
    return -1;
  for (; *s >= '0' && *s <= '9'; s++) {
    uint64_t digit = (uint64_t)(*s - '0');

    if (v > (UINT64_MAX - digit) / 10)
      return -1;
    v = v * 10 + digit;
  }
  *p = s;
  *out = v;
  return 0;
}

static int
option_int(const char *text, int64_t *out)
{
  int negative = *text == '-';
  uint64_t v;

  if (*text == '-' || *text == '+')
    text++;
  if (option_digits(&text, &v) != 0 || *text != '\0')
    return -1;
  if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
    return -1;
  *out = negative ? (int64_t)(0 - v) : (int64_t)v;
  return 0;
}

/* Parts of a unit round up, so that a small duration is not zero. */
static int
option_with_unit(const char *text, const option_unit *units, int64_t *out)
{
  uint64_t v;

  if (*text == '+')
    text++;
  if (option_digits(&text, &v) != 0)
    return -1;
  while (option_is_space(*text))
    text++;
  for (; units->name != NULL; units++)
    if (strcasecmp(units->name, text) == 0)
      break;
  if (units->name == NULL || v > (uint64_t)INT64_MAX / units->factor)
    return -1;
  v *= units->factor;
  v = v / units->divisor + (v % units->divisor != 0);
  *out = (int64_t)v;
  return 0;
}

/* strtod reads the decimal point of the process's locale; not so this. */
static int
option_double(const char *text, double *out)
{
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  char *end;
  double v;

  if (c == (locale_t)0 || strspn(text, "+-.0123456789eE") != strlen(text))
    return -1;
  v = strtod_l(text, &end, c);
  freelocale(c);
  if (end == text || *end != '\0' || v - v != 0)
    return -1;
  *out = v;
  return 0;
}

/* ---- what is allowed ---------------------------------------------------- */

static void
option_print(uint32_t type, int64_t v, char *text, size_t size)
{
  const option_unit *units = type == SB_TYPE_SIZE ? option_size_units
                                                  : option_duration_units;

  if (type != SB_TYPE_SIZE && type != SB_TYPE_DURATION) {
    (void)snprintf(text, size, "%lld", (long long)v);
    return;
  }
  for (; units->factor > 1; units++)
    if (v != 0 && (uint64_t)v % units->factor == 0)
      break;
  (void)snprintf(text, size, "%llu%s",
                 (unsigned long long)((uint64_t)v / units->factor),
                 units->name);
}

static const char *
option_type_text(uint32_t type)
{
  switch (type) {
  case SB_TYPE_BOOL:
    return "must be true or false";
  case SB_TYPE_INT:
    return "must be a whole number";
  case SB_TYPE_SIZE:
    return "must be a size such as 64kb or 8mb";
  case SB_TYPE_DURATION:
    return "must be a duration such as 300ms or 10s";
  case SB_TYPE_DOUBLE:
    return "must be a number";
  default:
    return "must be text";
  }
}

static void
option_choices(const char *choices, char *why, size_t size)
{
  size_t len;

  (void)snprintf(why, size, "must be one of ");
  for (len = strlen(why); *choices != '\0' && len + 3 < size; choices++) {
    why[len++] = *choices == '|' ? ',' : *choices;
    if (*choices == '|')
      why[len++] = ' ';
  }
  why[len] = '\0';
}

static void
option_allowed(const sb_option *option, char *why, size_t size)
{
  char low[32], high[32];

  if (option->type == SB_TYPE_ENUM) {
    option_choices(option->choices, why, size);
    return;
  }
  if (option->min == 0 && option->max == 0) {
    (void)snprintf(why, size, "%s", option_type_text(option->type));
    return;
  }
  option_print(option->type, option->min, low, sizeof low);
  option_print(option->type, option->max, high, sizeof high);
  (void)snprintf(why, size, "%s, from %s to %s",
                 option_type_text(option->type), low, high);
}

/* ---- values ------------------------------------------------------------- */

static int
option_choice(const char *choices, const char *text, const char **found)
{
  size_t len = strlen(text);

  for (;;) {
    size_t n = strcspn(choices, "|");

    if (n == len && n != 0 && strncasecmp(choices, text, n) == 0) {
      *found = choices;
      return 0;
    }
    if (choices[n] == '\0')
      return -1;
    choices += n + 1;
  }
}

sb_status
option_list_each(const char *text, option_element_fn *fn, void *arg)
{
  sb_status status = SB_OK;

  while (status == SB_OK) {
    size_t n = strcspn(text, ",;");
    size_t first = 0, last = n;

    while (first < last && option_is_space(text[first]))
      first++;
    while (last > first && option_is_space(text[last - 1]))
      last--;
    if (last > first)
      status = fn(arg, text + first, last - first);
    if (text[n] == '\0')
      break;
    text += n + 1;
  }
  return status;
}

static sb_status
option_list_add(void *arg, const char *data, size_t len)
{
  char **end = arg;

  memcpy(*end, data, len);
  (*end)[len] = ',';
  *end += len + 1;
  return SB_OK;
}

/* In place: the canonical form is never longer than the text. */
static void
option_list_join(char *text, const char *from)
{
  char *end = text;

  (void)option_list_each(from, option_list_add, &end);
  if (end != text)
    end--;
  *end = '\0';
}

/* Sets the numbers of a value whose trimmed text is in value->text. */
static int
option_convert(const sb_option *option, option_value *value)
{
  const char *choice;
  int bad = 0;

  switch (option->type) {
  case SB_TYPE_BOOL:
    value->integer = strcasecmp(value->text, "true") == 0;
    bad = !value->integer && strcasecmp(value->text, "false") != 0;
    if (!bad)
      strcpy(value->text, value->integer ? "true" : "false");
    break;
  case SB_TYPE_INT:
    bad = option_int(value->text, &value->integer);
    break;
  case SB_TYPE_SIZE:
    bad = option_with_unit(value->text, option_size_units, &value->integer);
    break;
  case SB_TYPE_DURATION:
    bad = option_with_unit(value->text, option_duration_units,
                           &value->integer);
    break;
  case SB_TYPE_DOUBLE:
    bad = option_double(value->text, &value->real);
    if (!bad && value->real > -9e18 && value->real < 9e18)
      value->integer = (int64_t)value->real;
    break;
  case SB_TYPE_ENUM:
    bad = option_choice(option->choices, value->text, &choice);
    if (!bad)
      memcpy(value->text, choice, strlen(value->text));
    break;
  default:
    break;
  }
  if (option->type != SB_TYPE_DOUBLE)
    value->real = (double)value->integer;
  return bad ? -1 : 0;
}

static int
option_in_range(const sb_option *option, const option_value *value)
{
  if (option->min == 0 && option->max == 0)
    return 1;
  switch (option->type) {
  case SB_TYPE_INT:
  case SB_TYPE_SIZE:
  case SB_TYPE_DURATION:
    return value->integer >= option->min && value->integer <= option->max;
  case SB_TYPE_DOUBLE:
    return value->real >= (double)option->min &&
           value->real <= (double)option->max;
  default:
    return 1;
  }
}

sb_status
option_parse(const sb_host *host, const sb_option *option, const char *text,
             option_value *value, char *why, size_t why_size)
{
  option_value v = { NULL, 0, 0 };
  size_t len = strlen(text);

  if (len > OPTION_VALUE_MAX) {
    (void)snprintf(why, why_size, "must have at most %u bytes",
                   OPTION_VALUE_MAX);
    return SB_CONFIG;
  }
  v.text = mem_alloc(host, len + 2);
  if (v.text == NULL)
    return SB_NO_MEMORY;
  if (option->type == SB_TYPE_LIST) {
    option_list_join(v.text, text);
  } else {
    while (option_is_space(*text))
      text++;
    len = strlen(text);
    while (len > 0 && option_is_space(text[len - 1]))
      len--;
    memcpy(v.text, text, len);
    v.text[len] = '\0';
  }
  if (option_convert(option, &v) != 0 || !option_in_range(option, &v)) {
    mem_free(host, v.text);
    option_allowed(option, why, why_size);
    return SB_CONFIG;
  }
  *value = v;
  return SB_OK;
}

int
option_equal(const sb_option *option, const option_value *a,
             const option_value *b)
{
  if (a->text == NULL || b->text == NULL)
    return a->text == b->text;
  switch (option->type) {
  case SB_TYPE_BOOL:
  case SB_TYPE_INT:
  case SB_TYPE_SIZE:
  case SB_TYPE_DURATION:
    return a->integer == b->integer;
  case SB_TYPE_DOUBLE:
    return !(a->real < b->real) && !(a->real > b->real);
  default:
    return strcmp(a->text, b->text) == 0;
  }
}

const sb_option *
option_find(const sb_option *options, size_t count, const char *key)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (strcmp(options[i].key, key) == 0)
      return &options[i];
  return NULL;
}
