/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl config: are the settings right, and where does each come from. */
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
