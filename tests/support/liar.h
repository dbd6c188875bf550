/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end, in a thread, that answers our front-end rightly until a request comes for which it has something else. It
 * has one queue, and does nothing with it.
 */
#ifndef TESTS_SUPPORT_LIAR_H
#define TESTS_SUPPORT_LIAR_H

#include "vu_front.h"

enum { LIAR_AREA = 4096 }; /* bytes of its in-flight area */

/* What is wrong with the answer. */
enum lie {
	OTHER_REQUEST, /* it is the answer to something else */
	NO_REPLY_FLAG,
	WRONG_VERSION,
	NEED_REPLY_SET,
	TOO_SHORT,
	TOO_LONG,
	HUGE_SIZE, /* the header says 4 GiB */
	ONE_FD,    /* a descriptor where none belongs */
	MANY_FDS,
	NO_FD, /* none where one belongs */
	HANGS_UP,
	HANGS_UP_WITHIN, /* in the middle of the header */
	HANGS_UP_BEFORE_PAYLOAD,
	SILENCE,
	HALF_AND_SILENCE,
	TWICE, /* the answer, and once more */
	SAYS_NO,
	WRONG_VALUE, /* value is told */
	LIES
};

struct liar {
	int sock;
	pthread_t thread;
	uint32_t lie_at; /* request */
	enum lie lie;
	uint64_t value;
	int channel;
	int lied;
	int fills;        /* every eventfd it is given, and lets writes to it wait */
	const char *area; /* file that the in-flight area is to be in, rather than in memory */
	/* What else is to happen at a request, before it is answered; may be NULL. */
	void (*on)(struct liar *l, const struct vu_header *h, const void *payload);
	/* What came. */
	unsigned count[VU_REQUESTS];
	uint32_t base;  /* of the last SET_VRING_BASE */
	int area_fd;    /* that it gave or was given; or -1: liar_area() */
	uint64_t extra; /* features offered besides */
	uint64_t lacks; /* features not offered */
};

/* Serve l->sock, until the other side hangs up; the rest of l says how. */
void liar_start(struct liar *l);
/* Its in-flight area, while it serves. */
int liar_area(const struct liar *l);
/* Wait for that; close what it kept. */
void liar_end(struct liar *l);

#endif
