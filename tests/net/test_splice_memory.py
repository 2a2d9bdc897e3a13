# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What slow readers of spliced sessions cost: never more than splice_limit and buffers.

Kernel memory can only be measured for the whole machine, on which other tests run, so
the bounds for it are wide, and waited for: what others hold they give back. How much
the senders get rid of is exact.
"""
import re
import socket
import statistics
from pathlib import Path

import pytest

from lib.peers import background, digest, read_exactly, send_until_full, stream_of
from lib.wait import wait_until

pytestmark = pytest.mark.only_datapath("splice")

KIB, MIB = 1 << 10, 1 << 20
N_SESSIONS = 40
BUFFER = 256 * KIB  # at the most, of each socket, each way
LIMIT = 1 * MIB  # default of splice_limit
OTHERS = 768 * MIB  # what others may have taken meanwhile; unbounded it is twice that

# Of one direction: sender's send buffer, the daemon's receive and send buffer (the
# limit), the reader's receive buffer. An sk_buff may be half empty.
BOUND = 2 * (3 * BUFFER + LIMIT)


@pytest.fixture(autouse=True)
def small_tcp_buffers(namespace):
    namespace.limit_tcp_buffers(BUFFER)


def tcp_memory():
    """Bytes charged to the sockets of this machine."""
    text = Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP: .* mem (\d+)$", text, re.M)[1]) * 4 * KIB


def used_memory():
    """Bytes that nobody else could have: also what is charged to no socket."""
    text = Path("/proc/meminfo").read_text()
    kib = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.M))
    return (int(kib["MemTotal"]) - int(kib["MemAvailable"])) * KIB


class Growth:
    """Of both kinds of memory, since it was made."""

    def __init__(self):
        self.tcp, self.used = tcp_memory(), used_memory()

    def now(self):
        return max(tcp_memory() - self.tcp, used_memory() - self.used)

    def wait_until_below(self, n_bytes, what):
        wait_until(lambda: self.now() < n_bytes, what)


def both_ways(pairs):
    """Source and sink of each direction."""
    return [way for a, b in pairs for way in ((a, b), (b, a))]


def check_reads(ways, sent, data):
    """What was sent arrives, once somebody reads."""
    reading = [background(read_exactly, sink, n) for (_, sink), n in zip(ways, sent)]
    for each, n in zip(reading, sent):
        assert digest(each.result()) == digest(data[:n])


def close_all(pairs, pins):
    for client, server in pairs:
        client.close()
        server.close()
    wait_until(lambda: not pins.sessions(), "all sessions have ended")


@pytest.fixture
def full(spliced):
    """full(n) -> n pairs of sockets, the ways between them, all full; data, n sent."""
    data = stream_of(16 * MIB, seed=1)

    def open_and_fill(n_sessions):
        pairs = [spliced() for _ in range(n_sessions)]
        ways = both_ways(pairs)
        sending = [background(send_until_full, source, data) for source, _ in ways]
        return pairs, ways, data, [each.result() for each in sending]

    return open_and_fill


@pytest.mark.parametrize("n_sessions", [4, 40])
def test_readers_that_stopped_stop_their_senders_at_the_limit(full, n_sessions):
    """Both directions of each session, and senders as fast as can be."""
    _, _, _, sent = full(n_sessions)
    assert min(sent) > LIMIT / 2
    # Of most: while the kernel's worker waits for its turn, what comes is charged to
    # nobody, and on a busy machine some senders have milliseconds at full speed.
    assert statistics.median(sent) < BOUND


def test_memory_of_readers_that_stopped_is_bounded_and_given_back(full, pins):
    growth = Growth()
    pairs, ways, _, _ = full(N_SESSIONS)
    growth.wait_until_below(
        len(ways) * BOUND + OTHERS, f"memory is below {BOUND} for each direction"
    )
    close_all(pairs, pins)
    growth.wait_until_below(OTHERS, "memory is given back")


def test_readers_that_go_on_get_every_byte(full, pins):
    """Of sessions that are full in both directions: neither waits for the other."""
    pairs, ways, data, sent = full(N_SESSIONS)
    check_reads(ways, sent, data)
    close_all(pairs, pins)


def send_and_then_single_bytes(sock, data, n_at_once):
    """Single ones in a segment each, until nobody takes more; returns how many."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    n = send_until_full(sock, data[:n_at_once])
    return n + send_until_full(sock, data[n:], largest=1)


def test_single_bytes_for_readers_that_stopped_cost_no_more(spliced, pins):
    """Each is a chunk with a cost of its own, a thousand times the byte."""
    data = stream_of(LIMIT + 4000, seed=2)
    pairs = [spliced() for _ in range(N_SESSIONS // 2)]
    ways = both_ways(pairs)
    growth = Growth()
    sending = [
        background(send_and_then_single_bytes, source, data, LIMIT)
        for source, _ in ways
    ]
    sent = [each.result() for each in sending]
    assert sum(session["flow"][0]["passed"] for session in pins.sessions().values()) > 0
    growth.wait_until_below(
        len(ways) * BOUND + OTHERS, f"memory is below {BOUND} for each direction"
    )
    check_reads(ways, sent, data)
    close_all(pairs, pins)
    growth.wait_until_below(OTHERS, "memory is given back")


def test_a_limit_that_is_larger_lets_more_wait_in_the_kernel(spliced, pins):
    """Without the daemon: it is the rule that says how much it may be."""
    data = stream_of(16 * MIB, seed=3)
    client, _ = spliced(splice_limit=4 * MIB)
    n_sent = send_until_full(client, data)
    assert 3 * MIB < n_sent < 2 * (3 * BUFFER + 4 * MIB)
    assert pins.session(client)["limit"] == 4 * MIB
