# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""PostgreSQL: pgbench, its books afterwards, and tables as a stream each way."""
import hashlib
import re
import shutil
import signal
from pathlib import Path

import pytest

from programs import host_and_port, run

SERVER = "127.0.0.1:5432"
USER = "postgres"  # who refuses to be root
N_LINES = 2000000
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
BALANCES = """
select sum(abalance), (select sum(bbalance) from pgbench_branches),
    (select sum(tbalance) from pgbench_tellers),
    (select coalesce(sum(delta), 0) from pgbench_history),
    (select count(*) from pgbench_history) from pgbench_accounts
"""


def program(name):
    """The newest one: Debian keeps most of them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else name


@pytest.fixture(scope="module")
def servers(programs, folder):
    own = folder / "pg"
    own.mkdir()
    shutil.chown(own, USER)
    as_user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]
    initdb = [program("initdb"), "-D", own / "data", "-A", "trust", "--no-sync"]
    run(*as_user, *initdb, cwd=own)
    settings = {**SETTINGS, "unix_socket_directories": own}
    command = [program("postgres"), "-D", own / "data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    programs.start(*command, address=SERVER, user=USER, end=signal.SIGINT, cwd=own)
    return {"postgresql": SERVER}


@pytest.fixture
def ask(servers, folder):
    """ask(SQL) -> words of the answer; not by TCP."""

    def psql(sql):
        command = ["psql", "-h", folder / "pg", "-U", USER, "-XAt", "-F", " "]
        return run(*command, "-c", sql, USER).split()

    return psql


def place(way):
    return [*host_and_port(way["postgresql"], "-h", "-p"), "-U", USER]


def pgbench(way, *options):
    """Returns the transactions per second."""
    said = run(program("pgbench"), *place(way), "-n", *options, USER)
    assert "number of failed transactions: 0 " in said, said
    return float(re.search(r"^tps = ([0-9.]+)", said, re.M)[1])


def set_up(way):
    run(program("pgbench"), *place(way), "-i", "-q", "-s", "4", USER)


def check_balances(ask):
    *sums, n = (int(word) for word in ask(BALANCES))
    assert len(set(sums)) == 1, f"balances of accounts, branches, tellers: {sums}"
    return n


def test_balances_add_up_after_the_default_transactions(way, ask):
    set_up(way)
    assert ask("select count(*) from pgbench_accounts") == ["400000"]
    pgbench(way, "-c", "8", "-j", "2", "-t", "400")
    assert check_balances(ask) == 8 * 400


def test_each_transaction_may_have_a_connection_of_its_own(way):
    set_up(way)
    pgbench(way, "-C", "-S", "-c", "8", "-j", "2", "-t", "40")


def test_a_table_is_read_as_it_is(way):
    wanted = "".join(f"{i}\t{'x' * (i % 50)}\n" for i in range(N_LINES)).encode()
    rows = f"select i, repeat('x', i % 50) from generate_series(0, {N_LINES - 1}) i"
    command = ["psql", *place(way), "-X", "-c", f"copy ({rows}) to stdout", USER]
    got = run(*command, text=False)
    assert len(got) == len(wanted)
    assert hashlib.sha256(got).digest() == hashlib.sha256(wanted).digest()


def test_a_table_is_written_as_it_was_sent(way, ask):
    ask("drop table if exists sent")
    ask("create table sent (i int, x text)")
    lines = "".join(f"{i}\t{'x' * (i % 50)}\n" for i in range(N_LINES))
    copy = ["psql", *place(way), "-X", "-c", "copy sent from stdin", USER]
    run(*copy, input=lines)
    wrong = ask("select count(*) from sent where x <> repeat('x', i % 50)")
    n, n_different = ask("select count(*), count(distinct i) from sent")
    assert (wrong, n, n_different) == (["0"], str(N_LINES), str(N_LINES))


RUNS = ["-c 1 -S", "-c 8 -j 2 -S", "-c 8 -j 2 -S -M prepared", "-c 8 -j 2"]


@pytest.mark.parametrize("options", RUNS)
def test_no_transaction_fails(compare, ask, ways, options):
    set_up(ways["direct"])

    def measure(way):
        return {f"pgbench {options}, tps": pgbench(way, "-T", "1", *options.split())}

    compare(measure)
    check_balances(ask)
