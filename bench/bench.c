/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench [OPTION]... [CASE]...: runs cases, all if none is named, and prints
 * one line for each. See bench.h.
 */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

bench_settings bench = {
  .keys = 2000000,
  .operations = 2000000,
  .value_size = 100,
  .rounds = 3,
  .round_seconds = 1.5,
  .scale = 1.0,
  .gigabytes = 0.5,
  .seconds = 20.0,
  .memory = "2gb",
  .only = "",
  .timers = 1000000,
};

static const bench_case cases[] = {
  { "hot_rmw", case_hot_rmw, "read-modify-write of records in memory" },
  { "put_new", case_put_new, "puts of keys not seen before" },
  { "get_record", case_get_record, "gets of records in memory" },
  { "batch_get", case_batch_get, "gets in batches, against single gets" },
  { "get_segment", case_get_segment, "gets from cached segments" },
  { "scan", case_scan, "all rows of a state in segments" },
  { "barrier_pause", case_barrier_pause, "what a checkpoint stops" },
  { "flush", case_flush, "dirty records to segments, a second of CPU" },
  { "requests_per_checkpoint", case_requests_per_checkpoint,
    "writes to the store, one key changed" },
  { "restore_first_record", case_restore_first_record,
    "from nothing to the first value read" },
  { "resident_memory", case_resident_memory,
    "peak under a budget of 256 MiB, values checked" },
  { "timers", case_timers, "timers added and taken in order, little memory" },
  { "kinds", case_kinds, "all kinds of state, as Flink's micro-benchmarks" },
  { "reduce", case_reduce, "reducing add, against value get and put" },
  { "namespace_keys", case_namespace_keys,
    "keys of one namespace of many, against a state of its own" },
  { "visitor", case_visitor, "updates while all records are visited" },
};
#define CASE_COUNT (sizeof cases / sizeof cases[0])

void
bench_die(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  fputs("bench: ", stderr);
  vfprintf(stderr, format, args);
  putc('\n', stderr);
  va_end(args);
  exit(1);
}

void
bench_check(sb_status status, const sb_error *err, const char *doing)
{
  if (status != SB_OK)
    bench_die("%s: %s (%s)", doing, err->message, sb_status_name(status));
}

static uint64_t
bench_clock(clockid_t id)
{
  struct timespec now;

  (void)clock_gettime(id, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
bench_now_ns(void)
{
  return bench_clock(CLOCK_MONOTONIC);
}

uint64_t
bench_cpu_ns(void)
{
  return bench_clock(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t
bench_resident(void)
{
  FILE *file = fopen("/proc/self/statm", "r");
  uint64_t total = 0, resident = 0;

  if (file == NULL)
    return 0;
  if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
    resident = 0;
  fclose(file);
  return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
bench_mix(uint64_t x)
{
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

uint64_t
bench_next(bench_random *random)
{
  random->state += 0x9E3779B97F4A7C15ull;
  return bench_mix(random->state);
}

void
bench_key(uint64_t id, uint8_t key[BENCH_KEY])
{
  uint64_t mixed = bench_mix(id);

  memcpy(key, &mixed, 8);
  memcpy(key + 8, &id, 8);
}

uint32_t
bench_key_group(const uint8_t key[BENCH_KEY])
{
  return sb_key_group(sb_hash_bytes(sb_slice_of(key, BENCH_KEY)),
                      BENCH_GROUPS);
}

void
bench_value(uint64_t id, uint64_t counter, uint8_t *value, uint32_t size)
{
  bench_random random = { id * 31 + counter };
  uint64_t word;
  uint32_t i, half = 8 + (size > 8 ? (size - 8) / 2 : 0);

  memset(value, 'a' + (int)(id % 16), size);
  memcpy(value, &counter, size < 8 ? size : 8);
  for (i = half; i < size; i += 8) {
    word = bench_next(&random);
    memcpy(value + i, &word, size - i < 8 ? size - i : 8);
  }
}

#define BENCH_STEP 4096u

double
bench_rate(bench_step *step, void *arg, uint64_t operations)
{
  uint64_t done = 0, count, start = bench_now_ns(), now = start;
  uint64_t limit = (uint64_t)(bench.round_seconds * 1e9);

  while (done < operations && now - start < limit) {
    count = operations - done < BENCH_STEP ? operations - done : BENCH_STEP;
    step(arg, done, count);
    done += count;
    now = bench_now_ns();
  }
  return (double)done / ((double)(now - start) / 1e9);
}

const char *
bench_path(const char *format, ...)
{
  static char ring[8][512];
  static unsigned next;
  char *path = ring[next++ % 8];
  int len = snprintf(path, 512, "%s/", bench.dir);
  va_list args;

  va_start(args, format);
  (void)vsnprintf(path + len, 512 - (size_t)len, format, args);
  va_end(args);
  return path;
}

static int
bench_remove_entry(const char *path, const struct stat *info, int type,
                   struct FTW *ftw)
{
  (void)info;
  (void)type;
  (void)ftw;
  return remove(path);
}

void
bench_remove_tree(const char *path)
{
  (void)nftw(path, bench_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- results ------------------------------------------------------------ */

void
bench_add(bench_series *series, double value)
{
  if (series->count < BENCH_ROUNDS_MAX)
    series->values[series->count++] = value;
}

static int
bench_compare(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

double
bench_median(const bench_series *series)
{
  double sorted[BENCH_ROUNDS_MAX];

  if (series->count == 0)
    return 0;
  memcpy(sorted, series->values, sizeof sorted);
  qsort(sorted, series->count, sizeof sorted[0], bench_compare);
  return sorted[series->count / 2];
}

void
bench_print(const char *name, double our_value, const char *peer,
            double peer_value, const char *unit, int higher,
            const char *extra)
{
  double ratio = higher ? our_value / peer_value : peer_value / our_value;

  printf("case=%s ours=%.4g ", name, our_value);
  if (peer == NULL)
    printf("peer=none peer_value=0 ratio=0 ");
  else
    printf("peer=%s peer_value=%.4g ratio=%.2f ", peer, peer_value, ratio);
  printf("unit=%s%s%s\n", unit, extra == NULL ? "" : " ",
         extra == NULL ? "" : extra);
  fflush(stdout);
}

/* ---- command line ------------------------------------------------------- */

static void
bench_usage(FILE *to)
{
  size_t i;

  fputs("usage: bench [OPTION]... [CASE]...\n\ncases:\n", to);
  for (i = 0; i < CASE_COUNT; i++)
    fprintf(to, "  %-24s %s\n", cases[i].name, cases[i].help);
  fputs("\noptions:\n"
        "  --dir DIR      scratch directory (a new one in /dev/shm or /tmp)\n"
        "  --scale X      times 2,000,000 keys and operations (1)\n"
        "  --round-seconds X  a round's limit (1.5)\n"
        "  --rounds N     rounds of each side, odd (3)\n"
        "  --alone        our side only, for profiling\n"
        "  --only PREFIX  of the operations of kinds, such as list_\n"
        "  --value-size N bytes of a value (100)\n"
        "  --memory SIZE  our budget in cases that stay in memory (2gb)\n"
        "  --timers N     timers of that case (1000000)\n"
        "  --gb X         raw state of resident_memory (0.5)\n"
        "  --seconds X    of updates in resident_memory (20)\n", to);
}

static double
bench_number(const char *text, double min, double max)
{
  char *end;
  double value = strtod(text, &end);

  if (*text == '\0' || *end != '\0' || !(value >= min && value <= max)) {
    fprintf(stderr, "bench: '%s' is not a number from %g to %g\n", text, min,
            max);
    exit(2);
  }
  return value;
}

static void
bench_options(int argc, char **argv)
{
  static const struct option options[] = {
    { "dir", required_argument, NULL, 'd' },
    { "scale", required_argument, NULL, 's' },
    { "round-seconds", required_argument, NULL, 'l' },
    { "rounds", required_argument, NULL, 'r' },
    { "value-size", required_argument, NULL, 'v' },
    { "memory", required_argument, NULL, 'm' },
    { "gb", required_argument, NULL, 'g' },
    { "seconds", required_argument, NULL, 't' },
    { "timers", required_argument, NULL, 'T' },
    { "alone", no_argument, NULL, 'a' },
    { "only", required_argument, NULL, 'o' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
  };
  int c;

  while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
    switch (c) {
    case 'd':
      bench.dir = optarg;
      break;
    case 's':
      bench.scale = bench_number(optarg, 1e-5, 1000);
      break;
    case 'r':
      bench.rounds = (uint32_t)bench_number(optarg, 1, BENCH_ROUNDS_MAX);
      break;
    case 'l':
      bench.round_seconds = bench_number(optarg, 0.01, 3600);
      break;
    case 'v':
      bench.value_size = (uint32_t)bench_number(optarg, 8, 65536);
      break;
    case 'm':
      bench.memory = optarg;
      break;
    case 'g':
      bench.gigabytes = bench_number(optarg, 0.001, 1000);
      break;
    case 't':
      bench.seconds = bench_number(optarg, 0.1, 1e6);
      break;
    case 'T':
      bench.timers = (uint64_t)bench_number(optarg, 1, 1e9);
      break;
    case 'a':
      bench.alone = 1;
      break;
    case 'o':
      bench.only = optarg;
      break;
    case 'h':
      bench_usage(stdout);
      exit(0);
    default:
      bench_usage(stderr);
      exit(2);
    }
}

static char bench_scratch[64];
static pid_t bench_parent; /* cases are children, which leave it be */

static void
bench_cleanup(void)
{
  if (getpid() == bench_parent)
    bench_remove_tree(bench_scratch);
}

static void
bench_make_dir(void)
{
  if (bench.dir != NULL) {
    if (mkdir(bench.dir, 0700) != 0 && access(bench.dir, W_OK) != 0)
      bench_die("cannot use directory '%s'", bench.dir);
    return;
  }
  strcpy(bench_scratch, access("/dev/shm", W_OK) == 0
                          ? "/dev/shm/sb-bench-XXXXXX"
                          : "/tmp/sb-bench-XXXXXX");
  if (mkdtemp(bench_scratch) == NULL)
    bench_die("could not make a scratch directory");
  bench_parent = getpid();
  bench.dir = bench_scratch;
  (void)atexit(bench_cleanup);
}

static const bench_case *
bench_find(const char *name)
{
  size_t i;

  for (i = 0; i < CASE_COUNT; i++)
    if (strcmp(cases[i].name, name) == 0)
      return &cases[i];
  fprintf(stderr, "bench: there is no case '%s'\n", name);
  exit(2);
}

/* Each case in a process of its own, so that none inherits threads, caches or
   a heap from the one before. */
static int
bench_run(const bench_case *c)
{
  int status = 0;
  pid_t child;

  fflush(stdout);
  child = fork();
  if (child < 0)
    bench_die("could not start a process");
  if (child == 0) {
    c->run();
    fflush(stdout);
    _exit(ferror(stdout) ? 1 : 0);
  }
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  if (WIFSIGNALED(status))
    fprintf(stderr, "bench: case %s was killed by signal %d\n", c->name,
            WTERMSIG(status));
  else if (status != 0)
    fprintf(stderr, "bench: case %s failed\n", c->name);
  return status == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
  int k, failed = 0;
  size_t i;

  bench_options(argc, argv);
  for (k = optind; k < argc; k++)
    (void)bench_find(argv[k]);
  bench.keys = (uint64_t)((double)bench.keys * bench.scale);
  bench.operations = (uint64_t)((double)bench.operations * bench.scale);
  bench_make_dir();
  for (k = optind; k < argc; k++)
    failed |= bench_run(bench_find(argv[k]));
  for (i = 0; optind == argc && i < CASE_COUNT; i++)
    failed |= bench_run(&cases[i]);
  return failed;
}
