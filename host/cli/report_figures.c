/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes by state and key group, see report.h. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/mem.h"
#include "host/cli/report.h"
#include "host/cli/verify.h"
#include "host/engine/block.h"
#include "host/store/store.h"

/* A segment being read. */
typedef struct report_pass {
  report_figures *f;
  const sb_host *host;
  sb_store *store;
  const manifest_segment *segment;
  const char *operator_id;
  report_groups *groups;
  uint8_t *tail;
  progress *bar;
} report_pass;

static sb_status
report_no_memory(sb_error *err)
{
  return sb_error_set(err, SB_NO_MEMORY, "out of memory");
}

/* ---- adding up ---------------------------------------------------------- */

static report_state *
report_find(const report_pass *pass, uint32_t id)
{
  size_t i;

  for (i = 0; i < pass->f->state_count; i++)
    if (pass->f->states[i].id == id &&
        strcmp(pass->f->states[i].operator_id, pass->operator_id) == 0)
      return &pass->f->states[i];
  return NULL;
}

/* Bytes of one state in one key group, if the view has that. */
static void
report_add(const report_pass *pass, uint32_t key_group, uint32_t id,
           uint64_t stored, uint64_t raw, uint64_t records)
{
  report_state *state = report_find(pass, id);

  if (key_group < pass->segment->key_group_first ||
      key_group > pass->segment->key_group_last ||
      key_group >= pass->groups->count)
    return;
  pass->groups->stored[key_group] += stored;
  if (state == NULL)
    return;
  state->stored += stored;
  state->raw += raw;
  state->records += records;
}

/* ---- blocks ------------------------------------------------------------- */

/* Spreads the stored bytes of a block over its records, by their length. */
static void
report_block(const report_pass *pass, const segment_block_ref *ref,
             const block *b)
{
  uint64_t total = 0, left = ref->stored_len, len, share;
  record r;
  uint32_t i;

  for (i = 0; i < b->count; i++) {
    block_at(b, i, &r);
    total += r.ns.len + r.key.len + r.subkey.len + r.value.len + 1;
  }
  for (i = 0; i < b->count; i++) {
    block_at(b, i, &r);
    len = r.ns.len + r.key.len + r.subkey.len + r.value.len + 1;
    share = i + 1 == b->count ? left
                              : (uint64_t)((double)ref->stored_len *
                                           (double)len / (double)total);
    share = share < left ? share : left;
    left -= share;
    report_add(pass, r.key_group, r.state, share, len - 1, 1);
  }
}

static sb_status
report_read_block(const report_pass *pass, const segment_block_ref *ref,
                  sb_error *err)
{
  uint8_t *stored = mem_alloc(pass->host, ref->stored_len);
  uint8_t *raw = mem_alloc(pass->host, ref->raw_len);
  uint64_t got = 0;
  sb_status status = SB_OK;
  block b;

  if (stored == NULL || raw == NULL)
    status = report_no_memory(err);
  if (status == SB_OK)
    status = store_get(pass->host, pass->store, pass->segment->name,
                       ref->offset, stored, ref->stored_len, &got, NULL,
                       SB_PRIORITY_BACKGROUND, err);
  if (status == SB_OK && got != ref->stored_len)
    status = sb_error_set(err, SB_CORRUPT, "object \"%s\" is shorter than its "
                          "manifest says", pass->segment->name);
  if (status == SB_OK)
    status = segment_block_decode(&pass->segment->info, ref, stored, raw, err);
  if (status == SB_OK)
    status = block_check(raw, ref->raw_len, err);
  if (status == SB_OK) {
    block_view(raw, ref->raw_len, &b);
    report_block(pass, ref, &b);
  }
  mem_free(pass->host, stored);
  mem_free(pass->host, raw);
  progress_add(pass->bar, ref->stored_len);
  return status;
}

/* What a block adds if only the bounds of it and of the next one are known:
   it is spread evenly over the key groups from one to the other. */
static void
report_guess(const report_pass *pass, const segment_block_ref *ref,
             uint64_t word, uint32_t last)
{
  uint32_t first = (uint32_t)(word >> 48), g;
  uint64_t count = last > first ? last - first + 1 : 1, left = count;
  uint64_t stored = ref->stored_len, raw = ref->raw_len;

  for (g = first; left != 0; g++, left--) {
    report_add(pass, g, (uint32_t)(word >> 16), stored / left, raw / left, 0);
    stored -= stored / left;
    raw -= raw / left;
  }
}

static sb_status
report_partition(const report_pass *pass, const segment_directory *directory,
                 uint32_t index, sb_error *err)
{
  const segment_partition_info *at = segment_directory_at(directory, index);
  const segment_info *info = &pass->segment->info;
  segment_partition partition;
  segment_block_ref ref;
  sb_status status = SB_OK;
  uint64_t word, next;
  const uint8_t *bytes;
  uint32_t i, count;

  if (at->offset < info->tail_offset || at->offset + at->len > info->size)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": partition %u is not "
                        "in the tail", pass->segment->name, (unsigned)index);
  bytes = pass->tail + (at->offset - info->tail_offset);
  status = segment_partition_check(info, index, bytes, at->len, err);
  if (status != SB_OK)
    return status;
  segment_partition_view(bytes, at->len, &partition);
  count = segment_partition_count(&partition);
  for (i = 0; status == SB_OK && i < count; i++) {
    if (cli_interrupted())
      return sb_error_set(err, SB_CANCELLED, "interrupted");
    segment_partition_at(&partition, i, &ref);
    word = load_u64(partition.words + (size_t)i * 8);
    next = i + 1 == count ? (uint64_t)at->key_group_last << 48
                          : load_u64(partition.words + (size_t)(i + 1) * 8);
    if (pass->f->exact)
      status = report_read_block(pass, &ref, err);
    else
      report_guess(pass, &ref, word, (uint32_t)(next >> 48));
  }
  return status;
}

/* ---- segments ----------------------------------------------------------- */

static sb_status
report_read_tail(report_pass *pass, segment_directory **directory,
                 sb_error *err)
{
  const segment_info *info = &pass->segment->info;
  uint64_t got;
  sb_status status = verify_offsets(pass->segment, err);

  if (status != SB_OK)
    return status;
  pass->tail = mem_alloc(pass->host, (size_t)info->tail_len);
  if (pass->tail == NULL)
    return report_no_memory(err);
  status = store_get(pass->host, pass->store, pass->segment->name,
                     info->tail_offset, pass->tail, info->tail_len, &got, NULL,
                     SB_PRIORITY_BACKGROUND, err);
  if (status != SB_OK)
    return status;
  if (got != info->tail_len)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\" is shorter than its "
                        "manifest says", pass->segment->name);
  progress_add(pass->bar, got);
  return segment_directory_open(
    pass->host, info, pass->tail + (info->directory_offset -
                                    info->tail_offset),
    (size_t)(info->size - info->directory_offset), directory, err);
}

static sb_status
report_segment(report_pass *pass, sb_error *err)
{
  segment_directory *directory = NULL;
  sb_status status = report_read_tail(pass, &directory, err);
  uint32_t i;

  for (i = 0; status == SB_OK && i < segment_directory_count(directory); i++)
    status = report_partition(pass, directory, i, err);
  if (directory != NULL)
    segment_directory_free(pass->host, directory);
  mem_free(pass->host, pass->tail);
  pass->tail = NULL;
  pass->f->segments++;
  return status;
}

static int
report_segments(report_pass *pass, const origin *s)
{
  const inside *in = &s->in;
  const manifest *m;
  sb_error err;
  uint32_t i;
  size_t k, g;

  for (i = 0; i < in->checkpoint->info.part_count; i++) {
    m = in->manifests[i];
    g = 0;
    while (strcmp(pass->f->operators[g].operator_id, m->operator_id) != 0)
      g++;
    pass->groups = &pass->f->operators[g];
    pass->operator_id = pass->groups->operator_id;
    for (k = 0; k < m->segment_count; k++) {
      pass->segment = &m->segments[k];
      if (pass->segment->root == NULL && report_segment(pass, &err) != SB_OK) {
        progress_clear(pass->bar);
        return origin_fail(&err);
      }
    }
  }
  return CLI_OK;
}

/* ---- all ---------------------------------------------------------------- */

static int
report_begin(const origin *s, report_figures *f)
{
  const origin_operator *o;
  size_t i, k, states = 0;

  for (i = 0; i < s->operator_count; i++)
    states += s->operators[i].state_count;
  f->states = calloc(states + 1, sizeof *f->states);
  f->operators = calloc(s->operator_count + 1, sizeof *f->operators);
  if (f->states == NULL || f->operators == NULL)
    return -1;
  for (i = 0; i < s->operator_count; i++) {
    o = &s->operators[i];
    f->operators[i].operator_id = o->id;
    f->operators[i].count = o->key_group_count;
    f->operators[i].stored = calloc(o->key_group_count + 1u,
                                    sizeof *f->operators[i].stored);
    f->operator_count++;
    if (f->operators[i].stored == NULL)
      return -1;
    for (k = 0; k < o->state_count; k++) {
      report_state *state = &f->states[f->state_count++];

      state->operator_id = o->id;
      state->name = o->states[k].state->name;
      state->id = o->states[k].state->id;
      state->kind = o->states[k].state->kind;
    }
  }
  return 0;
}

int
report_figures_read(cli *c, const origin *s, report_figures *f)
{
  const inside *in = &s->in;
  uint64_t size = 0, tails = 0;
  progress bar;
  report_pass pass = { .f = f, .host = inside_host(), .bar = &bar };
  uint32_t i;
  size_t k;
  int code;

  memset(f, 0, sizeof *f);
  pass.store = inside_store(c);
  if (pass.store == NULL)
    return CLI_FAILED;
  if (report_begin(s, f) != 0)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  for (i = 0; i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->segment_count; k++) {
      size += in->manifests[i]->segments[k].info.size;
      tails += in->manifests[i]->segments[k].info.tail_len;
    }
  f->exact = size <= REPORT_EXACT_MAX;
  progress_begin(&bar, "reading", f->exact ? size : tails);
  code = report_segments(&pass, s);
  progress_end(&bar);
  return code;
}

void
report_figures_dispose(report_figures *f)
{
  size_t i;

  for (i = 0; i < f->operator_count; i++)
    free(f->operators[i].stored);
  free(f->operators);
  free(f->states);
  memset(f, 0, sizeof *f);
}
