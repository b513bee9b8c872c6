/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attempt's outcome means: done, final, to be tried again at once
 * after a cure, or after a wait. Classes and codes: Amazon's error reference
 * and what other servers were seen to answer.
 */
#ifndef PLUGINS_S3_RETRY_H
#define PLUGINS_S3_RETRY_H

#include "plugins/s3/settings.h"

typedef enum s3_class {
  S3_CLASS_OK,
  S3_CLASS_FINAL,
  S3_CLASS_TRANSIENT,        /* again after a short wait */
  S3_CLASS_THROTTLE,         /* again after a longer wait, and slower */
  S3_CLASS_FIX_CLOCK,        /* again at once, once, after a cure */
  S3_CLASS_FIX_CREDENTIALS,
  S3_CLASS_FIX_REGION
} s3_class;

typedef struct s3_verdict {
  s3_class class;
  sb_status status;          /* if nothing is tried any more */
  int applied;               /* a write may have taken effect all the same */
} s3_verdict;

/* An answer with an HTTP status other than 2xx, or an <Error> in a 2xx. `code`
   is S3's, "" if there is none. */
s3_verdict s3_judge_http(int http, const char *code);
/* No whole answer: a CURLcode; `sent`: the request may have gone out. */
s3_verdict s3_judge_curl(int curl_code, int sent);

/* Milliseconds to wait before attempt number `attempt` + 1 (attempt >= 1):
   exponential with full jitter; a server's wish counts up to 5 s more. */
uint64_t s3_backoff(const s3_settings *settings, s3_class class,
                    uint32_t attempt, uint64_t random, uint64_t wish_ms);

#endif
