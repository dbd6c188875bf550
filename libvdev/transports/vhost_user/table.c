/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages: what each may look like, when it may come, who carries it out. Everything that can be said about a
 * message without knowing the device is said here, once.
 */
#include "vu.h"

#define NONE (-1)

static const struct vu_entry table[VU_REQUESTS] = {
	/* handler, payload from, to, descriptors from, to, kind, protocol feature, when */
	[VU_GET_FEATURES] = {vu_on_get_features, 0, 8, 0, 0, VU_REPLIES, NONE, VU_ANY_TIME},
	[VU_SET_FEATURES] = {vu_on_set_features, 8, 8, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SET_OWNER] = {vu_on_owner, 0, 8, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_RESET_OWNER] = {vu_on_owner, 0, 8, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SET_MEM_TABLE] = {vu_on_set_mem_table, 8 + 32, sizeof(struct vu_mem_table), 1,
                          VU_TABLE_REGIONS, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SET_LOG_BASE] = {vu_on_set_log_base, 16, 16, 1, 1, VU_REPLIES, VU_PROTO_LOG_SHMFD,
                         VU_ANY_TIME},
	[VU_SET_LOG_FD] = {vu_on_set_log_fd, 0, 8, 1, 1, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SET_VRING_NUM] = {vu_on_set_vring_num, 8, 8, 0, 0, VU_PLAIN, NONE, VU_RING_STOPPED},
	[VU_SET_VRING_ADDR] = {vu_on_set_vring_addr, 40, 40, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SET_VRING_BASE] = {vu_on_set_vring_base, 8, 8, 0, 0, VU_PLAIN, NONE, VU_RING_STOPPED},
	[VU_GET_VRING_BASE] = {vu_on_get_vring_base, 8, 8, 0, 0, VU_REPLIES, NONE, VU_ANY_TIME},
	[VU_SET_VRING_KICK] = {vu_on_set_vring_kick, 8, 8, 0, 1, VU_FD_BY_FLAG, NONE, VU_ANY_TIME},
	[VU_SET_VRING_CALL] = {vu_on_set_vring_call, 8, 8, 0, 1, VU_FD_BY_FLAG, NONE, VU_ANY_TIME},
	[VU_SET_VRING_ERR] = {vu_on_set_vring_err, 8, 8, 0, 1, VU_FD_BY_FLAG, NONE, VU_ANY_TIME},
	[VU_GET_PROTOCOL_FEATURES] = {vu_on_get_protocol_features, 0, 8, 0, 0, VU_REPLIES, NONE,
                                  VU_ANY_TIME},
	[VU_SET_PROTOCOL_FEATURES] = {vu_on_set_protocol_features, 8, 8, 0, 0, VU_PLAIN, NONE,
                                  VU_ALL_STOPPED},
	[VU_GET_QUEUE_NUM] = {vu_on_get_queue_num, 0, 8, 0, 0, VU_REPLIES, NONE, VU_ANY_TIME},
	[VU_SET_VRING_ENABLE] = {vu_on_set_vring_enable, 8, 8, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_SEND_RARP] = {vu_on_send_rarp, 8, 8, 0, 0, VU_PLAIN, VU_PROTO_RARP, VU_ANY_TIME},
	[VU_NET_SET_MTU] = {vu_on_net_set_mtu, 8, 8, 0, 0, VU_PLAIN, VU_PROTO_NET_MTU, VU_ANY_TIME},
	[VU_SET_BACKEND_REQ_FD] = {vu_on_set_backend_req_fd, 0, 8, 1, 1, VU_PLAIN, VU_PROTO_BACKEND_REQ,
                               VU_ANY_TIME},
	/* The document's bytes, or the kernel's structure with its padding. */
	[VU_IOTLB_MSG] = {vu_on_iotlb, 26, sizeof(struct vu_iotlb), 0, 0, VU_PLAIN,
                      VU_PROTO_BACKEND_REQ, VU_ANY_TIME},
	[VU_GET_CONFIG] = {vu_on_get_config, VU_CONFIG_HEADER, VU_CONFIG_HEADER + VU_MAX_CONFIG, 0, 0,
                       VU_REPLIES, VU_PROTO_CONFIG, VU_ANY_TIME},
	[VU_SET_CONFIG] = {vu_on_set_config, VU_CONFIG_HEADER, VU_CONFIG_HEADER + VU_MAX_CONFIG, 0, 0,
                       VU_PLAIN, VU_PROTO_CONFIG, VU_ANY_TIME},
	/* The structure has 20 bytes, or 24 where a compiler padded it. */
	[VU_GET_INFLIGHT_FD] = {vu_on_get_inflight_fd, 20, 24, 0, 0, VU_REPLIES,
                            VU_PROTO_INFLIGHT_SHMFD, VU_ANY_TIME},
	[VU_SET_INFLIGHT_FD] = {vu_on_set_inflight_fd, 20, 24, 1, 1, VU_PLAIN, VU_PROTO_INFLIGHT_SHMFD,
                            VU_ALL_STOPPED},
	[VU_RESET_DEVICE] = {vu_on_reset_device, 0, 8, 0, 0, VU_PLAIN, NONE, VU_ANY_TIME},
	[VU_VRING_KICK] = {vu_on_vring_kick, 8, 8, 0, 0, VU_PLAIN, VU_PROTO_INBAND, VU_ANY_TIME},
	[VU_GET_MAX_MEM_SLOTS] = {vu_on_get_max_mem_slots, 0, 8, 0, 0, VU_REPLIES, VU_PROTO_MEM_SLOTS,
                              VU_ANY_TIME},
	[VU_ADD_MEM_REG] = {vu_on_add_mem_reg, 40, 40, 1, 1, VU_PLAIN, VU_PROTO_MEM_SLOTS, VU_ANY_TIME},
	/* Older front-ends send the region's descriptor along, which is closed unused. */
	[VU_REM_MEM_REG] = {vu_on_rem_mem_reg, 40, 40, 0, 1, VU_PLAIN, VU_PROTO_MEM_SLOTS, VU_ANY_TIME},
	[VU_SET_STATUS] = {vu_on_set_status, 8, 8, 0, 0, VU_PLAIN, VU_PROTO_STATUS, VU_ANY_TIME},
	[VU_GET_STATUS] = {vu_on_get_status, 0, 8, 0, 0, VU_REPLIES, VU_PROTO_STATUS, VU_ANY_TIME},
};

const struct vu_entry *vu_find(uint32_t request)
{
	if (request >= VU_REQUESTS || table[request].handle == NULL)
		return NULL;
	return &table[request];
}

/* 0, or < 0 and why: then the front-end does not know what it does, and the connection ends. */
int vu_check(struct vdev_vhost_user *vu, const struct vu_entry *e, const struct vu_message *m)
{
	if (e->needs >= 0 && !vu_has(vu, (unsigned)e->needs))
		return vu_refuse(vu, "message of a protocol feature that was not negotiated");
	if (m->nfds < e->min_fds || m->nfds > e->max_fds)
		return vu_refuse(vu, "message with a wrong number of descriptors");
	if (e->kind == VU_FD_BY_FLAG && (m->u64 & VU_NOFD ? 1u : 0u) == m->nfds)
		return vu_refuse(vu, "message with a wrong number of descriptors");
	if (e->when == VU_ALL_STOPPED && vu_any_started(vu))
		return vu_refuse(vu, "message that may not come while a ring runs");
	return 0;
}

/* What a front-end may try and be told no: the message is for a ring that runs. */
static int legal_now(struct vdev_vhost_user *vu, const struct vu_entry *e,
                     const struct vu_message *m)
{
	if (e->when == VU_RING_STOPPED && m->state.index < vu->nrings &&
	    vu->rings[m->state.index].started)
		return vu_refuse(vu, "size or position of a running ring");
	return 0;
}

/* The message has been carried out, or refused. */
void vu_finish(struct vdev_vhost_user *vu, int rc)
{
	struct vu_message *m = &vu->m;
	int wants_ack = m->h.flags & VU_FLAG_NEED_REPLY && vu_has(vu, VU_PROTO_REPLY_ACK);
	int sent = 0;

	vu_drop_fds(m);
	if (rc < 0)
		vu_log_entry(vu, VDEV_LOG_WARNING, rc, -1, m->h.request, vu->why);
	if (m->entry->kind == VU_REPLIES && rc >= 0) {
		sent = vu_send(vu, vu->reply, vu->reply_len);
		vu_inflight_told(vu, sent);
	} else if (m->entry->kind != VU_REPLIES && wants_ack) {
		uint64_t ack = rc < 0;

		sent = vu_send(vu, &ack, sizeof(ack));
	} else if (rc < 0) {
		vu_close(vu, vu->why);
		return;
	}
	vdev_os_close(vu->reply_fd);
	vu->reply_fd = -1;
	m->have = 0;
	if (sent < 0)
		vu_close(vu, "the front-end does not take its answers");
	else
		vu_watch(vu, 1);
}

/* A whole message is there. */
void vu_dispatch(struct vdev_vhost_user *vu)
{
	struct vu_message *m = &vu->m;
	int rc = vu_check(vu, m->entry, m);

	if (rc < 0) {
		vu_log_entry(vu, VDEV_LOG_WARNING, rc, -1, m->h.request, vu->why);
		vu_close(vu, vu->why);
		return;
	}
	/* Optional parts that were not sent read as zero. */
	memset(m->bytes + m->h.size, 0, sizeof(m->bytes) - m->h.size);
	vu->reply_len = 0;
	vu->reply_fd = -1;
	vu->why = "message refused";
	rc = legal_now(vu, m->entry, m);
	if (rc == 0)
		rc = m->entry->handle(vu, m);
	if (rc == VIRTQ_EAGAIN && vu->then != NULL)
		vu_watch(vu, 0);
	else
		vu_finish(vu, rc);
}
