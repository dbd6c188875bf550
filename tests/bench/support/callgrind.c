/* SPDX-License-Identifier: BSD-3-Clause */
/* Instruction counts: exact, and the same on every run of the same code. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { ARGS_MAX = 32 };

const char *bench_self(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	bench_need(n > 0, "reading /proc/self/exe");
	path[n] = '\0';
	return path;
}

static void start(const char *function, char *const argv[], int err)
{
	char toggle[256];
	char *args[ARGS_MAX + 5] = {(char *)"valgrind", (char *)"--tool=callgrind",
	                            (char *)"--callgrind-out-file=/dev/null", toggle};
	int null = open("/dev/null", O_WRONLY);

	snprintf(toggle, sizeof(toggle), "--toggle-collect=%s", function);
	for (unsigned i = 0; i < ARGS_MAX && argv[i] != NULL; i++)
		args[4 + i] = argv[i];
	if (null < 0 || dup2(null, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	execvp(args[0], args);
	_exit(127);
}

int64_t bench_callgrind(const char *function, char *const argv[])
{
	static const char mark[] = "Collected : ";
	int fd[2], status;
	int64_t count = -1;
	char line[1024];
	pid_t pid;
	FILE *in;

	if (pipe(fd) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		start(function, argv, fd[1]);
	}
	close(fd[1]);
	in = pid > 0 ? fdopen(fd[0], "r") : NULL;
	if (in == NULL) {
		close(fd[0]);
		return -1;
	}
	while (fgets(line, sizeof(line), in) != NULL) {
		const char *p = strstr(line, mark);

		if (p != NULL)
			count = strtoll(p + sizeof(mark) - 1, NULL, 10);
	}
	fclose(in);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return -1;
	return count;
}
