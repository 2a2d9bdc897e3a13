# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Each network test has a namespace of its own, so every address in it is free.

 - g5x: a daemon, not started yet. When the test is over it is stopped, and must have
   ended with status 0: a crash, a leak or a sanitizer's finding fails whatever test it
   happened in. Its log is shown when the test failed. A daemon that was to splice or
   bypass and did not has failed, too, unless the test said that it may.
 - serve: starts servers; closed with the test, which fails if one of them did.
 - session: a client and a server socket with the daemon between them.
 - spliced: the same, but it is the kernel that is between them.
 - bypassed: the same, but nobody is.
"""
import contextlib
import functools
import tempfile

import pytest

from lib.daemon import FEW_SESSIONS, FORWARD, Daemon
from lib.manage import ADMIN
from lib.namespace import Namespace
from lib.peers import (
    Blackhole,
    Server,
    address_of,
    connect,
    listen,
    named,
    read_exactly,
)
from lib.pins import BypassPins, Pins
from lib.wait import wait_until

LOG_LINES = 40


@pytest.fixture(autouse=True)
def namespace():
    with Namespace() as own:
        yield own


@pytest.fixture
def datapath(request, build):
    """The datapath that the rules of this run shall name."""
    if request.param != "copy" and why_not(request.param, build / "g5x"):
        pytest.skip(why_not(request.param, build / "g5x"))
    return request.param


@functools.cache
def why_not(datapath, binary):
    """None when a daemon that is to use it says that it does; else what it says.

    That bytes came late in its self-test may be due to other tests.
    """
    for _ in range(3):
        reason = what_it_says(datapath, binary)
        if reason is None or "self-test failed" not in reason:
            break
    return reason


def what_it_says(datapath, binary):
    with Namespace(), tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(binary, folder, datapath)
        try:
            daemon.forward("127.0.0.1:1")
            line = daemon.wait_for_log(f"{datapath} (on|off): ")
        finally:
            end(daemon)
    return None if f"{datapath} on: " in line else line.partition(" | ")[2]


@pytest.fixture
def daemons(namespace, build, datapath, tmp_path):
    """For tests with more than one daemon: makes them."""
    made = []

    def make():
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Daemon(build / "g5x", folder, datapath))
        return made[-1]

    yield make
    statuses = [end(daemon) for daemon in made]
    assert statuses == [0 for _ in made], "g5x did not end well"
    for daemon in made:
        assert daemon.may_copy or not daemon.log_lines(f"{datapath} off: ")


@pytest.fixture
def g5x(daemons):
    return daemons()


def end(daemon):
    """Exit status, or 0 if it was not started or the test has waited for its end."""
    try:
        if daemon.process is None or daemon.process.returncode is not None:
            return 0
        return daemon.stop()
    finally:
        daemon.kill()
        lines = daemon.log().splitlines()
        print(f"--- the last of {len(lines)} lines of {daemon.log_file} ---")
        print("\n".join(lines[-LOG_LINES:]))


@pytest.fixture
def serve(namespace):
    """serve(function) -> Server"""
    with contextlib.ExitStack() as servers:

        def start(*arguments, **options):
            server = Server(*arguments, **options)
            servers.callback(server.close)
            return server

        yield start


@pytest.fixture
def abc(serve):
    """Three servers that send their names: A, B and C."""
    return [serve(named(name)) for name in "ABC"]


@pytest.fixture
def blackhole(namespace):
    """A server whose connects hang."""
    with contextlib.closing(Blackhole()) as hole:
        yield hole


@pytest.fixture
def is_sanitized(build):
    return Daemon(build / "g5x", "", "").is_sanitized()


@pytest.fixture
def session(g5x):
    """session() -> client and server sockets, connected through the daemon.

    The first call starts it, with what Daemon.forward() takes. receive_buffer is that
    of both sockets.
    """
    with contextlib.ExitStack() as sockets:
        listeners = []

        def open_session(receive_buffer=None, **rule):
            if not listeners:
                listener = listen(receive_buffer=receive_buffer)
                listeners.append(sockets.enter_context(listener))
                g5x.forward(address_of(listener), **rule)
            client = connect(FORWARD, receive_buffer=receive_buffer)
            sockets.enter_context(client)
            server = sockets.enter_context(listeners[0].accept()[0])
            return client, server

        yield open_session


@pytest.fixture
def pins(g5x):
    """The maps of g5x; to be seen when it has started."""
    return Pins(g5x.bpffs)


@pytest.fixture
def spliced(g5x, pins):
    """spliced() -> client and server sockets; the kernel forwards between them.

    As session(), for the datapath splice; and there is a management port at ADMIN.
    """
    with contextlib.ExitStack() as sockets:
        listeners = []

        def is_spliced(n_before):
            return pins.totals()["spliced"] > n_before

        def open_spliced(receive_buffer=None, options=(), **rule):
            if not listeners:
                listener = listen(receive_buffer=receive_buffer)
                listeners.append(sockets.enter_context(listener))
                rules = g5x.rule("admin", "G", ADMIN)
                rules += g5x.rule("web", "RR", FORWARD, address_of(listener), **rule)
                g5x.start(rules, *FEW_SESSIONS, *options)
            n_before = pins.totals()["spliced"]
            client = connect(FORWARD, receive_buffer=receive_buffer)
            sockets.enter_context(client)
            server = sockets.enter_context(listeners[0].accept()[0])
            wait_until(lambda: is_spliced(n_before), "the session is spliced")
            return client, server

        yield open_spliced


@pytest.fixture
def bypass_pins(g5x):
    """As pins, of what goes past the daemon."""
    return BypassPins(g5x.bpffs)


@pytest.fixture
def bypassed(g5x, bypass_pins):
    """bypassed() -> client and server sockets; what they send goes past the daemon.

    As spliced(), for the datapath bypass. One byte went each way already: a session is
    bypassed when something happens in it, at the latest.
    """
    with contextlib.ExitStack() as sockets:
        listeners = []

        def open_bypassed(receive_buffer=None, options=(), **rule):
            if not listeners:
                listener = listen(receive_buffer=receive_buffer)
                listeners.append(sockets.enter_context(listener))
                rules = g5x.rule("admin", "G", ADMIN)
                rules += g5x.rule("web", "RR", FORWARD, address_of(listener), **rule)
                g5x.start(rules, *FEW_SESSIONS, *options)
            client = connect(FORWARD, receive_buffer=receive_buffer)
            sockets.enter_context(client)
            server = sockets.enter_context(listeners[0].accept()[0])
            client.sendall(b"?")
            assert read_exactly(server, 1) == b"?"
            server.sendall(b"!")
            assert read_exactly(client, 1) == b"!"
            wait_until(lambda: bypass_pins.has(client), "the session is bypassed")
            return client, server

        yield open_bypassed
