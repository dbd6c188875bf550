/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user as it goes over the socket: numbers and payloads that back-end and front-end share. */
#ifndef VDEV_VHOST_USER_WIRE_H
#define VDEV_VHOST_USER_WIRE_H

#include <stdint.h>

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_REQUESTS = 41
};

enum vu_backend_request {
	VU_BE_IOTLB_MSG = 1,
	VU_BE_CONFIG_CHANGE = 2,
	VU_BE_VRING_CALL = 4,
	VU_BE_VRING_ERR = 5
};

enum vu_protocol {
	VU_PROTO_MQ = 0,
	VU_PROTO_LOG_SHMFD = 1,
	VU_PROTO_RARP = 2,
	VU_PROTO_REPLY_ACK = 3,
	VU_PROTO_NET_MTU = 4,
	VU_PROTO_BACKEND_REQ = 5,
	VU_PROTO_CONFIG = 9,
	VU_PROTO_BACKEND_SEND_FD = 10,
	VU_PROTO_INFLIGHT_SHMFD = 12,
	VU_PROTO_RESET_DEVICE = 13,
	VU_PROTO_INBAND = 14,
	VU_PROTO_MEM_SLOTS = 15,
	VU_PROTO_STATUS = 16
};

/* Bits of SET_FEATURES that are the protocol's and not the device's. */
enum { VU_F_LOG_ALL = 26, VU_F_PROTOCOL = 30 };

enum {
	VU_VERSION = 1,
	VU_FLAG_REPLY = 1 << 2,
	VU_FLAG_NEED_REPLY = 1 << 3,
	VU_NOFD = 1 << 8,
	VU_ADDR_LOG = 1,
	VU_MAX_FDS = 8,
	VU_TABLE_REGIONS = 8,
	VU_MAX_CONFIG = 256,
	VU_CONFIG_HEADER = 12,
	VU_LOG_PAGE_SHIFT = 12,
	VU_MAX_PAYLOAD = 8 + 32 * VU_TABLE_REGIONS + 16
};

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

/* Payloads as they come: native byte order. */
struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vu_region_desc {
	uint64_t gpa;
	uint64_t len;
	uint64_t uva;
	uint64_t offset;
};

struct vu_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vu_region_desc regions[VU_TABLE_REGIONS];
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_region_desc region;
};

struct vu_log_desc {
	uint64_t bytes;
	uint64_t offset;
};

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VU_MAX_CONFIG];
};

/* What an IOTLB message is about. */
enum vu_iotlb_type {
	VU_IOTLB_MISS = 1,
	VU_IOTLB_UPDATE = 2,
	VU_IOTLB_INVALIDATE = 3,
	VU_IOTLB_ACCESS_FAIL = 4
};
enum vu_iotlb_perm { VU_IOTLB_READ = 1, VU_IOTLB_WRITE = 2 };

struct vu_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t uva;
	uint8_t perm; /* enum vu_iotlb_perm */
	uint8_t type; /* enum vu_iotlb_type */
	uint8_t padding[6];
};

/* GET_INFLIGHT_FD and SET_INFLIGHT_FD; some send it without the padding. */
struct vu_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint8_t padding[4];
};
enum { VU_INFLIGHT_BYTES = 20 };

#endif
