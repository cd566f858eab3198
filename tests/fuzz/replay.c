/* tests/fuzz/replay.c - run a fuzz target over the files of the folders (or files) given, without libFuzzer: what the
 * ordinary build does with the checked-in corpora. Fails when there is nothing to run, so that a lost corpus is noticed.
 * Each input is also cut short at every length up to 512 bytes: cheap, and finds reads beyond the end. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX	((size_t)8 << 20)
#define CUT_MAX		512

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly size bytes, so that AddressSanitizer sees every byte read beyond it. */
static void
run_exact(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int
run_file(const char *path)
{
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f = fopen(path, "re");
	size_t n;

	if (data == NULL || f == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	n = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	run_exact(data, n);
	for (size_t cut = 0; cut < n && cut < CUT_MAX; cut++)
		run_exact(data, cut);
	free(data);
	return 1;
}

static int
run_path(const char *path)
{
	char name[4096];
	struct dirent *e;
	struct stat st;
	int n = 0;
	DIR *d;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return run_file(path);
	if ((d = opendir(path)) == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && snprintf(name, sizeof(name), "%s/%s", path, e->d_name) < (int)sizeof(name))
			n += run_file(name);
	closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += run_path(argv[i]);
	printf("%d inputs\n", n);
	return n > 0 ? 0 : 1;
}
