// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* replay.c - feeds files to a fuzz target, once each: `replay_rules FILE ...`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *read_file(const char *name, size_t *ret_size)
{
	FILE *file = fopen(name, "rb");
	uint8_t *data = NULL;
	size_t size = 0, n;

	if (!file) {
		perror(name);
		exit(1);
	}
	do {
		uint8_t *grown = realloc(data, size + BUFSIZ);

		if (!grown)
			abort();
		data = grown;
		n = fread(data + size, 1, BUFSIZ, file);
		size += n;
	} while (n == BUFSIZ);
	fclose(file);
	*ret_size = size;
	return data;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size;
		auto_free uint8_t *data = read_file(argv[i], &size);

		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%d files\n", argc - 1);
	return 0;
}
