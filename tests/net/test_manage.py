# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The management port, byte for byte where G5's scripts read it."""
import random
import re
import socket
import time

import pytest

from lib.daemon import FORWARD
from lib.manage import Manage
from lib.peers import (
    background,
    connect,
    hold,
    is_refused,
    is_silent,
    named,
    read_all,
    read_exactly,
    read_to_end,
    reset,
    visit,
)
from lib.wait import wait_until

ADMIN = "127.0.0.1:8999"
SECOND = "127.0.0.1:8001"


@pytest.fixture
def start(g5x):
    """start(rules) -> a management client; the daemon has an admin rule, too."""
    opened = []

    def start_with(rules="", *options, admin=""):
        admin = admin or g5x.rule("admin", "G", ADMIN, clients="127.0.0.1:*")
        g5x.start(admin + rules, *options)
        opened.append(Manage(ADMIN))
        return opened[-1]

    yield start_with
    for manage in opened:
        manage.sock.close()


# ---- the protocol --------------------------------------------------------------------


@pytest.mark.any_datapath
def test_client_is_greeted_with_a_prompt_and_nothing_else(start):
    manage = start()
    assert manage.greeting == ""
    assert is_silent(manage.sock)


VERSION = (
    r"version v\d+\.\d+\.\d+ build \w+ +\d+ \d+ [\d:]+ \d+:\d+:\d+,\d+:\d+:\d+,\d+\r\n"
)


@pytest.mark.any_datapath
@pytest.mark.parametrize(
    "line", ["ver", "ver x", "ver # c", "ver#c", "  ver", "\tver\t"]
)
def test_ver_answers_in_the_shape_of_g5(start, line):
    assert re.fullmatch(VERSION, start().ask(line))


@pytest.mark.parametrize(
    "line", ["VER", "help", "list", "dump rule", "list  Rules", "   "]
)
def test_unknown_command_is_shown_in_brackets(start, line):
    assert start().ask(line) == f"command invalid [{line}]\r\n"


def test_comment_is_an_empty_command(start):
    assert start().ask("# nothing") == "command invalid []\r\n"


@pytest.mark.any_datapath
def test_empty_line_is_answered_by_a_prompt_only(start):
    assert start().ask("") == ""


@pytest.mark.any_datapath
def test_help_has_the_eight_lines_of_g5(start):
    lines = start().ask("?").split("\r\n")
    assert lines == [
        "ver",
        "list rules (also: list guard)",
        "add rule ... (also: block IP/BITS [SECONDS])",
        "modify rule ...",
        "remove rule ... (also: unblock IP/BITS)",
        "dump rule (spelt: dump rules)",
        "list forwards (also: clean forwards)",
        "quit",
        "",
    ]


@pytest.mark.any_datapath
@pytest.mark.parametrize("line", ["quit", "quit now"])
def test_quit_ends_without_a_text(start, line):
    manage = start()
    manage.send(line.encode() + b"\r\n")
    assert read_all(manage.sock) == b""


@pytest.mark.any_datapath
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_in_lf_with_or_without_cr(start, end):
    manage = start()
    manage.send(b"nonsense" + end)
    assert manage.read_answer() == "command invalid [nonsense]\r\n"


@pytest.mark.any_datapath
def test_lines_may_come_byte_by_byte(start):
    manage = start()
    for byte in b"nonsense\r\n":
        assert is_silent(manage.sock)
        manage.send(bytes([byte]))
    assert manage.read_answer() == "command invalid [nonsense]\r\n"


@pytest.mark.any_datapath
def test_many_lines_at_once_are_answered_in_order(start):
    manage = start()
    manage.send(b"".join(b"line %d\n" % i for i in range(1000)) + b"quit\n")
    expected = b"".join(b"command invalid [line %d]\r\n> " % i for i in range(1000))
    assert read_all(manage.sock) == expected


@pytest.mark.any_datapath
def test_lines_before_a_fin_are_answered(start):
    manage = start()
    manage.send(b"a\r\nb\r\n")
    manage.sock.shutdown(socket.SHUT_WR)
    assert (
        read_all(manage.sock) == b"command invalid [a]\r\n> command invalid [b]\r\n> "
    )


@pytest.mark.any_datapath
def test_line_of_4000_bytes_is_a_line_and_5000_bytes_without_end_are_the_end(start):
    manage = start()
    assert manage.ask("x" * 4000) == f"command invalid [{'x' * 4000}]\r\n"
    manage.send(b"x" * 5000)
    assert read_to_end(manage.sock)[0] == b""


@pytest.mark.any_datapath
def test_random_bytes_disturb_nobody_else(start, g5x):
    manage = start()
    choose = random.Random(1)
    for _ in range(50):
        with connect(ADMIN) as garbage:
            assert read_exactly(garbage, 2) == b"> "
            try:
                garbage.sendall(choose.randbytes(choose.randint(1, 20000)))
            except OSError:
                pass  # a line was too long
            if choose.random() < 0.5:
                reset(garbage)
    assert re.fullmatch(VERSION, manage.ask("ver"))
    assert not g5x.has_ended()


@pytest.mark.any_datapath
def test_answer_to_a_line_with_control_bytes_is_one_line(start):
    answer = start().ask("a\x00b\x1bc\rd")
    assert answer.startswith("command invalid [a")
    assert answer.count("\r") == 1 and answer.endswith("]\r\n")


@pytest.mark.any_datapath
def test_fourth_client_of_three_is_closed_without_a_prompt(start, g5x):
    admin = g5x.rule("admin", "G", ADMIN, clients="*:* ( maxclients 3 )")
    start(admin=admin)
    with Manage(ADMIN), Manage(ADMIN), connect(ADMIN) as fourth:
        assert read_all(fourth) == b""


@pytest.mark.any_datapath
def test_client_may_come_again_when_one_of_three_has_quit(start, g5x):
    manage = start(admin=g5x.rule("admin", "G", ADMIN, clients="*:* ( maxclients 1 )"))
    manage.send(b"quit\n")
    assert read_all(manage.sock) == b""
    with Manage(ADMIN) as another:
        assert another.greeting == ""


@pytest.mark.any_datapath
def test_clients_that_no_rule_wants_are_closed(start):
    start()
    with connect(ADMIN, "127.0.0.2") as stranger:
        assert read_all(stranger) == b""


# ---- lists ---------------------------------------------------------------------------


@pytest.mark.any_datapath
def test_list_rules_shows_each_rule_as_g5_does(start, g5x):
    admin = (
        "admin  G ( timeout 300 ) 127.0.0.1:*\t( maxclients 3 ) - 127.0.0.1:8999 ; #\n"
    )
    manage = start(
        "web RR *:* - 127.0.0.1:8000 > 127.0.0.1:1 127.0.0.1:2 ;", admin=admin
    )
    assert manage.ask("list rules") == (
        "     1 : admin G ( timeout 300 ) 127.0.0.1:* ( conntions[1/3] )"
        " - 127.0.0.1:8999 ;\r\n"
        "     2 : web RR *:* - 127.0.0.1:8000 > 127.0.0.1:1 127.0.0.1:2 ;\r\n"
    )


def test_list_forwards_shows_listeners_managers_and_both_directions(start, g5x, serve):
    server = serve(named("A"))
    manage = start(g5x.rule("web", "RR", FORWARD, server))
    client, _ = hold(FORWARD)
    with client:
        port, admin_port = client.getsockname()[1], manage.sock.getsockname()[1]
        # a byte is counted just after it is sent
        counted = f" bytes=1 datapath={g5x.datapath}\r\n"
        wait_until(lambda: counted in manage.ask("list forwards"), "the byte is counted")
        lines = manage.ask("list forwards").split("\r\n")
    shapes = [
        r"     1 : LISTEN \[127\.0\.0\.1:8999\]#\d+#",
        r"     2 : LISTEN \[127\.0\.0\.1:8000\]#\d+#",
        rf"     3 : CLIENT \[127\.0\.0\.1:{admin_port}\]#\d+#"
        rf" - MANAGE \[{ADMIN}\]#\d+#",
        rf"     4 : CLIENT \[127\.0\.0\.1:{port}\]#\d+# - LISTEN \[{FORWARD}\]#\d+#"
        rf" > SERVER \[{server}\]#\d+# CONNECTED( .*)?",
        rf"     5 : CLIENT \[127\.0\.0\.1:{port}\]#\d+# < LISTEN \[{FORWARD}\]#\d+#"
        rf" - SERVER \[{server}\]#\d+# CONNECTED( .*)?",
        "",
    ]
    assert len(lines) == len(shapes)
    for line, shape in zip(lines, shapes):
        assert re.fullmatch(shape, line)
    assert f"bytes=1 datapath={g5x.datapath}" in lines[4]


def test_list_forwards_shows_a_session_that_is_connecting(start, g5x, blackhole):
    manage = start(g5x.rule("web", "RR", FORWARD, blackhole))
    with connect(FORWARD):
        # whole: a session is listed while its record is still being filled in
        shape = rf" < LISTEN .* - SERVER \[{blackhole}\]#\d+# CONNECTING"
        wait_until(
            lambda: re.search(shape, manage.ask("list forwards")),
            "the session is listed",
        )


@pytest.mark.any_datapath
def test_long_list_reaches_a_slow_reader_complete(start, g5x):
    """Of 3000 rules, asked for 20 times before the first byte is read."""
    rules = "".join(
        g5x.rule(
            f"rule{i}",
            "RR",
            f"127.0.0.1:8000 127.0.{i // 200}.{i % 200}:*",
            "127.0.0.1:1",
        )
        for i in range(3000)
    )
    manage = start(rules)
    slow = Manage(ADMIN)
    slow.send(b"list rules\r\n" * 20 + b"quit\r\n")
    assert (
        manage.ask("nonsense") == "command invalid [nonsense]\r\n"
    )  # nobody waits for it
    answer = read_all(slow.sock)
    lines = answer.split(b"\r\n")
    assert len(lines) == 20 * 3001 + 1
    assert sum(b" : rule2999 RR " in line for line in lines) == 20
    slow.sock.close()


# ---- changing rules ------------------------------------------------------------------


@pytest.mark.parametrize("blank", [" ", "\t", " \t "])
def test_added_rule_serves_at_once(start, abc, blank):
    manage = start()
    line = f"add rule web RR *:* - {FORWARD} > {abc[0]} ;".replace(" ", blank)
    assert manage.ask(line) == "add forward rule ok\r\n"
    assert visit(FORWARD) == "A"


def test_rule_with_an_id_that_exists_is_not_added(start, g5x, abc):
    manage = start(g5x.rule("web", "RR", FORWARD, abc[0]))
    answer = manage.ask(f"add rule web RR *:* - {SECOND} > {abc[1]} ;")
    assert answer.startswith("add forward rule failed[-2]")
    assert is_refused(SECOND)
    assert visit(FORWARD) == "A"


def test_rule_whose_address_is_in_use_is_not_added(start, abc):
    manage = start()
    answer = manage.ask(f"add rule web RR *:* - {abc[0]} > {abc[1]} ;")
    assert answer.startswith("add forward rule failed[-3]")
    assert "web" not in manage.ask("list rules")
    assert manage.ask(f"add rule web RR *:* - {FORWARD} > {abc[1]} ;") == (
        "add forward rule ok\r\n"
    )


@pytest.mark.parametrize(
    "line, code",
    [
        ("add rule", -21),
        ("add rule web", -21),
        ("add rule web LB *:* - 127.0.0.1:8000 > 127.0.0.1:1 ;", -23),
        ("add rule web RR *:* - 127.0.0.1:8000 ;", -63),
        ("modify rule", -21),
        ("modify rule admin", -21),
    ],
)
def test_bad_rule_is_answered_with_the_code_of_g5_and_changes_nothing(
    start, line, code
):
    manage = start()
    before = manage.ask("list rules")
    assert manage.ask(line).startswith(f"parse forward rule failed[{code}]")
    assert manage.ask("list rules") == before


@pytest.mark.any_datapath
@pytest.mark.parametrize("verb", ["add", "modify"])
def test_rule_with_the_id_of_a_global_block_is_refused(start, g5x, verb):
    """Its dump would be read as a global block."""
    manage = start()
    before = manage.ask("list rules")
    answer = manage.ask(f"{verb} rule ( RR *:* - {FORWARD} > 127.0.0.1:1 ;")
    column = len(f"{verb} rule ") + 1
    assert answer.startswith(
        f'parse forward rule failed[-1] column {column}: a rule cannot have the id "("'
    )
    assert answer.endswith("\r\n")
    assert manage.ask("list rules") == before


def test_modify_opens_the_new_address_and_closes_the_old_one(start, g5x, abc):
    manage = start(g5x.rule("web", "RR", FORWARD, abc[0]))
    answer = manage.ask(
        f"modify rule web MS ( timeout 9 ) 127.0.0.1:* - {SECOND} > {abc[1]} ;"
    )
    assert answer == "modify forward rule ok\r\n"
    assert visit(SECOND) == "B"
    assert is_refused(FORWARD)


def test_modify_of_an_unknown_rule_fails(start, abc):
    answer = start().ask(f"modify rule nosuch RR *:* - {FORWARD} > {abc[0]} ;")
    assert answer.startswith("modify forward rule failed[-1]")


def test_modify_to_an_address_in_use_fails_and_changes_nothing(start, g5x, abc):
    manage = start(g5x.rule("web", "RR", FORWARD, abc[0]))
    answer = manage.ask(f"modify rule web RR *:* - {abc[1]} > {abc[2]} ;")
    assert answer.startswith("modify forward rule failed[-2]")
    assert visit(FORWARD) == "A"


@pytest.mark.any_datapath
def test_management_rule_may_be_modified_and_keep_its_address(start):
    manage = start()
    answer = manage.ask(f"modify rule admin G ( timeout 300 ) 127.0.0.1:* - {ADMIN} ;")
    assert answer == "modify forward rule ok\r\n"
    with Manage(ADMIN) as another:
        assert "( timeout 300 )" in another.ask("list rules")


def test_removed_rule_stops_listening_and_may_be_added_again(start, g5x, abc):
    manage = start(g5x.rule("web", "RR", FORWARD, abc[0]))
    assert manage.ask("remove rule web") == "remove forward rule ok\r\n"
    assert is_refused(FORWARD)
    assert manage.ask("remove rule web").startswith("remove forward rule failed[-2]")
    answer = manage.ask(f"add rule web RR *:* - {FORWARD} > {abc[1]} ;")
    assert answer == "add forward rule ok\r\n"
    assert visit(FORWARD) == "B"


@pytest.mark.any_datapath
def test_remove_without_an_id_removes_nothing(start):
    """G5 took the id of an earlier line."""
    manage = start()
    before = manage.ask("list rules")
    manage.ask("ver x admin")
    assert (
        manage.ask("remove rule") == "remove forward rule failed[-2] no rule id\r\n"
    )
    assert manage.ask("list rules") == before


@pytest.mark.any_datapath
def test_management_rule_may_be_removed_by_its_own_client(start):
    manage = start()
    assert manage.ask("remove rule admin") == "remove forward rule ok\r\n"
    assert is_refused(ADMIN)
    assert manage.ask("list rules") == ""


def test_rules_may_change_between_management_and_forwarding(start, g5x, abc):
    manage = start(g5x.rule("web", "RR", FORWARD, abc[0]))
    assert (
        manage.ask(f"modify rule web G *:* - {FORWARD} ;")
        == "modify forward rule ok\r\n"
    )
    with Manage(FORWARD) as another:
        assert another.greeting == ""
    assert manage.ask(f"modify rule web RR *:* - {FORWARD} > {abc[1]} ;").endswith(
        "ok\r\n"
    )
    assert visit(FORWARD) == "B"


def test_management_and_forwarding_may_share_an_address(start, g5x, abc):
    """Who comes from where decides."""
    start(g5x.rule("web", "RR", ADMIN, abc[0], clients="127.0.0.2:*"))
    assert visit(ADMIN, "127.0.0.2") == "A"
    with Manage(ADMIN) as manage:
        assert manage.ask("nonsense") == "command invalid [nonsense]\r\n"


def test_rules_beyond_the_limit_of_r_are_not_added(start, abc):
    manage = start("", "-r", "2")
    assert (
        manage.ask(f"add rule a RR *:* - {FORWARD} > {abc[0]} ;")
        == "add forward rule ok\r\n"
    )
    answer = manage.ask(f"add rule b RR *:* - {SECOND} > {abc[0]} ;")
    assert answer.startswith("add forward rule failed[-1]")


def test_changes_of_many_clients_at_once_are_all_made(start, abc):
    manage = start()

    def add_and_remove(number):
        with Manage(ADMIN) as client:
            for i in range(20):
                rule = f"r{number} RR *:* - 127.0.0.1:{8100 + number} > {abc[0]} ;"
                assert client.ask(f"add rule {rule}") == "add forward rule ok\r\n"
                assert visit(f"127.0.0.1:{8100 + number}") == "A"
                if i < 19:
                    assert (
                        client.ask(f"remove rule r{number}")
                        == "remove forward rule ok\r\n"
                    )

    for change in [background(add_and_remove, number) for number in range(5)]:
        change.result()
    assert manage.ask("list rules").count(" RR ") == 5


# ---- sessions ------------------------------------------------------------------------


def test_sessions_survive_modify_and_remove(start, g5x, serve):
    server = serve(echo_after_name)
    manage = start(
        g5x.rule("one", "RR", FORWARD, server) + g5x.rule("two", "RR", SECOND, server)
    )
    with hold(FORWARD)[0] as first, hold(SECOND)[0] as second:
        manage.ask(f"modify rule one RR ( timeout 99 ) *:* - {FORWARD} > 127.0.0.1:1 ;")
        manage.ask("remove rule two")
        for client in (first, second):
            client.sendall(b"still here")
            assert read_exactly(client, 10) == b"still here"


def echo_after_name(connection):
    connection.sendall(b"A")
    while data := connection.recv(1000):
        connection.sendall(data)


def test_clean_forwards_closes_sessions_of_changed_rules_only(start, g5x, serve):
    server = serve(echo_after_name)
    rules = {
        name: g5x.rule(name, "RR", f"127.0.0.1:810{i}", server)
        for i, name in enumerate("abc")
    }
    manage = start("".join(rules.values()))
    sessions = {name: hold(f"127.0.0.1:810{i}")[0] for i, name in enumerate("abc")}
    assert manage.ask("clean forwards") == "clean forwards ok\r\n"
    assert all(is_silent(session) for session in sessions.values())

    manage.ask("modify rule " + rules["a"].replace("*:*", "127.0.0.1:*"))
    manage.ask("remove rule b")
    manage.ask("modify rule " + rules["c"])  # says the same
    assert manage.ask("clean forwards") == "clean forwards ok\r\n"
    assert read_to_end(sessions["a"]) == (b"", "RST")
    assert read_to_end(sessions["b"]) == (b"", "RST")
    sessions["c"].sendall(b"still here")
    assert read_exactly(sessions["c"], 10) == b"still here"
    g5x.wait_for_log('session rule=b .*reason="cleaned"')
    for session in sessions.values():
        session.close()


def test_session_that_is_connecting_when_its_rule_is_removed_is_reset(
    start, g5x, blackhole
):
    """At its next step: there is no rule that could name another server."""
    manage = start(
        g5x.rule("web", "RR", FORWARD, blackhole, "127.0.0.1:1", connect_timeout=1)
    )
    with connect(FORWARD) as client:
        wait_until(
            lambda: "CONNECTING" in manage.ask("list forwards"), "it is connecting"
        )
        manage.ask("remove rule web")
        assert read_to_end(client) == (b"", "RST")


def test_modified_rule_starts_with_the_servers_state_of_before(start, g5x, abc):
    """RR goes on where it was, for servers that stay."""
    rule = g5x.rule("web", "RR", FORWARD, *abc)
    manage = start(rule)
    assert visit(FORWARD) == "A"
    manage.ask("modify rule " + rule.replace("*:*", "127.0.0.1:*"))
    assert visit(FORWARD) == "B"


# ---- dump rules ----------------------------------------------------------------------


@pytest.mark.any_datapath
def test_dump_writes_rules_and_comments_in_crlf_lines(start, g5x):
    admin = f"admin G ( timeout 300 ) *:*  ( maxclients 3 ) - {ADMIN} ;   # the keys\n"
    manage = start(
        "\n# servers of the shop\n( maxsessions_per_ip 50 )\n"
        f"web\tRR *:* - {FORWARD} > 127.0.0.1:1 ( weight 3 ) ;\n",
        admin=admin,
    )
    assert manage.ask("dump rules") == "dump all forward rules ok\r\n"
    lines = g5x.rule_file.read_bytes().split(b"\r\n")
    assert lines[0] == b"( maxsessions_per_ip 50 )"
    admin_line = (
        b"admin G ( timeout 300 ) *:* ( maxclients 3 ) - 127.0.0.1:8999 ; # the keys"
    )
    web_line = b"web RR *:* - 127.0.0.1:8000 > 127.0.0.1:1 ( weight 3 ) ;"
    assert (
        lines.index(admin_line)
        < lines.index(b"# servers of the shop")
        < lines.index(web_line)
    )
    assert lines[-1] == b"" and b"\n" not in b"".join(lines)


def test_dump_has_added_rules_and_can_be_loaded(start, g5x, abc, daemons):
    manage = start(g5x.rule("gone", "RR", SECOND, abc[1]))
    manage.ask("remove rule gone")
    manage.ask(f"add rule web RR *:* - {FORWARD} > {abc[0]} ;")
    before = manage.ask("list rules")
    manage.ask("dump rules")
    assert g5x.stop() == 0
    again = daemons()
    again.start(g5x.rule_file.read_bytes())
    with Manage(ADMIN) as another:
        assert another.ask("list rules") == before
    assert visit(FORWARD) == "A"


@pytest.mark.any_datapath
def test_dump_that_cannot_be_written_says_so(start, g5x):
    manage = start()
    g5x.rule_file.unlink()
    g5x.rule_file.mkdir()
    answer = manage.ask("dump rules")
    assert answer.startswith("can't open config file for writing")
    assert manage.ask("nonsense") == "command invalid [nonsense]\r\n"


def test_management_goes_on_while_sessions_forward_at_full_speed(start, g5x, serve):
    def sink(connection):
        while connection.recv(1 << 20):
            pass

    manage = start(g5x.rule("web", "RR", FORWARD, serve(sink)))
    end = time.monotonic() + 1

    def flood():
        with connect(FORWARD) as client:
            while time.monotonic() < end:
                client.sendall(bytes(1 << 20))

    floods = [background(flood) for _ in range(4)]
    n_answers = 0
    while time.monotonic() < end:
        assert "LISTEN" in manage.ask("list forwards")
        n_answers += 1
    for each in floods:
        each.result()
    assert n_answers > 0
