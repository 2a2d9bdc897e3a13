# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The maps under --bpffs: what people see of spliced sessions, and who may pin them."""
import contextlib
import re
import signal

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.manage import ADMIN, Manage
from lib.peers import (
    address_of,
    connect,
    echo,
    half_close,
    hold,
    named,
    read_all,
    read_exactly,
    reset,
)
from lib.pins import Pins
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("splice")

NAMES = ["sessions", "slots", "sockets", "totals"]
SECOND = "127.0.0.1:8001"


def exchange(client, server):
    client.sendall(b"12345")
    assert read_exactly(server, 5) == b"12345"
    server.sendall(b"1234567")
    assert read_exactly(client, 7) == b"1234567"


def check_that_it_splices(g5x, address=FORWARD):
    """Though its maps are not pinned, or not where they should be."""
    with connect(address) as client:
        client.sendall(b"word")
        assert read_exactly(client, 4) == b"word"
    g5x.wait_for_log(r'in=4 out=4 .* datapath=splice reason="done"')


# ---- what they show ------------------------------------------------------------------


def test_a_live_session_is_shown_by_name_and_all_of_it_is_gone_afterwards(
    spliced, g5x, pins
):
    client, server = spliced()
    exchange(client, server)
    session = pins.session(client)
    assert session["rule"] == "web"
    assert session["client"] == address_of(client)
    assert session["listener"] == FORWARD
    assert session["server"] == address_of(server)
    assert session["state"] == "G5X_RELAYING"
    assert session["limit"] == 1 << 20
    assert [flow["redirected"] for flow in session["flow"]] == [5, 7]
    assert [flow["passed"] for flow in session["flow"]] == [0, 0]
    assert 0 < session["flow"][0]["first_ns"] < session["flow"][1]["first_ns"]
    (number,) = pins.sessions()
    slots = {row["value"]["index"] for row in pins.dump("slots")}
    assert slots == {2 * number, 2 * number + 1}

    half_close(client)
    assert read_all(server) == b""
    wait_until(
        lambda: pins.session(client)["state"] == "G5X_CLIENT_ENDED", "the FIN is noted"
    )
    server.close()
    assert read_all(client) == b""
    wait_until(lambda: not pins.is_any_left(), "nothing of it is left")


@pytest.mark.parametrize("end", [reset, lambda sock: sock.close()], ids=["RST", "FIN"])
def test_nothing_is_left_however_many_sessions_end_at_once(spliced, g5x, pins, end):
    pairs = [spliced() for _ in range(30)]
    assert len(pins.sessions()) == 30
    for client, server in pairs:
        exchange(client, server)
        end(client)
        server.close()
    wait_until(lambda: not pins.is_any_left(), "nothing of them is left")


@pytest.mark.parametrize("n_letters", [1, 63, 64])
def test_rule_id_is_shown_up_to_its_63rd_letter(g5x, serve, pins, n_letters):
    name = "r" * n_letters
    g5x.start(g5x.rule(name, "RR", FORWARD, serve(named("A"))), *FEW_SESSIONS)
    client, _ = hold(FORWARD)
    with client:
        wait_until(pins.sessions, "it is spliced")
        assert pins.session(client)["rule"] == name[:63]


def test_ipv6_addresses_are_shown_as_everywhere(g5x, serve, pins):
    forward = "[::1]:8000"
    server = serve(named("A"), address="[::1]:0")
    g5x.start(g5x.rule("web", "RR", forward, server, clients="*:*"), *FEW_SESSIONS)
    client, _ = hold(forward)
    with client:
        wait_until(pins.sessions, "it is spliced")
        session = pins.session(client)
        assert (session["listener"], session["server"]) == (forward, str(server))


# ---- how long they are there ---------------------------------------------------------


def test_maps_are_pinned_from_the_start_to_the_end(g5x, serve, pins):
    assert not pins.folder.exists()
    g5x.forward(serve(echo), options=FEW_SESSIONS)
    assert pins.names() == NAMES
    assert g5x.stop() == 0
    assert not pins.folder.exists()


def test_folder_that_was_there_and_has_other_things_in_it_stays(g5x, serve, pins):
    other = pins.folder / "others"
    other.mkdir(parents=True)
    try:
        g5x.forward(serve(echo), options=FEW_SESSIONS)
        assert pins.names() == sorted([*NAMES, "others"])
        assert g5x.stop() == 0
        assert pins.names() == ["others"]
    finally:
        other.rmdir()
        with contextlib.suppress(FileNotFoundError):
            pins.folder.rmdir()


def kill_nine(daemon):
    daemon.signal(signal.SIGKILL)
    assert daemon.wait() == -signal.SIGKILL


def test_pins_that_a_killed_daemon_left_are_replaced(daemons, serve):
    server = serve(echo)
    first, second = daemons(), daemons()
    second.bpffs = first.bpffs
    pins = Pins(first.bpffs)
    first.forward(server, options=FEW_SESSIONS)
    with connect(FORWARD) as client:
        client.sendall(b"before")
        assert read_exactly(client, 6) == b"before"
        wait_until(pins.sessions, "it is spliced")
        kill_nine(first)
    assert pins.names() == NAMES
    assert len(pins.sessions()) == 1  # of the dead one

    second.forward(server, options=FEW_SESSIONS)
    assert not second.log_lines("not pinned")
    assert not pins.is_any_left()
    with connect(FORWARD) as client:
        client.sendall(b"after")
        assert read_exactly(client, 5) == b"after"
        wait_until(pins.sessions, "it is spliced")
        assert pins.session(client)["flow"][1]["redirected"] == 5
    assert second.stop() == 0
    assert not pins.folder.exists()


def test_sessions_of_a_killed_daemon_are_reset(spliced, g5x):
    client, server = spliced()
    exchange(client, server)
    kill_nine(g5x)
    for sock in (client, server):
        sock.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""


# ---- where they cannot be ------------------------------------------------------------


def test_second_daemon_of_a_folder_says_so_and_splices_all_the_same(daemons, serve):
    server = serve(echo)
    first, second = daemons(), daemons()
    second.bpffs = first.bpffs
    pins = Pins(first.bpffs)
    first.forward(server, options=FEW_SESSIONS)
    admin = second.rule("admin", "G", ADMIN)
    second.start(admin + second.rule("web", "RR", SECOND, server), *FEW_SESSIONS)
    line = second.wait_for_log("not pinned, ")
    assert f"{first.bpffs}: another daemon uses it" in line
    with Manage(ADMIN) as manage:
        assert re.search(r'splice="on: .*, maps not pinned"', manage.ask("ver"))
    check_that_it_splices(second, SECOND)
    check_that_it_splices(first)
    assert second.stop() == 0
    assert pins.names() == NAMES  # they are the first one's
    assert first.stop() == 0
    assert not pins.folder.exists()


def test_folder_on_another_file_system_is_named_and_sessions_are_spliced(
    g5x, serve, tmp_path
):
    folder = tmp_path / "bpf" / "g5x"
    g5x.bpffs = folder
    g5x.forward(serve(echo), options=FEW_SESSIONS)
    line = g5x.wait_for_log("not pinned, ")
    assert f"{folder}: no bpffs is mounted there" in line
    assert not folder.parent.exists()
    check_that_it_splices(g5x)


def test_file_in_the_place_of_the_folder_is_named_and_stays(g5x, serve, tmp_path):
    place = tmp_path / "file"
    place.write_text("mine")
    g5x.bpffs = place
    g5x.forward(serve(echo), options=FEW_SESSIONS)
    assert str(place) in g5x.wait_for_log("not pinned, ")
    check_that_it_splices(g5x)
    assert place.read_text() == "mine"


def test_pins_that_somebody_removed_do_not_hold_up_the_end(g5x, serve, pins):
    g5x.forward(serve(echo), options=FEW_SESSIONS)
    (pins.folder / "totals").unlink()
    check_that_it_splices(g5x)
    assert g5x.stop() == 0
    assert not pins.folder.exists()
