/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flink's _metadata file, versions 3 to 6 (Flink 1.11 to 2.x): which
 * incremental keyed-state handles a checkpoint has, and the streams they name.
 * Everything else in it is stepped over.
 */
#ifndef SB_CLI_FLINK_METADATA_H
#define SB_CLI_FLINK_METADATA_H

#include <statebackend/host.h>

#define FLINK_STREAM_NONE 0
#define FLINK_STREAM_BYTES 1    /* `bytes` are its content */
#define FLINK_STREAM_FILE 2     /* `path`: a URI */
#define FLINK_STREAM_RELATIVE 3 /* `path`: from the directory of _metadata */
#define FLINK_STREAM_SEGMENT 4  /* `path` from `offset`, `size` bytes of it */
#define FLINK_STREAM_OTHER 5

typedef struct flink_stream {
  int kind;
  sb_slice path;  /* or the name that a stream of bytes has */
  sb_slice bytes;
  uint64_t offset, size;
} flink_stream;

/* One incremental handle of one subtask. */
typedef struct flink_handle {
  uint64_t operator_id[2];
  uint32_t subtask, max_parallelism;
  uint32_t key_group_first, key_group_count;
  uint64_t checkpoint_id;
  flink_stream meta;
  size_t file_first, file_count; /* in flink_metadata.files */
} flink_handle;

typedef struct flink_metadata {
  uint32_t version;
  uint64_t checkpoint_id;
  flink_handle *handles;
  size_t handle_count, handle_cap;
  flink_stream *files; /* shared and private ones, but empty ones */
  size_t file_count, file_cap;
  uint64_t others;     /* keyed handles that are not incremental */
} flink_metadata;

/* Slices point into `data`. SB_CORRUPT with the place, SB_UNSUPPORTED for
   other versions. Takes memory and time in proportion to the input. */
sb_status flink_metadata_decode(const sb_host *host, const void *data,
                                size_t len, flink_metadata **out,
                                sb_error *err);
void flink_metadata_free(const sb_host *host, flink_metadata *m);

#endif
