/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a state as a spec says: what is stored with it is read from its blob
 * and compared, then it is registered with what is true from now on.
 *
 * The blob, empty if there is nothing to say: "SBS1", a byte of flags
 * (SPEC_BLOB_...), the schema version (u32) and the time at which a list's
 * elements without stamp got one (u64), both little-endian, then the types of
 * keys, namespaces, subkeys and values, each after its length as a varint.
 *
 * The handle's schema version is the caller's; of lists it is the caller's
 * times 256, plus how often elements have got or lost their stamps: odd means
 * that they have them.
 */
#ifndef SB_STATE_SPEC_H
#define SB_STATE_SPEC_H

#include "host/state/context.h"

#define SPEC_BLOB_NULLS 1u

/* What a blob says. */
typedef struct spec_stored {
  uint32_t known;    /* 1: the state is there */
  uint32_t foreign;  /* 1: and what is stored was not written here */
  uint32_t nulls;
  uint32_t schema_version;
  uint32_t changes;  /* lists: stamps came and went that often */
  uint64_t stamped_ms;
  sb_slice blob;
  sb_slice types[4]; /* key, namespace, subkey, value */
  uint32_t time_kind;
} spec_stored;

/* Reads what is stored with a state. */
void spec_read(const sb_state_info *info, spec_stored *stored);

/* Opens a state, of `size` zeroed bytes that belong to the context. One that
   is open already is given again. A new one has dispose NULL. */
sb_status spec_open(sb_context *context, const sb_state_spec *spec,
                    uint32_t kind, size_t size, state_base **out,
                    sb_error *err);

/* A copy of a caller's spec, as long as this library knows it, checked for its
   kind. */
sb_status spec_copy(const sb_state_spec *from, uint32_t kind,
                    sb_state_spec *to, sb_error *err);

/* convert.c: the hook of a state whose stored values are wrapped. SB_OK and no
   hook if none is needed. */
sb_status convert_hook(const sb_host *host, const sb_state_spec *spec,
                       uint32_t kind, const spec_stored *stored,
                       sb_state_options *options, sb_error *err);

#endif
