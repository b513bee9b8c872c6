/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl: looks after backends, checkpoints and objects from outside. Reads the
 * command line by the tables of commands.c and runs one command.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/inside.h"
#include "host/config/options.h"

static atomic_int cli_signalled; /* other threads look at it, too */

int
cli_interrupted(void)
{
  return cli_signalled != 0;
}

void
cli_interrupt_wanted(void)
{
  cli_signalled = 0;
}

static void
cli_on_signal(int number)
{
  cli_signalled = number;
}

/* A pin on the store must not outlive us: the first signal ends the work in
   order, the second kills. */
static void
cli_signals(void)
{
  struct sigaction action;

  memset(&action, 0, sizeof action);
  action.sa_handler = cli_on_signal;
  action.sa_flags = (int)SA_RESETHAND;
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  action.sa_handler = SIG_IGN;
  action.sa_flags = 0;
  (void)sigaction(SIGPIPE, &action, NULL);
}

static void cli_say(const char *format, va_list args) SB_PRINTF(1, 0);

static void
cli_say(const char *format, va_list args)
{
  fflush(stdout);
  fputs("sbctl: ", stderr);
  vfprintf(stderr, format, args);
  putc('\n', stderr);
}

int
cli_usage(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  cli_say(format, args);
  va_end(args);
  fputs("sbctl: try 'sbctl --help'\n", stderr);
  return CLI_USAGE;
}

int
cli_refuse(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  cli_say(format, args);
  va_end(args);
  return CLI_REFUSED;
}

void
cli_warn(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  cli_say(format, args);
  va_end(args);
}

int
cli_fail(const sb_error *err)
{
  static const struct { sb_status status; int code; } codes[] = {
    { SB_NOT_FOUND, CLI_NOT_FOUND }, { SB_FENCED, CLI_REFUSED },
    { SB_CONFLICT, CLI_REFUSED },    { SB_MISMATCH, CLI_REFUSED },
    { SB_CORRUPT, CLI_DAMAGED },     { SB_CONFIG, CLI_CONFIG },
    { SB_BUSY, CLI_REFUSED },
  };
  size_t i;

  cli_warn("%s", err->message);
  if (cli_interrupted())
    return CLI_INTERRUPTED;
  for (i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (codes[i].status == err->status)
      return codes[i].code;
  return CLI_FAILED;
}

int
cli_number(const char *what, const char *text, uint64_t max, uint64_t *out)
{
  char *end;
  uintmax_t value;

  errno = 0;
  value = strtoumax(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
      value > max)
    return cli_usage("%s: '%s' is not a number up to %" PRIu64, what, text,
                     max);
  *out = value;
  return CLI_OK;
}

/* ---- configuration ------------------------------------------------------ */

static int
cli_set(cli *c, const char *setting)
{
  const char *equals = strchr(setting, '=');
  sb_error err;
  char *key;
  sb_status status;

  if (equals == NULL || equals == setting)
    return cli_usage("--set wants KEY=VALUE, not '%s'", setting);
  key = strndup(setting, (size_t)(equals - setting));
  if (key == NULL)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  status = sb_config_set(c->config, key, equals + 1, "--set", &err);
  free(key);
  return status == SB_OK ? CLI_OK : cli_fail(&err);
}

int
cli_configure(cli *c, int check)
{
  const char *file = c->values[OPTION_CONFIG];
  sb_error err;
  size_t i;
  int code;

  if (sb_config_new(&c->config, &err) != SB_OK)
    return cli_fail(&err);
  if (file != NULL && sb_config_load(c->config, file, &err) != SB_OK) {
    (void)cli_fail(&err);
    return CLI_CONFIG;
  }
  for (i = 0; i < c->setting_count; i++) {
    code = cli_set(c, c->settings[i]);
    if (code != CLI_OK)
      return code;
  }
  if (check && sb_config_check(c->config, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

int
cli_wants_table(const cli *c)
{
  return cli_has(c, OPTION_TABLE) ||
         (!cli_has(c, OPTION_JSON) && isatty(STDOUT_FILENO));
}

/* The file and the port of the configuration are a job's, not ours. */
static int
cli_export_nothing(cli *c)
{
  sb_error err;

  if (sb_config_set(c->config, OPTION_METRICS_FILE, "", "sbctl", &err) !=
        SB_OK ||
      sb_config_set(c->config, OPTION_METRICS_LISTEN, "", "sbctl", &err) !=
        SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

int
cli_open_backend(cli *c)
{
  sb_error err;
  int code = cli_configure(c, 0);

  if (code == CLI_OK)
    code = cli_export_nothing(c);
  if (code != CLI_OK)
    return code;
  if (sb_backend_open(c->config, inside_host(), &c->backend, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

static void
cli_log(void *arg, uint32_t level, const char *component, const char *text)
{
  (void)arg;
  (void)level;
  fprintf(stderr, "sbctl: %s: %s\n", component, text);
}

/* ---- command line ------------------------------------------------------- */

/* The command named by the first one or two words; *words of them. */
static const cli_command *
cli_find(char **words, size_t count, size_t *used)
{
  const char *name;
  size_t i, first;

  for (i = 0; i < cli_command_count; i++) {
    name = cli_commands[i].name;
    first = strcspn(name, " ");
    if (count < 1 || strlen(words[0]) != first ||
        strncmp(words[0], name, first) != 0)
      continue;
    *used = 1;
    if (name[first] == '\0')
      return &cli_commands[i];
    *used = 2;
    if (count >= 2 && strcmp(words[1], name + first + 1) == 0)
      return &cli_commands[i];
  }
  return NULL;
}

static int
cli_unknown_command(char **words, size_t count)
{
  size_t i, len = strlen(words[0]);
  char known[256] = "";

  for (i = 0; i < cli_command_count; i++)
    if (strncmp(cli_commands[i].name, words[0], len) == 0 &&
        cli_commands[i].name[len] == ' ') {
      strncat(known, known[0] == '\0' ? "" : ", ",
              sizeof known - strlen(known) - 1);
      strncat(known, cli_commands[i].name + len + 1,
              sizeof known - strlen(known) - 1);
    }
  if (known[0] == '\0')
    return cli_usage("there is no command '%s'", words[0]);
  if (count < 2)
    return cli_usage("'%s' wants one of: %s", words[0], known);
  return cli_usage("there is no command '%s %s', only: %s", words[0],
                   words[1], known);
}

/* Takes the option at argv[*i] with its value; CLI_OK or CLI_USAGE. */
static int
cli_take_option(cli *c, char **argv, int argc, int *i)
{
  const char *name = argv[*i] + 2, *equals = strchr(name, '='), *value = "";
  size_t k, len = equals == NULL ? strlen(name) : (size_t)(equals - name);

  for (k = 0; k < OPTION_COUNT; k++)
    if (strlen(cli_options[k].name) == len &&
        strncmp(cli_options[k].name, name, len) == 0)
      break;
  if (k == OPTION_COUNT)
    return cli_usage("there is no option '%s'", argv[*i]);
  if (cli_options[k].argument == NULL && equals != NULL)
    return cli_usage("--%s takes no value", cli_options[k].name);
  if (cli_options[k].argument != NULL) {
    if (equals == NULL && *i + 1 >= argc)
      return cli_usage("--%s wants %s", cli_options[k].name,
                       cli_options[k].argument);
    value = equals != NULL ? equals + 1 : argv[++*i];
  }
  if (k == OPTION_SET)
    c->settings[c->setting_count++] = value;
  c->values[k] = value;
  return CLI_OK;
}

/* Splits the command line into options and words. */
static int
cli_split(cli *c, char **argv, int argc, int *help)
{
  int i, code, words_only = 0;

  for (i = 1; i < argc; i++) {
    if (words_only || argv[i][0] != '-' || argv[i][1] == '\0') {
      c->arguments[c->argument_count++] = argv[i];
    } else if (strcmp(argv[i], "--") == 0) {
      words_only = 1;
    } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      *help = 1;
    } else if (strncmp(argv[i], "--", 2) != 0) {
      return cli_usage("there is no option '%s'", argv[i]);
    } else {
      code = cli_take_option(c, argv, argc, &i);
      if (code != CLI_OK)
        return code;
    }
  }
  return CLI_OK;
}

/* The words of a command's row: how many may be given, and must be. */
static void
cli_count_arguments(const char *arguments, size_t *min, size_t *max)
{
  for (*min = *max = 0; *arguments != '\0'; (*max)++) {
    if (*arguments != '[')
      (*min)++;
    arguments += strcspn(arguments, " ");
    arguments += strspn(arguments, " ");
  }
}

/* Checks options and number of arguments against the command's row. */
static int
cli_check(const cli *c)
{
  const cli_command *command = c->command;
  size_t k, min, max;

  cli_count_arguments(command->arguments, &min, &max);
  for (k = 0; k < OPTION_COUNT; k++)
    if (c->values[k] != NULL && (command->options >> k & 1) == 0)
      return cli_usage("'%s' has no option --%s", command->name,
                       cli_options[k].name);
  if (c->argument_count > max)
    return cli_usage("'%s': unexpected argument '%s'", command->name,
                     c->arguments[max]);
  if (c->argument_count < min)
    return cli_usage("'%s' wants %s", command->name, command->arguments);
  return CLI_OK;
}

static int
cli_dump_config(void)
{
  printer out;

  print_begin(&out, stdout, 0);
  print_text(&out, "version", sb_version());
  print_number(&out, "abi_version", SB_ABI_VERSION);
#ifdef PLUGINDIR
  print_text(&out, "plugindir", PLUGINDIR);
#endif
  print_text(&out, "plugin_path", getenv("SB_PLUGIN_PATH"));
  return print_end(&out) == 0 ? CLI_OK : CLI_FAILED;
}

/* Options that stand alone; -1 if argv is none of them. */
static int
cli_global_option(int argc, char **argv)
{
  const char *first = argv[1];

  if (strcmp(first, "--version") == 0)
    printf("sbctl %s\n", sb_version());
  else if (strcmp(first, "--dump-config") == 0)
    return cli_dump_config();
  else if (strcmp(first, "--man") == 0)
    help_pod(stdout);
  else if (strcmp(first, "--completion") == 0 && argc == 3 &&
           strcmp(argv[2], "bash") == 0)
    help_completion(stdout);
  else if (strcmp(first, "--completion") == 0)
    return cli_usage("--completion knows only bash");
  else
    return -1;
  return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int
cli_run(cli *c)
{
  int code = cli_check(c);

  if (code != CLI_OK)
    return code;
  c->job = cli_has(c, OPTION_JOB) ? c->values[OPTION_JOB] : "";
  if (cli_has(c, OPTION_VERBOSE))
    sb_host_set_log(cli_log, NULL);
  code = c->command->run(c);
  if (c->backend != NULL)
    sb_backend_close(c->backend);
  if (cli_has(c, OPTION_METRICS))
    metrics_report(c);
  inside_forget();
  sb_config_free(c->config);
  if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK) {
    cli_warn("could not write the output: %s", strerror(errno));
    code = CLI_FAILED;
  }
  return code == CLI_OK && cli_interrupted() ? CLI_INTERRUPTED : code;
}

static int
cli_main(cli *c, int argc, char **argv)
{
  int help = 0, code;
  size_t used = 0;

  code = cli_split(c, argv, argc, &help);
  if (code != CLI_OK)
    return code;
  if (c->argument_count == 0) {
    if (!help)
      return cli_usage("a command is wanted");
    help_all(stdout);
    return CLI_OK;
  }
  c->command = cli_find(c->arguments, c->argument_count, &used);
  if (c->command == NULL)
    return cli_unknown_command(c->arguments, c->argument_count);
  c->arguments += used;
  c->argument_count -= used;
  if (help) {
    help_command(stdout, c->command);
    return CLI_OK;
  }
  return cli_run(c);
}

int
main(int argc, char **argv)
{
  cli c;
  char **arguments;
  int code;

  if (argc >= 2) {
    code = cli_global_option(argc, argv);
    if (code >= 0)
      return code;
  }
  memset(&c, 0, sizeof c);
  arguments = calloc((size_t)argc + 1, sizeof *arguments);
  c.settings = calloc((size_t)argc + 1, sizeof *c.settings);
  c.arguments = arguments;
  if (arguments == NULL || c.settings == NULL) {
    cli_warn("out of memory");
    code = CLI_FAILED;
  } else {
    cli_signals();
    code = cli_main(&c, argc, argv);
  }
  free(arguments);
  free(c.settings);
  return code;
}
