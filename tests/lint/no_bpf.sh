#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# no_bpf.sh - BPF=0 gives a daemon that does without libbpf; in build/no_bpf.
set -eu
cd "$(dirname "$0")/../.."
unset MAKEFLAGS MAKELEVEL MFLAGS # of the make that may have started this
make -s -j"$(nproc)" BPF=0 OUT=build/no_bpf CFLAGS=-O0 all
if readelf -d build/no_bpf/g5x | grep libbpf; then
	echo "build/no_bpf/g5x is linked with libbpf"
	exit 1
fi
