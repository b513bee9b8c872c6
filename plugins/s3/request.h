/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt sends: URL, headers and signature. */
#ifndef PLUGINS_S3_REQUEST_H
#define PLUGINS_S3_REQUEST_H

#include "plugins/s3/net.h"

/* Fills x's url and lines from its call, signed with x's credentials, the
   server's time and the region of now. */
sb_status s3_request_prepare(s3_exchange *x, sb_error *err);

/* Says what digests of its body a call needs, and makes them: the plan on the
   network thread, the rest on any, with nothing else done to the call. */
void s3_request_plan(s3_call *call);
void s3_request_hash(s3_call *call);

#endif
