#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# clang.sh - everything compiles with clang too, without a warning; in build/clang.
set -eu
cd "$(dirname "$0")/../.."
unset MAKEFLAGS MAKELEVEL MFLAGS # of the make that may have started this
exec make -s -j"$(nproc)" CC=clang OUT=build/clang CFLAGS='-O1 -g' tests
