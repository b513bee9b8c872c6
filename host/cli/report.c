/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl report: a checkpoint as one page of HTML. Style and drawings are in
 * the page, so it can be sent as it is; what comes from the job is escaped.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/html.h"
#include "host/cli/report.h"
#include "host/engine/names.h"

#define REPORT_BARS 256u      /* in a drawing, at most */
#define REPORT_WIDTH 900u
#define REPORT_HEIGHT 160u
#define REPORT_OBJECTS 1000u  /* rows of the table of objects */

/* One retained checkpoint, for the history. */
typedef struct report_past {
  sb_checkpoint_info info;    /* without its name */
  names objects;
  uint64_t new_bytes;         /* of objects that the one before has not */
} report_past;

typedef struct report {
  cli *c;
  origin origin;
  report_figures figures;
  report_past *past;          /* newest first */
  size_t past_count;
  int is_checkpoint;          /* and so has a history */
} report;

static const char report_style[] =
  "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;"
  "padding:0 1rem;color:#1c2733;background:#fff}"
  "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}"
  "table{border-collapse:collapse;width:100%}"
  "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d9e0e6;"
  "vertical-align:top}"
  "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
  "code{font-size:.85em;overflow-wrap:anywhere}"
  "svg{width:100%;height:auto}svg rect{fill:#2f6f9f}svg text{font-size:12px;"
  "fill:#5a6875}.note{color:#5a6875}"
  "@media(prefers-color-scheme:dark){body{background:#11171d;color:#dbe3ea}"
  "th,td{border-color:#2c3944}svg rect{fill:#6aa9d8}}";

/* ---- history ------------------------------------------------------------ */

/* What a checkpoint needs; it is pinned meanwhile. One that is gone by now is
   left out. */
static int
report_read_past(report *r, const sb_checkpoint_info *info)
{
  report_past *past = &r->past[r->past_count];
  const manifest *m;
  inside in;
  uint32_t i;
  size_t k;
  int code = inside_open(r->c, info->id, 1, &in);

  if (code == CLI_NOT_FOUND)
    return CLI_OK;
  if (code != CLI_OK)
    return code;
  past->info = *info;
  past->info.name = NULL;
  names_init(&past->objects, inside_host());
  r->past_count++;
  for (i = 0; i < in.checkpoint->info.part_count; i++) {
    m = in.manifests[i];
    for (k = 0; k < m->segment_count; k++)
      if (m->segments[k].root == NULL)
        names_add(&past->objects, m->segments[k].name,
                  m->segments[k].info.size);
  }
  names_sort(&past->objects);
  inside_close(&in);
  if (past->objects.status != SB_OK)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  return CLI_OK;
}

static void
report_find_new(report *r)
{
  const names *mine;
  size_t i, k;

  for (i = 0; i < r->past_count; i++) {
    mine = &r->past[i].objects;
    for (k = 0; k < mine->count; k++)
      if (i + 1 == r->past_count ||
          !names_has(&r->past[i + 1].objects, names_at(mine, k)))
        r->past[i].new_bytes += names_number(mine, k);
  }
}

static int
report_read_history(report *r)
{
  sb_checkpoint_info *list;
  size_t count, i;
  int code = inside_list(r->c, &list, &count);

  if (code != CLI_OK)
    return code;
  r->past = calloc(count + 1, sizeof *r->past);
  if (r->past == NULL)
    code = cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  for (i = 0; code == CLI_OK && i < count; i++)
    code = report_read_past(r, &list[i]);
  r->c->backend->ops->list_free(r->c->backend, list, count);
  report_find_new(r);
  return code;
}

static void
report_history(const report *r)
{
  const report_past *past;
  uint64_t before;
  size_t i;

  if (r->past_count == 0)
    return;
  fputs("<h2>History</h2><p class=note>The checkpoints retained. New are the "
        "bytes of objects that the one before it has not got; of the oldest, "
        "all.</p><table><tr><th class=n>Checkpoint<th class=n>Generation"
        "<th>Created<th class=n>Since the one before<th class=n>Size"
        "<th class=n>New</tr>\n", stdout);
  for (i = 0; i < r->past_count; i++) {
    past = &r->past[i];
    fputs("<tr>", stdout);
    html_number_cell(past->info.id);
    html_number_cell(past->info.generation);
    fputs("<td>", stdout);
    html_time(past->info.created_ms);
    before = i + 1 < r->past_count ? r->past[i + 1].info.created_ms : 0;
    if (before == 0 || before > past->info.created_ms)
      fputs("<td class=n>-</td>", stdout);
    else
      printf("<td class=n>%.3f s</td>",
             (double)(past->info.created_ms - before) / 1000);
    html_bytes_cell(past->info.size);
    html_bytes_cell(past->new_bytes);
    fputs("</tr>\n", stdout);
  }
  fputs("</table>\n", stdout);
}

/* ---- states ------------------------------------------------------------- */

static void
report_states(const report *r)
{
  const report_figures *f = &r->figures;
  const report_state *state;
  uint64_t total = 0;
  size_t i;

  for (i = 0; i < f->state_count; i++)
    total += f->states[i].stored;
  printf("<h2>States</h2><p class=note>%s</p><table><tr><th>Operator<th>State"
         "<th>Kind<th class=n>In objects<th class=n>Share<th class=n>Raw%s"
         "</tr>\n", f->exact
           ? "Every block was read. Records count with tombstones and with "
             "what newer ones supersede."
           : "From the indexes of the segments: a block counts for the state "
             "that it begins with.",
         f->exact ? "<th class=n>Records" : "");
  for (i = 0; i < f->state_count; i++) {
    state = &f->states[i];
    fputs("<tr>", stdout);
    html_cell(state->operator_id);
    fputs("<td>", stdout);
    html_escape(state->name);
    html_cell(inside_kind(state->kind));
    html_bytes_cell(state->stored);
    printf("<td class=n>%.1f %%</td>",
           total == 0 ? 0.0
                      : 100.0 * (double)state->stored / (double)total);
    html_bytes_cell(state->raw);
    if (f->exact)
      html_number_cell(state->records);
    fputs("</tr>\n", stdout);
  }
  fputs("</table>\n", stdout);
}

/* ---- key groups --------------------------------------------------------- */

/* One bar for each key group, or for several neighbours if there are many. */
static void
report_bars(const report_groups *g, uint64_t most, uint32_t each)
{
  uint32_t bars = (g->count + each - 1) / each, i, k;
  double width = (double)REPORT_WIDTH / bars, height;
  uint64_t sum;

  printf("<svg viewBox=\"0 0 %u %u\" role=img aria-label=\"bytes by key "
         "group\">", REPORT_WIDTH, REPORT_HEIGHT + 20);
  for (i = 0; i < bars; i++) {
    sum = 0;
    for (k = i * each; k < (i + 1) * each && k < g->count; k++)
      sum += g->stored[k];
    height = most == 0 ? 0
                       : (double)REPORT_HEIGHT * (double)sum / (double)most;
    printf("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\">"
           "<title>%" PRIu32, i * width, REPORT_HEIGHT - height, width * 0.9,
           height, i * each);
    if (each > 1)
      printf(" to %" PRIu32, k - 1);
    fputs(": ", stdout);
    html_bytes(sum);
    fputs("</title></rect>", stdout);
  }
  printf("<text x=\"0\" y=\"%u\">0</text><text x=\"%u\" y=\"%u\" "
         "text-anchor=end>%" PRIu32 "</text></svg>\n", REPORT_HEIGHT + 16,
         REPORT_WIDTH, REPORT_HEIGHT + 16, g->count - 1);
}

static void
report_operator(const report_groups *g)
{
  uint32_t each = (g->count + REPORT_BARS - 1) / REPORT_BARS, i;
  uint64_t total = 0, largest = 0, most = 0, sum = 0;
  uint32_t at = 0;

  for (i = 0; i < g->count; i++) {
    sum = i % each == 0 ? g->stored[i] : sum + g->stored[i];
    most = sum > most ? sum : most;
    total += g->stored[i];
    if (g->stored[i] > largest) {
      largest = g->stored[i];
      at = i;
    }
  }
  fputs("<h2>Key groups", stdout);
  if (g->operator_id[0] != '\0') {
    fputs(" of ", stdout);
    html_text(g->operator_id);
  }
  printf("</h2><p>%" PRIu32 " key groups with ", g->count);
  html_bytes(total);
  if (total != 0) {
    printf("; the largest is %" PRIu32 " with ", at);
    html_bytes(largest);
    printf(", %.2f times the mean",
           (double)largest * (double)g->count / (double)total);
  }
  fputs(".</p>\n", stdout);
  report_bars(g, most, each);
}

/* ---- objects ------------------------------------------------------------ */

/* A segment as one part sees it. */
typedef struct report_object {
  const manifest_segment *segment;
  const manifest *part;
} report_object;

static int
report_compare(const void *a, const void *b)
{
  const report_object *x = a, *y = b;

  if (x->segment->info.size != y->segment->info.size)
    return x->segment->info.size < y->segment->info.size ? 1 : -1;
  return strcmp(x->segment->name, y->segment->name);
}

static report_object *
report_list_objects(const inside *in, size_t *count)
{
  size_t total = 0, k;
  report_object *objects;
  uint32_t i;

  for (i = 0; i < in->checkpoint->info.part_count; i++)
    total += in->manifests[i]->segment_count;
  objects = calloc(total + 1, sizeof *objects);
  *count = 0;
  for (i = 0; objects != NULL && i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->segment_count; k++) {
      objects[*count].segment = &in->manifests[i]->segments[k];
      objects[(*count)++].part = in->manifests[i];
    }
  if (*count != 0)
    qsort(objects, *count, sizeof *objects, report_compare);
  return objects;
}

static void
report_object_row(const report *r, const report_object *object)
{
  const manifest_segment *segment = object->segment;
  const char *between = "";
  size_t i;

  fputs("<tr><td><code>", stdout);
  html_text(segment->name);
  fputs("</code>", stdout);
  if (segment->root != NULL) {
    fputs(" in ", stdout);
    html_text(segment->root);
  }
  html_bytes_cell(segment->info.size);
  html_number_cell(segment->info.records);
  printf("<td class=n>%u to %u</td><td>", (unsigned)segment->key_group_first,
         (unsigned)segment->key_group_last);
  html_text(object->part->operator_id);
  printf(" %" PRIu32 "</td>", object->part->subtask);
  if (r->is_checkpoint) {
    fputs("<td>", stdout);
    for (i = 0; i < r->past_count; i++)
      if (names_has(&r->past[i].objects, segment->name)) {
        printf("%s%" PRIu64, between, r->past[i].info.id);
        between = ", ";
      }
    fputs("</td>", stdout);
  }
  fputs("</tr>\n", stdout);
}

static int
report_objects(const report *r)
{
  size_t count, i;
  report_object *objects = report_list_objects(&r->origin.in, &count);

  if (objects == NULL)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  printf("<h2>Objects</h2><p class=note>%zu segments, the largest first%s; "
         "one line for each subtask that reads one.</p><table><tr><th>Name"
         "<th class=n>Size<th class=n>Records<th class=n>Key groups read"
         "<th>Subtask%s</tr>\n", count,
         count > REPORT_OBJECTS ? ", of which 1,000 are shown" : "",
         r->is_checkpoint ? "<th>Checkpoints that need it" : "");
  for (i = 0; i < count && i < REPORT_OBJECTS; i++)
    report_object_row(r, &objects[i]);
  fputs("</table>\n", stdout);
  free(objects);
  return CLI_OK;
}

/* ---- the page ----------------------------------------------------------- */

static void
report_head(const report *r, const origin_name *name)
{
  const sb_checkpoint_info *info = &r->origin.in.checkpoint->info;
  char title[64];

  (void)snprintf(title, sizeof title, "Checkpoint %" PRIu64, info->id);
  fputs("<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content=\"width=device-width\"><title>", stdout);
  html_text(title);
  if (r->c->job[0] != '\0') {
    fputs(" of ", stdout);
    html_text(r->c->job);
  }
  printf("</title><style>%s</style></head><body>\n<h1>", report_style);
  html_text(title);
  if (name->text != NULL) {
    fputs(name->kind == ORIGIN_SAVEPOINT ? ", savepoint " : ", ", stdout);
    html_text(name->text);
  }
  if (r->c->job[0] != '\0') {
    fputs(" of job ", stdout);
    html_text(r->c->job);
  }
  fputs("</h1>\n<p>", stdout);
  if (info->created_ms != 0) {
    fputs("Created ", stdout);
    html_time(info->created_ms);
    fputs(". ", stdout);
  }
  printf("Generation %" PRIu64 ", %" PRIu32 " parts, %" PRIu64
         " segments read", info->generation, info->part_count,
         r->figures.segments);
  if (info->size != 0) {
    fputs(", ", stdout);
    html_bytes(info->size);
    fputs(" of objects", stdout);
  }
  fputs(".</p>\n", stdout);
}

static int
report_page(const report *r, const origin_name *name)
{
  size_t i;
  int code;

  report_head(r, name);
  report_states(r);
  for (i = 0; i < r->figures.operator_count; i++)
    report_operator(&r->figures.operators[i]);
  report_history(r);
  code = report_objects(r);
  printf("<p class=note>sbctl %s</p>\n</body></html>\n", sb_version());
  return code;
}

static void
report_dispose(report *r)
{
  size_t i;

  for (i = 0; i < r->past_count; i++)
    names_dispose(&r->past[i].objects);
  free(r->past);
  report_figures_dispose(&r->figures);
  if (r->origin.in.checkpoint != NULL)
    origin_close(&r->origin);
}

int
report_run(cli *c)
{
  report r = { .c = c };
  origin_name name;
  sb_error err;
  int code = origin_options(c, &name);

  if (code == CLI_OK && c->argument_count != 0 && name.kind != 0)
    code = cli_usage("'report' wants an ID, --savepoint or --metadata");
  if (code == CLI_OK && c->argument_count != 0)
    code = cli_number("ID", c->arguments[0], UINT64_MAX, &name.id);
  if (code == CLI_OK)
    code = cli_open_backend(c);
  if (code == CLI_OK && origin_open(c, &name, &r.origin, &err) != SB_OK)
    code = cli_fail(&err);
  r.is_checkpoint = name.kind == ORIGIN_CHECKPOINT;
  if (code == CLI_OK)
    code = report_figures_read(c, &r.origin, &r.figures);
  if (code == CLI_OK && r.is_checkpoint)
    code = report_read_history(&r);
  if (code == CLI_OK && !cli_interrupted())
    code = report_page(&r, &name);
  report_dispose(&r);
  return code;
}
