/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl config, sbctl probe: are the settings right, the location usable. */
#include "config.h"

#include <string.h>

#include "host/cli/cli.h"

static int
config_visit(void *arg, const char *key, const char *value,
             const char *source)
{
  printer *out = arg;

  print_row(out);
  print_text(out, "key", key);
  print_text(out, "value", value);
  print_text(out, "source", source);
  print_row_end(out);
  return 0;
}

/* The setting first on its line, so that grep ^KEY= finds it. */
static int
config_visit_line(void *arg, const char *key, const char *value,
                  const char *source)
{
  (void)arg;
  printf("%s=", key);
  print_word(stdout, sb_slice_of(value, value == NULL ? 0 : strlen(value)));
  printf(" source=");
  print_word(stdout, sb_slice_of(source, strlen(source)));
  putchar('\n');
  return 0;
}

int
config_run(cli *c)
{
  int code;

  if (c->argument_count == 1) {
    if (cli_has(c, OPTION_CONFIG))
      return cli_usage("give the file once, as FILE or by --config");
    c->values[OPTION_CONFIG] = c->arguments[0];
  }
  code = cli_configure(c, 1);
  if (code != CLI_OK)
    return code == CLI_USAGE ? code : CLI_CONFIG;
  if (cli_has(c, OPTION_QUIET))
    return CLI_OK;
  if (!cli_has(c, OPTION_JSON)) {
    (void)sb_config_each(c->config, config_visit_line, NULL);
    return CLI_OK;
  }
  print_begin(&c->out, stdout, 1);
  print_list(&c->out, "settings", "setting");
  (void)sb_config_each(c->config, config_visit, &c->out);
  print_list_end(&c->out);
  (void)print_end(&c->out);
  return CLI_OK;
}

int
probe_run(cli *c)
{
  printer *out = &c->out;
  sb_probe probe = { .struct_size = sizeof probe };
  const sb_store_info *info = NULL;
  sb_store *store;
  sb_error err;
  int code = cli_open_backend(c), usable;

  if (code != CLI_OK)
    return code;
  if (c->backend->ops->probe(c->backend, &probe, &err) != SB_OK)
    return cli_fail(&err);
  store = c->backend->ops->store(c->backend);
  if (store != NULL)
    info = store->ops->info(store);
  usable = probe.read == SB_OK && probe.write == SB_OK &&
           probe.list == SB_OK && probe.remove == SB_OK;
  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  print_text(out, "location", info == NULL ? "" : info->root);
  print_flag(out, "usable", usable);
  print_text(out, "read", sb_status_name(probe.read));
  print_text(out, "write", sb_status_name(probe.write));
  print_text(out, "list", sb_status_name(probe.list));
  print_text(out, "remove", sb_status_name(probe.remove));
  print_flag(out, "create_only", (probe.honours & SB_STORE_CREATE) != 0);
  print_flag(out, "match", (probe.honours & SB_STORE_MATCH) != 0);
  print_flag(out, "copy", (probe.honours & SB_STORE_COPY) != 0);
  print_flag(out, "copy_foreign",
              (probe.honours & SB_STORE_COPY_FOREIGN) != 0);
  if (info != NULL) {
    print_number(out, "object_size_max", info->object_size_max);
    print_number(out, "part_size", info->part_size);
  }
  print_text(out, "detail", probe.detail);
  (void)print_end(out);
  if (!usable) {
    cli_warn("the location is not usable: %s", probe.detail);
    return CLI_FAILED;
  }
  return CLI_OK;
}
