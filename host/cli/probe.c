/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl probe: is the location usable, what does it honour, and what is known
 * of it. As key=value, as JSON, or as a table for people.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/grid.h"

typedef struct probe_fact {
  char *key, *value;
} probe_fact;

typedef struct probe_report {
  sb_probe found;
  const sb_store_info *info;    /* NULL: no store */
  probe_fact *facts;            /* what the store says of itself */
  size_t fact_count;
  int failed;                   /* out of memory */
} probe_report;

/* What is tried, in the order of the table. */
typedef struct probe_trial {
  const char *key, *what;
  size_t offset;                /* of the status; 0: a flag of `honours` */
  uint32_t flag;
  const char *yes, *no;         /* in the table */
} probe_trial;

static const probe_trial probe_trials[] = {
  { "read", "read objects", offsetof(sb_probe, read), 0, NULL, NULL },
  { "write", "write objects", offsetof(sb_probe, write), 0, NULL, NULL },
  { "list", "list objects", offsetof(sb_probe, list), 0, NULL, NULL },
  { "remove", "remove objects", offsetof(sb_probe, remove), 0, NULL, NULL },
  { "create_only", "create-only puts", 0, SB_STORE_CREATE,
    "honoured", "not honoured" },
  { "match", "match puts", 0, SB_STORE_MATCH,
    "honoured", "not honoured: numbered HEADs are used" },
  { "copy", "copies on the server", 0, SB_STORE_COPY, "yes", "no" },
  { "copy_foreign", "copies from other roots", 0, SB_STORE_COPY_FOREIGN,
    "yes", "no" },
};
#define PROBE_TRIALS (sizeof probe_trials / sizeof probe_trials[0])

static sb_status
probe_status(const probe_report *r, const probe_trial *trial)
{
  sb_status status;

  memcpy(&status, (const char *)&r->found + trial->offset, sizeof status);
  return status;
}

static int
probe_usable(const probe_report *r)
{
  return r->found.read == SB_OK && r->found.write == SB_OK &&
         r->found.list == SB_OK && r->found.remove == SB_OK;
}

static void
probe_take_fact(void *arg, const char *key, const char *value)
{
  probe_report *r = arg;
  probe_fact *facts = realloc(r->facts, (r->fact_count + 1) * sizeof *facts);

  if (facts == NULL) {
    r->failed = 1;
    return;
  }
  r->facts = facts;
  facts[r->fact_count].key = strdup(key);
  facts[r->fact_count].value = strdup(value == NULL ? "" : value);
  if (facts[r->fact_count].key == NULL || facts[r->fact_count].value == NULL)
    r->failed = 1;
  r->fact_count++;
}

static sb_status
probe_make(cli *c, probe_report *r, sb_error *err)
{
  sb_store *store = c->backend->ops->store(c->backend);
  sb_status status;

  memset(r, 0, sizeof *r);
  r->found.struct_size = sizeof r->found;
  status = c->backend->ops->probe(c->backend, &r->found, err);
  if (status != SB_OK || store == NULL)
    return status;
  r->info = store->ops->info(store);
  if (SB_STORE_HAS(store, describe))
    status = store->ops->describe(store, probe_take_fact, r, err);
  if (status == SB_UNSUPPORTED) /* a filter over a store that cannot */
    status = SB_OK;
  if (r->failed)
    status = sb_error_set(err, SB_NO_MEMORY, "out of memory");
  return status;
}

static void
probe_dispose(probe_report *r)
{
  size_t i;

  for (i = 0; i < r->fact_count; i++) {
    free(r->facts[i].key);
    free(r->facts[i].value);
  }
  free(r->facts);
}

/* ---- forms -------------------------------------------------------------- */

static void
probe_print(printer *out, const probe_report *r, int json)
{
  size_t i;

  print_begin(out, stdout, json);
  print_text(out, "location", r->info == NULL ? "" : r->info->root);
  print_flag(out, "usable", probe_usable(r));
  for (i = 0; i < PROBE_TRIALS; i++) {
    const probe_trial *trial = &probe_trials[i];

    if (trial->offset != 0)
      print_text(out, trial->key, sb_status_name(probe_status(r, trial)));
    else
      print_flag(out, trial->key, (r->found.honours & trial->flag) != 0);
  }
  if (r->info != NULL) {
    print_number(out, "object_size_max", r->info->object_size_max);
    print_number(out, "part_size", r->info->part_size);
  }
  print_text(out, "detail", r->found.detail);
  print_list(out, "facts", "fact");
  for (i = 0; i < r->fact_count; i++) {
    print_row(out);
    print_text(out, "key", r->facts[i].key);
    print_text(out, "value", r->facts[i].value);
    print_row_end(out);
  }
  print_list_end(out);
  (void)print_end(out);
}

static void
probe_size(grid *g, const char *what, uint64_t bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  char text[64];
  size_t unit = 0;

  while (unit < 4 && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    unit++;
  }
  if (bytes >= INT64_MAX && unit == 0)
    (void)snprintf(text, sizeof text, "no limit");
  else
    (void)snprintf(text, sizeof text, "%" PRIu64 " %s", bytes, units[unit]);
  grid_cell(g, what);
  grid_cell(g, text);
}

static int
probe_table(const probe_report *r)
{
  grid g;
  size_t i;

  printf("%s is %s\n\n", r->info == NULL ? "the location" : r->info->root,
         probe_usable(r) ? "usable" : "not usable");
  grid_begin(&g, 2);
  grid_cell(&g, "TRIED");
  grid_cell(&g, "RESULT");
  for (i = 0; i < PROBE_TRIALS; i++) {
    const probe_trial *trial = &probe_trials[i];

    grid_cell(&g, trial->what);
    if (trial->offset != 0)
      grid_cell(&g, sb_status_name(probe_status(r, trial)));
    else
      grid_cell(&g, (r->found.honours & trial->flag) != 0 ? trial->yes
                                                          : trial->no);
  }
  if (r->info != NULL || r->fact_count != 0) {
    grid_cell(&g, "");
    grid_cell(&g, "");
    grid_cell(&g, "KNOWN");
    grid_cell(&g, "VALUE");
  }
  if (r->info != NULL) {
    probe_size(&g, "largest object", r->info->object_size_max);
    probe_size(&g, "larger go in parts of", r->info->part_size);
  }
  for (i = 0; i < r->fact_count; i++) {
    grid_cell(&g, r->facts[i].key);
    grid_cell(&g, r->facts[i].value);
  }
  return grid_end(&g, stdout);
}

int
cli_probe_run(cli *c)
{
  probe_report r;
  sb_error err;
  int code = cli_open_backend(c);

  if (code != CLI_OK)
    return code;
  if (probe_make(c, &r, &err) != SB_OK)
    code = cli_fail(&err);
  else if (!cli_wants_table(c))
    probe_print(&c->out, &r, cli_has(c, OPTION_JSON));
  else if (probe_table(&r) != 0)
    code = cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  if (code == CLI_OK && !probe_usable(&r)) {
    cli_warn("the location is not usable: %s", r.found.detail);
    code = CLI_FAILED;
  }
  probe_dispose(&r);
  return code;
}
