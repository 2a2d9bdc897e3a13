# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One session: every byte arrives, in order, and each end learns how the other ends."""
import signal
import socket
import subprocess
import sys

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    background,
    connect,
    digest,
    echo,
    fill,
    half_close,
    is_silent,
    named,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    send_in_pieces,
    stream_of,
    visit,
)

MIB = 1 << 20
SMALL_BUFFER = 32 << 10


@pytest.fixture(params=["-b 512", "default -b"])
def buffer_options(request):
    return request.param.split() if request.param.startswith("-b") else ()


# ---- order of events -----------------------------------------------------------------


def test_bytes_sent_before_the_server_is_connected_arrive(g5x, blackhole, serve):
    """The first server hangs, so the bytes wait for the second one to be connected."""
    server = serve(echo)
    g5x.forward(blackhole, server, mode="MS", connect_timeout=1)
    with connect(FORWARD) as client:
        client.sendall(b"early")
        assert server.n_served == 0
        client.sendall(b" bytes")
        half_close(client)
        assert read_all(client) == b"early bytes"


def test_client_that_half_closes_gets_its_answer(session):
    client, server = session()
    client.sendall(b"question")
    half_close(client)
    assert read_all(server) == b"question"
    assert is_silent(client)
    server.sendall(b"answer")
    server.close()
    assert read_all(client) == b"answer"


def test_server_that_half_closes_first_still_gets_what_the_client_sends(session):
    client, server = session()
    server.sendall(b"enough")
    half_close(server)
    assert read_all(client) == b"enough"
    for word in (b"but ", b"there ", b"is ", b"more"):
        client.sendall(word)
        assert read_exactly(server, len(word)) == word
    half_close(client)
    assert read_all(server) == b""


def test_server_may_speak_first(session):
    client, server = session()
    server.sendall(b"220 welcome")
    assert read_exactly(client, 11) == b"220 welcome"
    client.sendall(b"thanks")
    assert read_exactly(server, 6) == b"thanks"


def test_client_that_only_listens_may_half_close_at_once(session):
    client, server = session()
    half_close(client)
    assert read_all(server) == b""
    server.sendall(b"banner")
    server.close()
    assert read_all(client) == b"banner"


def test_session_without_bytes_ends_with_a_fin_on_both_sides(session, g5x):
    client, server = session()
    half_close(client)
    assert read_all(server) == b""
    half_close(server)
    assert read_all(client) == b""
    assert 'reason="done"' in g5x.wait_for_log(r"session rule=web .*in=0 out=0")


def test_session_of_a_client_that_closes_while_idle_ends(session):
    client, server = session()
    client.close()
    assert read_all(server) == b""


def test_answer_to_a_client_that_has_closed_is_not_an_error(session, g5x):
    """The RST that such an answer causes ends the session, and nothing else."""
    client, server = session()
    client.close()
    assert read_all(server) == b""
    server.sendall(b"too late")
    g5x.wait_for_log('reason="reset by client"')
    with pytest.raises(BrokenPipeError):
        server.sendall(b"much too late")


# ---- bytes ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_32_mib_in_random_pieces_arrive_unchanged(session, buffer_options, way):
    client, server = session(options=buffer_options)
    source, sink = (client, server) if way == "to the server" else (server, client)
    data = stream_of(32 * MIB, seed=1)
    sending = background(send_in_pieces, source, data)
    sending.add_done_callback(lambda _: half_close(source))
    assert digest(read_all(sink)) == digest(data)
    sending.result()


def test_both_directions_at_once_do_not_disturb_each_other(session, buffer_options):
    client, server = session(options=buffer_options)
    to_server, to_client = stream_of(8 * MIB, seed=1), stream_of(8 * MIB, seed=2)
    readings = [background(read_all, client), background(read_all, server)]
    for source, data in ((client, to_server), (server, to_client)):
        sending = background(send_in_pieces, source, data)
        sending.add_done_callback(lambda _, source=source: half_close(source))
    assert digest(readings[0].result()) == digest(to_client)
    assert digest(readings[1].result()) == digest(to_server)


def test_64_mib_echo_through_prefilled_buffers_never_stalls(session, buffer_options):
    """Every queue on the way there is full before anybody reads."""
    client, server = session(options=buffer_options)
    n_filled = fill(client)
    data = bytes(n_filled) + stream_of(64 * MIB - n_filled, seed=3)
    echoing = background(echo, server)
    sending = background(client.sendall, memoryview(data)[n_filled:])
    assert digest(read_exactly(client, len(data))) == digest(data)
    sending.result()
    half_close(client)
    echoing.result()


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_slow_reader_gets_every_byte(session, buffer_options, way):
    """Its buffers are small, and it does not read before all queues are full."""
    client, server = session(receive_buffer=SMALL_BUFFER, options=buffer_options)
    source, sink = (client, server) if way == "to the server" else (server, client)
    n_filled = fill(source)
    data = bytes(n_filled) + stream_of(4 * MIB, seed=4)
    sending = background(send_in_pieces, source, memoryview(data)[n_filled:])
    sending.add_done_callback(lambda _: half_close(source))
    start = b"".join(read_exactly(sink, n) for n in range(1, 200))
    assert digest(start + read_all(sink)) == digest(data)
    sending.result()


def test_single_bytes_arrive_one_by_one(session):
    client, server = session()
    for i in range(500):
        one = bytes([i % 256])
        client.sendall(one)
        assert read_exactly(server, 1) == one
        server.sendall(one)
        assert read_exactly(client, 1) == one


def test_a_flood_of_single_bytes_arrives_in_order(session):
    client, server = session()
    data = stream_of(20000, seed=5)

    def send():
        for i in range(len(data)):
            client.sendall(data[i : i + 1])
        half_close(client)

    sending = background(send)
    assert digest(read_all(server)) == digest(data)
    sending.result()


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_out_of_band_byte_stays_in_the_stream(session, way):
    client, server = session()
    source, sink = (client, server) if way == "to the server" else (server, client)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    source.sendall(b"before")
    source.send(b"!", socket.MSG_OOB)
    source.sendall(b"after")
    half_close(source)
    assert read_all(sink) == b"before!after"


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_bytes_behind_an_out_of_band_byte_wait_for_no_further_ones(session, g5x, way):
    """All are there when the daemon looks: its reads end at the mark, not at the end."""
    client, server = session()
    source, sink = (client, server) if way == "to the server" else (server, client)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    g5x.signal(signal.SIGSTOP)
    source.sendall(b"before")
    source.send(b"!", socket.MSG_OOB)
    source.sendall(b"after")
    g5x.signal(signal.SIGCONT)
    assert read_exactly(sink, 12) == b"before!after"


def test_many_out_of_band_bytes_lose_nothing(session):
    client, server = session()
    data = stream_of(3000, seed=6)

    def send():
        for i in range(len(data)):
            client.send(data[i : i + 1], socket.MSG_OOB if i % 3 == 0 else 0)
        half_close(client)

    sending = background(send)
    assert digest(read_all(server)) == digest(data)
    sending.result()


# ---- resets --------------------------------------------------------------------------


def test_reset_by_the_client_arrives_as_a_reset_at_the_server(session, g5x):
    client, server = session()
    client.sendall(b"x")
    assert read_exactly(server, 1) == b"x"
    reset(client)
    assert read_to_end(server) == (b"", "RST")
    g5x.wait_for_log('reason="reset by client"')


def test_reset_by_the_server_arrives_as_a_reset_at_the_client(session, g5x):
    client, server = session()
    client.sendall(b"x")
    assert read_exactly(server, 1) == b"x"
    reset(server)
    assert read_to_end(client) == (b"", "RST")
    g5x.wait_for_log('reason="reset by server"')


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_bytes_before_a_reset_arrive(session, way):
    client, server = session()
    source, sink = (client, server) if way == "to the server" else (server, client)
    source.sendall(b"last words")
    assert read_exactly(sink, 4) == b"last"
    reset(source)
    assert read_to_end(sink) == (b" words", "RST")


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_reset_in_the_middle_of_a_stream_is_never_a_fin(session, way):
    client, server = session()
    source, sink = (client, server) if way == "to the server" else (server, client)
    reading = background(read_to_end, sink)
    data = stream_of(4 * MIB, seed=7)
    source.sendall(data)
    reset(source)
    got, end = reading.result()
    assert end == "RST"
    assert got == data[: len(got)]


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_reset_while_the_reader_is_slow_is_never_a_fin(session, way):
    """The bytes are cut off somewhere: whoever reads them must get to know."""
    client, server = session(receive_buffer=SMALL_BUFFER)
    source, sink = (client, server) if way == "to the server" else (server, client)
    fill(source)
    reset(source)
    assert read_to_end(sink)[1] == "RST"


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_reset_ends_a_session_whose_other_peer_reads_nothing(session, g5x, way):
    """What waits for that peer would wait for ever."""
    client, server = session()
    source, _ = (client, server) if way == "to the server" else (server, client)
    fill(source)
    reset(source)
    g5x.wait_for_log('reason="reset by (client|server)"')


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_reset_reaches_a_peer_that_has_half_closed(session, way):
    client, server = session()
    resets, ends = (client, server) if way == "to the server" else (server, client)
    half_close(ends)
    assert read_all(resets) == b""
    reset(resets)
    assert read_to_end(ends)[1] == "RST"


def test_reset_reaches_a_peer_that_sends_all_the_time(session):
    client, server = session()

    def send_for_ever():
        while True:
            client.sendall(bytes(65536))

    sending = background(send_for_ever)
    read_exactly(server, MIB)
    reset(server)
    assert isinstance(sending.exception(), (ConnectionResetError, BrokenPipeError))


def test_answer_of_a_server_that_stops_listening_reaches_a_client_that_still_sends(
    session,
):
    """As HTTP's 413: the server answers and closes with unread bytes: a RST."""
    client, server = session()
    fill(client)
    server.sendall(b"too large")
    server.close()
    got, end = read_to_end(client)
    assert end == "RST"
    assert got in (b"too large", b"")


MUTE_SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection = listener.accept()[0]
connection.sendall(b"hello")
sys.stdin.read()
"""


def test_server_killed_with_bytes_in_flight_is_a_reset_for_the_client(g5x):
    with subprocess.Popen(
        [sys.executable, "-c", MUTE_SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            g5x.forward(f"127.0.0.1:{server.stdout.readline().strip()}")
            with connect(FORWARD) as client:
                assert read_exactly(client, 5) == b"hello"
                fill(client)
                server.kill()
                assert read_to_end(client) == (b"", "RST")
        finally:
            server.kill()


def test_aborted_downloads_do_not_end_the_daemon(g5x, serve):
    def send_a_lot(connection):
        connection.sendall(bytes(MIB))

    g5x.forward(serve(send_a_lot))
    for _ in range(300):
        with connect(FORWARD) as client:
            client.recv(1000)
    with connect(FORWARD) as client:
        assert len(read_all(client)) == MIB


# ---- addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "forward", [FORWARD, "[::1]:8000", "0.0.0.0:8000", "[::]:8000"]
)
@pytest.mark.parametrize("host", ["127.0.0.1:0", "[::1]:0"])
def test_ipv4_and_ipv6_mix(g5x, serve, forward, host):
    server = serve(echo, address=host)
    g5x.start(g5x.rule("web", "RR", forward, server, clients="*:*"))
    data = stream_of(100000, seed=8)
    target = forward.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    with connect(target) as client:
        client.sendall(data)
        half_close(client)
        assert digest(read_all(client)) == digest(data)


def test_client_pattern_decides_who_is_served(g5x, abc):
    g5x.start(
        g5x.rule("one", "RR", FORWARD, abc[0], clients="127.0.0.1:*")
        + g5x.rule("two", "RR", FORWARD, abc[1], clients="127.0.0.2:*")
    )
    assert visit(FORWARD, "127.0.0.1") == "A"
    assert visit(FORWARD, "127.0.0.2") == "B"
    assert visit(FORWARD, "127.0.0.3") == ""


def test_every_forward_address_of_a_rule_is_served(g5x, serve):
    forwards = "127.0.0.1:8001 127.0.0.2:8002 [::1]:8003"
    g5x.start(g5x.rule("web", "RR", forwards, serve(named("A"))))
    assert [visit(forward) for forward in forwards.split()] == ["A", "A", "A"]


def test_server_may_be_a_host_name(g5x, serve):
    try:
        socket.gethostbyname("localhost")
    except OSError:
        pytest.skip("this machine knows no localhost: no /etc/hosts")
    port = serve(named("A")).address.rpartition(":")[2]
    g5x.forward(f"localhost:{port}")
    assert visit(FORWARD) == "A"
