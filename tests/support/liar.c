/* SPDX-License-Identifier: BSD-3-Clause */
#include "liar.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	if ((st.st_mode & S_IFMT) != 0)
		return;
	ck_assert_int_eq(write(fd, &most, sizeof(most)), sizeof(most));
	ck_assert_int_ge(vdev_os_nonblock(fd, 0), 0);
}

static int receive(struct liar *l, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		int fds[8];
		unsigned n;
		struct pollfd p = {.fd = l->sock, .events = POLLIN};
		ssize_t got;

		(void)poll(&p, 1, -1);
		got = vdev_os_recv_fds(l->sock, (char *)buf + have, len - have, fds, 8, &n);
		for (unsigned i = 0; i < n; i++) {
			if (l->fills)
				fill(fds[i]);
			/* With the header: whose they are is said there, but that is in buf already. */
			struct vu_header h;

			memcpy(&h, buf, sizeof(h));
			if (h.request == VU_SET_BACKEND_REQ_FD && l->channel < 0)
				l->channel = fds[i];
			else
				close(fds[i]);
		}
		if (got <= 0 && got != -EAGAIN)
			return 0;
		have += got > 0 ? (size_t)got : 0;
	}
	return 1;
}

static void keep_area(struct liar *l, int fd)
{
	vdev_os_close(__atomic_exchange_n(&l->area_fd, vdev_os_dup(fd), __ATOMIC_ACQ_REL));
}

int liar_area(const struct liar *l)
{
	return __atomic_load_n(&l->area_fd, __ATOMIC_ACQUIRE);
}

/* Payload of the right answer; its length, or -1 when there is none to give. */
static int right_answer(struct liar *l, const struct vu_header *h, uint8_t *payload, int *fd)
{
	uint64_t v = 0;
	struct vu_inflight area = {.mmap_size = LIAR_AREA, .num_queues = 1, .queue_size = 64};

	switch (h->request) {
	case VU_GET_FEATURES:
		v = 1ull << VIRTQ_F_VERSION_1 | 1ull << VU_F_PROTOCOL | 1ull << VU_F_LOG_ALL |
		    1ull << VIRTQ_F_ACCESS_PLATFORM | l->extra;
		v &= ~l->lacks;
		break;
	case VU_GET_PROTOCOL_FEATURES:
		v = UINT64_MAX;
		break;
	case VU_GET_QUEUE_NUM:
		v = 1;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		v = 8;
		break;
	case VU_GET_STATUS:
		v = 0xb;
		break;
	case VU_GET_VRING_BASE:
		return 8;
	case VU_GET_CONFIG:
		return (int)h->size;
	case VU_SET_LOG_BASE:
		return 0;
	case VU_GET_INFLIGHT_FD:
		*fd = l->area != NULL ? open(l->area, O_RDONLY | O_CLOEXEC)
		                      : vdev_os_memfd("area", LIAR_AREA);
		keep_area(l, *fd);
		memcpy(payload, &area, sizeof(area));
		return sizeof(area);
	default:
		if (!(h->flags & VU_FLAG_NEED_REPLY))
			return -1;
		break;
	}
	memcpy(payload, &v, sizeof(v));
	return 8;
}

static void say(struct liar *l, const struct vu_header *h, const uint8_t *payload, size_t len,
                const int *fds, unsigned nfds, size_t cut)
{
	uint8_t out[1024];

	memcpy(out, h, sizeof(*h));
	memcpy(out + sizeof(*h), payload, len);
	len += sizeof(*h);
	(void)!vdev_os_send_fds(l->sock, out, cut < len ? cut : len, fds, nfds, 1000);
}

static int nothing_more(struct liar *l)
{
	uint8_t rest[64];

	while (receive(l, rest, 1))
		continue;
	return 0;
}

/* Answer with what is wrong. 0: the conversation is over. */
static int tell_lie(struct liar *l, struct vu_header h, uint8_t *payload, int len, int fd)
{
	int fds[9];
	unsigned nfds = fd >= 0 ? 1 : 0;
	size_t cut = SIZE_MAX;

	l->lied = 1;
	if (len < 0)
		len = 8;
	h.flags = VU_VERSION | VU_FLAG_REPLY;
	h.size = (uint32_t)len;
	for (unsigned i = 0; i < 9; i++)
		fds[i] = i == 0 && fd >= 0 ? dup(fd) : eventfd(0, 0);
	switch (l->lie) {
	case OTHER_REQUEST:
		h.request = h.request == VU_GET_FEATURES ? 3 : 1;
		break;
	case NO_REPLY_FLAG:
		h.flags = VU_VERSION;
		break;
	case WRONG_VERSION:
		h.flags = 2 | VU_FLAG_REPLY;
		break;
	case NEED_REPLY_SET:
		h.flags |= VU_FLAG_NEED_REPLY;
		break;
	case TOO_SHORT:
		h.size = (uint32_t)--len;
		break;
	case TOO_LONG:
		h.size = (uint32_t)(len += 300);
		break;
	case HUGE_SIZE:
		h.size = UINT32_MAX;
		break;
	case ONE_FD:
		nfds++;
		break;
	case MANY_FDS:
		nfds = 9;
		break;
	case NO_FD:
		nfds = 0;
		break;
	case HANGS_UP:
		cut = 0;
		break;
	case HANGS_UP_WITHIN:
		cut = 5;
		break;
	case HANGS_UP_BEFORE_PAYLOAD:
		cut = sizeof(h);
		break;
	case SILENCE:
		cut = 0;
		break;
	case HALF_AND_SILENCE:
		cut = 14;
		break;
	case SAYS_NO:
	case WRONG_VALUE:
		memcpy(payload, &l->value, 8);
		break;
	default:
		break;
	}
	if (cut > 0)
		say(l, &h, payload, (size_t)len, fds, nfds, cut);
	if (l->lie == TWICE)
		say(l, &h, payload, (size_t)len, NULL, 0, cut);
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
	if (l->lie == SILENCE || l->lie == HALF_AND_SILENCE)
		return nothing_more(l);
	return l->lie == TWICE || l->lie == SAYS_NO || l->lie == WRONG_VALUE;
}

static void note(struct liar *l, const struct vu_header *h, const uint8_t *payload)
{
	struct vu_vring_state s;

	memcpy(&s, payload, sizeof(s));
	if (h->request < VU_REQUESTS)
		__atomic_fetch_add(&l->count[h->request], 1, __ATOMIC_RELAXED);
	if (h->request == VU_SET_VRING_BASE)
		__atomic_store_n(&l->base, s.num, __ATOMIC_RELAXED);
	if (l->on != NULL)
		l->on(l, h, payload);
}

static void *be_back(void *arg)
{
	struct liar *l = arg;
	struct vu_header h;
	uint8_t payload[512 + 300];

	while (receive(l, &h, sizeof(h))) {
		int fd = -1, len;

		ck_assert_uint_le(h.size, 512);
		memset(payload, 0, sizeof(payload));
		if (h.size > 0 && !receive(l, payload, h.size))
			break;
		note(l, &h, payload);
		len = right_answer(l, &h, payload, &fd);
		if (h.request == l->lie_at && !l->lied) {
			if (!tell_lie(l, h, payload, len, fd)) {
				vdev_os_close(fd);
				break;
			}
		} else if (len >= 0) {
			struct vu_header out = {h.request, VU_VERSION | VU_FLAG_REPLY, (uint32_t)len};

			say(l, &out, payload, (size_t)len, &fd, fd >= 0 ? 1 : 0, SIZE_MAX);
		}
		vdev_os_close(fd);
	}
	close(l->sock);
	return NULL;
}

void liar_start(struct liar *l)
{
	l->channel = l->area_fd = -1;
	ck_assert_int_eq(vdev_os_thread(&l->thread, "liar", be_back, l), 0);
}

void liar_end(struct liar *l)
{
	pthread_join(l->thread, NULL);
	vdev_os_close(l->channel);
	vdev_os_close(l->area_fd);
}
