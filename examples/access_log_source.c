/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source: reads lines, computes the watermark, hands each line to the
 * subtask that owns its address's key group, and sends the barriers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "access_log.h"

#define READ_SIZE (1u << 20)
#define FINAL_ATTEMPTS 5

typedef struct source {
  job *job;
  int fd;
  position at;
  uint64_t variants;          /* of each address; see source_address */
  char *buffer;
  size_t start, len;          /* unread bytes in the buffer */
  int eof;
  batch *open[SUBTASKS_MAX];  /* being filled */
  uint64_t next_lines;        /* a checkpoint is due at this line, */
  uint64_t next_ns;           /* or at this time */
  uint64_t started_ns, started_lines; /* for the rate */
  char address[ADDRESS_MAX + 32];
} source;

/* ---- towards the subtasks ----------------------------------------------- */

static int64_t
source_watermark(const source *s)
{
  return s->at.newest_ms == INT64_MIN ? INT64_MIN
                                      : s->at.newest_ms - LATENESS_MS;
}

static int
source_flush(source *s, uint32_t index)
{
  batch *item = s->open[index];

  if (item == NULL)
    return 0;
  s->open[index] = NULL;
  item->watermark_ms = source_watermark(s);
  return queue_push(&s->job->subtasks[index].queue, item);
}

/* An item for every subtask, behind all hits so far. */
static int
source_broadcast(source *s, int kind, uint64_t checkpoint)
{
  uint32_t i;

  for (i = 0; i < s->job->settings.subtasks; i++) {
    batch *item = batch_new(kind, 0);

    if (item == NULL || source_flush(s, i) != 0) {
      free(item);
      return -1;
    }
    item->checkpoint = checkpoint;
    if (queue_push(&s->job->subtasks[i].queue, item) != 0)
      return -1;
  }
  return 0;
}

/* With --repeat, later readings have other addresses, so that state grows;
   each address comes back half-way, so that old state is read again. */
static size_t
source_address(source *s, const log_line *line)
{
  unsigned long long variant = s->at.repeat % s->variants;
  size_t len = line->address_len;

  memcpy(s->address, line->address, len);
  if (variant != 0)
    len += (size_t)snprintf(s->address + len, sizeof s->address - len,
                            "-%llu", variant);
  return len;
}

static int
source_emit(source *s, const log_line *line, int64_t time_ms)
{
  size_t address_len = source_address(s, line);
  size_t size = sizeof (hit) + address_len + line->path_len;
  int32_t hash = sb_hash_bytes(sb_slice_of(s->address, address_len));
  uint32_t index = sb_key_group_owner(KEY_GROUPS, s->job->settings.subtasks,
                                      sb_key_group(hash, KEY_GROUPS));
  batch *item = s->open[index];
  hit *h;

  size = (size + 7) & ~(size_t)7;
  if (item != NULL && item->len + size > BATCH_SIZE) {
    if (source_flush(s, index) != 0)
      return -1;
    item = NULL;
  }
  if (item == NULL) {
    item = s->open[index] = batch_new(ITEM_HITS, BATCH_SIZE);
    if (item == NULL)
      return -1;
  }
  h = (hit *)(void *)(item->data + item->len);
  h->time_ms = time_ms;
  h->bytes = line->bytes;
  h->hash = hash;
  h->status = (uint16_t)line->status;
  h->address_len = (uint16_t)address_len;
  h->path_len = (uint16_t)line->path_len;
  h->watermark_ms = source_watermark(s);
  h->reserved = 0;
  memcpy(h + 1, s->address, address_len);
  memcpy((char *)(h + 1) + address_len, line->path, line->path_len);
  item->len += size;
  s->at.late += time_ms <= h->watermark_ms;
  return 0;
}

static int
source_line(source *s, const char *text, size_t len)
{
  log_line line;
  int64_t time_ms;

  s->at.lines++;
  if (log_line_parse(text, len, &line) != 0) {
    s->at.malformed++;
    return 0;
  }
  if (s->at.repeat == 0) {
    if (line.time_ms < s->at.first_ms)
      s->at.first_ms = line.time_ms;
    if (line.time_ms > s->at.last_ms)
      s->at.last_ms = line.time_ms;
  }
  time_ms = line.time_ms;
  if (s->at.repeat != 0)
    time_ms += (int64_t)s->at.repeat * (s->at.last_ms - s->at.first_ms + 1000);
  if (source_emit(s, &line, time_ms) != 0)
    return -1;
  if (time_ms > s->at.newest_ms)
    s->at.newest_ms = time_ms;
  return 0;
}

/* ---- checkpoints -------------------------------------------------------- */

static void
source_schedule(source *s)
{
  const settings *set = &s->job->settings;

  s->next_lines = set->every_lines == 0 ? UINT64_MAX
                                        : s->at.lines + set->every_lines;
  s->next_ns = set->every_ms == 0
                 ? UINT64_MAX
                 : s->job->host->monotonic_ns(s->job->host) +
                     set->every_ms * 1000000;
}

static const struct timespec source_pause = { .tv_nsec = 2000000 };

/* SB_BUSY while the last one is under way. */
static sb_status
source_checkpoint(source *s, uint64_t *id, sb_error *err)
{
  job *j = s->job;
  sb_status status = sb_coordinator_trigger(j->coordinator,
                                            sb_slice_of("", 0), id, err);

  if (status != SB_OK)
    return status;
  pthread_mutex_lock(&j->lock);
  j->position = s->at;
  j->barrier = *id;
  j->arrived = 0;
  pthread_mutex_unlock(&j->lock);
  if (source_broadcast(s, ITEM_BARRIER, *id) != 0)
    return sb_error_set(err, SB_CANCELLED, "the job is ending");
  return SB_OK;
}

/* By time, a checkpoint that is due while another is under way is left out; by
   lines, it is waited for, so that their number does not depend on the
   machine. */
static sb_status
source_checkpoint_if_due(source *s, sb_error *err)
{
  sb_status status;
  uint64_t id;

  if (s->at.lines < s->next_lines &&
      (s->next_ns == UINT64_MAX ||
       s->job->host->monotonic_ns(s->job->host) < s->next_ns))
    return SB_OK;
  status = source_checkpoint(s, &id, err);
  while (status == SB_BUSY && s->next_lines != UINT64_MAX &&
         !atomic_load(&s->job->failed)) {
    (void)nanosleep(&source_pause, NULL);
    status = source_checkpoint(s, &id, err);
  }
  source_schedule(s);
  return status == SB_BUSY ? SB_OK : status;
}

/* The last checkpoint must succeed: it makes the last results final. */
static sb_status
source_final_checkpoint(source *s, sb_error *err)
{
  sb_status status = SB_BUSY;
  int attempts = 0;
  uint64_t id;

  while (attempts < FINAL_ATTEMPTS && !atomic_load(&s->job->failed)) {
    status = source_checkpoint(s, &id, err);
    if (status == SB_BUSY) {
      (void)nanosleep(&source_pause, NULL);
      continue;
    }
    if (status == SB_OK)
      status = sb_coordinator_wait(s->job->coordinator, id, SB_NO_DEADLINE,
                                   err);
    if (status == SB_OK || status == SB_FENCED)
      break;
    attempts++;
  }
  return status;
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
source_io_error(const source *s, sb_error *err)
{
  return sb_error_set(err, SB_IO, "could not read \"%s\": %s",
                      s->job->settings.input, strerror(errno));
}

static sb_status
source_fill(source *s, sb_error *err)
{
  ssize_t n;

  memmove(s->buffer, s->buffer + s->start, s->len);
  s->start = 0;
  do
    n = read(s->fd, s->buffer + s->len, READ_SIZE - s->len);
  while (n < 0 && errno == EINTR && !atomic_load(&s->job->stop));
  if (n < 0)
    return errno == EINTR ? SB_OK : source_io_error(s, err);
  s->eof = n == 0;
  s->len += (size_t)n;
  return SB_OK;
}

/* One reading of the input is over: from the start again, or done. */
static sb_status
source_rewind(source *s, int *more, sb_error *err)
{
  s->at.repeat++;
  s->at.offset = 0;
  s->eof = 0;
  *more = s->at.repeat < s->job->settings.repeat;
  if (*more && lseek(s->fd, 0, SEEK_SET) < 0)
    return source_io_error(s, err);
  return SB_OK;
}

/* The next line, without its end; NULL at the end of all readings. A line
   longer than the buffer comes as its parts, malformed each. */
static sb_status
source_next(source *s, const char **text, size_t *len, sb_error *err)
{
  sb_status status = SB_OK;
  int more = 1;
  char *end = NULL;

  *text = NULL;
  while (status == SB_OK && more && !atomic_load(&s->job->stop)) {
    end = s->len == 0 ? NULL : memchr(s->buffer + s->start, '\n', s->len);
    if (end == NULL && !s->eof && s->len < READ_SIZE) {
      status = source_fill(s, err);
      continue;
    }
    if (s->len == 0) {
      status = source_rewind(s, &more, err);
      continue;
    }
    *text = s->buffer + s->start;
    *len = end == NULL ? s->len : (size_t)(end - *text);
    more = 0;
  }
  if (*text != NULL) {
    size_t used = *len + (end == NULL ? 0 : 1);

    s->start += used;
    s->len -= used;
    s->at.offset += used;
  }
  return status;
}

static void
source_keep_rate(source *s)
{
  const sb_host *host = s->job->host;
  uint64_t lines = s->at.lines - s->started_lines;
  uint64_t due = lines * 1000000 / s->job->settings.rate * 1000;
  uint64_t gone = host->monotonic_ns(host) - s->started_ns;
  struct timespec pause;

  if (gone >= due)
    return;
  pause.tv_sec = (time_t)((due - gone) / 1000000000);
  pause.tv_nsec = (long)((due - gone) % 1000000000);
  (void)nanosleep(&pause, NULL);
}

/* From time to time: progress, rate, checkpoints by time. */
static sb_status
source_lines(source *s, sb_error *err)
{
  const char *text;
  size_t len;
  sb_status status;

  for (;;) {
    status = source_next(s, &text, &len, err);
    if (status != SB_OK || text == NULL)
      return status;
    if (source_line(s, text, len) != 0)
      return sb_error_set(err, SB_CANCELLED, "the job is ending");
    if (s->at.lines % 64 != 0 && s->at.lines < s->next_lines)
      continue;
    atomic_store_explicit(&s->job->lines, s->at.lines, memory_order_relaxed);
    if (s->job->settings.rate != 0)
      source_keep_rate(s);
    status = source_checkpoint_if_due(s, err);
    if (status != SB_OK)
      return status;
  }
}

/* Input that cannot be positioned, such as a pipe, is read up to the place. */
static sb_status
source_skip(source *s, sb_error *err)
{
  uint64_t left = s->at.offset;

  if (left == 0 || lseek(s->fd, (off_t)left, SEEK_SET) >= 0)
    return SB_OK;
  while (left > 0) {
    size_t want = left < READ_SIZE ? (size_t)left : READ_SIZE;
    ssize_t n = read(s->fd, s->buffer, want);

    if (n == 0)
      return sb_error_set(err, SB_INVALID, "cannot go on: \"%s\" is shorter "
                          "than what was read before", s->job->settings.input);
    if (n < 0 && errno != EINTR)
      return source_io_error(s, err);
    left -= n < 0 ? 0 : (uint64_t)n;
  }
  return SB_OK;
}

static sb_status
source_open(source *s, sb_error *err)
{
  const settings *set = &s->job->settings;
  int from_stdin = strcmp(set->input, "-") == 0;

  s->variants = (set->repeat + 1) / 2;
  s->buffer = malloc(READ_SIZE);
  if (s->buffer == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read: out of memory");
  s->fd = from_stdin ? STDIN_FILENO
                     : open(set->input, O_RDONLY | O_CLOEXEC);
  if (s->fd < 0)
    return source_io_error(s, err);
  return source_skip(s, err);
}

static sb_status
source_work(source *s, sb_error *err)
{
  job *j = s->job;
  sb_status status = source_open(s, err);

  s->started_ns = j->host->monotonic_ns(j->host);
  s->started_lines = s->at.lines;
  source_schedule(s);
  job_write_stats(j, "reading");
  if (status == SB_OK)
    status = source_lines(s, err);
  atomic_store(&j->lines, s->at.lines);
  job_write_stats(j, "draining");
  if (status == SB_OK && !atomic_load(&j->stop)) {
    if (source_broadcast(s, ITEM_END, 0) != 0)
      return sb_error_set(err, SB_CANCELLED, "the job is ending");
    s->at.end = 1;
  }
  if (status == SB_OK)
    status = source_final_checkpoint(s, err);
  if (status == SB_OK && source_broadcast(s, ITEM_STOP, 0) != 0)
    status = sb_error_set(err, SB_CANCELLED, "the job is ending");
  return status;
}

void *
source_run(void *arg)
{
  job *j = arg;
  source *s = calloc(1, sizeof *s);
  sb_error err;
  sb_status status;
  uint32_t i;

  if (s == NULL) {
    status = sb_error_set(&err, SB_NO_MEMORY, "could not start the source");
    job_fail(j, status, &err);
    return NULL;
  }
  s->job = j;
  s->fd = -1;
  s->at = j->position;
  status = source_work(s, &err);
  if (status != SB_OK)
    job_fail(j, status, &err);
  for (i = 0; i < SUBTASKS_MAX; i++)
    free(s->open[i]);
  if (s->fd > STDIN_FILENO)
    (void)close(s->fd);
  free(s->buffer);
  free(s);
  atomic_store(&j->finished, 1);
  return NULL;
}
