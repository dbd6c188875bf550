/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI of a PC as firmware would set it up: ports 0xcf8 and 0xcfc, addresses for BARs. */
#include <string.h>

#include "qtest.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define MEMORY_WINDOW  UINT64_C(0xe0000000)
#define PORT_WINDOW    UINT64_C(0xc000)

static uint32_t select_register(struct qtest_pci *p, uint32_t at)
{
	qtest_write(p->q, 1, CONFIG_ADDRESS, 4, UINT32_C(1) << 31 | p->slot << 11 | (at & 0xfc));
	return CONFIG_DATA + (at & 3);
}

uint32_t qtest_pci_config_read(struct qtest_pci *p, uint32_t at, uint32_t width)
{
	uint32_t port = select_register(p, at);

	return qtest_read(p->q, 1, port, width);
}

void qtest_pci_config_write(struct qtest_pci *p, uint32_t at, uint32_t width, uint32_t value)
{
	uint32_t port = select_register(p, at);

	qtest_write(p->q, 1, port, width, value);
}

static uint64_t align_up(uint64_t x, uint64_t to)
{
	return (x + to - 1) / to * to;
}

/* Size one BAR and place it; returns how many registers it has. */
static unsigned place_bar(struct qtest_pci *p, unsigned bar, uint64_t *memory, uint64_t *ports)
{
	uint32_t at = 0x10 + 4 * bar, low, high = UINT32_MAX;
	uint64_t mask, *next;
	unsigned wide;

	qtest_pci_config_write(p, at, 4, UINT32_MAX);
	low = qtest_pci_config_read(p, at, 4);
	if (low == 0)
		return 1;
	p->bar[bar].port = low & 1;
	wide = !p->bar[bar].port && (low & 6) == 4 && bar < 5;
	if (wide) {
		qtest_pci_config_write(p, at + 4, 4, UINT32_MAX);
		high = qtest_pci_config_read(p, at + 4, 4);
	}
	mask = (uint64_t)high << 32 | (low & (p->bar[bar].port ? ~3u : ~15u));
	if (p->bar[bar].port)
		mask |= UINT32_C(0xffff0000);
	p->bar[bar].bytes = ~mask + 1;
	next = p->bar[bar].port ? ports : memory;
	*next = align_up(*next, p->bar[bar].bytes);
	p->bar[bar].addr = *next;
	*next += p->bar[bar].bytes;
	qtest_pci_config_write(p, at, 4, (uint32_t)p->bar[bar].addr);
	if (wide)
		qtest_pci_config_write(p, at + 4, 4, (uint32_t)(p->bar[bar].addr >> 32));
	return 1 + wide;
}

int qtest_pci_find(struct qtest_pci *p, struct qtest *q, uint16_t vendor)
{
	uint64_t memory = MEMORY_WINDOW, ports = PORT_WINDOW;

	memset(p, 0, sizeof(*p));
	p->q = q;
	for (p->slot = 0; p->slot < 32; p->slot++)
		if ((qtest_pci_config_read(p, 0, 4) & 0xffff) == vendor)
			break;
	if (p->slot == 32)
		return -1;
	for (unsigned bar = 0; bar < 6;)
		bar += place_bar(p, bar, &memory, &ports);
	return q->lost == NULL ? 0 : -1;
}

static uint32_t config_read(void *ctx, uint32_t at, uint32_t width)
{
	return qtest_pci_config_read(ctx, at, width);
}

static void config_write(void *ctx, uint32_t at, uint32_t width, uint32_t value)
{
	qtest_pci_config_write(ctx, at, width, value);
}

static uint64_t bar_bytes(void *ctx, unsigned bar)
{
	return ((struct qtest_pci *)ctx)->bar[bar].bytes;
}

static uint32_t bar_read(void *ctx, unsigned bar, uint64_t at, uint32_t width)
{
	struct qtest_pci *p = ctx;

	return qtest_read(p->q, p->bar[bar].port, p->bar[bar].addr + at, width);
}

static void bar_write(void *ctx, unsigned bar, uint64_t at, uint32_t width, uint32_t value)
{
	struct qtest_pci *p = ctx;

	qtest_write(p->q, p->bar[bar].port, p->bar[bar].addr + at, width, value);
}

struct vdev_pci_access qtest_pci_access(struct qtest_pci *p, int bars)
{
	struct vdev_pci_access a = {
		.size = sizeof(a), .config_read = config_read, .config_write = config_write, .ctx = p};

	if (bars) {
		a.bar_bytes = bar_bytes;
		a.bar_read = bar_read;
		a.bar_write = bar_write;
	}
	return a;
}
