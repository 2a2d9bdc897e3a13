# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""From the command line to the exit status: start, log, end."""
import json
import os
import re
import signal
import time

import pytest

from lib.daemon import FORWARD
from lib.manage import Manage
from lib.peers import (
    connect,
    echo,
    half_close,
    hold,
    is_refused,
    is_reset,
    named,
    read_all,
    read_exactly,
    read_to_end,
    visit,
    visits,
)
from lib.wait import wait_until

SECOND = "127.0.0.1:8001"


# ---- ending --------------------------------------------------------------------------


@pytest.mark.any_datapath
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_sessions_are_finished_before_the_end(g5x, serve, number):
    g5x.forward(serve(echo))
    with connect(FORWARD) as client:
        client.sendall(b"before")
        assert read_exactly(client, 6) == b"before"
        g5x.signal(number)
        g5x.wait_for_log("ending: 1 sessions left")
        client.sendall(b"after")
        half_close(client)
        assert read_all(client) == b"after"
    assert g5x.wait() == 0


def test_new_clients_are_refused_while_ending(g5x, serve):
    g5x.forward(serve(named("A")))
    client, _ = hold(FORWARD)
    g5x.signal(signal.SIGTERM)
    wait_until(lambda: is_refused(FORWARD), "the address is closed")
    client.close()
    assert g5x.wait() == 0


def test_clients_in_the_queue_at_the_end_are_served(g5x, serve):
    g5x.forward(serve(named("A")))
    g5x.signal(signal.SIGSTOP)
    waiting = [connect(FORWARD) for _ in range(500)]
    g5x.signal(signal.SIGTERM)
    g5x.signal(signal.SIGCONT)
    for client in waiting:
        with client:
            assert read_exactly(client, 1) == b"A"
    assert g5x.wait() == 0


def test_clients_still_connecting_at_the_end_are_served(g5x, blackhole, serve):
    g5x.forward(blackhole, serve(named("A")), mode="MS", connect_timeout=1)
    with connect(FORWARD) as client:
        client.sendall(b"?")
        g5x.signal(signal.SIGTERM)
        g5x.wait_for_log("ending: 1 sessions left")
        assert read_exactly(client, 1) == b"A"
    assert g5x.wait() == 0


def test_sessions_are_reset_when_the_grace_is_over(g5x, serve):
    server = serve(named("A"))
    g5x.start("( grace 1 )\n" + g5x.rule("web", "RR", FORWARD, server))
    client, _ = hold(FORWARD)
    start = time.monotonic()
    g5x.signal(signal.SIGTERM)
    assert read_to_end(client) == (b"", "RST")
    assert time.monotonic() - start >= 1
    assert g5x.wait() == 0
    assert g5x.log_lines('reason="shutdown"')


def test_second_signal_ends_at_once(g5x, serve):
    server = serve(named("A"))
    g5x.start("( grace 3600 )\n" + g5x.rule("web", "RR", FORWARD, server))
    client, _ = hold(FORWARD)
    g5x.signal(signal.SIGTERM)
    g5x.wait_for_log("ending: 1 sessions left")
    g5x.signal(signal.SIGTERM)
    assert read_to_end(client) == (b"", "RST")
    assert g5x.wait() == 0


def test_without_sessions_it_ends_at_once(g5x):
    g5x.start("( grace 3600 )\n" + g5x.rule("web", "RR", FORWARD, "127.0.0.1:1"))
    g5x.signal(signal.SIGTERM)
    assert g5x.wait() == 0
    assert g5x.log_lines("ended")


@pytest.mark.any_datapath
def test_management_clients_do_not_hold_up_the_end(g5x):
    g5x.start("( grace 3600 )\n" + g5x.rule("admin", "G", FORWARD))
    with Manage(FORWARD):
        g5x.signal(signal.SIGTERM)
        assert g5x.wait() == 0


@pytest.mark.any_datapath
def test_rules_cannot_be_added_while_ending(g5x, serve):
    server = serve(named("A"))
    g5x.start(g5x.rule("web", "RR", FORWARD, server) + g5x.rule("admin", "G", SECOND))
    with Manage(SECOND) as manage, hold(FORWARD)[0]:
        g5x.signal(signal.SIGTERM)
        g5x.wait_for_log("ending: 1 sessions left")
        answer = manage.ask(f"add rule late RR *:* - 127.0.0.1:8100 > {server} ;")
        assert answer.startswith("add forward rule failed[")
        assert is_refused("127.0.0.1:8100")
    assert g5x.wait() == 0


@pytest.mark.any_datapath
@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGCONT, signal.SIGWINCH])
def test_other_signals_change_nothing(g5x, serve, number):
    g5x.forward(serve(named("A")))
    for _ in range(10):
        g5x.signal(number)
    assert visit(FORWARD) == "A"


def test_stopped_and_continued_daemon_forwards_on(g5x, serve):
    g5x.forward(serve(echo))
    with connect(FORWARD) as client:
        client.sendall(b"before ")
        assert read_exactly(client, 7) == b"before "
        g5x.signal(signal.SIGSTOP)
        client.sendall(b"meanwhile")
        g5x.signal(signal.SIGCONT)
        half_close(client)
        assert read_all(client) == b"meanwhile"


# ---- command line --------------------------------------------------------------------


@pytest.mark.any_datapath
def test_t_finds_a_good_file_good_and_opens_nothing(g5x):
    g5x.write_rules(
        f"( log {g5x.log_file.parent}/made.log )\n" + g5x.rule("a", "G", FORWARD)
    )
    status, out, _ = g5x.run("-t", "-f", g5x.rule_file)
    assert status == 0
    assert "1 rules" in out
    assert is_refused(FORWARD)
    assert not (g5x.log_file.parent / "made.log").exists()


@pytest.mark.any_datapath
def test_t_finds_every_mistake_of_a_bad_file(g5x):
    g5x.write_rules(
        "good RR *:* - 127.0.0.1:8000 > 127.0.0.1:1 ;\n"
        "bad LB *:* - 127.0.0.1:8001 > 127.0.0.1:1 ;\n"
        "worse RR 10.0.0.1 - 127.0.0.1:8002 > 127.0.0.1:1 ;\n"
    )
    status, _, errors = g5x.run("-f", g5x.rule_file, "-t")
    assert status == 1
    assert f"{g5x.rule_file}:2:5: error: " in errors
    assert f"{g5x.rule_file}:3:10: error: " in errors
    assert ":1:" not in errors


@pytest.mark.any_datapath
def test_start_on_a_bad_file_fails_in_the_same_way(g5x):
    g5x.write_rules("bad LB *:* - 127.0.0.1:8000 > 127.0.0.1:1 ;\n")
    status, _, errors = g5x.run("-f", g5x.rule_file)
    assert status == 1
    assert f"{g5x.rule_file}:1:5: error: " in errors


@pytest.mark.any_datapath
def test_file_that_cannot_be_read_is_named(g5x):
    for options in ([], ["-t"]):
        status, _, errors = g5x.run("-f", "/nonexistent/g5x.conf", *options)
        assert status == 1
        assert "/nonexistent/g5x.conf" in errors and "No such file" in errors


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-x", "-f", "g5x.conf"],
        ["-f"],
        ["-f", "g5x.conf", "-s", "many"],
        ["-f", "g5x.conf", "-b", "-1"],
        ["-f", "g5x.conf", "-r", "10k"],
        ["-f", "g5x.conf", "--workers", ""],
        ["-f", "g5x.conf", "--bpffs", "g5x"],
        ["-f", "g5x.conf", "--bpffs", "/"],
        ["-f", "g5x.conf", "g5x.conf"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_command_line_is_status_2_with_the_usage(g5x, arguments):
    g5x.write_rules("")
    status, out, errors = g5x.run(*arguments)
    assert status == 2
    assert "usage: g5x -f FILE" in errors
    assert out == ""


@pytest.mark.any_datapath
def test_v_shows_the_version(g5x):
    status, out, _ = g5x.run("-v")
    assert status == 0
    assert re.fullmatch(r"v\d+\.\d+\.\d+ build .* \d+:\d+:\d+,\d+:\d+:\d+,\d+\n", out)


@pytest.mark.any_datapath
def test_h_shows_every_option(g5x):
    status, out, _ = g5x.run("-h")
    assert status == 0
    for option in ("-f", "-t", "-r", "-s", "-b", "-d", "-v", "-h", "--workers"):
        assert option in out


@pytest.mark.any_datapath
def test_address_in_use_is_status_1_and_names_it(g5x, serve):
    taken = serve(named("A"))
    g5x.write_rules(g5x.rule("web", "RR", taken, "127.0.0.1:1"))
    status, _, errors = g5x.run("-f", g5x.rule_file)
    assert status == 1
    assert f"cannot listen on {taken}: Address already in use" in errors


@pytest.mark.any_datapath
def test_address_that_is_not_ours_is_status_1_and_names_it(g5x):
    g5x.write_rules(g5x.rule("web", "RR", "192.0.2.1:8000", "127.0.0.1:1"))
    status, _, errors = g5x.run("-f", g5x.rule_file)
    assert status == 1
    assert "cannot listen on 192.0.2.1:8000: " in errors


@pytest.mark.parametrize("forward", [FORWARD, "0.0.0.0:8000"])
def test_second_daemon_on_the_same_port_is_refused(daemons, abc, forward):
    """Though SO_REUSEPORT, which workers need, would let it in to steal clients."""
    first, second = daemons(), daemons()
    first.start(first.rule("web", "RR", forward, abc[0]))
    second.write_rules(second.rule("web", "RR", forward, abc[1]))
    status, _, errors = second.run("-f", second.rule_file)
    assert status == 1
    assert f"cannot listen on {forward}" in errors
    assert visits(FORWARD, 10) == "A" * 10


def test_restart_does_not_wait_for_old_sessions(g5x, abc):
    """The daemon closes first, so its sockets stay in TIME_WAIT."""
    rule = g5x.rule("web", "RR", FORWARD, abc[0])
    for _ in range(3):
        g5x.start(rule)
        assert visits(FORWARD, 5) == "AAAAA"
        client, _ = hold(FORWARD)
        assert g5x.stop() == 0
        client.close()


def test_address_may_be_taken_over_from_a_daemon_that_is_ending(daemons, abc):
    first, second = daemons(), daemons()
    first.start(first.rule("web", "RR", FORWARD, abc[0]))
    client, _ = hold(FORWARD)
    first.signal(signal.SIGTERM)
    first.wait_for_log("ending: 1 sessions left")
    second.start(second.rule("web", "RR", FORWARD, abc[1]))
    assert visit(FORWARD) == "B"
    client.close()
    assert first.wait() == 0


def test_relative_file_name_is_read_again_from_where_it_was(g5x, abc):
    g5x.write_rules(g5x.rule("web", "RR", FORWARD, abc[0]))
    g5x.spawn("-f", g5x.rule_file.name)
    g5x.wait_for_log("ready")
    g5x.reload(g5x.rule("web", "RR", SECOND, abc[1]))
    wait_until(lambda: is_refused(FORWARD), "it is reloaded")
    assert visit(SECOND) == "B"


# ---- log -----------------------------------------------------------------------------

FIELDS = {
    "time": str,
    "rule": str,
    "client": str,
    "listener": str,
    "server": str,
    "in": int,
    "out": int,
    "connect_ms": float,
    "first_byte_ms": float,
    "total_ms": float,
    "datapath": str,
    "reason": str,
}


def log_to(path, log_format="json"):
    return f"( log {path} log_format {log_format} )\n"


def json_records(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_line_of_a_json_log_is_an_object_and_sessions_have_all_fields(
    g5x, serve, tmp_path
):
    log = tmp_path / "sessions.log"
    server = serve(echo)
    rule = g5x.rule("web", "RR", FORWARD, server)
    g5x.start(log_to(log) + rule, "-d")
    with connect(FORWARD) as client:
        address = "127.0.0.1:%d" % client.getsockname()[1]
        client.sendall(b"12345")
        assert read_exactly(client, 5) == b"12345"
        half_close(client)  # not before: who has ended cannot be spliced
        assert read_all(client) == b""
    assert g5x.stop() == 0
    (record,) = [r for r in json_records(log) if r.get("event") == "session"]
    for name, kind in FIELDS.items():
        assert isinstance(record[name], kind), name
    assert record["rule"] == "web"
    assert record["client"] == address
    assert (record["listener"], record["server"]) == (FORWARD, str(server))
    assert (record["in"], record["out"]) == (5, 5)
    assert 0 < record["connect_ms"] <= record["first_byte_ms"] <= record["total_ms"]
    assert (record["datapath"], record["reason"]) == (g5x.datapath, "done")


@pytest.mark.any_datapath
def test_what_never_happened_is_null_in_json(g5x, tmp_path):
    log = tmp_path / "sessions.log"
    g5x.start(log_to(log) + g5x.rule("web", "RR", FORWARD, "127.0.0.1:1"))
    assert is_reset(FORWARD)
    assert g5x.stop() == 0
    (record,) = [r for r in json_records(log) if r.get("event") == "session"]
    assert record["connect_ms"] is None and record["first_byte_ms"] is None
    assert record["reason"] == "no server left to try"


@pytest.mark.any_datapath
@pytest.mark.parametrize("name", ["规则", 'quote"back\\slash', "naïve"])
def test_any_rule_id_makes_a_valid_json_log(g5x, abc, tmp_path, name):
    log = tmp_path / "sessions.log"
    g5x.start(log_to(log) + g5x.rule(name, "RR", FORWARD, abc[0]))
    assert visit(FORWARD) == "A"
    assert g5x.stop() == 0
    assert [r["rule"] for r in json_records(log) if r.get("event") == "session"] == [
        name
    ]


@pytest.mark.any_datapath
def test_rule_id_in_gb18030_makes_a_valid_json_log(g5x, abc, tmp_path):
    log = tmp_path / "sessions.log"
    rule = g5x.rule("NAME", "RR", FORWARD, abc[0]).encode()
    g5x.start(log_to(log).encode() + rule.replace(b"NAME", "规则".encode("gb18030")))
    assert visit(FORWARD) == "A"
    assert g5x.stop() == 0
    assert len([r for r in json_records(log) if r.get("event") == "session"]) == 1


def test_text_log_has_the_same_fields(g5x, abc):
    g5x.forward(abc[0])
    assert visit(FORWARD) == "A"
    line = g5x.wait_for_log("session rule=web")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| session rule=web ", line)
    for name in set(FIELDS) - {"time"}:
        assert re.search(rf"\b{name}=", line), name


def test_log_file_is_opened_anew_on_hup(g5x, abc, tmp_path):
    log, rotated = tmp_path / "sessions.log", tmp_path / "sessions.log.1"
    g5x.start(log_to(log, "text") + g5x.rule("web", "RR", FORWARD, abc[0]))
    assert visit(FORWARD) == "A"
    os.rename(log, rotated)
    g5x.signal(signal.SIGHUP)
    wait_until(log.exists, "there is a new log file")
    n_before = rotated.stat().st_size
    assert visit(FORWARD) == "A"
    wait_until(lambda: b"session rule=web" in log.read_bytes(), "the session is logged")
    assert rotated.stat().st_size == n_before


@pytest.mark.any_datapath
def test_log_file_is_opened_anew_even_if_the_rules_are_bad(g5x, abc, tmp_path):
    log = tmp_path / "sessions.log"
    g5x.start(log_to(log, "text") + g5x.rule("web", "RR", FORWARD, abc[0]))
    os.rename(log, tmp_path / "sessions.log.1")
    g5x.reload("nonsense\n")
    wait_until(
        lambda: log.exists() and b"configuration rejected" in log.read_bytes(),
        "the new log file says what is wrong",
    )


def test_log_may_change_its_place_and_format_on_hup(g5x, abc, tmp_path):
    before, after = tmp_path / "before.log", tmp_path / "after.log"
    rule = g5x.rule("web", "RR", FORWARD, abc[0])
    g5x.start(log_to(before, "text") + rule)
    # what is still queued is written to the new place, as it is
    wait_until(lambda: b"ready: " in before.read_bytes(), "all lines are written")
    g5x.reload(log_to(after) + rule)
    wait_until(lambda: after.exists() and after.stat().st_size, "it is reloaded")
    assert visit(FORWARD) == "A"
    assert g5x.stop() == 0
    assert any(record.get("event") == "session" for record in json_records(after))
    assert b"session rule=web" not in before.read_bytes()


@pytest.mark.any_datapath
def test_log_that_cannot_be_opened_is_status_1_and_named(g5x):
    g5x.write_rules(log_to("/nonexistent/g5x.log") + g5x.rule("a", "G", FORWARD))
    status, _, errors = g5x.run("-f", g5x.rule_file)
    assert status == 1
    assert "/nonexistent/g5x.log" in errors


@pytest.mark.any_datapath
def test_log_that_blocks_stops_nobody(g5x, abc, tmp_path):
    """A pipe that nobody reads is full after some hundred sessions."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        g5x.start(log_to(pipe) + g5x.rule("web", "RR", FORWARD, *abc))
        assert visits(FORWARD, 600) == "ABC" * 200
    finally:
        os.close(reader)
    assert g5x.stop() == 0


@pytest.mark.any_datapath
def test_log_none_writes_nothing(g5x, abc):
    g5x.start("( log none )\n" + g5x.rule("web", "RR", FORWARD, abc[0]))
    assert visit(FORWARD) == "A"
    assert g5x.stop() == 0
    assert g5x.log() == ""
