/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of an attempt: all of its answer is looked at, and a class, a
 * status and words are found for it. Some causes can be cured at once: another
 * region, a wrong clock, credentials that have expired.
 */
#ifndef PLUGINS_S3_JUDGE_H
#define PLUGINS_S3_JUDGE_H

#include "plugins/s3/net.h"
#include "plugins/s3/retry.h"

typedef struct s3_outcome {
  s3_verdict verdict;
  s3_xml_error xml;
  char reason[320];
} s3_outcome;

void s3_judge(s3_call *call, const s3_exchange *x, s3_outcome *outcome);

/* 1 if the cause was cured and the call is to be sent again; each cause once a
   call. May put a better reason into the outcome. */
int s3_cure(s3_call *call, const s3_exchange *x, s3_outcome *outcome);

#endif
