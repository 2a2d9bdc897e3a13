# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A network of one's own: every port is free, and all of 127.0.0.0/8 and ::1 works."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """Moves this thread, and what it starts from then on, into a new namespace."""

    def __enter__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(libc.unshare(CLONE_NEWNET))
        with socket.socket() as any_socket:
            up = struct.pack("16sh14x", b"lo", IFF_UP)
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, up)
        return self

    def __exit__(self, *_):
        check(libc.setns(self.before, CLONE_NEWNET))
        os.close(self.before)

    def limit_local_ports(self, first, last):
        """That connect(2) takes."""
        path = Path("/proc/sys/net/ipv4/ip_local_port_range")
        path.write_text(f"{first} {last}")

    def limit_tcp_buffers(self, n_bytes):
        """Of new sockets, each way. Memory for TCP is the whole machine's."""
        for name in ("tcp_rmem", "tcp_wmem"):
            Path(f"/proc/sys/net/ipv4/{name}").write_text(f"4096 16384 {n_bytes}")


class Neighbour:
    """Another namespace with a wire to this one: addresses HERE and THERE.

    A socket stays where it was made, whoever uses it. Each process of tests has addresses
    of its own: daemons that bypass see the clients of all namespaces, and of two with the
    same listener only one can have a client.
    """

    NET = f"10.9.{1 + os.getpid() % 250}"
    NET6 = f"fd00:9:{1 + os.getpid() % 250}:"
    HERE, THERE = f"{NET}.1", f"{NET}.2"
    HERE6, THERE6 = f"{NET6}:1", f"{NET6}:2"

    def __enter__(self):
        with Namespace():
            self.file = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        place = f"/proc/{os.getpid()}/fd/{self.file}"
        ip(
            "link",
            "add",
            "here",
            "type",
            "veth",
            "peer",
            "name",
            "there",
            "netns",
            place,
        )
        add_addresses("here", self.HERE, self.HERE6)
        self.run(add_addresses, "there", self.THERE, self.THERE6)
        return self

    def __exit__(self, *_):
        os.close(self.file)

    def run(self, function, *arguments, **options):
        """function(...), there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(libc.setns(self.file, CLONE_NEWNET))
        try:
            return function(*arguments, **options)
        finally:
            check(libc.setns(before, CLONE_NEWNET))
            os.close(before)


def add_addresses(device, ip4, ip6):
    ip("address", "add", f"{ip4}/24", "dev", device)
    ip("address", "add", f"{ip6}/64", "dev", device, "nodad")
    ip("link", "set", device, "up")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def check(result):
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
