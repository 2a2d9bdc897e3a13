# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Waiting for something to become true; with a limit only so that a test ends."""
import time

LIMIT_S = 60


def wait_until(condition, what):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.005)
    return value
