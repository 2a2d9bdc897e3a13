#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Makes vmlinux_<version>.h from a kernel's BTF: the few types G5X's programs use.

    vmlinux/generate.py [--btf /sys/kernel/btf/vmlinux] [--version 6.18]

The lists below are all that goes in. To use another type or member, add its name, run
this on a kernel of the version in the file's name, and commit both. The same BTF and
the same lists give the same bytes: no date, no host, no full release string.

Two kinds of records, because they are used in two ways:
 - STABLE: contexts of the UAPI and headers of packets. Copied whole. Their layout is a
   promise, so they carry no relocations (the verifier refuses a context pointer that
   relocation arithmetic has touched).
 - KERNEL: the kernel's own structures, cut down to the members named. Their layout is
   nobody's promise: preserve_access_index makes the loader look each member up by name
   in the running kernel. So order and neighbours do not matter, and anonymous structs
   and unions around a member are left out.
"""
import argparse
import platform
import re
import subprocess
import sys
from pathlib import Path

TYPEDEFS = """
__u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 u8 u16 u32 u64 s8 s16 s32 s64 bool
__be16 __be32 __be64 __le16 __le32 __le64 __sum16 __wsum size_t __kernel_size_t
__kernel_ulong_t atomic_t
""".split()

ENUMS = "bpf_map_type sk_action xdp_action bpf_ret_code".split()

# Enums without a name are chosen by one of their members.
ANONYMOUS_ENUMS = """
BPF_ANY BPF_F_NO_PREALLOC BPF_F_INGRESS BPF_F_CURRENT_NETNS BPF_F_ADJ_ROOM_FIXED_GSO
BPF_SK_STORAGE_GET_F_CREATE BPF_SK_LOOKUP_F_REPLACE BPF_SOCK_OPS_VOID
BPF_SOCK_OPS_RTO_CB_FLAG BPF_TCP_ESTABLISHED BPF_LOAD_HDR_OPT_TCP_SYN TCP_BPF_IW
IPPROTO_IP false
""".split()

STABLE = """
in_addr in6_addr __sk_buff sk_msg_md xdp_md bpf_sock bpf_tcp_sock bpf_sock_ops
bpf_sock_tuple bpf_sk_lookup sk_reuseport_md bpf_spin_lock bpf_timer ethhdr vlan_hdr
iphdr ipv6hdr ipv6_opt_hdr frag_hdr icmphdr icmpv6_echo icmpv6_nd_advt icmpv6_nd_ra
icmp6hdr tcphdr
""".split()

# In this order: what another one holds by value comes first.
KERNEL = {
    "ns_common": "inum",
    "net": "ns net_cookie",
    "net_device": "ifindex mtu",
    "proto": "memory_pressure name",
    "atomic64_t": None,
    "possible_net_t": None,
    "sock_common": "skc_daddr skc_rcv_saddr skc_dport skc_num skc_family skc_state "
    "skc_bound_dev_if skc_prot skc_net skc_v6_daddr skc_v6_rcv_saddr skc_cookie "
    "skc_flags",
    "sk_buff_head": "qlen",
    "sock": "__sk_common sk_receive_queue sk_write_queue sk_rcvbuf sk_sndbuf "
    "sk_rcvlowat sk_err sk_err_soft sk_wmem_queued sk_forward_alloc sk_shutdown "
    "sk_type sk_protocol sk_mark sk_priority sk_pacing_rate sk_max_pacing_rate "
    "sk_user_data sk_userlocks",
    "inet_sock": "sk inet_saddr inet_sport",
    "inet_connection_sock": "icsk_inet icsk_rto icsk_retransmits icsk_user_timeout "
    "icsk_ulp_ops",
    "tcp_sock": "inet_conn copied_seq rcv_nxt rcv_wup rcv_wnd write_seq pushed_seq "
    "snd_nxt snd_una snd_wnd snd_cwnd snd_ssthresh mss_cache packets_out retrans_out "
    "lost_out srtt_us mdev_us total_retrans segs_in segs_out data_segs_in "
    "data_segs_out bytes_sent bytes_received bytes_acked bytes_retrans",
    "sk_buff": "sk dev len data_len truesize mark hash protocol head data mac_header "
    "network_header transport_header",
}

HEADER = """\
/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * {name} - the kernel's types as G5X's BPF programs see them.
 *
 * Made by vmlinux/generate.py from the BTF of Linux {version}; change the lists there,
 * not this file. It is used on every host, whether that host has BTF or not and
 * whatever it runs: so the same source gives the same object everywhere, a missing type
 * shows here and not on somebody's machine, and the build needs no /sys. What differs
 * between kernels is settled when a program is loaded, by CO-RE relocations.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__
"""


def declarations(text):
    """The dump's top-level declarations: a list of lists of lines."""
    block = []
    for line in text.splitlines():
        if not block and (not line or line.startswith("#")):
            continue
        block.append(line)
        if line.endswith(";") and not line.startswith("\t"):
            yield block
            block = []


def index(text):
    """What a declaration can be asked for by -> its lines. First one wins."""
    known = {}
    for block in declarations(text):
        first, last = block[0], block[-1]
        keys = []
        if match := re.match(r"(struct|union|enum) (\w+) \{$", first):
            keys = [f"{match[1]} {match[2]}"]
        elif first == "enum {":
            keys = ["enum:" + line.split()[0] for line in block[1:-1]]
        elif first.startswith("typedef") and (match := re.search(r"(\w+)(\[\d+\])?;$", last)):
            keys = ["typedef " + match[1]]
        for key in keys:
            known.setdefault(key, block)
    return known


def members(block):
    """The members of a record that can be named without a path: name -> declaration."""
    found, named_depth, stack = {}, 0, []
    nested = match_closings(block)
    for number, line in enumerate(block[1:-1], 1):
        text = line.strip()
        if text in ("struct {", "union {"):
            is_named = nested[number] != "};"
            stack.append(is_named)
            named_depth += is_named
        elif text.startswith("}"):
            named_depth -= stack.pop()
        elif not named_depth and (
            match := re.search(r"(\w+)(\[\d+\])*(: \d+)?;$|\(\*(\w+)\)\(.*\);$", text)
        ):
            found.setdefault(match[1] or match[4], text)
    return found


def match_closings(block):
    """Line number of each inner `struct {` -> the text of the line that closes it."""
    closings, stack = {}, []
    for number, line in enumerate(block[1:-1], 1):
        text = line.strip()
        if text in ("struct {", "union {"):
            stack.append(number)
        elif text.startswith("}"):
            closings[stack.pop()] = text
    return closings


def reduced(name, wanted, block):
    have = members(block)
    missing = [m for m in wanted if m not in have]
    if missing:
        sys.exit(f"generate.py: struct {name} has no member {', '.join(missing)}")
    return [f"struct {name} {{"] + [f"\t{have[m]}" for m in wanted] + ["};"]


def forwards(blocks):
    """`struct x;` for what is only pointed to, or is defined further down."""
    text = "\n".join("\n".join(b) for b in blocks)
    return sorted(set(re.findall(r"\bstruct (\w+) \*", text)))


def generate(dump, name, version):
    known = index(dump)

    def get(key):
        if key not in known:
            sys.exit(f"generate.py: this kernel's BTF has no {key}")
        return known[key]

    plain = [get("typedef " + t) for t in TYPEDEFS]
    enums = [get("enum " + e) for e in ENUMS] + [get("enum:" + m) for m in ANONYMOUS_ENUMS]
    enums = [b for i, b in enumerate(enums) if b not in enums[:i]]
    stable = [get("struct " + s) for s in STABLE]
    kernel = []
    for record, wanted in KERNEL.items():
        if wanted is None:
            kernel.append(get("typedef " + record))
        else:
            kernel.append(reduced(record, wanted.split(), get("struct " + record)))

    out = [HEADER.format(name=name, version=version)]
    out += ["\n".join(b) for b in sort_typedefs(plain)] + [""]
    out += [f"struct {s};" for s in forwards(stable + kernel)] + [""]
    out += ["\n".join(b) + "\n" for b in enums]
    out += ["/* Layouts that are promised: copied whole, not relocated. */\n"]
    out += ["\n".join(b) + "\n" for b in stable]
    out += ["/* Layouts that are not: the members in use, found by name at load time. */"]
    out += ["#pragma clang attribute push(__attribute__((preserve_access_index)), \\"]
    out += ["\t\t\t     apply_to = record)\n"]
    out += ["\n".join(b) + "\n" for b in kernel]
    out += ["#pragma clang attribute pop\n", "#endif /* __VMLINUX_H__ */"]
    return "\n".join(out) + "\n"


def sort_typedefs(blocks):
    """A typedef after those it is made of."""
    names = {re.search(r"(\w+)(\[\d+\])?;$", b[-1])[1]: b for b in blocks}
    done = []

    def put(name):
        block = names[name]
        if block in done:
            return
        for word in re.findall(r"\w+", " ".join(block)):
            if word in names and word != name:
                put(word)
        done.append(block)

    for name in names:
        put(name)
    return done


def main():
    parser = argparse.ArgumentParser(description="make the pinned vmlinux header")
    parser.add_argument("--btf", default="/sys/kernel/btf/vmlinux")
    parser.add_argument("--version", default=".".join(platform.release().split(".")[:2]))
    args = parser.parse_args()

    dump = subprocess.run(
        ["bpftool", "btf", "dump", "file", args.btf, "format", "c"],
        check=True, capture_output=True, text=True,
    ).stdout
    folder = Path(__file__).resolve().parent
    name = f"vmlinux_{args.version.replace('.', '_')}.h"
    (folder / name).write_text(generate(dump, name, args.version))
    link = folder / "vmlinux.h"
    link.unlink(missing_ok=True)
    link.symlink_to(name)


if __name__ == "__main__":
    main()
