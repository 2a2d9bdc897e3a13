#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# size.sh - files that can be read: at most 600 lines, a BPF program 200.
set -eu
cd "$(dirname "$0")/../.."
find . \( -path ./build -o -path ./vmlinux -o -path ./.git \) -prune -o -type f \
	\( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.mk' -o -name Makefile \) \
	-exec wc -l {} + | awk '
$2 != "total" {
	limit = $2 ~ /\.bpf\.c$/ ? 200 : 600
	if ($1 > limit) {
		print $2 ": " $1 " lines, more than " limit
		bad = 1
	}
}
END { exit bad }'
