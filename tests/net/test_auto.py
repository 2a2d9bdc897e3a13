# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""datapath auto: copies, and splices what has shown that it pays."""
import contextlib

import pytest

from lib.daemon import FORWARD
from lib.manage import Manage
from lib.peers import connect, echo, read_exactly
from lib.wait import wait_until

ADMIN = "127.0.0.1:8999"
TURNS = 64  # questions and answers that show it


@pytest.fixture
def auto(daemons, datapath, serve):
    """auto(n) -> n sessions through a daemon with one worker, or so many"""
    if datapath == "copy":
        pytest.skip("auto has no choice")
    with contextlib.ExitStack() as clients:

        def start(n_sessions, n_workers=1):
            g5x = daemons()
            rule = g5x.rule("web", "RR", FORWARD, serve(echo), datapath="auto")
            g5x.start(rule + g5x.rule("admin", "G", ADMIN), "--workers", str(n_workers))
            opened = [clients.enter_context(connect(FORWARD)) for _ in range(n_sessions)]
            for client in opened:
                ask(client, 1)
            return opened

        yield start


def ask(client, n_times, size=64):
    for i in range(n_times):
        question = i.to_bytes(8, "big") * (size // 8)
        client.sendall(question)
        assert read_exactly(client, size) == question


def datapaths_of_sessions():
    with Manage(ADMIN) as manage:
        lines = manage.ask("list forwards").splitlines()
    return {line.rpartition("datapath=")[2] for line in lines if "rule=web" in line}


def test_small_questions_and_answers_of_few_sessions_are_spliced(auto):
    (client,) = auto(1)
    ask(client, TURNS - 5)
    assert datapaths_of_sessions() == {"copy"}
    ask(client, 10)
    wait_until(lambda: datapaths_of_sessions() == {"splice"}, "the session is spliced")
    ask(client, 1000)


def test_large_answers_stay_with_the_daemon(auto):
    (client,) = auto(1)
    ask(client, 3 * TURNS, size=64 << 10)
    assert datapaths_of_sessions() == {"copy"}


def test_many_sessions_are_copied(auto):
    for client in auto(5):
        ask(client, 3 * TURNS)
    assert datapaths_of_sessions() == {"copy"}


def test_few_sessions_for_each_worker_are_spliced_whoever_has_them(auto):
    """The kernel deals them out: one worker may have most of them."""
    for client in auto(8, n_workers=2):
        ask(client, TURNS + 5)
    wait_until(lambda: datapaths_of_sessions() == {"splice"}, "all are spliced")
