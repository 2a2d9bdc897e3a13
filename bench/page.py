# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The page: first the answer, then plots, then every figure; one file, no scripts."""
from html import escape

import plots
from figures import cdf, text
from workloads import METRICS


def _sessions(n):
    return f"{n} session{'s' * (n > 1)}"


# Bars that belong in one plot: (title, metric, workload -> label of its group).
GROUPS = (
    ("Ping-pong, 64 bytes", "rate", "round trips per second",
     {f"pingpong-64-{n}": _sessions(n) for n in (1, 16, 256)}),
    ("Ping-pong, 4 KiB", "rate", "round trips per second",
     {f"pingpong-4096-{n}": _sessions(n) for n in (1, 16, 256)}),
    ("CPU of the whole machine, ping-pong 64 bytes", "cpu_us", "µs per round trip",
     {f"pingpong-64-{n}": _sessions(n) for n in (1, 16, 256)}),
    ("Bulk", "gbit_s", "Gbit/s at the receiver",
     {f"bulk-{n}": _sessions(n) for n in (1, 8)}),
    ("CPU of the whole machine, bulk", "cpu_s_gb", "seconds per GB",
     {f"bulk-{n}": _sessions(n) for n in (1, 8)}),
    ("Connect, ask, close", "rate", "connections per second",
     {"connect": "16 at a time"}),
    ("Storm of 2000 connections", "served_ms", "ms until all are served",
     {"storm-2000": "2000 at once"}),
    ("Memory that an idle session costs", "own_kib", "KiB per session",
     {f"memory-{n}": f"{n} idle" for n in (1000, 9000)}),
    ("Cost of rules: connections", "rate", "connections per second",
     {f"rules-{n}": f"{n} rule{'s' * (n > 1)}" for n in (1, 100, 1000)}),
    ("Cost of idle sessions: ping-pong of one", "rate", "round trips per second",
     {"pingpong-64-1": "none", "idle-1000": "1000 idle", "idle-9000": "9000 idle"}),
)  # fmt: skip

NEEDS = {"Cost of idle sessions: ping-pong of one": "idle-1000"}
CDFS = ("pingpong-64-1", "pingpong-64-16", "pingpong-64-256")
EVEN = 0.97  # a ratio above that and below 1 is called even: medians are that noisy

STYLE = """
body { font: 15px/1.45 sans-serif; color: #222; max-width: 1180px; margin: 2em auto;
       padding: 0 1em }
h1 { font-size: 1.6em } h2 { margin-top: 2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8em 0 }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #e4e4e4 }
th { font-weight: 600; vertical-align: bottom }
th:first-child, td:first-child { text-align: left }
td small { color: #777; display: block; white-space: nowrap }
.better { background: #d9efdb } .even { background: #f4f4f4 } .worse { background: #fbdcd7 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 1em }
.plots svg { width: 100%; height: auto }
.failed { color: #a40000 } summary { cursor: pointer; font-weight: 600 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em }
dt { color: #666 } dd { margin: 0 }
"""


def make(facts, blocks, workloads, candidates, found, errors, runs):
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<title>G5X compared</title><style>", STYLE, "</style></head><body>",
        "<h1>G5X and what one would use instead</h1>",
        _facts(facts, candidates),
    ]  # fmt: skip
    for c in candidates:
        if c.kind == "g5x":
            parts.append(_answer(c, blocks, workloads, found))
    parts.append(_failures(blocks, workloads, candidates, errors))
    for block, title in blocks.items():
        parts.append(f"<h2>{escape(title[0].upper() + title[1:])}</h2>")
        parts.append(_plots(block, candidates, found, runs))
        parts.append(_details(block, workloads, candidates, found))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _facts(facts, candidates):
    m = facts["machine"]
    rows = [
        ("machine", f"{m['cpu']}, {m['cpus']} CPUs, {m['memory_gib']} GiB,"
                    f" Linux {m['kernel']}, congestion control"
                    f" {facts['settings']['congestion']}"),
        ("when", f"{facts['when']}, {facts['rounds']} rounds in"
                 f" {facts['seconds'] / 60:.1f} minutes; before it, other work took"
                 f" {m['busy_before']:.0%} of the CPU time"),
        ("versions", "; ".join(dict.fromkeys(
            f"{c.title.split()[0]} {facts['versions'][c.key]}" for c in candidates
            if c.key in facts["versions"]))),
        ("figures", "median over the rounds, below it the smallest and the largest."
                    " CPU time is that of the whole machine. Ratios above 1 are better,"
                    " also where less is better"),
    ]  # fmt: skip
    return "<dl>" + "".join(
        f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows
    ) + "</dl>"  # fmt: skip


def _judge(ratio):
    if ratio is None:
        return "", "–"
    kind = "better" if ratio >= 1 else "even" if ratio >= EVEN else "worse"
    return kind, f"{ratio:.2f} ×"


def _answer(candidate, blocks, workloads, found):
    lines = [
        f"<h2>{escape(candidate.title)}, against the best of its peers</h2>",
        "<table><tr><th>main figure of each workload</th>",
        *(f"<th>{escape(title)}</th>" for title in blocks.values()),
        "</tr>",
    ]
    for w in workloads:
        cells = []
        for block in blocks:
            by_candidate = found.get((block, w.key), {}).get(w.metrics[0], {})
            figure = by_candidate.get(candidate.key)
            kind, ratio = _judge(figure and figure["of_best_peer"])
            direct = figure and figure["of_direct"]
            more = f"<small>{direct:.2f} × direct</small>" if direct else ""
            cells.append(f"<td class='{kind}'>{ratio if figure else ''}{more}</td>")
        if any(">" in cell and not cell.endswith("'></td>") for cell in cells):
            metric = METRICS[w.metrics[0]]
            lines.append(
                f"<tr><td>{escape(w.title)}<small>{escape(metric.title)}</small></td>"
                + "".join(cells) + "</tr>"
            )  # fmt: skip
    return "\n".join(lines) + "</table>"


def _failures(blocks, workloads, candidates, errors):
    titles = {w.key: w.title for w in workloads}
    names = {c.key: c.title for c in candidates}
    items = [
        f"<li>{escape(names[c])}, {escape(titles[w])}, {escape(blocks[b])}:"
        f" {len(seen)} of the runs; {escape(seen[0])}</li>"
        for (b, w, c), seen in errors.items()
    ]
    if not items:
        return "<p>No run saw an error.</p>"
    return (
        "<div class='failed'><p>Runs with errors, in no figure:</p><ul>"
        + "".join(items) + "</ul></div>"
    )  # fmt: skip


def _plots(block, candidates, found, runs):
    drawn = []
    try:
        for title, metric, unit, groups in GROUPS:
            if title in NEEDS and (block, NEEDS[title]) not in found:
                continue
            there = {
                label: found[block, key][metric]
                for key, label in groups.items()
                if metric in found.get((block, key), {})
            }
            drawn.append(plots.bars(title, unit, list(there), candidates, there))
        for key in CDFS:
            curves = {
                c.key: cdf([
                    r for r in runs
                    if (r["block"], r["workload"], r["candidate"]) == (block, key, c.key)
                    and not r["error"]
                ])
                for c in candidates
            }  # fmt: skip
            n = key.rsplit("-", 1)[1]
            title = f"Latency of a round trip in µs, 64 bytes, {_sessions(int(n))}"
            drawn.append(plots.cdf(title, candidates, curves))
    except plots.NoGnuplot as error:
        drawn.append(f"<p class='failed'>no plots: {escape(str(error))}</p>")
    return (
        "<div class='plots'>"
        + "".join(f"<div>{svg}</div>" for svg in drawn if svg) + "</div>"
    )  # fmt: skip


def _details(block, workloads, candidates, found):
    lines = [
        "<details><summary>All figures</summary><table><tr><th>workload</th>"
        "<th></th>" + "".join(f"<th>{escape(c.title)}</th>" for c in candidates)
        + "</tr>"
    ]  # fmt: skip
    for w in workloads:
        for number, key in enumerate(w.metrics):
            by_candidate = found.get((block, w.key), {}).get(key)
            if not by_candidate:
                continue
            metric = METRICS[key]
            cells = "".join(_cell(by_candidate.get(c.key)) for c in candidates)
            lines.append(
                f"<tr><td>{escape(w.title) if number == 0 else ''}</td>"
                f"<td>{escape(metric.title)}, {metric.unit}</td>{cells}</tr>"
            )
    return "\n".join(lines) + "</table></details>"


def _cell(figure):
    if not figure:
        return "<td></td>"
    ratios = [
        f"{figure[key]:.2f} × {name}"
        for key, name in (("of_best_peer", "peer"), ("of_direct", "direct"))
        if figure.get(key)
    ]
    return (
        f"<td>{text(figure['median'])}<small>{text(figure['min'])}–"
        f"{text(figure['max'])}</small>"
        f"<small>{' · '.join(ratios)}</small></td>"
    )  # fmt: skip
