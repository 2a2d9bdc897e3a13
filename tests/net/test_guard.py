# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The guard: what no rule would accept gets no answer at all, or a reset.

A neighbour is the client: its packets come by a wire, and the guard sits at its end here.
"""
import json
import signal
import socket
import subprocess

import pytest

from lib.guarded import HERE, SILENCE_S, STRANGER, THERE, WEB, Guarded
from lib.manage import ADMIN, Manage
from lib.namespace import Neighbour, ip
from lib.peers import connect, hold, visit
from lib.wait import wait_until

pytestmark = pytest.mark.any_datapath

JUMBO = 9000  # native XDP wants a packet to fit a page, so such a wire gets the generic


@pytest.fixture(params=["native", "generic"])
def mode(request):
    return request.param


@pytest.fixture
def neighbour(namespace, mode):
    with Neighbour() as other:
        other.run(ip, "address", "add", f"{STRANGER}/24", "dev", "there")
        if mode == "generic":
            other.run(ip, "link", "set", "there", "mtu", str(JUMBO))
            ip("link", "set", "here", "mtu", str(JUMBO))
        yield other


@pytest.fixture
def guarded(g5x, neighbour):
    return Guarded(g5x, neighbour)


def has_program(device):
    """Has the interface an XDP program?"""
    text = subprocess.check_output(["ip", "-j", "link", "show", "dev", device])
    return "xdp" in json.loads(text)[0]


# ---- who is dropped ------------------------------------------------------------------


def test_client_of_no_rule_gets_no_answer(guarded, g5x, abc, mode):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"))
    assert g5x.log_lines(f"guard on here: {mode}")
    assert guarded.visit() == "A"
    assert guarded.gets_no_answer(source=STRANGER)
    assert guarded.count("no_rule") >= 1
    assert guarded.count("passed") >= 1
    assert not g5x.log_lines("match forward rule .* failed")
    g5x.wait_for_log(rf"guard dropped \[{STRANGER}:\d+\] - \[{WEB}\] on here: no rule")


def test_pattern_with_wildcards_is_held_against_the_text(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients="10.?.*.2:*"))
    assert guarded.visit() == "A"
    assert guarded.gets_no_answer(source=STRANGER)


def test_ipv6_client_of_no_rule_gets_no_answer(guarded, g5x, abc):
    web = f"[{Neighbour.HERE6}]:8000"
    guarded.start(
        g5x.rule("web", "RR", web, abc[0], clients=f"[{Neighbour.THERE6}]:*")
        + g5x.rule("none", "RR", f"[{Neighbour.HERE6}]:8001", abc[0], clients="*.*:*")
    )
    assert guarded.visit(web) == "A"
    with pytest.raises(TimeoutError):
        guarded.neighbour.run(connect_for_a_moment, Neighbour.HERE6, 8001)


def connect_for_a_moment(host, port):
    with socket.socket(socket.AF_INET6) as client:
        client.settimeout(SILENCE_S)
        client.connect((host, port))


def test_wildcard_is_each_address_of_this_host_also_a_later_one(guarded, g5x, abc):
    later = f"{Neighbour.NET}.77"
    guarded.start(
        g5x.rule("web", "RR", "0.0.0.0:8000", abc[0], clients=f"{THERE}:*"),
    )
    assert guarded.gets_no_answer(source=STRANGER)
    ip("address", "add", f"{later}/24", "dev", "here")
    wait_until(
        lambda: guarded.gets_no_answer(f"{later}:8000", STRANGER), "it is guarded too"
    )
    assert guarded.visit(f"{later}:8000") == "A"
    assert guarded.count("no_rule", "0.0.0.0:8000") >= 2


def test_ports_that_are_not_ours_are_not_touched(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients="192.0.2.1:*"))
    with socket.create_server((HERE, 8001)) as other:
        other.settimeout(10)
        with guarded.neighbour.run(connect, f"{HERE}:8001", STRANGER):
            other.accept()[0].close()


def test_address_with_all_its_sessions_gets_no_answer(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]), head="maxsessions_per_ip 1")
    with guarded.neighbour.run(hold, WEB)[0]:
        wait_until(guarded.gets_no_answer, "the guard knows")
        assert guarded.count("sessions") >= 1
        assert guarded.visit(source=STRANGER) == "A"
    wait_until(lambda: not guarded.gets_no_answer(), "the guard knows")


def test_faster_than_syn_rate_gets_no_answer(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]), head="syn_rate 1 burst 3")
    assert [guarded.visit() for _ in range(3)] == ["A"] * 3
    wait_until(guarded.gets_no_answer, "it was faster than its rate")
    assert guarded.count("source_rate") >= 1
    assert guarded.visit(source=STRANGER) == "A"


# ---- blocks --------------------------------------------------------------------------


def test_blocked_network_gets_no_answer_until_it_is_unblocked(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]))
    assert guarded.visit(source=STRANGER) == "A"
    assert guarded.ask(f"block {STRANGER}/32").startswith("block ok")
    assert guarded.gets_no_answer(source=STRANGER)
    assert guarded.visit() == "A"
    assert guarded.count("blocked") >= 1
    guarded.reload(g5x.rule("web", "RR", WEB, abc[1]))
    assert guarded.gets_no_answer(source=STRANGER)
    assert guarded.ask(f"unblock {STRANGER}/32").startswith("unblock ok")
    assert guarded.visit(source=STRANGER) == "B"


def test_block_ends_when_its_time_is_over(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]))
    guarded.ask(f"block {Neighbour.NET}.0/24 2")
    assert guarded.gets_no_answer()
    wait_until(lambda: not guarded.gets_no_answer(), "the block ends")


def test_blocks_of_the_file_are_dropped(guarded, g5x, abc):
    rule = g5x.rule("web", "RR", WEB, abc[0])
    guarded.start(rule, head=f"block {STRANGER} 192.0.2.0/24")
    assert guarded.gets_no_answer(source=STRANGER)
    assert guarded.visit() == "A"
    guarded.reload(rule, head="block 192.0.2.0/24")
    assert guarded.visit(source=STRANGER) == "A"


# ---- how -----------------------------------------------------------------------------


def test_reject_answers_with_a_reset(guarded, g5x, abc):
    guarded.start(
        g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"), "here reject"
    )
    assert g5x.log_lines("guard on here: generic")
    with pytest.raises(ConnectionRefusedError):
        guarded.neighbour.run(connect, WEB, STRANGER)
    assert guarded.visit() == "A"
    assert guarded.count("reset") == guarded.count("no_rule") == 1


def test_reject_may_come_and_go(guarded, g5x, abc, mode):
    """The driver of a veth must not send the resets: see test_guard_flood.py."""
    rule = g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*")
    guarded.start(rule)
    assert guarded.gets_no_answer(source=STRANGER)
    guarded.reload(rule, "here reject")
    wait_until(lambda: is_refused(guarded), "it is answered")
    assert guarded.ask("list guard").startswith("guard on; here generic\r\n")
    guarded.reload(rule)
    wait_until(lambda: guarded.gets_no_answer(source=STRANGER), "it is not")
    assert guarded.ask("list guard").startswith(f"guard on; here {mode}\r\n")
    assert guarded.visit() == "A"


def is_refused(guarded):
    return not guarded.gets_no_answer(source=STRANGER)


def test_dry_run_counts_and_lets_all_through(guarded, g5x, abc):
    guarded.start(
        g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"), "dry-run here"
    )
    assert guarded.visit(source=STRANGER) == ""  # closed by the daemon, as without
    assert guarded.count("no_rule") == 0
    assert guarded.count("no_rule", kind="would drop") == 1
    g5x.wait_for_log("match forward rule .* failed")


# ---- comes and goes ------------------------------------------------------------------


def test_new_rules_are_the_guards_rules(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"))
    assert guarded.gets_no_answer(source=STRANGER)
    guarded.reload(g5x.rule("web", "RR", WEB, abc[0], clients=f"{STRANGER}:*"))
    assert guarded.visit(source=STRANGER) == "A"
    assert guarded.gets_no_answer()


def test_rejected_file_leaves_the_guard_as_it_was(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"))
    g5x.reload("( guard ) nonsense\n")
    g5x.wait_for_log("configuration rejected")
    assert guarded.gets_no_answer(source=STRANGER)
    assert guarded.visit() == "A"


def test_guard_that_is_taken_out_leaves_the_interface(guarded, g5x, abc):
    rule = g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*")
    guarded.start(rule)
    assert has_program("here")
    g5x.reload(g5x.rule("admin", "G", ADMIN) + rule)
    wait_until(lambda: not has_program("here"), "the program has left")
    assert guarded.visit(source=STRANGER) == ""


def test_interface_that_comes_later_is_guarded(guarded, g5x, abc):
    guarded.start(
        g5x.rule("web", "RR", "0.0.0.0:8000", abc[0], clients=f"{THERE}:*"), "here wire"
    )
    g5x.wait_for_log("guard: not on wire: there is no such interface")
    ip("link", "add", "wire", "type", "veth", "peer", "name", "eriw")
    g5x.wait_for_log("guard on wire: ")
    assert has_program("wire")


def test_daemon_that_is_killed_leaves_nothing(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"))
    g5x.signal(signal.SIGKILL)
    g5x.wait()
    wait_until(lambda: not has_program("here"), "the program has left")


def test_daemon_that_is_told_to_end_lets_go_at_once(guarded, g5x, abc):
    """The next one may have other rules."""
    guarded.start(g5x.rule("web", "RR", WEB, abc[0], clients=f"{THERE}:*"))
    with guarded.neighbour.run(hold, WEB)[0]:
        g5x.signal(signal.SIGTERM)
        wait_until(lambda: not has_program("here"), "the program has left")
        assert not g5x.has_ended()


def test_interface_of_another_daemon_is_taken_over_when_that_ends(
    guarded, daemons, g5x, abc
):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]))
    second = daemons()
    rules = second.rule("web", "RR", f"{HERE}:8001", abc[1], clients=f"{THERE}:*")
    second.start("( guard here )\n" + rules, "--bpffs", second.bpffs)
    second.wait_for_log("guard: not on here: another XDP program is there")
    assert guarded.neighbour.run(visit, f"{HERE}:8001", STRANGER) == ""
    g5x.stop()
    second.wait_for_log("guard on here: ")
    assert guarded.gets_no_answer(f"{HERE}:8001", STRANGER)


def test_what_the_guard_knows_can_be_read_with_bpftool(guarded, g5x, abc):
    guarded.start(g5x.rule("web", "RR", WEB, abc[0]), head="block 192.0.2.0/24")
    path = g5x.bpffs / "guard" / "blocked"
    text = subprocess.check_output(["bpftool", "-j", "map", "dump", "pinned", path])
    (entry,) = json.loads(text)
    assert entry["formatted"]["key"]["prefix_len"] == 32 + 24
    assert entry["formatted"]["value"]["until_ns"] == 0


def test_management_port_is_not_held_back_by_rates(guarded, g5x, abc):
    admin = f"{HERE}:8998"
    guarded.start(
        g5x.rule("remote", "G", admin) + g5x.rule("web", "RR", WEB, abc[0]),
        head="syn_rate 1 burst 1",
    )
    for _ in range(5):
        with guarded.neighbour.run(Manage, admin) as manage:
            assert manage.ask("ver").startswith("version ")


def test_without_bpf_the_rules_are_enforced_all_the_same(guarded, g5x, abc):
    rules = guarded.rules(g5x.rule("web", "RR", WEB, abc[0]), head=f"block {STRANGER}")
    g5x.may_copy = True
    g5x.write_rules(rules)
    g5x.spawn("-f", g5x.rule_file, is_privileged=False)
    g5x.wait_for_log("guard off: ")
    wait_until(lambda: WEB in g5x.listening(), "listens")
    assert guarded.visit() == "A"
    assert guarded.visit(source=STRANGER) == ""
