/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the job itself puts into a checkpoint, as lines of text: where the
 * source is, counters, and the names of all parts of the result so far.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "access_log.h"

#define BLOB_HEADER "access_log 1\n"

typedef struct blob_field {
  const char *name;
  size_t offset;
} blob_field;

#define POSITION(field) { #field, offsetof(position, field) }
#define COUNTER(field) { #field, offsetof(counters, field) }

static const blob_field position_fields[] = {
  POSITION(offset), POSITION(repeat), POSITION(lines), POSITION(malformed),
  POSITION(late), POSITION(first_ms), POSITION(last_ms), POSITION(newest_ms),
  POSITION(end)
};

static const blob_field counter_fields[] = {
  COUNTER(checkpoints), COUNTER(sessions), COUNTER(keys),
  COUNTER(evicted_bytes), COUNTER(early_flushes), COUNTER(compactions),
  COUNTER(cold_reads)
};

#define COUNT(array) (sizeof (array) / sizeof (array)[0])

/* Every field of both structs has 64 bits. */
static int64_t *
blob_number(void *base, const blob_field *field)
{
  return (int64_t *)(void *)((char *)base + field->offset);
}

static void
blob_print(FILE *file, void *base, const blob_field *fields, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++)
    (void)fprintf(file, "%s=%" PRId64 "\n", fields[i].name,
                  *blob_number(base, &fields[i]));
}

static int
blob_parse(const char *line, void *base, const blob_field *fields,
           size_t count)
{
  size_t i;

  for (i = 0; i < count; i++) {
    size_t len = strlen(fields[i].name);

    if (strncmp(line, fields[i].name, len) != 0 || line[len] != '=')
      continue;
    *blob_number(base, &fields[i]) = strtoll(line + len + 1, NULL, 10);
    return 1;
  }
  return 0;
}

/* ---- counters ----------------------------------------------------------- */

static void
counters_add(counters *sum, const counters *other)
{
  sum->checkpoints += other->checkpoints;
  sum->sessions += other->sessions;
  sum->keys += other->keys;
  sum->evicted_bytes += other->evicted_bytes;
  sum->early_flushes += other->early_flushes;
  sum->compactions += other->compactions;
  sum->cold_reads += other->cold_reads;
}

/* With the lock held: this life's, as of each subtask's last look. */
static counters
counters_sum(const job *j)
{
  counters sum = j->base;
  uint32_t i;

  sum.checkpoints += atomic_load(&j->committed);
  for (i = 0; i < j->settings.subtasks; i++)
    counters_add(&sum, &j->subtasks[i].counters);
  return sum;
}

/* ---- parts -------------------------------------------------------------- */

static int
parts_add(job *j, uint64_t checkpoint, const char *name)
{
  part *p;

  if (j->part_count == j->part_cap) {
    size_t cap = j->part_cap == 0 ? 64 : j->part_cap * 2;

    p = realloc(j->parts, cap * sizeof *p);
    if (p == NULL)
      return -1;
    j->parts = p;
    j->part_cap = cap;
  }
  p = &j->parts[j->part_count++];
  p->checkpoint = checkpoint;
  p->published = 0;
  (void)snprintf(p->name, sizeof p->name, "%s", name);
  return 0;
}

int
job_restore(job *j)
{
  char line[256];
  FILE *file;
  int bad;

  if (j->restored == NULL)
    return 0;
  file = fmemopen((void *)j->restored->blob.data, j->restored->blob.len, "r");
  if (file == NULL)
    return -1;
  bad = fgets(line, sizeof line, file) == NULL ||
        strcmp(line, BLOB_HEADER) != 0;
  while (!bad && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "part=", 5) == 0)
      bad = parts_add(j, j->restored->info.id, line + 5) != 0;
    else
      bad = !blob_parse(line, &j->position, position_fields,
                        COUNT(position_fields)) &&
            !blob_parse(line, &j->base, counter_fields,
                        COUNT(counter_fields));
  }
  (void)fclose(file);
  if (bad)
    errno = EBADMSG;
  return bad ? -1 : 0;
}

/* With the lock held. The position was fixed when the barrier was sent. */
static sb_status
blob_put(job *j, uint64_t checkpoint, sb_error *err)
{
  counters sum = counters_sum(j);
  char *text = NULL;
  size_t len = 0, i;
  sb_status status;
  FILE *file = open_memstream(&text, &len);

  if (file == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not describe checkpoint %llu",
                        (unsigned long long)checkpoint);
  sum.checkpoints++; /* this one: nobody reads it unless it is committed */
  (void)fputs(BLOB_HEADER, file);
  blob_print(file, &j->position, position_fields, COUNT(position_fields));
  blob_print(file, &sum, counter_fields, COUNT(counter_fields));
  for (i = 0; i < j->part_count; i++)
    (void)fprintf(file, "part=%s\n", j->parts[i].name);
  if (fclose(file) != 0)
    status = sb_error_set(err, SB_NO_MEMORY,
                          "could not describe checkpoint %llu",
                          (unsigned long long)checkpoint);
  else
    status = sb_coordinator_set_blob(j->coordinator, checkpoint,
                                     sb_slice_of(text, len), err);
  free(text);
  return status;
}

sb_status
job_arrive(job *j, uint64_t checkpoint, const char *name, sb_error *err)
{
  sb_status status = SB_OK;

  pthread_mutex_lock(&j->lock);
  if (name[0] != '\0' && parts_add(j, checkpoint, name) != 0)
    status = sb_error_set(err, SB_NO_MEMORY, "could not remember part \"%s\"",
                          name);
  else if (j->barrier == checkpoint &&
           ++j->arrived == j->settings.subtasks)
    status = blob_put(j, checkpoint, err);
  pthread_mutex_unlock(&j->lock);
  return status;
}

/* ---- stats -------------------------------------------------------------- */

void
job_write_stats(job *j, const char *state)
{
  char path[4096];
  counters sum;
  position at;
  FILE *file;

  if (j->settings.stats_file == NULL)
    return;
  pthread_mutex_lock(&j->lock);
  if (state != NULL)
    j->state = state;
  sum = counters_sum(j);
  at = j->position;
  at.lines = atomic_load(&j->lines);
  (void)snprintf(path, sizeof path, "%s.tmp", j->settings.stats_file);
  file = fopen(path, "we");
  if (file != NULL) {
    (void)fprintf(file, "state=%s\ngeneration=%llu\ncheckpoint=%llu\n",
                  j->state, (unsigned long long)j->generation,
                  (unsigned long long)sb_coordinator_newest(j->coordinator));
    blob_print(file, &at, position_fields, COUNT(position_fields));
    blob_print(file, &sum, counter_fields, COUNT(counter_fields));
    if (fclose(file) == 0)
      (void)rename(path, j->settings.stats_file);
  }
  pthread_mutex_unlock(&j->lock);
}
