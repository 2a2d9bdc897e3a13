# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table on the terminal: the main figure of each workload, and its ratios."""
from figures import text
from workloads import METRICS

NAME_WIDTH = 31
CELL_WIDTH = 16


def lines(blocks, workloads, candidates, found, errors):
    for block, title in blocks.items():
        rows = [w for w in workloads if (block, w.key) in found
                or any((block, w.key) == k[:2] for k in errors)]  # fmt: skip
        if not rows:
            continue
        yield ""
        yield title
        yield "".ljust(NAME_WIDTH + 8) + "".join(
            c.title.rjust(CELL_WIDTH) for c in candidates
        )
        for workload in rows:
            yield from _row(block, workload, candidates, found, errors)


def _row(block, workload, candidates, found, errors):
    metric = METRICS[workload.metrics[0]]
    figures = found.get((block, workload.key), {}).get(metric.key, {})
    mine = [c for c in candidates if c.key in figures]

    def cells(make):
        return "".join(
            (make(figures[c.key]) if c in mine else "").rjust(CELL_WIDTH)
            for c in candidates
        )

    def line(name, unit, make):
        return name.ljust(NAME_WIDTH) + unit.rjust(8) + cells(make)

    yield line(workload.title, metric.unit, lambda f: text(f["median"]))
    yield line("", "", lambda f: f"{text(f['min'])}–{text(f['max'])}")
    for name, key in (("of best peer", "of_best_peer"), ("of direct", "of_direct")):
        if any(figure[key] for figure in figures.values()):
            yield line(f"    {name}", "×", lambda f, key=key: _times(f[key]))
    for c in candidates:
        seen = errors.get((block, workload.key, c.key))
        if seen:
            yield f"    {c.title}: {len(seen)} of the runs failed: {seen[0]}"


def _times(ratio):
    return "" if ratio is None else f"{ratio:.2f}"
