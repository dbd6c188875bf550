/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel without asynchronous I/O, as sandboxes have it. Each end of a context for it waits for all processors, some
 * 10 ms: harnesses that make and free objects all the time would do little else. Notifications then go another way; the
 * usual one is what all other tests use.
 */
#ifndef TESTS_FUZZ_NO_AIO_H
#define TESTS_FUZZ_NO_AIO_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* For the rest of the process. Where it can't be had, everything works, slowly. */
static inline void no_aio(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#endif
