# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Real programs through g5x: `make test-apps`; not part of `make test`.

Each module has a namespace and a folder of its own and a fixture `servers`, {name:
address}, of the programs it starts there. In front of them is one daemon for each
--datapath (default: copy and bypass).

 - way: direct, then each datapath: a test that uses it runs once for each, and fails
   when a session of it was not forwarded by that datapath.
 - compare: takes figures of all ways in turns; a table at the end shows them.

A datapath that the daemon says is off here is skipped, with the daemon's reason.
"""
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "net"))

# pylint: disable=wrong-import-position
from figures import Figures
from lib.namespace import Namespace
from programs import Programs, run as run_program
from ways import DIRECT, Ways

FIGURES = pytest.StashKey()


def pytest_configure(config):
    config.stash[FIGURES] = Figures([DIRECT, *datapaths_of(config)])


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[FIGURES].lines():
        terminalreporter.write_line(line)


def datapaths_of(config):
    return config.getoption("--datapath") or ["copy", "bypass"]


def pytest_generate_tests(metafunc):
    if "way" in metafunc.fixturenames:
        names = [DIRECT, *datapaths_of(metafunc.config)]
        metafunc.parametrize("way", names, indirect=True)


@pytest.fixture(scope="module", autouse=True)
def namespace():
    with Namespace() as own:
        yield own


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="g5x-apps-") as name:
        path = Path(name)
        path.chmod(0o755)  # not every program runs as root
        yield path


@pytest.fixture(scope="module")
def programs(namespace, folder):
    started = Programs(folder)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def certificate(folder):
    """cert.pem and key.pem in the folder, of localhost."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    run_program(*command, "-out", folder / "cert.pem", "-keyout", folder / "key.pem")


@pytest.fixture(scope="module")
def daemon_options():
    """A module may have its own."""
    return ()


@pytest.fixture(scope="module")
def ways(request, servers, build, folder, daemon_options):
    opened = Ways(servers)
    try:
        for datapath in datapaths_of(request.config):
            opened.open(datapath, build / "g5x", folder, daemon_options)
        yield opened
        assert opened.close() == {}, "daemons that did not end with 0"
    finally:
        opened.kill()


@pytest.fixture
def way(request, ways):
    """way[name of a server]: the address to go to."""
    chosen = ways[request.param]
    if chosen.why_not:
        pytest.skip(chosen.why_not)
    with chosen.is_used():
        yield chosen


@pytest.fixture
def compare(request, ways):
    """compare(run): run(way) -> {what was measured, and its unit: figure}, of every way."""

    def take(run):
        found, failures = ways.compare(run)
        request.config.stash[FIGURES].add(found)
        if failures:
            pytest.fail("\n".join(failures), pytrace=False)
        off = [each.why_not for each in ways if each.why_not]
        if off:
            pytest.skip(f"the others passed; {off[0]}")

    return take
