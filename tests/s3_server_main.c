/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3server: the test server as a program, for shell tests and other clients.
 * Prints "port N" when it listens; goes on until SIGTERM, SIGINT or, with
 * --stdin, the end of its input; then prints "requests N faults N".
 */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/s3_server.h"

static const char s3server_usage[] =
  "usage: s3server [OPTION...]\n"
  "  --port N              instead of one that the kernel chooses\n"
  "  --access K --secret S credentials that are taken\n"
  "  --region R            of the bucket \"state\"\n"
  "  --bucket NAME         one more bucket, of region us-east-1\n"
  "  --cert FILE --key FILE   TLS\n"
  "  --part-min BYTES      least size of a part\n"
  "  --fault RULE          see tests/s3_server.h\n"
  "  --rate-503 P          of all requests get SlowDown\n"
  "  --rate-reset P        of all requests are reset at some byte\n"
  "  --rate-lost-put P     of all puts are done and not answered\n"
  "  --seed N              of these chances\n"
  "  --log FILE            a line for each request\n"
  "  --stdin               read commands: fault RULE, mend, clock MS, stats,\n"
  "                        count [OPERATION], revoke ACCESS CODE, quit\n";

typedef struct s3server {
  s3_server_options options;
  const char *buckets[16], *rules[64];
  size_t bucket_count, rule_count;
  char rates[3][96];
  int commands;
} s3server;

enum { PORT = 1, ACCESS, SECRET, REGION, BUCKET, CERT, KEY, PART, FAULT,
       RATE_503, RATE_RESET, RATE_LOST, SEED, LOG, COMMANDS };

static int
s3server_rate(s3server *program, int which, const char *value)
{
  static const char *const formats[] = {
    "any chance=%s status=503 code=SlowDown",
    "any chance=%s reset-random",
    "write chance=%s apply reset",
  };
  char *rule = program->rates[which - RATE_503];

  /* The formats are ours. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  (void)snprintf(rule, sizeof program->rates[0], formats[which - RATE_503],
                 value);
#pragma GCC diagnostic pop
  program->rules[program->rule_count++] = rule;
  return 0;
}

static int
s3server_option(s3server *program, int option, const char *value)
{
  s3_server_options *o = &program->options;

  switch (option) {
  case PORT: o->port = atoi(value); return 0;
  case ACCESS: o->access_key = value; return 0;
  case SECRET: o->secret_key = value; return 0;
  case REGION: o->region = value; return 0;
  case CERT: o->certificate = value; return 0;
  case KEY: o->key = value; return 0;
  case PART: o->part_min = strtoull(value, NULL, 10); return 0;
  case SEED: o->seed = strtoull(value, NULL, 10); return 0;
  case COMMANDS: program->commands = 1; return 0;
  case LOG: o->log = fopen(value, "a"); return o->log == NULL ? -1 : 0;
  default: break;
  }
  if (program->rule_count >= 60 || program->bucket_count >= 16)
    return -1;
  if (option >= RATE_503 && option <= RATE_LOST)
    return s3server_rate(program, option, value);
  if (option == FAULT)
    program->rules[program->rule_count++] = value;
  else if (option == BUCKET)
    program->buckets[program->bucket_count++] = value;
  else
    return -1;
  return 0;
}

static int
s3server_options(s3server *program, int argc, char **argv)
{
  static const struct option options[] = {
    { "port", 1, NULL, PORT }, { "access", 1, NULL, ACCESS },
    { "secret", 1, NULL, SECRET }, { "region", 1, NULL, REGION },
    { "bucket", 1, NULL, BUCKET }, { "cert", 1, NULL, CERT },
    { "key", 1, NULL, KEY }, { "part-min", 1, NULL, PART },
    { "fault", 1, NULL, FAULT },
    { "rate-503", 1, NULL, RATE_503 }, { "rate-reset", 1, NULL, RATE_RESET },
    { "rate-lost-put", 1, NULL, RATE_LOST }, { "seed", 1, NULL, SEED },
    { "log", 1, NULL, LOG }, { "stdin", 0, NULL, COMMANDS },
    { NULL, 0, NULL, 0 },
  };
  int option;

  program->options.forget = 1;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (s3server_option(program, option, optarg) != 0)
      return -1;
    if (option == COMMANDS)
      program->options.forget = 0;
  }
  return optind == argc ? 0 : -1;
}

static int
s3server_setup(const s3server *program, s3_server *server)
{
  const char *why;
  size_t i;

  for (i = 0; i < program->bucket_count; i++)
    s3_server_bucket(server, program->buckets[i], "us-east-1");
  for (i = 0; i < program->rule_count; i++) {
    if (s3_server_fault(server, program->rules[i], &why) != 0) {
      fprintf(stderr, "s3server: not a rule: %s, at: %s\n", program->rules[i],
              why);
      return -1;
    }
  }
  return 0;
}

/* 1: the end. */
static int
s3server_command(s3_server *server, char *line)
{
  char *word = strtok(line, " \n"), *rest = strtok(NULL, "\n");
  const char *why = "";

  if (word == NULL)
    return 0;
  if (strcmp(word, "quit") == 0)
    return 1;
  if (strcmp(word, "fault") == 0 && rest != NULL)
    printf("%s\n", s3_server_fault(server, rest, &why) == 0 ? "ok" : why);
  else if (strcmp(word, "mend") == 0) {
    s3_server_mend(server);
    printf("ok\n");
  } else if (strcmp(word, "clock") == 0 && rest != NULL) {
    s3_server_clock(server, strtoll(rest, NULL, 10));
    printf("ok\n");
  } else if (strcmp(word, "count") == 0)
    printf("%zu\n", s3_server_seen(server, rest));
  else if (strcmp(word, "revoke") == 0 && rest != NULL) {
    char *code = strchr(rest, ' ');

    if (code != NULL)
      *code++ = '\0';
    s3_server_revoke(server, rest, code);
    printf("ok\n");
  } else if (strcmp(word, "stats") == 0)
    printf("requests %llu faults %u\n",
           (unsigned long long)s3_server_requests(server),
           s3_server_faults_done(server));
  else
    printf("what?\n");
  (void)fflush(stdout);
  return 0;
}

static void
s3server_wait(const s3server *program, s3_server *server,
              const sigset_t *signals)
{
  char line[4096];
  int number;

  if (!program->commands) {
    (void)sigwait(signals, &number);
    return;
  }
  (void)pthread_sigmask(SIG_UNBLOCK, signals, NULL);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (s3server_command(server, line))
      return;
  }
}

int
main(int argc, char **argv)
{
  s3server program = { .commands = 0 };
  s3_server *server;
  sigset_t signals;

  if (s3server_options(&program, argc, argv) != 0) {
    fputs(s3server_usage, stderr);
    return 2;
  }
  (void)sigemptyset(&signals);
  (void)sigaddset(&signals, SIGTERM);
  (void)sigaddset(&signals, SIGINT);
  (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
  server = s3_server_start(&program.options);
  if (server == NULL) {
    fprintf(stderr, "s3server: could not listen\n");
    return 1;
  }
  if (s3server_setup(&program, server) != 0)
    return 2;
  printf("port %d\n", s3_server_port(server));
  (void)fflush(stdout);
  s3server_wait(&program, server, &signals);
  printf("requests %llu faults %u\n",
         (unsigned long long)s3_server_requests(server),
         s3_server_faults_done(server));
  s3_server_stop(server);
  return 0;
}
