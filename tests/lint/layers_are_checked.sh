#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# layers_are_checked.sh - layers.sh finds what it is there for: a small tree with one
# file that may be so in each layer, then one bad include after the other.
set -eu
cd "$(dirname "$0")"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/bpf" "$tree/include" "$tree/bench"
for layer in base rules kernel forward control; do mkdir -p "$tree/user/$layer"; done

put() { # FILE INCLUDED...
	file=$tree/$1
	shift
	for header in "$@"; do printf '#include %s\n' "$header"; done >"$file"
}

failed=0
refuse() { # FILE INCLUDED
	cp -R "$tree" "$tree.bad"
	printf '#include %s\n' "$2" >"$tree.bad/$1"
	if ./layers.sh "$tree.bad" >/dev/null; then
		echo "layers.sh let $1 include $2"
		failed=1
	fi
	rm -rf "$tree.bad"
}

put user/base/addr.c '"base/addr.h"' '<errno.h>'
put user/rules/match.c '"rules/match.h"' '"base/addr.h"'
put user/kernel/kernel_bpf.c '"kernel/kernel.h"' '"g5x_abi.h"' '"probe.skel.h"' \
	'<bpf/libbpf.h>' '"base/log.h"'
put user/forward/session.c '"rules/match.h"' '"kernel/kernel.h"' '"base/log.h"'
put user/control/reload.c '"forward/session.h"' '"rules/match.h"'
put user/g5x.c '"control/reload.h"' '"base/log.h"' '"options.h"'
put bpf/probe.bpf.c '"vmlinux.h"' '<bpf/bpf_helpers.h>' '"g5x_abi.h"' '"maps.bpf.h"'
put include/g5x_abi.h '<linux/types.h>'
put bench/load.c '"client.h"' '<sys/socket.h>'
./layers.sh "$tree" || { echo "layers.sh refuses a good tree"; exit 1; }

refuse user/base/x.c '"rules/match.h"'
refuse user/rules/x.c '"kernel/kernel.h"'
refuse user/rules/x.h '"forward/session.h"'
refuse user/kernel/x.c '"rules/match.h"'
refuse user/kernel/x.c '"forward/session.h"'
refuse user/forward/x.c '"control/reload.h"'
refuse user/forward/x.c '"probe.skel.h"'
refuse user/forward/x.c '"g5x_abi.h"'
refuse user/forward/x.c '<bpf/bpf.h>'
refuse user/forward/x.c '"session.h"'
refuse user/control/x.c '"options.h"'
refuse user/control/x.c '"../tests/lib/test.h"'
refuse user/x.c '"tests/lib/test.h"'
refuse user/x.c '"probe.skel.h"'
refuse bpf/x.bpf.c '"base/addr.h"'
refuse bpf/x.bpf.c '<errno.h>'
refuse include/x.h '"base/addr.h"'
refuse bench/x.c '"base/addr.h"'
refuse bench/x.c '"g5x_abi.h"'
refuse bench/x.c '<bpf/libbpf.h>'
exit $failed
