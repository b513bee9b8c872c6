/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vtables that plugins hand out at run time: looked over once, when the
 * object comes in, so that no later call meets a missing method.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>
#include <statebackend/statebackend.h>
#include "host/plugin/plugin.h"

typedef struct vtable_method {
  size_t offset;
  const char *name;
} vtable_method;

#define VTABLE_METHOD(type, name) { offsetof(type, name), #name }

static const vtable_method vtable_backend[] = {
  VTABLE_METHOD(sb_backend_ops, close),
  VTABLE_METHOD(sb_backend_ops, probe),
  VTABLE_METHOD(sb_backend_ops, open_keyed),
  VTABLE_METHOD(sb_backend_ops, store),
  VTABLE_METHOD(sb_backend_ops, takeover),
  VTABLE_METHOD(sb_backend_ops, job_generation),
  VTABLE_METHOD(sb_backend_ops, job_close),
  VTABLE_METHOD(sb_backend_ops, commit),
  VTABLE_METHOD(sb_backend_ops, list),
  VTABLE_METHOD(sb_backend_ops, list_free),
  VTABLE_METHOD(sb_backend_ops, checkpoint_open),
  VTABLE_METHOD(sb_backend_ops, checkpoint_close),
  VTABLE_METHOD(sb_backend_ops, retain),
  VTABLE_METHOD(sb_backend_ops, remove),
  VTABLE_METHOD(sb_backend_ops, gc),
  { 0, NULL },
};

/* copy and cancel are optional. */
static const vtable_method vtable_store[] = {
  VTABLE_METHOD(sb_store_ops, info),
  VTABLE_METHOD(sb_store_ops, get),
  VTABLE_METHOD(sb_store_ops, put),
  VTABLE_METHOD(sb_store_ops, put_open),
  VTABLE_METHOD(sb_store_ops, put_write),
  VTABLE_METHOD(sb_store_ops, put_commit),
  VTABLE_METHOD(sb_store_ops, put_abort),
  VTABLE_METHOD(sb_store_ops, head),
  VTABLE_METHOD(sb_store_ops, list),
  VTABLE_METHOD(sb_store_ops, remove),
  VTABLE_METHOD(sb_store_ops, close),
  { 0, NULL },
};

/* Both tables begin with size and version. */
typedef struct vtable_head {
  uint32_t struct_size;
  uint32_t abi_version;
} vtable_head;

static sb_status
vtable_check(const char *plugin_name, const char *what, const void *ops,
             size_t size, const vtable_method *methods, sb_error *err)
{
  vtable_head head;

  if (ops == NULL)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use the %s of plugin \"%s\": it has no table",
                        what, plugin_name);
  memcpy(&head, ops, sizeof head);
  if (head.abi_version != SB_ABI_VERSION)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use the %s of plugin \"%s\": it has ABI %u, "
                        "this host needs %u", what, plugin_name,
                        head.abi_version, SB_ABI_VERSION);
  if (head.struct_size < size)
    return sb_error_set(err, SB_MISMATCH,
                        "cannot use the %s of plugin \"%s\": its table has "
                        "%u bytes, this host needs %zu", what, plugin_name,
                        head.struct_size, size);
  for (; methods->name != NULL; methods++) {
    void (*method)(void);

    memcpy(&method, (const char *)ops + methods->offset, sizeof method);
    if (method == NULL)
      return sb_error_set(err, SB_MISMATCH,
                          "cannot use the %s of plugin \"%s\": its table "
                          "lacks the required method %s", what, plugin_name,
                          methods->name);
  }
  return SB_OK;
}

sb_status
plugin_check_backend(const char *plugin_name, const sb_backend *backend,
                     sb_error *err)
{
  return vtable_check(plugin_name, "backend",
                      backend == NULL ? NULL : backend->ops,
                      sizeof (sb_backend_ops), vtable_backend, err);
}

sb_status
plugin_check_store(const char *plugin_name, const sb_store *store,
                   sb_error *err)
{
  return vtable_check(plugin_name, "store", store == NULL ? NULL : store->ops,
                      offsetof (sb_store_ops, sweep), vtable_store, err);
}
