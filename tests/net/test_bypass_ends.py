# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Sessions past the daemon when something ends: the daemon, readers, clients."""
import contextlib
import ctypes
import random
import re
import signal
import socket
import struct
from pathlib import Path

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.peers import (
    address_of,
    background,
    connect,
    digest,
    echo,
    fill,
    half_close,
    listen,
    parse,
    read_all,
    read_exactly,
    read_to_end,
    send_in_pieces,
    send_until_full,
    stream_of,
)
from lib.pins import BypassPins, bpftool
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("bypass")

KIB, MIB = 1 << 10, 1 << 20
SO_MEMINFO = 55


# ---- a daemon that is killed ---------------------------------------------------------


def programs_of(g5x):
    """{id: name} of the programs that it holds."""
    infos = Path(f"/proc/{g5x.pid}/fdinfo").glob("*")
    texts = [info.read_text() for info in infos]
    ids = {
        int(n) for text in texts for n in re.findall(r"^prog_id:\s*(\d+)", text, re.M)
    }
    return {p["id"]: p["name"] for p in bpftool("prog", "show") if p["id"] in ids}


def attached_programs():
    """Ids of those that look at the sockets of the whole host."""
    tree = bpftool("cgroup", "tree")
    return {program["id"] for group in tree for program in group["programs"]}


def loaded_programs():
    return {program["id"] for program in bpftool("prog", "show")}


def kill_nine(daemon):
    daemon.signal(signal.SIGKILL)
    assert daemon.wait() == -signal.SIGKILL


def test_nothing_looks_at_sockets_after_the_daemon_was_killed(bypassed, g5x):
    client, server = bypassed()
    meet = {n for n, name in programs_of(g5x).items() if name == "g5x_meet"}
    assert len(meet) == 1 and meet <= attached_programs()
    kill_nine(g5x)
    wait_until(lambda: not meet & attached_programs(), "it is attached no more")
    wait_until(lambda: not meet & loaded_programs(), "it is gone")
    assert read_to_end(client)[0] == read_to_end(server)[0] == b""


@pytest.mark.parametrize("is_stopped_before", [True, False])
def test_what_was_queued_when_the_daemon_was_killed_arrives(
    bypassed, g5x, bypass_pins, is_stopped_before
):
    client, server = bypassed()
    before = bypass_pins.n_direct(client)
    if is_stopped_before:
        g5x.freeze()
    up, down = stream_of(100 * KIB, seed=1), stream_of(100 * KIB, seed=2)
    client.sendall(up)
    server.sendall(down)
    direct = [n - m for n, m in zip(bypass_pins.n_direct(client), before)]
    assert direct == [len(up), len(down)]
    kill_nine(g5x)
    for sock, data in ((server, up), (client, down)):
        assert digest(read_to_end(sock)[0]) == digest(data)


def send_until_it_fails(sock, data):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        send_in_pieces(sock, data)


def test_streams_of_a_killed_daemon_end_and_are_right_until_then(bypassed, g5x):
    """Both ways; with readers so slow that bytes go both short and long."""
    client, server = bypassed(splice_limit=64 * KIB)
    data = {client: stream_of(64 * MIB, seed=1), server: stream_of(64 * MIB, seed=2)}
    sending = [background(send_until_it_fails, *item) for item in data.items()]
    got = {client: read_exactly(server, MIB), server: read_exactly(client, MIB)}
    kill_nine(g5x)
    reading = {
        client: background(read_to_end, server),
        server: background(read_to_end, client),
    }
    for source, each in reading.items():
        all_of_it = got[source] + each.result()[0]
        assert digest(all_of_it) == digest(data[source][: len(all_of_it)])
        assert len(all_of_it) < len(data[source]), "nothing was cut off"
    client.close()
    server.close()
    for each in sending:
        each.result()


def test_pins_that_a_killed_daemon_left_are_replaced_by_the_next(daemons, serve):
    server = serve(echo)
    first, second = daemons(), daemons()
    second.bpffs = first.bpffs
    pins = BypassPins(first.bpffs)
    first.forward(server, options=FEW_SESSIONS)
    old = set(programs_of(first))
    with connect(FORWARD) as client:
        client.sendall(b"before")
        assert read_exactly(client, 6) == b"before"
        wait_until(pins.sessions, "it is bypassed")
        kill_nine(first)
        assert len(pins.sessions()) == 1  # of the dead one

        second.forward(server, options=FEW_SESSIONS)
        assert not second.log_lines("not pinned")
        assert not pins.is_any_left()
        assert read_to_end(client)[0] == b""
    wait_until(lambda: not old & loaded_programs(), "nothing of the first one is left")
    with connect(FORWARD) as client:
        client.sendall(b"after")
        assert read_exactly(client, 5) == b"after"
        wait_until(pins.sessions, "it is bypassed")
    second.wait_for_log("session rule=web .* datapath=bypass")
    assert second.stop() == 0
    assert not first.bpffs.exists()


# ---- a daemon that ends --------------------------------------------------------------


def test_bypassed_sessions_may_finish_after_sigterm(bypassed, g5x, bypass_pins):
    client, server = bypassed()
    data = stream_of(8 * MIB, seed=1)
    g5x.signal(signal.SIGTERM)
    g5x.wait_for_log("ending: 1 sessions left")
    for source, sink in ((client, server), (server, client)):
        sending = background(send_in_pieces, source, data)
        assert digest(read_exactly(sink, len(data))) == digest(data)
        sending.result()
    assert bypass_pins.names()
    half_close(client)
    server.close()
    assert read_all(client) == b""
    assert g5x.wait() == 0
    n = len(data) + 1
    assert g5x.log_lines(f'in={n} out={n} .* datapath=bypass reason="done"')
    assert not g5x.bpffs.exists()


def test_programs_are_gone_when_daemon_and_applications_have_ended(bypassed, g5x):
    """Those that look at an application's socket stay with it."""
    client, server = bypassed()
    old = programs_of(g5x)
    assert {"g5x_meet", "g5x_ask", "g5x_bypass"} <= set(old.values())
    client.sendall(b"unread")
    assert g5x.stop() == 0

    def left():
        return {name for n, name in old.items() if n in loaded_programs()}

    wait_until(lambda: left() <= {"g5x_bypass", "g5x_pass"}, "the daemon's are gone")
    assert read_to_end(client)[0] == b""
    assert read_to_end(server)[0] in (b"", b"unread")
    client.close()
    server.close()
    wait_until(lambda: not left(), "all are gone")


# ---- readers that stop ---------------------------------------------------------------


def receive_memory(sock):
    """Bytes that are charged to it, whatever queue they are in."""
    return struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64))[
        0
    ]


@pytest.mark.parametrize("limit", [256 * KIB, MIB])
@pytest.mark.parametrize("largest", [64 * KIB, 100])
def test_readers_that_stopped_stop_their_senders_at_the_limit(
    bypassed, bypass_pins, limit, largest
):
    """And get every byte when they go on."""
    n_sessions = 20
    data = stream_of(16 * MIB, seed=1)
    pairs = [bypassed(splice_limit=limit) for _ in range(n_sessions)]
    ways = [way for a, b in pairs for way in ((a, b), (b, a))]
    sending = [background(send_until_full, a, data, largest) for a, _ in ways]
    sent = [each.result() for each in sending]
    assert max(sent) < len(data)
    assert all(n > 1 for client, _ in pairs for n in bypass_pins.n_direct(client))
    charged = sum(receive_memory(reader) for _, reader in ways)
    assert 0 < charged <= len(ways) * (limit + MIB)
    reading = [background(read_exactly, b, n) for (_, b), n in zip(ways, sent)]
    for each, n in zip(reading, sent):
        assert digest(each.result()) == digest(data[:n])


def send_buffer(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_send_buffer_that_an_application_has_chosen_stays(bypassed):
    """That of another one becomes small when its bytes go the long way."""
    client, server = bypassed(splice_limit=64 * KIB)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 300_000)
    chosen = send_buffer(client)
    sizes = {send_buffer(server)}
    for source, sink in ((client, server), (server, client)):
        n = fill(source)
        assert read_exactly(sink, n) == bytes(n)
        for _ in range(100):
            source.sendall(b"x")
            assert read_exactly(sink, 1) == b"x"
    sizes.add(send_buffer(server))
    assert len(sizes) == 2, "the other one is as it was"
    assert send_buffer(client) == chosen


# ---- churn ---------------------------------------------------------------------------


ID = struct.Struct("!Q")
N_CLIENTS = 8  # at the same time


def payload(session_id, n_words):
    """Nothing but its id: a foreign byte is seen wherever it is."""
    return ID.pack(session_id) * n_words


def check_words(data):
    assert data == data[: ID.size] * (len(data) // ID.size), "bytes of two sessions"


def check_and_echo(connection):
    """Each word when it is whole."""
    first, rest = None, b""
    while data := connection.recv(64 * KIB):
        rest += data
        n_whole = len(rest) // ID.size * ID.size
        whole, rest = rest[:n_whole], rest[n_whole:]
        check_words(whole)
        if whole:
            first = first or whole[: ID.size]
            assert whole[: ID.size] == first, "bytes of another session"
            connection.sendall(whole)
    assert rest == b""


def talk(session_id, choose):
    """Some turns, so that most go past the daemon, and a FIN."""
    with connect(FORWARD) as client:
        for _ in range(choose.choice((1, 3, 10))):
            sent = payload(session_id, choose.choice((1, 10, 1000, 5000)))
            client.sendall(sent)
            assert read_exactly(client, len(sent)) == sent
        half_close(client)
        assert read_all(client) == b""


@pytest.mark.parametrize("options", [(), ("-s", "16"), ("--workers", "1")])
def test_no_bypassed_session_ever_sees_a_byte_of_another(
    g5x, serve, is_sanitized, options
):
    """Numbers, descriptors and places in maps are in use again at once."""
    n_sessions = 800 if is_sanitized else 3000
    g5x.forward(serve(check_and_echo), options=options)
    n_fds = g5x.n_fds()

    def run(first):
        choose = random.Random(first)
        for session_id in range(first, n_sessions, N_CLIENTS):
            talk(session_id, choose)

    for each in [background(run, first) for first in range(N_CLIENTS)]:
        each.result()
    wait_until(lambda: g5x.n_fds() == n_fds, "as many descriptors as at the start")
    wait_until(
        lambda: len(g5x.log_lines('session rule=web .*"done"')) == n_sessions, "all end"
    )
    # Not each: a server's end may be known too late.
    assert len(g5x.log_lines("session .* datapath=bypass")) > n_sessions / 2
    assert not BypassPins(g5x.bpffs).is_any_left()


# ---- a socket that connects again ----------------------------------------------------


def disconnect(sock):
    """connect(2) to AF_UNSPEC: the socket can connect again, and keeps its cookie."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.connect(sock.fileno(), struct.pack("H14x", 0), 16) == 0


def test_client_that_connects_again_reads_nothing_of_its_last_session(g5x):
    with listen() as listener, contextlib.ExitStack() as sockets:
        g5x.forward(address_of(listener), options=FEW_SESSIONS)
        client = sockets.enter_context(connect(FORWARD))
        server = sockets.enter_context(listener.accept()[0])
        client.sendall(b"?")
        assert read_exactly(server, 1) == b"?"
        server.sendall(b"of the first session")
        wait_until(lambda: client.recv(100, socket.MSG_PEEK), "it has come")
        disconnect(client)
        client.connect(parse(FORWARD))
        second = sockets.enter_context(listener.accept()[0])
        second.sendall(b"of the second session")
        half_close(second)
        assert read_all(client) == b"of the second session"


def test_client_that_connects_elsewhere_gets_nothing_more_of_its_last_session(
    bypassed, g5x
):
    client, server = bypassed()
    g5x.freeze()  # it cannot end the session
    with listen() as listener:
        disconnect(client)
        client.connect(listener.getsockname())
        with listener.accept()[0] as other:
            with contextlib.suppress(ConnectionError):
                server.sendall(b"for who has left")
            other.sendall(b"for who has come")
            half_close(other)
            assert read_all(client) == b"for who has come"
    g5x.signal(signal.SIGCONT)
