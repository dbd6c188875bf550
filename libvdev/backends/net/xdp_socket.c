/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening XDP sockets, and the kernel's part in their rings. */
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xdp.h"

enum {
	KICKS = 8,    /* in a row that do not send anything */
	BUSY_MS = 300 /* that somebody who has just left may need */
};

/* --- opening -------------------------------------------------------------------- */

static int map_memory(struct xdp_queue *q, uint32_t frames)
{
	size_t chunks = (size_t)2 * frames * XDP_CHUNK;
	struct xdp_umem_reg reg;
	void *map;

	q->frames = frames;
	q->bytes = chunks + frames * sizeof(*q->free);
	map = mmap(NULL, q->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	q->memory = map;
	q->free = (uint32_t *)(void *)(q->memory + chunks);
	for (uint32_t i = 0; i < frames; i++)
		q->free[q->nfree++] = 2 * frames - 1 - i;
	memset(&reg, 0, sizeof(reg));
	reg.addr = (uintptr_t)map;
	reg.len = chunks;
	reg.chunk_size = XDP_CHUNK;
	return net_set(q->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg));
}

static int set_sizes(struct xdp_queue *q)
{
	static const int rings[] = {XDP_RX_RING, XDP_TX_RING, XDP_UMEM_FILL_RING,
	                            XDP_UMEM_COMPLETION_RING};
	int rc = 0;

	for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]) && rc == 0; i++)
		rc = net_set(q->fd, SOL_XDP, rings[i], &q->frames, sizeof(q->frames));
	return rc;
}

static int map_ring(const struct xdp_queue *q, struct xdp_ring *r, const struct xdp_ring_offset *at,
                    size_t entry, uint64_t where)
{
	uint8_t *map;

	r->bytes = at->desc + q->frames * entry;
	map = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd,
	           (off_t)where);
	if (map == MAP_FAILED)
		return -errno;
	r->map = map;
	r->producer = (uint32_t *)(void *)(map + at->producer);
	r->consumer = (uint32_t *)(void *)(map + at->consumer);
	r->flags = (uint32_t *)(void *)(map + at->flags);
	r->entries = map + at->desc;
	r->mask = q->frames - 1;
	return 0;
}

static int map_rings(struct xdp_queue *q)
{
	struct xdp_mmap_offsets at;
	socklen_t len = sizeof(at);
	int rc;

	if (getsockopt(q->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len) < 0)
		return -errno;
	/* Older than the flags that we need. */
	if (len != sizeof(at))
		return -EOPNOTSUPP;
	rc = map_ring(q, &q->rx, &at.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	if (rc == 0)
		rc = map_ring(q, &q->tx, &at.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	if (rc == 0)
		rc = map_ring(q, &q->fill, &at.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	if (rc == 0)
		rc = map_ring(q, &q->done, &at.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	return rc;
}

/* All that receives. */
static void fill(struct xdp_queue *q)
{
	uint64_t *to = q->fill.entries;

	for (uint32_t i = 0; i < q->frames; i++)
		to[i] = (uint64_t)i * XDP_CHUNK;
	q->fill.mine = q->frames;
	store_release(q->fill.producer, q->fill.mine);
}

static int bind_to(struct xdp_queue *q, int ifindex, uint32_t queue, int generic)
{
	struct sockaddr_xdp a = {.sxdp_family = AF_XDP,
	                         .sxdp_flags = XDP_USE_NEED_WAKEUP,
	                         .sxdp_ifindex = (uint32_t)ifindex,
	                         .sxdp_queue_id = queue};

	/* Otherwise the driver's hardware reads and writes our memory, if it can. */
	if (generic)
		a.sxdp_flags |= XDP_COPY;
	/* When somebody closes such a socket the kernel takes a moment until the queue is free. */
	for (int ms = 0; bind(q->fd, (const struct sockaddr *)&a, sizeof(a)) < 0; ms++) {
		if (errno != EBUSY || ms == BUSY_MS)
			return -errno;
		(void)!poll(NULL, 0, 1);
	}
	return 0;
}

static int open_queue(struct xdp_queue *q, int ifindex, uint32_t queue, uint32_t frames,
                      int generic)
{
	int rc = map_memory(q, frames);

	if (rc == 0)
		rc = set_sizes(q);
	if (rc == 0)
		rc = map_rings(q);
	if (rc < 0)
		return rc;
	/* What the kernel holds on its way counts as more bytes than it has. */
	net_set_send_buffer(q->fd, (int)frames * 2 * XDP_CHUNK);
	fill(q);
	return bind_to(q, ifindex, queue, generic);
}

int xdp_queue_open(struct xdp_queue *q, int ifindex, uint32_t queue, uint32_t frames, int generic)
{
	int rc;

	memset(q, 0, sizeof(*q));
	q->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -errno;
	(void)pthread_mutex_init(&q->receiving, NULL);
	(void)pthread_mutex_init(&q->sending, NULL);
	rc = open_queue(q, ifindex, queue, frames, generic);
	if (rc < 0)
		xdp_queue_close(q);
	return rc;
}

static void unmap(void *map, size_t bytes)
{
	if (map != NULL)
		munmap(map, bytes);
}

void xdp_queue_close(struct xdp_queue *q)
{
	if (q->fd < 0)
		return;
	vdev_os_close(q->fd);
	q->fd = -1;
	unmap(q->rx.map, q->rx.bytes);
	unmap(q->tx.map, q->tx.bytes);
	unmap(q->fill.map, q->fill.bytes);
	unmap(q->done.map, q->done.bytes);
	unmap(q->memory, q->bytes);
	pthread_mutex_destroy(&q->receiving);
	pthread_mutex_destroy(&q->sending);
}

/* --- sending -------------------------------------------------------------------- */

int xdp_queue_kick(struct xdp_queue *q)
{
	uint32_t sent = load_acquire(q->tx.consumer);
	int tries = 0;

	/* The kernel sends some with each call, and the last ones perhaps not at once. */
	while (sent != q->tx.mine && (load_acquire(q->tx.flags) & XDP_RING_NEED_WAKEUP)) {
		uint32_t before = sent;

		if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR)
			return -errno;
		sent = load_acquire(q->tx.consumer);
		tries = sent == before ? tries + 1 : 0;
		if (tries == KICKS)
			break;
	}
	return 0;
}

void xdp_queue_reap(struct xdp_queue *q)
{
	const uint64_t *from = q->done.entries;
	uint32_t end = load_acquire(q->done.producer);

	while (q->done.mine != end && q->nfree < q->frames)
		q->free[q->nfree++] = (uint32_t)(from[q->done.mine++ & q->done.mask] / XDP_CHUNK);
	store_release(q->done.consumer, q->done.mine);
}
