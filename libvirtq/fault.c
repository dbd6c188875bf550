/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of faults: a file of its own, so that only programs that ask for them have the words. */
#include <virtq/device.h>

#ifndef VIRTQ_NO_DEVICE

const char *virtq_fault_name(uint16_t reason)
{
	switch ((enum virtq_fault_reason)reason) {
	case VIRTQ_FAULT_NONE:
		return "none";
	case VIRTQ_FAULT_AVAIL_IDX:
		return "available index too far ahead";
	case VIRTQ_FAULT_HEAD:
		return "head or buffer id outside of the ring";
	case VIRTQ_FAULT_DUPLICATE:
		return "head or buffer id already in flight";
	case VIRTQ_FAULT_NEXT:
		return "next outside of the table";
	case VIRTQ_FAULT_TOO_MANY:
		return "chain too long or circular";
	case VIRTQ_FAULT_TOO_LONG:
		return "chain of 2^32 bytes or more";
	case VIRTQ_FAULT_ORDER:
		return "readable buffer after a writable one";
	case VIRTQ_FAULT_ADDRESS:
		return "buffer outside of guest memory";
	case VIRTQ_FAULT_INDIRECT:
		return "indirect table not negotiated";
	case VIRTQ_FAULT_INDIRECT_LEN:
		return "bad length of an indirect table";
	case VIRTQ_FAULT_INDIRECT_FLAGS:
		return "indirect table where none may be";
	case VIRTQ_FAULT_UNAVAILABLE:
		return "list continues with an unavailable descriptor";
	case VIRTQ_FAULT_DMA:
		return "bus access failed";
	case VIRTQ_FAULT_RING:
		return "ring outside of guest memory";
	case VIRTQ_FAULT_DEVICE:
		return "refused by the device model";
	}
	return "unknown";
}

#endif
