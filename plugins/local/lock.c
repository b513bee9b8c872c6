/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks between processes, by flock on a few files that names are spread over.
 *
 * The lock of a process that was killed is free. One that is stopped while it
 * holds a lock must not stop all others for good, so after a while they take
 * the lock away, in a way that is safe even if the holder was only slow:
 *
 *   holder                              taker
 *   writes its file's name into lock    puts a new lock file in place
 *   looks whether the lock is in place  reads the name in the old one
 *   renames its file                    renames that file to NAME~
 *
 * Either the holder sees that the lock is gone, or the taker sees the name;
 * then the holder's rename has happened before the taker goes on, or it fails
 * for want of the file, and the holder starts again. Removals need no name:
 * one that comes late is no different from one that was called late.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "plugins/local/local.h"

#define LOCK_TRIES 100
#define LOCK_FILES 64u
#define LOCK_WAIT_NS 1000000000u
#define LOCK_TAKE_TRIES 10       /* waits for another taker */
#define LOCK_NAME_MAX 64u

static int
lock_close_keep(int fd, int result)
{
  int number = errno;

  if (fd >= 0)
    close(fd);
  errno = number;
  return result;
}

int
local_flock(int fd, int operation)
{
  uint64_t waited_ns = 0;
  uint64_t pause_ns = 20000;

  while (flock(fd, operation | LOCK_NB) != 0) {
    struct timespec pause = { 0, (long)pause_ns };

    if (errno != EWOULDBLOCK && errno != EINTR)
      return -1;
    if (waited_ns > LOCK_WAIT_NS) {
      errno = EBUSY;
      return -1;
    }
    (void)nanosleep(&pause, NULL);
    waited_ns += pause_ns;
    if (pause_ns < 2000000)
      pause_ns += pause_ns / 2;
  }
  return 0;
}

static unsigned
lock_number(const char *name)
{
  uint32_t hash = 2166136261u;

  for (; *name != '\0'; name++)
    hash = (hash ^ (unsigned char)*name) * 16777619u;
  return (hash ^ hash >> 16) % LOCK_FILES;
}

static int
lock_open(int hidden, const char *file, int more)
{
  return openat(hidden, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | more,
                0666);
}

/* ---- taking a lock away ------------------------------------------------- */

/* Is `held` still what stands under the lock's name? */
static int
lock_in_place(int hidden, const char *file, int held)
{
  struct stat mine, named;

  return fstat(held, &mine) == 0 && mine.st_nlink > 0
         && fstatat(hidden, file, &named, AT_SYMLINK_NOFOLLOW) == 0
         && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

/* A new lock file, held, in the place of the old one; -1. */
static int
lock_replace(int hidden, const char *file)
{
  char fresh[32];
  int fd;

  (void)snprintf(fresh, sizeof fresh, "%s.new", file);
  (void)unlinkat(hidden, fresh, 0);
  fd = lock_open(hidden, fresh, O_EXCL);
  if (fd < 0)
    return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0
      && renameat(hidden, fresh, hidden, file) == 0)
    return fd;
  return lock_close_keep(fd, -1);
}

/* Makes the rename that the old holder announced impossible. */
static void
lock_fence(int hidden, int old)
{
  char name[LOCK_NAME_MAX + 1];
  char fenced[LOCK_NAME_MAX + 2];
  ssize_t n = pread(old, name, LOCK_NAME_MAX, 0);

  if (n <= 0)
    return;
  name[n] = '\0';
  if (strncmp(name, LOCAL_TEMP_PREFIX, strlen(LOCAL_TEMP_PREFIX)) != 0
      || strchr(name, '/') != NULL)
    return;
  (void)snprintf(fenced, sizeof fenced, "%s~", name);
  (void)renameat(hidden, name, hidden, fenced);
}

/* The lock of a holder that does not give it back; -1 with EAGAIN if it has
   changed hands meanwhile. One taker at a time. */
static int
lock_take(int hidden, const char *file, int old)
{
  int taker = lock_open(hidden, "lock-taker", 0);
  int tries = 0;
  int fd = -1;

  if (taker < 0)
    return -1;
  while (local_flock(taker, LOCK_EX) != 0)
    if (errno != EBUSY || ++tries == LOCK_TAKE_TRIES)
      return lock_close_keep(taker, -1);
  if (!lock_in_place(hidden, file, old)) {
    errno = EAGAIN;
    return lock_close_keep(taker, -1);
  }
  fd = lock_replace(hidden, file);
  if (fd >= 0)
    lock_fence(hidden, old);
  return lock_close_keep(taker, fd);
}

/* ---- holding one -------------------------------------------------------- */

/* -1 with EAGAIN to try again. */
static int
lock_try(int hidden, const char *file)
{
  struct stat st;
  int taken;
  int fd = lock_open(hidden, file, 0);

  if (fd < 0) {
    if (errno == ENOENT)
      errno = EAGAIN;
    return -1;
  }
  if (local_flock(fd, LOCK_EX) == 0) {
    if (fstat(fd, &st) == 0 && st.st_nlink > 0)
      return fd;
    errno = EAGAIN;
    return lock_close_keep(fd, -1);
  }
  if (errno != EBUSY)
    return lock_close_keep(fd, -1);
  taken = lock_take(hidden, file, fd);
  return lock_close_keep(fd, taken);
}

int
local_lock_name(const local_store *store, const char *name)
{
  char file[16];
  int tries;

  (void)snprintf(file, sizeof file, "lock-%02x", lock_number(name));
  for (tries = 0; tries < LOCK_TRIES; tries++) {
    int hidden = local_open_hidden(store, 1);
    int fd;

    if (hidden < 0)
      return -1;
    fd = lock_try(hidden, file);
    (void)lock_close_keep(hidden, 0);
    if (fd >= 0 || errno != EAGAIN)
      return fd;
  }
  errno = EBUSY;
  return -1;
}

int
local_lock_announce(int lock, const char *temp_name)
{
  char name[LOCK_NAME_MAX] = "";
  struct stat st;

  (void)snprintf(name, sizeof name, "%s", temp_name);
  if (pwrite(lock, name, sizeof name, 0) != (ssize_t)sizeof name)
    return -1;
  if (fstat(lock, &st) != 0)
    return -1;
  errno = EAGAIN;
  return st.st_nlink > 0 ? 0 : -1;
}

void
local_lock_fenced(int hidden, char *temp_name, size_t size)
{
  char fenced[LOCK_NAME_MAX + 2];
  struct stat st;
  size_t len;

  (void)snprintf(fenced, sizeof fenced, "%s~", temp_name);
  len = strlen(fenced);
  if (len < size && fstatat(hidden, fenced, &st, AT_SYMLINK_NOFOLLOW) == 0)
    memcpy(temp_name, fenced, len + 1);
}
