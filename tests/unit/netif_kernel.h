/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_UNIT_NETIF_KERNEL_H
#define TESTS_UNIT_NETIF_KERNEL_H

#include <stddef.h>

/*
 * The kernel as back-ends of the host's network find it: refusing one call, older than ours, or out of breath. Their calls come here by
 * the linker, see netif.am.
 */
struct kernel {
	unsigned at;             /* which call is refused, with KERNEL_ODD; 0: none */
	unsigned calls;          /* that could have been */
	int optional;            /* the one that was refused is one that need not succeed */
	const char *what;        /* it was */
	long mappings;           /* that are there */
	void *shared;            /* the last one with a socket */
	int old;                 /* nothing is known of outgoing frames that are left out */
	int busy;                /* nothing is sent */
	unsigned names, spreads; /* asked for an interface's name; told how frames are spread */
	void (*joining)(void);   /* called once, before sockets become a group */
};

enum { KERNEL_ODD = 54 }; /* EXFULL, which it has no use for in all this */

extern struct kernel kernel;

#endif
