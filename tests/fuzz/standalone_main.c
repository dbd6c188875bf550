/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replays inputs without libFuzzer, under any compiler: the files and folders given, or else the corpus of this
 * harness (CORPUS). A harness ends the program when something does not hold.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX_BYTES (1u << 20)

static unsigned long replayed;

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX_BYTES);
	uint8_t *exact;
	size_t n;

	HOLDS(f != NULL && data != NULL);
	n = fread(data, 1, INPUT_MAX_BYTES, f);
	fclose(f);
	/* A copy of just this size, so that a sanitizer sees what runs over its end. */
	exact = malloc(n > 0 ? n : 1);
	HOLDS(exact != NULL);
	memcpy(exact, data, n);
	free(data);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	replayed++;
}

static void replay(const char *path)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (stat(path, &st) != 0) {
		fprintf(stderr, "%s: not there\n", path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	dir = opendir(path);
	HOLDS(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		HOLDS(snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name));
		replay_file(name);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	const char *tap = getenv("VDEVKIT_TAP");

	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc == 1)
		replay(CORPUS);
	printf("%lu inputs replayed\n", replayed);
	if (tap != NULL) {
		FILE *f = fopen(tap, "w");

		HOLDS(f != NULL);
		fprintf(f, "1..1\n%s 1 - %lu inputs replayed\n", replayed > 0 ? "ok" : "not ok", replayed);
		fclose(f);
	}
	return replayed > 0 ? 0 : 1;
}
