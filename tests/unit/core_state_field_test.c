/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A saved state with one thing wrong at a time and every checksum right, so that only the check which is for it can
 * refuse it; the result says which one did.
 */
#include <string.h>

#include "state_forge.h"

enum { DEVICE = STATE_HEADER_BYTES }; /* offset of the device's section */

/* Load with the header's own checksum right, and nothing else mended. */
static int load_header(void)
{
	reseal_put(forge.b.bytes + 44, vdev_crc32(0, forge.b.bytes, 44));
	forge.b.pos = 0;
	return vdev_function_load(vdev_function(forge.f.v), &forge.b.stream);
}

/* Any header that is not ours is refused before memory is asked for. */
START_TEST(the_header)
{
	static const struct {
		unsigned at, bytes;
		uint64_t value;
		int result;
	} cases[] = {
		{0, 1, 'W', VIRTQ_EBADMSG},
		{7, 1, 0x1b, VIRTQ_EBADMSG},
		{8, 2, 0, VIRTQ_EBADMSG},
		{8, 2, 2, VIRTQ_ENOTSUP},
		{10, 2, 47, VIRTQ_EBADMSG},
		{12, 4, 1, VIRTQ_ENOTSUP},
		{8, 4, 2 | 52u << 16, VIRTQ_ENOTSUP}, /* a newer format may have a longer header */
		{16, 1, 'x', VIRTQ_EBADMSG},
		{32, 4, 0, VIRTQ_EBADMSG},
		{32, 4, 0x1000001, VIRTQ_EBADMSG},
		{32, 4, UINT32_MAX, VIRTQ_EBADMSG},
	};

	forge_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forge_put(forge.b.bytes + cases[i].at, cases[i].value, cases[i].bytes);
		forge.f.alloc_fail = 1;
		ck_assert_int_eq(load_header(), cases[i].result);
		ck_assert_uint_eq(forge.f.alloc_fail, 1);
		forge.f.alloc_fail = 0;
		forge_fresh();
	}
	forge.b.bytes[44] ^= 1;
	ck_assert_int_eq(vdev_function_load(vdev_function(forge.f.v), &forge.b.stream), VIRTQ_EBADMSG);
	forge_fresh();
	ck_assert_int_eq(forge_load(), 0);
	forge_end();
}
END_TEST

/* Append a section with an empty body after the device's; what follows is sealed by the caller. */
static void append(unsigned id, unsigned flags, uint32_t version)
{
	uint8_t *at = forge.b.bytes + forge.b.len;

	forge_put(at, id, 2);
	forge_put(at + 2, flags, 2);
	forge_put(at + 4, version, 4);
	forge_put(at + 8, 0, 4);
	reseal_section(at, 0);
	forge.b.len += SECTION_HEADER_BYTES;
	forge_put(forge.b.bytes + 32, forge.b.len - STATE_HEADER_BYTES, 4);
}

/* The sections beside the device's. */
START_TEST(outer_sections)
{
	forge_begin();
	append(77, 0, 1);
	ck_assert_int_eq(load_header(), 0); /* not known, may be left out */
	forge_fresh();
	append(77, SECTION_REQUIRED, 1);
	ck_assert_int_eq(load_header(), VIRTQ_ENOTSUP);
	forge_fresh();
	append(1, SECTION_REQUIRED, 1); /* the device again */
	ck_assert_int_eq(load_header(), VIRTQ_EBADMSG);
	forge_fresh();
	memcpy(forge.b.bytes + forge.b.len, forge.b.bytes + DEVICE,
	       forge.b.len - DEVICE); /* all of it */
	forge.b.len += forge.b.len - DEVICE;
	forge_put(forge.b.bytes + 32, forge.b.len - DEVICE, 4);
	ck_assert_int_eq(load_header(), VIRTQ_EBADMSG);
	forge_fresh();
	append(77, 0, 1);
	forge.b.bytes[forge.b.len - 1] ^= 1; /* its checksum */
	ck_assert_int_eq(load_header(), VIRTQ_EBADMSG);
	forge_fresh();
	forge_put(forge.b.bytes + DEVICE, 77, 2); /* no device at all */
	forge_put(forge.b.bytes + DEVICE + 2, 0, 2);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	forge_fresh();
	forge_put(forge.b.bytes + DEVICE + 4, 1000, 4); /* a newer device */
	ck_assert_int_eq(forge_load(), VIRTQ_ENOTSUP);
	forge_fresh();
	forge_end();
}
END_TEST

/* Sections and fields within the device's. */
START_TEST(fields)
{
	static const struct {
		unsigned id, at, bytes;
		uint64_t value;
		int result;
		const char *why;
	} cases[] = {
		{FORGE_PARTS, 32, 2, 0x102, VIRTQ_ENOTSUP, "a part that is not known"},
		{FORGE_PARTS, 32 + 4, 8, 1, VIRTQ_EBADMSG, "a selector where there is one part only"},
		{FORGE_PARTS, FORGE_VQ_CFG + 3, 1, 1, VIRTQ_EBADMSG, "a reserved byte"},
		{FORGE_PARTS, FORGE_VQ_CFG + 16 + 4, 2, 0, VIRTQ_EBADMSG, "a queue not enabled"},
		{FORGE_PARTS, FORGE_VQ_CFG + 16 + 6, 2, 1, VIRTQ_EBADMSG, "a reserved number"},
		{FORGE_PARTS, FORGE_STATUS + 16, 1, 0x07, VIRTQ_EBADMSG, "live without FEATURES_OK"},
		{FORGE_PARTS, FORGE_STATUS + 16, 1, 0x1f, VIRTQ_EBADMSG, "live and suspended"},
		{FORGE_RINGS, 2, 2, 8, VIRTQ_EBADMSG, "an unknown flag"},
		{FORGE_RINGS, 12, 4, 1, VIRTQ_EBADMSG, "a reserved word"},
		{FORGE_RINGS, 16, 8, 1, VIRTQ_EBADMSG, "a log address that does not count"},
		{FORGE_CONFIG, 0, 4, 1, VIRTQ_EBADMSG, "another type of device"},
		{FORGE_CONFIG, 4, 4, 1, VIRTQ_EBADMSG, "another number of queues"},
		{FORGE_CONFIG, 16, 4, 4, VIRTQ_EBADMSG, "an unknown flag of the configuration"},
		{FORGE_MODEL, 0, 4, 0xbad, VIRTQ_EBADMSG, "what the model refuses"},
	};

	forge_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc;

		forge_put(forge_body(cases[i].id) + cases[i].at, cases[i].value, cases[i].bytes);
		rc = forge_load();
		ck_assert_msg(rc == cases[i].result, "%s: %d", cases[i].why, rc);
		forge_fresh();
	}
	/* Optional parts of a kind that nobody knows are skipped. */
	forge_put(forge_grow(FORGE_PARTS, 16), 0x1ff | 1u << 16, 4);
	ck_assert_int_eq(forge_load(), 0);
	forge_fresh();
	forge_end();
}
END_TEST

/* Take away n bytes at an offset of a section's body. */
static void shrink(unsigned id, uint32_t at, uint32_t n)
{
	uint8_t *body = forge_body(id), *gone = body + at;
	uint32_t len = (uint32_t)body[-8] | (uint32_t)body[-7] << 8;

	memmove(gone, gone + n, (size_t)(forge.b.bytes + forge.b.len - (gone + n)));
	forge_put(body - 8, len - n, 4);
	forge.b.len -= n;
}

/* What is cut out is missed. */
START_TEST(gaps)
{
	static const struct {
		unsigned id, at, n;
		const char *why;
	} cases[] = {
		{FORGE_PARTS, 32, 32, "the driver's features"},
		{FORGE_PARTS, FORGE_STATUS, 17, "the device status"},
		{FORGE_PARTS, FORGE_VQ_CFG, 48, "one queue's addresses"},
		{FORGE_PARTS, FORGE_STATUS + 16, 1, "the last byte of a part"},
		{FORGE_PARTS, FORGE_STATUS + 8, 9, "half of a part's header"},
		{FORGE_RINGS, 24, 24, "one queue's positions"},
		{FORGE_RINGS, 40, 8, "the end of the positions"},
		{FORGE_CONFIG, 12, 40, "the end of the configuration"},
		{FORGE_CONFIG, 20, 1, "a byte of the configuration"},
		{FORGE_MODEL, 3, 1, "a byte of the model's"},
	};

	forge_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc;

		shrink(cases[i].id, cases[i].at, cases[i].n);
		rc = forge_load();
		ck_assert_msg(rc == VIRTQ_EBADMSG, "%s: %d", cases[i].why, rc);
		forge_fresh();
	}
	/* The device knows its queues by two lists that must agree. */
	shrink(FORGE_PARTS, FORGE_VQ_CFG, 48);
	shrink(FORGE_RINGS, 0, 24);
	ck_assert_int_eq(forge_load(), 0);
	forge_fresh();
	ck_assert_int_eq(forge_load(), 0);
	forge_end();
}
END_TEST

/* A length that runs over the end of its section, whatever lies behind it. */
START_TEST(lengths_of_parts)
{
	forge_begin();
	for (uint32_t len = 18; len < 64; len++) {
		forge_put(forge_body(FORGE_PARTS) + FORGE_STATUS + 12, len - 16, 4);
		ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
		forge_fresh();
	}
	/* An optional part is skipped by its length: there nothing but the length is wrong. */
	forge_put(forge_grow(FORGE_PARTS, 16), 0x1ff | 1u << 16, 4);
	forge_put(forge_body(FORGE_PARTS) + FORGE_STATUS + 17 + 12, 1, 4);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	forge_fresh();
	forge_put(forge_grow(FORGE_PARTS, 15), 0x1ff | 1u << 16, 4);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	forge_fresh();
	forge_end();
}
END_TEST

/* A state of a device that has no queue started. */
static void without_queues(uint8_t status)
{
	forge_fresh();
	shrink(FORGE_PARTS, FORGE_VQ_CFG, 96);
	shrink(FORGE_RINGS, 0, 48);
	forge_body(FORGE_PARTS)[FORGE_STATUS - 96 + 16] = status;
}

/* Where no queue contradicts it, the status has to make sense by itself. */
START_TEST(statuses)
{
	enum { SUSPEND_BIT = 43 % 8, SUSPEND_BYTE = 32 + 16 + 43 / 8 };

	forge_begin();
	without_queues(0x0f);
	ck_assert_int_eq(forge_load(), 0);
	ck_assert_int_eq(vdev_function_reset(vdev_function(forge.f.v)), 0);
	without_queues(0x07); /* live without FEATURES_OK */
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	for (int live = 0; live < 2; live++) { /* suspended, and live as well */
		without_queues(live ? 0x1f : 0x1b);
		forge_put(forge_body(FORGE_CONFIG) + 16, 1, 4);
		ck_assert_int_eq(forge_load(), live ? VIRTQ_EBADMSG : 0);
	}
	ck_assert_int_eq(vdev_function_reset(vdev_function(forge.f.v)), 0);
	without_queues(0x13); /* suspended without FEATURES_OK */
	forge_put(forge_body(FORGE_CONFIG) + 16, 1, 4);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	without_queues(0x1b); /* suspended, although that was not negotiated */
	forge_put(forge_body(FORGE_CONFIG) + 16, 1, 4);
	forge_body(FORGE_PARTS)[SUSPEND_BYTE] &= (uint8_t) ~(1u << SUSPEND_BIT);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	without_queues(0x0f); /* none at all */
	shrink(FORGE_PARTS, FORGE_STATUS - 96, 17);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	forge_fresh();
	ck_assert_int_eq(forge_load(), 0);
	forge_end();
}
END_TEST

/* Sections within the device's: those that are not known, and a model's without a model that reads it. */
START_TEST(inner_sections)
{
	struct vdev_model_ops ops = echo_ops;
	struct vdev_model m = {.size = sizeof(m), .ops = &ops, .nqueues = 2, .queue_max = 64};
	struct vdev *v;

	forge_begin();
	for (unsigned required = 0; required < 2; required++) {
		append(0, required, 1);
		ck_assert_int_eq(forge_load(), required ? VIRTQ_ENOTSUP : 0);
		forge_fresh();
	}
	ops.load = NULL;
	ops.save = NULL;
	ops.destroy = NULL;
	m.config_len = ECHO_CONFIG;
	m.config = forge_body(FORGE_CONFIG) + 20;
	m.model = &forge.f.echo;
	ck_assert_int_eq(vdev_new(&v, &forge.f.env, &m), 0);
	state_reseal(forge.b.bytes, forge.b.len);
	ck_assert_int_eq(vdev_function_load(vdev_function(v), &forge.b.stream), VIRTQ_ENOTSUP);
	ck_assert_int_eq(vdev_free(v), 0);
	forge_fresh();
	ck_assert_int_eq(forge_load(), 0);
	forge_end();
}
END_TEST

/* The bytes that come after the last section are no section: the core says so without help. */
START_TEST(what_follows_the_last_section)
{
	struct vdev_function *fn;
	struct vdev_reader r = {.len = 0};

	forge_begin();
	fn = vdev_function(forge.f.v);
	for (unsigned more = 0; more < SECTION_HEADER_BYTES; more++) {
		r = (struct vdev_reader){.buf = forge.b.bytes + DEVICE + SECTION_HEADER_BYTES,
		                         .len = forge.b.len - DEVICE - SECTION_HEADER_BYTES + more};
		ck_assert_int_eq(fn->ops->load(fn, &r, 1, 0), more == 0 ? 0 : VIRTQ_EBADMSG);
	}
	forge_end();
}
END_TEST

/* Nothing is read beyond the state's end, where no memory is. */
START_TEST(the_end_of_memory)
{
	static uint8_t parts[256];
	uint8_t *body;
	size_t len;

	forge_begin();
	forge.f.guarded = 1;
	/* Half a header of a section. */
	for (unsigned more = 1; more < SECTION_HEADER_BYTES; more++) {
		memset(forge.b.bytes + forge.b.len, 0, more);
		forge.b.len += more;
		forge_put(forge.b.bytes + 32, forge.b.len - DEVICE, 4);
		ck_assert_int_eq(load_header(), VIRTQ_EBADMSG);
		forge_fresh();
	}
	/* A part that is longer than what is left; the parts come last. */
	body = forge_body(FORGE_PARTS) - SECTION_HEADER_BYTES;
	len = SECTION_HEADER_BYTES + FORGE_STATUS + 17;
	ck_assert_uint_le(len, sizeof(parts));
	memcpy(parts, body, len);
	memmove(body, body + len, (size_t)(forge.b.bytes + forge.b.len - (body + len)));
	memcpy(forge.b.bytes + forge.b.len - len, parts, len);
	body = forge_body(FORGE_PARTS);
	ck_assert_ptr_eq(body + FORGE_STATUS + 17, forge.b.bytes + forge.b.len);
	forge_put(body, 0x1ff | 1u << 16, 4); /* so that there is none of its kind before it */
	forge_put(body + FORGE_STATUS, 0x100, 2);
	forge_put(body + FORGE_STATUS + 12, 16, 4);
	ck_assert_int_eq(forge_load(), VIRTQ_EBADMSG);
	forge.f.guarded = 0;
	forge_fresh();
	ck_assert_int_eq(forge_load(), 0);
	forge_end();
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("state fields");
	TCase *tc = tcase_create("fields");

	tcase_add_test(tc, the_header);
	tcase_add_test(tc, outer_sections);
	tcase_add_test(tc, fields);
	tcase_add_test(tc, gaps);
	tcase_add_test(tc, lengths_of_parts);
	tcase_add_test(tc, statuses);
	tcase_add_test(tc, inner_sections);
	tcase_add_test(tc, what_follows_the_last_section);
	tcase_add_test(tc, the_end_of_memory);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
