/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common part of the small examples: see example.h. One thread is the
 * owner of all subtasks' handles, so a barrier is a place between two inputs.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "access_log.h"
#include "example.h"

static const char *example_name = "example";

static void
example_die(const char *doing, const char *why)
{
  (void)fprintf(stderr, "%s: %s: %s\n", example_name, doing, why);
  exit(EXIT_FAILED);
}

void
example_must(sb_status status, const sb_error *err)
{
  if (status != SB_OK)
    example_die(sb_status_name(status), err->message);
}

void *
example_memory(size_t size)
{
  void *memory = malloc(size == 0 ? 1 : size);

  if (memory == NULL)
    example_die("memory", "there is none left");
  return memory;
}

/* ---- numbers and bytes -------------------------------------------------- */

void
example_put(void *data, uint64_t number)
{
  uint8_t *b = data;
  int i;

  for (i = 0; i < 8; i++)
    b[i] = (uint8_t)(number >> (56 - 8 * i));
}

uint64_t
example_get(const void *data)
{
  const uint8_t *b = data;
  uint64_t number = 0;
  int i;

  for (i = 0; i < 8; i++)
    number = number << 8 | b[i];
  return number;
}

sb_status
example_sum(void *arg, sb_update *state, sb_slice input, sb_error *err)
{
  uint8_t *sum = state->data;
  const uint8_t *add = input.data;
  size_t i;

  (void)arg;
  if (state->len != input.len || input.len % 8 != 0)
    return sb_error_set(err, SB_CORRUPT, "sums of %zu and %zu bytes do not "
                        "fit together", state->len, input.len);
  for (i = 0; i < input.len; i += 8)
    example_put(sum + i, example_get(sum + i) + example_get(add + i));
  state->action = SB_UPDATE_IN_PLACE;
  return SB_OK;
}

sb_status
example_count(void *arg, sb_update *update)
{
  if (update->exists && update->len != 8)
    return SB_CORRUPT;
  if (update->exists) {
    example_put(update->data, example_get(update->data) + 1);
    update->action = SB_UPDATE_IN_PLACE;
    return SB_OK;
  }
  example_put(arg, 1);
  update->action = SB_UPDATE_PUT;
  update->replacement = sb_slice_of(arg, 8);
  return SB_OK;
}

int
example_compare(sb_slice a, sb_slice b)
{
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

  return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* ---- input -------------------------------------------------------------- */

static void
example_parse(example_line *line, const char *text, size_t len)
{
  log_line parsed;

  memset(line, 0, sizeof *line);
  line->text = sb_slice_of(text, len);
  if (log_line_parse(text, len, &parsed) != 0)
    return;
  line->address = sb_slice_of(parsed.address, parsed.address_len);
  line->path = sb_slice_of(parsed.path, parsed.path_len);
  (void)snprintf(line->status, sizeof line->status, "%03u",
                 (unsigned)parsed.status % 1000);
  line->time_ms = parsed.time_ms;
  line->bytes = parsed.bytes;
}

static char *
example_read(const char *path, size_t *len)
{
  FILE *file = fopen(path, "re");
  char *text;
  long size = 0;

  if (file == NULL || fseek(file, 0, SEEK_END) != 0 ||
      (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
    example_die(path, strerror(errno));
  text = example_memory((size_t)size);
  if (fread(text, 1, (size_t)size, file) != (size_t)size)
    example_die(path, "it could not be read");
  (void)fclose(file);
  *len = (size_t)size;
  return text;
}

void
example_input(example *e)
{
  char *at, *end;
  size_t count = 0, len;

  if (e->input_path == NULL)
    example_die("usage", "--input is needed");
  e->input = example_read(e->input_path, &len);
  end = e->input + len;
  for (at = e->input; at < end; at++)
    count += *at == '\n';
  e->lines = example_memory((count + 1) * sizeof *e->lines);
  for (at = e->input; at < end;) {
    char *next = memchr(at, '\n', (size_t)(end - at));

    if (next == NULL)
      next = end;
    example_parse(&e->lines[e->line_count++], at, (size_t)(next - at));
    at = next + 1;
  }
}

/* ---- options ------------------------------------------------------------ */

static void
example_usage(int code)
{
  (void)fprintf(code == 0 ? stdout : stderr,
    "Usage: %s --store DIR [--input FILE] [OPTION...]\n"
    "Started again with the same store, it goes on where its last checkpoint\n"
    "was, with any number of subtasks.\n"
    "\n"
    "  --store DIR         where checkpoints are kept\n"
    "  --set KEY=VALUE     a setting of the state backend; any number\n"
    "  --input FILE        an access log in combined format\n"
    "  --subtasks N        parts of the state, 1 to 8 (2)\n"
    "  --every N           inputs between two checkpoints (1000)\n"
    "  --stop-after N      be killed after N inputs\n"
    "  --help\n"
    "\n"
    "Exit codes: 0 the result is right; 1 failure; 2 wrong usage.\n",
    example_name);
  exit(code);
}

static uint64_t
example_number(const char *text, uint64_t max)
{
  char *end;
  uint64_t number = strtoull(text, &end, 10);

  if (end == text || *end != '\0' || number == 0 || number > max)
    example_usage(EXIT_USAGE);
  return number;
}

static void
example_set(example *e, char *text)
{
  char *equals = strchr(text, '=');
  sb_error err;

  if (equals == NULL)
    example_usage(EXIT_USAGE);
  *equals = '\0';
  example_must(sb_config_set(e->config, text, equals + 1, "--set", &err),
               &err);
}

static void
example_options(example *e, int argc, char **argv)
{
  static const struct option longs[] = {
    { "store", required_argument, NULL, 'd' },
    { "set", required_argument, NULL, 's' },
    { "input", required_argument, NULL, 'i' },
    { "subtasks", required_argument, NULL, 'n' },
    { "every", required_argument, NULL, 'e' },
    { "stop-after", required_argument, NULL, 'S' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 }
  };
  sb_error err;
  int c;

  example_must(sb_config_new(&e->config, &err), &err);
  while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
    switch (c) {
    case 'd':
      example_must(sb_config_set(e->config, "state.backend", "local",
                                 "--store", &err), &err);
      example_must(sb_config_set(e->config, "state.backend.local.dir", optarg,
                                 "--store", &err), &err);
      break;
    case 's': example_set(e, optarg); break;
    case 'i': e->input_path = optarg; break;
    case 'n':
      e->subtasks = (uint32_t)example_number(optarg, EXAMPLE_SUBTASKS);
      break;
    case 'e': e->every = example_number(optarg, 1000000000); break;
    case 'S': e->stop_after = example_number(optarg, 1000000000); break;
    case 'h': example_usage(0); break;
    default: example_usage(EXIT_USAGE);
    }
  if (optind != argc)
    example_usage(EXIT_USAGE);
}

/* ---- the job ------------------------------------------------------------ */

static void
example_open_subtask(example *e, uint32_t index,
                     const sb_checkpoint *restored)
{
  sb_keyed_options options = { .struct_size = sizeof options };
  sb_error err;

  options.job = "";
  options.operator_id = "";
  options.subtask = index;
  options.key_group_count = EXAMPLE_KEY_GROUPS;
  (void)sb_key_group_range(EXAMPLE_KEY_GROUPS, e->subtasks, index,
                           &options.key_group_first, &options.key_group_last);
  options.generation = sb_coordinator_generation(e->coordinator);
  if (restored != NULL) {
    options.parts = restored->parts;
    options.part_count = restored->info.part_count;
  }
  example_must(sb_backend_keyed(e->backend, &options, &e->keyed[index], &err),
               &err);
  example_must(sb_context_new(e->keyed[index], sb_host_default(),
                              EXAMPLE_KEY_GROUPS, options.key_group_first,
                              options.key_group_last, &e->contexts[index],
                              &err), &err);
}

/* The blob of a checkpoint: two numbers as text. */
static void
example_restore(example *e, const sb_checkpoint *restored)
{
  char text[64];
  size_t len = restored->blob.len;

  if (len >= sizeof text)
    len = sizeof text - 1;
  memcpy(text, restored->blob.data, len);
  text[len] = '\0';
  if (sscanf(text, "%" SCNu64 " %" SCNd64, &e->position, &e->newest_ms) != 2)
    example_die("restore", "the checkpoint is of another program");
  e->restored = restored->info.id;
}

void
example_open(example *e, const char *name, int argc, char **argv)
{
  sb_coordinator_options options = { .struct_size = sizeof options };
  const sb_checkpoint *restored;
  sb_error err;
  uint32_t i;

  memset(e, 0, sizeof *e);
  e->name = example_name = name;
  e->subtasks = 2;
  e->every = 1000;
  example_options(e, argc, argv);
  example_must(sb_backend_open(e->config, NULL, &e->backend, &err), &err);
  options.subtasks = e->subtasks;
  options.job = "";
  options.job_id = name;
  options.retain = 1;
  example_must(sb_coordinator_open(e->backend, sb_host_default(), &options,
                                   &e->coordinator, &restored, &err), &err);
  if (restored != NULL)
    example_restore(e, restored);
  for (i = 0; i < e->subtasks; i++)
    example_open_subtask(e, i, restored);
}

/* Waits for the checkpoint under way and tells the subtasks. */
static void
example_settle(example *e)
{
  sb_error err;
  uint32_t i;

  if (e->checkpoint != 0)
    example_must(sb_coordinator_wait(e->coordinator, e->checkpoint,
                                     SB_NO_DEADLINE, &err), &err);
  e->checkpoint = 0;
  for (i = 0; i < e->subtasks; i++)
    example_must(sb_coordinator_notify(e->coordinator, i, e->keyed[i], &err),
                 &err);
}

/* The snapshots run in the background while the next inputs are worked on. */
static void
example_checkpoint(example *e)
{
  char text[64];
  sb_error err;
  uint32_t i;
  int len = snprintf(text, sizeof text, "%" PRIu64 " %" PRId64, e->position,
                     e->newest_ms);

  example_settle(e);
  example_must(sb_coordinator_trigger(e->coordinator,
                                      sb_slice_of(text, (size_t)len),
                                      &e->checkpoint, &err), &err);
  for (i = 0; i < e->subtasks; i++)
    example_must(sb_coordinator_snapshot(e->coordinator, e->checkpoint, i,
                                         e->keyed[i], &err), &err);
}

void
example_step(example *e, int64_t time_ms)
{
  e->position++;
  e->steps++;
  if (time_ms > e->newest_ms)
    e->newest_ms = time_ms;
  if (e->steps % e->every == 0)
    example_checkpoint(e);
  if (e->steps == e->stop_after)
    (void)kill(getpid(), SIGKILL);
}

void
example_finish(example *e)
{
  example_checkpoint(e);
  example_settle(e);
}

int
example_close(example *e, int exact)
{
  uint32_t i;

  (void)printf("restored=%" PRIu64 "\nposition=%" PRIu64 "\nexact=%s\n",
               e->restored, e->position, exact ? "yes" : "no");
  sb_coordinator_close(e->coordinator);
  for (i = 0; i < e->subtasks; i++) {
    sb_context_free(e->contexts[i]);
    e->keyed[i]->ops->close(e->keyed[i]);
  }
  sb_backend_close(e->backend);
  sb_config_free(e->config);
  free(e->lines);
  free(e->input);
  return exact ? EXIT_SUCCESS : EXIT_FAILED;
}

/* ---- state -------------------------------------------------------------- */

int64_t
example_watermark(const example *e)
{
  return e->newest_ms - EXAMPLE_LATENESS_MS;
}

uint32_t
example_key(example *e, sb_slice key)
{
  uint32_t group = sb_key_group(sb_hash_bytes(key), EXAMPLE_KEY_GROUPS);
  uint32_t owner = sb_key_group_owner(EXAMPLE_KEY_GROUPS, e->subtasks, group);
  sb_error err;

  example_must(sb_context_set_key(e->contexts[owner], key, &err), &err);
  return owner;
}

void
example_namespace(example *e, uint32_t index, sb_slice ns)
{
  sb_error err;

  example_must(sb_context_set_namespace(e->contexts[index], ns, &err),
               &err);
}

static uint64_t
example_rows_of(sb_context *context, const char *state, uint32_t first,
                uint32_t last)
{
  sb_visitor *visitor;
  const sb_row *rows;
  uint64_t sum = 0;
  size_t count;
  sb_error err;
  sb_status status;

  example_must(sb_visitor_open(context, state, first, last, &visitor, &err),
               &err);
  while ((status = sb_visitor_next(visitor, 256, &rows, &count, &err)) ==
         SB_OK)
    sum += count;
  if (status != SB_END)
    example_must(status, &err);
  sb_visitor_close(visitor);
  return sum;
}

uint64_t
example_rows(example *e, const char *state)
{
  uint32_t i, first, last;
  uint64_t sum = 0;

  for (i = 0; i < e->subtasks; i++) {
    (void)sb_key_group_range(EXAMPLE_KEY_GROUPS, e->subtasks, i, &first,
                             &last);
    sum += example_rows_of(e->contexts[i], state, first, last);
  }
  return sum;
}

uint64_t
example_segment_bytes(example *e)
{
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  uint64_t sum = 0;
  uint32_t i;

  for (i = 0; i < e->subtasks; i++)
    if (e->keyed[i]->ops->stats(e->keyed[i], &stats) == SB_OK)
      sum += stats.segment_bytes;
  return sum;
}
