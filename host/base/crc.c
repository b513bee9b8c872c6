/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C through isa-l, whose function leaves out both inversions. */
#include "config.h"

#include <isa-l.h>
#include "host/base/buf.h"
#include "host/base/crc.h"

#define CRC_STEP ((size_t)1 << 30) /* isa-l's length is an int */

uint32_t
crc32c_extend(uint32_t crc, const void *data, size_t len)
{
  /* isa-l only reads, but does not say const. */
  unsigned char *p = (unsigned char *)(uintptr_t)data;

  crc = ~crc;
  while (len > CRC_STEP) {
    crc = crc32_iscsi(p, (int)CRC_STEP, crc);
    p += CRC_STEP;
    len -= CRC_STEP;
  }
  if (len != 0)
    crc = crc32_iscsi(p, (int)len, crc);
  return ~crc;
}

uint32_t
crc32c(const void *data, size_t len)
{
  return crc32c_extend(0, data, len);
}

uint32_t
crc32c_seeded(const uint8_t id[16], uint32_t number, const void *data,
              size_t len)
{
  uint8_t seed[20];

  memcpy(seed, id, 16);
  store_u32(seed + 16, number);
  return crc32c_extend(crc32c(seed, sizeof seed), data, len);
}
