/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network device: pairs of a receive and a transmit queue, raw. The other side swaps the addresses of each frame and
 * sends it back.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../libvdev/os/os.h"
#include "front_client.h"

#include <vdev/vhost_user_front.h>

enum { NET_F_MQ = 22, HEADER = 12, FRAME_MAX = 1514, SLOT = 2048, RING = 256, PAIRS = 4 };
enum { OUT = 32, LIMIT_MS = 20000, PROBE = 0x7fffffff };
#define GPA 0x40000000u

struct ring {
	struct virtq_drv drv;
	void *scratch;
	size_t ring_at;
	size_t slots_at;
	unsigned free[RING];
	unsigned nfree;
};

struct net {
	const struct client_options *o;
	struct vdev_vhost_front *f;
	struct virtq_features features;
	uint8_t *mem;
	size_t bytes;
	int memfd;
	struct ring rings[2 * PAIRS];
	unsigned sent[PAIRS];
	uint64_t probed[PAIRS]; /* when the last probe was sent */
	int ready[PAIRS];       /* a probe has come back */
	unsigned got[PAIRS];
	uint8_t *seen[PAIRS];
};

static const uint8_t here[6] = {0x52, 0x54, 0, 0, 0, 1}, there[6] = {0x52, 0x54, 0, 0, 0, 2};

static unsigned length_of(unsigned n)
{
	return 60 + n * 37 % (FRAME_MAX - 60 + 1);
}

/* Frame n of a pair; local experimental EtherType, so that nobody looks for an IP header. */
static void fill(uint8_t *p, unsigned pair, unsigned n)
{
	unsigned len = length_of(n);

	memcpy(p, there, 6);
	memcpy(p + 6, here, 6);
	p[12] = 0x88;
	p[13] = 0xb5;
	memcpy(p + 14, &pair, 4);
	memcpy(p + 18, &n, 4);
	for (unsigned i = 22; i < len; i++)
		p[i] = (uint8_t)(n * 7 + i * 13 + pair);
}

/* A frame that came back: which one, checked byte by byte. -1: none of ours. */
static int check(struct net *net, const uint8_t *p, unsigned len, unsigned *pair)
{
	uint8_t want[FRAME_MAX];
	unsigned n;

	if (len < 60 || memcmp(p, here, 6) != 0 || memcmp(p + 6, there, 6) != 0)
		return -1;
	memcpy(pair, p + 14, 4);
	memcpy(&n, p + 18, 4);
	if (*pair >= net->o->queues || (n >= net->o->count && n != PROBE) || len != length_of(n))
		return -1;
	fill(want, *pair, n);
	if (n == PROBE) {
		net->ready[*pair] = 1;
		return PROBE;
	}
	return memcmp(p + 12, want + 12, len - 12) == 0 && !net->seen[*pair][n]++ ? (int)n : -1;
}

static void make_memory(struct net *net)
{
	size_t at = 0;

	for (unsigned q = 0; q < 2 * net->o->queues; q++) {
		net->rings[q].ring_at = at;
		at += 16384;
		net->rings[q].slots_at = at;
		at += (size_t)RING * SLOT;
	}
	net->bytes = at;
	net->memfd = vdev_os_memfd("front_net", at);
	net->mem = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_SHARED, net->memfd, 0);
	for (unsigned p = 0; p < net->o->queues; p++)
		net->seen[p] = calloc(net->o->count, 1);
}

static int start(struct net *net, unsigned i)
{
	struct ring *r = &net->rings[i];
	struct virtq_drv_config cfg = {.size = sizeof(cfg),
	                               .features = net->features,
	                               .queue_size = RING,
	                               .ring = net->mem + r->ring_at,
	                               .ring_addr = GPA + r->ring_at};
	struct vdev_vhost_front_queue setup = {.size = sizeof(setup), .drv = &r->drv};

	cfg.scratch_bytes = virtq_drv_bytes(RING, &net->features);
	cfg.scratch = r->scratch = malloc(cfg.scratch_bytes);
	for (r->nfree = 0; r->nfree < RING; r->nfree++)
		r->free[r->nfree] = r->nfree;
	if (cfg.scratch == NULL || virtq_drv_init(&r->drv, &cfg) < 0)
		return VIRTQ_ENOMEM;
	virtq_drv_state(&r->drv, &setup.state);
	return vdev_vhost_front_queue_start(net->f, i, &setup);
}

static int put(struct net *net, unsigned i, unsigned len, int write)
{
	struct ring *r = &net->rings[i];
	unsigned slot = r->free[r->nfree - 1];
	struct virtq_seg seg = {GPA + r->slots_at + (size_t)slot * SLOT, len};
	int rc = virtq_drv_add(&r->drv, &seg, write ? 0 : 1, write ? 1 : 0,
	                       net->mem + r->slots_at + (size_t)slot * SLOT);

	if (rc >= 0)
		r->nfree--;
	return rc;
}

/* The slot of a buffer is free again. */
static void give_back(struct net *net, struct ring *r, const struct virtq_done *d)
{
	size_t at = (size_t)((uint8_t *)d->cookie - net->mem);

	r->free[r->nfree++] = (unsigned)((at - r->slots_at) / SLOT);
}

static void show(struct net *net, unsigned i)
{
	virtq_drv_publish(&net->rings[i].drv);
	if (virtq_drv_should_kick(&net->rings[i].drv) && vdev_vhost_front_kick(net->f, i) < 0)
		return;
}

static int receive(struct net *net, unsigned pair)
{
	struct virtq_done done[OUT];
	unsigned i = 2 * pair;
	struct ring *r = &net->rings[i];
	int n = virtq_drv_take(&r->drv, done, OUT);

	for (int k = 0; k < n; k++) {
		const uint8_t *p = done[k].cookie;
		unsigned from;
		int frame = -1;

		if (done[k].written >= HEADER)
			frame = check(net, p + HEADER, done[k].written - HEADER, &from);
		if (frame < 0)
			return client_fail("a frame came back wrong, length", (int)done[k].written);
		net->got[from] += frame != PROBE;
		give_back(net, r, &done[k]);
	}
	while (n >= 0 && r->nfree > 0 && put(net, i, SLOT, 1) >= 0)
		continue;
	show(net, i);
	return n < 0 ? client_fail("receive queue", n) : 0;
}

static int send_frame(struct net *net, unsigned pair, unsigned n)
{
	unsigned i = 2 * pair + 1;
	struct ring *r = &net->rings[i];
	uint8_t *p = net->mem + r->slots_at + (size_t)r->free[r->nfree - 1] * SLOT;

	memset(p, 0, HEADER);
	fill(p + HEADER, pair, n);
	return put(net, i, HEADER + length_of(n), 0);
}

/* The other side drops frames until all of it has started: ask until one comes back. */
static void probe(struct net *net, unsigned pair)
{
	uint64_t now = vdev_os_now();

	if (net->rings[2 * pair + 1].nfree == 0 || now - net->probed[pair] < 20000000u)
		return;
	net->probed[pair] = now;
	(void)!send_frame(net, pair, PROBE);
}

static int transmit(struct net *net, unsigned pair)
{
	struct virtq_done done[OUT];
	unsigned i = 2 * pair + 1;
	struct ring *r = &net->rings[i];
	int n = virtq_drv_take(&r->drv, done, OUT);

	for (int k = 0; k < n; k++)
		give_back(net, r, &done[k]);
	if (!net->ready[pair])
		probe(net, pair);
	while (n >= 0 && net->ready[pair] && r->nfree > 0 && net->sent[pair] < net->o->count &&
	       net->sent[pair] - net->got[pair] < OUT) {
		if (send_frame(net, pair, net->sent[pair]) < 0)
			break;
		net->sent[pair]++;
	}
	show(net, i);
	return n < 0 ? client_fail("transmit queue", n) : 0;
}

static int set_up(struct net *net)
{
	struct vdev_vhost_front_config cfg = {.size = sizeof(cfg),
	                                      .path = net->o->path,
	                                      .fd = -1,
	                                      .queues = 2 * net->o->queues,
	                                      .timeout_ms = LIMIT_MS};
	struct vdev_vhost_front_region region = {.gpa = GPA};
	int rc = vdev_vhost_front_new(&net->f, vdev_env_hosted(), &cfg);

	if (rc < 0)
		return rc;
	make_memory(net);
	virtq_features_set(&net->features, VIRTQ_F_VERSION_1);
	if (net->o->packed)
		virtq_features_set(&net->features, VIRTQ_F_RING_PACKED);
	if (net->o->queues > 1)
		virtq_features_set(&net->features, NET_F_MQ);
	rc = vdev_vhost_front_accept(net->f, &net->features);
	region.len = net->bytes;
	region.host = net->mem;
	region.fd = net->memfd;
	if (rc >= 0)
		rc = vdev_vhost_front_set_memory(net->f, &region, 1);
	for (unsigned i = 0; i < 2 * net->o->queues && rc >= 0; i++)
		rc = start(net, i);
	if (rc >= 0)
		rc = vdev_vhost_front_set_status(net->f, VIRTQ_STATUS_ACKNOWLEDGE | VIRTQ_STATUS_DRIVER |
		                                             VIRTQ_STATUS_FEATURES_OK |
		                                             VIRTQ_STATUS_DRIVER_OK);
	return rc;
}

static int all_back(const struct net *net)
{
	for (unsigned p = 0; p < net->o->queues; p++)
		if (net->got[p] < net->o->count)
			return 0;
	return 1;
}

/* Each queue stops where all of it has been used but the empty buffers of the receive queues. */
static int stop_all(struct net *net)
{
	for (unsigned i = 0; i < 2 * net->o->queues; i++) {
		int rc = vdev_vhost_front_queue_stop(net->f, i, NULL);

		if (rc < 0)
			return client_fail("stop", rc);
	}
	return 0;
}

static void wait_for(struct net *net, unsigned pair)
{
	struct pollfd p = {.fd = vdev_vhost_front_call_fd(net->f, 2 * pair), .events = POLLIN};
	int tx = virtq_drv_arm(&net->rings[2 * pair + 1].drv);

	if (tx || virtq_drv_arm(&net->rings[2 * pair].drv))
		return;
	(void)poll(&p, 1, 5);
	(void)vdev_os_drain_foreign(p.fd);
}

int client_net(const struct client_options *o)
{
	static struct net net;
	uint64_t end = vdev_os_now() + LIMIT_MS * 1000000ull;
	int rc;

	net.o = o;
	if (o->queues > PAIRS)
		return client_fail("too many pairs", 0);
	rc = set_up(&net);
	if (rc < 0)
		return client_fail("can't connect", rc);
	while (!all_back(&net)) {
		for (unsigned p = 0; p < o->queues; p++)
			if (receive(&net, p) || transmit(&net, p))
				return 1;
		if (vdev_os_now() > end) {
			fprintf(stderr, "sent %u, got %u\n", net.sent[0], net.got[0]);
			return client_fail("frames do not come back", -ETIMEDOUT);
		}
		wait_for(&net, net.sent[0] % o->queues);
	}
	if (stop_all(&net))
		return 1;
	printf("net ring=%s pairs=%u frames=%u protocol=0x%llx queue_num=%u\n",
	       virtq_features_has(&net.features, VIRTQ_F_RING_PACKED) ? "packed" : "split", o->queues,
	       o->queues * o->count, (unsigned long long)vdev_vhost_front_protocol(net.f),
	       vdev_vhost_front_queue_num(net.f));
	vdev_vhost_front_free(net.f);
	return 0;
}
