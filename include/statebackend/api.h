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

  /* state, continued */
  sb_slice (*context_namespace)(const sb_context *context);
  sb_status (*context_set_row)(sb_context *context, const sb_row *row,
                               sb_error *err);
  sb_status (*context_set_time)(sb_context *context, int64_t time_ms,
                                sb_error *err);
  sb_status (*context_state_at)(sb_context *context, uint32_t index,
                                sb_state_description *state, sb_error *err);
  sb_status (*context_drop_state)(sb_context *context, const char *name,
                                  sb_error *err);
  sb_status (*value_open_spec)(sb_context *context, const sb_state_spec *spec,
                               sb_value **out, sb_error *err);
  sb_status (*list_open_spec)(sb_context *context, const sb_state_spec *spec,
                              sb_list **out, sb_error *err);
  sb_status (*list_add_all)(sb_list *state, const sb_slice *elements,
                            size_t count, sb_error *err);
  sb_status (*list_get)(sb_list *state, sb_slice *elements, sb_error *err);
  sb_status (*list_iterate)(sb_list *state, sb_iterator **out, sb_error *err);
  sb_status (*list_merge)(sb_list *state, sb_slice target,
                          const sb_slice *sources, size_t count,
                          sb_error *err);
  sb_status (*map_open_spec)(sb_context *context, const sb_state_spec *spec,
                             sb_map **out, sb_error *err);
  sb_status (*map_put_all)(sb_map *state, const sb_slice *subkeys,
                           const sb_slice *values, size_t count,
                           sb_error *err);
  sb_status (*map_contains)(sb_map *state, sb_slice subkey, int *found,
                            sb_error *err);
  sb_status (*map_is_empty)(sb_map *state, int *empty, sb_error *err);
  sb_status (*map_iterate)(sb_map *state, sb_iterator **out, sb_error *err);
  sb_status (*reducing_open_spec)(sb_context *context,
                                  const sb_state_spec *spec, sb_reducing **out,
                                  sb_error *err);
  sb_status (*reducing_add)(sb_reducing *state, sb_slice value, sb_error *err);
  sb_status (*reducing_get)(sb_reducing *state, sb_slice *value,
                            sb_error *err);
  sb_status (*reducing_update_internal)(sb_reducing *state, sb_slice value,
                                        sb_error *err);
  sb_status (*reducing_clear)(sb_reducing *state, sb_error *err);
  sb_status (*reducing_merge)(sb_reducing *state, sb_slice target,
                              const sb_slice *sources, size_t count,
                              sb_error *err);
  sb_status (*aggregating_open_spec)(sb_context *context,
                                     const sb_state_spec *spec,
                                     sb_aggregating **out, sb_error *err);
  sb_status (*aggregating_add)(sb_aggregating *state, sb_slice value,
                               sb_error *err);
  sb_status (*aggregating_get)(sb_aggregating *state, sb_slice *result,
                               sb_error *err);
  sb_status (*aggregating_get_internal)(sb_aggregating *state,
                                        sb_slice *accumulator, sb_error *err);
  sb_status (*aggregating_update_internal)(sb_aggregating *state,
                                           sb_slice accumulator,
                                           sb_error *err);
  sb_status (*aggregating_clear)(sb_aggregating *state, sb_error *err);
  sb_status (*aggregating_merge)(sb_aggregating *state, sb_slice target,
                                 const sb_slice *sources, size_t count,
                                 sb_error *err);
  sb_status (*context_keys)(sb_context *context, const char *const *states,
                            size_t count, sb_slice ns, sb_iterator **out,
                            sb_error *err);
  sb_status (*context_keys_and_namespaces)(sb_context *context,
                                           const char *state,
                                           sb_iterator **out, sb_error *err);
  sb_status (*context_remove_namespace)(sb_context *context, const char *state,
                                        sb_slice ns, sb_error *err);
  sb_status (*iterator_next)(sb_iterator *iterator, sb_row *row,
                             sb_error *err);
  sb_status (*iterator_remove)(sb_iterator *iterator, sb_error *err);
  sb_status (*iterator_set)(sb_iterator *iterator, sb_slice value,
                            sb_error *err);
  void (*iterator_close)(sb_iterator *iterator);
  sb_status (*visitor_open)(sb_context *context, const char *state,
                            uint32_t key_group_first, uint32_t key_group_last,
                            sb_visitor **out, sb_error *err);
  sb_status (*visitor_next)(sb_visitor *visitor, size_t max,
                            const sb_row **rows, size_t *count, sb_error *err);
  sb_status (*visitor_update)(sb_visitor *visitor, const sb_row *row,
                              sb_slice value, sb_error *err);
  sb_status (*visitor_remove)(sb_visitor *visitor, const sb_row *row,
                              sb_error *err);
  void (*visitor_close)(sb_visitor *visitor);
  sb_status (*batch_new)(sb_context *context, sb_batch **out, sb_error *err);
  void (*batch_free)(sb_batch *batch);
  sb_status (*batch_value_get)(sb_batch *batch, sb_value *state,
                               const sb_place *place, sb_answer_fn *answer,
                               void *arg, sb_error *err);
  sb_status (*batch_value_put)(sb_batch *batch, sb_value *state,
                               const sb_place *place, sb_slice value,
                               sb_answer_fn *answer, void *arg, sb_error *err);
  sb_status (*batch_value_clear)(sb_batch *batch, sb_value *state,
                                 const sb_place *place, sb_answer_fn *answer,
                                 void *arg, sb_error *err);
  sb_status (*batch_list_get)(sb_batch *batch, sb_list *state,
                              const sb_place *place, sb_answer_fn *answer,
                              void *arg, sb_error *err);
  sb_status (*batch_list_add)(sb_batch *batch, sb_list *state,
                              const sb_place *place, sb_slice element,
                              sb_answer_fn *answer, void *arg, sb_error *err);
  sb_status (*batch_list_clear)(sb_batch *batch, sb_list *state,
                                const sb_place *place, sb_answer_fn *answer,
                                void *arg, sb_error *err);
  sb_status (*batch_map_get)(sb_batch *batch, sb_map *state,
                             const sb_place *place, sb_slice subkey,
                             sb_answer_fn *answer, void *arg, sb_error *err);
  sb_status (*batch_map_put)(sb_batch *batch, sb_map *state,
                             const sb_place *place, sb_slice subkey,
                             sb_slice value, sb_answer_fn *answer, void *arg,
                             sb_error *err);
  sb_status (*batch_map_remove)(sb_batch *batch, sb_map *state,
                                const sb_place *place, sb_slice subkey,
                                sb_answer_fn *answer, void *arg,
                                sb_error *err);
  sb_status (*batch_map_clear)(sb_batch *batch, sb_map *state,
                               const sb_place *place, sb_answer_fn *answer,
                               void *arg, sb_error *err);
  sb_status (*batch_reducing_get)(sb_batch *batch, sb_reducing *state,
                                  const sb_place *place, sb_answer_fn *answer,
                                  void *arg, sb_error *err);
  sb_status (*batch_reducing_add)(sb_batch *batch, sb_reducing *state,
                                  const sb_place *place, sb_slice value,
                                  sb_answer_fn *answer, void *arg,
                                  sb_error *err);
  sb_status (*batch_reducing_clear)(sb_batch *batch, sb_reducing *state,
                                    const sb_place *place,
                                    sb_answer_fn *answer, void *arg,
                                    sb_error *err);
  sb_status (*batch_aggregating_get)(sb_batch *batch, sb_aggregating *state,
                                     const sb_place *place,
                                     sb_answer_fn *answer, void *arg,
                                     sb_error *err);
  sb_status (*batch_aggregating_add)(sb_batch *batch, sb_aggregating *state,
                                     const sb_place *place, sb_slice value,
                                     sb_answer_fn *answer, void *arg,
                                     sb_error *err);
  sb_status (*batch_aggregating_clear)(sb_batch *batch, sb_aggregating *state,
                                       const sb_place *place,
                                       sb_answer_fn *answer, void *arg,
                                       sb_error *err);
  sb_status (*batch_submit)(sb_batch *batch, sb_error *err);
  sb_status (*context_poll)(sb_context *context, uint64_t deadline_ns,
                            size_t *count, sb_error *err);
  size_t (*context_pending)(const sb_context *context);

  /* queues */
  sb_status (*queue_open)(sb_keyed *keyed, const sb_host *host,
                          const sb_queue_options *options, sb_state_info *info,
                          sb_queue **out, sb_error *err);
  void (*queue_close)(sb_queue *queue);
  sb_status (*queue_add)(sb_queue *queue, uint32_t key_group, sb_slice element,
                         int *head_changed, sb_error *err);
  sb_status (*queue_remove)(sb_queue *queue, uint32_t key_group,
                            sb_slice element, int *head_changed,
                            sb_error *err);
  sb_status (*queue_add_all)(sb_queue *queue, const sb_queue_element *elements,
                             size_t count, int *head_changed, sb_error *err);
  sb_status (*queue_peek)(sb_queue *queue, sb_queue_element *element,
                          sb_error *err);
  sb_status (*queue_is_empty)(sb_queue *queue, int *empty, sb_error *err);
  sb_status (*queue_poll)(sb_queue *queue, sb_slice until,
                          sb_queue_element *element, sb_error *err);
  sb_status (*queue_poll_batch)(sb_queue *queue, sb_slice until,
                                sb_queue_element *elements, size_t max,
                                size_t *count, sb_error *err);
  sb_status (*queue_size)(sb_queue *queue, uint64_t *size, sb_error *err);
  sb_status (*queue_iterate)(sb_queue *queue, uint32_t key_group_first,
                             uint32_t key_group_last, sb_queue_iterator **out,
                             sb_error *err);
  sb_status (*queue_next)(sb_queue_iterator *iterator,
                          sb_queue_element *element, sb_error *err);
  void (*queue_iterator_close)(sb_queue_iterator *iterator);

  /* canonical savepoints */
  sb_status (*canonical_open)(sb_keyed *keyed, const sb_host *host,
                              const sb_canonical_options *options,
                              sb_canonical **out, sb_error *err);
  sb_status (*canonical_write)(sb_canonical *canonical,
                               sb_canonical_sink *sink, void *arg,
                               uint64_t *offsets, uint64_t *length,
                               sb_error *err);
  void (*canonical_cancel)(sb_canonical *canonical);
  void (*canonical_close)(sb_canonical *canonical);
  sb_status (*canonical_reader_open)(const sb_host *host,
                                     sb_canonical_source *source, void *arg,
                                     const sb_canonical_read *read,
                                     sb_canonical_reader **out, sb_error *err);
  sb_status (*canonical_reader_state)(sb_canonical_reader *reader, uint32_t id,
                                      sb_canonical_info *info, sb_error *err);
  sb_status (*canonical_reader_next)(sb_canonical_reader *reader,
                                     sb_canonical_row *row, sb_error *err);
  void (*canonical_reader_close)(sb_canonical_reader *reader);
  sb_status (*canonical_restore)(sb_keyed *keyed, sb_canonical_reader *reader,
                                 sb_canonical_resolve *resolve, void *arg,
                                 sb_error *err);
  int (*canonical_is_part)(const sb_part *part);
  sb_status (*canonical_restore_parts)(sb_backend *backend,
                                       const sb_host *host, sb_keyed *keyed,
                                       const sb_part *parts,
                                       uint64_t part_count,
                                       const sb_canonical_read *read,
                                       sb_canonical_resolve *resolve,
                                       void *arg, sb_error *err);

  /* checkpoints, continued */
  sb_status (*coordinator_trigger_as)(sb_coordinator *c,
                                      const sb_trigger_options *options,
                                      uint64_t *id, sb_error *err);
};

#ifdef __cplusplus
}
#endif
#endif
