/* SPDX-License-Identifier: BSD-3-Clause */
/* Chapter 1: memory and a split ring. The driver's side by hand, the device's by the library. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <virtq/virtq.h>

enum { SIZE = 4, PIECES = SIZE + VIRTQ_DEV_BORDERS, GPA = 0x10000 };

/* Section 2.7: the three parts of a split ring, and two buffers, in the guest's memory. */
static struct {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[SIZE];
	struct {
		uint16_t flags, idx, ring[SIZE];
	} avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[SIZE];
	} used;
	char question[32];
	char answer[32];
} guest;

/* What the device calls the place that we know by its pointer. */
static uint64_t gpa(const void *p)
{
	return GPA + (uint64_t)((const char *)p - (const char *)&guest);
}

static void show(const char *when)
{
	printf("%-22s avail.idx=%u used.idx=%u\n", when, guest.avail.idx, guest.used.idx);
}

/* The driver: two descriptors make one chain, the head goes to the available ring, then the index. */
static void offer(const char *text)
{
	snprintf(guest.question, sizeof(guest.question), "%s", text);
	guest.desc[0].addr = gpa(guest.question);
	guest.desc[0].len = (uint32_t)strlen(text);
	guest.desc[0].flags = VIRTQ_DESC_NEXT;
	guest.desc[0].next = 1;
	guest.desc[1].addr = gpa(guest.answer);
	guest.desc[1].len = sizeof(guest.answer);
	guest.desc[1].flags = VIRTQ_DESC_WRITE;
	guest.avail.ring[guest.avail.idx % SIZE] = 0;
	/* Whoever sees the new index must see what it stands for. */
	__atomic_store_n(&guest.avail.idx, guest.avail.idx + 1, __ATOMIC_RELEASE);
}

/* The device: pop a chain, read its first part, write its second, push it back, show it. */
static int serve(struct virtq_dev *vq)
{
	struct virtq_iov iov[PIECES];
	struct virtq_chain chain;
	uint32_t written;
	int n = virtq_dev_pop(vq, &chain, 1, iov, PIECES);

	if (n != 1)
		return n;
	printf("the device reads       \"%.*s\" and has room for %u bytes\n", (int)iov[0].len,
	       (const char *)iov[0].base, chain.write_bytes);
	written = (uint32_t)snprintf(iov[1].base, iov[1].len, "%zu letters", iov[0].len);
	n = virtq_dev_push(vq, &chain, &written, 1);
	if (n < 0)
		return n;
	show("pushed, not published");
	virtq_dev_publish(vq);
	return 1;
}

int main(void)
{
	struct virtq_region region = {.gpa = GPA, .len = sizeof(guest), .host = &guest};
	struct virtq_dev_config cfg = {.size = sizeof(cfg)};
	static uint64_t scratch[1024];
	struct virtq_mem mem;
	struct virtq_dev vq;

	if (virtq_mem_init(&mem, &region, 1) < 0)
		return 1;
	virtq_features_set(&cfg.features, VIRTQ_F_VERSION_1);
	cfg.mem = &mem;
	cfg.state = (struct virtq_state){.desc = gpa(guest.desc),
	                                 .driver = gpa(&guest.avail),
	                                 .device = gpa(&guest.used),
	                                 .size = SIZE};
	cfg.scratch = scratch;
	cfg.scratch_bytes = sizeof(scratch);
	if (virtq_dev_bytes(&cfg) > sizeof(scratch) || virtq_dev_init(&vq, &cfg) < 0)
		return 1;

	show("fresh");
	printf("the device finds       %d chains\n", serve(&vq));
	offer("How long is this?");
	show("offered");
	if (serve(&vq) != 1)
		return 1;
	show("published");
	printf("the driver reads       \"%.*s\", chain %u\n", (int)guest.used.ring[0].len, guest.answer,
	       guest.used.ring[0].id);
	printf("notify the driver?     %d\n", virtq_dev_should_interrupt(&vq));
	return virtq_dev_fini(&vq) < 0;
}
