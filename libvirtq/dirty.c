/* SPDX-License-Identifier: BSD-3-Clause */
#include <virtq/dirty.h>

#include "arch.h"

#define WORD_BITS (sizeof(uintptr_t) * 8)

/* Where page n's bit is in its word, so that the bytes come out as bit n%8 of byte n/8. */
static inline unsigned bit_of(uint64_t page)
{
	unsigned n = (unsigned)(page % WORD_BITS);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return (unsigned)(sizeof(uintptr_t) - 1 - n / 8) * 8 + n % 8;
#else
	return n;
#endif
}

int virtq_dirty_init(struct virtq_dirty *d, uint64_t base, uint32_t page_shift, uintptr_t *words,
                     size_t nwords, const struct virtq_dirty_hooks *hooks)
{
	if (words == NULL || nwords == 0 || page_shift > 30 || base % ((uint64_t)1 << page_shift) != 0)
		return VIRTQ_EINVAL;
	if ((uint64_t)nwords > UINT64_MAX / WORD_BITS)
		return VIRTQ_EINVAL;
	if (hooks != NULL &&
	    (hooks->size < sizeof(*hooks) || hooks->or_word == NULL || hooks->take_word == NULL))
		return VIRTQ_EINVAL;
	if (!ATOMIC_RMW && hooks == NULL)
		return VIRTQ_EINVAL;
	*d = (struct virtq_dirty){.words = words,
	                          .nwords = nwords,
	                          .base = base,
	                          .npages = (uint64_t)nwords * WORD_BITS,
	                          .page_shift = page_shift,
	                          .hooks = hooks};
	return 0;
}

/*
 * The data was written before the mark is set (release), and whoever takes the mark copies the page afterwards
 * (acquire): a mark that is set too late for one round is found in the next.
 */
static inline void or_word(struct virtq_dirty *d, uint64_t word, uintptr_t bits)
{
	if (d->hooks != NULL)
		d->hooks->or_word(d->hooks->ctx, &d->words[word], bits);
	else
		fetch_or(&d->words[word], bits);
}

void virtq_dirty_mark(struct virtq_dirty *d, uint64_t addr, uint64_t len)
{
	uint64_t page, last;

	if (len == 0)
		return;
	if (len - 1 > UINT64_MAX - addr)
		len = UINT64_MAX - addr + 1;
	last = addr + (len - 1);
	if (addr < d->base || (last - d->base) >> d->page_shift >= d->npages)
		fetch_add(&d->outside, 1);
	if (last < d->base)
		return;
	page = addr < d->base ? 0 : (addr - d->base) >> d->page_shift;
	last = (last - d->base) >> d->page_shift;
	if (last >= d->npages)
		last = d->npages - 1;
	while (page <= last) {
		uint64_t word = page / WORD_BITS;
		uintptr_t bits = 0;

		for (; page <= last && page / WORD_BITS == word; page++)
			bits |= (uintptr_t)1 << bit_of(page);
		or_word(d, word, bits);
	}
}

static inline uintptr_t take_word(struct virtq_dirty *d, size_t word)
{
	if (d->hooks != NULL)
		return d->hooks->take_word(d->hooks->ctx, &d->words[word]);
	if (load_once(&d->words[word]) == 0)
		return 0; /* no need to take the cache line from the markers */
	return exchange(&d->words[word], 0);
}

int64_t virtq_dirty_take(struct virtq_dirty *d, size_t first, size_t nwords, uintptr_t *out)
{
	int64_t pages = 0;

	if (first > d->nwords || nwords > d->nwords - first)
		return VIRTQ_EINVAL;
	for (size_t i = 0; i < nwords; i++) {
		out[i] = take_word(d, first + i);
		for (uintptr_t w = out[i]; w != 0; w &= w - 1)
			pages++;
	}
	return pages;
}

uint32_t virtq_dirty_outside(const struct virtq_dirty *d)
{
	return load_once(&d->outside);
}

void virtq_log_set(struct virtq_log *log, struct virtq_dirty *d)
{
	store_release(&log->current, d);
}
