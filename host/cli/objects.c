/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl objects, sbctl gc: what a job has on the store, and which checkpoint
 * needs each object. Found from outside, without taking the job over, so what
 * a running process made since its last checkpoint is only known by its
 * generation: such objects are never called orphans.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/inside.h"
#include "host/engine/claim.h"
#include "host/engine/head.h"
#include "host/engine/names.h"
#include "host/store/store.h"

/* One retained checkpoint and the names it needs. */
typedef struct objects_need {
  uint64_t id;
  names names;
} objects_need;

typedef struct objects_pass {
  cli *c;
  const job_env *env;
  uint64_t generation;   /* HEAD's */
  objects_need *needs;
  size_t need_count;
  int print, only_orphans;
  uint64_t count[2], bytes[2], pins; /* all; orphans */
} objects_pass;

#define OBJECTS_TRIES 20
#define OBJECTS_ALL 0
#define OBJECTS_ORPHAN 1

static void
objects_need_manifest(objects_need *need, const manifest *m)
{
  size_t k;

  for (k = 0; k < m->segment_count; k++)
    if (m->segments[k].root == NULL)
      names_add(&need->names, m->segments[k].name, 0);
  for (k = 0; k < m->held_count; k++)
    names_add(&need->names, m->held[k], 0);
}

/* What a checkpoint names; it is pinned while its manifests are read. */
static int
objects_need_read(cli *c, uint64_t id, objects_need *need)
{
  inside in;
  uint32_t i;
  int code = inside_open(c, id, 1, &in);

  if (code != CLI_OK)
    return code;
  need->id = id;
  names_add(&need->names, in.checkpoint->info.name, 0);
  for (i = 0; i < in.checkpoint->info.part_count; i++) {
    if (in.checkpoint->parts[i].name != NULL)
      names_add(&need->names, in.checkpoint->parts[i].name, 0);
    objects_need_manifest(need, in.manifests[i]);
  }
  inside_close(&in);
  names_sort(&need->names);
  if (need->names.status != SB_OK)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  return CLI_OK;
}

static void
objects_dispose(objects_pass *pass)
{
  size_t i;

  for (i = 0; i < pass->need_count; i++)
    names_dispose(&pass->needs[i].names);
  free(pass->needs);
  pass->needs = NULL;
  pass->need_count = 0;
}

static int
objects_needs_once(objects_pass *pass)
{
  sb_checkpoint_info *list;
  size_t count, i;
  int code = inside_list(pass->c, &list, &count);

  if (code != CLI_OK)
    return code;
  pass->needs = calloc(count + 1, sizeof *pass->needs);
  if (pass->needs == NULL)
    code = cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  for (i = 0; code == CLI_OK && i < count; i++) {
    names_init(&pass->needs[i].names, pass->env->host);
    pass->need_count++;
    code = objects_need_read(pass->c, list[i].id, &pass->needs[i]);
  }
  pass->c->backend->ops->list_free(pass->c->backend, list, count);
  return code;
}

/* All retained checkpoints. When one is gone that was just listed, the job has
   committed others, and the list is read again. */
static int
objects_needs(objects_pass *pass)
{
  int code = CLI_NOT_FOUND, tries;

  for (tries = 0; code == CLI_NOT_FOUND && tries < OBJECTS_TRIES; tries++) {
    objects_dispose(pass);
    code = objects_needs_once(pass);
  }
  if (code == CLI_NOT_FOUND)
    cli_warn("the job's checkpoints come and go too fast to be read");
  return code == CLI_NOT_FOUND ? CLI_FAILED : code;
}

/* The checkpoints that need `name`, as "7,8"; 0 if none does. */
static int
objects_needed_by(const objects_pass *pass, const char *name, char *text,
                  size_t size)
{
  size_t i, len = 0;

  text[0] = '\0';
  for (i = 0; i < pass->need_count && len + 24 < size; i++)
    if (names_has(&pass->needs[i].names, name))
      len += (size_t)snprintf(text + len, size - len, "%s%" PRIu64,
                              len == 0 ? "" : ",", pass->needs[i].id);
  return len != 0;
}

static const char *
objects_kind(uint32_t kind)
{
  switch (kind) {
  case PATH_SEGMENT:
    return "segment";
  case PATH_MANIFEST:
    return "manifest";
  case PATH_METADATA:
    return "metadata";
  case PATH_HEAD:
  case PATH_HEAD_NUMBERED:
    return "head";
  case PATH_PIN:
    return "pin";
  default:
    return "other";
  }
}

static void
objects_print(objects_pass *pass, const sb_store_entry *entry,
              const path_info *info, const char *use, const char *ids)
{
  printer *out = &pass->c->out;

  print_row(out);
  print_text(out, "name", entry->name);
  print_number(out, "size", entry->size);
  print_text(out, "kind", objects_kind(info->kind));
  if (info->generation != 0)
    print_number(out, "generation", info->generation);
  print_text(out, "use", use);
  if (ids[0] != '\0')
    print_text(out, "checkpoints", ids);
  print_row_end(out);
}

/* Why an object is there: a checkpoint needs it, the running process may, it
   is the job's own, or nothing does. */
static const char *
objects_use(const objects_pass *pass, const path_info *info, int needed)
{
  if (needed)
    return "checkpoint";
  if (info->kind == PATH_HEAD || info->kind == PATH_HEAD_NUMBERED)
    return "job";
  if (info->kind == PATH_PIN)
    return "reader";
  if (info->kind == PATH_OTHER)
    return "unknown";
  return info->generation >= pass->generation ? "running" : "orphan";
}

static sb_status
objects_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  objects_pass *pass = arg;
  path_info info = paths_parse(pass->env->paths, pass->c->job, entry->name);
  char ids[256];
  int needed = objects_needed_by(pass, entry->name, ids, sizeof ids);
  const char *use = objects_use(pass, &info, needed);
  int orphan = strcmp(use, "orphan") == 0;

  if (cli_interrupted())
    return sb_error_set(err, SB_CANCELLED, "interrupted");
  pass->count[OBJECTS_ALL]++;
  pass->bytes[OBJECTS_ALL] += entry->size;
  pass->count[OBJECTS_ORPHAN] += (uint64_t)orphan;
  pass->bytes[OBJECTS_ORPHAN] += orphan ? entry->size : 0;
  pass->pins += info.kind == PATH_PIN;
  if (pass->print && (orphan || !pass->only_orphans))
    objects_print(pass, entry, &info, use, ids);
  return SB_OK;
}

static int
objects_list(objects_pass *pass)
{
  char prefix[PATH_SIZE];
  sb_error err;

  if (paths_checkpoints_prefix(pass->env->paths, pass->c->job, prefix,
                               &err) != SB_OK ||
      store_list(pass->env->host, pass->env->store, prefix, NULL,
                 objects_entry, pass, &err) != SB_OK ||
      paths_segments_prefix(pass->env->paths, pass->c->job, prefix, &err) !=
        SB_OK ||
      store_list(pass->env->host, pass->env->store, prefix, NULL,
                 objects_entry, pass, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

/* Opens the backend and reads what is needed by whom. */
static int
objects_open(cli *c, objects_pass *pass)
{
  head_version version;
  sb_error err;
  int code = cli_open_backend(c);

  pass->c = c;
  if (code != CLI_OK)
    return code;
  pass->env = inside_env(c);
  if (pass->env == NULL)
    return CLI_FAILED;
  if (head_read(pass->env, c->job, &version, &err) != SB_OK)
    return cli_fail(&err);
  /* What a claimed job has is its claimer's: this job calls nothing of it an
     orphan. */
  if (claim_claimer(version.head.job_id) == NULL)
    pass->generation = version.head.generation;
  return objects_needs(pass);
}

static void
objects_totals(objects_pass *pass)
{
  printer *out = &pass->c->out;

  print_number(out, "generation", pass->generation);
  print_number(out, "object_count", pass->count[OBJECTS_ALL]);
  print_number(out, "bytes", pass->bytes[OBJECTS_ALL]);
  print_number(out, "orphans", pass->count[OBJECTS_ORPHAN]);
  print_number(out, "orphan_bytes", pass->bytes[OBJECTS_ORPHAN]);
  print_number(out, "pins", pass->pins);
}

int
objects_run(cli *c)
{
  objects_pass pass = { .print = 1 };
  int code = objects_open(c, &pass);

  if (code == CLI_OK) {
    pass.only_orphans = cli_has(c, OPTION_ORPHANS);
    print_begin(&c->out, stdout, cli_has(c, OPTION_JSON));
    print_list(&c->out, "objects", "object");
    code = objects_list(&pass);
    print_list_end(&c->out);
    objects_totals(&pass);
    (void)print_end(&c->out);
  }
  objects_dispose(&pass);
  return code;
}

/* ---- gc ----------------------------------------------------------------- */

static int
gc_dry_run(cli *c)
{
  objects_pass pass = { .print = 0 };
  int code = objects_open(c, &pass);

  if (code == CLI_OK)
    code = objects_list(&pass);
  if (code == CLI_OK) {
    print_begin(&c->out, stdout, cli_has(c, OPTION_JSON));
    print_flag(&c->out, "dry_run", 1);
    objects_totals(&pass);
    (void)print_end(&c->out);
  }
  objects_dispose(&pass);
  return code;
}

static void
gc_print(cli *c, const sb_gc_report *report)
{
  printer *out = &c->out;

  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  print_flag(out, "dry_run", 0);
  print_number(out, "object_count", report->objects);
  print_number(out, "bytes", report->bytes);
  print_number(out, "orphans", report->orphans);
  print_number(out, "orphan_bytes", report->orphan_bytes);
  print_number(out, "removed", report->removed);
  print_number(out, "failed", report->failed);
  print_number(out, "pins", report->pins);
  (void)print_end(out);
}

int
gc_run(cli *c)
{
  sb_gc_report report = { .struct_size = sizeof report };
  sb_job *job;
  sb_error err;
  int code;

  if (!cli_has(c, OPTION_YES))
    return gc_dry_run(c);
  if (!cli_has(c, OPTION_TAKE_OVER))
    return cli_refuse("removing objects takes the job over: a process that "
                      "runs it is fenced and stops; say --take-over if that "
                      "is wanted");
  code = cli_open_backend(c);
  if (code == CLI_OK)
    code = inside_takeover(c, &job);
  if (code != CLI_OK)
    return code;
  if (c->backend->ops->gc(job, cli_has(c, OPTION_PINS) ? SB_GC_PINS : 0,
                          &report, &err) != SB_OK)
    code = cli_fail(&err);
  else
    gc_print(c, &report);
  c->backend->ops->job_close(job);
  return code == CLI_OK && report.failed != 0 ? CLI_FAILED : code;
}
