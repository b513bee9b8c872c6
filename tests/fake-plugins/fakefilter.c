/* SPDX-License-Identifier: Apache-2.0 */
/* A filter that does nothing but count. */
#include "config.h"

#include "tests/fake-plugins/fake.h"

static sb_status
fakefilter_filter(const sb_host *host, const sb_config *config,
                  sb_store *lower, sb_store **out, sb_error *err)
{
  fake_counters *counters = host->lookup(host, FAKE_COUNTERS);
  int call = atomic_fetch_add(&counters->filters, 1) + 1;
  fake_store *fake;

  if (host->config_int(config, "state.backend.fakefilter.fail") == call)
    return sb_fail(err, SB_IO, "the filter fails as asked");
  fake = fake_store_new(host, lower, "filter+");
  if (fake == NULL)
    return sb_fail(err, SB_NO_MEMORY, "no memory for a fake filter");
  *out = &fake->base;
  return SB_OK;
}

static const sb_option fakefilter_options[] = {
  { "state.backend.fakefilter.fail", SB_TYPE_INT, 0, "0", 0, 100, NULL,
    "The call that fails." },
};

static const char *const fakefilter_prefixes[] = {
  "state.backend.fakefilter.", NULL,
};

static const sb_plugin fakefilter_plugin = {
  .struct_size = sizeof (sb_plugin),
  .abi_version = SB_ABI_VERSION,
  .name = "fakefilter",
  .version = "1",
  .description = "a filter for tests",
  .kind = SB_KIND_FILTER,
  .option_size = sizeof (sb_option),
  .options = fakefilter_options,
  .option_count = 1,
  .prefixes = fakefilter_prefixes,
  .filter = fakefilter_filter,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &fakefilter_plugin;
}
