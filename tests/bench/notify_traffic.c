/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What runs in the guests of tests/bench/notify: one serves, the other sends datagrams in bursts of a known size, asks and
 * waits for the answer, or streams. Says on standard output when what it does goes at full speed, and when that ends.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	SINK = 9,
	ECHO = 7,
	STREAM = 5001,
	SMALL = 64,
	PIECE = 65536,
	BURST_MAX = 64,
	SEGMENT = 103
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct sockaddr_in address(const char *host, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (host != NULL)
		(void)inet_pton(AF_INET, host, &a.sin_addr);
	return a;
}

static int opened(int type, const char *host, uint16_t port)
{
	struct sockaddr_in a = address(host, port);
	int fd = socket(AF_INET, type, 0);
	int rc;

	if (fd < 0)
		return -1;
	if (host != NULL)
		rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
	else
		rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	if (rc == 0 && host == NULL && type == SOCK_STREAM)
		rc = listen(fd, 4);
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

/* --- one serves: forgets, answers, forgets ----------------------------------------------------- */

static void take(const struct pollfd *p, unsigned which)
{
	static char buf[PIECE];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t got;

	got = recvfrom(p->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	if (which == 1 && got >= 0)
		(void)!sendto(p->fd, buf, (size_t)got, 0, (struct sockaddr *)&from, len);
}

static int serve(void)
{
	struct pollfd p[4] = {{.fd = opened(SOCK_DGRAM, NULL, SINK), .events = POLLIN},
	                      {.fd = opened(SOCK_DGRAM, NULL, ECHO), .events = POLLIN},
	                      {.fd = -1, .events = POLLIN},
	                      {.fd = opened(SOCK_STREAM, NULL, STREAM), .events = POLLIN}};
	char buf[1];

	if (p[0].fd < 0 || p[1].fd < 0 || p[3].fd < 0)
		return 1;
	puts("VD serving");
	fflush(stdout);
	while (poll(p, 4, -1) > 0) {
		for (unsigned i = 0; i < 3; i++)
			if (p[i].fd >= 0 && p[i].revents != 0)
				take(&p[i], i);
		if (p[3].revents != 0 && p[2].fd < 0)
			p[2].fd = accept(p[3].fd, NULL, NULL);
		/* The stream's end is the end. */
		if (p[2].fd >= 0 && recv(p[2].fd, buf, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			return 0;
	}
	return 1;
}

/* --- the other sends ----------------------------------------------------------------------------- */

struct way {
	int fd;
	size_t bytes; /* of a call */
	int answered;
};

static int again(const struct way *w)
{
	static char buf[PIECE];
	struct pollfd p = {.fd = w->fd, .events = POLLIN};

	if (send(w->fd, buf, w->bytes, 0) < 0)
		return -1;
	/* Frames may get lost. */
	if (w->answered && poll(&p, 1, 200) > 0 && recv(w->fd, buf, sizeof(buf), 0) < 0)
		return -1;
	return 0;
}

static int go_on(const struct way *w, uint64_t ms)
{
	uint64_t end = now_ms() + ms;

	while (now_ms() < end)
		if (again(w) < 0)
			return -1;
	return 0;
}

static int sends(const char *name, const char *host, uint64_t ms, unsigned burst)
{
	int segment = SMALL;
	struct way w = {.answered = strcmp(name, "answer") == 0};

	if (strcmp(name, "tcp") == 0) {
		w.fd = opened(SOCK_STREAM, host, STREAM);
		w.bytes = PIECE;
	} else {
		w.fd = opened(SOCK_DGRAM, host, w.answered ? ECHO : SINK);
		w.bytes = (size_t)(w.answered ? 1 : burst) * SMALL;
		/* One call, cut by the guest's kernel, which hands its driver the pieces as one burst. */
		if (burst > 1 && setsockopt(w.fd, IPPROTO_UDP, SEGMENT, &segment, sizeof(segment)) < 0)
			return 1;
	}
	if (w.fd < 0 || go_on(&w, 100) < 0)
		return 1;
	printf("VD begin %s %u\n", name, burst);
	fflush(stdout);
	if (go_on(&w, ms) < 0)
		return 1;
	printf("VD end\n");
	fflush(stdout);
	close(w.fd);
	return 0;
}

/* Until somebody answers: the other guest may take longer to start. */
static int await(const char *host, uint64_t ms)
{
	uint64_t end = now_ms() + ms;
	int fd = opened(SOCK_DGRAM, host, ECHO);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c = 0;

	while (fd >= 0 && now_ms() < end) {
		/* Nobody there is an error of the next call, whichever it is. */
		if (send(fd, &c, 1, 0) == 1 && poll(&p, 1, 100) > 0 && recv(fd, &c, 1, 0) == 1)
			return 0;
		(void)poll(NULL, 0, 20);
	}
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long burst = argc == 5 ? strtoul(argv[4], NULL, 10) : 1;

	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		return serve();
	if (argc < 4)
		return 2;
	if (strcmp(argv[1], "await") == 0)
		return await(argv[2], strtoull(argv[3], NULL, 10));
	return sends(argv[1], argv[2], strtoull(argv[3], NULL, 10),
	             burst >= 1 && burst <= BURST_MAX ? (unsigned)burst : 1);
}
