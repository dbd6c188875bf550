/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of virtio-net's control queue: each in the form that it must have, and in all others. */
#include <string.h>

#include <vdev/net.h>

#include "check_main.h"
#include "edge.h"
#include "libvdev/devices/net/settings.h"

enum { ROOM = 64, LONGEST = 128 };

struct form {
	uint8_t bytes[LONGEST]; /* class, command and what belongs to it */
	uint8_t len;
	uint8_t feature; /* without it the command is refused */
	uint8_t room;    /* of the reply, without which it is refused */
};

#define GROUP 1, 0, 0x5e, 0, 0, 9
#define OWN   2, 0, 0, 0, 0, 7
#define RSS                                                                                        \
	7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 2, 0, 3, 9, 8, 7 /* two entries, a key of three bytes */

static const struct form forms[] = {
	{{0, 0, 1}, 3, VDEV_NET_F_CTRL_RX, 0},
	{{0, 1, 1}, 3, VDEV_NET_F_CTRL_RX, 0},
	{{0, 5, 1}, 3, VDEV_NET_F_CTRL_RX_EXTRA, 0},
	{{1, 0, 1, 0, 0, 0, OWN, 1, 0, 0, 0, GROUP}, 22, VDEV_NET_F_CTRL_RX, 0},
	{{1, 1, OWN}, 8, VDEV_NET_F_CTRL_MAC_ADDR, 0},
	{{2, 0, 5, 0}, 4, VDEV_NET_F_CTRL_VLAN, 0},
	{{2, 1, 1, 0}, 4, VDEV_NET_F_CTRL_VLAN, 0},
	{{3, 0}, 2, VDEV_NET_F_GUEST_ANNOUNCE, 0},
	{{4, 0, 2, 0}, 4, VDEV_NET_F_MQ, 0},
	{{4, 1, RSS}, 20, VDEV_NET_F_RSS, 0},
	{{4, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 9, 8, 7}, 18, VDEV_NET_F_HASH_REPORT, 0},
	{{5, 0, 2, 0, 0, 0, 0, 0, 0, 0}, 10, VDEV_NET_F_CTRL_GUEST_OFFLOADS, 0},
	{{6, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 10, VDEV_NET_F_NOTF_COAL, 0},
	{{6, 1, 8, 0, 0, 0, 9, 0, 0, 0}, 10, VDEV_NET_F_NOTF_COAL, 0},
	{{6, 2, 3, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 14, VDEV_NET_F_VQ_NOTF_COAL, 0},
	{{6, 3, 2, 0, 0, 0}, 6, VDEV_NET_F_VQ_NOTF_COAL, 8},
	{{7, 0, 1, 0, 0, 0}, 6, VDEV_NET_F_HASH_TUNNEL, 0},
	{{8, 0}, 2, VDEV_NET_F_DEVICE_STATS, 8},
	{{8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 18, VDEV_NET_F_DEVICE_STATS, 0},
	{{9, 0}, 2, VDEV_NET_F_RSS_CONTEXT, 2},
	{{9, 1, 2, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, VDEV_NET_F_RSS_CONTEXT, 0},
	{{9, 2, 1, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, VDEV_NET_F_RSS_CONTEXT, 0},
	{{9, 3, 1, 0}, 4, VDEV_NET_F_RSS_CONTEXT, 0},
};

/* What no driver may send, whatever it negotiated. */
static const struct form wrong[] = {
	{{0, 6, 1}, 3, 0, 0}, /* no such mode */
	{{0, 255, 1}, 3, 0, 0},
	{{0, 0, 2}, 3, 0, 0},                  /* neither on nor off */
	{{1, 0, 1, 0, 0, 0, GROUP}, 12, 0, 0}, /* a group among addresses, and no second table */
	{{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, OWN}, 16, 0, 0}, /* the other way round */
	{{1, 0, 255, 255, 255, 255, 0, 0, 0, 0}, 10, 0, 0},
	{{1, 1, GROUP}, 8, 0, 0},
	{{1, 2, OWN}, 8, 0, 0},
	{{2, 0, 0, 16}, 4, 0, 0}, /* VLAN 4096 */
	{{2, 2, 5, 0}, 4, 0, 0},
	{{3, 1}, 2, 0, 0},
	{{4, 0, 0, 0}, 4, 0, 0},
	{{4, 0, 5, 0}, 4, 0, 0}, /* more pairs than there are */
	{{4, 3, 2, 0}, 4, 0, 0},
	{{4, 1, 7, 0, 0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 9}, 20, 0, 0}, /* three entries */
	{{4, 1, 7, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 1, 9}, 16, 0, 0},             /* unclassified */
	{{4, 1, 7, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0, 1, 9}, 16, 0, 0},             /* no such queue */
	{{4, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9}, 16, 0, 0}, /* nothing to send with */
	{{4, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 9}, 16, 0, 0},
	{{4, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0}, 15, 0, 0},    /* hashes without a key */
	{{4, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 9}, 16, 0, 0}, /* hashes nobody knows */
	{{4, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 41}, 56, 0, 0},   /* a long key */
	{{5, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 10, 0, 0},                   /* no guest's offload */
	{{5, 1, 2, 0, 0, 0, 0, 0, 0, 0}, 10, 0, 0},
	{{6, 2, 8, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 14, 0, 0}, /* of the control queue */
	{{6, 2, 7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 14, 0, 0}, /* of a queue that is off */
	{{6, 3, 3, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 14, 0, 0},
	{{6, 4, 3, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0}, 14, 0, 0},
	{{7, 0, 0, 2, 0, 0}, 6, 0, 0},
	{{7, 1, 1, 0, 0, 0}, 6, 0, 0},
	{{8, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 18, 0, 0},
	{{8, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1}, 18, 0, 0},
	{{8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 18, 0, 0}, /* of the other direction */
	{{9, 1, 1, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, 0, 0},     /* that one is there */
	{{9, 2, 2, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, 0, 0},     /* that one isn't */
	{{9, 4, 1, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, 0, 0},     /* no such command */
	{{9, 1, 0, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, 0, 0},     /* no such context */
	{{9, 1, 9, 0, 0, 0, 0, 0, 0, 0, RSS}, 28, 0, 0},
	{{10, 0, 1}, 3, 0, 0},
};

struct rig {
	struct net_settings s, was;
	struct net_coalescing c, coal_was;
	struct net_limits l;
};

static uint32_t stats(void *ctx, unsigned kind, unsigned index, uint64_t *values)
{
	(void)ctx;
	values[0] = kind;
	values[1] = index;
	return 2;
}

static void rig_init(struct rig *r)
{
	static const uint8_t mac[VDEV_NET_MAC] = {2, 0, 0, 0, 0, 1};

	memset(r, 0, sizeof(*r));
	net_settings_init(&r->s, mac);
	memset(&r->l.has, 0xff, sizeof(r->l.has));
	r->l.pairs = 4;
	r->l.rx_on = r->l.tx_on = 7;
	r->l.contexts = NET_CONTEXTS;
	r->s.ctx_used[0] = 1;
	r->was = r->s;
	r->coal_was = r->c;
}

static int command(struct rig *r, const uint8_t *bytes, size_t len, size_t room)
{
	uint8_t reply[ROOM];
	struct net_result result = {.reply = reply, .room = room, .stats = stats};
	int rc = net_command(&r->s, &r->c, &r->l, bytes, len, &result);

	ck_assert_uint_le(result.len, room);
	return rc;
}

/* It changes nothing, and nothing behind it is looked at. */
static void refused(struct rig *r, const struct form *f, size_t len, size_t room)
{
	uint8_t bytes[LONGEST + 1] = {0};

	memcpy(bytes, f->bytes, sizeof(f->bytes));
	ck_assert_int_eq(command(r, bytes, len, room), NET_ERR);
	ck_assert_int_eq(command(r, edge_copy(bytes, len), len, room), NET_ERR);
	ck_assert_mem_eq(&r->s, &r->was, sizeof(r->s));
	ck_assert_mem_eq(&r->c, &r->coal_was, sizeof(r->c));
}

START_TEST(right_forms)
{
	const struct form *f = &forms[_i];
	struct rig r;

	rig_init(&r);
	refused(&r, f, 0, ROOM);
	for (size_t len = 1; len < f->len; len++)
		refused(&r, f, len, ROOM);
	refused(&r, f, f->len + 1u, ROOM);
	if (f->room != 0)
		refused(&r, f, f->len, f->room - 1u);
	if (f->feature != 0) {
		virtq_features_clear(&r.l.has, f->feature);
		refused(&r, f, f->len, ROOM);
		virtq_features_set(&r.l.has, f->feature);
	}
	if (f->feature == VDEV_NET_F_MQ) /* not while there are contexts */
		r.s.ctx_used[0] = 0;
	ck_assert_int_eq(command(&r, f->bytes, f->len, f->room != 0 ? f->room : ROOM), NET_OK);
}
END_TEST

START_TEST(wrong_forms)
{
	struct rig r;

	rig_init(&r);
	refused(&r, &wrong[_i], wrong[_i].len, ROOM);
}
END_TEST

/* Statistics of which there are more than the reply has room for, and questions without end. */
START_TEST(long_answers)
{
	static uint8_t many[2 + 16 * 2000];
	struct net_result result = {.stats = stats};
	size_t most;
	struct rig r;

	rig_init(&r);
	many[0] = 8;
	many[1] = 1;
	for (size_t i = 0; i < 2000; i++)
		many[2 + 16 * i + 8] = 1;
	for (result.room = 0; result.room < 100; result.room++) {
		result.reply = edge_copy(NULL, result.room);
		ck_assert_int_eq(net_command(&r.s, &r.c, &r.l, many, 2 + 16 * 3, &result), NET_OK);
		ck_assert_uint_eq(result.len, result.room < 72 ? result.room : 72);
	}
	result.reply = edge_copy(NULL, result.room);
	for (most = 1; most < 2000; most++)
		if (net_command(&r.s, &r.c, &r.l, many, 2 + 16 * most, &result) != NET_OK)
			break;
	ck_assert_uint_gt(most, 2 * 64 + 1);
	ck_assert_uint_lt(most, 2000);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("net_command");
	TCase *tc = tcase_create("net_command");

	tcase_add_loop_test(tc, right_forms, 0, sizeof(forms) / sizeof(forms[0]));
	tcase_add_loop_test(tc, wrong_forms, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tc, long_answers);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
