# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Sessions that are silent for too long end, and no others."""
import signal
import time

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    connect,
    digest,
    half_close,
    is_silent,
    named,
    read_all,
    read_exactly,
    read_to_end,
    stream_of,
)

WAYS = ["to the server", "to the client"]


def test_idle_session_is_reset_on_both_sides(session, g5x):
    start = time.monotonic()
    client, server = session(timeout=1)
    assert read_to_end(client) == (b"", "RST")
    assert time.monotonic() - start >= 1
    assert read_to_end(server) == (b"", "RST")
    g5x.wait_for_log('reason="idle timeout"')


def test_without_a_timeout_an_idle_session_stays(session):
    client, server = session()
    time.sleep(2)
    assert is_silent(client)
    client.sendall(b"still here")
    assert read_exactly(server, 10) == b"still here"


@pytest.mark.parametrize("way", WAYS)
def test_traffic_in_one_direction_keeps_a_session_open(session, way):
    client, server = session(timeout=2)
    source, sink = (client, server) if way == "to the server" else (server, client)
    for _ in range(12):
        time.sleep(0.25)
        source.sendall(b"x")
        assert read_exactly(sink, 1) == b"x"
    assert is_silent(source)


def test_bytes_that_nobody_reads_do_not_keep_a_session_open(session, g5x):
    """The server stops reading; the client's bytes wait, nothing moves."""
    client, server = session(timeout=1, receive_buffer=32 << 10)
    client.setblocking(False)
    with pytest.raises(ConnectionResetError):
        while True:
            try:
                client.send(bytes(65536))
            except BlockingIOError:
                time.sleep(0.05)
    assert read_to_end(server)[1] == "RST"
    g5x.wait_for_log('reason="idle timeout"')


@pytest.mark.parametrize("way", WAYS)
def test_half_closed_session_ends_after_fin_timeout(session, g5x, way):
    client, server = session(fin_timeout=1)
    ends, silent = (client, server) if way == "to the server" else (server, client)
    start = time.monotonic()
    half_close(ends)
    assert read_all(silent) == b""
    assert read_to_end(ends) == (b"", "RST")
    assert time.monotonic() - start >= 1
    g5x.wait_for_log('reason="fin timeout"')


def test_traffic_after_a_half_close_keeps_a_session_open(session):
    client, server = session(fin_timeout=1)
    half_close(client)
    for _ in range(12):
        time.sleep(0.25)
        server.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    server.close()
    assert read_all(client) == b""


def test_fin_timeout_is_not_for_sessions_that_are_open_on_both_sides(session):
    client, server = session(fin_timeout=1)
    time.sleep(2)
    client.sendall(b"still here")
    assert read_exactly(server, 10) == b"still here"


def test_shorter_of_both_timeouts_counts_after_a_half_close(session, g5x):
    client, server = session(timeout=1, fin_timeout=3600)
    half_close(client)
    assert read_all(server) == b""
    assert read_to_end(client) == (b"", "RST")
    g5x.wait_for_log('reason="idle timeout"')


def test_timeout_is_not_the_connect_timeout(g5x, blackhole, serve):
    """G5 died here."""
    g5x.forward(blackhole, serve(named("A")), mode="MS", timeout=1, connect_timeout=2)
    with connect(FORWARD) as client:
        assert read_exactly(client, 1) == b"A"


@pytest.mark.any_datapath
def test_idle_management_client_is_closed(g5x):
    g5x.start(g5x.rule("admin", "G", FORWARD, timeout=1))
    start = time.monotonic()
    with connect(FORWARD) as client:
        assert read_all(client) == b"> "
    assert time.monotonic() - start >= 1


@pytest.mark.any_datapath
def test_management_client_that_asks_now_and_then_stays(g5x):
    g5x.start(g5x.rule("admin", "G", FORWARD, timeout=1))
    with connect(FORWARD) as client:
        assert read_exactly(client, 2) == b"> "
        for _ in range(8):
            time.sleep(0.25)
            client.sendall(b"\r\n")
            assert read_exactly(client, 2) == b"> "


def test_slow_reader_of_the_last_bytes_gets_them_all(g5x, serve):
    """They wait in the daemon's socket for longer than fin_timeout; its peer is gone."""
    data = stream_of(1 << 20, seed=7)
    g5x.forward(serve(lambda connection: connection.sendall(data)), fin_timeout=1)
    got = bytearray()
    with connect(FORWARD, receive_buffer=32 << 10) as client:
        start = time.monotonic()
        while chunk := client.recv(64 << 10):
            got += chunk
            time.sleep(max(0, len(got) / len(data) * 4 - (time.monotonic() - start)))
    assert digest(got) == digest(data)
    g5x.wait_for_log('reason="done"')


def test_bytes_that_came_while_the_daemon_was_stopped_are_activity(session, g5x):
    client, server = session(timeout=1)
    g5x.freeze()
    time.sleep(2.5)
    client.sendall(b"request")
    g5x.signal(signal.SIGCONT)
    assert read_exactly(server, 7) == b"request"
    server.sendall(b"answer")
    assert read_exactly(client, 6) == b"answer"
