/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A credentials provider of one's own, for aws.credentials.provider: CUSTOM.
 *
 * aws.credentials.provider.custom.class names it in one of two ways:
 *   NAME    an sb_credentials_provider that the program has registered with
 *           sb_host_register(NAME, provider, err) before it opens the backend
 *   /PATH   a shared object (any text with a '/') that exports
 *             const sb_credentials_provider *sb_s3_credentials(void);
 *
 * Ownership: the table and what it points to belong to the program or the
 * shared object and must outlive every backend opened with them. A shared
 * object is never unloaded. The table may be static const.
 *
 * Threads: `fetch` is called on a thread of SB_LANE_IO and may block for some
 * seconds. A backend never calls it twice at the same time, but two backends
 * with the same provider may. A backend that is closed waits for a call that
 * runs. `fetch` must not call into the backend.
 */
#ifndef STATEBACKEND_CREDENTIALS_H
#define STATEBACKEND_CREDENTIALS_H

#include <statebackend/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where `fetch` puts what it has got. It belongs to the caller and is good
   only during the call. */
typedef struct sb_credentials_reply sb_credentials_reply;
struct sb_credentials_reply {
  uint32_t struct_size;
  uint32_t reserved;

  /* Gives the credentials; the texts are copied before it returns, so that the
     provider may wipe its own. session_token: NULL for none. expires_ms: wall
     clock, milliseconds since 1970 UTC; 0 for never. They are asked for again
     some minutes before that, or when the server refuses them. The last call
     counts. SB_OK, SB_INVALID for texts that no credentials can have,
     SB_NO_MEMORY. */
  sb_status (*set)(sb_credentials_reply *reply, const char *access_key,
                   const char *secret_key, const char *session_token,
                   uint64_t expires_ms);
};

typedef struct sb_credentials_provider {
  uint32_t struct_size;       /* sizeof (sb_credentials_provider) */
  uint32_t abi_version;       /* SB_ABI_VERSION */
  void *ctx;                  /* the provider's own */

  /* Calls reply->set and returns SB_OK, or says in *err, without a secret, why
     it cannot. SB_UNAVAILABLE, SB_TIMEOUT and SB_IO are tried again, after a
     pause. */
  sb_status (*fetch)(void *ctx, sb_credentials_reply *reply, sb_error *err);
} sb_credentials_provider;

/* The entry point's type and name. */
typedef const sb_credentials_provider *sb_credentials_init_fn(void);
#define SB_CREDENTIALS_INIT "sb_s3_credentials"

#ifdef __cplusplus
}
#endif
#endif
