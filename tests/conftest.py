# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One runner for every kind of test.

 - tests/unit/test_X.c, tests/bpf/test_X.c: each cmocka test is an item of its own, run
   as `BUILD/tests/[bpf/]test_X NAME`. Names are read from the source, so a test that
   the program does not know fails.
 - tests/fuzz/fuzz_X.c: the corpus, fed once to `BUILD/tests/replay_X`.
 - tests/lint/*.sh: fails when the script does.
 - tests/net/test_*.py: pytest as usual. A test that uses the fixture `datapath` runs
   once for each --datapath; see MARKERS for those that do not.
 - tests/apps/test_*.py: real programs; `make test-apps` alone runs them.

`make test` builds what this needs. By hand, for one test:

    /usr/bin/python3 -m pytest tests/unit/test_addr.c -k brackets
"""
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True  # what is made goes to build/

TOP = Path(__file__).resolve().parent.parent
TESTS = TOP / "tests"
# In a table of tests: cmocka's own words, or a file's short form, as RULE_TEST(name).
CMOCKA_TEST = re.compile(r"\b(?:cmocka_unit_test\w*|[A-Z]\w*_TEST)\(\s*(\w+)")
DEFINE = re.compile(r"^[ \t]*#[ \t]*define\b(?:[^\n]*\\\n)*[^\n]*", re.M)
LINT_TIMEOUT_S = 900  # one of the checks compiles everything
MARKERS = (
    "any_datapath: is over before a session relays, or does not care how it does: once",
    "only_datapath(name): is about this one",
)


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_addoption(parser):
    group = parser.getgroup("g5x")
    group.addoption("--build", default="build", help="folder of the binaries to test")
    group.addoption(
        "--datapath",
        action="append",
        help="datapath for the network tests; may be repeated (default: $G5X_DATAPATHS,"
        " separated by blanks, or all)",
    )


@pytest.fixture(scope="session")
def build(request):
    """The folder with the g5x under test."""
    return build_dir(request.config)


def pytest_generate_tests(metafunc):
    if "datapath" in metafunc.fixturenames:
        metafunc.parametrize("datapath", datapaths_of(metafunc), indirect=True)


def datapaths_of(metafunc):
    asked = datapaths(metafunc.config)
    only = metafunc.definition.get_closest_marker("only_datapath")
    if only and only.args[0] not in asked:
        skip = pytest.mark.skip(reason=f"--datapath does not ask for {only.args[0]}")
        return [pytest.param(only.args[0], marks=skip)]
    if only:
        return [only.args[0]]
    if metafunc.definition.get_closest_marker("any_datapath"):
        return asked[:1]
    return asked


def datapaths(config):
    given = config.getoption("--datapath")
    return given or os.environ.get("G5X_DATAPATHS", "copy splice bypass").split()


def build_dir(config):
    return TOP / config.getoption("--build")


def pytest_runtest_setup(item):
    if {TESTS / "net", TESTS / "apps"} & set(item.path.parents):
        reason = why_no_namespaces()
        if reason:
            pytest.skip(reason)


@functools.cache
def why_no_namespaces():
    """None when network namespaces can be made here."""
    done = subprocess.run(
        ["unshare", "-n", "true"], capture_output=True, text=True, check=False
    )
    why = done.stderr.strip()
    return f"no network namespaces here: {why}" if done.returncode else None


def pytest_collect_file(file_path, parent):
    folder = file_path.parent
    if folder in (TESTS / "unit", TESTS / "bpf") and file_path.match("test_*.c"):
        return CmockaFile.from_parent(parent, path=file_path)
    if folder == TESTS / "fuzz" and file_path.match("fuzz_*.c"):
        return FuzzFile.from_parent(parent, path=file_path)
    if folder == TESTS / "lint" and file_path.suffix == ".sh":
        return LintFile.from_parent(parent, path=file_path)
    return None


class CmockaFile(pytest.File):
    def collect(self):
        names = CMOCKA_TEST.findall(DEFINE.sub("", self.path.read_text()))
        if not names:
            raise self.CollectError(f"{self.path}: no test in it")
        for name in dict.fromkeys(names):
            yield CmockaTest.from_parent(self, name=name)

    def program(self):
        subfolder = "tests/bpf" if self.path.parent.name == "bpf" else "tests"
        return build_dir(self.config) / subfolder / self.path.stem


class CommandItem(pytest.Item):
    """An item that is one command; it passes when that exits with 0."""

    def run(self, command):
        try:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=TOP,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError as error:
            raise Failed(f"{error.filename}: not built; see `make test`") from error
        if done.returncode:
            raise Failed(f"{done.stdout}\nexit status {done.returncode}")
        return done.stdout

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, self.name


class Failed(Exception):
    pass


class CmockaTest(CommandItem):
    def runtest(self):
        output = self.run([self.parent.program(), self.name])
        if re.search(rf"^\[  SKIPPED \] {self.name}$", output, re.M):
            reason = re.search(r"^skip: (.*)$", output, re.M)
            pytest.skip(reason[1] if reason else "no reason given")
        if not re.search(rf"^\[       OK \] {self.name}$", output, re.M):
            raise Failed(f"{output}\nexit status 0, but {self.name} did not run")


class FuzzFile(pytest.File):
    def collect(self):
        yield Replay.from_parent(self, name="replay")


class Replay(CommandItem):
    def runtest(self):
        target = self.path.stem.removeprefix("fuzz_")
        corpus = sorted((TESTS / "fuzz" / "corpus" / target).glob("*"))
        if not corpus:
            raise Failed(f"tests/fuzz/corpus/{target}: empty")
        self.run([build_dir(self.config) / "tests" / f"replay_{target}", *corpus])


class LintFile(pytest.File):
    def collect(self):
        item = Lint.from_parent(self, name=self.path.stem)
        item.add_marker(pytest.mark.timeout(LINT_TIMEOUT_S))
        yield item


class Lint(CommandItem):
    def runtest(self):
        self.run([self.path])
