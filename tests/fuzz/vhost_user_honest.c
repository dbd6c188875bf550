/* SPDX-License-Identifier: BSD-3-Clause */
/* What an honest front-end does, so that the rest meets a back-end that is busy. */
#include <string.h>
#include <unistd.h>

#include "vhost_user.h"

static void tell(struct front *f, uint32_t request, const void *payload, size_t len,
                 const int *some, unsigned nfds)
{
	struct {
		struct vu_header h;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} m = {.h = {request, VU_VERSION, (uint32_t)len}};

	memcpy(m.bytes, payload, len);
	(void)!vdev_os_send_fds(f->sock, &m, sizeof(m.h) + len, some, nfds, 0);
	vu_serve(f);
}

static void tell_u64(struct front *f, uint32_t request, uint64_t value)
{
	tell(f, request, &value, sizeof(value), NULL, 0);
}

static void tell_fd(struct front *f, uint32_t request, uint64_t value, int fd)
{
	tell(f, request, &value, sizeof(value), &fd, 1);
}

static void tell_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	tell(f, request, &(struct vu_vring_state){index, num}, sizeof(struct vu_vring_state), NULL, 0);
}

static uint64_t features_of_run(const struct front *f)
{
	const uint64_t one = 1;

	return one << VIRTQ_F_VERSION_1 | one << VIRTQ_F_EVENT_IDX |
	       (f->how & HOW_PACKED ? one << VIRTQ_F_RING_PACKED : 0) |
	       (f->how & HOW_INDIRECT ? one << VIRTQ_F_INDIRECT_DESC : 0) |
	       (f->iommu ? one << VIRTQ_F_ACCESS_PLATFORM : 0) |
	       (f->how & HOW_IN_ORDER ? one << VIRTQ_F_IN_ORDER : 0);
}

/* Our driver side, at the start of an empty ring. */
static void driver_side(struct front *f, unsigned q)
{
	struct front_ring *r = &f->rings[q];
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features.word = {features_of_run(f)},
	                               .queue_size = RING,
	                               .ring = guest + q * RING_AREA,
	                               .ring_addr = q * RING_AREA};

	if (f->how & HOW_INDIRECT) {
		cfg.indirect_max = 16;
		cfg.indirect_addr = TABLES_AT + q * RING * 16 * VIRTQ_DESC_BYTES;
		cfg.indirect = guest + cfg.indirect_addr;
	}
	memset(guest + q * RING_AREA, 0, RING_AREA);
	cfg.scratch_bytes = virtq_drv_bytes(RING, &cfg.features);
	free(r->scratch);
	cfg.scratch = r->scratch = calloc(1, cfg.scratch_bytes);
	HOLDS(virtq_drv_init(&r->drv, &cfg) == 0);
	virtq_drv_state(&r->drv, &r->state);
}

static void ring_up(struct front *f, unsigned q)
{
	const struct virtq_state *s = &f->rings[q].state;
	struct vu_vring_addr a = {.index = q, .desc = s->desc, .avail = s->driver, .used = s->device};
	/* Each has a kick of its own: whoever is told first takes it. */
	int kick = fds[q == 0 ? FD_CALL : FD_KICK];

	tell_state(f, VU_SET_VRING_NUM, q, RING);
	tell_state(f, VU_SET_VRING_BASE, q, f->how & HOW_PACKED ? 0x80008000 : 0);
	tell(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	if (!(f->how & HOW_INBAND))
		tell_fd(f, VU_SET_VRING_CALL, q, fds[FD_CALL]);
	tell_state(f, VU_SET_VRING_ENABLE, q, 1);
	vdev_os_signal(kick);
	tell_fd(f, VU_SET_VRING_KICK, q, kick);
	vu_serve(f);
}

/* Memory that is there to stay, and above it some that isn't. */
static void memory(struct front *f)
{
	struct vu_mem_table t = {.count = 2,
	                         .regions = {{.len = MEM}, {.gpa = MEM, .len = MEM, .uva = MEM}}};
	int both[2] = {fds[FD_GUEST], fds[FD_LOOSE]};

	tell(f, VU_SET_MEM_TABLE, &t, 8 + 2 * 32, both, 2);
}

static void translation(struct front *f, uint8_t type, uint64_t at, uint64_t len)
{
	struct vu_iotlb m = {.iova = at, .size = len, .uva = at, .perm = 3, .type = type};

	tell(f, VU_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

/* What the back-end is told of its IOMMU, right or wrong. */
static void iotlb(struct front *f)
{
	uint8_t how = take8(&f->in);
	uint64_t at = (uint64_t)take8(&f->in) << 12, len = (uint64_t)(1 + (how >> 4)) << 12;
	struct vu_iotlb m = {.iova = at, .size = len, .uva = at, .perm = 3, .type = VU_IOTLB_UPDATE};

	switch (how & 7) {
	case 0:
		m.perm = take8(&f->in) & 7;
		break;
	case 1:
		m.uva = take_number(&f->in);
		break;
	case 2:
		m.size = take_number(&f->in);
		m.type = take8(&f->in) & 7;
		break;
	case 3:
		translation(f, VU_IOTLB_INVALIDATE, 0, how & 8 ? MEM : 0);
		m.size = MEM;
		m.iova = m.uva = 0;
		break;
	default:
		m.type = how & 1 ? VU_IOTLB_INVALIDATE : VU_IOTLB_UPDATE;
		m.uva ^= how & 8 ? 4096 : 0;
	}
	tell(f, VU_IOTLB_MSG, &m, sizeof(m), NULL, 0);
}

void honest_begin(struct front *f)
{
	const uint64_t one = 1;
	uint64_t protocol =
		one << VU_PROTO_REPLY_ACK | one << VU_PROTO_LOG_SHMFD | one << VU_PROTO_BACKEND_REQ |
		one << VU_PROTO_CONFIG | one << VU_PROTO_MEM_SLOTS | one << VU_PROTO_RESET_DEVICE |
		one << VU_PROTO_INFLIGHT_SHMFD | one << VU_PROTO_RARP | one << VU_PROTO_NET_MTU;

	if (f->how & HOW_INBAND)
		protocol |= one << VU_PROTO_INBAND | one << VU_PROTO_BACKEND_SEND_FD;
	if (f->how & HOW_STATUS)
		protocol |= one << VU_PROTO_STATUS;
	memset(guest, 0, TABLES_AT);
	tell_u64(f, VU_SET_PROTOCOL_FEATURES, protocol);
	if (f->how & HOW_INBAND)
		tell_fd(f, VU_SET_BACKEND_REQ_FD, 0, fds[FD_CHANNEL]);
	tell_u64(f, VU_SET_FEATURES, features_of_run(f) | one << VU_F_PROTOCOL);
	if (f->how & HOW_STATUS)
		tell_u64(f, VU_SET_STATUS,
		         VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER | VIRTQ_STATUS_FEATURES_OK);
	memory(f);
	if (f->iommu)
		translation(f, VU_IOTLB_UPDATE, 0, MEM);
	for (unsigned q = 0; q < QUEUES; q++) {
		driver_side(f, q);
		ring_up(f, q);
	}
	if (f->how & HOW_STATUS)
		tell_u64(f, VU_SET_STATUS, 15);
}

/* A request whose parts are mostly right. */
void honest_request(struct front *f)
{
	static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 0, 1};
	unsigned q = take8(&f->in) % QUEUES;
	struct front_ring *r = &f->rings[q];
	uint64_t at = SLOTS_AT + f->slot++ % 64 * 0x800;
	uint8_t kind = take8(&f->in), type = types[kind & 7];
	struct virtq_seg seg[8] = {{.addr = at, .len = 16}};
	uint32_t n = 1, nread, sector = take8(&f->in) % 130;

	if (r->scratch == NULL)
		return;
	memset(guest + at, 0, 0x40);
	guest[at] = type;
	memcpy(guest + at + 8, &sector, sizeof(sector));
	if (type == 11 || type == 13) {
		guest[at + 16] = take8(&f->in) % 130;
		guest[at + 24] = take8(&f->in) % 9;
		seg[0].len = 32;
	}
	nread = kind & 1 ? 6 : 1;
	for (; type < 2 && n < 2u + (kind >> 3 & 3); n++) {
		uint16_t where = take16(&f->in);

		seg[n].addr = (where & 1 ? MEM : DATA_AT) + (uint64_t)(where >> 1) * 8;
		seg[n].len = kind & 32 ? take8(&f->in) * 4u + 1 : 512;
	}
	if (type == 8)
		seg[n++] = (struct virtq_seg){.addr = DATA_AT, .len = 20};
	if (type != 1 || nread > n)
		nread = type == 1 ? n : 1;
	seg[n++] = (struct virtq_seg){.addr = at + 0x700, .len = 1};
	(void)!virtq_drv_add(&r->drv, seg, nread, n - nread, r);
	if (kind & 64)
		return; /* more will follow */
	virtq_drv_publish(&r->drv);
	if (virtq_drv_should_kick(&r->drv) || kind & 128)
		vdev_os_signal(fds[q == 0 ? FD_CALL : FD_KICK]);
}

void honest_take(struct front *f)
{
	struct virtq_done done[8];

	for (unsigned q = 0; q < QUEUES; q++) {
		if (f->rings[q].scratch == NULL)
			continue;
		(void)!virtq_drv_take(&f->rings[q].drv, done, 8);
		(void)!virtq_drv_arm(&f->rings[q].drv);
	}
}

void honest_config(struct front *f)
{
	struct vu_config c;
	uint8_t how = take8(&f->in);
	uint32_t bytes;

	if (how >= 192) { /* what network devices are told */
		tell_u64(f, how & 1 ? VU_SEND_RARP : VU_NET_SET_MTU, take_number(&f->in));
		return;
	}
	memset(&c, 0, sizeof(c));
	c.offset = how & 4 ? (uint32_t)take_number(&f->in) : take8(&f->in) % 70;
	c.size = how & 8 ? (uint32_t)take_number(&f->in) : take8(&f->in) % 70;
	c.flags = how >> 4 & 3;
	bytes = c.size < VU_MAX_CONFIG ? c.size : take8(&f->in);
	for (uint32_t i = 0; how & 1 && i < bytes && i < 16; i++)
		c.bytes[i] = take8(&f->in);
	tell(f, how & 1 ? VU_SET_CONFIG : VU_GET_CONFIG, &c,
	     VU_CONFIG_HEADER + (how & 2 ? take8(&f->in) : bytes), NULL, 0);
}

/* Regions that come and go beside those of the table. */
void honest_region(struct front *f)
{
	uint8_t how = take8(&f->in);
	uint64_t at = 2 * MEM + (uint64_t)(how >> 1 & 3) * 65536;
	struct vu_mem_reg reg = {
		.region = {.gpa = at, .len = 65536, .uva = at, .offset = how >> 3 & 1 ? 65536 : 0}};

	if (how & 128) {
		iotlb(f);
		return;
	}
	if (how & 32)
		reg.region.len = take_number(&f->in);
	if (how & 64)
		reg.region.offset = take_number(&f->in);
	if (how & 1)
		tell(f, VU_REM_MEM_REG, &reg, sizeof(reg), NULL, 0);
	else
		tell(f, VU_ADD_MEM_REG, &reg, sizeof(reg), &fds[how & 16 ? FD_LOOSE : FD_GUEST], 1);
}

void honest_log(struct front *f)
{
	uint8_t how = take8(&f->in);
	struct vu_log_desc d = {.bytes = how & 1 ? 64 : 256, .offset = how & 2 ? 4096 : 0};
	const struct virtq_state *s = &f->rings[how >> 3 & 1].state;
	struct vu_vring_addr a = {.index = (uint32_t)(how >> 3 & 1),
	                          .flags = (uint32_t)(how >> 4 & 1),
	                          .desc = s->desc,
	                          .avail = s->driver,
	                          .used = s->device,
	                          .log = s->device + (how & 32 ? 4096 : 0)};

	tell(f, VU_SET_LOG_BASE, &d, sizeof(d), &fds[FD_LOG], 1);
	if (how & 64)
		tell_fd(f, VU_SET_LOG_FD, 0, fds[FD_CALL]);
	tell_u64(f, VU_SET_FEATURES,
	         features_of_run(f) | (uint64_t)1 << VU_F_PROTOCOL |
	             (uint64_t)(how & 4 ? 0 : 1) << VU_F_LOG_ALL);
	tell(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
}

void honest_ring_again(struct front *f)
{
	unsigned q = take8(&f->in) % QUEUES;

	tell_state(f, VU_GET_VRING_BASE, q, 0);
	driver_side(f, q);
	ring_up(f, q);
}

/* The rings stop, and go on with an area of requests in flight that somebody may have written to. */
void honest_inflight(struct front *f)
{
	uint8_t how = take8(&f->in);
	unsigned queues = f->how & HOW_PACKED ? 1 : QUEUES; /* what fits into the small file */
	struct vu_inflight a = {.mmap_size = 4096, .num_queues = (uint16_t)queues, .queue_size = RING};

	for (unsigned q = 0; q < QUEUES; q++)
		tell_state(f, VU_GET_VRING_BASE, q, 0);
	if (how & 1)
		HOLDS(pwrite(fds[FD_SMALL], no_area, sizeof(no_area), 0) == sizeof(no_area));
	for (unsigned n = how >> 1 & 7; n > 0; n--) {
		uint64_t word = take_number(&f->in);
		/* The header, and the first entries: the rest is like them. */
		off_t at = take8(&f->in) * 2;

		HOLDS(pwrite(fds[FD_SMALL], &word, sizeof(word), at) == sizeof(word));
	}
	if (how & 16)
		tell(f, VU_GET_INFLIGHT_FD, &a, how & 32 ? 20 : sizeof(a), NULL, 0);
	tell(f, VU_SET_INFLIGHT_FD, &a, sizeof(a), &fds[FD_SMALL], 1);
	for (unsigned q = 0; q < QUEUES; q++) {
		if (how & 64)
			driver_side(f, q);
		ring_up(f, q);
	}
}
