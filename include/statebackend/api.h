/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_api_table: every call of the library as one table, for programs that load
 * it with dlopen and look up sb_api() alone. A member does what the function
 * of its name with "sb_" before it does. Included by statebackend.h.
 *
 * The table only grows at its end: a member is there if `struct_size` reaches
 * behind it.
 */
#ifndef STATEBACKEND_API_H
#define STATEBACKEND_API_H

#include <statebackend/statebackend.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sb_api_table {
  uint32_t struct_size;
  uint32_t api_version;       /* SB_API_VERSION */

  /* errors */
  const char *(*status_name)(sb_status status);
  int (*status_retryable)(sb_status status);
  sb_status (*error_set)(sb_error *err, sb_status status, const char *format,
                         ...) SB_PRINTF(3, 4);
  const char *(*version)(void);

  /* configuration */
  sb_status (*config_new)(sb_config **out, sb_error *err);
  void (*config_free)(sb_config *config);
  sb_status (*config_load)(sb_config *config, const char *path, sb_error *err);
  sb_status (*config_set)(sb_config *config, const char *key,
                          const char *value, const char *source,
                          sb_error *err);
  const char *(*config_get)(const sb_config *config, const char *key);
  sb_status (*config_check)(sb_config *config, sb_error *err);
  int (*config_each)(const sb_config *config, sb_config_visit *fn, void *arg);
  const sb_option *(*host_options)(size_t *count);

  /* backends and plugins */
  const sb_host *(*host_default)(void);
  void (*host_set_log)(sb_log_fn *fn, void *arg);
  sb_status (*host_register)(const char *name, void *object, sb_error *err);
  void (*host_metrics)(void (*fn)(void *arg, const char *name, int64_t value),
                       void *arg);
  sb_status (*backend_open)(const sb_config *config, const sb_host *host,
                            sb_backend **out, sb_error *err);
  void (*backend_close)(sb_backend *backend);
  sb_status (*backend_keyed)(sb_backend *backend,
                             const sb_keyed_options *options, sb_keyed **out,
                             sb_error *err);
  sb_status (*plugin_find)(const char *name, const sb_plugin **out,
                           const char **path, sb_error *err);
  int (*plugin_each)(sb_plugin_visit *fn, void *arg);

  /* key groups */
  int32_t (*hash_bytes)(sb_slice key);
  int32_t (*murmur)(int32_t hash);
  uint32_t (*key_group)(int32_t hash, uint32_t count);
  sb_status (*key_group_range)(uint32_t count, uint32_t parallelism,
                               uint32_t subtask, uint32_t *first,
                               uint32_t *last);
  uint32_t (*key_group_owner)(uint32_t count, uint32_t parallelism,
                              uint32_t key_group);

  /* state */
  sb_status (*context_new)(sb_keyed *keyed, const sb_host *host,
                           uint32_t key_group_count, uint32_t key_group_first,
                           uint32_t key_group_last, sb_context **out,
                           sb_error *err);
  void (*context_free)(sb_context *context);
  sb_status (*context_set_key)(sb_context *context, sb_slice key,
                               sb_error *err);
  sb_status (*context_set_key_hash)(sb_context *context, sb_slice key,
                                    int32_t hash, sb_error *err);
  sb_slice (*context_key)(const sb_context *context);
  sb_status (*context_set_namespace)(sb_context *context, sb_slice ns,
                                     sb_error *err);
  sb_status (*value_open)(sb_context *context, const char *name,
                          sb_value **out, sb_error *err);
  sb_status (*value_get)(sb_value *state, sb_slice *value, sb_error *err);
  sb_status (*value_put)(sb_value *state, sb_slice value, sb_error *err);
  sb_status (*value_update)(sb_value *state, sb_update_fn *fn, void *arg,
                            sb_error *err);
  sb_status (*value_clear)(sb_value *state, sb_error *err);
  sb_status (*list_open)(sb_context *context, const char *name, sb_list **out,
                         sb_error *err);
  sb_status (*list_add)(sb_list *state, sb_slice element, sb_error *err);
  sb_status (*list_update)(sb_list *state, const sb_slice *elements,
                           size_t count, sb_error *err);
  sb_status (*list_each)(sb_list *state, sb_element_fn *fn, void *arg,
                         sb_error *err);
  sb_status (*list_clear)(sb_list *state, sb_error *err);
  sb_status (*map_open)(sb_context *context, const char *name, sb_map **out,
                        sb_error *err);
  sb_status (*map_get)(sb_map *state, sb_slice subkey, sb_slice *value,
                       sb_error *err);
  sb_status (*map_put)(sb_map *state, sb_slice subkey, sb_slice value,
                       sb_error *err);
  sb_status (*map_update)(sb_map *state, sb_slice subkey, sb_update_fn *fn,
                          void *arg, sb_error *err);
  sb_status (*map_remove)(sb_map *state, sb_slice subkey, sb_error *err);
  sb_status (*map_each)(sb_map *state, sb_entry_fn *fn, void *arg,
                        sb_error *err);
  sb_status (*map_clear)(sb_map *state, sb_error *err);
  sb_status (*timers_open)(sb_context *context, const char *name,
                           sb_timers **out, sb_error *err);
  sb_status (*timers_add)(sb_timers *timers, int64_t time_ms, sb_error *err);
  sb_status (*timers_remove)(sb_timers *timers, int64_t time_ms,
                             sb_error *err);
  sb_status (*timers_peek)(sb_timers *timers, sb_timer *timer, sb_error *err);
  sb_status (*timers_poll)(sb_timers *timers, int64_t until_ms,
                           sb_timer *timer, sb_error *err);

  /* checkpoints */
  sb_status (*coordinator_open)(sb_backend *backend, const sb_host *host,
                                const sb_coordinator_options *options,
                                sb_coordinator **out,
                                const sb_checkpoint **restored, sb_error *err);
  uint64_t (*coordinator_generation)(const sb_coordinator *c);
  sb_status (*coordinator_trigger)(sb_coordinator *c, sb_slice blob,
                                   uint64_t *id, sb_error *err);
  sb_status (*coordinator_set_blob)(sb_coordinator *c, uint64_t id,
                                    sb_slice blob, sb_error *err);
  sb_status (*coordinator_snapshot)(sb_coordinator *c, uint64_t id,
                                    uint32_t subtask, sb_keyed *keyed,
                                    sb_error *err);
  sb_status (*coordinator_notify)(sb_coordinator *c, uint32_t subtask,
                                  sb_keyed *keyed, sb_error *err);
  void (*coordinator_abort)(sb_coordinator *c, uint64_t id);
  sb_status (*coordinator_wait)(sb_coordinator *c, uint64_t id,
                                uint64_t deadline_ns, sb_error *err);
  sb_status (*coordinator_status)(sb_coordinator *c, sb_error *err);
  uint64_t (*coordinator_newest)(const sb_coordinator *c);
  sb_status (*coordinator_gc)(sb_coordinator *c, uint32_t flags,
                              sb_gc_report *report, sb_error *err);
  void (*coordinator_close)(sb_coordinator *c);

  /* metrics */
  sb_status (*host_metrics_text)(sb_text_fn *fn, void *arg, sb_error *err);
};

#ifdef __cplusplus
}
#endif
#endif
