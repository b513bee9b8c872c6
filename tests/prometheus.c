/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker. It shares no code with what it checks: it reads line by line
 * and remembers families and series in fixed tables.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/prometheus.h"

#define CHECK_FAMILIES 512u
#define CHECK_SERIES 8192u
#define CHECK_NAME 256u

typedef struct checker {
  char families[CHECK_FAMILIES][CHECK_NAME];
  size_t family_count;
  char kind[32];             /* of the current family */
  int has_help, has_type, has_samples;
  char *series[CHECK_SERIES];
  size_t series_count;
  /* of the current histogram */
  char group[CHECK_NAME];    /* its labels without le */
  double bound, cumulative;
  int infinite, sum, count;
} checker;

static size_t
checker_name(const char *p, int colons)
{
  size_t n = 0;

  if (*p >= '0' && *p <= '9')
    return 0;
  while ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') ||
         (p[n] >= '0' && p[n] <= '9') || p[n] == '_' ||
         (colons && p[n] == ':'))
    n++;
  return n;
}

static const char *
checker_group_end(const checker *c)
{
  if (strcmp(c->kind, "histogram") != 0 || c->group[0] == '\0')
    return NULL;
  return c->infinite && c->sum && c->count ? NULL
                                           : "a histogram is not whole";
}

static const char *
checker_family(checker *c, const char *name, size_t len)
{
  const char *wrong = checker_group_end(c);
  size_t i;

  if (wrong != NULL)
    return wrong;
  if (len == 0 || len >= CHECK_NAME || c->family_count == CHECK_FAMILIES)
    return "no usable family name";
  for (i = 0; i < c->family_count; i++)
    if (strlen(c->families[i]) == len &&
        memcmp(c->families[i], name, len) == 0)
      return "a family comes twice";
  memcpy(c->families[c->family_count], name, len);
  c->families[c->family_count++][len] = '\0';
  c->has_help = c->has_type = c->has_samples = 0;
  c->kind[0] = c->group[0] = '\0';
  return NULL;
}

static int
checker_is_current(const checker *c, const char *name, size_t len)
{
  const char *current =
    c->family_count == 0 ? "" : c->families[c->family_count - 1];

  return strlen(current) == len && memcmp(current, name, len) == 0;
}

static const char *
checker_comment(checker *c, const char *line)
{
  int help = strncmp(line, "# HELP ", 7) == 0;
  const char *name = line + 7, *rest, *wrong;
  size_t len;

  if (!help && strncmp(line, "# TYPE ", 7) != 0)
    return "a comment of another kind";
  len = checker_name(name, 1);
  rest = name + len;
  if (*rest != ' ')
    return "no name in HELP or TYPE";
  if (!checker_is_current(c, name, len) || c->has_samples) {
    wrong = checker_family(c, name, len);
    if (wrong != NULL)
      return wrong;
  }
  if (help && (c->has_help++ || c->has_type))
    return "HELP twice or behind TYPE";
  if (help)
    return NULL;
  if (c->has_type++)
    return "TYPE twice";
  if (strcmp(rest, " counter") != 0 && strcmp(rest, " gauge") != 0 &&
      strcmp(rest, " histogram") != 0)
    return "an unknown type";
  (void)snprintf(c->kind, sizeof c->kind, "%s", rest + 1);
  if (strcmp(c->kind, "counter") == 0 &&
      (len < 6 || memcmp(rest - 6, "_total", 6) != 0))
    return "a counter without _total";
  return NULL;
}

/* Copies the labels but le into `group`; the end of the block, or NULL. */
static const char *
checker_labels(const char *p, char *group, char *le)
{
  size_t len = 0, n;

  group[0] = le[0] = '\0';
  if (*p != '{')
    return p;
  do {
    const char *name = ++p, *value;

    n = checker_name(name, 0);
    if (n == 0 || name[n] != '=' || name[n + 1] != '"')
      return NULL;
    value = p = name + n + 2;
    for (; *p != '"'; p++)
      if (*p == '\0' ||
          (*p == '\\' && *++p != '\\' && *p != '"' && *p != 'n'))
        return NULL;
    if (n == 2 && memcmp(name, "le", 2) == 0 && p - value < 32)
      (void)snprintf(le, 32, "%.*s", (int)(p - value), value);
    else
      len += (size_t)snprintf(group + len, CHECK_NAME - len, "%.*s,",
                              (int)(p + 1 - name), name);
    if (len >= CHECK_NAME)
      return NULL;
    p++;
  } while (*p == ',');
  return *p == '}' ? p + 1 : NULL;
}

static const char *
checker_bucket(checker *c, const char *le, double value)
{
  char *end;
  double bound = strtod(le, &end);

  if (le[0] == '\0' || *end != '\0')
    return "a bucket without a bound";
  if (c->infinite || c->sum || c->count || bound <= c->bound)
    return "buckets out of order";
  if (value < c->cumulative)
    return "buckets do not add up";
  c->bound = bound;
  c->cumulative = value;
  c->infinite = isinf(bound);
  return NULL;
}

static const char *
checker_histogram(checker *c, const char *suffix, const char *group,
                  const char *le, double value)
{
  const char *wrong;

  if (strcmp(c->group, group) != 0 || !c->has_samples) {
    wrong = checker_group_end(c);
    if (wrong != NULL)
      return wrong;
    (void)snprintf(c->group, sizeof c->group, "%s", group);
    c->bound = -1;
    c->cumulative = 0;
    c->infinite = c->sum = c->count = 0;
  }
  if (strcmp(suffix, "_bucket") == 0)
    return checker_bucket(c, le, value);
  if (le[0] != '\0')
    return "le outside of a bucket";
  if (strcmp(suffix, "_sum") == 0)
    return c->sum++ ? "two sums" : NULL;
  if (strcmp(suffix, "_count") != 0)
    return "a sample of another family";
  if (value < c->cumulative || value > c->cumulative)
    return "the count is not the last bucket";
  return c->count++ ? "two counts" : NULL;
}

static const char *
checker_once(checker *c, const char *line, size_t len)
{
  size_t i;

  for (i = 0; i < c->series_count; i++)
    if (strlen(c->series[i]) == len && memcmp(c->series[i], line, len) == 0)
      return "a series comes twice";
  if (c->series_count == CHECK_SERIES)
    return "too many series for this checker";
  c->series[c->series_count] = strndup(line, len);
  return c->series[c->series_count++] == NULL ? "out of memory" : NULL;
}

static const char *
checker_sample(checker *c, const char *line)
{
  size_t len = checker_name(line, 1), known;
  char group[CHECK_NAME], le[32], name[CHECK_NAME], *end;
  const char *rest, *wrong;
  double value;

  if (len == 0 || len >= CHECK_NAME)
    return "no name";
  (void)snprintf(name, sizeof name, "%.*s", (int)len, line);
  rest = checker_labels(line + len, group, le);
  if (rest == NULL || *rest != ' ')
    return "bad labels";
  value = strtod(rest + 1, &end);
  if (end == rest + 1 || *end != '\0')
    return "bad value";
  if (c->family_count == 0 || !c->has_type)
    return "a sample without TYPE";
  known = strlen(c->families[c->family_count - 1]);
  if (strncmp(name, c->families[c->family_count - 1], known) != 0)
    return "a sample of another family";
  wrong = checker_once(c, line, (size_t)(rest - line));
  if (wrong != NULL)
    return wrong;
  if (strcmp(c->kind, "histogram") == 0)
    wrong = checker_histogram(c, name + known, group, le, value);
  else if (name[known] != '\0' || le[0] != '\0')
    wrong = "a sample of another family";
  c->has_samples = 1;
  return wrong;
}

const char *
prometheus_check(const char *text, size_t *line)
{
  checker *c = calloc(1, sizeof *c);
  const char *wrong = c == NULL ? "out of memory" : NULL;
  char one[4096];
  size_t len, i;

  for (*line = 1; wrong == NULL && *text != '\0'; text += len + 1) {
    len = strcspn(text, "\n");
    if (text[len] == '\0')
      wrong = "the last line has no end";
    else if (len >= sizeof one || len == 0)
      wrong = "a line too long or empty";
    if (wrong != NULL)
      break;
    memcpy(one, text, len);
    one[len] = '\0';
    wrong = one[0] == '#' ? checker_comment(c, one) : checker_sample(c, one);
    *line += wrong == NULL;
  }
  if (wrong == NULL)
    wrong = checker_group_end(c);
  for (i = 0; c != NULL && i < c->series_count; i++)
    free(c->series[i]);
  free(c);
  return wrong;
}

const char *
prometheus_value(const char *text, const char *series)
{
  static char value[64];
  size_t len = strlen(series), n;

  for (; *text != '\0'; text += n + (text[n] == '\n')) {
    n = strcspn(text, "\n");
    if (n <= len || strncmp(text, series, len) != 0 || text[len] != ' ')
      continue;
    (void)snprintf(value, sizeof value, "%.*s", (int)(n - len - 1),
                   text + len + 1);
    return value;
  }
  return NULL;
}
