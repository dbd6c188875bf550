/* SPDX-License-Identifier: BSD-3-Clause */
#include "qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIOS_BYTES 65536
#define ARGS_MAX   64

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int lose(struct qtest *q, const char *why)
{
	if (q->lost == NULL)
		q->lost = why;
	return -1;
}

/* --- Starting and ending ------------------------------------------------------------------------ */

/* A BIOS that switches interrupts off and halts, so that the machine runs and does nothing. */
static int halting_bios(void)
{
	static const uint8_t reset[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; hlt; jmp to the hlt */
	uint8_t *image = malloc(BIOS_BYTES);
	int fd = memfd_create("bios", 0);

	if (image == NULL || fd < 0)
		abort();
	memset(image, 0xf4, BIOS_BYTES);
	memcpy(image + BIOS_BYTES - 16, reset, sizeof(reset));
	if (write(fd, image, BIOS_BYTES) != BIOS_BYTES)
		abort();
	free(image);
	return fd;
}

struct child {
	int memory, bios, commands, monitor;
};

static void run_child(const struct child *c, const char *qemu, const char *machine, size_t ram,
                      const char *const *args)
{
	char type[128], mib[32], object[160], bios[64], monitor[64];
	const char *argv[ARGS_MAX] = {qemu,
	                              "-M",
	                              type,
	                              "-accel",
	                              "tcg",
	                              "-m",
	                              mib,
	                              "-object",
	                              object,
	                              "-bios",
	                              bios,
	                              "-nodefaults",
	                              "-display",
	                              "none",
	                              "-no-user-config",
	                              "-qtest",
	                              "stdio",
	                              "-qtest-log",
	                              "/dev/null",
	                              "-chardev",
	                              monitor,
	                              "-mon",
	                              "chardev=mon,mode=control"};
	size_t n = 0;

	snprintf(type, sizeof(type), "%s,memory-backend=ram", machine);
	snprintf(mib, sizeof(mib), "%zu", ram >> 20);
	snprintf(object, sizeof(object),
	         "memory-backend-file,id=ram,size=%zu,mem-path=/proc/self/fd/%d,share=on", ram,
	         c->memory);
	snprintf(bios, sizeof(bios), "/proc/self/fd/%d", c->bios);
	snprintf(monitor, sizeof(monitor), "socket,id=mon,fd=%d", c->monitor);
	while (argv[n] != NULL)
		n++;
	while (*args != NULL && n < ARGS_MAX - 1)
		argv[n++] = *args++;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(c->commands, 0);
	dup2(c->commands, 1);
	execvp(qemu, (char *const *)(uintptr_t)argv);
	_exit(127);
}

int qtest_start(struct qtest *q, const char *qemu, const char *machine, size_t ram_bytes,
                const char *const *args)
{
	int commands[2], monitor[2];
	struct child c;

	memset(q, 0, sizeof(*q));
	c.memory = memfd_create("ram", 0);
	c.bios = halting_bios();
	if (c.memory < 0 || ftruncate(c.memory, (off_t)ram_bytes) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, commands) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, monitor) != 0)
		abort();
	fcntl(commands[0], F_SETFD, FD_CLOEXEC);
	fcntl(monitor[0], F_SETFD, FD_CLOEXEC);
	q->ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c.memory, 0);
	if (q->ram == MAP_FAILED)
		abort();
	q->ram_bytes = ram_bytes;
	c.commands = commands[1];
	c.monitor = monitor[1];
	fflush(NULL);
	q->pid = fork();
	if (q->pid < 0)
		abort();
	if (q->pid == 0)
		run_child(&c, qemu, machine, ram_bytes, args);
	close(commands[1]);
	close(monitor[1]);
	close(c.memory);
	close(c.bios);
	q->fd = commands[0];
	q->monitor = monitor[0];
	if (qtest_command(q, NULL, "writel 0x100000 0x%x", 0x600df00d) != 0)
		return -1;
	if (memcmp(q->ram + 0x100000, &(uint32_t){0x600df00d}, 4) != 0)
		return lose(q, "the machine's memory is not the one shared with it");
	return qtest_qmp(q, "{'execute':'qmp_capabilities'}");
}

void qtest_kill(struct qtest *q)
{
	int status;

	if (q->pid <= 0)
		return;
	kill(q->pid, SIGKILL);
	while (waitpid(q->pid, &status, 0) < 0 && errno == EINTR)
		;
	q->pid = 0;
}

void qtest_stop(struct qtest *q, int politely)
{
	int64_t end = now_ms() + QTEST_DEADLINE_MS;

	if (politely && q->pid > 0 && qtest_qmp(q, "{'execute':'quit'}") == 0) {
		int status;

		while (waitpid(q->pid, &status, WNOHANG) == 0 && now_ms() < end)
			usleep(2000);
		if (kill(q->pid, 0) != 0)
			q->pid = 0;
	}
	qtest_kill(q);
	close(q->fd);
	close(q->monitor);
	munmap(q->ram, q->ram_bytes);
}

/* --- The protocol ------------------------------------------------------------------------------- */

static int send_all(struct qtest *q, int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return lose(q, "QEMU takes no commands");
		text += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* Receive something by the deadline; bytes, or -1. */
static ssize_t receive(struct qtest *q, int fd, char *to, size_t room, int64_t end)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0)
			return lose(q, "QEMU does not answer");
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = recv(fd, to, room, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return lose(q, "QEMU has gone");
		return n;
	}
}

/* The next line, without its end. */
static int next_line(struct qtest *q, char *line, size_t room, int64_t end)
{
	for (;;) {
		char *newline = memchr(q->in, '\n', q->nin);
		ssize_t n;

		if (newline != NULL) {
			size_t len = (size_t)(newline - q->in);

			if (len >= room)
				return lose(q, "an answer is too long");
			memcpy(line, q->in, len);
			line[len] = 0;
			q->nin -= len + 1;
			memmove(q->in, newline + 1, q->nin);
			return 0;
		}
		if (q->nin == sizeof(q->in))
			return lose(q, "an answer is too long");
		n = receive(q, q->fd, q->in + q->nin, sizeof(q->in) - q->nin, end);
		if (n < 0)
			return -1;
		q->nin += (size_t)n;
	}
}

static int command_line(struct qtest *q, char *answer, size_t room, const char *text, size_t n)
{
	int64_t end = now_ms() + QTEST_DEADLINE_MS;

	if (q->lost != NULL)
		return -1;
	if (send_all(q, q->fd, text, n) != 0)
		return -1;
	for (;;) {
		if (next_line(q, answer, room, end) != 0)
			return -1;
		if (strncmp(answer, "IRQ ", 4) == 0) { /* comes at any time */
			q->irqs += strncmp(answer + 4, "raise ", 6) == 0;
			continue;
		}
		if (strcmp(answer, "OK") == 0 || strncmp(answer, "OK ", 3) == 0)
			return 0;
		return lose(q, "an answer is neither OK nor an interrupt");
	}
}

int qtest_command(struct qtest *q, uint64_t *value, const char *format, ...)
{
	char text[256], answer[1024], *end;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) - 1)
		abort();
	text[n] = '\n';
	if (command_line(q, answer, sizeof(answer), text, (size_t)n + 1) != 0)
		return -1;
	if (value == NULL)
		return 0;
	if (answer[2] != ' ')
		return lose(q, "an answer has no value");
	errno = 0;
	*value = strtoull(answer + 3, &end, 0);
	if (errno != 0 || end == answer + 3 || *end != 0)
		return lose(q, "an answer's value is no number");
	return 0;
}

/* Skip messages until one contains word, or is an error. */
static int monitor_until(struct qtest *q, const char *word)
{
	int64_t end = now_ms() + QTEST_DEADLINE_MS;
	char line[8192];
	size_t len = 0;

	for (;;) {
		ssize_t n = receive(q, q->monitor, line + len, 1, end);

		if (n < 0)
			return -1;
		if (line[len] != '\n' && len + 2 < sizeof(line)) {
			len++;
			continue;
		}
		line[len] = 0;
		len = 0;
		if (strstr(line, "\"error\"") != NULL) {
			fprintf(stderr, "QMP: %s\n", line);
			return -1;
		}
		if (strstr(line, word) != NULL)
			return 0;
	}
}

int qtest_qmp(struct qtest *q, const char *command)
{
	if (q->lost != NULL || send_all(q, q->monitor, command, strlen(command)) != 0 ||
	    send_all(q, q->monitor, "\n", 1) != 0)
		return -1;
	return monitor_until(q, "\"return\"");
}

int qtest_qmp_event(struct qtest *q, const char *event)
{
	return q->lost != NULL ? -1 : monitor_until(q, event);
}

/* --- Access ------------------------------------------------------------------------------------- */

static char width_letter(uint32_t width)
{
	return width == 1 ? 'b' : width == 2 ? 'w' : 'l';
}

uint32_t qtest_read(struct qtest *q, int port, uint64_t addr, uint32_t width)
{
	uint64_t value;

	if (qtest_command(q, &value, "%s%c 0x%llx", port ? "in" : "read", width_letter(width),
	                  (unsigned long long)addr) != 0)
		return width == 4 ? UINT32_MAX : (1u << 8 * width) - 1;
	return (uint32_t)value;
}

void qtest_write(struct qtest *q, int port, uint64_t addr, uint32_t width, uint32_t value)
{
	(void)qtest_command(q, NULL, "%s%c 0x%llx 0x%x", port ? "out" : "write", width_letter(width),
	                    (unsigned long long)addr, value);
}

static int base64_digit(int c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != 0 ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static int base64_decode(const char *text, uint8_t *to, size_t bytes)
{
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;

	for (; *text != 0 && *text != '='; text++) {
		int d = base64_digit(*text);

		if (d < 0)
			return -1;
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			if (n == bytes)
				return -1;
			to[n++] = (uint8_t)(bits >> have);
		}
	}
	return n == bytes ? 0 : -1;
}

int qtest_read_bytes(struct qtest *q, uint64_t addr, void *to, size_t bytes)
{
	char answer[4096], text[64];
	int n = snprintf(text, sizeof(text), "b64read 0x%llx 0x%zx\n", (unsigned long long)addr, bytes);

	if (bytes > 2048 || command_line(q, answer, sizeof(answer), text, (size_t)n) != 0)
		return -1;
	if (answer[2] != ' ' || base64_decode(answer + 3, to, bytes) != 0)
		return lose(q, "an answer is not base64");
	return 0;
}
