/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base types: status codes, errors, byte slices and the limits of the library.
 *
 * Every call that can fail returns an sb_status and takes an optional sb_error
 * as its last parameter. On failure the outputs are untouched, except pointer
 * outputs, which are NULL. Nothing in the library exits, aborts or prints.
 */
#ifndef STATEBACKEND_BASE_H
#define STATEBACKEND_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SB_EXPORT __attribute__((visibility("default")))
#define SB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SB_EXPORT
#define SB_PRINTF(fmt, args)
#endif

/* The major number of both plugin ABIs. A plugin of another major is refused;
   within a major, structs only grow at their end. */
#define SB_ABI_VERSION 1u

/* What a call came to: 0 or a negative number. New numbers may be added;
   treat an unknown one as SB_IO. The comment says whether the same call can
   succeed later ("retry") or not ("final"). */
typedef int32_t sb_status;

#define SB_OK 0
#define SB_NOT_FOUND (-10)   /* no such object, record, checkpoint, plugin */
#define SB_END (-20)         /* a cursor, list or queue has no more */
#define SB_EXISTS (-30)      /* create-only put: the name is taken; final */
#define SB_CONFLICT (-40)    /* match put: the object has changed; final */
#define SB_BUSY (-50)        /* in use, or a limit is reached; retry */
#define SB_FENCED (-60)      /* a newer generation has taken over; final */
#define SB_CANCELLED (-70)   /* cancelled or interrupted by the caller */
#define SB_TIMEOUT (-80)     /* the deadline passed; nothing has changed */
#define SB_UNKNOWN (-90)     /* a write's outcome is not known: it may still
                                take effect, or may have */
#define SB_DENIED (-100)     /* no permission; final until somebody acts */
#define SB_NO_SPACE (-110)   /* disk or quota full; retry after a cure */
#define SB_NO_MEMORY (-120)  /* allocation failed or budget spent; retry */
#define SB_TOO_LARGE (-130)  /* over a limit of this library or the store */
#define SB_INVALID (-140)    /* the caller's mistake; final */
#define SB_UNSUPPORTED (-150)/* this plugin or store cannot do it; final */
#define SB_CORRUPT (-160)    /* bytes read are not the bytes written; final */
#define SB_IO (-170)         /* the store or the system failed; retry */
#define SB_CONFIG (-180)     /* a configuration key or value is wrong */
#define SB_MISMATCH (-190)   /* belongs to another job, state kind, version */
#define SB_UNAVAILABLE (-200)/* the store cannot be reached now; retry */

/* A failure in words. Caller-allocated, needs no initialisation before a call
   and no release after it; a call may be given NULL instead. `message` is one
   line without a full stop that names the object, what was being done and why
   it failed. It never holds a secret. */
typedef struct sb_error {
  sb_status status;
  int32_t system;     /* errno or protocol status (HTTP), 0 if none */
  char message[504];
} sb_error;

/* Bytes, never NUL-terminated. `data` may be NULL when `len` is 0. NULL with
   another length is the caller's mistake: the call returns SB_INVALID with a
   message that names the slice and its length, and has changed nothing, also
   if it was given several. */
typedef struct sb_slice {
  const void *data;
  size_t len;
} sb_slice;

/* Limits, all inclusive. */
#define SB_KEY_MAX 65535u             /* bytes of a key */
#define SB_NAMESPACE_MAX 65535u       /* bytes of a namespace */
#define SB_SUBKEY_MAX 65535u          /* bytes of a map's user key */
#define SB_VALUE_MAX (1u << 30)       /* bytes of one record's value */
#define SB_STATE_NAME_MAX 255u        /* bytes of a state's name, UTF-8 */
#define SB_STATES_MAX 4096u           /* states of one keyed handle */
#define SB_KEY_GROUPS_MAX 32768u      /* maximum parallelism */
#define SB_OBJECT_NAME_MAX 1024u      /* bytes of an object's name */
#define SB_PLUGIN_NAME_MAX 63u        /* characters, [a-z0-9-] */
#define SB_BLOB_MAX (64u << 20)       /* bytes of a checkpoint's caller blob */

/* The status's name, such as "not_found"; never NULL. Any thread. */
SB_EXPORT const char *sb_status_name(sb_status status);

/* 1 if the same call may succeed when it is made again, else 0. */
SB_EXPORT int sb_status_retryable(sb_status status);

/* Fills *err (unless NULL) and returns `status`. */
SB_EXPORT sb_status sb_error_set(sb_error *err, sb_status status,
                                 const char *format, ...) SB_PRINTF(3, 4);

/* The library's version, "MAJOR.MINOR.PATCH". */
SB_EXPORT const char *sb_version(void);

static inline sb_slice
sb_slice_of(const void *data, size_t len)
{
  sb_slice slice;
  slice.data = data;
  slice.len = len;
  return slice;
}

#ifdef __cplusplus
}
#endif
#endif
