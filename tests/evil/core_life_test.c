/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong over the life of devices: resets with requests out, callbacks that come back in, features that change,
 * threads that meet. Each test is named after its row in rows.tsv and ends with a well-formed request.
 */
#include <pthread.h>
#include <string.h>

#include "check_main.h"
#include "core_fixture.h"

static void begin(struct fixture *f)
{
	fixture_init(f, LAYOUT_SPLIT, 2);
	fixture_watch(f);
	fixture_start(f);
}

static void end(struct fixture *f)
{
	fixture_echo(f, 1);
	fixture_fini(f);
}

static struct vdev_queue_setup setup_of(struct fixture *f, unsigned q)
{
	struct vdev_queue_setup setup = {0};

	virtq_drv_state(vdev_loopback_drv(f->l, q), &setup.state);
	return setup;
}

static void run_all(struct fixture *f)
{
	for (int i = 0; i < 1000 && vdev_run(f->v, 0); i++)
		;
}

static void add_kicked(struct fixture *f, unsigned q, unsigned slot)
{
	fixture_add(f, q, slot, 1, 8, 8);
	virtq_drv_publish(vdev_loopback_drv(f->l, q));
	vdev_queue_kick(f->v, q);
}

static void nobody(void *ctx)
{
	(void)ctx;
}

/* Reset while a read is out: it must not land in memory that is used anew. */
START_TEST(openvmm_3915)
{
	struct fixture f;

	begin(&f);
	f.echo.hold = 1;
	add_kicked(&f, 0, 0);
	ck_assert_int_eq(vdev_set_status(f.v, 0), VIRTQ_EAGAIN);
	ck_assert_uint_ne(vdev_status(f.v), 0);
	echo_finish(&f.echo, 1);
	run_all(&f);
	ck_assert_uint_eq(vdev_status(f.v), 0);
	memset(fixture_in(&f, 0), 0x5a, 8);
	run_all(&f);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(fixture_in(&f, 0)[i], 0x5a);
	f.echo.hold = 0;
	fixture_start(&f);
	end(&f);
}
END_TEST

/* A reset runs in the owner's context, however it was asked for. */
static void *run_thread(void *ctx)
{
	struct fixture *f = ctx;

	(void)!vdev_queue_run(f->v, 0, 0);
	return NULL;
}

START_TEST(QEMU_be2c42b97c)
{
	const struct vdev_owner owner = {nobody, NULL};
	struct vdev_queue_setup setup;
	pthread_t thread;
	struct fixture f;

	begin(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	for (int i = 0; i < 2; i++) {
		unsigned ends = f.echo.queue_ends;
		unsigned drains = f.echo.drains;

		ck_assert_int_eq(pthread_create(&thread, NULL, run_thread, &f), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		if (i == 1)
			break;
		ck_assert_int_eq(vdev_queue_reset(f.v, 0), VIRTQ_EAGAIN);
		ck_assert_uint_eq(f.echo.drains, drains); /* nothing of it happens here */
		ck_assert_uint_eq(f.echo.queue_ends, ends);
	}
	ck_assert_uint_eq(f.done[VDEV_OP_QUEUE_RESET], 1);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	end(&f);
}
END_TEST

/* A request that ends inside of process(): nothing of it is looked at afterwards. */
static struct virtq_iov own_pieces[2];

static uint32_t scribble(void *model, struct vdev_queue *q, const struct virtq_chain *chains,
                         uint32_t n)
{
	(void)model;
	for (uint32_t i = 0; i < n; i++) {
		struct virtq_chain copy = chains[i];
		struct vdev_done done = {.written = 0};

		memcpy(own_pieces, copy.iov, sizeof(own_pieces));
		copy.iov = own_pieces;
		vdev_queue_complete(q, &copy, &done);
		memset(own_pieces, 0xee, sizeof(own_pieces)); /* its memory is the model's again */
		memset(&copy, 0xee, sizeof(copy));
	}
	return n;
}

START_TEST(QEMU_35e4e96c4d)
{
	const struct vdev_model_ops ops = {
		.size = sizeof(ops), .name = "scribble", .process = scribble};
	const struct vdev_model m = {.size = sizeof(m), .ops = &ops, .nqueues = 1, .queue_max = 16};
	uintptr_t words[64] = {0};
	struct virtq_dirty dirty;
	struct vdev_loopback *l;
	struct vdev *v;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	fixture_start(&f);
	ck_assert_int_eq(vdev_new(&v, &f.env, &m), 0);
	ck_assert_int_eq(virtq_dirty_init(&dirty, FIXTURE_GPA, 12, words, 64, NULL), 0);
	virtq_log_set(vdev_function_log(vdev_function(v)), &dirty);
	vdev_loopback_free(f.l);
	ck_assert_int_eq(vdev_loopback_new(&l, &f.env, v, &f.cfg), 0);
	ck_assert_int_eq(vdev_loopback_start(l), 0);
	for (int i = 0; i < 20; i++) {
		uint8_t in[4];

		ck_assert_int_eq(vdev_loopback_request(l, 0, "abcd", 4, in, 4), 0);
	}
	ck_assert_uint_eq(virtq_dirty_outside(&dirty), 0);
	vdev_loopback_free(l);
	ck_assert_int_eq(vdev_free(v), 0);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	fixture_start(&f);
	end(&f);
}
END_TEST

/* The device is entered again from inside itself. */
static unsigned depth;
static unsigned deepest;

static void enter_again(struct fixture *f, unsigned q)
{
	if (++depth > deepest)
		deepest = depth;
	fixture_take(f, q);
	if (f->interrupts[q] < 50) {
		add_kicked(f, q, f->interrupts[q] % 4);
		(void)!vdev_queue_run(f->v, q, VDEV_RUN_ARM);
	}
	depth--;
}

static void reentrancy(void)
{
	struct fixture f;

	begin(&f);
	depth = deepest = 0;
	f.on_interrupt = enter_again;
	add_kicked(&f, 0, 0);
	run_all(&f);
	f.on_interrupt = NULL;
	ck_assert_uint_eq(f.echo.offered, 50);
	ck_assert_uint_eq(deepest, 1);
	end(&f);
}

START_TEST(CVE_2024_3446)
{
	reentrancy();
}
END_TEST

START_TEST(CVE_2023_3019)
{
	reentrancy();
}
END_TEST

/* Other features after a reset; features changed after FEATURES_OK. */
START_TEST(S0003_S0034)
{
	struct virtq_features packed = {{0}};
	struct virtq_features got;
	struct fixture f;

	begin(&f);
	virtq_features_set(&packed, VIRTQ_F_VERSION_1);
	virtq_features_set(&packed, VIRTQ_F_RING_PACKED);
	ck_assert_int_eq(vdev_accept(f.v, &packed), VIRTQ_EINVAL);
	ck_assert(!vdev_has(f.v, VIRTQ_F_RING_PACKED));
	fixture_echo(&f, 0);
	for (int i = 0; i < 6; i++) {
		vdev_loopback_free(f.l);
		f.cfg.wanted.word[0] ^= (uint64_t)1 << VIRTQ_F_RING_PACKED;
		f.cfg.queue_size = (uint16_t)(8 << i % 2);
		ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
		fixture_start(&f);
		vdev_loopback_features(f.l, &got);
		ck_assert_int_eq(vdev_has(f.v, VIRTQ_F_RING_PACKED), i % 2 == 0);
		for (int j = 0; j < 20; j++)
			fixture_echo(&f, 0);
	}
	end(&f);
}
END_TEST

/* What was offered and not accepted is off. */
START_TEST(FC_4680)
{
	struct virtq_features offered;
	struct virtq_features accepted;
	struct fixture f;

	begin(&f);
	vdev_offered(f.v, &offered);
	vdev_accepted(f.v, &accepted);
	for (unsigned bit = 0; bit < 128; bit++)
		ck_assert_int_eq(vdev_has(f.v, bit), virtq_features_has(&accepted, bit));
	ck_assert(virtq_features_has(&offered, ECHO_FEATURE) && !vdev_has(f.v, ECHO_FEATURE));
	end(&f);
}
END_TEST

/* Ring addresses are changed from one thread while another serves. */
static unsigned stop_serving;

static void *serve(void *ctx)
{
	struct fixture *f = ctx;

	while (!__atomic_load_n(&stop_serving, __ATOMIC_ACQUIRE))
		(void)!vdev_queue_run(f->v, 0, 0);
	return NULL;
}

START_TEST(QEMU_fa46f706be)
{
	const struct vdev_owner owner = {nobody, NULL};
	struct vdev_queue_setup setup;
	pthread_t thread;
	struct fixture f;

	begin(&f);
	setup = setup_of(&f, 0);
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, &owner), 0);
	stop_serving = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, &f), 0);
	ck_assert_int_eq(vdev_queue_start(f.v, 0, &setup), VIRTQ_EAGAIN);
	for (int i = 0; i < 1000; i++) {
		struct vdev_queue_setup moved = setup;

		moved.state.desc += 4096;
		ck_assert_int_eq(vdev_queue_start(f.v, 0, &moved), VIRTQ_EBUSY);
		ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), VIRTQ_EBUSY);
		ck_assert_int_eq(vdev_set_xlat(f.v, NULL), VIRTQ_EBUSY);
	}
	ck_assert_int_eq(vdev_queue_reset(f.v, 0), VIRTQ_EAGAIN);
	while (__atomic_load_n(&f.done[VDEV_OP_QUEUE_RESET], __ATOMIC_ACQUIRE) == 0)
		;
	__atomic_store_n(&stop_serving, 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(vdev_queue_set_owner(f.v, 0, NULL), 0);
	end(&f);
}
END_TEST

/* A translation that is not what was asked for. */
static int answer;

static int translate(void *ctx, uint64_t iova, int write, struct virtq_xlat *out)
{
	(void)ctx;
	(void)write;
	/* To the end of the page: what was learned of the ring says nothing of a buffer elsewhere. */
	*out = (struct virtq_xlat){.iova = iova, .gpa = iova, .len = 4096 - iova % 4096, .perm = 3};
	switch (answer) {
	case 0:
		return 0;
	case 1:
		out->len = 0;
		break;
	case 2:
		out->iova = iova + 1;
		break;
	case 3:
		out->iova = iova - 4096;
		break;
	case 4:
		out->gpa = 0x10; /* outside of memory */
		break;
	case 5:
		out->gpa = UINT64_MAX - 8;
		break;
	default:
		out->perm = 0;
		break;
	}
	return 0;
}

START_TEST(CVE_2023_41051)
{
	const struct virtq_xlat_ops ops = {sizeof(ops), translate, NULL};
	struct vdev_queue_setup setup;
	struct fixture f;

	fixture_init(&f, LAYOUT_SPLIT, 2);
	vdev_loopback_free(f.l);
	virtq_features_set(&f.cfg.wanted, VIRTQ_F_ACCESS_PLATFORM);
	ck_assert_int_eq(vdev_loopback_new(&f.l, &f.env, f.v, &f.cfg), 0);
	for (int i = 1; i <= 6; i++) {
		ck_assert_int_eq(vdev_loopback_reset(f.l), 0);
		answer = 0;
		ck_assert_int_eq(vdev_set_xlat(f.v, &ops), 0);
		fixture_start(&f);
		ck_assert_int_eq(vdev_invalidate(f.v, 0, UINT64_MAX), 0);
		answer = i;
		add_kicked(&f, 0, 30); /* well away from the ring, whose translations are known again */
		ck_assert_int_eq(vdev_queue_broken(f.v, 0), 1);
		/* Nor can a ring be started by such a one. */
		ck_assert_int_eq(vdev_queue_reset(f.v, 0), 0);
		setup = setup_of(&f, 0);
		ck_assert_int_lt(vdev_queue_start(f.v, 0, &setup), 0);
		answer = 0;
		fixture_echo(&f, 1);
	}
	end(&f);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("evil_core_life");
	TCase *tc = tcase_create("evil_core_life");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, openvmm_3915);
	tcase_add_test(tc, QEMU_be2c42b97c);
	tcase_add_test(tc, QEMU_35e4e96c4d);
	tcase_add_test(tc, CVE_2024_3446);
	tcase_add_test(tc, CVE_2023_3019);
	tcase_add_test(tc, S0003_S0034);
	tcase_add_test(tc, FC_4680);
	tcase_add_test(tc, QEMU_fa46f706be);
	tcase_add_test(tc, CVE_2023_41051);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
