/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl dump, get and keys: a finished checkpoint's records, from outside. */
#include "config.h"

#include "host/cli/rows.h"

int
dump_run(cli *c)
{
  rows_select select;
  uint64_t printed;
  int code = rows_select_init(c, &select);

  if (code == CLI_OK)
    code = cli_open_backend(c);
  if (code == CLI_OK)
    code = rows_read(c, &select, &printed);
  rows_select_dispose(&select);
  return code;
}

int
get_run(cli *c)
{
  rows_select select;
  uint64_t printed = 0;
  int code;

  if (!cli_has(c, OPTION_STATE) || !cli_has(c, OPTION_KEY))
    return cli_usage("'get' wants --state and --key");
  code = rows_select_init(c, &select);
  select.ns.given = 1; /* the void namespace unless told otherwise */
  select.what = ROWS_SINGLE;
  if (code == CLI_OK)
    code = cli_open_backend(c);
  if (code == CLI_OK)
    code = rows_read(c, &select, &printed);
  rows_select_dispose(&select);
  if (code == CLI_OK && printed == 0 && !cli_interrupted()) {
    cli_warn("there is no such key in state '%s'", c->values[OPTION_STATE]);
    return CLI_NOT_FOUND;
  }
  return code;
}

int
keys_run(cli *c)
{
  rows_select select;
  uint64_t printed;
  int code;

  if (!cli_has(c, OPTION_STATE))
    return cli_usage("'keys' wants --state");
  code = rows_select_init(c, &select);
  select.what = cli_has(c, OPTION_NAMESPACES) ? ROWS_PAIRS : ROWS_KEYS;
  if (code == CLI_OK)
    code = cli_open_backend(c);
  if (code == CLI_OK)
    code = rows_read(c, &select, &printed);
  rows_select_dispose(&select);
  return code;
}
