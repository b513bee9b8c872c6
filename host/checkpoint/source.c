/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a job without a checkpoint of its own begins. A source that was not
 * claimed is pinned; it is closed at the first commit, while the caller may
 * keep what it was given until the coordinator is closed: so that is a copy.
 */
#include "config.h"

#include "host/checkpoint/attempt.h"

/* One block: this, the parts, then all bytes they point to. */
typedef struct source_copy {
  sb_checkpoint checkpoint;
  sb_part parts[];
} source_copy;

static size_t
source_text(const char *s)
{
  return s == NULL ? 0 : strlen(s) + 1;
}

static size_t
source_size(const sb_checkpoint *from)
{
  size_t size = source_text(from->info.name) + from->blob.len;
  uint32_t i;

  for (i = 0; i < from->info.part_count; i++)
    size += source_text(from->parts[i].operator_id) +
            source_text(from->parts[i].name) + from->parts[i].manifest.len;
  return size;
}

static const void *
source_put(char **at, const void *data, size_t len)
{
  char *to = *at;

  if (data == NULL)
    return NULL;
  memcpy(to, data, len);
  *at += len;
  return to;
}

static const char *
source_put_text(char **at, const char *s)
{
  return source_put(at, s, source_text(s));
}

static source_copy *
source_copy_new(const sb_host *host, const sb_checkpoint *from)
{
  uint32_t count = from->info.part_count, i;
  source_copy *copy = mem_alloc(host, sizeof *copy + count * sizeof (sb_part) +
                                source_size(from));
  char *at;

  if (copy == NULL)
    return NULL;
  at = (char *)(copy->parts + count);
  copy->checkpoint = *from;
  copy->checkpoint.internal = NULL;
  copy->checkpoint.parts = copy->parts;
  copy->checkpoint.info.name = source_put_text(&at, from->info.name);
  copy->checkpoint.blob.data = source_put(&at, from->blob.data,
                                          from->blob.len);
  for (i = 0; i < count; i++) {
    sb_part *part = &copy->parts[i];

    *part = from->parts[i];
    part->operator_id = source_put_text(&at, part->operator_id);
    part->name = source_put_text(&at, part->name);
    part->manifest.data = source_put(&at, part->manifest.data,
                                     part->manifest.len);
  }
  return copy;
}

/* Ids go on from the source's, as handles compare them. */
static sb_status
source_keep(sb_coordinator *c, sb_checkpoint *opened, sb_error *err)
{
  c->last_id = opened->info.id;
  if (c->options.restore_mode == SB_RESTORE_CLAIM) {
    c->restored = opened;
    return SB_OK;
  }
  c->source = opened;
  c->copy = source_copy_new(c->host, opened);
  if (c->copy == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not keep what is restored: out of memory");
  c->restored = &c->copy->checkpoint;
  return SB_OK;
}

sb_status
source_restore(sb_coordinator *c, sb_error *err)
{
  sb_restore_options options = { .struct_size = sizeof options };
  sb_checkpoint *opened;
  sb_status status;

  if (!SB_BACKEND_HAS(c->backend, restore_open))
    return sb_fail(err, SB_UNSUPPORTED, "cannot restore what another job has: "
                   "the backend does not know how");
  options.mode = c->options.restore_mode;
  options.job = c->options.restore_job;
  options.savepoint = c->options.restore_savepoint;
  options.id = c->options.restore_id;
  options.job_id = c->job_id;
  status = c->backend->ops->restore_open(c->backend, &options, &opened, err);
  return status == SB_OK ? source_keep(c, opened, err) : status;
}

void
source_release(sb_coordinator *c)
{
  sb_checkpoint *source;

  pthread_mutex_lock(&c->lock);
  source = c->source;
  c->source = NULL;
  pthread_mutex_unlock(&c->lock);
  if (source != NULL)
    c->backend->ops->checkpoint_close(c->backend, source);
}

void
source_free(sb_coordinator *c)
{
  if (c->source != NULL)
    c->backend->ops->checkpoint_close(c->backend, c->source);
  if (c->copy == NULL && c->restored != NULL)
    c->backend->ops->checkpoint_close(c->backend, c->restored);
  mem_free(c->host, c->copy);
}
