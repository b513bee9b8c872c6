/* SPDX-License-Identifier: Apache-2.0 */
/* Completions that a thread can wait for; see wait.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "host/store/wait.h"

sb_status
store_wait_init(store_wait *wait, const sb_host *host, sb_error *err)
{
  memset(wait, 0, sizeof *wait);
  wait->host = host;
  wait->event = host->event_new(host);
  if (wait->event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "out of memory for an event");
  return SB_OK;
}

void
store_wait_dispose(store_wait *wait)
{
  if (wait->event != NULL)
    wait->host->event_free(wait->host, wait->event);
  wait->event = NULL;
}

/* A store may leave out the words, never the status. */
static void
wait_fail(store_wait *wait, sb_status status, const sb_error *error)
{
  if (status > 0)
    status = SB_IO;
  wait->status = status;
  if (error != NULL)
    wait->error = *error;
  else
    wait->error.message[0] = '\0';
  wait->error.status = status;
  wait->error.message[sizeof wait->error.message - 1] = '\0';
}

static void
wait_done(void *arg, const sb_store_result *result)
{
  store_wait *wait = arg;
  sb_status kept = SB_OK;

  if (result->status != SB_OK) {
    wait_fail(wait, result->status, result->error);
  } else {
    wait->status = SB_OK;
    wait->length = result->length;
    wait->meta.size = result->size;
    memcpy(wait->meta.etag, result->etag, sizeof wait->meta.etag);
    wait->meta.etag[SB_ETAG_MAX] = '\0';
    if (wait->keep != NULL)
      kept = wait->keep(wait->keep_arg, result);
    if (kept != SB_OK)
      wait_fail(wait, kept, NULL);
  }
  wait->host->event_set(wait->host, wait->event);
}

void
store_wait_prepare(store_wait *wait, sb_request *request, uint32_t size,
                   uint32_t priority)
{
  request->struct_size = size;
  request->priority = priority == 0 ? SB_PRIORITY_READ : priority;
  request->done = wait_done;
  request->arg = wait;
  wait->status = SB_IO;
  wait->error.message[0] = '\0';
  wait->error.system = 0;
}

/* Messages may cut long names. */
static int
wait_names(const char *message, const char *name)
{
  char start[101];

  (void)snprintf(start, sizeof start, "%s", name);
  return start[0] != '\0' && strstr(message, start) != NULL;
}

static sb_status
wait_error(const store_wait *wait, const char *operation, const char *name,
           sb_error *err)
{
  const char *message = wait->error.message;

  if (message[0] == '\0')
    message = sb_status_name(wait->status);
  if (err == NULL)
    return wait->status;
  if (wait_names(message, name))
    sb_error_set(err, wait->status, "%s", message);
  else
    sb_error_set(err, wait->status, "could not %s \"%.300s\": %s", operation,
                 name, message);
  err->system = wait->error.system;
  return wait->status;
}

sb_status
store_wait_end(store_wait *wait, sb_status submitted, const char *operation,
               const char *name, sb_error *err)
{
  if (submitted == SB_OK) {
    while (wait->host->event_wait(wait->host, wait->event, SB_NO_DEADLINE)
           != SB_OK)
      continue;
  } else {
    sb_error copy = wait->error;

    wait_fail(wait, submitted, &copy);
  }
  return wait->status == SB_OK ? SB_OK
                               : wait_error(wait, operation, name, err);
}
