/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_sink.h"

#include <stdlib.h>
#include <string.h>

#include "mark.h"

static uint32_t deliver(void *ctx, const struct vdev_frame *frames, uint32_t n, uint32_t flow)
{
	struct net_sink *s = ctx;
	uint32_t k = 0;

	s->calls++;
	s->flow = flow;
	if (s->before != NULL)
		s->before(s->before_ctx);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_le(n, VDEV_NET_BURST);
	if (s->busy > 0) {
		s->busy--;
		return 0;
	}
	for (; k < n && s->n < s->room && s->n < SINK_KEPT; k++, s->n++) {
		uint32_t at = 0;

		for (uint32_t i = 0; i < frames[k].niov; i++) {
			const struct virtq_iov *p = &frames[k].iov[i];

			for (size_t b = 0; b < p->len && at + b < SINK_BYTES; b++)
				s->bytes[s->n][at + b] = ((const uint8_t *)p->base)[b];
			at += (uint32_t)p->len;
			s->last_piece[s->n] = p->base;
		}
		ck_assert_uint_eq(at, frames[k].len);
		s->frames[s->n] = frames[k];
	}
	return k;
}

static void link_changed(void *ctx)
{
	((struct net_sink *)ctx)->links++;
}

static void writable(void *ctx)
{
	(void)ctx;
}

void net_sink_init(struct net_sink *s)
{
	memset(s, 0, sizeof(*s));
	s->sink = (struct vdev_net_sink){.size = sizeof(s->sink),
	                                 .deliver = deliver,
	                                 .link = link_changed,
	                                 .writable = writable,
	                                 .ctx = s};
	s->room = SINK_KEPT;
}

void net_sink_clear(struct net_sink *s)
{
	s->n = 0;
	s->calls = 0;
}

const uint8_t *test_mac(uint8_t to[VDEV_NET_MAC], unsigned n)
{
	const uint8_t mac[] = {0x02, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	memcpy(to, mac, sizeof(mac));
	if (n == ~0u)
		memset(to, 0xff, VDEV_NET_MAC);
	return to;
}

void test_frame_init(struct test_frame *t, const uint8_t *dst, const uint8_t *src, int vlan,
                     uint32_t len)
{
	uint32_t at = 12;

	memset(t, 0, sizeof(*t));
	t->room = len;
	t->bytes = malloc(len + 8);
	ck_assert_ptr_nonnull(t->bytes);
	for (uint32_t i = 0; i < len; i++)
		t->bytes[i] = (uint8_t)(i * 7 + len);
	memcpy(t->bytes, dst, 6);
	memcpy(t->bytes + 6, src, 6);
	if (vlan >= 0) {
		const uint8_t tag[] = {0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan};

		memcpy(t->bytes + at, tag, 4);
		at += 4;
	}
	t->bytes[at] = 0x08;
	t->bytes[at + 1] = 0x00;
	t->frame = (struct vdev_frame){.iov = t->iov, .niov = 1, .len = len};
	t->iov[0] = (struct virtq_iov){t->bytes, len};
}

void test_frame_plain(struct test_frame *t, unsigned dst, unsigned src, int vlan, uint32_t len)
{
	uint8_t a[VDEV_NET_MAC], b[VDEV_NET_MAC];

	test_frame_init(t, test_mac(a, dst), test_mac(b, src), vlan, len);
}

void test_frame_cut(struct test_frame *t, uint32_t first, uint32_t pieces)
{
	uint32_t at = 0, n = 0;

	ck_assert_uint_le(pieces, FRAME_MOST_PIECES);
	while (n + 1 < pieces && at + first < t->frame.len) {
		t->iov[n++] = (struct virtq_iov){t->bytes + at, first};
		at += first;
	}
	t->iov[n++] = (struct virtq_iov){t->bytes + at, t->frame.len - at};
	t->frame.niov = n;
}

void test_frame_free(struct test_frame *t)
{
	free(t->bytes);
	t->bytes = NULL;
}

uint32_t test_frame_send(struct vdev_netif_channel *c, const struct test_frame *t)
{
	return c->netif->ops->send(c, &t->frame, 1);
}

static int tagged(const uint8_t *bytes)
{
	return bytes[12] == 0x81 && bytes[13] == 0;
}

void net_sink_check(const struct net_sink *s, uint32_t i, const struct test_frame *t, int vlan)
{
	const uint8_t *got = s->bytes[i];
	uint32_t from = tagged(t->bytes) ? 16 : 12, to = 12, rest = t->frame.len - from;

	ck_assert_uint_lt(i, s->n);
	ck_assert_int_eq(memcmp(got, t->bytes, 12), 0);
	if (vlan >= 0) {
		ck_assert_int_eq(tagged(got), 1);
		ck_assert_int_eq((got[14] << 8 | got[15]) & 0xfff, vlan);
		to += 4;
	}
	ck_assert_uint_eq(s->frames[i].len, to + rest);
	rest = rest < SINK_BYTES - to ? rest : SINK_BYTES - to;
	ck_assert_int_eq(memcmp(got + to, t->bytes + from, rest), 0);
}
