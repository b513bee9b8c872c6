/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and numbers in the header of a canonical savepoint. All but OPTION_...
 * are Flink's (1.17 and later; older ones since 1.8 write the same).
 */
#ifndef SB_CHECKPOINT_CANONICAL_NAMES_H
#define SB_CHECKPOINT_CANONICAL_NAMES_H

#include "host/checkpoint/canonical.h"

#define HEADER_VERSION 6u           /* KeyedBackendSerializationProxy */
#define SNAPSHOT_PROXY_VERSION 2u   /* of what stands around a snapshot */
#define SNAPSHOT_VERSION 3u         /* of simple and of composite snapshots */
#define SNAPSHOT_OLD_VERSION 2u     /* simple: a class name follows */
#define SNAPSHOT_OUTER_MAGIC 911108u
#define SNAPSHOT_INNER_MAGIC 1333245u
#define SNAPSHOT_INNER_VERSION 1u
#define SNAPSHOT_LIST_VERSION 1u
#define SNAPSHOT_MAP_VERSION 1u
#define SNAPSHOT_TTL_VERSION 2u

#define META_KEYED 0u               /* BackendStateType, its order */
#define META_QUEUE 3u

#define SNAPSHOT_BASE "org.apache.flink.api.common.typeutils.base."
#define SNAPSHOT_BYTES                                                        \
  SNAPSHOT_BASE "array.BytePrimitiveArraySerializer"                          \
                "$BytePrimitiveArraySerializerSnapshot"
#define SNAPSHOT_LONG SNAPSHOT_BASE "LongSerializer$LongSerializerSnapshot"
#define SNAPSHOT_LIST SNAPSHOT_BASE "ListSerializerSnapshot"
#define SNAPSHOT_MAP SNAPSHOT_BASE "MapSerializerSnapshot"
#define SNAPSHOT_TTL                                                          \
  "org.apache.flink.runtime.state.ttl.TtlStateFactory$TtlSerializerSnapshot"
#define SNAPSHOT_VOID                                                         \
  "org.apache.flink.runtime.state.VoidNamespaceSerializer"                    \
  "$VoidNamespaceSerializerSnapshot"

/* Our entries of a state's options, so that a stream describes itself. */
#define OPTION_FLAGS "statebackend.flags"     /* SB_CANONICAL_NULLABLE */
#define OPTION_TIME "statebackend.time"       /* SB_TIME_... */
#define OPTION_OFFSET "statebackend.time-offset"
#define OPTION_STATE "statebackend.state"     /* SB_STATE_... flags */
#define OPTION_TTL "statebackend.ttl"         /* milliseconds */
#define OPTION_VERSION "statebackend.version" /* schema version */
#define OPTION_BLOB "statebackend.blob"       /* hexadecimal */
#define OPTION_BLOB_MAX 32767u

#endif
