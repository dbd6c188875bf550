/* SPDX-License-Identifier: BSD-3-Clause */
/* Chapter 3: a hostile driver. It writes nonsense into the ring; the queue breaks, the process does not. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <virtq/virtq.h>

enum { SIZE = 4, PIECES = SIZE + VIRTQ_DEV_BORDERS, GPA = 0x1000, BUFFER = 0x800 };

/* The guest's memory lies between two others of ours, which nobody may touch. */
static _Alignas(16) unsigned char room[3][4096];

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* What to write: two descriptors, the head that is offered, and how many are said to be there. */
struct attack {
	const char *what;
	struct desc d[2];
	uint16_t head, idx;
	const char *reason;
	int fault;
};

#define FINE                                                                                       \
	{                                                                                              \
		GPA + BUFFER, 16, 0, 0                                                                     \
	}
#define NEXT(n)                                                                                    \
	{                                                                                              \
		GPA + BUFFER, 16, VIRTQ_DESC_NEXT, n                                                       \
	}
#define WRITE VIRTQ_DESC_WRITE

static const struct attack attacks[] = {
	{"an honest request", {FINE}, 0, 1, "none", 0},
	{"an address outside of memory",
     {{1 << 20, 16, WRITE, 0}},
     0,
     1,
     "ADDRESS",
     VIRTQ_FAULT_ADDRESS},
	{"a buffer that runs over the end",
     {{GPA + 4090, 16, WRITE, 0}},
     0,
     1,
     "ADDRESS",
     VIRTQ_FAULT_ADDRESS},
	{"an address that wraps around",
     {{UINT64_MAX - 7, 16, WRITE, 0}},
     0,
     1,
     "ADDRESS",
     VIRTQ_FAULT_ADDRESS},
	{"a chain that is a circle", {NEXT(1), NEXT(0)}, 0, 1, "TOO_MANY", VIRTQ_FAULT_TOO_MANY},
	{"a next descriptor beyond the table", {NEXT(SIZE)}, 0, 1, "NEXT", VIRTQ_FAULT_NEXT},
	{"a head beyond the table", {FINE}, 0xffff, 1, "HEAD", VIRTQ_FAULT_HEAD},
	{"more entries than the ring holds", {FINE}, 0, SIZE + 1, "AVAIL_IDX", VIRTQ_FAULT_AVAIL_IDX},
	{"a piece to read after one to write",
     {{GPA + BUFFER, 16, WRITE | VIRTQ_DESC_NEXT, 1}, FINE},
     0,
     1,
     "ORDER",
     VIRTQ_FAULT_ORDER},
	{"a table, not negotiated",
     {{GPA + BUFFER, 16, VIRTQ_DESC_INDIRECT, 0}},
     0,
     1,
     "INDIRECT",
     VIRTQ_FAULT_INDIRECT},
};

/* Lay the attack out in a cleared ring: descriptors at 0, available ring at 64, used ring at 96. */
static void write_ring(const struct attack *a)
{
	const uint16_t avail[3] = {0, a->idx, a->head};

	memset(room[1], 0, sizeof(room[1]));
	memcpy(room[1], a->d, sizeof(a->d));
	memcpy(room[1] + 64, avail, sizeof(avail));
}

/* A fresh queue on the ring, as after a reset; serve everything, filling what may be written. */
static int serve(struct virtq_mem *mem, struct virtq_fault *fault)
{
	static uint64_t scratch[1024];
	struct virtq_dev_config cfg = {
		.size = sizeof(cfg),
		.mem = mem,
		.state = {.desc = GPA, .driver = GPA + 64, .device = GPA + 96, .size = SIZE},
		.scratch = scratch,
		.scratch_bytes = sizeof(scratch)};
	struct virtq_iov iov[PIECES];
	struct virtq_chain chain;
	struct virtq_dev vq;
	int n, served = 0;

	virtq_features_set(&cfg.features, VIRTQ_F_VERSION_1);
	if (virtq_dev_init(&vq, &cfg) < 0)
		return -1;
	while ((n = virtq_dev_pop(&vq, &chain, 1, iov, PIECES)) == 1) {
		for (uint32_t i = chain.nread; i < chain.nread + chain.nwrite; i++)
			memset(iov[i].base, 'D', iov[i].len);
		if (virtq_dev_push(&vq, &chain, &chain.write_bytes, 1) < 0)
			return -1;
		virtq_dev_publish(&vq);
		served++;
	}
	fault->reason = 0;
	if (n < 0 && virtq_dev_fault(&vq, fault) != 1)
		return -1;
	return virtq_dev_fini(&vq) < 0 ? -1 : served;
}

int main(void)
{
	struct virtq_region region = {.gpa = GPA, .len = sizeof(room[1]), .host = room[1]};
	struct virtq_mem mem;
	int bad = 0;

	if (virtq_mem_init(&mem, &region, 1) < 0)
		return 1;
	memset(room[0], 'N', sizeof(room[0]));
	memset(room[2], 'N', sizeof(room[2]));
	for (unsigned i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		struct virtq_fault fault = {.reason = 0};
		int served;

		write_ring(&attacks[i]);
		served = serve(&mem, &fault);
		bad |= served < 0 || (int)fault.reason != attacks[i].fault;
		printf("%-36s served %d, fault %s\n", attacks[i].what, served,
		       (int)fault.reason == attacks[i].fault ? attacks[i].reason : "(unexpected)");
	}
	for (unsigned i = 0; i < sizeof(room[0]); i++)
		bad |= room[0][i] != 'N' || room[2][i] != 'N';
	printf("neighbours %s\n", bad ? "touched, or a wrong answer" : "untouched");
	return bad;
}
