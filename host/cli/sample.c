/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of Prometheus text, format 0.0.4, as far as we write it: a
 * TYPE line before a family's samples, the lines of a histogram together.
 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <statebackend/statebackend.h>
#include "host/cli/sample.h"

/* The line being read. */
typedef struct sample_line {
  char *name;
  sample_label labels[SAMPLE_LABELS];
  size_t label_count;
  char *le;                  /* NULL: none */
  char *text;
  double value;
} sample_line;

typedef struct sample_family {
  const char *name, *kind;
} sample_family;

static int
sample_is_name(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == ':' || (c >= '0' && c <= '9');
}

static size_t
sample_name_len(const char *p)
{
  size_t len = 0;

  if (*p >= '0' && *p <= '9')
    return 0;
  while (sample_is_name(p[len]))
    len++;
  return len;
}

/* Ends the value that begins at p and undoes its escapes; what follows its
   quote, or NULL. */
static char *
sample_unquote(char *p)
{
  char *to = p;

  for (; *p != '"'; p++) {
    if (*p == '\0')
      return NULL;
    if (*p == '\\') {
      p++;
      if (*p != '\\' && *p != '"' && *p != 'n')
        return NULL;
      *to++ = *p == 'n' ? '\n' : *p;
    } else {
      *to++ = *p;
    }
  }
  *to = '\0';
  return p + 1;
}

/* The labels behind the brace; what follows the other one, or NULL. */
static char *
sample_labels(sample_line *line, char *p)
{
  while (*p != '}') {
    char *name = p, *value;
    size_t len = sample_name_len(name);

    if (len == 0 || name[len] != '=' || name[len + 1] != '"')
      return NULL;
    name[len] = '\0';
    value = name + len + 2;
    p = sample_unquote(value);
    if (p == NULL || (*p != ',' && *p != '}'))
      return NULL;
    if (strcmp(name, "le") == 0) {
      line->le = value;
    } else {
      if (line->label_count == SAMPLE_LABELS)
        return NULL;
      line->labels[line->label_count].name = name;
      line->labels[line->label_count++].value = value;
    }
    if (*p == ',')
      p++;
  }
  return p + 1;
}

static int
sample_number(const char *text, double *value)
{
  char *end;

  *value = strtod(text, &end);
  return end == text || *end != '\0' ? -1 : 0;
}

static int
sample_parse(sample_line *line, char *p)
{
  size_t len = sample_name_len(p);
  char *name_end = p + len;

  memset(line, 0, sizeof *line);
  line->name = p;
  p = name_end;
  if (len == 0 || (*p != '{' && *p != ' '))
    return -1;
  if (*p == '{') {
    p = sample_labels(line, p + 1);
    if (p == NULL || *p != ' ')
      return -1;
  }
  *name_end = '\0';
  line->text = p + 1;
  return sample_number(line->text, &line->value);
}

/* `name` less `suffix` is the family's name. */
static int
sample_suffix(const char *name, const sample_family *family,
              const char *suffix)
{
  size_t len = strlen(family->name);

  return strncmp(name, family->name, len) == 0 &&
         strcmp(name + len, suffix) == 0;
}

static int
sample_same(const sample *s, const sample_line *line)
{
  size_t i;

  if (s->label_count != line->label_count)
    return 0;
  for (i = 0; i < s->label_count; i++)
    if (strcmp(s->labels[i].name, line->labels[i].name) != 0 ||
        strcmp(s->labels[i].value, line->labels[i].value) != 0)
      return 0;
  return 1;
}

static sample *
samples_next(samples *s, const sample_line *line, const char *name,
             const char *kind)
{
  size_t capacity = s->capacity == 0 ? 32 : s->capacity * 2;
  sample *list;

  if (s->count == s->capacity) {
    list = realloc(s->list, capacity * sizeof *list);
    if (list == NULL)
      return NULL;
    s->list = list;
    s->capacity = capacity;
  }
  list = &s->list[s->count++];
  memset(list, 0, sizeof *list);
  list->name = name;
  list->kind = kind;
  list->label_count = line->label_count;
  memcpy(list->labels, line->labels, sizeof line->labels);
  list->value = line->value;
  list->text = line->text;
  return list;
}

/* A line of a histogram. */
static sb_status
samples_histogram(samples *s, const sample_family *family,
                  const sample_line *line)
{
  sample *h = s->count == 0 ? NULL : &s->list[s->count - 1];
  double bound;

  if (h == NULL || h->name != family->name || !sample_same(h, line))
    h = samples_next(s, line, family->name, family->kind);
  if (h == NULL)
    return SB_NO_MEMORY;
  if (sample_suffix(line->name, family, "_sum")) {
    h->value = line->value;
    h->text = line->text;
  } else if (sample_suffix(line->name, family, "_count")) {
    h->count = line->value;
  } else if (sample_suffix(line->name, family, "_bucket") &&
             line->le != NULL && sample_number(line->le, &bound) == 0 &&
             h->bucket_count < SAMPLE_BUCKETS &&
             (h->bucket_count == 0 ||
              bound > h->bounds[h->bucket_count - 1])) {
    h->bounds[h->bucket_count] = bound;
    h->counts[h->bucket_count++] = line->value;
  } else {
    return SB_CORRUPT;
  }
  return SB_OK;
}

static sb_status
samples_line(samples *s, sample_family *family, char *text)
{
  sample_line line;

  if (strncmp(text, "# TYPE ", 7) == 0) {
    char *space = strchr(text + 7, ' ');

    if (space == NULL)
      return SB_CORRUPT;
    *space = '\0';
    family->name = text + 7;
    family->kind = space + 1;
    return SB_OK;
  }
  if (text[0] == '#' || text[0] == '\0')
    return SB_OK;
  if (sample_parse(&line, text) != 0)
    return SB_CORRUPT;
  if (family->name != NULL && strcmp(family->kind, "histogram") == 0 &&
      strncmp(line.name, family->name, strlen(family->name)) == 0)
    return samples_histogram(s, family, &line);
  if (samples_next(s, &line, line.name,
                   family->name != NULL &&
                     strcmp(family->name, line.name) == 0
                       ? family->kind : "untyped") == NULL)
    return SB_NO_MEMORY;
  return SB_OK;
}

sb_status
samples_read(samples *s, char *text, sb_error *err)
{
  sample_family family = { NULL, NULL };
  sb_status status = SB_OK;
  size_t number = 0;
  char *line, *end;

  memset(s, 0, sizeof *s);
  for (line = text; status == SB_OK && *line != '\0'; line = end) {
    number++;
    end = line + strcspn(line, "\n");
    if (*end != '\0')
      *end++ = '\0';
    status = samples_line(s, &family, line);
  }
  if (status == SB_OK)
    return SB_OK;
  samples_free(s);
  return status == SB_NO_MEMORY
           ? sb_error_set(err, status, "out of memory")
           : sb_error_set(err, status, "line %zu is not of Prometheus' text "
                          "format", number);
}

void
samples_free(samples *s)
{
  free(s->list);
  memset(s, 0, sizeof *s);
}

double
sample_quantile(const sample *h, double part)
{
  double rank = part * h->count, low = 0, below = 0;
  size_t i;

  if (!(h->count > 0))
    return (double)NAN;
  for (i = 0; i < h->bucket_count; i++) {
    if (h->counts[i] >= rank && h->counts[i] > below)
      return isinf(h->bounds[i])
               ? low
               : low + (h->bounds[i] - low) * (rank - below) /
                         (h->counts[i] - below);
    below = h->counts[i];
    low = h->bounds[i];
  }
  return low;
}
