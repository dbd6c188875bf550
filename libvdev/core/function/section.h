/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections of a saved state, see docs/state-format.md. */
#ifndef VDEV_CORE_SECTION_H
#define VDEV_CORE_SECTION_H

#include <vdev/stream.h>

enum {
	SECTION_HEADER_BYTES = 16,
	SECTION_REQUIRED = 1 /* flag: a reader that does not know the section refuses the state */
};

struct section {
	uint16_t id;
	uint16_t flags;
	uint32_t version;
	struct vdev_reader body;
};

/* Begin a section; returns what section_end() needs. */
size_t section_begin(struct vdev_writer *w, uint16_t id, uint16_t flags, uint32_t version);
void section_end(struct vdev_writer *w, size_t begin);
/* Next section: 1; 0 at the end; VIRTQ_EBADMSG when it is cut short or its checksum is wrong. */
int section_next(struct vdev_reader *r, struct section *out);
/* 0 when the whole body was read and nothing beyond it, else VIRTQ_EBADMSG. */
int section_finished(const struct vdev_reader *body);

/* CRC-32 as in IEEE 802.3, reflected. Start with 0; may be continued. */
uint32_t vdev_crc32(uint32_t crc, const void *bytes, size_t len);

#endif
