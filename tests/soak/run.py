#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""run.py --build DIR [--sessions N] - a long churn of short sessions through g5x.

One daemon has rules of both datapaths, which take turns; with --copy only that one.
g5x-soak compares every byte and every end. After each tenth the
daemon has to have nothing left: no session, no descriptor, nothing in the maps. In the
end its log must add up to what was sent, and memory be as after the first tenth.

--busy: others use this machine, so what its kernel's memory does tells nothing.
Needs root, for a network namespace of its own. Exit status: 0 when all was right.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "net"))

# pylint: disable=wrong-import-position
from lib.daemon import Daemon
from lib.manage import ADMIN, Manage
from lib.namespace import Namespace
from lib.pins import Pins
from lib.wait import wait_until

PARTS = 10
SERVER_PORT = 18081
SERVERS = [f"127.0.1.{i}:{SERVER_PORT}" for i in range(1, 9)]
TARGETS = {"copy": "127.0.0.1:8000", "splice": "127.0.0.1:8001"}
LEFT = "client left while connecting"
REASONS = {"done", "reset by client", "reset by server", LEFT}
MIB = 1 << 20

# At the most, from the first tenth to the last. The kernel's is the whole machine's.
GROWTH = {"pss": 2 * MIB}
KERNEL_GROWTH = {"slab": 64 * MIB, "tcp": 32 * MIB}


def memory(daemon):
    meminfo = Path("/proc/meminfo").read_text()
    sockstat = Path("/proc/net/sockstat").read_text()
    return {
        "pss": daemon.pss(),
        "slab": int(re.search(r"^Slab: +(\d+) kB", meminfo, re.M)[1]) * 1024,
        "tcp": int(re.search(r"^TCP: .* mem (\d+)$", sockstat, re.M)[1]) * 4096,
    }


class Failures(list):
    def check(self, is_right, text):
        if not is_right:
            self.append(text)
            print(f"WRONG: {text}", flush=True)


def start(daemon, targets):
    rules = [
        daemon.rule(name, "RR", target, *SERVERS, datapath=name, splice_limit=65536)
        for name, target in targets.items()
    ]
    log = daemon.log_file.with_name("sessions.log")
    daemon.start(
        f"( log {log} )\n" + "".join(rules) + daemon.rule("admin", "G", ADMIN),
        *("-s", "500"),
    )
    daemon.log_file = log


def wait_until_nothing_is_left(daemon, n_fds, pins):
    def is_empty():
        with Manage(ADMIN) as manage:
            return " SERVER " not in manage.ask("list forwards")

    wait_until(is_empty, "no session is left")
    wait_until(lambda: daemon.n_fds() == n_fds, f"{n_fds} descriptors as at the start")
    if pins:
        wait_until(lambda: not pins.is_any_left(), "the maps are empty")


def read_log(path):
    """Of sessions {(rule, datapath, reason): [n, in, out]}, and all other lines."""
    line_of = re.compile(
        rb'session rule=(\w+) .* in=(\d+) out=(\d+) .* datapath=(\w+) reason="(.*)"'
    )
    sums, others = {}, {}
    with open(path, "rb") as log:
        for line in log:
            found = line_of.search(line)
            if not found:
                text = line.decode(errors="replace").partition(" | ")[2].strip()
                others[re.sub(r"\d+", "N", text)] = text
                continue
            rule, n_in, n_out, datapath, reason = found.groups()
            key = (rule.decode(), datapath.decode(), reason.decode())
            each = sums.setdefault(key, [0, 0, 0])
            for i, n in enumerate((1, int(n_in), int(n_out))):
                each[i] += n
    return sums, others


def check_books(failures, sums, counts):
    for (rule, datapath, reason), (n, n_in, n_out) in sorted(sums.items()):
        print(f"log: rule {rule}, {datapath}: {n} sessions {n_in=} {n_out=} {reason}")
    n_lines = sum(n for n, _, _ in sums.values())
    failures.check(
        n_lines == counts["sessions"],
        f"{n_lines} lines in the log for {counts['sessions']} sessions",
    )
    for i, way in enumerate(("in", "out"), start=1):
        n = sum(each[i] for (_, _, reason), each in sums.items() if reason == "done")
        failures.check(
            n == counts[way], f"{n} bytes {way} in the log, {counts[way]} were sent"
        )
    unexpected = {reason for _, _, reason in sums} - REASONS
    failures.check(not unexpected, f"reasons {sorted(unexpected)}")


def check_totals(failures, totals, sums):
    """Sessions of the rule that splices, but for those that never got to a server."""
    print(f"totals: {totals}")
    n = sum(totals[name] for name in ("spliced", "half_spliced", "not_connected"))
    n_logged = sum(
        n
        for (rule, _, reason), (n, _, _) in sums.items()
        if rule == "splice" and reason != LEFT
    )
    failures.check(n == n_logged, f"{n} sessions in the totals, {n_logged} in the log")
    for name in ("table_full", "insert_failed", "gaps"):
        failures.check(totals[name] == 0, f"{totals[name]} {name}")


def check_memory(failures, first, last, limits):
    for name, most in limits.items():
        grown = last[name] - first[name]
        print(f"memory: {name} {first[name] / MIB:.1f} -> {last[name] / MIB:.1f} MiB")
        failures.check(grown <= most, f"{name} has grown by {grown / MIB:.1f} MiB")


def run_parts(soak, daemon, options, pins, failures):
    """Returns the counts, and the memory after the first and the last part."""
    n_fds, memories, counts = daemon.n_fds(), [], {}
    for part in range(PARTS):
        n = options.sessions * (part + 1) // PARTS - options.sessions * part // PARTS
        started = time.monotonic()
        soak.stdin.write(f"{n}\n")
        soak.stdin.flush()
        line = soak.stdout.readline()
        if not line:
            failures.check(False, "g5x-soak ended")
            break
        seconds = time.monotonic() - started
        counts = json.loads(line)
        wait_until_nothing_is_left(daemon, n_fds, pins)
        memories.append(memory(daemon))
        print(
            f"{counts['sessions']:8} sessions, {n / seconds:6.0f} a second, "
            + ", ".join(f"{k} {v / MIB:.1f} MiB" for k, v in memories[-1].items()),
            flush=True,
        )
        failures.check(counts["wrong"] == 0, f"{counts['wrong']} sessions went wrong")
    return counts, memories


def run(options, folder):
    failures = Failures()
    daemon = Daemon(options.build / "g5x", folder, "splice")
    try:
        targets = {"copy": TARGETS["copy"]} if options.copy else TARGETS
        start(daemon, targets)
        if not options.copy:
            line = daemon.wait_for_log("splice (on|off): ")
            if "splice off: " in line:
                failures.check(False, line)
                return failures
        pins = None if options.copy else Pins(daemon.bpffs)
        command = [options.build / "g5x-soak", options.seconds, SERVER_PORT]
        command += targets.values()
        with subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as soak:
            before = pins.totals() if pins else {}
            counts, memories = run_parts(soak, daemon, options, pins, failures)
            totals = pins.totals() if pins else {}
            soak.stdin.close()
        failures.check(soak.returncode == 0, f"g5x-soak: status {soak.returncode}")
        failures.check(
            counts.get("sessions") == options.sessions,
            f"{counts.get('sessions')} of {options.sessions} sessions: out of time?",
        )
        failures.check(daemon.stop() == 0, "g5x did not end well")
    finally:
        daemon.kill()
    print(f"sessions: {counts}")
    sums, others = read_log(daemon.log_file)
    for text in others.values():
        print(f"log: {text}")
    check_books(failures, sums, counts)
    if pins:
        totals = {name: n - before[name] for name, n in totals.items()}
        check_totals(failures, totals, sums)
    if not daemon.is_sanitized():
        check_memory(failures, memories[0], memories[-1], GROWTH)
    if not options.busy:
        check_memory(failures, memories[0], memories[-1], KERNEL_GROWTH)
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, default=TESTS.parent / "build")
    parser.add_argument("--sessions", type=int, default=1000000)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--copy", action="store_true")
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    options.build = options.build.resolve()
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=options.build))
    started = time.monotonic()
    print(
        f"{options.sessions} sessions, in not more than {options.seconds} s", flush=True
    )
    with Namespace():
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("20000 65000")
        Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("20000")
        failures = run(options, folder)
    seconds = time.monotonic() - started
    print(f"{options.sessions} sessions in {seconds:.0f} s: ", end="")
    if failures:
        print(f"{len(failures)} checks failed; log: {folder}")
        return 1
    shutil.rmtree(folder)
    print("all right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
