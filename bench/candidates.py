# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Who is compared. A datapath more is a row more in CANDIDATES."""
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from string import Template

import process

HERE = Path(__file__).resolve().parent
WORKERS = 2
START_S = 5
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass
class Candidate:
    key: str
    title: str
    kind: str  # "direct", "g5x" or "peer"
    command: tuple = ()
    config: str = ""
    option: str = ""  # what is special to this row in its configuration
    version: tuple = ()


def _g5x(key, title, option):
    return Candidate(
        key, title, "g5x", ("{g5x}", "-f", "{config}"), "g5x.conf", option,
        ("{g5x}", "-v"),
    )  # fmt: skip


def _haproxy(key, title, option):
    return Candidate(
        key, title, "peer", ("haproxy", "-db", "-f", "{config}"), "haproxy.cfg",
        option, ("haproxy", "-v"),
    )  # fmt: skip


CANDIDATES = (
    Candidate("direct", "direct", "direct"),
    _g5x("g5x-copy", "g5x copy", "datapath copy"),
    _g5x("g5x-splice", "g5x splice", "datapath splice"),
    _g5x("g5x-auto", "g5x auto", "datapath auto"),
    _g5x("g5x-bypass", "g5x bypass", "datapath bypass"),
    _haproxy("haproxy", "haproxy", ""),
    _haproxy("haproxy-splice", "haproxy splice", "option splice-auto"),
    Candidate(
        "nginx", "nginx stream", "peer",
        ("nginx", "-e", "stderr", "-p", "{folder}", "-c", "{config}"), "nginx.conf", "",
        ("nginx", "-v"),
    ),
)  # fmt: skip


class CannotStart(Exception):
    pass


class Setting:
    """What all candidates of a comparison share."""

    def __init__(self, build, folder, fd_limit):
        self.g5x = Path(build).resolve() / "g5x"
        self.load = Path(build).resolve() / "bench" / "g5x-load"
        self.folder = folder
        self.fd_limit = fd_limit

    def words(self, words, **more):
        known = {"g5x": self.g5x, "folder": self.folder, **more}
        return [word.format(**known) for word in words]

    def version(self, candidate):
        if not candidate.version:
            return ""
        try:
            done = subprocess.run(
                self.words(candidate.version), env={"PATH": PATH}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_S,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        line = (done.stdout.splitlines() or [""])[0]
        found = re.search(r"\bv?\d+\.\d+\.\d[^ ]*", line)
        return found[0] if found else line


class Proxy:
    """One running candidate; `direct` has no process but the same shape."""

    def __init__(self, setting, candidate, topology, placement, port, n_rules=1):
        self.setting, self.candidate = setting, candidate
        self.topology, self.placement = topology, placement
        self.process = None
        self.server = f"{topology.server_ip}:{SERVER_PORT}"
        self.address = f"{topology.proxy_ip}:{port}"
        if candidate.kind == "direct":
            self.address = self.server
            return
        name = f"{candidate.key}-{topology.key}-{placement.key}-{port}"
        self.log = setting.folder / f"{name}.log"
        config = setting.folder / f"{name}.conf"
        config.write_text(self._config(n_rules), encoding="ascii")
        self._start(setting.words(candidate.command, config=config))

    def _config(self, n_rules):
        text = (HERE / "peers" / self.candidate.config).read_text(encoding="ascii")
        limit = self.setting.fd_limit
        others = (
            f"other{i} RR 10.{i // 250}.{i % 250}.*:* - {self.address} > {self.server} ;"
            for i in range(n_rules - 1)
        )
        return Template(text).substitute(
            workers=WORKERS,
            maxconn=min(20000, (limit - 1500) // 2),
            maxpipes=min(1000, limit // 50),
            n_connections=min(20000, limit - 500),
            fd_limit=limit,
            folder=self.setting.folder,
            listen=self.address,
            server=self.server,
            option=self.candidate.option,
            other_rules="\n".join(others),
        )

    def _start(self, command):
        with open(self.log, "wb") as log:
            try:
                self.process = process.start(
                    self.topology.enter("proxy") + command, self.placement.cpus,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, "PATH": PATH},
                )  # fmt: skip
            except OSError as error:
                raise CannotStart(str(error)) from error
        until = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise CannotStart(self.why())
            time.sleep(0.02)

    def _answers(self):
        command = [self.setting.load, "pingpong", self.address, "-t0", "-w0", "-l1"]
        with process.start(
            self.topology.enter("client") + command, self.placement.cpus,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as client:  # fmt: skip
            return b'"errors":0' in client.communicate()[0]

    def why(self):
        """Its last words."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        status = self.process.poll() if self.process else None
        return lines[-1][-200:] if lines else f"no message, exit status {status}"

    def pid(self):
        return self.process.pid if self.process else None

    def has_died(self):
        return self.process is not None and self.process.poll() is not None

    def stop(self):
        process.stop(self.process)


SERVER_PORT = 7000
FIRST_PORT = 7001
FRESH_PORT = 7101  # of a proxy that is started for one run
