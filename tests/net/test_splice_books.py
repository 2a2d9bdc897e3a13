# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The daemon keeps the books of bytes that it does not see: counts, times, limits."""
import re
import signal
import threading
import time

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.manage import ADMIN, Manage
from lib.peers import (
    address_of,
    background,
    connect,
    digest,
    fill,
    half_close,
    hold,
    is_refused,
    listen,
    named,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    send_in_pieces,
    stream_of,
    visit,
)
from lib.pins import n_moved
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("splice")

KIB, MIB = 1 << 10, 1 << 20
WAYS = ["to the server", "to the client"]
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
    to_server = re.search(r" - LISTEN .* bytes=(\d+) datapath=splice", answer)
    to_client = re.search(r" < LISTEN .* bytes=(\d+) datapath=splice", answer)
    return int(to_server[1]), int(to_client[1])


def test_bytes_that_only_the_kernel_saw_are_counted_at_once(spliced, g5x, pins):
    client, server = spliced()
    with Manage(ADMIN) as manage:
        for n in range(1, 51):
            exchange(client, server)
            assert listed_bytes(manage) == (4 * n, 6 * n)
    assert n_moved(pins.session(client), by="passed") == 0
    finish(client, server)
    g5x.wait_for_log("session rule=web .* in=200 out=300 .* datapath=splice")


@pytest.mark.parametrize("way", WAYS)
def test_bytes_of_a_slow_reader_are_counted_once(spliced, g5x, pins, way):
    """Some went through the kernel, others through the daemon."""
    client, server = spliced(receive_buffer=32 * KIB, splice_limit=64 * KIB)
    source, sink = (client, server) if way == "to the server" else (server, client)
    n_filled = fill(source)
    data = bytes(n_filled) + stream_of(4 * MIB, seed=1)
    with Manage(ADMIN) as manage:
        n_listed = sum(listed_bytes(manage))
        assert 0 < n_listed <= n_filled
        sending = background(send_in_pieces, source, memoryview(data)[n_filled:])
        assert digest(read_exactly(sink, len(data))) == digest(data)
        sending.result()
        wait_until(
            lambda: sum(listed_bytes(manage)) == len(data), "all bytes are counted"
        )
    session = pins.session(client)
    assert n_moved(session, by="redirected") > 0
    assert n_moved(session, by="passed") > 0
    finish(client, server)
    n_in, n_out = (len(data), 0) if way == "to the server" else (0, len(data))
    g5x.wait_for_log(f'in={n_in} out={n_out} .* datapath=splice reason="done"')


def test_bytes_of_many_sessions_add_up(spliced, g5x, pins):
    n_sessions, expected = 50, set()
    for i in range(n_sessions):
        client, server = spliced()
        exchange(client, server, n_times=i)
        expected.add(f"in={4 * i} out={6 * i}")
        finish(client, server)
    wait_until(lambda: len(g5x.log_lines("session rule=web")) == n_sessions, "all end")
    lines = g5x.log_lines('session rule=web .* datapath=splice reason="done"')
    assert {re.search(r"in=\d+ out=\d+", line)[0] for line in lines} == expected
    assert pins.totals()["gaps"] == 0


# ---- times ---------------------------------------------------------------------------


def test_first_byte_of_the_server_is_timed_by_the_kernel(spliced, g5x):
    """It came 0.3 s after the start and 0.3 s before the end."""
    client, server = spliced()
    client.sendall(b"question")
    assert read_exactly(server, 8) == b"question"
    time.sleep(0.3)
    server.sendall(b"answer")
    assert read_exactly(client, 6) == b"answer"
    time.sleep(0.3)
    finish(client, server)
    line = g5x.wait_for_log("session rule=web")
    first, total = (
        float(re.search(rf" {name}=([0-9.]+)", line)[1])
        for name in ("first_byte_ms", "total_ms")
    )
    assert 300 <= first <= total - 300


def test_session_that_only_the_kernel_sees_is_not_idle(spliced, g5x, pins):
    client, server = spliced(timeout=1)
    for _ in range(12):
        time.sleep(0.25)
        exchange(client, server)
    assert n_moved(pins.session(client), by="passed") == 0
    assert not g5x.log_lines("session rule=web")


@pytest.mark.parametrize("n_exchanges", [1, 100])
def test_idle_session_ends_after_its_timeout_and_not_before(spliced, g5x, n_exchanges):
    client, server = spliced(timeout=1)
    time.sleep(0.5)
    exchange(client, server, n_exchanges)
    last = time.monotonic()
    assert read_to_end(client) == (b"", "RST")
    assert time.monotonic() - last >= 0.99  # the kernel's time is in whole milliseconds
    assert read_to_end(server) == (b"", "RST")
    g5x.wait_for_log('session rule=web .* datapath=splice reason="idle timeout"')


def test_session_without_a_byte_ends_after_its_timeout(spliced, g5x):
    start = time.monotonic()
    client, server = spliced(timeout=1)
    assert read_to_end(client) == (b"", "RST")
    assert time.monotonic() - start >= 1
    assert read_to_end(server) == (b"", "RST")
    g5x.wait_for_log('in=0 out=0 .* datapath=splice reason="idle timeout"')


def test_traffic_while_the_daemon_was_stopped_is_activity(spliced, g5x):
    """It looks late, but what it then finds is what was."""
    client, server = spliced(timeout=2)
    g5x.freeze()
    for _ in range(12):
        time.sleep(0.25)
        exchange(client, server)
    g5x.signal(signal.SIGCONT)
    time.sleep(0.5)
    exchange(client, server)
    assert not g5x.log_lines("session rule=web")


@pytest.mark.parametrize("way", WAYS)
def test_half_closed_session_ends_after_fin_timeout(spliced, g5x, way):
    client, server = spliced(fin_timeout=1)
    exchange(client, server)
    ends, silent = (client, server) if way == "to the server" else (server, client)
    start = time.monotonic()
    half_close(ends)
    assert read_all(silent) == b""
    assert read_to_end(ends) == (b"", "RST")
    assert time.monotonic() - start >= 1
    g5x.wait_for_log('datapath=splice reason="fin timeout"')


def test_half_closed_session_with_traffic_in_the_kernel_stays_open(spliced, pins):
    client, server = spliced(fin_timeout=1)
    half_close(client)
    assert read_all(server) == b""
    for _ in range(12):
        time.sleep(0.25)
        server.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    session = pins.session(client)
    assert session["state"] == "G5X_CLIENT_ENDED"
    assert session["flow"][1]["redirected"] + session["flow"][1]["passed"] == 12
    server.close()
    assert read_all(client) == b""


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
    n = 0
    while not is_over.is_set():
        client.sendall(b"?")
        assert read_exactly(client, 1) == b"!"
        n += 1
    return n


def test_rt_prefers_the_faster_server_by_what_the_kernel_measured(g5x, serve, pins):
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
            session = pins.session(client)
            assert session["wants_responses"] and session["n_responses"] > 0
            assert n_moved(session, by="passed") <= 1
    finally:
        is_over.set()
        for each in asking:
            each.result()
        for client in held.values():
            client.close()


# ---- limits --------------------------------------------------------------------------


def end_by_close(client):
    half_close(client)
    assert read_all(client) == b""


def end_by_timeout(client):
    assert read_to_end(client) == (b"", "RST")


def is_turned_away():
    try:
        with connect(FORWARD) as client:
            return read_to_end(client)[0] == b""
    except ConnectionResetError:
        return True  # before connect(2) had returned


def wait_for_sessions(g5x, n):
    wait_until(lambda: len(g5x.log_lines("session rule=web")) == n, f"{n} have ended")


@pytest.mark.parametrize("end", [end_by_close, reset, end_by_timeout])
@pytest.mark.parametrize("limit", ["maxclients", "maxconns"])
def test_place_of_a_spliced_session_is_free_when_it_has_ended(
    g5x, serve, pins, limit, end
):
    server, clients = serve(named("A")), "*:*"
    if limit == "maxclients":
        clients += " ( maxclients 2 )"
    else:
        server = f"{server} ( maxconns 2 )"
    timeout = {"timeout": 3} if end is end_by_timeout else {}
    rule = g5x.rule("web", "RR", FORWARD, server, clients=clients, **timeout)
    g5x.start(rule, *FEW_SESSIONS, *ONE_WORKER)
    n_ended = 0
    for _ in range(2):
        held = [hold(FORWARD)[0] for _ in range(2)]
        wait_until(lambda: len(pins.sessions()) == 2, "both are spliced")
        assert is_turned_away()
        for client in held:
            end(client)
        n_ended += 2 if limit == "maxclients" else 3
        wait_for_sessions(g5x, n_ended)
        for client in held:
            client.close()
    wait_until(lambda: not pins.is_any_left(), "the maps are empty")


# ---- the end -------------------------------------------------------------------------


def test_clean_forwards_resets_spliced_sessions_of_changed_rules(spliced, g5x, pins):
    """One of them with bytes in the kernel that nobody reads."""
    pairs = [spliced(receive_buffer=32 * KIB) for _ in range(2)]
    fill(pairs[1][0])
    exchange(*pairs[0])
    with Manage(ADMIN) as manage:
        rule = g5x.rule("web", "RR", FORWARD, "127.0.0.1:1")
        assert "ok" in manage.ask("modify rule " + rule)
        assert manage.ask("clean forwards") == "clean forwards ok\r\n"
    for pair in pairs:
        for sock in reversed(pair):
            assert read_to_end(sock)[1] == "RST"
    wait_for_sessions(g5x, 2)
    assert len(g5x.log_lines('datapath=splice reason="cleaned"')) == 2
    assert not pins.is_any_left()


def test_spliced_sessions_may_finish_after_sigterm(spliced, g5x, pins):
    """New clients are refused; maps stay until the last one has ended."""
    client, server = spliced()
    data = stream_of(8 * MIB, seed=1)
    g5x.signal(signal.SIGTERM)
    g5x.wait_for_log("ending: 1 sessions left")
    wait_until(lambda: is_refused(FORWARD), "nobody is served any more")
    for source, sink in ((client, server), (server, client)):
        sending = background(send_in_pieces, source, data)
        assert digest(read_exactly(sink, len(data))) == digest(data)
        sending.result()
    assert pins.names()
    finish(client, server)
    assert g5x.wait() == 0
    n = len(data)
    assert g5x.log_lines(f'in={n} out={n} .* datapath=splice reason="done"')
    assert not pins.folder.exists()


def test_spliced_sessions_are_reset_when_the_grace_is_over(g5x, pins):
    with listen() as listener:
        rule = g5x.rule("web", "RR", FORWARD, address_of(listener))
        g5x.start("( grace 1 )\n" + rule, *FEW_SESSIONS)
        client = connect(FORWARD)
        server = listener.accept()[0]
        with client, server:
            exchange(client, server)
            wait_until(lambda: len(pins.sessions()) == 1, "it is spliced")
            n_sent = fill(client)
            g5x.signal(signal.SIGTERM)
            got, end = read_to_end(server)
            assert end == "RST" and len(got) <= n_sent
            assert read_to_end(client) == (b"", "RST")
    assert g5x.wait() == 0
    assert g5x.log_lines('datapath=splice reason="shutdown"')
