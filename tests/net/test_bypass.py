# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Both applications on this host: what they send does not pass their daemon."""
import signal

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD
from lib.manage import ADMIN, Manage
from lib.namespace import Neighbour
from lib.peers import (
    address_of,
    background,
    connect,
    digest,
    echo,
    half_close,
    is_silent,
    listen,
    read_all,
    read_exactly,
    read_to_end,
    send_in_pieces,
    stream_of,
)
from lib.pins import BypassPins
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("bypass")

MIB = 1 << 20
SECOND = "127.0.0.1:8001"
N_TURNS = 20


@pytest.fixture
def neighbour(namespace):
    with Neighbour() as other:
        yield other


def exchange(client, server, n_times=1):
    for _ in range(n_times):
        client.sendall(b"ping")
        assert read_exactly(server, 4) == b"ping"
        server.sendall(b"answer")
        assert read_exactly(client, 6) == b"answer"


def ask(client, n_times=N_TURNS):
    for i in range(n_times):
        question = i.to_bytes(8, "big")
        client.sendall(question)
        assert read_exactly(client, 8) == question


def check_streams(client, server, n_bytes=8 * MIB):
    """Both ways at the same time."""
    sent = {client: stream_of(n_bytes, seed=1), server: stream_of(n_bytes, seed=2)}
    sending = [background(send_in_pieces, *item) for item in sent.items()]
    reading = background(read_exactly, client, n_bytes)
    assert digest(read_exactly(server, n_bytes)) == digest(sent[client])
    assert digest(reading.result()) == digest(sent[server])
    for each in sending:
        each.result()


def check_echo(address, source=None, n_bytes=4 * MIB):
    """A session with a server that echoes, from the first byte to the FIN."""
    data = stream_of(n_bytes, seed=3)
    with connect(address, source) as client:
        ask(client)
        sending = background(send_in_pieces, client, data)
        assert digest(read_exactly(client, n_bytes)) == digest(data)
        sending.result()
        half_close(client)
        assert read_all(client) == b""


def wait_for_session(g5x, datapath, rule="web", n_sessions=1):
    """Their log lines: all have ended well, by that datapath."""
    pattern = f'session rule={rule} .* datapath={datapath} reason="done"'
    wait_until(
        lambda: len(g5x.log_lines(pattern)) == n_sessions, f"{n_sessions} by {datapath}"
    )
    assert len(g5x.log_lines(f"session rule={rule} ")) == n_sessions


# ---- past the daemon -----------------------------------------------------------------


def test_bytes_go_both_ways_while_the_daemon_is_stopped(bypassed, g5x):
    client, server = bypassed()
    g5x.freeze()
    exchange(client, server, n_times=1000)
    g5x.signal(signal.SIGCONT)
    exchange(client, server)
    half_close(client)
    assert read_all(server) == b""
    server.sendall(b"last words")
    server.close()
    assert read_all(client) == b"last words"
    n_in, n_out = 1 + 4 * 1001, 1 + 6 * 1001 + 10
    g5x.wait_for_log(f'in={n_in} out={n_out} .* datapath=bypass reason="done"')


def test_fin_sent_while_the_daemon_is_stopped_comes_after_all_bytes(bypassed, g5x):
    client, server = bypassed()
    g5x.freeze()
    exchange(client, server)
    client.sendall(b"first" * 100)
    half_close(client)
    assert read_exactly(server, 500) == b"first" * 100
    assert is_silent(server)
    server.sendall(b"second" * 100)
    server.close()
    assert read_exactly(client, 600) == b"second" * 100
    g5x.signal(signal.SIGCONT)
    assert read_to_end(client) == (b"", "FIN")
    g5x.wait_for_log('in=505 out=607 .* datapath=bypass reason="done"')


def test_streams_of_both_ways_arrive_as_they_were_sent(bypassed, g5x, bypass_pins):
    client, server = bypassed()
    check_streams(client, server, 32 * MIB)
    assert all(n > 0 for n in bypass_pins.n_direct(client))
    half_close(client)
    server.close()
    assert read_all(client) == b""
    n = 32 * MIB + 1
    g5x.wait_for_log(f'in={n} out={n} .* datapath=bypass reason="done"')


# ---- which sessions ------------------------------------------------------------------


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.77", "127.9.8.7"])
def test_client_of_any_local_address_is_bypassed(g5x, serve, source):
    g5x.forward(serve(echo))
    check_echo(FORWARD, source)
    wait_for_session(g5x, "bypass")


def test_ipv6_is_bypassed(g5x, serve):
    forward, server = "[::1]:8000", serve(echo, address="[::1]:0")
    g5x.start(g5x.rule("web", "RR", forward, server))
    check_echo(forward)
    wait_for_session(g5x, "bypass")


def test_ipv6_client_of_an_ipv4_server_is_bypassed(g5x, serve):
    forward = "[::1]:8000"
    g5x.start(g5x.rule("web", "RR", forward, serve(echo)))
    check_echo(forward)
    wait_for_session(g5x, "bypass")


@pytest.mark.parametrize(
    "wildcard, address",
    [
        ("0.0.0.0:8000", FORWARD),
        ("0.0.0.0:8000", f"{Neighbour.HERE}:8000"),
        ("[::]:8000", "[::1]:8000"),
        ("[::]:8000", f"[{Neighbour.HERE6}]:8000"),
    ],
    ids=["loopback", "wire", "loopback6", "wire6"],
)
def test_wildcard_is_each_address_of_this_host(
    g5x, serve, neighbour, wildcard, address
):
    g5x.start(g5x.rule("web", "RR", wildcard, serve(echo)))
    check_echo(address)
    wait_for_session(g5x, "bypass")


def test_address_of_a_wildcard_that_came_later_is_learnt(g5x, serve):
    """From its first client, who is copied."""
    g5x.start(g5x.rule("web", "RR", "0.0.0.0:8000", serve(echo)))
    address = "127.0.0.2:8000"  # is this host's, but of no interface
    check_echo(address)
    g5x.wait_for_log("session rule=web .* datapath=copy")
    check_echo(address)
    g5x.wait_for_log("session rule=web .* datapath=bypass")


@pytest.mark.parametrize(
    "host", [Neighbour.HERE, f"[{Neighbour.HERE6}]"], ids=["IPv4", "IPv6"]
)
def test_client_in_another_namespace_is_bypassed(g5x, serve, neighbour, host):
    g5x.start(g5x.rule("web", "RR", f"{host}:8000", serve(echo)))
    neighbour.run(check_echo, f"{host}:8000")
    wait_for_session(g5x, "bypass")


def test_server_in_another_namespace_is_bypassed(g5x, neighbour):
    with neighbour.run(listen, f"{neighbour.THERE}:0") as listener:
        g5x.start(g5x.rule("web", "RR", FORWARD, address_of(listener)))
        with connect(FORWARD) as client:
            server = listener.accept()[0]
            with server:
                exchange(client, server)
                g5x.freeze()
                exchange(client, server)
                g5x.signal(signal.SIGCONT)
                check_streams(client, server)
                half_close(client)
                assert read_all(server) == b""
            assert read_all(client) == b""
    wait_for_session(g5x, "bypass")


def test_loopback_of_another_namespace_is_not_ours(g5x, serve, neighbour):
    """There is a server at our very address: its clients are its own."""
    pins = BypassPins(g5x.bpffs)
    g5x.forward(serve(echo), options=FEW_SESSIONS)
    with neighbour.run(listen, FORWARD) as listener:
        with neighbour.run(connect, FORWARD) as client:
            with listener.accept()[0] as server:
                exchange(client, server, n_times=10)
                assert pins.n_applications() == 0
                check_streams(client, server)
    with connect(FORWARD) as client:
        ask(client)
        assert pins.n_applications() == 2
    wait_for_session(g5x, "bypass")


# ---- others in between ---------------------------------------------------------------


def relay_to(address):
    """A server that forwards in user space, one turn at a time."""

    def serve(client):
        with connect(address) as server:
            while data := client.recv(65536):
                server.sendall(data)
                client.sendall(read_exactly(server, len(data)))

    return serve


def check_many(address, n_clients=8):
    """Sessions at the same time; each sends what no other does."""

    def run(number):
        data = stream_of(MIB, seed=number)
        with connect(address) as client:
            sending = background(send_in_pieces, client, data, number)
            assert digest(read_exactly(client, len(data))) == digest(data)
            sending.result()
            half_close(client)
            assert read_all(client) == b""

    for each in [background(run, number) for number in range(n_clients)]:
        each.result()


def test_sessions_to_a_proxy_of_another_kind_do_not_mix(g5x, serve):
    proxy = serve(relay_to(serve(echo).address))
    g5x.forward(proxy)
    check_many(FORWARD)
    wait_for_session(g5x, "bypass", n_sessions=8)


def test_rule_that_forwards_to_another_rule_delivers_all(g5x, serve):
    """The first has our own listener for a server, so it is copied."""
    g5x.start(
        g5x.rule("first", "RR", FORWARD, SECOND)
        + g5x.rule("second", "RR", SECOND, serve(echo))
    )
    check_echo(FORWARD)
    check_many(FORWARD)
    wait_until(lambda: len(g5x.log_lines('session .*reason="done"')) == 18, "all end")


@pytest.mark.parametrize("is_first_started_first", [True, False])
def test_daemon_that_forwards_to_another_daemon_delivers_all(
    daemons, serve, is_first_started_first
):
    """Each of them takes the other for an application."""
    first, second = daemons(), daemons()
    rules = {
        first: first.rule("web", "RR", FORWARD, SECOND),
        second: second.rule("web", "RR", SECOND, serve(echo)),
    }
    for daemon in (first, second) if is_first_started_first else (second, first):
        daemon.start(rules[daemon])
    check_echo(FORWARD)
    check_many(FORWARD)
    for daemon in (first, second):
        daemon.wait_for_log('session rule=web .*reason="done"')
        lines = daemon.log_lines("session rule=web ")
        assert all('reason="done"' in line for line in lines)


def test_daemons_with_a_client_and_a_server_each_do_not_disturb_each_other(
    daemons, serve
):
    first, second = daemons(), daemons()
    first.start(first.rule("web", "RR", FORWARD, serve(echo)))
    second.start(second.rule("web", "RR", SECOND, serve(echo)))
    running = [background(check_many, address) for address in (FORWARD, SECOND)]
    for each in running:
        each.result()
    wait_for_session(first, "bypass", n_sessions=8)
    assert first.stop() == 0
    check_many(SECOND)
    wait_for_session(second, "bypass", n_sessions=16)


# ---- what asks for it ----------------------------------------------------------------


@pytest.mark.parametrize("is_on", [True, False])
def test_auto_bypasses_where_the_rules_say_so(g5x, serve, is_on):
    head = "( bypass on )\n" if is_on else ""
    g5x.start(head + g5x.rule("web", "RR", FORWARD, serve(echo), datapath="auto"))
    with connect(FORWARD) as client:
        ask(client, n_times=10)
    g5x.wait_for_log(f"session rule=web .* datapath={'bypass' if is_on else 'copy'}")
    assert bool(g5x.log_lines("bypass on: ")) == is_on


def test_configuration_that_is_rejected_leaves_the_bypass_as_it_was(g5x, serve):
    """It would have been another listener's; another address of it is in use."""
    server = serve(echo)
    g5x.start(g5x.rule("web", "RR", FORWARD, server))
    g5x.reload(
        g5x.rule("web", "RR", SECOND, server)
        + g5x.rule("taken", "RR", server.address, server)
    )
    g5x.wait_for_log("configuration rejected")
    check_echo(FORWARD)
    wait_for_session(g5x, "bypass")


def test_rule_that_is_added_by_management_is_bypassed(g5x, serve):
    g5x.start(g5x.rule("admin", "G", ADMIN))
    assert not g5x.log_lines("bypass on: ")
    with Manage(ADMIN) as manage:
        rule = g5x.rule("web", "RR", FORWARD, serve(echo))
        assert manage.ask("add rule " + rule) == "add forward rule ok\r\n"
    check_echo(FORWARD)
    wait_for_session(g5x, "bypass")


def test_session_goes_on_past_the_daemon_when_its_rule_is_gone(
    bypassed, g5x, serve, bypass_pins
):
    client, server = bypassed()
    g5x.reload(g5x.rule("other", "RR", SECOND, serve(echo)))
    wait_until(lambda: SECOND in g5x.listening(), "the new rule is there")
    wait_until(lambda: FORWARD not in g5x.listening(), "the old one is gone")
    check_echo(SECOND)
    wait_for_session(g5x, "bypass", rule="other")
    g5x.freeze()
    exchange(client, server)
    g5x.signal(signal.SIGCONT)
    check_streams(client, server)
    assert list(map(bool, bypass_pins.n_direct(client))) == [True, True]
    server.close()
    half_close(client)
    assert read_all(client) == b""
    wait_for_session(g5x, "bypass", rule="web")


def test_rule_that_a_reload_changes_to_copy_copies_the_next_clients(g5x, serve):
    server = serve(echo)
    g5x.forward(server)
    check_echo(FORWARD)
    wait_for_session(g5x, "bypass")
    g5x.reload(g5x.rule("next", "RR", FORWARD, server, datapath="copy"))

    def is_changed():
        with connect(FORWARD) as client:
            ask(client, 1)
        return g5x.log_lines("session rule=next ")

    wait_until(is_changed, "the new rule serves")
    check_echo(FORWARD)
    g5x.wait_for_log("session rule=next .* in=4194464 .* datapath=copy")
    assert not g5x.log_lines("session rule=next .* datapath=bypass")
