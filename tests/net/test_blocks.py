# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Networks that are blocked, and rates of new connections: who is closed, who is not."""
import contextlib
import re
import time

import pytest

from lib.daemon import FORWARD
from lib.manage import ADMIN, Manage
from lib.peers import connect, hold, named, read_exactly, read_to_end, visit
from lib.wait import wait_until

pytestmark = pytest.mark.any_datapath

SECOND = "127.0.0.1:8001"
FORWARD6 = "[::1]:8000"
OTHER = "127.0.0.2"
MANY = 30


def blocks_of(manage):
    """Of `list guard`, whose first line says what the guard does."""
    answer = manage.ask("list guard")
    assert answer.startswith("guard off\r\n")
    return answer.partition("\r\n")[2]


@pytest.fixture
def rules(g5x, serve):
    """rules(globals) -> those, and a server behind FORWARD, FORWARD6 and SECOND."""
    server = serve(named("A"))

    def with_globals(text="", clients="*:*"):
        return (
            text
            + "\n"
            + g5x.rule("admin", "G", ADMIN)
            + g5x.rule("one", "RR", f"{FORWARD} {FORWARD6}", server, clients=clients)
            + g5x.rule("two", "RR", SECOND, server)
        )

    return with_globals


@pytest.fixture
def start(g5x, rules):
    """start(globals) -> a management client.

    A client learns that its session is over a moment before the counts do; with one
    worker the next client comes after that moment.
    """
    with contextlib.ExitStack() as opened:

        def start_with(text="", **options):
            g5x.start(rules(text, **options), "--workers", "1")
            return opened.enter_context(Manage(ADMIN))

        yield start_with


@pytest.fixture
def reload(g5x, rules):
    """reload(globals); returns when that is in force."""

    def reload_with(text=""):
        n_before = len(g5x.log_lines("configuration reloaded"))
        g5x.reload(rules(text))
        wait_until(
            lambda: len(g5x.log_lines("configuration reloaded")) > n_before,
            "the configuration is reloaded",
        )

    return reload_with


def is_served(address=FORWARD, source=None):
    """A client that is refused sees an orderly end: a reset would raise."""
    return visit(address, source) == "A"


# ---- blocks of the file --------------------------------------------------------------


def test_clients_of_a_blocked_network_are_closed_and_others_served(g5x, start):
    start("( block 127.0.0.2 127.0.1.0/24 )")
    assert is_served()
    assert not is_served(source=OTHER)
    assert not is_served(source="127.0.1.255")
    assert is_served(source="127.0.2.0")
    assert is_served(FORWARD6)
    g5x.wait_for_log(r"client \[127\.0\.0\.2:\d+\] is blocked by 127\.0\.0\.2/32")


def test_networks_of_ipv6_are_blocked(start):
    start("( block ::/64 )")
    assert not is_served(FORWARD6)
    assert is_served()


def test_who_is_blocked_is_told_before_any_rule_is_looked_for(g5x, start):
    start("( block 127.0.0.2 )", clients="127.0.0.1:*")
    assert not is_served(source=OTHER)
    g5x.wait_for_log("is blocked by")
    assert not g5x.log_lines("no rule for it")


def test_blocks_of_the_file_are_gone_with_it(start, reload):
    start("( block 127.0.0.2 )")
    assert not is_served(source=OTHER)
    reload("( block 127.0.0.3 )")
    assert is_served(source=OTHER)
    assert not is_served(source="127.0.0.3")
    reload()
    assert is_served(source="127.0.0.3")


def test_rejected_file_changes_no_block(g5x, start, rules):
    start("( block 127.0.0.2 )")
    g5x.reload(rules("( block 127.0.0.3 127.0.0.4/8 )"))
    g5x.wait_for_log("configuration rejected")
    g5x.wait_for_log(r'"127\.0\.0\.4/8" has bits after the prefix.* 127\.0\.0\.0/8')
    assert not is_served(source=OTHER)
    assert is_served(source="127.0.0.3")


# ---- blocks of commands --------------------------------------------------------------


def test_network_is_blocked_until_it_is_unblocked(g5x, start):
    manage = start()
    assert is_served(source=OTHER)
    assert manage.ask("block 127.0.0.2") == "block ok\r\n"
    assert not is_served(source=OTHER)
    assert is_served()
    assert blocks_of(manage) == "block 127.0.0.2/32 command for ever\r\n"
    assert manage.ask("unblock 127.0.0.2/32") == "unblock ok\r\n"
    assert is_served(source=OTHER)
    assert blocks_of(manage) == ""
    assert manage.ask("unblock 127.0.0.2").startswith("unblock failed[-2] ")
    g5x.wait_for_log(r"management client \S+: block 127\.0\.0\.2/32 for ever")
    g5x.wait_for_log(r"management client \S+: unblock 127\.0\.0\.2/32")


def test_block_ends_when_its_time_is_over(g5x, start):
    manage = start()
    assert manage.ask("block 127.0.0.2/31 3600") == "block ok\r\n"
    assert not is_served(source=OTHER)
    line = blocks_of(manage)
    seconds = re.fullmatch(r"block 127\.0\.0\.2/31 command (\d+) seconds\r\n", line)
    assert 3000 < int(seconds[1]) <= 3600
    assert manage.ask("block 127.0.0.2/31 1") == "block ok\r\n"
    wait_until(lambda: is_served(source=OTHER), "the block ends")
    assert blocks_of(manage) == ""
    wait_until(
        lambda: manage.ask("unblock 127.0.0.2/31").startswith("unblock failed[-2]"),
        "the block is dropped",
    )
    g5x.wait_for_log(r"block 127\.0\.0\.2/31 for 3600 seconds")


def test_network_around_one_whose_time_is_over_stays_blocked(start):
    manage = start("( block 127.0.0.2/31 )")
    manage.ask("block 127.0.0.2 1")
    shorter = "block 127.0.0.2/31 file\r\n"
    wait_until(lambda: blocks_of(manage) == shorter, "the inner block ends")
    assert not is_served(source=OTHER)


def test_blocks_of_commands_are_kept_over_a_reload(start, reload):
    manage = start("( block 127.0.0.3 )")
    manage.ask("block 127.0.0.2")
    manage.ask("block 127.0.0.3 3600")
    before = blocks_of(manage).split("\r\n")
    assert before[0] == "block 127.0.0.2/32 command for ever"
    assert before[1].startswith("block 127.0.0.3/32 file command 3")
    reload()
    assert not is_served(source=OTHER)
    assert not is_served(source="127.0.0.3")
    after = blocks_of(manage).split("\r\n")
    assert after[0] == before[0]
    assert after[1].startswith("block 127.0.0.3/32 command 3")


def test_block_of_the_file_is_not_to_be_unblocked(start):
    manage = start("( block 127.0.0.2 )")
    answer = manage.ask("unblock 127.0.0.2")
    assert answer.startswith("unblock failed[-3] the rule file has it")
    assert not is_served(source=OTHER)


def test_dump_writes_the_blocks_of_the_file_only(g5x, start):
    manage = start("( syn_rate 1000 block 127.0.0.3 )")
    manage.ask("block 127.0.0.2")
    assert manage.ask("dump rules") == "dump all forward rules ok\r\n"
    lines = g5x.rule_file.read_text().splitlines()
    assert lines[:2] == ["( syn_rate 1000 )", "( block 127.0.0.3/32 )"]
    assert "127.0.0.2" not in "".join(lines)


def test_bad_block_command_says_what_would_be_right(start):
    manage = start()
    assert manage.ask("block 127.0.0.2/8") == (
        'block failed[-1] "127.0.0.2/8" has bits after the prefix;'
        " expected 127.0.0.0/8\r\n"
    )
    assert manage.ask("block 127.0.0.2 never").startswith("block failed[-2] ")
    assert is_served(source=OTHER)
    assert blocks_of(manage) == ""


def test_session_that_is_there_goes_on(start):
    manage = start()
    client, _ = hold(FORWARD, OTHER)
    with client:
        manage.ask("block 127.0.0.2")
        assert not is_served(source=OTHER)
        client.shutdown(1)
        assert read_to_end(client) == (b"", "FIN")


def test_list_of_many_blocks_is_complete(start):
    networks = [f"10.{i // 256}.{i % 256}.0/24" for i in range(3000)]
    manage = start(f"( block {' '.join(networks)} )")
    lines = blocks_of(manage).split("\r\n")
    assert lines == [f"block {network} file" for network in networks] + [""]


# ---- rates ---------------------------------------------------------------------------


def n_served(n, address=FORWARD, source=None):
    """Of n that come one after the other; and how long they took."""
    start = time.monotonic()
    n_in = sum(is_served(address, source) for _ in range(n))
    return n_in, time.monotonic() - start


def test_source_over_its_rate_is_closed_and_others_are_served(g5x, start):
    start("( syn_rate 1 burst 5 )")
    n_in, seconds = n_served(MANY)
    assert 5 <= n_in <= 5 + seconds + 1
    for _ in range(5):
        assert is_served(source=OTHER)
    g5x.wait_for_log(r"client \[127\.0\.0\.1:\d+\] connects too fast: syn_rate is 1")


def test_rate_of_a_source_counts_over_all_rules(start):
    start("( syn_rate 1 burst 4 )")
    served = [n_served(MANY, address) for address in (FORWARD, SECOND, FORWARD)]
    assert 4 <= sum(n for n, _ in served) <= 4 + sum(s for _, s in served) + 1


def test_source_is_served_again_after_a_while(start):
    start("( syn_rate 1 burst 1 )")
    assert is_served()
    wait_until(lambda: not is_served(), "the source is over its rate")
    wait_until(is_served, "the source is served again")


def test_listener_rate_counts_all_sources_of_one_listener(g5x, start):
    start("( listener_syn_rate 1 listener_burst 6 )")
    start_s = time.monotonic()
    for i in range(6):
        assert is_served(source=f"127.0.1.{i}")
    n_in, _ = n_served(MANY, source=OTHER)
    assert n_in <= time.monotonic() - start_s + 1
    for _ in range(6):
        assert is_served(SECOND)
    g5x.wait_for_log(rf"too fast to \[{FORWARD}\]: listener_syn_rate is 1")


def test_whom_a_rate_refuses_has_no_session_of_its_ip(start, reload):
    start("( maxsessions_per_ip 2 syn_rate 1 burst 2 )")
    n_in, _ = n_served(MANY)
    assert 2 <= n_in < MANY
    reload("( maxsessions_per_ip 2 )")
    with hold(FORWARD)[0], hold(FORWARD)[0]:
        assert not is_served()


def test_who_is_over_maxsessions_per_ip_uses_up_no_rate(start):
    start("( maxsessions_per_ip 1 syn_rate 1 burst 2 )")
    client, _ = hold(FORWARD)
    for _ in range(10):
        assert not is_served()
    client.shutdown(1)
    assert read_to_end(client) == (b"", "FIN")
    client.close()
    assert is_served()


def test_changed_rate_is_in_force_at_once(start, reload):
    start("( syn_rate 1 burst 1000 )")
    for _ in range(100):
        assert is_served()
    reload("( syn_rate 1000000 )")
    assert n_served(MANY)[0] == MANY
    reload()
    assert n_served(MANY)[0] == MANY


# ---- the management port -------------------------------------------------------------


def test_management_clients_have_no_rate_but_may_be_blocked(start):
    manage = start("( syn_rate 1 burst 1 listener_syn_rate 1 listener_burst 1 )")
    for _ in range(10):
        with Manage(ADMIN) as another:
            assert another.greeting == ""
    with connect(ADMIN, OTHER) as client:
        assert read_exactly(client, 2) == b"> "
    manage.ask("block 127.0.0.2")
    with connect(ADMIN, OTHER) as client:
        assert read_to_end(client) == (b"", "FIN")
