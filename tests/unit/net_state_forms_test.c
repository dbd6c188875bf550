/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net's saved state: forms that it can't have. None is taken, and nothing behind its end is looked at. */
#include <string.h>

#include "check_main.h"
#include "edge.h"
#include "fake_netif.h"
#include "libvdev/devices/net/net.h"

enum { STATE = 4096, PART = 16, MTU = 1500 };

struct rig {
	struct fake_netif netif;
	struct vdev *v;
	uint8_t base[STATE]; /* a state that is taken */
	size_t len, rest;    /* rest: where the parts end */
};

/* A state in the making. */
struct made {
	uint8_t bytes[STATE];
	size_t len;
};

static size_t save(struct rig *r, uint8_t *to)
{
	struct vdev_writer w = {.buf = to, .cap = STATE};

	ck_assert_int_eq(net_save(vdev_model_of(r->v, &net_model_ops), &w), 0);
	return w.len;
}

/* Load it at the edge of memory, for real; refused, it has changed nothing. */
static int load(struct rig *r, const uint8_t *bytes, size_t len, uint32_t version)
{
	static uint8_t before[STATE], after[STATE];
	struct vdev_reader in = {.buf = edge_copy(bytes, len), .len = len};
	size_t n = save(r, before);
	int rc = net_load(vdev_model_of(r->v, &net_model_ops), &in, version, 1);

	if (rc < 0) {
		ck_assert_uint_eq(save(r, after), n);
		ck_assert_mem_eq(before, after, n);
	}
	return rc;
}

static void rig_init(struct rig *r)
{
	const struct vdev_net_config cfg = {
		.size = sizeof(cfg), .pairs = 2, .mtu = MTU, .mac = {2, 0, 0, 0, 0, 1}};

	memset(r, 0, sizeof(*r));
	fake_netif_init(&r->netif, 0);
	ck_assert_int_eq(vdev_net_new(&r->v, vdev_env_hosted(), &r->netif.netif, &cfg), 0);
	r->len = save(r, r->base);
	r->rest = 4 + net_get_le32(r->base);
	ck_assert_int_eq(load(r, r->base, r->len, 1), 0);
}

static void rig_fini(struct rig *r)
{
	ck_assert_int_eq(vdev_free(r->v), 0);
}

/* The state with one more part in front of the others; what is longer than the value is not there. */
static void with_part(const struct rig *r, struct made *m, const uint8_t head[PART],
                      const uint8_t *value, size_t len)
{
	net_put_le32(m->bytes, (uint32_t)(net_get_le32(r->base) + PART + len));
	memcpy(m->bytes + 4, head, PART);
	memcpy(m->bytes + 4 + PART, value, len);
	memcpy(m->bytes + 4 + PART + len, r->base + 4, r->len - 4);
	m->len = r->len + PART + len;
}

/* A part of the type that network devices have. */
static void part_head(uint8_t head[PART], unsigned class, unsigned command, uint32_t len)
{
	memset(head, 0, PART);
	net_put_le16(head, 0x200);
	head[4] = (uint8_t) class;
	head[5] = (uint8_t)command;
	net_put_le32(head + 12, len);
}

START_TEST(cut_short)
{
	struct rig r;

	rig_init(&r);
	for (size_t len = 0; len < r.len; len++)
		ck_assert_int_eq(load(&r, r.base, len, 1), VIRTQ_EBADMSG);
	ck_assert_int_eq(load(&r, r.base, r.len + 1, 1), VIRTQ_EBADMSG);
	ck_assert_int_eq(load(&r, r.base, r.len, 2), VIRTQ_ENOTSUP);
	ck_assert_int_eq(load(&r, r.base, r.len, 0), VIRTQ_ENOTSUP);
	rig_fini(&r);
}
END_TEST

/* The same, of the parts alone: what follows is there, and is not theirs. */
START_TEST(parts_cut_short)
{
	struct rig r;
	uint32_t bytes;

	rig_init(&r);
	bytes = net_get_le32(r.base);
	for (uint32_t len = 0; len < bytes; len++) {
		net_put_le32(r.base, len);
		if (len > 0 && len < PART) /* in the middle of the first one's header */
			ck_assert_int_eq(load(&r, r.base, r.len, 1), VIRTQ_EBADMSG);
		else
			ck_assert_int_lt(load(&r, r.base, r.len, 1), 0);
	}
	net_put_le32(r.base, (uint32_t)r.len - 3);
	ck_assert_int_eq(load(&r, r.base, r.len, 1), VIRTQ_EBADMSG);
	net_put_le32(r.base, UINT32_MAX);
	ck_assert_int_eq(load(&r, r.base, r.len, 1), VIRTQ_EBADMSG);
	rig_fini(&r);
}
END_TEST

/* Parts of other types, or of this one that nobody knows: left out if they say that they may be. */
START_TEST(other_parts)
{
	static const uint8_t value[2048];
	static struct made m;
	uint8_t head[PART];
	struct rig r;

	rig_init(&r);
	part_head(head, NET_CTRL_ANNOUNCE, 0, 5);
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_ENOTSUP);
	head[2] = 1; /* optional */
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), 0);
	with_part(&r, &m, head, value, 4); /* and shorter than it says */
	ck_assert_int_lt(load(&r, m.bytes, m.len, 1), 0);
	net_put_le32(head + 12, UINT32_MAX);
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_EBADMSG);
	net_put_le32(head + 12, 5);
	head[2] = 2; /* a flag nobody knows */
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_EBADMSG);
	head[2] = 1;
	head[3] = 1; /* reserved */
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_EBADMSG);
	head[2] = head[3] = 0;
	net_put_le16(head, 0x201);
	with_part(&r, &m, head, value, 5);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_ENOTSUP);
	part_head(head, NET_CTRL_RX, NET_RX_PROMISC, 1); /* twice */
	with_part(&r, &m, head, value, 1);
	ck_assert_int_eq(load(&r, m.bytes, m.len, 1), VIRTQ_EBADMSG);
	rig_fini(&r);
}
END_TEST

/* The state without its own tables of addresses, and with these. */
static int load_macs(struct rig *r, uint32_t uni, uint32_t multi, uint32_t flags)
{
	static struct made m;
	static uint8_t value[STATE];
	size_t at = 4, cut = 0;
	uint8_t head[PART];
	uint32_t len = 8 + 6 * (uni + multi);
	struct rig less = *r;

	while (at < r->rest) {
		size_t bytes = PART + net_get_le32(r->base + at + 12);

		if (r->base[at + 4] == NET_CTRL_MAC && r->base[at + 5] == NET_MAC_TABLE_SET) {
			memmove(less.base + at, r->base + at + bytes, r->len - at - bytes);
			cut = bytes;
		}
		at += bytes;
	}
	ck_assert_uint_ne(cut, 0);
	less.len -= cut;
	less.rest -= cut;
	net_put_le32(less.base, (uint32_t)less.rest - 4);
	net_put_le32(less.base + less.rest, flags);
	memset(value, 0, sizeof(value));
	net_put_le32(value, uni);
	net_put_le32(value + 4 + 6 * uni, multi);
	for (uint32_t i = 0; i < multi; i++)
		value[8 + 6 * (uni + i)] = 1;
	part_head(head, NET_CTRL_MAC, NET_MAC_TABLE_SET, len);
	with_part(&less, &m, head, value, len);
	return load(r, m.bytes, m.len, 1);
}

/* Tables of more addresses than are told apart are empty, and a flag says what they were. */
START_TEST(tables_of_addresses)
{
	enum { UNI = 2, MULTI = 4 };
	struct rig r;

	rig_init(&r);
	ck_assert_int_eq(load_macs(&r, 0, 0, 0), 0);
	ck_assert_int_eq(load_macs(&r, 64, 64, 0), 0);
	ck_assert_int_eq(load_macs(&r, 0, 0, UNI | MULTI), 0);
	ck_assert_int_eq(load_macs(&r, 0, 3, UNI), 0);
	ck_assert_int_eq(load_macs(&r, 3, 0, MULTI), 0);
	ck_assert_int_eq(load_macs(&r, 3, 0, UNI), VIRTQ_EBADMSG);
	ck_assert_int_eq(load_macs(&r, 0, 3, MULTI), VIRTQ_EBADMSG);
	ck_assert_int_eq(load_macs(&r, 65, 0, 0), VIRTQ_EBADMSG);
	ck_assert_int_eq(load_macs(&r, 0, 65, 0), VIRTQ_EBADMSG);
	ck_assert_int_eq(load_macs(&r, 65, 64, 0), VIRTQ_EBADMSG); /* beyond any value there is */
	ck_assert_int_eq(load_macs(&r, 300, 0, 0), VIRTQ_EBADMSG);
	rig_fini(&r);
}
END_TEST

/* What comes behind the parts, byte by byte. */
START_TEST(the_rest)
{
	static const struct {
		uint8_t at, value;
		int16_t result;
	} changes[] = {
		{0, 0x10, VIRTQ_EBADMSG},
		{3, 0x80, VIRTQ_EBADMSG}, /* flags */
		{5, 6, VIRTQ_ENOTSUP},    /* an MTU of more than ours */
		{4, 0, 0},                /* and of less */
		{6, 1, VIRTQ_EBADMSG},
		{7, 1, VIRTQ_EBADMSG}, /* reserved */
		{8, 2, VIRTQ_EBADMSG}, /* offloads, without their flag */
		{16, 1, 0},
		{17, 2, VIRTQ_EBADMSG}, /* tunnels */
		{20, 9, VIRTQ_EBADMSG},
		{23, 1, VIRTQ_EBADMSG}, /* contexts, of which there are none */
	};
	struct rig r;
	uint8_t *at, was;

	rig_init(&r);
	at = r.base + r.rest + changes[_i].at;
	was = *at;
	ck_assert_uint_ne(was, changes[_i].value);
	*at = changes[_i].value;
	ck_assert_int_eq(load(&r, r.base, r.len, 1), changes[_i].result);
	rig_fini(&r);
}
END_TEST

/* Offloads that are no guest's, with their flag. */
START_TEST(no_offloads)
{
	struct rig r;

	rig_init(&r);
	r.base[r.rest] |= 1;
	r.base[r.rest + 8] = 2;
	ck_assert_int_eq(load(&r, r.base, r.len, 1), 0);
	r.base[r.rest + 8] = 3;
	ck_assert_int_eq(load(&r, r.base, r.len, 1), VIRTQ_EBADMSG);
	rig_fini(&r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_state_forms");
	TCase *tc = tcase_create("net_state_forms");

	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, parts_cut_short);
	tcase_add_test(tc, other_parts);
	tcase_add_test(tc, tables_of_addresses);
	tcase_add_loop_test(tc, the_rest, 0, 11);
	tcase_add_test(tc, no_offloads);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
