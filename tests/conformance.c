/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance PLUGIN [--config FILE] [--set KEY=VALUE]...: proves that a
 * plugin's object store keeps the contract of <statebackend/store.h>, alone or
 * under filters (--set state.backend.filters=...). Prints TAP; exit status 0
 * if all went well. It works below a prefix of its own and removes everything
 * that it made.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance.h"

#define MAIN_SETTINGS_MAX 64

typedef struct main_options {
  const char *plugin, *config, *only, *prefix;
  const char *settings[MAIN_SETTINGS_MAX];
  size_t setting_count;
  unsigned processes, rounds;
  int lossy;
} main_options;

/* ---- what cases use ----------------------------------------------------- */

const char *
at(const conformance *c, const char *name)
{
  static char names[16][SB_OBJECT_NAME_MAX + 128];
  static unsigned next;
  char *out = names[next++ % 16];

  (void)snprintf(out, sizeof names[0], "%s%s", c->prefix, name);
  return out;
}

int
expect(conformance *c, int holds, const char *format, ...)
{
  va_list args;

  if (holds)
    return 1;
  c->failed = 1;
  va_start(args, format);
  fputs("# ", stdout);
  vprintf(format, args);
  putchar('\n');
  va_end(args);
  return 0;
}

int
expect_status(conformance *c, sb_status got, sb_status want,
              const sb_error *error, const char *what)
{
  /* Nobody can say whether a match put that lost its answer was refused. */
  if (c->lossy && got == SB_UNKNOWN && want == SB_CONFLICT)
    return 1;
  return expect(c, got == want, "%s: got %s, not %s%s%.300s", what,
                sb_status_name(got), sb_status_name(want),
                got == SB_OK || error == NULL ? "" : ": ",
                got == SB_OK || error == NULL ? "" : error->message);
}

sb_status
put_text(conformance *c, const char *name, const char *text, uint32_t flags,
         const char *etag, store_meta *meta, sb_error *error)
{
  return store_put(c->host, c->store, name, text, strlen(text), flags, etag,
                   NULL, 0, meta, 0, error);
}

void
must_put(conformance *c, const char *name, const char *text, store_meta *meta)
{
  sb_error error;
  sb_status status = put_text(c, name, text, 0, NULL, meta, &error);

  expect_status(c, status, SB_OK, &error, "put");
}

void
must_have(conformance *c, const char *name, const char *text)
{
  void *data;
  uint64_t len = 0;
  sb_error error;
  sb_status status = store_get_all(c->host, c->store, name, 1 << 20, &data,
                                   &len, NULL, 0, &error);

  if (!expect_status(c, status, SB_OK, &error, "get"))
    return;
  expect(c, len == strlen(text) && memcmp(data, text, len) == 0,
         "object \"%s\" has \"%.*s\", not \"%s\"", name, (int)len,
         (const char *)data, text);
  (void)c->host->alloc(c->host, data, 0);
}

void
must_lack(conformance *c, const char *name)
{
  sb_error error;
  sb_status status = store_head(c->host, c->store, name, NULL, &error);

  expect_status(c, status, SB_NOT_FOUND, &error, name);
}

sb_status
remove_one(conformance *c, const char *name)
{
  sb_error error;
  sb_status status = store_remove(c->host, c->store, &name, 1, NULL, &error);

  expect_status(c, status, SB_OK, &error, "remove");
  return status;
}

void
fill_pattern(uint8_t *data, uint64_t offset, uint64_t len, uint64_t seed)
{
  uint64_t i;

  for (i = 0; i < len; i++) {
    uint64_t x = (offset + i + 1) * 0x9e3779b97f4a7c15u + seed;

    data[i] = (uint8_t)(x >> 56 ^ x >> 23);
  }
}

/* ---- running ------------------------------------------------------------ */

static unsigned run_count;
static unsigned run_failed;

static void
run_case(conformance *c, const char *group, const conformance_case *one)
{
  c->failed = 0;
  c->skipped = NULL;
  one->run(c);
  run_count++;
  run_failed += c->failed != 0;
  printf("%s %u - %s/%s%s%s\n", c->failed ? "not ok" : "ok", run_count, group,
         one->name, c->skipped != NULL && !c->failed ? " # SKIP " : "",
         c->skipped != NULL && !c->failed ? c->skipped : "");
  (void)fflush(stdout);
}

static void
run_group(conformance *c, const char *group, const conformance_case *cases,
          const char *only)
{
  for (; cases->name != NULL; cases++)
    if (only == NULL || strcmp(only, group) == 0
        || strcmp(only, cases->name) == 0)
      run_case(c, group, cases);
}

/* ---- leaving nothing behind --------------------------------------------- */

#define CLEAN_BATCH 1000u

typedef struct clean {
  char *names[CLEAN_BATCH];
  uint64_t count;
} clean;

static sb_status
clean_add(void *arg, const sb_store_entry *entry, sb_error *err)
{
  clean *found = arg;

  (void)err;
  if (found->count == CLEAN_BATCH)
    return SB_END;
  found->names[found->count] = strdup(entry->name);
  if (found->names[found->count] == NULL)
    return SB_NO_MEMORY;
  found->count++;
  return SB_OK;
}

static void
clean_all(conformance *c)
{
  clean found;
  sb_error error;
  sb_status status;

  do {
    uint64_t i;

    found.count = 0;
    status = store_list(c->host, c->store, c->prefix, NULL, clean_add, &found,
                        &error);
    if (status != SB_END)
      expect_status(c, status, SB_OK, &error, "list what is to be removed");
    if (found.count > 0
        && store_remove(c->host, c->store, (const char *const *)found.names,
                        found.count, NULL, &error) != SB_OK)
      status = error.status;
    for (i = 0; i < found.count; i++)
      free(found.names[i]);
  } while (status == SB_END);
  found.count = 0;
  if (status == SB_OK)
    status = store_list(c->host, c->store, c->prefix, NULL, clean_add, &found,
                        &error);
  expect_status(c, status, SB_OK, &error, "clean up");
  expect(c, found.count == 0, "%u objects are listed after their removal",
         (unsigned)found.count);
}

static const conformance_case run_clean[] = {
  { "leaves_nothing", clean_all },
  { NULL, NULL },
};

/* ---- starting ----------------------------------------------------------- */

static int
main_usage(void)
{
  fputs("usage: conformance PLUGIN [--config FILE] [--set KEY=VALUE]...\n"
        "         [--processes N] [--rounds N] [--only GROUP|CASE]\n"
        "         [--lossy]\n"
        "Proves the contract of the object-store ABI on a plugin.\n",
        stderr);
  return 2;
}

static int
main_number(const char *text, unsigned *out)
{
  char *end;
  unsigned long value = strtoul(text, &end, 10);

  if (*end != '\0' || end == text || value == 0 || value > 1000000)
    return -1;
  *out = (unsigned)value;
  return 0;
}

static int
main_option(main_options *o, const char *key, const char *value)
{
  if (strcmp(key, "--config") == 0)
    o->config = value;
  else if (strcmp(key, "--only") == 0)
    o->only = value;
  else if (strcmp(key, "--worker") == 0)
    o->prefix = value;
  else if (strcmp(key, "--processes") == 0)
    return main_number(value, &o->processes);
  else if (strcmp(key, "--rounds") == 0)
    return main_number(value, &o->rounds);
  else if (strcmp(key, "--set") == 0 && strchr(value, '=') != NULL
           && o->setting_count < MAIN_SETTINGS_MAX)
    o->settings[o->setting_count++] = value;
  else
    return -1;
  return 0;
}

static int
main_parse(int argc, char **argv, main_options *o)
{
  int i;

  for (i = 1; i < argc; i++) {
    if (argv[i][0] != '-' && o->plugin == NULL)
      o->plugin = argv[i];
    else if (strcmp(argv[i], "--lossy") == 0)
      o->lossy = 1;
    else if (i + 1 == argc || main_option(o, argv[i], argv[i + 1]) != 0)
      return -1;
    else
      i++;
  }
  return o->plugin == NULL ? -1 : 0;
}

static sb_status
main_configure(const main_options *o, sb_config *config, sb_error *err)
{
  char key[256];
  size_t i;
  sb_status status = SB_OK;

  if (o->config != NULL)
    status = sb_config_load(config, o->config, err);
  if (status == SB_OK)
    status = sb_config_set(config, "state.backend", o->plugin, "argument",
                           err);
  for (i = 0; status == SB_OK && i < o->setting_count; i++) {
    const char *equals = strchr(o->settings[i], '=');

    (void)snprintf(key, sizeof key, "%.*s", (int)(equals - o->settings[i]),
                   o->settings[i]);
    status = sb_config_set(config, key, equals + 1, "--set", err);
  }
  return status;
}

static sb_status
main_open(const main_options *o, conformance *c, sb_error *err)
{
  sb_status status = sb_config_new(&c->config, err);

  c->lossy = o->lossy;
  c->host = sb_host_default();
  if (status == SB_OK)
    status = main_configure(o, c->config, err);
  if (status == SB_OK)
    status = sb_backend_open(c->config, NULL, &c->backend, err);
  if (status != SB_OK)
    return status;
  c->store = c->backend->ops->store(c->backend);
  if (c->store == NULL)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "plugin \"%s\" has no object store", o->plugin);
  status = store_check(c->store, err);
  if (status == SB_OK)
    c->flags = store_info(c->store)->flags;
  if (o->prefix != NULL)
    (void)snprintf(c->prefix, sizeof c->prefix, "%s", o->prefix);
  else
    (void)snprintf(c->prefix, sizeof c->prefix, "conformance-%016llx/",
                   (unsigned long long)c->host->random(c->host));
  return status;
}

static void
main_close(conformance *c)
{
  if (c->backend != NULL)
    sb_backend_close(c->backend);
  sb_config_free(c->config);
}

static void
main_run(conformance *c, const char *only)
{
  run_group(c, "objects", conformance_objects, only);
  run_group(c, "conditions", conformance_conditions, only);
  run_group(c, "lists", conformance_lists, only);
  run_group(c, "streams", conformance_streams, only);
  run_group(c, "changes", conformance_changes, only);
  run_group(c, "races", conformance_races, only);
  run_group(c, "end", run_clean, NULL);
  printf("1..%u\n", run_count);
}

int
main(int argc, char **argv)
{
  main_options o = { .processes = 8, .rounds = 50 };
  conformance c = { .argv = argv, .argc = argc };
  sb_error error;
  int result;

  if (main_parse(argc, argv, &o) != 0)
    return main_usage();
  c.processes = o.processes;
  c.rounds = o.rounds;
  if (main_open(&o, &c, &error) != SB_OK) {
    printf("Bail out! %s\n", error.message);
    main_close(&c);
    return 1;
  }
  if (o.prefix != NULL) {
    result = conformance_worker(&c);
  } else {
    main_run(&c, o.only);
    result = run_failed != 0;
  }
  main_close(&c);
  return result;
}
