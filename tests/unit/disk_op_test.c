/* SPDX-License-Identifier: BSD-3-Clause */
/* What an operation's next system call is, given what the last one returned: without any file. */
#include "check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libvdev/backends/disk/file.h"

static struct file_disk disk;
static struct file_channel channel = {.disk = &disk};
static struct virtq_iov iov[3];
static _Alignas(4096) uint8_t memory[3][8192];
static struct vdev_disk_io io;
static struct file_step step;

static void begin(int op, unsigned flags, uint64_t len)
{
	disk.block_size = 512;
	disk.mem_align = 512;
	disk.end = INT64_MAX;
	disk.fd = -1; /* there is none to look at */
	for (int i = 0; i < 3; i++)
		iov[i] = (struct virtq_iov){.base = memory[i], .len = 4096};
	io = (struct vdev_disk_io){.op = (uint8_t)op,
	                           .flags = (uint8_t)flags,
	                           .niov = 3,
	                           .iov = iov,
	                           .offset = 8192,
	                           .len = len};
	ck_assert_int_eq(file_op_begin(&channel, &io), 0);
	file_op_step(&io, &step);
}

/* The last step returned this; returns whether there is a next one. */
static int next(int result)
{
	if (!file_op_advance(&io, result))
		return 0;
	file_op_step(&io, &step);
	return 1;
}

START_TEST(short_transfers_go_on_where_they_ended)
{
	begin(VDEV_DISK_READ, 0, 12288);
	ck_assert_int_eq(step.kind, FILE_READ);
	ck_assert_uint_eq(step.niov, 3);
	ck_assert_uint_eq(step.offset, 8192);
	ck_assert_int_eq(next(100), 1);
	ck_assert_uint_eq(step.niov, 0); /* the rest of the first piece */
	ck_assert_ptr_eq(step.buf, memory[0] + 100);
	ck_assert_uint_eq(step.len, 3996);
	ck_assert_uint_eq(step.offset, 8292);
	ck_assert_int_eq(next(3996), 1);
	ck_assert_uint_eq(step.niov, 2);
	ck_assert_ptr_eq(step.iov, &iov[1]);
	ck_assert_int_eq(next(4096 + 4095), 1);
	ck_assert_ptr_eq(step.buf, memory[2] + 4095);
	ck_assert_uint_eq(step.len, 1);
	ck_assert_int_eq(next(1), 0);
	ck_assert_int_eq(file_op(&io)->result, 0);
}
END_TEST

START_TEST(interrupted_calls_are_repeated_but_not_for_ever)
{
	int n = 0;

	begin(VDEV_DISK_WRITE, VDEV_DISK_FUA, 12288);
	ck_assert_int_eq(step.rw_flags, RWF_DSYNC);
	ck_assert_int_eq(next(-EINTR), 1);
	ck_assert_int_eq(next(-EAGAIN), 1);
	ck_assert_uint_eq(step.offset, 8192);
	while (next(-EAGAIN))
		ck_assert_int_lt(n++, 100000);
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_EIO);
	begin(VDEV_DISK_WRITE, 0, 12288);
	ck_assert_int_eq(step.rw_flags, 0);
	ck_assert_int_eq(next(0), 0); /* no progress and no error: never again */
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_EIO);
}
END_TEST

START_TEST(direct_transfers_go_on_at_blocks)
{
	disk.direct = 1;
	begin(VDEV_DISK_READ, 0, 12288);
	ck_assert_int_eq(next(4096 + 700), 1);
	ck_assert_uint_eq(step.offset, 8192 + 4096 + 512);
	ck_assert_ptr_eq(step.buf, memory[1] + 512);
	ck_assert_int_eq(next(511), 0); /* not even a block: the end of the file */
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_EIO);
	ck_assert_int_eq(file_op(&io)->error, ENODEV);
	disk.direct = 0;
	/* Nothing is written beyond what is known to be there. */
	disk.end = 8192 + 12287;
	io.op = VDEV_DISK_WRITE;
	ck_assert_int_eq(file_op_begin(&channel, &io), VIRTQ_EIO);
	disk.end++;
	ck_assert_int_eq(file_op_begin(&channel, &io), 0);
}
END_TEST

START_TEST(zeroes_fall_back_step_by_step)
{
	uint64_t left = 700 * 1024, at = 8192;

	disk.no_punch = 0;
	disk.no_zero_range = 0;
	disk.no_allocate = 0;
	begin(VDEV_DISK_WRITE_ZEROES, VDEV_DISK_UNMAP | VDEV_DISK_FUA, left);
	ck_assert_int_eq(step.kind, FILE_ALLOCATE);
	ck_assert_int_eq(step.mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	ck_assert_uint_eq(step.len, left);
	ck_assert_int_eq(next(-EOPNOTSUPP), 1);
	ck_assert_int_eq(step.mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	ck_assert_int_eq(next(-EOPNOTSUPP), 1);
	while (left > 0) {
		uint64_t bytes = 0;

		ck_assert_int_eq(step.kind, FILE_WRITE);
		ck_assert_int_eq(step.rw_flags, RWF_DSYNC);
		ck_assert_uint_eq(step.offset, at);
		for (unsigned i = 0; i < step.niov; i++)
			bytes += step.iov[i].iov_len;
		ck_assert_uint_le(bytes, left);
		ck_assert_uint_le(bytes, 1 << 20); /* bounded */
		bytes = bytes > 5000 ? bytes - 3000 : bytes;
		left -= bytes;
		at += bytes;
		if (left < 4096 && left > 0) {
			ck_assert_int_eq(next((int)bytes), 1);
			ck_assert_uint_eq(step.niov, 0);
			ck_assert_uint_eq(step.len, left);
			bytes = left;
			left = 0;
		}
		ck_assert_int_eq(next((int)bytes), left > 0);
	}
	ck_assert_int_eq(file_op(&io)->result, 0);
	/* Remembered: not tried again. */
	begin(VDEV_DISK_WRITE_ZEROES, VDEV_DISK_UNMAP, 4096);
	ck_assert_int_eq(step.kind, FILE_WRITE);
	ck_assert_int_eq(step.rw_flags, 0);
}
END_TEST

/* A hole reads as zeroes; given space again it is what zeroes that may not unmap are to be. */
START_TEST(zeroes_are_a_hole_filled_rather_than_written)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	const uint64_t len = (uint64_t)2 << 30;

	disk.no_punch = 0;
	disk.no_zero_range = 0;
	disk.no_allocate = 0;
	begin(VDEV_DISK_WRITE_ZEROES, VDEV_DISK_FUA, len);
	ck_assert_int_eq(step.mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	ck_assert_int_eq(next(-EOPNOTSUPP), 1);
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(step.kind, FILE_ALLOCATE);
		ck_assert_int_eq(step.mode, punch);
		ck_assert_int_eq(next(-EINTR), 1);
		ck_assert_int_eq(next(0), 1);
		ck_assert_int_eq(step.kind, FILE_ALLOCATE);
		ck_assert_int_eq(step.mode, FALLOC_FL_KEEP_SIZE);
		ck_assert_uint_eq(step.offset, 8192);
		ck_assert_uint_eq(step.len, len);
		/* Once it is settled, the second time there is no space. */
		if (round == 0) {
			ck_assert_int_eq(next(0), 1);
			ck_assert_int_eq(step.kind, FILE_SYNC);
			ck_assert_int_eq(next(0), 0);
			ck_assert_int_eq(file_op(&io)->result, 0);
			begin(VDEV_DISK_WRITE_ZEROES, 0, len); /* ZERO_RANGE is not tried again */
		}
	}
	ck_assert_int_eq(next(-ENOSPC), 0);
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_ENOSPC);
	ck_assert_int_eq(file_op(&io)->error, ENOSPC);
	begin(VDEV_DISK_WRITE_ZEROES, 0, len);
	ck_assert_int_eq(next(0), 1);
	ck_assert_int_eq(next(0), 0);
	ck_assert_int_eq(file_op(&io)->result, 0);
	/* A hole that can't be filled is written; those after it are written at once. */
	for (int round = 0; round < 2; round++) {
		begin(VDEV_DISK_WRITE_ZEROES, 0, 4096);
		if (round == 0) {
			ck_assert_int_eq(next(0), 1);
			ck_assert_int_eq(next(-EOPNOTSUPP), 1);
		}
		ck_assert_int_eq(step.kind, FILE_WRITE);
		ck_assert_uint_eq(step.offset, 8192);
		ck_assert_int_eq(next(4096), 0);
		ck_assert_int_eq(file_op(&io)->result, 0);
	}
	ck_assert_int_eq(disk.no_punch, 0);
	/* One that can't be made is written as well. */
	disk.no_allocate = 0;
	begin(VDEV_DISK_WRITE_ZEROES, 0, 4096);
	ck_assert_int_eq(step.mode, punch);
	ck_assert_int_eq(next(-EOPNOTSUPP), 1);
	ck_assert_int_eq(step.kind, FILE_WRITE);
	ck_assert_int_eq(disk.no_punch, 1);
}
END_TEST

START_TEST(discards_are_hints_and_fua_settles)
{
	disk.no_punch = 0;
	begin(VDEV_DISK_DISCARD, 0, 4096);
	ck_assert_int_eq(step.mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	ck_assert_int_eq(next(-EOPNOTSUPP), 0);
	ck_assert_int_eq(file_op(&io)->result, 0);
	disk.no_punch = 0;
	begin(VDEV_DISK_DISCARD, VDEV_DISK_FUA, 4096);
	ck_assert_int_eq(next(0), 1);
	ck_assert_int_eq(step.kind, FILE_SYNC);
	ck_assert_int_eq(next(0), 0);
	ck_assert_int_eq(file_op(&io)->result, 0);
	begin(VDEV_DISK_FLUSH, 0, 0);
	ck_assert_int_eq(step.kind, FILE_SYNC);
	ck_assert_int_eq(next(-EIO), 0);
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_EIO);
}
END_TEST

static int last_event, last_error;

static void on_event(void *ctx, int event, int error)
{
	(void)ctx;
	last_event = event;
	last_error = error;
}

START_TEST(errors_have_meanings)
{
	static const struct {
		int error, result, event;
	} rows[] = {
		{ENOSPC, VIRTQ_ENOSPC, VDEV_DISK_FULL},   {EDQUOT, VIRTQ_ENOSPC, VDEV_DISK_FULL},
		{EFBIG, VIRTQ_ENOSPC, VDEV_DISK_FULL},    {EIO, VIRTQ_EIO, VDEV_DISK_FAILED},
		{ENOMEM, VIRTQ_ENOMEM, VDEV_DISK_FAILED}, {ESTALE, VIRTQ_EIO, VDEV_DISK_GONE},
		{ENXIO, VIRTQ_EIO, VDEV_DISK_GONE},       {EINVAL, VIRTQ_EIO, VDEV_DISK_FAILED},
	};

	pthread_mutex_init(&disk.lock, NULL);
	disk.fn = on_event;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(VDEV_DISK_WRITE, 0, 12288);
		ck_assert_int_eq(next(-rows[i].error), 0);
		ck_assert_int_eq(file_op(&io)->result, rows[i].result);
		last_event = -1;
		file_op_report(&io);
		ck_assert_int_eq(last_event, rows[i].event);
		ck_assert_int_eq(last_error, -rows[i].error);
	}
	/* A device has no room to run out of: it has become smaller. */
	disk.block_device = 1;
	begin(VDEV_DISK_WRITE, 0, 12288);
	ck_assert_int_eq(next(-ENOSPC), 0);
	file_op_report(&io);
	ck_assert_int_eq(last_event, VDEV_DISK_GONE);
	disk.block_device = 0;
	pthread_mutex_destroy(&disk.lock);
}
END_TEST

/* A failed sync is the last that the kernel tells of lost data; whoever asks again must not be told that all is well. */
START_TEST(a_lost_sync_is_not_forgotten)
{
	static const struct {
		uint8_t op, flags, steps; /* steps: that go well before the one which fails */
		int error, lost, event;
	} rows[] = {
		{VDEV_DISK_FLUSH, 0, 0, EIO, 1, VDEV_DISK_FAILED},
		{VDEV_DISK_FLUSH, 0, 0, ENOSPC, 1, VDEV_DISK_FAILED}, /* nothing that space would mend */
		{VDEV_DISK_FLUSH, 0, 0, ENODEV, 1, VDEV_DISK_GONE},
		{VDEV_DISK_FLUSH, 0, 0, EINTR, 1, VDEV_DISK_FAILED}, /* for ever */
		{VDEV_DISK_DISCARD, VDEV_DISK_FUA, 1, EIO, 1, VDEV_DISK_FAILED},
		{VDEV_DISK_WRITE_ZEROES, VDEV_DISK_FUA, 1, EIO, 1, VDEV_DISK_FAILED},
		{VDEV_DISK_WRITE, VDEV_DISK_FUA, 0, EIO, 1, VDEV_DISK_FAILED},
		{VDEV_DISK_WRITE, VDEV_DISK_FUA, 0, ENOSPC, 0, VDEV_DISK_FULL},
		{VDEV_DISK_WRITE, VDEV_DISK_FUA, 0, EFAULT, 0, VDEV_DISK_FAILED},
		{VDEV_DISK_WRITE, 0, 0, EIO, 0, VDEV_DISK_FAILED},
		{VDEV_DISK_READ, VDEV_DISK_FUA, 0, EIO, 0, VDEV_DISK_FAILED},
		{VDEV_DISK_WRITE_ZEROES, VDEV_DISK_FUA, 0, EIO, 0, VDEV_DISK_FAILED},
	};

	pthread_mutex_init(&disk.lock, NULL);
	disk.fn = on_event;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = 0;

		atomic_store(&disk.sync_lost, 0);
		last_event = -1;
		begin(rows[i].op, rows[i].flags, rows[i].op == VDEV_DISK_FLUSH ? 0 : 12288);
		for (int k = 0; k < rows[i].steps; k++)
			ck_assert_int_eq(next(0), 1);
		while (next(-rows[i].error))
			ck_assert_int_lt(n++, 100000);
		ck_assert_int_lt(file_op(&io)->result, 0);
		file_op_report(&io);
		ck_assert_int_eq(last_event, rows[i].event);
		ck_assert_int_eq(last_error, -rows[i].error);
		ck_assert_int_eq(atomic_load(&disk.sync_lost), rows[i].lost);
		io.op = VDEV_DISK_FLUSH;
		ck_assert_int_eq(file_op_begin(&channel, &io), rows[i].lost ? VIRTQ_EIO : 0);
		last_event = -1;
		file_op_report(&io); /* has been told */
		ck_assert_int_eq(last_event, -1);
		io.op = VDEV_DISK_WRITE;
		ck_assert_int_eq(file_op_begin(&channel, &io),
		                 rows[i].lost && (rows[i].flags & VDEV_DISK_FUA) ? VIRTQ_EIO : 0);
		io.flags = 0;
		ck_assert_int_eq(file_op_begin(&channel, &io), 0);
	}
	pthread_mutex_destroy(&disk.lock);
}
END_TEST

/* Of two flushes at once the kernel tells one. The other has not kept its promise either. */
START_TEST(syncs_under_way_fail_with_the_lost_one)
{
	static const struct {
		uint8_t op, flags, dsync;
		int moved, result;
	} rows[] = {
		{VDEV_DISK_FLUSH, 0, 0, 0, VIRTQ_EIO},
		{VDEV_DISK_WRITE, VDEV_DISK_FUA, 0, 12288, VIRTQ_EIO},
		{VDEV_DISK_WRITE, 0, 1, 12288, VIRTQ_EIO},
		{VDEV_DISK_WRITE_ZEROES, VDEV_DISK_FUA, 0, 0, VIRTQ_EIO},
		{VDEV_DISK_WRITE, 0, 0, 12288, 0},
		{VDEV_DISK_READ, VDEV_DISK_FUA, 0, 12288, 0},
	};
	struct vdev_disk_io failing = {.op = VDEV_DISK_FLUSH};

	pthread_mutex_init(&disk.lock, NULL);
	disk.fn = on_event;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		atomic_store(&disk.sync_lost, 0);
		disk.dsync = rows[i].dsync;
		ck_assert_int_eq(file_op_begin(&channel, &failing), 0);
		begin(rows[i].op, rows[i].flags, rows[i].op == VDEV_DISK_FLUSH ? 0 : 12288);
		if (rows[i].op == VDEV_DISK_WRITE_ZEROES)
			ck_assert_int_eq(next(0), 1);
		ck_assert_int_eq(file_op_advance(&failing, -EIO), 0);
		ck_assert_int_eq(next(rows[i].moved), 0);
		ck_assert_int_eq(file_op(&io)->result, rows[i].result);
		last_event = -1;
		file_op_report(&io);
		ck_assert_int_eq(last_event, -1);
	}
	/* Both are told: one event. */
	atomic_store(&disk.sync_lost, 0);
	ck_assert_int_eq(file_op_begin(&channel, &failing), 0);
	begin(VDEV_DISK_FLUSH, 0, 0);
	ck_assert_int_eq(file_op_advance(&failing, -EIO), 0);
	ck_assert_int_eq(next(-EIO), 0);
	ck_assert_int_eq(file_op(&io)->result, VIRTQ_EIO);
	file_op_report(&failing);
	ck_assert_int_eq(last_event, VDEV_DISK_FAILED);
	last_event = -1;
	file_op_report(&io);
	ck_assert_int_eq(last_event, -1);
	/* A write into a description that is O_DSYNC loses as a FUA write does. */
	atomic_store(&disk.sync_lost, 0);
	disk.dsync = 1;
	begin(VDEV_DISK_WRITE, 0, 12288);
	ck_assert_int_eq(next(-EIO), 0);
	ck_assert_int_eq(atomic_load(&disk.sync_lost), 1);
	pthread_mutex_destroy(&disk.lock);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("disk_op");
	TCase *tc = tcase_create("disk_op");

	tcase_add_test(tc, short_transfers_go_on_where_they_ended);
	tcase_add_test(tc, interrupted_calls_are_repeated_but_not_for_ever);
	tcase_add_test(tc, direct_transfers_go_on_at_blocks);
	tcase_add_test(tc, zeroes_fall_back_step_by_step);
	tcase_add_test(tc, zeroes_are_a_hole_filled_rather_than_written);
	tcase_add_test(tc, discards_are_hints_and_fua_settles);
	tcase_add_test(tc, errors_have_meanings);
	tcase_add_test(tc, a_lost_sync_is_not_forgotten);
	tcase_add_test(tc, syncs_under_way_fail_with_the_lost_one);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
