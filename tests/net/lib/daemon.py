# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""g5x as a test runs it: started on rules, waited for, looked at, stopped.

The process dies with the test: ended by its fixture, or by the kernel should the test
be killed.
"""
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lib.wait import LIMIT_S, wait_until

FORWARD = "127.0.0.1:8000"
FEW_SESSIONS = ("-s", "200")  # bpftool shows every place of a map
IDLE_LIMIT_S = 1  # for a daemon to have nothing to do
numbers = itertools.count()


class Daemon:
    def __init__(self, binary, folder, datapath):
        self.binary = Path(binary)
        self.datapath = datapath
        self.rule_file = Path(folder) / "g5x.conf"
        self.log_file = Path(folder) / "g5x.log"
        # File systems are not the namespace's: others run at the same time.
        self.bpffs = Path(f"/sys/fs/bpf/g5x-test-{os.getpid()}-{next(numbers)}")
        self.may_copy = False  # even if it is asked to splice
        self.process = None

    # ---- rules ----

    def rule(self, name, mode, forwards, *servers, clients="*:*", **attributes):
        """A rule line; every rule that forwards names the datapath under test."""
        if mode != "G":
            attributes = {"datapath": self.datapath, **attributes}
        block = " ".join(f"{key} {value}" for key, value in attributes.items())
        words = [
            name,
            mode,
            f"( {block} )" if block else "",
            clients,
            "-",
            str(forwards),
        ]
        if servers:
            words += [">", *[str(server) for server in servers]]
        return " ".join(word for word in [*words, ";"] if word) + "\n"

    def write_rules(self, text):
        self.rule_file.write_bytes(text if isinstance(text, bytes) else text.encode())

    # ---- the process ----

    def start(self, rules, *options, **limits):
        """Returns when every forward address of the rules is listened on."""
        self.write_rules(rules)
        self.spawn("-f", self.rule_file, *options, **limits)
        wanted = forward_addresses(rules)
        wait_until(
            lambda: self.has_ended() or wanted <= self.listening(),
            f"listens on {wanted}",
        )
        assert not self.has_ended(), f"g5x ended with {self.process.returncode}"

    def forward(self, *servers, mode="RR", options=(), **attributes):
        """Starts with one rule, from FORWARD to the servers."""
        self.start(self.rule("web", mode, FORWARD, *servers, **attributes), *options)

    def spawn(self, *arguments, max_fds=None, is_privileged=True):
        command = ["setpriv", "--pdeathsig", "KILL"]
        if not is_privileged:
            command += ["--bounding-set", "-all", "--inh-caps", "-all"]
        if max_fds:
            command += ["prlimit", f"--nofile={max_fds}:{max_fds}"]
        command += [self.binary, *arguments]
        if self.datapath != "copy" and "--bpffs" not in arguments:
            command += ["--bpffs", self.bpffs]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.rule_file.parent,
            )

    def run(self, *arguments):
        """For runs that end by themselves: (exit status, stdout, stderr)."""
        done = subprocess.run(
            [str(word) for word in (self.binary, *arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            cwd=self.rule_file.parent,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def signal(self, number):
        self.process.send_signal(number)

    def thread_states(self):
        """A set of letters: see proc(5)."""
        stats = list(Path(f"/proc/{self.pid}/task").glob("*/stat"))
        return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}

    def freeze(self):
        """SIGSTOP; returns when every thread has stopped.

        Not in the middle of a turn, if the daemon has nothing more to do: what it has just
        sent would not be in its books, and what comes behind that has to wait for it.
        """
        deadline = time.monotonic() + IDLE_LIMIT_S
        while self.thread_states() != {"S"} and time.monotonic() < deadline:
            time.sleep(0.001)
        self.signal(signal.SIGSTOP)
        wait_until(lambda: self.thread_states() == {"T"}, "the daemon has stopped")

    def reload(self, rules):
        """Only sends the signal: what then becomes true is the test's to wait for."""
        self.write_rules(rules)
        self.signal(signal.SIGHUP)

    def has_ended(self):
        return self.process.poll() is not None

    def wait(self):
        return self.process.wait(LIMIT_S)

    def stop(self):
        """Without waiting for sessions; returns the exit status."""
        self.signal(signal.SIGTERM)
        self.signal_until_it_ends(signal.SIGTERM)
        return self.wait()

    def signal_until_it_ends(self, number):
        """Signals that come before the last one was handled are merged into one."""

        def has_ended_or_is_told_again():
            self.signal(number)
            return self.has_ended()

        wait_until(has_ended_or_is_told_again, "g5x ends after its second signal")

    def kill(self):
        if self.process and not self.has_ended():
            self.process.kill()
            self.process.wait()
        if self.bpffs.is_dir():  # of one that was killed
            shutil.rmtree(self.bpffs)

    @property
    def pid(self):
        return self.process.pid

    # ---- looking at it ----

    def log(self):
        return (
            self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        )

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_for_log(self, pattern):
        """Returns the first line that matches."""
        return wait_until(lambda: self.log_lines(pattern), f"log line /{pattern}/")[0]

    def listening(self):
        """The addresses that are listened on in this network namespace."""
        lines = subprocess.check_output(["ss", "-Htln"], text=True).splitlines()
        return {line.split()[3] for line in lines}

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pss(self):
        """Bytes of memory that are this process's."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss: +(\d+) kB", text, re.M)[1]) * 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds):
        """Of one CPU, over the next seconds."""
        start, cpu = time.monotonic(), self.cpu_seconds()
        time.sleep(seconds)
        return (self.cpu_seconds() - cpu) / (time.monotonic() - start)

    def is_sanitized(self):
        return b"__asan_init" in self.binary.read_bytes()


def forward_addresses(rules):
    """Those of a rule text that are listened on: the ones without a wildcard."""
    text = rules.decode(errors="replace") if isinstance(rules, bytes) else rules
    found = set()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if "-" in words:
            words = words[words.index("-") + 1 :]
            ends = [words.index(end) for end in (">", ";") if end in words]
            found |= {w for w in words[: min(ends)] if not set(w) & set("*?")}
    return found
