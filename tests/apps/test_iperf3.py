# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""iperf3: streams as fast as they go; to the server, from it, several."""
import json

import pytest

from programs import host_and_port, run

SERVER = "127.0.0.1:5201"


@pytest.fixture(scope="module")
def servers(programs):
    place = host_and_port(SERVER, "--bind", "--port")
    programs.start("iperf3", "-s", *place, address=SERVER)
    return {"iperf3": SERVER}


def measure(way, options):
    place = host_and_port(way["iperf3"], "-c", "-p")
    found = json.loads(run("iperf3", *place, "-J", "-t", "1", *options.split()))
    assert "error" not in found
    end = found["end"]
    sums = [end[key] for key in end if key.startswith("sum_received")]  # each way's
    assert all(each["bytes"] > 0 for each in sums), json.dumps(found)
    rate = sum(each["bits_per_second"] for each in sums) / 1e9
    return {f"iperf3 {options}".strip() + ", Gbit/s": rate}


@pytest.mark.parametrize("options", ["", "-R", "-P 4", "-P 4 -R"])
def test_iperf3_has_no_error(compare, options):
    compare(lambda way: measure(way, options))
