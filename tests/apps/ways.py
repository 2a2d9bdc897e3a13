# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The ways to a server: direct, or through a daemon whose rules name a datapath."""
import contextlib
import re

from lib.daemon import Daemon
from lib.manage import Manage
from lib.wait import wait_until

DIRECT = "direct"
ROUNDS = 3


class Way:
    """way[name of a server] is the address to go to."""

    def __init__(self, name, addresses):
        self.name = name
        self.addresses = addresses
        self.why_not = None
        self.daemon = None
        self.admin = None

    def __getitem__(self, server):
        return self.addresses[server]

    def open(self, binary, folder, servers, options):
        self.daemon = Daemon(binary, folder, self.name)
        rules = self.daemon.rule("admin", "G", self.admin)
        for name, server in servers.items():
            rules += self.daemon.rule(name, "RR", self[name], server)
        self.daemon.start(rules, *options)
        off = self.daemon.log_lines(rf"{self.name} off: ")
        if off:
            self.why_not = off[0].partition(" | ")[2]

    def sessions(self):
        """The log's lines, of those that have ended."""
        return self.daemon.log_lines(r"\| session rule=")

    def has_sessions(self):
        with Manage(self.admin) as manage:
            return " SERVER " in manage.ask("list forwards")

    @contextlib.contextmanager
    def is_used(self):
        """Fails unless this way's datapath has forwarded all that is done meanwhile."""
        if self.daemon is None:
            yield
            return
        n_before = len(self.sessions())
        yield
        wait_until(lambda: not self.has_sessions(), "every session has ended")
        # A session leaves the list just before its line is written.
        lines = wait_until(lambda: self.sessions()[n_before:], "the log has a session")
        # wrk looks whether anybody answers, and is gone before both ends are known.
        lines = [line for line in lines if " in=0 out=0 " not in line]
        assert lines, "no session had a byte"
        found = [re.search(r" datapath=(\w+)", line)[1] for line in lines]
        others = [line for line, each in zip(lines, found) if each != self.name]
        assert not others, f"{len(others)} of {len(lines)} sessions, as {others[0]}"


class Ways:
    def __init__(self, servers):
        self.servers = servers
        self.all = {DIRECT: Way(DIRECT, servers)}

    def __getitem__(self, name):
        return self.all[name]

    def __iter__(self):
        return iter(self.all.values())

    def open(self, datapath, binary, folder, options=()):
        own = folder / datapath
        own.mkdir()
        host = f"127.0.2.{len(self.all)}"
        ports = {name: f"{host}:{8000 + i}" for i, name in enumerate(self.servers)}
        way = self.all[datapath] = Way(datapath, ports)
        way.admin = f"{host}:8999"
        way.open(binary, own, self.servers, options)

    def close(self):
        """Exit statuses that are not 0, by datapath."""
        daemons = {way.name: way.daemon for way in self if way.daemon}
        statuses = {name: daemon.stop() for name, daemon in daemons.items()}
        return {name: status for name, status in statuses.items() if status}

    def kill(self):
        for way in self:
            if way.daemon:
                way.daemon.kill()

    def compare(self, run):
        """Returns {what: {way: [figures]}}, and what failed; that way is left out then."""
        found, failures = {}, {}
        for i in range(ROUNDS):
            order = list(self) if i % 2 == 0 else list(self)[::-1]
            for way in order:
                if way.why_not or way.name in failures:
                    continue
                try:
                    with way.is_used():
                        figures = run(way)
                except AssertionError as failure:
                    failures[way.name] = f"{way.name}, round {i + 1}: {failure}"
                    continue
                for what, figure in figures.items():
                    found.setdefault(what, {}).setdefault(way.name, []).append(figure)
        return found, list(failures.values())
