/* SPDX-License-Identifier: Apache-2.0 */
/* The minio plugin: the s3 plugin with defaults of a local MinIO server. */
#include "config.h"

#define S3_PREFIX "state.backend.minio."
#define S3_ENDPOINT "http://127.0.0.1:9000"
#define S3_REGION "us-east-1"
#define S3_PATH_STYLE "true"
#include "plugins/s3/s3.h"
#include "plugins/s3/table.h"

static sb_status
minio_open(const sb_host *host, const sb_config *config, sb_backend **out,
           sb_error *err)
{
  return s3_backend_open(host, config, S3_PREFIX, "minio", out, err);
}

static const sb_plugin minio_plugin = {
  .struct_size = sizeof (sb_plugin),
  .abi_version = SB_ABI_VERSION,
  .name = "minio",
  .version = PACKAGE_VERSION,
  .description = "state on a MinIO server",
  .kind = SB_KIND_BACKEND,
  .option_size = sizeof (sb_option),
  .options = s3_options,
  .option_count = sizeof s3_options / sizeof s3_options[0],
  .prefixes = s3_prefixes,
  .open = minio_open,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &minio_plugin;
}
