# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Memory of a proxy: PSS of its processes, and what the kernel spends on sockets.

The kernel's part is that of the whole machine: objects in use of the slab caches that
sockets are made of, and pages in socket buffers. It includes both ends' own sockets, so
what a proxy costs is its figure minus that of `direct`. Left out, because everything
else on the machine makes them too: a dentry and some bytes of kmalloc for each socket.
"""
from process import family

PAGE_KIB = 4
# Not tw_sock_TCP: sockets that wait for old segments are those of earlier runs.
CACHES = ("TCP", "request_sock_TCP", "sock_inode_cache", "skbuff_", "filp", "eventpoll_")


def pss_kib(pid):
    total = 0
    for each in family(pid):
        try:
            with open(f"/proc/{each}/smaps_rollup", encoding="ascii") as f:
                total += sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
        except OSError:  # it has ended meanwhile
            continue
    return total


def kernel_kib():
    used = 0
    with open("/proc/slabinfo", encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words[0].startswith(CACHES) and words[1].isdigit():
                used += int(words[1]) * int(words[3])
    with open("/proc/net/sockstat", encoding="ascii") as f:
        for line in f:
            words = line.split()
            if words[0] == "TCP:":
                used += int(words[words.index("mem") + 1]) * PAGE_KIB * 1024
    return used / 1024


def snapshot(pid):
    return {"pss_kib": pss_kib(pid) if pid else 0, "kernel_kib": kernel_kib()}
