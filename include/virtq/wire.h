/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The standard's numbers: feature bits, device status, ring layouts (VIRTIO 1.4 sections 2.1, 2.2,
 * 2.7, 2.8 and 6), and the 128-bit feature set used everywhere in this project.
 */
#ifndef VIRTQ_WIRE_H
#define VIRTQ_WIRE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Feature bits that are not of one device type (section 6). */
enum virtq_feature {
	VIRTQ_F_INDIRECT_DESC = 28,
	VIRTQ_F_EVENT_IDX = 29,
	VIRTQ_F_VERSION_1 = 32,
	VIRTQ_F_ACCESS_PLATFORM = 33,
	VIRTQ_F_RING_PACKED = 34,
	VIRTQ_F_IN_ORDER = 35,
	VIRTQ_F_ORDER_PLATFORM = 36,
	VIRTQ_F_SR_IOV = 37,
	VIRTQ_F_NOTIFICATION_DATA = 38,
	VIRTQ_F_NOTIF_CONFIG_DATA = 39,
	VIRTQ_F_RING_RESET = 40,
	VIRTQ_F_ADMIN_VQ = 41,
	VIRTQ_F_SUSPEND = 43
};

/** Bits of the device status field (section 2.1). */
enum virtq_status {
	VIRTQ_STATUS_ACKNOWLEDGE = 1,
	VIRTQ_STATUS_DRIVER = 2,
	VIRTQ_STATUS_DRIVER_OK = 4,
	VIRTQ_STATUS_FEATURES_OK = 8,
	VIRTQ_STATUS_SUSPEND = 16,
	VIRTQ_STATUS_NEEDS_RESET = 64,
	VIRTQ_STATUS_FAILED = 128
};

/** Flags of a descriptor; AVAIL and USED in the packed ring only (sections 2.7.5, 2.8.1). */
enum virtq_desc_flag {
	VIRTQ_DESC_NEXT = 1,
	VIRTQ_DESC_WRITE = 2,
	VIRTQ_DESC_INDIRECT = 4,
	VIRTQ_DESC_AVAIL = 1 << 7,
	VIRTQ_DESC_USED = 1 << 15
};

/** Event suppression of the packed ring (section 2.8.10), values of the flags field. */
enum virtq_event { VIRTQ_EVENT_ENABLE = 0, VIRTQ_EVENT_DISABLE = 1, VIRTQ_EVENT_DESC = 2 };

/** Sizes and flags that both sides need. */
enum {
	VIRTQ_MAX_SIZE = 32768,       /**< largest ring, split or packed */
	VIRTQ_DESC_BYTES = 16,        /**< one descriptor, both layouts */
	VIRTQ_USED_ELEM_BYTES = 8,    /**< one entry of the split used ring */
	VIRTQ_AVAIL_NO_INTERRUPT = 1, /**< avail->flags of the split ring */
	VIRTQ_USED_NO_NOTIFY = 1      /**< used->flags of the split ring */
};

/** A descriptor of the split ring or of an indirect table; all fields little-endian. */
struct virtq_split_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/** A descriptor of the packed ring; all fields little-endian. */
struct virtq_packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

/** Bytes of each part of a split ring (section 2.7.2). @{ */
#define VIRTQ_SPLIT_DESC_BYTES(size)   (16u * (uint32_t)(size))
#define VIRTQ_SPLIT_DRIVER_BYTES(size) (6u + 2u * (uint32_t)(size))
#define VIRTQ_SPLIT_DEVICE_BYTES(size) (6u + 8u * (uint32_t)(size))
/** @} */
/** Bytes of each part of a packed ring (section 2.8.2). @{ */
#define VIRTQ_PACKED_DESC_BYTES(size) (16u * (uint32_t)(size))
#define VIRTQ_PACKED_EVENT_BYTES      4u
/** @} */

/** A set of feature bits 0 to 127. Plain data; bit n is bit n%64 of word[n/64]. */
struct virtq_features {
	uint64_t word[2];
};

/** 1 when @p bit (0 to 127) is in @p f; any other bit is not. */
static inline int virtq_features_has(const struct virtq_features *f, unsigned bit)
{
	return bit < 128 && (f->word[bit / 64] >> (bit % 64) & 1) != 0;
}

/** Put @p bit (0 to 127) into @p f. */
static inline void virtq_features_set(struct virtq_features *f, unsigned bit)
{
	if (bit < 128)
		f->word[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/** Take @p bit (0 to 127) out of @p f. */
static inline void virtq_features_clear(struct virtq_features *f, unsigned bit)
{
	if (bit < 128)
		f->word[bit / 64] &= ~((uint64_t)1 << (bit % 64));
}

/** 1 when every bit of @p part is in @p whole. */
static inline int virtq_features_subset(const struct virtq_features *part,
                                        const struct virtq_features *whole)
{
	return (part->word[0] & ~whole->word[0]) == 0 && (part->word[1] & ~whole->word[1]) == 0;
}

#ifdef __cplusplus
}
#endif

#endif
