/* SPDX-License-Identifier: Apache-2.0 */
/* What the options of sbctl dump and get select, see rows.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/rows.h"

int
rows_digit(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

int
rows_bytes_parse(const char *what, const char *text, rows_bytes *out)
{
  size_t i, len;
  int high, low;

  out->given = 1;
  out->data = malloc(strlen(text) + 1);
  if (out->data == NULL)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  if (strncmp(text, "hex:", 4) != 0) {
    out->len = strlen(text);
    memcpy(out->data, text, out->len);
    return CLI_OK;
  }
  text += 4;
  len = strlen(text);
  for (i = 0; i + 1 < len + (len % 2); i += 2) {
    high = rows_digit(text[i]);
    low = high < 0 ? -1 : rows_digit(text[i + 1]);
    if (low < 0)
      return cli_usage("--%s: '%s' is not pairs of hexadecimal digits", what,
                       text);
    out->data[out->len++] = (uint8_t)(high << 4 | low);
  }
  return CLI_OK;
}

static int
rows_bytes_option(const cli *c, cli_option_id id, rows_bytes *out)
{
  if (c->values[id] == NULL)
    return CLI_OK;
  return rows_bytes_parse(cli_options[id].name, c->values[id], out);
}

/* "N" or "N-M". */
static int
rows_key_group(const cli *c, rows_select *select)
{
  const char *text = c->values[OPTION_KEY_GROUP];
  char first_text[16];
  const char *dash;
  uint64_t first, last;
  size_t len;
  int code;

  if (text == NULL)
    return CLI_OK;
  dash = strchr(text, '-');
  len = dash == NULL ? strlen(text) : (size_t)(dash - text);
  if (len >= sizeof first_text)
    return cli_usage("--key-group: '%s' is no key group", text);
  memcpy(first_text, text, len);
  first_text[len] = '\0';
  code = cli_number("--key-group", first_text, SB_KEY_GROUPS_MAX - 1, &first);
  if (code != CLI_OK)
    return code;
  last = first;
  if (dash != NULL)
    code = cli_number("--key-group", dash + 1, SB_KEY_GROUPS_MAX - 1, &last);
  if (code != CLI_OK)
    return code;
  if (last < first)
    return cli_usage("--key-group: '%s' is no range", text);
  select->has_key_group = 1;
  select->key_group_first = (uint32_t)first;
  select->key_group_last = (uint32_t)last;
  return CLI_OK;
}

static int
rows_format(const cli *c, rows_select *select)
{
  static const char *const formats[] = { "utf8", "hex", "raw", "json", "csv" };
  const char *text = c->values[OPTION_FORMAT];
  int i;

  select->format = cli_has(c, OPTION_JSON) ? ROWS_JSON : ROWS_UTF8;
  if (text == NULL)
    return CLI_OK;
  for (i = 0; i < 5; i++)
    if (strcmp(formats[i], text) == 0) {
      select->format = i;
      return CLI_OK;
    }
  return cli_usage("--format: '%s' is none of %s", text,
                   cli_options[OPTION_FORMAT].choices);
}

int
rows_select_init(const cli *c, rows_select *select)
{
  int code;

  memset(select, 0, sizeof *select);
  select->operator_id = c->values[OPTION_OPERATOR];
  select->state = c->values[OPTION_STATE];
  code = rows_format(c, select);
  if (code == CLI_OK)
    code = rows_key_group(c, select);
  if (code == CLI_OK)
    code = rows_bytes_option(c, OPTION_KEY, &select->key);
  if (code == CLI_OK)
    code = rows_bytes_option(c, OPTION_NS, &select->ns);
  if (code == CLI_OK)
    code = rows_bytes_option(c, OPTION_SUBKEY, &select->subkey);
  if (code == CLI_OK)
    code = rows_bytes_option(c, OPTION_PREFIX, &select->prefix);
  if (code == CLI_OK && c->values[OPTION_LIMIT] != NULL)
    code = cli_number("--limit", c->values[OPTION_LIMIT], UINT64_MAX,
                      &select->limit);
  return code;
}

void
rows_select_dispose(rows_select *select)
{
  free(select->key.data);
  free(select->ns.data);
  free(select->subkey.data);
  free(select->prefix.data);
}
