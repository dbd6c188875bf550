/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_TAKE_NOTICES_H
#define TESTS_SUPPORT_TAKE_NOTICES_H

#include <vdev/vdev.h>

/* Have a device, whatever its model, take notices as a network device does; before it has a transport. */
void take_notices(struct vdev *v);

#endif
