/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of sbctl: every command, option and exit code. Help, man page and
 * completion come from here; to add a command, add a row and its function.
 */
#include "config.h"

#include "host/cli/cli.h"

const cli_option cli_options[OPTION_COUNT] = {
  [OPTION_CONFIG] = { "config", "FILE", "FILE",
                      "Read settings from FILE (YAML or libconfig)." },
  [OPTION_SET] = { "set", "KEY=VALUE", NULL,
                   "Set one key; repeatable, and stronger than the file." },
  [OPTION_JSON] = { "json", NULL, NULL,
                    "Print one JSON document instead of key=value lines." },
  [OPTION_QUIET] = { "quiet", NULL, NULL, "Print nothing but errors." },
  [OPTION_VERBOSE] = { "verbose", NULL, NULL,
                       "Print the library's log on standard error." },
  [OPTION_JOB] = { "job", "NAME", NULL,
                   "The job's path part; none if the processor gave none." },
  [OPTION_CHECKPOINT] = { "checkpoint", "ID", NULL,
                          "The checkpoint to read; the newest if not given." },
  [OPTION_OPERATOR] = { "operator", "ID", NULL,
                        "Only the state of this operator." },
  [OPTION_STATE] = { "state", "NAME", NULL, "Only the state of this name." },
  [OPTION_KEY] = { "key", "BYTES", NULL,
                   "Only this key; text, or hex: and hexadecimal digits." },
  [OPTION_NS] = { "ns", "BYTES", NULL,
                  "Only this namespace; hex: with no digits is the void "
                  "one." },
  [OPTION_SUBKEY] = { "subkey", "BYTES", NULL, "Only this entry of a map." },
  [OPTION_PREFIX] = { "prefix", "BYTES", NULL,
                      "Only keys that begin with these bytes." },
  [OPTION_KEY_GROUP] = { "key-group", "N[-M]", NULL,
                         "Only these key groups." },
  [OPTION_LIMIT] = { "limit", "N", NULL, "Stop after N rows." },
  [OPTION_FORMAT] = { "format", "FORMAT", "raw|hex|utf8|json|csv",
                      "How bytes are printed: raw (values alone), hex, utf8, "
                      "json (an object a line) or csv (RFC 4180)." },
  [OPTION_POD] = { "pod", NULL, NULL,
                   "Print the options as the man page has them." },
  [OPTION_TAKE_OVER] = { "take-over", NULL, NULL,
                         "Take the job over first: a process that runs it is "
                         "fenced and stops." },
  [OPTION_YES] = { "yes", NULL, NULL, "Do it, not only say what would be." },
  [OPTION_PINS] = { "pins", NULL, NULL,
                    "Remove readers' pins too; no reader may be running." },
  [OPTION_ORPHANS] = { "orphans", NULL, NULL,
                       "Only objects that nothing needs." },
  [OPTION_KEYS] = { "keys", "N", NULL, "Number of keys (100000)." },
  [OPTION_VALUE_SIZE] = { "value-size", "BYTES", NULL,
                          "Bytes of a value (100)." },
  [OPTION_TABLE] = { "table", NULL, NULL,
                     "Print a table; so it is on a terminal." },
  [OPTION_METRICS] = { "metrics", NULL, NULL,
                       "Print at the end, on standard error, what the command "
                       "counted: requests, bytes, times, money." },
  [OPTION_SAVEPOINT] = { "savepoint", "NAME", NULL,
                         "Read this savepoint, not a checkpoint." },
  [OPTION_METADATA] = { "metadata", "FILE", "FILE",
                        "Read the checkpoint that this _metadata file of "
                        "Flink describes." },
  [OPTION_NAMESPACES] = { "namespaces", NULL, NULL,
                          "Print a key once for each of its namespaces." },
  [OPTION_LISTEN] = { "listen", "ADDRESS:PORT", NULL,
                      "Where to listen, on 127.0.0.1 or [::1]; port 0: one "
                      "that is free (127.0.0.1:8480)." },
  [OPTION_FROM_CONFIG] = { "from-config", "FILE", "FILE",
                           "The settings of the backend to copy from; the "
                           "same if not given." },
  [OPTION_FROM_JOB] = { "from-job", "NAME", NULL,
                        "The path part of the job to copy from." },
};

#define BIT(id) ((uint64_t)1 << (id))
#define COMMON (BIT(OPTION_CONFIG) | BIT(OPTION_SET) | BIT(OPTION_JSON) | \
                BIT(OPTION_VERBOSE))
#define OF_STORE (COMMON | BIT(OPTION_METRICS))
#define OF_JOB (OF_STORE | BIT(OPTION_JOB))
#define OF_ORIGIN (OF_JOB | BIT(OPTION_CHECKPOINT) | \
                   BIT(OPTION_SAVEPOINT) | BIT(OPTION_METADATA))
#define OF_ROWS (OF_ORIGIN | BIT(OPTION_OPERATOR) | \
                 BIT(OPTION_STATE) | BIT(OPTION_KEY) | BIT(OPTION_NS) | \
                 BIT(OPTION_SUBKEY) | BIT(OPTION_KEY_GROUP) | \
                 BIT(OPTION_FORMAT))

const cli_command cli_commands[] = {
  { "plugins", "", "List the plugins found, in order of search.", COMMON,
    plugins_run },
  { "info", "NAME", "Print a plugin's version, methods and options.",
    COMMON | BIT(OPTION_POD), info_run },
  { "config", "[FILE]",
    "Check the settings and print the effective ones and their sources.",
    COMMON | BIT(OPTION_QUIET), config_run },
  { "probe", "", "Try whether the location is usable and what it honours.",
    OF_STORE | BIT(OPTION_TABLE), cli_probe_run },
  { "metrics", "[FILE]",
    "Print what a running job counts, from FILE or from where its settings "
    "put it.", COMMON | BIT(OPTION_TABLE), metrics_run },
  { "checkpoints list", "", "List the retained checkpoints, newest first.",
    OF_JOB, checkpoints_list_run },
  { "checkpoints show", "[ID]",
    "Print a checkpoint's parts, states and segments.", OF_JOB,
    checkpoints_show_run },
  { "checkpoints verify", "[ID]",
    "Read all of a checkpoint and check every checksum; all if no ID.",
    OF_JOB, verify_run },
  { "checkpoints remove", "ID",
    "Remove a checkpoint; fences the job, so it wants --take-over.",
    OF_JOB | BIT(OPTION_TAKE_OVER), checkpoints_remove_run },
  { "dump", "", "Print the records of a checkpoint.",
    OF_ROWS | BIT(OPTION_PREFIX) | BIT(OPTION_LIMIT), dump_run },
  { "get", "", "Print what a checkpoint holds for --state and --key.",
    OF_ROWS, get_run },
  { "keys", "", "Print the keys of --state, each once, or those of --ns.",
    (OF_ROWS & ~BIT(OPTION_SUBKEY)) | BIT(OPTION_PREFIX) |
    BIT(OPTION_LIMIT) | BIT(OPTION_NAMESPACES), keys_run },
  { "diff", "A B",
    "Print what differs between A and B: checkpoints by ID or newest, "
    "savepoint:NAME or metadata:FILE.",
    OF_JOB | BIT(OPTION_OPERATOR) | BIT(OPTION_STATE) | BIT(OPTION_NS) |
    BIT(OPTION_KEY_GROUP) | BIT(OPTION_LIMIT) | BIT(OPTION_QUIET), diff_run },
  { "report", "[ID]",
    "Print a page of HTML on a checkpoint: sizes, skew, history, objects.",
    (OF_ORIGIN & ~(BIT(OPTION_JSON) | BIT(OPTION_CHECKPOINT))), report_run },
  { "serve", "",
    "Answer HTTP requests for keys of the newest checkpoint, until a signal.",
    (OF_JOB & ~BIT(OPTION_JSON)) | BIT(OPTION_LISTEN), serve_run },
  { "savepoint list", "", "List a job's savepoints, by name.", OF_JOB,
    savepoint_list_run },
  { "savepoint show", "NAME",
    "Print a savepoint's parts, states and segments.", OF_JOB,
    savepoint_show_run },
  { "savepoint verify", "NAME",
    "Read all of a savepoint and check every checksum.", OF_JOB,
    savepoint_verify_run },
  { "savepoint create", "NAME",
    "Make a savepoint of a retained checkpoint, by copies in the store.",
    OF_JOB | BIT(OPTION_CHECKPOINT), savepoint_create_run },
  { "savepoint copy", "NAME",
    "Copy a savepoint or checkpoint, also from another store, to savepoint "
    "NAME.",
    OF_JOB | BIT(OPTION_CHECKPOINT) | BIT(OPTION_SAVEPOINT) |
    BIT(OPTION_FROM_CONFIG) | BIT(OPTION_FROM_JOB), savepoint_copy_run },
  { "savepoint remove", "NAME",
    "Remove a savepoint that no job has claimed.", OF_JOB,
    savepoint_remove_run },
  { "objects", "", "List a job's objects and what needs each.",
    OF_JOB | BIT(OPTION_ORPHANS), objects_run },
  { "gc", "",
    "Say what dead processes left; remove it with --yes and --take-over.",
    OF_JOB | BIT(OPTION_YES) | BIT(OPTION_TAKE_OVER) | BIT(OPTION_PINS),
    gc_run },
  { "bench", "", "Measure the configured backend with a scratch job.",
    OF_STORE | BIT(OPTION_KEYS) | BIT(OPTION_VALUE_SIZE), bench_run },
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];

const cli_global cli_globals[] = {
  { "help", NULL, "Print this help; after a command, the command's." },
  { "version", NULL, "Print the version." },
  { "dump-config", NULL, "Print how this build finds plugins, key=value." },
  { "completion", "SHELL", "Print the completion script for bash." },
  { "man", NULL,
    "Print the sections of sbctl(1) that come from these tables." },
};
const size_t cli_global_count = sizeof cli_globals / sizeof cli_globals[0];

const cli_exit_code cli_exit_codes[] = {
  { CLI_OK, "All went well." },
  { CLI_FAILED, "The work failed; standard error says why. Of diff: the two "
                "differ." },
  { CLI_USAGE, "The command line is wrong. Of diff: it is, or the work "
               "failed." },
  { CLI_NOT_FOUND, "There is no such plugin, checkpoint, state or key." },
  { CLI_REFUSED, "Refused, as a flag such as --take-over is missing, the job "
                 "belongs to somebody else or was taken over meanwhile." },
  { CLI_DAMAGED, "Something read is damaged or missing." },
  { CLI_CONFIG, "A setting or a configuration file is wrong." },
  { CLI_INTERRUPTED, "Interrupted by a signal." },
};
const size_t cli_exit_code_count =
  sizeof cli_exit_codes / sizeof cli_exit_codes[0];
