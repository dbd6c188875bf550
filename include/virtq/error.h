/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Results. Every call that can fail returns an int: >= 0 is success (a count or a yes/no), < 0 is
 * one of these, whose values equal -errno on Linux so that they can be passed on as they are.
 */
#ifndef VIRTQ_ERROR_H
#define VIRTQ_ERROR_H

/** What a call returns when it fails; the values are those of -errno on Linux. */
enum virtq_error {
	VIRTQ_EIO = -5,        /**< the medium or the bus failed */
	VIRTQ_EAGAIN = -11,    /**< not yet: something is still under way, ask again later */
	VIRTQ_ENOMEM = -12,    /**< the allocator gave nothing */
	VIRTQ_EFAULT = -14,    /**< an address outside of guest memory */
	VIRTQ_EBUSY = -16,     /**< the object is in use and can't be changed now */
	VIRTQ_EINVAL = -22,    /**< misuse by the caller; nothing was changed */
	VIRTQ_ENOSPC = -28,    /**< no room; for a driver: no free descriptors */
	VIRTQ_EPROTO = -71,    /**< the other side broke the rules of the ring or the protocol */
	VIRTQ_EBADMSG = -74,   /**< saved state that is damaged or contradicts itself */
	VIRTQ_ENOTSUP = -95,   /**< left out of this build, or not offered */
	VIRTQ_EBROKEN = -108,  /**< the queue broke earlier; only a reset brings it back */
	VIRTQ_ECANCELED = -125 /**< a request ended because its queue was reset or stopped */
};

/* On calls whose result says whether anything was done. */
#if defined(__GNUC__)
#define VIRTQ_MUST_CHECK __attribute__((warn_unused_result))
#else
#define VIRTQ_MUST_CHECK
#endif

#endif
