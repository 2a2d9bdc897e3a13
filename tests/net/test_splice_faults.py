# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Spliced sessions where something around them goes wrong."""
import contextlib
import random
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lib.daemon import FORWARD
from lib.peers import address_of, background, connect, digest, listen, read_exactly
from lib.pins import Pins
from lib.wait import wait_until

KIB, MIB = 1 << 10, 1 << 20
EVENTS_LOST = 8  # which of the totals, all of 8 bytes


@pytest.fixture(autouse=True)
def spliced_only(datapath):
    if datapath != "splice":
        pytest.skip("about splicing")


def lose_events(g5x):
    """Makes the daemon believe that the kernel could not tell it something."""
    totals = list(Pins(g5x.bpffs).totals().values())
    totals[EVENTS_LOST] += 1
    words = struct.pack(f"={len(totals)}Q", *totals).hex(" ").split()
    subprocess.run(
        ["bpftool", "map", "update", "pinned", g5x.bpffs / "totals", "key", "0", "0"]
        + ["0", "0", "value", "hex", *words],
        check=True,
    )


def test_lost_events_do_not_disturb_a_session_that_is_connecting(g5x, serve):
    """Its bytes are nobody's yet: they were once read before the kernel had them."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(listen(backlog=0))
        sockets.enter_context(connect(address_of(listener)))  # fills the queue
        g5x.forward(address_of(listener), options=("--workers", "1"))
        client = sockets.enter_context(connect(FORWARD))
        client.sendall(b"A" * 1000)
        lose_events(g5x)
        for _ in range(3):  # the daemon's only worker gets something to do
            sockets.enter_context(connect(FORWARD))
        time.sleep(0.3)
        client.sendall(b"B" * 1000)
        sockets.enter_context(listener.accept()[0])
        server = sockets.enter_context(accepted_with_bytes(listener))
        assert read_exactly(server, 2000) == b"A" * 1000 + b"B" * 1000


def accepted_with_bytes(listener):
    """The daemon's connection for the client that has sent something."""
    while True:
        server, _ = listener.accept()
        server.settimeout(2)
        try:
            if server.recv(1, socket.MSG_PEEK):
                server.settimeout(None)
                return server
        except TimeoutError:
            server.close()


def fill_both(client, server, limit):
    """Nobody reads; how many bytes the daemon and the kernel took, up to the limit.

    At 128 MB/s: what comes until the kernel's worker has its turn is charged to nobody,
    and on a machine that is busy with tests that takes tens of milliseconds.
    """
    n = 0
    for sock in (client, server):
        sock.setblocking(False)
    still_since = time.monotonic()
    while n < limit and time.monotonic() - still_since < 0.5:
        for sock in (client, server):
            with contextlib.suppress(BlockingIOError):
                n += sock.send(bytes(64 * KIB))
                still_since = time.monotonic()
        time.sleep(0.001)
    return n


def test_a_low_mark_for_unsent_bytes_does_not_take_the_limit_away(session, g5x):
    client, server = session()
    wait_until(lambda: Pins(g5x.bpffs).sessions(), "the session is spliced")
    Path("/proc/sys/net/ipv4/tcp_notsent_lowat").write_text("16384")
    assert fill_both(client, server, 200 * MIB) < 64 * MIB


def test_send_buffers_stay_at_the_limit_when_readers_pause(session, g5x, namespace):
    """They once grew by what was queued at each look, without end."""
    # Else receive buffers grow to what tcp_rmem allows, such as 32 MiB each.
    namespace.limit_tcp_buffers(1 * MIB)
    client, server = session(splice_limit=256 * KIB)
    dice = random.Random(1)
    data = dice.randbytes(24 * MIB)

    def send(sock):
        at = 0
        while at < len(data):
            at += sock.send(data[at : at + dice.randrange(1, 64 * KIB)])

    def receive(sock):
        got = bytearray()
        while len(got) < len(data):
            piece = sock.recv(dice.randrange(1, 512 * KIB))
            assert piece, f"an end after {len(got)} bytes"
            got += piece
            if dice.random() < 0.02:
                time.sleep(dice.random() * 0.1)
        return digest(got)

    sending = [background(send, sock) for sock in (client, server)]
    receiving = [background(receive, sock) for sock in (client, server)]
    assert [each.result() for each in receiving] == [digest(data)] * 2
    for each in sending:
        each.result()
    buffers = subprocess.check_output(["ss", "-tmnH"], text=True)
    ours = [
        int(line.partition(",tb")[2].partition(",")[0])
        for line in buffers.replace("\n\t", " ").splitlines()
        if FORWARD in line.split()[3]
    ]
    assert ours and max(ours) <= 2 * 256 * KIB
    assert fill_both(client, server, 200 * MIB) < 64 * MIB
