/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text, read back: what a job's metrics file or listener says. */
#ifndef SB_CLI_SAMPLE_H
#define SB_CLI_SAMPLE_H

#include <stddef.h>
#include <statebackend/base.h>

#define SAMPLE_LABELS 8u
#define SAMPLE_BUCKETS 64u

typedef struct sample_label {
  const char *name, *value;
} sample_label;

/* One number, or one histogram with all its buckets. */
typedef struct sample {
  const char *name;
  const char *kind;          /* "counter", "gauge", "histogram", "untyped" */
  sample_label labels[SAMPLE_LABELS]; /* without le */
  size_t label_count;
  double value;              /* histogram: the sum */
  const char *text;          /* the value as it stands there */
  double count;              /* of a histogram */
  double bounds[SAMPLE_BUCKETS], counts[SAMPLE_BUCKETS]; /* cumulative */
  size_t bucket_count;
} sample;

typedef struct samples {
  sample *list;
  size_t count, capacity;
} samples;

/* Reads `text`, which it changes and which the samples point into. SB_CORRUPT
   names the line that is not of the format. */
sb_status samples_read(samples *s, char *text, sb_error *err);
void samples_free(samples *s);

/* The value below which `part` (0 to 1) of a histogram's values are, by
   interpolation within a bucket; NAN if it has none. */
double sample_quantile(const sample *histogram, double part);

#endif
