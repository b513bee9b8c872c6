/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: the memory behind the default host's alloc. What is resident stays
 * near what is allocated, whichever threads allocate and free.
 */
#ifndef SB_PLUGIN_POOL_H
#define SB_PLUGIN_POOL_H

#include <stddef.h>

/* As realloc, aligned to 16 bytes; size 0 frees and returns NULL. NULL on
   failure, with `old` left as it was. Any thread. */
void *pool_alloc(void *old, size_t size);

/* 1 when all goes to realloc and free: under sanitizers and valgrind, and when
   SB_PLAIN_MALLOC is in the environment of the process. */
int pool_is_plain(void);

#endif
