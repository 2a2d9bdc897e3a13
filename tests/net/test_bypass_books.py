# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The daemon keeps the books of sessions that go past it: counts, times, maps."""
import re
import socket
import threading
import time

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.manage import ADMIN, Manage
from lib.peers import (
    address_of,
    background,
    digest,
    fill,
    half_close,
    hold,
    read_all,
    read_exactly,
    read_to_end,
    send_in_pieces,
    stream_of,
    visit,
)
from lib.pins import BypassPins
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("bypass")

KIB, MIB = 1 << 10, 1 << 20
NAMES = ["applications", "listeners", "sessions", "ways"]
ONE_WORKER = ("--workers", "1")


def exchange(client, server, n_times=1):
    for _ in range(n_times):
        client.sendall(b"ping")
        assert read_exactly(server, 4) == b"ping"
        server.sendall(b"answer")
        assert read_exactly(client, 6) == b"answer"


def finish(client, server):
    half_close(client)
    assert read_all(server) == b""
    server.close()
    assert read_all(client) == b""


# ---- bytes ---------------------------------------------------------------------------


def listed_bytes(manage):
    """Of the one session: (from the client, from the server)."""
    answer = manage.ask("list forwards")
    to_server = re.search(r" - LISTEN .* bytes=(\d+) datapath=bypass", answer)
    to_client = re.search(r" < LISTEN .* bytes=(\d+) datapath=bypass", answer)
    return int(to_server[1]), int(to_client[1])


def test_bytes_that_the_daemon_never_saw_are_counted_at_once(
    bypassed, g5x, bypass_pins
):
    client, server = bypassed()
    before = bypass_pins.n_direct(client)
    with Manage(ADMIN) as manage:
        for n in range(1, 51):
            exchange(client, server)
            assert listed_bytes(manage) == (1 + 4 * n, 1 + 6 * n)
    after = bypass_pins.n_direct(client)
    assert [b - a for a, b in zip(before, after)] == [200, 300]
    finish(client, server)
    g5x.wait_for_log("session rule=web .* in=201 out=301 .* datapath=bypass")


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_bytes_that_went_both_short_and_long_are_counted_once(
    bypassed, g5x, bypass_pins, way
):
    """A slow reader's queue is full: the rest goes by TCP."""
    client, server = bypassed(splice_limit=64 * KIB)
    to_server = way == "to the server"
    source, sink = (client, server) if to_server else (server, client)
    n_filled = fill(source)
    data = bytes(n_filled) + stream_of(4 * MIB, seed=1)
    sending = background(send_in_pieces, source, memoryview(data)[n_filled:])
    assert digest(read_exactly(sink, len(data))) == digest(data)
    sending.result()
    expected = (len(data) + 1, 1) if to_server else (1, len(data) + 1)
    with Manage(ADMIN) as manage:
        wait_until(lambda: listed_bytes(manage) == expected, "all bytes are counted")
    flow = bypass_pins.session(client)["flow"][0 if to_server else 1]
    assert flow["direct"] > 1 and flow["relayed"] > 1
    assert flow["direct"] + flow["relayed"] == len(data) + 1
    assert flow["n_full"] > 0
    finish(client, server)
    n_in, n_out = expected
    g5x.wait_for_log(f'in={n_in} out={n_out} .* datapath=bypass reason="done"')


def test_bytes_of_many_bypassed_sessions_add_up(bypassed, g5x):
    n_sessions, expected = 30, set()
    for i in range(n_sessions):
        client, server = bypassed()
        exchange(client, server, n_times=i)
        expected.add(f"in={1 + 4 * i} out={1 + 6 * i}")
        finish(client, server)
    wait_until(lambda: len(g5x.log_lines("session rule=web")) == n_sessions, "all end")
    lines = g5x.log_lines('session rule=web .* datapath=bypass reason="done"')
    assert {re.search(r"in=\d+ out=\d+", line)[0] for line in lines} == expected


# ---- times ---------------------------------------------------------------------------


def test_session_with_bytes_past_the_daemon_only_is_not_idle(
    bypassed, g5x, bypass_pins
):
    client, server = bypassed(timeout=1)
    before = sum(bypass_pins.n_direct(client))
    for _ in range(12):
        time.sleep(0.25)
        exchange(client, server)
    assert sum(bypass_pins.n_direct(client)) - before == 120
    assert not g5x.log_lines("session rule=web")


@pytest.mark.parametrize("n_exchanges", [0, 1, 100])
def test_silent_session_ends_after_its_timeout_and_not_before(
    bypassed, g5x, n_exchanges
):
    start = time.monotonic()
    client, server = bypassed(timeout=1)
    if n_exchanges:
        time.sleep(0.5)
        start = time.monotonic()
        exchange(client, server, n_exchanges)
    assert read_to_end(client) == (b"", "RST")
    assert time.monotonic() - start >= 0.98  # the kernel's clock ticks each 10 ms
    assert read_to_end(server) == (b"", "RST")
    g5x.wait_for_log('session rule=web .* datapath=bypass reason="idle timeout"')


def test_half_closed_bypassed_session_ends_after_fin_timeout(bypassed, g5x):
    client, server = bypassed(fin_timeout=1)
    exchange(client, server)
    half_close(client)
    assert read_all(server) == b""
    assert read_to_end(client) == (b"", "RST")
    g5x.wait_for_log('datapath=bypass reason="fin timeout"')


def test_half_closed_bypassed_session_with_traffic_stays_open(bypassed, g5x):
    client, server = bypassed(fin_timeout=1)
    half_close(client)
    assert read_all(server) == b""
    for _ in range(12):
        time.sleep(0.25)
        server.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    assert not g5x.log_lines("session rule=web")
    server.close()
    assert read_all(client) == b""
    g5x.wait_for_log('in=1 out=13 .* datapath=bypass reason="done"')


# ---- RT ------------------------------------------------------------------------------


def greeting_then_answering(name, n_seconds):
    """Sends its name; then answers each request after n_seconds."""

    def serve(connection):
        connection.sendall(name.encode())
        while connection.recv(1):
            time.sleep(n_seconds)
            connection.sendall(b"!")

    return serve


def keep_asking(client, is_over):
    while not is_over.is_set():
        client.sendall(b"?")
        assert read_exactly(client, 1) == b"!"


def test_rt_prefers_the_faster_server_by_what_went_past_the_daemon(
    g5x, serve, bypass_pins
):
    """Both have one session that stays; the others come and ask for nothing."""
    slow = serve(greeting_then_answering("S", 0.1))
    fast = serve(greeting_then_answering("F", 0.001))
    g5x.forward(slow, fast, mode="RT", options=(*FEW_SESSIONS, *ONE_WORKER))
    held = dict(reversed(hold(FORWARD)) for _ in range(2))
    assert set(held) == {"S", "F"}
    is_over = threading.Event()
    asking = [background(keep_asking, client, is_over) for client in held.values()]
    names = []

    def last_ten_got_the_fast_one():
        time.sleep(0.1)
        names.append(visit(FORWARD))
        return names[-10:] == ["F"] * 10

    try:
        wait_until(last_ten_got_the_fast_one, "clients get the faster server")
        for client in held.values():
            session = bypass_pins.session(client)
            assert session["wants_responses"] and session["n_responses"] > 0
            assert session["flow"][0]["direct"] > session["flow"][0]["relayed"]
    finally:
        is_over.set()
        for each in asking:
            each.result()
        for client in held.values():
            client.close()


# ---- maps ----------------------------------------------------------------------------


def test_a_bypassed_session_is_shown_by_name_until_it_ends(bypassed, bypass_pins):
    client, server = bypassed()
    before = bypass_pins.n_direct(client)
    exchange(client, server)
    session = bypass_pins.session(client)
    assert session["rule"] == "web"
    assert session["client"] == address_of(client)
    assert session["listener"] == FORWARD
    assert session["server"] == address_of(server)
    assert session["limit"] == 1 << 20
    assert [n - m for n, m in zip(bypass_pins.n_direct(client), before)] == [4, 6]
    cookies = {client: 0, server: 1}
    for sock, i in cookies.items():
        cookie = sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8)
        assert session["flow"][i]["from"]["cookie"] == int.from_bytes(cookie, "little")
        assert session["flow"][1 - i]["to"] == session["flow"][i]["from"]
    (number,) = bypass_pins.sessions()
    ways = [row["value"] for row in bypass_pins.dump("ways")]
    assert sorted((w["from"], w["is_ours"]) for w in ways) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert {way["session"] for way in ways} == {number}
    finish(client, server)
    wait_until(lambda: not bypass_pins.is_any_left(), "nothing of it is left")


SO_COOKIE = 57


def test_listeners_are_shown_as_reload_leaves_them(g5x, bypass_pins):
    rules = [g5x.rule(f"r{i}", "RR", f"127.0.0.1:80{i}0", "127.0.0.1:1") for i in "123"]
    g5x.start("".join(rules), *FEW_SESSIONS)

    def ports():
        return {row["key"]["port"] for row in bypass_pins.dump("listeners")}

    assert ports() == {8010, 8020, 8030}
    g5x.reload(rules[1])
    wait_until(lambda: ports() == {8020}, "the others are gone")


def test_bypass_maps_are_pinned_from_the_start_to_the_end(g5x, bypass_pins):
    g5x.forward("127.0.0.1:1", options=FEW_SESSIONS)
    assert bypass_pins.names() == NAMES
    assert g5x.stop() == 0
    assert not g5x.bpffs.exists()


def test_second_daemon_of_a_folder_bypasses_without_pins(daemons, serve):
    second_address = "127.0.0.1:8001"
    server = serve(greeting_then_answering("A", 0))
    first, second = daemons(), daemons()
    second.bpffs = first.bpffs
    first.forward(server, options=FEW_SESSIONS)
    second.start(second.rule("web", "RR", second_address, server), *FEW_SESSIONS)
    assert second.log_lines("bypass: maps are not pinned, .*another daemon uses it")
    for daemon, address in ((first, FORWARD), (second, second_address)):
        client, _ = hold(address)
        with client:
            client.sendall(b"?")
            assert read_exactly(client, 1) == b"!"
        daemon.wait_for_log("session rule=web .* datapath=bypass")
    assert second.stop() == 0
    assert BypassPins(first.bpffs).names() == NAMES
