# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What sessions cost the daemon: little while idle, never more than their buffers."""
import contextlib
import resource
import time

import pytest

from lib.daemon import FORWARD
from lib.manage import Manage
from lib.peers import (
    address_of,
    background,
    connect,
    fill,
    listen,
    read_exactly,
    reset,
)
from lib.wait import wait_until

KIB, MIB = 1 << 10, 1 << 20
ADMIN = "127.0.0.1:8999"
BUFFER = 64 * KIB  # default of -b
MAX_IDLE_SESSIONS = 4500
BYTES_PER_IDLE_SESSION = 1536
FLAT_LIMIT = 10  # looks at memory until it has to be flat


@pytest.fixture(autouse=True)
def not_sanitized(is_sanitized):
    if is_sanitized:
        pytest.skip("sanitizers use much memory of their own")


@pytest.fixture(autouse=True)
def small_tcp_buffers(namespace):
    """Hundreds of full sockets would press on those of everybody else."""
    namespace.limit_tcp_buffers(256 * KIB)


@pytest.fixture
def many_fds():
    """As many file descriptors for this process as it may have; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def sessions(g5x):
    """sessions(n) -> n pairs of client and server sockets; closed with the test."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(listen())
        g5x.forward(address_of(listener), options=("--workers", "2"))

        def open_sessions(n):
            pairs = []
            for _ in range(n):
                client = sockets.enter_context(connect(FORWARD))
                pairs.append((client, sockets.enter_context(listener.accept()[0])))
            return pairs

        yield open_sessions


def exchange(pairs):
    for client, server in pairs:
        client.sendall(b"?")
        assert read_exactly(server, 1) == b"?"
        server.sendall(b"!")
        assert read_exactly(client, 1) == b"!"


def test_idle_session_costs_at_most_1_5_kib(g5x, many_fds, sessions):
    n_sessions = min(MAX_IDLE_SESSIONS, (many_fds - 1000) // 2)
    exchange(sessions(10))
    before = g5x.pss()
    pairs = sessions(n_sessions)
    exchange(pairs)
    cost = (g5x.pss() - before) / n_sessions
    assert cost <= BYTES_PER_IDLE_SESSION


def test_sessions_that_have_ended_leave_their_memory_to_the_next(g5x, sessions):
    def open_and_close():
        n_fds = g5x.n_fds()
        for client, server in sessions(1000):
            client.close()
            server.close()
        wait_until(lambda: g5x.n_fds() == n_fds, "all sessions have ended")
        return g5x.pss()

    first = open_and_close()
    last = [open_and_close() for _ in range(3)][-1]
    assert last - first < 500 * KIB


def read_all_slowly(socks, n_bytes_per_second, seconds):
    """One thread for all readers, ten times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sock in socks:
            with contextlib.suppress(BlockingIOError):
                sock.recv(n_bytes_per_second // 10)
        time.sleep(0.1)


def test_memory_of_slow_sessions_is_flat_and_bounded(g5x, sessions):
    """200 downloads of about 1 MB/s each, from servers that could send much faster."""
    before = g5x.pss()
    pairs = sessions(200)

    def send(server):
        with contextlib.suppress(OSError):
            while True:
                server.sendall(bytes(MIB))

    sending = [background(send, server) for _, server in pairs]
    clients = [client for client, _ in pairs]
    for client in clients:
        client.setblocking(False)
    read_all_slowly(clients, MIB, seconds=2)
    sizes = [g5x.pss()]
    # It grows until each session had to wait once; on a busy machine that takes longer.
    while len(sizes) < 2 or sizes[-1] - sizes[-2] >= len(pairs) * BUFFER * 0.1:
        assert len(sizes) < FLAT_LIMIT
        read_all_slowly(clients, MIB, seconds=3)
        sizes.append(g5x.pss())
    for client, server in pairs:
        reset(client)
    for each in sending:
        each.result()
    assert max(sizes) - before < len(pairs) * BUFFER * 1.5


def test_memory_of_readers_that_stopped_is_bounded_and_used_again(g5x, sessions):
    """Both directions of 50 sessions are full: two buffers each, and no more."""
    before, n_fds = g5x.pss(), g5x.n_fds()

    def fill_and_reset():
        pairs = sessions(50)
        filling = [background(fill, sock) for pair in pairs for sock in pair]
        assert sum(each.result() for each in filling) > 100 * BUFFER
        full = g5x.pss()
        for client, _ in pairs:
            reset(client)
        wait_until(lambda: g5x.n_fds() == n_fds, "all sessions have ended")
        return full

    peaks = [fill_and_reset() - before for _ in range(4)]
    assert max(peaks) < 100 * BUFFER * 1.5 + MIB


@pytest.mark.any_datapath
def test_memory_of_management_clients_that_never_read_is_bounded(g5x):
    """They ask for long lists all the time."""
    rules = [g5x.rule(f"rule{i}", "RR", FORWARD, "127.0.0.1:1") for i in range(500)]
    g5x.start(g5x.rule("admin", "G", ADMIN) + "".join(rules))
    before = g5x.pss()

    def ask_until_stuck(client):
        client.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.send(b"list rules\r\n" * 100)

    lazy = [Manage(ADMIN) for _ in range(5)]
    for asking in [background(ask_until_stuck, client) for client in lazy]:
        asking.result()
    with Manage(ADMIN) as manage:
        assert manage.ask("nonsense") == "command invalid [nonsense]\r\n"
    assert g5x.pss() - before < 16 * MIB
    for client in lazy:
        reset(client.sock)
