/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins the size of every public struct and the offset of every field on LP64:
 * compiling this file is the test. A line that fails means that plugins and
 * programs compiled before would break. Structs only grow at their end; then
 * the size here changes and the new field gets a line, nothing else does.
 */
#include "config.h"

#include <stdio.h>

#include <statebackend/credentials.h>
#include <statebackend/statebackend.h>

#if defined(__LP64__) && defined(__x86_64__)

#define SIZE(type, size) \
  _Static_assert(sizeof (type) == (size), "the size of " #type " changed")
#define AT(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), \
                 #type "." #field " moved")

/* base.h */

SIZE(sb_error, 512);
AT(sb_error, status, 0);
AT(sb_error, system, 4);
AT(sb_error, message, 8);

SIZE(sb_slice, 16);
AT(sb_slice, data, 0);
AT(sb_slice, len, 8);

/* config.h */

SIZE(sb_option, 56);
AT(sb_option, key, 0);
AT(sb_option, type, 8);
AT(sb_option, flags, 12);
AT(sb_option, default_value, 16);
AT(sb_option, min, 24);
AT(sb_option, max, 32);
AT(sb_option, choices, 40);
AT(sb_option, help, 48);

/* host.h */

SIZE(sb_engine_options, 64);
AT(sb_engine_options, struct_size, 0);
AT(sb_engine_options, compression, 4);
AT(sb_engine_options, base_path, 8);
AT(sb_engine_options, state_prefix, 16);
AT(sb_engine_options, checkpoint_prefix, 24);
AT(sb_engine_options, savepoint_prefix, 32);
AT(sb_engine_options, extension, 40);
AT(sb_engine_options, part_size, 48);
AT(sb_engine_options, layout, 56);
AT(sb_engine_options, reserved, 60);

SIZE(sb_host, 184);
AT(sb_host, struct_size, 0);
AT(sb_host, abi_version, 4);
AT(sb_host, ctx, 8);
AT(sb_host, log, 16);
AT(sb_host, alloc, 24);
AT(sb_host, clock_ms, 32);
AT(sb_host, monotonic_ns, 40);
AT(sb_host, random, 48);
AT(sb_host, execute, 56);
AT(sb_host, timer_start, 64);
AT(sb_host, timer_stop, 72);
AT(sb_host, event_new, 80);
AT(sb_host, event_free, 88);
AT(sb_host, event_set, 96);
AT(sb_host, event_wait, 104);
AT(sb_host, metric_add, 112);
AT(sb_host, lookup, 120);
AT(sb_host, config_string, 128);
AT(sb_host, config_int, 136);
AT(sb_host, config_double, 144);
AT(sb_host, engine_open, 152);
AT(sb_host, metric_slot, 160);
AT(sb_host, metric_slot_add, 168);
AT(sb_host, metric_slot_set, 176);

/* plugin.h */

SIZE(sb_plugin, 80);
AT(sb_plugin, struct_size, 0);
AT(sb_plugin, abi_version, 4);
AT(sb_plugin, name, 8);
AT(sb_plugin, version, 16);
AT(sb_plugin, description, 24);
AT(sb_plugin, kind, 32);
AT(sb_plugin, option_size, 36);
AT(sb_plugin, options, 40);
AT(sb_plugin, option_count, 48);
AT(sb_plugin, prefixes, 56);
AT(sb_plugin, open, 64);
AT(sb_plugin, filter, 72);

/* store.h */

SIZE(sb_store_entry, 32);
AT(sb_store_entry, name, 0);
AT(sb_store_entry, size, 8);
AT(sb_store_entry, etag, 16);
AT(sb_store_entry, modified_ms, 24);

SIZE(sb_meta, 16);
AT(sb_meta, key, 0);
AT(sb_meta, value, 8);

SIZE(sb_store_result, 168);
AT(sb_store_result, struct_size, 0);
AT(sb_store_result, status, 4);
AT(sb_store_result, error, 8);
AT(sb_store_result, length, 16);
AT(sb_store_result, size, 24);
AT(sb_store_result, etag, 32);
AT(sb_store_result, meta, 128);
AT(sb_store_result, meta_count, 136);
AT(sb_store_result, entries, 144);
AT(sb_store_result, entry_count, 152);
AT(sb_store_result, truncated, 160);
AT(sb_store_result, reserved, 164);

SIZE(sb_request, 32);
AT(sb_request, struct_size, 0);
AT(sb_request, priority, 4);
AT(sb_request, deadline_ns, 8);
AT(sb_request, done, 16);
AT(sb_request, arg, 24);

SIZE(sb_get_request, 72);
AT(sb_get_request, base, 0);
AT(sb_get_request, name, 32);
AT(sb_get_request, offset, 40);
AT(sb_get_request, length, 48);
AT(sb_get_request, buffer, 56);
AT(sb_get_request, if_match, 64);

SIZE(sb_put_request, 88);
AT(sb_put_request, base, 0);
AT(sb_put_request, name, 32);
AT(sb_put_request, body, 40);
AT(sb_put_request, body_count, 48);
AT(sb_put_request, flags, 56);
AT(sb_put_request, reserved, 60);
AT(sb_put_request, if_match, 64);
AT(sb_put_request, meta, 72);
AT(sb_put_request, meta_count, 80);

SIZE(sb_stream_request, 56);
AT(sb_stream_request, struct_size, 0);
AT(sb_stream_request, priority, 4);
AT(sb_stream_request, name, 8);
AT(sb_stream_request, flags, 16);
AT(sb_stream_request, reserved, 20);
AT(sb_stream_request, size_hint, 24);
AT(sb_stream_request, if_match, 32);
AT(sb_stream_request, meta, 40);
AT(sb_stream_request, meta_count, 48);

SIZE(sb_write_request, 48);
AT(sb_write_request, base, 0);
AT(sb_write_request, body, 32);
AT(sb_write_request, body_count, 40);

SIZE(sb_name_request, 40);
AT(sb_name_request, base, 0);
AT(sb_name_request, name, 32);

SIZE(sb_list_request, 56);
AT(sb_list_request, base, 0);
AT(sb_list_request, prefix, 32);
AT(sb_list_request, start_after, 40);
AT(sb_list_request, limit, 48);

SIZE(sb_remove_request, 56);
AT(sb_remove_request, base, 0);
AT(sb_remove_request, names, 32);
AT(sb_remove_request, name_count, 40);
AT(sb_remove_request, statuses, 48);

SIZE(sb_copy_request, 64);
AT(sb_copy_request, base, 0);
AT(sb_copy_request, source_root, 32);
AT(sb_copy_request, source, 40);
AT(sb_copy_request, name, 48);
AT(sb_copy_request, flags, 56);
AT(sb_copy_request, reserved, 60);

SIZE(sb_sweep_request, 56);
AT(sb_sweep_request, base, 0);
AT(sb_sweep_request, prefix, 32);
AT(sb_sweep_request, dead, 40);
AT(sb_sweep_request, dead_arg, 48);

SIZE(sb_store_info, 32);
AT(sb_store_info, struct_size, 0);
AT(sb_store_info, flags, 4);
AT(sb_store_info, root, 8);
AT(sb_store_info, object_size_max, 16);
AT(sb_store_info, part_size, 24);

SIZE(sb_store_ops, 128);
AT(sb_store_ops, struct_size, 0);
AT(sb_store_ops, abi_version, 4);
AT(sb_store_ops, info, 8);
AT(sb_store_ops, get, 16);
AT(sb_store_ops, put, 24);
AT(sb_store_ops, put_open, 32);
AT(sb_store_ops, put_write, 40);
AT(sb_store_ops, put_commit, 48);
AT(sb_store_ops, put_abort, 56);
AT(sb_store_ops, head, 64);
AT(sb_store_ops, list, 72);
AT(sb_store_ops, remove, 80);
AT(sb_store_ops, copy, 88);
AT(sb_store_ops, cancel, 96);
AT(sb_store_ops, close, 104);
AT(sb_store_ops, sweep, 112);
AT(sb_store_ops, describe, 120);

SIZE(sb_store, 8);
AT(sb_store, ops, 0);

/* credentials.h */
SIZE(sb_credentials_reply, 16);
AT(sb_credentials_reply, struct_size, 0);
AT(sb_credentials_reply, reserved, 4);
AT(sb_credentials_reply, set, 8);
SIZE(sb_credentials_provider, 24);
AT(sb_credentials_provider, struct_size, 0);
AT(sb_credentials_provider, abi_version, 4);
AT(sb_credentials_provider, ctx, 8);
AT(sb_credentials_provider, fetch, 16);

/* backend.h */

SIZE(sb_key, 56);
AT(sb_key, state, 0);
AT(sb_key, key_group, 4);
AT(sb_key, key, 8);
AT(sb_key, ns, 24);
AT(sb_key, subkey, 40);

SIZE(sb_state_options, 88);
AT(sb_state_options, struct_size, 0);
AT(sb_state_options, kind, 4);
AT(sb_state_options, flags, 8);
AT(sb_state_options, schema_version, 12);
AT(sb_state_options, name, 16);
AT(sb_state_options, blob, 32);
AT(sb_state_options, time_kind, 48);
AT(sb_state_options, time_offset, 52);
AT(sb_state_options, ttl_ms, 56);
AT(sb_state_options, migrate, 64);
AT(sb_state_options, migrate_arg, 72);
AT(sb_state_options, migrate_free, 80);

SIZE(sb_state_info, 80);
AT(sb_state_info, struct_size, 0);
AT(sb_state_info, kind, 4);
AT(sb_state_info, flags, 8);
AT(sb_state_info, schema_version, 12);
AT(sb_state_info, id, 16);
AT(sb_state_info, restored, 20);
AT(sb_state_info, name, 24);
AT(sb_state_info, blob, 40);
AT(sb_state_info, restored_version, 56);
AT(sb_state_info, registered, 60);
AT(sb_state_info, time_kind, 64);
AT(sb_state_info, time_offset, 68);
AT(sb_state_info, ttl_ms, 72);

SIZE(sb_update, 56);
AT(sb_update, struct_size, 0);
AT(sb_update, exists, 4);
AT(sb_update, data, 8);
AT(sb_update, len, 16);
AT(sb_update, action, 24);
AT(sb_update, reserved, 28);
AT(sb_update, replacement, 32);
AT(sb_update, expires_ms, 48);

SIZE(sb_op, 200);
AT(sb_op, struct_size, 0);
AT(sb_op, kind, 4);
AT(sb_op, key, 8);
AT(sb_op, value, 64);
AT(sb_op, expires_ms, 80);
AT(sb_op, tag, 88);
AT(sb_op, update, 96);
AT(sb_op, update_arg, 104);
AT(sb_op, scan, 112);
AT(sb_op, cursor, 120);
AT(sb_op, buffer, 128);
AT(sb_op, buffer_size, 136);
AT(sb_op, status, 144);
AT(sb_op, reserved, 148);
AT(sb_op, result, 152);
AT(sb_op, internal, 168);

SIZE(sb_scan_options, 96);
AT(sb_scan_options, struct_size, 0);
AT(sb_scan_options, flags, 4);
AT(sb_scan_options, state, 8);
AT(sb_scan_options, key_group_first, 12);
AT(sb_scan_options, key_group_last, 16);
AT(sb_scan_options, has_ns, 20);
AT(sb_scan_options, has_key, 24);
AT(sb_scan_options, reserved, 28);
AT(sb_scan_options, ns, 32);
AT(sb_scan_options, key, 48);
AT(sb_scan_options, start, 64);
AT(sb_scan_options, end, 80);

SIZE(sb_row, 80);
AT(sb_row, key_group, 0);
AT(sb_row, flags, 4);
AT(sb_row, key, 8);
AT(sb_row, ns, 24);
AT(sb_row, subkey, 40);
AT(sb_row, value, 56);
AT(sb_row, expires_ms, 72);

SIZE(sb_snapshot_options, 24);
AT(sb_snapshot_options, struct_size, 0);
AT(sb_snapshot_options, kind, 4);
AT(sb_snapshot_options, checkpoint_id, 8);
AT(sb_snapshot_options, savepoint, 16);

SIZE(sb_object_use, 24);
AT(sb_object_use, name, 0);
AT(sb_object_use, size, 8);
AT(sb_object_use, is_new, 16);
AT(sb_object_use, reserved, 20);

SIZE(sb_part, 72);
AT(sb_part, struct_size, 0);
AT(sb_part, subtask, 4);
AT(sb_part, operator_id, 8);
AT(sb_part, key_group_first, 16);
AT(sb_part, key_group_last, 20);
AT(sb_part, manifest, 24);
AT(sb_part, name, 40);
AT(sb_part, length, 48);
AT(sb_part, crc32c, 56);
AT(sb_part, object_count, 60);
AT(sb_part, objects, 64);

SIZE(sb_keyed_options, 80);
AT(sb_keyed_options, struct_size, 0);
AT(sb_keyed_options, flags, 4);
AT(sb_keyed_options, job, 8);
AT(sb_keyed_options, operator_id, 16);
AT(sb_keyed_options, subtask, 24);
AT(sb_keyed_options, key_group_count, 28);
AT(sb_keyed_options, key_group_first, 32);
AT(sb_keyed_options, key_group_last, 36);
AT(sb_keyed_options, generation, 40);
AT(sb_keyed_options, parts, 48);
AT(sb_keyed_options, part_count, 56);
AT(sb_keyed_options, wake, 64);
AT(sb_keyed_options, wake_arg, 72);

SIZE(sb_keyed_stats, 176);
AT(sb_keyed_stats, struct_size, 0);
AT(sb_keyed_stats, reserved, 4);
AT(sb_keyed_stats, reads, 8);
AT(sb_keyed_stats, writes, 16);
AT(sb_keyed_stats, record_hits, 24);
AT(sb_keyed_stats, cold_reads, 32);
AT(sb_keyed_stats, records, 40);
AT(sb_keyed_stats, record_bytes, 48);
AT(sb_keyed_stats, dirty_bytes, 56);
AT(sb_keyed_stats, segments, 64);
AT(sb_keyed_stats, segment_bytes, 72);
AT(sb_keyed_stats, snapshots, 80);
AT(sb_keyed_stats, early_flushes, 88);
AT(sb_keyed_stats, compactions, 96);
AT(sb_keyed_stats, evicted_bytes, 104);
AT(sb_keyed_stats, flushed_bytes, 112);
AT(sb_keyed_stats, compacted_bytes, 120);
AT(sb_keyed_stats, stalls, 128);
AT(sb_keyed_stats, stall_ns, 136);
AT(sb_keyed_stats, memory_used, 144);
AT(sb_keyed_stats, memory_limit, 152);
AT(sb_keyed_stats, block_hits, 160);
AT(sb_keyed_stats, block_misses, 168);

SIZE(sb_keyed_ops, 320);
AT(sb_keyed_ops, struct_size, 0);
AT(sb_keyed_ops, abi_version, 4);
AT(sb_keyed_ops, register_state, 8);
AT(sb_keyed_ops, get, 16);
AT(sb_keyed_ops, put, 24);
AT(sb_keyed_ops, remove, 32);
AT(sb_keyed_ops, append, 40);
AT(sb_keyed_ops, update, 48);
AT(sb_keyed_ops, clear, 56);
AT(sb_keyed_ops, remove_range, 64);
AT(sb_keyed_ops, scan_open, 72);
AT(sb_keyed_ops, scan_next, 80);
AT(sb_keyed_ops, scan_update, 88);
AT(sb_keyed_ops, scan_remove, 96);
AT(sb_keyed_ops, scan_close, 104);
AT(sb_keyed_ops, submit, 112);
AT(sb_keyed_ops, poll, 120);
AT(sb_keyed_ops, view_open, 128);
AT(sb_keyed_ops, view_get, 136);
AT(sb_keyed_ops, view_close, 144);
AT(sb_keyed_ops, snapshot_begin, 152);
AT(sb_keyed_ops, snapshot_run, 160);
AT(sb_keyed_ops, snapshot_cancel, 168);
AT(sb_keyed_ops, snapshot_free, 176);
AT(sb_keyed_ops, notify, 184);
AT(sb_keyed_ops, interrupt, 192);
AT(sb_keyed_ops, stats, 200);
AT(sb_keyed_ops, close, 208);
AT(sb_keyed_ops, state_find, 216);
AT(sb_keyed_ops, state_at, 224);
AT(sb_keyed_ops, drop_state, 232);
AT(sb_keyed_ops, advance_time, 240);
AT(sb_keyed_ops, view_scan_open, 248);
AT(sb_keyed_ops, view_scan_next, 256);
AT(sb_keyed_ops, view_scan_close, 264);
AT(sb_keyed_ops, remove_through, 272);
AT(sb_keyed_ops, describe, 280);
AT(sb_keyed_ops, append_all, 288);
AT(sb_keyed_ops, prefetch, 296);
AT(sb_keyed_ops, put_all, 304);
AT(sb_keyed_ops, replace_all, 312);

SIZE(sb_keyed, 8);
AT(sb_keyed, ops, 0);

SIZE(sb_checkpoint_info, 48);
AT(sb_checkpoint_info, struct_size, 0);
AT(sb_checkpoint_info, part_count, 4);
AT(sb_checkpoint_info, id, 8);
AT(sb_checkpoint_info, generation, 16);
AT(sb_checkpoint_info, created_ms, 24);
AT(sb_checkpoint_info, size, 32);
AT(sb_checkpoint_info, name, 40);

SIZE(sb_checkpoint, 88);
AT(sb_checkpoint, struct_size, 0);
AT(sb_checkpoint, reserved, 4);
AT(sb_checkpoint, info, 8);
AT(sb_checkpoint, parts, 56);
AT(sb_checkpoint, blob, 64);
AT(sb_checkpoint, internal, 80);

SIZE(sb_takeover_options, 32);
AT(sb_takeover_options, struct_size, 0);
AT(sb_takeover_options, flags, 4);
AT(sb_takeover_options, job, 8);
AT(sb_takeover_options, job_id, 16);
AT(sb_takeover_options, retain, 24);
AT(sb_takeover_options, reserved, 28);

SIZE(sb_commit_options, 48);
AT(sb_commit_options, struct_size, 0);
AT(sb_commit_options, flags, 4);
AT(sb_commit_options, id, 8);
AT(sb_commit_options, parts, 16);
AT(sb_commit_options, part_count, 24);
AT(sb_commit_options, blob, 32);

SIZE(sb_gc_report, 64);
AT(sb_gc_report, struct_size, 0);
AT(sb_gc_report, reserved, 4);
AT(sb_gc_report, objects, 8);
AT(sb_gc_report, bytes, 16);
AT(sb_gc_report, orphans, 24);
AT(sb_gc_report, orphan_bytes, 32);
AT(sb_gc_report, removed, 40);
AT(sb_gc_report, failed, 48);
AT(sb_gc_report, pins, 56);

SIZE(sb_probe, 280);
AT(sb_probe, struct_size, 0);
AT(sb_probe, honours, 4);
AT(sb_probe, read, 8);
AT(sb_probe, write, 12);
AT(sb_probe, list, 16);
AT(sb_probe, remove, 20);
AT(sb_probe, detail, 24);

SIZE(sb_restore_options, 40);
AT(sb_restore_options, struct_size, 0);
AT(sb_restore_options, mode, 4);
AT(sb_restore_options, job, 8);
AT(sb_restore_options, savepoint, 16);
AT(sb_restore_options, id, 24);
AT(sb_restore_options, job_id, 32);

SIZE(sb_savepoint_options, 64);
AT(sb_savepoint_options, struct_size, 0);
AT(sb_savepoint_options, flags, 4);
AT(sb_savepoint_options, job, 8);
AT(sb_savepoint_options, name, 16);
AT(sb_savepoint_options, id, 24);
AT(sb_savepoint_options, parts, 32);
AT(sb_savepoint_options, part_count, 40);
AT(sb_savepoint_options, blob, 48);

SIZE(sb_savepoint_copy, 56);
AT(sb_savepoint_copy, struct_size, 0);
AT(sb_savepoint_copy, flags, 4);
AT(sb_savepoint_copy, from, 8);
AT(sb_savepoint_copy, from_job, 16);
AT(sb_savepoint_copy, from_savepoint, 24);
AT(sb_savepoint_copy, from_id, 32);
AT(sb_savepoint_copy, job, 40);
AT(sb_savepoint_copy, name, 48);

SIZE(sb_backend_ops, 168);
AT(sb_backend_ops, struct_size, 0);
AT(sb_backend_ops, abi_version, 4);
AT(sb_backend_ops, close, 8);
AT(sb_backend_ops, probe, 16);
AT(sb_backend_ops, open_keyed, 24);
AT(sb_backend_ops, store, 32);
AT(sb_backend_ops, takeover, 40);
AT(sb_backend_ops, job_generation, 48);
AT(sb_backend_ops, job_close, 56);
AT(sb_backend_ops, commit, 64);
AT(sb_backend_ops, list, 72);
AT(sb_backend_ops, list_free, 80);
AT(sb_backend_ops, checkpoint_open, 88);
AT(sb_backend_ops, checkpoint_close, 96);
AT(sb_backend_ops, retain, 104);
AT(sb_backend_ops, remove, 112);
AT(sb_backend_ops, gc, 120);
AT(sb_backend_ops, restore_open, 128);
AT(sb_backend_ops, savepoint_write, 136);
AT(sb_backend_ops, savepoint_list, 144);
AT(sb_backend_ops, savepoint_remove, 152);
AT(sb_backend_ops, savepoint_copy, 160);

SIZE(sb_backend, 8);
AT(sb_backend, ops, 0);

/* state.h */

SIZE(sb_timer, 40);
AT(sb_timer, time_ms, 0);
AT(sb_timer, key, 8);
AT(sb_timer, ns, 24);

/* checkpoint.h */

SIZE(sb_coordinator_options, 88);
AT(sb_coordinator_options, struct_size, 0);
AT(sb_coordinator_options, subtasks, 4);
AT(sb_coordinator_options, job, 8);
AT(sb_coordinator_options, job_id, 16);
AT(sb_coordinator_options, retain, 24);
AT(sb_coordinator_options, tolerable_failures, 28);
AT(sb_coordinator_options, timeout_ms, 32);
AT(sb_coordinator_options, restore_id, 40);
AT(sb_coordinator_options, finished, 48);
AT(sb_coordinator_options, arg, 56);
AT(sb_coordinator_options, restore_mode, 64);
AT(sb_coordinator_options, reserved, 68);
AT(sb_coordinator_options, restore_job, 72);
AT(sb_coordinator_options, restore_savepoint, 80);

SIZE(sb_state_spec, 144);
AT(sb_state_spec, struct_size, 0);
AT(sb_state_spec, flags, 4);
AT(sb_state_spec, name, 8);
AT(sb_state_spec, key_type, 16);
AT(sb_state_spec, namespace_type, 24);
AT(sb_state_spec, subkey_type, 32);
AT(sb_state_spec, value_type, 40);
AT(sb_state_spec, schema_version, 48);
AT(sb_state_spec, cleanup_per_access, 52);
AT(sb_state_spec, ttl_ms, 56);
AT(sb_state_spec, ttl_update, 64);
AT(sb_state_spec, ttl_visibility, 68);
AT(sb_state_spec, ttl_time, 72);
AT(sb_state_spec, reserved, 76);
AT(sb_state_spec, migrate, 80);
AT(sb_state_spec, migrate_arg, 88);
AT(sb_state_spec, default_value, 96);
AT(sb_state_spec, fold, 112);
AT(sb_state_spec, merge, 120);
AT(sb_state_spec, result, 128);
AT(sb_state_spec, fold_arg, 136);

SIZE(sb_state_description, 112);
AT(sb_state_description, struct_size, 0);
AT(sb_state_description, kind, 4);
AT(sb_state_description, name, 8);
AT(sb_state_description, key_type, 24);
AT(sb_state_description, namespace_type, 40);
AT(sb_state_description, subkey_type, 56);
AT(sb_state_description, value_type, 72);
AT(sb_state_description, schema_version, 88);
AT(sb_state_description, restored, 92);
AT(sb_state_description, open, 96);
AT(sb_state_description, reserved, 100);
AT(sb_state_description, ttl_ms, 104);

SIZE(sb_place, 40);
AT(sb_place, key, 0);
AT(sb_place, ns, 16);
AT(sb_place, has_hash, 32);
AT(sb_place, hash, 36);

SIZE(sb_queue_element, 24);
AT(sb_queue_element, key_group, 0);
AT(sb_queue_element, reserved, 4);
AT(sb_queue_element, bytes, 8);

SIZE(sb_queue_options, 48);
AT(sb_queue_options, struct_size, 0);
AT(sb_queue_options, key_group_first, 4);
AT(sb_queue_options, key_group_last, 8);
AT(sb_queue_options, rank_len, 12);
AT(sb_queue_options, rank, 16);
AT(sb_queue_options, rank_arg, 24);
AT(sb_queue_options, state, 32);
AT(sb_queue_options, memory, 40);

SIZE(sb_trigger_options, 40);
AT(sb_trigger_options, struct_size, 0);
AT(sb_trigger_options, kind, 4);
AT(sb_trigger_options, savepoint, 8);
AT(sb_trigger_options, blob, 16);
AT(sb_trigger_options, canonical, 32);

SIZE(sb_canonical_state, 56);
AT(sb_canonical_state, struct_size, 0);
AT(sb_canonical_state, encoding, 4);
AT(sb_canonical_state, flags, 8);
AT(sb_canonical_state, kind, 12);
AT(sb_canonical_state, name, 16);
AT(sb_canonical_state, meta, 32);
AT(sb_canonical_state, namespace_length, 48);
AT(sb_canonical_state, element_length, 52);

SIZE(sb_canonical_options, 64);
AT(sb_canonical_options, struct_size, 0);
AT(sb_canonical_options, flags, 4);
AT(sb_canonical_options, encoding, 8);
AT(sb_canonical_options, key_length, 12);
AT(sb_canonical_options, key_serializer, 16);
AT(sb_canonical_options, header, 32);
AT(sb_canonical_options, states, 48);
AT(sb_canonical_options, state_count, 56);

SIZE(sb_canonical_read, 64);
AT(sb_canonical_read, struct_size, 0);
AT(sb_canonical_read, key_group_count, 4);
AT(sb_canonical_read, key_group_first, 8);
AT(sb_canonical_read, key_group_last, 12);
AT(sb_canonical_read, offsets, 16);
AT(sb_canonical_read, offset_first, 24);
AT(sb_canonical_read, offset_count, 28);
AT(sb_canonical_read, length, 32);
AT(sb_canonical_read, field, 40);
AT(sb_canonical_read, field_arg, 48);
AT(sb_canonical_read, options, 56);

SIZE(sb_canonical_info, 96);
AT(sb_canonical_info, struct_size, 0);
AT(sb_canonical_info, kind, 4);
AT(sb_canonical_info, encoding, 8);
AT(sb_canonical_info, flags, 12);
AT(sb_canonical_info, time_kind, 16);
AT(sb_canonical_info, time_offset, 20);
AT(sb_canonical_info, ttl_ms, 24);
AT(sb_canonical_info, schema_version, 32);
AT(sb_canonical_info, state_flags, 36);
AT(sb_canonical_info, name, 40);
AT(sb_canonical_info, blob, 56);
AT(sb_canonical_info, meta, 72);
AT(sb_canonical_info, id, 88);

SIZE(sb_canonical_row, 88);
AT(sb_canonical_row, state, 0);
AT(sb_canonical_row, key_group, 4);
AT(sb_canonical_row, key, 8);
AT(sb_canonical_row, ns, 24);
AT(sb_canonical_row, subkey, 40);
AT(sb_canonical_row, value, 56);
AT(sb_canonical_row, time_ms, 72);
AT(sb_canonical_row, first, 80);
AT(sb_canonical_row, reserved, 84);

SIZE(sb_canonical_target, 24);
AT(sb_canonical_target, struct_size, 0);
AT(sb_canonical_target, state, 4);
AT(sb_canonical_target, migrate, 8);
AT(sb_canonical_target, migrate_arg, 16);

/* api.h */

SIZE(sb_api_table, 1240);
AT(sb_api_table, struct_size, 0);
AT(sb_api_table, api_version, 4);
AT(sb_api_table, status_name, 8);
AT(sb_api_table, status_retryable, 16);
AT(sb_api_table, error_set, 24);
AT(sb_api_table, version, 32);
AT(sb_api_table, config_new, 40);
AT(sb_api_table, config_free, 48);
AT(sb_api_table, config_load, 56);
AT(sb_api_table, config_set, 64);
AT(sb_api_table, config_get, 72);
AT(sb_api_table, config_check, 80);
AT(sb_api_table, config_each, 88);
AT(sb_api_table, host_options, 96);
AT(sb_api_table, host_default, 104);
AT(sb_api_table, host_set_log, 112);
AT(sb_api_table, host_register, 120);
AT(sb_api_table, host_metrics, 128);
AT(sb_api_table, backend_open, 136);
AT(sb_api_table, backend_close, 144);
AT(sb_api_table, backend_keyed, 152);
AT(sb_api_table, plugin_find, 160);
AT(sb_api_table, plugin_each, 168);
AT(sb_api_table, hash_bytes, 176);
AT(sb_api_table, murmur, 184);
AT(sb_api_table, key_group, 192);
AT(sb_api_table, key_group_range, 200);
AT(sb_api_table, key_group_owner, 208);
AT(sb_api_table, context_new, 216);
AT(sb_api_table, context_free, 224);
AT(sb_api_table, context_set_key, 232);
AT(sb_api_table, context_set_key_hash, 240);
AT(sb_api_table, context_key, 248);
AT(sb_api_table, context_set_namespace, 256);
AT(sb_api_table, value_open, 264);
AT(sb_api_table, value_get, 272);
AT(sb_api_table, value_put, 280);
AT(sb_api_table, value_update, 288);
AT(sb_api_table, value_clear, 296);
AT(sb_api_table, list_open, 304);
AT(sb_api_table, list_add, 312);
AT(sb_api_table, list_update, 320);
AT(sb_api_table, list_each, 328);
AT(sb_api_table, list_clear, 336);
AT(sb_api_table, map_open, 344);
AT(sb_api_table, map_get, 352);
AT(sb_api_table, map_put, 360);
AT(sb_api_table, map_update, 368);
AT(sb_api_table, map_remove, 376);
AT(sb_api_table, map_each, 384);
AT(sb_api_table, map_clear, 392);
AT(sb_api_table, timers_open, 400);
AT(sb_api_table, timers_add, 408);
AT(sb_api_table, timers_remove, 416);
AT(sb_api_table, timers_peek, 424);
AT(sb_api_table, timers_poll, 432);
AT(sb_api_table, coordinator_open, 440);
AT(sb_api_table, coordinator_generation, 448);
AT(sb_api_table, coordinator_trigger, 456);
AT(sb_api_table, coordinator_set_blob, 464);
AT(sb_api_table, coordinator_snapshot, 472);
AT(sb_api_table, coordinator_notify, 480);
AT(sb_api_table, coordinator_abort, 488);
AT(sb_api_table, coordinator_wait, 496);
AT(sb_api_table, coordinator_status, 504);
AT(sb_api_table, coordinator_newest, 512);
AT(sb_api_table, coordinator_gc, 520);
AT(sb_api_table, coordinator_close, 528);
AT(sb_api_table, host_metrics_text, 536);
AT(sb_api_table, context_namespace, 544);
AT(sb_api_table, context_set_row, 552);
AT(sb_api_table, context_set_time, 560);
AT(sb_api_table, context_state_at, 568);
AT(sb_api_table, context_drop_state, 576);
AT(sb_api_table, value_open_spec, 584);
AT(sb_api_table, list_open_spec, 592);
AT(sb_api_table, list_add_all, 600);
AT(sb_api_table, list_get, 608);
AT(sb_api_table, list_iterate, 616);
AT(sb_api_table, list_merge, 624);
AT(sb_api_table, map_open_spec, 632);
AT(sb_api_table, map_put_all, 640);
AT(sb_api_table, map_contains, 648);
AT(sb_api_table, map_is_empty, 656);
AT(sb_api_table, map_iterate, 664);
AT(sb_api_table, reducing_open_spec, 672);
AT(sb_api_table, reducing_add, 680);
AT(sb_api_table, reducing_get, 688);
AT(sb_api_table, reducing_update_internal, 696);
AT(sb_api_table, reducing_clear, 704);
AT(sb_api_table, reducing_merge, 712);
AT(sb_api_table, aggregating_open_spec, 720);
AT(sb_api_table, aggregating_add, 728);
AT(sb_api_table, aggregating_get, 736);
AT(sb_api_table, aggregating_get_internal, 744);
AT(sb_api_table, aggregating_update_internal, 752);
AT(sb_api_table, aggregating_clear, 760);
AT(sb_api_table, aggregating_merge, 768);
AT(sb_api_table, context_keys, 776);
AT(sb_api_table, context_keys_and_namespaces, 784);
AT(sb_api_table, context_remove_namespace, 792);
AT(sb_api_table, iterator_next, 800);
AT(sb_api_table, iterator_remove, 808);
AT(sb_api_table, iterator_set, 816);
AT(sb_api_table, iterator_close, 824);
AT(sb_api_table, visitor_open, 832);
AT(sb_api_table, visitor_next, 840);
AT(sb_api_table, visitor_update, 848);
AT(sb_api_table, visitor_remove, 856);
AT(sb_api_table, visitor_close, 864);
AT(sb_api_table, batch_new, 872);
AT(sb_api_table, batch_free, 880);
AT(sb_api_table, batch_value_get, 888);
AT(sb_api_table, batch_value_put, 896);
AT(sb_api_table, batch_value_clear, 904);
AT(sb_api_table, batch_list_get, 912);
AT(sb_api_table, batch_list_add, 920);
AT(sb_api_table, batch_list_clear, 928);
AT(sb_api_table, batch_map_get, 936);
AT(sb_api_table, batch_map_put, 944);
AT(sb_api_table, batch_map_remove, 952);
AT(sb_api_table, batch_map_clear, 960);
AT(sb_api_table, batch_reducing_get, 968);
AT(sb_api_table, batch_reducing_add, 976);
AT(sb_api_table, batch_reducing_clear, 984);
AT(sb_api_table, batch_aggregating_get, 992);
AT(sb_api_table, batch_aggregating_add, 1000);
AT(sb_api_table, batch_aggregating_clear, 1008);
AT(sb_api_table, batch_submit, 1016);
AT(sb_api_table, context_poll, 1024);
AT(sb_api_table, context_pending, 1032);
AT(sb_api_table, queue_open, 1040);
AT(sb_api_table, queue_close, 1048);
AT(sb_api_table, queue_add, 1056);
AT(sb_api_table, queue_remove, 1064);
AT(sb_api_table, queue_add_all, 1072);
AT(sb_api_table, queue_peek, 1080);
AT(sb_api_table, queue_is_empty, 1088);
AT(sb_api_table, queue_poll, 1096);
AT(sb_api_table, queue_poll_batch, 1104);
AT(sb_api_table, queue_size, 1112);
AT(sb_api_table, queue_iterate, 1120);
AT(sb_api_table, queue_next, 1128);
AT(sb_api_table, queue_iterator_close, 1136);
AT(sb_api_table, canonical_open, 1144);
AT(sb_api_table, canonical_write, 1152);
AT(sb_api_table, canonical_cancel, 1160);
AT(sb_api_table, canonical_close, 1168);
AT(sb_api_table, canonical_reader_open, 1176);
AT(sb_api_table, canonical_reader_state, 1184);
AT(sb_api_table, canonical_reader_next, 1192);
AT(sb_api_table, canonical_reader_close, 1200);
AT(sb_api_table, canonical_restore, 1208);
AT(sb_api_table, canonical_is_part, 1216);
AT(sb_api_table, canonical_restore_parts, 1224);
AT(sb_api_table, coordinator_trigger_as, 1232);

#endif

_Static_assert(SB_ABI_VERSION == 1u, "the ABI's major number changed");

static const char *const abi_pinned[] = {
  "sb_error",
  "sb_slice",
  "sb_option",
  "sb_engine_options",
  "sb_host",
  "sb_plugin",
  "sb_store_entry",
  "sb_meta",
  "sb_store_result",
  "sb_request",
  "sb_get_request",
  "sb_put_request",
  "sb_stream_request",
  "sb_write_request",
  "sb_name_request",
  "sb_list_request",
  "sb_remove_request",
  "sb_copy_request",
  "sb_sweep_request",
  "sb_store_info",
  "sb_store_ops",
  "sb_store",
  "sb_key",
  "sb_state_options",
  "sb_state_info",
  "sb_update",
  "sb_op",
  "sb_scan_options",
  "sb_row",
  "sb_snapshot_options",
  "sb_object_use",
  "sb_part",
  "sb_keyed_options",
  "sb_keyed_stats",
  "sb_keyed_ops",
  "sb_keyed",
  "sb_checkpoint_info",
  "sb_checkpoint",
  "sb_takeover_options",
  "sb_commit_options",
  "sb_gc_report",
  "sb_probe",
  "sb_restore_options",
  "sb_savepoint_options",
  "sb_savepoint_copy",
  "sb_backend_ops",
  "sb_backend",
  "sb_timer",
  "sb_coordinator_options",
  "sb_state_spec",
  "sb_state_description",
  "sb_place",
  "sb_queue_element",
  "sb_queue_options",
  "sb_trigger_options",
  "sb_canonical_state",
  "sb_canonical_options",
  "sb_canonical_read",
  "sb_canonical_info",
  "sb_canonical_row",
  "sb_canonical_target",
  "sb_api_table",
};

int
main(void)
{
  unsigned count = (unsigned)(sizeof abi_pinned / sizeof abi_pinned[0]);
  unsigned i;

  printf("1..%u\n", count);
  for (i = 0; i < count; i++)
    printf("ok %u - layout of %s is pinned\n", i + 1, abi_pinned[i]);
  return 0;
}
