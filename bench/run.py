#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""run.py - compares G5X with what one would use instead. `make bench` starts it.

Rounds are outermost: each goes through all blocks (topology and placement), in a block
through all workloads, and in a workload through all candidates, A B C A B C. So what
the machine does meanwhile hits everybody, and a run that is stopped early (Ctrl-C) still
has a table of the rounds that were complete.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import figures
import page
import places
import process
import table
from candidates import CANDIDATES, FIRST_PORT, SERVER_PORT, CannotStart, Proxy, Setting
from workloads import FULL, QUICK, WORKLOADS, run, run_fresh

BLOCK_S = 1.0  # to start the proxies of a block
BUSY = 0.05


def arguments():
    parser = argparse.ArgumentParser(description="compare G5X with its peers")
    parser.add_argument("--build", default="build", help="folder of g5x (build)")
    parser.add_argument("--quick", action="store_true", help="less, in two minutes")
    parser.add_argument("--rounds", type=int, help="instead of 5 (quick: 3)")
    parser.add_argument("--only", nargs="+", metavar="START", default=[""],
                        help="only workloads whose name starts so")  # fmt: skip
    parser.add_argument("--block", nargs="+", help='such as "host one"')
    parser.add_argument("--congestion", default=places.congestion_control(),
                        help="congestion control (that of the machine)")  # fmt: skip
    return parser.parse_args()


def busy_part(seconds=0.5):
    """Of all CPUs, what others use before we start."""

    def read():
        with open("/proc/stat", encoding="ascii") as f:
            words = [int(word) for word in f.readline().split()[1:9]]
        return sum(words), words[3] + words[4]

    total, idle = read()
    time.sleep(seconds)
    total_then, idle_then = read()
    return 1 - (idle_then - idle) / max(1, total_then - total)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        models = [l.split(":", 1)[1].strip() for l in f if l.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "kernel": platform.release(),
        "busy_before": busy_part(),
    }


class Progress:
    def __init__(self, total_s):
        self.total_s, self.done_s = total_s, 0.0
        self.started = time.monotonic()
        self.is_terminal = sys.stdout.isatty()

    def step(self, seconds, what):
        passed = time.monotonic() - self.started
        pace = passed / self.done_s if self.done_s > 5 else 1
        left = max(0, self.total_s - self.done_s) * pace
        self.done_s += seconds
        line = f"{100 * self.done_s / self.total_s:3.0f} %, {left:4.0f} s left: {what}"
        if self.is_terminal:
            print(f"\r{line[:78]:78}", end="", flush=True)

    def line(self, what):
        passed = time.monotonic() - self.started
        print(f"{chr(13) if self.is_terminal else ''}{passed:5.0f} s  {what:70}", flush=True)


class Comparison:
    def __init__(self, setting, options, pace):
        self.setting, self.pace = setting, pace
        self.topologies, self.unavailable = {}, {}
        self.congestion = options.congestion
        self.runs, self.rounds_done = [], 0
        self.plan = self._plan(options)
        seconds = sum(
            w.takes_s(pace) for ws in self.plan.values() for w in ws
            for c in CANDIDATES if c.kind in w.only
        ) + BLOCK_S * len(self.plan)  # fmt: skip
        self.round_s = seconds
        self.progress = Progress(pace.rounds * seconds)

    @staticmethod
    def _plan(options):
        """Block -> its workloads."""
        plan = {}
        for workload in WORKLOADS:
            if not workload.key.startswith(tuple(options.only)):
                continue
            for block in workload.quick if options.quick else workload.blocks:
                if not options.block or block in options.block:
                    plan.setdefault(block, []).append(workload)
        return plan

    def titles(self):
        placements = places.placements()
        known = {
            f"{t} {p}": f"{title}, {placements[p].title}"
            for t, title in (("host", "same host"), ("veth", "across hosts (veth)"))
            for p in placements
        }
        return {block: known[block] for block in known if block in self.plan}

    def prepare(self):
        for key in {block.split()[0] for block in self.plan}:
            try:
                self.topologies[key] = places.TOPOLOGIES[key]()
            except places.Unavailable as error:
                self.unavailable[key] = str(error)
                continue
            if self.congestion != places.congestion_control():
                places.use_congestion_control(self.topologies[key], self.congestion)

    def all_rounds(self):
        started = time.monotonic()
        for number in range(self.pace.rounds):
            passed = time.monotonic() - started
            per_round = passed / number if number else 0
            if self.pace.budget_s and passed + per_round > self.pace.budget_s:
                print(f"no time for round {number + 1} within {self.pace.budget_s} s")
                break
            for block in self.titles():
                self.progress.line(
                    f"round {number + 1} of {self.pace.rounds}: {self.titles()[block]}"
                )
                self.one_block(number, block)
            self.rounds_done = number + 1

    def one_block(self, number, block):
        topology_key, placement_key = block.split()
        if topology_key not in self.topologies:
            for workload in self.plan[block]:
                for c in CANDIDATES:
                    self._add(number, block, workload, c, {
                        "metrics": {}, "error": self.unavailable[topology_key]
                    })  # fmt: skip
            return
        topology = self.topologies[topology_key]
        placement = places.placements()[placement_key]
        server = self._start_server(topology, placement)
        proxies = {}
        try:
            if server.stdout.readline() != b"listening\n":
                raise SystemExit("the load generator's server does not start")
            for workload in self.plan[block]:
                for index, candidate in enumerate(CANDIDATES):
                    if candidate.kind in workload.only:
                        self.progress.step(
                            workload.takes_s(self.pace),
                            f"{workload.title}, {candidate.title}",
                        )
                        self._add(number, block, workload, candidate, self._run(
                            proxies, index, candidate, topology, placement, workload
                        ))  # fmt: skip
        finally:
            for proxy in proxies.values():
                proxy.stop()
            process.stop(server)
            server.stdout.close()

    def _start_server(self, topology, placement):
        command = [self.setting.load, "server", f"{topology.server_ip}:{SERVER_PORT}"]
        with open(self.setting.folder / "server.log", "ab") as log:
            return process.start(
                topology.enter("server") + command, placement.cpus,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def _run(self, proxies, index, candidate, topology, placement, workload):
        if workload.is_fresh:
            return run_fresh(
                self.setting, candidate, topology, placement, workload, self.pace
            )
        proxy = proxies.get(candidate.key)
        if proxy is None or proxy.has_died():
            try:
                proxy = proxies[candidate.key] = Proxy(
                    self.setting, candidate, topology, placement, FIRST_PORT + index
                )
            except CannotStart as error:
                return {"metrics": {}, "error": f"cannot start: {error}"}
        return run(proxy, workload, self.pace)

    def _add(self, number, block, workload, candidate, result):
        self.runs.append({
            "round": number + 1, "block": block, "workload": workload.key,
            "candidate": candidate.key, **result,
        })  # fmt: skip


def write(comparison, facts, folder):
    runs = comparison.runs
    figures.own_memory(runs)
    found, errors = figures.summarise(runs, CANDIDATES)
    blocks = comparison.titles()
    report = {
        **facts,
        "candidates": {c.key: asdict(c) for c in CANDIDATES},
        "workloads": {w.key: asdict(w) for w in WORKLOADS},
        "summary": [
            {"block": block, "workload": workload, "metrics": metrics}
            for (block, workload), metrics in found.items()
        ],
        "runs": runs,
    }
    (folder / "results.json").write_text(json.dumps(report), encoding="utf-8")
    for line in table.lines(blocks, WORKLOADS, CANDIDATES, found, errors):
        print(line)
    text = page.make(facts, blocks, WORKLOADS, CANDIDATES, found, errors, runs)
    (folder / "report.html").write_text(text, encoding="utf-8")
    print(f"\n{folder}/report.html\n{folder}/results.json")


def compare(comparison, facts, folder):
    def be_ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, be_ended)
    try:
        comparison.prepare()
        comparison.all_rounds()
    except KeyboardInterrupt:
        print("\nstopped; what follows is of the complete rounds")
        comparison.runs = [
            r for r in comparison.runs if r["round"] <= comparison.rounds_done
        ]
    finally:
        places.remove_all()
    facts["rounds"] = comparison.rounds_done
    facts["seconds"] = time.monotonic() - comparison.progress.started
    if comparison.progress.is_terminal:
        print()
    if not comparison.runs:
        raise SystemExit("no round was complete")
    write(comparison, facts, folder)


def main():
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root: sudo make bench")
    folder = Path(options.build).resolve() / "bench"
    shutil.rmtree(folder / "run", ignore_errors=True)
    (folder / "run").mkdir(parents=True)
    setting = Setting(options.build, folder / "run", process.raise_fd_limit())
    pace = QUICK if options.quick else FULL
    if options.rounds:
        pace = replace(pace, rounds=options.rounds, budget_s=0)
    places.remove_all()
    comparison = Comparison(setting, options, pace)
    facts = {
        "machine": machine(),
        "versions": {c.key: setting.version(c) for c in CANDIDATES if c.version},
        "settings": {**asdict(pace), "fd_limit": setting.fd_limit,
                     "congestion": options.congestion},
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }
    minutes = pace.rounds * comparison.round_s / 60
    print(f"{pace.rounds} rounds, about {minutes:.0f} minutes; Ctrl-C ends it with the"
          " rounds that are complete")  # fmt: skip
    if facts["machine"]["busy_before"] > BUSY:
        print(f"this machine is not quiet: {facts['machine']['busy_before']:.0%} of its"
              " CPU time goes elsewhere")  # fmt: skip
    compare(comparison, facts, folder)


if __name__ == "__main__":
    main()
