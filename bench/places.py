# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where a comparison takes place: topologies in network namespaces, placements.

    host    one namespace, everything on its 127.0.0.1
    veth    client --- proxy --- server: three namespaces, two veth pairs; `direct`
            goes through the middle one by IP forwarding

Nothing is visible to the rest of the machine: not the ports, not the addresses. The
names carry our process id; those that a killed run left behind are removed by the next.
"""
import os
import re
import subprocess
from dataclasses import dataclass

PREFIX = "g5xbench"
ROLES = ("client", "proxy", "server")


class Unavailable(Exception):
    """This topology cannot be made here, and why."""


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Topology:
    key: str
    title: str
    namespaces: dict  # role -> name
    proxy_ip: str  # where the proxy listens
    server_ip: str

    def enter(self, role):
        """The words before a command that is to run as `role`."""
        return ["nsenter", f"--net=/run/netns/{self.namespaces[role]}"]


def make_host():
    name = f"{PREFIX}-{os.getpid()}-host"
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")
    return Topology(
        "host", "same host", dict.fromkeys(ROLES, name), "127.0.0.1", "127.0.0.1"
    )


def make_veth():
    names = {role: f"{PREFIX}-{os.getpid()}-{role}" for role in ROLES}
    for name in names.values():
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
    for role, net in (("client", "10.210.1"), ("server", "10.210.2")):
        outer, inner = names[role], names["proxy"]
        ip("link", "add", "up0", "netns", outer, "type", "veth",
           "peer", "name", role, "netns", inner)  # fmt: skip
        ip("-n", outer, "addr", "add", f"{net}.2/24", "dev", "up0")
        ip("-n", inner, "addr", "add", f"{net}.1/24", "dev", role)
        ip("-n", outer, "link", "set", "up0", "up")
        ip("-n", inner, "link", "set", role, "up")
        ip("-n", outer, "route", "add", "default", "via", f"{net}.1")
    ip("netns", "exec", names["proxy"], "sysctl", "-qw", "net.ipv4.ip_forward=1")
    return Topology("veth", "across hosts (veth)", names, "10.210.1.1", "10.210.2.2")


def use_congestion_control(topology, name):
    """A namespace starts with the machine's own, which changes every figure."""
    for namespace in set(topology.namespaces.values()):
        done = subprocess.run(
            ["ip", "netns", "exec", namespace, "sysctl", "-qw",
             f"net.ipv4.tcp_congestion_control={name}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"congestion control {name}: {done.stderr.strip()}")


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
        return f.read().strip()


TOPOLOGIES = {"host": make_host, "veth": make_veth}


def remove_all():
    """Ours, and those of runs that are no more."""
    for line in ip("netns", "list").splitlines():
        found = re.match(rf"{PREFIX}-(\d+)-\w+", line)
        if not found:
            continue
        owner = int(found[1])
        if owner == os.getpid() or not os.path.exists(f"/proc/{owner}"):
            subprocess.run(["ip", "netns", "del", found[0]], check=False)


@dataclass
class Placement:
    key: str
    title: str
    cpus: frozenset


def placements():
    cpus = os.sched_getaffinity(0)
    return {
        "one": Placement("one", "all on one CPU", frozenset({max(cpus)})),
        "free": Placement("free", "free", frozenset(cpus)),
    }
