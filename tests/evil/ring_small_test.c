/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small rings, and every combination of what a descriptor may say, out of a small alphabet. Whatever the driver writes, a
 * queue gives out buffers inside of memory, or breaks; a walk written apart from the code says which. Ring, memory and
 * results end at pages without permissions.
 */
#include "check_main.h"

#include "ring_small.h"

enum { TABLE = 0x100 };

/* Guarded pages: buffers, then one for each part of the ring, which ends with its page. */
static uint8_t *buffers, *parts[3], *results;
static struct virtq_mem mem;
static struct virtq_region regions[4];

static struct virtq_dev dev, fresh;
static uint64_t scratch[16], scratch_fresh[16];
static struct virtq_iov *iov;
static struct virtq_chain chains[RING_MAX + 1];

static void memory_make(void)
{
	uint32_t bytes[3];

	bytes[0] = VIRTQ_DESC_BYTES * size;
	bytes[1] = packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DRIVER_BYTES(size);
	bytes[2] = packed ? VIRTQ_PACKED_EVENT_BYTES : VIRTQ_SPLIT_DEVICE_BYTES(size);
	if (buffers == NULL) {
		buffers = guarded();
		results = guarded();
		for (int i = 0; i < 3; i++)
			parts[i] = guarded();
	}
	regions[0] = (struct virtq_region){.gpa = MEM_GPA, .len = PAGE, .host = buffers};
	for (uint32_t i = 0; i < 3; i++) {
		/* The device part begins at a multiple of 4, so up to 2 bytes are left behind its end. */
		uint32_t n = (bytes[i] + 3) & ~3u;

		regions[i + 1] = (struct virtq_region){
			.gpa = RING_GPA + (uint64_t)i * PAGE, .len = n, .host = parts[i] + PAGE - n};
	}
	ck_assert_int_eq(virtq_mem_init(&mem, regions, 4), 0);
}

static void queue_make(int is_packed, uint16_t n)
{
	struct virtq_dev_config cfg = {.size = sizeof(cfg), .mem = &mem, .scratch = scratch};

	packed = is_packed;
	size = n;
	combos = good = bad = none = 0;
	memory_make();
	memset(buffers, 0, PAGE);
	virtq_features_set(&cfg.features, VIRTQ_F_VERSION_1);
	virtq_features_set(&cfg.features, VIRTQ_F_INDIRECT_DESC);
	if (packed)
		virtq_features_set(&cfg.features, VIRTQ_F_RING_PACKED);
	cfg.state = (struct virtq_state){
		.desc = RING_GPA, .driver = RING_GPA + PAGE, .device = RING_GPA + 2 * PAGE, .size = n};
	virtq_state_fresh(&cfg.state, &cfg.features);
	cfg.scratch_bytes = sizeof(scratch);
	ck_assert_int_eq(virtq_dev_init(&dev, &cfg), 0);
	iov = (struct virtq_iov *)(void *)(results + PAGE) - virtq_dev_max_iov(&dev);
	ck_assert((uint8_t *)iov >= results);
	fresh = dev;
	memcpy(scratch_fresh, scratch, sizeof(scratch));
}

/* The walk written apart. What a chain should be: bytes each way, or that it is none. */
struct want {
	uint64_t read;
	uint64_t write;
	int broken;
	int empty; /* nothing is available */
};

/* Whether bytes are all in one of the regions, none of which touch. */
static int inside(uint64_t addr, uint64_t len)
{
	for (uint32_t i = 0; i < 4; i++)
		if (addr >= regions[i].gpa && addr - regions[i].gpa < regions[i].len &&
		    len <= regions[i].len - (addr - regions[i].gpa))
			return 1;
	return 0;
}

static void want_buffer(struct want *w, const struct field *f)
{
	if (f->len == 0)
		return;
	if (!inside(f->addr, f->len) || (!(f->flags & VIRTQ_DESC_WRITE) && w->write > 0))
		w->broken = 1;
	else if (f->flags & VIRTQ_DESC_WRITE)
		w->write += f->len;
	else
		w->read += f->len;
}

/* Tables lie in the buffers' page, at TABLE; what else a descriptor can point at holds zeros, or is the ring. */
static void want_table(struct want *w, const struct field *f, uint32_t before)
{
	uint32_t n = f->len / VIRTQ_DESC_BYTES, at = 0;

	if (f->flags & VIRTQ_DESC_NEXT || f->len == 0 || f->len % VIRTQ_DESC_BYTES != 0 ||
	    n + before > size || !inside(f->addr, f->len)) {
		w->broken = 1;
		return;
	}
	for (uint32_t steps = 0; !w->broken; steps++) {
		struct virtq_split_desc d;
		struct field e;

		if (steps == n || at >= n) {
			w->broken = !packed;
			return;
		}
		memcpy(&d, buffers + (f->addr - MEM_GPA) + (size_t)at * sizeof(d), sizeof(d));
		e = (struct field){d.addr, d.len, packed ? d.next : d.flags, packed ? 0 : d.next};
		if (!packed && e.flags & VIRTQ_DESC_INDIRECT)
			w->broken = 1;
		else
			want_buffer(w, &e);
		if (!packed && !(e.flags & VIRTQ_DESC_NEXT))
			return;
		at = packed ? at + 1 : e.extra;
	}
}

static struct want want_split(const struct field *f, uint16_t idx, uint16_t head)
{
	struct want w = {.empty = idx == 0, .broken = idx > size || (idx > 0 && head >= size)};
	uint32_t at = head;

	for (uint32_t steps = 1; !w.broken && !w.empty; steps++) {
		const struct field *d = &f[at];

		if (d->flags & VIRTQ_DESC_INDIRECT) {
			want_table(&w, d, steps - 1);
			break;
		}
		want_buffer(&w, d);
		if (!(d->flags & VIRTQ_DESC_NEXT))
			break;
		at = d->extra;
		if (at >= size || steps == size)
			w.broken = 1;
	}
	if (idx > size)
		w.empty = 0;
	return w;
}

static int available(uint16_t flags, int wrap)
{
	return !!(flags & VIRTQ_DESC_AVAIL) == wrap && !!(flags & VIRTQ_DESC_USED) != wrap;
}

static struct want want_packed(const struct field *f)
{
	struct want w = {.empty = !available(f[0].flags, 1)};
	uint16_t at = 0;

	if (w.empty)
		return w;
	if (f[0].flags & VIRTQ_DESC_INDIRECT) {
		want_table(&w, &f[0], 0);
	} else {
		want_buffer(&w, &f[0]);
		while (!w.broken && f[at].flags & VIRTQ_DESC_NEXT) {
			if (++at == size || !available(f[at].flags, 1) || f[at].flags & VIRTQ_DESC_INDIRECT)
				w.broken = 1;
			else
				want_buffer(&w, &f[at]);
		}
	}
	if (!w.broken && f[at].extra >= size)
		w.broken = 1;
	return w;
}

/* Plain ifs rather than assertions where it runs millions of times. */
static void fail_with(const char *what, const struct field *f)
{
	for (uint16_t i = 0; i < size; i++)
		printf("  %u: addr %llx len %x flags %x extra %x\n", i, (unsigned long long)f[i].addr,
		       f[i].len, f[i].flags, f[i].extra);
	fflush(stdout);
	ck_abort_msg("%s ring of %u: %s", packed ? "packed" : "split", size, what);
}

static int piece_ok(const struct virtq_iov *p)
{
	const uint8_t *base = p->base;

	for (uint32_t i = 0; i < 4; i++) {
		const uint8_t *host = regions[i].host;

		if (base >= host && p->len > 0 && base + p->len <= host + regions[i].len)
			return 1;
	}
	return 0;
}

static void chain_check(const struct virtq_chain *c, const struct field *f)
{
	uint64_t bytes = 0;

	if (c->iov < iov || c->iov + c->nread + c->nwrite > iov + virtq_dev_max_iov(&dev))
		fail_with("pieces outside of what pop was given", f);
	if (c->nread + c->nwrite > size || c->id >= size)
		fail_with("more pieces than descriptors, or a strange id", f);
	for (uint32_t i = 0; i < c->nread + c->nwrite; i++) {
		if (!piece_ok(&c->iov[i]))
			fail_with("a piece outside of memory", f);
		bytes += c->iov[i].len;
	}
	if (bytes != (uint64_t)c->read_bytes + c->write_bytes)
		fail_with("wrong sum", f);
}

/* Pop what lies in the ring and hold it against what should be there. */
static void try(const struct field *f, const struct want *w)
{
	struct virtq_fault fault;
	int n;

	memcpy(&dev, &fresh, sizeof(dev));
	memcpy(scratch, scratch_fresh, sizeof(scratch));
	combos++;
	n = virtq_dev_pop(&dev, chains, RING_MAX + 1, iov, virtq_dev_max_iov(&dev));
	if (n > size || (n < 0 && n != VIRTQ_EBROKEN))
		fail_with("a strange number of chains", f);
	for (int i = 0; i < n; i++)
		chain_check(&chains[i], f);
	if (n < 0 && (!virtq_dev_fault(&dev, &fault) || fault.reason == VIRTQ_FAULT_NONE))
		fail_with("broken for no reason", f);
	if (n < 0 ? !w->broken : w->broken || (n == 0) != w->empty)
		fail_with(n < 0 ? "refused" : "accepted", f);
	if (n > 0 && (chains[0].read_bytes != w->read || chains[0].write_bytes != w->write))
		fail_with("other bytes than the descriptors say", f);
	if (virtq_dev_inflight(&dev) != (n > 0 ? (uint32_t)n : 0))
		fail_with("wrong count of chains that are out", f);
	good += n > 0;
	bad += n < 0;
	none += n == 0;
}

static void try_split(const struct field *f, uint16_t idx, uint16_t head)
{
	struct want w = want_split(f, idx, head);
	uint16_t *avail = (uint16_t *)regions[2].host;

	/* With more than one entry the others name other heads: only the first one's contents are compared. */
	avail[1] = idx;
	avail[2] = head;
	for (uint16_t i = 0; i < size; i++)
		desc_put((uint8_t *)regions[1].host + 16 * i, &f[i]);
	try(f, &w);
}

static void try_packed(const struct field *f)
{
	struct want w = want_packed(f);

	for (uint16_t i = 0; i < size; i++)
		desc_put((uint8_t *)regions[1].host + 16 * i, &f[i]);
	try(f, &w);
}

/* Alphabets. */

static const uint64_t addrs[] = {0, INSIDE, LAST, MEM_GPA + TABLE, UINT64_MAX};
static const uint32_t lens[] = {0, 1, 0x100, 0x101, 16, UINT32_MAX};
static const struct field spots[] = {{.addr = INSIDE, .len = 0x100},
                                     {.addr = INSIDE, .len = 0},
                                     {.addr = LAST, .len = 1},
                                     {.addr = LAST, .len = 2},
                                     {.addr = MEM_GPA + TABLE, .len = 16},
                                     {.addr = UINT64_MAX, .len = UINT32_MAX}};
/* Flags i of: the eight combinations; those with all reserved bits; packed: each with any of AVAIL and USED. */
static uint16_t flags_at(uint32_t i)
{
	uint16_t f = i % 9 == 8 ? 0x7f78 : (uint16_t)(i % 9);

	if (i / 9 & 1)
		f |= VIRTQ_DESC_AVAIL;
	if (i / 9 & 2)
		f |= VIRTQ_DESC_USED;
	return f;
}

static uint32_t nflags(void)
{
	return packed ? 36 : 9;
}

/* Value i of all that a descriptor may be; of those with few addresses and lengths. */
static struct field whole_at(uint32_t i)
{
	struct field f;

	f.addr = addrs[i % N(addrs)];
	i /= N(addrs);
	f.len = lens[i % N(lens)];
	i /= N(lens);
	f.flags = flags_at(i % nflags());
	f.extra = extra_at(i / nflags());
	return f;
}

static uint32_t nwhole(void)
{
	return N(addrs) * N(lens) * nflags() * extras();
}

static struct field few_at(uint32_t i)
{
	struct field f = spots[i % N(spots)];

	i /= N(spots);
	f.flags = flags_at(i % nflags());
	f.extra = extra_at(i / nflags());
	return f;
}

static uint32_t nfew(void)
{
	return N(spots) * nflags() * extras();
}

static void try_ring(const struct field *f)
{
	if (packed)
		try_packed(f);
	else
		try_split(f, 1, 0);
}

/* One descriptor, everything; in a split ring also every head and index. */
START_TEST(rings_of_one)
{
	static const uint16_t idxs[] = {0, 1, 2, 0x8000, 0xffff};
	static const uint16_t heads[] = {0, 1, 0x7fff, 0xffff};

	queue_make(_i, 1);
	for (uint32_t i = 0; i < nwhole(); i++) {
		struct field f = whole_at(i);

		if (packed)
			try_packed(&f);
		for (uint32_t k = 0; !packed && k < N(idxs) * N(heads); k++)
			try_split(&f, idxs[k % N(idxs)], heads[k / N(idxs)]);
	}
	counted(packed ? 3240 : 16200);
}
END_TEST

/* Two descriptors: all values of both; packed: of each beside some pairs of address and length of the other. */
START_TEST(rings_of_two)
{
	struct field f[2];
	uint32_t n;

	queue_make(_i, 2);
	n = packed ? nfew() : nwhole();
	for (uint32_t i = 0; i < nwhole(); i++)
		for (uint32_t k = 0; k < n; k++) {
			f[0] = whole_at(i);
			f[1] = packed ? few_at(k) : whole_at(k);
			try_ring(f);
			if (!packed)
				continue;
			f[1] = f[0];
			f[0] = few_at(k);
			try_ring(f);
		}
	counted(packed ? 7464960 : 1166400);
}
END_TEST

/*
 * Rings of three (packed) and four: each pair of descriptors takes the values that may matter, the others are links of
 * a chain through the whole ring.
 */
static struct field pair_at(uint32_t i)
{
	static const uint16_t flags[] = {0, 1, 2, 3, 4, 5, 0x7f79};
	struct field f = spots[i % 4 == 0 ? 5 : i % 4];

	i /= 4;
	f.flags = flags[i % 7];
	i /= 7;
	f.extra = extra_at(i % extras());
	if (packed && i / extras())
		f.flags |= VIRTQ_DESC_AVAIL;
	return f;
}

static uint32_t npairs(void)
{
	return 4 * 7 * extras() * (packed ? 2 : 1);
}

static void pair_try(uint16_t a, uint16_t b)
{
	struct field f[RING_MAX];

	for (uint16_t i = 0; i < size; i++)
		f[i] = (struct field){
			INSIDE, 8,
			(uint16_t)((i + 1 < size ? VIRTQ_DESC_NEXT : 0) | (packed ? VIRTQ_DESC_AVAIL : 0)),
			(uint16_t)(packed ? 1 : i + 1)};
	for (uint32_t i = 0; i < npairs(); i++)
		for (uint32_t k = 0; k < npairs(); k++) {
			f[a] = pair_at(i);
			f[b] = pair_at(k);
			try_ring(f);
		}
}

START_TEST(pairs_of_descriptors)
{
	static const struct {
		int packed;
		uint16_t size;
		unsigned long combos;
	} rings[] = {{0, 4, 169344}, {1, 3, 235200}, {1, 4, 677376}};

	queue_make(rings[_i].packed, rings[_i].size);
	for (uint16_t a = 0; a < size; a++)
		for (uint16_t b = (uint16_t)(a + 1); b < size; b++)
			pair_try(a, b);
	counted(rings[_i].combos);
}
END_TEST

/* Every shape of a chain through four descriptors: loops, links outside, tables in the middle, order. */
START_TEST(shapes_of_four)
{
	struct field kinds[32], f[RING_MAX];
	uint32_t n = 0;

	queue_make(0, 4);
	for (uint16_t flags = 0; flags < 8; flags++)
		for (uint32_t e = 0; e < (flags & VIRTQ_DESC_NEXT ? extras() : 1u); e++)
			if (!(flags & VIRTQ_DESC_INDIRECT) || e == 0)
				kinds[n++] = (struct field){flags & VIRTQ_DESC_INDIRECT ? MEM_GPA + TABLE : INSIDE,
				                            16, flags, extra_at(e)};
	for (uint32_t i = 0; i < n * n * n * n; i++) {
		uint32_t at = i;

		for (uint32_t k = 0; k < 4; k++, at /= n)
			f[k] = kinds[at % n];
		try_split(f, 1, 0);
	}
	counted(104976);
}
END_TEST

/* Indirect tables of up to two entries and more, in a ring of two; the lengths say so, or do not. */
START_TEST(tables)
{
	static const uint32_t table_lens[] = {16, 32, 48, 15, 0, 0xfffffff0};
	struct field f[2] = {{MEM_GPA + TABLE, 0, VIRTQ_DESC_INDIRECT, 0}, {INSIDE, 8, 0, 0}};
	uint32_t n;

	queue_make(_i, 2);
	f[0].flags |= packed ? VIRTQ_DESC_AVAIL : 0;
	n = N(spots) * 9 * 4; /* AVAIL and USED mean nothing here */
	for (uint32_t i = 0; i < n * n * N(table_lens); i++) {
		uint32_t at = i / N(table_lens), k;

		f[0].len = table_lens[i % N(table_lens)];
		for (k = 0; k < 2; k++, at /= n) {
			uint32_t v = at % n;
			struct field e = spots[v % N(spots)];

			e.flags = flags_at(v / N(spots) % 9);
			e.extra = extra_at(v / N(spots) / 9);
			desc_put(buffers + TABLE + 16 * k, &e);
		}
		try_ring(f);
	}
	counted(279936);
	memset(buffers, 0, PAGE);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("ring_small");
	TCase *tc = tcase_create("device side");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, rings_of_one, 0, 2);
	tcase_add_loop_test(tc, rings_of_two, 0, 2);
	tcase_add_loop_test(tc, pairs_of_descriptors, 0, 3);
	tcase_add_test(tc, shapes_of_four);
	tcase_add_loop_test(tc, tables, 0, 2);
	suite_add_tcase(s, tc);
	srunner_add_suite(runner, s);
}
