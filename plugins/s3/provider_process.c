/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_process: a command whose output is credentials in JSON. It runs
 * by /bin/sh in a process group of its own, with nothing to read, its messages
 * dropped, and bounded in time and output.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define PROCESS_WHAT "credential_process"
#define PROCESS_TIME_NS 60000000000u
#define PROCESS_OUTPUT_MAX 65536u
#define PROCESS_SLICE_MS 20

extern char **environ;

static const s3_json_names process_names = {
  .access = "AccessKeyId", .secret = "SecretAccessKey",
  .token = "SessionToken", .expires = "Expiration", .version = 1
};

typedef struct process {
  s3_fetch *fetch;
  pid_t pid;
  int fd;
  int ended, result;  /* result: as of waitpid; -1 if nobody knows */
  uint64_t until_ns;
  s3_buf *output;
} process;

/* ---- start and end ------------------------------------------------------ */

static int
process_attributes(posix_spawnattr_t *attributes)
{
  sigset_t none, usual;

  (void)sigemptyset(&none);
  (void)sigemptyset(&usual);
  (void)sigaddset(&usual, SIGPIPE);
  (void)sigaddset(&usual, SIGINT);
  (void)sigaddset(&usual, SIGTERM);
  (void)sigaddset(&usual, SIGCHLD);
  (void)posix_spawnattr_setsigmask(attributes, &none);
  (void)posix_spawnattr_setsigdefault(attributes, &usual);
  (void)posix_spawnattr_setpgroup(attributes, 0);
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETPGROUP);
}

static int
process_files(posix_spawn_file_actions_t *files, int output)
{
  /* First: the pipe may have any number, 0 and 2 too. */
  int failed = posix_spawn_file_actions_adddup2(files, output, 1);

  if (failed == 0)
    failed = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY,
                                              0);
  if (failed == 0)
    failed = posix_spawn_file_actions_addopen(files, 2, "/dev/null", O_WRONLY,
                                              0);
  return failed;
}

static int
process_spawn(pid_t *pid, const char *command, int output)
{
  char *const arguments[] = { (char *)(uintptr_t)"sh",
                              (char *)(uintptr_t)"-c",
                              (char *)(uintptr_t)command, NULL };
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  int failed = posix_spawn_file_actions_init(&files);

  if (failed != 0)
    return failed;
  failed = posix_spawnattr_init(&attributes);
  if (failed == 0) {
    failed = process_attributes(&attributes);
    if (failed == 0)
      failed = process_files(&files, output);
    if (failed == 0)
      failed = posix_spawn(pid, "/bin/sh", &files, &attributes, arguments,
                           environ);
    (void)posix_spawnattr_destroy(&attributes);
  }
  (void)posix_spawn_file_actions_destroy(&files);
  return failed;
}

static int
process_open(process *p, const char *command)
{
  int ends[2], failed;

  if (pipe2(ends, O_CLOEXEC) != 0)
    return errno;
  failed = fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0
             ? errno
             : process_spawn(&p->pid, command, ends[1]);
  (void)close(ends[1]);
  p->fd = ends[0];
  if (failed != 0)
    (void)close(ends[0]);
  return failed;
}

static void
process_look(process *p, int options)
{
  int result = 0;
  pid_t pid;

  if (p->ended)
    return;
  do
    pid = waitpid(p->pid, &result, options);
  while (pid < 0 && errno == EINTR);
  if (pid == 0)
    return;
  p->ended = 1;
  p->result = pid < 0 ? -1 : result;
}

static void
process_close(process *p)
{
  if (!p->ended)
    (void)kill(-p->pid, SIGKILL);
  process_look(p, 0);
  (void)close(p->fd);
}

/* ---- what it says ------------------------------------------------------- */

/* 1 when there is no more. */
static int
process_read(process *p)
{
  char chunk[4096];
  ssize_t n;

  do {
    n = read(p->fd, chunk, sizeof chunk);
    if (n > 0)
      s3_buf_add(p->output, chunk, (size_t)n);
  } while ((n > 0 && !p->output->failed) || (n < 0 && errno == EINTR));
  OPENSSL_cleanse(chunk, sizeof chunk);
  return n == 0 || (n < 0 && errno != EAGAIN);
}

/* Until the command has ended; a helper that it leaves behind may hold the
   pipe open, so that its end is not waited for. */
static sb_status
process_wait(process *p, sb_error *err)
{
  const sb_host *host = p->fetch->host;
  struct pollfd poller = { .fd = p->fd, .events = POLLIN };

  for (;;) {
    int ended, last;

    (void)poll(&poller, 1, PROCESS_SLICE_MS);
    process_look(p, WNOHANG);
    ended = p->ended;
    last = process_read(p);
    if (p->output->failed)
      return p->output->len + 4096 > PROCESS_OUTPUT_MAX
               ? sb_fail(err, SB_CORRUPT,
                         PROCESS_WHAT " gave more than %u bytes",
                         PROCESS_OUTPUT_MAX)
               : s3_source_no_memory(err);
    if (ended)
      return SB_OK;
    if (last)
      poller.fd = -1;
    if (atomic_load(&p->fetch->stopping))
      return sb_fail(err, SB_CANCELLED, "the store is being closed");
    if (host->monotonic_ns(host) >= p->until_ns)
      return sb_fail(err, SB_UNAVAILABLE,
                     PROCESS_WHAT " has not ended within 60 seconds");
  }
}

/* The command stands in no error: it may hold a secret. */
static sb_status
process_result(const process *p, s3_credentials **out, sb_error *err)
{
  if (p->result != -1 && WIFSIGNALED(p->result))
    return sb_fail(err, SB_UNAVAILABLE, PROCESS_WHAT " ended by signal %d",
                   WTERMSIG(p->result));
  if (p->result != -1 && WEXITSTATUS(p->result) == 127)
    return sb_fail(err, SB_CONFIG, PROCESS_WHAT " was not found by the shell");
  if (p->result != -1 && WEXITSTATUS(p->result) != 0)
    return sb_fail(err, SB_UNAVAILABLE, PROCESS_WHAT " failed with status %d",
                   WEXITSTATUS(p->result));
  return s3_source_json(p->fetch->host, PROCESS_WHAT, p->output->data,
                        p->output->len, &process_names, out, err);
}

sb_status
s3_process_fetch(s3_fetch *fetch, const char *command, s3_credentials **out,
                 sb_error *err)
{
  s3_buf output = s3_buf_of(fetch->host);
  process p = { .fetch = fetch, .output = &output };
  sb_status status;
  int failed;

  *out = NULL;
  output.max = PROCESS_OUTPUT_MAX;
  p.until_ns = fetch->host->monotonic_ns(fetch->host) + PROCESS_TIME_NS;
  failed = process_open(&p, command);
  if (failed != 0)
    return sb_fail(err, SB_UNAVAILABLE, "could not start " PROCESS_WHAT ": %s",
                   strerrordesc_np(failed));
  status = process_wait(&p, err);
  process_close(&p);
  if (status == SB_OK)
    status = process_result(&p, out, err);
  s3_source_wipe(&output);
  return status;
}
