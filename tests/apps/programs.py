# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Programs as a test runs them: servers that end with it, clients that end by themselves.

What is started here is killed by the kernel when the test run dies. When something
takes too long, what is said about it includes every TCP socket of the namespace.
"""
import signal
import subprocess
from subprocess import PIPE

from lib.peers import parse
from lib.wait import LIMIT_S, wait_until


def words(command):
    return [str(word) for word in command]


def sockets():
    """As ss(8) shows them, with their queues."""
    return subprocess.check_output(["ss", "-Htanmi"], text=True)


def is_listened_on(address):
    lines = subprocess.check_output(["ss", "-Htln"], text=True).splitlines()
    return address in (line.split()[3] for line in lines)


def run(*command, limit_s=LIMIT_S, **options):
    """Returns what it wrote to stdout; it has to end with status 0."""
    if "input" not in options:
        options = {"stdin": subprocess.DEVNULL, **options}
    try:
        done = subprocess.run(
            words(command),
            timeout=limit_s,
            check=False,
            **{"stdout": PIPE, "stderr": PIPE, "text": True, **options},
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(
            f"{words(command)}: not over within {limit_s} s\n"
            f"{late.stdout}\n{late.stderr}\n{sockets()}"
        ) from None
    assert done.returncode == 0, (
        f"{words(command)}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def host_and_port(address, host_option, port_option):
    host, port = parse(address)
    return [host_option, host, port_option, port]


class Programs:
    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, *command, address, user=None, end=signal.SIGTERM, **options):
        """Returns when it listens on the address; its output goes to a file."""
        prefix = ["setpriv"]
        if user:
            prefix += ["--reuid", user, "--regid", user, "--clear-groups"]
        prefix += ["--pdeathsig", "KILL"]
        log = self.folder / f"{len(self.started)}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                words([*prefix, *command]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **{"cwd": self.folder, **options},
            )
        self.started.append((process, end))
        wait_until(
            lambda: process.poll() is not None or is_listened_on(address),
            f"{command[0]} listens on {address}",
        )
        assert process.poll() is None, log.read_text(errors="replace")
        return process

    def stop(self):
        for process, end in reversed(self.started):
            stop(process, end)


def stop(process, end=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(end)
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
