/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results, exactly once. What a subtask writes between two barriers is one
 * file; it gets its final name when a checkpoint that lists it is committed. A
 * crash before that leaves a pending file that the next start removes, and the
 * lines that made it are read again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "access_log.h"

#define PATH_SIZE 4096u

static sb_status
sink_fail(sink *s, sb_error *err, const char *doing)
{
  int number = errno;
  sb_status status;

  status = sb_error_set(err, number == ENOSPC ? SB_NO_SPACE : SB_IO,
                        "could not %s in \"%s\": %s", doing,
                        s->job->settings.output, strerror(number));
  if (err != NULL)
    err->system = number;
  return status;
}

static void
sink_open_path(const sink *s, char *path, size_t size)
{
  (void)snprintf(path, size, "%s/part-%llu-open-%u.pending",
                 s->job->settings.output,
                 (unsigned long long)s->job->generation, s->index);
}

void
sink_init(sink *s, job *j, uint32_t index)
{
  s->job = j;
  s->index = index;
  s->fd = -1;
  s->len = 0;
}

static sb_status
sink_flush(sink *s, sb_error *err)
{
  char path[PATH_SIZE];
  size_t done = 0;

  if (s->fd < 0) {
    sink_open_path(s, path, sizeof path);
    s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (s->fd < 0)
      return sink_fail(s, err, "create a part");
  }
  while (done < s->len) {
    ssize_t n = write(s->fd, s->buffer + done, s->len - done);

    if (n < 0 && errno != EINTR)
      return sink_fail(s, err, "write a part");
    done += n < 0 ? 0 : (size_t)n;
  }
  s->len = 0;
  return SB_OK;
}

sb_status
sink_write(sink *s, const void *data, size_t len, sb_error *err)
{
  const char *bytes = data;
  sb_status status = SB_OK;

  while (len > 0 && status == SB_OK) {
    size_t room = sizeof s->buffer - s->len;
    size_t n = len < room ? len : room;

    memcpy(s->buffer + s->len, bytes, n);
    s->len += n;
    bytes += n;
    len -= n;
    if (s->len == sizeof s->buffer)
      status = sink_flush(s, err);
  }
  return status;
}

sb_status
sink_print(sink *s, sb_error *err, const char *format, ...)
{
  char line[1024];
  va_list args;
  int len;

  va_start(args, format);
  len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (len < 0 || (size_t)len >= sizeof line)
    return sb_error_set(err, SB_TOO_LARGE, "cannot write a line of %d bytes",
                        len);
  return sink_write(s, line, (size_t)len, err);
}

sb_status
sink_seal(sink *s, uint64_t checkpoint, char *name, size_t size,
          sb_error *err)
{
  char from[PATH_SIZE], to[PATH_SIZE];
  sb_status status;

  name[0] = '\0';
  if (s->fd < 0 && s->len == 0)
    return SB_OK;
  status = sink_flush(s, err);
  if (status != SB_OK)
    return status;
  (void)snprintf(name, size, "part-%llu-%llu-%u",
                 (unsigned long long)s->job->generation,
                 (unsigned long long)checkpoint, s->index);
  sink_open_path(s, from, sizeof from);
  (void)snprintf(to, sizeof to, "%s/%s.pending", s->job->settings.output,
                 name);
  if (fsync(s->fd) != 0 || close(s->fd) != 0)
    return sink_fail(s, err, "sync a part");
  s->fd = -1;
  return rename(from, to) == 0 ? SB_OK : sink_fail(s, err, "rename a part");
}

void
sink_dispose(sink *s)
{
  char path[PATH_SIZE];

  if (s->fd < 0)
    return;
  (void)close(s->fd);
  sink_open_path(s, path, sizeof path);
  (void)unlink(path);
}

/* ---- the output directory ----------------------------------------------- */

static int
output_sync(const job *j)
{
  int fd = open(j->settings.output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int result;

  if (fd < 0)
    return -1;
  result = fsync(fd);
  (void)close(fd);
  return result;
}

/* Renaming what was renamed before, by us or by a predecessor, is fine. */
static int
output_publish_part(const job *j, const char *name)
{
  char from[PATH_SIZE], to[PATH_SIZE];

  (void)snprintf(from, sizeof from, "%s/%s.pending", j->settings.output, name);
  (void)snprintf(to, sizeof to, "%s/%s", j->settings.output, name);
  if (rename(from, to) == 0)
    return 0;
  return errno == ENOENT && access(to, F_OK) == 0 ? 0 : -1;
}

int
job_publish(job *j)
{
  uint64_t committed = sb_coordinator_newest(j->coordinator);
  size_t i, renamed = 0;
  int result = 0;

  if (committed == 0 || committed == j->published)
    return 0;
  pthread_mutex_lock(&j->lock);
  for (i = 0; i < j->part_count && result == 0; i++) {
    part *p = &j->parts[i];

    if (p->published || p->checkpoint > committed)
      continue;
    result = output_publish_part(j, p->name);
    p->published = result == 0;
    renamed++;
  }
  if (result == 0)
    j->published = committed;
  pthread_mutex_unlock(&j->lock);
  return result != 0 || renamed == 0 ? result : output_sync(j);
}

/* Only files of earlier generations: a successor's are none of our business,
   should we be the one that is out of date. */
static int
output_is_dead(const job *j, const char *name)
{
  unsigned long long generation;
  size_t len = strlen(name);

  return len > 8 && strcmp(name + len - 8, ".pending") == 0 &&
         sscanf(name, "part-%llu-", &generation) == 1 &&
         generation < j->generation;
}

int
job_clean_output(job *j)
{
  char path[PATH_SIZE];
  struct dirent *entry;
  int found = 0, result = 0;
  DIR *dir = opendir(j->settings.output);

  if (dir == NULL)
    return -1;
  while (result == 0 && (entry = readdir(dir)) != NULL) {
    found += strncmp(entry->d_name, "part-", 5) == 0 &&
             strstr(entry->d_name, ".pending") == NULL;
    if (!output_is_dead(j, entry->d_name))
      continue;
    (void)snprintf(path, sizeof path, "%s/%s", j->settings.output,
                   entry->d_name);
    if (unlink(path) != 0 && errno != ENOENT)
      result = -1;
  }
  (void)closedir(dir);
  if (result == 0 && found > 0 && j->restored == NULL) {
    errno = ENOTEMPTY; /* another job's results */
    result = -1;
  }
  return result;
}

int
job_write_result(job *j)
{
  char from[PATH_SIZE], to[PATH_SIZE];
  FILE *file;
  size_t i;
  int bad;

  (void)snprintf(from, sizeof from, "%s/RESULT.tmp", j->settings.output);
  (void)snprintf(to, sizeof to, "%s/RESULT", j->settings.output);
  file = fopen(from, "we");
  if (file == NULL)
    return -1;
  for (i = 0; i < j->part_count; i++)
    (void)fprintf(file, "%s\n", j->parts[i].name);
  bad = fflush(file) != 0 || fsync(fileno(file)) != 0;
  bad |= fclose(file) != 0;
  if (bad || rename(from, to) != 0)
    return -1;
  return output_sync(j);
}
