/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that links to nothing of the library: it loads libstatebackend.so,
 * fetches sb_api() and keeps a word in a local backend through the table.
 * Usage: dlopen_api LIBRARY DIRECTORY. Prints what it did.
 */
#include "config.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <statebackend/statebackend.h>

typedef const sb_api_table *api_fn(uint32_t version);

static const sb_api_table *api;

static int
fail(const char *what, const sb_error *err)
{
  printf("%s: %s: %s\n", what, api->status_name(err->status), err->message);
  return 1;
}

/* Every member must be there: a forgotten one would be NULL. */
static int
check_table(void)
{
  size_t offset;

  if (api->struct_size != sizeof *api || api->api_version != SB_API_VERSION)
    return 1;
  for (offset = offsetof(sb_api_table, status_name); offset < sizeof *api;
       offset += sizeof (void (*)(void))) {
    void (*member)(void);

    memcpy(&member, (const char *)api + offset, sizeof member);
    if (member == NULL)
      return 1;
  }
  printf("table: %zu members\n",
         (sizeof *api - offsetof(sb_api_table, status_name)) /
           sizeof (void (*)(void)));
  return 0;
}

static void
set_event(void *arg)
{
  const sb_host *host = api->host_default();

  host->event_set(host, arg);
}

static int
run_task(void)
{
  const sb_host *host = api->host_default();
  sb_event *event = host->event_new(host);
  sb_error err;

  if (host->execute(host, SB_LANE_IO, set_event, event, &err) != SB_OK)
    return fail("execute", &err);
  (void)host->event_wait(host, event, SB_NO_DEADLINE);
  host->event_free(host, event);
  printf("task: ran\n");
  return 0;
}

static int
use_state(sb_keyed *keyed)
{
  sb_context *context;
  sb_value *value;
  sb_slice got;
  sb_error err;
  int failed = 1;

  if (api->context_new(keyed, api->host_default(), 128, 0, 127, &context,
                       &err) != SB_OK)
    return fail("context", &err);
  if (api->value_open(context, "word", &value, &err) != SB_OK ||
      api->context_set_key(context, sb_slice_of("key", 3), &err) != SB_OK ||
      api->value_put(value, sb_slice_of("hello", 5), &err) != SB_OK ||
      api->value_get(value, &got, &err) != SB_OK)
    (void)fail("value", &err);
  else
    failed = got.len != 5 || memcmp(got.data, "hello", 5) != 0;
  api->context_free(context);
  if (!failed)
    printf("value: hello\n");
  return failed;
}

static int
use_backend(const char *directory)
{
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = "",
    .operator_id = "",
    .key_group_count = 128,
    .key_group_last = 127,
    .generation = 1,
  };
  sb_config *config;
  sb_backend *backend = NULL;
  sb_keyed *keyed;
  sb_error err;
  int failed = 1;

  if (api->config_new(&config, &err) != SB_OK ||
      api->config_set(config, "state.backend", "local", NULL, &err) != SB_OK ||
      api->config_set(config, "state.backend.local.dir", directory, NULL,
                      &err) != SB_OK ||
      api->backend_open(config, NULL, &backend, &err) != SB_OK)
    return fail("backend", &err);
  api->config_free(config);
  if (api->backend_keyed(backend, &options, &keyed, &err) != SB_OK) {
    (void)fail("keyed", &err);
  } else {
    failed = use_state(keyed);
    keyed->ops->close(keyed);
  }
  api->backend_close(backend);
  return failed;
}

int
main(int argc, char **argv)
{
  void *library, *symbol;
  api_fn *get_api;

  if (argc != 3)
    return 2;
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  symbol = library == NULL ? NULL : dlsym(library, "sb_api");
  if (symbol == NULL) {
    printf("%s\n", dlerror());
    return 1;
  }
  memcpy(&get_api, &symbol, sizeof get_api);
  api = get_api(SB_API_VERSION);
  if (api == NULL || get_api(SB_API_VERSION + 1) != NULL || check_table() != 0)
    return 1;
  printf("version: %s\n", api->version());
  if (run_task() != 0 || use_backend(argv[2]) != 0)
    return 1;
  /* The lanes' threads still wait in the library. */
  return dlclose(library) == 0 ? 0 : 1;
}
