#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""flood.py --build DIR [--rounds N] - how a client fares while others flood.

Two network namespaces and a wire. 200 000 addresses send SYNs as fast as it is asked for;
meanwhile a client opens connections, asks, is answered and closed upon, through g5x with a
rule that is for this client only: with the guard, with one that answers by resets, and
without. The sender of the flood is on the last CPU; daemon, server and client share the first.
What the kernel does for a packet that comes in is done

 - apart: on the sender's CPU, as with a network card whose interrupts go elsewhere; or
 - with the daemon: by a thread of the kernel on the first CPU (threaded NAPI), as with one
   queue for all. Then the flood takes time from the client, and the guard has to give it back.

Another figure is nanoseconds of the last CPU for each SYN, sent as fast as can be, when all
is done there; sending is part of it, and the same for all.

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
KINDS = {
    "guard": "guard here",
    "guard reject": "guard here reject",
    "no guard": "grace 0",
}
PLACES = ("apart", "with the daemon")
FIRST, LAST = "0", str(os.cpu_count() - 1)
NAPI_ON = "ethtool -K {0} gro on tso off && echo 1 >/sys/class/net/{0}/threaded"


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

    def receive_with_the_daemon(self):
        """What comes in here is received on the first CPU, what comes back on the last.

        With GRO, and a peer without TSO, a veth has a NAPI also where there is no guard.
        """
        ends = ((self.here, "here", FIRST), (self.there, "there", LAST))
        for name, device, cpu in ends:
            before = napi_threads()
            run("ip", "netns", "exec", name, "sh", "-c", NAPI_ON.format(device))
            threads = napi_threads() - before
            assert threads, f"no thread receives for {device}"
            for pid in threads:
                run("taskset", "-pc", cpu, pid)

    def __exit__(self, *_):
        for name in (self.here, self.there):
            run("ip", "netns", "del", name)

    def start(self, name, cpu, *words):
        command = ["ip", "netns", "exec", name, "taskset", "-c", cpu, *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


def napi_threads():
    """Process ids of the kernel's threads that receive."""
    return {
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.read_text().startswith("napi/")
    }


def end(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def connects(wire, load):
    """A second; None if one was not served."""
    options = ["-n", "4", "-w", "0.2", "-t", SECONDS]
    client = wire.start(wire.there, FIRST, load, "connect", f"{HERE}:{PORT}", *options)
    text = client.communicate(timeout=60)[0].decode()
    result = json.loads(text.strip().splitlines()[-1])
    return None if result["errors"] else result["rate"]


def cost(wire, program, flood):
    """Nanoseconds for each SYN."""
    n_syns = 1_000_000
    sender = wire.start(wire.there, LAST, program, *flood[:5], n_syns, 100_000_000)
    return float(sender.communicate(timeout=60)[0].split()[1]) * 1e9 / n_syns


def measure(build, head, place, per_s):
    """Connections a second, quiet and in the flood; nanoseconds for each SYN, or None."""
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
            if place == "with the daemon":
                wire.receive_with_the_daemon()
            quiet = connects(wire, load)
            assert quiet, "not every connection was served"
            running.append(wire.start(wire.there, LAST, build / "g5x-flood", *flood))
            time.sleep(0.2)
            flooded = connects(wire, load) or 0
            running.pop().wait(60)
            apart = place == "apart"
            ns = cost(wire, build / "g5x-flood", flood) if apart else None
            return quiet, flooded, ns
        finally:
            for process in reversed(running):
                end(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=int, default=200_000)
    options = parser.parse_args()
    seen = {(place, kind): [] for place in PLACES for kind in KINDS}
    for _ in range(options.rounds):
        for place, kind in seen:
            figures = measure(options.build, KINDS[kind], place, options.per_second)
            seen[place, kind].append(figures)
    print(f"connections a second; flood of {options.per_second} SYN/s")
    for (place, kind), figures in seen.items():
        quiet, flooded, ns = zip(*figures)
        ratios = sorted(b / a for a, b in zip(quiet, flooded))
        print(
            f"{place:15}  {kind:12}  quiet {statistics.median(quiet):7.0f}"
            f"  flood {statistics.median(flooded):7.0f}"
            f"  ratio {statistics.median(ratios):.2f}"
            f" ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            + (f"  {statistics.median(ns):5.0f} ns a SYN" if place == "apart" else "")
        )


if __name__ == "__main__":
    main()
