/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local plugin. Goal: no name leads out of the directory, limits of the
 * system are told clearly, and what dead processes left goes away. Method: the
 * plugin as it is installed, over directories that the cases prepare.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/tap.h"

#define HIDDEN ".sb\xc2\xb7"

/* ---- helpers ------------------------------------------------------------ */

static void
local_setup(fixture *f, const char *const *settings)
{
  sb_error error;

  memset(f, 0, sizeof *f);
  error.message[0] = '\0';
  CU_ASSERT_EQUAL_FATAL(fixture_open_local(f, settings, &error), SB_OK);
}

static void
local_path(const fixture *f, const char *name, char *path, size_t size)
{
  (void)snprintf(path, size, "%s/%s", f->dir, name);
}

/* ---- what is on the disk ------------------------------------------------ */

static void
test_plain_files(void)
{
  char path[512];
  char text[16] = "";
  fixture f;
  sb_error error;
  FILE *file;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b/c.state", "content", 0, NULL, NULL,
                              &error), SB_OK);
  local_path(&f, "a/b/c.state", path, sizeof path);
  file = fopen(path, "r");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  CU_ASSERT_PTR_NOT_NULL(fgets(text, sizeof text, file));
  fclose(file);
  CU_ASSERT_STRING_EQUAL(text, "content");
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "a/b/c.state", &error), SB_OK);
  local_path(&f, "a", path, sizeof path);
  CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
  fixture_remove(&f);
}

static void
test_options(void)
{
  static const char *const settings[] = {
    "state.backend.local.base-path", "jobs/one",
    "state.backend.local.state-prefix", "st",
    "state.backend.local.state-file-compression", "false",
    "state.backend.local.state-file-part-size", "16mb",
    "state.backend.local.layout", "entries",
    "state.backend.local.sync", "false",
    NULL,
  };
  fixture f;

  local_setup(&f, settings);
  CU_ASSERT_STRING_EQUAL(f.options.base_path, "jobs/one");
  CU_ASSERT_STRING_EQUAL(f.options.state_prefix, "st");
  CU_ASSERT_STRING_EQUAL(f.options.checkpoint_prefix, "checkpoints");
  CU_ASSERT_STRING_EQUAL(f.options.extension, ".state");
  CU_ASSERT_EQUAL(f.options.compression, 0);
  CU_ASSERT_EQUAL(f.options.layout, 1);
  CU_ASSERT_EQUAL(f.options.part_size, 16u << 20);
  CU_ASSERT_STRING_EQUAL(store_info(f.store)->root + 6, f.dir);
  fixture_remove(&f);
}

static void
test_makes_directory(void)
{
  char deep[600];
  const char *settings[] = { "state.backend.local.dir", deep, NULL };
  fixture outer, inner;
  sb_error error;

  local_setup(&outer, NULL);
  memset(&inner, 0, sizeof inner);
  local_path(&outer, "x/y/z", deep, sizeof deep);
  CU_ASSERT_EQUAL(fixture_open(&inner, "local", settings, &error), SB_OK);
  CU_ASSERT_EQUAL(access(deep, F_OK), 0);
  fixture_close(&inner);
  CU_ASSERT_EQUAL(fixture_put(&outer, "file", "x", 0, NULL, NULL, &error),
                  SB_OK);
  local_path(&outer, "file", deep, sizeof deep);
  CU_ASSERT_EQUAL(fixture_open(&inner, "local", settings, &error),
                  SB_INVALID);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, deep));
  fixture_close(&inner);
  fixture_remove(&outer);
}

/* ---- names -------------------------------------------------------------- */

static void
local_never(void *arg, const sb_store_result *result)
{
  (void)arg;
  (void)result;
  CU_FAIL("a refused operation was done");
}

/* Straight on the plugin: nobody in front of it checks. */
static void
test_names_outside(void)
{
  static const char *const names[] = {
    "", "/", "/etc/passwd", "..", "../x", "a/..", "a/../../x", "./a", "a/",
    "a//b", HIDDEN "/lock-00", "a\x01", "a\x7f",
  };
  fixture f;
  size_t i;

  local_setup(&f, NULL);
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    sb_slice body = { "x", 1 };
    sb_put_request put = { .base = { .struct_size = sizeof put,
                                     .done = local_never },
                           .name = names[i], .body = &body, .body_count = 1 };
    sb_name_request head = { .base = { .struct_size = sizeof head,
                                       .done = local_never },
                             .name = names[i] };
    sb_remove_request drop = { .base = { .struct_size = sizeof drop,
                                         .done = local_never },
                               .names = &names[i], .name_count = 1 };
    sb_copy_request copy = { .base = { .struct_size = sizeof copy,
                                       .done = local_never },
                             .source = "a", .name = names[i] };

    CU_ASSERT_EQUAL(f.store->ops->put(f.store, &put, NULL, NULL), SB_INVALID);
    CU_ASSERT_EQUAL(f.store->ops->head(f.store, &head, NULL, NULL),
                    SB_INVALID);
    CU_ASSERT_EQUAL(f.store->ops->remove(f.store, &drop, NULL, NULL),
                    SB_INVALID);
    CU_ASSERT_EQUAL(f.store->ops->copy(f.store, &copy, NULL, NULL),
                    SB_INVALID);
  }
  fixture_remove(&f);
}

static void
test_long_part(void)
{
  char name[302];
  fixture f;
  sb_error error;

  local_setup(&f, NULL);
  memset(name, 'n', 300);
  name[300] = '\0';
  CU_ASSERT_EQUAL(fixture_put(&f, name, "x", 0, NULL, NULL, &error),
                  SB_TOO_LARGE);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "too long"));
  name[150] = '/';
  CU_ASSERT_EQUAL(fixture_put(&f, name, "x", 0, NULL, NULL, &error), SB_OK);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

static sb_status
local_count_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  (void)entry;
  (void)err;
  ++*(unsigned *)arg;
  return SB_OK;
}

static void
test_symbolic_links(void)
{
  char path[512];
  uint64_t got;
  char bytes[8];
  unsigned count = 0;
  fixture f;
  sb_error error;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "real/object", "x", 0, NULL, NULL, &error),
                  SB_OK);
  local_path(&f, "outside", path, sizeof path);
  CU_ASSERT_EQUAL(symlink("/etc", path), 0);
  local_path(&f, "inside", path, sizeof path);
  CU_ASSERT_EQUAL(symlink("real", path), 0);
  local_path(&f, "passwd", path, sizeof path);
  CU_ASSERT_EQUAL(symlink("/etc/passwd", path), 0);
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "outside/passwd", 0, bytes, 8,
                            &got, NULL, 0, &error), SB_DENIED);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "symbolic link"));
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "passwd", 0, bytes, 8, &got,
                            NULL, 0, &error), SB_DENIED);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "inside/object", NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "outside/evil", "x", 0, NULL, NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "inside/evil", "x", SB_PUT_CREATE, NULL,
                              NULL, &error), SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "passwd", "x", 0, NULL, NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "passwd", "x", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_DENIED);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "passwd", &error), SB_DENIED);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "outside/passwd", &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(store_copy(&f.host, f.store, NULL, "passwd", "copy", 0,
                             NULL, &error), SB_DENIED);
  CU_ASSERT_EQUAL(store_list(&f.host, f.store, "", NULL, local_count_entry,
                             &count, &error), SB_OK);
  CU_ASSERT_EQUAL(count, 1);
  CU_ASSERT_EQUAL(access("/etc/evil", F_OK), -1);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

static void
test_other_files(void)
{
  char path[512];
  fixture f;
  sb_error error;

  local_setup(&f, NULL);
  local_path(&f, "pipe", path, sizeof path);
  CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "pipe", NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "pipe", "x", 0, NULL, NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "pipe/x", "x", 0, NULL, NULL, &error),
                  SB_INVALID);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

/* ---- failures of the system --------------------------------------------- */

static void
test_directory_removed(void)
{
  unsigned count = 0;
  char dir[256];
  uint64_t got;
  char bytes[8];
  fixture f;
  sb_error error;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b", "x", 0, NULL, NULL, &error), SB_OK);
  strcpy(dir, f.dir);
  {
    fixture gone;

    memset(&gone, 0, sizeof gone);
    strcpy(gone.dir, dir);
    fixture_remove(&gone);
  }
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "a/b", 0, bytes, 8, &got, NULL,
                            0, &error), SB_IO);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "has been removed"));
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "none", NULL, &error), SB_IO);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b", "x", 0, NULL, NULL, &error), SB_IO);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "x", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_IO);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, dir));
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "a/b", &error), SB_IO);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "x", &error), SB_IO);
  CU_ASSERT_EQUAL(store_list(&f.host, f.store, "", NULL, local_count_entry,
                             &count, &error), SB_IO);
  CU_ASSERT_EQUAL(store_list(&f.host, f.store, "a/", NULL, local_count_entry,
                             &count, &error), SB_IO);
  CU_ASSERT_EQUAL(count, 0);
  CU_ASSERT_NOT_EQUAL(access(dir, F_OK), 0);
  fixture_close(&f);
}

static void
test_no_descriptors(void)
{
  struct rlimit limit, old;
  uint64_t got;
  char bytes[8];
  fixture f;
  sb_error error;
  int fd;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b", "old", 0, NULL, NULL, &error),
                  SB_OK);
  fd = dup(0);
  close(fd);
  CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &old), 0);
  limit = old;
  limit.rlim_cur = (rlim_t)fd;
  CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CU_ASSERT_EQUAL(store_get(&f.host, f.store, "a/b", 0, bytes, 8, &got, NULL,
                            0, &error), SB_BUSY);
  CU_ASSERT_EQUAL(error.system, EMFILE);
  CU_ASSERT_EQUAL(fixture_put(&f, "a/b", "new", 0, NULL, NULL, &error),
                  SB_BUSY);
  CU_ASSERT_EQUAL(fixture_put(&f, "c/d", "new", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_BUSY);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "a/b", &error), SB_BUSY);
  CU_ASSERT_EQUAL(store_list(&f.host, f.store, "", NULL, local_count_entry,
                             &got, &error), SB_BUSY);
  CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &old), 0);
  CU_ASSERT_TRUE(fixture_has(&f, "a/b", "old"));
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

/* Run again by test-local-faults.sh without root's powers. */
static void
test_no_permission(void)
{
  char path[512];
  fixture f;
  sb_error error;

  if (geteuid() == 0) {
    tap_skip("root may do anything");
    return;
  }
  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "d/x", "old", 0, NULL, NULL, &error), SB_OK);
  local_path(&f, "d", path, sizeof path);
  CU_ASSERT_EQUAL(chmod(path, 0500), 0);
  CU_ASSERT_EQUAL(fixture_put(&f, "d/y", "new", SB_PUT_CREATE, NULL, NULL,
                              &error), SB_DENIED);
  CU_ASSERT_EQUAL(fixture_put(&f, "d/x", "new", 0, NULL, NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(fixture_remove_object(&f, "d/x", &error), SB_DENIED);
  CU_ASSERT_TRUE(fixture_has(&f, "d/x", "old"));
  CU_ASSERT_EQUAL(chmod(path, 0), 0);
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "d/x", NULL, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(chmod(path, 0700), 0);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  fixture_remove(&f);
}

/* Run by test-local-faults.sh with TMPDIR on a file system of 1 MiB. */
static void
test_no_space(void)
{
  static char big[4 << 20];
  fixture f;
  sb_error error;
  sb_status status;
  store_writer *w;
  int i;

  if (getenv("SB_TEST_SMALL") == NULL) {
    tap_skip("needs a small file system");
    return;
  }
  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "old", 0, NULL, NULL, &error), SB_OK);
  status = store_put(&f.host, f.store, "x", big, sizeof big, 0, NULL, NULL, 0,
                     NULL, 0, &error);
  CU_ASSERT_EQUAL(status, SB_NO_SPACE);
  CU_ASSERT_EQUAL(error.system, ENOSPC);
  CU_ASSERT_EQUAL(store_writer_open(&f.host, f.store, "y", 0, 0, &w, &error),
                  SB_OK);
  for (i = 0, status = SB_OK; i < 8 && status == SB_OK; i++)
    status = store_writer_add(w, big, sizeof big / 8, &error);
  CU_ASSERT_EQUAL(status, SB_NO_SPACE);
  CU_ASSERT_EQUAL(store_writer_commit(w, NULL, &error), SB_NO_SPACE);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "old"));
  CU_ASSERT_EQUAL(store_head(&f.host, f.store, "y", NULL, &error),
                  SB_NOT_FOUND);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "new", 0, NULL, NULL, &error), SB_OK);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "new"));
  fixture_remove(&f);
}

/* ---- what dead processes leave ------------------------------------------ */

static int
local_make_temp(const fixture *f, const char *name, int locked)
{
  char path[600];
  int fd;

  (void)snprintf(path, sizeof path, "%s/" HIDDEN "/%s", f->dir, name);
  fd = open(path, O_RDWR | O_CREAT, 0600);
  CU_ASSERT_TRUE_FATAL(fd >= 0);
  if (locked) {
    CU_ASSERT_EQUAL(flock(fd, LOCK_SH), 0);
    return fd;
  }
  close(fd);
  return -1;
}

static void
test_sweep(void)
{
  fixture f;
  sb_error error;
  int live;

  local_setup(&f, NULL);
  CU_ASSERT_EQUAL(fixture_put(&f, "x", "old", 0, NULL, NULL, &error), SB_OK);
  (void)local_make_temp(&f, "tmp-dead", 0);
  live = local_make_temp(&f, "tmp-live", 1);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 2);
  fixture_close(&f);
  CU_ASSERT_EQUAL(fixture_open_local(&f, NULL, &error), SB_OK);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 1);
  close(live);
  fixture_close(&f);
  CU_ASSERT_EQUAL(fixture_open_local(&f, NULL, &error), SB_OK);
  CU_ASSERT_EQUAL(fixture_leftovers(&f), 0);
  CU_ASSERT_TRUE(fixture_has(&f, "x", "old"));
  fixture_remove(&f);
}

static void
local_count_done(void *arg, const sb_store_result *result)
{
  CU_ASSERT_EQUAL(result->status, SB_OK);
  atomic_fetch_add((atomic_int *)arg, 1);
}

static void
test_close_waits(void)
{
  static char data[100000];
  fixture f;
  sb_error error;
  int round;

  for (round = 0; round < 20; round++) {
    sb_slice body = { data, sizeof data };
    sb_put_request put = { .name = "x", .body = &body, .body_count = 1 };
    atomic_int done = 0;
    int i;

    local_setup(&f, NULL);
    put.base.struct_size = sizeof put;
    put.base.done = local_count_done;
    put.base.arg = &done;
    for (i = 0; i < 4; i++)
      CU_ASSERT_EQUAL(f.store->ops->put(f.store, &put, NULL, &error), SB_OK);
    store_close(f.store);
    f.store = NULL;
    CU_ASSERT_EQUAL(atomic_load(&done), 4);
    fixture_remove(&f);
  }
}

static const tap_case local_cases[] = {
  { "plain_files", test_plain_files },
  { "options", test_options },
  { "makes_directory", test_makes_directory },
  { "names_outside", test_names_outside },
  { "long_part", test_long_part },
  { "symbolic_links", test_symbolic_links },
  { "other_files", test_other_files },
  { "directory_removed", test_directory_removed },
  { "no_descriptors", test_no_descriptors },
  { "no_permission", test_no_permission },
  { "no_space", test_no_space },
  { "sweep", test_sweep },
  { "close_waits", test_close_waits },
};

static const tap_suite local_suites[] = {
  { "local", local_cases, TAP_COUNT(local_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, local_suites, TAP_COUNT(local_suites));
}
