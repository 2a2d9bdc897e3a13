# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Plots as SVG text, drawn by gnuplot: clustered bars with error bars, and CDFs."""
import re
import subprocess

GNUPLOT_S = 30
WIDTH, HEIGHT = 560, 300
COLOURS = {"direct": ["#9aa0a6"], "g5x": ["#1a5fb4", "#3da5d9", "#0b3c5d"],
           "peer": ["#e8862e", "#f4b66a", "#57a05a", "#8c6bb1"]}  # fmt: skip

HEAD = f"""
set terminal svg size {WIDTH},{HEIGHT} dynamic enhanced font 'sans-serif,12'
set encoding utf8
set border 3 lc rgb '#777777'
set tics nomirror textcolor rgb '#333333'
set grid ytics lc rgb '#dddddd'
set key outside bottom center horizontal samplen 0.8 font 'sans-serif,10.5'
set title '{{title}}' noenhanced font 'sans-serif Bold,13' textcolor rgb '#222222'
set ylabel '{{ylabel}}' noenhanced
"""

BARS = """
set yrange [0:*]
set style data histograms
set style histogram errorbars gap 2 lw 1
set style fill solid 0.9 border rgb '#444444'
set xtics scale 0
set bars 0.5
"""

CDF = """
set logscale x 10
set format x '%.0s %c'
set yrange [0:1]
set grid xtics
"""


class NoGnuplot(Exception):
    pass


def colours(candidates):
    seen = dict.fromkeys(COLOURS, 0)
    chosen = {}
    for c in candidates:
        row = COLOURS[c.kind]
        chosen[c.key] = row[seen[c.kind] % len(row)]
        seen[c.kind] += 1
    return chosen


def _draw(script):
    try:
        done = subprocess.run(
            ["gnuplot"], input=script, capture_output=True, text=True,
            timeout=GNUPLOT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoGnuplot(str(error)) from error
    if done.returncode or "<svg" not in done.stdout:
        raise NoGnuplot(done.stderr.strip())
    return re.sub(r"^.*?(?=<svg)", "", done.stdout, count=1, flags=re.S)


def _quoted(text):
    return text.replace("'", "''")


def bars(title, unit, groups, candidates, figures):
    """`figures[group][candidate]` is a figure or missing; a missing one is a gap."""
    columns = [c for c in candidates if any(c.key in figures[g] for g in groups)]
    if not columns:
        return ""
    rows = []
    for group in groups:
        row = [f'"{group}"']
        for c in columns:
            f = figures[group].get(c.key)
            row += [f"{f[k]:g}" for k in ("median", "min", "max")] if f else ["NaN"] * 3
        rows.append(" ".join(row))
    colour = colours(candidates)
    plots = ", ".join(
        f"$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}"
        f"{':xtic(1)' if i == 0 else ''} title '{_quoted(c.title)}'"
        f" lc rgb '{colour[c.key]}'"
        for i, c in enumerate(columns)
    )
    head = HEAD.format(title=_quoted(title), ylabel=unit)
    data = "$data << EOD\n" + "\n".join(rows) + "\nEOD\n"
    top = max(f["max"] for group in groups for f in figures[group].values())
    margin = f"set xrange [-0.6:{len(groups) - 0.4}]\n"
    if top >= 1000:
        margin += "set format y '%.0s%c'\n"
    return _draw(f"{head}{BARS}{margin}{data}plot {plots}\n")


def cdf(title, candidates, curves):
    """`curves[candidate]` is a list of (µs, part)."""
    columns = [c for c in candidates if curves.get(c.key)]
    if not columns:
        return ""
    colour = colours(candidates)
    data = "".join(
        f"$d{i} << EOD\n" + "\n".join(f"{x} {y:.6f}" for x, y in curves[c.key]) + "\nEOD\n"
        for i, c in enumerate(columns)
    )
    plots = ", ".join(
        f"$d{i} using 1:2 with lines lw 2 lc rgb '{colour[c.key]}'"
        f" title '{_quoted(c.title)}'"
        for i, c in enumerate(columns)
    )
    # The slowest few would squeeze the rest into a corner.
    ends = [next(x for x, y in curves[c.key] if y >= 0.995) for c in columns]
    head = HEAD.format(title=_quoted(title), ylabel="part of all round trips")
    return _draw(f"{head}{CDF}set xrange [*:{max(ends)}]\n{data}plot {plots}\n")
