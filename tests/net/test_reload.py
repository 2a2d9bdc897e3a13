# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""SIGHUP: the rule file as it is now comes into force as a whole, or not at all."""
import signal

import pytest

from lib.daemon import FORWARD
from lib.peers import (
    background,
    connect,
    echo,
    hold,
    is_refused,
    named,
    read_all,
    read_exactly,
    visit,
    visits,
)
from lib.wait import wait_until

SECOND = "127.0.0.1:8001"


def wait_for_listeners(g5x, *addresses):
    """Exactly these, and the old configuration is used by nobody any more."""
    wait_until(lambda: g5x.listening() >= set(addresses), f"listens on {addresses}")


def test_no_client_is_lost_while_rules_are_reloaded(g5x, abc):
    """The rule that clients use stays; another one moves from port to port."""
    web = g5x.rule("web", "RR", FORWARD, *abc)
    g5x.start(web)
    is_over = False

    def keep_coming():
        names = []
        while not is_over:
            names.append(visit(FORWARD))
        return names

    clients = [background(keep_coming) for _ in range(4)]
    for port in range(8100, 8120):
        g5x.reload(web + g5x.rule("other", "RR", f"127.0.0.1:{port}", abc[0]))
        wait_until(
            lambda port=port: own_ports(g5x, abc) == {8000, port}, f"listens on {port}"
        )
        assert visit(f"127.0.0.1:{port}") == "A"
    is_over = True
    for client in clients:
        names = client.result()
        assert names and set(names) <= {"A", "B", "C"}


def own_ports(g5x, servers):
    others = {str(server) for server in servers}
    return {int(a.rpartition(":")[2]) for a in g5x.listening() - others}


def test_new_rules_serve_and_removed_ones_do_not_listen_any_more(g5x, abc):
    g5x.start(g5x.rule("old", "RR", FORWARD, abc[0]))
    g5x.reload(g5x.rule("new", "RR", SECOND, abc[1]))
    wait_until(lambda: is_refused(FORWARD), "the old address is closed")
    assert visit(SECOND) == "B"


def test_rule_that_changes_is_used_as_it_is_now(g5x, abc):
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    assert visit(FORWARD) == "A"
    g5x.reload(g5x.rule("web", "RR", FORWARD, abc[1]))
    wait_until(lambda: visit(FORWARD) == "B", "the other server is used")
    assert visits(FORWARD, 5) == "BBBBB"


def test_last_of_several_reloads_counts(g5x, abc):
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    for port in range(8100, 8130):
        g5x.reload(g5x.rule("web", "RR", f"127.0.0.1:{port}", abc[0]))
    wait_until(lambda: own_ports(g5x, abc) == {8129}, "listens on the last port")
    assert visit("127.0.0.1:8129") == "A"


@pytest.mark.any_datapath
@pytest.mark.parametrize(
    "text, place",
    [
        ("web RR *:* - 127.0.0.1:8001 > 127.0.0.1:1\n", ":1:"),
        ("# fine\n\nweb LB *:* - 127.0.0.1:8001 > 127.0.0.1:1 ;\n", ":3:5:"),
        ("web RR ( timeout ) *:* - 127.0.0.1:8001 > 127.0.0.1:1 ;\n", ":1:"),
    ],
)
def test_bad_file_changes_nothing_and_the_log_says_where_it_is_bad(
    g5x, abc, text, place
):
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    g5x.reload(text)
    line = g5x.wait_for_log("configuration rejected")
    assert "the old one stays" in line
    assert g5x.log_lines(str(g5x.rule_file) + place)
    assert visit(FORWARD) == "A"
    assert is_refused(SECOND)


@pytest.mark.any_datapath
def test_file_that_is_gone_changes_nothing(g5x, abc):
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    g5x.rule_file.unlink()
    g5x.signal(signal.SIGHUP)
    g5x.wait_for_log("configuration rejected")
    assert g5x.log_lines(str(g5x.rule_file))
    assert visit(FORWARD) == "A"


def test_address_in_use_changes_nothing_at_all(g5x, abc):
    """The one that could be opened is closed again."""
    rule = g5x.rule("web", "RR", FORWARD, abc[0])
    g5x.start(rule)
    n_fds = g5x.n_fds()
    g5x.reload(
        g5x.rule("web", "RR", FORWARD, abc[1])
        + g5x.rule("free", "RR", SECOND, abc[1])
        + g5x.rule("taken", "RR", abc[2], abc[1])
    )
    g5x.wait_for_log("configuration rejected")
    assert g5x.log_lines(f"cannot listen on {abc[2]}: Address already in use")
    assert is_refused(SECOND)
    assert visit(FORWARD) == "A"
    wait_until(lambda: g5x.n_fds() == n_fds, f"{n_fds} file descriptors as before")


@pytest.mark.any_datapath
def test_good_file_after_a_bad_one_is_taken(g5x, abc):
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    g5x.reload("nonsense\n")
    g5x.wait_for_log("configuration rejected")
    g5x.reload(g5x.rule("web", "RR", SECOND, abc[1]))
    wait_for_listeners(g5x, SECOND)
    assert visit(SECOND) == "B"


def test_sessions_survive_whatever_becomes_of_their_rule(g5x, serve):
    server = serve(echo)
    stays = g5x.rule("stays", "RR", FORWARD, server)
    g5x.start(
        stays
        + g5x.rule("changes", "RR", SECOND, server)
        + g5x.rule("goes", "RR", "127.0.0.1:8002", server)
    )
    sessions = [connect(f"127.0.0.1:800{i}") for i in range(3)]
    for session in sessions:
        session.sendall(b"before")
        assert read_exactly(session, 6) == b"before"
    g5x.reload(stays + g5x.rule("changes", "MS", "127.0.0.1:8100", server))
    wait_for_listeners(g5x, "127.0.0.1:8100")
    for session in sessions:
        session.sendall(b"after")
        assert read_exactly(session, 5) == b"after"
        session.close()


def test_clients_waiting_in_the_queue_of_a_removed_rule_are_served(g5x, abc):
    """They got through the handshake: to them the rule was there."""
    g5x.start(g5x.rule("web", "RR", FORWARD, abc[0]))
    g5x.signal(signal.SIGSTOP)
    waiting = [connect(FORWARD) for _ in range(500)]
    g5x.reload(g5x.rule("other", "RR", SECOND, abc[1]))
    g5x.signal(signal.SIGCONT)
    for client in waiting:
        with client:
            assert read_exactly(client, 1) == b"A"


def test_1000_rules_may_be_replaced_by_1000_others(g5x, abc):
    def rules(first_port):
        return "".join(
            g5x.rule(f"rule{i}", "RR", f"127.0.0.1:{first_port + i}", abc[i % 3])
            for i in range(1000)
        )

    g5x.start(rules(10000))
    n_fds = g5x.n_fds()
    assert visit("127.0.0.1:10000") + visit("127.0.0.1:10999") == "AA"
    g5x.reload(rules(10500))
    wait_until(
        lambda: own_ports(g5x, abc) == set(range(10500, 11500)), "listens on the others"
    )
    assert visit("127.0.0.1:10500") + visit("127.0.0.1:11499") == "AA"
    assert is_refused("127.0.0.1:10499")
    wait_until(lambda: g5x.n_fds() == n_fds, f"{n_fds} file descriptors as before")


def test_many_reloads_leave_no_descriptors_behind(g5x, abc):
    rules = [
        g5x.rule("web", "RR", FORWARD, abc[0]) + g5x.rule("x", "RR", port, abc[0])
        for port in ("127.0.0.1:8100", "127.0.0.1:8101")
    ]
    g5x.start(rules[0])
    n_fds = g5x.n_fds()
    for i in range(1, 41):
        g5x.reload(rules[i % 2])
        wait_until(
            lambda i=i: own_ports(g5x, abc) == {8000, 8100 + i % 2}, "it is reloaded"
        )
    wait_until(lambda: g5x.n_fds() == n_fds, f"{n_fds} file descriptors as before")


def test_address_may_become_a_wildcard_and_back(g5x, abc):
    one = g5x.rule("web", "RR", FORWARD, abc[0])
    every = g5x.rule("web", "RR", "0.0.0.0:8000", abc[1])
    g5x.start(one)
    for _ in range(3):
        g5x.reload(every)
        wait_until(lambda: own_addresses(g5x, abc) == {"0.0.0.0:8000"}, "the wildcard")
        assert visit(FORWARD) == "B"
        g5x.reload(one)
        wait_until(lambda: own_addresses(g5x, abc) == {FORWARD}, "the address")
        assert visit(FORWARD) == "A"


def own_addresses(g5x, servers):
    return g5x.listening() - {str(server) for server in servers}


# ---- what is remembered --------------------------------------------------------------


@pytest.mark.any_datapath
def test_round_robin_goes_on_where_it_was(g5x, abc):
    rule = g5x.rule("web", "RR", FORWARD, *abc)
    g5x.start(rule)
    assert visits(FORWARD, 2) == "AB"
    g5x.reload(rule + g5x.rule("new", "RR", SECOND, abc[0]))
    wait_for_listeners(g5x, SECOND)
    assert visits(FORWARD, 2) == "CA"


@pytest.mark.any_datapath
def test_failed_server_stays_marked(g5x, abc):
    abc[0].stop()
    rule = g5x.rule("web", "RR", FORWARD, *abc[:2], moratorium=3600)
    g5x.start(rule)
    assert visit(FORWARD) == "B"
    g5x.reload(rule + g5x.rule("new", "RR", SECOND, abc[2]))
    wait_for_listeners(g5x, SECOND)
    abc[0].start()
    assert visits(FORWARD, 4) == "BBBB"


@pytest.mark.parametrize("limit", ["maxclients", "maxsessions_per_ip"])
def test_clients_of_before_count_against_limits_of_after(g5x, serve, limit):
    server = serve(named("A"))
    g5x.start(g5x.rule("web", "RR", FORWARD, server))
    with hold(FORWARD)[0], hold(FORWARD)[0]:
        if limit == "maxclients":
            limited = g5x.rule(
                "web", "RR", FORWARD, server, clients="*:* ( maxclients 3 )"
            )
        else:
            limited = "( maxsessions_per_ip 3 )\n" + g5x.rule(
                "web", "RR", FORWARD, server
            )
        g5x.reload(limited + g5x.rule("admin", "G", SECOND))
        wait_for_listeners(g5x, SECOND)
        with hold(FORWARD)[0], connect(FORWARD) as fourth:
            assert read_all(fourth) == b""
