/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key groups, computed as Apache Flink does: the key's 32-bit hash is
 * scrambled by murmur3's 32-bit finaliser and taken modulo the number of key
 * groups; a subtask owns one contiguous range.
 * Source: org.apache.flink.runtime.state.KeyGroupRangeAssignment and
 * org.apache.flink.util.MathUtils.murmurHash.
 */
#ifndef STATEBACKEND_KEYGROUP_H
#define STATEBACKEND_KEYGROUP_H

#include <statebackend/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* java.util.Arrays.hashCode(byte[]): the default hash of a key's bytes. A key
   whose data is NULL counts as empty: the calls that take keys refuse it. */
SB_EXPORT int32_t sb_hash_bytes(sb_slice key);

/* MathUtils.murmurHash: never negative. */
SB_EXPORT int32_t sb_murmur(int32_t hash);

/* The key group of a key with this hash. `count` is the maximum parallelism,
   1 to SB_KEY_GROUPS_MAX. */
SB_EXPORT uint32_t sb_key_group(int32_t hash, uint32_t count);

/* The key groups of a subtask, inclusive. SB_INVALID unless
   subtask < parallelism <= count. */
SB_EXPORT sb_status sb_key_group_range(uint32_t count, uint32_t parallelism,
                                       uint32_t subtask, uint32_t *first,
                                       uint32_t *last);

/* The subtask that owns a key group. */
SB_EXPORT uint32_t sb_key_group_owner(uint32_t count, uint32_t parallelism,
                                      uint32_t key_group);

#ifdef __cplusplus
}
#endif
#endif
