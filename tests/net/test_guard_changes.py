# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The guard when something around it changes or is there twice: rates, links, blocks."""
import contextlib
import ipaddress
import os
import socket

import pytest

from lib.guarded import HERE, STRANGER, THERE, WEB, Guarded
from lib.namespace import Neighbour, ip
from lib.peers import half_close, read_all, read_exactly
from lib.wait import wait_until

pytestmark = pytest.mark.any_datapath

BLOCKS_MAX = 65536
LISTENERS_MAX = 4096  # that the guard has counters for
FOR_LONG = 3000  # seconds


@pytest.fixture
def neighbour(namespace):
    with Neighbour() as other:
        other.run(ip, "address", "add", f"{STRANGER}/24", "dev", "there")
        yield other


@pytest.fixture
def guarded(g5x, neighbour):
    return Guarded(g5x, neighbour)


@pytest.mark.parametrize("which", ["", "listener_"])
def test_rate_of_a_reload_counts_from_then_on(guarded, g5x, abc, which):
    rule = g5x.rule("web", "RR", WEB, abc[0])
    slow = f"{which}syn_rate 1 {which}burst {FOR_LONG}"
    guarded.start(rule, head=slow)
    for _ in range(20):
        assert guarded.visit() == "A"
    guarded.reload(rule, head=f"{which}syn_rate 100 {which}burst 10")
    wait_until(lambda: not guarded.gets_no_answer(), "it is let in again")


# ---- links ---------------------------------------------------------------------------


def connect_on(device, address, source):
    """To port 8000 of a link-local address."""
    index = socket.if_nametoindex(device)
    client = socket.socket(socket.AF_INET6)
    client.bind((source, 0, 0, index))
    client.connect((address, 8000, 0, index))
    return client


def visit_on(*link):
    with connect_on(*link) as client:
        half_close(client)
        return read_all(client).decode()


def add_link_local(device, address):
    ip("address", "add", f"{address}/64", "dev", device, "nodad")


def test_listener_on_a_link_is_not_judged_by_the_rules_of_a_wildcard(
    guarded, g5x, abc, neighbour
):
    add_link_local("here", "fe80::77")
    neighbour.run(add_link_local, "there", "fe80::99")
    rules = g5x.rule("link", "RR", "[fe80::77%here]:8000", abc[0])
    rules += g5x.rule("all", "RR", "[::]:8000", abc[1], clients="[fd00::1]:*")
    g5x.write_rules(guarded.rules(rules))
    g5x.spawn("-f", g5x.rule_file, "--bpffs", g5x.bpffs)
    g5x.wait_for_log("guard on here: ")
    assert neighbour.run(visit_on, "there", "fe80::77", "fe80::99") == "A"


def test_same_address_on_two_links_is_two_clients(guarded, g5x, abc, neighbour):
    place = f"/proc/{os.getpid()}/fd/{neighbour.file}"
    peer = ["peer", "name", "there2", "netns", place]
    ip("link", "add", "here2", "type", "veth", *peer)
    ip("link", "set", "here2", "up")
    neighbour.run(ip, "link", "set", "there2", "up")
    for number in ("", "2"):
        add_link_local(f"here{number}", "fe80::77")
        neighbour.run(add_link_local, f"there{number}", "fe80::99")
    rules = g5x.rule("web", "RR", "[::]:8000", abc[0])
    guarded.start(rules, "here here2", "maxsessions_per_ip 1")
    g5x.wait_for_log("guard on here2: ")
    with neighbour.run(connect_on, "there", "fe80::77", "fe80::99") as first:
        assert read_exactly(first, 1) == b"A"
        assert neighbour.run(visit_on, "there2", "fe80::77", "fe80::99") == "A"


def test_bridge_and_its_port_count_a_connection_once(guarded, g5x, abc):
    ip("link", "add", "br0", "type", "bridge")
    ip("address", "flush", "dev", "here")
    ip("link", "set", "here", "master", "br0")
    ip("link", "set", "br0", "up")
    ip("address", "add", f"{HERE}/24", "dev", "br0")
    rules = g5x.rule("web", "RR", WEB, abc[0])
    guarded.start(rules, "br0 here", f"syn_rate 1 burst {FOR_LONG}")
    g5x.wait_for_log("guard: not on br0: its packets come by another one")
    wait_until(lambda: not guarded.gets_no_answer(), "the bridge lets it through")
    n_before = guarded.count("passed")
    assert guarded.visit() == "A"
    assert guarded.count("passed") == n_before + 1


# ---- what it is told -----------------------------------------------------------------


def addresses(first):
    """As many as can be blocked, from there on."""
    first = int(ipaddress.ip_address(first))
    return [str(ipaddress.ip_address(first + i)) for i in range(BLOCKS_MAX)]


def test_blocks_that_take_the_place_of_as_many_others_are_dropped(guarded, g5x, abc):
    rule = g5x.rule("web", "RR", WEB, abc[0])
    guarded.start(rule, head="block " + " ".join(addresses("192.0.0.0")))
    assert guarded.visit(source=STRANGER) == "A"
    others = [a for a in addresses("10.9.0.0") if a != THERE]
    guarded.reload(rule, head="block " + " ".join(others))
    wait_until(lambda: guarded.gets_no_answer(source=STRANGER), "it is blocked")
    assert guarded.count("blocked") > 0
    assert guarded.visit() == "A"
    assert not g5x.log_lines("left to the workers")


@pytest.mark.parametrize("words", ["nosuch", "here dry-run"])
def test_guard_that_drops_nothing_makes_no_rate_looser(guarded, g5x, abc, words):
    rules = g5x.rule("web", "RR", WEB, abc[0])
    g5x.start(guarded.rules(rules, words, "syn_rate 1 burst 3"), "--bpffs", g5x.bpffs)
    g5x.wait_for_log("ready: ")
    g5x.wait_for_log("guard on here: |guard: not on nosuch: ")
    served = [guarded.visit() for _ in range(3)]
    assert served == ["A"] * 3
    wait_until(lambda: not is_served(guarded), "it was faster than its rate")


def is_served(guarded):
    with contextlib.suppress(ConnectionError):
        return guarded.visit() == "A"
    return False


def test_guard_that_has_let_go_comes_back_and_says_so(guarded, g5x, abc):
    rule = g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*")
    guarded.start(rule, head="workers 1")
    many = [f"127.0.{i // 250}.{1 + i % 250}:8000" for i in range(LISTENERS_MAX)]
    many = g5x.rule("many", "RR", " ".join(many), abc[0])
    guarded.reload(rule + many, head="workers 1")
    g5x.wait_for_log("guard off: cannot hand over the rules")
    assert guarded.ask("list guard").startswith("guard off: ")
    assert guarded.visit(source=STRANGER) == ""
    g5x.reload(guarded.rules(rule, head="workers 1"))
    wait_until(lambda: guarded.gets_no_answer(source=STRANGER), "it is back")
    assert guarded.ask("list guard").startswith("guard on")
