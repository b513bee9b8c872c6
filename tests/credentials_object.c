/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object with a credentials provider, for CUSTOM. */
#include "config.h"

#include <statebackend/credentials.h>

static sb_status
object_fetch(void *ctx, sb_credentials_reply *reply, sb_error *err)
{
  (void)ctx;
  (void)err;
  return reply->set(reply, "AKIAOBJECT", "S3cr3tObject", NULL, 0);
}

SB_EXPORT sb_credentials_init_fn sb_s3_credentials;

const sb_credentials_provider *
sb_s3_credentials(void)
{
  static const sb_credentials_provider provider = {
    .struct_size = sizeof provider, .abi_version = SB_ABI_VERSION,
    .fetch = object_fetch
  };

  return &provider;
}
