/* SPDX-License-Identifier: Apache-2.0 */
/* Help, bash completion and the man page's sections, from the tables. */
#include "config.h"

#include <string.h>

#include "host/cli/cli.h"

static void
help_option_name(FILE *to, const char *name, const char *argument)
{
  char text[64];

  (void)snprintf(text, sizeof text, "--%s%s%s", name,
                 argument == NULL ? "" : " ",
                 argument == NULL ? "" : argument);
  fprintf(to, "  %-23s ", text);
}

static void
help_wrapped(FILE *to, const char *text, size_t indent)
{
  size_t column = indent, len;

  for (; *text != '\0'; text += len) {
    text += strspn(text, " ");
    len = strcspn(text, " ");
    if (column != indent && column + 1 + len > 79) {
      fprintf(to, "\n%*s", (int)indent, "");
      column = indent;
    }
    fprintf(to, "%s%.*s", column == indent ? "" : " ", (int)len, text);
    column += len + (column == indent ? 0 : 1);
  }
  putc('\n', to);
}

void
help_all(FILE *to)
{
  size_t i;
  char text[64];

  fputs("usage: sbctl COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n", to);
  for (i = 0; i < cli_command_count; i++) {
    (void)snprintf(text, sizeof text, "%s %s", cli_commands[i].name,
                   cli_commands[i].arguments);
    fprintf(to, "  %-23s ", text);
    help_wrapped(to, cli_commands[i].help, 26);
  }
  fputs("\noptions:\n", to);
  for (i = 0; i < cli_global_count; i++) {
    help_option_name(to, cli_globals[i].name, cli_globals[i].argument);
    help_wrapped(to, cli_globals[i].help, 26);
  }
  for (i = 0; i < OPTION_COUNT; i++) {
    help_option_name(to, cli_options[i].name, cli_options[i].argument);
    help_wrapped(to, cli_options[i].help, 26);
  }
  fputs("\nexit codes:\n", to);
  for (i = 0; i < cli_exit_code_count; i++) {
    fprintf(to, "  %-23d ", cli_exit_codes[i].code);
    help_wrapped(to, cli_exit_codes[i].meaning, 26);
  }
}

void
help_command(FILE *to, const cli_command *command)
{
  size_t i;

  fprintf(to, "usage: sbctl %s [OPTION]...%s%s\n", command->name,
          command->arguments[0] == '\0' ? "" : " ", command->arguments);
  help_wrapped(to, command->help, 0);
  fputs("\noptions:\n", to);
  for (i = 0; i < OPTION_COUNT; i++) {
    if ((command->options >> i & 1) == 0)
      continue;
    help_option_name(to, cli_options[i].name, cli_options[i].argument);
    help_wrapped(to, cli_options[i].help, 26);
  }
}

/* ---- bash --------------------------------------------------------------- */

static void
help_completion_words(FILE *to)
{
  size_t i, n;

  fputs("  local commands='", to);
  for (i = 0; i < cli_command_count; i++) {
    n = strcspn(cli_commands[i].name, " ");
    if (i > 0 && strncmp(cli_commands[i - 1].name, cli_commands[i].name,
                         n) == 0 && cli_commands[i - 1].name[n] == ' ')
      continue;
    fprintf(to, "%s%.*s", i == 0 ? "" : " ", (int)n, cli_commands[i].name);
  }
  fputs("'\n  local globals='", to);
  for (i = 0; i < cli_global_count; i++)
    fprintf(to, "%s--%s", i == 0 ? "" : " ", cli_globals[i].name);
  fputs("'\n", to);
}

/* The case of one command, or of the words after its first one. */
static void
help_completion_options(FILE *to)
{
  size_t i, k;

  fputs("  case $command in\n", to);
  for (i = 0; i < cli_command_count; i++) {
    fprintf(to, "  '%s') options='--help", cli_commands[i].name);
    for (k = 0; k < OPTION_COUNT; k++)
      if ((cli_commands[i].options >> k & 1) != 0)
        fprintf(to, " --%s", cli_options[k].name);
    fputs("' ;;\n", to);
  }
  fputs("  *) options= ;;\n  esac\n", to);
}

/* For each first word that has second ones, those. */
static void
help_completion_second(FILE *to)
{
  const char *name, *before = "";
  size_t i, len, before_len = 0;

  fputs("  case $first in", to);
  for (i = 0; i < cli_command_count; i++) {
    name = cli_commands[i].name;
    len = strcspn(name, " ");
    if (name[len] == '\0')
      continue;
    if (len != before_len || strncmp(name, before, len) != 0)
      fprintf(to, "%s\n  %.*s) seconds='", before_len == 0 ? "" : "' ;;",
              (int)len, name);
    fprintf(to, "%s ", name + len + 1);
    before = name;
    before_len = len;
  }
  fputs("' ;;\n  *) seconds= ;;\n  esac\n", to);
}

static void
help_completion_arguments(FILE *to)
{
  size_t i;
  const char *c;

  fputs("  case $previous in\n"
        "  --completion) COMPREPLY=($(compgen -W bash -- \"$current\"));"
        " return ;;\n", to);
  for (i = 0; i < OPTION_COUNT; i++) {
    if (cli_options[i].argument == NULL)
      continue;
    c = cli_options[i].choices;
    if (c == NULL) {
      fprintf(to, "  --%s) return ;;\n", cli_options[i].name);
    } else if (strcmp(c, "FILE") == 0) {
      fprintf(to, "  --%s) COMPREPLY=($(compgen -f -- \"$current\"));"
              " return ;;\n", cli_options[i].name);
    } else {
      fprintf(to, "  --%s) COMPREPLY=($(compgen -W '", cli_options[i].name);
      for (; *c != '\0'; c++)
        putc(*c == '|' ? ' ' : *c, to);
      fputs("' -- \"$current\")); return ;;\n", to);
    }
  }
  fputs("  esac\n", to);
}

void
help_completion(FILE *to)
{
  fputs("# bash completion for sbctl; printed by: sbctl --completion bash\n"
        "# shellcheck shell=bash disable=SC2207\n"
        "_sbctl()\n{\n"
        "  local current=${COMP_WORDS[COMP_CWORD]}\n"
        "  local previous=${COMP_WORDS[COMP_CWORD-1]}\n"
        "  local first='' second='' command='' options='' seconds='' word i\n",
        to);
  help_completion_words(to);
  fputs("  for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "    word=${COMP_WORDS[i]}\n"
        "    case $word in\n"
        "    -*) ;;\n"
        "    *) if [ -z \"$first\" ]; then first=$word;\n"
        "       elif [ -z \"$second\" ]; then second=$word; fi ;;\n"
        "    esac\n"
        "  done\n", to);
  help_completion_second(to);
  fputs("  command=$first\n"
        "  [ -n \"$seconds\" ] && command=\"$first $second\"\n", to);
  help_completion_options(to);
  help_completion_arguments(to);
  fputs("  case $current in\n"
        "  -*) COMPREPLY=($(compgen -W \"${options:-$globals}\" --"
        " \"$current\")); return ;;\n"
        "  esac\n"
        "  if [ -z \"$first\" ]; then\n"
        "    COMPREPLY=($(compgen -W \"$commands\" -- \"$current\"))\n"
        "  elif [ -n \"$seconds\" ] && [ -z \"$second\" ]; then\n"
        "    COMPREPLY=($(compgen -W \"$seconds\" -- \"$current\"))\n"
        "  elif [ \"$first\" = info ]; then\n"
        "    COMPREPLY=($(compgen -W \"$(sbctl plugins 2>/dev/null |\n"
        "      sed -n 's/^plugin name=\\([^ ]*\\).*/\\1/p')\" --"
        " \"$current\"))\n"
        "  elif [ \"$first\" = config ] || [ \"$first\" = metrics ]; then\n"
        "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
        "  fi\n"
        "}\n"
        "complete -F _sbctl sbctl\n", to);
}

/* ---- man page ----------------------------------------------------------- */

static void
help_pod_item(FILE *to, const char *name, const char *argument,
              const char *help)
{
  fprintf(to, "=item B<--%s>", name);
  if (argument != NULL)
    fprintf(to, " I<%s>", argument);
  fprintf(to, "\n\n%s\n\n", help);
}

static void
help_pod_command(FILE *to, const cli_command *command)
{
  size_t i;
  const char *between = "";

  fprintf(to, "=item B<sbctl %s>", command->name);
  if (command->arguments[0] != '\0')
    fprintf(to, " I<%s>", command->arguments);
  fprintf(to, "\n\n%s\n\nOptions: ", command->help);
  for (i = 0; i < OPTION_COUNT; i++) {
    if ((command->options >> i & 1) == 0)
      continue;
    fprintf(to, "%sB<--%s>", between, cli_options[i].name);
    between = ", ";
  }
  fputs(".\n\n", to);
}

void
help_pod(FILE *to)
{
  size_t i;

  fputs("=head1 COMMANDS\n\n=over 4\n\n", to);
  for (i = 0; i < cli_command_count; i++)
    help_pod_command(to, &cli_commands[i]);
  fputs("=back\n\n=head1 OPTIONS\n\n=over 4\n\n", to);
  for (i = 0; i < cli_global_count; i++)
    help_pod_item(to, cli_globals[i].name, cli_globals[i].argument,
                  cli_globals[i].help);
  for (i = 0; i < OPTION_COUNT; i++)
    help_pod_item(to, cli_options[i].name, cli_options[i].argument,
                  cli_options[i].help);
  fputs("=back\n\n=head1 EXIT STATUS\n\n=over 4\n\n", to);
  for (i = 0; i < cli_exit_code_count; i++)
    fprintf(to, "=item B<%d>\n\n%s\n\n", cli_exit_codes[i].code,
            cli_exit_codes[i].meaning);
  fputs("=back\n\n", to);
}
