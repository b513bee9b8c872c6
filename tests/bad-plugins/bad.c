/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that are broken, each in one way that BAD names, and one that is
 * newer than the host and must load all the same.
 */
#include "config.h"

#include <statebackend/plugin.h>

#define BAD_NO_ENTRY 1
#define BAD_NULL_TABLE 2
#define BAD_MAJOR 3
#define BAD_SMALL 4
#define BAD_NO_OPEN 5
#define BAD_NO_FILTER 6
#define BAD_NAME_DIFFERS 7
#define BAD_DUPLICATE 8
#define BAD_DEFAULT 9
#define BAD_HOST_KEY 10
#define BAD_UNDEFINED 11
#define BAD_NO_KIND 12
#define BAD_OPTION_SIZE 13
#define BAD_NEWER 14

#if BAD != BAD_NO_ENTRY

/* A field that this host does not know yet follows the ones it knows. */
typedef struct bad_option {
  sb_option option;
  const char *more;
} bad_option;

typedef struct bad_table {
  sb_plugin plugin;
  const char *more;
} bad_table;

#if BAD == BAD_UNDEFINED
extern int bad_symbol_of_nobody(void);
#endif

static sb_status
bad_open(const sb_host *host, const sb_config *config, sb_backend **out,
         sb_error *err)
{
  (void)host;
  (void)config;
  *out = NULL;
#if BAD == BAD_UNDEFINED
  return sb_fail(err, SB_UNSUPPORTED, "%d", bad_symbol_of_nobody());
#else
  return sb_fail(err, SB_UNSUPPORTED, "nothing to open");
#endif
}

static const bad_option bad_options[] = {
  { { "state.backend." BAD_NAME ".one", SB_TYPE_INT, 0,
      BAD == BAD_DEFAULT ? "x" : "1", 0, 0, NULL, "One." }, "more" },
  { { BAD == BAD_HOST_KEY ? "state.backend.memory.size"
      : BAD == BAD_DUPLICATE ? "state.backend." BAD_NAME ".one"
      : "state.backend." BAD_NAME ".two",
      SB_TYPE_STRING, 0, "2", 0, 0, NULL, "Two." }, "more" },
};

static const bad_table bad_plugin = {
  .plugin = {
    .struct_size = BAD == BAD_SMALL ? 48 : sizeof (bad_table),
    .abi_version = BAD == BAD_MAJOR ? 2 : SB_ABI_VERSION,
    .name = BAD == BAD_NAME_DIFFERS ? "another" : BAD_NAME,
    .version = "1",
    .description = "a broken plugin",
    .kind = BAD == BAD_NO_KIND ? 11
            : BAD == BAD_NO_FILTER ? SB_KIND_FILTER : SB_KIND_BACKEND,
    .option_size = BAD == BAD_OPTION_SIZE ? 9 : sizeof (bad_option),
    .options = &bad_options[0].option,
    .option_count = 2,
    .open = BAD == BAD_NO_OPEN ? NULL : bad_open,
  },
  .more = "more",
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return BAD == BAD_NULL_TABLE ? NULL : &bad_plugin.plugin;
}

#else

SB_EXPORT int bad_something_else(void);

int
bad_something_else(void)
{
  return 0;
}

#endif
