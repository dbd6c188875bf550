/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest of tests/interop/crash.test runs, and the host's judge of the image: writes that can be told from each
 * other, while the disk's daemon is killed again and again.
 *
 *   write DEVICE OFFSET WRITERS   write and verify until the stop block says "stop"; then verify all, and write down
 *                                 what was acknowledged
 *   check IMAGE OFFSET WRITERS    on the host: the image holds what was acknowledged
 *   stop IMAGE OFFSET             on the host: have the writers end
 *
 * From OFFSET: the stop block, the journal's blocks, then each writer's blocks. A block that is written holds its number,
 * its generation (which only grows) and a checksum. A writer has one write out at a time, of one block or more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK = 4096,
	PER_WRITER = 128,
	MAX_WRITERS = 16,
	RUN = 32,
	JOURNAL = 8,
	GENERATIONS = BLOCK / 8
};

struct block {
	uint64_t magic;
	uint64_t number;
	uint64_t generation;
	uint64_t sum;
	uint64_t fill[BLOCK / 8 - 4];
};

struct writer {
	pthread_t thread;
	unsigned index;
	uint64_t acked[PER_WRITER];
	uint64_t random;
};

static const uint64_t magic = 0x76646b6372617368u;
static const char *device;
static uint64_t offset;
static unsigned writers;
static struct writer all[MAX_WRITERS];
static uint64_t writes, checks;
static int stopping;

static void fail(const char *what, uint64_t number, uint64_t value)
{
	printf("VD done FAIL %s: block %llu, %llu\n", what, (unsigned long long)number,
	       (unsigned long long)value);
	fflush(stdout);
	_exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t sum_of(const struct block *b)
{
	uint64_t sum = b->magic ^ b->number * 31 ^ b->generation * 1000003;

	for (size_t i = 0; i < sizeof(b->fill) / 8; i++)
		sum = (sum << 7 | sum >> 57) ^ b->fill[i];
	return sum;
}

static void make_block(struct block *b, uint64_t number, uint64_t generation)
{
	uint64_t x = number * 977 + generation + 1;

	b->magic = magic;
	b->number = number;
	b->generation = generation;
	for (size_t i = 0; i < sizeof(b->fill) / 8; i++)
		b->fill[i] = x += 0x9e3779b97f4a7c15u;
	b->sum = sum_of(b);
}

/* Blocks never written are zero, as generation 0. */
static void check_block(const struct block *b, uint64_t number, uint64_t generation)
{
	if (generation == 0 && b->magic == 0)
		return;
	if (b->magic != magic || b->number != number || b->sum != sum_of(b))
		fail("a block is not what was written", number, b->generation);
	if (b->generation < generation)
		fail("an acknowledged write was lost or overwritten by an older one", number,
		     b->generation);
	if (b->generation > generation)
		fail("a write that nobody made", number, b->generation);
}

static int64_t at(uint64_t number)
{
	return (int64_t)(offset + (1 + JOURNAL + number) * BLOCK);
}

static void transfer(int fd, void *buf, size_t len, int64_t where, int write)
{
	ssize_t n = write ? pwrite(fd, buf, len, where) : pread(fd, buf, len, where);

	if (n != (ssize_t)len)
		fail(write ? "write error" : "read error", (uint64_t)where, (uint64_t)(n < 0 ? errno : 0));
}

static int open_device(int flags)
{
	int fd = open(device, flags);

	if (fd < 0)
		fail("can't open the disk", 0, (uint64_t)errno);
	return fd;
}

static struct block *blocks_new(void)
{
	void *p = NULL;

	if (posix_memalign(&p, BLOCK, RUN * BLOCK) != 0)
		fail("no memory", 0, 0);
	memset(p, 0, RUN * BLOCK);
	return p;
}

static void write_some(struct writer *w, int fd, struct block *b)
{
	unsigned first = (unsigned)(next_random(&w->random) % PER_WRITER);
	unsigned n = 1 + (unsigned)(next_random(&w->random) % RUN);
	uint64_t base = (uint64_t)w->index * PER_WRITER;

	if (first + n > PER_WRITER)
		n = PER_WRITER - first;
	for (unsigned i = 0; i < n; i++)
		make_block(&b[i], base + first + i, w->acked[first + i] + 1);
	transfer(fd, b, (size_t)n * BLOCK, at(base + first), 1);
	for (unsigned i = 0; i < n; i++)
		w->acked[first + i]++;
	__atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
}

static void verify(struct writer *w, int fd, struct block *b, unsigned first, unsigned n)
{
	uint64_t base = (uint64_t)w->index * PER_WRITER;

	transfer(fd, b, (size_t)n * BLOCK, at(base + first), 0);
	for (unsigned i = 0; i < n; i++)
		check_block(&b[i], base + first + i, w->acked[first + i]);
	__atomic_fetch_add(&checks, n, __ATOMIC_RELAXED);
}

static void *write_and_verify(void *arg)
{
	struct writer *w = arg;
	int fd = open_device(O_RDWR | O_DIRECT);
	struct block *b = blocks_new();

	w->random = 88172645463325252u + w->index * 7919;
	while (!__atomic_load_n(&stopping, __ATOMIC_RELAXED)) {
		write_some(w, fd, b);
		if (next_random(&w->random) % 3 == 0)
			verify(w, fd, b, (unsigned)(next_random(&w->random) % (PER_WRITER / RUN)) * RUN, RUN);
		if (next_random(&w->random) % 64 == 0 && fdatasync(fd) < 0)
			fail("flush error", 0, (uint64_t)errno);
	}
	for (unsigned i = 0; i < PER_WRITER; i += RUN)
		verify(w, fd, b, i, RUN);
	free(b);
	close(fd);
	return NULL;
}

static int journal(int fd, int write)
{
	uint64_t *page = (uint64_t *)(void *)blocks_new();

	for (unsigned i = 0; i < JOURNAL; i++) {
		if (!write)
			transfer(fd, page, BLOCK, (int64_t)(offset + (1 + i) * BLOCK), 0);
		for (unsigned k = 0; k < GENERATIONS; k++) {
			unsigned n = i * GENERATIONS + k;
			uint64_t *acked = &all[n / PER_WRITER % MAX_WRITERS].acked[n % PER_WRITER];

			if (n >= writers * PER_WRITER)
				continue;
			if (write)
				page[k] = *acked;
			else
				*acked = page[k];
		}
		if (write)
			transfer(fd, page, BLOCK, (int64_t)(offset + (1 + i) * BLOCK), 1);
	}
	free(page);
	return 0;
}

static int run_guest(void)
{
	int fd = open_device(O_RDWR | O_DIRECT);
	char *stop = (char *)(void *)blocks_new();

	for (unsigned i = 0; i < writers; i++) {
		all[i].index = i;
		if (pthread_create(&all[i].thread, NULL, write_and_verify, &all[i]) != 0)
			fail("no thread", i, 0);
	}
	while (!stopping) {
		usleep(100000);
		transfer(fd, stop, BLOCK, (int64_t)offset, 0);
		if (memcmp(stop, "stop", 4) == 0)
			__atomic_store_n(&stopping, 1, __ATOMIC_RELAXED);
		printf("VD progress writes=%llu checks=%llu\n",
		       (unsigned long long)__atomic_load_n(&writes, __ATOMIC_RELAXED),
		       (unsigned long long)__atomic_load_n(&checks, __ATOMIC_RELAXED));
		fflush(stdout);
	}
	for (unsigned i = 0; i < writers; i++)
		pthread_join(all[i].thread, NULL);
	journal(fd, 1);
	if (fdatasync(fd) < 0)
		fail("flush error", 0, (uint64_t)errno);
	printf("VD written writes=%llu checks=%llu\n", (unsigned long long)writes,
	       (unsigned long long)checks);
	free(stop);
	close(fd);
	return 0;
}

static int check_image(void)
{
	int fd = open_device(O_RDONLY);
	struct block *b = blocks_new();
	uint64_t sum = 0;

	journal(fd, 0);
	for (unsigned i = 0; i < writers; i++) {
		all[i].index = i;
		for (unsigned k = 0; k < PER_WRITER; k += RUN)
			verify(&all[i], fd, b, k, RUN);
		for (unsigned k = 0; k < PER_WRITER; k++)
			sum += all[i].acked[k];
	}
	free(b);
	close(fd);
	if (sum == 0)
		fail("nothing was written", 0, 0);
	printf("blocks=%u generations=%llu\n", writers * PER_WRITER, (unsigned long long)sum);
	return 0;
}

static int stop_guest(void)
{
	int fd = open_device(O_WRONLY);
	char *stop = (char *)(void *)blocks_new();

	memcpy(stop, "stop", 4);
	transfer(fd, stop, BLOCK, (int64_t)offset, 1);
	free(stop);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	device = argv[2];
	offset = strtoull(argv[3], NULL, 0);
	writers = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
	if (writers < 1 || writers > MAX_WRITERS)
		return 2;
	if (strcmp(argv[1], "write") == 0)
		return run_guest();
	if (strcmp(argv[1], "check") == 0)
		return check_image();
	return strcmp(argv[1], "stop") == 0 ? stop_guest() : 2;
}
