/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * All of libvirtq. Freestanding C11: no libc, heap, globals, threads or system calls.
 */
#ifndef VIRTQ_VIRTQ_H
#define VIRTQ_VIRTQ_H

#include <virtq/device.h>
#include <virtq/dirty.h>
#include <virtq/driver.h>
#include <virtq/error.h>
#include <virtq/inflight.h>
#include <virtq/mem.h>
#include <virtq/platform.h>
#include <virtq/state.h>
#include <virtq/version.h>
#include <virtq/wire.h>

#endif
