/* SPDX-License-Identifier: Apache-2.0 */
/* A strict checker of Prometheus text, for the tests of metrics. */
#ifndef TESTS_PROMETHEUS_H
#define TESTS_PROMETHEUS_H

#include <stddef.h>

/* NULL if `text` is all right by format 0.0.4 and by the rules that readers
   hold it to: each family once, with its TYPE before its samples, no sample
   twice, counters that end in _total, histograms whole, sorted and cumulative.
   Else what is wrong, and *line where. */
const char *prometheus_check(const char *text, size_t *line);

/* The value of the sample that `series` names, as it stands there; NULL if
   there is none. In a buffer that the next call overwrites. */
const char *prometheus_value(const char *text, const char *series);

#endif
