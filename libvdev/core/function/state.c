/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving and loading a function: the stream around what the device itself writes. See docs/state-format.md. */
#include "../util.h"
#include "internal.h"
#include "section.h"

enum { FORMAT = 1, HEADER_BYTES = 48, NAME_BYTES = 16, SECTION_DEVICE = 1 };

static const uint8_t magic[8] = {'V', 'D', 'E', 'V', 'S', 'T', 'A', 0x1a};

static void put_header(struct vdev_writer *w, const struct vdev_function *fn, size_t bytes)
{
	char name[NAME_BYTES] = {0};
	uint8_t *start = w->buf + w->len;

	memcpy(name, fn->ops->name, name_len(fn->ops->name));
	vdev_put(w, magic, sizeof(magic));
	vdev_put16(w, FORMAT);
	vdev_put16(w, HEADER_BYTES);
	vdev_put32(w, 0);
	vdev_put(w, name, sizeof(name));
	vdev_put32(w, (uint32_t)bytes);
	vdev_put64(w, 0);
	if (w->error == 0)
		vdev_put32(w, vdev_crc32(0, start, HEADER_BYTES - 4));
}

/* Write the whole state into w. */
static int write_state(struct vdev_function *fn, struct vdev_writer *w)
{
	struct vdev_writer header = {.buf = w->buf, .cap = HEADER_BYTES};
	size_t begin;
	int rc;

	w->len = HEADER_BYTES;
	begin = section_begin(w, SECTION_DEVICE, SECTION_REQUIRED, fn->ops->state_version);
	rc = fn->ops->save(fn, w);
	if (rc < 0)
		return rc;
	section_end(w, begin);
	if (w->error != 0)
		return w->error;
	put_header(&header, fn, w->len - HEADER_BYTES);
	return header.error;
}

int vdev_function_save(struct vdev_function *fn, const struct vdev_stream *s)
{
	int rc;

	if (s == NULL || !has_field(s, ctx) || s->put == NULL)
		return VIRTQ_EINVAL;
	if (op_of(fn->ops, save) == NULL)
		return VIRTQ_ENOTSUP;
	if (!fn->quiesced || fn->pins != 0)
		return VIRTQ_EBUSY;
	/* How much it will be is known when it has been written: try with ever more room. */
	for (size_t cap = 4096; cap <= STATE_MAX_BYTES; cap *= 2) {
		struct vdev_writer w = {.cap = cap};

		w.buf = fn->env.alloc(fn->env.ctx, cap);
		if (w.buf == NULL)
			return VIRTQ_ENOMEM;
		rc = write_state(fn, &w);
		if (rc == 0)
			rc = s->put(s->ctx, w.buf, w.len);
		env_free(&fn->env, w.buf, cap);
		if (rc != VIRTQ_ENOSPC || w.error == 0)
			return rc < 0 ? rc : 0;
	}
	return VIRTQ_ENOSPC;
}

/* Check the header. Returns the bytes that follow, or an error. */
static int64_t check_header(const struct vdev_function *fn, const uint8_t *header)
{
	struct vdev_reader r = {.buf = header, .len = HEADER_BYTES};
	uint8_t got[sizeof(magic)];
	char name[NAME_BYTES];
	char own[NAME_BYTES] = {0};
	uint32_t bytes;
	uint16_t format;

	vdev_get(&r, got, sizeof(got));
	if (memcmp(got, magic, sizeof(magic)) != 0)
		return VIRTQ_EBADMSG;
	format = vdev_get16(&r);
	if (format == 0 || vdev_get16(&r) != HEADER_BYTES)
		return format > FORMAT ? VIRTQ_ENOTSUP : VIRTQ_EBADMSG;
	if (format > FORMAT)
		return VIRTQ_ENOTSUP;
	if (vdev_get32(&r) != 0)
		return VIRTQ_ENOTSUP;
	vdev_get(&r, name, sizeof(name));
	bytes = vdev_get32(&r);
	vdev_get64(&r);
	if (vdev_get32(&r) != vdev_crc32(0, header, HEADER_BYTES - 4))
		return VIRTQ_EBADMSG;
	memcpy(own, fn->ops->name, name_len(fn->ops->name));
	if (memcmp(name, own, NAME_BYTES) != 0)
		return VIRTQ_EBADMSG;
	if (bytes == 0 || bytes > STATE_MAX_BYTES)
		return VIRTQ_EBADMSG;
	return bytes;
}

/* Find the device's own section; sections that we don't know and may leave out are skipped. */
static int find_device(const uint8_t *buf, size_t len, uint32_t version, struct section *device)
{
	struct vdev_reader r = {.buf = buf, .len = len};
	struct section s;
	int found = 0;
	int rc;

	while ((rc = section_next(&r, &s)) > 0) {
		if (s.id == SECTION_DEVICE) {
			if (found)
				return VIRTQ_EBADMSG;
			found = 1;
			*device = s;
		} else if (s.flags & SECTION_REQUIRED) {
			return VIRTQ_ENOTSUP;
		}
	}
	if (rc < 0)
		return rc;
	if (!found)
		return VIRTQ_EBADMSG;
	return device->version > version ? VIRTQ_ENOTSUP : 0;
}

/* Let the device check all of it, and only then take it. */
static int apply_state(struct vdev_function *fn, const uint8_t *buf, size_t len)
{
	struct section device;
	int rc = find_device(buf, len, fn->ops->state_version, &device);

	for (int apply = 0; rc == 0 && apply < 2; apply++) {
		struct vdev_reader r = device.body;

		rc = fn->ops->load(fn, &r, device.version, apply);
		if (rc == 0 && apply == 0)
			rc = section_finished(&r);
	}
	return rc;
}

int vdev_function_load(struct vdev_function *fn, const struct vdev_stream *s)
{
	uint8_t header[HEADER_BYTES];
	uint8_t *buf;
	int64_t bytes;
	int rc;

	if (s == NULL || !has_field(s, ctx) || s->get == NULL)
		return VIRTQ_EINVAL;
	if (op_of(fn->ops, load) == NULL)
		return VIRTQ_ENOTSUP;
	if ((fn->active && !fn->quiesced) || fn->pins != 0)
		return VIRTQ_EBUSY;
	for (int i = 0; i < 4; i++)
		if (fn->pending[i].on)
			return VIRTQ_EBUSY;
	rc = s->get(s->ctx, header, sizeof(header));
	if (rc < 0)
		return rc;
	bytes = check_header(fn, header);
	if (bytes < 0)
		return (int)bytes;
	buf = fn->env.alloc(fn->env.ctx, (size_t)bytes);
	if (buf == NULL)
		return VIRTQ_ENOMEM;
	rc = s->get(s->ctx, buf, (size_t)bytes);
	if (rc >= 0)
		rc = apply_state(fn, buf, (size_t)bytes);
	env_free(&fn->env, buf, (size_t)bytes);
	if (rc < 0)
		return rc;
	lock_take(&fn->lock);
	fn->active = 1;
	fn->quiesced = 1;
	lock_give(&fn->lock);
	return 0;
}
