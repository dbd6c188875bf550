/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A register-level device without virtio: a copy engine. Registers (64 bits each): 0 source, 8 destination, 16 length,
 * 24 doorbell, 32 copies done. A copy that was started goes on until copier_step(), as hardware would.
 */
#ifndef TESTS_UNIT_FUNCTION_TEST_DEVICE_H
#define TESTS_UNIT_FUNCTION_TEST_DEVICE_H

#include <vdev/function.h>

enum {
	COPIER_SRC = 0,
	COPIER_DST = 8,
	COPIER_LEN = 16,
	COPIER_GO = 24,
	COPIER_DONE = 32,
	COPIER_BYTES = 40
};

struct copier {
	struct vdev_function fn; /* first */
	uint64_t regs[COPIER_BYTES / 8];
	struct vdev_map src, dst;
	struct virtq_iov iov[2];
	int busy, cancelled, waits; /* waits: bits of operations that wait for the copy's end */
	int stopped;
	int destroyed;
};

int copier_init(struct copier *c, const struct vdev_env *env);
/* Finish the copy that is under way. */
void copier_step(struct copier *c);

#endif
