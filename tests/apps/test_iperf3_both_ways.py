# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""iperf3 both ways at once.

A server of iperf3 tells its connections apart by their order: the first one receives,
the second one sends. Of connections that come at the same time, only one worker keeps
the order; with more, both ends may send on one connection and wait on the other.
"""
import pytest

from test_iperf3 import measure, servers  # pylint: disable=unused-import


@pytest.fixture(scope="module")
def daemon_options():
    return ("--workers", "1")


def test_iperf3_both_ways_has_no_error(compare):
    compare(lambda way: measure(way, "--bidir"))
