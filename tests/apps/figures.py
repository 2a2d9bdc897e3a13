# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table of what programs achieved, direct and through each datapath."""
import statistics


class Figures:
    def __init__(self, ways):
        self.ways = ways
        self.rows = []

    def add(self, found):
        """found: {what was measured, and its unit: {way: [figures]}}"""
        for what, of_ways in found.items():
            medians = {way: statistics.median(all_) for way, all_ in of_ways.items()}
            self.rows.append((what, medians))

    def lines(self):
        if not self.rows:
            return
        first, *others = self.ways
        ratios = [f"{way}/{first}" for way in others]
        yield ""
        yield f"{'median of rounds in turns':44}" + "".join(
            f"{title:>14}" for title in (*self.ways, *ratios)
        )
        for what, medians in self.rows:
            line = f"{what:44}"
            for way in self.ways:
                line += f"{number(medians.get(way)):>14}"
            for way in others:
                line += f"{ratio(medians.get(way), medians.get(first)):>14}"
            yield line


def number(figure):
    if figure is None:
        return "-"
    return f"{figure:.0f}" if figure >= 1000 else f"{figure:.3g}"


def ratio(figure, first):
    return f"{figure / first:.2f}" if figure is not None and first else "-"
