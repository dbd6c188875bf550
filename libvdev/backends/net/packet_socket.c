/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening packet sockets, and spreading frames over several. */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <unistd.h>

#include "packet.h"

/* Newer than some headers. */
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef PACKET_FANOUT_FLAG_UNIQUEID
#define PACKET_FANOUT_FLAG_UNIQUEID 0x2000
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

enum {
	BLOCK = 1 << 20,
	SLOT_HEAD = 128, /* what the kernel puts before a frame, at most */
	SEND_BUFFER = 4 << 20
};

static int set_int(int fd, int name, int value)
{
	return net_set(fd, SOL_PACKET, name, &value, sizeof(value));
}

/* A socket that receives nothing yet. */
static int open_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = set_int(fd, PACKET_VNET_HDR, 1);
	if (rc < 0) {
		vdev_os_close(fd);
		return rc;
	}
	return fd;
}

static int bind_to(int fd, int ifindex, int protocol)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = ifindex};

	return bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static int map_ring(struct packet_queue *q, uint32_t frames, uint32_t frame_max)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	struct tpacket_req req;
	int rc;

	q->slot =
		(frame_max + SLOT_HEAD + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT * TPACKET_ALIGNMENT;
	q->block = q->slot > BLOCK ? (q->slot + page - 1) / page * page : BLOCK;
	q->per_block = q->block / q->slot;
	req = (struct tpacket_req){.tp_block_size = q->block,
	                           .tp_block_nr = (frames + q->per_block - 1) / q->per_block,
	                           .tp_frame_size = q->slot};
	req.tp_frame_nr = req.tp_block_nr * q->per_block;
	rc = net_set(q->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
	if (rc < 0)
		return rc;
	q->frames = req.tp_frame_nr;
	q->bytes = (size_t)req.tp_block_nr * q->block;
	q->map = mmap(NULL, q->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	if (q->map == MAP_FAILED) {
		q->map = NULL;
		return -errno;
	}
	return 0;
}

static int set_up(struct packet_queue *q, int ifindex, uint32_t frames, uint32_t frame_max)
{
	int rc = set_int(q->fd, PACKET_VERSION, TPACKET_V2);

	if (rc == 0)
		rc = map_ring(q, frames, frame_max);
	/* Before Linux 4.20 we look at each frame instead. */
	if (rc == 0)
		(void)set_int(q->fd, PACKET_IGNORE_OUTGOING, 1);
	if (rc == 0)
		rc = net_hear_all(q->fd, ifindex);
	return rc == 0 ? bind_to(q->fd, ifindex, ETH_P_ALL) : rc;
}

int packet_queue_open(struct packet_queue *q, int ifindex, uint32_t frames, uint32_t frame_max)
{
	int rc;

	memset(q, 0, sizeof(*q));
	q->fd = open_socket();
	if (q->fd < 0)
		return q->fd;
	rc = set_up(q, ifindex, frames, frame_max);
	if (rc < 0)
		packet_queue_close(q);
	return rc;
}

void packet_queue_close(struct packet_queue *q)
{
	if (q->map != NULL)
		munmap(q->map, q->bytes);
	q->map = NULL;
	vdev_os_close(q->fd);
	q->fd = -1;
}

int packet_sender_open(int ifindex)
{
	int fd = open_socket();
	int rc = fd < 0 ? fd : bind_to(fd, ifindex, 0);

	if (rc < 0) {
		vdev_os_close(fd);
		return rc;
	}
	net_set_send_buffer(fd, SEND_BUFFER);
	return fd;
}

/* --- several sockets -------------------------------------------------------------- */

/* Give back what a ring holds. */
static void empty(struct packet_queue *q)
{
	for (uint32_t i = 0; i < q->frames; i++) {
		struct tpacket2_hdr *h = packet_slot(q, q->next);

		if (!(load_acquire(&h->tp_status) & TP_STATUS_USER))
			break;
		store_release(&h->tp_status, TP_STATUS_KERNEL);
		q->next = (q->next + 1) % q->frames;
	}
}

int packet_join(struct packet_queue *q, uint32_t n)
{
	int how = (PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_IGNORE_OUTGOING) << 16;
	int group = how | PACKET_FANOUT_FLAG_UNIQUEID << 16;
	socklen_t len = sizeof(group);
	int rc = set_int(q[0].fd, PACKET_FANOUT, group);

	if (rc == -EINVAL) {
		/* Before Linux 5.9 we look at each frame instead. */
		how = PACKET_FANOUT_CBPF << 16;
		group = how | PACKET_FANOUT_FLAG_UNIQUEID << 16;
		rc = set_int(q[0].fd, PACKET_FANOUT, group);
	}
	if (rc == 0 && getsockopt(q[0].fd, SOL_PACKET, PACKET_FANOUT, &group, &len) < 0)
		rc = -errno;
	/* A socket's number in the group is that of its pair. */
	for (uint32_t i = 1; rc == 0 && i < n; i++)
		rc = set_int(q[i].fd, PACKET_FANOUT, how | (group & 0xffff));
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		empty(&q[i]);
	return rc;
}

/* Words of the network header, and of what X says is behind it. */
#define NET(off) ((uint32_t)SKF_NET_OFF + (off))
#define XOR_NET(off)                                                                               \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NET(off)), BPF_STMT(BPF_LDX | BPF_MEM, 0),                  \
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0), BPF_STMT(BPF_ST, 0)
#define JUMP(v, t, f)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), (t), (f))
#define JUMPS(v, t, f) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (v), (t), (f))

int packet_spread(const struct packet_queue *first, uint32_t n)
{
	/*
	 * The same both ways: addresses and ports are mixed with exclusive or, in M[0]. Fragments count by their addresses, other
	 * protocols than IP go to the first.
	 */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_ST, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		JUMP(ETH_P_IP, 2, 0),
		JUMP(ETH_P_IPV6, 14, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		/* 6: IPv4 */
		XOR_NET(12),
		XOR_NET(16),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, NET(6)),
		JUMPS(0x3fff, 45, 0), /* a fragment */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET(9)),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_JMP | BPF_JA, 34),
		/* 19: IPv6 */
		XOR_NET(8),
		XOR_NET(12),
		XOR_NET(16),
		XOR_NET(20),
		XOR_NET(24),
		XOR_NET(28),
		XOR_NET(32),
		XOR_NET(36),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET(6)),
		BPF_STMT(BPF_LDX | BPF_IMM, 40),
		/* 53: protocol in A, length of the network header in X */
		JUMP(6, 1, 0),
		JUMP(17, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
		BPF_STMT(BPF_ST, 1),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_STMT(BPF_LDX | BPF_MEM, 1),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		/* 61: without ports */
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_LDX | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return net_set(first->fd, SOL_PACKET, PACKET_FANOUT_DATA, &prog, sizeof(prog));
}
