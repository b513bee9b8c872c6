/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files, under any compiler: the arguments, or without
 * any the corpus of the target, $srcdir/corpus/TARGET/. Each file is one TAP
 * line; a target that finds fault aborts.
 */
#include "config.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned standalone_number;
static unsigned standalone_failed;

static uint8_t *
standalone_read(const char *path, size_t *size)
{
  FILE *file = fopen(path, "rb");
  uint8_t *data = NULL;
  long end;

  if (file == NULL)
    return NULL;
  if (fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0)
    goto out;
  rewind(file);
  *size = (size_t)end;
  /* An exact block, so that a sanitizer sees one byte too far. */
  data = malloc(*size > 0 ? *size : 1);
  if (data != NULL && fread(data, 1, *size, file) != *size) {
    free(data);
    data = NULL;
  }
out:
  (void)fclose(file);
  return data;
}

static void
standalone_run(const char *path)
{
  size_t size = 0;
  uint8_t *data = standalone_read(path, &size);

  standalone_number++;
  if (data == NULL) {
    standalone_failed++;
    printf("not ok %u - could not read %s\n", standalone_number, path);
    return;
  }
  (void)LLVMFuzzerTestOneInput(data, size);
  free(data);
  printf("ok %u - %s\n", standalone_number, path);
  (void)fflush(stdout);
}

static int
standalone_visible(const struct dirent *entry)
{
  return entry->d_name[0] != '.';
}

static void
standalone_corpus(const char *program)
{
  const char *slash = strrchr(program, '/');
  const char *srcdir = getenv("srcdir");
  struct dirent **entries = NULL;
  char dir[PATH_MAX / 2];
  char path[PATH_MAX];
  int count;
  int i;

  (void)snprintf(dir, sizeof dir, "%s/corpus/%s", srcdir ? srcdir : ".",
                 slash ? slash + 1 : program);
  count = scandir(dir, &entries, standalone_visible, alphasort);
  for (i = 0; i < count; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
    standalone_run(path);
    free(entries[i]);
  }
  free(entries);
}

int
main(int argc, char **argv)
{
  int i;

  for (i = 1; i < argc; i++)
    standalone_run(argv[i]);
  if (argc < 2)
    standalone_corpus(argv[0]);
  /* Even without a corpus the empty input is tried. */
  (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
  standalone_number++;
  printf("ok %u - empty input\n1..%u\n", standalone_number, standalone_number);
  return standalone_failed == 0 ? 0 : 1;
}
