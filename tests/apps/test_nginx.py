# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""nginx: files by sendfile(2) over connections that stay open; https; uploads."""
import hashlib
import http.client
import random
import re
import shutil
from pathlib import Path

import pytest

from lib.peers import digest, parse, stream_of
from programs import run

CONFIGURATION = Path(__file__).with_name("nginx.conf")
SIZES = {"small": 200, "100k": 100000, "20m": 20 << 20}
UNIT = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@pytest.fixture(scope="module")
def servers(programs, folder, certificate):
    files = folder / "files"
    (files / "put").mkdir(parents=True)
    for name, size in SIZES.items():
        (files / name).write_bytes(stream_of(size, size))
    files.joinpath("put").chmod(0o777)
    (folder / "body").mkdir()
    (folder / "body").chmod(0o777)
    servers = {"http": "127.0.0.1:8081", "https": "127.0.0.1:8443"}
    shutil.copy(CONFIGURATION, folder)  # names in it are relative to where it is
    command = ["nginx", "-e", "stderr", "-p", folder, "-c", folder / CONFIGURATION.name]
    programs.start(*command, address=servers["http"])
    return servers


def curl(*options, **more):
    return run("curl", "-sS", "--fail", "-k", *options, **more)


def test_files_over_one_connection_are_those_on_disk(way):
    chosen = random.Random(0)
    client = http.client.HTTPConnection(*parse(way["http"]))
    client.connect()
    first = client.sock
    for _ in range(300):
        name = chosen.choices(list(SIZES), weights=[20, 10, 1])[0]
        client.request("GET", f"/{name}")
        answer = client.getresponse()
        assert answer.status == 200
        assert digest(answer.read()) == digest(stream_of(SIZES[name], SIZES[name]))
    assert client.sock is first
    client.close()


def test_parts_of_a_file_are_those_on_disk(way):
    size = SIZES["20m"]
    wanted, chosen = stream_of(size, size), random.Random(0)
    client = http.client.HTTPConnection(*parse(way["http"]))
    for _ in range(200):
        start = chosen.randrange(size)
        end = min(size, start + chosen.randint(1, 300000)) - 1
        client.request("GET", "/20m", headers={"Range": f"bytes={start}-{end}"})
        answer = client.getresponse()
        assert answer.status == 206
        assert digest(answer.read()) == digest(wanted[start : end + 1])
    client.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_gets_each_file_as_it_is(way, scheme):
    for name, size in SIZES.items():
        got = curl(f"{scheme}://{way[scheme]}/{name}", text=False)
        assert digest(got) == digest(stream_of(size, size))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_reader_gets_the_whole_file(way, scheme):
    size = SIZES["20m"]
    command = ["--limit-rate", "8M", f"{scheme}://{way[scheme]}/20m"]
    assert digest(curl(*command, text=False)) == digest(stream_of(size, size))


def test_what_is_uploaded_is_what_is_stored(way, folder):
    for name, size in SIZES.items():
        curl("-T", folder / "files" / name, f"http://{way['http']}/put/{name}")
        stored = folder / "files" / "put" / name
        assert digest(stored.read_bytes()) == digest(stream_of(size, size))
        stored.unlink()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name, n", [("small", 50), ("small", 1), ("100k", 50), ("20m", 4)])
def test_wrk_sees_no_error(compare, scheme, name, n):
    def measure(way):
        threads = "-t2" if n > 1 else "-t1"
        url = f"{scheme}://{way[scheme]}/{name}"
        said = run("wrk", threads, f"-c{n}", "-d1s", "--timeout", "30s", url)
        assert "Socket errors" not in said and "Non-2xx" not in said, said
        what = f"wrk {scheme} {name} -c{n}"
        if SIZES[name] < 1 << 20:
            rate = re.search(r"^Requests/sec: +([0-9.]+)", said, re.M)[1]
            return {f"{what}, 1/s": float(rate)}
        rate, unit = re.search(r"^Transfer/sec: +([0-9.]+)([KMG]?)B", said, re.M).groups()
        return {f"{what}, Gbit/s": float(rate) * UNIT[unit] * 8 / 1e9}

    compare(measure)
