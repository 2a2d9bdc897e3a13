# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Calls of applications that answer past the daemon as they do with it.

Each application does what it would do with a socket that is connected to the other.
"""
import fcntl
import os
import select
import signal
import socket
import struct
import termios

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    address_of,
    background,
    connect,
    digest,
    half_close,
    listen,
    read_exactly,
    read_to_end,
    stream_of,
)
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("bypass")

MIB = 1 << 20


@pytest.fixture
def pair(bypassed, g5x):
    """With a daemon that is stopped: it could not help."""
    client, server = bypassed()
    g5x.freeze()
    yield client, server
    g5x.signal(signal.SIGCONT)


@pytest.fixture(params=["to the server", "to the client"])
def ends(request, pair):
    """Who sends, who reads."""
    return pair if request.param == "to the server" else pair[::-1]


def n_readable(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]


def test_bytes_that_wait_are_counted_peeked_at_and_read_once(ends):
    source, sink = ends
    source.sendall(b"hello ")
    source.sendall(b"world")
    assert n_readable(sink) == 11
    assert sink.recv(100, socket.MSG_PEEK) == b"hello world"
    assert read_exactly(sink, 3) == b"hel"
    assert n_readable(sink) == 8
    assert read_exactly(sink, 8) == b"lo world"
    assert n_readable(sink) == 0


def test_poll_tells_when_there_is_something_to_read_and_when_not(ends):
    source, sink = ends
    poll = select.poll()
    poll.register(sink, select.POLLIN | select.POLLRDHUP)
    for _ in range(100):
        assert poll.poll(0) == []
        source.sendall(b"x")
        assert poll.poll(0) == [(sink.fileno(), select.POLLIN)]
        assert sink.recv(10) == b"x"


def test_edge_triggered_epoll_tells_of_each_message(ends):
    source, sink = ends
    with select.epoll() as epoll:
        epoll.register(sink, select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(0) == []
        for _ in range(100):
            source.sendall(b"x")
            assert epoll.poll(0) == [(sink.fileno(), select.EPOLLIN)]
            assert epoll.poll(0) == []
    assert read_exactly(sink, 100) == b"x" * 100


def test_reader_that_waits_is_woken(ends):
    source, sink = ends
    for i in range(100):
        reading = background(sink.recv, 10)
        source.sendall(b"%d" % i)
        assert reading.result() == b"%d" % i


def test_non_blocking_reader_is_told_that_there_is_nothing(ends):
    source, sink = ends
    sink.setblocking(False)
    with pytest.raises(BlockingIOError):
        sink.recv(1)
    source.sendall(b"x")
    assert sink.recv(2) == b"x"
    with pytest.raises(BlockingIOError):
        sink.recv(1)


def test_files_that_are_sent_arrive(bypassed, tmp_path):
    client, server = bypassed()
    data = stream_of(4 * MIB, seed=1)
    path = tmp_path / "file"
    path.write_bytes(data)
    with open(path, "rb") as file:
        sending = background(client.sendfile, file)
        assert digest(read_exactly(server, len(data))) == digest(data)
        assert sending.result() == len(data)


def test_bytes_spliced_from_a_pipe_arrive(ends):
    source, sink = ends
    pipe = os.pipe()
    try:
        for i in range(100):
            os.write(pipe[1], b"%04d" % i)
            assert os.splice(pipe[0], source.fileno(), 4) == 4
            assert read_exactly(sink, 4) == b"%04d" % i
    finally:
        for fd in pipe:
            os.close(fd)


def test_vectors_arrive_in_order(ends):
    source, sink = ends
    parts = [b"%d," % i for i in range(500)]
    assert source.sendmsg(parts) == len(b"".join(parts))
    assert read_exactly(sink, len(b"".join(parts))) == b"".join(parts)


def test_unread_bytes_come_before_the_fin(bypassed, bypass_pins):
    client, server = bypassed()
    before = bypass_pins.n_direct(client)[0]
    client.sendall(b"unread")
    assert bypass_pins.n_direct(client)[0] - before == 6
    half_close(client)
    poll = select.poll()
    poll.register(server, select.POLLRDHUP)
    wait_until(lambda: poll.poll(0), "the FIN is there")
    assert read_to_end(server) == (b"unread", "FIN")
    server.sendall(b"answer")
    assert read_exactly(client, 6) == b"answer"


def test_reader_that_peeks_until_there_is_enough_gets_enough(g5x):
    """Its first bytes came by TCP: with TCP_DEFER_ACCEPT they are what establishes it."""
    with listen() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        g5x.forward(address_of(listener))
        with connect(FORWARD) as client:
            client.sendall(b"first")
            with listener.accept()[0] as server:
                for i in range(20):
                    client.sendall(b"then%03d" % i)
                    n = 5 + 7 * (i + 1)
                    wait_until(
                        lambda: len(server.recv(1000, socket.MSG_PEEK)) == n, f"{n} bytes"
                    )
                wanted = b"first" + b"".join(b"then%03d" % i for i in range(20))
                assert read_exactly(server, n) == wanted
