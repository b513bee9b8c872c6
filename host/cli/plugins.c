/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl plugins, sbctl info: what can be loaded and what it takes. */
#include "config.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "host/cli/cli.h"

typedef struct plugins_search {
  printer *out;
  uint64_t count;
} plugins_search;

static int
plugins_visit(void *arg, const char *name, const char *path, int shadowed)
{
  plugins_search *search = arg;

  print_row(search->out);
  print_text(search->out, "name", name);
  print_text(search->out, "path", path);
  print_flag(search->out, "shadowed", shadowed);
  print_row_end(search->out);
  search->count++;
  return 0;
}

int
plugins_run(cli *c)
{
  plugins_search search = { &c->out, 0 };

  print_begin(&c->out, stdout, cli_has(c, OPTION_JSON));
  print_list(&c->out, "plugins", "plugin");
  (void)sb_plugin_each(plugins_visit, &search);
  print_list_end(&c->out);
  (void)print_end(&c->out);
  if (search.count == 0)
    cli_warn("no plugins found; SB_PLUGIN_PATH names where to look");
  return CLI_OK;
}

/* ---- info --------------------------------------------------------------- */

static const char *
info_type(uint32_t type)
{
  static const struct { uint32_t type; const char *name; } names[] = {
    { SB_TYPE_STRING, "string" },     { SB_TYPE_BOOL, "bool" },
    { SB_TYPE_INT, "int" },           { SB_TYPE_SIZE, "size" },
    { SB_TYPE_DURATION, "duration" }, { SB_TYPE_ENUM, "enum" },
    { SB_TYPE_LIST, "list" },         { SB_TYPE_DOUBLE, "double" },
  };
  size_t i;

  for (i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].type == type)
      return names[i].name;
  return "unknown";
}

static const char *
info_kind(uint32_t kind)
{
  return kind == SB_KIND_BACKEND ? "backend"
         : kind == SB_KIND_FILTER ? "filter" : "unknown";
}

/* Options of an older or newer plugin may have another stride. */
static const sb_option *
info_option(const sb_plugin *plugin, uint64_t i)
{
  size_t stride = plugin->option_size;

  return (const sb_option *)((const char *)plugin->options + i * stride);
}

/* The bounds of a size or duration, in the unit that reads best. */
static void
info_bound(char *text, size_t size, uint32_t type, int64_t value)
{
  static const char *const units[] = { "b", "kb", "mb", "gb", "tb" };
  size_t unit = 0;

  if (type == SB_TYPE_DURATION) {
    (void)snprintf(text, size, "%" PRId64 "ms", value);
    return;
  }
  if (type != SB_TYPE_SIZE) {
    (void)snprintf(text, size, "%" PRId64, value);
    return;
  }
  for (; unit < 4 && value != 0 && value % 1024 == 0; unit++)
    value /= 1024;
  (void)snprintf(text, size, "%" PRId64 "%s", value, units[unit]);
}

static void
info_option_row(printer *out, const sb_option *option)
{
  char bound[32];

  print_row(out);
  print_text(out, "key", option->key);
  print_text(out, "type", info_type(option->type));
  print_flag(out, "required", (option->flags & SB_OPTION_REQUIRED) != 0);
  print_flag(out, "secret", (option->flags & SB_OPTION_SECRET) != 0);
  if (option->default_value != NULL)
    print_text(out, "default", option->default_value);
  if (option->min != 0 || option->max != 0) {
    info_bound(bound, sizeof bound, option->type, option->min);
    print_text(out, "min", bound);
    info_bound(bound, sizeof bound, option->type, option->max);
    print_text(out, "max", bound);
  }
  if (option->choices != NULL)
    print_text(out, "choices", option->choices);
  print_text(out, "help", option->help);
  print_row_end(out);
}

static void
info_pod(const sb_plugin *plugin)
{
  const sb_option *option;
  char low[32], high[32];
  uint64_t i;

  printf("=head1 OPTIONS\n\n");
  if (plugin->option_count == 0) {
    printf("None.\n\n");
    return;
  }
  printf("=over 4\n\n");
  for (i = 0; i < plugin->option_count; i++) {
    option = info_option(plugin, i);
    printf("=item B<%s> (%s", option->key, info_type(option->type));
    if (option->flags & SB_OPTION_REQUIRED)
      printf(", required");
    if (option->default_value != NULL)
      printf(", default %s",
             option->default_value[0] == '\0' ? "empty"
                                              : option->default_value);
    printf(")\n\n%s", option->help);
    if (option->choices != NULL)
      printf(" One of C<%s>.", option->choices);
    if (option->min != 0 || option->max != 0) {
      info_bound(low, sizeof low, option->type, option->min);
      info_bound(high, sizeof high, option->type, option->max);
      if (option->max == INT64_MAX)
        printf(" At least %s.", low);
      else
        printf(" From %s to %s.", low, high);
    }
    printf("%s\n\n", option->flags & SB_OPTION_SECRET ? " A secret." : "");
  }
  printf("=back\n\n");
}

int
info_run(cli *c)
{
  printer *out = &c->out;
  const sb_plugin *plugin;
  const char *path;
  sb_error err;
  uint64_t i;

  if (sb_plugin_find(c->arguments[0], &plugin, &path, &err) != SB_OK)
    return cli_fail(&err);
  if (cli_has(c, OPTION_POD)) {
    info_pod(plugin);
    return CLI_OK;
  }
  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  print_text(out, "name", plugin->name);
  print_text(out, "path", path);
  print_text(out, "version", plugin->version);
  print_text(out, "description", plugin->description);
  print_text(out, "kind", info_kind(plugin->kind));
  print_number(out, "abi_version", plugin->abi_version);
  print_number(out, "struct_size", plugin->struct_size);
  print_number(out, "option_size", plugin->option_size);
  print_flag(out, "has_open", plugin->open != NULL);
  print_flag(out, "has_filter", plugin->filter != NULL);
  print_number(out, "option_count", plugin->option_count);
  print_list(out, "prefixes", "prefix");
  for (i = 0; plugin->prefixes != NULL && plugin->prefixes[i] != NULL; i++) {
    print_row(out);
    print_text(out, "keys", plugin->prefixes[i]);
    print_row_end(out);
  }
  print_list_end(out);
  print_list(out, "options", "option");
  for (i = 0; i < plugin->option_count; i++)
    info_option_row(out, info_option(plugin, i));
  print_list_end(out);
  (void)print_end(out);
  return CLI_OK;
}
