# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""datapath auto: copies, and splices what has shown that it pays, where there is one CPU."""
import os

import pytest

from lib.daemon import FORWARD
from lib.manage import Manage
from lib.peers import connect, echo, read_exactly
from lib.wait import wait_until

ADMIN = "127.0.0.1:8999"
TURNS = 64  # questions and answers that show it


@pytest.fixture
def auto(daemons, datapath, serve):
    """auto(cpus) -> a session through a daemon that may use so many CPUs"""
    if datapath == "copy":
        pytest.skip("auto has no choice")
    everywhere = os.sched_getaffinity(0)
    clients = []

    def start(n_cpus):
        if len(everywhere) < n_cpus:
            pytest.skip(f"needs {n_cpus} CPUs")
        g5x = daemons()
        os.sched_setaffinity(0, sorted(everywhere)[:n_cpus])
        rule = g5x.rule("web", "RR", FORWARD, serve(echo), datapath="auto")
        g5x.start(rule + g5x.rule("admin", "G", ADMIN))
        os.sched_setaffinity(0, everywhere)
        clients.append(connect(FORWARD))
        return clients[-1]

    yield start
    os.sched_setaffinity(0, everywhere)
    for client in clients:
        client.close()


def ask(client, n_times, size=64):
    for i in range(n_times):
        question = i.to_bytes(8, "big") * (size // 8)
        client.sendall(question)
        assert read_exactly(client, size) == question


def datapath_of_session():
    with Manage(ADMIN) as manage:
        lines = manage.ask("list forwards").splitlines()
    (found,) = {line.rpartition("datapath=")[2] for line in lines if "rule=web" in line}
    return found


def test_small_questions_and_answers_are_spliced_where_there_is_one_cpu(auto):
    client = auto(1)
    ask(client, TURNS - 1)
    assert datapath_of_session() == "copy"
    ask(client, 10)
    wait_until(lambda: datapath_of_session() == "splice", "the session is spliced")
    ask(client, 1000)


def test_large_answers_stay_with_the_daemon(auto):
    client = auto(1)
    ask(client, 3 * TURNS, size=64 << 10)
    assert datapath_of_session() == "copy"


def test_nothing_is_spliced_where_there_are_more_cpus(auto):
    client = auto(2)
    ask(client, 3 * TURNS)
    assert datapath_of_session() == "copy"
