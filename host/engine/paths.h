/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths: the names of every kind of object, and what a name says about its
 * object. Names are normative in docs/FORMAT-manifest.md.
 *
 *   <base>/[<job>/]<state>/_/[<operator>/]<2 hex>/<gen>-<seq>-<random><ext>
 *   <base>/[<job>/]<checkpoints>/HEAD, HEAD-<20 digits>
 *   <base>/[<job>/]<checkpoints>/chk-<id>-<gen>-<nonce>/_metadata
 *   <base>/[<job>/]<checkpoints>/chk-<id>-<gen>-<nonce>/<subtask>.manifest
 *   <base>/[<job>/]<checkpoints>/pins/<random>
 *   <base>/[<job>/]<checkpoints>/shared/[<operator>/]<gen>-<seq>-<random><ext>
 *   <base>/[<job>/]<savepoints>/<name>/...
 *
 * Jobs, operators, states and savepoints are one percent-encoded part each: a
 * byte outside [A-Za-z0-9._-] is %XX, and so is a leading '_' or '.'.
 */
#ifndef SB_ENGINE_PATHS_H
#define SB_ENGINE_PATHS_H

#include <statebackend/host.h>

#define PATH_SIZE (SB_OBJECT_NAME_MAX + 1u) /* room every `out` here has */
#define PATH_PART_MAX 255u /* bytes of one part, encoded */

typedef struct paths {
  char *base, *state_prefix, *checkpoint_prefix, *savepoint_prefix;
  char *extension;
} paths;

/* Copies the options' strings. */
sb_status paths_init(paths *p, const sb_host *host,
                     const sb_engine_options *options, sb_error *err);
void paths_dispose(paths *p, const sb_host *host);

/* The percent-encoded form of one part; `out` has `size` bytes. */
sb_status paths_encode_part(const void *data, size_t len, char *out,
                            size_t size, sb_error *err);

/* Each writes a name to `out` (PATH_SIZE bytes) or fails with SB_TOO_LARGE or
   SB_INVALID. `random` and `nonce` come from host->random. */
sb_status paths_segment(const paths *p, const char *job,
                        const char *operator_id, uint64_t generation,
                        uint64_t sequence, uint64_t random, char *out,
                        sb_error *err);
/* A copy of a segment, handed to a host that deletes it. */
sb_status paths_shared(const paths *p, const char *job,
                       const char *operator_id, uint64_t generation,
                       uint64_t sequence, uint64_t random, char *out,
                       sb_error *err);
sb_status paths_head(const paths *p, const char *job, char *out,
                     sb_error *err);
sb_status paths_head_numbered(const paths *p, const char *job,
                              uint64_t number, char *out, sb_error *err);
sb_status paths_metadata(const paths *p, const char *job, uint64_t id,
                         uint64_t generation, uint64_t nonce, char *out,
                         sb_error *err);
/* A nonce of the caller's own, new for each attempt to write it. */
sb_status paths_manifest(const paths *p, const char *job, uint32_t subtask,
                         uint64_t id, uint64_t generation, uint64_t nonce,
                         char *out, sb_error *err);
sb_status paths_pin(const paths *p, const char *job, uint64_t random,
                    char *out, sb_error *err);

/* What to list: all segments, all of the checkpoint prefix, numbered HEADs,
   pins, a savepoint. They end in '/' (numbered HEADs: in '-'). */
sb_status paths_segments_prefix(const paths *p, const char *job, char *out,
                                sb_error *err);
sb_status paths_checkpoints_prefix(const paths *p, const char *job, char *out,
                                   sb_error *err);
sb_status paths_heads_prefix(const paths *p, const char *job, char *out,
                             sb_error *err);
sb_status paths_pins_prefix(const paths *p, const char *job, char *out,
                            sb_error *err);
sb_status paths_savepoint_prefix(const paths *p, const char *job,
                                 const char *name, char *out, sb_error *err);
sb_status paths_savepoints_prefix(const paths *p, const char *job, char *out,
                                  sb_error *err);

/* An object in a savepoint's directory. */
sb_status paths_savepoint_file(const paths *p, const char *job,
                               const char *name, const char *file, char *out,
                               sb_error *err);
/* The last part of a segment's name, for a copy of it. */
sb_status paths_segment_file(const paths *p, uint64_t generation,
                             uint64_t sequence, uint64_t random, char *out,
                             sb_error *err);

#define PATH_OTHER 0u /* not one of ours: never touched */
#define PATH_SEGMENT 10u
#define PATH_MANIFEST 20u
#define PATH_METADATA 30u
#define PATH_HEAD 40u
#define PATH_HEAD_NUMBERED 50u
#define PATH_PIN 60u

typedef struct path_info {
  uint32_t kind;
  uint32_t subtask;      /* manifest */
  uint64_t generation;   /* segment, manifest, _metadata: the writer's */
  uint64_t sequence;     /* segment */
  uint64_t random;       /* segment, pin; nonce of manifest and _metadata */
  uint64_t id;           /* manifest, _metadata: checkpoint; numbered HEAD */
} path_info;

/* What `name` is, among the objects of `job`. Only exactly what the functions
   above write is recognised, save a segment's extension, which may be any. */
path_info paths_parse(const paths *p, const char *job, const char *name);

/* For a name in a savepoint's directory: the savepoint's own name (room for
   PATH_PART_MAX + 1 bytes) and what follows the directory. Else NULL. */
const char *paths_parse_savepoint(const paths *p, const char *job,
                                  const char *name, char *savepoint);

/* Where an object of ours belongs: the path part of a job, and its savepoint
   unless that is empty. */
typedef struct path_place {
  char job[PATH_PART_MAX + 1];
  char savepoint[PATH_PART_MAX + 1];
} path_place;

/* 1 if `name` is a segment, manifest, _metadata or object of a savepoint under
   the base path, of whatever job. */
int paths_locate(const paths *p, const char *name, path_place *place);

/* The generation in a segment's file name (the part after the last slash), for
   names under any root. 0 and SB_INVALID if it is not a segment's. */
sb_status paths_segment_generation(const char *name, uint64_t *generation);

#endif
