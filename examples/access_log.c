/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_log, main: options, opening, the loop that shows progress and
 * publishes committed results, and the end. Start with access_log.h.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "access_log.h"

#define TICK_MS 20
#define STATS_TICKS 5

static job the_job;

static const char help_text[] =
  "Usage: access_log --config FILE --input FILE --output DIR [OPTION...]\n"
  "Sessions and totals of a web server's access log (combined format),\n"
  "exactly once, also when this program is killed and started again.\n"
  "\n"
  "  --config FILE            settings of the state backend\n"
  "  --set KEY=VALUE          one setting; wins over the file\n"
  "  --input FILE             the log; \"-\" is the standard input\n"
  "  --output DIR             for the parts of the result; made if missing\n"
  "  --subtasks N             threads that keep state, 1 to 64 (2)\n"
  "  --checkpoint-every N     lines, or a time such as 500ms or 10s (10s)\n"
  "  --rate N                 lines a second at most\n"
  "  --repeat N               read the log N times, with later times and\n"
  "                           other addresses each time\n"
  "  --stats-file FILE        keep progress and counters there\n"
  "  --help\n"
  "\n"
  "Started again with the same store, it goes on where its last checkpoint\n"
  "was, with any number of subtasks.\n"
  "\n"
  "Exit codes: 0 all done; 1 failure; 2 wrong usage or configuration;\n"
  "3 another process has taken the job over; 4 stopped by a signal, start\n"
  "again to go on.\n";

/* ---- failure ------------------------------------------------------------ */

void
job_fail(job *j, sb_status status, const sb_error *err)
{
  uint32_t i;

  pthread_mutex_lock(&j->lock);
  if (j->status == SB_OK) {
    j->status = status;
    if (err->status == status)
      j->error = *err;
    else
      (void)sb_error_set(&j->error, status, "a step of the job failed: %s",
                         sb_status_name(status));
  }
  pthread_mutex_unlock(&j->lock);
  atomic_store(&j->failed, 1);
  for (i = 0; i < j->settings.subtasks; i++)
    queue_close(&j->subtasks[i].queue);
}

static void
job_fail_errno(job *j, const char *doing)
{
  sb_error err;
  int number = errno;

  (void)sb_error_set(&err, SB_IO, "could not %s \"%s\": %s", doing,
                     j->settings.output, strerror(number));
  job_fail(j, SB_IO, &err);
}

/* A successor cleans up behind us, so being overtaken may first look like a
   store that has lost objects. */
static int
job_report(job *j)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_error err;

  if (j->status != SB_FENCED && j->coordinator != NULL &&
      sb_coordinator_gc(j->coordinator, SB_GC_DRY_RUN, &report, &err) ==
        SB_FENCED) {
    j->status = SB_FENCED;
    j->error = err;
  }
  (void)fprintf(stderr, "access_log: %s (%s)\n", j->error.message,
                j->status == SB_FENCED ? "SB_FENCED"
                                       : sb_status_name(j->status));
  return j->status == SB_FENCED ? EXIT_FENCED : EXIT_FAILED;
}

/* ---- progress ----------------------------------------------------------- */

static void
job_show(const job *j, int last)
{
  static uint64_t lines_before;
  uint64_t lines = atomic_load(&j->lines);

  if (!isatty(STDERR_FILENO) || (lines == lines_before && !last))
    return;
  lines_before = lines;
  (void)fprintf(stderr, "\r%llu lines, checkpoint %llu, reading %llu of %llu ",
                (unsigned long long)lines,
                (unsigned long long)sb_coordinator_newest(j->coordinator),
                (unsigned long long)j->position.repeat + 1,
                (unsigned long long)j->settings.repeat);
  if (last)
    (void)fputc('\n', stderr);
}

static void
job_watch(job *j)
{
  struct timespec pause = { .tv_nsec = TICK_MS * 1000000 };
  unsigned tick = 0;

  while (!atomic_load(&j->finished)) {
    (void)nanosleep(&pause, NULL);
    if (job_publish(j) != 0) {
      job_fail_errno(j, "publish results in");
      break;
    }
    if (++tick % STATS_TICKS == 0) {
      job_write_stats(j, NULL);
      job_show(j, 0);
    }
  }
}

/* ---- run ---------------------------------------------------------------- */

static int
job_start_threads(job *j, pthread_t *source)
{
  uint32_t i;

  for (i = 0; i < j->settings.subtasks; i++)
    if (pthread_create(&j->subtasks[i].thread, NULL, subtask_run,
                       &j->subtasks[i]) != 0)
      break;
  if (i == j->settings.subtasks &&
      pthread_create(source, NULL, source_run, j) == 0)
    return 0;
  job_fail_errno(j, "start threads for");
  while (i-- > 0)
    (void)pthread_join(j->subtasks[i].thread, NULL);
  return -1;
}

static void
job_process(job *j)
{
  pthread_t source;
  uint32_t i;

  if (job_start_threads(j, &source) != 0)
    return;
  job_watch(j);
  (void)pthread_join(source, NULL);
  for (i = 0; i < j->settings.subtasks; i++)
    (void)pthread_join(j->subtasks[i].thread, NULL);
  job_show(j, 1);
}

static int
job_finish(job *j)
{
  position at;

  if (j->status != SB_OK)
    return job_report(j);
  if (job_publish(j) != 0) {
    job_fail_errno(j, "publish results in");
    return job_report(j);
  }
  pthread_mutex_lock(&j->lock);
  at = j->position;
  pthread_mutex_unlock(&j->lock);
  if (!at.end)
    return EXIT_STOPPED;
  if (job_write_result(j) != 0) {
    job_fail_errno(j, "list the results in");
    return job_report(j);
  }
  if (at.malformed != 0)
    (void)fprintf(stderr, "access_log: %llu of %llu lines are malformed\n",
                  (unsigned long long)at.malformed,
                  (unsigned long long)at.lines);
  if (at.late != 0)
    (void)fprintf(stderr, "access_log: %llu of %llu lines came too late for a "
                  "session\n", (unsigned long long)at.late,
                  (unsigned long long)at.lines);
  return EXIT_SUCCESS;
}

static sb_status
job_open_subtasks(job *j, sb_error *err)
{
  sb_status status = SB_OK;
  uint32_t i;

  for (i = 0; i < j->settings.subtasks && status == SB_OK; i++)
    status = subtask_open(&j->subtasks[i], j, i, err);
  return status;
}

static void
job_checkpoint_finished(void *arg, uint64_t id, sb_status status,
                        const sb_error *err)
{
  job *j = arg;

  (void)id;
  (void)err;
  if (status == SB_OK)
    atomic_fetch_add(&j->committed, 1);
}

/* Takes the job over: from here on any other process of it is fenced. */
static sb_status
job_restore_all(job *j, sb_error *err)
{
  sb_coordinator_options options = { .struct_size = sizeof options };
  sb_status status;

  options.subtasks = j->settings.subtasks;
  options.job = "";
  options.job_id = "access_log";
  options.retain = 2;
  options.tolerable_failures = 3;
  options.finished = job_checkpoint_finished;
  options.arg = j;
  status = sb_coordinator_open(j->backend, j->host, &options, &j->coordinator,
                               &j->restored, err);
  if (status != SB_OK)
    return status;
  j->generation = sb_coordinator_generation(j->coordinator);
  if (job_restore(j) != 0)
    return sb_error_set(err, SB_CORRUPT, "cannot restore checkpoint %llu: %s",
                        (unsigned long long)j->restored->info.id,
                        strerror(errno));
  if (mkdir(j->settings.output, 0755) != 0 && errno != EEXIST)
    return sb_error_set(err, SB_IO, "could not make \"%s\": %s",
                        j->settings.output, strerror(errno));
  if (job_publish(j) != 0 || job_clean_output(j) != 0)
    return sb_error_set(err, SB_IO, "could not clean up \"%s\": %s",
                        j->settings.output, strerror(errno));
  return job_open_subtasks(j, err);
}

static int
job_run(job *j)
{
  sb_error err;
  sb_status status;
  uint32_t i;
  int code;

  j->subtasks = calloc(j->settings.subtasks, sizeof *j->subtasks);
  if (j->subtasks == NULL)
    return EXIT_FAILED;
  for (i = 0; i < j->settings.subtasks; i++) {
    sink_init(&j->subtasks[i].sink, j, i);
    if (queue_init(&j->subtasks[i].queue) != 0)
      return EXIT_FAILED;
  }
  status = job_restore_all(j, &err);
  if (status != SB_OK)
    job_fail(j, status, &err);
  else if (!j->position.end)
    job_process(j);
  code = job_finish(j);
  if (j->coordinator != NULL)
    job_write_stats(j, code == 0 ? "finished"
                                 : code == EXIT_STOPPED ? "stopped"
                                                        : "failed");
  sb_coordinator_close(j->coordinator);
  for (i = 0; i < j->settings.subtasks; i++) {
    subtask_close(&j->subtasks[i]);
    queue_dispose(&j->subtasks[i].queue);
  }
  free(j->subtasks);
  free(j->parts);
  return code;
}

/* ---- options ------------------------------------------------------------ */

static int
usage(const char *problem, const char *text)
{
  if (text == NULL)
    (void)fprintf(stderr, "access_log: %s\n", problem);
  else
    (void)fprintf(stderr, "access_log: %s: \"%s\"\n", problem, text);
  (void)fputs("Try 'access_log --help'.\n", stderr);
  return EXIT_USAGE;
}

static int
option_number(const char *text, uint64_t min, uint64_t max, uint64_t *number,
              char **end)
{
  errno = 0;
  *number = strtoull(text, end, 10);
  return errno == 0 && *end != text && text[0] != '-' && *number >= min &&
             *number <= max
           ? 0
           : -1;
}

static int
option_whole(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
  char *end;

  return option_number(text, min, max, number, &end) == 0 && *end == '\0'
           ? 0
           : -1;
}

/* A bare number is lines. */
static int
option_every(const char *text, settings *set)
{
  static const struct { const char *unit; uint64_t ms; } units[] = {
    { "ms", 1 }, { "s", 1000 }, { "min", 60000 }
  };
  uint64_t number;
  char *end;
  size_t i;

  if (option_number(text, 1, 1000000000000u, &number, &end) != 0)
    return -1;
  set->every_lines = *end == '\0' ? number : 0;
  set->every_ms = 0;
  if (*end == '\0')
    return 0;
  end += *end == ' ';
  for (i = 0; i < sizeof units / sizeof units[0]; i++)
    if (strcmp(end, units[i].unit) == 0) {
      set->every_ms = number * units[i].ms;
      return 0;
    }
  return -1;
}

static sb_status
option_set(sb_config *config, const char *text, sb_error *err)
{
  const char *equals = strchr(text, '=');
  char key[256];

  if (equals == NULL || (size_t)(equals - text) >= sizeof key)
    return sb_error_set(err, SB_CONFIG, "--set \"%s\" is not KEY=VALUE", text);
  memcpy(key, text, (size_t)(equals - text));
  key[equals - text] = '\0';
  return sb_config_set(config, key, equals + 1, "--set", err);
}

/* -1: go on, else an exit code. */
static int
options_read(int argc, char **argv, settings *set, sb_config *config)
{
  static const struct option longs[] = {
    { "config", required_argument, NULL, 'c' },
    { "set", required_argument, NULL, 's' },
    { "input", required_argument, NULL, 'i' },
    { "output", required_argument, NULL, 'o' },
    { "subtasks", required_argument, NULL, 'n' },
    { "checkpoint-every", required_argument, NULL, 'e' },
    { "rate", required_argument, NULL, 'r' },
    { "repeat", required_argument, NULL, 'R' },
    { "stats-file", required_argument, NULL, 'S' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 }
  };
  sb_status status = SB_OK;
  int c, bad = 0;
  uint64_t number;
  sb_error err;

  while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
    switch (c) {
    case 'c': status = sb_config_load(config, optarg, &err); break;
    case 's': status = option_set(config, optarg, &err); break;
    case 'i': set->input = optarg; break;
    case 'o': set->output = optarg; break;
    case 'n':
      bad = option_whole(optarg, 1, SUBTASKS_MAX, &number);
      set->subtasks = (uint32_t)number;
      break;
    case 'e': bad = option_every(optarg, set); break;
    case 'r': bad = option_whole(optarg, 1, 1000000000, &set->rate); break;
    case 'R': bad = option_whole(optarg, 1, 1000000, &set->repeat); break;
    case 'S': set->stats_file = optarg; break;
    case 'h':
      (void)fputs(help_text, stdout);
      return EXIT_SUCCESS;
    default:
      return EXIT_USAGE;
    }
    if (bad != 0)
      return usage("not a good value", optarg);
    if (status != SB_OK)
      return usage(err.message, NULL);
  }
  if (optind != argc)
    return usage("not an option", argv[optind]);
  return -1;
}

static int
options_check(const settings *set)
{
  if (set->input == NULL || set->output == NULL)
    return usage("--input and --output are needed", NULL);
  if (strcmp(set->input, "-") == 0 && set->repeat > 1)
    return usage("the standard input cannot be read with --repeat", NULL);
  return -1;
}

static void
stop_handler(int signal_number)
{
  (void)signal_number;
  atomic_store(&the_job.stop, 1);
}

static void
handle_signals(void)
{
  struct sigaction action = { .sa_handler = stop_handler };

  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
}

/* Warnings: an encryption that the server does not confirm, a wrong clock. */
static void
job_warned(void *arg, uint32_t level, const char *component, const char *text)
{
  (void)arg;
  if (level >= SB_LOG_WARN)
    fprintf(stderr, "access_log: %s: %s\n", component, text);
}

int
main(int argc, char **argv)
{
  job *j = &the_job;
  sb_config *config;
  sb_error err;
  int code;

  j->settings.subtasks = 2;
  j->settings.repeat = 1;
  j->settings.every_ms = 10000;
  j->position.first_ms = INT64_MAX;
  j->position.last_ms = INT64_MIN;
  j->position.newest_ms = INT64_MIN;
  j->state = "starting";
  j->host = sb_host_default();
  sb_host_set_log(job_warned, NULL);
  (void)pthread_mutex_init(&j->lock, NULL);
  if (sb_config_new(&config, &err) != SB_OK)
    return usage(err.message, NULL);
  code = options_read(argc, argv, &j->settings, config);
  if (code < 0)
    code = options_check(&j->settings);
  if (code < 0) {
    handle_signals();
    if (sb_backend_open(config, NULL, &j->backend, &err) != SB_OK) {
      code = usage(err.message, NULL);
    } else {
      code = job_run(j);
      sb_backend_close(j->backend);
    }
  }
  sb_config_free(config);
  return code;
}
