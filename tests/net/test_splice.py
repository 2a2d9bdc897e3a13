# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Which sessions the kernel forwards, and that it does so without the daemon."""
import re
import signal
import time

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.manage import ADMIN, Manage
from lib.peers import (
    address_of,
    background,
    connect,
    digest,
    echo,
    half_close,
    hold,
    is_silent,
    listen,
    named,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    send_in_pieces,
    send_until_full,
    stream_of,
    visit,
)
from lib.pins import n_moved
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("splice")

KIB = 1 << 10


def exchange(client, server, word=b"ping"):
    client.sendall(word)
    assert read_exactly(server, len(word)) == word
    server.sendall(word)
    assert read_exactly(client, len(word)) == word


# ---- who is spliced ------------------------------------------------------------------


def test_session_of_a_rule_that_says_splice_is_spliced(g5x, serve, pins):
    admin = g5x.rule("admin", "G", ADMIN)
    g5x.start(admin + g5x.rule("web", "RR", FORWARD, serve(echo)), *FEW_SESSIONS)
    n_before = pins.totals()["spliced"]
    with connect(FORWARD) as client, Manage(ADMIN) as manage:
        client.sendall(b"12345")
        assert read_exactly(client, 5) == b"12345"
        lines = re.findall(
            "rule=web bytes=5 datapath=splice", manage.ask("list forwards")
        )
        assert len(lines) == 2
        assert pins.totals()["spliced"] == n_before + 1
    g5x.wait_for_log('session rule=web .* in=5 out=5 .* datapath=splice reason="done"')


def test_ver_says_that_splice_is_on(g5x, abc):
    g5x.start(g5x.rule("admin", "G", ADMIN) + g5x.rule("web", "RR", FORWARD, *abc))
    with Manage(ADMIN) as manage:
        assert re.search(r' splice="on: self-test passed .*"', manage.ask("ver"))


def test_splice_is_neither_on_nor_off_where_no_rule_asks_for_it(g5x, serve):
    """It costs a quarter of a second at the start, and memory."""
    rule = g5x.rule("web", "RR", FORWARD, serve(named("A")), datapath="copy")
    g5x.start(g5x.rule("admin", "G", ADMIN) + rule)
    with Manage(ADMIN) as manage:
        assert "splice=" not in manage.ask("ver")
    assert visit(FORWARD) == "A"
    assert not g5x.log_lines(r"\| (warning: )?splice o")
    assert not g5x.bpffs.exists()


def test_rules_of_both_datapaths_work_side_by_side(g5x, serve):
    server = serve(echo)
    other = "127.0.0.1:8001"
    g5x.start(
        g5x.rule("kernel", "RR", FORWARD, server)
        + g5x.rule("daemon", "RR", other, server, datapath="copy")
    )
    with connect(FORWARD) as first, connect(other) as second:
        for client in (first, second, first, second):
            client.sendall(b"word")
            assert read_exactly(client, 4) == b"word"
    g5x.wait_for_log("session rule=kernel .* in=8 out=8 .* datapath=splice")
    g5x.wait_for_log("session rule=daemon .* in=8 out=8 .* datapath=copy")


def test_client_that_has_half_closed_before_gets_its_answer(g5x, serve, pins):
    """Only an end that is ESTABLISHED can be in the map: half of the session is."""

    def answer(connection):
        connection.sendall(b"answer to " + read_all(connection))

    g5x.forward(serve(answer), options=FEW_SESSIONS)
    before = pins.totals()
    g5x.freeze()
    with connect(FORWARD) as client:
        client.sendall(b"question")
        half_close(client)
        g5x.signal(signal.SIGCONT)
        assert read_all(client) == b"answer to question"
    after = pins.totals()
    assert after["half_spliced"] == before["half_spliced"] + 1
    assert after["spliced"] == before["spliced"]
    g5x.wait_for_log('session rule=web .* in=8 out=18 .* reason="done"')


def test_session_of_which_both_ends_have_half_closed_before_is_copied(g5x, pins):
    """The server's queue is full when the daemon connects, so it is in no hurry."""
    with listen(backlog=0) as listener:
        waiting = connect(address_of(listener))
        g5x.forward(address_of(listener), options=FEW_SESSIONS)
        n_before, n_fds = pins.totals()["not_connected"], g5x.n_fds()
        with connect(FORWARD) as client:
            client.sendall(b"question")
            half_close(client)
            wait_until(lambda: g5x.n_fds() == n_fds + 2, "the daemon connects")
            g5x.freeze()
            listener.accept()[0].close()
            waiting.close()
            with listener.accept()[0] as server:
                server.sendall(b"answer")
                half_close(server)
                g5x.signal(signal.SIGCONT)
                assert read_all(client) == b"answer"
                assert read_all(server) == b"question"
        assert pins.totals()["not_connected"] == n_before + 1
    g5x.wait_for_log('session rule=web .* in=8 out=6 .* datapath=copy reason="done"')


# ---- without the daemon --------------------------------------------------------------


def test_messages_go_on_while_the_daemon_is_stopped(spliced, g5x, pins):
    client, server = spliced()
    g5x.freeze()
    start, n = time.monotonic(), 0
    while n < 5000 or time.monotonic() - start < 2:
        exchange(client, server, b"%8d" % n)
        n += 1
    assert n_moved(pins.session(client), by="redirected") == 2 * 8 * n
    assert n_moved(pins.session(client), by="passed") == 0
    g5x.signal(signal.SIGCONT)
    exchange(client, server)


@pytest.mark.parametrize("n_sessions", [1, 10])
def test_512_kib_each_way_arrive_while_the_daemon_is_stopped(spliced, g5x, n_sessions):
    """Less than splice_limit, so nobody has to read meanwhile."""
    data = [stream_of(512 * KIB, seed) for seed in range(2)]
    pairs = [spliced() for _ in range(n_sessions)]
    g5x.freeze()
    for client, server in pairs:
        sending = [
            background(send_in_pieces, source, bytes_of_it, n)
            for n, (source, bytes_of_it) in enumerate(zip((client, server), data))
        ]
        for each in sending:
            each.result()
    for client, server in pairs:
        assert digest(read_exactly(server, 512 * KIB)) == digest(data[0])
        assert digest(read_exactly(client, 512 * KIB)) == digest(data[1])
    g5x.signal(signal.SIGCONT)
    for client, server in pairs:
        exchange(client, server)


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_slow_reader_stops_the_sender_while_the_daemon_is_stopped(
    spliced, g5x, namespace, way
):
    """And gets every byte when it goes on."""
    namespace.limit_tcp_buffers(256 * KIB)
    client, server = spliced(receive_buffer=32 * KIB)
    source, sink = (client, server) if way == "to the server" else (server, client)
    data = stream_of(8 << 20, seed=1)
    g5x.freeze()
    n_sent = send_until_full(source, data)
    assert 1 << 20 <= n_sent <= 2 << 20  # the limit and some socket buffers
    g5x.signal(signal.SIGCONT)
    sending = background(source.sendall, memoryview(data)[n_sent:])
    sending.add_done_callback(lambda _: half_close(source))
    assert digest(read_all(sink)) == digest(data)
    sending.result()


def test_fin_waits_for_the_daemon_and_no_byte_is_lost(spliced, g5x):
    client, server = spliced()
    g5x.freeze()
    client.sendall(b"last words")
    half_close(client)
    assert read_exactly(server, 10) == b"last words"
    assert is_silent(server)
    g5x.signal(signal.SIGCONT)
    assert read_all(server) == b""
    server.sendall(b"farewell")
    server.close()
    assert read_all(client) == b"farewell"


def test_reset_waits_for_the_daemon_and_is_a_reset(spliced, g5x):
    client, server = spliced()
    g5x.freeze()
    client.sendall(b"last words")
    assert read_exactly(server, 10) == b"last words"
    reset(client)
    assert is_silent(server)
    g5x.signal(signal.SIGCONT)
    assert read_to_end(server) == (b"", "RST")


# ---- where it cannot be --------------------------------------------------------------


def test_without_privileges_sessions_are_copied_and_the_log_says_why(g5x, serve):
    g5x.may_copy = True
    rules = g5x.rule("admin", "G", ADMIN) + g5x.rule("web", "RR", FORWARD, serve(echo))
    g5x.start(rules, is_privileged=False)
    line = g5x.wait_for_log("splice off: ")
    assert re.search(r"needs root or CAP_BPF.*; sessions are copied$", line)
    assert len(g5x.log_lines("splice off: ")) == 1
    with Manage(ADMIN) as manage:
        assert re.search(r' splice="off: .*CAP_BPF.*"', manage.ask("ver"))
    data = stream_of(1 << 20, seed=1)
    with connect(FORWARD) as client:
        sending = background(send_in_pieces, client, data)
        assert digest(read_exactly(client, len(data))) == digest(data)
        sending.result()
    g5x.wait_for_log('session rule=web .* datapath=copy reason="done"')


# ---- reload --------------------------------------------------------------------------


def test_reload_turns_splicing_on_for_new_sessions_and_old_ones_go_on(g5x, serve):
    server = serve(echo)
    g5x.start(g5x.rule("web", "RR", FORWARD, server, datapath="copy"))
    with connect(FORWARD) as before:
        before.sendall(b"before")
        assert read_exactly(before, 6) == b"before"
        g5x.reload(g5x.rule("web", "RR", FORWARD, server))
        g5x.wait_for_log("splice on: ")
        g5x.wait_for_log("configuration reloaded")
        with connect(FORWARD) as after:
            for client in (before, after, before, after):
                client.sendall(b"word")
                assert read_exactly(client, 4) == b"word"
    g5x.wait_for_log("session rule=web .* in=14 out=14 .* datapath=copy")
    g5x.wait_for_log("session rule=web .* in=8 out=8 .* datapath=splice")


def test_reload_turns_splicing_off_for_new_sessions_and_old_ones_go_on(g5x, serve):
    server = serve(named("A"))
    g5x.start(g5x.rule("web", "RR", FORWARD, server))
    before, _ = hold(FORWARD)
    with before:
        g5x.reload(g5x.rule("web", "RR", FORWARD, server, datapath="copy"))
        g5x.wait_for_log("configuration reloaded")
        assert visit(FORWARD) == "A"
        g5x.wait_for_log("session rule=web .* datapath=copy")
        half_close(before)
        assert read_all(before) == b""
    g5x.wait_for_log("session rule=web .* datapath=splice")
