/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_QTEST_H
#define TESTS_SUPPORT_QTEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vdev/pci_driver.h>

/*
 * A client of QEMU's qtest protocol: a machine without a guest, whose processor halts at its first
 * instruction, and whose ports and memory are reached by commands. The machine's memory is shared
 * with us, so that rings in it are real. Every answer has a deadline; after the first that does not
 * come, or is nonsense, the machine counts as lost: reads give all ones, and lost says why.
 */
struct qtest {
	pid_t pid;
	int fd;      /* commands */
	int monitor; /* QMP */
	uint8_t *ram;
	size_t ram_bytes;
	char in[4096]; /* answers received, not yet looked at */
	size_t nin;
	uint64_t irqs; /* raised, of what irq_intercept_* was asked for */
	const char *lost;
};

#define QTEST_DEADLINE_MS 30000

/* Start QEMU with these further arguments (NULL at the end). Machine: "pc", "q35", "microvm", ... */
int qtest_start(struct qtest *q, const char *qemu, const char *machine, size_t ram_bytes,
                const char *const *args);
/* End it: politely, or by the KILL signal. Everything written to its disks is in their files. */
void qtest_stop(struct qtest *q, int politely);
/* The process is gone, and what it shared stays: for tests of that. */
void qtest_kill(struct qtest *q);

/* One command; 0, or -1. The value of the answer goes to value unless that is NULL. */
int qtest_command(struct qtest *q, uint64_t *value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A QMP command (one object), and its return; -1 for an error. */
int qtest_qmp(struct qtest *q, const char *command);
/* Until this event came. */
int qtest_qmp_event(struct qtest *q, const char *event);

/* Ports (1) or memory (0), width 1, 2 or 4. */
uint32_t qtest_read(struct qtest *q, int port, uint64_t addr, uint32_t width);
void qtest_write(struct qtest *q, int port, uint64_t addr, uint32_t width, uint32_t value);
/* Memory by qtest's own base64 way, to compare with the mapping. 0 or -1. */
int qtest_read_bytes(struct qtest *q, uint64_t addr, void *to, size_t bytes);

/* A PCI function on bus 0 of a PC. */
struct qtest_pci {
	struct qtest *q;
	unsigned slot;
	struct {
		uint64_t addr, bytes;
		int port;
	} bar[6];
};

/* Find the function of this vendor, give its BARs addresses. 0, or -1: there is none. */
int qtest_pci_find(struct qtest_pci *p, struct qtest *q, uint16_t vendor);
uint32_t qtest_pci_config_read(struct qtest_pci *p, uint32_t at, uint32_t width);
void qtest_pci_config_write(struct qtest_pci *p, uint32_t at, uint32_t width, uint32_t value);
/* For vdev_pci_driver_init(); without BARs the window is used. */
struct vdev_pci_access qtest_pci_access(struct qtest_pci *p, int bars);

#endif
