/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "supply_rig.h"

enum { BYTES = 1 << 18, IOV = 64 };

void rig_give(struct rig *r, const struct virtq_chain *c, uint32_t n, uint8_t byte)
{
	const struct vdev_done sum = {.read_bytes = n};
	uint32_t written[SIZE];

	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(vdev_chain_write(&c[i], 0, &byte, 1), 1);
		written[i] = 1;
	}
	vdev_queue_give(r->q[0], c, written, n, &sum);
}

static uint32_t process(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                        uint32_t n)
{
	const struct vdev_done done = {0};
	struct rig *r = model;

	ck_assert_uint_eq(vdev_queue_index(q), 1);
	r->processed += n;
	for (uint32_t i = 0; i < n; i++)
		vdev_queue_complete(q, &chains[i], &done);
	return n;
}

static int poll(void *model, struct vdev_queue *q)
{
	struct virtq_chain c[SIZE];
	struct virtq_iov iov[IOV];
	struct rig *r = model;
	int n;

	if (vdev_queue_index(q) != 0)
		return 0;
	r->polls++;
	if (r->give_in_poll == 0)
		return 0;
	n = vdev_queue_take(q, c, r->give_in_poll, iov, IOV);
	if (n <= 0)
		return 0;
	rig_give(r, c, (uint32_t)n, 'p');
	r->give_in_poll -= (uint32_t)n;
	return r->give_in_poll != 0;
}

static int queue_start(void *model, struct vdev_queue *q)
{
	struct rig *r = model;

	r->q[vdev_queue_index(q)] = q;
	if (vdev_queue_index(q) != 0)
		return 0;
	vdev_queue_supply(q);
	ck_assert_uint_le(vdev_queue_max_pieces(q), IOV);
	return 0;
}

static const struct vdev_model_ops ops = {.size = sizeof(ops),
                                          .name = "supply",
                                          .process = process,
                                          .poll = poll,
                                          .queue_start = queue_start};

static void interrupt(void *ctx, unsigned q)
{
	if (q < 2)
		__atomic_fetch_add(&((struct rig *)ctx)->interrupts[q], 1, __ATOMIC_RELAXED);
}

uint64_t rig_now(void *ctx)
{
	return __atomic_load_n(&((struct rig *)ctx)->now, __ATOMIC_RELAXED);
}

static void log_entry(void *ctx, const struct vdev_log_entry *entry)
{
	struct rig *r = ctx;

	r->mistakes += entry->level == VDEV_LOG_ERROR && entry->error == VIRTQ_EINVAL;
}

struct vdev_model rig_model(struct rig *r)
{
	return (struct vdev_model){.size = sizeof(struct vdev_model),
	                           .ops = &ops,
	                           .model = r,
	                           .nqueues = 2,
	                           .queue_max = SIZE,
	                           .flags = VDEV_MODEL_SHARED};
}

void rig_init(struct rig *r, int packed, int clock)
{
	const struct vdev_model m = rig_model(r);
	struct vdev_loopback_config cfg = {.size = sizeof(cfg),
	                                   .bytes = BYTES,
	                                   .gpa = GPA,
	                                   .queue_size = SIZE,
	                                   .interrupt = interrupt,
	                                   .ctx = r};

	memset(r, 0, sizeof(*r));
	r->env = *vdev_env_hosted();
	r->env.now = clock ? rig_now : NULL;
	r->env.log = log_entry;
	r->env.ctx = r;
	r->memory = calloc(1, BYTES);
	cfg.memory = r->memory;
	virtq_features_set(&cfg.wanted, VIRTQ_F_RING_RESET);
	virtq_features_set(&cfg.wanted, VIRTQ_F_SUSPEND);
	if (packed)
		virtq_features_set(&cfg.wanted, VIRTQ_F_RING_PACKED);
	ck_assert_int_eq(vdev_new(&r->v, &r->env, &m), 0);
	ck_assert_int_eq(vdev_loopback_new(&r->l, &r->env, r->v, &cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(r->l), 0);
	ck_assert_ptr_nonnull(r->q[0]);
}

void rig_fini(struct rig *r)
{
	vdev_loopback_free(r->l);
	ck_assert_int_eq(vdev_free(r->v), 0);
	free(r->memory);
}

void rig_add(struct rig *r, unsigned q, unsigned slot)
{
	struct virtq_seg seg = {.len = SLOT};
	uint64_t bytes;

	(void)vdev_loopback_memory(r->l, &seg.addr, &bytes);
	seg.addr += (uint64_t)slot * SLOT;
	ck_assert_int_eq(
		virtq_drv_add(vdev_loopback_drv(r->l, q), &seg, 0, 1, (void *)(uintptr_t)(slot + 1)), 0);
}

void rig_publish(struct rig *r, unsigned q)
{
	virtq_drv_publish(vdev_loopback_drv(r->l, q));
}
