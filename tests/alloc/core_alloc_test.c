/* SPDX-License-Identifier: BSD-3-Clause */
/* The inner part of libvdev, when memory runs out: devices, queues, requests, saved states. */
#include <string.h>

#include "echo.h"
#include "rig.h"
#include "state_buffer.h"

static _Alignas(4096) uint8_t ram[2][RIG_RAM];
static int packed;  /* this round's layout */
static int xlat;    /* with translated addresses */
static int limited; /* with a rate limit, whose tokens are saved too and change with time */

/* A block device, and whoever drives it. */
struct rig {
	struct vdev_disk *disk;
	struct vdev *v;
	struct vdev_loopback *l;
};

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)ctx;
	(void)write;
	*out = (struct virtq_xlat){.iova = iova & ~(uint64_t)0xfff, .len = 0x1000, .perm = 3};
	out->gpa = out->iova;
	return 0;
}

static const struct virtq_xlat_ops xlat_ops = {.size = sizeof(xlat_ops), .translate = translate};

static int rig_make(struct rig *r, unsigned which)
{
	struct vdev_blk_config blk = {.size = sizeof(blk), .nqueues = 2, .queue_max = 32};
	struct vdev_loopback_config cfg = {.size = sizeof(cfg),
	                                   .memory = ram[which],
	                                   .bytes = RIG_RAM,
	                                   .gpa = RIG_GPA,
	                                   .wanted.word[0] = UINT32_MAX,
	                                   .indirect_max = 8};
	int rc;

	if (limited)
		blk.limit = (struct vdev_blk_limit){.ops_per_s = 1000000, .bytes_per_s = 1000000000};
	cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_VERSION_1;
	if (packed)
		cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_RING_PACKED;
	if (xlat)
		cfg.wanted.word[0] |= (uint64_t)1 << VIRTQ_F_ACCESS_PLATFORM;
	do
		rc = vdev_disk_mem_new(&r->disk, inject_env(), NULL, RIG_DISK);
	while (inject_again(rc));
	if (rc < 0)
		return rc;
	rc = rig_blk(&r->v, r->disk, &blk);
	if (rc == 0 && xlat)
		ck_assert_int_eq(vdev_set_xlat(r->v, &xlat_ops), 0);
	return rc < 0 ? rc : rig_loopback(&r->l, r->v, &cfg);
}

static void request(struct rig *r, unsigned q, uint8_t type, uint8_t sector, uint8_t byte)
{
	ck_assert_int_eq(rig_request(r->l, q, type, sector, byte), 0);
}

static void requests(struct rig *r)
{
	for (uint8_t q = 0; q < 2; q++) {
		request(r, q, 1, (uint8_t)(q + 3), (uint8_t)(0x11 + q));
		request(r, q, 0, (uint8_t)(q + 3), (uint8_t)(0x11 + q));
		request(r, q, 4, 0, 0);
	}
}

/* --- scenarios ------------------------------------------------------------------------------------ */

static int make_echo(void)
{
	static struct echo echo;
	int rc;

	do
		rc = echo_new(&echo, inject_env(), 3, 64);
	while (inject_again(rc));
	if (rc == 0)
		ck_assert_int_eq(vdev_free(echo.v), 0);
	return rc;
}

static int make_disks(void)
{
	struct vdev_disk *null = NULL, *mem = NULL;
	static uint8_t base[4096];
	int rc;

	do
		rc = vdev_disk_null_new(&null, inject_env(), RIG_DISK);
	while (inject_again(rc));
	vdev_disk_free(null);
	if (rc < 0)
		return rc;
	do
		rc = vdev_disk_mem_new(&mem, inject_env(), base, sizeof(base));
	while (inject_again(rc));
	vdev_disk_free(mem);
	return rc;
}

static int run_blk(void)
{
	struct rig r = {NULL, NULL, NULL};
	int rc = rig_make(&r, 0);

	for (int round = 0; rc == 0 && round < 2; round++) {
		rc = rig_start(r.l);
		if (rc < 0)
			break;
		requests(&r);
		/* None of these needs memory either. */
		ck_assert_int_eq(vdev_blk_set_limit(r.v, &(struct vdev_blk_limit){.ops_per_s = 500000}), 0);
		ck_assert_int_eq(vdev_blk_resized(r.v), 0);
		requests(&r);
		ck_assert_int_eq(vdev_loopback_reset(r.l), 0);
	}
	rig_free(r.disk, r.v, r.l);
	return rc;
}

/* A queue that is reset and started again while the other one runs. */
static int queue_again(void)
{
	struct rig r = {NULL, NULL, NULL};
	struct vdev_queue_setup setup;
	int rc = rig_make(&r, 0);

	if (rc == 0)
		rc = rig_start(r.l);
	if (rc == 0) {
		requests(&r);
		memset(&setup, 0, sizeof(setup));
		virtq_drv_state(vdev_loopback_drv(r.l, 1), &setup.state);
		ck_assert_int_eq(vdev_queue_reset(r.v, 1), 0);
		request(&r, 0, 1, 9, 0x44);
		memset(ram[0] + (setup.state.desc - RIG_GPA), 0, 32 * 16);
		do
			rc = vdev_queue_start(r.v, 1, &setup);
		while (inject_again(rc));
		request(&r, 0, 0, 9, 0x44);
	}
	rig_free(r.disk, r.v, r.l);
	return rc;
}

static int save_and_load(void)
{
	static struct state_buffer saved, again;
	struct rig a = {NULL, NULL, NULL}, b = {NULL, NULL, NULL};
	int rc = rig_make(&a, 0);

	if (rc == 0)
		rc = rig_make(&b, 1);
	if (rc == 0)
		rc = rig_start(a.l);
	if (rc < 0)
		goto out;
	requests(&a);
	ck_assert_int_eq(vdev_function_quiesce(vdev_function(a.v)), 0);
	do
		rc = vdev_function_save(vdev_function(a.v), state_buffer_init(&saved));
	while (inject_again(rc));
	if (rc < 0)
		goto out;
	memcpy(ram[1], ram[0], RIG_RAM);
	do {
		saved.pos = 0;
		rc = vdev_function_load(vdev_function(b.v), &saved.stream);
		/* Refused as a whole: the target is as it was. */
		ck_assert(rc == 0 || (vdev_status(b.v) == 0 && !vdev_queue_started(b.v, 0)));
	} while (inject_again(rc));
	if (rc < 0)
		goto out;
	do
		rc = vdev_function_save(vdev_function(b.v), state_buffer_init(&again));
	while (inject_again(rc));
	ck_assert_int_eq(vdev_function_resume(vdev_function(b.v)), 0);
	if (vdev_queue_broken(b.v, 0) || vdev_queue_broken(b.v, 1)) {
		/* No room for a ring that ran: its driver is told, and may begin again. */
		ck_assert(inject_hit());
		ck_assert(vdev_status(b.v) & VIRTQ_STATUS_NEEDS_RESET);
		rc = rig_start(b.l);
		if (rc == 0)
			requests(&b);
	} else if (rc == 0) {
		ck_assert(saved.len == again.len && memcmp(saved.bytes, again.bytes, saved.len) == 0);
		ck_assert(vdev_queue_started(b.v, 0) && vdev_queue_started(b.v, 1));
	}
	ck_assert_int_eq(vdev_function_resume(vdev_function(a.v)), 0);
	requests(&a);
out:
	rig_free(a.disk, a.v, a.l);
	rig_free(b.disk, b.v, b.l);
	return rc;
}

START_TEST(devices_are_made_or_not)
{
	inject_run("echo", make_echo, 1);
	inject_run("disks", make_disks, 2);
}
END_TEST

START_TEST(block_devices_run_or_say_why_not)
{
	packed = _i & 1;
	xlat = _i >> 1;
	limited = 1;
	/* Disk 2, device 2, loopback 2; twice two queues with scratch, pieces, the model's and the driver's own. */
	inject_run("blk", run_blk, 14);
	inject_run("queue again", queue_again, 10);
}
END_TEST

START_TEST(states_are_loaded_whole_or_not_at_all)
{
	packed = _i;
	xlat = 0;
	inject_run("save and load", save_and_load, 16);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *s = suite_create("core_alloc");
	TCase *t = tcase_create("core");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, devices_are_made_or_not);
	tcase_add_loop_test(t, block_devices_run_or_say_why_not, 0, 4);
	suite_add_tcase(s, t);
	t = tcase_create("states");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, states_are_loaded_whole_or_not_at_all, 0, 2);
	suite_add_tcase(s, t);
	srunner_add_suite(runner, s);
}
