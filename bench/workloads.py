# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is measured: the table of workloads, and one run of one of them.

A run gives a dict, as it goes into results.json: "metrics" (name -> number), "buckets"
of latencies, "error" (None if there was none), and what the load generator said.
"""
import json
import subprocess
import time
from dataclasses import dataclass

import memory
import process
from candidates import FRESH_PORT, CannotStart, Proxy

LIMIT_S = 30
SETTLE_S = 0.3
GB = 1e9


@dataclass
class Metric:
    key: str
    title: str
    unit: str
    more_is_better: bool = False


METRICS = {
    metric.key: metric
    for metric in (
        Metric("rate", "rate", "1/s", True),
        Metric("gbit_s", "throughput", "Gbit/s", True),
        Metric("served_ms", "until all are served", "ms"),
        Metric("cpu_us", "CPU per round trip or connection", "µs"),
        Metric("cpu_s_gb", "CPU per GB", "s"),
        Metric("p50_us", "p50", "µs"),
        Metric("p99_us", "p99", "µs"),
        Metric("p999_us", "p99.9", "µs"),
        Metric("pss_kib", "processes, per session", "KiB"),
        Metric("kernel_kib", "kernel, per session, both ends too", "KiB"),
        Metric("own_kib", "all that the proxy adds, per session", "KiB"),
    )
}

LATENCY = ("p50_us", "p99_us", "p999_us")


@dataclass
class Workload:
    key: str
    title: str
    command: str
    sessions: int
    metrics: tuple  # the first is the one of the short table
    size: int = 64
    n_rules: int = 1
    n_idle: int = 0
    is_fresh: bool = False  # a proxy started for this run alone
    only: tuple = ("direct", "g5x", "peer")
    blocks: tuple = ("host one", "host free", "veth one", "veth free")
    quick: tuple = ()  # blocks of a quick run

    def takes_s(self, pace):
        """A guess, for the progress line."""
        if self.command == "hold":
            return 2 + self.sessions / 4000
        if self.command == "storm":
            return 0.5
        return pace.warmup_s + pace.measure_s + 0.12 + self.n_idle / 4000


@dataclass
class Pace:
    rounds: int
    warmup_s: float
    measure_s: float
    budget_s: float = 0  # no new round after that; 0: as long as it takes


FULL = Pace(rounds=5, warmup_s=0.3, measure_s=1.0)
QUICK = Pace(rounds=3, warmup_s=0.06, measure_s=0.24, budget_s=95)

_BOTH = ("host one", "host free")


def _pingpong(size, title, sessions, quick=()):
    return Workload(
        f"pingpong-{size}-{sessions}", f"ping-pong {title} × {sessions}", "pingpong",
        sessions, ("rate", "cpu_us") + LATENCY, size=size, quick=quick,
    )  # fmt: skip


def _bulk(sessions, quick):
    return Workload(
        f"bulk-{sessions}", f"bulk × {sessions}", "bulk", sessions,
        ("gbit_s", "cpu_s_gb"), quick=quick,
    )  # fmt: skip


def _with_rules(n_rules):
    return Workload(
        f"rules-{n_rules}", f"connect × 16, {n_rules} rule{'s' * (n_rules > 1)}", "connect", 16,
        ("rate", "cpu_us") + LATENCY, n_rules=n_rules, is_fresh=True, only=("g5x",),
        blocks=_BOTH,
    )  # fmt: skip


def _with_idle(n_idle):
    return Workload(
        f"idle-{n_idle}", f"ping-pong 64 B × 1, {n_idle} idle", "pingpong", 1,
        ("rate", "cpu_us") + LATENCY, n_idle=n_idle, is_fresh=True,
        only=("g5x", "peer"), blocks=_BOTH,
    )  # fmt: skip


def _memory(sessions, quick=()):
    return Workload(
        f"memory-{sessions}", f"memory, {sessions} idle", "hold", sessions,
        ("own_kib", "pss_kib", "kernel_kib"), is_fresh=True,
        blocks=("host free", "veth free"), quick=quick,
    )  # fmt: skip


WORKLOADS = (
    _pingpong(64, "64 B", 1, _BOTH),
    _pingpong(64, "64 B", 16, _BOTH + ("veth free",)),
    _pingpong(64, "64 B", 256, _BOTH),
    _pingpong(4096, "4 KiB", 1),
    _pingpong(4096, "4 KiB", 16),
    _pingpong(4096, "4 KiB", 256),
    _bulk(1, _BOTH + ("veth free",)),
    _bulk(8, _BOTH),
    Workload(
        "connect", "connect × 16", "connect", 16, ("rate", "cpu_us") + LATENCY,
        quick=_BOTH + ("veth free",),
    ),
    Workload(
        "storm-2000", "storm of 2000", "storm", 2000,
        ("served_ms", "cpu_us", "p50_us", "p99_us"), quick=("host free",),
    ),
    _memory(1000, ("host free",)),
    _memory(9000),
    _with_rules(1),
    _with_rules(100),
    _with_rules(1000),
    _with_idle(1000),
    _with_idle(9000),
)  # fmt: skip


class Failed(Exception):
    """A run that has no figures."""


def _client(proxy, command, *options, **streams):
    words = [proxy.setting.load, command, proxy.address, *options]
    return process.start(
        proxy.topology.enter("client") + words, proxy.placement.cpus, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **streams,
    )  # fmt: skip


def _result(line, errors=""):
    try:
        return json.loads(line)
    except ValueError:
        raise Failed(f"the load generator gave no result: {errors.strip()}") from None


def _metrics(workload, said):
    done, cpu_s, seconds = said["done"], said["cpu_s"], said["seconds"]
    latency = said["latency"]
    found = {"rate": said["rate"], "gbit_s": said["gbit_s"], "served_ms": seconds * 1e3}
    if done:
        found["cpu_us"] = cpu_s / done * 1e6
        found |= {key: latency[key] for key in LATENCY}
    if said["bytes"]:
        found["cpu_s_gb"] = cpu_s / (said["bytes"] / GB)
    return {key: found[key] for key in workload.metrics if key in found}


def _measure(proxy, workload, pace):
    client = _client(
        proxy, workload.command, f"-s{workload.size}", f"-n{workload.sessions}",
        f"-w{pace.warmup_s}", f"-t{pace.measure_s}", f"-l{LIMIT_S}",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, errors = client.communicate(timeout=LIMIT_S + 5)
    finally:
        process.stop(client)
    said = _result(output, errors)
    buckets = said["latency"].pop("buckets")
    if not said["errors"] and not said["done"] and not said["bytes"]:
        said["first_error"] = "nothing came through while it was measured"
    return {
        "metrics": _metrics(workload, said),
        "buckets": buckets,
        "said": said,
        "error": said["first_error"] or None,
    }


class Idle:
    """Sessions through a proxy that do nothing; `with` opens and ends them."""

    def __init__(self, proxy, sessions):
        self.client = _client(
            proxy, "hold", f"-n{sessions}", f"-l{4 * LIMIT_S}", stdin=subprocess.PIPE
        )
        self.said = None

    def __enter__(self):
        try:
            self.said = _result(self.client.stdout.readline())
        except Failed:
            process.stop(self.client)
            raise
        return self

    def __exit__(self, *_):
        try:
            output, errors = self.client.communicate("\n", timeout=LIMIT_S)
            alive = _result(output, errors)
            self.said["errors"] += alive["errors"]
            self.said["first_error"] = self.said["first_error"] or alive["first_error"]
        finally:
            process.stop(self.client)


def _hold(proxy, workload, _pace):
    before = memory.snapshot(proxy.pid())
    with Idle(proxy, workload.sessions) as idle:
        time.sleep(SETTLE_S)
        after = memory.snapshot(proxy.pid())
    n = workload.sessions
    return {
        "metrics": {key: (after[key] - before[key]) / n for key in after},
        "said": {"before": before, "after": after, "errors": idle.said["errors"]},
        "error": idle.said["first_error"] or None,
    }


def _measure_among_idle(proxy, workload, pace):
    with Idle(proxy, workload.n_idle) as idle:
        run = _measure(proxy, workload, pace)
    run["error"] = run["error"] or idle.said["first_error"] or None
    return run


def run(proxy, workload, pace):
    """One run through a proxy that is there."""
    how = _measure
    if workload.command == "hold":
        how = _hold
    elif workload.n_idle:
        how = _measure_among_idle
    try:
        result = how(proxy, workload, pace)
    except (Failed, subprocess.TimeoutExpired) as error:
        result = {"metrics": {}, "error": str(error)}
    if proxy.has_died():
        result["error"] = f"the proxy died: {proxy.why()}"
    return result


def run_fresh(setting, candidate, topology, placement, workload, pace):
    """One run through a proxy that is started for it."""
    try:
        proxy = Proxy(
            setting, candidate, topology, placement, FRESH_PORT, workload.n_rules
        )
    except CannotStart as error:
        return {"metrics": {}, "error": f"cannot start: {error}"}
    try:
        return run(proxy, workload, pace)
    finally:
        proxy.stop()
