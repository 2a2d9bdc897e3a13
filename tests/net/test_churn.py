# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Thousands of short sessions: none sees a byte of another or leaves anything."""
import random
import struct

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    background,
    connect,
    half_close,
    is_reset,
    read_all,
    read_to_end,
    reset,
)
from lib.wait import wait_until

N_CLIENTS = 8  # at the same time
ID = struct.Struct("!Q")


def payload(session_id, n_words):
    """Nothing but its id: a foreign byte is seen wherever it is."""
    return ID.pack(session_id) * n_words


def is_of_one_session(data):
    return data == data[: ID.size] * (len(data) // ID.size)


def check_and_echo(connection):
    data = read_all(connection)
    assert is_of_one_session(data), "the server got bytes of two sessions"
    connection.sendall(data)


def run_clients(client, n_sessions):
    """client(session id, random) for each id, N_CLIENTS at a time."""

    def run(first):
        choose = random.Random(first)
        for session_id in range(first, n_sessions, N_CLIENTS):
            client(session_id, choose)

    for thread in [background(run, first) for first in range(N_CLIENTS)]:
        thread.result()


def wait_for_lines(g5x, pattern, n):
    wait_until(lambda: len(g5x.log_lines(pattern)) == n, f"{n} lines /{pattern}/")


def exchange(session_id, choose):
    sent = payload(session_id, choose.choice((1, 1, 10, 1000, 20000)))
    with connect(FORWARD) as client:
        client.sendall(sent)
        half_close(client)
        assert read_all(client) == sent


def abort(session_id, choose):
    """Leaves in the middle, in one of several ways."""
    client = connect(FORWARD)
    way = choose.randrange(4)
    if way > 0:
        client.sendall(payload(session_id, 500))
    if way == 1:
        half_close(client)
        client.recv(100)
    if way == 3:
        client.close()
    else:
        reset(client)


@pytest.fixture
def n_sessions(is_sanitized):
    return 1000 if is_sanitized else 3000


@pytest.mark.parametrize("options", [(), ("-s", "16"), ("-b", "512", "--workers", "1")])
def test_no_session_ever_sees_a_byte_of_another(g5x, serve, n_sessions, options):
    g5x.forward(serve(check_and_echo), options=options)
    n_fds = g5x.n_fds()
    run_clients(exchange, n_sessions)
    wait_until(lambda: g5x.n_fds() == n_fds, "as many descriptors as at the start")
    wait_for_lines(g5x, "session rule=web .*done", n_sessions)


def test_sessions_cut_off_between_good_ones_disturb_nobody(g5x, serve, n_sessions):
    """Numbers and descriptors of the cut ones are in use again at once."""

    def either(session_id, choose):
        (abort if choose.random() < 0.5 else exchange)(session_id, choose)

    def check_what_came(connection):
        data, end = read_to_end(connection)
        assert is_of_one_session(data[: len(data) // ID.size * ID.size])
        if end == "FIN":
            connection.sendall(data)

    g5x.forward(serve(check_what_came))
    n_fds = g5x.n_fds()
    run_clients(either, n_sessions)
    wait_until(lambda: g5x.n_fds() == n_fds, "as many descriptors as at the start")
    wait_for_lines(g5x, "session rule=web", n_sessions)


def test_refused_sessions_leave_nothing_behind(g5x, serve, n_sessions):
    """A third of the way they have no server to go to."""
    server = serve(check_and_echo)
    g5x.forward(server, server.address.replace("127.0.0.1", "127.0.0.2"))
    n_fds = g5x.n_fds()
    run_clients(exchange, n_sessions // 3)
    server.stop()
    for _ in range(n_sessions // 3):
        assert is_reset(FORWARD)
    server.start()
    run_clients(exchange, n_sessions // 3)
    wait_until(lambda: g5x.n_fds() == n_fds, "as many descriptors as at the start")
