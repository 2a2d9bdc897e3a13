# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Ends of spliced sessions, and who has their places in the maps afterwards.

A reset arrives as one, never as a FIN that would make a cut stream look whole; a number
that is used again shows nobody another's bytes.
"""
import fcntl
import random
import signal
import struct
import termios
import time
from collections import Counter

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    background,
    connect,
    digest,
    fill,
    half_close,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    stream_of,
)
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("splice")

KIB, MIB = 1 << 10, 1 << 20
WAYS = ["to the server", "to the client"]
N_CLIENTS = 8  # at the same time


def in_order(way, client, server):
    """Source and sink."""
    return (client, server) if way == "to the server" else (server, client)


def wait_until_acknowledged(sock):
    """The daemon's socket has all of it."""

    def n_unacknowledged():
        return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]

    wait_until(lambda: n_unacknowledged() == 0, "all bytes have left the sender")


# ---- resets --------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_reset_in_the_middle_of_a_spliced_stream_is_never_a_fin(spliced, way, seed):
    client, server = spliced()
    source, sink = in_order(way, client, server)
    reading = background(read_to_end, sink)
    data = stream_of(random.Random(seed).randrange(1, 4 * MIB), seed)
    source.sendall(data)
    reset(source)
    got, end = reading.result()
    assert end == "RST"
    assert digest(got) == digest(data[: len(got)])


@pytest.mark.parametrize("way", WAYS)
def test_reset_while_both_directions_are_full_is_never_a_fin(spliced, way):
    client, server = spliced(receive_buffer=32 * KIB, splice_limit=64 * KIB)
    source, sink = in_order(way, client, server)
    fill(client)
    fill(server)
    reset(source)
    assert read_to_end(sink)[1] == "RST"


@pytest.mark.parametrize("is_stopped", [False, True], ids=["", "daemon was stopped"])
@pytest.mark.parametrize("way", WAYS)
def test_bytes_before_a_reset_arrive(spliced, g5x, way, is_stopped):
    """All of them: the reader has room for them, and the daemon's socket had them."""
    client, server = spliced()
    source, sink = in_order(way, client, server)
    data = stream_of(50 * KIB, seed=1)
    if is_stopped:
        g5x.freeze()
    source.sendall(data)
    wait_until_acknowledged(source)
    reset(source)
    g5x.signal(signal.SIGCONT)
    g5x.wait_for_log(r'reason="reset by (client|server)"')
    got, end = read_to_end(sink)
    assert end == "RST"
    assert digest(got) == digest(data)


@pytest.mark.parametrize("way", WAYS)
def test_reset_that_crosses_bytes_of_the_other_way_is_never_a_fin(spliced, g5x, way):
    """The kernel is told of the reset when it sends, before the daemon can look."""
    client, server = spliced()
    resets, sends = in_order(way, client, server)
    g5x.freeze()
    resets.sendall(b"half of an answer")
    assert read_exactly(sends, 17) == b"half of an answer"
    reset(resets)
    sends.sendall(b"more")
    wait_until_acknowledged(sends)
    time.sleep(0.1)  # for the kernel to pass it on
    g5x.signal(signal.SIGCONT)
    assert read_to_end(sends) == (b"", "RST")
    g5x.wait_for_log(r'reason="reset by (client|server)"')


def test_reset_while_a_session_is_being_spliced_is_never_a_fin(g5x, serve):
    """The request is there before the session, and the server in a hurry."""

    def answer_a_little(connection):
        connection.recv(8)
        connection.sendall(b"half of an ans")
        reset(connection)

    def ask(n):
        ends = Counter()
        for _ in range(n):
            with connect(FORWARD) as client:
                try:
                    client.sendall(bytes(200))
                except ConnectionError:
                    ends["RST"] += 1  # told here, and once only
                    continue
                ends[read_to_end(client)[1]] += 1
        return ends

    g5x.forward(serve(answer_a_little))
    asking = [background(ask, 250) for _ in range(N_CLIENTS)]
    assert sum((each.result() for each in asking), Counter()) == {"RST": 2000}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_bytes", [1, 1000, 300 * KIB, 3 * MIB])
def test_bytes_before_a_fin_arrive(spliced, g5x, way, n_bytes):
    """Many of them wait in the daemon or its sockets: the reader is slow."""
    client, server = spliced(receive_buffer=32 * KIB, splice_limit=64 * KIB)
    source, sink = in_order(way, client, server)
    data = stream_of(n_bytes, seed=3)
    sending = background(source.sendall, data)
    sending.add_done_callback(lambda _: source.close())
    assert digest(read_all(sink)) == digest(data)
    sending.result()
    sink.close()
    g5x.wait_for_log('datapath=splice reason="done"')


def test_reset_reaches_a_peer_that_sends_all_the_time(spliced):
    client, server = spliced()

    def send_for_ever():
        while True:
            client.sendall(bytes(65536))

    sending = background(send_for_ever)
    read_exactly(server, 4 * MIB)
    reset(server)
    assert isinstance(sending.exception(), (ConnectionResetError, BrokenPipeError))


@pytest.mark.parametrize("way", WAYS)
def test_reset_reaches_a_peer_that_has_half_closed(spliced, way):
    client, server = spliced()
    resets, ends = in_order(way, client, server)
    half_close(ends)
    assert read_all(resets) == b""
    resets.sendall(b"x")
    assert read_exactly(ends, 1) == b"x"
    reset(resets)
    assert read_to_end(ends)[1] == "RST"


# ---- numbers that are used again -----------------------------------------------------

ID = struct.Struct("!Q")


def echo_in_words(connection):
    """Asserts that every word is the same: that of one session."""
    first, rest = b"", b""
    while data := connection.recv(1 << 18):
        first = first or data[: ID.size]
        rest += data
        n = len(rest) // ID.size
        if len(first) == ID.size:
            assert rest[: n * ID.size] == first * n, "bytes of two sessions"
            rest = rest[n * ID.size :]
        connection.sendall(data)


def talk(session_id, choose):
    """Some questions of which each is answered, so that the session is spliced."""
    with connect(FORWARD) as client:
        for _ in range(choose.choice((1, 1, 2, 5))):
            sent = ID.pack(session_id) * choose.choice((1, 1, 10, 1000, 20000))
            sending = background(client.sendall, sent)
            assert read_exactly(client, len(sent)) == sent
            sending.result()
        if choose.random() < 0.5:
            half_close(client)
            assert read_all(client) == b""


def leave(session_id, choose):
    """In the middle of an answer, or before there is one."""
    client = connect(FORWARD)
    client.sendall(ID.pack(session_id) * choose.choice((1, 1000, 20000)))
    if choose.random() < 0.5:
        client.recv(100)
    if choose.random() < 0.5:
        reset(client)
    client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_spliced_session_ever_sees_a_byte_of_another(
    g5x, serve, pins, is_sanitized, workers
):
    """Numbers are used again at once, also those of sessions that were cut off."""
    n_sessions = 3000 if not is_sanitized else 1000
    g5x.forward(serve(echo_in_words), options=("-s", "100", "--workers", workers))
    before, n_fds = pins.totals(), g5x.n_fds()

    def run(first):
        choose = random.Random(first)
        for session_id in range(first, n_sessions, N_CLIENTS):
            (leave if choose.random() < 0.3 else talk)(session_id, choose)

    for thread in [background(run, first) for first in range(N_CLIENTS)]:
        thread.result()
    wait_until(lambda: g5x.n_fds() == n_fds, "as many descriptors as at the start")
    wait_until(lambda: not pins.is_any_left(), "nothing of them is left in the maps")
    totals = {name: n - before[name] for name, n in pins.totals().items()}
    assert totals["spliced"] > n_sessions / 2
    for name in ("table_full", "insert_failed", "gaps"):
        assert totals[name] == 0, name
