/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of the bytes that writer and reader of segments share. */
#ifndef SB_ENGINE_SEGMENT_FORMAT_H
#define SB_ENGINE_SEGMENT_FORMAT_H

#include "host/engine/segment.h"

#define SEGMENT_MAGIC "SBSEGM01"
#define SEGMENT_MAGIC_LEN 8u

/* What follows a block's payload: codec, CRC. */
#define SEGMENT_BLOCK_TRAILER_LEN 5u

/* The numbers that seed checksums: a block has its own number. */
#define SEGMENT_SEED_PARTITION 0x40000000u /* plus its index */
#define SEGMENT_SEED_DIRECTORY 0x80000000u

#define SEGMENT_PARTITION_HEADER_LEN 32u
#define SEGMENT_FILTER_SPACES 1u /* in the filter's length, a multiple of 32:
                                    it holds namespaces too */
#define SEGMENT_CRC_LEN 4u
#define SEGMENT_WORD_LEN 8u
#define SEGMENT_LOCATOR_LEN 8u

/* In the footer. */
#define SEGMENT_BODY_CRC_AT 152u
#define SEGMENT_RESERVED_AT 156u /* eight bytes of zeros */
#define SEGMENT_FOOTER_CRC_AT 164u
#define SEGMENT_MAGIC_AT 168u

void segment_footer_encode(const segment_info *info, uint32_t body_crc,
                           uint8_t out[SEGMENT_FOOTER_LEN]);

#endif
