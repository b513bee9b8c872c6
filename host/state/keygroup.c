/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key groups as Flink computes them. Java's int arithmetic wraps, so all of it
 * is done unsigned and converted at the end.
 */
#include "config.h"

#include <statebackend/keygroup.h>

static int32_t
keygroup_signed(uint32_t bits)
{
  return bits <= INT32_MAX ? (int32_t)bits : -(int32_t)(UINT32_MAX - bits) - 1;
}

static uint32_t
keygroup_rotate(uint32_t bits, unsigned count)
{
  return bits << count | bits >> (32 - count);
}

int32_t
sb_hash_bytes(sb_slice key)
{
  const int8_t *bytes = key.data;
  size_t i = 0, len = bytes == NULL ? 0 : key.len;
  uint32_t hash = 1;

  /* Four at a time: the multiplications need not wait for each other. */
  for (; i + 4 <= len; i += 4)
    hash = hash * (31u * 31 * 31 * 31) +
           (uint32_t)bytes[i] * (31u * 31 * 31) +
           (uint32_t)bytes[i + 1] * (31u * 31) +
           (uint32_t)bytes[i + 2] * 31u + (uint32_t)bytes[i + 3];
  for (; i < len; i++)
    hash = hash * 31 + (uint32_t)bytes[i];
  return keygroup_signed(hash);
}

static inline int32_t
keygroup_murmur(int32_t hash)
{
  uint32_t code = (uint32_t)hash;

  code *= 0xcc9e2d51u;
  code = keygroup_rotate(code, 15);
  code *= 0x1b873593u;
  code = keygroup_rotate(code, 13);
  code = code * 5 + 0xe6546b64u;
  code ^= 4;
  code ^= code >> 16;
  code *= 0x85ebca6bu;
  code ^= code >> 13;
  code *= 0xc2b2ae35u;
  code ^= code >> 16;
  if (code <= INT32_MAX)
    return (int32_t)code;
  /* Java's Math.abs has no answer for the smallest int; Flink takes 0. */
  return code == 0x80000000u ? 0 : (int32_t)(0u - code);
}

int32_t
sb_murmur(int32_t hash)
{
  return keygroup_murmur(hash);
}

uint32_t
sb_key_group(int32_t hash, uint32_t count)
{
  uint32_t code = (uint32_t)keygroup_murmur(hash);

  if ((count & (count - 1)) == 0) /* nearly always, and much cheaper */
    return count == 0 ? 0 : code & (count - 1);
  return code % count;
}

sb_status
sb_key_group_range(uint32_t count, uint32_t parallelism, uint32_t subtask,
                   uint32_t *first, uint32_t *last)
{
  if (count > SB_KEY_GROUPS_MAX || parallelism > count ||
      subtask >= parallelism)
    return SB_INVALID;
  *first = (subtask * count + parallelism - 1) / parallelism;
  *last = ((subtask + 1) * count - 1) / parallelism;
  return SB_OK;
}

uint32_t
sb_key_group_owner(uint32_t count, uint32_t parallelism, uint32_t key_group)
{
  if (count == 0)
    return 0;
  return (uint32_t)((uint64_t)key_group * parallelism / count);
}
