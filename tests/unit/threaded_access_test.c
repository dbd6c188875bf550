/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Owners of queues notify while the device's thread does all else, through the one window of configuration space: its
 * lock keeps each access whole, and the thread sanitizer has nothing to object to.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "access_rig.h"
#include "ring.h"

enum { KICKS = 300, QUEUES = 2 };

static struct access_rig rig;
static atomic_int running;
/* Owners of queues stop before the device is suspended: a kick that has begun may arrive late. */
static pthread_rwlock_t going = PTHREAD_RWLOCK_INITIALIZER;

static void *owner(void *arg)
{
	struct vdev_driver_queue *q = arg;

	for (int i = 0; i < KICKS; i++) {
		pthread_rwlock_rdlock(&going);
		vdev_driver_notify(q);
		pthread_rwlock_unlock(&going);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

START_TEST(kicks_beside_the_device_thread)
{
	struct access_rig *r = &rig;
	struct vdev_pci_access a;
	pthread_t threads[QUEUES];
	unsigned rounds = 0;

	memset(r, 0, sizeof(*r));
	fake_init(&r->fake);
	fake_usual_caps(&r->fake);
	for (unsigned i = 0; i < 8; i++)
		r->fake.space[i] = (uint8_t)(0x11 * i);
	a = fake_pci_window_locked(&r->fake);
	ck_assert_int_eq(vdev_pci_driver_init(&r->pci, &a), 2);
	r->d = vdev_pci_driver_device(&r->pci);
	access_run(r, features_of(1, VIRTQ_F_SUSPEND));
	atomic_store(&running, QUEUES);
	for (unsigned i = 0; i < QUEUES; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, owner, &r->q[i]), 0);
	while (atomic_load(&running) > 0 || rounds == 0) {
		struct vdev_driver_field f = {0, 8, 0};

		ck_assert_int_eq(vdev_driver_config_read(r->d, &f, 1), 0);
		ck_assert_uint_eq(f.value, UINT64_C(0x7766554433221100));
		ck_assert_int_eq(vdev_driver_status(r->d), 0xf);
		pthread_rwlock_wrlock(&going);
		ck_assert_int_eq(vdev_driver_suspend(r->d), 0);
		ck_assert_int_eq(vdev_driver_resume(r->d), 0);
		pthread_rwlock_unlock(&going);
		rounds++;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < QUEUES; i++) {
		vdev_driver_notify(&r->q[i]);
		ck_assert_int_eq(vdev_driver_phase(r->d), VDEV_DRIVER_RUNNING);
	}
	access_fini(r);
}
END_TEST

void test_suites(SRunner *runner)
{
	Suite *suite = suite_create("threaded_access");
	TCase *tc = tcase_create("threaded_access");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, kicks_beside_the_device_thread);
	suite_add_tcase(suite, tc);
	srunner_add_suite(runner, suite);
}
