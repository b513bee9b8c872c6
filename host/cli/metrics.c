/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl metrics: what a running job counts, read from its metrics file or its
 * listener; and --metrics: what this command itself has cost.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/cli/cli.h"
#include "host/cli/grid.h"
#include "host/cli/sample.h"
#include "host/config/options.h"
#include "host/plugin/listener.h"
#include "host/plugin/metrics.h"

#define METRICS_ANSWER_MAX (METRICS_TEXT_MAX + 4096u)

/* ---- where they come from ----------------------------------------------- */

/* Reads to the end, in memory to free; NULL with errno set. */
static char *
metrics_slurp(int fd)
{
  size_t size = 65536, len = 0;
  char *text = malloc(size + 1), *larger;
  ssize_t n;

  while (text != NULL && (n = read(fd, text + len, size - len)) != 0) {
    if (n < 0 && errno == EINTR && !cli_interrupted())
      continue;
    if (n < 0 || (len += (size_t)n) > METRICS_ANSWER_MAX) {
      free(text);
      errno = n < 0 ? errno : EFBIG;
      return NULL;
    }
    if (len < size)
      continue;
    larger = realloc(text, size * 2 + 1);
    if (larger == NULL) {
      free(text);
      return NULL;
    }
    text = larger;
    size *= 2;
  }
  if (text != NULL)
    text[len] = '\0';
  return text;
}

static sb_status
metrics_file(const char *path, char **out, double *age, sb_error *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat state;
  struct timespec now;
  char *text = NULL;
  int failure;

  if (fd >= 0)
    text = metrics_slurp(fd);
  failure = errno;
  if (text != NULL && fstat(fd, &state) == 0) {
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *age = (double)(now.tv_sec - state.st_mtim.tv_sec) +
           (double)(now.tv_nsec - state.st_mtim.tv_nsec) / 1e9;
  }
  if (fd >= 0)
    (void)close(fd);
  if (text == NULL)
    return sb_error_set(err, failure == ENOENT ? SB_NOT_FOUND : SB_IO,
                        "could not read the metrics' file \"%.300s\": %s",
                        path, strerror(failure));
  *out = text;
  return SB_OK;
}

/* A connection that no server can hold up for long. */
static int
metrics_connect(const listener *at)
{
  const struct timeval patience = { .tv_sec = 10 };
  int fd = socket(at->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd >= 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                 sizeof patience) == 0 &&
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                 sizeof patience) == 0 &&
      connect(fd, (const struct sockaddr *)&at->address,
              at->address_len) == 0)
    return fd;
  if (fd >= 0) {
    int failure = errno;

    (void)close(fd);
    errno = failure;
  }
  return -1;
}

static sb_status
metrics_listener(const char *address, char **out, sb_error *err)
{
  static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
  listener at;
  sb_status status = listener_init(&at, sb_host_default(), address, err);
  char *answer = NULL, *body;
  int fd, failure;

  if (status != SB_OK)
    return status;
  fd = metrics_connect(&at);
  if (fd >= 0 &&
      send(fd, request, sizeof request - 1, MSG_NOSIGNAL) ==
        (ssize_t)sizeof request - 1)
    answer = metrics_slurp(fd);
  failure = errno;
  if (fd >= 0)
    (void)close(fd);
  if (answer == NULL)
    return sb_error_set(err, SB_UNAVAILABLE,
                        "could not read metrics at %.100s: %s", address,
                        strerror(failure));
  body = strstr(answer, "\r\n\r\n");
  if (strncmp(answer, "HTTP/1.", 7) != 0 ||
      strncmp(answer + strcspn(answer, " "), " 200 ", 5) != 0 ||
      body == NULL) {
    free(answer);
    return sb_error_set(err, SB_UNAVAILABLE, "%.100s does not serve metrics",
                        address);
  }
  memmove(answer, body + 4, strlen(body + 4) + 1);
  *out = answer;
  return SB_OK;
}

/* From the argument, else from where the configuration has a job put them. */
static int
metrics_fetch(cli *c, char **text, const char **source, double *age)
{
  const char *listen, *file;
  sb_error err = { .message = "" };
  sb_status status = SB_NOT_FOUND;
  int code;

  if (c->argument_count == 1) {
    *source = c->arguments[0];
    status = metrics_file(*source, text, age, &err);
    return status == SB_OK ? CLI_OK : cli_fail(&err);
  }
  code = cli_configure(c, 0);
  if (code != CLI_OK)
    return code;
  listen = sb_config_get(c->config, OPTION_METRICS_LISTEN);
  file = sb_config_get(c->config, OPTION_METRICS_FILE);
  if ((listen == NULL || *listen == '\0') && (file == NULL || *file == '\0'))
    return cli_usage("give a metrics' file, or settings with "
                     OPTION_METRICS_FILE " or " OPTION_METRICS_LISTEN);
  if (listen != NULL && *listen != '\0') {
    *source = listen;
    status = metrics_listener(listen, text, &err);
  }
  if (status != SB_OK && file != NULL && *file != '\0') {
    *source = file;
    status = metrics_file(file, text, age, &err);
  }
  return status == SB_OK ? CLI_OK : cli_fail(&err);
}

/* ---- how they are shown ------------------------------------------------- */

static const struct metrics_part {
  const char *name;
  double part;
} metrics_parts[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 } };
#define METRICS_PARTS (sizeof metrics_parts / sizeof metrics_parts[0])

static int
metrics_is_histogram(const sample *s)
{
  return strcmp(s->kind, "histogram") == 0;
}

static void
metrics_rows(printer *out, const samples *s)
{
  size_t i, k;

  for (i = 0; i < s->count; i++) {
    const sample *one = &s->list[i];

    print_row(out);
    print_text(out, "name", one->name);
    for (k = 0; k < one->label_count; k++)
      print_text(out, one->labels[k].name, one->labels[k].value);
    if (!metrics_is_histogram(one)) {
      print_exact(out, "value", one->text);
    } else {
      print_number(out, "count", (uint64_t)one->count);
      print_exact(out, "sum", one->text);
      for (k = 0; k < METRICS_PARTS && one->count > 0; k++)
        print_precise(out, metrics_parts[k].name,
                      sample_quantile(one, metrics_parts[k].part));
    }
    print_row_end(out);
  }
}

static void
metrics_labels(const sample *s, char *text, size_t size)
{
  size_t i, len = 0;

  text[0] = '\0';
  for (i = 0; i < s->label_count && len < size; i++)
    len += (size_t)snprintf(text + len, size - len, "%s%s=%s",
                            i == 0 ? "" : ",", s->labels[i].name,
                            s->labels[i].value);
}

/* Seconds in the unit that reads best. */
static void
metrics_time(char *text, size_t size, double seconds)
{
  if (seconds >= 1)
    (void)snprintf(text, size, "%.3g s", seconds);
  else if (seconds >= 1e-3)
    (void)snprintf(text, size, "%.3g ms", seconds * 1e3);
  else
    (void)snprintf(text, size, "%.3g us", seconds * 1e6);
}

static int
metrics_table(const samples *s)
{
  char labels[256], value[256], parts[METRICS_PARTS][32];
  grid g;
  size_t i, k;

  grid_begin(&g, 3);
  grid_cell(&g, "METRIC");
  grid_cell(&g, "LABELS");
  grid_cell(&g, "VALUE");
  for (i = 0; i < s->count; i++) {
    const sample *one = &s->list[i];

    metrics_labels(one, labels, sizeof labels);
    (void)snprintf(value, sizeof value, "%s", one->text);
    if (metrics_is_histogram(one)) {
      for (k = 0; k < METRICS_PARTS; k++)
        metrics_time(parts[k], sizeof parts[k],
                     one->count > 0
                       ? sample_quantile(one, metrics_parts[k].part) : 0);
      (void)snprintf(value, sizeof value,
                     "%.0f, half within %s, 90 %% %s, 99 %% %s", one->count,
                     parts[0], parts[1], parts[2]);
    }
    grid_cell(&g, one->name);
    grid_cell(&g, labels);
    grid_cell(&g, value);
  }
  return grid_end(&g, stdout);
}

static int
metrics_show(cli *c, const samples *s, const char *source, double age)
{
  printer *out = &c->out;

  if (cli_wants_table(c)) {
    if (age >= 0)
      printf("%s, written %.1f s ago\n\n", source, age);
    return metrics_table(s) == 0
             ? CLI_OK
             : cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  }
  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  print_text(out, "source", source);
  if (age >= 0)
    print_double(out, "age_seconds", age);
  print_list(out, "metrics", "metric");
  metrics_rows(out, s);
  print_list_end(out);
  (void)print_end(out);
  return CLI_OK;
}

int
metrics_run(cli *c)
{
  const char *source = NULL;
  char *text = NULL;
  double age = -1;
  samples s;
  sb_error err;
  int code = metrics_fetch(c, &text, &source, &age);

  if (code != CLI_OK)
    return code;
  if (samples_read(&s, text, &err) == SB_OK) {
    code = metrics_show(c, &s, source, age);
    samples_free(&s);
  } else {
    cli_warn("\"%.300s\":", source);
    code = cli_fail(&err);
  }
  free(text);
  return code;
}

/* ---- --metrics ---------------------------------------------------------- */

static sb_status
metrics_take(void *arg, const char *text, size_t len)
{
  char **copy = arg;

  (void)len;
  *copy = strdup(text);
  return *copy == NULL ? SB_NO_MEMORY : SB_OK;
}

/* On standard error: what the command prints stays what it was. */
void
metrics_report(cli *c)
{
  char *text = NULL;
  samples s;
  sb_error err;
  printer out;

  (void)c;
  if (sb_host_metrics_text(metrics_take, &text, &err) == SB_OK &&
      samples_read(&s, text, &err) == SB_OK) {
    fflush(stdout);
    print_begin_lines(&out, stderr, 0, "metric");
    metrics_rows(&out, &s);
    (void)print_end(&out);
    samples_free(&s);
  }
  free(text);
}
