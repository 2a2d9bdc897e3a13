#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# format.sh - every C file is as clang-format writes it. Names those that are not;
# `make format` puts them right.
set -eu
cd "$(dirname "$0")/../.."
bad=0
for file in $(find . \( -path ./build -o -path ./vmlinux -o -path ./.git \) -prune -o \
	-name '*.[ch]' -print | sort); do
	clang-format "$file" | cmp -s - "$file" || { echo "$file: not formatted"; bad=1; }
done
exit $bad
