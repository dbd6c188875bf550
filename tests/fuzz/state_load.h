/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_STATE_LOAD_H
#define TESTS_FUZZ_STATE_LOAD_H

#include <vdev/vdev.h>

#include "fuzz.h"
#include "state_buffer.h"

enum { STATE_RAM = 65536, STATE_GPA = 0x40000000 };

/* What is to be loaded. */
extern struct state_buffer state_input;

/* Load it. What is refused changes nothing; what is taken saves as the same state, and runs; then the device is reset. */
void state_load(struct vdev *v);
/* A network device that was saved after its driver sent commands, with some bytes changed; or the input as it is. */
void state_load_net(const uint8_t *data, size_t size, const struct vdev_env *env,
                    const struct virtq_region *region);

#endif
