/* SPDX-License-Identifier: Apache-2.0 */
/* The s3 plugin: state on Amazon S3 and servers that speak its protocol. */
#include "config.h"

#define S3_PREFIX "state.backend.s3."
#define S3_ENDPOINT NULL
#define S3_REGION NULL
#define S3_PATH_STYLE NULL
#include "plugins/s3/s3.h"
#include "plugins/s3/table.h"

static sb_status
s3_open(const sb_host *host, const sb_config *config, sb_backend **out,
        sb_error *err)
{
  return s3_backend_open(host, config, S3_PREFIX, "s3", out, err);
}

static const sb_plugin s3_plugin = {
  .struct_size = sizeof (sb_plugin),
  .abi_version = SB_ABI_VERSION,
  .name = "s3",
  .version = PACKAGE_VERSION,
  .description = "state on Amazon S3 and servers like it",
  .kind = SB_KIND_BACKEND,
  .option_size = sizeof (sb_option),
  .options = s3_options,
  .option_count = sizeof s3_options / sizeof s3_options[0],
  .prefixes = s3_prefixes,
  .open = s3_open,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &s3_plugin;
}
