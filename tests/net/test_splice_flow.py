# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Sessions that switch to and fro between the kernel and the daemon.

What a slow reader leaves above splice_limit goes through the daemon; when the reader
has caught up, the kernel goes on. Whatever either would lose, repeat or overtake at such a
switch is seen in the bytes.
"""
import random
import threading
import time

import pytest

from lib.peers import background, half_close, stream_of
from lib.pins import n_moved, n_switches
from lib.wait import LIMIT_S, wait_until

pytestmark = pytest.mark.only_datapath("splice")

KIB, MIB = 1 << 10, 1 << 20
SMALL_BUFFER = 16 * KIB
LEAST_LIMIT = 64 * KIB
SAMPLE = stream_of(MIB, seed=1)
PIECES = (1, 1000, 20000, 65536, 300000)


class Bursts:
    """A stream in bursts, most above the limit, for a reader that stops and goes.

    The next burst comes when the reader has all of this one, or nearly so: that is when
    the daemon has caught up and the kernel is about to go on.
    """

    def __init__(self, largest, pause_s, seed):
        self.largest, self.pause_s, self.seed = largest, pause_s, seed
        self.n_sent = self.n_read = 0
        self.is_enough = False  # for the sender
        self.is_over = False  # for the reader, for whatever reason
        self.has_read = threading.Condition()

    def send(self, sock):
        choose = random.Random(self.seed)
        while not self.is_enough:
            self.send_burst(sock, choose)
            slack = choose.choice((0, 0, 1, 1000, 30000))
            with self.has_read:
                assert self.has_read.wait_for(
                    lambda: self.is_over or self.n_read >= self.n_sent - slack, LIMIT_S
                ), f"{self.n_read} of {self.n_sent} bytes arrived"
        half_close(sock)

    def send_burst(self, sock, choose):
        start = self.n_sent % MIB
        end = start + min(choose.randint(1, self.largest), MIB - start)
        self.n_sent += end - start
        while start < end:
            n = min(choose.choice(PIECES), end - start)
            sock.sendall(memoryview(SAMPLE)[start : start + n])
            start += n

    def read(self, sock):
        """Compares every byte."""
        try:
            choose = random.Random(-self.seed)
            while part := sock.recv(choose.choice((100, 4096, 65536, 262144))):
                self.compare(part)
                if choose.random() < 0.1:
                    time.sleep(choose.choice((0, self.pause_s)))
            assert self.n_read == self.n_sent
        finally:
            self.is_over = True

    def compare(self, part):
        start = self.n_read % MIB
        expected = SAMPLE[start : start + len(part)]
        expected += SAMPLE[: len(part) - len(expected)]
        assert part == expected, f"other bytes after {self.n_read}"
        with self.has_read:
            self.n_read += len(part)
            self.has_read.notify()


def run(pairs, is_enough, **bursts):
    """Both directions at once, until is_enough(); returns bytes of each direction."""
    jobs, streams = [], []
    for client, server in pairs:
        for source, sink in ((client, server), (server, client)):
            streams.append(Bursts(seed=len(streams) + 1, **bursts))
            jobs.append(background(streams[-1].send, source))
            jobs.append(background(streams[-1].read, sink))
    try:
        wait_until(
            lambda: is_enough() or any(job.done() for job in jobs), "it is enough"
        )
    finally:
        for stream in streams:
            stream.is_enough = True
    for job in jobs:
        job.result()
    return [stream.n_sent for stream in streams]


@pytest.mark.parametrize("largest, pause_s", [(200 * KIB, 0.0003), (100 * KIB, 0)])
def test_session_that_switches_a_thousand_times_keeps_every_byte(
    spliced, pins, g5x, is_sanitized, largest, pause_s
):
    n_wanted = 1200 if not is_sanitized else 500
    seen = {}

    def has_switched_often():
        time.sleep(0.02)
        seen.update(pins.session(client))
        return n_switches(seen) > n_wanted

    client, server = spliced(receive_buffer=SMALL_BUFFER, splice_limit=LEAST_LIMIT)
    n_in, n_out = run(
        [(client, server)], has_switched_often, largest=largest, pause_s=pause_s
    )
    assert n_switches(seen) > n_wanted
    assert min(flow["n_switches"] for flow in seen["flow"]) > 0
    assert n_moved(seen, by="redirected") > MIB
    assert n_moved(seen, by="passed") > MIB
    assert pins.totals()["gaps"] == 0
    g5x.wait_for_log(f'in={n_in} out={n_out} .* datapath=splice reason="done"')


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sessions_that_switch_at_the_same_time_do_not_disturb_each_other(
    spliced, pins, is_sanitized, workers
):
    """Each is elsewhere in the same stream, so another's bytes would not fit."""
    n_wanted = 1200 if not is_sanitized else 500
    seen = {}

    def have_switched_often():
        time.sleep(0.05)
        seen.update(pins.sessions())
        return sum(n_switches(session) for session in seen.values()) > n_wanted

    options = {"splice_limit": LEAST_LIMIT, "options": ("--workers", workers)}
    pairs = [spliced(receive_buffer=SMALL_BUFFER, **options) for _ in range(6)]
    run(pairs, have_switched_often, largest=200 * KIB, pause_s=0.001)
    assert sum(n_switches(session) for session in seen.values()) > n_wanted
    assert min(n_switches(session) for session in seen.values()) > 0
    assert pins.totals()["gaps"] == 0
