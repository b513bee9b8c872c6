/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli; reflected, initial value and final xor all ones), the
 * checksum of every format here.
 */
#ifndef SB_BASE_CRC_H
#define SB_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *data, size_t len);

/* The checksum of A followed by `data`, where `crc` is the checksum of A;
   0 is the checksum of nothing. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t len);

/* A checksum bound to a place: that of `id`, then `number` as four bytes
   little-endian, then `data`. */
uint32_t crc32c_seeded(const uint8_t id[16], uint32_t number,
                       const void *data, size_t len);

#endif
