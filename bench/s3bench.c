/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3bench: what the S3 client does and costs. With a configuration file it
 * writes and reads objects of one size, many at a time, on a real server;
 * "streams" writes as many streams at once and prints the memory that took. The
 * case "cpu" needs no server: it compares the processor time of a small signed
 * request with that of a bare libcurl loop that sends the same bytes.
 */
#include "config.h"

#include <curl/curl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <statebackend/statebackend.h>

#include "bench/s3_sink.h"

typedef struct run_settings {
  const char *config;
  uint64_t size, count;
  unsigned in_flight, rounds;
} run_settings;

typedef struct run run;

typedef struct run_slot {
  run *owner;
  uint64_t number;
  char *buffer;
  sb_slice body;
  char name[64];
} run_slot;

struct run {
  const sb_host *host;
  sb_store *store;
  const run_settings *settings;
  pthread_mutex_t lock;
  pthread_cond_t over;
  uint64_t next, done, failed;
  int is_put;
  char *body;            /* of all that is written */
  run_slot *slots;
};

static void
die(const char *what, const char *why)
{
  (void)fprintf(stderr, "s3bench: %s: %s\n", what, why);
  exit(1);
}

static uint64_t
now_ns(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double
cpu_seconds(void)
{
  struct rusage usage;

  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec
         + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* ---- our side ------------------------------------------------------------- */

static void run_next(run_slot *slot);

static void
run_done(void *arg, const sb_store_result *result)
{
  run_slot *slot = arg;
  run *r = slot->owner;
  int more;

  pthread_mutex_lock(&r->lock);
  r->done++;
  if (result->status != SB_OK && r->failed++ == 0)
    (void)fprintf(stderr, "s3bench: %s\n", result->error->message);
  more = r->next < r->settings->count;
  slot->number = r->next;
  r->next += (uint64_t)more;
  if (r->done == r->settings->count)
    pthread_cond_signal(&r->over);
  pthread_mutex_unlock(&r->lock);
  if (more)
    run_next(slot);
}

static void
run_next(run_slot *slot)
{
  run *r = slot->owner;
  sb_error err;
  sb_status status;

  (void)snprintf(slot->name, sizeof slot->name, "s3bench/%08llu",
                 (unsigned long long)slot->number);
  if (r->is_put) {
    sb_put_request put = {
      .base = { .struct_size = sizeof put, .done = run_done, .arg = slot },
      .name = slot->name, .body = &slot->body, .body_count = 1,
    };

    status = r->store->ops->put(r->store, &put, NULL, &err);
  } else {
    sb_get_request get = {
      .base = { .struct_size = sizeof get, .done = run_done, .arg = slot },
      .name = slot->name, .buffer = slot->buffer,
      .length = r->settings->size,
    };

    status = r->store->ops->get(r->store, &get, NULL, &err);
  }
  if (status != SB_OK)
    die(slot->name, err.message);
}

/* ---- streams: what uploads hold in memory --------------------------------- */

#define STREAM_PIECE (256u << 10)

typedef struct stream_slot {
  run *owner;
  sb_stream *stream;
  uint64_t written;
  sb_slice piece;
  char name[64];
} stream_slot;

static void
stream_over(void *arg, const sb_store_result *result)
{
  stream_slot *slot = arg;
  run *r = slot->owner;

  pthread_mutex_lock(&r->lock);
  r->done++;
  if (result->status != SB_OK && r->failed++ == 0)
    (void)fprintf(stderr, "s3bench: %s\n", result->error->message);
  pthread_cond_signal(&r->over);
  pthread_mutex_unlock(&r->lock);
}

static void
stream_next(void *arg, const sb_store_result *result)
{
  stream_slot *slot = arg;
  run *r = slot->owner;
  sb_error err;
  sb_status status;

  if (result != NULL && result->status != SB_OK)
    die(slot->name, result->error->message);
  if (slot->written < r->settings->size) {
    sb_write_request write = {
      .base = { .struct_size = sizeof write, .done = stream_next, .arg = slot,
                .deadline_ns = SB_NO_DEADLINE },
      .body = &slot->piece, .body_count = 1,
    };

    slot->written += slot->piece.len;
    status = r->store->ops->put_write(r->store, slot->stream, &write, &err);
  } else {
    sb_request commit = { .struct_size = sizeof commit, .done = stream_over,
                          .arg = slot };

    status = r->store->ops->put_commit(r->store, slot->stream, &commit, &err);
  }
  if (status != SB_OK)
    die(slot->name, err.message);
}

static uint64_t
peak_kib(void)
{
  struct rusage usage;

  getrusage(RUSAGE_SELF, &usage);
  return (uint64_t)usage.ru_maxrss;
}

/* `in_flight` streams of `size` bytes at once. */
static void
run_streams(run *r)
{
  const run_settings *s = r->settings;
  stream_slot *slots = calloc(s->in_flight, sizeof *slots);
  uint64_t before = peak_kib(), start = now_ns();
  unsigned i;
  sb_error err;

  if (slots == NULL)
    die("streams", "out of memory");
  for (i = 0; i < s->in_flight; i++) {
    sb_stream_request open = { .struct_size = sizeof open,
                               .name = slots[i].name };

    slots[i].owner = r;
    slots[i].piece = sb_slice_of(r->body, STREAM_PIECE);
    (void)snprintf(slots[i].name, sizeof slots[i].name, "s3bench/s%06u", i);
    if (r->store->ops->put_open(r->store, &open, &slots[i].stream, &err)
        != SB_OK)
      die(slots[i].name, err.message);
  }
  for (i = 0; i < s->in_flight; i++)
    stream_next(&slots[i], NULL);
  pthread_mutex_lock(&r->lock);
  while (r->done < s->in_flight)
    pthread_cond_wait(&r->over, &r->lock);
  pthread_mutex_unlock(&r->lock);
  printf("case=streams streams=%u size=%llu failed=%llu seconds=%.2f "
         "resident_before_mib=%.1f resident_peak_mib=%.1f grown_mib=%.1f\n",
         s->in_flight, (unsigned long long)s->size,
         (unsigned long long)r->failed, (double)(now_ns() - start) * 1e-9,
         (double)before / 1024, (double)peak_kib() / 1024,
         (double)(peak_kib() - before) / 1024);
  free(slots);
}

static void
run_slots_make(run *r)
{
  unsigned i;
  uint64_t at;

  r->slots = calloc(r->settings->in_flight, sizeof *r->slots);
  r->body = malloc(r->settings->size + 1);
  if (r->slots == NULL || r->body == NULL)
    die("slots", "out of memory");
  for (at = 0; at < r->settings->size && at < 1 << 20; at++)
    r->body[at] = (char)(at * 2654435761u >> 13);
  for (; at < r->settings->size; at++)
    r->body[at] = r->body[at - (1 << 20)];
  for (i = 0; i < r->settings->in_flight; i++) {
    run_slot *slot = &r->slots[i];

    slot->owner = r;
    slot->buffer = malloc(r->settings->size + 1);
    if (slot->buffer == NULL)
      die("buffers", "out of memory");
    slot->body = sb_slice_of(r->body, r->settings->size);
  }
}

static void
run_slots_free(run *r)
{
  unsigned i;

  for (i = 0; i < r->settings->in_flight; i++)
    free(r->slots[i].buffer);
  free(r->slots);
  free(r->body);
}

static void
run_all(run *r)
{
  unsigned i, width = r->settings->in_flight;

  if (width > r->settings->count)
    width = (unsigned)r->settings->count;
  r->done = r->failed = 0;
  r->next = width;
  for (i = 0; i < width; i++) {
    r->slots[i].number = i;
    run_next(&r->slots[i]);
  }
  pthread_mutex_lock(&r->lock);
  while (r->done < r->settings->count)
    pthread_cond_wait(&r->over, &r->lock);
  pthread_mutex_unlock(&r->lock);
}

static void
run_print(const run *r, const char *name, double seconds, double cpu)
{
  const run_settings *s = r->settings;

  printf("case=%s objects=%llu size=%llu in_flight=%u failed=%llu "
         "seconds=%.3f objects_per_second=%.0f mib_per_second=%.1f "
         "cpu_seconds=%.3f cpu_us_per_object=%.1f\n",
         name, (unsigned long long)s->count, (unsigned long long)s->size,
         s->in_flight, (unsigned long long)r->failed, seconds,
         (double)s->count / seconds,
         (double)s->count * (double)s->size / 1048576.0 / seconds, cpu,
         cpu * 1e6 / (double)s->count);
  (void)fflush(stdout);
}

static double
run_case(run *r, const char *name, int is_put, int print)
{
  double cpu = cpu_seconds();
  uint64_t start = now_ns();

  r->is_put = is_put;
  run_all(r);
  cpu = cpu_seconds() - cpu;
  if (print)
    run_print(r, name, (double)(now_ns() - start) * 1e-9, cpu);
  return cpu;
}

static sb_backend *
run_open(run *r, sb_config *config)
{
  sb_backend *backend;
  sb_error err;

  if (sb_backend_open(config, NULL, &backend, &err) != SB_OK)
    die("could not open", err.message);
  r->host = sb_host_default();
  r->store = backend->ops->store(backend);
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->over, NULL);
  run_slots_make(r);
  return backend;
}

static void
case_server(const run_settings *settings, const char *name)
{
  run r = { .settings = settings };
  sb_config *config;
  sb_backend *backend;
  sb_error err;
  int is_put = strcmp(name, "get") != 0;

  if (settings->config == NULL)
    die(name, "needs a configuration file");
  if (sb_config_new(&config, &err) != SB_OK
      || sb_config_load(config, settings->config, &err) != SB_OK)
    die(settings->config, err.message);
  backend = run_open(&r, config);
  if (strcmp(name, "streams") == 0)
    run_streams(&r);
  else
    (void)run_case(&r, name, is_put, 1);
  run_slots_free(&r);
  sb_backend_close(backend);
  sb_config_free(config);
}

/* ---- the bare loop ---------------------------------------------------------- */

static size_t
bare_discard(char *data, size_t size, size_t count, void *arg)
{
  size_t len = size * count;

  memcpy(arg, data, len < 4096 ? len : 4096);
  return len;
}

/* As many headers, as long as ours, but nothing is computed. */
static struct curl_slist *
bare_headers(void)
{
  static const char *const lines[] = {
    "x-amz-checksum-crc32c: AAAAAA==",
    "x-amz-date: 20150830T123600Z",
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca"
    "495991b7852b855",
    "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/"
    "us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-checksum-crc32c;"
    "x-amz-content-sha256;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfb"
    "a6789a8edb4c82c400e06b5924a6f2b5d7",
    "accept:", "content-type:", "expect:",
  };
  struct curl_slist *list = NULL;
  size_t i;

  for (i = 0; i < sizeof lines / sizeof lines[0]; i++)
    list = curl_slist_append(list, lines[i]);
  return list;
}

static void
bare_start(CURLM *multi, CURL *easy, const char *base, uint64_t number)
{
  char url[128];

  (void)snprintf(url, sizeof url, "%s/bucket/s3bench/%08llu", base,
                 (unsigned long long)number);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  (void)curl_multi_add_handle(multi, easy);
}

static CURL *
bare_handle(const run_settings *s, int is_put, struct curl_slist *headers,
            char *buffer)
{
  CURL *easy = curl_easy_init();

  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "statebackend/0.1.0");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, bare_discard);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, buffer);
  if (is_put) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buffer);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->size);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
  }
  return easy;
}

static double
bare_run(const run_settings *s, const char *base, int is_put)
{
  struct curl_slist *headers = bare_headers();
  CURLM *multi = curl_multi_init();
  char *buffer = calloc(1, s->size + 4096);
  uint64_t next = 0, done = 0;
  double cpu = cpu_seconds();
  int running, left;

  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)s->in_flight);
  while (next < s->in_flight)
    bare_start(multi, bare_handle(s, is_put, headers, buffer), base, next++);
  while (done < s->count) {
    CURLMsg *message;

    (void)curl_multi_perform(multi, &running);
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
      CURL *easy = message->easy_handle;

      done++;
      if (message->data.result != CURLE_OK)
        die("bare loop", curl_easy_strerror(message->data.result));
      (void)curl_multi_remove_handle(multi, easy);
      if (next < s->count)
        bare_start(multi, easy, base, next++);
      else
        curl_easy_cleanup(easy);
    }
    if (done < s->count)
      (void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
  }
  cpu = cpu_seconds() - cpu;
  (void)curl_multi_cleanup(multi);
  curl_slist_free_all(headers);
  free(buffer);
  return cpu;
}

static int
by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

static void
cpu_compare(run *r, const char *base, int is_put)
{
  const run_settings *s = r->settings;
  double ours[16], bare[16], ratio[16];
  unsigned i, rounds = s->rounds > 16 ? 16 : s->rounds;

  for (i = 0; i < rounds; i++) {
    ours[i] = run_case(r, "", is_put, 0);
    bare[i] = bare_run(s, base, is_put);
    ratio[i] = ours[i] / bare[i];
  }
  if (r->failed != 0)
    die("cpu", "requests failed");
  qsort(ours, rounds, sizeof ours[0], by_size);
  qsort(bare, rounds, sizeof bare[0], by_size);
  qsort(ratio, rounds, sizeof ratio[0], by_size);
  printf("case=cpu_%s size=%llu in_flight=%u rounds=%u ours_us=%.2f "
         "bare_us=%.2f ratio=%.2f\n", is_put ? "put" : "get",
         (unsigned long long)s->size, s->in_flight, rounds,
         ours[rounds / 2] * 1e6 / (double)s->count,
         bare[rounds / 2] * 1e6 / (double)s->count, ratio[rounds / 2]);
}

static void
case_cpu(const run_settings *settings)
{
  static const char *const pairs[][2] = {
    { "state.backend", "s3" }, { "state.backend.s3.bucket", "bucket" },
    { "state.backend.s3.open-check", "none" },
    { "state.backend.s3.conditional-writes", "match" },
    { "aws.region", "us-east-1" }, { "aws.credentials.provider", "BASIC" },
    { "aws.credentials.provider.basic.accesskeyid", "AKIDEXAMPLE" },
    { "aws.credentials.provider.basic.secretkey", "no-secret" },
    { "state.backend.s3.max-connections", "256" },
  };
  run r = { .settings = settings };
  char base[64];
  sb_config *config;
  sb_backend *backend;
  sb_error err;
  size_t i;
  int port;
  pid_t sink = s3_sink_start(settings->size, &port);

  if (sink < 0 || sb_config_new(&config, &err) != SB_OK)
    die("cpu", "could not start");
  (void)snprintf(base, sizeof base, "http://127.0.0.1:%d", port);
  for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
    (void)sb_config_set(config, pairs[i][0], pairs[i][1], NULL, &err);
  (void)sb_config_set(config, "aws.endpoint", base, NULL, &err);
  backend = run_open(&r, config);
  cpu_compare(&r, base, 1);
  cpu_compare(&r, base, 0);
  run_slots_free(&r);
  sb_backend_close(backend);
  sb_config_free(config);
  s3_sink_stop(sink);
}

int
main(int argc, char **argv)
{
  static const struct option options[] = {
    { "size", required_argument, NULL, 's' },
    { "count", required_argument, NULL, 'n' },
    { "in-flight", required_argument, NULL, 'i' },
    { "rounds", required_argument, NULL, 'r' },
    { "config", required_argument, NULL, 'c' },
    { NULL, 0, NULL, 0 },
  };
  run_settings settings = { .size = 4096, .count = 20000, .in_flight = 128,
                            .rounds = 5 };
  int option;

  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
    switch (option) {
    case 's':
      settings.size = strtoull(optarg, NULL, 10);
      break;
    case 'n':
      settings.count = strtoull(optarg, NULL, 10);
      break;
    case 'i':
      settings.in_flight = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 'r':
      settings.rounds = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 'c':
      settings.config = optarg;
      break;
    default:
      return 2;
    }
  if (optind == argc || settings.in_flight == 0 || settings.count == 0)
    die("usage", "s3bench [--config FILE] [--size BYTES] [--count N] "
                 "[--in-flight N] [--rounds N] put|get|streams|cpu...");
  for (; optind < argc; optind++)
    if (strcmp(argv[optind], "cpu") == 0)
      case_cpu(&settings);
    else
      case_server(&settings, argv[optind]);
  return 0;
}
