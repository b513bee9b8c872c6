/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Prometheus text. Names are mangled and brought to base units,
 * samples are sorted into families, and a histogram's buckets are summed up.
 * What does not fit, such as a second sample of the same name and labels, is
 * left out: one bad line would make the reader refuse all of them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <statebackend/statebackend.h>
#include "host/plugin/metrics.h"

#define TEXT_PREFIX "statebackend_"
#define TEXT_SUFFIX_MAX 32u  /* bytes that unit and _total may add */

typedef struct text_sample {
  const metrics_view *view;
  char *family;        /* mangled, with unit and _total */
  char *labels;        /* `a="b",c="d"`, without le; "" if none */
  uint32_t kind;
  int decimals;        /* of the value, after the unit's change */
  int has_le;
  uint64_t le;         /* UINT64_MAX: +Inf */
} text_sample;

static const struct text_unit {
  const char *suffix, *base;
  int decimals;
} text_units[] = {
  { "_ns", "_seconds", 9 },
  { "_us", "_seconds", 6 },
  { "_ms", "_seconds", 3 },
  { "_nanodollars", "_dollars", 9 },
};

/* ---- names -------------------------------------------------------------- */

static int
text_is_name(char c, int first)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (!first && c >= '0' && c <= '9');
}

/* A quoted value of printable ASCII with escapes; the byte behind it or
   NULL. */
static const char *
text_label_value(const char *p)
{
  if (*p++ != '"')
    return NULL;
  for (; *p != '"'; p++) {
    if (*p < ' ' || *p > '~')
      return NULL;
    if (*p == '\\' && *++p != '\\' && *p != '"' && *p != 'n')
      return NULL;
  }
  return p + 1;
}

static int
text_bound(const char *value, size_t len, uint64_t *le)
{
  size_t i;

  *le = UINT64_MAX;
  if (len == 6 && memcmp(value, "\"+Inf\"", 6) == 0)
    return 0;
  if (len < 3 || len > 20)
    return -1;
  *le = 0;
  for (i = 1; i < len - 1; i++) {
    if (value[i] < '0' || value[i] > '9')
      return -1;
    *le = *le * 10 + (uint64_t)(value[i] - '0');
  }
  return 0;
}

/* Reads the label block behind the brace into sample->labels. -1 if it is
   none. */
static int
text_labels(text_sample *sample, const char *p)
{
  char *to = sample->labels;

  for (;;) {
    const char *name = p, *value, *end;

    while (text_is_name(*p, p == name))
      p++;
    value = p + 1;
    end = p == name || *p != '=' ? NULL : text_label_value(value);
    if (end == NULL || (*end != ',' && *end != '}'))
      return -1;
    if (p - name == 2 && memcmp(name, "le", 2) == 0) {
      if (sample->kind != SB_METRIC_HISTOGRAM || sample->has_le ||
          text_bound(value, (size_t)(end - value), &sample->le) != 0)
        return -1;
      sample->has_le = 1;
    } else {
      if (to != sample->labels)
        *to++ = ',';
      memcpy(to, name, (size_t)(end - name));
      to += end - name;
    }
    *to = '\0';
    if (*end == '}')
      return end[1] == '\0' ? 0 : -1;
    p = end + 1;
  }
}

/* Replaces a unit by its base unit. */
static void
text_base_unit(text_sample *sample)
{
  size_t i, len = strlen(sample->family), n;

  for (i = 0; i < sizeof text_units / sizeof text_units[0]; i++) {
    n = strlen(text_units[i].suffix);
    if (len > n &&
        strcmp(sample->family + len - n, text_units[i].suffix) == 0) {
      strcpy(sample->family + len - n, text_units[i].base);
      sample->decimals = text_units[i].decimals;
      return;
    }
  }
}

/* Room for what text_name writes. */
static size_t
text_room(const char *name)
{
  return 2 * strlen(name) + sizeof TEXT_PREFIX + TEXT_SUFFIX_MAX + 2;
}

/* Fills the sample from a view, with strings at `room`. */
static void
text_name(text_sample *sample, const metrics_view *view, char *room)
{
  const char *name = view->name;
  size_t len = strcspn(name, "{"), i;
  char *to;

  sample->view = view;
  sample->kind = view->kind == SB_METRIC_GAUGE ||
                 view->kind == SB_METRIC_HISTOGRAM ? view->kind
                                                   : SB_METRIC_COUNTER;
  sample->labels = room;
  sample->labels[0] = '\0';
  if (name[len] == '{' && text_labels(sample, name + len + 1) != 0) {
    len = strlen(name);
    sample->labels[0] = '\0';
    sample->has_le = 0;
  }
  sample->family = room + strlen(name) + 1;
  strcpy(sample->family, TEXT_PREFIX);
  to = sample->family + strlen(TEXT_PREFIX);
  for (i = 0; i < len; i++)
    *to++ = text_is_name(name[i], 0) ? name[i] : '_';
  *to = '\0';
  text_base_unit(sample);
  len = strlen(sample->family);
  if (sample->kind == SB_METRIC_COUNTER &&
      (len < 6 || strcmp(sample->family + len - 6, "_total") != 0))
    strcpy(sample->family + len, "_total");
}

static int
text_compare(const void *one, const void *other)
{
  const text_sample *a = one, *b = other;
  int order = strcmp(a->family, b->family);

  if (order == 0)
    order = strcmp(a->labels, b->labels);
  if (order == 0)
    order = a->has_le - b->has_le;
  if (order == 0)
    order = a->le < b->le ? -1 : a->le > b->le;
  return order;
}

/* ---- lines -------------------------------------------------------------- */

static void
text_add(buf *out, const char *s)
{
  buf_add(out, s, strlen(s));
}

/* value / 10^decimals, exactly. */
static void
text_number(buf *out, int negative, uint64_t value, int decimals)
{
  uint64_t scale = 1;
  char text[64];
  size_t len;
  int i;

  for (i = 0; i < decimals; i++)
    scale *= 10;
  len = (size_t)snprintf(text, sizeof text, "%s%" PRIu64,
                         negative ? "-" : "", value / scale);
  if (value % scale != 0) {
    len += (size_t)snprintf(text + len, sizeof text - len, ".%0*" PRIu64,
                            decimals, value % scale);
    while (text[len - 1] == '0')
      len--;
  }
  buf_add(out, text, len);
}

static void
text_value(buf *out, int64_t value, int decimals)
{
  text_number(out, value < 0, value < 0 ? 0 - (uint64_t)value
                                        : (uint64_t)value, decimals);
  text_add(out, "\n");
}

/* `family``suffix`{labels,le="..."} and a space; le NULL: none. */
static void
text_series(buf *out, const text_sample *sample, const char *suffix,
            const uint64_t *le)
{
  const char *labels = sample->labels;

  text_add(out, sample->family);
  text_add(out, suffix);
  if (labels[0] != '\0' || le != NULL) {
    text_add(out, "{");
    text_add(out, labels);
    if (le != NULL) {
      text_add(out, labels[0] == '\0' ? "le=\"" : ",le=\"");
      if (*le == UINT64_MAX)
        text_add(out, "+Inf");
      else
        text_number(out, 0, *le, sample->decimals);
      text_add(out, "\"");
    }
    text_add(out, "}");
  }
  text_add(out, " ");
}

static void
text_help(buf *out, const text_sample *samples, size_t count)
{
  static const char *const kinds[] = { "counter", "gauge", "histogram" };
  const char *help = NULL;
  size_t i;

  for (i = 0; i < count && help == NULL; i++)
    help = samples[i].view->help;
  if (help != NULL) {
    text_add(out, "# HELP ");
    text_add(out, samples->family);
    text_add(out, " ");
    for (; *help != '\0'; help++)
      if (*help == '\\' || *help == '\n')
        text_add(out, *help == '\n' ? "\\n" : "\\\\");
      else
        buf_add(out, help, 1);
    text_add(out, "\n");
  }
  text_add(out, "# TYPE ");
  text_add(out, samples->family);
  text_add(out, " ");
  text_add(out, kinds[samples->kind / 10 - 1]);
  text_add(out, "\n");
}

/* One histogram: the samples of one family with the same labels. */
static void
text_histogram(buf *out, const text_sample *samples, size_t count)
{
  const uint64_t infinite = UINT64_MAX;
  int64_t total = 0, sum = 0;
  size_t i;

  for (i = 0; i < count; i++) {
    if (!samples[i].has_le)
      sum = samples[i].view->value;
    if (!samples[i].has_le || samples[i].le == UINT64_MAX ||
        (i > 0 && text_compare(&samples[i - 1], &samples[i]) == 0))
      continue;
    total += samples[i].view->value;
    text_series(out, samples, "_bucket", &samples[i].le);
    text_value(out, total, 0);
  }
  if (samples[count - 1].le == UINT64_MAX)
    total += samples[count - 1].view->value;
  text_series(out, samples, "_bucket", &infinite);
  text_value(out, total, 0);
  text_series(out, samples, "_sum", NULL);
  text_value(out, sum, samples->decimals);
  text_series(out, samples, "_count", NULL);
  text_value(out, total, 0);
}

/* One family: all samples are of it, and the first one's kind holds. */
static void
text_family(buf *out, const text_sample *samples, size_t count)
{
  size_t i, n;

  text_help(out, samples, count);
  for (i = 0; i < count; i += n) {
    for (n = 1; i + n < count && samples[i + n].kind == samples[i].kind &&
                strcmp(samples[i + n].labels, samples[i].labels) == 0;)
      n++;
    if (samples[i].kind != samples->kind ||
        (i > 0 && strcmp(samples[i - 1].labels, samples[i].labels) == 0))
      continue;
    if (samples->kind == SB_METRIC_HISTOGRAM) {
      text_histogram(out, samples + i, n);
    } else {
      text_series(out, samples + i, "", NULL);
      text_value(out, samples[i].view->value, samples[i].decimals);
    }
  }
}

static size_t
text_family_size(const text_sample *samples, size_t count)
{
  size_t n = 1;

  while (n < count && strcmp(samples[n].family, samples->family) == 0)
    n++;
  return n;
}

/* ---- all of it ---------------------------------------------------------- */

static void
text_render(buf *out, text_sample *samples, size_t count)
{
  size_t i, n;

  qsort(samples, count, sizeof *samples, text_compare);
  text_add(out, "# HELP " TEXT_PREFIX "build_info The library's version.\n"
                "# TYPE " TEXT_PREFIX "build_info gauge\n"
                TEXT_PREFIX "build_info{version=\"");
  text_add(out, sb_version());
  text_add(out, "\"} 1\n");
  for (i = 0; i < count; i += n) {
    n = text_family_size(samples + i, count - i);
    if (strcmp(samples[i].family, TEXT_PREFIX "build_info") != 0)
      text_family(out, samples + i, n);
  }
  buf_u8(out, 0);
}

sb_status
metrics_text(const sb_host *host, buf *out, sb_error *err)
{
  metrics_view *views = mem_alloc(host, METRICS_MAX * sizeof *views);
  size_t i, count = views == NULL ? 0 : metrics_collect(views), room = 0;
  text_sample *samples = mem_zalloc(host, (count + 1) * sizeof *samples);
  char *strings;

  for (i = 0; i < count; i++)
    room += text_room(views[i].name);
  strings = mem_alloc(host, room);
  if (views == NULL || samples == NULL || strings == NULL) {
    out->status = SB_NO_MEMORY;
  } else {
    for (room = 0, i = 0; i < count; i++) {
      text_name(&samples[i], &views[i], strings + room);
      room += text_room(views[i].name);
    }
    text_render(out, samples, count);
  }
  mem_free(host, strings);
  mem_free(host, samples);
  mem_free(host, views);
  return out->status == SB_OK
           ? SB_OK
           : sb_error_set(err, out->status, "no memory for the metrics' text");
}
