/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fake plugins for tests of the host: what they were asked to do is counted in
 * an object that the test registers as "fake.counters".
 */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H

#include <stdatomic.h>
#include <statebackend/plugin.h>
#include <statebackend/backend.h>

#define FAKE_COUNTERS "fake.counters"

typedef struct fake_counters {
  _Atomic int opens, backend_closes, keyed_opens;
  _Atomic int filters, store_closes;
  _Atomic int open_now;   /* backends that are open */
  _Atomic int open_most;
  _Atomic int slow_ms;    /* how long opening and closing take */
} fake_counters;

/* A store of which only info and close work. */
typedef struct fake_store {
  sb_store base;
  const sb_host *host;
  fake_counters *counters;
  sb_store *lower;
  sb_store_info info;
  char root[128];
} fake_store;

static inline const sb_store_info *
fake_store_info(sb_store *store)
{
  return &((fake_store *)store)->info;
}

static inline void
fake_store_close(sb_store *store)
{
  fake_store *fake = (fake_store *)store;

  if (fake->lower != NULL)
    fake->lower->ops->close(fake->lower);
  atomic_fetch_add(&fake->counters->store_closes, 1);
  fake->host->alloc(fake->host, fake, 0);
}

/* The methods that do nothing have one type each. */
#define FAKE_NOTHING(name, request_type) \
  static inline sb_status \
  fake_store_##name(sb_store *store, const request_type *request, \
                    uint64_t *op, sb_error *err) \
  { \
    (void)store; \
    (void)request; \
    (void)op; \
    return sb_fail(err, SB_UNSUPPORTED, "a fake store cannot " #name); \
  }

FAKE_NOTHING(get, sb_get_request)
FAKE_NOTHING(put, sb_put_request)
FAKE_NOTHING(head, sb_name_request)
FAKE_NOTHING(list, sb_list_request)
FAKE_NOTHING(remove, sb_remove_request)

static inline sb_status
fake_store_put_open(sb_store *store, const sb_stream_request *request,
                    sb_stream **out, sb_error *err)
{
  (void)store;
  (void)request;
  *out = NULL;
  return sb_fail(err, SB_UNSUPPORTED, "a fake store cannot put");
}

static inline sb_status
fake_store_put_write(sb_store *store, sb_stream *stream,
                     const sb_write_request *request, sb_error *err)
{
  (void)store;
  (void)stream;
  (void)request;
  return sb_fail(err, SB_UNSUPPORTED, "a fake store cannot put");
}

static inline sb_status
fake_store_put_end(sb_store *store, sb_stream *stream,
                   const sb_request *request, sb_error *err)
{
  (void)store;
  (void)stream;
  (void)request;
  return sb_fail(err, SB_UNSUPPORTED, "a fake store cannot put");
}

static const sb_store_ops fake_store_ops = {
  .struct_size = sizeof (sb_store_ops),
  .abi_version = SB_ABI_VERSION,
  .info = fake_store_info,
  .get = fake_store_get,
  .put = fake_store_put,
  .put_open = fake_store_put_open,
  .put_write = fake_store_put_write,
  .put_commit = fake_store_put_end,
  .put_abort = fake_store_put_end,
  .head = fake_store_head,
  .list = fake_store_list,
  .remove = fake_store_remove,
  .close = fake_store_close,
};

static inline fake_store *
fake_store_new(const sb_host *host, sb_store *lower, const char *root)
{
  fake_store *fake = host->alloc(host, NULL, sizeof *fake);

  if (fake == NULL)
    return NULL;
  *fake = (fake_store){ .base.ops = &fake_store_ops, .host = host };
  fake->counters = host->lookup(host, FAKE_COUNTERS);
  fake->lower = lower;
  (void)snprintf(fake->root, sizeof fake->root, "%s%s", root,
                 lower == NULL ? "" : lower->ops->info(lower)->root);
  fake->info.struct_size = sizeof fake->info;
  fake->info.root = fake->root;
  return fake;
}

#endif
