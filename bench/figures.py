# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""From raw runs to figures: medians, spans and ratios.

A ratio above 1 is always the better one, also where less is better. A run that saw an
error is counted as such and gives no figure.
"""
import statistics
from collections import defaultdict

from workloads import METRICS

CDF_POINTS = 200


def own_memory(runs):
    """What a proxy adds: its processes, and the kernel's part beyond direct's."""
    direct = {
        (run["block"], run["workload"], run["round"]): run["metrics"]["kernel_kib"]
        for run in runs
        if run["candidate"] == "direct" and "kernel_kib" in run["metrics"]
    }
    for run in runs:
        metrics = run["metrics"]
        base = direct.get((run["block"], run["workload"], run["round"]))
        if "kernel_kib" not in metrics or base is None or run["candidate"] == "direct":
            continue
        metrics["own_kib"] = metrics["pss_kib"] + metrics["kernel_kib"] - base


def summarise(runs, candidates):
    """(block, workload) -> metric -> candidate -> figure."""
    values = defaultdict(list)
    errors = defaultdict(list)
    for run in runs:
        place = (run["block"], run["workload"], run["candidate"])
        if run["error"]:
            errors[place].append(run["error"])
            continue
        for key, value in run["metrics"].items():
            values[place + (key,)].append(value)

    found = defaultdict(lambda: defaultdict(dict))
    for (block, workload, candidate, key), numbers in values.items():
        found[block, workload][key][candidate] = {
            "median": statistics.median(numbers),
            "min": min(numbers),
            "max": max(numbers),
            "n": len(numbers),
        }
    peers = [c.key for c in candidates if c.kind == "peer"]
    for metrics in found.values():
        for key, by_candidate in metrics.items():
            _add_ratios(by_candidate, METRICS[key].more_is_better, peers)
    return found, errors


def _ratio(figure, other, more_is_better):
    mine, others = figure["median"], other["median"]
    if not more_is_better:
        mine, others = others, mine
    return mine / others if others > 0 and mine > 0 else None


def _add_ratios(by_candidate, more_is_better, peers):
    there = [by_candidate[peer] for peer in peers if peer in by_candidate]
    choose = max if more_is_better else min
    best = choose(there, key=lambda figure: figure["median"], default=None)
    direct = by_candidate.get("direct")
    for figure in by_candidate.values():
        figure["of_best_peer"] = best and _ratio(figure, best, more_is_better)
        figure["of_direct"] = direct and _ratio(figure, direct, more_is_better)


def cdf(runs):
    """[(µs, part of all round trips that took no longer)] of these runs together."""
    counts = defaultdict(int)
    for run in runs:
        for us, n in run.get("buckets", ()):
            counts[us] += n
    total = sum(counts.values())
    points, seen = [], 0
    for us in sorted(counts):
        seen += counts[us]
        points.append((us, seen / total))
    step = max(1, len(points) // CDF_POINTS)
    return points[::step] + points[-1:] if points else []


def text(value):
    """Three digits that count."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.2f} M"
    if size >= 9_995:
        return f"{value / 1e3:.1f} k"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"
