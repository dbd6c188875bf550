/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core itself needs of a function, beside function.h. */
#ifndef VDEV_CORE_FUNCTION_INTERNAL_H
#define VDEV_CORE_FUNCTION_INTERNAL_H

#include <vdev/function.h>

enum { STATE_MAX_BYTES = 16 << 20 }; /* a larger saved state is refused unread */

/* Note that the device is in use: until it is reset or quiesced it can't be destroyed or loaded. */
void function_activate(struct vdev_function *fn);
/* Tell whoever is attached. Any thread. */
void function_config_changed(struct vdev_function *fn);

#endif
