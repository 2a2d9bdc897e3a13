# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Redis: many small questions and answers, pipelines, large values, a replica."""
import csv
import io
import signal
from subprocess import STDOUT

import pytest

from lib.peers import background, connect, digest, stream_of
from lib.wait import wait_until
from programs import host_and_port, run

SERVER = "127.0.0.1:6379"
REPLICA = "127.0.0.1:6380"
PLAIN = ("--save", "", "--daemonize", "no", "--enable-debug-command", "yes")
SIZES = [
    *range(20),
    *(size + i for size in (1 << 12, 1 << 14, 1 << 15, 1 << 16) for i in (-1, 0, 1)),
    100000,
    1 << 20,
    5000001,
    20 << 20,
]


@pytest.fixture(scope="module")
def servers(programs, folder):
    return {"redis": start(programs, folder, SERVER)[0]}


def start(programs, folder, address, *options):
    own = folder / address
    own.mkdir()
    place = host_and_port(address, "--bind", "--port")
    command = ["redis-server", *place, "--dir", own, *PLAIN, *options]
    return address, programs.start(*command, address=address)


def cli(address, *command, **options):
    return run("redis-cli", *host_and_port(address, "-h", "-p"), *command, **options)


def encode(*words):
    """A command, as the protocol has it."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(
        b"$%d\r\n%b\r\n" % (len(part), part) for part in parts
    )


def read_value(stream):
    line = stream.readline()
    assert line.endswith(b"\r\n"), f"{line!r} is no whole line"
    if line[:1] != b"$":
        return line[:-2]
    size = int(line[1:])
    data = stream.read(size + 2)
    assert len(data) == size + 2, f"{len(data)} of {size + 2} bytes"
    assert data[-2:] == b"\r\n"
    return data[:-2]


def values():
    return {f"k{i}": stream_of(size, i) for i, size in enumerate(SIZES)}


def test_each_value_comes_back_as_it_was_set(way):
    with connect(way["redis"]) as client, client.makefile("rb") as stream:
        for key, value in values().items():
            client.sendall(encode("SET", key, value))
            assert read_value(stream) == b"+OK"
            client.sendall(encode("GET", key))
            assert digest(read_value(stream)) == digest(value)


def test_answers_to_a_pipeline_come_in_its_order(way):
    wanted = values()
    with connect(way["redis"]) as client, client.makefile("rb") as stream:
        sets = b"".join(encode("SET", key, value) for key, value in wanted.items())
        gets = b"".join(encode("GET", key) for key in wanted) * 2
        sending = background(client.sendall, sets + gets)
        assert [read_value(stream) for _ in wanted] == [b"+OK"] * len(wanted)
        for value in [*wanted.values()] * 2:
            assert digest(read_value(stream)) == digest(value)
        sending.result()


def test_a_client_that_waits_gets_what_another_one_sends(way):
    with (
        connect(way["redis"]) as waits,
        waits.makefile("rb") as stream,
        connect(way["redis"]) as sends,
        sends.makefile("rb") as answers,
    ):
        for i in range(300):
            waits.sendall(encode("BLPOP", "queue", 0))
            value = stream_of(i * 50, i)
            sends.sendall(encode("RPUSH", "queue", value))
            assert read_value(answers).startswith(b":")
            assert read_value(stream) == b"*2"
            assert read_value(stream) == b"queue"
            assert read_value(stream) == value


def test_redis_cli_feeds_many_commands(way):
    n = 300000
    feed = b"".join(encode("SET", f"fed{i}", i) for i in range(n))
    said = cli(way["redis"], "--pipe", input=feed, text=False).decode()
    assert f"errors: 0, replies: {n}" in said
    last = [cli(way["redis"], "GET", f"fed{i}").strip() for i in (0, n // 2, n - 1)]
    assert last == ["0", str(n // 2), str(n - 1)]


def test_a_replica_gets_everything(way, programs, folder):
    cli(SERVER, "FLUSHALL")
    for i in range(20):
        cli(SERVER, "-x", "SET", f"big{i}", input=stream_of(2 << 20, i), text=False)
    place = REPLICA.replace("6380", str(6380 + len(programs.started)))
    host, port = way["redis"].split(":")
    _, replica = start(programs, folder, place, "--replicaof", f"{host} {port}")

    def is_in_step():
        return "master_link_status:up" in cli(place, "INFO", "replication")

    wait_until(is_in_step, "the replica has a link to its master")
    for i in range(200):
        cli(SERVER, "SET", f"later{i}", i)
    wanted = cli(SERVER, "DEBUG", "DIGEST")
    wait_until(lambda: cli(place, "DEBUG", "DIGEST") == wanted, "the replica is equal")
    replica.send_signal(signal.SIGTERM)
    replica.wait()


RUNS = [
    ("-c 1", "get", 10000),
    ("-c 50", "set,get", 30000),
    ("-c 50 -P 16", "set,get", 200000),
    ("-c 50", "lrange_300", 4000),
    ("-c 8 -d 100000", "set,get", 5000),
    ("-c 50 -d 100000", "set,get", 5000),
]


@pytest.mark.parametrize("options, tests, n", RUNS)
def test_redis_benchmark_has_no_error(compare, options, tests, n):
    def benchmark(way):
        place = host_and_port(way["redis"], "-h", "-p")
        command = ["redis-benchmark", *place, "--csv", "-t", tests, "-n", n]
        said = run(*command, *options.split(), stderr=STDOUT)
        assert "rror" not in said and "WARNING" not in said, said
        rows = list(csv.DictReader(io.StringIO(said)))
        rates = {row["test"].split()[0]: float(row["rps"]) for row in rows}
        tests_run = tests.upper().split(",")
        return {f"redis {test} {options}, 1/s": rates[test] for test in tests_run}

    compare(benchmark)
