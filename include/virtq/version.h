/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Version of the headers. The library's own version is virtq_version().
 */
#ifndef VIRTQ_VERSION_H
#define VIRTQ_VERSION_H

#define VIRTQ_VERSION_MAJOR 0
#define VIRTQ_VERSION_MINOR 1
#define VIRTQ_VERSION_PATCH 0
#define VIRTQ_VERSION                                                                              \
	((VIRTQ_VERSION_MAJOR << 16) | (VIRTQ_VERSION_MINOR << 8) | VIRTQ_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the library that is linked, in the form of #VIRTQ_VERSION. Any thread. */
unsigned virtq_version(void);

#ifdef __cplusplus
}
#endif

#endif
