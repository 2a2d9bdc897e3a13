#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""summary.py RUN.xml... - adds up runs of pytest (--junitxml); the last line is the sum.

A run whose file is not there, or that ran nothing, counts as a failure: the exit status
is 0 only if every run took place and nothing failed.
"""
import sys
import xml.etree.ElementTree
from collections import Counter
from pathlib import Path


def name_of(case):
    return f"{case.get('classname', '')}::{case.get('name', '')}".lstrip(":")


def read(path, counts, failures, skips):
    run = Path(path).stem.removeprefix("junit-")
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        cases = []
    if not cases:
        counts["failed"] += 1
        failures.append(f"{run}: ran no test at all")
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
            failures.append(f"{run}: {name_of(case)}")
        elif skipped is not None:
            counts["skipped"] += 1
            reason = skipped.get("message", "")
            skips.setdefault(reason, []).append(f"{run}: {name_of(case)}")
        else:
            counts["passed"] += 1


def main(paths):
    counts, failures, skips = Counter(), [], {}
    for path in paths:
        read(path, counts, failures, skips)

    for reason, names in sorted(skips.items()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"skipped: {reason} ({names[0]}{more})")
    for failure in failures:
        print(f"failed: {failure}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
