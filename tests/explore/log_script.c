/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two small scenarios without a ring. The dirty log: one side turns it on, then takes marks and copies pages; the other
 * writes and marks. Every write that found the log on must be in the copy or still be marked. The map: two sides use
 * it and drop their reference; who drops the last one must know of all that the other did.
 */
#include <stdlib.h>
#include <string.h>

#include "ring_script.h"

enum { LOG_AT = 0, BITS_AT = 8, READY_AT = 16, PAGE_AT = 24, REFS_AT = 32, DONE_AT = 40 };
enum { ROUNDS = 2, GPA = 0 };

static struct virtq_mem mem;
static struct virtq_region region;
static struct virtq_log log_switch;
static struct virtq_dirty dirty;

static struct {
	uint8_t pc;
	uint8_t pad;
	uint16_t copy;
	uint16_t pad2[2];
} taker;

static struct {
	uint8_t round;
	uint8_t marked; /* the last write was */
	uint16_t pad[3];
} marker;

static int taker_step(void)
{
	uintptr_t word;
	int64_t n;

	if (taker.pc == 0) {
		/* Stands for the fields of the log, which its users read without atomics. */
		ex_data_store(ex_base() + READY_AT, 1);
		virtq_log_set(&log_switch, &dirty);
		taker.pc++;
		return 0;
	}
	n = virtq_dirty_take(&dirty, 0, 1, &word);
	if (n < 0)
		ex_violation("the log could not be read");
	if (word & 1)
		taker.copy = ex_data_load(ex_base() + PAGE_AT);
	return taker.pc++ == 1 + ROUNDS;
}

static int marking;

static void before_marking(const struct op *op)
{
	/* Not again from within, and only where the log is about to be used. */
	if (op->kind != OP_OR || marking)
		return;
	marking = 1;
	if (ex_data_load(ex_base() + READY_AT) != 1)
		ex_violation("the log was used before it was set up");
	marking = 0;
}

static int marker_step(void)
{
	marking = 0;
	ex_before = before_marking;
	ex_data_store(ex_base() + PAGE_AT, (uint16_t)(marker.round + 1));
	marker.marked = 0;
	virtq_mem_mark(&mem, GPA + PAGE_AT, 2);
	ex_before = NULL;
	return ++marker.round == ROUNDS;
}

static void plain_setup(void)
{
	region = (struct virtq_region){.gpa = GPA, .len = 2 * CELLS, .host = ex_base()};
	if (virtq_mem_init(&mem, &region, 1) != 0)
		abort();
}

static void log_setup(const struct scenario *sc)
{
	(void)sc;
	memset(&taker, 0, sizeof(taker));
	memset(&marker, 0, sizeof(marker));
	memset(&log_switch, 0, sizeof(log_switch));
	plain_setup();
	virtq_mem_set_log(&mem, &log_switch);
	if (virtq_dirty_init(&dirty, 0, 12, (uintptr_t *)(void *)(ex_base() + BITS_AT), 1, NULL) != 0)
		abort();
	ex_alias(&log_switch.current, sizeof(log_switch.current), LOG_AT / 2);
	memset(log_scenario.two_writers, 1, sizeof(log_scenario.two_writers));
}

/* A mark was set after the copy, or the copy has the last write. Without any mark at all the log was still off. */
static const char *log_judge(void)
{
	if (ex_newest(BITS_AT / 2) & 1)
		return NULL;
	if (taker.copy == 0)
		return NULL;
	return taker.copy == ex_newest(PAGE_AT / 2) ? NULL : "a write is neither copied nor marked";
}

static const char *plain_cell(unsigned cell, char *buf, unsigned n)
{
	const char *name = "?";

	if (2 * cell == LOG_AT)
		name = "log switch";
	else if (2 * cell == BITS_AT)
		name = "bitmap";
	else if (2 * cell == READY_AT)
		name = "log's fields";
	else if (2 * cell == PAGE_AT)
		name = "page";
	else if (2 * cell == REFS_AT)
		name = "references";
	else if (2 * cell >= DONE_AT)
		name = 2 * cell == DONE_AT ? "first's data" : "second's data";
	strncpy(buf, name, n);
	return buf;
}

struct scenario log_scenario = {.setup = log_setup,
                                .step = {taker_step, marker_step},
                                .judge = log_judge,
                                .priv = {&taker, &marker},
                                .priv_bytes = {sizeof(taker), sizeof(marker)},
                                .cell_name = plain_cell,
                                .side_name = {"taker", "marker"}};

/* References. */

static struct {
	uint64_t unused;
} first, second;

static void map_release(struct virtq_mem *m, void *ctx)
{
	(void)m;
	(void)ctx;
	if (ex_data_load(ex_base() + DONE_AT) != 1 || ex_data_load(ex_base() + DONE_AT + 8) != 1)
		ex_violation("the map was released before its last use");
}

static int first_step(void)
{
	virtq_mem_ref(&mem);
	virtq_mem_unref(&mem);
	ex_data_store(ex_base() + DONE_AT, 1);
	virtq_mem_unref(&mem);
	return 1;
}

static int second_step(void)
{
	ex_data_store(ex_base() + DONE_AT + 8, 1);
	virtq_mem_unref(&mem);
	return 1;
}

static void map_setup(const struct scenario *sc)
{
	(void)sc;
	plain_setup();
	virtq_mem_set_release(&mem, map_release, NULL);
	ex_alias(&mem.refs, sizeof(mem.refs), REFS_AT / 2);
	*(volatile uint32_t *)&mem.refs = 0; /* the cells hold it */
	ex_data_store(ex_base() + REFS_AT, 2);
	memset(map_scenario.two_writers, 1, sizeof(map_scenario.two_writers));
}

static const char *map_judge(void)
{
	return ex_newest(REFS_AT / 2) == 0 ? NULL : "a reference is left";
}

struct scenario map_scenario = {.setup = map_setup,
                                .step = {first_step, second_step},
                                .judge = map_judge,
                                .priv = {&first, &second},
                                .priv_bytes = {sizeof(first), sizeof(second)},
                                .cell_name = plain_cell,
                                .side_name = {"first", "second"}};
