# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Which of the servers A, B and C a client gets, with real servers that come and go."""
import contextlib
from collections import Counter

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    answering,
    background,
    connect,
    half_close,
    hold,
    is_reset,
    named,
    read_all,
    read_exactly,
    visit,
    visits,
)
from lib.wait import wait_until

SKIPPED = 100  # selections for which a failed server is passed over

# A client learns that its session is over a moment before the counts do; with one
# worker the next client comes after that moment.
ONE_WORKER = ("--workers", "1")


@pytest.fixture
def holds():
    """holds(n) -> the names that n more clients get, which stay until the test ends."""
    with contextlib.ExitStack() as clients:

        def names(n, source=None):
            held = [hold(FORWARD, source) for _ in range(n)]
            for client, _ in held:
                clients.callback(client.close)
            return "".join(name for _, name in held)

        yield names


# ---- RR ------------------------------------------------------------------------------


@pytest.mark.any_datapath
def test_rr_goes_round(g5x, abc):
    g5x.forward(*abc, mode="RR")
    assert visits(FORWARD, 7) == "ABCABCA"


def test_rr_goes_round_over_all_workers(g5x, abc):
    g5x.forward(*abc, mode="RR", options=("--workers", "4"))
    assert visits(FORWARD, 30) == "ABC" * 10


@pytest.mark.any_datapath
def test_rr_goes_round_for_held_sessions_too(g5x, abc, holds):
    g5x.forward(*abc, mode="RR")
    assert holds(9) == "ABCABCABC"


@pytest.mark.any_datapath
def test_rr_leaves_out_the_server_that_is_down_and_no_other(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc, mode="RR")
    assert visits(FORWARD, 9) == "BCBCBCBCB"


@pytest.mark.any_datapath
def test_rr_of_two_servers_with_the_first_down_serves_everybody(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc[:2], mode="RR")
    assert visits(FORWARD, 5) == "BBBBB"


@pytest.mark.any_datapath
def test_rr_with_only_the_second_of_three_up_serves_everybody(g5x, abc):
    abc[0].stop()
    abc[2].stop()
    g5x.forward(*abc, mode="RR")
    assert visits(FORWARD, 9) == "B" * 9


@pytest.mark.any_datapath
def test_failed_server_is_tried_again_after_100_selections(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc, mode="RR")
    assert visits(FORWARD, 1) == "B"
    abc[0].start()
    names = visits(FORWARD, SKIPPED + 10)
    assert SKIPPED - 5 <= names.index("A") <= SKIPPED + 3
    assert names[-6:].count("A") == 2


@pytest.mark.any_datapath
def test_rr_follows_the_weights(g5x, abc):
    a, b, c = abc
    g5x.forward(
        f"{a} ( weight 3 )", f"{b} ( weight 2 )", f"{c} ( weight 1 )", mode="RR"
    )
    names = visits(FORWARD, 12)
    assert Counter(names) == {"A": 6, "B": 4, "C": 2}
    assert names[:6] == names[6:]
    assert "AAA" not in names + names


# ---- MS ------------------------------------------------------------------------------


@pytest.mark.any_datapath
def test_ms_stays_with_the_first(g5x, abc):
    g5x.forward(*abc, mode="MS")
    assert visits(FORWARD, 5) == "AAAAA"


@pytest.mark.any_datapath
def test_ms_stays_with_the_standby_when_the_first_is_back(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc, mode="MS")
    assert visits(FORWARD, 4) == "BBBB"
    abc[0].start()
    assert visits(FORWARD, SKIPPED + 20) == "B" * (SKIPPED + 20)
    abc[1].stop()
    assert visits(FORWARD, 2) == "CC"


@pytest.mark.any_datapath
def test_ms_skips_no_server_when_several_clients_meet_the_failure(g5x, abc):
    """Each finds A down; all together move one server on, not two."""
    abc[0].stop()
    g5x.forward(*abc, mode="MS")
    clients = [background(visit, FORWARD) for _ in range(8)]
    assert [client.result() for client in clients] == ["B"] * 8
    assert visit(FORWARD) == "B"


# ---- LC ------------------------------------------------------------------------------


def test_lc_spreads_held_sessions_evenly(g5x, abc, holds):
    g5x.forward(*abc, mode="LC")
    assert Counter(holds(9)) == {"A": 3, "B": 3, "C": 3}


def test_lc_prefers_the_server_that_lost_its_sessions(g5x, abc, holds):
    g5x.forward(*abc, mode="LC", options=ONE_WORKER)
    held = [hold(FORWARD) for _ in range(9)]
    for client, name in held:
        if name == "C":
            half_close(client)
            assert read_all(client) == b""
    assert holds(3) == "CCC"
    for client, _ in held:
        client.close()


def test_lc_with_a_server_down_serves_everybody_and_counts_right(g5x, abc, holds):
    abc[1].stop()
    g5x.forward(*abc, mode="LC", options=ONE_WORKER)
    assert Counter(holds(6)) == {"A": 3, "C": 3}
    abc[1].start()
    visits(FORWARD, SKIPPED)  # the failure is forgotten
    assert holds(3) == "BBB"


def test_lc_follows_the_weights(g5x, abc, holds):
    a, b, c = abc
    g5x.forward(f"{a} ( weight 2 )", b, f"{c} ( weight 0 )", mode="LC")
    assert Counter(holds(9)) == {"A": 6, "B": 3}


# ---- RT ------------------------------------------------------------------------------


def request(address):
    """One whole session with a server that waits for a request; returns its name."""
    with connect(address) as client:
        client.sendall(b"?")
        name = read_exactly(client, 1).decode()
        half_close(client)
        assert read_all(client) == b""
        return name


def test_rt_avoids_the_slow_server_once_it_was_measured(g5x, serve):
    servers = [serve(answering("A", 1.5)), serve(answering("B")), serve(answering("C"))]
    g5x.forward(*servers, mode="RT", options=ONE_WORKER)
    assert {request(FORWARD) for _ in range(3)} == {"A", "B", "C"}
    assert "A" not in [request(FORWARD) for _ in range(30)]


def test_rt_gives_a_server_that_never_answers_one_client_only(g5x, serve):
    def silent(connection):
        read_all(connection)

    silent_one, b = serve(silent), serve(answering("B"))
    g5x.forward(b, silent_one, mode="RT")  # the second is the first to be asked
    with connect(FORWARD) as waiting:
        waiting.sendall(b"?")
        wait_until(lambda: silent_one.n_served == 1, "the silent one has its client")
        assert [request(FORWARD) for _ in range(20)] == ["B"] * 20
        assert silent_one.n_served == 1


# ---- RD, HS --------------------------------------------------------------------------


@pytest.mark.any_datapath
def test_rd_uses_every_server(g5x, abc):
    g5x.forward(*abc, mode="RD")
    counts = Counter(visits(FORWARD, 200))
    assert set(counts) == {"A", "B", "C"}
    assert min(counts.values()) > 20  # fewer: one run in 10^12


@pytest.mark.any_datapath
def test_rd_leaves_out_the_server_that_is_down(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc, mode="RD")
    assert set(visits(FORWARD, 50)) == {"B", "C"}


# h = 19791007, then h * 19830923 + byte for each byte of the IP; modulo 3
HASHED = {"127.0.0.1": "C", "127.0.0.2": "A", "127.0.0.3": "B"}


@pytest.mark.any_datapath
def test_hs_gives_each_ip_the_server_that_g5_gave_it(g5x, abc):
    g5x.forward(*abc, mode="HS")
    for _ in range(3):
        assert {ip: visit(FORWARD, ip) for ip in HASHED} == HASHED


@pytest.mark.any_datapath
def test_hs_moves_only_the_clients_of_the_server_that_is_down(g5x, abc):
    abc[2].stop()
    g5x.forward(*abc, mode="HS")
    assert visit(FORWARD, "127.0.0.1") in "AB"
    assert visit(FORWARD, "127.0.0.2") == "A"
    assert visit(FORWARD, "127.0.0.3") == "B"


# ---- failures ------------------------------------------------------------------------

MODES = ["MS", "RR", "LC", "RT", "RD", "HS"]


@pytest.mark.parametrize("mode", MODES)
def test_everybody_is_served_while_one_server_is_up(g5x, abc, mode):
    abc[0].stop()
    abc[2].stop()
    g5x.forward(*abc, mode=mode)
    assert [visit(FORWARD, f"127.0.0.{i}") for i in range(1, 8)] == ["B"] * 7


@pytest.mark.any_datapath
@pytest.mark.parametrize("mode", MODES)
def test_client_is_reset_when_all_servers_are_down(g5x, abc, mode):
    for server in abc:
        server.stop()
    g5x.forward(*abc, mode=mode)
    for _ in range(3):
        assert is_reset(FORWARD)
    line = 'in=0 out=0 .* reason="no server left to try"'
    wait_until(lambda: len(g5x.log_lines(line)) == 3, "three lines in the log")
    assert not g5x.has_ended()


@pytest.mark.any_datapath
def test_daemon_does_not_take_itself_for_the_server(g5x, namespace):
    """With nobody there, connect(2) from the very port it goes to meets itself."""
    namespace.limit_local_ports(20000, 20009)
    g5x.forward("127.0.0.1:20004")
    for _ in range(60):
        assert is_reset(FORWARD)


@pytest.mark.parametrize("mode", MODES)
def test_rule_recovers_at_once_after_all_servers_were_down(g5x, abc, mode):
    """All are marked as failed then: that must not lock anybody out."""
    for server in abc:
        server.stop()
    g5x.forward(*abc, mode=mode)
    assert is_reset(FORWARD)
    for server in abc:
        server.start()
    assert visit(FORWARD) in "ABC"
    assert visit(FORWARD) in "ABC"


@pytest.mark.any_datapath
def test_each_server_is_tried_at_most_once_for_a_client(g5x, abc):
    """With -d the log has a line for each edge between two states of a session."""
    for server in abc:
        server.stop()
    g5x.forward(*abc, mode="RR", options=("-d",))
    assert is_reset(FORWARD)
    g5x.wait_for_log("no server left to try")
    assert len(g5x.log_lines(r"session \d+: accepted -> connecting")) == len(abc)


@pytest.mark.any_datapath
def test_unreachable_server_is_passed_over_like_a_refusing_one(g5x, abc):
    """In this namespace there is no route there, so connect(2) itself fails."""
    g5x.forward("192.0.2.1:80", abc[1], mode="MS")
    assert visits(FORWARD, 3) == "BBB"


@pytest.mark.any_datapath
def test_moratorium_counts_seconds_instead_of_selections(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc, mode="RR", moratorium=3600)
    assert visit(FORWARD) == "B"
    abc[0].start()
    assert "A" not in visits(FORWARD, SKIPPED + 20)


@pytest.mark.any_datapath
def test_server_comes_back_when_its_moratorium_is_over(g5x, abc):
    abc[0].stop()
    g5x.forward(*abc[:2], mode="RR", moratorium=1)
    assert visit(FORWARD) == "B"
    abc[0].start()
    while visit(FORWARD) != "A":
        pass
    assert Counter(visits(FORWARD, 6)) == {"A": 3, "B": 3}


# ---- weight and maxconns -------------------------------------------------------------


@pytest.mark.any_datapath
@pytest.mark.parametrize("mode", MODES)
def test_server_with_weight_0_gets_no_session(g5x, abc, mode):
    a, b, c = abc
    g5x.forward(a, f"{b} ( weight 0 )", c, mode=mode)
    names = {visit(FORWARD, f"127.0.0.{i}") for i in range(1, 31)}
    assert names <= {"A", "C"}


@pytest.mark.parametrize("mode", MODES)
def test_no_server_gets_more_than_maxconns(g5x, abc, holds, mode):
    a, b = (f"{server} ( maxconns 2 )" for server in abc[:2])
    g5x.forward(a, b, mode=mode)
    assert Counter(holds(4)) == {"A": 2, "B": 2}
    assert is_reset(FORWARD)
    g5x.wait_for_log('reason="servers full"')


def test_full_server_takes_clients_again_when_one_has_left(g5x, abc):
    g5x.forward(f"{abc[0]} ( maxconns 1 )", mode="RR", options=ONE_WORKER)
    for _ in range(3):
        client, name = hold(FORWARD)
        assert name == "A"
        assert is_reset(FORWARD)
        half_close(client)
        assert read_all(client) == b""
        client.close()


def test_failed_connects_do_not_use_up_maxconns(g5x, abc):
    g5x.forward(f"{abc[0]} ( maxconns 1 )", mode="RR", options=ONE_WORKER)
    abc[0].stop()
    for _ in range(3):
        assert is_reset(FORWARD)
    abc[0].start()
    assert visits(FORWARD, 3) == "AAA"


def test_two_rules_with_the_same_server_count_on_their_own(g5x, serve):
    a = f"{serve(named('A'))} ( maxconns 1 )"
    g5x.start(
        g5x.rule("one", "RR", FORWARD, a) + g5x.rule("two", "RR", "127.0.0.1:8001", a)
    )
    first, name = hold(FORWARD)
    with first:
        assert name == "A"
        assert is_reset(FORWARD)
        assert visit("127.0.0.1:8001") == "A"
