/* SPDX-License-Identifier: BSD-3-Clause */
/* Feature negotiation: the device's bits, the two that vhost-user borrows among them, and the protocol's own. */
#include "vu.h"

#define BIT(n) ((uint64_t)1 << (n))

static int reply_u64(struct vdev_vhost_user *vu, uint64_t value)
{
	memcpy(vu->reply, &value, sizeof(value));
	vu->reply_len = sizeof(value);
	return 0;
}

int vu_on_owner(struct vdev_vhost_user *vu, struct vu_message *m)
{
	/* Ownership is the connection's. RESET_OWNER is obsolete, and to be ignored. */
	(void)vu;
	(void)m;
	return 0;
}

/*
 * Translated addresses need the back-end channel, so ACCESS_PLATFORM is offered to front-ends that have negotiated it.
 * (Others would take the bit without being able to serve it: user-mode-linux has no DMA addresses at all, asks for
 * features before anything else, and fails with it.)
 */
static uint64_t offered(const struct vdev_vhost_user *vu)
{
	if (vu_has(vu, VU_PROTO_BACKEND_REQ) && vu_has(vu, VU_PROTO_REPLY_ACK))
		return vu->offered;
	return vu->offered & ~BIT(VIRTQ_F_ACCESS_PLATFORM);
}

int vu_on_get_features(struct vdev_vhost_user *vu, struct vu_message *m)
{
	(void)m;
	return reply_u64(vu, offered(vu) | BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL));
}

int vu_on_get_protocol_features(struct vdev_vhost_user *vu, struct vu_message *m)
{
	(void)m;
	return reply_u64(vu, vu->protocol_offered);
}

int vu_on_set_protocol_features(struct vdev_vhost_user *vu, struct vu_message *m)
{
	uint64_t need = BIT(VU_PROTO_BACKEND_REQ) | BIT(VU_PROTO_REPLY_ACK);

	if (m->u64 & ~vu->protocol_offered)
		return vu_refuse(vu, "protocol features that were not offered");
	if (m->u64 & BIT(VU_PROTO_INBAND) && (m->u64 & need) != need) {
		/* The document wants the connection closed, even where an answer was asked for. */
		m->h.flags &= ~(uint32_t)VU_FLAG_NEED_REPLY;
		return vu_refuse(vu, "in-band notifications without what they need");
	}
	__atomic_store_n(&vu->protocol, m->u64, __ATOMIC_RELEASE);
	return 0;
}

int vu_on_get_queue_num(struct vdev_vhost_user *vu, struct vu_message *m)
{
	(void)m;
	return reply_u64(vu, vu->nrings);
}

/* What is left of SET_FEATURES once the device has the driver's features. */
static int settle(struct vdev_vhost_user *vu)
{
	uint64_t f = vu->m.u64;

	/*
	 * What was told while no ring ran: QEMU no longer tells when that ends, and begins each start with its features.
	 * To drop it as it comes would drop what others tell of a ring before they start it, perhaps with no channel to be
	 * asked over; here it costs them a miss at most.
	 */
	if (!vu_any_started(vu))
		vu_iotlb_forget(vu);
	vu->log_all = (f >> VU_F_LOG_ALL & 1) != 0;
	vu->protocol_acked = (f >> VU_F_PROTOCOL & 1) != 0;
	if (!vu->protocol_acked)
		vu_rings_enable(vu);
	vu_log_switch(vu);
	vu_rings_try(vu);
	return 0;
}

static int accept_now(struct vdev_vhost_user *vu, int rc)
{
	struct virtq_features f = {{vu->m.u64 & ~(BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL)), 0}};

	if (rc < 0 || vdev_accept(vu->v, &f) < 0)
		return vu_refuse(vu, "the device does not take features now");
	vu->features = f.word[0];
	vu->has_features = 1;
	return settle(vu);
}

int vu_on_set_features(struct vdev_vhost_user *vu, struct vu_message *m)
{
	uint64_t own = BIT(VU_F_LOG_ALL) | BIT(VU_F_PROTOCOL);
	uint64_t f = m->u64 & ~own;

	if (f & ~offered(vu))
		return vu_refuse(vu, "features that were not offered");
	if (m->u64 & BIT(VU_F_LOG_ALL) && vu->log != NULL &&
	    !vu_log_covers(vu->log, vu_mem_top(vu->regions, vu->nregions)))
		return vu_refuse(vu, "the log is too small for the memory");
	if (!(vdev_status(vu->v) & VIRTQ_STATUS_FEATURES_OK))
		return accept_now(vu, 0);
	if (vu->has_features && f == vu->features)
		return settle(vu);
	if (vu_any_started(vu))
		return vu_refuse(vu, "features of a running device");
	/* A new driver on a device whose front-end tells no status. */
	return vu_reset(vu, accept_now);
}
