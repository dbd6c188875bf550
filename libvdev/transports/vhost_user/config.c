/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's configuration space, read and written by the front-end. */
#include "vu.h"

int vu_on_get_config(struct vdev_vhost_user *vu, struct vu_message *m)
{
	struct vu_config *c = &m->config;

	/* An empty answer tells of an error. Some send room for the bytes along, some do not. */
	if (c->size == 0 || c->size > VU_MAX_CONFIG || c->offset > VU_MAX_CONFIG - c->size ||
	    (m->h.size != VU_CONFIG_HEADER && m->h.size != VU_CONFIG_HEADER + c->size))
		return 0;
	vdev_config_read(vu->v, c->offset, c->bytes, c->size);
	vu->reply_len = VU_CONFIG_HEADER + c->size;
	memcpy(vu->reply, c, vu->reply_len);
	return 0;
}

int vu_on_set_config(struct vdev_vhost_user *vu, struct vu_message *m)
{
	const struct vu_config *c = &m->config;

	if (c->size == 0 || c->size > VU_MAX_CONFIG || c->offset > VU_MAX_CONFIG - c->size ||
	    m->h.size != VU_CONFIG_HEADER + c->size)
		return vu_refuse(vu, "write outside of the configuration space");
	if (c->flags > 1)
		return vu_refuse(vu, "unknown flags of SET_CONFIG");
	if (c->offset + c->size > vdev_config_len(vu->v))
		return vu_refuse(vu, "write outside of the configuration space");
	/*
	 * What the driver may not write stays as it is, with the flag of live migration too: what else there is in
	 * there (the capacity) is this side's to know.
	 */
	vdev_config_write(vu->v, c->offset, c->bytes, c->size);
	return 0;
}
