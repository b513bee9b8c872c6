/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses and errors: their names, and how a failure is put into words. */
#include "config.h"

#include <statebackend/plugin.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.0.0"
#endif

static const struct error_entry {
  sb_status status;
  int retryable;
  const char *name;
} error_entries[] = {
  { SB_OK, 0, "ok" },
  { SB_NOT_FOUND, 0, "not_found" },
  { SB_END, 0, "end" },
  { SB_EXISTS, 0, "exists" },
  { SB_CONFLICT, 0, "conflict" },
  { SB_BUSY, 1, "busy" },
  { SB_FENCED, 0, "fenced" },
  { SB_CANCELLED, 0, "cancelled" },
  { SB_TIMEOUT, 1, "timeout" },
  { SB_UNKNOWN, 0, "unknown" },
  { SB_DENIED, 0, "denied" },
  { SB_NO_SPACE, 1, "no_space" },
  { SB_NO_MEMORY, 1, "no_memory" },
  { SB_TOO_LARGE, 0, "too_large" },
  { SB_INVALID, 0, "invalid" },
  { SB_UNSUPPORTED, 0, "unsupported" },
  { SB_CORRUPT, 0, "corrupt" },
  { SB_IO, 1, "io" },
  { SB_CONFIG, 0, "config" },
  { SB_MISMATCH, 0, "mismatch" },
  { SB_UNAVAILABLE, 1, "unavailable" },
};

static const struct error_entry *
error_find(sb_status status)
{
  size_t i;

  for (i = 0; i < sizeof error_entries / sizeof error_entries[0]; i++)
    if (error_entries[i].status == status)
      return &error_entries[i];
  return NULL;
}

/* Numbers of later versions count as SB_IO. */
const char *
sb_status_name(sb_status status)
{
  const struct error_entry *entry = error_find(status);

  return entry == NULL ? "io" : entry->name;
}

int
sb_status_retryable(sb_status status)
{
  const struct error_entry *entry = error_find(status);

  return entry == NULL ? 1 : entry->retryable;
}

/* A message is one line: what is printed in it may hold anything. */
static void
error_one_line(char *text)
{
  for (; *text != '\0'; text++)
    if ((unsigned char)*text < 0x20 || *text == 0x7f)
      *text = ' ';
}

sb_status
sb_error_set(sb_error *err, sb_status status, const char *format, ...)
{
  va_list args;

  if (err == NULL)
    return status;
  err->status = status;
  err->system = 0;
  va_start(args, format);
  (void)vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  error_one_line(err->message);
  return status;
}

const char *
sb_version(void)
{
  return PACKAGE_VERSION;
}
