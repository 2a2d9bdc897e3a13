#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""flood.py --build DIR [--rounds N] - how a client fares while others flood.

Two network namespaces and a wire. 200 000 addresses send SYNs as fast as it is asked for;
meanwhile a client opens connections, asks, is answered and closed upon, through g5x with a
rule that is for this client only: with the guard, with one that answers by resets, and
without. The flood and what the kernel does with it are on the last CPU, all others on the
first: what is measured is what the flood takes from the listener, not the cost of sending it.
That is the second figure: nanoseconds of its CPU for each SYN, sent as fast as can be, with
the sending (which is the same for all).

Printed are medians over rounds, and the median of the ratios. Needs root and two CPUs.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE, THERE, PORT = "10.9.0.1", "10.9.0.2", 8000
SECONDS = 2.5
KINDS = {"guard": "guard here", "guard reject": "guard here reject", "no guard": "grace 0"}
FIRST, LAST = "0", str(os.cpu_count() - 1)


def run(*words):
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return done.stdout


class Wire:
    """Two namespaces, named after this process."""

    def __enter__(self):
        self.here, self.there = (f"g5x-bench-{os.getpid()}-{end}" for end in "ab")
        for name in (self.here, self.there):
            run("ip", "netns", "add", name)
        pair = ["type", "veth", "peer", "name", "there", "netns", self.there]
        run("ip", "link", "add", "here", "netns", self.here, *pair)
        ends = ((self.here, "here", HERE), (self.there, "there", THERE))
        for name, device, address in ends:
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "-n", self.here, "route", "add", "10.64.0.0/14", "via", THERE)
        link = run("ip", "-j", "-n", self.here, "link", "show", "dev", "here")
        self.mac = json.loads(link)[0]["address"]
        return self

    def __exit__(self, *_):
        for name in (self.here, self.there):
            run("ip", "netns", "del", name)

    def start(self, name, cpu, *words):
        command = ["ip", "netns", "exec", name, "taskset", "-c", cpu, *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


def end(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def connects(wire, load):
    options = ["-n", "4", "-w", "0.2", "-t", SECONDS]
    client = wire.start(wire.there, FIRST, load, "connect", f"{HERE}:{PORT}", *options)
    text = client.communicate(timeout=60)[0].decode()
    result = json.loads(text.strip().splitlines()[-1])
    assert not result["errors"], result["first_error"]
    return result["rate"]


def cost(wire, program, flood):
    """Nanoseconds for each SYN."""
    n_syns = 1_000_000
    sender = wire.start(wire.there, LAST, program, *flood[:5], n_syns, 100_000_000)
    return float(sender.communicate(timeout=60)[0].split()[1]) * 1e9 / n_syns


def measure(build, head, per_s):
    """Connections a second, quiet and in the flood; nanoseconds for each SYN."""
    load = build / "bench/g5x-load"
    rule = f"web RR ( datapath copy ) {THERE}:* - {HERE}:{PORT} > 127.0.0.1:9000 ;"
    flood = ["there", "MAC", HERE, PORT, "10.64.0.0", int(per_s * (SECONDS + 1)), per_s]
    with Wire() as wire, tempfile.TemporaryDirectory() as folder:
        flood[1] = wire.mac
        rules = Path(folder) / "rules"
        rules.write_text(f"( workers 1 log none {head} )\n{rule}\n")
        bpffs = f"/sys/fs/bpf/g5x-bench-{os.getpid()}"
        command = [build / "g5x", "-f", rules, "--bpffs", bpffs]
        running = [wire.start(wire.here, FIRST, load, "server", "127.0.0.1:9000")]
        running.append(wire.start(wire.here, FIRST, *command))
        try:
            time.sleep(1)
            quiet = connects(wire, load)
            running.append(wire.start(wire.there, LAST, build / "g5x-flood", *flood))
            time.sleep(0.2)
            flooded = connects(wire, load)
            running.pop().wait(60)
            return quiet, flooded, cost(wire, build / "g5x-flood", flood)
        finally:
            for process in reversed(running):
                end(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=int, default=200_000)
    options = parser.parse_args()
    seen = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind, head in KINDS.items():
            seen[kind].append(measure(options.build, head, options.per_second))
    print(f"connections a second; flood of {options.per_second} SYN/s")
    for kind, figures in seen.items():
        quiet, flooded, ns = (statistics.median(values) for values in zip(*figures))
        ratios = sorted(b / a for a, b, _ in figures)
        middle = statistics.median(ratios)
        print(
            f"{kind:14} quiet {quiet:7.0f}  flood {flooded:7.0f}  "
            f"ratio {middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  {ns:5.0f} ns a SYN"
        )


if __name__ == "__main__":
    main()
