#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# layers.sh [TREE] - who may include whom. Prints each violation; exits 1 if there is
# one. layers_are_checked.sh proves that it finds them.
#
# A folder of user/ is a layer. Its files include headers of their own layer and of
# those it may know; programs (user/*.c) may know all. BPF is known to kernel/ alone.
# In bpf/ only include/, vmlinux/ and *.bpf.h are seen. bench/ measures the daemon from
# outside and sees nothing of it. Nothing includes tests/.
set -eu
cd "${1:-$(dirname "$0")/../..}"

find user bpf include $(ls -d bench 2>/dev/null) -name '*.[ch]' | sort | xargs grep -Hn '^[ 	]*#[ 	]*include' /dev/null |
awk '
BEGIN {
	knows["base"] = "base"
	knows["rules"] = "base rules"
	knows["kernel"] = "base kernel"
	knows["forward"] = "base rules kernel forward"
	knows["control"] = "base rules kernel forward control"
	knows["top"] = knows["control"]
}

function contains(list, word) { return index(" " list " ", " " word " ") > 0 }

function is_allowed(area, layer, header, is_system,    folder) {
	if (area == "include")
		return is_system && header ~ /^linux\//
	if (area == "bpf") {
		if (is_system)
			return header ~ /^bpf\/bpf_/
		return header == "vmlinux.h" || header == "g5x_abi.h" ||
		       header ~ /^[a-z0-9_]+\.bpf\.h$/
	}
	if (is_system)
		return header !~ /^bpf\// || layer == "kernel"
	if (area == "bench")
		return header ~ /^[a-z0-9_]+\.h$/ && header != "g5x_abi.h"
	if (header == "g5x_abi.h" || header ~ /^[a-z0-9_]+\.skel\.h$/)
		return layer == "kernel"
	folder = header
	if (!sub(/\/[a-z0-9_]+\.h$/, "", folder))
		return layer == "top"
	return contains(knows[layer], folder)
}

{
	match($0, /^[^:]*:[0-9]+:/)
	place = substr($0, 1, RLENGTH)
	header = substr($0, RLENGTH + 1)
	is_system = header ~ /include[ \t]*</
	sub(/^[^"<]*["<]/, "", header)
	sub(/[">].*/, "", header)

	n_parts = split(place, part, "/")
	area = part[1]
	layer = n_parts > 2 ? part[2] : "top"
	if (!is_allowed(area, layer, header, is_system)) {
		print place " must not include " header
		bad = 1
	}
}

END { exit bad }'
