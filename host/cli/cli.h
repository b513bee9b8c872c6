/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl's frame: the one table of commands and options, what a command gets
 * when it runs, and how failures turn into exit codes. Help, the man page's
 * sections and the bash completion are printed from the same table.
 */
#ifndef SB_CLI_CLI_H
#define SB_CLI_CLI_H

#include <stdio.h>
#include <statebackend/statebackend.h>
#include "host/cli/print.h"

/* Exit codes; cli_exit_codes says them in words. */
#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2
#define CLI_NOT_FOUND 3
#define CLI_REFUSED 4
#define CLI_DAMAGED 5
#define CLI_CONFIG 6
#define CLI_INTERRUPTED 130

typedef enum cli_option_id {
  OPTION_CONFIG,
  OPTION_SET,
  OPTION_JSON,
  OPTION_QUIET,
  OPTION_VERBOSE,
  OPTION_JOB,
  OPTION_CHECKPOINT,
  OPTION_OPERATOR,
  OPTION_STATE,
  OPTION_KEY,
  OPTION_NS,
  OPTION_SUBKEY,
  OPTION_PREFIX,
  OPTION_KEY_GROUP,
  OPTION_LIMIT,
  OPTION_FORMAT,
  OPTION_POD,
  OPTION_TAKE_OVER,
  OPTION_YES,
  OPTION_PINS,
  OPTION_ORPHANS,
  OPTION_KEYS,
  OPTION_VALUE_SIZE,
  OPTION_TABLE,
  OPTION_METRICS,
  OPTION_SAVEPOINT,
  OPTION_METADATA,
  OPTION_NAMESPACES,
  OPTION_LISTEN,
  OPTION_FROM_CONFIG,
  OPTION_FROM_JOB,
  OPTION_COUNT
} cli_option_id;

typedef struct cli_option {
  const char *name;     /* without the dashes */
  const char *argument; /* its name in help, NULL for a flag */
  const char *choices;  /* "a|b" for completion, "FILE" for files, or NULL */
  const char *help;
} cli_option;

struct cli;
typedef struct cli_command {
  const char *name;      /* one or two words */
  const char *arguments; /* as in help: "NAME", "[ID]", "" */
  const char *help;      /* one sentence */
  uint64_t options;      /* bits 1 << cli_option_id */
  int (*run)(struct cli *c);
} cli_command;

typedef struct cli {
  const cli_command *command;
  const char *values[OPTION_COUNT]; /* last value given; "" for a flag */
  const char **settings;            /* --set, in order */
  size_t setting_count;
  char **arguments;
  size_t argument_count;
  const char *job;                  /* --job, "" if none */
  sb_config *config;
  sb_backend *backend;
  printer out;
} cli;

extern const cli_option cli_options[OPTION_COUNT];
extern const cli_command cli_commands[];
extern const size_t cli_command_count;
typedef struct cli_exit_code {
  int code;
  const char *meaning;
} cli_exit_code;
extern const cli_exit_code cli_exit_codes[];
extern const size_t cli_exit_code_count;

/* Options that need no command, as in help. */
typedef struct cli_global {
  const char *name;
  const char *argument;
  const char *help;
} cli_global;
extern const cli_global cli_globals[];
extern const size_t cli_global_count;

/* Set by SIGINT and SIGTERM: long work ends soon and gives its pins back. */
int cli_interrupted(void);
/* The signal was how the command was to end, so that is no failure. */
void cli_interrupt_wanted(void);

/* Says "sbctl: ..." on stderr and returns the exit code. */
int cli_usage(const char *format, ...) SB_PRINTF(1, 2);
int cli_refuse(const char *format, ...) SB_PRINTF(1, 2);
int cli_fail(const sb_error *err);
void cli_warn(const char *format, ...) SB_PRINTF(1, 2);

/* The configuration of --config and --set; checked if `check` is set. Exit
   code. */
int cli_configure(cli *c, int check);
/* Opens the configured backend; CLI_OK or an exit code. */
int cli_open_backend(cli *c);

static inline int
cli_has(const cli *c, cli_option_id id)
{
  return c->values[id] != NULL;
}

/* 1 if a command that can print a table is to: asked to, or on a terminal and
   not asked for anything else. */
int cli_wants_table(const cli *c);

/* A whole number of an option or argument; CLI_OK or CLI_USAGE. */
int cli_number(const char *what, const char *text, uint64_t max,
               uint64_t *out);

/* help.c */
void help_all(FILE *to);
void help_command(FILE *to, const cli_command *command);
void help_completion(FILE *to);
void help_pod(FILE *to);

/* Commands, one file per group. */
int plugins_run(cli *c);
int info_run(cli *c);
int config_run(cli *c);
int cli_probe_run(cli *c);
int checkpoints_list_run(cli *c);
int checkpoints_show_run(cli *c);
int checkpoints_remove_run(cli *c);
int verify_run(cli *c);
int savepoint_verify_run(cli *c);
int dump_run(cli *c);
int get_run(cli *c);
int keys_run(cli *c);
int diff_run(cli *c);
int serve_run(cli *c);
int report_run(cli *c);
int savepoint_create_run(cli *c);
int savepoint_list_run(cli *c);
int savepoint_show_run(cli *c);
int savepoint_remove_run(cli *c);
int savepoint_copy_run(cli *c);
int objects_run(cli *c);
int gc_run(cli *c);
int bench_run(cli *c);
int metrics_run(cli *c);

/* metrics.c: prints what the process has counted, on standard error. */
void metrics_report(cli *c);

#endif
