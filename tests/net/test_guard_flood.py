# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""New connections from 200 000 addresses, by a wire between two namespaces.

How fast a client is meanwhile is measured by bench/flood.py.
"""
import json
import re
import subprocess

import pytest

from lib.manage import ADMIN, Manage
from lib.namespace import Neighbour, ip
from lib.peers import background, visit
from lib.wait import wait_until

pytestmark = pytest.mark.any_datapath

WEB = f"{Neighbour.HERE}:8000"
N_SOURCES = 200_000
PER_SECOND = 50_000


@pytest.fixture
def neighbour(namespace):
    with Neighbour() as other:
        ip("route", "add", "10.64.0.0/14", "via", Neighbour.THERE)
        yield other


@pytest.fixture
def flood(build, neighbour):
    """flood() starts one."""
    running = []

    def start():
        link = subprocess.check_output(["ip", "-j", "link", "show", "dev", "here"])
        mac = json.loads(link)[0]["address"]
        host, port = WEB.split(":")
        command = [build / "g5x-flood", "there", mac, host, port, "10.64.0.0"]
        command += [str(N_SOURCES), str(PER_SECOND)]
        process = neighbour.run(subprocess.Popen, command, stdout=subprocess.DEVNULL)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def n_dropped(reason):
    with Manage(ADMIN) as manage:
        answer = manage.ask("list guard")
    line = re.search(rf"^listener {re.escape(WEB)} (.*)", answer, re.M)[1]
    return int(re.search(rf"dropped: .*?{reason}=(\d+)", line)[1])


def n_half_open():
    lines = subprocess.check_output(["ss", "-Htn", "state", "syn-recv"], text=True)
    return len(lines.splitlines())


def test_flood_of_connections_of_no_rule_takes_nothing_from_a_client(
    g5x, abc, neighbour, flood
):
    g5x.start(
        "( guard here )\n"
        + g5x.rule("admin", "G", ADMIN)
        + g5x.rule("web", "RR", WEB, abc[0], clients=f"{Neighbour.THERE}:*"),
        "--bpffs",
        g5x.bpffs,
    )
    g5x.wait_for_log("guard on here: ")
    running = flood()
    n_visits = 0
    while running.poll() is None:
        assert neighbour.run(visit, WEB) == "A"
        assert n_half_open() == 0
        n_visits += 1
    assert running.returncode == 0 and n_visits > 0
    wait_until(lambda: n_dropped("no_rule") == N_SOURCES, "each was dropped, once")
    assert len(g5x.log_lines("guard dropped ")) < 30


def test_flood_that_the_rules_want_is_held_back_by_the_rate_of_the_listener(
    g5x, abc, neighbour, flood
):
    g5x.start(
        "( guard here listener_syn_rate 100 listener_burst 100 )\n"
        + g5x.rule("admin", "G", ADMIN)
        + g5x.rule("web", "RR", WEB, abc[0]),
        "--bpffs",
        g5x.bpffs,
    )
    g5x.wait_for_log("guard on here: ")
    assert flood().wait(60) == 0
    with Manage(ADMIN) as manage:
        assert n_dropped("listener_rate") > N_SOURCES * 0.9
        assert manage.ask("ver").startswith("version ")


def test_resets_for_a_flood_leave_the_wire_alive(g5x, abc, neighbour, flood):
    """Also where the other end receives by NAPI and has no XDP program (GRO does that).

    Such an end is not woken for what a program in the driver of this one sends, and when
    its queue is full of that, nothing goes by the wire any more.
    """
    neighbour.run(ethtool, "-K", "there", "gro", "on")
    ethtool("-K", "here", "tso", "off")
    g5x.start(
        "( guard here reject )\n"
        + g5x.rule("admin", "G", ADMIN)
        + g5x.rule("web", "RR", WEB, abc[0], clients=f"{Neighbour.THERE}:*"),
        "--bpffs",
        g5x.bpffs,
    )
    g5x.wait_for_log("guard on here: ")
    assert flood().wait(60) == 0
    assert neighbour.run(visit, WEB) == "A"
    assert n_dropped("no_rule") > N_SOURCES / 2


def ethtool(*words):
    subprocess.run(["ethtool", *words], check=True)


def test_flood_without_a_guard_ends_nobody_else(g5x, abc, neighbour, flood):
    """For comparison: clients get through when it is over, at the latest."""
    g5x.start(
        g5x.rule("admin", "G", ADMIN)
        + g5x.rule("web", "RR", WEB, abc[0], clients=f"{Neighbour.THERE}:*")
    )
    waiting = flood()
    visits = background(lambda: neighbour.run(visit, WEB))
    assert waiting.wait(60) == 0
    assert visits.result() == "A"
    assert neighbour.run(visit, WEB) == "A"
