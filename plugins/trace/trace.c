/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace filter: one line for each operation when it ends, to the host's
 * log, to a file, or both. Lines of one file come whole also from several
 * processes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "plugins/filter/filter.h"

#define TRACE_KEY "state.backend.filter.trace."
#define TRACE_LINE (SB_OBJECT_NAME_MAX + 512u)

typedef struct trace {
  filter f;
  uint32_t mask;
  int to_log;
  int file;                 /* -1: none */
} trace;

static const sb_option trace_options[] = {
  { TRACE_KEY "file", SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "File that lines are appended to." },
  { TRACE_KEY "log", SB_TYPE_BOOL, 0, "true", 0, 0, NULL,
    "Write lines to the host's log." },
  { TRACE_KEY "operations", SB_TYPE_LIST, 0, NULL, 0, 0, NULL,
    "Operations to trace: get, put, open, write, commit, abort, head, list, "
    "remove, copy; all if empty." },
};

static const char *const trace_prefixes[] = { TRACE_KEY, NULL };

static const char *
trace_status(sb_status status, char *buf, size_t size)
{
  static const struct {
    sb_status status;
    const char *name;
  } table[] = {
    { SB_OK, "ok" },
    { SB_NOT_FOUND, "not_found" },
    { SB_EXISTS, "exists" },
    { SB_CONFLICT, "conflict" },
    { SB_BUSY, "busy" },
    { SB_CANCELLED, "cancelled" },
    { SB_TIMEOUT, "timeout" },
    { SB_UNKNOWN, "unknown" },
    { SB_DENIED, "denied" },
    { SB_NO_SPACE, "no_space" },
    { SB_NO_MEMORY, "no_memory" },
    { SB_TOO_LARGE, "too_large" },
    { SB_INVALID, "invalid" },
    { SB_UNSUPPORTED, "unsupported" },
    { SB_CORRUPT, "corrupt" },
    { SB_IO, "io" },
    { SB_UNAVAILABLE, "unavailable" },
  };
  size_t i;

  for (i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].status == status)
      return table[i].name;
  (void)snprintf(buf, size, "%d", status);
  return buf;
}

static void
trace_write(const trace *t, char *line, int len)
{
  if (len < 0)
    return;
  if ((size_t)len >= TRACE_LINE - 1)
    len = (int)TRACE_LINE - 2;
  if (t->to_log)
    t->f.host->log(t->f.host, SB_LOG_INFO, "trace", line);
  if (t->file < 0)
    return;
  line[len++] = '\n';
  (void)!write(t->file, line, (size_t)len);
}

static void
trace_after(filter_call *call, const sb_store_result *result)
{
  trace *t = (trace *)call->f;
  uint64_t now_ns = t->f.host->monotonic_ns(t->f.host);
  uint64_t bytes = call->kind == FILTER_GET ? result->length : call->bytes;
  char line[TRACE_LINE];
  char number[16];
  char detail[160] = "";

  if ((t->mask & 1u << call->kind) == 0) {
    filter_reply(call, result);
    return;
  }
  if (call->kind == FILTER_GET)
    (void)snprintf(detail, sizeof detail, " offset=%llu wanted=%llu",
                   (unsigned long long)call->request.get.offset,
                   (unsigned long long)call->bytes);
  else if (call->kind == FILTER_PUT)
    (void)snprintf(detail, sizeof detail, " condition=%.100s",
                   call->request.put.if_match != NULL
                     ? call->request.put.if_match
                     : (call->request.put.flags & SB_PUT_CREATE) != 0
                         ? "create" : "none");
  else if (call->kind == FILTER_LIST)
    (void)snprintf(detail, sizeof detail, " entries=%llu truncated=%u",
                   (unsigned long long)result->entry_count,
                   result->truncated);
  else if (call->kind == FILTER_REMOVE)
    (void)snprintf(detail, sizeof detail, " names=%llu",
                   (unsigned long long)call->request.remove.name_count);
  else if (call->stream != NULL)
    (void)snprintf(detail, sizeof detail, " stream=%p", (void *)call->stream);
  trace_write(t, line,
              snprintf(line, sizeof line,
                       "%s \"%s\" status=%s bytes=%llu us=%llu%s",
                       filter_names[call->kind], call->name,
                       trace_status(result->status, number, sizeof number),
                       (unsigned long long)bytes,
                       (unsigned long long)(now_ns - call->start_ns) / 1000,
                       detail));
  filter_reply(call, result);
}

static void
trace_opened(filter *f, const sb_stream_request *request,
             const sb_stream *stream, sb_status status)
{
  trace *t = (trace *)f;
  char line[TRACE_LINE];
  char number[16];

  if ((t->mask & 1u << FILTER_OPEN) != 0)
    trace_write(t, line,
                snprintf(line, sizeof line,
                         "open \"%s\" status=%s stream=%p", request->name,
                         trace_status(status, number, sizeof number),
                         (const void *)stream));
}

static void
trace_close(filter *f)
{
  trace *t = (trace *)f;

  if (t->file >= 0)
    close(t->file);
}

static const filter_hooks trace_hooks = {
  .after = trace_after,
  .opened = trace_opened,
  .close = trace_close,
};

static sb_status
trace_filter(const sb_host *host, const sb_config *config, sb_store *lower,
             sb_store **out, sb_error *err)
{
  const char *file = host->config_string(config, TRACE_KEY "file");
  uint32_t mask;
  filter *f;
  trace *t;
  sb_status status =
    filter_mask(TRACE_KEY "operations",
                host->config_string(config, TRACE_KEY "operations"), &mask,
                err);

  *out = NULL;
  if (status == SB_OK)
    status = filter_new(host, lower, &trace_hooks, sizeof *t, &f, err);
  if (status != SB_OK)
    return status;
  t = (trace *)f;
  t->mask = mask;
  t->to_log = host->config_int(config, TRACE_KEY "log") != 0;
  t->file = -1;
  if (file != NULL && file[0] != '\0') {
    t->file = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (t->file < 0) {
      filter_free(f);
      return sb_fail(err, SB_IO, "could not open trace file \"%.300s\": errno "
                     "%d", file, errno);
    }
  }
  *out = &f->base;
  return SB_OK;
}

static const sb_plugin trace_plugin = {
  .struct_size = sizeof trace_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "trace",
  .version = PACKAGE_VERSION,
  .description = "filter: one line for each operation",
  .kind = SB_KIND_FILTER,
  .option_size = sizeof(sb_option),
  .options = trace_options,
  .option_count = sizeof trace_options / sizeof trace_options[0],
  .prefixes = trace_prefixes,
  .filter = trace_filter,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &trace_plugin;
}
