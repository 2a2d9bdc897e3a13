# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How many clients there may be, and what becomes of those that are too many."""
import contextlib
import os
import resource
import select
import signal
import time

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    background,
    connect,
    half_close,
    hold,
    is_reset,
    is_silent,
    named,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    visit,
)
from lib.wait import wait_until

SECOND = "127.0.0.1:8001"

# A client learns that its session is over a moment before the counts do; with one
# worker the next client comes after that moment.
ONE_WORKER = ("--workers", "1")


@pytest.fixture
def clients():
    """Sockets to be closed with the test."""
    with contextlib.ExitStack() as sockets:

        def keep(sock):
            return sockets.enter_context(sock)

        yield keep


@pytest.fixture
def come(clients):
    """come(address, source) -> a client that was greeted and stays, None if closed."""

    def come_and_stay(address, source=None):
        client = clients(connect(address, source))
        return client if is_served(client) else None

    return come_and_stay


def are_served(held):
    return [client is not None for client in held]


def is_served(client):
    """A served client is greeted; one that was refused reads its end."""
    data, end = b"", ""
    try:
        data = client.recv(1)
    except ConnectionResetError:
        end = "RST"
    assert data or end != "RST", "refused clients are closed, not reset"
    return data != b""


def leave(client):
    """Ends a session in order; when this returns, the daemon has ended it, too."""
    half_close(client)
    assert read_all(client) == b""
    client.close()


# ---- maxclients, maxsessions_per_ip --------------------------------------------------


def test_clients_over_maxclients_are_closed_and_a_freed_place_is_used(g5x, serve, come):
    server = serve(named("A"))
    rule = g5x.rule("web", "RR", FORWARD, server, clients="*:* ( maxclients 2 )")
    g5x.start(rule, *ONE_WORKER)
    held = [come(FORWARD) for _ in range(4)]
    assert are_served(held) == [True, True, False, False]
    leave(held[0])
    assert come(FORWARD)
    assert not come(FORWARD)
    g5x.wait_for_log(r"too many forward connections of rule web")


def test_maxclients_counts_each_pattern_on_its_own(g5x, serve, come):
    patterns = "127.0.0.1:* ( maxclients 1 ) *:* ( maxclients 2 )"
    g5x.start(g5x.rule("web", "RR", FORWARD, serve(named("A")), clients=patterns))
    sources = ["127.0.0.1"] * 2 + ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    held = [come(FORWARD, source) for source in sources]
    assert are_served(held) == [True, False, True, True, False]


@pytest.mark.parametrize("limit", ["maxclients", "maxsessions_per_ip"])
def test_limit_is_exact_when_many_clients_come_at_once(g5x, serve, clients, limit):
    per_ip = "( maxsessions_per_ip 7 )\n" if limit == "maxsessions_per_ip" else ""
    pattern = "*:*" if per_ip else "*:* ( maxclients 7 )"
    server = serve(named("A"))
    rule = g5x.rule("web", "RR", FORWARD, server, clients=pattern)
    g5x.start(per_ip + rule, "--workers", "4")
    for _ in range(3):
        coming = [background(connect, FORWARD) for _ in range(50)]
        held = [clients(client.result()) for client in coming]
        assert sum(is_served(client) for client in held) == 7
        n_before = g5x.n_fds()
        for client in held:
            client.close()
        wait_until(lambda: g5x.n_fds() == n_before - 14, "the seven sessions end")


def test_maxsessions_per_ip_counts_over_all_rules(g5x, serve, come):
    server = serve(named("A"))
    g5x.start(
        g5x.rule("one", "RR", FORWARD, server)
        + "( maxsessions_per_ip 3 )\n"
        + g5x.rule("two", "RR", SECOND, server),
        *ONE_WORKER,
    )
    held = [come(a) for a in (FORWARD, SECOND, FORWARD, SECOND, FORWARD)]
    assert are_served(held) == [True, True, True, False, False]
    assert come(FORWARD, "127.0.0.2")
    leave(held[1])
    assert come(SECOND)
    assert not come(FORWARD)
    g5x.wait_for_log(r"too much connections on ip\[127\.0\.0\.1:\d+\]")


def test_refusal_by_one_limit_gives_back_what_the_other_counted(g5x, serve, come):
    """A client over maxclients must not stay counted for its IP."""
    server = serve(named("A"))
    g5x.start(
        "( maxsessions_per_ip 3 )\n"
        + g5x.rule("one", "RR", FORWARD, server, clients="*:* ( maxclients 1 )")
        + g5x.rule("two", "RR", SECOND, server)
    )
    assert come(FORWARD)
    for _ in range(10):
        assert not come(FORWARD)
    assert come(SECOND)
    assert come(SECOND)
    assert not come(SECOND)


def test_limits_count_sessions_whose_server_failed_no_more(g5x, serve, come):
    server = serve(named("A"))
    rule = g5x.rule("web", "RR", FORWARD, server, clients="*:* ( maxclients 2 )")
    g5x.start("( maxsessions_per_ip 2 )\n" + rule, *ONE_WORKER)
    server.stop()
    for _ in range(5):
        assert is_reset(FORWARD)
    server.start()
    held = [come(FORWARD) for _ in range(3)]
    assert are_served(held) == [True, True, False]


def test_management_clients_do_not_count_for_their_ip(g5x, serve, clients, come):
    g5x.start(
        "( maxsessions_per_ip 1 )\n"
        + g5x.rule("admin", "G", "127.0.0.1:8999")
        + g5x.rule("web", "RR", FORWARD, serve(named("A")))
    )
    for _ in range(3):
        assert read_exactly(clients(connect("127.0.0.1:8999")), 2) == b"> "
    assert come(FORWARD)
    assert not come(FORWARD)
    assert read_exactly(clients(connect("127.0.0.1:8999")), 2) == b"> "


# ---- -s ------------------------------------------------------------------------------


def test_clients_over_the_session_cap_are_reset(g5x, serve, clients):
    g5x.forward(serve(named("A")), options=("-s", "3", *ONE_WORKER))
    held = [clients(hold(FORWARD)[0]) for _ in range(3)]
    for _ in range(5):
        assert is_reset(FORWARD)
    leave(held.pop())
    assert visit(FORWARD) == "A"


def test_a_flood_over_the_session_cap_is_logged_once_a_second(g5x, serve, clients):
    g5x.forward(serve(named("A")), options=("-s", "1", *ONE_WORKER))
    clients(hold(FORWARD)[0])
    start = time.monotonic()
    for _ in range(500):
        assert is_reset(FORWARD)
    n_seconds = time.monotonic() - start
    g5x.wait_for_log("all 1 sessions are in use")
    n_lines = len(g5x.log_lines("all 1 sessions are in use"))
    assert 1 <= n_lines <= n_seconds + 2


@pytest.mark.any_datapath
def test_refused_client_that_has_sent_something_sees_an_orderly_end(g5x, serve):
    """Bytes that are left unread when a socket is closed would make that a reset."""
    g5x.start(g5x.rule("web", "RR", FORWARD, serve(named("A")), clients="10.*:*"))
    g5x.freeze()
    with connect(FORWARD) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        g5x.signal(signal.SIGCONT)
        assert read_to_end(client) == (b"", "FIN")


# ---- file descriptors ----------------------------------------------------------------


def test_clients_wait_while_there_are_no_descriptors_for_them(g5x, serve, clients):
    """They are neither refused nor served, and waiting costs no CPU time."""
    server = serve(named("A"))
    g5x.start(g5x.rule("web", "RR", FORWARD, server), *ONE_WORKER, max_fds=64)
    n_fds = g5x.n_fds()
    held = [clients(connect(FORWARD)) for _ in range(40)]
    g5x.wait_for_log("clients wait")
    assert g5x.cpu_share(1) < 0.5
    served = select.select(held, [], [], 0)[0]
    assert 5 <= len(served) < 30
    for client in served:
        assert read_exactly(client, 1) == b"A"
        leave(client)
    for client in held:
        if client not in served:
            assert read_exactly(client, 1) == b"A"
            leave(client)
    wait_until(
        lambda: g5x.n_fds() == n_fds, f"{n_fds} file descriptors as at the start"
    )


def test_management_works_while_sessions_have_all_descriptors(g5x, serve, clients):
    server = serve(named("A"))
    g5x.start(
        g5x.rule("web", "RR", FORWARD, server) + g5x.rule("admin", "G", SECOND),
        max_fds=64,
    )
    for _ in range(40):
        clients(connect(FORWARD))
    g5x.wait_for_log("clients wait")
    assert read_exactly(clients(connect(SECOND)), 2) == b"> "


def limit_fds(g5x, n):
    _, hard = resource.prlimit(g5x.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(g5x.pid, resource.RLIMIT_NOFILE, (n, hard))


def free_fd(g5x):
    """The number that the daemon's next descriptor will have."""
    used = {int(name) for name in os.listdir(f"/proc/{g5x.pid}/fd")}
    return next(n for n in range(len(used) + 1) if n not in used)


@pytest.mark.parametrize("n_left", [0, 1], ids=["none", "only the client's"])
def test_client_is_served_when_descriptors_are_back(g5x, serve, clients, n_left):
    """Something else in the process may use them up: then calls fail with EMFILE."""
    g5x.forward(serve(named("A")), options=ONE_WORKER)
    limit_fds(g5x, free_fd(g5x) + n_left)
    client = clients(connect(FORWARD))
    client.sendall(b"hello")
    if n_left == 0:
        g5x.wait_for_log("cannot accept, clients wait")
    assert g5x.cpu_share(1) < 0.5
    assert is_silent(client)
    limit_fds(g5x, 1000)
    assert read_exactly(client, 1) == b"A"
    assert visit(FORWARD) == "A"


def test_client_that_gets_no_descriptor_in_time_is_reset(g5x, serve):
    """A session that waits holds one itself: all of them must not wait for ever."""
    g5x.forward(serve(named("A")), options=ONE_WORKER)
    limit_fds(g5x, free_fd(g5x) + 1)
    with connect(FORWARD) as client:
        assert read_to_end(client) == (b"", "RST")
    g5x.wait_for_log('reason="out of resources"')


# ---- clients that leave while connecting ---------------------------------------------


@pytest.mark.parametrize(
    "leaving", [reset, lambda client: client.close()], ids=["RST", "FIN"]
)
def test_client_that_leaves_while_connecting_frees_its_place(
    g5x, blackhole, clients, leaving
):
    """At once after a RST; soon after a FIN, which may be that of one who listens."""
    g5x.forward(blackhole, options=("-s", "1"), connect_timeout=0)
    n_fds = g5x.n_fds()
    client = connect(FORWARD)
    wait_until(lambda: g5x.n_fds() == n_fds + 2, "the daemon connects")
    leaving(client)
    wait_until(lambda: g5x.n_fds() == n_fds, "its descriptors are free")
    g5x.wait_for_log('reason="client left while connecting"')
    next_client = clients(connect(FORWARD))
    wait_until(lambda: g5x.n_fds() == n_fds + 2, "the daemon connects for the next")
    assert is_silent(next_client)


def test_client_that_half_closes_after_its_request_is_still_served(
    g5x, blackhole, serve
):
    """Its FIN does not cut the wait for the server short."""
    g5x.forward(blackhole, serve(named("A")), mode="MS", connect_timeout=3)
    with connect(FORWARD) as client:
        client.sendall(b"request")
        half_close(client)
        assert read_all(client) == b"A"


def test_connect_timeout_goes_on_to_the_next_server(g5x, blackhole, serve):
    g5x.forward(blackhole, serve(named("A")), mode="RR", connect_timeout=1)
    start = time.monotonic()
    with connect(FORWARD) as client:
        assert read_exactly(client, 1) == b"A"
    assert time.monotonic() - start >= 1
    assert visit(FORWARD) == "A"  # at once: the other one is marked
    g5x.wait_for_log(
        r"connect2 to \[" + str(blackhole) + r"\] failed: Connection timed"
    )


@pytest.mark.any_datapath
def test_client_is_reset_when_every_server_timed_out(g5x, blackhole):
    g5x.forward(blackhole, connect_timeout=1)
    assert is_reset(FORWARD)
    g5x.wait_for_log('reason="no server left to try"')
