/* SPDX-License-Identifier: BSD-3-Clause */
/* Which features are offered and which choices are accepted (section 2.2). */
#include "core.h"

#define BIT(n) ((uint64_t)1 << (n))

/* What the ring and this core can do. A build without packed rings does not offer them. */
const struct virtq_features core_features = {
	{BIT(VIRTQ_F_INDIRECT_DESC) | BIT(VIRTQ_F_EVENT_IDX) |
#ifndef VIRTQ_NO_PACKED
     BIT(VIRTQ_F_RING_PACKED) |
#endif
     BIT(VIRTQ_F_VERSION_1) | BIT(VIRTQ_F_ACCESS_PLATFORM) | BIT(VIRTQ_F_IN_ORDER) |
     BIT(VIRTQ_F_ORDER_PLATFORM) | BIT(VIRTQ_F_NOTIFICATION_DATA) | BIT(VIRTQ_F_RING_RESET) |
     BIT(VIRTQ_F_SUSPEND)}};

void vdev_offered(const struct vdev *v, struct virtq_features *out)
{
	for (int i = 0; i < 2; i++)
		out->word[i] = (v->model_features.word[i] | core_features.word[i]) & ~v->withheld.word[i];
}

/* Whether the driver may have exactly these: 2.2.1, and section 6 on VERSION_1. */
int features_acceptable(const struct vdev *v, const struct virtq_features *f)
{
	struct virtq_features offered;

	vdev_offered(v, &offered);
	if (!virtq_features_subset(f, &offered))
		return 0;
	/* All that the core offers needs this one, which is always offered, and nothing else. */
	if (!virtq_features_has(f, VIRTQ_F_VERSION_1))
		return 0;
#ifdef VIRTQ_NO_SPLIT
	if (!virtq_features_has(f, VIRTQ_F_RING_PACKED))
		return 0;
#endif
	return v->ops.features_ok == NULL || v->ops.features_ok(v->model, f) > 0;
}

int vdev_withhold(struct vdev *v, const struct virtq_features *bits)
{
	if (v == NULL || bits == NULL || load_relaxed(&v->status) != 0 ||
	    virtq_features_has(bits, VIRTQ_F_VERSION_1))
		return VIRTQ_EINVAL;
	v->withheld = *bits;
	return 0;
}

void vdev_accepted(const struct vdev *v, struct virtq_features *out)
{
	*out = v->accepted;
}

int vdev_accept(struct vdev *v, const struct virtq_features *features)
{
	if (features == NULL || status_has(v, VIRTQ_STATUS_FEATURES_OK) || fan_pending(v, FAN_RESET))
		return VIRTQ_EINVAL;
	v->accepted = *features;
	function_activate(&v->fn);
	return 0;
}

int vdev_has(const struct vdev *v, unsigned bit)
{
	return virtq_features_has(&v->features, bit);
}
